//! The subscriptions that a peer is still to be told of.
//!
//! A peer that does not read is told nothing, and the application may change its mind for ever. So
//! only so much is kept as it happened; what is older is folded into what the peer must hear of each
//! prefix. That is bounded by what is subscribed to and what the peer has been told, not by how often
//! it changed. Between different prefixes the order is lost then, which no peer can notice.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};

#[cfg(test)]
mod tests;

/// What waits, the oldest first: `initial`, then `folded`, then `recent`.
#[derive(Default)]
pub(crate) struct Outbox {
    /// What was subscribed to when the peer came, the first at the end.
    initial: Vec<Box<[u8]>>,
    folded: BTreeMap<Box<[u8]>, Folded>,
    recent: VecDeque<Change>,
    recent_bytes: usize,
}

/// A change of what is subscribed to.
pub(crate) struct Change {
    pub(crate) prefix: Box<[u8]>,
    pub(crate) kind: ChangeKind,
    /// Whether the peer, once told of all before, takes the prefix for subscribed to.
    pub(crate) was_held: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChangeKind {
    Subscribe,
    /// The end of one of several subscriptions: who wants to hear of each one's end counts them.
    CancelOne,
    /// The end of the last.
    CancelLast,
}

/// What the peer is to hear of a prefix: so many ends, then so many subscriptions.
struct Folded {
    /// What it has heard so far.
    told: bool,
    cancels: u32,
    subscribes: u32,
}

/// How much is kept as it happened. Arbitrary.
const RECENT_BYTES_MAX: usize = 64 << 10;

/// What one change costs beside its prefix, roughly.
const BYTES_EACH: usize = 64;

impl Outbox {
    /// Of a peer that has heard of nothing, and is to hear of these prefixes first.
    pub(crate) fn new(mut prefixes: Vec<Box<[u8]>>) -> Outbox {
        prefixes.reverse();
        Outbox { initial: prefixes, ..Outbox::default() }
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.recent_bytes += change.prefix.len() + BYTES_EACH;
        self.recent.push_back(change);
        if self.recent_bytes > RECENT_BYTES_MAX {
            self.fold();
        }
    }

    /// The next things to tell, the oldest first: so much that the room is filled, if there is any.
    /// `true` is a subscription, `false` the end of one.
    pub(crate) fn take(&mut self, room_bytes: usize) -> Vec<(bool, Box<[u8]>)> {
        let (mut taken, mut bytes) = (Vec::new(), 0);
        while bytes < room_bytes
            && let Some((add, prefix)) = self.pop()
        {
            bytes += prefix.len() + BYTES_EACH;
            taken.push((add, prefix));
        }
        taken
    }

    fn pop(&mut self) -> Option<(bool, Box<[u8]>)> {
        if let Some(prefix) = self.initial.pop() {
            return Some((true, prefix));
        }
        self.initial = Vec::new();
        if let Some(mut entry) = self.folded.first_entry() {
            let folded = entry.get_mut();
            let add = folded.cancels == 0;
            let left = if add { &mut folded.subscribes } else { &mut folded.cancels };
            *left = left.saturating_sub(1);
            // An end may be that of one of several.
            folded.told |= add;
            let prefix =
                if folded.is_done() { entry.remove_entry().0 } else { entry.key().clone() };
            return Some((add, prefix));
        }
        let change = self.recent.pop_front()?;
        self.recent_bytes -= change.prefix.len() + BYTES_EACH;
        Some((change.kind == ChangeKind::Subscribe, change.prefix))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.initial.is_empty() && self.folded.is_empty() && self.recent.is_empty()
    }

    fn fold(&mut self) {
        self.recent_bytes = 0;
        for Change { prefix, kind, was_held } in self.recent.drain(..) {
            match self.folded.entry(prefix) {
                Entry::Occupied(mut entry) => {
                    entry.get_mut().add(kind);
                    if entry.get().is_done() {
                        entry.remove();
                    }
                }
                Entry::Vacant(entry) => {
                    let mut folded = Folded { told: was_held, cancels: 0, subscribes: 0 };
                    folded.add(kind);
                    if !folded.is_done() {
                        entry.insert(folded);
                    }
                }
            }
        }
    }
}

impl Folded {
    fn add(&mut self, kind: ChangeKind) {
        match kind {
            ChangeKind::Subscribe => self.subscribes = self.subscribes.saturating_add(1),
            ChangeKind::CancelOne if self.subscribes > 0 => self.subscribes -= 1,
            // The peer has nothing of which this could be the end.
            ChangeKind::CancelOne if !self.told => {}
            ChangeKind::CancelOne => self.cancels = self.cancels.saturating_add(1),
            ChangeKind::CancelLast => {
                self.subscribes = 0;
                self.cancels = u32::from(self.told);
            }
        }
    }

    fn is_done(&self) -> bool {
        self.cancels == 0 && self.subscribes == 0
    }
}
