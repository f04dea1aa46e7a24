//! What only a session's own I/O thread does: connecting, deadlines, ending.
//!
//! ```text
//!            START                          handshake done
//! Offline ──────────▶ Resolving ─▶ Connecting ─▶ Handshake ─▶ Traffic ──▶ Draining
//!    ▲                    │            │             │           │  closed,   │ peer's end,
//!    │  reconnect delay   ▼            ▼             ▼           ▼  all sent   ▼ or deadline
//!    └──────────────── Broken ◀──────────────────────────────────┘          Ended
//! ```
//!
//! An accepted session begins at `Handshake`, and ends where another would go `Offline`.

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use oxmq_zmtp::{Connection, ProtocolError};

use super::admission::Admission;
use super::transcoder::Transcoder;
use super::{Failure, Inner, Origin, Phase, Rejection, Session, order};
use crate::Message;
use crate::connection::{Peer, Route, registry};
use crate::drive::Work;
use crate::endpoint::{Endpoint, TcpEndpoint};
use crate::monitor::{EventKind, Reason};
use crate::option::Options;
use crate::reactor::{Job, Reactor};
use crate::security;
use crate::socket::core::Core;
use crate::socket::pipes::Account;
use crate::statistics::DropReason;
use crate::sys::{self, Instant, Interest, SockAddr};
use crate::transport;

/// How long a closing connection waits for the peer's end of stream, so that bytes that still
/// arrive do not turn the close into a reset, which destroys what was sent. Arbitrary.
const DRAIN: Duration = Duration::from_millis(200);

/// What feeding a handshake came to.
pub(super) enum Handshake {
    /// More bytes are needed.
    Hungry,
    /// Whether the peer is let in is not decided yet.
    Undecided,
    /// The connection has its pipe.
    Done,
}

impl Session {
    /// Sees to orders, deadlines and failures. False: another thread drives just now, try again.
    pub(crate) fn attend(self: &Arc<Self>, reactor: &mut Reactor) -> bool {
        if !self.drive_state().try_take(Work::BOTH) {
            return false;
        }
        let mut garbage = Vec::new();
        // SAFETY: `try_take` made this thread the driver; `inner` is not used after `release`.
        let inner = unsafe { &mut *self.inner.get() };
        let ended_before = matches!(inner.phase, Phase::Ended);
        let ended = loop {
            let work = self.drive_state().begin_pass() | Work::BOTH;
            self.take_orders(inner, reactor);
            if let Phase::Handshake(_) = inner.phase
                && is_over(inner.deadline)
            {
                // What the peer has sent in time counts, however late this thread comes to it.
                self.pump(inner, work, &mut garbage);
            }
            self.check_deadlines(inner, reactor);
            self.pump(inner, work, &mut garbage);
            self.beat(inner, reactor, &mut garbage);
            self.check_broken(inner, reactor, &mut garbage);
            self.check_closing(inner, reactor, &mut garbage);
            let ended = !ended_before && matches!(inner.phase, Phase::Ended);
            let ended = ended.then(|| (inner.account, inner.route.clone()));
            if self.drive_state().release(inner.is_parked()) {
                break ended;
            }
        };
        drop(garbage);
        if let Some((account, route)) = ended {
            self.leave(account, &route);
        }
        true
    }

    fn take_orders(self: &Arc<Self>, inner: &mut Inner, reactor: &mut Reactor) {
        let orders = self.orders.swap(0, Ordering::AcqRel);
        if orders & order::START != 0 {
            match inner.origin {
                Origin::Connect { .. } => self.connect_now(inner, reactor),
                Origin::Accepted => self.shake_hands(inner, reactor),
            }
        }
        if orders & order::RESOLVED != 0 {
            self.take_resolved(inner, reactor);
        }
        if orders & order::DOUBT != 0 {
            inner.doubt();
        }
        if orders & order::UNHEAR != 0 {
            self.hear_no_more(inner);
        }
        if orders & order::RETUNE != 0 {
            self.take_rcvhwm(inner);
        }
        if orders & order::CLOSE_ORPHAN != 0
            && matches!(inner.origin, Origin::Accepted)
            && inner.out.is_none()
        {
            inner.closing = true;
        }
        if orders & order::HANG_UP != 0 && !inner.closing {
            inner.closing = true;
            inner.hung_up = true;
            inner.close_raw();
        }
        let closes = orders & order::CLOSE != 0 && !inner.closing;
        if closes || (orders & order::CLOSE_ORPHAN != 0 && inner.hung_up) {
            inner.closing = true;
            inner.hung_up = false;
            inner.in_vain = inner.is_between_connections();
            inner.take_no_more();
            let linger_ms = self.linger_ms.load(Ordering::Relaxed);
            if let Ok(linger_ms) = u64::try_from(linger_ms) {
                let deadline = Instant::now() + Duration::from_millis(linger_ms);
                inner.linger_deadline = deadline;
                reactor.set_timer(deadline, self);
            }
        }
    }

    /// ROUTER_HANDOVER: what the peer still sends is read and forgotten, so that it is answered its
    /// PINGs, and its end is seen.
    fn hear_no_more(&self, inner: &mut Inner) {
        // Of another connection than the present one the order says nothing.
        let is_meant = self.core.upgrade().is_some_and(|core| core.is_unheard(self.pipe()));
        if !is_meant || inner.unheard || !matches!(inner.phase, Phase::Traffic(_)) {
            return;
        }
        self.tell(inner, || EventKind::Disconnected(Reason::handed_over()));
        inner.unheard = true;
        inner.discards_input = true;
    }

    fn take_rcvhwm(&self, inner: &mut Inner) {
        // What there is room for now is read in the pass that this begins.
        let (Some(core), Some(input)) = (self.core.upgrade(), &mut inner.input) else { return };
        input.set_hwm(core.with(|state| state.options.rcvhwm) as u32);
    }

    fn check_deadlines(self: &Arc<Self>, inner: &mut Inner, reactor: &mut Reactor) {
        if let Phase::Connecting(_) = inner.phase
            && is_over(inner.connect_deadline)
        {
            let after = Duration::from_millis(inner.options.connect_timeout.max(0) as u64);
            inner.break_off(self, Failure::NotConnected(after));
            return;
        }
        if !is_over(inner.deadline) {
            return;
        }
        inner.deadline = Instant::NEVER;
        match inner.phase {
            Phase::Offline => self.connect_now(inner, reactor),
            Phase::Connecting(_) | Phase::Handshake(_) | Phase::Draining(_) => {
                inner.break_off(self, Failure::TimedOut);
            }
            Phase::Resolving | Phase::Traffic(_) | Phase::Broken(_) | Phase::Ended => {}
        }
    }

    // Connecting.

    fn connect_now(self: &Arc<Self>, inner: &mut Inner, reactor: &mut Reactor) {
        inner.forget_route();
        // Once taken, a list that is empty keeps no room.
        let Origin::Connect { addresses } = &mut inner.origin else { return };
        let mut left = mem::take(addresses);
        // Read anew for each attempt, not kept: a connection that stands has no use for it.
        let Ok(endpoint) = inner.route.endpoint.parse::<Endpoint>() else { return };
        if left.is_empty() {
            match (transport::addresses(&endpoint, inner.options.ipv6), &endpoint) {
                (Some(found), _) => left = found,
                (None, Endpoint::Tcp(tcp)) => return self.look_up(inner, reactor, tcp.clone()),
                (None, _) => {}
            }
        }
        let Some(address) = left.pop() else { return self.connect_later(inner, reactor) };
        if !left.is_empty() {
            inner.origin = Origin::Connect { addresses: left };
        }
        self.connect_to(inner, reactor, &endpoint, &address);
    }

    fn look_up(self: &Arc<Self>, inner: &mut Inner, reactor: &mut Reactor, name: TcpEndpoint) {
        inner.phase = Phase::Resolving;
        let (session, ipv6) = (self.clone(), inner.options.ipv6);
        let found = move |found| session.set_resolved(found);
        if !self.group.io().lookups.ask(name, ipv6, found) {
            self.connect_later(inner, reactor);
        }
    }

    fn take_resolved(self: &Arc<Self>, inner: &mut Inner, reactor: &mut Reactor) {
        if !matches!(inner.phase, Phase::Resolving) {
            return;
        }
        inner.phase = Phase::Offline;
        let found = self.asides.lock().as_mut().and_then(|asides| asides.resolved.take());
        let Origin::Connect { addresses } = &mut inner.origin else { return };
        let mut error = Arc::new(io::ErrorKind::NotFound.into());
        match found {
            // All are tried, the first one first.
            Some(Ok(found)) => *addresses = found.into_iter().rev().map(SockAddr::Tcp).collect(),
            Some(Err(why)) => error = why,
            None => {}
        }
        if addresses.is_empty() {
            self.tell_unreachable(inner, Reason::unresolved(&error));
            self.connect_later(inner, reactor);
        } else {
            self.connect_now(inner, reactor);
        }
    }

    fn connect_to(
        self: &Arc<Self>,
        inner: &mut Inner,
        reactor: &mut Reactor,
        endpoint: &Endpoint,
        address: &SockAddr,
    ) {
        let options = &inner.options;
        let source = transport::source(endpoint, address, options.ipv6);
        let connected = source.and_then(|source| {
            sys::connect(address, source.as_ref(), |fd| transport::prepare(fd, options))
        });
        match connected {
            Ok((fd, done)) => {
                inner.phase = Phase::Connecting(fd);
                if !done {
                    self.tell(inner, || EventKind::ConnectDelayed);
                }
                self.shake_hands(inner, reactor);
            }
            Err(error) => {
                self.tell_unreachable(inner, Reason::system(&error));
                inner.heed_reconnect_stop(&Failure::System(error), false);
                self.connect_later(inner, reactor);
            }
        }
    }

    fn connect_later(self: &Arc<Self>, inner: &mut Inner, reactor: &mut Reactor) {
        inner.phase = Phase::Offline;
        let Origin::Connect { addresses } = &inner.origin else { return };
        let left = inner.closing && inner.options.reconnect_stop & STOP_AFTER_DISCONNECT != 0;
        let delay = if addresses.is_empty() {
            match reconnect_delay(&inner.options, inner.attempts, inner.cut_short) {
                Some(delay) if !inner.gives_up && !left => delay,
                _ => {
                    inner.gives_up = true;
                    return;
                }
            }
        } else {
            inner.gives_up = false;
            Duration::ZERO
        };
        if addresses.is_empty() {
            inner.attempts = inner.attempts.saturating_add(1);
            if !inner.closing {
                self.tell(inner, || EventKind::ConnectRetried { interval: delay });
            }
        }
        self.set_deadline(inner, reactor, delay);
    }

    fn set_deadline(self: &Arc<Self>, inner: &mut Inner, reactor: &mut Reactor, after: Duration) {
        let deadline = Instant::now() + after;
        inner.deadline = deadline;
        reactor.set_timer(deadline, self);
    }

    /// A descriptor is there: its greeting goes out as soon as it can.
    fn shake_hands(self: &Arc<Self>, inner: &mut Inner, reactor: &mut Reactor) {
        let Some(fd) = inner.phase.fd() else { return };
        if let Origin::Accepted = inner.origin {
            transport::tune(fd, &inner.options);
        }
        let interest = Interest { read: true, write: matches!(inner.phase, Phase::Connecting(_)) };
        if let Err(error) = self.group.watch_new(fd, self.key, interest) {
            inner.break_off(self, Failure::System(error));
            return;
        }
        inner.interest = interest;
        if !inner.raw {
            let protocol = inner.options.protocol(self.kind);
            match security::mechanism(&inner.options) {
                Ok(mechanism) => {
                    let zmtp = Connection::with_mechanism(protocol, mechanism);
                    inner.zmtp = Some(Box::new(zmtp));
                }
                Err(error) => return inner.break_off(self, Failure::System(error)),
            }
            if let Ok(handshake_ms @ 1..) = u64::try_from(inner.options.handshake_ivl) {
                self.set_deadline(inner, reactor, Duration::from_millis(handshake_ms));
            }
        }
        inner.connect_deadline = Instant::NEVER;
        if let Phase::Connecting(_) = inner.phase
            && let Ok(connect_ms @ 1..) = u64::try_from(inner.options.connect_timeout)
        {
            let deadline = Instant::now() + Duration::from_millis(connect_ms);
            inner.connect_deadline = deadline;
            reactor.set_timer(deadline, self);
        }
        if inner.raw
            && let Phase::Handshake(_) = inner.phase
            && let Err(failure) = self.establish_raw(inner)
        {
            inner.break_off(self, failure);
        }
    }

    /// Feeds the handshake.
    pub(super) fn handshake(self: &Arc<Self>, inner: &mut Inner) -> Result<Handshake, Failure> {
        let peer = loop {
            let Some(zmtp) = &mut inner.zmtp else { return Ok(Handshake::Hungry) };
            let taken = zmtp.handle_handshake(inner.received.bytes()).map_err(Failure::Protocol)?;
            inner.received.consume(taken);
            if zmtp.credentials().is_none() {
                break zmtp.take_peer();
            }
            if !self.decide(inner)? {
                return Ok(Handshake::Undecided);
            }
        };
        let Some(peer) = peer else { return Ok(Handshake::Hungry) };
        let transcoder = inner.zmtp.as_ref().and_then(|zmtp| Transcoder::to(zmtp));
        let forwards_subscriptions = peer.forwards_subscriptions;
        let (user_id, mut properties) = match inner.admission.take().map(|admission| *admission) {
            Some(Admission::Granted(answer)) => (Some(answer.user_id), as_text(answer.properties)),
            _ => (None, Vec::new()),
        };
        application_properties(peer.metadata, &mut properties);
        let peer = Peer {
            identity: peer.identity,
            version: Some(peer.version),
            socket_type: peer.socket_type,
            properties,
            user_id,
        };
        let core = self.establish(inner, peer)?;
        let automatic = core.as_ref().map(|core| core.automatic).unwrap_or_default();
        if let Some(core) = core.filter(|core| core.takes_subscriptions) {
            inner.takes_subscriptions = forwards_subscriptions;
            if !forwards_subscriptions {
                // Such a peer filters by itself.
                core.peer_subscription(self.pipe(), true, b"").map_err(Failure::from)?;
            }
        }
        inner.transcoder = transcoder.map(Box::new);
        if let Some(zmtp) = &mut inner.zmtp
            && automatic.hello
            && !inner.options.hello_msg.is_empty()
        {
            // Not in the arena: before all that waits there, and once for each connection.
            zmtp.poll_transmit(&mut inner.control);
            zmtp.seal(false, &inner.options.hello_msg, &mut inner.control);
        }
        inner.start_heartbeats();
        self.tell(inner, || EventKind::HandshakeSucceeded);
        Ok(Handshake::Done)
    }

    /// The connection has its peer, and gets its pipe. Returns the socket, unless it is gone.
    pub(super) fn establish(
        self: &Arc<Self>,
        inner: &mut Inner,
        peer: Peer,
    ) -> Result<Option<Arc<Core>>, Failure> {
        let identity = peer.identity.clone();
        let descriptor = inner.phase.fd().map_or(0, sys::Fd::raw);
        inner.route = registry::enter(inner.route.with_peer(peer), descriptor);
        let (route, pipe) = (&inner.route, self.pipe());
        let core = self.core.upgrade();
        match inner.origin {
            // A closed socket is not told; what it had sent still goes out.
            Origin::Connect { .. } => {
                if core.as_ref().is_some_and(|core| !core.connected(self, pipe, route, &identity)) {
                    return Err(Failure::Refused(Rejection::IdentityTaken));
                }
            }
            Origin::Accepted => {
                let core = core.as_ref().ok_or(Failure::Refused(Rejection::Closed))?;
                let (pipe, ends) = core.attach(self, route, &identity).map_err(Failure::Refused)?;
                self.set_pipe(pipe);
                inner.out = Some(ends.out);
                inner.input = ends.input;
                inner.conflation = ends.conflation;
            }
        }
        inner.deadline = Instant::NEVER;
        inner.attempts = 0;
        inner.stands_since = Instant::now();
        // What came along with the end of the handshake is heard.
        inner.heard_before = inner.heard.wrapping_sub(u32::from(!inner.received.is_empty()));
        if let Phase::Handshake(fd) = mem::replace(&mut inner.phase, Phase::Offline) {
            inner.phase = Phase::Traffic(fd);
        }
        Ok(core)
    }

    // Ending.

    /// Sees to a connection that failed.
    fn check_broken(
        self: &Arc<Self>,
        inner: &mut Inner,
        reactor: &mut Reactor,
        garbage: &mut Vec<Message>,
    ) {
        if !matches!(inner.phase, Phase::Broken(_)) {
            return;
        }
        let torn = inner.torn();
        if torn > 0
            && let Some(core) = self.core.upgrade()
        {
            core.count_dropped(self.pipe(), DropReason::Torn, torn);
        }
        self.break_raw(inner);
        let unheard = mem::take(&mut inner.unheard);
        if unheard {
            inner.discards_input = inner.closing;
        }
        registry::leave(inner.route.number());
        // Closes the descriptor.
        inner.phase = Phase::Offline;
        inner.deadline = Instant::NEVER;
        inner.zmtp = None;
        inner.control = Vec::new();
        inner.control_sent = 0;
        inner.subscriptions_wait = false;
        inner.transcoder = None;
        inner.heartbeat = None;
        inner.admission = None;
        inner.received.clear();
        inner.large = None;
        inner.in_multipart = false;
        inner.multipart_bytes = 0;
        if let Some(input) = &mut inner.input {
            // What came by a connection is nobody's but ours to free.
            input.rollback(drop);
        }
        if let Some(out) = &mut inner.out {
            out.rewind();
        }
        let replaced = inner.rewind_conflation(garbage);
        if replaced > 0
            && let Some(core) = self.core.upgrade()
        {
            core.count_dropped(self.pipe(), DropReason::Conflated, replaced);
        }
        match inner.origin {
            Origin::Accepted => {
                if let Some(core) = self.core.upgrade().filter(|core| core.automatic.disconnect)
                    && !unheard
                {
                    let options = inner.options.clone();
                    self.receive_alone(inner, &core, &options.disconnect_msg);
                }
                self.end(inner, garbage);
            }
            Origin::Connect { .. } => {
                match self.core.upgrade() {
                    Some(core) if core.answers => self.renew_pipe(inner, &core, garbage),
                    Some(core) => {
                        let told = core.disconnected(self, self.pipe()) && core.automatic.hiccup;
                        let options = inner.options.clone();
                        let news = if told { &options.hiccup_msg[..] } else { &[] };
                        self.receive_alone(inner, &core, news);
                        self.sweep_later();
                    }
                    None => {}
                }
                self.connect_later(inner, reactor);
            }
        }
    }

    /// The socket receives a message that an option made, as if the peer had sent it. It comes from
    /// beyond the high-water mark if it must: one for a connection.
    #[cold]
    fn receive_alone(&self, inner: &mut Inner, core: &Core, body: &[u8]) {
        if body.is_empty() {
            return;
        }
        let mut message = Message::from(body);
        message.set_connection(inner.route.number());
        if let Some(conflation) = &mut inner.conflation {
            conflation.sink.push(message, true);
            self.publish_newest(conflation);
        } else if let Some(input) = &mut inner.input {
            input.push(message, true);
            if input.publish() {
                core.readable(self.pipe());
            }
        }
    }

    /// The replies that wait are for the peer that is gone.
    fn renew_pipe(self: &Arc<Self>, inner: &mut Inner, core: &Core, garbage: &mut Vec<Message>) {
        let Some(account) = inner.settle(garbage) else { return };
        let Some((pipe, ends)) = core.renew(self, self.pipe(), &inner.route, account) else {
            return;
        };
        self.set_pipe(pipe);
        inner.input = ends.input;
        inner.conflation = ends.conflation;
        inner.out = Some(ends.out);
    }

    fn check_closing(
        self: &Arc<Self>,
        inner: &mut Inner,
        reactor: &mut Reactor,
        garbage: &mut Vec<Message>,
    ) {
        if inner.gives_up && matches!(inner.phase, Phase::Offline) {
            return self.end(inner, garbage);
        }
        if !inner.closing {
            return;
        }
        let given_up = is_over(inner.linger_deadline);
        let unsent = inner.has_unsent();
        match &inner.phase {
            Phase::Traffic(_) if inner.is_flushed() => {
                let Phase::Traffic(fd) = mem::replace(&mut inner.phase, Phase::Offline) else {
                    return;
                };
                sys::shutdown_write(&fd);
                inner.phase = Phase::Draining(fd);
                self.watch(inner, Interest::READ);
                self.set_deadline(inner, reactor, DRAIN);
            }
            Phase::Traffic(_) if given_up => self.end(inner, garbage),
            Phase::Draining(_) | Phase::Ended | Phase::Traffic(_) => {}
            _ if given_up || !unsent => self.end(inner, garbage),
            _ => {}
        }
    }

    fn end(self: &Arc<Self>, inner: &mut Inner, garbage: &mut Vec<Message>) {
        if let Phase::Handshake(_) | Phase::Traffic(_) = inner.phase {
            self.tell_closed(inner);
        }
        if inner.in_vain {
            self.tell_given_up(inner);
        }
        if let Some(fd) = inner.phase.fd() {
            self.group.forget(fd);
        }
        registry::leave(inner.route.number());
        inner.phase = Phase::Ended;
        inner.deadline = Instant::NEVER;
        inner.zmtp = None;
        inner.transcoder = None;
        inner.heartbeat = None;
        inner.admission = None;
        inner.received.clear();
        if let Some(account) = inner.settle(garbage) {
            inner.account = account;
        }
        inner.out = None;
        inner.input = None;
        inner.conflation = None;
        inner.large = None;
    }

    /// The last step of a session that ended, with nothing held.
    fn leave(self: &Arc<Self>, account: Account, route: &Route) {
        let pipe = self.pipe();
        let ended = self.core.upgrade().is_some_and(|core| core.ended(pipe, account));
        if !ended && account.left > 0 {
            let (reason, messages) = (DropReason::Lingered, account.left);
            self.hub.emit(route, None, || EventKind::Dropped { reason, messages });
        }
        self.hub.source_ended();
        self.sweep_later();
        self.group.remove(self.key);
        self.context.session_ended();
    }

    /// The peer is gone: what is left of its subscriptions is forgotten by and by.
    fn sweep_later(&self) {
        if self.core.upgrade().is_some_and(|core| core.is_sweeping(None)) {
            self.io().post(Job::Sweep(self.core.clone()));
        }
    }

    fn drive_state(&self) -> &crate::drive::DriveState {
        &self.drive
    }
}

/// Looks at the clock only where there is a deadline.
fn is_over(deadline: Instant) -> bool {
    deadline != Instant::NEVER && deadline <= Instant::now()
}

/// Those of a peer's properties that its application gave it. What is known of the peer already is
/// not its own to say. It may send thousands: each is compared with few.
fn application_properties(
    metadata: Vec<(Vec<u8>, Vec<u8>)>,
    properties: &mut Vec<(String, Vec<u8>)>,
) {
    let mut known: BTreeSet<String> = properties.iter().map(|(name, _)| name.clone()).collect();
    // Not collected in place, which would keep the room of those that are left out.
    for (name, value) in as_text(metadata) {
        if name.starts_with("X-") && known.insert(name.clone()) {
            properties.push((name, value));
        }
    }
}

fn as_text(metadata: Vec<(Vec<u8>, Vec<u8>)>) -> Vec<(String, Vec<u8>)> {
    let as_text =
        |(name, value): (Vec<u8>, Vec<u8>)| (String::from_utf8_lossy(&name).into_owned(), value);
    metadata.into_iter().map(as_text).collect()
}

/// RECONNECT_STOP.
const STOP_CONN_REFUSED: i32 = 1;
const STOP_HANDSHAKE_FAILED: i32 = 2;
const STOP_AFTER_DISCONNECT: i32 = 4;

/// With RECONNECT_IVL 0. Arbitrary; without it, a refused connection is tried again and again with
/// all the processor's time.
const RECONNECT_MS_MIN: u64 = 1;

/// A connection that ended this soon after its handshake, with nothing heard, was cut short.
const CUT_SHORT: Duration = Duration::from_secs(1);

/// Up to what the delays after connections that were cut short double, unless RECONNECT_IVL_MAX says.
/// Arbitrary: a name that has become free is not left unused for long.
const CUT_SHORT_MS_MAX: u64 = 2000;

/// How long to wait before the next attempt; `None`: no more attempts. Random, so that many peers
/// of one server that restarts do not come back at the same moment.
fn reconnect_delay(options: &Options, attempts: u32, cut_short: u32) -> Option<Duration> {
    let first_ms = u64::try_from(options.reconnect_ivl).ok()?.max(RECONNECT_MS_MIN);
    let max_ms = u64::try_from(options.reconnect_ivl_max).unwrap_or(0);
    let jitter_ms = sys::random_u64() % first_ms;
    let cut_short = cut_short.saturating_sub(1);
    let (doublings, max_ms) = if max_ms > first_ms {
        (attempts.max(cut_short), max_ms)
    } else if cut_short > 0 {
        (cut_short, CUT_SHORT_MS_MAX.max(first_ms + jitter_ms))
    } else {
        return Some(Duration::from_millis(first_ms + jitter_ms));
    };
    // No overflow: both are below 2^31.
    let delay_ms = ((first_ms << doublings.min(31)) + jitter_ms).min(max_ms);
    Some(Duration::from_millis(delay_ms))
}

impl Inner {
    /// The connection ends. Who ends one in its handshake, or at once after it, with nothing more said,
    /// does not want this end: a ROUTER that knows another of this name, a server that starts and
    /// fails. Such a peer is tried ever more seldom.
    pub(super) fn count_cut_short(&mut self, failure: &Failure) {
        let is_cut_short = match self.phase {
            _ if self.raw => return,
            // Who has said nothing at all is no peer yet: a proxy without its server.
            Phase::Handshake(_) => {
                let refused = matches!(
                    failure,
                    Failure::EndOfStream
                        | Failure::System(_)
                        | Failure::Protocol(ProtocolError::RefusedByPeer { .. })
                );
                refused && self.heard != self.heard_before
            }
            Phase::Traffic(_) => {
                self.heard == self.heard_before
                    && Instant::now().saturating_since(self.stands_since) < CUT_SHORT
            }
            _ => return,
        };
        self.cut_short = if is_cut_short { self.cut_short.saturating_add(1) } else { 0 };
    }

    /// RECONNECT_STOP, and refused credentials: whether an attempt that so failed is the last one. Another
    /// address of the same name is still tried.
    pub(super) fn heed_reconnect_stop(&mut self, failure: &Failure, connected: bool) {
        let stop = self.options.reconnect_stop;
        self.gives_up = match failure {
            // "The peer SHALL treat an incoming ERROR command as fatal, and act by closing the connection,
            // and not re-connecting using the same security credentials." Where none were shown, none were
            // refused, and anybody at the address can say it.
            Failure::Protocol(ProtocolError::RefusedByPeer { .. })
                if self.zmtp.as_ref().is_some_and(|zmtp| zmtp.has_shown_credentials()) =>
            {
                true
            }
            _ if connected => stop & STOP_HANDSHAKE_FAILED != 0,
            Failure::System(error) => {
                // Over ipc there may not even be a path.
                let refused = [io::ErrorKind::ConnectionRefused, io::ErrorKind::NotFound];
                stop & STOP_CONN_REFUSED != 0 && refused.contains(&error.kind())
            }
            _ => false,
        };
    }

    /// Discards what waits in the pipe, and says what became of all that was in it.
    fn settle(&mut self, garbage: &mut Vec<Message>) -> Option<Account> {
        let out = self.out.as_mut()?;
        let taken = out.done();
        let mut left = out.discard(garbage).messages;
        if let Some(conflation) = &mut self.conflation {
            left += conflation.source.discard(garbage);
        }
        Some(Account { taken, left })
    }

    /// An endpoint connected to, to which no connection stands.
    fn is_between_connections(&self) -> bool {
        matches!(self.origin, Origin::Connect { .. })
            && matches!(self.phase, Phase::Offline | Phase::Resolving | Phase::Connecting(_))
    }

    /// The descriptor turned out to be connected.
    pub(super) fn become_connected(&mut self, session: &Session) -> Result<(), Failure> {
        let Phase::Connecting(fd) = &self.phase else { return Ok(()) };
        // A connect to a free port of the ephemeral range may meet itself.
        if sys::is_self_connected(fd) {
            return Err(Failure::System(io::ErrorKind::ConnectionRefused.into()));
        }
        self.route = Arc::new(Route::over(&self.route.endpoint, false, fd));
        self.in_vain = false;
        self.heard_before = self.heard;
        session.tell(self, || EventKind::Connected);
        if let Phase::Connecting(fd) = mem::replace(&mut self.phase, Phase::Offline) {
            self.phase = Phase::Handshake(fd);
        }
        Ok(())
    }
}
