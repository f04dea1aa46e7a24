//! STREAM: bytes from all connections, each piece behind its connection's routing id; bytes to the
//! connection that the first part names. libzmq's manual, "Native pattern".

use std::collections::VecDeque;

use super::{Pattern, Refusal};
use crate::Message;
use crate::option::Options;
use crate::routing::{ByIdentity, FairQueue};
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::statistics::DropReason;

/// Refuses what it cannot deliver.
#[derive(Default)]
pub(super) struct Stream {
    input: FairQueue,
    connections: ByIdentity,
    sending: Option<Sending>,
    /// The parts to be received next: a routing id and the data, or the data alone.
    ready: VecDeque<Message>,
    /// The name last made up, which ROUTING_ID reads as.
    last_name: Vec<u8>,
    /// ROUTING_ID as it was last set.
    own_name: Vec<u8>,
}

/// What becomes of the data that is sent next.
enum Sending {
    To(PipeId),
    Dropped,
}

impl Stream {
    /// Sees to it that there is a part in `ready`. False: nothing is there.
    fn fetch(&mut self, pipes: &mut Pipes) -> bool {
        if !self.ready.is_empty() {
            return true;
        }
        let mut data = Message::new();
        let Some(from) = self.input.recv(pipes, &mut data) else { return false };
        let mut name = Message::from(pipes.get(from).map_or(&[][..], |pipe| &pipe.identity));
        name.set_more(true);
        name.set_connection(data.connection_number());
        self.ready.extend([name, data]);
        true
    }
}

impl Pattern for Stream {
    fn attach(&mut self, pipes: &mut Pipes, pipe: PipeId) -> bool {
        if self.connections.name(pipes, pipe).is_err() {
            return false;
        }
        if let Some(pipe) = pipes.get(pipe).filter(|pipe| !pipe.named) {
            self.last_name = pipe.identity.to_vec();
        }
        self.input.activate(pipe);
        true
    }

    fn name(&mut self, pipes: &mut Pipes, pipe: PipeId) -> Option<bool> {
        Some(self.connections.name(pipes, pipe).is_ok())
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        // What it brought may still be received.
        self.input.detach(pipes, pipe);
        self.connections.forget(pipe);
        if matches!(self.sending, Some(Sending::To(to)) if to == pipe) {
            self.sending = Some(Sending::Dropped);
            pipes.count_dropped(pipe, DropReason::Disconnected, 1);
        }
    }

    fn readable(&mut self, pipe: PipeId) {
        self.input.activate(pipe);
    }

    fn writable(&mut self, _: PipeId) {}

    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal> {
        let Some(sending) = self.sending.take() else {
            if part.more() {
                let pipe = self.connections.find(part).ok_or(Refusal::Unreachable)?;
                if !pipes.has_room(pipe) {
                    return Err(Refusal::Again);
                }
                self.sending = Some(Sending::To(pipe));
            } else {
                // As libzmq: a routing id and nothing behind it is forgotten.
                pipes.count_dropped(PipeId::NOWHERE, DropReason::Malformed, 1);
            }
            pipes.after.free(part.take());
            return Ok(());
        };
        // "The ZMQ_SNDMORE flag is ignored on data frames."
        part.set_more(false);
        match sending {
            Sending::To(pipe) if part.is_empty() => {
                self.detach(pipes, pipe);
                pipes.hang_up(pipe);
            }
            Sending::To(pipe) => pipes.write(pipe, part),
            Sending::Dropped => pipes.after.free(part.take()),
        }
        Ok(())
    }

    fn hang_up(&mut self, pipes: &mut Pipes, name: &mut Message) -> Result<(), Refusal> {
        let pipe = self.connections.find(name).ok_or(Refusal::Unreachable)?;
        pipes.after.free(name.take());
        self.detach(pipes, pipe);
        pipes.hang_up(pipe);
        Ok(())
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        if !self.fetch(pipes) {
            return Err(Refusal::Again);
        }
        *into = self.ready.pop_front().ok_or(Refusal::Again)?;
        Ok(())
    }

    /// Whether it can be sent to depends on the connection that is named: as libzmq, always.
    fn events(&mut self, pipes: &mut Pipes) -> Events {
        if self.fetch(pipes) { Events::IN | Events::OUT } else { Events::OUT }
    }

    fn may_have_input(&self) -> bool {
        !self.ready.is_empty() || self.input.may_have_input()
    }

    fn report(&self, options: &mut Options) {
        if !self.last_name.is_empty() {
            options.routing_id.clone_from(&self.last_name);
        }
    }

    fn configure(&mut self, options: &Options) {
        let name = &options.routing_id;
        if *name != self.own_name && *name != self.last_name {
            self.own_name.clone_from(name);
            self.last_name.clear();
        }
    }

    fn held(&self) -> u64 {
        u64::from(!self.ready.is_empty())
    }

    fn raw(&self) -> fn(&Options) -> bool {
        |_| true
    }

    fn sends_pairs(&self) -> bool {
        true
    }
}
