//! CLIENT, GATHER, SCATTER, CHANNEL: sockets like others, of messages of one part (RFCs 41, 49, 51).

use super::{Automatic, Pattern, Refusal};
use crate::Message;
use crate::option::Options;
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::statistics::DropReason;

/// What `P` does, with messages of one part: others are refused, and dropped when a peer sends them.
#[derive(Default)]
pub(super) struct Single<P> {
    like: P,
    /// A message found by `events` and not yet received.
    prefetched: Option<Message>,
}

impl<P: Pattern> Single<P> {
    fn next(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        loop {
            self.like.recv(pipes, into)?;
            if !into.more() {
                return Ok(());
            }
            pipes.count_dropped(PipeId::NOWHERE, DropReason::Malformed, 1);
            while into.more() {
                pipes.after.free(into.take());
                self.like.recv(pipes, into)?;
            }
            pipes.after.free(into.take());
        }
    }
}

impl<P: Pattern> Pattern for Single<P> {
    fn attach(&mut self, pipes: &mut Pipes, pipe: PipeId) -> bool {
        self.like.attach(pipes, pipe)
    }

    fn identified(&mut self, pipes: &mut Pipes, pipe: PipeId) -> bool {
        self.like.identified(pipes, pipe)
    }

    fn automatic(&self) -> Automatic {
        self.like.automatic()
    }

    fn configure(&mut self, options: &Options) {
        self.like.configure(options);
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        self.like.detach(pipes, pipe);
    }

    fn disconnected(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        self.like.disconnected(pipes, pipe);
    }

    fn readable(&mut self, pipe: PipeId) {
        self.like.readable(pipe);
    }

    fn writable(&mut self, pipe: PipeId) {
        self.like.writable(pipe);
    }

    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal> {
        if part.more() {
            return Err(Refusal::Multipart);
        }
        self.like.send(pipes, part)
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        match self.prefetched.take() {
            Some(message) => *into = message,
            None => self.next(pipes, into)?,
        }
        Ok(())
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        let events = self.like.events(pipes);
        if self.prefetched.is_none() && events.intersects(Events::IN) {
            let mut message = Message::new();
            self.prefetched = self.next(pipes, &mut message).is_ok().then_some(message);
        }
        let input = if self.prefetched.is_some() { Events::IN } else { Events::NONE };
        events.and(Events::OUT) | input
    }

    fn may_have_input(&self) -> bool {
        self.prefetched.is_some() || self.like.may_have_input()
    }

    fn held(&self) -> u64 {
        u64::from(self.prefetched.is_some())
    }

    fn discards_input(&self) -> bool {
        self.like.discards_input()
    }
}
