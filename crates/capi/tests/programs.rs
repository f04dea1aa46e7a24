//! Programs in C and C++, built as users build theirs: by pkg-config and by CMake, with the shared
//! library and the static one; and those made for one library running over the other.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{debians, folder, output, prefix, run};

const STRICT: [&str; 4] = ["-Wall", "-Wextra", "-Werror", "-pthread"];

/// The compiler, with the standard, and the source of each program.
const PROGRAMS: [(&str, &str, &str); 3] = [
    ("gcc", "-std=c99", "tour.c"),
    ("g++", "-std=c++17", "tour.cpp"),
    ("gcc", "-std=c99", "security.c"),
];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/programs")
}

/// What pkg-config says to that; it looks at our prefix first.
fn pkg_config(args: &[&str]) -> Vec<String> {
    let path = prefix().join("lib/pkgconfig");
    let mut pkg_config = Command::new("pkg-config");
    pkg_config.args(args).arg("libzmq").env("PKG_CONFIG_PATH", path);
    let flags = String::from_utf8(run(&mut pkg_config).stdout).unwrap();
    flags.split_whitespace().map(str::to_owned).collect()
}

/// Compiles the programs with these flags; where they are.
fn compile(into: &str, flags: &[String]) -> Vec<PathBuf> {
    let folder = folder(into);
    PROGRAMS
        .iter()
        .map(|(compiler, standard, source)| {
            let program = folder.join(source.replace('.', "-"));
            let mut compile = Command::new(compiler);
            compile.args(STRICT).arg(standard).arg("-o").arg(&program);
            run(compile.arg(sources().join(source)).args(flags));
            program
        })
        .collect()
}

/// Runs a program over the library that it finds in a folder first.
fn runs(program: &Path, libraries: &Path) {
    let output =
        run(Command::new("timeout").arg("1200").arg(program).env("LD_LIBRARY_PATH", libraries));
    assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
}

/// Whether it asks for the shared library.
fn is_dynamic(program: &Path) -> bool {
    output("readelf", ["--dynamic".as_ref(), program.as_os_str()]).contains("[libzmq.so.5]")
}

fn ours() -> PathBuf {
    prefix().join("lib")
}

#[test]
fn pkg_config_and_the_shared_library() {
    for program in compile("pkg-config-shared", &pkg_config(&["--cflags", "--libs"])) {
        assert!(is_dynamic(&program));
        runs(&program, &ours());
    }
}

#[test]
fn pkg_config_and_the_static_library() {
    let mut flags = pkg_config(&["--cflags", "--libs", "--static"]);
    flags.push("-static".to_owned());
    for program in compile("pkg-config-static", &flags) {
        assert!(!is_dynamic(&program));
        runs(&program, Path::new(""));
    }
}

#[test]
fn pkg_config_knows_the_version() {
    assert_eq!(pkg_config(&["--modversion"]), ["4.3.6"]);
    assert_eq!(pkg_config(&["--atleast-version=4.3.4"]), [""; 0]);
}

#[test]
fn cmake_and_both_libraries() {
    let build = folder("cmake");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(sources()).arg("-B").arg(&build);
    run(configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix().display())));
    run(Command::new("cmake").arg("--build").arg(&build));
    for (name, dynamic) in [
        ("c-libzmq", true),
        ("c-libzmq-static", false),
        ("c-named", true),
        ("cpp-libzmq", true),
        ("cpp-libzmq-static", false),
    ] {
        let program = build.join(name);
        assert_eq!(is_dynamic(&program), dynamic, "{name}");
        runs(&program, Path::new(""));
    }
}

#[test]
fn programs_made_for_debians_library_run_over_ours() {
    for program in compile("debians", &["-lzmq".to_owned()]) {
        runs(&program, &debians());
        runs(&program, &ours());
    }
}

#[test]
fn programs_made_for_ours_run_over_debians_library() {
    for program in compile("both-ways", &pkg_config(&["--cflags", "--libs"])) {
        runs(&program, &debians());
    }
}

/// In exit handlers, and in the destructors of threads and static objects, in whatever order.
#[test]
fn the_library_works_until_the_end_of_its_threads() {
    let program = folder("ending").join("ending");
    let mut compile = Command::new("g++");
    compile.args(STRICT).arg("-std=c++17").arg("-o").arg(&program);
    run(compile.arg(sources().join("ending.cpp")).args(pkg_config(&["--cflags", "--libs"])));
    for place in [
        "handler",
        "early-handler",
        "handler-forks",
        "other-thread-exits",
        "thread-local",
        "thread-local-of-main",
        "early-key",
        "late-key",
        "key-alone",
        "detached-key",
        "static-context",
    ] {
        let mut ending = Command::new("timeout");
        ending.arg("60").arg(&program).arg(place).env("LD_LIBRARY_PATH", ours());
        assert_eq!(String::from_utf8_lossy(&run(&mut ending).stdout), "done\n", "{place}");
    }
}

#[test]
fn valgrind_finds_nothing() {
    const KINDS: &str = "definite,indirect,possible";
    for program in compile("valgrind", &pkg_config(&["--cflags", "--libs"])) {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--leak-check=full", "--error-exitcode=1"]);
        valgrind.arg(format!("--show-leak-kinds={KINDS}"));
        valgrind.arg(format!("--errors-for-leak-kinds={KINDS}"));
        let output = run(valgrind.arg(&program).env("LD_LIBRARY_PATH", ours()));
        assert_eq!(String::from_utf8_lossy(&output.stdout), "done\n");
    }
}

/// What the programs and the library allocate is all watched; of the accesses, the programs' own.
#[test]
fn sanitizers_find_nothing() {
    let mut flags = pkg_config(&["--cflags", "--libs"]);
    flags.extend(
        ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"].map(str::to_owned),
    );
    for program in compile("sanitizers", &flags) {
        runs(&program, &ours());
    }
}
