//! Debian's libzmq as a peer, loaded at run time.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::fmt;
use std::ptr;
use std::sync::OnceLock;
use std::time::Duration;

use libloading::Library;

pub const PAIR: c_int = 0;
pub const PUB: c_int = 1;
pub const SUB: c_int = 2;
pub const REQ: c_int = 3;
pub const REP: c_int = 4;
pub const DEALER: c_int = 5;
pub const ROUTER: c_int = 6;
pub const PULL: c_int = 7;
pub const PUSH: c_int = 8;
pub const XPUB: c_int = 9;
pub const XSUB: c_int = 10;
/// Not among [`TYPES`]: it does not speak ZMTP.
pub const STREAM: c_int = 11;

/// The types above by name.
pub const TYPES: [(c_int, &str); 11] = [
    (PAIR, "PAIR"),
    (PUB, "PUB"),
    (SUB, "SUB"),
    (REQ, "REQ"),
    (REP, "REP"),
    (DEALER, "DEALER"),
    (ROUTER, "ROUTER"),
    (PULL, "PULL"),
    (PUSH, "PUSH"),
    (XPUB, "XPUB"),
    (XSUB, "XSUB"),
];

pub const ROUTING_ID: c_int = 5;
pub const SUBSCRIBE: c_int = 6;
pub const UNSUBSCRIBE: c_int = 7;
const LINGER: c_int = 17;
pub const RECONNECT_IVL: c_int = 18;
pub const SNDHWM: c_int = 23;
pub const RCVHWM: c_int = 24;
pub const HEARTBEAT_IVL: c_int = 75;
pub const HEARTBEAT_TTL: c_int = 76;
pub const HEARTBEAT_TIMEOUT: c_int = 77;
const RCVMORE: c_int = 13;
const EVENTS: c_int = 15;
const RCVTIMEO: c_int = 27;
const SNDTIMEO: c_int = 28;
const LAST_ENDPOINT: c_int = 32;
const SNDMORE: c_int = 2;

pub const EVENT_DISCONNECTED: u16 = 0x0200;
pub const EVENT_HANDSHAKE_SUCCEEDED: u16 = 0x1000;
const EVENT_HANDSHAKE_FAILED: u16 = 0x0800 | 0x2000 | 0x4000;
/// The connection did not come about, or is gone.
pub const EVENTS_OF_THE_END: u16 = EVENT_DISCONNECTED | EVENT_HANDSHAKE_FAILED;

/// `zmq_msg_t` as zmq.h lays it out.
#[repr(C, align(8))]
struct RawMessage([u8; 64]);

/// Declares the functions of zmq.h that we call, and how to find them in the library.
macro_rules! functions {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        struct Api {
            $($name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Api {
            fn find(library: &Library) -> Result<Api, libloading::Error> {
                Ok(Api {
                    $(
                        // SAFETY: the signature is zmq.h's; the library is never closed.
                        $name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes())? },
                    )*
                })
            }
        }
    };
}

functions! {
    zmq_ctx_new() -> *mut c_void;
    zmq_ctx_term(*mut c_void) -> c_int;
    zmq_socket(*mut c_void, c_int) -> *mut c_void;
    zmq_close(*mut c_void) -> c_int;
    zmq_setsockopt(*mut c_void, c_int, *const c_void, usize) -> c_int;
    zmq_getsockopt(*mut c_void, c_int, *mut c_void, *mut usize) -> c_int;
    zmq_bind(*mut c_void, *const c_char) -> c_int;
    zmq_connect(*mut c_void, *const c_char) -> c_int;
    zmq_socket_monitor(*mut c_void, *const c_char, c_int) -> c_int;
    zmq_send(*mut c_void, *const c_void, usize, c_int) -> c_int;
    zmq_msg_init(*mut RawMessage) -> c_int;
    zmq_msg_recv(*mut RawMessage, *mut c_void, c_int) -> c_int;
    zmq_msg_data(*mut RawMessage) -> *mut c_void;
    zmq_msg_size(*const RawMessage) -> usize;
    zmq_msg_close(*mut RawMessage) -> c_int;
    zmq_errno() -> c_int;
    zmq_strerror(c_int) -> *const c_char;
}

fn api() -> &'static Api {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    static API: OnceLock<Api> = OnceLock::new();
    API.get_or_init(|| {
        let library = LIBRARY.get_or_init(|| {
            // SAFETY: loading Debian's library runs nothing but its own initialisers.
            unsafe { Library::new("libzmq.so.5") }.unwrap_or_else(|error| {
                panic!("these tests need libzmq.so.5; install the Debian package libzmq5 ({error})")
            })
        });
        Api::find(library)
            .expect("libzmq.so.5 has the functions of zmq.h; is it the one of libzmq5?")
    })
}

/// What libzmq said when it refused.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Errno(c_int, String);

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "libzmq: {} ({})", self.1, self.0)
    }
}

fn check(result: c_int) -> Result<(), Errno> {
    if result >= 0 {
        return Ok(());
    }
    // SAFETY: zmq_strerror answers any number with a static C string.
    let (number, text) = unsafe {
        let number = (api().zmq_errno)();
        (number, CStr::from_ptr((api().zmq_strerror)(number)))
    };
    Err(Errno(number, text.to_string_lossy().into_owned()))
}

/// A context of libzmq; its drop waits until its sockets are closed.
pub struct LibContext(*mut c_void);

// SAFETY: a context may be used from any thread, says zmq(7).
unsafe impl Send for LibContext {}
// SAFETY: as above.
unsafe impl Sync for LibContext {}

impl LibContext {
    pub fn new() -> LibContext {
        // SAFETY: zmq_ctx_new has no preconditions.
        let context = unsafe { (api().zmq_ctx_new)() };
        assert!(!context.is_null());
        LibContext(context)
    }

    /// A socket that waits for [`LONG`](super::LONG), and does not linger.
    pub fn socket(&self, kind: c_int) -> LibSocket {
        // SAFETY: the context lives until `self` is dropped.
        let socket = unsafe { (api().zmq_socket)(self.0, kind) };
        assert!(!socket.is_null());
        let socket = LibSocket { context: self.0, socket };
        for option in [RCVTIMEO, SNDTIMEO] {
            socket.set(option, super::LONG.as_millis() as c_int);
        }
        socket.set(LINGER, 0);
        socket
    }
}

impl Drop for LibContext {
    fn drop(&mut self) {
        // A failing test may leave sockets open.
        if !std::thread::panicking() {
            // SAFETY: the context is ended once.
            unsafe { (api().zmq_ctx_term)(self.0) };
        }
    }
}

/// A socket of libzmq.
pub struct LibSocket {
    context: *mut c_void,
    socket: *mut c_void,
}

// SAFETY: a socket may move between threads with a full fence, says zmq_socket(3); moving a value
// to another thread implies one.
unsafe impl Send for LibSocket {}

impl LibSocket {
    pub fn set(&self, option: c_int, value: c_int) {
        let data: *const c_int = &value;
        // SAFETY: the value is an int, as all options set through this are.
        let result =
            unsafe { (api().zmq_setsockopt)(self.socket, option, data.cast(), size_of::<c_int>()) };
        check(result).unwrap();
    }

    pub fn set_bytes(&self, option: c_int, value: &[u8]) {
        // SAFETY: pointer and length belong together.
        let result = unsafe {
            (api().zmq_setsockopt)(self.socket, option, value.as_ptr().cast(), value.len())
        };
        check(result).unwrap();
    }

    pub fn bind(&self, endpoint: &str) -> Result<String, Errno> {
        let endpoint = CString::new(endpoint).unwrap();
        // SAFETY: the socket is open; the endpoint is a C string.
        check(unsafe { (api().zmq_bind)(self.socket, endpoint.as_ptr()) })?;
        let mut bound = [0_u8; 256];
        let mut bytes = bound.len();
        // SAFETY: `bytes` says how much room `bound` has.
        check(unsafe {
            (api().zmq_getsockopt)(
                self.socket,
                LAST_ENDPOINT,
                bound.as_mut_ptr().cast(),
                &mut bytes,
            )
        })?;
        Ok(CStr::from_bytes_until_nul(&bound).unwrap().to_str().unwrap().to_owned())
    }

    pub fn connect(&self, endpoint: &str) -> Result<(), Errno> {
        let endpoint = CString::new(endpoint).unwrap();
        // SAFETY: as in `bind`.
        check(unsafe { (api().zmq_connect)(self.socket, endpoint.as_ptr()) })
    }

    /// Sends a message of these parts.
    pub fn send<P: AsRef<[u8]>>(&self, parts: &[P]) -> Result<(), Errno> {
        for (at, part) in parts.iter().enumerate() {
            let part = part.as_ref();
            let flags = if at + 1 < parts.len() { SNDMORE } else { 0 };
            // SAFETY: zmq_send copies the part before it returns.
            check(unsafe {
                (api().zmq_send)(self.socket, part.as_ptr().cast(), part.len(), flags)
            })?;
        }
        Ok(())
    }

    /// Receives a whole message.
    pub fn recv(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let mut parts = Vec::new();
        loop {
            parts.push(self.recv_part()?);
            if self.get(RCVMORE) == 0 {
                return Ok(parts);
            }
        }
    }

    /// As [`LibSocket::recv`], for so long at most.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Vec<Vec<u8>>, Errno> {
        self.set(RCVTIMEO, timeout.as_millis() as c_int);
        let received = self.recv();
        self.set(RCVTIMEO, super::LONG.as_millis() as c_int);
        received
    }

    fn recv_part(&self) -> Result<Vec<u8>, Errno> {
        let mut message = RawMessage([0; 64]);
        // SAFETY: `message` is memory for one zmq_msg_t, which stays where it is until closed;
        // data and size describe its body until then, and the pointer is never null.
        unsafe {
            (api().zmq_msg_init)(&mut message);
            let received = check((api().zmq_msg_recv)(&mut message, self.socket, 0));
            let body = std::slice::from_raw_parts(
                (api().zmq_msg_data)(&mut message).cast_const().cast::<u8>(),
                (api().zmq_msg_size)(&message),
            );
            let part = body.to_vec();
            (api().zmq_msg_close)(&mut message);
            received.map(|()| part)
        }
    }

    /// Lets the socket see to what its I/O threads have told it.
    pub fn process(&self) {
        self.get(EVENTS);
    }

    /// ROUTING_ID, as it reads now.
    pub fn routing_id(&self) -> Vec<u8> {
        let mut value = [0_u8; 255];
        let mut bytes = value.len();
        let data = value.as_mut_ptr().cast();
        // SAFETY: `bytes` says how much room `value` has.
        check(unsafe { (api().zmq_getsockopt)(self.socket, ROUTING_ID, data, &mut bytes) })
            .unwrap();
        value[..bytes].to_vec()
    }

    fn get(&self, option: c_int) -> c_int {
        let mut value: c_int = 0;
        let mut bytes = size_of::<c_int>();
        let data: *mut c_int = &mut value;
        // SAFETY: the options read through this are ints.
        check(unsafe { (api().zmq_getsockopt)(self.socket, option, data.cast(), &mut bytes) })
            .unwrap();
        value
    }

    /// Says from now on what happens to the socket's connections.
    pub fn monitor(&self) -> Monitor<'_> {
        let endpoint = format!("inproc://{}", super::fresh_name());
        let name = CString::new(endpoint.clone()).unwrap();
        // SAFETY: the socket is open; the endpoint is a C string.
        check(unsafe { (api().zmq_socket_monitor)(self.socket, name.as_ptr(), 0xFFFF) }).unwrap();
        // SAFETY: the context outlives its sockets.
        let socket = unsafe { (api().zmq_socket)(self.context, PAIR) };
        let socket = LibSocket { context: self.context, socket };
        socket.set(LINGER, 0);
        socket.connect(&endpoint).unwrap();
        Monitor { watched: self, socket }
    }
}

impl Drop for LibSocket {
    fn drop(&mut self) {
        // SAFETY: the socket is open, and not used any more.
        unsafe { (api().zmq_close)(self.socket) };
    }
}

/// Events of another socket.
pub struct Monitor<'a> {
    watched: &'a LibSocket,
    socket: LibSocket,
}

impl Monitor<'_> {
    /// The parts of the next event.
    pub fn event(&self) -> Vec<Vec<u8>> {
        self.socket.recv_timeout(super::LONG).unwrap()
    }

    /// The next event that is one of `wanted`, if it comes in time.
    pub fn wait(&self, wanted: u16, timeout: Duration) -> Option<u16> {
        let deadline = std::time::Instant::now() + timeout;
        loop {
            let left = deadline.saturating_duration_since(std::time::Instant::now());
            let parts = self.socket.recv_timeout(left).ok()?;
            let event = u16::from_ne_bytes([parts[0][0], parts[0][1]]);
            if event & wanted != 0 {
                return Some(event);
            }
        }
    }
}

impl Drop for Monitor<'_> {
    fn drop(&mut self) {
        // First of all: libzmq waits for room in a monitor that nobody reads any more.
        // SAFETY: the socket watched is open.
        unsafe { (api().zmq_socket_monitor)(self.watched.socket, ptr::null(), 0) };
    }
}
