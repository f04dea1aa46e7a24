//! PAIR: exactly one peer, both ways (RFC 31).

use super::{Pattern, Refusal};
use crate::Message;
use crate::routing::{FairQueue, LoadBalance};
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;

/// A second peer is refused while the first is there.
#[derive(Default)]
pub(super) struct Pair {
    peer: Option<PipeId>,
    out: LoadBalance,
    input: FairQueue,
}

impl Pattern for Pair {
    fn attach(&mut self, _: &mut Pipes, pipe: PipeId) -> bool {
        if self.peer.is_some() {
            return false;
        }
        self.peer = Some(pipe);
        self.out.activate(pipe);
        self.input.activate(pipe);
        true
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        if self.peer == Some(pipe) {
            self.peer = None;
        }
        self.out.detach(pipe);
        self.input.detach(pipes, pipe);
    }

    fn readable(&mut self, pipe: PipeId) {
        self.input.activate(pipe);
    }

    fn writable(&mut self, pipe: PipeId) {
        self.out.activate(pipe);
    }

    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal> {
        self.out.send(pipes, part).map(drop).ok_or(Refusal::Again)
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        self.input.recv(pipes, into).map(drop).ok_or(Refusal::Again)
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        let mut events = Events::NONE;
        if self.input.has_input(pipes) {
            events |= Events::IN;
        }
        if self.out.has_room(pipes) {
            events |= Events::OUT;
        }
        events
    }

    fn may_have_input(&self) -> bool {
        self.input.may_have_input()
    }
}
