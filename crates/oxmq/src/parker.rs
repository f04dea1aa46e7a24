//! A thread that waits: its state, and the descriptor that ends its sleep.

use std::cell::Cell;
use std::io;
use std::sync::Arc;

use crate::park::ParkState;
use crate::sys::{EventFd, fork_generation};

/// One per thread that ever blocked in a call of this library; it goes with the thread.
pub(crate) struct Parker {
    state: ParkState,
    /// A forked child has its parent's descriptors, and must not take what is signalled there.
    process: u64,
    pub(crate) wake: EventFd,
}

impl Parker {
    /// The calling thread's parker.
    pub(crate) fn current() -> io::Result<Arc<Parker>> {
        thread_local!(static KEPT: Cell<Option<Arc<Parker>>> = const { Cell::new(None) });
        // A thread may wait after what it keeps has gone: in an exit handler, in the destructor of a
        // thread-local or a static object. It gets a parker for that wait alone.
        let kept = KEPT.try_with(Cell::take).ok().flatten();
        // One that others still hold belongs to a call further up this thread's stack (a signal
        // handler, a free function): that call keeps it to itself.
        let kept = kept
            .filter(|parker| Arc::strong_count(parker) == 1 && parker.process == fork_generation());
        let parker = match kept {
            Some(parker) => parker,
            None => Arc::new(Parker {
                state: ParkState::new(),
                process: fork_generation(),
                wake: EventFd::new()?,
            }),
        };
        parker.state.reset();
        let _ = KEPT.try_with(|kept| kept.set(Some(parker.clone())));
        Ok(parker)
    }

    pub(crate) fn is_notified(&self) -> bool {
        self.state.is_notified()
    }

    /// Forgets a notification; what it told is looked at after this.
    pub(crate) fn reset(&self) {
        self.state.reset();
    }

    /// Wakes the thread, with a system call only if it sleeps.
    pub(crate) fn notify(&self) {
        if self.state.notify() {
            self.wake.signal();
        }
    }

    /// Announces the sleep. False: notified already, do not sleep.
    pub(crate) fn prepare_sleep(&self) -> bool {
        self.state.prepare_sleep()
    }

    /// The sleep is over, for whatever reason.
    pub(crate) fn end_sleep(&self) {
        self.state.end_sleep();
    }
}
