//! The server's end of a CURVE handshake.

use std::mem;

use subtle::ConstantTimeEq;

use super::crypto::{BoxKey, KEY_BYTES, Nonce, SecretKey, TAG_BYTES};
use super::draw;
use super::traffic::{OVERHEAD_BYTES, Received, Traffic};
use crate::ProtocolError;
use crate::mechanism::{Mechanism, Progress};
use crate::wire::command::CommandView;
use crate::wire::frame;
use crate::wire::greeting::MechanismName;

/// Octets in a cookie: a nonce and a box of two keys.
pub const COOKIE_BYTES: usize = 16 + TAG_BYTES + 2 * KEY_BYTES;

/// The counter of the one command with a counter that a server sends in the handshake.
const READY_COUNTER: u64 = 1;

/// The server of the CURVE mechanism of RFC 25.
///
/// As the RFC asks for, it forgets both transient keys between WELCOME and INITIATE: they come back
/// in the cookie, which opens with a key of this connection alone.
#[derive(Debug)]
pub struct CurveServer {
    state: State,
    /// Clients are to be decided on.
    authenticates: bool,
    /// What to tell the client about this end.
    metadata: Vec<u8>,
}

#[derive(Debug)]
enum State {
    ExpectHello(Box<ExpectHello>),
    ExpectInitiate(Box<ExpectInitiate>),
    ExpectDecision(Box<ExpectDecision>),
    Done(Traffic),
    Failed,
}

#[derive(Debug)]
struct ExpectHello {
    /// s
    secret: SecretKey,
    /// s'
    transient: SecretKey,
    cookie_key: BoxKey,
    cookie_nonce: [u8; 16],
    welcome_nonce: [u8; 16],
}

#[derive(Debug)]
struct ExpectInitiate {
    /// s
    secret: SecretKey,
    cookie_key: BoxKey,
    received: Received,
}

#[derive(Debug)]
struct ExpectDecision {
    /// C
    client_public: [u8; KEY_BYTES],
    /// READY, as a frame.
    held: Vec<u8>,
    traffic: Traffic,
}

impl CurveServer {
    /// A handshake that has not begun. If the server `authenticates`, every client has to be
    /// [admitted](Mechanism::admit) for the public key it has; otherwise all are welcome that know
    /// the server's.
    ///
    /// `fill` fills what it is given with random bytes; it is called here and not later.
    pub fn new(
        secret: &[u8; 32],
        authenticates: bool,
        fill: &mut dyn FnMut(&mut [u8]),
    ) -> CurveServer {
        let state = ExpectHello {
            secret: SecretKey::new(secret),
            transient: SecretKey::filled(&mut *fill),
            cookie_key: BoxKey::filled(&mut *fill),
            cookie_nonce: draw(fill),
            welcome_nonce: draw(fill),
        };
        let state = State::ExpectHello(Box::new(state));
        CurveServer { state, authenticates, metadata: Vec::new() }
    }
}

impl Mechanism for CurveServer {
    fn name(&self) -> MechanismName {
        MechanismName::CURVE
    }

    fn has_roles(&self) -> bool {
        true
    }

    fn initial_command(&mut self, metadata: &[u8], _out: &mut Vec<u8>) {
        self.metadata = metadata.to_vec();
    }

    fn handle_command(
        &mut self,
        command: CommandView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ProtocolError> {
        match (mem::replace(&mut self.state, State::Failed), command.name) {
            (State::ExpectHello(state), b"HELLO") => {
                let next = state.handle_hello(command.data, out)?;
                self.state = State::ExpectInitiate(Box::new(next));
                Ok(Progress::Continue)
            }
            (State::ExpectInitiate(state), b"INITIATE") => {
                let metadata = mem::take(&mut self.metadata);
                let (next, theirs) = state.handle_initiate(command.data, &metadata)?;
                self.state = State::ExpectDecision(Box::new(next));
                if !self.authenticates {
                    self.admit(out);
                }
                Ok(Progress::Metadata(theirs))
            }
            (state, name) => {
                let expected = match state {
                    State::ExpectHello(_) => "HELLO",
                    State::ExpectInitiate(_) => "INITIATE",
                    State::ExpectDecision(_) | State::Done(_) | State::Failed => "none",
                };
                Err(ProtocolError::UnexpectedCommand { name: name.to_vec(), expected })
            }
        }
    }

    fn credentials(&self) -> Option<Vec<Vec<u8>>> {
        match &self.state {
            State::ExpectDecision(state) => Some(vec![state.client_public.to_vec()]),
            _ => None,
        }
    }

    fn admit(&mut self, out: &mut Vec<u8>) {
        match mem::replace(&mut self.state, State::Failed) {
            State::ExpectDecision(state) => {
                out.extend_from_slice(&state.held);
                self.state = State::Done(state.traffic);
            }
            state => self.state = state,
        }
    }

    fn is_done(&self) -> bool {
        matches!(self.state, State::Done(_))
    }

    fn is_transparent(&self) -> bool {
        false
    }

    fn overhead_bytes(&self) -> u64 {
        OVERHEAD_BYTES as u64
    }

    fn seal(&mut self, flags: u8, body: &[u8], out: &mut Vec<u8>) {
        if let State::Done(traffic) = &mut self.state {
            traffic.seal(flags, body, out);
        }
    }

    fn open(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<u8, ProtocolError> {
        match &mut self.state {
            State::Done(traffic) => traffic.open(sealed, out),
            _ => Err(ProtocolError::NotReady),
        }
    }
}

impl ExpectHello {
    fn handle_hello(self, data: &[u8], out: &mut Vec<u8>) -> Result<ExpectInitiate, ProtocolError> {
        let malformed = |fault| ProtocolError::MalformedCommand { command: "HELLO", fault };
        let hello = Hello::parse(data).ok_or_else(|| malformed("it is not 200 bytes long"))?;
        if hello.version != [1, 0] {
            return Err(malformed("its version is not 1.0"));
        }
        if hello.padding != [0; 72] {
            return Err(malformed("its padding is not zero"));
        }
        let key = self.secret.agree(&hello.client).ok_or(ProtocolError::Unauthentic)?;
        let nonce = Nonce::short(b"CurveZMQHELLO---", hello.counter);
        let signature = key.open(&nonce, hello.signature).ok_or(ProtocolError::Unauthentic)?;
        if *signature != [0; 64] {
            return Err(malformed("its signature does not sign zeros"));
        }

        let cookie = self.cookie_key.seal(
            &Nonce::long(b"COOKIE--", &self.cookie_nonce),
            &[&hello.client, self.transient.octets()],
        );
        let sealed = key.seal(
            &Nonce::long(b"WELCOME-", &self.welcome_nonce),
            &[&self.transient.public(), &self.cookie_nonce, &cookie],
        );
        frame::append(frame::COMMAND, &[b"\x07WELCOME", &self.welcome_nonce, &sealed], out);
        let received = Received::first(hello.counter);
        Ok(ExpectInitiate { secret: self.secret, cookie_key: self.cookie_key, received })
    }
}

impl ExpectInitiate {
    /// The answer has the client's metadata, too.
    fn handle_initiate(
        self,
        data: &[u8],
        metadata: &[u8],
    ) -> Result<(ExpectDecision, Vec<u8>), ProtocolError> {
        let initiate = Initiate::parse(data).ok_or(ProtocolError::MalformedCommand {
            command: "INITIATE",
            fault: "it is shorter than 257 bytes",
        })?;
        let cookie = self
            .cookie_key
            .open(&Nonce::long(b"COOKIE--", &initiate.cookie_nonce), initiate.cookie)
            .ok_or(ProtocolError::Unauthentic)?;
        let (client_transient, transient) =
            cookie.split_first_chunk().ok_or(ProtocolError::Unauthentic)?;
        let transient = SecretKey::new(transient.first_chunk().ok_or(ProtocolError::Unauthentic)?);
        let received = self.received.next(initiate.counter)?;
        let shared = transient.agree(client_transient).ok_or(ProtocolError::Unauthentic)?;
        let opened = shared
            .open(&Nonce::short(b"CurveZMQINITIATE", initiate.counter), initiate.sealed)
            .ok_or(ProtocolError::Unauthentic)?;
        let introduction = Introduction::parse(&opened).ok_or(ProtocolError::Unauthentic)?;

        // It takes the secret key of C to say that C' is its own, and that it means this server.
        let vouch = transient
            .agree(&introduction.client)
            .and_then(|key| {
                key.open(&Nonce::long(b"VOUCH---", &introduction.vouch_nonce), introduction.vouch)
            })
            .ok_or(ProtocolError::Unauthentic)?;
        let expected = [*client_transient, self.secret.public()];
        if !bool::from(vouch.ct_eq(expected.as_flattened())) {
            return Err(ProtocolError::KeyExchange);
        }

        let counter = READY_COUNTER.to_be_bytes();
        let sealed = shared.seal(&Nonce::short(b"CurveZMQREADY---", counter), &[metadata]);
        let mut held = Vec::new();
        frame::append(frame::COMMAND, &[b"\x05READY", &counter, &sealed], &mut held);
        let traffic = Traffic::of_server(&shared, READY_COUNTER, received);
        let next = ExpectDecision { client_public: introduction.client, held, traffic };
        Ok((next, introduction.metadata.to_vec()))
    }
}

/// The data of a HELLO.
struct Hello<'a> {
    version: [u8; 2],
    padding: [u8; 72],
    /// C'
    client: [u8; KEY_BYTES],
    counter: [u8; 8],
    signature: &'a [u8],
}

impl<'a> Hello<'a> {
    fn parse(data: &'a [u8]) -> Option<Hello<'a>> {
        let (&version, rest) = data.split_first_chunk()?;
        let (&padding, rest) = rest.split_first_chunk()?;
        let (&client, rest) = rest.split_first_chunk()?;
        let (&counter, signature) = rest.split_first_chunk()?;
        let hello = Hello { version, padding, client, counter, signature };
        (signature.len() == TAG_BYTES + 64).then_some(hello)
    }
}

/// The data of an INITIATE.
struct Initiate<'a> {
    cookie_nonce: [u8; 16],
    cookie: &'a [u8],
    counter: [u8; 8],
    sealed: &'a [u8],
}

impl<'a> Initiate<'a> {
    fn parse(data: &'a [u8]) -> Option<Initiate<'a>> {
        let (&cookie_nonce, rest) = data.split_first_chunk()?;
        let (cookie, rest) = rest.split_at_checked(TAG_BYTES + 2 * KEY_BYTES)?;
        let (&counter, sealed) = rest.split_first_chunk()?;
        let initiate = Initiate { cookie_nonce, cookie, counter, sealed };
        (sealed.len() >= TAG_BYTES + INTRODUCTION_BYTES_MIN).then_some(initiate)
    }
}

const INTRODUCTION_BYTES_MIN: usize = KEY_BYTES + 16 + VOUCH_BYTES;
const VOUCH_BYTES: usize = TAG_BYTES + 2 * KEY_BYTES;

/// What is in the box of an INITIATE.
struct Introduction<'a> {
    /// C
    client: [u8; KEY_BYTES],
    vouch_nonce: [u8; 16],
    vouch: &'a [u8],
    metadata: &'a [u8],
}

impl<'a> Introduction<'a> {
    fn parse(opened: &'a [u8]) -> Option<Introduction<'a>> {
        let (&client, rest) = opened.split_first_chunk()?;
        let (&vouch_nonce, rest) = rest.split_first_chunk()?;
        let (vouch, metadata) = rest.split_at_checked(VOUCH_BYTES)?;
        Some(Introduction { client, vouch_nonce, vouch, metadata })
    }
}
