//! Handshakes that succeed.
mod common;

use common::{Driver, Seen, opening, talk};
use oxmq_zmtp::{Config, Connection, Decoded, Peer, ProtocolError, SocketType, Version};

#[test]
fn the_greeting_leaves_in_the_pieces_of_libzmq() {
    let config = Config { identity: b"me".to_vec(), ..Config::new(SocketType::Dealer) };
    let mut connection = Connection::new(config);
    let theirs = opening(1, "ROUTER");
    let mut out = Vec::new();
    let mut next = |connection: &mut Connection, input: &[u8]| {
        assert_eq!(connection.handle_handshake(input), Ok(input.len()));
        out.clear();
        assert_eq!(connection.poll_transmit(&mut out), !out.is_empty());
        assert!(!connection.poll_transmit(&mut out));
        out.clone()
    };

    // The padding is the identity's length + 1.
    assert_eq!(next(&mut connection, b""), b"\xFF\0\0\0\0\0\0\0\x03\x7F");
    assert_eq!(next(&mut connection, &theirs[..9]), b"");
    assert_eq!(next(&mut connection, &theirs[9..10]), b"\x03");
    let rest = [&b"\x01NULL"[..], &[0; 48]].concat();
    assert_eq!(next(&mut connection, &theirs[10..11]), rest);
    assert_eq!(next(&mut connection, &theirs[11..63]), b"");
    assert_eq!(
        next(&mut connection, &theirs[63..64]),
        b"\x04\x2B\x05READY\x0BSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\x02me"
    );
    assert!(!connection.is_ready());
    assert_eq!(next(&mut connection, &theirs[64..]), b"");
    assert!(connection.is_ready());
}

#[test]
fn only_some_types_announce_their_identity() {
    for socket_type in SocketType::ALL {
        let config = Config { identity: b"x".to_vec(), ..Config::new(socket_type) };
        let driver = Driver::fed(&config, [opening(1, "PAIR").as_slice()]);
        let announced = driver.sent.windows(8).any(|window| window == b"Identity");
        assert_eq!(announced, ["REQ", "DEALER", "ROUTER"].contains(&socket_type.name()));
    }
}

#[test]
fn two_connections_become_ready_if_their_types_are_compatible() {
    for ours in SocketType::ALL {
        for theirs in SocketType::ALL {
            let mut left = Driver::new(Config {
                identity: b"left".to_vec(),
                metadata: vec![(b"X-Colour".to_vec(), b"blue".to_vec())],
                ..Config::new(ours)
            });
            let mut right = Driver::new(Config::new(theirs));
            talk(&mut left, &mut right);
            if ours.compatible_with(theirs) {
                let peer = right.connection.peer().unwrap();
                assert_eq!(peer.version, Version::OURS);
                assert_eq!(peer.socket_type, Some(ours));
                let identity: &[u8] = if ours.announces_identity() { b"left" } else { b"" };
                assert_eq!(peer.identity, identity);
                let last = peer.metadata.last().unwrap();
                assert_eq!(*last, (b"X-Colour".to_vec(), b"blue".to_vec()));
                assert_eq!(left.connection.peer().unwrap().socket_type, Some(theirs));
            } else {
                let error = |ours, theirs| ProtocolError::IncompatibleSocketType { ours, theirs };
                assert_eq!(left.failure(), Some(&error(ours, theirs)));
                assert_eq!(right.failure(), Some(&error(theirs, ours)));
            }
        }
    }
}

#[test]
fn a_handshake_takes_nothing_of_the_traffic_behind_it() {
    let stream = [opening(1, "PUSH"), b"\0\x01A".to_vec()].concat();
    let mut connection = Connection::new(Config::new(SocketType::Pull));
    assert_eq!(connection.decode(b"\0\x01A"), Err(ProtocolError::NotReady));
    assert_eq!(connection.handle_handshake(&stream), Ok(stream.len() - 3));
    assert!(connection.is_ready());
    assert_eq!(connection.handle_handshake(&stream), Ok(0));
}

#[test]
fn later_versions_are_accepted_and_3_0_is_told_apart() {
    for (major, minor) in [(3, 0), (3, 1), (3, 9), (4, 0), (255, 255)] {
        let mut stream = opening(minor, "PUB");
        stream[10] = major;
        let mut driver = Driver::fed(&Config::new(SocketType::Sub), [stream.as_slice()]);
        let version = Version { major, minor };
        assert_eq!(driver.connection.peer().unwrap().version, version);
        let mut out = Vec::new();
        assert!(driver.connection.subscribe(b"A", &mut out));
        let is_command = out[0] == 4;
        assert_eq!(is_command, version > Version { major: 3, minor: 0 });
        assert!(driver.connection.ping(1, b"", &mut out));
    }
}

#[test]
fn subscriptions_take_the_form_that_the_peer_knows() {
    let mut out = Vec::new();
    let mut unready = Connection::new(Config::new(SocketType::Sub));
    assert!(!unready.subscribe(b"A", &mut out) && out.is_empty());

    let table: [(u8, &[u8]); 2] =
        [(0, b"\0\x02\x01A\0\x02\0A"), (1, b"\x04\x0B\x09SUBSCRIBEA\x04\x08\x06CANCELA")];
    for (minor, golden) in table {
        let mut driver =
            Driver::fed(&Config::new(SocketType::Sub), [opening(minor, "PUB").as_slice()]);
        out.clear();
        assert!(driver.connection.subscribe(b"A", &mut out));
        assert!(driver.connection.cancel(b"A", &mut out));
        assert_eq!(out, golden);
    }
}

#[test]
fn what_is_known_of_the_peer_may_be_taken() {
    let config = Config::new(SocketType::Sub);
    let mut greeting = Connection::new(config.clone());
    assert_eq!((greeting.take_peer(), greeting.peer_version()), (None, None));

    let mut connection = Driver::fed(&config, [opening(0, "PUB").as_slice()]).connection;
    let known = connection.peer().cloned();
    assert!(known.is_some());
    assert_eq!(connection.take_peer(), known);
    assert_eq!(connection.peer(), None);
    assert_eq!(connection.take_peer(), None);
    assert_eq!(connection.peer_version(), Some(Version { major: 3, minor: 0 }));
    // The connection goes on, in the form that the peer knows.
    assert!(connection.is_ready());
    let mut out = Vec::new();
    assert!(connection.subscribe(b"A", &mut out));
    assert_eq!(out, b"\0\x02\x01A");
    let message = Decoded::Message { more: false, body: b"x", consumed: 3 };
    assert_eq!(connection.decode(b"\0\x01x"), Ok(message));
}

#[test]
fn a_peer_may_keep_its_socket_type_to_itself() {
    let mut stream = opening(1, "PUSH");
    stream.truncate(64);
    stream.extend(b"\x04\x06\x05READY");
    let driver = Driver::fed(&Config::new(SocketType::Pull), [stream.as_slice()]);
    let peer = Peer {
        version: Version::OURS,
        forwards_subscriptions: true,
        as_server: false,
        socket_type: None,
        identity: Vec::new(),
        metadata: Vec::new(),
    };
    assert_eq!(driver.seen, [Seen::Ready(peer)]);
}

#[test]
fn names_of_properties_have_no_case_and_ready_may_be_long() {
    let mut stream = opening(1, "PUSH");
    stream.truncate(64);
    let body = [
        &b"\x05READY\x0Bsocket-TYPE\0\0\0\x04PUSH\x08IDENTITY\0\0\0\x01i\x03X-L\0\0\x01\x2C"[..],
        &[b'v'; 300],
    ]
    .concat();
    stream.extend([6, 0, 0, 0, 0, 0, 0, 1]);
    stream.push((body.len() - 256) as u8);
    stream.extend(&body);
    let driver = Driver::fed(&Config::new(SocketType::Pull), [stream.as_slice()]);
    let peer = driver.connection.peer().unwrap();
    assert_eq!(peer.socket_type, Some(SocketType::Push));
    assert_eq!(peer.identity, b"i");
    assert_eq!(peer.metadata[2], (b"X-L".to_vec(), vec![b'v'; 300]));
}

#[test]
fn a_caller_may_refuse_the_peer_during_the_handshake() {
    let mut connection = Connection::new(Config::new(SocketType::Rep));
    let mut out = Vec::new();
    connection.handle_handshake(&opening(1, "REQ")[..64]).unwrap();
    assert!(connection.error(b"400", &mut out));
    assert_eq!(
        out[64..],
        b"\x04\x19\x05READY\x0BSocket-Type\0\0\0\x03REP\x04\x0A\x05ERROR\x03400"[..]
    );
    let refused = ProtocolError::RefusedByUs { reason: b"400".to_vec() };
    assert_eq!(connection.handle_handshake(b""), Err(refused.clone()));
    assert_eq!(connection.failure(), Some(&refused));
    assert!(!connection.error(b"400", &mut out));

    let mut early = Connection::new(Config::new(SocketType::Rep));
    let length = out.len();
    assert!(!early.error(b"400", &mut out));
    assert_eq!(out.len(), length);
    assert!(early.failure().is_some());
}
