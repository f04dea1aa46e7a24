//! Runs a sequence over one library: a line of text for what each call gave.
//!
//! What depends on the library alone, as ports, descriptors and the names it makes up, is put in
//! words that are the same for both. Effects that come by other threads are waited for: briefly at
//! first, longer at every further try ([`Replay::new`], `patience`).

mod handles;
mod look;
mod message;
mod scenes;
mod security;
mod transfer;

use crate::api::{Api, RawMessage};
use crate::call::{Body, Call, Handle, Place};
use libc::{c_int, c_void};
use std::ffi::CString;
use std::path::PathBuf;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

pub const DONTWAIT: c_int = 1;
pub const SNDMORE: c_int = 2;
pub const RCVMORE: c_int = 13;
pub const EVENTS: c_int = 15;
pub const LINGER: c_int = 17;
pub const RCVTIMEO: c_int = 27;
pub const SNDTIMEO: c_int = 28;
pub const LAST_ENDPOINT: c_int = 32;
pub const TYPE: c_int = 16;
pub const PAIR: c_int = 0;
pub const XSUB: c_int = 10;

/// How long calls that wait do so, unless the sequence says less.
const TIMEOUT_MS: c_int = 20;
/// Far more than any sequence sends.
const MESSAGES_MAX: usize = 3000;

/// How often the libraries have given memory back.
static FREED: AtomicUsize = AtomicUsize::new(0);

pub struct Replay<'a> {
    pub(crate) api: &'a Api,
    /// 0, then more at every try.
    pub(crate) patience: u32,
    dir: PathBuf,
    contexts: Vec<*mut c_void>,
    sockets: Vec<Option<Socket>>,
    monitors: Vec<Option<Socket>>,
    messages: Vec<Option<Box<RawMessage>>>,
    bound: Vec<String>,
    /// Routing ids that the libraries made, in the order of their appearance.
    peers: Vec<Vec<u8>>,
    /// What was sent without a copy.
    constants: Vec<Vec<u8>>,
    pub(crate) counter: *mut c_void,
    pub(crate) timers: *mut c_void,
    /// A connection goes through the system.
    networked: bool,
    /// Something was sent that may still be on its way.
    sent: bool,
    freed_before: usize,
    foreign: Box<[u64; 512]>,
}

#[derive(Clone, Copy)]
struct Socket {
    handle: *mut c_void,
    context: usize,
    kind: c_int,
}

impl<'a> Replay<'a> {
    pub fn new(api: &'a Api, dir: PathBuf, patience: u32) -> Replay<'a> {
        Replay {
            api,
            patience,
            dir,
            contexts: Vec::new(),
            sockets: Vec::new(),
            monitors: Vec::new(),
            messages: Vec::new(),
            bound: Vec::new(),
            peers: Vec::new(),
            constants: Vec::new(),
            counter: ptr::null_mut(),
            timers: ptr::null_mut(),
            networked: false,
            sent: false,
            freed_before: FREED.load(Ordering::Relaxed),
            foreign: Box::new([0; 512]),
        }
    }

    /// Ends what the sequence has left; that this comes to an end is part of it.
    pub fn end(mut self) -> String {
        for message in self.messages.iter_mut().filter_map(Option::take) {
            let mut message = message;
            // SAFETY: initialised, as all that are in there.
            unsafe { (self.api.zmq_msg_close)(&mut *message) };
        }
        for context in 0..self.contexts.len() {
            self.terminate(context);
        }
        if !self.timers.is_null() {
            // SAFETY: its own handle.
            unsafe { (self.api.zmq_timers_destroy)(&mut self.timers) };
        }
        if !self.counter.is_null() {
            // SAFETY: as above.
            unsafe { (self.api.zmq_atomic_counter_destroy)(&mut self.counter) };
        }
        let freed = FREED.load(Ordering::Relaxed) - self.freed_before;
        format!("ended, {freed} bodies given back")
    }

    pub fn call(&mut self, call: &Call) -> String {
        // SAFETY: every handle is one of the library's, NULL, or memory of ours; every buffer is as
        // long as is said; messages are initialised where the libraries need them to be.
        unsafe { self.run(call) }
    }

    unsafe fn run(&mut self, call: &Call) -> String {
        let api = self.api;
        match call {
            Call::CtxNew { context } => {
                // SAFETY: has no conditions.
                let made = unsafe { (api.zmq_ctx_new)() };
                self.keep_context(*context, made)
            }
            Call::Init { context, threads } => {
                // SAFETY: as above.
                let made = unsafe { (api.zmq_init)(*threads) };
                self.keep_context(*context, made)
            }
            Call::CtxSet { context, option, value } => {
                let Some(context) = self.context(*context) else { return NONE.into() };
                // SAFETY: as in `call`.
                let code = unsafe { (api.zmq_ctx_set)(context, *option, *value) };
                self.code(code)
            }
            Call::CtxGet { context, option } => {
                let Some(context) = self.context(*context) else { return NONE.into() };
                // SAFETY: as in `call`.
                let code = unsafe { (api.zmq_ctx_get)(context, *option) };
                // THREAD_SCHED_POLICY and THREAD_NAME_PREFIX may be negative.
                if matches!(option, 4 | 9) { code.to_string() } else { self.code(code) }
            }
            Call::CtxShutdown { context } => {
                let Some(context) = self.context(*context) else { return NONE.into() };
                // SAFETY: as in `call`.
                let code = unsafe { (api.zmq_ctx_shutdown)(context) };
                let result = self.code(code);
                self.plugged();
                result
            }
            Call::CtxTerm { context } => self.terminate(*context),
            Call::CtxTermOpen { context } => self.terminate_open(*context),
            Call::CtxTermInvalid { context } => {
                let Some(context) = self.context(*context) else { return NONE.into() };
                // SAFETY: as in `call`.
                let codes = unsafe {
                    [
                        self.code((api.zmq_ctx_term)(context)),
                        self.code((api.zmq_term)(context)),
                        self.code((api.zmq_ctx_destroy)(context)),
                    ]
                };
                codes.join(", ")
            }

            Call::Socket { context, socket, kind } => {
                let Some(handle) = self.context(*context) else { return NONE.into() };
                // SAFETY: as in `call`.
                let made = unsafe { (api.zmq_socket)(handle, *kind) };
                if made.is_null() {
                    return format!("NULL {}", api.error());
                }
                let Handle::At(context) = *context else { return "made".into() };
                put(
                    &mut self.sockets,
                    *socket,
                    Some(Socket { handle: made, context, kind: *kind }),
                );
                "made".into()
            }
            Call::Close { socket } => {
                let Some(handle) = self.socket(*socket) else { return NONE.into() };
                self.observe();
                // SAFETY: as in `call`.
                let code = unsafe { (api.zmq_close)(handle) };
                let code = self.code(code);
                if let Handle::At(at) = *socket {
                    self.sockets[at] = None;
                }
                self.plugged();
                code
            }
            Call::Bind { socket, to, bound } => {
                let Some(handle) = self.socket(*socket) else { return NONE.into() };
                let Some(endpoint) = self.endpoint(to) else { return NONE.into() };
                // SAFETY: as in `call`.
                let code = unsafe { (api.zmq_bind)(handle, endpoint.as_ptr()) };
                let mut result = self.code(code);
                if code == 0 {
                    let last = self.last_endpoint(handle);
                    result += &format!(", at {}", self.shape(&last));
                    self.noticed(&last);
                    put(&mut self.bound, *bound, last);
                }
                self.plugged();
                result
            }
            Call::Connect { socket, to } => self.plug(*socket, to, api.zmq_connect),
            Call::Unbind { socket, from } => self.plug(*socket, from, api.zmq_unbind),
            Call::Disconnect { socket, from } => self.plug(*socket, from, api.zmq_disconnect),

            Call::Set { socket, option, value } => {
                let Some(handle) = self.socket(*socket) else { return NONE.into() };
                let (data, len) = match value {
                    Some(bytes) => (bytes.as_ptr().cast(), bytes.len()),
                    None => (ptr::null(), 0),
                };
                // SAFETY: as in `call`.
                let code = unsafe { (api.zmq_setsockopt)(handle, *option, data, len) };
                let result = self.code(code);
                // A subscription goes to peers.
                if matches!(option, 6 | 7) {
                    self.sent = true;
                    self.observe();
                }
                result
            }
            Call::Get { socket, option, room } => self.get(*socket, *option, *room),

            Call::Send { socket, body, flags, form } => {
                let Some(handle) = self.socket(*socket) else { return NONE.into() };
                let Some(body) = self.body(body) else { return NONE.into() };
                let flags = self.bounded(handle, *flags, SNDTIMEO);
                self.send(handle, body, flags, *form)
            }
            Call::SendIov { socket, bodies, flags } => self.send_iov(*socket, bodies, *flags),
            Call::Fill { socket, most } => {
                let Some(handle) = self.socket(*socket) else { return NONE.into() };
                self.observe();
                for count in 0..*most {
                    let byte = [b'a' + (count % 26) as u8];
                    // SAFETY: as in `call`.
                    let code = unsafe { (api.zmq_send)(handle, byte.as_ptr().cast(), 1, DONTWAIT) };
                    if code < 0 {
                        return format!("{count}, then {}", self.code(code));
                    }
                }
                self.sent = true;
                format!("{most} and no end")
            }
            Call::Recv { socket, form, flags } => {
                let Some(handle) = self.socket(*socket) else { return NONE.into() };
                let flags = self.bounded(handle, *flags, RCVTIMEO);
                let first = self.recv(*socket, handle, *form, flags);
                if first.ends_with("EAGAIN") {
                    self.observe();
                    return self.recv(*socket, handle, *form, flags);
                }
                first
            }
            Call::RecvIov { socket, count } => self.recv_iov(*socket, *count),
            Call::Drain { socket, order } => self.drain(*socket, *order),
            Call::RecvProperties { socket } => self.recv_properties(*socket),

            Call::Poll { items, timeout } => self.poll(items, *timeout),
            Call::PollInvalid { count } => {
                // SAFETY: as in `call`: the libraries refuse a negative count and no items.
                let code = unsafe { (api.zmq_poll)(ptr::null_mut(), *count, 0) };
                self.code(code)
            }
            Call::Monitor { socket, monitor, to, events } => {
                self.monitor(*socket, *monitor, to, *events)
            }
            Call::MonitorEvents { monitor } => self.monitor_events(*monitor),
            Call::MonitorStop { socket } => {
                let Some(handle) = self.socket(*socket) else { return NONE.into() };
                // SAFETY: as in `call`.
                let code = unsafe { (api.zmq_socket_monitor)(handle, ptr::null(), 0) };
                let result = self.code(code);
                self.plugged();
                result
            }

            Call::MsgInit { .. }
            | Call::MsgInitSize { .. }
            | Call::MsgInitData { .. }
            | Call::MsgLook { .. }
            | Call::MsgGet { .. }
            | Call::MsgSet { .. }
            | Call::MsgGets { .. }
            | Call::MsgMove { .. }
            | Call::MsgCopy { .. }
            | Call::MsgClose { .. }
            | Call::MsgSend { .. }
            | Call::MsgRecv { .. } => self.message(call),
            Call::MsgFreed => {
                self.observe();
                format!("{}", FREED.load(Ordering::Relaxed) - self.freed_before)
            }

            Call::Proxy { capture, steps } => self.proxy(*capture, steps),
            Call::Stream { steps, close } => self.stream(steps, *close),
            Call::Secured(scene) => self.secured(scene),
            other => self.alone(other),
        }
    }

    // Time.

    /// Whatever goes through other threads has a moment; some of it goes to and fro.
    fn plugged(&mut self) {
        const ROUNDS: u64 = 4;
        let brief = if self.networked { 10_000 } else { 600 };
        for _ in 0..ROUNDS {
            std::thread::sleep(Duration::from_micros(brief * 6_u64.pow(self.patience) / ROUNDS));
            self.touch();
        }
        self.sent = false;
    }

    /// Has each socket look at what other threads have left for it.
    fn observe(&mut self) {
        if self.networked && self.sent {
            self.plugged();
        } else {
            self.touch();
        }
    }

    fn touch(&self) {
        for socket in self.open(None).repeat(2) {
            self.int(socket, EVENTS);
        }
    }

    /// Flags with which a call does not wait for ever.
    fn bounded(&mut self, socket: *mut c_void, flags: c_int, option: c_int) -> c_int {
        if flags & DONTWAIT == 0
            && self.int(socket, option).is_some_and(|ms| !(0..=TIMEOUT_MS).contains(&ms))
        {
            let limit = TIMEOUT_MS;
            // SAFETY: the socket is open.
            unsafe {
                (self.api.zmq_setsockopt)(socket, option, (&raw const limit).cast(), 4);
            }
        }
        flags
    }

    // Results.

    pub(crate) fn code(&self, code: c_int) -> String {
        if code < 0 { format!("{code} {}", self.api.error()) } else { code.to_string() }
    }

    pub(crate) fn int(&self, socket: *mut c_void, option: c_int) -> Option<c_int> {
        let mut value: c_int = 0;
        let mut len = 4;
        // SAFETY: a socket or NULL; the value is four bytes long.
        let code =
            unsafe { (self.api.zmq_getsockopt)(socket, option, (&raw mut value).cast(), &mut len) };
        (code == 0).then_some(value)
    }

    pub(crate) fn last_endpoint(&self, socket: *mut c_void) -> String {
        let mut text = [0_u8; 300];
        let mut len = text.len();
        // SAFETY: the socket is open, the text as long as is said.
        let code = unsafe {
            (self.api.zmq_getsockopt)(socket, LAST_ENDPOINT, text.as_mut_ptr().cast(), &mut len)
        };
        let end = text.iter().position(|&byte| byte == 0).unwrap_or(0);
        if code < 0 { String::new() } else { String::from_utf8_lossy(&text[..end]).into_owned() }
    }

    /// An endpoint without what differs from run to run.
    fn shape(&self, text: &str) -> String {
        let dir = self.dir.to_string_lossy();
        if let Some(path) = text.strip_prefix("ipc://") {
            let name = path.strip_prefix(&*dir).filter(|name| name.starts_with("/place"));
            let there = std::path::Path::new(path).exists();
            return name.map_or_else(
                || format!("ipc at some path, there: {there}"),
                |name| format!("ipc://{{dir}}{name}"),
            );
        }
        match text.rsplit_once(':') {
            Some((before, port))
                if text.starts_with("tcp") && port.parse().is_ok_and(|port: u16| port > 1023) =>
            {
                format!("{before}:<port>")
            }
            _ => text.to_owned(),
        }
    }

    fn show(&mut self, kind: c_int, body: &[u8]) -> String {
        let makes_names = kind == 6 || kind == 11;
        if makes_names && body.len() == 5 && body[0] == 0 {
            let known = self.peers.iter().position(|known| known == body);
            let at = known.unwrap_or_else(|| {
                self.peers.push(body.to_vec());
                self.peers.len() - 1
            });
            return format!("<peer {at}>");
        }
        show(body)
    }

    // Endpoints and bodies.

    fn noticed(&mut self, endpoint: &str) {
        self.networked |= !endpoint.starts_with("inproc");
    }

    fn endpoint(&self, place: &Place) -> Option<CString> {
        let text = match place {
            Place::Text(text) => text.replace("{dir}", &self.dir.to_string_lossy()),
            Place::Bound(at) => self.bound.get(*at).filter(|text| !text.is_empty())?.clone(),
        };
        CString::new(text).ok()
    }

    fn plug(
        &mut self,
        socket: Handle,
        place: &Place,
        function: unsafe extern "C" fn(*mut c_void, *const libc::c_char) -> c_int,
    ) -> String {
        let Some(handle) = self.socket(socket) else { return NONE.into() };
        let Some(endpoint) = self.endpoint(place) else { return NONE.into() };
        self.observe();
        // SAFETY: as in `call`.
        let code = unsafe { function(handle, endpoint.as_ptr()) };
        let result = self.code(code);
        if code == 0 {
            self.noticed(&endpoint.to_string_lossy());
        }
        self.plugged();
        result
    }

    fn body(&self, body: &Body) -> Option<Vec<u8>> {
        Some(match body {
            Body::Raw(bytes) => bytes.clone(),
            Body::Peer(at) => self.peers.get(*at).cloned().unwrap_or_else(|| b"nobody".to_vec()),
            Body::Made { sender, number, bytes } => {
                let mut made = format!("{}{number:03}", (b'a' + *sender as u8) as char);
                made.truncate(*bytes);
                let mut made = made.into_bytes();
                made.extend((made.len()..*bytes).map(|at| (at * 7 + number) as u8));
                made
            }
        })
    }
}

/// There is nothing to call it with: an earlier call has failed, or was left out.
pub const NONE: &str = "(nothing)";

fn put<T: Default>(list: &mut Vec<T>, at: usize, value: T) {
    while list.len() <= at {
        list.push(T::default());
    }
    list[at] = value;
}

/// Bytes in a form short enough to read; all of them count.
pub fn show(body: &[u8]) -> String {
    if body.len() <= 24 {
        return format!("\"{}\"", body.escape_ascii());
    }
    // FNV-1a.
    let hash = body.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("\"{}\"... {} bytes {:04x}", body[..8].escape_ascii(), body.len(), hash & 0xffff)
}
