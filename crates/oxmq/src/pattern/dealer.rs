//! DEALER: each message to one of the peers, in turn; messages of all peers, fair-queued (RFC 28).

use super::{Automatic, Pattern, Refusal};
use crate::Message;
use crate::option::Options;
use crate::routing::{FairQueue, LoadBalance};
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;

/// REQ without its turns and its envelope: blocks when no peer can take more.
#[derive(Default)]
pub(super) struct Dealer {
    out: LoadBalance,
    input: FairQueue,
    probes: bool,
}

impl Pattern for Dealer {
    fn attach(&mut self, _: &mut Pipes, pipe: PipeId) -> bool {
        self.out.activate(pipe);
        self.input.activate(pipe);
        true
    }

    fn automatic(&self) -> Automatic {
        Automatic { hello: true, disconnect: false, hiccup: true }
    }

    fn identified(&mut self, pipes: &mut Pipes, pipe: PipeId) -> bool {
        if self.probes {
            pipes.write_alone(pipe, &mut Message::new());
        }
        true
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
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

    fn configure(&mut self, options: &Options) {
        self.probes = options.probe_router;
    }

    fn conflates(&self) -> bool {
        true
    }

    fn connects_once(&self) -> bool {
        true
    }
}
