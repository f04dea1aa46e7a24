//! `oxmq device`: a queue, forwarder or streamer of its own, from a shell.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use clap::{Args as ClapArgs, ValueEnum};
use oxmq::{Context, Device, Message, Pair, Passed, ProxyStatistics, Publisher, Socket, option};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::Signals;

/// What a device takes.
#[derive(ClapArgs)]
pub struct Args {
    /// Which device
    #[arg(value_enum)]
    kind: Kind,
    /// Accept clients, publishers or sources at this endpoint; may be given several times
    #[arg(long, value_name = "ENDPOINT")]
    front_bind: Vec<String>,
    /// Connect to clients, publishers or sources at this endpoint; may be given several times
    #[arg(long, value_name = "ENDPOINT")]
    front_connect: Vec<String>,
    /// Accept services, subscribers or workers at this endpoint; may be given several times
    #[arg(long, value_name = "ENDPOINT")]
    back_bind: Vec<String>,
    /// Connect to services, subscribers or workers at this endpoint; may be given several times
    #[arg(long, value_name = "ENDPOINT")]
    back_connect: Vec<String>,
    /// Print how much has passed, every so many seconds
    #[arg(long, value_name = "SECONDS")]
    statistics: Option<f64>,
    /// Publish a copy of everything that passes at this endpoint (read it with `oxmq sub`)
    #[arg(long, value_name = "ENDPOINT")]
    capture: Option<String>,
    /// How many messages may wait for each peer, in each direction; 0 is any number
    #[arg(long, value_name = "MESSAGES", default_value_t = 1000)]
    hwm: i32,
    /// How long, at the end, what was passed on may take to leave, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1000)]
    linger: i32,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Requests of clients (front, ROUTER) to services (back, DEALER) in turn, replies back
    Queue,
    /// What publishers say (front, XSUB) to subscribers (back, XPUB), whose subscriptions go to the
    /// publishers
    Forwarder,
    /// Tasks of sources (front, PULL) to workers (back, PUSH) in turn
    Streamer,
}

/// Runs a device until SIGINT or SIGTERM ends it.
pub fn run(args: Args) -> Result<()> {
    ensure!(
        !(args.front_bind.is_empty() && args.front_connect.is_empty()),
        "no front; give --front-bind or --front-connect at least once"
    );
    ensure!(
        !(args.back_bind.is_empty() && args.back_connect.is_empty()),
        "no back; give --back-bind or --back-connect at least once"
    );
    let every = match args.statistics {
        Some(seconds) => {
            let every = Duration::try_from_secs_f64(seconds).context("--statistics")?;
            ensure!(every >= EVERY_MIN, "--statistics: every {} ms at most", EVERY_MIN.as_millis());
            Some(every)
        }
        None => None,
    };
    // The handlers stand before anything is bound. This thread takes the signals; a second one,
    // while messages linger, ends the process at once.
    let ends = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        register_conditional_shutdown(signal, 1, ends.clone())?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM])?;
    let listening = signals.handle();

    let context = Context::new();
    let device = match args.kind {
        Kind::Queue => Device::queue(&context)?,
        Kind::Forwarder => Device::forwarder(&context)?,
        Kind::Streamer => Device::streamer(&context)?,
    };
    let capture = plug_in(&context, &device, &args)?;
    let control = Pair::new(&context)?;
    control.bind(CONTROL)?;
    let steering = Pair::new(&context)?;
    steering.connect(CONTROL)?;

    // The kernel gives signals to the main thread, so the proxy's is not interrupted.
    let statistics = thread::scope(|scope| {
        let proxy = scope.spawn(|| {
            let mut proxy = device.proxy().control(&control);
            if let Some(capture) = &capture {
                proxy = proxy.capture(capture);
            }
            let ended = proxy.run();
            listening.close();
            ended
        });
        let (stop, stopped) = channel();
        if let Some(every) = every {
            let steering = &steering;
            scope.spawn(move || report(steering, every, stopped));
        }
        if signals.forever().next().is_some() {
            ends.store(true, Ordering::SeqCst);
            steering.send("TERMINATE")?;
        }
        let ended = proxy.join().map_err(|_| anyhow!("the proxy failed"))?;
        drop(stop);
        // Whatever the reporter still waits for ends with this.
        steering.as_ref().close();
        Ok::<_, anyhow::Error>(ended?)
    })?;
    if every.is_some() {
        print(&line("in all", &statistics)).context("standard output")?;
    }
    drop((device, capture, control));
    // Past what LINGER allows it would be a defect.
    context.term_timeout(Duration::from_millis(args.linger.max(0) as u64) + END_WITHIN)?;
    Ok(())
}

/// Where the proxy is told to say its figures, and to end.
const CONTROL: &str = "inproc://control";
/// Reports more often than this would be the load that they report.
const EVERY_MIN: Duration = Duration::from_millis(10);
/// How long the sockets may take to close, what lingers not counted.
const END_WITHIN: Duration = Duration::from_secs(5);

/// Sets the options, then binds and connects both sides; the socket for the copies, if any.
fn plug_in(context: &Context, device: &Device, args: &Args) -> Result<Option<Publisher>> {
    let sides = [
        ("front", device.front(), &args.front_bind, &args.front_connect),
        ("back", device.back(), &args.back_bind, &args.back_connect),
    ];
    for (name, socket, binds, connects) in sides {
        set_options(socket, args)?;
        for endpoint in binds {
            note(name, &socket.bind(endpoint)?);
        }
        for endpoint in connects {
            socket.connect(endpoint)?;
        }
    }
    let Some(endpoint) = &args.capture else { return Ok(None) };
    let capture = Publisher::new(context)?;
    set_options(capture.as_ref(), args)?;
    note("capture", &capture.bind(endpoint)?);
    Ok(Some(capture))
}

/// Says where a socket is bound, if anybody listens.
fn note(name: &str, endpoint: &str) {
    let _ = writeln!(io::stderr(), "oxmq: {name} bound to {endpoint}");
}

fn set_options(socket: &Socket, args: &Args) -> Result<()> {
    socket.set(option::SNDHWM, args.hwm)?;
    socket.set(option::RCVHWM, args.hwm)?;
    socket.set(option::LINGER, args.linger)?;
    Ok(())
}

/// Asks the proxy for its figures again and again, and prints them.
fn report(steering: &Pair, every: Duration, stopped: Receiver<()>) {
    let mut last = (Instant::now(), ProxyStatistics::default());
    while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(every) {
        if steering.send("STATISTICS").is_err() {
            return;
        }
        let Some(now) = steering.recv_multipart().ok().as_deref().and_then(parse) else { return };
        let elapsed = last.0.elapsed().as_secs_f64().max(1e-9);
        let rate =
            |now: Passed, before: Passed| (now.messages_out - before.messages_out) as f64 / elapsed;
        let rates = format!(
            "{:.0}/s, {:.0}/s",
            rate(now.forward, last.1.forward),
            rate(now.backward, last.1.backward)
        );
        // The device goes on without a reader.
        if print(&line(&rates, &now)).is_err() {
            return;
        }
        last = (Instant::now(), now);
    }
}

/// The eight figures of a proxy's answer; see [`oxmq::Proxy::control`].
fn parse(parts: &[Message]) -> Option<ProxyStatistics> {
    let mut figures = [0; 8];
    for (figure, part) in figures.iter_mut().zip(parts) {
        *figure = u64::from_ne_bytes(part[..].try_into().ok()?);
    }
    let [front_in, front_in_bytes, front_out, front_out_bytes, ..] = figures;
    let [.., back_in, back_in_bytes, back_out, back_out_bytes] = figures;
    let passed = |messages_in, bytes_in, messages_out, bytes_out| Passed {
        messages_in,
        bytes_in,
        messages_out,
        bytes_out,
    };
    Some(ProxyStatistics {
        forward: passed(front_in, front_in_bytes, back_out, back_out_bytes),
        backward: passed(back_in, back_in_bytes, front_out, front_out_bytes),
    })
}

fn print(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush())
}

fn line(what: &str, statistics: &ProxyStatistics) -> String {
    let direction = |passed: &Passed| {
        format!(
            "{} messages in, {} out, {} bytes",
            passed.messages_in, passed.messages_out, passed.bytes_out
        )
    };
    format!(
        "front to back: {}; back to front: {} ({what})",
        direction(&statistics.forward),
        direction(&statistics.backward)
    )
}
