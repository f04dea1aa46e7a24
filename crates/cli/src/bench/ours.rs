//! oxmq itself, through its Rust API.

use super::backend::{Backend, BackendSocket, Kind};
use anyhow::Result;
use oxmq::{Context, Socket, SocketType, option};

pub struct Ours {
    context: Context,
    spin: bool,
}

impl Ours {
    /// `spin`: whether waiting calls may poll for a moment before they sleep, as by default.
    pub fn new(spin: bool) -> Self {
        Ours { context: Context::new(), spin }
    }
}

impl Backend for Ours {
    type Socket = Socket;

    fn socket(&self, kind: Kind) -> Result<Socket> {
        let socket = self.context.socket(match kind {
            Kind::Push => SocketType::Push,
            Kind::Pull => SocketType::Pull,
            Kind::Pub => SocketType::Pub,
            Kind::Sub => SocketType::Sub,
            Kind::Req => SocketType::Req,
            Kind::Rep => SocketType::Rep,
            Kind::Pair => SocketType::Pair,
            Kind::Router => SocketType::Router,
            Kind::Dealer => SocketType::Dealer,
        })?;
        if !self.spin {
            socket.set(option::SPIN, false)?;
        }
        Ok(socket)
    }

    fn end(self) -> Result<()> {
        Ok(self.context.term()?)
    }
}

impl BackendSocket for Socket {
    fn bind(&mut self, endpoint: &str) -> Result<String> {
        Ok(Socket::bind(self, endpoint)?)
    }

    fn connect(&mut self, endpoint: &str) -> Result<()> {
        Ok(Socket::connect(self, endpoint)?)
    }

    fn subscribe(&mut self) -> Result<()> {
        Ok(Socket::subscribe(self, b"")?)
    }

    fn send(&mut self, body: &[u8]) -> Result<()> {
        Ok(Socket::send(self, body)?)
    }

    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        Ok(read(&Socket::recv(self)?))
    }

    fn echo(&mut self) -> Result<()> {
        let message = Socket::recv_multipart(self)?;
        Ok(Socket::send_multipart(self, message)?)
    }
}
