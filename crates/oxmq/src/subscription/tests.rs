use std::collections::BTreeMap;

use super::*;

/// Steele and Vigna's SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    /// Few letters, so that prefixes meet; now and then long enough for a chain of labels.
    fn topic(&mut self) -> Vec<u8> {
        let bytes = match self.below(20) {
            0 => self.below(3 * LABEL_BYTES_MAX),
            1 => LABEL_BYTES_MAX * self.below(3) + self.below(2),
            _ => self.below(9),
        };
        // Long topics are mostly alike, so that they share chains.
        let mut topic = vec![b'a'; bytes];
        for _ in 0..self.below(9).min(bytes) {
            let at = self.below(bytes);
            topic[at] = [0, b'a', b'b', 255][self.below(4)];
        }
        topic
    }
}

/// What the trie has to agree with.
#[derive(Default)]
struct Model(BTreeMap<(Vec<u8>, u16), u32>);

impl Model {
    fn insert(&mut self, prefix: &[u8], key: u16) -> bool {
        let count = self.0.entry((prefix.to_vec(), key)).or_default();
        *count += 1;
        *count == 1
    }

    fn remove(&mut self, prefix: &[u8], key: u16) -> Removed {
        let entry = (prefix.to_vec(), key);
        match self.0.get_mut(&entry) {
            None => Removed::NotFound,
            Some(1) => {
                self.0.remove(&entry);
                let others = self.0.keys().any(|(held, _)| held == prefix);
                if others { Removed::LastOfKey } else { Removed::Last }
            }
            Some(count) => {
                *count -= 1;
                Removed::StillHeld
            }
        }
    }

    fn matches(&self, topic: &[u8]) -> Vec<u16> {
        self.0.keys().filter(|(prefix, _)| topic.starts_with(prefix)).map(|(_, key)| *key).collect()
    }
}

fn matches(trie: &Subscriptions<u16>, topic: &[u8]) -> Vec<u16> {
    let mut keys = Vec::new();
    trie.matches(topic, |key| keys.push(key));
    keys
}

fn sorted(mut keys: Vec<u16>) -> Vec<u16> {
    keys.sort_unstable();
    keys
}

/// The module's invariants, and that no slot is lost.
fn check(trie: &Subscriptions<u16>) {
    let (mut live, mut held) = (0, 0);
    let mut ahead = vec![ROOT];
    while let Some(id) = ahead.pop() {
        let node = &trie.nodes[id as usize];
        live += 1;
        held += node.held.len();
        assert_eq!(node.label.is_empty(), id == ROOT);
        assert!(node.label.len() <= LABEL_BYTES_MAX);
        assert!(node.children.is_sorted_by(|a, b| a.first < b.first));
        for child in &node.children {
            let below = &trie.nodes[child.node as usize];
            assert_eq!((below.parent, below.label[0]), (id, child.first));
            ahead.push(child.node);
        }
        for held in &node.held {
            assert_eq!(trie.peers[&held.key].nodes[held.at as usize], id);
        }
        if id != ROOT && node.held.is_empty() {
            assert!(!node.children.is_empty());
            if let [child] = node.children[..] {
                let below = &trie.nodes[child.node as usize];
                assert!(node.label.len() + below.label.len() > LABEL_BYTES_MAX);
            }
        }
    }
    assert_eq!(live + trie.free_len, trie.nodes.len());
    let (mut free, mut last, mut next) = (0, NONE, trie.free_head);
    while next != NONE {
        assert_eq!(trie.nodes[next as usize].back, last);
        (last, next) = (next, trie.nodes[next as usize].parent);
        free += 1;
    }
    assert_eq!(free, trie.free_len);
    assert_eq!(trie.prefixes(), trie.nodes.iter().filter(|node| !node.held.is_empty()).count());
    assert_eq!(held, trie.len());
    assert_eq!(held, trie.peers.values().map(|peer| peer.nodes.len()).sum::<usize>());
    assert_eq!(trie.bytes(), trie.peers.values().map(|peer| peer.bytes).sum::<usize>());
    assert!(trie.peers.values().all(|peer| !peer.nodes.is_empty()));
}

fn assert_same(trie: &Subscriptions<u16>, model: &Model) {
    check(trie);
    let mut all = BTreeMap::new();
    trie.for_each(|prefix, key, count| {
        assert!(all.insert((prefix.to_vec(), key), count).is_none());
    });
    assert!(all == model.0);
    assert_eq!(trie.bytes(), model.0.keys().map(|(prefix, _)| prefix.len()).sum::<usize>());
    for key in 0..KEYS {
        let mine = || model.0.keys().filter(|held| held.1 == key);
        assert_eq!(trie.len_of(key), mine().count());
        assert_eq!(trie.bytes_of(key), mine().map(|(prefix, _)| prefix.len()).sum::<usize>());
    }
}

const KEYS: u16 = 7;

#[test]
fn agrees_with_a_naive_model() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut trie = Subscriptions::new();
        let mut model = Model::default();
        for step in 0..2000 {
            let key = random.below(KEYS as usize) as u16;
            let topic = match random.below(3) {
                // Something that is there, so that removals find it.
                0 if !model.0.is_empty() => {
                    model.0.keys().nth(random.below(model.0.len())).unwrap().0.clone()
                }
                _ => random.topic(),
            };
            match random.below(100) {
                0..45 => assert_eq!(trie.insert(&topic, key), model.insert(&topic, key)),
                45..94 => assert_eq!(trie.remove(&topic, key), model.remove(&topic, key)),
                94 => {
                    trie.remove_key(key);
                    model.0.retain(|held, _| held.1 != key);
                }
                95 => {
                    let is_held = model.0.contains_key(&(topic.clone(), key));
                    let others = model.0.keys().any(|held| held.0 == topic && held.1 != key);
                    let inserted = match (is_held, others) {
                        (true, _) => Inserted::HeldAlready,
                        (false, true) => Inserted::Joined,
                        (false, false) => Inserted::First,
                    };
                    let charge = trie.charge_of(key) + charge(&topic);
                    if !is_held {
                        let less = trie.insert_once(&topic, key, Some(charge - 1));
                        assert_eq!(less, Inserted::TooMuch);
                        model.insert(&topic, key);
                    }
                    assert_eq!(trie.insert_once(&topic, key, Some(charge)), inserted);
                }
                96 => {
                    // A peer leaves; others come and go in between.
                    let mut prefix = Vec::new();
                    for _ in 0..random.below(20) {
                        let Some(popped) = trie.pop(key, Some(&mut prefix)) else { break };
                        let entry = (prefix.clone(), key);
                        assert!(model.0.remove(&entry).is_some());
                        assert_eq!(popped.last, !model.0.keys().any(|held| held.0 == prefix));
                    }
                    // Its bytes are known again when all is gone.
                    while trie.pop(key, Some(&mut prefix)).is_some() {
                        assert!(model.0.remove(&(prefix.clone(), key)).is_some());
                    }
                }
                _ => {
                    let wanted = model.matches(&topic);
                    assert_eq!(trie.contains_match(&topic), !wanted.is_empty());
                    assert_eq!(sorted(matches(&trie, &topic)), sorted(wanted));
                }
            }
            if step % 50 == 0 {
                assert_same(&trie, &model);
            }
        }
        assert_same(&trie, &model);
        for key in 0..KEYS {
            trie.remove_key(key);
        }
        check(&trie);
        assert_eq!((trie.len(), trie.bytes(), trie.nodes.len() - trie.free_len), (0, 0, 1));
    }
}

#[test]
fn empty_prefix_matches_everything_at_the_root() {
    let mut trie = Subscriptions::new();
    assert!(!trie.contains_match(b""));
    assert!(trie.insert(b"", 3));
    assert!(!trie.insert(b"", 3));
    assert_eq!(matches(&trie, b""), [3]);
    assert_eq!(matches(&trie, b"anything"), [3]);
    assert_eq!(trie.remove(b"", 3), Removed::StillHeld);
    assert_eq!(trie.remove(b"", 3), Removed::Last);
    assert_eq!(trie.remove(b"", 3), Removed::NotFound);
    assert!(!trie.contains_match(b"anything"));
}

#[test]
fn removing_takes_exactly_the_prefix_named() {
    let mut trie = Subscriptions::new();
    trie.insert(b"news", 1);
    trie.insert(b"newt", 2);
    assert_eq!(trie.remove(b"new", 1), Removed::NotFound);
    assert_eq!(trie.remove(b"news", 2), Removed::NotFound);
    assert_eq!(trie.remove(b"newsy", 1), Removed::NotFound);
    assert_eq!(trie.remove(b"news", 1), Removed::Last);
    assert_eq!(matches(&trie, b"news"), []);
    assert_eq!(matches(&trie, b"newton"), [2]);
    check(&trie);
}

#[test]
fn a_topic_of_100_mib_is_one_subscription_among_others() {
    let huge = vec![b'a'; 100 << 20];
    let mut trie = Subscriptions::new();
    trie.insert(&huge, 1);
    for bytes in 0..1000 {
        trie.insert(&huge[..bytes], 2);
    }
    check(&trie);
    assert_eq!(matches(&trie, &huge).len(), 1001);
    assert_eq!(matches(&trie, &huge[1..]).len(), 1000);
    assert_eq!(trie.bytes_of(1), 100 << 20);
    let mut longest = 0;
    trie.for_each(|prefix, _, _| longest = longest.max(prefix.len()));
    assert_eq!(longest, huge.len());
    trie.remove_key(2);
    assert_eq!(trie.remove(&huge, 1), Removed::Last);
    check(&trie);
    assert_eq!(trie.nodes.capacity(), 1);
}

#[test]
fn a_million_topics_come_and_go() {
    let mut trie = Subscriptions::new();
    let topic = |i: u32| i.wrapping_mul(0x9e37_79b1).to_be_bytes();
    for i in 0..1_000_000 {
        assert!(trie.insert(&topic(i), (i % 2) as u16));
    }
    check(&trie);
    assert_eq!(matches(&trie, &topic(77)), [1]);
    for i in (0..1_000_000).step_by(2) {
        assert_eq!(trie.remove(&topic(i), 0), Removed::Last);
    }
    check(&trie);
    assert_eq!(matches(&trie, &topic(76)), []);
    trie.remove_key(1);
    check(&trie);
    assert_eq!(trie.nodes.capacity(), 1);
}

#[test]
fn moving_nodes_together_keeps_who_is_left() {
    let mut trie = Subscriptions::new();
    let topic = |i: u32| i.wrapping_mul(0x9e37_79b1).to_be_bytes();
    let key = |i: u32| u16::from(i.is_multiple_of(97));
    for i in 0..20_000 {
        trie.insert(&topic(i), key(i));
    }
    let slots_before = trie.nodes.len();
    trie.remove_key(0);
    assert!(trie.nodes.len() < slots_before / 4);
    check(&trie);
    for i in 0..20_000 {
        assert_eq!(matches(&trie, &topic(i)).len(), usize::from(key(i)));
    }
    for i in (0..20_000).filter(|&i| key(i) == 1) {
        assert_eq!(trie.remove(&topic(i), 1), Removed::Last);
    }
    check(&trie);
    assert_eq!(trie.len(), 0);
}

#[test]
fn a_deep_trie_needs_no_stack() {
    let stack_bytes = 64 << 10;
    let deep = std::thread::Builder::new().stack_size(stack_bytes).spawn(|| {
        let topic = vec![b'x'; 5000];
        let mut trie = Subscriptions::new();
        for bytes in 0..=topic.len() {
            trie.insert(&topic[..bytes], 1);
        }
        assert_eq!(matches(&trie, &topic).len(), topic.len() + 1);
        let mut seen = 0;
        trie.for_each(|_, _, _| seen += 1);
        assert_eq!(seen, topic.len() + 1);
        trie.remove_key(1);
        check(&trie);
        assert_eq!(trie.nodes.len(), 1);
        trie.insert(&topic, 1);
    });
    deep.unwrap().join().unwrap();
}
