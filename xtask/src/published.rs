//! What would be published: whether it is complete, builds from its packages, and its documentation's
//! examples run from there.

use crate::command::{Invocation, Outcome, root, target_dir};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::Path;

/// Each after those that it depends on.
const PUBLISHED: [&str; 4] = ["oxmq-zmtp", "oxmq", "oxmq-capi", "oxmq-cli"];

/// What lies in each of their packages; in the repository these may be links to the root's.
const FILES: [&str; 3] = ["README.md", "LICENSE-MIT", "LICENSE-APACHE"];

/// Does all that publishing does but the upload, then runs the packages' own examples.
pub fn run() -> Result<Outcome> {
    let published = Invocation::cargo(&["publish", "--workspace", "--dry-run", "--allow-dirty"])
        .quiet()
        .run()?;
    published.check("publishing, without the upload,")?;
    for line in published.output.lines() {
        let expected = line.contains("aborting upload due to dry run");
        ensure!(expected || !line.starts_with("warning"), "{line}");
    }
    let packages = Path::new(&target_dir("package")).to_owned();
    let unpacked = |name: &str| packages.join(format!("{name}-{}", env!("CARGO_PKG_VERSION")));
    for name in PUBLISHED {
        let verified = format!("Verifying {name} v");
        ensure!(published.output.contains(&verified), "{name} is not among what is published");
        for file in FILES {
            let path = unpacked(name).join(file);
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            ensure!(text.lines().count() > 5, "{} says too little", path.display());
        }
        println!("{name}: packaged, and built from its package");
    }
    // What it depends on is in no registry yet, as far as these know.
    let protocol = unpacked("oxmq-zmtp");
    let Some(protocol) = protocol.to_str() else { bail!("{} is not UTF-8", protocol.display()) };
    let patch = format!("patch.crates-io.oxmq-zmtp.path=\"{protocol}\"");
    let patch = ["--config", &patch];
    ["oxmq-zmtp", "oxmq"].iter().try_fold(Outcome::of_success(), |so_far, name| {
        let manifest = unpacked(name).join("Cargo.toml");
        let examples = Invocation::cargo(&["test", "--doc", "--no-fail-fast"])
            .args(&["--manifest-path", &manifest.to_string_lossy()])
            // What it depends on is there already.
            .args(&["--target-dir", &target_dir("")])
            .args(if *name == "oxmq" { &patch } else { &[] })
            .run()?;
        Ok(so_far.and(examples.with_tests()))
    })
}

/// Whether the Rust that `Cargo.toml` asks for is one that builds this: the one that all else here
/// is built with, or else one of its own.
pub fn rust_version() -> Result<Outcome> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let wanted = manifest
        .lines()
        .find_map(|line| line.strip_prefix("rust-version = \"")?.strip_suffix('"'))
        .context("Cargo.toml asks for no Rust")?;
    let here = Invocation::program("rustc", &["--version"]).quiet().run()?;
    here.check("rustc --version")?;
    println!("asked for: rustc {wanted}; here is {}", here.output.trim());
    if here.output.starts_with(&format!("rustc {wanted}.")) {
        println!("which is what everything here is built with");
        return Ok(Outcome::of_success());
    }
    let toolchain = format!("+{wanted}.0");
    let checked = Invocation::cargo(&[&toolchain, "check", "--workspace", "--all-targets"])
        .args(&["--target-dir", &target_dir("rust-version")])
        .run()?;
    if !checked.success {
        println!("if it is not there: rustup toolchain install {wanted}.0");
    }
    Ok(checked)
}
