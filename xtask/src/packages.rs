//! What the tests need beside the Rust toolchain.

use crate::command::Invocation;
use anyhow::{Context, Result, bail};
use std::path::Path;

/// A package of Debian, and how to see that what it holds is there.
struct Package {
    name: &'static str,
    present: fn() -> bool,
}

const PACKAGES: &[Package] = &[
    Package { name: "libzmq5", present: || library("libzmq.so.5") },
    Package { name: "libzmq3-dev", present: || Path::new("/usr/include/zmq.h").exists() },
    Package { name: "valgrind", present: || program("valgrind") },
    Package { name: "g++", present: || program("g++") },
    Package { name: "cmake", present: || program("cmake") },
    Package { name: "make", present: || program("make") },
    Package { name: "pkg-config", present: || program("pkg-config") },
    Package { name: "cppzmq-dev", present: || Path::new("/usr/include/zmq.hpp").exists() },
    // Of whatever Python is the first in the path.
    Package { name: "python3-venv", present: || python("import ensurepip, venv") },
    Package { name: "python3-dev", present: || python(PYTHON_HEADERS) },
];

const PYTHON_HEADERS: &str = "import os, sysconfig; \
    assert os.path.exists(sysconfig.get_path('include') + '/Python.h')";

/// Installs all packages that are missing.
pub fn install_all() -> Result<()> {
    let names: Vec<_> = PACKAGES.iter().map(|package| package.name).collect();
    install(&names)
}

/// Installs those of `names` that are missing.
pub fn install(names: &[&str]) -> Result<()> {
    let missing = || -> Vec<&str> {
        let wanted = PACKAGES.iter().filter(|package| names.contains(&package.name));
        wanted.filter(|package| !(package.present)()).map(|package| package.name).collect()
    };
    let wanted = missing();
    if wanted.is_empty() {
        return Ok(());
    }
    println!("installing {}", wanted.join(", "));
    let by_hand = format!("sudo apt-get install {}", wanted.join(" "));
    let installed =
        apt_get(&["update"]).and_then(|()| apt_get(&[&["install", "--yes"], &wanted[..]].concat()));
    installed
        .with_context(|| format!("needed and not to be installed from here; by hand: {by_hand}"))?;
    match missing()[..] {
        [] => Ok(()),
        ref left => bail!("installed, but not found: {}; by hand: {by_hand}", left.join(", ")),
    }
}

fn apt_get(args: &[&str]) -> Result<()> {
    let root = Invocation::program("id", &["-u"]).quiet().run()?.output.trim() == "0";
    let invocation = match root {
        true => Invocation::program("apt-get", args),
        // Without a terminal there is nobody to ask for a password.
        false => Invocation::program("sudo", &["--non-interactive", "apt-get"]).args(args),
    };
    let outcome = invocation.env("DEBIAN_FRONTEND", "noninteractive").quiet().run()?;
    if !outcome.success {
        bail!("apt-get {}: {}", args.join(" "), outcome.output.trim());
    }
    Ok(())
}

fn program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

fn python(script: &str) -> bool {
    let ran = Invocation::program("python3", &["-c", script]).quiet().run();
    ran.is_ok_and(|outcome| outcome.success)
}

fn library(name: &str) -> bool {
    // Not every user has /sbin in the path.
    let known = ["ldconfig", "/sbin/ldconfig"]
        .iter()
        .find_map(|ldconfig| Invocation::program(ldconfig, &["-p"]).quiet().run().ok());
    known.is_some_and(|known| known.output.contains(name))
}
