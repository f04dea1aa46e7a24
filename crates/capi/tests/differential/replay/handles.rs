//! Contexts and sockets of a sequence, and their ends.

use super::{DONTWAIT, EVENTS, LINGER, NONE, Replay, Socket};
use crate::call::Handle;
use libc::{c_int, c_void};
use std::ptr;
use std::time::Duration;

impl Replay<'_> {
    pub(super) fn keep_context(&mut self, at: usize, made: *mut c_void) -> String {
        if made.is_null() {
            return format!("NULL {}", self.api.error());
        }
        while self.contexts.len() <= at {
            self.contexts.push(ptr::null_mut());
        }
        self.contexts[at] = made;
        "made".into()
    }

    pub(super) fn context(&mut self, handle: Handle) -> Option<*mut c_void> {
        match handle {
            Handle::Null => Some(ptr::null_mut()),
            Handle::Foreign => Some(self.foreign.as_mut_ptr().cast()),
            Handle::At(at) => self.contexts.get(at).copied().filter(|found| !found.is_null()),
        }
    }

    pub(super) fn socket(&mut self, handle: Handle) -> Option<*mut c_void> {
        match handle {
            Handle::Null => Some(ptr::null_mut()),
            Handle::Foreign => Some(self.foreign.as_mut_ptr().cast()),
            Handle::At(at) => Some(self.sockets.get(at)?.as_ref()?.handle),
        }
    }

    pub(super) fn kind(&self, handle: Handle) -> c_int {
        match handle {
            Handle::At(at) => self.sockets.get(at).copied().flatten().map_or(-1, |it| it.kind),
            _ => -1,
        }
    }

    /// All sockets that are open, of one context or of all.
    pub(super) fn open(&self, context: Option<usize>) -> Vec<*mut c_void> {
        let all = self.sockets.iter().chain(&self.monitors).flatten();
        all.filter(|it| context.is_none_or(|at| it.context == at)).map(|it| it.handle).collect()
    }

    pub(super) fn terminate(&mut self, at: usize) -> String {
        let Some(context) = self.context(Handle::At(at)) else { return NONE.into() };
        for socket in self.open(Some(at)) {
            self.close_at_once(socket);
        }
        self.forget(at);
        // SAFETY: its sockets are closed.
        let code = unsafe { (self.api.zmq_ctx_term)(context) };
        self.code(code)
    }

    pub(super) fn linger_not(&self, socket: *mut c_void) {
        let zero: c_int = 0;
        // SAFETY: the socket is open.
        unsafe { (self.api.zmq_setsockopt)(socket, LINGER, (&raw const zero).cast(), 4) };
    }

    pub(super) fn close_at_once(&self, socket: *mut c_void) {
        self.linger_not(socket);
        // SAFETY: the socket is open.
        unsafe { (self.api.zmq_close)(socket) };
    }

    pub(super) fn forget(&mut self, context: usize) {
        let is_there = |it: &mut Option<Socket>| it.is_some_and(|it| it.context == context);
        self.sockets.iter_mut().chain(&mut self.monitors).for_each(|it| {
            if is_there(it) {
                *it = None;
            }
        });
        self.contexts[context] = ptr::null_mut();
    }

    pub(super) fn terminate_open(&mut self, at: usize) -> String {
        let Some(context) = self.context(Handle::At(at)) else { return NONE.into() };
        let api = self.api;
        let sockets = self.open(Some(at));
        // Or it would wait for what nobody takes.
        sockets.iter().for_each(|&socket| self.linger_not(socket));
        let (word, term) = (context.addr(), api.zmq_ctx_term);
        let terminating = std::thread::spawn(move || {
            // SAFETY: a context; its sockets are closed below.
            unsafe { term(ptr::with_exposed_provenance_mut(word)) }
        });
        let mut said = Vec::new();
        for &socket in &sockets {
            let mut value: c_int = 0;
            let mut len = 4;
            let mut body = [0_u8; 8];
            for _ in 0..2000 {
                // SAFETY: the socket is open, and the value four bytes long.
                let code = unsafe {
                    (api.zmq_getsockopt)(socket, EVENTS, (&raw mut value).cast(), &mut len)
                };
                if code < 0 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            // SAFETY: as above.
            let codes = unsafe {
                [
                    self.code((api.zmq_send)(socket, body.as_ptr().cast(), 1, DONTWAIT)),
                    self.code((api.zmq_recv)(socket, body.as_mut_ptr().cast(), 8, DONTWAIT)),
                    self.code((api.zmq_connect)(socket, c"inproc://late".as_ptr())),
                ]
            };
            said.push(codes.join(" "));
        }
        std::thread::sleep(Duration::from_millis(3));
        if !sockets.is_empty() {
            let waits = !terminating.is_finished();
            said.push((if waits { "waits" } else { "does not wait" }).into());
        }
        for socket in sockets {
            self.close_at_once(socket);
        }
        self.forget(at);
        let code = terminating.join().unwrap_or(-77);
        said.push(code.to_string());
        said.join(", ")
    }
}
