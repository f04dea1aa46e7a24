//! PUSH: each message to one of the peers, in turn (RFC 30).

use super::{Pattern, Refusal};
use crate::Message;
use crate::routing::LoadBalance;
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;

/// Blocks when no peer can take more; receives nothing.
#[derive(Default)]
pub(super) struct Push {
    out: LoadBalance,
}

impl Pattern for Push {
    fn attach(&mut self, _: &mut Pipes, pipe: PipeId) -> bool {
        self.out.activate(pipe);
        true
    }

    fn detach(&mut self, _: &mut Pipes, pipe: PipeId) {
        self.out.detach(pipe);
    }

    fn readable(&mut self, _: PipeId) {}

    fn writable(&mut self, pipe: PipeId) {
        self.out.activate(pipe);
    }

    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal> {
        self.out.send(pipes, part).map(drop).ok_or(Refusal::Again)
    }

    fn recv(&mut self, _: &mut Pipes, _: &mut Message) -> Result<(), Refusal> {
        Err(Refusal::NotSupported)
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        if self.out.has_room(pipes) { Events::OUT } else { Events::NONE }
    }

    fn discards_input(&self) -> bool {
        true
    }

    fn conflates(&self) -> bool {
        true
    }
}
