//! A thread that waits: its state, and the descriptor that ends its sleep.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;

use crate::park::ParkState;
use crate::sys::{EventFd, fork_generation};

/// One per thread that ever blocked in a call of this library.
pub(crate) struct Parker {
    state: ParkState,
    /// A forked child has its parent's descriptors, and must not take what is signalled there.
    process: u64,
    pub(crate) wake: EventFd,
}

impl Parker {
    /// The calling thread's parker.
    pub(crate) fn current() -> io::Result<Arc<Parker>> {
        thread_local!(static CURRENT: RefCell<Option<Arc<Parker>>> = const { RefCell::new(None) });
        CURRENT.with(|current| {
            let mut current = current.borrow_mut();
            // A parker that others still hold belongs to a call further up this thread's stack
            // (a signal handler, a free function): that call keeps it to itself.
            if let Some(parker) = current.as_ref()
                && Arc::strong_count(parker) == 1
                && parker.process == fork_generation()
            {
                parker.state.reset();
                return Ok(parker.clone());
            }
            let parker = Arc::new(Parker {
                state: ParkState::new(),
                process: fork_generation(),
                wake: EventFd::new()?,
            });
            *current = Some(parker.clone());
            Ok(parker)
        })
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
