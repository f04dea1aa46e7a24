//! What a connection tells its caller.

use crate::SocketType;
use crate::wire::greeting::Version;

/// The other end, as it presented itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The version in its greeting; may be higher than ours. 1.0 if there was none.
    pub version: Version,
    /// Whether subscriptions are sent on the wire. Otherwise (ZMTP 1.0 without a greeting) the peer
    /// filters by itself: one that subscribes wants everything, and one that publishes sends
    /// everything.
    pub forwards_subscriptions: bool,
    /// Whether it said that it is the server of the handshake.
    pub as_server: bool,
    /// Its socket type, compatible with ours; `None` if it did not say, which libzmq accepts, too.
    pub socket_type: Option<SocketType>,
    /// Its identity, up to 255 bytes and not starting with a zero; empty if it has none. Only the
    /// types that [announce one](SocketType::announces_identity) should be believed.
    pub identity: Vec<u8>,
    /// All of its properties, those above included, in the order of the wire; no name twice. None
    /// before ZMTP 3.0.
    pub metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What stands at the start of the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decoded<'a> {
    /// Too little to say anything: come back with more bytes behind these. At most
    /// [`inline_bytes_max`](super::Limits::inline_bytes_max) + 9 bytes of input are incomplete.
    Incomplete,
    /// A part of a message.
    Message {
        /// Whether another part of the same message follows.
        more: bool,
        /// The body, within the input.
        body: &'a [u8],
        /// Bytes of input that this frame took.
        consumed: usize,
    },
    /// The header of a part of a message that is too long to wait for: its body is longer than
    /// [`inline_bytes_max`](super::Limits::inline_bytes_max) and not wholly in the input. The caller
    /// takes the header off its input, then `body_bytes` bytes for the body, and goes on with
    /// `decode` behind them. (With a mechanism that is not transparent, the body goes to
    /// [`open`](super::Connection::open).)
    Large {
        /// Whether another part of the same message follows.
        more: bool,
        /// Bytes of input that the header took.
        header_bytes: usize,
        /// Length of the body in bytes, at most
        /// [`message_bytes_max`](super::Limits::message_bytes_max). Only the peer's word: it should
        /// not be allocated at once.
        body_bytes: u64,
    },
    /// The same for a command: the collected body goes to
    /// [`handle_command`](super::Connection::handle_command).
    LargeCommand {
        /// Bytes of input that the header took.
        header_bytes: usize,
        /// Length of the body in bytes, at most
        /// [`command_bytes_max`](super::Limits::command_bytes_max).
        body_bytes: usize,
    },
    /// A command, acted upon.
    Command {
        /// What it means.
        event: Event,
        /// Bytes of input that this frame took.
        consumed: usize,
    },
    /// A frame of a mechanism that is not transparent; the body goes to
    /// [`open`](super::Connection::open). Never seen with NULL.
    Sealed {
        /// The body, within the input.
        body: &'a [u8],
        /// Bytes of input that this frame took.
        consumed: usize,
    },
}

/// What a command means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The peer subscribes to messages that start with this prefix.
    Subscribe(Vec<u8>),
    /// The peer takes back one subscription to this prefix.
    Cancel(Vec<u8>),
    /// The peer asked for a sign of life; the PONG is ready for
    /// [`poll_transmit`](super::Connection::poll_transmit).
    Ping {
        /// The peer may be taken for dead when it stays silent for this long, in tenths of a
        /// second; 0 is no such hint.
        ttl_ds: u16,
    },
    /// The answer to a PING of ours, with its context.
    Pong(Vec<u8>),
    /// The peer reports an error, with this reason; libzmq ignores it once the handshake is over.
    Error(Vec<u8>),
    /// A command of this name, which means nothing here and was ignored.
    Unknown(Vec<u8>),
}

/// What was inside a sealed frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// A part of a message; its body has been appended to the caller's buffer.
    Message {
        /// Whether another part of the same message follows.
        more: bool,
    },
    /// A command, acted upon; nothing has been appended.
    Command(Event),
}
