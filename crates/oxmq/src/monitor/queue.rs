//! Events on their way to whoever receives them.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::{Event, EventKind, Hub};
use crate::connection::Connection;
use crate::error::RecvError;
use crate::gather;
use crate::socket::turn::Turn;
use crate::sys::{Instant, fork_generation};
use crate::tasks::Tasks;

/// How many events wait to be received; then the oldest are lost.
pub const EVENTS_MAX: usize = 1000;

/// Receives the events of one socket; see the [module](super). Any number of threads may share it.
///
/// The last event is [`EventKind::MonitorStopped`]. Dropping the monitor ends it, not the socket.
pub struct Monitor {
    queue: Arc<Queue>,
    hub: Weak<Hub>,
}

pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    /// The process that made it, as against its forked children.
    generation: u64,
}

#[derive(Default)]
struct Waiting {
    events: VecDeque<Event>,
    missed: u64,
    stopped: bool,
    tasks: Tasks,
}

impl Queue {
    pub(super) fn new() -> Queue {
        Queue { waiting: Mutex::default(), arrived: Condvar::new(), generation: fork_generation() }
    }

    /// Adds an event. Those who wait for it are to be woken with no lock held.
    pub(super) fn push(&self, event: Event, wakers: &mut Vec<Waker>) {
        let mut waiting = self.waiting.lock();
        waiting.stopped |= event.kind == EventKind::MonitorStopped;
        if waiting.events.len() == EVENTS_MAX {
            waiting.events.pop_front();
            waiting.missed += 1;
        }
        waiting.events.push_back(event);
        wakers.extend(waiting.tasks.take());
        drop(waiting);
        self.arrived.notify_all();
    }
}

impl Waiting {
    fn take(&mut self) -> Result<Event, RecvError> {
        if self.missed > 0 {
            let kind = EventKind::Missed(std::mem::take(&mut self.missed));
            return Ok(Event { kind, connection: Connection::default(), descriptor: None });
        }
        match self.events.pop_front() {
            Some(event) => Ok(event),
            None if self.stopped => Err(RecvError::Closed),
            None => Err(RecvError::Again),
        }
    }
}

impl Monitor {
    pub(super) fn new(queue: Arc<Queue>, hub: Weak<Hub>) -> Monitor {
        Monitor { queue, hub }
    }

    /// Of a socket that is the parent's, in a forked child.
    pub(crate) fn of_another_process() -> Monitor {
        let queue = Queue { generation: fork_generation().wrapping_sub(1), ..Queue::new() };
        Monitor { queue: Arc::new(queue), hub: Weak::new() }
    }

    /// The next event, if there is one.
    ///
    /// # Errors
    /// [`RecvError::Again`]: nothing has happened. [`RecvError::Closed`]: nothing will any more, the
    /// last event was received. [`RecvError::Forked`]: the socket is another process's.
    pub fn try_recv(&self) -> Result<Event, RecvError> {
        self.check()?;
        let event = self.queue.waiting.lock().take();
        if let Err(RecvError::Again) = event {
            while gather::end_burst() {}
        }
        event
    }

    /// The next event; waits for it. A signal does not end the wait.
    ///
    /// # Errors
    /// [`RecvError::Closed`] and [`RecvError::Forked`] as for [`Monitor::try_recv`].
    pub fn recv(&self) -> Result<Event, RecvError> {
        self.recv_until(None)
    }

    /// As [`Monitor::recv`], for so long at most.
    ///
    /// # Errors
    /// As for [`Monitor::try_recv`].
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Event, RecvError> {
        self.recv_until(Some(Instant::now() + timeout))
    }

    /// The next event, when there is one. The future belongs to no executor.
    pub fn recv_async(&self) -> RecvEvent<'_> {
        RecvEvent { monitor: self, task: 0, turn: Turn::default() }
    }

    fn recv_until(&self, deadline: Option<Instant>) -> Result<Event, RecvError> {
        match self.try_recv() {
            Err(RecvError::Again) => {}
            done => return done,
        }
        let mut waiting = self.queue.waiting.lock();
        loop {
            match waiting.take() {
                Err(RecvError::Again) => {}
                done => return done,
            }
            let Some(deadline) = deadline else {
                self.queue.arrived.wait(&mut waiting);
                continue;
            };
            let left = deadline.saturating_since(Instant::now());
            if left.is_zero() {
                return Err(RecvError::Again);
            }
            self.queue.arrived.wait_for(&mut waiting, left);
        }
    }

    /// Nothing of the parent's is touched in a forked child: a thread that is not there may hold
    /// the locks.
    fn check(&self) -> Result<(), RecvError> {
        let inherited = self.queue.generation != fork_generation();
        if inherited { Err(RecvError::Forked) } else { Ok(()) }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if self.check().is_ok()
            && let Some(hub) = self.hub.upgrade()
        {
            hub.remove(&self.queue);
        }
    }
}

/// The future of [`Monitor::recv_async`]. Polled again once it is done, it receives the next event.
#[must_use = "futures do nothing unless awaited"]
pub struct RecvEvent<'a> {
    monitor: &'a Monitor,
    /// Its number among those that wait; 0 before it has one.
    task: u64,
    turn: Turn,
}

impl RecvEvent<'_> {
    fn take(&mut self, waker: &Waker) -> Poll<Result<Event, RecvError>> {
        let queue = &*self.monitor.queue;
        let mut copy = None;
        loop {
            let (is_registered, old) = {
                let mut waiting = queue.waiting.lock();
                match waiting.take() {
                    Err(RecvError::Again) => {
                        waiting.tasks.register(&mut self.task, waker, copy.take())
                    }
                    done => return Poll::Ready(done),
                }
            };
            drop(old);
            if is_registered {
                return Poll::Pending;
            }
            copy = Some(waker.clone());
        }
    }
}

impl Future for RecvEvent<'_> {
    type Output = Result<Event, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Err(error) = this.monitor.check() {
            return Poll::Ready(Err(error));
        }
        if !this.turn.begin(context.waker()) {
            return Poll::Pending;
        }
        let polled = this.take(context.waker());
        if polled.is_ready() {
            this.turn.succeed();
        }
        polled
    }
}

impl Drop for RecvEvent<'_> {
    fn drop(&mut self) {
        if self.task == 0 || self.monitor.check().is_err() {
            return;
        }
        let left = self.monitor.queue.waiting.lock().tasks.remove(self.task);
        drop(left);
    }
}
