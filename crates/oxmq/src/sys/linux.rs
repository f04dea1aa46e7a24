//! The real face of [`super`]: Linux, through `libc`.

use super::{EVENTS_MAX, Event, Interest, IpcAddr, Listening, PollFd, RawFd, SockAddr};
use std::ffi::OsStr;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, IoSlice};
use std::mem::{self, MaybeUninit};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::ptr;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

mod far_end;
mod io_thread;
mod tuning;

pub(crate) use far_end::{ask_far_end, ask_no_more, far_end};

pub(crate) use io_thread::{IoThread, spawn_io};
pub(crate) use tuning::{
    adopt_listener, bind_to_device, interface_address, peer_credentials, set_buffers,
    set_busy_poll, set_keepalive, set_priority, set_retransmit_timeout, set_type_of_service,
};

/// An owned descriptor, closed when dropped.
#[derive(Debug)]
pub(crate) struct Fd(OwnedFd);

impl Fd {
    /// # Safety
    /// `raw` is open, and nobody else owns it.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: RawFd) -> Fd {
        // SAFETY: passed on to the caller.
        Fd(unsafe { OwnedFd::from_raw_fd(raw) })
    }

    #[inline]
    pub(crate) fn raw(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// What a system call that makes a descriptor returned.
    fn from_call(result: libc::c_int) -> io::Result<Fd> {
        let raw = check(result)?;
        // SAFETY: the kernel has just made it, for us alone.
        Ok(unsafe { Fd::from_raw(raw) })
    }
}

// ---------------------------------------------------------------------------------------------
// Time, randomness, processors

pub(super) fn now_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the one `timespec`; CLOCK_MONOTONIC always exists on Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * NS_PER_SECOND + now.tv_nsec as u64
}

/// An unpredictable number.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0_u8; 8];
    // SAFETY: writes at most the eight bytes. Up to 256 bytes are never cut short by a signal
    // once the system's pool has been filled.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) };
    if got == bytes.len() as isize {
        u64::from_ne_bytes(bytes)
    } else {
        // A sandbox without getrandom(2). The keys of the standard hash maps are random too.
        RandomState::new().build_hasher().finish()
    }
}

/// Random numbers that nobody can guess, for keys.
pub(crate) fn fill_random(bytes: &mut [u8]) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        // SAFETY: writes at most these bytes.
        let got = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(got) {
            Ok(got) => rest = rest.get_mut(got..).unwrap_or_default(),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
    Ok(())
}

/// Addresses of which nobody makes use, kept from all others until they are dropped.
#[derive(Debug)]
pub(crate) struct Addresses {
    start: *mut libc::c_void,
    bytes: usize,
}

// SAFETY: nobody looks at what is there.
unsafe impl Send for Addresses {}

impl Addresses {
    /// `None`: there are not so many. By the system's call, and not from the allocator, which keeps what
    /// it is given back for the threads that had it.
    pub(crate) fn reserve(bytes: usize) -> Option<Addresses> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, where nothing else is.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, libc::PROT_NONE, flags, -1, 0) };
        (start != libc::MAP_FAILED).then_some(Addresses { start, bytes })
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        // SAFETY: mapped by `reserve`, and nobody has a pointer there.
        unsafe { libc::munmap(self.start, self.bytes) };
    }
}

/// How many threads can run at once, at least 1.
pub(crate) fn cpu_count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

// ---------------------------------------------------------------------------------------------
// Threads that wait for each other without a lock

/// From <linux/membarrier.h>.
const MEMBARRIER_PRIVATE_EXPEDITED: libc::c_int = 1 << 3;
const MEMBARRIER_REGISTER_PRIVATE_EXPEDITED: libc::c_int = 1 << 4;

fn membarrier_call(command: libc::c_int) -> bool {
    // SAFETY: no memory of ours is involved.
    unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
}

/// Whether [`membarrier`] works here: since Linux 4.14, unless a sandbox forbids it.
pub(crate) fn has_membarrier() -> bool {
    const UNKNOWN: u8 = 0;
    const YES: u8 = 1;
    const NO: u8 = 2;
    static HAS: AtomicU8 = AtomicU8::new(UNKNOWN);
    // Relaxed: whoever asks first finds out, and nothing else hangs on it.
    if HAS.load(Ordering::Relaxed) == UNKNOWN {
        let has = membarrier_call(MEMBARRIER_REGISTER_PRIVATE_EXPEDITED)
            && membarrier_call(MEMBARRIER_PRIVATE_EXPEDITED);
        HAS.store(if has { YES } else { NO }, Ordering::Relaxed);
    }
    HAS.load(Ordering::Relaxed) == YES
}

/// A full fence on every thread of the process.
pub(crate) fn membarrier() {
    if membarrier_call(MEMBARRIER_PRIVATE_EXPEDITED) {
        return;
    }
    // It did work: a child of a fork may have to ask for it anew, a sandbox may have come since.
    if membarrier_call(MEMBARRIER_REGISTER_PRIVATE_EXPEDITED)
        && membarrier_call(MEMBARRIER_PRIVATE_EXPEDITED)
    {
        return;
    }
    // Visiting every processor passes a fence on whatever ran there.
    visit_processors();
}

#[cold]
fn visit_processors() {
    // SAFETY: a `cpu_set_t` of zeros is an empty set; the calls read and write it within its size.
    unsafe {
        let bytes = size_of::<libc::cpu_set_t>();
        let mut all: libc::cpu_set_t = mem::zeroed();
        if libc::sched_getaffinity(0, bytes, &mut all) != 0 {
            return;
        }
        for processor in 0..libc::CPU_SETSIZE as usize {
            let mut one: libc::cpu_set_t = mem::zeroed();
            libc::CPU_SET(processor, &mut one);
            libc::sched_setaffinity(0, bytes, &one);
        }
        libc::sched_setaffinity(0, bytes, &all);
    }
}

/// Waits a moment for another thread to leave a few instructions behind; longer the more often
/// (`tries`) that was in vain, since it may have to be given the processor first.
pub(crate) fn pause(tries: u32) {
    match tries {
        0..64 => std::hint::spin_loop(),
        64..128 => thread::yield_now(),
        _ => thread::sleep(Duration::from_micros(50)),
    }
}

// ---------------------------------------------------------------------------------------------
// Streams

/// Listens on `addr`, and says where that is: a port 0 or [`IpcAddr::Any`] has been replaced.
///
/// A path at which a socket was left behind, with nobody listening, is taken over. (Two processes
/// that do so at the same moment may both believe that they own it; the system offers no better.)
/// Whoever closes a listener on a path removes its file before. `prepare` gets the descriptor before
/// it is bound.
///
/// # Errors
/// `AddrInUse`, `AddrNotAvailable`, `PermissionDenied`, and the system's others.
pub(crate) fn listen(
    addr: &SockAddr,
    backlog: i32,
    prepare: impl FnOnce(&Fd) -> io::Result<()>,
) -> io::Result<Listening> {
    match addr {
        SockAddr::Tcp(tcp) => {
            let fd = stream_socket(family_of(tcp))?;
            // As libzmq: a restarted server gets its port back although old connections linger.
            set_flag(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, true)?;
            if tcp.is_ipv6() {
                set_flag(&fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, false)?;
            }
            prepare(&fd)?;
            bind(&fd, &RawAddr::tcp(tcp))?;
            start_listening(&fd, backlog)?;
            let actual = local_addr(&fd)?.to_tcp().ok_or(io::ErrorKind::Unsupported)?;
            Ok(Listening { fd, addr: SockAddr::Tcp(actual), file: None })
        }
        SockAddr::Ipc(IpcAddr::Any) => {
            let ipc = new_ipc_path()?;
            let fd = stream_socket(libc::AF_UNIX)?;
            prepare(&fd)?;
            bind(&fd, &RawAddr::ipc(&ipc)?)?;
            listen_at(fd, ipc, backlog)
        }
        SockAddr::Ipc(ipc) => {
            let fd = stream_socket(libc::AF_UNIX)?;
            prepare(&fd)?;
            let raw = RawAddr::ipc(ipc)?;
            match bind(&fd, &raw) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    let Some(stale) = find_stale(ipc) else { return Err(error) };
                    // If it stays, `bind` says so.
                    let _ = stale.remove();
                    bind(&fd, &raw)?;
                }
                result => result?,
            }
            listen_at(fd, ipc.clone(), backlog)
        }
    }
}

/// A socket file, known by what it is and not by its path, where another may lie by now. One that is
/// bound keeps its inode from being used again.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: Box<[u8]>,
    device: u64,
    inode: u64,
}

impl SocketFile {
    /// The one at this path; none if that names nothing, or something else.
    fn at(path: &[u8]) -> Option<SocketFile> {
        let found = fs::symlink_metadata(OsStr::from_bytes(path)).ok()?;
        let (device, inode) = (found.dev(), found.ino());
        found.file_type().is_socket().then(|| SocketFile { path: path.into(), device, inode })
    }

    /// Removes it, if it is still what lies at its path. (The system has no call that does both: who
    /// puts another in its place between the look and the removal loses that.)
    ///
    /// # Errors
    /// The system's; that it is gone, or has been moved away or replaced, is none.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let is_it = |found: &SocketFile| (found.device, found.inode) == (self.device, self.inode);
        if SocketFile::at(&self.path).filter(is_it).is_none() {
            return Ok(());
        }
        match fs::remove_file(OsStr::from_bytes(&self.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

/// The next connection waiting on a listener; over tcp without Nagle's delay.
///
/// # Errors
/// `WouldBlock`; out of descriptors or memory (the connection goes on waiting).
pub(crate) fn accept(listener: &Fd) -> io::Result<Fd> {
    loop {
        let mut peer = RawAddr::empty();
        // SAFETY: `peer` is a whole `sockaddr_storage`, and `bytes` says so.
        let result = unsafe {
            libc::accept4(
                listener.raw(),
                (&raw mut peer.storage).cast(),
                &mut peer.bytes,
                libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC,
            )
        };
        match Fd::from_call(result) {
            Ok(fd) => {
                if i32::from(peer.storage.ss_family) != libc::AF_UNIX {
                    // The peer may have reset the connection by now; its first read will tell.
                    let _ = set_flag(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, true);
                }
                return Ok(fd);
            }
            // accept(2): Linux passes the connection's own pending errors on; they are to be
            // treated as a retry. Each takes its connection off the queue.
            Err(error) => match error.raw_os_error() {
                Some(
                    libc::EINTR
                    | libc::ECONNABORTED
                    | libc::EPROTO
                    | libc::ENETDOWN
                    | libc::ENOPROTOOPT
                    | libc::EHOSTDOWN
                    | libc::ENONET
                    | libc::EHOSTUNREACH
                    | libc::ENETUNREACH,
                ) => {}
                _ => return Err(error),
            },
        }
    }
}

/// Starts connecting, over tcp from this address if one is given; `prepare` gets the descriptor
/// before. The second value says whether it is done already; if not, it is when the
/// descriptor becomes writable, and [`socket_error`] says how it ended.
///
/// # Errors
/// The connection was refused at once (over ipc also by a full queue), or no descriptor was left.
pub(crate) fn connect(
    addr: &SockAddr,
    from: Option<&SocketAddr>,
    prepare: impl FnOnce(&Fd) -> io::Result<()>,
) -> io::Result<(Fd, bool)> {
    let (fd, raw) = match addr {
        SockAddr::Tcp(tcp) => {
            let fd = stream_socket(family_of(tcp))?;
            set_flag(&fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, true)?;
            (fd, RawAddr::tcp(tcp))
        }
        SockAddr::Ipc(ipc) => (stream_socket(libc::AF_UNIX)?, RawAddr::ipc(ipc)?),
    };
    prepare(&fd)?;
    if let (Some(from), SockAddr::Tcp(_)) = (from, addr) {
        // As libzmq: the next connection from the same port need not wait for the last one's end.
        set_flag(&fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, true)?;
        bind(&fd, &RawAddr::tcp(from))?;
    }
    match connect_raw(&fd, &raw) {
        Ok(()) => Ok((fd, true)),
        Err(error) => match error.raw_os_error() {
            // An interrupted connect goes on by itself.
            Some(libc::EINPROGRESS | libc::EINTR) => Ok((fd, false)),
            // AF_UNIX only: the listener's queue is full.
            Some(libc::EAGAIN) => Err(io::Error::from_raw_os_error(libc::ECONNREFUSED)),
            _ => Err(error),
        },
    }
}

/// The error that waits on a socket, if any; asking takes it away.
pub(crate) fn socket_error(fd: &Fd) -> io::Result<()> {
    let mut error: libc::c_int = 0;
    let mut bytes = mem::size_of_val(&error) as libc::socklen_t;
    // SAFETY: SO_ERROR is an int, and `bytes` gives its size.
    check(unsafe {
        libc::getsockopt(
            fd.raw(),
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &mut bytes,
        )
    })?;
    if error == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(error)) }
}

/// Whether a descriptor that was connecting is connected.
pub(crate) fn is_connected(fd: &Fd) -> bool {
    peer_addr(fd).is_ok()
}

/// Whether a tcp connection has met itself: connecting to a free port of one's own machine may be
/// given that very port to connect from, and TCP then opens simultaneously.
pub(crate) fn is_self_connected(fd: &Fd) -> bool {
    match (local_addr(fd), peer_addr(fd)) {
        (Ok(local), Ok(peer)) => local.to_tcp().is_some() && local.to_tcp() == peer.to_tcp(),
        _ => false,
    }
}

/// Where the near end of a connection is; `None` for one without a name.
pub(crate) fn local_address(fd: &Fd) -> Option<SockAddr> {
    local_addr(fd).ok()?.to_stream()
}

/// Where the far end of a connection is; `None` for one without a name, or gone.
pub(crate) fn remote_address(fd: &Fd) -> Option<SockAddr> {
    peer_addr(fd).ok()?.to_stream()
}

/// Reads what has arrived into the front of `buffer`; `Ok(n)` initialises the first `n` bytes,
/// `Ok(0)` (of a buffer that is not empty) is the end of the stream.
#[inline]
pub(crate) fn read(fd: &Fd, buffer: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    retry(|| {
        // SAFETY: the kernel writes at most `len` bytes into the buffer, and reads none.
        unsafe { libc::recv(fd.raw(), buffer.as_mut_ptr().cast(), buffer.len(), 0) }
    })
}

/// Writes from the front of `slices` what the socket takes now. Of more than 1024 slices the rest
/// is left.
#[inline]
pub(crate) fn write(fd: &Fd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    if let [slice] = slices {
        return retry(|| {
            // SAFETY: the kernel reads the slice's bytes and no others.
            unsafe { libc::send(fd.raw(), slice.as_ptr().cast(), slice.len(), libc::MSG_NOSIGNAL) }
        });
    }
    // SAFETY: all zeros is an empty `msghdr`.
    let mut message: libc::msghdr = unsafe { mem::zeroed() };
    // `IoSlice` is documented to be ABI-compatible with `iovec`; sendmsg(2) does not write to it.
    message.msg_iov = slices.as_ptr().cast_mut().cast();
    message.msg_iovlen = slices.len().min(IOV_MAX) as _;
    retry(|| {
        // SAFETY: the header names that many of the slices, and they outlive the call.
        unsafe { libc::sendmsg(fd.raw(), &message, libc::MSG_NOSIGNAL) }
    })
}

/// Says that nothing more will be written; the peer reads to the end, then sees it. A connection
/// that is gone already needs no such word.
pub(crate) fn shutdown_write(fd: &Fd) {
    // SAFETY: touches no memory of ours.
    unsafe { libc::shutdown(fd.raw(), libc::SHUT_WR) };
}

fn stream_socket(family: libc::c_int) -> io::Result<Fd> {
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: touches no memory of ours.
    Fd::from_call(unsafe { libc::socket(family, kind, 0) })
}

fn family_of(tcp: &SocketAddr) -> libc::c_int {
    if tcp.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 }
}

fn set_flag(fd: &Fd, level: i32, name: i32, value: bool) -> io::Result<()> {
    set_int(fd, level, name, i32::from(value))
}

fn set_int(fd: &Fd, level: i32, name: i32, value: libc::c_int) -> io::Result<()> {
    // SAFETY: the option is an int, and its size is given.
    check(unsafe {
        libc::setsockopt(
            fd.raw(),
            level,
            name,
            (&raw const value).cast(),
            mem::size_of_val(&value) as libc::socklen_t,
        )
    })?;
    Ok(())
}

fn bind(fd: &Fd, addr: &RawAddr) -> io::Result<()> {
    // SAFETY: `addr` holds `addr.bytes` bytes of an address.
    check(unsafe { libc::bind(fd.raw(), addr.as_ptr(), addr.bytes) })?;
    Ok(())
}

fn start_listening(fd: &Fd, backlog: i32) -> io::Result<()> {
    // SAFETY: touches no memory of ours.
    check(unsafe { libc::listen(fd.raw(), backlog) })?;
    Ok(())
}

fn connect_raw(fd: &Fd, addr: &RawAddr) -> io::Result<()> {
    // SAFETY: `addr` holds `addr.bytes` bytes of an address.
    check(unsafe { libc::connect(fd.raw(), addr.as_ptr(), addr.bytes) })?;
    Ok(())
}

fn local_addr(fd: &Fd) -> io::Result<RawAddr> {
    let mut addr = RawAddr::empty();
    // SAFETY: `addr` is a whole `sockaddr_storage`, and `bytes` says so.
    check(unsafe { libc::getsockname(fd.raw(), (&raw mut addr.storage).cast(), &mut addr.bytes) })?;
    Ok(addr)
}

fn peer_addr(fd: &Fd) -> io::Result<RawAddr> {
    let mut addr = RawAddr::empty();
    // SAFETY: `addr` is a whole `sockaddr_storage`, and `bytes` says so.
    check(unsafe { libc::getpeername(fd.raw(), (&raw mut addr.storage).cast(), &mut addr.bytes) })?;
    Ok(addr)
}

/// Begins to listen at a name just bound. Nobody can have known of the file yet, so that it is the
/// socket's own, unless who may write to its directory has been quicker than this call.
fn listen_at(fd: Fd, ipc: IpcAddr, backlog: i32) -> io::Result<Listening> {
    let file = match &ipc {
        IpcAddr::Path(path) => SocketFile::at(path),
        IpcAddr::Abstract(_) | IpcAddr::Any => None,
    };
    if let Err(error) = start_listening(&fd, backlog) {
        // It was made for nothing; why there is none is said.
        let _ = file.map(|file| file.remove());
        return Err(error);
    }
    Ok(Listening { fd, addr: SockAddr::Ipc(ipc), file })
}

/// The socket file at `ipc`, if nobody listens on it. A file of another kind is none, and stays:
/// connect(2) refuses it just the same.
fn find_stale(ipc: &IpcAddr) -> Option<SocketFile> {
    let IpcAddr::Path(path) = ipc else { return None };
    let file = SocketFile::at(path)?;
    let (probe, raw) = (stream_socket(libc::AF_UNIX).ok()?, RawAddr::ipc(ipc).ok()?);
    let refused = connect_raw(&probe, &raw).err()?.raw_os_error() == Some(libc::ECONNREFUSED);
    refused.then_some(file)
}

/// A path that names nothing yet. Should somebody take it before we do, `bind` fails.
fn new_ipc_path() -> io::Result<IpcAddr> {
    let path = std::env::temp_dir().join(format!("oxmq-{:016x}", random_u64()));
    IpcAddr::parse(&path.into_os_string().into_vec())
}

/// A socket address as the kernel wants it.
struct RawAddr {
    storage: libc::sockaddr_storage,
    bytes: libc::socklen_t,
}

impl RawAddr {
    /// Room for any address.
    fn empty() -> RawAddr {
        RawAddr {
            // SAFETY: all zeros is a valid `sockaddr_storage`: integers only.
            storage: unsafe { mem::zeroed() },
            bytes: mem::size_of::<libc::sockaddr_storage>() as libc::socklen_t,
        }
    }

    fn tcp(addr: &SocketAddr) -> RawAddr {
        let mut raw = RawAddr::empty();
        match addr {
            SocketAddr::V4(v4) => raw.set(libc::sockaddr_in {
                sin_family: libc::AF_INET as libc::sa_family_t,
                sin_port: v4.port().to_be(),
                sin_addr: libc::in_addr { s_addr: u32::from(*v4.ip()).to_be() },
                sin_zero: [0; 8],
            }),
            SocketAddr::V6(v6) => raw.set(libc::sockaddr_in6 {
                sin6_family: libc::AF_INET6 as libc::sa_family_t,
                sin6_port: v6.port().to_be(),
                sin6_flowinfo: v6.flowinfo(),
                sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                sin6_scope_id: v6.scope_id(),
            }),
        }
        raw
    }

    /// # Errors
    /// `InvalidInput` for [`IpcAddr::Any`], which is nowhere yet, and for names out of bounds.
    fn ipc(addr: &IpcAddr) -> io::Result<RawAddr> {
        // SAFETY: all zeros is a valid `sockaddr_un`: integers only.
        let mut un: libc::sockaddr_un = unsafe { mem::zeroed() };
        un.sun_family = libc::AF_UNIX as libc::sa_family_t;
        // An abstract name begins with a NUL and ends with the address; a path ends with a NUL.
        let (name, start, end) = match addr {
            IpcAddr::Path(path) => (path, 0, path.len() + 1),
            IpcAddr::Abstract(name) => (name, 1, name.len() + 1),
            IpcAddr::Any => return Err(io::ErrorKind::InvalidInput.into()),
        };
        if name.is_empty() || end > un.sun_path.len() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        for (to, from) in un.sun_path[start..].iter_mut().zip(name) {
            *to = *from as libc::c_char;
        }
        let mut raw = RawAddr::empty();
        raw.set(un);
        raw.bytes = (mem::offset_of!(libc::sockaddr_un, sun_path) + end) as libc::socklen_t;
        Ok(raw)
    }

    fn set<T: SockaddrType>(&mut self, addr: T) {
        const { assert!(mem::size_of::<T>() <= mem::size_of::<libc::sockaddr_storage>()) };
        // SAFETY: it fits, by the line above; `sockaddr_storage` is aligned for every address.
        unsafe { (&raw mut self.storage).cast::<T>().write(addr) };
        self.bytes = mem::size_of::<T>() as libc::socklen_t;
    }

    fn as_ptr(&self) -> *const libc::sockaddr {
        (&raw const self.storage).cast()
    }

    /// The address, if it is one that streams have.
    fn to_stream(&self) -> Option<SockAddr> {
        match self.to_tcp() {
            Some(tcp) => Some(SockAddr::Tcp(tcp)),
            None => self.to_ipc().map(SockAddr::Ipc),
        }
    }

    /// The address, if it is a name of ipc's. Who connects there has none.
    fn to_ipc(&self) -> Option<IpcAddr> {
        if i32::from(self.storage.ss_family) != libc::AF_UNIX {
            return None;
        }
        // SAFETY: the family says what the storage holds; it is aligned for it.
        let un = unsafe { *(&raw const self.storage).cast::<libc::sockaddr_un>() };
        let bytes = (self.bytes as usize).checked_sub(mem::offset_of!(libc::sockaddr_un, sun_path));
        let name: Vec<u8> = un.sun_path.get(..bytes?)?.iter().map(|&byte| byte as u8).collect();
        match &name[..] {
            [] => None,
            [0, name @ ..] => Some(IpcAddr::Abstract(name.into())),
            // The kernel counts the terminator too.
            path => path.split(|&byte| byte == 0).next().map(|path| IpcAddr::Path(path.into())),
        }
    }

    /// The address, if it is one of tcp's.
    fn to_tcp(&self) -> Option<SocketAddr> {
        match i32::from(self.storage.ss_family) {
            libc::AF_INET => {
                // SAFETY: the family says what the storage holds; it is aligned for it.
                let v4 = unsafe { *(&raw const self.storage).cast::<libc::sockaddr_in>() };
                let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
                Some(SocketAddr::new(IpAddr::V4(ip), u16::from_be(v4.sin_port)))
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let v6 = unsafe { *(&raw const self.storage).cast::<libc::sockaddr_in6>() };
                Some(SocketAddr::V6(SocketAddrV6::new(
                    Ipv6Addr::from(v6.sin6_addr.s6_addr),
                    u16::from_be(v6.sin6_port),
                    v6.sin6_flowinfo,
                    v6.sin6_scope_id,
                )))
            }
            _ => None,
        }
    }
}

/// The kernel's address structures: plain integers, aligned no more than `sockaddr_storage`.
trait SockaddrType {}
impl SockaddrType for libc::sockaddr_in {}
impl SockaddrType for libc::sockaddr_in6 {}
impl SockaddrType for libc::sockaddr_un {}

// ---------------------------------------------------------------------------------------------
// Readiness

/// A set of descriptors to wait on.
#[derive(Debug)]
pub(crate) struct Epoll(Fd);

impl Epoll {
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: touches no memory of ours.
        Fd::from_call(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) }).map(Epoll)
    }

    /// The descriptor of the set itself, which can be waited on like any other.
    #[inline]
    pub(crate) fn raw(&self) -> RawFd {
        self.0.raw()
    }

    /// Adds `fd`, whose events will carry `key`.
    pub(crate) fn add(&self, fd: RawFd, key: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, key, interest)
    }

    /// Replaces the key and interest of `fd`.
    pub(crate) fn modify(&self, fd: RawFd, key: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, key, interest)
    }

    /// Removes `fd`. No later [`Epoll::wait`] reports it; one that has returned may have.
    pub(crate) fn remove(&self, fd: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::NONE)
    }

    /// Waits until something is ready, at most `timeout` (`None`: for ever), and replaces
    /// `events` by what is. Nothing ready within the time is an empty list, not an error.
    ///
    /// # Errors
    /// `Interrupted`.
    pub(crate) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.count = 0;
        events.count = check(match timeout {
            Some(timeout) if timeout.subsec_nanos() % NS_PER_MS != 0 => {
                self.wait_precise(events, timeout)
            }
            _ => self.wait_ms(events, timeout),
        })? as usize;
        Ok(())
    }

    fn wait_ms(&self, events: &mut Events, timeout: Option<Duration>) -> libc::c_int {
        let timeout_ms = timeout.map_or(-1, |timeout| {
            let up = u128::from(!timeout.subsec_nanos().is_multiple_of(NS_PER_MS));
            i32::try_from(timeout.as_millis() + up).unwrap_or(i32::MAX)
        });
        // SAFETY: there is room for EVENTS_MAX events.
        unsafe { libc::epoll_wait(self.raw(), events.as_mut_ptr(), EVENTS_MAX as i32, timeout_ms) }
    }

    fn wait_precise(&self, events: &mut Events, timeout: Duration) -> libc::c_int {
        static MISSING: AtomicBool = AtomicBool::new(false);
        // Relaxed: one more failing call is the worst that a stale value costs.
        if !MISSING.load(Ordering::Relaxed) {
            let timeout = KernelTimespec::new(timeout);
            // SAFETY: there is room for EVENTS_MAX events; without a signal mask its size is
            // ignored. By number, because older C libraries lack the function.
            let result = unsafe {
                libc::syscall(
                    libc::SYS_epoll_pwait2,
                    self.raw(),
                    events.as_mut_ptr(),
                    EVENTS_MAX as libc::c_int,
                    &raw const timeout,
                    ptr::null::<libc::sigset_t>(),
                    0_usize,
                )
            };
            // Some sandboxes answer a call that they do not know with EPERM.
            let unknown = matches!(errno(), libc::ENOSYS | libc::EPERM);
            if result >= 0 || !unknown {
                return result as libc::c_int;
            }
            MISSING.store(true, Ordering::Relaxed);
        }
        self.wait_ms(events, Some(timeout))
    }

    fn control(&self, op: libc::c_int, fd: RawFd, key: u64, interest: Interest) -> io::Result<()> {
        let mut flags = 0;
        if interest.read {
            flags |= libc::EPOLLIN;
        }
        if interest.write {
            flags |= libc::EPOLLOUT;
        }
        if interest == Interest::NONE {
            // The kernel reports a hang-up all the same, and again and again: so only once.
            flags |= libc::EPOLLET;
        }
        let mut event = libc::epoll_event { events: flags as u32, u64: key };
        // SAFETY: the kernel reads the one event.
        check(unsafe { libc::epoll_ctl(self.raw(), op, fd, &mut event) })?;
        Ok(())
    }
}

/// What an [`Epoll::wait`] found; made once, used again and again.
pub(crate) struct Events {
    list: [MaybeUninit<libc::epoll_event>; EVENTS_MAX],
    /// So many at the front of `list` are initialised.
    count: usize,
}

impl Events {
    /// Room for [`EVENTS_MAX`] events.
    pub(crate) fn new() -> Events {
        Events { list: [const { MaybeUninit::uninit() }; EVENTS_MAX], count: 0 }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.list[..self.count].iter().map(|event| {
            // SAFETY: `wait` has initialised the first `count`.
            let event = unsafe { event.assume_init() };
            let flags = event.events as libc::c_int;
            let failed = flags & (libc::EPOLLERR | libc::EPOLLHUP) != 0;
            Event {
                key: event.u64,
                readable: failed || flags & libc::EPOLLIN != 0,
                writable: failed || flags & libc::EPOLLOUT != 0,
            }
        })
    }

    fn as_mut_ptr(&mut self) -> *mut libc::epoll_event {
        self.list.as_mut_ptr().cast()
    }
}

/// A flag that makes a descriptor readable.
#[derive(Debug)]
pub(crate) struct EventFd(Fd);

impl EventFd {
    pub(crate) fn new() -> io::Result<EventFd> {
        // SAFETY: touches no memory of ours.
        Fd::from_call(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })
            .map(EventFd)
    }

    #[inline]
    pub(crate) fn raw(&self) -> RawFd {
        self.0.raw()
    }

    /// Makes it readable until the next [`EventFd::drain`].
    pub(crate) fn signal(&self) {
        let one = 1_u64;
        // SAFETY: reads the eight bytes. It can fail only when the counter is full, and then it is
        // readable anyway.
        unsafe { libc::write(self.raw(), (&raw const one).cast(), 8) };
    }

    /// Makes it unreadable.
    pub(crate) fn drain(&self) {
        drain_counter(&self.0);
    }
}

/// A timer that makes a descriptor readable.
#[derive(Debug)]
pub(crate) struct TimerFd(Fd);

impl TimerFd {
    /// A timer that is not armed.
    pub(crate) fn new() -> io::Result<TimerFd> {
        let flags = libc::TFD_NONBLOCK | libc::TFD_CLOEXEC;
        // SAFETY: touches no memory of ours.
        Fd::from_call(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) }).map(TimerFd)
    }

    #[inline]
    pub(crate) fn raw(&self) -> RawFd {
        self.0.raw()
    }

    /// Makes it readable once, `wait` from now. Replaces an earlier arming, due or not.
    pub(crate) fn arm(&self, wait: Duration) {
        // A value of zero would disarm it.
        self.set(wait.max(Duration::from_nanos(1)));
    }

    /// Makes it unreadable, and forgets the arming.
    #[cfg(test)]
    pub(crate) fn disarm(&self) {
        self.set(Duration::ZERO);
    }

    /// Makes it unreadable if it was due.
    pub(crate) fn drain(&self) {
        drain_counter(&self.0);
    }

    fn set(&self, wait: Duration) {
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let value = libc::itimerspec { it_interval: zero, it_value: to_timespec(wait) };
        // SAFETY: reads `value`; a null old value is allowed. It cannot fail: the descriptor is a
        // timer, and `to_timespec` makes only valid times.
        unsafe { libc::timerfd_settime(self.raw(), 0, &value, ptr::null_mut()) };
    }
}

fn drain_counter(fd: &Fd) {
    let mut count = 0_u64;
    // SAFETY: writes the eight bytes. EAGAIN says that it was drained already.
    unsafe { libc::read(fd.raw(), (&raw mut count).cast(), 8) };
}

/// Waits until one of `fds` is ready, at most `timeout` (`None`: for ever), and fills in what each
/// is ready for. Returns how many are. While it waits the thread's signal mask is `mask`, set and
/// reset atomically: with signals blocked before, none can slip in between a check and the wait.
///
/// # Errors
/// `Interrupted`: a signal was handled.
pub(crate) fn poll(
    fds: &mut [PollFd],
    timeout: Option<Duration>,
    mask: Option<&SignalMask>,
) -> io::Result<usize> {
    const NONE: libc::pollfd = libc::pollfd { fd: -1, events: 0, revents: 0 };
    let mut few = [NONE; 16];
    let mut many = Vec::new();
    let raw = if let Some(few) = few.get_mut(..fds.len()) {
        few
    } else {
        many.resize(fds.len(), NONE);
        &mut many[..]
    };
    for (raw, fd) in raw.iter_mut().zip(fds.iter()) {
        raw.fd = fd.fd;
        for (wanted, flag) in [
            (fd.interest.read, libc::POLLIN),
            (fd.interest.write, libc::POLLOUT),
            (fd.interest_priority, libc::POLLPRI),
        ] {
            if wanted {
                raw.events |= flag;
            }
        }
    }
    let timeout = timeout.map(to_timespec);
    // SAFETY: `raw` has as many entries as said; the time-out and the mask are null or outlive the
    // call.
    let ready = check(unsafe {
        libc::ppoll(
            raw.as_mut_ptr(),
            raw.len() as libc::nfds_t,
            timeout.as_ref().map_or(ptr::null(), |timeout| timeout),
            mask.map_or(ptr::null(), |mask| &mask.0),
        )
    })?;
    for (fd, raw) in fds.iter_mut().zip(raw.iter()) {
        fd.readable = raw.revents & libc::POLLIN != 0;
        fd.writable = raw.revents & libc::POLLOUT != 0;
        fd.priority = raw.revents & libc::POLLPRI != 0;
        fd.error = raw.revents & (libc::POLLERR | libc::POLLHUP | libc::POLLNVAL) != 0;
    }
    Ok(ready as usize)
}

// ---------------------------------------------------------------------------------------------
// Signals, threads, forks

/// A set of signals that a thread does not take.
#[derive(Clone, Copy)]
pub(crate) struct SignalMask(libc::sigset_t);

impl SignalMask {
    /// Blocks all signals in this thread, and returns what was blocked before.
    pub(crate) fn block_all() -> SignalMask {
        let mut all = MaybeUninit::uninit();
        let mut old = MaybeUninit::uninit();
        // SAFETY: `sigfillset` initialises `all`, `pthread_sigmask` then `old`; neither can fail
        // with these arguments.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), old.as_mut_ptr());
            SignalMask(old.assume_init())
        }
    }

    /// The mask that a caller of C gives.
    pub(crate) fn from_raw(set: &libc::sigset_t) -> SignalMask {
        SignalMask(*set)
    }

    /// Makes this the mask of the thread again.
    pub(crate) fn restore(&self) {
        // SAFETY: reads the one set; a null old set is allowed.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, ptr::null_mut()) };
    }
}

/// A number that is different in a forked child than in its parent.
#[inline]
pub(crate) fn fork_generation() -> u64 {
    static GENERATION: AtomicU64 = AtomicU64::new(0);
    static REGISTER: Once = Once::new();
    extern "C" fn in_child() {
        // Relaxed: a child has one thread.
        GENERATION.fetch_add(1, Ordering::Relaxed);
    }
    REGISTER.call_once(|| run_in_forked_children(in_child));
    GENERATION.load(Ordering::Relaxed)
}

/// Has `run` called in every child that is forked from now on, before anything else there; the
/// first `run` that is given stays the only one. It may do what a signal handler may.
pub(crate) fn in_forked_children(run: extern "C" fn()) {
    static REGISTER: Once = Once::new();
    REGISTER.call_once(|| run_in_forked_children(run));
}

fn run_in_forked_children(run: extern "C" fn()) {
    // SAFETY: the handlers only write an atomic, or a thread-local that needs no making.
    // If there is no memory for it forks go unseen, as they would without us.
    unsafe { libc::pthread_atfork(None, None, Some(run)) };
}

// ---------------------------------------------------------------------------------------------

/// A system call's result, −1 turned into its error.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Repeats a transfer for as long as signals interrupt it.
#[inline]
fn retry(mut call: impl FnMut() -> libc::ssize_t) -> io::Result<usize> {
    loop {
        let result = call();
        if result >= 0 {
            return Ok(result as usize);
        }
        if errno() != libc::EINTR {
            return Err(io::Error::last_os_error());
        }
    }
}

/// This thread's errno, whose place each C library calls otherwise.
fn errno() -> libc::c_int {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

/// `__kernel_timespec` of <linux/time_types.h>, which calls by number take that came after 2018: of
/// 64 bits each, where the C library's may have 32.
#[repr(C)]
struct KernelTimespec {
    tv_sec: i64,
    tv_nsec: i64,
}

impl KernelTimespec {
    /// What it cannot express is for ever.
    fn new(wait: Duration) -> KernelTimespec {
        KernelTimespec {
            tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(wait.subsec_nanos()),
        }
    }
}

/// The time as the C library wants it; more than 68 years, which not all can express, is for ever.
fn to_timespec(wait: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: wait.as_secs().min(i32::MAX as u64) as _,
        tv_nsec: wait.subsec_nanos() as _,
    }
}

const IOV_MAX: usize = 1024;
const NS_PER_SECOND: u64 = 1_000_000_000;
const NS_PER_MS: u32 = 1_000_000;

#[cfg(test)]
mod tests;
