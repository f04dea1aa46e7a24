//! What a session tells those who monitor its socket.

use std::os::fd::RawFd;

use oxmq_zmtp::ProtocolError;

use super::{Failure, Inner, Phase, Session};
use crate::connection::{Peer, Route};
use crate::monitor::{EventKind, Reason};

impl Session {
    /// Something happened to the session's connection.
    #[inline]
    pub(super) fn tell(&self, inner: &Inner, kind: impl FnOnce() -> EventKind) {
        self.hub.emit(&inner.route, inner.descriptor(), kind);
    }

    /// The connection failed, or ended.
    pub(super) fn tell_failure(&self, inner: &Inner, failure: &Failure) {
        let told: fn(Reason) -> EventKind = match inner.phase {
            Phase::Connecting(_) => EventKind::ConnectFailed,
            Phase::Handshake(_) => EventKind::HandshakeFailed,
            // It was, when its name went to another.
            Phase::Traffic(_) if inner.unheard => return,
            Phase::Traffic(_) => EventKind::Disconnected,
            // All is said: the peer's leaving is the end of a close.
            Phase::Draining(_) => return self.tell_closed(inner),
            _ => return,
        };
        if !matches!(failure, Failure::EndOfStream) {
            self.hub.note_failure(&Reason::of(failure));
        }
        let route = match failure {
            Failure::Protocol(ProtocolError::IncompatibleSocketType { theirs, .. })
                if self.hub.is_active() =>
            {
                let socket_type = Some(*theirs);
                &inner.route.with_peer(Peer { socket_type, ..Peer::unknown() })
            }
            _ => &*inner.route,
        };
        self.hub.emit(route, inner.descriptor(), || told(Reason::of(failure)));
    }

    /// This side has closed the connection.
    pub(super) fn tell_closed(&self, inner: &Inner) {
        if inner.unheard {
            return;
        }
        self.tell(inner, || EventKind::Disconnected(Reason::closed_here()));
    }

    /// Connecting failed at once.
    pub(super) fn tell_unreachable(&self, inner: &Inner, reason: Reason) {
        self.hub.note_failure(&reason);
        self.tell(inner, || EventKind::ConnectFailed(reason));
    }

    /// This side has given up an endpoint at which no connection stood.
    pub(super) fn tell_given_up(&self, inner: &mut Inner) {
        let descriptor = inner.descriptor();
        inner.forget_route();
        self.hub.emit(&inner.route, descriptor, || EventKind::Closed);
    }
}

impl Inner {
    fn descriptor(&self) -> Option<RawFd> {
        self.phase.fd().map(|fd| fd.raw())
    }

    /// No connection: of the last one nothing is left to tell.
    pub(super) fn forget_route(&mut self) {
        self.route = Route::new(&self.route.endpoint, self.route.bound).into();
    }
}
