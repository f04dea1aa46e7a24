//! The three devices of ØMQ 2.1, made of two sockets and a proxy.

use crate::error::SocketError;
use crate::proxy::{Proxy, ProxyError};
use crate::{Context, Socket, SocketType};

/// A node between others: two sockets of the right types, and the [`Proxy`] that passes whole
/// messages between them. Set options and plug the sockets in, as often as is wanted, then run it:
///
/// | device | front | back |
/// |---|---|---|
/// | [queue](Device::queue) | ROUTER, for the clients (REQ, DEALER) | DEALER, for the services (REP, ROUTER) |
/// | [forwarder](Device::forwarder) | XSUB, for the publishers (PUB, XPUB) | XPUB, for the subscribers (SUB, XSUB) |
/// | [streamer](Device::streamer) | PULL, for the sources (PUSH) | PUSH, for the workers (PULL) |
///
/// ```
/// use oxmq::{Context, Device, Reply, Request};
/// let context = Context::new();
/// let queue = Device::queue(&context)?;
/// let clients = queue.front().bind("tcp://127.0.0.1:*")?;
/// queue.back().bind("inproc://services")?;
/// let running = std::thread::spawn(move || queue.run());
///
/// let (service, client) = (Reply::new(&context)?, Request::new(&context)?);
/// service.connect("inproc://services")?;
/// client.connect(&clients)?;
/// client.send("question")?;
/// assert_eq!(&service.recv()?[..], b"question");
/// service.send("answer")?;
/// assert_eq!(&client.recv()?[..], b"answer");
///
/// // The end of the context is its end.
/// context.shutdown();
/// running.join().unwrap()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Each side may be bound and connected at any number of endpoints. A peer that is slow, full or
/// gone costs the others nothing: a queue's answers to it are dropped, and what a forwarder would
/// send it; a streamer's tasks go to those that have room. See libzmq's `zmq_device`.
pub struct Device {
    front: Socket,
    back: Socket,
}

impl Device {
    /// Requests from any client to the services in turn, and each reply to the client that asked.
    ///
    /// # Errors
    /// [`SocketError`]: too many sockets, or a terminated context.
    pub fn queue(context: &Context) -> Result<Device, SocketError> {
        Device::of(context, SocketType::Router, SocketType::Dealer)
    }

    /// What any publisher says, to all subscribers that want it. Subscriptions are passed on to the
    /// publishers, so that only what somebody wants comes this far: in ØMQ 2.1 the front was a SUB,
    /// which had to subscribe by itself.
    ///
    /// # Errors
    /// As [`Device::queue`].
    pub fn forwarder(context: &Context) -> Result<Device, SocketError> {
        Device::of(context, SocketType::XSub, SocketType::XPub)
    }

    /// Tasks from any source, each to one of the workers.
    ///
    /// # Errors
    /// As [`Device::queue`].
    pub fn streamer(context: &Context) -> Result<Device, SocketError> {
        Device::of(context, SocketType::Pull, SocketType::Push)
    }

    fn of(context: &Context, front: SocketType, back: SocketType) -> Result<Device, SocketError> {
        Ok(Device { front: context.socket(front)?, back: context.socket(back)? })
    }

    /// The socket for those who ask, publish or send.
    pub fn front(&self) -> &Socket {
        &self.front
    }

    /// The socket for those who answer, subscribe or work.
    pub fn back(&self) -> &Socket {
        &self.back
    }

    /// The proxy between the two, for captures and steering.
    pub fn proxy(&self) -> Proxy<'_> {
        Proxy::new(&self.front, &self.back)
    }

    /// Passes messages until the context is terminated. (Dropping the device then closes its
    /// sockets, for which `term` waits.)
    ///
    /// # Errors
    /// [`ProxyError`] for any other end; a signal is one.
    pub fn run(&self) -> Result<(), ProxyError> {
        match self.proxy().run() {
            Ok(_) | Err(ProxyError::Terminated) => Ok(()),
            Err(error) => Err(error),
        }
    }
}
