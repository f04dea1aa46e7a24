//! What can go wrong with a poller.

use std::error::Error;
use std::fmt;
use std::io;

use crate::error::PollError;

/// Why a [`Poller`](crate::Poller) could not do what it was asked to. That the time is over is no
/// error: nothing is ready.
#[derive(Debug)]
#[non_exhaustive]
pub enum PollerError {
    /// The socket or descriptor is registered already.
    AlreadyAdded,
    /// The socket or descriptor is not registered.
    NotRegistered,
    /// Another thread waits in this poller.
    Busy,
    /// A signal arrived while waiting.
    Interrupted,
    /// The context of one of the sockets is terminated.
    Terminated,
    /// A socket is closed. It is registered no more.
    Closed {
        /// What it was registered with.
        token: usize,
    },
    /// The poller, or a socket, belongs to the process that this one was forked from.
    Forked,
    /// The system refused.
    System(io::Error),
}

impl PollerError {
    /// libzmq's number for it.
    pub fn errno(&self) -> i32 {
        match self {
            PollerError::AlreadyAdded | PollerError::NotRegistered => libc::EINVAL,
            PollerError::Busy => libc::EBUSY,
            PollerError::Interrupted => PollError::Interrupted.errno(),
            PollerError::Terminated => PollError::Terminated.errno(),
            PollerError::Closed { .. } => PollError::Closed.errno(),
            PollerError::Forked => PollError::Forked.errno(),
            PollerError::System(source) => source.raw_os_error().unwrap_or(libc::EINVAL),
        }
    }
}

impl fmt::Display for PollerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PollerError::AlreadyAdded => f.write_str("it is registered already"),
            PollerError::NotRegistered => f.write_str("it is not registered"),
            PollerError::Busy => f.write_str("another thread waits in this poller"),
            PollerError::Interrupted => f.write_str("a signal arrived while waiting"),
            PollerError::Terminated => f.write_str("the context is terminated"),
            PollerError::Closed { token } => {
                write!(f, "the socket registered with {token} is closed")
            }
            PollerError::Forked => PollError::Forked.fmt(f),
            PollerError::System(source) => write!(f, "the system cannot poll: {source}"),
        }
    }
}

impl Error for PollerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            PollerError::System(source) => Some(source),
            _ => None,
        }
    }
}
