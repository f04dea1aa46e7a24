//! Handles: what C holds of our objects, checked at every call.
//!
//! A handle is the address of a slot in one region of memory that is never given back, so that any
//! word a caller hands in can be looked at: one that is no slot's address, or whose slot holds
//! nothing, or something of another kind, is refused. Who uses an object claims its slot (see
//! [`Claim`]); closing empties the slot for everybody who comes later, and the object goes when
//! nobody claims it any more. A slot that is free is used again as late as possible, for the sake
//! of programs that use a handle after its end.
//!
//! ```text
//!   FREE -> open -> KIND -> close (one caller wins) -> CLOSED -> last user gone: object dropped -> FREE
//! ```

use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

use libc::c_void;
use oxmq::ffi::{self, Claim};

use crate::errno::{self, Errno};

/// What can be behind a handle.
pub(crate) trait Object: Send + Sync + Sized + 'static {
    /// Which kind of object it is; each has its own, above [`KIND_MIN`].
    const KIND: u32;
    /// What a caller is told whose handle is none of these.
    const INVALID: Errno;
}

const FREE: u32 = 0;
const CLOSED: u32 = 1;
/// The kinds of objects.
pub(crate) const KIND_MIN: u32 = 0x6f78_0000;

/// How many handles there may be at a time, of all kinds together.
const SLOTS: usize = 1 << 20;

#[repr(align(64))]
struct Slot {
    kind: AtomicU32,
    /// Users that could not claim it.
    users: AtomicU32,
    object: UnsafeCell<*mut ()>,
    /// Drops the object.
    discard: UnsafeCell<Option<unsafe fn(*mut ())>>,
}

// SAFETY: `object` and `discard` are written while nobody can have the handle, or nobody has it any
// more; the objects are `Send + Sync`.
unsafe impl Sync for Slot {}

/// The region of all slots, made with the first handle. Memory is used for those in use alone.
struct Region {
    first: *const Slot,
}

/// Where the region begins; null before there is one.
static FIRST: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());

impl Region {
    fn get() -> Option<Region> {
        // Acquire: for the zeros that it is mapped with.
        let first = FIRST.load(Ordering::Acquire);
        (!first.is_null()).then_some(Region { first })
    }

    fn make() -> Option<Region> {
        static MAKE: Once = Once::new();
        MAKE.call_once(|| {
            if let Some(region) = Region::reserve() {
                FIRST.store(region.first.cast_mut(), Ordering::Release);
            }
        });
        Region::get()
    }

    fn reserve() -> Option<Region> {
        // SAFETY: a new mapping; of zeros, which is an array of free slots.
        let first = unsafe {
            libc::mmap(
                ptr::null_mut(),
                SLOTS * size_of::<Slot>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        (first != libc::MAP_FAILED).then_some(Region { first: first.cast() })
    }

    fn slot(&self, index: usize) -> &'static Slot {
        // SAFETY: callers stay below SLOTS; the region is never given back.
        unsafe { &*self.first.add(index) }
    }

    /// The slot that a caller's word is the address of.
    #[inline]
    fn find(&self, handle: *const c_void) -> Option<&'static Slot> {
        let offset = handle.addr().wrapping_sub(self.first.addr());
        let is_slot =
            offset < SLOTS * size_of::<Slot>() && offset.is_multiple_of(size_of::<Slot>());
        is_slot.then(|| self.slot(offset / size_of::<Slot>()))
    }
}

impl Slot {
    fn address(&self) -> usize {
        ptr::from_ref(self).addr()
    }
}

#[inline]
fn find(handle: *const c_void) -> Option<&'static Slot> {
    Region::get()?.find(handle)
}

/// Gives `object` a handle.
///
/// # Errors
/// EMFILE: there are as many as there may be.
pub(crate) fn open<T: Object>(object: T) -> Result<*mut c_void, Errno> {
    let region = Region::make().ok_or(errno::ENOMEM)?;
    let index = SLOTS_STATE.with(SlotsState::take).flatten().ok_or(errno::EMFILE)?;
    let slot = region.slot(index);
    // SAFETY: the slot is free, and taken for this caller alone.
    unsafe {
        *slot.object.get() = Box::into_raw(Box::new(object)).cast();
        *slot.discard.get() = Some(discard::<T>);
    }
    // Release: who finds the kind finds the object.
    slot.kind.store(T::KIND, Ordering::Release);
    Ok(ptr::from_ref(slot).cast_mut().cast())
}

/// # Safety
/// `object` was boxed by [`open`] as a `T`; it is not used again.
unsafe fn discard<T>(object: *mut ()) {
    // SAFETY: passed on.
    drop(unsafe { Box::from_raw(object.cast::<T>()) });
}

/// An object in use; it stays until this is dropped, whatever becomes of its handle.
pub(crate) struct Held<T> {
    slot: &'static Slot,
    /// `None`: counted in the slot's `users`.
    claim: Option<Claim>,
    _object: PhantomData<*const T>,
}

/// The object behind a handle.
///
/// # Errors
/// [`Object::INVALID`]: there is none of this kind.
#[inline]
pub(crate) fn get<T: Object>(handle: *const c_void) -> Result<Held<T>, Errno> {
    let slot = find(handle).ok_or(T::INVALID)?;
    let claim = Claim::new(slot.address());
    if claim.is_none() {
        slot.users.fetch_add(1, Ordering::Relaxed);
        // With that of `reap`: either it sees the user, or the user sees the slot closed.
        fence(Ordering::SeqCst);
    }
    let held = Held { slot, claim, _object: PhantomData };
    // Acquire: pairs with `open`.
    if slot.kind.load(Ordering::Acquire) == T::KIND { Ok(held) } else { Err(T::INVALID) }
}

impl<T> Deref for Held<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: of the right kind, as `get` and `close` have seen, and claimed before they did.
        unsafe { &*(*self.slot.object.get()).cast() }
    }
}

impl<T> Drop for Held<T> {
    #[inline]
    fn drop(&mut self) {
        if self.claim.take().is_none() {
            // AcqRel: what this user did comes before the object's end.
            self.slot.users.fetch_sub(1, Ordering::AcqRel);
            fence(Ordering::SeqCst);
        }
        // Dropping a claim fences: either who closes sees that it is gone, or this sees the end.
        if self.slot.kind.load(Ordering::Relaxed) == CLOSED {
            reap();
        }
    }
}

/// Takes the object from behind its handle: nobody finds it any more.
///
/// # Errors
/// [`Object::INVALID`]: there is none, or another caller has closed it.
pub(crate) fn close<T: Object>(handle: *const c_void) -> Result<Closed<T>, Errno> {
    let held = get::<T>(handle)?;
    let (kind, to) = (T::KIND, CLOSED);
    let taken = held.slot.kind.compare_exchange(kind, to, Ordering::AcqRel, Ordering::Relaxed);
    taken.map_err(|_| T::INVALID)?;
    Ok(Closed(held))
}

/// An object without a handle; when this is dropped, it goes with its last user.
pub(crate) struct Closed<T: Object>(Held<T>);

impl<T: Object> Deref for Closed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Object> Drop for Closed<T> {
    fn drop(&mut self) {
        // The claim in it is dropped after this, and reaps what is entered here.
        let slot = self.0.slot;
        SLOTS_STATE.with(|state| state.closed.push(slot));
    }
}

/// Drops the objects that are closed and in nobody's use.
#[cold]
fn reap() {
    let ended = SLOTS_STATE.with(|state| {
        let mut ended = Vec::new();
        state.closed.retain(|slot| {
            let claimed = ffi::is_claimed(slot.address());
            let in_use = claimed || slot.users.load(Ordering::Acquire) > 0;
            if !in_use {
                ended.push(*slot);
            }
            in_use
        });
        ended
    });
    for slot in ended.into_iter().flatten() {
        // SAFETY: closed and used by nobody, and taken off the list by this caller alone.
        unsafe {
            let object = std::mem::replace(&mut *slot.object.get(), ptr::null_mut());
            if let Some(discard) = (*slot.discard.get()).take() {
                discard(object);
            }
        }
        slot.kind.store(FREE, Ordering::Release);
        SLOTS_STATE.with(|state| state.give(slot));
    }
}

#[derive(Default)]
struct SlotsState {
    /// The first slot that was never used.
    fresh: usize,
    free: VecDeque<&'static Slot>,
    closed: Vec<&'static Slot>,
}

/// A slot is used again once so many others are free.
const FREE_MIN: usize = 4096;

impl SlotsState {
    fn take(&mut self) -> Option<usize> {
        if self.free.len() < FREE_MIN && self.fresh < SLOTS {
            self.fresh += 1;
            return Some(self.fresh - 1);
        }
        let slot = self.free.pop_front()?;
        Some((slot.address() - Region::get()?.first.addr()) / size_of::<Slot>())
    }

    fn give(&mut self, slot: &'static Slot) {
        self.free.push_back(slot);
    }
}

static SLOTS_STATE: Guarded = Guarded {
    holder: AtomicU64::new(0),
    state: UnsafeCell::new(SlotsState { fresh: 0, free: VecDeque::new(), closed: Vec::new() }),
};

/// A lock for moments, which a forked child never finds held by a thread that it does not have.
struct Guarded {
    /// The generation of the process that holds it, from 1 on; 0 is nobody.
    holder: AtomicU64,
    state: UnsafeCell<SlotsState>,
}

// SAFETY: the lock lets one thread at a time in.
unsafe impl Sync for Guarded {}

impl Guarded {
    /// `None`: a process that forked was inside; of its handles this one makes and drops none.
    fn with<R>(&self, f: impl FnOnce(&mut SlotsState) -> R) -> Option<R> {
        let me = ffi::fork_generation() + 1;
        while let Err(holder) =
            self.holder.compare_exchange_weak(0, me, Ordering::Acquire, Ordering::Relaxed)
        {
            if holder != 0 && holder != me {
                return None;
            }
            std::thread::yield_now();
        }
        // SAFETY: held by this thread.
        let result = f(unsafe { &mut *self.state.get() });
        self.holder.store(0, Ordering::Release);
        Some(result)
    }
}
