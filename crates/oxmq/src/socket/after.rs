//! What is left to do once a socket's lock is released.

use std::sync::{Arc, Weak};

use crate::Message;
use crate::connection::Route;
use crate::gather::{self, Kick};
use crate::monitor::{EventKind, Hub};
use crate::session::Session;
use crate::socket::core::Core;
use crate::socket::pipes::{Output, PeerNews, Pipe, PipeId};
use crate::socket::waiters::Wake;

/// Collected under the socket's lock and done after it: no system call, wake-up or callback
/// happens under it.
#[derive(Default)]
pub(crate) struct After {
    /// Anything at all is to be done. One look at each release of the lock.
    touched: bool,
    turned: bool,
    kicks: Vec<Kick>,
    writes: Vec<Arc<Session>>,
    /// And whether all that was sent may go out first.
    closes: Vec<(Arc<Session>, bool)>,
    doubts: Vec<Arc<Session>>,
    unheard: Vec<Arc<Session>>,
    retunes: Vec<Arc<Session>>,
    resumes: Vec<Arc<Session>>,
    peers: Vec<(Weak<Core>, PipeId, PeerNews)>,
    wakes: Vec<Wake>,
    garbage: Vec<Message>,
    /// Rare, so that they take little room.
    remains: Option<Box<Remains>>,
    /// What monitors are to be told. Rare, so that it takes little room.
    notices: Option<Box<Notices>>,
}

/// Pipes that are gone, and what is in them, for the last end of one frees it.
#[derive(Default)]
struct Remains {
    pipes: Vec<Pipe>,
    outputs: Vec<Output>,
}

/// To whom, of which connection, what.
type Notices = Vec<(Arc<Hub>, Option<Arc<Route>>, EventKind)>;

impl After {
    #[inline]
    pub(crate) fn is_touched(&self) -> bool {
        self.touched
    }

    /// Whether what can be done was changed by the caller's own call.
    pub(crate) fn is_turned(&self) -> bool {
        self.turned
    }

    pub(crate) fn turn(&mut self) {
        self.touched = true;
        self.turned = true;
    }

    /// Whether any connection reads on.
    #[inline]
    pub(crate) fn resumes(&self) -> bool {
        self.touched && !self.resumes.is_empty()
    }

    /// The connection's arena has work, and nobody drives it.
    pub(crate) fn kick(&mut self, session: &Arc<Session>, fills: bool) {
        self.touched = true;
        self.kicks.push(Kick { session: session.clone(), fills });
    }

    /// A streaming sender has gathered enough for the connection.
    pub(crate) fn write(&mut self, session: &Arc<Session>) {
        self.touched = true;
        self.writes.push(session.clone());
    }

    /// The connection had stopped reading at RCVHWM, and has room again.
    pub(crate) fn resume(&mut self, session: &Arc<Session>) {
        self.touched = true;
        self.resumes.push(session.clone());
    }

    /// The connection is not wanted any more.
    pub(crate) fn close(&mut self, session: &Arc<Session>) {
        self.touched = true;
        self.closes.push((session.clone(), false));
    }

    /// The connection is not wanted any more once what was sent over it has gone out.
    pub(crate) fn hang_up(&mut self, session: &Arc<Session>) {
        self.touched = true;
        self.closes.push((session.clone(), true));
    }

    /// The connection's peer has to show that it is alive.
    pub(crate) fn doubt(&mut self, session: &Arc<Session>) {
        self.touched = true;
        self.doubts.push(session.clone());
    }

    /// The connection's peer is heard no more.
    pub(crate) fn unhear(&mut self, session: &Arc<Session>) {
        self.touched = true;
        self.unheard.push(session.clone());
    }

    /// RCVHWM was set.
    pub(crate) fn retune(&mut self, session: &Arc<Session>) {
        self.touched = true;
        self.retunes.push(session.clone());
    }

    /// Another socket of this process has to be told something.
    pub(crate) fn tell(&mut self, peer: &Weak<Core>, pipe: PipeId, news: PeerNews) {
        self.touched = true;
        self.peers.push((peer.clone(), pipe, news));
    }

    /// A message's memory is freed outside the lock: its free function may call the library.
    pub(crate) fn free(&mut self, message: Message) {
        if message.owns_memory() {
            self.garbage().push(message);
        }
    }

    pub(crate) fn garbage(&mut self) -> &mut Vec<Message> {
        self.touched = true;
        &mut self.garbage
    }

    fn remains(&mut self) -> &mut Remains {
        self.touched = true;
        self.remains.get_or_insert_default()
    }

    /// Pipes that are dropped with the lock released.
    pub(crate) fn pipes(&mut self) -> &mut Vec<Pipe> {
        &mut self.remains().pipes
    }

    /// As [`After::pipes`], of their outgoing halves.
    pub(crate) fn outputs(&mut self) -> &mut Vec<Output> {
        &mut self.remains().outputs
    }

    pub(crate) fn notices(&mut self) -> &mut Notices {
        self.touched = true;
        self.notices.get_or_insert_default()
    }

    pub(crate) fn wakes(&mut self) -> &mut Vec<Wake> {
        self.touched = true;
        &mut self.wakes
    }

    /// Does it all.
    #[cold]
    pub(crate) fn run(self) {
        for wake in self.wakes {
            wake.wake();
        }
        for session in self.resumes {
            session.resume();
        }
        if !self.kicks.is_empty() {
            gather::kicked(self.kicks);
        }
        for session in self.writes {
            session.write_now();
        }
        for session in self.doubts {
            session.doubt();
        }
        for session in self.unheard {
            session.unhear();
        }
        for session in self.retunes {
            session.retune();
        }
        for (session, flushes) in self.closes {
            if flushes {
                session.hang_up();
            } else {
                session.close(0);
            }
        }
        for (peer, pipe, news) in self.peers {
            if let Some(peer) = peer.upgrade() {
                peer.peer_news(pipe, news);
            }
        }
        for (hub, route, kind) in self.notices.into_iter().flat_map(|notices| *notices) {
            let nowhere = || Arc::new(Route::new(&Arc::from(""), false));
            hub.emit(&route.unwrap_or_else(nowhere), None, || kind);
        }
        drop(self.remains);
        drop(self.garbage);
    }
}
