//! Where a connection's bytes arrive: a buffer of the driving thread, which stays with the
//! connection only while bytes wait in it.

use std::alloc::Layout;
use std::cell::Cell;
use std::mem::{self, MaybeUninit};
use std::ptr::NonNull;

use crate::memory;

/// `Limits::inline_bytes_max` of the protocol: a longer body is collected in a buffer of its own.
pub(super) const INLINE_BYTES_MAX: usize = 8192;

/// One read from the kernel.
const READ_BYTES: usize = 64 * 1024;
/// A frame begun in one read and finished in the next lies before it.
const CAPACITY: usize = READ_BYTES + INLINE_BYTES_MAX + 64;
/// What is left over and no longer than this is copied aside, and the buffer freed for others.
const PARKED_BYTES_MAX: usize = INLINE_BYTES_MAX + 64;

thread_local! {
    /// Gone before the thread is: what drives a connection after that gets buffers that nobody keeps.
    static SPARE: Cell<Option<Box<Buffer>>> = const { Cell::new(None) };
}

/// Bytes read and not yet decoded.
pub(super) enum ReceiveBuffer {
    /// Few, or none.
    Parked(Box<[u8]>),
    /// In a buffer that is this connection's for the time being.
    Held(Box<Buffer>),
}

pub(super) struct Buffer {
    /// Where the bytes that wait begin and end.
    start: usize,
    end: usize,
    bytes: [MaybeUninit<u8>; CAPACITY],
}

impl Default for ReceiveBuffer {
    fn default() -> ReceiveBuffer {
        ReceiveBuffer::Parked(Box::default())
    }
}

impl ReceiveBuffer {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes().is_empty()
    }

    /// The bytes waiting.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            ReceiveBuffer::Held(buffer) => buffer.waiting(),
            ReceiveBuffer::Parked(parked) => parked,
        }
    }

    #[inline]
    pub(super) fn consume(&mut self, bytes: usize) {
        match self {
            ReceiveBuffer::Held(buffer) => buffer.start = (buffer.start + bytes).min(buffer.end),
            ReceiveBuffer::Parked(parked) if bytes >= parked.len() => *parked = Box::default(),
            ReceiveBuffer::Parked(_) => self.consume_parked(bytes),
        }
    }

    #[cold]
    fn consume_parked(&mut self, bytes: usize) {
        if let Some(buffer) = self.hold() {
            buffer.start += bytes;
        } else if let ReceiveBuffer::Parked(parked) = self {
            // There is no memory for a buffer, but for no more than there was.
            let mut rest = mem::take(parked).into_vec();
            rest.drain(..bytes);
            *parked = rest.into_boxed_slice();
        }
    }

    /// Room for one read behind the bytes waiting; `None`: there is no memory for it.
    pub(super) fn room(&mut self) -> Option<&mut [MaybeUninit<u8>]> {
        let Buffer { start, end, bytes } = self.hold()?;
        if start == end {
            (*start, *end) = (0, 0);
        } else if CAPACITY - *end < READ_BYTES / 4 {
            bytes.copy_within(*start..*end, 0);
            (*start, *end) = (0, *end - *start);
        }
        Some(&mut bytes[*end..])
    }

    /// `bytes` were read into the room.
    pub(super) fn filled(&mut self, bytes: usize) {
        if let ReceiveBuffer::Held(buffer) = self {
            buffer.end += bytes;
        }
    }

    /// Gives the buffer back to the thread, unless much waits in it.
    pub(super) fn settle(&mut self) {
        let ReceiveBuffer::Held(buffer) = self else { return };
        let waiting = buffer.waiting();
        if waiting.len() > PARKED_BYTES_MAX {
            return;
        }
        let mut parked = Vec::new();
        if !memory::grow(&mut parked, waiting.len()) {
            return;
        }
        parked.extend_from_slice(waiting);
        let parked = parked.into_boxed_slice();
        if let ReceiveBuffer::Held(buffer) = mem::replace(self, ReceiveBuffer::Parked(parked)) {
            let _ = SPARE.try_with(|spare| spare.set(Some(buffer)));
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            ReceiveBuffer::Held(buffer) => buffer.start = buffer.end,
            ReceiveBuffer::Parked(parked) => *parked = Box::default(),
        }
        self.settle();
    }

    /// The connection's buffer: if it has none, the thread's. `None`: there is no memory for one.
    #[inline]
    fn hold(&mut self) -> Option<&mut Buffer> {
        if let ReceiveBuffer::Parked(parked) = self {
            let spare = SPARE.try_with(Cell::take).ok().flatten();
            let mut buffer = spare.or_else(Buffer::new)?;
            for (to, from) in buffer.bytes.iter_mut().zip(parked.iter()) {
                to.write(*from);
            }
            (buffer.start, buffer.end) = (0, parked.len());
            *self = ReceiveBuffer::Held(buffer);
        }
        match self {
            ReceiveBuffer::Held(buffer) => Some(buffer),
            ReceiveBuffer::Parked(_) => None,
        }
    }
}

impl Buffer {
    fn new() -> Option<Box<Buffer>> {
        // SAFETY: a buffer has a size; the two fields that have to be initialised are, in memory with its
        // layout, which nobody else has.
        unsafe {
            let made = memory::allocate(Layout::new::<Buffer>()).cast::<Buffer>();
            let made = NonNull::new(made)?.as_ptr();
            (&raw mut (*made).start).write(0);
            (&raw mut (*made).end).write(0);
            Some(Box::from_raw(made))
        }
    }

    #[inline]
    fn waiting(&self) -> &[u8] {
        // SAFETY: everything below `end` was filled, and said to be by `filled`, or copied by `hold`;
        // `start` is not beyond it, nor `end` beyond the buffer, of which `room` gave a part.
        unsafe {
            let start = self.bytes.as_ptr().cast::<u8>().add(self.start);
            std::slice::from_raw_parts(start, self.end - self.start)
        }
    }
}
