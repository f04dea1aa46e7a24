//! The atomics, cells and threads of the lock-free modules: std's, or loom's under `cfg(loom)`,
//! so that loom explores the very modules that ship.

#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
};

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence},
    },
};

#[cfg(all(test, loom))]
pub(crate) use loom::{model, thread};

#[cfg(not(loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};

#[cfg(loom)]
pub(crate) use loom::sync::MutexGuard;

/// loom's lock behind the interface of parking_lot's.
#[cfg(loom)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(loom)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().expect("a test that panics has failed already")
    }
}

/// A moment's wait for another thread, the `tries`th.
#[cfg(not(loom))]
pub(crate) use crate::sys::pause;

#[cfg(loom)]
pub(crate) fn pause(_tries: u32) {
    loom::thread::yield_now();
}

/// std's cell behind the interface of loom's, which watches every access.
#[cfg(not(loom))]
#[repr(transparent)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    #[inline]
    pub(crate) const fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    /// Runs `f` on the address of the value, for reading.
    #[inline]
    pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    /// Runs `f` on the address of the value, for writing.
    #[inline]
    pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// On a cache line of its own: what one side writes does not slow down the other side's line.
#[repr(align(64))]
pub(crate) struct Line<T>(pub(crate) T);

impl<T> std::ops::Deref for Line<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

/// `mutate!("name", broken, sound)` is `sound`, unless the build was asked to plant the defect
/// `name` with `--cfg oxmq_mutation="name"`: then it is `broken`, and a loom test must fail.
/// `loom-mutations.txt` lists the names.
macro_rules! mutate {
    ($name:literal, $broken:expr, $sound:expr) => {
        if cfg!(oxmq_mutation = $name) { $broken } else { $sound }
    };
}
pub(crate) use mutate;
