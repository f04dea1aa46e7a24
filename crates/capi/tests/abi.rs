//! Our header and library beside Debian's `libzmq3-dev`: programs made for one work with the other.
//!
//! Every difference stands in a table here, with its reason; one that is not there fails, and so
//! does one that is there and is none any more.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use support::{folder, output, prefix};

/// The version that Debian has, and the one that our header is of.
const NEWER: &str = "came after 4.3.4";

/// Macros that differ: the name, what Debian's header has, what ours has.
const MACROS: &[(&str, Option<&str>, Option<&str>, &str)] = &[
    ("ZMQ_VERSION_PATCH", Some("4"), Some("6"), "ours is the interface of 4.3.6"),
    ("ZMQ_VERSION", Some("40304"), Some("40306"), "as above"),
    (
        "ZMQ_RECONNECT_STOP_AFTER_DISCONNECT",
        Some("3"),
        Some("4"),
        "a draft; 4.3.4 has the sum of the other two, which 4.3.5 mended",
    ),
    ("ZMQ_BUSY_POLL", None, Some("113"), NEWER),
    ("ZMQ_HICCUP_MSG", None, Some("114"), NEWER),
    ("ZMQ_XSUB_VERBOSE_UNSUBSCRIBE", None, Some("115"), NEWER),
    ("ZMQ_TOPICS_COUNT", None, Some("116"), NEWER),
    ("ZMQ_NORM_MODE", None, Some("117"), NEWER),
    ("ZMQ_NORM_UNICAST_NACK", None, Some("118"), NEWER),
    ("ZMQ_NORM_BUFFER_SIZE", None, Some("119"), NEWER),
    ("ZMQ_NORM_SEGMENT_SIZE", None, Some("120"), NEWER),
    ("ZMQ_NORM_BLOCK_SIZE", None, Some("121"), NEWER),
    ("ZMQ_NORM_NUM_PARITY", None, Some("122"), NEWER),
    ("ZMQ_NORM_NUM_AUTOPARITY", None, Some("123"), NEWER),
    ("ZMQ_NORM_PUSH", None, Some("124"), NEWER),
    ("ZMQ_NORM_FIXED", None, Some("0"), NEWER),
    ("ZMQ_NORM_CC", None, Some("1"), NEWER),
    ("ZMQ_NORM_CCL", None, Some("2"), NEWER),
    ("ZMQ_NORM_CCE", None, Some("3"), NEWER),
    ("ZMQ_NORM_CCE_ECNONLY", None, Some("4"), NEWER),
];

/// Functions that one of the headers has, with drafts, or that differ: Debian's, ours.
const FUNCTIONS: &[(&str, Option<&str>, Option<&str>, &str)] = &[
    (
        "zmq_disconnect_peer",
        None,
        Some("extern int zmq_disconnect_peer (void *, uint32_t);"),
        NEWER,
    ),
    (
        "zmq_ppoll",
        None,
        Some("extern int zmq_ppoll (zmq_pollitem_t *, int, long int, const sigset_t *);"),
        NEWER,
    ),
];

/// A header and the folder that it is in.
struct Header<'a> {
    include: &'a Path,
    drafts: bool,
}

impl Header<'_> {
    fn flags(&self) -> Vec<String> {
        let mut flags = vec![format!("-I{}", self.include.display())];
        if self.drafts {
            flags.push("-DZMQ_BUILD_DRAFT_API".to_owned());
        }
        flags
    }

    fn gcc(&self, args: &[&str]) -> String {
        let args = args.iter().map(|&arg| arg.to_owned());
        output("gcc", self.flags().into_iter().chain(args))
    }

    /// The macros that the header adds to those of the system, with the numbers and texts they
    /// stand for.
    fn macros(&self) -> BTreeMap<String, String> {
        let folder = folder(&format!("macros-{}-{}", self.name(), self.drafts));
        let system = "#include <errno.h>\n#include <signal.h>\n#include <stdint.h>\n\
                      #include <stdio.h>\n#include <stddef.h>\n";
        let (without, with) = (folder.join("without.c"), folder.join("with.c"));
        std::fs::write(&without, system).unwrap();
        std::fs::write(&with, format!("{system}#include <zmq.h>\n")).unwrap();
        let all = |file: &Path| -> BTreeMap<String, String> {
            let text = self.gcc(&["-dM", "-E", &file.to_string_lossy()]);
            let defines = text.lines().filter_map(|line| line.strip_prefix("#define "));
            defines
                .map(|define| {
                    let (name, body) = define.split_once(' ').unwrap_or((define, ""));
                    (name.to_owned(), body.to_owned())
                })
                .collect()
        };
        let known = all(&without);
        let mut added = all(&with);
        added.retain(|name, _| !known.contains_key(name) && !name.starts_with("__"));
        let values = self.values(&folder, &added);
        let value = |name: &String| values.get(name).cloned().unwrap_or_default();
        added.into_keys().map(|name| (name.clone(), value(&name))).collect()
    }

    /// Compiles and runs a program that prints what the macros are.
    fn values(&self, folder: &Path, macros: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let mut body = String::new();
        for name in macros.iter().filter(|(_, body)| !body.is_empty()).map(|(name, _)| name) {
            let value = match name.split_once('(') {
                Some((function, _)) => format!("{function}(4, 3, 2)"),
                None => name.clone(),
            };
            writeln!(body, "  PRINT(\"{name}\", {value});").unwrap();
        }
        let program = format!(
            "#include <zmq.h>\n#define PRINT(name, value) \
             printf(_Generic((value), char *: \"%s %s\\n\", long: \"%s %ld\\n\", \
             default: \"%s %d\\n\"), name, value)\nint main(void) {{\n{body}  return 0;\n}}\n"
        );
        self.printed(folder, &program)
    }

    /// Sizes, alignments and offsets of what programs have in their own memory.
    fn layouts(&self) -> BTreeMap<String, String> {
        let mut types = vec![
            ("zmq_msg_t", vec!["_"]),
            ("zmq_pollitem_t", vec!["socket", "fd", "events", "revents"]),
            ("zmq_fd_t", vec![]),
        ];
        if self.drafts {
            types.push(("zmq_poller_event_t", vec!["socket", "fd", "user_data", "events"]));
        }
        let mut body = String::new();
        let mut print = |name: &str, value: &str| {
            writeln!(body, "  printf(\"%s %d\\n\", \"{name}\", (int)({value}));").unwrap();
        };
        for (name, members) in types {
            print(name, &format!("sizeof({name}) * 100 + _Alignof({name})"));
            for member in members {
                let size = format!("sizeof((({name} *)0)->{member})");
                let value = format!("offsetof({name}, {member}) * 100 + {size}");
                print(&format!("{name}.{member}"), &value);
            }
        }
        let folder = folder(&format!("layouts-{}-{}", self.name(), self.drafts));
        self.printed(&folder, &format!("#include <zmq.h>\nint main(void) {{\n{body}}}\n"))
    }

    /// Lines of a name and a value that a program prints.
    fn printed(&self, folder: &Path, program: &str) -> BTreeMap<String, String> {
        let (source, binary) = (folder.join("print.c"), folder.join("print"));
        std::fs::write(&source, program).unwrap();
        self.gcc(&["-w", "-o", &binary.to_string_lossy(), &source.to_string_lossy()]);
        let lines = output(&binary.to_string_lossy(), [""; 0]);
        let pairs = lines.lines().map(|line| line.split_once(' ').unwrap());
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// The functions that it declares, as the compiler understands them.
    fn functions(&self) -> BTreeMap<String, String> {
        let folder = folder(&format!("functions-{}-{}", self.name(), self.drafts));
        let (source, list) = (folder.join("include.c"), folder.join("functions"));
        std::fs::write(&source, "#include <zmq.h>\n").unwrap();
        let (source, object) = (source.to_string_lossy(), folder.join("include.o"));
        let args = ["-aux-info", &list.to_string_lossy(), "-c", &source, "-o"];
        self.gcc(&[&args[..], &[&object.to_string_lossy()]].concat());
        let list = std::fs::read_to_string(list).unwrap();
        let declared = list.lines().filter_map(|line| line.split_once("*/ "));
        declared
            .filter_map(|(_, prototype)| {
                let at = prototype.find("zmq_").filter(|&at| !prototype[..at].contains('('))?;
                let name = prototype[at..].split(' ').next()?;
                name.chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
                    .then(|| (name.to_owned(), prototype.to_owned()))
            })
            .collect()
    }

    fn name(&self) -> &'static str {
        if self.include.starts_with("/usr") { "debian" } else { "ours" }
    }
}

fn debian(drafts: bool) -> Header<'static> {
    Header { include: Path::new("/usr/include"), drafts }
}

fn ours(include: &Path, drafts: bool) -> Header<'_> {
    Header { include, drafts }
}

/// What differs between two tables: the name, Debian's value, ours.
fn differences<'a>(
    theirs: &'a BTreeMap<String, String>,
    ours: &'a BTreeMap<String, String>,
) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
    let names: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let of =
        |table: &'a BTreeMap<String, String>, name: &String| table.get(name).map(String::as_str);
    names
        .into_iter()
        .map(|name| (name.as_str(), of(theirs, name), of(ours, name)))
        .filter(|(_, theirs, ours)| theirs != ours)
        .collect()
}

/// Compares what was found with a table of expected differences.
fn expect<'a>(
    found: &[(&'a str, Option<&'a str>, Option<&'a str>)],
    listed: &[(&'a str, Option<&'a str>, Option<&'a str>, &str)],
) {
    let found: BTreeSet<_> = found.iter().copied().collect();
    let listed: BTreeSet<_> =
        listed.iter().map(|&(name, theirs, ours, _)| (name, theirs, ours)).collect();
    let unlisted: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&found).collect();
    assert!(unlisted.is_empty(), "not in the table (name, Debian's, ours): {unlisted:#?}");
    assert!(gone.is_empty(), "in the table, and no difference: {gone:#?}");
}

/// What a library exports.
fn exports(library: &Path) -> BTreeSet<String> {
    let library = library.to_string_lossy();
    let list = output("nm", ["--dynamic", "--defined-only", "--just-symbols", &*library]);
    list.lines().map(str::to_owned).collect()
}

#[test]
fn macros_have_the_same_values() {
    let include = prefix().join("include");
    let with_drafts = (debian(true).macros(), ours(&include, true).macros());
    assert!(with_drafts.0.len() > 200, "{:?}", with_drafts.0);
    expect(&differences(&with_drafts.0, &with_drafts.1), MACROS);
    // Without drafts all of them are gone, and nothing else.
    let without = (debian(false).macros(), ours(&include, false).macros());
    let stable: Vec<_> =
        MACROS.iter().copied().filter(|(name, ..)| name.starts_with("ZMQ_VERSION")).collect();
    expect(&differences(&without.0, &without.1), &stable);
}

#[test]
fn structs_have_the_same_layout() {
    let include = prefix().join("include");
    for drafts in [false, true] {
        let (theirs, ours) = (debian(drafts).layouts(), ours(&include, drafts).layouts());
        assert!(theirs.len() > 6);
        expect(&differences(&theirs, &ours), &[]);
    }
}

#[test]
fn functions_have_the_same_prototypes() {
    let include = prefix().join("include");
    let (theirs, with_drafts) = (debian(true).functions(), ours(&include, true).functions());
    assert!(theirs.len() > 80, "{theirs:#?}");
    expect(&differences(&theirs, &with_drafts), FUNCTIONS);
    expect(&differences(&debian(false).functions(), &ours(&include, false).functions()), &[]);
}

#[test]
fn the_library_exports_what_the_header_declares_and_nothing_else() {
    let include = prefix().join("include");
    let exported = exports(&prefix().join("lib/libzmq.so"));
    let declared: BTreeSet<_> = ours(&include, true).functions().into_keys().collect();
    let missing: Vec<_> = declared.difference(&exported).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let more: Vec<_> = exported.difference(&declared).collect();
    assert!(more.is_empty(), "{more:?}");
    // The static one has no other name that a program's own could clash with.
    let archive = prefix().join("lib/libzmq.a");
    let args = ["--extern-only", "--defined-only", "--just-symbols", &*archive.to_string_lossy()];
    let list = output("nm", args);
    let visible =
        list.lines().filter(|line| !line.is_empty() && !line.ends_with(':')).map(str::to_owned);
    assert_eq!(visible.collect::<BTreeSet<_>>(), exported);
}

#[test]
fn the_library_exports_what_debians_does() {
    let theirs = exports(Path::new(output("gcc", ["-print-file-name=libzmq.so"]).trim()));
    let exported = exports(&prefix().join("lib/libzmq.so"));
    assert!(theirs.len() > 60);
    let missing: Vec<_> = theirs.difference(&exported).collect();
    assert!(missing.is_empty(), "{missing:?}");
    // What is more are drafts: Debian's library is built without.
    let stable: BTreeSet<_> = debian(false).functions().into_keys().collect();
    let more: Vec<_> = exported.difference(&theirs).filter(|name| stable.contains(*name)).collect();
    assert!(more.is_empty(), "{more:?}");
}

#[test]
fn programs_linked_to_debians_find_ours() {
    let library = prefix().join("lib/libzmq.so");
    let dynamic = output("readelf", ["--dynamic".as_ref(), library.as_os_str()]);
    assert!(dynamic.contains("soname: [libzmq.so.5]"), "{dynamic}");
    for name in ["libzmq.so", "libzmq.so.5"] {
        let link = prefix().join("lib").join(name);
        assert!(link.is_symlink() && link.exists(), "{name}");
    }
}

#[test]
fn the_headers_compile_without_a_warning() {
    let include = format!("-I{}", prefix().join("include").display());
    let folder = folder("headers");
    let c = ["-std=c99", "-std=c11", "-std=c17", "-std=gnu17"];
    let cpp = ["-std=c++98", "-std=c++11", "-std=c++17", "-std=c++20"];
    for (compiler, file, standards) in [("gcc", "headers.c", c), ("g++", "headers.cpp", cpp)] {
        let source = folder.join(file);
        std::fs::write(&source, "#include <zmq.h>\n#include <zmq_utils.h>\n").unwrap();
        for standard in standards {
            for drafts in ["-UZMQ_BUILD_DRAFT_API", "-DZMQ_BUILD_DRAFT_API"] {
                let strict = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"];
                // What names POSIX has is for the program to say where the standard is C's.
                let posix = "-D_POSIX_C_SOURCE=200809L";
                let args = [standard, drafts, posix, &include, &*source.to_string_lossy()];
                output(compiler, strict.iter().chain(&args));
            }
        }
    }
}
