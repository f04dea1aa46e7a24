//! How long a task goes on: futures that always find something to do give way now and then.
//!
//! A task whose messages come as fast as it takes them would never return to its executor, and the
//! executor's other tasks and timers would stand still. So after [`SUCCESSES_MAX`] successes on a thread
//! the futures there wake their task and say that they are pending, though they could go on.
//!
//! Every future does so that the task comes to, for one that did not would have it go on: `select!` takes
//! whichever is ready. That is over when one of them is polled again: then its task has been away. Or after
//! [`AWAY_MAX`], for futures may be dropped instead; whoever polls each of them but once
//! (`now_or_never`) finds nothing for so long. Nothing is taken meanwhile, and nothing lost.

use std::cell::Cell;
use std::task::Waker;
use std::time::Duration;

use crate::sys::Instant;

/// What executors allow a task, or about; chosen arbitrarily.
const SUCCESSES_MAX: u32 = 128;

/// Longer than a task takes to come to all of its futures, mostly; chosen arbitrarily.
const AWAY_MAX: Duration = Duration::from_micros(100);

thread_local! {
    static LEFT: Cell<u32> = const { Cell::new(SUCCESSES_MAX) };
    /// When that came to nothing.
    static SPENT_AT: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Of one future.
#[derive(Default)]
pub(crate) struct Turn {
    gave_way: bool,
}

impl Turn {
    /// Whether the future may go on. If not, its task is woken at once, and it is pending.
    #[inline]
    pub(crate) fn begin(&mut self, waker: &Waker) -> bool {
        if LEFT.get() == 0 && !self.has_been_away() {
            self.gave_way = true;
            waker.wake_by_ref();
            return false;
        }
        self.gave_way = false;
        true
    }

    #[cold]
    fn has_been_away(&self) -> bool {
        let now = Instant::now();
        let spent_at = SPENT_AT.get().unwrap_or(now);
        let away = self.gave_way || now.saturating_since(spent_at) >= AWAY_MAX;
        if away {
            refill();
        } else {
            SPENT_AT.set(Some(spent_at));
        }
        away
    }

    /// It found something.
    #[inline]
    pub(crate) fn succeed(&self) {
        LEFT.set(LEFT.get().saturating_sub(1));
    }
}

/// As on a thread that begins.
pub(crate) fn refill() {
    LEFT.set(SUCCESSES_MAX);
    SPENT_AT.set(None);
}
