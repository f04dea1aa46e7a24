//! Sends each message to every pipe of a set; who is full misses it.

use std::num::NonZeroU64;

use crate::Message;
use crate::socket::pipes::{PipeId, Pipes};
use crate::statistics::DropReason;

/// The set of a fan-out is frozen at the first part of a message.
pub(crate) struct FanOut {
    targets: Vec<PipeId>,
    /// The number of the message, from 1 on, while its targets are chosen and it is sent.
    message: NonZeroU64,
    in_message: bool,
    /// Pipes found full for this message.
    missed: Vec<PipeId>,
}

impl Default for FanOut {
    fn default() -> FanOut {
        FanOut {
            targets: Vec::new(),
            message: NonZeroU64::MIN,
            in_message: false,
            missed: Vec::new(),
        }
    }
}

impl FanOut {
    pub(crate) fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        let targets = self.targets.len();
        self.targets.retain(|&target| target != pipe);
        if self.in_message && self.targets.len() < targets {
            pipes.count_dropped(pipe, DropReason::Disconnected, 1);
        }
    }

    /// Whether the next part is the first of its message: only then are targets chosen.
    #[inline]
    pub(crate) fn at_start(&self) -> bool {
        !self.in_message
    }

    /// Adds a pipe to the set of the message about to be sent, unless it is full. A peer with
    /// several matching subscriptions is found several times, and counts once.
    #[inline]
    pub(crate) fn target(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        let Some(room) = pipes.choose(pipe, self.message) else { return };
        if room {
            self.targets.push(pipe);
        } else {
            self.missed.push(pipe);
        }
    }

    /// Keeps a pipe out of the set of the message about to be sent.
    pub(crate) fn spare(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        pipes.choose(pipe, self.message);
    }

    /// Whether a pipe was found full: then the set is forgotten, nobody has missed anything, and
    /// the message is sent anew later.
    pub(crate) fn take_missed(&mut self) -> bool {
        let missed = !self.missed.is_empty();
        if missed {
            self.missed.clear();
            self.end_message();
        }
        missed
    }

    fn end_message(&mut self) {
        self.targets.clear();
        self.message = self.message.saturating_add(1);
    }

    /// Sends one part to the chosen set.
    #[inline]
    pub(crate) fn send(&mut self, pipes: &mut Pipes, part: &mut Message) {
        self.in_message = part.more();
        if let Some((&last, others)) = self.targets.split_last() {
            for &pipe in others {
                pipes.write_copy(pipe, part);
            }
            pipes.write(last, part);
        }
        if !part.is_empty() {
            pipes.after.free(part.take());
        }
        if !self.in_message {
            for pipe in self.missed.drain(..) {
                pipes.count_dropped(pipe, DropReason::Full, 1);
            }
            self.end_message();
        }
    }
}
