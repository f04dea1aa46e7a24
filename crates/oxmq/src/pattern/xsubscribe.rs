//! XSUB: SUB whose application sends the subscriptions itself (RFC 29).

use super::{Pattern, Refusal};
use crate::Message;
use crate::option::Options;
use crate::routing::{FairQueue, FanOut};
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;
use crate::subscription::{ChangeKind, Removed, Subscriptions};

/// A message of one part that begins with a byte 1 subscribes to what follows, one with a byte 0
/// takes that back; anything else goes to the publishers as it is. Receives unfiltered.
pub(super) struct XSub {
    subscriptions: Subscriptions<()>,
    pipes: Vec<PipeId>,
    out: FanOut,
    input: FairQueue,
    /// XSUB_VERBOSE_UNSUBSCRIBE.
    says_every_end: bool,
}

impl Default for XSub {
    fn default() -> XSub {
        XSub {
            subscriptions: Subscriptions::new(),
            pipes: Vec::new(),
            out: FanOut::default(),
            input: FairQueue::default(),
            says_every_end: false,
        }
    }
}

impl Pattern for XSub {
    fn attach(&mut self, pipes: &mut Pipes, pipe: PipeId) -> bool {
        self.pipes.push(pipe);
        self.input.activate(pipe);
        pipes.tell_new_peer(pipe, &self.subscriptions);
        true
    }

    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId) {
        self.pipes.retain(|&other| other != pipe);
        self.out.detach(pipes, pipe);
        self.input.detach(pipes, pipe);
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
            if let [what @ (0 | 1), prefix @ ..] = &part[..]
                && !part.more()
            {
                self.subscribe(pipes, *what == 1, prefix)?;
                pipes.after.free(part.take());
                return Ok(());
            }
            for &pipe in &self.pipes {
                self.out.target(pipes, pipe);
            }
        }
        self.out.send(pipes, part);
        Ok(())
    }

    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal> {
        self.input.recv(pipes, into).map(drop).ok_or(Refusal::Again)
    }

    fn events(&mut self, pipes: &mut Pipes) -> Events {
        if self.input.has_input(pipes) { Events::IN | Events::OUT } else { Events::OUT }
    }

    fn may_have_input(&self) -> bool {
        self.input.may_have_input()
    }

    fn subscribe(&mut self, pipes: &mut Pipes, add: bool, prefix: &[u8]) -> Result<(), Refusal> {
        let (kind, was_held) = if add {
            // Said every time: a publisher behind a device may want to hear of each (XPUB_VERBOSE).
            (ChangeKind::Subscribe, !self.subscriptions.insert(prefix, ()))
        } else {
            match self.subscriptions.remove(prefix, ()) {
                removed if self.says_every_end => {
                    (ChangeKind::CancelOne, removed != Removed::NotFound)
                }
                Removed::Last => (ChangeKind::CancelLast, true),
                Removed::NotFound | Removed::StillHeld | Removed::LastOfKey => return Ok(()),
            }
        };
        for &pipe in &self.pipes {
            pipes.tell_subscription(pipe, kind, prefix, was_held);
        }
        Ok(())
    }

    fn subscriptions(&self, each: &mut dyn FnMut(&[u8])) {
        self.subscriptions.for_each(&mut |prefix: &[u8], _, _| each(prefix));
    }

    fn lingers(&self) -> bool {
        false
    }

    fn configure(&mut self, options: &Options) {
        self.says_every_end = options.xsub_verbose_unsubscribe;
    }
}
