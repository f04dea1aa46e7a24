//! Debian's libzmq as the other side, and peers made of bytes.

mod support;

use std::thread;
use std::time::{Duration, Instant};

use oxmq::{
    Context, Message, Pair, Publisher, Pull, Push, RecvError, Reply, Request, Socket, SocketType,
    Subscriber,
};

use support::libzmq::{self, LibContext, LibSocket};
use support::raw::{self, RawListener, RawPeer};
use support::{LONG, body, endpoints, fresh_name};

/// How long to wait for something that may not come, before it is asked for again.
const SHORT: Duration = Duration::from_millis(50);

type Failure = Box<dyn std::error::Error>;

/// What every combination of roles carries: bodies about the limits of the frame formats, and
/// multiparts with empty parts everywhere.
fn payloads() -> Vec<Vec<Vec<u8>>> {
    let mut payloads: Vec<_> = [0, 1, 255, 256, 1 << 20].map(|bytes| vec![body(bytes)]).into();
    payloads.push(vec![body(0), body(5), body(0), body(300), body(0)]);
    payloads.push(vec![body(3), body(0), body(70_000), body(256)]);
    payloads.push(vec![body(0), body(0)]);
    payloads
}

fn bytes_of(parts: Vec<Message>) -> Vec<Vec<u8>> {
    parts.iter().map(|part| part.to_vec()).collect()
}

fn arrived(received: &[Vec<u8>], sent: &[Vec<u8>]) -> Result<(), Failure> {
    if received == sent {
        return Ok(());
    }
    let sizes = |parts: &[Vec<u8>]| parts.iter().map(Vec::len).collect::<Vec<_>>();
    Err(format!("sent parts of {:?} bytes, received {:?}", sizes(sent), sizes(received)).into())
}

/// Our socket's role, libzmq's role, and what is done with the two of them.
struct Combination {
    ours: SocketType,
    theirs: i32,
    name: &'static str,
    carry: Carry,
}

type Carry = fn(&Socket, &LibSocket, &[Vec<u8>]) -> Result<(), Failure>;

const COMBINATIONS: [Combination; 22] = [
    Combination {
        ours: SocketType::Push,
        theirs: libzmq::PULL,
        name: "PUSH to PULL",
        carry: ours_to_theirs,
    },
    Combination {
        ours: SocketType::Pull,
        theirs: libzmq::PUSH,
        name: "PULL from PUSH",
        carry: theirs_to_ours,
    },
    Combination {
        ours: SocketType::Pub,
        theirs: libzmq::SUB,
        name: "PUB to SUB",
        carry: ours_to_theirs,
    },
    Combination {
        ours: SocketType::Pub,
        theirs: libzmq::XSUB,
        name: "PUB to XSUB",
        carry: ours_to_theirs,
    },
    Combination {
        ours: SocketType::Sub,
        theirs: libzmq::PUB,
        name: "SUB from PUB",
        carry: theirs_to_ours,
    },
    Combination {
        ours: SocketType::Sub,
        theirs: libzmq::XPUB,
        name: "SUB from XPUB",
        carry: theirs_to_ours,
    },
    Combination {
        ours: SocketType::Pair,
        theirs: libzmq::PAIR,
        name: "PAIR to PAIR",
        carry: ours_to_theirs,
    },
    Combination {
        ours: SocketType::Pair,
        theirs: libzmq::PAIR,
        name: "PAIR from PAIR",
        carry: theirs_to_ours,
    },
    Combination { ours: SocketType::Req, theirs: libzmq::REP, name: "REQ to REP", carry: ask_them },
    Combination {
        ours: SocketType::Req,
        theirs: libzmq::ROUTER,
        name: "REQ to ROUTER",
        carry: ask_their_router,
    },
    Combination {
        ours: SocketType::Rep,
        theirs: libzmq::REQ,
        name: "REP from REQ",
        carry: answer_them,
    },
    Combination {
        ours: SocketType::Rep,
        theirs: libzmq::DEALER,
        name: "REP from DEALER",
        carry: answer_their_dealer,
    },
    Combination {
        ours: SocketType::Dealer,
        theirs: libzmq::REP,
        name: "DEALER to REP",
        carry: deal_to_their_rep,
    },
    Combination {
        ours: SocketType::Dealer,
        theirs: libzmq::ROUTER,
        name: "DEALER to ROUTER",
        carry: deal_to_their_router,
    },
    Combination {
        ours: SocketType::Dealer,
        theirs: libzmq::DEALER,
        name: "DEALER to DEALER",
        carry: ask_them,
    },
    Combination {
        ours: SocketType::Router,
        theirs: libzmq::REQ,
        name: "ROUTER from REQ",
        carry: route_for_their_req,
    },
    Combination {
        ours: SocketType::Router,
        theirs: libzmq::DEALER,
        name: "ROUTER from DEALER",
        carry: route_for_their_dealer,
    },
    Combination {
        ours: SocketType::Router,
        theirs: libzmq::ROUTER,
        name: "ROUTER to ROUTER",
        carry: route_to_their_router,
    },
    Combination {
        ours: SocketType::XPub,
        theirs: libzmq::SUB,
        name: "XPUB to SUB",
        carry: ours_to_theirs,
    },
    Combination {
        ours: SocketType::XPub,
        theirs: libzmq::XSUB,
        name: "XPUB to XSUB",
        carry: ours_to_theirs,
    },
    Combination {
        ours: SocketType::XSub,
        theirs: libzmq::PUB,
        name: "XSUB from PUB",
        carry: theirs_to_ours,
    },
    Combination {
        ours: SocketType::XSub,
        theirs: libzmq::XPUB,
        name: "XSUB from XPUB",
        carry: theirs_to_ours,
    },
];

fn ours_to_theirs(ours: &Socket, theirs: &LibSocket, payload: &[Vec<u8>]) -> Result<(), Failure> {
    ours.send_multipart(payload)?;
    arrived(&theirs.recv().map_err(|error| error.to_string())?, payload)
}

fn theirs_to_ours(ours: &Socket, theirs: &LibSocket, payload: &[Vec<u8>]) -> Result<(), Failure> {
    theirs.send(payload).map_err(|error| error.to_string())?;
    let mut parts = vec![ours.recv_timeout(LONG)?];
    while parts.last().is_some_and(Message::more) {
        parts.push(ours.recv_timeout(LONG)?);
    }
    arrived(&bytes_of(parts), payload)
}

fn ask_them(ours: &Socket, theirs: &LibSocket, payload: &[Vec<u8>]) -> Result<(), Failure> {
    ours_to_theirs(ours, theirs, payload)?;
    theirs_to_ours(ours, theirs, payload)
}

fn answer_them(ours: &Socket, theirs: &LibSocket, payload: &[Vec<u8>]) -> Result<(), Failure> {
    theirs_to_ours(ours, theirs, payload)?;
    ours_to_theirs(ours, theirs, payload)
}

/// A ROUTER sees the asker's identity and the delimiter, and answers with both.
fn ask_their_router(ours: &Socket, theirs: &LibSocket, payload: &[Vec<u8>]) -> Result<(), Failure> {
    ours.send_multipart(payload)?;
    let request = theirs.recv().map_err(|error| error.to_string())?;
    let [identity, delimiter, request @ ..] = &request[..] else {
        return Err("no envelope".into());
    };
    arrived(request, payload)?;
    let mut reply = vec![identity.clone(), delimiter.clone()];
    reply.extend_from_slice(payload);
    theirs_to_ours_as(ours, theirs, &reply, payload)
}

/// A DEALER that asks with an envelope of several addresses gets it back.
fn answer_their_dealer(
    ours: &Socket,
    theirs: &LibSocket,
    payload: &[Vec<u8>],
) -> Result<(), Failure> {
    let mut enveloped = vec![b"far".to_vec(), b"near".to_vec(), vec![]];
    enveloped.extend_from_slice(payload);
    theirs_to_ours_as(ours, theirs, &enveloped, payload)?;
    ours.send_multipart(payload)?;
    arrived(&theirs.recv().map_err(|error| error.to_string())?, &enveloped)
}

/// How the two sides are called where one of them is a ROUTER.
const OURS: &[u8] = b"ours";
const THEIRS: &[u8] = b"theirs";

fn behind(envelope: &[&[u8]], payload: &[Vec<u8>]) -> Vec<Vec<u8>> {
    envelope.iter().map(|part| part.to_vec()).chain(payload.iter().cloned()).collect()
}

/// A DEALER makes the delimiter itself.
fn deal_to_their_rep(
    ours: &Socket,
    theirs: &LibSocket,
    payload: &[Vec<u8>],
) -> Result<(), Failure> {
    let enveloped = behind(&[b""], payload);
    ours_to_theirs_as(ours, theirs, &enveloped, payload)?;
    theirs_to_ours_as(ours, theirs, payload, &enveloped)
}

fn deal_to_their_router(
    ours: &Socket,
    theirs: &LibSocket,
    payload: &[Vec<u8>],
) -> Result<(), Failure> {
    let enveloped = behind(&[OURS], payload);
    ours_to_theirs_as(ours, theirs, payload, &enveloped)?;
    theirs_to_ours_as(ours, theirs, &enveloped, payload)
}

fn route_for_their_req(
    ours: &Socket,
    theirs: &LibSocket,
    payload: &[Vec<u8>],
) -> Result<(), Failure> {
    let enveloped = behind(&[THEIRS, b""], payload);
    theirs_to_ours_as(ours, theirs, payload, &enveloped)?;
    ours_to_theirs_as(ours, theirs, &enveloped, payload)
}

fn route_for_their_dealer(
    ours: &Socket,
    theirs: &LibSocket,
    payload: &[Vec<u8>],
) -> Result<(), Failure> {
    let enveloped = behind(&[THEIRS], payload);
    theirs_to_ours_as(ours, theirs, payload, &enveloped)?;
    ours_to_theirs_as(ours, theirs, &enveloped, payload)
}

/// The other side knows us by what we have sent.
fn route_to_their_router(
    ours: &Socket,
    theirs: &LibSocket,
    payload: &[Vec<u8>],
) -> Result<(), Failure> {
    let (to_us, to_them) = (behind(&[OURS], payload), behind(&[THEIRS], payload));
    ours_to_theirs_as(ours, theirs, &to_them, &to_us)?;
    theirs_to_ours_as(ours, theirs, &to_us, &to_them)
}

fn ours_to_theirs_as(
    ours: &Socket,
    theirs: &LibSocket,
    sent: &[Vec<u8>],
    expected: &[Vec<u8>],
) -> Result<(), Failure> {
    ours.send_multipart(sent)?;
    arrived(&theirs.recv().map_err(|error| error.to_string())?, expected)
}

fn theirs_to_ours_as(
    ours: &Socket,
    theirs: &LibSocket,
    sent: &[Vec<u8>],
    expected: &[Vec<u8>],
) -> Result<(), Failure> {
    theirs.send(sent).map_err(|error| error.to_string())?;
    arrived(&bytes_of(ours.recv_multipart()?), expected)
}

/// Joins the two sockets, and waits until they know of each other.
fn join(
    ours: &Socket,
    theirs: &LibSocket,
    combination: &Combination,
    endpoint: &str,
    we_bind: bool,
) -> Result<(), Failure> {
    ours.set(oxmq::option::RCVTIMEO, LONG.as_millis() as i32)?;
    ours.set(oxmq::option::SNDTIMEO, LONG.as_millis() as i32)?;
    if matches!(combination.ours, SocketType::Sub | SocketType::XSub) {
        ours.subscribe("")?;
    }
    if matches!(combination.ours, SocketType::Dealer | SocketType::Router) {
        ours.set(oxmq::option::ROUTING_ID, OURS.to_vec())?;
        theirs.set_bytes(libzmq::ROUTING_ID, THEIRS);
    }
    if we_bind {
        let actual = ours.bind(endpoint)?;
        theirs.connect(&actual).map_err(|error| error.to_string())?;
    } else {
        let actual = theirs.bind(endpoint).map_err(|error| error.to_string())?;
        ours.connect(&actual)?;
    }
    match combination.theirs {
        libzmq::SUB => theirs.set_bytes(libzmq::SUBSCRIBE, b""),
        // An XSUB subscribes by a message; it goes to those peers that are there.
        libzmq::XSUB => {
            ours.wait_for_peers(1, Some(LONG))?;
            while ours.wait_for_subscribers("", 1, Some(SHORT)).is_err() {
                theirs.send(&[b"\x01"]).map_err(|error| error.to_string())?;
            }
        }
        // An XPUB says when the subscription is there.
        libzmq::XPUB => {
            arrived(&theirs.recv().map_err(|error| error.to_string())?, &[b"\x01".to_vec()])?;
        }
        // A PUB does not: it is asked until it answers.
        libzmq::PUB => {
            while ours.recv_timeout(SHORT).is_err() {
                theirs.send(&[b"there?"]).map_err(|error| error.to_string())?;
            }
            theirs.send(&[b"now!"]).map_err(|error| error.to_string())?;
            while &ours.recv_timeout(LONG)?[..] != b"now!" {}
        }
        _ => {}
    }
    match combination.ours {
        SocketType::Pub | SocketType::XPub => wait_for_subscriber(ours, theirs, b"")?,
        _ => ours.wait_for_peers(1, Some(LONG))?,
    }
    Ok(())
}

/// A libzmq socket learns of a new connection, and tells it its subscriptions, when the
/// application calls it; so the application does.
fn wait_for_subscriber(ours: &Socket, theirs: &LibSocket, prefix: &[u8]) -> Result<(), Failure> {
    let deadline = Instant::now() + LONG;
    while let Err(error) = ours.wait_for_subscribers(prefix, 1, Some(SHORT)) {
        if Instant::now() > deadline {
            return Err(error.into());
        }
        theirs.process();
    }
    Ok(())
}

#[test]
fn every_pattern_with_libzmq() {
    let (mut green, mut failures) = (0, Vec::new());
    for combination in &COMBINATIONS {
        for we_bind in [true, false] {
            for endpoint in endpoints() {
                let side = if we_bind { "binds" } else { "connects" };
                let what = format!("{} over {endpoint}, ours {side}", combination.name);
                let (context, lib) = (Context::new(), LibContext::new());
                let ours = context.socket(combination.ours).unwrap();
                let theirs = lib.socket(combination.theirs);
                if let Err(error) = join(&ours, &theirs, combination, &endpoint, we_bind) {
                    failures.push(format!("{what}: {error}"));
                    continue;
                }
                for (number, payload) in payloads().iter().enumerate() {
                    match (combination.carry)(&ours, &theirs, payload) {
                        Ok(()) => green += 1,
                        Err(error) => {
                            failures.push(format!("{what}, payload {number}: {error}"));
                            break;
                        }
                    }
                }
            }
        }
    }
    println!("with libzmq: {green} combinations of roles, direction, transport and payload green");
    assert!(failures.is_empty(), "{} failed:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(green, COMBINATIONS.len() * 2 * 3 * payloads().len());
}

#[test]
fn many_messages_both_ways_past_the_high_water_marks() {
    const COUNT: u32 = 10_000;
    for endpoint in endpoints() {
        let (context, lib) = (Context::new(), LibContext::new());
        let (ours, theirs) = (Pair::new(&context).unwrap(), lib.socket(libzmq::PAIR));
        theirs.connect(&ours.bind(&endpoint).unwrap()).unwrap();
        thread::scope(|scope| {
            let theirs = scope.spawn(move || {
                for number in 0..COUNT {
                    assert_eq!(theirs.recv().unwrap(), [body(number as usize % 700)]);
                }
                for number in 0..COUNT {
                    theirs.send(&[body(number as usize % 700)]).unwrap();
                }
                // Not closed before all has arrived: it does not linger.
                theirs
            });
            for number in 0..COUNT {
                ours.send(body(number as usize % 700)).unwrap();
            }
            for number in 0..COUNT {
                let received = ours.recv_timeout(LONG).unwrap();
                assert_eq!(received[..], body(number as usize % 700)[..]);
            }
            theirs.join().unwrap();
        });
    }
}

/// A second reply to one request is not taken for the reply to the next.
#[test]
fn a_reply_too_many_answers_nothing() {
    for endpoint in endpoints() {
        let (context, lib) = (Context::new(), LibContext::new());
        let (ours, theirs) = (Request::new(&context).unwrap(), lib.socket(libzmq::ROUTER));
        ours.set(oxmq::option::ROUTING_ID, OURS.to_vec()).unwrap();
        ours.connect(&theirs.bind(&endpoint).unwrap()).unwrap();
        for round in 0..10 {
            ours.send(&[round]).unwrap();
            assert_eq!(theirs.recv().unwrap()[2], [round]);
            for number in 0..3 {
                theirs.send(&[OURS, b"", &[round, number]]).unwrap();
            }
            assert_eq!(ours.recv_timeout(LONG).unwrap()[..], [round, 0]);
            // The others are to come before the next request is sent.
            let come = || ours.statistics().received >= 3 * (u64::from(round) + 1);
            while !come() {
                thread::yield_now();
            }
        }
    }
}

/// libzmq says every subscription, but only the end of the last to a prefix.
#[test]
fn a_subscription_said_twice_ends_at_once() {
    for endpoint in endpoints() {
        let (context, lib) = (Context::new(), LibContext::new());
        let (ours, theirs) = (Publisher::new(&context).unwrap(), lib.socket(libzmq::XSUB));
        theirs.connect(&ours.bind(&endpoint).unwrap()).unwrap();
        ours.wait_for_peers(1, Some(LONG)).unwrap();
        let says = |what: &[u8], then: &[u8]| {
            while ours.wait_for_subscribers(then, 1, Some(SHORT)).is_err() {
                for part in [what, what, &[b"\x01", then].concat()] {
                    theirs.send(&[part]).unwrap();
                }
            }
        };
        says(b"\x01twice", b"and this");
        says(b"\x00twice", b"or that");
        for text in ["twice told", "or that"] {
            ours.send(text).unwrap();
        }
        assert_eq!(theirs.recv().unwrap(), [b"or that"]);
    }
}

#[test]
fn subscriptions_are_seen_by_an_xpub_once_each() {
    for endpoint in endpoints() {
        let (context, lib) = (Context::new(), LibContext::new());
        let (ours, theirs) = (Subscriber::new(&context).unwrap(), lib.socket(libzmq::XPUB));
        ours.subscribe("early").unwrap();
        ours.connect(&theirs.bind(&endpoint).unwrap()).unwrap();
        assert_eq!(theirs.recv().unwrap(), [b"\x01early"]);
        // Of several equal subscriptions the publisher hears of the first, and of the last's end.
        ours.subscribe("late").unwrap();
        ours.subscribe("late").unwrap();
        ours.unsubscribe("late").unwrap();
        ours.unsubscribe("late").unwrap();
        ours.subscribe("").unwrap();
        for expected in [&b"\x01late"[..], b"\x00late", b"\x01"] {
            assert_eq!(theirs.recv().unwrap(), [expected]);
        }
        theirs.send(&[b"all"]).unwrap();
        assert_eq!(&ours.recv_timeout(LONG).unwrap()[..], b"all");
    }
}

#[test]
fn a_publisher_filters_for_libzmq() {
    for endpoint in endpoints() {
        let (context, lib) = (Context::new(), LibContext::new());
        let (ours, theirs) = (Publisher::new(&context).unwrap(), lib.socket(libzmq::SUB));
        theirs.set_bytes(libzmq::SUBSCRIBE, b"a");
        theirs.set_bytes(libzmq::SUBSCRIBE, b"b");
        theirs.connect(&ours.bind(&endpoint).unwrap()).unwrap();
        ours.wait_for_subscribers("a", 1, Some(LONG)).unwrap();
        ours.wait_for_subscribers("b", 1, Some(LONG)).unwrap();
        theirs.set_bytes(libzmq::UNSUBSCRIBE, b"a");
        theirs.set_bytes(libzmq::SUBSCRIBE, b"c");
        // Subscriptions are in order: with the one to "c", the end of the one to "a" is here.
        ours.wait_for_subscribers("c", 1, Some(LONG)).unwrap();
        for topic in ["a", "bb", "d", "c"] {
            ours.send_multipart([topic, ""]).unwrap();
        }
        assert_eq!(theirs.recv().unwrap(), [&b"bb"[..], b""]);
        assert_eq!(theirs.recv().unwrap(), [&b"c"[..], b""]);
    }
}

#[test]
fn libzmqs_heartbeats_are_answered() {
    let beats = |endpoint: &str| {
        let (context, lib) = (Context::new(), LibContext::new());
        let (ours, theirs) = (Pull::new(&context).unwrap(), lib.socket(libzmq::PUSH));
        // A PONG that does not come within the time-out ends the connection. Long enough for a
        // machine that is stopped now and then.
        theirs.set(libzmq::HEARTBEAT_IVL, 10);
        theirs.set(libzmq::HEARTBEAT_TIMEOUT, 5000);
        theirs.set(libzmq::HEARTBEAT_TTL, 5000);
        let monitor = theirs.monitor();
        theirs.connect(&ours.bind(endpoint).unwrap()).unwrap();
        assert!(monitor.wait(libzmq::EVENT_HANDSHAKE_SUCCEEDED, LONG).is_some());
        let end = monitor.wait(libzmq::EVENTS_OF_THE_END, Duration::from_millis(6000));
        assert_eq!(end, None, "the peer that pings disconnected, {endpoint}");
        theirs.send(&[b"still there"]).unwrap();
        assert_eq!(&ours.recv_timeout(LONG).unwrap()[..], b"still there");
    };
    let endpoints = endpoints();
    thread::scope(|scope| {
        for endpoint in &endpoints {
            scope.spawn(|| beats(endpoint));
        }
    });
}

#[test]
fn a_libzmq_that_restarts_is_found_again() {
    for endpoint in endpoints() {
        let context = Context::new();
        let ours = Push::new(&context).unwrap();
        ours.set(oxmq::option::RECONNECT_IVL, 5).unwrap();
        let mut actual = None;
        let mut next = 0_u32;
        let mut last = None;
        for _ in 0..3 {
            let lib = LibContext::new();
            let theirs = lib.socket(libzmq::PULL);
            match &actual {
                None => {
                    let bound = theirs.bind(&endpoint).unwrap();
                    ours.connect(&bound).unwrap();
                    actual = Some(bound);
                }
                Some(actual) => drop(theirs.bind(actual).unwrap()),
            }
            // What was sent into the dead connection may be lost; nothing comes twice.
            let received = loop {
                ours.send(&next.to_le_bytes()).unwrap();
                next += 1;
                if let Ok(received) = theirs.recv_timeout(SHORT) {
                    break received;
                }
            };
            let mut received = u32::from_le_bytes(received[0][..].try_into().unwrap());
            loop {
                assert!(last < Some(received), "{received} after {last:?}");
                last = Some(received);
                if received + 1 == next {
                    break;
                }
                let parts = theirs.recv().unwrap();
                received = u32::from_le_bytes(parts[0][..].try_into().unwrap());
            }
        }
    }
}

#[test]
fn a_libzmq_publisher_that_restarts_is_subscribed_to_again() {
    for endpoint in endpoints() {
        let context = Context::new();
        let ours = Subscriber::new(&context).unwrap();
        ours.set(oxmq::option::RECONNECT_IVL, 5).unwrap();
        ours.subscribe("topic").unwrap();
        let mut actual = None;
        for round in 0..3 {
            let lib = LibContext::new();
            let theirs = lib.socket(libzmq::XPUB);
            match &actual {
                None => {
                    let bound = theirs.bind(&endpoint).unwrap();
                    ours.connect(&bound).unwrap();
                    actual = Some(bound);
                }
                Some(actual) => drop(theirs.bind(actual).unwrap()),
            }
            assert_eq!(theirs.recv().unwrap(), [b"\x01topic"], "{endpoint}");
            theirs.send(&[format!("topic {round}")]).unwrap();
            let received = ours.recv_timeout(LONG).unwrap();
            assert_eq!(received[..], *format!("topic {round}").as_bytes());
        }
    }
}

#[test]
fn libzmq_finds_us_again_after_a_restart() {
    for endpoint in endpoints() {
        let lib = LibContext::new();
        let theirs = lib.socket(libzmq::SUB);
        theirs.set(libzmq::RECONNECT_IVL, 5);
        theirs.set_bytes(libzmq::SUBSCRIBE, b"");
        let mut actual: Option<String> = None;
        for round in 0..3 {
            let context = Context::new();
            let ours = Publisher::new(&context).unwrap();
            match &actual {
                None => {
                    let bound = ours.bind(&endpoint).unwrap();
                    theirs.connect(&bound).unwrap();
                    actual = Some(bound);
                }
                Some(actual) => drop(ours.bind(actual).unwrap()),
            }
            wait_for_subscriber(ours.as_ref(), &theirs, b"").unwrap();
            ours.send(format!("round {round}")).unwrap();
            assert_eq!(theirs.recv().unwrap(), [format!("round {round}").into_bytes()]);
        }
    }
}

/// Whether the types can be peers, as the RFCs and libzmq say.
fn compatible(ours: SocketType, theirs: i32) -> bool {
    match ours {
        SocketType::Pair => theirs == libzmq::PAIR,
        SocketType::Pub => [libzmq::SUB, libzmq::XSUB].contains(&theirs),
        SocketType::Sub => [libzmq::PUB, libzmq::XPUB].contains(&theirs),
        SocketType::Req => [libzmq::REP, libzmq::ROUTER].contains(&theirs),
        SocketType::Rep => [libzmq::REQ, libzmq::DEALER].contains(&theirs),
        SocketType::Push => theirs == libzmq::PULL,
        SocketType::Pull => theirs == libzmq::PUSH,
        SocketType::Dealer => [libzmq::REP, libzmq::DEALER, libzmq::ROUTER].contains(&theirs),
        SocketType::Router => [libzmq::REQ, libzmq::DEALER, libzmq::ROUTER].contains(&theirs),
        SocketType::XPub => [libzmq::SUB, libzmq::XSUB].contains(&theirs),
        SocketType::XSub => [libzmq::PUB, libzmq::XPUB].contains(&theirs),
        // It takes whoever comes: see the tests of STREAM.
        SocketType::Stream => true,
        // Drafts, which Debian's library does not have: see tests/single_part.rs.
        _ => false,
    }
}

#[test]
fn wrong_types_are_refused_and_harm_nobody() {
    let mut refused = 0;
    for combination in &COMBINATIONS {
        let (context, lib) = (Context::new(), LibContext::new());
        let ours = context.socket(combination.ours).unwrap();
        let actual = ours.bind("tcp://127.0.0.1:*").unwrap();
        for (kind, name) in libzmq::TYPES {
            if compatible(combination.ours, kind) {
                continue;
            }
            let wrong = lib.socket(kind);
            wrong.set(libzmq::RECONNECT_IVL, -1);
            let monitor = wrong.monitor();
            wrong.connect(&actual).unwrap();
            let end = monitor.wait(libzmq::EVENTS_OF_THE_END, LONG);
            assert!(end.is_some(), "{name} stays connected to our {:?}", combination.ours);
            refused += 1;
        }
        let theirs = lib.socket(combination.theirs);
        let joined = join(&ours, &theirs, combination, "ipc://*", true);
        assert!(joined.is_ok(), "{}: {joined:?}", combination.name);
        (combination.carry)(&ours, &theirs, &[body(10)]).unwrap();
    }
    println!("{refused} wrong combinations refused");
}

#[test]
fn connecting_to_a_wrong_type_harms_nobody() {
    let (context, lib) = (Context::new(), LibContext::new());
    let ours = Pull::new(&context).unwrap();
    ours.set(oxmq::option::RECONNECT_IVL, 1).unwrap();
    let wrong = lib.socket(libzmq::PUB);
    let monitor = wrong.monitor();
    ours.connect(&wrong.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    // It is refused, and refused again when it tries again.
    for _ in 0..3 {
        assert!(monitor.wait(libzmq::EVENTS_OF_THE_END, LONG).is_some());
    }
    let right = lib.socket(libzmq::PUSH);
    ours.connect(&right.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    right.send(&[b"right"]).unwrap();
    assert_eq!(&ours.recv_timeout(LONG).unwrap()[..], b"right");
    assert!(ours.wait_for_peers(2, Some(Duration::ZERO)).is_err());
}

// Byte by byte.

/// A raw peer, connected to a socket of ours in one or the other direction.
fn raw_peer(ours: &Socket, endpoint: &str, we_bind: bool) -> RawPeer {
    if we_bind {
        RawPeer::connect(&ours.bind(endpoint).unwrap())
    } else {
        let (listener, actual) = RawListener::bind(endpoint);
        ours.connect(&actual).unwrap();
        listener.accept()
    }
}

fn with_raw_peers(kind: SocketType, test: impl Fn(&Socket, RawPeer)) {
    for we_bind in [true, false] {
        for endpoint in endpoints() {
            let context = Context::new();
            let ours = context.socket(kind).unwrap();
            let peer = raw_peer(&ours, &endpoint, we_bind);
            test(&ours, peer);
        }
    }
}

/// Messages of every frame format.
fn transcript() -> Vec<Vec<Vec<u8>>> {
    let mut messages: Vec<_> = [0, 1, 255, 256, 70_000].map(|bytes| vec![body(bytes)]).into();
    messages.push(vec![body(0), body(256), body(0)]);
    messages
}

#[test]
fn push_speaks_3_0() {
    with_raw_peers(SocketType::Push, |ours, mut peer| {
        peer.shake_hands("PULL", "PUSH");
        for parts in transcript() {
            ours.send_multipart(&parts).unwrap();
            peer.expect(&raw::message(&parts));
        }
        // What a PULL sends is read and dropped.
        peer.send(&raw::message(&["nonsense", ""]));
        ours.send("after").unwrap();
        peer.expect(&raw::message(&["after"]));
    });
}

#[test]
fn pull_speaks_3_0() {
    with_raw_peers(SocketType::Pull, |ours, mut peer| {
        peer.shake_hands("PUSH", "PULL");
        for parts in transcript() {
            peer.send(&raw::message(&parts));
            assert_eq!(bytes_of(ours.recv_multipart().unwrap()), parts);
        }
        // The long form is right for short bodies, too.
        peer.send(b"\x02\0\0\0\0\0\0\0\x03abc");
        assert_eq!(&ours.recv_timeout(LONG).unwrap()[..], b"abc");
        // One byte at a time.
        for byte in raw::message(&[&body(0)[..], &body(260)]) {
            peer.send(&[byte]);
        }
        assert_eq!(bytes_of(ours.recv_multipart().unwrap()), [body(0), body(260)]);
    });
}

#[test]
fn publishers_take_3_0_subscriptions() {
    with_raw_peers(SocketType::Pub, |ours, mut peer| {
        peer.shake_hands("SUB", "PUB");
        peer.send(&raw::message(&["\x01a"]));
        peer.send(&raw::message(&["\x01bb"]));
        ours.wait_for_subscribers("a", 1, Some(LONG)).unwrap();
        ours.wait_for_subscribers("bb", 1, Some(LONG)).unwrap();
        for topic in ["c", "b", "bbb", "a"] {
            ours.send_multipart([topic, ""]).unwrap();
        }
        peer.expect(&raw::message(&["bbb", ""]));
        peer.expect(&raw::message(&["a", ""]));
        peer.send(&raw::message(&["\x00a"]));
        peer.send(&raw::message(&["\x01c"]));
        ours.wait_for_subscribers("c", 1, Some(LONG)).unwrap();
        ours.send("a").unwrap();
        ours.send("c").unwrap();
        peer.expect(&raw::message(&["c"]));
    });
}

#[test]
fn subscribers_subscribe_by_message_in_3_0() {
    with_raw_peers(SocketType::Sub, |ours, mut peer| {
        ours.subscribe("early").unwrap();
        peer.shake_hands("PUB", "SUB");
        peer.expect(&raw::message(&["\x01early"]));
        ours.subscribe("").unwrap();
        peer.expect(&raw::message(&["\x01"]));
        for parts in transcript() {
            peer.send(&raw::message(&parts));
            assert_eq!(bytes_of(ours.recv_multipart().unwrap()), parts);
        }
        ours.unsubscribe("").unwrap();
        peer.expect(&raw::message(&["\x00"]));
        // The publisher has not seen the end of the subscription yet: the subscriber filters.
        peer.send(&raw::message(&["unwanted", "early"]));
        peer.send(&raw::message(&["early bird"]));
        assert_eq!(&ours.recv_timeout(LONG).unwrap()[..], b"early bird");
    });
}

#[test]
fn a_ping_gets_its_pong() {
    let context = Context::new();
    let ours = Pull::new(&context).unwrap();
    let mut peer = RawPeer::connect(&ours.bind("tcp://127.0.0.1:*").unwrap());
    let mut greeting = raw::GREETING_3_0;
    greeting[11] = 1;
    peer.send(&greeting);
    peer.expect(&raw::GREETING_OURS);
    peer.send(&raw::ready("PUSH", None));
    peer.expect(&raw::ready("PULL", None));
    peer.send(&raw::frame(4, b"\x04PING\0\x10context"));
    peer.expect(&raw::frame(4, b"\x04PONGcontext"));
    assert_eq!(ours.try_recv(), Err(RecvError::Again));
}

#[test]
fn requests_and_replies_in_bytes() {
    with_raw_peers(SocketType::Req, |ours, mut peer| {
        peer.shake_hands("REP", "REQ");
        ours.send_multipart(["who", ""]).unwrap();
        peer.expect(&raw::message(&["", "who", ""]));
        // Nothing that is no reply is taken for one.
        peer.send(&raw::message(&["no delimiter"]));
        peer.send(&raw::message(&["", "me"]));
        assert_eq!(&ours.recv_timeout(LONG).unwrap()[..], b"me");
    });
    with_raw_peers(SocketType::Rep, |ours, mut peer| {
        peer.shake_hands("REQ", "REP");
        peer.send(&raw::message(&["no delimiter"]));
        peer.send(&raw::message(&["far", "near", "", "who"]));
        assert_eq!(&ours.recv_timeout(LONG).unwrap()[..], b"who");
        ours.send("me").unwrap();
        peer.expect(&raw::message(&["far", "near", "", "me"]));
    });
}

#[test]
fn typed_sockets_are_what_the_dynamic_ones_are() {
    let (context, lib) = (Context::new(), LibContext::new());
    let (request, reply) = (Request::new(&context).unwrap(), Reply::new(&context).unwrap());
    let theirs = lib.socket(libzmq::REQ);
    let endpoint = format!("ipc://@{}", fresh_name());
    reply.bind(&endpoint).unwrap();
    request.connect(&endpoint).unwrap();
    theirs.connect(&endpoint).unwrap();
    request.send("ours").unwrap();
    theirs.send(&[b"theirs"]).unwrap();
    for _ in 0..2 {
        let asked = reply.recv_timeout(LONG).unwrap();
        reply.send(asked).unwrap();
    }
    assert_eq!(&request.recv_timeout(LONG).unwrap()[..], b"ours");
    assert_eq!(theirs.recv().unwrap(), [b"theirs"]);
}
