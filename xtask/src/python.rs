//! pyzmq over our library: built against it as its users would, beside the wheel with its own libzmq.

use crate::command::{Invocation, Outcome, target_dir};
use crate::install::{self, Flavour};
use anyhow::Result;
use std::fs;
use std::path::Path;

const PYZMQ: &str = "pyzmq==27.3.0";
const LOOPS: [&str; 2] = ["tornado==6.6.1", "gevent==26.9.0"];

/// How many messages go each way where `OXMQ_FD_MESSAGES` does not say it.
const MESSAGES: &str = "20000";

/// Exchanges between the two, then bursts through each event loop.
pub fn run() -> Result<Outcome> {
    let prefix = target_dir("capi-prefix");
    install::install(Path::new(&prefix), Flavour::Optimised)?;
    let ours = Environment::new("python-ours")?;
    // Anew, in the place of one built against another library. What pip has built before it keeps
    // for the next time, which this must not find.
    ours.pip(
        &["--no-binary=pyzmq", "--no-cache-dir", "--force-reinstall", "--no-deps", PYZMQ],
        &prefix,
    )?;
    ours.pip(&LOOPS, &prefix)?;
    let others = Environment::new("python-wheel")?;
    others.pip(&[PYZMQ, LOOPS[0]], "")?;

    let exchanges = ours.script("exchange.py", &[&prefix, &others.python]).run()?.with_tests();
    let messages = std::env::var("OXMQ_FD_MESSAGES").unwrap_or_else(|_| MESSAGES.to_owned());
    ["asyncio", "tornado", "gevent"].iter().try_fold(exchanges, |so_far, integration| {
        let bursts = ours.script("bursts.py", &[integration, &messages]).run()?;
        Ok(so_far.and(bursts.with_tests()))
    })
}

/// A Python with packages of its own.
struct Environment {
    python: String,
}

impl Environment {
    fn new(name: &str) -> Result<Environment> {
        let dir = target_dir(name);
        let python = format!("{dir}/bin/python");
        if !Path::new(&python).exists() {
            // What is left of one half made.
            let _ = fs::remove_dir_all(&dir);
            let made = Invocation::program("python3", &["-m", "venv", &dir]).run()?;
            made.check("making a Python environment")?;
        }
        Ok(Environment { python })
    }

    /// Installs packages; one that is built against libzmq takes that of `prefix`.
    fn pip(&self, args: &[&str], prefix: &str) -> Result<()> {
        Invocation::program(&self.python, &["-m", "pip", "install", "--quiet"])
            .args(&["--disable-pip-version-check"])
            .args(args)
            .env("ZMQ_PREFIX", prefix)
            .run()?
            .check("pip install")
    }

    fn script(&self, name: &str, args: &[&str]) -> Invocation {
        let script = format!("crates/capi/tests/python/{name}");
        Invocation::program(&self.python, &[&script]).args(args)
    }
}
