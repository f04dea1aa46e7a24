//! What a peer may send to break us, and how it is refused.
mod common;

use common::{Driver, opening, small};
use oxmq_zmtp::{Config, Culprit, MechanismName, ProtocolError, SocketType, Version};

use ProtocolError::*;

/// The error that `stream` ends in, at a PULL socket with small limits. The same in one piece and
/// byte by byte.
fn refused(stream: &[u8]) -> ProtocolError {
    let config = small(SocketType::Pull);
    let whole = Driver::fed(&config, [stream]);
    let bytes = Driver::fed(&config, stream.chunks(1));
    assert_eq!(whole.seen, bytes.seen);
    let error = whole.failure().unwrap_or_else(|| panic!("{} passes", stream.escape_ascii()));
    assert_eq!(error.culprit(), Culprit::Peer);
    assert!(error.to_string().starts_with("peer "), "{error}");
    error.clone()
}

fn greeting() -> Vec<u8> {
    opening(1, "PUSH")[..64].to_vec()
}

/// A greeting followed by a command with this body.
fn handshake(body: &[u8]) -> Vec<u8> {
    let mut stream = greeting();
    stream.push(6);
    stream.extend((body.len() as u64).to_be_bytes());
    stream.extend(body);
    stream
}

fn ready(properties: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in properties {
        body.push(name.len() as u8);
        body.extend(*name);
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(*value);
    }
    handshake(&body)
}

fn traffic(frames: &[u8]) -> Vec<u8> {
    [opening(1, "PUSH"), frames.to_vec()].concat()
}

#[test]
fn older_and_foreign_protocols() {
    let version = |major| UnsupportedVersion { version: Version { major, minor: 0 } };
    let table: [(&[u8], ProtocolError); 8] = [
        // ZMTP 1.0, an anonymous peer and one whose identity is long.
        (b"\x01\x00", version(1)),
        (b"\xFF\0\0\0\0\0\0\x01\x01\x00", version(1)),
        // L1488: a ZMTP 1.0 length near 2^64.
        (b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xDA\x00", version(1)),
        // L783: peers of the 2.x series, by their revision.
        (b"\xFF\0\0\0\0\0\0\0\x01\x7F\x00", version(1)),
        (b"\xFF\0\0\0\0\0\0\0\x01\x7F\x01\x07", version(2)),
        (b"\xFF\0\0\0\0\0\0\0\x01\x7F\x02\x07", version(2)),
        (b"GET / HTTP/1.1\r\n", version(1)),
        (b"\x16\x03\x01", version(1)),
    ];
    for (stream, error) in table {
        assert_eq!(refused(stream), error, "{}", stream.escape_ascii());
    }
}

#[test]
fn a_greeting_of_another_mechanism() {
    for name in [&b"CURVE"[..], b"PLAIN", b"NULLX", b"null", b"", b"NULL\0X", b"NUL"] {
        let mut stream = greeting();
        let theirs = MechanismName::new(name);
        stream[12..32].copy_from_slice(theirs.as_octets());
        assert_eq!(refused(&stream), MechanismMismatch { ours: MechanismName::NULL, theirs });
        // The peer is told ours, so that it can say what is wrong, and no metadata.
        let driver = Driver::fed(&small(SocketType::Pull), [stream.as_slice()]);
        assert_eq!(driver.sent.len(), 64);
    }
}

#[test]
fn bad_handshakes() {
    let unexpected =
        |name: &[u8]| UnexpectedCommand { name: name.to_vec(), expected: "READY or ERROR" };
    let malformed = |command, fault| MalformedCommand { command, fault };
    let long = [b'v'; 500];
    let table: [(Vec<u8>, ProtocolError); 24] = [
        (handshake(b"\x05HELLO"), unexpected(b"HELLO")),
        (handshake(b"\x04PING\0\0"), unexpected(b"PING")),
        (handshake(b"\x09SUBSCRIBEA"), unexpected(b"SUBSCRIBE")),
        (handshake(b"\x05ready"), unexpected(b"ready")),
        (handshake(b"\x05ERROR\x03400"), RefusedByPeer { reason: b"400".to_vec() }),
        (handshake(b"\x05ERROR\x00"), RefusedByPeer { reason: Vec::new() }),
        (handshake(b"\x05ERROR\x04400"), malformed("ERROR", "its reason is cut off")),
        (handshake(b"\x05ERROR"), malformed("ERROR", "its reason is cut off")),
        (handshake(b""), malformed("nameless", "its body is empty")),
        (handshake(b"\0"), malformed("nameless", "its name is empty")),
        (handshake(b"\xFFREADY"), malformed("nameless", "its name is longer than its body")),
        (handshake(b"\x05READY\x0B"), MetadataTruncated),
        (handshake(b"\x05READY\x01A\xFF\xFF\xFF\xFF"), MetadataTruncated),
        (ready(&[(b"", b"x")]), MetadataNameEmpty),
        (
            ready(&[(b"Identity", b"a"), (b"identity", b"b")]),
            MetadataDuplicate { name: b"identity".to_vec() },
        ),
        (ready(&[(b"X", &long)]), MetadataTooLong { length_bytes: 506, limit_bytes: 500 }),
        (ready(&[(b"Socket-Type", b"push")]), UnknownSocketType { name: b"push".to_vec() }),
        (ready(&[(b"Socket-Type", b"")]), UnknownSocketType { name: Vec::new() }),
        (ready(&[(b"Socket-Type", b"SERVER")]), UnknownSocketType { name: b"SERVER".to_vec() }),
        (
            ready(&[(b"Socket-Type", b"REQ")]),
            IncompatibleSocketType { ours: SocketType::Pull, theirs: SocketType::Req },
        ),
        (ready(&[(b"Identity", &long[..256])]), IdentityTooLong { length_bytes: 256 }),
        (ready(&[(b"Identity", b"\0a")]), IdentityReserved),
        ([&greeting()[..], b"\0\x06\x05READY"].concat(), MessageInHandshake),
        ([&greeting()[..], b"\x05\x06\x05READY"].concat(), MoreOnCommand),
    ];
    for (stream, error) in table {
        assert_eq!(refused(&stream), error, "{}", stream.escape_ascii());
    }
}

#[test]
fn bad_frames() {
    let table: [(&[u8], ProtocolError); 14] = [
        (b"\x08", ReservedFlags { flags: 0x08 }),
        (b"\x80\0", ReservedFlags { flags: 0x80 }),
        (b"\xFF", ReservedFlags { flags: 0xFF }),
        (b"\x05\x06\x05READY", MoreOnCommand),
        (b"\x07", MoreOnCommand),
        // CVE-2019-6250: an 8-byte length near 2^64.
        (b"\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", LengthOverflow { length_bytes: u64::MAX }),
        (b"\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xF6", LengthOverflow { length_bytes: u64::MAX - 9 }),
        (b"\x03\x80\0\0\0\0\0\0\0", LengthOverflow { length_bytes: 1 << 63 }),
        (b"\x06\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", LengthOverflow { length_bytes: u64::MAX }),
        (b"\x02\0\0\0\0\0\0\x03\xE9", MessageTooLong { length_bytes: 1001, limit_bytes: 1000 }),
        (
            b"\x06\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
            CommandTooLong { length_bytes: (1 << 63) - 1, limit_bytes: 600 },
        ),
        (
            b"\x04\x04\x04PIN",
            MalformedCommand { command: "nameless", fault: "its name is longer than its body" },
        ),
        (b"\x04\x06\x04PING\0", MalformedCommand { command: "PING", fault: "it has no TTL" }),
        (b"\x04\x00", MalformedCommand { command: "nameless", fault: "its body is empty" }),
    ];
    for (frames, error) in table {
        assert_eq!(refused(&traffic(frames)), error, "{}", frames.escape_ascii());
        // In the handshake, too, unless it is a message's own business.
        if frames[0] & 4 != 0 {
            let stream = [&greeting()[..], frames].concat();
            assert!(Driver::fed(&small(SocketType::Pull), [&*stream]).failure().is_some());
        }
    }
}

/// CVE-2021-20236: here a subscription is just bytes; a long one is bounded.
#[test]
fn huge_topics() {
    let mut frames = b"\x06\0\0\0\0\0\x10\0\x0A\x09SUBSCRIBE".to_vec();
    frames.extend(vec![b't'; 1 << 20]);
    let stream = [opening(1, "SUB"), frames].concat();
    let driver = Driver::fed(&Config::new(SocketType::Pub), [stream.as_slice()]);
    let error = CommandTooLong { length_bytes: (1 << 20) + 10, limit_bytes: 64 * 1024 };
    assert_eq!(driver.failure(), Some(&error));
}

/// Announcing a length costs the peer nine bytes, and us no more.
#[test]
fn announced_lengths_are_not_allocated() {
    let mut stream = greeting();
    stream.extend(b"\x06\0\0\0\0\0\0\xFF\xFF\x05READY");
    let driver = Driver::fed(&Config::new(SocketType::Pull), [stream.as_slice()]);
    assert_eq!(driver.failure(), None);
    assert!(!driver.connection.is_ready());

    let stream = traffic(b"\x02\x7F\0\0\0\0\0\0\0ab");
    let driver = Driver::fed(&Config::new(SocketType::Pull), [stream.as_slice()]);
    assert_eq!(driver.failure(), None);
    assert_eq!(driver.seen.len(), 1);
}

#[test]
fn a_peer_with_ten_thousand_properties_is_no_burden() {
    let names: Vec<_> = (0..7000u32).map(|n| format!("{n:04}")).collect();
    let properties: Vec<_> = names.iter().map(|name| (name.as_bytes(), &b""[..])).collect();
    let stream = ready(&properties);
    let driver = Driver::fed(&Config::new(SocketType::Pull), [stream.as_slice()]);
    assert_eq!(driver.connection.peer().unwrap().metadata.len(), 7000);
}

#[test]
fn culprits() {
    assert_eq!(NotReady.culprit(), Culprit::Caller);
    assert_eq!(RefusedByUs { reason: Vec::new() }.culprit(), Culprit::Caller);
}
