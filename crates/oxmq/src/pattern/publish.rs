//! PUB: each message to every peer that subscribed to a prefix of it (RFC 29).

use super::subscribers::{Departing, SUBSCRIPTIONS, charged};
use super::{Excess, Pattern, Refusal};
use crate::Message;
use crate::option::Options;
use crate::routing::FanOut;
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::subscription::{Inserted, Subscriptions};

/// Never blocks: a peer that is full misses the message, unless XPUB_NODROP says that the sender
/// wants to know.
pub(super) struct Pub {
    subscriptions: Subscriptions<PipeId>,
    departing: Departing,
    out: FanOut,
    no_drop: bool,
    inverts: bool,
    welcome: Vec<u8>,
}

impl Default for Pub {
    fn default() -> Pub {
        Pub {
            subscriptions: Subscriptions::new(),
            departing: Departing::default(),
            out: FanOut::default(),
            no_drop: false,
            inverts: false,
            welcome: Vec::new(),
        }
    }
}

impl Pattern for Pub {
    fn attach(&mut self, _: &mut Pipes, _: PipeId) -> bool {
        true
    }

    fn identified(&mut self, pipes: &mut Pipes, pipe: PipeId) -> bool {
        if !self.welcome.is_empty() && pipes.has_room(pipe) {
            pipes.write(pipe, &mut Message::from(&self.welcome));
        }
        true
    }

    fn configure(&mut self, options: &Options) {
        self.no_drop = options.xpub_nodrop;
        self.inverts = options.invert_matching;
        self.welcome.clone_from(&options.xpub_welcome_msg);
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        self.disconnected(pipes, pipe);
        self.out.detach(pipes, pipe);
    }

    fn disconnected(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        // A new connection brings its subscriptions with it.
        self.departing.begin(pipes, pipe);
        self.sweep(pipes);
    }

    fn sweep(&mut self, pipes: &mut Pipes) -> bool {
        let subscriptions = &mut self.subscriptions;
        self.departing.sweep(pipes, |pipe| Some(subscriptions.pop(pipe, None)?.work))
    }

    fn is_sweeping(&self, pipe: Option<PipeId>) -> bool {
        self.departing.includes(pipe)
    }

    fn report(&self, options: &mut Options) {
        options.topics_count = i32::try_from(self.subscriptions.prefixes()).unwrap_or(i32::MAX);
    }

    fn readable(&mut self, _: PipeId) {}

    fn writable(&mut self, _: PipeId) {}

    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal> {
        if self.out.at_start() {
            let out = &mut self.out;
            if self.inverts {
                self.subscriptions.matches(part, |pipe| out.spare(pipes, pipe));
                pipes.ids().into_iter().for_each(|pipe| out.target(pipes, pipe));
            } else {
                self.subscriptions.matches(part, |pipe| out.target(pipes, pipe));
            }
            if self.no_drop && self.out.take_missed() {
                return Err(Refusal::Again);
            }
        }
        self.out.send(pipes, part);
        Ok(())
    }

    fn recv(&mut self, _: &mut Pipes, _: &mut Message) -> Result<(), Refusal> {
        Err(Refusal::NotSupported)
    }

    fn events(&mut self, _: &mut Pipes) -> Events {
        Events::OUT
    }

    fn peer_subscription(
        &mut self,
        pipes: &mut Pipes,
        pipe: PipeId,
        add: bool,
        prefix: &[u8],
    ) -> Result<(), Excess> {
        if !add {
            self.subscriptions.remove(prefix, pipe);
            return Ok(());
        }
        // A peer says every subscription, but only the end of the last to a prefix.
        let bytes_max = charged(pipes, pipe);
        match self.subscriptions.insert_once(prefix, pipe, bytes_max) {
            Inserted::TooMuch => Err(SUBSCRIPTIONS),
            Inserted::First | Inserted::Joined | Inserted::HeldAlready => Ok(()),
        }
    }

    fn subscribers(&self, prefix: &[u8]) -> usize {
        self.subscriptions.holders(prefix)
    }

    fn takes_subscriptions(&self) -> bool {
        true
    }

    fn discards_input(&self) -> bool {
        true
    }

    fn conflates(&self) -> bool {
        true
    }

    fn connects_once(&self) -> bool {
        true
    }
}
