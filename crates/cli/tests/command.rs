//! The `oxmq` command as its users run it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn oxmq(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_oxmq"));
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn run(args: &[&str]) -> Output {
    oxmq(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_demo_carries_named_files_and_loses_nothing() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/demo/roles.rs");
    let output = run(&["demo", "--seconds", "0.1", file]);
    let table = text(&output.stdout);
    assert!(output.status.success(), "{table}{}", text(&output.stderr));
    let rows: Vec<Vec<&str>> =
        table.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    let lost: Vec<_> = rows.iter().filter(|row| row.len() == 8).map(|row| row[7]).collect();
    assert_eq!(lost, ["0"; 9], "{table}");
    assert!(table.contains("once, whole and in order"), "{table}");
    // Nobody sees a line change in a file.
    let progress = text(&output.stderr);
    assert!(progress.contains(" done\n") && !progress.contains('\r'), "{progress:?}");
}

#[test]
fn the_demo_names_a_file_that_it_cannot_read() {
    let output = run(&["demo", "no/such/file"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("no/such/file"));
}

#[test]
fn the_demo_fails_when_one_of_its_processes_dies() {
    let demo = oxmq(&["demo", "--seconds", "30"]).spawn().unwrap();
    let worker = wait_for_part(&demo, "worker");
    Command::new("kill").args(["-KILL", &worker.to_string()]).status().unwrap();
    let output = demo.wait_with_output().unwrap();
    let reason = text(&output.stderr);
    assert!(!output.status.success(), "{reason}");
    assert!(reason.contains("died (signal: 9"), "{reason}");
}

#[test]
fn no_process_outlives_the_demo() {
    let mut demo = oxmq(&["demo", "--seconds", "30"]).spawn().unwrap();
    let worker = wait_for_part(&demo, "worker");
    demo.kill().unwrap();
    demo.wait().unwrap();
    let gone = || !Path::new(&format!("/proc/{worker}")).exists();
    assert!(eventually(gone), "worker {worker} is still there");
}

#[test]
fn bench_writes_what_it_measured() {
    let json = std::env::temp_dir().join(format!("oxmq-bench-test-{}.json", std::process::id()));
    let file = json.to_str().unwrap();
    let name = "PUSH-PULL tcp 16 B";
    let args =
        ["bench", "--quick", "--runs", "1", "--only", name, "--vs", "libzmq.so.5", "--json", file];
    let output = run(&args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: serde_json::Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    fs::remove_file(&json).unwrap();
    assert_eq!(text(&output.stderr), "", "nobody sees a line change in a file");
    let line = &lines[0];
    assert_eq!(line["name"], name);
    assert_eq!(line["unit"], "msg/s");
    let number = |key: &str| line[key].as_f64().unwrap();
    assert!(number("ours") > 0.0 && number("theirs") > 0.0 && number("bare") > 0.0);
    assert!((number("ratio") - number("ours") / number("theirs")).abs() < 1e-9);
    assert_eq!(line["spread"].as_array().unwrap().len(), 2);
    assert!(line["goal"].as_str().unwrap().contains('3'));
}

#[test]
fn bench_names_a_library_that_it_cannot_load() {
    let output = run(&["bench", "--quick", "--only", "inproc 16 B", "--vs", "no/such/libzmq.so"]);
    assert!(!output.status.success());
    assert!(text(&output.stderr).contains("no/such/libzmq.so"));
}

#[test]
fn bench_watches_idle_sockets_and_connections() {
    let output = run(&["bench", "idle", "--seconds", "1", "--vs", "libzmq.so.5"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 3);
    let output = run(&["bench", "memory", "--connections", "50", "--vs", "libzmq.so.5"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).lines().count(), 3);
}

/// The process id of a part of `demo`, once it runs.
fn wait_for_part(demo: &Child, role: &str) -> u32 {
    let mut found = None;
    let children = format!("/proc/{0}/task/{0}/children", demo.id());
    assert!(eventually(|| {
        let children = fs::read_to_string(&children).unwrap_or_default();
        found = children.split_whitespace().map(|id| id.parse().unwrap()).find(|id: &u32| {
            let command = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            command.split(|byte| *byte == 0).any(|arg| arg == role.as_bytes())
        });
        found.is_some()
    }));
    found.unwrap()
}

/// Looks again and again, because there is no event to wait for: whether it comes true in time.
fn eventually(mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(300);
    while !condition() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// A command that goes on while others run; killed when dropped.
struct Running(Child);

impl Running {
    fn start(args: &[&str]) -> Running {
        Running(oxmq(args).stdin(Stdio::piped()).spawn().unwrap())
    }

    fn say(&mut self, text: &str) {
        self.0.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    /// What it printed, once it has ended by itself.
    fn end(mut self) -> String {
        drop(self.0.stdin.take());
        assert!(eventually(|| self.0.try_wait().unwrap().is_some()), "it does not end");
        assert!(self.0.wait().unwrap().success());
        let mut printed = String::new();
        self.0.stdout.take().unwrap().read_to_string(&mut printed).unwrap();
        printed
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An endpoint of this test's own.
fn endpoint(name: &str) -> String {
    format!("ipc://@oxmq-command-{}-{name}", std::process::id())
}

#[test]
fn lines_go_through_a_pipeline() {
    let endpoint = endpoint("pipeline");
    let pull = Running::start(&["pull", "--bind", &endpoint, "--count", "3"]);
    let mut push = Running::start(&["push", "--connect", &endpoint]);
    push.say("one\n\nthree, the last without an end");
    assert_eq!(push.end(), "");
    assert_eq!(pull.end(), "one\n\nthree, the last without an end\n");
}

#[test]
fn a_subscriber_hears_its_prefix() {
    let endpoint = endpoint("news");
    let sub = Running::start(&[
        "sub",
        "--connect",
        &endpoint,
        "--subscribe",
        "news",
        "--count",
        "1",
        "--delimiter",
        "|",
        "--format",
        "quoted",
    ]);
    let mut publisher =
        Running::start(&["pub", "--bind", &endpoint, "--wait-for-peers", "1", "--delimiter", "|"]);
    publisher.say("weather|rain\nnews|all's \u{1}well\n");
    publisher.end();
    assert_eq!(sub.end(), "\"news\"|\"all\\'s \\x01well\"\n");
}

#[test]
fn requests_are_echoed_or_answered_by_hand() {
    let at = endpoint("echo");
    let rep = Running::start(&["rep", "--bind", &at, "--count", "2", "--echo", "--format", "hex"]);
    let mut req = Running::start(&["req", "--connect", &at]);
    req.say("a\nb\n");
    assert_eq!(req.end(), "a\nb\n");
    assert_eq!(rep.end(), "61\n62\n");

    let at = endpoint("by-hand");
    let mut rep = Running::start(&["rep", "--bind", &at, "--count", "1"]);
    rep.say("the answer\n");
    let mut req = Running::start(&["req", "--connect", &at]);
    req.say("the question\n");
    assert_eq!(req.end(), "the answer\n");
    assert_eq!(rep.end(), "the question\n");
}

#[test]
fn a_router_and_a_dealer_talk_both_ways() {
    let at = endpoint("router");
    let mut router = Running::start(&[
        "router",
        "--bind",
        &at,
        "--count",
        "1",
        "--delimiter",
        " ",
        "--format",
        "json",
    ]);
    let mut dealer = Running::start(&[
        "dealer",
        "--connect",
        &at,
        "--identity",
        "anna",
        "--count",
        "1",
        "--delimiter",
        " ",
    ]);
    dealer.say("are you there\n");
    let mut printed = String::new();
    BufReader::new(router.0.stdout.take().unwrap()).read_line(&mut printed).unwrap();
    assert_eq!(printed, "[\"anna\",\"are\",\"you\",\"there\"]\n");
    drop(router);

    // One that goes on, and so can answer.
    let mut router = Running::start(&["router", "--bind", &at, "--delimiter", " "]);
    while dealer.0.try_wait().unwrap().is_none() {
        // The dealer comes again by itself; before it is there, an answer goes nowhere.
        router.say("anna yes\n");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(dealer.end(), "yes\n");
}

#[test]
fn a_receiver_ends_when_nothing_comes() {
    let pull = run(&["pull", "--bind", &endpoint("silent"), "--recv-timeout", "20"]);
    assert!(pull.status.success());
    assert_eq!(text(&pull.stdout), "");
}

/// What its type has no use for is no option of a socket's command.
#[test]
fn each_socket_shows_its_own_options() {
    const OWN: &str = "--bind --connect --count --delimiter --help";
    for (kind, more) in [
        ("push", "--send-timeout --wait-for-peers"),
        ("pull", "--format --recv-timeout"),
        ("pub", "--wait-for-peers"),
        ("sub", "--format --recv-timeout --subscribe"),
        ("req", "--format --recv-timeout --identity --send-timeout --wait-for-peers"),
        ("rep", "--format --recv-timeout --echo"),
        ("dealer", "--format --recv-timeout --identity --send-timeout --wait-for-peers"),
        ("router", "--format --recv-timeout --identity --wait-for-peers"),
        ("pair", "--format --recv-timeout --send-timeout --wait-for-peers"),
        ("xpub", "--format --recv-timeout --wait-for-peers"),
        ("xsub", "--format --recv-timeout --subscribe --wait-for-peers"),
    ] {
        let help = text(&run(&[kind, "--help"]).stdout);
        let mut shown: Vec<&str> = help
            .lines()
            .map(|line| line.trim_start().trim_start_matches("-h, "))
            .filter(|line| line.starts_with("--"))
            .map(|line| line.split(' ').next().unwrap())
            .collect();
        let mut own: Vec<&str> = OWN.split(' ').chain(more.split(' ')).collect();
        shown.sort_unstable();
        own.sort_unstable();
        assert_eq!(shown, own, "{help}");
        // Its own, too, is what the page begins with.
        assert!(help.starts_with(&format!("{}: ", kind.to_uppercase())), "{help}");
    }
}

#[test]
fn wrong_uses_are_named() {
    for (args, reason) in [
        (&["push"][..], "--bind or --connect"),
        (&["push", "--connect", "tcp://nowhere"], "tcp://nowhere"),
        (&["pull", "--bind", "carrier-pigeon://x"], "carrier-pigeon"),
        (&["push", "--connect", "tcp://127.0.0.1:1", "--subscribe", "x"], "--subscribe"),
        (&["req", "--connect", "tcp://127.0.0.1:1", "--echo"], "--echo"),
        (&["device", "queue", "--front-bind", "tcp://*:*"], "--back-bind"),
        (&["device", "queue", "--back-bind", "tcp://*:*"], "--front-bind"),
        (&["device", "violin"], "forwarder"),
        (&["device", "queue", "--front-bind", "x", "--back-bind", "tcp://*:*"], "x"),
    ] {
        let output = run(args);
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains(reason), "{args:?}: {}", text(&output.stderr));
    }
}

/// A device whose sides are bound to endpoints of this test's own, and what it says of itself.
fn device(kind: &str, sides: &[(&str, &str)], more: &[&str]) -> Running {
    let mut args = vec!["device", kind];
    args.extend(sides.iter().flat_map(|(option, endpoint)| [*option, *endpoint]));
    args.extend(more);
    let mut running = Running::start(&args);
    let mut said = BufReader::new(running.0.stderr.take().unwrap());
    // All of them: who writes to a pipe that nobody reads any more dies.
    for _ in args.iter().filter(|arg| arg.ends_with("-bind") || **arg == "--capture") {
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        assert!(line.contains(" bound to "), "{line}");
    }
    running
}

/// Ends a device by a signal; what it printed.
fn interrupt(running: Running, signal: &str) -> String {
    let id = running.0.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    running.end()
}

#[test]
fn a_queue_passes_requests_and_counts_them() {
    let (front, back, copies) = (endpoint("q-front"), endpoint("q-back"), endpoint("q-copies"));
    let queue = device(
        "queue",
        &[("--front-bind", &front), ("--back-bind", &back)],
        &["--statistics", "0.02", "--capture", &copies],
    );
    let service = Running::start(&["rep", "--connect", &back, "--echo", "--count", "2"]);
    let mut client = Running::start(&["req", "--connect", &front]);
    client.say("a\nbc\n");
    assert_eq!(client.end(), "a\nbc\n");
    assert_eq!(service.end(), "a\nbc\n");
    let printed = interrupt(queue, "-INT");
    let last = printed.lines().last().unwrap();
    assert!(last.contains("front to back: 2 messages in, 2 out"), "{printed}");
    assert!(last.contains("back to front: 2 messages in, 2 out"), "{printed}");
    assert!(last.ends_with("(in all)"), "{printed}");
}

#[test]
fn a_forwarder_joins_publishers_it_connects_to() {
    let (front, back, copies) = (endpoint("f-front"), endpoint("f-back"), endpoint("f-copies"));
    let forwarder = device(
        "forwarder",
        &[("--front-connect", &front), ("--back-bind", &back)],
        &["--capture", &copies],
    );
    let copy = Running::start(&["sub", "--connect", &copies, "--count", "1"]);
    let sub = Running::start(&["sub", "--connect", &back, "--subscribe", "news", "--count", "1"]);
    // Without a subscriber nothing passes, and the copy may come last.
    let _stays = Running::start(&["sub", "--connect", &back, "--subscribe", "news"]);
    // Published until both have heard it: nobody says when a subscription has come through.
    let mut publisher = Running::start(&["pub", "--bind", &front]);
    let mut both = [sub, copy];
    assert!(eventually(|| {
        publisher.say("weather\nnews of the day\n");
        std::thread::sleep(Duration::from_millis(5));
        both.iter_mut().all(|sub| sub.0.try_wait().unwrap().is_some())
    }));
    let [sub, copy] = both;
    assert_eq!(sub.end(), "news of the day\n");
    // First of all the subscription passed.
    assert!(["\u{1}news\n", "news of the day\n"].contains(&&*copy.end()));
    assert_eq!(interrupt(forwarder, "-TERM"), "");
}

#[test]
fn a_streamer_has_several_endpoints_a_side() {
    let [one, other, back] = ["s-one", "s-other", "s-back"].map(endpoint);
    let streamer = device(
        "streamer",
        &[("--front-bind", &one), ("--front-bind", &other), ("--back-bind", &back)],
        &[],
    );
    let pull = Running::start(&["pull", "--connect", &back, "--count", "2"]);
    for at in [&one, &other] {
        let mut push = Running::start(&["push", "--connect", at]);
        push.say("task\n");
        push.end();
    }
    assert_eq!(pull.end(), "task\ntask\n");
    assert_eq!(interrupt(streamer, "-TERM"), "");
}

#[test]
fn every_shell_completes_every_subcommand() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let script = text(&output.stdout);
        for word in ["device", "forwarder", "front-bind", "subscribe"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    // What it does, where the shell is there.
    let script = "source <(\"$0\" completions bash); COMP_WORDS=(oxmq device str); COMP_CWORD=2; \
                  _oxmq oxmq str device; echo \"${COMPREPLY[@]}\"";
    let bash = Command::new("bash").args(["-c", script, env!("CARGO_BIN_EXE_oxmq")]).output();
    assert_eq!(text(&bash.unwrap().stdout), "streamer\n");
}

#[test]
fn the_manual_has_a_page_for_every_subcommand() {
    let page = run(&["manual"]);
    assert!(page.status.success());
    assert!(text(&page.stdout).contains(".TH oxmq 1"), "{}", text(&page.stdout));
    let page = text(&run(&["manual", "device"]).stdout);
    for word in ["oxmq device", "front\\-bind", "SIGTERM", "streamer"] {
        assert!(page.contains(word), "{word}: {page}");
    }
    let folder = std::env::temp_dir().join(format!("oxmq-manual-{}", std::process::id()));
    let output = run(&["manual", "--all", folder.to_str().unwrap()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let mut pages: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .collect();
    pages.sort();
    fs::remove_dir_all(&folder).unwrap();
    assert!(pages.contains(&"oxmq.1".into()) && pages.contains(&"oxmq-push.1".into()), "{pages:?}");
    assert!(!pages.iter().any(|page| page.contains("part")), "{pages:?}");
    let unknown = run(&["manual", "flute"]);
    assert!(!unknown.status.success() && text(&unknown.stderr).contains("flute"));
}

/// Every subcommand and every argument says what it is for.
#[test]
fn help_explains_everything() {
    let help = text(&run(&["--help"]).stdout);
    let commands = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' ') && !line.is_empty())
        .map(|line| {
            let (name, what) = line.split_once(' ').unwrap_or((line, ""));
            assert!(what.trim().len() > 10, "{name} is not explained");
            name
        })
        .filter(|name| *name != "help")
        .collect();
    assert!(names.len() > 15, "{names:?}");
    for name in names {
        let help = text(&run(&[name, "--help"]).stdout);
        let lines: Vec<&str> = help.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            if line.trim_start().starts_with("--") || line.trim_start().starts_with('-') {
                let here = line
                    .trim_start()
                    .split_once("  ")
                    .is_some_and(|(_, what)| !what.trim().is_empty());
                let below = lines.get(at + 1).is_some_and(|next| next.starts_with("          "));
                assert!(here || below, "oxmq {name}: {line}");
            }
        }
    }
}
