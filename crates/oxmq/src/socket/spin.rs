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
/// One wait in this many is tried although polling has not paid lately.
const TRY_EVERY: u32 = 16;
/// A failure costs more than a success brings, a wake-up saved: so many successes outweigh it.
const FAILURE_COST: u32 = 2;
/// The most successes that are remembered.
const HOPE_MAX: u32 = 8;
/// More messages than this between two waits are a stream.
const STREAM_MESSAGES: u64 = 3;

/// The polling rule of one socket. Statistics only: all orderings are relaxed, and a lost update
/// does no harm.
pub(crate) struct Spin {
    hope: AtomicU32,
    waits: AtomicU32,
    /// How long polling took when it succeeded, lately, in nanoseconds.
    typical_ns: AtomicU32,
    messages_at_last_wait: AtomicU64,
}

impl Spin {
    pub(crate) const fn new() -> Spin {
        Spin {
            hope: AtomicU32::new(0),
            waits: AtomicU32::new(0),
            typical_ns: AtomicU32::new(0),
            messages_at_last_wait: AtomicU64::new(0),
        }
    }

    /// How long to poll in the wait that begins. `messages`: how many the socket has received.
    pub(crate) fn budget(&self, messages: u64) -> Duration {
        let before = self.messages_at_last_wait.swap(messages, Ordering::Relaxed);
        if messages.wrapping_sub(before) > STREAM_MESSAGES || cpu_count() < 2 {
            return Duration::ZERO;
        }
        let waits = self.waits.load(Ordering::Relaxed).wrapping_add(1);
        self.waits.store(waits, Ordering::Relaxed);
        if self.hope.load(Ordering::Relaxed) > 0 {
            let typical_ns = u64::from(self.typical_ns.load(Ordering::Relaxed));
            Duration::from_nanos(2 * typical_ns + 5_000).min(SPIN_MAX)
        } else if waits.is_multiple_of(TRY_EVERY) {
            SPIN_MAX
        } else {
            Duration::ZERO
        }
    }

    /// Whether polling found something, after how long.
    pub(crate) fn learn(&self, found: bool, after: Duration) {
        let hope = self.hope.load(Ordering::Relaxed);
        if !found {
            self.hope.store(hope.saturating_sub(FAILURE_COST), Ordering::Relaxed);
            return;
        }
        let first = hope == 0;
        let hope = if first { FAILURE_COST } else { (hope + 1).min(HOPE_MAX) };
        self.hope.store(hope, Ordering::Relaxed);
        let after_ns = after.as_nanos().min(SPIN_MAX.as_nanos()) as u32;
        let typical_ns = self.typical_ns.load(Ordering::Relaxed);
        let typical_ns = if first { after_ns } else { typical_ns - typical_ns / 8 + after_ns / 8 };
        self.typical_ns.store(typical_ns, Ordering::Relaxed);
    }
}
