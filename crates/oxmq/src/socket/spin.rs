//! How long a waiting thread polls before it sleeps.
//!
//! While both sides of an exchange sleep, every wait is two wake-ups long and looks hopeless, so
//! the rule tries now and then; once a try succeeds, both sides keep polling and the exchange is
//! several times faster. A stream is recognised by several messages a wait, and never polled for:
//! polling takes the processor from the one who makes the messages.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::sys::{Instant, cpu_count};

/// The longest time polled before sleeping.
const SPIN_MAX: Duration = Duration::from_micros(50);
/// One wait in this many is tried although polling has not paid lately.
const TRY_EVERY: u32 = 16;
/// A failure costs more than a success brings, a wake-up saved: so many successes outweigh it.
const FAILURE_COST: u32 = 2;
/// A first success counts for several: the other side has still to find out.
const HOPE_FIRST: u32 = 4;
/// The most successes that are remembered.
const HOPE_MAX: u32 = 8;
/// More messages than this between two waits are a stream.
const STREAM_MESSAGES: u64 = 3;

/// How often a caller looks again who finds a pipe within the process empty, or full, for a moment.
pub(crate) const LOOKS_MAX: u32 = 8;
/// The pause between two looks. Measured: the longer the other side works undisturbed, the less
/// often the two fetch each other's memory; and a wake-up would cost several of these.
const PAUSE: Duration = Duration::from_micros(6);

/// Pauses after that many looks, and counts one more.
#[cold]
pub(crate) fn pause_between_looks(looks: u32) -> u32 {
    if !pays() {
        return LOOKS_MAX;
    }
    let start = Instant::now();
    while Instant::now().saturating_since(start) < PAUSE {
        std::hint::spin_loop();
    }
    looks + 1
}

/// A yield that takes longer has let somebody work who has nothing to do with us, for as long as the
/// system lets anybody.
const YIELD_MAX: Duration = Duration::from_micros(400);
/// After so many such yields in a row, as a power of two of the waits without one, they are no rarer.
const YIELDS_RARE_MAX: u32 = 12;

/// Lets other threads have the processor that the calling one would only wait on. Where strangers take
/// it, and it comes back a few milliseconds later, it is not tried again for a while.
#[inline]
pub(crate) fn let_others_work() {
    thread_local!(static YIELDS: Cell<(u32, u32)> = const { Cell::new((0, 0)) });
    let _ = YIELDS.try_with(|yields| {
        let (skip, rare) = yields.get();
        if skip > 0 {
            return yields.set((skip - 1, rare));
        }
        let start = Instant::now();
        thread::yield_now();
        yields.set(if Instant::now().saturating_since(start) > YIELD_MAX {
            let rare = (rare + 2).min(YIELDS_RARE_MAX);
            (1 << rare, rare)
        } else {
            (0, rare.saturating_sub(1))
        });
    });
}

/// Whether there is a processor for the other side while this one polls. Asked of the system once:
/// the answer costs it many files read.
fn pays() -> bool {
    static PAYS: OnceLock<bool> = OnceLock::new();
    *PAYS.get_or_init(|| cpu_count() > 1)
}

/// What a thread does before it sleeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BeforeSleep {
    Nothing,
    /// It lets others have its processor, once: they may be those who make the next messages, and then
    /// it finds more of them, and sleeps less often.
    Yield,
    /// It polls for so long.
    Poll(Duration),
}

/// The polling rule of one socket. Statistics only: all orderings are relaxed, and a lost update
/// does no harm.
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

    /// What to do before the sleep that begins. `messages`: how many the socket has received.
    pub(crate) fn before_sleep(&self, messages: u64) -> BeforeSleep {
        let before = self.messages_at_last_wait.swap(messages, Ordering::Relaxed);
        let streams = messages.wrapping_sub(before) > STREAM_MESSAGES;
        if streams {
            return BeforeSleep::Yield;
        }
        if !pays() {
            return BeforeSleep::Nothing;
        }
        let waits = self.waits.load(Ordering::Relaxed).wrapping_add(1);
        self.waits.store(waits, Ordering::Relaxed);
        if self.hope.load(Ordering::Relaxed) > 0 || waits.is_multiple_of(TRY_EVERY) {
            BeforeSleep::Poll(SPIN_MAX)
        } else {
            BeforeSleep::Nothing
        }
    }

    /// Whether polling found something.
    pub(crate) fn learn(&self, found: bool) {
        let hope = self.hope.load(Ordering::Relaxed);
        let hope = match (found, hope) {
            (true, 0) => HOPE_FIRST,
            (true, _) => (hope + 1).min(HOPE_MAX),
            (false, _) => hope.saturating_sub(FAILURE_COST),
        };
        self.hope.store(hope, Ordering::Relaxed);
    }
}
