//! Two sockets joined back to back: what the Guide calls devices.

use std::error::Error;
use std::fmt;
use std::io;

use crate::error::{PollError, RecvError, SendError, SendErrorKind};
use crate::{Events, Message, PollItem, Socket, SocketType, poll};

/// Messages of one direction before the other has its turn.
const BURST: usize = 1000;

/// Passes whole messages between two sockets, both ways as far as their types allow, until it is
/// told to stop or the context is terminated.
///
/// ROUTER and DEALER make a queue of requests, XSUB and XPUB a forwarder, PULL and PUSH a
/// streamer. A message is taken only when the one before it in its direction is gone: what waits
/// does so in the sockets, under their high-water marks, and a full socket stops its own direction
/// alone.
///
/// ```
/// use oxmq::{Context, Proxy, Pull, Push};
/// let context = Context::new();
/// let (front, back) = (Pull::new(&context)?, Push::new(&context)?);
/// front.bind("inproc://front")?;
/// back.bind("inproc://back")?;
/// let (source, sink) = (Push::new(&context)?, Pull::new(&context)?);
/// source.connect("inproc://front")?;
/// sink.connect("inproc://back")?;
/// let streamer = std::thread::spawn(move || Proxy::new(&front, &back).run());
/// source.send_multipart(["passed", "on"])?;
/// assert_eq!(sink.recv_multipart()?.len(), 2);
/// // A terminated context ends it.
/// context.shutdown();
/// assert!(streamer.join().unwrap().is_err_and(|error| error.is_terminated()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// See libzmq's `zmq_proxy` and `zmq_proxy_steerable`.
#[must_use = "a proxy does nothing until it runs"]
pub struct Proxy<'a> {
    front: &'a Socket,
    back: &'a Socket,
    capture: Option<&'a Socket>,
    control: Option<&'a Socket>,
}

/// What has passed through a proxy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProxyStatistics {
    /// What came in at the front and went out at its other end.
    pub forward: Passed,
    /// The other way.
    pub backward: Passed,
}

/// What has passed in one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Messages received.
    pub messages_in: u64,
    /// The bytes of all their parts.
    pub bytes_in: u64,
    /// Messages sent on.
    pub messages_out: u64,
    /// The bytes of all their parts.
    pub bytes_out: u64,
}

/// Why a proxy ended without having been told to.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The context is terminated.
    Terminated,
    /// A signal arrived.
    Interrupted,
    /// One of the sockets is closed.
    Closed,
    /// One of the sockets is another process's: this one was forked after it was made.
    Forked,
    /// Sockets of this type take turns between sending and receiving, which a proxy cannot.
    State(SocketType),
    /// The system refused.
    System(io::Error),
}

impl ProxyError {
    /// Whether the context was terminated: how most proxies end.
    pub fn is_terminated(&self) -> bool {
        matches!(self, ProxyError::Terminated)
    }

    /// libzmq's number for it.
    pub fn errno(&self) -> i32 {
        match self {
            ProxyError::Terminated => PollError::Terminated.errno(),
            ProxyError::Interrupted => PollError::Interrupted.errno(),
            ProxyError::Closed | ProxyError::Forked => PollError::Closed.errno(),
            ProxyError::State(_) => SendErrorKind::State.errno(),
            ProxyError::System(source) => source.raw_os_error().unwrap_or(libc::EINVAL),
        }
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ProxyError::Terminated => f.write_str("the context is terminated"),
            ProxyError::Interrupted => f.write_str("a signal arrived"),
            ProxyError::Closed => f.write_str("one of the sockets is closed"),
            ProxyError::Forked => f.write_str(crate::error::FORKED),
            ProxyError::State(kind) => {
                write!(f, "a {} takes turns; use ROUTER and DEALER in a proxy", kind.name())
            }
            ProxyError::System(source) => write!(f, "the system cannot poll: {source}"),
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            ProxyError::System(source) => Some(source),
            _ => None,
        }
    }
}

impl From<PollError> for ProxyError {
    fn from(error: PollError) -> ProxyError {
        match error {
            PollError::Terminated => ProxyError::Terminated,
            PollError::Interrupted => ProxyError::Interrupted,
            PollError::Closed => ProxyError::Closed,
            PollError::Forked => ProxyError::Forked,
            PollError::System(source) => ProxyError::System(source),
        }
    }
}

/// What a control socket can say.
enum Order {
    Terminate,
    None,
}

impl<'a> Proxy<'a> {
    /// A proxy between two sockets, which are bound or connected already, or will be.
    pub fn new(front: &'a impl AsRef<Socket>, back: &'a impl AsRef<Socket>) -> Proxy<'a> {
        Proxy { front: front.as_ref(), back: back.as_ref(), capture: None, control: None }
    }

    /// Sends a copy of every message, before it is passed on, to `capture`: a PUB, PUSH, DEALER or
    /// PAIR. One that cannot take it makes the proxy wait.
    pub fn capture(self, capture: &'a impl AsRef<Socket>) -> Proxy<'a> {
        Proxy { capture: Some(capture.as_ref()), ..self }
    }

    /// Obeys the messages PAUSE, RESUME, TERMINATE and STATISTICS that arrive at `control`: a PAIR,
    /// PULL, SUB or REP. A PAIR or REP is answered: to STATISTICS by eight parts of eight bytes in
    /// the machine's order, those of [`ProxyStatistics`] (the front's messages and bytes in, messages
    /// and bytes out; then the back's), and a REP to anything else by an empty message.
    pub fn control(self, control: &'a impl AsRef<Socket>) -> Proxy<'a> {
        Proxy { control: Some(control.as_ref()), ..self }
    }

    /// Passes messages until a TERMINATE.
    ///
    /// # Errors
    /// [`ProxyError`], most often because the context was terminated.
    pub fn run(self) -> Result<ProxyStatistics, ProxyError> {
        let mut passing = Passing::new(&self);
        loop {
            match passing.turn(&self)? {
                Turn::Ended => return Ok(passing.statistics()),
                Turn::Busy => {}
                Turn::Idle => self.wait(&passing)?,
            }
        }
    }

    /// What the simulator runs: a turn, and if nothing was there, what to wait for at the front and at
    /// the back.
    #[cfg(oxmq_sim)]
    #[doc(hidden)]
    pub fn simulate(&self) -> impl FnMut() -> Result<Option<(Events, Events)>, ProxyError> {
        let mut passing = Passing::new(self);
        move || {
            let turn = passing.turn(self)?;
            Ok(matches!(turn, Turn::Idle).then(|| passing.wanted()))
        }
    }

    fn wait(&self, passing: &Passing<'_>) -> Result<(), ProxyError> {
        let (front, back) = passing.wanted();
        let mut items =
            vec![PollItem::socket(self.front, front), PollItem::socket(self.back, back)];
        if let Some(control) = self.control {
            items.push(PollItem::socket(control, Events::IN));
        }
        poll(&mut items, None)?;
        Ok(())
    }
}

/// How far a proxy has come.
struct Passing<'a> {
    forward: Direction<'a>,
    backward: Direction<'a>,
    paused: bool,
}

/// What a turn found.
enum Turn {
    /// Something was passed on.
    Busy,
    /// Nothing is to be done until a socket is ready.
    Idle,
    /// The order to end.
    Ended,
}

impl<'a> Passing<'a> {
    fn new(proxy: &Proxy<'a>) -> Passing<'a> {
        Passing {
            forward: Direction::new(proxy.front, proxy.back),
            backward: Direction::new(proxy.back, proxy.front),
            paused: false,
        }
    }

    fn statistics(&self) -> ProxyStatistics {
        ProxyStatistics { forward: self.forward.passed, backward: self.backward.passed }
    }

    /// What to wait for at the front and at the back.
    fn wanted(&self) -> (Events, Events) {
        let Passing { forward, backward, paused } = self;
        if *paused {
            return (Events::NONE, Events::NONE);
        }
        (forward.wants_in() | backward.wants_out(), backward.wants_in() | forward.wants_out())
    }

    /// Obeys an order, and passes what is there in both directions.
    fn turn(&mut self, proxy: &Proxy<'_>) -> Result<Turn, ProxyError> {
        let mut busy = false;
        if let Some(control) = proxy.control {
            match obey(control, &self.statistics(), &mut self.paused)? {
                Some(Order::Terminate) => return Ok(Turn::Ended),
                Some(Order::None) => busy = true,
                None => {}
            }
        }
        if !self.paused {
            busy |= self.forward.pass(proxy.capture)?;
            busy |= self.backward.pass(proxy.capture)?;
        }
        Ok(if busy { Turn::Busy } else { Turn::Idle })
    }
}

/// Messages from one socket to the other.
struct Direction<'a> {
    from: &'a Socket,
    to: &'a Socket,
    /// Received, and not yet sent on.
    held: Option<Vec<Message>>,
    /// The types of the two sockets allow it.
    open: bool,
    passed: Passed,
}

impl<'a> Direction<'a> {
    fn new(from: &'a Socket, to: &'a Socket) -> Direction<'a> {
        let receives = !matches!(from.kind(), SocketType::Push | SocketType::Pub);
        let sends = !matches!(to.kind(), SocketType::Pull | SocketType::Sub);
        let (held, passed) = (None, Passed::default());
        Direction { from, to, held, open: receives && sends, passed }
    }

    fn wants_in(&self) -> Events {
        if self.open && self.held.is_none() { Events::IN } else { Events::NONE }
    }

    fn wants_out(&self) -> Events {
        if self.held.is_some() { Events::OUT } else { Events::NONE }
    }

    /// Passes on what is there, as far as there is room. True: there may be more.
    fn pass(&mut self, capture: Option<&Socket>) -> Result<bool, ProxyError> {
        if !self.open {
            return Ok(false);
        }
        for _ in 0..BURST {
            let sent = match self.held.take() {
                Some(parts) => self.send_parts(parts),
                None => {
                    let part = match self.from.try_recv() {
                        Ok(part) => part,
                        Err(RecvError::Again) => return Ok(false),
                        Err(error) => return Err(self.not_received(error)),
                    };
                    self.receive(part, capture)?
                }
            };
            if let Err(error) = sent {
                return self.not_sent(error);
            }
        }
        Ok(true)
    }

    /// Receives what follows the first part, and sends all of it on.
    fn receive(
        &mut self,
        part: Message,
        capture: Option<&Socket>,
    ) -> Result<Result<(), SendError>, ProxyError> {
        self.passed.messages_in += 1;
        if !part.more() && capture.is_none() {
            let bytes = part.len() as u64;
            self.passed.bytes_in += bytes;
            let sent = self.to.try_send(part);
            if sent.is_ok() {
                self.passed.messages_out += 1;
                self.passed.bytes_out += bytes;
            }
            return Ok(sent);
        }
        let mut parts = vec![part];
        if parts[0].more() {
            // The rest of a message begun is there.
            parts.extend(self.from.try_recv_multipart().map_err(|error| self.not_received(error))?);
        }
        self.passed.bytes_in += bytes_of(&parts);
        if let Some(capture) = capture {
            capture.send_multipart(parts.clone()).map_err(|error| failed(error.kind(), capture))?;
        }
        Ok(self.send_parts(parts))
    }

    fn send_parts(&mut self, parts: Vec<Message>) -> Result<(), SendError> {
        let bytes = bytes_of(&parts);
        self.to.try_send_multipart(parts)?;
        self.passed.messages_out += 1;
        self.passed.bytes_out += bytes;
        Ok(())
    }

    /// A message that cannot be sent now is kept; one that never can be is dropped.
    fn not_sent(&mut self, error: SendError) -> Result<bool, ProxyError> {
        match error.kind() {
            SendErrorKind::Again => {
                let parts = error.into_parts();
                let ready = self.to.events().map_err(|_| ProxyError::Terminated)?;
                if ready.intersects(Events::OUT) {
                    // There is room, but not for this message (XPUB_NODROP), and polling does not
                    // tell when there is.
                    let bytes = bytes_of(&parts);
                    self.to.send_multipart(parts).map_err(|error| failed(error.kind(), self.to))?;
                    self.passed.messages_out += 1;
                    self.passed.bytes_out += bytes;
                    return Ok(true);
                }
                self.held = Some(parts);
                Ok(false)
            }
            // Nobody has the identity that it is for (ROUTER_MANDATORY).
            SendErrorKind::HostUnreachable => Ok(true),
            kind => Err(failed(kind, self.to)),
        }
    }

    fn not_received(&self, error: RecvError) -> ProxyError {
        match error {
            RecvError::Terminated => ProxyError::Terminated,
            RecvError::Interrupted => ProxyError::Interrupted,
            RecvError::State | RecvError::NotSupported | RecvError::Again => {
                ProxyError::State(self.from.kind())
            }
            RecvError::Closed => ProxyError::Closed,
            RecvError::Forked => ProxyError::Forked,
        }
    }
}

fn bytes_of(parts: &[Message]) -> u64 {
    parts.iter().map(|part| part.len() as u64).sum()
}

fn failed(kind: SendErrorKind, socket: &Socket) -> ProxyError {
    match kind {
        SendErrorKind::Terminated => ProxyError::Terminated,
        SendErrorKind::Interrupted => ProxyError::Interrupted,
        SendErrorKind::Closed => ProxyError::Closed,
        SendErrorKind::Forked => ProxyError::Forked,
        _ => ProxyError::State(socket.kind()),
    }
}

/// Receives one order and follows it. `None`: there is none.
fn obey(
    control: &Socket,
    statistics: &ProxyStatistics,
    paused: &mut bool,
) -> Result<Option<Order>, ProxyError> {
    let order = match control.try_recv_multipart() {
        Ok(order) => order,
        Err(RecvError::Again) => return Ok(None),
        Err(error) => return Err(Direction::new(control, control).not_received(error)),
    };
    let answers = matches!(control.kind(), SocketType::Pair | SocketType::Rep);
    let mut answer = vec![Message::new()];
    let mut followed = Order::None;
    let mut is_statistics = false;
    match order.first().map_or(&[][..], |order| order) {
        b"PAUSE" => *paused = true,
        b"RESUME" => *paused = false,
        b"TERMINATE" => followed = Order::Terminate,
        b"STATISTICS" => {
            let ProxyStatistics { forward, backward } = *statistics;
            let figures = [
                forward.messages_in,
                forward.bytes_in,
                backward.messages_out,
                backward.bytes_out,
                backward.messages_in,
                backward.bytes_in,
                forward.messages_out,
                forward.bytes_out,
            ];
            answer = figures.iter().map(|figure| Message::from(&figure.to_ne_bytes())).collect();
            is_statistics = true;
        }
        _ => {}
    }
    if answers && (is_statistics || control.kind() == SocketType::Rep) {
        control.send_multipart(answer).map_err(|error| failed(error.kind(), control))?;
    }
    Ok(Some(followed))
}
