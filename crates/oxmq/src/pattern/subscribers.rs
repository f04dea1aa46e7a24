//! What PUB and XPUB do alike about the peers that subscribe: how much they may hold, and that who
//! leaves with much of it holds up nobody.

use std::collections::VecDeque;

use super::Excess;
use crate::socket::pipes::{PipeId, Pipes};

/// What one peer's subscriptions may add up to.
const SUBSCRIPTION_BYTES_MAX: usize = 256 << 20;

/// It has more subscriptions than that.
pub(super) const SUBSCRIPTIONS: Excess = Excess("subscriptions without end");

/// What the peer's subscriptions may add up to. Sockets of this process use memory of their own.
pub(super) fn charged(pipes: &mut Pipes, pipe: PipeId) -> Option<usize> {
    (!pipes.is_within(pipe)).then_some(SUBSCRIPTION_BYTES_MAX)
}

/// How much of what peers have left is forgotten before others have the lock, in visits of nodes:
/// some 100 µs. Nearly every peer has less.
const WORK_MAX: usize = 256;

/// Peers that are gone, and whose subscriptions are not all forgotten.
#[derive(Default)]
pub(super) struct Departing {
    pipes: VecDeque<PipeId>,
}

impl Departing {
    /// The peer is gone. Until all that it had is forgotten nothing is sent to it for its sake, even
    /// though its pipe may wait for another connection.
    pub(super) fn begin(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        if !self.pipes.contains(&pipe) {
            self.pipes.push_back(pipe);
            pipes.pass_over(pipe, true);
        }
    }

    /// Forgets some of it. `forget` forgets one thing of a peer, and says what that took; `None` when
    /// there is nothing left. False: nothing of anybody is left.
    pub(super) fn sweep(
        &mut self,
        pipes: &mut Pipes,
        mut forget: impl FnMut(PipeId) -> Option<usize>,
    ) -> bool {
        let mut work = 0;
        while let Some(&pipe) = self.pipes.front() {
            if work >= WORK_MAX {
                return true;
            }
            match forget(pipe) {
                Some(took) => work += took,
                None => {
                    self.pipes.pop_front();
                    pipes.pass_over(pipe, false);
                }
            }
        }
        false
    }

    /// Whether this peer is among them, or anybody.
    pub(super) fn includes(&self, pipe: Option<PipeId>) -> bool {
        match pipe {
            Some(pipe) => self.pipes.contains(&pipe),
            None => !self.pipes.is_empty(),
        }
    }
}
