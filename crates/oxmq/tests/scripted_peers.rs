//! Every pattern with a peer of bytes of every version of ZMTP: 1.0, 2.0, 3.0 and 3.1, either side
//! binding, over tcp and ipc.

mod support;

use oxmq::option::RCVTIMEO;
use oxmq::{Context, Socket, SocketType};

use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
use support::raw::{self, GREETING_3_0, GREETING_OURS, Old, RawListener, RawPeer};
use support::{LONG, body, endpoints};

/// The valid pairs: ours, then the peer's.
const PAIRS: [(SocketType, SocketType); 21] = [
    (Req, Rep),
    (Req, Router),
    (Rep, Req),
    (Rep, Dealer),
    (Dealer, Rep),
    (Dealer, Dealer),
    (Dealer, Router),
    (Router, Req),
    (Router, Dealer),
    (Router, Router),
    (Pub, Sub),
    (Pub, XSub),
    (XPub, Sub),
    (XPub, XSub),
    (Sub, Pub),
    (Sub, XPub),
    (XSub, Pub),
    (XSub, XPub),
    (Push, Pull),
    (Pull, Push),
    (Pair, Pair),
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    V1_0,
    V2_0,
    V3_0,
    V3_1,
}

const VERSIONS: [Version; 4] = [Version::V1_0, Version::V2_0, Version::V3_0, Version::V3_1];

/// The peer's name, where it has one to give.
const NAME: &str = "peer";

impl Version {
    fn old(self) -> Option<Old> {
        match self {
            Version::V1_0 => Some(Old::V1),
            Version::V2_0 => Some(Old::V2),
            Version::V3_0 | Version::V3_1 => None,
        }
    }

    /// The peer speaks first; every byte of the answer is checked.
    fn shake_hands(self, peer: &mut RawPeer, theirs: SocketType, ours: SocketType) {
        let names_itself = |kind| matches!(kind, Req | Dealer | Router);
        let name = if names_itself(theirs) { NAME } else { "" };
        if let Some(old) = self.old() {
            peer.send(&old.opening(theirs.number(), name.as_bytes()));
            return peer.expect(&old.answer(ours.number()));
        }
        let mut greeting = GREETING_3_0;
        greeting[11] = u8::from(self == Version::V3_1);
        peer.send(&greeting);
        peer.expect(&GREETING_OURS);
        peer.send(&raw::ready(theirs.name(), names_itself(theirs).then_some(name)));
        peer.expect(&raw::ready(ours.name(), names_itself(ours).then_some("")));
    }

    fn message<P: AsRef<[u8]>>(self, parts: &[P]) -> Vec<u8> {
        self.old().map_or_else(|| raw::message(parts), |old| old.message(parts))
    }

    /// A subscription on the wire; ZMTP 1.0 has none.
    fn subscription(self, topic: &str) -> Vec<u8> {
        match self {
            Version::V1_0 => Vec::new(),
            Version::V2_0 | Version::V3_0 => self.message(&[["\x01", topic].concat()]),
            Version::V3_1 => raw::frame(4, ["\x09SUBSCRIBE", topic].concat().as_bytes()),
        }
    }
}

/// Messages of every frame format, each beginning with the topic.
fn messages() -> Vec<Vec<Vec<u8>>> {
    let topic = |size| [b"t".to_vec(), body(size)].concat();
    let sizes = [0, 1, 253, 254, 255, 256, 8192, 70_000];
    let mut messages: Vec<Vec<Vec<u8>>> = sizes.map(|size| vec![topic(size)]).into();
    messages.push(vec![topic(0), body(0), body(300), body(0)]);
    messages
}

fn recv(ours: &Socket) -> Vec<Vec<u8>> {
    let parts = ours.recv_multipart().unwrap();
    parts.iter().map(|part| part.to_vec()).collect()
}

/// What our socket puts before a message that it is given, or that it gives.
fn envelope(ours: SocketType, theirs: SocketType) -> Vec<Vec<u8>> {
    match (ours, theirs) {
        (Router, Req | Dealer | Router) => vec![NAME.as_bytes().to_vec()],
        _ => Vec::new(),
    }
}

/// What is before the message on the wire.
fn wire_envelope(ours: SocketType) -> Vec<Vec<u8>> {
    if matches!(ours, Req | Rep) { vec![Vec::new()] } else { Vec::new() }
}

fn talk(version: Version, ours: &Socket, theirs: SocketType, peer: &mut RawPeer) {
    let kind = ours.kind();
    let sends = |peer: &mut RawPeer, parts: &[Vec<u8>]| {
        ours.send_multipart([envelope(kind, theirs), parts.to_vec()].concat()).unwrap();
        peer.expect(&version.message(&[wire_envelope(kind), parts.to_vec()].concat()));
    };
    let receives = |peer: &mut RawPeer, parts: &[Vec<u8>]| {
        peer.send(&version.message(&[wire_envelope(kind), parts.to_vec()].concat()));
        let expected = [envelope(kind, theirs), parts.to_vec()].concat();
        assert!(recv(ours) == expected, "{version:?} {} {}", kind.name(), theirs.name());
    };
    match kind {
        Pub | XPub => {
            peer.send(&version.subscription("t"));
            let topic = if version == Version::V1_0 { "" } else { "t" };
            ours.wait_for_subscribers(topic, 1, Some(LONG)).unwrap();
            if kind == XPub {
                assert_eq!(recv(ours), [["\x01", topic].concat().into_bytes()]);
            }
            if version != Version::V1_0 {
                ours.send("not wanted").unwrap();
            }
        }
        Sub => ours.subscribe("t").unwrap(),
        XSub => ours.send("\x01t").unwrap(),
        // A first message of the peer's, so that its name is known.
        Router => receives(peer, &messages()[0]),
        _ => {}
    }
    if matches!(kind, Sub | XSub) {
        peer.expect(&version.subscription("t"));
    }
    for parts in messages() {
        match kind {
            Push | Pub | XPub => sends(peer, &parts),
            Pull | Sub | XSub => receives(peer, &parts),
            Rep => {
                receives(peer, &parts);
                sends(peer, &parts);
            }
            _ => {
                sends(peer, &parts);
                receives(peer, &parts);
            }
        }
    }
}

#[test]
fn every_pattern_with_every_version() {
    let mut count = 0;
    for (ours, theirs) in PAIRS {
        for version in VERSIONS {
            for we_bind in [true, false] {
                for endpoint in endpoints() {
                    let context = Context::new();
                    let socket = context.socket(ours).unwrap();
                    socket.set(RCVTIMEO, LONG.as_millis() as i32).unwrap();
                    let mut peer = if we_bind {
                        RawPeer::connect(&socket.bind(&endpoint).unwrap())
                    } else {
                        let (listener, actual) = RawListener::bind(&endpoint);
                        socket.connect(&actual).unwrap();
                        listener.accept()
                    };
                    version.shake_hands(&mut peer, theirs, ours);
                    talk(version, &socket, theirs, &mut peer);
                    count += 1;
                }
            }
        }
    }
    println!("{count} combinations of pair of types, version, binding side and transport");
    assert_eq!(count, PAIRS.len() * VERSIONS.len() * 2 * endpoints().len());
}
