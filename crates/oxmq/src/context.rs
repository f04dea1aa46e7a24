//! Contexts: the I/O threads, and the names and sockets that share them.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{self, Poll, Waker};
use std::time::Duration;

use parking_lot::Mutex;

use crate::SocketType;
use crate::error::{SocketError, TermError};
use crate::option::Options;
use crate::parker::Parker;
use crate::pattern;
use crate::reactor::{Io, Job, Reactor};
use crate::session::Session;
use crate::socket::Socket;
use crate::socket::core::Core;
use crate::socket::wait::{Deadline, Sleeper, Woken};
use crate::socket::waiters::Events;
use crate::sys::{Instant, IoThread, Scheduling, fork_generation, spawn_io};
use crate::tasks::Tasks;
use crate::transport::inproc::Inproc;

/// How many sockets a context may have at a time, unless told otherwise (libzmq's default for
/// ZMQ_MAX_SOCKETS).
const SOCKETS_MAX: usize = 1023;

/// With fewer connections that linger it is not looked whether some have ended. Arbitrary.
const LINGERING_MIN: usize = 16;

/// Where sockets live: it has the threads that do I/O in the background (made when first needed),
/// and the names of inproc endpoints. Copies are the same context.
///
/// When the last copy and the last socket are dropped, the drop waits until what was sent is with
/// the peers, within the sockets' LINGER, as [`Context::term`] does, and no longer than
/// [`Context::set_drop_timeout`] allows. A program that must not block awaits
/// [`Context::term_async`] first.
///
/// A process forked from one that has contexts makes its own: every call on the parent's contexts
/// and sockets returns `Forked` there, and dropping them does nothing.
///
/// ```
/// use oxmq::{Context, Pull, Push};
/// let context = Context::new();
/// let pull = Pull::new(&context)?;
/// let endpoint = pull.bind("tcp://127.0.0.1:*")?;
/// let push = Push::new(&context)?;
/// push.connect(&endpoint)?;
/// push.send("hello")?;
/// assert_eq!(&pull.recv()?[..], b"hello");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Context {
    shared: Arc<Shared>,
}

/// Held by contexts and sockets; its end is the context's.
pub(crate) struct Shared {
    core: Arc<ContextCore>,
}

/// What sockets and connections know of their context.
#[derive(Default)]
pub(crate) struct ContextCore {
    io: Mutex<IoThreads>,
    inproc: Inproc,
    sockets: Mutex<Sockets>,
    /// Connections not yet at their end, those of closed sockets included.
    sessions: AtomicUsize,
    /// The process that made the context, as against its forked children.
    process: Process,
}

struct Process(u64);

impl Default for Process {
    fn default() -> Process {
        Process(fork_generation())
    }
}

struct Sockets {
    /// By their addresses, each with its number, by which it comes after those before it.
    open: HashMap<usize, (u64, Weak<Core>)>,
    /// How many there have been.
    count: u64,
    max: usize,
    /// What IPV6 is in a new socket, and whether its LINGER is for ever.
    ipv6: bool,
    blocky: bool,
    terminated: bool,
    /// Threads in `term`.
    waiting: Vec<Arc<Parker>>,
    /// The futures of `term_async`.
    tasks: Tasks,
    /// How long the drop of the last handle waits; `None` is as long as it takes.
    drop_timeout: Option<Duration>,
    /// The last handle is gone, and nobody waits: the I/O threads are stopped by whatever ends last.
    released: bool,
    /// What closed sockets were connected to, and the connections, while they last.
    lingering: Vec<(String, Weak<Session>)>,
    /// With so many of them it is looked whether some have ended.
    lingering_looked_at: usize,
}

impl Sockets {
    /// Those that are open, in the order in which they were made.
    fn open(&self) -> Vec<Weak<Core>> {
        let mut open: Vec<_> = self.open.values().collect();
        open.sort_unstable_by_key(|(number, _)| *number);
        open.into_iter().map(|(_, core)| core.clone()).collect()
    }
}

impl Default for Sockets {
    fn default() -> Sockets {
        Sockets {
            open: HashMap::new(),
            count: 0,
            max: SOCKETS_MAX,
            ipv6: false,
            blocky: true,
            terminated: false,
            waiting: Vec::new(),
            tasks: Tasks::default(),
            drop_timeout: None,
            released: false,
            lingering: Vec::new(),
            lingering_looked_at: LINGERING_MIN,
        }
    }
}

struct IoThreads {
    wanted: usize,
    name_prefix: String,
    scheduling: Scheduling,
    started: Vec<(Arc<Io>, Option<IoThread>)>,
    #[cfg(oxmq_sim)]
    reactors: Vec<Reactor>,
    stopped: bool,
}

impl Default for IoThreads {
    fn default() -> IoThreads {
        IoThreads {
            wanted: 1,
            name_prefix: String::new(),
            scheduling: Scheduling::default(),
            started: Vec::new(),
            #[cfg(oxmq_sim)]
            reactors: Vec::new(),
            stopped: false,
        }
    }
}

impl IoThreads {
    fn name(&self, number: usize) -> String {
        let separator = if self.name_prefix.is_empty() { "" } else { "/" };
        format!("{}{separator}oxmq-io-{number}", self.name_prefix)
    }
}

impl Context {
    /// A new context, with one I/O thread.
    pub fn new() -> Context {
        Context { shared: Arc::new(Shared { core: Arc::default() }) }
    }

    /// How many I/O threads there will be: one per gigabyte of traffic a second is a good rule.
    /// Has no effect once the first connection or endpoint has started them.
    pub fn set_io_threads(&self, threads: usize) {
        if !self.shared.core.is_inherited() {
            self.shared.core.io.lock().wanted = threads.max(1);
        }
    }

    /// What the names of I/O threads begin with, as the system shows them (15 bytes at most).
    ///
    /// As the other settings of I/O threads, it has no effect on those that have been started.
    pub fn set_io_thread_name(&self, prefix: &str) {
        self.set_io(|io| io.name_prefix = prefix.replace('\0', ""));
    }

    /// The scheduling policy of I/O threads, by the system's number (`SCHED_OTHER`, `SCHED_FIFO`,
    /// `SCHED_RR`, …). That the system refuses it is said by the first `bind` or `connect`.
    pub fn set_io_thread_policy(&self, policy: i32) {
        self.set_io(|io| io.scheduling.policy = Some(policy));
    }

    /// The priority of I/O threads: 1 to 99 for the policies `SCHED_FIFO` and `SCHED_RR`; with the
    /// others any priority above 0 gets them the lowest niceness, −20.
    pub fn set_io_thread_priority(&self, priority: i32) {
        self.set_io(|io| io.scheduling.priority = Some(priority));
    }

    /// I/O threads run on this processor, and others added so; at first they run on any.
    pub fn add_io_thread_cpu(&self, cpu: usize) {
        self.set_io(|io| {
            if !io.scheduling.cpus.contains(&cpu) {
                io.scheduling.cpus.push(cpu);
            }
        });
    }

    /// Takes [`add_io_thread_cpu`](Context::add_io_thread_cpu) back. False: it was not added.
    pub fn remove_io_thread_cpu(&self, cpu: usize) -> bool {
        let mut removed = false;
        self.set_io(|io| {
            let before = io.scheduling.cpus.len();
            io.scheduling.cpus.retain(|&other| other != cpu);
            removed = io.scheduling.cpus.len() < before;
        });
        removed
    }

    pub(crate) fn inproc(&self) -> &Inproc {
        &self.shared.core.inproc
    }

    fn set_io(&self, set: impl FnOnce(&mut IoThreads)) {
        if !self.shared.core.is_inherited() {
            set(&mut self.shared.core.io.lock());
        }
    }

    /// How many sockets there may be at a time, in sockets. Default: 1023 (libzmq's). Sockets that
    /// are open stay.
    pub fn set_max_sockets(&self, sockets: usize) {
        self.shared.core.sockets.lock().max = sockets;
    }

    /// What the option IPV6 is in new sockets. Default: false.
    pub fn set_ipv6(&self, ipv6: bool) {
        self.shared.core.sockets.lock().ipv6 = ipv6;
    }

    /// Whether sockets linger unless they are told not to: with false the option LINGER is 0 in new
    /// sockets, so that the end of the context waits for nobody. Default: true, LINGER is -1.
    pub fn set_blocky(&self, blocky: bool) {
        self.shared.core.sockets.lock().blocky = blocky;
    }

    /// For how long at most the drop of the last handle, a copy of the context or a socket, waits
    /// until what was sent is with the peers. What is not by then goes on being sent in the
    /// background, within the sockets' LINGER, for as long as the process lives. `None` is as long
    /// as it takes; zero is not at all. Default: `None`.
    ///
    /// ```
    /// # use std::time::{Duration, Instant};
    /// use oxmq::{Context, Push};
    /// let context = Context::new();
    /// context.set_drop_timeout(Some(Duration::ZERO));
    /// let push = Push::new(&context)?;
    /// push.connect("tcp://127.0.0.1:1")?; // nobody is there
    /// push.send("hello")?;
    /// drop((context, push)); // would wait for ever
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_drop_timeout(&self, timeout: Option<Duration>) {
        self.shared.core.sockets.lock().drop_timeout = timeout;
    }

    /// A new socket of any type.
    ///
    /// # Errors
    /// [`SocketError`]: too many sockets, a terminated context, a type that is not built yet.
    pub fn socket(&self, kind: SocketType) -> Result<Socket, SocketError> {
        let socket = self.shared.core.new_core(kind)?;
        Ok(Socket::new(socket, self.shared.clone()))
    }

    /// Ends every blocking call on the context's sockets, now and in future, with `Terminated`
    /// (libzmq's ETERM), and returns at once. The sockets are still to be closed.
    pub fn shutdown(&self) {
        self.shared.core.shutdown();
    }

    /// As [`Context::shutdown`], then waits until all sockets are closed and what they had sent
    /// is with the peers, within their LINGER.
    ///
    /// # Errors
    /// [`TermError::Interrupted`] when a signal arrives; call it again to go on waiting.
    pub fn term(&self) -> Result<(), TermError> {
        self.shared.core.term(None)
    }

    /// As [`Context::term`], for so long at most.
    ///
    /// # Errors
    /// [`TermError::TimedOut`] says what is in the way.
    pub fn term_timeout(&self, timeout: Duration) -> Result<(), TermError> {
        self.shared.core.term(Some(Instant::now() + timeout))
    }

    /// As [`Context::term`], for tasks: the future shuts the context down when it is first polled, and
    /// is ready once all sockets are closed and what they had sent is with the peers, within their
    /// LINGER. It belongs to no executor, and may be dropped at any time, as a time-out does: the
    /// context stays shut down, and may be waited for again.
    ///
    /// Dropping the last handle afterwards does not wait. After a time-out it does, unless
    /// [`Context::set_drop_timeout`] says otherwise.
    ///
    /// ```
    /// use oxmq::{Context, Pull, Push};
    /// # fn block_on<T>(future: impl Future<Output = T>) -> T {
    /// #     struct Unpark(std::thread::Thread);
    /// #     impl std::task::Wake for Unpark {
    /// #         fn wake(self: std::sync::Arc<Self>) {
    /// #             self.0.unpark();
    /// #         }
    /// #     }
    /// #     let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    /// #     let mut future = std::pin::pin!(future);
    /// #     loop {
    /// #         let poll = future.as_mut().poll(&mut std::task::Context::from_waker(&waker));
    /// #         if let std::task::Poll::Ready(value) = poll {
    /// #             return value;
    /// #         }
    /// #         std::thread::park();
    /// #     }
    /// # }
    /// # let run = async {
    /// let context = Context::new();
    /// let pull = Pull::new(&context)?;
    /// let push = Push::new(&context)?;
    /// push.connect(&pull.bind("tcp://127.0.0.1:*")?)?;
    /// push.send_async(["hello"]).await?;
    /// drop(push);
    /// assert_eq!(&pull.recv_async().await?[..], b"hello");
    /// drop(pull);
    /// context.term_async().await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # };
    /// # block_on(run)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`TermError::Forked`] alone.
    pub fn term_async(&self) -> Term {
        Term { core: self.shared.core.clone(), task: 0 }
    }

    /// Runs those of the context's reactors that a thread would wake up for, until they would
    /// sleep again.
    #[cfg(oxmq_sim)]
    #[doc(hidden)]
    pub fn turn(&self) {
        let mut reactors = std::mem::take(&mut self.shared.core.io.lock().reactors);
        for reactor in &mut reactors {
            reactor.simulate();
        }
        self.shared.core.io.lock().reactors.append(&mut reactors);
    }

    /// The next deadline of the context's reactors, in nanoseconds on the world's clock.
    #[cfg(oxmq_sim)]
    #[doc(hidden)]
    pub fn next_deadline(&self) -> Option<u64> {
        let io = self.shared.core.io.lock();
        io.reactors.iter().filter_map(Reactor::next_deadline).map(Instant::as_ns).min()
    }

    /// Connections not yet at their end.
    #[cfg(oxmq_sim)]
    #[doc(hidden)]
    pub fn sessions(&self) -> usize {
        self.shared.core.sessions.load(Ordering::Relaxed)
    }
}

impl Default for Context {
    fn default() -> Context {
        Context::new()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if self.core.is_inherited() {
            // As a socket's: its descriptors are the parent's as well.
            mem::forget(self.core.clone());
        } else if !cfg!(oxmq_sim) {
            self.core.end();
        }
    }
}

/// The future of [`Context::term_async`].
#[must_use = "futures do nothing unless awaited"]
pub struct Term {
    core: Arc<ContextCore>,
    /// Its number among those that wait; 0 before it has been polled.
    task: u64,
}

impl Future for Term {
    type Output = Result<(), TermError>;

    fn poll(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Self::Output> {
        let Term { core, task } = self.get_mut();
        if core.is_inherited() {
            return Poll::Ready(Err(TermError::Forked));
        }
        if *task == 0 {
            core.shutdown();
        }
        let mut copy = None;
        loop {
            let (is_registered, old) = {
                let mut sockets = core.sockets.lock();
                if core.has_ended(&sockets) {
                    break;
                }
                sockets.tasks.register(task, context.waker(), copy.take())
            };
            drop(old);
            if is_registered {
                return Poll::Pending;
            }
            copy = Some(context.waker().clone());
        }
        // Nothing is left for them to do, so that they end at once.
        core.stop_io(true);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Term {
    fn drop(&mut self) {
        if self.task == 0 || self.core.is_inherited() {
            return;
        }
        let left = self.core.sockets.lock().tasks.remove(self.task);
        drop(left);
    }
}

impl ContextCore {
    /// Whether this process was forked after the context was made: nothing of it works here, and
    /// nothing of it must be waited for.
    pub(crate) fn is_inherited(&self) -> bool {
        self.process.0 != fork_generation()
    }

    /// A socket that does not keep the context alive.
    pub(crate) fn new_core(self: &Arc<Self>, kind: SocketType) -> Result<Arc<Core>, SocketError> {
        let pattern = pattern::new(kind);
        if self.is_inherited() {
            return Err(SocketError::Forked);
        }
        let mut sockets = self.sockets.lock();
        if sockets.terminated {
            return Err(SocketError::Terminated);
        }
        if sockets.open.len() >= sockets.max {
            return Err(SocketError::TooManySockets { limit: sockets.max });
        }
        let mut options = Options { ipv6: sockets.ipv6, ..Options::default() };
        if !sockets.blocky || !pattern.lingers() {
            options.linger = 0;
        }
        let socket = Core::new(self.clone(), kind, pattern, options);
        sockets.count += 1;
        let entry = (sockets.count, Arc::downgrade(&socket));
        sockets.open.insert(Arc::as_ptr(&socket).addr(), entry);
        Ok(socket)
    }

    pub(crate) fn inproc(&self) -> &Inproc {
        &self.inproc
    }

    /// The I/O thread with the fewest connections, of those that `affinity` allows: bit 0 is the
    /// first one, and 0 allows all.
    pub(crate) fn least_loaded(&self, affinity: i64) -> io::Result<Arc<Io>> {
        let mut io = self.io.lock();
        if io.stopped {
            return Err(io::ErrorKind::NotConnected.into());
        }
        while io.started.len() < io.wanted {
            let number = io.started.len();
            let thread = Io::new()?;
            let reactor = Reactor::new(thread.clone());
            #[cfg(not(oxmq_sim))]
            let handle =
                Some(spawn_io(io.name(number), io.scheduling.clone(), move || reactor.run())?);
            #[cfg(oxmq_sim)]
            let handle = {
                spawn_io(io.name(number), io.scheduling.clone(), || ())?;
                let mut reactor = reactor;
                reactor.fall_asleep();
                io.reactors.push(reactor);
                None
            };
            io.started.push((thread, handle));
        }
        let allowed = io
            .started
            .iter()
            .enumerate()
            .filter(|(number, _)| affinity == 0 || *number < 64 && affinity >> number & 1 != 0);
        let least = allowed.min_by_key(|(_, (io, _))| io.load.load(Ordering::Relaxed));
        least.map(|(_, (io, _))| io.clone()).ok_or_else(|| {
            let why = "AFFINITY allows none of the context's I/O threads";
            io::Error::new(io::ErrorKind::NotFound, why)
        })
    }

    pub(crate) fn session_started(&self) {
        self.sessions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn session_ended(&self) {
        // AcqRel: `term` must see everything that the session did before its end.
        if self.sessions.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.wake_term();
        }
    }

    pub(crate) fn socket_closed(&self, socket: &Core) {
        let mut sockets = self.sockets.lock();
        sockets.open.remove(&std::ptr::from_ref(socket).addr());
        drop(sockets);
        self.wake_term();
    }

    /// A connection is left to itself: what was sent goes out yet.
    pub(crate) fn lingers(&self, endpoint: &str, session: &Arc<Session>) {
        let mut sockets = self.sockets.lock();
        if sockets.lingering.len() >= sockets.lingering_looked_at {
            sockets.lingering.retain(|(_, session)| session.strong_count() > 0);
            sockets.lingering_looked_at = (sockets.lingering.len() * 2).max(LINGERING_MIN);
        }
        sockets.lingering.push((endpoint.to_owned(), Arc::downgrade(session)));
    }

    fn wake_term(&self) {
        let (threads, tasks, stops) = {
            let mut sockets = self.sockets.lock();
            let stops = sockets.released && self.has_ended(&sockets);
            (sockets.waiting.clone(), sockets.tasks.take(), stops)
        };
        for parker in threads {
            parker.notify();
        }
        tasks.for_each(Waker::wake);
        if stops {
            // One of them may be the caller.
            self.stop_io(false);
        }
    }

    /// Whether all sockets are closed, and all connections at their end.
    fn has_ended(&self, sockets: &Sockets) -> bool {
        // Acquire: pairs with `session_ended`.
        sockets.open.is_empty() && self.sessions.load(Ordering::Acquire) == 0
    }

    /// The last handle is gone.
    fn end(&self) {
        let timeout = self.sockets.lock().drop_timeout;
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        // A panic must not turn into a hang, and an I/O thread must not wait for itself: a task whose
        // last reference is its waker's ends where it is woken.
        if !std::thread::panicking() && !self.is_on_io_thread() {
            loop {
                match self.term(deadline) {
                    // Nobody is left to be told of it.
                    Err(TermError::Interrupted) => {}
                    Err(TermError::TimedOut { .. }) => break,
                    Ok(()) | Err(TermError::Forked) => return,
                }
            }
        }
        self.shutdown();
        self.sockets.lock().released = true;
        self.wake_term();
    }

    fn is_on_io_thread(&self) -> bool {
        let io = self.io.lock();
        let mut threads = io.started.iter().filter_map(|(_, thread)| thread.as_ref());
        threads.any(IoThread::is_current)
    }

    fn shutdown(&self) {
        if self.is_inherited() {
            return;
        }
        let open = {
            let mut sockets = self.sockets.lock();
            sockets.terminated = true;
            sockets.open()
        };
        for socket in open.iter().filter_map(Weak::upgrade) {
            socket.terminate();
        }
    }

    fn term(&self, deadline: Deadline) -> Result<(), TermError> {
        if self.is_inherited() {
            return Err(TermError::Forked);
        }
        // First of all: it blocks signals, so that none is handled unseen.
        let sleeper = Sleeper::new(Events::IN);
        self.shutdown();
        let Ok(mut sleeper) = sleeper else { return Err(self.still_busy()) };
        let ended = loop {
            sleeper.parker.reset();
            {
                let mut sockets = self.sockets.lock();
                if !sockets.waiting.iter().any(|held| Arc::ptr_eq(held, &sleeper.parker)) {
                    sockets.waiting.push(sleeper.parker.clone());
                }
                if self.has_ended(&sockets) {
                    break Ok(());
                }
            }
            match sleeper.sleep(deadline, &mut []) {
                Ok(()) => {}
                Err(Woken::Interrupted) => break Err(TermError::Interrupted),
                Err(Woken::TimedOut) => break Err(self.still_busy()),
            }
        };
        self.sockets.lock().waiting.retain(|held| !Arc::ptr_eq(held, &sleeper.parker));
        drop(sleeper);
        if ended.is_ok() {
            self.stop_io(true);
        }
        ended
    }

    fn still_busy(&self) -> TermError {
        // Each socket's lock is taken without the list's.
        let (open, endpoints) = {
            let sockets = self.sockets.lock();
            let lingering = sockets.lingering.iter();
            let alive = lingering.filter(|(_, session)| session.strong_count() > 0);
            let endpoints: Vec<String> = alive.map(|(endpoint, _)| endpoint.clone()).collect();
            (sockets.open(), endpoints)
        };
        let sockets = open.iter().filter_map(Weak::upgrade).map(|socket| socket.named()).collect();
        TermError::TimedOut { sockets, endpoints }
    }

    /// Ends the I/O threads. `waits`: for their end, unless one of them is the caller.
    fn stop_io(&self, waits: bool) {
        let threads = {
            let mut io = self.io.lock();
            io.stopped = true;
            std::mem::take(&mut io.started)
        };
        for (io, _) in &threads {
            io.post(Job::Stop);
        }
        for (_, thread) in threads {
            // A panic of an I/O thread has been reported by itself.
            if let Some(thread) = thread.filter(|thread| waits && !thread.is_current()) {
                let _ = thread.join();
            }
        }
    }
}
