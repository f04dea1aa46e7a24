//! REQ: a request to one of the peers, then its reply, in turn (RFC 28).

use super::{Pattern, Refusal};
use crate::Message;
use crate::option::Options;
use crate::routing::{FairQueue, LoadBalance};
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::statistics::DropReason;
use crate::sys;

/// Sends and receives in lockstep; the envelope is an empty delimiter part, behind the request's
/// number if REQ_CORRELATE asks for one.
pub(super) struct Req {
    out: LoadBalance,
    input: FairQueue,
    turn: Turn,
    /// Who was asked, while its pipe lives.
    asked: Option<PipeId>,
    /// The first part of the reply, found by `events` and not yet received.
    prefetched: Option<Message>,
    /// REQ_CORRELATE.
    correlates: bool,
    /// REQ_RELAXED.
    relaxed: bool,
    /// The number of the last request that got one.
    number: u32,
    /// That of the request being sent or answered, if it has one.
    expects: Option<u32>,
}

impl Default for Req {
    fn default() -> Req {
        Req {
            out: LoadBalance::default(),
            input: FairQueue::default(),
            turn: Turn::default(),
            asked: None,
            prefetched: None,
            correlates: false,
            relaxed: false,
            // Random, so that a reply to an earlier socket of the same name is not taken.
            number: sys::random_u64() as u32,
            expects: None,
        }
    }
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
            let mut expected = self.asked.is_none_or(|asked| asked == from);
            if let Some(number) = self.expects {
                expected = expected && into.more() && into[..] == number.to_ne_bytes();
                if expected {
                    pipes.after.free(into.take());
                    self.input.recv(pipes, into)?;
                }
            }
            if expected && into.is_empty() && into.more() {
                pipes.after.free(into.take());
                return self.input.recv(pipes, into);
            }
            let reason = if expected { DropReason::Malformed } else { DropReason::Stale };
            self.discard(pipes, from, into, reason);
        }
    }

    /// Opens a request: its number, if it gets one, and the delimiter.
    fn open(&mut self, pipes: &mut Pipes) -> Result<(), Refusal> {
        let number = self.correlates.then(|| self.number.wrapping_add(1));
        if let Some(number) = number {
            let mut part = Message::from(&number.to_ne_bytes()[..]);
            part.set_more(true);
            self.out.send(pipes, &mut part).ok_or(Refusal::Again)?;
            self.number = number;
        }
        let mut delimiter = Message::new();
        delimiter.set_more(true);
        let pipe = self.out.send(pipes, &mut delimiter).ok_or(Refusal::Again)?;
        // What is there already answers nothing that is asked now, nor does the rest of a reply.
        if let Some(mut part) = self.prefetched.take() {
            if !part.more() {
                pipes.count_dropped(self.asked.unwrap_or(PipeId::NOWHERE), DropReason::Stale, 1);
            }
            pipes.after.free(part.take());
        }
        let mut stale = Message::new();
        while let Some(from) = self.input.recv(pipes, &mut stale) {
            self.discard(pipes, from, &mut stale, DropReason::Stale);
        }
        self.asked = Some(pipe);
        self.expects = number;
        self.turn = Turn::Asking;
        Ok(())
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

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        self.out.detach(pipe);
        self.input.detach(pipes, pipe);
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
            Turn::Await | Turn::Receiving if !self.relaxed => {
                return Err(Refusal::State("the reply to the last request must be received first"));
            }
            Turn::Ask | Turn::Await | Turn::Receiving => self.open(pipes)?,
            Turn::Asking => {}
        }
        let more = part.more();
        self.out.send(pipes, part);
        if !more {
            // Pollers need not be told (`turned`): the input was found empty, so it tells.
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
            pipes.turned();
        }
        Ok(())
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        let awaits = matches!(self.turn, Turn::Await | Turn::Receiving);
        let mut events = Events::NONE;
        if awaits {
            if self.prefetched.is_none() {
                let mut part = Message::new();
                self.prefetched = self.next(pipes, &mut part).map(|_| part);
            }
            if self.prefetched.is_some() {
                events |= Events::IN;
            }
        }
        if (!awaits || self.relaxed) && self.out.has_room(pipes) {
            events |= Events::OUT;
        }
        events
    }

    fn configure(&mut self, options: &Options) {
        self.correlates = options.req_correlate;
        self.relaxed = options.req_relaxed;
    }

    fn held(&self) -> u64 {
        u64::from(self.prefetched.as_ref().is_some_and(|part| !part.more()))
    }

    fn may_have_input(&self) -> bool {
        self.prefetched.is_some() || self.input.may_have_input()
    }

    fn connects_once(&self) -> bool {
        true
    }
}
