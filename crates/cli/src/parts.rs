//! This program running as several processes: starting the parts, hearing from them, and saying
//! which one failed and why.
//!
//! A part writes one JSON [`Event`] per line to its standard output and stops when its standard
//! input ends, so no part outlives the process that started it.

use anyhow::{Context, Result, anyhow, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long a part may take to exit once its standard input has ended.
const EXIT_WITHIN: Duration = Duration::from_secs(60);

/// How often a part may say that it moves.
const PROGRESS_EVERY: Duration = Duration::from_millis(200);

/// What a part says to the process that started it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Bound, and where.
    Endpoint(String),
    /// Its peers are there.
    Ready,
    /// So many messages so far.
    Progress(u64),
    /// Finished; the result depends on the part.
    Done(serde_json::Value),
}

/// Says `event` to the process that started this one.
pub fn say(event: &Event) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, event)?;
    out.write_all(b"\n")?;
    out.flush().context("the process that started this one is gone")
}

/// Says that this part has finished with `result`.
pub fn say_done(result: &impl Serialize) -> Result<()> {
    say(&Event::Done(serde_json::to_value(result)?))
}

/// Runs `then` on a thread of its own once standard input has ended.
pub fn at_end_of_input(then: impl FnOnce() + Send + 'static) {
    thread::spawn(move || {
        // An unreadable input ends a part like a closed one.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        then();
    });
}

/// Says [`Event::Progress`], but not more often than is useful.
pub struct Progress {
    said: Instant,
}

impl Progress {
    pub fn new() -> Self {
        Progress { said: Instant::now() }
    }

    /// Asks the clock once in 64 messages only: it costs as much as a small message.
    pub fn at(&mut self, messages: u64) -> Result<()> {
        if messages.is_multiple_of(64) && self.said.elapsed() >= PROGRESS_EVERY {
            self.said = Instant::now();
            say(&Event::Progress(messages))?;
        }
        Ok(())
    }
}

/// Names one of the [`Parts`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartId(usize);

/// The running parts of one job. Dropped, it ends those that still run.
pub struct Parts {
    parts: Vec<Part>,
    said: Receiver<(PartId, Said)>,
    sayer: Sender<(PartId, Said)>,
    patience: Duration,
}

struct Part {
    name: String,
    child: Child,
    input: Option<ChildStdin>,
    errors: Option<thread::JoinHandle<String>>,
    moved: u64,
    result: Option<serde_json::Value>,
}

enum Said {
    Event(Event),
    Gibberish(String),
    End,
}

impl Parts {
    /// No parts yet; `patience` is how long all of them together may stay silent.
    pub fn new(patience: Duration) -> Self {
        let (sayer, said) = mpsc::channel();
        Parts { parts: Vec::new(), said, sayer, patience }
    }

    /// Starts this program with `args` and calls it `name` in messages.
    pub fn start(&mut self, name: impl Into<String>, args: &[String]) -> Result<PartId> {
        let name = name.into();
        let mut child = Command::new(std::env::current_exe().context("where is this program?")?)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start the {name}"))?;
        let id = PartId(self.parts.len());
        let output = child.stdout.take().expect("stdout is piped");
        let errors = child.stderr.take().expect("stderr is piped");
        let sayer = self.sayer.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let said = serde_json::from_str(&line).map_or(Said::Gibberish(line), Said::Event);
                if sayer.send((id, said)).is_err() {
                    return;
                }
            }
            let _ = sayer.send((id, Said::End));
        });
        let errors = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = BufReader::new(errors).read_to_end(&mut text);
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        let input = child.stdin.take();
        self.parts.push(Part { name, child, input, errors: Some(errors), moved: 0, result: None });
        Ok(id)
    }

    pub fn len(&self) -> usize {
        self.parts.len()
    }

    pub fn process_id(&self, id: PartId) -> u32 {
        self.parts[id.0].child.id()
    }

    /// Waits for the next event of any part and says whose it is; what a part has moved and its
    /// result are kept for [`Parts::results`]. Fails when a part died before it was done, or when
    /// all have been silent for too long.
    pub fn next(&mut self) -> Result<(PartId, Event)> {
        loop {
            let (id, said) = match self.said.recv_timeout(self.patience) {
                Ok(said) => said,
                Err(RecvTimeoutError::Timeout) => bail!(
                    "nothing moved for {} s; still running: {}",
                    self.patience.as_secs(),
                    self.unfinished().join(", ")
                ),
                Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender ourselves"),
            };
            let part = &mut self.parts[id.0];
            match said {
                Said::Event(event) => {
                    match &event {
                        Event::Progress(messages) => part.moved = *messages,
                        Event::Done(result) => part.result = Some(result.clone()),
                        Event::Endpoint(_) | Event::Ready => {}
                    }
                    return Ok((id, event));
                }
                Said::Gibberish(line) => bail!("the {} said {line:?}", part.name),
                Said::End if part.result.is_some() => {}
                Said::End => return Err(part.obituary()),
            }
        }
    }

    /// Waits for the endpoint of `id`, which must be the only part that speaks now.
    pub fn endpoint(&mut self, id: PartId) -> Result<String> {
        match self.next()? {
            (who, Event::Endpoint(endpoint)) if who == id => Ok(endpoint),
            (who, event) => {
                Err(anyhow!("the {} said {event:?} out of turn", self.parts[who.0].name))
            }
        }
    }

    /// Waits until each of `ids` has said that it is ready.
    pub fn ready(&mut self, ids: &[PartId]) -> Result<()> {
        let mut waiting = ids.to_vec();
        while !waiting.is_empty() {
            if let (who, Event::Ready) = self.next()? {
                waiting.retain(|id| *id != who);
            }
        }
        Ok(())
    }

    /// Waits until every part in `ids` is done and gives their results in that order; `progress`
    /// hears, whenever it changes, the sum of what these parts have moved.
    pub fn results<T: DeserializeOwned>(
        &mut self,
        ids: &[PartId],
        mut progress: impl FnMut(u64),
    ) -> Result<Vec<T>> {
        while ids.iter().any(|id| self.parts[id.0].result.is_none()) {
            if let (who, Event::Progress(_)) = self.next()?
                && ids.contains(&who)
            {
                progress(ids.iter().map(|id| self.parts[id.0].moved).sum());
            }
        }
        ids.iter()
            .map(|id| {
                let part = &self.parts[id.0];
                let result = part.result.clone().expect("waited for above");
                serde_json::from_value(result)
                    .with_context(|| format!("the result of the {}", part.name))
            })
            .collect()
    }

    /// Writes a line to the standard input of `id`.
    pub fn tell(&mut self, id: PartId, line: &str) -> Result<()> {
        let part = &mut self.parts[id.0];
        let input =
            part.input.as_mut().ok_or_else(|| anyhow!("the {} no longer listens", part.name))?;
        writeln!(input, "{line}").with_context(|| format!("cannot tell the {} anything", part.name))
    }

    /// Ends the standard input of `id`: it finishes what it does and exits.
    pub fn stop(&mut self, id: PartId) {
        self.parts[id.0].input = None;
    }

    /// Stops every part and waits until each has exited with success.
    pub fn finish(mut self) -> Result<()> {
        for part in &mut self.parts {
            part.input = None;
        }
        let deadline = Instant::now() + EXIT_WITHIN;
        for part in &mut self.parts {
            loop {
                match part.child.try_wait()? {
                    Some(status) if status.success() => break,
                    Some(_) => return Err(part.obituary()),
                    None if Instant::now() > deadline => bail!("the {} does not exit", part.name),
                    None => thread::sleep(Duration::from_millis(1)),
                }
            }
        }
        Ok(())
    }

    fn unfinished(&self) -> Vec<&str> {
        self.parts
            .iter()
            .filter(|part| part.result.is_none())
            .map(|part| part.name.as_str())
            .collect()
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        for part in &mut self.parts {
            // It may have exited already; either way there is nothing left to do about it.
            let _ = part.child.kill();
            let _ = part.child.wait();
        }
    }
}

impl Part {
    /// Why this part, which has closed its output too early, is no more.
    fn obituary(&mut self) -> anyhow::Error {
        let status = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        let errors = self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default();
        let errors = errors.strip_prefix("oxmq: ").unwrap_or(&errors);
        let reason = if errors.is_empty() { "it said nothing" } else { errors };
        anyhow!("the {} died ({status}): {reason}", self.name)
    }
}
