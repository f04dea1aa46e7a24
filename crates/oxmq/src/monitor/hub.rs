//! The monitors of one socket, and everything that has something to tell them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Waker;

use parking_lot::Mutex;

use super::queue::Queue;
use super::wire::Wire;
use super::{Event, EventKind, Monitor, Reason};
use crate::connection::{Connection, Route};

/// Held by the socket, its listeners and its connections, each of them a source of events: when the
/// last source has ended, monitoring has.
///
/// Events are emitted with no socket's lock held. Where nobody monitors, one costs a look at
/// `active`.
pub(crate) struct Hub {
    active: AtomicBool,
    sources: AtomicUsize,
    sinks: Mutex<Sinks>,
}

#[derive(Default)]
struct Sinks {
    queues: Vec<Arc<Queue>>,
    wire: Option<Arc<Wire>>,
    stopped: bool,
    /// Why a connection last failed.
    last_failure: Option<String>,
}

impl Hub {
    /// Of a socket that is its first source.
    pub(crate) fn new() -> Arc<Hub> {
        Arc::new(Hub {
            active: AtomicBool::new(false),
            sources: AtomicUsize::new(1),
            sinks: Mutex::default(),
        })
    }

    /// Whether anybody monitors.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        // Relaxed: who begins to monitor while something happens may miss it or not.
        self.active.load(Ordering::Relaxed)
    }

    /// Tells what happened to a connection or an endpoint.
    #[inline]
    pub(crate) fn emit(
        &self,
        route: &Route,
        descriptor: Option<i32>,
        kind: impl FnOnce() -> EventKind,
    ) {
        if self.is_active() {
            self.tell(Event { kind: kind(), connection: route.to_connection(), descriptor });
        }
    }

    /// As [`Hub::emit`], of a connection that is described already.
    pub(crate) fn emit_of(&self, connection: Connection, kind: EventKind) {
        if self.is_active() {
            self.tell(Event { kind, connection, descriptor: None });
        }
    }

    #[cold]
    fn tell(&self, event: Event) {
        let mut wakers: Vec<Waker> = Vec::new();
        let wire = {
            let sinks = self.sinks.lock();
            for queue in &sinks.queues {
                queue.push(event.clone(), &mut wakers);
            }
            // Queued here, so that events keep their order, and sent with no lock held.
            sinks.wire.clone().filter(|wire| wire.queue(&event))
        };
        if let Some(wire) = wire {
            wire.flush();
        }
        for waker in wakers {
            waker.wake();
        }
    }

    /// Remembers why a connection failed.
    pub(crate) fn note_failure(&self, reason: &Reason) {
        self.sinks.lock().last_failure = Some(reason.to_string());
    }

    pub(crate) fn last_failure(&self) -> Option<String> {
        self.sinks.lock().last_failure.clone()
    }

    // Who listens.

    pub(crate) fn monitor(self: &Arc<Self>) -> Monitor {
        let queue = Arc::new(Queue::new());
        let mut sinks = self.sinks.lock();
        if sinks.stopped {
            queue.push(stopped(), &mut Vec::new());
        } else {
            sinks.queues.push(queue.clone());
            self.update(&sinks);
        }
        Monitor::new(queue, Arc::downgrade(self))
    }

    pub(super) fn remove(&self, queue: &Arc<Queue>) {
        let mut sinks = self.sinks.lock();
        sinks.queues.retain(|held| !Arc::ptr_eq(held, queue));
        self.update(&sinks);
    }

    /// Puts the one monitor in libzmq's form in place of another, or of none.
    pub(crate) fn set_wire(&self, wire: Option<Arc<Wire>>) {
        let old = {
            let mut sinks = self.sinks.lock();
            // Of a closed socket there is nothing but the end to be told.
            let stopped = sinks.stopped;
            let old = if stopped { wire } else { std::mem::replace(&mut sinks.wire, wire) };
            self.update(&sinks);
            old
        };
        if let Some(old) = old {
            old.stop(&stopped());
        }
    }

    pub(crate) fn wire(&self) -> Option<Arc<Wire>> {
        self.sinks.lock().wire.clone()
    }

    fn update(&self, sinks: &Sinks) {
        let active = !sinks.queues.is_empty() || sinks.wire.is_some();
        self.active.store(active, Ordering::Relaxed);
    }

    // Who has something to tell.

    pub(crate) fn source_started(&self) {
        self.sources.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn source_ended(&self) {
        // AcqRel: the end comes after all that the sources have told.
        if self.sources.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.stop();
        }
    }

    #[cold]
    fn stop(&self) {
        let mut wakers = Vec::new();
        let wire = {
            let mut sinks = self.sinks.lock();
            sinks.stopped = true;
            for queue in sinks.queues.drain(..) {
                queue.push(stopped(), &mut wakers);
            }
            let wire = sinks.wire.take();
            self.update(&sinks);
            wire
        };
        if let Some(wire) = wire {
            wire.stop(&stopped());
        }
        for waker in wakers {
            waker.wake();
        }
    }
}

fn stopped() -> Event {
    let connection = Connection::default();
    Event { kind: EventKind::MonitorStopped, connection, descriptor: None }
}
