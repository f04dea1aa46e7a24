//! The I/O threads: readiness, deadlines, and an inbox for what other threads leave to them.
//!
//! An I/O thread is `loop { reactor.turn(true) }`, and a turn is a plain function, so that a
//! simulator can call it.

mod group;
mod listener;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use slab::Slab;

use crate::session::Session;
use crate::socket::core::Core;
use crate::sys::{Epoll, EventFd, Events, Instant, Interest, TimerFd};
use crate::transport::lookups::Lookups;

pub(crate) use group::Group;
pub(crate) use listener::{Listener, ListenerId};

/// A lease that is not used for this long ends: the I/O thread reads again.
const TICK: Duration = Duration::from_millis(1);

/// What a streaming sender gathers is written after this at the latest: about the time in which
/// the I/O thread would be awake, had it been woken.
const LATE: Duration = Duration::from_micros(40);
/// The same for a sender who has been streaming for a while: setting a timer costs a microsecond
/// or more, and so does every firing.
const LATE_MAX: Duration = Duration::from_micros(320);

const KEY_LATE: u64 = 2;
const KEY_WAKE: u64 = 0;
const KEY_TICK: u64 = 1;
const KEY_GROUP: u64 = 1 << 32;
const KEY_LISTENER: u64 = 2 << 32;

/// What other threads see of an I/O thread.
pub(crate) struct Io {
    epoll: Epoll,
    wake: EventFd,
    timer: TimerFd,
    /// `None` once the thread has ended.
    inbox: Mutex<Option<Vec<Job>>>,
    /// The thread will look into the inbox before it sleeps.
    awake: AtomicBool,
    /// Connections served.
    pub(crate) load: AtomicUsize,
    groups: Mutex<Slab<Option<Arc<Group>>>>,
    leases: Mutex<Leases>,
    listeners: Mutex<Slab<(ListenerId, Arc<Listener>)>>,
    late_timer: TimerFd,
    late: Mutex<Late>,
    pub(crate) lookups: Arc<Lookups>,
}

/// Sessions whose senders gather, each with the count of its late writes at the last look.
struct Late {
    list: Vec<(Arc<Session>, u32)>,
    /// The timer runs.
    armed: bool,
    period: Duration,
}

/// What is left to an I/O thread.
pub(crate) enum Job {
    /// Read and write, as ready.
    Drive(Arc<Session>),
    /// Orders, deadlines, failures.
    Attend(Arc<Session>),
    /// Forget some more of what peers that are gone had subscribed to.
    Sweep(Weak<Core>),
    Stop,
}

/// The groups that callers have taken over.
#[derive(Default)]
struct Leases {
    list: Vec<(Arc<Group>, u32)>,
    ticking: bool,
}

impl Leases {
    fn push(&mut self, group: &Arc<Group>) {
        self.list.push((group.clone(), 0));
    }

    fn remove(&mut self, group: &Arc<Group>) {
        self.list.retain(|(held, _)| !Arc::ptr_eq(held, group));
    }
}

impl Io {
    pub(crate) fn new() -> io::Result<Arc<Io>> {
        let io = Io {
            epoll: Epoll::new()?,
            wake: EventFd::new()?,
            timer: TimerFd::new()?,
            inbox: Mutex::new(Some(Vec::new())),
            awake: AtomicBool::new(true),
            load: AtomicUsize::new(0),
            groups: Mutex::new(Slab::new()),
            leases: Mutex::new(Leases::default()),
            listeners: Mutex::new(Slab::new()),
            late_timer: TimerFd::new()?,
            late: Mutex::new(Late { list: Vec::new(), armed: false, period: LATE }),
            lookups: Arc::default(),
        };
        io.epoll.add(io.late_timer.raw(), KEY_LATE, Interest::READ)?;
        io.epoll.add(io.wake.raw(), KEY_WAKE, Interest::READ)?;
        io.epoll.add(io.timer.raw(), KEY_TICK, Interest::READ)?;
        Ok(Arc::new(io))
    }

    /// Leaves a job to the thread, and wakes it if it sleeps: once, however many jobs come.
    pub(crate) fn post(&self, job: Job) {
        match &mut *self.inbox.lock() {
            Some(jobs) => jobs.push(job),
            None => return,
        }
        // SeqCst: pairs with the swap in `Reactor::turn`. Either this sees `awake` false and
        // wakes, or the turn sees the job.
        if !self.awake.swap(true, Ordering::SeqCst) {
            self.wake.signal();
        }
    }

    /// Writes for the session unless its sender does so soon.
    pub(crate) fn write_later(&self, session: &Arc<Session>) {
        if !session.mark_late() {
            return;
        }
        let mut late = self.late.lock();
        late.list.push((session.clone(), session.late_writes()));
        if !late.armed {
            late.armed = true;
            late.period = LATE;
            self.late_timer.arm(LATE);
        }
    }

    /// The timer fired: writes for every sender who has stopped, and goes on watching the others,
    /// less and less often.
    fn write_late(&self) {
        let mut stopped = Vec::new();
        {
            let mut late = self.late.lock();
            late.list.retain_mut(|(session, seen)| {
                let writes = session.late_writes();
                let streams = writes != *seen;
                *seen = writes;
                if !streams {
                    stopped.push(session.clone());
                }
                streams
            });
            late.armed = !late.list.is_empty();
            if late.armed {
                late.period = (late.period * 2).min(LATE_MAX);
                self.late_timer.arm(late.period);
            }
        }
        for session in stopped {
            session.drive_late();
        }
    }

    /// The thread has ended. What it still has, jobs that came too late among it, would hold it in
    /// turn, for ever.
    fn close(&self) {
        let jobs = self.inbox.lock().take();
        let late = std::mem::take(&mut self.late.lock().list);
        let leases = std::mem::take(&mut self.leases.lock().list);
        let groups = std::mem::take(&mut *self.groups.lock());
        // Outside the locks: sessions and groups take them as they end.
        drop((jobs, late, leases, groups));
    }

    fn add_group(self: &Arc<Self>) -> io::Result<Arc<Group>> {
        let key = self.groups.lock().insert(None);
        let made = Group::with_key(self, key).and_then(|group| {
            self.epoll.add(group.raw(), KEY_GROUP + key as u64, Interest::READ)?;
            Ok(group)
        });
        let mut groups = self.groups.lock();
        match made {
            Ok(group) => {
                if let Some(place) = groups.get_mut(key) {
                    *place = Some(group.clone());
                }
                Ok(group)
            }
            Err(error) => {
                groups.try_remove(key);
                Err(error)
            }
        }
    }

    fn watch_group(&self, key: usize, group: &Group, watch: bool) {
        let interest = if watch { Interest::READ } else { Interest::NONE };
        let _ = self.epoll.modify(group.raw(), KEY_GROUP + key as u64, interest);
    }

    fn remove_group(&self, key: usize, group: &Arc<Group>) {
        let mut groups = self.groups.lock();
        if groups.get(key).is_some_and(|held| held.as_ref().is_some_and(|g| Arc::ptr_eq(g, group)))
        {
            groups.remove(key);
            drop(groups);
            let _ = self.epoll.remove(group.raw());
        }
    }

    /// A lease goes on without a wait: it must end when it is not used.
    fn start_ticking(&self) {
        let mut leases = self.leases.lock();
        if !leases.ticking {
            leases.ticking = true;
            self.timer.arm(TICK);
        }
    }

    fn tick(&self) {
        // Not under the lock: `Group::tick` takes the group's, under which leases are taken.
        let list = {
            let mut leases = self.leases.lock();
            leases.ticking = false;
            std::mem::take(&mut leases.list)
        };
        let mut going_on = Vec::new();
        let mut tick_again = false;
        for (group, seen) in list {
            if let Some(lease) = group.tick(seen) {
                tick_again |= !lease.in_wait;
                going_on.push((group, lease.uses));
            }
        }
        let mut leases = self.leases.lock();
        for (group, uses) in going_on {
            // It may have been given back and taken again in between.
            if !leases.list.iter().any(|(held, _)| Arc::ptr_eq(held, &group)) {
                leases.list.push((group, uses));
            }
        }
        drop(leases);
        if tick_again {
            self.start_ticking();
        }
    }
}

/// What only the I/O thread has.
pub(crate) struct Reactor {
    io: Arc<Io>,
    events: Box<Events>,
    group_events: Box<Events>,
    timers: BinaryHeap<Reverse<TimerEntry>>,
    timers_made: u64,
    /// With so many timers, those whose sessions are gone are thrown away.
    timers_max: usize,
    /// Sessions to attend to that were being driven elsewhere.
    retry: Vec<Arc<Session>>,
    jobs: Vec<Job>,
    stopped: bool,
}

struct TimerEntry {
    at: Instant,
    /// Makes the order of equal deadlines that of their making.
    number: u64,
    session: TimerFor,
}

enum TimerFor {
    Session(Weak<Session>),
    /// Accepting goes on after descriptors ran out.
    Listener(ListenerId),
}

/// A session that is gone leaves some of its memory with its timers, and these may be for half a
/// minute later: connections that come and go must not gather. Chosen arbitrarily.
const TIMERS_MAX_FIRST: usize = 64;

impl TimerFor {
    fn is_there(&self) -> bool {
        match self {
            TimerFor::Session(session) => session.strong_count() > 0,
            TimerFor::Listener(_) => true,
        }
    }
}

impl PartialEq for TimerEntry {
    fn eq(&self, other: &TimerEntry) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl Eq for TimerEntry {}

impl PartialOrd for TimerEntry {
    fn partial_cmp(&self, other: &TimerEntry) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for TimerEntry {
    fn cmp(&self, other: &TimerEntry) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

impl Reactor {
    pub(crate) fn new(io: Arc<Io>) -> Reactor {
        Reactor {
            io,
            events: Box::new(Events::new()),
            group_events: Box::new(Events::new()),
            timers: BinaryHeap::new(),
            timers_made: 0,
            timers_max: TIMERS_MAX_FIRST,
            retry: Vec::new(),
            jobs: Vec::new(),
            stopped: false,
        }
    }

    /// The life of an I/O thread.
    pub(crate) fn run(mut self) {
        while !self.stopped {
            self.turn(true);
        }
        self.io.close();
    }

    /// What [`Reactor::run`] does from one sleep to the next, if there is a reason to wake up.
    #[cfg(oxmq_sim)]
    pub(crate) fn simulate(&mut self) {
        let is_due = self.next_deadline().is_some_and(|at| at <= Instant::now());
        if !is_due && !crate::sys::sim::would_wake(&self.io.epoll) {
            return;
        }
        self.turn(true);
        while !self.stopped && !self.fall_asleep() {
            self.turn(true);
        }
    }

    /// Announces the sleep. False: there is something to do first.
    #[cfg(oxmq_sim)]
    pub(crate) fn fall_asleep(&mut self) -> bool {
        self.timeout(true) != Some(Duration::ZERO)
    }

    /// When a thread would wake up, if nothing happened before.
    #[cfg(oxmq_sim)]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse(timer)| timer.at)
    }

    /// Sees to all that is ready; waits for it first if `block`.
    pub(crate) fn turn(&mut self, block: bool) {
        let timeout = self.timeout(block);
        let mut events = std::mem::replace(&mut self.events, Box::new(Events::new()));
        // An error here is an interrupted wait: the thread's signals are blocked, so a debugger's.
        let waited = self.io.epoll.wait(&mut events, timeout);
        self.io.awake.store(true, Ordering::SeqCst);
        if waited.is_ok() {
            for event in events.iter() {
                match event.key {
                    KEY_WAKE => self.io.wake.drain(),
                    KEY_LATE => {
                        self.io.late_timer.drain();
                        self.io.write_late();
                    }
                    KEY_TICK => {
                        self.io.timer.drain();
                        self.io.tick();
                    }
                    key if key >= KEY_LISTENER => self.accept((key - KEY_LISTENER) as usize),
                    key => self.serve_group((key - KEY_GROUP) as usize),
                }
            }
        }
        self.events = events;
        self.fire_timers();
        self.work_off();
    }

    fn timeout(&mut self, block: bool) -> Option<Duration> {
        if !block || !self.retry.is_empty() {
            return Some(Duration::ZERO);
        }
        self.io.awake.store(false, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        if self.io.inbox.lock().as_ref().is_some_and(|jobs| !jobs.is_empty()) {
            return Some(Duration::ZERO);
        }
        let Reverse(timer) = self.timers.peek()?;
        Some(timer.at.saturating_since(Instant::now()))
    }

    fn serve_group(&mut self, key: usize) {
        let Some(group) = self.io.groups.lock().get(key).cloned().flatten() else { return };
        if group.epoll().wait(&mut self.group_events, Some(Duration::ZERO)).is_err() {
            return;
        }
        drive_ready(&group, &self.group_events);
    }

    fn work_off(&mut self) {
        for session in std::mem::take(&mut self.retry) {
            self.attend(session);
        }
        let mut jobs = std::mem::take(&mut self.jobs);
        if let Some(inbox) = &mut *self.io.inbox.lock() {
            std::mem::swap(&mut jobs, inbox);
        }
        for job in jobs.drain(..) {
            match job {
                Job::Drive(session) => session.drive_queued(),
                Job::Attend(session) => self.attend(session),
                // A little each turn: others are served in between.
                Job::Sweep(core) => {
                    if core.upgrade().is_some_and(|core| core.sweep()) {
                        self.io.post(Job::Sweep(core));
                    }
                }
                Job::Stop => self.stopped = true,
            }
        }
        self.jobs = jobs;
    }

    fn attend(&mut self, session: Arc<Session>) {
        if !session.attend(self) {
            self.retry.push(session);
        }
    }

    // Deadlines.

    /// The session will be attended to at `at`.
    pub(crate) fn set_timer(&mut self, at: Instant, session: &Arc<Session>) {
        self.push_timer(at, TimerFor::Session(Arc::downgrade(session)));
    }

    fn push_timer(&mut self, at: Instant, session: TimerFor) {
        if self.timers.len() >= self.timers_max {
            self.timers.retain(|Reverse(timer)| timer.session.is_there());
            self.timers_max = TIMERS_MAX_FIRST.max(2 * self.timers.len());
        }
        self.timers_made += 1;
        self.timers.push(Reverse(TimerEntry { at, number: self.timers_made, session }));
    }

    fn fire_timers(&mut self) {
        if self.timers.is_empty() {
            return;
        }
        let now = Instant::now();
        while self.timers.peek().is_some_and(|Reverse(timer)| timer.at <= now) {
            let Some(Reverse(timer)) = self.timers.pop() else { return };
            match timer.session {
                TimerFor::Session(session) => {
                    if let Some(session) = session.upgrade() {
                        self.attend(session);
                    }
                }
                TimerFor::Listener(id) => self.resume_listening(id),
            }
        }
    }
}

/// Drives the connections that an epoll found ready.
pub(crate) fn drive_ready(group: &Group, events: &Events) {
    for event in events.iter() {
        if let Some(session) = group.session(event.key) {
            session.drive_event(event.readable, event.writable);
        }
    }
}
