//! Other machines than this one: whether everything compiles for them.
//!
//! Each needs its standard library (`rustup target add`), and nothing else: what we depend on is all
//! Rust, and `cargo check` links nothing. Where a toolchain can have no more than its own,
//! `OXMQ_TARGETS=installed` leaves the others out, and says so.

use crate::command::{Invocation, Outcome, target_dir};
use anyhow::{Result, bail, ensure};
use std::fs;

/// Linux on other processors, of 32 bits too, and of the other byte order; with other C libraries.
const TARGETS: [&str; 6] = [
    "i686-unknown-linux-gnu",
    "armv7-unknown-linux-gnueabihf",
    "aarch64-unknown-linux-gnu",
    "s390x-unknown-linux-gnu",
    "aarch64-linux-android",
    MUSL,
];

const MUSL: &str = "x86_64-unknown-linux-musl";

/// Systems whose calls `oxmq` does not know.
const UNKNOWN: [&str; 3] =
    ["x86_64-pc-windows-gnu", "x86_64-apple-darwin", "x86_64-unknown-freebsd"];

/// How it says so, before anything else.
const REFUSAL: &str = "error: oxmq runs on Linux and Android only, so far";

/// Checks everything for every target; where there is no Linux the refusal is what one sees first.
pub fn check() -> Result<Outcome> {
    let (there, skipped) = installed(&[&TARGETS[..], &UNKNOWN].concat())?;
    let (targets, unknown): (Vec<&str>, Vec<&str>) =
        there.into_iter().partition(|target| TARGETS.contains(target));
    let mut outcome = Outcome { skipped, ..Outcome::of_success() };
    if !targets.is_empty() {
        let targets: Vec<&str> = targets.iter().flat_map(|target| ["--target", target]).collect();
        let checked = Invocation::cargo(&["check", "--package", "oxmq-zmtp", "--package", "oxmq"])
            .args(&["--package", "oxmq-capi", "--package", "oxmq-cli"])
            .args(&targets)
            .args(&["--target-dir", &target_dir("targets")])
            .run()?;
        outcome = outcome.and(checked);
    }
    for target in unknown {
        let refused = Invocation::cargo(&["check", "--package", "oxmq", "--target", target])
            .args(&["--target-dir", &target_dir("targets")])
            .quiet()
            .run()?;
        let first = refused.output.lines().find(|line| line.starts_with("error"));
        ensure!(
            first.is_some_and(|line| line.starts_with(REFUSAL)),
            "for {target} one sees first: {first:?}"
        );
        println!("{target}: {}", first.unwrap_or_default());
    }
    Ok(outcome)
}

/// Builds the `oxmq` command with all of musl in it, and runs its demo.
pub fn musl() -> Result<Outcome> {
    let (targets, skipped) = installed(&[MUSL])?;
    if targets.is_empty() {
        return Ok(Outcome { skipped, ..Outcome::of_success() });
    }
    let target = target_dir("targets");
    Invocation::cargo(&["build", "--package", "oxmq-cli", "--target", MUSL])
        .args(&["--target-dir", &target])
        .run()?
        .check("building for musl")?;
    let program = format!("{target}/{MUSL}/debug/oxmq");
    let headers =
        Invocation::program("readelf", &["--wide", "--program-headers", &program]).quiet().run()?;
    headers.check("readelf")?;
    // Who asks for an interpreter is not static.
    ensure!(!headers.output.contains("INTERP"), "{program} is linked to shared libraries");
    Invocation::program(&program, &["demo", "--seconds", "0.2"]).run()
}

/// Those whose standard library is there, and how many are left out.
fn installed<'a>(targets: &[&'a str]) -> Result<(Vec<&'a str>, u64)> {
    let (mut there, mut missing) = (Vec::new(), Vec::new());
    for &target in targets {
        let folder = Invocation::program("rustc", &["--print", "target-libdir"])
            .args(&["--target", target])
            .quiet()
            .run()?;
        folder.check("rustc --print target-libdir")?;
        let is_core = |name: &str| name.starts_with("libcore-");
        let has_core = fs::read_dir(folder.output.trim()).is_ok_and(|mut files| {
            files.any(|file| file.is_ok_and(|file| is_core(&file.file_name().to_string_lossy())))
        });
        if has_core { there.push(target) } else { missing.push(target) }
    }
    if !missing.is_empty() {
        let add = format!("rustup target add {}", missing.join(" "));
        let partly = std::env::var("OXMQ_TARGETS").is_ok_and(|which| which == "installed");
        if !partly {
            bail!("their standard libraries are not installed: {add}");
        }
        println!("NOT CHECKED, for their standard libraries are not installed: {add}");
    }
    Ok((there, missing.len() as u64))
}
