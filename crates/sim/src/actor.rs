//! What the applications do: each socket has tasks that send, receive, ask or answer, and tell the
//! oracle.

use crate::content;
use crate::executor::{Timers, with_moods, with_timeout, yield_now};
use crate::oracle::Oracle;
use crate::plan::{Habit, Peer};
use oxmq::sim::Rng;
use oxmq::{Context, Events, Message, RecvError, SendErrorKind, Socket, SocketType};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
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
    /// For its small decisions.
    pub rng: Rng,
    /// For messages to people.
    pub name: String,
    /// Others do the same work: it may stop at any time.
    pub helps: bool,
}

/// How an endpoint is reached.
#[derive(Clone, Debug)]
pub enum Plug {
    /// By binding it.
    Bind(String),
    /// By connecting to it.
    Connect(String),
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

    /// PUSH, PUB, and a PAIR's sending side.
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
            while self.socket.kind() == SocketType::Pub
                && !self.shared.oracle.borrow().is_complete(sender)
            {
                self.shared.timers.sleep(CALM_REST_NS).await;
            }
        }
        self.shared.reach(Stage::Parting).await;
        if parts_with_a_word {
            self.send_next(sender).await?;
            self.socket.close();
        }
        Ok(())
    }

    /// PULL, SUB, and a PAIR's receiving side.
    pub async fn receive_all(mut self, receiver: u16) {
        while let Ok(parts) = self.receive().await {
            self.got(receiver, &parts);
            self.rest().await;
        }
    }

    fn got(&self, receiver: u16, parts: &[Message]) {
        self.shared.say(|| {
            let label = parts.first().and_then(|part| content::Label::read(part));
            format!("{} got {label:?}, {} parts", self.name, parts.len())
        });
        self.shared.oracle.borrow_mut().got(receiver, parts);
    }

    /// SUB, beside receiving.
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
                    self.socket.unsubscribe(&prefix)
                }
                None => {
                    oracle.subscribed(receiver, &prefix);
                    self.peer.subscriptions.push(prefix.clone());
                    self.socket.subscribe(&prefix)
                }
            };
            drop(oracle);
            self.shared.say(|| format!("{}: {held:?} {prefix:?}", self.name));
            if let Err(error) = changed {
                self.shared.blame(format!("{}: {error}", self.name));
            }
        }
    }

    /// REP.
    pub async fn answer_all(mut self, receiver: u16) {
        while let Ok(parts) = self.receive().await {
            self.got(receiver, &parts);
            self.rest().await;
            let request: Vec<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
            if self.send(&content::reply_to(&request)).await.is_err() {
                return;
            }
        }
    }

    /// REQ.
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
        if self.send(&request).await.is_err() {
            self.shared.blame(format!("{} was ended early", self.name));
            return false;
        }
        self.sent(sender);
        let deadline = self.shared.timers.sleep(REPLY_NS);
        match with_timeout(deadline, self.receive()).await {
            Some(Ok(reply)) => {
                let right = content::reply_to(&request);
                if !right.iter().map(|part| &part[..]).eq(reply.iter().map(|part| &part[..])) {
                    self.shared.blame(format!("{} got the reply to something else", self.name));
                }
                true
            }
            Some(Err(Ended)) => {
                self.shared.blame(format!("{} was ended early", self.name));
                false
            }
            None => {
                // A request, or its reply, is lost with the connection, and a REQ waits for ever.
                let ended: u64 = self
                    .shared
                    .oracle
                    .borrow()
                    .routes_from(sender)
                    .filter_map(|route| route.place.as_ref())
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
                configure(&socket, &self.peer);
                self.socket = Rc::new(socket);
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
                    if told && matches!(&result, Err(it) if it.kind() == SendErrorKind::Again) {
                        self.shared.blame(format!("{} was told that it could send", self.name));
                    }
                    result
                }
            };
            match result {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == SendErrorKind::Again => {
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

/// Sets the options that the plan has for a socket.
pub fn configure(socket: &Socket, peer: &Peer) {
    socket.set(oxmq::option::SNDHWM, peer.sndhwm).expect("in range");
    socket.set(oxmq::option::RCVHWM, peer.rcvhwm).expect("in range");
    socket.set(oxmq::option::RECONNECT_IVL, peer.reconnect_ivl).expect("in range");
}

const CALM_MESSAGES: u32 = 4;
const CALM_REST_NS: u64 = 200_000_000;
/// Longer than anything that can delay a reply and not lose it.
const REPLY_NS: u64 = 120_000_000_000;
const RETRY_NS: u64 = 5_000_000;
const CANCEL_NS: u64 = 10_000_000;
const CHANGE_NS: u64 = 300_000_000;
