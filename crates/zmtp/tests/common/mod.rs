//! A caller of the crate as simple as can be, shared by the tests and the fuzz targets.
#![allow(dead_code, reason = "each test program uses a part of it")]

use oxmq_zmtp::mechanism::Null;
use oxmq_zmtp::wire::frame;
use oxmq_zmtp::{
    Config, Connection, Decoded, Event, Limits, Mechanism, Opened, Peer, ProtocolError, SocketType,
};

/// What a caller sees of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// There were credentials, which were found good.
    Asked(Vec<Vec<u8>>),
    Ready(Peer),
    Message {
        more: bool,
        body: Vec<u8>,
    },
    Command(Event),
    Failed(ProtocolError),
}

/// A connection with the buffers that a caller has around it.
pub struct Driver {
    pub connection: Connection,
    /// Everything that the connection wanted to send.
    pub sent: Vec<u8>,
    pub seen: Vec<Seen>,
    /// Bytes that have arrived and are not consumed.
    unread: Vec<u8>,
    collecting: Option<Collecting>,
}

struct Collecting {
    /// `None` for a command.
    more: Option<bool>,
    body: Vec<u8>,
    body_bytes: u64,
}

impl Driver {
    pub fn new(config: Config) -> Driver {
        Driver::with(config, Null::new())
    }

    pub fn with(config: Config, mechanism: impl Mechanism + 'static) -> Driver {
        let mut driver = Driver {
            connection: Connection::with_mechanism(config, Box::new(mechanism)),
            sent: Vec::new(),
            seen: Vec::new(),
            unread: Vec::new(),
            collecting: None,
        };
        driver.transmit();
        driver
    }

    /// A driver that has been fed `stream` in the given pieces.
    pub fn fed<'a>(config: &Config, pieces: impl IntoIterator<Item = &'a [u8]>) -> Driver {
        let mut driver = Driver::new(config.clone());
        for piece in pieces {
            driver.feed(piece);
        }
        driver
    }

    /// Takes bytes as they arrive from the peer and acts on whatever is complete.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.unread.extend_from_slice(bytes);
        while self.step() {
            self.transmit();
        }
        self.transmit();
    }

    pub fn failure(&self) -> Option<&ProtocolError> {
        match self.seen.last() {
            Some(Seen::Failed(error)) => Some(error),
            _ => None,
        }
    }

    /// Does one thing; `false` if there is nothing to be done with what has arrived.
    fn step(&mut self) -> bool {
        if self.failure().is_some() {
            return false;
        }
        let result = if !self.connection.is_ready() {
            self.handshake()
        } else if self.collecting.is_some() {
            self.collect()
        } else {
            self.decode()
        };
        result.unwrap_or_else(|error| {
            assert_eq!(self.connection.failure(), Some(&error));
            assert_eq!(self.connection.decode(b"\0\0"), Err(error.clone()), "errors repeat");
            self.seen.push(Seen::Failed(error));
            false
        })
    }

    fn handshake(&mut self) -> Result<bool, ProtocolError> {
        let consumed = self.connection.handle_handshake(&self.unread)?;
        assert!(consumed <= self.unread.len());
        self.unread.drain(..consumed);
        let asked = self.connection.credentials();
        if let Some(credentials) = &asked {
            self.seen.push(Seen::Asked(credentials.clone()));
            self.connection.admit()?;
        }
        if let Some(peer) = self.connection.peer() {
            self.seen.push(Seen::Ready(peer.clone()));
            return Ok(true);
        }
        if asked.is_some() {
            return Ok(true);
        }
        assert!(self.unread.is_empty(), "the handshake leaves only traffic");
        Ok(false)
    }

    fn decode(&mut self) -> Result<bool, ProtocolError> {
        let inline_bytes_max = self.connection.config().limits.inline_bytes_max;
        let taken = match self.connection.decode(&self.unread)? {
            Decoded::Incomplete => {
                assert!(self.unread.len() <= inline_bytes_max + 9, "too long to be incomplete");
                return Ok(false);
            }
            Decoded::Message { more, body, consumed } => {
                assert!(body.len() < consumed);
                self.seen.push(Seen::Message { more, body: body.to_vec() });
                consumed
            }
            Decoded::Large { more, header_bytes, body_bytes } => {
                assert!(body_bytes > inline_bytes_max as u64);
                self.collecting =
                    Some(Collecting { more: Some(more), body: Vec::new(), body_bytes });
                header_bytes
            }
            Decoded::LargeCommand { header_bytes, body_bytes } => {
                assert!(body_bytes > inline_bytes_max);
                let body_bytes = body_bytes as u64;
                self.collecting = Some(Collecting { more: None, body: Vec::new(), body_bytes });
                header_bytes
            }
            Decoded::Command { event, consumed } => {
                self.seen.push(Seen::Command(event));
                consumed
            }
            Decoded::Sealed { body, consumed } => {
                assert!(self.connection.seals() && body.len() < consumed);
                let body = body.to_vec();
                let seen = self.open(&body)?;
                self.seen.push(seen);
                consumed
            }
        };
        assert!(0 < taken && taken <= self.unread.len());
        self.unread.drain(..taken);
        Ok(true)
    }

    fn collect(&mut self) -> Result<bool, ProtocolError> {
        let Some(mut collecting) = self.collecting.take() else { return Ok(false) };
        let missing = collecting.body_bytes - collecting.body.len() as u64;
        let taken = usize::try_from(missing).unwrap_or(usize::MAX).min(self.unread.len());
        collecting.body.extend(self.unread.drain(..taken));
        if (taken as u64) < missing {
            self.collecting = Some(collecting);
            return Ok(false);
        }
        let seen = match collecting.more {
            Some(_) if self.connection.seals() => self.open(&collecting.body)?,
            Some(more) => Seen::Message { more, body: collecting.body },
            None => Seen::Command(self.connection.handle_command(&collecting.body)?),
        };
        self.seen.push(seen);
        Ok(true)
    }

    fn open(&mut self, sealed: &[u8]) -> Result<Seen, ProtocolError> {
        let mut body = Vec::new();
        Ok(match self.connection.open(sealed, &mut body)? {
            Opened::Message { more } => Seen::Message { more, body },
            Opened::Command(event) => Seen::Command(event),
        })
    }

    fn transmit(&mut self) {
        while self.connection.poll_transmit(&mut self.sent) {}
    }
}

/// Lets two drivers talk until neither has anything to say.
pub fn talk(left: &mut Driver, right: &mut Driver) {
    talk_on(left, right, (0, 0));
}

/// The same, when so many bytes from the left and from the right have arrived already.
pub fn talk_on(left: &mut Driver, right: &mut Driver, arrived: (usize, usize)) {
    let (mut to_right, mut to_left) = arrived;
    while to_right < left.sent.len() || to_left < right.sent.len() {
        let bytes = left.sent[to_right..].to_vec();
        to_right += bytes.len();
        right.feed(&bytes);
        let bytes = right.sent[to_left..].to_vec();
        to_left += bytes.len();
        left.feed(&bytes);
    }
}

/// A greeting and a READY as libzmq sends them, from a peer of the given version and type.
pub fn opening(minor: u8, socket_type: &str) -> Vec<u8> {
    let mut out = b"\xFF\0\0\0\0\0\0\0\x01\x7F\x03".to_vec();
    out.push(minor);
    out.extend(b"NULL");
    out.resize(64, 0);
    let mut body = b"\x05READY\x0BSocket-Type\0\0\0".to_vec();
    body.push(socket_type.len() as u8);
    body.extend(socket_type.as_bytes());
    out.extend([4, body.len() as u8]);
    out.extend(body);
    out
}

/// What a ZMTP 2.0 peer (revision 1), or one of revision 0, sends first.
pub fn opening_old(revision: u8, socket_type: SocketType, identity: &[u8]) -> Vec<u8> {
    let mut out = vec![0xFF, 0, 0, 0, 0, 0, 0];
    out.extend((identity.len() as u16 + 1).to_be_bytes());
    out.extend([0x7F, revision, socket_type.number()]);
    match revision {
        0 => out.extend(message_v1(false, identity)),
        _ => out.extend(message(false, identity)),
    }
    out
}

/// Frames `body` as a part of a message, for ZMTP 1.0.
pub fn message_v1(more: bool, body: &[u8]) -> Vec<u8> {
    let mut out = match u8::try_from(body.len() + 1) {
        Ok(length @ 0..=254) => vec![length],
        _ => {
            let mut out = vec![0xFF];
            out.extend((body.len() as u64 + 1).to_be_bytes());
            out
        }
    };
    out.push(u8::from(more));
    out.extend(body);
    out
}

/// Frames `body` as a part of a message.
pub fn message(more: bool, body: &[u8]) -> Vec<u8> {
    let mut header = [0; oxmq_zmtp::wire::frame::HEADER_BYTES_MAX];
    let header_bytes = oxmq_zmtp::wire::frame::write_header(more, body.len(), &mut header);
    [&header[..header_bytes], body].concat()
}

/// A socket without identity whose limits are small enough to be met.
pub fn small(socket_type: SocketType) -> Config {
    let limits = Limits {
        command_bytes_max: 600,
        metadata_bytes_max: 500,
        message_bytes_max: Some(1000),
        inline_bytes_max: 300,
        ..Limits::default()
    };
    Config { limits, ..Config::new(socket_type) }
}

/// The part of a stream behind the greeting, as the bodies of frames.
pub fn frames(mut stream: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    stream = &stream[64..];
    while let Some(header) = frame::parse_header(stream) {
        let (frame, rest) = stream.split_at(header.frame_bytes().unwrap());
        frames.push((header.flags & !frame::LARGE, frame[header.header_bytes..].to_vec()));
        stream = rest;
    }
    frames
}

/// Numbers that look random and are the same at every run (xorshift64*).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.below(256) as u8).collect()
    }
}
