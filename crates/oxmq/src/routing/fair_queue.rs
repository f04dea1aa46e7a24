//! Receives from each pipe in turn.

use crate::Message;
use crate::socket::pipes::{Lingering, PipeId, Pipes};

/// Round robin over the pipes that hold messages, a whole message from each.
#[derive(Default)]
pub(crate) struct FairQueue {
    /// Pipes with input, as far as is known.
    active: Vec<PipeId>,
    current: usize,
    /// The pipe whose message has been received in part.
    receiving: Option<PipeId>,
}

impl FairQueue {
    /// A pipe has come, or has input again.
    pub(crate) fn activate(&mut self, pipe: PipeId) {
        if !self.active.contains(&pipe) {
            self.active.push(pipe);
        }
    }

    /// The next part; says which pipe it came from.
    #[inline]
    pub(crate) fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Option<PipeId> {
        if self.active.len() > 1 {
            pipes.lingering = Lingering::No;
        }
        loop {
            let pipe = match self.receiving {
                Some(pipe) => pipe,
                None => *self.active.get(self.current)?,
            };
            if pipes.read(pipe, into) {
                if into.more() {
                    self.receiving = Some(pipe);
                } else {
                    self.receiving = None;
                    self.current =
                        if self.current + 1 < self.active.len() { self.current + 1 } else { 0 };
                }
                return Some(pipe);
            }
            if pipes.lingering == Lingering::Must {
                return None;
            }
            self.receiving = None;
            self.deactivate(self.current);
            drop_if_spent(pipes, pipe);
        }
    }

    /// Whether a part can be received.
    pub(crate) fn has_input(&mut self, pipes: &mut Pipes) -> bool {
        if self.receiving.is_some() {
            return true;
        }
        while let Some(&pipe) = self.active.get(self.current) {
            if pipes.has_input(pipe) {
                return true;
            }
            self.deactivate(self.current);
            drop_if_spent(pipes, pipe);
        }
        false
    }

    /// As far as is known; for a hint, not for a promise.
    #[inline]
    pub(crate) fn may_have_input(&self) -> bool {
        !self.active.is_empty()
    }

    fn deactivate(&mut self, at: usize) {
        if at >= self.active.len() {
            return;
        }
        self.active.remove(at);
        if at < self.current {
            self.current -= 1;
        }
        if self.current >= self.active.len() {
            self.current = 0;
        }
    }
}

/// A pipe whose other end is gone lives until its last message is read.
fn drop_if_spent(pipes: &mut Pipes, pipe: PipeId) {
    if pipes.is_spent(pipe) {
        pipes.remove(pipe);
    }
}
