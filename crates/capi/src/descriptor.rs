//! `ZMQ_FD`: a descriptor for event loops that are not ours.
//!
//! It is readable whenever what can be done with the socket may have changed since EVENTS was read, or
//! since a send or recv said that nothing can be. Each change is an edge, for loops that wait for
//! those; it may be readable for nothing, but no change goes unsaid.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use libc::c_int;
use oxmq::{Events, ffi};

use crate::errno::{self, Errno};

/// The descriptor of one socket.
pub(crate) struct Descriptor {
    signal: Arc<Signal>,
    waker: Waker,
    /// The process that it is of: a forked child shares what can be read, and must leave it.
    generation: u64,
    armed: Mutex<Armed>,
}

#[derive(Default)]
struct Armed {
    /// The socket's name for the waker; 0 before it has one.
    id: u64,
    /// Of the writes that `Signal::begun` counts, those read back.
    taken: u64,
}

struct Signal {
    /// An eventfd. It counts the writes that have not been read back.
    fd: c_int,
    /// Writes, counted before each is made: while it is what was read back, there is nothing to read.
    begun: AtomicU64,
}

impl Descriptor {
    /// Readable: nobody has been told what has happened so far, be it that a peer has come.
    pub(crate) fn new(socket: &oxmq::Socket) -> Result<Descriptor, Errno> {
        // SAFETY: has no conditions.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd < 0 {
            return Err(Errno(errno::get()));
        }
        let signal = Arc::new(Signal { fd, begun: AtomicU64::new(0) });
        let descriptor = Descriptor {
            waker: signal.clone().into(),
            signal,
            generation: ffi::fork_generation(),
            armed: Mutex::default(),
        };
        descriptor.rearm(socket).map_err(|error| Errno(error.errno()))?;
        descriptor.signal.raise();
        Ok(descriptor)
    }

    pub(crate) fn fd(&self) -> c_int {
        self.signal.fd
    }

    /// Makes it unreadable until something changes; what can be done now.
    #[cold]
    pub(crate) fn rearm(&self, socket: &oxmq::Socket) -> Result<Events, oxmq::WaitError> {
        if self.generation != ffi::fork_generation() {
            return socket.events();
        }
        let mut armed = self.armed.lock().unwrap_or_else(PoisonError::into_inner);
        armed.taken += self.signal.lower(armed.taken);
        // Whatever happens from here on raises it; whatever happened before is seen.
        socket.watch(&mut armed.id, &self.waker)
    }
}

impl Signal {
    /// Called once for each change since the descriptor was armed: two callers may be here at a time,
    /// one of them late, and each must write, for its change is one that nobody has seen.
    fn raise(&self) {
        // Relaxed: one who lowers and misses it leaves it readable, for nothing.
        self.begun.fetch_add(1, Ordering::Relaxed);
        let one = 1_u64;
        // SAFETY: writes eight bytes from the value. It cannot fail but for a full counter, which
        // is readable too.
        unsafe { libc::write(self.fd, (&raw const one).cast(), size_of_val(&one)) };
    }

    /// Reads back what was written; how many writes that was.
    fn lower(&self, taken: u64) -> u64 {
        if self.begun.load(Ordering::Relaxed) == taken {
            return 0;
        }
        let mut count = 0_u64;
        // SAFETY: reads eight bytes into the value; it does not block. If a write has begun and is
        // not made, there is nothing to read, and the value stays.
        unsafe { libc::read(self.fd, (&raw mut count).cast(), size_of_val(&count)) };
        count
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raise();
    }
}

impl Drop for Signal {
    fn drop(&mut self) {
        // SAFETY: its own, and used no more.
        unsafe { libc::close(self.fd) };
    }
}
