//! Who waits for a socket: blocked threads, polls and futures. All of it lies under the
//! socket's lock, so that nothing can happen between a failed try and its registration.
//!
//! What a task's waker does when it is woken, cloned or dropped is its owner's code, which may call the
//! library: all of it happens with the lock released. So a waker is moved into the list and out of it,
//! and only ever compared there.

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

/// How a waiter is woken. Neither cloned nor dropped under the lock if it is a task or a poller.
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
    /// It is a poller's, also once it has been told.
    polls: bool,
    /// `None`: it has been woken with it.
    wake: Option<Wake>,
}

impl Waiter {
    /// Whether nobody has to bring a new waker for it.
    fn is_armed_with(&self, waker: &Waker) -> bool {
        matches!(&self.wake, Some(Wake::Task(held)) if held.will_wake(waker))
    }

    /// Says that it is to be woken. A thread keeps its place; a task brings a new waker when it comes
    /// again, and has been woken already if it has none.
    fn notify(&mut self, wakes: &mut Vec<Wake>) {
        self.notified = true;
        match &self.wake {
            Some(Wake::Thread(parker)) => wakes.push(Wake::Thread(parker.clone())),
            _ => wakes.extend(self.wake.take()),
        }
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
        match self.list.iter_mut().find(|waiter| waiter.id == id) {
            Some(waiter) => waiter.notified = false,
            None => {
                let wake = Some(Wake::Thread(parker.clone()));
                self.list.push(Waiter { id, events, takes, notified: false, polls: false, wake });
            }
        }
        *self.leader.get_or_insert(id) == id
    }

    /// Arms a task again that is registered with its present waker. False: it is to be
    /// [registered](Waiters::register_task) with a copy of it.
    pub(crate) fn rearm_task(&mut self, id: u64, waker: &Waker) -> bool {
        let Some(waiter) = self.list.iter_mut().find(|waiter| waiter.id == id) else {
            return false;
        };
        let armed = waiter.is_armed_with(waker);
        if armed {
            waiter.notified = false;
        }
        armed
    }

    /// Registers a task, or arms it again. Returns the waker that it had, to be dropped with the lock
    /// released.
    #[must_use = "what a waker does when it is dropped is not for under the lock"]
    pub(crate) fn register_task(
        &mut self,
        id: u64,
        events: Events,
        takes: bool,
        waker: Waker,
    ) -> Option<Wake> {
        let wake = Some(Wake::Task(waker));
        match self.list.iter_mut().find(|waiter| waiter.id == id) {
            Some(waiter) => {
                waiter.notified = false;
                std::mem::replace(&mut waiter.wake, wake)
            }
            None => {
                self.list.push(Waiter { id, events, takes, notified: false, polls: false, wake });
                None
            }
        }
    }

    /// Registers a poller until it is told of `events`, or of the socket's end.
    pub(crate) fn register_poller(&mut self, id: u64, events: Events, told: &Arc<Told>, key: u64) {
        match self.list.iter_mut().find(|waiter| waiter.id == id) {
            Some(waiter) => waiter.events = events,
            None => {
                let wake = Some(Wake::Poller(told.clone(), key));
                let takes = false;
                self.list.push(Waiter { id, events, takes, notified: false, polls: true, wake });
            }
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
        let next = self.list.iter_mut().find(|w| matches!(w.wake, Some(Wake::Thread(_))));
        if let Some(next) = next {
            next.notify(wakes);
        }
    }

    /// Takes a waiter out. Says whether it held a notification that somebody else may need, and
    /// returns what it was to be woken with, to be dropped with the lock released.
    pub(crate) fn deregister(&mut self, id: u64, wakes: &mut Vec<Wake>) -> (bool, Option<Wake>) {
        let Some(at) = self.list.iter().position(|waiter| waiter.id == id) else {
            return (false, None);
        };
        let waiter = self.list.remove(at);
        self.end_lead(id, wakes);
        (waiter.notified && waiter.takes, waiter.wake)
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
            pollers |= waiter.polls;
            waiter.notify(wakes);
        }
        if pollers {
            self.forget_told_pollers();
        }
    }

    /// One who takes has taken, and there is more for the next. Those who only look have been told
    /// of all there is, or have seen it.
    pub(crate) fn pass_on(&mut self, events: Events, wakes: &mut Vec<Wake>) {
        let may_take = |it: &&mut Waiter| it.takes && it.events.intersects(events);
        let mut takers = self.list.iter_mut().filter(may_take);
        if let Some(next) = takers.find(|it| !it.notified) {
            next.notify(wakes);
        }
    }

    /// Everybody is woken, whatever they wait for.
    pub(crate) fn notify_all(&mut self, wakes: &mut Vec<Wake>) {
        for waiter in &mut self.list {
            waiter.notify(wakes);
        }
        self.forget_told_pollers();
    }

    /// The pollers look again, whatever they wait for.
    pub(crate) fn notify_pollers(&mut self, wakes: &mut Vec<Wake>) {
        for waiter in self.list.iter_mut().filter(|waiter| waiter.polls) {
            waiter.notify(wakes);
        }
        self.forget_told_pollers();
    }

    /// A poller waits for one notification; a task without a waker has its place yet.
    fn forget_told_pollers(&mut self) {
        self.list.retain(|waiter| waiter.wake.is_some() || !waiter.polls);
    }
}
