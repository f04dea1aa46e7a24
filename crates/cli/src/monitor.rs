//! `oxmq monitor`: what happens to a socket, line by line.

use std::io::{self, Write};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args as ClapArgs, ValueEnum};
use oxmq::monitor::{Event, EventKind};
use oxmq::{Context, Message, RecvError, Socket, SocketType, option};
use serde_json::{Map, Value, json};

/// What `oxmq monitor` takes.
#[derive(ClapArgs)]
pub struct Args {
    /// The type of the socket
    #[arg(value_enum)]
    kind: Kind,
    /// Accept peers at this endpoint (tcp://*:5555, ipc:///tmp/x); may be given several times
    #[arg(long, value_name = "ENDPOINT")]
    bind: Vec<String>,
    /// Connect to this endpoint; may be given several times
    #[arg(long, value_name = "ENDPOINT")]
    connect: Vec<String>,
    /// SUB, XSUB: receive what begins with this; may be given several times [default: everything]
    #[arg(long, value_name = "PREFIX")]
    subscribe: Vec<String>,
    /// The name by which a ROUTER at the other end knows this socket
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Print each event as a JSON object
    #[arg(long)]
    json: bool,
    /// End after so many events
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// End when nothing happens for so long, in milliseconds
    #[arg(long, value_name = "MS")]
    timeout: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "lower")]
enum Kind {
    Push,
    Pull,
    Pub,
    Sub,
    Req,
    Rep,
    Dealer,
    Router,
    Pair,
    XPub,
    XSub,
}

impl Kind {
    fn socket_type(self) -> SocketType {
        match self {
            Kind::Push => SocketType::Push,
            Kind::Pull => SocketType::Pull,
            Kind::Pub => SocketType::Pub,
            Kind::Sub => SocketType::Sub,
            Kind::Req => SocketType::Req,
            Kind::Rep => SocketType::Rep,
            Kind::Dealer => SocketType::Dealer,
            Kind::Router => SocketType::Router,
            Kind::Pair => SocketType::Pair,
            Kind::XPub => SocketType::XPub,
            Kind::XSub => SocketType::XSub,
        }
    }
}

/// Prints what happens to a socket that discards what it receives.
pub fn run(args: Args) -> Result<()> {
    ensure!(
        !(args.bind.is_empty() && args.connect.is_empty()),
        "no endpoint; give --bind or --connect at least once"
    );
    let kind = args.kind.socket_type();
    let subscribes = matches!(kind, SocketType::Sub | SocketType::XSub);
    ensure!(
        args.subscribe.is_empty() || subscribes,
        "--subscribe is for sub and xsub; this is {}",
        kind.name()
    );
    let context = Context::new();
    let socket = context.socket(kind)?;
    socket.set(option::LINGER, 0)?;
    if let Some(identity) = &args.identity {
        socket.set(option::ROUTING_ID, identity.as_bytes().to_vec())?;
    }
    if subscribes && args.subscribe.is_empty() {
        socket.subscribe("")?;
    }
    for prefix in &args.subscribe {
        socket.subscribe(prefix)?;
    }
    let monitor = socket.monitor();
    for endpoint in &args.bind {
        socket.bind(endpoint)?;
    }
    for endpoint in &args.connect {
        socket.connect(endpoint)?;
    }
    thread::scope(|scope| {
        scope.spawn(|| discard(&socket));
        let mut printed = 0;
        let done = loop {
            if args.count.is_some_and(|count| printed >= count) {
                break Ok(());
            }
            let event = match args.timeout {
                Some(ms) => monitor.recv_timeout(Duration::from_millis(ms)),
                None => monitor.recv(),
            };
            let printing = match event {
                Ok(event) => print(&event, args.json),
                Err(_) => break Ok(()),
            };
            match printing {
                // Whoever read it has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break Ok(()),
                Err(error) => break Err(error).context("standard output"),
                Ok(()) => printed += 1,
            }
        };
        socket.close();
        done
    })
}

/// Receives until the socket is closed; a REP answers, so that it may go on.
fn discard(socket: &Socket) {
    loop {
        match socket.recv_multipart() {
            Ok(_) if socket.kind() == SocketType::Rep => {
                let _ = socket.send(Message::new());
            }
            Ok(_) | Err(RecvError::Again | RecvError::Interrupted) => {}
            // Closed, or of a type that receives nothing.
            Err(_) => return,
        }
    }
}

fn print(event: &Event, as_json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if as_json {
        serde_json::to_writer(&mut out, &json_of(event))?;
        out.write_all(b"\n")?;
    } else {
        writeln!(out, "{event}")?;
    }
    out.flush()
}

/// What is not known of the event is left out.
fn json_of(event: &Event) -> Value {
    let connection = &event.connection;
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| {
        object.insert(key.into(), value);
    };
    put("event", json!(event.kind.name()));
    if !connection.endpoint.is_empty() {
        put("endpoint", json!(connection.endpoint));
        put("bound", json!(connection.bound));
    }
    if let Some(local) = &connection.local {
        put("local", json!(local));
    }
    if let Some(remote) = &connection.remote {
        put("remote", json!(remote));
    }
    if let Some(peer) = &connection.peer {
        let socket_type = peer.socket_type.map(|kind| kind.name());
        let version = peer.version.map(|version| version.to_string());
        let identity = peer.identity.escape_ascii().to_string();
        put("peer", json!({ "type": socket_type, "zmtp": version, "identity": identity }));
    }
    match &event.kind {
        EventKind::ConnectRetried { interval } => {
            put("interval_ms", json!(interval.as_millis() as u64));
        }
        EventKind::Dropped { reason, messages } => {
            put("dropped", json!(reason.name()));
            put("messages", json!(messages));
        }
        EventKind::Missed(events) => put("missed", json!(events)),
        kind => {
            if let Some(reason) = kind.reason() {
                let (kind, errno) = (format!("{:?}", reason.kind()), reason.errno());
                let reason = json!({ "kind": kind, "text": reason.to_string(), "errno": errno });
                put("reason", reason);
            }
        }
    }
    Value::Object(object)
}
