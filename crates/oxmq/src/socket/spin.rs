//! How long a waiting thread polls before it sleeps.
//!
//! While both sides of an exchange sleep, every wait is two wake-ups long and looks hopeless, so
//! the rule tries now and then; once a try succeeds, both sides keep polling and the exchange is
//! several times faster. A stream is recognised by several messages a wait, and never polled for:
//! polling takes the processor from the one who makes the messages.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::sys::cpu_count;

/// The longest time polled before sleeping.
const SPIN_MAX: Duration = Duration::from_micros(50);
/// One wait in this many is tried although the last tries failed.
const TRY_EVERY: u32 = 16;
/// Successes remembered: so many failures in a row end the polling.
const HOPE_MAX: u32 = 8;
/// More messages than this between two waits are a stream.
const STREAM_MESSAGES: u64 = 3;

/// The polling rule of one socket. Statistics only: all orderings are relaxed.
pub(crate) struct Spin {
    hope: AtomicU32,
    waits: AtomicU32,
    messages_at_last_wait: AtomicU64,
}

impl Spin {
    pub(crate) const fn new() -> Spin {
        Spin {
            hope: AtomicU32::new(0),
            waits: AtomicU32::new(0),
            messages_at_last_wait: AtomicU64::new(0),
        }
    }

    /// How long to poll in the wait that begins. `messages`: how many the socket has received.
    pub(crate) fn budget(&self, messages: u64) -> Duration {
        let before = self.messages_at_last_wait.swap(messages, Ordering::Relaxed);
        if messages.wrapping_sub(before) > STREAM_MESSAGES || cpu_count() < 2 {
            return Duration::ZERO;
        }
        let waits = self.waits.fetch_add(1, Ordering::Relaxed);
        if self.hope.load(Ordering::Relaxed) > 0 || waits % TRY_EVERY == 0 {
            SPIN_MAX
        } else {
            Duration::ZERO
        }
    }

    /// Whether polling for a `budget` found something.
    pub(crate) fn learn(&self, found: bool) {
        let hope = self.hope.load(Ordering::Relaxed);
        let hope = if found { (hope + 2).min(HOPE_MAX) } else { hope.saturating_sub(1) };
        self.hope.store(hope, Ordering::Relaxed);
    }
}
