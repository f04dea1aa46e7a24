use std::collections::BTreeSet;

use super::*;

/// Steele and Vigna's SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mode {
    Plain,
    Verbose,
    Verboser,
    Manual,
}

/// An XPUB, what its peers hold, and what its application believes.
struct Ends {
    xpub: XPub,
    pipes: Pipes,
    mode: Mode,
    held: BTreeSet<(u64, Vec<u8>)>,
    /// Of peers in VERBOSER and MANUAL, of anybody (0) in the others.
    believed: BTreeSet<(u64, Vec<u8>)>,
    peers: Vec<u64>,
    next: u64,
}

impl Ends {
    fn new(mode: Mode) -> Ends {
        let mut xpub = XPub::default();
        xpub.configure(&Options {
            xpub_verbose: mode == Mode::Verbose,
            xpub_verboser: mode == Mode::Verboser,
            xpub_manual: mode == Mode::Manual,
            ..Options::default()
        });
        let (held, believed) = (BTreeSet::new(), BTreeSet::new());
        let pipes = Pipes::default();
        Ends { xpub, pipes, mode, held, believed, peers: Vec::new(), next: 1 }
    }

    fn say(&mut self, peer: u64, add: bool, prefix: &[u8]) -> Result<(), Excess> {
        let pipe = PipeId::from_bits(peer);
        self.xpub.peer_subscription(&mut self.pipes, pipe, add, prefix)?;
        if add {
            self.held.insert((peer, prefix.to_vec()));
        } else {
            self.held.remove(&(peer, prefix.to_vec()));
        }
        Ok(())
    }

    fn come(&mut self) {
        self.peers.push(self.next);
        self.next += 1;
    }

    fn leave(&mut self, peer: u64) {
        self.peers.retain(|&other| other != peer);
        self.held.retain(|(of, _)| *of != peer);
        self.xpub.disconnected(&mut self.pipes, PipeId::from_bits(peer));
    }

    fn sweep(&mut self) {
        while self.xpub.sweep(&mut self.pipes) {}
    }

    fn receive(&mut self) -> bool {
        let mut news = Message::new();
        if self.xpub.recv(&mut self.pipes, &mut news).is_err() {
            return false;
        }
        let of = match self.mode {
            Mode::Plain | Mode::Verbose => 0,
            Mode::Verboser | Mode::Manual => self.xpub.speaker.to_bits(),
        };
        let about = (of, news[1..].to_vec());
        let changes = match news[0] {
            SUBSCRIBE => self.believed.insert(about),
            _ => self.believed.remove(&about),
        };
        match (self.mode, news[0]) {
            (Mode::Plain, _) | (Mode::Verbose, CANCEL) => {
                assert!(changes, "no news: {:?}", news[0])
            }
            _ => {}
        }
        true
    }

    fn check(&self) {
        let held: BTreeSet<_> = match self.mode {
            Mode::Plain | Mode::Verbose => {
                self.held.iter().map(|(_, prefix)| (0, prefix.clone())).collect()
            }
            Mode::Verboser | Mode::Manual => self.held.clone(),
        };
        assert!(self.believed == held, "{:?}", self.mode);
        assert!(self.xpub.news.holds_nothing());
    }
}

const MODES: [Mode; 4] = [Mode::Plain, Mode::Verbose, Mode::Verboser, Mode::Manual];

/// However much is left out because too much waits, what the application believes when it has received
/// all of it is what is true.
#[test]
fn what_is_believed_in_the_end_is_true() {
    for mode in MODES {
        for seed in 0..20 {
            let mut random = Random(seed);
            let mut ends = Ends::new(mode);
            // A few of these are more than is kept as it happened, many are more than a peer may have.
            let bytes = if seed % 2 == 0 { 50_000 } else { 1000 };
            let prefix = |number: usize| vec![number as u8; bytes + number];
            for _ in 0..400 {
                if ends.peers.len() < 2 {
                    ends.come();
                }
                let peer = ends.peers[random.below(ends.peers.len())];
                match random.below(20) {
                    0..17 => {
                        let add = random.below(5) < 3;
                        if ends.say(peer, add, &prefix(random.below(6))).is_err() {
                            ends.leave(peer);
                        }
                    }
                    17 => ends.come(),
                    18 => ends.leave(peer),
                    _ => while random.below(30) > 0 && ends.receive() {},
                }
            }
            ends.sweep();
            while ends.receive() {}
            ends.check();
            for peer in ends.peers.clone() {
                ends.leave(peer);
            }
            ends.sweep();
            while ends.receive() {}
            ends.check();
        }
    }
}

/// Nobody receives. What waits is no more than what is subscribed to, and nothing once all have left;
/// where every change is asked for, who has too much of them is refused, and nobody else is.
#[test]
fn what_waits_is_bounded_and_goes_with_its_peer() {
    for mode in MODES {
        let mut ends = Ends::new(mode);
        let prefix = |number: u32| [&number.to_le_bytes()[..], &[b'p'; 100]].concat();
        let asks_for_each = mode != Mode::Plain;
        for number in 0..20_000 {
            let said = ends
                .say(1, true, &prefix(number))
                .and_then(|()| ends.say(1, false, &prefix(number)));
            if let Err(excess) = said {
                assert!(asks_for_each && number > 2000, "{mode:?}, {number}");
                assert_eq!(excess, NEWS);
                // Others are not.
                ends.say(2, true, b"another's").unwrap();
                ends.leave(1);
                break;
            }
            assert!(number < 10_000 || !asks_for_each, "{mode:?}");
        }
        ends.leave(1);
        ends.sweep();
        // Up to so much is kept as it happened.
        assert!(!ends.xpub.news.is_long(), "{mode:?}");
        while ends.receive() {}
        ends.check();
    }
}

/// Peers that come, subscribe to much and go leave nothing behind, though nobody receives it.
#[test]
fn peers_that_come_and_go_leave_nothing_to_be_received() {
    for mode in MODES {
        let mut ends = Ends::new(mode);
        let topic = vec![b't'; 100_000];
        for peer in 1..200 {
            ends.say(peer, true, &topic[peer as usize..]).unwrap();
            ends.leave(peer);
            ends.sweep();
            assert!(!ends.xpub.news.is_long(), "{mode:?}");
        }
        assert_eq!(ends.xpub.subscriptions.prefixes(), 0);
        // What the application has heard of, it hears the end of.
        ends.say(1000, true, &topic).unwrap();
        while ends.receive() {}
        assert_eq!(ends.believed.len(), 1);
        ends.leave(1000);
        while ends.receive() {}
        ends.check();
    }
}

/// What is forgotten at once of a peer that leaves is little; it gets nothing more from then on.
#[test]
fn a_peer_with_many_subscriptions_is_forgotten_by_and_by() {
    for mode in MODES {
        let mut ends = Ends::new(mode);
        for number in 0..10_000_u32 {
            ends.say(1, true, &number.to_le_bytes()).unwrap();
        }
        while ends.receive() {}
        ends.leave(1);
        let mut sweeps = 0;
        while ends.xpub.sweep(&mut ends.pipes) {
            sweeps += 1;
            assert!(ends.xpub.is_sweeping(Some(PipeId::from_bits(1))));
        }
        assert!((20..=10_000).contains(&sweeps), "{sweeps}");
        assert!(!ends.xpub.is_sweeping(None));
        while ends.receive() {}
        ends.check();
    }
}
