//! The transports: how endpoints become descriptors, or pipes within the process.

pub(crate) mod filter;
pub(crate) mod inproc;
pub(crate) mod lookups;

use std::io;
use std::net::SocketAddr;

use crate::endpoint::{Endpoint, TcpEndpoint, resolve};
use crate::option::Options;
use crate::sys::{self, Fd, Listening, SockAddr};

/// The addresses to connect to, the first to try last; `None` for a name that the system has to
/// look up, which may take long (see [`Lookups`](lookups::Lookups)).
pub(crate) fn addresses(endpoint: &Endpoint, ipv6: bool) -> Option<Vec<SockAddr>> {
    match endpoint {
        Endpoint::Tcp(tcp) if tcp.host.is_looked_up() => None,
        Endpoint::Tcp(tcp) => {
            // `connect` has seen that there are some.
            let found = resolve(tcp, ipv6, false).unwrap_or_default();
            Some(found.into_iter().rev().map(SockAddr::Tcp).collect())
        }
        Endpoint::Ipc(path) => Some(vec![SockAddr::Ipc(path.addr().clone())]),
        Endpoint::Inproc(_) => Some(Vec::new()),
    }
}

/// Where to connect from, if the endpoint says.
///
/// # Errors
/// It is the name of no interface, or an IPv6 address without `ipv6`.
pub(crate) fn source(
    endpoint: &Endpoint,
    to: &SockAddr,
    ipv6: bool,
) -> io::Result<Option<SocketAddr>> {
    match (endpoint, to) {
        (Endpoint::Tcp(TcpEndpoint { source: Some(source), .. }), SockAddr::Tcp(to)) => {
            source.address(ipv6 && to.is_ipv6()).map(Some)
        }
        _ => Ok(None),
    }
}

/// Listens at the first of an endpoint's addresses that lets itself be bound, or on the descriptor of
/// USE_FD, and says where that is.
pub(crate) fn listen(endpoint: &Endpoint, options: &Options) -> io::Result<Listening> {
    if options.use_fd != -1 {
        return sys::adopt_listener(options.use_fd);
    }
    let mut error = io::ErrorKind::AddrNotAvailable.into();
    for address in bind_addresses(endpoint, options)? {
        match sys::listen(&address, options.backlog, |fd| prepare(fd, options)) {
            Ok(listening) => return Ok(listening),
            Err(other) => error = other,
        }
    }
    Err(error)
}

/// The addresses to bind to, in order.
fn bind_addresses(endpoint: &Endpoint, options: &Options) -> io::Result<Vec<SockAddr>> {
    Ok(match endpoint {
        Endpoint::Tcp(tcp) => {
            resolve(tcp, options.ipv6, true)?.into_iter().map(SockAddr::Tcp).collect()
        }
        Endpoint::Ipc(path) => vec![SockAddr::Ipc(path.addr().clone())],
        Endpoint::Inproc(_) => Vec::new(),
    })
}

/// Applies what the options say about a descriptor, before it is bound or connected: a window, for
/// one, is told the peer with the first packet.
pub(crate) fn prepare(fd: &Fd, options: &Options) -> io::Result<()> {
    tune(fd, options);
    match &options.bindtodevice[..] {
        "" => Ok(()),
        device => sys::bind_to_device(fd, device),
    }
}

/// Applies what the options say about a connection. Over ipc the system refuses some of it, which
/// harms nothing.
pub(crate) fn tune(fd: &Fd, options: &Options) {
    sys::set_buffers(fd, options.sndbuf, options.rcvbuf);
    if options.tcp_keepalive != -1 {
        sys::set_keepalive(
            fd,
            options.tcp_keepalive == 1,
            options.tcp_keepalive_cnt,
            options.tcp_keepalive_idle,
            options.tcp_keepalive_intvl,
        );
    }
    if options.tos != 0 {
        sys::set_type_of_service(fd, options.tos);
    }
    if options.priority != 0 {
        sys::set_priority(fd, options.priority);
    }
    if options.busy_poll != 0 {
        sys::set_busy_poll(fd, options.busy_poll);
    }
    if options.tcp_maxrt != 0 {
        sys::set_retransmit_timeout(fd, options.tcp_maxrt);
    }
}
