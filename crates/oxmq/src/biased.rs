//! A lock that costs its usual user nothing.
//!
//! A socket is mostly used by one thread, and taking and releasing a lock is a third of what a send
//! costs. So a thread that takes the lock again and again becomes its *favourite*: it enters by
//! writing `inside`, without an instruction that waits for memory. Another thread first takes the
//! favour back, which is dear ([`asymmetric::heavy`](crate::asymmetric::heavy)), and so ever more is
//! asked for before the favour is given again.
//!
//! ```text
//!   favourite                           another thread, holding `turn`
//!   its `inside` = this lock            favourite = nobody
//!   light fence                         heavy fence
//!   still the favourite? then in        while the favourite's `inside` is this lock: wait
//! ```
//!
//! One of the two sees the other: either the favourite sees that it is none any more, leaves and
//! queues for `turn`, or the other sees it inside and waits. Each thread writes its own `inside`:
//! one that is late to see that it lost the favour must not wipe out the next favourite's.
//!
//! A child of a fork has the parent's locks as they were, perhaps held by threads that it does not
//! have. There nobody gets in: whoever was a favourite is none (`asymmetric` names the child's
//! thread anew), and who would queue is refused.

use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::ptr;

use crate::asymmetric::{self, ThisThread};
use crate::sync::{AtomicPtr, Mutex, MutexGuard, Ordering, UnsafeCell, mutate, pause};
#[cfg(not(loom))]
use crate::sys::fork_generation;

/// A lock around a value.
pub(crate) struct Biased<T> {
    /// Who may enter by its `inside` alone; null is nobody. Written by whoever holds `turn`.
    favourite: AtomicPtr<ThisThread>,
    /// What everybody else queues for.
    turn: Mutex<Turn>,
    /// The process that made the lock, as against its forked children.
    process: u64,
    value: UnsafeCell<T>,
}

// SAFETY: the lock gives the value to one thread at a time.
unsafe impl<T: Send> Sync for Biased<T> {}

struct Turn {
    last: *const ThisThread,
    /// How often `last` has taken the lock without anybody in between, and how often it must.
    streak: u32,
    needed: u32,
}

// SAFETY: `last` is only compared.
unsafe impl Send for Turn {}

/// How often a thread takes the lock before it is favoured; at first, and after many favours
/// taken back. Measured: taking one back costs as much as some hundred locked instructions.
#[cfg(not(loom))]
const NEEDED: [u32; 2] = [64, 1024];
#[cfg(loom)]
const NEEDED: [u32; 2] = [1, 1];

/// Release: pairs with the Acquire of `revoke`, which may see that the favourite has entered another
/// lock, and not that it left this one.
const ENTER: Ordering = mutate!("biased_enter_relaxed", Ordering::Relaxed, Ordering::Release);
/// Release: pairs with the Acquire of `revoke`, which gets the value as the favourite left it.
const LEAVE: Ordering = mutate!("biased_leave_relaxed", Ordering::Relaxed, Ordering::Release);

impl<T> Biased<T> {
    pub(crate) fn new(value: T) -> Biased<T> {
        Biased {
            favourite: AtomicPtr::new(ptr::null_mut()),
            turn: Mutex::new(Turn { last: ptr::null(), streak: 0, needed: NEEDED[0] }),
            process: fork_generation(),
            value: UnsafeCell::new(value),
        }
    }

    /// Takes the lock; not to be called by who holds it. `None`: this process was forked after the
    /// lock was made.
    #[cfg(not(loom))]
    #[inline]
    pub(crate) fn lock(&self) -> Option<Guard<'_, T>> {
        let me = asymmetric::me();
        if let Some(me) = me {
            // Relaxed: a hint that only this thread changes.
            me.works.store(me.works.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
        }
        self.lock_as(me)
    }

    /// As `lock`; `me` is the calling thread.
    #[inline]
    fn lock_as(&self, me: Option<&'static ThisThread>) -> Option<Guard<'_, T>> {
        // Relaxed loads: only this thread makes itself the favourite and writes its `inside`; the
        // fences order the rest. Release stores: whoever sees one of them, and so that this thread
        // is not in its lock, sees what it did there before.
        if let Some(me) = me
            && self.is_favourite(me)
            && me.inside.load(Ordering::Relaxed) == 0
        {
            me.inside.store(self.address(), ENTER);
            if !cfg!(oxmq_mutation = "biased_light_fence") {
                asymmetric::light();
            }
            if self.is_favourite(me) {
                return Some(Guard { lock: self, turn: Err(me), _not_send: PhantomData });
            }
            me.inside.store(0, Ordering::Release);
        }
        self.lock_in_turn(me)
    }

    #[inline]
    fn is_favourite(&self, me: &'static ThisThread) -> bool {
        ptr::eq(self.favourite.load(Ordering::Relaxed), me)
    }

    fn address(&self) -> usize {
        ptr::from_ref(&self.favourite).addr()
    }

    #[inline(never)]
    fn lock_in_turn(&self, me: Option<&'static ThisThread>) -> Option<Guard<'_, T>> {
        if self.process != fork_generation() {
            return None;
        }
        let me = me.map_or(ptr::null(), ptr::from_ref);
        let mut turn = self.turn.lock();
        // Relaxed: written under `turn` only.
        let favourite = self.favourite.load(Ordering::Relaxed);
        if !favourite.is_null() {
            // SAFETY: what is known of a thread is never freed.
            self.revoke(unsafe { &*favourite });
            turn.streak = 0;
            turn.needed = (turn.needed * 2).min(NEEDED[1]);
        }
        if turn.last != me {
            turn.last = me;
            turn.streak = 0;
        }
        turn.streak = turn.streak.saturating_add(1);
        if turn.streak > turn.needed {
            // Relaxed: for this thread's eyes, and for whoever takes `turn` next.
            self.favourite.store(me.cast_mut(), Ordering::Relaxed);
        }
        Some(Guard { lock: self, turn: Ok(turn), _not_send: PhantomData })
    }

    /// Takes the favour back and waits until its holder is outside.
    #[cold]
    fn revoke(&self, favourite: &ThisThread) {
        self.favourite.store(ptr::null_mut(), Ordering::Relaxed);
        if !cfg!(oxmq_mutation = "biased_heavy_fence") {
            asymmetric::heavy();
        }
        let mut tries = 0;
        // Acquire: pairs with `LEAVE` and `ENTER`.
        while favourite.inside.load(Ordering::Acquire) == self.address()
            && !cfg!(oxmq_mutation = "biased_revoke_enters")
        {
            pause(tries);
            tries += 1;
        }
    }
}

/// loom's processes do not fork.
#[cfg(loom)]
fn fork_generation() -> u64 {
    0
}

/// The right to the value; released when dropped.
pub(crate) struct Guard<'a, T> {
    lock: &'a Biased<T>,
    /// How the lock was taken: in turn, or by its favourite.
    turn: Result<MutexGuard<'a, Turn>, &'static ThisThread>,
    /// It belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard is the only one.
        self.lock.value.with(|value| unsafe { &*value })
    }
}

impl<T> DerefMut for Guard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        self.lock.value.with_mut(|value| unsafe { &mut *value })
    }
}

impl<T> Drop for Guard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        if let Err(me) = self.turn {
            me.inside.store(0, LEAVE);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_comes_again_and_again_is_favoured_until_another_comes() {
        let [one, other] = [1, 2].map(|token| Some(ThisThread::leaked(token)));
        let lock = Biased::new(0);
        for _ in 0..=NEEDED[0] {
            let mut held = lock.lock_as(one).unwrap();
            assert!(held.turn.is_ok());
            *held += 1;
        }
        assert!(lock.lock_as(one).unwrap().turn.is_err());
        assert!(lock.lock_as(other).unwrap().turn.is_ok());
        assert!(lock.lock_as(one).unwrap().turn.is_ok());
        for _ in 0..10 * NEEDED[1] {
            let mut held = lock.lock_as(None).unwrap();
            assert!(held.turn.is_ok(), "nobody is no favourite");
            *held += 1;
        }
    }

    #[test]
    fn a_favourite_of_two_locks_can_hold_both() {
        let me = Some(ThisThread::leaked(1));
        let locks = [Biased::new(0), Biased::new(0)];
        for _ in 0..10 * NEEDED[1] {
            for lock in &locks {
                drop(lock.lock_as(me).unwrap());
            }
        }
        let [one, other] = locks.each_ref().map(|lock| lock.lock_as(me).unwrap());
        assert!(one.turn.is_err() && other.turn.is_ok());
    }

    #[test]
    fn threads_in_all_rhythms_exclude_each_other() {
        const ROUNDS: u32 = 300;
        let lock = Biased::new((0_u64, 0_u64));
        std::thread::scope(|scope| {
            for thread in 1..=3_u32 {
                let lock = &lock;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        for _ in 0..(round * thread) % 400 {
                            let mut held = lock.lock().unwrap();
                            held.0 += 1;
                            std::hint::black_box(&mut held);
                            held.1 += 1;
                        }
                        std::thread::yield_now();
                    }
                });
            }
        });
        let held = lock.lock().unwrap();
        let sum: u32 =
            (1..=3).map(|thread| (0..ROUNDS).map(|round| round * thread % 400).sum::<u32>()).sum();
        assert_eq!(*held, (u64::from(sum), u64::from(sum)));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::{Arc, model, thread};

    /// Two threads, of which one is favoured in the course, never are in at once, and each sees
    /// what the other did.
    #[test]
    fn a_favourite_and_another_exclude_each_other() {
        asymmetric::with(|| {
            model(|| {
                let [one, two] = [1, 2].map(|token| Some(ThisThread::leaked(token)));
                let lock = Arc::new(Biased::new(0));
                let other = lock.clone();
                // Favoured from the second time on.
                *lock.lock_as(one).unwrap() += 1;
                *lock.lock_as(one).unwrap() += 1;
                let other = thread::spawn(move || *other.lock_as(two).unwrap() += 1);
                *lock.lock_as(one).unwrap() += 1;
                *lock.lock_as(one).unwrap() += 1;
                other.join().unwrap();
                assert_eq!(*lock.lock_as(one).unwrap(), 5);
            })
        });
    }

    /// A favourite that has gone on to another lock is outside the first, and what it did there is
    /// seen.
    #[test]
    fn a_favourite_of_two_locks_leaves_one_for_the_other() {
        asymmetric::with(|| {
            model(|| {
                let [one, two] = [1, 2].map(|token| Some(ThisThread::leaked(token)));
                let locks = Arc::new([Biased::new(0), Biased::new(0)]);
                for lock in locks.iter() {
                    *lock.lock_as(one).unwrap() += 1;
                    *lock.lock_as(one).unwrap() += 1;
                }
                let other = locks.clone();
                let other = thread::spawn(move || *other[0].lock_as(two).unwrap() += 1);
                *locks[0].lock_as(one).unwrap() += 1;
                *locks[1].lock_as(one).unwrap() += 1;
                other.join().unwrap();
                assert_eq!(*locks[0].lock_as(one).unwrap(), 4);
            });
        });
    }

    #[test]
    fn a_favour_goes_to_and_fro() {
        asymmetric::with(|| {
            model(|| {
                let [one, two] = [1, 2].map(|token| Some(ThisThread::leaked(token)));
                let lock = Arc::new(Biased::new(0));
                let other = lock.clone();
                let other = thread::spawn(move || {
                    for _ in 0..3 {
                        *other.lock_as(two).unwrap() += 1;
                    }
                });
                for _ in 0..3 {
                    *lock.lock_as(one).unwrap() += 1;
                }
                other.join().unwrap();
                assert_eq!(*lock.lock_as(one).unwrap(), 6);
            })
        });
    }
}
