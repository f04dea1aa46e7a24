//! What happens to endpoints and connections is told, typed and in libzmq's form.

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use oxmq::monitor::{EVENTS_MAX, Event, EventKind, Monitor, MonitorVersion, ReasonKind, number};
use oxmq::option::{
    CONNECT_TIMEOUT, HANDSHAKE_IVL, HEARTBEAT_IVL, HEARTBEAT_TIMEOUT, IMMEDIATE, LINGER,
    MAXMSGSIZE, RECONNECT_IVL, ROUTER_HANDOVER, ROUTING_ID, SNDHWM,
};
use oxmq::{
    Context, Dealer, DropReason, Pair, Publisher, Pull, Push, RecvError, Request, Router, Socket,
    SocketType, Subscriber, ZmtpVersion,
};

use support::libzmq::{self, LibContext, LibSocket};
use support::raw::{RawListener, RawPeer, frame, message};
use support::{LONG, endpoints, fresh_name};

fn next(monitor: &Monitor) -> Event {
    monitor.recv_timeout(LONG).unwrap()
}

/// The next event whose kind has this name.
fn next_named(monitor: &Monitor, name: &str) -> Event {
    loop {
        let event = next(monitor);
        if event.kind.name() == name {
            return event;
        }
        assert_ne!(event.kind, EventKind::MonitorStopped, "{name} is not told");
    }
}

/// The events up to the last.
fn rest(monitor: &Monitor) -> Vec<Event> {
    let mut events = Vec::new();
    loop {
        match monitor.recv_timeout(LONG) {
            Ok(event) => events.push(event),
            Err(error) => {
                assert_eq!(error, RecvError::Closed);
                return events;
            }
        }
    }
}

fn names(events: &[Event]) -> Vec<&'static str> {
    events.iter().map(|event| event.kind.name()).collect()
}

fn reason(event: &Event) -> ReasonKind {
    event.kind.reason().unwrap_or_else(|| panic!("{event}")).kind()
}

/// An endpoint where nobody listens.
fn free_endpoint() -> String {
    let (listener, endpoint) = RawListener::bind("tcp://127.0.0.1:*");
    drop(listener);
    endpoint
}

#[test]
fn the_life_of_a_connection_seen_from_both_ends() {
    for endpoint in endpoints() {
        let context = Context::new();
        let router = Router::new(&context).unwrap();
        let bound = router.monitor();
        let actual = router.bind(&endpoint).unwrap();
        let dealer = Dealer::new(&context).unwrap();
        dealer.set(ROUTING_ID, b"me".to_vec()).unwrap();
        let connected = dealer.monitor();
        dealer.connect(&actual).unwrap();
        router.wait_for_peers(1, Some(LONG)).unwrap();
        dealer.wait_for_peers(1, Some(LONG)).unwrap();

        let event = next(&bound);
        assert_eq!(event.kind, EventKind::Listening);
        assert_eq!((&event.connection.endpoint, event.connection.bound), (&actual, true));
        assert!(event.descriptor.is_some());
        let event = next(&bound);
        assert_eq!(event.kind, EventKind::Accepted);
        let accepted = event.connection;
        assert_eq!((&accepted.endpoint, accepted.local.as_ref()), (&actual, Some(&actual)));
        assert_eq!(accepted.peer, None);
        let event = next(&bound);
        assert_eq!(event.kind, EventKind::HandshakeSucceeded);
        let peer = event.connection.peer.as_ref().unwrap();
        assert_eq!((&peer.identity[..], peer.socket_type), (&b"me"[..], Some(SocketType::Dealer)));
        assert_eq!(peer.version, Some(ZmtpVersion::OURS));

        let event = next_named(&connected, "CONNECTED");
        let made = event.connection;
        assert_eq!((&made.endpoint, made.bound), (&actual, false));
        assert_eq!(made.remote.as_ref(), Some(&actual));
        assert_eq!(made.local, accepted.remote);
        assert_eq!(made.local.is_some(), actual.starts_with("tcp"));
        let event = next(&connected);
        assert_eq!(event.kind, EventKind::HandshakeSucceeded);
        let peer = event.connection.peer.as_ref().unwrap();
        assert_eq!((&peer.identity[..], peer.socket_type), (&b""[..], Some(SocketType::Router)));

        dealer.close();
        let events = rest(&connected);
        assert_eq!(names(&events), ["DISCONNECTED", "MONITOR_STOPPED"]);
        assert_eq!(reason(&events[0]), ReasonKind::ClosedHere);
        let event = next(&bound);
        assert_eq!(event.kind.name(), "DISCONNECTED");
        assert_eq!(reason(&event), ReasonKind::EndOfStream);
        assert_eq!(event.connection.peer.as_ref().unwrap().identity, b"me");
        router.unbind(&actual).unwrap();
        let event = next(&bound);
        assert_eq!((&event.kind, &event.connection.endpoint), (&EventKind::Closed, &actual));
        drop(router);
        assert_eq!(names(&rest(&bound)), ["MONITOR_STOPPED"]);
        assert_eq!(bound.try_recv(), Err(RecvError::Closed));
    }
}

#[test]
fn the_life_of_a_pipe_within_the_process() {
    let context = Context::new();
    let endpoint = format!("inproc://{}", fresh_name());
    let push = Push::new(&context).unwrap();
    let connected = push.monitor();
    push.connect(&endpoint).unwrap();
    assert_eq!(next(&connected).kind, EventKind::ConnectDelayed);
    let pull = Pull::new(&context).unwrap();
    let bound = pull.monitor();
    pull.bind(&endpoint).unwrap();
    let events = [next(&connected), next(&connected)];
    assert_eq!(names(&events), ["CONNECTED", "HANDSHAKE_SUCCEEDED"]);
    let peer = events[1].connection.peer.as_ref().unwrap();
    assert_eq!((peer.socket_type, peer.version), (Some(SocketType::Pull), None));
    pull.close();
    let event = next(&connected);
    assert_eq!((event.kind.name(), reason(&event)), ("DISCONNECTED", ReasonKind::EndOfStream));
    let events = rest(&bound);
    let expected = [
        "ACCEPTED",
        "HANDSHAKE_SUCCEEDED",
        "LISTENING",
        "CLOSED",
        "DISCONNECTED",
        "MONITOR_STOPPED",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(reason(&events[4]), ReasonKind::ClosedHere);
}

/// An invalid combination of socket types is refused, said to the monitor, and harms nobody.
#[test]
fn incompatible_peers_are_refused_and_harm_nobody() {
    for first in endpoints().into_iter().chain([format!("inproc://{}", fresh_name())]) {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        let bound = pull.monitor();
        let endpoint = pull.bind(&first).unwrap();
        let push = Push::new(&context).unwrap();
        push.connect(&endpoint).unwrap();
        let subscriber = Subscriber::new(&context).unwrap();
        subscriber.set(RECONNECT_IVL, 1).unwrap();
        let connected = subscriber.monitor();
        subscriber.connect(&endpoint).unwrap();

        // Whoever is refused may see the end of the connection before it sees why: then it has
        // been said to the other end. It tries again, and again is refused.
        let mut event = next_named(&bound, "HANDSHAKE_FAILED");
        let mut other = next_named(&connected, "HANDSHAKE_FAILED");
        while reason(&event) != ReasonKind::Incompatible {
            assert_eq!(reason(&other), ReasonKind::Incompatible, "{event}, {other}");
            event = next_named(&bound, "HANDSHAKE_FAILED");
            other = next_named(&connected, "HANDSHAKE_FAILED");
        }
        assert_eq!(event.connection.endpoint, endpoint);
        assert_eq!(event.connection.peer.as_ref().unwrap().socket_type, Some(SocketType::Sub));
        let text = event.kind.reason().unwrap().to_string();
        assert_eq!(text, "peer is a SUB socket, which does not talk to a PULL socket");
        if endpoint.starts_with("inproc") {
            assert_eq!(reason(&other), ReasonKind::Incompatible, "{other}");
        } else {
            next_named(&connected, "CONNECT_RETRIED");
        }
        for number in 0..100u8 {
            push.send(vec![number]).unwrap();
            assert_eq!(pull.recv().unwrap()[..], [number]);
        }
        assert_eq!(pull.statistics().pipes.len(), 1);
        assert_eq!((pull.dropped(), push.dropped()), (0, 0));
    }
}

#[test]
fn an_identity_that_another_peer_bears() {
    for first in endpoints().into_iter().chain([format!("inproc://{}", fresh_name())]) {
        let context = Context::new();
        let router = Router::new(&context).unwrap();
        let monitor = router.monitor();
        let endpoint = router.bind(&first).unwrap();
        let dealers: Vec<Dealer> = (0..2)
            .map(|_| {
                let dealer = Dealer::new(&context).unwrap();
                dealer.set(ROUTING_ID, b"taken".to_vec()).unwrap();
                dealer.connect(&endpoint).unwrap();
                router.wait_for_peers(1, Some(LONG)).unwrap();
                dealer
            })
            .collect();
        let event = next_named(&monitor, "HANDSHAKE_FAILED");
        assert_eq!(reason(&event), ReasonKind::IdentityTaken, "{event}");
        assert_eq!(event.connection.peer.as_ref().unwrap().identity, b"taken");
        // The first one is unharmed.
        router.send_multipart(["taken", "text"]).unwrap();
        assert_eq!(&dealers[0].recv().unwrap()[..], b"text");
    }
}

#[test]
fn an_identity_that_is_handed_over() {
    let context = Context::new();
    let router = Router::new(&context).unwrap();
    router.set(ROUTER_HANDOVER, true).unwrap();
    let monitor = router.monitor();
    let endpoint = router.bind("tcp://127.0.0.1:*").unwrap();
    let mut dealers = Vec::new();
    for _ in 0..2 {
        let dealer = Dealer::new(&context).unwrap();
        dealer.set(ROUTING_ID, b"mine".to_vec()).unwrap();
        dealer.set(RECONNECT_IVL, -1).unwrap();
        dealer.connect(&endpoint).unwrap();
        dealer.send("here").unwrap();
        router.recv_multipart().unwrap();
        dealers.push(dealer);
    }
    let event = next_named(&monitor, "DISCONNECTED");
    assert_eq!(reason(&event), ReasonKind::HandedOver);
}

#[test]
fn a_second_peer_of_a_pair() {
    let context = Context::new();
    let pair = Pair::new(&context).unwrap();
    let monitor = pair.monitor();
    let endpoint = pair.bind("tcp://127.0.0.1:*").unwrap();
    let mut peers = Vec::new();
    for name in ["HANDSHAKE_SUCCEEDED", "HANDSHAKE_FAILED"] {
        let mut peer = RawPeer::connect(&endpoint);
        peer.shake_hands("PAIR", "PAIR");
        let event = next_named(&monitor, name);
        if name == "HANDSHAKE_FAILED" {
            assert_eq!(reason(&event), ReasonKind::NoMorePeers);
        }
        peers.push(peer);
    }
}

#[test]
fn an_endpoint_in_use() {
    for first in endpoints().into_iter().chain([format!("inproc://{}", fresh_name())]) {
        let context = Context::new();
        let pulls = [Pull::new(&context).unwrap(), Pull::new(&context).unwrap()];
        let endpoint = pulls[0].bind(&first).unwrap();
        let monitor = pulls[1].monitor();
        pulls[1].bind(&endpoint).unwrap_err();
        let event = next(&monitor);
        assert_eq!((event.kind.name(), reason(&event)), ("BIND_FAILED", ReasonKind::AddressInUse));
        assert_eq!(event.kind.reason().unwrap().errno(), libc::EADDRINUSE);
        assert_eq!((&event.connection.endpoint, event.connection.bound), (&endpoint, true));
    }
}

#[test]
fn what_lies_in_a_socket_files_place_is_no_failure() {
    let directory = std::env::temp_dir().join(fresh_name());
    std::fs::create_dir(&directory).unwrap();
    let path = directory.join("socket");
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let monitor = pull.monitor();
    let endpoint = pull.bind(&format!("ipc://{}", path.display())).unwrap();
    // A directory in the socket's place.
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    pull.unbind(&endpoint).unwrap();
    let event = next_named(&monitor, "CLOSED");
    assert_eq!(event.connection.endpoint, endpoint);
    assert!(path.is_dir(), "it is another's");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn connecting_to_nobody_again_and_again() {
    for endpoint in [free_endpoint(), format!("ipc://@{}", fresh_name())] {
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        push.set(RECONNECT_IVL, 3).unwrap();
        let monitor = push.monitor();
        push.connect(&endpoint).unwrap();
        for _ in 0..3 {
            let event = next_named(&monitor, "CONNECT_FAILED");
            assert_eq!(reason(&event), ReasonKind::ConnectionRefused, "{event}");
            assert_eq!(event.connection.endpoint, endpoint);
            let event = next(&monitor);
            let EventKind::ConnectRetried { interval } = event.kind else { panic!("{event}") };
            assert!((3..6).contains(&interval.as_millis()), "{interval:?}");
        }
        // Somebody comes after all.
        let pull = Pull::new(&context).unwrap();
        pull.bind(&endpoint).unwrap();
        next_named(&monitor, "HANDSHAKE_SUCCEEDED");
        drop(pull);
        let event = next_named(&monitor, "DISCONNECTED");
        assert_eq!(reason(&event), ReasonKind::EndOfStream);
        next_named(&monitor, "CONNECT_RETRIED");
    }
}

#[test]
fn a_name_that_nobody_has() {
    let context = Context::new();
    let push = Push::new(&context).unwrap();
    let monitor = push.monitor();
    push.connect("tcp://no-such-host.invalid:5555").unwrap();
    let event = next(&monitor);
    assert_eq!((event.kind.name(), reason(&event)), ("CONNECT_FAILED", ReasonKind::Unresolved));
    assert_eq!(next(&monitor).kind.name(), "CONNECT_RETRIED");
}

/// The end of every endpoint is told, though no connection has been.
#[test]
fn an_endpoint_is_given_up() {
    for endpoint in [free_endpoint(), format!("ipc://@{}", fresh_name())] {
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        push.set(RECONNECT_IVL, 20_000).unwrap();
        let monitor = push.monitor();
        let at = format!("inproc://{}", fresh_name());
        push.as_ref()
            .monitor_at(&at, number::ALL_V1, MonitorVersion::V1, SocketType::Pair)
            .unwrap();
        let wire = Pair::new(&context).unwrap();
        wire.connect(&at).unwrap();
        for last in [false, true] {
            push.connect(&endpoint).unwrap();
            next_named(&monitor, "CONNECT_RETRIED");
            if last {
                push.close()
            } else {
                push.disconnect(&endpoint).unwrap()
            }
            let event = next(&monitor);
            assert_eq!((&event.kind, &event.connection.endpoint), (&EventKind::Closed, &endpoint));
        }
        assert_eq!(names(&rest(&monitor)), ["MONITOR_STOPPED"]);
        // In libzmq's form, each attempt is closed, too.
        let told = std::iter::from_fn(|| Some(v1(&wire)))
            .filter(|(number, ..)| *number != number::CONNECT_DELAYED);
        let told: Vec<u64> = told.map(|(number, ..)| number).take(7).collect();
        let attempt = [number::CLOSED, number::CONNECT_RETRIED, number::CLOSED];
        assert_eq!(told[..6], [attempt, attempt].concat());
        assert_eq!(told[6], number::MONITOR_STOPPED);
    }
}

#[test]
fn who_does_not_answer_in_time() {
    let context = Context::new();
    let push = Push::new(&context).unwrap();
    push.set(CONNECT_TIMEOUT, 30).unwrap();
    let monitor = push.monitor();
    let (_full, endpoint) = RawListener::bind_full();
    push.connect(&endpoint).unwrap();
    assert_eq!(next(&monitor).kind, EventKind::ConnectDelayed);
    let event = next(&monitor);
    assert_eq!((event.kind.name(), reason(&event)), ("CONNECT_FAILED", ReasonKind::ConnectTimeout));

    let pull = Pull::new(&context).unwrap();
    pull.set(HANDSHAKE_IVL, 30).unwrap();
    let monitor = pull.monitor();
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let _silent = RawPeer::connect(&endpoint);
    let event = next_named(&monitor, "HANDSHAKE_FAILED");
    assert_eq!(reason(&event), ReasonKind::HandshakeTimeout);
    // One that speaks 3.1 and does not answer a PING.
    let pull = Pull::new(&context).unwrap();
    pull.set(HEARTBEAT_IVL, 10).unwrap();
    pull.set(HEARTBEAT_TIMEOUT, 20).unwrap();
    let monitor = pull.monitor();
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let mut deaf = RawPeer::connect(&endpoint);
    deaf.send(&support::raw::GREETING_OURS);
    deaf.send(&support::raw::ready("PUSH", None));
    let event = next_named(&monitor, "DISCONNECTED");
    assert_eq!(reason(&event), ReasonKind::Silent, "{event}");
}

#[test]
fn who_breaks_the_protocol() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    pull.set(MAXMSGSIZE, 10).unwrap();
    let monitor = pull.monitor();
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let mut peer = RawPeer::connect(&endpoint);
    peer.send(b"GET / HTTP/1.1\r\n\r\n");
    let event = next_named(&monitor, "HANDSHAKE_FAILED");
    assert_eq!(reason(&event), ReasonKind::Protocol, "{event}");
    let mut peer = RawPeer::connect(&endpoint);
    let mut other_mechanism = support::raw::GREETING_3_0;
    other_mechanism[12..17].copy_from_slice(b"PLAIN");
    peer.send(&other_mechanism);
    let event = next_named(&monitor, "HANDSHAKE_FAILED");
    assert_eq!(reason(&event), ReasonKind::Mechanism, "{event}");
    assert_eq!(event.kind.reason().unwrap().protocol_error(), Some(0x1100_0002));
    let mut peer = RawPeer::connect(&endpoint);
    peer.shake_hands("PUSH", "PULL");
    peer.send(&message(&["eleven bytes"]));
    let event = next_named(&monitor, "DISCONNECTED");
    assert_eq!(reason(&event), ReasonKind::TooLong, "{event}");
    let mut peer = RawPeer::connect(&endpoint);
    peer.shake_hands("PUSH", "PULL");
    peer.send(&[0xFF, 0]);
    let event = next_named(&monitor, "DISCONNECTED");
    assert_eq!(reason(&event), ReasonKind::Protocol, "{event}");
    let mut peer = RawPeer::connect(&endpoint);
    peer.send(&support::raw::GREETING_3_0);
    peer.send(&frame(4, b"\x05ERROR\x04nope"));
    let event = next_named(&monitor, "HANDSHAKE_FAILED");
    assert_eq!(reason(&event), ReasonKind::RefusedByPeer, "{event}");
    assert_eq!(pull.as_ref().last_failure(), event.kind.reason().map(ToString::to_string));
}

#[test]
fn descriptors_that_run_out() {
    // Elsewhere nothing must fail for want of descriptors: this is done in a process of its own.
    if std::env::var_os("OXMQ_TEST_ALONE").is_none() {
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "descriptors_that_run_out", "--nocapture"])
            .env("OXMQ_TEST_ALONE", "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let monitor = pull.monitor();
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let mut first = RawPeer::connect(&endpoint);
    first.shake_hands("PUSH", "PULL");
    next_named(&monitor, "HANDSHAKE_SUCCEEDED");
    let limit = libc::rlimit { rlim_cur: 64, rlim_max: 64 };
    // SAFETY: `limit` is a whole `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    let mut held = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        held.push(file);
    }
    // One for the peer's end.
    held.pop();
    let peer = RawPeer::connect(&endpoint);
    let event = next_named(&monitor, "ACCEPT_FAILED");
    assert_eq!(event.connection.endpoint, endpoint);
    assert_eq!(event.kind.reason().unwrap().errno(), libc::EMFILE);
    held.clear();
    next_named(&monitor, "ACCEPTED");
    drop(peer);
}

#[test]
fn messages_that_are_dropped_are_told_once_a_burst() {
    let context = Context::new();
    let router = Router::new(&context).unwrap();
    let monitor = router.monitor();
    for _ in 0..1000 {
        router.send_multipart(["nobody", "text"]).unwrap();
    }
    let event = next(&monitor);
    let reason = DropReason::Unroutable;
    assert_eq!(event.kind, EventKind::Dropped { reason, messages: 1 });
    assert_eq!(event.connection.endpoint, "");
    let told = |event: &Event| match event.kind {
        EventKind::Dropped { messages, .. } => messages,
        _ => panic!("{event}"),
    };
    // Another burst tells of the rest of this one.
    let (mut sum, mut sent) = (1, 1000);
    while sum < 1000 {
        router.send_multipart(["nobody", "text"]).unwrap();
        sent += 1;
        while let Ok(event) = monitor.try_recv() {
            sum += told(&event);
        }
        thread::yield_now();
    }
    assert_eq!(router.dropped(), sent);
    router.close();
    assert_eq!(names(&rest(&monitor)), ["MONITOR_STOPPED"]);
}

#[test]
fn a_slow_subscriber_is_named() {
    let context = Context::new();
    let publisher = Publisher::new(&context).unwrap();
    publisher.set(SNDHWM, 3).unwrap();
    let monitor = publisher.monitor();
    let endpoint = publisher.bind("tcp://127.0.0.1:*").unwrap();
    let mut peer = RawPeer::connect_with(&endpoint, 16 << 10);
    peer.shake_hands("SUB", "PUB");
    peer.send(&frame(0, b"\x01"));
    publisher.wait_for_subscribers("", 1, Some(LONG)).unwrap();
    let remote = next_named(&monitor, "HANDSHAKE_SUCCEEDED").connection.remote;
    while publisher.dropped() == 0 {
        publisher.send(vec![0; 1 << 20]).unwrap();
    }
    let event = next_named(&monitor, "DROPPED");
    assert_eq!(event.kind, EventKind::Dropped { reason: DropReason::Full, messages: 1 });
    assert_eq!((&event.connection.endpoint, event.connection.remote), (&endpoint, remote));
    assert_eq!(event.connection.peer.unwrap().socket_type, Some(SocketType::Sub));
}

#[test]
fn what_lingered_in_vain_is_told_before_the_end() {
    let context = Context::new();
    let push = Push::new(&context).unwrap();
    push.set(LINGER, 20).unwrap();
    let monitor = push.monitor();
    let endpoint = free_endpoint();
    push.connect(&endpoint).unwrap();
    for _ in 0..7 {
        push.send("text").unwrap();
    }
    drop(push);
    let events = rest(&monitor);
    let [.., dropped, stopped] = &events[..] else { panic!("{events:?}") };
    let kind = EventKind::Dropped { reason: DropReason::Lingered, messages: 7 };
    assert_eq!((&dropped.kind, &dropped.connection.endpoint), (&kind, &endpoint));
    assert_eq!(stopped.kind, EventKind::MonitorStopped);
}

#[test]
fn a_monitor_that_nobody_reads_holds_nobody_up() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let unread = pull.monitor();
    let at = format!("inproc://{}", fresh_name());
    let (all, version) = (number::ALL_V1, MonitorVersion::V1);
    pull.as_ref().monitor_at(&at, all, version, SocketType::Pair).unwrap();
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let read = pull.monitor();
    let connections = EVENTS_MAX as u64 / 2;
    for _ in 0..connections {
        let mut peer = RawPeer::connect(&endpoint);
        peer.shake_hands("PUSH", "PULL");
        peer.send(&message(&["text"]));
        assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"text");
        drop(peer);
        // Accepted, greeted, gone.
        for name in ["ACCEPTED", "HANDSHAKE_SUCCEEDED", "DISCONNECTED"] {
            assert_eq!(next(&read).kind.name(), name);
        }
    }
    pull.close();
    assert_eq!(names(&rest(&read)), ["CLOSED", "MONITOR_STOPPED"]);
    let events = rest(&unread);
    // Listening, three for each connection, closed, stopped.
    let missed = 1 + 3 * connections + 2 - EVENTS_MAX as u64;
    assert_eq!(events[0].kind, EventKind::Missed(missed));
    assert_eq!(events.len(), 1 + EVENTS_MAX);
    assert_eq!(events.last().unwrap().kind, EventKind::MonitorStopped);
}

#[test]
fn any_number_of_monitors_from_any_thread() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let monitors: Vec<Monitor> = (0..3).map(|_| pull.monitor()).collect();
    drop(pull.monitor());
    let lists: Vec<Vec<Event>> = thread::scope(|scope| {
        let lists: Vec<_> =
            monitors.iter().map(|monitor| scope.spawn(move || rest(monitor))).collect();
        pull.bind("tcp://127.0.0.1:*").unwrap();
        pull.close();
        lists.into_iter().map(|list| list.join().unwrap()).collect()
    });
    assert_eq!(names(&lists[0]), ["LISTENING", "CLOSED", "MONITOR_STOPPED"]);
    assert!(lists.iter().all(|list| *list == lists[0]));
    // It begins too late.
    let late = pull.monitor();
    assert_eq!(names(&rest(&late)), ["MONITOR_STOPPED"]);
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, mut context) = (pin!(future), TaskContext::from_waker(&waker));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park_timeout(LONG),
        }
    }
}

#[test]
fn events_are_awaited() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let monitor = pull.monitor();
    assert_eq!(monitor.try_recv(), Err(RecvError::Again));
    let before = Instant::now();
    assert_eq!(monitor.recv_timeout(Duration::from_millis(20)), Err(RecvError::Again));
    assert!(before.elapsed() >= Duration::from_millis(20));
    thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let mut names = Vec::new();
            while let Ok(event) = block_on(monitor.recv_async()) {
                names.push(event.kind.name());
            }
            names
        });
        pull.bind("tcp://127.0.0.1:*").unwrap();
        pull.close();
        assert_eq!(waits.join().unwrap(), ["LISTENING", "CLOSED", "MONITOR_STOPPED"]);
    });
}

#[test]
fn an_event_is_a_line() {
    let context = Context::new();
    let request = Request::new(&context).unwrap();
    request.set(IMMEDIATE, true).unwrap();
    let monitor = request.monitor();
    let endpoint = request.bind("tcp://127.0.0.1:*").unwrap();
    assert_eq!(next(&monitor).to_string(), format!("LISTENING {endpoint}"));
    let mut peer = RawPeer::connect(&endpoint);
    peer.shake_hands("REP", "REQ");
    let remote = next(&monitor).connection.remote.unwrap();
    let line = next(&monitor).to_string();
    assert_eq!(line, format!("HANDSHAKE_SUCCEEDED {endpoint} remote {remote} peer REP ZMTP 3.0"));
    drop(peer);
    let line = next(&monitor).to_string();
    let end = ": the peer closed the connection";
    assert_eq!(line, format!("DISCONNECTED {endpoint} remote {remote} peer REP ZMTP 3.0{end}"));
}

// libzmq's form.

fn wire(context: &Context, socket: &Socket, events: u64, version: MonitorVersion) -> Pair {
    let at = format!("inproc://{}", fresh_name());
    socket.monitor_at(&at, events, version, SocketType::Pair).unwrap();
    let pair = Pair::new(context).unwrap();
    pair.connect(&at).unwrap();
    pair
}

fn parts(pair: &Pair) -> Vec<Vec<u8>> {
    let first = pair.as_ref().recv_timeout(LONG).unwrap();
    let mut parts = vec![first.to_vec()];
    let mut more = first.more();
    while more {
        let part = pair.recv().unwrap();
        parts.push(part.to_vec());
        more = part.more();
    }
    parts
}

/// An event of version 1: its number, its value, its endpoint.
fn v1(pair: &Pair) -> (u64, u32, String) {
    decode_v1(&parts(pair))
}

fn decode_v1(parts: &[Vec<u8>]) -> (u64, u32, String) {
    let [first, address] = parts else { panic!("{parts:?}") };
    let (event, value) = first.split_first_chunk::<2>().unwrap();
    let value = u32::from_ne_bytes(value.try_into().unwrap());
    let event = u64::from(u16::from_ne_bytes(*event));
    (event, value, String::from_utf8(address.clone()).unwrap())
}

/// An event of version 2: its number, its values, this end, the other end.
fn v2(pair: &Pair) -> (u64, Vec<u64>, String, String) {
    let parts = parts(pair);
    let [numbers @ .., local, remote] = &parts[..] else { panic!("{parts:?}") };
    let numbers: Vec<u64> =
        numbers.iter().map(|part| u64::from_ne_bytes(part[..].try_into().unwrap())).collect();
    let [event, count, values @ ..] = &numbers[..] else { panic!("{parts:?}") };
    assert_eq!(*count, values.len() as u64);
    let text = |part: &Vec<u8>| String::from_utf8(part.clone()).unwrap();
    (*event, values.to_vec(), text(local), text(remote))
}

#[test]
fn version_1_on_the_wire() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let bound = wire(&context, pull.as_ref(), number::ALL_V1, MonitorVersion::V1);
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let push = Push::new(&context).unwrap();
    push.set(RECONNECT_IVL, 7).unwrap();
    let connected = wire(&context, push.as_ref(), number::ALL_V1, MonitorVersion::V1);
    push.connect(&endpoint).unwrap();
    let (event, descriptor, address) = v1(&bound);
    assert_eq!((event, &address), (number::LISTENING, &endpoint));
    assert!(descriptor > 2 && descriptor < 1 << 16);
    assert_eq!((v1(&bound).0, v1(&bound)), (number::ACCEPTED, (0x1000, 0, endpoint.clone())));
    let first = v1(&connected);
    let event = if first.0 == number::CONNECT_DELAYED { v1(&connected) } else { first };
    assert_eq!((event.0, &event.2), (number::CONNECTED, &endpoint));
    assert_eq!(v1(&connected), (number::HANDSHAKE_SUCCEEDED, 0, endpoint.clone()));
    pull.close();
    assert_eq!(v1(&bound), (number::CLOSED, descriptor, endpoint.clone()));
    assert_eq!(v1(&bound), (number::MONITOR_STOPPED, 0, String::new()));
    assert_eq!(v1(&connected), (number::DISCONNECTED, event.1, endpoint.clone()));
    let (event, interval, address) = v1(&connected);
    assert_eq!((event, &address), (number::CONNECT_RETRIED, &endpoint));
    assert!((7..14).contains(&interval), "{interval}");
}

#[test]
fn version_2_on_the_wire() {
    let context = Context::new();
    for first in endpoints() {
        let router = Router::new(&context).unwrap();
        let bound = wire(&context, router.as_ref(), number::ALL_V2, MonitorVersion::V2);
        let endpoint = router.bind(&first).unwrap();
        let dealer = Dealer::new(&context).unwrap();
        let connected = wire(&context, dealer.as_ref(), number::ALL_V2, MonitorVersion::V2);
        dealer.connect(&endpoint).unwrap();
        let (event, values, local, remote) = v2(&bound);
        assert_eq!((event, values.len()), (number::LISTENING, 1));
        assert_eq!((&local, &remote[..]), (&endpoint, ""));
        let accepted = v2(&bound);
        assert_eq!((accepted.0, &accepted.2), (number::ACCEPTED, &endpoint));
        let succeeded = v2(&bound);
        let (near, far) = (accepted.2.clone(), accepted.3.clone());
        assert_eq!(succeeded, (number::HANDSHAKE_SUCCEEDED, vec![0], near, far));
        let mut made = v2(&connected);
        if made.0 == number::CONNECT_DELAYED {
            assert_eq!((&made.2[..], &made.3), ("", &endpoint));
            made = v2(&connected);
        }
        assert_eq!((made.0, &made.3), (number::CONNECTED, &endpoint));
        // Each end's near side is the other's far side.
        assert_eq!(made.2, accepted.3);
        if endpoint.starts_with("ipc") {
            assert_eq!(made.2, "ipc://");
        }
        assert_eq!(v2(&connected).0, number::HANDSHAKE_SUCCEEDED);

        dealer.send("one").unwrap();
        dealer.send("two").unwrap();
        while router.statistics().received < 2 {
            thread::yield_now();
        }
        assert_eq!(router.as_ref().monitor_pipe_stats(), 1);
        let (near, far) = (accepted.2.clone(), accepted.3.clone());
        assert_eq!(v2(&bound), (number::PIPES_STATS, vec![0, 2], near, far));
    }
}

#[test]
fn failures_on_the_wire() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    // Long enough for the first peer, on a machine that is stopped now and then.
    pull.set(HANDSHAKE_IVL, 3000).unwrap();
    let failures = number::BIND_FAILED
        | number::HANDSHAKE_FAILED_PROTOCOL
        | number::HANDSHAKE_FAILED_NO_DETAIL
        | number::DISCONNECTED;
    let pair = wire(&context, pull.as_ref(), failures, MonitorVersion::V1);
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    pull.bind(&endpoint).unwrap_err();
    let in_use = (number::BIND_FAILED, libc::EADDRINUSE as u32, endpoint.clone());
    assert_eq!(v1(&pair), in_use);
    let mut peer = RawPeer::connect(&endpoint);
    peer.send(&support::raw::GREETING_3_0);
    peer.send(&support::raw::ready("SUB", None));
    let invalid_metadata = 0x1000_0018;
    let failed = (number::HANDSHAKE_FAILED_PROTOCOL, invalid_metadata, endpoint.clone());
    assert_eq!(v1(&pair), failed);
    assert_eq!(v1(&pair).0, number::DISCONNECTED);
    let _silent = RawPeer::connect(&endpoint);
    let failed = (number::HANDSHAKE_FAILED_NO_DETAIL, libc::ETIMEDOUT as u32, endpoint.clone());
    assert_eq!(v1(&pair), failed);
    assert_eq!(v1(&pair).0, number::DISCONNECTED);

    let push = Push::new(&context).unwrap();
    let events = number::CLOSED | number::CONNECT_RETRIED | number::MONITOR_STOPPED;
    let pair = wire(&context, push.as_ref(), events, MonitorVersion::V2);
    let nobody = free_endpoint();
    push.set(RECONNECT_IVL, 10).unwrap();
    push.set(LINGER, 0).unwrap();
    push.connect(&nobody).unwrap();
    let (event, _, local, remote) = v2(&pair);
    assert_eq!((event, &local[..], &remote), (number::CLOSED, "", &nobody));
    let (event, values, _, remote) = v2(&pair);
    assert_eq!((event, &remote), (number::CONNECT_RETRIED, &nobody));
    assert!((10..20).contains(&values[0]), "{values:?}");
    push.close();
    loop {
        let (event, values, local, remote) = v2(&pair);
        if event == number::MONITOR_STOPPED {
            assert_eq!((values, &local[..], &remote[..]), (vec![0], "", ""));
            break;
        }
    }
}

/// Events wait for whoever connects late, and one monitor takes another's place.
#[test]
fn at_an_endpoint() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let socket = pull.as_ref();
    let (all, version) = (number::ALL_V1, MonitorVersion::V1);
    let refused = |at: &str, events, version, kind| {
        socket.monitor_at(at, events, version, kind).unwrap_err().errno()
    };
    let pair = SocketType::Pair;
    assert_eq!(refused("tcp://127.0.0.1:*", all, version, pair), libc::EPROTONOSUPPORT);
    assert_eq!(refused("nonsense", all, version, pair), libc::EINVAL);
    assert_eq!(refused("inproc://x", number::ALL_V2, version, pair), libc::EINVAL);
    assert_eq!(refused("inproc://x", all, version, SocketType::Router), libc::EINVAL);
    let (at, taken) = (format!("inproc://{}", fresh_name()), format!("inproc://{}", fresh_name()));
    let other = Pair::new(&context).unwrap();
    other.bind(&taken).unwrap();
    assert_eq!(refused(&taken, all, version, pair), libc::EADDRINUSE);
    Pair::new(&context).unwrap().connect(&taken).unwrap();

    socket.monitor_at(&at, all, version, pair).unwrap();
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    pull.unbind(&endpoint).unwrap();
    let late = Pair::new(&context).unwrap();
    late.connect(&at).unwrap();
    assert_eq!((v1(&late).0, v1(&late).0), (number::LISTENING, number::CLOSED));
    socket.monitor_at(&at, all, version, SocketType::Push).unwrap();
    assert_eq!(v1(&late).0, number::MONITOR_STOPPED);
    let puller = Pull::new(&context).unwrap();
    puller.connect(&at).unwrap();
    pull.bind("tcp://127.0.0.1:*").unwrap();
    assert_eq!(puller.recv_multipart().unwrap()[0][..2], (number::LISTENING as u16).to_ne_bytes());
    socket.stop_monitor_at();
    let last = (number::MONITOR_STOPPED as u16).to_ne_bytes();
    assert_eq!(puller.recv_multipart().unwrap()[0][..2], last);
    // Nothing of it holds the context up.
    let alone = Context::new();
    let pull = Pull::new(&alone).unwrap();
    pull.as_ref().monitor_at("inproc://unread", all, version, pair).unwrap();
    pull.bind("tcp://127.0.0.1:*").unwrap();
    drop(pull);
    alone.term_timeout(LONG).unwrap();
}

/// A socket whose events come in version 1: ours, or libzmq's.
trait Watched {
    fn bind(&self, endpoint: &str) -> Option<String>;
    fn connect(&self, endpoint: &str);
    fn event(&self) -> (u64, u32, String);
}

impl Watched for (&Socket, Pair) {
    fn bind(&self, endpoint: &str) -> Option<String> {
        self.0.bind(endpoint).ok()
    }

    fn connect(&self, endpoint: &str) {
        self.0.connect(endpoint).unwrap();
    }

    fn event(&self) -> (u64, u32, String) {
        v1(&self.1)
    }
}

impl Watched for (&LibSocket, libzmq::Monitor<'_>) {
    fn bind(&self, endpoint: &str) -> Option<String> {
        self.0.bind(endpoint).ok()
    }

    fn connect(&self, endpoint: &str) {
        self.0.connect(endpoint).unwrap();
    }

    fn event(&self) -> (u64, u32, String) {
        decode_v1(&self.1.event())
    }
}

/// The next `count` events; for values that differ from run to run, whether they can be right.
fn story(watched: &impl Watched, count: usize, endpoint: &str) -> Vec<(u64, u32)> {
    let events = (0..count).map(|_| {
        let (mut event, mut value, mut address) = watched.event();
        // libzmq also closes, nowhere, what it could not bind.
        while (event, &address[..]) == (number::CLOSED, "") {
            (event, value, address) = watched.event();
        }
        // libzmq leaves the transport out of what it could not bind.
        let known =
            address == endpoint || event == number::BIND_FAILED && endpoint.ends_with(&address);
        assert!(known, "{event:#x} {address}, {endpoint}");
        let value = match event {
            number::BIND_FAILED | number::HANDSHAKE_FAILED_PROTOCOL => value,
            number::HANDSHAKE_SUCCEEDED => value,
            number::CONNECT_RETRIED => u32::from((50..100).contains(&value)),
            number::CONNECT_DELAYED | number::HANDSHAKE_FAILED_NO_DETAIL => 0,
            _ => u32::from((3..1 << 16).contains(&value)),
        };
        (event, value)
    });
    events.collect()
}

/// What a PULL tells that is bound. (Of a peer of another type, and of malformed metadata, libzmq
/// tells nothing but the end.)
fn told_by_the_bound(watched: &impl Watched) -> Vec<(u64, u32)> {
    let endpoint = watched.bind("tcp://127.0.0.1:*").unwrap();
    let mut told = story(watched, 1, &endpoint);
    assert_eq!(watched.bind(&endpoint), None);
    told.extend(story(watched, 1, &endpoint));
    for (start, events) in [
        (support::raw::ready("PUSH", None), 2),
        (frame(0, b"a message"), 3),
        (frame(4, b"\x04NONE"), 3),
    ] {
        let mut peer = RawPeer::connect(&endpoint);
        peer.send(&[&support::raw::GREETING_3_0[..], &start].concat());
        told.extend(story(watched, events, &endpoint));
        drop(peer);
        if events == 2 {
            told.extend(story(watched, 1, &endpoint));
        }
    }
    told
}

/// What a PUSH tells that connects.
fn told_by_the_connected(watched: &impl Watched) -> Vec<(u64, u32)> {
    let endpoint = free_endpoint();
    watched.connect(&endpoint);
    let mut told = story(watched, 6, &endpoint);
    let (listener, _) = RawListener::bind(&endpoint);
    let mut peer = listener.accept();
    // How often it tried by then is chance.
    loop {
        match story(watched, 1, &endpoint)[0] {
            (number::CONNECTED, 1) => break,
            (number::CONNECT_DELAYED | number::CLOSED | number::CONNECT_RETRIED, _) => {}
            other => panic!("{other:?}"),
        }
    }
    peer.send(&support::raw::GREETING_3_0);
    peer.send(&support::raw::ready("PULL", None));
    told.extend(story(watched, 1, &endpoint));
    drop(peer);
    told.extend(story(watched, 4, &endpoint));
    told
}

#[test]
fn the_same_as_libzmq_tells() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let push = Push::new(&context).unwrap();
    push.set(RECONNECT_IVL, 50).unwrap();
    push.set(LINGER, 0).unwrap();
    let theirs = LibContext::new();
    let their_pull = theirs.socket(libzmq::PULL);
    let their_push = theirs.socket(libzmq::PUSH);
    their_push.set(libzmq::RECONNECT_IVL, 50);

    let ours = (pull.as_ref(), wire(&context, pull.as_ref(), number::ALL_V1, MonitorVersion::V1));
    let expected = told_by_the_bound(&(&their_pull, their_pull.monitor()));
    assert_eq!(told_by_the_bound(&ours), expected);
    let ours = (push.as_ref(), wire(&context, push.as_ref(), number::ALL_V1, MonitorVersion::V1));
    let expected = told_by_the_connected(&(&their_push, their_push.monitor()));
    assert_eq!(told_by_the_connected(&ours), expected);
}
