//! Raw connections (STREAM, ROUTER_RAW): bytes as they are, without any protocol.
//!
//! What is read becomes messages of one part, cut where a read ended; what is written are the
//! bodies of messages, one behind the other (`Transcoder`). An empty message stands for a connection
//! that has come, and for one that has gone. There is no handshake: the connection stands as soon
//! as the system says so.

use std::sync::Arc;

use super::pump::Decoding;
use super::transcoder::Transcoder;
use super::{Failure, Inner, Origin, Session};
use crate::Message;
use crate::connection::Peer;
use crate::statistics::DropReason;
use crate::sys;

/// The most that one message takes of what was read: with RCVHWM it bounds what waits. libzmq's own
/// bound.
const MESSAGE_BYTES_MAX: usize = 8192;

impl Session {
    /// The connection stands: it gets its pipe.
    pub(super) fn establish_raw(self: &Arc<Self>, inner: &mut Inner) -> Result<(), Failure> {
        let nobody = Peer::unknown();
        let core = self.establish(inner, nobody)?;
        inner.transcoder = Some(Box::new(Transcoder::raw()));
        if let Some(core) = core
            && core.automatic.hello
        {
            inner.control.extend_from_slice(&inner.options.hello_msg);
        }
        self.notice_raw(inner);
        Ok(())
    }

    /// The connect of a raw connection is perhaps done. True: it is.
    pub(super) fn connected_raw(self: &Arc<Self>, inner: &mut Inner) -> Result<bool, Failure> {
        if !inner.phase.fd().is_some_and(sys::is_connected) {
            return Ok(false);
        }
        inner.become_connected(self)?;
        self.establish_raw(inner)?;
        Ok(true)
    }

    /// The connection is gone: what it had brought is received, then the news of its end.
    pub(super) fn break_raw(&self, inner: &mut Inner) {
        // One that never stood, or that this side has closed, is not spoken of.
        if !inner.raw || inner.transcoder.is_none() || inner.closing {
            return;
        }
        while !inner.received.is_empty() {
            let Some(message) = inner.take_raw() else { break };
            self.receive_raw(inner, message);
        }
        self.notice_raw(inner);
    }

    /// STREAM_NOTIFY: the connection has come, or gone.
    fn notice_raw(&self, inner: &mut Inner) {
        if !inner.options.stream_notify {
            return;
        }
        // Connections that come and go again and again have one pipe, which perhaps nobody reads.
        if inner.has_room() || matches!(inner.origin, Origin::Accepted) {
            let mut notice = Message::new();
            notice.set_connection(inner.route.number());
            self.receive_raw(inner, notice);
        } else if let Some(core) = self.core.upgrade() {
            core.count_dropped(self.pipe(), DropReason::Notice, 1);
        }
    }

    fn receive_raw(&self, inner: &mut Inner, message: Message) {
        let Some(input) = &mut inner.input else { return };
        input.push(message, true);
        if input.publish()
            && let Some(core) = self.core.upgrade()
        {
            core.readable(self.pipe());
        }
    }
}

impl Inner {
    /// What has been read, as far as the pipe has room.
    pub(super) fn decode_raw(&mut self) -> Result<Decoding, Failure> {
        loop {
            if !self.has_room() {
                return Ok(Decoding::Full);
            }
            if self.received.is_empty() {
                return Ok(Decoding::Hungry);
            }
            let message = self.take_raw().ok_or(Failure::NoMemory)?;
            // Without a pipe the socket has closed the connection, and wants nothing more of it.
            if let Some(input) = &mut self.input {
                input.push(message, true);
            }
        }
    }

    /// `None`: there is no memory for it.
    fn take_raw(&mut self) -> Option<Message> {
        if !self.make_room() {
            return None;
        }
        let bytes = self.received.bytes();
        let mut message = Message::received(&bytes[..bytes.len().min(MESSAGE_BYTES_MAX)])?;
        message.set_connection(self.route.number());
        self.received.consume(message.len());
        Some(message)
    }

    /// The socket closes the connection: what still comes is for nobody, and must not keep the peer
    /// from reading what it was sent.
    pub(super) fn close_raw(&mut self) {
        if self.raw {
            self.input = None;
        }
    }
}
