//! Peers of ZMTP 2.0 and 1.0, both ways round of bind and connect, over tcp and ipc.

mod support;

use std::time::Duration;

use oxmq::option::{HANDSHAKE_IVL, MAXMSGSIZE, RECONNECT_IVL, ROUTING_ID, SNDHWM};
use oxmq::{Context, RecvError, Socket, SocketType};

use support::raw::{Old, RawListener, RawPeer, SIGNATURE};
use support::{LONG, body, endpoints};

const OLD: [Old; 2] = [Old::V1, Old::V2];

/// libzmq's numbers, which ZMTP 2.0 uses.
fn number(kind: SocketType) -> u8 {
    kind.number()
}

/// Messages of every frame format of both versions.
fn messages() -> Vec<Vec<Vec<u8>>> {
    let sizes = [0, 1, 253, 254, 255, 256, 4096, 8192, 8193, 65536, 300_000];
    let mut messages: Vec<Vec<Vec<u8>>> = sizes.map(|size| vec![body(size)]).into();
    messages.push(vec![body(0), body(1), body(65536), body(255), body(0)]);
    messages.push(vec![body(2); 300]);
    messages
}

fn raw_peer(ours: &Socket, endpoint: &str, we_bind: bool) -> RawPeer {
    if we_bind {
        RawPeer::connect(&ours.bind(endpoint).unwrap())
    } else {
        let (listener, actual) = RawListener::bind(endpoint);
        ours.connect(&actual).unwrap();
        listener.accept()
    }
}

/// Runs `test` with a peer of type `theirs` whose handshake is done: it spoke first, or after us.
fn with_old_peers(ours: SocketType, theirs: SocketType, test: impl Fn(&Socket, RawPeer, Old)) {
    for (version, we_bind, speaks_first) in OLD.iter().flat_map(|&old| {
        [(old, true, true), (old, true, false), (old, false, true), (old, false, false)]
    }) {
        for endpoint in endpoints() {
            let context = Context::new();
            let socket = context.socket(ours).unwrap();
            let mut peer = raw_peer(&socket, &endpoint, we_bind);
            let opening = version.opening(number(theirs), b"");
            let answer = version.answer(number(ours));
            if speaks_first {
                peer.send(&opening);
                peer.expect(&answer);
            } else {
                peer.expect(&SIGNATURE);
                peer.send(&opening);
                peer.expect(&answer[SIGNATURE.len()..]);
            }
            test(&socket, peer, version);
        }
    }
}

fn recv(socket: &Socket) -> Vec<Vec<u8>> {
    let mut parts = vec![socket.recv_timeout(LONG).unwrap()];
    while parts.last().unwrap().more() {
        parts.push(socket.recv_timeout(LONG).unwrap());
    }
    parts.iter().map(|part| part.to_vec()).collect()
}

fn assert_same(received: &[Vec<u8>], sent: &[Vec<u8>], old: Old) {
    // Not `assert_eq`, which would print all of it.
    assert!(received == sent, "{old:?}: {} parts, {} bytes", sent.len(), sent[0].len());
}

// Patterns.

#[test]
fn push_to_pull() {
    with_old_peers(SocketType::Push, SocketType::Pull, |ours, mut peer, old| {
        for parts in messages() {
            ours.send_multipart(&parts).unwrap();
        }
        for parts in messages() {
            peer.expect(&old.message(&parts));
        }
        // What a PULL sends is read and dropped.
        peer.send(&old.message(&["nonsense", ""]));
        ours.send("after").unwrap();
        peer.expect(&old.message(&["after"]));
    });
}

#[test]
fn pull_from_push() {
    with_old_peers(SocketType::Pull, SocketType::Push, |ours, mut peer, old| {
        for parts in messages() {
            peer.send(&old.message(&parts));
            assert_same(&recv(ours), &parts, old);
        }
        // Byte by byte.
        let parts = vec![body(3), body(256)];
        for byte in old.message(&parts) {
            peer.send(&[byte]);
        }
        assert_same(&recv(ours), &parts, old);
    });
}

#[test]
fn pair_with_pair() {
    with_old_peers(SocketType::Pair, SocketType::Pair, |ours, mut peer, old| {
        for parts in messages() {
            ours.send_multipart(&parts).unwrap();
            peer.expect(&old.message(&parts));
            peer.send(&old.message(&parts));
            assert_same(&recv(ours), &parts, old);
        }
    });
}

#[test]
fn req_to_rep() {
    with_old_peers(SocketType::Req, SocketType::Rep, |ours, mut peer, old| {
        for parts in messages() {
            let wire = [vec![vec![]], parts.clone()].concat();
            ours.send_multipart(&parts).unwrap();
            peer.expect(&old.message(&wire));
            peer.send(&old.message(&wire));
            assert_same(&recv(ours), &parts, old);
        }
    });
}

#[test]
fn rep_to_req() {
    with_old_peers(SocketType::Rep, SocketType::Req, |ours, mut peer, old| {
        for parts in messages() {
            let wire = [vec![vec![]], parts.clone()].concat();
            peer.send(&old.message(&wire));
            assert_same(&recv(ours), &parts, old);
            ours.send_multipart(&parts).unwrap();
            peer.expect(&old.message(&wire));
        }
    });
}

/// ZMTP 2.0 subscribes by messages; ZMTP 1.0 does not subscribe: it gets everything.
#[test]
fn pub_to_sub() {
    with_old_peers(SocketType::Pub, SocketType::Sub, |ours, mut peer, old| {
        match old {
            Old::V1 => {
                ours.wait_for_subscribers("", 1, Some(LONG)).unwrap();
                // Should it try, nothing changes: it still gets everything.
                peer.send(&old.message(&[b"\x01topic"]));
                peer.send(&old.message(&[b"\x00"]));
                ours.send("other").unwrap();
                peer.expect(&old.message(&["other"]));
            }
            Old::V2 => {
                peer.send(&old.message(&[b"\x01topic"]));
                ours.wait_for_subscribers("topic", 1, Some(LONG)).unwrap();
                ours.send("other").unwrap();
            }
        }
        ours.send_multipart(["topic", "", "body"]).unwrap();
        peer.expect(&old.message(&["topic", "", "body"]));
        if old == Old::V2 {
            peer.send(&old.message(&[b"\x01"]));
            ours.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        }
        for parts in messages() {
            ours.send_multipart(&parts).unwrap();
            peer.expect(&old.message(&parts));
        }
        if old == Old::V2 {
            peer.send(&old.message(&[b"\x00"]));
            peer.send(&old.message(&[b"\x01end"]));
            ours.wait_for_subscribers("end", 1, Some(LONG)).unwrap();
            ours.send("other").unwrap();
            ours.send("end").unwrap();
            peer.expect(&old.message(&["end"]));
        }
    });
}

#[test]
fn sub_to_pub() {
    with_old_peers(SocketType::Sub, SocketType::Pub, |ours, mut peer, old| {
        for topic in ["topic", "gone"] {
            ours.subscribe(topic).unwrap();
        }
        ours.unsubscribe("gone").unwrap();
        if old == Old::V2 {
            peer.expect(&old.message(&[b"\x01topic"]));
            peer.expect(&old.message(&[b"\x01gone"]));
            peer.expect(&old.message(&[b"\x00gone"]));
        }
        // It filters by itself.
        peer.send(&old.message(&["other", "body"]));
        peer.send(&old.message(&["topic", "body"]));
        assert_same(&recv(ours), &[b"topic".to_vec(), b"body".to_vec()], old);
        ours.subscribe("").unwrap();
        for parts in messages() {
            peer.send(&old.message(&parts));
            assert_same(&recv(ours), &parts, old);
        }
        if old == Old::V2 {
            peer.expect(&old.message(&[b"\x01"]));
        }
        // Nothing else was sent.
        ours.close();
        assert_eq!(peer.read_to_end(), b"", "{old:?}");
    });
}

// Identities.

#[test]
fn identities_go_both_ways() {
    for old in OLD {
        for endpoint in endpoints() {
            let context = Context::new();
            let router = context.socket(SocketType::Router).unwrap();
            router.set(ROUTING_ID, b"ours".to_vec()).unwrap();
            let mut peer = RawPeer::connect(&router.bind(&endpoint).unwrap());
            let theirs = [b'i'; 255];
            peer.send(&old.opening(number(SocketType::Dealer), &theirs));
            // In the signature, the identity's length + 1.
            peer.expect(b"\xFF\0\0\0\0\0\0\0\x05\x7F");
            match old {
                Old::V1 => peer.expect(b"ours"),
                Old::V2 => peer.expect(b"\x03\x06\0\x04ours"),
            }
            peer.send(&old.message(&["question"]));
            assert_same(&recv(&router), &[theirs.to_vec(), b"question".to_vec()], old);
            router.send_multipart([&theirs[..], b"answer"]).unwrap();
            peer.expect(&old.message(&["answer"]));
        }
    }
}

// Losing a connection.

/// What was not wholly written goes to the next connection, whatever its version, from the first
/// byte of the message on.
#[test]
fn what_was_not_written_goes_to_the_next_connection() {
    for (first, second) in [(Old::V1, Old::V1), (Old::V1, Old::V2), (Old::V2, Old::V1)] {
        for endpoint in &endpoints()[..2] {
            let context = Context::new();
            let push = context.socket(SocketType::Push).unwrap();
            push.set(RECONNECT_IVL, 1).unwrap();
            push.set(SNDHWM, 0).unwrap();
            let (listener, actual) = RawListener::bind(endpoint);
            push.connect(&actual).unwrap();
            let shake = |old: Old| {
                let mut peer = listener.accept();
                peer.send(&old.opening(number(SocketType::Pull), b""));
                peer.expect(&old.answer(number(SocketType::Push)));
                peer
            };
            let mut peer = shake(first);
            // Far more than the kernel's buffers hold: it is written in pieces.
            let big = body(12 << 20);
            push.send("small").unwrap();
            push.send_multipart([&b"head"[..], &big]).unwrap();
            push.send("last").unwrap();
            peer.expect(&first.message(&["small"]));
            peer.expect(&first.frame(true, b"head"));
            peer.expect(&first.frame(false, &big)[..100_000]);
            drop(peer);
            let mut peer = shake(second);
            peer.expect(&second.message(&[&b"head"[..], &big]));
            peer.expect(&second.message(&["last"]));
        }
    }
}

#[test]
fn a_full_queue_counts_for_old_peers_too() {
    for old in OLD {
        let context = Context::new();
        let push = context.socket(SocketType::Push).unwrap();
        push.set(SNDHWM, 10).unwrap();
        let mut peer = RawPeer::connect(&push.bind("tcp://127.0.0.1:*").unwrap());
        peer.send(&old.opening(number(SocketType::Pull), b""));
        peer.expect(&old.answer(number(SocketType::Push)));
        push.wait_for_peers(1, Some(LONG)).unwrap();
        let chunk = body(100_000);
        let mut sent = 0;
        while push.try_send(&chunk[..]).is_ok() {
            sent += 1;
            assert!(sent < 100_000, "there is no bound");
        }
        assert!(sent >= 10, "{sent}");
        for _ in 0..sent {
            peer.expect(&old.message(&[&chunk]));
        }
        push.send("room again").unwrap();
        peer.expect(&old.message(&["room again"]));
    }
}

#[test]
fn what_was_sent_lingers() {
    for old in OLD {
        for endpoint in endpoints() {
            let context = Context::new();
            let push = context.socket(SocketType::Push).unwrap();
            let mut peer = raw_peer(&push, &endpoint, true);
            peer.send(&old.opening(number(SocketType::Pull), b""));
            peer.expect(&old.answer(number(SocketType::Push)));
            push.wait_for_peers(1, Some(LONG)).unwrap();
            for parts in messages() {
                push.send_multipart(&parts).unwrap();
            }
            push.close();
            let all: Vec<u8> = messages().iter().flat_map(|parts| old.message(parts)).collect();
            assert!(peer.read_to_end() == all, "{old:?}");
        }
    }
}

// Bad input.

#[test]
fn bad_input_ends_its_connection_alone_and_is_named() {
    let v1 = Old::V1.opening(8, b"");
    let v2 = Old::V2.opening(8, b"");
    let table: Vec<(Vec<u8>, &str)> = vec![
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "does not speak ZMTP"),
        (b"\0".to_vec(), "does not speak ZMTP"),
        (Old::V1.frame(false, &[b'i'; 256]), "an identity of 256 bytes"),
        (Old::V1.frame(false, b"\0reserved"), "a zero byte"),
        ([&v1[..], b"\0"].concat(), "frame of length 0"),
        ([&v1[..], b"\x02\x80"].concat(), "flags 0x80"),
        ([&v1[..], b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xDA\0"].concat(), "less than 2^63"),
        ([&v1[..], b"\xFF\0\0\0\0\0\x20\0\0\0"].concat(), "at most 1000000"),
        ([&SIGNATURE[..], b"\x01\x07"].concat(), "a PULL socket"),
        ([&SIGNATURE[..], b"\x01\x20"].concat(), "unknown socket type \"32\""),
        ([&SIGNATURE[..], b"\x01\x08\x01\0"].concat(), "announces more parts"),
        ([&v2[..], b"\x04\x06\x05READY"].concat(), "flags 0x04"),
        ([&v2[..], b"\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xF6"].concat(), "less than 2^63"),
        ([&v2[..], b"\x02\0\0\0\0\0\x20\0\0"].concat(), "at most 1000000"),
    ];
    for endpoint in endpoints() {
        let context = Context::new();
        let pull = context.socket(SocketType::Pull).unwrap();
        pull.set(MAXMSGSIZE, 1_000_000).unwrap();
        let actual = pull.bind(&endpoint).unwrap();
        let mut good: Vec<(RawPeer, Old)> = OLD
            .iter()
            .map(|&old| {
                let mut peer = RawPeer::connect(&actual);
                peer.send(&old.opening(8, b""));
                peer.expect(&old.answer(7));
                (peer, old)
            })
            .collect();
        for (bytes, reason) in &table {
            let mut bad = RawPeer::connect(&actual);
            bad.send(bytes);
            assert!(bad.ends(), "{}", bytes.escape_ascii());
            let failure = pull.last_failure().unwrap();
            assert!(failure.starts_with("peer ") && failure.contains(reason), "{failure}");
            for (peer, old) in &mut good {
                peer.send(&old.message(&["still", "here"]));
                assert_same(&recv(&pull), &[b"still".to_vec(), b"here".to_vec()], *old);
            }
        }
    }
}

/// Half a message is nobody's, wherever the peer stops.
#[test]
fn a_peer_that_goes_in_the_middle_leaves_nothing() {
    for old in OLD {
        let context = Context::new();
        let pull = context.socket(SocketType::Pull).unwrap();
        let actual = pull.bind("tcp://127.0.0.1:*").unwrap();
        let whole =
            [old.opening(8, b"me"), old.message(&[&b"first"[..], &body(300), b"last"])].concat();
        for length in (0..whole.len()).step_by(7).chain([whole.len() - 1]) {
            RawPeer::connect(&actual).send(&whole[..length]);
        }
        let mut peer = RawPeer::connect(&actual);
        peer.send(&[old.opening(8, b""), old.message(&["whole"])].concat());
        assert_same(&recv(&pull), &[b"whole".to_vec()], old);
        assert_eq!(pull.recv_timeout(Duration::from_millis(50)), Err(RecvError::Again));
    }
}

#[test]
fn a_peer_that_stops_in_the_middle_of_its_greeting_is_cut_off() {
    for old in OLD {
        let opening = old.opening(8, b"identity");
        for length in 0..opening.len() {
            let context = Context::new();
            let pull = context.socket(SocketType::Pull).unwrap();
            pull.set(HANDSHAKE_IVL, 20).unwrap();
            let mut peer = RawPeer::connect(&pull.bind("tcp://127.0.0.1:*").unwrap());
            peer.send(&opening[..length]);
            assert!(peer.ends(), "{old:?}, after {length} bytes");
            let failure = pull.last_failure().unwrap();
            assert!(failure.contains("handshake in time"), "{failure}");
        }
    }
}
