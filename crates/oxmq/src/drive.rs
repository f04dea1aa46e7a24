//! The state word of a connection: who drives it, and whether they must look again.

use crate::sync::{AtomicU32, Ordering, fence, mutate};

/// What there is to do on a connection: bytes to read, records to write, or both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Work(u32);

impl Work {
    pub(crate) const READ: Work = Work(DIRTY_READ);
    pub(crate) const WRITE: Work = Work(DIRTY_WRITE);
    pub(crate) const BOTH: Work = Work(DIRTY);

    #[inline]
    pub(crate) fn reads(self) -> bool {
        self.0 & DIRTY_READ != 0
    }

    #[inline]
    pub(crate) fn writes(self) -> bool {
        self.0 & DIRTY_WRITE != 0
    }

    #[inline]
    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::ops::BitOr for Work {
    type Output = Work;

    #[inline]
    fn bitor(self, other: Work) -> Work {
        Work(self.0 | other.0)
    }
}

/// Who drives a connection. The word is taken by trying, never waited for; whoever lets go of it
/// looks again when somebody has marked it dirty meanwhile.
///
/// ```text
///                try_take(w)                     begin_pass: takes the marks out
///    Idle --------------------> Driven+dirty(w) ---------------------------> Driven
///     ^ ^                          ^   ^   |                                 | | |
///     | |                          |   |   +--- begin_pass (look again) -----+ | |
///     | |                          |   +--- request(w), try_take(w): false ----+ |
///     | +--- release(false) -------|---------------------------------------------+
///     |                            |                                             |
///   Parked ------- try_take(w) ----+                                             |
///     ^                                                                          |
///     +------ release(true) -----------------------------------------------------+
/// ```
///
/// - *Idle*: nobody drives. `request` says true: its caller arranges a drive (takes the word
///   itself or tells the I/O thread).
/// - *Driven*: the holder of the word owns the connection. `request` and `try_take` leave a mark.
/// - *Driven+dirty*: as above; `release` says false, and the holder makes another pass.
/// - *Parked*: nobody drives, and what is published for writing waits: the kernel's buffer is
///   full and EPOLLOUT will tell, or there is no connection yet, or the I/O thread has been told
///   already (`promise`: Idle to Parked). `request(WRITE)` says false.
///
/// Nothing published is left without a driver. A producer publishes, then passes a fence, then
/// looks at the word; a driver empties the marks, then passes a fence, then looks at the pipes.
/// One of the two sees the other: either the driver's pass finds what was published, or the
/// producer sees a word that was written by `begin_pass` or later, and marks it (which makes
/// `release` fail) or finds it idle.
pub(crate) struct DriveState(AtomicU32);

const DRIVEN: u32 = 1;
const DIRTY_READ: u32 = 2;
const DIRTY_WRITE: u32 = 4;
const PARKED: u32 = 8;
const DIRTY: u32 = DIRTY_READ | DIRTY_WRITE;

/// Release: pairs with the Acquire of the next `try_take`, which gets the connection as the last
/// driver left it.
const RELEASE: Ordering = mutate!("drive_release_relaxed", Ordering::Relaxed, Ordering::Release);
/// Acquire: pairs with `RELEASE`. Release: a mark left on a driven word pairs with the Acquire of
/// `begin_pass`.
const TAKE: Ordering = mutate!("drive_take_relaxed", Ordering::Relaxed, Ordering::AcqRel);

impl DriveState {
    pub(crate) fn new(parked: bool) -> DriveState {
        DriveState(AtomicU32::new(if parked { PARKED } else { 0 }))
    }

    /// Asks for a drive, after publishing. True: nobody drives, and the caller must arrange it
    /// (`try_take` says who gets it). False: a driver will look after this call, or the
    /// connection is parked and the work is only to write.
    #[inline]
    pub(crate) fn request(&self, work: Work) -> bool {
        if !cfg!(oxmq_mutation = "drive_request_fence") {
            // What was published comes before the look at the word. Pairs with the fence in
            // `begin_pass`.
            fence(Ordering::SeqCst);
        }
        // Relaxed: nothing is read on the strength of what is seen here.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if seen & DRIVEN == 0 {
                return seen & PARKED == 0 || work.reads();
            }
            if seen & work.0 == work.0 {
                return false;
            }
            // Release: pairs with the Acquire of `begin_pass`.
            match self.0.compare_exchange_weak(
                seen,
                seen | work.0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return false,
                Err(now) => seen = now,
            }
        }
    }

    /// The caller has been asked for a drive, and leaves it to the I/O thread: until that takes the
    /// word, producers need not ask again. Call it before telling the I/O thread.
    pub(crate) fn promise(&self) {
        // Relaxed: whoever sees the mark and does not ask for a drive has published before, and
        // the `try_take` of the I/O thread comes later in the order of the word's values than
        // the mark; the fences in `request` and `begin_pass` do the rest. A word that is no
        // longer idle needs no promise.
        let _ = self.0.compare_exchange(0, PARKED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Takes the word, for `work` (which the first `begin_pass` gives back). False: somebody
    /// drives, and will do `work` before letting go.
    pub(crate) fn try_take(&self, work: Work) -> bool {
        // Relaxed: the exchange below decides.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let taken = (seen & !PARKED) | DRIVEN | work.0;
            // Even when the marks are already there: only a write to the word is sure to come
            // before the driver's next `begin_pass` or after its `release`.
            match self.0.compare_exchange_weak(seen, taken, TAKE, Ordering::Relaxed) {
                Ok(_) => return seen & DRIVEN == 0,
                Err(now) => seen = now,
            }
        }
    }

    /// The driver takes the marks out and must now do that work.
    pub(crate) fn begin_pass(&self) -> Work {
        // Acquire: pairs with the Release of whoever left a mark.
        let seen = self.0.swap(DRIVEN, Ordering::AcqRel);
        if !cfg!(oxmq_mutation = "drive_pass_fence") {
            // The marks go before the look at the pipes. Pairs with the fence in `request`.
            fence(Ordering::SeqCst);
        }
        Work(seen & DIRTY)
    }

    /// Lets go of the word; `parked` when what remains to be written waits for the kernel or for
    /// a connection. False: somebody has left a mark, the caller still drives and must make
    /// another pass.
    pub(crate) fn release(&self, parked: bool) -> bool {
        let idle = if parked { PARKED } else { 0 };
        if cfg!(oxmq_mutation = "drive_release_ignores_dirty") {
            self.0.store(idle, Ordering::Release);
            return true;
        }
        self.0.compare_exchange(DRIVEN, idle, RELEASE, Ordering::Relaxed).is_ok()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_transition() {
        let state = DriveState::new(true);
        assert!(!state.request(Work::WRITE), "parked: nobody need write");
        assert!(state.request(Work::READ), "parked: reading goes on");
        assert!(state.try_take(Work::READ));
        assert!(!state.try_take(Work::WRITE), "driven");
        assert_eq!(state.begin_pass(), Work::BOTH);
        assert!(state.release(false));

        assert!(state.request(Work::WRITE), "idle");
        assert!(state.try_take(Work::WRITE));
        assert_eq!(state.begin_pass(), Work::WRITE);
        assert!(!state.request(Work::READ), "driven");
        assert!(!state.request(Work::READ), "driven and dirty");
        assert!(!state.release(true), "dirty");
        assert_eq!(state.begin_pass(), Work::READ);
        assert!(state.begin_pass().is_empty());
        assert!(state.release(true));
        assert!(!state.request(Work::WRITE), "parked again");
    }
}
