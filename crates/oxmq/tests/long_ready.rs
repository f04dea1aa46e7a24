//! What a stranger's long READY costs. Alone in its program, which measures the whole process's time.

#[path = "process/mod.rs"]
mod process;
mod support;

use oxmq::{Context, Pull};

use support::LONG;
use support::raw::{GREETING_3_0, RawPeer, frame, message};

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
