//! Fences of which one side is free.
//!
//! Where two threads each write one place and then look at the other's, one of them must see the
//! other; usually both pay a full fence for that. Where one side does so for every message and the
//! other hardly ever, the first keeps its program's order only ([`light`]) and the second makes the
//! system pass a full fence on every processor that runs a thread of this process ([`heavy`]:
//! membarrier(2), some microseconds). Together they are worth two full fences.
//!
//! Where the system cannot, [`me`] is nobody, and nobody takes the paths that need `light`.

#[cfg(not(loom))]
use std::cell::Cell;
#[cfg(not(loom))]
use std::ptr;
#[cfg(not(loom))]
use std::sync::atomic::compiler_fence;

use crate::sync::AtomicUsize;
#[cfg(not(loom))]
use crate::sync::{AtomicPtr, Ordering};
#[cfg(not(loom))]
use crate::{sync::Mutex, sys};

/// Names a thread among those that live; 0 names nobody.
pub(crate) type ThreadToken = u32;

/// What other threads can know of a thread. It outlives the thread, and is then another's.
#[repr(align(64))]
pub(crate) struct ThisThread {
    pub(crate) token: ThreadToken,
    /// The address of the [`Biased`](crate::biased::Biased) lock that it has entered as its
    /// favourite, or tries to; 0 is none.
    pub(crate) inside: AtomicUsize,
    /// What it says that it uses (see [`claim`](crate::claim)); 0 is nothing.
    pub(crate) claims: AtomicUsize,
    /// Counts what it does with sockets, for those who want to know whether it still does something.
    pub(crate) works: AtomicUsize,
    /// The one named before it; set before others can find this one.
    #[cfg(not(loom))]
    before: Option<&'static ThisThread>,
}

impl ThisThread {
    fn new(token: ThreadToken) -> ThisThread {
        ThisThread {
            token,
            inside: AtomicUsize::new(0),
            claims: AtomicUsize::new(0),
            works: AtomicUsize::new(0),
            #[cfg(not(loom))]
            before: None,
        }
    }

    #[cfg(test)]
    pub(crate) fn leaked(token: ThreadToken) -> &'static ThisThread {
        // Where AddressSanitizer finds them.
        static LEAKED: std::sync::Mutex<Vec<&ThisThread>> = std::sync::Mutex::new(Vec::new());
        let thread = Box::leak(Box::new(ThisThread::new(token)));
        LEAKED.lock().unwrap().push(thread);
        thread
    }
}

/// The calling thread; `None` where the system lacks [`heavy`], or when the thread is ending.
#[cfg(not(loom))]
#[inline]
pub(crate) fn me() -> Option<&'static ThisThread> {
    match ME.get() {
        Me::Known(thread) => Some(thread),
        Me::Nobody => None,
        Me::Unknown => name_thread(),
    }
}

/// The calling thread's token; 0 if it is nobody.
#[inline]
pub(crate) fn my_token() -> ThreadToken {
    me().map_or(0, |thread| thread.token)
}

/// Whether there are such fences here.
#[cfg(not(loom))]
pub(crate) fn available() -> bool {
    me().is_some()
}

#[cfg(not(loom))]
#[derive(Clone, Copy)]
enum Me {
    Unknown,
    Known(&'static ThisThread),
    Nobody,
}

/// Gives the thread's name back when the thread ends.
#[cfg(not(loom))]
struct Leave;

#[cfg(not(loom))]
impl Drop for Leave {
    fn drop(&mut self) {
        if let Me::Known(thread) = ME.replace(Me::Nobody)
            && let Some(mut free) = FREE.try_lock()
        {
            free.push(thread);
        }
    }
}

#[cfg(not(loom))]
thread_local! {
    static ME: Cell<Me> = const { Cell::new(Me::Unknown) };
    static LEAVE: Leave = const { Leave };
}

/// The names of threads that have ended. Never waited for: in a child of a fork its lock may have
/// been left held. A name is lost then, which is 64 bytes.
#[cfg(not(loom))]
static FREE: Mutex<Vec<&'static ThisThread>> = Mutex::new(Vec::new());

#[cfg(not(loom))]
#[cold]
fn name_thread() -> Option<&'static ThisThread> {
    static NAMED: AtomicUsize = AtomicUsize::new(0);
    sys::in_forked_children(forget_me);
    let known = sys::has_membarrier() && LEAVE.try_with(|_| ()).is_ok();
    let thread = known.then(|| {
        FREE.try_lock().and_then(|mut free| free.pop()).unwrap_or_else(|| {
            // Relaxed: only the number counts. There are never 2^32 threads at once.
            let token = NAMED.fetch_add(1, Ordering::Relaxed) + 1;
            list(Box::leak(Box::new(ThisThread::new(token as ThreadToken))))
        })
    });
    ME.set(thread.map_or(Me::Nobody, Me::Known));
    thread
}

/// The thread named last; those before it follow.
#[cfg(not(loom))]
static LAST: AtomicPtr<ThisThread> = AtomicPtr::new(ptr::null_mut());

/// Puts a thread where [`threads`] finds it.
#[cfg(not(loom))]
fn list(thread: &'static mut ThisThread) -> &'static ThisThread {
    let mut last = LAST.load(Ordering::Acquire);
    let place = ptr::from_mut(thread);
    loop {
        // SAFETY: what is known of a thread is never freed, and nobody else has this one yet.
        unsafe { (*place).before = last.as_ref() };
        // AcqRel: who finds the thread finds it whole, and those before it.
        match LAST.compare_exchange_weak(last, place, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: as above; from here on it is only read.
            Ok(_) => return unsafe { &*place },
            Err(other) => last = other,
        }
    }
}

/// Every thread that was ever named.
#[cfg(not(loom))]
pub(crate) fn threads() -> impl Iterator<Item = &'static ThisThread> {
    // SAFETY: what is known of a thread is never freed.
    let last = unsafe { LAST.load(Ordering::Acquire).as_ref() };
    std::iter::successors(last, |thread| thread.before)
}

/// In a forked child: its thread is a favourite of none of the parent's locks, and waits for none.
#[cfg(not(loom))]
extern "C" fn forget_me() {
    if let Me::Known(_) = ME.get() {
        ME.set(Me::Unknown);
    }
}

/// The frequent side's fence, between its write and its look.
#[cfg(not(loom))]
#[inline]
pub(crate) fn light() {
    compiler_fence(Ordering::SeqCst);
}

/// The rare side's fence. Whatever another thread wrote before a `light` that comes before this is
/// visible afterwards; whatever was written before this is visible to every later `light`.
#[cfg(not(loom))]
#[cold]
pub(crate) fn heavy() {
    sys::membarrier();
}

#[cfg(loom)]
pub(crate) use model::{available, heavy, light, me};

/// For loom a pair of these fences is a pair of full ones; and in tests that do not say that they
/// have them, a light one is nothing, as it is beside a full one.
#[cfg(loom)]
mod model {
    use std::cell::Cell;

    use super::ThisThread;
    use crate::sync::{Ordering, fence};

    thread_local! {
        // loom runs its threads on one of the system's.
        static AVAILABLE: Cell<bool> = const { Cell::new(false) };
    }

    #[cfg(test)]
    pub(crate) fn with<T>(test: impl FnOnce() -> T) -> T {
        AVAILABLE.set(true);
        let result = test();
        AVAILABLE.set(false);
        result
    }

    pub(crate) fn available() -> bool {
        AVAILABLE.get()
    }

    /// Tests name their threads themselves.
    pub(crate) fn me() -> Option<&'static ThisThread> {
        None
    }

    pub(crate) fn light() {
        if AVAILABLE.get() {
            fence(Ordering::SeqCst);
        }
    }

    pub(crate) fn heavy() {
        fence(Ordering::SeqCst);
    }
}

#[cfg(all(test, loom))]
pub(crate) use model::with;
