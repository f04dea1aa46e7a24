//! Endpoints: what `bind` and `connect` are given, read once into types.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, ToSocketAddrs};
use std::path::Path;
use std::str::FromStr;

use crate::sys::{self, IPC_BYTES_MAX, IpcAddr};

/// Where a socket binds or connects: a transport and an address, written `transport://address`.
///
/// ```
/// use oxmq::{Endpoint, Port};
/// let endpoint: Endpoint = "tcp://127.0.0.1:5555".parse()?;
/// assert_eq!(endpoint.to_string(), "tcp://127.0.0.1:5555");
/// let Endpoint::Tcp(tcp) = endpoint else { unreachable!() };
/// assert_eq!(tcp.port, Port::Number(5555));
///
/// let error = "tcp://127.0.0.1".parse::<Endpoint>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     r#"endpoint "tcp://127.0.0.1": the port is missing; expected tcp://host:port"#,
/// );
/// # Ok::<(), oxmq::EndpointError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Endpoint {
    /// `tcp://host:port`: between machines.
    Tcp(TcpEndpoint),
    /// `ipc://path`: between the processes of one machine.
    Ipc(IpcPath),
    /// `inproc://name`: between the threads that share a context. Any name but the empty one.
    Inproc(String),
}

/// What follows `tcp://`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpEndpoint {
    /// The machine or, for `bind`, the interface.
    pub host: Host,
    /// The port.
    pub port: Port,
    /// Where to connect from (`tcp://source;host:port`), for `connect` only; `None` leaves it to the
    /// system.
    pub source: Option<TcpSource>,
}

/// Where a connection comes from: the part before the semicolon of `tcp://192.168.1.2:0;host:port`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpSource {
    /// The interface: an address of it, its name, or `*` for any.
    pub host: Host,
    /// The port; `*` or 0 for any.
    pub port: Port,
}

/// The host of a [`TcpEndpoint`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// `*`, for `bind` only: every interface.
    Any,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address in square brackets, and perhaps a scope: `[fe80::1%eth0]`.
    V6 {
        /// The address.
        ip: Ipv6Addr,
        /// The interface of a link-local address, by name or number.
        scope: Option<String>,
    },
    /// A name that the system resolves.
    Name(String),
}

/// The port of a [`TcpEndpoint`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// `*`, for `bind` only: any free port. The socket's last endpoint tells which.
    Any,
    /// A port; 0 binds as [`Port::Any`] does.
    Number(u16),
}

/// What follows `ipc://`: a path of at most 107 bytes, `@` and a name in Linux's abstract
/// namespace, or `*` for a new path that the system chooses (`bind` only).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IpcPath(IpcAddr);

/// Why a text is no [`Endpoint`], or not one for `connect`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointError {
    endpoint: String,
    kind: EndpointErrorKind,
}

/// What is wrong with an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EndpointErrorKind {
    /// There is no `transport://` in front.
    NoTransport,
    /// A transport that ØMQ does not have.
    UnknownTransport,
    /// A transport that ØMQ has, but this library does not have yet.
    TransportNotSupported,
    /// A TCP endpoint that names the address to connect from (`source;host:port`), given to `bind`.
    Source,
    /// The host is missing, or is neither an address nor a name.
    Host,
    /// The port of a TCP endpoint is missing.
    NoPort,
    /// The port is neither `*` nor a number from 0 to 65535.
    Port,
    /// Nothing follows `ipc://` or `ipc://@`, or what follows contains a NUL.
    Path,
    /// More than 107 bytes follow `ipc://`.
    PathTooLong,
    /// Nothing follows `inproc://`.
    Name,
    /// `connect` was given a `*`, which only `bind` can choose something for.
    Wildcard,
}

impl Endpoint {
    /// What `bind` must ask: an endpoint without a source.
    ///
    /// # Errors
    /// [`EndpointErrorKind::Source`].
    pub(crate) fn check_bind(&self) -> Result<(), EndpointError> {
        match self {
            Endpoint::Tcp(TcpEndpoint { source: Some(_), .. }) => {
                let kind = EndpointErrorKind::Source;
                Err(EndpointError { endpoint: self.to_string(), kind })
            }
            _ => Ok(()),
        }
    }

    /// What `connect` must ask: an endpoint without wildcards.
    ///
    /// # Errors
    /// [`EndpointErrorKind::Wildcard`].
    pub(crate) fn check_connect(&self) -> Result<(), EndpointError> {
        let wild = match self {
            Endpoint::Tcp(tcp) => tcp.host == Host::Any || tcp.port == Port::Any,
            Endpoint::Ipc(ipc) => ipc.is_any(),
            Endpoint::Inproc(_) => false,
        };
        if wild {
            let kind = EndpointErrorKind::Wildcard;
            return Err(EndpointError { endpoint: self.to_string(), kind });
        }
        Ok(())
    }
}

impl Host {
    /// Whether the system has to be asked where it is, which may take long.
    pub(crate) fn is_looked_up(&self) -> bool {
        matches!(self, Host::Name(name) if !is_localhost(name))
    }
}

/// RFC 6761, section 6.3: "Name resolution APIs and libraries SHOULD recognize localhost names as
/// special and SHOULD always return the IP loopback address".
fn is_localhost(name: &str) -> bool {
    name.strip_suffix('.').unwrap_or(name).eq_ignore_ascii_case("localhost")
}

impl IpcPath {
    /// Whether this is `*`, a path still to be chosen.
    pub fn is_any(&self) -> bool {
        self.0 == IpcAddr::Any
    }

    /// The path in the file system, if it is one.
    pub fn path(&self) -> Option<&Path> {
        match &self.0 {
            IpcAddr::Path(path) => Some(Path::new(std::str::from_utf8(path).ok()?)),
            IpcAddr::Abstract(_) | IpcAddr::Any => None,
        }
    }

    pub(crate) fn addr(&self) -> &IpcAddr {
        &self.0
    }
}

impl EndpointError {
    /// What is wrong.
    pub fn kind(&self) -> EndpointErrorKind {
        self.kind
    }

    /// The text that was given.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// The addresses that `tcp` stands for, in the order to try them in; at least one. With `ipv6`
/// off these are IPv4 addresses, as with libzmq.
///
/// Names are looked up by the system, which may take seconds: never call this from an I/O thread.
///
/// # Errors
/// The system's, for a name that does not resolve. `InvalidInput` for a wildcard without `bind`,
/// and for an IPv6 address without `ipv6`.
pub(crate) fn resolve(tcp: &TcpEndpoint, ipv6: bool, bind: bool) -> io::Result<Vec<SocketAddr>> {
    let port = match tcp.port {
        Port::Number(port) => port,
        Port::Any if bind => 0,
        Port::Any => return Err(invalid("only bind can choose a port for *")),
    };
    let found: Vec<SocketAddr> = match &tcp.host {
        // Binding to [::] takes IPv4 connections too.
        Host::Any if bind && ipv6 => vec![(Ipv6Addr::UNSPECIFIED, port).into()],
        Host::Any if bind => vec![(Ipv4Addr::UNSPECIFIED, port).into()],
        Host::Any => return Err(invalid("only bind can stand for every interface with *")),
        Host::V4(ip) => vec![(*ip, port).into()],
        // Who connects to such an address means it.
        Host::V6 { .. } if bind && !ipv6 => {
            return Err(invalid("an IPv6 address needs the option IPV6"));
        }
        Host::V6 { ip, scope: None } => vec![(*ip, port).into()],
        Host::V6 { ip, scope: Some(scope) } => match scope.parse() {
            Ok(scope) => vec![SocketAddrV6::new(*ip, port, 0, scope).into()],
            Err(_) => (format!("{ip}%{scope}"), port).to_socket_addrs()?.collect(),
        },
        // An interface: libzmq's bind looks there first, too.
        Host::Name(name) if bind && let Some(found) = sys::interface_address(name, ipv6) => {
            vec![on_interface(found, port)]
        }
        Host::Name(name) if is_localhost(name) => {
            let (v6, v4) = ((Ipv6Addr::LOCALHOST, port).into(), (Ipv4Addr::LOCALHOST, port).into());
            if ipv6 { vec![v6, v4] } else { vec![v4] }
        }
        Host::Name(name) => {
            (name.as_str(), port).to_socket_addrs()?.filter(|addr| ipv6 || addr.is_ipv4()).collect()
        }
    };
    if found.is_empty() {
        let why = format!("{} has no IPv4 address, and the option IPV6 is off", tcp.host);
        return Err(io::Error::new(io::ErrorKind::AddrNotAvailable, why));
    }
    Ok(found)
}

impl TcpSource {
    /// The address to connect from, of the kind wanted where the source leaves that open.
    ///
    /// # Errors
    /// `AddrNotAvailable`: there is no such interface.
    pub(crate) fn address(&self, ipv6: bool) -> io::Result<SocketAddr> {
        let port = match self.port {
            Port::Number(port) => port,
            Port::Any => 0,
        };
        Ok(match &self.host {
            Host::Any if ipv6 => (Ipv6Addr::UNSPECIFIED, port).into(),
            Host::Any => (Ipv4Addr::UNSPECIFIED, port).into(),
            Host::V4(ip) => (*ip, port).into(),
            Host::V6 { ip, scope } => {
                let scope = match scope.as_deref().map(|scope| (scope.parse(), scope)) {
                    None => 0,
                    Some((Ok(scope), _)) => scope,
                    Some((Err(_), name)) => sys::interface_address(name, true)
                        .map(|(_, scope)| scope)
                        .ok_or(io::ErrorKind::AddrNotAvailable)?,
                };
                SocketAddrV6::new(*ip, port, 0, scope).into()
            }
            Host::Name(name) => match sys::interface_address(name, ipv6) {
                Some(found) => on_interface(found, port),
                None => return Err(io::ErrorKind::AddrNotAvailable.into()),
            },
        })
    }
}

fn on_interface((ip, scope): (IpAddr, u32), port: u16) -> SocketAddr {
    match ip {
        IpAddr::V4(ip) => (ip, port).into(),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    }
}

fn invalid(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, why)
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        parse(text).map_err(|kind| EndpointError { endpoint: text.to_owned(), kind })
    }
}

fn parse(text: &str) -> Result<Endpoint, EndpointErrorKind> {
    let (transport, address) = text.split_once("://").ok_or(EndpointErrorKind::NoTransport)?;
    match transport {
        "tcp" => parse_tcp(address).map(Endpoint::Tcp),
        "ipc" => parse_ipc(address).map(Endpoint::Ipc),
        // The manual allows 256 characters; libzmq takes any number, and so do we.
        "inproc" if address.is_empty() => Err(EndpointErrorKind::Name),
        "inproc" => Ok(Endpoint::Inproc(address.to_owned())),
        "" => Err(EndpointErrorKind::NoTransport),
        other if TRANSPORTS_TO_COME.contains(&other) => {
            Err(EndpointErrorKind::TransportNotSupported)
        }
        _ => Err(EndpointErrorKind::UnknownTransport),
    }
}

fn parse_tcp(address: &str) -> Result<TcpEndpoint, EndpointErrorKind> {
    let (source, address) = match address.split_once(';') {
        Some((source, address)) => (Some(source), address),
        None => (None, address),
    };
    let (host, port) = parse_host_and_port(address)?;
    let source = source.map(parse_host_and_port).transpose()?;
    let source = source.map(|(host, port)| TcpSource { host, port });
    Ok(TcpEndpoint { host, port, source })
}

fn parse_host_and_port(address: &str) -> Result<(Host, Port), EndpointErrorKind> {
    let (host, port) = address.rsplit_once(':').ok_or(EndpointErrorKind::NoPort)?;
    // The colon may belong to an IPv6 address without a port: "[::1]".
    if port.ends_with(']') || port.is_empty() {
        return Err(EndpointErrorKind::NoPort);
    }
    let port = match port {
        "*" => Port::Any,
        // `u16` would read "+5" too.
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Port::Number(digits.parse().map_err(|_| EndpointErrorKind::Port)?)
        }
        _ => return Err(EndpointErrorKind::Port),
    };
    let host = parse_host(host).ok_or(EndpointErrorKind::Host)?;
    Ok((host, port))
}

fn parse_host(text: &str) -> Option<Host> {
    if text == "*" {
        return Some(Host::Any);
    }
    if let Ok(ip) = text.parse() {
        return Some(Host::V4(ip));
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    // libzmq can do without the brackets.
    if bracketed.is_some() || text.contains(':') {
        let (ip, scope) = match bracketed.unwrap_or(text).split_once('%') {
            Some((ip, scope)) => (ip, Some(scope)),
            None => (bracketed.unwrap_or(text), None),
        };
        if scope.is_some_and(|scope| !is_name(scope)) {
            return None;
        }
        return Some(Host::V6 { ip: ip.parse().ok()?, scope: scope.map(str::to_owned) });
    }
    // Four numbers that are no address, such as 1.2.3.256, would fail as a name much later.
    let numbers = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if !is_name(text) || numbers && text.matches('.').count() == 3 {
        return None;
    }
    Some(Host::Name(text.to_owned()))
}

/// Whether `text` could be the name of a host or an interface.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

fn parse_ipc(address: &str) -> Result<IpcPath, EndpointErrorKind> {
    if address.len() > IPC_BYTES_MAX {
        return Err(EndpointErrorKind::PathTooLong);
    }
    IpcAddr::parse(address.as_bytes()).map(IpcPath).map_err(|_| EndpointErrorKind::Path)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Tcp(tcp) => write!(f, "tcp://{tcp}"),
            Endpoint::Ipc(ipc) => write!(f, "ipc://{ipc}"),
            Endpoint::Inproc(name) => write!(f, "inproc://{name}"),
        }
    }
}

impl fmt::Display for TcpEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{}:{};", source.host, source.port)?;
        }
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Any => f.write_str("*"),
            Host::V4(ip) => ip.fmt(f),
            Host::V6 { ip, scope: None } => write!(f, "[{ip}]"),
            Host::V6 { ip, scope: Some(scope) } => write!(f, "[{ip}%{scope}]"),
            Host::Name(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Port::Any => f.write_str("*"),
            Port::Number(port) => port.fmt(f),
        }
    }
}

impl fmt::Display for IpcPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Endpoint {
        let host = match addr.ip() {
            IpAddr::V4(ip) => Host::V4(ip),
            IpAddr::V6(ip) => {
                let scope = match addr {
                    SocketAddr::V6(v6) if v6.scope_id() != 0 => Some(v6.scope_id().to_string()),
                    _ => None,
                };
                Host::V6 { ip, scope }
            }
        };
        Endpoint::Tcp(TcpEndpoint { host, port: Port::Number(addr.port()), source: None })
    }
}

impl fmt::Display for EndpointError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use EndpointErrorKind::*;
        write!(f, "endpoint {:?}: ", self.endpoint)?;
        let transport = self.endpoint.split("://").next().unwrap_or_default();
        match self.kind {
            NoTransport => f.write_str(
                "the transport is missing; expected tcp://host:port, ipc://path or inproc://name",
            ),
            UnknownTransport => {
                write!(f, "there is no transport {transport:?}; expected tcp, ipc or inproc")
            }
            TransportNotSupported => write!(
                f,
                "the transport {transport} is not supported yet; expected tcp, ipc or inproc"
            ),
            Source => f.write_str(
                "only connect can use an address to connect from; expected tcp://host:port",
            ),
            Host => f.write_str(
                "the host is neither an address nor a name; expected *, an IPv4 address, an IPv6 \
                 address in square brackets, or a name of letters, digits, '-', '.' and '_'",
            ),
            NoPort => f.write_str("the port is missing; expected tcp://host:port"),
            Port => f.write_str("the port is not one; expected 0 to 65535, or *"),
            Path => f.write_str("the path is empty or contains a NUL; expected ipc://path"),
            PathTooLong => {
                write!(f, "the path is too long; expected at most {IPC_BYTES_MAX} bytes")
            }
            Name => f.write_str("the name is missing; expected inproc://name"),
            Wildcard => f.write_str("only bind can choose something for *; connect needs to know"),
        }
    }
}

impl Error for EndpointError {}

/// libzmq's other transports.
const TRANSPORTS_TO_COME: [&str; 9] =
    ["pgm", "epgm", "norm", "udp", "ws", "wss", "tipc", "vmci", "vsock"];

/// The longest name of a host (RFC 1035), in bytes.
const NAME_BYTES_MAX: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(text: &str) -> TcpEndpoint {
        match text.parse() {
            Ok(Endpoint::Tcp(tcp)) => tcp,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn endpoints_round_trip() {
        for text in [
            "tcp://*:*",
            "tcp://*:5555",
            "tcp://127.0.0.1:0",
            "tcp://10.0.0.1:65535",
            "tcp://[::]:*",
            "tcp://[::1]:5555",
            "tcp://[fe80::1%eth0]:5555",
            "tcp://[fe80::1%3]:5555",
            "tcp://eth0:5555",
            "tcp://my_host-1.example.com:80",
            "tcp://127.1:80",
            "tcp://192.168.1.1:0;10.0.0.1:5555",
            "tcp://[::1]:*;[::1]:5555",
            "tcp://eth0:0;host:5555",
            "ipc:///tmp/feeds/0",
            "ipc://relative with spaces",
            "ipc://@abstract",
            "ipc://*",
            "ipc://@*",
            "inproc://#1",
            "inproc://tcp://*:1",
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn other_spellings_become_the_usual_one() {
        for (text, usual) in [
            ("tcp://::1:5555", "tcp://[::1]:5555"),
            ("tcp://[0:0::1]:5555", "tcp://[::1]:5555"),
            ("tcp://localhost:0080", "tcp://localhost:80"),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), usual);
        }
    }

    #[test]
    fn hosts_and_ports_are_told_apart() {
        let any = TcpEndpoint { host: Host::Any, port: Port::Number(0), source: None };
        assert_eq!(tcp("tcp://*:0"), any);
        assert_eq!(tcp("tcp://1.2.3.4:*").host, Host::V4(Ipv4Addr::new(1, 2, 3, 4)));
        assert_eq!(
            tcp("tcp://lo:*"),
            TcpEndpoint { host: Host::Name("lo".into()), port: Port::Any, source: None }
        );
        let scope = Some("eth0".to_owned());
        let ip = "fe80::1".parse().unwrap();
        assert_eq!(tcp("tcp://[fe80::1%eth0]:1").host, Host::V6 { ip, scope });
    }

    #[test]
    fn errors_say_what_is_wrong() {
        use EndpointErrorKind::*;
        let long_path = format!("ipc://{}", "p".repeat(IPC_BYTES_MAX + 1));
        let long_name = format!("tcp://{}:1", "n".repeat(NAME_BYTES_MAX + 1));
        for (text, kind) in [
            ("", NoTransport),
            ("127.0.0.1:5555", NoTransport),
            ("tcp:/127.0.0.1:5555", NoTransport),
            ("://x", NoTransport),
            ("TCP://*:1", UnknownTransport),
            ("http://x", UnknownTransport),
            ("udp://127.0.0.1:1", TransportNotSupported),
            ("epgm://eth0;239.0.0.1:1", TransportNotSupported),
            ("tcp://192.168.1.1;10.0.0.1:5555", NoPort),
            ("tcp://192.168.1.1:x;10.0.0.1:5555", Port),
            ("tcp://192.168.1.1:0;", NoPort),
            ("tcp://;10.0.0.1:5555", NoPort),
            ("tcp://", NoPort),
            ("tcp://127.0.0.1", NoPort),
            ("tcp://127.0.0.1:", NoPort),
            ("tcp://[::1]", NoPort),
            ("tcp://[::1]:", NoPort),
            ("tcp://*:65536", Port),
            ("tcp://*:-1", Port),
            ("tcp://*:+1", Port),
            ("tcp://*:80/", Port),
            ("tcp://*:http", Port),
            ("tcp://:5555", Host),
            ("tcp://1.2.3.256:1", Host),
            ("tcp://[::g]:1", Host),
            ("tcp://[]:1", Host),
            ("tcp://[1.2.3.4]:1", Host),
            ("tcp://[fe80::1%]:1", Host),
            ("tcp://two words:1", Host),
            ("tcp://a/b:1", Host),
            ("tcp://[::1:1", Host),
            (&long_name, Host),
            ("ipc://", Path),
            ("ipc://@", Path),
            ("ipc://a\0b", Path),
            (&long_path, PathTooLong),
            ("inproc://", Name),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err();
            assert_eq!((error.kind(), error.endpoint()), (kind, text), "{text}");
            assert!(error.to_string().starts_with(&format!("endpoint {text:?}: ")));
        }
        let path: Endpoint = long_path[..long_path.len() - 1].parse().unwrap();
        assert!(matches!(path, Endpoint::Ipc(_)));
    }

    #[test]
    fn only_bind_takes_wildcards() {
        for text in ["tcp://*:5555", "tcp://localhost:*", "ipc://*"] {
            let error = text.parse::<Endpoint>().unwrap().check_connect().unwrap_err();
            assert_eq!(error.kind(), EndpointErrorKind::Wildcard);
        }
        // Port 0 is libzmq's affair of the connecting system call.
        for text in ["tcp://localhost:0", "ipc://@*", "inproc://*"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().check_connect(), Ok(()));
        }
    }

    #[test]
    fn addresses_resolve_without_the_network() {
        let all = |text, ipv6, bind| resolve(&tcp(text), ipv6, bind).map_err(|error| error.kind());
        let one = |text: &str| Ok(vec![text.parse().unwrap()]);
        assert_eq!(all("tcp://*:5555", false, true), one("0.0.0.0:5555"));
        assert_eq!(all("tcp://*:*", true, true), one("[::]:0"));
        assert_eq!(all("tcp://1.2.3.4:5", true, false), one("1.2.3.4:5"));
        assert_eq!(all("tcp://[::1]:5", true, false), one("[::1]:5"));
        assert_eq!(all("tcp://[fe80::1%7]:5", true, false), one("[fe80::1%7]:5"));
        assert_eq!(all("tcp://localhost:5", false, false), one("127.0.0.1:5"));
        let both = Ok(vec!["[::1]:5".parse().unwrap(), "127.0.0.1:5".parse().unwrap()]);
        assert_eq!(all("tcp://LocalHost.:5", true, false), both);
        for (host, is_looked_up) in [("localhost", false), ("1.2.3.4", false), ("local", true)] {
            assert_eq!(tcp(&format!("tcp://{host}:5")).host.is_looked_up(), is_looked_up);
        }
        let from = |text: &str| tcp(text).source.unwrap().address(false).map(|at| at.to_string());
        if cfg!(not(oxmq_sim)) {
            assert_eq!(all("tcp://lo:5", false, true), one("127.0.0.1:5"));
            assert_eq!(from("tcp://lo:7;host:5").unwrap(), "127.0.0.1:7");
        }
        assert_eq!(from("tcp://*:*;host:5").unwrap(), "0.0.0.0:0");
        assert_eq!(from("tcp://[fe80::1%7]:1;host:5").unwrap(), "[fe80::1%7]:1");
        assert!(from("tcp://nowhere:0;host:5").is_err());
        let invalid = Err(io::ErrorKind::InvalidInput);
        assert_eq!(all("tcp://[::1]:5", false, true), invalid);
        assert_eq!(all("tcp://*:5", false, false), invalid);
        assert_eq!(all("tcp://localhost:*", false, false), invalid);
    }

    #[test]
    fn socket_addresses_are_endpoints() {
        for text in ["1.2.3.4:5", "[::1]:5", "[fe80::1%7]:5"] {
            let endpoint = Endpoint::from(text.parse::<SocketAddr>().unwrap());
            assert_eq!(endpoint.to_string().parse(), Ok(endpoint.clone()));
            assert_eq!(endpoint.to_string(), format!("tcp://{text}"));
        }
    }
}
