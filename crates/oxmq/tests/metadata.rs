//! What a message says of the connection that it came by.

mod support;

use std::ffi::CStr;

use oxmq::option::{LINGER, METADATA, RECONNECT_IVL, ROUTING_ID};
use oxmq::{
    Connection, Context, Dealer, Message, Pair, Pull, Push, Router, SocketType, Stream, Subscriber,
    XPublisher, ZmtpVersion, ffi,
};

use support::libzmq::{self, LibContext};
use support::raw::{RawListener, RawPeer, message};
use support::{LONG, PLACES, body, endpoints, fresh_name};

fn of(message: &Message) -> Connection {
    message.connection().expect("the connection is known")
}

/// As `zmq_msg_gets`.
fn property(message: &Message, name: &str) -> Option<String> {
    // SAFETY: the connection is known, so the text stays.
    let text = unsafe { CStr::from_ptr(ffi::property(message, name)?) };
    Some(text.to_str().unwrap().to_owned())
}

#[test]
fn every_part_knows_its_connection() {
    for place in PLACES.into_iter().filter(|place| place.transport != "inproc") {
        let context = Context::new();
        let (router, dealer) = (Router::new(&context).unwrap(), Dealer::new(&context).unwrap());
        dealer.set(ROUTING_ID, b"me".to_vec()).unwrap();
        dealer.set(METADATA, "X-a:1\nX-b:two".to_owned()).unwrap();
        let endpoint = place.join(router.as_ref(), dealer.as_ref());
        dealer.send_multipart([body(1), body(0), body(300), body(9000), body(300_000)]).unwrap();
        dealer.send("short").unwrap();
        dealer.send(body(200)).unwrap();
        dealer.send(body(100_000)).unwrap();
        for parts in [6, 2, 2, 2] {
            let received = router.recv_multipart().unwrap();
            assert_eq!(received.len(), parts);
            for part in &received {
                let connection = of(part);
                assert_eq!(connection.bound, place.first_binds);
                assert_eq!(connection.endpoint, endpoint);
                let peer = connection.peer.unwrap();
                assert_eq!(peer.identity, b"me");
                assert_eq!(peer.socket_type, Some(SocketType::Dealer));
                assert_eq!(peer.version, Some(ZmtpVersion { major: 3, minor: 1 }));
                assert_eq!(peer.properties.len(), 2);
                let ipc = place.transport == "ipc";
                assert_eq!(
                    connection.process.map(|process| process.pid),
                    ipc.then(std::process::id)
                );
                assert!(connection.descriptor.unwrap() > 2);
                assert_eq!(ffi::descriptor(part), connection.descriptor);
                assert_eq!(part.clone().connection(), part.connection());
                let same = property(part, "__fd").map(|text| text.parse().unwrap());
                assert_eq!(same, connection.descriptor);
                for (name, value) in [
                    ("Socket-Type", Some("DEALER")),
                    ("Routing-Id", Some("me")),
                    ("Identity", Some("me")),
                    ("X-a", Some("1")),
                    ("X-b", Some("two")),
                    ("X-c", None),
                    ("User-Id", None),
                    ("", None),
                ] {
                    assert_eq!(property(part, name).as_deref(), value, "{name}");
                }
                let address = property(part, "Peer-Address").unwrap();
                if ipc {
                    assert!(address.ends_with(&format!(":{}", std::process::id())), "{address}");
                } else {
                    assert_eq!(address, "127.0.0.1");
                }
            }
        }
        // And the other way: a peer that says nothing of itself.
        router.send_multipart(["me", "back"]).unwrap();
        let back = dealer.recv().unwrap();
        assert_eq!(of(&back).bound, !place.first_binds);
        assert_eq!(property(&back, "Socket-Type").unwrap(), "ROUTER");
        assert_eq!(property(&back, "Routing-Id").unwrap(), "");
    }
}

#[test]
fn what_did_not_come_by_a_connection_has_none() {
    assert_eq!(Message::from("made here").connection(), None);
    assert_eq!(ffi::property(&Message::new(), "Peer-Address"), None);
    let context = Context::new();
    let [one, other] = [(); 2].map(|()| Pair::new(&context).unwrap());
    let inproc = format!("inproc://{}", fresh_name());
    one.bind(&inproc).unwrap();
    other.connect(&inproc).unwrap();
    // Nor does it take along what it came by before.
    let (pull, push) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
    push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    for bytes in [5, 500, 50_000] {
        push.send(body(bytes)).unwrap();
        push.send_multipart([body(bytes), body(bytes)]).unwrap();
        let received = pull.recv().unwrap();
        assert!(received.connection().is_some());
        one.send(received).unwrap();
        one.send_multipart(pull.recv_multipart().unwrap()).unwrap();
        for _ in 0..3 {
            let received = other.recv().unwrap();
            assert_eq!((received.len(), received.connection()), (bytes, None));
        }
    }
}

#[test]
fn connections_are_told_apart_and_known_when_they_have_ended() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let actual = pull.bind("tcp://127.0.0.1:*").unwrap();
    let mut received = Vec::new();
    for _ in 0..3 {
        let mut peer = RawPeer::connect(&actual);
        peer.shake_hands("PUSH", "PULL");
        peer.send(&message(&["text"]));
        received.push(pull.recv().unwrap());
    }
    let remotes: Vec<String> = received.iter().map(|part| of(part).remote.unwrap()).collect();
    assert!(remotes[0] != remotes[1] && remotes[1] != remotes[2] && remotes[0] != remotes[2]);
    drop(pull);
    context.term().unwrap();
    let after: Vec<String> = received.iter().map(|part| of(part).remote.unwrap()).collect();
    assert_eq!(after, remotes);
    assert_eq!(property(&received[0], "Peer-Address").unwrap(), "127.0.0.1");
    // Not for ever.
    let context = Context::new();
    let stream = Stream::new(&context).unwrap();
    let actual = stream.bind("tcp://127.0.0.1:*").unwrap();
    for _ in 0..1100 {
        drop(RawPeer::connect(&actual));
        let parts = [stream.recv().unwrap(), stream.recv().unwrap()];
        assert!(parts.iter().all(|part| part.connection().is_some()));
        while stream.recv_multipart().unwrap()[0][..] != parts[0][..] {}
    }
    assert!(received.iter().all(|part| part.connection().is_none()));
    assert_eq!(property(&received[0], "Peer-Address"), None);
}

#[test]
fn an_endpoint_connected_to_again_is_another_connection() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    pull.set(RECONNECT_IVL, 1).unwrap();
    let (listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
    pull.connect(&actual).unwrap();
    let mut locals = Vec::new();
    for _ in 0..2 {
        let mut peer = listener.accept();
        peer.shake_hands("PUSH", "PULL");
        peer.send(&message(&["text"]));
        let connection = of(&pull.recv().unwrap());
        assert_eq!((connection.bound, connection.remote.as_ref()), (false, Some(&actual)));
        locals.push(connection.local.unwrap());
    }
    assert_ne!(locals[0], locals[1]);
}

#[test]
fn subscriptions_and_bytes_know_it_too() {
    for endpoint in endpoints() {
        let context = Context::new();
        let publisher = XPublisher::new(&context).unwrap();
        let subscriber = Subscriber::new(&context).unwrap();
        subscriber.subscribe("a").unwrap();
        subscriber.connect(&publisher.bind(&endpoint).unwrap()).unwrap();
        let subscription = publisher.recv().unwrap();
        assert_eq!(&subscription[..], b"\x01a");
        assert_eq!(property(&subscription, "Socket-Type").unwrap(), "SUB");

        let stream = Stream::new(&context).unwrap();
        let actual = stream.bind(&support::endpoints()[0]).unwrap();
        let mut peer = RawPeer::connect(&actual);
        peer.send(b"bytes");
        for part in [(); 4].map(|()| stream.recv().unwrap()) {
            assert_eq!(of(&part).endpoint, actual);
            assert_eq!(property(&part, "Peer-Address").unwrap(), "127.0.0.1");
            assert_eq!(property(&part, "Socket-Type"), None);
        }
    }
}

#[test]
fn a_peer_of_libzmq_presents_itself() {
    let (context, lib) = (Context::new(), LibContext::new());
    let router = Router::new(&context).unwrap();
    let theirs = lib.socket(libzmq::DEALER);
    theirs.set_bytes(libzmq::ROUTING_ID, b"theirs");
    theirs.connect(&router.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    theirs.send(&["hello"]).unwrap();
    for part in router.recv_multipart().unwrap() {
        assert_eq!(property(&part, "Routing-Id").unwrap(), "theirs");
        assert_eq!(of(&part).peer.unwrap().socket_type, Some(SocketType::Dealer));
    }
    router.set(LINGER, 0).unwrap();
    router.wait_for_peers(1, Some(LONG)).unwrap();
}
