//! What is refused, by whom it is said, and that nobody else suffers.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use oxmq::option::{
    BACKLOG, HANDSHAKE_IVL, IMMEDIATE, LINGER, MAXMSGSIZE, OptionError, RCVHWM, RCVTIMEO,
    RECONNECT_IVL, ROUTING_ID, SNDHWM, SNDTIMEO,
};
use oxmq::{
    BindError, ConnectError, Context, EndpointErrorKind, Pair, Publisher, Pull, Push, RecvError,
    Reply, Request, SendErrorKind, Socket, SocketError, SocketType, Subscriber, TermError,
    UnbindError, WaitError,
};

use support::raw::{self, RawListener, RawPeer};
use support::{LONG, body, endpoints, fresh_name};

/// How long nothing must happen for it to count as nothing.
const QUIET: Duration = Duration::from_millis(100);

const TYPES: [SocketType; 7] = [
    SocketType::Pair,
    SocketType::Pub,
    SocketType::Sub,
    SocketType::Req,
    SocketType::Rep,
    SocketType::Push,
    SocketType::Pull,
];

fn all_endpoints() -> Vec<String> {
    let mut all: Vec<String> = endpoints().into();
    all.push(format!("inproc://{}", fresh_name()));
    all
}

// Endpoints.

#[test]
fn wrong_endpoints_are_the_callers() {
    use EndpointErrorKind as Kind;
    let long = format!("ipc://{}", "p".repeat(200));
    // What `bind` says, and what `connect` says; `None`: that one takes it.
    let table: &[(&str, Option<Kind>, Option<Kind>)] = &[
        ("", Some(Kind::NoTransport), Some(Kind::NoTransport)),
        ("nonsense", Some(Kind::NoTransport), Some(Kind::NoTransport)),
        ("tcp:/127.0.0.1:1", Some(Kind::NoTransport), Some(Kind::NoTransport)),
        ("http://example.org", Some(Kind::UnknownTransport), Some(Kind::UnknownTransport)),
        ("udp://127.0.0.1:1", Some(Kind::TransportNotSupported), Some(Kind::TransportNotSupported)),
        ("tcp://127.0.0.1", Some(Kind::NoPort), Some(Kind::NoPort)),
        ("tcp://127.0.0.1:port", Some(Kind::Port), Some(Kind::Port)),
        ("tcp://127.0.0.1:65536", Some(Kind::Port), Some(Kind::Port)),
        ("tcp://127.0.0.1:-1", Some(Kind::Port), Some(Kind::Port)),
        ("tcp://:1", Some(Kind::Host), Some(Kind::Host)),
        ("tcp://127.0.0.1:*", None, Some(Kind::Wildcard)),
        ("tcp://*:*", None, Some(Kind::Wildcard)),
        ("ipc://", Some(Kind::Path), Some(Kind::Path)),
        ("ipc://*", None, Some(Kind::Wildcard)),
        (&long, Some(Kind::PathTooLong), Some(Kind::PathTooLong)),
        ("inproc://", Some(Kind::Name), Some(Kind::Name)),
    ];
    for (endpoint, bind, connect) in table {
        let context = Context::new();
        let socket = Pull::new(&context).unwrap();
        match (socket.bind(endpoint), bind) {
            (Ok(_), None) => {}
            (Err(BindError::Endpoint(error)), Some(kind)) => {
                assert_eq!(error.kind(), *kind, "bind {endpoint:?}: {error}");
            }
            (other, _) => panic!("bind {endpoint:?}: {other:?}"),
        }
        match (socket.connect(endpoint), connect) {
            (Ok(()), None) => {}
            (Err(ConnectError::Endpoint(error)), Some(kind)) => {
                assert_eq!(error.kind(), *kind, "connect {endpoint:?}: {error}");
            }
            (other, _) => panic!("connect {endpoint:?}: {other:?}"),
        }
    }
}

#[test]
fn an_address_of_another_machine_is_the_systems() {
    let context = Context::new();
    let socket = Pull::new(&context).unwrap();
    // TEST-NET-1: no machine has it.
    let error = socket.bind("tcp://192.0.2.1:5555").unwrap_err();
    assert!(matches!(error, BindError::System { .. }), "{error:?}");
    assert_eq!(error.errno(), libc::EADDRNOTAVAIL);
    let error = socket.bind("ipc:///no-such-directory/socket").unwrap_err();
    assert_eq!(error.errno(), libc::ENOENT, "{error:?}");
    let error = socket.bind("tcp://[::1]:0").unwrap_err();
    assert!(matches!(error, BindError::System { .. } | BindError::Endpoint(_)), "{error:?}");
}

#[test]
fn an_endpoint_is_bound_once() {
    for endpoint in all_endpoints() {
        let context = Context::new();
        let (first, second) = (Pull::new(&context).unwrap(), Pull::new(&context).unwrap());
        let actual = first.bind(&endpoint).unwrap();
        for socket in [&first, &second] {
            let error = socket.bind(&actual).unwrap_err();
            assert!(matches!(error, BindError::AddrInUse { .. }), "{actual}: {error:?}");
            assert_eq!(error.errno(), libc::EADDRINUSE);
        }
        // The first is unharmed.
        let push = Push::new(&context).unwrap();
        push.connect(&actual).unwrap();
        push.send("to the first").unwrap();
        assert_eq!(&first.recv_timeout(LONG).unwrap()[..], b"to the first");
    }
}

#[test]
fn a_port_of_another_program_is_in_use() {
    let (_listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
    let error = Pull::new(&Context::new()).unwrap().bind(&actual).unwrap_err();
    assert!(matches!(error, BindError::AddrInUse { .. }), "{error:?}");
}

#[test]
fn an_endpoint_is_free_as_soon_as_unbind_returns() {
    for endpoint in all_endpoints() {
        let context = Context::new();
        let (first, second) = (Pull::new(&context).unwrap(), Pull::new(&context).unwrap());
        let mut actual = endpoint.clone();
        for round in 0..50 {
            let socket = if round % 2 == 0 { &first } else { &second };
            actual = socket.bind(&actual).unwrap();
            let push = Push::new(&context).unwrap();
            push.connect(&actual).unwrap();
            push.send("while bound").unwrap();
            assert_eq!(&socket.recv_timeout(LONG).unwrap()[..], b"while bound");
            socket.unbind(&actual).unwrap();
        }
    }
}

#[test]
fn only_what_is_there_can_be_undone() {
    for endpoint in all_endpoints() {
        let context = Context::new();
        let (pull, push) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
        push.set(LINGER, 0).unwrap();
        let actual = pull.bind(&endpoint).unwrap();
        push.connect(&actual).unwrap();
        let not_bound = UnbindError::NotBound { endpoint: actual.clone() };
        assert_eq!(pull.disconnect(&actual), Err(not_bound.clone()));
        assert_eq!(push.unbind(&actual), Err(not_bound.clone()));
        assert!(pull.unbind("nonsense").is_err());
        pull.unbind(&actual).unwrap();
        assert_eq!(pull.unbind(&actual), Err(not_bound.clone()));
        push.disconnect(&actual).unwrap();
        assert_eq!(push.disconnect(&actual), Err(not_bound));
        let error = push.try_send("nobody").unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::Again, "{actual}");
    }
}

// Options.

#[test]
fn options_have_ranges() {
    let context = Context::new();
    let socket = Push::new(&context).unwrap();
    for option in [SNDHWM, RCVHWM, BACKLOG, HANDSHAKE_IVL] {
        let error = socket.set(option, -1).unwrap_err();
        assert!(matches!(error, OptionError::OutOfRange { .. }), "{error}");
    }
    for option in [LINGER, SNDTIMEO, RCVTIMEO, RECONNECT_IVL] {
        socket.set(option, -1).unwrap();
        let error = socket.set(option, -2).unwrap_err();
        assert!(error.to_string().contains("-2"), "{error}");
    }
    assert!(socket.set(MAXMSGSIZE, -2_i64).is_err());
    assert!(socket.set(ROUTING_ID, vec![0, 1]).is_err());
    assert!(socket.set(ROUTING_ID, vec![1; 256]).is_err());
    socket.set(ROUTING_ID, vec![1; 255]).unwrap();
    let read_only = socket.set(oxmq::option::TYPE, 1);
    assert_eq!(read_only, Err(OptionError::ReadOnly { option: "TYPE" }));
    assert_eq!(socket.get(SNDHWM), 1000, "what was refused changed nothing");
}

// The wrong type, the wrong turn.

#[test]
fn no_type_does_what_it_cannot() {
    for kind in TYPES {
        let context = Context::new();
        let socket = context.socket(kind).unwrap();
        let sends = !matches!(kind, SocketType::Sub | SocketType::Pull);
        let receives = !matches!(kind, SocketType::Pub | SocketType::Push);
        let not_supported = socket.try_send("x").err().map(|error| error.kind())
            == Some(SendErrorKind::NotSupported);
        assert_eq!(not_supported, !sends, "{kind:?} sends");
        assert_eq!(socket.try_recv() == Err(RecvError::NotSupported), !receives, "{kind:?}");
        // Nor do they wait for it.
        if !sends {
            assert_eq!(socket.send("x").unwrap_err().kind(), SendErrorKind::NotSupported);
        }
        if !receives {
            assert_eq!(socket.recv(), Err(RecvError::NotSupported));
            assert_eq!(socket.recv_multipart(), Err(RecvError::NotSupported));
        }
        let subscribed = socket.subscribe("x");
        assert_eq!(subscribed == Err(OptionError::NotSupported), kind != SocketType::Sub);
        let empty: [&str; 0] = [];
        let error = socket.try_send_multipart(empty).unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::Empty, "{kind:?}");
    }
}

#[test]
fn nobody_speaks_out_of_turn() {
    for endpoint in all_endpoints() {
        let context = Context::new();
        let (request, reply) = (Request::new(&context).unwrap(), Reply::new(&context).unwrap());
        request.connect(&reply.bind(&endpoint).unwrap()).unwrap();
        assert_eq!(request.try_recv(), Err(RecvError::State));
        assert_eq!(request.recv(), Err(RecvError::State));
        assert_eq!(reply.try_send("x").unwrap_err().kind(), SendErrorKind::State);
        assert_eq!(reply.send("x").unwrap_err().kind(), SendErrorKind::State);
        request.send("question").unwrap();
        let error = request.send_multipart(["kept", "whole"]).unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::State);
        let parts = error.into_parts();
        assert_eq!([&parts[0][..], &parts[1]], [b"kept", &b"whole"[..]]);
        assert_eq!(&reply.recv_timeout(LONG).unwrap()[..], b"question");
        assert_eq!(reply.try_recv(), Err(RecvError::State));
        reply.send("answer").unwrap();
        assert_eq!(&request.recv_timeout(LONG).unwrap()[..], b"answer", "{endpoint}");
    }
}

#[test]
fn without_peers_some_types_drop_and_some_wait() {
    let context = Context::new();
    let publisher = Publisher::new(&context).unwrap();
    for _ in 0..10_000 {
        publisher.send("to nobody").unwrap();
    }
    publisher.bind("inproc://publisher").unwrap();
    let subscriber = Subscriber::new(&context).unwrap();
    subscriber.connect("inproc://publisher").unwrap();
    publisher.wait_for_peers(1, Some(LONG)).unwrap();
    publisher.send("unwanted").unwrap();
    assert_eq!(subscriber.try_recv(), Err(RecvError::Again));
    for kind in [SocketType::Push, SocketType::Pair, SocketType::Req] {
        let socket = context.socket(kind).unwrap();
        socket.set(SNDTIMEO, 10).unwrap();
        assert_eq!(socket.try_send("x").unwrap_err().kind(), SendErrorKind::Again);
        assert_eq!(socket.send("x").unwrap_err().kind(), SendErrorKind::Again);
    }
    for kind in [SocketType::Pull, SocketType::Pair, SocketType::Sub, SocketType::Rep] {
        let socket = context.socket(kind).unwrap();
        socket.set(RCVTIMEO, 10).unwrap();
        assert_eq!(socket.recv(), Err(RecvError::Again));
        assert_eq!(socket.recv_multipart(), Err(RecvError::Again));
    }
}

// Peers that misbehave.

/// A PULL with a good peer at its side; both work when the test is over.
fn beside_a_good_peer(endpoint: &str, test: impl FnOnce(&Pull, &str)) {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    pull.set(MAXMSGSIZE, 1000_i64).unwrap();
    pull.set(HANDSHAKE_IVL, 3000).unwrap();
    let actual = pull.bind(endpoint).unwrap();
    let good = Push::new(&context).unwrap();
    good.connect(&actual).unwrap();
    pull.wait_for_peers(1, Some(LONG)).unwrap();
    test(&pull, &actual);
    good.send("good").unwrap();
    assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"good", "{endpoint}");
    // A peer sees the end a little before its pipe is gone.
    let deadline = Instant::now() + LONG;
    while pull.wait_for_peers(2, Some(Duration::ZERO)).is_ok() {
        assert!(Instant::now() < deadline, "a bad peer is still there, {endpoint}");
        thread::yield_now();
    }
}

#[test]
fn a_message_too_long_disconnects_its_sender_alone() {
    for endpoint in endpoints() {
        beside_a_good_peer(&endpoint, |pull, actual| {
            for parts in [vec![body(1001)], vec![body(1 << 20)], vec![body(0), body(1001)]] {
                let mut bad = RawPeer::connect(actual);
                bad.shake_hands("PUSH", "PULL");
                bad.send(&raw::message(&[body(1000)]));
                assert_eq!(pull.recv_timeout(LONG).unwrap().len(), 1000);
                let _ = std::io::Write::write_all(&mut bad.stream, &raw::message(&parts));
                assert!(bad.ends(), "{actual}");
            }
            // The length alone is enough: nobody waits for, or makes room for, the body.
            let mut bad = RawPeer::connect(actual);
            bad.shake_hands("PUSH", "PULL");
            bad.send(b"\x02\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF");
            assert!(bad.ends());
        });
    }
}

#[test]
fn lengths_announced_are_not_believed() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let actual = pull.bind("tcp://127.0.0.1:*").unwrap();
    let mut peers = Vec::new();
    for _ in 0..20 {
        let mut peer = RawPeer::connect(&actual);
        peer.shake_hands("PUSH", "PULL");
        // An exbibyte, of which little comes.
        peer.send(b"\x02\x10\0\0\0\0\0\0\0little");
        peers.push(peer);
    }
    let good = Push::new(&context).unwrap();
    good.connect(&actual).unwrap();
    good.send("good").unwrap();
    assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"good");
}

#[test]
fn who_says_nothing_is_disconnected() {
    for endpoint in endpoints() {
        beside_a_good_peer(&endpoint, |_, actual| {
            let mut silent = RawPeer::connect(actual);
            let mut half = RawPeer::connect(actual);
            half.send(&raw::GREETING_3_0[..20]);
            let mut greeted = RawPeer::connect(actual);
            greeted.send(&raw::GREETING_3_0);
            assert!(silent.ends() && half.ends() && greeted.ends());
        });
        // A peer that is connected to is tried again.
        let (listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        pull.set(HANDSHAKE_IVL, 50).unwrap();
        pull.set(RECONNECT_IVL, 1).unwrap();
        pull.connect(&actual).unwrap();
        for _ in 0..3 {
            assert!(listener.accept().ends());
        }
        // This one may be too slow, too, on a machine that is stopped now and then.
        let start = Instant::now();
        let hello =
            [&raw::GREETING_3_0[..], &raw::ready("PUSH", None), &raw::message(&["at last"])];
        let received = loop {
            assert!(start.elapsed() < LONG, "nobody is in time");
            let mut peer = listener.accept();
            let _ = std::io::Write::write_all(&mut peer.stream, &hello.concat());
            if let Ok(received) = pull.recv_timeout(Duration::from_millis(200)) {
                break received;
            }
        };
        assert_eq!(&received[..], b"at last");
    }
}

#[test]
fn garbage_disconnects_its_sender_alone() {
    let ready = raw::ready("PUSH", None);
    let after_handshake = |bytes: &[u8]| [&raw::GREETING_3_0[..], &ready, bytes].concat();
    let mut wrong_mechanism = raw::GREETING_3_0;
    wrong_mechanism[12..17].copy_from_slice(b"PLAIN");
    let garbage: Vec<(&str, Vec<u8>)> = vec![
        ("http", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3)),
        ("zeroes", vec![0; 200]),
        ("a counter", (0..=255).collect()),
        ("another mechanism", [&wrong_mechanism[..], &ready].concat()),
        ("a message for READY", [&raw::GREETING_3_0[..], &raw::message(&["x"])].concat()),
        ("a wrong type", [&raw::GREETING_3_0[..], &raw::ready("PULL", None)].concat()),
        ("an unknown type", [&raw::GREETING_3_0[..], &raw::ready("PASH", None)].concat()),
        ("ERROR", [&raw::GREETING_3_0[..], &raw::frame(4, b"\x05ERROR\x02no")].concat()),
        ("a cut READY", [&raw::GREETING_3_0[..], &raw::frame(4, &ready[2..20])].concat()),
        ("reserved flags", after_handshake(b"\xF8\x01x")),
        ("a command with MORE", after_handshake(&raw::frame(5, b"\x04PING\0\0"))),
        ("an empty command", after_handshake(&raw::frame(4, b""))),
        ("a second READY's length", after_handshake(&raw::frame(4, b"\xFFREADY"))),
    ];
    for endpoint in endpoints() {
        beside_a_good_peer(&endpoint, |_, actual| {
            for (what, bytes) in &garbage {
                let mut bad = RawPeer::connect(actual);
                // May fail half way: the other side is gone as soon as it has seen enough.
                let _ = std::io::Write::write_all(&mut bad.stream, bytes);
                assert!(bad.ends(), "{what}, {actual}");
            }
        });
    }
}

// Connecting.

#[test]
fn without_reconnecting_a_lost_peer_stays_lost() {
    for endpoint in &endpoints()[..2] {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        pull.set(RECONNECT_IVL, -1).unwrap();
        let (listener, actual) = RawListener::bind(endpoint);
        pull.connect(&actual).unwrap();
        let mut peer = listener.accept();
        peer.shake_hands("PUSH", "PULL");
        peer.send(&raw::message(&["once"]));
        assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"once");
        drop(peer);
        assert_eq!(pull.recv_timeout(QUIET), Err(RecvError::Again));
        assert!(!listener.has_connection(), "{endpoint}");
    }
}

#[test]
fn immediate_queues_for_nobody() {
    for endpoint in endpoints() {
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        push.set(IMMEDIATE, true).unwrap();
        push.set(RECONNECT_IVL, 1).unwrap();
        let pull = Pull::new(&context).unwrap();
        let actual = pull.bind(&endpoint).unwrap();
        pull.unbind(&actual).unwrap();
        push.connect(&actual).unwrap();
        assert_eq!(push.try_send("x").unwrap_err().kind(), SendErrorKind::Again, "{endpoint}");
        thread::scope(|scope| {
            // Waits for the peer.
            scope.spawn(|| push.send("there").unwrap());
            pull.bind(&actual).unwrap();
            assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"there");
        });
        pull.close();
        push.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
        push.set(LINGER, 0).unwrap();
        // Once the loss is seen, nobody is there to queue for.
        while push.try_send("lost").is_ok() {
            thread::yield_now();
        }
    }
}

#[test]
fn a_pair_has_one_peer() {
    for endpoint in all_endpoints() {
        let context = Context::new();
        let pairs: [Pair; 3] = std::array::from_fn(|_| Pair::new(&context).unwrap());
        let [bound, first, second] = &pairs;
        second.set(LINGER, 0).unwrap();
        second.set(RECONNECT_IVL, 1).unwrap();
        let actual = bound.bind(&endpoint).unwrap();
        first.connect(&actual).unwrap();
        first.wait_for_peers(1, Some(LONG)).unwrap();
        bound.wait_for_peers(1, Some(LONG)).unwrap();
        second.connect(&actual).unwrap();
        let _ = second.try_send("ignored");
        first.send("first").unwrap();
        assert_eq!(&bound.recv_timeout(LONG).unwrap()[..], b"first");
        bound.send("to the first").unwrap();
        assert_eq!(&first.recv_timeout(LONG).unwrap()[..], b"to the first");
        assert_eq!(bound.recv_timeout(QUIET), Err(RecvError::Again), "{endpoint}");
        assert_eq!(bound.wait_for_peers(2, Some(Duration::ZERO)), Err(WaitError::TimedOut));
    }
}

#[test]
fn a_pair_takes_another_peer_when_the_first_is_gone() {
    for endpoint in endpoints() {
        let context = Context::new();
        let bound = Pair::new(&context).unwrap();
        let actual = bound.bind(&endpoint).unwrap();
        for round in 0..5 {
            let peer = Pair::new(&context).unwrap();
            peer.set(RECONNECT_IVL, 1).unwrap();
            peer.connect(&actual).unwrap();
            // It is refused, and what it sent is lost, until the last one is seen to be gone, of
            // which there may be more to be read.
            let start = Instant::now();
            let own = format!("round {round}");
            while {
                assert!(start.elapsed() < LONG, "the peer of {own} is never taken, {endpoint}");
                peer.send(own.as_str()).unwrap();
                bound
                    .recv_timeout(Duration::from_millis(20))
                    .map_or(true, |received| *received != *own.as_bytes())
            } {}
        }
    }
}

// Contexts.

#[test]
fn term_says_what_is_in_the_way() {
    let context = Context::new();
    let (pull, push) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
    let error = context.term_timeout(QUIET).unwrap_err();
    assert!(
        matches!(&error, TermError::TimedOut { sockets, .. } if sockets.len() == 2),
        "{error:?}"
    );
    assert!(error.to_string().contains('2'), "{error}");
    // The sockets are of no more use but to be closed.
    assert_eq!(pull.recv(), Err(RecvError::Terminated));
    assert_eq!(push.send("x").unwrap_err().kind(), SendErrorKind::Terminated);
    assert!(matches!(push.bind("inproc://x"), Err(BindError::Terminated)));
    assert!(matches!(push.connect("inproc://x"), Err(ConnectError::Terminated)));
    assert!(matches!(Pull::new(&context), Err(SocketError::Terminated)));
    drop((pull, push));
    context.term_timeout(LONG).unwrap();
}

#[test]
fn term_waits_for_what_lingers() {
    for endpoint in endpoints() {
        let context = Context::new();
        let pull_context = Context::new();
        let pull = Pull::new(&pull_context).unwrap();
        let actual = pull.bind(&endpoint).unwrap();
        pull.unbind(&actual).unwrap();
        let push = Push::new(&context).unwrap();
        push.set(RECONNECT_IVL, 1).unwrap();
        push.connect(&actual).unwrap();
        push.send("lingers").unwrap();
        drop(push);
        let error = context.term_timeout(QUIET).unwrap_err();
        let left = TermError::TimedOut { sockets: Vec::new(), endpoints: vec![actual.clone()] };
        assert_eq!(error, left);
        pull.bind(&actual).unwrap();
        assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"lingers");
        context.term_timeout(LONG).unwrap();
    }
}

#[test]
fn without_linger_term_waits_for_nothing() {
    for endpoint in ["tcp://127.0.0.1:9", "ipc://@nobody-lingers", "inproc://nobody"] {
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        push.set(LINGER, 0).unwrap();
        push.connect(endpoint).unwrap();
        push.send("lost").unwrap();
        drop(push);
        context.term_timeout(LONG).unwrap();
    }
}

#[test]
fn a_closed_socket_says_so() {
    let context = Context::new();
    for kind in TYPES {
        let socket: Socket = context.socket(kind).unwrap();
        socket.close();
        socket.close();
        assert_eq!(socket.try_recv(), Err(RecvError::Closed));
        assert_eq!(socket.recv(), Err(RecvError::Closed));
        assert_eq!(socket.send("x").unwrap_err().kind(), SendErrorKind::Closed);
        assert!(matches!(socket.bind("inproc://x"), Err(BindError::Closed)));
        assert!(matches!(socket.connect("inproc://x"), Err(ConnectError::Closed)));
        assert_eq!(socket.unbind("inproc://x"), Err(UnbindError::Closed));
        assert_eq!(socket.wait_for_peers(1, None), Err(WaitError::Closed));
        assert_eq!(socket.subscribe("x"), Err(OptionError::Closed));
    }
}

#[test]
fn a_context_has_room_for_so_many_sockets() {
    let context = Context::new();
    let mut sockets: Vec<Pull> = (0..1023).map(|_| Pull::new(&context).unwrap()).collect();
    let error = Pull::new(&context).err().unwrap();
    assert!(matches!(error, SocketError::TooManySockets { limit: 1023 }), "{error:?}");
    assert_eq!(error.errno(), libc::EMFILE);
    sockets.pop();
    sockets.push(Pull::new(&context).unwrap());
    assert!(Pull::new(&context).is_err());
    // They are of use, and another context has room of its own.
    let other = Context::new();
    let more: Vec<Push> = (0..1023).map(|_| Push::new(&other).unwrap()).collect();
    for (at, pull) in sockets.iter().enumerate() {
        pull.bind(&format!("inproc://{at}")).unwrap();
    }
    drop(more);
    drop(sockets);
    Pull::new(&context).unwrap();
}
