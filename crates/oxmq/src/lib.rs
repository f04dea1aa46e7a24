//! ØMQ in Rust: sockets that carry whole messages between threads, processes and machines, in
//! patterns, over several transports.
//!
//! Start with [`Context`]; the socket types are [`Pair`], [`Push`], [`Pull`], [`Publisher`],
//! [`Subscriber`], [`Request`], [`Reply`], [`Dealer`], [`Router`], [`XPublisher`], [`XSubscriber`] and
//! [`Stream`], and [`Socket`] is any of them.
//!
//! # Without blocking
//!
//! Every socket can be awaited as well, on any executor: `send_async`, `recv_async`,
//! `recv_multipart_async`. Such a future may be dropped at any time (`select!`, time-outs): a message is
//! sent or received whole, or not at all. A task whose messages come without a pause gives way to others
//! now and then.
//!
//! One thing blocks: **dropping the last handle of a context**, be it the context, a copy of it or a
//! socket, waits until what was sent is with the peers. That may be for ever, for the option
//! [`LINGER`](option::LINGER) is -1 by default, and in a task it stops the whole executor; an early return
//! by `?` is enough. So in async programs
//!
//! - say with [`Context::set_drop_timeout`] how long a drop may wait: with zero it waits not at all, and
//!   what was sent goes out in the background;
//! - and at the end of the program, which ends the background, too, close the sockets and await
//!   [`Context::term_async`], within a time-out of your executor if a peer may never come.
//!
//! ```
//! use std::time::Duration;
//! use oxmq::{Context, Pull, Push};
//!
//! async fn run() -> Result<(), Box<dyn std::error::Error>> {
//!     let context = Context::new();
//!     context.set_drop_timeout(Some(Duration::ZERO));
//!     let pull = Pull::new(&context)?;
//!     let endpoint = pull.bind("tcp://127.0.0.1:*")?;
//!     let push = Push::new(&context)?;
//!     push.connect(&endpoint)?; // whatever fails here and below, nothing blocks
//!     push.send_async(["hello", "world"]).await?;
//!     let parts = pull.recv_multipart_async().await?;
//!     assert_eq!(&parts[1][..], b"world");
//!
//!     drop((push, pull));
//!     context.term_async().await?;
//!     Ok(())
//! }
//! # struct Unpark(std::thread::Thread);
//! # impl std::task::Wake for Unpark {
//! #     fn wake(self: std::sync::Arc<Self>) {
//! #         self.0.unpark();
//! #     }
//! # }
//! # let waker = std::sync::Arc::new(Unpark(std::thread::current())).into();
//! # let mut future = std::pin::pin!(run());
//! # let done = loop {
//! #     let poll = future.as_mut().poll(&mut std::task::Context::from_waker(&waker));
//! #     if let std::task::Poll::Ready(done) = poll {
//! #         break done;
//! #     }
//! #     std::thread::park();
//! # };
//! # done?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#[cfg(not(any(target_os = "linux", target_os = "android", oxmq_sim)))]
compile_error!(
    "oxmq runs on Linux and Android only, so far: it knows no other system's calls yet \
     (crates/oxmq/src/sys is where they would go)"
);

// Under loom only the modules that it checks are compiled.
mod asymmetric;
#[cfg_attr(loom, allow(dead_code, reason = "its users are not compiled"))]
mod bell;
mod biased;
mod block;
#[cfg(not(loom))]
mod claim;
#[cfg(not(loom))]
mod connection;
#[cfg(not(loom))]
mod context;
#[cfg(not(loom))]
mod device;
mod drive;
#[cfg(not(loom))]
mod endpoint;
#[cfg(not(loom))]
mod error;
#[cfg(not(loom))]
#[doc(hidden)]
pub mod ffi;
#[cfg(not(loom))]
mod gather;
#[cfg_attr(loom, allow(dead_code, reason = "its users are not compiled"))]
mod memory;
mod message;
#[cfg(not(loom))]
pub mod monitor;
#[cfg(not(loom))]
pub mod option;
mod park;
#[cfg(not(loom))]
mod parker;
#[cfg(not(loom))]
mod pattern;
mod pipe;
#[cfg(not(loom))]
mod proxy;
#[cfg(not(loom))]
mod reactor;
#[cfg(not(loom))]
mod routing;
#[cfg(not(loom))]
pub mod security;
#[cfg(not(loom))]
mod session;
#[cfg(not(loom))]
mod socket;
#[cfg(not(loom))]
mod statistics;
#[cfg(not(loom))]
mod subscription;
mod sync;
#[cfg(not(loom))]
pub(crate) mod sys;
#[cfg(not(loom))]
mod tasks;
#[cfg(not(loom))]
mod transport;
pub mod z85;
#[cfg(not(loom))]
mod zap;

pub use message::{INLINE_BYTES_MAX, Message};

#[cfg(not(loom))]
pub use {
    connection::{Connection, Peer, PeerProcess},
    context::{Context, Term},
    device::Device,
    endpoint::{
        Endpoint, EndpointError, EndpointErrorKind, Host, IpcPath, Port, TcpEndpoint, TcpSource,
    },
    error::*,
    monitor::Monitor,
    oxmq_zmtp::{SocketType, Version as ZmtpVersion},
    proxy::{Passed, Proxy, ProxyError, ProxyStatistics},
    socket::{
        Dealer, Events, Pair, PollItem, Poller, PollerError, PollerEvent, Publisher, Pull, Push,
        Ready, Recv, RecvMultipart, Reply, Request, Router, Send, Socket, Stream, Subscriber,
        XPublisher, XSubscriber, poll,
    },
    statistics::{DropReason, Dropped, PipeStatistics, Statistics},
};

#[cfg(oxmq_sim)]
#[doc(hidden)]
pub use sys::sim;

/// The first program of the README runs as it stands there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
