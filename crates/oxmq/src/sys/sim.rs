//! The simulated face of [`super`]: a world on one thread, decided by one seed.
//!
//! The functions of the contract act on this thread's [`World`]: its clock, its descriptors, its
//! network of nodes. Time stands still but for the little that each call costs, until the driver
//! moves it on with [`advance_to`]. Nothing here blocks: [`Epoll::wait`] and [`poll`] return what
//! is ready, whatever their time-out, and [`spawn_io`] starts nothing. Which code runs when is the
//! driver's business, and it has the hooks at the end of this file for it.
//!
//! One seed is one execution, bit for bit: no hash map is iterated, no address, real clock or
//! thread id is looked at. [`trace_hash`] sums an execution up.

use super::{
    Credentials, EVENTS_MAX, Event, FarEnd, Interest, IpcAddr, KeepAlive, Listening, PollFd, RawFd,
    Scheduling, SockAddr,
};
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::Duration;

mod net;
mod rng;
#[cfg(test)]
mod tests;
mod world;

pub use net::{Connection, Link};
pub use rng::Rng;
use world::World;
pub use world::{Faults, Stats};

thread_local! {
    static WORLD: RefCell<World> = RefCell::new(World::new(0));
}

/// Whoever counts instructions leaves out what is below this function: it stands for the kernel.
#[inline(never)]
fn with<T>(act: impl FnOnce(&mut World) -> T) -> T {
    WORLD.with_borrow_mut(act)
}

// ---------------------------------------------------------------------------------------------
// The contract

/// An owned descriptor, closed when dropped.
#[derive(Debug)]
pub(crate) struct Fd(RawFd);

impl Fd {
    /// # Safety
    /// `raw` is open, and nobody else owns it.
    #[allow(dead_code, reason = "only foreign descriptors are made from numbers")]
    pub(crate) unsafe fn from_raw(raw: RawFd) -> Fd {
        Fd(raw)
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0
    }
}

impl Drop for Fd {
    fn drop(&mut self) {
        // A thread's locals may be gone before what it drops last.
        let _ = WORLD.try_with(|world| world.borrow_mut().close(self.0));
    }
}

pub(super) fn now_ns() -> u64 {
    with(World::tick)
}

/// An unpredictable number, to those who do not know the seed.
pub(crate) fn random_u64() -> u64 {
    with(World::random_u64)
}

/// See the real face: here they are the seed's.
pub(crate) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&random_u64().to_ne_bytes()[..chunk.len()]);
    }
    Ok(())
}

/// See the real face: there are always enough.
#[derive(Debug)]
pub(crate) struct Addresses;

impl Addresses {
    /// See the real face.
    pub(crate) fn reserve(_: usize) -> Option<Addresses> {
        Some(Addresses)
    }
}

/// How many threads can run at once, at least 1.
pub(crate) fn cpu_count() -> usize {
    2
}

/// See the real face: there is one thread.
pub(crate) fn has_membarrier() -> bool {
    true
}

/// See the real face.
pub(crate) fn membarrier() {
    std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
}

/// See the real face.
pub(crate) fn pause(_: u32) {}

/// See the real face.
pub(crate) fn listen(
    addr: &SockAddr,
    backlog: i32,
    prepare: impl FnOnce(&Fd) -> io::Result<()>,
) -> io::Result<Listening> {
    let (fd, addr, id) = with(|world| world.listen(addr, backlog))?;
    let fd = Fd(fd);
    prepare(&fd)?;
    let file = match &addr {
        SockAddr::Ipc(ipc @ IpcAddr::Path(_)) => Some(SocketFile { ipc: ipc.clone(), id }),
        SockAddr::Ipc(_) | SockAddr::Tcp(_) => None,
    };
    Ok(Listening { fd, addr, file })
}

/// See the real face.
#[derive(Debug)]
pub(crate) struct SocketFile {
    ipc: IpcAddr,
    id: net::ListenerId,
}

impl SocketFile {
    /// See the real face.
    pub(crate) fn remove(&self) -> io::Result<()> {
        with(|world| world.unlink(&self.ipc, self.id));
        Ok(())
    }
}

/// See the real face.
pub(crate) fn accept(listener: &Fd) -> io::Result<Fd> {
    with(|world| world.accept(listener.0)).map(Fd)
}

/// See the real face.
pub(crate) fn connect(
    addr: &SockAddr,
    _from: Option<&SocketAddr>,
    prepare: impl FnOnce(&Fd) -> io::Result<()>,
) -> io::Result<(Fd, bool)> {
    let (fd, done) = with(|world| world.connect(addr))?;
    let fd = Fd(fd);
    prepare(&fd).map(|()| (fd, done))
}

/// See the real face.
pub(crate) fn socket_error(fd: &Fd) -> io::Result<()> {
    with(|world| world.socket_error(fd.0))
}

/// See the real face.
pub(crate) fn is_connected(fd: &Fd) -> bool {
    with(|world| world.is_connected(fd.0))
}

/// See the real face.
pub(crate) fn is_self_connected(fd: &Fd) -> bool {
    with(|world| world.is_self_connected(fd.0))
}

/// The simulated ends have no names.
pub(crate) fn local_address(_: &Fd) -> Option<SockAddr> {
    None
}

/// As [`local_address`].
pub(crate) fn remote_address(_: &Fd) -> Option<SockAddr> {
    None
}

/// See the real face.
pub(crate) fn read(fd: &Fd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    with(|world| world.read(fd.0, buffer))
}

/// See the real face.
pub(crate) fn write(fd: &Fd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    with(|world| world.write(fd.0, slices))
}

/// Buffers are as large as the link says.
pub(crate) fn set_buffers(_: &Fd, _send_bytes: i32, _receive_bytes: i32) {}

/// Links never fall silent without a word.
pub(crate) fn set_keepalive(_: &Fd, _on: bool, _probes: i32, _idle_s: i32, _interval_s: i32) {}

/// All packets are alike.
pub(crate) fn set_type_of_service(_: &Fd, _value: i32) {}

/// As [`set_type_of_service`].
pub(crate) fn set_priority(_: &Fd, _value: i32) {}

/// There is no device to poll.
pub(crate) fn set_busy_poll(_: &Fd, _us: i32) {}

/// As [`set_keepalive`].
pub(crate) fn set_retransmit_timeout(_: &Fd, _ms: i32) {}

/// There are no devices.
pub(crate) fn bind_to_device(_: &Fd, _device: &str) -> io::Result<()> {
    Err(io::ErrorKind::NotFound.into())
}

/// Nobody hands descriptors in.
pub(crate) fn adopt_listener(_: RawFd) -> io::Result<Listening> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Nodes are nobody's.
pub(crate) fn peer_credentials(_: &Fd) -> Option<Credentials> {
    None
}

/// Nodes have no interfaces.
pub(crate) fn interface_address(_name: &str, _ipv6: bool) -> Option<(IpAddr, u32)> {
    None
}

/// See the real face: systems answer at once, and of silent connections never.
pub(crate) fn far_end(fd: &Fd, written: i64) -> FarEnd {
    with(|world| world.far_end(fd.0, written))
}

/// See the real face: it knows by itself which connections are silent.
pub(crate) fn ask_far_end(_: &Fd) -> Option<KeepAlive> {
    None
}

/// See the real face.
pub(crate) fn ask_no_more(_: &Fd, _: &KeepAlive) {}

/// See the real face.
pub(crate) fn shutdown_write(fd: &Fd) {
    with(|world| world.shutdown_write(fd.0));
}

/// A set of descriptors to wait on.
#[derive(Debug)]
pub(crate) struct Epoll(Fd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        with(World::new_epoll).map(|fd| Epoll(Fd(fd)))
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0.raw()
    }

    pub(crate) fn add(&self, fd: RawFd, key: u64, interest: Interest) -> io::Result<()> {
        with(|world| world.epoll_add(self.raw(), fd, key, interest))
    }

    pub(crate) fn modify(&self, fd: RawFd, key: u64, interest: Interest) -> io::Result<()> {
        with(|world| world.epoll_modify(self.raw(), fd, key, interest))
    }

    pub(crate) fn remove(&self, fd: RawFd) -> io::Result<()> {
        with(|world| world.epoll_remove(self.raw(), fd))
    }

    /// Returns what is ready, in any order, perhaps not all of it; it does not wait.
    pub(crate) fn wait(&self, events: &mut Events, _: Option<Duration>) -> io::Result<()> {
        events.list.clear();
        with(|world| world.epoll_wait(self.raw(), &mut events.list))
    }
}

/// What an [`Epoll::wait`] found.
pub(crate) struct Events {
    list: Vec<Event>,
}

impl Events {
    pub(crate) fn new() -> Events {
        Events { list: Vec::with_capacity(EVENTS_MAX) }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.list.iter().copied()
    }
}

/// A flag that makes a descriptor readable.
#[derive(Debug)]
pub(crate) struct EventFd(Fd);

impl EventFd {
    pub(crate) fn new() -> io::Result<EventFd> {
        with(World::new_flag).map(|fd| EventFd(Fd(fd)))
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0.raw()
    }

    pub(crate) fn signal(&self) {
        with(|world| world.set_flag(self.raw(), true));
    }

    pub(crate) fn drain(&self) {
        with(|world| world.set_flag(self.raw(), false));
    }
}

/// A timer that makes a descriptor readable.
#[derive(Debug)]
pub(crate) struct TimerFd(Fd);

impl TimerFd {
    pub(crate) fn new() -> io::Result<TimerFd> {
        with(World::new_timer).map(|fd| TimerFd(Fd(fd)))
    }

    pub(crate) fn raw(&self) -> RawFd {
        self.0.raw()
    }

    pub(crate) fn arm(&self, wait: Duration) {
        with(|world| world.set_timer(self.raw(), Some(wait)));
    }

    #[cfg(test)]
    pub(crate) fn disarm(&self) {
        with(|world| world.set_timer(self.raw(), None));
    }

    pub(crate) fn drain(&self) {
        with(|world| world.drain_timer(self.raw()));
    }
}

/// Fills in what each of `fds` is ready for; it does not wait.
pub(crate) fn poll(
    fds: &mut [PollFd],
    _timeout: Option<Duration>,
    _mask: Option<&SignalMask>,
) -> io::Result<usize> {
    with(|world| world.poll(fds))
}

/// A set of signals that a thread does not take. There are no signals here.
#[derive(Clone, Copy)]
pub(crate) struct SignalMask;

impl SignalMask {
    pub(crate) fn block_all() -> SignalMask {
        SignalMask
    }

    pub(crate) fn restore(&self) {}
}

/// Stands for the thread that [`spawn_io`] did not start.
#[derive(Debug)]
pub(crate) struct IoThread;

impl IoThread {
    pub(crate) fn join(self) -> thread::Result<()> {
        Ok(())
    }

    pub(crate) fn is_current(&self) -> bool {
        false
    }
}

/// Starts nothing: the driver calls the reactor's turn.
pub(crate) fn spawn_io(
    _: String,
    _: Scheduling,
    _: impl FnOnce() + Send + 'static,
) -> io::Result<IoThread> {
    Ok(IoThread)
}

/// Nobody forks here.
pub(crate) fn fork_generation() -> u64 {
    0
}

pub(crate) fn in_forked_children(_run: extern "C" fn()) {}

// ---------------------------------------------------------------------------------------------
// Hooks for the driver

/// Replaces this thread's world by a new one, without faults. What was open in the old one must
/// have been dropped.
pub fn new_world(seed: u64) {
    crate::gather::forget_all();
    with(|world| *world = World::new(seed));
    // Of the run before nothing is left.
    crate::socket::turn::refill();
}

/// What runs from here on runs on this node: its descriptors are that node's.
pub fn set_node(node: u32) {
    with(|world| world.set_node(node));
}

/// Whose code runs now.
pub(crate) fn node() -> u32 {
    with(|world| world.node())
}

/// The clock, in nanoseconds; asking costs no time.
pub fn now() -> u64 {
    with(|world| world.now())
}

/// Moves the clock forward, to `ns` at least, and delivers what arrives until then.
pub fn advance_to(ns: u64) {
    with(|world| world.advance_to(ns));
}

/// When something happens next: a delivery, the end of a connecting, a timer. It may have been due
/// for a while already (a ready descriptor is no event; see [`is_ready`]).
pub fn next_event() -> Option<u64> {
    with(|world| world.next_event())
}

/// Whether a thread of this node that waits on an outermost [`Epoll`] would wake up.
pub fn is_ready(node: u32) -> bool {
    with(|world| world.is_ready(node))
}

/// Whether the thread that waits on this outermost [`Epoll`] would wake up.
pub(crate) fn would_wake(epoll: &Epoll) -> bool {
    with(|world| world.is_epoll_ready(epoll.raw()))
}

/// From now on these faults happen by chance.
pub fn set_faults(faults: Faults) {
    with(|world| world.set_faults(faults));
}

/// How bytes go from one node to another, from now on.
pub fn set_link(from: u32, to: u32, link: Link) {
    with(|world| world.net.set_link(from, to, link));
}

/// Nothing arrives between the two nodes before `ns`. What was on its way arrives then.
pub fn stall(one: u32, other: u32, ns: u64) {
    with(|world| world.stall(one, other, ns));
}

/// The connections that are established.
pub fn connections() -> Vec<Connection> {
    with(|world| world.net.connections())
}

/// How many connections from this node to this endpoint (as its listener was told) have ended, in
/// whatever way.
pub fn ended(node: u32, endpoint: &str) -> u64 {
    with(|world| world.net.ended(node, endpoint))
}

/// Breaks a connection: both ends learn it, sooner or later, and what was on its way is lost but
/// for a part from the front.
pub fn reset(connection: &Connection) {
    with(|world| world.reset(connection));
}

/// Lets nothing through this connection any more, without telling either end.
pub fn silence(connection: &Connection) {
    with(|world| world.silence(connection));
}

/// Closes every descriptor of the node, as the kernel does for a process that was killed. What
/// owned them must not act on this world again: drop it with [`bury`].
pub fn kill_node(node: u32) {
    crate::gather::forget(node);
    with(|world| world.kill_node(node));
}

/// Runs `drop_remains`, whose calls have no effect on the world.
pub fn bury(drop_remains: impl FnOnce()) {
    let world = with(|world| mem::replace(world, World::new(0)));
    drop_remains();
    with(|limbo| *limbo = world);
}

/// What has happened so far.
pub fn stats() -> Stats {
    with(|world| world.stats())
}

/// One line for each descriptor that is open.
pub fn open_descriptors() -> Vec<String> {
    with(|world| world.open_descriptors())
}

/// Names of socket files that exist.
pub fn ipc_names() -> Vec<String> {
    with(|world| world.net.ipc_names())
}

/// Breaches of the contract of `sys` by its users so far.
pub fn violations() -> Vec<String> {
    with(|world| world.violations())
}

/// A sum over every call and every result so far.
pub fn trace_hash() -> u64 {
    with(|world| world.trace_hash())
}

/// Whether every call is written to the standard error stream.
pub fn set_verbose(verbose: bool) {
    with(|world| world.set_verbose(verbose));
}
