//! Events as messages, in the form that libzmq documents for `zmq_socket_monitor` and
//! `zmq_socket_monitor_versioned`.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::sync::{Arc, Weak};
use std::task::{Poll, Wake, Waker};

use parking_lot::Mutex;

use super::{EVENTS_MAX, Event, EventKind, ReasonKind};
use crate::endpoint::{Endpoint, EndpointError};
use crate::error::{BindError, SocketError};
use crate::socket::core::{Attached, Core};
use crate::socket::task::Task;
use crate::socket::waiters::Events;
use crate::{Message, SocketType};

/// libzmq's numbers for events, and for what breaks a protocol.
pub mod number {
    use oxmq_zmtp::ProtocolError;

    use crate::zap::Fault;

    /// `ZMQ_EVENT_CONNECTED`; the value is the descriptor.
    pub const CONNECTED: u64 = 0x0001;
    /// `ZMQ_EVENT_CONNECT_DELAYED`.
    pub const CONNECT_DELAYED: u64 = 0x0002;
    /// `ZMQ_EVENT_CONNECT_RETRIED`; the value is the interval in milliseconds.
    pub const CONNECT_RETRIED: u64 = 0x0004;
    /// `ZMQ_EVENT_LISTENING`; the value is the descriptor.
    pub const LISTENING: u64 = 0x0008;
    /// `ZMQ_EVENT_BIND_FAILED`; the value is an errno.
    pub const BIND_FAILED: u64 = 0x0010;
    /// `ZMQ_EVENT_ACCEPTED`; the value is the descriptor.
    pub const ACCEPTED: u64 = 0x0020;
    /// `ZMQ_EVENT_ACCEPT_FAILED`; the value is an errno.
    pub const ACCEPT_FAILED: u64 = 0x0040;
    /// `ZMQ_EVENT_CLOSED`; the value is the descriptor.
    pub const CLOSED: u64 = 0x0080;
    /// `ZMQ_EVENT_CLOSE_FAILED`; the value is an errno.
    pub const CLOSE_FAILED: u64 = 0x0100;
    /// `ZMQ_EVENT_DISCONNECTED`; the value is the descriptor.
    pub const DISCONNECTED: u64 = 0x0200;
    /// `ZMQ_EVENT_MONITOR_STOPPED`.
    pub const MONITOR_STOPPED: u64 = 0x0400;
    /// `ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL`; the value is an errno.
    pub const HANDSHAKE_FAILED_NO_DETAIL: u64 = 0x0800;
    /// `ZMQ_EVENT_HANDSHAKE_SUCCEEDED`.
    pub const HANDSHAKE_SUCCEEDED: u64 = 0x1000;
    /// `ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL`; the value is a `ZMQ_PROTOCOL_ERROR`.
    pub const HANDSHAKE_FAILED_PROTOCOL: u64 = 0x2000;
    /// `ZMQ_EVENT_HANDSHAKE_FAILED_AUTH`; the value is a ZAP status code.
    pub const HANDSHAKE_FAILED_AUTH: u64 = 0x4000;
    /// `ZMQ_EVENT_PIPES_STATS`, of version 2; two values: messages waiting out, and in.
    pub const PIPES_STATS: u64 = 0x10000;
    /// `ZMQ_EVENT_ALL`, and `ZMQ_EVENT_ALL_V1`.
    pub const ALL_V1: u64 = 0xFFFF;
    /// `ZMQ_EVENT_ALL_V2`.
    pub const ALL_V2: u64 = ALL_V1 | PIPES_STATS;

    const UNSPECIFIED: u32 = 0x1000_0000;
    const UNEXPECTED_COMMAND: u32 = 0x1000_0001;
    const INVALID_SEQUENCE: u32 = 0x1000_0002;
    const KEY_EXCHANGE: u32 = 0x1000_0003;
    const MALFORMED_COMMAND_UNSPECIFIED: u32 = 0x1000_0011;
    const MALFORMED_COMMAND_MESSAGE: u32 = 0x1000_0012;
    const MALFORMED_COMMAND_HELLO: u32 = 0x1000_0013;
    const MALFORMED_COMMAND_INITIATE: u32 = 0x1000_0014;
    const MALFORMED_COMMAND_ERROR: u32 = 0x1000_0015;
    const MALFORMED_COMMAND_READY: u32 = 0x1000_0016;
    const MALFORMED_COMMAND_WELCOME: u32 = 0x1000_0017;
    const INVALID_METADATA: u32 = 0x1000_0018;
    const CRYPTOGRAPHIC: u32 = 0x1100_0001;
    const MECHANISM_MISMATCH: u32 = 0x1100_0002;

    pub(in crate::monitor) fn protocol_error(error: &ProtocolError) -> u32 {
        use ProtocolError::*;
        match error {
            MechanismMismatch { .. } => MECHANISM_MISMATCH,
            UnexpectedCommand { .. } | MessageInHandshake => UNEXPECTED_COMMAND,
            Replayed { .. } => INVALID_SEQUENCE,
            KeyExchange => KEY_EXCHANGE,
            MalformedCommand { command: "MESSAGE", .. } => MALFORMED_COMMAND_MESSAGE,
            MalformedCommand { command: "HELLO", .. } => MALFORMED_COMMAND_HELLO,
            MalformedCommand { command: "INITIATE", .. } => MALFORMED_COMMAND_INITIATE,
            MalformedCommand { command: "WELCOME", .. } => MALFORMED_COMMAND_WELCOME,
            MalformedCommand { command: "ERROR", .. } => MALFORMED_COMMAND_ERROR,
            MalformedCommand { command: "READY", .. } => MALFORMED_COMMAND_READY,
            MalformedCommand { .. } | CommandTooLong { .. } | MoreOnCommand => {
                MALFORMED_COMMAND_UNSPECIFIED
            }
            // libzmq checks these properties as it reads the metadata.
            MetadataTooLong { .. }
            | MetadataTruncated
            | MetadataNameEmpty
            | MetadataDuplicate { .. }
            | UnknownSocketType { .. }
            | IncompatibleSocketType { .. }
            | IdentityTooLong { .. }
            | IdentityReserved => INVALID_METADATA,
            Unauthentic => CRYPTOGRAPHIC,
            _ => UNSPECIFIED,
        }
    }

    const ZAP_UNSPECIFIED: u32 = 0x2000_0000;
    const ZAP_MALFORMED_REPLY: u32 = 0x2000_0001;
    const ZAP_BAD_REQUEST_ID: u32 = 0x2000_0002;
    const ZAP_BAD_VERSION: u32 = 0x2000_0003;
    const ZAP_INVALID_STATUS_CODE: u32 = 0x2000_0004;
    const ZAP_INVALID_METADATA: u32 = 0x2000_0005;

    /// `None`: it is not about what a handler said.
    pub(in crate::monitor) fn zap_fault(fault: Fault) -> Option<u32> {
        match fault {
            Fault::NoHandler | Fault::Gone => None,
            Fault::Parts => Some(ZAP_MALFORMED_REPLY),
            Fault::Delimiter => Some(ZAP_UNSPECIFIED),
            Fault::Version => Some(ZAP_BAD_VERSION),
            Fault::RequestId => Some(ZAP_BAD_REQUEST_ID),
            Fault::Status => Some(ZAP_INVALID_STATUS_CODE),
            Fault::Metadata => Some(ZAP_INVALID_METADATA),
        }
    }
}

/// The form of the messages that [`Socket::monitor_at`](crate::Socket::monitor_at) sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MonitorVersion {
    /// Two parts: the event (16 bits) and its value (32 bits), then the endpoint. Numbers are in
    /// the machine's byte order.
    V1,
    /// Parts of 64 bits for the event, for the number of its values, and for each value; then this
    /// end's endpoint and the other end's.
    V2,
}

/// Why a socket is not monitored at an endpoint.
#[derive(Debug)]
#[non_exhaustive]
pub enum MonitorError {
    /// The endpoint is none.
    Endpoint(EndpointError),
    /// The endpoint is not one of inproc's.
    NotInproc {
        /// The endpoint.
        endpoint: String,
    },
    /// Version 1 has no such events.
    Events {
        /// Those asked for.
        events: u64,
    },
    /// Sockets of this type do not monitor: only PAIR, PUB and PUSH do.
    SocketType(SocketType),
    /// The monitor's own socket was not to be had.
    Socket(SocketError),
    /// The endpoint was not to be had.
    Bind(BindError),
}

impl MonitorError {
    /// libzmq's number for the error.
    pub fn errno(&self) -> i32 {
        match self {
            MonitorError::Endpoint(error) => error.errno(),
            MonitorError::NotInproc { .. } => libc::EPROTONOSUPPORT,
            MonitorError::Events { .. } | MonitorError::SocketType(_) => libc::EINVAL,
            MonitorError::Socket(error) => error.errno(),
            MonitorError::Bind(error) => error.errno(),
        }
    }
}

impl fmt::Display for MonitorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MonitorError::Endpoint(error) => write!(f, "{error}"),
            MonitorError::NotInproc { endpoint } => {
                write!(f, "cannot monitor at {endpoint}: only inproc endpoints can be used")
            }
            MonitorError::Events { events } => {
                write!(f, "cannot monitor events {events:#x}: version 1 has those up to 0xffff")
            }
            MonitorError::SocketType(kind) => {
                write!(f, "cannot monitor by a {kind} socket: only PAIR, PUB and PUSH can be used")
            }
            MonitorError::Socket(error) => write!(f, "{error}"),
            MonitorError::Bind(error) => write!(f, "{error}"),
        }
    }
}

impl Error for MonitorError {}

/// Sends events at an inproc endpoint. Never holds anybody up: what cannot be sent waits, the last
/// [`EVENTS_MAX`] events at most.
pub(crate) struct Wire {
    socket: Arc<Core>,
    endpoint: String,
    events: u64,
    version: MonitorVersion,
    waker: Waker,
    sending: Mutex<Sending>,
}

#[derive(Default)]
struct Sending {
    waiting: VecDeque<Vec<Message>>,
    /// A thread sends; whoever comes meanwhile sets `again`.
    busy: bool,
    again: bool,
    stopped: bool,
    /// The place in the socket's waiting list; with whoever sends.
    task: Option<Task>,
}

impl Wire {
    /// Binds a socket of this type for the events of `monitored`.
    pub(crate) fn bind(
        monitored: &Core,
        endpoint: &str,
        events: u64,
        version: MonitorVersion,
        kind: SocketType,
    ) -> Result<Arc<Wire>, MonitorError> {
        if version == MonitorVersion::V1 && events > number::ALL_V1 {
            return Err(MonitorError::Events { events });
        }
        let name = match endpoint.parse().map_err(MonitorError::Endpoint)? {
            Endpoint::Inproc(name) => name,
            _ => return Err(MonitorError::NotInproc { endpoint: endpoint.into() }),
        };
        if !matches!(kind, SocketType::Pair | SocketType::Pub | SocketType::Push) {
            return Err(MonitorError::SocketType(kind));
        }
        let context = &monitored.context;
        let socket = context.new_core(kind).map_err(MonitorError::Socket)?;
        // Pending events hold no context up.
        socket.with(|state| {
            state.options.linger = 0;
            let attached = Attached::InprocName(name.clone());
            state.endpoints.push((endpoint.into(), attached));
        });
        if !context.inproc().bind(&socket, &name) {
            // The name is another's, and must not be taken from it.
            socket.with(|state| state.endpoints.clear());
            socket.close();
            return Err(MonitorError::Bind(BindError::AddrInUse { endpoint: endpoint.into() }));
        }
        Ok(Arc::new_cyclic(|wire| Wire {
            socket,
            endpoint: endpoint.into(),
            events,
            version,
            waker: Waker::from(Arc::new(Flush(wire.clone()))),
            sending: Mutex::default(),
        }))
    }

    pub(crate) fn is_at(&self, endpoint: &str) -> bool {
        self.endpoint == endpoint
    }

    /// Whether events of this number are for it.
    pub(crate) fn is_told(&self, number: u64) -> bool {
        self.events & number != 0
    }

    /// Queues an event; whether there is now something to flush.
    pub(super) fn queue(&self, event: &Event) -> bool {
        let mut sending = self.sending.lock();
        let mut queued = false;
        for (number, values) in numbers(event, self.version) {
            if !self.is_told(number) {
                continue;
            }
            if sending.waiting.len() == EVENTS_MAX {
                sending.waiting.pop_front();
            }
            sending.waiting.push_back(self.encode(event, number, &values));
            queued = true;
        }
        queued
    }

    /// Sends what waits, as far as it can be sent now; the rest goes when there is room again.
    pub(super) fn flush(&self) {
        {
            let mut sending = self.sending.lock();
            if sending.busy {
                sending.again = true;
                return;
            }
            sending.busy = true;
        }
        loop {
            let (mut parts, task) = {
                let mut sending = self.sending.lock();
                match sending.waiting.pop_front() {
                    Some(parts) => (parts, sending.task.take()),
                    None => return self.rest(sending),
                }
            };
            let mut task = task.unwrap_or(Task::new(Events::OUT, true));
            let sent = task.poll(&self.socket, &self.waker, |state| state.send(&mut parts));
            let mut sending = self.sending.lock();
            sending.task = Some(task);
            match sent {
                Poll::Ready(Ok(())) => {}
                Poll::Pending => {
                    sending.waiting.push_front(parts);
                    if !std::mem::take(&mut sending.again) {
                        return self.rest(sending);
                    }
                }
                Poll::Ready(Err(_)) => sending.waiting.clear(),
            }
        }
    }

    /// Nobody sends any more, for now or, when monitoring has stopped, for good.
    fn rest(&self, mut sending: parking_lot::MutexGuard<'_, Sending>) {
        sending.busy = false;
        sending.again = false;
        let stopped = sending.stopped;
        drop(sending);
        if stopped {
            self.socket.close();
        }
    }

    /// Sends the last event and closes the socket.
    pub(super) fn stop(&self, event: &Event) {
        self.queue(event);
        self.sending.lock().stopped = true;
        self.flush();
    }

    fn encode(&self, event: &Event, number: u64, values: &[u64]) -> Vec<Message> {
        let (local, remote) = addresses(event);
        let mut parts: Vec<Message> = Vec::new();
        match self.version {
            MonitorVersion::V1 => {
                let mut first = (number as u16).to_ne_bytes().to_vec();
                let value = values.first().copied().unwrap_or(0);
                first.extend((value as u32).to_ne_bytes());
                parts.push(first.into());
                let affected = if event.connection.bound { local } else { remote };
                parts.push(affected.into_bytes().into());
            }
            MonitorVersion::V2 => {
                let numbers = [number, values.len() as u64];
                for number in numbers.iter().chain(values) {
                    parts.push(number.to_ne_bytes().to_vec().into());
                }
                parts.push(local.into_bytes().into());
                parts.push(remote.into_bytes().into());
            }
        }
        let last = parts.len() - 1;
        for part in &mut parts[..last] {
            part.set_more(true);
        }
        parts
    }
}

/// Sends on when there is room again.
struct Flush(Weak<Wire>);

impl Wake for Flush {
    fn wake(self: Arc<Self>) {
        if let Some(wire) = self.0.upgrade() {
            wire.flush();
        }
    }
}

/// The endpoints of the two ends, as far as they are known.
fn addresses(event: &Event) -> (String, String) {
    let connection = &event.connection;
    let stands = connection.local.is_some() || connection.remote.is_some();
    let known = |address: &Option<String>| match address {
        Some(address) => address.clone(),
        // What libzmq makes of an end without a name.
        None if stands => "ipc://".into(),
        None => String::new(),
    };
    let (local, remote) = (known(&connection.local), known(&connection.remote));
    if !connection.bound {
        return (local, connection.endpoint.clone());
    }
    let local = if stands { local } else { connection.endpoint.clone() };
    (local, remote)
}

/// What libzmq calls the event: at most two numbers, each with its values.
fn numbers(event: &Event, version: MonitorVersion) -> Vec<(u64, Vec<u64>)> {
    if let EventKind::PipeStatistics { waiting_out, waiting_in } = event.kind {
        return match version {
            MonitorVersion::V1 => Vec::new(),
            MonitorVersion::V2 => vec![(number::PIPES_STATS, vec![waiting_out, waiting_in])],
        };
    }
    // libzmq says nothing of connections within the process.
    if event.connection.endpoint.starts_with("inproc:") {
        return Vec::new();
    }
    let descriptor = u64::from(event.descriptor.unwrap_or(-1) as u32);
    let one = |number, value| vec![(number, vec![value])];
    let errno = event.kind.reason().map_or(0, |reason| reason.errno() as u64);
    match &event.kind {
        EventKind::Listening => one(number::LISTENING, descriptor),
        EventKind::BindFailed(_) => one(number::BIND_FAILED, errno),
        EventKind::Closed => one(number::CLOSED, descriptor),
        EventKind::CloseFailed(_) => one(number::CLOSE_FAILED, errno),
        EventKind::Accepted => one(number::ACCEPTED, descriptor),
        EventKind::AcceptFailed(_) => one(number::ACCEPT_FAILED, errno),
        EventKind::ConnectDelayed => one(number::CONNECT_DELAYED, libc::EINPROGRESS as u64),
        // The descriptor of the attempt is closed, if there was one.
        EventKind::ConnectFailed(reason) if reason.kind() != ReasonKind::Unresolved => {
            one(number::CLOSED, descriptor)
        }
        EventKind::ConnectRetried { interval } => {
            one(number::CONNECT_RETRIED, interval.as_millis() as u64)
        }
        EventKind::Connected => one(number::CONNECTED, descriptor),
        EventKind::HandshakeSucceeded => one(number::HANDSHAKE_SUCCEEDED, 0),
        EventKind::HandshakeFailed(reason) => {
            let failed = match (reason.zap_status(), reason.protocol_error()) {
                (Some(status), _) => (number::HANDSHAKE_FAILED_AUTH, vec![u64::from(status)]),
                (_, Some(error)) => (number::HANDSHAKE_FAILED_PROTOCOL, vec![u64::from(error)]),
                _ => (number::HANDSHAKE_FAILED_NO_DETAIL, vec![errno]),
            };
            vec![failed, (number::DISCONNECTED, vec![descriptor])]
        }
        EventKind::Disconnected(reason) if reason.kind() != ReasonKind::ClosedHere => {
            one(number::DISCONNECTED, descriptor)
        }
        EventKind::MonitorStopped => one(number::MONITOR_STOPPED, 0),
        EventKind::ConnectFailed(_)
        | EventKind::Disconnected(_)
        | EventKind::Dropped { .. }
        | EventKind::PipeStatistics { .. }
        | EventKind::Missed(_) => Vec::new(),
    }
}
