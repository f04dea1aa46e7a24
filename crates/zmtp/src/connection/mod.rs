//! The state machine of one connection.
//!
//! # Order of calls
//!
//! A [`Connection`] does nothing by itself; its methods come in four families.
//!
//! 1. *Getters* ([`is_ready`](Connection::is_ready), [`peer`](Connection::peer)) at any time.
//! 2. *Events in*: [`handle_handshake`](Connection::handle_handshake) with what the peer sends,
//!    until `is_ready`, and [`admit`](Connection::admit) when there are
//!    [`credentials`](Connection::credentials); from then on [`decode`](Connection::decode), one frame a call, and
//!    [`handle_command`](Connection::handle_command) or [`open`](Connection::open) when `decode`
//!    says so.
//! 3. *Mutators* ([`ping`](Connection::ping), [`subscribe`](Connection::subscribe),
//!    [`cancel`](Connection::cancel), [`error`](Connection::error), [`seal`](Connection::seal))
//!    append to a buffer of the caller, who sends it; and [`take_peer`](Connection::take_peer).
//! 4. *Effects out*: [`poll_transmit`](Connection::poll_transmit) after `new` and after every event,
//!    and what it appends has to be sent before anything else that is appended later. During the
//!    handshake nothing else may be sent; afterwards what it appends (a PONG) may go between any two
//!    frames, of one message, too.
//!
//! Messages are sent without the connection, with [`wire::frame`](crate::wire::frame): with a
//! transparent mechanism they look the same to every peer, except to those that
//! [have frames of their own](Connection::frames_v1), of [`wire::frame_v1`](crate::wire::frame_v1).
//!
//! After an error every call in family 2 repeats it, and family 3 appends nothing more.

mod config;
mod event;
mod old_peer;
mod state;

use std::fmt;
use std::mem;
use std::sync::Arc;

use crate::ProtocolError;
use crate::mechanism::{Mechanism, Null};
use crate::wire::command::{self, Command};
use crate::wire::frame;
use crate::wire::frame_v1::{self, FrameLength};
use crate::wire::greeting::{MechanismName, Version};

pub use config::{Config, Limits};
pub use event::{Decoded, Event, Opened, Peer};
use state::{Context, Ready, State};

/// One end of a connection. See the [module](self) for the order of calls.
pub struct Connection {
    /// One more than the longest body that [`decode`](Self::decode) may hand out without another
    /// look: 0 unless the connection is ready and transparent, with frames of ZMTP 2 and 3, so that
    /// one comparison answers for the state, the version, the mechanism and the limit.
    short_bytes_end: usize,
    state: State,
    /// `None` when the handshake is over and frames travel as they are.
    mechanism: Option<Box<dyn Mechanism>>,
    config: Arc<Config>,
    pending: Vec<u8>,
}

impl Connection {
    /// A connection without security (NULL). Its greeting waits in
    /// [`poll_transmit`](Self::poll_transmit). Many connections may share one `Arc<Config>`.
    pub fn new(config: impl Into<Arc<Config>>) -> Connection {
        Connection::with_mechanism(config, Box::new(Null::new()))
    }

    /// A connection with the given security mechanism.
    pub fn with_mechanism(
        config: impl Into<Arc<Config>>,
        mut mechanism: Box<dyn Mechanism>,
    ) -> Connection {
        let config = config.into();
        let mut pending = Vec::new();
        let context = Context { config: &config, mechanism: mechanism.as_mut(), out: &mut pending };
        let state = State::start(context);
        Connection { short_bytes_end: 0, state, mechanism: Some(mechanism), config, pending }
    }

    // Getters.

    /// Whether the handshake is over and traffic may begin.
    pub fn is_ready(&self) -> bool {
        matches!(self.state, State::Ready(_))
    }

    /// The other end; `None` until [`is_ready`](Self::is_ready), and once it was
    /// [taken](Self::take_peer).
    pub fn peer(&self) -> Option<&Peer> {
        self.ready().and_then(|ready| ready.peer.as_deref())
    }

    /// The version in the peer's greeting; `None` until [`is_ready`](Self::is_ready).
    pub fn peer_version(&self) -> Option<Version> {
        self.ready().map(|ready| ready.version)
    }

    /// Whether frames are those of ZMTP 1.0; not known before [`is_ready`](Self::is_ready).
    pub fn frames_v1(&self) -> bool {
        self.peer_version() == Some(Version::V1_0)
    }

    /// What the peer claims or has shown, if it is for the caller to decide whether it is welcome:
    /// by [`admit`](Self::admit) or [`error`](Self::error). Until then the handshake stands still.
    pub fn credentials(&self) -> Option<Vec<Vec<u8>>> {
        match self.state {
            State::ExpectReady(_) => self.mechanism.as_ref()?.credentials(),
            _ => None,
        }
    }

    /// The security mechanism of the handshake; `None` when that is over and frames travel as they
    /// are.
    pub fn mechanism(&self) -> Option<MechanismName> {
        self.mechanism.as_ref().map(|mechanism| mechanism.name())
    }

    /// Whether this end has shown the peer credentials in a handshake that is not over, so that a peer
    /// that [refuses](ProtocolError::RefusedByPeer) it refuses these. Never with NULL, which has none; with
    /// CURVE not before the peer has proved that it is the server: until then anybody at its address could
    /// say ERROR.
    pub fn has_shown_credentials(&self) -> bool {
        self.mechanism.as_ref().is_some_and(|mechanism| mechanism.has_shown_credentials())
    }

    /// Whether every frame of traffic is sealed, so that messages are sent with
    /// [`seal`](Self::seal); not known before [`is_ready`](Self::is_ready).
    pub fn seals(&self) -> bool {
        self.is_ready() && !self.is_transparent()
    }

    /// Whether bytes wait for [`poll_transmit`](Self::poll_transmit).
    #[inline]
    pub fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether as many PONGs wait for [`poll_transmit`](Self::poll_transmit) as may
    /// ([`pong_bytes_max`](Limits::pong_bytes_max)): the next PING gets none. Who can have them sent
    /// before `decode` goes on answers every PING.
    pub fn has_pongs_enough(&self) -> bool {
        self.is_ready() && self.pending.len() >= self.config.limits.pong_bytes_max
    }

    /// Why the connection cannot go on, if so.
    pub fn failure(&self) -> Option<&ProtocolError> {
        match &self.state {
            State::Failed(error) => Some(error.as_ref()),
            _ => None,
        }
    }

    /// What this end was told about itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    // Events in.

    /// Takes bytes of the handshake, in pieces of any size. The answer is how many were taken: all
    /// of them, or, if that ended the handshake, not a byte of the traffic behind it; and none while
    /// there are [`credentials`](Self::credentials) to be judged.
    ///
    /// # Errors
    ///
    /// Whatever makes the peer unacceptable. The rest of our greeting may still wait to be sent, so
    /// that the peer, too, can see why ("A peer that reads a full greeting, including mechanism,
    /// MUST also send a full greeting including mechanism").
    pub fn handle_handshake(&mut self, input: &[u8]) -> Result<usize, ProtocolError> {
        if let State::Failed(error) = &self.state {
            return Err((**error).clone());
        }
        let mut rest = input;
        while !rest.is_empty() {
            let Some(mechanism) = self.mechanism.as_deref_mut() else { break };
            if mechanism.credentials().is_some() {
                break;
            }
            let state = mem::replace(&mut self.state, State::failed(ProtocolError::NotReady));
            let context = Context { config: &self.config, mechanism, out: &mut self.pending };
            match state.handle_handshake(rest, context) {
                Ok((state, taken)) => {
                    self.state = state;
                    rest = rest.get(taken..).unwrap_or_default();
                }
                Err(error) => return Err(self.fail(error)),
            }
            if self.is_ready() {
                break;
            }
        }
        self.settle();
        Ok(input.len() - rest.len())
    }

    /// The peer that [`credentials`](Self::credentials) are of is welcome, and the handshake goes on;
    /// [`error`](Self::error) is the other answer. That may have been its last step.
    ///
    /// # Errors
    ///
    /// Whatever is wrong with what the peer has said of itself.
    pub fn admit(&mut self) -> Result<(), ProtocolError> {
        let Some(mechanism) = self.mechanism.as_deref_mut() else { return Ok(()) };
        if mechanism.credentials().is_none() {
            return Ok(());
        }
        mechanism.admit(&mut self.pending);
        let state = mem::replace(&mut self.state, State::failed(ProtocolError::NotReady));
        let context = Context { config: &self.config, mechanism, out: &mut self.pending };
        match state.after_command(&context) {
            Ok(state) => self.state = state,
            Err(error) => return Err(self.fail(error)),
        }
        self.settle();
        Ok(())
    }

    /// Looks at the frame at the start of `input`; a body is handed on as a part of `input`, never
    /// copied.
    ///
    /// A command between two parts of one message is accepted, as libzmq does (which sends its
    /// heartbeats there). A frame that is wholly in `input` is handed out however long it is.
    ///
    /// # Errors
    ///
    /// A frame that breaks the grammar or a limit, as soon as that can be seen from its header; or
    /// [`NotReady`](ProtocolError::NotReady), which does not fail the connection.
    #[inline]
    pub fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, ProtocolError> {
        if let [flags, length, rest @ ..] = input
            && *flags <= frame::MORE
            && usize::from(*length) < self.short_bytes_end
            && let Some(body) = rest.get(..usize::from(*length))
        {
            let consumed = frame::HEADER_BYTES_SHORT + body.len();
            return Ok(Decoded::Message { more: *flags == frame::MORE, body, consumed });
        }
        self.decode_other(input)
    }

    /// The body of the message at the start of `input`, if it has one part, came in a short frame
    /// that is wholly there, and is as the peer wrote it; of anything else, [`decode`](Self::decode)
    /// says what it is. For a reader of many: an `Option` of a slice stays in registers.
    #[inline]
    pub fn short_message<'a>(&self, input: &'a [u8]) -> Option<&'a [u8]> {
        match input {
            [0, length, rest @ ..] if usize::from(*length) < self.short_bytes_end => {
                rest.get(..usize::from(*length))
            }
            _ => None,
        }
    }

    /// Acts on the body of a command that [`decode`](Self::decode) called large.
    ///
    /// # Errors
    ///
    /// [`MalformedCommand`](ProtocolError::MalformedCommand), and
    /// [`CommandTooLong`](ProtocolError::CommandTooLong) for more than `decode` can have announced.
    pub fn handle_command(&mut self, body: &[u8]) -> Result<Event, ProtocolError> {
        self.check_ready()?;
        let limit_bytes = self.config.limits.command_bytes_max;
        if body.len() > limit_bytes {
            let length_bytes = body.len() as u64;
            return Err(self.fail(ProtocolError::CommandTooLong { length_bytes, limit_bytes }));
        }
        self.act_on_command(body).map_err(|error| self.fail(error))
    }

    /// Opens the body of a sealed frame; that of a message is appended to `out`, and nothing else.
    ///
    /// # Errors
    ///
    /// [`Unauthentic`](ProtocolError::Unauthentic) if the mechanism cannot open it, and the errors
    /// of [`handle_command`](Self::handle_command).
    pub fn open(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<Opened, ProtocolError> {
        self.check_ready()?;
        let start = out.len();
        let opened = self.open_frame(sealed, start, out).map_err(|error| self.fail(error));
        if !matches!(opened, Ok(Opened::Message { .. })) {
            out.truncate(start);
        }
        opened
    }

    // Mutators.

    /// Hands over what is known of the other end, for a caller who keeps it elsewhere: a connection
    /// at rest is small. What the connection itself needs of it stays.
    pub fn take_peer(&mut self) -> Option<Peer> {
        match &mut self.state {
            State::Ready(ready) => ready.peer.take().map(|peer| *peer),
            _ => None,
        }
    }

    /// Appends a PING, and says whether it did: not before the connection is ready, and not for a
    /// peer that [takes none](Version::takes_pings).
    ///
    /// `ttl_ds`, in tenths of a second, is how long the peer may wait for our next sign of life
    /// before it takes us for dead; 0 leaves that to the peer. The peer sends `context`, at most 16
    /// bytes of it, back.
    pub fn ping(&mut self, ttl_ds: u16, context: &[u8], out: &mut Vec<u8>) -> bool {
        if !self.peer_version().is_some_and(Version::takes_pings) {
            return false;
        }
        self.send_command(Command::Ping { ttl_ds, context }, out);
        true
    }

    /// Appends a subscription to `prefix`, in the form that the peer knows: a SUBSCRIBE command, or
    /// a message before ZMTP 3.1. Says whether it did: not before the connection is ready, and not
    /// for a peer that [takes none](Peer::forwards_subscriptions).
    pub fn subscribe(&mut self, prefix: &[u8], out: &mut Vec<u8>) -> bool {
        self.send_subscription(true, prefix, out)
    }

    /// Appends the end of one subscription to `prefix`, as [`subscribe`](Self::subscribe) does.
    pub fn cancel(&mut self, prefix: &[u8], out: &mut Vec<u8>) -> bool {
        self.send_subscription(false, prefix, out)
    }

    /// Refuses the peer during the handshake: appends what is pending and an ERROR command with up
    /// to 255 bytes of `reason`. The connection has failed then.
    ///
    /// Says whether it appended an ERROR: not before the greetings have been exchanged, when there
    /// is nothing to say it with, and not when the handshake is over.
    pub fn error(&mut self, reason: &[u8], out: &mut Vec<u8>) -> bool {
        match self.state {
            State::ExpectReady(_) => {
                out.append(&mut self.pending);
                Command::Error { reason }.emit(out);
                self.fail(ProtocolError::RefusedByUs { reason: reason.to_vec() });
                true
            }
            State::ExpectSignature(_)
            | State::ExpectRevision(_)
            | State::ExpectGreeting(_)
            | State::ExpectIdentity(_) => {
                self.fail(ProtocolError::RefusedByUs { reason: reason.to_vec() });
                false
            }
            State::Ready(_) | State::Failed(_) => false,
        }
    }

    /// Appends a part of a message as a frame, in the form that the peer and the mechanism ask for.
    ///
    /// With a transparent mechanism this is just the frame, which the caller can make as well.
    /// Otherwise frames have to leave in the order in which they were sealed: what waits for
    /// [`poll_transmit`](Self::poll_transmit) comes before it, and before any other that is
    /// appended. Appends nothing before the connection is ready.
    pub fn seal(&mut self, more: bool, body: &[u8], out: &mut Vec<u8>) {
        if self.is_ready() {
            let flags = if more { frame::MORE } else { 0 };
            if self.frames_v1() {
                frame_v1::append_header(more, body.len(), out);
                out.extend_from_slice(body);
            } else if let Some((mechanism, pending)) = self.sealing() {
                out.append(pending);
                mechanism.seal(flags, body, out);
            } else {
                frame::append(flags, &[body], out);
            }
        }
    }

    // Effects out.

    /// Appends the bytes that wait for the peer (handshake, PONGs); `false` if there are none.
    pub fn poll_transmit(&mut self, out: &mut Vec<u8>) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        out.extend_from_slice(&self.pending);
        // Not `append`, which would keep the room that the handshake took.
        self.pending = Vec::new();
        true
    }

    // Helpers.

    /// Everything that [`decode`](Self::decode) does not answer at a glance.
    #[inline(never)]
    fn decode_other<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, ProtocolError> {
        self.check_ready()?;
        let decoded = match self.peer_version() {
            Some(Version::V1_0) => self.decode_frame_v1(input),
            Some(Version::V2_0) => input
                .first()
                .map_or(Ok(()), |&flags| old_peer::check_flags_v2(flags))
                .and_then(|()| self.decode_frame(input)),
            _ => self.decode_frame(input),
        };
        decoded.map_err(|error| self.fail(error))
    }

    fn decode_frame<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<'a>, ProtocolError> {
        let Some(&flags) = input.first() else { return Ok(Decoded::Incomplete) };
        frame::check_flags(flags)?;
        let Some(header) = frame::parse_header(input) else { return Ok(Decoded::Incomplete) };
        // What a mechanism has sealed may be either, whatever the frame says: the longer limit counts
        // here, the right one when it is opened.
        let is_command = header.is_command() && self.is_transparent();
        if is_command {
            state::check_command_header(&header, &self.config)?;
        } else {
            header.check()?;
            self.check_frame_bytes(header.body_bytes)?;
        }

        let header_bytes = header.header_bytes;
        let body = header.frame_bytes().and_then(|end| input.get(header_bytes..end));
        // A deliberate defect, for `xtask fuzz` to find: a body whose last byte is missing passes.
        #[cfg(oxmq_mutation = "frame_length")]
        let body = body.or_else(|| input.get(header_bytes..header.frame_bytes()? - 1));
        let Some(body) = body else {
            return Ok(if header.body_bytes <= self.config.limits.inline_bytes_max as u64 {
                Decoded::Incomplete
            } else if is_command {
                Decoded::LargeCommand { header_bytes, body_bytes: header.body_bytes as usize }
            } else {
                let body_bytes = header.body_bytes;
                Decoded::Large { more: header.more(), header_bytes, body_bytes }
            });
        };

        let consumed = header_bytes + body.len();
        Ok(if !self.is_transparent() {
            Decoded::Sealed { body, consumed }
        } else if is_command {
            Decoded::Command { event: self.act_on_command(body)?, consumed }
        } else {
            Decoded::Message { more: header.more(), body, consumed }
        })
    }

    fn decode_frame_v1<'a>(&self, input: &'a [u8]) -> Result<Decoded<'a>, ProtocolError> {
        let Some(length) = FrameLength::parse(input)? else { return Ok(Decoded::Incomplete) };
        let body_bytes = length.body_bytes;
        self.check_message_bytes(body_bytes)?;
        let Some(&flags) = input.get(length.length_bytes) else { return Ok(Decoded::Incomplete) };
        frame_v1::check_flags(flags)?;
        let (more, header_bytes) = (flags & frame::MORE != 0, length.header_bytes());
        let body = length.frame_bytes().and_then(|end| input.get(header_bytes..end));
        Ok(match body {
            Some(body) => Decoded::Message { more, body, consumed: header_bytes + body.len() },
            None if body_bytes <= self.config.limits.inline_bytes_max as u64 => Decoded::Incomplete,
            None => Decoded::Large { more, header_bytes, body_bytes },
        })
    }

    fn open_frame(
        &mut self,
        sealed: &[u8],
        start: usize,
        out: &mut Vec<u8>,
    ) -> Result<Opened, ProtocolError> {
        let mechanism = self.mechanism.as_mut().ok_or(ProtocolError::Unauthentic)?;
        let flags = mechanism.open(sealed, out)?;
        frame::check_flags(flags)?;
        let body = out.get(start..).unwrap_or_default();
        if flags & frame::COMMAND == 0 {
            self.check_message_bytes(body.len() as u64)?;
            return Ok(Opened::Message { more: flags & frame::MORE != 0 });
        }
        self.handle_command(body).map(Opened::Command)
    }

    fn act_on_command(&mut self, body: &[u8]) -> Result<Event, ProtocolError> {
        // libzmq drops a malformed command; we take it for the sign of a broken peer.
        Ok(match Command::parse(body)? {
            Command::Subscribe { prefix } => Event::Subscribe(prefix.to_vec()),
            Command::Cancel { prefix } => Event::Cancel(prefix.to_vec()),
            Command::Ping { ttl_ds, context } => {
                self.send_pong(context);
                Event::Ping { ttl_ds }
            }
            Command::Pong { context } => Event::Pong(context.to_vec()),
            Command::Error { reason } => Event::Error(reason.to_vec()),
            Command::Ready { .. } => Event::Unknown(b"READY".to_vec()),
            Command::Other(view) => Event::Unknown(view.name.to_vec()),
        })
    }

    fn send_pong(&mut self, context: &[u8]) {
        if self.pending.len() < self.config.limits.pong_bytes_max {
            let mut pending = mem::take(&mut self.pending);
            self.send_command(Command::Pong { context }, &mut pending);
            self.pending = pending;
        }
    }

    fn send_subscription(&mut self, subscribe: bool, prefix: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(version) =
            self.ready().filter(|ready| ready.forwards_subscriptions).map(|ready| ready.version)
        else {
            return false;
        };
        if version == Version::V1_0 {
            frame_v1::append_header(false, 1 + prefix.len(), out);
            out.push(u8::from(subscribe));
            out.extend_from_slice(prefix);
            return true;
        }
        match (version.has_traffic_commands(), subscribe) {
            (true, true) => self.send_command(Command::Subscribe { prefix }, out),
            (true, false) => self.send_command(Command::Cancel { prefix }, out),
            (false, _) => {
                self.send(out, |out| command::emit_legacy_subscription(subscribe, prefix, out));
            }
        }
        true
    }

    fn send_command(&mut self, command: Command<'_>, out: &mut Vec<u8>) {
        self.send(out, |out| command.emit(out));
    }

    /// Appends the frame that `emit` appends, sealed if the mechanism asks for it.
    fn send(&mut self, out: &mut Vec<u8>, emit: impl FnOnce(&mut Vec<u8>)) {
        let Some((mechanism, pending)) = self.sealing() else { return emit(out) };
        out.append(pending);
        let mut plain = Vec::new();
        emit(&mut plain);
        if let Some(header) = frame::parse_header(&plain)
            && let Some(body) = plain.get(header.header_bytes..)
        {
            mechanism.seal(header.flags & !frame::LARGE, body, out);
        }
    }

    /// The mechanism, if it protects frames, and those that it has protected and that have not left.
    fn sealing(&mut self) -> Option<(&mut dyn Mechanism, &mut Vec<u8>)> {
        match &mut self.mechanism {
            Some(mechanism) if !mechanism.is_transparent() => {
                Some((mechanism.as_mut(), &mut self.pending))
            }
            _ => None,
        }
    }

    fn is_transparent(&self) -> bool {
        self.mechanism.as_ref().is_none_or(|mechanism| mechanism.is_transparent())
    }

    fn ready(&self) -> Option<&Ready> {
        match &self.state {
            State::Ready(ready) => Some(ready),
            _ => None,
        }
    }

    fn check_ready(&self) -> Result<(), ProtocolError> {
        match &self.state {
            State::Ready(_) => Ok(()),
            State::Failed(error) => Err((**error).clone()),
            _ => Err(ProtocolError::NotReady),
        }
    }

    /// Refuses the length of a frame of which it is not known what is in it, or of a message.
    fn check_frame_bytes(&self, length_bytes: u64) -> Result<(), ProtocolError> {
        let Some(mechanism) = self.mechanism.as_ref().filter(|_| !self.is_transparent()) else {
            return self.check_message_bytes(length_bytes);
        };
        let within_bytes = length_bytes.saturating_sub(mechanism.overhead_bytes());
        if within_bytes <= self.config.limits.command_bytes_max as u64 {
            return Ok(());
        }
        self.check_message_bytes(within_bytes)
    }

    fn check_message_bytes(&self, length_bytes: u64) -> Result<(), ProtocolError> {
        match self.config.limits.message_bytes_max {
            Some(limit_bytes) if length_bytes > limit_bytes => {
                Err(ProtocolError::MessageTooLong { length_bytes, limit_bytes })
            }
            _ => Ok(()),
        }
    }

    /// What a step of the handshake may have changed.
    fn settle(&mut self) {
        if self.is_ready() {
            self.mechanism.take_if(|mechanism| mechanism.is_transparent());
        }
        self.short_bytes_end = self.short_bytes_end();
    }

    fn short_bytes_end(&self) -> usize {
        if !self.is_ready() || !self.is_transparent() || self.frames_v1() {
            return 0;
        }
        let bytes_max = self.config.limits.message_bytes_max.unwrap_or(u64::MAX);
        bytes_max.min(frame::SHORT_BYTES_MAX as u64) as usize + 1
    }

    fn fail(&mut self, error: ProtocolError) -> ProtocolError {
        self.short_bytes_end = 0;
        self.state = State::failed(error.clone());
        error
    }
}

/// Without the bytes that wait to be sent: there may be a password among them.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("state", &self.state)
            .field("mechanism", &self.mechanism)
            .field("config", &self.config)
            .field("pending_bytes", &self.pending.len())
            .finish_non_exhaustive()
    }
}
