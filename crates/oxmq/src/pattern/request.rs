//! REQ: a request to one of the peers, then its reply, in turn (RFC 28).

use super::{Pattern, Refusal};
use crate::Message;
use crate::routing::{FairQueue, LoadBalance};
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::statistics::DropReason;

/// Sends and receives in lockstep; the envelope is an empty delimiter part.
#[derive(Default)]
pub(super) struct Req {
    out: LoadBalance,
    input: FairQueue,
    turn: Turn,
    /// Who was asked, while its pipe lives.
    asked: Option<PipeId>,
    /// The first part of the reply, found by `events` and not yet received.
    prefetched: Option<Message>,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Turn {
    #[default]
    Ask,
    /// Parts of the request have been sent.
    Asking,
    Await,
    /// Parts of the reply have been received.
    Receiving,
}

impl Req {
    /// The next part of the reply that is due.
    fn next(&mut self, pipes: &mut Pipes, into: &mut Message) -> Option<PipeId> {
        if self.turn == Turn::Receiving {
            return self.input.recv(pipes, into);
        }
        loop {
            let from = self.input.recv(pipes, into)?;
            // "SHALL accept an incoming message only from the last peer it sent a request to"
            let expected = self.asked.is_none_or(|asked| asked == from);
            if expected && into.is_empty() && into.more() {
                return self.input.recv(pipes, into);
            }
            let reason = if expected { DropReason::Malformed } else { DropReason::Stale };
            self.discard(pipes, from, into, reason);
        }
    }

    /// Drops a whole message, its first part read already.
    fn discard(&mut self, pipes: &mut Pipes, from: PipeId, part: &mut Message, reason: DropReason) {
        pipes.count_dropped(from, reason, 1);
        while part.more() {
            pipes.after.free(part.take());
            if self.input.recv(pipes, part).is_none() {
                return;
            }
        }
        pipes.after.free(part.take());
    }
}

impl Pattern for Req {
    fn attach(&mut self, _: &mut Pipes, pipe: PipeId) -> bool {
        self.out.activate(pipe);
        self.input.activate(pipe);
        true
    }

    fn detach(&mut self, _: &mut Pipes, pipe: PipeId) {
        self.out.detach(pipe);
        self.input.activate(pipe);
        if self.asked == Some(pipe) {
            self.asked = None;
        }
    }

    fn readable(&mut self, pipe: PipeId) {
        self.input.activate(pipe);
    }

    fn writable(&mut self, pipe: PipeId) {
        self.out.activate(pipe);
    }

    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal> {
        match self.turn {
            Turn::Await | Turn::Receiving => {
                return Err(Refusal::State("the reply to the last request must be received first"));
            }
            Turn::Ask => {
                let mut delimiter = Message::new();
                delimiter.set_more(true);
                let Some(pipe) = self.out.send(pipes, &mut delimiter) else {
                    return Err(Refusal::Again);
                };
                // What is there already answers nothing that is asked now.
                let mut stale = Message::new();
                while let Some(from) = self.input.recv(pipes, &mut stale) {
                    self.discard(pipes, from, &mut stale, DropReason::Stale);
                }
                self.asked = Some(pipe);
                self.turn = Turn::Asking;
            }
            Turn::Asking => {}
        }
        let more = part.more();
        self.out.send(pipes, part);
        if !more {
            self.turn = Turn::Await;
        }
        Ok(())
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        if matches!(self.turn, Turn::Ask | Turn::Asking) {
            return Err(Refusal::State("a request must be sent first"));
        }
        match self.prefetched.take() {
            Some(part) => *into = part,
            None => drop(self.next(pipes, into).ok_or(Refusal::Again)?),
        }
        self.turn = if into.more() { Turn::Receiving } else { Turn::Ask };
        if self.turn == Turn::Ask {
            self.asked = None;
        }
        Ok(())
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        match self.turn {
            Turn::Ask | Turn::Asking => {
                if self.out.has_room(pipes) {
                    Events::OUT
                } else {
                    Events::NONE
                }
            }
            Turn::Await | Turn::Receiving => {
                if self.prefetched.is_none() {
                    let mut part = Message::new();
                    self.prefetched = self.next(pipes, &mut part).map(|_| part);
                }
                if self.prefetched.is_some() { Events::IN } else { Events::NONE }
            }
        }
    }

    fn held(&self) -> u64 {
        u64::from(self.prefetched.as_ref().is_some_and(|part| !part.more()))
    }

    fn may_have_input(&self) -> bool {
        self.prefetched.is_some() || self.input.may_have_input()
    }
}
