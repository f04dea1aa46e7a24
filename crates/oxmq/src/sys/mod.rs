//! The only system calls, and the only clock and randomness, behind one contract with two faces:
//! `linux` (the product) and `sim` (selected by `--cfg oxmq_sim`: one thread, one seed).
//!
//! # The contract
//!
//! *Descriptors.* Every descriptor made here is non-blocking and close-on-exec; [`Fd`] owns one and
//! closes it when dropped. Remove a descriptor from every [`Epoll`] before closing it: after a
//! fork the child's copy would keep it registered. Out of descriptors is `EMFILE` (or `ENFILE`)
//! from whatever would have made one.
//!
//! *Streams.* [`connect`] either is done at once or ends when the descriptor becomes writable;
//! then [`socket_error`] says how, and [`is_connected`] whether it ended at all. [`read`] and [`write`] move what they can and never block:
//! `WouldBlock` says that nothing could be moved, `Ok(0)` from [`read`] that the peer has shut its
//! side. [`write`] may take any part of what it is given, and never raises `SIGPIPE`.
//! [`accept`] skips connections that died in the queue. [`local_address`] and [`remote_address`]
//! say where the ends of a connection are, where they have names.
//!
//! *The far end.* [`far_end`] says what the system knows of it without reading: what it has taken, when
//! it last answered, whether it has ended the stream. [`ask_far_end`] has a connection that rests asked
//! for an answer until [`ask_no_more`].
//!
//! *Interruptions.* `EINTR` is retried everywhere, except in [`poll`] and [`Epoll::wait`], which
//! return it: a signal must be able to end a blocking call. A thread that merely serves treats it
//! as "nothing is ready".
//!
//! *Readiness.* Level-triggered. An [`Epoll`] reports errors and hang-ups as readable and writable,
//! whatever was asked for, so that whoever reads or writes next finds the reason; it is itself
//! readable while any of its items is ready, so it can be nested in another. Reports may be
//! spurious: the answer of [`read`] or [`write`] decides.
//!
//! *Time.* [`Instant`] is monotonic and shared by all threads. A wait never ends early without a
//! reason; how late it ends is the system's affair.
//!
//! *Threads.* [`spawn_io`] starts a thread with every signal blocked, scheduled as [`Scheduling`] says. The simulator starts none:
//! it calls the reactor's turn itself.
//!
//! *Fences.* [`membarrier`] passes a full fence on every thread of the process that runs at that
//! moment; those that do not have passed one. Only where [`has_membarrier`].
//!
//! *Fork.* [`fork_generation`] is different in a child than in its parent; [`in_forked_children`]
//! has something done there first.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::Add;
use std::time::Duration;

pub(crate) use std::os::fd::RawFd;

#[cfg(not(oxmq_sim))]
mod linux;
#[cfg(not(oxmq_sim))]
use linux as face;

#[cfg(oxmq_sim)]
#[doc(hidden)]
pub mod sim;
#[cfg(oxmq_sim)]
use sim as face;

pub(crate) use face::{
    Addresses, Epoll, EventFd, Events, Fd, IoThread, SignalMask, SocketFile, TimerFd, accept,
    adopt_listener, ask_far_end, ask_no_more, bind_to_device, connect, cpu_count, far_end,
    fill_random, fork_generation, has_membarrier, in_forked_children, interface_address,
    is_connected, is_self_connected, listen, local_address, membarrier, pause, peer_credentials,
    poll, random_u64, read, remote_address, set_buffers, set_busy_poll, set_keepalive,
    set_priority, set_retransmit_timeout, set_type_of_service, shutdown_write, socket_error,
    spawn_io, write,
};

/// A moment on the monotonic clock, in nanoseconds since an arbitrary origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Instant(u64);

impl Instant {
    /// After all others; as a deadline, none.
    pub(crate) const NEVER: Instant = Instant(u64::MAX);

    /// This moment.
    #[inline]
    pub(crate) fn now() -> Instant {
        Instant(face::now_ns())
    }

    /// The moment `ns` nanoseconds after the clock's origin; the inverse of [`Instant::as_ns`].
    #[inline]
    pub(crate) const fn from_ns(ns: u64) -> Instant {
        Instant(ns)
    }

    /// Nanoseconds since the clock's origin: what fits into an atomic.
    #[inline]
    #[cfg(any(test, oxmq_sim))]
    pub(crate) const fn as_ns(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero if `earlier` is later.
    #[inline]
    pub(crate) const fn saturating_since(self, earlier: Instant) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Instant {
    type Output = Instant;

    /// Saturates: half a millennium from the origin is as good as never.
    #[inline]
    fn add(self, wait: Duration) -> Instant {
        let ns = u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX);
        Instant(self.0.saturating_add(ns))
    }
}

/// Where a stream listens or connects. Its `Display` is the endpoint's text.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum SockAddr {
    /// `tcp://127.0.0.1:5555`, `tcp://[::1]:5555`
    Tcp(SocketAddr),
    /// `ipc:///tmp/socket`, `ipc://@abstract`
    Ipc(IpcAddr),
}

impl fmt::Display for SockAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SockAddr::Tcp(addr) => write!(f, "tcp://{addr}"),
            SockAddr::Ipc(addr) => write!(f, "ipc://{addr}"),
        }
    }
}

/// A descriptor that listens.
#[derive(Debug)]
pub(crate) struct Listening {
    pub(crate) fd: Fd,
    /// Where it listens.
    pub(crate) addr: SockAddr,
    /// The socket file that was made for it, which outlives it.
    pub(crate) file: Option<SocketFile>,
}

/// A Unix-domain address. Its `Display` is what follows `ipc://`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum IpcAddr {
    /// A path in the file system: 1 to [`IPC_BYTES_MAX`] bytes, none of them NUL.
    Path(Box<[u8]>),
    /// A name in Linux's abstract namespace, written `@name`: 1 to [`IPC_BYTES_MAX`] − 1 bytes.
    Abstract(Box<[u8]>),
    /// Written `*`, for [`listen`] only: a new path in the directory for temporary files.
    Any,
}

impl IpcAddr {
    /// Reads what follows `ipc://`.
    ///
    /// # Errors
    /// `ENAMETOOLONG` past [`IPC_BYTES_MAX`] bytes; `InvalidInput` for an empty name and for a NUL
    /// inside a path.
    pub(crate) fn parse(text: &[u8]) -> io::Result<IpcAddr> {
        if text.len() > IPC_BYTES_MAX {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        match text {
            b"*" => Ok(IpcAddr::Any),
            b"" | b"@" => Err(io::ErrorKind::InvalidInput.into()),
            [b'@', name @ ..] => Ok(IpcAddr::Abstract(name.into())),
            path if path.contains(&0) => Err(io::ErrorKind::InvalidInput.into()),
            path => Ok(IpcAddr::Path(path.into())),
        }
    }
}

impl fmt::Display for IpcAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IpcAddr::Path(path) => f.write_str(&String::from_utf8_lossy(path)),
            IpcAddr::Abstract(name) => write!(f, "@{}", String::from_utf8_lossy(name)),
            IpcAddr::Any => f.write_str("*"),
        }
    }
}

/// The longest text after `ipc://`, in bytes: `sun_path` less its terminator.
pub(crate) const IPC_BYTES_MAX: usize = 107;

/// How the system is to schedule a thread; by default, as the one that starts it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Scheduling {
    /// The system's number for a policy.
    pub(crate) policy: Option<i32>,
    pub(crate) priority: Option<i32>,
    /// On which processors it may run; none is any.
    pub(crate) cpus: Vec<usize>,
}

/// Who is at the other end of a Unix-domain connection.
#[derive(Debug)]
pub(crate) struct Credentials {
    pub(crate) pid: u32,
    pub(crate) uid: u32,
    pub(crate) groups: Vec<u32>,
}

/// What the system knows of the far end of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FarEnd {
    /// How much of what was written the far end has taken: over tcp what its system has acknowledged,
    /// over ipc what it has read. Less a constant, and over ipc less what is kept beside unread bytes, so
    /// that only growth means anything.
    pub(crate) taken: i64,
    /// How long ago its system last sent anything, if only an acknowledgement; `None` where a
    /// connection stands until its end is told (ipc).
    pub(crate) last_heard: Option<Duration>,
    /// How often its system has been asked since, by repetitions and probes.
    pub(crate) asked_in_vain: u32,
    /// It has ended the stream, or the connection; what it sent before may be unread.
    pub(crate) has_ended: bool,
}

/// How tcp's keep-alive is set: on, and probes, seconds of silence, seconds between probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeepAlive {
    pub(crate) on: bool,
    pub(crate) probes: i32,
    pub(crate) idle_s: i32,
    pub(crate) interval_s: i32,
}

/// What one waits for on a descriptor. Errors and hang-ups are reported even to `NONE`,
/// once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interest {
    pub(crate) read: bool,
    pub(crate) write: bool,
}

impl Interest {
    pub(crate) const NONE: Interest = Interest { read: false, write: false };
    pub(crate) const READ: Interest = Interest { read: true, write: false };
    #[cfg(test)]
    pub(crate) const WRITE: Interest = Interest { read: false, write: true };
    #[cfg(test)]
    pub(crate) const BOTH: Interest = Interest { read: true, write: true };
}

/// One ready item of an [`Epoll`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    /// The key given to [`Epoll::add`].
    pub(crate) key: u64,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
}

/// How many events one [`Epoll::wait`] returns at most; the rest come with the next.
pub(crate) const EVENTS_MAX: usize = 256;

/// One descriptor of a [`poll`]: what is waited for, and what was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PollFd {
    pub(crate) fd: RawFd,
    pub(crate) interest: Interest,
    /// Whether urgent data (`POLLPRI`) is waited for.
    pub(crate) interest_priority: bool,
    pub(crate) readable: bool,
    pub(crate) writable: bool,
    pub(crate) priority: bool,
    /// An error, a hang-up, or no such descriptor. Then `readable` and `writable` are as `poll(2)`
    /// says, not both set: this serves foreign descriptors too.
    pub(crate) error: bool,
}

impl PollFd {
    pub(crate) const fn new(fd: RawFd, interest: Interest) -> PollFd {
        PollFd {
            fd,
            interest,
            interest_priority: false,
            readable: false,
            writable: false,
            priority: false,
            error: false,
        }
    }

    /// Whether the last [`poll`] found anything.
    pub(crate) const fn is_ready(&self) -> bool {
        self.readable || self.writable || self.priority || self.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_saturate() {
        let early = Instant::from_ns(5);
        let late = early + Duration::from_nanos(7);
        assert_eq!(late.as_ns(), 12);
        assert_eq!(late.saturating_since(early), Duration::from_nanos(7));
        assert_eq!(early.saturating_since(late), Duration::ZERO);
        assert_eq!((late + Duration::MAX).as_ns(), u64::MAX);
    }

    #[test]
    fn addresses_read_as_endpoints() {
        let tcp = |text: &str| SockAddr::Tcp(text.parse().unwrap()).to_string();
        assert_eq!(tcp("127.0.0.1:5555"), "tcp://127.0.0.1:5555");
        assert_eq!(tcp("[::1]:5555"), "tcp://[::1]:5555");
        for text in ["/tmp/a b", "relative", "@name", "*"] {
            let ipc = SockAddr::Ipc(IpcAddr::parse(text.as_bytes()).unwrap());
            assert_eq!(ipc.to_string(), format!("ipc://{text}"));
        }
    }

    #[test]
    fn bad_ipc_names_are_refused() {
        for text in [&b""[..], b"@", b"a\0b"] {
            assert_eq!(IpcAddr::parse(text).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        }
        assert!(IpcAddr::parse(&[b'x'; IPC_BYTES_MAX]).is_ok());
        let error = IpcAddr::parse(&[b'x'; IPC_BYTES_MAX + 1]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
    }
}
