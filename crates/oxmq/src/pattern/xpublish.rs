//! XPUB: PUB whose application hears of the subscriptions (RFC 29).

use std::mem;

use super::subscribers::{Departing, SUBSCRIPTIONS, charged};
use super::{Excess, Pattern, Refusal};
use crate::Message;
use crate::option::Options;
use crate::routing::{FairQueue, FanOut};
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::subscription::{Full, Inserted, News, Removed, Subscriptions};

#[cfg(test)]
mod tests;

/// Receives each subscription that is news as a message: a byte 1 (a byte 0 when it ends), then the
/// prefix. What XSUB peers send besides comes as it is.
pub(super) struct XPub {
    subscriptions: Subscriptions<PipeId>,
    /// XPUB_MANUAL: what the peers asked for, as against what they were given.
    asked: Subscriptions<PipeId>,
    departing: Departing,
    out: FanOut,
    input: FairQueue,
    /// Subscriptions to be received, and who sent them.
    news: News<PipeId>,
    /// XPUB_MANUAL: whose news was received last; `subscribe` is for them.
    speaker: PipeId,
    /// A message of peers is being received.
    in_message: bool,
    options: XPubOptions,
}

#[derive(Default)]
struct XPubOptions {
    verbose: bool,
    verboser: bool,
    no_drop: bool,
    manual: bool,
    last_value: bool,
    inverts: bool,
    welcome: Vec<u8>,
}

/// The application is left with more to receive of the peer than is kept for it.
const NEWS: Excess = Excess("subscriptions and their ends, faster than they are received");

const SUBSCRIBE: u8 = 1;
const CANCEL: u8 = 0;

impl Default for XPub {
    fn default() -> XPub {
        XPub {
            subscriptions: Subscriptions::new(),
            asked: Subscriptions::new(),
            departing: Departing::default(),
            out: FanOut::default(),
            input: FairQueue::default(),
            news: News::new(),
            speaker: PipeId::NOWHERE,
            in_message: false,
            options: XPubOptions::default(),
        }
    }
}

impl XPub {
    /// A peer has asked for a prefix, or has ceased to: the application decides (XPUB_MANUAL).
    fn ask(
        &mut self,
        pipe: PipeId,
        add: bool,
        prefix: &[u8],
        bytes_max: Option<usize>,
    ) -> Result<(), Excess> {
        let was = if add {
            match self.asked.insert_once(prefix, pipe, bytes_max) {
                Inserted::TooMuch => return Err(SUBSCRIPTIONS),
                inserted => inserted == Inserted::HeldAlready,
            }
        } else {
            self.asked.remove(prefix, pipe) != Removed::NotFound
        };
        let told = self.news.tell(pipe, (Some(pipe), prefix.into()), add, was, true);
        told.map_err(|Full| {
            if was != add {
                undo(&mut self.asked, pipe, add, prefix);
            }
            NEWS
        })
    }

    /// A peer has subscribed, or has ceased to.
    fn hear(
        &mut self,
        pipe: PipeId,
        add: bool,
        prefix: &[u8],
        bytes_max: Option<usize>,
    ) -> Result<(), Excess> {
        // Whether the peer was subscribed to the prefix before, and whether anybody was.
        let (was, was_any, is_any) = if add {
            match self.subscriptions.insert_once(prefix, pipe, bytes_max) {
                Inserted::TooMuch => return Err(SUBSCRIPTIONS),
                Inserted::HeldAlready => (true, true, true),
                Inserted::Joined => (false, true, true),
                Inserted::First => (false, false, true),
            }
        } else {
            match self.subscriptions.remove(prefix, pipe) {
                Removed::NotFound => {
                    let any = self.subscriptions.holders(prefix) > 0;
                    (false, any, any)
                }
                Removed::StillHeld => (true, true, true),
                Removed::LastOfKey => (true, true, true),
                Removed::Last => (true, true, false),
            }
        };
        // News is what changes whether anybody wants the prefix.
        let repeats = if add { self.options.verbose } else { self.options.verboser };
        if was_any == is_any && !repeats {
            return Ok(());
        }
        let (of, about) = if self.options.verboser { (Some(pipe), was) } else { (None, was_any) };
        let told = self.news.tell(pipe, (of, prefix.into()), add, about, self.options.verbose);
        told.map_err(|Full| {
            if was != add {
                undo(&mut self.subscriptions, pipe, add, prefix);
            }
            NEWS
        })
    }

    fn choose(&mut self, pipes: &mut Pipes, part: &Message) {
        let out = &mut self.out;
        if self.options.last_value && self.speaker != PipeId::NOWHERE {
            let last = mem::replace(&mut self.speaker, PipeId::NOWHERE);
            self.subscriptions.matches(part, |pipe| {
                if pipe == last {
                    out.target(pipes, pipe);
                }
            });
        } else if self.options.inverts {
            self.subscriptions.matches(part, |pipe| out.spare(pipes, pipe));
            for pipe in pipes.ids() {
                out.target(pipes, pipe);
            }
        } else {
            self.subscriptions.matches(part, |pipe| out.target(pipes, pipe));
        }
    }

    /// Forgets one thing of a peer that is gone, and says what that took.
    fn forget_one(&mut self, pipe: PipeId) -> Option<usize> {
        let mut prefix = Vec::new();
        // Who decides by itself has not heard of what it gave.
        let wanted = (!self.options.manual).then_some(&mut prefix);
        if let Some(popped) = self.subscriptions.pop(pipe, wanted) {
            if !self.options.manual && (popped.last || self.options.verboser) {
                let of = self.options.verboser.then_some(pipe);
                self.news.tell_end(pipe, (of, prefix.as_slice().into()));
            }
            return Some(popped.work + prefix.len() / BYTES_A_VISIT);
        }
        if let Some(popped) = self.asked.pop(pipe, Some(&mut prefix)) {
            self.news.tell_end(pipe, (Some(pipe), prefix.as_slice().into()));
            return Some(popped.work + prefix.len() / BYTES_A_VISIT);
        }
        // What it has left to be received is reduced to what must be.
        if !self.news.is_long() {
            return None;
        }
        let topic = self.news.pop_of(pipe, self.options.verbose)?;
        let is = topic.0.is_none() && self.subscriptions.holders(&topic.1) > 0;
        let work = 1 + topic.1.len() / BYTES_A_VISIT;
        self.news.settle(pipe, topic, is);
        Some(work)
    }
}

/// As the application receives it.
fn news(add: bool, prefix: &[u8]) -> Message {
    let mut message = Vec::with_capacity(1 + prefix.len());
    message.push(if add { SUBSCRIBE } else { CANCEL });
    message.extend_from_slice(prefix);
    message.into()
}

/// Takes back what was just done to the peer's subscription.
fn undo(subscriptions: &mut Subscriptions<PipeId>, pipe: PipeId, add: bool, prefix: &[u8]) {
    if add {
        subscriptions.remove(prefix, pipe);
    } else {
        subscriptions.insert_once(prefix, pipe, None);
    }
}

/// So many bytes of a prefix cost as much as the visit of a node, roughly.
const BYTES_A_VISIT: usize = 2048;

impl Pattern for XPub {
    fn attach(&mut self, _: &mut Pipes, pipe: PipeId) -> bool {
        self.input.activate(pipe);
        true
    }

    fn identified(&mut self, pipes: &mut Pipes, pipe: PipeId) -> bool {
        if !self.options.welcome.is_empty() && pipes.has_room(pipe) {
            pipes.write(pipe, &mut Message::from(&self.options.welcome));
        }
        true
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        self.disconnected(pipes, pipe);
        self.out.detach(pipes, pipe);
        self.input.detach(pipes, pipe);
    }

    fn disconnected(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        if cfg!(oxmq_mutation = "sim_lasting_subscription") {
            return;
        }
        if self.speaker == pipe {
            self.speaker = PipeId::NOWHERE;
        }
        // The peer's subscriptions end with it.
        self.departing.begin(pipes, pipe);
        self.sweep(pipes);
    }

    fn sweep(&mut self, pipes: &mut Pipes) -> bool {
        let mut departing = mem::take(&mut self.departing);
        let goes_on = departing.sweep(pipes, |pipe| self.forget_one(pipe));
        self.departing = departing;
        goes_on
    }

    fn is_sweeping(&self, pipe: Option<PipeId>) -> bool {
        self.departing.includes(pipe)
    }

    fn report(&self, options: &mut Options) {
        options.topics_count = i32::try_from(self.subscriptions.prefixes()).unwrap_or(i32::MAX);
    }

    fn readable(&mut self, pipe: PipeId) {
        self.input.activate(pipe);
    }

    fn writable(&mut self, _: PipeId) {}

    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal> {
        if self.out.at_start() {
            self.choose(pipes, part);
            if self.options.no_drop && self.out.take_missed() {
                return Err(Refusal::Again);
            }
        }
        self.out.send(pipes, part);
        Ok(())
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        if !self.in_message
            && let Some((from, add, prefix)) = self.news.pop()
        {
            self.speaker = from;
            *into = news(add, &prefix);
            into.set_connection(pipes.get(from).map_or(0, |pipe| pipe.route.number()));
            return Ok(());
        }
        self.input.recv(pipes, into).ok_or(Refusal::Again)?;
        self.in_message = into.more();
        Ok(())
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        // A send drops what does not fit; with XPUB_NODROP the send itself finds out.
        if !self.news.is_empty() || self.input.has_input(pipes) {
            Events::IN | Events::OUT
        } else {
            Events::OUT
        }
    }

    fn may_have_input(&self) -> bool {
        !self.news.is_empty() || self.input.may_have_input()
    }

    /// XPUB_MANUAL: decides about the peer whose subscription was received last.
    fn subscribe(&mut self, pipes: &mut Pipes, add: bool, prefix: &[u8]) -> Result<(), Refusal> {
        if !self.options.manual {
            return Err(Refusal::NotSupported);
        }
        if self.speaker == PipeId::NOWHERE {
            return Err(Refusal::State("a subscription must be received first"));
        }
        if !add {
            self.subscriptions.remove(prefix, self.speaker);
        } else if pipes.get(self.speaker).is_some_and(|pipe| pipe.connected) {
            self.subscriptions.insert_once(prefix, self.speaker, None);
        }
        Ok(())
    }

    fn peer_subscription(
        &mut self,
        pipes: &mut Pipes,
        pipe: PipeId,
        add: bool,
        prefix: &[u8],
    ) -> Result<(), Excess> {
        let bytes_max = charged(pipes, pipe);
        if self.options.manual {
            self.ask(pipe, add, prefix, bytes_max)
        } else {
            self.hear(pipe, add, prefix, bytes_max)
        }
    }

    fn subscribers(&self, prefix: &[u8]) -> usize {
        self.subscriptions.holders(prefix)
    }

    fn takes_subscriptions(&self) -> bool {
        true
    }

    fn configure(&mut self, options: &Options) {
        self.options = XPubOptions {
            verbose: options.xpub_verbose || options.xpub_verboser,
            verboser: options.xpub_verboser,
            no_drop: options.xpub_nodrop,
            manual: options.xpub_manual || options.xpub_manual_last_value,
            last_value: options.xpub_manual_last_value,
            inverts: options.invert_matching,
            welcome: options.xpub_welcome_msg.clone(),
        };
    }
}
