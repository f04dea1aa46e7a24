//! Medians, ratios, goals: the table and the JSON file.

use super::measure::Sample;
use super::rows::{Rival, Row};
use serde::Serialize;

/// The runs of one experiment; run `i` of each library was made in the same round.
#[derive(Debug, Default)]
pub struct Samples {
    pub ours: Vec<Sample>,
    pub libzmq: Vec<Sample>,
    pub bare: Vec<Sample>,
}

/// One line of the report, as it also goes into the JSON file.
#[derive(Debug, Serialize)]
pub struct Line {
    pub name: &'static str,
    pub unit: &'static str,
    /// Medians.
    pub ours: f64,
    pub theirs: Option<f64>,
    /// Median ours / median theirs.
    pub ratio: Option<f64>,
    pub goal: Option<String>,
    pub met: Option<bool>,
    /// Smallest and largest ratio of one round.
    pub spread: Option<[f64; 2]>,
    /// What bare sockets do, if that was measured.
    pub bare: Option<f64>,
}

impl Line {
    pub fn new(row: &Row, samples: &Samples) -> Self {
        let read = |samples: &[Sample]| {
            samples.iter().map(|sample| sample.read(row.metric)).collect::<Vec<_>>()
        };
        let (ours, libzmq, bare) =
            (read(&samples.ours), read(&samples.libzmq), read(&samples.bare));
        let theirs = match row.rival {
            Rival::Libzmq => &libzmq,
            Rival::Bare => &bare,
        };
        let ratios: Vec<f64> =
            ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect();
        let median_ours = median(&ours).expect("ours is always measured");
        let ratio = median(theirs).map(|theirs| median_ours / theirs);
        Line {
            name: row.name,
            unit: row.metric.unit(),
            ours: median_ours,
            theirs: median(theirs),
            ratio,
            goal: row.goal.map(|goal| goal.to_string()),
            met: row.goal.zip(ratio).map(|(goal, ratio)| goal.met(ratio)),
            spread: ratios
                .iter()
                .copied()
                .reduce(f64::min)
                .zip(ratios.iter().copied().reduce(f64::max))
                .map(<[_; 2]>::from),
            bare: median(&bare),
        }
    }

    pub fn print(&self) {
        let number = |value: Option<f64>| value.map_or("-".to_owned(), short);
        let verdict = match self.met {
            Some(true) => "met",
            Some(false) => "NOT MET",
            None => "-",
        };
        println!(
            "{:<46} {:<8} {:>9} {:>9} {:>7} {:>7} {:>8}  {:<13} {:>9}",
            self.name,
            self.unit,
            short(self.ours),
            number(self.theirs),
            self.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}")),
            self.goal.as_deref().unwrap_or("-"),
            verdict,
            self.spread.map_or("-".to_owned(), |[min, max]| format!("{min:.3}-{max:.3}")),
            number(self.bare),
        );
    }
}

pub fn print_header() {
    println!(
        "{:<46} {:<8} {:>9} {:>9} {:>7} {:>7} {:>8}  {:<13} {:>9}",
        "what", "unit", "ours", "theirs", "ratio", "goal", "", "spread", "bare"
    );
}

/// The middle value, or the mean of the two in the middle; none of nothing.
fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        len if len.is_multiple_of(2) => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
        _ => Some(sorted[middle]),
    }
}

/// Four significant digits, and a letter for thousands and millions.
fn short(value: f64) -> String {
    let (value, letter) = match value {
        value if value >= 1e6 => (value / 1e6, " M"),
        value if value >= 1e4 => (value / 1e3, " k"),
        value => (value, ""),
    };
    let decimals = match value {
        value if value >= 1000.0 => 0,
        value if value >= 100.0 => 1,
        value if value >= 10.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}{letter}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::rows::ROWS;

    fn rates(values: &[f64]) -> Vec<Sample> {
        let sample = |value: &f64| Sample {
            messages: (*value * 100.0) as u64,
            seconds: 100.0,
            cpu_seconds: 1.0,
        };
        values.iter().map(sample).collect()
    }

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
    }

    #[test]
    fn a_line_compares_medians_and_rounds() {
        let samples = Samples {
            ours: rates(&[30.0, 40.0, 20.0]),
            libzmq: rates(&[10.0, 8.0, 12.0]),
            bare: rates(&[50.0]),
        };
        let line = Line::new(&ROWS[0], &samples);
        assert_eq!((line.ours, line.theirs, line.ratio), (30.0, Some(10.0), Some(3.0)));
        assert_eq!((line.met, line.bare), (Some(true), Some(50.0)));
        assert_eq!(line.spread, Some([20.0 / 12.0, 5.0]));
    }

    #[test]
    fn alone_there_is_nothing_to_meet() {
        let line = Line::new(&ROWS[0], &Samples { ours: rates(&[30.0]), ..Samples::default() });
        assert_eq!((line.theirs, line.ratio, line.met), (None, None, None));
    }

    #[test]
    fn numbers_are_short() {
        assert_eq!(
            [short(0.1234), short(98.7654), short(12_345.0), short(3.4e6)],
            ["0.123", "98.77", "12.35 k", "3.400 M"]
        );
    }
}
