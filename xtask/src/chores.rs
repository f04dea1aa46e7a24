//! Builds of the same tests with other flags: simulated, model-checked, broken on purpose,
//! under sanitizers.

use crate::command::{Invocation, Outcome, root, target_dir};
use crate::fuzz::host;
use anyhow::{Context, Result, bail, ensure};
use std::fs;

/// Enough to find what two threads can do to each other in a test of a few steps, in minutes.
pub const LOOM_PREEMPTIONS: u32 = 2;

/// Names of `cfg(oxmq_mutation = "…")` in the modules that loom checks, one a line: each a defect
/// that it must find.
const MUTATIONS: &str = "crates/oxmq/loom-mutations.txt";

/// Runs the simulator's tests.
pub fn sim(seeds: Option<u64>, seed: Option<u64>) -> Result<Outcome> {
    let mut invocation =
        Invocation::cargo(&["test", "--package", "oxmq-sim", "--release", "--no-fail-fast"])
            .args(&["--target-dir", &target_dir("sim")])
            .env("RUSTFLAGS", "--cfg oxmq_sim");
    for (name, value) in [("OXMQ_SIM_SEEDS", seeds), ("OXMQ_SIM_SEED", seed)] {
        if let Some(value) = value {
            invocation = invocation.env(name, value.to_string());
        }
    }
    Ok(invocation.run()?.with_tests())
}

/// Model-checks the lock-free modules as they are.
pub fn loom(preemptions: u32) -> Result<Outcome> {
    Ok(loom_with("--cfg loom", "loom", preemptions).run()?.with_tests())
}

/// Breaks the lock-free modules, one way after the other; each must make a model fail.
pub fn mutants() -> Result<()> {
    let list = fs::read_to_string(root().join(MUTATIONS)).context(MUTATIONS)?;
    let mutations: Vec<&str> =
        list.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    ensure!(!mutations.is_empty(), "{MUTATIONS} is empty");
    let mut survivors = Vec::new();
    // What fails unbroken would seem to find everything.
    loom_with("--cfg loom", "mutants", LOOM_PREEMPTIONS)
        .quiet()
        .run()?
        .with_tests()
        .check("loom, unbroken,")?;
    for mutation in &mutations {
        let flags = format!("--cfg loom --cfg oxmq_mutation=\"{mutation}\"");
        loom_with(&flags, "mutants", LOOM_PREEMPTIONS)
            .args(&["--no-run"])
            .quiet()
            .run()?
            .check(&format!("building with {mutation}"))?;
        // A model that fails may abort before it counts: the status says it, not the counts.
        let found = !loom_with(&flags, "mutants", LOOM_PREEMPTIONS).quiet().run()?.success;
        println!("{mutation}: {}", if found { "found" } else { "NOT FOUND" });
        if !found {
            survivors.push(*mutation);
        }
    }
    if !survivors.is_empty() {
        bail!("not found: {}", survivors.join(", "));
    }
    println!("{} mutations, each found", mutations.len());
    Ok(())
}

fn loom_with(rustflags: &str, dir: &str, preemptions: u32) -> Invocation {
    Invocation::cargo(&["test", "--package", "oxmq", "--release", "--lib", "--no-fail-fast"])
        .args(&["--target-dir", &target_dir(dir), "loom"])
        .env("RUSTFLAGS", rustflags)
        .env("LOOM_MAX_PREEMPTIONS", preemptions.to_string())
}

/// Runs the library's tests under a sanitizer of the nightly toolchain.
pub fn sanitize(sanitizer: &str) -> Result<Outcome> {
    let mut rustflags = format!("-Zsanitizer={sanitizer}");
    let suppressions = root().join("xtask/tsan-suppressions.txt");
    match sanitizer {
        "address" => {}
        // The standard library that nightly comes with is not instrumented.
        "thread" => rustflags += " -Cunsafe-allow-abi-mismatch=sanitizer",
        other => bail!("no sanitizer {other}; there are address and thread"),
    }
    // With --target the flags stay away from build scripts and procedural macros.
    let outcome =
        Invocation::cargo(&["+nightly", "test", "--package", "oxmq", "--package", "oxmq-zmtp"])
            .args(&["--lib", "--tests", "--no-fail-fast", "--target", &host()?])
            .args(&["--target-dir", &target_dir(&format!("sanitize-{sanitizer}"))])
            .env("RUSTFLAGS", rustflags)
            .env("OXMQ_SANITIZER", sanitizer)
            // Children of the tests end at once.
            .env(
                "TSAN_OPTIONS",
                format!("suppressions={}:atexit_sleep_ms=0", suppressions.display()),
            )
            .run()?;
    Ok(outcome.with_tests())
}
