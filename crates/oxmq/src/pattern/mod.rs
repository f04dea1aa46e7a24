//! The socket types, one file each. Nobody else matches on the type of a socket.

mod absent;
mod dealer;
mod pair;
mod publish;
mod pull;
mod push;
mod reply;
mod request;
mod router;
mod server;
mod single;
mod stream;
mod subscribe;
mod subscribers;
mod xpublish;
mod xsubscribe;

use crate::Message;
use crate::SocketType;
use crate::option::Options;
use crate::socket::pipes::{PipeId, Pipes};
use crate::socket::waiters::Events;

/// Why an operation cannot be done now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// Not now: no message, or no room.
    Again,
    /// Out of turn; what is expected instead.
    State(&'static str),
    /// Never: this type of socket cannot.
    NotSupported,
    /// The context is being terminated.
    Terminated,
    /// The socket was closed.
    Closed,
    /// The socket is another process's: this one was forked after it was made.
    Forked,
    /// A multipart without a part.
    Empty,
    /// Messages of this type of socket have one part.
    Multipart,
    /// No peer has the identity that the message is for.
    Unreachable,
    /// Not a routing id and one part of data, which is what raw connections take.
    NotAPair,
}

/// What a peer has too much of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Excess(pub(crate) &'static str);

/// Messages that options make by themselves.
#[derive(Clone, Copy, Default)]
pub(crate) struct Automatic {
    /// HELLO_MSG, to each new peer.
    pub(crate) hello: bool,
    /// DISCONNECT_MSG, received from a peer that had connected and goes.
    pub(crate) disconnect: bool,
    /// HICCUP_MSG, received from a peer connected to that goes, and may come back.
    pub(crate) hiccup: bool,
}

/// The rules of one socket type. All of it runs under the socket's lock.
pub(crate) trait Pattern: Send {
    /// A pipe has come. False: this type takes no more, and the pipe goes.
    fn attach(&mut self, pipes: &mut Pipes, pipe: PipeId) -> bool;

    /// The pipe's peer stands and has said who it is (`Pipe::identity`), perhaps once more. False:
    /// it is not wanted, and goes.
    fn identified(&mut self, _pipes: &mut Pipes, _pipe: PipeId) -> bool {
        true
    }

    /// The peer of a pipe not yet connected is to be addressed by `Pipe::identity`. False: it is
    /// another's. `None`: sockets of this type address nobody.
    fn name(&mut self, _pipes: &mut Pipes, _pipe: PipeId) -> Option<bool> {
        None
    }

    /// Whether the peer of that name can take another message.
    fn has_room_for(&self, _pipes: &mut Pipes, _identity: &[u8]) -> Result<bool, Refusal> {
        Err(Refusal::NotSupported)
    }

    /// Which of the messages that options make by themselves are for sockets of this type.
    fn automatic(&self) -> Automatic {
        Automatic::default()
    }

    /// Tells what can be read through options alone.
    fn report(&self, _options: &mut Options) {}

    /// The socket's options, at first and whenever one was set.
    fn configure(&mut self, _options: &Options) {}

    /// A pipe can send no more; it stays readable as long as it holds input.
    fn detach(&mut self, pipes: &mut Pipes, pipe: PipeId);

    /// The pipe's peer is gone, though not all that it has sent is read: its name is free.
    fn disown(&mut self, _pipes: &mut Pipes, _pipe: PipeId) {}

    /// The pipe's connection is gone; a new one may come.
    fn disconnected(&mut self, _pipes: &mut Pipes, _pipe: PipeId) {}

    /// The pipe has input again.
    fn readable(&mut self, pipe: PipeId);

    /// The pipe has room again.
    fn writable(&mut self, pipe: PipeId);

    /// Sends one part. Refused parts stay untouched; after a first part was taken, the others
    /// of the message are never refused.
    fn send(&mut self, pipes: &mut Pipes, part: &mut Message) -> Result<(), Refusal>;

    /// Receives one part; after a first part, the others of the message are there.
    fn recv(&mut self, pipes: &mut Pipes, into: &mut Message) -> Result<(), Refusal>;

    /// What can be done now.
    fn events(&mut self, pipes: &mut Pipes) -> Events;

    /// Whether there may be input left for another receiver. A hint.
    fn may_have_input(&self) -> bool {
        false
    }

    /// The application subscribes (`true`) or unsubscribes.
    fn subscribe(&mut self, _pipes: &mut Pipes, _add: bool, _prefix: &[u8]) -> Result<(), Refusal> {
        Err(Refusal::NotSupported)
    }

    /// Every subscription that a new peer has to be told.
    fn subscriptions(&self, _each: &mut dyn FnMut(&[u8])) {}

    /// A peer subscribed (`true`) or unsubscribed. Refused: it has gone too far, nothing was changed,
    /// and its connection is to end.
    fn peer_subscription(
        &mut self,
        _pipes: &mut Pipes,
        _pipe: PipeId,
        _add: bool,
        _prefix: &[u8],
    ) -> Result<(), Excess> {
        Ok(())
    }

    /// Forgets some more of what peers that are gone had subscribed to. What that takes is bounded,
    /// so that others have the lock in between. False: there is nothing left to forget.
    fn sweep(&mut self, _pipes: &mut Pipes) -> bool {
        false
    }

    /// Whether anything is left to [sweep](Pattern::sweep): of this peer, or of any.
    fn is_sweeping(&self, _pipe: Option<PipeId>) -> bool {
        false
    }

    /// How many peers hold a subscription to exactly this prefix.
    fn subscribers(&self, _prefix: &[u8]) -> usize {
        0
    }

    /// Messages taken from their pipes, whole, that the application has not received.
    fn held(&self) -> u64 {
        0
    }

    /// SERVER, PEER: the routing id of the peer at the end of a pipe; 0 is none.
    fn number_of(&self, _pipe: PipeId) -> u32 {
        0
    }

    /// SERVER, PEER: the pipe of the peer with this routing id.
    fn numbered(&self, _number: u32) -> Option<PipeId> {
        None
    }

    /// Whether what peers send is dropped unseen: a type that cannot receive.
    fn discards_input(&self) -> bool {
        false
    }

    /// Whether what is sent is for the connection that asked, not for whoever comes to be at its
    /// endpoint: then each connection has a pipe of its own.
    fn answers(&self) -> bool {
        false
    }

    /// Whether connections made with certain options are raw: bytes, without the protocol.
    fn raw(&self) -> fn(&Options) -> bool {
        |_| false
    }

    /// Whether each message is a routing id and one part of data, whatever follows.
    fn sends_pairs(&self) -> bool {
        false
    }

    /// With `sends_pairs`: closes the connection that `name` names, as an empty part of data does.
    fn hang_up(&mut self, _pipes: &mut Pipes, _name: &mut Message) -> Result<(), Refusal> {
        Err(Refusal::NotSupported)
    }

    /// Whether what a closed socket has sent still goes out by default (LINGER).
    fn lingers(&self) -> bool {
        true
    }

    /// Whether CONFLATE is for sockets of this type.
    fn conflates(&self) -> bool {
        false
    }

    /// Whether a second connection to an endpoint makes no sense, so that connecting again does
    /// nothing while the first stands (zmq_connect(3)).
    fn connects_once(&self) -> bool {
        false
    }

    /// Whether peers send subscriptions, in ZMTP 3.0 as messages.
    fn takes_subscriptions(&self) -> bool {
        false
    }
}

/// The rules for a socket of another process.
pub(crate) fn absent() -> Box<dyn Pattern> {
    Box::new(absent::Absent)
}

/// The rules for a socket type.
pub(crate) fn new(kind: SocketType) -> Box<dyn Pattern> {
    match kind {
        SocketType::Pair => Box::<pair::Pair>::default(),
        SocketType::Push => Box::<push::Push>::default(),
        SocketType::Pull => Box::<pull::Pull>::default(),
        SocketType::Pub => Box::<publish::Pub>::default(),
        SocketType::Sub => Box::<subscribe::Sub>::default(),
        SocketType::Req => Box::<request::Req>::default(),
        SocketType::Rep => Box::<reply::Rep>::default(),
        SocketType::Dealer => Box::<dealer::Dealer>::default(),
        SocketType::Router => Box::<router::Router>::default(),
        SocketType::XPub => Box::<xpublish::XPub>::default(),
        SocketType::XSub => Box::<xsubscribe::XSub>::default(),
        SocketType::Stream => Box::<stream::Stream>::default(),
        SocketType::Server | SocketType::Peer => Box::<server::Server>::default(),
        SocketType::Client => Box::<single::Single<dealer::Dealer>>::default(),
        SocketType::Gather => Box::<single::Single<pull::Pull>>::default(),
        SocketType::Scatter => Box::<single::Single<push::Push>>::default(),
        SocketType::Channel => Box::<single::Single<pair::Pair>>::default(),
    }
}
