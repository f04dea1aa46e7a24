//! The state of a thread that waits: what makes a notification neither lost nor paid for twice.

use crate::sync::{AtomicU32, Ordering, mutate};

/// Whether a thread sleeps, and whether it has been notified since it last looked.
///
/// ```text
///            prepare_sleep                 notify: write the eventfd
///   EMPTY ------------------> SLEEPING ------------------------------+
///    ^ ^ |                       |                                   |
///    | | | notify                | end_sleep (woken by something     |
///    | | +------------> NOTIFIED |            else)                  |
///    | |                 | ^     |                                   |
///    | +-- reset --------+ |     |                                   |
///    |                     +-----|-----------------------------------+
///    +---------------------------+
/// ```
///
/// The waiter runs `loop { reset; try the work; if nothing: prepare_sleep, sleep, end_sleep }`.
/// Whoever changes something first makes the change, then calls [`notify`](Self::notify). All
/// three are read-modify-writes of one word, so they have one order: a notification either comes
/// before `reset`, which then acquires the change, or is still there for `prepare_sleep` to see.
pub(crate) struct ParkState(AtomicU32);

const EMPTY: u32 = 0;
const NOTIFIED: u32 = 1;
const SLEEPING: u32 = 2;

/// Release: pairs with the Acquire of `reset` and `end_sleep`.
const NOTIFY: Ordering = mutate!("park_notify_relaxed", Ordering::Relaxed, Ordering::AcqRel);
/// Acquire: pairs with the Release of `notify`.
const RESET: Ordering = mutate!("park_reset_relaxed", Ordering::Relaxed, Ordering::AcqRel);

impl ParkState {
    pub(crate) fn new() -> ParkState {
        ParkState(AtomicU32::new(EMPTY))
    }

    /// Whether a notification has come since the last `reset`. For spinning; what the notifier
    /// did is visible once this says true.
    #[inline]
    pub(crate) fn is_notified(&self) -> bool {
        // Acquire: pairs with the Release of `notify`.
        self.0.load(Ordering::Acquire) == NOTIFIED
    }

    /// Announces that the thread is about to sleep. False: it has been notified and must look
    /// again instead.
    pub(crate) fn prepare_sleep(&self) -> bool {
        if cfg!(oxmq_mutation = "park_prepare_overwrites") {
            self.0.store(SLEEPING, Ordering::Release);
            return true;
        }
        // Acquire on failure: pairs with the Release of `notify`. Success publishes nothing.
        self.0.compare_exchange(EMPTY, SLEEPING, Ordering::Relaxed, Ordering::Acquire).is_ok()
    }

    /// The sleep is over, for whatever reason. True: by a notification, so that the eventfd has
    /// been written or is about to be.
    pub(crate) fn end_sleep(&self) -> bool {
        // Acquire on failure: as in `prepare_sleep`.
        self.0.compare_exchange(SLEEPING, EMPTY, Ordering::Relaxed, Ordering::Acquire).is_err()
    }

    /// Takes the notification, if there is one, before the waiter looks for work.
    #[inline]
    pub(crate) fn reset(&self) -> bool {
        self.0.swap(EMPTY, RESET) == NOTIFIED
    }

    /// Tells the thread to look again. True: it sleeps, and the caller must write its eventfd;
    /// of several notifiers one is told so.
    #[inline]
    pub(crate) fn notify(&self) -> bool {
        self.0.swap(NOTIFIED, NOTIFY) == SLEEPING
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn one_notifier_of_a_sleeper_writes_the_eventfd() {
        let park = ParkState::new();
        assert!(park.prepare_sleep());
        assert!(park.notify());
        assert!(!park.notify());
        assert!(park.is_notified());
        assert!(park.end_sleep());
        assert!(park.reset());
        assert!(!park.reset());
    }

    #[test]
    fn nobody_sleeps_over_a_notification() {
        let park = ParkState::new();
        assert!(!park.notify());
        assert!(!park.prepare_sleep());
        park.reset();
        assert!(park.prepare_sleep());
        assert!(!park.end_sleep());
        assert!(!park.notify());
    }
}
