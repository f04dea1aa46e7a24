//! Any `libzmq.so.5`, loaded at run time.
//!
//! Messages are sent as most C programs do it, with `zmq_send` from a buffer, and received into
//! one `zmq_msg_t` that is used again and again.

use super::backend::{Backend, BackendSocket, Kind};
use anyhow::{Context as _, Result, bail};
use libloading::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr::NonNull;

const ZMQ_LAST_ENDPOINT: c_int = 32;
const ZMQ_SUBSCRIBE: c_int = 6;
const ZMQ_SNDMORE: c_int = 2;

/// `zmq_msg_t` as zmq.h lays it out.
#[repr(C, align(8))]
struct RawMessage([u8; 64]);

/// Declares the functions of zmq.h that we call, and how to find them in a library.
macro_rules! functions {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        struct Api {
            $($name: unsafe extern "C" fn($($argument),*) -> $result,)*
        }

        impl Api {
            fn find(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Api {
                    $(
                        // SAFETY: the signature is the one of zmq.h, the same since 4.0; the
                        // pointer outlives the library's handle because that is never closed.
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
    zmq_send(*mut c_void, *const c_void, usize, c_int) -> c_int;
    zmq_msg_init(*mut RawMessage) -> c_int;
    zmq_msg_recv(*mut RawMessage, *mut c_void, c_int) -> c_int;
    zmq_msg_send(*mut RawMessage, *mut c_void, c_int) -> c_int;
    zmq_msg_more(*const RawMessage) -> c_int;
    zmq_msg_data(*mut RawMessage) -> *mut c_void;
    zmq_msg_size(*const RawMessage) -> usize;
    zmq_msg_close(*mut RawMessage) -> c_int;
    zmq_errno() -> c_int;
    zmq_strerror(c_int) -> *const c_char;
}

pub struct Libzmq {
    api: &'static Api,
    context: NonNull<c_void>,
}

// SAFETY: a context may be used from any thread, says zmq(7).
unsafe impl Sync for Libzmq {}

pub struct LibzmqSocket {
    api: &'static Api,
    socket: NonNull<c_void>,
    /// Boxed: once initialised, a `zmq_msg_t` stays where it is.
    message: Box<RawMessage>,
}

// SAFETY: a socket may move between threads with a full fence, says zmq_socket(3), and moving a
// value to another thread implies one.
unsafe impl Send for LibzmqSocket {}

impl Libzmq {
    /// Loads the library at `path` for the rest of the process.
    pub fn load(path: &Path) -> Result<Self> {
        // SAFETY: the caller of `--vs` vouches for the library that he names: that loading it is
        // harmless and that it is a libzmq.
        let library = unsafe { Library::new(path) }
            .with_context(|| format!("cannot load {}", path.display()))?;
        let library: &'static Library = Box::leak(Box::new(library));
        let api = Api::find(library).with_context(|| format!("{} is no libzmq", path.display()))?;
        let api: &'static Api = Box::leak(Box::new(api));
        // SAFETY: zmq_ctx_new has no preconditions.
        let context = unsafe { (api.zmq_ctx_new)() };
        let context = NonNull::new(context).context("zmq_ctx_new")?;
        Ok(Libzmq { api, context })
    }
}

impl Backend for Libzmq {
    type Socket = LibzmqSocket;

    fn socket(&self, kind: Kind) -> Result<LibzmqSocket> {
        let kind = match kind {
            Kind::Pair => 0,
            Kind::Pub => 1,
            Kind::Sub => 2,
            Kind::Req => 3,
            Kind::Rep => 4,
            Kind::Dealer => 5,
            Kind::Router => 6,
            Kind::Pull => 7,
            Kind::Push => 8,
        };
        // SAFETY: the context lives until `end`.
        let socket = unsafe { (self.api.zmq_socket)(self.context.as_ptr(), kind) };
        let Some(socket) = NonNull::new(socket) else { bail!("zmq_socket: {}", self.api.error()) };
        let mut message = Box::new(RawMessage([0; 64]));
        // SAFETY: `message` is memory for one zmq_msg_t.
        unsafe { (self.api.zmq_msg_init)(&mut *message) };
        Ok(LibzmqSocket { api: self.api, socket, message })
    }

    fn end(self) -> Result<()> {
        // SAFETY: the context is ended once, here, where it is consumed.
        let result = unsafe { (self.api.zmq_ctx_term)(self.context.as_ptr()) };
        self.api.check("zmq_ctx_term", result)
    }
}

impl BackendSocket for LibzmqSocket {
    fn bind(&mut self, endpoint: &str) -> Result<String> {
        let endpoint = CString::new(endpoint)?;
        // SAFETY: the socket is open until dropped; the endpoint is a C string.
        let result = unsafe { (self.api.zmq_bind)(self.socket.as_ptr(), endpoint.as_ptr()) };
        self.api.check("zmq_bind", result)?;
        let mut bound = [0_u8; 256];
        let mut len = bound.len();
        // SAFETY: `len` says how much room `bound` has.
        let result = unsafe {
            (self.api.zmq_getsockopt)(
                self.socket.as_ptr(),
                ZMQ_LAST_ENDPOINT,
                bound.as_mut_ptr().cast(),
                &mut len,
            )
        };
        self.api.check("zmq_getsockopt", result)?;
        Ok(CStr::from_bytes_until_nul(&bound)?.to_str()?.to_owned())
    }

    fn connect(&mut self, endpoint: &str) -> Result<()> {
        let endpoint = CString::new(endpoint)?;
        // SAFETY: as in `bind`.
        let result = unsafe { (self.api.zmq_connect)(self.socket.as_ptr(), endpoint.as_ptr()) };
        self.api.check("zmq_connect", result)
    }

    fn subscribe(&mut self) -> Result<()> {
        // SAFETY: a subscription of length 0 reads nothing from its pointer.
        let result = unsafe {
            (self.api.zmq_setsockopt)(self.socket.as_ptr(), ZMQ_SUBSCRIBE, c"".as_ptr().cast(), 0)
        };
        self.api.check("zmq_setsockopt", result)
    }

    #[inline]
    fn send(&mut self, body: &[u8]) -> Result<()> {
        // SAFETY: the socket is open; zmq_send copies `body` before it returns.
        let result = unsafe {
            (self.api.zmq_send)(self.socket.as_ptr(), body.as_ptr().cast(), body.len(), 0)
        };
        if result < 0 { self.api.check("zmq_send", result) } else { Ok(()) }
    }

    #[inline]
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        // SAFETY: `message` is initialised; zmq_msg_recv releases what it held before.
        let result =
            unsafe { (self.api.zmq_msg_recv)(&mut *self.message, self.socket.as_ptr(), 0) };
        if result < 0 {
            self.api.check("zmq_msg_recv", result)?;
        }
        // SAFETY: data and size describe the body, which lives until the next receive, and we are
        // borrowed mutably until `read` has returned. The pointer is never null.
        let body = unsafe {
            let data = (self.api.zmq_msg_data)(&mut *self.message);
            std::slice::from_raw_parts(
                data.cast_const().cast(),
                (self.api.zmq_msg_size)(&*self.message),
            )
        };
        Ok(read(body))
    }

    fn echo(&mut self) -> Result<()> {
        loop {
            let (message, socket) = (&mut *self.message, self.socket.as_ptr());
            // SAFETY: as in `recv`; a message that was sent is an empty one.
            let (received, more, sent) = unsafe {
                let received = (self.api.zmq_msg_recv)(message, socket, 0);
                let more = (self.api.zmq_msg_more)(message) != 0;
                let flags = if more { ZMQ_SNDMORE } else { 0 };
                (received, more, (self.api.zmq_msg_send)(message, socket, flags))
            };
            self.api.check("zmq_msg_recv", received)?;
            self.api.check("zmq_msg_send", sent)?;
            if !more {
                return Ok(());
            }
        }
    }
}

impl Drop for LibzmqSocket {
    fn drop(&mut self) {
        // SAFETY: both are open and initialised, and not used any more.
        unsafe {
            (self.api.zmq_msg_close)(&mut *self.message);
            (self.api.zmq_close)(self.socket.as_ptr());
        }
    }
}

impl Api {
    #[cold]
    fn check(&self, call: &str, result: c_int) -> Result<()> {
        if result < 0 { bail!("{call}: {}", self.error()) } else { Ok(()) }
    }

    fn error(&self) -> String {
        // SAFETY: zmq_strerror answers any number with a static C string.
        unsafe { CStr::from_ptr((self.zmq_strerror)((self.zmq_errno)())) }
            .to_string_lossy()
            .into_owned()
    }
}
