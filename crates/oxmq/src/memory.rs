//! Memory that peers make this process take: it may be refused, and then the connection is closed that
//! wanted it, not the process.
//!
//! A peer decides how much it sends, so what is taken for it is all asked for here, and is not had once
//! the system refuses any. A reserve is kept for the rest: what closing a connection takes, and what the
//! application asks for, in places where a refusal would end the process. It is given back to the system
//! when a peer is refused, and nothing more is taken for peers until there is twice as much again: else
//! the next peer would have it made anew of what was just given back, and all would be as before.

use std::alloc::{Layout, alloc};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

#[cfg(not(loom))]
use crate::sys::Addresses;

/// In a model there is no system that could refuse any.
#[cfg(loom)]
struct Addresses;

#[cfg(loom)]
impl Addresses {
    fn reserve(_: usize) -> Option<Addresses> {
        Some(Addresses)
    }
}

/// Arbitrary: thousands of small things.
const RESERVE_BYTES: usize = 4 << 20;

/// Nobody waits for it: whoever finds it locked goes on without.
static RESERVE: Mutex<Option<Addresses>> = Mutex::new(None);
/// Whether there is one.
static IS_RESERVED: AtomicBool = AtomicBool::new(false);

/// Whether peers may have more memory.
#[inline]
pub(crate) fn is_left() -> bool {
    // Relaxed: nothing is read on the strength of it.
    IS_RESERVED.load(Ordering::Relaxed) || make_reserve()
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

#[cold]
fn make_reserve() -> bool {
    let Some(mut reserve) = RESERVE.try_lock() else { return true };
    if reserve.is_none() {
        // Twice as much must be there, which it is not for long.
        let twice = [RESERVE_BYTES; 2].map(Addresses::reserve);
        let [Some(made), Some(_)] = twice else { return false };
        *reserve = Some(made);
        IS_RESERVED.store(true, Ordering::Relaxed);
    }
    true
}

#[cold]
fn give_reserve() {
    if let Some(mut reserve) = RESERVE.try_lock() {
        IS_RESERVED.store(false, Ordering::Relaxed);
        *reserve = None;
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
