//! The high-water mark: the writer counts every message exactly, the reader gives back credit
//! in batches.
//!
//! ```text
//!   writer                            reader
//!   spend(): spent += n               repay(n, empty): done += n
//!   has_room(): spent - returned      a half done since, or empty: returned = done,
//!     < hwm; when full: waiting         fence, waiting? then the writer must be woken
//!     = true, fence, look again
//! ```
//!
//! Of "returned, fence, look at waiting" and "waiting, fence, look at returned" one sees the
//! other, so no writer waits for credit that has already come back.

use crate::sync::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence, mutate};

/// What the two sides share. It lies on the reader's cache line: the writer touches it only when
/// it seems to be out of credit.
pub(crate) struct Credit {
    /// How many messages the reader has finished with, as far as it has said.
    returned: AtomicU64,
    /// After how many finished messages the reader says so.
    batch: AtomicU32,
    /// The writer has found no room and waits to be woken.
    waiting: AtomicBool,
}

/// Release: pairs with the Acquire in `refresh`; a writer that sees room sees all that the reader
/// did before it gave the credit back.
const RETURN: Ordering = mutate!("credit_return_relaxed", Ordering::Relaxed, Ordering::Release);

impl Credit {
    pub(crate) fn new(hwm: u32) -> Credit {
        Credit {
            returned: AtomicU64::new(0),
            batch: AtomicU32::new(batch(hwm)),
            waiting: AtomicBool::new(false),
        }
    }
}

/// A blocked writer is woken at half free: at every slot would be a wake-up a message.
fn batch(hwm: u32) -> u32 {
    match hwm {
        // Nobody waits; this only bounds how stale `outstanding` is (chosen arbitrarily).
        0 => 1024,
        _ => hwm / 2 + hwm % 2,
    }
}

/// The writer's account.
pub(crate) struct Spender {
    /// Messages that may be outstanding; `u64::MAX` for no bound.
    limit: u64,
    spent: u64,
    /// `Credit::returned` as last seen: never more than it is.
    returned: u64,
}

impl Spender {
    pub(crate) fn new(hwm: u32) -> Spender {
        Spender { limit: limit(hwm), spent: 0, returned: 0 }
    }

    #[inline]
    pub(crate) fn spend(&mut self) {
        self.spent += 1;
    }

    /// How many messages have been written, ever.
    #[inline]
    pub(crate) fn spent(&self) -> u64 {
        self.spent
    }

    /// Whether one more message may be written; if not, the writer is marked as waiting.
    #[inline]
    pub(crate) fn has_room(&mut self, credit: &Credit) -> bool {
        self.spent - self.returned < self.limit || self.has_room_now(credit)
    }

    /// As `has_room`, without the mark.
    #[inline]
    pub(crate) fn has_credit(&mut self, credit: &Credit) -> bool {
        self.spent - self.returned < self.limit || self.refresh(credit)
    }

    #[cold]
    fn has_room_now(&mut self, credit: &Credit) -> bool {
        if self.refresh(credit) {
            return true;
        }
        // Relaxed: ordered by the fence. Only exchanges, on both sides: the order of a mark and
        // its taking is then plain to see, for loom too.
        credit.waiting.swap(true, Ordering::Relaxed);
        if cfg!(oxmq_mutation = "credit_waiting_recheck") {
            return false;
        }
        if !cfg!(oxmq_mutation = "credit_waiting_fence") {
            // Pairs with the fence in `Refund::settle`.
            fence(Ordering::SeqCst);
        }
        if !self.refresh(credit) {
            return false;
        }
        // Relaxed: if the reader has taken the flag meanwhile, its wake-up is a spurious one.
        credit.waiting.swap(false, Ordering::Relaxed);
        true
    }

    /// How many more messages may be written; `u64::MAX` when there is no bound. Does not mark
    /// the writer as waiting.
    #[cfg(test)]
    #[inline]
    pub(crate) fn room(&mut self, credit: &Credit) -> u64 {
        if self.limit == u64::MAX {
            return u64::MAX;
        }
        if self.spent - self.returned >= self.limit {
            self.refresh(credit);
        }
        self.limit.saturating_sub(self.spent - self.returned)
    }

    /// Messages written and, as far as the reader has said, not finished with.
    pub(crate) fn outstanding(&mut self, credit: &Credit) -> u64 {
        self.refresh(credit);
        self.spent - self.returned
    }

    /// The high-water mark; 0 for no bound.
    pub(crate) fn hwm(&self) -> u32 {
        u32::try_from(self.limit).unwrap_or(0)
    }

    pub(crate) fn set_hwm(&mut self, hwm: u32, credit: &Credit) {
        self.limit = limit(hwm);
        // Relaxed: a reader that goes by the old value still gives everything back when empty.
        credit.batch.store(batch(hwm), Ordering::Relaxed);
    }

    fn refresh(&mut self, credit: &Credit) -> bool {
        // Acquire: pairs with the Release in `Refund::settle`.
        self.returned = credit.returned.load(Ordering::Acquire);
        self.spent - self.returned < self.limit
    }
}

fn limit(hwm: u32) -> u64 {
    if hwm == 0 { u64::MAX } else { u64::from(hwm) }
}

/// The reader's account.
pub(crate) struct Refund {
    done: u64,
    returned: u64,
}

impl Refund {
    pub(crate) fn new() -> Refund {
        Refund { done: 0, returned: 0 }
    }

    /// How many messages the reader has finished with, ever.
    #[inline]
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// The reader has finished with `messages` more. True: a batch is full, and `settle` is due.
    #[inline]
    pub(crate) fn count(&mut self, messages: u64, credit: &Credit) -> bool {
        self.done += messages;
        // Relaxed: see `set_hwm`.
        self.done - self.returned >= u64::from(credit.batch.load(Ordering::Relaxed))
    }

    /// Whether there is credit that has not been given back.
    #[inline]
    pub(crate) fn owes(&self) -> bool {
        self.done != self.returned
    }

    /// Gives the credit back. True: the writer waits and must be woken.
    pub(crate) fn settle(&mut self, credit: &Credit) -> bool {
        self.returned = self.done;
        credit.returned.store(self.done, RETURN);
        if !cfg!(oxmq_mutation = "credit_return_fence") {
            // Pairs with the fence in `Spender::has_room_now`.
            fence(Ordering::SeqCst);
        }
        // Relaxed twice: the flag carries no data; the swap lets one wake-up through.
        credit.waiting.load(Ordering::Relaxed) && credit.waiting.swap(false, Ordering::Relaxed)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_exact_and_a_blocked_writer_is_woken_at_half_free() {
        for hwm in [1, 2, 3, 10, 1000] {
            let credit = Credit::new(hwm);
            let (mut spender, mut refund) = (Spender::new(hwm), Refund::new());
            for _ in 0..hwm {
                assert!(spender.has_room(&credit));
                spender.spend();
            }
            assert_eq!(spender.room(&credit), 0);
            assert!(!spender.has_room(&credit));
            let woken_at = (1..=hwm).find(|_| refund.count(1, &credit) && refund.settle(&credit));
            assert_eq!(woken_at, Some(hwm.div_ceil(2)));
            assert_eq!(spender.outstanding(&credit), u64::from(hwm / 2));
            assert!(spender.has_room(&credit));
        }
    }

    #[test]
    fn no_bound_is_no_bound() {
        let credit = Credit::new(0);
        let mut spender = Spender::new(0);
        for _ in 0..100_000 {
            assert!(spender.has_room(&credit));
            spender.spend();
        }
        assert_eq!(spender.room(&credit), u64::MAX);
        spender.set_hwm(5, &credit);
        assert!(!spender.has_room(&credit));
    }
}
