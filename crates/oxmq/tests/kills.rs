//! Peers killed by SIGKILL and started again, at random, under load.
//!
//! What is missing after a kill is one run of what went over that connection, and no longer than
//! its queues and buffers; nothing else is missing, comes twice or out of order; nobody hangs, and
//! nothing is left behind. OXMQ_KILL_SECONDS says how long each pattern is tried over each
//! transport, OXMQ_KILL_ONLY=PUSH (the type of the socket that survives) tries one.

mod process;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use oxmq::{Context, Message, RecvError, SendErrorKind, Socket, SocketType, option};
use process::{Peer, Random, descriptors, pause, resident_kib, say, settles};

const LONG: Duration = Duration::from_secs(300);
const DEFAULT_SECONDS: f64 = 2.4;
const SNDHWM: u64 = 100;
const RCVHWM: u64 = 100;
/// SNDBUF and RCVBUF; the kernel takes twice as much.
const BUFFER_BYTES: u64 = 32 * 1024;
/// The kernel looks at a buffer's bound before it adds a segment, on either side, and the longest
/// segments within a machine are this long.
const SEGMENT_BYTES: u64 = 64 * 1024;
/// What a connection may have read and not yet decoded.
const READ_AHEAD_BYTES: u64 = 72 * 1024;
const BODY_BYTES: usize = 200;
/// A child says what it received or sent in batches of this size.
const BATCH: usize = 64;
/// A publisher's messages on their way. What was on its way to a victim may come on top for the next,
/// and credit returns in batches of half of SNDHWM: together that is less than SNDHWM, beyond which
/// messages may be dropped by right.
const WINDOW: u64 = 20;
/// The longest run that one kill may swallow: both queues, the kernel's and our buffers, and what
/// the child had no time to report.
const RUN_MAX: u64 = SNDHWM
    + RCVHWM
    + (4 * BUFFER_BYTES + 2 * SEGMENT_BYTES + READ_AHEAD_BYTES) / BODY_BYTES as u64
    + BATCH as u64
    + 1;
/// What may stay in use of the memory, by which allocators and page caches differ.
const MEMORY_KIB: usize = 8 * 1024;

#[derive(Clone, Copy, Debug)]
struct Case {
    /// What runs in the test's own process, and what is killed.
    survivor: SocketType,
    victim: SocketType,
    tcp: bool,
    victim_binds: bool,
}

#[derive(Default, Debug)]
struct Figures {
    kills: u64,
    messages: u64,
    runs: u64,
    longest: u64,
}

#[test]
fn killed_peers_cost_one_run_each() {
    let seconds = std::env::var("OXMQ_KILL_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs_f64(seconds.unwrap_or(DEFAULT_SECONDS) / 4.0);
    let mut random = Random::new("killed_peers_cost_one_run_each");
    use SocketType::{Pair, Pub, Pull, Push, Rep, Req, Sub};
    let patterns =
        [(Push, Pull), (Pull, Push), (Pub, Sub), (Sub, Pub), (Req, Rep), (Rep, Req), (Pair, Pair)];
    // This thread's own descriptor, to sleep on, stays.
    let _ = Context::new().term_timeout(Duration::ZERO);
    let mut first_kib = None;
    let only = std::env::var("OXMQ_KILL_ONLY").ok();
    for (survivor, victim) in patterns {
        if only.as_ref().is_some_and(|only| only != survivor.name()) {
            continue;
        }
        // Either of a pair is the other's like: it gets the time of both.
        let time = if survivor == Pair { 2 * time } else { time };
        for tcp in [true, false] {
            for victim_binds in [false, true] {
                let case = Case { survivor, victim, tcp, victim_binds };
                let before = descriptors();
                let figures = case.run(time, &mut random);
                settles(before, descriptors)
                    .unwrap_or_else(|now| panic!("{case:?}: descriptors {before} -> {now}"));
                println!(
                    "{} here, {} killed, {}, the killed one {}: {} kills, {} messages, {} runs \
                     missing, the longest {} (at most {RUN_MAX})",
                    survivor.name(),
                    victim.name(),
                    if tcp { "tcp" } else { "ipc" },
                    if victim_binds { "binds" } else { "connects" },
                    figures.kills,
                    figures.messages,
                    figures.runs,
                    figures.longest
                );
                assert!(figures.longest <= RUN_MAX, "{case:?}: {figures:?}");
                assert!(figures.messages > 0 && figures.kills > 0, "{case:?}: {figures:?}");
                // After the first, the allocator has what it needs.
                first_kib.get_or_insert_with(resident_kib);
            }
        }
    }
    let (first_kib, last_kib) = (first_kib.unwrap(), resident_kib());
    println!("memory in use: {first_kib} KiB after the first case, {last_kib} KiB after the last");
    assert!(last_kib < first_kib + process::memory_slack_kib(MEMORY_KIB));
}

impl Case {
    fn run(self, time: Duration, random: &mut Random) -> Figures {
        let context = Context::new();
        let mut survivor = Survivor::start(self, &context);
        let mut figures = Figures::default();
        let end = Instant::now() + time;
        let mut victims = Vec::new();
        loop {
            let last = Instant::now() >= end && figures.kills > 0;
            let mut victim = Victim::start(self, &survivor, victims.len());
            if last {
                survivor.finish(&mut victim, victims.len() as u64);
                victims.push(victim.end());
                break;
            }
            // From before it is connected to deep in its stream.
            let max_us = [15_000, 150_000][random.below(2) as usize];
            pause(random.micros(max_us));
            victims.push(victim.kill());
            figures.kills += 1;
            if let Some(publisher) = &survivor.publisher {
                publisher.limit.store(0, Ordering::SeqCst);
            }
            survivor.wait_until_alone();
        }
        survivor.stop(self, &victims, &mut figures);
        drop(survivor);
        context.term_timeout(LONG).unwrap();
        figures
    }

    /// The survivor, or the victim, sends.
    fn sends(kind: SocketType) -> bool {
        matches!(kind, SocketType::Push | SocketType::Pub | SocketType::Pair)
    }

    fn receives(kind: SocketType) -> bool {
        matches!(kind, SocketType::Pull | SocketType::Sub | SocketType::Pair)
    }
}

/// The socket in the test's own process, and the threads that use it.
struct Survivor {
    socket: Arc<Socket>,
    endpoint: String,
    stop: Arc<AtomicBool>,
    /// Messages sent.
    sent: Arc<AtomicU64>,
    sender: Option<JoinHandle<()>>,
    receiver: Option<JoinHandle<Received>>,
    publisher: Option<Arc<Publishing>>,
    requests: Option<JoinHandle<u64>>,
    /// Requests that were answered.
    answered: u64,
    /// The sender whose message came last, and how many it has sent.
    progress: Arc<Progress>,
    /// The last victim has ended, and with it everything that it sent is on its way.
    ended: Arc<AtomicBool>,
}

#[derive(Default)]
struct Progress {
    generation: AtomicU64,
    count: AtomicU64,
}

/// For each victim, how many of its messages came: 0, 1, 2, … in this order.
type Received = BTreeMap<u64, u64>;

/// How far a publisher may go.
struct Publishing {
    sent: Arc<AtomicU64>,
    /// Numbers below this may be sent.
    limit: AtomicU64,
}

impl Publishing {
    /// Goes on once a subscriber is back.
    fn resume(&self, socket: &Socket, timeout: Duration) -> bool {
        let is_back = socket.wait_for_subscribers("", 1, Some(timeout)).is_ok();
        if is_back {
            self.limit.store(self.sent.load(Ordering::SeqCst) + WINDOW, Ordering::SeqCst);
        }
        is_back
    }
}

impl Survivor {
    fn start(case: Case, context: &Context) -> Survivor {
        let socket = Arc::new(open(context, case.survivor));
        let file = std::env::temp_dir().join(format!("oxmq-kills-{}", std::process::id()));
        let any =
            if case.tcp { "tcp://127.0.0.1:*".into() } else { format!("ipc://{}", file.display()) };
        let endpoint = socket.bind(&any).unwrap();
        if case.victim_binds {
            // The victim gets what was just free.
            socket.unbind(&endpoint).unwrap();
            socket.connect(&endpoint).unwrap();
        }
        let stop = Arc::new(AtomicBool::new(false));
        let sent = Arc::new(AtomicU64::new(0));
        let publisher = (case.survivor == SocketType::Pub)
            .then(|| Arc::new(Publishing { sent: sent.clone(), limit: AtomicU64::new(0) }));
        let mut survivor = Survivor {
            socket: socket.clone(),
            endpoint: endpoint.clone(),
            stop: stop.clone(),
            sent: sent.clone(),
            sender: None,
            receiver: None,
            publisher: publisher.clone(),
            requests: None,
            answered: 0,
            progress: Arc::default(),
            ended: Arc::default(),
        };
        let (progress, ended) = (survivor.progress.clone(), survivor.ended.clone());
        if Case::sends(case.survivor) {
            let (socket, stop) = (socket.clone(), stop.clone());
            survivor.sender =
                Some(thread::spawn(move || send_all(&socket, &stop, &sent, publisher)));
        }
        match case.survivor {
            SocketType::Req => {
                let (context, binds) = (context.clone(), !case.victim_binds);
                survivor.requests = Some(thread::spawn(move || {
                    request_all(&context, socket, &endpoint, binds, &stop)
                }));
                // The thread's own from now on: it opens another when a reply does not come.
                survivor.socket = Arc::new(open(&survivor_context(), SocketType::Req));
            }
            SocketType::Rep => {
                survivor.receiver =
                    Some(thread::spawn(move || receive_all(&socket, &ended, &progress, true)));
            }
            kind if Case::receives(kind) => {
                survivor.receiver =
                    Some(thread::spawn(move || receive_all(&socket, &ended, &progress, false)));
            }
            _ => {}
        }
        survivor
    }

    /// Until the end of the victim has been noticed: another is another connection.
    fn wait_until_alone(&self) {
        let end = Instant::now() + LONG;
        while self.requests.is_none() && self.socket.wait_for_peers(1, Some(Duration::ZERO)).is_ok()
        {
            assert!(Instant::now() < end, "the end of a peer goes unnoticed");
            pause(Duration::from_micros(100));
        }
    }

    /// The last victim lives until everything is through.
    fn finish(&mut self, victim: &mut Victim, generation: u64) {
        if let Some(publisher) = &self.publisher {
            // A few more windows.
            let goal = publisher.sent.load(Ordering::SeqCst) + 3 * WINDOW;
            wait(|| publisher.sent.load(Ordering::SeqCst) >= goal);
        }
        // Others may have been killed before they sent anything.
        wait(|| {
            let Progress { generation: latest, count } = &*self.progress;
            let has_sent = || count.load(Ordering::SeqCst) > 0;
            self.receiver.is_none() || (latest.load(Ordering::SeqCst) == generation && has_sent())
        });
        // What comes after the first that it gets is all for it.
        wait(|| self.sender.is_none() || victim.got.load(Ordering::SeqCst) > 0);
        self.stop.store(true, Ordering::SeqCst);
        if let Some(sender) = self.sender.take() {
            sender.join().unwrap();
            let sent = self.sent.load(Ordering::SeqCst);
            wait(|| victim.got.load(Ordering::SeqCst) == sent);
        }
        if let Some(requests) = self.requests.take() {
            self.answered = requests.join().unwrap();
        }
        victim.peer.say("stop");
    }

    /// Joins the threads, and judges.
    fn stop(&mut self, case: Case, victims: &[Told], figures: &mut Figures) {
        if let Some(receiver) = self.receiver.take() {
            self.ended.store(true, Ordering::SeqCst);
            let received = receiver.join().unwrap();
            for (generation, told) in victims.iter().enumerate() {
                let count = received.get(&(generation as u64)).copied().unwrap_or(0);
                figures.messages += count;
                // Of a request no more than one is on its way; its number is reported afterwards.
                let missing = told.sent.saturating_sub(count);
                if missing > 0 {
                    figures.runs += 1;
                    figures.longest = figures.longest.max(missing);
                }
                if let Some(done) = told.done {
                    assert_eq!(count, done, "the last one, which was not killed, lost messages");
                }
            }
        }
        if self.sent.load(Ordering::SeqCst) > 0 {
            let mut next = 0;
            // Kills since the last message that came: each may have taken a run.
            let mut kills = 0;
            for told in victims {
                let Some(&first) = told.received.first() else {
                    kills += 1;
                    continue;
                };
                assert!(first >= next, "{first} again, {next} was expected");
                if first > next {
                    assert!(kills > 0, "{next} to {first} missing before any kill");
                    figures.runs += 1;
                    figures.longest = figures.longest.max((first - next).div_ceil(kills));
                }
                let gaps: Vec<_> =
                    told.received.windows(2).filter(|pair| pair[1] != pair[0] + 1).collect();
                // A publisher that connects keeps what waited for its peer; what it publishes until
                // the peer is back and has subscribed is for nobody.
                let one_may_be = kills > 0 && case.survivor == SocketType::Pub && case.victim_binds;
                match gaps[..] {
                    [] => {}
                    [&[before, after]] if before < after && one_may_be => {
                        figures.runs += 1;
                        figures.longest = figures.longest.max(after - before - 1);
                    }
                    _ => panic!("not in order or not all: {gaps:?}"),
                }
                next = told.received.last().map_or(next, |last| last + 1);
                figures.messages += told.received.len() as u64;
                kills = 1;
            }
        }
        figures.messages += self.answered;
    }
}

fn wait(reached: impl Fn() -> bool) {
    let end = Instant::now() + LONG;
    while !reached() {
        assert!(Instant::now() < end, "something hangs");
        pause(Duration::from_micros(200));
    }
}

/// A context for a socket that is only a placeholder.
fn survivor_context() -> Context {
    Context::new()
}

fn open(context: &Context, kind: SocketType) -> Socket {
    let socket = context.socket(kind).unwrap();
    socket.set(option::SNDHWM, SNDHWM as i32).unwrap();
    socket.set(option::RCVHWM, RCVHWM as i32).unwrap();
    socket.set(option::SNDBUF, BUFFER_BYTES as i32).unwrap();
    socket.set(option::RCVBUF, BUFFER_BYTES as i32).unwrap();
    socket.set(option::RECONNECT_IVL, 5).unwrap();
    // So that the threads see when to stop.
    socket.set(option::RCVTIMEO, 20).unwrap();
    socket.set(option::SNDTIMEO, 20).unwrap();
    if kind == SocketType::Sub {
        socket.subscribe("").unwrap();
    }
    socket
}

/// Message `number` of a sender: of one part or of three.
fn message(generation: u64, number: u64) -> Vec<Message> {
    let mut body = Vec::with_capacity(BODY_BYTES);
    body.extend_from_slice(&generation.to_le_bytes());
    body.extend_from_slice(&number.to_le_bytes());
    body.extend((16..BODY_BYTES).map(|at| at as u8 ^ number as u8));
    let cuts: &[usize] =
        if number.is_multiple_of(7) { &[16, 50, BODY_BYTES] } else { &[BODY_BYTES] };
    let mut start = 0;
    let mut parts = Vec::new();
    for &end in cuts {
        parts.push(Message::from(&body[start..end]));
        start = end;
    }
    parts
}

/// The sender and the number of a message that is whole.
fn check(parts: &[Message]) -> (u64, u64) {
    let word = |at: usize| u64::from_le_bytes(parts[0][at..at + 8].try_into().unwrap());
    let (generation, number) = (word(0), word(8));
    let expected = message(generation, number);
    assert_eq!(parts.len(), expected.len(), "message {number} in parts");
    for (part, expected) in parts.iter().zip(&expected) {
        assert_eq!(part[..], expected[..], "message {number}");
    }
    (generation, number)
}

fn send_all(
    socket: &Socket,
    stop: &AtomicBool,
    sent: &AtomicU64,
    publisher: Option<Arc<Publishing>>,
) {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        if let Some(publisher) = &publisher
            && number >= publisher.limit.load(Ordering::SeqCst)
        {
            pause(Duration::from_micros(100));
            continue;
        }
        match socket.send_multipart(message(0, number)).map_err(|error| error.kind()) {
            Ok(()) => {
                number += 1;
                sent.store(number, Ordering::SeqCst);
            }
            Err(error) => assert_eq!(error, SendErrorKind::Again),
        }
    }
}

/// Receives until told to stop and nothing more comes.
fn receive_all(socket: &Socket, ended: &AtomicBool, progress: &Progress, reply: bool) -> Received {
    let mut received = Received::new();
    let mut quiet = 0;
    loop {
        match socket.recv_multipart() {
            Ok(parts) => {
                quiet = 0;
                let (generation, number) = check(&parts);
                let next = received.entry(generation).or_default();
                assert_eq!(number, *next, "of sender {generation}");
                *next += 1;
                progress.generation.store(generation, Ordering::SeqCst);
                progress.count.store(*next, Ordering::SeqCst);
                if reply {
                    // To a peer that may be dead.
                    socket.send_multipart(parts).unwrap();
                }
            }
            Err(RecvError::Again) if ended.load(Ordering::SeqCst) => {
                quiet += 1;
                if quiet > 25 {
                    return received;
                }
            }
            Err(error) => assert_eq!(error, RecvError::Again),
        }
    }
}

/// Requests, each answered by its own echo; a socket whose peer died waits for ever, and is
/// replaced. Returns how many were answered.
fn request_all(
    context: &Context,
    socket: Arc<Socket>,
    endpoint: &str,
    binds: bool,
    stop: &AtomicBool,
) -> u64 {
    let mut socket = socket;
    let mut number = 0;
    let mut left = 0;
    // Some more after the end of the kills: the last victim answers everything.
    while !stop.load(Ordering::SeqCst) || left < 10 {
        let asked = socket.send_multipart(message(0, number));
        if let Err(error) = &asked {
            assert_eq!(error.kind(), SendErrorKind::Again);
            continue;
        }
        let end = Instant::now() + Duration::from_millis(100);
        let answer = loop {
            match socket.recv_multipart() {
                Ok(parts) => break Some(parts),
                Err(error) => assert_eq!(error, RecvError::Again),
            }
            if Instant::now() > end {
                break None;
            }
        };
        if let Some(parts) = answer {
            assert_eq!(check(&parts), (0, number));
            number += 1;
            left += u64::from(stop.load(Ordering::SeqCst));
            continue;
        }
        socket.set(option::LINGER, 0).unwrap();
        socket.close();
        socket = Arc::new(open(context, SocketType::Req));
        if binds {
            wait(|| socket.bind(endpoint).is_ok());
        } else {
            socket.connect(endpoint).unwrap();
        }
    }
    number
}

/// A child, and what it says.
struct Victim {
    peer: Peer,
    got: Arc<AtomicU64>,
    gone: Arc<AtomicBool>,
    told: JoinHandle<Told>,
}

/// What a victim said before it ended.
#[derive(Default)]
struct Told {
    received: Vec<u64>,
    /// It had sent at least so many.
    sent: u64,
    /// It sent so many in all, and ended of its own.
    done: Option<u64>,
}

impl Victim {
    fn start(case: Case, survivor: &Survivor, generation: usize) -> Victim {
        let how = if case.victim_binds { "bind" } else { "connect" };
        let role = format!("{} {how} {} {generation}", case.victim.name(), survivor.endpoint);
        let mut peer = Peer::start(&role);
        let mut output = peer.take_output();
        let got = Arc::new(AtomicU64::new(0));
        let gone = Arc::new(AtomicBool::new(false));
        let publisher = survivor.publisher.clone();
        let socket = survivor.socket.clone();
        let (so_far, is_gone) = (got.clone(), gone.clone());
        if case.victim == SocketType::Pub {
            acknowledge(&peer, &survivor.progress, generation as u64);
        }
        let told = thread::spawn(move || {
            let mut told = Told::default();
            while let Some(line) = process::next_line(&mut output) {
                let mut words = line.split(' ');
                match words.next() {
                    Some("ready") => {
                        if let Some(publisher) = &publisher {
                            while !is_gone.load(Ordering::SeqCst)
                                && !publisher.resume(&socket, Duration::from_millis(5))
                            {
                            }
                        }
                    }
                    Some("r") => {
                        told.received.extend(words.map(|word| word.parse::<u64>().unwrap()));
                        let next = told.received.last().map_or(0, |last| last + 1);
                        so_far.store(next, Ordering::SeqCst);
                        if let Some(publisher) = &publisher {
                            publisher.limit.fetch_max(next + WINDOW, Ordering::SeqCst);
                        }
                    }
                    Some("s") => {
                        told.sent = words.next().unwrap().parse().unwrap();
                    }
                    Some("done") => {
                        told.sent = words.next().unwrap().parse().unwrap();
                        told.done = Some(told.sent);
                    }
                    other => panic!("a child said {other:?}"),
                }
            }
            told
        });
        Victim { peer, got, gone, told }
    }

    /// Not a drop: what it said is read to its end.
    fn kill(self) -> Told {
        self.peer.kill();
        self.gone.store(true, Ordering::SeqCst);
        self.told.join().unwrap()
    }

    fn end(mut self) -> Told {
        let status = self.peer.end_within(LONG).expect("the last child ends");
        assert!(status.success(), "{status}");
        self.told.join().unwrap()
    }
}

/// A receiver whose queue is full reads no more, so it does not see the end of the peer. Its I/O
/// thread must not turn in circles until the application looks again.
#[test]
fn the_end_of_a_peer_behind_a_full_queue_costs_no_time() {
    for transport in ["tcp", "ipc"] {
        let mut peer = Peer::start(&format!("full {transport}"));
        let said = peer.line_within(LONG).unwrap().expect("the child lives");
        println!("{transport}: {said}");
        assert!(said.starts_with("idle"));
    }
}

/// A process of its own, so that its processor time is that of the one connection.
fn wait_behind_a_full_queue(transport: &str) {
    let context = Context::new();
    let pull = open(&context, SocketType::Pull);
    let file = std::env::temp_dir().join(format!("oxmq-full-{}", std::process::id()));
    let any = if transport == "tcp" {
        "tcp://127.0.0.1:*".into()
    } else {
        format!("ipc://{}", file.display())
    };
    let endpoint = pull.bind(&any).unwrap();
    let mut peer = Peer::start(&format!("PUSH connect {endpoint} 0"));
    // More than all queues hold: the sender is stuck, its last reports lie long back.
    let mut reports = 0;
    while matches!(peer.line_within(Duration::from_millis(300)), Ok(Some(_))) {
        reports += 1;
    }
    assert!(reports > 0);
    peer.kill();
    let before = process::cpu_time();
    pause(Duration::from_millis(500));
    let used = process::cpu_time() - before;
    let mut received = 0;
    while pull.recv().is_ok() {
        received += 1;
    }
    let verdict = if used < Duration::from_millis(50) { "idle" } else { "busy" };
    say(&format!("{verdict}: {used:?} of processor time in 500 ms, then {received} messages"));
}

/// A publisher among the victims goes on when its messages have come.
fn acknowledge(peer: &Peer, progress: &Arc<Progress>, generation: u64) {
    let (input, progress) = (peer.input(), progress.clone());
    thread::spawn(move || {
        let mut said = 0;
        loop {
            let count = progress.count.load(Ordering::SeqCst);
            if progress.generation.load(Ordering::SeqCst) == generation && count != said {
                said = count;
                if !process::tell(&input, &format!("ack {count}")) {
                    return;
                }
            } else if !process::tell(&input, "still here") {
                return;
            }
            pause(Duration::from_micros(200));
        }
    });
}

#[test]
#[ignore = "run by the other tests as a process of its own"]
fn child() {
    let Some(role) = process::role() else { return };
    if role[0] == "full" {
        return wait_behind_a_full_queue(&role[1]);
    }
    let kinds = [
        SocketType::Push,
        SocketType::Pull,
        SocketType::Pub,
        SocketType::Sub,
        SocketType::Req,
        SocketType::Rep,
        SocketType::Pair,
    ];
    let kind = *kinds.iter().find(|kind| kind.name() == role[0]).unwrap();
    let context = Context::new();
    let socket = open(&context, kind);
    if role[1] == "bind" {
        // What its predecessor left may be there for a moment.
        wait(|| socket.bind(&role[2]).is_ok());
    } else {
        socket.connect(&role[2]).unwrap();
    }
    let generation: u64 = role[3].parse().unwrap();
    say("ready");
    let stop = AtomicBool::new(false);
    let acknowledged = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            for line in std::io::stdin().lines() {
                match line.unwrap().split_once(' ') {
                    Some(("ack", count)) => {
                        acknowledged.fetch_max(count.parse().unwrap(), Ordering::SeqCst);
                    }
                    None => break,
                    Some(_) => {}
                }
            }
            stop.store(true, Ordering::SeqCst);
        });
        match kind {
            SocketType::Rep => {
                while !stop.load(Ordering::SeqCst) {
                    if let Ok(parts) = socket.recv_multipart() {
                        check(&parts);
                        socket.send_multipart(parts).unwrap();
                    }
                }
                say("done 0");
            }
            SocketType::Req => ask_until(&socket, generation, &stop),
            _ => {
                if Case::receives(kind) {
                    scope.spawn(|| report_received(&socket, &stop));
                }
                if Case::sends(kind) {
                    let window = (kind == SocketType::Pub).then_some(&acknowledged);
                    send_until(&socket, generation, &stop, window);
                }
            }
        }
    });
    // Waits until all that was sent is with the survivor.
    drop(socket);
    context.term().unwrap();
}

fn ask_until(socket: &Socket, generation: u64, stop: &AtomicBool) {
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        if socket.send_multipart(message(generation, number)).is_err() {
            continue;
        }
        let parts = loop {
            match socket.recv_multipart() {
                Ok(parts) => break parts,
                Err(error) => assert_eq!(error, RecvError::Again),
            }
        };
        assert_eq!(check(&parts), (generation, number));
        number += 1;
        say(&format!("s {number}"));
    }
    say(&format!("done {number}"));
}

fn send_until(socket: &Socket, generation: u64, stop: &AtomicBool, window: Option<&AtomicU64>) {
    if window.is_some() {
        let _ = socket.wait_for_subscribers("", 1, None);
    }
    let mut number = 0;
    while !stop.load(Ordering::SeqCst) {
        if let Some(acknowledged) = window
            && number >= acknowledged.load(Ordering::SeqCst) + WINDOW
        {
            pause(Duration::from_micros(100));
            continue;
        }
        match socket.send_multipart(message(generation, number)).map_err(|error| error.kind()) {
            Ok(()) => {
                number += 1;
                if number % (BATCH as u64 / 2) == 0 {
                    say(&format!("s {number}"));
                }
            }
            Err(error) => assert_eq!(error, SendErrorKind::Again),
        }
    }
    say(&format!("done {number}"));
}

fn report_received(socket: &Socket, stop: &AtomicBool) {
    let mut batch = String::from("r");
    let mut count = 0;
    loop {
        let received =
            if count == 0 { socket.recv_multipart() } else { socket.try_recv_multipart() };
        match received {
            Ok(parts) => {
                batch += &format!(" {}", check(&parts).1);
                count += 1;
                if count < BATCH {
                    continue;
                }
            }
            Err(error) => assert_eq!(error, RecvError::Again),
        }
        if count > 0 {
            // Shorter than PIPE_BUF: said whole or not at all.
            say(&batch);
            batch.truncate(1);
            count = 0;
        } else if stop.load(Ordering::SeqCst) {
            return;
        }
    }
}
