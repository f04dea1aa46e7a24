//! Tasks that wait for something that is no socket.
//!
//! What a waker does when it is woken, cloned or dropped is its owner's code, which may call the
//! library. So it is moved in and out of the list, whose lock is released before any of the three.

use std::mem;
use std::task::Waker;

/// Those that wait for one thing. Whoever changes that takes them all.
#[derive(Default)]
pub(crate) struct Tasks {
    /// By number.
    list: Vec<(u64, Waker)>,
    last: u64,
}

impl Tasks {
    /// Has a task woken, whose number is 0 before it has one. Says whether it will be, which it may not
    /// without a `copy` of its waker, and returns the waker whose place that takes.
    pub(crate) fn register(
        &mut self,
        task: &mut u64,
        waker: &Waker,
        copy: Option<Waker>,
    ) -> (bool, Option<Waker>) {
        if *task == 0 {
            self.last += 1;
            *task = self.last;
        }
        let held = self.list.iter_mut().find(|(number, _)| number == task);
        match (held, copy) {
            (Some((_, held)), None) => (held.will_wake(waker), None),
            (Some((_, held)), Some(copy)) => (true, Some(mem::replace(held, copy))),
            (None, Some(copy)) => {
                self.list.push((*task, copy));
                (true, None)
            }
            (None, None) => (false, None),
        }
    }

    /// The task waits no more.
    pub(crate) fn remove(&mut self, task: u64) -> Option<Waker> {
        let at = self.list.iter().position(|(number, _)| *number == task)?;
        Some(self.list.swap_remove(at).1)
    }

    /// All that wait, to be woken.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        mem::take(&mut self.list).into_iter().map(|(_, waker)| waker)
    }
}
