//! What a connection holds that does nothing.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use oxmq::monitor::{EventKind, Monitor};
use oxmq::{Context, Pull, Push};

use support::LONG;

/// Both ends of a tcp connection: 2,754 to 2,776 when this was measured. What the allocator adds to it is not
/// counted.
const BYTES_MAX: usize = 2_800;

/// Connections at first, and added. Powers of two: lists that double are as full before as after.
const CONNECTIONS: usize = 128;

/// Bytes that are allocated now.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: passed on.
        unsafe { System.dealloc(at, layout) };
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn an_idle_connection_is_small() {
    let (bound, connecting) = (Context::new(), Context::new());
    let (pull, push) = (Pull::new(&bound).unwrap(), Push::new(&connecting).unwrap());
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let connect = || {
        let monitors = [pull.monitor(), push.monitor()];
        for _ in 0..CONNECTIONS {
            push.connect(&endpoint).unwrap();
        }
        monitors.iter().for_each(await_handshakes);
    };
    connect();
    let before = ALLOCATED.load(Ordering::Relaxed);
    connect();
    // A thread that has told of the last handshake may still be tidying up.
    let deadline = Instant::now() + LONG;
    loop {
        let bytes = ALLOCATED.load(Ordering::Relaxed).saturating_sub(before) / CONNECTIONS;
        if bytes <= BYTES_MAX {
            return;
        }
        assert!(Instant::now() < deadline, "{bytes} bytes a connection");
        thread::sleep(Duration::from_millis(1));
    }
}

fn await_handshakes(monitor: &Monitor) {
    let mut done = 0;
    while done < CONNECTIONS {
        let event = monitor.recv_timeout(LONG).unwrap();
        done += usize::from(event.kind == EventKind::HandshakeSucceeded);
    }
}
