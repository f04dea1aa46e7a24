//! Waiting for sockets and descriptors at once.

use std::time::Duration;

use libc::{c_int, c_long, c_short, c_void, sigset_t};
use oxmq::{Events, PollItem, ffi};

use crate::boundary::int;
use crate::errno::{EFAULT, EINVAL, Errno};
use crate::handle::{self, Held};
use crate::socket::Socket;

/// `zmq_pollitem_t`.
#[repr(C)]
pub struct Item {
    socket: *mut c_void,
    fd: c_int,
    events: c_short,
    revents: c_short,
}

const POLLIN: c_short = 1;
pub(crate) const POLLOUT: c_short = 2;
const POLLERR: c_short = 4;
const POLLPRI: c_short = 8;

/// What the bits of C stand for.
pub(crate) fn from_bits(bits: c_short) -> Events {
    let mut events = Events::NONE;
    for (bit, event) in [(POLLIN, Events::IN), (POLLOUT, Events::OUT), (POLLPRI, Events::PRIORITY)]
    {
        if bits & bit != 0 {
            events |= event;
        }
    }
    events
}

pub(crate) fn to_bits(events: Events) -> c_short {
    let all = [
        (POLLIN, Events::IN),
        (POLLOUT, Events::OUT),
        (POLLERR, Events::ERROR),
        (POLLPRI, Events::PRIORITY),
    ];
    let bits = all.iter().filter(|(_, event)| events.intersects(*event)).map(|(bit, _)| bit).sum();
    if cfg!(oxmq_mutation = "capi_pollout_missing") { bits & !POLLOUT } else { bits }
}

/// A time-out in milliseconds; less than 0 is none.
pub(crate) fn timeout(ms: c_long) -> Option<Duration> {
    u64::try_from(ms).ok().map(Duration::from_millis)
}

fn poll(
    items: *mut Item,
    count: c_int,
    timeout_ms: c_long,
    mask: Option<&sigset_t>,
) -> Result<c_int, Errno> {
    let count = usize::try_from(count).map_err(|_| EINVAL)?;
    if items.is_null() && count > 0 {
        return Err(EFAULT);
    }
    let items = match count {
        0 => &mut [],
        // SAFETY: the caller's word (zmq.h).
        _ => unsafe { std::slice::from_raw_parts_mut(items, count) },
    };
    let mut sockets: Vec<Option<Held<Socket>>> = Vec::with_capacity(count);
    for item in items.iter() {
        let is_socket = !item.socket.is_null();
        sockets.push(is_socket.then(|| handle::get(item.socket)).transpose()?);
    }
    let mut polled: Vec<PollItem<'_>> = Vec::with_capacity(count);
    for (item, socket) in items.iter().zip(&sockets) {
        let wanted = from_bits(item.events);
        polled.push(match socket {
            Some(socket) => PollItem::socket(&socket.socket, wanted),
            None => PollItem::descriptor(item.fd, wanted),
        });
    }
    let ready = ffi::poll(&mut polled, timeout(timeout_ms), mask);
    let ready = ready.map_err(|error| Errno(error.errno()))?;
    for (item, polled) in items.iter_mut().zip(&polled) {
        item.revents = to_bits(polled.ready());
    }
    Ok(if cfg!(oxmq_mutation = "capi_poll_counts_items") { count } else { ready } as c_int)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_poll(items: *mut Item, count: c_int, timeout_ms: c_long) -> c_int {
    int(|| poll(items, count, timeout_ms, None))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_ppoll(
    items: *mut Item,
    count: c_int,
    timeout_ms: c_long,
    mask: *const sigset_t,
) -> c_int {
    // SAFETY: the caller's word (zmq.h).
    int(|| poll(items, count, timeout_ms, unsafe { mask.as_ref() }))
}
