//! XPUB: PUB whose application hears of the subscriptions (RFC 29).

use std::collections::VecDeque;
use std::mem;

use super::{Pattern, Refusal};
use crate::Message;
use crate::option::Options;
use crate::routing::{FairQueue, FanOut};
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::subscription::Subscriptions;

/// Receives each subscription that is news as a message: a byte 1 (a byte 0 when it ends), then the
/// prefix. What XSUB peers send besides comes as it is.
pub(super) struct XPub {
    subscriptions: Subscriptions<PipeId>,
    /// XPUB_MANUAL: what the peers asked for, as against what they were given.
    asked: Subscriptions<PipeId>,
    out: FanOut,
    input: FairQueue,
    /// Subscriptions to be received, and who sent them.
    news: VecDeque<(PipeId, Message)>,
    /// What `news` takes in memory.
    news_bytes: usize,
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

/// How much news may wait. Nobody has to receive it, so that a peer who subscribes and cancels for
/// ever would fill the memory; the one who brings more is disconnected. Arbitrary.
const NEWS_BYTES_MAX: usize = 64 << 20;

const SUBSCRIBE: u8 = 1;
const CANCEL: u8 = 0;

impl Default for XPub {
    fn default() -> XPub {
        XPub {
            subscriptions: Subscriptions::new(),
            asked: Subscriptions::new(),
            out: FanOut::default(),
            input: FairQueue::default(),
            news: VecDeque::new(),
            news_bytes: 0,
            speaker: PipeId::NOWHERE,
            in_message: false,
            options: XPubOptions::default(),
        }
    }
}

impl XPub {
    fn tell(&mut self, pipe: PipeId, what: u8, prefix: &[u8]) {
        let mut message = Vec::with_capacity(1 + prefix.len());
        message.push(what);
        message.extend_from_slice(prefix);
        self.news_bytes += news_bytes(&message);
        self.news.push_back((pipe, message.into()));
    }

    fn hear(&mut self, pipe: PipeId, add: bool, prefix: &[u8]) {
        let what = if add { SUBSCRIBE } else { CANCEL };
        if self.options.manual {
            if add {
                self.asked.insert_once(prefix, pipe);
            } else {
                self.asked.remove(prefix, pipe);
            }
            return self.tell(pipe, what, prefix);
        }
        let before = self.subscriptions.holders(prefix);
        if add {
            self.subscriptions.insert_once(prefix, pipe);
        } else {
            self.subscriptions.remove(prefix, pipe);
        }
        let after = self.subscriptions.holders(prefix);
        // News is what changes whether anybody wants the prefix.
        let news = (before == 0) != (after == 0);
        let repeats = if add { self.options.verbose } else { self.options.verboser };
        if news || repeats {
            self.tell(pipe, what, prefix);
        }
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

    /// The peer's subscriptions end with it.
    fn forget(&mut self, pipe: PipeId) {
        if cfg!(oxmq_mutation = "sim_lasting_subscription") {
            return;
        }
        if self.speaker == pipe {
            self.speaker = PipeId::NOWHERE;
        }
        if self.options.manual {
            for prefix in self.asked.prefixes_of(pipe) {
                self.tell(pipe, CANCEL, &prefix);
            }
            self.asked.remove_key(pipe);
            return self.subscriptions.remove_key(pipe);
        }
        let prefixes = self.subscriptions.prefixes_of(pipe);
        self.subscriptions.remove_key(pipe);
        for prefix in prefixes {
            if self.options.verboser || self.subscriptions.holders(&prefix) == 0 {
                self.tell(pipe, CANCEL, &prefix);
            }
        }
    }
}

fn news_bytes(message: &[u8]) -> usize {
    size_of::<(PipeId, Message)>() + message.len()
}

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

    fn disconnected(&mut self, _: &mut Pipes, pipe: PipeId) {
        self.forget(pipe);
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
            && let Some((from, message)) = self.news.pop_front()
        {
            self.news_bytes -= news_bytes(&message);
            self.speaker = from;
            *into = message;
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
        } else if pipes.get(self.speaker).is_some_and(|pipe| !pipe.input_ended) {
            self.subscriptions.insert_once(prefix, self.speaker);
        }
        Ok(())
    }

    fn peer_subscription(&mut self, pipes: &mut Pipes, pipe: PipeId, add: bool, prefix: &[u8]) {
        self.hear(pipe, add, prefix);
        if self.news_bytes > NEWS_BYTES_MAX {
            self.detach(pipes, pipe);
            pipes.end(pipe);
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
