//! Accepting connections for a bound endpoint.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::{Io, KEY_LISTENER, Reactor, TimerFor};
use crate::connection::Route;
use crate::memory;
use crate::monitor::{EventKind, Hub, Reason};
use crate::session::{Session, Settings};
use crate::socket::core::Core;
use crate::sys::{self, Fd, Instant, Interest, Listening, SockAddr, SocketFile};
use crate::transport::filter;

/// Connections accepted before others have their turn.
const ACCEPTS_MAX: usize = 64;
/// After descriptors or memory ran out, accepting rests for this long.
const REST: Duration = Duration::from_millis(50);

/// Names a listener; never reused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct ListenerId(u64);

impl ListenerId {
    pub(crate) fn new() -> ListenerId {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        ListenerId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// A listening descriptor of a bound endpoint.
pub(crate) struct Listener {
    /// `None` once it is closed. A leaf lock, held while one connection is accepted: who closes waits
    /// for no more than that.
    fd: Mutex<Option<Fd>>,
    address: SockAddr,
    file: Option<SocketFile>,
    route: Route,
    core: Weak<Core>,
    hub: Arc<Hub>,
    options: Arc<Settings>,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.close();
        self.hub.source_ended();
    }
}

impl Io {
    /// Starts to accept; the calling thread does it all, so that its errors are the caller's.
    pub(crate) fn listen(&self, id: ListenerId, listener: Listener) -> io::Result<()> {
        let listener = Arc::new(listener);
        let mut listeners = self.listeners.lock();
        let key = listeners.insert((id, listener.clone()));
        let added = listener
            .with_fd(|fd| self.epoll.add(fd.raw(), KEY_LISTENER + key as u64, Interest::READ));
        if let Some(Err(_)) = added {
            listeners.remove(key);
        }
        drop(listeners);
        added.unwrap_or(Ok(()))
    }

    /// Stops accepting: the endpoint is free again.
    pub(crate) fn unlisten(&self, id: ListenerId) {
        let listener = {
            let mut listeners = self.listeners.lock();
            let found = listeners.iter().find(|(_, (held, _))| *held == id);
            let Some(key) = found.map(|(key, _)| key) else { return };
            let (_, listener) = listeners.remove(key);
            // By hand: the same may be open elsewhere (USE_FD), and be watched on.
            listener.with_fd(|fd| drop(self.epoll.remove(fd.raw())));
            listener
        };
        listener.close();
    }

    fn listener(&self, key: usize) -> Option<(ListenerId, Arc<Listener>)> {
        self.listeners.lock().get(key).cloned()
    }

    fn watch_listener(&self, key: usize, listener: &Listener, interest: Interest) {
        listener.with_fd(|fd| {
            let _ = self.epoll.modify(fd.raw(), KEY_LISTENER + key as u64, interest);
        });
    }
}

impl Reactor {
    pub(super) fn accept(&mut self, key: usize) {
        let Some((id, listener)) = self.io.listener(key) else { return };
        for _ in 0..ACCEPTS_MAX {
            let Some(accepted) = listener.with_fd(sys::accept) else { return };
            match accepted {
                Ok(fd) => listener.accepted(fd),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    listener.tell_failure(&error);
                    // Descriptors or memory ran out: rest, then go on by itself.
                    self.io.watch_listener(key, &listener, Interest::NONE);
                    self.push_timer(Instant::now() + REST, TimerFor::Listener(id));
                    return;
                }
            }
        }
    }

    pub(super) fn resume_listening(&mut self, id: ListenerId) {
        let listeners = self.io.listeners.lock();
        if let Some((key, (_, listener))) = listeners.iter().find(|(_, (held, _))| *held == id) {
            self.io.watch_listener(key, listener, Interest::READ);
        }
    }
}

impl Listener {
    /// A listener at `endpoint`, which is said to those who monitor the socket.
    pub(crate) fn new(
        core: &Arc<Core>,
        listening: Listening,
        endpoint: &str,
        options: Arc<Settings>,
    ) -> Listener {
        let Listening { fd, addr: address, file } = listening;
        let route = Route::new(&Arc::from(endpoint), true);
        let hub = core.hub.clone();
        hub.source_started();
        hub.emit(&route, Some(fd.raw()), || EventKind::Listening);
        let core = Arc::downgrade(core);
        Listener { fd: Mutex::new(Some(fd)), address, file, route, core, hub, options }
    }

    /// `None`: it is closed.
    fn with_fd<T>(&self, f: impl FnOnce(&Fd) -> T) -> Option<T> {
        self.fd.lock().as_ref().map(f)
    }

    /// Frees the address, whoever else holds the listener.
    fn close(&self) {
        let Some(fd) = self.fd.lock().take() else { return };
        // The file first: once nobody listens another may take it over, and its inode be used again.
        let unlinked = self.file.as_ref().map_or(Ok(()), SocketFile::remove);
        let descriptor = fd.raw();
        drop(fd);
        self.hub.emit(&self.route, Some(descriptor), || match &unlinked {
            Ok(()) => EventKind::Closed,
            Err(error) => EventKind::CloseFailed(Reason::system(error)),
        });
    }

    fn tell_failure(&self, error: &io::Error) {
        let failed = || EventKind::AcceptFailed(Reason::system(error));
        self.hub.emit(&self.route, None, failed);
    }

    fn accepted(&self, fd: Fd) {
        let Some(core) = self.core.upgrade() else { return };
        if !memory::is_left() {
            // The peer sees its connection closed, and tries again.
            let refused = io::Error::from_raw_os_error(libc::ENOMEM);
            self.hub.note_failure(&Reason::system(&refused));
            return self.tell_failure(&refused);
        }
        if !filter::admits(&fd, &self.address, &self.options) {
            let why = "a peer that the filters do not admit";
            let refused = io::Error::new(io::ErrorKind::PermissionDenied, why);
            self.hub.note_failure(&Reason::system(&refused));
            return self.tell_failure(&refused);
        }
        let io = core.context.least_loaded(self.options.affinity);
        let group = match io.and_then(|io| core.group(&io)) {
            Ok(group) => group,
            // Descriptors ran out: the peer sees its connection closed, and tries again.
            Err(error) => return self.tell_failure(&error),
        };
        let route = Arc::new(Route::over(&self.route.endpoint, true, &fd));
        self.hub.emit(&route, Some(fd.raw()), || EventKind::Accepted);
        Session::accepted(&core, group, fd, route, self.options.clone()).start();
    }
}
