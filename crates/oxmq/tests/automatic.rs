//! What options do by themselves: HELLO_MSG, DISCONNECT_MSG, HICCUP_MSG, CONNECT_ROUTING_ID.

mod support;

use oxmq::{ConnectError, Context, Dealer, Message, RecvError, Router, SendErrorKind, option};

use support::libzmq::{self, LibContext};
use support::raw::{RawListener, message};
use support::{LONG, endpoints, fresh_name};

fn everywhere(test: impl Fn(&Context, &str)) {
    for endpoint in endpoints().into_iter().chain([format!("inproc://{}", fresh_name())]) {
        test(&Context::new(), &endpoint);
    }
}

fn bytes(parts: &[Message]) -> Vec<&[u8]> {
    parts.iter().map(|part| &part[..]).collect()
}

fn named(context: &Context, name: &str) -> Dealer {
    let dealer = Dealer::new(context).unwrap();
    dealer.set(option::ROUTING_ID, name.as_bytes().to_vec()).unwrap();
    dealer
}

#[test]
fn both_sides_say_hello_first() {
    everywhere(|context, endpoint| {
        let (router, dealer) = (Router::new(context).unwrap(), named(context, "anna"));
        router.set(option::HELLO_MSG, b"welcome".to_vec()).unwrap();
        dealer.set(option::HELLO_MSG, b"hello".to_vec()).unwrap();
        dealer.connect(&router.bind(endpoint).unwrap()).unwrap();
        assert_eq!(&dealer.recv().unwrap()[..], b"welcome", "{endpoint}");
        assert_eq!(bytes(&router.recv_multipart().unwrap()), [&b"anna"[..], b"hello"]);
        dealer.send("question").unwrap();
        assert_eq!(bytes(&router.recv_multipart().unwrap()), [&b"anna"[..], b"question"]);
    });
}

#[test]
fn hello_is_said_on_every_connection_before_what_waits() {
    for endpoint in endpoints() {
        let (listener, endpoint) = RawListener::bind(&endpoint);
        let context = Context::new();
        let dealer = Dealer::new(&context).unwrap();
        dealer.set(option::HELLO_MSG, b"hello".to_vec()).unwrap();
        dealer.set(option::HICCUP_MSG, b"gone".to_vec()).unwrap();
        dealer.set(option::RECONNECT_IVL, 1).unwrap();
        dealer.connect(&endpoint).unwrap();
        dealer.send("waiting").unwrap();
        let mut first = listener.accept();
        first.shake_hands("ROUTER", "DEALER");
        first.expect(&message(&["hello"]));
        first.expect(&message(&["waiting"]));
        first.send(&message(&["one"]));
        drop(first);
        assert_eq!(&dealer.recv().unwrap()[..], b"one");
        assert_eq!(&dealer.recv().unwrap()[..], b"gone");
        // One that never was a connection does not end.
        drop(listener.accept());
        let mut third = listener.accept();
        third.shake_hands("ROUTER", "DEALER");
        third.expect(&message(&["hello"]));
        third.send(&message(&["back"]));
        assert_eq!(&dealer.recv().unwrap()[..], b"back");
        assert_eq!(dealer.try_recv(), Err(RecvError::Again));
    }
}

#[test]
fn the_end_of_a_peer_is_received_behind_what_it_sent() {
    everywhere(|context, endpoint| {
        let router = Router::new(context).unwrap();
        router.set(option::DISCONNECT_MSG, b"gone".to_vec()).unwrap();
        router.set(option::RCVHWM, 2).unwrap();
        let endpoint = router.bind(endpoint).unwrap();
        for _ in 0..2 {
            let dealer = named(context, "anna");
            dealer.connect(&endpoint).unwrap();
            dealer.send("one").unwrap();
            dealer.send("two").unwrap();
            drop(dealer);
            for body in ["one", "two", "gone"] {
                let parts = router.recv_multipart().unwrap();
                assert_eq!(bytes(&parts), [b"anna", body.as_bytes()], "{endpoint}");
            }
            // What the socket ends itself is no news to it.
            assert_eq!(router.try_recv(), Err(RecvError::Again));
        }
    });
}

#[test]
fn a_peer_is_addressed_by_the_name_that_connect_gave_it() {
    everywhere(|context, endpoint| {
        let (router, peer) = (Router::new(context).unwrap(), named(context, "its own name"));
        router.set(option::ROUTER_MANDATORY, true).unwrap();
        let endpoint = peer.bind(endpoint).unwrap();
        router.set(option::CONNECT_ROUTING_ID, b"peer".to_vec()).unwrap();
        router.connect(&endpoint).unwrap();
        // At once, whether it is there or not.
        router.try_send_multipart(["peer", "hello"]).unwrap();
        assert_eq!(&peer.recv().unwrap()[..], b"hello", "{endpoint}");
        peer.send("well").unwrap();
        assert_eq!(bytes(&router.recv_multipart().unwrap()), [&b"peer"[..], b"well"]);
        let refused = router.send_multipart(["its own name", "hello"]).unwrap_err();
        assert_eq!(refused.kind(), SendErrorKind::HostUnreachable);
        // It was for one connect.
        assert_eq!(router.get(option::CONNECT_ROUTING_ID), b"");
        // The name is taken.
        router.set(option::CONNECT_ROUTING_ID, b"peer".to_vec()).unwrap();
        let refused = router.connect(&endpoint).unwrap_err();
        assert!(matches!(refused, ConnectError::RoutingIdInUse), "{refused}");
        // The socket goes on as before.
        router.send_multipart(["peer", "again"]).unwrap();
        assert_eq!(&peer.recv().unwrap()[..], b"again");
        // After a disconnect the name is free.
        router.disconnect(&endpoint).unwrap();
        router.set(option::CONNECT_ROUTING_ID, b"peer".to_vec()).unwrap();
        router.connect(&endpoint).unwrap();
        router.send_multipart(["peer", "anew"]).unwrap();
        assert_eq!(&peer.recv().unwrap()[..], b"anew");
    });
}

#[test]
fn the_name_given_outlives_the_connection() {
    for endpoint in endpoints() {
        let (listener, endpoint) = RawListener::bind(&endpoint);
        let context = Context::new();
        let router = Router::new(&context).unwrap();
        router.set(option::CONNECT_ROUTING_ID, b"peer".to_vec()).unwrap();
        router.set(option::RECONNECT_IVL, 1).unwrap();
        router.connect(&endpoint).unwrap();
        for _ in 0..3 {
            let mut peer = listener.accept();
            peer.shake_hands("ROUTER", "ROUTER");
            router.wait_for_peers(1, Some(LONG)).unwrap();
            router.send_multipart(["peer", "hello"]).unwrap();
            peer.expect(&message(&["hello"]));
        }
    }
}

/// Two ROUTERs, the use that the option was made for.
#[test]
fn libzmq_and_we_name_each_other() {
    for endpoint in endpoints() {
        let (context, theirs) = (Context::new(), LibContext::new());
        let (ours, peer) = (Router::new(&context).unwrap(), theirs.socket(libzmq::ROUTER));
        peer.set_bytes(libzmq::ROUTING_ID, b"theirs");
        ours.set(option::ROUTING_ID, b"ours".to_vec()).unwrap();
        ours.set(option::CONNECT_ROUTING_ID, b"peer".to_vec()).unwrap();
        ours.set(option::HELLO_MSG, b"hello".to_vec()).unwrap();
        ours.connect(&peer.bind(&endpoint).unwrap()).unwrap();
        ours.send_multipart(["peer", "question"]).unwrap();
        assert_eq!(peer.recv().unwrap(), [b"ours".to_vec(), b"hello".to_vec()]);
        assert_eq!(peer.recv().unwrap(), [b"ours".to_vec(), b"question".to_vec()]);
        peer.send(&["ours", "answer"]).unwrap();
        assert_eq!(bytes(&ours.recv_multipart().unwrap()), [&b"peer"[..], b"answer"]);
    }
}

#[test]
fn a_peer_hears_what_the_application_says_about_itself() {
    for endpoint in endpoints() {
        let (context, theirs) = (Context::new(), LibContext::new());
        let (router, dealer) = (Router::new(&context).unwrap(), named(&context, "anna"));
        router.set(option::METADATA, "X-role:server\nX-empty:".to_owned()).unwrap();
        dealer.set(option::METADATA, "X-role:client: new".to_owned()).unwrap();
        let endpoint = router.bind(&endpoint).unwrap();
        dealer.connect(&endpoint).unwrap();
        router.wait_for_peers(1, Some(LONG)).unwrap();
        dealer.wait_for_peers(1, Some(LONG)).unwrap();
        let told = |statistics: oxmq::Statistics| {
            statistics.pipes[0].connection.peer.clone().unwrap().properties
        };
        let property = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        assert_eq!(told(router.statistics()), [property("X-role", "client: new")]);
        let said = [property("X-role", "server"), property("X-empty", "")];
        assert_eq!(told(dealer.statistics()), said);
        // libzmq does not mind.
        let peer = theirs.socket(libzmq::DEALER);
        peer.connect(&endpoint).unwrap();
        peer.send(&["hello"]).unwrap();
        assert_eq!(&router.recv_multipart().unwrap()[1][..], b"hello");
    }
}
