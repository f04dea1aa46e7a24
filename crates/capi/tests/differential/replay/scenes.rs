//! The calls of a sequence that need no sockets of it.

use super::{DONTWAIT, EVENTS, LINGER, NONE, PAIR, Replay, SNDMORE, show};
use crate::api::RawMessage;
use crate::call::{Call, Steer};
use libc::{c_char, c_int, c_void};
use std::ffi::CString;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::ptr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

const ROUTER: c_int = 6;
const DEALER: c_int = 5;
const STREAM: c_int = 11;

/// What the timers have called.
static CALLED: Mutex<Vec<c_int>> = Mutex::new(Vec::new());

unsafe extern "C" fn timer(id: c_int, _: *mut c_void) {
    CALLED.lock().unwrap().push(id);
}

unsafe extern "C" fn thread(arg: *mut c_void) {
    // SAFETY: the caller waits for the thread.
    unsafe { &*arg.cast::<AtomicI32>() }.store(1, Ordering::SeqCst);
}

impl Replay<'_> {
    /// Calls of no socket and no context.
    pub(super) fn alone(&mut self, call: &Call) -> String {
        let api = self.api;
        // SAFETY: texts end with a zero byte, places for results are long enough, handles the
        // library's, or NULL where both libraries look.
        unsafe {
            match call {
                Call::Has { what } => {
                    let what = CString::new(&what[..]).unwrap();
                    (api.zmq_has)(what.as_ptr()).to_string()
                }
                Call::Strerror { number } => {
                    api.text((api.zmq_strerror)(*number)).unwrap_or_default()
                }
                Call::Z85Encode { data } => {
                    let mut text = vec![0x55_u8; data.len() * 5 / 4 + 8];
                    let at = text.as_mut_ptr().cast::<c_char>();
                    let result = (api.zmq_z85_encode)(at, data.as_ptr(), data.len());
                    if result.is_null() {
                        return format!("NULL {}", api.error());
                    }
                    format!("its place: {}, {}", result == at, show(&text))
                }
                Call::Z85Decode { text } => {
                    let mut data = vec![0x55_u8; text.len() + 8];
                    let text = CString::new(&text[..]).unwrap();
                    let at = data.as_mut_ptr();
                    let result = (api.zmq_z85_decode)(at, text.as_ptr());
                    if result.is_null() {
                        return format!("NULL {}", api.error());
                    }
                    format!("its place: {}, {}", result == at, show(&data))
                }
                Call::CurvePublic { secret } => {
                    let mut public = [0x55_u8; 48];
                    let secret = CString::new(&secret[..]).unwrap();
                    let at = public.as_mut_ptr().cast();
                    let code = (api.zmq_curve_public)(at, secret.as_ptr());
                    if code < 0 { self.code(code) } else { format!("{code}, {}", show(&public)) }
                }
                Call::CurveKeypair => {
                    let (mut public, mut secret, mut again) = ([0_u8; 41], [0_u8; 41], [1_u8; 41]);
                    let code = (api.zmq_curve_keypair)(
                        public.as_mut_ptr().cast(),
                        secret.as_mut_ptr().cast(),
                    );
                    (api.zmq_curve_public)(again.as_mut_ptr().cast(), secret.as_ptr().cast());
                    format!("{code}, a pair: {}", public == again && public[40] == 0)
                }
                Call::Stopwatch => {
                    let start = Instant::now();
                    let watch = (api.zmq_stopwatch_start)();
                    while start.elapsed() < Duration::from_micros(150) {}
                    let first = (api.zmq_stopwatch_intermediate)(watch);
                    let last = (api.zmq_stopwatch_stop)(watch);
                    // The clocks need not agree to the microsecond.
                    let most = start.elapsed().as_micros() as u64 + 500;
                    format!("{}", first >= 100 && last >= first && last <= most)
                }
                Call::Thread => {
                    let ran = AtomicI32::new(0);
                    let arg = (&raw const ran).cast_mut().cast();
                    let handle = (api.zmq_threadstart)(Some(thread), arg);
                    (api.zmq_threadclose)(handle);
                    format!("{} {}", handle.is_null(), ran.load(Ordering::SeqCst))
                }
                _ => self.alone_with_state(call),
            }
        }
    }

    /// # Safety
    /// As for `alone`.
    unsafe fn alone_with_state(&mut self, call: &Call) -> String {
        let api = self.api;
        if matches!(call, Call::CounterNew | Call::TimersNew) {
            // SAFETY: its own handles, or NULL, which is looked at here.
            unsafe {
                if matches!(call, Call::CounterNew) {
                    if !self.counter.is_null() {
                        (api.zmq_atomic_counter_destroy)(&mut self.counter);
                    }
                    self.counter = (api.zmq_atomic_counter_new)();
                } else {
                    if !self.timers.is_null() {
                        (api.zmq_timers_destroy)(&mut self.timers);
                    }
                    self.timers = (api.zmq_timers_new)();
                }
            }
            return "made".into();
        }
        let (counter, timers) = (self.counter, self.timers);
        let of_counter = matches!(
            call,
            Call::CounterSet(_)
                | Call::CounterInc
                | Call::CounterDec
                | Call::CounterValue
                | Call::CounterDestroy
        );
        let of_none = matches!(call, Call::TimersInvalid);
        if !of_none && (if of_counter { counter } else { timers }).is_null() {
            return NONE.into();
        }
        // SAFETY: as above.
        unsafe {
            match call {
                Call::CounterSet(value) => {
                    (api.zmq_atomic_counter_set)(counter, *value);
                    "set".into()
                }
                Call::CounterInc => (api.zmq_atomic_counter_inc)(counter).to_string(),
                Call::CounterDec => (api.zmq_atomic_counter_dec)(counter).to_string(),
                Call::CounterValue => (api.zmq_atomic_counter_value)(counter).to_string(),
                Call::CounterDestroy => {
                    (api.zmq_atomic_counter_destroy)(&mut self.counter);
                    let cleared = self.counter.is_null();
                    self.counter = ptr::null_mut();
                    format!("cleared {cleared}")
                }
                Call::TimersAdd { interval } => {
                    let code =
                        (api.zmq_timers_add)(timers, *interval, Some(timer), ptr::null_mut());
                    self.code(code)
                }
                Call::TimersCancel { timer } => {
                    let code = (api.zmq_timers_cancel)(timers, *timer);
                    self.code(code)
                }
                Call::TimersSetInterval { timer, interval } => {
                    let code = (api.zmq_timers_set_interval)(timers, *timer, *interval);
                    self.code(code)
                }
                Call::TimersReset { timer } => {
                    let code = (api.zmq_timers_reset)(timers, *timer);
                    self.code(code)
                }
                Call::TimersTimeout => match (api.zmq_timers_timeout)(timers) {
                    ..=0 => "none, or due".into(),
                    // Shorter ones than this may come in between.
                    1..100 => "soon".into(),
                    _ => "late".into(),
                },
                Call::TimersExecute { after_ms } => {
                    std::thread::sleep(Duration::from_millis(*after_ms));
                    CALLED.lock().unwrap().clear();
                    let code = (api.zmq_timers_execute)(timers);
                    format!("{}: {:?}", self.code(code), CALLED.lock().unwrap())
                }
                Call::TimersDestroy => {
                    let code = (api.zmq_timers_destroy)(&mut self.timers);
                    let cleared = self.timers.is_null();
                    self.timers = ptr::null_mut();
                    format!("{}, cleared {cleared}", self.code(code))
                }
                Call::TimersInvalid => {
                    let none = ptr::null_mut();
                    let mut at = none;
                    let codes = [
                        self.code((api.zmq_timers_add)(none, 1, Some(timer), none)),
                        self.code((api.zmq_timers_cancel)(none, 1)),
                        self.code((api.zmq_timers_reset)(none, 1)),
                        self.code((api.zmq_timers_set_interval)(none, 1, 1)),
                        self.code((api.zmq_timers_timeout)(none) as c_int),
                        self.code((api.zmq_timers_execute)(none)),
                        self.code((api.zmq_timers_destroy)(&mut at)),
                    ];
                    codes.join(", ")
                }
                _ => NONE.into(),
            }
        }
    }

    /// Clients and workers around a proxy that is steered, and what comes of it.
    pub(super) fn proxy(&mut self, capture: bool, steps: &[Steer]) -> String {
        let api = self.api;
        // SAFETY: handles of the library's; the proxy ends before its sockets do.
        unsafe {
            let context = (api.zmq_ctx_new)();
            let pair = |kind, other, endpoint: &std::ffi::CStr| {
                let (bound, peer) =
                    ((api.zmq_socket)(context, kind), (api.zmq_socket)(context, other));
                (api.zmq_bind)(bound, endpoint.as_ptr());
                (api.zmq_connect)(peer, endpoint.as_ptr());
                (bound, peer)
            };
            let (front, client) = pair(ROUTER, DEALER, c"inproc://front");
            let (back, worker) = pair(DEALER, DEALER, c"inproc://back");
            let (control, steering) = pair(PAIR, PAIR, c"inproc://control");
            let (copies, spy) = pair(PAIR, PAIR, c"inproc://copies");
            let words = [front, back, if capture { copies } else { ptr::null_mut() }, control]
                .map(|socket| socket.expose_provenance());
            let run = api.zmq_proxy_steerable;
            let proxy = std::thread::spawn(move || {
                let [front, back, copies, control] =
                    words.map(ptr::with_exposed_provenance_mut::<c_void>);
                // The sockets are used by no other thread until it has ended.
                run(front, back, copies, control)
            });
            let mut said = Vec::new();
            let (mut paused, mut held) = (false, 0);
            for step in steps {
                said.push(match step {
                    Steer::Pause | Steer::Resume => {
                        paused = *step == Steer::Pause;
                        let text = if paused { c"PAUSE" } else { c"RESUME" };
                        (api.zmq_send)(steering, text.as_ptr().cast(), text.count_bytes(), 0);
                        std::thread::sleep(Duration::from_millis(1 << (2 * self.patience)));
                        let passed = if paused { 0 } else { std::mem::take(&mut held) };
                        self.pass(client, worker, passed)
                    }
                    Steer::Statistics => {
                        (api.zmq_send)(steering, c"STATISTICS".as_ptr().cast(), 10, 0);
                        let numbers = self.await_message(steering).unwrap_or_default();
                        let number = |part: &Vec<u8>| match part[..].try_into() {
                            Ok(bytes) => u64::from_ne_bytes(bytes).to_string(),
                            Err(_) => format!("{} bytes", part.len()),
                        };
                        numbers.iter().map(number).collect::<Vec<_>>().join(" ")
                    }
                    Steer::Pass(count) => {
                        for number in 0..*count {
                            let body = vec![b'a' + number as u8; 10 * number];
                            (api.zmq_send)(client, c"q".as_ptr().cast(), 1, SNDMORE);
                            (api.zmq_send)(client, body.as_ptr().cast(), body.len(), DONTWAIT);
                        }
                        if paused {
                            held += count;
                            std::thread::sleep(Duration::from_millis(2 << (2 * self.patience)));
                            format!("{:?}", self.whole(worker))
                        } else {
                            self.pass(client, worker, *count)
                        }
                    }
                });
            }
            if capture {
                let (mut copies, mut commands) = (0, 0);
                while let Ok(parts) = self.whole(spy) {
                    *(if parts.len() == 1 { &mut commands } else { &mut copies }) += 1;
                }
                said.push(format!("{copies} copies, {commands} of commands"));
            }
            (api.zmq_send)(steering, c"TERMINATE".as_ptr().cast(), 9, 0);
            said.push(format!("ended {}", proxy.join().unwrap_or(-77)));
            for socket in [front, client, back, worker, control, steering, copies, spy] {
                self.close_at_once(socket);
            }
            (api.zmq_ctx_term)(context);
            said.join("; ")
        }
    }

    /// `count` messages come to the worker, who sends them back.
    unsafe fn pass(&self, client: *mut c_void, worker: *mut c_void, count: usize) -> String {
        let mut said = Vec::new();
        for _ in 0..count {
            let Some(parts) = self.await_message(worker) else { return "none comes".into() };
            for (at, part) in parts.iter().enumerate() {
                let more = if at + 1 < parts.len() { SNDMORE } else { 0 };
                // SAFETY: as the caller says.
                unsafe {
                    (self.api.zmq_send)(worker, part.as_ptr().cast(), part.len(), more | DONTWAIT);
                }
            }
            let shown = |part: &Vec<u8>| show(part);
            said.push(parts.iter().skip(1).map(shown).collect::<Vec<_>>().join("|"));
            let Some(parts) = self.await_message(client) else { return "none comes back".into() };
            said.push(parts.iter().map(shown).collect::<Vec<_>>().join("|"));
        }
        said.join(" ")
    }

    pub(super) fn await_message(&self, socket: *mut c_void) -> Option<Vec<Vec<u8>>> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(300 << self.patience) {
            if let Ok(message) = self.whole(socket) {
                return Some(message);
            }
            std::thread::sleep(Duration::from_micros(100));
        }
        None
    }

    /// A STREAM and a peer that knows no ØMQ.
    pub(super) fn stream(&mut self, steps: &[usize], close: bool) -> String {
        let api = self.api;
        let mut said = Vec::new();
        // SAFETY: handles of the library's, buffers as long as is said.
        unsafe {
            let context = (api.zmq_ctx_new)();
            let socket = (api.zmq_socket)(context, STREAM);
            if socket.is_null() {
                let error = api.error();
                (api.zmq_ctx_term)(context);
                return error;
            }
            let zero: c_int = 0;
            (api.zmq_setsockopt)(socket, LINGER, (&raw const zero).cast(), 4);
            let code = (api.zmq_bind)(socket, c"tcp://127.0.0.1:*".as_ptr());
            said.push(self.code(code));
            let endpoint = self.last_endpoint(socket);
            let mut peer = TcpStream::connect(endpoint.trim_start_matches("tcp://")).unwrap();
            peer.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
            let named = self.await_message(socket).unwrap_or_default();
            let id = named.first().cloned().unwrap_or_default();
            let lengths = |parts: &[Vec<u8>]| parts.iter().map(Vec::len).collect::<Vec<_>>();
            said.push(format!("{:?} {}", lengths(&named), id.first() == Some(&0)));
            for &bytes in steps {
                let body: Vec<u8> = (0..bytes).map(|at| (at * 3) as u8).collect();
                peer.write_all(&body).unwrap();
                let mut read = Vec::new();
                while read.len() < bytes
                    && let Some(parts) = self.await_message(socket)
                {
                    said.push((parts.len() == 2 && parts[0] == id).to_string());
                    read.extend_from_slice(parts.last().map_or(&[], |part| &part[..]));
                }
                said.dedup();
                said.push(show(&read));
                let (name, data) = (id.as_ptr().cast(), body.as_ptr().cast());
                let codes = [
                    (api.zmq_send)(socket, name, id.len(), SNDMORE),
                    (api.zmq_send)(socket, data, body.len(), 0),
                ];
                said.push(format!("{codes:?}"));
                let mut back = vec![0; bytes];
                said.push(format!("{}, {}", peer.read_exact(&mut back).is_ok(), show(&back)));
            }
            if close {
                // An empty part ends the connection.
                (api.zmq_send)(socket, id.as_ptr().cast(), id.len(), SNDMORE);
                (api.zmq_send)(socket, ptr::null(), 0, 0);
                peer.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
                let mut read = Err(std::io::ErrorKind::WouldBlock);
                for _ in 0..100 {
                    // It takes calls of the socket's thread.
                    self.int(socket, EVENTS);
                    read = peer.read(&mut [0; 8]).map_err(|error| error.kind());
                    if read != Err(std::io::ErrorKind::WouldBlock) {
                        break;
                    }
                }
                said.push(format!("{read:?}"));
            } else {
                drop(peer);
                let ended = self.await_message(socket).unwrap_or_default();
                said.push(format!("{:?} {}", lengths(&ended), ended.first() == Some(&id)));
            }
            // Whoever looks for more sees that nothing more will come.
            let more = self.part(socket).err();
            said.push(format!("{more:?}"));
            std::thread::sleep(Duration::from_millis(3 << (2 * self.patience)));
            self.int(socket, EVENTS);
            let code = (api.zmq_send)(socket, id.as_ptr().cast(), id.len(), SNDMORE | DONTWAIT);
            said.push(self.code(code));
            self.close_at_once(socket);
            let code = (api.zmq_ctx_term)(context);
            said.push(self.code(code));
        }
        said.join("; ")
    }
}

const _: () = assert!(size_of::<RawMessage>() == 64);
