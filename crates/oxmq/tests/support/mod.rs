//! What several of the test programs need.
#![allow(dead_code)] // each program uses a part of it

pub mod libzmq;
pub mod raw;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Longer than anything takes on a loaded machine; who waits this long has failed.
pub const LONG: Duration = Duration::from_secs(20);

/// A name that no other test uses, in this process or another.
pub fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("oxmq-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// An endpoint to bind to, of each transport between processes.
pub fn endpoints() -> [String; 3] {
    [
        "tcp://127.0.0.1:*".to_owned(),
        format!("ipc://{}/{}", std::env::temp_dir().display(), fresh_name()),
        format!("ipc://@{}", fresh_name()),
    ]
}

/// A body of so many bytes that differ from place to place and from size to size.
pub fn body(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 + at / 251 + bytes) as u8).collect()
}
