//! ØMQ in Rust: sockets that carry whole messages between threads, processes and machines, in
//! patterns, over several transports.
//!
//! Start with [`Context`]; the socket types are [`Pair`], [`Push`], [`Pull`], [`Publisher`],
//! [`Subscriber`], [`Request`], [`Reply`], [`Dealer`], [`Router`], [`XPublisher`], [`XSubscriber`] and
//! [`Stream`], and [`Socket`] is any of them.

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
mod transport;
pub mod z85;
#[cfg(not(loom))]
mod zap;

pub use message::{INLINE_BYTES_MAX, Message};

#[cfg(not(loom))]
pub use {
    connection::{Connection, Peer, PeerProcess},
    context::Context,
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
