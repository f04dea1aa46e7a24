//! Sockets that talk to each other, in ways of which the manual says what comes out.
//!
//! It leaves open from which of several peers a message comes first; then all that has come is
//! compared, not the order. It promises that messages go round the peers by turns.

use crate::call::{Body, Call, Handle, Order, Place, Polled, RecvForm};
use crate::generate::{Maker, SIZES};

const PAIR: i32 = 0;
const PUB: i32 = 1;
const SUB: i32 = 2;
const REQ: i32 = 3;
const REP: i32 = 4;
const DEALER: i32 = 5;
const ROUTER: i32 = 6;
const PULL: i32 = 7;
const PUSH: i32 = 8;
const XPUB: i32 = 9;
const XSUB: i32 = 10;

const ROUTING_ID: i32 = 5;
const SUBSCRIBE: i32 = 6;
const UNSUBSCRIBE: i32 = 7;
const RCVMORE: i32 = 13;
const FD: i32 = 14;
const EVENTS: i32 = 15;
const TYPE: i32 = 16;
const LINGER: i32 = 17;
const SNDHWM: i32 = 23;
const RCVHWM: i32 = 24;
const LAST_ENDPOINT: i32 = 32;
const ROUTER_MANDATORY: i32 = 33;
const IMMEDIATE: i32 = 39;
const XPUB_VERBOSE: i32 = 40;
const MECHANISM: i32 = 43;
const PROBE_ROUTER: i32 = 51;
const REQ_CORRELATE: i32 = 52;
const REQ_RELAXED: i32 = 53;
const CONFLATE: i32 = 54;
const XPUB_MANUAL: i32 = 71;
const XPUB_WELCOME_MSG: i32 = 72;
const INVERT_MATCHING: i32 = 74;
const XPUB_VERBOSER: i32 = 78;

/// Types that talk to each other.
const FAMILIES: [(i32, i32); 16] = [
    (PAIR, PAIR),
    (PUSH, PULL),
    (PULL, PUSH),
    (PUB, SUB),
    (SUB, PUB),
    (XPUB, SUB),
    (PUB, XSUB),
    (XPUB, XSUB),
    (REP, REQ),
    (ROUTER, REQ),
    (REP, DEALER),
    (ROUTER, DEALER),
    (DEALER, ROUTER),
    (DEALER, DEALER),
    (ROUTER, ROUTER),
    (REQ, REP),
];

/// Begins what is subscribed to; senders' letters follow.
const TOPICS: [&str; 6] = ["", "a", "b", "a0", "b00", "zz"];

/// A socket in traffic.
struct Peer {
    socket: usize,
    kind: i32,
    /// How many peers it has ever had.
    peers: usize,
    /// Where it is bound, or what it is connected to.
    places: Vec<Place>,
    binds: bool,
    open: bool,
    /// It has connected more than once to the same place.
    twice: bool,
    /// In the middle of a message.
    unfinished: bool,
}

pub fn make(maker: &mut Maker) {
    let context = maker.context();
    let (first, second) = maker.random.of(&FAMILIES);
    let network = maker.random.below(100);
    // Whom a REP hears next is open, and shows.
    let single = [PAIR, REQ, REP].contains(&first);
    let many = if single || maker.random.chance(55) { 1 } else { 2 + maker.random.below(2) };
    let mut peers = vec![peer(maker, context, (first, second), true, network >= 78)];
    for _ in 0..many {
        let one = peer(maker, context, (second, first), false, network >= 78);
        peers.push(one);
    }
    let mut monitored = None;
    if network >= 78 && maker.random.chance(35) {
        let socket = Handle::At(peers[maker.random.below(2)].socket);
        let to = Place::Text(format!("inproc://monitor-{}", maker.monitors));
        let events = if maker.random.chance(80) { 0xffff } else { 1 << maker.random.below(13) };
        maker.add(Call::Monitor { socket, monitor: maker.monitors, to, events });
        monitored = Some(maker.monitors);
        maker.monitors += 1;
    }
    let place = plug(maker, &mut peers, network);
    for _ in 0..3 + maker.random.below(22) {
        step(maker, &mut peers, &place);
    }
    if monitored.is_some() && maker.random.chance(20) {
        maker.add(Call::MonitorStop { socket: Handle::At(peers[0].socket) });
        maker.add(Call::MonitorStop { socket: Handle::At(peers[1].socket) });
    }
    for peer in peers.iter().filter(|peer| peer.open) {
        drain(maker, peer);
    }
    if let Some(monitor) = monitored {
        maker.add(Call::MonitorEvents { monitor });
    }
    if maker.random.chance(12) {
        maker.add(Call::CtxTermOpen { context });
        maker.contexts += 1;
        maker.add(Call::CtxNew { context: maker.contexts - 1 });
    }
}

fn peer(
    maker: &mut Maker,
    context: usize,
    (kind, other): (i32, i32),
    binds: bool,
    networked: bool,
) -> Peer {
    let socket = maker.socket(context, kind);
    let random = &mut maker.random;
    let mut set = |option, value: i32| {
        let value = Some(value.to_ne_bytes().to_vec());
        maker.calls.push(Call::Set { socket: Handle::At(socket), option, value });
    };
    match kind {
        ROUTER if random.chance(50) => set(ROUTER_MANDATORY, 1),
        // Which answer is too late is a matter of time, over a network.
        REQ if !networked && random.chance(25) => set(REQ_RELAXED, 1),
        // To a ROUTER it shows numbers of the library's.
        REQ if other == REP && random.chance(20) => set(REQ_CORRELATE, 1),
        // libzmq loses that of a socket bound after its peer has connected.
        DEALER | ROUTER if other == ROUTER && !binds && random.chance(15) => set(PROBE_ROUTER, 1),
        XPUB if random.chance(25) => set(XPUB_VERBOSE, 1),
        XPUB if random.chance(25) => set(XPUB_VERBOSER, 1),
        XPUB if random.chance(25) => set(XPUB_MANUAL, 1),
        // Over a network libzmq then loses what was received when the connection goes.
        PUSH | DEALER if !binds && !networked && random.chance(15) => set(IMMEDIATE, 1),
        _ => {}
    }
    if networked {
        // What nobody takes would keep the context from ending.
        set(LINGER, 100);
    } else if random.chance(5) {
        set(LINGER, random.of(&[0, 100, -1]));
    }
    match kind {
        DEALER | REQ | ROUTER if maker.random.chance(50) => {
            maker.set_bytes(socket, ROUTING_ID, format!("peer-{socket}").as_bytes());
        }
        // "Subscriber must subscribe to the Welcome message before connecting."
        XPUB if other == SUB && maker.random.chance(20) => {
            maker.set_bytes(socket, XPUB_WELCOME_MSG, b"a-welcome")
        }
        _ => {}
    }
    let mut one = Peer {
        socket,
        kind,
        peers: 0,
        places: Vec::new(),
        binds,
        open: true,
        twice: false,
        unfinished: false,
    };
    if kind == SUB {
        for _ in 0..1 + maker.random.below(2) {
            subscribe(maker, &mut one, true);
        }
    }
    one
}

/// Binds the first peer, connects the others; where they meet.
fn plug(maker: &mut Maker, peers: &mut [Peer], network: usize) -> Place {
    let bound = maker.bound;
    maker.bound += 1;
    let (named, early) = match network {
        0..78 => (format!("inproc://place-{bound}"), maker.random.chance(25)),
        78..84 => (format!("ipc://{{dir}}/place-{bound}"), false),
        84..89 => ("ipc://*".to_owned(), false),
        _ => ("tcp://127.0.0.1:*".to_owned(), false),
    };
    let text = Place::Text(named);
    let socket = Handle::At(peers[0].socket);
    let place = if network < 78 { text.clone() } else { Place::Bound(bound) };
    if !early {
        maker.add(Call::Bind { socket, to: text.clone(), bound });
    }
    for at in 1..peers.len() {
        connect(maker, peers, at, &place);
    }
    if early {
        maker.add(Call::Bind { socket, to: text, bound });
    }
    peers[0].places.push(place.clone());
    place
}

fn connect(maker: &mut Maker, peers: &mut [Peer], at: usize, place: &Place) {
    let socket = Handle::At(peers[at].socket);
    maker.add(Call::Connect { socket, to: place.clone() });
    peers[at].places.push(place.clone());
    peers[at].peers += 1;
    peers[0].peers += 1;
}

fn step(maker: &mut Maker, peers: &mut [Peer], place: &Place) {
    let at = maker.random.below(peers.len());
    if !peers[at].open {
        return;
    }
    match maker.random.below(100) {
        0..40 => {
            let unfinished = send(maker, &peers[at], peers);
            peers[at].unfinished = unfinished;
        }
        40..68 => receive(maker, &peers[at]),
        68..76 => {
            let items = peers
                .iter()
                .filter(|peer| peer.open)
                .map(|peer| {
                    (Polled::Socket(Handle::At(peer.socket)), maker.random.of(&[1, 2, 3, 3]))
                })
                .collect();
            let timeout = maker.random.of(&[0, 0, 0, 1]);
            maker.add(Call::Poll { items, timeout });
        }
        76..83 => {
            let options = [RCVMORE, RCVMORE, EVENTS, EVENTS, TYPE, LAST_ENDPOINT, FD, LINGER];
            let option = maker.random.of(&options);
            let option = if maker.random.chance(10) { MECHANISM } else { option };
            maker.get(peers[at].socket, option);
        }
        83..89 => {
            let add = maker.random.chance(60);
            subscribe(maker, &mut peers[at], add);
        }
        89..91 => odd(maker, peers[at].socket),
        91..96 => leave(maker, &mut peers[at]),
        _ if at > 0 && !peers[at].binds && matches!(place, Place::Text(_)) => {
            // With libzmq a PAIR has its peer, and a ROUTER its peer's name, until the last message
            // is received; and whom a REP hears next is open.
            let once = [PAIR, REP, ROUTER];
            let again = !peers[at].places.is_empty();
            if ![peers[0].kind, peers[at].kind].iter().any(|kind| once.contains(kind)) {
                peers[at].twice |= again;
                peers[0].twice |= again;
                connect(maker, peers, at, place);
            }
        }
        _ => {}
    }
}

/// Queues that are filled to the brim once. When there is room again after that is left open.
pub fn brim(maker: &mut Maker) {
    const KINDS: [(i32, i32); 4] = [(PAIR, PAIR), (PUSH, PULL), (PULL, PUSH), (DEALER, DEALER)];
    let context = maker.context();
    let (first, second) = maker.random.of(&KINDS);
    let sockets = [maker.socket(context, first), maker.socket(context, second)];
    let handles = sockets.map(Handle::At);
    // On pipes that are there libzmq takes the one side's mark for the other's.
    let mark = |maker: &mut Maker| {
        let (at, option) = (maker.random.below(2), maker.random.of(&[SNDHWM, RCVHWM]));
        let messages = maker.random.of(&[0, 1, 2, 3, 4, 5, 9]);
        maker.set(sockets[at], option, messages);
    };
    for _ in 0..4 {
        mark(maker);
    }
    let bound = maker.bound;
    maker.bound += 1;
    let to = Place::Text(format!("inproc://brim-{bound}"));
    let bind = Call::Bind { socket: handles[0], to: to.clone(), bound };
    let early = maker.random.chance(30);
    if !early {
        maker.add(bind.clone());
    }
    maker.add(Call::Connect { socket: handles[1], to });
    if early {
        maker.add(bind);
    }
    let from = maker.random.below(2);
    for at in [from, 1 - from] {
        for _ in 0..maker.random.below(3) {
            let body = Body::Made { sender: sockets[at], number: 0, bytes: 8 };
            let form = maker.send_form();
            maker.add(Call::Send { socket: handles[at], body, flags: 1, form });
        }
        maker.add(Call::Fill { socket: handles[at], most: 60 });
        maker.add(Call::Fill { socket: handles[at], most: 60 });
        let items = handles.map(|handle| (Polled::Socket(handle), 3)).to_vec();
        maker.add(Call::Poll { items, timeout: 0 });
        maker.get(sockets[at], EVENTS);
    }
    for at in [0, 1] {
        maker.add(Call::Drain { socket: handles[at], order: Order::All });
    }
}

/// Of what is sent the newest message stays.
pub fn newest(maker: &mut Maker) {
    const KINDS: [(i32, i32); 4] = [(PUSH, PULL), (PUB, SUB), (DEALER, DEALER), (PULL, PUSH)];
    let context = maker.context();
    let (first, second) = maker.random.of(&KINDS);
    let sockets = [maker.socket(context, first), maker.socket(context, second)];
    for (socket, kind) in sockets.into_iter().zip([first, second]) {
        maker.set(socket, CONFLATE, 1);
        if kind == SUB {
            maker.set_bytes(socket, SUBSCRIBE, b"");
        }
    }
    let bound = maker.bound;
    maker.bound += 1;
    let to = Place::Text(format!("inproc://newest-{bound}"));
    let [binds, connects] = sockets.map(Handle::At);
    maker.add(Call::Bind { socket: binds, to: to.clone(), bound });
    maker.add(Call::Connect { socket: connects, to });
    for _ in 0..3 + maker.random.below(8) {
        let at = maker.random.below(2);
        let socket = Handle::At(sockets[at]);
        match maker.random.below(6) {
            0..4 => {
                maker.sent += 1;
                let bytes = maker.random.of(&SIZES);
                let body = Body::Made { sender: sockets[at], number: maker.sent, bytes };
                let form = maker.send_form();
                maker.add(Call::Send { socket, body, flags: 1, form });
            }
            4 => maker.add(Call::Recv { socket, form: RecvForm::Message, flags: 1 }),
            _ => {
                let items = vec![(Polled::Socket(binds), 3), (Polled::Socket(connects), 3)];
                maker.add(Call::Poll { items, timeout: 0 });
            }
        }
    }
    for socket in [binds, connects] {
        maker.add(Call::Drain { socket, order: Order::All });
    }
}

/// Options that change what has been agreed on; rare, for little of it is said in the manual.
fn odd(maker: &mut Maker, socket: usize) {
    match maker.random.below(3) {
        0 => maker.set(socket, INVERT_MATCHING, 2),
        1 => maker.set(socket, PROBE_ROUTER, -1),
        _ => maker.set(socket, CONFLATE, 2),
    }
}

fn leave(maker: &mut Maker, peer: &mut Peer) {
    let socket = Handle::At(peer.socket);
    match peer.places.pop() {
        Some(from) if maker.random.chance(70) => {
            // The calls know no difference.
            let unbinds = peer.binds != maker.random.chance(10);
            let from = from.clone();
            maker.add(if unbinds {
                Call::Unbind { socket, from: from.clone() }
            } else {
                Call::Disconnect { socket, from: from.clone() }
            });
            if maker.random.chance(20) {
                maker.add(Call::Disconnect { socket, from });
            }
        }
        _ => {
            maker.add(Call::Close { socket });
            peer.open = false;
            peer.places.clear();
        }
    }
}

fn subscribe(maker: &mut Maker, peer: &mut Peer, add: bool) {
    let topic = maker.random.of(&TOPICS);
    match peer.kind {
        // Within a message it is user data here, and a subscription to libzmq (ARCHITECTURE).
        XSUB if peer.unfinished => {}
        XSUB => {
            let mut body = vec![u8::from(add)];
            body.extend_from_slice(topic.as_bytes());
            let (socket, form) = (Handle::At(peer.socket), maker.send_form());
            maker.add(Call::Send { socket, body: Body::Raw(body), flags: 1, form });
        }
        _ => {
            let option = if add { SUBSCRIBE } else { UNSUBSCRIBE };
            maker.set_bytes(peer.socket, option, topic.as_bytes());
        }
    }
}

fn flags(maker: &mut Maker) -> i32 {
    if maker.random.chance(92) { 1 } else { 0 }
}

fn made(maker: &mut Maker, peer: &Peer) -> Body {
    let bytes = maker.random.of(&SIZES);
    maker.sent += 1;
    Body::Made { sender: peer.socket, number: maker.sent, bytes }
}

/// Sends a message; whether its end is missing.
fn send(maker: &mut Maker, peer: &Peer, peers: &[Peer]) -> bool {
    let socket = Handle::At(peer.socket);
    // Whose turn it is when one of several has gone is open.
    let takes_turns = [PUSH, DEALER, REQ].contains(&peer.kind) && peer.peers > 1;
    if takes_turns && peers.iter().any(|other| other.places.is_empty()) {
        return peer.unfinished;
    }
    let mut bodies = Vec::new();
    if peer.kind == ROUTER {
        let names: Vec<Body> = peers
            .iter()
            .map(|other| Body::Raw(format!("peer-{}", other.socket).into_bytes()))
            .chain([Body::Peer(0), Body::Peer(1), Body::Raw(b"nobody".to_vec())])
            .collect();
        bodies.push(maker.random.of(&names));
    }
    let other =
        peers.iter().find(|other| other.binds != peer.binds).map_or(peer.kind, |it| it.kind);
    let enveloped = (peer.kind == ROUTER && other == REQ) || (peer.kind == DEALER && other == REP);
    // Of a message without its envelope libzmq says POLLIN, and then drops it.
    if enveloped {
        bodies.push(Body::Raw(Vec::new()));
    }
    let parts = if maker.random.chance(70) { 1 } else { 2 + maker.random.below(2) };
    for _ in 0..parts {
        let part = made(maker, peer);
        bodies.push(part);
    }
    if maker.random.chance(12) {
        let whole = enveloped || maker.random.chance(80);
        let flags = flags(maker) | if whole { 2 } else { 0 };
        maker.add(Call::SendIov { socket, bodies, flags });
        return false;
    }
    // These do not say whom they are from.
    if maker.random.chance(15) && bodies.len() == 1 && peers.len() == 2 {
        let (message, bytes) = (maker.messages % 4, maker.random.of(&SIZES));
        maker.messages += 1;
        let init = match maker.random.below(10) {
            0..5 => Call::MsgInitSize { message, bytes },
            free => Call::MsgInitData { message, bytes, free: free > 5 },
        };
        maker.add(init);
        maker.add(Call::MsgSend { message, socket, flags: 1 });
        return false;
    }
    let flags = flags(maker);
    let last = bodies.len() - 1;
    let unfinished = maker.random.chance(3);
    for (at, body) in bodies.into_iter().enumerate() {
        let more = if at < last || unfinished { 2 } else { 0 };
        let form = maker.send_form();
        maker.add(Call::Send { socket, body, flags: flags | more, form });
    }
    unfinished
}

/// From which of several peers something comes first is open.
fn receive(maker: &mut Maker, peer: &Peer) {
    let socket = Handle::At(peer.socket);
    if peer.peers > 1 {
        return drain(maker, peer);
    }
    match maker.random.below(12) {
        0..6 => {
            let (form, flags) = (maker.recv_form(), flags(maker));
            maker.add(Call::Recv { socket, form, flags });
        }
        6 => {
            let count = 1 + maker.random.below(4);
            maker.add(Call::RecvIov { socket, count });
        }
        7 => {
            let message = maker.random.below(4);
            maker.add(Call::MsgInit { message });
            maker.add(Call::MsgRecv { message, socket });
        }
        8 => maker.add(Call::RecvProperties { socket }),
        _ => drain(maker, peer),
    }
}

fn drain(maker: &mut Maker, peer: &Peer) {
    let order = match peer.peers {
        _ if peer.twice => Order::None,
        0..=1 => Order::All,
        _ => Order::OfEach,
    };
    maker.add(Call::Drain { socket: Handle::At(peer.socket), order });
}
