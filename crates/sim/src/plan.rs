//! What a seed means: the nodes, the sockets on them, what they send, and what goes wrong.

use crate::content::Sizes;
use oxmq::SocketType;
use oxmq::sim::{Faults, Link, Rng};

/// One scenario.
#[derive(Debug)]
pub struct Plan {
    /// Each is a process: a context of its own.
    pub nodes: u32,
    /// How many I/O threads each node's context has.
    pub io_threads: Vec<u32>,
    /// How bytes go from each node to each.
    pub links: Vec<(u32, u32, Link)>,
    /// Sockets that talk to each other.
    pub groups: Vec<Group>,
    /// What happens by chance while there are faults.
    pub faults: Faults,
    /// What happens on purpose, in order.
    pub mishaps: Vec<(u64, Mishap)>,
    /// When the faults end, in nanoseconds from the start.
    pub faults_end_ns: u64,
    /// Whether receivers are cancelled before the contexts end, or learn of that end.
    pub cancels_receivers: bool,
    /// Whether peers are asked for signs of life: only then is a silent connection noticed.
    pub heartbeats: bool,
}

/// Something that happens at a certain moment.
#[derive(Clone, Copy, Debug)]
pub enum Mishap {
    /// Some connection is reset.
    Reset,
    /// Nothing gets through between two nodes for so long.
    Stall(u32, u32, u64),
    /// Over some connection nothing gets through any more, and nobody is told.
    Silence,
    /// The machine slept: all clocks jump.
    Jump(u64),
    /// A process is killed, and started again after so long.
    Kill(u32, u64),
}

/// Sockets of one pattern. Each of the left is connected with each of the right.
#[derive(Debug)]
pub struct Group {
    /// The pattern.
    pub pattern: Pattern,
    /// The types of the sockets on the left and on the right.
    pub kinds: (SocketType, SocketType),
    /// How they are connected.
    pub transport: Transport,
    /// Where its tcp ports begin.
    pub first_port: u16,
    /// Who binds: the left, or the right.
    pub left_binds: bool,
    /// Those that send, or ask.
    pub left: Vec<Peer>,
    /// Those that receive, or answer.
    pub right: Vec<Peer>,
    /// What passes messages between the two sides, if they are not connected with each other.
    pub device: Option<Peer>,
    /// What ROUTERs do.
    pub router: Router,
    /// Whether REQs number their requests, and may ask again without a reply.
    pub correlates: bool,
    /// How large the messages are.
    pub sizes: Sizes,
}

/// Options of the ROUTERs in a group.
#[derive(Clone, Copy, Debug)]
pub struct Router {
    /// ROUTER_MANDATORY.
    pub mandatory: bool,
    /// ROUTER_HANDOVER.
    pub handover: bool,
    /// ROUTER_NOTIFY.
    pub notify: i32,
    /// PROBE_ROUTER, of the left.
    pub probed: bool,
}

/// The patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// PAIR: both ways, one to one.
    Pair,
    /// DEALER: both ways, each message to one of the others.
    Exchange,
    /// PUSH to PULL.
    Pipeline,
    /// PUB or XPUB to SUB or XSUB.
    PubSub,
    /// REQ or DEALER to REP or ROUTER.
    ReqRep,
    /// DEALER or ROUTER with ROUTER, which chooses the one to send to.
    Routing,
}

impl Pattern {
    /// What the sockets on either side may be.
    fn kinds(self, rng: &mut Rng) -> (SocketType, SocketType) {
        use SocketType::{Dealer, Pair, Pub, Pull, Push, Rep, Req, Router, Sub, XPub, XSub};
        let mut either = |one, other| if rng.one_in(2) { one } else { other };
        match self {
            Pattern::Pair => (Pair, Pair),
            Pattern::Exchange => (Dealer, Dealer),
            Pattern::Pipeline => (Push, Pull),
            Pattern::PubSub => (either(Pub, XPub), either(Sub, XSub)),
            Pattern::ReqRep => (either(Req, Dealer), either(Rep, Router)),
            Pattern::Routing => (either(Dealer, Router), Router),
        }
    }

    /// Whether the right sends as the left does.
    pub fn goes_both_ways(self) -> bool {
        matches!(self, Pattern::Pair | Pattern::Exchange | Pattern::Routing)
    }

    /// What joins the two sides of a device, the side of the left first.
    pub fn device(self) -> Option<(SocketType, SocketType)> {
        match self {
            Pattern::Pipeline => Some((SocketType::Pull, SocketType::Push)),
            Pattern::PubSub => Some((SocketType::XSub, SocketType::XPub)),
            Pattern::ReqRep => Some((SocketType::Router, SocketType::Dealer)),
            Pattern::Pair | Pattern::Exchange | Pattern::Routing => None,
        }
    }
}

/// The transports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Within one node.
    Inproc,
    /// Fails at once or not at all.
    Ipc,
    /// Takes its time.
    Tcp,
}

/// One socket, and what its owner does with it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it lives.
    pub node: u32,
    /// When it is bound or connected.
    pub starts_ns: u64,
    /// The option SNDHWM.
    pub sndhwm: i32,
    /// The option RCVHWM.
    pub rcvhwm: i32,
    /// The option RECONNECT_IVL, in milliseconds.
    pub reconnect_ivl: i32,
    /// How many messages it sends while there are faults.
    pub messages: u32,
    /// The longest rest between two messages sent or received, in nanoseconds.
    pub pause_ns: u64,
    /// How it waits.
    pub habit: Habit,
    /// How many tasks receive.
    pub receivers: u32,
    /// What a SUB subscribes to.
    pub subscriptions: Vec<Vec<u8>>,
    /// What it subscribes to, or no longer, as time goes by.
    pub changes: Vec<Vec<u8>>,
    /// The option ROUTING_ID.
    pub identity: Vec<u8>,
}

/// How an application waits for a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// It awaits the future.
    Awaits,
    /// It awaits the future for a while, drops it, and makes another.
    Cancels,
    /// It tries, and sleeps if that fails.
    Tries,
}

impl Plan {
    /// The scenario of this seed.
    pub fn new(rng: &mut Rng) -> Plan {
        let nodes = rng.between(1, 4) as u32;
        let is_calm = rng.one_in(4);
        let heartbeats = rng.one_in(3);
        let faults_end_ns = rng.between(100 * MS, 2000 * MS);
        let mut groups: Vec<Group> =
            (0..rng.between(1, 3)).map(|it| Group::new(rng, it, nodes, faults_end_ns)).collect();
        if heartbeats {
            // As long as a silent connection seems to live its successor may be refused: minutes.
            for peer in
                groups.iter_mut().flat_map(|group| group.left.iter_mut().chain(&mut group.right))
            {
                peer.reconnect_ivl = peer.reconnect_ivl.max(100);
            }
        }
        let is_large = groups.iter().any(|group| group.sizes.part_bytes_max > 1000);
        let mut links = Vec::new();
        for from in 0..nodes {
            for to in 0..nodes {
                links.push((from, to, link(rng, is_large)));
            }
        }
        let mut mishaps = Vec::new();
        let mut faults = Faults::default();
        if !is_calm {
            faults = self::faults(rng);
            for _ in 0..rng.below(8) {
                let mishap = match rng.below(if heartbeats { 12 } else { 8 }) {
                    0..4 => Mishap::Reset,
                    4 => Mishap::Kill(rng.below(nodes.into()) as u32, rng.below(500 * MS)),
                    5..7 => {
                        let (one, other) =
                            (rng.below(nodes.into()) as u32, rng.below(nodes.into()) as u32);
                        Mishap::Stall(one, other, rng.between(MS, 1000 * MS))
                    }
                    7 => Mishap::Jump(rng.between(MS, 10_000 * MS)),
                    _ => Mishap::Silence,
                };
                mishaps.push((rng.below(faults_end_ns), mishap));
            }
            mishaps.sort_by_key(|(at, _)| *at);
        } else {
            // What costs nothing but time happens in calm weather as well.
            let weather = self::faults(rng);
            faults.short = weather.short;
            faults.again = weather.again;
            faults.spurious = weather.spurious;
            faults.interrupted = weather.interrupted;
        }
        Plan {
            nodes,
            io_threads: (0..nodes).map(|_| 1 + u32::from(rng.one_in(4))).collect(),
            links,
            groups,
            faults,
            mishaps,
            faults_end_ns,
            cancels_receivers: rng.one_in(2),
            heartbeats,
        }
    }
}

impl Group {
    fn new(rng: &mut Rng, index: u64, nodes: u32, faults_end_ns: u64) -> Group {
        let pattern = *rng.pick(&[
            Pattern::Pair,
            Pattern::Exchange,
            Pattern::Pipeline,
            Pattern::Pipeline,
            Pattern::PubSub,
            Pattern::PubSub,
            Pattern::ReqRep,
            Pattern::ReqRep,
            Pattern::Routing,
            Pattern::Routing,
        ]);
        let kinds = pattern.kinds(rng);
        let transport = *rng.pick(&[
            Transport::Inproc,
            Transport::Ipc,
            Transport::Ipc,
            Transport::Tcp,
            Transport::Tcp,
            Transport::Tcp,
        ]);
        let (lefts, rights) = match pattern {
            Pattern::Pair => (1, 1),
            _ if rng.one_in(3) => (1, 1),
            _ => (rng.between(1, 2), rng.between(1, 3)),
        };
        let home = rng.below(nodes.into()) as u32;
        let mut peers = |count| -> Vec<Peer> {
            (0..count)
                .map(|_| {
                    let mut peer = Peer::new(rng, nodes, faults_end_ns);
                    if transport == Transport::Inproc {
                        peer.node = home;
                    }
                    peer
                })
                .collect()
        };
        let (mut left, mut right) = (peers(lefts), peers(rights));
        let mut device = peers(1).pop();
        if pattern.device().is_none() || !rng.one_in(3) {
            device = None;
        }
        if let Some(device) = &mut device {
            // Room for one message of each that may come from the left: what is dropped by the rules
            // for want of room cannot be told from a loss.
            device.sndhwm = device.sndhwm.max(lefts as i32);
            for peer in &mut right {
                peer.sndhwm = peer.sndhwm.max(lefts as i32);
            }
        }
        if pattern == Pattern::Routing || rng.one_in(2) {
            for (side, peers) in [("left", &mut left), ("right", &mut right)] {
                for (number, peer) in peers.iter_mut().enumerate() {
                    peer.identity = format!("{index}-{side}-{number}").into_bytes();
                    // As long as its last connection seems to live it is refused: minutes.
                    peer.reconnect_ivl = peer.reconnect_ivl.max(100);
                }
            }
        }
        let router = Router {
            mandatory: pattern == Pattern::Routing && rng.one_in(2),
            handover: rng.one_in(3),
            notify: if pattern == Pattern::Routing { rng.below(4) as i32 } else { 0 },
            probed: pattern == Pattern::Routing && rng.one_in(3),
        };
        let sizes = Sizes {
            part_bytes_max: *rng.pick(&[8, 8, 16, 64, 300, 5000, 20_000, 100_000]),
            parts_max: rng.between(1, 4),
        };
        Group {
            pattern,
            kinds,
            transport,
            // Half of the ports can be met by a connection that meets itself.
            first_port: *rng.pick(&[5000, 40_000]) + 10 * index as u16,
            left_binds: rng.one_in(2),
            left,
            right,
            device,
            router,
            correlates: kinds.0 == SocketType::Req && rng.one_in(2),
            sizes,
        }
    }
}

impl Peer {
    fn new(rng: &mut Rng, nodes: u32, faults_end_ns: u64) -> Peer {
        let hwm = |rng: &mut Rng| *rng.pick(&[1, 2, 3, 10, 100, 1000]);
        let mut subscriptions = vec![rng.pick(&[&b""[..], b"A", b"B", b"Aa", b"Bc"]).to_vec()];
        if rng.one_in(2) {
            subscriptions.push(rng.pick(&[&b"Ab"[..], b"Ba", b"Bb"]).to_vec());
        }
        Peer {
            node: rng.below(nodes.into()) as u32,
            starts_ns: if rng.one_in(2) { 0 } else { rng.below(faults_end_ns / 2) },
            sndhwm: hwm(rng),
            rcvhwm: hwm(rng),
            reconnect_ivl: *rng.pick(&[1, 10, 100]),
            messages: rng.between(5, 80) as u32,
            pause_ns: *rng.pick(&[0, 0, 10_000, 1_000_000, 50_000_000]),
            habit: *rng.pick(&[Habit::Awaits, Habit::Awaits, Habit::Cancels, Habit::Tries]),
            receivers: if rng.one_in(3) { rng.between(2, 3) as u32 } else { 1 },
            changes: (0..rng.below(6))
                .map(|_| rng.pick(&[&b""[..], b"A", b"B", b"Aa", b"Ab"]).to_vec())
                .collect(),
            subscriptions,
            identity: Vec::new(),
        }
    }
}

/// With much to carry, links are not too narrow for it.
fn link(rng: &mut Rng, is_large: bool) -> Link {
    let delay_ns = *rng.pick(&[0, 1_000, 30_000, 1_000_000, 20_000_000]);
    Link {
        delay_ns,
        jitter_ns: if rng.one_in(2) { 0 } else { delay_ns + rng.below(200_000) },
        buffer_bytes: *rng.pick(if is_large {
            &[1000, 2000, 16_000, 200_000]
        } else {
            &[50, 100, 500, 5000]
        }),
        pieces_max: *rng.pick(&[1, 2, 5]),
    }
}

fn faults(rng: &mut Rng) -> Faults {
    let mut odds = |often| if rng.one_in(2) { 0 } else { *rng.pick(&[often, 5 * often]) };
    Faults {
        short: odds(3),
        again: odds(10),
        spurious: odds(10),
        interrupted: odds(10),
        reset: odds(30),
        refused: odds(3),
        hang: odds(6),
        meets_itself: odds(4),
        out_of_descriptors: odds(6),
    }
}

const MS: u64 = 1_000_000;
