//! `oxmq push`, `oxmq sub`, …: lines of standard input as messages, messages as lines of standard
//! output.

use std::io::{self, BufRead, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args as ClapArgs, ValueEnum};
use oxmq::{Context, Message, RecvError, Socket, SocketType, option};
use serde_json::{Value, json};

/// What a socket command takes: what each of them does, and what its type has a use for.
#[derive(ClapArgs)]
#[group(skip)]
pub struct Args<Own: ClapArgs> {
    /// Accept peers at this endpoint (tcp://*:5555, ipc:///tmp/x); may be given several times
    #[arg(long, value_name = "ENDPOINT")]
    bind: Vec<String>,
    /// Connect to this endpoint; may be given several times
    #[arg(long, value_name = "ENDPOINT")]
    connect: Vec<String>,
    /// End after so many messages: received, or, where nothing is received, sent
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Parts of a message are separated by this, in and out
    #[arg(long, value_name = "TEXT")]
    delimiter: Option<String>,
    #[command(flatten)]
    own: Own,
}

pub type Push = Args<Both<Sending, Waiting>>;
pub type Pull = Args<Receiving>;
pub type Pub = Args<Publishing>;
pub type Sub = Args<Both<Receiving, Subscribing>>;
pub type Req = Args<Both<Both<Receiving, Named>, Both<Sending, Waiting>>>;
pub type Rep = Args<Both<Receiving, Answering>>;
pub type Dealer = Args<Both<Both<Receiving, Named>, Both<Sending, Waiting>>>;
/// What it sends to a peer that is full or gone is dropped: it never waits.
pub type Router = Args<Both<Both<Receiving, Named>, Waiting>>;
pub type Pair = Args<Both<Receiving, Both<Sending, Waiting>>>;
pub type XPub = Args<Both<Receiving, Publishing>>;
pub type XSub = Args<Both<Receiving, Both<XSubscribing, Waiting>>>;

/// Two groups of options.
#[derive(ClapArgs)]
#[group(skip)]
pub struct Both<First: ClapArgs, Second: ClapArgs> {
    #[command(flatten)]
    first: First,
    #[command(flatten)]
    second: Second,
}

#[derive(ClapArgs)]
#[group(skip)]
pub struct Receiving {
    /// How messages are printed
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    format: Format,
    /// End when nothing comes for so long, in milliseconds
    #[arg(long, value_name = "MS")]
    recv_timeout: Option<i32>,
}

#[derive(ClapArgs)]
#[group(skip)]
pub struct Sending {
    /// Give up when no peer takes a message for so long, in milliseconds
    #[arg(long, value_name = "MS")]
    send_timeout: Option<i32>,
}

#[derive(ClapArgs)]
#[group(skip)]
pub struct Waiting {
    /// Wait for so many peers before sending
    #[arg(long, value_name = "N", default_value_t = 0)]
    wait_for_peers: usize,
}

#[derive(ClapArgs)]
#[group(skip)]
pub struct Publishing {
    /// Wait for so many peers before sending: what is sent before is lost
    #[arg(long, value_name = "N", default_value_t = 0)]
    wait_for_peers: usize,
}

#[derive(ClapArgs)]
#[group(skip)]
pub struct Subscribing {
    /// Receive what begins with this; may be given several times [default: everything]
    #[arg(long, value_name = "PREFIX")]
    subscribe: Vec<String>,
}

#[derive(ClapArgs)]
#[group(skip)]
pub struct XSubscribing {
    /// Receive what begins with this; may be given several times [default: nothing, until a line
    /// that begins with the byte 1 subscribes to the rest of it]
    #[arg(long, value_name = "PREFIX")]
    subscribe: Vec<String>,
}

#[derive(ClapArgs)]
#[group(skip)]
pub struct Named {
    /// The name by which a ROUTER at the other end knows this socket
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
}

#[derive(ClapArgs)]
#[group(skip)]
pub struct Answering {
    /// Answer each request with itself instead of lines of standard input
    #[arg(long)]
    echo: bool,
}

/// What a socket is told, whatever its type; what that takes no option for is as by default.
#[derive(Default)]
pub struct Settings {
    bind: Vec<String>,
    connect: Vec<String>,
    subscribe: Vec<String>,
    identity: Option<String>,
    count: Option<u64>,
    delimiter: Option<String>,
    format: Format,
    wait_for_peers: usize,
    recv_timeout: Option<i32>,
    send_timeout: Option<i32>,
    echo: bool,
}

/// A group of options.
pub trait Group: ClapArgs {
    fn put(self, settings: &mut Settings);
}

macro_rules! groups {
    ($($group:ident { $($field:ident),* })*) => {$(
        impl Group for $group {
            fn put(self, settings: &mut Settings) {
                $(settings.$field = self.$field;)*
            }
        }
    )*};
}

groups! {
    Receiving { format, recv_timeout }
    Sending { send_timeout }
    Waiting { wait_for_peers }
    Publishing { wait_for_peers }
    Subscribing { subscribe }
    XSubscribing { subscribe }
    Named { identity }
    Answering { echo }
}

impl<First: Group, Second: Group> Group for Both<First, Second> {
    fn put(self, settings: &mut Settings) {
        self.first.put(settings);
        self.second.put(settings);
    }
}

/// How long what was sent last may take to leave.
const LINGER: Duration = Duration::from_secs(10);

/// How messages are printed.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As they are
    #[default]
    Raw,
    /// As text, with what does not print escaped
    Quoted,
    /// In hexadecimal digits
    Hex,
    /// As a JSON array of the parts; a part that is no text as {"hex": …}
    Json,
}

/// Runs a socket of this type until its input and its count are used up.
pub fn run<Own: Group>(kind: SocketType, args: Args<Own>) -> Result<()> {
    let Args { bind, connect, count, delimiter, own } = args;
    let mut settings = Settings { bind, connect, count, delimiter, ..Settings::default() };
    own.put(&mut settings);
    run_as_told(kind, settings)
}

fn run_as_told(kind: SocketType, args: Settings) -> Result<()> {
    ensure!(
        !(args.bind.is_empty() && args.connect.is_empty()),
        "no endpoint; give --bind or --connect at least once"
    );
    let context = Context::new();
    let socket = context.socket(kind)?;
    if let Some(identity) = &args.identity {
        socket.set(option::ROUTING_ID, identity.as_bytes().to_vec())?;
    }
    socket.set(option::RCVTIMEO, args.recv_timeout.unwrap_or(-1))?;
    socket.set(option::SNDTIMEO, args.send_timeout.unwrap_or(-1))?;
    if kind == SocketType::Sub && args.subscribe.is_empty() {
        socket.subscribe("")?;
    }
    for prefix in &args.subscribe {
        socket.subscribe(prefix)?;
    }
    for endpoint in &args.bind {
        let actual = socket.bind(endpoint)?;
        eprintln!("oxmq: bound to {actual}");
    }
    for endpoint in &args.connect {
        socket.connect(endpoint)?;
    }
    if args.wait_for_peers > 0 {
        wait_for_peers(&socket, &args)?;
    }
    match kind {
        SocketType::Push | SocketType::Pub => send_all(&socket, &args, args.count),
        SocketType::Pull | SocketType::Sub => receive_all(&socket, &args),
        SocketType::Req => ask(&socket, &args),
        SocketType::Rep => answer(&socket, &args),
        _ => both_ways(&context, socket, args),
    }
}

fn wait_for_peers(socket: &Socket, args: &Settings) -> Result<()> {
    socket.wait_for_peers(args.wait_for_peers, None)?;
    if matches!(socket.kind(), SocketType::Pub | SocketType::XPub) {
        // Their subscriptions follow the handshakes at once.
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Standard input, line by line, without the line's end; bytes of any kind.
fn lines() -> impl Iterator<Item = Result<Vec<u8>>> {
    io::stdin().lock().split(b'\n').map(|line| line.context("standard input"))
}

fn parts_of(line: &[u8], delimiter: Option<&str>) -> Vec<Message> {
    let Some(delimiter) = delimiter.filter(|delimiter| !delimiter.is_empty()) else {
        return vec![Message::from(line)];
    };
    let delimiter = delimiter.as_bytes();
    let (mut parts, mut rest) = (Vec::new(), line);
    while let Some(at) = rest.windows(delimiter.len()).position(|window| window == delimiter) {
        parts.push(Message::from(&rest[..at]));
        rest = &rest[at + delimiter.len()..];
    }
    parts.push(Message::from(rest));
    parts
}

fn send_line(socket: &Socket, line: &[u8], args: &Settings) -> Result<()> {
    let parts = parts_of(line, args.delimiter.as_deref());
    socket.send_multipart(parts).with_context(|| format!("sending {}", line.escape_ascii()))
}

fn send_all(socket: &Socket, args: &Settings, count: Option<u64>) -> Result<()> {
    for line in lines().take(count.unwrap_or(u64::MAX) as usize) {
        send_line(socket, &line?, args)?;
    }
    Ok(())
}

/// Receives one message. None: nothing came in time.
fn receive(socket: &Socket) -> Result<Option<Vec<Message>>> {
    match socket.recv_multipart() {
        Ok(parts) => Ok(Some(parts)),
        Err(RecvError::Again) => Ok(None),
        Err(error) => Err(error).context("receiving"),
    }
}

fn receive_all(socket: &Socket, args: &Settings) -> Result<()> {
    let mut received = 0;
    while args.count.is_none_or(|count| received < count) {
        let Some(parts) = receive(socket)? else { return Ok(()) };
        print(&parts, args)?;
        received += 1;
    }
    Ok(())
}

fn ask(socket: &Socket, args: &Settings) -> Result<()> {
    for line in lines().take(args.count.unwrap_or(u64::MAX) as usize) {
        send_line(socket, &line?, args)?;
        let reply = receive(socket)?.context("no reply came in time")?;
        print(&reply, args)?;
    }
    Ok(())
}

fn answer(socket: &Socket, args: &Settings) -> Result<()> {
    let mut answered = 0;
    let mut lines = lines();
    while args.count.is_none_or(|count| answered < count) {
        let Some(request) = receive(socket)? else { return Ok(()) };
        print(&request, args)?;
        if args.echo {
            socket.send_multipart(request)?;
        } else {
            let Some(line) = lines.next() else { return Ok(()) };
            send_line(socket, &line?, args)?;
        }
        answered += 1;
    }
    Ok(())
}

/// Sends what standard input says while it prints what comes; ends with what comes.
fn both_ways(context: &Context, socket: Socket, args: Settings) -> Result<()> {
    let (socket, args) = (Arc::new(socket), Arc::new(args));
    let sender = thread::spawn({
        let (socket, args) = (socket.clone(), args.clone());
        move || send_all(&socket, &args, None)
    });
    let received = receive_all(&socket, &args);
    if sender.is_finished() || args.count.is_none() {
        sender.join().expect("sending does not panic")?;
    }
    // Otherwise it waits for standard input, which may never end. What was sent still goes out.
    socket.close();
    context.term_timeout(LINGER)?;
    received
}

fn print(parts: &[Message], args: &Settings) -> Result<()> {
    let mut line = Vec::new();
    let delimiter = args.delimiter.as_deref().unwrap_or("\t").as_bytes();
    if args.format == Format::Json {
        let parts: Vec<Value> = parts.iter().map(|part| json_of(part)).collect();
        serde_json::to_writer(&mut line, &parts)?;
    } else {
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                line.extend_from_slice(delimiter);
            }
            match args.format {
                Format::Quoted => write!(line, "\"{}\"", part.escape_ascii())?,
                Format::Hex => part.iter().try_for_each(|byte| write!(line, "{byte:02x}"))?,
                Format::Raw | Format::Json => line.extend_from_slice(part),
            }
        }
    }
    line.push(b'\n');
    let mut out = io::stdout().lock();
    out.write_all(&line).and_then(|()| out.flush()).context("standard output")
}

fn json_of(part: &[u8]) -> Value {
    match std::str::from_utf8(part) {
        Ok(text) => json!(text),
        Err(_) => {
            json!({ "hex": part.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
    }
}
