//! Random sequences of calls through our library and Debian's libzmq, compared; and the calls that a
//! libzmq does not survive ([`alone`]).
//!
//! `OXMQ_DIFF_SEQUENCES` says how many, `OXMQ_DIFF_SEED` runs one (or as many, from that on);
//! `OXMQ_DIFF_FAILURES` says after how many failures to stop. Each sequence follows from its
//! seed alone ([`generate`]), is run by both libraries, each in a process of its own ([`children`],
//! [`replay`]), and compared call by call ([`compare`]); what differs on purpose stands in
//! [`departures`].

mod alone;
mod api;
mod call;
mod children;
mod compare;
mod departures;
mod difference;
mod generate;
mod replay;
mod security;
mod traffic;

use compare::{Pair, Verdict};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many sequences are run when nobody says.
const SEQUENCES: u64 = 300;
/// Pairs of processes at work: they wait more than they work.
const WORKERS: usize = 4;
/// Enough to see what is wrong.
const FAILURES_MAX: u64 = 3;
/// Where Debian has it; by its full name, for ours has the same short one.
const DEBIANS: &str = "/usr/lib/x86_64-linux-gnu/libzmq.so.5";

/// Ours, built by cargo for this test, beside its program.
fn ours() -> PathBuf {
    let path = std::env::current_exe().unwrap().with_file_name("libzmq.so");
    assert!(path.exists(), "{}: cargo builds it with this test", path.display());
    path
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is to be a number, not {value}")))
}

#[test]
fn both_libraries_agree() {
    let sequences = number("OXMQ_DIFF_SEQUENCES");
    let seeds = match number("OXMQ_DIFF_SEED") {
        Some(seed) => seed..seed + sequences.unwrap_or(1),
        None => 0..sequences.unwrap_or(SEQUENCES),
    };
    let next = AtomicU64::new(seeds.start);
    let failures_max = number("OXMQ_DIFF_FAILURES").unwrap_or(FAILURES_MAX);
    let failures = Mutex::new(Vec::new());
    let late = Mutex::new(Vec::new());
    let open = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                let mut pair = Pair::new(&ours(), Path::new(DEBIANS));
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end || failures.lock().unwrap().len() as u64 >= failures_max {
                        return;
                    }
                    match pair.compare(seed) {
                        Verdict::Agrees(0) => {}
                        Verdict::Agrees(_) => late.lock().unwrap().push(seed),
                        Verdict::Open(what) => open.lock().unwrap().push(what),
                        Verdict::Disagrees(listing) => failures.lock().unwrap().push(listing),
                    }
                }
            });
        }
    });
    let (late, open) = (late.into_inner().unwrap(), open.into_inner().unwrap());
    let failures = failures.into_inner().unwrap();
    println!("{seeds:?}: {} needed a second try {late:?}", late.len());
    for (times, why) in departures::met() {
        println!("{times:>6} times: {why}");
    }
    println!("left open by libzmq: {} {open:#?}", open.len());
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn what_ends_a_libzmq_process_is_an_error_here() {
    alone::check(api::Api::load(&ours()));
}

/// Not a test: what the processes run that [`children`] starts.
#[test]
fn child() {
    children::serve();
}
