//! Runs seeds; the crate's documentation says how.
#![cfg(oxmq_sim)]

use oxmq::sim::Stats;
use oxmq_sim::run::{Report, run};
use std::env;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// How many seeds run if nobody says otherwise.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn verdict(report: &Report) -> String {
    let mut text = format!("seed {} fails (OXMQ_SIM_SEED={0}):\n", report.seed);
    for error in &report.errors {
        let _ = writeln!(text, "  {error}");
    }
    text
}

/// What all seeds together came to.
#[derive(Default)]
struct Sum {
    seeds: u64,
    stats: Stats,
    received: u64,
    missing: u64,
    failures: Vec<u64>,
}

#[test]
fn seeds_are_clean() {
    if let Some(seed) = number("OXMQ_SIM_SEED") {
        let report = run(seed, true);
        eprintln!("{report:#?}");
        assert!(report.errors.is_empty(), "{}", verdict(&report));
        return;
    }
    let first = number("OXMQ_SIM_FIRST").unwrap_or(0);
    let count = number("OXMQ_SIM_SEEDS").unwrap_or(SEEDS);
    let failures_max = number("OXMQ_SIM_FAILURES").unwrap_or(1);
    let next = AtomicU64::new(first);
    let sum = Mutex::new(Sum::default());
    // Each thread has a world of its own.
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + count {
                        return;
                    }
                    let report = run(seed, false);
                    let mut sum = sum.lock().unwrap();
                    sum.seeds += 1;
                    sum.stats.add(&report.stats);
                    sum.received += report.received;
                    sum.missing += report.missing;
                    if !report.errors.is_empty() {
                        eprintln!("{}", verdict(&report));
                        sum.failures.push(seed);
                    }
                    if sum.failures.len() as u64 >= failures_max {
                        return;
                    }
                }
            });
        }
    });
    let Sum { seeds, stats, received, missing, failures } = sum.into_inner().unwrap();
    println!("{seeds} seeds: {received} messages received, {missing} lost by the rules; {stats:?}");
    assert!(failures.is_empty(), "these seeds fail: {failures:?}");
    assert!(received > 0 && stats.resets > 0 && stats.short > 0, "nothing happens: {stats:?}");
}

#[test]
fn a_seed_replays() {
    for seed in 0..20 {
        let (one, other) = (run(seed, false), run(seed, false));
        assert_eq!((one.trace_hash, one.errors), (other.trace_hash, other.errors));
    }
}
