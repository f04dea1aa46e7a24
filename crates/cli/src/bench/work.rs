//! The workloads, from the inside: what each process of a measurement does.

use super::PartArgs;
use super::backend::{Backend, BackendSocket, Kind};
use crate::parts::{self, Event};
use anyhow::{Context, Result, ensure};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::io::BufRead;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Subscribers of the fan-out.
pub const SUBSCRIBERS: usize = 10;

/// Round trips before the clock starts.
const WARM_UP: u64 = 200;

/// Numbers that no counted message of the fan-out reaches.
const HELLO: u64 = u64::MAX;
const END: u64 = u64::MAX - 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    Push,
    Pull,
    Req,
    Rep,
    Pub,
    Sub,
    /// A ROUTER that answers
    Router,
    /// One of its clients
    Dealer,
    /// PULL, from any number of peers
    PullAny,
    /// PUSHes in turn
    PushMany,
    /// PUSH and PULL on two threads
    InprocStream,
    /// REQ and REP on two threads
    InprocPingPong,
    /// Ten connected sockets that do nothing
    Idle,
    /// PULL, many connections accepted
    HoldBind,
    /// PUSH, many connections made
    HoldConnect,
}

/// What one process saw.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Account {
    pub messages: u64,
    /// First and last message on the clock that all processes share.
    pub first_ns: u64,
    pub last_ns: u64,
    /// CPU time of all threads.
    pub cpu_seconds: f64,
}

/// Does the work of `args` with `backend`.
pub fn run<B: Backend>(backend: B, args: &PartArgs) -> Result<()> {
    let cpu_before = cpu_seconds();
    let span = match args.role {
        Role::Push => push(&backend, args)?,
        Role::Pull => stream_in::<B>(&mut bound(&backend, Kind::Pull, args)?, args)?,
        Role::Req => ping::<B>(&mut connected(&backend, Kind::Req, args)?, args)?,
        Role::Rep => pong::<B>(&mut bound(&backend, Kind::Rep, args)?, args)?,
        Role::Pub => publish::<B>(&mut bound(&backend, Kind::Pub, args)?, args)?,
        Role::Sub => subscribe::<B>(&backend, args)?,
        Role::Router => serve::<B>(&mut bound(&backend, Kind::Router, args)?, args)?,
        Role::Dealer => ask::<B>(&mut connected(&backend, Kind::Dealer, args)?, args)?,
        Role::PullAny => stream_in_any::<B>(&mut bound(&backend, Kind::Pull, args)?, args)?,
        Role::PushMany => push_many(&backend, args)?,
        Role::InprocStream => {
            inproc(&backend, [Kind::Pull, Kind::Push], stream_in::<B>, stream_out::<B>, args)?
        }
        Role::InprocPingPong => {
            inproc(&backend, [Kind::Req, Kind::Rep], ping::<B>, pong::<B>, args)?
        }
        Role::Idle => idle(&backend, args)?,
        Role::HoldBind => hold_bind(&backend, args)?,
        Role::HoldConnect => hold_connect(&backend, args)?,
    };
    backend.end()?;
    parts::say_done(&Account {
        messages: span.messages,
        first_ns: span.first_ns,
        last_ns: span.last_ns,
        cpu_seconds: cpu_seconds() - cpu_before,
    })
}

/// So many messages from here to there.
#[derive(Default)]
struct Span {
    messages: u64,
    first_ns: u64,
    last_ns: u64,
}

fn bound<B: Backend>(backend: &B, kind: Kind, args: &PartArgs) -> Result<B::Socket> {
    let mut socket = backend.socket(kind)?;
    parts::say(&Event::Endpoint(socket.bind(&args.endpoint)?))?;
    Ok(socket)
}

fn connected<B: Backend>(backend: &B, kind: Kind, args: &PartArgs) -> Result<B::Socket> {
    let mut socket = backend.socket(kind)?;
    socket.connect(&args.endpoint)?;
    Ok(socket)
}

/// Sends the stream and stays until told to go: libzmq's receivers over ipc lose what they have not
/// read yet when their peer closes while they are at their high-water mark.
fn push<B: Backend>(backend: &B, args: &PartArgs) -> Result<Span> {
    let mut socket = connected(backend, Kind::Push, args)?;
    let span = stream_out::<B>(&mut socket, args)?;
    read_line()?;
    Ok(span)
}

/// Sends `args.count` messages that carry their number if they have room for it.
fn stream_out<B: Backend>(socket: &mut B::Socket, args: &PartArgs) -> Result<Span> {
    let mut body = vec![0; args.size];
    for number in 0..args.count {
        write_number(&mut body, number);
        socket.send(&body)?;
    }
    socket.flush()?;
    Ok(Span::default())
}

/// Receives them; the time runs from the first to the last.
fn stream_in<B: Backend>(socket: &mut B::Socket, args: &PartArgs) -> Result<Span> {
    let mut check = |expected: u64| -> Result<()> {
        let (len, number) = socket.recv(|body| (body.len(), read_number(body)))?;
        ensure!(len == args.size, "{len} bytes instead of {}", args.size);
        ensure!(
            number.is_none_or(|number| number == expected),
            "message {number:?} instead of {expected}"
        );
        Ok(())
    };
    check(0)?;
    let first_ns = now_ns();
    for number in 1..args.count {
        check(number)?;
    }
    Ok(Span { messages: args.count, first_ns, last_ns: now_ns() })
}

/// Sends a request and waits for its reply, `args.count` times; a message is one way.
fn ping<B: Backend>(socket: &mut B::Socket, args: &PartArgs) -> Result<Span> {
    let body = vec![0; args.size];
    let mut round_trips = |count| -> Result<()> {
        for _ in 0..count {
            socket.send(&body)?;
            let len = socket.recv(<[u8]>::len)?;
            ensure!(len == args.size, "{len} bytes instead of {}", args.size);
        }
        Ok(())
    };
    round_trips(WARM_UP)?;
    let first_ns = now_ns();
    round_trips(args.count)?;
    Ok(Span { messages: 2 * args.count, first_ns, last_ns: now_ns() })
}

fn pong<B: Backend>(socket: &mut B::Socket, args: &PartArgs) -> Result<Span> {
    let body = vec![0; args.size];
    for _ in 0..WARM_UP + args.count {
        socket.recv(<[u8]>::len)?;
        socket.send(&body)?;
    }
    Ok(Span::default())
}

/// Answers what `args.many` clients ask: each `args.count` times, and once to begin with.
fn serve<B: Backend>(socket: &mut B::Socket, args: &PartArgs) -> Result<Span> {
    for _ in 0..args.many * (args.count + 1) {
        socket.echo()?;
    }
    Ok(Span::default())
}

/// Asks `args.count` times, with up to `args.window` requests under way.
fn ask<B: Backend>(socket: &mut B::Socket, args: &PartArgs) -> Result<Span> {
    let body = vec![0; args.size];
    let answered = |socket: &mut B::Socket| -> Result<()> {
        let len = socket.recv(<[u8]>::len)?;
        ensure!(len == args.size, "{len} bytes instead of {}", args.size);
        Ok(())
    };
    socket.send(&body)?;
    answered(socket)?;
    parts::say(&Event::Ready)?;
    ensure!(read_line()? == "go", "unexpected end");
    let first_ns = now_ns();
    let mut asked = args.window.min(args.count);
    for _ in 0..asked {
        socket.send(&body)?;
    }
    for _ in 0..args.count {
        answered(socket)?;
        if asked < args.count {
            socket.send(&body)?;
            asked += 1;
        }
    }
    Ok(Span { messages: args.count, first_ns, last_ns: now_ns() })
}

/// As `stream_in`, in whatever order.
fn stream_in_any<B: Backend>(socket: &mut B::Socket, args: &PartArgs) -> Result<Span> {
    let mut first_ns = 0;
    for number in 0..args.count {
        let len = socket.recv(<[u8]>::len)?;
        ensure!(len == args.size, "{len} bytes instead of {}", args.size);
        if number == 0 {
            first_ns = now_ns();
        }
    }
    Ok(Span { messages: args.count, first_ns, last_ns: now_ns() })
}

/// Sends `args.count` messages over `args.many` sockets in turn, and stays as `push` does.
fn push_many<B: Backend>(backend: &B, args: &PartArgs) -> Result<Span> {
    let mut sockets = Vec::new();
    for _ in 0..args.many {
        sockets.push(connected(backend, Kind::Push, args)?);
    }
    let body = vec![0; args.size];
    for number in 0..args.count {
        let at = (number % args.many) as usize;
        sockets[at].send(&body)?;
    }
    read_line()?;
    Ok(Span::default())
}

/// Runs `binder` here and `connecter` on another thread of this process; the span is the one of
/// whichever measures.
fn inproc<B: Backend>(
    backend: &B,
    [bind, connect]: [Kind; 2],
    binder: fn(&mut B::Socket, &PartArgs) -> Result<Span>,
    connecter: fn(&mut B::Socket, &PartArgs) -> Result<Span>,
    args: &PartArgs,
) -> Result<Span> {
    let (mut bound, mut connected) = (backend.socket(bind)?, backend.socket(connect)?);
    let endpoint = bound.bind(&args.endpoint)?;
    connected.connect(&endpoint)?;
    thread::scope(|scope| {
        let other = scope.spawn(move || connecter(&mut connected, args));
        let span = binder(&mut bound, args)?;
        other.join().expect("a workload does not panic")?;
        Ok(span)
    })
}

/// Publishes greetings until told to go, then numbers for `args.millis` as fast as it can, then
/// the end until told to stop: a subscriber that has no room misses a message, never the end.
fn publish<B: Backend>(socket: &mut B::Socket, args: &PartArgs) -> Result<Span> {
    const GREET: u8 = 0;
    const GO: u8 = 1;
    const STOP: u8 = 2;
    static TOLD: AtomicU8 = AtomicU8::new(GREET);
    thread::spawn(|| {
        // Nothing hangs on the order of these stores and of what they announce.
        let told = read_line().is_ok_and(|line| line == "go");
        TOLD.store(if told { GO } else { STOP }, Ordering::Relaxed);
        while read_line().is_ok_and(|line| !line.is_empty()) {}
        TOLD.store(STOP, Ordering::Relaxed);
    });

    let mut body = vec![0; args.size];
    let repeat = |socket: &mut B::Socket, body: &mut [u8], number, while_told| -> Result<()> {
        while TOLD.load(Ordering::Relaxed) == while_told {
            write_number(body, number);
            socket.send(body)?;
            thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    };
    repeat(socket, &mut body, HELLO, GREET)?;
    let end = Instant::now() + Duration::from_millis(args.millis);
    let mut messages = 0;
    while !messages_of_batch_done(messages) || Instant::now() < end {
        write_number(&mut body, messages);
        socket.send(&body)?;
        messages += 1;
    }
    repeat(socket, &mut body, END, GO)?;
    Ok(Span { messages, ..Span::default() })
}

/// Whether it is time to look at the clock, which costs as much as a message.
fn messages_of_batch_done(messages: u64) -> bool {
    messages.is_multiple_of(64)
}

/// Counts what is published: with gaps, because a publisher drops, but in order.
fn subscribe<B: Backend>(backend: &B, args: &PartArgs) -> Result<Span> {
    let mut socket = backend.socket(Kind::Sub)?;
    socket.subscribe()?;
    socket.connect(&args.endpoint)?;
    let mut next = || -> Result<u64> {
        let (len, number) = socket.recv(|body| (body.len(), read_number(body)))?;
        ensure!(len == args.size, "{len} bytes instead of {}", args.size);
        number.context("too short to be numbered")
    };
    let mut number = next()?;
    ensure!(number == HELLO, "message {number} before any greeting");
    parts::say(&Event::Ready)?;
    while number == HELLO {
        number = next()?;
    }
    let mut span = Span { messages: 0, first_ns: now_ns(), last_ns: 0 };
    while number != END {
        span.messages += 1;
        let before = number;
        number = next()?;
        ensure!(number > before, "message {number} after {before}");
    }
    span.last_ns = now_ns();
    Ok(span)
}

/// Connects ten sockets in pairs, proves it by a message through each pair, and does nothing.
fn idle<B: Backend>(backend: &B, args: &PartArgs) -> Result<Span> {
    let pairs = [
        [Kind::Pull, Kind::Push],
        [Kind::Sub, Kind::Pub],
        [Kind::Rep, Kind::Req],
        [Kind::Pair, Kind::Pair],
        [Kind::Pull, Kind::Push],
    ];
    let mut sockets = Vec::new();
    for [receives, sends] in pairs {
        let (mut receiver, mut sender) = (backend.socket(receives)?, backend.socket(sends)?);
        if receives == Kind::Sub {
            receiver.subscribe()?;
        }
        let endpoint = sender.bind(&args.endpoint)?;
        receiver.connect(&endpoint)?;
        let received = AtomicU8::new(0);
        let receiver = thread::scope(|scope| {
            let receiving = scope.spawn(|| {
                let result = receiver.recv(|_| ());
                received.store(1, Ordering::Relaxed);
                result.map(|()| receiver)
            });
            sender.send(b"?")?;
            // A publisher drops what is sent before the subscription is there.
            while sends == Kind::Pub && received.load(Ordering::Relaxed) == 0 {
                thread::sleep(Duration::from_millis(1));
                sender.send(b"?")?;
            }
            receiving.join().expect("receiving does not panic")
        })?;
        sockets.push([sender, receiver]);
    }
    parts::say(&Event::Ready)?;
    read_line()?;
    Ok(Span::default())
}

fn hold_bind<B: Backend>(backend: &B, args: &PartArgs) -> Result<Span> {
    let mut socket = bound(backend, Kind::Pull, args)?;
    ensure!(read_line()? == "receive", "unexpected end");
    for _ in 0..args.count {
        socket.recv(|_| ())?;
    }
    Ok(Span { messages: args.count, ..Span::default() })
}

fn hold_connect<B: Backend>(backend: &B, args: &PartArgs) -> Result<Span> {
    let mut socket = backend.socket(Kind::Push)?;
    parts::say(&Event::Ready)?;
    ensure!(read_line()? == "connect", "unexpected end");
    for _ in 0..args.count {
        socket.connect(&args.endpoint)?;
    }
    parts::say(&Event::Ready)?;
    ensure!(read_line()? == "send", "unexpected end");
    // One for each connection: a connected peer with an empty queue is never passed over.
    for _ in 0..args.count {
        socket.send(b"x")?;
    }
    Ok(Span::default())
}

fn write_number(body: &mut [u8], number: u64) {
    if let Some(start) = body.first_chunk_mut() {
        *start = number.to_le_bytes();
    }
}

fn read_number(body: &[u8]) -> Option<u64> {
    body.first_chunk().map(|start| u64::from_le_bytes(*start))
}

/// A line from whoever started this process, without its end; empty at the end of input.
fn read_line() -> Result<String> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("there is a monotonic clock");
    Duration::from(now).as_nanos() as u64
}

fn cpu_seconds() -> f64 {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("a process may ask for its own usage");
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    seconds(usage.user_time()) + seconds(usage.system_time())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{bare::Bare, libzmq::Libzmq, ours::Ours};
    use std::path::Path;

    fn part(role: Role, endpoint: &str) -> PartArgs {
        PartArgs {
            role,
            backend: String::new(),
            endpoint: endpoint.to_owned(),
            size: 16,
            count: 5_000,
            millis: 0,
            many: 1,
            window: 1,
        }
    }

    fn works<B: Backend>(backend: impl Fn() -> B, endpoint: &str) {
        for role in [Role::InprocStream, Role::InprocPingPong] {
            run(backend(), &part(role, endpoint)).unwrap();
        }
    }

    fn libzmq() -> Libzmq {
        Libzmq::load(Path::new("libzmq.so.5")).unwrap()
    }

    #[test]
    fn every_backend_does_the_same_work() {
        works(|| Ours::new(true), "inproc://a");
        works(|| Ours::new(false), "tcp://127.0.0.1:0");
        works(libzmq, "inproc://a");
        works(libzmq, "tcp://127.0.0.1:0");
        works(|| Bare, "tcp://127.0.0.1:0");
    }

    #[test]
    fn bare_frames_of_every_length_form() {
        let (mut receiver, mut sender) =
            (Bare.socket(Kind::Pull).unwrap(), Bare.socket(Kind::Push).unwrap());
        let endpoint = receiver.bind("tcp://127.0.0.1:0").unwrap();
        sender.connect(&endpoint).unwrap();
        let lens = [0, 1, 255, 256, 65_535, 65_536, 1_000_000];
        thread::scope(|scope| {
            scope.spawn(move || {
                lens.iter().for_each(|&len| sender.send(&vec![len as u8; len]).unwrap())
            });
            for len in lens {
                receiver.recv(|body| assert_eq!(body, vec![len as u8; len])).unwrap();
            }
        });
    }

    #[test]
    fn a_wrong_sequence_is_noticed() {
        let (mut receiver, mut sender) =
            (Bare.socket(Kind::Pull).unwrap(), Bare.socket(Kind::Push).unwrap());
        let endpoint = receiver.bind("tcp://127.0.0.1:0").unwrap();
        sender.connect(&endpoint).unwrap();
        for number in [0_u64, 1, 3] {
            sender.send(&[number.to_le_bytes(), [0; 8]].concat()).unwrap();
        }
        sender.flush().unwrap();
        let error = stream_in::<Bare>(&mut receiver, &part(Role::Pull, &endpoint)).err().unwrap();
        assert_eq!(error.to_string(), "message Some(3) instead of 2");
    }
}
