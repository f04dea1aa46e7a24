//! What `send` does when no peer can take the message: the manual's "action in mute state" of each
//! socket type, one test a type; each over every transport, on the side that binds and on the one
//! that connects, alone and with a peer at its high-water mark.

mod support;

use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use oxmq::option::{
    IMMEDIATE, LINGER, RCVBUF, RCVHWM, ROUTER_MANDATORY, ROUTING_ID, SNDBUF, SNDHWM, SNDTIMEO,
    XPUB_NODROP,
};
use oxmq::{Context, Events, Message, RecvError, SendError, SendErrorKind, Socket, SocketType};

use support::{LONG, PLACES, Place, body, raw};

/// What a send without a peer to take the message comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mute {
    /// It waits, up to SNDTIMEO; `try_send` says `Again`.
    Waits,
    /// It succeeds at once, and the message goes nowhere.
    Drops,
    /// It fails at once.
    Fails(SendErrorKind),
}
use Mute::{Drops, Fails, Waits};

struct Row {
    kind: SocketType,
    set: fn(&Socket),
    peer: SocketType,
    /// Neither bound nor connected, or bound where nobody came, or (IMMEDIATE) connected where
    /// nobody is.
    alone: Mute,
    /// How many messages a socket takes that is connected where nobody is, and what the next
    /// comes to.
    connected: (usize, Mute),
    /// With a peer whose queue is full.
    full: Mute,
}

/// Both ends of a pipe, in messages.
const MARK: i32 = 2;
/// Few of these fill the kernel's buffers, which are made small (but tcp crawls through smaller ones).
const BODY_BYTES: usize = 16 << 10;
/// More than the queues and the kernel hold, for types that drop.
const FLOOD: u32 = 200;
/// Who takes nothing for so long is mute.
const MUTE_MS: i32 = 60;
/// A send that ends sooner has not waited for [`LONG`].
const AT_ONCE: Duration = Duration::from_secs(150);

fn plain(_: &Socket) {}

#[test]
fn pair_waits() {
    check(&Row {
        kind: SocketType::Pair,
        set: plain,
        peer: SocketType::Pair,
        alone: Waits,
        connected: (2, Waits),
        full: Waits,
    });
}

#[test]
fn push_waits() {
    check(&Row {
        kind: SocketType::Push,
        set: plain,
        peer: SocketType::Pull,
        alone: Waits,
        connected: (2, Waits),
        full: Waits,
    });
}

#[test]
fn dealer_waits() {
    check(&Row {
        kind: SocketType::Dealer,
        set: plain,
        peer: SocketType::Router,
        alone: Waits,
        connected: (2, Waits),
        full: Waits,
    });
}

#[test]
fn req_waits() {
    check(&Row {
        kind: SocketType::Req,
        set: plain,
        peer: SocketType::Router,
        alone: Waits,
        // Its request waits there, and its turn is over.
        connected: (1, Fails(SendErrorKind::State)),
        full: Waits,
    });
}

#[test]
fn rep_drops() {
    check(&Row {
        kind: SocketType::Rep,
        set: plain,
        peer: SocketType::Dealer,
        // Nobody asked.
        alone: Fails(SendErrorKind::State),
        connected: (0, Fails(SendErrorKind::State)),
        full: Drops,
    });
}

#[test]
fn router_drops() {
    check(&Row {
        kind: SocketType::Router,
        set: plain,
        peer: SocketType::Dealer,
        alone: Drops,
        connected: (0, Drops),
        full: Drops,
    });
}

#[test]
fn router_with_mandatory_waits_for_a_peer_and_fails_without_one() {
    check(&Row {
        kind: SocketType::Router,
        set: |socket| socket.set(ROUTER_MANDATORY, true).unwrap(),
        peer: SocketType::Dealer,
        alone: Fails(SendErrorKind::HostUnreachable),
        connected: (0, Fails(SendErrorKind::HostUnreachable)),
        full: Waits,
    });
}

/// A connection that is named takes what is sent over it, or the sender waits; without one of the
/// name there is nothing to wait for. STREAM has no inproc.
#[test]
fn stream_waits_for_a_connection_and_fails_without_one() {
    let context = Context::new();
    for place in PLACES.into_iter().filter(|place| place.transport != "inproc") {
        let (stream, peer) =
            (small(&context, SocketType::Stream), small(&context, SocketType::Stream));
        let unknown = || vec![Message::from("unknown"), Message::from("text")];
        for sent in [stream.try_send_multipart(unknown()), stream.send_multipart(unknown())] {
            assert_eq!(sent.unwrap_err().kind(), SendErrorKind::HostUnreachable);
        }
        place.join(&stream, &peer);
        let name = stream.recv_timeout(LONG).unwrap();
        stream.recv_timeout(LONG).unwrap();
        let message = || vec![name.clone(), Message::from(body(BODY_BYTES))];
        let mut sent = 0;
        stream.set(SNDTIMEO, MUTE_MS).unwrap();
        let refused = |sent: Result<(), SendError>| sent.err().map(|error| error.kind());
        loop {
            match refused(stream.send_multipart(message())) {
                None => sent += 1,
                // Kernels move what they hold late, at times.
                Some(SendErrorKind::Again) => match refused(stream.try_send_multipart(message())) {
                    None => sent += 1,
                    Some(kind) => break assert_eq!(kind, SendErrorKind::Again),
                },
                Some(kind) => panic!("{kind:?}, {place:?}"),
            }
            assert!(sent < FLOOD, "{place:?}");
        }
        assert_eq!(stream.try_send_multipart(unknown()).unwrap_err().errno(), libc::EHOSTUNREACH);
        stream.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| stream.send_multipart(message()).unwrap());
            let mut bytes = 0;
            while bytes < (sent as usize + 1) * BODY_BYTES {
                let mut parts = peer.recv_multipart().unwrap();
                bytes += parts.remove(1).len();
            }
        });
    }
}

#[test]
fn pub_drops() {
    check(&Row {
        kind: SocketType::Pub,
        set: plain,
        peer: SocketType::Sub,
        alone: Drops,
        connected: (0, Drops),
        full: Drops,
    });
}

#[test]
fn xpub_drops() {
    check(&Row {
        kind: SocketType::XPub,
        set: plain,
        peer: SocketType::Sub,
        alone: Drops,
        connected: (0, Drops),
        full: Drops,
    });
}

#[test]
fn xpub_with_nodrop_waits_for_its_subscribers() {
    check(&Row {
        kind: SocketType::XPub,
        set: |socket| socket.set(XPUB_NODROP, true).unwrap(),
        peer: SocketType::Sub,
        alone: Drops,
        connected: (0, Drops),
        full: Waits,
    });
}

#[test]
fn xsub_drops() {
    check(&Row {
        kind: SocketType::XSub,
        set: plain,
        peer: SocketType::XPub,
        alone: Drops,
        // Two wait for the publisher, the others are dropped.
        connected: (2, Drops),
        full: Drops,
    });
}

#[test]
fn sub_and_pull_cannot_send() {
    for (kind, peer) in [(SocketType::Sub, SocketType::Pub), (SocketType::Pull, SocketType::Push)] {
        check(&Row {
            kind,
            set: plain,
            peer,
            alone: Fails(SendErrorKind::NotSupported),
            connected: (0, Fails(SendErrorKind::NotSupported)),
            full: Fails(SendErrorKind::NotSupported),
        });
    }
}

// The cells.

fn check(row: &Row) {
    let mut cells = 0;
    let context = Context::new();
    let socket = bare(&context, row);
    expect(row, &socket, row.alone, "unplugged");
    for place in PLACES {
        let what = format!("{place:?}");
        if place.first_binds {
            let socket = bare(&context, row);
            socket.bind(&place.endpoint()).unwrap();
            expect(row, &socket, row.alone, &format!("bound, {what}"));
        } else {
            connected_to_nobody(row, place);
            let socket = bare(&context, row);
            socket.set(IMMEDIATE, true).unwrap();
            let (endpoint, _reserved) = nobody(place);
            socket.connect(&endpoint).unwrap();
            if place.transport != "inproc" {
                expect(row, &socket, row.alone, &format!("connected, IMMEDIATE, {what}"));
            }
            cells += 1;
        }
        match row.full {
            Waits => full_and_waiting(row, place),
            Drops => full_and_dropping(row, place),
            Fails(_) => {
                let (_context, socket, _peer) = joined(row, place);
                expect(row, &socket, row.full, &format!("joined, {what}"));
            }
        }
        cells += 2;
    }
    println!("{}: {} cells", row.kind.name(), cells + 1);
}

/// A send is what `mute` says, in each of its forms.
fn expect(row: &Row, socket: &Socket, mute: Mute, what: &str) {
    assert!(is(mute, row, socket, &mut 0, what), "{} takes a message, {what}", row.kind.name());
}

/// Whether a send is what `mute` says, in each of its forms. The answer is no, and the message is
/// counted, if one is taken that should have waited: kernels move what they hold late, at times.
fn is(mute: Mute, row: &Row, socket: &Socket, number: &mut u32, what: &str) -> bool {
    let what = &format!("{} {what}", row.kind.name());
    let expected = match mute {
        Waits => Some(SendErrorKind::Again),
        Drops => None,
        Fails(kind) => Some(kind),
    };
    let start = Instant::now();
    for _ in 0..3 {
        let error = socket.try_send_multipart(message(row.kind, *number)).err();
        if mute == Waits && error.is_none() {
            *number += 1;
            return false;
        }
        assert_eq!(error.as_ref().map(|error| error.kind()), expected, "{what}");
        if let Some(error) = error {
            let (back, given) = (error.into_parts(), message(row.kind, *number));
            let same = back.iter().zip(&given).all(|(back, given)| back[..] == given[..]);
            assert!(same && back.len() == given.len(), "the message comes back, {what}");
        }
    }
    let writable = socket.events().unwrap().intersects(Events::OUT);
    match mute {
        // Which subscribers a message has is not known before it is sent.
        Waits if row.kind == SocketType::XPub => assert!(writable, "{what}"),
        Waits if writable => return false,
        Waits => {}
        Drops => assert!(writable, "{what}"),
        Fails(_) => {}
    }
    assert!(start.elapsed() < AT_ONCE, "{what}");
    let timeout_ms = if mute == Waits { 20 } else { LONG.as_millis() as i32 };
    socket.set(SNDTIMEO, timeout_ms).unwrap();
    let start = Instant::now();
    let sent = socket.send_multipart(message(row.kind, *number));
    if mute == Waits && sent.is_ok() {
        *number += 1;
        return false;
    }
    assert_eq!(sent.err().map(|error| error.kind()), expected, "{what}");
    if mute == Waits {
        assert!(start.elapsed() >= Duration::from_millis(20), "{what}");
    } else {
        assert!(start.elapsed() < AT_ONCE, "{what}");
    }
    true
}

/// What is sent before anybody is there waits for whoever comes.
fn connected_to_nobody(row: &Row, place: Place) {
    let what = format!("connected, {place:?}");
    let context = Context::new();
    let socket = bare(&context, row);
    let (endpoint, _reserved) = nobody(place);
    socket.connect(&endpoint).unwrap();
    let (takes, then) = row.connected;
    for number in 0..takes {
        socket.try_send_multipart(message(row.kind, number as u32)).unwrap();
    }
    expect(row, &socket, then, &what);
    if takes == 0 {
        return;
    }
    let peer = bare_peer(&context, row);
    peer.bind(&endpoint).unwrap();
    for number in 0..takes {
        let received = receive(&peer).unwrap_or_else(|| panic!("{what}: {number} does not come"));
        assert_eq!(received, number as u32, "{what}");
    }
}

/// With room again, a send that waits goes on, and nothing is lost.
fn full_and_waiting(row: &Row, place: Place) {
    let what = format!("full, {place:?}");
    let (_context, socket, peer) = joined(row, place);
    let mut sent = 0;
    let answered = || {
        if row.kind == SocketType::Req {
            peer.send_multipart(["mute", "", "unasked"]).unwrap();
            socket.recv_timeout(LONG).unwrap();
        }
    };
    loop {
        socket.set(SNDTIMEO, MUTE_MS).unwrap();
        while socket.send_multipart(message(row.kind, sent)).is_ok() {
            answered();
            sent += 1;
            assert!(sent < FLOOD, "{} is never mute, {what}", row.kind.name());
        }
        let before = sent;
        if is(Waits, row, &socket, &mut sent, &what) {
            break;
        }
        if sent > before {
            answered();
        }
    }
    assert!(sent >= 2 * MARK as u32, "{sent}, {what}");
    socket.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| socket.send_multipart(message(row.kind, sent)).unwrap());
        for number in 0..=sent {
            assert_eq!(receive(&peer), Some(number), "{}, {what}", row.kind.name());
        }
    });
}

/// What was not dropped arrives in order, and what was is counted.
fn full_and_dropping(row: &Row, place: Place) {
    let what = format!("full, {}, {place:?}", row.kind.name());
    let (_context, socket, peer) = joined(row, place);
    socket.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
    let start = Instant::now();
    for number in 0..FLOOD {
        if row.kind == SocketType::Rep {
            peer.send_multipart(["", "question"]).unwrap();
            assert_eq!(&socket.recv_timeout(LONG).unwrap()[..], b"question");
        }
        socket.send_multipart(message(row.kind, number)).unwrap();
        if row.kind != SocketType::Rep {
            assert!(socket.events().unwrap().intersects(Events::OUT), "{what}");
        }
    }
    assert!(start.elapsed() < AT_ONCE, "{what}");
    let dropped = socket.dropped();
    let mut received = Vec::new();
    // The last message comes through as soon as there is room for it.
    loop {
        match peer.try_recv_multipart() {
            Err(RecvError::Again) => {
                if row.kind == SocketType::Rep {
                    peer.send_multipart(["", "last"]).unwrap();
                    socket.recv_timeout(LONG).unwrap();
                }
                socket.send_multipart(message(row.kind, FLOOD)).unwrap();
                thread::yield_now();
            }
            Err(error) => panic!("{error}, {what}"),
            Ok(parts) => match number_in(&parts) {
                None => {}
                Some(FLOOD) => break,
                Some(number) => received.push(number),
            },
        }
        assert!(start.elapsed() < LONG, "{what}");
    }
    assert!(received.is_sorted(), "{what}: {received:?}");
    // The flood may be over before the other end reads.
    assert!(received.len() >= MARK as usize, "{what}: {received:?}");
    assert!(received.len() < FLOOD as usize, "nothing was dropped, {what}");
    if row.kind != SocketType::Rep {
        assert_eq!(dropped as usize, FLOOD as usize - received.len(), "{what}");
    }
}

// Sockets and messages.

fn bare(context: &Context, row: &Row) -> Socket {
    let socket = small(context, row.kind);
    socket.set(ROUTING_ID, b"mute".to_vec()).unwrap();
    (row.set)(&socket);
    socket
}

fn bare_peer(context: &Context, row: &Row) -> Socket {
    let peer = small(context, row.peer);
    peer.set(ROUTING_ID, b"peer".to_vec()).unwrap();
    if row.peer == SocketType::Sub {
        peer.subscribe("").unwrap();
    }
    peer
}

fn small(context: &Context, kind: SocketType) -> Socket {
    let socket = context.socket(kind).unwrap();
    socket.set(LINGER, 0).unwrap();
    for (mark, buffer, bytes) in [(SNDHWM, SNDBUF, 16 << 10), (RCVHWM, RCVBUF, 64 << 10)] {
        socket.set(mark, MARK).unwrap();
        socket.set(buffer, bytes).unwrap();
    }
    socket
}

/// Two sockets whose handshake is done, and whose subscriptions are known.
fn joined(row: &Row, place: Place) -> (Context, Socket, Socket) {
    let context = Context::new();
    let (socket, peer) = (bare(&context, row), bare_peer(&context, row));
    place.join(&socket, &peer);
    socket.wait_for_peers(1, Some(LONG)).unwrap();
    peer.wait_for_peers(1, Some(LONG)).unwrap();
    if row.peer == SocketType::Sub && matches!(row.kind, SocketType::Pub | SocketType::XPub) {
        socket.wait_for_subscribers("", 1, Some(LONG)).unwrap();
    }
    (context, socket, peer)
}

/// An endpoint that nobody listens at, and that can be bound to; nobody else gets it as long as what
/// comes with it lives.
fn nobody(place: Place) -> (String, Option<OwnedFd>) {
    if place.transport == "tcp" {
        let (reserved, endpoint) = raw::reserve_port();
        return (endpoint, Some(reserved));
    }
    (place.endpoint(), None)
}

/// A message with a number, as a socket of this type sends it.
fn message(kind: SocketType, number: u32) -> Vec<Message> {
    let mut long = body(BODY_BYTES);
    // Not a subscription, from an XSUB.
    long[0] = 2;
    long[1..5].copy_from_slice(&number.to_le_bytes());
    let mut parts = match kind {
        SocketType::Router => vec![Message::from("peer")],
        _ => Vec::new(),
    };
    parts.extend([Message::from(long), Message::from("second part")]);
    parts
}

/// The number of the next message; `None` if none comes.
fn receive(socket: &Socket) -> Option<u32> {
    let end = Instant::now() + LONG;
    loop {
        match socket.try_recv_multipart() {
            // An XPUB is also told of subscriptions.
            Ok(parts) => {
                if let Some(number) = number_in(&parts) {
                    return Some(number);
                }
            }
            Err(_) if Instant::now() > end => return None,
            Err(_) => thread::yield_now(),
        }
    }
}

fn number_in(parts: &[Message]) -> Option<u32> {
    let long = parts.iter().find(|part| part.len() == BODY_BYTES)?;
    assert_eq!(&parts.last()?[..], b"second part");
    Some(u32::from_le_bytes(long[1..5].try_into().ok()?))
}
