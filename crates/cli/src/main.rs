//! The `oxmq` command: `demo` carries real input through every pattern between real processes,
//! `bench` measures the library, beside any `libzmq.so.5` if asked; `push`, `sub` and the other
//! types of sockets send and receive from a shell; `device` stands between others; `monitor` says
//! what happens to a socket.

mod bench;
mod demo;
mod device;
mod manual;
mod monitor;
mod parts;
mod progress;
mod sockets;

use clap::{CommandFactory, Parser, Subcommand};
use oxmq::SocketType;
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "oxmq", version, about = "Sockets that carry whole messages, from a shell")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Carry real input through every pattern, through devices too, and prove that all of it arrived
    Demo(demo::Args),
    /// Measure throughput, latency and CPU time, beside another libzmq if one is named
    Bench(bench::Args),
    /// PUSH: each line to one of the peers, in turn
    #[command(name = "push")]
    Push(sockets::Push),
    /// PULL: print the messages of all peers
    #[command(name = "pull")]
    Pull(sockets::Pull),
    /// PUB: each line to every peer that subscribed to a prefix of it
    #[command(name = "pub")]
    Pub(sockets::Pub),
    /// SUB: print the messages subscribed to
    #[command(name = "sub")]
    Sub(sockets::Sub),
    /// REQ: send each line, print its reply
    #[command(name = "req")]
    Req(sockets::Req),
    /// REP: print each request, answer with a line, or with itself (--echo)
    #[command(name = "rep")]
    Rep(sockets::Rep),
    /// DEALER: lines to the peers in turn, messages of all of them
    #[command(name = "dealer")]
    Dealer(sockets::Dealer),
    /// ROUTER: the first part is the peer's identity, both ways
    #[command(name = "router")]
    Router(sockets::Router),
    /// PAIR: one peer, both ways
    #[command(name = "pair")]
    Pair(sockets::Pair),
    /// XPUB: as PUB, and print the subscriptions
    #[command(name = "xpub")]
    XPub(sockets::XPub),
    /// XSUB: as SUB; lines go to the publishers
    #[command(name = "xsub")]
    XSub(sockets::XSub),
    /// Pass messages on between others: queue, forwarder or streamer
    ///
    /// Runs until SIGINT or SIGTERM, and its status is then 0; a second signal, while what was
    /// passed on still leaves, ends it at once, with status 1. With --statistics it prints a line of
    /// figures at each interval and one at its end.
    Device(device::Args),
    /// Print what makes a shell complete this command's arguments
    ///
    /// For bash: source <(oxmq completions bash)
    Completions(manual::CompletionsArgs),
    /// Print a page of the manual, to be read by man
    ///
    /// For instance: oxmq manual device | man -l -
    Manual(manual::ManualArgs),
    /// Print what happens to a socket's endpoints and connections, and what it drops
    ///
    /// The socket discards what it receives; a REP answers with an empty message.
    #[command(name = "monitor")]
    Monitor(monitor::Args),
    /// One process of a demo; started by `demo`
    #[command(hide = true)]
    DemoPart(demo::PartArgs),
    /// One process of a measurement; started by `bench`
    #[command(hide = true)]
    BenchPart(bench::PartArgs),
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(args) => demo::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Push(args) => sockets::run(SocketType::Push, args),
        Command::Pull(args) => sockets::run(SocketType::Pull, args),
        Command::Pub(args) => sockets::run(SocketType::Pub, args),
        Command::Sub(args) => sockets::run(SocketType::Sub, args),
        Command::Req(args) => sockets::run(SocketType::Req, args),
        Command::Rep(args) => sockets::run(SocketType::Rep, args),
        Command::Dealer(args) => sockets::run(SocketType::Dealer, args),
        Command::Router(args) => sockets::run(SocketType::Router, args),
        Command::Pair(args) => sockets::run(SocketType::Pair, args),
        Command::XPub(args) => sockets::run(SocketType::XPub, args),
        Command::XSub(args) => sockets::run(SocketType::XSub, args),
        Command::Device(args) => device::run(args),
        Command::Completions(args) => manual::completions(Cli::command(), args),
        Command::Manual(args) => manual::manual(Cli::command(), args),
        Command::Monitor(args) => monitor::run(args),
        Command::DemoPart(args) => demo::run_part(args),
        Command::BenchPart(args) => bench::run_part(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            eprintln!("oxmq: {reason:#}");
            ExitCode::FAILURE
        }
    }
}
