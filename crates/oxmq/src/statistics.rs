//! What a socket has carried, what waits in it, and what it dropped.

use std::fmt;
use std::time::Duration;

use crate::SocketType;
use crate::connection::Connection;
use crate::sys::Instant;

/// Why a message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum DropReason {
    /// Outgoing: its peer was at the high-water mark, and the socket is of a type that does not
    /// wait (PUB, XPUB, XSUB, ROUTER, REP). A message that two peers miss is dropped twice.
    Full,
    /// Outgoing: a ROUTER's message for an identity that no peer has; a REP's reply to a peer that
    /// is gone.
    Unroutable,
    /// Outgoing: it waited for a peer whose connection ended, and is for nobody else: the endpoint
    /// is bound, or the socket answers (REP). What the system had taken by then is not counted,
    /// whether the peer got it or not.
    Disconnected,
    /// Outgoing: not sent within LINGER after the socket was closed or disconnected from the
    /// endpoint.
    Lingered,
    /// Incoming: not taken when the socket was closed, or disconnected from the endpoint.
    Unread,
    /// A REP's request, or a REQ's reply, without its envelope; a ROUTER's message that is an
    /// identity and nothing behind it.
    Malformed,
    /// Incoming: a reply that a REQ does not wait for.
    Stale,
    /// Incoming: not subscribed to (a SUB's), for a socket that only sends (PUSH, PUB), or from a peer
    /// whose identity has gone to another (ROUTER_HANDOVER).
    Unwanted,
    /// Incoming: its connection ended before all of it had come, or, at the high-water mark, before
    /// there was room for it.
    Torn,
    /// ROUTER_NOTIFY's notices beyond the high-water mark for incoming messages.
    Notice,
    /// Either way, with CONFLATE: a newer one took its place.
    Conflated,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [DropReason; 11] = [
        DropReason::Full,
        DropReason::Unroutable,
        DropReason::Disconnected,
        DropReason::Lingered,
        DropReason::Unread,
        DropReason::Malformed,
        DropReason::Stale,
        DropReason::Unwanted,
        DropReason::Torn,
        DropReason::Notice,
        DropReason::Conflated,
    ];

    /// One word in lower case, for logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            DropReason::Full => "full",
            DropReason::Unroutable => "unroutable",
            DropReason::Disconnected => "disconnected",
            DropReason::Lingered => "lingered",
            DropReason::Unread => "unread",
            DropReason::Malformed => "malformed",
            DropReason::Stale => "stale",
            DropReason::Unwanted => "unwanted",
            DropReason::Torn => "torn",
            DropReason::Notice => "notice",
            DropReason::Conflated => "conflated",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Counts of dropped messages, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    counts: [u64; DropReason::ALL.len()],
}

impl Dropped {
    /// How many messages were dropped for this reason.
    pub fn of(&self, reason: DropReason) -> u64 {
        self.counts[reason as usize]
    }

    /// How many were dropped in all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The reasons for which any were dropped, and how many.
    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().map(|reason| (reason, self.of(reason))).filter(|(_, n)| *n > 0)
    }

    pub(crate) fn add(&mut self, reason: DropReason, messages: u64) {
        self.counts[reason as usize] += messages;
    }
}

/// What was dropped, and what the monitors were told of it.
#[derive(Default)]
pub(crate) struct Drops {
    counts: Dropped,
    told: Vec<Told>,
}

struct Told {
    reason: DropReason,
    at: Instant,
    messages: u64,
}

/// The monitors are told at most so often.
const NOTICE_EVERY: Duration = Duration::from_millis(100);

impl Drops {
    pub(crate) fn counts(&self) -> Dropped {
        self.counts
    }

    pub(crate) fn count(&mut self, reason: DropReason, messages: u64) {
        self.counts.add(reason, messages);
    }

    /// Of how many dropped messages the monitors are to be told now.
    pub(crate) fn take_notice(&mut self, reason: DropReason, now: Instant) -> Option<u64> {
        let dropped = self.counts.of(reason);
        match self.told.iter_mut().find(|told| told.reason == reason) {
            Some(told) if now.saturating_since(told.at) < NOTICE_EVERY => None,
            Some(told) => {
                let news = dropped - told.messages;
                *told = Told { reason, at: now, messages: dropped };
                Some(news)
            }
            None => {
                self.told.push(Told { reason, at: now, messages: dropped });
                Some(dropped)
            }
        }
    }
}

/// What a socket has carried and dropped since it was made; see
/// [`Socket::statistics`](crate::Socket::statistics).
///
/// ```
/// use oxmq::{Context, DropReason, Router};
/// let context = Context::new();
/// let router = Router::new(&context)?;
/// router.send_multipart(["nobody", "hello"])?;
/// let statistics = router.statistics();
/// assert_eq!(statistics.dropped.of(DropReason::Unroutable), 1);
/// assert!(statistics.pipes.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Statistics {
    /// The type of the socket.
    pub socket_type: SocketType,
    /// Messages given to pipes. A fan-out gives one message to several.
    pub sent: u64,
    /// Messages that pipes have brought. Not all of them need have been taken.
    pub received: u64,
    /// What was dropped, for pipes that are gone and for no pipe at all included.
    pub dropped: Dropped,
    /// The pipes that there are: one for each endpoint connected to, one for each peer that
    /// connected.
    pub pipes: Vec<PipeStatistics>,
}

/// What one pipe of a socket has carried and dropped. A pipe of an endpoint connected to outlives
/// its connections; the others end with theirs.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PipeStatistics {
    /// Where it goes: its present connection, or its last one.
    pub connection: Connection,
    /// Whether there is a connection now, its handshake done.
    pub connected: bool,
    /// The peer's identity, or the one that a ROUTER made up for it.
    pub identity: Vec<u8>,
    /// Messages given to it.
    pub sent: u64,
    /// Of those, messages that are not yet with the system (or, within the process, not taken by
    /// the other socket). Exact when the connection is at rest; while it works, up to half of
    /// `sndhwm` too many.
    pub waiting_out: u64,
    /// Messages that it brought.
    pub received: u64,
    /// Of those, messages that are not yet taken.
    pub waiting_in: u64,
    /// How many messages may wait to be sent; 0: any number.
    pub sndhwm: u32,
    /// How many messages may wait to be taken; 0: any number.
    pub rcvhwm: u32,
    /// What was dropped that was for this pipe, or had come through it.
    pub dropped: Dropped,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_counted_by_itself() {
        let mut dropped = Dropped::default();
        for (at, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, at);
            dropped.add(reason, at as u64 + 1);
        }
        for (at, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(dropped.of(reason), at as u64 + 1);
            let names = DropReason::ALL.iter().filter(|other| other.name() == reason.name());
            assert_eq!(names.count(), 1);
        }
        assert_eq!(dropped.total(), 66);
        assert_eq!(dropped.iter().count(), 11);
    }
}
