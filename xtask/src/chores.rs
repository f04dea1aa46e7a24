//! Builds of the same tests with other flags: simulated, model-checked, broken on purpose,
//! under sanitizers.

use crate::command::{Invocation, Outcome, root, target_dir};
use crate::fuzz::host;
use crate::install::{Flavour, install};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;

/// Enough to find what two threads can do to each other in a test of a few steps, in minutes.
pub const LOOM_PREEMPTIONS: u32 = 2;

/// How many simulated seeds a planted defect may take to be found.
const SIM_SEEDS_MAX: u64 = 10_000;

/// In how many sequences of calls one may hide from the comparison with libzmq.
const DIFF_SEQUENCES_MAX: u64 = 10_000;

/// What builds the library over simulated system calls.
const SIM: &str = "--cfg oxmq_sim";

/// Tests that must notice planted defects.
struct Suite {
    name: &'static str,
    /// Names of `cfg(oxmq_mutation = "…")`, one a line: each a defect.
    mutations: &'static str,
    rustflags: &'static str,
    /// The run that must be clean without them, and the one that must not with one of them.
    unbroken: fn(&str) -> Invocation,
    broken: fn(&str) -> Invocation,
}

const SUITES: [Suite; 4] = [
    Suite {
        name: "loom",
        mutations: "crates/oxmq/loom-mutations.txt",
        rustflags: "--cfg loom",
        unbroken: |flags| loom_with(flags, "mutants", LOOM_PREEMPTIONS),
        broken: |flags| loom_with(flags, "mutants", LOOM_PREEMPTIONS),
    },
    Suite {
        name: "sim",
        mutations: "crates/sim/mutations.txt",
        rustflags: SIM,
        unbroken: |flags| sim_with(flags, "sim-mutants"),
        broken: |flags| {
            sim_with(flags, "sim-mutants").env("OXMQ_SIM_SEEDS", SIM_SEEDS_MAX.to_string())
        },
    },
    Suite {
        name: "costs",
        mutations: "crates/sim/cost-mutations.txt",
        rustflags: SIM,
        unbroken: |flags| costs_with(flags, "sim-mutants"),
        broken: |flags| costs_with(flags, "sim-mutants"),
    },
    Suite {
        name: "capi",
        mutations: "crates/capi/mutations.txt",
        rustflags: "",
        unbroken: capi_with,
        broken: |flags| {
            capi_with(flags)
                .env("OXMQ_DIFF_SEQUENCES", DIFF_SEQUENCES_MAX.to_string())
                .env("OXMQ_DIFF_FAILURES", "1")
        },
    },
];

/// Runs the simulator's tests.
pub fn sim(seeds: Option<u64>, seed: Option<u64>) -> Result<Outcome> {
    let mut invocation = sim_with(SIM, "sim");
    for (name, value) in [("OXMQ_SIM_SEEDS", seeds), ("OXMQ_SIM_SEED", seed)] {
        if let Some(value) = value {
            invocation = invocation.env(name, value.to_string());
        }
    }
    Ok(invocation.run()?.with_tests())
}

/// Compares what messages cost with what the file says, or writes that anew.
pub fn costs(write: bool) -> Result<Outcome> {
    let mut invocation = costs_with(SIM, "sim");
    if write {
        invocation = invocation.env("OXMQ_COSTS_WRITE", "1");
    }
    let outcome = invocation.args(&["--", "--nocapture"]).run()?;
    Ok(outcome.with_tests())
}

fn costs_with(rustflags: &str, dir: &str) -> Invocation {
    Invocation::cargo(&["test", "--package", "oxmq-sim", "--release", "--test", "costs"])
        .args(&["--target-dir", &target_dir(dir)])
        .env("RUSTFLAGS", rustflags)
}

fn sim_with(rustflags: &str, dir: &str) -> Invocation {
    Invocation::cargo(&["test", "--package", "oxmq-sim", "--release", "--no-fail-fast"])
        .args(&["--lib", "--test", "seeds"])
        .args(&["--target-dir", &target_dir(dir)])
        .env("RUSTFLAGS", rustflags)
}

/// The comparison of the C library with Debian's.
fn capi_with(rustflags: &str) -> Invocation {
    Invocation::cargo(&["test", "--package", "oxmq-capi", "--test", "differential"])
        .args(&["--target-dir", &target_dir("capi-mutants")])
        .env("RUSTFLAGS", rustflags)
}

/// Model-checks the lock-free modules as they are.
pub fn loom(preemptions: u32) -> Result<Outcome> {
    Ok(loom_with("--cfg loom", "loom", preemptions).run()?.with_tests())
}

/// Plants defects, one after the other; a test of their suite must find each.
pub fn mutants(suite: Option<&str>) -> Result<()> {
    let wanted = |it: &&Suite| suite.is_none_or(|name| name == it.name);
    let suites: Vec<&Suite> = SUITES.iter().filter(wanted).collect();
    ensure!(!suites.is_empty(), "no such suite; there are loom, sim, costs and capi");
    suites.into_iter().try_for_each(mutants_of)
}

fn mutants_of(suite: &Suite) -> Result<()> {
    let Suite { name, mutations: path, rustflags, .. } = suite;
    let list = fs::read_to_string(root().join(path)).context(*path)?;
    let mutations: Vec<&str> =
        list.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    ensure!(!mutations.is_empty(), "{path} is empty");
    let mut survivors = Vec::new();
    // What fails unbroken would seem to find everything.
    (suite.unbroken)(rustflags).quiet().run()?.with_tests().check(&format!("{name}, unbroken,"))?;
    for mutation in &mutations {
        let flags = format!("{rustflags} --cfg oxmq_mutation=\"{mutation}\"");
        (suite.broken)(&flags)
            .args(&["--no-run"])
            .quiet()
            .run()?
            .check(&format!("building with {mutation}"))?;
        // A model that fails may abort before it counts: the status says it, not the counts.
        let found = !(suite.broken)(&flags).quiet().run()?.success;
        println!("{mutation}: {}", if found { "found" } else { "NOT FOUND" });
        if !found {
            survivors.push(*mutation);
        }
    }
    if !survivors.is_empty() {
        bail!("not found: {}", survivors.join(", "));
    }
    println!("{name}: {} mutations, each found", mutations.len());
    Ok(())
}

fn loom_with(rustflags: &str, dir: &str, preemptions: u32) -> Invocation {
    Invocation::cargo(&["test", "--package", "oxmq", "--release", "--lib", "--no-fail-fast"])
        .args(&["--target-dir", &target_dir(dir), "loom"])
        .env("RUSTFLAGS", rustflags)
        .env("LOOM_MAX_PREEMPTIONS", preemptions.to_string())
}

/// Runs every example program under valgrind: nothing lost, no error.
pub fn valgrind() -> Result<Outcome> {
    let programs = Invocation::cargo(&["test", "--package", "oxmq-examples", "--test", "programs"])
        .env("OXMQ_VALGRIND", "1")
        .run()?
        .with_tests();
    // In a directory known from here, whatever CARGO_TARGET_DIR says.
    let target = target_dir("valgrind");
    let built = Invocation::cargo(&["build", "--package", "oxmq", "--example", "every_pattern"])
        .args(&["--target-dir", &target])
        .run()?;
    let kinds = "definite,indirect,possible";
    let tour = Invocation::program("valgrind", &["--leak-check=full", "--error-exitcode=1"])
        .args(&[&format!("--show-leak-kinds={kinds}"), &format!("--errors-for-leak-kinds={kinds}")])
        .args(&[&format!("{target}/debug/examples/every_pattern")])
        .run()?;
    Ok(programs.and(built).and(tour))
}

/// What instruments a library, and lets a program lend its sanitizer to one that it loads.
pub const ADDRESS_SANITIZER: &str = "-Zsanitizer=address -Clink-arg=-rdynamic";

/// Runs the library's tests under a sanitizer of the nightly toolchain.
pub fn sanitize(sanitizer: &str) -> Result<Outcome> {
    match sanitizer {
        "address" => {
            let rust = sanitized(sanitizer, ADDRESS_SANITIZER, &["oxmq", "oxmq-zmtp"], &[], &[])?;
            Ok(rust.and(sanitized_c()?))
        }
        // The standard library that nightly comes with is not instrumented.
        "thread" => {
            let rustflags = "-Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer";
            sanitized(sanitizer, rustflags, &["oxmq", "oxmq-zmtp"], &[], &[])
        }
        other => bail!("no sanitizer {other}; there are address and thread"),
    }
}

/// The tests of the C library: its programs in C are compiled with the compiler's own sanitizer.
fn sanitized_c() -> Result<Outcome> {
    let prefix = target_dir("sanitize-address/prefix");
    install(Path::new(&prefix), Flavour::AddressSanitizer)?;
    let run = |tests: &[&str], filter: &[&str]| {
        let tests: Vec<&str> = tests.iter().flat_map(|test| ["--test", test]).collect();
        sanitized("address", ADDRESS_SANITIZER, &["oxmq-capi"], &tests, filter)
    };
    let programs = run(&["programs"], &["sanitizers"])?;
    Ok(programs.and(run(&["descriptor", "drafts", "options", "differential"], &[])?))
}

fn sanitized(
    sanitizer: &str,
    rustflags: &str,
    packages: &[&str],
    tests: &[&str],
    filter: &[&str],
) -> Result<Outcome> {
    let suppressions = root().join("xtask/tsan-suppressions.txt");
    let packages: Vec<&str> = packages.iter().flat_map(|package| ["--package", package]).collect();
    let tests = if tests.is_empty() { &["--lib", "--tests"] } else { tests };
    let work = target_dir(&format!("sanitize-{sanitizer}"));
    // With --target the flags stay away from build scripts and procedural macros.
    let outcome = Invocation::cargo(&["+nightly", "test", "--no-fail-fast"])
        .args(&packages)
        .args(tests)
        .args(&["--target", &host()?, "--target-dir", &work])
        .args(filter)
        .env("RUSTFLAGS", rustflags)
        .env("OXMQ_SANITIZER", sanitizer)
        .env("OXMQ_PREFIX", format!("{work}/prefix"))
        // Children of the tests end at once.
        .env("TSAN_OPTIONS", format!("suppressions={}:atexit_sleep_ms=0", suppressions.display()))
        .run()?;
    Ok(outcome.with_tests())
}
