//! One connection of a socket: the descriptor, the protocol, and the connection's ends of a pipe.
//!
//! Any thread may drive a session; its state word (see [`crate::drive`]) says who does. What only
//! the session's own I/O thread does (connecting, deadlines, ending) is in [`lifecycle`]; what
//! every driver does (read, decode, write) in [`pump`].

mod admission;
mod heartbeat;
mod lifecycle;
mod losses;
mod pump;
mod raw;
mod receive_buffer;
mod settings;
mod telling;
mod transcoder;

use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use oxmq_zmtp::Connection;
use parking_lot::Mutex;

use crate::asymmetric::ThreadToken;
use crate::connection::Route;
use crate::context::ContextCore;
use crate::drive::{DriveState, LateMark, Work};
use crate::monitor::Hub;
use crate::pattern::Excess;
use crate::pipe::{ArenaReader, ArenaWriter, NewestReader, NewestWriter, SlotWriter};
use crate::reactor::{Group, Io};
use crate::socket::core::Core;
use crate::socket::pipes::{Account, PipeId};
use crate::subscription::{Change, Outbox};
use crate::sys::{Fd, Instant, Interest, SockAddr};
use crate::transport::lookups::Found;
use crate::zap;
use crate::{Message, SocketType};

use admission::Admission;
use heartbeat::Heartbeat;
use receive_buffer::ReceiveBuffer;
use transcoder::Transcoder;

pub(crate) use settings::Settings;

/// The most that one write takes from the arena. Arbitrary; a socket buffer holds a few of these.
const WRITE_BYTES: usize = 256 * 1024;

/// One connection, or the making of one, over and over.
pub(crate) struct Session {
    drive: DriveState,
    core: Weak<Core>,
    hub: Arc<Hub>,
    context: Arc<ContextCore>,
    kind: SocketType,
    group: Arc<Group>,
    /// Its place in the group, and its key in the group's epoll.
    key: usize,
    pipe: AtomicU64,
    orders: AtomicU8,
    linger_ms: AtomicI32,
    /// It waits in its I/O thread's inbox already.
    queued: AtomicBool,
    /// It waits in its I/O thread's list of late writes already.
    late: LateMark,
    /// The thread on whose list of gathered connections it is. A hint.
    gathered_by: AtomicU32,
    /// Counts how often something was left to be written late. A hint.
    gathers: AtomicU8,
    /// The kernel's buffer is full. A hint.
    blocked: AtomicBool,
    /// `None` while there is nothing in it.
    asides: Mutex<Option<Box<Asides>>>,
    /// Touched only by whoever holds `drive`.
    inner: UnsafeCell<Inner>,
}

/// What other threads leave with a session for its driver.
#[derive(Default)]
struct Asides {
    /// Subscriptions to be sent; outside the arena, since they never count against HWM.
    subscriptions: Outbox,
    /// What looking up the name of the endpoint came to.
    resolved: Option<Found>,
}

// SAFETY: `inner` is reached only through `Session::try_hold`, which gives it to one thread at a
// time; everything else is `Sync` by itself.
unsafe impl Sync for Session {}
// SAFETY: all parts may move between threads.
unsafe impl Send for Session {}

/// What the owner asks of the session's I/O thread.
mod order {
    pub(super) const START: u8 = 1;
    pub(super) const CLOSE: u8 = 2;
    pub(super) const RESOLVED: u8 = 4;
    pub(super) const CLOSE_ORPHAN: u8 = 8;
    pub(super) const DOUBT: u8 = 16;
    pub(super) const HANG_UP: u8 = 32;
    pub(super) const RETUNE: u8 = 64;
    pub(super) const UNHEAR: u8 = 128;
}

/// What only the driver touches.
pub(crate) struct Inner {
    phase: Phase,
    origin: Origin,
    /// Its present connection, or its last one.
    route: Arc<Route>,
    options: Arc<Settings>,
    zmtp: Option<Box<Connection>>,
    out: Option<ArenaReader>,
    input: Option<SlotWriter<Message>>,
    conflation: Option<Box<Conflation>>,
    /// Bytes outside the arena: handshake, PONGs, subscriptions; and how many of them are sent. What a peer
    /// makes this end say waits with the protocol, bounded, until these are sent.
    control: Vec<u8>,
    control_sent: usize,
    /// It carries bytes as they are: there is no `zmtp`.
    raw: bool,
    /// For a peer of ZMTP 1.0, for one whose frames are sealed, and for a raw connection that stands.
    transcoder: Option<Box<Transcoder>>,
    received: ReceiveBuffer,
    large: Option<Box<LargeBody>>,
    /// Bytes and parts of the incomplete message at the end of `input`.
    multipart_bytes: u64,
    multipart_bytes_max: u64,
    in_multipart: bool,
    /// Subscriptions are left that did not go into `control` with others.
    subscriptions_wait: bool,
    /// What the epoll watches the descriptor for.
    interest: Interest,
    /// When the present phase has lasted too long (or, offline, long enough), or `NEVER`.
    deadline: Instant,
    /// When connecting has lasted too long.
    connect_deadline: Instant,
    linger_deadline: Instant,
    heartbeat: Option<Box<Heartbeat>>,
    /// The ZAP handler is asked about the peer, or has said that it is welcome.
    admission: Option<Box<Admission>>,
    /// The I/O thread has a timer to set.
    wants_attention: bool,
    /// Counts the reads that brought something.
    heard: u32,
    /// Bytes that the kernel has taken, ever.
    written: i64,
    closing: bool,
    /// The peer's name is another's: the socket hears it no more, and the monitors have been told that
    /// it is gone.
    unheard: bool,
    /// It is being closed, and no connection has stood since that began.
    in_vain: bool,
    /// The socket has closed this connection, and not been closed itself.
    hung_up: bool,
    /// There is no next attempt to connect.
    gives_up: bool,
    /// Attempts since the last connection that worked.
    attempts: u32,
    /// When the connection's handshake was done, and `heard` then; before that, when it was made.
    stands_since: Instant,
    heard_before: u32,
    /// How many connections in a row ended at once (`Inner::count_cut_short`).
    cut_short: u32,
    last_room_bytes: usize,
    /// The last body was longer than what is decoded from the buffer.
    reads_large: bool,
    discards_input: bool,
    /// What the protocol has to say is to be written before more is decoded.
    answers: bool,
    /// Messages discarded and not yet counted by the socket.
    unwanted: u64,
    /// What became of the messages sent, once it has ended.
    account: Account,
    takes_subscriptions: bool,
}

/// The connection's ends of a pipe.
pub(crate) struct Ends {
    pub(crate) out: ArenaReader,
    /// With CONFLATE there is none.
    pub(crate) input: Option<SlotWriter<Message>>,
    pub(crate) conflation: Option<Box<Conflation>>,
}

/// CONFLATE: the pipe holds one message a way. What is to be sent gets into an arena of the
/// session's own when the kernel has all of the last message, so that what writes, rewinds and
/// transcodes for other connections does so for this one.
pub(crate) struct Conflation {
    pub(crate) source: NewestReader,
    pub(crate) arena: ArenaWriter,
    pub(crate) sink: NewestWriter,
}

/// Where the connection stands.
enum Phase {
    /// No descriptor: not started, or waiting to try again.
    Offline,
    Resolving,
    Connecting(Fd),
    Handshake(Fd),
    Traffic(Fd),
    /// Everything is sent and said; only the peer's end of stream is awaited.
    Draining(Fd),
    /// The connection failed; the I/O thread has not yet seen to it.
    Broken(Fd),
    Ended,
}

/// How a session came about.
enum Origin {
    /// By `connect`: it tries again for ever, and its pipe outlives its connections. The addresses
    /// are those still to be tried, the last one first.
    Connect { addresses: Vec<SockAddr> },
    /// By `bind`: pipe and session end with the connection.
    Accepted,
}

/// Why a connection ended.
pub(crate) enum Failure {
    /// The peer closed it.
    EndOfStream,
    /// The peer broke the protocol, or cannot be talked to.
    Protocol(oxmq_zmtp::ProtocolError),
    System(io::Error),
    /// The socket does not want the peer.
    Refused(Rejection),
    /// The ZAP handler does not let the peer in.
    Denied(zap::Status),
    /// The ZAP handler could not be asked, or what it answered cannot be understood.
    Unasked(zap::Fault),
    TimedOut,
    /// Nothing answered where the connection was to go.
    NotConnected(Duration),
    /// The peer was not heard of for so long.
    Silent(Duration),
    /// There is no memory for what the peer sends.
    NoMemory,
    /// The peer announced or sent more than is allowed.
    TooMuch(&'static str),
}

impl From<Excess> for Failure {
    fn from(Excess(what): Excess) -> Failure {
        Failure::TooMuch(what)
    }
}

/// Why a socket does not want a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Rejection {
    /// The socket is closed.
    Closed,
    /// It has as many as it may have.
    NoMorePeers,
    /// Another one bears its identity.
    IdentityTaken,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::EndOfStream => f.write_str("the peer closed the connection"),
            Failure::Protocol(error) => write!(f, "{error}"),
            Failure::System(error) => write!(f, "the system: {error}"),
            Failure::Refused(Rejection::Closed) => f.write_str("this socket is closed"),
            Failure::Refused(Rejection::NoMorePeers) => {
                f.write_str("this socket takes no more peers")
            }
            Failure::Refused(Rejection::IdentityTaken) => {
                f.write_str("another peer of this socket bears the peer's identity")
            }
            Failure::Denied(status) => {
                write!(f, "the ZAP handler does not let the peer in: status {status}")
            }
            Failure::Unasked(fault) => write!(f, "the peer is not let in: {fault}"),
            Failure::TimedOut => f.write_str("the peer did not finish its handshake in time"),
            Failure::NotConnected(after) => {
                write!(f, "nobody answered the connection for {} ms", after.as_millis())
            }
            Failure::Silent(span) => {
                write!(f, "the peer has not answered for {} ms", span.as_millis())
            }
            Failure::NoMemory => f.write_str("there is no memory for what the peer sends"),
            Failure::TooMuch(what) => write!(f, "the peer sent {what}"),
        }
    }
}

/// A body too long for the receive buffer, collected in its own.
struct LargeBody {
    body: Vec<u8>,
    body_bytes: u64,
    more: bool,
    command: bool,
}

impl Session {
    /// A session that will connect, over and over.
    pub(crate) fn connect(
        core: &Arc<Core>,
        group: Arc<Group>,
        route: Arc<Route>,
        options: Arc<Settings>,
        ends: Ends,
    ) -> Arc<Session> {
        let origin = Origin::Connect { addresses: Vec::new() };
        Session::new(core, group, (origin, route, Phase::Offline), options, Some(ends))
    }

    /// A session over an accepted connection.
    pub(crate) fn accepted(
        core: &Arc<Core>,
        group: Arc<Group>,
        fd: Fd,
        route: Arc<Route>,
        options: Arc<Settings>,
    ) -> Arc<Session> {
        Session::new(core, group, (Origin::Accepted, route, Phase::Handshake(fd)), options, None)
    }

    fn new(
        core: &Arc<Core>,
        group: Arc<Group>,
        (origin, route, phase): (Origin, Arc<Route>, Phase),
        options: Arc<Settings>,
        ends: Option<Ends>,
    ) -> Arc<Session> {
        let (out, input, conflation) = match ends {
            Some(Ends { out, input, conflation }) => (Some(out), input, conflation),
            None => (None, None, None),
        };
        let raw = (core.raw)(&options);
        let multipart_bytes_max = u64::try_from(options.maxmultipartsize).unwrap_or(u64::MAX);
        core.context.session_started();
        core.hub.source_started();
        group.clone().insert(|key| {
            Arc::new(Session {
                hub: core.hub.clone(),
                context: core.context.clone(),
                kind: core.kind,
                drive: DriveState::new(true),
                core: Arc::downgrade(core),
                group,
                key,
                pipe: AtomicU64::new(PipeId::NOWHERE.to_bits()),
                orders: AtomicU8::new(order::START),
                linger_ms: AtomicI32::new(-1),
                queued: AtomicBool::new(false),
                late: LateMark::new(),
                gathered_by: AtomicU32::new(0),
                gathers: AtomicU8::new(0),
                blocked: AtomicBool::new(false),
                asides: Mutex::new(None),
                inner: UnsafeCell::new(Inner {
                    phase,
                    origin,
                    route,
                    options,
                    zmtp: None,
                    out,
                    input,
                    conflation,
                    control: Vec::new(),
                    control_sent: 0,
                    transcoder: None,
                    received: ReceiveBuffer::default(),
                    large: None,
                    multipart_bytes: 0,
                    multipart_bytes_max,
                    in_multipart: false,
                    subscriptions_wait: false,
                    interest: Interest::NONE,
                    deadline: Instant::NEVER,
                    connect_deadline: Instant::NEVER,
                    linger_deadline: Instant::NEVER,
                    heartbeat: None,
                    admission: None,
                    wants_attention: false,
                    heard: 0,
                    written: 0,
                    closing: false,
                    unheard: false,
                    in_vain: false,
                    hung_up: false,
                    gives_up: false,
                    attempts: 0,
                    stands_since: Instant::NEVER,
                    heard_before: 0,
                    cut_short: 0,
                    last_room_bytes: 0,
                    reads_large: false,
                    raw,
                    discards_input: core.discards_input,
                    answers: false,
                    unwanted: 0,
                    account: Account { taken: 0, left: 0 },
                    takes_subscriptions: core.takes_subscriptions,
                }),
            })
        })
    }

    /// The name of its pipe; set before the pipe is used.
    pub(crate) fn set_pipe(&self, pipe: PipeId) {
        self.pipe.store(pipe.to_bits(), Ordering::Release);
    }

    fn pipe(&self) -> PipeId {
        PipeId::from_bits(self.pipe.load(Ordering::Acquire))
    }

    fn io(&self) -> &Arc<Io> {
        self.group.io()
    }

    // What the socket asks for.

    /// Messages were published. True: nobody will look at them unless asked to.
    #[inline]
    pub(crate) fn request_write(&self) -> bool {
        self.drive.request(Work::WRITE)
    }

    /// Leaves the session's work to its I/O thread.
    pub(crate) fn kick(self: &Arc<Self>) {
        self.drive.promise();
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.io().post(crate::reactor::Job::Drive(self.clone()));
        }
    }

    /// Leaves the session's work to the calling thread, whose name is `by`. True: it is not known to be on
    /// its list.
    pub(crate) fn gather(&self, by: ThreadToken) -> bool {
        self.drive.promise_late();
        // Relaxed: a hint, as what follows.
        self.gathers.store(self.gathers.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        // Its thread is at work, and about to wait again.
        self.group.use_lease();
        // Relaxed, here and below: a connection that is on two lists, or on none, is written all the
        // same.
        if by != 0 && self.gathered_by.load(Ordering::Relaxed) == by {
            return false;
        }
        self.gathered_by.store(by, Ordering::Relaxed);
        true
    }

    /// What the calling thread has gathered is written by the session's I/O thread unless somebody does so
    /// soon.
    pub(crate) fn write_later(self: &Arc<Self>) {
        if self.late.set() {
            self.io().write_later(self);
        }
    }

    pub(crate) fn gathers(&self) -> u8 {
        self.gathers.load(Ordering::Relaxed)
    }

    /// Whether somebody reads or writes at this moment.
    pub(crate) fn is_driven(&self) -> bool {
        self.drive.is_driven()
    }

    /// Writes what the calling thread, whose name is `by`, has gathered, unless that is done already.
    pub(crate) fn write_gathered(self: &Arc<Self>, by: ThreadToken) {
        let _ = self.gathered_by.compare_exchange(by, 0, Ordering::Relaxed, Ordering::Relaxed);
        if self.drive.is_promised() {
            self.write_now();
        }
    }

    /// Writes on the calling thread what is to be written.
    pub(crate) fn write_now(self: &Arc<Self>) {
        // With the kernel's buffer full its epoll says when to go on.
        if self.blocked.load(Ordering::Relaxed) {
            return;
        }
        self.drive(Work::WRITE);
    }

    /// Reads on, on the calling thread: the pipe has room again.
    pub(crate) fn resume(self: &Arc<Self>) {
        self.drive(Work::READ);
    }

    /// Queues a change of the subscriptions; called under the socket's lock. True: ask for a drive.
    pub(crate) fn queue_subscription(&self, change: Change) -> bool {
        let mut asides = self.asides.lock();
        asides.get_or_insert_default().subscriptions.push(change);
        drop(asides);
        self.drive.request(Work::WRITE)
    }

    /// Queues all that is subscribed to, for a peer that has come; called under the socket's lock.
    pub(crate) fn queue_subscriptions(&self, prefixes: Vec<Box<[u8]>>) {
        if prefixes.is_empty() {
            return;
        }
        let mut asides = self.asides.lock();
        asides.get_or_insert_default().subscriptions = Outbox::new(prefixes);
        drop(asides);
        self.drive.request(Work::WRITE);
    }

    pub(crate) fn forget_subscriptions(&self) {
        if let Some(asides) = &mut *self.asides.lock() {
            asides.subscriptions = Outbox::default();
        }
    }

    /// Starts the session's life.
    pub(crate) fn start(self: &Arc<Self>) {
        self.io().post(crate::reactor::Job::Attend(self.clone()));
    }

    /// The socket is done with the session: what was sent lingers, then it ends.
    pub(crate) fn close(self: &Arc<Self>, linger_ms: i32) {
        self.linger_ms.store(linger_ms, Ordering::Relaxed);
        self.orders.fetch_or(order::CLOSE, Ordering::Release);
        self.start();
    }

    /// The socket has closed this one connection: what was sent over it still goes out, as long as
    /// that takes or until the socket is closed.
    pub(crate) fn hang_up(self: &Arc<Self>) {
        self.orders.fetch_or(order::HANG_UP, Ordering::Release);
        self.start();
    }

    /// The socket is closed: a session that was accepted, and never had a pipe of it, ends, and one
    /// that it had hung up lingers no longer than others.
    pub(crate) fn close_orphan(self: &Arc<Self>, linger_ms: i32) {
        self.linger_ms.store(linger_ms, Ordering::Relaxed);
        self.orders.fetch_or(order::CLOSE_ORPHAN, Ordering::Release);
        self.start();
    }

    /// The connection has to show that it stands, or is ended.
    pub(crate) fn doubt(self: &Arc<Self>) {
        self.orders.fetch_or(order::DOUBT, Ordering::Release);
        self.start();
    }

    /// The peer's name is another's: nothing more is heard of it, though its connection stands.
    pub(crate) fn unhear(self: &Arc<Self>) {
        self.orders.fetch_or(order::UNHEAR, Ordering::Release);
        self.start();
    }

    /// RCVHWM was set: it is asked for anew.
    pub(crate) fn retune(self: &Arc<Self>) {
        self.orders.fetch_or(order::RETUNE, Ordering::Release);
        self.start();
    }

    /// The addresses of the endpoint's name are known.
    fn set_resolved(self: &Arc<Self>, found: Found) {
        self.asides.lock().get_or_insert_default().resolved = Some(found);
        self.orders.fetch_or(order::RESOLVED, Ordering::Release);
        self.start();
    }

    // Driving.

    /// Drives the connection on the calling thread, if nobody else does (false); whoever does will look
    /// again.
    pub(crate) fn drive(self: &Arc<Self>, work: Work) -> bool {
        if !self.drive.try_take(work) {
            return false;
        }
        let mut garbage = Vec::new();
        // SAFETY: `try_take` made this thread the driver; `inner` is not used after `release`.
        let inner = unsafe { &mut *self.inner.get() };
        let mut asks_for_attention;
        loop {
            let work = self.drive.begin_pass();
            asks_for_attention = self.pump(inner, work, &mut garbage);
            if self.drive.release(inner.is_parked()) {
                break;
            }
        }
        if asks_for_attention {
            self.start();
        }
        drop(garbage);
        true
    }

    /// The epoll found the descriptor ready. False: somebody else drives.
    pub(crate) fn drive_event(self: &Arc<Self>, readable: bool, writable: bool) -> bool {
        match (readable, writable) {
            (true, false) => self.drive(Work::READ),
            (false, true) => self.drive(Work::WRITE),
            _ => self.drive(Work::BOTH),
        }
    }

    /// The timer of its I/O thread fired: what becomes of what was gathered for the connection.
    /// `leave`: its thread is still at work, and it is left to that.
    pub(crate) fn take_late(&self, leave: bool) -> Late {
        if !self.late.clear(&self.drive) || self.blocked.load(Ordering::Relaxed) {
            return Late::Written;
        }
        if !leave {
            return Late::Due;
        }
        // Another thread may have put it on the list again meanwhile.
        if self.late.set() { Late::Young } else { Late::Written }
    }

    /// Called by the I/O thread for a job in its inbox.
    pub(crate) fn drive_queued(self: &Arc<Self>) {
        // An exchange: a producer who found the mark set has its promise ordered before this drive.
        self.queued.swap(false, Ordering::AcqRel);
        self.drive(Work::WRITE);
    }
}

/// What the I/O thread finds of a connection that was to be written late.
#[derive(PartialEq, Eq)]
pub(crate) enum Late {
    /// Somebody has written, or the connection's epoll will say when that can be done.
    Written,
    /// It is its sender's for a while.
    Young,
    /// Nobody has written.
    Due,
}

impl Inner {
    /// Nothing that a producer publishes can be written now: no connection, or its buffer is full
    /// and its epoll says when it is not.
    fn is_parked(&self) -> bool {
        !matches!(self.phase, Phase::Traffic(_)) || self.interest.write
    }
}
