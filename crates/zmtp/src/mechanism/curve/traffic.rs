//! MESSAGE: frames of traffic, and the counters of all commands.

use super::crypto::{BoxKey, StreamKey, TAG_BYTES};
use crate::ProtocolError;
use crate::wire::command::CommandView;
use crate::wire::frame::{self, FrameHeader, HEADER_BYTES_MAX};

/// ```text
///   0         8         16     32      33
/// +---------+---------+------+-------+------+
/// | 7MESSAGE| counter | tag  | flags | body |     the body of a frame
/// +---------+---------+------+-------+------+
///                            |<- encrypted >|
/// ```
const NAME: &[u8; 8] = b"\x07MESSAGE";
const COUNTER_BYTES: usize = 8;
/// By how many octets a MESSAGE is longer than the body in it.
pub const OVERHEAD_BYTES: usize = NAME.len() + COUNTER_BYTES + TAG_BYTES + 1;

/// The flags inside have places of their own.
mod flag {
    pub const MORE: u8 = 0b01;
    /// RFC 26 knows no such flag; libzmq has it from 4.2 on.
    pub const COMMAND: u8 = 0b10;
    /// "These bits are reserved for future use and MUST be zero."
    pub const RESERVED: u8 = !(MORE | COMMAND);
}

/// Both directions of a connection whose handshake is over.
#[derive(Debug)]
pub struct Traffic {
    outgoing: StreamKey,
    incoming: StreamKey,
    /// The counter of the last command that was sent.
    sent: u64,
    received: Received,
}

impl Traffic {
    /// What the client makes of the key that both transient key pairs share.
    pub fn of_client(key: &BoxKey, sent: u64, received: Received) -> Traffic {
        let (outgoing, incoming) = Traffic::streams(key);
        Traffic { outgoing, incoming, sent, received }
    }

    /// What the server makes of it.
    pub fn of_server(key: &BoxKey, sent: u64, received: Received) -> Traffic {
        let (incoming, outgoing) = Traffic::streams(key);
        Traffic { outgoing, incoming, sent, received }
    }

    /// From the client, and from the server.
    fn streams(key: &BoxKey) -> (StreamKey, StreamKey) {
        (key.stream(b"CurveZMQMESSAGEC"), key.stream(b"CurveZMQMESSAGES"))
    }

    /// See [`Mechanism::seal`](crate::Mechanism::seal).
    pub fn seal(&mut self, flags: u8, body: &[u8], out: &mut Vec<u8>) {
        let mut inside = 0;
        if flags & frame::MORE != 0 {
            inside |= flag::MORE;
        }
        if flags & frame::COMMAND != 0 {
            inside |= flag::COMMAND;
        }
        // So many messages that this wraps cannot be sent: they would take centuries.
        self.sent = self.sent.wrapping_add(1);
        let counter = self.sent.to_be_bytes();

        let body_bytes = OVERHEAD_BYTES + body.len();
        let mut header = [0; HEADER_BYTES_MAX];
        // A message, not a command, although RFC 26 calls it one: so does libzmq.
        let header_bytes = FrameHeader::new(0, body_bytes as u64).emit(&mut header);
        out.reserve(header_bytes + body_bytes);
        out.extend_from_slice(header.get(..header_bytes).unwrap_or_default());
        out.extend_from_slice(NAME);
        out.extend_from_slice(&counter);
        let sealed = out.len();
        out.extend_from_slice(&[0; TAG_BYTES]);
        out.push(inside);
        out.extend_from_slice(body);
        self.outgoing.seal(&counter, out.get_mut(sealed..).unwrap_or_default());
    }

    /// See [`Mechanism::open`](crate::Mechanism::open).
    pub fn open(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<u8, ProtocolError> {
        let Some((NAME, rest)) = sealed.split_first_chunk() else {
            let name = CommandView::parse(sealed)?.name.to_vec();
            return Err(ProtocolError::UnexpectedCommand { name, expected: "MESSAGE" });
        };
        let malformed = |fault| ProtocolError::MalformedCommand { command: "MESSAGE", fault };
        let (counter, boxed) =
            rest.split_first_chunk().ok_or_else(|| malformed("it has no counter"))?;
        if boxed.len() <= TAG_BYTES {
            return Err(malformed("it has no flags"));
        }
        let received = self.received.next(*counter)?;
        let start = out.len();
        let [inside] = self.incoming.open(counter, boxed, out).ok_or(ProtocolError::Unauthentic)?;
        self.received = received;
        if inside & flag::RESERVED != 0 {
            out.truncate(start);
            let reserved = flag::RESERVED;
            return Err(ProtocolError::ReservedFlags { flags: inside, reserved });
        }
        let mut flags = 0;
        if inside & flag::MORE != 0 {
            flags |= frame::MORE;
        }
        if inside & flag::COMMAND != 0 {
            flags |= frame::COMMAND;
        }
        Ok(flags)
    }
}

/// The counter of the peer's last command.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    last: u64,
    /// The octets of the peer's counters stand the other way round.
    reversed: bool,
}

impl Received {
    /// What the peer counts from, in the first command that has a counter.
    ///
    /// "This nonce SHALL be an incrementing integer": RFC 26 does not say in which byte order. The
    /// network's is meant, but libzmq 4.0 sends the machine's, and gives itself away by its 1.
    pub fn first(counter: [u8; COUNTER_BYTES]) -> Received {
        match u64::from_be_bytes(counter) {
            last if last == 1_u64.swap_bytes() => Received { last: 1, reversed: true },
            last => Received { last, reversed: false },
        }
    }

    /// After the next command; the peer "SHALL" be disconnected if it uses a counter again.
    pub fn next(self, counter: [u8; COUNTER_BYTES]) -> Result<Received, ProtocolError> {
        let order = if self.reversed { u64::from_le_bytes } else { u64::from_be_bytes };
        let (counter, last) = (order(counter), self.last);
        if counter <= last {
            return Err(ProtocolError::Replayed { counter, last });
        }
        Ok(Received { last: counter, ..self })
    }
}
