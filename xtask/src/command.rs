//! Running other programs: what they print is shown and looked at, and none runs for ever.

use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes that has not hung.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// A program about to run.
pub struct Invocation {
    command: Command,
    quiet: bool,
}

/// How it went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub success: bool,
    /// Sums over the "test result:" lines.
    pub passed: u64,
    pub failed: u64,
    /// What was left out, and said to be.
    pub skipped: u64,
    /// Both of its outputs, if it ran quietly.
    pub output: String,
}

impl Invocation {
    /// Cargo, in the root of the workspace.
    pub fn cargo(args: &[&str]) -> Self {
        // Not $CARGO: that is the toolchain's own binary, which knows no `+nightly`.
        Self::program("cargo", args)
    }

    pub fn program(program: &str, args: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(args).current_dir(root());
        Invocation { command, quiet: false }
    }

    pub fn env(mut self, name: &str, value: impl AsRef<str>) -> Self {
        self.command.env(name, value.as_ref());
        self
    }

    pub fn args(mut self, args: &[&str]) -> Self {
        self.command.args(args);
        self
    }

    /// Keeps the output instead of showing it.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// Runs it to its end, or to the limit.
    pub fn run(mut self) -> Result<Outcome> {
        let program = self.command.get_program().to_string_lossy().into_owned();
        if !self.quiet {
            let args: Vec<_> = self.command.get_args().map(|arg| arg.to_string_lossy()).collect();
            println!("$ {program} {}", args.join(" "));
        }
        self.command.stdin(Stdio::null()).stdout(Stdio::piped());
        self.command.stderr(if self.quiet { Stdio::piped() } else { Stdio::inherit() });
        let mut child = self.command.spawn().with_context(|| format!("cannot start {program}"))?;
        let (sender, lines) = mpsc::channel();
        forward(child.stdout.take(), sender.clone());
        forward(child.stderr.take(), sender);
        let mut outcome = Outcome::default();
        let deadline = Instant::now() + LIMIT;
        // Ends when the last holder of the outputs has closed them.
        loop {
            match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.look(line, &mut outcome),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    kill_tree(&mut child)?;
                    bail!("{program} still ran after {} minutes", LIMIT.as_secs() / 60);
                }
            }
        }
        let status: ExitStatus = child.wait()?;
        outcome.success = status.success();
        Ok(outcome)
    }

    fn look(&self, line: String, outcome: &mut Outcome) {
        if let Some((passed, failed)) = test_result(&line) {
            outcome.passed += passed;
            outcome.failed += failed;
        }
        if self.quiet {
            outcome.output.push_str(&line);
            outcome.output.push('\n');
        } else {
            println!("{line}");
        }
    }
}

impl Outcome {
    /// Without a test.
    pub fn of_success() -> Outcome {
        Outcome { success: true, ..Outcome::default() }
    }

    /// Fails unless it succeeded, with what it printed if nobody has seen that yet.
    pub fn check(&self, what: &str) -> Result<()> {
        if !self.success {
            bail!("{}", format!("{what} failed\n{}", self.output).trim_end());
        }
        Ok(())
    }

    /// Both happened.
    pub fn and(self, other: Outcome) -> Outcome {
        Outcome {
            success: self.success && other.success,
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
            output: self.output + &other.output,
        }
    }

    /// A run of tests that found none proves nothing.
    pub fn with_tests(mut self) -> Outcome {
        if self.success && self.passed == 0 {
            println!("no test ran: that counts as a failure");
            self.success = false;
        }
        self
    }
}

/// The root of the workspace.
pub fn root() -> PathBuf {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().expect("xtask is a folder of the workspace").to_owned()
}

/// A target directory of its own for builds with other flags, so that none rebuilds the others.
pub fn target_dir(name: &str) -> String {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    target.join(name).to_string_lossy().into_owned()
}

fn forward(output: Option<impl std::io::Read + Send + 'static>, lines: mpsc::Sender<String>) {
    let Some(output) = output else { return };
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
}

/// Passed and failed of a line like `test result: ok. 3 passed; 0 failed; …`.
fn test_result(line: &str) -> Option<(u64, u64)> {
    let counts = line.strip_prefix("test result: ")?.split_once(". ")?.1;
    let count = |what| {
        let (number, _) =
            counts.split(';').map(str::trim).find_map(|part| part.split_once(what))?;
        number.trim().parse().ok()
    };
    Some((count("passed")?, count("failed")?))
}

/// Ends a program and all that it started, which would hold its outputs open otherwise.
fn kill_tree(child: &mut Child) -> Result<()> {
    let mut tree = vec![child.id().to_string()];
    let mut next = 0;
    while let Some(id) = tree.get(next).cloned() {
        next += 1;
        for task in std::fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten() {
            let children =
                std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
            tree.extend(children.split_whitespace().map(str::to_owned));
        }
    }
    Command::new("kill").arg("-KILL").args(&tree).status().context("kill")?;
    child.wait()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_results_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.1s";
        assert_eq!(test_result(line), Some((12, 3)));
        assert_eq!(test_result("test result: ok. 1 passed; 0 failed; 0 ignored"), Some((1, 0)));
        assert_eq!(test_result("test a ... ok"), None);
    }

    #[test]
    fn outcomes_tell_what_happened() {
        let outcome = Invocation::program(
            "sh",
            &["-c", "echo 'test result: ok. 2 passed; 0 failed'; exit 1"],
        )
        .quiet()
        .run()
        .unwrap();
        assert_eq!((outcome.success, outcome.passed), (false, 2));
        outcome.check("it").unwrap_err();
        let outcome = Invocation::program("true", &[]).quiet().run().unwrap();
        assert!(outcome.success && !outcome.with_tests().success);
    }
}
