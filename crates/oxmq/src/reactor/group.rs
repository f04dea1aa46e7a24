//! The connections of one socket that one I/O thread serves: an epoll of their own, nested in the
//! thread's, so that a waiting caller takes all of them over with one system call.
//!
//! ```text
//!          take (a waiting caller leads)              end_wait
//!   Io ───────────────────────────────▶ Waiting ─────────────────▶ Leased
//!    ▲                                     ▲                          │
//!    │  lease not used for two ticks,      └──────────────────────────┤ take: no system call
//!    └──────────── or close ◀─────────────────────────────────────────┘
//! ```
//!
//! In `Io` the thread's epoll watches the group. In the other states it does not, and only the
//! caller reads. A lease outlives the wait, so that a caller who receives again and again pays
//! nothing; a tick of the I/O thread, running only while leases exist, ends those not in use.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use slab::Slab;

use super::Io;
use crate::asymmetric::{self, ThreadToken};
use crate::session::Session;
use crate::sys::{Epoll, Events, Fd, Interest, RawFd};

/// See the [module](self).
pub(crate) struct Group {
    io: Arc<Io>,
    epoll: Epoll,
    /// Its place among the thread's groups.
    key: usize,
    sessions: Mutex<Slab<Option<Arc<Session>>>>,
    owner: Mutex<Owner>,
    /// The lease was used since the last tick.
    used: AtomicBool,
    /// The thread that has taken it. A hint.
    taken_by: AtomicU32,
    closed: AtomicBool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Io,
    Waiting,
    Leased,
    /// As `Leased`, and not used since the last tick.
    Unused,
}

impl Group {
    pub(super) fn with_key(io: &Arc<Io>, key: usize) -> io::Result<Arc<Group>> {
        Ok(Arc::new(Group {
            io: io.clone(),
            epoll: Epoll::new()?,
            key,
            sessions: Mutex::new(Slab::new()),
            owner: Mutex::new(Owner::Io),
            used: AtomicBool::new(false),
            taken_by: AtomicU32::new(0),
            closed: AtomicBool::new(false),
        }))
    }

    /// A group of `io`, watched by its thread.
    pub(crate) fn new(io: &Arc<Io>) -> io::Result<Arc<Group>> {
        io.add_group()
    }

    pub(crate) fn io(&self) -> &Arc<Io> {
        &self.io
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.epoll.raw()
    }

    // Sessions.

    pub(crate) fn insert(
        self: Arc<Self>,
        make: impl FnOnce(usize) -> Arc<Session>,
    ) -> Arc<Session> {
        // Made outside the lock: making it clones `self`.
        let key = self.sessions.lock().insert(None);
        let session = make(key);
        if let Some(place) = self.sessions.lock().get_mut(key) {
            *place = Some(session.clone());
        }
        // Acquire, and the lock in between: either `close` finds the session or this sees `closed`.
        if self.closed.load(Ordering::Acquire) {
            session.close_orphan(0);
        }
        self.io.load.fetch_add(1, Ordering::Relaxed);
        session
    }

    pub(crate) fn remove(self: &Arc<Self>, key: usize) {
        let removed = self.sessions.lock().try_remove(key);
        if removed.is_some() {
            self.io.load.fetch_sub(1, Ordering::Relaxed);
        }
        self.retire();
    }

    pub(crate) fn session(&self, key: u64) -> Option<Arc<Session>> {
        self.sessions.lock().get(key as usize).cloned().flatten()
    }

    /// Up to `max` sessions; `None` if there are more.
    pub(crate) fn few_sessions(&self, max: usize, into: &mut Vec<Arc<Session>>) -> bool {
        let sessions = self.sessions.lock();
        if sessions.len() > max {
            return false;
        }
        into.extend(sessions.iter().filter_map(|(_, session)| session.clone()));
        true
    }

    pub(crate) fn watch_new(&self, fd: &Fd, key: usize, interest: Interest) -> io::Result<()> {
        self.epoll.add(fd.raw(), key as u64, interest)
    }

    pub(crate) fn watch(&self, fd: &Fd, key: usize, interest: Interest) {
        // Fails only for a descriptor that is no longer there.
        let _ = self.epoll.modify(fd.raw(), key as u64, interest);
    }

    pub(crate) fn forget(&self, fd: &Fd) {
        let _ = self.epoll.remove(fd.raw());
    }

    /// Drives the connections that are ready now. False: others drive all of them.
    pub(crate) fn drive_ready_now(&self) -> bool {
        let mut events = Events::new();
        let waited = self.epoll.wait(&mut events, Some(Duration::ZERO));
        waited.is_err() || super::drive_ready(self, &events)
    }

    // The hand-over.

    /// A waiting caller takes the connections over. False: the group is being closed.
    pub(crate) fn take(self: &Arc<Group>) -> bool {
        let mut owner = self.owner.lock();
        if self.closed.load(Ordering::Acquire) {
            return false;
        }
        if *owner == Owner::Io {
            self.io.watch_group(self.key, self, false);
            self.io.leases.lock().insert(self.key, self.clone());
        }
        self.taken_by.store(asymmetric::my_token(), Ordering::Relaxed);
        *owner = Owner::Waiting;
        true
    }

    /// The wait is over. `keep`: the caller is likely to be back soon.
    pub(crate) fn end_wait(self: &Arc<Self>, keep: bool) {
        let mut owner = self.owner.lock();
        if *owner != Owner::Waiting {
            return;
        }
        if keep && !self.closed.load(Ordering::Acquire) {
            *owner = Owner::Leased;
            self.use_lease();
            self.io.start_ticking();
        } else {
            self.give_back(&mut owner);
        }
    }

    /// Its thread is at work with it.
    #[inline]
    pub(crate) fn use_lease(&self) {
        self.used.store(true, Ordering::Relaxed);
    }

    /// The thread that has taken it, if the lease was used since the last tick.
    pub(super) fn used_by(&self) -> Option<ThreadToken> {
        let used = self.used.swap(false, Ordering::Relaxed);
        used.then(|| self.taken_by())
    }

    pub(super) fn taken_by(&self) -> ThreadToken {
        self.taken_by.load(Ordering::Relaxed)
    }

    /// The tick of the I/O thread. `used`: it was since the last tick, or another that the same thread
    /// has taken. `None`: the lease is over.
    pub(super) fn tick(self: &Arc<Self>, used: bool) -> Option<Lease> {
        let mut owner = self.owner.lock();
        *owner = match *owner {
            Owner::Io => return None,
            Owner::Waiting => return Some(Lease { in_wait: true }),
            Owner::Leased | Owner::Unused if used => Owner::Leased,
            Owner::Leased => Owner::Unused,
            Owner::Unused => {
                *owner = Owner::Io;
                self.io.watch_group(self.key, self, true);
                return None;
            }
        };
        Some(Lease { in_wait: false })
    }

    fn give_back(self: &Arc<Self>, owner: &mut Owner) {
        *owner = Owner::Io;
        self.io.leases.lock().remove(self.key);
        self.io.watch_group(self.key, self, true);
    }

    // The end.

    /// The socket is closed: the I/O thread sees its connections to their end.
    pub(crate) fn close(self: &Arc<Self>, linger_ms: i32) {
        let mut owner = self.owner.lock();
        self.closed.store(true, Ordering::Release);
        if *owner != Owner::Io {
            self.give_back(&mut owner);
        }
        drop(owner);
        let sessions: Vec<_> =
            self.sessions.lock().iter().filter_map(|(_, session)| session.clone()).collect();
        for session in sessions {
            session.close_orphan(linger_ms);
        }
        self.retire();
    }

    /// A closed group without connections leaves its I/O thread.
    fn retire(self: &Arc<Self>) {
        if self.closed.load(Ordering::Acquire) && self.sessions.lock().is_empty() {
            self.io.remove_group(self.key, self);
        }
    }
}

/// A lease that goes on.
pub(super) struct Lease {
    /// The caller waits: the end of the wait starts the ticking again.
    pub(super) in_wait: bool,
}
