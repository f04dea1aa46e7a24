//! Memory for the bodies of messages: blocks that a thread has freed wait with it for its next
//! messages, for a message is made and freed for every one that passes.

use std::alloc::{Layout, alloc, dealloc};
use std::cell::Cell;
use std::ptr::{self, NonNull};

use crate::memory;

/// The alignment of every block.
pub(crate) const ALIGN: usize = 16;

/// The sizes of kept blocks, in bytes. Each is at most half as long again as the one before.
const CLASSES: [u16; 14] =
    [96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072, 4096, 6144, 8704];

/// What one thread keeps, in bytes: a thousand short messages, as many as may wait in a pipe.
const KEPT_BYTES_MAX: usize = 256 * 1024;

/// How a block is given back.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    /// The index into `CLASSES`.
    Kept(u8),
    /// Too long to be kept; its length in bytes.
    Alone(usize),
}

impl Class {
    #[inline]
    fn of(bytes: usize) -> Class {
        if bytes > CLASSES[CLASSES.len() - 1] as usize {
            return Class::Alone(bytes);
        }
        let mut class = 0;
        // The lengths in use are short: the first of a few comparisons mostly holds.
        while (CLASSES[class] as usize) < bytes {
            class += 1;
        }
        Class::Kept(class as u8)
    }

    fn layout(self) -> Option<Layout> {
        let bytes = match self {
            Class::Kept(class) => usize::from(CLASSES[usize::from(class)]),
            Class::Alone(bytes) => bytes,
        };
        Layout::from_size_align(bytes, ALIGN).ok()
    }
}

/// A block that is not in use.
struct Free {
    next: *mut Free,
}

/// The calling thread's free blocks.
struct Kept {
    first: [Cell<*mut Free>; CLASSES.len()],
    bytes: Cell<usize>,
    phase: Cell<Phase>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing was kept yet.
    Fresh,
    Keeping,
    /// The thread is ending: nothing is kept any more.
    Ended,
}

thread_local! {
    static KEPT: Kept = const {
        Kept {
            first: [const { Cell::new(ptr::null_mut()) }; CLASSES.len()],
            bytes: Cell::new(0),
            phase: Cell::new(Phase::Fresh),
        }
    };
    /// Frees what is kept when the thread ends. Apart, so that `KEPT` is reached without a look
    /// at whether it still lives.
    static END: End = const { End };
}

struct End;

impl Drop for End {
    fn drop(&mut self) {
        KEPT.with(Kept::end);
    }
}

/// A block of at least `bytes` bytes; `None` if they are more than can be had. The class is what
/// [`give`] wants to know.
#[inline]
pub(crate) fn take(bytes: usize) -> Option<(NonNull<u8>, Class)> {
    take_from(bytes, alloc)
}

/// As [`take`], for what a peer sends.
#[inline]
pub(crate) fn take_for_peer(bytes: usize) -> Option<(NonNull<u8>, Class)> {
    take_from(bytes, memory::allocate)
}

#[inline]
fn take_from(bytes: usize, from: unsafe fn(Layout) -> *mut u8) -> Option<(NonNull<u8>, Class)> {
    let class = Class::of(bytes);
    if let Class::Kept(index) = class
        && let Some(block) = KEPT.with(|kept| kept.take(usize::from(index)))
    {
        return Some((block, class));
    }
    allocate(class, from).map(|block| (block, class))
}

#[inline(never)]
fn allocate(class: Class, from: unsafe fn(Layout) -> *mut u8) -> Option<NonNull<u8>> {
    // SAFETY: no class is empty.
    NonNull::new(unsafe { from(class.layout()?) })
}

/// Gives a block back.
///
/// # Safety
/// It came from [`take`], with this class, and is not used any more.
#[inline]
pub(crate) unsafe fn give(block: NonNull<u8>, class: Class) {
    if let Class::Kept(index) = class
        // SAFETY: passed on.
        && unsafe { KEPT.with(|kept| kept.give(block, usize::from(index))) }
    {
        return;
    }
    // SAFETY: passed on.
    unsafe { free(block, class) };
}

/// # Safety
/// As for [`give`].
#[inline(never)]
unsafe fn free(block: NonNull<u8>, class: Class) {
    if let Some(layout) = class.layout() {
        // SAFETY: `allocate` got the block with the layout of this class.
        unsafe { dealloc(block.as_ptr(), layout) };
    }
}

impl Kept {
    #[inline]
    fn take(&self, class: usize) -> Option<NonNull<u8>> {
        let block = NonNull::new(self.first[class].get())?;
        // SAFETY: what is kept is a valid block that belongs to this thread.
        self.first[class].set(unsafe { block.as_ref() }.next);
        self.bytes.set(self.bytes.get() - usize::from(CLASSES[class]));
        Some(block.cast())
    }

    /// False: enough is kept.
    ///
    /// # Safety
    /// As for [`give`], of this class.
    #[inline]
    unsafe fn give(&self, block: NonNull<u8>, class: usize) -> bool {
        let bytes = self.bytes.get() + usize::from(CLASSES[class]);
        if bytes > KEPT_BYTES_MAX || (self.phase.get() != Phase::Keeping && !self.begin()) {
            return false;
        }
        let block = block.cast::<Free>();
        // SAFETY: the block is this thread's now, and every class has room for a pointer.
        unsafe { block.write(Free { next: self.first[class].get() }) };
        self.first[class].set(block.as_ptr());
        self.bytes.set(bytes);
        true
    }

    #[cold]
    fn begin(&self) -> bool {
        if self.phase.get() == Phase::Fresh && END.try_with(|_| ()).is_ok() {
            self.phase.set(Phase::Keeping);
        }
        self.phase.get() == Phase::Keeping
    }

    fn end(&self) {
        self.phase.set(Phase::Ended);
        for class in 0..CLASSES.len() {
            while let Some(block) = self.take(class) {
                // SAFETY: it was kept, and is no more.
                unsafe { free(block, Class::Kept(class as u8)) };
            }
        }
    }
}

/// Copies a short body: for bodies of up to 64 bytes cheaper than a call of `memcpy`.
///
/// # Safety
/// `to` has room for the body, and does not overlap it.
#[inline]
pub(crate) unsafe fn copy_short(body: &[u8], to: *mut u8) {
    /// # Safety
    /// As above, for a body of `size_of::<T>()` to twice as many bytes.
    #[inline]
    unsafe fn ends<T: Copy>(from: *const u8, to: *mut u8, bytes: usize) {
        let last = bytes - size_of::<T>();
        // SAFETY: passed on; both accesses lie within the body.
        unsafe {
            let head = from.cast::<T>().read_unaligned();
            let tail = from.add(last).cast::<T>().read_unaligned();
            to.cast::<T>().write_unaligned(head);
            to.add(last).cast::<T>().write_unaligned(tail);
        }
    }
    let (from, bytes) = (body.as_ptr(), body.len());
    // SAFETY: passed on; each arm's length fits `ends`.
    unsafe {
        match bytes {
            0 => {}
            1..=3 => {
                // The first, the middle and the last byte are all there are.
                let (first, middle, last) =
                    (from.read(), from.add(bytes / 2).read(), from.add(bytes - 1).read());
                to.write(first);
                to.add(bytes / 2).write(middle);
                to.add(bytes - 1).write(last);
            }
            4..=8 => ends::<u32>(from, to, bytes),
            9..=16 => ends::<u64>(from, to, bytes),
            17..=32 => ends::<[u64; 2]>(from, to, bytes),
            33..=64 => ends::<[u64; 4]>(from, to, bytes),
            _ => ptr::copy_nonoverlapping(from, to, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_bytes() -> usize {
        KEPT.with(|kept| kept.bytes.get())
    }

    /// Writes all of a block, and gives it back.
    fn use_block(bytes: usize) -> NonNull<u8> {
        let (block, class) = take(bytes).unwrap();
        // SAFETY: the block is this long, and not used after it is given back.
        unsafe {
            block.write_bytes(7, bytes);
            give(block, class);
        }
        block
    }

    #[test]
    fn a_block_comes_back_to_the_thread_that_freed_it() {
        std::thread::spawn(|| {
            let first = use_block(100);
            assert_eq!(kept_bytes(), 128);
            assert_eq!(use_block(128), first);
            assert_ne!(use_block(129), first);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        std::thread::spawn(|| {
            let blocks: Vec<_> = (0..1000).map(|_| take(1024).unwrap()).collect();
            for (block, class) in blocks {
                // SAFETY: as in `use_block`.
                unsafe { give(block, class) };
            }
            assert_eq!(kept_bytes(), KEPT_BYTES_MAX);
            use_block(100_000);
            assert_eq!(kept_bytes(), KEPT_BYTES_MAX);
        })
        .join()
        .unwrap();
    }

    #[test]
    fn every_length_fits_its_class() {
        for bytes in 1..10_000 {
            let layout = Class::of(bytes).layout().unwrap();
            assert!(layout.size() >= bytes && layout.size() <= bytes.max(64) * 3 / 2 + 32);
        }
        assert!(take(usize::MAX).is_none());
    }
}
