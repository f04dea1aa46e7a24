//! What the applications do: each socket has tasks that send, receive, ask or answer, and tell the
//! oracle.

use crate::content;
use crate::executor::{Timers, with_moods, with_timeout, yield_now};
use crate::oracle::Oracle;
use crate::plan::{Habit, Peer, Router};
use oxmq::sim::Rng;
use oxmq::{Context, Events, Message, Proxy, RecvError, SendErrorKind, Socket, SocketType};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};

/// What all tasks of a run share.
pub struct Shared {
    /// Who judges.
    pub oracle: RefCell<Oracle>,
    /// Simulated time.
    pub timers: Timers,
    is_verbose: bool,
    stage: Cell<Stage>,
    waiting: RefCell<Vec<Waker>>,
    /// Senders that wait for the next stage.
    pub at_gate: Cell<usize>,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Things may go wrong.
    Faults,
    /// Nothing goes wrong any more: everything sent arrives.
    Calm,
    /// Senders send a last message, and close at once.
    Parting,
    /// The contexts end.
    End,
}

impl Shared {
    /// At the first stage.
    pub fn new(oracle: Oracle, timers: Timers, is_verbose: bool) -> Rc<Shared> {
        Rc::new(Shared {
            oracle: RefCell::new(oracle),
            timers,
            is_verbose,
            stage: Cell::new(Stage::Faults),
            waiting: RefCell::default(),
            at_gate: Cell::new(0),
        })
    }

    /// The stage.
    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Goes on to the next stage.
    pub fn enter(&self, stage: Stage) {
        self.say(|| format!("==== {stage:?}"));
        self.stage.set(stage);
        self.waiting.borrow_mut().drain(..).for_each(Waker::wake);
    }

    async fn reach(&self, stage: Stage) {
        let _waiting = AtGate::new(&self.at_gate);
        poll_fn(|context| {
            if self.stage.get() >= stage {
                return Poll::Ready(());
            }
            self.waiting.borrow_mut().push(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Tells people, if they want to know.
    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.is_verbose {
            eprintln!("{:>12} µs  {}", oxmq::sim::now() / 1000, what());
        }
    }

    fn blame(&self, error: String) {
        self.say(|| format!("WRONG: {error}"));
        self.oracle.borrow_mut().blame(error);
    }
}

/// Counted while it exists.
struct AtGate<'a>(&'a Cell<usize>);

impl AtGate<'_> {
    fn new(count: &Cell<usize>) -> AtGate<'_> {
        count.set(count.get() + 1);
        AtGate(count)
    }
}

impl Drop for AtGate<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

/// One task's view of its socket.
pub struct Actor {
    /// What it shares with all others.
    pub shared: Rc<Shared>,
    /// Its socket.
    pub socket: Rc<Socket>,
    /// How it behaves.
    pub peer: Peer,
    /// What it sets besides.
    pub settings: Settings,
    /// For its small decisions.
    pub rng: Rng,
    /// For messages to people.
    pub name: String,
    /// Others do the same work: it may stop at any time.
    pub helps: bool,
    /// Its socket had another one before it.
    pub is_successor: bool,
}

/// How an endpoint is reached.
#[derive(Clone, Debug)]
pub enum Plug {
    /// By binding it.
    Bind(String),
    /// By connecting to it.
    Connect(String),
}

/// What all sockets of a group set.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Whether it belongs to the left.
    pub is_left: bool,
    /// For ROUTERs and their peers.
    pub router: Router,
    /// Whether ROUTERs answer the left.
    pub is_routed: bool,
    /// Whether a device is between the two sides.
    pub has_device: bool,
    /// Whether REQs number their requests, and may ask again without a reply.
    pub correlates: bool,
    /// Whether it asks for signs of life.
    pub heartbeats: bool,
}

/// Somebody whom a ROUTER sends to.
#[derive(Clone, Debug)]
pub struct Addressee {
    /// As whom it sends to him.
    pub sender: u16,
    /// His name.
    pub identity: Vec<u8>,
}

/// The socket or its context has ended.
struct Ended;

impl Actor {
    /// Binds and connects when its time has come; where descriptors are short, again and again.
    pub async fn plug_in(mut self, plugs: Vec<Plug>) {
        self.shared.timers.sleep(self.peer.starts_ns).await;
        self.plug(&plugs).await;
    }

    async fn plug(&mut self, plugs: &[Plug]) {
        for plug in plugs {
            loop {
                let error = match plug {
                    Plug::Bind(endpoint) => match self.socket.bind(endpoint) {
                        Ok(actual) if actual == *endpoint => break,
                        Ok(actual) => {
                            self.shared.blame(format!("{endpoint} became {actual}"));
                            break;
                        }
                        Err(error) => error.to_string(),
                    },
                    Plug::Connect(endpoint) => match self.socket.connect(endpoint) {
                        Ok(()) => break,
                        Err(error) => error.to_string(),
                    },
                };
                if self.shared.stage() > Stage::Faults {
                    self.shared.blame(format!("{}: {error}", self.name));
                    return;
                }
                self.shared.timers.sleep(RETRY_NS).await;
            }
        }
    }

    /// PUSH, PUB, XPUB, and the sending side of PAIR and DEALER.
    pub async fn send_all(mut self, sender: u16, parts_with_a_word: bool) {
        if self.send_stages(sender, parts_with_a_word).await.is_err() {
            self.shared.blame(format!("{} was ended early", self.name));
        }
    }

    async fn send_stages(&mut self, sender: u16, parts_with_a_word: bool) -> Result<(), Ended> {
        for _ in 0..self.peer.messages {
            self.send_next(sender).await?;
            self.rest().await;
        }
        self.shared.reach(Stage::Calm).await;
        self.shared.oracle.borrow_mut().expect_all(sender);
        for _ in 0..CALM_MESSAGES {
            self.send_next(sender).await?;
            // A publisher drops what a subscriber has no room for.
            if matches!(self.socket.kind(), SocketType::Pub | SocketType::XPub) {
                self.see_arrive(sender).await;
            }
        }
        self.shared.reach(Stage::Parting).await;
        if parts_with_a_word {
            self.send_next(sender).await?;
            self.socket.close();
        }
        Ok(())
    }

    async fn see_arrive(&self, sender: u16) {
        while !self.shared.oracle.borrow().is_complete(sender) {
            self.shared.timers.sleep(CALM_REST_NS).await;
        }
    }

    /// ROUTER.
    pub async fn send_to_all(mut self, to: Vec<Addressee>) {
        if self.send_to_all_stages(&to).await.is_err() {
            self.shared.blame(format!("{} was ended early", self.name));
        }
    }

    async fn send_to_all_stages(&mut self, to: &[Addressee]) -> Result<(), Ended> {
        for _ in 0..self.peer.messages {
            let one = self.rng.pick(to).clone();
            self.send_to(&one).await?;
            self.rest().await;
        }
        self.shared.reach(Stage::Calm).await;
        for one in to {
            self.shared.oracle.borrow_mut().expect_all(one.sender);
        }
        for _ in 0..CALM_MESSAGES {
            for one in to {
                self.send_to(one).await?;
                if !self.settings.router.mandatory {
                    self.see_arrive(one.sender).await;
                }
            }
        }
        self.shared.reach(Stage::Parting).await;
        Ok(())
    }

    async fn send_to(&mut self, to: &Addressee) -> Result<(), Ended> {
        let mut parts = self.shared.oracle.borrow().next_message(to.sender);
        parts.insert(0, to.identity.clone());
        self.send(&parts).await?;
        self.sent(to.sender);
        Ok(())
    }

    /// PULL, SUB, XSUB, and the receiving side of PAIR, DEALER and ROUTER.
    pub async fn receive_all(mut self, receiver: u16) {
        while let Ok(parts) = self.receive().await {
            match &parts[..] {
                // What comes of ROUTER_NOTIFY and PROBE_ROUTER.
                [only] if only.is_empty() && self.settings.router.probed => {}
                [_, only] if only.is_empty() && self.socket.kind() == SocketType::Router => {}
                [identity, parts @ ..] if self.socket.kind() == SocketType::Router => {
                    self.shared.oracle.borrow_mut().got_from(receiver, identity, parts);
                }
                parts => self.got(receiver, parts),
            }
            self.rest().await;
        }
    }

    /// XPUB, beside sending.
    pub async fn hear_all(mut self, sender: u16) {
        while let Ok(parts) = self.receive().await {
            self.shared.say(|| format!("{} heard {:?}", self.name, &parts[0][..]));
            self.shared.oracle.borrow_mut().heard(sender, &parts[0]);
        }
    }

    fn got(&self, receiver: u16, parts: &[Message]) {
        self.shared.say(|| {
            let label = parts.first().and_then(|part| content::Label::read(part));
            format!("{} got {label:?}, {} parts", self.name, parts.len())
        });
        self.shared.oracle.borrow_mut().got(receiver, parts);
    }

    /// SUB and XSUB, beside receiving.
    pub async fn change_subscriptions(mut self, receiver: u16) {
        while self.shared.stage() == Stage::Faults && !self.peer.changes.is_empty() {
            self.shared.timers.sleep(self.rng.below(CHANGE_NS)).await;
            let prefix = self.peer.changes.remove(0);
            let mut oracle = self.shared.oracle.borrow_mut();
            let held = self.peer.subscriptions.iter().position(|held| *held == prefix);
            let changed = match held {
                Some(at) => {
                    self.peer.subscriptions.swap_remove(at);
                    oracle.unsubscribed(receiver, &prefix);
                    subscribe(&self.socket, false, &prefix)
                }
                None => {
                    oracle.subscribed(receiver, &prefix);
                    self.peer.subscriptions.push(prefix.clone());
                    subscribe(&self.socket, true, &prefix)
                }
            };
            drop(oracle);
            self.shared.say(|| format!("{}: {held:?} {prefix:?}", self.name));
            if let Err(error) = changed {
                self.shared.blame(format!("{}: {error}", self.name));
            }
        }
    }

    /// REP and ROUTER.
    pub async fn answer_all(mut self, receiver: u16) {
        while let Ok(parts) = self.receive().await {
            let mut reply: Vec<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
            let mut from = 0;
            if self.socket.kind() == SocketType::Router {
                // It sees the whole envelope: names, perhaps a number, and an empty part.
                let delimiter = reply.iter().position(Vec::is_empty);
                let names = if self.settings.has_device { 2 } else { 1 };
                from = names + usize::from(self.settings.correlates) + 1;
                if delimiter != Some(from - 1) {
                    self.shared.blame(format!("{} got the envelope {reply:?}", self.name));
                    continue;
                }
                // The last name is that of the one who asked.
                let asker = &parts[names - 1];
                self.shared.oracle.borrow_mut().got_from(receiver, asker, &parts[from..]);
            } else {
                self.got(receiver, &parts);
            }
            self.shared
                .say(|| format!("{} got {:?}", self.name, content::Label::read(&parts[from])));
            self.rest().await;
            let request = reply.split_off(from);
            reply.extend(content::reply_to(&request));
            if self.send(&reply).await.is_err() {
                return;
            }
        }
    }

    /// REQ, and DEALER as one.
    pub async fn ask_all(mut self, sender: u16, context: Context, plugs: Vec<Plug>) {
        for _ in 0..self.peer.messages {
            if !self.ask(sender, &context, &plugs).await {
                return;
            }
            self.rest().await;
        }
        self.shared.reach(Stage::Calm).await;
        self.shared.oracle.borrow_mut().expect_all(sender);
        for _ in 0..CALM_MESSAGES {
            if !self.ask(sender, &context, &plugs).await {
                return self.shared.blame(format!("{} got no reply in the calm", self.name));
            }
        }
        self.shared.reach(Stage::Parting).await;
    }

    /// One request and its reply. False: the socket can do no more.
    async fn ask(&mut self, sender: u16, context: &Context, plugs: &[Plug]) -> bool {
        let request = self.shared.oracle.borrow().next_message(sender);
        // A DEALER makes its envelope itself.
        let is_dealer = self.socket.kind() == SocketType::Dealer;
        let envelope = vec![Vec::new(); usize::from(is_dealer)];
        let enveloped = |parts: &[Vec<u8>]| [&envelope, parts].concat();
        if self.send(&enveloped(&request)).await.is_err() {
            self.shared.blame(format!("{} was ended early", self.name));
            return false;
        }
        self.sent(sender);
        let deadline = self.shared.timers.sleep(REPLY_NS);
        match with_timeout(deadline, self.receive()).await {
            Some(Ok(reply)) => {
                let right = enveloped(&content::reply_to(&request));
                let is_right = right.iter().map(|it| &it[..]).eq(reply.iter().map(|it| &it[..]));
                // What was for its forerunner may come to it, by its name or at its endpoint.
                let inherits = self.is_successor
                    && (!self.peer.identity.is_empty() || self.settings.is_routed);
                if !is_right && !inherits {
                    let label = reply.iter().find_map(|part| content::Label::read(part));
                    self.shared.blame(format!("{} got the reply to {label:?}", self.name));
                }
                true
            }
            Some(Err(Ended)) => {
                self.shared.blame(format!("{} was ended early", self.name));
                false
            }
            None => {
                // A request, or its reply, is lost with the connection, and a REQ waits for ever unless
                // it may ask again.
                let ended: u64 = self
                    .shared
                    .oracle
                    .borrow()
                    .routes_from(sender)
                    .flat_map(|route| &route.places)
                    .map(|(node, endpoint)| oxmq::sim::ended(*node, endpoint))
                    .sum();
                if ended == 0 {
                    self.shared.blame(format!(
                        "{} got no reply to {}, and no connection ended",
                        self.name,
                        self.shared.oracle.borrow().sent_count(sender) - 1
                    ));
                    return false;
                }
                if self.settings.correlates {
                    return true;
                }
                if plugs.iter().any(|plug| matches!(plug, Plug::Bind(_))) {
                    return false;
                }
                self.replace_socket(context, plugs).await;
                true
            }
        }
    }

    /// What the Guide's lazy pirate does.
    async fn replace_socket(&mut self, context: &Context, plugs: &[Plug]) {
        let _ = self.socket.set(oxmq::option::LINGER, 0);
        self.socket.close();
        match context.socket(self.socket.kind()) {
            Ok(socket) => {
                configure(&socket, &self.peer, self.settings);
                self.socket = Rc::new(socket);
                self.is_successor = true;
                self.plug(plugs).await;
            }
            Err(error) => self.shared.blame(format!("{}: {error}", self.name)),
        }
    }

    async fn send_next(&mut self, sender: u16) -> Result<(), Ended> {
        let parts = self.shared.oracle.borrow().next_message(sender);
        self.send(&parts).await?;
        self.sent(sender);
        Ok(())
    }

    fn sent(&self, sender: u16) {
        let mut oracle = self.shared.oracle.borrow_mut();
        self.shared.say(|| format!("{} sent {}", self.name, oracle.sent_count(sender)));
        oracle.sent(sender);
    }

    async fn send(&mut self, parts: &[Vec<u8>]) -> Result<(), Ended> {
        loop {
            let messages = parts.iter().map(|part| Message::from(&part[..]));
            let result = match self.peer.habit {
                Habit::Awaits => self.socket.send_async(messages).await,
                Habit::Cancels => {
                    let wait = self.shared.timers.sleep(self.rng.below(CANCEL_NS));
                    let future = self.socket.send_async(messages);
                    match with_moods(wait, future, || self.rng.one_in(3)).await {
                        Some(result) => result,
                        None => {
                            self.rest().await;
                            continue;
                        }
                    }
                }
                Habit::Tries => {
                    let told = self.socket.events().is_ok_and(|it| it.intersects(Events::OUT));
                    let result = self.socket.try_send_multipart(messages);
                    // To a ROUTER it is some peer that has room, not the one it is for.
                    let told = told && self.socket.kind() != SocketType::Router;
                    if told && matches!(&result, Err(it) if it.kind() == SendErrorKind::Again) {
                        self.shared.blame(format!("{} was told that it could send", self.name));
                    }
                    result
                }
            };
            match result {
                Ok(()) => return Ok(()),
                Err(error)
                    if matches!(
                        error.kind(),
                        SendErrorKind::Again | SendErrorKind::HostUnreachable
                    ) =>
                {
                    let given_back = error.into_parts();
                    if !given_back.iter().map(|part| &part[..]).eq(parts.iter().map(|p| &p[..])) {
                        self.shared.blame(format!("{} got other parts back", self.name));
                    }
                    self.shared.timers.sleep(RETRY_NS).await;
                }
                Err(error) => {
                    return self.ended(matches!(
                        error.kind(),
                        SendErrorKind::Terminated | SendErrorKind::Closed
                    ));
                }
            }
        }
    }

    async fn receive(&mut self) -> Result<Vec<Message>, Ended> {
        loop {
            let result = match self.peer.habit {
                Habit::Awaits => self.socket.recv_multipart_async().await,
                Habit::Cancels => {
                    let wait = self.shared.timers.sleep(self.rng.below(CANCEL_NS));
                    let future = self.socket.recv_multipart_async();
                    match with_moods(wait, future, || self.rng.one_in(3)).await {
                        Some(result) => result,
                        None if self.helps && self.rng.one_in(8) => return Err(Ended),
                        None => {
                            self.rest().await;
                            continue;
                        }
                    }
                }
                Habit::Tries => {
                    let told = self.socket.events().is_ok_and(|it| it.intersects(Events::IN));
                    let result = self.socket.try_recv_multipart();
                    if told && matches!(result, Err(RecvError::Again)) {
                        self.shared.blame(format!("{} was told of a message", self.name));
                    }
                    result
                }
            };
            match result {
                Ok(parts) => return Ok(parts),
                Err(RecvError::Again) => self.shared.timers.sleep(RETRY_NS).await,
                Err(error) => {
                    return self.ended(matches!(error, RecvError::Terminated | RecvError::Closed));
                }
            }
        }
    }

    fn ended<T>(&self, is_expected: bool) -> Result<T, Ended> {
        if !is_expected || self.shared.stage() < Stage::End {
            self.shared.blame(format!("{}: an error out of place", self.name));
        }
        Err(Ended)
    }

    /// In the calm nobody dawdles.
    async fn rest(&mut self) {
        if self.peer.pause_ns > 0 && self.shared.stage() == Stage::Faults && self.rng.one_in(2) {
            self.shared.timers.sleep(self.rng.below(self.peer.pause_ns)).await;
        } else if self.rng.one_in(4) {
            yield_now().await;
        }
    }
}

/// Passes messages between two sockets until their context ends.
pub async fn pass(shared: Rc<Shared>, name: String, front: Rc<Socket>, back: Rc<Socket>) {
    let (front, back) = (&*front, &*back);
    let proxy = Proxy::new(front, back);
    let mut turn = proxy.simulate();
    loop {
        match turn() {
            Ok(None) => yield_now().await,
            Ok(Some((from_front, from_back))) => {
                let (mut front, mut back) =
                    (front.ready_async(from_front), back.ready_async(from_back));
                poll_fn(|context| {
                    let front_is = Pin::new(&mut front).poll(context).is_ready();
                    let back_is = Pin::new(&mut back).poll(context).is_ready();
                    if front_is || back_is { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
            Err(error) => {
                if shared.stage() < Stage::End {
                    shared.blame(format!("{name}: {error}"));
                }
                return;
            }
        }
    }
}

/// Subscribes, or ends a subscription.
pub fn subscribe(socket: &Socket, add: bool, prefix: &[u8]) -> Result<(), String> {
    if socket.kind() == SocketType::XSub {
        let message = [&[u8::from(add)][..], prefix].concat();
        return socket.try_send(&message[..]).map_err(|error| error.to_string());
    }
    let done = if add { socket.subscribe(prefix) } else { socket.unsubscribe(prefix) };
    done.map_err(|error| error.to_string())
}

/// Sets the options that the plan has for a socket.
pub fn configure(socket: &Socket, peer: &Peer, settings: Settings) {
    use oxmq::option::*;
    let set = |option, value: i32| socket.set(option, value).expect("in range");
    set(SNDHWM, peer.sndhwm);
    set(RCVHWM, peer.rcvhwm);
    set(RECONNECT_IVL, peer.reconnect_ivl);
    if !peer.identity.is_empty() {
        socket.set(ROUTING_ID, peer.identity.clone()).expect("in range");
    }
    if settings.heartbeats {
        set(HEARTBEAT_IVL, HEARTBEAT_IVL_MS);
        set(HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS);
    }
    let Router { mandatory, handover, notify, probed } = settings.router;
    if socket.kind() == SocketType::Router {
        socket.set(ROUTER_MANDATORY, mandatory).expect("in range");
        socket.set(ROUTER_HANDOVER, handover).expect("in range");
        set(ROUTER_NOTIFY, notify);
    }
    if socket.kind() == SocketType::Req {
        socket.set(REQ_CORRELATE, settings.correlates).expect("in range");
        socket.set(REQ_RELAXED, settings.correlates).expect("in range");
    }
    if probed && settings.is_left {
        socket.set(PROBE_ROUTER, true).expect("in range");
    }
}

/// Long enough for a long message on a slow link.
const HEARTBEAT_IVL_MS: i32 = 20_000;
/// From the PING on.
pub const HEARTBEAT_TIMEOUT_MS: i32 = 100_000;
const CALM_MESSAGES: u32 = 4;
const CALM_REST_NS: u64 = 200_000_000;
/// Longer than anything that can delay a reply and not lose it.
const REPLY_NS: u64 = 400_000_000_000;
const RETRY_NS: u64 = 5_000_000;
const CANCEL_NS: u64 = 10_000_000;
const CHANGE_NS: u64 = 300_000_000;
