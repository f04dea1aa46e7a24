//! What connections cost that do nothing: CPU time, context switches, memory.

use super::measure::part;
use super::work::Role;
use crate::parts::{PartId, Parts};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit, rlim_t, setrlimit};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// How long processes get to come to rest before anything is measured.
const SETTLE: Duration = Duration::from_millis(500);

/// How long establishing all connections may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(120);

/// Descriptors of a process beside those of its connections.
const OTHER_DESCRIPTORS: u64 = 200;

const ANY_PORT: &str = "tcp://127.0.0.1:0";

/// What all threads of a process have used so far.
struct Activity {
    cpu_ns: u64,
    switches: u64,
}

impl Activity {
    fn of(process: u32) -> Result<Self> {
        let mut all = Activity { cpu_ns: 0, switches: 0 };
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let one = Activity::of_thread(&task?.path())?;
            all.cpu_ns += one.cpu_ns;
            all.switches += one.switches;
        }
        Ok(all)
    }

    fn of_thread(task: &Path) -> Result<Self> {
        let times = fs::read_to_string(task.join("schedstat"))?;
        let on_cpu = times.split_whitespace().next().context("an empty schedstat")?;
        let status = fs::read_to_string(task.join("status"))?;
        let switches = field(&status, "voluntary_ctxt_switches:")?
            + field(&status, "nonvoluntary_ctxt_switches:")?;
        Ok(Activity { cpu_ns: on_cpu.parse()?, switches })
    }
}

/// Watches ten connected idle sockets in one process for `seconds`, once for each backend.
pub fn idle(backends: &[String], seconds: u64) -> Result<()> {
    println!(
        "{:<40} {:>12} {:>17}",
        "ten connected idle sockets over tcp", "CPU time, µs", "context switches"
    );
    for backend in backends {
        let mut parts = Parts::new(CONNECT_WITHIN);
        let id = parts.start(backend, &part(Role::Idle, backend, ANY_PORT))?;
        parts.ready(&[id])?;
        thread::sleep(SETTLE);
        let process = parts.process_id(id);
        let before = Activity::of(process)?;
        thread::sleep(Duration::from_secs(seconds));
        let after = Activity::of(process)?;
        parts.finish()?;
        println!(
            "{:<40} {:>12.1} {:>17}",
            format!("{backend}, {seconds} s"),
            (after.cpu_ns - before.cpu_ns) as f64 / 1e3,
            after.switches - before.switches
        );
    }
    Ok(())
}

/// Makes `connections` between two processes and says what one costs each of them, once for each
/// backend.
pub fn memory(backends: &[String], connections: u64) -> Result<()> {
    raise_descriptor_limit(connections + OTHER_DESCRIPTORS)?;
    println!(
        "{:<40} {:>12} {:>12}",
        "user memory per idle tcp connection, B", "bound side", "connected"
    );
    for backend in backends {
        let [bound, connected] = memory_of(backend, connections)?;
        println!(
            "{:<40} {bound:>12} {connected:>12}",
            format!("{backend}, {connections} connections")
        );
    }
    Ok(())
}

fn memory_of(backend: &str, connections: u64) -> Result<[u64; 2]> {
    let mut parts = Parts::new(CONNECT_WITHIN);
    let start = |parts: &mut Parts, role, endpoint: &str| {
        let mut args = part(role, backend, endpoint);
        args.extend(["--count".to_owned(), connections.to_string()]);
        parts.start(format!("{backend} {role:?}"), &args)
    };
    let binds = start(&mut parts, Role::HoldBind, ANY_PORT)?;
    let endpoint = parts.endpoint(binds)?;
    let connects = start(&mut parts, Role::HoldConnect, &endpoint)?;
    parts.ready(&[connects])?;
    thread::sleep(SETTLE);

    let both = [binds, connects].map(|id| parts.process_id(id));
    let [descriptors_before, memory_before] = [both.map(descriptors), both.map(private_bytes)];
    parts.tell(connects, "connect")?;
    parts.ready(&[connects])?;
    for (process, before) in both.into_iter().zip(descriptors_before) {
        await_descriptors(process, before? + connections)?;
    }
    let mut cost = [0; 2];
    for ((cost, process), before) in cost.iter_mut().zip(both).zip(memory_before) {
        *cost = settled_private_bytes(process)?.saturating_sub(before?) / connections;
    }
    prove_connections(parts, binds, connects)?;
    Ok(cost)
}

/// A message through the connections: what was measured was alive.
fn prove_connections(mut parts: Parts, binds: PartId, connects: PartId) -> Result<()> {
    parts.tell(binds, "receive")?;
    parts.tell(connects, "send")?;
    let _: Vec<serde_json::Value> = parts.results(&[binds, connects], |_| ())?;
    parts.finish()
}

fn await_descriptors(process: u32, wanted: u64) -> Result<()> {
    let deadline = Instant::now() + CONNECT_WITHIN;
    loop {
        let open = descriptors(process)?;
        if open >= wanted {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{open} descriptors open, {wanted} expected");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Private memory once it no longer changes: handshakes are over.
fn settled_private_bytes(process: u32) -> Result<u64> {
    let deadline = Instant::now() + CONNECT_WITHIN;
    let mut bytes = private_bytes(process)?;
    loop {
        thread::sleep(2 * SETTLE);
        let now = private_bytes(process)?;
        if now == bytes {
            return Ok(now);
        }
        ensure!(Instant::now() < deadline, "the memory of an idle process keeps changing");
        bytes = now;
    }
}

fn private_bytes(process: u32) -> Result<u64> {
    let rollup = fs::read_to_string(format!("/proc/{process}/smaps_rollup"))?;
    Ok(1024 * (field(&rollup, "Private_Clean:")? + field(&rollup, "Private_Dirty:")?))
}

fn descriptors(process: u32) -> Result<u64> {
    Ok(fs::read_dir(format!("/proc/{process}/fd"))?.count() as u64)
}

/// The number behind `name` in a file of /proc.
fn field(text: &str, name: &str) -> Result<u64> {
    for line in text.lines() {
        if let Some(value) = line.strip_prefix(name) {
            let value =
                value.split_whitespace().next().with_context(|| format!("{name} nothing"))?;
            return value.parse().with_context(|| format!("{name} {value}"));
        }
    }
    bail!("no {name}")
}

/// Raises the limit for this process and those it starts.
fn raise_descriptor_limit(wanted: u64) -> Result<()> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    // No process has more, and where a limit has 32 bits none can be asked for.
    let wanted = wanted.min(i32::MAX as u64) as rlim_t;
    if soft < wanted {
        setrlimit(Resource::RLIMIT_NOFILE, wanted, hard.max(wanted))
            .with_context(|| format!("{wanted} descriptors are needed, the limit is {hard}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_read() {
        let id = std::process::id();
        assert!(Activity::of(id).unwrap().cpu_ns > 0);
        assert!(private_bytes(id).unwrap() > 0);
        assert!(descriptors(id).unwrap() >= 3);
    }

    #[test]
    fn a_thread_that_waits_is_switched_away() {
        let here = Path::new("/proc/thread-self");
        let before = Activity::of_thread(here).unwrap();
        let (sender, receiver) = std::sync::mpsc::sync_channel(0);
        thread::spawn(move || (0..1_000).for_each(|number| sender.send(number).unwrap()));
        assert_eq!(receiver.iter().count(), 1_000);
        let after = Activity::of_thread(here).unwrap();
        assert!(after.switches > before.switches && after.cpu_ns > before.cpu_ns);
    }

    #[test]
    fn fields() {
        assert_eq!(field("a:\t1\nvoluntary:  7 kB\n", "voluntary:").unwrap(), 7);
        field("a: 1", "b:").unwrap_err();
        field("a: x", "a:").unwrap_err();
    }
}
