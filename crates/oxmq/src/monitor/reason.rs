//! Why a connection failed or ended.

use std::fmt;
use std::io;

use oxmq_zmtp::ProtocolError;

use super::number;
use crate::error::errno_of;
use crate::session::{Failure, Rejection};
use crate::zap;

/// Why something failed or ended: a text for people, a kind for programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    kind: ReasonKind,
    text: String,
    errno: i32,
    /// One of libzmq's numbers, for what breaks the protocol in a handshake.
    protocol: Option<u32>,
    /// The status code by which a ZAP handler, this side's or the peer's, refused.
    zap_status: Option<u32>,
}

/// The kinds of [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReasonKind {
    /// The peer closed the connection.
    EndOfStream,
    /// This side closed the connection: the socket was closed, or disconnected.
    ClosedHere,
    /// The peer's identity went to another that came under it (ROUTER_HANDOVER). To the socket this one
    /// is gone; its connection stands until the peer ends it, and what still comes over it is dropped.
    HandedOver,
    /// The peer's socket type does not go with this one's.
    Incompatible,
    /// Another peer bears the identity.
    IdentityTaken,
    /// The socket takes no more peers (PAIR).
    NoMorePeers,
    /// The peer's security mechanism is not this end's.
    Mechanism,
    /// The peer refused this end, and said so (ERROR). It is not connected to again if it had been shown
    /// credentials.
    RefusedByPeer,
    /// The ZAP handler did not let the peer in, or could not be asked.
    Denied,
    /// The name in the endpoint could not be looked up.
    Unresolved,
    /// Nobody listens there.
    ConnectionRefused,
    /// Nobody answered in time (CONNECT_TIMEOUT).
    ConnectTimeout,
    /// The handshake took too long (HANDSHAKE_IVL).
    HandshakeTimeout,
    /// The peer was not heard of for too long (HEARTBEAT_TIMEOUT, HEARTBEAT_TTL).
    Silent,
    /// The peer sent too long a message (MAXMSGSIZE), or something else without end.
    TooLong,
    /// The peer broke the protocol, or speaks another.
    Protocol,
    /// The endpoint is in use.
    AddressInUse,
    /// The system said so; [`Reason::errno`] is its number.
    System,
}

impl Reason {
    /// The kind of the reason.
    pub fn kind(&self) -> ReasonKind {
        self.kind
    }

    /// The system's number for it, or the nearest it has.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// libzmq's number for what broke the protocol of a handshake (`ZMQ_PROTOCOL_ERROR_…`).
    pub fn protocol_error(&self) -> Option<u32> {
        self.protocol
    }

    /// The status code of RFC 27 (300, 400, 500) by which a ZAP handler, this side's or the peer's,
    /// refused.
    pub fn zap_status(&self) -> Option<u32> {
        self.zap_status
    }

    fn new(kind: ReasonKind, text: impl fmt::Display, errno: i32) -> Reason {
        Reason { kind, text: text.to_string(), errno, protocol: None, zap_status: None }
    }

    pub(crate) fn closed_here() -> Reason {
        Reason::new(ReasonKind::ClosedHere, "this side closed the connection", 0)
    }

    pub(crate) fn handed_over() -> Reason {
        let text = "another peer has taken over the peer's identity";
        Reason::new(ReasonKind::HandedOver, text, libc::EADDRINUSE)
    }

    pub(crate) fn end_of_stream() -> Reason {
        Reason::of(&Failure::EndOfStream)
    }

    pub(crate) fn address_in_use() -> Reason {
        Reason::new(ReasonKind::AddressInUse, "the endpoint is in use", libc::EADDRINUSE)
    }

    pub(crate) fn system(error: &io::Error) -> Reason {
        let kind = match error.kind() {
            io::ErrorKind::ConnectionRefused => ReasonKind::ConnectionRefused,
            io::ErrorKind::AddrInUse => ReasonKind::AddressInUse,
            _ => ReasonKind::System,
        };
        Reason::new(kind, format_args!("the system: {error}"), errno_of(error).unwrap_or(libc::EIO))
    }

    pub(crate) fn unresolved(error: &io::Error) -> Reason {
        Reason { kind: ReasonKind::Unresolved, ..Reason::system(error) }
    }

    pub(crate) fn of(failure: &Failure) -> Reason {
        let (kind, errno) = match failure {
            Failure::EndOfStream => (ReasonKind::EndOfStream, libc::EPIPE),
            Failure::Protocol(error) => return Reason::protocol(error),
            Failure::System(error) => return Reason::system(error),
            Failure::Refused(Rejection::NoMorePeers) => (ReasonKind::NoMorePeers, libc::EUSERS),
            Failure::Refused(Rejection::IdentityTaken) => {
                (ReasonKind::IdentityTaken, libc::EADDRINUSE)
            }
            Failure::Refused(Rejection::Closed) => (ReasonKind::ClosedHere, libc::ENOTSOCK),
            Failure::Denied(status) => {
                let reason = Reason::new(ReasonKind::Denied, failure, libc::EACCES);
                return Reason { zap_status: Some(status.code()), ..reason };
            }
            Failure::Unasked(fault) => {
                // libzmq's numbers.
                let errno = if *fault == zap::Fault::Gone { libc::EPIPE } else { libc::EFAULT };
                let reason = Reason::new(ReasonKind::Denied, failure, errno);
                return Reason { protocol: number::zap_fault(*fault), ..reason };
            }
            Failure::TimedOut => (ReasonKind::HandshakeTimeout, libc::ETIMEDOUT),
            Failure::NotConnected(_) => (ReasonKind::ConnectTimeout, libc::ETIMEDOUT),
            Failure::Silent(_) => (ReasonKind::Silent, libc::ETIMEDOUT),
            Failure::NoMemory => (ReasonKind::System, libc::ENOMEM),
            Failure::TooMuch(_) => (ReasonKind::TooLong, libc::EMSGSIZE),
        };
        Reason::new(kind, failure, errno)
    }

    fn protocol(error: &ProtocolError) -> Reason {
        let kind = match error {
            ProtocolError::IncompatibleSocketType { .. } => ReasonKind::Incompatible,
            ProtocolError::MechanismMismatch { .. }
            | ProtocolError::UnsupportedVersion { .. }
            | ProtocolError::BothServers => ReasonKind::Mechanism,
            ProtocolError::RefusedByPeer { .. } => ReasonKind::RefusedByPeer,
            ProtocolError::MessageTooLong { .. } | ProtocolError::CommandTooLong { .. } => {
                ReasonKind::TooLong
            }
            _ => ReasonKind::Protocol,
        };
        let protocol = Some(number::protocol_error(error));
        let zap_status = match error {
            ProtocolError::RefusedByPeer { reason } => {
                zap::Status::of_refusal(reason).map(zap::Status::code)
            }
            _ => None,
        };
        Reason { protocol, zap_status, ..Reason::new(kind, error, libc::EPROTO) }
    }

    /// For an inproc peer, which makes no handshake.
    pub(crate) fn incompatible(ours: crate::SocketType, theirs: crate::SocketType) -> Reason {
        Reason::protocol(&ProtocolError::IncompatibleSocketType { ours, theirs })
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
