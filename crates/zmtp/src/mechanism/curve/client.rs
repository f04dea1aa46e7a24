//! The client's end of a CURVE handshake.

use std::fmt;
use std::mem;

use zeroize::Zeroize;

use super::crypto::{BoxKey, KEY_BYTES, Nonce, SecretKey, TAG_BYTES};
use super::draw;
use super::server::COOKIE_BYTES;
use super::traffic::{OVERHEAD_BYTES, Received, Traffic};
use crate::ProtocolError;
use crate::mechanism::{Mechanism, Progress};
use crate::wire::command::CommandView;
use crate::wire::frame;
use crate::wire::greeting::MechanismName;

/// The counters of the commands that a client sends, one each.
const HELLO_COUNTER: u64 = 1;
const INITIATE_COUNTER: u64 = 2;

/// The long-term keys that a client of CURVE needs.
#[derive(Clone)]
pub struct CurveClientKeys {
    /// The public key of the server.
    pub server_public: [u8; 32],
    /// The client's own public key.
    pub public: [u8; 32],
    /// The secret key that belongs to it.
    pub secret: [u8; 32],
}

impl fmt::Debug for CurveClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CurveClientKeys")
            .field("server_public", &self.server_public)
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

impl Drop for CurveClientKeys {
    fn drop(&mut self) {
        self.secret.zeroize();
    }
}

/// The client of the CURVE mechanism of RFC 25.
///
/// ```
/// use oxmq_zmtp::mechanism::{CurveClient, CurveClientKeys, CurveServer, curve_public_key};
/// use oxmq_zmtp::{Config, Connection, Opened, SocketType};
///
/// # fn random(bytes: &mut [u8]) { bytes.fill(3) }
/// let (client_secret, server_secret) = ([1; 32], [2; 32]); // from a source of random numbers
/// let keys = CurveClientKeys {
///     server_public: curve_public_key(&server_secret),
///     public: curve_public_key(&client_secret),
///     secret: client_secret,
/// };
/// let client = CurveClient::new(keys, &mut random);
/// let server = CurveServer::new(&server_secret, false, &mut random);
///
/// let mut push =
///     Connection::with_mechanism(Config::new(SocketType::Push), Box::new(client));
/// let config = Config { as_server: true, ..Config::new(SocketType::Pull) };
/// let mut pull = Connection::with_mechanism(config, Box::new(server));
/// while !(push.is_ready() && pull.is_ready()) {
///     let mut bytes = Vec::new();
///     push.poll_transmit(&mut bytes);
///     pull.handle_handshake(&bytes)?;
///     bytes.clear();
///     pull.poll_transmit(&mut bytes);
///     push.handle_handshake(&bytes)?;
/// }
///
/// let (mut wire, mut body) = (Vec::new(), Vec::new());
/// push.seal(false, b"hello", &mut wire);
/// // The frame's header has two bytes.
/// assert_eq!(pull.open(&wire[2..], &mut body)?, Opened::Message { more: false });
/// assert_eq!(body, b"hello");
/// # Ok::<(), oxmq_zmtp::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct CurveClient {
    state: State,
}

#[derive(Debug)]
enum State {
    Start(Box<Start>),
    ExpectWelcome(Box<ExpectWelcome>),
    ExpectReady(BoxKey),
    Done(Traffic),
    Failed,
}

#[derive(Debug)]
struct Start {
    server_public: [u8; KEY_BYTES],
    public: [u8; KEY_BYTES],
    /// c
    secret: SecretKey,
    /// c'
    transient: SecretKey,
    vouch_nonce: [u8; 16],
}

#[derive(Debug)]
struct ExpectWelcome {
    start: Start,
    /// C'
    transient_public: [u8; KEY_BYTES],
    /// Of (C', S); `None` if the server's key is nobody's.
    key: Option<BoxKey>,
    metadata: Vec<u8>,
}

impl CurveClient {
    /// A handshake that has not begun. `fill` fills what it is given with random bytes; it is called
    /// here and not later.
    pub fn new(keys: CurveClientKeys, fill: &mut dyn FnMut(&mut [u8])) -> CurveClient {
        let transient = SecretKey::filled(&mut *fill);
        let start = Start {
            server_public: keys.server_public,
            public: keys.public,
            secret: SecretKey::new(&keys.secret),
            transient,
            vouch_nonce: draw(fill),
        };
        CurveClient { state: State::Start(Box::new(start)) }
    }
}

impl Mechanism for CurveClient {
    fn name(&self) -> MechanismName {
        MechanismName::CURVE
    }

    fn has_roles(&self) -> bool {
        true
    }

    fn initial_command(&mut self, metadata: &[u8], out: &mut Vec<u8>) {
        match mem::replace(&mut self.state, State::Failed) {
            State::Start(start) => {
                let next = start.send_hello(metadata, out);
                self.state = State::ExpectWelcome(Box::new(next));
            }
            state => self.state = state,
        }
    }

    fn handle_command(
        &mut self,
        command: CommandView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ProtocolError> {
        match (mem::replace(&mut self.state, State::Failed), command.name) {
            (State::ExpectWelcome(state), b"WELCOME") => {
                self.state = State::ExpectReady(state.handle_welcome(command.data, out)?);
                Ok(Progress::Continue)
            }
            (State::ExpectReady(key), b"READY") => {
                let (traffic, metadata) = handle_ready(&key, command.data)?;
                self.state = State::Done(traffic);
                Ok(Progress::Metadata(metadata))
            }
            (state, name) => {
                let expected = match state {
                    State::ExpectWelcome(_) => "WELCOME or ERROR",
                    State::ExpectReady(_) => "READY or ERROR",
                    State::Start(_) | State::Done(_) | State::Failed => "none",
                };
                Err(ProtocolError::UnexpectedCommand { name: name.to_vec(), expected })
            }
        }
    }

    fn has_shown_credentials(&self) -> bool {
        matches!(self.state, State::ExpectReady(_) | State::Done(_))
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

impl Start {
    fn send_hello(self, metadata: &[u8], out: &mut Vec<u8>) -> ExpectWelcome {
        let transient_public = self.transient.public();
        let key = self.transient.agree(&self.server_public);
        let counter = HELLO_COUNTER.to_be_bytes();
        let nonce = Nonce::short(b"CurveZMQHELLO---", counter);
        let signature = match &key {
            Some(key) => key.seal(&nonce, &[&[0; 64]]),
            // No server can open it whatever it is; and what it answers is refused.
            None => vec![0; TAG_BYTES + 64],
        };
        // The version is 1.0; the padding makes this longer than what the server answers.
        let parts: [&[u8]; 5] =
            [b"\x05HELLO\x01\x00", &[0; 72], &transient_public, &counter, &signature];
        frame::append(frame::COMMAND, &parts, out);
        ExpectWelcome { start: self, transient_public, key, metadata: metadata.to_vec() }
    }
}

impl ExpectWelcome {
    /// The answer is the key of (C', S').
    fn handle_welcome(self, data: &[u8], out: &mut Vec<u8>) -> Result<BoxKey, ProtocolError> {
        let (nonce, sealed) = data
            .split_first_chunk()
            .filter(|(_, sealed)| sealed.len() == TAG_BYTES + KEY_BYTES + COOKIE_BYTES)
            .ok_or(ProtocolError::MalformedCommand {
                command: "WELCOME",
                fault: "it is not 168 bytes long",
            })?;
        let key = self.key.as_ref().ok_or(ProtocolError::Unauthentic)?;
        let opened =
            key.open(&Nonce::long(b"WELCOME-", nonce), sealed).ok_or(ProtocolError::Unauthentic)?;
        let (server_transient, cookie) =
            opened.split_first_chunk().ok_or(ProtocolError::Unauthentic)?;
        let Start { server_public, public, secret, transient, vouch_nonce } = &self.start;
        let shared = transient.agree(server_transient).ok_or(ProtocolError::Unauthentic)?;

        let vouch = secret
            .agree(server_transient)
            .ok_or(ProtocolError::Unauthentic)?
            .seal(&Nonce::long(b"VOUCH---", vouch_nonce), &[&self.transient_public, server_public]);
        let counter = INITIATE_COUNTER.to_be_bytes();
        let sealed = shared.seal(
            &Nonce::short(b"CurveZMQINITIATE", counter),
            &[public, vouch_nonce, &vouch, &self.metadata],
        );
        frame::append(frame::COMMAND, &[b"\x08INITIATE", cookie, &counter, &sealed], out);
        Ok(shared)
    }
}

fn handle_ready(key: &BoxKey, data: &[u8]) -> Result<(Traffic, Vec<u8>), ProtocolError> {
    let (counter, sealed) = data
        .split_first_chunk()
        .filter(|(_, sealed)| sealed.len() >= TAG_BYTES)
        .ok_or(ProtocolError::MalformedCommand {
            command: "READY",
            fault: "it is shorter than 30 bytes",
        })?;
    let nonce = Nonce::short(b"CurveZMQREADY---", *counter);
    let metadata = key.open(&nonce, sealed).ok_or(ProtocolError::Unauthentic)?;
    let traffic = Traffic::of_client(key, INITIATE_COUNTER, Received::first(*counter));
    Ok((traffic, metadata.to_vec()))
}
