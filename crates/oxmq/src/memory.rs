//! Memory that peers make this process take: it may be refused, and then the connection is closed that
//! wanted it, not the process.
//!
//! A peer decides how much it sends, so what is taken for it is all asked for here, and is not had once
//! the system refuses any. A reserve is kept for the rest: what closing a connection takes, and what the
//! application asks for, in places where a refusal would end the process. It is given back to the system
//! when a peer is refused, and nothing more is taken for peers until it could be made again.

use std::alloc::{Layout, alloc, dealloc};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Arbitrary: hundreds of small things. It is never written to, so that it is no more than addresses.
const RESERVE_BYTES: usize = 1 << 20;

/// Null while there is none.
static RESERVE: AtomicPtr<u8> = AtomicPtr::new(ptr::null_mut());

/// Whether peers may have more memory.
#[inline]
pub(crate) fn is_left() -> bool {
    // Relaxed: nothing is read through the pointer.
    !RESERVE.load(Ordering::Relaxed).is_null() || make_reserve()
}

/// Memory for what a peer sends; null if there is none.
///
/// # Safety
/// As for [`alloc`].
pub(crate) unsafe fn allocate(layout: Layout) -> *mut u8 {
    if !is_left() {
        return ptr::null_mut();
    }
    // SAFETY: passed on.
    let block = unsafe { alloc(layout) };
    if block.is_null() {
        give_reserve();
    }
    block
}

/// Makes room in `buffer` for so many bytes more of what a peer sends, or says that there is none. No
/// more is made than is asked for.
pub(crate) fn grow<T>(buffer: &mut Vec<T>, more: usize) -> bool {
    if buffer.capacity() - buffer.len() >= more {
        return true;
    }
    let grown = is_left() && buffer.try_reserve_exact(more).is_ok();
    if !grown {
        give_reserve();
    }
    grown
}

const fn layout() -> Layout {
    match Layout::from_size_align(RESERVE_BYTES, 1) {
        Ok(layout) => layout,
        Err(_) => panic!("a constant, and a valid one"),
    }
}

#[cold]
fn make_reserve() -> bool {
    // SAFETY: it has a size.
    let made = unsafe { alloc(layout()) };
    if made.is_null() {
        return false;
    }
    // Release, and Acquire in `give_reserve`: the block is freed after it was made.
    let held =
        RESERVE.compare_exchange(ptr::null_mut(), made, Ordering::Release, Ordering::Relaxed);
    if held.is_err() {
        // SAFETY: just made, and nobody else's: another thread was first.
        unsafe { dealloc(made, layout()) };
    }
    true
}

#[cold]
fn give_reserve() {
    let held = RESERVE.swap(ptr::null_mut(), Ordering::Acquire);
    if !held.is_null() {
        // SAFETY: made by `make_reserve` with this layout, and the swap made it this thread's alone.
        unsafe { dealloc(held, layout()) };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_gives_the_reserve_back_and_what_follows_makes_it_anew() {
        assert!(is_left());
        let mut buffer = vec![1_u8];
        assert!(!grow(&mut buffer, isize::MAX as usize));
        assert_eq!(buffer, [1]);
        // More than any machine has.
        let layout = Layout::from_size_align(1 << 60, 1).unwrap();
        // SAFETY: it has a size.
        assert!(unsafe { allocate(layout) }.is_null());
        assert!(grow(&mut buffer, 100) && buffer.capacity() == 101);
        assert!(is_left());
    }
}
