//! What several of the test programs need.
#![allow(dead_code)] // each program uses a part of it

pub mod libzmq;
pub mod raw;

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use oxmq::Socket;

/// Longer than anything takes on a loaded machine; who waits this long has failed.
pub const LONG: Duration = Duration::from_secs(300);

/// A name that no other test uses, in this process or another, or has used: process ids come again,
/// and a process that is killed leaves its files.
pub fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    static START: LazyLock<u128> =
        LazyLock::new(|| SystemTime::UNIX_EPOCH.elapsed().unwrap().as_nanos());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("oxmq-{}-{:x}-{number}", std::process::id(), *START)
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

/// A transport, and which of two sockets binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub transport: &'static str,
    pub first_binds: bool,
}

/// Every transport, both ways round.
pub const PLACES: [Place; 6] = [
    Place { transport: "tcp", first_binds: true },
    Place { transport: "tcp", first_binds: false },
    Place { transport: "ipc", first_binds: true },
    Place { transport: "ipc", first_binds: false },
    Place { transport: "inproc", first_binds: true },
    Place { transport: "inproc", first_binds: false },
];

impl Place {
    /// A fresh endpoint to bind to.
    pub fn endpoint(self) -> String {
        match self.transport {
            "tcp" => "tcp://127.0.0.1:*".to_owned(),
            "ipc" => format!("ipc://@{}", fresh_name()),
            transport => format!("{transport}://{}", fresh_name()),
        }
    }

    /// Joins two sockets, and returns the endpoint.
    pub fn join(self, first: &Socket, second: &Socket) -> String {
        let (binds, connects) = if self.first_binds { (first, second) } else { (second, first) };
        let endpoint = binds.bind(&self.endpoint()).unwrap();
        connects.connect(&endpoint).unwrap();
        endpoint
    }
}
