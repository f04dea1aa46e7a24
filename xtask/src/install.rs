//! `cargo xtask install`: the C library as programs, pkg-config and CMake look for it.
//!
//! ```text
//! include/zmq.h  zmq_utils.h
//! lib/libzmq.so -> libzmq.so.5 -> libzmq.so.5.2.6
//! lib/libzmq.a
//! lib/pkgconfig/libzmq.pc
//! lib/cmake/ZeroMQ/ZeroMQConfig.cmake  ZeroMQConfigVersion.cmake
//! ```
//!
//! All of it may be moved elsewhere together.

use crate::chores::ADDRESS_SANITIZER;
use crate::command::{Invocation, root, target_dir};
use crate::fuzz::host;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};

/// What programs are linked to; `crates/capi/build.rs` says it to the linker.
const SONAME_VERSION: &str = "5";

/// What libzmq's build calls the file whose header we have.
const FILE_VERSION: &str = "5.2.6";

/// What a compiler links without being told. The first of them has no static form.
const LIBRARIES_IMPLIED: [&str; 2] = ["-lgcc_s", "-lc"];

/// How the library is built.
#[derive(Clone, Copy)]
pub enum Flavour {
    Optimised,
    /// As `cargo test` has it, which takes less time.
    Debug,
    /// The same, for programs that bring AddressSanitizer along; by the nightly toolchain.
    AddressSanitizer,
}

/// Builds the library and installs it under `prefix`.
pub fn install(prefix: &Path, flavour: Flavour) -> Result<()> {
    let prefix = std::path::absolute(prefix).context("the prefix")?;
    let built = Built::new(flavour)?;
    let sources = root().join("crates/capi");
    let lib = prefix.join("lib");
    for header in ["zmq.h", "zmq_utils.h"] {
        let source = sources.join("include").join(header);
        write(&prefix.join("include").join(header), &fs::read(source)?)?;
    }

    let file = format!("libzmq.so.{FILE_VERSION}");
    write(&lib.join(&file), &fs::read(built.dir.join("libzmq.so"))?)?;
    let soname = format!("libzmq.so.{SONAME_VERSION}");
    link(&lib.join(&soname), &file)?;
    link(&lib.join("libzmq.so"), &soname)?;
    write(&lib.join("libzmq.a"), &fs::read(built.archive()?)?)?;

    let facts = Facts::new(&sources, &built)?;
    for (template, dir) in [
        ("libzmq.pc", "pkgconfig"),
        ("ZeroMQConfig.cmake", "cmake/ZeroMQ"),
        ("ZeroMQConfigVersion.cmake", "cmake/ZeroMQ"),
    ] {
        let text = fs::read_to_string(sources.join(format!("packaging/{template}.in")))?;
        write(&lib.join(dir).join(template), facts.fill(&text)?.as_bytes())?;
    }
    Ok(())
}

/// What Cargo has built.
struct Built {
    /// The folder of `libzmq.so` and `libzmq.a`.
    dir: PathBuf,
    /// What the latter needs: `-l` and a name each.
    libraries: Vec<String>,
    work: PathBuf,
}

impl Built {
    fn new(flavour: Flavour) -> Result<Built> {
        let (profile, folder) = match flavour {
            Flavour::Optimised => ("release", "release"),
            Flavour::Debug | Flavour::AddressSanitizer => ("dev", "debug"),
        };
        let mut work = PathBuf::from(target_dir("install"));
        let mut cargo = Invocation::cargo(&[]);
        if let Flavour::AddressSanitizer = flavour {
            work = target_dir("sanitize-address").into();
            cargo = cargo.args(&["+nightly"]).env("RUSTFLAGS", ADDRESS_SANITIZER);
        }
        // Without the Rust library, which only the tests need, and beside which there is no
        // optimisation at link time.
        cargo = cargo
            .args(&["rustc", "--package", "oxmq-capi", "--lib", "--profile", profile])
            .args(&["--crate-type", "cdylib,staticlib", "--target-dir", &work.to_string_lossy()]);
        if let Flavour::AddressSanitizer = flavour {
            let host = host()?;
            work.push(&host);
            cargo = cargo.args(&["--target", &host]);
        }
        let outcome = cargo.args(&["--", "--print", "native-static-libs"]).quiet().run()?;
        outcome.check("building the library")?;
        let libraries = outcome
            .output
            .lines()
            .find_map(|line| line.split_once("native-static-libs: "))
            .context("rustc does not say which libraries the static one needs")?
            .1
            .split_whitespace()
            .filter(|library| !LIBRARIES_IMPLIED.contains(library))
            .map(str::to_owned)
            .collect();
        let dir = work.join(folder);
        Ok(Built { dir, libraries, work })
    }

    /// The static library, with no symbol visible but its functions: those of Rust would clash with
    /// another library's that is written in it.
    fn archive(&self) -> Result<PathBuf> {
        let object = self.work.join("zmq.o").to_string_lossy().into_owned();
        let archive = self.work.join("libzmq.a");
        let whole = self.dir.join("libzmq.a").to_string_lossy().into_owned();
        let functions = self.functions()?;
        let wanted: Vec<_> =
            functions.iter().map(|function| format!("--undefined={function}")).collect();
        let kept: Vec<_> =
            functions.iter().map(|function| format!("--keep-global-symbol={function}")).collect();
        binutils("ld", &["--relocatable", "--gc-sections", "-o", &object], &wanted, &whole)?;
        // What the standard library was compiled from goes too: `ar` would try to read it.
        let removed = ["--remove-section=.llvmbc", "--remove-section=.llvmcmd"];
        binutils("objcopy", &removed, &kept, &object)?;
        // It would be added to.
        let _ = fs::remove_file(&archive);
        binutils("ar", &["crs", &archive.to_string_lossy()], &[], &object)?;
        Ok(archive)
    }

    /// What the shared library exports.
    fn functions(&self) -> Result<Vec<String>> {
        let shared = self.dir.join("libzmq.so").to_string_lossy().into_owned();
        let listed = Invocation::program("nm", &["--dynamic", "--defined-only", "--just-symbols"])
            .args(&[&shared])
            .quiet()
            .run()?;
        listed.check("nm")?;
        let functions: Vec<_> = listed.output.lines().map(str::to_owned).collect();
        ensure!(!functions.is_empty(), "{shared} exports nothing");
        Ok(functions)
    }
}

fn binutils(program: &str, args: &[&str], symbols: &[String], file: &str) -> Result<()> {
    let symbols: Vec<_> = symbols.iter().map(String::as_str).collect();
    Invocation::program(program, args).args(&symbols).args(&[file]).quiet().run()?.check(program)
}

/// What the templates ask for, each between two `@`.
struct Facts(Vec<(&'static str, String)>);

impl Facts {
    fn new(sources: &Path, built: &Built) -> Result<Facts> {
        let header = fs::read_to_string(sources.join("include/zmq.h"))?;
        let number = |part: &str| {
            let define = format!("#define ZMQ_VERSION_{part} ");
            let number = header.lines().find_map(|line| line.strip_prefix(&define));
            number.context("zmq.h has no version")
        };
        let version = [number("MAJOR")?, number("MINOR")?, number("PATCH")?].join(".");
        let names: Vec<_> =
            built.libraries.iter().map(|library| library.trim_start_matches("-l")).collect();
        Ok(Facts(vec![
            ("@VERSION@", version),
            ("@FILE_VERSION@", FILE_VERSION.into()),
            ("@SONAME_VERSION@", SONAME_VERSION.into()),
            ("@LIBRARIES@", built.libraries.join(" ")),
            ("@LIBRARIES_CMAKE@", names.join(";")),
            ("@POINTER_BYTES@", size_of::<usize>().to_string()),
        ]))
    }

    fn fill(&self, template: &str) -> Result<String> {
        let text = self
            .0
            .iter()
            .fold(template.to_owned(), |text, (name, value)| text.replace(name, value));
        ensure!(!text.contains('@'), "a template asks for what there is not:\n{text}");
        Ok(text)
    }
}

/// Writes a file in the place of another, which programs that have it open keep.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().context("a file is in a folder")?;
    fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    let new = path.with_extension("new");
    fs::write(&new, bytes).with_context(|| new.display().to_string())?;
    fs::rename(&new, path).with_context(|| path.display().to_string())?;
    println!("{}", path.display());
    Ok(())
}

fn link(path: &Path, to: &str) -> Result<()> {
    if path.symlink_metadata().is_ok() {
        fs::remove_file(path)?;
    }
    std::os::unix::fs::symlink(to, path).with_context(|| path.display().to_string())?;
    println!("{} -> {to}", path.display());
    Ok(())
}
