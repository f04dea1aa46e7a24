//! `zmq_stopwatch_*`, `zmq_sleep` and `zmq_threadstart`: what libzmq's own programs are written with.

use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::time::Instant;
use std::{mem, ptr};

use libc::{c_int, c_ulong, c_void, pthread_t};

use crate::boundary;
use crate::errno::{self, Errno};
use crate::handle::{self, KIND_MIN, Object};

struct Stopwatch(Instant);

impl Object for Stopwatch {
    const KIND: u32 = KIND_MIN + 6;
    const INVALID: Errno = errno::EFAULT;
}

impl Stopwatch {
    fn elapsed_us(&self) -> c_ulong {
        c_ulong::try_from(self.0.elapsed().as_micros()).unwrap_or(c_ulong::MAX)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_stopwatch_start() -> *mut c_void {
    boundary::pointer(|| handle::open(Stopwatch(Instant::now())))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_stopwatch_intermediate(watch: *mut c_void) -> c_ulong {
    boundary::or(0, || Ok(handle::get::<Stopwatch>(watch)?.elapsed_us()))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_stopwatch_stop(watch: *mut c_void) -> c_ulong {
    boundary::or(0, || Ok(handle::close::<Stopwatch>(watch)?.elapsed_us()))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_sleep(seconds: c_int) {
    // SAFETY: no memory is involved.
    unsafe { libc::sleep(u32::try_from(seconds).unwrap_or(0)) };
}

/// A thread that runs a caller's function, until it is joined.
struct Thread(OnceLock<ThreadId>);

/// How the system names a thread: by a number, or, with some C libraries, by an address.
#[derive(Clone, Copy)]
struct ThreadId(pthread_t);

// SAFETY: it is a name that any thread may hold; nobody here looks at what may be behind it.
unsafe impl Send for ThreadId {}
// SAFETY: as above.
unsafe impl Sync for ThreadId {}

impl Object for Thread {
    const KIND: u32 = KIND_MIN + 7;
    const INVALID: Errno = errno::EFAULT;
}

type Function = unsafe extern "C" fn(*mut c_void);
type UnwindingFunction = unsafe extern "C-unwind" fn(*mut c_void);
type Routine = extern "C" fn(*mut c_void) -> *mut c_void;
type UnwindingRoutine = extern "C-unwind" fn(*mut c_void) -> *mut c_void;

/// What a new thread is told; it frees it.
struct Task {
    function: Function,
    arg: *mut c_void,
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_threadstart(
    function: Option<Function>,
    arg: *mut c_void,
) -> *mut c_void {
    boundary::pointer(|| {
        let function = function.ok_or(errno::EFAULT)?;
        let handle = handle::open(Thread(OnceLock::new()))?;
        let started = start(Task { function, arg })
            .and_then(|thread| Ok(handle::get::<Thread>(handle)?.0.set(thread)));
        match started {
            Ok(_) => Ok(handle),
            Err(error) => {
                handle::close::<Thread>(handle)?;
                Err(error)
            }
        }
    })
}

fn start(task: Task) -> Result<ThreadId, Errno> {
    let task = Box::into_raw(Box::new(task));
    let mut thread = MaybeUninit::uninit();
    // SAFETY: the task is the thread's, once there is one. pthread_create(3) takes routines that
    // unwind: that is how a thread ends by pthread_exit(3).
    let code = with_signals_blocked(|| unsafe {
        let routine = mem::transmute::<UnwindingRoutine, Routine>(run);
        libc::pthread_create(thread.as_mut_ptr(), ptr::null(), routine, task.cast())
    });
    if code == 0 {
        // SAFETY: the call has succeeded.
        Ok(ThreadId(unsafe { thread.assume_init() }))
    } else {
        // SAFETY: boxed above, and nobody has it.
        drop(unsafe { Box::from_raw(task) });
        Err(Errno(code))
    }
}

/// Not Rust's threads: nothing of ours is to be dropped while the caller's function runs, which may
/// end the thread by pthread_exit(3).
extern "C-unwind" fn run(task: *mut c_void) -> *mut c_void {
    // SAFETY: boxed by `zmq_threadstart`, for this thread.
    let Task { function, arg } = *unsafe { Box::from_raw(task.cast::<Task>()) };
    // SAFETY: as above, and a function that unwinds may be called as one; the caller's word.
    unsafe {
        libc::pthread_setname_np(libc::pthread_self(), c"ZMQapp".as_ptr());
        mem::transmute::<Function, UnwindingFunction>(function)(arg);
    }
    ptr::null_mut()
}

/// A thread inherits what signals are blocked: no handler of the caller runs on it.
fn with_signals_blocked<R>(run: impl FnOnce() -> R) -> R {
    let mut before = MaybeUninit::uninit();
    let mut all = MaybeUninit::uninit();
    // SAFETY: both are written before they are read; there is no other way to fail.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = run();
    // SAFETY: written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    result
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_threadclose(thread: *mut c_void) {
    boundary::or((), || {
        let thread = handle::close::<Thread>(thread)?;
        let ThreadId(thread) = *thread.0.get().ok_or(Thread::INVALID)?;
        // SAFETY: started and not joined: who closes it first is alone.
        match unsafe { libc::pthread_join(thread, ptr::null_mut()) } {
            0 => Ok(()),
            error => {
                // The thread itself, which nobody can join any more.
                // SAFETY: as above.
                unsafe { libc::pthread_detach(thread) };
                Err(Errno(error))
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn a_stopwatch_shows_the_time_until_it_is_stopped() {
        let watch = zmq_stopwatch_start();
        let start = Instant::now();
        while start.elapsed().as_micros() < 200 {}
        let first = zmq_stopwatch_intermediate(watch);
        let last = zmq_stopwatch_stop(watch);
        assert!(first >= 200 && last >= first, "{first} {last}");
        assert_eq!((zmq_stopwatch_stop(watch), errno::get()), (0, libc::EFAULT));
    }

    /// Sets bit 0 when it runs, and bit 1 if a signal could disturb it.
    unsafe extern "C" fn note(arg: *mut c_void) {
        // SAFETY: the tests give this, and it outlives the thread.
        let noted = unsafe { &*arg.cast::<AtomicU32>() };
        let mut blocked = MaybeUninit::uninit();
        // SAFETY: written by the first, read by the second.
        let is_blocked = unsafe {
            libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), blocked.as_mut_ptr());
            libc::sigismember(blocked.as_ptr(), libc::SIGUSR1)
        };
        noted.store(if is_blocked == 1 { 1 } else { 3 }, Ordering::Relaxed);
    }

    unsafe extern "C-unwind" fn note_and_exit(arg: *mut c_void) {
        // SAFETY: as there; nothing is left to drop.
        unsafe {
            note(arg);
            pthread_exit(ptr::null_mut());
        }
    }

    unsafe extern "C-unwind" {
        fn pthread_exit(value: *mut c_void) -> !;
    }

    #[test]
    fn a_thread_runs_and_is_joined() {
        let noted = AtomicU32::new(0);
        let arg = (&raw const noted).cast_mut().cast();
        // SAFETY: `noted` outlives the thread, which is joined.
        let thread = unsafe { zmq_threadstart(Some(note), arg) };
        zmq_threadclose(thread);
        assert_eq!(noted.load(Ordering::Relaxed), 1);
        errno::set(Errno(0));
        zmq_threadclose(thread);
        assert_eq!(errno::get(), libc::EFAULT);
        // SAFETY: NULL is allowed.
        let none = unsafe { zmq_threadstart(None, ptr::null_mut()) };
        assert!(none.is_null());
    }

    #[test]
    fn a_thread_may_end_by_pthread_exit() {
        let noted = AtomicU32::new(0);
        // SAFETY: as above; in C both are the same type.
        let thread = unsafe {
            let function = mem::transmute::<UnwindingFunction, Function>(note_and_exit);
            zmq_threadstart(Some(function), (&raw const noted).cast_mut().cast())
        };
        zmq_threadclose(thread);
        assert_eq!(noted.load(Ordering::Relaxed), 1);
    }
}
