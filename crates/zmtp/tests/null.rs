//! NULL, where peers are to be decided on.
mod common;

use common::{Driver, Seen, message, message_v1, opening, opening_old, talk};
use oxmq_zmtp::mechanism::Null;
use oxmq_zmtp::{Config, Connection, ProtocolError, SocketType, Version};

fn asking() -> Connection {
    let config = Config::new(SocketType::Pull);
    Connection::with_mechanism(config, Box::new(Null::authenticating()))
}

const READY: &[u8] = b"\x04\x1A\x05READY\x0BSocket-Type\0\0\0\x04PULL";

#[test]
fn it_asks_before_ready_and_takes_nothing_until_it_is_answered() {
    let stream = opening(1, "PUSH");
    let mut end = asking();
    assert_eq!(end.credentials(), None);
    assert_eq!(end.handle_handshake(&stream[..63]), Ok(63));
    assert_eq!(end.credentials(), None, "the peer's mechanism is not known yet");
    assert_eq!(end.handle_handshake(&stream[63..]), Ok(1));
    assert_eq!(end.credentials(), Some(Vec::new()));
    // The peer does not wait: its READY is there, and stays where it is.
    assert_eq!(end.handle_handshake(&stream[64..]), Ok(0));
    let mut out = Vec::new();
    end.poll_transmit(&mut out);
    assert_eq!(out.len(), 64);

    assert_eq!(end.admit(), Ok(()));
    assert_eq!(end.credentials(), None);
    assert!(!end.is_ready());
    end.poll_transmit(&mut out);
    assert_eq!(out[64..], *READY);
    assert_eq!(end.admit(), Ok(()));
    assert!(!end.poll_transmit(&mut out));
    let traffic = [&stream[64..], b"\0\x01A"].concat();
    assert_eq!(end.handle_handshake(&traffic), Ok(traffic.len() - 3));
    assert!(end.is_ready());
    assert!(!end.seals());
    assert_eq!(end.mechanism(), None);
    assert_eq!(end.credentials(), None);
}

#[test]
fn a_refused_peer_learns_why_and_nothing_else() {
    let mut end = asking();
    end.handle_handshake(&opening(1, "PUSH")).unwrap();
    let mut out = Vec::new();
    assert!(end.error(b"400", &mut out));
    assert_eq!(out[64..], *b"\x04\x0A\x05ERROR\x03400");
    let refused = ProtocolError::RefusedByUs { reason: b"400".to_vec() };
    assert_eq!(end.failure(), Some(&refused));
    assert_eq!(end.credentials(), None);
    // It is too late for another answer.
    assert_eq!(end.admit(), Ok(()));
    assert_eq!(end.failure(), Some(&refused));
    assert!(!end.error(b"500", &mut out));

    let mut peer = Driver::new(Config::new(SocketType::Push));
    peer.feed(&out);
    let refused = ProtocolError::RefusedByPeer { reason: b"400".to_vec() };
    assert_eq!(peer.failure(), Some(&refused));
    assert!(!peer.connection.has_shown_credentials());
}

#[test]
fn both_ends_may_ask() {
    let driver = |socket_type| Driver::with(Config::new(socket_type), Null::authenticating());
    for asks in [false, true] {
        let mut left = driver(SocketType::Push);
        let mut right = match asks {
            true => driver(SocketType::Pull),
            false => Driver::new(Config::new(SocketType::Pull)),
        };
        talk(&mut left, &mut right);
        assert_eq!(left.seen[0], Seen::Asked(Vec::new()));
        assert_eq!(right.seen[0] == Seen::Asked(Vec::new()), asks);
        assert!(left.connection.is_ready() && right.connection.is_ready());
        assert_eq!(left.connection.peer().unwrap().socket_type, Some(SocketType::Pull));
    }
}

/// They have no ERROR, so that they could not be told; libzmq lets them in (CVE-2014-9721).
#[test]
fn old_peers_are_refused() {
    let table = [
        (message_v1(false, b""), Version::V1_0),
        (opening_old(0, SocketType::Push, b""), Version::V1_0),
        (opening_old(1, SocketType::Push, b"me"), Version::V2_0),
    ];
    for (mut stream, version) in table {
        stream.extend(message(false, b"traffic"));
        let mut end = asking();
        let error = ProtocolError::UnsupportedVersion { version };
        assert_eq!(end.handle_handshake(&stream), Err(error));
        assert_eq!(end.credentials(), None);
        // Otherwise they are welcome.
        let mut end = Connection::new(Config::new(SocketType::Pull));
        assert!(end.handle_handshake(&stream).is_ok() && end.is_ready());
    }
}

#[test]
fn without_a_question_nothing_is_different() {
    let stream = opening(1, "PUSH");
    let mut end = Connection::new(Config::new(SocketType::Pull));
    assert_eq!(end.handle_handshake(&stream[..64]), Ok(64));
    assert_eq!(end.credentials(), None);
    let mut out = Vec::new();
    end.poll_transmit(&mut out);
    assert_eq!(out[64..], *READY);
    assert_eq!(end.admit(), Ok(()));
    assert!(!end.poll_transmit(&mut out));
    assert_eq!(end.handle_handshake(&stream[64..]), Ok(stream.len() - 64));
    assert!(end.is_ready());
}
