//! PULL: messages of all peers, fair-queued (RFC 30).

use super::{Pattern, Refusal};
use crate::Message;
use crate::routing::FairQueue;
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;

/// Receives from each peer in turn; sends nothing.
#[derive(Default)]
pub(super) struct Pull {
    input: FairQueue,
}

impl Pattern for Pull {
    fn attach(&mut self, _: &mut Pipes, pipe: PipeId) -> bool {
        self.input.activate(pipe);
        true
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        self.input.detach(pipes, pipe);
    }

    fn readable(&mut self, pipe: PipeId) {
        self.input.activate(pipe);
    }

    fn writable(&mut self, _: PipeId) {}

    fn send(&mut self, _: &mut Pipes, _: &mut Message) -> Result<(), Refusal> {
        Err(Refusal::NotSupported)
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        self.input.recv(pipes, into).map(drop).ok_or(Refusal::Again)
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        if self.input.has_input(pipes) { Events::IN } else { Events::NONE }
    }

    fn may_have_input(&self) -> bool {
        self.input.may_have_input()
    }

    fn conflates(&self) -> bool {
        true
    }
}
