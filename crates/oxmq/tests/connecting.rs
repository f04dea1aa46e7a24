//! Connecting and binding: when it is given up, where it comes from, and who is let in.

mod support;

use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use oxmq::monitor::EventKind;
use oxmq::{
    BindError, Context, DropReason, EndpointErrorKind, Pull, Push, RecvError, Reply, SendErrorKind,
    Socket, SocketType, UnbindError, WaitError, option,
};

use support::raw::{self, RawListener, RawPeer, int_option};
use support::{LONG, endpoints, fresh_name};

/// How long to wait for what must not come.
const SHORT: Duration = Duration::from_millis(100);

/// An endpoint of the same transport where nobody listens.
fn deserted(endpoint: &str) -> String {
    Pull::new(&Context::new()).unwrap().bind(endpoint).unwrap()
}

fn push_to(context: &Context, endpoint: &str, set: impl Fn(&Push)) -> Push {
    let push = Push::new(context).unwrap();
    set(&push);
    push.connect(endpoint).unwrap();
    push
}

/// Waits until the socket has given its endpoint up. Nobody is told of that: it is looked at.
fn wait_until_given_up(socket: &Socket, endpoint: &str) {
    while !socket.statistics().pipes.is_empty() {
        thread::yield_now();
    }
    assert!(matches!(socket.disconnect(endpoint), Err(UnbindError::NotBound { .. })));
}

fn carries(push: &Push, pull: &Pull) {
    push.send("hello").unwrap();
    assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"hello");
}

/// Also while peers are just being accepted.
#[test]
fn an_endpoint_is_free_once_its_socket_is_closed() {
    for endpoint in endpoints() {
        let context = Context::new();
        let actual = deserted(&endpoint);
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let _ends = Ends(&done);
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    drop(RawPeer::try_connect(&actual));
                }
            });
            for round in 0..100 {
                let pull = Pull::new(&context).unwrap();
                let events = pull.monitor();
                let bound = pull.bind(&actual);
                assert!(bound.is_ok(), "{endpoint}, round {round}: {bound:?}");
                while events.recv_timeout(LONG).unwrap().kind != EventKind::Accepted {}
                pull.close();
                if let Some(path) = actual.strip_prefix("ipc:///") {
                    assert!(!std::path::Path::new("/").join(path).exists(), "round {round}");
                }
            }
        });
    }
}

/// However an ipc endpoint ends, what another has put at its path by then is not removed.
#[test]
fn a_listener_that_ends_leaves_the_files_of_others() {
    let ends: [fn(&Context, Pull, &str); 3] = [
        |_, pull, bound| pull.unbind(bound).unwrap(),
        |_, pull, _| pull.close(),
        |context, pull, _| {
            drop(pull);
            context.term().unwrap();
        },
    ];
    let path = std::env::temp_dir().join(fresh_name());
    let endpoint = format!("ipc://{}", path.display());
    for end in ends {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        let events = pull.monitor();
        let bound = pull.bind(&endpoint).unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        end(&context, pull, &bound);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert_eq!(events.recv_timeout(LONG).unwrap().kind, EventKind::Listening);
        assert_eq!(events.recv_timeout(LONG).unwrap().kind, EventKind::Closed);
        std::fs::remove_file(&path).unwrap();
    }
    // Nor another's endpoint there, which goes on.
    let context = Context::new();
    let [first, second] = [(); 2].map(|()| Pull::new(&context).unwrap());
    first.bind(&endpoint).unwrap();
    std::fs::remove_file(&path).unwrap();
    second.bind(&endpoint).unwrap();
    first.close();
    let push = Push::new(&context).unwrap();
    push.connect(&endpoint).unwrap();
    push.send("reaches the second").unwrap();
    assert_eq!(&second.recv_timeout(LONG).unwrap()[..], b"reaches the second");
    second.close();
    assert!(!path.exists());
}

/// Set at the end, however the test ends.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn without_reconnecting_the_first_refusal_is_the_last() {
    for endpoint in endpoints() {
        for (ivl, stop) in [(-1, 0), (1, 1), (1, 3)] {
            let endpoint = deserted(&endpoint);
            let context = Context::new();
            let push = Push::new(&context).unwrap();
            push.set(option::RECONNECT_IVL, ivl).unwrap();
            push.set(option::RECONNECT_STOP, stop).unwrap();
            push.connect(&endpoint).unwrap();
            let sent = push.try_send("lost").is_ok();
            wait_until_given_up(push.as_ref(), &endpoint);
            assert_eq!(push.statistics().dropped.of(DropReason::Disconnected), u64::from(sent));
            assert_eq!(push.try_send("nobody").unwrap_err().kind(), SendErrorKind::Again);
            let pull = Pull::new(&context).unwrap();
            pull.bind(&endpoint).unwrap();
            let waited = pull.wait_for_peers(1, Some(SHORT));
            assert_eq!(waited.unwrap_err(), WaitError::TimedOut, "{endpoint}");
            // The socket is as good as new.
            push.connect(&endpoint).unwrap();
            carries(&push, &pull);
        }
    }
}

#[test]
fn an_endpoint_given_up_does_not_hold_up_the_end() {
    for endpoint in endpoints() {
        let endpoint = deserted(&endpoint);
        let context = Context::new();
        let push =
            push_to(&context, &endpoint, |push| push.set(option::RECONNECT_IVL, -1).unwrap());
        let _ = push.try_send("lost");
        drop(push);
        context.term_timeout(LONG).unwrap();

        let context = Context::new();
        let push =
            push_to(&context, &endpoint, |push| push.set(option::RECONNECT_STOP, 4).unwrap());
        push.send("lost").unwrap();
        push.disconnect(&endpoint).unwrap();
        drop(push);
        context.term_timeout(LONG).unwrap();
    }
}

#[test]
fn reconnecting_at_once_finds_a_server_that_comes_late() {
    for endpoint in endpoints() {
        let endpoint = deserted(&endpoint);
        let context = Context::new();
        let push = push_to(&context, &endpoint, |push| push.set(option::RECONNECT_IVL, 0).unwrap());
        while push.as_ref().last_failure().is_none() {
            thread::yield_now();
        }
        let pull = Pull::new(&context).unwrap();
        pull.bind(&endpoint).unwrap();
        carries(&push, &pull);
    }
}

#[test]
fn a_failed_handshake_ends_the_attempts_if_told_to() {
    for stop in [0, 1, 2] {
        for endpoint in endpoints() {
            let (listener, endpoint) = RawListener::bind(&endpoint);
            let context = Context::new();
            let push = push_to(&context, &endpoint, |push| {
                push.set(option::RECONNECT_IVL, 1).unwrap();
                push.set(option::RECONNECT_STOP, stop).unwrap();
            });
            let mut peer = listener.accept();
            peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            if stop == 2 {
                wait_until_given_up(push.as_ref(), &endpoint);
                continue;
            }
            listener.accept().shake_hands("PULL", "PUSH");
            // Neither ends them when a connection that stood has gone.
            listener.accept();
        }
    }
}

#[test]
fn a_connection_comes_from_where_it_is_told_to() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let bound = pull.bind("tcp://127.0.0.1:*").unwrap();
    let address = bound.strip_prefix("tcp://").unwrap();
    let free = deserted("tcp://127.0.0.3:*");
    let port = free.rsplit(':').next().unwrap();
    for (source, expected) in [
        ("127.0.0.2:0".to_owned(), "tcp://127.0.0.2:".to_owned()),
        ("127.0.0.2:*".to_owned(), "tcp://127.0.0.2:".to_owned()),
        ("lo:*".to_owned(), "tcp://127.0.0.1:".to_owned()),
        (format!("127.0.0.3:{port}"), free.clone()),
    ] {
        let endpoint = format!("tcp://{source};{address}");
        let push = push_to(&context, &endpoint, |_| ());
        carries(&push, &pull);
        let pipes = pull.statistics().pipes;
        let remotes: Vec<_> =
            pipes.iter().filter_map(|pipe| pipe.connection.remote.clone()).collect();
        assert!(remotes.iter().any(|remote| remote.starts_with(&expected)), "{remotes:?}");
        push.disconnect(&endpoint).unwrap();
    }
    // There is no such address here: it is tried again and again.
    let push = push_to(&context, &format!("tcp://192.0.2.1:0;{address}"), |_| ());
    while push.as_ref().last_failure().is_none() {
        thread::yield_now();
    }
    match pull.bind("tcp://127.0.0.2:0;127.0.0.1:*").unwrap_err() {
        BindError::Endpoint(error) => assert_eq!(error.kind(), EndpointErrorKind::Source),
        error => panic!("{error}"),
    }
}

/// `localhost` has an address of each kind, or only one; each of them is found.
#[test]
fn all_addresses_of_a_name_are_tried() {
    for address in ["127.0.0.1", "[::1]"] {
        let context = Context::new();
        context.set_ipv6(true);
        let pull = Pull::new(&context).unwrap();
        assert!(pull.get(option::IPV6) && !pull.get(option::IPV4ONLY));
        let Ok(bound) = pull.bind(&format!("tcp://{address}:*")) else {
            assert_eq!(address, "[::1]", "only IPv6 may be missing");
            continue;
        };
        carries(&push_to(&context, &bound, |_| ()), &pull);
        if address == "[::1]" && !std::fs::read_to_string("/etc/hosts").unwrap().contains("::1") {
            continue;
        }
        let port = bound.rsplit(':').next().unwrap();
        let push = push_to(&context, &format!("tcp://localhost:{port}"), |push| {
            push.set(option::RECONNECT_STOP, 1).unwrap();
        });
        carries(&push, &pull);
    }
}

#[test]
fn an_interface_is_bound_by_its_name() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let bound = pull.bind("tcp://lo:*").unwrap();
    assert!(bound.starts_with("tcp://127.0.0.1:"), "{bound}");
    carries(&push_to(&context, &bound, |_| ()), &pull);
}

#[test]
fn filters_let_in_whom_they_name() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    pull.set(option::TCP_ACCEPT_FILTER, "127.0.0.2, 10.0.0.0/8".to_owned()).unwrap();
    let bound = pull.bind("tcp://127.0.0.1:*").unwrap();
    assert!(RawPeer::connect(&bound).ends());
    let failure = pull.as_ref().last_failure().unwrap();
    assert!(failure.contains("a peer that the filters do not admit"), "{failure}");
    let endpoint = format!("tcp://127.0.0.2:0;{}", &bound["tcp://".len()..]);
    carries(&push_to(&context, &endpoint, |_| ()), &pull);
}

#[test]
fn filters_know_who_connects_over_ipc() {
    // SAFETY: cannot fail, and touches no memory.
    let (uid, gid) = unsafe { (libc::getuid(), libc::getgid()) };
    let pid = std::process::id();
    for (option, own) in [
        (option::IPC_FILTER_UID, uid),
        (option::IPC_FILTER_GID, gid),
        (option::IPC_FILTER_PID, pid),
    ] {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        pull.set(option, "4000000000".to_owned()).unwrap();
        let bound = pull.bind(&format!("ipc://@{}", fresh_name())).unwrap();
        assert!(RawPeer::connect(&bound).ends(), "{option:?}");
        pull.set(option, format!("4000000000,{own}")).unwrap();
        let bound = pull.bind(&format!("ipc://@{}", fresh_name())).unwrap();
        carries(&push_to(&context, &bound, |_| ()), &pull);
    }
}

#[test]
fn a_descriptor_that_listens_is_taken_over() {
    let context = Context::new();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let path = format!("{}/{}", std::env::temp_dir().display(), fresh_name());
    let ipc = UnixListener::bind(&path).unwrap();
    let at = format!("tcp://{}", tcp.local_addr().unwrap());
    for (fd, given, expected) in
        [(tcp.as_raw_fd(), "tcp://*:*", at), (ipc.as_raw_fd(), "ipc://*", format!("ipc://{path}"))]
    {
        for _ in 0..2 {
            let pull = Pull::new(&context).unwrap();
            pull.set(option::USE_FD, fd).unwrap();
            assert_eq!(pull.bind(given).unwrap(), expected);
            carries(&push_to(&context, &expected, |_| ()), &pull);
            // The descriptor is still its owner's: the next one may have it.
            pull.unbind(&expected).unwrap();
        }
    }
    assert!(std::fs::remove_file(&path).is_ok());

    let pull = Pull::new(&context).unwrap();
    let (connected, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    for fd in [connected.as_raw_fd(), 1_000_000] {
        pull.set(option::USE_FD, fd).unwrap();
        assert!(matches!(pull.bind("tcp://*:*"), Err(BindError::System { .. })));
    }
}

#[test]
fn options_of_descriptors_reach_them() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    pull.set(option::PRIORITY, 3).unwrap();
    pull.set(option::TCP_MAXRT, 5000).unwrap();
    pull.set(option::TOS, 0x10).unwrap();
    let bound = pull.bind("tcp://127.0.0.1:*").unwrap();
    let (listener, endpoint) = RawListener::bind("tcp://127.0.0.1:*");
    pull.connect(&endpoint).unwrap();
    // One that connected, and one that was connected to.
    let mut peers = [RawPeer::connect(&bound), listener.accept()];
    for peer in &mut peers {
        // It greets when it is set up.
        peer.send(&raw::GREETING_3_0);
        peer.expect(&raw::GREETING_OURS);
        let theirs = raw::other_end(peer.stream.as_raw_fd()).unwrap();
        assert_eq!(int_option(theirs, libc::SOL_SOCKET, libc::SO_PRIORITY), 3);
        assert_eq!(int_option(theirs, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT), 5000);
    }
}

#[test]
fn a_device_that_is_not_there_is_an_error() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    pull.set(option::BINDTODEVICE, "oxmq-none".to_owned()).unwrap();
    assert!(matches!(pull.bind("tcp://127.0.0.1:*"), Err(BindError::System { .. })));
    pull.set(option::BINDTODEVICE, "lo".to_owned()).unwrap();
    let bound = pull.bind("tcp://127.0.0.1:*").unwrap();
    let push = push_to(&context, &bound, |push| {
        push.set(option::BINDTODEVICE, "lo".to_owned()).unwrap();
    });
    carries(&push, &pull);
}

#[test]
fn the_context_says_what_new_sockets_are_like() {
    let context = Context::new();
    let before = Push::new(&context).unwrap();
    context.set_blocky(false);
    context.set_max_sockets(2);
    let after = Push::new(&context).unwrap();
    assert_eq!((before.get(option::LINGER), after.get(option::LINGER)), (-1, 0));
    assert!(Push::new(&context).is_err());
    drop(before);
    assert!(Push::new(&context).is_ok());
}

#[test]
fn threads_that_are_not_there_serve_nobody() {
    let context = Context::new();
    context.set_io_threads(2);
    let pull = Pull::new(&context).unwrap();
    pull.set(option::AFFINITY, 4).unwrap();
    let refused = pull.bind("tcp://127.0.0.1:*").unwrap_err();
    assert!(refused.to_string().contains("AFFINITY"), "{refused}");
    pull.set(option::AFFINITY, 6).unwrap();
    let bound = pull.bind("tcp://127.0.0.1:*").unwrap();
    let push = push_to(&context, &bound, |push| push.set(option::AFFINITY, 1).unwrap());
    carries(&push, &pull);
    assert_eq!(pull.try_recv(), Err(RecvError::Again));
}

/// A REP gets a new pipe with each connection. One that is lost between the beginning of `term` and
/// the closing of the socket must not take the session with it.
#[test]
fn a_connection_lost_while_the_context_ends_does_not_hold_up_the_end() {
    for endpoint in endpoints() {
        let (listener, endpoint) = RawListener::bind(&endpoint);
        let context = Context::new();
        let reply = Reply::new(&context).unwrap();
        reply.set(option::RECONNECT_IVL, 1).unwrap();
        reply.connect(&endpoint).unwrap();
        let mut first = listener.accept();
        first.shake_hands("REQ", "REP");
        reply.wait_for_peers(1, Some(LONG)).unwrap();
        context.shutdown();
        drop(first);
        drop(listener.accept());
        drop(reply);
        context.term_timeout(LONG).unwrap();
    }
}

/// How many connections stand when a peer has come to the end of both `connects`.
fn connections(
    kinds: [SocketType; 2],
    endpoint: &str,
    connects: impl Fn(&Socket, &str),
) -> (Socket, Socket, usize) {
    let context = Context::new();
    let [bound, connected] = kinds.map(|kind| context.socket(kind).unwrap());
    let endpoint = bound.bind(endpoint).unwrap();
    connects(&connected, &endpoint);
    let pipes = connected.statistics().pipes.len();
    bound.wait_for_peers(pipes, Some(LONG)).unwrap();
    (bound, connected, pipes)
}

#[test]
fn connecting_twice_to_an_endpoint_makes_one_connection_where_two_make_no_sense() {
    let twice = |socket: &Socket, endpoint: &str| {
        socket.connect(endpoint).unwrap();
        socket.connect(endpoint).unwrap();
        assert_eq!(socket.last_endpoint(), endpoint);
    };
    for (kinds, expected) in [
        ([SocketType::XPub, SocketType::Sub], 1),
        ([SocketType::XSub, SocketType::Pub], 1),
        ([SocketType::Router, SocketType::Dealer], 1),
        ([SocketType::Router, SocketType::Req], 1),
        ([SocketType::XPub, SocketType::XSub], 2),
        ([SocketType::XSub, SocketType::XPub], 2),
        ([SocketType::Pull, SocketType::Push], 2),
        ([SocketType::Push, SocketType::Pull], 2),
        ([SocketType::Dealer, SocketType::Rep], 2),
        ([SocketType::Router, SocketType::Router], 2),
        ([SocketType::Server, SocketType::Client], 2),
    ] {
        for endpoint in endpoints() {
            let (_bound, _connected, pipes) = connections(kinds, &endpoint, twice);
            assert_eq!(pipes, expected, "{kinds:?} over {endpoint}");
        }
        // The rule is not for inproc.
        let inproc = format!("inproc://{}", fresh_name());
        assert_eq!(connections(kinds, &inproc, twice).2, 2, "{kinds:?}");
    }
}

#[test]
fn the_text_of_an_endpoint_says_whether_it_is_connected_to() {
    let context = Context::new();
    let kinds = [SocketType::Router, SocketType::Dealer];
    let (_bound, dealer, pipes) = connections(kinds, "tcp://127.0.0.1:*", |dealer, endpoint| {
        let port = endpoint.rsplit(':').next().unwrap();
        dealer.connect(endpoint).unwrap();
        dealer.connect(&format!("tcp://127.0.0.1:0{port}")).unwrap();
        dealer.connect(&format!("tcp://127.0.0.2:0;127.0.0.1:{port}")).unwrap();
    });
    assert_eq!(pipes, 3);

    // Connecting counts again when the first connection is no more: it was ended, or given up.
    let endpoint = dealer.last_endpoint();
    dealer.disconnect(&endpoint).unwrap();
    assert_eq!(dealer.statistics().pipes.len(), 2);
    dealer.connect(&endpoint).unwrap();
    assert_eq!(dealer.statistics().pipes.len(), 3);
    assert!(dealer.disconnect(&endpoint).is_ok() && dealer.disconnect(&endpoint).is_err());
    for endpoint in endpoints() {
        let endpoint = deserted(&endpoint);
        let dealer = context.socket(SocketType::Dealer).unwrap();
        dealer.set(option::RECONNECT_IVL, -1).unwrap();
        dealer.connect(&endpoint).unwrap();
        wait_until_given_up(&dealer, &endpoint);
        let router = context.socket(SocketType::Router).unwrap();
        router.bind(&endpoint).unwrap();
        dealer.connect(&endpoint).unwrap();
        dealer.wait_for_peers(1, Some(LONG)).unwrap();
    }
}

#[test]
fn what_is_published_comes_once_and_a_name_is_borne_by_one_connection() {
    for endpoint in endpoints() {
        let (router, dealer, _) =
            connections([SocketType::Router, SocketType::Dealer], &endpoint, |dealer, endpoint| {
                dealer.set(option::ROUTING_ID, b"first".to_vec()).unwrap();
                dealer.connect(endpoint).unwrap();
                dealer.set(option::ROUTING_ID, b"second".to_vec()).unwrap();
                dealer.connect(endpoint).unwrap();
            });
        for number in 0..6_u8 {
            dealer.send(&[number]).unwrap();
            assert_eq!(&router.recv_timeout(LONG).unwrap()[..], b"first");
            assert_eq!(router.recv_timeout(LONG).unwrap()[..], [number]);
        }
        // The path is free again.
        drop((router, dealer));
        let (publisher, subscriber, _) =
            connections([SocketType::XPub, SocketType::Sub], &endpoint, |subscriber, endpoint| {
                subscriber.subscribe("").unwrap();
                subscriber.connect(endpoint).unwrap();
                subscriber.connect(endpoint).unwrap();
            });
        assert_eq!(&publisher.recv_timeout(LONG).unwrap()[..], b"\x01");
        publisher.send("once").unwrap();
        publisher.send("last").unwrap();
        assert_eq!(&subscriber.recv_timeout(LONG).unwrap()[..], b"once");
        assert_eq!(&subscriber.recv_timeout(LONG).unwrap()[..], b"last");
    }
}

/// Each comes from an address of its own, by which it is known.
#[test]
fn connections_come_in_the_order_of_their_connects() {
    const SOCKETS: u8 = 60;
    for _ in 0..10 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let context = Context::new();
        let mut pushes: Vec<Push> = Vec::new();
        for number in 1..=SOCKETS {
            // Several of one socket, and of several sockets.
            if number % 3 == 1 {
                pushes.push(Push::new(&context).unwrap());
            }
            let host = if number % 5 == 0 { "127.0.0.1" } else { "localhost" };
            let endpoint = format!("tcp://127.0.1.{number}:0;{host}:{port}");
            pushes.last().unwrap().connect(&endpoint).unwrap();
        }
        for number in 1..=SOCKETS {
            let (_connection, from) = listener.accept().unwrap();
            assert_eq!(from.ip(), std::net::Ipv4Addr::new(127, 0, 1, number));
        }
    }
}
