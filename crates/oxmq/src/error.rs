//! What can go wrong, one type per operation, and libzmq's numbers for it all.
//!
//! Every error says whose doing it was: the caller's (wrong turn, wrong endpoint), the peers'
//! (nobody takes the message), or the system's (the [`io::Error`] is kept as the source).

use std::error::Error;
use std::fmt;
use std::io;

use crate::endpoint::{EndpointError, EndpointErrorKind};
use crate::option::OptionError;
use crate::{Message, SocketType};

/// A message was not sent; the error holds it.
#[derive(Debug)]
pub struct SendError {
    kind: SendErrorKind,
    parts: Vec<Message>,
}

/// Why a message was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendErrorKind {
    /// No peer could take the message, at once or in time: there is none, or all are at their
    /// high-water marks.
    Again,
    /// It is the socket's turn to receive: a REQ must have its reply, a REP a request.
    State,
    /// A signal arrived while waiting.
    Interrupted,
    /// The context is terminated.
    Terminated,
    /// The socket is closed.
    Closed,
    /// Sockets of this type only receive.
    NotSupported,
    /// The message has no part.
    Empty,
    /// Messages of this type of socket have one part.
    Multipart,
    /// No peer has the identity that a ROUTER's message is for (ROUTER_MANDATORY), or the routing id
    /// that a STREAM's is for.
    HostUnreachable,
    /// A STREAM's message (and a ROUTER's with ROUTER_RAW) is a routing id and one part of data.
    NotAPair,
    /// The socket is another process's: this one was forked after it was made.
    Forked,
}

/// Why no message was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// No message was there, at once or in time.
    Again,
    /// It is the socket's turn to send: a REQ its request, a REP its reply.
    State,
    /// A signal arrived while waiting.
    Interrupted,
    /// The context is terminated.
    Terminated,
    /// The socket is closed.
    Closed,
    /// Sockets of this type only send.
    NotSupported,
    /// The socket is another process's: this one was forked after it was made.
    Forked,
}

/// Why a socket was not bound.
#[derive(Debug)]
#[non_exhaustive]
pub enum BindError {
    /// The endpoint is none, or of a transport that is not supported.
    Endpoint(EndpointError),
    /// Another socket is bound there.
    AddrInUse {
        /// Where.
        endpoint: String,
    },
    /// The system refused.
    System {
        /// Where.
        endpoint: String,
        /// How.
        source: io::Error,
    },
    /// The context is terminated.
    Terminated,
    /// The socket is closed.
    Closed,
    /// Sockets of this type cannot use the transport.
    NotSupported {
        /// Where.
        endpoint: String,
    },
    /// The socket is another process's: this one was forked after it was made.
    Forked,
}

/// Why a socket was not connected. That a peer is away is no reason: connecting goes on until it
/// comes.
#[derive(Debug)]
#[non_exhaustive]
pub enum ConnectError {
    /// The endpoint is none, or of a transport that is not supported.
    Endpoint(EndpointError),
    /// The address to connect from is in use.
    AddrInUse {
        /// Where to.
        endpoint: String,
    },
    /// The system refused.
    System {
        /// Where to.
        endpoint: String,
        /// How.
        source: io::Error,
    },
    /// The context is terminated.
    Terminated,
    /// The socket is closed.
    Closed,
    /// Sockets of this type cannot use the transport.
    NotSupported {
        /// Where to.
        endpoint: String,
    },
    /// The socket is another process's: this one was forked after it was made.
    Forked,
    /// Another peer of this ROUTER bears the name that CONNECT_ROUTING_ID gives.
    RoutingIdInUse,
}

/// Why a socket was not unbound or disconnected.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnbindError {
    /// The socket is not bound, or not connected, there.
    NotBound {
        /// Where.
        endpoint: String,
    },
    /// The context is terminated.
    Terminated,
    /// The socket is closed.
    Closed,
    /// The socket is another process's: this one was forked after it was made.
    Forked,
}

/// Why there is no new socket.
#[derive(Debug)]
#[non_exhaustive]
pub enum SocketError {
    /// The context has as many sockets as it may have.
    TooManySockets {
        /// How many that is.
        limit: usize,
    },
    /// The context is terminated.
    Terminated,
    /// The system refused, a thread or a descriptor for instance.
    System(io::Error),
    /// The context is another process's: this one was forked after it was made.
    Forked,
}

/// Why a context is not terminated yet. Terminating it again goes on waiting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TermError {
    /// A signal arrived while waiting.
    Interrupted,
    /// Sockets are still open, or messages of closed ones still on their way.
    TimedOut {
        /// The sockets that are open.
        sockets: Vec<OpenSocket>,
        /// What closed sockets were connected to, where the connection has not ended: messages may
        /// wait for it.
        endpoints: Vec<String>,
    },
    /// The context is another process's: this one was forked after it was made.
    Forked,
}

/// A socket that keeps its context from ending.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenSocket {
    /// Its type.
    pub kind: SocketType,
    /// What it is bound and connected to, in the order in which that came.
    pub endpoints: Vec<String>,
}

/// Why what was waited for did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The time is over.
    TimedOut,
    /// A signal arrived while waiting.
    Interrupted,
    /// The context is terminated.
    Terminated,
    /// The socket is closed.
    Closed,
    /// The socket is another process's: this one was forked after it was made.
    Forked,
}

/// Why polling several sockets ended without an answer. That the time is over is an answer: none
/// is ready.
#[derive(Debug)]
#[non_exhaustive]
pub enum PollError {
    /// A signal arrived while waiting.
    Interrupted,
    /// The context of one of the sockets is terminated.
    Terminated,
    /// One of the sockets is closed.
    Closed,
    /// One of the sockets is another process's: this one was forked after it was made.
    Forked,
    /// The system refused.
    System(io::Error),
}

impl SendError {
    pub(crate) fn new(kind: SendErrorKind, parts: Vec<Message>) -> SendError {
        SendError { kind, parts }
    }

    /// Why the message was not sent.
    pub fn kind(&self) -> SendErrorKind {
        self.kind
    }

    /// The message, all its parts, as it was given.
    pub fn into_parts(self) -> Vec<Message> {
        self.parts
    }
}

/// libzmq's number for "the socket cannot do this now".
pub const EFSM: i32 = HAUSNUMERO + 51;
/// libzmq's number for "this socket type cannot use this transport".
pub const ENOCOMPATPROTO: i32 = HAUSNUMERO + 52;
/// libzmq's number for "the context is terminated".
pub const ETERM: i32 = HAUSNUMERO + 53;

/// Where libzmq's own numbers begin.
const HAUSNUMERO: i32 = 156_384_712;

impl SendErrorKind {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        match self {
            SendErrorKind::Again => libc::EAGAIN,
            SendErrorKind::State => EFSM,
            SendErrorKind::Interrupted => libc::EINTR,
            SendErrorKind::Terminated => ETERM,
            // To a forked child its parent's sockets are none.
            SendErrorKind::Closed | SendErrorKind::Forked => libc::ENOTSOCK,
            SendErrorKind::NotSupported => libc::ENOTSUP,
            SendErrorKind::Empty | SendErrorKind::NotAPair | SendErrorKind::Multipart => {
                libc::EINVAL
            }
            SendErrorKind::HostUnreachable => libc::EHOSTUNREACH,
        }
    }
}

impl SendError {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        self.kind.errno()
    }
}

impl RecvError {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        match self {
            RecvError::Again => libc::EAGAIN,
            RecvError::State => EFSM,
            RecvError::Interrupted => libc::EINTR,
            RecvError::Terminated => ETERM,
            RecvError::Closed | RecvError::Forked => libc::ENOTSOCK,
            RecvError::NotSupported => libc::ENOTSUP,
        }
    }
}

impl EndpointError {
    /// libzmq's number for this.
    ///
    /// ```
    /// let error = "udp://127.0.0.1:5555".parse::<oxmq::Endpoint>().unwrap_err();
    /// assert_eq!(error.errno(), 93); // EPROTONOSUPPORT
    /// ```
    pub fn errno(&self) -> i32 {
        match self.kind() {
            EndpointErrorKind::UnknownTransport | EndpointErrorKind::TransportNotSupported => {
                libc::EPROTONOSUPPORT
            }
            EndpointErrorKind::PathTooLong => libc::ENAMETOOLONG,
            EndpointErrorKind::Source => libc::EINVAL,
            EndpointErrorKind::NoTransport
            | EndpointErrorKind::Host
            | EndpointErrorKind::NoPort
            | EndpointErrorKind::Port
            | EndpointErrorKind::Path
            | EndpointErrorKind::Name
            | EndpointErrorKind::Wildcard => libc::EINVAL,
        }
    }
}

impl BindError {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        match self {
            BindError::Endpoint(error) => error.errno(),
            BindError::AddrInUse { .. } => libc::EADDRINUSE,
            // What libzmq says of an interface that does not exist.
            BindError::System { source, .. } => errno_of(source).unwrap_or(libc::ENODEV),
            BindError::Terminated => ETERM,
            BindError::Closed | BindError::Forked => libc::ENOTSOCK,
            BindError::NotSupported { .. } => ENOCOMPATPROTO,
        }
    }
}

impl ConnectError {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        match self {
            ConnectError::Endpoint(error) => error.errno(),
            ConnectError::AddrInUse { .. } | ConnectError::RoutingIdInUse => libc::EADDRINUSE,
            // What libzmq says of a name that does not resolve.
            ConnectError::System { source, .. } => errno_of(source).unwrap_or(libc::EINVAL),
            ConnectError::Terminated => ETERM,
            ConnectError::Closed | ConnectError::Forked => libc::ENOTSOCK,
            ConnectError::NotSupported { .. } => ENOCOMPATPROTO,
        }
    }
}

impl UnbindError {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        match self {
            UnbindError::NotBound { .. } => libc::ENOENT,
            UnbindError::Terminated => ETERM,
            UnbindError::Closed | UnbindError::Forked => libc::ENOTSOCK,
        }
    }
}

impl SocketError {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        match self {
            SocketError::TooManySockets { .. } => libc::EMFILE,
            SocketError::Terminated => ETERM,
            SocketError::System(source) => errno_of(source).unwrap_or(libc::ENOMEM),
            // What libzmq says of a context that is none.
            SocketError::Forked => libc::EFAULT,
        }
    }
}

impl TermError {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        match self {
            TermError::Interrupted => libc::EINTR,
            // libzmq waits for ever, and has no number for it.
            TermError::TimedOut { .. } => libc::EAGAIN,
            TermError::Forked => libc::EFAULT,
        }
    }
}

impl WaitError {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        match self {
            WaitError::TimedOut => libc::EAGAIN,
            WaitError::Interrupted => libc::EINTR,
            WaitError::Terminated => ETERM,
            WaitError::Closed | WaitError::Forked => libc::ENOTSOCK,
        }
    }
}

impl PollError {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        match self {
            PollError::Interrupted => libc::EINTR,
            PollError::Terminated => ETERM,
            PollError::Closed | PollError::Forked => libc::ENOTSOCK,
            PollError::System(source) => errno_of(source).unwrap_or(libc::EINVAL),
        }
    }
}

impl OptionError {
    /// libzmq's number for this.
    pub fn errno(&self) -> i32 {
        match self {
            OptionError::OutOfRange { .. }
            | OptionError::WrongType { .. }
            | OptionError::ReadOnly { .. } => libc::EINVAL,
            OptionError::Terminated => ETERM,
            OptionError::Closed | OptionError::Forked => libc::ENOTSOCK,
            OptionError::NotSupported => libc::EINVAL,
        }
    }
}

/// The system's number, or the one that fits a kind that Rust's library or we made up.
pub(crate) fn errno_of(error: &io::Error) -> Option<i32> {
    error.raw_os_error().or(match error.kind() {
        io::ErrorKind::AddrInUse => Some(libc::EADDRINUSE),
        io::ErrorKind::AddrNotAvailable => Some(libc::EADDRNOTAVAIL),
        io::ErrorKind::ConnectionRefused => Some(libc::ECONNREFUSED),
        io::ErrorKind::InvalidInput => Some(libc::EINVAL),
        io::ErrorKind::NotFound => Some(libc::ENOENT),
        io::ErrorKind::OutOfMemory => Some(libc::ENOMEM),
        io::ErrorKind::PermissionDenied => Some(libc::EACCES),
        _ => None,
    })
}

const INTERRUPTED: &str = "a signal arrived while waiting";
const TERMINATED: &str = "the context is terminated";
const CLOSED: &str = "the socket is closed";
pub(crate) const FORKED: &str = "this process was forked after the socket was made, which is its parent's; expected a \
                      context and a socket made in this process";
const CONTEXT_FORKED: &str = "this process was forked after the context was made, which is its parent's; expected one \
                              made in this process";

impl fmt::Display for SendErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendErrorKind::Again => "no peer can take the message now",
            SendErrorKind::State => "it is this socket's turn to receive, not to send",
            SendErrorKind::Interrupted => INTERRUPTED,
            SendErrorKind::Terminated => TERMINATED,
            SendErrorKind::Closed => CLOSED,
            SendErrorKind::NotSupported => "sockets of this type cannot send",
            SendErrorKind::Empty => "the message has no part; expected at least one",
            SendErrorKind::Multipart => "messages of this type of socket have one part",
            SendErrorKind::NotAPair => {
                "the message has not two parts; expected a routing id and one part of data"
            }
            SendErrorKind::HostUnreachable => "no peer has the identity in the first part",
            SendErrorKind::Forked => FORKED,
        })
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)
    }
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvError::Again => "no message is there now",
            RecvError::State => "it is this socket's turn to send, not to receive",
            RecvError::Interrupted => INTERRUPTED,
            RecvError::Terminated => TERMINATED,
            RecvError::Closed => CLOSED,
            RecvError::NotSupported => "sockets of this type cannot receive",
            RecvError::Forked => FORKED,
        })
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BindError::Endpoint(error) => error.fmt(f),
            BindError::AddrInUse { endpoint } => {
                write!(f, "cannot bind to {endpoint}: another socket is bound there")
            }
            BindError::System { endpoint, source } => {
                write!(f, "cannot bind to {endpoint}: {source}")
            }
            BindError::Terminated => f.write_str(TERMINATED),
            BindError::Closed => f.write_str(CLOSED),
            BindError::Forked => f.write_str(FORKED),
            BindError::NotSupported { endpoint } => write!(
                f,
                "cannot bind to {endpoint}: sockets of this type cannot use the transport"
            ),
        }
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectError::Endpoint(error) => error.fmt(f),
            ConnectError::AddrInUse { endpoint } => {
                write!(f, "cannot connect to {endpoint}: the address to connect from is in use")
            }
            ConnectError::System { endpoint, source } => {
                write!(f, "cannot connect to {endpoint}: {source}")
            }
            ConnectError::Terminated => f.write_str(TERMINATED),
            ConnectError::Closed => f.write_str(CLOSED),
            ConnectError::Forked => f.write_str(FORKED),
            ConnectError::RoutingIdInUse => {
                f.write_str("the name given by CONNECT_ROUTING_ID is another peer's")
            }
            ConnectError::NotSupported { endpoint } => write!(
                f,
                "cannot connect to {endpoint}: sockets of this type cannot use the transport"
            ),
        }
    }
}

impl fmt::Display for UnbindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UnbindError::NotBound { endpoint } => {
                write!(f, "the socket is neither bound nor connected to {endpoint}")
            }
            UnbindError::Terminated => f.write_str(TERMINATED),
            UnbindError::Closed => f.write_str(CLOSED),
            UnbindError::Forked => f.write_str(FORKED),
        }
    }
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SocketError::TooManySockets { limit } => {
                write!(f, "the context has {limit} sockets open already, all that it may have")
            }
            SocketError::Terminated => f.write_str(TERMINATED),
            SocketError::System(source) => write!(f, "the system refused a socket: {source}"),
            SocketError::Forked => f.write_str(CONTEXT_FORKED),
        }
    }
}

impl fmt::Display for TermError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TermError::Interrupted => f.write_str(INTERRUPTED),
            TermError::Forked => f.write_str(CONTEXT_FORKED),
            TermError::TimedOut { sockets, endpoints } => {
                let open = sockets.len();
                write!(f, "the context is not terminated in time: {open} sockets are open")?;
                for (at, socket) in sockets.iter().take(SHOWN_MAX).enumerate() {
                    write!(f, "{} {socket}", if at == 0 { ":" } else { "," })?;
                }
                if open > SHOWN_MAX {
                    f.write_str(", …")?;
                }
                if !endpoints.is_empty() {
                    let shown = endpoints.len().min(SHOWN_MAX);
                    let more = if shown < endpoints.len() { ", …" } else { "" };
                    let shown = endpoints[..shown].join(", ");
                    write!(f, "; messages of closed ones may wait for {shown}{more}")?;
                }
                Ok(())
            }
        }
    }
}

/// How many sockets and endpoints an error message names; chosen arbitrarily.
const SHOWN_MAX: usize = 5;

impl fmt::Display for OpenSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} at {}",
            self.kind.name(),
            match &self.endpoints[..] {
                [] => "no endpoint".to_owned(),
                endpoints => endpoints.join(" and "),
            }
        )
    }
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WaitError::TimedOut => "the time to wait is over",
            WaitError::Interrupted => INTERRUPTED,
            WaitError::Terminated => TERMINATED,
            WaitError::Closed => CLOSED,
            WaitError::Forked => FORKED,
        })
    }
}

impl fmt::Display for PollError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PollError::Interrupted => f.write_str(INTERRUPTED),
            PollError::Terminated => f.write_str(TERMINATED),
            PollError::Closed => f.write_str("one of the sockets is closed"),
            PollError::Forked => f.write_str(FORKED),
            PollError::System(source) => write!(f, "the system cannot poll: {source}"),
        }
    }
}

impl Error for SendError {}
impl Error for RecvError {}
impl Error for UnbindError {}
impl Error for TermError {}
impl Error for WaitError {}

// `Endpoint` is shown as the endpoint's own error; naming it as the source would say it twice.
// The system's errors are in the text as well, since few callers print sources, but they carry
// a number that callers ask for.

impl Error for BindError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            BindError::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Error for ConnectError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ConnectError::System { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl Error for SocketError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            SocketError::System(source) => Some(source),
            _ => None,
        }
    }
}

impl Error for PollError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PollError::System(source) => Some(source),
            _ => None,
        }
    }
}

impl From<EndpointError> for BindError {
    fn from(error: EndpointError) -> BindError {
        BindError::Endpoint(error)
    }
}

impl From<EndpointError> for ConnectError {
    fn from(error: EndpointError) -> ConnectError {
        ConnectError::Endpoint(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::Endpoint;

    #[test]
    fn numbers_are_those_of_zmq_h() {
        assert_eq!((EFSM, ENOCOMPATPROTO, ETERM), (156384763, 156384764, 156384765));
        assert_eq!(SendErrorKind::Again.errno(), 11);
        assert_eq!(SendErrorKind::NotSupported.errno(), 95);
        assert_eq!(RecvError::State.errno(), EFSM);
        assert_eq!(RecvError::Closed.errno(), 88);
        assert_eq!(UnbindError::NotBound { endpoint: String::new() }.errno(), 2);
        assert_eq!(SocketError::TooManySockets { limit: 1 }.errno(), 24);
    }

    #[test]
    fn system_errors_keep_their_number() {
        let bind = |source: io::Error| BindError::System { endpoint: "tcp://x:1".into(), source };
        assert_eq!(bind(io::Error::from_raw_os_error(libc::EACCES)).errno(), libc::EACCES);
        assert_eq!(bind(io::ErrorKind::AddrNotAvailable.into()).errno(), libc::EADDRNOTAVAIL);
        assert_eq!(bind(io::Error::other("no such name")).errno(), libc::ENODEV);
        assert_eq!(
            bind(io::Error::other("no such name")).to_string(),
            "cannot bind to tcp://x:1: no such name"
        );
    }

    #[test]
    fn endpoint_errors_have_numbers() {
        let errno = |text: &str| match text.parse::<Endpoint>() {
            Ok(_) => 0,
            Err(error) => BindError::from(error).errno(),
        };
        assert_eq!(errno("tcp://*:5555"), 0);
        assert_eq!(errno("nonsense"), libc::EINVAL);
        assert_eq!(errno("http://x"), libc::EPROTONOSUPPORT);
        assert_eq!(errno("pgm://x"), libc::EPROTONOSUPPORT);
        assert_eq!(errno(&format!("ipc://{}", "p".repeat(200))), libc::ENAMETOOLONG);
    }

    #[test]
    fn a_failed_send_gives_the_message_back() {
        let parts = vec![Message::from("a"), Message::from("b")];
        let error = SendError::new(SendErrorKind::Again, parts.clone());
        assert_eq!((error.kind(), error.errno()), (SendErrorKind::Again, libc::EAGAIN));
        assert_eq!(error.into_parts(), parts);
    }
}
