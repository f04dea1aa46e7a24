//! The states of a connection and every transition between them, up to the end of the handshake.

use std::fmt;

use super::config::Config;
use super::event::Peer;
use super::old_peer::{self, OldPeer};
use crate::mechanism::{Mechanism, Progress, plain};
use crate::wire::command::{Command, CommandView};
use crate::wire::frame::{self, FrameHeader};
use crate::wire::greeting::{
    Era, GREETING_BYTES, Greeting, MechanismName, REVISION_BYTES, SIGNATURE_BYTES, Version,
};
use crate::wire::metadata::{self, Metadata};
use crate::{ProtocolError, SocketType};

/// What a connection awaits.
///
/// ```text
///  state             awaits                  then sends           next
/// ------------------------------------------------------------------------------------
///  (start)           -                       signature (10)       ExpectSignature
///  ExpectSignature   FF, 8 bytes, odd byte   major version (1)    ExpectRevision
///  ExpectSignature   another start (1 or 10) identity (0-255)     ExpectIdentity
///  ExpectRevision    a version of 3 or more  the rest (53)        ExpectGreeting
///  ExpectRevision    a revision of 0 to 2    type, identity frame ExpectIdentity
///  ExpectGreeting    our mechanism           its first command    ExpectReady
///  ExpectReady       a handshake command     the answer, if any   ExpectReady
///  ExpectReady       the last of them        the answer, if any   Ready
///  ExpectReady       (a decision on the peer, while there are credentials)
///  ExpectIdentity    type, identity frame    -                    Ready
///  Ready             traffic                 -                    Ready
///  any               anything else           -                    Failed
/// ```
///
/// The greeting leaves in pieces, as libzmq's does, because a ZMTP 1.0 peer takes the signature for
/// the header of an identity frame, and a 2.0 peer expects a socket type after the version.
///
/// "Traffic" includes errors: the first one that a frame causes ends in Failed. A transition
/// consumes the state it starts from; Failed is what remains when it does not complete.
///
/// What only a handshake needs is boxed: connections are at rest for most of their time.
#[derive(Debug)]
pub(super) enum State {
    ExpectSignature(Box<Received>),
    ExpectRevision(Box<Received>),
    ExpectGreeting(Box<Received>),
    ExpectReady(Box<Handshake>),
    ExpectIdentity(Box<OldPeer>),
    Ready(Ready),
    Failed(Box<ProtocolError>),
}

/// As much of a greeting as has arrived.
#[derive(Debug)]
pub(super) struct Received {
    octets: [u8; GREETING_BYTES],
    length: usize,
}

/// What is known between the greeting and the end of the handshake.
pub(super) struct Handshake {
    version: Version,
    as_server: bool,
    metadata: Option<Metadata>,
    /// The start of a frame that has not arrived completely. Never longer than what has arrived.
    partial: Vec<u8>,
}

/// The other end, as far as traffic depends on it; the rest until somebody takes it.
#[derive(Debug)]
pub(super) struct Ready {
    pub version: Version,
    pub forwards_subscriptions: bool,
    pub peer: Option<Box<Peer>>,
}

/// What a transition works on, beside the state.
pub(super) struct Context<'a> {
    pub config: &'a Config,
    pub mechanism: &'a mut dyn Mechanism,
    /// Bytes for the peer are appended here.
    pub out: &'a mut Vec<u8>,
}

impl State {
    pub fn start(context: Context<'_>) -> State {
        context.out.extend(context.greeting().iter().take(SIGNATURE_BYTES));
        State::ExpectSignature(Box::new(Received { octets: [0; GREETING_BYTES], length: 0 }))
    }

    pub fn failed(error: ProtocolError) -> State {
        State::Failed(Box::new(error))
    }

    fn ready(peer: Peer) -> State {
        State::Ready(Ready {
            version: peer.version,
            forwards_subscriptions: peer.forwards_subscriptions,
            peer: Some(Box::new(peer)),
        })
    }

    /// Takes what the state awaits from `input`, which is not empty, as far as it is there.
    ///
    /// The answer is the next state and how many bytes were taken: at least one, except in
    /// the states Ready and Failed, which await no handshake.
    pub fn handle_handshake(
        self,
        input: &[u8],
        mut context: Context<'_>,
    ) -> Result<(State, usize), ProtocolError> {
        match self {
            State::ExpectSignature(mut received) => {
                // Where a first octet decides, those behind it may be traffic.
                let first = received.octets().first().or(input.first()).copied();
                let octets = if Era::decided_by_first(first) { 1 } else { SIGNATURE_BYTES };
                let taken = received.take(input, octets);
                let state = match Era::detect(received.octets()) {
                    Era::Undecided => State::ExpectSignature(received),
                    Era::Unversioned => {
                        context.check_old_peer(Version::V1_0)?;
                        let (config, out) = (context.config, &mut *context.out);
                        let peer = OldPeer::without_greeting(received.octets(), config, out);
                        // An anonymous one is known by now.
                        State::expect_identity(Box::new(peer), &[], config)?.0
                    }
                    Era::Versioned | Era::Revision(_) => {
                        context.send_greeting(SIGNATURE_BYTES, REVISION_BYTES);
                        State::ExpectRevision(received)
                    }
                };
                Ok((state, taken))
            }
            State::ExpectRevision(mut received) => {
                let taken = received.take(input, REVISION_BYTES);
                let Era::Revision(revision @ 0..3) = Era::detect(received.octets()) else {
                    // "A peer MUST accept higher protocol versions as valid."
                    context.send_greeting(REVISION_BYTES, GREETING_BYTES);
                    return Ok((State::ExpectGreeting(received), taken));
                };
                let version = old_peer::version_of(revision);
                context.check_old_peer(version)?;
                let (config, out) = (context.config, &mut *context.out);
                let peer = OldPeer::with_greeting(version, config, out);
                Ok((State::ExpectIdentity(Box::new(peer)), taken))
            }
            State::ExpectGreeting(mut received) => {
                let taken = received.take(input, GREETING_BYTES);
                if received.length < GREETING_BYTES {
                    return Ok((State::ExpectGreeting(received), taken));
                }
                let greeting =
                    Greeting::parse(&received.octets).ok_or_else(|| received.not_zmtp())?;
                let ours = context.mechanism.name();
                // "If the mechanism that the peer received does not exactly match the mechanism it
                // sent, it MUST close the connection."
                if greeting.mechanism != ours {
                    let theirs = greeting.mechanism;
                    return Err(ProtocolError::MechanismMismatch { ours, theirs });
                }
                // Neither would begin. (Of libzmq this cannot be seen: it never says what it is.)
                if greeting.as_server && context.as_server() {
                    return Err(ProtocolError::BothServers);
                }
                context.mechanism.initial_command(&context.config.emit_metadata(), context.out);
                let handshake = Handshake {
                    version: greeting.version,
                    as_server: greeting.as_server,
                    metadata: None,
                    partial: Vec::new(),
                };
                Ok((State::ExpectReady(Box::new(handshake)), taken))
            }
            State::ExpectReady(mut handshake) => {
                let (taken, complete) = handshake.take(input, context.config)?;
                if complete {
                    handshake.handle_frame(&mut context)?;
                }
                Ok((State::ExpectReady(handshake).after_command(&context)?, taken))
            }
            State::ExpectIdentity(peer) => State::expect_identity(peer, input, context.config),
            State::Ready(_) | State::Failed(_) => Ok((self, 0)),
        }
    }

    /// The next state, when a command may have been the last one.
    pub fn after_command(self, context: &Context<'_>) -> Result<State, ProtocolError> {
        match self {
            State::ExpectReady(handshake) if context.mechanism.is_done() => {
                Ok(State::ready(handshake.finish(context.config)?))
            }
            state => Ok(state),
        }
    }

    fn expect_identity(
        mut peer: Box<OldPeer>,
        input: &[u8],
        config: &Config,
    ) -> Result<(State, usize), ProtocolError> {
        let (taken, complete) = peer.take(input, config)?;
        let state =
            if complete { State::ready(peer.finish()?) } else { State::ExpectIdentity(peer) };
        Ok((state, taken))
    }
}

impl Received {
    fn octets(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or(&self.octets)
    }

    fn not_zmtp(&self) -> ProtocolError {
        ProtocolError::NotZmtp { start: self.octets().to_vec() }
    }

    /// Moves bytes from `input` until there are `length` of them; the answer is how many moved.
    fn take(&mut self, input: &[u8], length: usize) -> usize {
        let free = self.octets.get_mut(self.length..length).unwrap_or_default();
        let taken = free.len().min(input.len());
        for (slot, octet) in free.iter_mut().zip(input) {
            *slot = *octet;
        }
        self.length += taken;
        taken
    }
}

impl Handshake {
    /// Moves bytes from `input` until there is a whole frame. The answer is how many moved and
    /// whether the frame is complete.
    fn take(&mut self, input: &[u8], config: &Config) -> Result<(usize, bool), ProtocolError> {
        let mut rest = input;
        let header = loop {
            if let Some(header) = check_handshake_header(&self.partial, config)? {
                break header;
            }
            let Some((&octet, after)) = rest.split_first() else {
                return Ok((input.len(), false));
            };
            self.partial.push(octet);
            rest = after;
        };
        // No overflow: the header was checked against `command_bytes_max`.
        let frame_bytes = header.frame_bytes().unwrap_or(usize::MAX);
        let missing = frame_bytes.saturating_sub(self.partial.len());
        let (body, rest) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
        self.partial.extend_from_slice(body);
        Ok((input.len() - rest.len(), body.len() == missing))
    }

    /// Acts on the complete frame in `partial`, and clears it.
    fn handle_frame(&mut self, context: &mut Context<'_>) -> Result<(), ProtocolError> {
        let frame = std::mem::take(&mut self.partial);
        let body = frame::parse_header(&frame)
            .and_then(|header| frame.get(header.header_bytes..))
            .unwrap_or_default();
        let misspelt = plain::misspelt_error(body)
            .filter(|_| context.mechanism.name() == MechanismName::PLAIN);
        let command = match misspelt {
            Some(reason) => Command::Error { reason },
            None => Command::parse(body)?,
        };
        if let Command::Error { reason } = command {
            return Err(ProtocolError::RefusedByPeer { reason: reason.to_vec() });
        }
        match context.mechanism.handle_command(CommandView::parse(body)?, context.out)? {
            Progress::Continue => {}
            Progress::Metadata(bytes) => {
                let bytes_max = context.config.limits.metadata_bytes_max;
                self.metadata = Some(Metadata::parse(&bytes, bytes_max)?);
            }
        }
        Ok(())
    }

    fn finish(self, config: &Config) -> Result<Peer, ProtocolError> {
        let metadata = self.metadata.unwrap_or_default();
        Ok(Peer {
            version: self.version,
            forwards_subscriptions: true,
            as_server: self.as_server,
            socket_type: check_socket_type(config.socket_type, &metadata)?,
            identity: check_identity(&metadata)?,
            metadata: metadata.into_properties(),
        })
    }
}

/// Without what has arrived: there may be a password in it.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake")
            .field("version", &self.version)
            .field("as_server", &self.as_server)
            .field("metadata", &self.metadata)
            .field("partial_bytes", &self.partial.len())
            .finish()
    }
}

impl Context<'_> {
    fn greeting(&self) -> [u8; GREETING_BYTES] {
        let greeting = Greeting {
            padding: old_peer::identity(self.config).len() as u64 + 1,
            version: Version::OURS,
            mechanism: self.mechanism.name(),
            as_server: self.as_server(),
        };
        greeting.emit()
    }

    fn as_server(&self) -> bool {
        self.config.as_server && self.mechanism.has_roles()
    }

    /// Refuses a peer that knows no security where there is some to be had.
    fn check_old_peer(&self, version: Version) -> Result<(), ProtocolError> {
        if self.mechanism.is_secured() {
            return Err(ProtocolError::UnsupportedVersion { version });
        }
        Ok(())
    }

    fn send_greeting(&mut self, from: usize, to: usize) {
        self.out.extend(self.greeting().iter().take(to).skip(from));
    }
}

/// The header at the start of `partial`, if it is complete. What is wrong with it is said as soon
/// as it can be seen.
fn check_handshake_header(
    partial: &[u8],
    config: &Config,
) -> Result<Option<FrameHeader>, ProtocolError> {
    if let Some(&flags) = partial.first() {
        frame::check_flags(flags)?;
        if flags & frame::COMMAND == 0 {
            return Err(ProtocolError::MessageInHandshake);
        }
    }
    let Some(header) = frame::parse_header(partial) else { return Ok(None) };
    check_command_header(&header, config)?;
    Ok(Some(header))
}

/// Refuses the header of a command that is malformed or too long; otherwise its body's length.
pub(super) fn check_command_header(
    header: &FrameHeader,
    config: &Config,
) -> Result<usize, ProtocolError> {
    header.check()?;
    let limit_bytes = config.limits.command_bytes_max;
    match usize::try_from(header.body_bytes) {
        Ok(body_bytes) if body_bytes <= limit_bytes => Ok(body_bytes),
        _ => Err(ProtocolError::CommandTooLong { length_bytes: header.body_bytes, limit_bytes }),
    }
}

fn check_socket_type(
    ours: SocketType,
    metadata: &Metadata,
) -> Result<Option<SocketType>, ProtocolError> {
    // "The sender SHOULD specify the Socket-Type": libzmq accepts a peer that does not.
    let Some(name) = metadata.get(metadata::SOCKET_TYPE) else { return Ok(None) };
    let theirs = SocketType::from_name(name)
        .ok_or_else(|| ProtocolError::UnknownSocketType { name: name.to_vec() })?;
    if !ours.compatible_with(theirs) {
        // RFC 37 would answer with ERROR ("SHOULD"); libzmq just closes, and so do we: by the time
        // the peer reads it, it has seen our READY and knows.
        return Err(ProtocolError::IncompatibleSocketType { ours, theirs });
    }
    Ok(Some(theirs))
}

fn check_identity(metadata: &Metadata) -> Result<Vec<u8>, ProtocolError> {
    let identity = metadata.get(metadata::IDENTITY).unwrap_or_default();
    // "identity = 0*255OCTET"
    if identity.len() > usize::from(u8::MAX) {
        return Err(ProtocolError::IdentityTooLong { length_bytes: identity.len() });
    }
    // "identities starting with a zero octet are reserved for implementations' internal use"
    if identity.first() == Some(&0) {
        return Err(ProtocolError::IdentityReserved);
    }
    Ok(identity.to_vec())
}
