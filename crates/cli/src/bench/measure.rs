//! One measurement: fresh processes that do one workload with one library.

use super::rows::{Measure, Metric, Transport, Work};
use super::work::{Account, Role, SUBSCRIBERS};
use crate::parts::Parts;
use anyhow::{Context, Result, ensure};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;

/// How long a measurement may stay silent; its processes say nothing while they measure.
const PATIENCE: Duration = Duration::from_secs(60);

/// Calibration is over once a run is this long; shorter ones are mostly start-up.
const CALIBRATING_SECONDS: f64 = 0.05;

/// What one run showed.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub messages: u64,
    /// From the first message received to the last.
    pub seconds: f64,
    /// Of all processes together.
    pub cpu_seconds: f64,
}

impl Sample {
    pub fn read(&self, metric: Metric) -> f64 {
        let messages = self.messages as f64;
        match metric {
            Metric::Rate => messages / self.seconds,
            Metric::Latency => self.seconds * 1e6 / messages,
            Metric::Cpu => self.cpu_seconds * 1e6 / messages,
        }
    }
}

/// Runs measurements, each of about `seconds`.
pub struct Bench {
    seconds: f64,
    scratch: PathBuf,
    /// Endpoints used so far; every run gets a new one.
    endpoints: Cell<u32>,
}

impl Bench {
    pub fn new(seconds: f64) -> Result<Self> {
        let scratch = std::env::temp_dir().join(format!("oxmq-bench-{}", std::process::id()));
        std::fs::create_dir_all(&scratch)
            .with_context(|| format!("cannot make {}", scratch.display()))?;
        Ok(Bench { seconds, scratch, endpoints: Cell::new(0) })
    }

    /// How many messages `backend` moves in about the time of a run.
    pub fn calibrate(&self, measure: &Measure, backend: &str) -> Result<u64> {
        if measure.work == Work::FanOut {
            // A publisher publishes for a time, whatever that comes to.
            return Ok(0);
        }
        let mut count = 1_000;
        loop {
            let sample = self.run(measure, backend, count)?;
            if sample.seconds >= CALIBRATING_SECONDS {
                return Ok(((count as f64 * self.seconds / sample.seconds) as u64).max(2));
            }
            count *= 8;
        }
    }

    /// Moves `count` messages with `backend`.
    pub fn run(&self, measure: &Measure, backend: &str, count: u64) -> Result<Sample> {
        match (measure.work, measure.transport) {
            (Work::FanOut, _) => self.fan_out(measure, backend),
            (Work::Stream, Transport::Inproc) => {
                self.threads(Role::InprocStream, measure, backend, count)
            }
            (Work::PingPong, Transport::Inproc) => {
                self.threads(Role::InprocPingPong, measure, backend, count)
            }
            (Work::Service { clients, .. }, _) => self.service(measure, backend, clients, count),
            (Work::Stream | Work::PingPong | Work::InTurn { .. }, _) => {
                self.pair(measure, backend, count)
            }
        }
    }

    fn threads(&self, role: Role, measure: &Measure, backend: &str, count: u64) -> Result<Sample> {
        let mut parts = Parts::new(PATIENCE);
        let part = parts
            .start(backend, &self.part(role, measure, backend, count, &self.endpoint(measure)))?;
        let accounts = parts.results(&[part], |_| ())?;
        parts.finish()?;
        Ok(summarize(&accounts))
    }

    fn pair(&self, measure: &Measure, backend: &str, count: u64) -> Result<Sample> {
        let [binds, connects] = measure.work.roles();
        let mut parts = Parts::new(PATIENCE);
        let endpoint = self.endpoint(measure);
        let binds = parts.start(
            format!("{backend} {binds:?}"),
            &self.part(binds, measure, backend, count, &endpoint),
        )?;
        let endpoint = parts.endpoint(binds)?;
        let connects = parts.start(
            format!("{backend} {connects:?}"),
            &self.part(connects, measure, backend, count, &endpoint),
        )?;
        let mut accounts = parts.results(&[binds], |_| ())?;
        parts.stop(connects);
        accounts.extend(parts.results::<Account>(&[connects], |_| ())?);
        parts.finish()?;
        Ok(summarize(&accounts))
    }

    /// Of `count` requests each client makes its share.
    fn service(
        &self,
        measure: &Measure,
        backend: &str,
        clients: u64,
        count: u64,
    ) -> Result<Sample> {
        let [serves, asks] = measure.work.roles();
        let count = (count / clients).max(1);
        let mut parts = Parts::new(PATIENCE);
        let endpoint = self.endpoint(measure);
        let args = self.part(serves, measure, backend, count, &endpoint);
        let server = parts.start(format!("{backend} {serves:?}"), &args)?;
        let endpoint = parts.endpoint(server)?;
        let mut asking = Vec::new();
        for index in 0..clients {
            let args = self.part(asks, measure, backend, count, &endpoint);
            asking.push(parts.start(format!("{backend} {asks:?} {index}"), &args)?);
        }
        parts.ready(&asking)?;
        for &client in &asking {
            parts.tell(client, "go")?;
        }
        let accounts: Vec<Account> = parts.results(&asking, |_| ())?;
        let served: Account = parts.results(&[server], |_| ())?.remove(0);
        parts.finish()?;
        let mut sample = summarize(&accounts);
        sample.cpu_seconds += served.cpu_seconds;
        Ok(sample)
    }

    fn fan_out(&self, measure: &Measure, backend: &str) -> Result<Sample> {
        let mut parts = Parts::new(PATIENCE);
        let endpoint = self.endpoint(measure);
        let publisher = parts.start(
            format!("{backend} Pub"),
            &self.part(Role::Pub, measure, backend, 0, &endpoint),
        )?;
        let endpoint = parts.endpoint(publisher)?;
        let mut subscribers = Vec::new();
        for index in 0..SUBSCRIBERS {
            let args = self.part(Role::Sub, measure, backend, 0, &endpoint);
            subscribers.push(parts.start(format!("{backend} Sub {index}"), &args)?);
        }
        parts.ready(&subscribers)?;
        parts.tell(publisher, "go")?;
        let accounts: Vec<Account> = parts.results(&subscribers, |_| ())?;
        parts.stop(publisher);
        let published: Account = parts.results(&[publisher], |_| ())?.remove(0);
        parts.finish()?;
        ensure!(
            accounts.iter().all(|account| account.messages <= published.messages),
            "more received than published"
        );
        let mut sample = summarize(&accounts);
        sample.cpu_seconds += published.cpu_seconds;
        Ok(sample)
    }

    fn endpoint(&self, measure: &Measure) -> String {
        let number = self.endpoints.replace(self.endpoints.get() + 1);
        match measure.transport {
            Transport::Tcp => "tcp://127.0.0.1:0".to_owned(),
            Transport::Ipc => format!("ipc://{}", self.scratch.join(number.to_string()).display()),
            Transport::Inproc => "inproc://bench".to_owned(),
        }
    }

    fn part(
        &self,
        role: Role,
        measure: &Measure,
        backend: &str,
        count: u64,
        endpoint: &str,
    ) -> Vec<String> {
        let mut args = part(role, backend, endpoint);
        let millis = (self.seconds * 1000.0) as u64;
        let (many, window) = match measure.work {
            Work::Service { clients, window } => (clients, window),
            Work::InTurn { sockets } => (sockets, 1),
            Work::Stream | Work::FanOut | Work::PingPong => (1, 1),
        };
        for (name, value) in [
            ("--size", measure.size as u64),
            ("--count", count),
            ("--millis", millis),
            ("--many", many),
            ("--window", window),
        ] {
            args.extend([name.to_owned(), value.to_string()]);
        }
        args
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // Sockets left behind in a temporary directory harm nobody.
        let _ = std::fs::remove_dir_all(&self.scratch);
    }
}

/// The arguments that make this program a part of a measurement.
pub fn part(role: Role, backend: &str, endpoint: &str) -> Vec<String> {
    let role = clap::ValueEnum::to_possible_value(&role).expect("no role is skipped");
    ["bench-part", role.get_name(), backend, endpoint].map(str::to_owned).to_vec()
}

/// All receivers together, from the first message any of them got to the last.
fn summarize(accounts: &[Account]) -> Sample {
    let received = || accounts.iter().filter(|account| account.messages > 0);
    let first_ns = received().map(|account| account.first_ns).min().unwrap_or(0);
    let last_ns = received().map(|account| account.last_ns).max().unwrap_or(0);
    Sample {
        messages: received().map(|account| account.messages).sum(),
        // Never zero, so that a rate is a number.
        seconds: (last_ns - first_ns).max(1) as f64 / 1e9,
        cpu_seconds: accounts.iter().map(|account| account.cpu_seconds).sum(),
    }
}
