//! Both libraries run the same sequences; what differs is tried again with more patience, and then
//! looked up among the departures.

use crate::call::Call;
use crate::children::{Library, Outcome};
use crate::departures;
use crate::difference::Difference;
use crate::generate;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long each try waits for what comes by other threads; see `Replay`.
const TRIES: u32 = 4;
/// How long a failing sequence is made shorter.
const SHRINKING: Duration = Duration::from_secs(6);

/// Both libraries.
pub struct Pair {
    ours: Library,
    theirs: Library,
}

/// How a sequence went.
#[derive(Debug, PartialEq)]
pub enum Verdict {
    /// At that try.
    Agrees(u32),
    /// Debian's library does not agree with itself.
    Open(String),
    Disagrees(String),
}

struct Disagreement {
    at: usize,
    ours: String,
    theirs: String,
}

impl Pair {
    pub fn new(ours: &Path, theirs: &Path) -> Pair {
        Pair { ours: Library::new(ours, false), theirs: Library::new(theirs, true) }
    }

    /// Compares the sequence of a seed.
    pub fn compare(&mut self, seed: u64) -> Verdict {
        let calls = generate::sequence(seed);
        let mut kept = vec![true; calls.len()];
        for attempt in 0..TRIES {
            if self.disagreement(seed, &calls, &kept, attempt).is_none() {
                return Verdict::Agrees(attempt);
            }
        }
        if let Some((at, what)) = self.open(seed, &kept) {
            return Verdict::Open(format!("seed {seed}: {:?}: {what}", calls.get(at)));
        }
        self.shrink(seed, &calls, &mut kept);
        let Some(listing) = self.listing(seed, &calls, &kept) else {
            return Verdict::Open(format!("seed {seed}: not again"));
        };
        Verdict::Disagrees(listing)
    }

    fn run(&mut self, seed: u64, kept: &[bool], patience: u32) -> (Outcome, Outcome) {
        self.ours.start(seed, patience, kept);
        self.theirs.start(seed, patience, kept);
        (self.ours.finish(), self.theirs.finish())
    }

    fn disagreement(
        &mut self,
        seed: u64,
        calls: &[Call],
        kept: &[bool],
        patience: u32,
    ) -> Option<Disagreement> {
        let (ours, theirs) = self.run(seed, kept, patience);
        first_difference(&of(calls, kept), &ours, &theirs)
    }

    /// Which call does not always give the same with Debian's library.
    fn open(&mut self, seed: u64, kept: &[bool]) -> Option<(usize, String)> {
        let mut once = || {
            self.theirs.start(seed, TRIES - 1, kept);
            self.theirs.finish().results
        };
        let (first, second) = (once(), once());
        let differ = first.iter().zip(&second).position(|(first, second)| first != second);
        differ.map(|at| (at, format!("{} / {}", first[at], second[at])))
    }

    /// Leaves calls out as long as there is still a disagreement.
    fn shrink(&mut self, seed: u64, calls: &[Call], kept: &mut Vec<bool>) {
        let end = Instant::now() + SHRINKING;
        let mut size = calls.len().div_ceil(2);
        while size > 0 && Instant::now() < end {
            let mut at = calls.len();
            while at > 0 && Instant::now() < end {
                let from = at.saturating_sub(size);
                let mut fewer = kept.clone();
                fewer[from..at].fill(false);
                if fewer != *kept && self.disagreement(seed, calls, &fewer, 1).is_some() {
                    *kept = fewer;
                }
                at = from;
            }
            size /= 2;
        }
    }

    /// What to read of a disagreement; `None` if it has gone.
    fn listing(&mut self, seed: u64, calls: &[Call], kept: &[bool]) -> Option<String> {
        let calls = of(calls, kept);
        let (ours, theirs) = self.run(seed, kept, TRIES - 1);
        let found = first_difference(&calls, &ours, &theirs)?;
        let mut text = format!("seed {seed} (OXMQ_DIFF_SEED={seed} runs it alone):\n");
        for (call, result) in calls.iter().zip(&theirs.results).take(found.at) {
            writeln!(text, "  {call:?}\n      both: {result}").unwrap();
        }
        match calls.get(found.at) {
            Some(call) => writeln!(text, "  {call:?}").unwrap(),
            None => text.push_str("  the end\n"),
        }
        writeln!(text, "      ours:   {}\n      theirs: {}", found.ours, found.theirs).unwrap();
        Some(text)
    }
}

fn of<'a>(calls: &'a [Call], kept: &[bool]) -> Vec<&'a Call> {
    calls.iter().zip(kept).filter(|(_, kept)| **kept).map(|(call, _)| call).collect()
}

/// The first result that differs for no reason that is listed.
fn first_difference(calls: &[&Call], ours: &Outcome, theirs: &Outcome) -> Option<Disagreement> {
    let result = |outcome: &Outcome, at: usize| {
        let known = outcome.results.get(at).cloned();
        known.or_else(|| outcome.broke.clone()).unwrap_or_default()
    };
    for at in 0..=calls.len() {
        let (mine, other) = (result(ours, at), result(theirs, at));
        if mine != other {
            let (results, ours, theirs) = (&ours.results[..], &mine[..], &other[..]);
            match departures::find(&Difference { calls, results, at, ours, theirs }) {
                Some(departure) if departure.ends => return None,
                Some(_) => continue,
                None => return Some(Disagreement { at, ours: mine, theirs: other }),
            }
        }
    }
    None
}
