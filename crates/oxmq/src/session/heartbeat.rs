//! Heartbeats: PINGs to a peer that knows them, and how long a silent one is believed in.
//!
//! Whoever drives the connection counts what is read (`Inner::heard`); the I/O thread alone looks at
//! the clock, at its timers. A connection without heartbeats has none.

use std::sync::Arc;
use std::time::Duration;

use oxmq_zmtp::Version;

use super::{Failure, Inner, Phase, Session};
use crate::Message;
use crate::drive::Work;
use crate::option::Options;
use crate::reactor::Reactor;
use crate::sys::Instant;

/// The heartbeats of one connection.
#[derive(Default)]
pub(super) struct Heartbeat {
    /// When to send the next PING; `None`: never.
    ping_at: Option<Instant>,
    /// The peer was asked.
    answer: Option<Watch>,
    /// The peer said how soon it would be heard of again.
    ttl: Option<Watch>,
    /// The next PING is to find out whether the peer lives at all, heartbeats wanted or not.
    doubts: bool,
    /// The next timer.
    timer: Option<Instant>,
}

/// How long a peer has that is asked for a sign of life without heartbeats. Arbitrary: far longer than
/// a way there and back, and short for who waits for its name.
const DOUBT: Duration = Duration::from_secs(1);

/// A peer that has to be heard of.
struct Watch {
    span: Duration,
    until: Instant,
    /// `Inner::heard` at the beginning.
    heard: u32,
}

impl Watch {
    fn new(span: Duration, heard: u32) -> Watch {
        Watch { span, until: Instant::now() + span, heard }
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

    /// Another peer has come under this one's name: it is asked for a sign of life now.
    pub(super) fn doubt(&mut self) {
        // Nobody has asked for heartbeats: only of who is known to answer silence says anything.
        let answers = self.peer_version().is_some_and(Version::has_traffic_commands);
        if answers && matches!(self.phase, Phase::Traffic(_)) {
            let heartbeat = self.heartbeat.get_or_insert_default();
            heartbeat.ping_at = Some(Instant::now());
            heartbeat.doubts = true;
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
        self.wants_attention |= heartbeat.timer.is_none_or(|timer| watch.until < timer);
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
        for watch in [&mut heartbeat.answer, &mut heartbeat.ttl] {
            match watch {
                Some(held) if held.heard != inner.heard => *watch = None,
                // At RCVHWM nothing is read, so that nobody could be heard.
                Some(held)
                    if !inner.interest.read || cfg!(oxmq_mutation = "sim_deaf_heartbeat") =>
                {
                    held.until = now + held.span;
                }
                Some(held) if held.until <= now => {
                    return inner.break_off(self, Failure::Silent(held.span));
                }
                _ => {}
            }
        }
        let mut pings = false;
        if heartbeat.ping_at.is_some_and(|at| at <= now) {
            pings = inner.ping();
            let doubt = std::mem::take(&mut heartbeat.doubts).then_some(DOUBT);
            if heartbeat.answer.is_none()
                && let Some(span) = timeout(&inner.options).or(doubt)
            {
                heartbeat.answer = Some(Watch::new(span, inner.heard));
            }
            heartbeat.ping_at = interval(&inner.options).map(|interval| now + interval);
        }
        let watches = [&heartbeat.answer, &heartbeat.ttl].into_iter().flatten();
        let next = watches.map(|watch| watch.until).chain(heartbeat.ping_at).min();
        if let Some(next) = next
            && heartbeat.timer.is_none_or(|timer| timer <= now || next < timer)
        {
            heartbeat.timer = Some(next);
            reactor.set_timer(next, self);
        }
        inner.heartbeat = Some(heartbeat);
        if pings {
            self.pump(inner, Work::WRITE, garbage);
        }
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
