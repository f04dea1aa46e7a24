//! Receives from each pipe in turn.

use std::collections::VecDeque;

use super::ring::Ring;
use crate::Message;
use crate::socket::pipes::{Lingering, PipeId, Pipes};

/// Round robin over the pipes that hold messages, a whole message from each.
#[derive(Default)]
pub(crate) struct FairQueue {
    /// Pipes with input, as far as is known.
    active: Ring,
    /// The pipe whose message has been received in part; nowhere: it has gone.
    receiving: Option<PipeId>,
    /// What it had of that message.
    rest: VecDeque<Message>,
}

impl FairQueue {
    /// A pipe has come, or has input again.
    pub(crate) fn activate(&mut self, pipe: PipeId) {
        self.active.insert(pipe);
    }

    /// A pipe goes, perhaps with all that is in it; not with the rest of a message that has been
    /// received in part.
    pub(crate) fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        if self.receiving == Some(pipe) {
            self.keep_rest(pipes, pipe);
        }
        self.activate(pipe);
    }

    #[cold]
    fn keep_rest(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        pipes.lingering = Lingering::No;
        let mut part = Message::new();
        while pipes.read(pipe, &mut part) {
            let more = part.more();
            self.rest.push_back(part.take());
            if !more {
                break;
            }
        }
        self.receiving = (!self.rest.is_empty()).then_some(PipeId::NOWHERE);
    }

    #[cold]
    fn recv_rest(&mut self, into: &mut Message) -> bool {
        let Some(part) = self.rest.pop_front() else { return false };
        if self.rest.is_empty() {
            self.receiving = None;
        }
        *into = part;
        true
    }

    /// The next part; says which pipe it came from.
    #[inline(always)]
    pub(crate) fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Option<PipeId> {
        if self.active.len() > 1 {
            pipes.lingering = Lingering::No;
        }
        loop {
            let pipe = match self.receiving {
                Some(pipe) => pipe,
                None => self.active.current()?,
            };
            if pipes.read(pipe, into) {
                if into.more() {
                    self.receiving = Some(pipe);
                } else {
                    self.receiving = None;
                    self.active.advance();
                }
                return Some(pipe);
            }
            if pipe == PipeId::NOWHERE && self.recv_rest(into) {
                return Some(pipe);
            }
            if pipes.lingering == Lingering::Must {
                return None;
            }
            self.receiving = None;
            self.active.remove(pipe);
            drop_if_spent(pipes, pipe);
        }
    }

    /// Whether a part can be received.
    pub(crate) fn has_input(&mut self, pipes: &mut Pipes) -> bool {
        if self.receiving.is_some() {
            return true;
        }
        while let Some(pipe) = self.active.current() {
            if pipes.has_input(pipe) {
                return true;
            }
            self.active.remove(pipe);
            drop_if_spent(pipes, pipe);
        }
        false
    }

    /// As far as is known; for a hint, not for a promise.
    #[inline]
    pub(crate) fn may_have_input(&self) -> bool {
        self.active.current().is_some()
    }
}

/// A pipe whose other end is gone lives until its last message is read.
fn drop_if_spent(pipes: &mut Pipes, pipe: PipeId) {
    if pipes.is_spent(pipe) {
        pipes.discard(pipe);
    }
}
