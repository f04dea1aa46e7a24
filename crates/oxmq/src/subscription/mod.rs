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
//! - A node that somebody holds keeps its index: splitting puts a new node above it, and merging
//!   takes away the upper one.
//! - `peers[held.key].nodes[held.at]` is the node that `held` stands in, and the reverse.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

#[cfg(test)]
mod tests;

/// The subscriptions of keys (peers) to prefixes of topics.
pub(crate) struct Subscriptions<K> {
    nodes: Vec<Node<K>>,
    /// The free slots of `nodes`, linked through `Node::parent`; `NONE` ends the list.
    free_head: u32,
    free_len: usize,
    peers: HashMap<K, Peer>,
    /// Subscriptions, each key's duplicates counted once.
    len: usize,
    /// The lengths of their prefixes.
    bytes: usize,
}

/// What became of a subscription that somebody gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removed {
    /// The key had no subscription to exactly this prefix.
    NotFound,
    /// The key had subscribed more than once, and still is.
    StillHeld,
    /// It was the key's last subscription to this prefix.
    LastOfKey,
}

struct Node<K> {
    label: Box<[u8]>,
    /// Sorted by `first`.
    children: Vec<Child>,
    held: Vec<Held<K>>,
    parent: u32,
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
    bytes: usize,
}

impl<K: Copy + Eq + Hash> Subscriptions<K> {
    pub(crate) fn new() -> Subscriptions<K> {
        Subscriptions {
            nodes: vec![Node::new(Box::default(), NONE)],
            free_head: NONE,
            free_len: 0,
            peers: HashMap::new(),
            len: 0,
            bytes: 0,
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
        }
        node.held.push(Held { key, count: 1, at: peer.nodes.len() as u32 });
        peer.nodes.push(id);
        peer.bytes += prefix.len();
        self.len += 1;
        self.bytes += prefix.len();
        true
    }

    /// Subscribes `key` as [`insert`](Subscriptions::insert) does, but once only: one
    /// [`remove`](Subscriptions::remove) is enough however often this is called.
    pub(crate) fn insert_once(&mut self, prefix: &[u8], key: K) {
        let held = self.find(prefix).map(|id| &self.nodes[id as usize].held);
        if !held.is_some_and(|held| held.iter().any(|held| held.key == key)) {
            self.insert(prefix, key);
        }
    }

    /// How many keys are subscribed to exactly this prefix.
    pub(crate) fn holders(&self, prefix: &[u8]) -> usize {
        self.find(prefix).map_or(0, |id| self.nodes[id as usize].held.len())
    }

    /// How many prefixes anybody is subscribed to. Walks them all.
    pub(crate) fn prefixes(&self) -> usize {
        self.nodes.iter().filter(|node| !node.held.is_empty()).count()
    }

    /// The prefixes that `key` is subscribed to, in no particular order.
    pub(crate) fn prefixes_of(&self, key: K) -> Vec<Vec<u8>> {
        let nodes = self.peers.get(&key).map_or(&[][..], |peer| &peer.nodes);
        let prefix = |&end: &u32| {
            let mut path = vec![end];
            while path[path.len() - 1] != ROOT {
                path.push(self.nodes[path[path.len() - 1] as usize].parent);
            }
            let labels = path.iter().rev().flat_map(|&id| self.nodes[id as usize].label.iter());
            labels.copied().collect()
        };
        nodes.iter().map(prefix).collect()
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
        self.len -= 1;
        self.bytes -= prefix.len();
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
        self.prune(id);
        self.shrink();
        Removed::LastOfKey
    }

    /// Takes back every subscription of `key`: the peer left.
    pub(crate) fn remove_key(&mut self, key: K) {
        let Some(peer) = self.peers.remove(&key) else { return };
        self.len -= peer.nodes.len();
        self.bytes -= peer.bytes;
        for id in peer.nodes {
            let held = &mut self.nodes[id as usize].held;
            held.retain(|held| held.key != key);
            give_back(held);
            self.prune(id);
        }
        self.shrink();
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
        self.bytes
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

    /// Restores the invariants after `id` lost one who held it.
    fn prune(&mut self, mut id: u32) {
        while id != ROOT {
            let node = &mut self.nodes[id as usize];
            if !node.held.is_empty() || !node.children.is_empty() {
                return self.merge(id);
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
        self.free_head = self.nodes[id as usize].parent;
        self.free_len -= 1;
        self.nodes[id as usize] = node;
        id
    }

    /// Makes a free slot of a node that nothing points at any more.
    fn release(&mut self, id: u32) {
        self.nodes[id as usize] = Node::new(Box::default(), self.free_head);
        self.free_head = id;
        self.free_len += 1;
    }

    /// Moves the nodes together and gives memory back when most slots are free. As many removals
    /// came before as nodes move here.
    fn shrink(&mut self) {
        if self.peers.len() < self.peers.capacity() / 8 {
            self.peers.shrink_to(self.peers.len() * 2);
        }
        if self.free_len < FREE_MIN || self.free_len < self.nodes.len() / 4 * 3 {
            return;
        }
        let mut live = 0;
        let moved: Vec<u32> = (ROOT..)
            .zip(&self.nodes)
            .map(|(id, node)| {
                let new = live;
                live += u32::from(id == ROOT || !node.label.is_empty());
                new
            })
            .collect();
        let mut id = ROOT;
        self.nodes.retain_mut(|node| {
            let keep = id == ROOT || !node.label.is_empty();
            if keep && id != ROOT {
                node.parent = moved[node.parent as usize];
            }
            for child in &mut node.children {
                child.node = moved[child.node as usize];
            }
            id += 1;
            keep
        });
        self.nodes.shrink_to_fit();
        for node in self.peers.values_mut().flat_map(|peer| &mut peer.nodes) {
            *node = moved[*node as usize];
        }
        self.free_head = NONE;
        self.free_len = 0;
    }
}

impl<K> Node<K> {
    fn new(label: Box<[u8]>, parent: u32) -> Node<K> {
        Node { label, children: Vec::new(), held: Vec::new(), parent }
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
