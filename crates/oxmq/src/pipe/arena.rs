//! The outgoing pipe: from a socket to a connection, as bytes ready for the kernel.
//!
//! The writer stages parts as records, framed as ZMTP 2 and 3 frame them, and publishes whole
//! messages; the reader hands what is published to the kernel, many records in one slice, and
//! walks their headers once the kernel has taken them.
//!
//! ```text
//!   record:  flags(1: MORE 1, LARGE 2)  length(1, or 8 big-endian)  body
//!
//!   chunks:  [ ........released####written######]-> [##########published::staged     ]
//!              free to reuse   |    |                         |        |
//!              messages gone --+    |                         |        +-- the writer
//!              bytes gone ----------+                         +----------- visible
//! ```
//!
//! - A record never straddles chunks: a chunk that is too full is sealed and the next one linked.
//! - A body of [`REF_BYTES_MIN`] or more is not copied: the [`Message`] itself lies in the chunk
//!   in its place. The length in the header tells.
//! - *released* is the first incomplete message, so that a new connection can start there.
//! - Chunks start small and grow only while the reader lags; an idle arena holds one chunk, which
//!   [`ArenaReader::trim`] takes back, and one that was never written to holds none.

use super::both::{Both, Shareable};
use super::credit::{Credit, Refund, Spender};
use super::pool::{self, Chunk, Class, RECORD_BYTES_MAX};
use crate::Message;
use crate::block::copy_short;
use crate::sync::{AtomicBool, AtomicPtr, AtomicU64, Line, Ordering, UnsafeCell, mutate};
use std::io::IoSlice;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop, MaybeUninit};
use std::ptr::{self, NonNull};

/// Bodies from this length on are sent by reference.
#[cfg(not(loom))]
pub(crate) const REF_BYTES_MIN: usize = 4096;
/// Small, but no body this long lies inside its `Message`.
#[cfg(loom)]
pub(crate) const REF_BYTES_MIN: usize = 64;

const MORE: u8 = 1;
const LARGE: u8 = 2;
/// The longest body whose length fits one byte.
const SHORT_BYTES_MAX: usize = 255;
const SHORT_HEADER_BYTES: usize = 2;
const LONG_HEADER_BYTES: usize = 9;

// Every record fits some chunk, and a body by reference never lies inside its `Message`, which
// may be moved while slices of the body are out.
const _: () = assert!(RECORD_BYTES_MAX >= LONG_HEADER_BYTES + REF_BYTES_MIN - 1);
const _: () = assert!(RECORD_BYTES_MAX >= LONG_HEADER_BYTES + size_of::<Message>());
const _: () = assert!(REF_BYTES_MIN > crate::INLINE_BYTES_MAX);

/// Release: pairs with the Acquire of `Shared::published`; the reader sees the records, chunks
/// and counts behind the position it gets.
const PUBLISH: Ordering = mutate!("arena_publish_relaxed", Ordering::Relaxed, Ordering::Release);
/// Release, by the reader: pairs with the Acquire of the writer, which overwrites what the reader
/// has read.
const SPARE: Ordering = mutate!("arena_spare_relaxed", Ordering::Relaxed, Ordering::AcqRel);

/// An arena for at most `hwm` messages (0: no bound).
pub(crate) fn arena(hwm: u32) -> (ArenaWriter, ArenaReader) {
    let (shared, readers) = Both::new(Shared {
        writer: Line(WriterLine {
            published: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            externals: AtomicU64::new(0),
            alone: AtomicBool::new(false),
            first: UnsafeCell::new(ptr::null_mut()),
        }),
        reader: Line(ReaderLine {
            credit: Credit::new(hwm),
            drained: AtomicU64::new(0),
            spare: AtomicPtr::new(ptr::null_mut()),
            left: UnsafeCell::new((ptr::null_mut(), Cursor::at(0))),
        }),
    });
    let writer = ArenaWriter {
        shared,
        tail: Cursor::at(0),
        capacity: 0,
        published: Cursor::at(0),
        externals: 0,
        externals_published: 0,
        spender: Spender::new(hwm),
    };
    let reader = ArenaReader {
        shared: readers,
        oldest: ptr::null_mut(),
        released: Cursor::at(0),
        written: Cursor::at(0),
        record_done: 0,
        externals_released: 0,
        externals_held: 0,
        refund: Refund::new(),
    };
    (writer, reader)
}

/// The socket's end.
pub(crate) struct ArenaWriter {
    shared: Both<Shared>,
    /// Where the next record goes.
    tail: Cursor,
    /// Of `tail`'s chunk.
    capacity: u32,
    /// `tail` as last published.
    published: Cursor,
    /// Bodies written by reference, ever.
    externals: u64,
    externals_published: u64,
    spender: Spender,
}

/// The connection's end.
pub(crate) struct ArenaReader {
    shared: Both<Shared>,
    /// The first chunk that has not been given back.
    oldest: *mut Chunk,
    /// The first incomplete message.
    released: Cursor,
    /// The record that the next byte for the kernel belongs to, and how many of its bytes (on
    /// the wire) the kernel has.
    written: Cursor,
    record_done: u64,
    /// Bodies by reference before `released`.
    externals_released: u64,
    /// Bodies by reference between `released` and `written`.
    externals_held: u64,
    refund: Refund,
}

/// What [`ArenaReader::advance`] brought about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Advanced {
    /// Messages that the kernel now has whole.
    pub(crate) messages: u64,
    /// The writer waits for room and must be woken.
    pub(crate) wake_writer: bool,
}

// SAFETY: each end owns its side of the chunks, whose contents are `Send` and change sides by
// Release and Acquire; both ends hold the `Both` that keeps them alive.
unsafe impl Send for ArenaWriter {}
// SAFETY: as above.
unsafe impl Send for ArenaReader {}
// SAFETY: `&self` gives reads only, of atomics and of what the reader owns.
unsafe impl Sync for ArenaReader {}

struct Shared {
    writer: Line<WriterLine>,
    reader: Line<ReaderLine>,
}

/// What the writer writes.
struct WriterLine {
    /// The position up to which records are visible; always between two messages.
    published: AtomicU64,
    /// `published`, counted in messages, and in bodies by reference. Stored before it.
    messages: AtomicU64,
    externals: AtomicU64,
    /// Here for the room that there is.
    alone: AtomicBool,
    /// The first chunk. Written while the writer has none, so that nothing is published that
    /// could make the reader look.
    first: UnsafeCell<*mut Chunk>,
}

/// What the reader writes.
struct ReaderLine {
    credit: Credit,
    /// The position of `ArenaReader::released`, from which the writer judges whether the reader
    /// lags. A hint.
    drained: AtomicU64,
    /// A drained chunk, on its way back to the writer.
    spare: AtomicPtr<Chunk>,
    /// `oldest` and `released` of a reader that is gone.
    left: UnsafeCell<(*mut Chunk, Cursor)>,
}

// SAFETY: the cells say who writes them when; the rest is atomic.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl ArenaWriter {
    /// Whether one more message may be published. When not, the writer is marked as waiting, and
    /// a later `advance` says `wake_writer`.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        self.spender.has_room(&self.shared.reader.credit)
    }

    /// Stages one part. A long body moves out of `part`; a short one is copied and stays.
    #[inline]
    pub(crate) fn write(&mut self, part: &mut Message) {
        if cfg!(oxmq_mutation = "costs_needless_copy") {
            return self.write_copy(&Message::from(part.to_vec()));
        }
        if part.len() < REF_BYTES_MIN {
            self.write_body(part, part.more());
        } else {
            let more = part.more();
            self.write_external(part.take(), more);
        }
    }

    /// Stages one part, leaving `part` as it is: a long body is shared, a short one copied.
    #[inline]
    pub(crate) fn write_copy(&mut self, part: &Message) {
        if part.len() < REF_BYTES_MIN {
            self.write_body(part, part.more());
        } else {
            self.write_external(part.clone(), part.more());
        }
    }

    /// The staged parts are one whole message: makes it visible to the reader.
    #[inline]
    pub(crate) fn publish(&mut self) {
        self.spender.spend();
        self.published.follow(&self.tail);
        let line = &self.shared.writer;
        // Relaxed twice: ordered by the Release below.
        if self.externals != self.externals_published {
            self.externals_published = self.externals;
            line.externals.store(self.externals, Ordering::Relaxed);
        }
        line.messages.store(self.spender.spent(), Ordering::Relaxed);
        line.published.store(self.tail.position(), PUBLISH);
    }

    /// Forgets the parts staged since the last `publish`. Long bodies go to `garbage`.
    pub(crate) fn rollback(&mut self, garbage: &mut Vec<Message>) {
        if self.tail.position() == self.published.position() {
            return;
        }
        if self.published.chunk.is_null() {
            // SAFETY: something is staged, so the writer has made the first chunk; it alone
            // writes this cell.
            self.published.chunk = self.shared.writer.first.with(|first| unsafe { *first });
        }
        if self.externals != self.externals_published {
            // SAFETY: the records between the two are the writer's own, and are forgotten below.
            unsafe { self.published.take_externals(self.tail.position(), garbage) };
            self.externals = self.externals_published;
        }
        // SAFETY: chunks linked since the last `publish` are known to the writer alone; the
        // chunk of `published` is alive, because the reader does not leave it before it has
        // seen something published behind it.
        unsafe {
            let keep = &*self.published.chunk;
            free_chain(keep.next());
            keep.open();
            self.capacity = keep.class().capacity() as u32;
        }
        self.tail = self.published;
    }

    /// Messages published, ever.
    pub(crate) fn sent(&self) -> u64 {
        self.spender.spent()
    }

    pub(crate) fn set_hwm(&mut self, hwm: u32) {
        self.spender.set_hwm(hwm, &self.shared.reader.credit);
    }

    /// The high-water mark; 0 for no bound.
    pub(crate) fn hwm(&self) -> u32 {
        self.spender.hwm()
    }

    /// Messages published that the reader has not yet given credit back for: exact while the
    /// reader rests, since it then has given all back.
    pub(crate) fn outstanding(&mut self) -> u64 {
        self.spender.outstanding(&self.shared.reader.credit)
    }

    #[inline]
    fn write_body(&mut self, body: &[u8], more: bool) {
        if body.len() > SHORT_BYTES_MAX {
            return self.write_long(body, more);
        }
        let at = self.reserve(SHORT_HEADER_BYTES + body.len());
        // SAFETY: `reserve` gave this many bytes, which nobody else looks at before `publish`.
        unsafe {
            at.write(u8::from(more));
            at.add(1).write(body.len() as u8);
            copy_short(body, at.add(SHORT_HEADER_BYTES));
        }
    }

    #[inline(never)]
    fn write_long(&mut self, body: &[u8], more: bool) {
        let at = self.reserve(LONG_HEADER_BYTES + body.len());
        // SAFETY: as in `write_body`.
        unsafe {
            write_long_header(at, body.len(), more);
            ptr::copy_nonoverlapping(body.as_ptr(), at.add(LONG_HEADER_BYTES), body.len());
        }
    }

    #[inline(never)]
    fn write_external(&mut self, part: Message, more: bool) {
        let at = self.reserve(LONG_HEADER_BYTES + size_of::<Message>());
        // SAFETY: as in `write_body`. The chunk owns the message from here on: the header's
        // length says so to whoever walks the records.
        unsafe {
            write_long_header(at, part.len(), more);
            at.add(LONG_HEADER_BYTES).cast::<Message>().write_unaligned(part);
        }
        self.externals += 1;
    }

    /// The place for a record of `bytes`.
    #[inline]
    fn reserve(&mut self, bytes: usize) -> *mut u8 {
        if ((self.capacity - self.tail.at) as usize) < bytes {
            self.next_chunk(bytes);
        }
        let at = self.tail.at;
        self.tail.at += bytes as u32;
        // SAFETY: the tail's chunk is the writer's, hence alive, and has room for the record.
        unsafe {
            (*self.tail.chunk).watch_write(at, self.tail.at);
            Chunk::data(self.tail.chunk).add(at as usize)
        }
    }

    #[cold]
    #[inline(never)]
    fn next_chunk(&mut self, bytes: usize) {
        let class = self.next_class().holding(bytes);
        let chunk = self.take_chunk(class).as_ptr();
        // SAFETY: the new chunk is the writer's alone, and the tail's chunk is alive.
        unsafe {
            (*chunk).open();
            match self.tail.chunk.as_ref() {
                Some(full) => full.seal(self.tail.at, chunk),
                // The writer has no chunk, so that the reader does not look at this cell.
                None => self.shared.writer.first.with_mut(|first| *first = chunk),
            }
        }
        self.tail = Cursor { chunk, at: 0, base: self.tail.position() };
        self.capacity = class.capacity() as u32;
    }

    /// Larger while the reader is more than two chunks behind, smaller when it keeps up.
    fn next_class(&self) -> Class {
        // SAFETY: the tail's chunk is the writer's, hence alive.
        let Some(full) = (unsafe { self.tail.chunk.as_ref() }) else { return Class::SMALLEST };
        // Relaxed: a hint.
        let drained = self.shared.reader.drained.load(Ordering::Relaxed);
        let backlog = self.tail.position() - drained;
        let capacity = full.class().capacity() as u64;
        if backlog > 2 * capacity {
            full.class().larger()
        } else if backlog < capacity / 2 {
            full.class().smaller()
        } else {
            full.class()
        }
    }

    fn take_chunk(&self, class: Class) -> NonNull<Chunk> {
        let spare = self.shared.reader.spare.swap(ptr::null_mut(), SPARE);
        let Some(spare) = NonNull::new(spare) else { return pool::take(class) };
        // SAFETY: the swap made the writer the owner of the spare chunk.
        unsafe {
            if spare.as_ref().class() == class {
                return spare;
            }
            pool::give(spare);
        }
        pool::take(class)
    }
}

impl Drop for ArenaWriter {
    fn drop(&mut self) {
        self.rollback(&mut Vec::new());
    }
}

impl ArenaReader {
    /// Whether there is something that the kernel does not have yet.
    #[inline]
    pub(crate) fn has_pending(&self) -> bool {
        self.shared.published() != self.written.position()
    }

    /// Messages published and not wholly with the kernel.
    #[cfg(test)]
    pub(crate) fn queued(&self) -> u64 {
        self.shared.published();
        // Relaxed: at least as new as the position just acquired.
        self.shared.writer.messages.load(Ordering::Relaxed) - self.refund.done()
    }

    /// Messages that the kernel has whole, ever, and those discarded.
    pub(crate) fn done(&self) -> u64 {
        self.refund.done()
    }

    /// Whether the next byte for the kernel begins a message, so that control frames may go first.
    #[inline]
    pub(crate) fn at_boundary(&self) -> bool {
        self.written == self.released && self.record_done == 0
    }

    /// Appends the next unwritten bytes to `out`, at most `bytes_max` and as many slices as it
    /// has room for. How many bytes that is.
    pub(crate) fn gather<'a>(&'a self, out: &mut IoVecs<'a>, bytes_max: usize) -> usize {
        let published = self.shared.published();
        // Relaxed: at least as new as the position just acquired.
        let externals = self.shared.writer.externals.load(Ordering::Relaxed)
            != self.externals_released + self.externals_held;
        let mut at = self.written;
        let mut done = self.record_done as usize;
        let mut left = bytes_max;
        while at.position() < published && left > 0 && !out.is_full() {
            // SAFETY: `at` is the reader's, and there is something published behind it. What lies
            // between it and the limit is published, hence initialised, written by nobody, and
            // alive until `advance`, which takes `&mut self`.
            unsafe {
                let limit = at.enter(&self.shared, published);
                if externals {
                    gather_records(&mut at, limit, &mut done, out, &mut left);
                } else {
                    push_bytes(at.chunk, at.at as usize + done, limit as usize, out, &mut left);
                    at.at = limit;
                    done = 0;
                }
            }
        }
        bytes_max - left
    }

    /// The kernel has taken `bytes` of what `gather` gave. Long bodies that are done with go to
    /// `garbage`, to be dropped where no lock is held.
    pub(crate) fn advance(&mut self, bytes: usize, garbage: &mut Vec<Message>) -> Advanced {
        self.pass(bytes as u64, garbage)
    }

    /// A new connection begins at the first message that the last one did not get whole.
    pub(crate) fn rewind(&mut self) {
        self.written = self.released;
        self.record_done = 0;
        self.externals_held = 0;
    }

    /// Drops all that is published, the message that is under way included.
    pub(crate) fn discard(&mut self, garbage: &mut Vec<Message>) -> Advanced {
        self.pass(u64::MAX, garbage)
    }

    /// How many bytes the arena holds while there is nothing to send, 0 while there is: whether
    /// `trim` pays.
    #[cfg(test)]
    pub(crate) fn idle_bytes(&self) -> usize {
        if self.has_pending() || self.written.chunk.is_null() {
            return 0;
        }
        // SAFETY: the cursor's chunk is the reader's, hence alive.
        unsafe { &*self.written.chunk }.class().bytes()
    }

    /// Gives the memory of an idle arena back; false when it is not idle, or when `writer` is
    /// another arena's.
    #[cfg(test)]
    pub(crate) fn trim(&mut self, writer: &mut ArenaWriter) -> bool {
        let position = self.written.position();
        if !self.shared.is_shared_with(&writer.shared) || writer.tail.position() != position {
            return false;
        }
        let first = self.first_chunk();
        // SAFETY: both ends are held exclusively, and there is nothing between their cursors, so
        // that nobody looks at the chunks or the cell.
        unsafe {
            free_chain(first);
            self.shared.writer.first.with_mut(|first| *first = ptr::null_mut());
        }
        self.shared.free_spare();
        writer.tail = Cursor::at(position);
        writer.published = Cursor::at(position);
        writer.capacity = 0;
        self.oldest = ptr::null_mut();
        self.released = Cursor::at(position);
        self.written = Cursor::at(position);
        true
    }

    fn pass(&mut self, bytes: u64, garbage: &mut Vec<Message>) -> Advanced {
        let published = self.shared.published();
        let messages = self.walk(bytes, published, garbage);
        self.reclaim();
        let due = self.refund.count(messages, &self.shared.reader.credit);
        let empty = self.written.position() == published;
        let wake_writer = (due || (empty && self.refund.owes()))
            && self.refund.settle(&self.shared.reader.credit);
        Advanced { messages, wake_writer }
    }

    /// Gives all credit back: the kernel takes nothing more for now. True: the writer waits for
    /// room and must be woken.
    pub(crate) fn settle(&mut self) -> bool {
        self.refund.owes() && self.refund.settle(&self.shared.reader.credit)
    }

    /// Moves `written` on by `bytes` on the wire, `released` to the last message that ends before
    /// it, and counts the messages.
    fn walk(&mut self, mut bytes: u64, published: u64, garbage: &mut Vec<Message>) -> u64 {
        let mut messages = 0;
        while bytes > 0 && self.written.position() < published {
            let boundary = self.at_boundary();
            // SAFETY: the cursor is the reader's, and there is something published behind it.
            let limit = unsafe { self.written.enter(&self.shared, published) };
            if boundary {
                self.released = self.written;
            }
            let mut at = self.written;
            let mut released = self.released;
            let mut done = self.record_done;
            while at.at < limit {
                // SAFETY: published records lie between the cursor and the limit.
                let record = unsafe { at.record() };
                let left = record.wire_bytes() - done;
                if bytes < left {
                    done += bytes;
                    bytes = 0;
                    break;
                }
                bytes -= left;
                done = 0;
                at.at += record.bytes();
                if record.is_external() {
                    self.externals_held += 1;
                }
                if !record.more() || cfg!(oxmq_mutation = "sim_torn_multipart") {
                    messages += u64::from(!record.more());
                    let has_externals = self.externals_held > 0;
                    if has_externals {
                        self.release_externals(released, at, garbage);
                    }
                    let lags = bytes == 0 && !has_externals;
                    if !(lags && cfg!(oxmq_mutation = "sim_rewind_twice")) {
                        released = at;
                    }
                }
            }
            self.written = at;
            self.released = released;
            self.record_done = done;
        }
        messages
    }

    #[cold]
    fn release_externals(&mut self, from: Cursor, to: Cursor, garbage: &mut Vec<Message>) {
        // SAFETY: the records between the two are published and walked over for the last time:
        // `released` goes to `to`.
        unsafe { from.take_externals(to.position(), garbage) };
        self.externals_released += self.externals_held;
        self.externals_held = 0;
    }

    /// Gives back the chunks before `released`.
    #[inline]
    fn reclaim(&mut self) {
        if self.oldest != self.released.chunk {
            self.reclaim_chunks();
        }
        // Relaxed: a hint.
        self.shared.reader.drained.store(self.released.position(), Ordering::Relaxed);
    }

    #[cold]
    fn reclaim_chunks(&mut self) {
        let mut chunk = self.first_chunk();
        while chunk != self.released.chunk {
            // SAFETY: the chunk lies before `released`: the reader is the last to use it, and it
            // is sealed.
            let next = unsafe { &*chunk }.next();
            let spare = self.shared.reader.spare.swap(chunk, SPARE);
            if let Some(spare) = NonNull::new(spare) {
                // SAFETY: the swap made the reader its owner again.
                unsafe { pool::give(spare) };
            }
            chunk = next;
        }
        self.oldest = chunk;
    }

    fn first_chunk(&self) -> *mut Chunk {
        if !self.oldest.is_null() {
            return self.oldest;
        }
        // SAFETY: either the reader has seen something published, after which the writer leaves
        // the cell alone, or the caller holds both ends.
        self.shared.writer.first.with(|first| unsafe { *first })
    }
}

impl Drop for ArenaReader {
    fn drop(&mut self) {
        let left = (self.oldest, self.released);
        // SAFETY: nobody looks at this cell before both ends are gone.
        self.shared.reader.left.with_mut(|at| unsafe { *at = left });
    }
}

impl Shareable for Shared {
    fn is_alone(&self) -> &AtomicBool {
        &self.writer.alone
    }
}

impl Shared {
    #[inline]
    fn published(&self) -> u64 {
        // Acquire: pairs with `PUBLISH`.
        self.writer.published.load(Ordering::Acquire)
    }

    fn free_spare(&self) {
        if let Some(spare) = NonNull::new(self.reader.spare.swap(ptr::null_mut(), SPARE)) {
            // SAFETY: the swap made the caller its owner.
            unsafe { pool::give(spare) };
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.free_spare();
        // SAFETY: both ends are gone, and `Both` orders what they did before this.
        unsafe {
            let (oldest, mut released) = self.reader.left.with(|left| *left);
            let first = self.writer.first.with(|first| *first);
            if released.chunk.is_null() {
                released.chunk = first;
            }
            let published = self.published();
            if released.position() < published {
                let mut garbage = Vec::new();
                released.take_externals(published, &mut garbage);
            }
            free_chain(if oldest.is_null() { first } else { oldest });
        }
    }
}

/// Frees `chunk` and those after it.
///
/// # Safety
/// The caller owns the chain.
unsafe fn free_chain(mut chunk: *mut Chunk) {
    while let Some(drained) = NonNull::new(chunk) {
        // SAFETY: passed on; `open` has made the last one's link null.
        unsafe {
            chunk = drained.as_ref().next();
            pool::give(drained);
        }
    }
}

/// A place in the stream of records. A chunk goes with the range of positions from `base` to
/// `base` + its end, and the next chunk begins there.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Cursor {
    /// Null before the first chunk.
    chunk: *mut Chunk,
    at: u32,
    base: u64,
}

impl Cursor {
    /// At a position, without a chunk.
    fn at(position: u64) -> Cursor {
        Cursor { chunk: ptr::null_mut(), at: 0, base: position }
    }

    #[inline]
    fn position(&self) -> u64 {
        self.base + u64::from(self.at)
    }

    /// Becomes `other`, which is mostly in the same chunk: a copy of the whole would have to wait
    /// for the part of it that has just been written.
    #[inline]
    fn follow(&mut self, other: &Cursor) {
        if self.chunk == other.chunk {
            self.at = other.at;
        } else {
            *self = *other;
        }
    }

    /// Goes on to the chunk in which the next record lies; where the published part of it ends.
    ///
    /// # Safety
    /// The cursor is the reader's (or both ends' owner's), and its position is before `published`,
    /// which was acquired.
    #[inline]
    unsafe fn enter(&mut self, shared: &Shared, published: u64) -> u32 {
        if self.chunk.is_null() {
            // SAFETY: something is published, so the cell has been written, and is left alone.
            self.chunk = shared.writer.first.with(|first| unsafe { *first });
        }
        // SAFETY: passed on.
        unsafe { self.skip_sealed(published) }
    }

    /// As [`enter`](Self::enter), with a chunk.
    ///
    /// # Safety
    /// As for `enter`.
    #[inline]
    unsafe fn skip_sealed(&mut self, published: u64) -> u32 {
        loop {
            // SAFETY: the cursor's chunk is alive until its owner gives it back.
            let chunk = unsafe { &*self.chunk };
            let end = chunk.end();
            if self.at != end {
                return u64::from(end).min(published - self.base) as u32;
            }
            // At the seal, and something is published: it lies in the next chunk.
            *self = Cursor { chunk: chunk.next(), at: 0, base: self.position() };
        }
    }

    /// # Safety
    /// A whole record lies at the cursor, and the caller may read it.
    #[inline]
    unsafe fn record(&self) -> Record {
        // SAFETY: passed on.
        unsafe {
            let record = Record::read(self.data());
            (*self.chunk).watch_read(self.at, self.at + record.bytes());
            record
        }
    }

    /// # Safety
    /// The cursor has a living chunk.
    #[inline]
    unsafe fn data(&self) -> *mut u8 {
        // SAFETY: a cursor lies within its chunk.
        unsafe { Chunk::data(self.chunk).add(self.at as usize) }
    }

    /// Moves the messages that lie between the cursor and `to` out of their chunks.
    ///
    /// # Safety
    /// The caller owns the records up to `to`, and nobody walks over them again.
    unsafe fn take_externals(mut self, to: u64, garbage: &mut Vec<Message>) {
        while self.position() < to {
            // SAFETY: records lie between the cursor and `to`.
            unsafe {
                let limit = self.skip_sealed(to);
                while self.at < limit {
                    let record = self.record();
                    if record.is_external() {
                        garbage.push(external(self.data()).read_unaligned());
                    }
                    self.at += record.bytes();
                }
            }
        }
    }
}

/// A record's header.
#[derive(Clone, Copy)]
struct Record {
    flags: u8,
    body_bytes: usize,
}

impl Record {
    /// # Safety
    /// A record begins at `at`.
    #[inline]
    unsafe fn read(at: *const u8) -> Record {
        // SAFETY: passed on; the flags tell how long the header is.
        unsafe {
            let flags = at.read();
            if flags & LARGE == 0 {
                return Record { flags, body_bytes: usize::from(at.add(1).read()) };
            }
            let length = u64::from_be_bytes(at.add(1).cast::<[u8; 8]>().read());
            Record { flags, body_bytes: length as usize }
        }
    }

    #[inline]
    fn more(&self) -> bool {
        self.flags & MORE != 0
    }

    #[inline]
    fn is_external(&self) -> bool {
        self.body_bytes >= REF_BYTES_MIN
    }

    #[inline]
    fn header_bytes(&self) -> usize {
        if self.flags & LARGE == 0 { SHORT_HEADER_BYTES } else { LONG_HEADER_BYTES }
    }

    /// How long it is for the kernel.
    #[inline]
    fn wire_bytes(&self) -> u64 {
        self.header_bytes() as u64 + self.body_bytes as u64
    }

    /// How long it is in the chunk.
    #[inline]
    fn bytes(&self) -> u32 {
        let body = if self.is_external() { size_of::<Message>() } else { self.body_bytes };
        (self.header_bytes() + body) as u32
    }
}

/// Where the message of an external record lies.
///
/// # Safety
/// An external record begins at `at`.
unsafe fn external(at: *mut u8) -> *mut Message {
    // SAFETY: passed on; the message follows the header.
    unsafe { at.add(LONG_HEADER_BYTES).cast() }
}

/// # Safety
/// `LONG_HEADER_BYTES` may be written at `at`.
unsafe fn write_long_header(at: *mut u8, bytes: usize, more: bool) {
    // SAFETY: passed on.
    unsafe {
        at.write(u8::from(more) | LARGE);
        at.add(1).cast::<[u8; 8]>().write((bytes as u64).to_be_bytes());
    }
}

/// Appends the bytes `from..to` of a chunk's records.
///
/// # Safety
/// They are initialised, and nobody writes or frees them during `'a`.
unsafe fn push_bytes<'a>(
    chunk: *mut Chunk,
    from: usize,
    to: usize,
    out: &mut IoVecs<'a>,
    left: &mut usize,
) {
    let bytes = (to - from).min(*left);
    // SAFETY: passed on.
    unsafe {
        (*chunk).watch_read(from as u32, (from + bytes) as u32);
        push(std::slice::from_raw_parts(Chunk::data(chunk).add(from), bytes), out, left);
    }
}

fn push<'a>(bytes: &'a [u8], out: &mut IoVecs<'a>, left: &mut usize) {
    let bytes = &bytes[..bytes.len().min(*left)];
    if !bytes.is_empty() && out.push(bytes) {
        *left -= bytes.len();
    }
}

/// Gathers one chunk's records up to `limit`, bodies by reference between them, the first
/// record from its byte `done` on. Stops where `out` or `left` is used up.
///
/// # Safety
/// As for `push_bytes`, for everything between the cursor and `limit`.
unsafe fn gather_records<'a>(
    at: &mut Cursor,
    limit: u32,
    done: &mut usize,
    out: &mut IoVecs<'a>,
    left: &mut usize,
) {
    // Bytes from here on, up to the cursor, lie side by side and are not yet in `out`.
    let mut run = at.at as usize + *done;
    while at.at < limit {
        // SAFETY: passed on.
        let record = unsafe { at.record() };
        if record.is_external() {
            let header_end = at.at as usize + LONG_HEADER_BYTES;
            let body_done = (*done).saturating_sub(LONG_HEADER_BYTES);
            // SAFETY: passed on. The copy is not dropped, and the body does not lie inside it.
            unsafe {
                if run < header_end {
                    push_bytes(at.chunk, run, header_end, out, left);
                }
                if *left == 0 || out.is_full() {
                    return;
                }
                let message = ManuallyDrop::new(external(at.data()).read_unaligned());
                let body: &'a [u8] = mem::transmute::<&[u8], &'a [u8]>(&message[body_done..]);
                push(body, out, left);
            }
            run = at.at as usize + record.bytes() as usize;
            if *left == 0 || out.is_full() {
                return;
            }
        }
        *done = 0;
        at.at += record.bytes();
    }
    if run < limit as usize {
        // SAFETY: passed on.
        unsafe { push_bytes(at.chunk, run, limit as usize, out, left) };
    }
}

/// How many slices one vectored write takes.
const IOVECS_MAX: usize = 64;

/// The slices of one vectored write.
pub(crate) struct IoVecs<'a> {
    slices: [MaybeUninit<IoSlice<'a>>; IOVECS_MAX],
    len: usize,
    bytes: usize,
    _borrowed: PhantomData<&'a [u8]>,
}

impl<'a> IoVecs<'a> {
    #[inline]
    pub(crate) fn new() -> IoVecs<'a> {
        IoVecs {
            slices: [const { MaybeUninit::uninit() }; IOVECS_MAX],
            len: 0,
            bytes: 0,
            _borrowed: PhantomData,
        }
    }

    /// Appends a slice; false when there is no room for it.
    #[inline]
    pub(crate) fn push(&mut self, slice: &'a [u8]) -> bool {
        let Some(place) = self.slices.get_mut(self.len) else { return false };
        place.write(IoSlice::new(slice));
        self.len += 1;
        self.bytes += slice.len();
        true
    }

    /// How long the slices are together.
    #[cfg(test)]
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.len == IOVECS_MAX
    }

    #[inline]
    pub(crate) fn as_slices(&self) -> &[IoSlice<'a>] {
        // SAFETY: the first `len` slices are initialised.
        unsafe { std::slice::from_raw_parts(self.slices.as_ptr().cast(), self.len) }
    }
}
