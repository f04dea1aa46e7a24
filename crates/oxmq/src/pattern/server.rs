//! SERVER and PEER: messages of one part from all peers, each with the routing id of its sender;
//! messages to the peer whose routing id they bear (RFCs 41 and 51).

use std::collections::HashMap;

use super::{Automatic, Pattern, Refusal};
use crate::Message;
use crate::routing::FairQueue;
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::statistics::DropReason;
use crate::sys;

/// Never drops what it is given: an unknown peer, and one that is full, are the sender's to know of.
pub(super) struct Server {
    input: FairQueue,
    peers: HashMap<u32, PipeId>,
    numbers: HashMap<PipeId, u32>,
    last_number: u32,
    /// A message found by `events` and not yet received.
    prefetched: Option<Message>,
}

impl Default for Server {
    fn default() -> Server {
        Server {
            input: FairQueue::default(),
            peers: HashMap::new(),
            numbers: HashMap::new(),
            // Anywhere: an answer that outlives a SERVER must not find another's client.
            last_number: sys::random_u64() as u32,
            prefetched: None,
        }
    }
}

impl Server {
    fn next(&mut self, pipes: &mut Pipes, into: &mut Message) -> Option<()> {
        loop {
            let from = self.input.recv(pipes, into)?;
            if !into.more() {
                // Of a peer that has gone it can still be received, and not be answered.
                let number = self.numbers.get(&from).copied();
                into.set_sender(number.unwrap_or_else(|| self.fresh_number()));
                return Some(());
            }
            pipes.count_dropped(from, DropReason::Malformed, 1);
            while into.more() {
                pipes.after.free(into.take());
                self.input.recv(pipes, into)?;
            }
            pipes.after.free(into.take());
        }
    }

    fn fresh_number(&mut self) -> u32 {
        loop {
            self.last_number = self.last_number.wrapping_add(1);
            if self.last_number != 0 && !self.peers.contains_key(&self.last_number) {
                return self.last_number;
            }
        }
    }
}

impl Pattern for Server {
    fn attach(&mut self, _: &mut Pipes, pipe: PipeId) -> bool {
        let number = self.fresh_number();
        self.peers.insert(number, pipe);
        self.numbers.insert(pipe, number);
        self.input.activate(pipe);
        true
    }

    fn automatic(&self) -> Automatic {
        Automatic { hello: true, disconnect: true, hiccup: true }
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        self.input.activate(pipe);
        if let Some(number) = self.numbers.get(&pipe) {
            self.peers.remove(number);
        }
        self.numbers.retain(|&other, _| pipes.get(other).is_some());
    }

    fn readable(&mut self, pipe: PipeId) {
        self.input.activate(pipe);
    }

    fn writable(&mut self, _: PipeId) {}

    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal> {
        if part.more() {
            return Err(Refusal::Multipart);
        }
        let Some(&pipe) = self.peers.get(&part.routing_id()) else {
            return Err(Refusal::Unreachable);
        };
        if !pipes.has_room(pipe) {
            return Err(Refusal::Again);
        }
        part.set_sender(0);
        pipes.write(pipe, part);
        Ok(())
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        match self.prefetched.take() {
            Some(message) => *into = message,
            None => self.next(pipes, into).ok_or(Refusal::Again)?,
        }
        Ok(())
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        if self.prefetched.is_none() {
            let mut message = Message::new();
            self.prefetched = self.next(pipes, &mut message).map(|()| message);
        }
        // Whether there is room depends on whom a message is for; the send finds out.
        if self.prefetched.is_some() { Events::IN | Events::OUT } else { Events::OUT }
    }

    fn may_have_input(&self) -> bool {
        self.prefetched.is_some() || self.input.may_have_input()
    }

    fn held(&self) -> u64 {
        u64::from(self.prefetched.is_some())
    }

    fn number_of(&self, pipe: PipeId) -> u32 {
        self.numbers.get(&pipe).copied().unwrap_or(0)
    }

    fn numbered(&self, number: u32) -> Option<PipeId> {
        self.peers.get(&number).copied()
    }
}
