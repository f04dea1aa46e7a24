use std::collections::{BTreeMap, BTreeSet};

use super::super::tests::Random;
use super::*;

/// What one application subscribes to, and what a peer hears of it.
struct Ends {
    outbox: Outbox,
    /// How often.
    wanted: BTreeMap<Box<[u8]>, u32>,
    /// What the peer counts; for a peer that holds a prefix or does not, more than none is one.
    heard: BTreeMap<Box<[u8]>, u32>,
    every_end: bool,
}

impl Ends {
    fn change(&mut self, prefix: &[u8], add: bool) {
        let prefix: Box<[u8]> = prefix.into();
        let count = self.wanted.entry(prefix.clone()).or_default();
        let before = *count;
        *count = if add { before + 1 } else { before.saturating_sub(1) };
        let kind = match (add, before) {
            (true, _) => ChangeKind::Subscribe,
            (false, _) if self.every_end => ChangeKind::CancelOne,
            (false, 1) => ChangeKind::CancelLast,
            (false, _) => return,
        };
        self.outbox.push(Change { prefix, kind, was_held: before > 0 });
    }

    fn tell(&mut self, room_bytes: usize) {
        for (add, prefix) in self.outbox.take(room_bytes) {
            let count = self.heard.entry(prefix).or_default();
            *count = match (add, self.every_end) {
                (true, _) => *count + 1,
                (false, true) => count.saturating_sub(1),
                (false, false) => 0,
            };
        }
    }
}

fn prefix(number: usize) -> Vec<u8> {
    vec![number as u8; 1000 + number]
}

const PREFIXES: usize = 20;

#[test]
fn the_peer_hears_in_the_end_what_is_subscribed_to() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let initial: BTreeSet<usize> =
            (0..random.below(9)).map(|_| random.below(PREFIXES)).collect();
        let begins: Vec<Box<[u8]>> = initial.iter().map(|&it| prefix(it).into()).collect();
        let mut ends = Ends {
            wanted: begins.iter().map(|prefix| (prefix.clone(), 1)).collect(),
            outbox: Outbox::new(begins),
            heard: BTreeMap::new(),
            every_end: seed % 2 == 0,
        };
        for _ in 0..3000 {
            let prefix = prefix(random.below(PREFIXES));
            ends.change(&prefix, random.below(2) == 0);
            if random.below(100) == 0 {
                ends.tell(random.below(20_000));
            }
        }
        while !ends.outbox.is_empty() {
            ends.tell(10_000);
        }
        for (prefix, &count) in &ends.wanted {
            let heard = ends.heard.get(prefix).copied().unwrap_or(0);
            if ends.every_end {
                assert_eq!(heard, count, "seed {seed}");
            } else {
                assert_eq!(heard > 0, count > 0, "seed {seed}");
            }
        }
    }
}

#[test]
fn as_long_as_little_waits_it_is_told_as_it_happened() {
    let mut outbox = Outbox::new(vec![(*b"first").into(), (*b"second").into()]);
    let changes = [(b"b", true), (b"a", true), (b"b", false), (b"b", true), (b"b", true)];
    for (prefix, add) in changes {
        let kind = if add { ChangeKind::Subscribe } else { ChangeKind::CancelLast };
        outbox.push(Change { prefix: (*prefix).into(), kind, was_held: !add });
    }
    let told = outbox.take(usize::MAX);
    let told: Vec<(&[u8], bool)> = told.iter().map(|(add, prefix)| (&**prefix, *add)).collect();
    let as_it_happened = changes.iter().map(|&(prefix, add)| (&prefix[..], add));
    let begins = [(&b"first"[..], true), (b"second", true)];
    assert_eq!(told, begins.into_iter().chain(as_it_happened).collect::<Vec<_>>());
    assert!(outbox.is_empty());
}

/// What waits is bounded by what is subscribed to, however often that changes.
#[test]
fn a_peer_that_does_not_read_costs_no_more_than_what_is_subscribed_to() {
    for every_end in [false, true] {
        let mut ends = Ends {
            outbox: Outbox::default(),
            wanted: BTreeMap::new(),
            heard: BTreeMap::new(),
            every_end,
        };
        for round in 0..100_000 {
            let prefix = format!("{round}");
            ends.change(prefix.as_bytes(), true);
            ends.change(prefix.as_bytes(), false);
            // Nothing of it was ever subscribed to.
            ends.change(format!("never {round}").as_bytes(), false);
            ends.wanted.clear();
        }
        assert_eq!(ends.outbox.folded.len(), 0);
        assert!(ends.outbox.recent_bytes <= RECENT_BYTES_MAX);
    }
}
