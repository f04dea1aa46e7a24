//! What a poller is told by its sockets, and the thread to wake for it.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::parker::Parker;

/// Sockets, and whoever changes a registration, leave their news here; a leaf lock, never taken
/// under a socket's.
#[derive(Default)]
pub(crate) struct Told(Mutex<News>);

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
            let mut news = self.0.lock();
            news.keys.push(key);
            news.waiting.clone()
        };
        if let Some(parker) = waiting {
            parker.notify();
        }
    }

    /// The registrations have changed.
    pub(super) fn nudge(&self) {
        let waiting = self.0.lock().waiting.clone();
        if let Some(parker) = waiting {
            parker.notify();
        }
    }

    /// Who is woken from now on.
    pub(super) fn set_waiting(&self, waiting: Option<Arc<Parker>>) {
        self.0.lock().waiting = waiting;
    }

    /// Takes the news.
    pub(super) fn drain(&self, mut each: impl FnMut(u64)) {
        self.0.lock().keys.drain(..).for_each(&mut each);
    }
}
