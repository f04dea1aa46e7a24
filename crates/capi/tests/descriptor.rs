//! `ZMQ_FD` under event loops in C, over ours and over Debian's library: what holds for theirs holds
//! for ours. `OXMQ_FD_MESSAGES` says how many messages go each way (default 20,000).

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use support::{debians, folder, prefix, run, sanitizer};

const TRIGGERS: [&str; 2] = ["level", "edge"];

fn libraries() -> [PathBuf; 2] {
    [prefix().join("lib"), debians()]
}

/// A program of `programs`, compiled.
fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| folder("descriptor"));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs").join(name);
    let program = folder.join(name.trim_end_matches(".c"));
    let mut compile = Command::new("gcc");
    compile.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]);
    compile.arg(&program).arg(source).arg(format!("-I{}/include", prefix().display()));
    compile.args(sanitizer());
    run(compile.arg(format!("-L{}/lib", prefix().display())).arg("-lzmq"));
    program
}

fn runs(program: &Path, library: &Path, args: &[&str]) {
    let mut command = Command::new("timeout");
    command.arg("1800").arg(program).args(args).env("LD_LIBRARY_PATH", library);
    let output = run(&mut command);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
    let (trigger, library) = (args[0], library.display());
    eprintln!("{trigger}, {library}: {}", String::from_utf8_lossy(&output.stderr).trim());
}

#[test]
fn no_message_waits_for_the_next_one() {
    let program = program("bursts.c");
    let messages = std::env::var("OXMQ_FD_MESSAGES").unwrap_or_else(|_| "20000".to_owned());
    let ipc = format!("ipc://{}", folder("descriptor-ipc").join("bursts").display());
    for trigger in TRIGGERS {
        for endpoint in ["tcp://127.0.0.1:*", &ipc, "inproc://bursts"] {
            for library in libraries() {
                runs(&program, &library, &[trigger, &messages, endpoint, "7"]);
            }
        }
    }
}

#[test]
fn it_tells_of_peers_turns_subscriptions_and_ends() {
    let program = program("news.c");
    for trigger in TRIGGERS {
        for library in libraries() {
            runs(&program, &library, &[trigger]);
        }
    }
}
