//! A task's stay in the waiting list of a socket.

use std::task::{Poll, Waker};

use crate::gather;
use crate::pattern::Refusal;
use crate::socket::core::{Core, State};
use crate::socket::waiters::{Events, Wake};

/// The place of a task among those that wait for a socket; none before it has to wait.
pub(crate) struct Task {
    events: Events,
    /// As in `Waiter`.
    takes: bool,
    id: u64,
}

impl Task {
    pub(crate) const fn new(events: Events, takes: bool) -> Task {
        Task { events, takes, id: 0 }
    }

    pub(crate) fn events(&self) -> Events {
        self.events
    }

    /// Runs `attempt`; if it says "again", `waker` is woken once that may have changed.
    pub(crate) fn poll<T>(
        &mut self,
        core: &Core,
        waker: &Waker,
        mut attempt: impl FnMut(&mut State) -> Result<T, Refusal>,
    ) -> Poll<Result<T, Refusal>> {
        // Copying a waker, and dropping one, is its owner's code, which may call the socket: neither is
        // done under its lock. So a task that has to wait tries once more, with a copy in hand.
        let mut copy = None;
        loop {
            let (mut is_registered, mut old) = (false, None);
            let tried = core.retry_after_resume(|state| {
                let tried = attempt(state);
                if let Err(Refusal::Again) = tried {
                    is_registered = self.register(state, waker, &mut copy, &mut old);
                }
                tried
            });
            drop(old);
            match tried {
                Err(Refusal::Again)
                    if is_registered && gather::write_before_waiting_for(self.events) => {}
                Err(Refusal::Again) if is_registered => return Poll::Pending,
                Err(Refusal::Again) => copy = Some(waker.clone()),
                done => {
                    self.leave(core);
                    return Poll::Ready(done);
                }
            }
        }
    }

    /// False: there is no copy of the waker to register.
    fn register(
        &mut self,
        state: &mut State,
        waker: &Waker,
        copy: &mut Option<Waker>,
        old: &mut Option<Wake>,
    ) -> bool {
        if self.id == 0 {
            self.id = state.waiters.new_id();
        }
        if state.waiters.rearm_task(self.id, waker) {
            return true;
        }
        let Some(copy) = copy.take() else { return false };
        *old = state.waiters.register_task(self.id, self.events, self.takes, copy);
        true
    }

    /// It waits no more; a notification that it did not use goes to another.
    pub(crate) fn leave(&mut self, core: &Core) {
        if self.id != 0 {
            let id = std::mem::take(&mut self.id);
            drop(core.with(|state| state.end_wait(id, self.events)));
        }
    }
}
