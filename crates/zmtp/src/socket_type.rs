//! The socket types and who may talk to whom.

use std::fmt;

/// A socket type as peers announce it in the property `Socket-Type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketType {
    /// Exclusive pair.
    Pair,
    /// Publisher.
    Pub,
    /// Subscriber.
    Sub,
    /// Synchronous requester.
    Req,
    /// Synchronous replier.
    Rep,
    /// Asynchronous requester.
    Dealer,
    /// Asynchronous replier, addressing its peers.
    Router,
    /// Receiving end of a pipeline.
    Pull,
    /// Sending end of a pipeline.
    Push,
    /// Publisher that sees its subscriptions.
    XPub,
    /// Subscriber that sends its subscriptions itself.
    XSub,
    /// Raw streams: speaks to peers that do not speak ZMTP.
    Stream,
    /// Asynchronous replier, addressing its peers, of messages of one part.
    Server,
    /// Asynchronous requester, of messages of one part.
    Client,
    /// Receiving end of a pipeline, of messages of one part.
    Gather = 16,
    /// Sending end of a pipeline, of messages of one part.
    Scatter,
    /// Equal among equals, addressing its peers, of messages of one part.
    Peer = 19,
    /// Exclusive pair, of messages of one part.
    Channel,
}

impl SocketType {
    /// Every socket type, in the order of their numbers in the C API.
    pub const ALL: [SocketType; 18] = [
        SocketType::Pair,
        SocketType::Pub,
        SocketType::Sub,
        SocketType::Req,
        SocketType::Rep,
        SocketType::Dealer,
        SocketType::Router,
        SocketType::Pull,
        SocketType::Push,
        SocketType::XPub,
        SocketType::XSub,
        SocketType::Stream,
        SocketType::Server,
        SocketType::Client,
        SocketType::Gather,
        SocketType::Scatter,
        SocketType::Peer,
        SocketType::Channel,
    ];

    /// The type whose [`name`](Self::name) is exactly `name`; case matters.
    pub fn from_name(name: &[u8]) -> Option<SocketType> {
        Self::ALL.into_iter().find(|socket_type| socket_type.name().as_bytes() == name)
    }

    /// The name on the wire, for example `"DEALER"`.
    pub const fn name(self) -> &'static str {
        match self {
            SocketType::Pair => "PAIR",
            SocketType::Pub => "PUB",
            SocketType::Sub => "SUB",
            SocketType::Req => "REQ",
            SocketType::Rep => "REP",
            SocketType::Dealer => "DEALER",
            SocketType::Router => "ROUTER",
            SocketType::Pull => "PULL",
            SocketType::Push => "PUSH",
            SocketType::XPub => "XPUB",
            SocketType::XSub => "XSUB",
            SocketType::Stream => "STREAM",
            SocketType::Server => "SERVER",
            SocketType::Client => "CLIENT",
            SocketType::Gather => "GATHER",
            SocketType::Scatter => "SCATTER",
            SocketType::Peer => "PEER",
            SocketType::Channel => "CHANNEL",
        }
    }

    /// The number in the C API, which is also what ZMTP 2.0 sends.
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The type with this [`number`](Self::number).
    pub fn from_number(number: u8) -> Option<SocketType> {
        Self::ALL.into_iter().find(|socket_type| socket_type.number() == number)
    }

    /// Whether a socket of this type accepts a peer of type `peer`.
    ///
    /// The table of RFC 37, "The Socket-Type Property", which is also libzmq's. It is symmetric.
    /// [`Stream`](Self::Stream) has no ZMTP peers.
    pub const fn compatible_with(self, peer: SocketType) -> bool {
        use SocketType::*;
        match self {
            Pair => matches!(peer, Pair),
            Pub | XPub => matches!(peer, Sub | XSub),
            Sub | XSub => matches!(peer, Pub | XPub),
            Req => matches!(peer, Rep | Router),
            Rep => matches!(peer, Req | Dealer),
            Dealer => matches!(peer, Rep | Dealer | Router),
            Router => matches!(peer, Req | Dealer | Router),
            Pull => matches!(peer, Push),
            Push => matches!(peer, Pull),
            Stream => false,
            Server => matches!(peer, Client),
            Client => matches!(peer, Server),
            Gather => matches!(peer, Scatter),
            Scatter => matches!(peer, Gather),
            Peer => matches!(peer, Peer),
            Channel => matches!(peer, Channel),
        }
    }

    /// Whether its messages have one part: RFCs 41, 48 to 51.
    pub const fn is_single_part(self) -> bool {
        use SocketType::*;
        matches!(self, Server | Client | Gather | Scatter | Peer | Channel)
    }

    /// Whether a socket of this type tells its peers its identity, as libzmq 4 does.
    pub const fn announces_identity(self) -> bool {
        matches!(self, SocketType::Req | SocketType::Dealer | SocketType::Router)
    }
}

impl fmt::Display for SocketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for socket_type in SocketType::ALL {
            assert_eq!(SocketType::from_name(socket_type.name().as_bytes()), Some(socket_type));
        }
        for unknown in [&b""[..], b"pair", b"PAIR\0", b"PUBS", b"RADIO"] {
            assert_eq!(SocketType::from_name(unknown), None);
        }
    }

    #[test]
    fn numbers_are_those_of_the_c_api() {
        for socket_type in SocketType::ALL {
            assert_eq!(SocketType::from_number(socket_type.number()), Some(socket_type));
        }
        for number in [14, 15, 18, 21] {
            assert_eq!(SocketType::from_number(number), None);
        }
        assert_eq!((SocketType::Push.number(), SocketType::Sub.number()), (8, 2));
        assert_eq!((SocketType::Server.number(), SocketType::Channel.number()), (12, 20));
    }

    #[test]
    fn compatibility_is_the_table_of_rfc_37() {
        use SocketType::*;
        let table: [(SocketType, &[SocketType]); 18] = [
            (Pair, &[Pair]),
            (Pub, &[Sub, XSub]),
            (Sub, &[Pub, XPub]),
            (Req, &[Rep, Router]),
            (Rep, &[Req, Dealer]),
            (Dealer, &[Rep, Dealer, Router]),
            (Router, &[Req, Dealer, Router]),
            (Pull, &[Push]),
            (Push, &[Pull]),
            (XPub, &[Sub, XSub]),
            (XSub, &[Pub, XPub]),
            (Stream, &[]),
            (Server, &[Client]),
            (Client, &[Server]),
            (Gather, &[Scatter]),
            (Scatter, &[Gather]),
            (Peer, &[Peer]),
            (Channel, &[Channel]),
        ];
        for (ours, accepted) in table {
            for theirs in SocketType::ALL {
                assert_eq!(
                    ours.compatible_with(theirs),
                    accepted.contains(&theirs),
                    "{ours} {theirs}"
                );
                assert_eq!(ours.compatible_with(theirs), theirs.compatible_with(ours));
            }
        }
    }
}
