//! What is measured, and what is aimed at.

use super::work::Role;
use std::fmt;

/// One line of the report.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub measure: Measure,
    pub metric: Metric,
    /// Whom the ratio and the goal are against.
    pub rival: Rival,
    pub goal: Option<Goal>,
}

/// One experiment; rows that differ only in what they read off it share its runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measure {
    pub work: Work,
    pub transport: Transport,
    pub size: usize,
    /// Ours with its spinning, as by default, or without.
    pub spin: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// PUSH to PULL
    Stream,
    /// PUB to ten SUB
    FanOut,
    /// REQ to REP and back
    PingPong,
    /// So many DEALERs, each a process with so many requests under way, and the ROUTER that answers
    Service { clients: u64, window: u64 },
    /// So many PUSHes in the hands of one thread, in turn, to one PULL
    InTurn { sockets: u64 },
}

impl Work {
    /// Who binds, who connects.
    pub fn roles(self) -> [Role; 2] {
        match self {
            Work::Stream => [Role::Pull, Role::Push],
            Work::FanOut => [Role::Pub, Role::Sub],
            Work::PingPong => [Role::Rep, Role::Req],
            Work::Service { .. } => [Role::Router, Role::Dealer],
            Work::InTurn { .. } => [Role::PullAny, Role::PushMany],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    Ipc,
    Inproc,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// Messages received per second, by all receivers together.
    Rate,
    /// Microseconds for one message one way.
    Latency,
    /// CPU seconds of both ends together for a million messages.
    Cpu,
}

impl Metric {
    pub fn unit(self) -> &'static str {
        match self {
            Metric::Rate => "msg/s",
            Metric::Latency => "µs",
            Metric::Cpu => "CPU s/M",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rival {
    /// The library named by `--vs`.
    Libzmq,
    /// Bare blocking sockets.
    Bare,
}

/// What the ratio ours / theirs is to be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Goal {
    pub fn met(self, ratio: f64) -> bool {
        match self {
            Goal::AtLeast(goal) => ratio >= goal,
            Goal::AtMost(goal) => ratio <= goal,
        }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Goal::AtLeast(goal) => write!(f, "≥ {goal:.2}"),
            Goal::AtMost(goal) => write!(f, "≤ {goal:.2}"),
        }
    }
}

use Goal::{AtLeast, AtMost};
use Transport::{Inproc, Ipc, Tcp};

const KIB: usize = 1024;

/// Every row, in the order of the report.
pub const ROWS: &[Row] = &[
    stream("PUSH-PULL tcp 16 B", Tcp, 16, Some(AtLeast(3.0))),
    stream("PUSH-PULL tcp 64 B", Tcp, 64, Some(AtLeast(2.5))),
    stream("PUSH-PULL tcp 256 B", Tcp, 256, Some(AtLeast(2.0))),
    stream("PUSH-PULL tcp 1 KiB", Tcp, KIB, Some(AtLeast(2.0))),
    stream("PUSH-PULL tcp 8 KiB", Tcp, 8 * KIB, None),
    stream("PUSH-PULL tcp 64 KiB", Tcp, 64 * KIB, Some(AtLeast(1.2))),
    stream("PUSH-PULL tcp 1 MiB", Tcp, KIB * KIB, None),
    stream("PUSH-PULL ipc 16 B", Ipc, 16, None),
    stream("PUSH-PULL inproc 16 B", Inproc, 16, Some(AtLeast(2.0))),
    fan_out("PUB-10 SUB tcp 16 B", Tcp),
    fan_out("PUB-10 SUB ipc 16 B", Ipc),
    ping_pong("REQ-REP tcp 1 B one way", Tcp, Some(AtMost(1.0 / 3.0))),
    ping_pong("REQ-REP ipc 1 B one way", Ipc, None),
    ping_pong("REQ-REP inproc 1 B one way", Inproc, Some(AtMost(0.1))),
    Row {
        name: "REQ-REP tcp 1 B one way, no spinning, vs bare",
        measure: Measure { work: Work::PingPong, transport: Tcp, size: 1, spin: false },
        metric: Metric::Latency,
        rival: Rival::Bare,
        goal: Some(AtMost(1.3)),
    },
    Row { metric: Metric::Cpu, ..stream("CPU time PUSH-PULL tcp 16 B", Tcp, 16, None) },
    service("ROUTER, 10 DEALERs of 16 in flight, tcp 32 B", Tcp, 10, 16),
    service("ROUTER, 10 DEALERs of 16 in flight, ipc 32 B", Ipc, 10, 16),
    service("ROUTER, 1 DEALER of 200 in flight, tcp 32 B", Tcp, 1, 200),
    in_turn("10 PUSHes of one thread in turn, tcp 16 B", 10),
    in_turn("100 PUSHes of one thread in turn, tcp 16 B", 100),
];

const fn stream(name: &'static str, transport: Transport, size: usize, goal: Option<Goal>) -> Row {
    let measure = Measure { work: Work::Stream, transport, size, spin: true };
    Row { name, measure, metric: Metric::Rate, rival: Rival::Libzmq, goal }
}

const fn fan_out(name: &'static str, transport: Transport) -> Row {
    let measure = Measure { work: Work::FanOut, transport, size: 16, spin: true };
    Row { name, measure, metric: Metric::Rate, rival: Rival::Libzmq, goal: Some(AtLeast(2.0)) }
}

const fn ping_pong(name: &'static str, transport: Transport, goal: Option<Goal>) -> Row {
    let measure = Measure { work: Work::PingPong, transport, size: 1, spin: true };
    Row { name, measure, metric: Metric::Latency, rival: Rival::Libzmq, goal }
}

/// A message is a request and its reply.
const fn service(name: &'static str, transport: Transport, clients: u64, window: u64) -> Row {
    let work = Work::Service { clients, window };
    let measure = Measure { work, transport, size: 32, spin: true };
    Row { name, measure, metric: Metric::Rate, rival: Rival::Libzmq, goal: Some(AtLeast(2.0)) }
}

const fn in_turn(name: &'static str, sockets: u64) -> Row {
    let measure = Measure { work: Work::InTurn { sockets }, transport: Tcp, size: 16, spin: true };
    Row { name, measure, metric: Metric::Rate, rival: Rival::Libzmq, goal: Some(AtLeast(2.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = ROWS.iter().map(|row| row.name).collect();
        assert_eq!(names.len(), ROWS.len());
    }

    #[test]
    fn goals_point_the_right_way() {
        assert!(!ROWS.iter().any(|row| matches!(
            (row.metric, row.goal),
            (Metric::Rate, Some(AtMost(_))) | (Metric::Latency | Metric::Cpu, Some(AtLeast(_)))
        )));
        assert!(AtLeast(2.0).met(2.0) && !AtLeast(2.0).met(1.9));
        assert!(AtMost(0.5).met(0.5) && !AtMost(0.5).met(0.6));
    }
}
