//! Debian's libzmq, for tests to compare with.

use std::sync::OnceLock;

use libloading::Library;
use libloading::os::unix;

/// The library that the system has.
///
/// # Panics
/// It has none: `cargo xtask test` installs it.
pub(crate) fn library() -> &'static Library {
    static LIBRARY: OnceLock<Library> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        // Its own symbols come first: ours have the same names.
        let flags = unix::RTLD_NOW | unix::RTLD_LOCAL | libc::RTLD_DEEPBIND;
        // SAFETY: loading it runs no code of ours.
        unsafe { unix::Library::open(Some("libzmq.so.5"), flags) }
            .expect("libzmq5 is not installed; `cargo xtask test` installs it")
            .into()
    })
}
