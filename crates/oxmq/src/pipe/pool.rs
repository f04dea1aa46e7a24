//! Chunks of bytes for arenas, and the process-wide stock of drained ones.

use crate::sync::{AtomicU32, Ordering, UnsafeCell};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::{self, NonNull};

/// Sizes of chunks, their headers included, in bytes.
#[cfg(not(loom))]
const CLASS_BYTES: [usize; 3] = [4 << 10, 16 << 10, 64 << 10];
/// Small, so that loom meets many chunks; the last still holds a whole [`Message`](crate::Message).
#[cfg(loom)]
const CLASS_BYTES: [usize; 3] = [HEADER_BYTES + 8, HEADER_BYTES + 16, HEADER_BYTES + 160];

/// How many drained chunks of each class are kept: 1, 2 and 4 MiB (chosen arbitrarily).
#[cfg(not(loom))]
const STOCK_MAX: [usize; 3] = [256, 128, 64];

const HEADER_BYTES: usize = size_of::<Chunk>();

/// The size class of a chunk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Class(u8);

impl Class {
    pub(crate) const SMALLEST: Class = Class(0);
    pub(crate) const LARGEST: Class = Class(CLASS_BYTES.len() as u8 - 1);

    /// How many bytes of records a chunk of this class holds.
    pub(crate) const fn capacity(self) -> usize {
        CLASS_BYTES[self.0 as usize] - HEADER_BYTES
    }

    /// How many bytes of memory a chunk of this class takes.
    #[cfg(test)]
    pub(crate) fn bytes(self) -> usize {
        CLASS_BYTES[self.0 as usize]
    }

    pub(crate) fn larger(self) -> Class {
        Class(self.0 + 1).min(Class::LARGEST)
    }

    pub(crate) fn smaller(self) -> Class {
        Class(self.0.saturating_sub(1))
    }

    /// This class, or the smallest above it that holds a record of `bytes`.
    pub(crate) fn holding(mut self, bytes: usize) -> Class {
        while self.capacity() < bytes {
            debug_assert!(self < Class::LARGEST, "no record is larger than the largest chunk");
            self = self.larger();
        }
        self
    }
}

/// The longest record that fits a chunk.
pub(crate) const RECORD_BYTES_MAX: usize = Class::LARGEST.capacity();

/// The header of a chunk; its records follow.
///
/// Every field is written by the arena's writer before it publishes the first record that lies
/// behind the write, and read by the arena's reader after it has seen that publication.
#[repr(C)]
pub(crate) struct Chunk {
    /// The next chunk; meaningful once `end` is set.
    next: UnsafeCell<*mut Chunk>,
    /// Where the records end, once the writer has gone on to the next chunk; else [`OPEN`].
    /// Atomic, because the reader looks while the writer may be sealing: see `end`.
    end: AtomicU32,
    class: Class,
    /// loom watches every byte.
    #[cfg(loom)]
    shadow: Vec<UnsafeCell<()>>,
}

/// The end of a chunk that the writer is still filling.
const OPEN: u32 = u32::MAX;

impl Chunk {
    fn layout(class: Class) -> Layout {
        let bytes = CLASS_BYTES[class.0 as usize];
        Layout::from_size_align(bytes, align_of::<Chunk>()).expect("a constant, and a valid one")
    }

    fn allocate(class: Class) -> NonNull<Chunk> {
        let layout = Chunk::layout(class);
        // SAFETY: no class is empty.
        let block = unsafe { alloc(layout) };
        let Some(chunk) = NonNull::new(block.cast::<Chunk>()) else { handle_alloc_error(layout) };
        let header = Chunk {
            next: UnsafeCell::new(ptr::null_mut()),
            end: AtomicU32::new(OPEN),
            class,
            #[cfg(loom)]
            shadow: (0..class.capacity()).map(|_| UnsafeCell::new(())).collect(),
        };
        // SAFETY: the block is fresh, aligned for a `Chunk` and longer than one.
        unsafe { chunk.write(header) };
        chunk
    }

    /// # Safety
    /// `chunk` came from `allocate`, and nobody uses it any more.
    unsafe fn free(chunk: NonNull<Chunk>) {
        // SAFETY: the caller owns the chunk, whose header is initialised since `allocate`.
        unsafe {
            let layout = Chunk::layout(chunk.as_ref().class);
            ptr::drop_in_place(chunk.as_ptr());
            dealloc(chunk.as_ptr().cast(), layout);
        }
    }

    #[inline]
    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// The first byte of the records. Derived from a raw pointer, so that it may reach beyond
    /// the header.
    ///
    /// # Safety
    /// `chunk` is alive.
    #[inline]
    pub(crate) unsafe fn data(chunk: *mut Chunk) -> *mut u8 {
        // SAFETY: a living chunk is longer than its header.
        unsafe { chunk.cast::<u8>().add(HEADER_BYTES) }
    }

    /// Makes the chunk ready for its first record, or takes a `seal` back. Nothing behind its end
    /// has been published.
    pub(crate) fn open(&self) {
        // SAFETY: the reader looks at `next` only when something behind `end` is published.
        self.next.with_mut(|at| unsafe { *at = ptr::null_mut() });
        // Relaxed: see `end`.
        self.end.store(OPEN, Ordering::Relaxed);
    }

    /// The records end at `end` and go on in `next`.
    pub(crate) fn seal(&self, end: u32, next: *mut Chunk) {
        // SAFETY: as in `open`.
        self.next.with_mut(|at| unsafe { *at = next });
        // Relaxed: see `end`.
        self.end.store(end, Ordering::Relaxed);
    }

    /// Where the records end, or [`OPEN`].
    ///
    /// Relaxed: whoever has seen a publication beyond the end has seen the end itself. Whoever
    /// has not may see either value, both of which lie at or beyond all that is published.
    #[inline]
    pub(crate) fn end(&self) -> u32 {
        self.end.load(Ordering::Relaxed)
    }

    /// The next chunk, or null: only for the writer, for one who has seen something published
    /// behind `end`, or for one who owns the chain.
    #[inline]
    pub(crate) fn next(&self) -> *mut Chunk {
        // SAFETY: written by the caller itself, or before that publication.
        self.next.with(|at| unsafe { *at })
    }

    /// Tells loom that these bytes are written.
    #[inline]
    pub(crate) fn watch_write(&self, _from: u32, _to: u32) {
        #[cfg(loom)]
        for cell in &self.shadow[_from as usize.._to as usize] {
            cell.with_mut(|_| ());
        }
    }

    /// Tells loom that these bytes are read.
    #[inline]
    pub(crate) fn watch_read(&self, _from: u32, _to: u32) {
        #[cfg(loom)]
        for cell in &self.shadow[_from as usize.._to as usize] {
            cell.with(|_| ());
        }
    }
}

#[cfg(not(loom))]
mod stock {
    use super::*;
    use parking_lot::Mutex;

    struct Drained(Vec<NonNull<Chunk>>);

    // SAFETY: the stock owns its chunks, and nobody else points at them.
    unsafe impl Send for Drained {}

    // Its locks are never waited for: in a child of a fork they may have been left held, and a chunk
    // more or less is no loss.
    static STOCK: [Mutex<Drained>; CLASS_BYTES.len()] =
        [const { Mutex::new(Drained(Vec::new())) }; CLASS_BYTES.len()];

    pub(super) fn take(class: Class) -> Option<NonNull<Chunk>> {
        STOCK[class.0 as usize].try_lock()?.0.pop()
    }

    pub(super) fn give(chunk: NonNull<Chunk>, class: Class) -> bool {
        let Some(mut stock) = STOCK[class.0 as usize].try_lock() else { return false };
        let room = stock.0.len() < STOCK_MAX[class.0 as usize];
        if room {
            stock.0.push(chunk);
        }
        room
    }
}

/// A chunk of this class, from the stock if it has one. The caller owns it.
pub(crate) fn take(class: Class) -> NonNull<Chunk> {
    // Under loom every chunk is fresh: the stock outlives an execution, and its mutex would hide
    // a missing ordering.
    #[cfg(not(loom))]
    if let Some(chunk) = stock::take(class) {
        return chunk;
    }
    Chunk::allocate(class)
}

/// Back to the stock, or to the allocator when the stock is full.
///
/// # Safety
/// `chunk` came from [`take`], and the caller was the only one to use it.
pub(crate) unsafe fn give(chunk: NonNull<Chunk>) {
    #[cfg(not(loom))]
    // SAFETY: the caller owns the chunk.
    if stock::give(chunk, unsafe { chunk.as_ref() }.class) {
        return;
    }
    // SAFETY: passed on.
    unsafe { Chunk::free(chunk) }
}
