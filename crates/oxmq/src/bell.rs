//! A descriptor that is readable while there may be news, for event loops that are not ours.

use crate::sync::{AtomicBool, AtomicU32, Ordering, mutate};

#[cfg(not(loom))]
pub(crate) use with_fd::Bell;

/// Whether the descriptor is readable, so that ringing what rings already costs a look.
///
/// Who has news first leaves it, under some lock, then rings: one of those who find the bell quiet
/// makes it rung, then writes the descriptor. Who listens first hushes: it reads the descriptor, then
/// makes the bell quiet; then it looks for news, under that lock.
///
/// - No news waits: what was left before the look is found by it; who leaves some later sees the bell
///   as the hush left it. And a bell that is rung was made so after it was last made quiet, so that the
///   descriptor is written after it was last read.
/// - It is not readable for ever for nothing: writes that come late, after a hush that was to read
///   them, are counted, and the next hush reads again.
struct State {
    rung: AtomicBool,
    /// Writes that are done.
    written: AtomicU32,
    /// Of those, how many had been when the descriptor was last read.
    read: AtomicU32,
}

impl State {
    fn new() -> State {
        State { rung: AtomicBool::new(false), written: AtomicU32::new(0), read: AtomicU32::new(0) }
    }

    /// There is news. `write` makes the descriptor readable.
    #[inline]
    fn ring(&self, write: impl FnOnce()) {
        if self.begins() {
            write();
            // Release: pairs with the Acquire of `hush`; what was written is there to be read.
            self.written.fetch_add(1, Ordering::Release);
        }
    }

    #[inline]
    fn begins(&self) -> bool {
        // Relaxed: the lock orders the news.
        let is_rung = self.rung.load(Ordering::Relaxed);
        if cfg!(oxmq_mutation = "bell_rung_by_all") {
            self.rung.swap(true, Ordering::Relaxed);
            return !is_rung;
        }
        !is_rung && !self.rung.swap(true, Ordering::Relaxed)
    }

    /// The caller is about to look for news. `read` makes the descriptor unreadable.
    #[inline]
    fn hush(&self, read: impl FnOnce()) {
        let written = self.written.load(Ordering::Acquire);
        // Relaxed: only who hushes writes it.
        let is_late = written != self.read.load(Ordering::Relaxed);
        if !is_late && !self.rung.load(Ordering::Relaxed) {
            return;
        }
        let first = mutate!("bell_quiet_first", true, false);
        if first {
            self.rung.swap(false, Ordering::Release);
        }
        read();
        self.read.store(written, Ordering::Relaxed);
        if !first {
            // An exchange, as in `ring`, so that they have one order. Release: who makes it rung
            // after this writes after the descriptor was read.
            self.rung.swap(false, Ordering::Release);
        }
    }
}

#[cfg(not(loom))]
mod with_fd {
    use std::io;
    use std::os::fd::RawFd;

    use super::State;
    use crate::sys::EventFd;

    /// See [`State`]. Any thread may ring; one at a time hushes.
    pub(crate) struct Bell {
        state: State,
        fd: EventFd,
    }

    impl Bell {
        /// A bell that is quiet.
        pub(crate) fn new() -> io::Result<Bell> {
            Ok(Bell { state: State::new(), fd: EventFd::new()? })
        }

        /// What is readable while it rings.
        pub(crate) fn fd(&self) -> RawFd {
            self.fd.raw()
        }

        /// There is news.
        pub(crate) fn ring(&self) {
            self.state.ring(|| self.fd.signal());
        }

        /// The caller is about to look for news.
        pub(crate) fn hush(&self) {
            self.state.hush(|| self.fd.drain());
        }
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::sync::{Arc, model, thread};

    /// The descriptor.
    #[derive(Default)]
    struct Flag {
        readable: loom::sync::Mutex<bool>,
        written: loom::sync::Condvar,
    }

    impl Flag {
        fn wait(&self) {
            let mut readable = self.readable.lock().unwrap();
            while !*readable {
                readable = self.written.wait(readable).unwrap();
            }
        }
    }

    fn ring(bell: &State, flag: &Flag) {
        bell.ring(|| {
            *flag.readable.lock().unwrap() = true;
            flag.written.notify_one();
        });
    }

    fn hush(bell: &State, flag: &Flag) {
        bell.hush(|| *flag.readable.lock().unwrap() = false);
    }

    /// Two who ring, one of them twice, and one who sleeps on the descriptor and takes one of the
    /// news at a time.
    #[test]
    fn no_news_waits_for_the_next() {
        model(|| {
            let bell = Arc::new(State::new());
            let news = Arc::new(loom::sync::Mutex::new(0));
            let flag = Arc::new(Flag::default());
            let ringers = [1, 2].map(|rings| {
                let (bell, news, flag) = (bell.clone(), news.clone(), flag.clone());
                thread::spawn(move || {
                    for _ in 0..rings {
                        *news.lock().unwrap() += 1;
                        ring(&bell, &flag);
                    }
                })
            });
            let mut heard = 0;
            while heard < 3 {
                flag.wait();
                hush(&bell, &flag);
                let mut news = news.lock().unwrap();
                heard += (*news).min(1);
                *news -= (*news).min(1);
                if *news > 0 {
                    drop(news);
                    ring(&bell, &flag);
                }
            }
            for ringer in ringers {
                ringer.join().unwrap();
            }
            hush(&bell, &flag);
            assert!(!*flag.readable.lock().unwrap(), "readable for nothing");
        });
    }
}
