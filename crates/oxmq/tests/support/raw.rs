//! Peers made of bytes: of ZMTP 3.0, 2.0 and 1.0.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};

/// The greeting of a ZMTP 3.0 peer with the NULL mechanism.
pub const GREETING_3_0: [u8; 64] = greeting(0);
/// The greeting that this library sends: ZMTP 3.1. The padding's last byte is the length of the
/// identity + 1, for 2.x peers.
pub const GREETING_OURS: [u8; 64] = greeting(1);

const fn greeting(minor: u8) -> [u8; 64] {
    let mut greeting = [0; 64];
    greeting[0] = 0xFF;
    greeting[8] = 1;
    greeting[9] = 0x7F;
    greeting[10] = 3;
    greeting[11] = minor;
    greeting[12] = b'N';
    greeting[13] = b'U';
    greeting[14] = b'L';
    greeting[15] = b'L';
    greeting
}

/// A frame, in the short form if that is possible.
pub fn frame(flags: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = match u8::try_from(body.len()) {
        Ok(length) => vec![flags, length],
        Err(_) => {
            let mut frame = vec![flags | 2];
            frame.extend((body.len() as u64).to_be_bytes());
            frame
        }
    };
    frame.extend(body);
    frame
}

/// A message of these parts.
pub fn message<P: AsRef<[u8]>>(parts: &[P]) -> Vec<u8> {
    let last = parts.len() - 1;
    let frames = parts.iter().enumerate();
    frames.flat_map(|(at, part)| frame(u8::from(at < last), part.as_ref())).collect()
}

/// A version of ZMTP before 3.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Old {
    V1,
    V2,
}

impl Old {
    /// What a peer of this version and type (as ZMTP 2.0 numbers them) sends first.
    pub fn opening(self, number: u8, identity: &[u8]) -> Vec<u8> {
        match self {
            Old::V1 => self.frame(false, identity),
            Old::V2 => {
                let start = [&SIGNATURE[..], &[1, number]].concat();
                [start, self.frame(false, identity)].concat()
            }
        }
    }

    /// What our socket of this type and without identity sends such a peer.
    pub fn answer(self, number: u8) -> Vec<u8> {
        match self {
            // To a peer of ZMTP 1.0, an empty identity frame.
            Old::V1 => SIGNATURE.to_vec(),
            Old::V2 => [&SIGNATURE[..], &[3, number, 0, 0]].concat(),
        }
    }

    pub fn frame(self, more: bool, body: &[u8]) -> Vec<u8> {
        match self {
            Old::V2 => frame(u8::from(more), body),
            Old::V1 => {
                let length = body.len() as u64 + 1;
                let mut frame = match u8::try_from(length) {
                    Ok(length @ 0..=254) => vec![length],
                    _ => [&[0xFF][..], &length.to_be_bytes()].concat(),
                };
                frame.push(u8::from(more));
                frame.extend(body);
                frame
            }
        }
    }

    pub fn message<P: AsRef<[u8]>>(self, parts: &[P]) -> Vec<u8> {
        let last = parts.len() - 1;
        let frames = parts.iter().enumerate();
        frames.flat_map(|(at, part)| self.frame(at < last, part.as_ref())).collect()
    }
}

/// The start of every greeting, of a peer without identity.
pub const SIGNATURE: [u8; 10] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F];

/// A READY command with this socket type and, if there is one, this identity.
pub fn ready(socket_type: &str, identity: Option<&str>) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    let mut property = |name: &str, value: &str| {
        body.push(name.len() as u8);
        body.extend(name.as_bytes());
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(value.as_bytes());
    };
    property("Socket-Type", socket_type);
    if let Some(identity) = identity {
        property("Identity", identity);
    }
    frame(4, &body)
}

/// A byte stream, over tcp or ipc.
pub trait Stream: Read + Write + AsRawFd + Send {}

impl<T: Read + Write + AsRawFd + Send> Stream for T {}

/// The peer's end of a connection.
pub struct RawPeer {
    pub stream: Box<dyn Stream>,
}

impl RawPeer {
    /// Connects to an endpoint that `bind` returned.
    pub fn connect(endpoint: &str) -> RawPeer {
        RawPeer::connect_with(endpoint, 0)
    }

    /// As [`RawPeer::connect`], with this SO_RCVBUF (0: the system's).
    pub fn connect_with(endpoint: &str, rcvbuf: i32) -> RawPeer {
        RawPeer::try_connect_with(endpoint, rcvbuf).unwrap()
    }

    /// As [`RawPeer::connect`], where nobody may be.
    pub fn try_connect(endpoint: &str) -> std::io::Result<RawPeer> {
        RawPeer::try_connect_with(endpoint, 0)
    }

    fn try_connect_with(endpoint: &str, rcvbuf: i32) -> std::io::Result<RawPeer> {
        match endpoint.split_once("://").unwrap() {
            ("tcp", address) => {
                let address: std::net::SocketAddrV4 = address.parse().unwrap();
                // By hand: the size must be known before the window is told to the peer.
                let stream = socket(libc::AF_INET);
                set_rcvbuf(&stream, rcvbuf);
                let raw = libc::sockaddr_in {
                    sin_family: libc::AF_INET as u16,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from(*address.ip()).to_be() },
                    sin_zero: [0; 8],
                };
                let data: *const libc::sockaddr_in = &raw;
                // SAFETY: `raw` is a whole `sockaddr_in`.
                let connected = unsafe {
                    libc::connect(stream.as_raw_fd(), data.cast(), size_of_val(&raw) as u32)
                };
                if connected != 0 {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(RawPeer::over(TcpStream::from(stream)))
            }
            (_, path) => {
                let stream = UnixStream::connect_addr(&unix_address(path))?;
                set_rcvbuf(&stream, rcvbuf);
                Ok(RawPeer::over(stream))
            }
        }
    }

    pub fn over<S: Stream + Timeout + 'static>(stream: S) -> RawPeer {
        stream.set_timeouts();
        RawPeer { stream: Box::new(stream) }
    }

    /// The same connection, for another thread.
    pub fn copy(&self) -> RawPeer {
        // SAFETY: the descriptor is open; the copy is nobody else's.
        let copy = unsafe { OwnedFd::from_raw_fd(libc::dup(self.stream.as_raw_fd())) };
        RawPeer { stream: Box::new(std::fs::File::from(copy)) }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Reads exactly these bytes.
    pub fn expect(&mut self, bytes: &[u8]) {
        let mut read = vec![0; bytes.len()];
        self.stream.read_exact(&mut read).unwrap();
        assert!(read == bytes, "expected {}, got {}", bytes.escape_ascii(), read.escape_ascii());
    }

    /// Greets as a ZMTP 3.0 peer, and checks every byte of the answer.
    pub fn shake_hands(&mut self, own_type: &str, their_type: &str) {
        // A REQ announces an identity, even none.
        let identity = matches!(their_type, "REQ" | "DEALER" | "ROUTER").then_some("");
        self.send(&GREETING_3_0);
        self.expect(&GREETING_OURS);
        self.send(&ready(own_type, None));
        self.expect(&ready(their_type, identity));
    }

    /// Reads and writes do not wait from now on.
    pub fn set_nonblocking(&self) {
        // SAFETY: touches no memory of ours.
        let set = unsafe { libc::fcntl(self.stream.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
        assert_eq!(set, 0);
    }

    /// From now on every packet to this peer is lost, over tcp, and nobody is told: its system answers
    /// nothing any more.
    pub fn cut_off(&self) {
        // BPF: return 0, of each packet no byte is kept.
        let mut program = libc::sock_filter { code: 0x06, jt: 0, jf: 0, k: 0 };
        let filter = libc::sock_fprog { len: 1, filter: &mut program };
        let data: *const libc::sock_fprog = &filter;
        // SAFETY: the kernel copies the program, of one instruction, as its header says.
        let result = unsafe {
            let (fd, bytes) = (self.stream.as_raw_fd(), size_of_val(&filter) as u32);
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, data.cast(), bytes)
        };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    }

    /// Whether something can be written within so long.
    pub fn is_writable(&self, timeout: std::time::Duration) -> bool {
        let fd = self.stream.as_raw_fd();
        let mut poll = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, timeout.as_millis() as i32) > 0 }
    }

    /// How many bytes the kernel holds on their way to this peer, which has a socket of the same
    /// process as its other end.
    pub fn bytes_under_way(&self) -> usize {
        let arrived = queue_bytes(self.stream.as_raw_fd(), libc::FIONREAD);
        // Over ipc there is one queue, the reader's; over tcp the writer has one, too.
        let other = other_end(self.stream.as_raw_fd());
        arrived + other.map_or(0, |fd| queue_bytes(fd, libc::TIOCOUTQ))
    }

    /// Reads what comes; whether the other side ends the stream in time.
    pub fn ends(&mut self) -> bool {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, Interrupted};
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(error) if error.kind() == Interrupted => {}
                Err(error) => return matches!(error.kind(), ConnectionReset | BrokenPipe),
            }
        }
    }

    /// Everything up to the end of the stream; a reset ends it, too.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return all,
                Ok(read) => all.extend(&buffer[..read]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return all,
                Err(error) => panic!("the stream does not end: {error}"),
            }
        }
    }
}

/// Waits for connections of ours.
pub enum RawListener {
    Tcp(TcpListener),
    Ipc(UnixListener),
}

impl RawListener {
    /// Listens at an endpoint such as `bind` takes, and returns the one to connect to.
    pub fn bind(endpoint: &str) -> (RawListener, String) {
        match endpoint.split_once("://").unwrap() {
            ("tcp", address) => {
                let listener = TcpListener::bind(address.replace('*', "0")).unwrap();
                let endpoint = format!("tcp://{}", listener.local_addr().unwrap());
                (RawListener::Tcp(listener), endpoint)
            }
            (_, path) => {
                let listener = UnixListener::bind_addr(&unix_address(path)).unwrap();
                (RawListener::Ipc(listener), endpoint.to_owned())
            }
        }
    }

    /// Listens where no further connection is answered: the queue is full, and stays so as long as
    /// what is returned lives.
    pub fn bind_full() -> ((OwnedFd, Vec<OwnedFd>), String) {
        let listener = socket(libc::AF_INET);
        // SAFETY: touches no memory of ours.
        assert_eq!(unsafe { libc::listen(listener.as_raw_fd(), 0) }, 0);
        let (_, port) = inet_address(listener.as_raw_fd(), libc::getsockname).unwrap();
        let raw = libc::sockaddr_in {
            sin_family: libc::AF_INET as u16,
            sin_port: port,
            sin_addr: libc::in_addr { s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be() },
            sin_zero: [0; 8],
        };
        let data: *const libc::sockaddr_in = &raw;
        let waiting = (0..8).map(|_| {
            let stream = socket(libc::AF_INET);
            // SAFETY: `raw` is a whole `sockaddr_in`; the other call touches no memory of ours.
            unsafe {
                libc::fcntl(stream.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
                libc::connect(stream.as_raw_fd(), data.cast(), size_of_val(&raw) as u32);
            }
            stream
        });
        let waiting = waiting.collect();
        ((listener, waiting), format!("tcp://127.0.0.1:{}", u16::from_be(port)))
    }

    pub fn accept(&self) -> RawPeer {
        match self {
            RawListener::Tcp(listener) => RawPeer::over(listener.accept().unwrap().0),
            RawListener::Ipc(listener) => RawPeer::over(listener.accept().unwrap().0),
        }
    }

    /// Whether a connection waits; never blocks.
    pub fn has_connection(&self) -> bool {
        let mut poll = libc::pollfd {
            fd: match self {
                RawListener::Tcp(listener) => listener.as_raw_fd(),
                RawListener::Ipc(listener) => listener.as_raw_fd(),
            },
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, 0) > 0 }
    }
}

impl Drop for RawListener {
    fn drop(&mut self) {
        if let RawListener::Ipc(listener) = self
            && let Ok(address) = listener.local_addr()
            && let Some(path) = address.as_pathname()
        {
            // It may be gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Reads and writes of a test must not wait for ever.
pub trait Timeout {
    fn set_timeouts(&self);
}

impl Timeout for TcpStream {
    fn set_timeouts(&self) {
        self.set_read_timeout(Some(super::LONG)).unwrap();
        self.set_write_timeout(Some(super::LONG)).unwrap();
        self.set_nodelay(true).unwrap();
    }
}

impl Timeout for UnixStream {
    fn set_timeouts(&self) {
        self.set_read_timeout(Some(super::LONG)).unwrap();
        self.set_write_timeout(Some(super::LONG)).unwrap();
    }
}

fn unix_address(path: &str) -> SocketAddr {
    match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name).unwrap(),
        None => SocketAddr::from_pathname(path).unwrap(),
    }
}

fn socket(family: i32) -> OwnedFd {
    // SAFETY: the arguments are in order; the descriptor is checked and nobody else's.
    unsafe {
        let fd = libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0);
        assert!(fd >= 0);
        OwnedFd::from_raw_fd(fd)
    }
}

/// A tcp port that refuses connections, that the system gives to nobody, and that can be bound to by
/// its number.
pub fn reserve_port() -> (OwnedFd, String) {
    let holder = socket(libc::AF_INET);
    let yes: i32 = 1;
    let data: *const i32 = &yes;
    let any = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: 0,
        sin_addr: libc::in_addr { s_addr: u32::from(std::net::Ipv4Addr::LOCALHOST).to_be() },
        sin_zero: [0; 8],
    };
    let address: *const libc::sockaddr_in = &any;
    // SAFETY: the option is an int, and `any` a whole `sockaddr_in`.
    let results = unsafe {
        let fd = holder.as_raw_fd();
        [
            // Who binds has it set, too.
            libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, data.cast(), 4),
            libc::bind(fd, address.cast(), size_of_val(&any) as u32),
        ]
    };
    assert_eq!(results, [0, 0], "{}", std::io::Error::last_os_error());
    let (_, port) = inet_address(holder.as_raw_fd(), libc::getsockname).unwrap();
    (holder, format!("tcp://127.0.0.1:{}", u16::from_be(port)))
}

fn set_rcvbuf(stream: &impl AsRawFd, bytes: i32) {
    if bytes == 0 {
        return;
    }
    let data: *const i32 = &bytes;
    // SAFETY: the option is an int.
    let result = unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_RCVBUF, data.cast(), 4)
    };
    assert_eq!(result, 0);
}

/// The other end of a tcp connection within this process.
pub fn other_end(fd: i32) -> Option<i32> {
    inet_address(fd, libc::getsockname)
        .and_then(|own| (3..4096).find(|&fd| inet_address(fd, libc::getpeername) == Some(own)))
}

/// An option of a socket that is an int.
pub fn int_option(fd: i32, level: i32, name: i32) -> i32 {
    let mut value: i32 = 0;
    let mut bytes = size_of::<i32>() as u32;
    let data: *mut i32 = &mut value;
    // SAFETY: the option is an int, and `bytes` gives its size.
    let result = unsafe { libc::getsockopt(fd, level, name, data.cast(), &mut bytes) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    value
}

fn queue_bytes(fd: i32, request: libc::Ioctl) -> usize {
    let mut bytes: i32 = 0;
    let data: *mut i32 = &mut bytes;
    // SAFETY: both requests fill an int.
    assert_eq!(unsafe { libc::ioctl(fd, request, data) }, 0);
    bytes as usize
}

/// The IPv4 address and port that the call names, if the descriptor has one.
fn inet_address(
    fd: i32,
    call: unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut libc::socklen_t) -> i32,
) -> Option<(u32, u16)> {
    // SAFETY: all zeroes is a `sockaddr_in`.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let mut bytes = size_of::<libc::sockaddr_in>() as u32;
    let data: *mut libc::sockaddr_in = &mut address;
    // SAFETY: `bytes` says how much room there is; a longer address is cut off.
    let result = unsafe { call(fd, data.cast(), &mut bytes) };
    let found = result == 0 && i32::from(address.sin_family) == libc::AF_INET;
    found.then_some((address.sin_addr.s_addr, address.sin_port))
}
