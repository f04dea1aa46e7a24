//! The simulated network: listeners, names, and streams whose bytes take their time.
//!
//! A stream is one end of a connection. What its peer has written travels in `flight`, arrives in
//! order into `inbox`, and is read from there. A connection ends with a FIN that travels behind the
//! bytes, or with a reset that overtakes some of them:
//!
//! ```text
//!  Connecting ──meets a listener──► Open ──reset arrives, or happens here──► Failed
//!      └───────refused, timed out──────────────────────────────────────────────┘
//! ```
//!
//! As over TCP, closing with bytes unread, and bytes arriving at a closed end, cause a reset.

use super::super::{FarEnd, IpcAddr, SockAddr};
use super::rng::Rng;
use super::world::{Faults, Stats};
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub(super) type StreamId = u64;
pub(super) type ListenerId = u64;
pub(super) type Node = u32;

/// How bytes go one way between two nodes.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// The least time on the way, in nanoseconds.
    pub delay_ns: u64,
    /// Up to so much is added, anew for each piece; order is kept.
    pub jitter_ns: u64,
    /// How much can be on its way or unread, in bytes, at least 1.
    pub buffer_bytes: usize,
    /// Into how many pieces a write may fall, at least 1.
    pub pieces_max: u32,
}

impl Default for Link {
    fn default() -> Link {
        Link { delay_ns: 20_000, jitter_ns: 0, buffer_bytes: 64 << 10, pieces_max: 1 }
    }
}

/// An established connection.
#[derive(Clone, Copy, Debug)]
pub struct Connection {
    id: StreamId,
    /// The node that connected, and the one that listened.
    pub nodes: (u32, u32),
}

pub(super) struct Net {
    streams: BTreeMap<StreamId, Stream>,
    listeners: BTreeMap<ListenerId, Listener>,
    /// Socket files and abstract names. A file whose listener is gone is stale.
    names: BTreeMap<IpcAddr, ListenerId>,
    links: BTreeMap<(Node, Node), Link>,
    /// Until when a link is stalled.
    stalls: BTreeMap<(Node, Node), u64>,
    /// How many connections have ended, however, by who connected and where to.
    ended: BTreeMap<(Node, String), u64>,
    last_id: u64,
    last_port: u16,
    /// Nothing arrives before; a lower bound.
    next_at: u64,
    rng: Rng,
    pub(super) faults: Faults,
    pub(super) stats: Stats,
}

struct Listener {
    node: Node,
    addr: SockAddr,
    backlog: usize,
    queue: VecDeque<StreamId>,
}

struct Stream {
    node: Node,
    /// The node at the other end, once it is known.
    peer_node: Node,
    peer: Option<StreamId>,
    is_tcp: bool,
    state: State,
    flight: VecDeque<(u64, Payload)>,
    /// Sent by the peer and not acknowledged. What is lost never is: it makes no room.
    flight_bytes: usize,
    inbox: VecDeque<u8>,
    buffer_bytes: usize,
    /// The peer's FIN has arrived.
    eof: bool,
    /// Our FIN has been sent.
    shut: bool,
    /// What the next call that asks will be told.
    error: Option<i32>,
    /// Its descriptor is gone; it lives on to answer what still arrives.
    closed: bool,
    /// A reset is on its way to the peer: one is enough.
    reset_sent: bool,
    /// Nothing arrives any more, and nobody is told.
    silent: bool,
    /// Who connected, and where to; taken when the end of the connection is counted.
    route: Option<(Node, SockAddr)>,
}

#[derive(PartialEq)]
enum State {
    Connecting(Attempt),
    Open,
    Failed,
}

#[derive(PartialEq)]
struct Attempt {
    at: u64,
    give_up_at: u64,
    addr: SockAddr,
    /// What it ends with, whoever listens.
    doomed: Option<i32>,
}

enum Payload {
    Bytes(Vec<u8>),
    Fin,
    Reset,
}

/// What a stream or listener is ready for.
#[derive(Clone, Copy, Default)]
pub(super) struct Ready {
    pub(super) readable: bool,
    pub(super) writable: bool,
    pub(super) failed: bool,
}

impl Net {
    pub(super) fn new(rng: Rng) -> Net {
        Net {
            streams: BTreeMap::new(),
            listeners: BTreeMap::new(),
            names: BTreeMap::new(),
            links: BTreeMap::new(),
            stalls: BTreeMap::new(),
            ended: BTreeMap::new(),
            last_id: 0,
            last_port: FIRST_EPHEMERAL_PORT,
            next_at: u64::MAX,
            rng,
            faults: Faults::default(),
            stats: Stats::default(),
        }
    }

    // -----------------------------------------------------------------------------------------
    // What the driver asks for

    pub(super) fn set_link(&mut self, from: Node, to: Node, link: Link) {
        assert!(link.buffer_bytes > 0 && link.pieces_max > 0);
        self.links.insert((from, to), link);
    }

    pub(super) fn stall(&mut self, one: Node, other: Node, until: u64) {
        for link in [(one, other), (other, one)] {
            let stalled = self.stalls.entry(link).or_default();
            *stalled = until.max(*stalled);
        }
        for stream in self.streams.values_mut() {
            let nodes = (stream.node, stream.peer_node);
            if nodes == (one, other) || nodes == (other, one) {
                for (at, _) in &mut stream.flight {
                    *at = until.max(*at);
                }
            }
        }
    }

    pub(super) fn connections(&self) -> Vec<Connection> {
        let mut list = Vec::new();
        for (&id, stream) in &self.streams {
            let Some(peer_id) = stream.peer else { continue };
            let Some(peer) = self.streams.get(&peer_id) else { continue };
            // The end that connected is the older one.
            if id < peer_id && stream.is_alive() && peer.is_alive() {
                list.push(Connection { id, nodes: (stream.node, peer.node) });
            }
        }
        list
    }

    pub(super) fn reset(&mut self, connection: &Connection, now: u64) {
        let Some(client) = self.streams.get(&connection.id) else { return };
        let Some(server) = client.peer else { return };
        self.reset_both(connection.id, server, now);
    }

    pub(super) fn silence(&mut self, connection: &Connection) {
        let peer = self.streams.get(&connection.id).and_then(|client| client.peer);
        for id in [Some(connection.id), peer].into_iter().flatten() {
            if let Some(stream) = self.streams.get_mut(&id) {
                stream.silent = true;
            }
        }
        self.stats.silences += 1;
    }

    fn reset_both(&mut self, one: StreamId, other: StreamId, now: u64) {
        for id in [one, other] {
            if self.rng.one_in(2) {
                self.fail(id, libc::ECONNRESET);
            } else {
                let at = now + self.rng.below(LATE_RESET_NS);
                self.send_reset_to(id, at);
            }
        }
    }

    pub(super) fn ended(&self, node: Node, endpoint: &str) -> u64 {
        self.ended.get(&(node, endpoint.to_owned())).copied().unwrap_or(0)
    }

    pub(super) fn ipc_names(&self) -> Vec<String> {
        self.names.keys().map(ToString::to_string).collect()
    }

    // -----------------------------------------------------------------------------------------
    // Time

    /// When something arrives next, due or not.
    pub(super) fn next_at(&self) -> Option<u64> {
        self.streams.values().filter_map(Stream::next_at).min()
    }

    /// Delivers, in order, what is due.
    #[inline]
    pub(super) fn settle(&mut self, now: u64) {
        if now >= self.next_at {
            self.settle_slowly(now);
        }
    }

    fn settle_slowly(&mut self, now: u64) {
        loop {
            let next =
                self.streams.iter().filter_map(|(&id, stream)| Some((stream.next_at()?, id))).min();
            match next {
                Some((at, id)) if at <= now => self.arrive(id, at),
                Some((at, _)) => return self.next_at = at,
                None => return self.next_at = u64::MAX,
            }
        }
    }

    fn arrive(&mut self, id: StreamId, at: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if let State::Connecting(_) = stream.state {
            return self.attempt(id, at);
        }
        let Some((_, payload)) = stream.flight.pop_front() else { return };
        match payload {
            Payload::Bytes(bytes) => {
                if stream.is_alive() {
                    stream.flight_bytes -= bytes.len();
                    stream.inbox.extend(bytes);
                } else if let Some(peer) = stream.peer.filter(|_| !stream.reset_sent) {
                    stream.reset_sent = true;
                    let back = at + self.delay(id);
                    self.send_reset_to(peer, back);
                }
            }
            Payload::Fin => stream.eof = true,
            Payload::Reset => self.fail(id, libc::ECONNRESET),
        }
    }

    /// Something will arrive at `at`.
    fn expect(&mut self, at: u64) {
        self.next_at = self.next_at.min(at);
    }

    // -----------------------------------------------------------------------------------------
    // Listening and connecting

    pub(super) fn listen(
        &mut self,
        node: Node,
        addr: &SockAddr,
        backlog: i32,
    ) -> io::Result<(ListenerId, SockAddr)> {
        let actual = match addr {
            SockAddr::Tcp(tcp) => {
                let mut tcp = *tcp;
                if tcp.port() == 0 {
                    self.last_port += 1;
                    tcp.set_port(self.last_port);
                }
                let taken = self.listeners.values().any(|listener| match &listener.addr {
                    SockAddr::Tcp(other) => {
                        other.port() == tcp.port()
                            && (other.ip() == tcp.ip()
                                || other.ip().is_unspecified()
                                || tcp.ip().is_unspecified())
                    }
                    SockAddr::Ipc(_) => false,
                });
                if taken {
                    return errno(libc::EADDRINUSE);
                }
                SockAddr::Tcp(tcp)
            }
            SockAddr::Ipc(IpcAddr::Any) => {
                let path = format!("/tmp/oxmq-{:016x}", self.rng.next_u64());
                SockAddr::Ipc(IpcAddr::Path(path.into_bytes().into()))
            }
            SockAddr::Ipc(ipc) => {
                let owner = self.names.get(ipc);
                if owner.is_some_and(|owner| self.listeners.contains_key(owner)) {
                    return errno(libc::EADDRINUSE);
                }
                addr.clone()
            }
        };
        let id = self.new_id();
        if let SockAddr::Ipc(ipc) = &actual {
            self.names.insert(ipc.clone(), id);
        }
        let backlog = usize::try_from(backlog).unwrap_or(0).max(1);
        let listener = Listener { node, addr: actual.clone(), backlog, queue: VecDeque::new() };
        self.listeners.insert(id, listener);
        Ok((id, actual))
    }

    pub(super) fn close_listener(&mut self, id: ListenerId, now: u64) {
        let Some(listener) = self.listeners.remove(&id) else { return };
        if let SockAddr::Ipc(ipc @ IpcAddr::Abstract(_)) = &listener.addr {
            self.names.remove(ipc);
        }
        // Those that wait in the queue are reset.
        for waiting in listener.queue {
            if let Some(peer) = self.streams.get(&waiting).and_then(|stream| stream.peer) {
                let at = now + self.delay(waiting);
                self.send_reset_to(peer, at);
            }
            self.close(waiting, now);
        }
    }

    /// Removes the file of this listener, unless it is another's by now.
    pub(super) fn unlink(&mut self, ipc: &IpcAddr, id: ListenerId) {
        if self.names.get(ipc) == Some(&id) {
            self.names.remove(ipc);
        }
    }

    pub(super) fn accept(&mut self, id: ListenerId) -> io::Result<StreamId> {
        let queue = &mut self.listeners.get_mut(&id).ok_or_else(bad_descriptor)?.queue;
        // Those whose peer is gone again are handed out as well: as in Linux, reading tells.
        let stream = queue.pop_front().ok_or_else(would_block)?;
        self.stats.accepted += 1;
        Ok(stream)
    }

    pub(super) fn has_waiting(&self, id: ListenerId) -> bool {
        self.listeners.get(&id).is_some_and(|listener| !listener.queue.is_empty())
    }

    /// The second value says whether it is done.
    pub(super) fn connect(
        &mut self,
        node: Node,
        addr: &SockAddr,
        now: u64,
    ) -> io::Result<(StreamId, bool)> {
        self.stats.connects += 1;
        let doomed = if self.rng.one_in(self.faults.refused) {
            self.stats.refused += 1;
            Some(libc::ECONNREFUSED)
        } else {
            None
        };
        let is_tcp = matches!(addr, SockAddr::Tcp(_));
        if !is_tcp {
            let listener = self.find_listener(addr)?;
            if let Some(doomed) = doomed {
                return errno(doomed);
            }
            if self.listeners[&listener].is_full() {
                return errno(libc::ECONNREFUSED);
            }
            let id = self.new_stream(node, is_tcp, State::Open);
            self.meet(id, listener);
            return Ok((id, true));
        }
        let hangs = self.rng.one_in(self.faults.hang);
        let wait = self.find_listener(addr).map_or(LOOPBACK_NS, |listener| {
            let there = self.listeners[&listener].node;
            let link = |link| self.links.get(&link).copied().unwrap_or_default();
            link((node, there)).delay_ns + link((there, node)).delay_ns
        });
        let attempt = if hangs {
            self.stats.hung += 1;
            let at = now + self.rng.between(HANG_NS / 10, HANG_NS);
            Attempt { at, give_up_at: at, addr: addr.clone(), doomed: Some(libc::ETIMEDOUT) }
        } else {
            let at = now + wait + self.rng.below(LOOPBACK_NS);
            Attempt { at, give_up_at: now + HANG_NS, addr: addr.clone(), doomed }
        };
        let at = attempt.at;
        let id = self.new_stream(node, is_tcp, State::Connecting(attempt));
        if !hangs && self.rng.one_in(4) {
            self.attempt(id, now);
        } else {
            self.expect(at);
        }
        let stream = &self.streams[&id];
        match (&stream.state, stream.error) {
            (State::Failed, Some(error)) => {
                self.streams.remove(&id);
                errno(error)
            }
            (state, _) => Ok((id, *state == State::Open)),
        }
    }

    /// The moment at which a connecting tcp stream meets its fate.
    fn attempt(&mut self, id: StreamId, now: u64) {
        let State::Connecting(attempt) = &self.streams[&id].state else { return };
        let node = self.streams[&id].node;
        let (addr, give_up_at) = (attempt.addr.clone(), attempt.give_up_at);
        if let Some(doomed) = attempt.doomed {
            return self.fail(id, doomed);
        }
        let retry_at = match self.find_listener(&addr) {
            Err(_) => {
                let SockAddr::Tcp(tcp) = &addr else { return };
                if tcp.port() >= FIRST_EPHEMERAL_PORT && self.rng.one_in(self.faults.meets_itself) {
                    self.stats.met_itself += 1;
                    let link = self.links.get(&(node, node)).copied().unwrap_or_default();
                    let stream = self.streams.get_mut(&id).expect("looked at above");
                    (stream.peer, stream.peer_node) = (Some(id), node);
                    (stream.state, stream.buffer_bytes) = (State::Open, link.buffer_bytes);
                    return;
                }
                self.stats.refused += 1;
                return self.fail(id, libc::ECONNREFUSED);
            }
            Ok(listener_id) => {
                let listener = &self.listeners[&listener_id];
                let stalled_until = self.stalls.get(&(node, listener.node)).copied().unwrap_or(0);
                if stalled_until > now {
                    stalled_until
                } else if listener.is_full() {
                    // The system drops the SYN, and it is sent again.
                    now + RETRANSMIT_NS
                } else {
                    return self.meet(id, listener_id);
                }
            }
        };
        let at = retry_at.min(give_up_at);
        let doomed = (retry_at > give_up_at).then_some(libc::ETIMEDOUT);
        let stream = self.streams.get_mut(&id).expect("looked at above");
        stream.state = State::Connecting(Attempt { at, give_up_at, addr, doomed });
        self.expect(at);
    }

    /// Makes `id` one end of a connection whose other end waits in the listener's queue.
    fn meet(&mut self, id: StreamId, listener_id: ListenerId) {
        let listener = &self.listeners[&listener_id];
        let (there, here) = (listener.node, self.streams[&id].node);
        let route = (here, listener.addr.clone());
        let is_tcp = self.streams[&id].is_tcp;
        let other = self.new_stream(there, is_tcp, State::Open);
        self.listeners.get_mut(&listener_id).expect("looked at above").queue.push_back(other);
        for (one, peer, peer_node) in [(id, other, there), (other, id, here)] {
            let stream = self.streams.get_mut(&one).expect("just made");
            let link = self.links.get(&(peer_node, stream.node)).copied().unwrap_or_default();
            (stream.peer, stream.peer_node) = (Some(peer), peer_node);
            (stream.state, stream.buffer_bytes) = (State::Open, link.buffer_bytes);
            stream.route = Some(route.clone());
        }
    }

    fn find_listener(&self, addr: &SockAddr) -> io::Result<ListenerId> {
        match addr {
            SockAddr::Tcp(tcp) => self
                .listeners
                .iter()
                .find(|(_, listener)| listener.answers(tcp))
                .map(|(&id, _)| id)
                .ok_or_else(|| io::Error::from_raw_os_error(libc::ECONNREFUSED)),
            SockAddr::Ipc(IpcAddr::Any) => errno(libc::EINVAL),
            SockAddr::Ipc(ipc) => match self.names.get(ipc) {
                Some(id) if self.listeners.contains_key(id) => Ok(*id),
                None if matches!(ipc, IpcAddr::Path(_)) => errno(libc::ENOENT),
                _ => errno(libc::ECONNREFUSED),
            },
        }
    }

    fn new_stream(&mut self, node: Node, is_tcp: bool, state: State) -> StreamId {
        let id = self.new_id();
        let stream = Stream {
            node,
            peer_node: node,
            peer: None,
            is_tcp,
            state,
            flight: VecDeque::new(),
            flight_bytes: 0,
            inbox: VecDeque::new(),
            buffer_bytes: 0,
            eof: false,
            shut: false,
            error: None,
            closed: false,
            reset_sent: false,
            silent: false,
            route: None,
        };
        self.streams.insert(id, stream);
        id
    }

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    // -----------------------------------------------------------------------------------------
    // Bytes

    pub(super) fn read(
        &mut self,
        id: StreamId,
        buffer: &mut [MaybeUninit<u8>],
    ) -> io::Result<usize> {
        let stream = self.streams.get_mut(&id).ok_or_else(bad_descriptor)?;
        if stream.inbox.is_empty() {
            return match (&stream.state, stream.error.take()) {
                (_, Some(error)) => errno(error),
                (State::Failed, None) => Ok(0),
                _ if stream.eof => Ok(0),
                _ => errno(libc::EAGAIN),
            };
        }
        if self.rng.one_in(self.faults.again) {
            return errno(libc::EAGAIN);
        }
        let mut count = stream.inbox.len().min(buffer.len());
        if count > 1 && self.rng.one_in(self.faults.short) {
            self.stats.short += 1;
            count = self.rng.between(1, count as u64 - 1) as usize;
        }
        for (to, from) in buffer.iter_mut().zip(stream.inbox.drain(..count)) {
            to.write(from);
        }
        if !stream.is_alive() {
            stream.flight_bytes += count;
        }
        Ok(count)
    }

    pub(super) fn write(
        &mut self,
        id: StreamId,
        slices: &[IoSlice<'_>],
        now: u64,
    ) -> io::Result<usize> {
        let stream = self.streams.get_mut(&id).ok_or_else(bad_descriptor)?;
        match stream.state {
            State::Connecting(_) => return errno(libc::EAGAIN),
            State::Failed => return errno(stream.error.take().unwrap_or(libc::EPIPE)),
            State::Open if stream.shut => return errno(libc::EPIPE),
            State::Open => {}
        }
        let is_tcp = stream.is_tcp;
        let Some(peer_id) = stream.peer else { return errno(libc::EPIPE) };
        let link = (stream.node, stream.peer_node);
        let Some(peer) = self.streams.get(&peer_id) else { return errno(libc::EPIPE) };
        if peer.closed && !is_tcp {
            return errno(libc::EPIPE);
        }
        let total: usize = slices.iter().take(SLICES_MAX).map(|slice| slice.len()).sum();
        let mut count = total.min(peer.free_bytes());
        if total == 0 {
            return Ok(0);
        }
        if count == 0 || self.rng.one_in(self.faults.again) {
            return errno(libc::EAGAIN);
        }
        if count > 1 && self.rng.one_in(self.faults.short) {
            self.stats.short += 1;
            count = self.rng.between(1, count as u64 - 1) as usize;
        }
        let mut bytes: Vec<u8> = Vec::with_capacity(count);
        for slice in slices {
            let some = slice.len().min(count - bytes.len());
            bytes.extend_from_slice(&slice[..some]);
        }
        let pieces_max = self.links.get(&link).copied().unwrap_or_default().pieces_max;
        let mut pieces = self.rng.between(1, u64::from(pieces_max));
        while pieces > 1 && bytes.len() > 1 {
            let rest = bytes.split_off(self.rng.between(1, bytes.len() as u64 - 1) as usize);
            self.send(id, peer_id, Payload::Bytes(bytes), now);
            bytes = rest;
            pieces -= 1;
        }
        self.send(id, peer_id, Payload::Bytes(bytes), now);
        self.stats.bytes += count as u64;
        if self.rng.one_in(self.faults.reset) {
            self.reset_both(id, peer_id, now);
        }
        Ok(count)
    }

    pub(super) fn shutdown_write(&mut self, id: StreamId, now: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.state == State::Open && !stream.shut {
            stream.shut = true;
            if let Some(peer) = stream.peer {
                self.send(id, peer, Payload::Fin, now);
            }
        }
    }

    pub(super) fn close(&mut self, id: StreamId, now: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let is_unread = !stream.inbox.is_empty() || (!stream.is_tcp && stream.flight_bytes > 0);
        let is_open = stream.state == State::Open;
        let peer = stream.peer;
        stream.closed = true;
        stream.lose_inbox();
        self.count_end(id);
        if is_open && let Some(peer) = peer {
            if is_unread {
                let at = now + self.delay(id);
                self.send_reset_to(peer, at);
            } else {
                self.shutdown_write(id, now);
            }
        }
        // Nobody is left to be answered.
        let peer_is_gone =
            peer.is_none_or(|peer| self.streams.get(&peer).is_none_or(|peer| peer.closed));
        if peer_is_gone {
            self.streams.remove(&id);
            if let Some(peer) = peer {
                self.streams.remove(&peer);
            }
        }
    }

    pub(super) fn far_end(&self, id: StreamId, written: i64) -> FarEnd {
        let gone = FarEnd { taken: 0, last_heard: None, asked_in_vain: 0, has_ended: true };
        let Some(stream) = self.streams.get(&id) else { return gone };
        let peer = stream.peer.and_then(|peer| self.streams.get(&peer));
        let unread = peer.map_or(0, |peer| peer.flight_bytes + peer.inbox.len());
        let heard = if stream.silent { Duration::MAX } else { Duration::ZERO };
        FarEnd {
            taken: written - unread as i64,
            last_heard: stream.is_tcp.then_some(heard),
            asked_in_vain: if stream.silent { u32::MAX } else { 0 },
            has_ended: stream.eof || stream.state == State::Failed,
        }
    }

    pub(super) fn take_error(&mut self, id: StreamId) -> io::Result<()> {
        let stream = self.streams.get_mut(&id).ok_or_else(bad_descriptor)?;
        stream.error.take().map_or(Ok(()), errno)
    }

    pub(super) fn is_open(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.state == State::Open)
    }

    pub(super) fn meets_itself(&self, id: StreamId) -> bool {
        self.streams.get(&id).is_some_and(|stream| stream.peer == Some(id))
    }

    pub(super) fn ready(&self, id: StreamId) -> Ready {
        let Some(stream) = self.streams.get(&id) else { return Ready::default() };
        match stream.state {
            State::Connecting(_) => Ready::default(),
            State::Failed => Ready { readable: true, writable: true, failed: true },
            State::Open => {
                let peer = stream.peer.and_then(|peer| self.streams.get(&peer));
                let hung_up = stream.eof && (stream.shut || !stream.is_tcp);
                // As in Linux, a third must be free before it is worth a wake-up.
                let is_roomy = peer.is_none_or(|peer| peer.free_bytes() * 3 >= peer.buffer_bytes);
                Ready {
                    readable: stream.eof || !stream.inbox.is_empty(),
                    writable: stream.shut || is_roomy,
                    failed: hung_up,
                }
            }
        }
    }

    /// Sends from `id` to `peer`, behind what was sent before.
    fn send(&mut self, id: StreamId, peer: StreamId, payload: Payload, now: u64) {
        let stream = &self.streams[&id];
        let stalled_until = self.stalls.get(&(stream.node, stream.peer_node)).copied().unwrap_or(0);
        let at = stalled_until.max(now + self.delay(id));
        let Some(peer) = self.streams.get_mut(&peer) else { return };
        let at = peer.flight.back().map_or(at, |(last, _)| at.max(*last));
        if let Payload::Bytes(bytes) = &payload {
            peer.flight_bytes += bytes.len();
        }
        peer.flight.push_back((at, payload));
        self.expect(at);
    }

    /// A reset reaches `id` at `at`; of what is on its way to it only a part from the front does.
    fn send_reset_to(&mut self, id: StreamId, at: u64) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.closed || stream.state == State::Failed {
            return;
        }
        let kept = self.rng.between(0, stream.flight.len() as u64) as usize;
        stream.flight.truncate(kept);
        let at = stream.flight.back().map_or(at, |(last, _)| at.max(*last));
        stream.flight.push_back((at, Payload::Reset));
        self.expect(at);
    }

    /// The end of a stream, seen from its own side. What had arrived may be lost as well.
    fn fail(&mut self, id: StreamId, error: i32) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.state == State::Failed || stream.closed {
            return;
        }
        if error == libc::ECONNRESET {
            self.stats.resets += 1;
        }
        stream.state = State::Failed;
        stream.error = Some(error);
        stream.flight.clear();
        if self.rng.one_in(2) {
            stream.lose_inbox();
        }
        self.count_end(id);
    }

    fn count_end(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        let (Some((node, addr)), Some(peer)) = (stream.route.take(), stream.peer) else { return };
        *self.ended.entry((node, addr.to_string())).or_default() += 1;
        if let Some(peer) = self.streams.get_mut(&peer) {
            peer.route = None;
        }
    }

    /// How long a piece takes from `id` to its peer.
    fn delay(&mut self, id: StreamId) -> u64 {
        let stream = &self.streams[&id];
        let link = self.links.get(&(stream.node, stream.peer_node)).copied().unwrap_or_default();
        link.delay_ns + self.rng.between(0, link.jitter_ns)
    }
}

impl Listener {
    fn is_full(&self) -> bool {
        self.queue.len() >= self.backlog
    }

    fn answers(&self, to: &SocketAddr) -> bool {
        let SockAddr::Tcp(own) = &self.addr else { return false };
        let takes_all = match own.ip() {
            IpAddr::V4(ip) => ip.is_unspecified() && to.is_ipv4(),
            IpAddr::V6(ip) => ip.is_unspecified(),
        };
        own.port() == to.port() && (takes_all || own.ip() == to.ip() || to.ip().is_unspecified())
    }
}

impl Stream {
    fn is_alive(&self) -> bool {
        self.state == State::Open && !self.closed
    }

    fn next_at(&self) -> Option<u64> {
        match &self.state {
            State::Connecting(attempt) => Some(attempt.at),
            _ => self.flight.front().filter(|_| !self.silent).map(|(at, _)| *at),
        }
    }

    /// What is unread is lost, and makes no room either.
    fn lose_inbox(&mut self) {
        self.flight_bytes += self.inbox.len();
        self.inbox.clear();
    }

    /// How much its peer can write.
    fn free_bytes(&self) -> usize {
        self.buffer_bytes.saturating_sub(self.flight_bytes + self.inbox.len())
    }
}

pub(super) fn errno<T>(code: i32) -> io::Result<T> {
    Err(io::Error::from_raw_os_error(code))
}

pub(super) fn bad_descriptor() -> io::Error {
    io::Error::from_raw_os_error(libc::EBADF)
}

pub(super) fn would_block() -> io::Error {
    io::Error::from_raw_os_error(libc::EAGAIN)
}

// Chosen arbitrarily, short enough that a scenario sees both ends of each.
const HANG_NS: u64 = 5_000_000_000;
const RETRANSMIT_NS: u64 = 200_000_000;
const LATE_RESET_NS: u64 = 20_000_000;
const LOOPBACK_NS: u64 = 50_000;

const FIRST_EPHEMERAL_PORT: u16 = 32_768;
const SLICES_MAX: usize = 1024;
