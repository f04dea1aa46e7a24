//! What a stranger costs: time and memory. One test at a time, for those of the whole process are measured.

#[path = "process/mod.rs"]
mod process;
mod support;

use std::io::Read;
use std::sync::{Mutex, PoisonError};

use oxmq::{Context, Pull};

use support::raw::{GREETING_3_0, RawPeer, frame, message};
use support::{LONG, endpoints};

static ALONE: Mutex<()> = Mutex::new(());

/// A READY with as many properties as it may hold, whose names begin so; and how many they are.
fn crammed_ready(begin: &str) -> (Vec<u8>, usize) {
    let mut body = b"\x05READY\x0bSocket-Type\0\0\0\x04PUSH".to_vec();
    let mut names = 0;
    while body.len() < 64 * 1024 - 20 {
        let name = format!("{begin}{names:x}");
        body.push(name.len() as u8);
        body.extend(name.as_bytes());
        body.extend([0; 4]);
        names += 1;
    }
    (frame(4, &body), names)
}

/// What names cost grows with their number, not with its square: those that are kept cost about as much
/// as those that are not.
#[test]
fn thousands_of_names_cost_little_each() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let actual = pull.bind("tcp://127.0.0.1:*").unwrap();
    let cost = |begin: &str| {
        let (ready, names) = crammed_ready(begin);
        let before = process::cpu_time();
        for _ in 0..10 {
            let mut peer = RawPeer::connect(&actual);
            peer.send(&GREETING_3_0);
            peer.send(&ready);
            peer.send(&message(&["here"]));
            let here = pull.recv_timeout(LONG).unwrap();
            let peer = here.connection().unwrap().peer.unwrap();
            assert_eq!(peer.properties.len(), if begin == "X-" { names } else { 0 });
        }
        process::cpu_time() - before
    };
    let (dropped, kept) = (cost("Y-"), cost("X-"));
    println!("dropped: {dropped:?}, kept: {kept:?}");
    assert!(kept < 6 * dropped, "dropped: {dropped:?}, kept: {kept:?}");
}

fn ping(context: u64) -> Vec<u8> {
    frame(4, &[b"\x04PING\0\0", &context.to_be_bytes()[..]].concat())
}

fn pong(context: u64) -> Vec<u8> {
    frame(4, &[b"\x04PONG", &context.to_be_bytes()[..]].concat())
}

/// What a peer makes this end say is bounded, whether it reads or not. What it says itself is heard.
#[test]
fn a_peer_that_never_reads_fills_no_memory_with_pongs() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    /// Each read by itself: the answers to so many wait at most.
    const BURSTS: usize = 30_000;
    const PINGS_EACH: u64 = 60;
    const GROWTH_KIB: usize = 4 * 1024;
    for endpoint in endpoints() {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        let mut peer = RawPeer::connect(&pull.bind(&endpoint).unwrap());
        peer.shake_hands("PUSH", "PULL");
        let before_kib = process::resident_kib();
        let mut burst: Vec<u8> = (0..PINGS_EACH).flat_map(ping).collect();
        burst.extend(message(&["behind them"]));
        for _ in 0..BURSTS {
            peer.send(&burst);
            assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"behind them");
        }
        let grown_kib = process::resident_kib().saturating_sub(before_kib);
        println!("{endpoint}: {grown_kib} KiB");
        assert!(grown_kib < process::memory_slack_kib(GROWTH_KIB), "{endpoint}: {grown_kib} KiB");
        // Once it reads it is answered again: whole PONGs, those of the PINGs that came first.
        peer.send(&ping(u64::MAX));
        let mut pongs = 0;
        loop {
            let mut read = pong(0);
            peer.stream.read_exact(&mut read).unwrap();
            if read == pong(u64::MAX) {
                break;
            }
            assert_eq!(read, pong(pongs % PINGS_EACH));
            pongs += 1;
            if pongs % 1000 == 0 {
                peer.send(&ping(u64::MAX));
            }
        }
    }
}
