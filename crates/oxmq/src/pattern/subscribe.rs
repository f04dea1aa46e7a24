//! SUB: messages that begin with a prefix asked for, from all peers, fair-queued (RFC 29).

use super::{Pattern, Refusal};
use crate::Message;
use crate::option::Options;
use crate::routing::FairQueue;
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::statistics::DropReason;
use crate::subscription::{ChangeKind, Removed, Subscriptions};

/// Filters by itself too: a peer may send more than was asked for.
pub(super) struct Sub {
    subscriptions: Subscriptions<()>,
    input: FairQueue,
    /// The first part of a message that matched, found by `events` and not yet received.
    prefetched: Option<Message>,
    message: Position,
    inverts: bool,
}

/// Where in a message the next part of the input stands.
#[derive(PartialEq, Eq)]
enum Position {
    Start,
    /// Within a message that matched.
    Wanted,
    /// Within a message that did not.
    Unwanted,
}

impl Default for Sub {
    fn default() -> Sub {
        Sub {
            subscriptions: Subscriptions::new(),
            input: FairQueue::default(),
            prefetched: None,
            message: Position::Start,
            inverts: false,
        }
    }
}

impl Sub {
    /// The next part that the application wants.
    #[inline]
    fn next(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        loop {
            let from = self.input.recv(pipes, into).ok_or(Refusal::Again)?;
            if self.message == Position::Start {
                let wanted = self.subscriptions.contains_match(into) != self.inverts;
                self.message = if wanted { Position::Wanted } else { Position::Unwanted };
            }
            let wanted = self.message == Position::Wanted;
            if !into.more() {
                self.message = Position::Start;
            }
            if wanted {
                return Ok(());
            }
            if !into.more() {
                pipes.count_dropped(from, DropReason::Unwanted, 1);
            }
            pipes.after.free(into.take());
        }
    }
}

impl Pattern for Sub {
    fn attach(&mut self, pipes: &mut Pipes, pipe: PipeId) -> bool {
        self.input.activate(pipe);
        pipes.tell_new_peer(pipe, &self.subscriptions);
        true
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        self.input.detach(pipes, pipe);
    }

    fn report(&self, options: &mut Options) {
        options.topics_count = i32::try_from(self.subscriptions.prefixes()).unwrap_or(i32::MAX);
    }

    fn readable(&mut self, pipe: PipeId) {
        self.input.activate(pipe);
    }

    fn writable(&mut self, _: PipeId) {}

    fn send(&mut self, _: &mut Pipes, _: &mut Message) -> Result<(), Refusal> {
        Err(Refusal::NotSupported)
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        if let Some(part) = self.prefetched.take() {
            *into = part;
            return Ok(());
        }
        self.next(pipes, into)
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        if self.prefetched.is_none() {
            let mut part = Message::new();
            self.prefetched = self.next(pipes, &mut part).is_ok().then_some(part);
        }
        if self.prefetched.is_some() { Events::IN } else { Events::NONE }
    }

    fn configure(&mut self, options: &Options) {
        self.inverts = options.invert_matching;
    }

    fn held(&self) -> u64 {
        u64::from(self.prefetched.as_ref().is_some_and(|part| !part.more()))
    }

    fn may_have_input(&self) -> bool {
        self.prefetched.is_some() || self.input.may_have_input()
    }

    fn subscribe(&mut self, pipes: &mut Pipes, add: bool, prefix: &[u8]) -> Result<(), Refusal> {
        // Peers hear of every subscription to a prefix (XPUB_VERBOSE is about them), and of the end
        // of the last.
        let (kind, was_held) = if add {
            (ChangeKind::Subscribe, !self.subscriptions.insert(prefix, ()))
        } else if self.subscriptions.remove(prefix, ()) == Removed::Last {
            (ChangeKind::CancelLast, true)
        } else {
            return Ok(());
        };
        for id in pipes.ids() {
            pipes.tell_subscription(id, kind, prefix, was_held);
        }
        Ok(())
    }

    fn subscriptions(&self, each: &mut dyn FnMut(&[u8])) {
        self.subscriptions.for_each(&mut |prefix: &[u8], _, _| each(prefix));
    }

    fn lingers(&self) -> bool {
        false
    }

    fn conflates(&self) -> bool {
        true
    }

    fn connects_once(&self) -> bool {
        true
    }
}
