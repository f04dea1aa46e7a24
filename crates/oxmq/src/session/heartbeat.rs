//! Whether a peer is still there: how long a silent one is believed in, and by what it is judged.
//!
//! Two questions, asked of a connection in `Traffic`:
//!
//! *Does the peer's application answer?* Asked where heartbeats are wanted (HEARTBEAT_IVL), and where
//! the peer has promised to be heard of (its PING's TTL).
//!
//! ```text
//!           PING due                 heard of
//!  Idle ──────────────▶ Asked ─────────────────────▶ Idle
//!                       │   ▲
//!            time-out   │   │ it could not have answered, and is taking what lies before the PING:
//!                       ▼   │ its time begins anew
//!                    looked at ──── no ────▶ broken off, `Silent`
//! ```
//!
//! A PING may lie behind a long message, or behind all that the kernel has taken, where nobody can
//! answer it. So until the PING has reached the peer's system, and after that as long as the connection
//! is blocked, so that the peer has much to read, it is life as well when more of what was written is
//! *taken* ([`sys::FarEnd::taken`]). That the connection is blocked is not: who takes nothing for
//! HEARTBEAT_TIMEOUT, and says nothing, is broken off, at most twice that time after it last did. Nor is
//! it life that a peer's system takes what its application does not read.
//!
//! *Does the connection stand?* Asked where another peer comes under this one's name (a ROUTER's
//! doubt). A name is its bearer's for as long as the connection to it stands, be the application
//! slow, its queue full or its process stopped: else a stranger had only to wait for a slow moment to
//! be given what is another's. So the peer's system is asked, not the application, and peers of
//! every version are.
//!
//! ```text
//!              its end has come, read or not
//!  Doubted ─────────────────────────────────────▶ the name is free; what it sent is still received
//!   │   │     its system answers
//!   │   └───────────────────────────────────────▶ believed, for BELIEF
//!   │    DOUBT is over, and nothing came back for two questions
//!   └───────────────────────────────────────────▶ broken off, `Silent`
//! ```
//!
//! The questions are the system's own: keep-alive on an idle connection, switched on for as long as the
//! doubt lasts; else the repetition of what is not acknowledged, and the probes of a window that is
//! closed. Of a peer that is cut off, DOUBT is enough for all of them but the last: those come as long
//! apart as the window has been closed, two minutes at most. Over ipc a connection stands until its
//! end is told.
//!
//! Whoever drives the connection counts what is read (`Inner::heard`) and written; the I/O thread alone
//! looks at the clock and asks the system, at its timers. A connection without heartbeats and without
//! doubts has none.

use std::sync::Arc;
use std::time::Duration;

use oxmq_zmtp::Version;

use super::{Failure, Inner, Phase, Session};
use crate::Message;
use crate::drive::Work;
use crate::option::Options;
use crate::reactor::Reactor;
use crate::sys::{self, FarEnd, Instant};

/// What is known of one peer's life.
#[derive(Default)]
pub(super) struct Heartbeat {
    /// When to send the next PING; `None`: never.
    ping_at: Option<Instant>,
    /// The peer was asked.
    answer: Option<Watch>,
    /// The peer said how soon it would be heard of again.
    ttl: Option<Watch>,
    /// Another peer has come under its name.
    is_doubted: bool,
    doubt: Option<Doubt>,
    /// Its system has answered lately: until then no doubt is followed up.
    believed_until: Option<Instant>,
    /// The timers that are set, each for a moment that is yet to come or has just come.
    timers: Vec<Instant>,
}

/// For how long the system of a peer that is doubted may answer nothing. Arbitrary: a few repetitions
/// on a way that loses packets, and short for who waits for the name.
const DOUBT: Duration = Duration::from_secs(5);
/// How many of the system's questions must have been in vain: a single one may get lost.
const DOUBT_QUESTIONS: u32 = 2;
/// How often to look what came of a doubt. Arbitrary.
const DOUBT_LOOK: Duration = Duration::from_millis(250);
/// For how long a system's answer holds, so that who comes again and again costs little. Arbitrary.
const BELIEF: Duration = Duration::from_secs(1);
/// With so many timers, only one that halves the time to the next is set besides: a peer whose PINGs
/// promise less and less, and then more again, must not fill memory with them. Arbitrary.
const TIMERS_MAX: usize = 16;
/// The system counts the time since an answer in ticks.
const TICK: Duration = Duration::from_millis(20);

/// A peer that has to be heard of.
struct Watch {
    span: Duration,
    until: Instant,
    /// `Inner::heard` at the beginning.
    heard: u32,
    /// What the peer had taken when it was last looked at.
    taken: i64,
    /// How much was written when the PING had left.
    left_at: Option<i64>,
}

/// The connection to a peer that has to show that it stands.
struct Doubt {
    since: Instant,
    /// `Inner::heard` at the beginning.
    heard: u32,
    look_at: Instant,
    /// How keep-alive was set before.
    kept: Option<sys::KeepAlive>,
}

impl Watch {
    fn new(span: Duration, heard: u32) -> Watch {
        Watch { span, until: Instant::now() + span, heard, taken: i64::MAX, left_at: None }
    }

    /// Time is up, and the peer was not heard of. Whether its time begins anew.
    fn extend(&mut self, now: Instant, far: &FarEnd, blocked: bool) -> bool {
        let reached = self.left_at.is_some_and(|at| far.taken >= at);
        if far.taken <= self.taken || (reached && !blocked) {
            return false;
        }
        self.taken = far.taken;
        // It has taken nothing since it last acknowledged anything.
        let idle = far.last_heard.unwrap_or(Duration::ZERO);
        self.until = now + self.span.saturating_sub(idle);
        self.until > now
    }
}

impl Inner {
    /// The handshake is done: PINGs begin, if they are wanted and the peer takes them.
    pub(super) fn start_heartbeats(&mut self) {
        if let Some(interval) = interval(&self.options)
            && self.peer_version().is_some_and(Version::takes_pings)
        {
            let ping_at = Some(Instant::now() + interval);
            self.heartbeat = Some(Box::new(Heartbeat { ping_at, ..Heartbeat::default() }));
            self.wants_attention = true;
        }
    }

    /// Another peer has come under this one's name.
    pub(super) fn doubt(&mut self) {
        if matches!(self.phase, Phase::Traffic(_)) {
            self.heartbeat.get_or_insert_default().is_doubted = true;
        }
    }

    fn peer_version(&self) -> Option<Version> {
        self.zmtp.as_ref().and_then(|zmtp| zmtp.peer_version())
    }

    /// The peer sent a PING.
    pub(super) fn take_ping(&mut self, ttl_ds: u16) {
        let span = Duration::from_millis(u64::from(ttl_ds) * 100);
        if span.is_zero() {
            return;
        }
        let watch = Watch::new(span, self.heard);
        let heartbeat = self.heartbeat.get_or_insert_default();
        self.wants_attention |= heartbeat.timers.iter().all(|timer| watch.until < *timer);
        heartbeat.ttl = Some(watch);
    }
}

impl Session {
    /// Sees to the heartbeats. What has arrived has been read.
    pub(super) fn beat(
        self: &Arc<Self>,
        inner: &mut Inner,
        reactor: &mut Reactor,
        garbage: &mut Vec<Message>,
    ) {
        inner.wants_attention = false;
        if !matches!(inner.phase, Phase::Traffic(_)) {
            return;
        }
        let Some(mut heartbeat) = inner.heartbeat.take() else { return };
        let now = Instant::now();
        if let Some(failure) = heartbeat.check_watches(inner, now) {
            return inner.break_off(self, failure);
        }
        if let Some(failure) = self.check_doubt(inner, &mut heartbeat, now) {
            return inner.break_off(self, failure);
        }
        let mut pings = false;
        if heartbeat.ping_at.is_some_and(|at| at <= now) {
            if heartbeat.answer.is_none()
                && let Some(span) = timeout(&inner.options)
                && let Some(far) = inner.far_end()
            {
                let watch = Watch::new(span, inner.heard);
                heartbeat.answer = Some(Watch { taken: far.taken, ..watch });
            }
            pings = inner.ping();
            heartbeat.ping_at = interval(&inner.options).map(|interval| now + interval);
        }
        if let Some(next) = heartbeat.next()
            && heartbeat.needs_timer(next, now)
        {
            heartbeat.timers.push(next);
            reactor.set_timer(next, self);
        }
        inner.heartbeat = Some(heartbeat);
        if pings {
            self.pump(inner, Work::WRITE, garbage);
        }
        inner.note_ping_left();
    }

    /// Whether the connection to a peer that is doubted stands.
    fn check_doubt(
        &self,
        inner: &mut Inner,
        heartbeat: &mut Heartbeat,
        now: Instant,
    ) -> Option<Failure> {
        let begins = std::mem::take(&mut heartbeat.is_doubted)
            && heartbeat.doubt.is_none()
            && heartbeat.believed_until.is_none_or(|until| until <= now);
        if !begins && heartbeat.doubt.as_ref().is_none_or(|doubt| now < doubt.look_at) {
            return None;
        }
        let far = inner.far_end()?;
        let fd = inner.phase.fd()?;
        let doubt = match &mut heartbeat.doubt {
            Some(doubt) => doubt,
            // Over ipc there is nobody to be asked.
            None if far.has_ended || far.last_heard.is_none() => {
                if far.has_ended {
                    self.disown();
                }
                heartbeat.believed_until = Some(now + BELIEF);
                return None;
            }
            none => none.insert(Doubt {
                since: now,
                heard: inner.heard,
                look_at: now,
                kept: sys::ask_far_end(fd),
            }),
        };
        let lasts = now.saturating_since(doubt.since);
        let answered = far.last_heard.is_none_or(|ago| ago.saturating_add(TICK) < lasts);
        if far.has_ended || answered || doubt.heard != inner.heard {
            if let Some(kept) = &doubt.kept {
                sys::ask_no_more(fd, kept);
            }
            if far.has_ended {
                self.disown();
            }
            heartbeat.doubt = None;
            heartbeat.believed_until = Some(now + BELIEF);
            return None;
        }
        if lasts >= DOUBT && far.asked_in_vain >= DOUBT_QUESTIONS {
            return Some(Failure::Silent(DOUBT));
        }
        doubt.look_at = now + DOUBT_LOOK;
        None
    }

    /// The peer has gone, though it is not read to its end yet: its name is free.
    fn disown(&self) {
        if let Some(core) = self.core.upgrade() {
            core.disown(self.pipe());
        }
    }
}

impl Heartbeat {
    /// Whether the peer was heard of in time.
    fn check_watches(&mut self, inner: &Inner, now: Instant) -> Option<Failure> {
        for (watch, asked) in [(&mut self.answer, true), (&mut self.ttl, false)] {
            match watch {
                Some(held) if held.heard != inner.heard => *watch = None,
                // At RCVHWM nothing is read, so that nobody could be heard.
                Some(held)
                    if !inner.interest.read || cfg!(oxmq_mutation = "sim_deaf_heartbeat") =>
                {
                    held.until = now + held.span;
                }
                Some(held) if held.until <= now => {
                    let far = inner.far_end().filter(|_| asked);
                    let blocked = inner.interest.write;
                    if !far.is_some_and(|far| held.extend(now, &far, blocked)) {
                        return Some(Failure::Silent(held.span));
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Whether a timer is to be set for `next`; those that are over are forgotten.
    fn needs_timer(&mut self, next: Instant, now: Instant) -> bool {
        self.timers.retain(|timer| *timer > now);
        let Some(first) = self.timers.iter().min() else { return true };
        let [next_in, first_in] = [next, *first].map(|at| at.saturating_since(now));
        next < *first && (self.timers.len() < TIMERS_MAX || next_in <= first_in / 2)
    }

    /// When there is something to see to next.
    fn next(&self) -> Option<Instant> {
        let watches = [&self.answer, &self.ttl].into_iter().flatten().map(|watch| watch.until);
        let doubt = self.doubt.as_ref().map(|doubt| doubt.look_at);
        watches.chain(self.ping_at).chain(doubt).min()
    }
}

impl Inner {
    /// Queues a PING, unless the last one has not even left.
    fn ping(&mut self) -> bool {
        let ttl_ds = (self.options.heartbeat_ttl / 100) as u16;
        match &mut self.zmtp {
            Some(zmtp) if self.control_sent == self.control.len() => {
                zmtp.ping(ttl_ds, b"", &mut self.control)
            }
            _ => false,
        }
    }

    /// Remembers how much had been written when the PING had left; a little more, if that was a while
    /// ago.
    fn note_ping_left(&mut self) {
        if self.control_sent == self.control.len()
            && let Some(heartbeat) = &mut self.heartbeat
            && let Some(answer) = &mut heartbeat.answer
        {
            answer.left_at.get_or_insert(self.written);
        }
    }

    fn far_end(&self) -> Option<FarEnd> {
        self.phase.fd().map(|fd| sys::far_end(fd, self.written))
    }
}

fn interval(options: &Options) -> Option<Duration> {
    millis(options.heartbeat_ivl)
}

fn timeout(options: &Options) -> Option<Duration> {
    match options.heartbeat_timeout {
        -1 => interval(options),
        timeout => millis(timeout),
    }
}

fn millis(ms: i32) -> Option<Duration> {
    u64::try_from(ms).ok().filter(|&ms| ms > 0).map(Duration::from_millis)
}
