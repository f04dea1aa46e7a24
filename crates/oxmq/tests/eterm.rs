//! A context terminated while another thread waits: each blocking call of each socket type ends with
//! `Terminated` (ETERM), so does every later one, and `term` waits for the sockets, which it names.

mod process;
mod sentences;
mod support;

use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use oxmq::option::{LINGER, ROUTER_MANDATORY, XPUB_NODROP};
use oxmq::{
    Context, Device, ETERM, Events, OpenSocket, PollItem, Poller, Proxy, Socket, SocketType,
    TermError, poll,
};

use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
use process::Random;
use sentences::narrow;
use support::{LONG, PLACES, Place};

/// A call that waits on the socket, and the number of the error that it ended with.
type Call = fn(&Socket) -> i32;

const SENDS: [(&str, Call); 4] = [
    ("send", |socket| {
        loop {
            if let Err(error) = socket.send(BODY) {
                break error.errno();
            }
        }
    }),
    ("send_multipart", |socket| {
        loop {
            if let Err(error) = socket.send_multipart(message(socket.kind())) {
                break error.errno();
            }
        }
    }),
    ("send_async", |socket| {
        loop {
            if let Err(error) = pollster::block_on(socket.send_async(message(socket.kind()))) {
                break error.errno();
            }
        }
    }),
    ("poll for OUT", |socket| {
        loop {
            match poll(&mut [PollItem::socket(socket, Events::OUT)], None) {
                Ok(_) => drop(socket.try_send_multipart(message(socket.kind()))),
                Err(error) => break error.errno(),
            }
        }
    }),
];

const RECEIVES: [(&str, Call); 9] = [
    ("recv", |socket| socket.recv().unwrap_err().errno()),
    ("recv_timeout", |socket| socket.recv_timeout(LONG).unwrap_err().errno()),
    ("recv_multipart", |socket| socket.recv_multipart().unwrap_err().errno()),
    ("recv_async", |socket| pollster::block_on(socket.recv_async()).unwrap_err().errno()),
    ("recv_multipart_async", |socket| {
        pollster::block_on(socket.recv_multipart_async()).unwrap_err().errno()
    }),
    ("poll for IN", |socket| {
        poll(&mut [PollItem::socket(socket, Events::IN)], None).unwrap_err().errno()
    }),
    ("poll of two", |socket| {
        let items = [socket, socket].map(|socket| PollItem::socket(socket, Events::IN));
        poll(&mut { items }, Some(LONG)).unwrap_err().errno()
    }),
    ("Poller::wait", |socket| {
        let poller = Poller::new();
        let waited = poller.add(socket, Events::IN, 0);
        waited.and_then(|()| poller.wait(&mut Vec::new(), None).map(drop)).unwrap_err().errno()
    }),
    ("wait_for_peers", wait_for_peers),
];

const WAITS: [(&str, Call); 2] = [
    ("wait_for_peers", wait_for_peers),
    ("wait_for_subscribers", |socket| {
        socket.wait_for_subscribers("never", 1, None).unwrap_err().errno()
    }),
];

fn wait_for_peers(socket: &Socket) -> i32 {
    socket.wait_for_peers(99, None).unwrap_err().errno()
}

/// Not a subscription, from an XSUB.
const BODY: &[u8] = &[2; 16 << 10];

/// A message that waits for room, as a socket of this type sends it.
fn message(kind: SocketType) -> Vec<&'static [u8]> {
    if kind == Router { vec![b"peer", BODY] } else { vec![BODY] }
}

/// What waits on which types, and the types of their peers.
const SENDERS: [(SocketType, SocketType); 6] =
    [(Pair, Pair), (Push, Pull), (Dealer, Router), (Router, Dealer), (XPub, Sub), (Req, Rep)];
const RECEIVERS: [(SocketType, SocketType); 9] = [
    (Pair, Pair),
    (Pull, Push),
    (Sub, Pub),
    (XSub, XPub),
    (XPub, XSub),
    (Req, Rep),
    (Rep, Req),
    (Dealer, Router),
    (Router, Dealer),
];
const PUBLISHERS: [(SocketType, SocketType); 2] = [(Pub, Sub), (XPub, XSub)];

#[test]
fn sends_end() {
    let mut ended = 0;
    for (kind, peer) in SENDERS {
        for (call, wait) in SENDS {
            // A part of a message of one is no message of a ROUTER's; a REQ sends in its turn.
            if kind == Router && call == "send" {
                continue;
            }
            ended += everywhere(kind, peer, call, wait);
        }
    }
    println!("{ended} sends ended");
}

#[test]
fn receives_end() {
    let mut ended = 0;
    for (kind, peer) in RECEIVERS {
        for (call, wait) in RECEIVES {
            ended += everywhere(kind, peer, call, wait);
        }
    }
    println!("{ended} receives ended");
}

#[test]
fn waits_end() {
    let mut ended = 0;
    for (kind, peer) in PUBLISHERS {
        for (call, wait) in WAITS {
            ended += everywhere(kind, peer, call, wait);
        }
    }
    ended += everywhere(Push, Pull, "wait_for_peers", wait_for_peers);
    println!("{ended} waits ended");
}

/// The call ends, and every later one, wherever its peer is, and without any.
fn everywhere(kind: SocketType, peer: SocketType, call: &str, wait: Call) -> usize {
    let mut random = Random::seeded(call.len() as u64 * 7 + kind.name().len() as u64);
    let alone = [None].into_iter();
    let places: Vec<_> = alone.chain(PLACES.map(Some)).collect();
    places.iter().filter(|&&place| ends(kind, peer, call, wait, place, &mut random)).count()
}

/// False: there is nothing to wait for.
fn ends(
    kind: SocketType,
    peer: SocketType,
    call: &str,
    wait: Call,
    place: Option<Place>,
    random: &mut Random,
) -> bool {
    let what = format!("{} {call}, {place:?}", kind.name());
    let context = Context::new();
    let socket = narrow(&context, kind, "this");
    match kind {
        Router => socket.set(ROUTER_MANDATORY, true).unwrap(),
        XPub => socket.set(XPUB_NODROP, true).unwrap(),
        _ => {}
    }
    let other = place.map(|place| {
        let other = narrow(&context, peer, "peer");
        if peer == Sub {
            other.subscribe("").unwrap();
        }
        place.join(&socket, &other);
        socket.wait_for_peers(1, Some(LONG)).unwrap();
        if peer == Sub {
            socket.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        }
        other
    });
    let sends = SENDS.iter().any(|(name, _)| *name == call);
    if kind == Req && place.is_some() {
        if sends {
            // Its turn is to receive: only without a peer does a REQ wait to send.
            return false;
        }
        socket.send("question").unwrap();
    }
    if kind == Req && place.is_none() && !sends && call != "wait_for_peers" && !call.contains("oll")
    {
        // It has nobody to wait for an answer of.
        return false;
    }
    if sends && place.is_none() && matches!(kind, Router | XPub) {
        // They do not wait for peers.
        return false;
    }
    let (terminating, waiting) = (context.clone(), &socket);
    let endpoints = vec![socket.last_endpoint()];
    let started = Instant::now();
    thread::scope(|scope| {
        let waiter = scope.spawn(move || {
            let first = wait(waiting);
            (first, wait(waiting))
        });
        // While it begins, polls, or sleeps.
        let pause_max = [1, 100, 2000][random.below(3) as usize];
        process::pause(random.micros(pause_max));
        let term = scope.spawn(move || terminating.term());
        assert_eq!(waiter.join().unwrap(), (ETERM, ETERM), "{what}");
        // It waits for the sockets, and says for which.
        let Err(TermError::TimedOut { sockets, endpoints: lingering }) =
            context.term_timeout(Duration::ZERO)
        else {
            panic!("{what}");
        };
        assert_eq!(sockets.len(), 1 + usize::from(other.is_some()), "{what}");
        assert_eq!(lingering, Vec::<String>::new(), "{what}");
        let this = sockets.iter().find(|open| open.kind == kind).unwrap();
        if other.is_some() {
            assert_eq!(this.endpoints, endpoints, "{what}");
        }
        socket.close();
        drop(other);
        assert_eq!(term.join().unwrap(), Ok(()), "{what}");
    });
    assert!(started.elapsed() < LONG, "{what}");
    true
}

#[test]
fn proxies_and_devices_end() {
    let sides =
        [(Pull, Push), (Router, Dealer), (XSub, XPub), (Pair, Pair), (Dealer, Router), (Pull, Pub)];
    for (front, back) in sides {
        let context = Context::new();
        let [front, back] = [front, back].map(|kind| narrow(&context, kind, ""));
        thread::scope(|scope| {
            let running = scope.spawn(|| Proxy::new(&front, &back).run());
            process::pause(Duration::from_micros(300));
            context.shutdown();
            let error = running.join().unwrap().unwrap_err();
            assert!(error.is_terminated() && error.errno() == ETERM, "{error}");
        });
    }
    for make in [Device::queue, Device::forwarder, Device::streamer] {
        let context = Context::new();
        let device = make(&context).unwrap();
        thread::scope(|scope| {
            let running = scope.spawn(|| device.run());
            process::pause(Duration::from_micros(300));
            context.shutdown();
            // How a device is told to end.
            running.join().unwrap().unwrap();
        });
    }
}

#[test]
fn every_term_that_waits_ends_with_the_last_socket() {
    let context = Context::new();
    let socket = context.socket(Pair).unwrap();
    thread::scope(|scope| {
        let terms: Vec<_> = (0..4).map(|_| scope.spawn(|| context.term())).collect();
        assert_eq!(socket.recv().unwrap_err().errno(), ETERM);
        process::pause(Duration::from_millis(1));
        assert!(terms.iter().all(|term| !term.is_finished()));
        drop(socket);
        for term in terms {
            term.join().unwrap().unwrap();
        }
    });
}

#[test]
fn term_names_what_is_open_and_what_lingers() {
    let context = Context::new();
    let pull = context.socket(Pull).unwrap();
    let tcp = pull.bind("tcp://127.0.0.1:*").unwrap();
    pull.bind("inproc://named").unwrap();
    let pair = context.socket(Pair).unwrap();
    let push = context.socket(Push).unwrap();
    push.set(LINGER, -1).unwrap();
    push.connect("ipc://@nobody-ever").unwrap();
    push.send("lingers").unwrap();
    push.close();
    let error = context.term_timeout(Duration::from_millis(1)).unwrap_err();
    let TermError::TimedOut { sockets, endpoints } = &error else { panic!("{error:?}") };
    let open = |kind, endpoints: &[&str]| OpenSocket {
        kind,
        endpoints: endpoints.iter().map(|&endpoint| endpoint.to_owned()).collect(),
    };
    assert_eq!(*sockets, [open(Pull, &[&tcp, "inproc://named"]), open(Pair, &[])]);
    assert_eq!(*endpoints, ["ipc://@nobody-ever"]);
    assert_eq!(
        error.to_string(),
        format!(
            "the context is not terminated in time: 2 sockets are open: PULL at {tcp} and \
             inproc://named, PAIR at no endpoint; messages of closed ones may wait for \
             ipc://@nobody-ever"
        )
    );
    drop((pull, pair));
    let error = context.term_timeout(Duration::from_millis(1)).unwrap_err();
    assert!(matches!(error, TermError::TimedOut { sockets, .. } if sockets.is_empty()));
    // Dropped, it would wait for ever, as it was told to.
    static WAITING: OnceLock<Context> = OnceLock::new();
    let _ = WAITING.set(context);
}
