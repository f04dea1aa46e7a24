//! Waiting for several sockets and descriptors at once.

use std::os::fd::RawFd;
use std::time::Duration;

use super::Socket;
use crate::error::PollError;
use crate::gather;
use crate::pattern::Refusal;
use crate::socket::wait::{Sleeper, Woken};
use crate::socket::waiters::Events;
use crate::sys::{self, Instant, Interest, PollFd, SignalMask};

/// One thing to wait for, and what of it is ready.
pub struct PollItem<'a> {
    target: Target<'a>,
    wanted: Events,
    ready: Events,
}

enum Target<'a> {
    Socket(&'a Socket),
    Descriptor(RawFd),
}

impl<'a> PollItem<'a> {
    /// Waits for events of a socket.
    pub fn socket(socket: &'a impl AsRef<Socket>, wanted: Events) -> PollItem<'a> {
        let target = Target::Socket(socket.as_ref());
        PollItem { target, wanted, ready: Events::NONE }
    }

    /// Waits for a descriptor to be readable (`IN`) or writable (`OUT`); errors and hang-ups are
    /// reported in any case ([`Events::ERROR`]).
    pub fn descriptor(fd: RawFd, wanted: Events) -> PollItem<'a> {
        PollItem { target: Target::Descriptor(fd), wanted, ready: Events::NONE }
    }

    /// What was ready when [`poll`] returned.
    pub fn ready(&self) -> Events {
        self.ready
    }
}

/// Waits until at least one of `items` is ready, for `timeout` at most (`None`: for ever), and
/// says how many are; 0 when the time is over.
///
/// ```
/// use oxmq::{Context, Events, Pair, PollItem, poll};
/// let context = Context::new();
/// let (a, b) = (Pair::new(&context)?, Pair::new(&context)?);
/// a.bind("inproc://poll")?;
/// b.connect("inproc://poll")?;
/// b.send("ready")?;
/// let mut items = [PollItem::socket(&a, Events::IN)];
/// assert_eq!(poll(&mut items, None)?, 1);
/// assert_eq!(items[0].ready(), Events::IN);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`PollError`]: a signal, a closed socket, a terminated context.
pub fn poll(items: &mut [PollItem<'_>], timeout: Option<Duration>) -> Result<usize, PollError> {
    poll_masked(items, timeout, None)
}

/// As [`poll`]; while it waits, `mask` says which signals are blocked.
pub(crate) fn poll_masked(
    items: &mut [PollItem<'_>],
    timeout: Option<Duration>,
    mask: Option<SignalMask>,
) -> Result<usize, PollError> {
    let mut ready = check(items)?;
    while ready == 0 && gather::end_burst() {
        ready = check(items)?;
    }
    if ready > 0 || timeout == Some(Duration::ZERO) {
        return Ok(ready);
    }
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let mut wait = PollWait::new(items)?;
    wait.sleeper.mask = mask;
    loop {
        wait.register();
        let ready = check(wait.items)?;
        if ready > 0 {
            return Ok(ready);
        }
        match wait.sleep(deadline) {
            Ok(()) => {}
            Err(Woken::Interrupted) => return Err(PollError::Interrupted),
            Err(Woken::TimedOut) => return check(wait.items),
        }
    }
}

/// Looks at every item, without waiting.
fn check(items: &mut [PollItem<'_>]) -> Result<usize, PollError> {
    let mut fds = Vec::new();
    for item in items.iter_mut() {
        match item.target {
            Target::Socket(socket) => {
                let events = socket.core().events().map_err(refused)?;
                item.ready = events.and(item.wanted);
            }
            Target::Descriptor(fd) => fds.push(poll_fd(fd, item.wanted)),
        }
    }
    if !fds.is_empty() {
        sys::poll(&mut fds, Some(Duration::ZERO), None).map_err(failed)?;
        let descriptors =
            items.iter_mut().filter(|item| matches!(item.target, Target::Descriptor(_)));
        for (item, fd) in descriptors.zip(&fds) {
            item.ready = events_of(fd);
        }
    }
    Ok(items.iter().filter(|item| !item.ready.is_empty()).count())
}

/// A thread's stay in the waiting lists of several sockets.
struct PollWait<'a, 'b> {
    items: &'a mut [PollItem<'b>],
    /// The thread's place in each item's waiting list.
    ids: Vec<u64>,
    leads: Vec<bool>,
    sleeper: Sleeper,
    spins: bool,
    /// How many messages all of them have received.
    messages: u64,
}

impl<'a, 'b> PollWait<'a, 'b> {
    fn new(items: &'a mut [PollItem<'b>]) -> Result<PollWait<'a, 'b>, PollError> {
        let sleeper = Sleeper::new(Events::IN).map_err(|_| {
            PollError::System(std::io::Error::other("no descriptor is left to wait on"))
        })?;
        let (ids, leads) = (vec![0; items.len()], vec![false; items.len()]);
        Ok(PollWait { items, ids, leads, sleeper, spins: false, messages: 0 })
    }

    fn register(&mut self) {
        self.sleeper.parker.reset();
        self.spins = false;
        self.messages = 0;
        for ((item, id), leads) in self.items.iter().zip(&mut self.ids).zip(&mut self.leads) {
            let Target::Socket(socket) = item.target else { continue };
            socket.core().with(|state| {
                if *id == 0 {
                    *id = state.waiters.new_id();
                }
                let (waiters, parker) = (&mut state.waiters, &self.sleeper.parker);
                *leads = waiters.register_thread(*id, item.wanted, false, parker);
                self.spins |= state.options.spin;
                self.messages = self.messages.wrapping_add(state.received);
            });
        }
    }

    fn sleep(&mut self, deadline: Option<Instant>) -> Result<(), Woken> {
        self.sleeper.release_groups(true);
        let mut groups = Vec::new();
        let mut first = None;
        for (item, leads) in self.items.iter().zip(&self.leads) {
            let Target::Socket(socket) = item.target else { continue };
            first.get_or_insert(socket);
            if *leads {
                groups.extend(socket.core().groups());
            }
        }
        self.sleeper.take_groups(groups);
        if self.spins
            && let Some(socket) = first
            && self.sleeper.finds_first(&socket.core().spin, self.messages)
        {
            return Ok(());
        }
        let mut fds: Vec<PollFd> = self.items.iter().filter_map(PollItem::poll_fd).collect();
        self.sleeper.sleep(deadline, &mut fds)
    }
}

impl Drop for PollWait<'_, '_> {
    fn drop(&mut self) {
        self.sleeper.release_groups(true);
        for (item, id) in self.items.iter().zip(&self.ids) {
            if let (Target::Socket(socket), true) = (&item.target, *id != 0) {
                drop(socket.core().with(|state| state.end_wait(*id, item.wanted)));
            }
        }
    }
}

impl PollItem<'_> {
    fn poll_fd(&self) -> Option<PollFd> {
        match self.target {
            Target::Descriptor(fd) => Some(poll_fd(fd, self.wanted)),
            Target::Socket(_) => None,
        }
    }
}

pub(super) fn poll_fd(fd: RawFd, wanted: Events) -> PollFd {
    let interest_priority = wanted.intersects(Events::PRIORITY);
    PollFd { interest_priority, ..PollFd::new(fd, interest(wanted)) }
}

pub(super) fn interest(wanted: Events) -> Interest {
    Interest { read: wanted.intersects(Events::IN), write: wanted.intersects(Events::OUT) }
}

pub(super) fn events_of(fd: &PollFd) -> Events {
    let mut events = Events::NONE;
    if fd.readable {
        events |= Events::IN;
    }
    if fd.writable {
        events |= Events::OUT;
    }
    if fd.priority {
        events |= Events::PRIORITY;
    }
    if fd.error {
        events |= Events::ERROR;
    }
    events
}

fn refused(refusal: Refusal) -> PollError {
    match refusal {
        Refusal::Terminated => PollError::Terminated,
        Refusal::Forked => PollError::Forked,
        _ => PollError::Closed,
    }
}

fn failed(error: std::io::Error) -> PollError {
    match error.kind() {
        std::io::ErrorKind::Interrupted => PollError::Interrupted,
        _ => PollError::System(error),
    }
}
