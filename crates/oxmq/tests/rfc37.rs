//! RFC 37, ZMTP 3.1, and what RFC 23 (3.0) says otherwise: each sentence that a peer can see, over tcp
//! and ipc, for a socket that binds and for one that connects. The peer is made of bytes.
//!
//! ZMTP 2.0 and 1.0 (RFCs 15 and 13) are in `old_peers.rs`, heartbeats in `heartbeats.rs`.

mod sentences;
mod support;

use oxmq::option::{RCVTIMEO, RECONNECT_IVL};
use oxmq::{Context, RecvError, Socket, SocketType};

use SocketType::{Dealer, Pub, Pull, Push, Req, Router, Sub, XSub};
use sentences::{Sentence, expect, hold_on_the_wire, nothing, parts, socket, wait_until};
use support::raw::{
    GREETING_3_0, GREETING_OURS, RawListener, RawPeer, SIGNATURE, frame, message, ready,
};
use support::{LONG, Place};

#[test]
fn greetings() {
    hold_on_the_wire("greetings", GREETINGS);
}

#[test]
fn handshakes() {
    hold_on_the_wire("handshakes", HANDSHAKES);
}

#[test]
fn framing() {
    hold_on_the_wire("framing", FRAMING);
}

#[test]
fn patterns() {
    hold_on_the_wire("patterns", PATTERNS);
}

const GREETINGS: &[Sentence] = &[
    ("SHALL send enough to tell the version, before it reads anything", |place| {
        let mut met = Met::new(place, Pull);
        met.peer.expect(&SIGNATURE);
    }),
    ("SHALL NOT validate the padding", |place| {
        let mut met = Met::new(place, Pull);
        let mut greeting = GREETING_3_0;
        greeting[1..9].copy_from_slice(b"\x55\xAA\0\x01\xFF\0\x7F\0");
        met.greet(&greeting, "PUSH");
        met.hears();
    }),
    ("MUST accept higher versions, and SHALL use its own protocol with them", |place| {
        for version in [[3, 1], [3, 2], [3, 255], [4, 0], [255, 255]] {
            let mut met = Met::new(place, Pull);
            let mut greeting = GREETING_3_0;
            greeting[10..12].copy_from_slice(&version);
            met.greet(&greeting, "PUSH");
            met.hears();
        }
    }),
    ("sends zeroes for as-server and the filler, with NULL", |place| {
        let mut met = Met::new(place, Pull);
        met.peer.send(&GREETING_3_0);
        met.peer.expect(&GREETING_OURS);
        assert!(GREETING_OURS[16..].iter().all(|&byte| byte == 0));
    }),
    ("MUST send a full greeting to one who did, and MUST close when mechanisms differ", |place| {
        for mechanism in [*b"PLAIN\0", *b"CURVE\0", *b"NULLL\0", *b"null\0\0"] {
            let mut met = Met::new(place, Pull);
            let mut greeting = GREETING_3_0;
            greeting[12..18].copy_from_slice(&mechanism);
            met.peer.send(&greeting);
            met.peer.expect(&GREETING_OURS);
            assert!(met.peer.ends());
        }
    }),
];

const HANDSHAKES: &[Sentence] = &[
    ("SHALL send READY, and MAY send messages when both have", |place| {
        let mut met = Met::new(place, Pull);
        met.peer.shake_hands("PUSH", "PULL");
        met.hears();
    }),
    ("metadata names SHALL be case-insensitive", |place| {
        for name in ["socket-type", "SOCKET-TYPE", "sOcKeT-TyPe"] {
            let mut met = Met::new(place, Pull);
            met.peer.send(&GREETING_3_0);
            met.peer.send(&ready_with(&[(name.as_bytes(), b"PUSH")]));
            met.peer.expect(&[&GREETING_OURS[..], &ready("PULL", None)].concat());
            met.hears();
            // And so it is seen at all.
            let mut met = Met::new(place, Pull);
            met.peer.send(&GREETING_3_0);
            met.peer.send(&ready_with(&[(name.as_bytes(), b"PULL")]));
            assert!(met.peer.ends());
        }
    }),
    ("takes properties that it does not know, X- and empty ones among them", |place| {
        let mut met = Met::new(place, Pull);
        met.peer.send(&GREETING_3_0);
        let all: &[(&[u8], &[u8])] = &[
            (b"X-Own", b"\0\xFF"),
            (b"Socket-Type", b"PUSH"),
            (b"Resource", b""),
            (&[b'n'; 255], b"x"),
        ];
        met.peer.send(&ready_with(all));
        met.peer.expect(&[&GREETING_OURS[..], &ready("PULL", None)].concat());
        met.hears();
    }),
    ("a name SHALL be 1 to 255 characters, a value SHALL be as long as it says", |place| {
        for body in [
            &b"\x05READY\0\0\0\0\x01x"[..],
            b"\x05READY\x0BSocket-Type\0\0\0\xFFPUSH",
            b"\x05READY\x0BSocket-Type\xFF\xFF\xFF\xFFPUSH",
            b"\x05READY\x0BSocket-Type\0\0",
            b"\x05READY\x7FSocket-Type",
        ] {
            let mut met = Met::new(place, Pull);
            met.peer.send(&GREETING_3_0);
            met.peer.send(&frame(4, body));
            assert!(met.peer.ends());
        }
    }),
    ("SHOULD enforce valid peer types", |place| {
        for (ours, theirs, fits) in [
            (Pull, "PUSH", true),
            (Pull, "PULL", false),
            (Req, "ROUTER", true),
            (Req, "DEALER", false),
            (Sub, "XPUB", true),
            (Sub, "SUB", false),
            (Dealer, "DEALER", true),
            (Router, "REP", false),
            (Pull, "push", false),
        ] {
            let mut met = Met::new(place, ours);
            met.peer.send(&GREETING_3_0);
            met.peer.send(&ready(theirs, None));
            let identity = matches!(ours, Req | Dealer | Router).then_some("");
            met.peer.expect(&[&GREETING_OURS[..], &ready(ours.name(), identity)].concat());
            if fits {
                met.socket.wait_for_peers(1, Some(LONG)).unwrap();
            } else {
                assert!(met.peer.ends());
                wait_until(|| met.socket.last_failure().is_some());
                let why = met.socket.last_failure().unwrap();
                assert!(why.contains(theirs), "{why}");
            }
        }
    }),
    ("the identity SHALL be at most 255 octets, and SHALL NOT begin with a zero", |place| {
        for (identity, fits) in
            [("i".repeat(255), true), ("i".repeat(256), false), ("\0i".to_owned(), false)]
        {
            let mut met = Met::new(place, Router);
            met.peer.send(&GREETING_3_0);
            met.peer.send(&ready("DEALER", Some(&identity)));
            if fits {
                met.peer.expect(&[&GREETING_OURS[..], &ready("ROUTER", Some(""))].concat());
                met.peer.send(&message(&["x"]));
                expect(&met.socket, &[&identity, "x"]);
            } else {
                assert!(met.peer.ends());
            }
        }
    }),
    ("SHALL ignore the identity of other types", |place| {
        let mut met = Met::new(place, Router);
        met.peer.send(&GREETING_3_0);
        met.peer.send(&ready("REQ", Some("known")));
        met.peer.send(&message(&["", "x"]));
        expect(&met.socket, &["known", "", "x"]);
        let mut met = Met::new(place, Pull);
        met.peer.send(&GREETING_3_0);
        met.peer.send(&ready("PUSH", Some("ignored")));
        met.peer.expect(&[&GREETING_OURS[..], &ready("PULL", None)].concat());
        met.hears();
    }),
    ("SHALL treat ERROR as fatal and close", |place| {
        let mut met = Met::new(place, Pull);
        met.peer.send(&GREETING_3_0);
        met.peer.send(&frame(4, b"\x05ERROR\x06go off"));
        assert!(met.peer.ends());
        wait_until(|| met.socket.last_failure().is_some_and(|why| why.contains("go off")));
    }),
    ("SHALL take an unexpected close for temporary, and SHOULD reconnect", |place| {
        if place.first_binds {
            return;
        }
        let mut met = Met::new(place, Pull);
        for bytes in [0, 20, 64, 70] {
            let all = [&GREETING_3_0[..], &ready("PUSH", None)].concat();
            met.peer.send(&all[..bytes]);
            let fd = met.peer.stream.as_raw_fd();
            // SAFETY: the descriptor is the peer's.
            assert_eq!(unsafe { libc::shutdown(fd, libc::SHUT_RDWR) }, 0);
            met.peer = met.listener.as_ref().unwrap().accept();
        }
        met.peer.shake_hands("PUSH", "PULL");
        met.hears();
    }),
];

const FRAMING: &[Sentence] = &[
    ("reserved flag bits MUST be zero", |place| {
        for bit in 3..8 {
            let mut met = Met::ready(place, Pull, "PUSH");
            met.peer.send(&[1 << bit, 1, b'x']);
            assert!(met.peer.ends());
            assert_eq!(met.socket.try_recv().err(), Some(RecvError::Again));
        }
    }),
    ("MORE SHALL be zero on commands", |place| {
        let mut met = Met::ready(place, Pull, "PUSH");
        met.peer.send(&frame(5, b"\x04PING\0\0"));
        assert!(met.peer.ends());
    }),
    ("takes short bodies in the long form too", |place| {
        let mut met = Met::ready(place, Pull, "PUSH");
        met.peer.send(b"\x02\0\0\0\0\0\0\0\x05short\x02\0\0\0\0\0\0\0\0");
        expect(&met.socket, &["short"]);
        expect(&met.socket, &[""]);
    }),
    ("sends bodies of up to 255 octets in the short form, others in the long", |place| {
        let mut met = Met::ready(place, Push, "PULL");
        for bytes in [0, 1, 255, 256, 70_000] {
            let body = vec![7; bytes];
            met.socket.send(&body).unwrap();
            met.peer.expect(&message(&[&body]));
        }
    }),
    ("SHALL send and deliver messages atomically", |place| {
        let mut met = Met::ready(place, Pull, "PUSH");
        let whole = message(&["first", "second", "third"]);
        for at in 1..whole.len() {
            met.peer.send(&whole[..at]);
            assert_eq!(met.socket.try_recv().err(), Some(RecvError::Again));
            met.peer.send(&whole[at..]);
            expect(&met.socket, &["first", "second", "third"]);
        }
        // Half of it and the end of the connection is nothing.
        met.peer.send(&whole[..whole.len() - 1]);
        drop(met.peer);
        nothing(&met.socket);
    }),
    ("SHALL NOT deliver a message twice, and SHALL deliver in order", |place| {
        let mut met = Met::ready(place, Pull, "PUSH");
        let all: Vec<u8> =
            (0..2000_u32).flat_map(|number| message(&[number.to_le_bytes()])).collect();
        for piece in all.chunks(777) {
            met.peer.send(piece);
        }
        for number in 0..2000_u32 {
            assert_eq!(parts(&met.socket), [number.to_le_bytes()]);
        }
        nothing(&met.socket);
    }),
    ("SHALL answer PING with PONG and its context of at most 16 octets", |place| {
        let mut met = Met::new(place, Pull);
        met.greet(&GREETING_OURS, "PUSH");
        for context in [&b""[..], b"x", b"sixteen octets!!"] {
            met.peer.send(&frame(4, &[b"\x04PING\0\0", context].concat()));
            met.peer.expect(&frame(4, &[b"\x04PONG", context].concat()));
        }
        // A PONG that nobody asked for does no harm.
        met.peer.send(&frame(4, b"\x04PONGx"));
        met.hears();
        met.peer.send(&frame(4, b"\x04PING\0\0seventeen octets!"));
        met.peer.expect(&frame(4, b"\x04PONGseventeen octets"));
    }),
];

const PATTERNS: &[Sentence] = &[
    ("SHALL send SUBSCRIBE and CANCEL commands; in ZMTP 3.0, messages", |place| {
        for kind in [Sub, XSub] {
            for greeting in [GREETING_OURS, GREETING_3_0] {
                let mut met = Met::new(place, kind);
                met.greet(&greeting, "PUB");
                let new = greeting == GREETING_OURS;
                met.subscribe(true);
                met.peer.expect(&if new {
                    frame(4, b"\x09SUBSCRIBEtopic")
                } else {
                    message(&["\x01topic"])
                });
                met.subscribe(false);
                met.peer.expect(&if new {
                    frame(4, b"\x06CANCELtopic")
                } else {
                    message(&["\0topic"])
                });
            }
        }
    }),
    (
        "filtering SHALL happen at the publisher; A matches what begins with it, nothing all",
        |place| {
            for greeting in [GREETING_OURS, GREETING_3_0] {
                let mut met = Met::new(place, Pub);
                met.greet(&greeting, "SUB");
                let mut subscribe = |add: bool, prefix: &[u8]| {
                    let bytes = match (greeting == GREETING_OURS, add) {
                        (true, true) => frame(4, &[b"\x09SUBSCRIBE", prefix].concat()),
                        (true, false) => frame(4, &[b"\x06CANCEL", prefix].concat()),
                        (false, add) => message(&[[&[u8::from(add)], prefix].concat()]),
                    };
                    met.peer.send(&bytes);
                    wait_until(|| {
                        met.socket.wait_for_subscribers(prefix, 1, Some(Default::default())).is_ok()
                            == add
                    });
                };
                subscribe(true, b"A");
                met.socket.send("B").unwrap();
                met.socket.send("AB").unwrap();
                subscribe(true, b"");
                met.socket.send("B").unwrap();
                // Additive: the one is there without the other.
                subscribe(false, b"");
                met.socket.send("B").unwrap();
                met.socket.send("A").unwrap();
                met.peer.expect(&[message(&["AB"]), message(&["B"]), message(&["A"])].concat());
            }
        },
    ),
    // "SHALL NOT be idempotent": SUB and XSUB count what their applications do, and tell a publisher of
    // every subscription and of the last end only; so a publisher takes one CANCEL for the end, as
    // libzmq does.
    ("two subscriptions to one prefix need two ends", |place| {
        let mut met = Met::new(place, Sub);
        met.greet(&GREETING_OURS, "PUB");
        // A new peer is told each prefix but once.
        met.socket.wait_for_peers(1, Some(LONG)).unwrap();
        met.subscribe(true);
        met.subscribe(true);
        met.peer.expect(&frame(4, b"\x09SUBSCRIBEtopic").repeat(2));
        met.subscribe(false);
        met.peer.send(&message(&["topic"]));
        expect(&met.socket, &["topic"]);
        met.subscribe(false);
        met.peer.expect(&frame(4, b"\x06CANCELtopic"));
        met.peer.send(&message(&["topic"]));
        nothing(&met.socket);
    }),
    ("REQ SHALL be on the wire as RFC 28 says", |place| {
        let mut met = Met::new(place, Req);
        met.peer.send(&GREETING_3_0);
        met.peer.send(&ready("REP", None));
        met.peer.expect(&[&GREETING_OURS[..], &ready("REQ", Some(""))].concat());
        met.socket.send_multipart(["a", "question"]).unwrap();
        met.peer.expect(&message(&["", "a", "question"]));
        met.peer.send(&message(&["", "an", "answer"]));
        expect(&met.socket, &["an", "answer"]);
    }),
];

/// A socket, and a peer of bytes that has connected to it or been connected to.
struct Met {
    socket: Socket,
    peer: RawPeer,
    listener: Option<RawListener>,
    _context: Context,
}

impl Met {
    fn new(place: Place, kind: SocketType) -> Met {
        let context = Context::new();
        let socket = socket(&context, kind);
        socket.set(RECONNECT_IVL, 1).unwrap();
        socket.set(RCVTIMEO, LONG.as_millis() as i32).unwrap();
        if place.first_binds {
            let peer = RawPeer::connect(&socket.bind(&place.endpoint()).unwrap());
            Met { socket, peer, listener: None, _context: context }
        } else {
            let (listener, endpoint) = RawListener::bind(&place.endpoint());
            socket.connect(&endpoint).unwrap();
            let peer = listener.accept();
            Met { socket, peer, listener: Some(listener), _context: context }
        }
    }

    /// As [`Met::new`], their hands shaken.
    fn ready(place: Place, kind: SocketType, theirs: &str) -> Met {
        let mut met = Met::new(place, kind);
        met.peer.shake_hands(theirs, kind.name());
        met
    }

    fn greet(&mut self, greeting: &[u8], theirs: &str) {
        self.peer.send(greeting);
        self.peer.send(&ready(theirs, None));
        let ours = ready(self.socket.kind().name(), None);
        self.peer.expect(&[&GREETING_OURS[..], &ours].concat());
    }

    /// Messages come through, in its own framing.
    fn hears(&mut self) {
        self.peer.send(&message(&["heard", "", "of"]));
        expect(&self.socket, &["heard", "", "of"]);
    }

    fn subscribe(&self, add: bool) {
        match self.socket.kind() {
            Sub if add => self.socket.subscribe("topic").unwrap(),
            Sub => self.socket.unsubscribe("topic").unwrap(),
            _ => self.socket.send([&[u8::from(add)], &b"topic"[..]].concat()).unwrap(),
        }
    }
}

fn ready_with(properties: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in properties {
        body.push(name.len() as u8);
        body.extend(*name);
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(*value);
    }
    frame(4, &body)
}
