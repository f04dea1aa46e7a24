//! Sends each message to every pipe of a set; who is full misses it.

use crate::Message;
use crate::socket::pipes::{PipeId, Pipes};

/// The set of a fan-out is frozen at the first part of a message.
#[derive(Default)]
pub(crate) struct FanOut {
    targets: Vec<PipeId>,
    in_message: bool,
    dropped: u64,
}

impl FanOut {
    pub(crate) fn detach(&mut self, pipe: PipeId) {
        self.targets.retain(|&target| target != pipe);
    }

    /// Whether the next part is the first of its message: only then are targets chosen.
    #[inline]
    pub(crate) fn at_start(&self) -> bool {
        !self.in_message
    }

    /// Adds a pipe to the set of the message about to be sent, unless it is full.
    #[inline]
    pub(crate) fn target(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        // A peer with several matching subscriptions is found several times, side by side.
        if self.targets.contains(&pipe) {
            return;
        }
        if pipes.has_room(pipe) {
            self.targets.push(pipe);
        } else {
            self.dropped += 1;
        }
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
            self.targets.clear();
        }
    }

    /// Messages that a full peer missed.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}
