//! What a poller is told by its sockets, and the thread to wake for it.

use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use crate::bell::Bell;
use crate::parker::Parker;

/// Sockets, and whoever changes a registration, leave their news here; a leaf lock, never taken
/// under a socket's.
#[derive(Default)]
pub(crate) struct Told {
    news: Mutex<News>,
    /// Rings while a look may find something, once somebody has asked for the poller's descriptor.
    bell: OnceLock<Bell>,
}

#[derive(Default)]
struct News {
    keys: Vec<u64>,
    /// The thread that waits, from before its look to after its sleep.
    waiting: Option<Arc<Parker>>,
}

impl Told {
    /// Something has happened to the socket registered under `key`.
    pub(crate) fn tell(&self, key: u64) {
        let waiting = {
            let mut news = self.news.lock();
            news.keys.push(key);
            news.waiting.clone()
        };
        if let Some(parker) = waiting {
            parker.notify();
        }
        self.ring();
    }

    /// The registrations have changed.
    pub(super) fn nudge(&self) {
        let waiting = self.news.lock().waiting.clone();
        if let Some(parker) = waiting {
            parker.notify();
        }
        self.ring();
    }

    /// Who is woken from now on.
    pub(super) fn set_waiting(&self, waiting: Option<Arc<Parker>>) {
        self.news.lock().waiting = waiting;
    }

    /// Takes the news.
    pub(super) fn drain(&self, mut each: impl FnMut(u64)) {
        self.news.lock().keys.drain(..).for_each(&mut each);
    }

    // The bell.

    pub(super) fn bell(&self) -> Option<&Bell> {
        self.bell.get()
    }

    /// Has `bell` ring from now on. Refused: there is one.
    pub(super) fn set_bell(&self, bell: Bell) -> Result<(), Bell> {
        self.bell.set(bell)?;
        self.ring();
        Ok(())
    }

    /// A look may find something.
    pub(super) fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell.ring();
        }
    }
}
