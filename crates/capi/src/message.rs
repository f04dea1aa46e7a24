//! Messages: `zmq_msg_t` is a message of ours, in place.
//!
//! That a pointer leads to 64 bytes of the caller's is the caller's word. What lies there is looked
//! at: a message that was closed, or memory that by all appearances never held one, is refused.

use std::ffi::CStr;

use libc::{c_char, c_int, c_void, size_t};
use oxmq::Message;
use oxmq::ffi;

use crate::boundary::{bytes, int, or};
use crate::errno::{EFAULT, EINVAL, ENOMEM, Errno};

/// `zmq_free_fn`.
pub(crate) type FreeFn = unsafe extern "C" fn(data: *mut c_void, hint: *mut c_void);

/// The message at a caller's pointer.
///
/// # Safety
/// If it is not NULL, it leads to a `zmq_msg_t` of the caller's, which nobody else uses while the
/// result lives.
#[inline]
pub(crate) unsafe fn message<'a>(place: *mut Message) -> Result<&'a mut Message, Errno> {
    // SAFETY: passed on.
    unsafe {
        if place.is_null() || !ffi::is_message(place) {
            return Err(EFAULT);
        }
        Ok(&mut *place)
    }
}

/// Makes a message where the caller says; what lay there is no message, or forgotten.
///
/// # Safety
/// If it is not NULL, it leads to a `zmq_msg_t` of the caller's.
unsafe fn init(place: *mut Message, message: Message) -> Result<c_int, Errno> {
    if place.is_null() {
        return Err(EFAULT);
    }
    // SAFETY: passed on.
    unsafe { place.write(message) };
    Ok(0)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_init(place: *mut Message) -> c_int {
    // SAFETY: the caller's word (zmq.h).
    int(|| unsafe { init(place, Message::new()) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_init_size(place: *mut Message, size: size_t) -> c_int {
    int(|| {
        // SAFETY: the caller's word (zmq.h): it writes the bytes, and the place leads to a message.
        unsafe { init(place, ffi::with_size(size).ok_or(ENOMEM)?) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_init_buffer(
    place: *mut Message,
    data: *const c_void,
    size: size_t,
) -> c_int {
    // SAFETY: the caller's word (zmq.h).
    int(|| {
        let mut message = Message::new();
        // SAFETY: the caller's word (zmq.h).
        copy(unsafe { bytes(data, size) }?, &mut message)?;
        // SAFETY: as above.
        unsafe { init(place, message) }
    })
}

/// Makes an empty message one with a copy of `body`, where it lies: one that is moved while its
/// bytes are still on their way to memory waits for them.
#[inline]
pub(crate) fn copy(body: &[u8], into: &mut Message) -> Result<(), Errno> {
    /// Below this a lack of memory is the end of any program.
    const SHORT: usize = 32 * 1024;
    if body.len() <= SHORT {
        ffi::copy_into(body, into);
        return Ok(());
    }
    // SAFETY: the message is fresh, as long as the body, and all of it is written.
    *into = unsafe {
        let mut message = ffi::with_size(body.len()).ok_or(ENOMEM)?;
        std::ptr::copy_nonoverlapping(body.as_ptr(), ffi::data_mut(&mut message), body.len());
        message
    };
    Ok(())
}

/// A caller's memory, given back when the last message over it goes.
struct Foreign {
    data: *mut c_void,
    hint: *mut c_void,
    free: FreeFn,
}

// SAFETY: `zmq_msg_init_data` says that the function may be called by any thread.
unsafe impl Send for Foreign {}
// SAFETY: nothing reads the fields before the drop, which is exclusive.
unsafe impl Sync for Foreign {}

impl Drop for Foreign {
    fn drop(&mut self) {
        // SAFETY: the caller's word; called once.
        unsafe { (self.free)(self.data, self.hint) }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_init_data(
    place: *mut Message,
    data: *mut c_void,
    size: size_t,
    free: Option<FreeFn>,
    hint: *mut c_void,
) -> c_int {
    int(|| {
        if place.is_null() || (data.is_null() && size > 0) {
            return Err(EFAULT);
        }
        let free = free.filter(|_| !cfg!(oxmq_mutation = "capi_free_forgotten"));
        let owner = free.map(|free| Box::new(Foreign { data, hint, free }) as Box<dyn Send + Sync>);
        // An empty body may be anywhere.
        let data = if data.is_null() { std::ptr::dangling() } else { data.cast_const().cast() };
        // SAFETY: the caller's word (zmq.h): the bytes stay until `free` is called.
        unsafe { init(place, ffi::adopt(data, size, owner)) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_close(place: *mut Message) -> c_int {
    int(|| {
        // SAFETY: the caller's word (zmq.h).
        unsafe {
            let ended = std::mem::take(message(place)?);
            ffi::without_message(place);
            drop(ended);
        }
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_move(to: *mut Message, from: *mut Message) -> c_int {
    int(|| {
        // SAFETY: the caller's word (zmq.h).
        unsafe {
            message(to)?;
            let moved = std::mem::take(message(from)?);
            if !cfg!(oxmq_mutation = "capi_move_loses") {
                drop(std::mem::replace(message(to)?, moved));
            }
        }
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_copy(to: *mut Message, from: *mut Message) -> c_int {
    int(|| {
        // SAFETY: the caller's word (zmq.h).
        unsafe {
            message(to)?;
            let copy = match message(from)? {
                moved if cfg!(oxmq_mutation = "capi_copy_moves") => moved.take(),
                copied => copied.clone(),
            };
            drop(std::mem::replace(message(to)?, copy));
        }
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_data(place: *mut Message) -> *mut c_void {
    // SAFETY: the caller's word (zmq.h).
    or(std::ptr::null_mut(), || Ok(ffi::data_mut(unsafe { message(place) }?).cast()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_size(place: *const Message) -> size_t {
    // SAFETY: the caller's word (zmq.h); it is only read.
    or(0, || Ok(unsafe { message(place.cast_mut()) }?.len()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_more(place: *const Message) -> c_int {
    // SAFETY: the caller's word (zmq.h); it is only read.
    or(0, || Ok(unsafe { message(place.cast_mut()) }?.more().into()))
}

const MORE: c_int = 1;
const SRCFD: c_int = 2;
const SHARED: c_int = 3;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_get(place: *const Message, property: c_int) -> c_int {
    int(|| {
        // SAFETY: the caller's word (zmq.h); it is only read.
        let message = unsafe { message(place.cast_mut()) }?;
        match property {
            MORE => Ok(message.more().into()),
            SHARED => Ok(ffi::is_shared(message).into()),
            SRCFD => ffi::descriptor(message).ok_or(EINVAL),
            _ => Err(EINVAL),
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_set(_: *mut Message, _: c_int, _: c_int) -> c_int {
    // There is no property that can be set.
    int(|| Err(EINVAL))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_gets(
    place: *const Message,
    property: *const c_char,
) -> *const c_char {
    or(std::ptr::null(), || {
        // SAFETY: the caller's word (zmq.h); it is only read.
        let message = unsafe { message(place.cast_mut()) }?;
        if property.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: the caller's word (zmq.h).
        let name = unsafe { CStr::from_ptr(property) };
        let value = name.to_str().ok().and_then(|name| ffi::property(message, name));
        value.ok_or(EINVAL)
    })
}
