//! Who may connect to a bound endpoint: TCP_ACCEPT_FILTER and IPC_FILTER_*.

use std::net::IpAddr;

use crate::option::Options;
use crate::sys::{self, Fd, SockAddr};

/// A network in the notation of CIDR: `192.168.0.0/16`, `::1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    ip: IpAddr,
    bits: u32,
}

/// Whether the options let this connection in, whose peer is at `remote`.
pub(crate) fn admits(fd: &Fd, listens_at: &SockAddr, options: &Options) -> bool {
    match listens_at {
        SockAddr::Tcp(_) => {
            let filter = &options.tcp_accept_filter;
            filter.is_empty()
                || match sys::remote_address(fd) {
                    Some(SockAddr::Tcp(remote)) => entries(filter)
                        .any(|network| network.is_some_and(|n: Network| n.contains(remote.ip()))),
                    // Gone already.
                    _ => false,
                }
        }
        SockAddr::Ipc(_) => {
            let filters =
                [&options.ipc_filter_uid, &options.ipc_filter_gid, &options.ipc_filter_pid];
            if filters.iter().all(|filter| filter.is_empty()) {
                return true;
            }
            let Some(peer) = sys::peer_credentials(fd) else { return false };
            numbers(filters[0]).any(|uid| uid == peer.uid)
                || numbers(filters[1]).any(|gid| peer.groups.contains(&gid))
                || numbers(filters[2]).any(|pid| pid == peer.pid)
        }
    }
}

/// Whether `text` is networks separated by commas, or nothing.
pub(crate) fn are_networks(text: &str) -> bool {
    text.is_empty() || entries(text).all(|network| network.is_some())
}

/// Whether `text` is numbers of 32 bits separated by commas, or nothing.
pub(crate) fn are_numbers(text: &str) -> bool {
    text.is_empty() || text.split(',').all(|number| number.trim().parse::<u32>().is_ok())
}

fn entries(text: &str) -> impl Iterator<Item = Option<Network>> + '_ {
    text.split(',').map(|entry| Network::parse(entry.trim()))
}

fn numbers(text: &str) -> impl Iterator<Item = u32> + '_ {
    text.split(',').filter_map(|number| number.trim().parse().ok())
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (ip, bits) = match text.split_once('/') {
            Some((ip, bits)) => (ip, Some(bits)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().ok()?;
        let bits_max = if ip.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|byte| byte.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => bits_max,
        };
        (bits <= bits_max).then_some(Network { ip, bits })
    }

    fn contains(&self, ip: IpAddr) -> bool {
        // Who listens at [::] sees IPv4 peers in IPv6's clothes.
        match (self.ip, ip.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(ip)) => {
                let differ = u32::from(own) ^ u32::from(ip);
                differ.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(ip)) => {
                let differ = u128::from(own) ^ u128::from(ip);
                differ.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, ip: &str) -> bool {
        Network::parse(network).unwrap().contains(ip.parse().unwrap())
    }

    #[test]
    fn networks_hold_what_begins_like_them() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.2"),
            ("192.168.6.0/23", "192.168.7.255", "192.168.8.0"),
            ("127.0.0.0/8", "::ffff:127.0.0.1", "::1"),
            ("fe80::/10", "fe80::1", "fec0::1"),
            ("::1", "::1", "127.0.0.1"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
        assert!(contains("0.0.0.0/0", "1.2.3.4") && contains("::/0", "::2"));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["x", "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/+1", "10.0.0.0/8,", ","] {
            assert!(!are_networks(text), "{text}");
        }
        assert!(are_networks("") && are_networks("10.0.0.0/8, ::1"));
        assert!(are_numbers("") && are_numbers("0, 4294967295"));
        assert!(!are_numbers("-1") && !are_numbers("1,") && !are_numbers("root"));
    }
}
