//! What is known of a connection: for statistics, for events, and for the messages that came by it.

pub(crate) mod registry;

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use oxmq_zmtp::{SocketType, Version};

use crate::sys::{self, Fd, RawFd, SockAddr};

/// A connection of a socket, or the place where there may be one, as far as it is known.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Connection {
    /// What the socket is bound or connected to, as `bind` returned it or `connect` was given it.
    pub endpoint: String,
    /// Whether the socket is bound there, and the peer connected; otherwise it is the other way
    /// round.
    pub bound: bool,
    /// Where this end of the connection is (`tcp://127.0.0.1:41234`).
    pub local: Option<String>,
    /// Where the peer's end is. Over ipc who connects has no address.
    pub remote: Option<String>,
    /// Over ipc, the peer's process.
    pub process: Option<PeerProcess>,
    /// Of a message's connection, its descriptor. Once the connection has ended it may be another's.
    pub descriptor: Option<RawFd>,
    /// Who the peer is, once its handshake is done.
    pub peer: Option<Peer>,
}

/// The peer of a connection, as it presented itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its identity (routing id); empty when it gave none.
    pub identity: Vec<u8>,
    /// The version of ZMTP that it speaks; `None` for a socket of this process.
    pub version: Option<Version>,
    /// Its type; `None` if it did not say.
    pub socket_type: Option<SocketType>,
    /// What the ZAP handler says about it, then what its application says about itself (METADATA), as
    /// names and values, each name but once; nothing before ZMTP 3.0 and from sockets of this process.
    pub properties: Vec<(String, Vec<u8>)>,
    /// Who it is, according to the ZAP handler (see [`security`](crate::security)); `None` if none was
    /// asked.
    pub user_id: Option<Vec<u8>>,
}

/// The process at the other end of an ipc connection, as the system knew it when the connection was
/// made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PeerProcess {
    /// The process.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its user's group.
    pub gid: u32,
}

/// As [`Connection`], in little memory: there is one for each.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) endpoint: Arc<str>,
    pub(crate) bound: bool,
    ends: Ends,
    peer: Option<Presented>,
    /// What its messages know it by; 0 before its peer has presented itself.
    number: u32,
}

/// Where the ends of a connection are, as far as they have addresses.
#[derive(Clone)]
enum Ends {
    Nowhere,
    V4 { local: SocketAddrV4, remote: SocketAddrV4 },
    Other(Box<(Option<SockAddr>, Option<SockAddr>, Option<PeerProcess>)>),
}

/// As [`Peer`]: most say little.
#[derive(Clone)]
struct Presented {
    version: Option<Version>,
    socket_type: Option<SocketType>,
    /// The rest, unless there is nothing in it.
    details: Option<Box<Details>>,
}

#[derive(Clone)]
struct Details {
    identity: Box<[u8]>,
    properties: Vec<(String, Vec<u8>)>,
    user_id: Option<Vec<u8>>,
}

impl Peer {
    /// A peer of which nothing is known.
    pub(crate) fn unknown() -> Peer {
        Peer {
            identity: Vec::new(),
            version: None,
            socket_type: None,
            properties: Vec::new(),
            user_id: None,
        }
    }
}

impl Route {
    pub(crate) fn new(endpoint: &Arc<str>, bound: bool) -> Route {
        Route { endpoint: endpoint.clone(), bound, ends: Ends::Nowhere, peer: None, number: 0 }
    }

    /// With the addresses of a connection that stands.
    pub(crate) fn over(endpoint: &Arc<str>, bound: bool, fd: &Fd) -> Route {
        let (local, remote) = (sys::local_address(fd), sys::remote_address(fd));
        let ends = Ends::new(local, remote, || PeerProcess::over(fd));
        Route { ends, ..Route::new(endpoint, bound) }
    }

    /// With a peer that has said who it is.
    pub(crate) fn with_peer(&self, peer: Peer) -> Route {
        Route { peer: Some(peer.into()), ..self.clone() }
    }

    /// What its messages know it by.
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// What libzmq's `zmq_msg_gets` says of a message that came by the connection.
    pub(crate) fn property(&self, name: &str, descriptor: RawFd) -> Option<Vec<u8>> {
        match name {
            "Peer-Address" => return self.peer_address().map(String::into_bytes),
            "__fd" => return Some(descriptor.to_string().into()),
            _ => {}
        }
        let peer = self.peer.as_ref().filter(|peer| peer.version.is_some())?;
        let details = peer.details.as_deref();
        match name {
            "Socket-Type" => Some(peer.socket_type?.name().into()),
            "Routing-Id" | "Identity" => match details.map(|details| &details.identity[..]) {
                None | Some([]) => peer.socket_type?.announces_identity().then(Vec::new),
                Some(identity) => Some(identity.to_vec()),
            },
            "User-Id" if cfg!(oxmq_mutation = "capi_user_id_lost") => None,
            "User-Id" => details?.user_id.clone(),
            _ => {
                let mut properties = details?.properties.iter();
                properties.find(|(held, _)| held == name).map(|(_, value)| value.clone())
            }
        }
    }

    /// The peer's address without its port; over ipc, what is known of its process.
    pub(crate) fn peer_address(&self) -> Option<String> {
        match &self.ends {
            Ends::Nowhere => None,
            Ends::V4 { remote, .. } => Some(remote.ip().to_string()),
            Ends::Other(ends) => match &**ends {
                (_, Some(SockAddr::Tcp(remote)), _) => Some(remote.ip().to_string()),
                // The host as getnameinfo(3) names it, which libzmq asks.
                (_, _, process) => process.map(|process| {
                    format!("localhost:{}:{}:{}", process.uid, process.gid, process.pid)
                }),
            },
        }
    }

    pub(crate) fn to_connection(&self) -> Connection {
        let (local, remote) = self.ends.to_text();
        Connection {
            endpoint: self.endpoint.to_string(),
            bound: self.bound,
            local,
            remote,
            process: self.ends.process(),
            descriptor: None,
            peer: self.peer.as_ref().map(Presented::to_peer),
        }
    }
}

impl Ends {
    fn new(
        local: Option<SockAddr>,
        remote: Option<SockAddr>,
        process: impl FnOnce() -> Option<PeerProcess>,
    ) -> Ends {
        match (local, remote) {
            (None, None) => Ends::Nowhere,
            (
                Some(SockAddr::Tcp(SocketAddr::V4(local))),
                Some(SockAddr::Tcp(SocketAddr::V4(remote))),
            ) => Ends::V4 { local, remote },
            (local, remote) => {
                let is_ipc = |address: &Option<SockAddr>| matches!(address, Some(SockAddr::Ipc(_)));
                let is_ipc = is_ipc(&local) || is_ipc(&remote);
                let process = if is_ipc { process() } else { None };
                Ends::Other(Box::new((local, remote, process)))
            }
        }
    }

    fn process(&self) -> Option<PeerProcess> {
        match self {
            Ends::Other(ends) => ends.2,
            Ends::Nowhere | Ends::V4 { .. } => None,
        }
    }

    fn to_text(&self) -> (Option<String>, Option<String>) {
        let tcp = |addr: SocketAddrV4| Some(SockAddr::Tcp(addr.into()).to_string());
        match self {
            Ends::Nowhere => (None, None),
            Ends::V4 { local, remote } => (tcp(*local), tcp(*remote)),
            Ends::Other(ends) => {
                let text = |addr: &Option<SockAddr>| addr.as_ref().map(SockAddr::to_string);
                (text(&ends.0), text(&ends.1))
            }
        }
    }
}

impl PeerProcess {
    fn over(fd: &Fd) -> Option<PeerProcess> {
        let known = sys::peer_credentials(fd)?;
        // The last one is the user's own.
        let gid = known.groups.last().copied()?;
        Some(PeerProcess { pid: known.pid, uid: known.uid, gid })
    }
}

impl From<Peer> for Presented {
    fn from(peer: Peer) -> Presented {
        let Peer { identity, version, socket_type, properties, user_id } = peer;
        let says_more = !identity.is_empty() || !properties.is_empty() || user_id.is_some();
        let details =
            says_more.then(|| Box::new(Details { identity: identity.into(), properties, user_id }));
        Presented { version, socket_type, details }
    }
}

impl Presented {
    fn to_peer(&self) -> Peer {
        let details = self.details.as_deref();
        Peer {
            identity: details.map_or_else(Vec::new, |details| details.identity.to_vec()),
            version: self.version,
            socket_type: self.socket_type,
            properties: details.map_or_else(Vec::new, |details| details.properties.clone()),
            user_id: details.and_then(|details| details.user_id.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::IpcAddr;

    #[test]
    fn all_that_is_known_of_a_connection_is_kept() {
        let tcp = |text: &str| Some(SockAddr::Tcp(text.parse().unwrap()));
        let ipc = || Some(SockAddr::Ipc(IpcAddr::parse(b"/tmp/x").unwrap()));
        let ends = [
            (tcp("127.0.0.1:1"), tcp("10.0.0.2:65535")),
            (tcp("[::1]:5"), tcp("[fe80::1%3]:6")),
            (tcp("127.0.0.1:1"), None),
            (ipc(), None),
            (None, None),
        ];
        let peers = [(&b""[..], "", None), (b"me", "", Some(Version::V1_0)), (b"", "X-A", None)];
        for (local, remote) in ends {
            for (identity, property, version) in peers {
                let texts = [&local, &remote].map(|addr| addr.as_ref().map(SockAddr::to_string));
                let peer = Peer {
                    identity: identity.to_vec(),
                    version,
                    socket_type: Some(SocketType::Pull),
                    properties: vec![(property.to_owned(), vec![1]); property.len().min(1)],
                    user_id: version.map(|_| b"ann".to_vec()),
                };
                let process = Some(PeerProcess { pid: 1, uid: 2, gid: 3 });
                let ends = Ends::new(local.clone(), remote.clone(), || process);
                let is_ipc = matches!(local, Some(SockAddr::Ipc(_)));
                let route = Route { ends, ..Route::new(&"tcp://*:1".into(), true) };
                assert_eq!(route.to_connection().peer, None);
                let connection = route.with_peer(peer.clone()).to_connection();
                assert_eq!([connection.local, connection.remote], texts);
                assert_eq!(connection.process, process.filter(|_| is_ipc));
                assert_eq!(connection.peer, Some(peer));
                assert_eq!((&connection.endpoint[..], connection.bound), ("tcp://*:1", true));
            }
        }
    }
}
