//! Messages that come over a connection and are not passed on: counted, never silently gone.

use std::mem;

use oxmq_zmtp::wire::frame::COMMAND;
use oxmq_zmtp::{Decoded, ProtocolError};

use super::{Inner, Session};
use crate::statistics::DropReason;

impl Session {
    #[cold]
    pub(super) fn count_unwanted(&self, inner: &mut Inner) {
        let unwanted = mem::take(&mut inner.unwanted);
        if let Some(core) = self.core.upgrade() {
            core.count_dropped(self.pipe(), DropReason::Unwanted, unwanted);
        }
    }
}

impl Inner {
    /// How many messages have come from a connection that broke, and will not be passed on: the one
    /// whose rest is missing, and those for which there was no room. Discarded ones do not count.
    pub(super) fn torn(&mut self) -> u64 {
        if self.discards_input || self.input.is_none() {
            return 0;
        }
        let Some(zmtp) = &mut self.zmtp else { return 0 };
        let mut whole = 0;
        let mut in_message = self.in_multipart;
        let mut rest = self.received.bytes();
        if let Some(large) = &self.large {
            let missing = large.missing();
            if missing > rest.len() {
                return u64::from(in_message || !large.command);
            }
            if !large.command {
                in_message = large.more;
                whole += u64::from(!large.more);
            }
            rest = &rest[missing..];
        }
        loop {
            let begins_message = !rest.is_empty() && (zmtp.frames_v1() || rest[0] & COMMAND == 0);
            match zmtp.decode(rest) {
                Ok(Decoded::Message { more, consumed, .. }) => {
                    in_message = more;
                    whole += u64::from(!more);
                    rest = &rest[consumed..];
                }
                Ok(Decoded::Command { consumed, .. }) => rest = &rest[consumed..],
                Err(ProtocolError::MessageTooLong { .. }) => return whole + 1,
                // What breaks the protocol otherwise is no message.
                Err(_) => return whole + u64::from(in_message),
                Ok(_) => return whole + u64::from(in_message || begins_message),
            }
        }
    }
}
