//! Pipes that take turns.

use crate::socket::pipes::PipeId;

/// A ring of pipes, and whose turn it is. Everything costs the same however many pipes there are: with
/// thousands of peers, each goes to sleep and wakes up all the time.
#[derive(Default)]
pub(super) struct Ring {
    /// By the pipes' indices; of pipes that are not in the ring, empty.
    links: Vec<Option<Link>>,
    /// The index of the pipe whose turn it is; `None` if the ring is empty.
    current: Option<u32>,
    /// The index of the pipe with which a round begins; `None` if the ring is empty.
    first: Option<u32>,
    len: usize,
}

/// One pipe, between its neighbours, who are given by their indices.
#[derive(Clone, Copy)]
struct Link {
    pipe: PipeId,
    before: u32,
    after: u32,
}

impl Ring {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whose turn it is.
    #[inline]
    pub(super) fn current(&self) -> Option<PipeId> {
        Some(self.link(self.current?)?.pipe)
    }

    /// The next pipe's turn.
    #[inline]
    pub(super) fn advance(&mut self) {
        if let Some(current) = self.current
            && let Some(link) = self.link(current)
        {
            self.current = Some(link.after);
        }
    }

    /// A pipe comes last in the round, as in libzmq; nothing changes for one that is there.
    pub(super) fn insert(&mut self, pipe: PipeId) {
        let index = pipe.index();
        if let Some(link) = self.link(index) {
            if link.pipe == pipe {
                return;
            }
            // An earlier pipe's, that went without a word.
            self.unlink(*link);
        }
        let at = index as usize;
        if self.links.len() <= at {
            self.links.resize(at + 1, None);
        }
        let (before, after) = match self.first.and_then(|first| self.link(first)) {
            Some(first) => (first.before, first.pipe.index()),
            None => (index, index),
        };
        self.links[at] = Some(Link { pipe, before, after });
        self.join(before, index);
        self.join(index, after);
        self.current.get_or_insert(index);
        self.first.get_or_insert(index);
        self.len += 1;
    }

    /// Takes a pipe out; if it was its turn, it is the next one's. False: it was not in the ring.
    pub(super) fn remove(&mut self, pipe: PipeId) -> bool {
        match self.link(pipe.index()) {
            Some(link) if link.pipe == pipe => {
                self.unlink(*link);
                true
            }
            _ => false,
        }
    }

    fn unlink(&mut self, link: Link) {
        let index = link.pipe.index();
        self.links[index as usize] = None;
        self.len -= 1;
        if self.len == 0 {
            (self.current, self.first) = (None, None);
            return;
        }
        self.join(link.before, link.after);
        for place in [&mut self.current, &mut self.first] {
            if *place == Some(index) {
                *place = Some(link.after);
            }
        }
    }

    #[inline]
    fn link(&self, index: u32) -> Option<&Link> {
        self.links.get(index as usize)?.as_ref()
    }

    fn join(&mut self, before: u32, after: u32) {
        if let Some(Some(link)) = self.links.get_mut(before as usize) {
            link.after = after;
        }
        if let Some(Some(link)) = self.links.get_mut(after as usize) {
            link.before = before;
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn pipe(index: u32, generation: u32) -> PipeId {
        PipeId::from_bits(u64::from(generation) << 32 | u64::from(index))
    }

    /// What the ring is to be: those that take turns, in order, the one whose turn it is first.
    fn order(ring: &mut Ring) -> Vec<PipeId> {
        (0..ring.len())
            .filter_map(|_| {
                let pipe = ring.current();
                ring.advance();
                pipe
            })
            .collect()
    }

    #[test]
    fn it_does_as_a_list_and_a_place_in_it() {
        let mut ring = Ring::default();
        let (mut list, mut current): (Vec<PipeId>, usize) = (Vec::new(), 0);
        let take = |list: &mut Vec<PipeId>, current: &mut usize, at: usize| {
            list.remove(at);
            *current -= usize::from(at < *current);
            if *current == list.len() {
                *current = 0;
            }
        };
        let mut random = 1_u64;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let (what, index) = (random >> 60, (random >> 40) as u32 % 12);
            let generation = (random >> 56) as u32 & 1;
            let pipe = pipe(index, generation);
            match what {
                0..6 => {
                    let earlier = |held: &PipeId| held.index() == index && *held != pipe;
                    if let Some(at) = list.iter().position(earlier) {
                        take(&mut list, &mut current, at);
                    }
                    if !list.contains(&pipe) {
                        list.push(pipe);
                    }
                    ring.insert(pipe);
                }
                6..12 => {
                    let at = list.iter().position(|held| *held == pipe);
                    assert_eq!(ring.remove(pipe), at.is_some());
                    if let Some(at) = at {
                        take(&mut list, &mut current, at);
                    }
                }
                _ => {
                    current = if current + 1 < list.len() { current + 1 } else { 0 };
                    ring.advance();
                }
            }
            let (done, next) = list.split_at(current);
            assert_eq!(order(&mut ring), [next, done].concat());
        }
    }
}
