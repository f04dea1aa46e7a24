//! STREAM, and ROUTER with ROUTER_RAW: bare connections, over tcp and ipc, that either side makes.

mod support;

use std::collections::HashMap;
use std::thread;
use std::time::{Duration, Instant};

use oxmq::monitor::EventKind;
use oxmq::option::{
    CONNECT_ROUTING_ID, DISCONNECT_MSG, HANDSHAKE_IVL, HEARTBEAT_IVL, HELLO_MSG, IMMEDIATE, LINGER,
    MAXMSGSIZE, PROBE_ROUTER, RCVBUF, RCVHWM, RECONNECT_IVL, RECONNECT_STOP, ROUTER_MANDATORY,
    ROUTER_RAW, ROUTING_ID, SNDBUF, SNDHWM, SNDTIMEO, STREAM_NOTIFY,
};
use oxmq::{
    Context, DropReason, Events, Message, Pull, RecvError, Router, SendErrorKind, Socket, Stream,
};

use support::libzmq::{self, LibContext};
use support::raw::{self, RawListener, RawPeer};
use support::{LONG, body, endpoints};

/// A socket whose connections are raw, with `routing id, data` to be received next.
fn next(socket: &Socket) -> (Vec<u8>, Vec<u8>) {
    let name = socket.recv_timeout(LONG).unwrap();
    assert!(name.more());
    let data = socket.try_recv().unwrap();
    assert!(!data.more());
    (name.to_vec(), data.to_vec())
}

/// The next connection, which has just come.
fn next_connection(socket: &Socket) -> Vec<u8> {
    let (name, data) = next(socket);
    assert_eq!((name.len(), name[0]), (5, 0));
    assert_eq!(data, b"");
    name
}

/// So many bytes from this connection, in whatever pieces they come.
fn gather(socket: &Socket, name: &[u8], bytes: usize) -> Vec<u8> {
    let mut all = Vec::new();
    while all.len() < bytes {
        let (from, data) = next(socket);
        assert_eq!(from, name);
        assert!(!data.is_empty(), "the connection has ended after {} bytes", all.len());
        all.extend(data);
    }
    all
}

/// The socket is told of the end of this connection, and of nothing else.
fn expect_end(socket: &Socket, name: &[u8]) {
    assert_eq!(next(socket), (name.to_vec(), Vec::new()));
}

fn expect_nothing(socket: &Socket) {
    assert_eq!(socket.try_recv().unwrap_err(), RecvError::Again);
}

fn send(socket: &Socket, name: &[u8], data: impl Into<Message>) {
    socket.send_multipart([Message::from(name), data.into()]).unwrap();
}

fn wait_for(what: &str, reached: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !reached() {
        assert!(Instant::now() < end, "{what}");
        thread::yield_now();
    }
}

/// Closes the connection with a reset.
fn reset(peer: RawPeer) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let data: *const libc::linger = &linger;
    // SAFETY: `linger` is what SO_LINGER takes.
    let set = unsafe {
        libc::setsockopt(
            peer.stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            data.cast(),
            size_of_val(&linger) as u32,
        )
    };
    assert_eq!(set, 0);
}

/// Both types with raw connections.
fn raw_sockets(context: &Context) -> [Socket; 2] {
    let router = Router::new(context).unwrap();
    router.set(ROUTER_RAW, true).unwrap();
    [Stream::new(context).unwrap().into(), router.into()]
}

#[test]
fn bytes_go_both_ways_over_connections_accepted() {
    for endpoint in endpoints() {
        let context = Context::new();
        for socket in raw_sockets(&context) {
            let actual = socket.bind(&endpoint).unwrap();
            let mut peers: HashMap<Vec<u8>, RawPeer> = HashMap::new();
            for _ in 0..3 {
                let peer = RawPeer::connect(&actual);
                peers.insert(next_connection(&socket), peer);
            }
            assert_eq!(peers.len(), 3);
            for (name, peer) in &mut peers {
                peer.send(b"question");
                assert_eq!(gather(&socket, name, 8), b"question");
                send(&socket, name, "answer");
                peer.expect(b"answer");
            }
            for (name, peer) in peers {
                drop(peer);
                expect_end(&socket, &name);
                let gone = [Message::from(&name), Message::from("late")];
                wait_for("the routing id stays", || {
                    expect_nothing(&socket);
                    socket.statistics().pipes.iter().all(|pipe| pipe.identity != name)
                });
                match socket.try_send_multipart(gone) {
                    Ok(()) => assert_eq!(socket.kind(), oxmq::SocketType::Router),
                    Err(error) => assert_eq!(error.kind(), SendErrorKind::HostUnreachable),
                }
            }
            expect_nothing(&socket);
            socket.unbind(&actual).unwrap();
        }
    }
}

/// However short: who waits for the socket may come to read from them before anybody else.
#[test]
fn every_connection_is_told_of() {
    let context = Context::new();
    for socket in raw_sockets(&context) {
        for endpoint in endpoints() {
            let actual = socket.bind(&endpoint).unwrap();
            for number in 0..1500 {
                let mut peer = RawPeer::connect(&actual);
                if number % 2 == 0 {
                    peer.send(b"x");
                }
                drop(peer);
                let name = next_connection(&socket);
                if number % 2 == 0 {
                    assert_eq!(gather(&socket, &name, 1), b"x");
                }
                expect_end(&socket, &name);
            }
            socket.unbind(&actual).unwrap();
        }
    }
}

#[test]
fn bytes_go_both_ways_over_connections_made() {
    for endpoint in endpoints() {
        let context = Context::new();
        for socket in raw_sockets(&context) {
            let (listener, actual) = RawListener::bind(&endpoint);
            socket.connect(&actual).unwrap();
            // The name is known at once, and what is sent before there is a connection waits for it.
            let stream = socket.kind() == oxmq::SocketType::Stream;
            let early = stream.then(|| socket.get(ROUTING_ID));
            if let Some(name) = &early {
                send(&socket, name, "early ");
            }
            let mut peer = listener.accept();
            let name = next_connection(&socket);
            assert_eq!(early.unwrap_or(name.clone()), name);
            send(&socket, &name, "question");
            peer.expect(if stream { b"early question" } else { b"question" });
            peer.send(b"answer");
            assert_eq!(gather(&socket, &name, 6), b"answer");
            drop(peer);
            expect_end(&socket, &name);
            // As libzmq: the endpoint is connected to again, under the same name.
            let mut peer = listener.accept();
            assert_eq!(next_connection(&socket), name);
            send(&socket, &name, "once more");
            peer.expect(b"once more");
            socket.disconnect(&actual).unwrap();
            assert!(peer.ends());
            expect_nothing(&socket);
            let late = socket.try_send_multipart([&name[..], b"late"]);
            assert_eq!(late.is_err(), stream);
            if let (RawListener::Ipc(_), Some(path)) = (&listener, actual.strip_prefix("ipc:///")) {
                std::fs::remove_file(format!("/{path}")).unwrap();
            }
        }
    }
}

#[test]
fn an_empty_part_closes_the_connection_behind_what_was_sent() {
    const BYTES: usize = 3 << 20;
    for endpoint in endpoints() {
        let context = Context::new();
        for socket in raw_sockets(&context) {
            let actual = socket.bind(&endpoint).unwrap();
            let mut peer = RawPeer::connect(&actual);
            let name = next_connection(&socket);
            send(&socket, &name, body(BYTES));
            send(&socket, &name, "the end");
            // What comes meanwhile is for nobody, and harms nobody.
            peer.send(&body(100_000));
            send(&socket, &name, Message::new());
            let error = socket.try_send_multipart([&name[..], b"late"]).err();
            let stream = socket.kind() == oxmq::SocketType::Stream;
            assert_eq!(
                error.map(|error| error.kind()),
                stream.then_some(SendErrorKind::HostUnreachable)
            );
            let received = peer.read_to_end();
            assert_eq!(received.len(), BYTES + 7);
            assert!(received.starts_with(&body(BYTES)) && received.ends_with(b"the end"));
            expect_nothing(&socket);
            wait_for("the pipe stays", || socket.statistics().pipes.is_empty());
            socket.unbind(&actual).unwrap();
        }
    }
}

#[test]
fn an_endpoint_whose_connection_is_hung_up_is_left() {
    let context = Context::new();
    let stream = Stream::new(&context).unwrap();
    stream.set(RECONNECT_IVL, 1).unwrap();
    let (listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
    stream.connect(&actual).unwrap();
    let mut peer = listener.accept();
    let name = next_connection(stream.as_ref());
    stream.send(&name[..], "goodbye").unwrap();
    stream.hang_up(&name[..]).unwrap();
    assert_eq!(peer.read_to_end(), b"goodbye");
    drop(peer);
    wait_for("the endpoint stays", || stream.disconnect(&actual).is_err());
    assert!(!listener.has_connection());
    expect_nothing(stream.as_ref());
    // The same socket goes on with others, also where the pipe's place is taken anew.
    stream.connect(&actual).unwrap();
    let mut peer = listener.accept();
    let again = next_connection(stream.as_ref());
    assert_ne!(again, name);
    stream.send(again, "hello").unwrap();
    peer.expect(b"hello");
}

#[test]
fn a_peer_that_resets_is_told_of_and_harms_nobody() {
    let context = Context::new();
    for socket in raw_sockets(&context) {
        let actual = socket.bind("tcp://127.0.0.1:*").unwrap();
        let mut good = RawPeer::connect(&actual);
        let good_name = next_connection(&socket);
        for _ in 0..20 {
            let mut bad = RawPeer::connect(&actual);
            bad.send(b"last words");
            let name = next_connection(&socket);
            assert_eq!(gather(&socket, &name, 10), b"last words");
            reset(bad);
            expect_end(&socket, &name);
        }
        send(&socket, &good_name, "still here?");
        good.expect(b"still here?");
        let (listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
        socket.set(RECONNECT_IVL, 1).unwrap();
        socket.connect(&actual).unwrap();
        let mut names = Vec::new();
        for _ in 0..20 {
            let peer = listener.accept();
            names.push(next_connection(&socket));
            reset(peer);
            expect_end(&socket, &names[0]);
        }
        names.dedup();
        assert_eq!(names.len(), 1);
    }
}

#[test]
fn a_megabyte_each_way_at_once() {
    const BYTES: usize = 1 << 20;
    for endpoint in endpoints() {
        let context = Context::new();
        for socket in raw_sockets(&context) {
            let actual = socket.bind(&endpoint).unwrap();
            for pieces in [1, 7, 1000] {
                let mut peer = RawPeer::connect(&actual);
                let name = next_connection(&socket);
                let peer = thread::spawn(move || {
                    for piece in body(BYTES).chunks(BYTES / pieces) {
                        peer.send(piece);
                    }
                    let mut all = vec![0; BYTES];
                    peer.stream.read_exact(&mut all).unwrap();
                    (all, peer)
                });
                for piece in body(BYTES).chunks(BYTES / pieces) {
                    send(&socket, &name, piece);
                }
                assert!(gather(&socket, &name, BYTES) == body(BYTES), "{pieces}, {endpoint}");
                let (received, peer) = peer.join().unwrap();
                assert!(received == body(BYTES), "{pieces}, {endpoint}");
                drop(peer);
                expect_end(&socket, &name);
            }
            socket.unbind(&actual).unwrap();
        }
    }
}

/// libzmq's STREAM as the other side: it speaks nothing either.
#[test]
fn a_stream_of_libzmq_is_a_peer() {
    for we_bind in [false, true] {
        let (context, lib) = (Context::new(), LibContext::new());
        let ours = Stream::new(&context).unwrap();
        let theirs = lib.socket(libzmq::STREAM);
        if we_bind {
            theirs.connect(&ours.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        } else {
            ours.connect(&theirs.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        }
        let ours = ours.as_ref();
        let (name, their_name) = (next_connection(ours), theirs.recv().unwrap());
        assert_eq!(their_name[1], b"");
        assert_eq!(their_name[0].len(), name.len());
        if we_bind {
            assert_eq!(theirs.routing_id(), their_name[0]);
        }
        assert_eq!(ours.get(ROUTING_ID), name);
        let all = body(1 << 20);
        send(ours, &name, &all);
        let mut received = Vec::<u8>::new();
        while received.len() < all.len() {
            let parts = theirs.recv().unwrap();
            assert_eq!(parts[0], their_name[0]);
            received.extend(&parts[1]);
        }
        assert!(received == all);
        theirs.send(&[&their_name[0][..], &all]).unwrap();
        assert!(gather(ours, &name, all.len()) == all);
        if we_bind {
            send(ours, &name, "goodbye");
            send(ours, &name, Message::new());
            assert_eq!(theirs.recv().unwrap()[1], b"goodbye");
        } else {
            theirs.send(&[&their_name[0][..], b"goodbye"]).unwrap();
            theirs.send(&[&their_name[0][..], b""]).unwrap();
            assert_eq!(gather(ours, &name, 7), b"goodbye");
            wait_for("the connection stays", || {
                // libzmq closes it in the socket's next calls.
                theirs.process();
                ours.events().unwrap().intersects(Events::IN)
            });
            expect_end(ours, &name);
        }
    }
}

/// A peer of ZMTP, by hand: a DEALER of libzmq greets, and is greeted.
#[test]
fn what_speaks_zmtp_is_bytes_as_well() {
    let (context, lib) = (Context::new(), LibContext::new());
    let stream = Stream::new(&context).unwrap();
    let dealer = lib.socket(libzmq::DEALER);
    dealer.connect(&stream.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    let socket = stream.as_ref();
    let name = next_connection(socket);
    let first = gather(socket, &name, 10);
    assert!(first.starts_with(&raw::SIGNATURE[..1]));
    send(socket, &name, &raw::GREETING_3_0);
    let mut greeting = first;
    while greeting.len() < 64 {
        greeting.extend(gather(socket, &name, 1));
    }
    send(socket, &name, raw::ready("ROUTER", None));
    send(socket, &name, raw::frame(0, b"hello"));
    assert_eq!(dealer.recv().unwrap(), [b"hello"]);
    // And who speaks something else is sent away by a socket that does speak ZMTP.
    let pull = Pull::new(&context).unwrap();
    let client = Stream::new(&context).unwrap();
    client.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    let name = next_connection(client.as_ref());
    client.send(&name[..], "GET / HTTP/1.0\r\n\r\n").unwrap();
    wait_for("nobody hangs up", || next(client.as_ref()).1.is_empty());
}

#[test]
fn without_stream_notify_only_bytes_come() {
    let context = Context::new();
    let stream = Stream::new(&context).unwrap();
    stream.set(STREAM_NOTIFY, false).unwrap();
    let actual = stream.bind("tcp://127.0.0.1:*").unwrap();
    let mut peer = RawPeer::connect(&actual);
    stream.wait_for_peers(1, Some(LONG)).unwrap();
    expect_nothing(stream.as_ref());
    peer.send(b"bytes");
    assert_eq!(next(stream.as_ref()).1, b"bytes");
    drop(peer);
    wait_for("the pipe stays", || stream.statistics().pipes.is_empty());
    expect_nothing(stream.as_ref());
}

#[test]
fn a_name_may_be_given_to_who_is_connected_to() {
    let context = Context::new();
    for socket in raw_sockets(&context) {
        let (listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
        socket.set(CONNECT_ROUTING_ID, b"server".to_vec()).unwrap();
        socket.connect(&actual).unwrap();
        send(&socket, b"server", "hello");
        let mut peer = listener.accept();
        peer.expect(b"hello");
        assert_eq!(next(&socket), (b"server".to_vec(), Vec::new()));
        peer.send(b"world");
        assert_eq!(gather(&socket, b"server", 5), b"world");
        socket.set(CONNECT_ROUTING_ID, b"server".to_vec()).unwrap();
        let taken = socket.connect(&actual).unwrap_err();
        assert!(matches!(taken, oxmq::ConnectError::RoutingIdInUse), "{taken}");
        // The name is given once.
        socket.connect(&actual).unwrap();
        let _peer = listener.accept();
        next_connection(&socket);
    }
}

#[test]
fn routing_id_reads_as_the_name_last_made_up() {
    let context = Context::new();
    let stream = Stream::new(&context).unwrap();
    assert_eq!(stream.get(ROUTING_ID), b"");
    let (listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
    stream.connect(&actual).unwrap();
    let first = stream.get(ROUTING_ID);
    stream.connect(&actual).unwrap();
    let second = stream.get(ROUTING_ID);
    assert_ne!(first, second);
    let _peers = [listener.accept(), listener.accept()];
    let mut names = [next_connection(stream.as_ref()), next_connection(stream.as_ref())];
    names.sort_by_key(|name| *name == second);
    assert_eq!(names, [first, second.clone()]);
    stream.set(SNDHWM, 7).unwrap();
    assert_eq!(stream.get(ROUTING_ID), second);
    stream.set(ROUTING_ID, b"own".to_vec()).unwrap();
    assert_eq!(stream.get(ROUTING_ID), b"own");
}

#[test]
fn a_message_is_a_routing_id_and_one_part() {
    let context = Context::new();
    for socket in raw_sockets(&context) {
        let actual = socket.bind("tcp://127.0.0.1:*").unwrap();
        let mut peer = RawPeer::connect(&actual);
        let name = next_connection(&socket);
        for parts in [vec![&name[..]], vec![&name[..], b"a", b"b"], vec![b"", b"", b""]] {
            let given = parts.len();
            let error = socket.try_send_multipart(parts).unwrap_err();
            assert_eq!((error.kind(), error.errno()), (SendErrorKind::NotAPair, libc::EINVAL));
            assert_eq!(error.into_parts().len(), given);
        }
        // As libzmq: not refused, and for nobody.
        socket.send(name.clone()).unwrap();
        assert_eq!(socket.statistics().dropped.of(DropReason::Malformed), 1);
        send(&socket, &name, "whole");
        peer.expect(b"whole");
    }
}

/// What a connection that takes nothing is sent waits up to SNDHWM; then the sender does.
#[test]
fn who_reads_nothing_stops_the_sender_and_nobody_else() {
    const MARK: i32 = 5;
    for endpoint in endpoints() {
        let context = Context::new();
        for socket in raw_sockets(&context) {
            socket.set(ROUTER_MANDATORY, true).unwrap();
            socket.set(SNDHWM, MARK).unwrap();
            socket.set(SNDBUF, 8 << 10).unwrap();
            let actual = socket.bind(&endpoint).unwrap();
            let mut slow = RawPeer::connect_with(&actual, 16 << 10);
            let slow_name = next_connection(&socket);
            let mut good = RawPeer::connect(&actual);
            let good_name = next_connection(&socket);
            let piece = body(20_000);
            let mut sent = 0;
            socket.set(SNDTIMEO, 300).unwrap();
            let refused = loop {
                match socket.send_multipart([&slow_name[..], &piece]) {
                    Ok(()) => sent += 1,
                    Err(error) => break error,
                }
                assert!(sent < 1000, "{endpoint}");
            };
            assert_eq!(refused.kind(), SendErrorKind::Again);
            assert_eq!(refused.into_parts()[1].len(), piece.len());
            assert!(sent >= MARK, "{sent}");
            let error = socket.try_send_multipart([&slow_name[..], &piece]).unwrap_err();
            assert_eq!((error.kind(), error.errno()), (SendErrorKind::Again, libc::EAGAIN));
            assert!(socket.events().unwrap().intersects(Events::OUT), "for others");
            send(&socket, &good_name, "you are not concerned");
            good.expect(b"you are not concerned");
            // A sender that waits goes on when there is room.
            socket.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| send(&socket, &slow_name, "the last"));
                let mut all = vec![0; sent as usize * piece.len()];
                slow.stream.read_exact(&mut all).unwrap();
                assert!(all.chunks(piece.len()).all(|chunk| chunk == piece));
                slow.expect(b"the last");
            });
            socket.unbind(&actual).unwrap();
        }
    }
}

/// A full connection can be closed; it ends when its peer has read all, or with the socket.
#[test]
fn a_full_connection_can_be_hung_up() {
    for peer_reads in [true, false] {
        let context = Context::new();
        let stream = Stream::new(&context).unwrap();
        stream.set(SNDHWM, 3).unwrap();
        stream.set(SNDBUF, 8 << 10).unwrap();
        stream.set(LINGER, 0).unwrap();
        let actual = stream.bind("tcp://127.0.0.1:*").unwrap();
        let mut peer = RawPeer::connect_with(&actual, 16 << 10);
        let name = next_connection(stream.as_ref());
        let mut sent = 0;
        while stream.try_send(&name[..], body(100_000)).is_ok() {
            sent += 1;
        }
        stream.hang_up(&name[..]).unwrap();
        let again = stream.hang_up(name).unwrap_err();
        assert_eq!(again.kind(), SendErrorKind::HostUnreachable);
        if peer_reads {
            assert_eq!(peer.read_to_end().len(), sent * 100_000);
        }
        stream.close();
        context.term_timeout(LONG).unwrap();
    }
}

/// At RCVHWM nothing more is read: the peer is stopped by the system, and nothing is lost.
#[test]
fn who_sends_too_much_is_stopped() {
    const MARK: i32 = 4;
    let context = Context::new();
    for socket in raw_sockets(&context) {
        socket.set(RCVHWM, MARK).unwrap();
        socket.set(RCVBUF, 16 << 10).unwrap();
        let actual = socket.bind("tcp://127.0.0.1:*").unwrap();
        let mut peer = RawPeer::connect(&actual);
        let name = next_connection(&socket);
        peer.set_nonblocking();
        let mut sent = Vec::new();
        loop {
            let piece = body(10_000 + sent.len() % 7);
            match peer.stream.write(&piece) {
                Ok(bytes) => sent.extend(&piece[..bytes]),
                Err(error) => {
                    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
                    // It stays so once the socket reads nothing more.
                    let full = || {
                        let pipes = socket.statistics().pipes;
                        pipes.iter().map(|pipe| pipe.waiting_in).sum::<u64>() == MARK as u64
                    };
                    if full() && !peer.is_writable(Duration::from_millis(100)) {
                        break;
                    }
                }
            }
            assert!(sent.len() < 64 << 20, "nothing stops it");
        }
        // The end comes behind it all.
        drop(peer);
        assert!(gather(&socket, &name, sent.len()) == sent);
        expect_end(&socket, &name);
    }
}

/// What was read before the connection broke is received, beyond RCVHWM too.
#[test]
fn what_had_come_is_received_when_the_connection_breaks() {
    let context = Context::new();
    for socket in raw_sockets(&context) {
        socket.set(RCVHWM, 1).unwrap();
        let actual = socket.bind("tcp://127.0.0.1:*").unwrap();
        let mut peer = RawPeer::connect(&actual);
        let name = next_connection(&socket);
        peer.send(&body(20_000));
        wait_for("nobody reads", || {
            let waiting: u64 = socket.statistics().pipes.iter().map(|pipe| pipe.waiting_in).sum();
            waiting == 1 && peer.bytes_under_way() == 0
        });
        reset(peer);
        send(&socket, &name, "for nobody");
        assert!(gather(&socket, &name, 20_000) == body(20_000));
        expect_end(&socket, &name);
    }
}

#[test]
fn what_is_for_zmtp_does_not_concern_raw_connections() {
    let context = Context::new();
    for socket in raw_sockets(&context) {
        socket.set(MAXMSGSIZE, 3).unwrap();
        socket.set(HANDSHAKE_IVL, 1).unwrap();
        socket.set(HEARTBEAT_IVL, 1).unwrap();
        socket.set(PROBE_ROUTER, true).unwrap();
        let actual = socket.bind("tcp://127.0.0.1:*").unwrap();
        let mut peer = RawPeer::connect(&actual);
        let name = next_connection(&socket);
        for _ in 0..10 {
            peer.send(&body(5000));
            assert!(gather(&socket, &name, 5000) == body(5000));
        }
        send(&socket, &name, "nothing but this");
        peer.expect(b"nothing but this");
        send(&socket, &name, "");
        assert_eq!(peer.read_to_end(), b"");
        for error in [
            socket.bind("inproc://raw").unwrap_err().errno(),
            socket.connect("inproc://raw").unwrap_err().errno(),
        ] {
            assert_eq!(error, oxmq::ENOCOMPATPROTO);
        }
    }
}

#[test]
fn a_routers_own_messages_are_bytes_too() {
    let context = Context::new();
    let router = Router::new(&context).unwrap();
    router.set(ROUTER_RAW, true).unwrap();
    router.set(HELLO_MSG, b"welcome ".to_vec()).unwrap();
    router.set(DISCONNECT_MSG, b"gone".to_vec()).unwrap();
    let actual = router.bind("tcp://127.0.0.1:*").unwrap();
    let mut peer = RawPeer::connect(&actual);
    let name = next_connection(router.as_ref());
    send(router.as_ref(), &name, "back");
    peer.expect(b"welcome back");
    drop(peer);
    expect_end(router.as_ref(), &name);
    assert_eq!(next(router.as_ref()), (name, b"gone".to_vec()));
}

#[test]
fn immediate_and_reconnect_stop_are_heeded() {
    let context = Context::new();
    let stream = Stream::new(&context).unwrap();
    stream.set(IMMEDIATE, true).unwrap();
    stream.set(RECONNECT_IVL, 1).unwrap();
    let (listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
    stream.connect(&actual).unwrap();
    let mut peer = listener.accept();
    let name = next_connection(stream.as_ref());
    stream.send(&name[..], "hello").unwrap();
    peer.expect(b"hello");
    drop(peer);
    expect_end(stream.as_ref(), &name);
    let _peer = listener.accept();
    assert_eq!(next_connection(stream.as_ref()), name);

    // libzmq's STREAM takes the end of a connection for a handshake that failed (2).
    let stream = Stream::new(&context).unwrap();
    stream.set(RECONNECT_STOP, 2).unwrap();
    stream.set(RECONNECT_IVL, 1).unwrap();
    let (listener, actual) = RawListener::bind("tcp://127.0.0.1:*");
    stream.connect(&actual).unwrap();
    drop(listener.accept());
    let name = next_connection(stream.as_ref());
    expect_end(stream.as_ref(), &name);
    wait_for("the endpoint stays", || {
        expect_nothing(stream.as_ref());
        stream.statistics().pipes.is_empty()
    });
    assert!(stream.disconnect(&actual).is_err());
    assert!(!listener.has_connection());
}

/// Nobody listens, and then somebody does.
#[test]
fn who_is_not_there_is_not_told_of() {
    let context = Context::new();
    let stream = Stream::new(&context).unwrap();
    stream.set(RECONNECT_IVL, 1).unwrap();
    let monitor = stream.monitor();
    let endpoint = format!("ipc://@{}", support::fresh_name());
    stream.connect(&endpoint).unwrap();
    stream.send(stream.get(ROUTING_ID), "for whoever comes").unwrap();
    for _ in 0..3 {
        while monitor.recv_timeout(LONG).unwrap().kind.name() != "CONNECT_RETRIED" {}
    }
    expect_nothing(stream.as_ref());
    let (listener, _) = RawListener::bind(&endpoint);
    listener.accept().expect(b"for whoever comes");
    next_connection(stream.as_ref());
}

#[test]
fn monitors_tell_of_connections_without_handshakes() {
    let context = Context::new();
    let server = Stream::new(&context).unwrap();
    let (server_events, client) = (server.monitor(), Stream::new(&context).unwrap());
    let client_events = client.monitor();
    let actual = server.bind("tcp://127.0.0.1:*").unwrap();
    client.connect(&actual).unwrap();
    let name = next_connection(server.as_ref());
    next_connection(client.as_ref());
    let statistics = &server.statistics().pipes[0];
    assert!(statistics.connected);
    assert_eq!(statistics.identity, name);
    let peer = statistics.connection.peer.as_ref().unwrap();
    assert_eq!((peer.version, peer.socket_type), (None, None));
    client.disconnect(&actual).unwrap();
    expect_end(server.as_ref(), &name);
    let names = |monitor: &oxmq::Monitor, until: &str| {
        let mut names = Vec::new();
        while names.last().is_none_or(|name| name != until) {
            let event = monitor.recv_timeout(LONG).unwrap();
            if !matches!(event.kind, EventKind::ConnectDelayed) {
                names.push(event.kind.name().to_owned());
            }
        }
        names
    };
    let expected = ["LISTENING", "ACCEPTED", "DISCONNECTED"];
    assert_eq!(names(&server_events, "DISCONNECTED"), expected);
    assert_eq!(names(&client_events, "DISCONNECTED"), ["CONNECTED", "DISCONNECTED"]);
}

/// What was sent lingers, for LINGER; the context ends whatever the peers do.
#[test]
fn closing_sends_what_waits_and_ends_with_linger() {
    const BYTES: usize = 2 << 20;
    for endpoint in endpoints() {
        let context = Context::new();
        for socket in raw_sockets(&context) {
            let actual = socket.bind(&endpoint).unwrap();
            let mut peer = RawPeer::connect(&actual);
            let name = next_connection(&socket);
            send(&socket, &name, body(BYTES));
            socket.close();
            assert_eq!(peer.read_to_end().len(), BYTES);
        }
        for socket in raw_sockets(&context) {
            socket.set(LINGER, 0).unwrap();
            let actual = socket.bind(&endpoint).unwrap();
            let mut peer = RawPeer::connect(&actual);
            let name = next_connection(&socket);
            peer.send(b"unread");
            send(&socket, &name, body(16 << 20));
            socket.close();
            assert!(peer.ends());
        }
        context.term_timeout(LONG).unwrap();
    }
}

#[test]
fn waiting_in_other_threads_ends_with_the_socket_and_the_context() {
    let context = Context::new();
    let stream = Stream::new(&context).unwrap();
    stream.set(SNDHWM, 1).unwrap();
    stream.set(SNDBUF, 8 << 10).unwrap();
    stream.set(LINGER, 0).unwrap();
    let actual = stream.bind("tcp://127.0.0.1:*").unwrap();
    let _peer = RawPeer::connect_with(&actual, 16 << 10);
    let name = next_connection(stream.as_ref());
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            loop {
                if let Err(error) = stream.send(&name[..], body(100_000)) {
                    return error.kind();
                }
            }
        });
        let receiver = scope.spawn(|| stream.recv().unwrap_err());
        wait_for("nothing waits", || {
            stream.statistics().pipes.iter().any(|pipe| pipe.waiting_out > 0)
        });
        context.shutdown();
        assert_eq!(sender.join().unwrap(), SendErrorKind::Terminated);
        assert_eq!(receiver.join().unwrap(), RecvError::Terminated);
    });
}

/// A connection that ends while its sender waits for room ends the wait.
#[test]
fn the_end_of_a_full_connection_wakes_its_sender() {
    let context = Context::new();
    let stream = Stream::new(&context).unwrap();
    stream.set(SNDHWM, 1).unwrap();
    stream.set(SNDBUF, 8 << 10).unwrap();
    let actual = stream.bind("tcp://127.0.0.1:*").unwrap();
    let peer = RawPeer::connect_with(&actual, 16 << 10);
    let name = next_connection(stream.as_ref());
    while stream.try_send(&name[..], body(100_000)).is_ok() {}
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            loop {
                if let Err(error) = stream.send(&name[..], body(100_000)) {
                    return error.kind();
                }
            }
        });
        reset(peer);
        assert_eq!(sender.join().unwrap(), SendErrorKind::HostUnreachable);
    });
    assert!(stream.statistics().dropped.of(DropReason::Disconnected) >= 1);
}
