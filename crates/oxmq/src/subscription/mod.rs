//! Who subscribed to what: a compressed radix trie over prefixes.
//!
//! The nodes lie in one arena and point at each other by index; every walk is a loop, so that the
//! depth of the trie, which peers decide, never becomes depth of the stack. Long prefixes are
//! chains of nodes of at most [`LABEL_BYTES_MAX`] bytes, which bounds what one small subscription
//! beside a huge one can cost.
//!
//! ```text
//! insert "" (a), "news" (b), "newt" (c)        root ─── "new" ─┬─ "s" {b}
//!                                               {a}            └─ "t" {c}
//! ```
//!
//! Invariants, besides those of any radix trie:
//! - The label of a node is empty at the root alone (and in free slots).
//! - A node that nobody holds and that has one child is longer together with that child than
//!   `LABEL_BYTES_MAX`; one that has none does not exist, the root excepted.
//! - A node that somebody holds keeps its index when others are split, by a new node above, and when
//!   they are merged, which takes away the upper one. Only a removal may move it, to a free slot.
//! - `peers[held.key].nodes[held.at]` is the node that `held` stands in, and the reverse.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

mod news;
mod outbox;
#[cfg(test)]
mod tests;

pub(crate) use news::{Full, News};
pub(crate) use outbox::{Change, ChangeKind, Outbox};

/// The subscriptions of keys (peers) to prefixes of topics.
pub(crate) struct Subscriptions<K> {
    nodes: Vec<Node<K>>,
    /// The free slots of `nodes`, linked through `Node::parent` and back through `Node::back`; `NONE`
    /// ends the list.
    free_head: u32,
    free_len: usize,
    peers: HashMap<K, Peer>,
    /// Subscriptions, each key's duplicates counted once.
    len: usize,
    /// Prefixes that anybody holds.
    prefixes: usize,
}

/// What became of a subscription that a key may have once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inserted {
    /// Nobody was subscribed to this prefix before.
    First,
    /// Others were.
    Joined,
    /// The key was.
    HeldAlready,
    /// With this one the key would hold too much.
    TooMuch,
}

/// What became of a subscription that somebody gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// The key had no subscription to exactly this prefix.
    NotFound,
    /// The key had subscribed more than once, and still is.
    StillHeld,
    /// It was the key's last subscription to this prefix; others have theirs.
    LastOfKey,
    /// It was anybody's last subscription to this prefix.
    Last,
}

/// One subscription of a key that leaves, taken back.
pub(crate) struct Popped {
    /// It was anybody's last to its prefix.
    pub(crate) last: bool,
    /// What it cost to find and remove, in visits of nodes.
    pub(crate) work: usize,
}

struct Node<K> {
    label: Box<[u8]>,
    /// Sorted by `first`.
    children: Vec<Child>,
    held: Vec<Held<K>>,
    parent: u32,
    /// Of a free slot.
    back: u32,
}

#[derive(Clone, Copy)]
struct Child {
    first: u8,
    node: u32,
}

/// One key's subscription to the prefix that ends at a node.
struct Held<K> {
    key: K,
    count: u32,
    /// Where the key's `Peer::nodes` names this node.
    at: u32,
}

#[derive(Default)]
struct Peer {
    nodes: Vec<u32>,
    /// The bytes of its prefixes; more than that while it leaves.
    bytes: usize,
}

/// What one subscription costs beside its bytes, roughly.
const BYTES_EACH: usize = 64;

/// What a subscription to this prefix is counted as.
fn charge(prefix: &[u8]) -> usize {
    prefix.len() + BYTES_EACH
}

impl<K: Copy + Eq + Hash> Subscriptions<K> {
    pub(crate) fn new() -> Subscriptions<K> {
        Subscriptions {
            nodes: vec![Node::new(Box::default(), NONE)],
            free_head: NONE,
            free_len: 0,
            peers: HashMap::new(),
            len: 0,
            prefixes: 0,
        }
    }

    /// Subscribes `key` to the topics that begin with `prefix`. Subscribing again counts, as in
    /// ØMQ: as many [`remove`](Subscriptions::remove)s are needed.
    ///
    /// Returns whether this is the key's first subscription to this prefix.
    pub(crate) fn insert(&mut self, prefix: &[u8], key: K) -> bool {
        let id = self.reach(prefix);
        let node = &mut self.nodes[id as usize];
        if let Some(held) = node.held.iter_mut().find(|held| held.key == key) {
            held.count = held.count.saturating_add(1);
            return false;
        }
        let peer = self.peers.entry(key).or_default();
        if node.held.is_empty() {
            node.held.reserve_exact(1);
            self.prefixes += 1;
        }
        node.held.push(Held { key, count: 1, at: peer.nodes.len() as u32 });
        peer.nodes.push(id);
        peer.bytes += prefix.len();
        self.len += 1;
        true
    }

    /// Subscribes `key` as [`insert`](Subscriptions::insert) does, but once only: one
    /// [`remove`](Subscriptions::remove) is enough however often this is called. With `bytes_max`, its
    /// subscriptions may take no more than that, their prefixes and what they cost besides.
    pub(crate) fn insert_once(
        &mut self,
        prefix: &[u8],
        key: K,
        bytes_max: Option<usize>,
    ) -> Inserted {
        let held = self.find(prefix).map_or(&[][..], |id| &self.nodes[id as usize].held);
        if held.iter().any(|held| held.key == key) {
            return Inserted::HeldAlready;
        }
        let inserted = if held.is_empty() { Inserted::First } else { Inserted::Joined };
        if bytes_max.is_some_and(|max| self.charge_of(key).saturating_add(charge(prefix)) > max) {
            return Inserted::TooMuch;
        }
        self.insert(prefix, key);
        inserted
    }

    /// What the subscriptions of `key` are counted as.
    fn charge_of(&self, key: K) -> usize {
        self.peers.get(&key).map_or(0, |peer| peer.bytes + peer.nodes.len() * BYTES_EACH)
    }

    /// How many keys are subscribed to exactly this prefix.
    pub(crate) fn holders(&self, prefix: &[u8]) -> usize {
        self.find(prefix).map_or(0, |id| self.nodes[id as usize].held.len())
    }

    /// How many prefixes anybody is subscribed to.
    pub(crate) fn prefixes(&self) -> usize {
        self.prefixes
    }

    /// Takes back one [`insert`](Subscriptions::insert) of the same prefix and key.
    pub(crate) fn remove(&mut self, prefix: &[u8], key: K) -> Removed {
        let Some(id) = self.find(prefix) else { return Removed::NotFound };
        let node = &mut self.nodes[id as usize];
        let Some(slot) = node.held.iter().position(|held| held.key == key) else {
            return Removed::NotFound;
        };
        if node.held[slot].count > 1 {
            node.held[slot].count -= 1;
            return Removed::StillHeld;
        }
        let at = node.held.swap_remove(slot).at as usize;
        give_back(&mut node.held);
        let last = node.held.is_empty();
        self.len -= 1;
        self.prefixes -= usize::from(last);
        if let Entry::Occupied(mut entry) = self.peers.entry(key) {
            let peer = entry.get_mut();
            peer.bytes -= prefix.len();
            peer.nodes.swap_remove(at);
            give_back(&mut peer.nodes);
            if let Some(&moved) = peer.nodes.get(at) {
                let held = &mut self.nodes[moved as usize].held;
                if let Some(held) = held.iter_mut().find(|held| held.key == key) {
                    held.at = at as u32;
                }
            }
            if peer.nodes.is_empty() {
                entry.remove();
            }
        }
        let released = self.prune(id);
        self.shrink(released);
        if last { Removed::Last } else { Removed::LastOfKey }
    }

    /// Takes back one subscription of `key`, which leaves: some one, and all of its duplicates.
    /// Writes its prefix into `prefix`, if it is wanted. `None`: there are none left.
    ///
    /// Each call costs little, however many there are, so that a socket's lock can be given away in
    /// between. Beside walking and removing at most as many nodes as the prefix has bytes, it moves
    /// a few.
    pub(crate) fn pop(&mut self, key: K, prefix: Option<&mut Vec<u8>>) -> Option<Popped> {
        let Entry::Occupied(mut entry) = self.peers.entry(key) else { return None };
        let peer = entry.get_mut();
        let id = peer.nodes.pop()?;
        if peer.nodes.is_empty() {
            entry.remove();
        }
        if self.peers.len() < self.peers.capacity() / 8 {
            self.peers.shrink_to(self.peers.len() * 2);
        }
        let mut work = 1;
        if let Some(prefix) = prefix {
            work += self.spell(id, prefix);
        }
        let held = &mut self.nodes[id as usize].held;
        work += held.len() / HELD_A_VISIT;
        if let Some(slot) = held.iter().position(|held| held.key == key) {
            held.swap_remove(slot);
        }
        give_back(held);
        let last = held.is_empty();
        self.len -= 1;
        self.prefixes -= usize::from(last);
        let released = self.prune(id);
        self.shrink(released);
        Some(Popped { last, work: work + released })
    }

    /// Takes back every subscription of `key`.
    #[cfg(test)]
    pub(crate) fn remove_key(&mut self, key: K) {
        while self.pop(key, None).is_some() {}
    }

    /// Calls `found` for every subscription that `topic` begins with: several times for a key
    /// that has several such prefixes.
    #[inline]
    pub(crate) fn matches(&self, topic: &[u8], mut found: impl FnMut(K)) {
        let mut node = &self.nodes[ROOT as usize];
        let mut rest = topic;
        loop {
            for held in &node.held {
                found(held.key);
            }
            match self.step(node, rest) {
                Some((below, tail)) => (node, rest) = (below, tail),
                None => return,
            }
        }
    }

    /// Whether `topic` begins with any prefix subscribed to.
    #[inline]
    pub(crate) fn contains_match(&self, topic: &[u8]) -> bool {
        let mut node = &self.nodes[ROOT as usize];
        let mut rest = topic;
        while node.held.is_empty() {
            match self.step(node, rest) {
                Some((below, tail)) => (node, rest) = (below, tail),
                None => return false,
            }
        }
        true
    }

    /// Calls `each` with the prefix, the key and the number of duplicates of every subscription,
    /// in the order of the prefixes.
    pub(crate) fn for_each(&self, mut each: impl FnMut(&[u8], K, u32)) {
        let mut prefix = Vec::new();
        let mut ahead = vec![(ROOT, 0)];
        while let Some((id, above_bytes)) = ahead.pop() {
            let node = &self.nodes[id as usize];
            prefix.truncate(above_bytes);
            prefix.extend_from_slice(&node.label);
            for held in &node.held {
                each(&prefix, held.key, held.count);
            }
            ahead.extend(node.children.iter().rev().map(|child| (child.node, prefix.len())));
        }
    }

    /// How many subscriptions there are, duplicates counted once.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The bytes of their prefixes.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.peers.values().map(|peer| peer.bytes).sum()
    }

    /// How many subscriptions `key` has, duplicates counted once.
    #[cfg(test)]
    pub(crate) fn len_of(&self, key: K) -> usize {
        self.peers.get(&key).map_or(0, |peer| peer.nodes.len())
    }

    /// The bytes of their prefixes.
    #[cfg(test)]
    pub(crate) fn bytes_of(&self, key: K) -> usize {
        self.peers.get(&key).map_or(0, |peer| peer.bytes)
    }

    /// One node down the path of a topic, of which `rest` is left.
    #[inline]
    fn step<'a, 't>(&'a self, node: &Node<K>, rest: &'t [u8]) -> Option<(&'a Node<K>, &'t [u8])> {
        let slot = node.child(*rest.first()?).ok()?;
        let below = &self.nodes[node.children[slot].node as usize];
        Some((below, rest.strip_prefix(&*below.label)?))
    }

    /// Writes the prefix that ends at a node, and says how many nodes it has.
    fn spell(&self, mut id: u32, prefix: &mut Vec<u8>) -> usize {
        prefix.clear();
        let mut nodes = 0;
        while id != ROOT {
            let node = &self.nodes[id as usize];
            prefix.extend(node.label.iter().rev());
            nodes += 1;
            id = node.parent;
        }
        prefix.reverse();
        nodes
    }

    /// The node at which `prefix` ends.
    fn find(&self, prefix: &[u8]) -> Option<u32> {
        let (mut id, mut rest) = (ROOT, prefix);
        while let Some(&first) = rest.first() {
            let node = &self.nodes[id as usize];
            id = node.children[node.child(first).ok()?].node;
            rest = rest.strip_prefix(&*self.nodes[id as usize].label)?;
        }
        Some(id)
    }

    /// The node at which `prefix` ends, made if need be.
    fn reach(&mut self, prefix: &[u8]) -> u32 {
        let (mut id, mut rest) = (ROOT, prefix);
        while let Some(&first) = rest.first() {
            let node = &self.nodes[id as usize];
            let Ok(slot) = node.child(first) else { return self.append(id, rest) };
            id = node.children[slot].node;
            let label = &self.nodes[id as usize].label;
            let common = label.iter().zip(rest).take_while(|(a, b)| a == b).count();
            if common < label.len() {
                id = self.split(id, common);
            }
            rest = &rest[common..];
        }
        id
    }

    /// Puts a chain of nodes for `rest` under `id`, which has no child with that first byte, and
    /// returns its end.
    fn append(&mut self, mut id: u32, rest: &[u8]) -> u32 {
        for label in rest.chunks(LABEL_BYTES_MAX) {
            let below = self.allocate(label.into(), id);
            self.nodes[id as usize].adopt(label[0], below);
            id = below;
        }
        id
    }

    /// Puts a new node above `id` that takes the first `at` bytes of its label.
    fn split(&mut self, id: u32, at: usize) -> u32 {
        let node = &mut self.nodes[id as usize];
        let parent = node.parent;
        let (head, tail): (Box<[u8]>, Box<[u8]>) =
            (node.label[..at].into(), node.label[at..].into());
        let (head_first, tail_first) = (head[0], tail[0]);
        node.label = tail;
        let above = self.allocate(head, parent);
        self.nodes[id as usize].parent = above;
        self.nodes[above as usize].adopt(tail_first, id);
        self.nodes[parent as usize].adopt(head_first, above);
        // The pieces are shorter than the whole was, and may now fit their neighbours.
        self.merge(parent);
        self.merge(id);
        above
    }

    /// Restores the invariants after `id` lost one who held it. Says how many nodes are gone.
    fn prune(&mut self, mut id: u32) -> usize {
        let free_before = self.free_len;
        while id != ROOT {
            let node = &mut self.nodes[id as usize];
            if !node.held.is_empty() || !node.children.is_empty() {
                self.merge(id);
                break;
            }
            let (first, parent) = (node.label[0], node.parent);
            self.release(id);
            let node = &mut self.nodes[parent as usize];
            if let Ok(slot) = node.child(first) {
                node.children.remove(slot);
                give_back(&mut node.children);
            }
            id = parent;
        }
        self.free_len - free_before
    }

    /// Joins `id` to its only child, if nobody holds it and the labels fit together.
    fn merge(&mut self, id: u32) {
        let node = &self.nodes[id as usize];
        let [Child { node: below, .. }] = node.children[..] else { return };
        let below_label = &self.nodes[below as usize].label;
        let bytes = node.label.len() + below_label.len();
        if id == ROOT || !node.held.is_empty() || bytes > LABEL_BYTES_MAX {
            return;
        }
        let label = [&node.label[..], below_label].concat().into_boxed_slice();
        let (first, parent) = (label[0], node.parent);
        self.release(id);
        self.nodes[below as usize].label = label;
        self.nodes[below as usize].parent = parent;
        self.nodes[parent as usize].adopt(first, below);
    }

    /// A node in a free slot or a new one. An index cannot overflow: 2³² nodes would be 300 GiB.
    fn allocate(&mut self, label: Box<[u8]>, parent: u32) -> u32 {
        let node = Node::new(label, parent);
        if self.free_head == NONE {
            self.nodes.push(node);
            return (self.nodes.len() - 1) as u32;
        }
        let id = self.free_head;
        self.unlink(id);
        self.nodes[id as usize] = node;
        id
    }

    /// Makes a free slot of a node that nothing points at any more.
    fn release(&mut self, id: u32) {
        let next = self.free_head;
        self.nodes[id as usize] = Node::new(Box::default(), next);
        if next != NONE {
            self.nodes[next as usize].back = id;
        }
        self.free_head = id;
        self.free_len += 1;
    }

    /// Takes a slot out of the list of free ones.
    fn unlink(&mut self, id: u32) {
        let (next, back) = (self.nodes[id as usize].parent, self.nodes[id as usize].back);
        match back {
            NONE => self.free_head = next,
            back => self.nodes[back as usize].parent = next,
        }
        if next != NONE {
            self.nodes[next as usize].back = back;
        }
        self.free_len -= 1;
    }

    /// Gives memory back when most slots are free, a little with each removal, for all of it at once
    /// would hold up whoever waits: a removal that `released` so many nodes takes twice as many slots
    /// away.
    fn shrink(&mut self, released: usize) {
        for _ in 0..2 * released {
            if self.free_len <= FREE_MIN + self.nodes.len() / 2 {
                break;
            }
            self.take_last_slot();
        }
        let (slots, capacity) = (self.nodes.len(), self.nodes.capacity());
        if self.free_len + 1 == slots && slots <= 2 * FREE_MIN + 2 {
            self.nodes.truncate(1);
            self.nodes.shrink_to_fit();
            self.free_head = NONE;
            self.free_len = 0;
        } else if slots < capacity / 2 {
            // By an eighth, for giving pages back costs, too.
            self.nodes.shrink_to(capacity / 8 * 7);
        }
    }

    /// Takes away the last slot; if a node is in it, that moves to a free one.
    fn take_last_slot(&mut self) {
        let last = (self.nodes.len() - 1) as u32;
        if self.nodes[last as usize].label.is_empty() {
            self.unlink(last);
            self.nodes.pop();
            return;
        }
        let to = self.free_head;
        self.unlink(to);
        let Some(node) = self.nodes.pop() else { return };
        self.nodes[node.parent as usize].adopt(node.label[0], to);
        for child in &node.children {
            self.nodes[child.node as usize].parent = to;
        }
        for held in &node.held {
            if let Some(peer) = self.peers.get_mut(&held.key) {
                peer.nodes[held.at as usize] = to;
            }
        }
        self.nodes[to as usize] = node;
    }
}

impl<K> Node<K> {
    fn new(label: Box<[u8]>, parent: u32) -> Node<K> {
        Node { label, children: Vec::new(), held: Vec::new(), parent, back: NONE }
    }

    /// The slot in `children` of the child whose label begins with `first`, or where it would be.
    #[inline]
    fn child(&self, first: u8) -> Result<usize, usize> {
        self.children.binary_search_by_key(&first, |child| child.first)
    }

    /// Makes `node` the child whose label begins with `first`.
    fn adopt(&mut self, first: u8, node: u32) {
        match self.child(first) {
            Ok(slot) => self.children[slot].node = node,
            Err(slot) => {
                if self.children.is_empty() {
                    self.children.reserve_exact(1);
                }
                self.children.insert(slot, Child { first, node });
            }
        }
    }
}

/// Shrinks a vector that is mostly empty, seldom enough for the moves not to count.
fn give_back<T>(items: &mut Vec<T>) {
    if items.len() < items.capacity() / 4 {
        items.shrink_to(items.len() * 2);
    }
}

const ROOT: u32 = 0;

/// No node.
const NONE: u32 = u32::MAX;

/// The longest label: what splitting or merging copies at most. Chosen so that the nodes of a
/// huge prefix weigh 2 % of it.
const LABEL_BYTES_MAX: usize = 4096;

/// The fewest free slots worth moving nodes for; chosen arbitrarily.
const FREE_MIN: usize = 1024;

/// Looking for one key among so many that hold a node costs as much as visiting one, roughly.
const HELD_A_VISIT: usize = 32;
