//! What a connection is told about its own end.

use crate::SocketType;
use crate::wire::metadata::{self, Property};

/// What this end is, and what it puts up with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The type of the socket.
    pub socket_type: SocketType,
    /// The socket's identity, up to 255 bytes; empty for none. Announced only by
    /// [some types](SocketType::announces_identity), and by any type to a ZMTP 1.0 or 2.0 peer.
    pub identity: Vec<u8>,
    /// Whether this end is the server of a mechanism that has roles; NULL has none.
    pub as_server: bool,
    /// What a peer may ask of this end.
    pub limits: Limits,
    /// More properties to announce, as names and values. Those whose name is empty or longer than
    /// 255 bytes are left out.
    pub metadata: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Config {
    /// An anonymous socket of the given type, with default limits.
    pub fn new(socket_type: SocketType) -> Config {
        Config {
            socket_type,
            identity: Vec::new(),
            as_server: false,
            limits: Limits::default(),
            metadata: Vec::new(),
        }
    }

    /// The metadata of this end, ready for the wire.
    pub(crate) fn emit_metadata(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let socket_type = self.socket_type.name().as_bytes();
        Property { name: metadata::SOCKET_TYPE, value: socket_type }.emit(&mut out);
        if self.socket_type.announces_identity() {
            Property { name: metadata::IDENTITY, value: &self.identity }.emit(&mut out);
        }
        for (name, value) in &self.metadata {
            Property { name, value }.emit(&mut out);
        }
        out
    }
}

/// What a peer may ask of this end, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest command, in bytes; subscriptions are commands. Default 64 KiB.
    ///
    /// libzmq has no such limit, so a topic beyond this that it would accept is refused.
    pub command_bytes_max: usize,
    /// The most metadata, in bytes. Default 64 KiB.
    pub metadata_bytes_max: usize,
    /// The longest message part, in bytes (`ZMQ_MAXMSGSIZE`). Default `None`: no limit below 2^63.
    pub message_bytes_max: Option<u64>,
    /// The longest body, in bytes, that [`decode`](super::Connection::decode) wants to see in one
    /// piece. Default 8192. A longer one may be collected by the caller while it arrives.
    pub inline_bytes_max: usize,
    /// PONGs waiting for [`poll_transmit`](super::Connection::poll_transmit), in bytes. Default
    /// 1024, chosen arbitrarily. PINGs beyond it get no answer: the PONGs that wait go out, the oldest
    /// first, and a peer takes any traffic for a sign of life. The caller takes them off once those
    /// before them are sent, so that a peer that never reads fills nothing.
    pub pong_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            command_bytes_max: 64 * 1024,
            metadata_bytes_max: 64 * 1024,
            message_bytes_max: None,
            inline_bytes_max: 8192,
            pong_bytes_max: 1024,
        }
    }
}
