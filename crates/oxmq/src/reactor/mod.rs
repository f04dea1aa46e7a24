//! The I/O threads: readiness, deadlines, and an inbox for what other threads leave to them.
//!
//! An I/O thread is `loop { reactor.turn(true) }`, and a turn is a plain function, so that a
//! simulator can call it.

mod group;
mod listener;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use slab::Slab;

use crate::asymmetric::{self, ThisThread};
use crate::drive::Work;
use crate::gather;
use crate::session::{Late, Session};
use crate::socket::core::Core;
use crate::sys::{self, Epoll, EventFd, Events, Instant, Interest, TimerFd};
use crate::transport::lookups::Lookups;

pub(crate) use group::Group;
pub(crate) use listener::{Listener, ListenerId};

/// A lease that is not used for this long, or up to twice that, ends: the I/O thread reads again.
pub(crate) const LEASE: Duration = Duration::from_millis(1);

/// As often in a row a turn may find nothing but connections that others drive: they are soon done.
const TURNS_IN_VAIN_MAX: u32 = 8;
/// The pauses after more than that begin with a yield.
const PAUSES_SPENT: u32 = 56;

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
    late: Mutex<LateWrites>,
    pub(crate) lookups: Arc<Lookups>,
}

/// Sessions for which threads have gathered something (see [`gather`]).
struct LateWrites {
    list: Vec<LateWrite>,
    /// The timer runs.
    armed: bool,
    period: Duration,
}

struct LateWrite {
    session: Arc<Session>,
    /// Who has gathered it; `None` if threads have no names here.
    thread: Option<&'static ThisThread>,
    /// How much that had done with sockets when it was last looked.
    works: usize,
    /// [`Session::gathers`] at that time.
    gathers: u8,
    /// So often it was left to its thread.
    looks: u8,
}

impl LateWrite {
    /// Whether it is left to its thread: that has done something since the last look, and has not left
    /// it waiting for several looks already.
    fn is_left(&mut self) -> bool {
        let Some(thread) = self.thread else { return false };
        // Relaxed: a hint.
        let works = thread.works.load(Ordering::Relaxed);
        let is_at_work = std::mem::replace(&mut self.works, works) != works;
        let gathers = self.session.gathers();
        if std::mem::replace(&mut self.gathers, gathers) != gathers {
            self.looks = 0;
        }
        self.looks += 1;
        is_at_work && self.looks <= gather::LOOKS_MAX
    }
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
    groups: BTreeMap<usize, Arc<Group>>,
    ticking: bool,
}

impl Leases {
    fn insert(&mut self, key: usize, group: Arc<Group>) {
        self.groups.insert(key, group);
    }

    fn remove(&mut self, key: usize) {
        self.groups.remove(&key);
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
            late: Mutex::new(LateWrites { list: Vec::new(), armed: false, period: gather::LATE }),
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

    /// Writes for the session unless somebody else does so soon.
    pub(crate) fn write_later(&self, session: &Arc<Session>) {
        let (session, thread) = (session.clone(), asymmetric::me());
        let works = thread.map_or(0, |thread| thread.works.load(Ordering::Relaxed));
        let gathers = session.gathers();
        let mut late = self.late.lock();
        late.list.push(LateWrite { session, thread, works, gathers, looks: 0 });
        if !late.armed {
            late.armed = true;
            late.period = gather::LATE;
            self.late_timer.arm(gather::LATE);
        }
    }

    /// The timer fired: writes what has waited, and goes on watching what has not for long.
    fn write_late(&self) {
        let (list, period) = {
            let mut late = self.late.lock();
            (std::mem::take(&mut late.list), late.period)
        };
        let (mut young, mut due) = (Vec::new(), Vec::new());
        for mut write in list {
            let leave = write.is_left();
            match write.session.take_late(leave) {
                Late::Written => {}
                Late::Young => young.push(write),
                Late::Due => due.push(write.session),
            }
        }
        {
            let mut late = self.late.lock();
            late.list.append(&mut young);
            late.armed = !late.list.is_empty();
            if late.armed {
                let longer = (2 * period).min(gather::LATE_MAX);
                late.period = if due.is_empty() { longer } else { gather::LATE };
                self.late_timer.arm(late.period);
            }
        }
        for session in due {
            session.drive(Work::WRITE);
        }
    }

    /// The thread has ended. What it still has, jobs that came too late among it, would hold it in
    /// turn, for ever.
    fn close(&self) {
        let jobs = self.inbox.lock().take();
        let late = std::mem::take(&mut self.late.lock().list);
        let leases = std::mem::take(&mut self.leases.lock().groups);
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
            self.timer.arm(LEASE);
        }
    }

    fn tick(&self) {
        // Not under the lock: `Group::tick` takes the group's, under which leases are taken.
        let groups = {
            let mut leases = self.leases.lock();
            leases.ticking = false;
            std::mem::take(&mut leases.groups)
        };
        // Who goes through many sockets has use for all of them, and comes to each but now and then.
        let at_work: BTreeSet<_> = groups.values().filter_map(|group| group.used_by()).collect();
        let mut going_on = BTreeMap::new();
        let mut tick_again = false;
        for (key, group) in groups {
            if let Some(lease) = group.tick(at_work.contains(&group.taken_by())) {
                tick_again |= !lease.in_wait;
                going_on.insert(key, group);
            }
        }
        let mut leases = self.leases.lock();
        // They may have been given back and taken again in between.
        going_on.append(&mut leases.groups);
        leases.groups = going_on;
        drop(leases);
        if tick_again {
            self.start_ticking();
        }
    }
}

/// What only the I/O thread has.
pub(crate) struct Reactor {
    io: Arc<Io>,
    timers: BinaryHeap<Reverse<TimerEntry>>,
    timers_made: u64,
    /// With so many timers, those whose sessions are gone are thrown away.
    timers_max: usize,
    /// Sessions to attend to that were being driven elsewhere.
    retry: Vec<Arc<Session>>,
    jobs: Vec<Job>,
    /// So many times in a row all that was ready was driven by others.
    turns_in_vain: u32,
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
            timers: BinaryHeap::new(),
            timers_made: 0,
            timers_max: TIMERS_MAX_FIRST,
            retry: Vec::new(),
            jobs: Vec::new(),
            turns_in_vain: 0,
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
        // What this thread has gathered itself.
        while gather::write_before_waiting() {}
        let timeout = self.timeout(block);
        let mut events = Events::new();
        // An error here is an interrupted wait: the thread's signals are blocked, so a debugger's.
        let waited = self.io.epoll.wait(&mut events, timeout);
        self.io.awake.store(true, Ordering::SeqCst);
        let mut in_vain = waited.is_ok() && events.iter().next().is_some();
        if waited.is_ok() {
            for event in events.iter() {
                in_vain &= event.key >= KEY_GROUP && event.key < KEY_LISTENER;
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
                    key => in_vain &= !self.serve_group((key - KEY_GROUP) as usize),
                }
            }
        }
        self.fire_timers();
        self.work_off();
        self.turns_in_vain = if in_vain { self.turns_in_vain + 1 } else { 0 };
        if self.turns_in_vain > TURNS_IN_VAIN_MAX {
            // Whoever drives may have lost its processor to this thread.
            sys::pause(PAUSES_SPENT + self.turns_in_vain);
        }
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

    /// False: all that is ready there is driven by others.
    fn serve_group(&self, key: usize) -> bool {
        let group = self.io.groups.lock().get(key).cloned().flatten();
        group.is_none_or(|group| group.drive_ready_now())
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
/// False: all that is ready is driven by others.
pub(crate) fn drive_ready(group: &Group, events: &Events) -> bool {
    let mut driven_elsewhere = false;
    let mut any = false;
    for event in events.iter() {
        let session = group.session(event.key);
        let driven = session.is_none_or(|it| it.drive_event(event.readable, event.writable));
        any |= driven;
        driven_elsewhere |= !driven;
    }
    any || !driven_elsewhere
}
