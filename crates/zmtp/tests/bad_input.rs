//! What a peer may send to break us, and how it is refused.
mod common;

use common::{Driver, message_v1, opening, opening_old, small};
use oxmq_zmtp::{Config, Culprit, MechanismName, ProtocolError, SocketType};

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
fn other_protocols() {
    let table: [(&[u8], &[u8]); 9] = [
        (b"GET / HTTP/1.1\r\n", b"GE"),
        (b"\x16\x03\x01", b"\x16\x03"),
        (b"SSH-2.0-OpenSSH", b"SS"),
        (b"*1\r\n$4\r\nPING", b"*1"),
        (b"\n\n\n\n", b"\n\n"),
        (b"\0\0\0\0", b"\0"),
        (b"\xFF\0\0\0\0\0\0\0\x09\x04hi", b"\xFF\0\0\0\0\0\0\0\x09\x04"),
        (b"\xFF\0\0\0\0\0\0\0\0\0", b"\xFF\0\0\0\0\0\0\0\0\0"),
        (b"\xFF\0\0\0\0\0\0\0\0\x80", b"\xFF\0\0\0\0\0\0\0\0\x80"),
    ];
    for (stream, start) in table {
        let error = refused(stream);
        assert_eq!(error, NotZmtp { start: start.to_vec() }, "{}", stream.escape_ascii());
        assert!(error.to_string().contains(&start.escape_ascii().to_string()), "{error}");
    }
}

#[test]
fn bad_handshakes_of_old_peers() {
    let greeting = |rest: &[u8]| [&b"\xFF\0\0\0\0\0\0\0\x01\x7F"[..], rest].concat();
    let unknown = |name: &[u8]| UnknownSocketType { name: name.to_vec() };
    let incompatible = |theirs| IncompatibleSocketType { ours: SocketType::Pull, theirs };
    let table: [(Vec<u8>, ProtocolError); 20] = [
        // ZMTP 1.0.
        (b"\x01\x01".to_vec(), IdentityInParts),
        (b"\x03\0\0a".to_vec(), IdentityReserved),
        (message_v1(false, &[b'i'; 256]), IdentityTooLong { length_bytes: 256 }),
        // L1488: a length near 2^64.
        (
            b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xDA\x00".to_vec(),
            LengthOverflow { length_bytes: u64::MAX - 37 },
        ),
        (
            b"\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x00".to_vec(),
            IdentityTooLong { length_bytes: i64::MAX as usize - 1 },
        ),
        // L783: peers of the 2.x and 3.x series, by their revision.
        (greeting(b"\x00\x01"), incompatible(SocketType::Pub)),
        (greeting(b"\x01\x07"), incompatible(SocketType::Pull)),
        (greeting(b"\x02\x03"), incompatible(SocketType::Req)),
        (greeting(b"\x01\x0B"), incompatible(SocketType::Stream)),
        (greeting(b"\x01\x0E"), unknown(b"14")),
        (greeting(b"\x01\xFF"), unknown(b"255")),
        (greeting(b"\x01\x08\x01\x01a"), IdentityInParts),
        (greeting(b"\x01\x08\x04\x01a"), ReservedFlags { flags: 4, reserved: 0xFC }),
        (greeting(b"\x01\x08\x80"), ReservedFlags { flags: 0x80, reserved: 0xFC }),
        (greeting(b"\x01\x08\x02\0\0\0\0\0\0\x01\0"), IdentityTooLong { length_bytes: 256 }),
        (greeting(b"\x01\x08\0\x02\0a"), IdentityReserved),
        (greeting(b"\0\x08\0"), LengthZero),
        (greeting(b"\0\x08\x02\x02a"), ReservedFlags { flags: 2, reserved: 0xFE }),
        (greeting(b"\0\x08\x02\x01a"), IdentityInParts),
        (greeting(b"\0\x08\x03\0\0a"), IdentityReserved),
    ];
    for (stream, error) in table {
        assert_eq!(refused(&stream), error, "{}", stream.escape_ascii());
    }
}

#[test]
fn bad_frames_of_old_peers() {
    let too_long = MessageTooLong { length_bytes: 1001, limit_bytes: 1000 };
    let v1: [(&[u8], ProtocolError); 9] = [
        (b"\0", LengthZero),
        (b"\xFF\0\0\0\0\0\0\0\0", LengthZero),
        (b"\x01\x02", ReservedFlags { flags: 2, reserved: 0xFE }),
        (b"\x05\x80", ReservedFlags { flags: 0x80, reserved: 0xFE }),
        (b"\xFF\0\0\0\0\0\0\0\x01\x04", ReservedFlags { flags: 4, reserved: 0xFE }),
        (b"\xFF\0\0\0\0\0\0\x03\xEA", too_long.clone()),
        (b"\xFF\x80\0\0\0\0\0\0\0", LengthOverflow { length_bytes: 1 << 63 }),
        // L1488.
        (b"\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xDA", LengthOverflow { length_bytes: u64::MAX - 37 }),
        (
            b"\x02\x01A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
            LengthOverflow { length_bytes: u64::MAX },
        ),
    ];
    for opening in [b"\x01\0".to_vec(), opening_old(0, SocketType::Push, b"me")] {
        for (frames, error) in &v1 {
            let stream = [&opening[..], frames].concat();
            assert_eq!(refused(&stream), *error, "{}", stream.escape_ascii());
        }
    }
    let v2: [(&[u8], ProtocolError); 5] = [
        // Commands came with ZMTP 3.
        (b"\x04\x06\x05READY", ReservedFlags { flags: 4, reserved: 0xFC }),
        (b"\x06", ReservedFlags { flags: 6, reserved: 0xFC }),
        (b"\x08", ReservedFlags { flags: 8, reserved: 0xFC }),
        (b"\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", LengthOverflow { length_bytes: u64::MAX }),
        (b"\x02\0\0\0\0\0\0\x03\xE9", too_long),
    ];
    for (frames, error) in v2 {
        let stream = [&opening_old(1, SocketType::Push, b"")[..], frames].concat();
        assert_eq!(refused(&stream), error, "{}", stream.escape_ascii());
    }
}

/// Each is the start of something: nothing is said, and nothing allocated on the peer's word.
#[test]
fn old_peers_that_stop_in_the_middle() {
    let v1 = [message_v1(false, b"identity"), message_v1(false, b"body")].concat();
    let v0 = [opening_old(0, SocketType::Push, b"me"), message_v1(false, b"body")].concat();
    let v2 = [opening_old(1, SocketType::Push, b"me"), b"\0\x04body".to_vec()].concat();
    for stream in [v1, v0, v2] {
        for length in 0..stream.len() {
            let driver = Driver::fed(&small(SocketType::Pull), [&stream[..length]]);
            assert!(driver.seen.len() < 2 && driver.failure().is_none(), "{length}");
        }
    }
    let huge = b"\x01\0\xFF\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF\0ab";
    let driver = Driver::fed(&Config::new(SocketType::Pull), [&huge[..]]);
    assert_eq!((driver.seen.len(), driver.failure()), (1, None));
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
        (ready(&[(b"Socket-Type", b"RADIO")]), UnknownSocketType { name: b"RADIO".to_vec() }),
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
        (b"\x08", ReservedFlags { flags: 0x08, reserved: 0xF8 }),
        (b"\x80\0", ReservedFlags { flags: 0x80, reserved: 0xF8 }),
        (b"\xFF", ReservedFlags { flags: 0xFF, reserved: 0xF8 }),
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
