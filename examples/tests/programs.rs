//! Every program runs as processes, as the Guide runs it, and says what it must; a signal ends each.
//!
//! With OXMQ_VALGRIND=1 every process runs under valgrind, which makes it fail if it loses memory or
//! does anything else that valgrind calls an error; they carry less then, and nobody looks at the time.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Whether the processes run under valgrind.
fn valgrind() -> bool {
    std::env::var_os("OXMQ_VALGRIND").is_some()
}
/// Longer than anything takes on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(300);
/// Any free port.
const FREE: &str = "tcp://127.0.0.1:0";

/// Starts a program of this package with arguments.
macro_rules! start {
    ($name:literal $(, $argument:expr)* $(,)?) => {{
        let arguments: &[&str] = &[$(&*$argument),*];
        Program::start(env!(concat!("CARGO_BIN_EXE_", $name)), arguments)
    }};
}

#[test]
fn version() {
    let _alone = alone();
    let said = start!("version").end();
    assert_eq!(
        said,
        [format!("This is oxmq {}, which speaks ZMTP 3.1", env!("CARGO_PKG_VERSION"))]
    );
}

#[test]
fn hello_world() {
    let _alone = alone();
    let server = start!("hwserver", FREE);
    let endpoint = server.says("Serving at ");
    let client = start!("hwclient", endpoint);
    assert_eq!(client.end(), ten_greetings(&endpoint));
    assert_eq!(server.interrupt(libc::SIGINT), ["Received Hello"; 10]);
}

#[test]
fn hello_world_by_threads() {
    let _alone = alone();
    let server = start!("mtserver", FREE, "5");
    let endpoint = server.says("Serving at ");
    let clients: Vec<_> = (0..4).map(|_| start!("hwclient", endpoint)).collect();
    for client in clients {
        assert_eq!(client.end(), ten_greetings(&endpoint));
    }
    let said = server.interrupt(libc::SIGINT);
    assert_eq!(said.len(), 40);
    // Dealt out in turn.
    for worker in 0..5 {
        let line = format!("Worker {worker} received Hello");
        assert_eq!(said.iter().filter(|said| **said == line).count(), 8, "{said:?}");
    }
}

fn ten_greetings(endpoint: &str) -> Vec<String> {
    let greetings = (0..10)
        .flat_map(|number| [format!("Sending Hello {number}"), format!("Received World {number}")]);
    [format!("Asking at {endpoint}")].into_iter().chain(greetings).collect()
}

#[test]
fn weather() {
    let _alone = alone();
    let server = start!("wuserver", FREE, nobody("weather"));
    let endpoints = [server.says("Publishing at "), server.says("Publishing at ")];
    let bridge = start!("wuproxy", endpoints[0], FREE);
    let bridged = bridge.says("Publishing at ");
    // Under valgrind the weather of a single place is long in coming.
    let updates = if valgrind() { "1" } else { "4" };
    for (endpoint, zip_code) in endpoints.iter().chain([&bridged]).zip(["10001", "00042", "99999"])
    {
        let client = start!("wuclient", endpoint, zip_code, updates);
        client.says(&format!("Listening to {endpoint}"));
        let average = client
            .says(&format!("The average temperature at {zip_code} in {updates} updates was "));
        let average: i64 = average.strip_suffix('F').unwrap().parse().unwrap();
        assert!((-80..135).contains(&average), "{average}");
        assert_eq!(client.end(), [""; 0]);
    }
    bridge.interrupt(libc::SIGINT);
    server.interrupt(libc::SIGINT);
}

#[test]
fn more_workers_need_less_time() {
    let _alone = alone();
    for (workers, share_max) in [(1, f64::INFINITY), (4, 0.5)] {
        let sink = start!("tasksink", TASKS.to_string(), FREE);
        let results = sink.says("Results at ");
        let ventilator = start!("taskvent", workers.to_string(), TASKS.to_string(), FREE, results);
        let tasks = ventilator.says("Tasks at ");
        let workers: Vec<_> = (0..workers).map(|_| start!("taskwork", tasks, results)).collect();
        let cost_ms = cost_ms(ventilator);
        let elapsed_ms = elapsed_ms(&sink);
        assert_eq!(sink.end(), [""; 0]);
        let share = f64::from(elapsed_ms) / f64::from(cost_ms);
        println!("{} workers: {elapsed_ms} ms for {cost_ms} ms of work", workers.len());
        assert!(
            valgrind() || share < share_max,
            "{} workers took {share} of the cost",
            workers.len()
        );
        assert!(workers.len() > 1 || elapsed_ms >= cost_ms, "one worker cannot be in two places");
        let done = workers.into_iter().map(|worker| {
            worker.says("Working for ");
            worker.interrupt(libc::SIGINT)
        });
        assert_shared_out(done.collect(), cost_ms);
    }
}

#[test]
fn a_kill_signal_ends_the_workers() {
    let _alone = alone();
    let sink = start!("tasksink2", "3", TASKS.to_string(), FREE, FREE);
    let (results, control) = (sink.says("Results at "), sink.says("Control at "));
    let ventilator = start!("taskvent", "3", TASKS.to_string(), FREE, results);
    let tasks = ventilator.says("Tasks at ");
    let workers: Vec<_> = (0..3).map(|_| start!("taskwork2", tasks, results, control)).collect();
    let cost_ms = cost_ms(ventilator);
    elapsed_ms(&sink);
    assert_eq!(sink.end(), [""; 0]);
    let done = workers.into_iter().map(|worker| {
        worker.says("Working for ");
        let mut said = worker.end();
        assert_eq!(said.pop().as_deref(), Some("Told to stop"));
        said
    });
    assert_shared_out(done.collect(), cost_ms);
}

/// Divisible by the numbers of workers.
const TASKS: usize = 36;

fn cost_ms(ventilator: Program) -> u32 {
    let cost = ventilator.says("Expected cost: ");
    assert_eq!(ventilator.end(), [""; 0]);
    cost.strip_suffix(" ms").unwrap().parse().unwrap()
}

fn elapsed_ms(sink: &Program) -> u32 {
    let dots: String = (0..TASKS).map(|number| if number % 10 == 0 { ':' } else { '.' }).collect();
    assert_eq!(sink.line(), dots);
    let elapsed = sink.says("Total elapsed time: ");
    elapsed.strip_suffix(" ms").unwrap().parse().unwrap()
}

/// Each worker, who says `5.99.17.`, did as many tasks as any other; together they did the batch.
fn assert_shared_out(done: Vec<Vec<String>>, cost_ms: u32) {
    let mut sum_ms = 0;
    for said in &done {
        let [tasks] = &said[..] else { panic!("{said:?}") };
        let tasks: Vec<u32> =
            tasks.split_terminator('.').map(|task_ms| task_ms.parse().unwrap()).collect();
        assert_eq!(tasks.len(), TASKS / done.len());
        sum_ms += tasks.iter().sum::<u32>();
    }
    assert_eq!(sum_ms, cost_ms);
}

#[test]
fn several_sockets_read_in_turn() {
    let _alone = alone();
    reads_tasks_and_weather(|tasks, weather| start!("msreader", tasks, weather));
}

#[test]
fn several_sockets_polled() {
    let _alone = alone();
    reads_tasks_and_weather(|tasks, weather| start!("mspoller", tasks, weather));
}

fn reads_tasks_and_weather(reader: impl Fn(&str, &str) -> Program) {
    let server = start!("wuserver", FREE, nobody("read"));
    let weather = server.says("Publishing at ");
    let sink = start!("tasksink", "1", FREE);
    let ventilator = start!("taskvent", "1", TASKS.to_string(), FREE, sink.says("Results at "));
    let reader = reader(&ventilator.says("Tasks at "), &weather);
    reader.line();
    let cost_ms = cost_ms(ventilator);
    let (mut tasks_ms, mut updates) = (Vec::<u32>::new(), 0);
    let end = Instant::now() + PATIENCE;
    let updates_min = if valgrind() { 1 } else { 3 };
    while tasks_ms.len() < TASKS || updates < updates_min {
        assert!(Instant::now() < end, "{} tasks and {updates} updates", tasks_ms.len());
        let line = reader.line();
        match line.split_once(' ').unwrap() {
            ("Task", task_ms) => tasks_ms.push(task_ms.parse().unwrap()),
            ("Weather", update) => {
                assert!(update.starts_with("10001 "), "{update}");
                updates += 1;
            }
            _ => panic!("{line}"),
        }
    }
    assert_eq!(tasks_ms.iter().sum::<u32>(), cost_ms);
    for program in [reader, sink, server] {
        program.interrupt(libc::SIGINT);
    }
}

#[test]
fn an_interrupt_is_heard_and_said() {
    let _alone = alone();
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let server = start!("interrupt", FREE);
        let endpoint = server.says("Serving at ");
        assert_eq!(start!("hwclient", endpoint).end(), ten_greetings(&endpoint));
        let said = server.interrupt(signal);
        assert_eq!(said, ["Interrupted, ending", "The context is terminated"]);
    }
}

#[test]
fn requests_through_a_broker() {
    let _alone = alone();
    answers_through(start!("rrbroker", FREE, FREE));
}

#[test]
fn requests_through_a_proxy() {
    let _alone = alone();
    answers_through(start!("msgqueue", FREE, FREE));
}

fn answers_through(broker: Program) {
    let (frontend, backend) = (broker.says("Clients at "), broker.says("Services at "));
    let services = [start!("rrserver", backend), start!("rrserver", backend)];
    let clients = [0; 3].map(|_| start!("rrclient", frontend));
    for client in clients {
        client.says("Asking at ");
        let replies = (0..10).map(|number| format!("Received reply {number} [World]"));
        assert_eq!(client.end(), replies.collect::<Vec<_>>());
    }
    let mut requests = 0;
    for service in services {
        service.says("Answering for ");
        let said = service.interrupt(libc::SIGINT);
        requests += said.iter().filter(|line| *line == "Received request [Hello]").count();
    }
    assert_eq!(requests, 30);
    assert_eq!(broker.interrupt(libc::SIGINT), [""; 0]);
}

#[test]
fn threads_in_relay() {
    let _alone = alone();
    let said = start!("mtrelay").end();
    let steps = [
        "Step 1: ready, tells step 2",
        "Step 2: ready, tells step 3",
        "Step 3: all three are ready",
    ];
    assert_eq!(said, steps);
}

#[test]
fn ten_subscribers_receive_every_update() {
    let _alone = alone();
    let start = Instant::now();
    let updates = if valgrind() { "1000" } else { "1000000" };
    let publisher = start!("syncpub", "10", updates, FREE, FREE);
    let (endpoint, sync) = (publisher.says("Publishing at "), publisher.says("Places at "));
    let subscribers = [0; 10].map(|_| start!("syncsub", endpoint, sync));
    for subscriber in subscribers {
        subscriber.says("Asking for a place at ");
        assert_eq!(subscriber.end(), [format!("Received {updates} updates")]);
    }
    assert_eq!(publisher.end(), [format!("Publishing {updates} updates")]);
    println!("{updates} for each of ten: {:?}", start.elapsed());
}

#[test]
fn numbered_updates_come_in_order_and_completely() {
    let _alone = alone();
    let updates = if valgrind() { "1000" } else { "200000" };
    let publisher = start!("syncpub", "10", updates, FREE, FREE, "--numbered");
    let (endpoint, sync) = (publisher.says("Publishing at "), publisher.says("Places at "));
    let subscribers = [0; 10].map(|_| start!("syncsub", endpoint, sync, "--numbered"));
    for subscriber in subscribers {
        subscriber.says("Asking for a place at ");
        assert_eq!(
            subscriber.end(),
            [format!("Received {updates} updates"), "All in order".into()]
        );
    }
    assert_eq!(publisher.end(), [format!("Publishing {updates} updates")]);
}

#[test]
fn envelopes() {
    let _alone = alone();
    let publisher = start!("psenvpub", FREE);
    let endpoint = publisher.says("Publishing at ");
    let bridge = start!("wuproxy", endpoint, FREE);
    let bridged = bridge.says("Publishing at ");
    let subscribers = [&endpoint, &endpoint, &bridged].map(|at| start!("psenvsub", at));
    for subscriber in subscribers {
        subscriber.says("Listening to ");
        for _ in 0..3 {
            assert_eq!(subscriber.line(), "[B] This is what was asked for");
        }
        let rest = subscriber.interrupt(libc::SIGINT);
        assert!(rest.iter().all(|line| line == "[B] This is what was asked for"), "{rest:?}");
    }
    assert_eq!(bridge.interrupt(libc::SIGINT), [""; 0]);
    assert_eq!(publisher.interrupt(libc::SIGINT), [""; 0]);
}

/// Whatever a program waits for that never comes, either signal ends it (`version` and `mtrelay`
/// wait for nothing).
#[test]
fn a_signal_ends_every_program_that_waits() {
    let _alone = alone();
    let away = &nobody("away");
    let signals = [libc::SIGINT, libc::SIGTERM];
    for &signal in if valgrind() { &signals[..1] } else { &signals[..] } {
        let waiting = [
            start!("hwserver", FREE),
            start!("hwclient", away),
            start!("wuserver", FREE, nobody("waiting")),
            start!("wuclient", away),
            start!("taskvent", "1", "1", FREE, away),
            start!("taskwork", away, away),
            start!("tasksink", "1", FREE),
            start!("msreader", away, away),
            start!("mspoller", away, away),
            start!("taskwork2", away, away, away),
            start!("tasksink2", "1", "1", FREE, FREE),
            start!("interrupt", FREE),
            start!("wuproxy", away, FREE),
            start!("rrclient", away),
            start!("rrserver", away),
            start!("rrbroker", FREE, FREE),
            start!("msgqueue", FREE, FREE),
            start!("mtserver", FREE),
            start!("syncpub", "1", "1", FREE, FREE),
            start!("syncsub", away, away),
            start!("psenvpub", FREE),
            start!("psenvsub", away),
        ];
        for program in waiting {
            // Its first line; the handlers are in place before.
            program.line();
            program.interrupt(signal);
        }
    }
}

/// One test at a time: some fill the machine, all look at the time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An ipc endpoint of this process alone, at which nobody is yet.
fn nobody(name: &str) -> String {
    let file = format!("oxmq-examples-{}-{name}", std::process::id());
    format!("ipc://{}", std::env::temp_dir().join(file).display())
}

struct Program {
    name: String,
    child: Child,
    lines: Receiver<String>,
}

impl Program {
    fn start(path: &str, arguments: &[&str]) -> Program {
        let name = Path::new(path).file_name().unwrap().to_string_lossy().into_owned();
        let mut command = Command::new(if valgrind() { "valgrind" } else { path });
        if valgrind() {
            // Fair, or a thread that never waits keeps the others from running.
            command.args(["-q", "--fair-sched=yes", "--leak-check=full", "--error-exitcode=9"]);
            let known = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/valgrind.supp");
            command.arg(format!("--suppressions={known}"));
            let kinds = "definite,indirect,possible";
            command.arg(format!("--show-leak-kinds={kinds}"));
            command.arg(format!("--errors-for-leak-kinds={kinds}")).arg(path);
        }
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        // SAFETY: between fork and exec, only a call that is async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (say, lines) = channel();
        thread::spawn(move || {
            for line in output.lines() {
                let _ = say.send(line.unwrap());
            }
        });
        Program { name, child, lines }
    }

    /// The next line that it says.
    fn line(&self) -> String {
        let line = self.lines.recv_timeout(PATIENCE);
        line.unwrap_or_else(|error| panic!("{} says nothing: {error}", self.name))
    }

    /// The next line, which begins with `what`, without it.
    fn says(&self, what: &str) -> String {
        let line = self.line();
        let Some(rest) = line.strip_prefix(what) else {
            panic!("{} is to say {what:?}, and says {line:?}", self.name);
        };
        rest.into()
    }

    /// Waits for its end, which is a success; what it said until then.
    fn end(self) -> Vec<String> {
        self.end_within(PATIENCE)
    }

    /// Ends it by a signal, successfully; what it said until then.
    fn interrupt(self, signal: i32) -> Vec<String> {
        // SAFETY: the child has not been waited for, so the id is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
        self.end_within(PATIENCE)
    }

    fn end_within(mut self, time: Duration) -> Vec<String> {
        let end = Instant::now() + time;
        let mut said = Vec::new();
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => said.push(line),
                // Its output is closed: it ends.
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} does not end within {time:?}; it said {said:?}", self.name)
                }
            }
        }
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{}: {status}; it said {said:?}", self.name);
        said
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
