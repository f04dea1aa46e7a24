//! Sends each message to the next pipe that has room.

use super::ring::Ring;
use crate::Message;
use crate::socket::pipes::{Lingering, PipeId, Pipes};
use crate::statistics::DropReason;

/// Round robin over the pipes that have room; a multipart stays on its pipe.
#[derive(Default)]
pub(crate) struct LoadBalance {
    /// Pipes with room, as far as is known.
    active: Ring,
    /// The pipe that took the first parts of the message being sent.
    sending: Option<Sending>,
}

enum Sending {
    To(PipeId),
    /// The pipe went away between two parts: the rest of the message goes nowhere.
    Dropped,
}

impl LoadBalance {
    /// A pipe has come, or has room again.
    pub(crate) fn activate(&mut self, pipe: PipeId) {
        self.active.insert(pipe);
    }

    pub(crate) fn detach(&mut self, pipe: PipeId) {
        self.active.remove(pipe);
        if matches!(self.sending, Some(Sending::To(to)) if to == pipe) {
            self.sending = Some(Sending::Dropped);
        }
    }

    /// Sends one part. On `None` no pipe has room, and the part is untouched; otherwise the
    /// pipe it went to. A part after the first never finds the pipes full.
    #[inline]
    pub(crate) fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Option<PipeId> {
        if part.more() || self.sending.is_some() {
            return self.send_part(pipes, part);
        }
        if self.active.len() > 1 {
            pipes.lingering = Lingering::No;
        }
        loop {
            let pipe = self.active.current()?;
            if pipes.write_whole(pipe, part) {
                self.advance();
                return Some(pipe);
            }
            if pipes.lingering == Lingering::Must {
                return None;
            }
            self.active.remove(pipe);
        }
    }

    /// A part of a message of several.
    fn send_part(&mut self, pipes: &mut Pipes, part: &mut Message) -> Option<PipeId> {
        let more = part.more();
        let pipe = match &self.sending {
            None => self.choose(pipes)?,
            Some(Sending::To(pipe)) => *pipe,
            Some(Sending::Dropped) => {
                pipes.after.free(part.take());
                if !more {
                    self.sending = None;
                    pipes.count_dropped(PipeId::NOWHERE, DropReason::Disconnected, 1);
                }
                return Some(PipeId::NOWHERE);
            }
        };
        pipes.write(pipe, part);
        if more {
            self.sending = Some(Sending::To(pipe));
        } else {
            self.sending = None;
            self.advance();
        }
        Some(pipe)
    }

    #[inline]
    fn advance(&mut self) {
        if cfg!(oxmq_mutation = "capi_one_peer_alone") {
            return;
        }
        self.active.advance();
    }

    /// Whether a message can be sent.
    pub(crate) fn has_room(&mut self, pipes: &mut Pipes) -> bool {
        self.sending.is_some() || self.choose(pipes).is_some()
    }

    /// The next pipe with room; those found full are said (`writable`) when they have some.
    fn choose(&mut self, pipes: &mut Pipes) -> Option<PipeId> {
        loop {
            let pipe = self.active.current()?;
            if pipes.has_room(pipe) {
                return Some(pipe);
            }
            self.active.remove(pipe);
        }
    }
}
