//! XPUB and XSUB: subscriptions that the applications see, and what becomes of them.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use oxmq::{
    Context, Message, Publisher, RecvError, SendErrorKind, Subscriber, XPublisher, XSubscriber,
    option,
};

const LONG: Option<Duration> = Some(Duration::from_secs(300));

/// An endpoint to bind to, of each transport.
fn endpoints() -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("oxmq-subscriptions-{}-{number}", std::process::id());
    vec!["tcp://127.0.0.1:*".into(), format!("ipc://@{name}"), format!("inproc://{name}")]
}

fn xpub(context: &Context) -> XPublisher {
    let socket = XPublisher::new(context).unwrap();
    socket.set(option::RCVTIMEO, 300_000).unwrap();
    socket
}

fn sub(context: &Context) -> Subscriber {
    let socket = Subscriber::new(context).unwrap();
    socket.set(option::RCVTIMEO, 300_000).unwrap();
    socket
}

fn xsub(context: &Context) -> XSubscriber {
    let socket = XSubscriber::new(context).unwrap();
    socket.set(option::RCVTIMEO, 300_000).unwrap();
    socket
}

fn everywhere(test: impl Fn(&Context, &str)) {
    for endpoint in endpoints() {
        test(&Context::new(), &endpoint);
    }
}

#[test]
fn an_xpub_hears_what_is_news() {
    everywhere(|context, endpoint| {
        let xpub = xpub(context);
        let endpoint = xpub.bind(endpoint).unwrap();
        let [one, other] = [sub(context), sub(context)];
        one.connect(&endpoint).unwrap();
        one.subscribe("a").unwrap();
        assert_eq!(xpub.recv().unwrap()[..], *b"\x01a", "{endpoint}");
        other.connect(&endpoint).unwrap();
        other.subscribe("a").unwrap();
        other.subscribe("b").unwrap();
        assert_eq!(xpub.recv().unwrap()[..], *b"\x01b", "the second a is no news");
        one.unsubscribe("a").unwrap();
        other.unsubscribe("b").unwrap();
        assert_eq!(xpub.recv().unwrap()[..], *b"\x00b");
        other.close();
        assert_eq!(xpub.recv().unwrap()[..], *b"\x00a", "the last one has gone");
        assert_eq!(xpub.try_recv().unwrap_err(), RecvError::Again);
    });
}

#[test]
fn a_verbose_xpub_hears_everything() {
    everywhere(|context, endpoint| {
        let xpub = xpub(context);
        xpub.set(option::XPUB_VERBOSER, true).unwrap();
        let endpoint = xpub.bind(endpoint).unwrap();
        let [one, other] = [xsub(context), xsub(context)];
        for socket in [&one, &other] {
            socket.connect(&endpoint).unwrap();
            socket.send(b"\x01a").unwrap();
            assert_eq!(xpub.recv().unwrap()[..], *b"\x01a", "{endpoint}");
        }
        // A second time by the same peer: said again, but one end is enough.
        other.wait_for_peers(1, LONG).unwrap();
        other.send(b"\x01a").unwrap();
        assert_eq!(xpub.recv().unwrap()[..], *b"\x01a");
        other.send(b"\x00a").unwrap();
        other.send(b"\x00a").unwrap();
        assert_eq!(xpub.recv().unwrap()[..], *b"\x00a");
        xpub.send("a to one").unwrap();
        assert_eq!(one.recv().unwrap()[..], *b"a to one");
        assert_eq!(other.try_recv().unwrap_err(), RecvError::Again);
    });
}

#[test]
fn what_is_no_subscription_goes_upstream() {
    everywhere(|context, endpoint| {
        let (xpub, xsub) = (xpub(context), xsub(context));
        xsub.connect(&xpub.bind(endpoint).unwrap()).unwrap();
        xsub.wait_for_peers(1, LONG).unwrap();
        xsub.send_multipart(["", "two", "parts"]).unwrap();
        let heard = xpub.recv_multipart().unwrap();
        assert_eq!(
            heard.iter().map(|part| &part[..]).collect::<Vec<_>>(),
            [&b""[..], b"two", b"parts"]
        );
        xsub.send("hello").unwrap();
        assert_eq!(xpub.recv().unwrap()[..], *b"hello");
    });
}

#[test]
fn a_forwarder_of_xsub_and_xpub_passes_both_ways() {
    everywhere(|context, endpoint| {
        let (front, back) = (xsub(context), xpub(context));
        let publisher = Publisher::new(context).unwrap();
        let subscriber = sub(context);
        front.connect(&publisher.bind(endpoint).unwrap()).unwrap();
        subscriber.connect(&back.bind("inproc://back").unwrap()).unwrap();
        subscriber.subscribe("news").unwrap();
        front.send(back.recv().unwrap()).unwrap();
        publisher.wait_for_subscribers("news", 1, LONG).unwrap();
        publisher.send_multipart(["weather", "unheard"]).unwrap();
        publisher.send_multipart(["news", "heard"]).unwrap();
        back.send_multipart(front.recv_multipart().unwrap()).unwrap();
        assert_eq!(subscriber.recv_multipart().unwrap()[1][..], *b"heard");
        subscriber.unsubscribe("news").unwrap();
        front.send(back.recv().unwrap()).unwrap();
        // Once the publisher has heard of it, nothing more comes.
        let still_comes = || {
            publisher.send("news without a reader").unwrap();
            front.recv_timeout(Duration::from_millis(30)).is_ok()
        };
        let start = Instant::now();
        while still_comes() {
            assert!(start.elapsed() < LONG.unwrap(), "{endpoint}");
        }
    });
}

#[test]
fn with_nodrop_the_slowest_peer_sets_the_pace() {
    let context = Context::new();
    let xpub = xpub(&context);
    xpub.set(option::XPUB_NODROP, true).unwrap();
    xpub.set(option::SNDHWM, 1).unwrap();
    let endpoint = xpub.bind("inproc://nodrop").unwrap();
    let subscribers = [1, 5].map(|hwm| {
        let subscriber = sub(&context);
        subscriber.set(option::RCVHWM, hwm).unwrap();
        subscriber.subscribe("").unwrap();
        subscriber.connect(&endpoint).unwrap();
        subscriber
    });
    xpub.wait_for_subscribers("", 2, LONG).unwrap();
    for number in 0..2_u8 {
        xpub.try_send(&[number]).unwrap();
    }
    assert_eq!(xpub.try_send(&[2]).unwrap_err().kind(), SendErrorKind::Again);
    assert_eq!(xpub.dropped(), 0);
    std::thread::scope(|scope| {
        scope.spawn(|| (2..100_u8).for_each(|number| xpub.send(&[number]).unwrap()));
        for number in 0..100 {
            for subscriber in &subscribers {
                assert_eq!(subscriber.recv().unwrap()[..], [number]);
            }
        }
    });
    assert_eq!(xpub.dropped(), 0);
}

#[test]
fn a_manual_xpub_decides_by_itself() {
    everywhere(|context, endpoint| {
        let xpub = xpub(context);
        xpub.set(option::XPUB_MANUAL, true).unwrap();
        assert!(xpub.subscribe("nobody spoke").is_err());
        let subscriber = xsub(context);
        subscriber.connect(&xpub.bind(endpoint).unwrap()).unwrap();
        subscriber.send(b"\x01A").unwrap();
        assert_eq!(xpub.recv().unwrap()[..], *b"\x01A");
        xpub.subscribe("XA").unwrap();
        xpub.send("A").unwrap();
        xpub.send("XA").unwrap();
        assert_eq!(subscriber.recv().unwrap()[..], *b"XA", "{endpoint}");
    });
}

#[test]
fn a_welcome_greets_who_wants_it() {
    everywhere(|context, endpoint| {
        let xpub = xpub(context);
        xpub.set(option::XPUB_WELCOME_MSG, b"welcome".to_vec()).unwrap();
        let subscriber = sub(context);
        subscriber.subscribe("w").unwrap();
        subscriber.connect(&xpub.bind(endpoint).unwrap()).unwrap();
        assert_eq!(subscriber.recv().unwrap()[..], *b"welcome");
    });
}

#[test]
fn matching_can_be_inverted() {
    everywhere(|context, endpoint| {
        let xpub = xpub(context);
        xpub.set(option::INVERT_MATCHING, true).unwrap();
        let subscriber = sub(context);
        subscriber.set(option::INVERT_MATCHING, true).unwrap();
        subscriber.subscribe("secret").unwrap();
        subscriber.connect(&xpub.bind(endpoint).unwrap()).unwrap();
        assert_eq!(xpub.recv().unwrap()[..], *b"\x01secret");
        xpub.send("secret thing").unwrap();
        xpub.send("known thing").unwrap();
        assert_eq!(subscriber.recv().unwrap()[..], *b"known thing");
    });
}

/// A publisher with many subscribers and a subscriber with many prefixes keep them apart.
#[test]
fn the_ends_of_many_subscriptions_are_heard_once_each() {
    let context = Context::new();
    let xpub = xpub(&context);
    let endpoint = xpub.bind("inproc://many").unwrap();
    let [one, other] = [xsub(&context), xsub(&context)];
    let prefix = |number: u32| [&b"\x01"[..], format!("{number}").as_bytes()].concat();
    for (socket, numbers) in [(&one, 0..300), (&other, 200..500)] {
        socket.connect(&endpoint).unwrap();
        numbers.for_each(|number| socket.send(prefix(number)).unwrap());
    }
    let next = || xpub.recv().map(|news: Message| news.to_vec()).unwrap();
    for number in 0..500 {
        assert_eq!(next(), prefix(number));
    }
    one.close();
    let mut ended: Vec<_> = (0..200).map(|_| next()).collect();
    ended.sort();
    let mut expected: Vec<_> = (0..200).map(|number| prefix(number)[1..].to_vec()).collect();
    expected.sort();
    assert!(ended.iter().map(|news| &news[1..]).eq(expected.iter().map(Vec::as_slice)));
    assert_eq!(xpub.try_recv().unwrap_err(), RecvError::Again);
}

#[test]
fn a_manual_xpub_hears_the_end_of_what_was_asked_for() {
    everywhere(|context, endpoint| {
        let xpub = xpub(context);
        xpub.set(option::XPUB_MANUAL, true).unwrap();
        let endpoint = xpub.bind(endpoint).unwrap();
        let sub = sub(context);
        sub.connect(&endpoint).unwrap();
        sub.subscribe("asked").unwrap();
        assert_eq!(xpub.recv().unwrap()[..], *b"\x01asked", "{endpoint}");
        xpub.subscribe("given").unwrap();
        drop(sub);
        assert_eq!(xpub.recv().unwrap()[..], *b"\x00asked", "{endpoint}");
        // The peer is gone: there is nobody to give anything to.
        xpub.subscribe("given").unwrap();
        assert_eq!(xpub.get(option::TOPICS_COUNT), 0);
        assert_eq!(xpub.try_recv(), Err(RecvError::Again));
    });
}

#[test]
fn the_last_value_goes_to_the_last_subscriber_alone() {
    everywhere(|context, endpoint| {
        let xpub = xpub(context);
        xpub.set(option::XPUB_MANUAL_LAST_VALUE, true).unwrap();
        let endpoint = xpub.bind(endpoint).unwrap();
        let subs = [sub(context), sub(context)];
        for (number, sub) in subs.iter().enumerate() {
            sub.connect(&endpoint).unwrap();
            sub.subscribe("topic").unwrap();
            assert_eq!(xpub.recv().unwrap()[..], *b"\x01topic", "{endpoint}");
            xpub.subscribe("topic").unwrap();
            xpub.send(format!("topic, cached for {number}")).unwrap();
        }
        xpub.send("topic, for all").unwrap();
        for (number, sub) in subs.iter().enumerate() {
            let cached = format!("topic, cached for {number}");
            assert_eq!(sub.recv().unwrap()[..], *cached.as_bytes(), "{endpoint}");
            assert_eq!(sub.recv().unwrap()[..], *b"topic, for all", "{endpoint}");
        }
    });
}

#[test]
fn topics_are_counted() {
    everywhere(|context, endpoint| {
        let xpub = xpub(context);
        let endpoint = xpub.bind(endpoint).unwrap();
        let [one, other] = [sub(context), sub(context)];
        for sub in [&one, &other] {
            sub.connect(&endpoint).unwrap();
            sub.subscribe("a").unwrap();
            sub.subscribe("a").unwrap();
        }
        other.subscribe("ab").unwrap();
        xpub.wait_for_subscribers("a", 2, LONG).unwrap();
        xpub.wait_for_subscribers("ab", 1, LONG).unwrap();
        let counts = [xpub.get(option::TOPICS_COUNT), one.get(option::TOPICS_COUNT)];
        assert_eq!((counts, other.get(option::TOPICS_COUNT)), ([2, 1], 2), "{endpoint}");
        other.unsubscribe("ab").unwrap();
        assert_eq!(other.get(option::TOPICS_COUNT), 1);
    });
}
