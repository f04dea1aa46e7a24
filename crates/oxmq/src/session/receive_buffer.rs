//! Where a connection's bytes arrive: a buffer of the driving thread, which stays with the
//! connection only while bytes wait in it.

use std::cell::RefCell;
use std::mem::MaybeUninit;

/// `Limits::inline_bytes_max` of the protocol: a longer body is collected in a buffer of its own.
pub(super) const INLINE_BYTES_MAX: usize = 8192;

/// One read from the kernel.
const READ_BYTES: usize = 64 * 1024;
/// A frame begun in one read and finished in the next lies before it.
const CAPACITY: usize = READ_BYTES + INLINE_BYTES_MAX + 64;
/// What is left over and no longer than this is copied aside, and the buffer freed for others.
const PARKED_BYTES_MAX: usize = INLINE_BYTES_MAX + 64;

thread_local! {
    static SPARE: RefCell<Option<Box<[MaybeUninit<u8>]>>> = const { RefCell::new(None) };
}

/// Bytes read and not yet decoded.
#[derive(Default)]
pub(super) struct ReceiveBuffer {
    buffer: Option<Box<[MaybeUninit<u8>]>>,
    start: usize,
    end: usize,
    parked: Box<[u8]>,
}

impl ReceiveBuffer {
    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end && self.parked.is_empty()
    }

    /// The bytes waiting.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.buffer {
            // SAFETY: everything below `end` was filled by `filled` or copied by `unpark`.
            Some(buffer) => unsafe {
                std::slice::from_raw_parts(
                    buffer.as_ptr().cast::<u8>().add(self.start),
                    self.end - self.start,
                )
            },
            None => &self.parked,
        }
    }

    #[inline]
    pub(super) fn consume(&mut self, bytes: usize) {
        if self.buffer.is_none() {
            self.unpark();
        }
        self.start = (self.start + bytes).min(self.end);
    }

    /// Room for one read behind the bytes waiting.
    pub(super) fn room(&mut self) -> &mut [MaybeUninit<u8>] {
        self.unpark();
        let (start, end) = (self.start, self.end);
        let Some(buffer) = &mut self.buffer else { return &mut [] };
        if start == end {
            (self.start, self.end) = (0, 0);
        } else if buffer.len() - end < READ_BYTES / 4 {
            buffer.copy_within(start..end, 0);
            (self.start, self.end) = (0, end - start);
        }
        &mut buffer[self.end..]
    }

    /// `bytes` were read into the room.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end += bytes;
    }

    /// Gives the buffer back to the thread, unless much waits in it.
    pub(super) fn settle(&mut self) {
        let left = self.end - self.start;
        if self.buffer.is_none() || left > PARKED_BYTES_MAX {
            return;
        }
        if left > 0 {
            self.parked = self.bytes().into();
        }
        (self.start, self.end) = (0, 0);
        let buffer = self.buffer.take();
        SPARE.with(|spare| *spare.borrow_mut() = buffer);
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        self.parked = Box::default();
        self.settle();
    }

    fn unpark(&mut self) {
        if self.buffer.is_some() {
            return;
        }
        let spare = SPARE.with(|spare| spare.borrow_mut().take());
        let mut buffer = spare.unwrap_or_else(|| Box::new_uninit_slice(CAPACITY));
        let parked = std::mem::take(&mut self.parked);
        for (to, from) in buffer.iter_mut().zip(parked.iter()) {
            to.write(*from);
        }
        (self.start, self.end) = (0, parked.len());
        self.buffer = Some(buffer);
    }
}
