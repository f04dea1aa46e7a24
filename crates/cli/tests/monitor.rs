//! `oxmq monitor` as its users run it.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use serde_json::Value;

fn oxmq(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxmq"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> Output {
    oxmq(args).output().unwrap()
}

struct Monitor {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

fn monitor(args: &[&str]) -> Monitor {
    let mut child = oxmq(&[&["monitor"], args].concat()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Monitor { child, lines }
}

impl Monitor {
    fn line(&mut self) -> String {
        self.lines.next().expect("another line").unwrap()
    }

    fn json(&mut self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    fn ends(mut self) {
        assert!(self.lines.next().is_none());
        assert!(self.child.wait().unwrap().success());
    }
}

#[test]
fn a_line_for_each_event() {
    for bind in ["tcp://127.0.0.1:*", "ipc://*"] {
        let mut monitor = monitor(&["pull", "--bind", bind, "--count", "4"]);
        let line = monitor.line();
        let endpoint = line.strip_prefix("LISTENING ").unwrap().to_owned();
        let mut push =
            oxmq(&["push", "--connect", &endpoint]).stdin(Stdio::piped()).spawn().unwrap();
        let accepted = monitor.line();
        assert!(accepted.starts_with(&format!("ACCEPTED {endpoint}")), "{accepted}");
        let line = monitor.line();
        assert!(line.starts_with("HANDSHAKE_SUCCEEDED "), "{line}");
        assert!(line.ends_with(" peer PUSH ZMTP 3.1"), "{line}");
        drop(push.stdin.take());
        assert!(push.wait().unwrap().success());
        let line = monitor.line();
        assert!(line.starts_with("DISCONNECTED "), "{line}");
        // Whichever is noticed first.
        let ends = [": the peer closed the connection", "(os error 32)", "(os error 104)"];
        assert!(ends.iter().any(|end| line.ends_with(end)), "{line}");
        monitor.ends();
    }
}

#[test]
fn an_object_for_each_event() {
    let mut bound =
        monitor(&["rep", "--bind", "tcp://127.0.0.1:*", "--json", "--timeout", "300000"]);
    let listening = bound.json();
    assert_eq!(listening["event"], "LISTENING");
    assert_eq!(listening["bound"], true);
    let endpoint = listening["endpoint"].as_str().unwrap().to_owned();
    let args = ["push", "--connect", &endpoint, "--json", "--count", "4"];
    let mut wrong = monitor(&args);
    assert_eq!(bound.json()["event"], "ACCEPTED");
    let failed = bound.json();
    assert_eq!(failed["event"], "HANDSHAKE_FAILED");
    assert_eq!(failed["endpoint"], endpoint);
    let events: Vec<Value> = (0..4).map(|_| wrong.json()).collect();
    wrong.ends();
    let failed_there = events.iter().find(|event| event["event"] == "HANDSHAKE_FAILED").unwrap();
    let kinds = [&failed["reason"]["kind"], &failed_there["reason"]["kind"]];
    assert!(kinds.contains(&&Value::from("Incompatible")), "{kinds:?}");
    let retried = events.iter().find(|event| event["event"] == "CONNECT_RETRIED").unwrap();
    assert!(retried["interval_ms"].as_u64().unwrap() >= 100);
    // A REP answers, with nothing.
    let req = ["req", "--connect", &endpoint, "--count", "1"];
    let mut req = oxmq(&req).stdin(Stdio::piped()).spawn().unwrap();
    req.stdin.take().unwrap().write_all(b"question\n").unwrap();
    let answered = req.wait_with_output().unwrap();
    assert!(answered.status.success());
    assert_eq!(answered.stdout, b"\n");
    bound.child.kill().unwrap();
    bound.child.wait().unwrap();
}

#[test]
fn ends_when_nothing_happens() {
    let output = run(&["monitor", "sub", "--bind", "inproc://here", "--timeout", "20"]);
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), "LISTENING inproc://here\n");
}

#[test]
fn says_what_is_wrong_with_its_arguments() {
    for (args, reason) in [
        (&["monitor", "pull"][..], "no endpoint"),
        (
            &["monitor", "pull", "--bind", "inproc://x", "--subscribe", "y"],
            "--subscribe is for sub",
        ),
        (&["monitor", "stream", "--bind", "inproc://x"], "invalid value 'stream'"),
        (&["monitor", "pull", "--bind", "nonsense"], "nonsense"),
    ] {
        let output = run(args);
        assert!(!output.status.success());
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains(reason), "{args:?}: {text}");
    }
}
