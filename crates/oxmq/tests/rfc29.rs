//! RFC 29, publish-subscribe: what its sentences on PUB, XPUB, SUB and XSUB say, each over every
//! transport, on the side that binds and on the one that connects.

mod sentences;
mod support;

use std::time::Duration;

use oxmq::option::{SNDTIMEO, XPUB_VERBOSE};
use oxmq::{Context, RecvError, SendErrorKind, Socket, SocketType};

use SocketType::{Pub, Sub, XPub, XSub};
use sentences::{
    Sentence, expect, fair_queued, hold, join, narrow, nothing, pair, parts,
    queue_dies_with_an_accepted_peer, queue_lives_with_the_connect, queues_are_independent,
    queues_have_limits, socket, star, telling, wait_until, what_has_arrived_stays,
};
use support::{LONG, Place};

#[test]
fn publish() {
    hold("PUB", PUB);
}

#[test]
fn xpub() {
    hold("XPUB", XPUB);
}

#[test]
fn subscribe() {
    hold("SUB", SUB);
}

#[test]
fn xsub() {
    hold("XSUB", XSUB);
}

/// The messages' first bytes, and the subscriptions that match them, of these.
const PREFIXES: [&[u8]; 5] = [b"", b"a", b"ab", b"\0", b"\xFF"];
const FIRST_FRAMES: [&[u8]; 7] = [b"", b"a", b"ab", b"abc", b"b", b"\0x", b"\xFF\xFE"];

const PUB: &[Sentence] = &[
    ("has any number of SUB or XSUB peers", |place| reaches_all(place, Pub)),
    ("SHALL only send", |place| {
        let (_context, publisher, _sub) = pair(place, Pub, Sub);
        assert_eq!(publisher.recv().err(), Some(RecvError::NotSupported));
    }),
    // The queue of a connect is kept too, but nothing is subscribed to before the peer is there.
    ("SHALL destroy the queue of an accepted peer that leaves", |place| {
        queue_dies_with_an_accepted_peer(place, Pub, Sub);
    }),
    ("SHOULD limit its queues", |place| queues_have_limits(place, Pub, Sub)),
    ("SHALL discard what subscribers send", |place| {
        let (_context, publisher, xsub) = pair(place, Pub, XSub);
        for _ in 0..5000 {
            xsub.send("unwanted").unwrap();
        }
        subscribe_to(&xsub, b"");
        publisher.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        assert!(!publisher.events().unwrap().intersects(oxmq::Events::IN));
        publisher.send("x").unwrap();
        expect(&xsub, &["x"]);
        // Over a wire the flood may be faster than it is carried.
        assert!(xsub.dropped() == 0 || place.transport != "inproc");
    }),
    ("SHALL not modify messages", |place| not_modified(place, Pub, Sub)),
    ("SHALL compare the subscription with the start of the first frame", |place| {
        compares_prefixes(place, Pub);
    }),
    ("SHALL drop for a subscriber whose queue is full, SHALL NOT block", |place| {
        drops_when_full(place, Pub);
    }),
    ("SHALL receive subscribe and unsubscribe requests", |place| {
        let (_context, publisher, sub) = pair(place, Pub, Sub);
        sub.subscribe("a").unwrap();
        publisher.wait_for_subscribers("a", 1, Some(LONG)).unwrap();
        sub.unsubscribe("a").unwrap();
        wait_until(|| publisher.wait_for_subscribers("a", 1, Some(Duration::ZERO)).is_err());
    }),
    ("SHALL NOT deliver these to its application", |place| {
        let (_context, publisher, sub) = pair(place, Pub, Sub);
        sub.subscribe("a").unwrap();
        publisher.wait_for_subscribers("a", 1, Some(LONG)).unwrap();
        assert!(!publisher.events().unwrap().intersects(oxmq::Events::IN));
    }),
];

const XPUB: &[Sentence] = &[
    ("has any number of SUB or XSUB peers", |place| reaches_all(place, XPub)),
    ("MAY both send and receive messages", |place| {
        let (_context, xpub, xsub) = pair(place, XPub, XSub);
        xsub.send_multipart(telling_upstream()).unwrap();
        assert_eq!(parts(&xpub), telling_upstream());
    }),
    ("SHALL queue each direction independently", |place| {
        queues_are_independent(place, XPub, XSub);
    }),
    ("SHALL destroy the queue of an accepted peer that leaves", |place| {
        queue_dies_with_an_accepted_peer(place, XPub, Sub);
    }),
    ("keeps what has arrived from a peer that left", |place| {
        let (_context, xpub, xsub) = pair(place, XPub, XSub);
        xsub.send("last words").unwrap();
        wait_until(|| xpub.events().unwrap().intersects(oxmq::Events::IN));
        xsub.close();
        wait_until(|| xpub.wait_for_peers(1, Some(Duration::ZERO)).is_err());
        expect(&xpub, &["last words"]);
    }),
    ("SHOULD limit its queues", |place| queues_have_limits(place, XPub, Sub)),
    ("SHALL not modify messages", |place| not_modified(place, XPub, XSub)),
    ("SHALL compare the subscription with the start of the first frame", |place| {
        compares_prefixes(place, XPub);
    }),
    ("SHALL drop for a subscriber whose queue is full, SHALL NOT block", |place| {
        drops_when_full(place, XPub);
    }),
    ("SHALL receive messages fair-queued and deliver them", |place| {
        fair_queued(place, XPub, XSub, &[]);
    }),
    ("SHALL receive subscribe and unsubscribe requests, and deliver them", |place| {
        for subscriber in [Sub, XSub] {
            let (_context, xpub, other) = pair(place, XPub, subscriber);
            subscribe_to(&other, b"a");
            assert_eq!(parts(&xpub), [b"\x01a"]);
            subscribe_to(&other, b"");
            assert_eq!(parts(&xpub), [b"\x01"]);
            unsubscribe_from(&other, b"a");
            assert_eq!(parts(&xpub), [b"\0a"]);
        }
    }),
    ("MAY deliver identical subscriptions once", |place| {
        for verbose in [false, true] {
            let (_context, xpub, subs) = star(place, XPub, Sub, 3);
            xpub.set(XPUB_VERBOSE, verbose).unwrap();
            for (number, sub) in subs.iter().enumerate() {
                sub.subscribe("same").unwrap();
                xpub.wait_for_subscribers("same", number + 1, Some(LONG)).unwrap();
            }
            for _ in 0..if verbose { 3 } else { 1 } {
                assert_eq!(parts(&xpub), [b"\x01same"]);
            }
            nothing(&xpub);
        }
    }),
    ("SHALL make up the unsubscribe requests of a peer that is gone", |place| {
        let (_context, xpub, sub) = pair(place, XPub, Sub);
        for prefix in ["a", "b"] {
            sub.subscribe(prefix).unwrap();
            assert_eq!(parts(&xpub), [[b"\x01", prefix.as_bytes()].concat()]);
        }
        sub.close();
        let mut ends = [parts(&xpub), parts(&xpub)].concat();
        ends.sort();
        assert_eq!(ends, [b"\0a", b"\0b"]);
    }),
];

const SUB: &[Sentence] = &[
    ("has any number of PUB or XPUB peers", |place| hears_all(place, Sub)),
    ("SHALL only receive", |place| {
        let (_context, sub, _publisher) = pair(place, Sub, Pub);
        assert_eq!(sub.send("x").unwrap_err().kind(), SendErrorKind::NotSupported);
    }),
    ("keeps what has arrived from a peer that left", |place| {
        what_has_arrived_stays(place, Sub, Pub);
    }),
    ("SHOULD limit its queues", |place| queues_have_limits(place, Pub, Sub)),
    ("SHALL receive messages fair-queued and deliver them", |place| {
        fair_queued(place, Sub, Pub, &[]);
    }),
    ("SHALL not modify messages", |place| not_modified(place, Pub, Sub)),
    ("MAY filter by prefix: what was unsubscribed from does not come", |place| {
        let (_context, sub, publisher) = pair(place, Sub, Pub);
        sub.subscribe("").unwrap();
        publisher.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        publisher.send("unwanted").unwrap();
        sub.unsubscribe("").unwrap();
        sub.subscribe("b").unwrap();
        publisher.wait_for_subscribers("b", 1, Some(LONG)).unwrap();
        publisher.send("b").unwrap();
        expect(&sub, &["b"]);
    }),
    ("sends its subscriptions to publishers that come later", |place| {
        let context = Context::new();
        let (sub, publisher) = (socket(&context, Sub), socket(&context, Pub));
        sub.subscribe("early").unwrap();
        join(place, &sub, &publisher);
        publisher.wait_for_subscribers("early", 1, Some(LONG)).unwrap();
    }),
    ("is told nothing it did not subscribe to", |place| {
        let (_context, sub, publisher) = pair(place, Sub, Pub);
        publisher.send("x").unwrap();
        nothing(&sub);
        assert_eq!(publisher.dropped(), 0);
    }),
];

const XSUB: &[Sentence] = &[
    ("has any number of PUB or XPUB peers", |place| hears_all(place, XSub)),
    ("SHALL queue each direction independently", |place| {
        queues_are_independent(place, XSub, XPub);
    }),
    ("SHALL keep the queue of a connect, connected or not", |place| {
        queue_lives_with_the_connect(place, XSub, XPub);
    }),
    ("SHALL destroy the queue of an accepted peer that leaves", |place| {
        queue_dies_with_an_accepted_peer(place, XSub, XPub);
    }),
    ("keeps what has arrived from a peer that left", |place| {
        what_has_arrived_stays(place, XSub, XPub);
    }),
    ("SHOULD limit its queues", |place| queues_have_limits(place, XSub, XPub)),
    ("SHALL not modify messages either way", |place| {
        not_modified(place, XPub, XSub);
        let (_context, xsub, xpub) = pair(place, XSub, XPub);
        xsub.send_multipart(telling_upstream()).unwrap();
        assert_eq!(parts(&xpub), telling_upstream());
    }),
    ("SHALL receive messages fair-queued and deliver them", |place| {
        fair_queued(place, XSub, XPub, &[]);
    }),
    ("SHALL send all messages to all publishers", |place| {
        let (_context, xsub, xpubs) = star(place, XSub, XPub, 3);
        for number in 2..10_u8 {
            xsub.send(&[number]).unwrap();
            xpubs.iter().for_each(|xpub| assert_eq!(parts(xpub), [[number]]));
        }
    }),
    ("SHALL drop for a publisher whose queue is full, SHALL NOT block", |place| {
        let context = Context::new();
        let (xsub, xpub) = (narrow(&context, XSub, "a"), narrow(&context, XPub, "b"));
        xsub.set(SNDTIMEO, -1).unwrap();
        join(place, &xsub, &xpub);
        (0..100).for_each(|_| xsub.send(vec![2; 16 << 10]).unwrap());
        assert!(xsub.dropped() > 0);
    }),
    ("SHALL take subscriptions from its application and send them on", |place| {
        let (_context, xsub, xpub) = pair(place, XSub, XPub);
        xsub.send(b"\x01topic".as_slice()).unwrap();
        assert_eq!(parts(&xpub), [b"\x01topic"]);
        xsub.send(b"\0topic".as_slice()).unwrap();
        assert_eq!(parts(&xpub), [b"\0topic"]);
        // A message of several parts is none.
        xsub.send_multipart([b"\x01topic".as_slice(), b"more"]).unwrap();
        assert_eq!(parts(&xpub), [b"\x01topic".as_slice(), b"more"]);
        assert!(xpub.wait_for_subscribers("topic", 1, Some(Duration::ZERO)).is_err());
    }),
    ("ends its subscriptions when it closes a connection", |place| {
        let (_context, xsub, xpub) = pair(place, XSub, XPub);
        xsub.send(b"\x01topic".as_slice()).unwrap();
        assert_eq!(parts(&xpub), [b"\x01topic"]);
        xsub.close();
        assert_eq!(parts(&xpub), [b"\0topic"]);
    }),
];

fn subscribe_to(socket: &Socket, prefix: &[u8]) {
    match socket.kind() {
        Sub => socket.subscribe(prefix).unwrap(),
        _ => socket.send([&[1], prefix].concat()).unwrap(),
    }
}

fn unsubscribe_from(socket: &Socket, prefix: &[u8]) {
    match socket.kind() {
        Sub => socket.unsubscribe(prefix).unwrap(),
        _ => socket.send([&[0], prefix].concat()).unwrap(),
    }
}

/// As `telling`, but no subscription.
fn telling_upstream() -> Vec<Vec<u8>> {
    let mut parts = telling();
    parts[0] = vec![2];
    parts
}

fn reaches_all(place: Place, publisher: SocketType) {
    for subscribers in [Sub, XSub] {
        let (_context, publisher, others) = star(place, publisher, subscribers, 4);
        others.iter().for_each(|other| subscribe_to(other, b"x"));
        publisher.wait_for_subscribers("x", 4, Some(LONG)).unwrap();
        publisher.send("x").unwrap();
        others.iter().for_each(|other| expect(other, &["x"]));
    }
}

fn hears_all(place: Place, subscriber: SocketType) {
    for publishers in [Pub, XPub] {
        let (_context, subscriber, others) = star(place, subscriber, publishers, 4);
        subscribe_to(&subscriber, b"x");
        for other in &others {
            other.wait_for_subscribers("x", 1, Some(LONG)).unwrap();
            other.send("x").unwrap();
        }
        others.iter().for_each(|_| expect(&subscriber, &["x"]));
    }
}

fn not_modified(place: Place, publisher: SocketType, subscriber: SocketType) {
    let (_context, publisher, subscriber) = pair(place, publisher, subscriber);
    subscribe_to(&subscriber, b"");
    publisher.wait_for_subscribers("", 1, Some(LONG)).unwrap();
    publisher.send_multipart(telling()).unwrap();
    assert_eq!(parts(&subscriber), telling());
}

fn compares_prefixes(place: Place, publisher: SocketType) {
    for prefix in PREFIXES {
        let (_context, publisher, subscriber) = pair(place, publisher, XSub);
        // An XSUB does not filter, so that what comes is what was sent to it.
        subscribe_to(&subscriber, prefix);
        publisher.wait_for_subscribers(prefix, 1, Some(LONG)).unwrap();
        for first in FIRST_FRAMES {
            // The second frame counts for nothing.
            publisher.send_multipart([first, b"abc"]).unwrap();
        }
        let wanted: Vec<_> =
            FIRST_FRAMES.into_iter().filter(|first| first.starts_with(prefix)).collect();
        for first in wanted {
            assert_eq!(parts(&subscriber), [first, b"abc"]);
        }
        nothing(&subscriber);
    }
}

fn drops_when_full(place: Place, publisher: SocketType) {
    let context = Context::new();
    let publisher = narrow(&context, publisher, "publisher");
    let [stalled, ready] = ["stalled", "ready"].map(|name| narrow(&context, Sub, name));
    publisher.set(SNDTIMEO, -1).unwrap();
    for subscriber in [&stalled, &ready] {
        subscriber.subscribe("").unwrap();
        join(place, &publisher, subscriber);
    }
    publisher.wait_for_subscribers("", 2, Some(LONG)).unwrap();
    for number in 0..100_u8 {
        publisher.send(vec![number; 16 << 10]).unwrap();
        // Who receives what there is misses nothing.
        assert_eq!(ready.recv().unwrap()[0], number);
    }
    let dropped = publisher.dropped();
    assert!((1..100).contains(&dropped), "{dropped}");
    for _ in dropped..100 {
        stalled.recv().unwrap();
    }
    nothing(&stalled);
}
