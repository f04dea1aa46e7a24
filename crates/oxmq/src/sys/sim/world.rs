//! The simulated machine room: a clock, a table of descriptors, and what each of them is.

use super::super::{EVENTS_MAX, Event, FarEnd, Interest, IpcAddr, PollFd, RawFd, SockAddr};
use super::net::{Connection, ListenerId, Net, Node, Ready, StreamId, bad_descriptor, errno};
use super::rng::Rng;
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::time::Duration;

/// What goes wrong by chance: each happens once in so many times, 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// A read or write moves only a part.
    pub short: u32,
    /// A read, write or accept says `WouldBlock` although it could.
    pub again: u32,
    /// A wait reports what is not ready.
    pub spurious: u32,
    /// A wait is interrupted.
    pub interrupted: u32,
    /// A connection is reset just after something was written to it.
    pub reset: u32,
    /// A connection is refused although somebody listens.
    pub refused: u32,
    /// A tcp connection neither comes about nor fails for a long time, then times out.
    pub hang: u32,
    /// A tcp connection to a port that nobody listens on meets itself.
    pub meets_itself: u32,
    /// No descriptor is left (`EMFILE`).
    pub out_of_descriptors: u32,
}

impl Faults {
    /// Whether none of these can end a connection, or keep one from being made.
    pub fn is_harmless(&self) -> bool {
        self.reset == 0
            && self.refused == 0
            && self.hang == 0
            && self.meets_itself == 0
            && self.out_of_descriptors == 0
    }
}

/// What has happened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    /// System calls.
    pub calls: u64,
    /// Bytes written to streams.
    pub bytes: u64,
    /// Connections begun.
    pub connects: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused.
    pub refused: u64,
    /// Connections that hung.
    pub hung: u64,
    /// Connections that met themselves.
    pub met_itself: u64,
    /// Ends of connections that were reset.
    pub resets: u64,
    /// Reads and writes cut short.
    pub short: u64,
    /// Waits interrupted.
    pub interrupted: u64,
    /// Descriptors refused.
    pub out_of_descriptors: u64,
    /// Connections that went silent.
    pub silences: u64,
}

impl Stats {
    /// Adds what happened elsewhere.
    pub fn add(&mut self, other: &Stats) {
        self.calls += other.calls;
        self.bytes += other.bytes;
        self.connects += other.connects;
        self.accepted += other.accepted;
        self.refused += other.refused;
        self.hung += other.hung;
        self.met_itself += other.met_itself;
        self.resets += other.resets;
        self.short += other.short;
        self.interrupted += other.interrupted;
        self.out_of_descriptors += other.out_of_descriptors;
        self.silences += other.silences;
    }
}

pub(super) struct World {
    now: u64,
    node: Node,
    /// What the network and the scheduler of system calls roll.
    rng: Rng,
    /// What the code under test is given as random numbers.
    random: Rng,
    descriptors: BTreeMap<RawFd, Descriptor>,
    pub(super) net: Net,
    violations: Vec<String>,
    trace_hash: u64,
    is_verbose: bool,
}

struct Descriptor {
    node: Node,
    object: Object,
    /// How many epolls it is in.
    watchers: u32,
}

enum Object {
    Listener(ListenerId),
    Stream(StreamId),
    Epoll(BTreeMap<RawFd, Item>),
    Flag(bool),
    /// When it is due.
    Timer(Option<u64>),
}

/// One descriptor in an epoll.
struct Item {
    key: u64,
    interest: Interest,
    /// It has been reported since its interest was set.
    is_told: bool,
}

impl Item {
    /// Errors and hang-ups are reported whatever the interest; to none but once.
    fn tells_failure(&self, ready: &Ready) -> bool {
        ready.failed && !(self.is_told && self.interest == Interest::NONE)
    }
}

impl World {
    pub(super) fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        World {
            // Not 0: code that takes 0 for "never" is to be found out by its logic, not by this.
            now: 1_000_000_000,
            node: 0,
            random: rng.fork(),
            net: Net::new(rng.fork()),
            rng,
            descriptors: BTreeMap::new(),
            violations: Vec::new(),
            trace_hash: FNV_BASIS,
            is_verbose: false,
        }
    }

    // -----------------------------------------------------------------------------------------
    // What the driver asks for

    pub(super) fn set_node(&mut self, node: Node) {
        self.node = node;
    }

    pub(super) fn node(&self) -> Node {
        self.node
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    pub(super) fn advance_to(&mut self, ns: u64) {
        self.now = self.now.max(ns);
        self.net.settle(self.now);
    }

    pub(super) fn next_event(&self) -> Option<u64> {
        let timers = self.descriptors.values().filter_map(|descriptor| match descriptor.object {
            Object::Timer(Some(at)) if at > self.now => Some(at),
            _ => None,
        });
        timers.chain(self.net.next_at()).min()
    }

    pub(super) fn is_ready(&self, node: Node) -> bool {
        self.descriptors.values().any(|descriptor| {
            descriptor.node == node
                && descriptor.watchers == 0
                && matches!(descriptor.object, Object::Epoll(_))
                && self.readiness(&descriptor.object, 0).readable
        })
    }

    pub(super) fn is_epoll_ready(&self, epoll: RawFd) -> bool {
        let descriptor = self.descriptors.get(&epoll);
        descriptor.is_some_and(|descriptor| self.readiness(&descriptor.object, 0).readable)
    }

    pub(super) fn set_faults(&mut self, faults: Faults) {
        self.net.faults = faults;
    }

    pub(super) fn stall(&mut self, one: Node, other: Node, until: u64) {
        self.log("stall", one as RawFd, i64::from(other));
        self.net.stall(one, other, until);
    }

    pub(super) fn reset(&mut self, connection: &Connection) {
        let (one, other) = connection.nodes;
        self.log("reset", one as RawFd, i64::from(other));
        self.net.reset(connection, self.now);
    }

    pub(super) fn silence(&mut self, connection: &Connection) {
        let (one, other) = connection.nodes;
        self.log("silence", one as RawFd, i64::from(other));
        self.net.silence(connection);
    }

    pub(super) fn kill_node(&mut self, node: Node) {
        let fds: Vec<RawFd> = self
            .descriptors
            .iter()
            .filter(|(_, descriptor)| descriptor.node == node)
            .map(|(&fd, _)| fd)
            .collect();
        for fd in fds {
            self.close_quietly(fd);
        }
        self.log("kill", node as RawFd, 0);
    }

    pub(super) fn stats(&self) -> Stats {
        self.net.stats
    }

    pub(super) fn open_descriptors(&self) -> Vec<String> {
        self.descriptors
            .iter()
            .map(|(fd, descriptor)| {
                let kind = match &descriptor.object {
                    Object::Listener(_) => "listener",
                    Object::Stream(_) => "stream",
                    Object::Epoll(_) => "epoll",
                    Object::Flag(_) => "eventfd",
                    Object::Timer(_) => "timerfd",
                };
                format!("node {}: {kind} {fd}", descriptor.node)
            })
            .collect()
    }

    pub(super) fn violations(&self) -> Vec<String> {
        self.violations.clone()
    }

    pub(super) fn trace_hash(&self) -> u64 {
        self.trace_hash
    }

    pub(super) fn set_verbose(&mut self, verbose: bool) {
        self.is_verbose = verbose;
    }

    // -----------------------------------------------------------------------------------------
    // The contract: time and randomness

    pub(super) fn tick(&mut self) -> u64 {
        self.pass(100);
        self.now
    }

    pub(super) fn random_u64(&mut self) -> u64 {
        self.random.next_u64()
    }

    // -----------------------------------------------------------------------------------------
    // The contract: streams

    pub(super) fn listen(
        &mut self,
        addr: &SockAddr,
        backlog: i32,
    ) -> io::Result<(RawFd, SockAddr, ListenerId)> {
        self.begin_call();
        let result = self.check_descriptors_left().and_then(|()| {
            let (id, actual) = self.net.listen(self.node, addr, backlog)?;
            Ok((self.open(Object::Listener(id)), actual, id))
        });
        self.log_result("listen", 0, result.as_ref().map(|(fd, ..)| *fd as usize));
        result
    }

    pub(super) fn unlink(&mut self, ipc: &IpcAddr, id: ListenerId) {
        self.begin_call();
        self.net.unlink(ipc, id);
    }

    pub(super) fn accept(&mut self, fd: RawFd) -> io::Result<RawFd> {
        self.begin_call();
        let result = self.listener(fd).and_then(|id| {
            if !self.net.has_waiting(id) || self.rng.one_in(self.net.faults.again) {
                return errno(libc::EAGAIN);
            }
            self.check_descriptors_left()?;
            let stream = self.net.accept(id)?;
            Ok(self.open(Object::Stream(stream)))
        });
        self.log_result("accept", fd, result.as_ref().map(|fd| *fd as usize));
        result
    }

    pub(super) fn connect(&mut self, addr: &SockAddr) -> io::Result<(RawFd, bool)> {
        self.begin_call();
        let result = self.check_descriptors_left().and_then(|()| {
            let (id, done) = self.net.connect(self.node, addr, self.now)?;
            Ok((self.open(Object::Stream(id)), done))
        });
        self.log_result("connect", 0, result.as_ref().map(|(fd, _)| *fd as usize));
        result
    }

    pub(super) fn socket_error(&mut self, fd: RawFd) -> io::Result<()> {
        self.begin_call();
        let result = self.stream(fd).and_then(|id| self.net.take_error(id));
        self.log_result("socket_error", fd, result.as_ref().map(|()| 0));
        result
    }

    pub(super) fn is_connected(&mut self, fd: RawFd) -> bool {
        self.begin_call();
        self.stream(fd).is_ok_and(|id| self.net.is_open(id))
    }

    pub(super) fn is_self_connected(&mut self, fd: RawFd) -> bool {
        self.begin_call();
        self.stream(fd).is_ok_and(|id| self.net.meets_itself(id))
    }

    pub(super) fn read(&mut self, fd: RawFd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
        self.begin_call();
        let result = self.stream(fd).and_then(|id| self.net.read(id, buffer));
        self.log_result("read", fd, result.as_ref().copied());
        result
    }

    pub(super) fn write(&mut self, fd: RawFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.begin_call();
        let result = self.stream(fd).and_then(|id| self.net.write(id, slices, self.now));
        self.log_result("write", fd, result.as_ref().copied());
        result
    }

    pub(super) fn shutdown_write(&mut self, fd: RawFd) {
        self.begin_call();
        if let Ok(id) = self.stream(fd) {
            self.net.shutdown_write(id, self.now);
        }
        self.log("shutdown", fd, 0);
    }

    pub(super) fn far_end(&mut self, fd: RawFd, written: i64) -> FarEnd {
        self.begin_call();
        let far = match self.stream(fd) {
            Ok(id) => self.net.far_end(id, written),
            Err(_) => FarEnd { taken: 0, last_heard: None, asked_in_vain: 0, has_ended: true },
        };
        self.log("far end", fd, far.has_ended.into());
        far
    }

    // -----------------------------------------------------------------------------------------
    // The contract: readiness

    pub(super) fn new_epoll(&mut self) -> io::Result<RawFd> {
        self.new_descriptor(Object::Epoll(BTreeMap::new()))
    }

    pub(super) fn new_flag(&mut self) -> io::Result<RawFd> {
        self.new_descriptor(Object::Flag(false))
    }

    pub(super) fn new_timer(&mut self) -> io::Result<RawFd> {
        self.new_descriptor(Object::Timer(None))
    }

    pub(super) fn epoll_add(
        &mut self,
        epoll: RawFd,
        fd: RawFd,
        key: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.begin_call();
        let result = self.add_item(epoll, fd, Item { key, interest, is_told: false });
        self.log_result("epoll_add", fd, result.as_ref().map(|()| 0));
        result
    }

    pub(super) fn epoll_modify(
        &mut self,
        epoll: RawFd,
        fd: RawFd,
        key: u64,
        interest: Interest,
    ) -> io::Result<()> {
        self.begin_call();
        let result = self.epoll(epoll).and_then(|items| match items.get_mut(&fd) {
            Some(item) => {
                *item = Item { key, interest, is_told: false };
                Ok(())
            }
            None => errno(libc::ENOENT),
        });
        self.log_result("epoll_modify", fd, result.as_ref().map(|()| 0));
        result
    }

    pub(super) fn epoll_remove(&mut self, epoll: RawFd, fd: RawFd) -> io::Result<()> {
        self.begin_call();
        let result = self.remove_item(epoll, fd);
        self.log_result("epoll_remove", fd, result.as_ref().map(|()| 0));
        result
    }

    fn add_item(&mut self, epoll: RawFd, fd: RawFd, item: Item) -> io::Result<()> {
        self.epoll(epoll)?;
        if !self.descriptors.contains_key(&fd) {
            return errno(libc::EBADF);
        }
        if fd == epoll {
            return errno(libc::EINVAL);
        }
        if self.reaches(fd, epoll) {
            return errno(libc::ELOOP);
        }
        let items = self.epoll(epoll)?;
        if items.contains_key(&fd) {
            return errno(libc::EEXIST);
        }
        items.insert(fd, item);
        self.check_node(fd);
        self.descriptors.get_mut(&fd).expect("looked up above").watchers += 1;
        Ok(())
    }

    fn remove_item(&mut self, epoll: RawFd, fd: RawFd) -> io::Result<()> {
        if self.epoll(epoll)?.remove(&fd).is_none() {
            return errno(libc::ENOENT);
        }
        self.descriptors.get_mut(&fd).expect("an item of an epoll is open").watchers -= 1;
        Ok(())
    }

    pub(super) fn epoll_wait(&mut self, epoll: RawFd, found: &mut Vec<Event>) -> io::Result<()> {
        self.begin_call();
        if self.rng.one_in(self.net.faults.interrupted) {
            self.net.stats.interrupted += 1;
            self.log("epoll_wait", epoll, -i64::from(libc::EINTR));
            return errno(libc::EINTR);
        }
        self.epoll(epoll)?;
        let Object::Epoll(items) = &self.descriptors[&epoll].object else { unreachable!() };
        let spurious = self.net.faults.spurious;
        let mut rng = self.rng.clone();
        for (fd, item) in items {
            let ready = self.readiness(&self.descriptors[fd].object, 0);
            let spurious = rng.one_in(spurious);
            let (failed, interest) = (item.tells_failure(&ready), item.interest);
            let readable = failed || interest.read && (ready.readable || spurious);
            let writable = failed || interest.write && (ready.writable || spurious);
            if readable || writable {
                found.push(Event { key: item.key, readable, writable });
            }
        }
        // In which order, and how many at a time, is the kernel's affair.
        rng.shuffle(found);
        if found.len() > 1 && rng.one_in(8) {
            found.truncate(rng.between(1, found.len() as u64) as usize);
        }
        found.truncate(EVENTS_MAX);
        self.rng = rng;
        for item in self.epoll(epoll)?.values_mut() {
            item.is_told |= found.iter().any(|event| event.key == item.key);
        }
        self.log("epoll_wait", epoll, found.len() as i64);
        Ok(())
    }

    pub(super) fn poll(&mut self, fds: &mut [PollFd]) -> io::Result<usize> {
        self.begin_call();
        if self.rng.one_in(self.net.faults.interrupted) {
            self.net.stats.interrupted += 1;
            return errno(libc::EINTR);
        }
        let mut count = 0;
        for fd in fds {
            let (ready, known) = match self.descriptors.get(&fd.fd) {
                Some(descriptor) => (self.readiness(&descriptor.object, 0), true),
                None => (Ready::default(), false),
            };
            fd.readable = fd.interest.read && ready.readable;
            fd.writable = fd.interest.write && ready.writable;
            fd.priority = false;
            fd.error = ready.failed || !known;
            count += usize::from(fd.is_ready());
        }
        self.log("poll", 0, count as i64);
        Ok(count)
    }

    pub(super) fn set_flag(&mut self, fd: RawFd, value: bool) {
        self.begin_call();
        self.check_node(fd);
        if let Some(Descriptor { object: Object::Flag(flag), .. }) = self.descriptors.get_mut(&fd) {
            *flag = value;
        }
        self.log("flag", fd, i64::from(value));
    }

    pub(super) fn set_timer(&mut self, fd: RawFd, wait: Option<Duration>) {
        self.begin_call();
        self.check_node(fd);
        let at = wait.map(|wait| {
            self.now.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX))
        });
        if let Some(Descriptor { object: Object::Timer(due), .. }) = self.descriptors.get_mut(&fd) {
            *due = at;
        }
        self.log("timer", fd, at.unwrap_or(0) as i64);
    }

    pub(super) fn drain_timer(&mut self, fd: RawFd) {
        self.begin_call();
        self.check_node(fd);
        let now = self.now;
        if let Some(Descriptor { object: Object::Timer(due), .. }) = self.descriptors.get_mut(&fd)
            && due.is_some_and(|at| at <= now)
        {
            *due = None;
        }
        self.log("drain", fd, 0);
    }

    // -----------------------------------------------------------------------------------------
    // Descriptors

    pub(super) fn close(&mut self, fd: RawFd) {
        let Some(descriptor) = self.descriptors.get(&fd) else { return };
        if descriptor.watchers > 0 {
            self.violations.push(format!("descriptor {fd} is closed while in an epoll"));
        }
        self.check_node(fd);
        self.begin_call();
        self.close_quietly(fd);
        self.log("close", fd, 0);
    }

    fn close_quietly(&mut self, fd: RawFd) {
        let Some(descriptor) = self.descriptors.remove(&fd) else { return };
        match descriptor.object {
            Object::Listener(id) => self.net.close_listener(id, self.now),
            Object::Stream(id) => self.net.close(id, self.now),
            Object::Epoll(items) => {
                for item in items.keys() {
                    if let Some(item) = self.descriptors.get_mut(item) {
                        item.watchers -= 1;
                    }
                }
            }
            Object::Flag(_) | Object::Timer(_) => {}
        }
        if descriptor.watchers > 0 {
            for other in self.descriptors.values_mut() {
                if let Object::Epoll(items) = &mut other.object {
                    items.remove(&fd);
                }
            }
        }
    }

    fn new_descriptor(&mut self, object: Object) -> io::Result<RawFd> {
        self.begin_call();
        self.check_descriptors_left()?;
        let fd = self.open(object);
        self.log("new", fd, 0);
        Ok(fd)
    }

    fn check_descriptors_left(&mut self) -> io::Result<()> {
        if self.rng.one_in(self.net.faults.out_of_descriptors) {
            self.net.stats.out_of_descriptors += 1;
            return errno(libc::EMFILE);
        }
        Ok(())
    }

    /// As in Linux the lowest free number: numbers are used again at once.
    fn open(&mut self, object: Object) -> RawFd {
        let mut fd = FD_FIRST;
        for &taken in self.descriptors.keys() {
            if taken != fd {
                break;
            }
            fd += 1;
        }
        self.descriptors.insert(fd, Descriptor { node: self.node, object, watchers: 0 });
        fd
    }

    fn listener(&mut self, fd: RawFd) -> io::Result<ListenerId> {
        self.check_node(fd);
        match self.descriptors.get(&fd).map(|descriptor| &descriptor.object) {
            Some(Object::Listener(id)) => Ok(*id),
            _ => Err(bad_descriptor()),
        }
    }

    fn stream(&mut self, fd: RawFd) -> io::Result<StreamId> {
        self.check_node(fd);
        match self.descriptors.get(&fd).map(|descriptor| &descriptor.object) {
            Some(Object::Stream(id)) => Ok(*id),
            _ => Err(bad_descriptor()),
        }
    }

    fn epoll(&mut self, fd: RawFd) -> io::Result<&mut BTreeMap<RawFd, Item>> {
        self.check_node(fd);
        match self.descriptors.get_mut(&fd).map(|descriptor| &mut descriptor.object) {
            Some(Object::Epoll(items)) => Ok(items),
            _ => Err(bad_descriptor()),
        }
    }

    /// A node has no business with another's descriptors.
    fn check_node(&mut self, fd: RawFd) {
        if let Some(descriptor) = self.descriptors.get(&fd)
            && descriptor.node != self.node
        {
            let (owner, node) = (descriptor.node, self.node);
            self.violations.push(format!("node {node} uses descriptor {fd} of node {owner}"));
        }
    }

    /// Whether `fd` is an epoll that `target` is in, directly or not.
    fn reaches(&self, fd: RawFd, target: RawFd) -> bool {
        match self.descriptors.get(&fd).map(|descriptor| &descriptor.object) {
            Some(Object::Epoll(items)) => {
                items.keys().any(|&item| item == target || self.reaches(item, target))
            }
            _ => false,
        }
    }

    fn readiness(&self, object: &Object, depth: u32) -> Ready {
        let readable = match object {
            Object::Stream(id) => return self.net.ready(*id),
            Object::Listener(id) => self.net.has_waiting(*id),
            Object::Flag(flag) => *flag,
            Object::Timer(due) => due.is_some_and(|at| at <= self.now),
            Object::Epoll(items) => {
                // As deep as Linux lets them be nested.
                depth < 5
                    && items.iter().any(|(fd, item)| {
                        let ready = self.readiness(&self.descriptors[fd].object, depth + 1);
                        item.tells_failure(&ready)
                            || item.interest.read && ready.readable
                            || item.interest.write && ready.writable
                    })
            }
        };
        Ready { readable, writable: matches!(object, Object::Flag(_)), failed: false }
    }

    // -----------------------------------------------------------------------------------------
    // Time passes, and is written down

    fn begin_call(&mut self) {
        self.net.stats.calls += 1;
        self.pass(2000);
    }

    fn pass(&mut self, ns_max: u64) {
        self.now += self.rng.below(ns_max);
        self.net.settle(self.now);
    }

    fn log_result(&mut self, call: &'static str, fd: RawFd, result: Result<usize, &io::Error>) {
        let result = match result {
            Ok(value) => value as i64,
            Err(error) => -i64::from(error.raw_os_error().unwrap_or(i32::MAX)),
        };
        self.log(call, fd, result);
    }

    fn log(&mut self, call: &'static str, fd: RawFd, result: i64) {
        for word in [self.now, u64::from(self.node), fd as u64, result as u64, call.len() as u64] {
            self.trace_hash = (self.trace_hash ^ word).wrapping_mul(FNV_PRIME);
        }
        if self.is_verbose {
            let us = self.now / 1000;
            eprintln!("{us:>12} µs  node {}  {call}({fd}) = {result}", self.node);
        }
    }
}

/// No real descriptor is that large.
const FD_FIRST: RawFd = 1 << 24;
const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;
