//! How many messages a socket takes before it is mute: exactly what `option::SNDHWM` says.

mod support;

use std::thread;
use std::time::Duration;

use oxmq::option::{LINGER, RCVBUF, RCVHWM, SNDBUF, SNDHWM, SNDTIMEO};
use oxmq::{Context, Message, Publisher, Pull, Push, SendErrorKind, Socket, Subscriber};

use support::raw::RawPeer;
use support::{LONG, body, endpoints, fresh_name};

const MARKS: [i32; 4] = [1, 2, 10, 1000];
const BODIES: [usize; 3] = [1, 1024, 1 << 20];
/// More than any of the tests' bounds.
const UNBOUNDED: usize = 10_000;
/// SNDBUF and RCVBUF, which the kernel doubles for its own needs: small, so that few messages fill
/// them; for long bodies larger, or tcp carries them at a crawl.
fn socket_buffers(body_bytes: usize) -> (i32, i32) {
    if body_bytes < 1 << 20 { (8 << 10, 16 << 10) } else { (128 << 10, 256 << 10) }
}
/// A read buffer: 64 KiB for one read, and the longest frame that may lie before it.
const READ_BUFFER_BYTES: usize = (64 << 10) + 8192 + 64;
/// A socket that takes nothing for so long takes nothing more: the I/O thread has written all
/// that the kernel accepts.
const MUTE_MS: i32 = 100;

/// Sends until the socket takes no more, at most `max` messages; never waits.
fn fill_at_once(socket: &Socket, message: &Message, max: usize) -> usize {
    for sent in 0..max {
        if let Err(error) = socket.try_send(message.clone()) {
            assert_eq!(error.kind(), SendErrorKind::Again);
            return sent;
        }
    }
    max
}

/// As [`fill_at_once`], with time for the I/O threads to pass on what they can.
fn fill(socket: &Socket, message: &Message) -> usize {
    socket.set(SNDTIMEO, MUTE_MS).unwrap();
    let mut sent = 0;
    loop {
        let before = sent;
        while socket.send(message.clone()).is_ok() {
            sent += 1;
            assert!(sent < 1_000_000, "the socket is never mute");
        }
        if sent == before {
            return sent;
        }
    }
}

/// The bytes that a message of one part has on the wire.
fn wire_bytes(body_bytes: usize) -> usize {
    body_bytes + if body_bytes > 255 { 9 } else { 2 }
}

#[test]
fn connected_to_nobody() {
    for transport in ["tcp://127.0.0.1:9", "ipc://@nobody-is-there", "inproc://nobody"] {
        for mark in MARKS {
            for bytes in BODIES {
                let context = Context::new();
                let push = Push::new(&context).unwrap();
                push.set(SNDHWM, mark).unwrap();
                push.set(LINGER, 0).unwrap();
                push.connect(transport).unwrap();
                let taken = fill_at_once(push.as_ref(), &Message::from(body(bytes)), UNBOUNDED);
                assert_eq!(taken, mark as usize, "{transport}, {bytes} bytes");
                println!("nobody   {transport:24} SNDHWM {mark:4} {bytes:8} B: {taken}");
            }
        }
    }
}

#[test]
fn several_peers_have_a_mark_each() {
    let context = Context::new();
    for mark in MARKS {
        let push = Push::new(&context).unwrap();
        push.set(LINGER, 0).unwrap();
        // Before or after: the mark is that of all the socket's peers.
        push.connect(&format!("inproc://nobody-{mark}")).unwrap();
        push.set(SNDHWM, mark).unwrap();
        push.connect(&format!("ipc://@nobody-{}", fresh_name())).unwrap();
        let taken = fill_at_once(push.as_ref(), &"".into(), UNBOUNDED);
        assert_eq!(taken, 2 * mark as usize);
    }
    // A multipart counts once.
    let push = Push::new(&context).unwrap();
    push.set(SNDHWM, 3).unwrap();
    push.set(LINGER, 0).unwrap();
    push.connect("inproc://multipart").unwrap();
    let sent = (0..10).filter(|_| push.try_send_multipart(["a", "", "b"]).is_ok()).count();
    assert_eq!(sent, 3);
}

#[test]
fn zero_is_no_bound() {
    for endpoint in ["ipc://@nobody-bounds", "inproc://nobody"] {
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        push.set(SNDHWM, 0).unwrap();
        push.set(LINGER, 0).unwrap();
        push.connect(endpoint).unwrap();
        assert_eq!(fill_at_once(push.as_ref(), &"".into(), UNBOUNDED), UNBOUNDED);
    }
}

/// In which order the two ends of an inproc pipe come to be.
#[derive(Clone, Copy, Debug)]
enum Joined {
    SenderBinds,
    ReceiverBinds,
    /// The sender connects and fills its own part of the bound before there is a receiver.
    ReceiverBindsLate,
}

#[test]
fn inproc_has_the_sum_of_both_marks() {
    for joined in [Joined::SenderBinds, Joined::ReceiverBinds, Joined::ReceiverBindsLate] {
        for (send, receive) in
            [(1, 1), (1, 1000), (2, 10), (10, 2), (1000, 1000), (0, 10), (10, 0), (0, 0)]
        {
            for bytes in BODIES {
                let context = Context::new();
                let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
                push.set(SNDHWM, send).unwrap();
                pull.set(RCVHWM, receive).unwrap();
                push.set(LINGER, 0).unwrap();
                let message = Message::from(body(bytes));
                let mut early = 0;
                match joined {
                    Joined::SenderBinds => {
                        push.bind("inproc://x").unwrap();
                        pull.connect("inproc://x").unwrap();
                    }
                    Joined::ReceiverBinds => {
                        pull.bind("inproc://x").unwrap();
                        push.connect("inproc://x").unwrap();
                    }
                    Joined::ReceiverBindsLate => {
                        push.connect("inproc://x").unwrap();
                        early = fill_at_once(push.as_ref(), &message, UNBOUNDED);
                        let bound = if send == 0 { UNBOUNDED } else { send as usize };
                        assert_eq!(early, bound, "before the bind, {send}");
                        pull.bind("inproc://x").unwrap();
                    }
                }
                let bound =
                    if send == 0 || receive == 0 { UNBOUNDED } else { (send + receive) as usize };
                let taken = early + fill_at_once(push.as_ref(), &message, UNBOUNDED - early);
                let what = format!("{joined:?}, SNDHWM {send}, RCVHWM {receive}, {bytes} bytes");
                assert_eq!(taken, bound, "{what}");
                println!("inproc   {what}: {taken}");
                for _ in 0..taken {
                    assert_eq!(pull.try_recv().unwrap().len(), bytes, "{what}");
                }
                assert!(pull.try_recv().is_err());
                push.try_send(message).unwrap();
            }
        }
    }
}

#[test]
fn a_publisher_drops_what_is_over_the_mark() {
    for (send, receive) in [(1, 1), (2, 10), (1000, 1000)] {
        let context = Context::new();
        let publisher = Publisher::new(&context).unwrap();
        let subscriber = Subscriber::new(&context).unwrap();
        publisher.set(SNDHWM, send).unwrap();
        subscriber.set(RCVHWM, receive).unwrap();
        subscriber.subscribe("").unwrap();
        publisher.bind("inproc://x").unwrap();
        subscriber.connect("inproc://x").unwrap();
        publisher.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        for number in 0..UNBOUNDED as u32 {
            publisher.send(&number.to_le_bytes()).unwrap();
        }
        // The first ones are kept.
        for number in 0..(send + receive) as u32 {
            assert_eq!(subscriber.try_recv().unwrap()[..], number.to_le_bytes());
        }
        assert!(subscriber.try_recv().is_err());
    }
}

/// Runs the test with every mark and every size of body over tcp and ipc; most of its time is
/// spent waiting, so the marks go side by side.
fn everywhere(test: impl Fn(&str, i32, usize) + Sync) {
    thread::scope(|scope| {
        for mark in MARKS {
            let test = &test;
            scope.spawn(move || {
                for endpoint in &endpoints()[..2] {
                    for bytes in BODIES {
                        test(endpoint, mark, bytes);
                    }
                }
            });
        }
    });
}

#[test]
fn a_peer_that_reads_nothing() {
    everywhere(|endpoint, mark, bytes| {
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        push.set(SNDHWM, mark).unwrap();
        push.set(LINGER, 0).unwrap();
        let (sndbuf, rcvbuf) = socket_buffers(bytes);
        push.set(SNDBUF, sndbuf).unwrap();
        let mut peer = RawPeer::connect_with(&push.bind(endpoint).unwrap(), rcvbuf);
        peer.shake_hands("PULL", "PUSH");
        push.wait_for_peers(1, Some(LONG)).unwrap();
        let mut taken = fill(push.as_ref(), &Message::from(body(bytes)));
        let mut kernel = peer.bytes_under_way() / wire_bytes(bytes);
        // On a busy machine the kernel may take more after the last try; then there is room again.
        while taken < kernel + mark as usize {
            let more = fill(push.as_ref(), &Message::from(body(bytes)));
            taken += more;
            kernel = peer.bytes_under_way() / wire_bytes(bytes);
            if more == 0 {
                break;
            }
        }
        let what = format!("{endpoint}, SNDHWM {mark}, {bytes} bytes");
        println!("stalled  {what}: {taken}, of which the kernel {kernel}");
        assert_eq!(taken - kernel, mark as usize, "{what}: {taken}, kernel {kernel}");
    });
}

#[test]
fn a_receiver_that_does_not_receive() {
    everywhere(|endpoint, mark, bytes| {
        let context = Context::new();
        let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
        // What the receiver holds is real memory.
        let receive = if bytes == 1 << 20 { mark.min(10) } else { mark };
        push.set(SNDHWM, mark).unwrap();
        push.set(LINGER, 0).unwrap();
        pull.set(RCVHWM, receive).unwrap();
        let (sndbuf, rcvbuf) = socket_buffers(bytes);
        push.set(SNDBUF, sndbuf).unwrap();
        pull.set(RCVBUF, rcvbuf).unwrap();
        push.connect(&pull.bind(endpoint).unwrap()).unwrap();
        push.wait_for_peers(1, Some(LONG)).unwrap();
        pull.wait_for_peers(1, Some(LONG)).unwrap();

        let message = Message::from(body(bytes));
        let marks = (mark + receive) as usize;
        push.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
        for _ in 0..marks {
            push.send(message.clone()).unwrap();
        }
        let taken = marks + fill(push.as_ref(), &message);
        let buffers = 2 * (sndbuf + rcvbuf) as usize + READ_BUFFER_BYTES;
        // One message may be half written, and a long one lie whole outside the buffers.
        let most = marks + buffers / wire_bytes(bytes) + 2;
        let what = format!("{endpoint}, SNDHWM {mark}, RCVHWM {receive}, {bytes} bytes");
        println!("no recv  {what}: {taken}, of {marks} to {most}");
        assert!(taken <= most, "{what}: {taken}, of {marks} to {most}");

        for _ in 0..taken {
            let received = pull.recv_timeout(LONG).unwrap();
            assert!(received[..] == message[..], "{what}");
        }
        assert!(pull.try_recv().is_err());
        push.send("on it goes").unwrap();
        assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"on it goes");
    });
}

#[test]
fn all_arrives_in_order_once_the_receiver_receives() {
    for endpoint in &endpoints()[..2] {
        let context = Context::new();
        let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
        push.set(SNDHWM, 10).unwrap();
        push.set(LINGER, 0).unwrap();
        pull.set(RCVHWM, 10).unwrap();
        push.connect(&pull.bind(endpoint).unwrap()).unwrap();
        push.set(SNDTIMEO, MUTE_MS).unwrap();
        let mut sent = 0_u32;
        while push.send([sent.to_le_bytes(), [0; 4]].concat()).is_ok() {
            sent += 1;
        }
        push.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
        thread::scope(|scope| {
            let total = sent + 1000;
            let push = &push;
            scope.spawn(move || {
                for number in sent..total {
                    push.send([number.to_le_bytes(), [0; 4]].concat()).unwrap();
                }
            });
            for number in 0..total {
                let received = pull.recv_timeout(LONG).unwrap();
                assert_eq!(received[..4], number.to_le_bytes(), "{endpoint}");
            }
        });
        assert!(pull.recv_timeout(Duration::ZERO).is_err());
    }
}
