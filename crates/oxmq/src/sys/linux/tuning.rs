//! What the options of a socket say about its descriptors.

use super::{Fd, RawFd, check, local_addr, set_flag, set_int};
use crate::sys::{Credentials, Listening};
use std::ffi::CStr;
use std::io;
use std::mem;
use std::net::{IpAddr, Ipv6Addr};
use std::ptr;

/// Asks for buffers of these sizes, in bytes; a negative size leaves the system's own. The system
/// takes them for hints.
pub(crate) fn set_buffers(fd: &Fd, send_bytes: i32, receive_bytes: i32) {
    for (name, bytes) in [(libc::SO_SNDBUF, send_bytes), (libc::SO_RCVBUF, receive_bytes)] {
        if bytes >= 0 {
            let _ = set_int(fd, libc::SOL_SOCKET, name, bytes);
        }
    }
}

/// Switches tcp's keep-alive on or off, and sets how many probes may go unanswered, after how many
/// seconds of silence they begin, and how many are between them; a negative number leaves the
/// system's own. Connections of other kinds have nothing of it.
pub(crate) fn set_keepalive(fd: &Fd, on: bool, probes: i32, idle_s: i32, interval_s: i32) {
    let _ = set_flag(fd, libc::SOL_SOCKET, libc::SO_KEEPALIVE, on);
    for (name, value) in [
        (libc::TCP_KEEPCNT, probes),
        (libc::TCP_KEEPIDLE, idle_s),
        (libc::TCP_KEEPINTVL, interval_s),
    ] {
        if value >= 0 {
            let _ = set_int(fd, libc::IPPROTO_TCP, name, value);
        }
    }
}

/// Sets the type of service of what is sent over IPv4, and the traffic class over IPv6; a connection
/// takes that of its kind, or none.
pub(crate) fn set_type_of_service(fd: &Fd, value: i32) {
    let _ = set_int(fd, libc::IPPROTO_IP, libc::IP_TOS, value);
    let _ = set_int(fd, libc::IPPROTO_IPV6, libc::IPV6_TCLASS, value);
}

/// Sets the priority of what is sent (`SO_PRIORITY`). Above 6 it takes a capability.
pub(crate) fn set_priority(fd: &Fd, value: i32) {
    let _ = set_int(fd, libc::SOL_SOCKET, libc::SO_PRIORITY, value);
}

/// Has a read that finds nothing poll the network device for so many microseconds.
pub(crate) fn set_busy_poll(fd: &Fd, us: i32) {
    let _ = set_int(fd, libc::SOL_SOCKET, libc::SO_BUSY_POLL, us);
}

/// Ends a tcp connection when what was sent is not acknowledged for so long.
pub(crate) fn set_retransmit_timeout(fd: &Fd, ms: i32) {
    let _ = set_int(fd, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, ms);
}

/// Restricts a socket that is not yet bound to one network device.
///
/// # Errors
/// There is no such device, or the process may not.
pub(crate) fn bind_to_device(fd: &Fd, device: &str) -> io::Result<()> {
    // SAFETY: the name's bytes are read, as many as are said.
    check(unsafe {
        libc::setsockopt(
            fd.raw(),
            libc::SOL_SOCKET,
            libc::SO_BINDTODEVICE,
            device.as_ptr().cast(),
            device.len() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// A copy of a descriptor that listens already, and where it listens. The copy shares its mode,
/// which becomes non-blocking. A path at which it listens is its owner's.
///
/// # Errors
/// It is none that listens for streams, or of a kind not supported.
pub(crate) fn adopt_listener(raw: RawFd) -> io::Result<Listening> {
    // SAFETY: touches no memory of ours; makes a descriptor that nobody else knows of.
    let fd = Fd::from_call(unsafe { libc::fcntl(raw, libc::F_DUPFD_CLOEXEC, 0) })?;
    let listens = int_option(&fd, libc::SOL_SOCKET, libc::SO_ACCEPTCONN)? != 0;
    if !listens || int_option(&fd, libc::SOL_SOCKET, libc::SO_TYPE)? != libc::SOCK_STREAM {
        let why = "the descriptor in USE_FD does not listen";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    // SAFETY: touches no memory of ours.
    let flags = check(unsafe { libc::fcntl(fd.raw(), libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(fd.raw(), libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    let addr = local_addr(&fd)?.to_stream().ok_or(io::ErrorKind::Unsupported)?;
    Ok(Listening { fd, addr, file: None })
}

/// Who is at the other end of a Unix-domain connection, as of when it was made.
pub(crate) fn peer_credentials(fd: &Fd) -> Option<Credentials> {
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut bytes = mem::size_of_val(&cred) as libc::socklen_t;
    // SAFETY: SO_PEERCRED is a `ucred`, and `bytes` gives its size.
    let got = check(unsafe {
        let cred = (&raw mut cred).cast();
        libc::getsockopt(fd.raw(), libc::SOL_SOCKET, libc::SO_PEERCRED, cred, &mut bytes)
    });
    // Other sockets than those of the Unix domain have no process at their other end.
    let pid = u32::try_from(cred.pid).ok().filter(|&pid| got.is_ok() && pid != 0)?;
    let mut groups = vec![0_u32; GROUPS_MAX];
    let mut bytes = mem::size_of_val(&groups[..]) as libc::socklen_t;
    // SAFETY: SO_PEERGROUPS is an array of `gid_t`, and `bytes` gives the room for it.
    let got = check(unsafe {
        let groups = groups.as_mut_ptr().cast();
        libc::getsockopt(fd.raw(), libc::SOL_SOCKET, SO_PEERGROUPS, groups, &mut bytes)
    });
    groups.truncate(got.map_or(0, |_| bytes as usize / mem::size_of::<u32>()));
    groups.push(cred.gid);
    Some(Credentials { pid, uid: cred.uid, groups })
}

/// From <asm-generic/socket.h>; since Linux 4.13.
const SO_PEERGROUPS: libc::c_int = 59;
/// Of a process that is in more groups than this only the first one is known. Arbitrary.
const GROUPS_MAX: usize = 1024;

/// The address of a network interface, and its number as the scope of an IPv6 address. With `ipv6`
/// an IPv6 address, if it has one.
pub(crate) fn interface_address(name: &str, ipv6: bool) -> Option<(IpAddr, u32)> {
    let mut list: *mut libc::ifaddrs = ptr::null_mut();
    // SAFETY: fills in the list, which is freed below.
    check(unsafe { libc::getifaddrs(&mut list) }).ok()?;
    let mut found = None;
    let mut at = list;
    // SAFETY: the entries of the list, their names and addresses live until it is freed; the family
    // says what the address is.
    unsafe {
        while let Some(entry) = at.as_ref() {
            at = entry.ifa_next;
            let right = CStr::from_ptr(entry.ifa_name).to_bytes() == name.as_bytes();
            if !right || entry.ifa_addr.is_null() {
                continue;
            }
            match i32::from((*entry.ifa_addr).sa_family) {
                libc::AF_INET if found.is_none() => {
                    let v4 = entry.ifa_addr.cast::<libc::sockaddr_in>().read_unaligned();
                    let ip = u32::from_be(v4.sin_addr.s_addr).to_be_bytes();
                    found = Some((IpAddr::from(ip), 0));
                }
                libc::AF_INET6 if ipv6 && !matches!(found, Some((IpAddr::V6(_), _))) => {
                    let v6 = entry.ifa_addr.cast::<libc::sockaddr_in6>().read_unaligned();
                    let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
                    found = Some((IpAddr::V6(ip), v6.sin6_scope_id));
                }
                _ => {}
            }
        }
        libc::freeifaddrs(list);
    }
    found
}

pub(super) fn int_option(
    fd: &Fd,
    level: libc::c_int,
    name: libc::c_int,
) -> io::Result<libc::c_int> {
    let mut value: libc::c_int = 0;
    let mut bytes = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the option is an int, and `bytes` gives its size.
    check(unsafe {
        let value = (&raw mut value).cast();
        libc::getsockopt(fd.raw(), level, name, value, &mut bytes)
    })?;
    Ok(value)
}
