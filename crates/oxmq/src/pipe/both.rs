//! What the two ends of a pipe share: an `Arc` for two. Who is left is told by one flag, which lies in a
//! cache line that is there anyway, while the counts of an `Arc` would have one to themselves.

use crate::sync::{AtomicBool, Ordering, mutate};
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;

/// Something that two ends share.
pub(super) trait Shareable {
    /// One of the ends is gone. False at first; written by [`Both`] alone.
    fn is_alone(&self) -> &AtomicBool;
}

/// One of two ends' hold on a `T`, which is dropped with the second of them.
pub(super) struct Both<T: Shareable> {
    shared: NonNull<T>,
    owns: PhantomData<T>,
}

/// Release: pairs with the Acquire of the end that goes last, which sees what this one did.
const LEAVE: Ordering = mutate!("both_leave_relaxed", Ordering::Relaxed, Ordering::AcqRel);

impl<T: Shareable> Both<T> {
    pub(super) fn new(shared: T) -> (Both<T>, Both<T>) {
        let shared = NonNull::from(Box::leak(Box::new(shared)));
        (Both { shared, owns: PhantomData }, Both { shared, owns: PhantomData })
    }

    /// Whether `other` is the other end.
    #[cfg(test)]
    pub(super) fn is_shared_with(&self, other: &Both<T>) -> bool {
        self.shared == other.shared
    }
}

impl<T: Shareable> Deref for Both<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: it is there until both ends are gone, and this is one of them.
        unsafe { self.shared.as_ref() }
    }
}

impl<T: Shareable> Drop for Both<T> {
    fn drop(&mut self) {
        if self.is_alone().swap(true, LEAVE) {
            // SAFETY: `new` made it with a `Box`, and two of these, which are not copied; the other
            // one is gone, by the swap, and does not look at it again.
            drop(unsafe { Box::from_raw(self.shared.as_ptr()) });
        }
    }
}
