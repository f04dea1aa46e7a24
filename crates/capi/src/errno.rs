//! The numbers of errors: the system's, and ØMQ's own.

use libc::c_int;

/// Where it lies, which C libraries call differently.
#[cfg(target_os = "android")]
use libc::__errno as place;
#[cfg(not(target_os = "android"))]
use libc::__errno_location as place;

/// An error as C sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Errno(pub(crate) c_int);

/// ØMQ's own numbers begin here.
const HAUSNUMERO: c_int = 156_384_712;

pub(crate) const EFSM: Errno = Errno(HAUSNUMERO + 51);
pub(crate) const ENOCOMPATPROTO: Errno = Errno(HAUSNUMERO + 52);
pub(crate) const ETERM: Errno = Errno(HAUSNUMERO + 53);
pub(crate) const EMTHREAD: Errno = Errno(HAUSNUMERO + 54);

pub(crate) const EAGAIN: Errno = Errno(libc::EAGAIN);
pub(crate) const EFAULT: Errno = Errno(libc::EFAULT);
pub(crate) const EINVAL: Errno = Errno(libc::EINVAL);
pub(crate) const EIO: Errno = Errno(libc::EIO);
pub(crate) const EMFILE: Errno = Errno(libc::EMFILE);
pub(crate) const ENOMEM: Errno = Errno(libc::ENOMEM);
pub(crate) const ENOTSOCK: Errno = Errno(libc::ENOTSOCK);
pub(crate) const ENOTSUP: Errno = Errno(libc::ENOTSUP);

/// Makes it the calling thread's `errno`.
pub(crate) fn set(error: Errno) {
    // SAFETY: the place is the calling thread's own.
    unsafe { *place() = error.0 }
}

/// The calling thread's `errno`.
pub(crate) fn get() -> c_int {
    // SAFETY: as above.
    unsafe { *place() }
}
