//! What is known of a connection: for statistics and for events.

use std::net::{SocketAddr, SocketAddrV4};
use std::sync::Arc;

use oxmq_zmtp::{SocketType, Version};

use crate::sys::{self, Fd, SockAddr};

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
    /// What its application says about itself (METADATA), as names and values; nothing before ZMTP
    /// 3.0 and from sockets of this process.
    pub properties: Vec<(String, Vec<u8>)>,
}

/// As [`Connection`], in little memory: there is one for each.
#[derive(Clone)]
pub(crate) struct Route {
    pub(crate) endpoint: Arc<str>,
    pub(crate) bound: bool,
    ends: Ends,
    peer: Option<Presented>,
}

/// Where the ends of a connection are, as far as they have addresses.
#[derive(Clone)]
enum Ends {
    Nowhere,
    V4 { local: SocketAddrV4, remote: SocketAddrV4 },
    Other(Box<(Option<SockAddr>, Option<SockAddr>)>),
}

/// As [`Peer`]: most say little.
#[derive(Clone)]
struct Presented {
    version: Option<Version>,
    socket_type: Option<SocketType>,
    /// The identity and the properties, unless both are empty.
    details: Option<Box<Details>>,
}

#[derive(Clone)]
struct Details {
    identity: Box<[u8]>,
    properties: Vec<(String, Vec<u8>)>,
}

impl Route {
    pub(crate) fn new(endpoint: &Arc<str>, bound: bool) -> Route {
        Route { endpoint: endpoint.clone(), bound, ends: Ends::Nowhere, peer: None }
    }

    /// With the addresses of a connection that stands.
    pub(crate) fn over(endpoint: &Arc<str>, bound: bool, fd: &Fd) -> Route {
        let ends = Ends::new(sys::local_address(fd), sys::remote_address(fd));
        Route { ends, ..Route::new(endpoint, bound) }
    }

    /// With a peer that has said who it is.
    pub(crate) fn with_peer(&self, peer: Peer) -> Route {
        Route { peer: Some(peer.into()), ..self.clone() }
    }

    pub(crate) fn to_connection(&self) -> Connection {
        let (local, remote) = self.ends.to_text();
        Connection {
            endpoint: self.endpoint.to_string(),
            bound: self.bound,
            local,
            remote,
            peer: self.peer.as_ref().map(Presented::to_peer),
        }
    }
}

impl Ends {
    fn new(local: Option<SockAddr>, remote: Option<SockAddr>) -> Ends {
        match (local, remote) {
            (None, None) => Ends::Nowhere,
            (
                Some(SockAddr::Tcp(SocketAddr::V4(local))),
                Some(SockAddr::Tcp(SocketAddr::V4(remote))),
            ) => Ends::V4 { local, remote },
            other => Ends::Other(Box::new(other)),
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

impl From<Peer> for Presented {
    fn from(peer: Peer) -> Presented {
        let Peer { identity, version, socket_type, properties } = peer;
        let details = (!identity.is_empty() || !properties.is_empty())
            .then(|| Box::new(Details { identity: identity.into(), properties }));
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
                };
                let ends = Ends::new(local.clone(), remote.clone());
                let route = Route { ends, ..Route::new(&"tcp://*:1".into(), true) };
                assert_eq!(route.to_connection().peer, None);
                let connection = route.with_peer(peer.clone()).to_connection();
                assert_eq!([connection.local, connection.remote], texts);
                assert_eq!(connection.peer, Some(peer));
                assert_eq!((&connection.endpoint[..], connection.bound), ("tcp://*:1", true));
            }
        }
    }
}
