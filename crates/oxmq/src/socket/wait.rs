//! Blocking calls: `loop { try; park }`.
//!
//! A parked thread is registered with its socket (under the lock under which its try failed).
//! The first to be registered leads: it takes the socket's connections over from the I/O threads,
//! polls them for a while if that is likely to pay, and sleeps on their epoll groups; the others
//! sleep until they are told. All sleep in `ppoll`, with signals blocked outside it from the first
//! failed try on, so that a signal at any moment of the wait ends it. (One that is handled before
//! that came before the wait, as for any system call.)

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::drive::Work;
use crate::gather;
use crate::parker::Parker;
use crate::pattern::Refusal;
use crate::reactor::{Group, LEASE};
use crate::session::Session;
use crate::socket::core::{Core, State};
use crate::socket::spin::{self, BeforeSleep, Spin};
use crate::socket::waiters::Events;
use crate::sys::{self, Instant, Interest, PollFd, SignalMask};

/// With more connections than this, polling looks at their epoll instead of each of them.
const POLLED_SESSIONS_MAX: usize = 4;

/// So many groups are given back at once after a long sleep: two system calls for each.
const GIVEN_BACK_MAX: usize = 4;

/// Why a wait ended without what was waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Woken {
    Interrupted,
    TimedOut,
}

/// What a blocking call can end with, apart from success.
pub(crate) enum Blocked {
    Refused(Refusal),
    Woken(Woken),
}

/// When a call gives up: `None` is never.
pub(crate) type Deadline = Option<Instant>;

/// The deadline for a libzmq time-out in milliseconds (−1: none).
pub(crate) fn deadline_in_ms(timeout_ms: i32) -> Deadline {
    u64::try_from(timeout_ms).ok().map(|ms| Instant::now() + Duration::from_millis(ms))
}

impl Core {
    /// Runs `attempt` until it says something else than "again".
    pub(crate) fn block_on<T>(
        &self,
        events: Events,
        deadline: Deadline,
        mut attempt: impl FnMut(&mut State) -> Result<T, Refusal>,
    ) -> Result<T, Blocked> {
        match self.retry_after_resume(&mut attempt) {
            Err(Refusal::Again) => {}
            done => return done.map_err(Blocked::Refused),
        }
        // Signals are blocked from here on: none is handled unseen while the call still works.
        let mut wait = Wait::new(self, events).map_err(Blocked::Woken)?;
        // Often what is wanted only waits to be read or written by whoever comes.
        if self.drive_few() {
            match self.retry_after_resume(&mut attempt) {
                Err(Refusal::Again) => {}
                done => return done.map_err(Blocked::Refused),
            }
        }
        loop {
            let tried = self.retry_after_resume(|state| match attempt(state) {
                Err(Refusal::Again) => {
                    wait.register(state);
                    Err(Refusal::Again)
                }
                done => done,
            });
            match tried {
                Err(Refusal::Again) => wait.park(deadline).map_err(Blocked::Woken)?,
                done => return done.map_err(Blocked::Refused),
            }
        }
    }

    /// Drives the connections of a socket that has but a few. False: it has many, or none.
    fn drive_few(&self) -> bool {
        let mut sessions = Vec::new();
        for group in self.groups() {
            if !group.few_sessions(POLLED_SESSIONS_MAX, &mut sessions) {
                return false;
            }
            group.use_lease();
        }
        for session in &sessions {
            session.drive(Work::BOTH);
        }
        !sessions.is_empty()
    }
}

/// One blocking call's stay in the waiting list of one socket.
struct Wait<'a> {
    core: &'a Core,
    events: Events,
    id: u64,
    leads: bool,
    messages: u64,
    spins: bool,
    sleeper: Sleeper,
}

impl<'a> Wait<'a> {
    fn new(core: &'a Core, events: Events) -> Result<Wait<'a>, Woken> {
        let sleeper = Sleeper::new(events)?;
        Ok(Wait { core, events, id: 0, leads: false, messages: 0, spins: false, sleeper })
    }

    /// Under the lock, after a try that failed.
    fn register(&mut self, state: &mut State) {
        self.sleeper.parker.reset();
        if self.id == 0 {
            self.id = state.waiters.new_id();
        }
        let parker = &self.sleeper.parker;
        self.leads = state.waiters.register_thread(self.id, self.events, true, parker);
        self.messages = state.received;
        self.spins = state.options.spin;
    }

    /// Waits until the thread is notified.
    fn park(&mut self, deadline: Deadline) -> Result<(), Woken> {
        self.sleeper.release_groups(true);
        if self.leads {
            self.sleeper.take_groups(self.core.groups());
        }
        if self.spins && self.sleeper.finds_first(&self.core.spin, self.messages) {
            return Ok(());
        }
        self.sleeper.sleep(deadline, &mut [])
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.sleeper.release_groups(true);
        if self.id != 0 {
            drop(self.core.with(|state| state.end_wait(self.id, self.events)));
        }
    }
}

/// A thread in a blocking call: its signals blocked, its parker, and the connections it has taken
/// over.
pub(crate) struct Sleeper {
    pub(crate) parker: Arc<Parker>,
    groups: Vec<Arc<Group>>,
    /// All the sessions of the groups, if they are few.
    sessions: Vec<Arc<Session>>,
    /// The last sleep was a long one: the next message may be as long in coming.
    slept_long: bool,
    signals: SignalMask,
    /// What is to be blocked while it sleeps, if not what was blocked before.
    pub(crate) mask: Option<SignalMask>,
}

impl Sleeper {
    /// For a wait for `events`.
    pub(crate) fn new(events: Events) -> Result<Sleeper, Woken> {
        while gather::write_before_waiting_for(events) {}
        let signals = SignalMask::block_all();
        match Parker::current() {
            Ok(parker) => Ok(Sleeper {
                parker,
                groups: Vec::new(),
                sessions: Vec::new(),
                slept_long: false,
                signals,
                mask: None,
            }),
            // No descriptor to sleep on is left: the call cannot wait.
            Err(_) => {
                signals.restore();
                Err(Woken::TimedOut)
            }
        }
    }

    /// Reads these connections in place of their I/O threads.
    pub(crate) fn take_groups(&mut self, groups: Vec<Arc<Group>>) {
        self.groups = groups;
        self.groups.retain(Group::take);
        self.list_sessions();
    }

    fn list_sessions(&mut self) {
        self.sessions.clear();
        for group in &self.groups {
            let few = group.few_sessions(POLLED_SESSIONS_MAX, &mut self.sessions);
            if !few || self.sessions.len() > POLLED_SESSIONS_MAX {
                self.sessions.clear();
                break;
            }
        }
    }

    /// The I/O threads read again; at once, or when the caller does not come back soon (`keep`).
    pub(crate) fn release_groups(&mut self, keep: bool) {
        // With several I/O threads a lease would keep all but one of them from reading.
        let first = self.groups.first().map(|group| group.io());
        let same = |group: &Arc<Group>| first.is_some_and(|io| Arc::ptr_eq(group.io(), io));
        // Nor does it pay where messages are rare: it ends by a timer, and that wakes a thread. To give
        // many groups back and take them again costs more than that.
        let rare = self.slept_long && self.groups.len() <= GIVEN_BACK_MAX;
        let keep = keep && !rare && self.groups.iter().all(same);
        for group in self.groups.drain(..) {
            group.end_wait(keep);
        }
    }

    /// Does what is likely to pay before a sleep. `messages`: how many the caller's sockets, whose rule
    /// `spin` is, have received. True: the thread was notified.
    pub(crate) fn finds_first(&mut self, spin: &Spin, messages: u64) -> bool {
        match spin.before_sleep(messages) {
            BeforeSleep::Nothing => false,
            BeforeSleep::Yield => {
                spin::let_others_work();
                false
            }
            BeforeSleep::Poll(budget) => {
                let found = self.poll_for(budget);
                spin.learn(found);
                found
            }
        }
    }

    /// Polls without sleeping. True: the thread was notified.
    fn poll_for(&mut self, budget: Duration) -> bool {
        let start = Instant::now();
        loop {
            if self.parker.is_notified() {
                return true;
            }
            if self.groups.is_empty() {
                for _ in 0..32 {
                    std::hint::spin_loop();
                }
            } else if self.sessions.is_empty() {
                self.drive_groups_now();
            } else {
                for session in &self.sessions {
                    session.drive(Work::READ);
                }
            }
            if self.parker.is_notified() {
                return true;
            }
            if Instant::now().saturating_since(start) > budget {
                return false;
            }
            // Whoever makes what is waited for may need this processor.
            spin::let_others_work();
        }
    }

    /// Sleeps until the thread is notified, or one of the `extra` descriptors is ready.
    pub(crate) fn sleep(&mut self, deadline: Deadline, extra: &mut [PollFd]) -> Result<(), Woken> {
        let start = Instant::now();
        let slept = self.sleep_until_told(deadline, extra);
        self.slept_long = Instant::now().saturating_since(start) > LEASE;
        slept
    }

    fn sleep_until_told(&mut self, deadline: Deadline, extra: &mut [PollFd]) -> Result<(), Woken> {
        let mut fds = Vec::with_capacity(1 + self.groups.len() + extra.len());
        while self.parker.prepare_sleep() {
            let timeout = match deadline {
                None => None,
                Some(deadline) => {
                    let left = deadline.saturating_since(Instant::now());
                    if left.is_zero() {
                        self.parker.end_sleep();
                        return Err(Woken::TimedOut);
                    }
                    Some(left)
                }
            };
            fds.clear();
            fds.push(PollFd::new(self.parker.wake.raw(), Interest::READ));
            fds.extend(self.groups.iter().map(|group| PollFd::new(group.raw(), Interest::READ)));
            fds.extend_from_slice(extra);
            let polled =
                sys::poll(&mut fds, timeout, Some(self.mask.as_ref().unwrap_or(&self.signals)));
            self.parker.end_sleep();
            if fds[0].is_ready() {
                self.parker.wake.drain();
            }
            match polled {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    return Err(Woken::Interrupted);
                }
                Err(_) => return Ok(()),
                Ok(_) => {}
            }
            let (groups, others) = fds[1..].split_at(self.groups.len());
            extra.copy_from_slice(others);
            if groups.iter().any(PollFd::is_ready) {
                // Connections may have come and gone while the thread slept.
                self.list_sessions();
                self.drive_groups(groups);
            }
            if extra.iter().any(PollFd::is_ready) {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Drives what is ready in those of the groups taken that `polled` says are.
    fn drive_groups(&self, polled: &[PollFd]) {
        if let [session] = &self.sessions[..] {
            session.drive(Work::BOTH);
            return;
        }
        let ready = self.groups.iter().zip(polled).filter(|(_, polled)| polled.is_ready());
        for (group, _) in ready {
            group.drive_ready_now();
        }
    }

    /// Drives what is ready now in the groups taken.
    fn drive_groups_now(&self) {
        if let [group] = &self.groups[..] {
            group.drive_ready_now();
            return;
        }
        let readable = |group: &Arc<Group>| PollFd::new(group.raw(), Interest::READ);
        let mut fds: Vec<PollFd> = self.groups.iter().map(readable).collect();
        if sys::poll(&mut fds, Some(Duration::ZERO), None).is_ok() {
            self.drive_groups(&fds);
        }
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.release_groups(false);
        self.signals.restore();
    }
}
