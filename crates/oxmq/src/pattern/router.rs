//! ROUTER: messages from all peers, each behind its sender's identity; messages to the peer that
//! their first part names (RFC 28).

use std::collections::VecDeque;

use super::{Automatic, Pattern, Refusal};
use crate::Message;
use crate::option::Options;
use crate::routing::{ByIdentity, FairQueue};
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::statistics::DropReason;

/// Drops what cannot be delivered, unless ROUTER_MANDATORY says that the sender wants to know.
#[derive(Default)]
pub(super) struct Router {
    input: FairQueue,
    peers: ByIdentity,
    /// What becomes of the rest of the message being sent.
    sending: Option<Sending>,
    /// The parts to be received next.
    ready: VecDeque<Message>,
    /// Further parts of the message being received are in its pipe.
    in_message: bool,
    /// Who came or went, to be told between two messages (ROUTER_NOTIFY).
    notices: VecDeque<Message>,
    notices_max: usize,
    mandatory: bool,
    handover: bool,
    probes: bool,
    notify: i32,
    /// ROUTER_RAW: its connections are those of a STREAM.
    raw: bool,
}

enum Sending {
    To(PipeId),
    Dropped,
}

/// ROUTER_NOTIFY: say who comes, say who goes.
const NOTIFY_CONNECT: i32 = 1;
const NOTIFY_DISCONNECT: i32 = 2;

impl Router {
    /// Sees to it that there is a part in `ready`. False: nothing is there.
    fn fetch(&mut self, pipes: &mut Pipes) -> bool {
        if !self.ready.is_empty() {
            return true;
        }
        if !self.in_message
            && let Some(identity) = self.notices.pop_front()
        {
            self.ready.extend([identity, Message::new()]);
            return true;
        }
        let mut part = Message::new();
        let Some(from) = self.input.recv(pipes, &mut part) else { return false };
        if !self.in_message {
            let mut identity = identity_part(pipes, from);
            identity.set_connection(part.connection_number());
            self.ready.push_back(identity);
        }
        self.in_message = part.more();
        self.ready.push_back(part);
        true
    }

    fn note(&mut self, pipes: &mut Pipes, pipe: PipeId, what: i32) {
        // A raw connection speaks of itself (STREAM_NOTIFY).
        if self.raw || self.notify & what == 0 {
            return;
        }
        // As many may wait as messages of one peer: nobody has to read them.
        if self.notices.len() < self.notices_max {
            let mut identity = identity_part(pipes, pipe);
            let number = pipes.get(pipe).map_or(0, |pipe| pipe.route.number());
            identity.set_connection(number);
            self.notices.push_back(identity);
        } else {
            pipes.count_dropped(pipe, DropReason::Notice, 1);
        }
    }

    /// Which pipe the message goes to whose first part is given.
    fn choose(&mut self, pipes: &mut Pipes, identity: &Message) -> Result<Sending, Refusal> {
        let found = self.peers.find(identity);
        if !identity.more() {
            // An identity and nothing behind it is no message, whoever bears it.
            let refuses = self.mandatory && found.is_none();
            return if refuses { Err(Refusal::Unreachable) } else { Ok(Sending::Dropped) };
        }
        match found {
            Some(pipe) if pipes.has_room(pipe) => Ok(Sending::To(pipe)),
            Some(_) if self.mandatory => Err(Refusal::Again),
            None if self.mandatory => Err(Refusal::Unreachable),
            Some(pipe) => {
                pipes.count_dropped(pipe, DropReason::Full, 1);
                Ok(Sending::Dropped)
            }
            None => {
                pipes.count_dropped(PipeId::NOWHERE, DropReason::Unroutable, 1);
                Ok(Sending::Dropped)
            }
        }
    }
}

/// The first part of what is received: who sent it.
fn identity_part(pipes: &mut Pipes, pipe: PipeId) -> Message {
    let mut part = Message::from(pipes.get(pipe).map_or(&[][..], |pipe| &pipe.identity));
    part.set_more(true);
    part
}

impl Pattern for Router {
    fn attach(&mut self, _: &mut Pipes, pipe: PipeId) -> bool {
        self.input.activate(pipe);
        true
    }

    fn name(&mut self, pipes: &mut Pipes, pipe: PipeId) -> Option<bool> {
        Some(self.peers.name(pipes, pipe).is_ok())
    }

    fn has_room_for(&self, pipes: &mut Pipes, identity: &[u8]) -> Result<bool, Refusal> {
        let pipe = self.peers.find(identity).ok_or(Refusal::Unreachable)?;
        Ok(pipes.has_room(pipe))
    }

    fn automatic(&self) -> Automatic {
        Automatic { hello: true, disconnect: true, hiccup: false }
    }

    fn identified(&mut self, pipes: &mut Pipes, pipe: PipeId) -> bool {
        if let Err(other) = self.peers.name(pipes, pipe) {
            if !self.handover {
                // Should the first be cut off, the second, who comes again, takes its place.
                pipes.doubt(other);
                return false;
            }
            self.detach(pipes, other);
            pipes.unhear(other);
            if self.peers.name(pipes, pipe).is_err() {
                return false;
            }
        }
        if self.probes && !self.raw {
            pipes.write_alone(pipe, &mut Message::new());
        }
        self.note(pipes, pipe, NOTIFY_CONNECT);
        true
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        // What it sent may still be received.
        self.input.detach(pipes, pipe);
        if self.peers.forget(pipe) {
            self.note(pipes, pipe, NOTIFY_DISCONNECT);
        }
        if matches!(self.sending, Some(Sending::To(to)) if to == pipe) {
            self.sending = Some(Sending::Dropped);
            pipes.count_dropped(pipe, DropReason::Disconnected, 1);
        }
    }

    fn disown(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        if self.peers.forget(pipe) {
            self.note(pipes, pipe, NOTIFY_DISCONNECT);
        }
    }

    fn readable(&mut self, pipe: PipeId) {
        self.input.activate(pipe);
    }

    fn writable(&mut self, _: PipeId) {}

    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal> {
        let Some(sending) = &self.sending else {
            let alone = !part.more();
            let sending = self.choose(pipes, part)?;
            pipes.after.free(part.take());
            if alone {
                pipes.count_dropped(PipeId::NOWHERE, DropReason::Malformed, 1);
            } else {
                self.sending = Some(sending);
            }
            return Ok(());
        };
        // As STREAM's: one part, whatever its sender says of others.
        let more = part.more() && !self.raw;
        part.set_more(more);
        match *sending {
            Sending::To(pipe) if self.raw && part.is_empty() => {
                self.sending = None;
                self.detach(pipes, pipe);
                pipes.hang_up(pipe);
            }
            Sending::To(pipe) => pipes.write(pipe, part),
            Sending::Dropped => pipes.after.free(part.take()),
        }
        if !more {
            self.sending = None;
        }
        Ok(())
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        if !self.fetch(pipes) {
            return Err(Refusal::Again);
        }
        *into = self.ready.pop_front().ok_or(Refusal::Again)?;
        Ok(())
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        let mut events = if self.fetch(pipes) { Events::IN } else { Events::NONE };
        // Without ROUTER_MANDATORY a send never waits.
        let peers = &self.peers;
        if !self.mandatory || peers.ids().any(|pipe| pipes.has_room(pipe)) {
            events |= Events::OUT;
        }
        events
    }

    fn may_have_input(&self) -> bool {
        !self.ready.is_empty() || !self.notices.is_empty() || self.input.may_have_input()
    }

    fn configure(&mut self, options: &Options) {
        self.mandatory = options.router_mandatory;
        self.handover = options.router_handover;
        self.probes = options.probe_router;
        self.notify = options.router_notify;
        self.raw = options.router_raw;
        self.notices_max = match options.rcvhwm {
            0 => usize::MAX,
            rcvhwm => rcvhwm as usize,
        };
    }

    fn raw(&self) -> fn(&Options) -> bool {
        |options| options.router_raw
    }

    fn hang_up(&mut self, pipes: &mut Pipes, name: &mut Message) -> Result<(), Refusal> {
        let found = self.peers.find(name);
        if found.is_none() && self.mandatory {
            return Err(Refusal::Unreachable);
        }
        pipes.after.free(name.take());
        match found {
            Some(pipe) => {
                self.detach(pipes, pipe);
                pipes.hang_up(pipe);
            }
            None => pipes.count_dropped(PipeId::NOWHERE, DropReason::Unroutable, 1),
        }
        Ok(())
    }

    fn sends_pairs(&self) -> bool {
        self.raw
    }

    fn held(&self) -> u64 {
        u64::from(!self.ready.is_empty() && !self.in_message)
    }
}
