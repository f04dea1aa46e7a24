//! `oxmq demo`: real processes carry real input through the patterns, and prove that it arrived.

mod input;
mod roles;
mod tally;

use crate::parts::{PartId, Parts};
use crate::progress::Progress;
use anyhow::{Context, Result, bail};
use input::Input;
use roles::{PUBLISHERS, REQUESTERS, Received, Role, SERVICES, SUBSCRIBERS, WORKERS};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use tally::Tally;

/// How long everything may stand still before that counts as a hang; longer than any part waits.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub struct Args {
    /// What to carry [default: the texts and sources of this repository]
    files: Vec<PathBuf>,
    /// How long each of the nine runs sends; the input travels whole at least once
    #[arg(long, default_value_t = 1.2)]
    seconds: f64,
}

#[derive(clap::Args)]
pub struct PartArgs {
    role: Role,
    #[arg(long)]
    bind: Vec<String>,
    #[arg(long)]
    connect: Vec<String>,
    #[arg(long, default_value_t = 0)]
    index: u16,
    #[arg(long, default_value_t = 0)]
    millis: u64,
    /// How many like it send, each its share of the numbers
    #[arg(long, default_value_t = 1)]
    senders: u16,
    files: Vec<PathBuf>,
}

/// Runs every pattern over every transport of the demo, then prints the table.
pub fn run(args: Args) -> Result<()> {
    let seconds = Duration::try_from_secs_f64(args.seconds).context("--seconds")?;
    let files = if args.files.is_empty() { input::repository_files()? } else { args.files };
    let messages = Input::load(&files)?.messages();
    match files.len() {
        0 => eprintln!(
            "carrying this program's own sources, cut into {messages} messages, again and again"
        ),
        n => eprintln!("carrying {n} files, cut into {messages} messages, again and again"),
    }
    let scratch = Scratch::new()?;
    let mut rows = Vec::new();
    for (pattern, transport) in RUNS {
        let millis = seconds.as_millis() as u64;
        let job = Job { transport, millis, files: &files, scratch: &scratch };
        let row = job.run(pattern);
        rows.push(row.with_context(|| pattern.over(transport))?);
    }
    print_table(&rows)?;
    match rows.iter().find_map(|row| row.trouble.as_deref().map(|trouble| (row, trouble))) {
        Some((row, trouble)) => bail!("{} over {}: {trouble}", row.pattern, row.transport),
        None => Ok(()),
    }
}

/// One process of a demo.
pub fn run_part(args: PartArgs) -> Result<()> {
    roles::run(&args)
}

const RUNS: [(Pattern, Transport); 9] = [
    (Pattern::Pipeline, Transport::Tcp),
    (Pattern::Pipeline, Transport::Ipc),
    (Pattern::PubSub, Transport::Tcp),
    (Pattern::PubSub, Transport::Ipc),
    (Pattern::RequestReply, Transport::Tcp),
    (Pattern::RequestReply, Transport::Ipc),
    (Pattern::Broker, Transport::Tcp),
    (Pattern::Bridge, Transport::Tcp),
    (Pattern::Threads, Transport::Tcp),
];

#[derive(Clone, Copy)]
enum Pattern {
    Pipeline,
    PubSub,
    RequestReply,
    /// Requesters before a queue, services behind it, over ipc.
    Broker,
    /// Publishers before a forwarder, subscribers behind it, over ipc.
    Bridge,
    /// Requesters of a server whose threads are reached over inproc.
    Threads,
}

impl Pattern {
    fn name(self) -> &'static str {
        match self {
            Pattern::Pipeline => "pipeline",
            Pattern::PubSub => "publish-subscribe",
            Pattern::RequestReply => "request-reply",
            Pattern::Broker => "broker",
            Pattern::Bridge => "bridge",
            Pattern::Threads => "threaded-server",
        }
    }

    /// What the messages travel over, one after the other.
    fn transports(self, first: Transport) -> String {
        match self {
            Pattern::Broker | Pattern::Bridge => format!("{}-ipc", first.name()),
            Pattern::Threads => format!("{}-inproc", first.name()),
            _ => first.name().to_owned(),
        }
    }

    fn over(self, first: Transport) -> String {
        format!("{} over {}", self.name(), self.transports(first))
    }
}

#[derive(Clone, Copy)]
enum Transport {
    Tcp,
    Ipc,
}

impl Transport {
    fn name(self) -> &'static str {
        match self {
            Transport::Tcp => "tcp",
            Transport::Ipc => "ipc",
        }
    }
}

/// One line of the table.
struct Row {
    pattern: &'static str,
    transport: String,
    processes: usize,
    /// Delivered, to all receivers together.
    delivered: Tally,
    seconds: f64,
    lost: u64,
    trouble: Option<String>,
}

/// One pattern over one transport.
struct Job<'a> {
    transport: Transport,
    millis: u64,
    files: &'a [PathBuf],
    scratch: &'a Scratch,
}

impl Job<'_> {
    fn run(&self, pattern: Pattern) -> Result<Row> {
        let mut parts = Parts::new(PATIENCE);
        let mut progress = Progress::new(pattern.over(self.transport));
        let (sent, received) = match pattern {
            Pattern::Pipeline => self.pipeline(&mut parts, &mut progress)?,
            Pattern::PubSub => self.publish_subscribe(&mut parts, &mut progress)?,
            Pattern::RequestReply => self.request_reply(Role::Server, &mut parts, &mut progress)?,
            Pattern::Threads => self.request_reply(Role::Threads, &mut parts, &mut progress)?,
            Pattern::Broker => self.broker(&mut parts, &mut progress)?,
            Pattern::Bridge => self.bridge(&mut parts, &mut progress)?,
        };
        let processes = parts.len();
        parts.finish()?;
        let row = self.account(pattern, processes, &sent, received);
        progress.finish(row.delivered.messages);
        Ok(row)
    }

    /// What each receiver should have got, and what each got.
    fn pipeline(
        &self,
        parts: &mut Parts,
        progress: &mut Progress,
    ) -> Result<(Vec<Tally>, Vec<Received>)> {
        let sink = parts.start("sink", &self.part(Role::Sink, &[self.bind("sink")], &[], 0))?;
        let sink_at = parts.endpoint(sink)?;
        let ventilator = parts.start(
            "ventilator",
            &self.sender(
                Role::Ventilator,
                &[self.bind("ventilator")],
                std::slice::from_ref(&sink_at),
                0,
            ),
        )?;
        let ventilator_at = parts.endpoint(ventilator)?;
        for index in 0..WORKERS {
            let connect = [ventilator_at.clone(), sink_at.clone()];
            parts
                .start(format!("worker {index}"), &self.part(Role::Worker, &[], &connect, index))?;
        }
        gather(parts, &[ventilator], &[sink], progress)
    }

    fn publish_subscribe(
        &self,
        parts: &mut Parts,
        progress: &mut Progress,
    ) -> Result<(Vec<Tally>, Vec<Received>)> {
        let binds = [self.bind("acknowledgements"), self.bind("publisher")];
        let publisher = parts.start("publisher", &self.sender(Role::Publisher, &binds, &[], 0))?;
        let acknowledgements = parts.endpoint(publisher)?;
        let connect = [parts.endpoint(publisher)?, acknowledgements];
        let subscribers = self.subscribers(&connect, parts)?;
        gather(parts, &[publisher], &subscribers, progress)
    }

    fn subscribers(&self, connect: &[String], parts: &mut Parts) -> Result<Vec<PartId>> {
        let subscriber = |index| {
            let args = self.part(Role::Subscriber, &[], connect, index);
            parts.start(format!("subscriber {index}"), &args)
        };
        (0..SUBSCRIBERS).map(subscriber).collect()
    }

    fn bridge(
        &self,
        parts: &mut Parts,
        progress: &mut Progress,
    ) -> Result<(Vec<Tally>, Vec<Received>)> {
        let binds = [self.bind("front"), self.bind_over(Transport::Ipc, "back")];
        let bridge = parts.start("bridge", &self.part(Role::Forwarder, &binds, &[], 0))?;
        let front = parts.endpoint(bridge)?;
        let mut connect = vec![parts.endpoint(bridge)?];
        let mut publishers = Vec::new();
        for index in 0..PUBLISHERS {
            let bind = self.bind(&format!("acknowledgements-{index}"));
            let mut args = vec!["--senders".to_owned(), PUBLISHERS.to_string()];
            let sender = self.sender(Role::Publisher, &[bind], std::slice::from_ref(&front), index);
            // Behind the role, before the files.
            args = [&sender[..2], &args, &sender[2..]].concat();
            let publisher = parts.start(format!("publisher {index}"), &args)?;
            connect.push(parts.endpoint(publisher)?);
            publishers.push(publisher);
        }
        let subscribers = self.subscribers(&connect, parts)?;
        let gathered = gather(parts, &publishers, &subscribers, progress)?;
        parts.stop(bridge);
        parts.results::<()>(&[bridge], |_| ())?;
        Ok(gathered)
    }

    fn request_reply(
        &self,
        server: Role,
        parts: &mut Parts,
        progress: &mut Progress,
    ) -> Result<(Vec<Tally>, Vec<Received>)> {
        let server = parts.start("server", &self.part(server, &[self.bind("server")], &[], 0))?;
        let endpoint = parts.endpoint(server)?;
        self.requests(&endpoint, &[server], parts, progress)
    }

    fn broker(
        &self,
        parts: &mut Parts,
        progress: &mut Progress,
    ) -> Result<(Vec<Tally>, Vec<Received>)> {
        let binds = [self.bind("front"), self.bind_over(Transport::Ipc, "back")];
        let broker = parts.start("broker", &self.part(Role::Queue, &binds, &[], 0))?;
        let front = parts.endpoint(broker)?;
        let back = [parts.endpoint(broker)?];
        let mut services = Vec::new();
        for index in 0..SERVICES {
            let args = self.part(Role::Server, &[], &back, index);
            services.push(parts.start(format!("service {index}"), &args)?);
        }
        let gathered = self.requests(&front, &services, parts, progress)?;
        parts.stop(broker);
        parts.results::<()>(&[broker], |_| ())?;
        Ok(gathered)
    }

    /// Requests at `endpoint`, which `servers` have answered together.
    fn requests(
        &self,
        endpoint: &str,
        servers: &[PartId],
        parts: &mut Parts,
        progress: &mut Progress,
    ) -> Result<(Vec<Tally>, Vec<Received>)> {
        let connect = [endpoint.to_owned()];
        let mut requesters = Vec::new();
        for index in 0..REQUESTERS {
            let args = self.sender(Role::Requester, &[], &connect, index);
            requesters.push(parts.start(format!("requester {index}"), &args)?);
        }
        let received: Vec<Received> = parts.results(&requesters, |moved| progress.at(moved))?;
        servers.iter().for_each(|&server| parts.stop(server));
        let mut answered = Tally::default();
        for tally in parts.results::<Tally>(servers, |_| ())? {
            answered.join(&tally);
        }
        // The servers have seen all requests together, so the requesters count as one receiver.
        let mut all = Received { tally: Tally::default(), seconds: 0.0, trouble: None };
        for one in received {
            all.tally.join(&one.tally);
            all.seconds = all.seconds.max(one.seconds);
            all.trouble = all.trouble.or(one.trouble);
        }
        Ok((vec![answered], vec![all]))
    }

    fn account(
        &self,
        pattern: Pattern,
        processes: usize,
        sent: &[Tally],
        received: Vec<Received>,
    ) -> Row {
        let mut row = Row {
            pattern: pattern.name(),
            transport: pattern.transports(self.transport),
            processes,
            delivered: Tally::default(),
            seconds: 0.0,
            lost: 0,
            trouble: None,
        };
        for (index, (sent, got)) in sent.iter().zip(received).enumerate() {
            row.delivered.join(&got.tally);
            row.seconds = row.seconds.max(got.seconds);
            row.lost += sent.messages.saturating_sub(got.tally.messages);
            let verdict = sent.expect(&format!("receiver {index}"), &got.tally);
            row.trouble = row
                .trouble
                .or(got.trouble)
                .or_else(|| verdict.err().map(|error| error.to_string()));
        }
        row
    }

    fn bind(&self, name: &str) -> String {
        self.bind_over(self.transport, name)
    }

    fn bind_over(&self, transport: Transport, name: &str) -> String {
        match transport {
            Transport::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Transport::Ipc => format!("ipc://{}", self.scratch.0.join(name).display()),
        }
    }

    /// The arguments of a part that sends the input.
    fn sender(&self, role: Role, bind: &[String], connect: &[String], index: usize) -> Vec<String> {
        let mut args = self.part(role, bind, connect, index);
        args.extend(["--millis".to_owned(), self.millis.to_string(), "--".to_owned()]);
        args.extend(self.files.iter().map(|file| file.to_string_lossy().into_owned()));
        args
    }

    fn part(&self, role: Role, bind: &[String], connect: &[String], index: usize) -> Vec<String> {
        let role = clap::ValueEnum::to_possible_value(&role).expect("no role is skipped");
        let mut args = vec!["demo-part".to_owned(), role.get_name().to_owned()];
        args.extend(["--index".to_owned(), index.to_string()]);
        args.extend(bind.iter().flat_map(|endpoint| ["--bind".to_owned(), endpoint.clone()]));
        args.extend(connect.iter().flat_map(|endpoint| ["--connect".to_owned(), endpoint.clone()]));
        args
    }
}

/// What the senders sent, once for each receiver, and what these received.
fn gather(
    parts: &mut Parts,
    senders: &[PartId],
    receivers: &[PartId],
    progress: &mut Progress,
) -> Result<(Vec<Tally>, Vec<Received>)> {
    let received: Vec<Received> = parts.results(receivers, |moved| progress.at(moved))?;
    match parts.results::<Tally>(senders, |_| ()) {
        Ok(sent) => {
            let mut all = Tally::default();
            sent.iter().for_each(|sent| all.join(sent));
            Ok((vec![all; receivers.len()], received))
        }
        // What a receiver found wrong explains why the sender got nowhere.
        Err(error) => match received.into_iter().find_map(|one| one.trouble) {
            Some(trouble) => Err(error.context(format!("a receiver stopped {trouble}"))),
            None => Err(error),
        },
    }
}

fn print_table(rows: &[Row]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<18} {:<10} {:>9} {:>10} {:>13} {:>12} {:>10} {:>5}",
        "pattern", "transport", "processes", "messages", "bytes", "messages/s", "MB/s", "lost"
    )?;
    for row in rows {
        let per_second = |amount: u64| amount as f64 / row.seconds.max(1e-9);
        writeln!(
            out,
            "{:<18} {:<10} {:>9} {:>10} {:>13} {:>12.0} {:>10.1} {:>5}",
            row.pattern,
            row.transport,
            row.processes,
            row.delivered.messages,
            row.delivered.bytes,
            per_second(row.delivered.messages),
            per_second(row.delivered.bytes) / 1e6,
            row.lost
        )?;
    }
    if rows.iter().all(|row| row.trouble.is_none()) {
        writeln!(out, "every message arrived once, whole and in order (SHA-256 on both sides)")?;
    }
    Ok(())
}

/// A directory for the sockets of ipc, removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        let path = std::env::temp_dir().join(format!("oxmq-demo-{}", std::process::id()));
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Sockets left behind in a temporary directory harm nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
