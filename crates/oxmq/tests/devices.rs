//! Devices between real peers, ours and libzmq's at either end: multiparts of any number of parts,
//! the device killed and restarted under load, and peers dying around it.
//!
//! OXMQ_DEVICE_SECONDS says how long each device is tried in each way.

mod process;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use oxmq::{Context, Device, RecvError, Socket, SocketType, option};
use process::{Peer, Random, pause, say};
use support::libzmq::{self, LibContext, LibSocket};
use support::{LONG, endpoints, fresh_name};

const DEFAULT_SECONDS: f64 = 1.0;
/// A publisher is no further ahead of its subscribers than this: together with the batch in which
/// credit returns it is less than what a device drops for.
const WINDOW: u64 = 400;
/// A publisher whose messages do not come tries another: its device, or the subscriptions, are gone.
const PROBE_EVERY: Duration = Duration::from_millis(20);
/// A request that is not answered for so long is asked anew, by another socket.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Of each sender a receiver remembers so many numbers of messages, until all must come.
const NUMBERS_MAX: usize = 1000;
/// So much must come through, all of it, once the faults are over.
const AFTERWARDS: u64 = 200;
/// What may stay in use of the device's memory, by which allocators differ.
const MEMORY_KIB: usize = 8 * 1024;
const SNDTIMEO: i32 = 28;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Queue,
    Forwarder,
    Streamer,
}

const KINDS: [Kind; 3] = [Kind::Queue, Kind::Forwarder, Kind::Streamer];

impl Kind {
    fn device(self, context: &Context) -> Device {
        match self {
            Kind::Queue => Device::queue(context),
            Kind::Forwarder => Device::forwarder(context),
            Kind::Streamer => Device::streamer(context),
        }
        .unwrap()
    }

    /// Who is in front of it, and who behind.
    fn peers(self) -> (SocketType, SocketType) {
        match self {
            Kind::Queue => (SocketType::Req, SocketType::Rep),
            Kind::Forwarder => (SocketType::Pub, SocketType::Sub),
            Kind::Streamer => (SocketType::Push, SocketType::Pull),
        }
    }
}

fn seconds() -> Duration {
    let asked = std::env::var("OXMQ_DEVICE_SECONDS").ok().and_then(|text| text.parse().ok());
    Duration::from_secs_f64(asked.unwrap_or(DEFAULT_SECONDS))
}

// Peers of either library.

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Library {
    Ours,
    Theirs,
}

const LIBRARIES: [Library; 2] = [Library::Ours, Library::Theirs];

enum End {
    Ours(Socket),
    Theirs(LibSocket),
}

/// One context of each library.
struct Contexts {
    ours: Context,
    theirs: LibContext,
}

impl Contexts {
    fn new() -> Contexts {
        Contexts { ours: Context::new(), theirs: LibContext::new() }
    }

    /// A socket connected to `endpoint`; a SUB wants what begins with `topic`.
    fn connect(&self, library: Library, kind: SocketType, endpoint: &str, topic: &[u8]) -> End {
        match library {
            Library::Ours => {
                let socket = self.ours.socket(kind).unwrap();
                socket.set(option::LINGER, 0).unwrap();
                socket.set(option::RECONNECT_IVL, 5).unwrap();
                socket.set(option::SNDTIMEO, 20).unwrap();
                if kind == SocketType::Sub {
                    socket.subscribe(topic).unwrap();
                }
                socket.connect(endpoint).unwrap();
                End::Ours(socket)
            }
            Library::Theirs => {
                let number = libzmq::TYPES.iter().find(|(_, name)| *name == kind.name()).unwrap().0;
                let socket = self.theirs.socket(number);
                socket.set(libzmq::RECONNECT_IVL, 5);
                socket.set(SNDTIMEO, 20);
                if kind == SocketType::Sub {
                    socket.set_bytes(libzmq::SUBSCRIBE, topic);
                }
                socket.connect(endpoint).unwrap();
                End::Theirs(socket)
            }
        }
    }
}

impl End {
    /// False: no peer could take it within 20 ms.
    fn send(&self, parts: &[Vec<u8>]) -> bool {
        match self {
            End::Ours(socket) => socket.send_multipart(parts).is_ok(),
            End::Theirs(socket) => socket.send(parts).is_ok(),
        }
    }

    fn recv(&self, timeout: Duration) -> Option<Vec<Vec<u8>>> {
        match self {
            End::Ours(socket) => {
                socket.set(option::RCVTIMEO, timeout.as_millis() as i32).unwrap();
                match socket.recv_multipart() {
                    Ok(parts) => Some(parts.iter().map(|part| part.to_vec()).collect()),
                    Err(error) => {
                        assert_eq!(error, RecvError::Again);
                        None
                    }
                }
            }
            End::Theirs(socket) => socket.recv_timeout(timeout).ok(),
        }
    }
}

// What is carried.

/// The topic of what the peers that stay say, and of those that die.
const STEADY: &[u8] = b"steady";
const DYING: &[u8] = b"dying";

/// Message `number` of a sender, in as many parts as its number makes of it.
fn message(topic: &[u8], sender: u64, number: u64) -> Vec<Vec<u8>> {
    let count = match number % 97 {
        96 => 1000,
        rest => 1 + rest * rest % 13,
    };
    let mut parts = vec![topic.to_vec()];
    parts[0].extend_from_slice(&sender.to_le_bytes());
    parts[0].extend_from_slice(&number.to_le_bytes());
    parts.extend((1..count).map(|at| {
        // Now and then an empty one.
        let bytes = if at % 5 == 4 { 0 } else { (number % 60 + at % 7) as usize };
        vec![(at ^ number) as u8; bytes]
    }));
    parts
}

/// The sender and number of a message, which is whole.
fn check(topic: &[u8], parts: &[Vec<u8>]) -> (u64, u64) {
    let head = parts[0].strip_prefix(topic).expect("what was asked for");
    let word = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
    let (sender, number) = (word(0), word(8));
    assert!(parts == message(topic, sender, number), "message {number} of {sender} is not whole");
    (sender, number)
}

// The device, in a process of its own.

struct Node {
    peer: Peer,
    front: String,
    back: String,
}

/// What a device's process says of itself.
#[derive(Debug)]
struct Holds {
    /// Connected in front and behind.
    peers: [usize; 2],
    descriptors: usize,
    kib: usize,
}

impl Node {
    fn start(kind: Kind, front: &str, back: &str) -> Node {
        let mut peer = Peer::start(&format!("device {kind:?} {front} {back}"));
        let said = peer.line_within(LONG).unwrap().expect("the device starts");
        let (front, back) = said.split_once(' ').unwrap();
        Node { front: front.into(), back: back.into(), peer }
    }

    fn holds(&mut self) -> Holds {
        self.peer.say("figures");
        let said = self.peer.line_within(LONG).expect("it does not hang").expect("it lives");
        let said: Vec<usize> = said.split(' ').map(|figure| figure.parse().unwrap()).collect();
        Holds { peers: [said[0], said[1]], descriptors: said[2], kib: said[3] }
    }

    /// What it holds once nobody but the load is connected, and the load is.
    fn holds_with_the_load_alone(&mut self) -> Holds {
        let end = Instant::now() + LONG;
        loop {
            let holds = self.holds();
            if holds.peers == [2, 2] {
                return holds;
            }
            assert!(Instant::now() < end, "{holds:?}");
            pause(Duration::from_millis(1));
        }
    }

    /// An orderly end.
    fn end(mut self) {
        self.peer.say("end");
        let status = self.peer.end_within(LONG).expect("the device ends");
        assert!(status.success(), "{status}");
    }
}

fn run_device(role: &[String]) {
    let kind = *KINDS.iter().find(|kind| format!("{kind:?}") == role[1]).unwrap();
    let context = Context::new();
    let device = kind.device(&context);
    // What its predecessor left may be there for a moment.
    let bind = |socket: &Socket, endpoint: &str| {
        let end = Instant::now() + LONG;
        loop {
            match socket.bind(endpoint) {
                Ok(endpoint) => return endpoint,
                Err(error) => assert!(Instant::now() < end, "{error}"),
            }
            pause(Duration::from_millis(1));
        }
    };
    for socket in [device.front(), device.back()] {
        socket.set(option::LINGER, 0).unwrap();
    }
    let (front, back) = (bind(device.front(), &role[2]), bind(device.back(), &role[3]));
    thread::scope(|scope| {
        let running = scope.spawn(|| device.run());
        say(&format!("{front} {back}"));
        for line in std::io::stdin().lines() {
            if line.unwrap() != "figures" {
                break;
            }
            let [front, back] = [device.front(), device.back()].map(|socket| {
                let pipes = socket.statistics().pipes;
                pipes.iter().filter(|pipe| pipe.connected).count()
            });
            let (descriptors, kib) = (process::descriptors(), process::resident_kib());
            say(&format!("{front} {back} {descriptors} {kib}"));
        }
        context.shutdown();
        running.join().unwrap().unwrap();
    });
    drop(device);
    context.term().unwrap();
}

/// A peer that goes on until it is killed.
fn run_dying(role: &[String]) {
    let library = LIBRARIES[usize::from(role[1] == "Theirs")];
    let kinds = KINDS.map(Kind::peers);
    let mut kinds = kinds.iter().flat_map(|(front, back)| [front, back]);
    let kind = *kinds.find(|kind| kind.name() == role[2]).unwrap();
    let contexts = Contexts::new();
    let socket = contexts.connect(library, kind, &role[3], b"");
    let generation: u64 = role[4].parse().unwrap();
    say("ready");
    // Half of those that receive never read.
    let reads = generation.is_multiple_of(2);
    for number in 0.. {
        match kind {
            SocketType::Req => {
                socket.send(&message(DYING, generation, number));
                while socket.recv(LONG).is_none() {}
            }
            SocketType::Push | SocketType::Pub => {
                socket.send(&message(DYING, generation, number));
                pause(Duration::from_micros(200));
            }
            SocketType::Rep if reads => {
                if let Some(parts) = socket.recv(LONG) {
                    socket.send(&parts);
                }
            }
            _ if reads => drop(socket.recv(LONG)),
            _ => pause(LONG),
        }
    }
}

#[test]
#[ignore = "run by the other tests as a process of its own"]
fn child() {
    match process::role() {
        Some(role) if role[0] == "device" => run_device(&role),
        Some(role) => run_dying(&role),
        None => {}
    }
}

// The load: two peers on either side, one of each library, that stay.

#[derive(Default)]
struct Shared {
    /// Nothing that is sent from here on may be lost.
    all_is_well: AtomicBool,
    /// The senders send no more.
    stop: AtomicBool,
    /// How many of them have sent their last.
    stopped: AtomicU64,
    /// Everybody ends.
    end: AtomicBool,
    /// Of each sender: how many it has sent, or had answered.
    sent: [AtomicU64; 2],
    asked_again: Mutex<u64>,
    /// What each receiver has of each sender.
    got: [Mutex<BTreeMap<u64, Got>>; 2],
}

#[derive(Default, Clone)]
struct Got {
    next: u64,
    messages: u64,
    missing: u64,
    /// Numbers from a certain one on.
    numbers: BTreeSet<u64>,
}

struct Load {
    kind: Kind,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    fn start(kind: Kind, node: &Node) -> Load {
        let shared = Arc::<Shared>::default();
        let (front, back) = kind.peers();
        let mut threads = Vec::new();
        for (index, library) in LIBRARIES.into_iter().enumerate() {
            let (of_sender, endpoint) = (shared.clone(), node.front.clone());
            threads.push(thread::spawn(move || {
                let contexts = Contexts::new();
                let open = || contexts.connect(library, front, &endpoint, b"");
                match kind {
                    Kind::Queue => ask(&open, &of_sender, index),
                    _ => send(&open(), &of_sender, index, kind == Kind::Forwarder),
                }
            }));
            let (shared, endpoint) = (shared.clone(), node.back.clone());
            threads.push(thread::spawn(move || {
                let contexts = Contexts::new();
                let socket = contexts.connect(library, back, &endpoint, STEADY);
                receive(&socket, &shared, index, kind);
            }));
        }
        Load { kind, shared, threads }
    }

    fn sent(&self) -> [u64; 2] {
        [0, 1].map(|sender| self.shared.sent[sender].load(Ordering::SeqCst))
    }

    fn got(&self, receiver: usize, sender: usize) -> Got {
        let got = self.shared.got[receiver].lock().unwrap();
        got.get(&(sender as u64)).cloned().unwrap_or_default()
    }

    /// Everybody takes part again: of a queue, each client is answered; of a forwarder, both
    /// subscribers hear both publishers; of a streamer, each source reaches a worker, and each
    /// worker is reached (perhaps by one source alone: two that take turns may keep step with two
    /// workers in turn).
    fn wait_until_it_flows(&self) {
        let from = self.sent();
        let reaches = |sender: usize, receiver| self.got(receiver, sender).next > from[sender] + 1;
        wait(&format!("{:?}: nothing comes through", self.kind), || match self.kind {
            Kind::Queue => [0, 1].iter().all(|&client| self.sent()[client] > from[client] + 2),
            Kind::Forwarder => (0..4).all(|pair| reaches(pair / 2, pair % 2)),
            Kind::Streamer => (0..2).all(|one| {
                (0..2).any(|other| reaches(one, other)) && (0..2).any(|other| reaches(other, one))
            }),
        });
    }

    /// From here on all is well: everything must come.
    fn finish(self) -> Figures {
        self.wait_until_it_flows();
        let again = {
            let asked_again = self.shared.asked_again.lock().unwrap();
            self.shared.all_is_well.store(true, Ordering::SeqCst);
            *asked_again
        };
        let from = self.sent();
        wait("the load goes on", || {
            (0..2).all(|sender| self.sent()[sender] >= from[sender] + AFTERWARDS)
        });
        self.shared.stop.store(true, Ordering::SeqCst);
        let mut figures = Figures::default();
        wait("the senders stop", || self.shared.stopped.load(Ordering::SeqCst) == 2);
        let sent = self.sent();
        let has_all = |receivers: &[usize], sender: usize| {
            let mut numbers = BTreeSet::new();
            for &receiver in receivers {
                numbers.extend(self.got(receiver, sender).numbers);
            }
            (from[sender]..sent[sender]).all(|number| numbers.contains(&number))
        };
        wait("something is missing although all is well", || {
            (0..2).all(|sender| match self.kind {
                Kind::Queue => true,
                Kind::Forwarder => has_all(&[0], sender) && has_all(&[1], sender),
                Kind::Streamer => has_all(&[0, 1], sender),
            })
        });
        assert_eq!(*self.shared.asked_again.lock().unwrap(), again, "of a healthy queue");
        self.shared.end.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread.join().unwrap();
        }
        for receiver in &self.shared.got {
            for (sender, got) in receiver.lock().unwrap().iter() {
                figures.messages += got.messages;
                if *sender < 2 {
                    figures.missing += got.missing;
                }
            }
        }
        if self.kind == Kind::Streamer {
            // Either worker misses what the other has; what neither has is lost.
            figures.missing = sent.iter().sum::<u64>()
                - self.shared.got.iter().map(|got| total(&got.lock().unwrap())).sum::<u64>();
        }
        if self.kind == Kind::Queue {
            figures.messages = sent.iter().sum();
            figures.missing = again;
        }
        figures
    }
}

fn total(got: &BTreeMap<u64, Got>) -> u64 {
    got.iter().filter(|(sender, _)| **sender < 2).map(|(_, got)| got.messages).sum()
}

#[derive(Default, Debug)]
struct Figures {
    messages: u64,
    /// Lost, or, of a queue, asked again.
    missing: u64,
}

/// Asks again and again, each request until it is answered.
fn ask(open: &dyn Fn() -> End, shared: &Shared, index: usize) {
    let mut socket = open();
    let mut number = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        let request = message(STEADY, index as u64, number);
        let start = Instant::now();
        if !socket.send(&request) {
            continue;
        }
        let reply = loop {
            let reply = socket.recv(ASK_AGAIN);
            // Held from the look at `all_is_well` on, so that none is counted late.
            let mut asked_again = shared.asked_again.lock().unwrap();
            if reply.is_some() {
                break reply;
            }
            // Where nothing is lost an answer may take its time.
            if !shared.all_is_well.load(Ordering::SeqCst) || start.elapsed() > LONG {
                *asked_again += 1;
                break None;
            }
        };
        match reply {
            Some(reply) => {
                assert!(reply == request, "the reply to {number} took {:?}", start.elapsed());
                number += 1;
                shared.sent[index].store(number, Ordering::SeqCst);
            }
            None => socket = open(),
        }
    }
    shared.stopped.fetch_add(1, Ordering::SeqCst);
}

fn send(socket: &End, shared: &Shared, index: usize, window: bool) {
    let mut number = 0;
    let mut last = Instant::now();
    while !shared.stop.load(Ordering::SeqCst) {
        if window {
            let next = |receiver: &Mutex<BTreeMap<u64, Got>>| {
                receiver.lock().unwrap().get(&(index as u64)).map_or(0, |got| got.next)
            };
            let slowest = shared.got.iter().map(next).min().unwrap_or(0);
            // Nothing at first: who subscribes late has missed nothing that it waits for.
            let limit = if slowest == 0 { 0 } else { slowest + WINDOW };
            if number >= limit && last.elapsed() < PROBE_EVERY {
                pause(Duration::from_micros(100));
                continue;
            }
        }
        if socket.send(&message(STEADY, index as u64, number)) {
            number += 1;
            last = Instant::now();
            shared.sent[index].store(number, Ordering::SeqCst);
        }
    }
    shared.stopped.fetch_add(1, Ordering::SeqCst);
    // Its socket does not linger: it stays until everybody has what was sent.
    while !shared.end.load(Ordering::SeqCst) {
        pause(Duration::from_millis(1));
    }
}

/// Receives what peers of any kind send: whole, in order, never twice.
fn receive(socket: &End, shared: &Shared, index: usize, kind: Kind) {
    while !shared.end.load(Ordering::SeqCst) {
        let Some(parts) = socket.recv(Duration::from_millis(20)) else { continue };
        let steady = parts[0].starts_with(STEADY);
        let (sender, number) = check(if steady { STEADY } else { DYING }, &parts);
        if kind == Kind::Queue {
            // To a client that may be dead. A client asks again under the same number.
            socket.send(&parts);
            continue;
        }
        let mut got = shared.got[index].lock().unwrap();
        let got = got.entry(sender).or_default();
        assert!(number >= got.next, "message {number} of {sender} after {}", got.next);
        if got.messages > 0 {
            got.missing += number - got.next;
        }
        got.next = number + 1;
        got.messages += 1;
        if steady {
            got.numbers.insert(number);
            // Those from before will not be asked for.
            let all_is_well = shared.all_is_well.load(Ordering::SeqCst);
            while !all_is_well && got.numbers.len() > NUMBERS_MAX {
                got.numbers.pop_first();
            }
        }
    }
}

fn wait(what: &str, reached: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !reached() {
        assert!(Instant::now() < end, "{what}");
        pause(Duration::from_micros(500));
    }
}

// The tests.

/// Endpoints of a device to bind to: tcp on one side, ipc on the other.
fn sides(kind: Kind) -> (String, String) {
    let [tcp, ipc, _] = endpoints();
    if kind == Kind::Forwarder { (ipc, tcp) } else { (tcp, ipc) }
}

#[test]
fn a_device_is_killed_and_restarted_under_load() {
    let mut random = Random::new("a_device_is_killed_and_restarted_under_load");
    for kind in KINDS {
        let (front, back) = sides(kind);
        let mut node = Node::start(kind, &front, &back);
        let load = Load::start(kind, &node);
        load.wait_until_it_flows();
        let end = Instant::now() + seconds();
        let mut kills = 0;
        while kills == 0 || Instant::now() < end {
            // From before everybody is back to deep in the stream.
            let max_us = [10_000, 200_000][random.below(2) as usize];
            pause(random.micros(max_us));
            let (front, back) = (node.front.clone(), node.back.clone());
            node.peer.kill();
            kills += 1;
            node = Node::start(kind, &front, &back);
        }
        let figures = load.finish();
        println!("{kind:?}: killed {kills} times, {figures:?}");
        node.end();
    }
}

#[test]
fn peers_dying_around_a_device_harm_nobody() {
    let mut random = Random::new("peers_dying_around_a_device_harm_nobody");
    for kind in KINDS {
        let (front, back) = sides(kind);
        let mut node = Node::start(kind, &front, &back);
        let load = Load::start(kind, &node);
        load.wait_until_it_flows();
        let mut generation = 100;
        let mut start = |at_front: bool, random: &mut Random, node: &Node| {
            generation += 1;
            let (front, back) = kind.peers();
            let (role, endpoint) = if at_front { (front, &node.front) } else { (back, &node.back) };
            let library = LIBRARIES[random.below(2) as usize];
            Peer::start(&format!("peer {library:?} {} {endpoint} {generation}", role.name()))
        };
        let descriptors = node.holds_with_the_load_alone().descriptors;
        let mut kib = 0;
        let mut dying: Vec<Peer> =
            (0..4).map(|number| start(number % 2 == 0, &mut random, &node)).collect();
        let (start_at, end) = (Instant::now(), Instant::now() + seconds());
        let mut kills = 0;
        while kills < 4 || Instant::now() < end {
            pause(random.micros(40_000));
            let which = random.below(4) as usize;
            let mut successor = start(which.is_multiple_of(2), &mut random, &node);
            // Half of them die while they connect.
            if random.below(2) == 0 {
                successor.line_within(LONG).unwrap();
            }
            std::mem::replace(&mut dying[which], successor).kill();
            kills += 1;
            // What the allocator needs at the height of it.
            if kills <= 4 || start_at.elapsed() < seconds() / 2 {
                kib = kib.max(node.holds().kib);
            }
        }
        dying.into_iter().for_each(Peer::kill);
        let limit = Instant::now() + LONG;
        loop {
            let now = node.holds_with_the_load_alone().descriptors;
            if now <= descriptors {
                break;
            }
            assert!(Instant::now() < limit, "{kind:?}: descriptors {descriptors} -> {now}");
            pause(Duration::from_millis(5));
        }
        let figures = load.finish();
        let now_kib = node.holds().kib;
        println!(
            "{kind:?}: {kills} peers killed, {figures:?}; {descriptors} descriptors before and \
             after; memory {kib} KiB -> {now_kib} KiB"
        );
        assert!(kind != Kind::Forwarder || figures.missing == 0, "{figures:?}");
        assert!(now_kib < kib + process::memory_slack_kib(MEMORY_KIB), "{kib} -> {now_kib} KiB");
        node.end();
    }
}

/// One to a thousand parts, from either library to the other and back.
#[test]
fn multiparts_of_one_to_a_thousand_parts_pass_whole() {
    let all = seconds() >= Duration::from_secs(30);
    let counts: Vec<usize> =
        if all { (1..=1000).collect() } else { (1..=1000).filter(is_telling).collect() };
    for kind in KINDS {
        for front_library in LIBRARIES {
            let context = Context::new();
            let device = kind.device(&context);
            let front_at = device.front().bind(&endpoints()[0]).unwrap();
            let back_at = device.back().bind(&format!("ipc://@{}", fresh_name())).unwrap();
            let running = thread::spawn(move || device.run());
            let contexts = Contexts::new();
            let back_library = LIBRARIES[usize::from(front_library == Library::Ours)];
            let (front, back) = kind.peers();
            let front = contexts.connect(front_library, front, &front_at, b"");
            let back = contexts.connect(back_library, back, &back_at, b"");
            if kind == Kind::Forwarder {
                // Until the subscription has come through.
                while {
                    front.send(&[b"first".to_vec()]);
                    back.recv(Duration::from_millis(10)).is_none()
                } {}
                assert!(front.send(&[b"last".to_vec()]));
                while back.recv(LONG).unwrap() != [b"last"] {}
            }
            for &count in &counts {
                let parts: Vec<Vec<u8>> =
                    (0..count).map(|at| vec![at as u8; [1, 0, 30, 256][at % 4]]).collect();
                wait("a peer", || front.send(&parts));
                assert!(back.recv(LONG).unwrap() == parts, "{kind:?}: {count} parts");
                if kind == Kind::Queue {
                    assert!(back.send(&parts));
                    assert!(front.recv(LONG).unwrap() == parts, "{count} parts back");
                }
            }
            drop((front, back));
            context.shutdown();
            running.join().unwrap().unwrap();
        }
    }
}

/// About the powers of two, the round numbers, and a few between.
fn is_telling(count: &usize) -> bool {
    let near = |number: usize| number.abs_diff(*count) <= 1;
    *count < 20
        || near(64)
        || near(128)
        || near(256)
        || near(512)
        || near(1000)
        || count.is_multiple_of(97)
}
