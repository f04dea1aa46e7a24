//! Saying on standard error how far something is: in one line kept up to date, where it is a terminal.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// How often the number of messages is shown.
const EVERY: Duration = Duration::from_millis(500);

/// A line that changes; nothing where standard error is no terminal.
pub struct Status(bool);

impl Status {
    pub fn new() -> Self {
        Status(std::io::stderr().is_terminal())
    }

    pub fn say(&self, what: &str) {
        if self.0 {
            eprint!("\r{what:79}");
        }
    }
}

impl Drop for Status {
    /// Leaves an empty line to what is printed next.
    fn drop(&mut self) {
        if self.0 {
            eprint!("\r{:79}\r", "");
        }
    }
}

/// How many messages a job has carried: a line that changes, or a new one each time where standard
/// error is no terminal.
pub struct Progress {
    title: String,
    terminal: bool,
    said: Instant,
}

impl Progress {
    pub fn new(title: String) -> Self {
        Progress { title, terminal: std::io::stderr().is_terminal(), said: Instant::now() }
    }

    pub fn at(&mut self, messages: u64) {
        if self.said.elapsed() < EVERY {
            return;
        }
        self.said = Instant::now();
        if self.terminal {
            eprint!("\r{}: {messages} messages ", self.title);
        } else {
            eprintln!("{}: {messages} messages", self.title);
        }
    }

    pub fn finish(self, messages: u64) {
        let start = if self.terminal { "\r" } else { "" };
        eprintln!("{start}{}: {messages} messages, done", self.title);
    }
}
