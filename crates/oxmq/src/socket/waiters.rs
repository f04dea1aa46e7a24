//! Who waits for a socket: blocked threads, polls and futures. All of it lies under the
//! socket's lock, so that nothing can happen between a failed try and its registration.

use std::ops::{BitOr, BitOrAssign};
use std::sync::Arc;
use std::task::Waker;

use crate::parker::Parker;
use crate::socket::poller::Told;

/// What a socket can be waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Events(u8);

impl Events {
    /// Nothing.
    pub const NONE: Events = Events(0);
    /// At least one message can be received.
    pub const IN: Events = Events(1);
    /// At least one message can be sent.
    pub const OUT: Events = Events(2);
    /// A peer or a subscription came or went.
    pub(crate) const PEERS: Events = Events(4);
    /// Of a descriptor only: an error or a hang-up. Reported without being asked for.
    pub const ERROR: Events = Events(8);
    /// Of a descriptor only: urgent data (`POLLPRI`).
    pub const PRIORITY: Events = Events(16);

    /// Whether any event of `other` is in here.
    pub const fn intersects(self, other: Events) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether nothing is in here.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The events in both.
    pub const fn and(self, other: Events) -> Events {
        Events(self.0 & other.0)
    }
}

impl BitOr for Events {
    type Output = Events;
    fn bitor(self, other: Events) -> Events {
        Events(self.0 | other.0)
    }
}

impl BitOrAssign for Events {
    fn bitor_assign(&mut self, other: Events) {
        self.0 |= other.0;
    }
}

/// How a waiter is woken.
#[derive(Clone)]
pub(crate) enum Wake {
    Thread(Arc<Parker>),
    Task(Waker),
    /// A [`Poller`](crate::Poller) and its key for the socket. It waits for one notification:
    /// whoever looks and finds nothing registers anew.
    Poller(Arc<Told>, u64),
}

impl Wake {
    pub(crate) fn wake(self) {
        match self {
            Wake::Thread(parker) => parker.notify(),
            Wake::Task(waker) => waker.wake(),
            Wake::Poller(told, key) => told.tell(key),
        }
    }
}

struct Waiter {
    id: u64,
    events: Events,
    /// Takes one message (or slot) when woken, as against one that only looks: the first of
    /// these is woken and passes the notification on, all of those are.
    takes: bool,
    notified: bool,
    wake: Wake,
}

impl Waiter {
    fn is_poller(&self) -> bool {
        matches!(self.wake, Wake::Poller(..))
    }
}

/// The waiters of one socket.
#[derive(Default)]
pub(crate) struct Waiters {
    list: Vec<Waiter>,
    next_id: u64,
    /// The waiting thread that drives the socket's connections (design: the election).
    leader: Option<u64>,
}

impl Waiters {
    /// An id to register under.
    pub(crate) fn new_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Registers a thread, or arms it again after it was notified. True: it leads.
    pub(crate) fn register_thread(
        &mut self,
        id: u64,
        events: Events,
        takes: bool,
        parker: &Arc<Parker>,
    ) -> bool {
        self.arm(id, events, takes, || Wake::Thread(parker.clone()));
        *self.leader.get_or_insert(id) == id
    }

    /// Registers a task, or arms it again with its present waker.
    pub(crate) fn register_task(&mut self, id: u64, events: Events, takes: bool, waker: &Waker) {
        self.arm(id, events, takes, || Wake::Task(waker.clone()));
        if let Some(waiter) = self.list.iter_mut().find(|waiter| waiter.id == id)
            && let Wake::Task(old) = &mut waiter.wake
            && !old.will_wake(waker)
        {
            *old = waker.clone();
        }
    }

    fn arm(&mut self, id: u64, events: Events, takes: bool, wake: impl FnOnce() -> Wake) {
        match self.list.iter_mut().find(|waiter| waiter.id == id) {
            Some(waiter) => waiter.notified = false,
            None => self.list.push(Waiter { id, events, takes, notified: false, wake: wake() }),
        }
    }

    /// Registers a poller until it is told of `events`, or of the socket's end.
    pub(crate) fn register_poller(&mut self, id: u64, events: Events, told: &Arc<Told>, key: u64) {
        match self.list.iter_mut().find(|waiter| waiter.id == id) {
            Some(waiter) => waiter.events = events,
            None => self.arm(id, events, false, || Wake::Poller(told.clone(), key)),
        }
    }

    /// A thread that is not in the list is about to wait. True: it leads.
    pub(crate) fn lead(&mut self, id: u64) -> bool {
        *self.leader.get_or_insert(id) == id
    }

    /// The end of [`Waiters::lead`], or of a registered thread's.
    pub(crate) fn end_lead(&mut self, id: u64, wakes: &mut Vec<Wake>) {
        if self.leader != Some(id) {
            return;
        }
        self.leader = None;
        // The lead is passed on: another waiting thread looks again and finds it free.
        let next = self.list.iter_mut().find(|w| matches!(w.wake, Wake::Thread(_)));
        if let Some(next) = next {
            next.notified = true;
            wakes.push(next.wake.clone());
        }
    }

    /// Takes a waiter out. True: it held a notification that somebody else may need.
    pub(crate) fn deregister(&mut self, id: u64, wakes: &mut Vec<Wake>) -> bool {
        let Some(at) = self.list.iter().position(|waiter| waiter.id == id) else { return false };
        let waiter = self.list.remove(at);
        self.end_lead(id, wakes);
        waiter.notified && waiter.takes
    }

    /// Something happened: everybody who looks, and the first who takes, is woken.
    pub(crate) fn notify(&mut self, events: Events, wakes: &mut Vec<Wake>) {
        let mut one_taken = Events::NONE;
        let mut pollers = false;
        for waiter in &mut self.list {
            let hit = waiter.events.and(events);
            if hit.is_empty() || waiter.notified {
                continue;
            }
            if waiter.takes {
                if one_taken.intersects(hit) {
                    continue;
                }
                one_taken |= hit;
            }
            waiter.notified = true;
            pollers |= waiter.is_poller();
            wakes.push(waiter.wake.clone());
        }
        if pollers {
            self.list.retain(|waiter| !(waiter.notified && waiter.is_poller()));
        }
    }

    /// One who takes has taken, and there is more for the next. Those who only look have been told
    /// of all there is, or have seen it.
    pub(crate) fn pass_on(&mut self, events: Events, wakes: &mut Vec<Wake>) {
        let may_take = |it: &&mut Waiter| it.takes && it.events.intersects(events);
        let mut takers = self.list.iter_mut().filter(may_take);
        if let Some(next) = takers.find(|it| !it.notified) {
            next.notified = true;
            wakes.push(next.wake.clone());
        }
    }

    /// Everybody is woken, whatever they wait for.
    pub(crate) fn notify_all(&mut self, wakes: &mut Vec<Wake>) {
        for waiter in &mut self.list {
            waiter.notified = true;
            wakes.push(waiter.wake.clone());
        }
        self.list.retain(|waiter| !waiter.is_poller());
    }

    /// The pollers look again, whatever they wait for.
    pub(crate) fn notify_pollers(&mut self, wakes: &mut Vec<Wake>) {
        wakes.extend(self.list.iter().filter(|w| w.is_poller()).map(|waiter| waiter.wake.clone()));
        self.list.retain(|waiter| !waiter.is_poller());
    }
}
