//! Peers and applications that subscribe to too much, or change their minds for ever: what they cost is
//! bounded, and nobody else pays for it.

mod support;

use std::io::Read;
use std::thread;

use oxmq::option::{
    LINGER, TOPICS_COUNT, XPUB_MANUAL, XPUB_VERBOSE, XPUB_VERBOSER, XSUB_VERBOSE_UNSUBSCRIBE,
};
use oxmq::{
    Context, Device, Events, Publisher, RecvError, Socket, SocketType, Subscriber, XPublisher,
    XSubscriber,
};

use oxmq::monitor::{EventKind, ReasonKind};
use support::raw::{RawListener, RawPeer, message};
use support::{LONG, PLACES};

/// How a ZMTP 3.0 peer subscribes (1), or ceases to (0).
fn says(what: u8, prefix: &[u8]) -> Vec<u8> {
    message(&[[&[what], prefix].concat()])
}

/// Of `number` alone, and so long.
fn long_prefix(number: u32, bytes: usize) -> Vec<u8> {
    let mut prefix = number.to_be_bytes().to_vec();
    prefix.resize(bytes, b'p');
    prefix
}

fn raw_subscriber(endpoint: &str, publisher: &str) -> RawPeer {
    let mut peer = RawPeer::connect(endpoint);
    peer.shake_hands("SUB", publisher);
    peer
}

/// Until it is so.
fn wait_until(is: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !is() {
        assert!(start.elapsed() < LONG);
        thread::yield_now();
    }
}

/// An honest subscriber gets what is sent, with nothing received by the XPUB.
fn is_served(context: &Context, publisher: &Socket, endpoint: &str) {
    let other = Subscriber::new(context).unwrap();
    other.connect(endpoint).unwrap();
    other.subscribe("honest").unwrap();
    publisher.wait_for_subscribers("honest", 1, Some(LONG)).unwrap();
    publisher.send("honest, served").unwrap();
    assert_eq!(other.recv_timeout(LONG).unwrap()[..], *b"honest, served");
}

/// An XPUB whose application only sends: who subscribes and cancels without end harms nobody, and is not
/// punished either, for there is nothing to be heard of it.
#[test]
fn who_changes_its_mind_without_end_locks_nobody_out() {
    const SAID_BYTES: usize = 160 << 20;
    let context = Context::new();
    let xpub = XPublisher::new(&context).unwrap();
    let endpoint = xpub.bind("tcp://127.0.0.1:*").unwrap();
    let mut churner = raw_subscriber(&endpoint, "XPUB");
    let mut said_bytes = 0;
    for number in 0.. {
        let prefix = long_prefix(number, 32 << 10);
        let pair = [says(1, &prefix), says(0, &prefix)].concat();
        churner.send(&pair);
        said_bytes += pair.len();
        if said_bytes > SAID_BYTES {
            break;
        }
    }
    churner.send(&says(1, b"last"));
    xpub.wait_for_subscribers("last", 1, Some(LONG)).unwrap();
    is_served(&context, xpub.as_ref(), &endpoint);
    xpub.send("last word").unwrap();
    churner.expect(&message(&["last word"]));
    // What is left to be received is little, each a change, and in the end what is true.
    let (mut left_bytes, mut wanted) = (0, std::collections::BTreeSet::new());
    wait_until(|| xpub.wait_for_subscribers("honest", 1, Some(std::time::Duration::ZERO)).is_err());
    while let Ok(news) = xpub.try_recv() {
        left_bytes += news.len();
        let changed = match news[0] {
            1 => wanted.insert(news[1..].to_vec()),
            _ => wanted.remove(&news[1..]),
        };
        assert!(changed);
    }
    assert!(left_bytes < 2 << 20, "{left_bytes}");
    assert_eq!(wanted.into_iter().collect::<Vec<_>>(), [b"last"]);
}

/// Where the application asks for every change, and receives none, the one who brings too many is
/// disconnected; others stay, and come.
#[test]
fn who_fills_is_the_one_who_is_disconnected() {
    const KEPT_BYTES_MAX: usize = 64 << 20;
    const ON_THE_WAY_BYTES_MAX: usize = 16 << 20;
    for (option, manual) in [(XPUB_VERBOSE, false), (XPUB_VERBOSER, false), (XPUB_MANUAL, true)] {
        let context = Context::new();
        let xpub = XPublisher::new(&context).unwrap();
        xpub.set(option, true).unwrap();
        let monitor = xpub.monitor();
        let endpoint = xpub.bind("tcp://127.0.0.1:*").unwrap();
        let mut early = raw_subscriber(&endpoint, "XPUB");
        early.send(&says(1, b"early"));
        wait_until(|| xpub.events().unwrap().intersects(Events::IN));
        for _ in 0..2 {
            let mut flooder = raw_subscriber(&endpoint, "XPUB");
            let prefix = long_prefix(0, 32 << 10);
            let pair = [says(1, &prefix), says(0, &prefix)].concat();
            let mut written_bytes = 0;
            while written_bytes < 4 * KEPT_BYTES_MAX && flooder.stream.write_all(&pair).is_ok() {
                written_bytes += pair.len();
            }
            assert!(written_bytes > KEPT_BYTES_MAX / 2, "{written_bytes}");
            assert!(written_bytes < 2 * KEPT_BYTES_MAX + ON_THE_WAY_BYTES_MAX, "{written_bytes}");
            let why = loop {
                let event = monitor.recv_timeout(LONG).unwrap();
                if let EventKind::Disconnected(why) = event.kind {
                    break why;
                }
            };
            assert_eq!(why.kind(), ReasonKind::TooLong);
            assert!(why.to_string().contains("faster than they are received"), "{why}");
        }
        early.send(&says(1, b"late"));
        if manual {
            // Nobody gets anything before the application has decided.
            wait_until(|| xpub.statistics().pipes.len() == 1);
        } else {
            xpub.wait_for_subscribers("late", 1, Some(LONG)).unwrap();
            is_served(&context, xpub.as_ref(), &endpoint);
        }
        // What they leave is forgotten by and by; those who stay are heard.
        let mut heard = Vec::new();
        while heard != b"\x01late" {
            heard = xpub.recv_timeout(LONG).unwrap().to_vec();
        }
    }
}

/// A peer is charged for what it holds, whatever else it says.
#[test]
fn what_a_peer_holds_is_bounded() {
    const HELD_BYTES_MAX: usize = 256 << 20;
    const ON_THE_WAY_BYTES_MAX: usize = 16 << 20;
    const PREFIX_BYTES: usize = 32 << 10;
    let context = Context::new();
    let publisher = Publisher::new(&context).unwrap();
    let monitor = publisher.monitor();
    let endpoint = publisher.bind("tcp://127.0.0.1:*").unwrap();
    let mut greedy = raw_subscriber(&endpoint, "PUB");
    let never = says(0, &long_prefix(u32::MAX, PREFIX_BYTES));
    let mut held_bytes = 0;
    for number in 0.. {
        let said = [says(1, &long_prefix(number, PREFIX_BYTES)), never.clone()].concat();
        if held_bytes > 2 * HELD_BYTES_MAX || greedy.stream.write_all(&said).is_err() {
            break;
        }
        held_bytes += PREFIX_BYTES;
    }
    assert!(held_bytes >= HELD_BYTES_MAX - (1 << 20), "{held_bytes}");
    assert!(held_bytes < HELD_BYTES_MAX + ON_THE_WAY_BYTES_MAX, "{held_bytes}");
    let why = loop {
        if let EventKind::Disconnected(why) = monitor.recv_timeout(LONG).unwrap().kind {
            break why;
        }
    };
    assert!(why.to_string().contains("subscriptions without end"), "{why}");
    is_served(&context, publisher.as_ref(), &endpoint);
}

/// What is said twice is held once, and costs once.
#[test]
fn duplicates_are_not_charged() {
    const SAID_BYTES: usize = 300 << 20;
    let context = Context::new();
    for kind in [SocketType::Pub, SocketType::XPub] {
        let publisher = context.socket(kind).unwrap();
        let endpoint = publisher.bind("tcp://127.0.0.1:*").unwrap();
        let mut honest = raw_subscriber(&endpoint, kind.name());
        let said = says(1, &long_prefix(7, 60 << 10));
        for _ in 0..SAID_BYTES / said.len() {
            honest.send(&said);
        }
        honest.send(&says(1, b"x"));
        publisher.wait_for_subscribers("x", 1, Some(LONG)).unwrap();
        // One end is enough.
        honest.send(&says(0, &long_prefix(7, 60 << 10)));
        wait_until(|| publisher.get(TOPICS_COUNT) == 1);
    }
}

/// Of a peer with many subscriptions all is forgotten, and the application hears the end of each once.
#[test]
fn a_peer_with_many_subscriptions_leaves() {
    const TOPICS: u32 = 30_000;
    for place in PLACES {
        let context = Context::new();
        let xpub = XPublisher::new(&context).unwrap();
        let xsub = XSubscriber::new(&context).unwrap();
        let endpoint = place.join(xpub.as_ref(), xsub.as_ref());
        for number in 0..TOPICS {
            xsub.send([&[1][..], &number.to_be_bytes()].concat()).unwrap();
        }
        for number in 0..TOPICS {
            let news = xpub.recv_timeout(LONG).unwrap();
            assert_eq!((news[0], &news[1..]), (1, &number.to_be_bytes()[..]), "{place:?}");
        }
        xsub.close();
        let mut ended = vec![false; TOPICS as usize];
        for _ in 0..TOPICS {
            let news = xpub.recv_timeout(LONG).unwrap();
            let number = u32::from_be_bytes(news[1..].try_into().unwrap());
            assert_eq!(news[0], 0);
            assert!(!std::mem::replace(&mut ended[number as usize], true), "{number}");
        }
        assert_eq!(xpub.try_recv().unwrap_err(), RecvError::Again, "{place:?}");
        wait_until(|| xpub.get(TOPICS_COUNT) == 0);
        drop(endpoint);
    }
}

/// What the last peer at an endpoint had subscribed to is not the next one's, however much it was.
#[test]
fn the_next_peer_begins_with_nothing() {
    let context = Context::new();
    let publisher = Publisher::new(&context).unwrap();
    publisher.set(oxmq::option::RECONNECT_IVL, 1).unwrap();
    let (listener, endpoint) = RawListener::bind("tcp://127.0.0.1:*");
    publisher.connect(&endpoint).unwrap();
    let mut first = listener.accept();
    first.shake_hands("SUB", "PUB");
    let said: Vec<u8> = (0..50_000_u32).flat_map(|number| says(1, &number.to_be_bytes())).collect();
    first.send(&said);
    first.send(&says(1, b"last"));
    publisher.wait_for_subscribers("last", 1, Some(LONG)).unwrap();
    drop(first);
    let mut second = listener.accept();
    second.shake_hands("SUB", "PUB");
    second.send(&says(1, b"mine"));
    publisher.wait_for_subscribers("mine", 1, Some(LONG)).unwrap();
    for number in 0..50_000_u32 {
        publisher.send(&number.to_be_bytes()).unwrap();
    }
    publisher.send("mine, at last").unwrap();
    second.expect(&message(&["mine, at last"]));
    assert_eq!(publisher.get(TOPICS_COUNT), 1);
}

/// Reads what a subscriber tells until it subscribes to `last`. How many bytes that were, and what it
/// subscribes to then.
fn hear(peer: &mut RawPeer, last: &[u8]) -> (usize, Vec<Vec<u8>>) {
    let (mut read, mut held) = (0, std::collections::BTreeSet::new());
    loop {
        let mut header = [0; 2];
        peer.stream.read_exact(&mut header).unwrap();
        let mut bytes = u64::from(header[1]);
        if header[0] & 2 != 0 {
            let mut rest = [0; 7];
            peer.stream.read_exact(&mut rest).unwrap();
            let [a, b, c, d, e, f, g] = rest;
            bytes = u64::from_be_bytes([header[1], a, b, c, d, e, f, g]);
        }
        let mut body = vec![0; bytes as usize];
        peer.stream.read_exact(&mut body).unwrap();
        read += body.len();
        if body[0] == 1 {
            held.insert(body[1..].to_vec());
        } else {
            held.remove(&body[1..]);
        }
        if body[1..] == *last {
            return (read, held.into_iter().collect());
        }
    }
}

/// What waits for a publisher that does not read is the difference between what it has been told and what
/// is subscribed to.
#[test]
fn a_publisher_that_does_not_read_is_told_the_state() {
    const SAID_BYTES: usize = 100 << 20;
    const UNDER_WAY_BYTES_MAX: usize = 24 << 20;
    const PREFIX_BYTES: usize = 8 << 10;
    for kind in [SocketType::Sub, SocketType::XSub] {
        for every_end in [false, true] {
            let context = Context::new();
            let subscriber = context.socket(kind).unwrap();
            if every_end {
                if kind == SocketType::Sub {
                    continue;
                }
                subscriber.set(XSUB_VERBOSE_UNSUBSCRIBE, true).unwrap();
            }
            let subscribe = |what: u8, prefix: &[u8]| match (kind, what) {
                (SocketType::Sub, 1) => subscriber.subscribe(prefix).unwrap(),
                (SocketType::Sub, _) => subscriber.unsubscribe(prefix).unwrap(),
                _ => subscriber.send([&[what], prefix].concat()).unwrap(),
            };
            let (listener, endpoint) = RawListener::bind("tcp://127.0.0.1:*");
            subscribe(1, b"initial");
            subscribe(1, b"initial, then not");
            subscriber.connect(&endpoint).unwrap();
            let mut publisher = listener.accept();
            publisher.shake_hands("PUB", kind.name());
            subscriber.wait_for_peers(1, Some(LONG)).unwrap();
            subscribe(1, b"kept");
            let said = SAID_BYTES / PREFIX_BYTES / 2;
            for number in 0..said as u32 {
                let prefix = long_prefix(number, PREFIX_BYTES);
                subscribe(1, &prefix);
                subscribe(0, &prefix);
                if number == 100 {
                    subscribe(0, b"initial, then not");
                }
            }
            subscribe(1, b"zzz, the last");
            let (read, held) = hear(&mut publisher, b"zzz, the last");
            assert!(read < UNDER_WAY_BYTES_MAX, "{kind:?}: {read}");
            // One that was on the way may be followed by its end.
            assert_eq!(held, [&b"initial"[..], b"kept", b"zzz, the last"], "{kind:?}");
        }
    }
}

/// Ends the proxy however the test does.
struct Shutdown<'a>(&'a Context);

impl Drop for Shutdown<'_> {
    fn drop(&mut self) {
        self.0.shutdown();
    }
}

/// The same, of subscribers behind a forwarder.
#[test]
fn a_forwarder_tells_a_publisher_that_does_not_read_the_state() {
    const SAID_BYTES: usize = 100 << 20;
    const UNDER_WAY_BYTES_MAX: usize = 48 << 20;
    let context = Context::new();
    let device = Device::forwarder(&context).unwrap();
    for socket in [device.front(), device.back()] {
        socket.set(LINGER, 0).unwrap();
    }
    let (listener, front) = RawListener::bind("tcp://127.0.0.1:*");
    device.front().connect(&front).unwrap();
    let back = device.back().bind("tcp://127.0.0.1:*").unwrap();
    let mut publisher = listener.accept();
    publisher.shake_hands("PUB", "XSUB");
    thread::scope(|scope| {
        let proxy = scope.spawn(|| device.proxy().run());
        let ends = Shutdown(&context);
        let mut churner = raw_subscriber(&back, "XPUB");
        churner.send(&says(1, b"kept"));
        let mut said_bytes = 0;
        for number in 0.. {
            let prefix = long_prefix(number, 8 << 10);
            let pair = [says(1, &prefix), says(0, &prefix)].concat();
            churner.send(&pair);
            said_bytes += pair.len();
            if said_bytes > SAID_BYTES {
                break;
            }
        }
        churner.send(&says(1, b"zzz, the last"));
        device.back().wait_for_subscribers("zzz, the last", 1, Some(LONG)).unwrap();
        // The proxy has passed all of it on.
        let front = device.front();
        wait_until(|| front.get(TOPICS_COUNT) == 2);
        let (read, held) = hear(&mut publisher, b"zzz, the last");
        assert!(read < UNDER_WAY_BYTES_MAX, "{read}");
        assert_eq!(held, [&b"kept"[..], b"zzz, the last"]);
        publisher.send(&message(&["kept, and passed on"]));
        churner.expect(&message(&["kept, and passed on"]));
        drop(ends);
        assert!(proxy.join().unwrap().is_err_and(|error| error.is_terminated()));
    });
}
