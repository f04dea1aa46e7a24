//! REP: a request from one of the peers, then the reply to it, in turn (RFC 28).

use super::{Pattern, Refusal};
use crate::Message;
use crate::routing::FairQueue;
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::statistics::DropReason;

/// Keeps the envelope of the request and puts it before the reply.
#[derive(Default)]
pub(super) struct Rep {
    input: FairQueue,
    turn: Turn,
    /// Who asked, while its pipe lives.
    asker: Option<PipeId>,
    /// The request's envelope, its delimiter last.
    envelope: Vec<Message>,
    /// The first part of a request, found by `events` and not yet received.
    prefetched: Option<Message>,
}

#[derive(Default, PartialEq, Eq, Clone, Copy)]
enum Turn {
    #[default]
    Await,
    /// Parts of the request have been received.
    Receiving,
    Answer,
    /// Parts of the reply have been sent.
    Answering,
}

impl Rep {
    /// The next part of a request; a message without an envelope is dropped whole.
    fn next(&mut self, pipes: &mut Pipes, into: &mut Message) -> Option<PipeId> {
        if self.turn == Turn::Receiving {
            return self.input.recv(pipes, into);
        }
        loop {
            let from = self.input.recv(pipes, into)?;
            let (more, delimiter) = (into.more(), into.is_empty());
            self.envelope.push(into.take());
            if !more {
                // "SHALL discard silently": no delimiter, or nothing after it.
                self.envelope.drain(..).for_each(|part| pipes.after.free(part));
                pipes.count_dropped(from, DropReason::Malformed, 1);
            } else if delimiter {
                self.asker = Some(from);
                return self.input.recv(pipes, into);
            }
        }
    }
}

impl Pattern for Rep {
    fn attach(&mut self, _: &mut Pipes, pipe: PipeId) -> bool {
        self.input.activate(pipe);
        true
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        self.input.detach(pipes, pipe);
        if self.asker == Some(pipe) {
            self.asker = None;
            if self.turn == Turn::Answering {
                pipes.count_dropped(pipe, DropReason::Disconnected, 1);
            }
        }
    }

    fn readable(&mut self, pipe: PipeId) {
        self.input.activate(pipe);
    }

    fn writable(&mut self, _: PipeId) {}

    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal> {
        match self.turn {
            Turn::Await | Turn::Receiving => {
                return Err(Refusal::State("a request must be received first"));
            }
            Turn::Answer => {
                // "If the peer has gone or is full, the reply is dropped" (the manual's mute state).
                let room = self.asker.map(|asker| (asker, pipes.has_room(asker)));
                self.asker = match room {
                    Some((asker, true)) => Some(asker),
                    Some((asker, false)) => {
                        pipes.count_dropped(asker, DropReason::Full, 1);
                        None
                    }
                    None => {
                        pipes.count_dropped(PipeId::NOWHERE, DropReason::Unroutable, 1);
                        None
                    }
                };
                for mut part in self.envelope.drain(..) {
                    match self.asker {
                        Some(asker) => pipes.write(asker, &mut part),
                        None => pipes.after.free(part),
                    }
                }
                self.turn = Turn::Answering;
            }
            Turn::Answering => {}
        }
        let more = part.more();
        match self.asker {
            Some(asker) => pipes.write(asker, part),
            None => pipes.after.free(part.take()),
        }
        if !more {
            self.turn = Turn::Await;
            self.asker = None;
            pipes.turned();
        }
        Ok(())
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        if matches!(self.turn, Turn::Answer | Turn::Answering) {
            return Err(Refusal::State("the request received must be answered first"));
        }
        match self.prefetched.take() {
            Some(part) => *into = part,
            None => drop(self.next(pipes, into).ok_or(Refusal::Again)?),
        }
        self.turn = if into.more() { Turn::Receiving } else { Turn::Answer };
        if self.turn == Turn::Answer {
            pipes.turned();
        }
        Ok(())
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        match self.turn {
            Turn::Await | Turn::Receiving => {
                if self.prefetched.is_none() {
                    let mut part = Message::new();
                    self.prefetched = self.next(pipes, &mut part).map(|_| part);
                }
                if self.prefetched.is_some() { Events::IN } else { Events::NONE }
            }
            Turn::Answer | Turn::Answering => Events::OUT,
        }
    }

    fn answers(&self) -> bool {
        true
    }

    fn held(&self) -> u64 {
        u64::from(self.prefetched.as_ref().is_some_and(|part| !part.more()))
    }

    fn may_have_input(&self) -> bool {
        self.prefetched.is_some() || self.input.may_have_input()
    }
}
