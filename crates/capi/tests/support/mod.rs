//! The library as it is installed, and the tools that look at it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// Where the library is installed: `OXMQ_PREFIX`, or a folder of the tests, as
/// `cargo xtask install` fills it.
pub fn prefix() -> &'static Path {
    static PREFIX: OnceLock<PathBuf> = OnceLock::new();
    PREFIX.get_or_init(|| {
        if let Some(prefix) = std::env::var_os("OXMQ_PREFIX") {
            return prefix.into();
        }
        let prefix = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prefix");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut install = Command::new(env!("CARGO"));
        install.args(["run", "--quiet", "--package", "xtask", "--", "install", "--debug"]);
        install.arg("--prefix").arg(&prefix).current_dir(root);
        run(&mut install);
        prefix
    })
}

/// Runs a program that must succeed.
///
/// # Panics
/// It does not, or is not there: `cargo xtask test` installs what is needed.
pub fn run(command: &mut Command) -> Output {
    let output =
        command.output().unwrap_or_else(|reason| panic!("cannot start {command:?}: {reason}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What such a program prints.
pub fn output<A: AsRef<OsStr>>(program: &str, args: impl IntoIterator<Item = A>) -> String {
    let output = run(Command::new(program).args(args));
    String::from_utf8(output.stdout).expect("tools print text")
}

/// A folder for a test's files, empty.
#[allow(dead_code, reason = "not every test writes files")]
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the tests' folder can be written");
    folder
}

/// Where Debian's library is.
#[allow(dead_code, reason = "not every test compares")]
pub fn debians() -> PathBuf {
    let library = output("gcc", ["-print-file-name=libzmq.so.5"]);
    let library = Path::new(library.trim()).canonicalize().expect("libzmq5 is installed");
    library.parent().expect("it lies in a folder").to_owned()
}

/// What a C compiler is told besides: `cargo xtask sanitize address` runs these tests over a library
/// that looks for its sanitizer in the program.
#[allow(dead_code, reason = "not every test compiles")]
pub fn sanitizer() -> Option<&'static str> {
    (std::env::var("OXMQ_SANITIZER").ok()? == "address").then_some("-fsanitize=address")
}
