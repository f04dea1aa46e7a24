//! Options of new sockets and contexts, read through Debian's library and ours: type, size, default
//! and errors are the same.

mod support;

use std::collections::BTreeSet;
use std::ffi::{c_int, c_void};
use std::path::Path;
use std::ptr;

use libloading::os::unix;

use support::{output, prefix, sanitizer};

/// What differs, by number: first and last, and why.
const DIFFERENCES: &[(c_int, c_int, &str)] = &[
    (62, 65, "GSSAPI is not built"),
    (68, 68, "SOCKS is not built"),
    (90, 91, "GSSAPI is not built"),
    (97, 97, "ROUTER_NOTIFY, a draft: Debian's library is built without"),
    (99, 100, "SOCKS is not built"),
    (112, 113, "PRIORITY and BUSY_POLL, drafts"),
    (116, 116, "TOPICS_COUNT, a draft"),
];

const FD: c_int = 14;
const PAIR: c_int = 0;
const STREAM: c_int = 11;
/// Beyond the last option that there is.
const OPTIONS: std::ops::Range<c_int> = 0..140;

/// A library with these names of its own.
struct Library {
    new: unsafe extern "C" fn() -> *mut c_void,
    term: unsafe extern "C" fn(*mut c_void) -> c_int,
    get: unsafe extern "C" fn(*mut c_void, c_int) -> c_int,
    socket: unsafe extern "C" fn(*mut c_void, c_int) -> *mut c_void,
    close: unsafe extern "C" fn(*mut c_void) -> c_int,
    getsockopt: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, *mut usize) -> c_int,
    errno: unsafe extern "C" fn() -> c_int,
}

impl Library {
    fn load(path: &Path) -> Library {
        let mut flags = unix::RTLD_NOW | unix::RTLD_LOCAL;
        if sanitizer().is_none() {
            flags |= libc::RTLD_DEEPBIND;
        }
        // SAFETY: both libraries are what zmq.h says, and stay for good.
        unsafe {
            let library = unix::Library::open(Some(path), flags).expect("the library is there");
            macro_rules! find {
                ($name:literal) => {
                    *library.get($name).expect("the library has all of its functions")
                };
            }
            let functions = Library {
                new: find!(b"zmq_ctx_new"),
                term: find!(b"zmq_ctx_term"),
                get: find!(b"zmq_ctx_get"),
                socket: find!(b"zmq_socket"),
                close: find!(b"zmq_close"),
                getsockopt: find!(b"zmq_getsockopt"),
                errno: find!(b"zmq_errno"),
            };
            std::mem::forget(library);
            functions
        }
    }

    /// What reading an option of a new socket into so many bytes gives: an errno, or bytes.
    fn read(&self, kind: c_int, room: usize) -> Vec<Result<Vec<u8>, c_int>> {
        // SAFETY: as zmq.h says.
        unsafe {
            let context = (self.new)();
            let socket = (self.socket)(context, kind);
            assert!(!socket.is_null(), "{kind}");
            let read = |option| {
                let (mut value, mut length) = ([0xA5_u8; 256], room);
                let value_p = value.as_mut_ptr().cast();
                match (self.getsockopt)(socket, option, value_p, &mut length) {
                    0 if option == FD => Ok(vec![0; length]),
                    0 => Ok(value[..length].to_vec()),
                    _ => Err((self.errno)()),
                }
            };
            let values = OPTIONS.map(read).collect();
            (self.close)(socket);
            (self.term)(context);
            values
        }
    }

    fn read_context(&self) -> Vec<(c_int, c_int)> {
        // SAFETY: as zmq.h says.
        unsafe {
            let context = (self.new)();
            let read = |option| {
                let value = (self.get)(context, option);
                (value, if value < 0 { (self.errno)() } else { 0 })
            };
            let values = OPTIONS.map(read).collect();
            (self.term)(context);
            values
        }
    }
}

fn libraries() -> [Library; 2] {
    let debian = output("gcc", ["-print-file-name=libzmq.so.5"]);
    [Library::load(Path::new(debian.trim())), Library::load(&prefix().join("lib/libzmq.so.5"))]
}

#[test]
fn options_of_sockets() {
    let [theirs, ours] = libraries();
    let (mut found, mut differing) = (Vec::new(), BTreeSet::new());
    for kind in PAIR..=STREAM {
        for room in [256, 41, 32, 8, 7, 4, 3, 0] {
            let (theirs, ours) = (theirs.read(kind, room), ours.read(kind, room));
            for ((option, theirs), ours) in OPTIONS.zip(theirs).zip(ours) {
                if theirs != ours {
                    differing.insert(option);
                    found.push((option, kind, room, theirs, ours));
                }
            }
        }
    }
    let listed = |option: c_int| DIFFERENCES.iter().any(|(a, b, _)| (*a..=*b).contains(&option));
    found.retain(|(option, ..)| !listed(*option));
    found.sort();
    assert!(found.is_empty(), "(option, type of socket, room, Debian's, ours): {found:#?}");
    for (first, last, why) in DIFFERENCES {
        let differs = |option| differing.contains(&option);
        assert!((*first..=*last).any(differs), "{first} to {last} do not differ: {why}");
    }
}

#[test]
fn options_of_contexts() {
    let [theirs, ours] = libraries();
    assert_eq!(theirs.read_context(), ours.read_context());
}

#[test]
fn there_is_no_room_without_a_size() {
    let [_, ours] = libraries();
    // SAFETY: NULL is allowed.
    unsafe {
        let context = (ours.new)();
        let socket = (ours.socket)(context, PAIR);
        assert_eq!((ours.getsockopt)(socket, 16, ptr::null_mut(), ptr::null_mut()), -1);
        (ours.close)(socket);
        (ours.term)(context);
    }
}
