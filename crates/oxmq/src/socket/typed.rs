//! The socket types: each offers what it can do and nothing else.

use std::time::Duration;

use super::{Events, Recv, RecvMultipart, Send, Socket};
use crate::context::Context;
use crate::error::{
    BindError, ConnectError, RecvError, SendError, SocketError, UnbindError, WaitError,
};
use crate::monitor::Monitor;
use crate::option::{Opt, OptionError, OptionValue};
use crate::statistics::Statistics;
use crate::{Message, SocketType};

macro_rules! typed {
    ($(#[doc = $doc:literal])+ $name:ident, $kind:ident, $($can:ident)*) => {
        $(#[doc = $doc])+
        pub struct $name(Socket);

        impl $name {
            /// A new socket.
            ///
            /// # Errors
            /// [`SocketError`]: too many sockets, or a terminated context.
            pub fn new(context: &Context) -> Result<$name, SocketError> {
                Socket::create(context, SocketType::$kind).map($name)
            }

            /// See [`Socket::bind`].
            ///
            /// # Errors
            /// [`BindError`].
            pub fn bind(&self, endpoint: &str) -> Result<String, BindError> {
                self.0.bind(endpoint)
            }

            /// See [`Socket::connect`].
            ///
            /// # Errors
            /// [`ConnectError`].
            pub fn connect(&self, endpoint: &str) -> Result<(), ConnectError> {
                self.0.connect(endpoint)
            }

            /// See [`Socket::unbind`].
            ///
            /// # Errors
            /// [`UnbindError`].
            pub fn unbind(&self, endpoint: &str) -> Result<(), UnbindError> {
                self.0.unbind(endpoint)
            }

            /// See [`Socket::disconnect`].
            ///
            /// # Errors
            /// [`UnbindError`].
            pub fn disconnect(&self, endpoint: &str) -> Result<(), UnbindError> {
                self.0.disconnect(endpoint)
            }

            /// See [`Socket::events`].
            ///
            /// # Errors
            /// [`WaitError`].
            pub fn events(&self) -> Result<Events, WaitError> {
                self.0.events()
            }

            /// See [`Socket::last_endpoint`].
            pub fn last_endpoint(&self) -> String {
                self.0.last_endpoint()
            }

            /// See [`Socket::set`].
            ///
            /// # Errors
            /// [`OptionError`].
            pub fn set<T: Into<OptionValue>>(
                &self,
                option: Opt<T>,
                value: T,
            ) -> Result<(), OptionError> {
                self.0.set(option, value)
            }

            /// See [`Socket::get`].
            pub fn get<T>(&self, option: Opt<T>) -> T {
                self.0.get(option)
            }

            /// See [`Socket::wait_for_peers`].
            ///
            /// # Errors
            /// [`WaitError`].
            pub fn wait_for_peers(
                &self,
                peers: usize,
                timeout: Option<Duration>,
            ) -> Result<(), WaitError> {
                self.0.wait_for_peers(peers, timeout)
            }

            /// See [`Socket::dropped`].
            pub fn dropped(&self) -> u64 {
                self.0.dropped()
            }

            /// See [`Socket::statistics`].
            pub fn statistics(&self) -> Statistics {
                self.0.statistics()
            }

            /// See [`Socket::monitor`].
            pub fn monitor(&self) -> Monitor {
                self.0.monitor()
            }

            /// See [`Socket::close`].
            pub fn close(&self) {
                self.0.close();
            }
        }

        impl AsRef<Socket> for $name {
            fn as_ref(&self) -> &Socket {
                &self.0
            }
        }

        impl From<$name> for Socket {
            fn from(socket: $name) -> Socket {
                socket.0
            }
        }

        $(typed!(@$can $name);)*
    };

    (@send $name:ident) => {
        impl $name {
            /// See [`Socket::send`].
            ///
            /// # Errors
            /// [`SendError`] holds the message.
            #[inline]
            pub fn send(&self, message: impl Into<Message>) -> Result<(), SendError> {
                self.0.send(message)
            }

            /// See [`Socket::try_send`].
            ///
            /// # Errors
            /// [`SendError`] holds the message.
            #[inline]
            pub fn try_send(&self, message: impl Into<Message>) -> Result<(), SendError> {
                self.0.try_send(message)
            }

            /// See [`Socket::send_multipart`].
            ///
            /// # Errors
            /// [`SendError`] holds the message.
            pub fn send_multipart<P: Into<Message>>(
                &self,
                parts: impl IntoIterator<Item = P>,
            ) -> Result<(), SendError> {
                self.0.send_multipart(parts)
            }

            /// See [`Socket::try_send_multipart`].
            ///
            /// # Errors
            /// [`SendError`] holds the message.
            pub fn try_send_multipart<P: Into<Message>>(
                &self,
                parts: impl IntoIterator<Item = P>,
            ) -> Result<(), SendError> {
                self.0.try_send_multipart(parts)
            }

            /// See [`Socket::send_async`].
            pub fn send_async<P: Into<Message>>(
                &self,
                parts: impl IntoIterator<Item = P>,
            ) -> Send<'_> {
                self.0.send_async(parts)
            }
        }
    };

    (@recv $name:ident) => {
        impl $name {
            /// See [`Socket::recv`].
            ///
            /// # Errors
            /// [`RecvError`].
            #[inline]
            pub fn recv(&self) -> Result<Message, RecvError> {
                self.0.recv()
            }

            /// See [`Socket::try_recv`].
            ///
            /// # Errors
            /// [`RecvError`].
            #[inline]
            pub fn try_recv(&self) -> Result<Message, RecvError> {
                self.0.try_recv()
            }

            /// See [`Socket::recv_timeout`].
            ///
            /// # Errors
            /// [`RecvError`].
            pub fn recv_timeout(&self, timeout: Duration) -> Result<Message, RecvError> {
                self.0.recv_timeout(timeout)
            }

            /// See [`Socket::recv_multipart`].
            ///
            /// # Errors
            /// [`RecvError`].
            pub fn recv_multipart(&self) -> Result<Vec<Message>, RecvError> {
                self.0.recv_multipart()
            }

            /// See [`Socket::try_recv_multipart`].
            ///
            /// # Errors
            /// [`RecvError`].
            pub fn try_recv_multipart(&self) -> Result<Vec<Message>, RecvError> {
                self.0.try_recv_multipart()
            }

            /// See [`Socket::recv_async`].
            pub fn recv_async(&self) -> Recv<'_> {
                self.0.recv_async()
            }

            /// See [`Socket::recv_multipart_async`].
            pub fn recv_multipart_async(&self) -> RecvMultipart<'_> {
                self.0.recv_multipart_async()
            }
        }
    };

    (@subscribe $name:ident) => {
        impl $name {
            /// See [`Socket::subscribe`].
            ///
            /// # Errors
            /// [`OptionError`].
            pub fn subscribe(&self, prefix: impl AsRef<[u8]>) -> Result<(), OptionError> {
                self.0.subscribe(prefix)
            }

            /// See [`Socket::unsubscribe`].
            ///
            /// # Errors
            /// [`OptionError`].
            pub fn unsubscribe(&self, prefix: impl AsRef<[u8]>) -> Result<(), OptionError> {
                self.0.unsubscribe(prefix)
            }
        }
    };

    (@subscribers $name:ident) => {
        impl $name {
            /// See [`Socket::wait_for_subscribers`].
            ///
            /// # Errors
            /// [`WaitError`].
            pub fn wait_for_subscribers(
                &self,
                prefix: impl AsRef<[u8]>,
                count: usize,
                timeout: Option<Duration>,
            ) -> Result<(), WaitError> {
                self.0.wait_for_subscribers(prefix, count, timeout)
            }

        }
    };
}

typed! {
    /// PAIR: one peer, both ways.
    Pair, Pair, send recv
}
typed! {
    /// PUSH: each message to one of the peers, in turn.
    Push, Push, send
}
typed! {
    /// PULL: messages of all peers, fair-queued.
    Pull, Pull, recv
}
typed! {
    /// PUB: each message to every peer that subscribed to a prefix of it.
    Publisher, Pub, send subscribers
}
typed! {
    /// SUB: the messages that begin with a prefix subscribed to.
    Subscriber, Sub, recv subscribe
}
typed! {
    /// REQ: a request, then its reply, in turn.
    Request, Req, send recv
}
typed! {
    /// REP: a request, then the reply to it, in turn.
    Reply, Rep, send recv
}
typed! {
    /// DEALER: each message to one of the peers, in turn; messages of all of them, fair-queued.
    Dealer, Dealer, send recv
}
typed! {
    /// ROUTER: messages of all peers, each behind its sender's identity; a message goes to the
    /// peer that its first part names.
    Router, Router, send recv
}
typed! {
    /// XPUB: PUB whose application receives the subscriptions, as messages.
    XPublisher, XPub, send recv subscribe subscribers
}
typed! {
    /// XSUB: SUB whose application sends the subscriptions, as messages, and receives unfiltered.
    XSubscriber, XSub, send recv subscribe
}
typed! {
    /// STREAM: bare tcp and ipc connections, for peers that do not speak ØMQ's protocol.
    ///
    /// A message received is two parts: the routing id of a connection, and bytes as they came over
    /// it, at most 8 KiB at a time and cut anywhere. An empty second part says that the connection has
    /// come, or gone ([`STREAM_NOTIFY`](crate::option::STREAM_NOTIFY)). A message sent is the same:
    /// bytes for a connection; an empty part closes it. Routing ids are five bytes, the first of them
    /// zero, or what [`CONNECT_ROUTING_ID`](crate::option::CONNECT_ROUTING_ID) was; that of the
    /// connection last made is [`ROUTING_ID`](crate::option::ROUTING_ID)'s value.
    ///
    /// Endpoints connected to are connected to again when the connection is lost, under the same
    /// routing id.
    ///
    /// ```
    /// use std::io::{Read, Write};
    /// use std::net::TcpStream;
    ///
    /// let context = oxmq::Context::new();
    /// let server = oxmq::Stream::new(&context)?;
    /// let endpoint = server.bind("tcp://127.0.0.1:*")?;
    /// # let address = endpoint.trim_start_matches("tcp://").to_owned();
    ///
    /// let browser = std::thread::spawn(move || -> std::io::Result<String> {
    ///     let mut connection = TcpStream::connect(address)?;
    ///     connection.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    ///     let mut answer = String::new();
    ///     connection.read_to_string(&mut answer)?;
    ///     Ok(answer)
    /// });
    ///
    /// let mut asked = Vec::new();
    /// while !asked.ends_with(b"\r\n\r\n") {
    ///     let [connection, bytes] = &server.recv_multipart()?[..] else { continue };
    ///     asked.extend_from_slice(bytes);
    ///     if asked.ends_with(b"\r\n\r\n") {
    ///         server.send(&connection[..], "HTTP/1.0 200 OK\r\n\r\nHello!")?;
    ///         server.hang_up(&connection[..])?;
    ///     }
    /// }
    /// assert_eq!(browser.join().unwrap()?, "HTTP/1.0 200 OK\r\n\r\nHello!");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    Stream, Stream, recv
}

impl Stream {
    /// Sends bytes over the connection that `routing_id` names; waits, up to SNDTIMEO, while SNDHWM
    /// pieces wait for it already. No bytes at all close the connection, as [`Stream::hang_up`].
    ///
    /// # Errors
    /// [`SendError`] holds both; its kind is `HostUnreachable` if there is no such connection.
    pub fn send(
        &self,
        routing_id: impl Into<Message>,
        bytes: impl Into<Message>,
    ) -> Result<(), SendError> {
        self.0.send_multipart([routing_id.into(), bytes.into()])
    }

    /// As [`Stream::send`], but never waits.
    ///
    /// # Errors
    /// [`SendError`] holds both; its kind is `Again` if the connection cannot take them now.
    pub fn try_send(
        &self,
        routing_id: impl Into<Message>,
        bytes: impl Into<Message>,
    ) -> Result<(), SendError> {
        self.0.try_send_multipart([routing_id.into(), bytes.into()])
    }

    /// As [`Stream::send`], when the connection can take it. See [`Socket::send_async`].
    pub fn send_async(
        &self,
        routing_id: impl Into<Message>,
        bytes: impl Into<Message>,
    ) -> Send<'_> {
        self.0.send_async([routing_id.into(), bytes.into()])
    }

    /// Closes a connection. What was sent over it still goes out, as long as that takes, and for
    /// LINGER once the socket is closed; what it had brought, and brings, is not received. Its end is
    /// not told, and an endpoint that was connected to is not connected to again.
    ///
    /// # Errors
    /// [`SendError`]; its kind is `HostUnreachable` if there is no such connection.
    pub fn hang_up(&self, routing_id: impl Into<Message>) -> Result<(), SendError> {
        self.0.try_send_multipart([routing_id.into(), Message::new()])
    }
}
