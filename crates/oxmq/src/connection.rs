//! What is known of a connection: for statistics and for events.

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
    local: Option<SockAddr>,
    remote: Option<SockAddr>,
    peer: Option<Box<Peer>>,
}

impl Route {
    pub(crate) fn new(endpoint: &Arc<str>, bound: bool) -> Route {
        Route { endpoint: endpoint.clone(), bound, local: None, remote: None, peer: None }
    }

    /// With the addresses of a connection that stands.
    pub(crate) fn over(endpoint: &Arc<str>, bound: bool, fd: &Fd) -> Route {
        Route {
            local: sys::local_address(fd),
            remote: sys::remote_address(fd),
            ..Route::new(endpoint, bound)
        }
    }

    /// With a peer that has said who it is.
    pub(crate) fn with_peer(&self, peer: Peer) -> Route {
        Route { peer: Some(Box::new(peer)), ..self.clone() }
    }

    pub(crate) fn to_connection(&self) -> Connection {
        Connection {
            endpoint: self.endpoint.to_string(),
            bound: self.bound,
            local: self.local.as_ref().map(SockAddr::to_string),
            remote: self.remote.as_ref().map(SockAddr::to_string),
            peer: self.peer.as_deref().cloned(),
        }
    }
}
