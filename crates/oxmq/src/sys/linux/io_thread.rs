//! I/O threads, and how the system schedules them.

use std::os::unix::thread::JoinHandleExt;
use std::thread::{self, JoinHandle};
use std::{io, mem};

use super::{SignalMask, check};
use crate::sys::Scheduling;

/// A thread that [`spawn_io`] started. Dropping it lets the thread run on.
#[derive(Debug)]
pub(crate) struct IoThread(JoinHandle<()>);

impl IoThread {
    /// Waits for its end. `Err` carries what it panicked with.
    pub(crate) fn join(self) -> thread::Result<()> {
        self.0.join()
    }

    /// Whether the caller is this thread.
    pub(crate) fn is_current(&self) -> bool {
        // `thread::current()` would make a handle for a thread that has none, which the main thread
        // keeps to the end and memory checkers call possibly lost.
        // The standard library has a type of its own for it, which is not every C library's.
        // SAFETY: has no conditions.
        self.0.as_pthread_t() as libc::pthread_t == unsafe { libc::pthread_self() }
    }
}

/// Starts a thread with every signal blocked, scheduled as asked.
pub(crate) fn spawn_io(
    name: String,
    scheduling: Scheduling,
    run: impl FnOnce() + Send + 'static,
) -> io::Result<IoThread> {
    if scheduling == Scheduling::default() {
        return spawn_unsignalled(name, run);
    }
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let thread = spawn_unsignalled(name, move || {
        let scheduled = scheduling.apply();
        let succeeded = scheduled.is_ok();
        // Whoever waits for it stays until it is told.
        let _ = tell.send(scheduled);
        if succeeded {
            run();
        }
    })?;
    told.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())).map(|()| thread)
}

fn spawn_unsignalled(name: String, run: impl FnOnce() + Send + 'static) -> io::Result<IoThread> {
    // A thread inherits the mask of the one that starts it; so there is no moment without.
    let mask = SignalMask::block_all();
    let thread = thread::Builder::new().name(name).spawn(run);
    mask.restore();
    thread.map(IoThread)
}

impl Scheduling {
    /// Applies it to the calling thread.
    fn apply(&self) -> io::Result<()> {
        // SAFETY: all zeros is a value of the type, and the calls write to these places alone.
        unsafe {
            let (mut policy, mut param) = (0, mem::zeroed::<libc::sched_param>());
            let me = libc::pthread_self();
            check_number(libc::pthread_getschedparam(me, &mut policy, &mut param))?;
            if self.policy.is_some() || self.priority.is_some() {
                policy = self.policy.unwrap_or(policy);
                let is_static = matches!(policy, libc::SCHED_FIFO | libc::SCHED_RR);
                param.sched_priority = match self.priority {
                    Some(priority) if is_static => priority,
                    None if is_static => param.sched_priority,
                    _ => 0,
                };
                check_number(libc::pthread_setschedparam(me, policy, &param))?;
                // The other policies know niceness alone; of that a thread has its own.
                if !is_static && self.priority.is_some_and(|priority| priority > 0) {
                    check(libc::setpriority(libc::PRIO_PROCESS, 0, NICEST))?;
                }
            }
            if !self.cpus.is_empty() {
                let mut set = mem::zeroed::<libc::cpu_set_t>();
                for &cpu in self.cpus.iter().filter(|&&cpu| cpu < libc::CPU_SETSIZE as usize) {
                    libc::CPU_SET(cpu, &mut set);
                }
                check(libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set))?;
            }
        }
        Ok(())
    }
}

/// The niceness that gets the most.
const NICEST: libc::c_int = -20;

/// As `check`, for a call that returns its error.
fn check_number(error: libc::c_int) -> io::Result<()> {
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}
