//! The incoming pipe, and both directions of inproc: a queue of messages.
//!
//! ```text
//!   chunks:  [x x . .] -> [. . . . . . . . . .] -> [. . ~ ~        ]
//!               |                                       |   |
//!               reader (x: taken)               published   tail (~: staged)
//! ```
//!
//! The queue grows by chunks, for one message may have any number of parts; what bounds it is the
//! high-water mark, in messages. Chunks are small until the reader lags. One atomic store a
//! batch makes whole messages visible. A reader that finds the queue empty is marked as asleep,
//! and the next `publish` says that it must be activated.

use super::both::{Both, Shareable};
use super::credit::{Credit, Refund, Spender};
use crate::asymmetric;
use crate::memory;
use crate::sync::{
    AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Line, Ordering, UnsafeCell, fence, mutate,
};
use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::mem::MaybeUninit;
use std::ptr;

/// Slots in a chunk: of an idle or slow pipe, and of a busy one.
#[cfg(not(loom))]
const SLOTS: [usize; 2] = [4, 64];
#[cfg(loom)]
const SLOTS: [usize; 2] = [1, 2];

/// The reader has found the queue empty: the next `publish` is to say that it must be activated.
const ACTIVATION: u32 = 1;
/// The reader is busy, and takes the heavy side of the fence before it asks for activation.
const NO_FENCE: u32 = 2;

/// A reader that has taken so many items since it last found the queue empty is busy. Measured:
/// the heavy fence costs as much as some hundred light ones spare.
#[cfg(not(loom))]
const BUSY_ITEMS: u64 = 1024;
#[cfg(loom)]
const BUSY_ITEMS: u64 = 1;

/// Release: pairs with the Acquire of `Shared::published`; the reader sees the items and the
/// chunks behind the index it gets.
const PUBLISH: Ordering = mutate!("slots_publish_relaxed", Ordering::Relaxed, Ordering::Release);
/// Release, by the reader: pairs with the Acquire of the writer, which overwrites the slots that
/// the reader has emptied.
const SPARE: Ordering = mutate!("slots_spare_relaxed", Ordering::Relaxed, Ordering::AcqRel);

/// A queue for at most `hwm` messages (0: no bound).
pub(crate) fn slots<T>(hwm: u32) -> (SlotWriter<T>, SlotReader<T>) {
    let (shared, readers) = Both::new(Shared {
        writer: Line(WriterLine {
            published: AtomicU64::new(0),
            messages: AtomicU64::new(0),
            asks: AtomicU32::new(ACTIVATION),
            alone: AtomicBool::new(false),
            first: UnsafeCell::new(ptr::null_mut()),
        }),
        reader: Line(ReaderLine {
            credit: Credit::new(hwm),
            drained: AtomicU64::new(0),
            spare: AtomicPtr::new(ptr::null_mut()),
            left: UnsafeCell::new(Cursor::at(0)),
        }),
    });
    let writer = SlotWriter {
        shared,
        tail: Cursor::at(0),
        capacity: 0,
        complete: Cursor::at(0),
        published: 0,
        spender: Spender::new(hwm),
    };
    let reader = SlotReader {
        shared: readers,
        head: Cursor::at(0),
        ready: 0,
        wake_writer: false,
        spares_writer: false,
        busy: false,
        awake_since: 0,
        refund: Refund::new(),
    };
    (writer, reader)
}

/// The end that items are put in at.
pub(crate) struct SlotWriter<T> {
    shared: Both<Shared<T>>,
    /// Where the next item goes.
    tail: Cursor<T>,
    /// Of `tail`'s chunk.
    capacity: u32,
    /// `tail` behind the last item that ended a message.
    complete: Cursor<T>,
    /// `Shared::published`.
    published: u64,
    spender: Spender,
}

/// The end that items are taken from.
pub(crate) struct SlotReader<T> {
    shared: Both<Shared<T>>,
    /// The next item.
    head: Cursor<T>,
    /// Where, in `head`'s chunk, the items end that are known to be published.
    ready: u32,
    wake_writer: bool,
    /// It asks for `NO_FENCE` when it is busy, and has done so.
    spares_writer: bool,
    busy: bool,
    /// The index from which on it has not found the queue empty.
    awake_since: u64,
    refund: Refund,
}

// SAFETY: each end owns its side of the slots, whose items change sides by Release and Acquire;
// both ends hold the `Both` that keeps them alive.
unsafe impl<T: Send> Send for SlotWriter<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Send for SlotReader<T> {}

struct Shared<T> {
    writer: Line<WriterLine<T>>,
    reader: Line<ReaderLine<T>>,
}

/// What the writer writes.
struct WriterLine<T> {
    /// The index up to which items are visible; always between two messages.
    published: AtomicU64,
    /// `published`, counted in messages. Stored before it.
    messages: AtomicU64,
    /// What the reader asks of the writer. Here, because the writer looks at every `publish` and
    /// the reader hardly ever writes it.
    asks: AtomicU32,
    /// Here for the room that there is.
    alone: AtomicBool,
    /// The first chunk. Written while the writer has none, so that nothing is published that
    /// could make the reader look.
    first: UnsafeCell<*mut Chunk<T>>,
}

/// What the reader writes.
struct ReaderLine<T> {
    credit: Credit,
    /// The index of a recent `head`, from which the writer judges whether the reader lags. A hint.
    drained: AtomicU64,
    /// An emptied chunk, on its way back to the writer.
    spare: AtomicPtr<Chunk<T>>,
    /// `head` of a reader that is gone.
    left: UnsafeCell<Cursor<T>>,
}

impl<T> SlotWriter<T> {
    /// Whether one more message may be pushed. When not, the writer is marked as waiting, and a
    /// later `take_wake` of the reader says true.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        self.spender.has_room(&self.shared.reader.credit)
    }

    /// Whether there is no room, and the reader is busy making some. Does not mark the writer as
    /// waiting.
    #[inline]
    pub(crate) fn is_full_for_a_moment(&mut self) -> bool {
        // Relaxed: a hint.
        !self.spender.has_credit(&self.shared.reader.credit)
            && self.shared.writer.asks.load(Ordering::Relaxed) == NO_FENCE
    }

    /// How many more messages may be pushed; `u64::MAX` when there is no bound. Does not mark the
    /// writer as waiting.
    #[cfg(test)]
    #[inline]
    pub(crate) fn room(&mut self) -> u64 {
        self.spender.room(&self.shared.reader.credit)
    }

    /// Stages an item, the last of its message or not.
    #[inline]
    pub(crate) fn push(&mut self, item: T, ends_message: bool) {
        // SAFETY: the place is filled, whole.
        unsafe { self.push_with(ends_message, |place| place.write(item)) };
    }

    /// As `push`, of an item that `fill` makes in its place.
    ///
    /// # Safety
    /// `fill` writes a whole item to the place, which is not initialised.
    #[inline]
    pub(crate) unsafe fn push_with(&mut self, ends_message: bool, fill: impl FnOnce(*mut T)) {
        if self.tail.at == self.capacity && !self.next_chunk(alloc) {
            handle_alloc_error(Chunk::<T>::layout(SLOTS[0]));
        }
        // SAFETY: passed on; there is a place now.
        unsafe {
            self.fill_next(ends_message, |place| {
                fill(place);
                true
            });
        }
    }

    /// Makes a place for the next item, which a peer sends. False: there is no memory for it.
    #[inline]
    pub(crate) fn reserve(&mut self) -> bool {
        self.tail.at < self.capacity || self.next_chunk(memory::allocate)
    }

    /// As `push_with`, of an item that a peer sends, and that `fill` cannot make if it says false. False:
    /// it is not staged, or there is no memory for its place.
    ///
    /// # Safety
    /// `fill` writes a whole item to the place, which is not initialised, or says false and leaves
    /// nothing there that has to be dropped.
    #[inline]
    pub(crate) unsafe fn try_push_with(
        &mut self,
        ends_message: bool,
        fill: impl FnOnce(*mut T) -> bool,
    ) -> bool {
        // SAFETY: passed on; there is a place, if there is memory.
        self.reserve() && unsafe { self.fill_next(ends_message, fill) }
    }

    /// # Safety
    /// As for `try_push_with`; there is a place.
    #[inline]
    unsafe fn fill_next(&mut self, ends_message: bool, fill: impl FnOnce(*mut T) -> bool) -> bool {
        // SAFETY: the tail's chunk is the writer's, hence alive, and `at` lies below its
        // capacity. Nobody else looks at the slot before it is published.
        if !unsafe { Chunk::put(self.tail.chunk, self.tail.at, fill) } {
            return false;
        }
        self.tail.at += 1;
        if ends_message {
            self.spender.spend();
            self.complete.follow(&self.tail);
        }
        true
    }

    /// Makes the complete messages visible. True: the reader had found the queue empty and must
    /// be activated.
    #[inline]
    pub(crate) fn publish(&mut self) -> bool {
        let complete = self.complete.index();
        if complete == self.published {
            return false;
        }
        self.published = complete;
        let line = &self.shared.writer;
        // Relaxed: ordered by the Release below.
        line.messages.store(self.spender.spent(), Ordering::Relaxed);
        line.published.store(complete, PUBLISH);
        // Pairs with the fence in `SlotReader::fall_asleep`, here and below: the writer sees what
        // is asked of it, or the reader sees what was published.
        if !cfg!(oxmq_mutation = "slots_publish_light_fence") {
            asymmetric::light();
        }
        // Relaxed, here and below: the mark carries no data; the last lets one activation through.
        if line.asks.load(Ordering::Relaxed) == NO_FENCE {
            return false;
        }
        if !cfg!(oxmq_mutation = "slots_publish_fence") {
            fence(Ordering::SeqCst);
        }
        line.asks.load(Ordering::Relaxed) & ACTIVATION != 0
            && line.asks.fetch_and(!ACTIVATION, Ordering::Relaxed) & ACTIVATION != 0
    }

    /// Takes back the staged items of the message that is not complete; `each` gets them, one by one:
    /// there may be no memory for a list of them.
    pub(crate) fn rollback(&mut self, mut each: impl FnMut(T)) {
        let tail = self.tail.index();
        if self.complete.index() == tail {
            return;
        }
        if self.complete.chunk.is_null() {
            self.complete.chunk = self.shared.first();
        }
        let mut at = self.complete;
        // SAFETY: the items and chunks behind `complete` are known to the writer alone; the chunk
        // of `complete` is alive, because the reader does not leave it before it has seen
        // something published behind it.
        unsafe {
            while at.index() < tail {
                at.skip_full();
                each(Chunk::take(at.chunk, at.at));
                at.at += 1;
            }
            let keep = self.complete.chunk;
            free_chain((*keep).next());
            (*keep).link(ptr::null_mut());
            self.capacity = (*keep).capacity;
        }
        self.tail = self.complete;
    }

    /// Messages pushed, ever.
    pub(crate) fn sent(&self) -> u64 {
        self.spender.spent()
    }

    /// The high-water mark; 0 for no bound.
    pub(crate) fn hwm(&self) -> u32 {
        self.spender.hwm()
    }

    /// Messages pushed that the reader has not yet given credit back for.
    pub(crate) fn outstanding(&mut self) -> u64 {
        self.spender.outstanding(&self.shared.reader.credit)
    }

    /// Changes the high-water mark (0: no bound). Messages beyond it stay.
    pub(crate) fn set_hwm(&mut self, hwm: u32) {
        self.spender.set_hwm(hwm, &self.shared.reader.credit);
    }

    /// Goes on to another chunk. False: there is no memory for one.
    #[cold]
    #[inline(never)]
    fn next_chunk(&mut self, allocate: unsafe fn(Layout) -> *mut u8) -> bool {
        // Relaxed: a hint.
        let backlog = self.tail.index() - self.shared.reader.drained.load(Ordering::Relaxed);
        let busy = backlog >= 2 * SLOTS[0] as u64;
        let chunk = self.take_chunk(SLOTS[usize::from(busy)], allocate);
        if chunk.is_null() {
            return false;
        }
        // SAFETY: the new chunk is the writer's alone, and the tail's chunk is alive.
        unsafe {
            (*chunk).link(ptr::null_mut());
            match self.tail.chunk.as_ref() {
                Some(full) => full.link(chunk),
                // The writer has no chunk, so that the reader does not look at this cell.
                None => self.shared.writer.first.with_mut(|first| *first = chunk),
            }
            self.capacity = (*chunk).capacity;
        }
        self.tail = Cursor { chunk, at: 0, base: self.tail.index() };
        true
    }

    fn take_chunk(&self, capacity: usize, allocate: unsafe fn(Layout) -> *mut u8) -> *mut Chunk<T> {
        let spare = self.shared.reader.spare.swap(ptr::null_mut(), SPARE);
        if !spare.is_null() {
            // SAFETY: the swap made the writer the owner of the spare chunk, which is empty.
            unsafe {
                if (*spare).capacity as usize == capacity {
                    return spare;
                }
                Chunk::free(spare);
            }
        }
        Chunk::allocate(capacity, allocate)
    }
}

impl<T> Drop for SlotWriter<T> {
    fn drop(&mut self) {
        self.rollback(drop);
        self.publish();
    }
}

impl<T> SlotReader<T> {
    /// Takes the next item. None: the queue is empty, all credit is given back, and the reader is
    /// marked as asleep: the next `publish` says that it must be activated.
    #[cfg(test)]
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.head.at == self.ready && !self.look() && !self.fall_asleep() {
            return None;
        }
        // SAFETY: `look` has seen the item published, and the reader takes it once.
        let item = unsafe { Chunk::take(self.head.chunk, self.head.at) };
        self.head.at += 1;
        Some(item)
    }

    /// The writer publishes each message by itself (not a driver, which publishes what it has
    /// read): a busy reader takes the cost of the fence.
    pub(crate) fn spare_writer(&mut self) {
        self.spares_writer = asymmetric::available();
    }

    /// As `pop`, into a place that holds an item already. Says whether there was one.
    #[inline]
    pub(crate) fn pop_into(&mut self, into: &mut T) -> bool {
        if self.head.at == self.ready && !self.look() && !self.fall_asleep() {
            return false;
        }
        // SAFETY: `look` has seen the item published, and the reader takes it once.
        *into = unsafe { Chunk::take(self.head.chunk, self.head.at) };
        self.head.at += 1;
        true
    }

    /// The next item, left where it is. None as for `pop`.
    pub(crate) fn peek(&mut self) -> Option<&T> {
        if self.head.at == self.ready && !self.look() && !self.fall_asleep() {
            return None;
        }
        // SAFETY: `look` has seen the item published, and it is not taken while it is borrowed.
        Some(unsafe { Chunk::borrow(self.head.chunk, self.head.at) })
    }

    /// Whether there is nothing to take. Does not mark the reader as asleep.
    #[inline]
    pub(crate) fn is_empty(&mut self) -> bool {
        self.head.at == self.ready && !self.look()
    }

    /// Whether there is nothing to take after many items: more is likely to come very soon.
    #[inline]
    pub(crate) fn is_empty_for_a_moment(&mut self) -> bool {
        self.busy && self.is_empty()
    }

    /// The item just taken ended a message: counts it, and gives credit back when a batch is
    /// full or the queue is empty.
    #[inline]
    pub(crate) fn count_message(&mut self) {
        let due = self.refund.count(1, &self.shared.reader.credit);
        if due || self.is_empty() {
            self.settle();
        }
    }

    /// Messages published to the reader, ever.
    pub(crate) fn arrived(&self) -> u64 {
        self.shared.published();
        // Relaxed: at least as new as the index just acquired.
        self.shared.writer.messages.load(Ordering::Relaxed)
    }

    /// Messages taken whole, ever.
    pub(crate) fn taken(&self) -> u64 {
        self.refund.done()
    }

    /// Whether giving credit back has found the writer waiting, so that it must be woken. Says so
    /// once.
    #[inline]
    pub(crate) fn take_wake(&mut self) -> bool {
        std::mem::take(&mut self.wake_writer)
    }

    /// How many bytes the queue holds while it is empty, 0 while it is not: whether `trim` pays.
    #[cfg(test)]
    pub(crate) fn idle_bytes(&mut self) -> usize {
        if self.head.chunk.is_null() || !self.is_empty() {
            return 0;
        }
        // SAFETY: the cursor's chunk is the reader's, hence alive.
        size_of::<T>() * unsafe { &*self.head.chunk }.capacity as usize
    }

    /// Gives the memory of an empty queue back; false when it is not empty, or when `writer` is
    /// another queue's.
    #[cfg(test)]
    pub(crate) fn trim(&mut self, writer: &mut SlotWriter<T>) -> bool {
        let index = self.head.index();
        if !self.shared.is_shared_with(&writer.shared) || writer.tail.index() != index {
            return false;
        }
        // The reader has not yet looked, or stands in the oldest chunk there is.
        let first = if self.head.chunk.is_null() { self.shared.first() } else { self.head.chunk };
        // SAFETY: both ends are held exclusively, and there is nothing between their cursors, so
        // that nobody looks at the chunks or the cell.
        unsafe {
            free_chain(first);
            self.shared.writer.first.with_mut(|first| *first = ptr::null_mut());
        }
        self.shared.free_spare();
        writer.tail = Cursor::at(index);
        writer.complete = Cursor::at(index);
        writer.capacity = 0;
        self.head = Cursor::at(index);
        self.ready = 0;
        true
    }

    /// Looks for published items behind those known.
    #[cold]
    #[inline(never)]
    fn look(&mut self) -> bool {
        let published = self.shared.published();
        let index = self.head.index();
        // Relaxed: a hint.
        self.shared.reader.drained.store(index, Ordering::Relaxed);
        if published == index {
            return false;
        }
        if self.spares_writer && !self.busy && index - self.awake_since >= BUSY_ITEMS {
            let asks = &self.shared.writer.asks;
            // Relaxed: it only makes the writer faster.
            self.busy =
                asks.compare_exchange(0, NO_FENCE, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        }
        if self.head.chunk.is_null() {
            self.head.chunk = self.shared.first();
        }
        let emptied = self.head.chunk;
        // SAFETY: something is published behind the cursor, whose chunk is the reader's: if it
        // is full, the next one is linked, and the reader was the last to use it.
        unsafe {
            if self.head.skip_full() {
                let spare = self.shared.reader.spare.swap(emptied, SPARE);
                if !spare.is_null() {
                    // The swap made the reader its owner again.
                    Chunk::free(spare);
                }
            }
            let known = published - self.head.base;
            self.ready = known.min(u64::from((*self.head.chunk).capacity)) as u32;
        }
        true
    }

    /// Marks the reader as asleep. True: something came meanwhile, and the mark is gone again.
    #[cold]
    #[inline(never)]
    fn fall_asleep(&mut self) -> bool {
        let line = &self.shared.writer;
        // Relaxed: ordered by the fence. Only exchanges, on both sides: the order of a mark and
        // its taking is then plain to see, for loom too.
        line.asks.swap(ACTIVATION, Ordering::Relaxed);
        if self.refund.owes() {
            self.settle();
        }
        if cfg!(oxmq_mutation = "slots_asleep_recheck") {
            return false;
        }
        // Pairs with the fences in `SlotWriter::publish`.
        if self.busy {
            self.busy = false;
            if !cfg!(oxmq_mutation = "slots_asleep_heavy_fence") {
                asymmetric::heavy();
            }
        } else if !cfg!(oxmq_mutation = "slots_asleep_fence") {
            fence(Ordering::SeqCst);
        }
        self.awake_since = self.head.index();
        if !self.look() {
            return false;
        }
        // Relaxed: if the writer has taken the mark meanwhile, its activation is a spurious one.
        self.shared.writer.asks.fetch_and(!ACTIVATION, Ordering::Relaxed);
        true
    }

    #[cold]
    fn settle(&mut self) {
        self.wake_writer |= self.refund.settle(&self.shared.reader.credit);
    }
}

impl<T> Drop for SlotReader<T> {
    fn drop(&mut self) {
        let head = self.head;
        // SAFETY: nobody looks at this cell before both ends are gone.
        self.shared.reader.left.with_mut(|left| unsafe { *left = head });
    }
}

impl<T> Shareable for Shared<T> {
    fn is_alone(&self) -> &AtomicBool {
        &self.writer.alone
    }
}

impl<T> Shared<T> {
    #[inline]
    fn published(&self) -> u64 {
        // Acquire: pairs with `PUBLISH`.
        self.writer.published.load(Ordering::Acquire)
    }

    /// The first chunk: only for the writer, or for one who has seen something published.
    fn first(&self) -> *mut Chunk<T> {
        // SAFETY: the writer writes this cell only while nothing behind it is published.
        self.writer.first.with(|first| unsafe { *first })
    }

    fn free_spare(&self) {
        let spare = self.reader.spare.swap(ptr::null_mut(), SPARE);
        if !spare.is_null() {
            // SAFETY: the swap made the caller its owner; a spare chunk is empty.
            unsafe { Chunk::free(spare) };
        }
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        self.free_spare();
        // SAFETY: both ends are gone, and `Both` orders what they did before this. The writer has
        // published or taken back all that it had staged.
        unsafe {
            let mut head = self.reader.left.with(|left| *left);
            if head.chunk.is_null() {
                head.chunk = self.first();
            }
            let oldest = head.chunk;
            let published = self.published();
            while head.index() < published {
                head.skip_full();
                drop(Chunk::take(head.chunk, head.at));
                head.at += 1;
            }
            free_chain(oldest);
        }
    }
}

/// A place in the stream of items. A chunk holds the items from index `base` on.
struct Cursor<T> {
    /// Null before the first chunk.
    chunk: *mut Chunk<T>,
    at: u32,
    base: u64,
}

impl<T> Clone for Cursor<T> {
    fn clone(&self) -> Cursor<T> {
        *self
    }
}

impl<T> Copy for Cursor<T> {}

impl<T> Cursor<T> {
    /// At an index, without a chunk.
    fn at(index: u64) -> Cursor<T> {
        Cursor { chunk: ptr::null_mut(), at: 0, base: index }
    }

    #[inline]
    fn index(&self) -> u64 {
        self.base + u64::from(self.at)
    }

    /// Becomes `other`, which is mostly in the same chunk: a copy of the whole would have to wait
    /// for the part of it that has just been written.
    #[inline]
    fn follow(&mut self, other: &Cursor<T>) {
        if self.chunk == other.chunk {
            self.at = other.at;
        } else {
            *self = *other;
        }
    }

    /// Goes on to the next chunk if this one is used up; whether it was.
    ///
    /// # Safety
    /// The cursor has a living chunk, and there is an item behind it.
    unsafe fn skip_full(&mut self) -> bool {
        // SAFETY: passed on.
        let chunk = unsafe { &*self.chunk };
        let full = self.at == chunk.capacity;
        if full {
            *self = Cursor { chunk: chunk.next(), at: 0, base: self.index() };
        }
        full
    }
}

/// The header of a chunk; its slots follow.
#[repr(C)]
struct Chunk<T> {
    /// The next chunk. Written by the writer before it publishes an item in that chunk, read by
    /// the reader after it has seen one.
    next: UnsafeCell<*mut Chunk<T>>,
    capacity: u32,
    slots: [Slot<T>; 0],
}

type Slot<T> = UnsafeCell<MaybeUninit<T>>;

impl<T> Chunk<T> {
    fn layout(capacity: usize) -> Layout {
        Layout::array::<Slot<T>>(capacity)
            .and_then(|slots| Layout::new::<Chunk<T>>().extend(slots))
            .map(|(layout, _)| layout)
            .expect("a few slots")
    }

    /// Null if there is no memory for it.
    fn allocate(capacity: usize, allocate: unsafe fn(Layout) -> *mut u8) -> *mut Chunk<T> {
        let layout = Chunk::<T>::layout(capacity);
        // SAFETY: the layout has a header at least.
        let chunk = unsafe { allocate(layout) }.cast::<Chunk<T>>();
        if chunk.is_null() {
            return chunk;
        }
        // SAFETY: the block is fresh, aligned, and holds the header and this many slots.
        unsafe {
            chunk.write(Chunk {
                next: UnsafeCell::new(ptr::null_mut()),
                capacity: capacity as u32,
                slots: [],
            });
            for at in 0..capacity as u32 {
                Chunk::slot(chunk, at).write(UnsafeCell::new(MaybeUninit::uninit()));
            }
        }
        chunk
    }

    /// # Safety
    /// `chunk` came from `allocate`; nobody uses it any more, and what it held has been taken.
    unsafe fn free(chunk: *mut Chunk<T>) {
        // SAFETY: passed on. Neither a header nor an empty slot has anything to drop, except
        // under loom.
        unsafe {
            let capacity = (*chunk).capacity;
            #[cfg(loom)]
            for at in 0..capacity {
                Chunk::slot(chunk, at).drop_in_place();
            }
            chunk.drop_in_place();
            dealloc(chunk.cast(), Chunk::<T>::layout(capacity as usize));
        }
    }

    /// # Safety
    /// `chunk` is alive, and `at` below its capacity.
    #[inline]
    unsafe fn slot(chunk: *mut Chunk<T>, at: u32) -> *mut Slot<T> {
        // SAFETY: passed on. From the raw pointer, so that it may reach beyond the header.
        unsafe { (&raw mut (*chunk).slots).cast::<Slot<T>>().add(at as usize) }
    }

    /// # Safety
    /// As for `slot`; the slot is empty and the caller's.
    #[inline]
    unsafe fn put(chunk: *mut Chunk<T>, at: u32, fill: impl FnOnce(*mut T) -> bool) -> bool {
        // SAFETY: passed on.
        unsafe { (*Chunk::slot(chunk, at)).with_mut(|slot| fill((*slot).as_mut_ptr())) }
    }

    /// # Safety
    /// As for `slot`; the slot is full and the caller's, who does not take or borrow it again.
    #[inline]
    unsafe fn take(chunk: *mut Chunk<T>, at: u32) -> T {
        // SAFETY: passed on.
        unsafe { (*Chunk::slot(chunk, at)).with(|slot| (*slot).assume_init_read()) }
    }

    /// # Safety
    /// As for `slot`; the slot is full, and stays so during `'a`.
    unsafe fn borrow<'a>(chunk: *mut Chunk<T>, at: u32) -> &'a T {
        // SAFETY: passed on.
        unsafe { (*Chunk::slot(chunk, at)).with(|slot| (*slot).assume_init_ref()) }
    }

    fn link(&self, next: *mut Chunk<T>) {
        // SAFETY: only the writer calls this, while nothing behind the chunk is published.
        self.next.with_mut(|at| unsafe { *at = next });
    }

    fn next(&self) -> *mut Chunk<T> {
        // SAFETY: the caller is the writer, has seen an item published behind the chunk, or owns
        // the chain.
        self.next.with(|at| unsafe { *at })
    }
}

/// Frees `chunk` and those after it, all of them empty.
///
/// # Safety
/// The caller owns the chain.
unsafe fn free_chain<T>(mut chunk: *mut Chunk<T>) {
    while !chunk.is_null() {
        // SAFETY: passed on; the last one's link is null.
        unsafe {
            let next = (*chunk).next();
            Chunk::free(chunk);
            chunk = next;
        }
    }
}
