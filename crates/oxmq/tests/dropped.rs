//! Every message that is dropped is counted, by reason and pipe: exactly what was sent and is not
//! received, both counted from outside.

mod support;

use std::thread;
use std::time::Instant;

use oxmq::option::{
    INVERT_MATCHING, LINGER, MAXMSGSIZE, RCVHWM, ROUTER_NOTIFY, ROUTING_ID, SNDBUF, SNDHWM,
};
use oxmq::{
    Context, DropReason, Dropped, Events, Publisher, Pull, Push, Reply, Request, Router, Socket,
    SocketType, Statistics, Subscriber, XPublisher, XSubscriber,
};

use support::raw::{Old, RawListener, RawPeer, frame, message, ready};
use support::{LONG, body, endpoints, fresh_name};

/// Looks again and again until `value` is what it should be.
fn wait_for<T: PartialEq + std::fmt::Debug>(expected: T, value: impl Fn() -> T) {
    let deadline = Instant::now() + LONG;
    loop {
        let found = value();
        if found == expected {
            return;
        }
        assert!(Instant::now() < deadline, "expected {expected:?}, found {found:?}");
        thread::yield_now();
    }
}

/// The whole messages that a stream of ZMTP 2 or 3 frames holds.
fn messages_in(mut bytes: &[u8]) -> u64 {
    let mut messages = 0;
    while let [flags, length, ..] = *bytes {
        let (header, length) = match flags & 2 {
            0 => (2, usize::from(length)),
            _ if bytes.len() < 9 => break,
            _ => (9, u64::from_be_bytes(bytes[1..9].try_into().unwrap()) as usize),
        };
        if bytes.len() < header + length {
            break;
        }
        messages += u64::from(flags & 5 == 0);
        bytes = &bytes[header + length..];
    }
    messages
}

/// Nothing but these was dropped.
fn assert_dropped(socket: &Socket, expected: &[(DropReason, u64)]) {
    let expected: Vec<_> = expected.iter().copied().filter(|(_, messages)| *messages > 0).collect();
    let found: Vec<_> = socket.statistics().dropped.iter().collect();
    assert_eq!(found, expected);
    assert_eq!(socket.dropped(), expected.iter().map(|(_, messages)| messages).sum::<u64>());
}

fn wait_dropped(socket: &Socket, reason: DropReason, messages: u64) {
    wait_for(messages, || socket.statistics().dropped.of(reason));
    assert_dropped(socket, &[(reason, messages)]);
}

/// What the pipes of the socket say was dropped for this reason.
fn of_pipes(statistics: &Statistics, reason: DropReason) -> u64 {
    statistics.pipes.iter().map(|pipe| pipe.dropped.of(reason)).sum()
}

fn socket(context: &Context, kind: SocketType) -> Socket {
    context.socket(kind).unwrap()
}

fn shut_down(peer: &RawPeer) {
    // SAFETY: touches no memory of ours.
    assert_eq!(unsafe { libc::shutdown(peer.stream.as_raw_fd(), libc::SHUT_WR) }, 0);
}

#[test]
fn full_peers_of_a_publisher() {
    for endpoint in endpoints() {
        let context = Context::new();
        let publisher = Publisher::new(&context).unwrap();
        publisher.set(SNDHWM, 10).unwrap();
        publisher.set(SNDBUF, 8 << 10).unwrap();
        let actual = publisher.bind(&endpoint).unwrap();
        let mut slow = RawPeer::connect_with(&actual, 16 << 10);
        slow.shake_hands("SUB", "PUB");
        slow.send(&frame(0, b"\x01"));
        let inproc = format!("inproc://{}", fresh_name());
        publisher.bind(&inproc).unwrap();
        let full = Subscriber::new(&context).unwrap();
        full.set(RCVHWM, 7).unwrap();
        full.connect(&inproc).unwrap();
        full.subscribe("").unwrap();
        publisher.wait_for_subscribers("", 2, Some(LONG)).unwrap();
        const SENT: u64 = 3000;
        for number in 0..SENT {
            let part = body(1000 + number as usize % 2);
            publisher.send_multipart([&part[..], b"rest"]).unwrap();
        }
        let statistics = publisher.statistics();
        assert_eq!(of_pipes(&statistics, DropReason::Full), statistics.dropped.total());
        let mut pipes = statistics.pipes.iter();
        assert!(pipes.all(|pipe| pipe.sent + pipe.dropped.of(DropReason::Full) == SENT));
        // Closing sends what waits.
        publisher.close();
        let received = messages_in(&slow.read_to_end());
        let mut received_within = 0;
        while full.try_recv_multipart().is_ok() {
            received_within += 1;
        }
        assert_eq!(received_within, 17);
        let missed = (SENT - received) + (SENT - received_within);
        assert_dropped(publisher.as_ref(), &[(DropReason::Full, missed)]);
        assert!(SENT > received, "nothing was dropped");
    }
}

#[test]
fn full_peers_of_those_who_answer() {
    for kind in [SocketType::Router, SocketType::Rep, SocketType::XSub, SocketType::XPub] {
        let context = Context::new();
        let answering = socket(&context, kind);
        answering.set(SNDHWM, 3).unwrap();
        answering.set(SNDBUF, 8 << 10).unwrap();
        // An XSUB would not.
        answering.set(LINGER, -1).unwrap();
        let actual = answering.bind("tcp://127.0.0.1:*").unwrap();
        let mut peer = RawPeer::connect_with(&actual, 16 << 10);
        let theirs = match kind {
            SocketType::XSub => "XPUB",
            SocketType::XPub => "XSUB",
            _ => "DEALER",
        };
        peer.shake_hands(theirs, kind.name());
        answering.wait_for_peers(1, Some(LONG)).unwrap();
        if kind == SocketType::XPub {
            peer.send(&frame(0, b"\x01"));
            answering.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        }
        const SENT: u64 = 200;
        for _ in 0..SENT {
            // No subscription, which an XSUB would take it for.
            let text = [b"-".to_vec(), body(16 << 10)].concat();
            if matches!(kind, SocketType::Router | SocketType::Rep) {
                peer.send(&message(&[b"", &b"question"[..]]));
                let question = answering.recv_multipart().unwrap();
                if kind == SocketType::Router {
                    let identity = question[0].to_vec();
                    answering.send_multipart([identity, text]).unwrap();
                    continue;
                }
            }
            answering.send(text).unwrap();
        }
        let statistics = answering.statistics();
        assert_eq!(of_pipes(&statistics, DropReason::Full), statistics.dropped.total());
        answering.close();
        let received = messages_in(&peer.read_to_end());
        assert!(received < SENT, "{kind}: nothing was dropped");
        assert_dropped(&answering, &[(DropReason::Full, SENT - received)]);
    }
}

#[test]
fn nobody_has_the_identity_and_the_asker_is_gone() {
    let context = Context::new();
    let router = Router::new(&context).unwrap();
    for _ in 0..5 {
        router.send_multipart(["nobody", "text", "more"]).unwrap();
    }
    assert_dropped(router.as_ref(), &[(DropReason::Unroutable, 5)]);
    // An identity alone is no message, for whomever.
    router.send("nobody").unwrap();
    let expected = [(DropReason::Unroutable, 5), (DropReason::Malformed, 1)];
    assert_dropped(router.as_ref(), &expected);

    for endpoint in endpoints() {
        let reply = Reply::new(&context).unwrap();
        let actual = reply.bind(&endpoint).unwrap();
        let mut peer = RawPeer::connect(&actual);
        peer.shake_hands("REQ", "REP");
        peer.send(&message(&["", "question"]));
        assert_eq!(&reply.recv().unwrap()[..], b"question");
        drop(peer);
        wait_for(0, || reply.statistics().pipes.len());
        reply.send("answer").unwrap();
        assert_dropped(reply.as_ref(), &[(DropReason::Unroutable, 1)]);
    }
}

#[test]
fn what_a_bound_socket_had_not_sent() {
    for endpoint in endpoints() {
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        push.set(SNDBUF, 8 << 10).unwrap();
        let actual = push.bind(&endpoint).unwrap();
        for round in 0..20 {
            let before = push.dropped();
            let mut peer = RawPeer::connect_with(&actual, 16 << 10);
            peer.shake_hands("PULL", "PUSH");
            push.wait_for_peers(1, Some(LONG)).unwrap();
            // Another thread sends while the connection ends.
            let sent = thread::scope(|scope| {
                let sender = scope.spawn(|| {
                    let mut sent = 0;
                    while !push.statistics().pipes.is_empty() {
                        sent += u64::from(push.try_send(body(1000)).is_ok());
                    }
                    sent
                });
                wait_for(true, || push.statistics().sent > 100 + 10 * round);
                shut_down(&peer);
                sender.join().unwrap()
            });
            let received = messages_in(&peer.read_to_end());
            assert_eq!(push.dropped() - before, sent - received, "{sent}, {received}");
        }
        assert_dropped(push.as_ref(), &[(DropReason::Disconnected, push.dropped())]);
        assert!(push.dropped() > 0);
    }
}

#[test]
fn the_reply_to_one_who_left() {
    let context = Context::new();
    let reply = Reply::new(&context).unwrap();
    let (listener, endpoint) = RawListener::bind("tcp://127.0.0.1:*");
    reply.connect(&endpoint).unwrap();
    let mut peer = listener.accept();
    peer.shake_hands("DEALER", "REP");
    for _ in 0..3 {
        peer.send(&message(&["", "question"]));
        reply.recv().unwrap();
        reply.send(body(64 << 20)).unwrap();
    }
    shut_down(&peer);
    let received = messages_in(&peer.read_to_end());
    wait_dropped(reply.as_ref(), DropReason::Disconnected, 3 - received);
    assert_eq!(received, 0);
}

#[test]
fn between_two_sockets_of_the_process() {
    for _ in 0..50 {
        let context = Context::new();
        let (pull, push) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
        let endpoint = format!("inproc://{}", fresh_name());
        pull.bind(&endpoint).unwrap();
        push.connect(&endpoint).unwrap();
        let (sent, received) = thread::scope(|scope| {
            let sender = scope.spawn(|| {
                let mut sent = 0u64;
                while push.statistics().pipes.first().is_some_and(|pipe| pipe.connected) {
                    sent += u64::from(push.try_send_multipart(["a", "b"]).is_ok());
                }
                sent
            });
            for _ in 0..100 {
                pull.recv_multipart().unwrap();
            }
            pull.close();
            (sender.join().unwrap(), 100)
        });
        let unread = pull.statistics().dropped;
        assert_eq!(unread.total(), unread.of(DropReason::Unread));
        let unsent = push.statistics().dropped;
        assert_eq!(unsent.total(), unsent.of(DropReason::Disconnected));
        assert_eq!(unread.total() + unsent.total(), sent - received);
        // What an endpoint that is gone for good was sent lingers nowhere.
        push.close();
        assert_dropped(push.as_ref(), &[(DropReason::Disconnected, unsent.total())]);
    }
}

#[test]
fn what_was_not_sent_in_time_after_the_close() {
    for endpoint in endpoints() {
        for (linger_ms, disconnects) in [(0, false), (50, false), (50, true)] {
            let context = Context::new();
            let push = Push::new(&context).unwrap();
            push.set(SNDBUF, 8 << 10).unwrap();
            push.set(LINGER, linger_ms).unwrap();
            let (listener, actual) = RawListener::bind(&endpoint);
            push.connect(&actual).unwrap();
            let mut peer = listener.accept();
            peer.shake_hands("PULL", "PUSH");
            push.wait_for_peers(1, Some(LONG)).unwrap();
            for _ in 0..900 {
                push.send(body(4000)).unwrap();
            }
            if disconnects {
                push.disconnect(&actual).unwrap();
            } else {
                push.close();
            }
            // The peer reads only after that.
            wait_for(true, || push.dropped() > 0);
            let received = messages_in(&peer.read_to_end());
            assert_dropped(push.as_ref(), &[(DropReason::Lingered, 900 - received)]);
            if let Some(path) = actual.strip_prefix("ipc:///") {
                std::fs::remove_file(format!("/{path}")).unwrap();
            }
        }
    }
}

#[test]
fn what_waited_for_an_endpoint_where_nobody_ever_was() {
    for endpoint in ["tcp://127.0.0.1:9", "ipc://@nobody-is-there", "inproc://nobody"] {
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        push.set(LINGER, 0).unwrap();
        push.connect(endpoint).unwrap();
        for _ in 0..10 {
            push.send_multipart(["a", "b"]).unwrap();
        }
        push.disconnect(endpoint).unwrap();
        wait_dropped(push.as_ref(), DropReason::Lingered, 10);
        push.connect(endpoint).unwrap();
        push.send("c").unwrap();
        push.close();
        wait_dropped(push.as_ref(), DropReason::Lingered, 11);
    }
}

#[test]
fn what_was_received_and_not_taken() {
    for endpoint in endpoints() {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        let actual = pull.bind(&endpoint).unwrap();
        let mut peer = RawPeer::connect(&actual);
        peer.shake_hands("PUSH", "PULL");
        for _ in 0..10 {
            peer.send(&message(&["a", "b", "c"]));
        }
        wait_for(10, || pull.statistics().received);
        assert_eq!(pull.statistics().pipes[0].waiting_in, 10);
        for _ in 0..3 {
            pull.recv_multipart().unwrap();
        }
        assert_eq!(pull.statistics().pipes[0].waiting_in, 7);
        pull.close();
        assert_dropped(pull.as_ref(), &[(DropReason::Unread, 7)]);
    }
}

/// Looking for input takes the start of a message out of its pipe.
#[test]
fn what_was_found_and_not_taken() {
    let cases: [(SocketType, &str, &[&str]); 4] = [
        (SocketType::Router, "DEALER", &["text"]),
        (SocketType::Rep, "DEALER", &["", "text"]),
        (SocketType::Req, "ROUTER", &["", "text"]),
        (SocketType::Sub, "PUB", &["text"]),
    ];
    for (kind, theirs, parts) in cases {
        let context = Context::new();
        let taking = socket(&context, kind);
        let mut peer = RawPeer::connect(&taking.bind("tcp://127.0.0.1:*").unwrap());
        peer.shake_hands(theirs, kind.name());
        taking.wait_for_peers(1, Some(LONG)).unwrap();
        match kind {
            SocketType::Req => taking.send("question").unwrap(),
            SocketType::Sub => taking.subscribe("t").unwrap(),
            _ => {}
        }
        peer.send(&message(parts));
        peer.send(&message(parts));
        wait_for(2, || taking.statistics().received);
        wait_for(true, || taking.events().unwrap().intersects(Events::IN));
        taking.close();
        assert_dropped(&taking, &[(DropReason::Unread, 2)]);
    }
}

#[test]
fn without_an_envelope() {
    let context = Context::new();
    let reply = Reply::new(&context).unwrap();
    let mut peer = RawPeer::connect(&reply.bind("tcp://127.0.0.1:*").unwrap());
    peer.shake_hands("DEALER", "REP");
    for parts in [&["no delimiter"][..], &["none", "here", "either"], &["nothing behind it", ""]] {
        peer.send(&message(parts));
    }
    peer.send(&message(&["", "question"]));
    assert_eq!(&reply.recv().unwrap()[..], b"question");
    assert_dropped(reply.as_ref(), &[(DropReason::Malformed, 3)]);
    assert_eq!(reply.statistics().pipes[0].dropped.of(DropReason::Malformed), 3);

    let request = Request::new(&context).unwrap();
    let mut peer = RawPeer::connect(&request.bind("tcp://127.0.0.1:*").unwrap());
    peer.shake_hands("ROUTER", "REQ");
    request.wait_for_peers(1, Some(LONG)).unwrap();
    request.send("question").unwrap();
    peer.send(&message(&["no delimiter", "answer"]));
    peer.send(&message(&["answer"]));
    peer.send(&message(&["", "answer"]));
    assert_eq!(&request.recv().unwrap()[..], b"answer");
    assert_dropped(request.as_ref(), &[(DropReason::Malformed, 2)]);
}

#[test]
fn replies_nobody_waits_for() {
    let context = Context::new();
    let request = Request::new(&context).unwrap();
    let endpoint = request.bind("tcp://127.0.0.1:*").unwrap();
    let mut peers = [RawPeer::connect(&endpoint), RawPeer::connect(&endpoint)];
    for peer in &mut peers {
        peer.shake_hands("ROUTER", "REQ");
    }
    request.wait_for_peers(2, Some(LONG)).unwrap();
    // The answer to the PING says that what was sent before it has reached the socket.
    let answer = [message(&["", "answer"]), frame(4, b"\x04PING\x00\x00")].concat();
    let reached = frame(4, b"\x04PONG");
    // Before anything was asked.
    for peer in &mut peers {
        peer.send(&answer);
        peer.expect(&reached);
    }
    request.send("question").unwrap();
    assert_dropped(request.as_ref(), &[(DropReason::Stale, 2)]);
    // From both, though but one was asked.
    for peer in &mut peers {
        peer.send(&answer);
        let mut read = Vec::new();
        while !read.ends_with(&reached) {
            read.push(0);
            let last = read.len() - 1;
            peer.stream.read_exact(&mut read[last..]).unwrap();
        }
    }
    assert_eq!(&request.recv().unwrap()[..], b"answer");
    request.send("question").unwrap();
    assert_dropped(request.as_ref(), &[(DropReason::Stale, 3)]);
}

#[test]
fn input_of_sockets_that_only_send() {
    for (kind, theirs) in [(SocketType::Push, "PULL"), (SocketType::Pub, "SUB")] {
        for endpoint in endpoints() {
            let context = Context::new();
            let sending = socket(&context, kind);
            let mut peer = RawPeer::connect(&sending.bind(&endpoint).unwrap());
            peer.shake_hands(theirs, kind.name());
            for number in 0..100 {
                peer.send(&message(&["un", "wanted"][..1 + number % 2]));
            }
            // Subscriptions are wanted.
            if kind == SocketType::Pub {
                peer.send(&frame(0, b"\x01"));
            }
            wait_dropped(&sending, DropReason::Unwanted, 100);
            assert_eq!(sending.statistics().pipes[0].dropped.of(DropReason::Unwanted), 100);
        }
    }
}

#[test]
fn what_a_subscriber_did_not_subscribe_to() {
    let context = Context::new();
    // A publisher of ZMTP 1.0 sends everything.
    let subscriber = Subscriber::new(&context).unwrap();
    subscriber.subscribe("a").unwrap();
    let mut peer = RawPeer::connect(&subscriber.bind("tcp://127.0.0.1:*").unwrap());
    peer.send(&Old::V1.opening(1, b""));
    for number in 0..100 {
        peer.send(&Old::V1.message(&[["a", "b"][number % 2], "rest"]));
    }
    for _ in 0..50 {
        assert_eq!(&subscriber.recv_multipart().unwrap()[0][..], b"a");
    }
    // It drops as it looks for what it wants.
    wait_for(50, || {
        assert!(subscriber.as_ref().try_recv().is_err());
        subscriber.dropped()
    });
    assert_dropped(subscriber.as_ref(), &[(DropReason::Unwanted, 50)]);
}

#[test]
fn messages_that_never_came_whole() {
    let kind = SocketType::Pull;
    let torn: [&[u8]; 5] = [
        &frame(1, b"first part, no second")[..],
        &[frame(1, b"first"), frame(1, &body(20_000))].concat(),
        &[0, 10, b'x'],
        &frame(0, &body(100_000))[..50_000],
        &[&frame(1, b"first")[..], &[0]].concat(),
    ];
    for endpoint in endpoints() {
        let context = Context::new();
        let pull = socket(&context, kind);
        let actual = pull.bind(&endpoint).unwrap();
        for (at, torn) in torn.iter().enumerate() {
            let mut peer = RawPeer::connect(&actual);
            peer.shake_hands("PUSH", "PULL");
            peer.send(&message(&["a", "whole", "one"]));
            peer.send(torn);
            drop(peer);
            assert_eq!(pull.recv_multipart().unwrap().len(), 3);
            wait_dropped(&pull, DropReason::Torn, at as u64 + 1);
        }
        // Half a command is no message.
        let mut peer = RawPeer::connect(&actual);
        peer.shake_hands("PUSH", "PULL");
        peer.send(&message(&["whole"]));
        peer.send(&[4, 10, b'x']);
        drop(peer);
        pull.recv_multipart().unwrap();
        wait_for(0, || pull.statistics().pipes.iter().filter(|pipe| pipe.connected).count());
        assert_dropped(&pull, &[(DropReason::Torn, 5)]);
    }
}

#[test]
fn a_message_longer_than_is_taken() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    pull.set(MAXMSGSIZE, 1000).unwrap();
    let mut peer = RawPeer::connect(&pull.bind("tcp://127.0.0.1:*").unwrap());
    peer.shake_hands("PUSH", "PULL");
    peer.send(&message(&[body(1000)]));
    peer.send(&message(&[body(1001)]));
    assert_eq!(pull.recv().unwrap().len(), 1000);
    wait_dropped(pull.as_ref(), DropReason::Torn, 1);
}

/// At RCVHWM some messages lie between the connection and the pipe when it breaks.
#[test]
fn messages_without_room_when_the_connection_broke() {
    let context = Context::new();
    let dealer = socket(&context, SocketType::Dealer);
    dealer.set(RCVHWM, 10).unwrap();
    dealer.set(LINGER, 0).unwrap();
    let (listener, endpoint) = RawListener::bind("tcp://127.0.0.1:*");
    dealer.connect(&endpoint).unwrap();
    let mut peer = listener.accept();
    peer.shake_hands("DEALER", "DEALER");
    dealer.wait_for_peers(1, Some(LONG)).unwrap();
    peer.send(&message(&["text"]).repeat(100));
    wait_for(10, || dealer.statistics().received);
    // With data unread on its side the peer's close is a reset.
    dealer.send(body(100)).unwrap();
    wait_for(true, || peer.bytes_under_way() > 100);
    drop(peer);
    // Nothing is read for the time being: who writes notices.
    wait_for(false, || {
        let _ = dealer.try_send("text");
        dealer.statistics().pipes[0].connected
    });
    let mut received = 0;
    while dealer.try_recv().is_ok() {
        received += 1;
    }
    assert_dropped(&dealer, &[(DropReason::Torn, 100 - received)]);
    assert_eq!(dealer.statistics().received, received);
}

#[test]
fn notices_beyond_the_mark() {
    let context = Context::new();
    let router = Router::new(&context).unwrap();
    router.set(ROUTER_NOTIFY, 3).unwrap();
    router.set(RCVHWM, 4).unwrap();
    let endpoint = router.bind("tcp://127.0.0.1:*").unwrap();
    for _ in 0..10 {
        let mut peer = RawPeer::connect(&endpoint);
        peer.shake_hands("DEALER", "ROUTER");
        wait_for(1, || router.statistics().pipes.len());
        drop(peer);
        wait_for(0, || router.statistics().pipes.len());
    }
    let mut received = 0;
    while router.try_recv_multipart().is_ok() {
        received += 1;
    }
    assert_eq!(received, 4);
    assert_dropped(router.as_ref(), &[(DropReason::Notice, 20 - received)]);
}

/// A peer that is gone, some of whose messages are still to be received, misses nothing.
#[test]
fn who_is_gone_is_not_full() {
    let context = Context::new();
    let xpub = XPublisher::new(&context).unwrap();
    xpub.set(INVERT_MATCHING, true).unwrap();
    let endpoint = format!("inproc://{}", fresh_name());
    xpub.bind(&endpoint).unwrap();
    let xsub = XSubscriber::new(&context).unwrap();
    xsub.connect(&endpoint).unwrap();
    xsub.send("to be received").unwrap();
    xsub.close();
    xpub.send("to nobody").unwrap();
    assert_eq!(&xpub.recv().unwrap()[..], b"to be received");
    assert_dropped(xpub.as_ref(), &[]);
}

#[test]
fn a_snapshot_says_where_everything_is() {
    for endpoint in endpoints() {
        let context = Context::new();
        let router = Router::new(&context).unwrap();
        let actual = router.bind(&endpoint).unwrap();
        let mut peer = RawPeer::connect(&actual);
        let identity = Some("me");
        peer.send(&support::raw::GREETING_3_0);
        peer.send(&ready("DEALER", identity));
        peer.send(&message(&["one"]));
        peer.send(&message(&["two", "parts"]));
        wait_for(2, || router.statistics().received);
        router.send_multipart(["me", "answer"]).unwrap();
        router.send_multipart(["you", "answer"]).unwrap();
        wait_for(0, || router.statistics().pipes[0].waiting_out);
        router.recv_multipart().unwrap();

        let statistics = router.statistics();
        assert_eq!(statistics.socket_type, SocketType::Router);
        assert_eq!((statistics.sent, statistics.received), (1, 2));
        assert_eq!(statistics.dropped.iter().collect::<Vec<_>>(), [(DropReason::Unroutable, 1)]);
        let [pipe] = &statistics.pipes[..] else { panic!("{statistics:?}") };
        assert!(pipe.connected);
        assert_eq!((pipe.sent, pipe.waiting_out), (1, 0));
        assert_eq!((pipe.received, pipe.waiting_in), (2, 1));
        assert_eq!((pipe.sndhwm, pipe.rcvhwm), (1000, 1000));
        assert_eq!(pipe.identity, b"me");
        assert_eq!(pipe.dropped, Dropped::default());
        let connection = &pipe.connection;
        assert_eq!((&connection.endpoint, connection.bound), (&actual, true));
        assert_eq!(connection.local.as_ref(), Some(&actual));
        if actual.starts_with("tcp") {
            let remote = connection.remote.as_ref().unwrap();
            assert!(remote.starts_with("tcp://127.0.0.1:") && *remote != actual, "{remote}");
        } else {
            assert_eq!(connection.remote, None);
        }
        let them = connection.peer.as_ref().unwrap();
        assert_eq!(them.identity, b"me");
        assert_eq!(them.version.unwrap().to_string(), "3.0");
        assert_eq!(them.socket_type, Some(SocketType::Dealer));
    }
}

#[test]
fn a_snapshot_of_a_pipe_within_the_process() {
    let context = Context::new();
    let endpoint = format!("inproc://{}", fresh_name());
    let push = Push::new(&context).unwrap();
    push.set(SNDHWM, 5).unwrap();
    push.connect(&endpoint).unwrap();
    let pipe = &push.statistics().pipes[0];
    assert!(!pipe.connected && !pipe.connection.bound && pipe.connection.peer.is_none());
    assert_eq!((&pipe.connection.endpoint, pipe.sndhwm), (&endpoint, 5));
    let pull = Pull::new(&context).unwrap();
    pull.set(RCVHWM, 20).unwrap();
    pull.set(ROUTING_ID, b"puller".to_vec()).unwrap();
    pull.bind(&endpoint).unwrap();
    for _ in 0..10 {
        push.send("text").unwrap();
    }
    pull.recv_timeout(LONG).unwrap();
    let pipe = &push.statistics().pipes[0];
    assert!(pipe.connected);
    assert_eq!((pipe.sent, pipe.waiting_out, pipe.sndhwm), (10, 9, 25));
    let peer = pipe.connection.peer.as_ref().unwrap();
    assert_eq!((&peer.identity[..], peer.socket_type), (&b"puller"[..], Some(SocketType::Pull)));
    assert_eq!(peer.version, None);
    let pipe = &pull.statistics().pipes[0];
    assert_eq!((pipe.received, pipe.waiting_in, pipe.rcvhwm), (10, 9, 25));
    assert!(pipe.connection.bound);
}
