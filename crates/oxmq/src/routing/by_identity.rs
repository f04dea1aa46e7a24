//! Who bears which identity (routing id).

use std::collections::HashMap;
use std::sync::Arc;

use crate::socket::pipes::{PipeId, Pipes};
use crate::sys;

/// The peers of a ROUTER, by name. A name is one living peer's.
pub(crate) struct ByIdentity {
    pipes: HashMap<Arc<[u8]>, PipeId>,
    /// The same the other way round.
    names: HashMap<PipeId, Arc<[u8]>>,
    /// The number in the last name made up. They begin anywhere: a reply that outlives a ROUTER must
    /// not find, at its successor, another peer under the name of the one that asked.
    made_up: u32,
}

impl Default for ByIdentity {
    fn default() -> ByIdentity {
        ByIdentity {
            pipes: HashMap::new(),
            names: HashMap::new(),
            made_up: sys::random_u64() as u32,
        }
    }
}

impl ByIdentity {
    /// Names the peer at the end of `pipe` as it names itself, or by a name made up, which begins
    /// with a zero byte.
    ///
    /// # Errors
    /// Another peer, that of the pipe returned, bears the name.
    pub(crate) fn name(&mut self, pipes: &mut Pipes, id: PipeId) -> Result<(), PipeId> {
        let Some(pipe) = pipes.get(id) else { return Ok(()) };
        if pipe.identity.is_empty() {
            pipe.identity = self.make_up();
        }
        match self.pipes.get(&pipe.identity[..]) {
            Some(&other) if other != id => Err(other),
            Some(_) => Ok(()),
            None => {
                let identity: Arc<[u8]> = pipe.identity[..].into();
                // A connection that comes again may bear another name.
                self.forget(id);
                self.pipes.insert(identity.clone(), id);
                self.names.insert(id, identity);
                Ok(())
            }
        }
    }

    /// Who bears the name.
    #[inline]
    pub(crate) fn find(&self, identity: &[u8]) -> Option<PipeId> {
        self.pipes.get(identity).copied()
    }

    /// Frees the name of the peer at the end of `pipe`. False: it has none.
    pub(crate) fn forget(&mut self, pipe: PipeId) -> bool {
        if cfg!(oxmq_mutation = "sim_forgotten_name") {
            return false;
        }
        let name = self.names.remove(&pipe);
        name.is_some_and(|name| self.pipes.remove(&name).is_some())
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = PipeId> + '_ {
        self.pipes.values().copied()
    }

    fn make_up(&mut self) -> Box<[u8]> {
        loop {
            self.made_up = self.made_up.wrapping_add(1);
            let mut name = vec![0];
            name.extend_from_slice(&self.made_up.to_be_bytes());
            if !self.pipes.contains_key(&name[..]) {
                return name.into();
            }
        }
    }
}
