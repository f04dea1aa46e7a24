//! The functions of zmq.h, found in a library at run time.

use libc::{c_char, c_int, c_long, c_short, c_ulong, c_void, iovec};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::ffi::CStr;
use std::path::Path;
use std::sync::OnceLock;

/// `zmq_msg_t` as zmq.h lays it out.
#[repr(C, align(8))]
pub struct RawMessage(pub [u8; 64]);

/// `zmq_pollitem_t`.
#[repr(C)]
pub struct RawItem {
    pub socket: *mut c_void,
    pub fd: c_int,
    pub events: c_short,
    pub revents: c_short,
}

pub type FreeFn = unsafe extern "C" fn(*mut c_void, *mut c_void);
pub type TimerFn = unsafe extern "C" fn(c_int, *mut c_void);
pub type ThreadFn = unsafe extern "C" fn(*mut c_void);

/// Declares the functions that are compared, and how to find them.
macro_rules! functions {
    ($($name:ident($($argument:ty),*) $(-> $result:ty)?;)*) => {
        pub struct Api {
            $(pub $name: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
        }

        impl Api {
            fn find(library: &Library) -> Result<Self, libloading::Error> {
                Ok(Api {
                    $(
                        // SAFETY: the signature is the one of zmq.h; the library is never closed.
                        $name: *unsafe { library.get(concat!(stringify!($name), "\0").as_bytes())? },
                    )*
                })
            }
        }
    };
}

functions! {
    zmq_errno() -> c_int;
    zmq_strerror(c_int) -> *const c_char;
    zmq_has(*const c_char) -> c_int;
    zmq_ctx_new() -> *mut c_void;
    zmq_init(c_int) -> *mut c_void;
    zmq_ctx_term(*mut c_void) -> c_int;
    zmq_ctx_destroy(*mut c_void) -> c_int;
    zmq_term(*mut c_void) -> c_int;
    zmq_ctx_shutdown(*mut c_void) -> c_int;
    zmq_ctx_set(*mut c_void, c_int, c_int) -> c_int;
    zmq_ctx_get(*mut c_void, c_int) -> c_int;
    zmq_msg_init(*mut RawMessage) -> c_int;
    zmq_msg_init_size(*mut RawMessage, usize) -> c_int;
    zmq_msg_init_data(*mut RawMessage, *mut c_void, usize, Option<FreeFn>, *mut c_void) -> c_int;
    zmq_msg_send(*mut RawMessage, *mut c_void, c_int) -> c_int;
    zmq_msg_recv(*mut RawMessage, *mut c_void, c_int) -> c_int;
    zmq_msg_close(*mut RawMessage) -> c_int;
    zmq_msg_move(*mut RawMessage, *mut RawMessage) -> c_int;
    zmq_msg_copy(*mut RawMessage, *mut RawMessage) -> c_int;
    zmq_msg_data(*mut RawMessage) -> *mut c_void;
    zmq_msg_size(*const RawMessage) -> usize;
    zmq_msg_more(*const RawMessage) -> c_int;
    zmq_msg_get(*const RawMessage, c_int) -> c_int;
    zmq_msg_set(*mut RawMessage, c_int, c_int) -> c_int;
    zmq_msg_gets(*const RawMessage, *const c_char) -> *const c_char;
    zmq_socket(*mut c_void, c_int) -> *mut c_void;
    zmq_close(*mut c_void) -> c_int;
    zmq_setsockopt(*mut c_void, c_int, *const c_void, usize) -> c_int;
    zmq_getsockopt(*mut c_void, c_int, *mut c_void, *mut usize) -> c_int;
    zmq_bind(*mut c_void, *const c_char) -> c_int;
    zmq_connect(*mut c_void, *const c_char) -> c_int;
    zmq_unbind(*mut c_void, *const c_char) -> c_int;
    zmq_disconnect(*mut c_void, *const c_char) -> c_int;
    zmq_send(*mut c_void, *const c_void, usize, c_int) -> c_int;
    zmq_send_const(*mut c_void, *const c_void, usize, c_int) -> c_int;
    zmq_recv(*mut c_void, *mut c_void, usize, c_int) -> c_int;
    zmq_sendmsg(*mut c_void, *mut RawMessage, c_int) -> c_int;
    zmq_recvmsg(*mut c_void, *mut RawMessage, c_int) -> c_int;
    zmq_sendiov(*mut c_void, *mut iovec, usize, c_int) -> c_int;
    zmq_recviov(*mut c_void, *mut iovec, *mut usize, c_int) -> c_int;
    zmq_socket_monitor(*mut c_void, *const c_char, c_int) -> c_int;
    zmq_poll(*mut RawItem, c_int, c_long) -> c_int;
    zmq_proxy_steerable(*mut c_void, *mut c_void, *mut c_void, *mut c_void) -> c_int;
    zmq_z85_encode(*mut c_char, *const u8, usize) -> *mut c_char;
    zmq_z85_decode(*mut u8, *const c_char) -> *mut u8;
    zmq_curve_keypair(*mut c_char, *mut c_char) -> c_int;
    zmq_curve_public(*mut c_char, *const c_char) -> c_int;
    zmq_atomic_counter_new() -> *mut c_void;
    zmq_atomic_counter_set(*mut c_void, c_int);
    zmq_atomic_counter_inc(*mut c_void) -> c_int;
    zmq_atomic_counter_dec(*mut c_void) -> c_int;
    zmq_atomic_counter_value(*mut c_void) -> c_int;
    zmq_atomic_counter_destroy(*mut *mut c_void);
    zmq_timers_new() -> *mut c_void;
    zmq_timers_destroy(*mut *mut c_void) -> c_int;
    zmq_timers_add(*mut c_void, usize, Option<TimerFn>, *mut c_void) -> c_int;
    zmq_timers_cancel(*mut c_void, c_int) -> c_int;
    zmq_timers_set_interval(*mut c_void, c_int, usize) -> c_int;
    zmq_timers_reset(*mut c_void, c_int) -> c_int;
    zmq_timers_timeout(*mut c_void) -> c_long;
    zmq_timers_execute(*mut c_void) -> c_int;
    zmq_stopwatch_start() -> *mut c_void;
    zmq_stopwatch_intermediate(*mut c_void) -> c_ulong;
    zmq_stopwatch_stop(*mut c_void) -> c_ulong;
    zmq_threadstart(Option<ThreadFn>, *mut c_void) -> *mut c_void;
    zmq_threadclose(*mut c_void);
}

impl Api {
    /// Loads a library for the rest of the process, its names for itself alone; one in a process.
    pub fn load(path: &Path) -> &'static Api {
        static LOADED: OnceLock<(Api, Library)> = OnceLock::new();
        let (api, _) = LOADED.get_or_init(|| {
            // SAFETY: a libzmq, ours or Debian's, which does nothing when it is loaded.
            let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) };
            let library = library.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let api = Api::find(&library);
            (api.unwrap_or_else(|error| panic!("{}: {error}", path.display())), library)
        });
        api
    }

    /// The error of the call before, by name.
    pub fn error(&self) -> String {
        // SAFETY: has no conditions.
        name_of(unsafe { (self.zmq_errno)() })
    }

    pub fn text(&self, text: *const c_char) -> Option<String> {
        // SAFETY: the libraries give C strings, or NULL.
        (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
    }
}

/// A number of `errno` as zmq.h and the system name it.
fn name_of(errno: c_int) -> String {
    const HAUSNUMERO: c_int = 156_384_712;
    let named = [
        (libc::EAGAIN, "EAGAIN"),
        (libc::EINVAL, "EINVAL"),
        (libc::EFAULT, "EFAULT"),
        (libc::ENOTSOCK, "ENOTSOCK"),
        (libc::ENOTSUP, "ENOTSUP"),
        (libc::EHOSTUNREACH, "EHOSTUNREACH"),
        (libc::EADDRINUSE, "EADDRINUSE"),
        (libc::EADDRNOTAVAIL, "EADDRNOTAVAIL"),
        (libc::ECONNREFUSED, "ECONNREFUSED"),
        (libc::EPROTONOSUPPORT, "EPROTONOSUPPORT"),
        (libc::ENOENT, "ENOENT"),
        (libc::ENODEV, "ENODEV"),
        (libc::EMFILE, "EMFILE"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EINTR, "EINTR"),
        (libc::EMSGSIZE, "EMSGSIZE"),
        (HAUSNUMERO + 51, "EFSM"),
        (HAUSNUMERO + 52, "ENOCOMPATPROTO"),
        (HAUSNUMERO + 53, "ETERM"),
        (HAUSNUMERO + 54, "EMTHREAD"),
    ];
    let found = named.iter().find(|(number, _)| *number == errno);
    found.map_or_else(|| format!("errno {errno}"), |(_, name)| (*name).to_owned())
}
