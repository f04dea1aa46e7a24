//! Fuzzing with libFuzzer on the stable toolchain; fuzz/README.md explains the parts.

use crate::command::{Invocation, Outcome, root};
use anyhow::{Context, Result, bail, ensure};

/// What puts the coverage counters in.
const RUSTFLAGS: &str = "-C passes=sancov-module -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares -C codegen-units=1 --cfg fuzzing";

/// Runs `only`, or all targets one after the other, each for `seconds`.
pub fn run(only: Option<&str>, seconds: u64) -> Result<()> {
    let targets = targets()?;
    if let Some(only) = only {
        ensure!(
            targets.iter().any(|target| target == only),
            "no such target; there are {}",
            targets.join(", ")
        );
    }
    let triple = host()?;
    // With --target the flags stay away from build scripts.
    Invocation::cargo(&[
        "build",
        "--release",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target",
        &triple,
    ])
    .args(&["--target-dir", "fuzz/target"])
    .env("RUSTFLAGS", RUSTFLAGS)
    .run()?
    .check("building the fuzz targets")?;
    for target in targets.iter().filter(|target| only.is_none_or(|only| only == *target)) {
        run_one(target, &triple, seconds)?;
    }
    Ok(())
}

/// Replays the committed corpora.
pub fn replay() -> Result<Outcome> {
    Invocation::cargo(&[
        "test",
        "--manifest-path",
        "fuzz/Cargo.toml",
        "--target-dir",
        "fuzz/target",
    ])
    .run()
}

fn run_one(target: &str, triple: &str, seconds: u64) -> Result<()> {
    let found = format!("fuzz/target/corpus/{target}");
    for dir in [&found, "fuzz/artifacts"] {
        std::fs::create_dir_all(root().join(dir))?;
    }
    let program = root().join(format!("fuzz/target/{triple}/release/{target}"));
    let outcome =
        Invocation::program(&program.to_string_lossy(), &[&format!("-max_total_time={seconds}")])
            .args(&["-max_len=4096", "-dict=fuzz/dictionaries/zmtp.dict"])
            .args(&[
                &format!("-artifact_prefix=fuzz/artifacts/{target}-"),
                &found,
                &format!("fuzz/corpus/{target}"),
            ])
            .quiet()
            .run()?;
    if !outcome.success {
        bail!("{target} found something:\n{}", outcome.output);
    }
    let coverage = outcome.output.lines().rev().find(|line| line.contains("cov:"));
    println!("fuzz {target}: {}", coverage.context("no coverage was printed")?.trim());
    Ok(())
}

fn targets() -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(root().join("fuzz/targets"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            targets.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    targets.sort();
    ensure!(!targets.is_empty(), "fuzz/targets is empty");
    Ok(targets)
}

/// The triple of the machine we are on.
pub fn host() -> Result<String> {
    let version = Invocation::program("rustc", &["-vV"]).quiet().run()?.output;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}
