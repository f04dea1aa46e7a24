//! Options, polling and monitors.

use super::{EVENTS, LAST_ENDPOINT, NONE, PAIR, Replay, Socket, put, show};
use crate::api::RawItem;
use crate::call::{Handle, Place, Polled};
use libc::{c_int, c_long};
use std::ptr;

impl Replay<'_> {
    pub(super) fn get(&mut self, socket: Handle, option: c_int, room: usize) -> String {
        let Some(handle) = self.socket(socket) else { return NONE.into() };
        if option == EVENTS {
            self.observe();
        }
        let mut value = vec![0xaa_u8; room.max(1)];
        let mut len = room;
        // SAFETY: as in `call`.
        let code = unsafe {
            (self.api.zmq_getsockopt)(handle, option, value.as_mut_ptr().cast(), &mut len)
        };
        if code < 0 {
            return format!("{}, size {len}", self.code(code));
        }
        let value = &value[..len.min(room)];
        if option == LAST_ENDPOINT {
            let text = String::from_utf8_lossy(value).into_owned();
            let ended = text.trim_end_matches('\0');
            return format!("{code}: {}, and {} more", self.shape(ended), len - ended.len());
        }
        let shown = match option {
            // A descriptor.
            14 => format!("open: {}", value.len() == 4 && is_open(value)),
            _ => show(value),
        };
        format!("{code}, size {len}: {shown}")
    }

    pub(super) fn poll(&mut self, items: &[(Polled, i16)], timeout: i64) -> String {
        let mut pipes = Vec::new();
        let mut raw = Vec::new();
        for (polled, events) in items {
            let (socket, fd) = match polled {
                Polled::Socket(handle) => {
                    let Some(handle) = self.socket(*handle) else { return NONE.into() };
                    (handle, -1)
                }
                Polled::Pipe(full) => {
                    let pipe = Pipe::new(*full);
                    let fd = pipe.0[0];
                    pipes.push(pipe);
                    (ptr::null_mut(), fd)
                }
            };
            raw.push(RawItem { socket, fd, events: *events, revents: 0x55 });
        }
        self.observe();
        // SAFETY: as in `call`.
        let code =
            unsafe { (self.api.zmq_poll)(raw.as_mut_ptr(), raw.len() as c_int, timeout as c_long) };
        if code < 0 {
            return self.code(code);
        }
        let ready: Vec<_> = raw.iter().map(|item| item.revents).collect();
        format!("{code}: {ready:?}")
    }

    // Monitors.

    pub(super) fn monitor(
        &mut self,
        socket: Handle,
        at: usize,
        to: &Place,
        events: c_int,
    ) -> String {
        let Some(handle) = self.socket(socket) else { return NONE.into() };
        let Some(endpoint) = self.endpoint(to) else { return NONE.into() };
        let api = self.api;
        // SAFETY: as in `call`.
        let code = unsafe { (api.zmq_socket_monitor)(handle, endpoint.as_ptr(), events) };
        let result = self.code(code);
        if let (0, Handle::At(number)) = (code, socket)
            && let Some(Socket { context, .. }) = self.sockets[number]
        {
            // SAFETY: as in `call`.
            let pair = unsafe {
                let pair = (api.zmq_socket)(self.contexts[context], PAIR);
                (api.zmq_connect)(pair, endpoint.as_ptr());
                pair
            };
            if let Some(Some(before)) = self.monitors.get(at) {
                self.close_at_once(before.handle);
            }
            put(&mut self.monitors, at, Some(Socket { handle: pair, context, kind: PAIR }));
        }
        self.plugged();
        result
    }

    pub(super) fn monitor_events(&mut self, at: usize) -> String {
        let Some(Some(monitor)) = self.monitors.get(at).copied() else { return NONE.into() };
        self.sent = true;
        self.observe();
        let mut events = Vec::new();
        while let Ok(parts) = self.whole(monitor.handle) {
            let [event, address] = &parts[..] else { return format!("{} parts", parts.len()) };
            let Ok(event): Result<[u8; 6], _> = event[..].try_into() else {
                return format!("an event of {} bytes", event.len());
            };
            let number = u16::from_ne_bytes([event[0], event[1]]);
            let value = i32::from_ne_bytes([event[2], event[3], event[4], event[5]]);
            const DESCRIPTORS: u16 = 0x1 | 0x8 | 0x20 | 0x80 | 0x200;
            let value = match value {
                3.. if number & DESCRIPTORS != 0 => "fd".to_owned(),
                value => value.to_string(),
            };
            // From here on it is a matter of time.
            if number == 0x4 {
                events.push("tries again".into());
                break;
            }
            let address = self.shape(&String::from_utf8_lossy(address));
            events.push(format!("{number:#x} {value} {address}"));
        }
        // It may try, and fail, for ever.
        events.dedup();
        events.join(", ")
    }
}

/// A pipe to poll: with a byte in it, or without.
struct Pipe([c_int; 2]);

impl Pipe {
    fn new(full: bool) -> Pipe {
        let mut ends = [0; 2];
        // SAFETY: two descriptors are written there; then a byte is read from a literal.
        unsafe {
            libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC);
            if full {
                libc::write(ends[1], c"x".as_ptr().cast(), 1);
            }
        }
        Pipe(ends)
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // SAFETY: its own.
        unsafe { self.0.iter().for_each(|&fd| _ = libc::close(fd)) };
    }
}

fn is_open(descriptor: &[u8]) -> bool {
    let fd = descriptor.try_into().map_or(-1, c_int::from_ne_bytes);
    // SAFETY: asks only.
    unsafe { libc::fcntl(fd, libc::F_GETFD) >= 0 }
}
