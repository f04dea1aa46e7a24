//! Pipes: what carries messages between a socket and a connection, or between two sockets.
//!
//! - [`arena`]: outgoing, socket to connection: records in bytes, ready for the kernel.
//! - [`slots`]: incoming and inproc: a queue of messages.
//! - [`newest`]: either, of a socket with CONFLATE: the newest message alone.
//!
//! The first two have one writer and one reader, make whole messages visible with one atomic store, and
//! count messages against a high-water mark ([`credit`]).

mod arena;
mod both;
mod credit;
mod newest;
mod pool;
mod slots;

pub(crate) use arena::{ArenaReader, ArenaWriter, IoVecs, arena};
pub(crate) use newest::{NewestReader, NewestWriter, newest};
pub(crate) use slots::{SlotReader, SlotWriter, slots};

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod measure;
#[cfg(all(test, not(loom)))]
mod oracle;
