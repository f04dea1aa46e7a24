//! Sockets: the dynamic [`Socket`], and what all types share.

pub(crate) mod after;
pub(crate) mod core;
mod future;
pub(crate) mod pipes;
mod poll;
pub(crate) mod poller;
mod spin;
pub(crate) mod task;
pub(crate) mod turn;
mod typed;
pub(crate) mod wait;
pub(crate) mod waiters;
mod watch;

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use crate::connection::Route;
use crate::context::{Context, Shared};
use crate::endpoint::Endpoint;
use crate::error::{
    BindError, ConnectError, RecvError, SendError, SendErrorKind, SocketError, UnbindError,
    WaitError,
};
use crate::gather;
use crate::monitor::{EventKind, Reason};
use crate::option::{Opt, OptionError, OptionValue, Options, Range};
use crate::pattern::Refusal;
use crate::reactor::{Listener, ListenerId};
use crate::session::{Ends, Session};
use crate::socket::core::{Attached, Core, State};
use crate::socket::pipes::Link;
use crate::socket::wait::{Blocked, Deadline, Woken, deadline_in_ms};
use crate::sys::Instant;
use crate::transport;
use crate::{Message, SocketType};

pub use future::{Ready, Recv, RecvMultipart, Send};
#[cfg(not(oxmq_sim))]
pub(crate) use poll::poll_masked;
pub use poll::{PollItem, poll};
pub use poller::{Poller, PollerError, PollerEvent};
pub use typed::{
    Dealer, Pair, Publisher, Pull, Push, Reply, Request, Router, Stream, Subscriber, XPublisher,
    XSubscriber,
};
pub use waiters::Events;

/// A socket of any type, for programs that choose the type as they run; the types
/// ([`Push`], [`Request`], …) offer only what they can do.
///
/// All methods take `&self`: a socket may be used by several threads and tasks at once, blocking or
/// awaited. Each send, and each `recv_multipart`, does the whole of one message. The receives of one part
/// (`recv` and its like) are for messages of one part, or for a receiver that has the socket to itself:
/// whoever receives next, on whichever thread or task, gets the next part of the same message.
pub struct Socket {
    core: Arc<Core>,
    /// The context lives as long as its sockets.
    _context: Arc<Shared>,
}

impl Socket {
    pub(crate) fn new(core: Arc<Core>, context: Arc<Shared>) -> Socket {
        Socket { core, _context: context }
    }

    pub(crate) fn create(context: &Context, kind: SocketType) -> Result<Socket, SocketError> {
        context.socket(kind)
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The type of the socket.
    pub fn kind(&self) -> SocketType {
        self.core.kind
    }

    // Plugging in.

    /// Accepts peers at an endpoint, and returns the endpoint with what `*` was replaced by.
    ///
    /// # Errors
    /// [`BindError`]: the endpoint is wrong or in use, or the system refused.
    pub fn bind(&self, endpoint: &str) -> Result<String, BindError> {
        let parsed: Endpoint = endpoint.parse().map_err(BindError::Endpoint)?;
        parsed.check_bind().map_err(BindError::Endpoint)?;
        self.check().map_err(bind_refusal)?;
        if matches!(parsed, Endpoint::Inproc(_)) && self.is_raw() {
            return Err(BindError::NotSupported { endpoint: endpoint.into() });
        }
        let bound = match parsed {
            Endpoint::Inproc(name) => self.bind_within(endpoint, name),
            parsed => self.bind_stream(endpoint, &parsed),
        };
        if let Err(BindError::AddrInUse { .. } | BindError::System { .. }) = &bound {
            let route = Route::new(&Arc::from(endpoint), true);
            self.core.hub.emit(&route, None, || {
                EventKind::BindFailed(match &bound {
                    Err(BindError::System { source, .. }) => Reason::system(source),
                    _ => Reason::address_in_use(),
                })
            });
        }
        bound
    }

    fn bind_within(&self, endpoint: &str, name: String) -> Result<String, BindError> {
        if !self.core.context.inproc().bind(&self.core, &name) {
            return Err(BindError::AddrInUse { endpoint: endpoint.into() });
        }
        let route = Route::new(&Arc::from(endpoint), true);
        self.core.hub.emit(&route, None, || EventKind::Listening);
        self.add_endpoint(endpoint.into(), Attached::InprocName(name))
    }

    fn bind_stream(&self, endpoint: &str, parsed: &Endpoint) -> Result<String, BindError> {
        let options = self.core.with(State::shared_options);
        let failed = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AddrInUse => BindError::AddrInUse { endpoint: endpoint.into() },
            _ => BindError::System { endpoint: endpoint.into(), source },
        };
        let io = self.core.context.least_loaded(options.affinity).map_err(failed)?;
        let listening = transport::listen(parsed, &options).map_err(failed)?;
        let actual = listening.addr.to_string();
        let id = ListenerId::new();
        let listener = Listener::new(&self.core, listening, &actual, options);
        // First this: who is accepted must find the endpoint bound.
        let bound = self.add_endpoint(actual, Attached::Listener(io.clone(), id))?;
        let listening = io.listen(id, listener).map_err(failed);
        let is_bound = self.core.with(|state| {
            let is_it =
                |what: &Attached| matches!(what, Attached::Listener(_, held) if *held == id);
            if listening.is_err() {
                state.endpoints.retain(|(_, what)| !is_it(what));
            }
            state.endpoints.iter().any(|(_, what)| is_it(what))
        });
        if !is_bound {
            // Unbound or closed meanwhile, perhaps before it listened.
            io.unlisten(id);
        }
        listening?;
        self.check().map_err(bind_refusal)?;
        Ok(bound)
    }

    /// Connects to an endpoint, now or whenever a peer is there, again and again.
    ///
    /// A DEALER, PUB, REQ or SUB that is connected to the endpoint already, or bound to it, stays as
    /// it is: a second connection would bring every message twice, or take every other one. The
    /// text of the endpoint decides; after a [`disconnect`](Socket::disconnect) connecting counts
    /// again. Sockets of the other types, and all over inproc, get one connection for each call.
    ///
    /// # Errors
    /// [`ConnectError`]: the endpoint is wrong. That nobody is there is no error.
    pub fn connect(&self, endpoint: &str) -> Result<(), ConnectError> {
        let parsed: Endpoint = endpoint.parse().map_err(ConnectError::Endpoint)?;
        parsed.check_connect().map_err(ConnectError::Endpoint)?;
        self.check().map_err(connect_refusal)?;
        if let Endpoint::Inproc(name) = &parsed {
            if self.is_raw() {
                return Err(ConnectError::NotSupported { endpoint: endpoint.into() });
            }
            self.core.with(|state| state.options.last_endpoint = endpoint.into());
            let connected = self.core.context.inproc().connect(&self.core, name);
            return connected.map_err(connect_refusal);
        }
        let failed =
            |source: std::io::Error| ConnectError::System { endpoint: endpoint.into(), source };
        let options = self.core.with(State::shared_options);
        if let Endpoint::Tcp(tcp) = &parsed
            && !tcp.host.is_looked_up()
        {
            crate::endpoint::resolve(tcp, options.ipv6, false).map_err(failed)?;
        }
        let io = self.core.context.least_loaded(options.affinity).map_err(failed)?;
        let group = self.core.group(&io).map_err(failed)?;
        let connected = self.core.with(|state| {
            // It may have been closed meanwhile; from here on closing finds the session.
            state.check()?;
            // As libzmq does it: the text decides, and what is bound there counts too.
            let stands = || state.endpoints.iter().any(|(held, _)| **held == *endpoint);
            if state.pattern.connects_once() && stands() {
                return Ok(None);
            }
            let route = Arc::new(Route::new(&Arc::from(endpoint), false));
            let make = |ends| Session::connect(&self.core, group, route.clone(), options, ends);
            let may_conflate = state.pattern.conflates();
            state.connect_pipe(make, &route, may_conflate).map(Some)
        });
        if let Some((session, id)) = connected.map_err(connect_refusal)? {
            session.set_pipe(id);
            session.start();
        }
        Ok(())
    }

    /// Undoes a `bind`. Connections that were accepted there are closed: what was sent to them
    /// lingers, what they had sent can still be received. (Over inproc they stay.)
    ///
    /// # Errors
    /// [`UnbindError::NotBound`] for an endpoint that `bind` did not return.
    pub fn unbind(&self, endpoint: &str) -> Result<(), UnbindError> {
        self.detach(endpoint, |attached| {
            matches!(attached, Attached::Listener(..) | Attached::InprocName(_))
        })
    }

    /// Undoes a `connect`; what waits to be sent there lingers.
    ///
    /// # Errors
    /// [`UnbindError::NotBound`] for an endpoint that was not connected to.
    pub fn disconnect(&self, endpoint: &str) -> Result<(), UnbindError> {
        self.detach(endpoint, |attached| {
            matches!(attached, Attached::Connector(_) | Attached::InprocPipe(_))
        })
    }

    /// What the last `bind` or `connect` came to.
    pub fn last_endpoint(&self) -> String {
        self.core.with(|state| state.options.last_endpoint.clone())
    }

    /// Whether connections made now carry bytes as they are.
    fn is_raw(&self) -> bool {
        self.core.with(|state| (self.core.raw)(&state.options))
    }

    fn check(&self) -> Result<(), Refusal> {
        self.core.with(|state| state.check())
    }

    /// Remembers what `bind` made; takes it back if the socket was closed meanwhile.
    fn add_endpoint(&self, endpoint: String, attached: Attached) -> Result<String, BindError> {
        let refused = self.core.with(|state| match state.check() {
            Ok(()) => {
                state.options.last_endpoint = endpoint.clone();
                state.endpoints.push((endpoint.as_str().into(), attached));
                None
            }
            Err(refusal) => Some((refusal, attached)),
        });
        match refused {
            None => Ok(endpoint),
            Some((refusal, attached)) => {
                self.core.detach_endpoint(attached);
                Err(bind_refusal(refusal))
            }
        }
    }

    fn detach(
        &self,
        endpoint: &str,
        is_right: impl Fn(&Attached) -> bool,
    ) -> Result<(), UnbindError> {
        let found = self.core.with(|state| {
            state.check()?;
            state.forget_ended();
            let mut endpoints = state.endpoints.iter();
            let at = endpoints.position(|(held, what)| **held == *endpoint && is_right(what));
            Ok(at.map(|at| state.endpoints.remove(at)))
        });
        match found {
            Err(Refusal::Terminated) => Err(UnbindError::Terminated),
            Err(Refusal::Forked) => Err(UnbindError::Forked),
            Err(_) => Err(UnbindError::Closed),
            Ok(None) => Err(UnbindError::NotBound { endpoint: endpoint.into() }),
            Ok(Some((_, Attached::Connector(pipe) | Attached::InprocPipe(pipe)))) => {
                self.core.drop_pipe(pipe);
                Ok(())
            }
            Ok(Some((endpoint, attached))) => {
                let accepts = matches!(attached, Attached::Listener(..));
                self.core.detach_endpoint(attached);
                if accepts {
                    self.core.end_accepted(&endpoint);
                }
                Ok(())
            }
        }
    }

    // Options.

    /// Sets an option; most apply to what is bound or connected after it.
    ///
    /// # Errors
    /// [`OptionError`] names the option, the value and what it may be.
    pub fn set<T: Into<OptionValue>>(&self, option: Opt<T>, value: T) -> Result<(), OptionError> {
        self.set_option(|options| options.set(option, value))
    }

    pub(crate) fn set_option(
        &self,
        set: impl FnOnce(&mut Options) -> Result<(), OptionError>,
    ) -> Result<(), OptionError> {
        self.core.with(|state| {
            state.check().map_err(option_refusal)?;
            let hwms = state.hwms();
            set(&mut state.options)?;
            if state.hwms() != hwms {
                state.update_hwms();
            }
            state.shared_options = None;
            state.pattern.configure(&state.options);
            state.sends_pairs = state.pattern.sends_pairs();
            state.pipes.turned();
            Ok(())
        })
    }

    /// The value of an option. (In a child forked after the socket was made, its default.)
    pub fn get<T>(&self, option: Opt<T>) -> T {
        self.core.with(|state| {
            if matches!(option.spec().range(), Range::ReadOnly | Range::RoutingId) {
                state.pattern.report(&mut state.options);
            }
            state.options.get(option)
        })
    }

    // Carrying messages.

    /// Sends a message of one part; waits, up to SNDTIMEO, for a peer that can take it.
    ///
    /// # Errors
    /// [`SendError`] holds the message.
    pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let mut part = message.into();
        part.set_more(false);
        match self.core.send_one(&mut part) {
            Ok(()) => Ok(()),
            Err(refusal) => self.send_refused(part, refusal),
        }
    }

    /// As [`Socket::send`], but never waits.
    ///
    /// # Errors
    /// [`SendError`] holds the message; its kind is `Again` if no peer can take it now.
    pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
        let mut part = message.into();
        part.set_more(false);
        let sent = self.core.try_send_one(&mut part);
        sent.map_err(|refusal| SendError::new(send_refusal(refusal), vec![part]))
    }

    /// Sends a message of several parts, whole or not at all; waits as [`Socket::send`] does.
    ///
    /// # Errors
    /// [`SendError`] holds the message.
    pub fn send_multipart<P: Into<Message>>(
        &self,
        parts: impl IntoIterator<Item = P>,
    ) -> Result<(), SendError> {
        let mut parts = collect_parts(parts);
        self.send_parts(&mut parts).map_err(|kind| SendError::new(kind, parts))
    }

    /// As [`Socket::send_multipart`], but never waits.
    ///
    /// # Errors
    /// [`SendError`] holds the message.
    pub fn try_send_multipart<P: Into<Message>>(
        &self,
        parts: impl IntoIterator<Item = P>,
    ) -> Result<(), SendError> {
        let mut parts = collect_parts(parts);
        let sent = self.core.try_send(&mut parts);
        sent.map_err(|refusal| SendError::new(send_refusal(refusal), parts))
    }

    /// Receives one part; waits, up to RCVTIMEO, for a message. [`Message::more`] says whether
    /// further parts of the same message follow. They go to whoever receives next: of several
    /// receivers each calls [`Socket::recv_multipart`].
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv(&self) -> Result<Message, RecvError> {
        let mut part = Message::new();
        match self.core.recv(&mut part) {
            Ok(()) => Ok(part),
            Err(Refusal::Again) => self.recv_until(self.recv_deadline()),
            Err(refusal) => Err(recv_refusal(refusal)),
        }
    }

    /// As [`Socket::recv`], but never waits.
    ///
    /// # Errors
    /// [`RecvError::Again`] if no message is there.
    pub fn try_recv(&self) -> Result<Message, RecvError> {
        let mut part = Message::new();
        self.core.try_recv(&mut part).map(|()| part).map_err(recv_refusal)
    }

    /// As [`Socket::recv`], waiting for so long at most, whatever RCVTIMEO says.
    ///
    /// # Errors
    /// [`RecvError::Again`] if no message came in time.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Message, RecvError> {
        self.recv_until(Some(Instant::now() + timeout))
    }

    /// Receives a whole message, or what is left of one that was received in part; waits as
    /// [`Socket::recv`] does.
    ///
    /// # Errors
    /// [`RecvError`].
    pub fn recv_multipart(&self) -> Result<Vec<Message>, RecvError> {
        match self.core.try_recv_multipart() {
            Err(Refusal::Again) => {
                let deadline = self.recv_deadline();
                let received = self.core.block_on(Events::IN, deadline, State::recv_multipart);
                received.map_err(recv_blocked)
            }
            received => received.map_err(recv_refusal),
        }
    }

    /// As [`Socket::recv_multipart`], but never waits.
    ///
    /// # Errors
    /// [`RecvError::Again`] if no message is there.
    pub fn try_recv_multipart(&self) -> Result<Vec<Message>, RecvError> {
        self.core.try_recv_multipart().map_err(recv_refusal)
    }

    /// Sends a message when a peer can take it. The future belongs to no executor; dropping it
    /// cancels the whole message or none of it. After some hundred messages that could be sent at
    /// once it gives way to other tasks, as all futures of the library do: it is pending, and has
    /// its task woken at once.
    pub fn send_async<P: Into<Message>>(&self, parts: impl IntoIterator<Item = P>) -> Send<'_> {
        Send::new(&self.core, collect_parts(parts))
    }

    /// Receives one part when there is one; further parts of its message ([`Message::more`]) go to
    /// whoever receives next. Several tasks that receive messages of several parts each await
    /// [`Socket::recv_multipart_async`]. Dropping the future loses nothing.
    pub fn recv_async(&self) -> Recv<'_> {
        Recv::new(&self.core)
    }

    /// Receives a whole message when there is one, or what is left of one that was received in part.
    /// Dropping the future loses nothing.
    pub fn recv_multipart_async(&self) -> RecvMultipart<'_> {
        RecvMultipart::new(&self.core)
    }

    /// Waits for any of the `wanted` events, and says which it is. Whoever then acts may find that
    /// another was quicker.
    ///
    /// ```
    /// use oxmq::{Context, Events, Pull, Push};
    /// # fn block_on<T>(future: impl Future<Output = T>) -> T {
    /// #     struct Unpark(std::thread::Thread);
    /// #     impl std::task::Wake for Unpark {
    /// #         fn wake(self: std::sync::Arc<Self>) {
    /// #             self.0.unpark();
    /// #         }
    /// #     }
    /// #     let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
    /// #     let mut future = std::pin::pin!(future);
    /// #     loop {
    /// #         let poll = future.as_mut().poll(&mut std::task::Context::from_waker(&waker));
    /// #         if let std::task::Poll::Ready(value) = poll {
    /// #             return value;
    /// #         }
    /// #         std::thread::park();
    /// #     }
    /// # }
    /// let context = Context::new();
    /// let pull = Pull::new(&context)?;
    /// pull.bind("inproc://ready")?;
    /// let push = Push::new(&context)?;
    /// push.connect("inproc://ready")?;
    /// let sender = std::thread::spawn(move || push.send("now"));
    /// // On any executor: pull.as_ref().ready_async(Events::IN).await
    /// assert_eq!(block_on(pull.as_ref().ready_async(Events::IN))?, Events::IN);
    /// assert_eq!(&pull.try_recv()?[..], b"now");
    /// # sender.join().unwrap()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`WaitError::Terminated`] or [`WaitError::Closed`].
    pub fn ready_async(&self, wanted: Events) -> Ready<'_> {
        Ready::new(&self.core, wanted)
    }

    /// What can be done now without waiting.
    ///
    /// # Errors
    /// [`WaitError::Terminated`] or [`WaitError::Closed`].
    pub fn events(&self) -> Result<Events, WaitError> {
        let events = || self.core.events().map_err(wait_refusal);
        let mut found = events()?;
        // Who finds nothing is about to wait.
        while !found.intersects(Events::IN) && gather::end_burst() {
            found = events()?;
        }
        Ok(found)
    }

    // Subscriptions.

    /// SUB: messages that begin with `prefix` are wanted. Subscriptions add up.
    ///
    /// # Errors
    /// [`OptionError`] on a closed socket or a type that has no subscriptions.
    pub fn subscribe(&self, prefix: impl AsRef<[u8]>) -> Result<(), OptionError> {
        self.core.subscribe(true, prefix.as_ref()).map_err(option_refusal)
    }

    /// SUB: takes one subscription to `prefix` back.
    ///
    /// # Errors
    /// As [`Socket::subscribe`].
    pub fn unsubscribe(&self, prefix: impl AsRef<[u8]>) -> Result<(), OptionError> {
        self.core.subscribe(false, prefix.as_ref()).map_err(option_refusal)
    }

    /// Waits until at least `peers` peers are connected, their handshakes done.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_for_peers(&self, peers: usize, timeout: Option<Duration>) -> Result<(), WaitError> {
        self.wait_until(timeout, |state| {
            state.pipes.iter().filter(|pipe| pipe.connected).count() >= peers
        })
    }

    /// PUB: waits until at least `count` peers hold a subscription to exactly `prefix`, so that a
    /// message sent next reaches them.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_for_subscribers(
        &self,
        prefix: impl AsRef<[u8]>,
        count: usize,
        timeout: Option<Duration>,
    ) -> Result<(), WaitError> {
        let prefix = prefix.as_ref();
        self.wait_until(timeout, |state| state.pattern.subscribers(prefix) >= count)
    }

    /// Closes the socket. Calls that wait on it in other threads end with `Closed`; what was sent
    /// lingers in the background. Dropping the socket does the same.
    pub fn close(&self) {
        self.core.close();
    }

    // Helpers.

    /// Waits, if that is what the refusal asks for.
    #[cold]
    fn send_refused(&self, mut part: Message, refusal: Refusal) -> Result<(), SendError> {
        let sent = match refusal {
            Refusal::Again => self.send_parts(slice::from_mut(&mut part)),
            refusal => Err(send_refusal(refusal)),
        };
        sent.map_err(|kind| SendError::new(kind, vec![part]))
    }

    #[cold]
    pub(crate) fn send_part_waiting(&self, part: &mut Message) -> Result<(), SendErrorKind> {
        self.send_parts(slice::from_mut(part))
    }

    #[cold]
    pub(crate) fn recv_part_waiting(&self, into: &mut Message) -> Result<(), RecvError> {
        let deadline = self.recv_deadline();
        let received = self.core.block_on(Events::IN, deadline, |state| state.recv(into));
        received.map_err(recv_blocked)
    }

    fn send_parts(&self, parts: &mut [Message]) -> Result<(), SendErrorKind> {
        match self.core.try_send(parts) {
            Err(Refusal::Again) => {
                let timeout_ms = self.core.with(|state| state.options.sndtimeo);
                let deadline = deadline_in_ms(timeout_ms);
                let sent = self.core.block_on(Events::OUT, deadline, |state| state.send(parts));
                sent.map_err(send_blocked)
            }
            sent => sent.map_err(send_refusal),
        }
    }

    fn recv_until(&self, deadline: Deadline) -> Result<Message, RecvError> {
        let mut part = Message::new();
        let received = self.core.block_on(Events::IN, deadline, |state| state.recv(&mut part));
        received.map(|()| part).map_err(recv_blocked)
    }

    fn recv_deadline(&self) -> Deadline {
        deadline_in_ms(self.core.with(|state| state.options.rcvtimeo))
    }

    fn wait_until(
        &self,
        timeout: Option<Duration>,
        reached: impl Fn(&State) -> bool,
    ) -> Result<(), WaitError> {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let waited = self.core.block_on(Events::PEERS, deadline, |state| {
            state.check()?;
            if reached(state) { Ok(()) } else { Err(Refusal::Again) }
        });
        waited.map_err(|blocked| match blocked {
            Blocked::Refused(refusal) => wait_refusal(refusal),
            Blocked::Woken(Woken::Interrupted) => WaitError::Interrupted,
            Blocked::Woken(Woken::TimedOut) => WaitError::TimedOut,
        })
    }
}

/// As the typed sockets have it, so that any of them can be polled.
impl AsRef<Socket> for Socket {
    fn as_ref(&self) -> &Socket {
        self
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.core.close();
        if self.core.context.is_inherited() {
            // Its parts are half changed perhaps, and its descriptors the parent's as well.
            std::mem::forget(self.core.clone());
        }
    }
}

impl State {
    /// A pipe for a new connector, attached at once (unless IMMEDIATE): messages may wait in it
    /// before there is a connection.
    fn connect_pipe(
        &mut self,
        make: impl FnOnce(Ends) -> Arc<Session>,
        route: &Arc<Route>,
        may_conflate: bool,
    ) -> Result<(Arc<Session>, pipes::PipeId), Refusal> {
        let (id, ends) = self.new_session_pipe(Link::Unbound, route.clone(), may_conflate);
        if let Err(refusal) = self.name_pipe(id) {
            self.pipes.remove(id);
            return Err(refusal);
        }
        let session = make(ends);
        if let Some(pipe) = self.pipes.get(id) {
            pipe.link = Link::Session(session.clone());
        }
        if !self.options.immediate && !self.pattern.attach(&mut self.pipes, id) {
            // One peer too many: the connection stands, and nothing is carried over it.
            self.pipes.close_output(id);
        }
        self.options.last_endpoint = (*route.endpoint).into();
        self.endpoints.push((route.endpoint.clone(), Attached::Connector(id)));
        self.notify(Events::OUT);
        Ok((session, id))
    }
}

pub(crate) fn collect_parts<P: Into<Message>>(parts: impl IntoIterator<Item = P>) -> Vec<Message> {
    let mut parts: Vec<Message> = parts.into_iter().map(Into::into).collect();
    let count = parts.len();
    for (at, part) in parts.iter_mut().enumerate() {
        part.set_more(at + 1 < count);
    }
    parts
}

pub(crate) fn send_refusal(refusal: Refusal) -> SendErrorKind {
    match refusal {
        Refusal::Again => SendErrorKind::Again,
        Refusal::State(_) => SendErrorKind::State,
        Refusal::NotSupported => SendErrorKind::NotSupported,
        Refusal::Terminated => SendErrorKind::Terminated,
        Refusal::Closed => SendErrorKind::Closed,
        Refusal::Forked => SendErrorKind::Forked,
        Refusal::Empty => SendErrorKind::Empty,
        Refusal::Multipart => SendErrorKind::Multipart,
        Refusal::Unreachable => SendErrorKind::HostUnreachable,
        Refusal::NotAPair => SendErrorKind::NotAPair,
    }
}

fn send_blocked(blocked: Blocked) -> SendErrorKind {
    match blocked {
        Blocked::Refused(refusal) => send_refusal(refusal),
        Blocked::Woken(Woken::Interrupted) => SendErrorKind::Interrupted,
        Blocked::Woken(Woken::TimedOut) => SendErrorKind::Again,
    }
}

pub(crate) fn recv_refusal(refusal: Refusal) -> RecvError {
    match refusal {
        Refusal::Again
        | Refusal::Empty
        | Refusal::Multipart
        | Refusal::Unreachable
        | Refusal::NotAPair => RecvError::Again,
        Refusal::State(_) => RecvError::State,
        Refusal::NotSupported => RecvError::NotSupported,
        Refusal::Terminated => RecvError::Terminated,
        Refusal::Closed => RecvError::Closed,
        Refusal::Forked => RecvError::Forked,
    }
}

fn recv_blocked(blocked: Blocked) -> RecvError {
    match blocked {
        Blocked::Refused(refusal) => recv_refusal(refusal),
        Blocked::Woken(Woken::Interrupted) => RecvError::Interrupted,
        Blocked::Woken(Woken::TimedOut) => RecvError::Again,
    }
}

pub(crate) fn wait_refusal(refusal: Refusal) -> WaitError {
    match refusal {
        Refusal::Terminated => WaitError::Terminated,
        Refusal::Closed => WaitError::Closed,
        Refusal::Forked => WaitError::Forked,
        Refusal::Again
        | Refusal::State(_)
        | Refusal::NotSupported
        | Refusal::Empty
        | Refusal::Multipart
        | Refusal::Unreachable
        | Refusal::NotAPair => WaitError::TimedOut,
    }
}

fn bind_refusal(refusal: Refusal) -> BindError {
    match refusal {
        Refusal::Terminated => BindError::Terminated,
        Refusal::Forked => BindError::Forked,
        _ => BindError::Closed,
    }
}

fn connect_refusal(refusal: Refusal) -> ConnectError {
    match refusal {
        Refusal::Terminated => ConnectError::Terminated,
        Refusal::Forked => ConnectError::Forked,
        // CONNECT_ROUTING_ID; connecting knows no turns.
        Refusal::State(_) => ConnectError::RoutingIdInUse,
        _ => ConnectError::Closed,
    }
}

pub(crate) fn option_refusal(refusal: Refusal) -> OptionError {
    match refusal {
        Refusal::Terminated => OptionError::Terminated,
        Refusal::Closed => OptionError::Closed,
        Refusal::Forked => OptionError::Forked,
        _ => OptionError::NotSupported,
    }
}
