//! Contexts.

use std::ffi::CStr;
use std::sync::Mutex;

use libc::{c_char, c_int, c_void, size_t};
use oxmq::TermError;

use crate::boundary::{bytes, int, place, pointer};
use crate::errno::{EFAULT, EINVAL, Errno};
use crate::handle::{self, KIND_MIN, Object};

/// What is behind a context's handle.
pub(crate) struct Context {
    pub(crate) context: oxmq::Context,
    settings: Mutex<Settings>,
}

impl Object for Context {
    const KIND: u32 = KIND_MIN + 1;
    const INVALID: Errno = EFAULT;
}

/// Options as they were set.
struct Settings {
    io_threads: c_int,
    max_sockets: c_int,
    max_msgsz: c_int,
    ipv6: bool,
    blocky: bool,
    zero_copy: bool,
    sched_policy: c_int,
    name_prefix: Vec<u8>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            io_threads: 1,
            max_sockets: if cfg!(oxmq_mutation = "capi_max_sockets") { 1024 } else { 1023 },
            max_msgsz: c_int::MAX,
            ipv6: false,
            blocky: true,
            zero_copy: true,
            sched_policy: -1,
            name_prefix: Vec::new(),
        }
    }
}

mod name {
    use libc::c_int;

    pub(super) const IO_THREADS: c_int = 1;
    pub(super) const MAX_SOCKETS: c_int = 2;
    /// When set. When read, 3 is SOCKET_LIMIT.
    pub(super) const THREAD_PRIORITY: c_int = 3;
    pub(super) const SOCKET_LIMIT: c_int = 3;
    pub(super) const THREAD_SCHED_POLICY: c_int = 4;
    pub(super) const MAX_MSGSZ: c_int = 5;
    pub(super) const MSG_T_SIZE: c_int = 6;
    pub(super) const THREAD_AFFINITY_CPU_ADD: c_int = 7;
    pub(super) const THREAD_AFFINITY_CPU_REMOVE: c_int = 8;
    pub(super) const THREAD_NAME_PREFIX: c_int = 9;
    pub(super) const ZERO_COPY_RECV: c_int = 10;
    pub(super) const IPV6: c_int = 42;
    pub(super) const BLOCKY: c_int = 70;
}

/// The most sockets that a context may have.
const SOCKET_LIMIT: c_int = 65_535;
/// The longest name that the system gives a thread, as libzmq counts it.
const NAME_PREFIX_BYTES_MAX: usize = 16;

impl Context {
    fn new() -> Context {
        let context = oxmq::Context::new();
        // Programs were written for a library that does not look.
        context.join_any_types();
        Context { context, settings: Mutex::default() }
    }

    fn settings(&self) -> std::sync::MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn set(&self, option: c_int, value: &[u8]) -> Result<(), Errno> {
        if option == name::THREAD_NAME_PREFIX && value.len() != size_of::<c_int>() {
            if value.is_empty() || value.len() > NAME_PREFIX_BYTES_MAX {
                return Err(EINVAL);
            }
            return self
                .set_name_prefix(CStr::from_bytes_until_nul(value).map_or(value, CStr::to_bytes));
        }
        let value = c_int::from_ne_bytes(value.try_into().map_err(|_| EINVAL)?);
        if value < 0 && option != name::THREAD_NAME_PREFIX {
            return Err(EINVAL);
        }
        let mut settings = self.settings();
        match option {
            name::IO_THREADS => {
                self.context.set_io_threads(value as usize);
                settings.io_threads = value;
            }
            name::MAX_SOCKETS if (1..=SOCKET_LIMIT).contains(&value) => {
                self.context.set_max_sockets(value as usize);
                settings.max_sockets = value;
            }
            name::IPV6 => {
                self.context.set_ipv6(value != 0);
                settings.ipv6 = value != 0;
            }
            name::BLOCKY => {
                self.context.set_blocky(value != 0);
                settings.blocky = value != 0;
            }
            name::MAX_MSGSZ => settings.max_msgsz = value,
            name::ZERO_COPY_RECV => settings.zero_copy = value != 0,
            name::THREAD_PRIORITY => self.context.set_io_thread_priority(value),
            name::THREAD_SCHED_POLICY => {
                self.context.set_io_thread_policy(value);
                settings.sched_policy = value;
            }
            name::THREAD_AFFINITY_CPU_ADD => self.context.add_io_thread_cpu(value as usize),
            name::THREAD_AFFINITY_CPU_REMOVE
                if self.context.remove_io_thread_cpu(value as usize) => {}
            name::THREAD_NAME_PREFIX => {
                drop(settings);
                return self.set_name_prefix(value.to_string().as_bytes());
            }
            _ => return Err(EINVAL),
        }
        Ok(())
    }

    fn set_name_prefix(&self, prefix: &[u8]) -> Result<(), Errno> {
        self.context.set_io_thread_name(&String::from_utf8_lossy(prefix));
        self.settings().name_prefix = prefix.to_vec();
        Ok(())
    }

    fn get(&self, option: c_int) -> Result<c_int, Errno> {
        let settings = self.settings();
        Ok(match option {
            name::IO_THREADS => settings.io_threads,
            name::MAX_SOCKETS => settings.max_sockets,
            name::SOCKET_LIMIT => SOCKET_LIMIT,
            name::IPV6 => settings.ipv6.into(),
            name::BLOCKY => settings.blocky.into(),
            name::MAX_MSGSZ => settings.max_msgsz,
            name::MSG_T_SIZE => size_of::<oxmq::Message>() as c_int,
            name::ZERO_COPY_RECV => settings.zero_copy.into(),
            name::THREAD_SCHED_POLICY => settings.sched_policy,
            name::THREAD_NAME_PREFIX => {
                // As atoi does it.
                let (negative, digits) = match &settings.name_prefix[..] {
                    [b'-', digits @ ..] => (true, digits),
                    digits => (false, digits),
                };
                let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
                let number = digits.fold(0, |number: c_int, digit| {
                    number.wrapping_mul(10).wrapping_add(c_int::from(digit - b'0'))
                });
                if negative { number.wrapping_neg() } else { number }
            }
            _ => return Err(EINVAL),
        })
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_ctx_new() -> *mut c_void {
    pointer(|| handle::open(Context::new()))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_ctx_term(context: *mut c_void) -> c_int {
    int(|| {
        let held = handle::get::<Context>(context)?;
        if cfg!(oxmq_mutation = "capi_term_does_not_wait") {
            held.context.shutdown();
            return Ok(0);
        }
        match held.context.term() {
            Ok(()) => {}
            // A forked child's copy of its parent's context: it has nothing to wait for.
            Err(TermError::Forked) => {}
            Err(error) => return Err(Errno(error.errno())),
        }
        drop(held);
        // Another thread may have terminated it too.
        drop(handle::close::<Context>(context));
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_ctx_shutdown(context: *mut c_void) -> c_int {
    int(|| {
        handle::get::<Context>(context)?.context.shutdown();
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_ctx_set(context: *mut c_void, option: c_int, value: c_int) -> c_int {
    int(|| {
        handle::get::<Context>(context)?.set(option, &value.to_ne_bytes())?;
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_ctx_get(context: *mut c_void, option: c_int) -> c_int {
    int(|| handle::get::<Context>(context)?.get(option))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_ctx_set_ext(
    context: *mut c_void,
    option: c_int,
    value: *const c_void,
    value_bytes: size_t,
) -> c_int {
    int(|| {
        let held = handle::get::<Context>(context)?;
        // SAFETY: the caller's word (zmq.h).
        held.set(option, unsafe { bytes(value, value_bytes) }.map_err(|_| EINVAL)?)?;
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_ctx_get_ext(
    context: *mut c_void,
    option: c_int,
    value: *mut c_void,
    value_bytes: *mut size_t,
) -> c_int {
    int(|| {
        let held = handle::get::<Context>(context)?;
        // SAFETY: the caller's word (zmq.h).
        let room = unsafe { place(value_bytes) }?;
        let prefix = held.settings().name_prefix.clone();
        let found = match option {
            name::THREAD_NAME_PREFIX if *room != size_of::<c_int>() => prefix,
            option => held.get(option)?.to_ne_bytes().to_vec(),
        };
        let fits = if option == name::THREAD_NAME_PREFIX {
            *room >= found.len()
        } else {
            *room == found.len()
        };
        if !fits || value.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: the caller's word: `*value_bytes` bytes may be written there.
        unsafe { std::ptr::copy_nonoverlapping(found.as_ptr(), value.cast(), found.len()) };
        if option == name::THREAD_NAME_PREFIX && *room > found.len() {
            // SAFETY: as above.
            unsafe { value.cast::<u8>().add(found.len()).write(0) };
        }
        Ok(0)
    })
}

// From before there were options.

#[unsafe(no_mangle)]
pub extern "C" fn zmq_init(io_threads: c_int) -> *mut c_void {
    pointer(|| {
        let context = Context::new();
        context.set(name::IO_THREADS, &io_threads.to_ne_bytes())?;
        handle::open(context)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_term(context: *mut c_void) -> c_int {
    zmq_ctx_term(context)
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_ctx_destroy(context: *mut c_void) -> c_int {
    zmq_ctx_term(context)
}

/// The text at a caller's pointer; EINVAL for none, and for bytes that are no text.
///
/// # Safety
/// If it is not NULL, a string that ends with a zero byte lies there while the result lives.
pub(crate) unsafe fn text<'a>(pointer: *const c_char) -> Result<&'a str, Errno> {
    if pointer.is_null() {
        return Err(EINVAL);
    }
    // SAFETY: passed on.
    unsafe { CStr::from_ptr(pointer) }.to_str().map_err(|_| EINVAL)
}
