//! What all handles of a socket share: its state behind one lock, and the connections' way to it.

use std::mem;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::biased::{Biased, Guard};
use crate::connection::Route;
use crate::context::ContextCore;
use crate::error::OpenSocket;
use crate::gather;
use crate::monitor::{EventKind, Hub};
use crate::option::Options;
use crate::pattern::{self, Automatic, Excess, Pattern, Refusal};
use crate::pipe::{arena, newest, slots};
use crate::reactor::{Group, Io, ListenerId};
use crate::session::{Conflation, Ends, Rejection, Session, Settings};
use crate::socket::pipes::{Account, Lingering, Link, Output, PeerNews, Pipe, PipeId, Pipes};
use crate::socket::spin::{self, Spin};
use crate::socket::waiters::{Events, Waiters, Wake};
use crate::statistics::DropReason;
use crate::{Message, SocketType};

/// With fewer endpoints it is not looked whether some have ended. Arbitrary.
pub(crate) const ENDPOINTS_MIN: usize = 16;

/// One socket. Lock order: a connection's driver may take `state`; nobody who holds `state` waits
/// for anything but the short leaf locks of groups, inboxes and pools.
pub(crate) struct Core {
    pub(crate) context: Arc<ContextCore>,
    pub(crate) kind: SocketType,
    pub(crate) state: Biased<State>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) spin: Spin,
    /// The epoll groups of its connections, one per I/O thread that serves any; `None` once the
    /// socket is closed.
    groups: Mutex<Option<Vec<Arc<Group>>>>,
    pub(crate) discards_input: bool,
    pub(crate) takes_subscriptions: bool,
    pub(crate) answers: bool,
    /// Whether connections made with these options are raw.
    pub(crate) raw: fn(&Options) -> bool,
    conflates: bool,
    pub(crate) automatic: Automatic,
}

pub(crate) struct State {
    pub(crate) pattern: Box<dyn Pattern>,
    pub(crate) pipes: Pipes,
    pub(crate) waiters: Waiters,
    pub(crate) options: Options,
    /// The same for connections, until an option is set.
    pub(crate) shared_options: Option<Arc<Settings>>,
    pub(crate) endpoints: Vec<(Arc<str>, Attached)>,
    /// With so many of them it is looked whether some have ended.
    endpoints_looked_at: usize,
    phase: Phase,
    /// Messages received so far.
    pub(crate) received: u64,
    /// `Pattern::sends_pairs`, as of the options that were set.
    pub(crate) sends_pairs: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The context is being terminated: only closing is left.
    Terminated,
    Closed,
    /// The socket is another process's, and this but stands in for its state.
    Forked,
}

/// What a call to `bind` or `connect` made.
pub(crate) enum Attached {
    Listener(Arc<Io>, ListenerId),
    InprocName(String),
    Connector(PipeId),
    InprocPipe(PipeId),
}

impl Core {
    pub(crate) fn new(
        context: Arc<ContextCore>,
        kind: SocketType,
        mut pattern: Box<dyn Pattern>,
        mut options: Options,
    ) -> Arc<Core> {
        options.socket_type = type_number(kind);
        pattern.configure(&options);
        Arc::new(Core {
            context,
            kind,
            discards_input: pattern.discards_input(),
            takes_subscriptions: pattern.takes_subscriptions(),
            answers: pattern.answers(),
            raw: pattern.raw(),
            conflates: pattern.conflates(),
            automatic: pattern.automatic(),
            spin: Spin::new(),
            hub: Hub::new(),
            groups: Mutex::new(Some(Vec::new())),
            state: Biased::new(State::new(pattern, options, Phase::Open)),
        })
    }

    // Operations that never wait.

    /// Sends a whole message, or nothing.
    #[inline]
    pub(crate) fn try_send(&self, parts: &mut [Message]) -> Result<(), Refusal> {
        self.retry_after_writing(|state| state.send(parts))
    }

    /// Sends a message of one part.
    #[inline]
    pub(crate) fn try_send_one(&self, part: &mut Message) -> Result<(), Refusal> {
        self.retry_after_writing(|state| state.send_one(part))
    }

    /// Runs `send`; once more if the thread had gathered what fills the pipe.
    #[inline]
    fn retry_after_writing(
        &self,
        mut send: impl FnMut(&mut State) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        loop {
            let mut state = self.lock()?;
            let sent = send(&mut state);
            self.finish(state);
            match sent {
                Err(Refusal::Again) if gather::write_before_refusal() => {}
                sent => return sent,
            }
        }
    }

    /// As [`Core::try_send_one`], by a caller who would wait.
    #[inline]
    pub(crate) fn send_one(&self, part: &mut Message) -> Result<(), Refusal> {
        let mut state = self.lock()?;
        state.pipes.lingering = Lingering::May;
        let sent = state.send_one(part);
        let lingers = mem::take(&mut state.pipes.lingering) == Lingering::Must;
        self.finish(state);
        if lingers { self.linger(|state| state.send_one(part)) } else { sent }
    }

    /// As [`Core::try_recv`], by a caller who would wait.
    #[inline]
    pub(crate) fn recv(&self, into: &mut Message) -> Result<(), Refusal> {
        let mut lingers = false;
        let received = self.retry_after_resume(|state| {
            state.pipes.lingering = Lingering::May;
            let received = state.recv(into);
            lingers = mem::take(&mut state.pipes.lingering) == Lingering::Must;
            received
        });
        if lingers { self.linger(|state| state.recv(into)) } else { received }
    }

    /// Runs `attempt`, which has failed because a busy socket of this process is not as far yet,
    /// again and again for a while.
    #[cold]
    fn linger(
        &self,
        mut attempt: impl FnMut(&mut State) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let mut looks = 0;
        loop {
            looks = spin::pause_between_looks(looks);
            let mut must = false;
            let tried = self.retry_after_resume(|state| {
                let may = looks < spin::LOOKS_MAX && state.options.spin;
                state.pipes.lingering = if may { Lingering::May } else { Lingering::No };
                let tried = attempt(state);
                must = mem::take(&mut state.pipes.lingering) == Lingering::Must;
                tried
            });
            if !must {
                return tried;
            }
        }
    }

    /// Receives one part.
    #[inline]
    pub(crate) fn try_recv(&self, into: &mut Message) -> Result<(), Refusal> {
        self.retry_after_resume(|state| state.recv(into))
    }

    /// Receives all the parts of a message (or those that are left of one begun).
    pub(crate) fn try_recv_multipart(&self) -> Result<Vec<Message>, Refusal> {
        self.retry_after_resume(|state| state.recv_multipart())
    }

    /// Runs `receive`; once more if that let a connection read on that had stopped at RCVHWM, or if the
    /// thread had gathered something.
    #[inline]
    pub(crate) fn retry_after_resume<T>(
        &self,
        mut receive: impl FnMut(&mut State) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        loop {
            let mut state = self.lock()?;
            let received = receive(&mut state);
            let resumed = state.pipes.after.resumes();
            self.finish(state);
            match received {
                Err(Refusal::Again) if resumed => {}
                Err(Refusal::Again) if gather::write_before_waiting() => {}
                received => return received,
            }
        }
    }

    /// What can be done now.
    pub(crate) fn events(&self) -> Result<Events, Refusal> {
        self.retry_after_resume(|state| {
            state.check()?;
            let events = state.pattern.events(&mut state.pipes);
            // A connection that reads on may bring more; one pass is enough to know of any.
            let resumed = state.pipes.after.resumes();
            if resumed && !events.intersects(Events::IN) { Err(Refusal::Again) } else { Ok(events) }
        })
    }

    pub(crate) fn subscribe(&self, add: bool, prefix: &[u8]) -> Result<(), Refusal> {
        self.with(|state| {
            state.check()?;
            state.pattern.subscribe(&mut state.pipes, add, prefix)
        })
    }

    /// Runs `f` under the lock, then what it left to do. In a child forked after the socket was
    /// made, `f` sees a state without anything in it, which refuses everything.
    #[inline]
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let Some(mut state) = self.state.lock() else { return f(&mut self.stand_in()) };
        let result = f(&mut state);
        self.finish(state);
        result
    }

    #[inline]
    fn lock(&self) -> Result<Guard<'_, State>, Refusal> {
        self.state.lock().ok_or(Refusal::Forked)
    }

    #[cold]
    #[inline(never)]
    fn stand_in(&self) -> Box<State> {
        let options = Options { socket_type: type_number(self.kind), ..Options::default() };
        Box::new(State::new(pattern::absent(), options, Phase::Forked))
    }

    /// Releases the lock, then does what had to wait for that.
    #[inline(always)]
    pub(crate) fn finish(&self, state: Guard<'_, State>) {
        if state.pipes.after.is_touched() {
            Core::run_after(state);
        }
    }

    #[inline(never)]
    fn run_after(mut state: Guard<'_, State>) {
        if state.pipes.after.is_turned() {
            let State { waiters, pipes, .. } = &mut *state;
            waiters.notify_pollers(pipes.after.wakes());
        }
        let after = mem::take(&mut state.pipes.after);
        drop(state);
        after.run();
    }

    // What connections and other sockets tell.

    /// A connection of a bound endpoint finished its handshake: it gets a pipe, unless its peer is
    /// not wanted.
    pub(crate) fn attach(
        &self,
        session: &Arc<Session>,
        route: &Arc<Route>,
        identity: &[u8],
    ) -> Result<(PipeId, Ends), Rejection> {
        self.with(|state| {
            state.check().map_err(|_| Rejection::Closed)?;
            // The endpoint may have been unbound during the handshake.
            let is_it =
                |at: &str, what| matches!(what, &Attached::Listener(..)) && *at == *route.endpoint;
            if !state.endpoints.iter().any(|(at, what)| is_it(at, what)) {
                return Err(Rejection::Closed);
            }
            let link = Link::Session(session.clone());
            let (id, ends) = state.new_session_pipe(link, route.clone(), self.conflates);
            if !state.pattern.attach(&mut state.pipes, id) {
                state.pipes.remove(id);
                return Err(Rejection::NoMorePeers);
            }
            if !state.pipe_connected(id, identity, session) {
                state.pattern.detach(&mut state.pipes, id);
                state.pipes.remove(id);
                return Err(Rejection::IdentityTaken);
            }
            Ok((id, ends))
        })
    }

    /// The connection of an endpoint connected to finished its handshake. False: its peer is not
    /// wanted.
    pub(crate) fn connected(
        &self,
        session: &Arc<Session>,
        id: PipeId,
        route: &Arc<Route>,
        identity: &[u8],
    ) -> bool {
        // What the last peer had subscribed to is not this one's.
        while self.is_sweeping(Some(id)) {
            self.sweep();
        }
        self.with(|state| {
            if let Some(pipe) = state.pipes.get(id) {
                pipe.route = route.clone();
            }
            if state.options.immediate {
                state.pattern.attach(&mut state.pipes, id);
            }
            state.pipe_connected(id, identity, session)
        })
    }

    /// The connection of an endpoint connected to is gone; another will be tried. Says whether its
    /// handshake had been done.
    pub(crate) fn disconnected(&self, session: &Session, id: PipeId) -> bool {
        self.with(|state| {
            session.forget_subscriptions();
            let mut was_connected = false;
            if let Some(pipe) = state.pipes.get(id) {
                was_connected = mem::take(&mut pipe.connected);
                state.pattern.disconnected(&mut state.pipes, id);
                if state.options.immediate {
                    state.pattern.detach(&mut state.pipes, id);
                }
                state.notify(Events::PEERS | Events::IN);
            }
            was_connected
        })
    }

    /// The peer has gone, though what it has sent is not read to its end: its name is free.
    #[cold]
    pub(crate) fn disown(&self, id: PipeId) {
        self.with(|state| {
            if state.pipes.get(id).is_some() {
                state.pattern.disown(&mut state.pipes, id);
                // All of them: a ROUTER's sends that wait for this peer (ROUTER_MANDATORY) fail.
                state.waiters.notify_all(state.pipes.after.wakes());
            }
        });
    }

    /// As [`Core::disconnected`], for a type that answers: what its peer had asked may still be
    /// read, what was to be sent to it goes nowhere, and the next connection gets a new pipe.
    pub(crate) fn renew(
        &self,
        session: &Arc<Session>,
        id: PipeId,
        route: &Arc<Route>,
        account: Account,
    ) -> Option<(PipeId, Ends)> {
        self.with(|state| {
            state.end_pipe(id, account);
            // While the context ends, the socket must still find the session to close it.
            if state.phase == Phase::Closed {
                return None;
            }
            let link = Link::Session(session.clone());
            let (new, ends) = state.new_session_pipe(link, route.clone(), self.conflates);
            if !state.options.immediate {
                state.pattern.attach(&mut state.pipes, new);
            }
            for (_, attached) in &mut state.endpoints {
                if let Attached::Connector(pipe) = attached
                    && *pipe == id
                {
                    *pipe = new;
                }
            }
            Some((new, ends))
        })
    }

    /// The pipe's other end is gone for good. False: this end was gone before, so that what was
    /// left in the pipe is for nobody.
    pub(crate) fn ended(&self, id: PipeId, account: Account) -> bool {
        self.with(|state| {
            // A connector that has given up.
            state.endpoints.retain(
                |(_, attached)| !matches!(attached, Attached::Connector(pipe) if *pipe == id),
            );
            state.end_pipe(id, account)
        })
    }

    /// Messages were dropped that had come through the pipe.
    #[cold]
    pub(crate) fn count_dropped(&self, id: PipeId, reason: DropReason, messages: u64) {
        self.with(|state| state.pipes.count_dropped(id, reason, messages));
    }

    /// The pipe has input, and its reader had gone to sleep.
    pub(crate) fn readable(&self, id: PipeId) {
        self.with(|state| state.readable(id));
    }

    /// The pipe has room, and its writer waited for it.
    pub(crate) fn writable(&self, id: PipeId) {
        self.with(|state| {
            state.pattern.writable(id);
            state.notify(Events::OUT);
        });
    }

    /// A peer subscribed, or unsubscribed. Refused: its connection is to end.
    pub(crate) fn peer_subscription(
        &self,
        id: PipeId,
        add: bool,
        prefix: &[u8],
    ) -> Result<(), Excess> {
        self.with(|state| {
            if state.pipes.get(id).is_some() {
                state.pattern.peer_subscription(&mut state.pipes, id, add, prefix)?;
                state.notify(Events::PEERS | Events::IN);
            }
            Ok(())
        })
    }

    /// As [`Core::peer_subscription`], of a socket of this process.
    fn far_subscription(&self, id: PipeId, add: bool, prefix: &[u8]) {
        if self.peer_subscription(id, add, prefix).is_err() {
            self.with(|state| {
                state.pattern.detach(&mut state.pipes, id);
                state.pipes.end(id);
                state.notify(Events::PEERS | Events::IN);
            });
            self.sweep_all();
        }
    }

    /// Forgets some of what peers that are gone had subscribed to. False: there is nothing left.
    pub(crate) fn sweep(&self) -> bool {
        self.with(|state| {
            let goes_on = state.pattern.sweep(&mut state.pipes);
            state.notify(Events::PEERS | Events::IN);
            goes_on
        })
    }

    /// The same, on the calling thread, to the end; others have the lock in between.
    pub(super) fn sweep_all(&self) {
        while self.is_sweeping(None) && self.sweep() {}
    }

    /// Whether anything is left to forget of a peer that is gone, or of any.
    pub(crate) fn is_sweeping(&self, pipe: Option<PipeId>) -> bool {
        self.takes_subscriptions && self.with(|state| state.pattern.is_sweeping(pipe))
    }

    /// Whether the peer that stands at the pipe's other end is to be heard no more.
    #[cold]
    pub(crate) fn is_unheard(&self, id: PipeId) -> bool {
        self.with(|state| state.pipes.get(id).is_some_and(|pipe| pipe.unheard))
    }

    pub(super) fn peer_news(&self, id: PipeId, news: PeerNews) {
        match news {
            PeerNews::Readable => self.readable(id),
            PeerNews::Writable => self.writable(id),
            PeerNews::Subscription(add, prefix) => self.far_subscription(id, add, &prefix),
            PeerNews::Ended(taken) => self.far_end_ended(id, taken),
            PeerNews::Hwms { sndhwm, rcvhwm, asks } => {
                self.with(|state| state.far_hwms(id, [sndhwm, rcvhwm], asks));
            }
        }
    }

    /// Whether a pipe made now holds the newest message alone: CONFLATE, and a type that it is for.
    pub(crate) fn conflates(&self, options: &Options) -> bool {
        self.conflates && options.conflate
    }

    // Groups.

    /// The epoll group of this socket's connections that `io` serves.
    pub(crate) fn group(&self, io: &Arc<Io>) -> std::io::Result<Arc<Group>> {
        let mut groups = self.groups.lock();
        let groups = groups.as_mut().ok_or(std::io::ErrorKind::NotConnected)?;
        if let Some(group) = groups.iter().find(|group| Arc::ptr_eq(group.io(), io)) {
            return Ok(group.clone());
        }
        let group = Group::new(io)?;
        groups.push(group.clone());
        Ok(group)
    }

    pub(crate) fn groups(&self) -> Vec<Arc<Group>> {
        self.groups.lock().clone().unwrap_or_default()
    }

    // Ends.

    /// The context is being terminated: every call ends.
    pub(crate) fn terminate(&self) {
        self.with(|state| {
            if state.phase == Phase::Open {
                state.phase = Phase::Terminated;
                state.waiters.notify_all(state.pipes.after.wakes());
            }
        });
    }

    /// As an error names it.
    pub(crate) fn named(&self) -> OpenSocket {
        let endpoints = self.with(|state| {
            state.forget_ended();
            state.endpoints.iter().map(|(at, _)| at.to_string()).collect()
        });
        OpenSocket { kind: self.kind, endpoints }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.with(|state| state.phase == Phase::Closed)
    }

    /// Closes the socket; false if it was closed before, or is the parent's. What was sent lingers.
    pub(crate) fn close(&self) -> bool {
        let Ok(mut state) = self.lock() else { return false };
        if state.phase == Phase::Closed {
            return false;
        }
        state.phase = Phase::Closed;
        let linger_ms = state.options.linger;
        let endpoints = mem::take(&mut state.endpoints);
        for (endpoint, attached) in &endpoints {
            if let Attached::Connector(id) = attached
                && let Some(Link::Session(session)) = state.pipes.get(*id).map(|pipe| &pipe.link)
            {
                self.context.lingers(endpoint, session);
            }
        }
        let (mut ended, mut told, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
        for id in state.pipes.ids() {
            if self.hub.is_active() {
                told.extend(state.pipes.get(id).and_then(Pipe::route_within));
            }
            if let Some((pipe, arrived)) = state.pipes.abandon(id) {
                match &pipe.link {
                    Link::Inproc(peer, peer_pipe) => {
                        state.pipes.after.tell(peer, *peer_pipe, PeerNews::Ended(arrived));
                    }
                    // What was sent waits for whoever binds.
                    Link::Unbound if linger_ms == 0 || pipe.sent() == 0 => {
                        forgotten.push((id, pipe.route.clone()));
                    }
                    Link::Unbound | Link::Session(_) => {}
                }
                ended.push(pipe);
            }
        }
        let held = state.pattern.held();
        state.pipes.count_dropped(PipeId::NOWHERE, DropReason::Unread, held);
        let State { waiters, pipes, .. } = &mut *state;
        waiters.notify_all(pipes.after.wakes());
        self.finish(state);

        for (_, attached) in endpoints {
            self.detach_endpoint(attached);
        }
        for (id, route) in forgotten {
            self.context.inproc().forget(self, id, &route.endpoint);
        }
        for pipe in ended {
            if let Link::Session(session) = &pipe.link {
                session.close(linger_ms);
            }
        }
        for group in self.groups.lock().take().unwrap_or_default() {
            group.close(linger_ms);
        }
        for route in told {
            self.tell_closed(&route);
        }
        self.hub.source_ended();
        self.context.socket_closed(self);
        true
    }

    /// Undoes a `bind`; connectors are closed through their pipes.
    pub(crate) fn detach_endpoint(&self, attached: Attached) {
        match attached {
            Attached::Listener(io, id) => io.unlisten(id),
            Attached::InprocName(name) => {
                self.context.inproc().unbind(&name);
                let route = Route::new(&format!("inproc://{name}").into(), true);
                self.hub.emit(&route, None, || EventKind::Closed);
            }
            Attached::Connector(_) | Attached::InprocPipe(_) => {}
        }
    }

    /// Ends the connections that were accepted at an endpoint (`unbind`).
    pub(super) fn end_accepted(&self, endpoint: &str) {
        let (sessions, linger_ms) = self.with(|state| {
            let mut sessions = Vec::new();
            for id in state.pipes.ids() {
                let Some(pipe) = state.pipes.get(id) else { continue };
                if let Link::Session(session) = &pipe.link
                    && pipe.route.bound
                    && *pipe.route.endpoint == *endpoint
                {
                    sessions.push(session.clone());
                    state.pipes.close_output(id);
                    state.pattern.detach(&mut state.pipes, id);
                }
            }
            state.notify(Events::PEERS);
            (sessions, state.options.linger)
        });
        self.sweep_all();
        for session in sessions {
            session.close(linger_ms);
        }
    }

    /// Ends one pipe from this side (`disconnect`).
    pub(crate) fn drop_pipe(&self, id: PipeId) {
        let (pipe, route, linger_ms) = self.with(|state| {
            let route = state.pipes.get(id).and_then(Pipe::route_within);
            state.pipes.close_output(id);
            state.pattern.detach(&mut state.pipes, id);
            (state.pipes.abandon(id), route, state.options.linger)
        });
        self.sweep_all();
        if let Some(route) = route {
            self.tell_closed(&route);
        }
        match pipe.as_ref().map(|(pipe, arrived)| (&pipe.link, *arrived)) {
            Some((Link::Session(session), _)) => session.close(linger_ms),
            Some((Link::Inproc(peer, peer_pipe), arrived)) => {
                if let Some(peer) = peer.upgrade() {
                    peer.peer_news(*peer_pipe, PeerNews::Ended(arrived));
                }
            }
            Some((Link::Unbound, _)) | None => {}
        }
        if let Some((Pipe { link: Link::Unbound, route, .. }, _)) = &pipe {
            self.context.inproc().forget(self, id, &route.endpoint);
        }
    }
}

impl State {
    fn new(pattern: Box<dyn Pattern>, options: Options, phase: Phase) -> State {
        State {
            sends_pairs: pattern.sends_pairs(),
            pattern,
            pipes: Pipes::default(),
            waiters: Waiters::default(),
            options,
            shared_options: None,
            endpoints: Vec::new(),
            endpoints_looked_at: ENDPOINTS_MIN,
            phase,
            received: 0,
        }
    }

    /// Refuses everything once the socket or its context has ended.
    #[inline]
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Open => Ok(()),
            Phase::Terminated => Err(Refusal::Terminated),
            Phase::Closed => Err(Refusal::Closed),
            Phase::Forked => Err(Refusal::Forked),
        }
    }

    #[inline]
    pub(crate) fn send_one(&mut self, part: &mut Message) -> Result<(), Refusal> {
        self.check()?;
        self.pattern.send(&mut self.pipes, part)
    }

    #[inline]
    pub(crate) fn send(&mut self, parts: &mut [Message]) -> Result<(), Refusal> {
        self.check()?;
        let Some((first, rest)) = parts.split_first_mut() else { return Err(Refusal::Empty) };
        if self.sends_pairs {
            match rest {
                // However full the connection is.
                [end] if end.is_empty() => return self.pattern.hang_up(&mut self.pipes, first),
                [_] => {}
                _ => return Err(Refusal::NotAPair),
            }
        }
        self.pattern.send(&mut self.pipes, first)?;
        for part in rest {
            self.pattern.send(&mut self.pipes, part)?;
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn recv(&mut self, into: &mut Message) -> Result<(), Refusal> {
        self.check()?;
        self.pattern.recv(&mut self.pipes, into)?;
        self.received();
        Ok(())
    }

    pub(crate) fn recv_multipart(&mut self) -> Result<Vec<Message>, Refusal> {
        self.check()?;
        let mut part = Message::new();
        self.pattern.recv(&mut self.pipes, &mut part)?;
        let mut parts = Vec::new();
        while part.more() {
            parts.push(part.take());
            if self.pattern.recv(&mut self.pipes, &mut part).is_err() {
                break;
            }
        }
        parts.push(part);
        self.received();
        Ok(parts)
    }

    #[inline]
    fn received(&mut self) {
        self.received += 1;
        // Several messages may have come with one notification: it is passed on.
        if !self.waiters.is_empty() && self.pattern.may_have_input() {
            self.waiters.pass_on(Events::IN, self.pipes.after.wakes());
        }
    }

    pub(crate) fn hwms(&self) -> [i32; 2] {
        [self.options.sndhwm, self.options.rcvhwm]
    }

    /// SNDHWM or RCVHWM was set: for the pipes that are there too.
    #[cold]
    pub(crate) fn update_hwms(&mut self) {
        let [sndhwm, rcvhwm] = self.hwms();
        for id in self.pipes.ids() {
            self.pipes.set_hwms(id, sndhwm as u32, rcvhwm as u32);
        }
        for pipe in self.pipes.ids() {
            // What was full may have room now.
            self.pattern.writable(pipe);
        }
        self.notify(Events::OUT);
    }

    /// The socket at the other end of a pipe has these high-water marks now. `asks`: it wants to know
    /// ours.
    fn far_hwms(&mut self, id: PipeId, [sndhwm, rcvhwm]: [i32; 2], asks: bool) {
        let ours = self.hwms();
        let Some(pipe) = self.pipes.get(id) else { return };
        if let Output::Slots(slots) = &mut pipe.output {
            slots.set_hwm(crate::transport::inproc::sum(ours[0], rcvhwm));
        }
        pipe.rcvhwm = crate::transport::inproc::sum(sndhwm, ours[1]);
        if let (true, Link::Inproc(peer, peer_pipe)) = (asks, &pipe.link) {
            let news = PeerNews::Hwms { sndhwm: ours[0], rcvhwm: ours[1], asks: false };
            let (peer, peer_pipe) = (peer.clone(), *peer_pipe);
            self.pipes.after.tell(&peer, peer_pipe, news);
        }
        self.pattern.writable(id);
        self.notify(Events::OUT);
    }

    /// As [`Core::readable`].
    pub(crate) fn readable(&mut self, id: PipeId) {
        if self.pattern.discards_input() {
            self.pipes.discard_input(id);
        } else {
            self.pattern.readable(id);
            self.notify(Events::IN);
        }
    }

    /// A waiter leaves; a notification that it did not use goes to another. Returns what it was to be
    /// woken with, to be dropped with the lock released.
    #[must_use = "what a waker does when it is dropped is not for under the lock"]
    pub(crate) fn end_wait(&mut self, id: u64, events: Events) -> Option<Wake> {
        let (unused, wake) = self.waiters.deregister(id, self.pipes.after.wakes());
        if unused && !self.waiters.is_empty() && !cfg!(oxmq_mutation = "sim_lost_wakeup") {
            self.notify(events);
        }
        wake
    }

    pub(crate) fn notify(&mut self, events: Events) {
        self.waiters.notify(events, self.pipes.after.wakes());
    }

    /// A pipe to a connection, not yet attached to the pattern. `may_conflate`: CONFLATE is for
    /// sockets of this type.
    pub(crate) fn new_session_pipe(
        &mut self,
        link: Link,
        route: Arc<Route>,
        may_conflate: bool,
    ) -> (PipeId, Ends) {
        if may_conflate && self.options.conflate {
            let ((writer, source), (sink, reader)) = (newest(), newest());
            let mut pipe = Pipe::new(Output::Newest(writer), slots(0).1, link, route);
            pipe.conflate(reader);
            let (arena, out) = arena(0);
            let conflation = Box::new(Conflation { source, arena, sink });
            let ends = Ends { out, input: None, conflation: Some(conflation) };
            return (self.pipes.insert(pipe), ends);
        }
        let (writer, out) = arena(self.options.sndhwm as u32);
        let (input, reader) = slots(self.options.rcvhwm as u32);
        let mut pipe = Pipe::new(Output::Arena(writer), reader, link, route);
        pipe.rcvhwm = input.hwm();
        // Half of what may wait: the sender writes before it would be stopped, or lose messages.
        pipe.unwritten.messages_max = (self.options.sndhwm as u32).div_ceil(2);
        let id = self.pipes.insert(pipe);
        (id, Ends { out, input: Some(input), conflation: None })
    }

    /// The options as connections made now keep them: one copy for all.
    pub(crate) fn shared_options(&mut self) -> Arc<Settings> {
        let State { shared_options, options, .. } = self;
        shared_options.get_or_insert_with(|| Arc::new(Settings::new(options.clone()))).clone()
    }

    /// CONNECT_ROUTING_ID, for the connect that a pipe was just made for. Refused: the name is
    /// another peer's.
    pub(crate) fn name_pipe(&mut self, id: PipeId) -> Result<(), Refusal> {
        let name = mem::take(&mut self.options.connect_routing_id);
        let Some(pipe) = self.pipes.get(id).filter(|_| !name.is_empty()) else { return Ok(()) };
        let before = mem::replace(&mut pipe.identity, name.into());
        match self.pattern.name(&mut self.pipes, id) {
            Some(false) => Err(Refusal::State("a name that no peer bears")),
            named => {
                let Some(pipe) = self.pipes.get(id) else { return Ok(()) };
                pipe.named = named.is_some();
                if !pipe.named {
                    pipe.identity = before;
                }
                Ok(())
            }
        }
    }

    /// False: the peer is not wanted.
    fn pipe_connected(&mut self, id: PipeId, identity: &[u8], session: &Session) -> bool {
        // A closed socket is not told; what it had sent still goes out.
        let Some(pipe) = self.pipes.get(id) else { return true };
        // A name made up for the endpoint stays, and so does one that the application gave.
        if !identity.is_empty() && !pipe.named {
            pipe.identity = identity.into();
        }
        pipe.unheard = false;
        if !self.pattern.identified(&mut self.pipes, id) {
            return false;
        }
        let Some(pipe) = self.pipes.get(id) else { return false };
        pipe.connected = true;
        let mut prefixes = Vec::new();
        self.pattern.subscriptions(&mut |prefix| prefixes.push(prefix.into()));
        session.queue_subscriptions(prefixes);
        self.notify(Events::PEERS | Events::OUT | Events::IN);
        true
    }

    /// Remembers a connect over inproc. Peers come and go: from time to time the gone are forgotten.
    pub(crate) fn add_inproc_pipe(&mut self, endpoint: Arc<str>, id: PipeId) {
        if self.endpoints.len() >= self.endpoints_looked_at {
            self.forget_ended();
            self.endpoints_looked_at = (self.endpoints.len() * 2).max(ENDPOINTS_MIN);
        }
        self.endpoints.push((endpoint, Attached::InprocPipe(id)));
    }

    /// Over inproc nobody connects again: an endpoint whose pipe is gone is connected to no more.
    pub(crate) fn forget_ended(&mut self) {
        let pipes = &mut self.pipes;
        self.endpoints.retain(|(_, attached)| match attached {
            Attached::InprocPipe(pipe) => pipes.get(*pipe).is_some(),
            _ => true,
        });
    }

    /// False: this side had closed it, or disconnected, and the monitors are still to be told what
    /// was left in it.
    pub(crate) fn end_pipe(&mut self, id: PipeId, account: Account) -> bool {
        let Some(pipe) = self.pipes.get(id) else {
            self.pipes.dropped.add(DropReason::Lingered, account.left);
            return false;
        };
        pipe.input_ended = true;
        let lost = pipe.lost(account);
        self.pipes.count_dropped(id, DropReason::Disconnected, lost);
        self.pipes.close_output(id);
        self.pattern.detach(&mut self.pipes, id);
        if self.pipes.is_spent(id) {
            self.pipes.discard(id);
        }
        // All of them: a ROUTER's sends that wait for this peer (ROUTER_MANDATORY) fail.
        self.waiters.notify_all(self.pipes.after.wakes());
        true
    }
}

/// libzmq's number for a socket type.
fn type_number(kind: SocketType) -> i32 {
    kind.number().into()
}
