//! What the C library needs of this one beyond its public face. Not for other callers: it may
//! change with every version.

use std::ffi::{CString, c_char};
use std::os::fd::RawFd;
use std::task::Waker;
#[cfg(not(oxmq_sim))]
use std::time::Duration;

use crate::Message;
use crate::connection::registry;
use crate::error::{ConnectError, RecvError, SendErrorKind, WaitError};
use crate::gather;
use crate::option::{OptionError, OptionSpec, OptionValue, Range};
use crate::pattern::Refusal;
use crate::socket::core::Attached;
use crate::socket::{Events, Socket};
#[cfg(not(oxmq_sim))]
use crate::{PollError, PollItem, socket::poll_masked, sys::SignalMask};

pub use crate::claim::{Claim, is_claimed};
pub use crate::message::ffi::{
    adopt, copy_into, data_mut, is_message, is_shared, with_size, without_message,
};

/// A number that is different in a forked child than in its parent.
pub fn fork_generation() -> u64 {
    crate::sys::fork_generation()
}

/// As [`poll`](crate::poll); while it waits, `mask` says which signals are blocked (`ppoll`).
#[cfg(not(oxmq_sim))]
pub fn poll(
    items: &mut [PollItem<'_>],
    timeout: Option<Duration>,
    mask: Option<&libc::sigset_t>,
) -> Result<usize, PollError> {
    poll_masked(items, timeout, mask.map(SignalMask::from_raw))
}

/// What libzmq's `zmq_msg_gets` says of the connection that the message came by, as a C string that
/// stays where it is for as long as [`Message::connection`] knows the connection.
pub fn property(message: &Message, name: &str) -> Option<*const c_char> {
    let number = message.connection_number();
    registry::text(number, name, || {
        let (route, descriptor) = registry::find(number)?;
        let mut value = route.property(name, descriptor)?;
        if let Some(end) = value.iter().position(|&byte| byte == 0) {
            value.truncate(end);
        }
        CString::new(value).ok()
    })
}

/// The descriptor of the connection that the message came by; it may be another's by now.
pub fn descriptor(message: &Message) -> Option<RawFd> {
    registry::find(message.connection_number()).map(|(_, descriptor)| descriptor)
}

impl Socket {
    /// Sends one part; `more` of the same message follow in further calls. A part that is refused
    /// stays as it is. `waits`: up to SNDTIMEO for a peer that can take it.
    #[doc(hidden)]
    #[inline]
    pub fn send_part(
        &self,
        part: &mut Message,
        more: bool,
        waits: bool,
    ) -> Result<(), SendErrorKind> {
        part.set_more(more);
        let sent = if waits { self.core().send_one(part) } else { self.core().try_send_one(part) };
        match sent {
            Ok(()) => Ok(()),
            Err(Refusal::Again) if waits => self.send_part_waiting(part),
            Err(refusal) => Err(super::socket::send_refusal(refusal)),
        }
    }

    /// Receives one part in place of what `into` holds. `waits`: up to RCVTIMEO.
    #[doc(hidden)]
    #[inline]
    pub fn recv_part(&self, into: &mut Message, waits: bool) -> Result<(), RecvError> {
        let received = if waits { self.core().recv(into) } else { self.core().try_recv(into) };
        match received {
            Ok(()) => Ok(()),
            Err(Refusal::Again) if waits => self.recv_part_waiting(into),
            Err(refusal) => Err(super::socket::recv_refusal(refusal)),
        }
    }

    /// What can be done now; `waker` is woken, once, when that may have changed. `id` names the
    /// waker to the socket, 0 before it has a name.
    #[doc(hidden)]
    pub fn watch(&self, id: &mut u64, waker: &Waker) -> Result<Events, WaitError> {
        // Neither copied nor dropped under the lock: both are the waker's own code.
        let (mut copy, mut old) = (Some(waker.clone()), None);
        let mut look = || {
            self.core().retry_after_resume(|state| {
                if *id == 0 {
                    *id = state.waiters.new_id();
                }
                if !state.waiters.rearm_task(*id, waker)
                    && let Some(copy) = copy.take()
                {
                    let all = Events::IN | Events::OUT;
                    old = state.waiters.register_task(*id, all, false, copy);
                }
                state.check()?;
                Ok(state.pattern.events(&mut state.pipes))
            })
        };
        let mut events = look();
        // As in `Socket::events`.
        while events.as_ref().is_ok_and(|found| !found.intersects(Events::IN))
            && gather::end_burst()
        {
            events = look();
        }
        drop(old);
        events.map_err(super::socket::wait_refusal)
    }

    /// Whether a ROUTER's peer of that name can take another message.
    #[doc(hidden)]
    pub fn has_room_for(&self, identity: &[u8]) -> Result<bool, SendErrorKind> {
        let found = self.core().with(|state| {
            state.check()?;
            state.pattern.has_room_for(&mut state.pipes, identity)
        });
        found.map_err(super::socket::send_refusal)
    }

    /// Whether a monitor in libzmq's form is told of pipe statistics.
    #[doc(hidden)]
    pub fn monitors_pipe_stats(&self) -> bool {
        let wire = self.core().hub.wire();
        wire.is_some_and(|wire| wire.is_told(crate::monitor::number::PIPES_STATS))
    }

    /// As [`Socket::set`], for an option known only while running.
    #[doc(hidden)]
    pub fn set_value(
        &self,
        spec: &'static OptionSpec,
        value: OptionValue,
    ) -> Result<(), OptionError> {
        self.set_option(|options| options.set_value(spec, value))
    }

    /// Makes NULL the mechanism, and keeps what is set for others.
    #[doc(hidden)]
    pub fn reset_mechanism(&self) -> Result<(), OptionError> {
        self.set_option(|options| {
            options.reset_mechanism();
            Ok(())
        })
    }

    /// As [`Socket::get`], for an option known only while running.
    #[doc(hidden)]
    pub fn value(&self, spec: &'static OptionSpec) -> Result<OptionValue, OptionError> {
        self.core().with(|state| {
            state.check().map_err(super::socket::option_refusal)?;
            if matches!(spec.range(), Range::ReadOnly | Range::RoutingId) {
                state.pattern.report(&mut state.options);
            }
            Ok(state.options.value(spec))
        })
    }

    /// PEER: connects, and says the routing id of whoever is there.
    #[doc(hidden)]
    pub fn connect_peer(&self, endpoint: &str) -> Result<u32, ConnectError> {
        self.connect(endpoint)?;
        Ok(self.core().with(|state| {
            let mut endpoints = state.endpoints.iter().rev();
            let pipe = endpoints.find_map(|(at, attached)| match attached {
                Attached::Connector(pipe) | Attached::InprocPipe(pipe) => {
                    (**at == *endpoint).then_some(*pipe)
                }
                Attached::Listener(..) | Attached::InprocName(_) => None,
            });
            pipe.map_or(0, |pipe| state.pattern.number_of(pipe))
        }))
    }

    /// PEER: ends the connection of the peer with this routing id. False: there is none.
    #[doc(hidden)]
    pub fn disconnect_peer(&self, routing_id: u32) -> bool {
        let found = self.core().with(|state| {
            let pipe = state.pattern.numbered(routing_id)?;
            state.endpoints.retain(|(_, attached)| {
                !matches!(attached, Attached::Connector(at) | Attached::InprocPipe(at) if *at == pipe)
            });
            Some(pipe)
        });
        found.map(|pipe| self.core().drop_pipe(pipe)).is_some()
    }

    /// Whether both are handles of one socket.
    #[doc(hidden)]
    pub fn is_same(&self, other: &Socket) -> bool {
        std::sync::Arc::ptr_eq(self.core(), other.core())
    }
}

impl crate::Context {
    /// Lets inproc sockets of any two types meet, as libzmq's do.
    #[doc(hidden)]
    pub fn join_any_types(&self) {
        self.inproc().join_any_types();
    }
}
