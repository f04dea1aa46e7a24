//! A poller: sockets and descriptors registered once, waited for again and again, at a cost that
//! follows what is ready.
//!
//! # Where a registered socket stands
//!
//! ```text
//!            looked at, nothing: registered as a waiter, under the same lock
//!   CANDIDATE ───────────────────────────────────────────────────────────▶ ARMED
//!    ▲  ▲  │ looked at, ready: reported, and a candidate again               │
//!    │  └──┘                                                                │ the socket
//!    │                                                                      │ notifies: the
//!    │                   TOLD (or on its way there, in the socket's `After`)│ waiter is gone
//!    └──────────────────────────────◀───────────────────────────────────────┘
//!      the next look
//! ```
//!
//! A registration begins as a candidate; changing it makes it one again. A look asks the
//! candidates only, so that what is neither ready nor told of costs nothing. No wake-up is lost:
//! a socket is left ARMED only under the lock under which nothing was found, whoever changes that
//! takes the waiter out under the same lock, and tells ([`Told`]) before the waiting thread's
//! parker is notified; that thread resets its parker before it looks.
//!
//! # Who touches what
//!
//! - [`Items`] (the registrations): any thread that registers, and the one that waits. Its lock is
//!   not held while a socket is asked, for what asking leaves to do may call back; so what was
//!   removed meanwhile may have been armed once more, and the look takes that back.
//! - [`Told`]: a leaf lock, taken by whoever notifies, after the socket's lock is released.
//! - The socket's [waiting list](crate::socket::waiters): under the socket's lock, one socket at a
//!   time.
//!
//! # The descriptor
//!
//! [`Poller::fd`] is the epoll of the registered descriptors; with them in it is a [bell](Bell) that
//! rings while there are candidates, or may be. Whoever makes one rings it, after the fact; a look
//! hushes it first, and rings it if candidates are left.
//!
//! Of up to [`LED_SOCKETS_MAX`] sockets the waiting thread leads, as a blocking call does: it
//! drives their connections itself. Of more the I/O threads do.

mod error;
mod items;
mod told;

#[cfg(test)]
mod tests;

use std::io;
use std::os::fd::RawFd;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;

use super::Socket;
use super::poll::{events_of, interest};
use crate::bell::Bell;
use crate::gather;
use crate::pattern::Refusal;
use crate::socket::core::{Core, State};
use crate::socket::wait::{Deadline, Sleeper, Woken};
use crate::socket::waiters::Events;
use crate::sys::{self, Epoll, Instant, PollFd};
use items::{Candidate, Entry, Items, Name, Target};

pub use error::PollerError;
pub(crate) use told::Told;

/// Of up to so many sockets the waiting thread drives the connections itself. Each costs two
/// entries of its lock for every sleep; chosen arbitrarily.
const LED_SOCKETS_MAX: usize = 4;

/// Sockets and descriptors registered once and waited for again and again; the cost of a wait
/// follows how many are ready, not how many are registered. For a few sockets that are not the
/// same from call to call, [`poll`](crate::poll) is simpler.
///
/// Registrations may change at any time, from any thread, also while another waits; one thread
/// waits at a time. The sockets stay free for use by all threads. What is ready is reported by
/// every wait until it is so no more (level-triggered).
///
/// ```
/// use oxmq::{Context, Events, Poller, PollerEvent, Pull, Push};
/// let context = Context::new();
/// let (tasks, results) = (Pull::new(&context)?, Pull::new(&context)?);
/// tasks.bind("inproc://tasks")?;
/// results.bind("inproc://results")?;
/// let poller = Poller::new();
/// poller.add(&tasks, Events::IN, 1)?;
/// poller.add(&results, Events::IN, 2)?;
///
/// let push = Push::new(&context)?;
/// push.connect("inproc://results")?;
/// push.send("42")?;
/// let mut events = Vec::new();
/// assert_eq!(poller.wait(&mut events, None)?, 1);
/// assert_eq!(events, [PollerEvent { token: 2, ready: Events::IN }]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Poller {
    told: Arc<Told>,
    items: Mutex<Items>,
    /// The descriptors; made with the first of them.
    epoll: OnceLock<Epoll>,
    /// The process that made it, as against its forked children.
    process: u64,
    /// How many times a socket was asked.
    #[cfg(test)]
    asked: std::sync::atomic::AtomicUsize,
}

/// One thing that is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PollerEvent {
    /// What it was registered with.
    pub token: usize,
    /// What of that which is waited for can be done; of a descriptor also [`Events::ERROR`].
    pub ready: Events,
}

impl Poller {
    /// A poller with nothing registered.
    pub fn new() -> Poller {
        Poller {
            told: Arc::default(),
            items: Mutex::default(),
            epoll: OnceLock::new(),
            process: sys::fork_generation(),
            #[cfg(test)]
            asked: std::sync::atomic::AtomicUsize::new(0),
        }
    }

    /// How many sockets and descriptors are registered. (In a child forked since, none.)
    pub fn len(&self) -> usize {
        if self.is_inherited() { 0 } else { self.items.lock().len() }
    }

    /// Whether nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether this process was forked after the poller was made: its locks may be held by threads
    /// that stayed with the parent, and its descriptors are the parent's, too.
    fn is_inherited(&self) -> bool {
        self.process != sys::fork_generation()
    }

    fn check(&self) -> Result<(), PollerError> {
        if self.is_inherited() { Err(PollerError::Forked) } else { Ok(()) }
    }

    // Registering.

    /// Waits for events of a socket from now on. `token` is what reports of it carry; none at all
    /// ([`Events::NONE`]) may be waited for, so that only its end is reported.
    ///
    /// # Errors
    /// [`PollerError::AlreadyAdded`]; a closed socket, a terminated context.
    pub fn add(
        &self,
        socket: &impl AsRef<Socket>,
        events: Events,
        token: usize,
    ) -> Result<(), PollerError> {
        self.check()?;
        let core = socket.as_ref().core();
        let begun = core.with(|state| {
            state.check()?;
            state.pipes.pollers += 1;
            Ok(state.waiters.new_id())
        });
        let id = begun.map_err(|refusal| refused(refusal, token))?;
        let target = Target::Socket(core.clone(), id);
        if self.items.lock().insert(Name::of(core), target, events, token).is_none() {
            leave(core, id);
            return Err(PollerError::AlreadyAdded);
        }
        self.told.nudge();
        Ok(())
    }

    /// Waits for a descriptor to be readable (`IN`) or writable (`OUT`) from now on; errors and
    /// hang-ups are reported in any case. It must be removed before it is closed: the system
    /// forgets what is closed, unseen.
    ///
    /// # Errors
    /// [`PollerError::AlreadyAdded`]; the system cannot wait for it, or has no descriptor left.
    pub fn add_fd(&self, fd: RawFd, events: Events, token: usize) -> Result<(), PollerError> {
        self.check()?;
        let epoll = self.epoll().map_err(PollerError::System)?;
        let name = Name::Descriptor(fd);
        let inserted = self.items.lock().insert(name, Target::Descriptor(fd), events, token);
        let key = inserted.ok_or(PollerError::AlreadyAdded)?;
        match epoll.add(fd, key, interest(events)) {
            Ok(()) => {}
            // A file of the disk: poll(2) says that it is always ready, and so do we.
            Err(error) if error.raw_os_error() == Some(libc::EPERM) => {
                self.items.lock().add_always_ready(key);
            }
            Err(error) => {
                self.items.lock().remove(name);
                return Err(PollerError::System(error));
            }
        }
        self.told.nudge();
        Ok(())
    }

    /// Waits for other events of a socket from now on.
    ///
    /// # Errors
    /// [`PollerError::NotRegistered`].
    pub fn modify(&self, socket: &impl AsRef<Socket>, events: Events) -> Result<(), PollerError> {
        self.check()?;
        let name = Name::of(socket.as_ref().core());
        self.items.lock().modify(name, events).ok_or(PollerError::NotRegistered)?;
        self.told.nudge();
        Ok(())
    }

    /// Waits for other events of a descriptor from now on.
    ///
    /// # Errors
    /// [`PollerError::NotRegistered`]; the descriptor is closed.
    pub fn modify_fd(&self, fd: RawFd, events: Events) -> Result<(), PollerError> {
        self.check()?;
        let name = Name::Descriptor(fd);
        let modified = self.items.lock().modify(name, events);
        let key = modified.ok_or(PollerError::NotRegistered)?;
        match self.epoll.get().map(|epoll| epoll.modify(fd, key, interest(events))) {
            // EPERM: it is always ready, and not in there.
            Some(Err(error)) if error.raw_os_error() != Some(libc::EPERM) => {
                return Err(PollerError::System(error));
            }
            _ => {}
        }
        self.told.nudge();
        Ok(())
    }

    /// Forgets a socket. Waits that begin after this do not report it.
    ///
    /// # Errors
    /// [`PollerError::NotRegistered`].
    pub fn remove(&self, socket: &impl AsRef<Socket>) -> Result<(), PollerError> {
        self.check()?;
        let removed = self.items.lock().remove(Name::of(socket.as_ref().core()));
        leave_entry(&removed.ok_or(PollerError::NotRegistered)?);
        // A thread that drives its connections stops doing so.
        self.told.nudge();
        Ok(())
    }

    /// Forgets a descriptor.
    ///
    /// # Errors
    /// [`PollerError::NotRegistered`].
    pub fn remove_fd(&self, fd: RawFd) -> Result<(), PollerError> {
        self.check()?;
        let removed = self.items.lock().remove(Name::Descriptor(fd));
        removed.ok_or(PollerError::NotRegistered)?;
        if let Some(epoll) = self.epoll.get() {
            // Closed already, or always ready: not in there.
            let _ = epoll.remove(fd);
        }
        Ok(())
    }

    fn epoll(&self) -> io::Result<&Epoll> {
        if let Some(epoll) = self.epoll.get() {
            return Ok(epoll);
        }
        let made = Epoll::new()?;
        Ok(self.epoll.get_or_init(|| made))
    }

    // Waiting.

    /// A descriptor that is readable whenever [`Poller::wait`] would report something, for event
    /// loops that wait by descriptors: when it is, wait with a timeout of 0. It may be readable for
    /// nothing; after a wait that found nothing it is not. It is the poller's own, and there is
    /// nothing else to be done with it.
    ///
    /// It makes every change of what is ready cost a system call, as long as the poller lives.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use oxmq::{Context, Events, Pair, PollItem, Poller, poll};
    /// let context = Context::new();
    /// let (a, b) = (Pair::new(&context)?, Pair::new(&context)?);
    /// a.bind("inproc://loop")?;
    /// b.connect("inproc://loop")?;
    /// let poller = Poller::new();
    /// poller.add(&a, Events::IN, 1)?;
    /// b.send("ready")?;
    /// // What a foreign loop does.
    /// assert_eq!(poll(&mut [PollItem::descriptor(poller.fd()?, Events::IN)], None)?, 1);
    /// let mut events = Vec::new();
    /// assert_eq!(poller.wait(&mut events, Some(Duration::ZERO))?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`PollerError::System`]: no descriptor is left. [`PollerError::Forked`].
    pub fn fd(&self) -> Result<RawFd, PollerError> {
        self.check()?;
        let epoll = self.epoll().map_err(PollerError::System)?;
        if self.told.bell().is_none() {
            let bell = Bell::new().map_err(PollerError::System)?;
            let added = epoll.add(bell.fd(), items::NO_KEY, sys::Interest::READ);
            added.map_err(PollerError::System)?;
            if let Err(other) = self.told.set_bell(bell) {
                let _ = epoll.remove(other.fd());
            }
        }
        Ok(epoll.raw())
    }

    /// Waits until something registered is ready, for `timeout` at most (`None`: for ever), and
    /// replaces `events` by what is. Says how many that are; 0 when the time is over. With nothing
    /// registered it waits until another thread registers something that is ready.
    ///
    /// # Errors
    /// [`PollerError`]: a signal, a terminated context, a closed socket (which is forgotten with
    /// this), another thread that waits already, a poller of the parent process. `events` is empty
    /// then, and nothing is lost: what is ready is reported by the next wait.
    pub fn wait(
        &self,
        events: &mut Vec<PollerEvent>,
        timeout: Option<Duration>,
    ) -> Result<usize, PollerError> {
        events.clear();
        self.check()?;
        let _turn = Turn::begin(self)?;
        let waited = self.wait_alone(events, timeout);
        if waited.is_err() {
            events.clear();
        }
        waited.map(|()| events.len())
    }

    fn wait_alone(
        &self,
        events: &mut Vec<PollerEvent>,
        timeout: Option<Duration>,
    ) -> Result<(), PollerError> {
        self.look(events)?;
        while events.is_empty() && gather::end_burst() {
            self.look(events)?;
        }
        if !events.is_empty() || timeout == Some(Duration::ZERO) {
            return Ok(());
        }
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        // Signals are blocked from here on: one that comes ends the wait, whenever it comes.
        let mut sleeper = Sleeper::new(Events::IN).map_err(|_| {
            PollerError::System(io::Error::other("no descriptor is left to wait on"))
        })?;
        self.told.set_waiting(Some(sleeper.parker.clone()));
        loop {
            sleeper.parker.reset();
            self.look(events)?;
            if !events.is_empty() {
                return Ok(());
            }
            match self.sleep(&mut sleeper, deadline) {
                Ok(()) => {}
                Err(Woken::Interrupted) => return Err(PollerError::Interrupted),
                Err(Woken::TimedOut) => return self.look(events),
            }
        }
    }

    /// Sleeps until told, or until a descriptor is ready; drives the connections of few sockets.
    fn sleep(&self, sleeper: &mut Sleeper, deadline: Deadline) -> Result<(), Woken> {
        let few = self.items.lock().few_sockets(LED_SOCKETS_MAX);
        let lead = Lead::take(few, sleeper);
        let epoll = self.epoll.get().map(|epoll| PollFd::new(epoll.raw(), sys::Interest::READ));
        let mut extra: Vec<PollFd> = epoll.into_iter().collect();
        let slept =
            if lead.finds_first(sleeper) { Ok(()) } else { sleeper.sleep(deadline, &mut extra) };
        sleeper.release_groups(true);
        lead.end();
        slept
    }

    /// Looks at the candidates and the descriptors, without waiting.
    fn look(&self, events: &mut Vec<PollerEvent>) -> Result<(), PollerError> {
        if let Some(bell) = self.told.bell() {
            bell.hush();
        }
        let candidates = self.items.lock().take_candidates(&self.told);
        let looked = match self.look_at_sockets(&candidates, events) {
            Ok(()) => self.look_at_descriptors(events).map_err(PollerError::System),
            error => error,
        };
        if self.told.bell().is_some() && self.items.lock().is_unsettled() {
            self.told.ring();
        }
        looked
    }

    fn look_at_sockets(
        &self,
        candidates: &[Candidate],
        events: &mut Vec<PollerEvent>,
    ) -> Result<(), PollerError> {
        let mut error = None;
        for candidate in candidates {
            let found = self.ask(candidate);
            let mut items = self.items.lock();
            let Some(entry) = items.get(candidate.key) else {
                // Removed meanwhile. It may have been armed since.
                drop(items);
                let (core, id) = (&candidate.core, candidate.id);
                drop(core.with(|state| state.end_wait(id, Events::NONE)));
                continue;
            };
            let token = entry.token;
            match found {
                // Nothing, and it will tell.
                Ok(ready) if ready.is_empty() => {}
                Ok(ready) => {
                    // Other events may be wanted by now; then it is among the candidates.
                    if entry.wanted == candidate.wanted {
                        events.push(PollerEvent { token, ready });
                    }
                    items.queue(candidate.key);
                }
                Err(Refusal::Closed) => {
                    items.remove(Name::of(&candidate.core));
                    error = Some(PollerError::Closed { token });
                }
                Err(refusal) => {
                    items.queue(candidate.key);
                    error = Some(refused(refusal, token));
                }
            }
        }
        error.map_or(Ok(()), Err)
    }

    /// What of the wanted can be done now with a socket; if nothing, it will tell.
    fn ask(&self, candidate: &Candidate) -> Result<Events, Refusal> {
        #[cfg(test)]
        self.asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        candidate.core.retry_after_resume(|state| {
            state.check()?;
            let ready = state.pattern.events(&mut state.pipes).and(candidate.wanted);
            if !ready.is_empty() {
                return Ok(ready);
            }
            if state.pipes.after.resumes() {
                // A connection is about to read on: once more after that.
                return Err(Refusal::Again);
            }
            let State { waiters, .. } = state;
            waiters.register_poller(candidate.id, candidate.wanted, &self.told, candidate.key);
            Ok(Events::NONE)
        })
    }

    fn look_at_descriptors(&self, events: &mut Vec<PollerEvent>) -> io::Result<()> {
        let Some(epoll) = self.epoll.get() else { return Ok(()) };
        let mut found = sys::Events::new();
        match epoll.wait(&mut found, Some(Duration::ZERO)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        let items = self.items.lock();
        let (mut tokens, mut fds) = (Vec::new(), Vec::new());
        for event in found.iter() {
            if let Some(Entry { target: Target::Descriptor(fd), wanted, token, .. }) =
                items.get(event.key)
            {
                tokens.push(*token);
                fds.push(PollFd::new(*fd, interest(*wanted)));
            }
        }
        for entry in items.always_ready() {
            let ready = entry.wanted.and(Events::IN | Events::OUT);
            if !ready.is_empty() {
                events.push(PollerEvent { token: entry.token, ready });
            }
        }
        drop(items);
        if fds.is_empty() {
            return Ok(());
        }
        // An epoll does not tell errors from readiness as poll(2) does.
        sys::poll(&mut fds, Some(Duration::ZERO), None)?;
        let ready = tokens.into_iter().zip(&fds).filter(|(_, fd)| fd.is_ready());
        events.extend(ready.map(|(token, fd)| PollerEvent { token, ready: events_of(fd) }));
        Ok(())
    }
}

impl Default for Poller {
    fn default() -> Poller {
        Poller::new()
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        if self.is_inherited() {
            // It may be half changed, and the sockets in it are not ours to drop.
            return std::mem::forget(std::mem::take(self.items.get_mut()));
        }
        let entries = self.items.lock().take_all();
        entries.iter().for_each(leave_entry);
    }
}

fn leave_entry(entry: &Entry) {
    if let Target::Socket(core, id) = &entry.target {
        leave(core, *id);
    }
}

/// The poller is done with the socket.
fn leave(core: &Core, id: u64) {
    drop(core.with(|state| {
        state.pipes.pollers = state.pipes.pollers.saturating_sub(1);
        state.end_wait(id, Events::NONE)
    }));
}

fn refused(refusal: Refusal, token: usize) -> PollerError {
    match refusal {
        Refusal::Terminated => PollerError::Terminated,
        Refusal::Forked => PollerError::Forked,
        _ => PollerError::Closed { token },
    }
}

/// The stay of the one thread that waits.
struct Turn<'a>(&'a Poller);

impl<'a> Turn<'a> {
    fn begin(poller: &'a Poller) -> Result<Turn<'a>, PollerError> {
        let mut items = poller.items.lock();
        if items.waited_for {
            return Err(PollerError::Busy);
        }
        items.waited_for = true;
        Ok(Turn(poller))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.told.set_waiting(None);
        self.0.items.lock().waited_for = false;
    }
}

/// The sockets whose connections the waiting thread drives.
struct Lead {
    sockets: Vec<(Arc<Core>, u64)>,
    spins: bool,
    /// How many messages all of them have received.
    messages: u64,
}

impl Lead {
    /// Takes over the connections of those of the sockets that nobody else leads.
    fn take(sockets: Vec<(Arc<Core>, u64)>, sleeper: &mut Sleeper) -> Lead {
        let mut spins = false;
        let mut messages = 0_u64;
        let mut groups = Vec::new();
        for (core, id) in &sockets {
            let leads = core.with(|state| {
                spins |= state.options.spin;
                messages = messages.wrapping_add(state.received);
                state.waiters.lead(*id)
            });
            if leads {
                groups.extend(core.groups());
            }
        }
        sleeper.take_groups(groups);
        Lead { sockets, spins, messages }
    }

    /// As [`Sleeper::finds_first`].
    fn finds_first(&self, sleeper: &mut Sleeper) -> bool {
        let Some((core, _)) = self.sockets.first() else { return false };
        self.spins && sleeper.finds_first(&core.spin, self.messages)
    }

    fn end(self) {
        for (core, id) in &self.sockets {
            core.with(|state| state.waiters.end_lead(*id, state.pipes.after.wakes()));
        }
    }
}
