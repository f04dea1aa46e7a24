//! What broke others must not break us: inputs that did, and complaints that came of it, each with the
//! test that covers it.

mod process;
mod support;

use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

use oxmq::option::{
    IPV6, LINGER, MAXMSGSIZE, OptionError, RCVHWM, RECONNECT_IVL, ROUTER_MANDATORY, ROUTING_ID,
    SNDHWM, SNDTIMEO, XPUB_MANUAL,
};
use oxmq::{
    BindError, ConnectError, Context, Router, SendErrorKind, Socket, SocketType, UnbindError,
};

use process::{Peer, say};
use support::raw::{self, GREETING_3_0, Old, RawListener, RawPeer, SIGNATURE, frame, message};
use support::{LONG, PLACES, body, endpoints, fresh_name};

/// An input, what is said to it first (a handshake, mostly), and itself.
type Input = (&'static str, SocketType, fn() -> Vec<u8>);

/// Inputs that broke others, as the field notes number them; what udp and GSSAPI are about has no place
/// here yet. Some are other tests':
///
/// | input | test |
/// |---|---|
/// | a reply from the wrong peer at REQ, a request without a body at REP | `rfc28.rs` |
/// | ZMTP 1.0 and 2.0 greetings, lengths, flags | `old_peers.rs` |
/// | another mechanism, an old peer, a stranger, a long INITIATE at a secured socket | `security.rs` |
/// | replays, and malformed commands of CURVE and PLAIN | `curve.rs`, `plain.rs` of `oxmq-zmtp` |
/// | malformed Z85 | `z85.rs` |
/// | a tcp connection to oneself | `sys/linux/tests.rs` |
/// | races of close with everything | `closing.rs`, `kills.rs` |
const INPUTS: [Input; 21] = [
    ("CVE-2019-6250: a length near 2^64 in v2 framing", SocketType::Pull, || {
        traffic("PUSH", b"\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xF6x")
    }),
    ("the same from a 2.0 peer", SocketType::Pull, || {
        [&Old::V2.opening(8, b"")[..], b"\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xF6x"].concat()
    }),
    ("a length of 2^63 - 1, and a few bytes", SocketType::Pull, || {
        traffic("PUSH", b"\x02\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFFfew")
    }),
    ("a command of 2^62 bytes", SocketType::Pull, || {
        traffic("PUSH", b"\x06\x40\0\0\0\0\0\0\0\x04PING")
    }),
    ("L1488: a length of 0xffffffffffffffda in v1 framing", SocketType::Pull, || {
        [&Old::V1.opening(8, b"")[..], b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xDA\0"].concat()
    }),
    ("CVE-2021-20235: two v1 messages over 8192 bytes", SocketType::Pull, || {
        let long = Old::V1.frame(false, &body(9000));
        [&Old::V1.opening(8, b"")[..], &long, &long].concat()
    }),
    ("L783: a 2.2-era peer", SocketType::Pull, || {
        [&Old::V2.opening(8, b"old")[..], &Old::V2.message(&["a", "b"])].concat()
    }),
    ("CVE-2020-15166: a connection that says nothing", SocketType::Pull, Vec::new),
    ("a greeting cut short", SocketType::Pull, || GREETING_3_0[..33].to_vec()),
    ("CVE-2021-20234: a multipart never finished", SocketType::Pull, || {
        traffic("PUSH", &[frame(1, &body(50_000)), frame(1, &body(50_000))].concat())
    }),
    ("a part cut short", SocketType::Pull, || traffic("PUSH", &frame(0, &body(60_000))[..50_000])),
    ("recursion per frame: 100,000 empty parts", SocketType::Pull, || {
        traffic("PUSH", &[&[1, 0].repeat(100_000)[..], &[0, 0]].concat())
    }),
    ("CVE-2021-20236: a huge topic, subscribed to and not", SocketType::Pub, || {
        let topic = body(60_000);
        let subscribe = frame(4, &[b"\x09SUBSCRIBE", &topic[..]].concat());
        let cancel = frame(4, &[b"\x06CANCEL", &topic[..]].concat());
        traffic("SUB", &[subscribe, cancel].concat())
    }),
    ("the same in a message, and gone", SocketType::Pub, || {
        traffic("SUB", &message(&[[&[1], &body(500_000)[..]].concat()]))
    }),
    ("many topics, each a prefix of the next", SocketType::XPub, || {
        let subscribe = |bytes| frame(4, &[b"\x09SUBSCRIBE", &vec![b't'; bytes][..]].concat());
        traffic("SUB", &(0..800).flat_map(subscribe).collect::<Vec<u8>>())
    }),
    ("CVE-2021-20237: metadata and messages to a publisher", SocketType::XPub, || {
        traffic("XSUB", &message(&[body(30_000)]))
    }),
    ("a second READY", SocketType::Pull, || traffic("PUSH", &raw::ready("PUSH", None))),
    ("an ERROR in the middle", SocketType::Pull, || traffic("PUSH", &frame(4, b"\x05ERROR\x01x"))),
    ("an identity of 300 bytes", SocketType::Router, || {
        [&GREETING_3_0[..], &raw::ready("DEALER", Some(&"i".repeat(300)))].concat()
    }),
    ("a reserved identity, in ZMTP 2.0", SocketType::Router, || Old::V2.opening(5, b"\0reserved")),
    ("a TLS hello", SocketType::Pull, || b"\x16\x03\x01\x02\0\x01\0\x01\xFC\x03\x03".repeat(20)),
];

fn traffic(theirs: &str, bytes: &[u8]) -> Vec<u8> {
    [&GREETING_3_0[..], &raw::ready(theirs, None), bytes].concat()
}

/// How often each is tried; what each leaves behind would add up.
const TIMES: usize = 30;

/// In a process of its own, whose memory is its own.
#[test]
fn inputs_that_broke_others() {
    let mut peer = Peer::start("inputs");
    let answer = peer.line_within(30 * LONG).unwrap();
    println!("{answer:?}");
    assert!(answer.is_some_and(|answer| answer.starts_with("all")));
}

#[test]
#[ignore = "run by another test as a process of its own"]
fn child() {
    if process::role().is_none() {
        return;
    }
    // The first passes make what stays: buffers, threads, the allocator's own. What leaks grows in each.
    let slack = process::memory_slack_kib(1024);
    let mut grown = usize::MAX;
    for _ in 0..10 {
        let before = process::resident_kib();
        for input in &INPUTS {
            try_input(input, TIMES);
        }
        grown = grown.min(process::resident_kib().saturating_sub(before));
        if grown < slack {
            break;
        }
    }
    let verdict = if grown < slack { "all" } else { "too much" };
    say(&format!("{verdict}: {} inputs, {TIMES} times each, {grown} KiB more", INPUTS.len()));
}

/// The socket goes on serving a good peer meanwhile.
fn try_input((what, kind, bytes): &Input, times: usize) {
    for endpoint in endpoints() {
        let context = Context::new();
        let socket = context.socket(*kind).unwrap();
        socket.set(MAXMSGSIZE, 10_000_000_i64).unwrap();
        socket.set(LINGER, 0).unwrap();
        let actual = socket.bind(&endpoint).unwrap();
        let good = Good::join(&context, &socket, &actual);
        for time in 0..times / 3 {
            let mut bad = RawPeer::connect(&actual);
            // It may be cut off in the middle.
            let _ = std::io::Write::write_all(&mut bad.stream, &bytes());
            if time % 2 == 0 {
                good.is_served(&socket, what);
            }
            drop(bad);
            good.is_served(&socket, what);
        }
    }
}

struct Good(Socket);

impl Good {
    fn join(context: &Context, socket: &Socket, endpoint: &str) -> Good {
        let good = match socket.kind() {
            SocketType::Pull => SocketType::Push,
            SocketType::Router => SocketType::Dealer,
            _ => SocketType::Sub,
        };
        let good = context.socket(good).unwrap();
        good.set(LINGER, 0).unwrap();
        if good.kind() == SocketType::Sub {
            good.subscribe("good").unwrap();
        }
        good.connect(endpoint).unwrap();
        good.wait_for_peers(1, Some(LONG)).unwrap();
        if good.kind() == SocketType::Sub {
            socket.wait_for_subscribers("good", 1, Some(LONG)).unwrap();
        }
        Good(good)
    }

    fn is_served(&self, socket: &Socket, what: &str) {
        let (from, to) =
            if self.0.kind() == SocketType::Sub { (socket, &self.0) } else { (&self.0, socket) };
        from.send("good").unwrap();
        loop {
            // What the bad ones sent whole, and an XPUB's news, come too.
            let part = to.recv_timeout(LONG).unwrap_or_else(|error| panic!("{what}: {error}"));
            if &part[..] == b"good" && !part.more() {
                return;
            }
        }
    }
}

/// SIGPIPE, and a reset in the middle of a write.
#[test]
fn a_peer_that_resets_is_survived() {
    for endpoint in endpoints() {
        let context = Context::new();
        let push = context.socket(SocketType::Push).unwrap();
        push.set(LINGER, 0).unwrap();
        push.set(SNDTIMEO, 100).unwrap();
        push.set(SNDHWM, 5).unwrap();
        let actual = push.bind(&endpoint).unwrap();
        for _ in 0..20 {
            let mut peer = RawPeer::connect_with(&actual, 4096);
            peer.shake_hands("PULL", "PUSH");
            push.wait_for_peers(1, Some(LONG)).unwrap();
            // More than the kernel takes; unread, it makes the end a reset.
            while push.try_send(body(100_000)).is_ok() {}
            drop(peer);
            let _ = push.send("into the reset");
        }
        let pull = context.socket(SocketType::Pull).unwrap();
        pull.connect(&actual).unwrap();
        push.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
        push.send("still here").unwrap();
        while pull.recv_timeout(LONG).unwrap()[..] != *b"still here" {}
    }
}

#[test]
fn high_water_marks_may_be_as_high_as_they_go() {
    for place in PLACES {
        let context = Context::new();
        let [push, pull] =
            [SocketType::Push, SocketType::Pull].map(|kind| context.socket(kind).unwrap());
        for (socket, mark) in [(&push, SNDHWM), (&push, RCVHWM), (&pull, SNDHWM), (&pull, RCVHWM)] {
            socket.set(mark, i32::MAX).unwrap();
        }
        place.join(&push, &pull);
        for number in 0..5000_u32 {
            push.send(&number.to_le_bytes()).unwrap();
        }
        for number in 0..5000_u32 {
            assert_eq!(pull.recv_timeout(LONG).unwrap()[..], number.to_le_bytes());
        }
    }
}

/// L4665: the peer dies while a mandatory send waits for it.
#[test]
fn a_mandatory_send_ends_with_its_peer() {
    for place in PLACES {
        let context = Context::new();
        let router = Router::new(&context).unwrap();
        router.set(ROUTER_MANDATORY, true).unwrap();
        router.set(SNDHWM, 2).unwrap();
        router.set(LINGER, 0).unwrap();
        let dealer = context.socket(SocketType::Dealer).unwrap();
        dealer.set(ROUTING_ID, b"peer".to_vec()).unwrap();
        dealer.set(RCVHWM, 2).unwrap();
        place.join(router.as_ref(), &dealer);
        router.wait_for_peers(1, Some(LONG)).unwrap();
        let long = body(100_000);
        while router.try_send_multipart([b"peer", &long[..]]).is_ok() {}
        thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                loop {
                    if let Err(error) = router.send_multipart([b"peer", &long[..]]) {
                        break error.kind();
                    }
                }
            });
            process::pause(Duration::from_millis(2));
            dealer.close();
            if place.first_binds || place.transport == "inproc" {
                assert_eq!(waiting.join().unwrap(), SendErrorKind::HostUnreachable, "{place:?}");
            } else {
                // What was connected to may come back, and the message waits for it.
                router.close();
                assert_eq!(waiting.join().unwrap(), SendErrorKind::Closed, "{place:?}");
            }
        });
    }
}

#[test]
fn reconnecting_may_follow_at_once() {
    let (listener, endpoint) = RawListener::bind("tcp://127.0.0.1:*");
    let context = Context::new();
    let pull = context.socket(SocketType::Pull).unwrap();
    pull.set(RECONNECT_IVL, 0).unwrap();
    pull.connect(&endpoint).unwrap();
    for _ in 0..5 {
        drop(listener.accept());
    }
    let mut peer = listener.accept();
    peer.send(&SIGNATURE);
    peer.expect(&SIGNATURE);
}

#[test]
fn ipv6_is_used_when_it_is_on_and_refused_by_name_when_not() {
    let context = Context::new();
    let [push, pull] =
        [SocketType::Push, SocketType::Pull].map(|kind| context.socket(kind).unwrap());
    let error = pull.bind("tcp://[::1]:*").unwrap_err();
    assert!(error.to_string().contains("IPV6"), "{error}");
    pull.set(IPV6, true).unwrap();
    match pull.bind("tcp://[::1]:*") {
        Ok(endpoint) => {
            assert!(endpoint.starts_with("tcp://[::1]:"), "{endpoint}");
            // Who connects to such an address has said enough.
            push.connect(&endpoint).unwrap();
            push.send("over IPv6").unwrap();
            assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"over IPv6");
        }
        // A machine without IPv6 says so.
        Err(error) => {
            let without = [libc::EADDRNOTAVAIL, libc::EAFNOSUPPORT].contains(&error.errno());
            assert!(without, "{error}");
        }
    }
}

#[test]
fn ipc_files_are_taken_over_when_stale_and_spared_when_not() {
    let pull = |context: &Context| context.socket(SocketType::Pull).unwrap();
    let path = std::env::temp_dir().join(fresh_name());
    let endpoint = format!("ipc://{}", path.display());
    let context = Context::new();
    // What a process that was killed leaves.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let socket = pull(&context);
    socket.bind(&endpoint).unwrap();
    // A living one's is its own.
    let error = pull(&context).bind(&endpoint).unwrap_err();
    assert!(matches!(error, BindError::AddrInUse { .. }), "{error}");
    drop(socket);
    assert!(!path.exists(), "it goes with the socket");
    // A file that is no socket is somebody's.
    std::fs::write(&path, "precious").unwrap();
    let error = pull(&context).bind(&endpoint).unwrap_err();
    assert!(error.to_string().contains(&endpoint), "{error}");
    assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    std::fs::remove_file(&path).unwrap();
    // A directory that is closed to us; nothing is closed to root.
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o500)).unwrap();
    let inside = format!("{endpoint}/socket");
    // SAFETY: has no conditions.
    if unsafe { libc::geteuid() } != 0 {
        let error = pull(&context).bind(&inside).unwrap_err();
        assert_eq!(error.errno(), libc::EACCES, "{error}");
    }
    std::fs::remove_dir_all(&path).unwrap();
}

/// Every malformed endpoint: the error repeats it, says what is wrong, and what was expected.
#[test]
fn errors_about_endpoints_say_what_was_expected() {
    let long_path = format!("ipc://{}", "p".repeat(200));
    let long_name = format!("tcp://{}:1", "n".repeat(300));
    let malformed = [
        "",
        "127.0.0.1:5555",
        "tcp:/127.0.0.1:5555",
        "://x",
        "TCP://*:1",
        "http://x",
        "udp://127.0.0.1:1",
        "epgm://eth0;239.0.0.1:1",
        "tcp://",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://[::1]",
        "tcp://[::1]:",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:-1",
        "tcp://127.0.0.1:+1",
        "tcp://127.0.0.1:80/",
        "tcp://127.0.0.1:http",
        "tcp://:5555",
        "tcp://1.2.3.256:1",
        "tcp://[::g]:1",
        "tcp://[]:1",
        "tcp://[1.2.3.4]:1",
        "tcp://[fe80::1%]:1",
        "tcp://two words:1",
        "tcp://a/b:1",
        "tcp://[::1:1",
        &long_name,
        "ipc://",
        "ipc://@",
        "ipc://a\0b",
        &long_path,
        "inproc://",
    ];
    let context = Context::new();
    for kind in [SocketType::Pull, SocketType::Pub, SocketType::Router] {
        let socket = context.socket(kind).unwrap();
        for endpoint in malformed {
            let bind = match socket.bind(endpoint) {
                Err(BindError::Endpoint(error)) => error,
                other => panic!("bind {endpoint:?}: {other:?}"),
            };
            let connect = match socket.connect(endpoint) {
                Err(ConnectError::Endpoint(error)) => error,
                other => panic!("connect {endpoint:?}: {other:?}"),
            };
            for error in [&bind, &connect] {
                let text = error.to_string();
                let says = text.contains(&format!("{endpoint:?}")) && text.contains("expected");
                assert!(says, "{text}");
                assert_ne!(error.errno(), 0);
            }
        }
        // Those that only bind takes.
        for endpoint in ["tcp://*:5555", "tcp://127.0.0.1:*", "ipc://*"] {
            let error = socket.connect(endpoint).unwrap_err().to_string();
            assert!(error.contains(endpoint) && error.contains('*'), "{error}");
        }
        // And what no machine or program here has.
        for (endpoint, errno) in [
            ("tcp://192.0.2.1:5555", libc::EADDRNOTAVAIL),
            ("tcp://no-such-device:5555", libc::ENODEV),
            ("ipc:///no-such-directory/socket", libc::ENOENT),
        ] {
            let error = socket.bind(endpoint).unwrap_err();
            assert!(error.to_string().contains(endpoint), "{error}");
            assert_eq!(error.errno(), errno, "{error}");
        }
        let error = socket.unbind("inproc://never").unwrap_err();
        assert!(matches!(&error, UnbindError::NotBound { .. }), "{error}");
        assert!(error.to_string().contains("inproc://never"), "{error}");
    }
}

/// What a socket of one type, or in one state, cannot do: said in words and in libzmq's number.
#[test]
fn errors_about_states_say_what_was_expected() {
    let context = Context::new();
    let of = |kind| context.socket(kind).unwrap();
    let (req, rep) = (of(SocketType::Req), of(SocketType::Rep));
    let table: Vec<(String, i32, i32, &str)> = vec![
        told(req.try_recv().unwrap_err(), |e| e.errno(), oxmq::EFSM, "turn to send"),
        told(rep.try_send("x").unwrap_err(), |e| e.errno(), oxmq::EFSM, "turn to receive"),
        told(of(SocketType::Pull).send("x").unwrap_err(), |e| e.errno(), libc::ENOTSUP, "send"),
        told(of(SocketType::Push).recv().unwrap_err(), |e| e.errno(), libc::ENOTSUP, "receive"),
        told(of(SocketType::Pub).recv().unwrap_err(), |e| e.errno(), libc::ENOTSUP, "receive"),
        told(
            of(SocketType::Push).send_multipart([""; 0]).unwrap_err(),
            |e| e.errno(),
            libc::EINVAL,
            "at least one",
        ),
        told(of(SocketType::Pull).subscribe("x").unwrap_err(), |e| e.errno(), libc::EINVAL, "type"),
        told(of(SocketType::XPub).subscribe("x").unwrap_err(), |e| e.errno(), libc::EINVAL, "type"),
    ];
    for (text, errno, expected, says) in table {
        assert_eq!(errno, expected, "{text}");
        assert!(text.contains(says), "{text}: {says}");
    }
    // XPUB_MANUAL, before anything was heard.
    let xpub = of(SocketType::XPub);
    xpub.set(XPUB_MANUAL, true).unwrap();
    assert!(xpub.subscribe("x").is_err());
    // Options of what has ended.
    let closed = of(SocketType::Pull);
    closed.close();
    assert_eq!(closed.set(LINGER, 0), Err(OptionError::Closed));
    context.shutdown();
    assert_eq!(rep.set(LINGER, 0), Err(OptionError::Terminated));
}

fn told<E: std::error::Error>(
    error: E,
    errno: fn(&E) -> i32,
    expected: i32,
    says: &str,
) -> (String, i32, i32, &str) {
    (error.to_string(), errno(&error), expected, says)
}

/// Its number, what it is, and the files and names of tests.
type Complaint = (u32, &'static str, &'static [(&'static str, &'static str)]);

/// The complaints that apply, as the field notes number them, and the tests of ours against each.
const COMPLAINTS: [Complaint; 19] = [
    (
        1,
        "the process aborts",
        &[
            ("bad_input", "inputs_that_broke_others"),
            ("fork", "a_child_gets_errors_and_its_parent_no_harm"),
        ],
    ),
    (
        2,
        "termination hangs, or loses messages",
        &[
            ("eterm", "receives_end"),
            ("closing", "term_returns_when_the_waiters_have_closed"),
            ("errors", "term_waits_for_what_lingers"),
            ("patterns", "closing_lingers_until_the_peer_has_it_all"),
        ],
    ),
    (
        4,
        "messages are dropped silently",
        &[
            ("dropped", "full_peers_of_a_publisher"),
            ("monitor", "messages_that_are_dropped_are_told_once_a_burst"),
            ("mute_state", "pub_drops"),
        ],
    ),
    (5, "slow joiners", &[("patterns", "publishers_reach_who_subscribed"), ("rfc29", "publish")]),
    (
        6,
        "memory grows",
        &[
            ("closing", "nothing_is_left_behind"),
            ("bad_input", "inputs_that_broke_others"),
            ("kills", "killed_peers_cost_one_run_each"),
        ],
    ),
    (
        7,
        "the monitor does not say which peer",
        &[("monitor", "the_life_of_a_connection_seen_from_both_ends")],
    ),
    (
        8,
        "sockets are not thread-safe",
        &[
            ("closing", "many_senders_share_a_socket"),
            ("closing", "many_receivers_get_every_message_once"),
        ],
    ),
    (
        10,
        "CURVE and ZAP cannot be diagnosed",
        &[
            ("security", "a_refusal_is_told_to_both_sides"),
            ("security", "without_a_handler_the_option_decides"),
            ("security", "a_wrong_reply_lets_nobody_in"),
            ("security", "mechanisms_do_not_mix"),
            ("security", "wrong_keys_open_nothing"),
        ],
    ),
    (12, "look-ups of names stall", &[("monitor", "a_name_that_nobody_has")]),
    (
        13,
        "half-open peers",
        &[
            ("heartbeats", "a_silent_peer_is_disconnected"),
            ("errors", "who_says_nothing_is_disconnected"),
        ],
    ),
    (
        14,
        "reconnecting",
        &[
            ("errors", "without_reconnecting_a_lost_peer_stays_lost"),
            ("bad_input", "reconnecting_may_follow_at_once"),
            ("heartbeats", "the_delays_between_attempts_double"),
        ],
    ),
    (16, "fork", &[("fork", "a_child_gets_errors_and_its_parent_no_harm")]),
    (
        17,
        "identities clash silently",
        &[
            ("routing", "a_second_peer_of_the_same_name_is_refused"),
            ("monitor", "an_identity_that_another_peer_bears"),
            ("bad_input", "a_mandatory_send_ends_with_its_peer"),
        ],
    ),
    (20, "polling many sockets costs", &[("poller", "few_or_many_sockets_wake_the_thread")]),
    (21, "descriptors run out", &[("monitor", "descriptors_that_run_out")]),
    (22, "CONFLATE breaks multiparts", &[("conflate", "multiparts_stay_whole")]),
    (
        23,
        "stale ipc files, and their permissions",
        &[("bad_input", "ipc_files_are_taken_over_when_stale_and_spared_when_not")],
    ),
    (24, "IPv6", &[("bad_input", "ipv6_is_used_when_it_is_on_and_refused_by_name_when_not")]),
    (
        25,
        "a REQ locks up after a lost reply",
        &[("request", "a_lost_reply_does_not_stop_a_relaxed_request")],
    ),
];

#[test]
fn each_complaint_has_a_test() {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    for (number, complaint, tests) in COMPLAINTS {
        assert!(!tests.is_empty(), "{number}, {complaint}");
        for (file, test) in tests {
            let text = std::fs::read_to_string(directory.join(format!("{file}.rs"))).unwrap();
            assert!(text.contains(&format!("fn {test}")), "{number}, {complaint}: {file}::{test}");
        }
    }
}
