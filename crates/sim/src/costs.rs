//! The hot paths whose cost is watched: how many instructions and system calls a message takes.
//!
//! The simulated world makes both repeatable: its clock, its kernel and the order of events are the
//! same in every run, whatever else the machine does. The program `costs` takes one path; the test
//! `costs` runs it under callgrind, and compares what comes out with `costs.txt`.

use oxmq::sim;
use oxmq::{Context, Message, Proxy, RecvError, Socket, SocketType};
use oxmq_zmtp::{Config, Connection, Decoded, wire::frame};
use std::hint::black_box;

/// One batch of messages; returns how many there were.
type Batch = Box<dyn FnMut() -> u64>;

/// A path: its name, and what makes it ready to pass batches.
type Path = (&'static str, fn() -> Batch);

/// Every path.
pub const PATHS: &[Path] = &[
    ("encode-64", encode),
    ("decode-64", decode),
    ("inproc-stream-16", || stream("inproc://path", 16)),
    ("inproc-stream-1024", || stream("inproc://path", 1024)),
    ("inproc-ping-pong", || ping_pong("inproc://path")),
    ("tcp-stream-16", || stream("tcp://10.0.0.0:5555", 16)),
    ("tcp-stream-1024", || stream("tcp://10.0.0.0:5555", 1024)),
    ("tcp-ping-pong", || ping_pong("tcp://10.0.0.0:5555")),
    ("tcp-fan-out-10", fan_out),
    ("tcp-round-10", round),
    ("tcp-service-10x16", service),
    ("tcp-broker-10x8", broker),
    ("subscriptions-1000", subscriptions),
];

/// Passes [`WARM_UP`] messages, then so many that are [`counted`]; returns how many those were, batch by
/// batch, and how many system calls they took.
pub fn pass(start: fn() -> Batch, messages: u64) -> (u64, u64) {
    sim::new_world(1);
    let mut batch = start();
    let mut passed = 0;
    while passed < WARM_UP {
        passed += batch();
    }
    let calls = sim::stats().calls;
    passed = counted(&mut batch, messages);
    let calls = sim::stats().calls - calls;
    // The world ends with the process.
    std::mem::forget(batch);
    (passed, calls)
}

/// What callgrind looks at: it knows this function by its name.
#[inline(never)]
fn counted(batch: &mut Batch, messages: u64) -> u64 {
    let mut passed = 0;
    while passed < messages {
        passed += batch();
    }
    passed
}

/// Messages until every cache, pool and buffer is as it stays.
const WARM_UP: u64 = 5_000;
/// Steps that no batch needs.
const STEPS_MAX: u32 = 1_000_000;

/// The processes of a path.
#[derive(Default)]
struct Room {
    contexts: Vec<Context>,
}

impl Room {
    /// A socket in a process of its own.
    fn socket(&mut self, kind: SocketType) -> Seat {
        let node = self.contexts.len();
        self.contexts.push(Context::new());
        self.beside(node, kind)
    }

    /// A further socket of that process.
    fn beside(&self, node: usize, kind: SocketType) -> Seat {
        let node = u32::try_from(node).expect("few");
        sim::set_node(node);
        Seat { node, socket: self.contexts[node as usize].socket(kind).expect("a socket") }
    }

    /// Does what there is to do for some I/O thread. False: there was nothing, and time has passed.
    fn step(&self) -> bool {
        let now = sim::now();
        let mut any = false;
        for (node, context) in (0..).zip(&self.contexts) {
            if sim::is_ready(node) || context.next_deadline().is_some_and(|at| at <= now) {
                sim::set_node(node);
                context.turn();
                any = true;
            }
        }
        if !any {
            let deadlines = self.contexts.iter().filter_map(Context::next_deadline);
            let next = deadlines.chain(sim::next_event()).min();
            sim::advance_to(next.unwrap_or(now + 1_000_000));
        }
        any
    }

    /// Takes steps until `act`, of whom something may have come, says that it is at its end.
    fn until(&self, mut act: impl FnMut() -> bool) {
        let mut any = true;
        for _ in 0..STEPS_MAX {
            if any && act() {
                return;
            }
            any = self.step();
        }
        panic!("nothing comes of it");
    }

    /// Waits until connections are made and subscriptions have arrived.
    fn settle(&self) {
        let end = sim::now() + 1_000_000_000;
        while sim::now() < end {
            self.step();
        }
    }
}

/// A socket, and whose it is.
struct Seat {
    node: u32,
    socket: Socket,
}

impl Seat {
    fn bind(&self, endpoint: &str) {
        sim::set_node(self.node);
        self.socket.bind(endpoint).expect("a free endpoint");
    }

    fn connect(&self, endpoint: &str) {
        sim::set_node(self.node);
        self.socket.connect(endpoint).expect("an endpoint");
    }

    fn send(&self, body: &[u8]) {
        sim::set_node(self.node);
        self.socket.try_send(body).expect("room for it");
    }

    fn recv(&self) -> Option<Message> {
        sim::set_node(self.node);
        match self.socket.try_recv() {
            Ok(message) => Some(message),
            Err(RecvError::Again) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Receives all there is, and counts it.
    fn drain(&self) -> u64 {
        let mut count = 0;
        while self.recv().is_some() {
            count += 1;
        }
        count
    }

    /// Answers all there is, each with itself.
    fn answer(&self) {
        sim::set_node(self.node);
        while let Ok(parts) = self.socket.try_recv_multipart() {
            self.socket.try_send_multipart(parts).expect("room for it");
        }
    }
}

// ---------------------------------------------------------------------------------------------
// The paths

fn encode() -> Batch {
    let mut stream = Vec::with_capacity(1 << 16);
    Box::new(move || {
        stream.clear();
        for _ in 0..100 {
            let mut header = [0; frame::HEADER_BYTES_MAX];
            let header_bytes = frame::write_header(black_box(false), 64, &mut header);
            stream.extend_from_slice(&header[..header_bytes]);
            stream.extend_from_slice(black_box(&[7; 64]));
        }
        black_box(&stream);
        100
    })
}

fn decode() -> Batch {
    let mut ends = [
        Connection::new(Config::new(oxmq_zmtp::SocketType::Push)),
        Connection::new(Config::new(oxmq_zmtp::SocketType::Pull)),
    ];
    while !ends.iter().all(Connection::is_ready) {
        for (from, to) in [(0, 1), (1, 0)] {
            let mut bytes = Vec::new();
            ends[from].poll_transmit(&mut bytes);
            ends[to].handle_handshake(&bytes).expect("a peer of our own");
        }
    }
    let [_, mut pull] = ends;
    let mut stream = Vec::new();
    for _ in 0..100 {
        stream.extend_from_slice(&[0, 64]);
        stream.extend_from_slice(&[7; 64]);
    }
    Box::new(move || {
        let mut rest = black_box(&stream[..]);
        let mut count = 0;
        while let Ok(Decoded::Message { body, consumed, .. }) = pull.decode(rest) {
            black_box(body);
            rest = &rest[consumed..];
            count += 1;
        }
        assert_eq!(count, 100);
        count
    })
}

/// PUSH to PULL, a hundred at a time.
fn stream(endpoint: &str, bytes: usize) -> Batch {
    let mut room = Room::default();
    let (push, pull) = pair(&mut room, endpoint, [SocketType::Push, SocketType::Pull]);
    let body = vec![7; bytes];
    Box::new(move || {
        for _ in 0..100 {
            push.send(&body);
        }
        let mut received = 0;
        room.until(|| {
            received += pull.drain();
            received == 100
        });
        100
    })
}

/// REQ and REP, one at a time.
fn ping_pong(endpoint: &str) -> Batch {
    let mut room = Room::default();
    let (req, rep) = pair(&mut room, endpoint, [SocketType::Req, SocketType::Rep]);
    Box::new(move || {
        req.send(&[7; 16]);
        room.until(|| {
            rep.answer();
            req.recv().is_some()
        });
        1
    })
}

/// Two connected sockets; over inproc they share a process.
fn pair(room: &mut Room, endpoint: &str, [left, right]: [SocketType; 2]) -> (Seat, Seat) {
    let right = room.socket(right);
    right.bind(endpoint);
    let left =
        if endpoint.starts_with("inproc:") { room.beside(0, left) } else { room.socket(left) };
    left.connect(endpoint);
    room.settle();
    (left, right)
}

const ENDPOINT: &str = "tcp://10.0.0.0:5555";
const BACK_ENDPOINT: &str = "tcp://10.0.0.0:6666";

/// PUB to ten SUBs: a message is one that is sent.
fn fan_out() -> Batch {
    let mut room = Room::default();
    let publisher = room.socket(SocketType::Pub);
    publisher.bind(ENDPOINT);
    let subscribers = others(&mut room, 10, SocketType::Sub, ENDPOINT);
    for subscriber in &subscribers {
        sim::set_node(subscriber.node);
        subscriber.socket.subscribe("").expect("a subscription");
    }
    room.settle();
    Box::new(move || {
        for _ in 0..100 {
            publisher.send(&[7; 64]);
        }
        let mut received = 0;
        room.until(|| {
            received += subscribers.iter().map(Seat::drain).sum::<u64>();
            received == 1000
        });
        100
    })
}

/// One thread sends over ten PUSHes in turn to one PULL.
fn round() -> Batch {
    let mut room = Room::default();
    let pull = room.socket(SocketType::Pull);
    pull.bind(ENDPOINT);
    let first = room.socket(SocketType::Push);
    let node = first.node as usize;
    let mut pushes = vec![first];
    pushes.extend((1..10).map(|_| room.beside(node, SocketType::Push)));
    pushes.iter().for_each(|push| push.connect(ENDPOINT));
    room.settle();
    Box::new(move || {
        for _ in 0..10 {
            pushes.iter().for_each(|push| push.send(&[7; 64]));
        }
        let mut received = 0;
        room.until(|| {
            received += pull.drain();
            received == 100
        });
        100
    })
}

/// A ROUTER answers ten DEALERs, each with sixteen requests in flight.
fn service() -> Batch {
    let mut room = Room::default();
    let router = room.socket(SocketType::Router);
    router.bind(ENDPOINT);
    let dealers = others(&mut room, 10, SocketType::Dealer, ENDPOINT);
    room.settle();
    Box::new(move || ask_all(&room, &dealers, 16, &mut || router.answer()))
}

/// A ROUTER and a DEALER, joined by a proxy, between ten clients, each with eight requests in
/// flight, and four workers.
fn broker() -> Batch {
    let mut room = Room::default();
    let router = room.socket(SocketType::Router);
    router.bind(ENDPOINT);
    let dealer = room.beside(0, SocketType::Dealer);
    dealer.bind(BACK_ENDPOINT);
    let clients = others(&mut room, 10, SocketType::Dealer, ENDPOINT);
    let workers = others(&mut room, 4, SocketType::Rep, BACK_ENDPOINT);
    room.settle();
    // They live as long as the process.
    let (router, dealer) = (Box::leak(Box::new(router)), Box::leak(Box::new(dealer)));
    let proxy = Box::leak(Box::new(Proxy::new(&router.socket, &dealer.socket)));
    let mut turn = proxy.simulate();
    Box::new(move || {
        ask_all(&room, &clients, 8, &mut || {
            workers.iter().for_each(Seat::answer);
            sim::set_node(0);
            while turn().expect("no order to end").is_none() {}
        })
    })
}

/// Each of the clients asks `window` times; all is answered.
fn ask_all(room: &Room, clients: &[Seat], window: u64, answer: &mut dyn FnMut()) -> u64 {
    for client in clients {
        for _ in 0..window {
            // The empty part stands for the envelope of a REQ.
            sim::set_node(client.node);
            client.socket.try_send_multipart([&b""[..], &[7; 16]]).expect("room for it");
        }
    }
    let all = clients.len() as u64 * window;
    let mut answered = 0;
    room.until(|| {
        answer();
        for client in clients {
            sim::set_node(client.node);
            while client.socket.try_recv_multipart().is_ok() {
                answered += 1;
            }
        }
        answered == all
    });
    all
}

/// A PUB finds no subscriber among a thousand subscriptions.
fn subscriptions() -> Batch {
    let mut room = Room::default();
    let publisher = room.socket(SocketType::Pub);
    publisher.bind(ENDPOINT);
    let [subscriber] = &others(&mut room, 1, SocketType::Sub, ENDPOINT)[..] else { unreachable!() };
    for number in 0..1000 {
        subscriber.socket.subscribe(format!("topic.{number:04}.")).expect("a subscription");
    }
    room.settle();
    Box::new(move || {
        for number in 0..100 {
            publisher.send(format!("topic.{number:04}!").as_bytes());
        }
        100
    })
}

/// Connected sockets, each in a process of its own.
fn others(room: &mut Room, count: usize, kind: SocketType, endpoint: &str) -> Vec<Seat> {
    let seats: Vec<Seat> = (0..count).map(|_| room.socket(kind)).collect();
    seats.iter().for_each(|seat| seat.connect(endpoint));
    seats
}
