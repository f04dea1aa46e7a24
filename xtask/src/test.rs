//! `cargo xtask test`: everything that must pass, and one summary.

use crate::command::{Invocation, Outcome, target_dir};
use crate::install::Flavour;
use crate::{chores, fuzz, install, packages, published, python, targets};
use anyhow::{Result, ensure};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long each fuzz target runs here: long enough to replay its corpus and look around.
const FUZZ_SECONDS: u64 = 10;

struct Step {
    name: &'static str,
    what: &'static str,
    run: fn() -> Result<Outcome>,
}

const STEPS: &[Step] = &[
    Step {
        name: "packages",
        what: "libzmq, valgrind, compilers and CMake are there, or installed",
        run: packages,
    },
    Step { name: "format", what: "rustfmt has nothing to say", run: format },
    Step { name: "clippy", what: "nor has clippy", run: clippy },
    Step { name: "docs", what: "documentation builds without warnings", run: docs },
    Step { name: "tests", what: "unit and integration tests", run: tests },
    Step { name: "doctests", what: "examples in the documentation", run: doctests },
    Step {
        name: "published",
        what: "what would be published builds from its packages, and its examples run there",
        run: published::run,
    },
    Step {
        name: "rust",
        what: "the Rust that Cargo.toml asks for builds everything",
        run: published::rust_version,
    },
    Step {
        name: "targets",
        what: "other processors, systems and C libraries",
        run: targets::check,
    },
    Step { name: "musl", what: "a static oxmq command, and its demo", run: targets::musl },
    Step { name: "loom", what: "model checking of the lock-free modules", run: loom },
    Step { name: "sim", what: "simulated networks", run: sim },
    Step { name: "costs", what: "instructions and system calls of a message", run: costs },
    Step { name: "fuzz", what: "committed corpora, then some seconds of each target", run: fuzz },
    Step { name: "valgrind", what: "every example program, under valgrind", run: valgrind },
    Step { name: "capi", what: "the C library as it is installed, optimised", run: capi },
    Step { name: "pyzmq", what: "pyzmq over the C library, and its event loops", run: pyzmq },
    Step { name: "demo", what: "the oxmq command's demo", run: demo },
];

struct Ran {
    step: &'static Step,
    outcome: Outcome,
    took: Duration,
}

pub fn list() {
    for step in STEPS {
        println!("{:<10} {}", step.name, step.what);
    }
}

/// Runs the steps named, or all; goes on after a failure, to show all of them.
pub fn run(only: &[String]) -> Result<ExitCode> {
    for name in only {
        ensure!(
            STEPS.iter().any(|step| step.name == name),
            "no step {name}; `cargo xtask test --list` names them"
        );
    }
    let mut summary = Vec::new();
    for step in
        STEPS.iter().filter(|step| only.is_empty() || only.iter().any(|name| name == step.name))
    {
        println!("\n=== {}: {}", step.name, step.what);
        let start = Instant::now();
        let outcome = (step.run)().unwrap_or_else(|reason| {
            println!("{}: {reason:#}", step.name);
            Outcome::default()
        });
        summary.push(Ran { step, outcome, took: start.elapsed() });
    }
    Ok(conclude(&summary))
}

/// Prints the summary. A step that fails counts as one failure if no test of it failed.
fn conclude(summary: &[Ran]) -> ExitCode {
    println!("\n{:<10} {:<7} {:>8} {:>8} {:>8}", "step", "result", "passed", "failed", "seconds");
    let (mut passed, mut failed, mut skipped, mut steps_failed) = (0, 0, 0, Vec::new());
    for Ran { step, outcome, took } in summary {
        let result = match outcome {
            Outcome { success: false, .. } => "FAILED",
            Outcome { skipped: 0, .. } => "ok",
            // It has said what is missing.
            _ => "in part",
        };
        let step_failed = outcome.failed.max(u64::from(!outcome.success));
        println!(
            "{:<10} {result:<7} {:>8} {step_failed:>8} {:>8.1}",
            step.name,
            outcome.passed,
            took.as_secs_f64()
        );
        passed += outcome.passed;
        failed += step_failed;
        skipped += outcome.skipped;
        if !outcome.success {
            steps_failed.push(step.name);
        }
    }
    if !steps_failed.is_empty() {
        eprintln!("failed: {}", steps_failed.join(", "));
    }
    match skipped {
        0 => println!("{passed} passed, {failed} failed"),
        _ => println!("{passed} passed, {failed} failed, {skipped} skipped"),
    }
    if failed > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn packages() -> Result<Outcome> {
    packages::install_all()?;
    Ok(Outcome::of_success())
}

fn format() -> Result<Outcome> {
    let workspace = Invocation::cargo(&["fmt", "--all", "--check"]).run()?;
    let fuzz =
        Invocation::cargo(&["fmt", "--manifest-path", "fuzz/Cargo.toml", "--check"]).run()?;
    Ok(workspace.and(fuzz))
}

fn clippy() -> Result<Outcome> {
    Invocation::cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).run()
}

fn docs() -> Result<Outcome> {
    Invocation::cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings").run()
}

fn tests() -> Result<Outcome> {
    let outcome = Invocation::cargo(&["test", "--workspace", "--no-fail-fast"])
        .args(&["--lib", "--bins", "--tests", "--examples"])
        .run()?;
    Ok(outcome.with_tests())
}

fn doctests() -> Result<Outcome> {
    Invocation::cargo(&["test", "--workspace", "--no-fail-fast", "--doc"]).run()
}

fn loom() -> Result<Outcome> {
    chores::loom(chores::LOOM_PREEMPTIONS)
}

fn sim() -> Result<Outcome> {
    chores::sim(None, None)
}

fn costs() -> Result<Outcome> {
    packages::install(&["valgrind"])?;
    chores::costs(false)
}

fn fuzz() -> Result<Outcome> {
    packages::install(&["g++"])?;
    let replayed = fuzz::replay()?.with_tests();
    fuzz::run(None, FUZZ_SECONDS)?;
    Ok(replayed)
}

fn valgrind() -> Result<Outcome> {
    packages::install(&["valgrind"])?;
    chores::valgrind()
}

fn capi() -> Result<Outcome> {
    packages::install_all()?;
    let prefix = target_dir("capi-prefix");
    install::install(Path::new(&prefix), Flavour::Optimised)?;
    let outcome = Invocation::cargo(&["test", "--package", "oxmq-capi", "--no-fail-fast"])
        .args(&["--test", "abi", "--test", "options", "--test", "programs"])
        .args(&["--test", "descriptor"])
        .env("OXMQ_PREFIX", prefix)
        .run()?;
    Ok(outcome.with_tests())
}

fn pyzmq() -> Result<Outcome> {
    packages::install_all()?;
    python::run()
}

fn demo() -> Result<Outcome> {
    Invocation::cargo(&["run", "--release", "--", "demo"]).run()
}
