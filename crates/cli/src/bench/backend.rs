//! What a measured library must be able to do, so that every workload is written once.
//!
//! Workloads are generic over [`Backend`]: nothing between them and a library's calls is decided
//! at run time, for one library no more than for another.

use anyhow::Result;

/// The sockets that workloads need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Push,
    Pull,
    Pub,
    Sub,
    Req,
    Rep,
    Pair,
    Router,
    Dealer,
}

/// A library with a context, at default options.
pub trait Backend: Sized + Sync {
    type Socket: BackendSocket + Send;

    fn socket(&self, kind: Kind) -> Result<Self::Socket>;

    /// Waits until everything sent has left, and ends the context. Every socket is gone by now.
    fn end(self) -> Result<()>;
}

pub trait BackendSocket {
    /// Binds, and says where.
    fn bind(&mut self, endpoint: &str) -> Result<String>;

    fn connect(&mut self, endpoint: &str) -> Result<()>;

    /// Asks for everything.
    fn subscribe(&mut self) -> Result<()>;

    /// Sends a copy of `body`, waiting for room if the kind of socket waits.
    fn send(&mut self, body: &[u8]) -> Result<()>;

    /// Says that nothing more will be sent, for those that gather without a thread to send later.
    fn flush(&mut self) -> Result<()> {
        Ok(())
    }

    /// Waits for a message and shows it to `read`.
    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R>;

    /// Waits for a message of any number of parts, and sends it back to where it came from.
    fn echo(&mut self) -> Result<()>;
}
