//! Children of the test program (itself, started again), and what a process holds.
#![allow(dead_code)] // each program uses a part of it

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// In the environment of a child: what it is to do.
const ROLE: &str = "OXMQ_TEST_ROLE";

/// The role of this process; `None` in the test program itself.
pub fn role() -> Option<Vec<String>> {
    let role = std::env::var(ROLE).ok()?;
    Some(role.split(' ').map(str::to_owned).collect())
}

/// A child with a line of text each way.
pub struct Peer {
    pub child: Child,
    input: Arc<Mutex<ChildStdin>>,
    output: Option<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts this program again: it runs only its (ignored) test `child`, whose thread alone takes
    /// SIGINT.
    pub fn start(role: &str) -> Peer {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["child", "--exact", "--ignored", "--nocapture", "--quiet"]);
        command.env(ROLE, role).stdin(Stdio::piped()).stdout(Stdio::piped());
        // SAFETY: between fork and exec, only calls that are async-signal-safe.
        unsafe {
            command.pre_exec(|| {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                mask_signal(libc::SIG_BLOCK, libc::SIGINT);
                Ok(())
            });
        }
        let mut child = command.spawn().unwrap();
        let input = Arc::new(Mutex::new(child.stdin.take().unwrap()));
        let output = child.stdout.take().map(BufReader::new);
        Peer { child, input, output }
    }

    /// The next line that the child says; `None` at its end.
    pub fn line(&mut self) -> Option<String> {
        next_line(self.output.as_mut()?)
    }

    /// What the child says from now on.
    pub fn take_output(&mut self) -> BufReader<ChildStdout> {
        self.output.take().unwrap()
    }

    /// As [`Peer::line`], for so long at most; an error when nothing came.
    pub fn line_within(&mut self, timeout: Duration) -> Result<Option<String>, ()> {
        use std::os::fd::AsRawFd;
        let output = self.output.as_mut().unwrap();
        if output.buffer().is_empty() {
            let fd = output.get_ref().as_raw_fd();
            let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one entry, alive for the call.
            if unsafe { libc::poll(&mut poll, 1, timeout.as_millis() as i32) } == 0 {
                return Err(());
            }
        }
        Ok(self.line())
    }

    pub fn say(&self, line: &str) {
        tell(&self.input, line);
    }

    /// Where the child hears, for other threads.
    pub fn input(&self) -> Arc<Mutex<ChildStdin>> {
        self.input.clone()
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: the child has not been waited for, so the id is its own.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end, for so long at most.
    pub fn end_within(&mut self, timeout: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return Some(status);
            }
            if Instant::now() >= end {
                return None;
            }
            pause(Duration::from_millis(1));
        }
    }
}

/// Says a line to a child. False: it has ended.
pub fn tell(input: &Mutex<ChildStdin>, line: &str) -> bool {
    writeln!(input.lock().unwrap(), "{line}").is_ok()
}

/// The next line that begins with `#`, without it. The test harness of a child writes others.
pub fn next_line(output: &mut impl BufRead) -> Option<String> {
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        // The harness may have begun the line.
        if let Some((_, said)) = line.split_once('#') {
            return Some(said.trim_end().to_owned());
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A child says something to the test.
pub fn say(line: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "#{line}").and_then(|()| out.flush()).unwrap();
}

/// Blocks or unblocks one signal in the calling thread.
pub fn mask_signal(how: i32, signal: i32) {
    // SAFETY: the set is initialised by `sigemptyset`; all three are async-signal-safe.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, signal);
        libc::pthread_sigmask(how, &set, std::ptr::null_mut());
    }
}

/// Runs `handler` on `signal`; system calls are not restarted.
pub fn handle_signal(signal: i32, handler: extern "C" fn(i32)) {
    // SAFETY: an all-zero action is valid, and the handler's type is what `sigaction` wants.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
    }
}

/// A delay that injects a fault; never to wait for something that can be waited for.
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// A small generator of pseudo-random numbers (xorshift64*).
pub struct Random(u64);

impl Random {
    /// Seeded by the environment's OXMQ_TEST_SEED, or by the clock; says which.
    pub fn new(what: &str) -> Random {
        let given = std::env::var("OXMQ_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let seed = given.unwrap_or_else(|| clock.map_or(1, |time| time.as_nanos() as u64));
        println!("{what}: OXMQ_TEST_SEED={seed}");
        Random::seeded(seed)
    }

    pub fn seeded(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) % bound
    }

    pub fn micros(&mut self, max: u64) -> Duration {
        Duration::from_micros(self.below(max))
    }
}

/// Open descriptors, without the one that looks, and without pipes to the process that names places
/// in the program for a sanitizer.
pub fn descriptors() -> usize {
    let all = fs::read_dir("/proc/self/fd").unwrap().count() - 1;
    let children = if std::env::var_os("OXMQ_SANITIZER").is_some() { symbolizers() } else { 0 };
    all - 2 * children
}

fn symbolizers() -> usize {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let children =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    let names = children.flat_map(|children| {
        let names = children
            .split_whitespace()
            .map(|id| fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default());
        names.collect::<Vec<_>>()
    });
    names.filter(|name| name.starts_with("llvm-sym") || name.starts_with("addr2line")).count()
}

/// Threads of this process.
pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Memory in use, in KiB.
pub fn resident_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// What may be in use beyond what was: `kib`, or anything under a sanitizer, which keeps what is
/// freed.
pub fn memory_slack_kib(kib: usize) -> usize {
    if std::env::var_os("OXMQ_SANITIZER").is_some() { usize::MAX / 2 } else { kib }
}

/// Processor time of this process so far.
pub fn cpu_time() -> Duration {
    // SAFETY: `usage` is what the call fills in.
    let usage = unsafe {
        let mut usage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let time = |time: libc::timeval| {
        Duration::new(time.tv_sec as u64, 0) + Duration::from_micros(time.tv_usec as u64)
    };
    time(usage.ru_utime) + time(usage.ru_stime)
}

/// Waits until `value` says no more than `bound`, which ends of threads and connections that others
/// bring about make it say; the last value if it never does.
pub fn settles(bound: usize, value: impl Fn() -> usize) -> Result<(), usize> {
    let end = Instant::now() + Duration::from_secs(300);
    loop {
        let now = value();
        if now <= bound {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(now);
        }
        pause(Duration::from_millis(2));
    }
}
