//! Where Rust ends: every function that C calls runs through here, so that an error becomes an
//! `errno`, and a panic, which is a defect of ours, an error like others.

use std::panic::{AssertUnwindSafe, catch_unwind};

use libc::{c_int, c_void};

use crate::errno::{self, Errno};

/// What a panic of ours looks like to the caller.
const PANICKED: Errno = Errno(libc::ENOTRECOVERABLE);

/// Runs what a function does that returns -1 with an `errno` when it fails.
#[inline]
pub(crate) fn int(run: impl FnOnce() -> Result<c_int, Errno>) -> c_int {
    or(-1, run)
}

/// Runs what a function does that returns NULL with an `errno` when it fails.
pub(crate) fn pointer<T>(run: impl FnOnce() -> Result<*mut T, Errno>) -> *mut T {
    or(std::ptr::null_mut(), run)
}

/// Runs what a function does that returns `failed` with an `errno` when it fails.
#[inline]
pub(crate) fn or<T>(failed: T, run: impl FnOnce() -> Result<T, Errno>) -> T {
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => {
            errno::set(error);
            failed
        }
        Err(_) => {
            errno::set(PANICKED);
            failed
        }
    }
}

/// What a caller gave as the place for a result: EFAULT if there is none.
///
/// # Safety
/// If it is not NULL, a `T` may be read and written there while the result lives.
pub(crate) unsafe fn place<'a, T>(pointer: *mut T) -> Result<&'a mut T, Errno> {
    // SAFETY: passed on.
    unsafe { pointer.as_mut() }.ok_or(errno::EFAULT)
}

/// The bytes at a caller's pointer; EFAULT for bytes at NULL.
///
/// # Safety
/// `bytes` bytes may be read there while the result lives.
pub(crate) unsafe fn bytes<'a>(data: *const c_void, bytes: usize) -> Result<&'a [u8], Errno> {
    if bytes == 0 {
        return Ok(&[]);
    }
    if data.is_null() {
        return Err(errno::EFAULT);
    }
    // SAFETY: passed on.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), bytes) })
}
