//! Peers of ZMTP 2.0 and 1.0: what each side sends, byte by byte, and when.
mod common;

use common::{Driver, Seen, message_v1, opening_old};
use oxmq_zmtp::{Config, Connection, Event, Peer, SocketType, Version};

/// A step of a transcript.
enum Step {
    /// The peer sends this.
    Peer(&'static [u8]),
    /// We send exactly this next.
    We(&'static [u8]),
}

use Step::{Peer as P, We as W};

struct Transcript {
    what: &'static str,
    socket_type: SocketType,
    identity: &'static [u8],
    steps: &'static [Step],
    version: Version,
    forwards_subscriptions: bool,
    peer_type: Option<SocketType>,
    peer_identity: &'static [u8],
}

const BASE: Transcript = Transcript {
    what: "",
    socket_type: SocketType::Pull,
    identity: b"",
    steps: &[],
    version: Version::V2_0,
    forwards_subscriptions: true,
    peer_type: Some(SocketType::Push),
    peer_identity: b"",
};

const SIGNATURE: &[u8] = b"\xFF\0\0\0\0\0\0\0\x01\x7F";

/// The roles of bind and connect are the same on the wire; who speaks first is not.
const TRANSCRIPTS: [Transcript; 12] = [
    Transcript {
        what: "2.0, the peer speaks first",
        steps: &[
            P(b"\xFF\0\0\0\0\0\0\0\x01\x7F\x01\x08\0\0"),
            W(b"\xFF\0\0\0\0\0\0\0\x01\x7F\x03\x07\0\0"),
        ],
        ..BASE
    },
    Transcript {
        what: "2.0, the peer waits at every step",
        identity: b"me",
        steps: &[
            W(b"\xFF\0\0\0\0\0\0\0\x03\x7F"),
            P(SIGNATURE),
            W(b"\x03"),
            P(b"\x01"),
            W(b"\x07\0\x02me"),
            P(b"\x08"),
            W(b""),
            P(b"\0\x03you"),
            W(b""),
        ],
        peer_identity: b"you",
        ..BASE
    },
    Transcript {
        what: "2.0, an identity in the long form",
        steps: &[
            W(SIGNATURE),
            P(b"\xFF\0\0\0\0\0\0\0\x01\x7F\x01\x08\x02\0\0\0\0\0\0\0\x01i"),
            W(b"\x03\x07\0\0"),
        ],
        peer_identity: b"i",
        ..BASE
    },
    Transcript {
        what: "revision 2, which RFC 37 counts as 2.0",
        socket_type: SocketType::Req,
        steps: &[W(SIGNATURE), P(b"\xFF\0\0\0\0\0\0\0\x01\x7F\x02\x04\0\0"), W(b"\x03\x03\0\0")],
        peer_type: Some(SocketType::Rep),
        ..BASE
    },
    Transcript {
        what: "2.0, a type that says more than RFC 15 knows",
        socket_type: SocketType::XPub,
        steps: &[W(SIGNATURE), P(b"\xFF\0\0\0\0\0\0\0\x01\x7F\x01\x0A\0\0"), W(b"\x03\x09\0\0")],
        peer_type: Some(SocketType::XSub),
        ..BASE
    },
    Transcript {
        what: "revision 0, the peer speaks first",
        identity: b"me",
        steps: &[
            P(b"\xFF\0\0\0\0\0\0\0\x01\x7F\0\x08\x04\0you"),
            W(b"\xFF\0\0\0\0\0\0\0\x03\x7F\x03\x07\x03\0me"),
        ],
        version: Version::V1_0,
        peer_identity: b"you",
        ..BASE
    },
    Transcript {
        what: "revision 0, the peer waits",
        steps: &[
            W(SIGNATURE),
            P(SIGNATURE),
            W(b"\x03"),
            P(b"\0"),
            W(b"\x07\x01\0"),
            P(b"\x08\x01"),
            W(b""),
            P(b"\0"),
        ],
        version: Version::V1_0,
        ..BASE
    },
    Transcript {
        what: "1.0, anonymous peers, the peer speaks first",
        steps: &[P(b"\x01\0"), W(SIGNATURE)],
        version: Version::V1_0,
        forwards_subscriptions: false,
        peer_type: None,
        ..BASE
    },
    Transcript {
        what: "1.0, with identities, the peer waits for the header of ours",
        identity: b"me",
        steps: &[
            W(b"\xFF\0\0\0\0\0\0\0\x03\x7F"),
            P(b"\x04"),
            // Together with the signature, a frame of length 3.
            W(b"me"),
            P(b"\0yo"),
            W(b""),
            P(b"u"),
        ],
        version: Version::V1_0,
        forwards_subscriptions: false,
        peer_type: None,
        peer_identity: b"you",
        ..BASE
    },
    Transcript {
        what: "1.0, an anonymous peer in the long form",
        identity: b"me",
        steps: &[W(b"\xFF\0\0\0\0\0\0\0\x03\x7F"), P(b"\xFF\0\0\0\0\0\0\0\x01\0"), W(b"me")],
        version: Version::V1_0,
        forwards_subscriptions: false,
        peer_type: None,
        ..BASE
    },
    Transcript {
        what: "1.0, an identity in the long form",
        socket_type: SocketType::Pub,
        steps: &[W(SIGNATURE), P(b"\xFF\0\0\0\0\0\0\0\x04\0"), W(b""), P(b"you")],
        version: Version::V1_0,
        forwards_subscriptions: false,
        peer_type: None,
        peer_identity: b"you",
        ..BASE
    },
    Transcript {
        what: "1.0, a publisher",
        socket_type: SocketType::Sub,
        steps: &[W(SIGNATURE), P(b"\x02\0p"), W(b"")],
        version: Version::V1_0,
        forwards_subscriptions: false,
        peer_type: None,
        peer_identity: b"p",
        ..BASE
    },
];

#[test]
fn transcripts() {
    for transcript in TRANSCRIPTS {
        let what = transcript.what;
        let config = Config {
            identity: transcript.identity.to_vec(),
            ..Config::new(transcript.socket_type)
        };
        let mut driver = Driver::new(config);
        let mut sent = 0;
        for step in transcript.steps {
            match step {
                P(bytes) => driver.feed(bytes),
                W(bytes) => {
                    assert_eq!(driver.sent[sent..], **bytes, "{what}");
                    sent = driver.sent.len();
                }
            }
        }
        assert_eq!(driver.sent.len(), sent, "{what}");
        let peer = Peer {
            version: transcript.version,
            forwards_subscriptions: transcript.forwards_subscriptions,
            as_server: false,
            socket_type: transcript.peer_type,
            identity: transcript.peer_identity.to_vec(),
            metadata: Vec::new(),
        };
        assert_eq!(driver.seen, [Seen::Ready(peer)], "{what}");
        assert_eq!(driver.connection.frames_v1(), transcript.version == Version::V1_0, "{what}");
    }
}

#[test]
fn a_handshake_takes_nothing_of_the_traffic_behind_it() {
    let traffic = b"\x02\0A";
    for opening in [
        b"\x01\0".to_vec(),
        b"\x03\0me".to_vec(),
        message_v1(false, &[b'i'; 255]),
        opening_old(0, SocketType::Push, b""),
        opening_old(1, SocketType::Push, b"me"),
    ] {
        let stream = [&opening[..], traffic].concat();
        let mut connection = Connection::new(Config::new(SocketType::Pull));
        assert_eq!(connection.handle_handshake(&stream), Ok(opening.len()));
        assert!(connection.is_ready());
        assert_eq!(connection.handle_handshake(traffic), Ok(0));
    }
}

#[test]
fn an_identity_of_255_bytes_is_the_longest() {
    let identity = vec![b'i'; 255];
    for own_bytes in [255, 300] {
        let config = Config { identity: vec![b'o'; own_bytes], ..Config::new(SocketType::Pull) };
        let driver = Driver::fed(&config, [&*message_v1(false, &identity)]);
        assert_eq!(driver.connection.peer().unwrap().identity, identity);
        // The signature is the header of a frame of 256 bytes, the flags among them.
        let own = [&b"\xFF\0\0\0\0\0\0\x01\0\x7F"[..], &[b'o'; 255]].concat();
        assert_eq!(driver.sent, own);
    }
}

#[test]
fn subscriptions_take_the_form_that_the_peer_knows() {
    let table: [(Vec<u8>, &[u8]); 3] = [
        (b"\x01\0".to_vec(), b""),
        (opening_old(0, SocketType::Pub, b""), b"\x03\0\x01A\x03\0\0A"),
        (opening_old(1, SocketType::Pub, b""), b"\0\x02\x01A\0\x02\0A"),
    ];
    for (opening, golden) in table {
        let mut driver = Driver::fed(&Config::new(SocketType::Sub), [&*opening]);
        let mut out = Vec::new();
        assert_eq!(driver.connection.subscribe(b"A", &mut out), !golden.is_empty());
        assert_eq!(driver.connection.cancel(b"A", &mut out), !golden.is_empty());
        assert_eq!(out, golden);
        // They know no commands.
        assert!(!driver.connection.ping(1, b"", &mut out));
        assert_eq!(out, golden);
    }
}

#[test]
fn seal_frames_as_the_peer_does() {
    for (opening, frames) in [
        (b"\x01\0".to_vec(), message_v1 as fn(bool, &[u8]) -> Vec<u8>),
        (opening_old(0, SocketType::Pull, b""), message_v1),
        (opening_old(1, SocketType::Pull, b""), common::message),
    ] {
        let mut driver = Driver::fed(&Config::new(SocketType::Push), [&*opening]);
        for length in [0, 1, 252, 253, 254, 255, 256, 65536] {
            for more in [false, true] {
                let body = vec![7; length];
                let mut out = Vec::new();
                driver.connection.seal(more, &body, &mut out);
                assert_eq!(out, frames(more, &body), "{length}");
            }
        }
    }
}

/// A subscription of an old peer is a message; what it means is the socket's business.
#[test]
fn nothing_of_an_old_peer_is_a_command() {
    let stream = [opening_old(1, SocketType::Sub, b""), b"\0\x02\x01A".to_vec()].concat();
    let driver = Driver::fed(&Config::new(SocketType::Pub), [&*stream]);
    assert_eq!(driver.seen[1], Seen::Message { more: false, body: b"\x01A".to_vec() });
    assert!(!driver.seen.contains(&Seen::Command(Event::Subscribe(b"A".to_vec()))));
}
