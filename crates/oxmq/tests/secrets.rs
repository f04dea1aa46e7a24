//! Passwords and secret keys are wiped before their memory is given back, and no error shows them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use oxmq::option::{
    CURVE_PUBLICKEY, CURVE_SECRETKEY, CURVE_SERVER, CURVE_SERVERKEY, LINGER, PLAIN_PASSWORD,
    PLAIN_USERNAME,
};
use oxmq::security::KeyPair;
use oxmq::{Context, Pull, Push};

/// Looks through all memory that is given back.
struct Searching;

/// What a secret of these tests is made of, and nothing else.
const MARK: [u8; 8] = [0x9E, 0xC3, 0x5A, 0x71, 0xE8, 0x0D, 0xB6, 0x4F];
static FOUND: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the system's, which is asked for everything.
unsafe impl GlobalAlloc for Searching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: passed on. Zeros, so that every byte may be looked at.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is this long, and of initialised bytes: it began as zeros.
        let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
        let found = bytes.windows(MARK.len()).filter(|bytes| **bytes == MARK).count();
        FOUND.fetch_add(found, Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Searching = Searching;

/// 32 bytes.
fn secret() -> Vec<u8> {
    MARK.repeat(4)
}

/// One test, for what is found may be anybody's.
#[test]
fn nothing_of_a_secret_is_left_in_memory_that_is_given_back() {
    drop(secret());
    assert_eq!(FOUND.swap(0, Ordering::Relaxed), 4, "the search finds what is there");
    let left = |what: &str| assert_eq!(FOUND.swap(0, Ordering::Relaxed), 0, "{what}");

    let context = Context::new();
    let push = Push::new(&context).unwrap();
    push.set(LINGER, 0).unwrap();
    push.set(PLAIN_USERNAME, b"ann".to_vec()).unwrap();
    push.set(PLAIN_PASSWORD, secret()).unwrap();
    push.set(PLAIN_PASSWORD, secret()).unwrap();
    left("a password that another has replaced");
    push.set(PLAIN_PASSWORD, b"other".to_vec()).unwrap();
    left("a password that is taken back");
    push.set(PLAIN_PASSWORD, secret()).unwrap();
    // The connection keeps the options.
    push.connect("ipc://@oxmq-nobody-is-here").unwrap();
    push.close();
    drop(push);
    left("the password of a socket that is closed");

    let long = MARK.repeat(36);
    let error = Push::new(&context).unwrap().set(PLAIN_PASSWORD, long).unwrap_err();
    assert!(!format!("{error:?}").contains("158, 195"), "{error:?}");
    assert_eq!(
        error.to_string(),
        "option PLAIN_PASSWORD: 288 bytes are out of range; expected at most 255 bytes"
    );
    drop(error);
    left("a password that is refused");

    let client = KeyPair::generate().unwrap();
    let server = KeyPair::from_secret(secret()[..].try_into().unwrap());
    FOUND.store(0, Ordering::Relaxed);
    let pull = Pull::new(&context).unwrap();
    pull.set(CURVE_SERVER, true).unwrap();
    pull.set(CURVE_SECRETKEY, secret()).unwrap();
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let push = Push::new(&context).unwrap();
    push.set(CURVE_SERVERKEY, server.public().to_vec()).unwrap();
    push.set(CURVE_PUBLICKEY, client.public().to_vec()).unwrap();
    push.set(CURVE_SECRETKEY, client.secret().to_vec()).unwrap();
    push.connect(&endpoint).unwrap();
    push.send("sealed").unwrap();
    assert_eq!(&pull.recv().unwrap()[..], b"sealed");
    drop((push, pull));
    left("the key of a server");

    // The same, of a client.
    let (client, server) = (server, client);
    let pull = Pull::new(&context).unwrap();
    pull.set(CURVE_SERVER, true).unwrap();
    pull.set(CURVE_SECRETKEY, server.secret().to_vec()).unwrap();
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let push = Push::new(&context).unwrap();
    push.set(CURVE_SERVERKEY, server.public().to_vec()).unwrap();
    push.set(CURVE_PUBLICKEY, client.public().to_vec()).unwrap();
    push.set(CURVE_SECRETKEY, secret()).unwrap();
    push.connect(&endpoint).unwrap();
    push.send("sealed").unwrap();
    assert_eq!(&pull.recv().unwrap()[..], b"sealed");
    drop((push, pull, client));
    context.term().unwrap();
    left("the key of a client");
}
