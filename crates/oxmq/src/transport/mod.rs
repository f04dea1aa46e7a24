//! The transports: how endpoints become descriptors, or pipes within the process.

pub(crate) mod inproc;

use std::io;
use std::net::SocketAddr;
use std::thread;

use crate::endpoint::{Endpoint, Host, TcpEndpoint, resolve};
use crate::option::Options;
use crate::sys::{self, Fd, SockAddr};

/// The addresses to connect to, the first to try last; `None` for a name that the system has to
/// look up, which may take long.
pub(crate) fn addresses(endpoint: &Endpoint) -> Option<Vec<SockAddr>> {
    match endpoint {
        Endpoint::Tcp(tcp) if matches!(tcp.host, Host::Name(_)) => None,
        Endpoint::Tcp(tcp) => {
            // `connect` has checked the address against the option IPV6.
            let found = resolve(tcp, true, false).unwrap_or_default();
            Some(found.into_iter().rev().map(SockAddr::Tcp).collect())
        }
        Endpoint::Ipc(path) => Some(vec![SockAddr::Ipc(path.addr().clone())]),
        Endpoint::Inproc(_) => Some(Vec::new()),
    }
}

/// Looks a name up on a thread of its own, so that a slow name server stalls nobody else.
pub(crate) fn resolve_elsewhere(
    tcp: TcpEndpoint,
    ipv6: bool,
    found: impl FnOnce(io::Result<Vec<SocketAddr>>) + Send + 'static,
) {
    let look_up = move || found(resolve(&tcp, ipv6, false));
    // Without a thread the name is not looked up now; the next attempt tries again.
    let _ = thread::Builder::new().name("oxmq-resolve".into()).spawn(move || {
        sys::SignalMask::block_all();
        look_up();
    });
}

/// The addresses to bind to, in order.
pub(crate) fn bind_addresses(endpoint: &Endpoint, options: &Options) -> io::Result<Vec<SockAddr>> {
    Ok(match endpoint {
        Endpoint::Tcp(tcp) => {
            resolve(tcp, options.ipv6, true)?.into_iter().map(SockAddr::Tcp).collect()
        }
        Endpoint::Ipc(path) => vec![SockAddr::Ipc(path.addr().clone())],
        Endpoint::Inproc(_) => Vec::new(),
    })
}

/// Applies SNDBUF and RCVBUF, where the system's own sizes are not wanted.
pub(crate) fn set_buffers(fd: &Fd, options: &Options) {
    sys::set_buffers(fd, options.sndbuf, options.rcvbuf);
}
