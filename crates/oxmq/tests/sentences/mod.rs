//! The RFCs' sentences as tables: what each says, and a test of it at one place.
#![allow(dead_code)] // each program uses a part of it

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use oxmq::option::{LINGER, RCVBUF, RCVHWM, RCVTIMEO, ROUTING_ID, SNDBUF, SNDHWM, SNDTIMEO};
use oxmq::{Context, Message, RecvError, SendErrorKind, Socket, SocketType};

use crate::support::{LONG, PLACES, Place};

/// A sentence of ours for one of an RFC's, and whether it holds at a place: a panic says no.
pub type Sentence = (&'static str, fn(Place));

/// How long nothing must come for it to count as nothing.
pub const QUIET: Duration = Duration::from_millis(30);

/// Tries each sentence at every place, and says all that do not hold.
pub fn hold(whose: &str, sentences: &[Sentence]) {
    hold_at(whose, &PLACES, sentences);
}

/// As [`hold`], where there is a wire.
pub fn hold_on_the_wire(whose: &str, sentences: &[Sentence]) {
    hold_at(whose, &PLACES[..4], sentences);
}

fn hold_at(whose: &str, places: &[Place], sentences: &[Sentence]) {
    let mut broken = Vec::new();
    for (sentence, holds) in sentences {
        for &place in places {
            // Nothing of the test outlives a panic.
            if catch_unwind(AssertUnwindSafe(|| holds(place))).is_err() {
                broken.push(format!("{sentence}: {place:?}"));
            }
        }
    }
    println!("{whose}: {} sentences, {} cells", sentences.len(), sentences.len() * places.len());
    assert!(broken.is_empty(), "{whose} does not hold to:\n{}", broken.join("\n"));
}

/// A socket whose calls do not wait for ever.
pub fn socket(context: &Context, kind: SocketType) -> Socket {
    let socket = context.socket(kind).unwrap();
    for option in [SNDTIMEO, RCVTIMEO] {
        socket.set(option, LONG.as_millis() as i32).unwrap();
    }
    socket.set(LINGER, 0).unwrap();
    socket
}

/// As [`socket`], with this name.
pub fn named(context: &Context, kind: SocketType, name: &str) -> Socket {
    let socket = socket(context, kind);
    socket.set(ROUTING_ID, name.as_bytes().to_vec()).unwrap();
    socket
}

/// As [`named`], with room for few messages, in the kernel too.
pub fn narrow(context: &Context, kind: SocketType, name: &str) -> Socket {
    let socket = named(context, kind, name);
    // tcp crawls through buffers that are much smaller than what is sent.
    for (mark, buffer, bytes) in [(SNDHWM, SNDBUF, 16 << 10), (RCVHWM, RCVBUF, 64 << 10)] {
        socket.set(mark, 2).unwrap();
        socket.set(buffer, bytes).unwrap();
    }
    socket
}

/// Joins two sockets and waits until both know.
pub fn join(place: Place, first: &Socket, second: &Socket) -> String {
    let endpoint = place.join(first, second);
    for socket in [first, second] {
        socket.wait_for_peers(1, Some(LONG)).unwrap();
    }
    endpoint
}

/// Two sockets that are joined.
pub fn pair(place: Place, first: SocketType, second: SocketType) -> (Context, Socket, Socket) {
    let context = Context::new();
    let (first, second) = (named(&context, first, "first"), named(&context, second, "second"));
    join(place, &first, &second);
    (context, first, second)
}

/// One socket, named `hub`, and several that it is joined to, named `0`, `1`, …
pub fn star(
    place: Place,
    hub: SocketType,
    peers: SocketType,
    count: usize,
) -> (Context, Socket, Vec<Socket>) {
    let context = Context::new();
    let hub = named(&context, hub, "hub");
    let bound = place.first_binds.then(|| hub.bind(&place.endpoint()).unwrap());
    let peers = (0..count).map(|number| {
        let peer = named(&context, peers, &number.to_string());
        match &bound {
            Some(endpoint) => peer.connect(endpoint).unwrap(),
            None => hub.connect(&peer.bind(&place.endpoint()).unwrap()).unwrap(),
        }
        // One after the other, so that their order is known.
        hub.wait_for_peers(number + 1, Some(LONG)).unwrap();
        peer.wait_for_peers(1, Some(LONG)).unwrap();
        peer
    });
    let peers = peers.collect();
    (context, hub, peers)
}

/// The parts of the next message.
pub fn parts(socket: &Socket) -> Vec<Vec<u8>> {
    let parts = socket.recv_multipart().unwrap();
    parts.iter().map(|part| part.to_vec()).collect()
}

#[track_caller]
pub fn expect(socket: &Socket, expected: &[&str]) {
    let received = parts(socket);
    let expected: Vec<&[u8]> = expected.iter().map(|part| part.as_bytes()).collect();
    assert_eq!(received, expected);
}

/// That nothing comes.
#[track_caller]
pub fn nothing(socket: &Socket) {
    assert_eq!(socket.recv_timeout(QUIET).map(|part| part.to_vec()), Err(RecvError::Again));
}

/// Bodies that a filter or a change would catch: empty parts, every byte, short and long.
pub fn telling() -> Vec<Vec<u8>> {
    let all: Vec<u8> = (0..=255).collect();
    vec![vec![1], vec![], all.clone(), vec![], all.repeat(100), vec![0; 9000], vec![]]
}

/// Sends copies of `parts` until the socket takes no more for a while; how many it took.
pub fn fill(socket: &Socket, parts: &[&[u8]]) -> usize {
    socket.set(SNDTIMEO, 60).unwrap();
    let mut sent = 0;
    loop {
        match socket.send_multipart(parts.iter().map(|part| Message::from(*part))) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert_eq!(error.kind(), SendErrorKind::Again);
                socket.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
                return sent;
            }
        }
        assert!(sent < 10_000, "there is no limit");
    }
}

/// Waits until `reached`.
#[track_caller]
pub fn wait_until(mut reached: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !reached() {
        assert!(Instant::now() < end, "what is waited for does not come");
        thread::yield_now();
    }
}

/// What a sender of this type puts before a message for `second`.
fn address(sender: SocketType) -> &'static [&'static str] {
    if sender == SocketType::Router { &["second"] } else { &[] }
}

fn addressed(sender: SocketType, body: &[u8]) -> Vec<Message> {
    let address = address(sender).iter().map(|part| Message::from(*part));
    address.chain([Message::from(body)]).collect()
}

/// "SHALL create a queue when initiating an outgoing connection, and SHALL maintain it whether or not
/// the connection is established": what is sent before the peer is there, and while it is away,
/// arrives. For types that queue for nobody in particular.
pub fn queue_lives_with_the_connect(place: Place, sender: SocketType, receiver: SocketType) {
    if place.first_binds {
        return;
    }
    let context = Context::new();
    let from = named(&context, sender, "first");
    let peer = || {
        let peer = named(&context, receiver, "second");
        if receiver == SocketType::Sub {
            peer.subscribe("").unwrap();
        }
        peer
    };
    let first = peer();
    let endpoint = first.bind(&place.endpoint()).unwrap();
    first.close();
    from.connect(&endpoint).unwrap();
    from.send_multipart(addressed(sender, b"early")).unwrap();
    let second = peer();
    wait_until(|| second.bind(&endpoint).is_ok());
    wait_until(|| last_part(&second).is_some_and(|part| part == b"early"));
    if place.transport == "inproc" {
        // There a connection ends with the socket that is connected to.
        return;
    }
    second.close();
    wait_until(|| from.wait_for_peers(1, Some(Duration::ZERO)).is_err());
    from.send_multipart(addressed(sender, b"late")).unwrap();
    let third = peer();
    wait_until(|| third.bind(&endpoint).is_ok());
    wait_until(|| last_part(&third).is_some_and(|part| part == b"late"));
}

/// "SHALL create a queue when a peer connects to it. If this peer disconnects, SHALL destroy its queue
/// and SHALL discard any messages it contains": who comes next gets none of them.
pub fn queue_dies_with_an_accepted_peer(place: Place, sender: SocketType, receiver: SocketType) {
    if !place.first_binds {
        return;
    }
    let context = Context::new();
    let from = narrow(&context, sender, "first");
    let endpoint = from.bind(&place.endpoint()).unwrap();
    let peer = || {
        let peer = narrow(&context, receiver, "second");
        if receiver == SocketType::Sub {
            peer.subscribe("").unwrap();
        }
        peer.connect(&endpoint).unwrap();
        peer.wait_for_peers(1, Some(LONG)).unwrap();
        from.wait_for_peers(1, Some(LONG)).unwrap();
        if receiver == SocketType::Sub && sender != SocketType::XSub {
            from.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        }
        peer
    };
    let first = peer();
    // More than its queues and the kernel take; not subscriptions, from an XSUB.
    let old = vec![2; 16 << 10];
    for _ in 0..100 {
        if from.try_send_multipart(addressed(sender, &old)).is_err() {
            break;
        }
    }
    first.close();
    wait_until(|| from.wait_for_peers(1, Some(Duration::ZERO)).is_err());
    let second = peer();
    from.send_multipart(addressed(sender, b"new")).unwrap();
    wait_until(|| match last_part(&second) {
        None => false,
        Some(part) if part == b"new" => true,
        // What an XPUB is told of itself.
        Some(part) => {
            assert!(part.len() < 100, "an old message");
            false
        }
    });
}

fn last_part(socket: &Socket) -> Option<Vec<u8>> {
    let parts = socket.try_recv_multipart().ok()?;
    Some(parts.last()?.to_vec())
}

/// What a peer that has left had sent may still be received, on either side. (The RFCs have the queue
/// of a peer that came by itself discarded; libzmq keeps what has arrived, and so do we.)
pub fn what_has_arrived_stays(place: Place, receiver: SocketType, sender: SocketType) {
    let (_context, from, to) = pair(place, sender, receiver);
    if matches!(receiver, SocketType::Sub | SocketType::XSub) {
        match receiver {
            SocketType::Sub => to.subscribe("").unwrap(),
            _ => to.send([1].as_slice()).unwrap(),
        }
        from.wait_for_subscribers("", 1, Some(LONG)).unwrap();
    }
    for number in 0..5_u8 {
        from.send_multipart(addressed(sender, &[2, number])).unwrap();
    }
    wait_until(|| to.events().unwrap().intersects(oxmq::Events::IN));
    from.set(LINGER, -1).unwrap();
    from.close();
    wait_until(|| to.wait_for_peers(1, Some(Duration::ZERO)).is_err());
    for number in 0..5_u8 {
        wait_until(|| last_part(&to).is_some_and(|part| part == [2, number]));
    }
}

/// "SHALL maintain a double queue, allowing outgoing and incoming messages to be queued
/// independently": one direction full, the other goes on.
pub fn queues_are_independent(place: Place, this: SocketType, other: SocketType) {
    let context = Context::new();
    let (first, second) = (narrow(&context, this, "first"), narrow(&context, other, "second"));
    join(place, &first, &second);
    for (publisher, subscriber) in [(&first, &second), (&second, &first)] {
        if subscriber.kind() == SocketType::XSub {
            subscriber.send([1].as_slice()).unwrap();
            publisher.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        }
    }
    let long = vec![2; 16 << 10];
    let mut out: Vec<&[u8]> = address(this).iter().map(|part| part.as_bytes()).collect();
    out.push(&long);
    if matches!(this, SocketType::Router | SocketType::XPub | SocketType::XSub) {
        // They drop when they are full.
        for _ in 0..100 {
            first.try_send_multipart(out.iter().map(|part| Message::from(*part))).unwrap();
        }
    } else {
        assert!(fill(&first, &out) >= 4);
    }
    for number in 0..20_u8 {
        let back = match other {
            SocketType::Router => vec![Message::from("first"), Message::from(&[2, number])],
            _ => vec![Message::from(&[2, number])],
        };
        second.send_multipart(back).unwrap();
        wait_until(|| last_part(&first).is_some_and(|part| part == [2, number]));
    }
}

/// "SHOULD constrain queue sizes to a runtime-configurable limit": whatever is sent, no more arrives
/// than the queues and the kernel hold.
pub fn queues_have_limits(place: Place, this: SocketType, other: SocketType) {
    let context = Context::new();
    let (first, second) = (narrow(&context, this, "first"), narrow(&context, other, "second"));
    if other == SocketType::Sub {
        second.subscribe("").unwrap();
    }
    join(place, &first, &second);
    if other == SocketType::Sub {
        first.wait_for_subscribers("", 1, Some(LONG)).unwrap();
    }
    let long = vec![2; 16 << 10];
    for _ in 0..200 {
        let _ = first.try_send_multipart(addressed(this, &long));
    }
    let mut arrived = 0;
    while let Ok(part) = second.recv_timeout(if arrived < 2 { LONG } else { QUIET }) {
        arrived += usize::from(part.len() == long.len());
    }
    assert!((2..100).contains(&arrived), "{arrived} arrived");
}

/// "SHALL receive incoming messages from its peers using a fair-queuing strategy": of peers that all
/// have messages waiting, each has its turn.
pub fn fair_queued(place: Place, this: SocketType, others: SocketType, prefix: &[&str]) {
    const PEERS: usize = 3;
    const EACH: usize = 20;
    let (_context, hub, peers) = star(place, this, others, PEERS);
    if this == SocketType::Sub {
        hub.subscribe("").unwrap();
        for peer in &peers {
            peer.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        }
    }
    if this == SocketType::XSub {
        hub.send([1].as_slice()).unwrap();
        for peer in &peers {
            peer.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        }
    }
    let attempt = |attempt: usize| {
        for (name, peer) in peers.iter().enumerate() {
            for _ in 0..EACH {
                let body = Message::from(&[2, name as u8]);
                let prefix = prefix.iter().map(|part| Message::from(*part));
                peer.send_multipart(prefix.chain([body])).unwrap();
            }
        }
        for _ in 0..attempt {
            thread::yield_now();
        }
        let mut order = Vec::new();
        while order.len() < PEERS * EACH {
            let parts = parts(&hub);
            let body = parts.last().unwrap();
            if body.len() == 2 && body[0] == 2 {
                order.push(body[1]);
            }
            if this == SocketType::Rep {
                hub.send("answer").unwrap();
            }
        }
        order.chunks(PEERS).all(|turn| {
            let mut turn = turn.to_vec();
            turn.sort_unstable();
            turn == [0, 1, 2]
        })
    };
    // Only if all had arrived before the first was received are there turns to see.
    assert!((0..1000).any(attempt), "never in turn");
}

/// "SHALL route outgoing messages to available peers using a round-robin strategy".
pub fn round_robin(place: Place, this: SocketType, others: SocketType) {
    let (_context, hub, peers) = star(place, this, others, 3);
    for number in 0..9_u8 {
        hub.send(&[number]).unwrap();
        let taker = &peers[number as usize % 3];
        let received = parts(taker);
        assert_eq!(received.last().unwrap()[..], [number], "{received:?}");
        if others == SocketType::Rep {
            taker.send("answer").unwrap();
            hub.recv().unwrap();
        }
    }
}

/// "SHALL consider a peer as available only when it has an outgoing queue that is not full": the
/// others get all the messages meanwhile.
pub fn the_full_are_passed_over(place: Place, this: SocketType, others: SocketType) {
    let context = Context::new();
    let hub = narrow(&context, this, "hub");
    let bound = place.first_binds.then(|| hub.bind(&place.endpoint()).unwrap());
    let [stalled, ready] = ["stalled", "ready"].map(|name| {
        let peer = narrow(&context, others, name);
        match &bound {
            Some(endpoint) => peer.connect(endpoint).unwrap(),
            None => hub.connect(&peer.bind(&place.endpoint()).unwrap()).unwrap(),
        }
        peer.wait_for_peers(1, Some(LONG)).unwrap();
        peer
    });
    hub.wait_for_peers(2, Some(LONG)).unwrap();
    let long = vec![1; 16 << 10];
    let done = AtomicBool::new(false);
    let mut taken = thread::scope(|scope| {
        let taking = scope.spawn(|| {
            let mut taken = 0;
            while !done.load(Ordering::SeqCst) {
                taken += usize::from(ready.recv_timeout(QUIET).is_ok());
            }
            taken
        });
        for number in 0..200 {
            hub.send(&long).unwrap_or_else(|error| panic!("message {number}: {error}"));
        }
        done.store(true, Ordering::SeqCst);
        taking.join().unwrap()
    });
    // All are given to one or the other: who reads now changes nothing any more.
    let (start, mut from_stalled) = (Instant::now(), 0);
    while taken + from_stalled < 200 {
        assert!(start.elapsed() < LONG, "{taken} and {from_stalled} of 200 have come");
        taken += usize::from(ready.try_recv().is_ok());
        from_stalled += usize::from(stalled.try_recv().is_ok());
    }
    assert!(taken > 100, "the ready peer got {taken} of 200");
}

/// "SHALL block on sending, or return a suitable error, when it has no available peers", "SHALL not
/// accept further messages" and "SHALL NOT discard messages that it cannot queue": the message comes
/// back, and goes to whoever comes.
pub fn nothing_is_sent_to_nobody(place: Place, this: SocketType, other: SocketType) {
    let context = Context::new();
    let (first, second) = (socket(&context, this), socket(&context, other));
    first.set(SNDTIMEO, 1).unwrap();
    for wait in [false, true] {
        let message = ["kept", "whole"];
        let sent =
            if wait { first.send_multipart(message) } else { first.try_send_multipart(message) };
        let error = sent.unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::Again);
        let back = error.into_parts();
        assert_eq!([&back[0][..], &back[1]], [b"kept", &b"whole"[..]]);
    }
    first.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| first.send_multipart(["kept", "whole"]).unwrap());
        place.join(&first, &second);
        let received = parts(&second);
        assert_eq!(received[received.len() - 2..], [b"kept".to_vec(), b"whole".to_vec()]);
    });
}
