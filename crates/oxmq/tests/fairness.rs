//! Who behaves does not suffer from who does not: of many peers one that floods, and one that is
//! slow; of many receivers one that has stalled.
//!
//! An ordinary run is short, and its bounds are wide enough for a machine that others use, too: what is
//! unfair, or held up by one that stalls, misses them by far. With OXMQ_FAIRNESS_STRICT=1, on a machine
//! of one's own, runs are longer and held to bounds of 5 and 10 %.

mod process;
mod support;

use std::sync::Mutex;
use std::time::{Duration, Instant};

use oxmq::option::{LINGER, RCVHWM, ROUTING_ID, SNDHWM, SNDTIMEO};
use oxmq::{Context, Socket, SocketType};

use process::cpu_time;
use support::{LONG, PLACES, Place};

const ORDINARY: usize = 8;
const FLOODING: usize = ORDINARY;
const SLOW: usize = ORDINARY + 1;
/// How many messages of an ordinary peer are on their way; each that is received makes it send
/// another. As many as fit into its queue, so that on a machine whose I/O thread has to wait for a
/// processor all run dry together.
const WINDOW: usize = 1000;
/// The slow peer sends one message in the time of so many.
const SLOWNESS: usize = 100;
const WARM_UP: usize = 10_000;

struct Bounds {
    /// How many messages are counted.
    counted: usize,
    /// How much more than the least of the ordinary ones the first of them may have.
    spread: f64,
    /// How much a share may change beside the others.
    change: f64,
    /// How much of what the slow one sends may be missing, or late.
    slow: f64,
    /// Pairs of runs beside a stalled receiver and without.
    runs: usize,
    /// What of the rate must be left beside it.
    rate: f64,
}

const ORDINARY_BOUNDS: Bounds =
    Bounds { counted: 20_000, spread: 0.25, change: 0.25, slow: 0.5, runs: 7, rate: 0.7 };
const STRICT_BOUNDS: Bounds =
    Bounds { counted: 30_000, spread: 0.1, change: 0.05, slow: 0.1, runs: 31, rate: 0.95 };

fn bounds() -> &'static Bounds {
    let strict = std::env::var("OXMQ_FAIRNESS_STRICT").is_ok_and(|value| value == "1");
    if strict { &STRICT_BOUNDS } else { &ORDINARY_BOUNDS }
}

#[test]
fn pull_is_fair() {
    is_fair(SocketType::Pull, SocketType::Push);
}

#[test]
fn router_is_fair() {
    is_fair(SocketType::Router, SocketType::Dealer);
}

/// One at a time: what another does would count as this one's.
static ALONE: Mutex<()> = Mutex::new(());

/// Shares are counted in messages, and the receiver sets the pace, so that the machine's speed does
/// not matter.
///
/// A peer that floods has its turn in each round, as any other: of all that is received an ordinary
/// peer has a ninth beside it and an eighth without. What must not change is what the ordinary ones
/// have of each other, and the flood must not have more than its turn. So an ordinary one's share
/// here is that of what all ordinary ones have sent.
///
/// While the I/O thread waits for a processor queues run dry, and whoever is served first has more. Such
/// a run is repeated; what is unfair is so every time.
fn is_fair(kind: SocketType, peers: SocketType) {
    let _alone = ALONE.lock();
    for place in PLACES {
        let findings = (0..ATTEMPTS).map_while(|_| finding(kind, peers, place));
        let findings: Vec<String> = findings.collect();
        assert!(findings.len() < ATTEMPTS, "{findings:#?}");
    }
}

/// What is not fair.
fn finding(kind: SocketType, peers: SocketType, place: Place) -> Option<String> {
    let alone = shares(kind, peers, place, false);
    let beside = shares(kind, peers, place, true);
    let what = format!("{} {place:?}: {alone:?}, beside the others {beside:?}", kind.name());
    println!("{what}");
    let ordinary = |counts: &[usize; 10]| -> [f64; ORDINARY] {
        let all: usize = counts[..ORDINARY].iter().sum();
        std::array::from_fn(|at| counts[at] as f64 / all as f64)
    };
    let (before, after) = (ordinary(&alone), ordinary(&beside));
    let [least, most] = [f64::min, f64::max].map(|of| after.into_iter().reduce(of).unwrap());
    let mut shares = before.iter().zip(after);
    let mean = beside[..ORDINARY].iter().sum::<usize>() / ORDINARY;
    let bounds = bounds();
    let slow = (bounds.counted / SLOWNESS) as f64;
    let finding = if most > least * (1.0 + bounds.spread) {
        "the ordinary ones differ"
    } else if shares.any(|(before, after)| (after / before - 1.0).abs() > bounds.change) {
        "a share has changed"
    } else if beside[FLOODING] > 2 * mean {
        // It may have the turns of those whose next message is on its way yet.
        "the flood has more than its turn"
    } else if (beside[SLOW] as f64) < slow * (1.0 - bounds.slow) {
        "the slow one"
    } else {
        return None;
    };
    Some(format!("{finding}, {what}"))
}

/// How many messages of each peer are received.
fn shares(kind: SocketType, peers: SocketType, place: Place, all: bool) -> [usize; 10] {
    let context = Context::new();
    let hub = socket(&context, kind);
    let bound = place.first_binds.then(|| hub.bind(&place.endpoint()).unwrap());
    let count = if all { SLOW + 1 } else { ORDINARY };
    let peers: Vec<Socket> = (0..count)
        .map(|name| {
            let peer = socket(&context, peers);
            peer.set(ROUTING_ID, vec![name as u8 + 1]).unwrap();
            match &bound {
                Some(endpoint) => peer.connect(endpoint).unwrap(),
                None => hub.connect(&peer.bind(&place.endpoint()).unwrap()).unwrap(),
            }
            peer.wait_for_peers(1, Some(LONG)).unwrap();
            peer
        })
        .collect();
    // Waits where the I/O thread is slow.
    let send = |name: usize| peers[name].send(&[name as u8; 20]).unwrap();
    for name in 0..ORDINARY {
        (0..WINDOW).for_each(|_| send(name));
    }
    let mut counts = [0; 10];
    for number in 0..WARM_UP + bounds().counted {
        if all {
            while peers[FLOODING].try_send(&[FLOODING as u8; 20]).is_ok() {}
            if number % SLOWNESS == 0 {
                send(SLOW);
            }
        }
        let parts = hub.recv_multipart().unwrap();
        let name = usize::from(parts.last().unwrap()[0]);
        if name < ORDINARY {
            send(name);
        }
        if number >= WARM_UP {
            counts[name] += 1;
        }
    }
    counts
}

// One receiver that has stalled.

const READY: usize = ORDINARY;
/// So many for each receiver may wait: more than are ever on their way to a ready one.
const FAN_SNDHWM: i32 = 100;
/// Messages of one run.
const RUN: usize = 2000;
/// Where processors are shared, one comparison may be off; a stalled receiver that costs anything
/// costs it every time.
const ATTEMPTS: usize = 8;

#[test]
fn push_goes_on_beside_a_stalled_receiver() {
    goes_on(SocketType::Push, SocketType::Pull);
}

#[test]
fn publisher_goes_on_beside_a_stalled_receiver() {
    goes_on(SocketType::Pub, SocketType::Sub);
}

/// The rate at which the others get messages, beside a stalled one and without. Compared is the
/// processor time of runs that alternate, on one I/O thread, so that each pair meets the same machine;
/// what counts is the pair in the middle.
fn goes_on(kind: SocketType, receivers: SocketType) {
    let _alone = ALONE.lock();
    for place in PLACES {
        let rates = (0..ATTEMPTS).map(|_| rate_beside(kind, receivers, place));
        let mut seen = Vec::new();
        let fine = rates.inspect(|&rate| seen.push(rate)).any(|rate| rate >= bounds().rate);
        let what = format!("{} {place:?}: {seen:.3?} of the rate without", kind.name());
        println!("{what}");
        assert!(fine, "{what}");
    }
}

fn rate_beside(kind: SocketType, receivers: SocketType, place: Place) -> f64 {
    let context = Context::new();
    let beside = Fan::new(&context, kind, receivers, place, true);
    let alone = Fan::new(&context, kind, receivers, place, false);
    let runs = bounds().runs;
    let rates = (0..runs).map(|_| alone.run().as_secs_f64() / beside.run().as_secs_f64());
    let mut rates: Vec<f64> = rates.collect();
    rates.sort_unstable_by(f64::total_cmp);
    rates[runs / 2]
}

struct Fan {
    sender: Socket,
    ready: Vec<Socket>,
    stalled: Option<Socket>,
}

impl Fan {
    fn new(
        context: &Context,
        kind: SocketType,
        receivers: SocketType,
        place: Place,
        with_stalled: bool,
    ) -> Fan {
        let sender = socket(context, kind);
        sender.set(SNDHWM, FAN_SNDHWM).unwrap();
        let bound = place.first_binds.then(|| sender.bind(&place.endpoint()).unwrap());
        let receiver = |receiver: Socket| {
            if receivers == SocketType::Sub {
                receiver.subscribe("").unwrap();
            }
            match &bound {
                Some(endpoint) => receiver.connect(endpoint).unwrap(),
                None => sender.connect(&receiver.bind(&place.endpoint()).unwrap()).unwrap(),
            }
            receiver.wait_for_peers(1, Some(LONG)).unwrap();
            receiver
        };
        let narrow = || {
            let stalled = socket(context, receivers);
            stalled.set(RCVHWM, 1).unwrap();
            receiver(stalled)
        };
        let stalled = with_stalled.then(narrow);
        let ready: Vec<Socket> = (0..READY).map(|_| receiver(socket(context, receivers))).collect();
        let all = READY + usize::from(with_stalled);
        sender.wait_for_peers(all, Some(LONG)).unwrap();
        if kind == SocketType::Pub {
            sender.wait_for_subscribers("", all, Some(LONG)).unwrap();
        }
        let fan = Fan { sender, ready, stalled };
        fan.fill_the_stalled();
        fan
    }

    /// Sends until what is sent reaches the ready ones alone.
    fn fill_the_stalled(&self) {
        if self.stalled.is_none() {
            return;
        }
        let given = || {
            let pipes = self.sender.statistics().pipes;
            assert_eq!(pipes.len(), 1 + READY);
            // In the order in which they came.
            (pipes[0].sent, pipes[1..].iter().map(|pipe| pipe.sent).sum::<u64>())
        };
        let long = vec![0; 64 << 10];
        let start = Instant::now();
        let (mut taken, mut mute, mut before) = (0, 0, 0);
        while mute < 100 {
            assert!(start.elapsed() < LONG, "the stalled one takes everything");
            // One for each in turn, or for all at once.
            for _ in 0..if self.sender.kind() == SocketType::Pub { 1 } else { READY + 1 } {
                self.sender.try_send(&long).unwrap();
            }
            let (stalled, ready) = given();
            while taken < ready {
                assert!(start.elapsed() < LONG, "the ready ones do not get theirs");
                taken += self.ready.iter().filter(|ready| ready.try_recv().is_ok()).count() as u64;
            }
            mute = if stalled == before { mute + 1 } else { 0 };
            before = stalled;
        }
    }

    /// The processor time of a run.
    fn run(&self) -> Duration {
        let fans_out = self.sender.kind() == SocketType::Pub;
        let start = cpu_time();
        for number in 0..RUN / READY {
            let message = (number as u64).to_le_bytes();
            for _ in 0..if fans_out { 1 } else { READY } {
                self.sender.send(&message).unwrap();
            }
            if number % 25 == 24 {
                // A closed loop: never more on its way than fits.
                for ready in &self.ready {
                    for _ in 0..25 {
                        ready.recv_timeout(LONG).expect("the others get every message");
                    }
                }
            }
        }
        cpu_time() - start
    }
}

fn socket(context: &Context, kind: SocketType) -> Socket {
    let socket = context.socket(kind).unwrap();
    socket.set(LINGER, 0).unwrap();
    socket.set(SNDHWM, 1000).unwrap();
    socket.set(SNDTIMEO, LONG.as_millis() as i32).unwrap();
    socket
}
