//! `zmq_version`, `zmq_has`, `zmq_errno` and `zmq_strerror`: what the library says of itself.

use std::ffi::CStr;

use libc::{c_char, c_int};

use crate::boundary;
use crate::errno::{self, EFSM, EMTHREAD, ENOCOMPATPROTO, ETERM, Errno};

/// The version of libzmq that this library replaces; `zmq.h` and the name of the file say it too.
const VERSION: [c_int; 3] = [4, 3, 6];

/// Of what `zmq_has` is asked for ("ipc", "pgm", "tipc", "norm", "vmci", "vsock", "curve",
/// "gssapi", "draft", "WS", "WSS"): what is built.
const CAPABILITIES: [&CStr; 2] = [c"ipc", c"curve"];

/// The texts of errors that the system has none for, or another: they are libzmq's, for programs
/// and people look for them.
const TEXTS: [(Errno, &CStr); 5] = [
    (EFSM, c"Operation cannot be accomplished in current state"),
    (ENOCOMPATPROTO, c"The protocol is not compatible with the socket type"),
    (ETERM, c"Context was terminated"),
    (EMTHREAD, c"No thread available"),
    (Errno(libc::EHOSTUNREACH), c"Host unreachable"),
];

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_version(major: *mut c_int, minor: *mut c_int, patch: *mut c_int) {
    for (place, number) in [major, minor, patch].into_iter().zip(VERSION) {
        // SAFETY: the caller's word, but for NULL.
        if let Ok(place) = unsafe { boundary::place(place) } {
            *place = number;
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_has(capability: *const c_char) -> c_int {
    if capability.is_null() {
        return 0;
    }
    // SAFETY: the caller's word.
    let capability = unsafe { CStr::from_ptr(capability) };
    c_int::from(CAPABILITIES.contains(&capability))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_errno() -> c_int {
    errno::get()
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_strerror(errnum: c_int) -> *const c_char {
    match TEXTS.iter().find(|(error, _)| error.0 == errnum) {
        Some((_, text)) => text.as_ptr(),
        // SAFETY: any number will do.
        None => unsafe { libc::strerror(errnum) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference;

    fn text<'a>(strerror: unsafe extern "C" fn(c_int) -> *const c_char, error: c_int) -> &'a CStr {
        // SAFETY: as zmq.h says.
        unsafe { CStr::from_ptr(strerror(error)) }
    }

    unsafe extern "C" fn ours(error: c_int) -> *const c_char {
        zmq_strerror(error)
    }

    #[test]
    fn errors_have_the_texts_that_libzmq_gives_them() {
        type Strerror = unsafe extern "C" fn(c_int) -> *const c_char;
        // SAFETY: as zmq.h declares it.
        let theirs = unsafe { reference::library().get::<Strerror>(b"zmq_strerror") }.unwrap();
        let hausnumero = EFSM.0 - 51;
        for error in (0..=200).chain(hausnumero..hausnumero + 60) {
            let expected = text(*theirs, error).to_owned();
            assert_eq!(text(ours, error), &*expected, "{error}");
        }
    }

    #[test]
    fn the_version_is_that_of_the_header() {
        let mut version = [0; 3];
        let [major, minor, patch] = &mut version;
        // SAFETY: locals, and NULL.
        unsafe {
            zmq_version(major, minor, patch);
            zmq_version(std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        }
        let header = include_str!("../include/zmq.h");
        for (name, number) in ["MAJOR", "MINOR", "PATCH"].into_iter().zip(version) {
            assert!(header.contains(&format!("#define ZMQ_VERSION_{name} {number}\n")));
        }
    }

    #[test]
    fn it_has_what_is_built() {
        // SAFETY: texts, and NULL.
        unsafe {
            assert_eq!(zmq_has(c"ipc".as_ptr()), 1);
            assert_eq!(zmq_has(c"curve".as_ptr()), 1);
            assert_eq!(zmq_has(c"gssapi".as_ptr()), 0);
            assert_eq!(zmq_has(c"tcp".as_ptr()), 0);
            assert_eq!(zmq_has(c"IPC".as_ptr()), 0);
            assert_eq!(zmq_has(c"".as_ptr()), 0);
            assert_eq!(zmq_has(std::ptr::null()), 0);
        }
    }
}
