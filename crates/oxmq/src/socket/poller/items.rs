//! What is registered with a poller, and which of it has to be looked at.

use std::collections::HashMap;
use std::mem;
use std::os::fd::RawFd;
use std::sync::Arc;

use super::Told;
use crate::socket::core::Core;
use crate::socket::waiters::Events;

/// Names a registration; never used again for another.
pub(super) type Key = u64;

/// Names none.
pub(super) const NO_KEY: Key = 0;

/// The registrations. Their lock is never held while a socket is asked or the system called.
#[derive(Default)]
pub(super) struct Items {
    entries: HashMap<Key, Entry>,
    keys: HashMap<Name, Key>,
    last_key: Key,
    sockets: usize,
    /// Sockets to look at; each once (`Entry::queued`).
    candidates: Vec<Key>,
    /// Descriptors that are always ready, since the system has nothing to wait for in them.
    always_ready: Vec<Key>,
    /// A thread waits.
    pub(super) waited_for: bool,
}

/// What is registered, and under which name nothing else may be.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Name {
    /// The address of its core, which the entry keeps.
    Socket(usize),
    Descriptor(RawFd),
}

impl Name {
    pub(super) fn of(core: &Arc<Core>) -> Name {
        Name::Socket(Arc::as_ptr(core).addr())
    }
}

pub(super) struct Entry {
    pub(super) target: Target,
    pub(super) wanted: Events,
    pub(super) token: usize,
    /// Among the candidates.
    queued: bool,
}

#[derive(Clone)]
pub(super) enum Target {
    /// A socket, and the poller's id among its waiters.
    Socket(Arc<Core>, u64),
    Descriptor(RawFd),
}

/// A socket about to be looked at.
pub(super) struct Candidate {
    pub(super) key: Key,
    pub(super) core: Arc<Core>,
    pub(super) id: u64,
    pub(super) wanted: Events,
}

impl Items {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn key(&self, name: Name) -> Option<Key> {
        self.keys.get(&name).copied()
    }

    pub(super) fn get(&self, key: Key) -> Option<&Entry> {
        self.entries.get(&key)
    }

    /// `None`: it is there already.
    pub(super) fn insert(
        &mut self,
        name: Name,
        target: Target,
        wanted: Events,
        token: usize,
    ) -> Option<Key> {
        if self.keys.contains_key(&name) {
            return None;
        }
        self.last_key += 1;
        let key = self.last_key;
        self.sockets += usize::from(matches!(target, Target::Socket(..)));
        self.keys.insert(name, key);
        self.entries.insert(key, Entry { target, wanted, token, queued: false });
        self.queue(key);
        Some(key)
    }

    pub(super) fn remove(&mut self, name: Name) -> Option<Entry> {
        let key = self.keys.remove(&name)?;
        self.always_ready.retain(|ready| *ready != key);
        let entry = self.entries.remove(&key)?;
        self.sockets -= usize::from(matches!(entry.target, Target::Socket(..)));
        Some(entry)
    }

    /// Replaces what is waited for; a socket is looked at anew. `None`: it is not there.
    pub(super) fn modify(&mut self, name: Name, wanted: Events) -> Option<Key> {
        let key = self.key(name)?;
        self.entries.get_mut(&key)?.wanted = wanted;
        self.queue(key);
        Some(key)
    }

    pub(super) fn take_all(&mut self) -> Vec<Entry> {
        let entries = mem::take(self).entries;
        entries.into_values().collect()
    }

    pub(super) fn add_always_ready(&mut self, key: Key) {
        self.always_ready.push(key);
    }

    pub(super) fn always_ready(&self) -> impl Iterator<Item = &Entry> {
        self.always_ready.iter().filter_map(|key| self.entries.get(key))
    }

    /// All the sockets, if they are few.
    pub(super) fn few_sockets(&self, max: usize) -> Vec<(Arc<Core>, u64)> {
        if self.sockets > max {
            return Vec::new();
        }
        let sockets = self.entries.values().filter_map(|entry| match &entry.target {
            Target::Socket(core, id) => Some((core.clone(), *id)),
            Target::Descriptor(_) => None,
        });
        sockets.collect()
    }

    // Candidates.

    /// A socket is to be looked at; of anything else, and of what is gone, nothing comes.
    pub(super) fn queue(&mut self, key: Key) {
        if let Some(entry) = self.entries.get_mut(&key)
            && matches!(entry.target, Target::Socket(..))
            && !entry.queued
        {
            entry.queued = true;
            self.candidates.push(key);
        }
    }

    /// Whether another look may find something, though nobody has told of it.
    pub(super) fn is_unsettled(&self) -> bool {
        let wanted = Events::IN | Events::OUT;
        !self.candidates.is_empty()
            || self.always_ready().any(|entry| entry.wanted.intersects(wanted))
    }

    /// Takes the candidates, those told of just now among them.
    pub(super) fn take_candidates(&mut self, told: &Told) -> Vec<Candidate> {
        told.drain(|key| self.queue(key));
        let entries = &mut self.entries;
        let taken = self.candidates.drain(..).filter_map(|key| {
            let entry = entries.get_mut(&key)?;
            entry.queued = false;
            let Target::Socket(core, id) = &entry.target else { return None };
            Some(Candidate { key, core: core.clone(), id: *id, wanted: entry.wanted })
        });
        taken.collect()
    }
}
