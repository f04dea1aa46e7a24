//! The `oxmq` command: `demo` carries real input through every pattern between real processes,
//! `bench` measures the library, beside any `libzmq.so.5` if asked.

mod bench;
mod demo;
mod parts;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(name = "oxmq", version, about = "Sockets that carry whole messages, from a shell")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Carry real input through a pipeline, a publisher with ten subscribers, and request-reply
    Demo(demo::Args),
    /// Measure throughput, latency and CPU time, beside another libzmq if one is named
    Bench(bench::Args),
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
