//! Heartbeats, the other ways to notice a peer that is not there, and what the options say about tcp.

mod support;

use std::time::{Duration, Instant};

use oxmq::option::{
    CONNECT_TIMEOUT, HANDSHAKE_IVL, HEARTBEAT_IVL, HEARTBEAT_TIMEOUT, HEARTBEAT_TTL, MAXMSGSIZE,
    RCVHWM, RECONNECT_IVL, RECONNECT_IVL_MAX, SNDBUF, TCP_KEEPALIVE, TCP_KEEPALIVE_CNT,
    TCP_KEEPALIVE_IDLE, TCP_KEEPALIVE_INTVL, TOS,
};
use oxmq::{Context, Socket, SocketType};

use support::raw::{self, Old, RawListener, RawPeer};
use support::{LONG, endpoints};

const PING: &[u8] = b"\x04\x07\x04PING\0\0";

/// A PULL socket with these options, bound, and a peer of ZMTP 3.1 that has shaken hands.
fn connected(context: &Context, endpoint: &str, set: impl Fn(&Socket)) -> (Socket, RawPeer) {
    let pull = context.socket(SocketType::Pull).unwrap();
    set(&pull);
    let mut peer = RawPeer::connect(&pull.bind(endpoint).unwrap());
    peer.send(&raw::GREETING_OURS);
    peer.expect(&raw::GREETING_OURS);
    peer.send(&raw::ready("PUSH", None));
    peer.expect(&raw::ready("PULL", None));
    (pull, peer)
}

fn failure(socket: &Socket) -> String {
    socket.last_failure().unwrap()
}

// The peer's PINGs.

fn ping(context: u64) -> Vec<u8> {
    raw::frame(4, &[b"\x04PING\0\0", &context.to_be_bytes()[..]].concat())
}

fn pong(context: u64) -> Vec<u8> {
    raw::frame(4, &[b"\x04PONG", &context.to_be_bytes()[..]].concat())
}

/// However many come at once, between messages and within them.
#[test]
fn a_peer_that_reads_gets_a_pong_for_each_ping() {
    const PINGS: u64 = 9_000;
    for endpoint in endpoints() {
        let context = Context::new();
        let (pull, mut peer) = connected(&context, &endpoint, |pull| pull.set(RCVHWM, 0).unwrap());
        let mut asking = peer.copy();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let parts = |at: u64| match at % 3 {
                    0 => raw::frame(1, b"first part"),
                    1 => raw::frame(0, &vec![7; 100 + at as usize % 10_000]),
                    _ => Vec::new(),
                };
                for some in (0..PINGS).step_by(1000) {
                    let all = some..some + 1000;
                    asking.send(
                        &all.flat_map(|at| [parts(at), ping(at)].concat()).collect::<Vec<_>>(),
                    );
                }
            });
            for at in 0..PINGS {
                peer.expect(&pong(at));
            }
        });
        for _ in 0..PINGS / 3 {
            assert_eq!(pull.recv_multipart().unwrap().len(), 2);
        }
    }
}

// Our PINGs.

#[test]
fn a_peer_that_answers_stays() {
    for endpoint in endpoints() {
        let context = Context::new();
        let (pull, mut peer) = connected(&context, &endpoint, |pull| {
            pull.set(HEARTBEAT_IVL, 10).unwrap();
            pull.set(HEARTBEAT_TIMEOUT, 300_000).unwrap();
            pull.set(HEARTBEAT_TTL, 350).unwrap();
        });
        for _ in 0..20 {
            // 350 ms are 3 tenths of a second.
            peer.expect(b"\x04\x07\x04PING\0\x03");
            peer.send(b"\x04\x05\x04PONG");
        }
        peer.send(&raw::message(&["alive"]));
        assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"alive");
        assert_eq!(pull.last_failure(), None);
    }
}

#[test]
fn a_silent_peer_is_disconnected() {
    for endpoint in endpoints() {
        let context = Context::new();
        let began = Instant::now();
        let (pull, mut peer) = connected(&context, &endpoint, |pull| {
            pull.set(HEARTBEAT_IVL, 30).unwrap();
            pull.set(HEARTBEAT_TIMEOUT, 100).unwrap();
        });
        peer.expect(PING);
        assert!(peer.ends(), "{endpoint}");
        assert!(began.elapsed() >= Duration::from_millis(130), "too early");
        assert_eq!(failure(&pull), "the peer has not answered for 100 ms");
    }
}

#[test]
fn the_time_out_is_the_interval_unless_set() {
    let context = Context::new();
    let (pull, mut peer) =
        connected(&context, "tcp://127.0.0.1:*", |pull| pull.set(HEARTBEAT_IVL, 77).unwrap());
    peer.expect(PING);
    assert!(peer.ends());
    assert_eq!(failure(&pull), "the peer has not answered for 77 ms");
}

#[test]
fn a_time_out_of_0_is_none() {
    let context = Context::new();
    let (pull, mut peer) = connected(&context, "tcp://127.0.0.1:*", |pull| {
        pull.set(HEARTBEAT_IVL, 5).unwrap();
        pull.set(HEARTBEAT_TIMEOUT, 0).unwrap();
    });
    for _ in 0..30 {
        peer.expect(PING);
    }
    peer.send(&raw::message(&["alive"]));
    assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"alive");
}

/// Whatever comes is a sign of life, a byte of an unfinished message, too.
#[test]
fn any_traffic_is_a_sign_of_life() {
    let context = Context::new();
    let (pull, mut peer) = connected(&context, "tcp://127.0.0.1:*", |pull| {
        pull.set(HEARTBEAT_IVL, 20).unwrap();
        pull.set(HEARTBEAT_TIMEOUT, 3000).unwrap();
    });
    let body = vec![7; 200];
    let began = Instant::now();
    for byte in raw::message(&[&body]) {
        peer.expect(PING);
        peer.send(&[byte]);
    }
    assert_eq!(pull.recv_timeout(LONG).unwrap()[..], body[..]);
    assert!(began.elapsed() > Duration::from_millis(3000));
    assert_eq!(pull.last_failure(), None);
}

/// At RCVHWM nothing is read; that is not the peer's silence.
#[test]
fn a_full_queue_of_ours_is_not_the_peers_silence() {
    let context = Context::new();
    let pull = context.socket(SocketType::Pull).unwrap();
    pull.set(RCVHWM, 1).unwrap();
    pull.set(HEARTBEAT_IVL, 10).unwrap();
    pull.set(HEARTBEAT_TIMEOUT, 20).unwrap();
    let mut peer = RawPeer::connect(&pull.bind("tcp://127.0.0.1:*").unwrap());
    let messages: Vec<u8> = (0..100_u8).flat_map(|at| raw::message(&[[at]])).collect();
    // All at once: the peer is never silent before the queue is full.
    peer.send(&[&raw::GREETING_OURS[..], &raw::ready("PUSH", None), &messages].concat());
    peer.expect(&raw::GREETING_OURS);
    peer.expect(&raw::ready("PULL", None));
    for _ in 0..10 {
        peer.expect(PING);
    }
    assert_eq!(pull.last_failure(), None);
    // From here on the peer may be found silent, but only after it has been read to the end.
    for at in 0..100_u8 {
        assert_eq!(pull.recv_timeout(LONG).unwrap()[..], [at]);
    }
}

/// A PUSH socket that asks for signs of life, and a peer with a small buffer.
fn pushing(context: &Context, endpoint: &str, timeout_ms: i32) -> (Socket, RawPeer) {
    let push = context.socket(SocketType::Push).unwrap();
    push.set(SNDBUF, 4096).unwrap();
    push.set(HEARTBEAT_IVL, 50).unwrap();
    push.set(HEARTBEAT_TIMEOUT, timeout_ms).unwrap();
    let mut peer = RawPeer::connect_with(&push.bind(endpoint).unwrap(), 4096);
    peer.send(&raw::GREETING_OURS);
    peer.expect(&raw::GREETING_OURS);
    peer.send(&raw::ready("PULL", None));
    peer.expect(&raw::ready("PUSH", None));
    push.wait_for_peers(1, Some(LONG)).unwrap();
    (push, peer)
}

/// Reads PINGs, as many as come before the first byte of what is to come.
fn expect_after_pings(peer: &mut RawPeer, bytes: &[u8]) {
    let mut read = vec![0; PING.len()];
    loop {
        peer.stream.read_exact(&mut read).unwrap();
        if read != PING {
            break;
        }
    }
    assert_eq!(read, bytes[..PING.len()]);
    peer.expect(&bytes[PING.len()..]);
}

/// A long message that takes its time on the way is no silence: no PING could have been answered.
#[test]
fn who_takes_a_long_message_slowly_is_alive() {
    const TIMEOUT_MS: i32 = 1500;
    std::thread::scope(|scope| {
        for endpoint in endpoints() {
            scope.spawn(move || {
                let context = Context::new();
                let (push, mut peer) = pushing(&context, &endpoint, TIMEOUT_MS);
                let body = support::body(2_000_000);
                push.send(&body[..]).unwrap();
                let message = raw::message(&[&body]);
                let began = Instant::now();
                let steps = message.chunks(message.len() / 100);
                for (step, bytes) in (1..).zip(steps) {
                    // The line: three times as slow as the peer may be silent.
                    let due = began + Duration::from_millis(3 * TIMEOUT_MS as u64) * step / 100;
                    std::thread::sleep(due.saturating_duration_since(Instant::now()));
                    if step == 1 {
                        expect_after_pings(&mut peer, bytes);
                    } else {
                        peer.expect(bytes);
                    }
                }
                peer.expect(PING);
                assert_eq!(push.last_failure(), None, "{endpoint}");
            });
        }
    });
}

/// That a connection is blocked is no sign of life.
#[test]
fn who_takes_nothing_is_disconnected_however_much_waits() {
    for endpoint in endpoints() {
        let context = Context::new();
        let (push, _peer) = pushing(&context, &endpoint, 200);
        let began = Instant::now();
        push.send(support::body(2_000_000)).unwrap();
        wait_for_failure(&push);
        assert_eq!(failure(&push), "the peer has not answered for 200 ms");
        assert!(began.elapsed() >= Duration::from_millis(200), "too early");
    }
}

/// Nor is it that the peer's system acknowledges what its application does not read.
#[test]
fn who_reads_nothing_is_disconnected_though_its_system_takes_more() {
    for endpoint in endpoints() {
        let context = Context::new();
        let push = context.socket(SocketType::Push).unwrap();
        push.set(HEARTBEAT_IVL, 50).unwrap();
        push.set(HEARTBEAT_TIMEOUT, 200).unwrap();
        let mut peer = RawPeer::connect(&push.bind(&endpoint).unwrap());
        peer.send(&raw::GREETING_OURS);
        peer.expect(&raw::GREETING_OURS);
        peer.send(&raw::ready("PULL", None));
        peer.expect(&raw::ready("PUSH", None));
        push.wait_for_peers(1, Some(LONG)).unwrap();
        let monitor = push.monitor();
        let mut sent = 0;
        // A message every millisecond, far less than its buffer holds.
        while push.last_failure().is_none() {
            assert!(sent < 10_000, "{endpoint}: it is believed in");
            push.send("unread").unwrap();
            sent += 1;
            let _ = monitor.recv_timeout(Duration::from_millis(1));
        }
        assert_eq!(failure(&push), "the peer has not answered for 200 ms");
    }
}

/// A peer that is cut off behind a full pipe is found out as one that rests.
#[test]
fn who_is_cut_off_is_disconnected_however_much_waits() {
    let context = Context::new();
    let (push, mut peer) = pushing(&context, "tcp://127.0.0.1:*", 500);
    let body = support::body(2_000_000);
    push.send(&body[..]).unwrap();
    expect_after_pings(&mut peer, &raw::message(&[&body])[..500_000]);
    peer.cut_off();
    let began = Instant::now();
    wait_for_failure(&push);
    assert_eq!(failure(&push), "the peer has not answered for 500 ms");
    // Twice the time, and what a busy machine needs.
    assert!(began.elapsed() < LONG);
}

fn wait_for_failure(socket: &Socket) {
    let deadline = Instant::now() + LONG;
    while socket.last_failure().is_none() {
        assert!(Instant::now() < deadline, "it is believed in for ever");
        std::thread::yield_now();
    }
}

#[test]
fn peers_that_know_no_heartbeats_are_not_asked() {
    let openings = [
        (Old::V1.opening(8, b""), Old::V1.answer(7)),
        (Old::V2.opening(8, b""), Old::V2.answer(7)),
    ];
    for (opening, answer) in openings {
        let context = Context::new();
        let pull = context.socket(SocketType::Pull).unwrap();
        pull.set(HEARTBEAT_IVL, 5).unwrap();
        let mut peer = RawPeer::connect(&pull.bind("tcp://127.0.0.1:*").unwrap());
        peer.send(&opening);
        peer.expect(&answer);
        assert!(pull.recv_timeout(Duration::from_millis(100)).is_err());
        assert_eq!(pull.last_failure(), None);
        pull.close();
        assert_eq!(peer.read_to_end(), b"");
    }
}

/// Many a libzmq announces ZMTP 3.0 and answers PINGs.
#[test]
fn a_peer_of_zmtp_3_0_is_asked_too() {
    let context = Context::new();
    let pull = context.socket(SocketType::Pull).unwrap();
    pull.set(HEARTBEAT_IVL, 50).unwrap();
    let mut peer = RawPeer::connect(&pull.bind("tcp://127.0.0.1:*").unwrap());
    peer.send(&raw::GREETING_3_0);
    peer.send(&raw::ready("PUSH", None));
    peer.expect(&raw::GREETING_OURS);
    peer.expect(&raw::ready("PULL", None));
    peer.expect(PING);
    assert!(peer.ends());
    assert_eq!(failure(&pull), "the peer has not answered for 50 ms");
}

#[test]
fn a_silent_peer_is_connected_to_again() {
    for endpoint in &endpoints()[..2] {
        let context = Context::new();
        let push = context.socket(SocketType::Push).unwrap();
        push.set(HEARTBEAT_IVL, 20).unwrap();
        push.set(RECONNECT_IVL, 1).unwrap();
        let (listener, actual) = RawListener::bind(endpoint);
        push.connect(&actual).unwrap();
        for _ in 0..3 {
            let mut peer = listener.accept();
            peer.send(&raw::GREETING_OURS);
            peer.send(&raw::ready("PULL", None));
            peer.expect(&raw::GREETING_OURS);
            peer.expect(&raw::ready("PUSH", None));
            peer.expect(PING);
            assert!(peer.ends(), "{endpoint}");
        }
        assert_eq!(push.last_failure().unwrap(), "the peer has not answered for 20 ms");
    }
}

#[test]
fn two_of_ours_keep_each_other_alive() {
    for endpoint in endpoints() {
        let context = Context::new();
        let (push, pull) =
            (context.socket(SocketType::Push).unwrap(), context.socket(SocketType::Pull).unwrap());
        for set in [HEARTBEAT_IVL, HEARTBEAT_TIMEOUT, HEARTBEAT_TTL] {
            // Long enough for a machine that is stopped now and then.
            let ms = if set.spec() == HEARTBEAT_IVL.spec() { 10 } else { 300_000 };
            push.set(set, ms).unwrap();
            pull.set(set, ms).unwrap();
        }
        push.connect(&pull.bind(&endpoint).unwrap()).unwrap();
        push.wait_for_peers(1, Some(LONG)).unwrap();
        assert!(pull.recv_timeout(Duration::from_millis(300)).is_err());
        push.send("still there").unwrap();
        assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"still there");
        assert_eq!((push.last_failure(), pull.last_failure()), (None, None));
    }
}

// The peer's PINGs.

#[test]
fn a_ping_is_answered_with_its_context() {
    let context = Context::new();
    let (_pull, mut peer) = connected(&context, "tcp://127.0.0.1:*", |_| ());
    peer.send(&raw::frame(4, b"\x04PING\0\0context"));
    peer.expect(&raw::frame(4, b"\x04PONGcontext"));
}

#[test]
fn the_peers_ttl_is_honoured() {
    for endpoint in endpoints() {
        let context = Context::new();
        let (pull, mut peer) = connected(&context, &endpoint, |_| ());
        let began = Instant::now();
        peer.send(&raw::frame(4, b"\x04PING\0\x02"));
        peer.expect(&raw::frame(4, b"\x04PONG"));
        assert!(peer.ends(), "{endpoint}");
        assert!(began.elapsed() >= Duration::from_millis(200), "too early");
        assert_eq!(failure(&pull), "the peer has not answered for 200 ms");
    }
}

#[test]
fn a_ttl_begins_anew_with_each_ping_and_ends_with_traffic() {
    let context = Context::new();
    let (pull, mut peer) = connected(&context, "tcp://127.0.0.1:*", |_| ());
    // In one go: the first hint is replaced before it comes due.
    let pings = [&b"\x04PING\0\x01"[..], b"\x04PING\xFF\xFF"].map(|ping| raw::frame(4, ping));
    peer.send(&pings.concat());
    peer.expect(&raw::frame(4, b"\x04PONG"));
    peer.expect(&raw::frame(4, b"\x04PONG"));
    assert!(pull.recv_timeout(Duration::from_millis(300)).is_err());
    peer.send(&raw::message(&["alive"]));
    assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"alive");
    assert_eq!(pull.last_failure(), None);
}

/// Also when nothing was waited for by the time that an earlier one would have come due.
#[test]
fn a_ttl_counts_after_one_that_was_kept() {
    let context = Context::new();
    let (pull, mut peer) = connected(&context, "tcp://127.0.0.1:*", |_| ());
    peer.send(&raw::frame(4, b"\x04PING\0\x05"));
    peer.expect(&raw::frame(4, b"\x04PONG"));
    peer.send(&raw::message(&["alive"]));
    assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"alive");
    // Longer than that, in which nothing comes due.
    assert!(pull.recv_timeout(Duration::from_millis(700)).is_err());
    assert_eq!(pull.last_failure(), None);
    peer.send(&raw::frame(4, b"\x04PING\0\x02"));
    peer.expect(&raw::frame(4, b"\x04PONG"));
    assert!(peer.ends());
    assert_eq!(failure(&pull), "the peer has not answered for 200 ms");
}

// Connecting.

/// A listener whose queue is full does not answer.
#[test]
fn connecting_takes_no_longer_than_it_may() {
    let context = Context::new();
    let push = context.socket(SocketType::Push).unwrap();
    push.set(CONNECT_TIMEOUT, 60).unwrap();
    push.set(HANDSHAKE_IVL, 0).unwrap();
    let (listener, actual) = RawListener::bind_full();
    push.connect(&actual).unwrap();
    let deadline = Instant::now() + LONG;
    while push.last_failure().is_none() {
        assert!(Instant::now() < deadline, "it goes on for ever");
        std::thread::yield_now();
    }
    assert_eq!(push.last_failure().unwrap(), "nobody answered the connection for 60 ms");
    drop(listener);
}

/// What was connected in time is not held to the time of connecting.
#[test]
fn a_connection_that_stands_outlives_its_connect_timeout() {
    let context = Context::new();
    let push = context.socket(SocketType::Push).unwrap();
    push.set(CONNECT_TIMEOUT, 50).unwrap();
    let (listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
    push.connect(&actual).unwrap();
    let mut peer = listener.accept();
    assert!(push.wait_for_peers(1, Some(Duration::from_millis(150))).is_err());
    peer.shake_hands("PULL", "PUSH");
    push.send("late").unwrap();
    peer.expect(&raw::message(&["late"]));
}

#[test]
fn the_delays_between_attempts_double() {
    let context = Context::new();
    let push = context.socket(SocketType::Push).unwrap();
    push.set(RECONNECT_IVL, 20).unwrap();
    push.set(RECONNECT_IVL_MAX, 80).unwrap();
    let (listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
    push.connect(&actual).unwrap();
    let mut began = Instant::now();
    for attempt in 0..6 {
        // Ends before the handshake, so that the attempt counts as failed.
        drop(listener.accept());
        let least = [0, 20, 40, 80, 80, 80][attempt];
        assert!(began.elapsed() >= Duration::from_millis(least), "attempt {attempt}");
        began = Instant::now();
    }
}

// Sizes.

#[test]
fn a_part_of_maxmsgsize_is_the_longest() {
    let context = Context::new();
    let (pull, mut peer) =
        connected(&context, "tcp://127.0.0.1:*", |pull| pull.set(MAXMSGSIZE, 300_i64).unwrap());
    peer.send(&raw::message(&[vec![1; 300]]));
    assert_eq!(pull.recv_timeout(LONG).unwrap().len(), 300);
    peer.send(&raw::message(&[vec![1; 301]]));
    assert!(peer.ends());
    assert!(failure(&pull).contains("301 bytes, expected at most 300"), "{}", failure(&pull));
}

// The system's options.

#[test]
fn tcp_options_reach_both_ends() {
    let context = Context::new();
    for we_bind in [true, false] {
        for endpoint in ["tcp://127.0.0.1:*", "ipc://*"] {
            let push = context.socket(SocketType::Push).unwrap();
            push.set(TCP_KEEPALIVE, 1).unwrap();
            push.set(TCP_KEEPALIVE_CNT, 7).unwrap();
            push.set(TCP_KEEPALIVE_IDLE, 77).unwrap();
            push.set(TCP_KEEPALIVE_INTVL, 17).unwrap();
            push.set(TOS, 0x28).unwrap();
            let mut peer = if we_bind {
                RawPeer::connect(&push.bind(endpoint).unwrap())
            } else {
                let (listener, actual) = RawListener::bind(&support::endpoints()[0]);
                push.connect(&actual).unwrap();
                listener.accept()
            };
            peer.shake_hands("PULL", "PUSH");
            let Some(ours) = raw::other_end(peer.stream.as_raw_fd()) else { continue };
            for (level, name, value) in [
                (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
                (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 7),
                (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 77),
                (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 17),
                (libc::IPPROTO_IP, libc::IP_TOS, 0x28),
            ] {
                assert_eq!(raw::int_option(ours, level, name), value, "{level}, {name}");
            }
        }
    }
}

#[test]
fn without_options_the_system_has_its_own() {
    let context = Context::new();
    let pull = context.socket(SocketType::Pull).unwrap();
    let peer = RawPeer::connect(&pull.bind("tcp://127.0.0.1:*").unwrap());
    let mut peer = peer;
    peer.shake_hands("PUSH", "PULL");
    let ours = raw::other_end(peer.stream.as_raw_fd()).unwrap();
    assert_eq!(raw::int_option(ours, libc::SOL_SOCKET, libc::SO_KEEPALIVE), 0);
    assert_eq!(raw::int_option(ours, libc::IPPROTO_IP, libc::IP_TOS), 0);
    let all = [TCP_KEEPALIVE, TCP_KEEPALIVE_CNT, TCP_KEEPALIVE_IDLE, TCP_KEEPALIVE_INTVL];
    assert_eq!(all.map(|option| pull.get(option)), [-1; 4]);
    assert!(pull.set(TCP_KEEPALIVE, 2).is_err() && pull.set(TOS, -1).is_err());
}
