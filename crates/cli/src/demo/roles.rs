//! What each process of the demo does.

use super::PartArgs;
use super::input::Input;
use super::tally::{Numbered, Seen, Tally, digest};
use crate::parts::{self, Event, Progress};
use anyhow::{Context as _, Result, anyhow, bail, ensure};
use oxmq::{Context, Device, Publisher, Pull, Push, Reply, Request, Subscriber, option};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub const WORKERS: usize = 4;
pub const SUBSCRIBERS: usize = 10;
pub const REQUESTERS: usize = 4;
/// Services behind a broker, or threads of a server.
pub const SERVICES: usize = 4;
/// Publishers before a bridge.
pub const PUBLISHERS: usize = 2;

/// How long a part waits for a message that must come, or for room for one that must go.
const WAIT_MS: i32 = 60_000;

/// Topic of everything that counts, of what nobody asked for, and of the end.
const TOPIC: &[u8] = b"demo";
const OTHER_TOPIC: &[u8] = b"other";
const END_TOPIC: &[u8] = b"end";
/// Topic of what a publisher before a bridge says until all subscribers hear it.
const PROBE_TOPIC: &[u8] = b"probe";

/// A publisher drops what a slow subscriber has no room for, so subscribers say how far they are and
/// the publishers together never have more than a window of messages on the way. Credit comes back
/// in batches of up to half the high-water mark of 1000: the window must leave room for one.
const WINDOW: u64 = 400;
const ACKNOWLEDGE_EVERY: u64 = 100;

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Role {
    Ventilator,
    Worker,
    Sink,
    Publisher,
    Subscriber,
    Server,
    /// A server of several threads behind one endpoint.
    Threads,
    Requester,
    /// The device between requesters and servers.
    Queue,
    /// The device between publishers and subscribers.
    Forwarder,
}

/// What a receiver got, and how that looked wrong to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Received {
    pub tally: Tally,
    /// From the first message to the last.
    pub seconds: f64,
    pub trouble: Option<String>,
}

/// Does the part of `args.role`.
pub fn run(args: &PartArgs) -> Result<()> {
    let context = Context::new();
    let stop = Stop::on_end_of_input(&context);
    match args.role {
        Role::Ventilator => ventilate(args, &context)?,
        Role::Worker => work(args, &context, &stop)?,
        Role::Sink => sink(args, &context)?,
        Role::Publisher => publish(args, &context)?,
        Role::Subscriber => subscribe(args, &context)?,
        Role::Server => serve(args, &context, &stop)?,
        Role::Threads => serve_by_threads(args, &context, &stop)?,
        Role::Requester => request(args, &context)?,
        Role::Queue => stand_between(args, &Device::queue(&context)?)?,
        Role::Forwarder => stand_between(args, &Device::forwarder(&context)?)?,
    }
    context.term()?;
    Ok(())
}

/// Sends numbered messages to the workers, then tells the sink what it has sent.
fn ventilate(args: &PartArgs, context: &Context) -> Result<()> {
    let input = Input::load(&args.files)?;
    let workers = Push::new(context)?;
    let sink = Push::new(context)?;
    for socket in [&workers, &sink] {
        socket.set(option::LINGER, WAIT_MS)?;
        socket.set(option::SNDTIMEO, WAIT_MS)?;
    }
    parts::say(&Event::Endpoint(workers.bind(&args.bind[0])?))?;
    sink.connect(&args.connect[0])?;
    workers.wait_for_peers(WORKERS, Some(WAIT))?;

    let mut sent = Tally::default();
    let mut clock = Clock::new(args, input.messages());
    while clock.runs(sent.messages) {
        let numbered = Numbered { number: sent.messages, body: input.body(sent.messages) };
        workers.send(numbered.to_bytes()).context("no worker has room")?;
        sent.add(numbered);
    }
    sink.send(serde_json::to_vec(&sent)?)?;
    parts::say_done(&sent)
}

/// Passes messages on to the sink, each under this worker's index and its digest.
fn work(args: &PartArgs, context: &Context, stop: &Stop) -> Result<()> {
    let source = Pull::new(context)?;
    let sink = Push::new(context)?;
    sink.set(option::LINGER, WAIT_MS)?;
    sink.connect(&args.connect[1])?;
    source.connect(&args.connect[0])?;
    let mut messages = 0_u64;
    while let Some(message) = stop.unless_asked(source.recv())? {
        let digest = digest(Numbered::parse(&message)?);
        sink.send_multipart([
            args.index.to_le_bytes().to_vec(),
            digest.to_vec(),
            message.to_vec(),
        ])?;
        messages += 1;
    }
    parts::say_done(&messages)
}

/// Accounts for what the workers pass on: each message once and as its worker saw it, those of one
/// worker in order.
fn sink(args: &PartArgs, context: &Context) -> Result<()> {
    let socket = Pull::new(context)?;
    socket.set(option::RCVTIMEO, WAIT_MS)?;
    parts::say(&Event::Endpoint(socket.bind(&args.bind[0])?))?;

    let mut receiver = Receiver::new();
    let mut seen = Seen::default();
    let mut next_of_worker = [0; WORKERS];
    let mut expected = u64::MAX;
    receiver.until_done(|tally| {
        let parts = socket.recv_multipart()?;
        if let [end] = &parts[..] {
            expected = serde_json::from_slice::<Tally>(end)?.messages;
            return Ok(tally.messages == expected);
        }
        let [worker, passed_digest, message] = &parts[..] else {
            bail!("{} parts instead of 3", parts.len())
        };
        let worker = u16::from_le_bytes(worker[..].try_into()?);
        let numbered = Numbered::parse(message)?;
        let digest = digest(numbered);
        ensure!(
            digest == passed_digest[..],
            "message {} is not what worker {worker} saw",
            numbered.number
        );
        let next = next_of_worker.get_mut(usize::from(worker)).context("an unknown worker")?;
        ensure!(
            numbered.number >= *next,
            "worker {worker}: message {} after {next}",
            numbered.number
        );
        *next = numbered.number + 1;
        seen.insert(numbered.number)?;
        tally.add_digest(&digest, numbered.body.len());
        Ok(tally.messages == expected)
    })?;
    parts::say_done(&receiver.finish())
}

/// Publishes numbered messages, and some that nobody wants, to subscribers that say how far they are.
fn publish(args: &PartArgs, context: &Context) -> Result<()> {
    let input = Input::load(&args.files)?;
    let socket = Publisher::new(context)?;
    socket.set(option::LINGER, WAIT_MS)?;
    let acknowledgements = Pull::new(context)?;
    acknowledgements.set(option::RCVTIMEO, WAIT_MS)?;
    parts::say(&Event::Endpoint(acknowledgements.bind(&args.bind[0])?))?;
    if let Some(bridge) = args.connect.first() {
        socket.connect(bridge)?;
        probe(&socket, &acknowledgements)?;
    } else {
        parts::say(&Event::Endpoint(socket.bind(&args.bind[1])?))?;
        socket.wait_for_subscribers(TOPIC, SUBSCRIBERS, Some(WAIT))?;
        socket.wait_for_subscribers(END_TOPIC, SUBSCRIBERS, Some(WAIT))?;
    }

    let senders = u64::from(args.senders);
    let mut sent = Tally::default();
    let mut acknowledged = [0; SUBSCRIBERS];
    let mut clock = Clock::new(args, input.messages());
    while clock.runs(sent.messages) {
        while sent.messages - acknowledged.iter().min().expect("ten subscribers")
            >= WINDOW / senders
        {
            let message = acknowledgements.recv().context("a subscriber lags behind")?;
            let numbered = Numbered::parse(&message)?;
            let subscriber = u16::from_le_bytes(numbered.body.try_into()?);
            let acknowledged = &mut acknowledged[usize::from(subscriber)];
            *acknowledged = numbered.number.max(*acknowledged);
        }
        let number = sent.messages * senders + u64::from(args.index);
        let numbered = Numbered { number, body: input.body(number) };
        socket.send_multipart([TOPIC.to_vec(), numbered.to_bytes()])?;
        if sent.messages.is_multiple_of(16) {
            socket.send_multipart([OTHER_TOPIC.to_vec(), numbered.to_bytes()])?;
        }
        sent.add(numbered);
    }
    socket.send(END_TOPIC)?;
    parts::say_done(&sent)
}

/// Publishes until every subscriber has heard it: then the subscriptions before have come through,
/// too. Behind a bridge nobody else can tell.
fn probe(socket: &Publisher, acknowledgements: &Pull) -> Result<()> {
    let mut silent: BTreeSet<usize> = (0..SUBSCRIBERS).collect();
    let until = Instant::now() + WAIT;
    while !silent.is_empty() {
        ensure!(Instant::now() < until, "subscribers {silent:?} hear nothing");
        socket.send(PROBE_TOPIC)?;
        while let Ok(message) = acknowledgements.recv_timeout(PROBE_EVERY) {
            let numbered = Numbered::parse(&message)?;
            silent.remove(&usize::from(u16::from_le_bytes(numbered.body.try_into()?)));
        }
    }
    Ok(())
}

/// Accounts for what is published: every message, in order, and nothing that was not asked for.
fn subscribe(args: &PartArgs, context: &Context) -> Result<()> {
    let socket = Subscriber::new(context)?;
    socket.set(option::RCVTIMEO, WAIT_MS)?;
    socket.subscribe(TOPIC)?;
    socket.subscribe(END_TOPIC)?;
    // The last: who hears a probe has the others.
    socket.subscribe(PROBE_TOPIC)?;
    // To each publisher its own.
    let mut acknowledgements = Vec::new();
    for endpoint in &args.connect[1..] {
        let acknowledgement = Push::new(context)?;
        // The last ones are of no use to anybody.
        acknowledgement.set(option::LINGER, 0)?;
        acknowledgement.connect(endpoint)?;
        acknowledgements.push(acknowledgement);
    }
    socket.connect(&args.connect[0])?;

    let senders = acknowledgements.len() as u64;
    let mut received = vec![0; acknowledgements.len()];
    let mut ended = 0;
    let acknowledge = |publisher: usize, number| {
        acknowledgements[publisher]
            .send(Numbered { number, body: &args.index.to_le_bytes() }.to_bytes())
    };
    let mut receiver = Receiver::new();
    receiver.until_done(|tally| {
        let parts = socket.recv_multipart()?;
        let [topic, message] = &parts[..] else {
            ensure!(parts.len() == 1, "{} parts instead of 2", parts.len());
            if &parts[0][..] == PROBE_TOPIC {
                (0..acknowledgements.len()).try_for_each(|publisher| acknowledge(publisher, 0))?;
                return Ok(false);
            }
            ensure!(&parts[0][..] == END_TOPIC, "a part of its own");
            ended += 1;
            return Ok(ended == senders);
        };
        ensure!(&topic[..] == TOPIC, "nobody asked for topic {:?}", String::from_utf8_lossy(topic));
        let numbered = Numbered::parse(message)?;
        let publisher = (numbered.number % senders) as usize;
        let expected = received[publisher] * senders + publisher as u64;
        ensure!(numbered.number == expected, "message {} instead of {expected}", numbered.number);
        received[publisher] += 1;
        tally.add(numbered);
        if received[publisher].is_multiple_of(ACKNOWLEDGE_EVERY) {
            acknowledge(publisher, received[publisher])?;
        }
        Ok(false)
    })?;
    parts::say_done(&receiver.finish())
}

/// Answers requests: of peers that connect, or of a broker that it connects to.
fn serve(args: &PartArgs, context: &Context, stop: &Stop) -> Result<()> {
    let socket = Reply::new(context)?;
    socket.set(option::LINGER, WAIT_MS)?;
    match args.connect.first() {
        Some(broker) => socket.connect(broker)?,
        None => parts::say(&Event::Endpoint(socket.bind(&args.bind[0])?))?,
    }
    parts::say_done(&answer(&socket, stop)?)
}

/// The Guide's multithreaded server: a queue whose services are threads, reached within the process.
fn serve_by_threads(args: &PartArgs, context: &Context, stop: &Stop) -> Result<()> {
    let queue = Device::queue(context)?;
    let services = queue.back().bind("inproc://services")?;
    parts::say(&Event::Endpoint(queue.front().bind(&args.bind[0])?))?;
    let answered = thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..SERVICES {
            let socket = Reply::new(context)?;
            socket.connect(&services)?;
            threads.push(scope.spawn(move || answer(&socket, stop)));
        }
        queue.run()?;
        let mut answered = Tally::default();
        for thread in threads {
            answered.join(&thread.join().map_err(|_| anyhow!("a service failed"))??);
        }
        anyhow::Ok(answered)
    })?;
    parts::say_done(&answered)
}

/// Passes on what comes, until it is told to stop.
fn stand_between(args: &PartArgs, device: &Device) -> Result<()> {
    for (socket, endpoint) in [device.front(), device.back()].into_iter().zip(&args.bind) {
        socket.set(option::LINGER, WAIT_MS)?;
        parts::say(&Event::Endpoint(socket.bind(endpoint)?))?;
    }
    device.run()?;
    parts::say_done(&())
}

/// Answers every request with its digest and its body.
fn answer(socket: &Reply, stop: &Stop) -> Result<Tally> {
    let mut seen = Seen::default();
    let mut answered = Tally::default();
    while let Some(message) = stop.unless_asked(socket.recv())? {
        let numbered = Numbered::parse(&message)?;
        seen.insert(numbered.number)?;
        let digest = digest(numbered);
        answered.add_digest(&digest, numbered.body.len());
        socket.send([&digest, numbered.body].concat())?;
    }
    Ok(answered)
}

/// Requests its share of the numbers, and checks every reply.
fn request(args: &PartArgs, context: &Context) -> Result<()> {
    let input = Input::load(&args.files)?;
    let socket = Request::new(context)?;
    socket.set(option::LINGER, 0)?;
    socket.set(option::SNDTIMEO, WAIT_MS)?;
    socket.set(option::RCVTIMEO, WAIT_MS)?;
    socket.connect(&args.connect[0])?;

    let mut receiver = Receiver::new();
    let mut clock = Clock::new(args, input.messages().div_ceil(REQUESTERS));
    receiver.until_done(|tally| {
        let number = tally.messages * REQUESTERS as u64 + u64::from(args.index);
        let numbered = Numbered { number, body: input.body(number) };
        socket.send(numbered.to_bytes())?;
        let reply = socket.recv().with_context(|| format!("no reply to request {number}"))?;
        let digest = digest(numbered);
        ensure!(
            reply[..] == [&digest, numbered.body].concat(),
            "the reply to request {number} is wrong"
        );
        tally.add_digest(&digest, numbered.body.len());
        Ok(!clock.runs(tally.messages))
    })?;
    parts::say_done(&receiver.finish())
}

const WAIT: Duration = Duration::from_millis(WAIT_MS as u64);
/// How long the answers to a probe may take before the next.
const PROBE_EVERY: Duration = Duration::from_millis(10);

/// Ends blocked calls once standard input has ended.
struct Stop {
    asked: Arc<AtomicBool>,
}

impl Stop {
    fn on_end_of_input(context: &Context) -> Self {
        let asked = Arc::new(AtomicBool::new(false));
        let (context, asking) = (context.clone(), asked.clone());
        parts::at_end_of_input(move || {
            // Pairs with the load in `unless_asked`: whoever sees the shutdown sees why.
            asking.store(true, Ordering::Release);
            context.shutdown();
        });
        Stop { asked }
    }

    /// `None` instead of an error when the part has been asked to stop.
    fn unless_asked<T, E>(&self, result: Result<T, E>) -> Result<Option<T>, E> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(_) if self.asked.load(Ordering::Acquire) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Decides how long a sender sends: for the time asked for, and the whole input at least once.
struct Clock {
    until: Instant,
    messages_min: u64,
}

impl Clock {
    fn new(args: &PartArgs, messages_min: usize) -> Self {
        Clock {
            until: Instant::now() + Duration::from_millis(args.millis),
            messages_min: messages_min as u64,
        }
    }

    fn runs(&mut self, messages: u64) -> bool {
        messages < self.messages_min || !messages.is_multiple_of(16) || Instant::now() < self.until
    }
}

/// A receiver's account, kept while it says that it moves.
struct Receiver {
    tally: Tally,
    progress: Progress,
    first: Option<Instant>,
    last: Instant,
    trouble: Option<String>,
}

impl Receiver {
    fn new() -> Self {
        Receiver {
            tally: Tally::default(),
            progress: Progress::new(),
            first: None,
            last: Instant::now(),
            trouble: None,
        }
    }

    /// Calls `step`, which receives one message, until it says that this was all. What goes wrong
    /// there ends it as well, and is kept as the trouble to report beside what did arrive.
    fn until_done(&mut self, mut step: impl FnMut(&mut Tally) -> Result<bool>) -> Result<()> {
        loop {
            let done = step(&mut self.tally);
            self.last = Instant::now();
            self.first.get_or_insert(self.last);
            match done {
                Ok(false) => self.progress.at(self.tally.messages)?,
                Ok(true) => return Ok(()),
                Err(trouble) => {
                    self.trouble =
                        Some(format!("after {} messages: {trouble:#}", self.tally.messages));
                    return Ok(());
                }
            }
        }
    }

    fn finish(self) -> Received {
        let seconds = self.first.map_or(0.0, |first| (self.last - first).as_secs_f64());
        Received { tally: self.tally, seconds, trouble: self.trouble }
    }
}
