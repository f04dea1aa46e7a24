//! What happens to a socket's endpoints and connections, as events.
//!
//! [`Socket::monitor`] gives a [`Monitor`], which collects what happens from then on:
//!
//! ```
//! use oxmq::monitor::EventKind;
//! use oxmq::{Context, Pull, Push};
//!
//! let context = Context::new();
//! let pull = Pull::new(&context)?;
//! let monitor = pull.monitor();
//! let endpoint = pull.bind("tcp://127.0.0.1:*")?;
//! let push = Push::new(&context)?;
//! push.connect(&endpoint)?;
//! loop {
//!     let event = monitor.recv()?;
//!     println!("{event}");
//!     if event.kind == EventKind::HandshakeSucceeded {
//!         break;
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A connection's life, where it is made and where it is accepted:
//!
//! ```text
//!  connect:  ConnectDelayed ─▶ Connected ─▶ HandshakeSucceeded ─▶ Disconnected ─▶ ConnectRetried
//!                   └▶ ConnectFailed ─▶ ConnectRetried └▶ HandshakeFailed ─▶ ConnectRetried
//!            and Closed, if it ends between two connections
//!  bind:     Listening or BindFailed, in the end Closed
//!             └▶ Accepted ─▶ HandshakeSucceeded ─▶ Disconnected
//!                   └▶ HandshakeFailed
//! ```
//!
//! A monitor never holds the socket up: it keeps the last [`EVENTS_MAX`] events, and says how many
//! it has missed. It costs the socket nothing while there is none.
//!
//! The wire form of libzmq's `zmq_socket_monitor` is [`Socket::monitor_at`].
//!
//! [`Socket::monitor`]: crate::Socket::monitor
//! [`Socket::monitor_at`]: crate::Socket::monitor_at

mod hub;
mod queue;
mod reason;
mod wire;

use std::fmt;
use std::time::Duration;

use crate::connection::Connection;
use crate::statistics::DropReason;

pub(crate) use hub::Hub;
pub use queue::{EVENTS_MAX, Monitor, RecvEvent};
pub use reason::{Reason, ReasonKind};
pub(crate) use wire::Wire;
pub use wire::{MonitorError, MonitorVersion, number};

/// Something that happened to a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// To which endpoint or connection, as far as it is known; nothing is where it concerns the
    /// whole socket.
    pub connection: Connection,
    /// The number of the descriptor concerned. It may mean something else by now.
    pub descriptor: Option<i32>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EventKind {
    /// The socket is bound to the endpoint.
    Listening,
    /// It could not be bound.
    BindFailed(Reason),
    /// The socket is no longer bound to the endpoint; or it has given up an endpoint that it was
    /// connecting to, because it was disconnected or closed, when no connection stood.
    Closed,
    /// As `Closed`, but the name in the file system could not be removed.
    CloseFailed(Reason),
    /// A peer connected; the handshake follows.
    Accepted,
    /// A peer could not be accepted; it waits, or tries again.
    AcceptFailed(Reason),
    /// Connecting takes its time. (Within the process: nobody is bound there yet.)
    ConnectDelayed,
    /// Nobody answers at the endpoint, or the system refused.
    ConnectFailed(Reason),
    /// Connecting begins anew.
    ConnectRetried {
        /// After so long.
        interval: Duration,
    },
    /// The connection stands; the handshake follows.
    Connected,
    /// The peer is a peer: messages may go both ways.
    HandshakeSucceeded,
    /// The peer is none: not compatible, not wanted, or not heard of. The connection is closed.
    HandshakeFailed(Reason),
    /// The connection has ended; or its peer's identity went to another, so that it has ended for the
    /// socket ([`ReasonKind::HandedOver`]).
    Disconnected(Reason),
    /// Messages were dropped. Said at once for the first, and then at most every 100 ms for each
    /// pipe and reason; [`Socket::statistics`](crate::Socket::statistics) has exact numbers at any
    /// time.
    Dropped {
        /// Why.
        reason: DropReason,
        /// How many since the last such event.
        messages: u64,
    },
    /// What waits in a pipe; the answer to
    /// [`Socket::monitor_pipe_stats`](crate::Socket::monitor_pipe_stats).
    PipeStatistics {
        /// Messages to be sent.
        waiting_out: u64,
        /// Messages to be received.
        waiting_in: u64,
    },
    /// So many events, older than all that follow, were lost because they were not received in time.
    Missed(u64),
    /// The socket is closed, and all of its connections are: the last event.
    MonitorStopped,
}

impl EventKind {
    /// The name of the kind, in libzmq's spelling where it has one.
    pub fn name(&self) -> &'static str {
        match self {
            EventKind::Listening => "LISTENING",
            EventKind::BindFailed(_) => "BIND_FAILED",
            EventKind::Closed => "CLOSED",
            EventKind::CloseFailed(_) => "CLOSE_FAILED",
            EventKind::Accepted => "ACCEPTED",
            EventKind::AcceptFailed(_) => "ACCEPT_FAILED",
            EventKind::ConnectDelayed => "CONNECT_DELAYED",
            EventKind::ConnectFailed(_) => "CONNECT_FAILED",
            EventKind::ConnectRetried { .. } => "CONNECT_RETRIED",
            EventKind::Connected => "CONNECTED",
            EventKind::HandshakeSucceeded => "HANDSHAKE_SUCCEEDED",
            EventKind::HandshakeFailed(_) => "HANDSHAKE_FAILED",
            EventKind::Disconnected(_) => "DISCONNECTED",
            EventKind::Dropped { .. } => "DROPPED",
            EventKind::PipeStatistics { .. } => "PIPES_STATS",
            EventKind::Missed(_) => "MISSED",
            EventKind::MonitorStopped => "MONITOR_STOPPED",
        }
    }

    /// Why, where something failed or ended.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            EventKind::BindFailed(reason)
            | EventKind::CloseFailed(reason)
            | EventKind::AcceptFailed(reason)
            | EventKind::ConnectFailed(reason)
            | EventKind::HandshakeFailed(reason)
            | EventKind::Disconnected(reason) => Some(reason),
            _ => None,
        }
    }
}

impl fmt::Display for Event {
    /// One line: what, where, who, why.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        let connection = &self.connection;
        if !connection.endpoint.is_empty() {
            write!(f, " {}", connection.endpoint)?;
        }
        if let Some(local) = connection.local.as_ref().filter(|at| **at != connection.endpoint) {
            write!(f, " local {local}")?;
        }
        if let Some(remote) = connection.remote.as_ref().filter(|at| **at != connection.endpoint) {
            write!(f, " remote {remote}")?;
        }
        if let Some(peer) = &connection.peer {
            match peer.socket_type {
                Some(socket_type) => write!(f, " peer {socket_type}")?,
                None => f.write_str(" peer")?,
            }
            if !peer.identity.is_empty() {
                write!(f, " \"{}\"", peer.identity.escape_ascii())?;
            }
            if let Some(version) = peer.version {
                write!(f, " ZMTP {version}")?;
            }
        }
        match &self.kind {
            EventKind::ConnectRetried { interval } => write!(f, " in {} ms", interval.as_millis()),
            EventKind::Dropped { reason, messages } => write!(f, " {messages} {reason}"),
            EventKind::PipeStatistics { waiting_out, waiting_in } => {
                write!(f, " out {waiting_out} in {waiting_in}")
            }
            EventKind::Missed(events) => write!(f, " {events}"),
            kind => match kind.reason() {
                Some(reason) => write!(f, ": {reason}"),
                None => Ok(()),
            },
        }
    }
}
