//! Which connection a message came by: each has a number, by which what is known of it is found.
//!
//! The list is the process's, for messages outlive sockets and contexts. It holds every connection
//! that lasts and the [`ENDED_MAX`] that ended last, in the order of their numbers, so that finding
//! one, adding one and ending one cost little, and one that rests no more than its entry.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::CString;
use std::mem;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use parking_lot::Mutex;

use super::Route;
use crate::sys::{self, RawFd};

/// How many connections are known that have ended. Arbitrary: a message is asked about soon after it
/// was received.
const ENDED_MAX: usize = 1024;

/// The number given last.
static LAST: AtomicU32 = AtomicU32::new(0);

/// The list of this process. A forked child begins with none: its parent's may be half changed.
static LIST: AtomicPtr<List> = AtomicPtr::new(ptr::null_mut());

struct List {
    generation: u64,
    registry: Mutex<Registry>,
}

#[derive(Default)]
struct Registry {
    /// By number, which never decreases.
    entries: Vec<Entry>,
    /// Those that have ended, in that order.
    ended: VecDeque<u32>,
    /// Entries that are no more than their number.
    forgotten: usize,
    /// What C callers were given pointers to, by number and name. No hash table: its pointers into
    /// the middle of its memory look like leaks.
    texts: BTreeMap<u32, Texts>,
}

/// By name.
type Texts = Vec<(Box<str>, CString)>;

struct Entry {
    number: u32,
    /// Once the connection has ended: the complement, so that it is negative.
    descriptor: RawFd,
    route: Option<Arc<Route>>,
}

/// Gives a connection that stands its number, and remembers it.
pub(crate) fn enter(mut route: Route, descriptor: RawFd) -> Arc<Route> {
    let registry = &mut *list().registry.lock();
    loop {
        // Relaxed: under the lock.
        route.number = LAST.load(Ordering::Relaxed).wrapping_add(1);
        LAST.store(route.number, Ordering::Relaxed);
        // After four thousand million connections some numbers are still in use.
        if let (1.., Err(at)) = (route.number, registry.find(route.number)) {
            let number = route.number;
            let route = Arc::new(route);
            registry.insert(at, Entry { number, descriptor, route: Some(route.clone()) });
            return route;
        }
    }
}

/// The connection has ended, if it had a number. It is known for a while.
pub(crate) fn leave(number: u32) {
    if number == 0 {
        return;
    }
    let forgotten = list().registry.lock().leave(number);
    drop(forgotten);
}

/// What is known of a connection, and its descriptor, which may be another's by now.
pub(crate) fn find(number: u32) -> Option<(Arc<Route>, RawFd)> {
    if number == 0 {
        return None;
    }
    let registry = list().registry.lock();
    let entry = &registry.entries[registry.find(number).ok()?];
    let descriptor = if entry.descriptor < 0 { !entry.descriptor } else { entry.descriptor };
    Some((entry.route.clone()?, descriptor))
}

/// A C string that stays where it is for as long as the connection is known. `make` is asked once.
pub(crate) fn text(
    number: u32,
    name: &str,
    make: impl FnOnce() -> Option<CString>,
) -> Option<*const std::ffi::c_char> {
    let known = |registry: &Registry| {
        let texts = registry.texts.get(&number)?;
        texts.iter().find(|(held, _)| **held == *name).map(|(_, text)| text.as_ptr())
    };
    if let Some(text) = known(&list().registry.lock()) {
        return Some(text);
    }
    // What makes it looks for the connection, too.
    let text = make()?;
    let registry = &mut *list().registry.lock();
    registry.find(number).ok().filter(|&at| registry.entries[at].route.is_some())?;
    if let Some(text) = known(registry) {
        return Some(text);
    }
    let place = text.as_ptr();
    registry.texts.entry(number).or_default().push((name.into(), text));
    Some(place)
}

fn list() -> &'static List {
    let generation = sys::fork_generation();
    loop {
        // Acquire: pairs with the Release below.
        let held = LIST.load(Ordering::Acquire);
        // SAFETY: a list that was put there is never freed.
        if let Some(list) = unsafe { held.as_ref() }
            && list.generation == generation
        {
            return list;
        }
        let new = Box::into_raw(Box::new(List { generation, registry: Mutex::default() }));
        if LIST.compare_exchange(held, new, Ordering::Release, Ordering::Relaxed).is_err() {
            // SAFETY: made above, and nobody else's.
            drop(unsafe { Box::from_raw(new) });
        }
    }
}

impl Registry {
    /// Where the entry is, or would be.
    fn find(&self, number: u32) -> Result<usize, usize> {
        if self.entries.last().is_none_or(|last| last.number < number) {
            return Err(self.entries.len());
        }
        self.entries.binary_search_by_key(&number, |entry| entry.number)
    }

    fn insert(&mut self, at: usize, entry: Entry) {
        if self.entries.len() == self.entries.capacity() {
            // Less than twice: what is not used is each connection's burden.
            self.entries.reserve_exact(self.entries.len() / 4 + 16);
        }
        self.entries.insert(at, entry);
    }

    /// Returns what is to be dropped without the lock.
    fn leave(&mut self, number: u32) -> Option<(Arc<Route>, Option<Texts>)> {
        let at = self.find(number).ok()?;
        let entry = &mut self.entries[at];
        if entry.descriptor < 0 {
            return None;
        }
        entry.descriptor = !entry.descriptor;
        self.ended.push_back(number);
        if self.ended.len() <= ENDED_MAX {
            return None;
        }
        let oldest = self.ended.pop_front()?;
        let at = self.find(oldest).ok()?;
        let route = self.entries[at].route.take();
        let texts = self.texts.remove(&oldest);
        self.forgotten += 1;
        if self.forgotten > self.entries.len() / 2 {
            self.entries.retain(|entry| entry.route.is_some());
            self.entries.shrink_to(self.entries.len() / 4 * 5);
            self.forgotten = 0;
        }
        route.map(|route| (route, texts))
    }
}

// Its number and descriptor, and a pointer.
const _: () = assert!(mem::size_of::<Entry>() == 8 + mem::size_of::<usize>());

#[cfg(test)]
mod tests {
    use super::*;

    fn route() -> Route {
        Route::new(&"tcp://*:1".into(), true)
    }

    /// As `enter`, in a list of its own.
    fn enter(registry: &mut Registry, number: u32) {
        let at = registry.find(number).unwrap_err();
        let route = Some(Arc::new(Route { number, ..route() }));
        registry.insert(at, Entry { number, descriptor: 7, route });
    }

    fn knows(registry: &Registry, number: u32) -> bool {
        registry.find(number).is_ok_and(|at| {
            let route = registry.entries[at].route.as_ref();
            route.is_some_and(|route| route.number == number)
        })
    }

    #[test]
    fn the_last_to_end_are_known_and_the_list_does_not_grow() {
        let mut registry = Registry::default();
        let lasting = [1, 70_000, 100_000];
        for number in 1..=100_000 {
            enter(&mut registry, number);
            if !lasting.contains(&number) {
                registry.leave(number);
                registry.leave(number);
            }
        }
        assert!(lasting.iter().all(|&number| knows(&registry, number)));
        let known: Vec<u32> = (1..=100_000).filter(|&number| knows(&registry, number)).collect();
        assert_eq!(known.len(), ENDED_MAX + lasting.len());
        assert_eq!(known[2..], (100_000 - ENDED_MAX as u32 - 1..=100_000).collect::<Vec<_>>()[1..]);
        assert!(registry.entries.capacity() < 4 * ENDED_MAX, "{}", registry.entries.capacity());
    }

    #[test]
    fn numbers_that_begin_anew_find_their_place() {
        let mut registry = Registry::default();
        for number in [u32::MAX - 1, u32::MAX, 1, 2, 5, 4] {
            enter(&mut registry, number);
        }
        let numbers: Vec<u32> = registry.entries.iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, [1, 2, 4, 5, u32::MAX - 1, u32::MAX]);
        assert!(registry.find(3).is_err());
    }

    #[test]
    fn a_connection_has_a_number_and_is_found_by_it() {
        let (one, other) = (super::enter(route(), 5), super::enter(route(), 6));
        assert!(one.number != 0 && one.number < other.number);
        assert_eq!(find(one.number).unwrap().1, 5);
        let text = text(one.number, "name", || CString::new("value").ok()).unwrap();
        assert_eq!(super::text(one.number, "name", || None), Some(text));
        assert_eq!(super::text(one.number, "other", || None), None);
        leave(one.number);
        assert_eq!(find(one.number).unwrap().1, 5);
        assert_eq!(super::text(one.number, "name", || None), Some(text));
        assert!(find(0).is_none());
        leave(other.number);
    }
}
