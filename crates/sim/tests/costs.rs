//! No message costs more than `costs.txt` says; `oxmq_sim::costs` says of what.
//!
//! Whoever makes a path dearer on purpose, or cheaper, writes the file anew with
//! `cargo xtask costs --write`, and says in the commit why.
#![cfg(oxmq_sim)]

use oxmq_sim::costs::PATHS;
use std::collections::{BTreeMap, HashSet};
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Messages that are counted on each path.
const MESSAGES: u64 = 5_000;

/// What may be more than the file says, in hundredths: processors differ in how the C library copies.
const TOLERANCE: f64 = 2.0;

/// What a path takes.
#[derive(Clone, Copy)]
struct Cost {
    /// Instructions a message, all processes together, without the simulated kernel's.
    instructions: f64,
    /// System calls for a thousand messages.
    calls: f64,
}

#[test]
fn no_path_costs_more() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("costs.txt");
    let known = read(&fs::read_to_string(&file).unwrap_or_default());
    let (mut dearer, mut written) = (String::new(), HEADER.to_owned());
    println!(
        "{:<20} {:>12} {:>9} {:>12} {:>9}",
        "", "instructions", "allowed", "calls/1000", "allowed"
    );
    for (name, _) in PATHS {
        let cost = measure(name);
        let _ = writeln!(written, "{name} {:.0} {:.0}", cost.instructions, cost.calls);
        let Some(allowed) = known.get(*name) else {
            let _ = writeln!(dearer, "{name} is not in the file");
            continue;
        };
        println!(
            "{name:<20} {:>12.0} {:>9.0} {:>12.0} {:>9.0}",
            cost.instructions, allowed.instructions, cost.calls, allowed.calls
        );
        for (what, cost, allowed) in [
            ("instructions a message", cost.instructions, allowed.instructions),
            ("system calls for a thousand messages", cost.calls, allowed.calls),
        ] {
            // The file has no fractions.
            if cost > allowed * (1.0 + TOLERANCE / 100.0) + 1.0 {
                let _ = writeln!(dearer, "{name}: {cost:.0} {what}, allowed are {allowed:.0}");
            } else if cost < allowed * (1.0 - TOLERANCE / 100.0) - 1.0 {
                println!("{name}: only {cost:.0} {what} now: write the file anew");
            }
        }
    }
    if env::var_os("OXMQ_COSTS_WRITE").is_some() {
        fs::write(&file, written).unwrap();
        return;
    }
    assert!(dearer.is_empty(), "dearer than costs.txt allows:\n{dearer}");
}

const HEADER: &str = "\
# What a message costs on each path; `cargo xtask costs --write` writes it.
# path  instructions a message  system calls for a thousand messages
";

fn read(text: &str) -> BTreeMap<String, Cost> {
    let line = |line: &str| {
        let [name, instructions, calls] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("costs.txt: {line}: expected a path and two numbers")
        };
        let number = |text: &str| text.parse().unwrap_or_else(|_| panic!("costs.txt: {line}"));
        (name.to_owned(), Cost { instructions: number(instructions), calls: number(calls) })
    };
    text.lines().filter(|line| !line.starts_with('#')).map(line).collect()
}

/// Takes the path under callgrind.
fn measure(name: &str) -> Cost {
    let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.callgrind"));
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*oxmq_sim::costs::counted*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args([env!("CARGO_BIN_EXE_costs"), name, &MESSAGES.to_string()])
        // What the environment holds lies on the stack, and moves it.
        .env_clear()
        .output()
        .expect("valgrind, which `cargo xtask test` installs");
    let (stdout, stderr) =
        (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{name}: {stderr}");
    let numbers: Vec<f64> =
        stdout.split_whitespace().map(|number| number.parse().expect("a number")).collect();
    let [messages, calls] = numbers[..] else { panic!("{name} printed {stdout}") };
    let profile = fs::read_to_string(&out).expect("callgrind's file");
    let instructions = collected(&profile);
    assert!(instructions > 0.0, "{name}: callgrind has counted nothing");
    Cost { instructions: instructions / messages, calls: calls * 1000.0 / messages }
}

/// Instructions of a profile, without those of the simulated kernel and of what it calls.
fn collected(profile: &str) -> f64 {
    let mut sum = 0.0;
    let mut kernel = HashSet::new();
    let mut calls_kernel = false;
    let mut is_call = false;
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("fn=").or_else(|| line.strip_prefix("cfn=")) {
            // A name is spelt once; its number stands for it afterwards.
            let (number, name) = name.split_once(' ').unwrap_or((name, ""));
            if name.starts_with("oxmq::sys::sim::with") {
                kernel.insert(number.to_owned());
            }
            calls_kernel = line.starts_with("cfn=") && kernel.contains(number);
        } else if line.starts_with("calls=") {
            is_call = true;
        } else if is_call {
            // What the callee took with all that it called.
            is_call = false;
            if calls_kernel {
                sum -= cost_of(line);
            }
        } else if let Some(total) = line.strip_prefix("totals: ") {
            sum += total.trim().parse::<f64>().expect("a number");
        }
    }
    sum
}

fn cost_of(line: &str) -> f64 {
    line.split_whitespace().nth(1).and_then(|cost| cost.parse().ok()).unwrap_or(0.0)
}
