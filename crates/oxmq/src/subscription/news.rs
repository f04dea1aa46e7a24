//! What an application is still to hear of its peers' subscriptions.
//!
//! Nobody has to receive it, so what waits is bounded. Up to [`HISTORY_BYTES_MAX`] all is kept as it
//! happened. Beyond that the ends of subscriptions that the application has not heard of take them
//! along, and what a peer leaves behind that goes is reduced to what the application must hear: it is
//! told the difference, not the history. What cannot be reduced, because every change is asked for,
//! is counted for each peer, and who would have more waiting than [`PEER_BYTES_MAX`] is refused.
//!
//! Invariant: once the application has received everything about a topic, it believes what is true.
//! So a topic about which nothing waits needs no record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The news of keys (peers), in order.
pub(crate) struct News<K> {
    /// By number, the older ones first.
    entries: BTreeMap<u64, Entry<K>>,
    /// The number of the next entry.
    next: u64,
    /// Of each topic about which anything waits, what the application believes now.
    told: BTreeMap<Topic<K>, bool>,
    /// The numbers of the entries, by topic.
    waiting: BTreeSet<(Topic<K>, u64)>,
    /// What each key has waiting; none that has nothing.
    peers: BTreeMap<K, Debt>,
    /// What all of it takes in memory.
    bytes: usize,
}

/// What is true or not: that a key wants the prefix, or (`None`) that anybody does.
pub(crate) type Topic<K> = (Option<K>, Arc<[u8]>);

/// The peer would have more news waiting than it may.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

struct Entry<K> {
    from: K,
    topic: Topic<K>,
    add: bool,
    /// It counts against its peer. What a peer's leaving brought does not.
    counts: bool,
}

#[derive(Default)]
struct Debt {
    bytes: usize,
    /// The numbers of the entries.
    entries: BTreeSet<u64>,
}

/// What may wait before anything is left out. Arbitrary; little in this crate's own tests.
const HISTORY_BYTES_MAX: usize = if cfg!(test) { 16 << 10 } else { 1 << 20 };

/// What one peer's news may take. Arbitrary, as above.
const PEER_BYTES_MAX: usize = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// What one entry is counted as beside its prefix. It is a few times that in truth, as are the
/// subscriptions themselves.
const BYTES_EACH: usize = 64;

impl<K: Copy + Ord> News<K> {
    pub(crate) fn new() -> News<K> {
        News {
            entries: BTreeMap::new(),
            next: 0,
            told: BTreeMap::new(),
            waiting: BTreeSet::new(),
            peers: BTreeMap::new(),
            bytes: 0,
        }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether more waits than is kept as it happened.
    pub(crate) fn is_long(&self) -> bool {
        self.bytes > HISTORY_BYTES_MAX
    }

    /// A peer that stays has changed what is true of a topic, or has said it again (`was` is what was
    /// true before). `every`: the application asks for each change.
    pub(crate) fn tell(
        &mut self,
        from: K,
        topic: Topic<K>,
        add: bool,
        was: bool,
        every: bool,
    ) -> Result<(), Full> {
        if !every && self.is_long() && self.take_back(&topic, add) {
            return Ok(());
        }
        let waiting_bytes = self.peers.get(&from).map_or(0, |debt| debt.bytes);
        if waiting_bytes.saturating_add(bytes_of(&topic)) > PEER_BYTES_MAX {
            return Err(Full);
        }
        self.append(from, topic, add, was, true);
        Ok(())
    }

    /// A topic has ended with a peer that leaves.
    pub(crate) fn tell_end(&mut self, from: K, topic: Topic<K>) {
        if !self.is_long() || !self.take_back(&topic, false) {
            self.append(from, topic, false, true, false);
        }
    }

    /// Forgets the last entry of a peer that leaves, and says what it was about: what is true of that
    /// is to be [settled](News::settle) then. `every`: as in [`News::tell`].
    pub(crate) fn pop_of(&mut self, from: K, every: bool) -> Option<Topic<K>> {
        let &number = self.peers.get(&from)?.entries.last()?;
        let topic = self.remove(number)?.topic;
        // What followed may be no news any more: a second end always, a second beginning unless each
        // is asked for.
        let before = self.range_of(&topic, 0, number).next_back();
        let believed = before.or_else(|| Some((0, *self.told.get(&topic)?)));
        let after = self.range_of(&topic, number, u64::MAX).next();
        if let (Some((_, believed)), Some((after, add))) = (believed, after)
            && believed == add
            && !(add && every)
        {
            self.remove(after);
        }
        Some(topic)
    }

    /// Makes what waits about a topic, of which a peer that left has taken a part away, end with what
    /// is true.
    pub(crate) fn settle(&mut self, from: K, topic: Topic<K>, is: bool) {
        let Some(&told) = self.told.get(&topic) else { return };
        if !self.take_back(&topic, is) {
            self.append(from, topic, is, told, false);
        }
    }

    /// Nothing waits, and no record of it is kept.
    #[cfg(test)]
    pub(crate) fn holds_nothing(&self) -> bool {
        let News { entries, told, waiting, peers, bytes, .. } = self;
        let empty = entries.is_empty() && told.is_empty() && waiting.is_empty();
        empty && peers.is_empty() && *bytes == 0
    }

    /// The oldest entry: who brought it, whether something began or ended, and the prefix.
    pub(crate) fn pop(&mut self) -> Option<(K, bool, Arc<[u8]>)> {
        let (&number, _) = self.entries.first_key_value()?;
        let Entry { from, topic, add, .. } = self.remove(number)?;
        if self.last_of(&topic).is_none() {
            self.told.remove(&topic);
        } else if let Some(told) = self.told.get_mut(&topic) {
            *told = add;
        }
        Some((from, add, topic.1))
    }

    /// Removes the entries at the end of a topic that `add` undoes. True: nothing is left to be said.
    fn take_back(&mut self, topic: &Topic<K>, add: bool) -> bool {
        let Some(&told) = self.told.get(topic) else { return false };
        loop {
            match self.last_of(topic) {
                Some((_, end)) if end == add => return true,
                Some((last, _)) => self.remove(last),
                None if told == add => {
                    self.told.remove(topic);
                    return true;
                }
                None => return false,
            };
        }
    }

    fn last_of(&self, topic: &Topic<K>) -> Option<(u64, bool)> {
        self.range_of(topic, 0, u64::MAX).next_back()
    }

    /// Some of a topic's entries, by number, and what each says.
    fn range_of(
        &self,
        topic: &Topic<K>,
        first: u64,
        last: u64,
    ) -> impl DoubleEndedIterator<Item = (u64, bool)> {
        let range = self.waiting.range((topic.clone(), first)..=(topic.clone(), last));
        range.filter_map(|(_, number)| Some((*number, self.entries.get(number)?.add)))
    }

    fn append(&mut self, from: K, topic: Topic<K>, add: bool, was: bool, counts: bool) {
        let number = self.next;
        self.next += 1;
        let bytes = bytes_of(&topic);
        self.bytes += bytes;
        self.told.entry(topic.clone()).or_insert(was);
        self.waiting.insert((topic.clone(), number));
        if counts {
            let debt = self.peers.entry(from).or_default();
            debt.bytes += bytes;
            debt.entries.insert(number);
        }
        self.entries.insert(number, Entry { from, topic, add, counts });
    }

    /// Removes an entry; of its topic what was told stays.
    fn remove(&mut self, number: u64) -> Option<Entry<K>> {
        let entry = self.entries.remove(&number)?;
        let bytes = bytes_of(&entry.topic);
        self.bytes -= bytes;
        let waiting = (entry.topic, number);
        self.waiting.remove(&waiting);
        let entry = Entry { topic: waiting.0, ..entry };
        if entry.counts
            && let Some(debt) = self.peers.get_mut(&entry.from)
        {
            debt.bytes -= bytes;
            debt.entries.remove(&number);
            if debt.entries.is_empty() {
                self.peers.remove(&entry.from);
            }
        }
        Some(entry)
    }
}

fn bytes_of<K>((_, prefix): &Topic<K>) -> usize {
    prefix.len() + BYTES_EACH
}
