//! Whose a name is, when two peers of a ROUTER bear it: the first's, as long as its connection
//! stands, or, with ROUTER_HANDOVER, the last's.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use oxmq::monitor::{EventKind, Monitor, ReasonKind};
use oxmq::option::{
    PROBE_ROUTER, RCVHWM, RCVTIMEO, RECONNECT_IVL, ROUTER_HANDOVER, ROUTER_MANDATORY, ROUTING_ID,
    SNDBUF, SNDHWM, SNDTIMEO,
};
use oxmq::{Context, Dealer, DropReason, Router, SendErrorKind};

use support::raw::{self, GREETING_3_0, GREETING_OURS, Old, RawListener, RawPeer};
use support::{LONG, fresh_name};

/// For how long a cut off peer's system is asked, as `session/heartbeat.rs` says.
const DOUBT: Duration = Duration::from_secs(5);

/// A ROUTER that says to each peer, by an empty message, that it is let in.
fn router(context: &Context, endpoint: &str) -> (Router, String) {
    let router = Router::new(context).unwrap();
    router.set(PROBE_ROUTER, true).unwrap();
    router.set(SNDBUF, 4096).unwrap();
    router.set(RCVTIMEO, LONG.as_millis() as i32).unwrap();
    let endpoint = router.bind(endpoint).unwrap();
    (router, endpoint)
}

fn endpoints() -> [String; 2] {
    ["tcp://127.0.0.1:*".to_owned(), format!("ipc://@{}", fresh_name())]
}

/// What a ROUTER that lets a peer of ZMTP 3.1 in says first.
fn welcome() -> Vec<u8> {
    [&GREETING_OURS[..], &raw::ready("ROUTER", Some("")), &[0, 0]].concat()
}

/// A peer with a small buffer comes under a name: `None` if it is not let in.
fn come(endpoint: &str, name: &str) -> Option<RawPeer> {
    let mut peer = RawPeer::connect_with(endpoint, 4096);
    peer.send(&[&GREETING_OURS[..], &raw::ready("DEALER", Some(name))].concat());
    let mut read = vec![0; welcome().len()];
    peer.stream.read_exact(&mut read).ok()?;
    assert_eq!(read, welcome());
    Some(peer)
}

/// Sends to the name until no more goes out; how many messages that were.
fn fill(router: &Router, name: &str) -> usize {
    router.set(ROUTER_MANDATORY, true).unwrap();
    // What the kernel takes it may take a moment later.
    router.set(SNDTIMEO, 100).unwrap();
    let mut sent = 0;
    loop {
        match router.send_multipart([name.as_bytes(), &[7; 1000]]) {
            Ok(()) => sent += 1,
            Err(error) => {
                assert_eq!(error.kind(), SendErrorKind::Again);
                return sent;
            }
        }
    }
}

/// The bearer of a name reads nothing, its pipe is full, and others come under its name again and
/// again: none of them is let in, and nothing of what was sent to the name is lost.
#[test]
fn a_peer_that_does_not_read_keeps_its_name() {
    thread::scope(|scope| {
        for endpoint in endpoints() {
            scope.spawn(move || {
                let context = Context::new();
                let (router, endpoint) = router(&context, &endpoint);
                router.set(SNDHWM, 10).unwrap();
                let mut slow = come(&endpoint, "slow").unwrap();
                let sent = fill(&router, "slow");
                let began = Instant::now();
                while began.elapsed() < DOUBT + DOUBT / 2 {
                    assert!(come(&endpoint, "slow").is_none(), "{endpoint}");
                }
                assert_eq!(router.dropped(), 0);
                let message = raw::message(&[vec![7; 1000]]);
                for _ in 0..sent {
                    slow.expect(&message);
                }
                router.send_multipart(["slow", "still there"]).unwrap();
                slow.expect(&raw::message(&["still there"]));
            });
        }
    });
}

/// Nor does a peer lose its name that rests, and does not even answer PINGs: that its connection
/// stands is enough.
#[test]
fn a_peer_that_says_nothing_keeps_its_name() {
    thread::scope(|scope| {
        for endpoint in endpoints() {
            scope.spawn(move || {
                let context = Context::new();
                let (router, endpoint) = router(&context, &endpoint);
                let mut silent = come(&endpoint, "silent").unwrap();
                let began = Instant::now();
                while began.elapsed() < DOUBT + DOUBT / 2 {
                    assert!(come(&endpoint, "silent").is_none(), "{endpoint}");
                }
                router.send_multipart(["silent", "still there"]).unwrap();
                silent.expect(&raw::message(&["still there"]));
            });
        }
    });
}

/// The ways to say who one is, by version.
#[derive(Clone, Copy, Debug)]
enum Version {
    V1,
    V2,
    V3_0,
    V3_1,
}

impl Version {
    fn opening(self, name: &str) -> Vec<u8> {
        match self {
            Version::V1 => Old::V1.opening(5, name.as_bytes()),
            Version::V2 => Old::V2.opening(5, name.as_bytes()),
            Version::V3_0 => [&GREETING_3_0[..], &raw::ready("DEALER", Some(name))].concat(),
            Version::V3_1 => [&GREETING_OURS[..], &raw::ready("DEALER", Some(name))].concat(),
        }
    }

    fn message(self, body: &str) -> Vec<u8> {
        match self {
            Version::V1 => Old::V1.message(&[body]),
            Version::V2 => Old::V2.message(&[body]),
            Version::V3_0 | Version::V3_1 => raw::message(&[body]),
        }
    }
}

/// Packets to the bearer of a name get lost from some moment on. Its successor gets the name, be the
/// connection idle, its pipe full, or something just sent; and whatever version the first one spoke.
#[test]
fn the_name_of_a_peer_that_is_cut_off_goes_to_its_successor() {
    let situations = [Situation::Idle, Situation::UnderWay, Situation::Full];
    let versions = [Version::V1, Version::V2, Version::V3_0, Version::V3_1];
    thread::scope(|scope| {
        for situation in situations {
            for version in versions {
                scope.spawn(move || lose_and_succeed(situation, version));
            }
        }
    });
}

#[derive(Clone, Copy, Debug)]
enum Situation {
    Idle,
    UnderWay,
    Full,
}

fn lose_and_succeed(situation: Situation, version: Version) {
    let context = Context::new();
    let (router, endpoint) = router(&context, "tcp://127.0.0.1:*");
    router.set(SNDHWM, 10).unwrap();
    let mut lost = RawPeer::connect_with(&endpoint, 4096);
    lost.send(&version.opening("lost"));
    lost.send(&version.message("hello"));
    assert_eq!(&router.recv_multipart().unwrap()[1][..], b"hello");
    if let Situation::Full = situation {
        fill(&router, "lost");
    }
    lost.cut_off();
    if let Situation::UnderWay = situation {
        router.send_multipart(["lost", "nobody reads this"]).unwrap();
    }
    let began = Instant::now();
    let monitor = router.as_ref().monitor();
    let mut heir = loop {
        if let Some(heir) = come(&endpoint, "lost") {
            break heir;
        }
        assert!(began.elapsed() < 3 * LONG, "{situation:?}, {version:?}: not found dead");
    };
    let taken = began.elapsed();
    // Where the window is closed the questions come ever more seldom, at first every 200 ms.
    let bound = DOUBT + if let Situation::Full = situation { LONG } else { DOUBT };
    assert!(taken >= DOUBT && taken < bound, "{situation:?}, {version:?}: {taken:?}");
    loop {
        let event = monitor.recv_timeout(LONG).unwrap();
        if let EventKind::Disconnected(reason) = &event.kind {
            assert_eq!(reason.kind(), ReasonKind::Silent, "{event}");
            assert_eq!(reason.to_string(), "the peer has not answered for 5000 ms");
            break;
        }
    }
    router.send_multipart(["lost", "to the heir"]).unwrap();
    heir.expect(&raw::message(&["to the heir"]));
    drop(lost);
}

/// The end of a peer has come behind messages for which the ROUTER has no room, so that it is not
/// read: who comes next under the name gets it at once, and what the first had sent is received.
#[test]
fn the_name_of_a_peer_that_has_gone_is_free_before_all_it_sent_is_read() {
    const MESSAGES: usize = 5;
    for endpoint in endpoints() {
        let context = Context::new();
        let (router, endpoint) = router(&context, &endpoint);
        router.set(RCVHWM, 1).unwrap();
        let mut first = come(&endpoint, "gone").unwrap();
        // More than is read beyond the high-water mark, and less than the window.
        let body = vec![7; 10_000];
        for _ in 0..MESSAGES {
            first.send(&raw::message(&[&body]));
        }
        drop(first);
        let began = Instant::now();
        let mut heir = loop {
            if let Some(heir) = come(&endpoint, "gone") {
                break heir;
            }
            assert!(began.elapsed() < LONG, "{endpoint}: its name is not free");
        };
        router.send_multipart(["gone", "to the heir"]).unwrap();
        heir.expect(&raw::message(&["to the heir"]));
        heir.send(&raw::message(&["from the heir"]));
        let (mut of_the_first, mut of_the_heir) = (0, 0);
        while of_the_first < MESSAGES || of_the_heir < 1 {
            let heard = router.recv_multipart().unwrap();
            assert_eq!(&heard[0][..], b"gone");
            match &heard[1][..] {
                b"from the heir" => of_the_heir += 1,
                long => {
                    assert_eq!(long, body);
                    of_the_first += 1;
                }
            }
        }
    }
}

// ROUTER_HANDOVER.

fn dealer(context: &Context, endpoint: &str) -> (Dealer, Monitor) {
    let dealer = Dealer::new(context).unwrap();
    dealer.set(ROUTING_ID, b"twin".to_vec()).unwrap();
    dealer.set(RECONNECT_IVL, 1).unwrap();
    for timeout in [SNDTIMEO, RCVTIMEO] {
        dealer.set(timeout, LONG.as_millis() as i32).unwrap();
    }
    let monitor = dealer.as_ref().monitor();
    dealer.connect(endpoint).unwrap();
    (dealer, monitor)
}

/// Two that live do not take the name from each other for ever: the last has it, the first stays
/// connected, unheard, and the monitor is told.
#[test]
fn with_handover_the_first_stays_connected_and_unheard() {
    for endpoint in endpoints() {
        let context = Context::new();
        let (router, endpoint) = router(&context, &endpoint);
        router.set(ROUTER_HANDOVER, true).unwrap();
        let monitor = router.as_ref().monitor();
        let (first, first_monitor) = dealer(&context, &endpoint);
        first.send("first").unwrap();
        assert_eq!(&router.recv_multipart().unwrap()[1][..], b"first");
        assert_eq!(first.recv().unwrap().len(), 0);
        let (second, second_monitor) = dealer(&context, &endpoint);
        let mut seen = Vec::new();
        let handed_over = loop {
            let event = monitor.recv_timeout(LONG).unwrap();
            seen.push(event.kind.name());
            assert!(seen.len() < 10, "{seen:?}");
            if let EventKind::Disconnected(_) = event.kind {
                break event;
            }
        };
        let reason = handed_over.kind.reason().unwrap();
        assert_eq!(reason.kind(), ReasonKind::HandedOver, "{handed_over}");
        assert_eq!(handed_over.connection.peer.unwrap().identity, b"twin");
        assert!(handed_over.descriptor.is_some());

        assert_eq!(second.recv().unwrap().len(), 0);
        for number in 0..100_u8 {
            // Nothing of the first is heard, though it may send.
            first.send("unheard").unwrap();
            second.send(&[number]).unwrap();
            let heard = router.recv_multipart().unwrap();
            assert_eq!((&heard[0][..], &heard[1][..]), (&b"twin"[..], &[number][..]));
            router.send_multipart([&b"twin"[..], &[number]]).unwrap();
            assert_eq!(second.recv().unwrap()[..], [number]);
        }
        while router.statistics().dropped.of(DropReason::Unwanted) < 100 {
            thread::yield_now();
        }
        // Neither of the two connected again.
        for monitor in [first_monitor, second_monitor] {
            while let Ok(event) = monitor.try_recv() {
                let ended = matches!(
                    event.kind,
                    EventKind::Disconnected(_) | EventKind::ConnectRetried { .. }
                );
                assert!(!ended, "{event}");
            }
        }
        // That the first goes now is no news, and takes nothing from the second.
        first.close();
        second.send("alone").unwrap();
        assert_eq!(&router.recv_multipart().unwrap()[1][..], b"alone");
        second.close();
        loop {
            let event = monitor.recv_timeout(LONG).unwrap();
            seen.push(event.kind.name());
            if let EventKind::Disconnected(reason) = event.kind {
                assert_eq!(reason.kind(), ReasonKind::EndOfStream);
                break;
            }
        }
        let count = |name| seen.iter().filter(|seen| **seen == name).count();
        assert_eq!((count("ACCEPTED"), count("DISCONNECTED")), (2, 2), "{seen:?}");
    }
}

/// A ROUTER that connects to two of the same name keeps both connections, and the one that lost its
/// name comes back to it when its connection is made anew.
#[test]
fn with_handover_an_endpoint_whose_peer_lost_its_name_may_have_it_again() {
    let context = Context::new();
    let router = Router::new(&context).unwrap();
    router.set(ROUTER_HANDOVER, true).unwrap();
    router.set(RECONNECT_IVL, 1).unwrap();
    router.set(RCVTIMEO, LONG.as_millis() as i32).unwrap();
    let monitor = router.as_ref().monitor();
    let [(first_listener, first_at), (second_listener, second_at)] =
        endpoints().map(|endpoint| RawListener::bind(&endpoint));
    let shake_hands = |listener: &RawListener| {
        let deadline = Instant::now() + LONG;
        while !listener.has_connection() {
            assert!(Instant::now() < deadline, "nobody connects");
            thread::yield_now();
        }
        let mut peer = listener.accept();
        peer.send(&[&GREETING_OURS[..], &raw::ready("DEALER", Some("twin"))].concat());
        peer.expect(&GREETING_OURS);
        peer.expect(&raw::ready("ROUTER", Some("")));
        peer
    };
    let handed_over = || loop {
        if let EventKind::Disconnected(reason) = monitor.recv_timeout(LONG).unwrap().kind
            && reason.kind() == ReasonKind::HandedOver
        {
            break;
        }
    };
    router.connect(&first_at).unwrap();
    let mut first = shake_hands(&first_listener);
    first.send(&raw::message(&["first"]));
    assert_eq!(&router.recv_multipart().unwrap()[1][..], b"first");
    router.connect(&second_at).unwrap();
    let mut second = shake_hands(&second_listener);
    handed_over();
    router.send_multipart(["twin", "to the second"]).unwrap();
    second.expect(&raw::message(&["to the second"]));
    first.send(&raw::message(&["unheard"]));
    drop(first);
    let mut first = shake_hands(&first_listener);
    handed_over();
    first.send(&raw::message(&["again"]));
    assert_eq!(&router.recv_multipart().unwrap()[1][..], b"again");
    router.send_multipart(["twin", "to the first"]).unwrap();
    first.expect(&raw::message(&["to the first"]));
}

// Who is refused.

/// A peer that is refused comes ever more seldom; one that was let in, and lost, at once.
#[test]
fn who_is_refused_again_and_again_comes_ever_more_seldom() {
    for endpoint in endpoints() {
        let context = Context::new();
        let dealer = Dealer::new(&context).unwrap();
        dealer.set(RECONNECT_IVL, 10).unwrap();
        let monitor = dealer.as_ref().monitor();
        let (listener, actual) = RawListener::bind(&endpoint);
        dealer.connect(&actual).unwrap();
        let delay = || loop {
            if let EventKind::ConnectRetried { interval } = monitor.recv_timeout(LONG).unwrap().kind
            {
                break interval.as_millis();
            }
        };
        let hello = [&GREETING_OURS[..], &raw::ready("ROUTER", Some(""))].concat();
        for (step, doublings) in [0, 0, 1, 2, 3, 4].into_iter().enumerate() {
            let mut peer = listener.accept();
            if step % 2 == 1 {
                // In its handshake.
                peer.expect(&raw::SIGNATURE);
                peer.send(&raw::SIGNATURE);
            } else {
                peer.send(&hello);
                peer.expect(&GREETING_OURS);
                peer.expect(&raw::ready("DEALER", Some("")));
            }
            if step == 0 {
                // This one is heard, and so does not refuse.
                peer.send(&raw::message(&["welcome"]));
                assert_eq!(&dealer.recv_timeout(LONG).unwrap()[..], b"welcome");
            }
            drop(peer);
            let (least, delay) = (10 << doublings, delay());
            assert!((least..least + 10).contains(&delay), "{step}: {delay}");
        }
        let mut peer = listener.accept();
        peer.send(&hello);
        peer.send(&raw::message(&["welcome"]));
        assert_eq!(&dealer.recv_timeout(LONG).unwrap()[..], b"welcome");
        drop(peer);
        assert!(delay() < 20);
        // Nor does one that has said nothing refuse: there may be a proxy whose server is yet to come.
        for _ in 0..3 {
            drop(listener.accept());
            assert!(delay() < 20);
        }
    }
}
