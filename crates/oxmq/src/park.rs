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

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::{Arc, AtomicBool, UnsafeCell, model, thread};

    /// Two notifiers, each with work of its own, announced by nothing stronger than `notify`.
    #[test]
    fn no_notification_is_lost() {
        model(|| {
            let park = Arc::new(ParkState::new());
            let work = Arc::new([AtomicBool::new(false), AtomicBool::new(false)]);
            let waiter = thread::current();
            for i in [0, 1] {
                let (park, work, waiter) = (park.clone(), work.clone(), waiter.clone());
                thread::spawn(move || {
                    work[i].store(true, Ordering::Relaxed);
                    if park.notify() {
                        waiter.unpark();
                    }
                });
            }
            loop {
                park.reset();
                if work.iter().all(|work| work.load(Ordering::Relaxed)) {
                    break;
                }
                if park.prepare_sleep() {
                    thread::park();
                    park.end_sleep();
                }
            }
            // No join: loom's `unpark` would end it. The model waits for all threads anyway.
        });
    }

    #[test]
    fn a_notification_shows_what_came_before_it() {
        model(|| {
            let park = Arc::new(ParkState::new());
            let work = Arc::new(UnsafeCell::new(0));
            let (parks, works) = (park.clone(), work.clone());
            let notifier = thread::spawn(move || {
                // SAFETY: loom's cell reports a race.
                works.with_mut(|work| unsafe { *work = 1 });
                parks.notify();
            });
            if park.is_notified() || !park.prepare_sleep() || park.end_sleep() {
                // SAFETY: as above.
                assert_eq!(work.with(|work| unsafe { *work }), 1);
            }
            notifier.join().unwrap();
        });
    }
}
