//! What stands in for a socket that is the parent's, in a child forked after it was made.

use super::{Pattern, Refusal};
use crate::Message;
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;

/// Has no peers and refuses everything.
pub(super) struct Absent;

impl Pattern for Absent {
    fn attach(&mut self, _: &mut Pipes, _: PipeId) -> bool {
        false
    }

    fn detach(&mut self, _: &mut Pipes, _: PipeId) {}

    fn readable(&mut self, _: PipeId) {}

    fn writable(&mut self, _: PipeId) {}

    fn send(&mut self, _: &mut Pipes, _: &mut Message) -> Result<(), Refusal> {
        Err(Refusal::Forked)
    }

    fn recv(&mut self, _: &mut Pipes, _: &mut Message) -> Result<(), Refusal> {
        Err(Refusal::Forked)
    }

    fn events(&mut self, _: &mut Pipes) -> Events {
        Events::NONE
    }

    fn subscribe(&mut self, _: &mut Pipes, _: bool, _: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::Forked)
    }
}
