//! Bare sockets: what the kernel leaves possible. Frames as short as ZMTP's in blocking writes and
//! reads, a stream of them 64 KiB at a time, no thread, no queue, no limit.

use super::backend::{Backend, BackendSocket, Kind};
use anyhow::{Context as _, Result, bail};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};

/// What one write or read moves, unless a frame is longer.
const BATCH_BYTES: usize = 64 * 1024;

/// The first byte of a frame whose length takes eight bytes instead of one.
const LONG: u8 = 2;

pub struct Bare;

/// One connection; the side that binds accepts it with its first receive.
pub struct BareSocket {
    streams: bool,
    listener: Option<Listener>,
    stream: Option<Box<dyn Stream>>,
    out: Vec<u8>,
    input: Vec<u8>,
    /// What has been read and not shown yet: `input[start..end]`.
    start: usize,
    end: usize,
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Backend for Bare {
    type Socket = BareSocket;

    fn socket(&self, kind: Kind) -> Result<BareSocket> {
        let streams = match kind {
            Kind::Push | Kind::Pull => true,
            Kind::Req | Kind::Rep => false,
            Kind::Pub | Kind::Sub | Kind::Pair | Kind::Router | Kind::Dealer => {
                bail!("a bare socket has no {kind:?}")
            }
        };
        let (out, input) = (Vec::with_capacity(2 * BATCH_BYTES), vec![0; 2 * BATCH_BYTES]);
        Ok(BareSocket { streams, listener: None, stream: None, out, input, start: 0, end: 0 })
    }

    fn end(self) -> Result<()> {
        Ok(())
    }
}

impl BackendSocket for BareSocket {
    fn bind(&mut self, endpoint: &str) -> Result<String> {
        if let Some(address) = endpoint.strip_prefix("tcp://") {
            let listener = TcpListener::bind(address)?;
            let bound = format!("tcp://{}", listener.local_addr()?);
            self.listener = Some(Listener::Tcp(listener));
            Ok(bound)
        } else {
            self.listener = Some(Listener::Unix(UnixListener::bind(ipc_path(endpoint)?)?));
            Ok(endpoint.to_owned())
        }
    }

    fn connect(&mut self, endpoint: &str) -> Result<()> {
        self.stream = Some(if let Some(address) = endpoint.strip_prefix("tcp://") {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        } else {
            Box::new(UnixStream::connect(ipc_path(endpoint)?)?)
        });
        Ok(())
    }

    fn subscribe(&mut self) -> Result<()> {
        bail!("a bare socket has no subscriptions")
    }

    fn send(&mut self, body: &[u8]) -> Result<()> {
        match u8::try_from(body.len()) {
            Ok(len) => self.out.extend([0, len]),
            Err(_) => {
                self.out.push(LONG);
                self.out.extend((body.len() as u64).to_be_bytes());
            }
        }
        if body.len() >= BATCH_BYTES {
            self.flush()?;
            return Ok(self.stream()?.write_all(body)?);
        }
        self.out.extend_from_slice(body);
        if !self.streams || self.out.len() >= BATCH_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let out = std::mem::take(&mut self.out);
        self.stream()?.write_all(&out)?;
        self.out = out;
        self.out.clear();
        Ok(())
    }

    fn recv<R>(&mut self, read: impl FnOnce(&[u8]) -> R) -> Result<R> {
        loop {
            let (header, body) = frame(&self.input[self.start..self.end]);
            if let Some(body) = body
                && let (from, to) = (self.start + header, self.start + header + body)
                && to <= self.end
            {
                self.start = to;
                return Ok(read(&self.input[from..to]));
            }
            self.read_more(header + body.unwrap_or(0))?;
        }
    }

    fn echo(&mut self) -> Result<()> {
        let body = self.recv(<[u8]>::to_vec)?;
        self.send(&body)
    }
}

impl BareSocket {
    /// Reads once, with room for a frame of `frame_bytes`.
    fn read_more(&mut self, frame_bytes: usize) -> Result<()> {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.input.len() < frame_bytes + BATCH_BYTES {
            self.input.resize(frame_bytes + BATCH_BYTES, 0);
        }
        let (mut input, end) = (std::mem::take(&mut self.input), self.end);
        let read = self.stream()?.read(&mut input[end..]);
        self.input = input;
        match read? {
            0 => bail!("the other side is gone"),
            read => self.end += read,
        }
        Ok(())
    }

    fn stream(&mut self) -> Result<&mut dyn Stream> {
        if self.stream.is_none() {
            self.stream =
                Some(match self.listener.as_ref().context("neither bound nor connected")? {
                    Listener::Tcp(listener) => {
                        let (stream, _) = listener.accept()?;
                        stream.set_nodelay(true)?;
                        Box::new(stream)
                    }
                    Listener::Unix(listener) => Box::new(listener.accept()?.0),
                });
        }
        Ok(self.stream.as_deref_mut().expect("made above"))
    }
}

/// The lengths of header and body of the frame at the start of `bytes`, the latter if it is there.
fn frame(bytes: &[u8]) -> (usize, Option<usize>) {
    match bytes {
        [LONG, rest @ ..] => (9, rest.first_chunk().map(|len| u64::from_be_bytes(*len) as usize)),
        [_, len, ..] => (2, Some(usize::from(*len))),
        _ => (2, None),
    }
}

fn ipc_path(endpoint: &str) -> Result<&str> {
    endpoint.strip_prefix("ipc://").with_context(|| format!("a bare socket cannot do {endpoint}"))
}
