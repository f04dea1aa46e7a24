//! A process that may have only so much memory, and peers that send more than that: whoever wants what
//! cannot be had is disconnected, and the process goes on.

#[path = "process/mod.rs"]
mod process;
mod support;

use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use oxmq::option::{CONFLATE, MAXMSGSIZE, MAXMULTIPARTSIZE, RCVHWM, ROUTER_RAW};
use oxmq::{Context, DropReason, Pull, Socket, SocketType};
use process::{Peer, say};

use support::raw::{RawPeer, frame, message};
use support::{LONG, endpoints};

/// What the limited process may have beside what it has at the beginning.
const LIMIT_BYTES: u64 = 256 << 20;
/// Far more than that: who may send so much is not refused.
const FLOOD_BYTES: usize = 4 << 30;

/// The limited process.
struct Victim {
    peer: Peer,
    endpoint: String,
}

impl Victim {
    fn start(kind: &str) -> Victim {
        let mut peer = Peer::start(kind);
        let endpoint = peer.line().unwrap();
        Victim { peer, endpoint }
    }

    /// A line that it is told, and its answer.
    fn ask(&mut self, line: &str) -> String {
        self.peer.say(line);
        self.peer.line().expect("it is still there")
    }

    /// Whether somebody new is heard.
    fn hears(&mut self) -> bool {
        let mut honest = RawPeer::connect(&self.endpoint);
        honest.shake_hands("PUSH", "PULL");
        honest.send(&message(&["honest"]));
        self.ask("recv") == "honest"
    }

    fn check(&mut self, failure: &str, torn: u64) {
        assert_eq!(self.ask("status"), format!("{torn} torn: {failure}"));
    }
}

const REFUSAL: &str = "there is no memory for what the peer sends";

/// Sends this again and again, until the other side ends the connection.
fn flood(mut peer: RawPeer, bytes: &[u8]) {
    for _ in 0..FLOOD_BYTES / bytes.len() {
        if let Err(error) = peer.stream.write_all(bytes) {
            return assert!(matches!(error.kind(), ConnectionReset | BrokenPipe), "{error}");
        }
    }
    panic!("it may send whatever it likes");
}

#[test]
fn a_message_without_end_costs_its_connection() {
    // A sanitizer needs more addresses than there may be.
    if std::env::var_os("OXMQ_SANITIZER").is_some() {
        return;
    }
    for kind in ["plain", "conflate"] {
        let mut victim = Victim::start(kind);
        let parts = [frame(1, b"1"), frame(1, &[2; 8000]), frame(1, &[3; 100_000])];
        let mut torn = 0;
        for part in parts {
            let mut peer = RawPeer::connect(&victim.endpoint);
            peer.shake_hands("PUSH", "PULL");
            let times = (1 << 20) / part.len();
            flood(peer, &part.repeat(times.max(1)));
            // With CONFLATE nothing is counted that was not whole.
            torn += u64::from(kind == "plain");
            victim.check(REFUSAL, torn);
            assert!(victim.hears(), "{kind}");
        }
        // A long part, and one of which only the header says that it is.
        let mut peer = RawPeer::connect(&victim.endpoint);
        peer.shake_hands("PUSH", "PULL");
        peer.send(&[&[2][..], &(1_u64 << 40).to_be_bytes()].concat());
        flood(peer, &[7; 1 << 20]);
        torn += u64::from(kind == "plain");
        victim.check(REFUSAL, torn);
        assert!(victim.hears(), "{kind}");
    }
}

/// What has come whole waits to be received, though the connection that brought it is closed when it
/// brings more.
#[test]
fn messages_that_nobody_takes_cost_the_connections_that_bring_more() {
    if std::env::var_os("OXMQ_SANITIZER").is_some() {
        return;
    }
    for (kind, bytes) in
        [("unbounded", 40), ("unbounded", 8000), ("unbounded", 50_000), ("raw", 8000)]
    {
        let mut victim = Victim::start(kind);
        let mut peer = RawPeer::connect(&victim.endpoint);
        if kind != "raw" {
            peer.shake_hands("PUSH", "PULL");
        }
        flood(peer, &frame(0, &vec![7; bytes]).repeat((1 << 20) / bytes));
        assert!(victim.ask("status").ends_with(REFUSAL), "{kind}, {bytes}");
        let received: u64 = victim.ask("drain").parse().unwrap();
        assert!(received > 1000, "{kind}, {bytes}: {received}");
        if kind != "raw" {
            assert!(victim.hears(), "{kind}, {bytes}");
        }
    }
}

/// A process whose memory is full of what peers have sent ends as any other.
#[test]
fn a_socket_closes_though_there_is_no_memory() {
    if std::env::var_os("OXMQ_SANITIZER").is_some() {
        return;
    }
    // Of many peers each brings as much as its queue holds.
    for (kind, peers, bytes) in [("unbounded", 1, 8000), ("unbounded", 1, 100), ("plain", 60, 8000)]
    {
        let mut victim = Victim::start(kind);
        let connect = || {
            let at = victim.endpoint.strip_prefix("tcp://").unwrap();
            let stream = TcpStream::connect(at).unwrap();
            RawPeer::over(stream.try_clone().unwrap()).shake_hands("PUSH", "PULL");
            stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
            stream
        };
        let peers: Vec<_> = (0..peers).map(|_| connect()).collect();
        let batch = frame(0, &vec![7; bytes]).repeat((1 << 20) / bytes);
        assert!(fill(&peers, &batch) > 0, "{kind}, {bytes}");
        assert!(victim.ask("status").ends_with(REFUSAL), "{kind}, {bytes}");
        assert_eq!(victim.ask("end"), "ended", "{kind}, {bytes}");
    }
}

/// Has each send in turn until it is not read any more, or refused; how many are refused.
fn fill(peers: &[TcpStream], batch: &[u8]) -> usize {
    let mut refused = 0;
    let mut left: Vec<&TcpStream> = peers.iter().collect();
    while !left.is_empty() {
        left.retain_mut(|peer| match peer.write_all(batch) {
            Ok(()) => true,
            Err(error) => {
                refused += usize::from(matches!(error.kind(), ConnectionReset | BrokenPipe));
                false
            }
        });
    }
    refused
}

#[test]
#[ignore = "run by the other tests as a process of its own"]
fn child() {
    let Some(role) = process::role() else { return };
    let context = Context::new();
    let kind = if role[0] == "raw" { SocketType::Router } else { SocketType::Pull };
    let socket = context.socket(kind).unwrap();
    match &role[0][..] {
        "conflate" => socket.set(CONFLATE, true).unwrap(),
        "unbounded" => socket.set(RCVHWM, 0).unwrap(),
        "raw" => {
            socket.set(RCVHWM, 0).unwrap();
            socket.set(ROUTER_RAW, true).unwrap();
        }
        _ => {}
    }
    let endpoint = socket.bind("tcp://127.0.0.1:*").unwrap();
    limit_memory();
    say(&endpoint);
    for line in std::io::stdin().lines() {
        match &line.unwrap()[..] {
            "recv" => say(&String::from_utf8_lossy(&socket.recv_timeout(LONG).unwrap())),
            "drain" => say(&drain(&socket).to_string()),
            "end" => {
                drop(socket);
                drop(context);
                return say("ended");
            }
            _ => {
                let torn = socket.statistics().dropped.of(DropReason::Torn);
                say(&format!("{torn} torn: {}", socket.last_failure().unwrap_or_default()));
            }
        }
    }
}

/// Takes what has come.
fn drain(socket: &Socket) -> u64 {
    let mut received = 0;
    while socket.try_recv().is_ok() {
        received += 1;
    }
    received
}

fn limit_memory() {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = status.split(' ').next().unwrap().parse().unwrap();
    // SAFETY: asks for a number.
    let page_bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
    let bytes = pages * page_bytes + LIMIT_BYTES;
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
    // SAFETY: reads one `rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
}

/// The bound is exact, and counts 64 bytes for each part.
#[test]
fn a_multipart_message_is_no_longer_than_it_may_be() {
    for endpoint in endpoints() {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        pull.set(MAXMSGSIZE, 20_000).unwrap();
        pull.set(MAXMULTIPARTSIZE, 10_000).unwrap();
        let actual = pull.bind(&endpoint).unwrap();
        let connect = || {
            let mut peer = RawPeer::connect(&actual);
            peer.shake_hands("PUSH", "PULL");
            peer
        };
        let part = [1; 936];
        let mut parts = vec![&part[..]; 10];
        connect().send(&[message(&parts), message(&parts)].concat());
        for _ in 0..2 {
            assert_eq!(pull.recv_multipart().unwrap().len(), 10);
        }
        // A message of one part is as long as MAXMSGSIZE says.
        connect().send(&message(&[[2; 20_000]]));
        assert_eq!(pull.recv_timeout(LONG).unwrap()[..], [2; 20_000]);
        // In the last part, and in one before.
        let why = "the peer sent a longer multipart message than MAXMULTIPARTSIZE";
        for (torn, longer) in (1..).zip([true, false]) {
            parts.truncate(9);
            parts.push(&[3; 937]);
            let mut peer = connect();
            let bytes = message(&parts);
            let end = if longer { bytes.len() } else { bytes.len() - 937 - 9 };
            let mut bytes = bytes[..end].to_vec();
            if !longer {
                bytes.extend(frame(1, &[3; 937]));
            }
            peer.send(&bytes);
            assert!(peer.ends());
            assert_eq!(pull.as_ref().last_failure().as_deref(), Some(why));
            while pull.statistics().dropped.of(DropReason::Torn) < torn {
                std::thread::yield_now();
            }
            assert_eq!(pull.statistics().dropped.of(DropReason::Torn), torn);
        }
        assert!(pull.try_recv().is_err());
    }
}
