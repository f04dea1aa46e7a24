//! What `unbind` and `close` leave, and high-water marks set while peers are there.

mod support;

use std::time::Duration;

use oxmq::monitor::EventKind;
use oxmq::{Context, RecvError, SendErrorKind, Socket, SocketType, option};
use support::raw::{self, RawPeer};
use support::{LONG, Place, endpoints, fresh_name};

fn sockets<const N: usize>(context: &Context, kinds: [SocketType; N]) -> [Socket; N] {
    kinds.map(|kind| context.socket(kind).unwrap())
}

#[test]
fn unbind_ends_what_was_accepted_and_loses_nothing() {
    let context = Context::new();
    for endpoint in endpoints() {
        let [dealer, router] = sockets(&context, [SocketType::Dealer, SocketType::Router]);
        let bound = router.bind(&endpoint).unwrap();
        dealer.set(option::ROUTING_ID, b"it".to_vec()).unwrap();
        dealer.set(option::RECONNECT_IVL, -1).unwrap();
        dealer.connect(&bound).unwrap();
        dealer.send("asked").unwrap();
        assert_eq!(&router.recv_timeout(LONG).unwrap()[..], b"it");
        assert_eq!(&router.recv_timeout(LONG).unwrap()[..], b"asked");
        for number in 0..100_u8 {
            dealer.send(&[number]).unwrap();
            router.send_multipart([&b"it"[..], &[number]]).unwrap();
        }
        // What it sent is here, or will be; then it is alone.
        router.wait_for_peers(1, Some(LONG)).unwrap();
        let mut taken = 0;
        while taken < 50 {
            let message = router.recv_multipart().unwrap();
            assert_eq!(message[1][..], [taken]);
            taken += 1;
        }
        router.unbind(&bound).unwrap();
        for number in 0..100_u8 {
            assert_eq!(dealer.recv_timeout(LONG).unwrap()[..], [number], "over {endpoint}");
        }
        // What has come may still be received, in order.
        while let Ok(message) = router.try_recv_multipart() {
            assert_eq!(message[1][..], [taken]);
            taken += 1;
        }
        router.set(option::ROUTER_MANDATORY, true).unwrap();
        let error = router.send_multipart(["it", "gone"]).unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::HostUnreachable);
    }
}

/// Whoever reads the connection, and however soon.
#[test]
fn nothing_sent_after_unbind_is_received() {
    for endpoint in endpoints() {
        for _ in 0..100 {
            let context = Context::new();
            let [push, pull] = sockets(&context, [SocketType::Push, SocketType::Pull]);
            push.set(option::RECONNECT_IVL, -1).unwrap();
            push.set(option::LINGER, 0).unwrap();
            let bound = pull.bind(&endpoint).unwrap();
            push.connect(&bound).unwrap();
            push.send("before").unwrap();
            assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"before");
            pull.unbind(&bound).unwrap();
            let _ = push.try_send("after");
            let received = pull.recv_timeout(Duration::from_millis(5));
            assert!(received.is_err(), "over {endpoint}: {received:?}");
        }
    }
}

#[test]
fn who_shakes_hands_during_unbind_is_not_let_in() {
    for endpoint in endpoints() {
        let context = Context::new();
        let [pull] = sockets(&context, [SocketType::Pull]);
        let monitor = pull.monitor();
        let bound = pull.bind(&endpoint).unwrap();
        let mut peer = RawPeer::connect(&bound);
        while monitor.recv_timeout(LONG).unwrap().kind != EventKind::Accepted {}
        pull.unbind(&bound).unwrap();
        peer.send(&raw::GREETING_OURS);
        peer.send(&raw::ready("PUSH", None));
        assert!(peer.ends(), "over {endpoint}");
        assert_eq!(pull.statistics().pipes.len(), 0);
    }
}

#[test]
fn a_sender_is_alone_after_unbind() {
    let context = Context::new();
    let [push, pull] = sockets(&context, [SocketType::Push, SocketType::Pull]);
    let bound = push.bind("tcp://127.0.0.1:*").unwrap();
    pull.connect(&bound).unwrap();
    push.send("first").unwrap();
    assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"first");
    push.unbind(&bound).unwrap();
    assert_eq!(push.try_send("second").unwrap_err().kind(), SendErrorKind::Again);
}

#[test]
fn messages_sent_to_a_name_outlive_their_sender() {
    let context = Context::new();
    let name = format!("inproc://{}", fresh_name());
    for linger in [-1, 1000] {
        let [push, pull] = sockets(&context, [SocketType::Push, SocketType::Pull]);
        push.set(option::LINGER, linger).unwrap();
        push.connect(&name).unwrap();
        push.send_multipart(["several", "parts"]).unwrap();
        push.send("whole").unwrap();
        drop(push);
        pull.bind(&name).unwrap();
        let parts = pull.try_recv_multipart().unwrap();
        assert_eq!(
            parts.iter().map(|part| &part[..]).collect::<Vec<_>>(),
            [&b"several"[..], b"parts"]
        );
        assert_eq!(&pull.try_recv().unwrap()[..], b"whole");
        assert_eq!(pull.try_recv(), Err(RecvError::Again));
    }
    // Unless it is not to linger, or has disconnected.
    for disconnects in [false, true] {
        let [push, pull] = sockets(&context, [SocketType::Push, SocketType::Pull]);
        push.set(option::LINGER, 0).unwrap();
        push.connect(&name).unwrap();
        push.send("forgotten").unwrap();
        if disconnects {
            push.disconnect(&name).unwrap();
        } else {
            drop(push);
        }
        pull.bind(&name).unwrap();
        assert_eq!(pull.try_recv(), Err(RecvError::Again));
    }
    // A name that nobody binds does not hold up the end.
    let push = context.socket(SocketType::Push).unwrap();
    push.connect("inproc://nobody").unwrap();
    push.send("lost").unwrap();
    drop(push);
    context.term().unwrap();
}

/// How many messages can be sent while nobody receives.
fn fill(push: &Socket) -> usize {
    (0..).find(|_| push.try_send("full").is_err()).unwrap()
}

#[test]
fn high_water_marks_reach_peers_that_are_there() {
    let context = Context::new();
    let [push, pull] = sockets(&context, [SocketType::Push, SocketType::Pull]);
    for (socket, option) in [(&push, option::SNDHWM), (&pull, option::RCVHWM)] {
        socket.set(option, 1).unwrap();
    }
    let name = format!("inproc://{}", fresh_name());
    pull.bind(&name).unwrap();
    push.connect(&name).unwrap();
    assert_eq!(fill(&push), 2);
    push.set(option::SNDHWM, 5).unwrap();
    assert_eq!(fill(&push), 4, "5 and 1, of which 2 are there");
    pull.set(option::RCVHWM, 10).unwrap();
    assert_eq!(fill(&push), 9);
    pull.set(option::RCVHWM, 0).unwrap();
    for _ in 0..1000 {
        push.try_send("no bound").unwrap();
    }
    push.set(option::SNDHWM, 1).unwrap();
    pull.set(option::RCVHWM, 1).unwrap();
    assert_eq!(fill(&push), 0);
}

#[test]
fn a_higher_mark_lets_a_connection_go_on() {
    for place in support::PLACES.into_iter().filter(|place| place.transport != "inproc") {
        let context = Context::new();
        let [push, pull] = sockets(&context, [SocketType::Push, SocketType::Pull]);
        push.set(option::SNDHWM, 1).unwrap();
        pull.set(option::RCVHWM, 1).unwrap();
        connect(place, &push, &pull);
        // Until nothing moves any more: both marks, and the kernel's buffers, are full.
        let body = vec![7; 100_000];
        push.set(option::SNDTIMEO, 300).unwrap();
        let mut sent = 0;
        while push.send(&body).is_ok() {
            sent += 1;
        }
        pull.set(option::RCVHWM, sent + 10).unwrap();
        push.set(option::SNDTIMEO, LONG.as_millis() as i32).unwrap();
        push.send(&body).expect("there is room at the other end");
        for _ in 0..=sent {
            assert_eq!(pull.recv_timeout(LONG).unwrap().len(), body.len());
        }
    }
}

fn connect(place: Place, push: &Socket, pull: &Socket) {
    let (binds, connects) = if place.first_binds { (push, pull) } else { (pull, push) };
    connects.connect(&binds.bind(&place.endpoint()).unwrap()).unwrap();
}

#[test]
fn a_message_received_in_part_is_received_whole_though_its_pipe_goes() {
    let context = Context::new();
    let kinds = [
        (SocketType::Push, SocketType::Pull),
        (SocketType::Pair, SocketType::Pair),
        (SocketType::Dealer, SocketType::Router),
        (SocketType::Dealer, SocketType::Dealer),
        (SocketType::Req, SocketType::Rep),
    ];
    for (sends, receives) in kinds {
        for receives_first in [true, false] {
            let name = format!("inproc://{}", fresh_name());
            let [sender, next, receiver] = sockets(&context, [sends, sends, receives]);
            sender.bind(&name).unwrap();
            receiver.connect(&name).unwrap();
            sender.send_multipart(["one", "two", "three"]).unwrap();
            let mut got = Vec::new();
            let mut receive = || {
                let part = receiver.try_recv().unwrap();
                got.push(String::from_utf8_lossy(&part).into_owned());
                part.more()
            };
            if receives_first {
                // Of a ROUTER this is the name.
                receive();
            } else {
                // Some types look at a part to say this.
                assert!(receiver.events().unwrap().intersects(oxmq::Events::IN));
                if !matches!(receives, SocketType::Router | SocketType::Rep) {
                    continue;
                }
            }
            receiver.disconnect(&name).unwrap();
            while receive() {}
            assert_eq!(got[got.len() - 3..], ["one", "two", "three"], "{receives:?}");
            if receives == SocketType::Rep {
                receiver.try_send("answer").unwrap();
            }
            assert_eq!(receiver.try_recv().unwrap_err(), RecvError::Again);
            assert!(!receiver.events().unwrap().intersects(oxmq::Events::IN));
            // The next message begins anew.
            let name = format!("{name}-next");
            next.bind(&name).unwrap();
            receiver.connect(&name).unwrap();
            next.send("next").unwrap();
            let message = receiver.try_recv_multipart().unwrap();
            assert_eq!(message.len(), if receives == SocketType::Router { 2 } else { 1 });
        }
    }
}

#[test]
fn an_inproc_endpoint_goes_with_its_peer() {
    let context = Context::new();
    let name = format!("inproc://{}", fresh_name());
    let [push, pull] = sockets(&context, [SocketType::Push, SocketType::Pull]);
    push.bind(&name).unwrap();
    pull.connect(&name).unwrap();
    push.send("left").unwrap();
    drop(push);
    // As long as there is something of it.
    assert_eq!(&pull.try_recv().unwrap()[..], b"left");
    assert_eq!(pull.try_recv().unwrap_err(), RecvError::Again);
    let error = pull.disconnect(&name).unwrap_err();
    assert_eq!(error, oxmq::UnbindError::NotBound { endpoint: name });
}
