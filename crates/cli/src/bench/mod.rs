//! `oxmq bench`: how fast, at which cost, and beside another libzmq.

mod backend;
mod bare;
mod libzmq;
mod measure;
mod ours;
mod report;
mod resting;
mod rows;
mod work;

use crate::progress::Status;
use anyhow::{Context, Result, ensure};
use measure::Bench;
use report::{Line, Samples};
use rows::{Measure, ROWS, Rival, Row, Transport, Work};
use std::path::{Path, PathBuf};

/// Names of backends on the command line of a part; anything else is the path of a libzmq.
const OURS: &str = "ours";
const OURS_NO_SPIN: &str = "ours-no-spin";
const BARE: &str = "bare";

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    resting: Option<Resting>,
    /// Do the same work with this libzmq.so.5 as well
    #[arg(long, value_name = "PATH")]
    vs: Option<PathBuf>,
    /// Measure this libzmq.so.5 in the place of oxmq's Rust interface: oxmq's own, to be compared
    /// through the same interface
    #[arg(long, value_name = "PATH")]
    over: Option<PathBuf>,
    /// Write the results to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// How many runs of each library
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Short runs: for a first look, too noisy for a claim
    #[arg(long)]
    quick: bool,
    /// Only rows whose name contains this
    #[arg(long, value_name = "SUBSTRING")]
    only: Option<String>,
    /// List the rows
    #[arg(long)]
    list: bool,
}

#[derive(clap::Subcommand)]
enum Resting {
    /// CPU time and context switches of ten connected idle sockets
    Idle {
        /// How long to watch
        #[arg(long, default_value_t = 10)]
        seconds: u64,
        /// Watch this libzmq.so.5 as well
        #[arg(long, value_name = "PATH")]
        vs: Option<PathBuf>,
    },
    /// User memory of an idle connection
    Memory {
        /// How many to make
        #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..))]
        connections: u64,
        /// Measure this libzmq.so.5 as well
        #[arg(long, value_name = "PATH")]
        vs: Option<PathBuf>,
    },
}

#[derive(clap::Args)]
pub struct PartArgs {
    role: work::Role,
    backend: String,
    endpoint: String,
    #[arg(long, default_value_t = 0)]
    size: usize,
    #[arg(long, default_value_t = 0)]
    count: u64,
    #[arg(long, default_value_t = 0)]
    millis: u64,
    /// How many clients, or sockets
    #[arg(long, default_value_t = 1)]
    many: u64,
    /// How many requests a client has under way
    #[arg(long, default_value_t = 1)]
    window: u64,
}

pub fn run(args: Args) -> Result<()> {
    match &args.resting {
        Some(Resting::Idle { seconds, vs }) => resting::idle(&backends(vs)?, *seconds),
        Some(Resting::Memory { connections, vs }) => resting::memory(&backends(vs)?, *connections),
        None => compare(&args),
    }
}

/// One process of a measurement.
pub fn run_part(args: PartArgs) -> Result<()> {
    match args.backend.as_str() {
        OURS => work::run(ours::Ours::new(true), &args),
        OURS_NO_SPIN => work::run(ours::Ours::new(false), &args),
        BARE => work::run(bare::Bare, &args),
        path => work::run(libzmq::Libzmq::load(path.as_ref())?, &args),
    }
}

fn compare(args: &Args) -> Result<()> {
    let rows: Vec<&Row> = ROWS
        .iter()
        .filter(|row| args.only.as_ref().is_none_or(|only| row.name.contains(only)))
        // C has no way to switch spinning off.
        .filter(|row| row.measure.spin || args.over.is_none())
        .collect();
    if args.list {
        rows.iter().for_each(|row| println!("{}", row.name));
        return Ok(());
    }
    ensure!(!rows.is_empty(), "no row has such a name; `oxmq bench --list` names them");
    let libzmq = args.vs.as_deref().map(library).transpose()?;
    let over = args.over.as_deref().map(library).transpose()?;
    // Short enough for many, long enough that start-up and the last batch do not matter.
    let bench = Bench::new(if args.quick { 0.15 } else { 0.7 })?;
    let runs = if args.quick { args.runs.min(2) } else { args.runs };

    report::print_header();
    let mut measured: Vec<(Measure, Samples)> = Vec::new();
    let mut lines = Vec::new();
    for row in rows {
        let index = match measured.iter().position(|(measure, _)| *measure == row.measure) {
            Some(index) => index,
            None => {
                let samples = sample(&bench, row, over.as_deref(), libzmq.as_deref(), runs)
                    .context(row.name)?;
                measured.push((row.measure, samples));
                measured.len() - 1
            }
        };
        let line = Line::new(row, &measured[index].1);
        line.print();
        lines.push(line);
    }
    if libzmq.is_some() {
        let judged: Vec<bool> = lines.iter().filter_map(|line| line.met).collect();
        println!("{} of {} goals met", judged.iter().filter(|met| **met).count(), judged.len());
    }
    if let Some(path) = &args.json {
        let file = std::fs::File::create(path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(file, &lines)?;
    }
    Ok(())
}

/// Runs the experiment of `row` `runs` times with every library, in turns.
fn sample(
    bench: &Bench,
    row: &Row,
    over: Option<&str>,
    libzmq: Option<&str>,
    runs: u32,
) -> Result<Samples> {
    let measure = &row.measure;
    let bare = measure.transport != Transport::Inproc
        && matches!(measure.work, Work::Stream | Work::PingPong);
    let libzmq = libzmq.filter(|_| row.rival == Rival::Libzmq);
    let mut samples = Samples::default();
    let ours = over.unwrap_or(if measure.spin { OURS } else { OURS_NO_SPIN });
    let mut subjects = vec![(ours, &mut samples.ours)];
    subjects.extend(libzmq.map(|path| (path, &mut samples.libzmq)));
    subjects.extend(bare.then_some((BARE, &mut samples.bare)));

    let status = Status::new();
    let mut counted = Vec::new();
    for (backend, into) in subjects {
        status.say(&format!("{}: calibrating {backend}", row.name));
        counted.push((backend, bench.calibrate(measure, backend)?, into));
    }
    for run in 0..runs {
        status.say(&format!("{}: run {} of {runs}", row.name, run + 1));
        for (backend, count, into) in &mut counted {
            into.push(bench.run(measure, backend, *count)?);
        }
        // Whoever went first goes last now: nobody always inherits the same neighbour's warmth.
        counted.reverse();
    }
    Ok(samples)
}

fn backends(vs: &Option<PathBuf>) -> Result<Vec<String>> {
    let mut backends = vec![OURS.to_owned()];
    backends.extend(vs.as_deref().map(library).transpose()?);
    Ok(backends)
}

/// The argument by which parts know the library at `path`. A bare file name is looked for by the
/// dynamic linker; a part that cannot load it says so.
fn library(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is not UTF-8", path.display()))
}
