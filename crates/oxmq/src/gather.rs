//! Who writes a connection's bytes, and when.
//!
//! A thread that is busy does not write: it gathers, and writes before it waits. A system call for
//! each message is what services, brokers and threads with many sockets would otherwise pay.
//!
//! ```text
//!                       a send finds a connection idle
//!                                    │
//!            the thread has waited, or had nothing to send for BUSY?
//!                     yes ┌──────────┴──────────┐ no: it is busy
//!                         │                     │
//!            one connection: it writes    the connection goes on the thread's list,
//!            several: their I/O threads   and on that of its I/O thread
//!            do, woken once                     │
//!                                               │ whatever comes first
//!          ┌────────────────────┬───────────────┴────┬───────────────────────┐
//!    the thread is about   half of SNDHWM or    the I/O thread's timer   the thread ends
//!    to wait, or finds     256 KiB have come    finds the thread at rest,
//!    nothing to receive    together              or looks for the fifth time
//!          │                    │                    │                       │
//!    it writes its list    it writes that       the I/O thread writes   it writes its list
//!                          connection
//! ```
//!
//! - *Waiting* is any call that sleeps, or looks and finds nothing: a receive, a poll, a full pipe, a
//!   future that returns `Pending`. To wait for something to receive ends a burst: the first send after it
//!   is written at once, so that who asks and answers in turn, one message at a time, gains and loses
//!   nothing. To wait for room does not: who does has more to send. Nor does a receive that must not
//!   wait: who goes through many sockets finds each of them empty in its turn.
//! - Receiving does not end a burst: who drains its input answers all of it in one write for each
//!   connection.
//! - Nobody is woken by a message. The first connection of a burst arms a timer of its I/O thread unless
//!   that is armed already.
//! - What is written late is written by whoever comes first; the others find nothing to do. Entries of a
//!   list are hints, and hold no session.
//!
//! A forked child has its parent's list as it was, and drops it unwritten.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use crate::asymmetric;
use crate::session::Session;
use crate::socket::waiters::Events;
use crate::sys::{self, Instant, fork_generation};

/// A thread is busy if it found a connection idle less than this ago, and has not waited for something
/// to receive since.
/// Measured: a wake-up of the I/O thread costs about as much.
const BUSY: Duration = Duration::from_micros(20);

/// The timer fires so long after a burst has begun: about the time in which the I/O thread would be
/// awake, had it been woken.
pub(crate) const LATE: Duration = Duration::from_micros(40);

/// It fires again after twice the time, up to this, while the threads that have gathered go on sending
/// or receiving: setting a timer costs a microsecond or more, and so does every firing.
pub(crate) const LATE_MAX: Duration = Duration::from_micros(320);

/// After so many looks it writes although they do: nothing waits for more than a millisecond.
pub(crate) const LOOKS_MAX: u8 = 4;

/// The bound in bytes of what is gathered for one connection: what one write takes well.
pub(crate) const BYTES_MAX: usize = 256 * 1024;

/// So many connections are written before the caller looks again whether there is still nothing.
const SLICE: usize = 64;

/// A thread whose list is longer than this writes a slice of it: one that never waits must not gather
/// connections without end. Arbitrary.
const LIST_MAX: usize = 4096;

/// How long a thread that ends waits for one who writes what it has gathered.
const PAUSES_MAX: u32 = 160;

/// Runs `f` on what the calling thread has gathered; `None` where the thread is ending and has no list
/// any more.
#[cfg(not(oxmq_sim))]
#[inline]
fn with<T>(f: impl FnOnce(&Gathered) -> T) -> Option<T> {
    thread_local!(static GATHERED: Gathered = const { Gathered::new() });
    GATHERED.try_with(f).ok()
}

/// All simulated processes run on one thread, and each has a list of its own.
#[cfg(oxmq_sim)]
fn with<T>(f: impl FnOnce(&Gathered) -> T) -> Option<T> {
    let gathered = BY_NODE.with(|by_node| {
        by_node
            .borrow_mut()
            .entry(crate::sys::sim::node())
            .or_insert_with(|| Gathered::new().into())
            .clone()
    });
    Some(f(&gathered))
}

#[cfg(oxmq_sim)]
thread_local! {
    static BY_NODE: RefCell<std::collections::BTreeMap<u32, std::rc::Rc<Gathered>>> =
        const { RefCell::new(std::collections::BTreeMap::new()) };
}

/// The simulated process begins anew: nothing is left of the last one's.
#[cfg(oxmq_sim)]
pub(crate) fn forget(node: u32) {
    if let Some(gathered) = BY_NODE.with(|by_node| by_node.borrow_mut().remove(&node)) {
        gathered.list.borrow_mut().clear();
    }
}

/// As [`forget`], for all of them.
#[cfg(oxmq_sim)]
pub(crate) fn forget_all() {
    let nodes: Vec<u32> = BY_NODE.with(|by_node| by_node.borrow().keys().copied().collect());
    nodes.into_iter().for_each(forget);
}

/// A connection that has got something to write, and that nobody drives.
pub(crate) struct Kick {
    pub(crate) session: Arc<Session>,
    /// No more than this is to come together for it: of messages that may wait, it holds but a few.
    pub(crate) fills: bool,
}

/// Connections have got something to write, and nobody drives them. Called with no lock held.
pub(crate) fn kicked(kicks: Vec<Kick>) {
    if with(|gathered| gathered.kicked(&kicks)).is_none() {
        // Nobody would come back to a list.
        for kick in &kicks {
            kick.session.write_now();
        }
    }
}

/// The calling thread has found no room in a pipe, and is not going to wait: it writes what it has
/// gathered, for that may be what fills the pipe. A stream to that connection alone has filled it by
/// itself, and is refused. True: as for [`write_before_waiting`].
#[cold]
pub(crate) fn write_before_refusal() -> bool {
    with(|gathered| !gathered.streams() && gathered.write_before_waiting()).unwrap_or(false)
}

/// The calling thread is about to wait, or has looked and found nothing: it writes what it has
/// gathered, or a slice of it. True: something was written, and it may look again before it waits.
#[inline]
pub(crate) fn write_before_waiting() -> bool {
    with(Gathered::write_before_waiting).unwrap_or(false)
}

/// As [`write_before_waiting`], by a thread that is about to wait for something to receive: its burst is
/// over.
#[inline]
pub(crate) fn end_burst() -> bool {
    let ends = |gathered: &Gathered| gathered.kicked_at.set(Instant::from_ns(0));
    with(ends).is_some() && write_before_waiting()
}

/// As either, by a thread that is about to wait for `events`.
#[inline]
pub(crate) fn write_before_waiting_for(events: Events) -> bool {
    if events.intersects(Events::IN) { end_burst() } else { write_before_waiting() }
}

/// What one thread has gathered.
struct Gathered {
    /// When it last found a connection idle; the clock's origin if it has waited to receive since.
    kicked_at: Cell<Instant>,
    list: RefCell<Vec<Weak<Session>>>,
    /// The connection that was idle last.
    last: Cell<*const Session>,
    /// So was the one before it.
    again: Cell<bool>,
    /// The process whose connections these are.
    process: Cell<u64>,
}

impl Gathered {
    const fn new() -> Gathered {
        Gathered {
            kicked_at: Cell::new(Instant::from_ns(0)),
            list: RefCell::new(Vec::new()),
            last: Cell::new(ptr::null()),
            again: Cell::new(false),
            process: Cell::new(0),
        }
    }

    fn kicked(&self, kicks: &[Kick]) {
        let now = Instant::now();
        let busy = now.saturating_since(self.kicked_at.get()) < BUSY
            && !cfg!(oxmq_mutation = "costs_needless_write");
        self.kicked_at.set(now);
        for Kick { session, fills } in kicks {
            let place = Arc::as_ptr(session);
            let again = self.last.replace(place) == place;
            self.again.set(again);
            if busy && (again || !fills) {
                self.put(session);
            } else if busy || kicks.len() == 1 {
                session.write_now();
            } else {
                session.kick();
            }
        }
    }

    /// Whether all that was gathered is for one connection, in a stream.
    fn streams(&self) -> bool {
        self.again.get() && self.list.borrow().len() == 1
    }

    /// Leaves the connection to this thread, which is likely to have more for it soon, and to its I/O
    /// thread should that not be so.
    fn put(&self, session: &Arc<Session>) {
        if session.gather(asymmetric::my_token()) {
            self.forget_inherited();
            let length = {
                let mut list = self.list.borrow_mut();
                list.push(Arc::downgrade(session));
                list.len()
            };
            if length > LIST_MAX {
                self.write_slice();
            }
        }
        session.write_later();
    }

    fn write_before_waiting(&self) -> bool {
        if self.list.borrow().is_empty() {
            return false;
        }
        self.forget_inherited();
        self.write_slice()
    }

    /// Writes for the connections that have waited longest. True: for any.
    fn write_slice(&self) -> bool {
        let mut slice: [Option<Weak<Session>>; SLICE] = [const { None }; SLICE];
        {
            let mut list = self.list.borrow_mut();
            let count = list.len().min(SLICE);
            for (place, session) in slice.iter_mut().zip(list.drain(..count)) {
                *place = Some(session);
            }
            if list.is_empty() {
                // Every thread has a list.
                list.shrink_to(SLICE);
            }
        }
        // Nothing is borrowed: writing can come back here, by way of what it tells others.
        let mut any = false;
        for session in slice.into_iter().flatten() {
            any |= self.write(&session);
        }
        any
    }

    /// False: the session is gone.
    fn write(&self, session: &Weak<Session>) -> bool {
        let session = session.upgrade();
        if let Some(session) = &session {
            session.write_gathered(asymmetric::my_token());
        }
        session.is_some()
    }

    /// In a forked child.
    fn forget_inherited(&self) {
        let process = fork_generation();
        if self.process.replace(process) != process {
            self.list.borrow_mut().clear();
        }
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.forget_inherited();
        for session in self.list.take() {
            self.write(&session);
            // The process may end with the thread, and whoever writes at this moment with it.
            let writes = || session.upgrade().is_some_and(|session| session.is_driven());
            for tries in (0..PAUSES_MAX).take_while(|_| writes()) {
                sys::pause(tries);
            }
        }
    }
}
