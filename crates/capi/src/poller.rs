//! Pollers.

use libc::{c_int, c_long, c_short, c_void};
use oxmq::{PollerError, PollerEvent};
use std::collections::HashMap;
use std::sync::Mutex;

use crate::boundary::{int, place, pointer};
use crate::errno::{EAGAIN, EFAULT, EINVAL, Errno};
use crate::handle::{self, Held, KIND_MIN, Object};
use crate::poll::{from_bits, timeout, to_bits};
use crate::socket::Socket;

/// What is behind a poller's handle.
pub(crate) struct Poller {
    poller: oxmq::Poller,
    entries: Mutex<Entries>,
}

impl Object for Poller {
    const KIND: u32 = KIND_MIN + 3;
    const INVALID: Errno = EFAULT;
}

#[derive(Default)]
struct Entries {
    by_token: HashMap<usize, Entry>,
    next: usize,
}

/// What a caller registered.
#[derive(Clone, Copy)]
struct Entry {
    socket: usize,
    fd: c_int,
    user_data: usize,
    /// Anything at all is waited for.
    active: bool,
}

const NO_FD: c_int = -1;

/// `zmq_poller_event_t`.
#[repr(C)]
pub struct Event {
    socket: *mut c_void,
    fd: c_int,
    user_data: *mut c_void,
    events: c_short,
}

impl Event {
    const NONE: Event = Event {
        socket: std::ptr::null_mut(),
        fd: NO_FD,
        user_data: std::ptr::null_mut(),
        events: 0,
    };
}

/// What `events` may hold.
const POLL_ALL: c_short = 15;

fn checked(events: c_short) -> Result<oxmq::Events, Errno> {
    if events & !POLL_ALL != 0 { Err(EINVAL) } else { Ok(from_bits(events)) }
}

/// A descriptor that may be one.
fn descriptor(fd: c_int) -> Result<c_int, Errno> {
    if fd < 0 { Err(Errno(libc::EBADF)) } else { Ok(fd) }
}

fn failed(error: PollerError) -> Errno {
    Errno(error.errno())
}

impl Poller {
    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Registers an entry by what `add` does with its token.
    fn add(
        &self,
        entry: Entry,
        add: impl FnOnce(usize) -> Result<(), PollerError>,
    ) -> Result<(), Errno> {
        let mut entries = self.entries();
        let token = entries.next;
        add(token).map_err(failed)?;
        entries.next += 1;
        entries.by_token.insert(token, entry);
        Ok(())
    }

    /// Other events are waited for of what `is` names.
    fn set_active(&self, is: impl Fn(&Entry) -> bool, wanted: oxmq::Events) {
        for entry in self.entries().by_token.values_mut().filter(|entry| is(entry)) {
            entry.active = !wanted.is_empty();
        }
    }

    fn forget(&self, is: impl Fn(&Entry) -> bool) {
        self.entries().by_token.retain(|_, entry| !is(entry));
    }

    fn wait(&self, events: &mut [Event], timeout_ms: c_long) -> Result<usize, Errno> {
        if timeout_ms < 0 && !self.entries().by_token.values().any(|entry| entry.active) {
            // It would never end.
            return Err(EFAULT);
        }
        let mut found = Vec::new();
        let waited = self.poller.wait(&mut found, timeout(timeout_ms));
        if let Err(PollerError::Closed { token }) = waited {
            self.entries().by_token.remove(&token);
        }
        waited.map_err(failed)?;
        if found.is_empty() || events.is_empty() {
            return Err(EAGAIN);
        }
        let entries = self.entries();
        let known = found.iter().filter_map(|PollerEvent { token, ready }| {
            Some((entries.by_token.get(token)?, *ready))
        });
        let mut count = 0;
        for (event, (entry, ready)) in events.iter_mut().zip(known) {
            *event = Event {
                socket: std::ptr::with_exposed_provenance_mut(entry.socket),
                fd: entry.fd,
                user_data: std::ptr::with_exposed_provenance_mut(entry.user_data),
                events: to_bits(ready),
            };
            count += 1;
        }
        Ok(count)
    }
}

fn poller(handle: *mut c_void) -> Result<Held<Poller>, Errno> {
    handle::get(handle)
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_poller_new() -> *mut c_void {
    pointer(|| handle::open(Poller { poller: oxmq::Poller::new(), entries: Mutex::default() }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_poller_destroy(poller: *mut *mut c_void) -> c_int {
    int(|| {
        // SAFETY: the caller's word (zmq.h).
        let poller = unsafe { place(poller) }?;
        drop(handle::close::<Poller>(*poller)?);
        *poller = std::ptr::null_mut();
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_poller_size(handle: *mut c_void) -> c_int {
    int(|| Ok(poller(handle)?.poller.len() as c_int))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_poller_add(
    handle: *mut c_void,
    socket: *mut c_void,
    user_data: *mut c_void,
    events: c_short,
) -> c_int {
    int(|| {
        let (poller, held) = (poller(handle)?, handle::get::<Socket>(socket)?);
        let wanted = checked(events)?;
        let (socket, user_data) = (socket.expose_provenance(), user_data.expose_provenance());
        let active = !wanted.is_empty();
        let entry = Entry { socket, fd: NO_FD, user_data, active };
        poller.add(entry, |token| poller.poller.add(&held.socket, wanted, token))?;
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_poller_modify(
    handle: *mut c_void,
    socket: *mut c_void,
    events: c_short,
) -> c_int {
    int(|| {
        let (poller, held) = (poller(handle)?, handle::get::<Socket>(socket)?);
        let wanted = checked(events)?;
        poller.poller.modify(&held.socket, wanted).map_err(failed)?;
        poller.set_active(|entry| entry.socket == socket.addr(), wanted);
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_poller_remove(handle: *mut c_void, socket: *mut c_void) -> c_int {
    int(|| {
        let (poller, held) = (poller(handle)?, handle::get::<Socket>(socket)?);
        poller.poller.remove(&held.socket).map_err(failed)?;
        poller.forget(|entry| entry.socket == socket.addr());
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_poller_add_fd(
    handle: *mut c_void,
    fd: c_int,
    user_data: *mut c_void,
    events: c_short,
) -> c_int {
    int(|| {
        let poller = poller(handle)?;
        let (fd, wanted) = (descriptor(fd)?, checked(events)?);
        let (user_data, active) = (user_data.expose_provenance(), events != 0);
        let entry = Entry { socket: 0, fd, user_data, active };
        poller.add(entry, |token| poller.poller.add_fd(fd, wanted, token))?;
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_poller_modify_fd(handle: *mut c_void, fd: c_int, events: c_short) -> c_int {
    int(|| {
        let poller = poller(handle)?;
        let (fd, wanted) = (descriptor(fd)?, checked(events)?);
        poller.poller.modify_fd(fd, wanted).map_err(failed)?;
        poller.set_active(|entry| entry.socket == 0 && entry.fd == fd, wanted);
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_poller_remove_fd(handle: *mut c_void, fd: c_int) -> c_int {
    int(|| {
        let poller = poller(handle)?;
        poller.poller.remove_fd(descriptor(fd)?).map_err(failed)?;
        poller.forget(|entry| entry.socket == 0 && entry.fd == fd);
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_poller_wait(
    handle: *mut c_void,
    event: *mut Event,
    timeout_ms: c_long,
) -> c_int {
    int(|| {
        let poller = poller(handle)?;
        // SAFETY: the caller's word (zmq.h).
        let event = unsafe { place(event) }?;
        *event = Event::NONE;
        poller.wait(std::slice::from_mut(event), timeout_ms)?;
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_poller_wait_all(
    handle: *mut c_void,
    events: *mut Event,
    count: c_int,
    timeout_ms: c_long,
) -> c_int {
    int(|| {
        let poller = poller(handle)?;
        let count = usize::try_from(count).map_err(|_| EINVAL)?;
        if events.is_null() {
            return Err(EFAULT);
        }
        // SAFETY: the caller's word (zmq.h).
        let events = unsafe { std::slice::from_raw_parts_mut(events, count) };
        Ok(poller.wait(events, timeout_ms)? as c_int)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_poller_fd(handle: *mut c_void, fd: *mut c_int) -> c_int {
    int(|| {
        let poller = poller(handle)?;
        // SAFETY: the caller's word (zmq.h).
        *unsafe { place(fd) }? = poller.poller.fd().map_err(failed)?;
        Ok(0)
    })
}
