//! The drafts of `zmq.h`, which Debian's library is built without, from C.

mod support;

use std::path::Path;
use std::process::Command;

use support::{folder, prefix, run, sanitizer};

#[test]
fn what_drafts_add_does_as_the_header_says() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs/drafts.c");
    let program = folder("drafts").join("drafts");
    let mut compile = Command::new("gcc");
    compile.args(["-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"]);
    compile.arg(&program).arg(source).arg(format!("-I{}/include", prefix().display()));
    compile.args(sanitizer());
    run(compile.arg(format!("-L{}/lib", prefix().display())).arg("-lzmq"));
    let mut started = Command::new("timeout");
    started.arg("1200").arg(&program).env("LD_LIBRARY_PATH", prefix().join("lib"));
    assert_eq!(String::from_utf8_lossy(&run(&mut started).stdout), "done\n");
}
