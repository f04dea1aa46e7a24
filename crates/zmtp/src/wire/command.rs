//! Commands: frames between the protocol engines, never seen by an application.
//!
//! ```text
//!   0             1..1+n   1+n..
//! +-------------+--------+------+
//! | n: 1 to 255 | name   | data |     the body of a frame with the flag COMMAND
//! +-------------+--------+------+
//! ```

use std::fmt;

use super::frame;
use crate::ProtocolError;

/// The longest context that PING and PONG carry, in octets.
pub const PING_CONTEXT_BYTES_MAX: usize = 16;

mod name {
    pub const READY: &[u8] = b"READY";
    pub const ERROR: &[u8] = b"ERROR";
    pub const SUBSCRIBE: &[u8] = b"SUBSCRIBE";
    pub const CANCEL: &[u8] = b"CANCEL";
    pub const PING: &[u8] = b"PING";
    pub const PONG: &[u8] = b"PONG";
}

/// The name and the data of any command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandView<'a> {
    /// The name: 1 to 255 octets of any value.
    pub name: &'a [u8],
    /// What follows the name.
    pub data: &'a [u8],
}

impl<'a> CommandView<'a> {
    /// Splits the body of a command frame.
    ///
    /// # Errors
    ///
    /// [`MalformedCommand`](ProtocolError::MalformedCommand) without a name, or with a name that is
    /// longer than the body.
    pub fn parse(body: &'a [u8]) -> Result<CommandView<'a>, ProtocolError> {
        let malformed = |fault| ProtocolError::MalformedCommand { command: "nameless", fault };
        let (&length, rest) = body.split_first().ok_or_else(|| malformed("its body is empty"))?;
        if length == 0 {
            return Err(malformed("its name is empty"));
        }
        let (name, data) = rest
            .split_at_checked(usize::from(length))
            .ok_or_else(|| malformed("its name is longer than its body"))?;
        Ok(CommandView { name, data })
    }

    /// Appends the command as a frame.
    ///
    /// At most 255 octets of the name are used.
    pub fn emit(&self, out: &mut Vec<u8>) {
        emit_frame(self.name, &[self.data], out);
    }
}

/// A command that ZMTP 3.1 defines, or one that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command<'a> {
    /// The end of the NULL handshake, with the sender's [metadata](super::metadata).
    Ready {
        /// The metadata, unparsed.
        metadata: &'a [u8],
    },
    /// The sender refuses the connection.
    Error {
        /// Up to 255 octets to be logged.
        reason: &'a [u8],
    },
    /// The sender wants messages that start with a prefix.
    Subscribe {
        /// The prefix.
        prefix: &'a [u8],
    },
    /// The sender takes one subscription back.
    Cancel {
        /// The prefix.
        prefix: &'a [u8],
    },
    /// The sender asks for a sign of life.
    Ping {
        /// The sender may be taken for dead when it stays silent for this long, in tenths of a
        /// second; 0 is no such hint.
        ttl_ds: u16,
        /// What the PONG has to carry; at most 16 octets, the rest is not looked at.
        context: &'a [u8],
    },
    /// The answer to a PING.
    Pong {
        /// The context of the PING.
        context: &'a [u8],
    },
    /// A command of a security mechanism, or of a later version.
    Other(CommandView<'a>),
}

impl<'a> Command<'a> {
    /// Reads the body of a command frame.
    ///
    /// # Errors
    ///
    /// [`MalformedCommand`](ProtocolError::MalformedCommand) when the body breaks the grammar of
    /// its command.
    pub fn parse(body: &'a [u8]) -> Result<Command<'a>, ProtocolError> {
        let view = CommandView::parse(body)?;
        let data = view.data;
        Ok(match view.name {
            name::SUBSCRIBE => Command::Subscribe { prefix: data },
            name::CANCEL => Command::Cancel { prefix: data },
            name::PING => {
                let (ttl, context) =
                    data.split_first_chunk().ok_or(ProtocolError::MalformedCommand {
                        command: "PING",
                        fault: "it has no TTL",
                    })?;
                // libzmq, too, cuts what is longer than the RFC allows.
                let context = context.get(..PING_CONTEXT_BYTES_MAX).unwrap_or(context);
                Command::Ping { ttl_ds: u16::from_be_bytes(*ttl), context }
            }
            name::PONG => Command::Pong { context: data },
            name::READY => Command::Ready { metadata: data },
            name::ERROR => {
                let reason = data
                    .split_first()
                    .and_then(|(&length, rest)| rest.get(..usize::from(length)))
                    .ok_or(ProtocolError::MalformedCommand {
                        command: "ERROR",
                        fault: "its reason is cut off",
                    })?;
                Command::Error { reason }
            }
            _ => Command::Other(view),
        })
    }

    /// Appends the command as a frame.
    ///
    /// An ERROR's reason is cut at 255 octets and the context of PING and PONG at 16.
    pub fn emit(&self, out: &mut Vec<u8>) {
        match *self {
            Command::Ready { metadata } => emit_frame(name::READY, &[metadata], out),
            Command::Error { reason } => {
                let reason = cut(reason, usize::from(u8::MAX));
                emit_frame(name::ERROR, &[&[reason.len() as u8], reason], out);
            }
            Command::Subscribe { prefix } => emit_frame(name::SUBSCRIBE, &[prefix], out),
            Command::Cancel { prefix } => emit_frame(name::CANCEL, &[prefix], out),
            Command::Ping { ttl_ds, context } => {
                let context = cut(context, PING_CONTEXT_BYTES_MAX);
                emit_frame(name::PING, &[&ttl_ds.to_be_bytes(), context], out);
            }
            Command::Pong { context } => {
                emit_frame(name::PONG, &[cut(context, PING_CONTEXT_BYTES_MAX)], out);
            }
            Command::Other(view) => view.emit(out),
        }
    }

    /// The name on the wire.
    pub fn name(&self) -> &'a [u8] {
        match self {
            Command::Ready { .. } => name::READY,
            Command::Error { .. } => name::ERROR,
            Command::Subscribe { .. } => name::SUBSCRIBE,
            Command::Cancel { .. } => name::CANCEL,
            Command::Ping { .. } => name::PING,
            Command::Pong { .. } => name::PONG,
            Command::Other(view) => view.name,
        }
    }
}

impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name().escape_ascii())?;
        match self {
            Command::Ready { metadata } => write!(f, ", {} bytes of metadata", metadata.len()),
            Command::Error { reason } => write!(f, " \"{}\"", reason.escape_ascii()),
            Command::Subscribe { prefix } | Command::Cancel { prefix } => {
                write!(f, " \"{}\"", prefix.escape_ascii())
            }
            Command::Ping { ttl_ds, .. } => write!(f, ", TTL {ttl_ds} ds"),
            Command::Pong { .. } => Ok(()),
            Command::Other(view) => write!(f, ", {} bytes of data", view.data.len()),
        }
    }
}

/// Reads a subscription of ZMTP 3.0 and older, where it is a message: an octet 1 to subscribe
/// (`true`) or 0 to cancel (`false`), and the prefix. Any other message is `None`.
///
/// Only a publishing socket may ask: to any other, such a message is just a message.
#[inline]
pub fn legacy_subscription(body: &[u8]) -> Option<(bool, &[u8])> {
    match body {
        [1, prefix @ ..] => Some((true, prefix)),
        [0, prefix @ ..] => Some((false, prefix)),
        _ => None,
    }
}

/// Appends a subscription (`true`) or its cancellation as ZMTP 3.0 and 2.0 send it.
pub fn emit_legacy_subscription(subscribe: bool, prefix: &[u8], out: &mut Vec<u8>) {
    frame::append(0, &[&[u8::from(subscribe)], prefix], out);
}

fn emit_frame(name: &[u8], data: &[&[u8]], out: &mut Vec<u8>) {
    let name = cut(name, usize::from(u8::MAX));
    let length = [name.len() as u8];
    let (first, second) = match data {
        [] => (&[][..], &[][..]),
        [first] => (*first, &[][..]),
        [first, second, ..] => (*first, *second),
    };
    frame::append(frame::COMMAND, &[&length, name, first, second], out);
}

fn cut(bytes: &[u8], bytes_max: usize) -> &[u8] {
    bytes.get(..bytes_max).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emitted(command: Command<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        command.emit(&mut out);
        out
    }

    /// The body of the one frame in `wire`.
    fn body(wire: &[u8]) -> &[u8] {
        let header = frame::parse_header(wire).unwrap();
        assert_eq!(header.frame_bytes(), Some(wire.len()));
        assert!(header.is_command());
        &wire[header.header_bytes..]
    }

    #[test]
    fn golden_commands() {
        let other = CommandView { name: b"HELLO", data: b"!" };
        let table: [(Command<'_>, &[u8]); 9] = [
            (Command::Ready { metadata: b"" }, b"\x04\x06\x05READY"),
            (Command::Error { reason: b"no" }, b"\x04\x09\x05ERROR\x02no"),
            (Command::Subscribe { prefix: b"A" }, b"\x04\x0B\x09SUBSCRIBEA"),
            (Command::Subscribe { prefix: b"" }, b"\x04\x0A\x09SUBSCRIBE"),
            (Command::Cancel { prefix: b"A" }, b"\x04\x08\x06CANCELA"),
            (Command::Ping { ttl_ds: 0x0102, context: b"hi" }, b"\x04\x09\x04PING\x01\x02hi"),
            (Command::Ping { ttl_ds: 0, context: b"" }, b"\x04\x07\x04PING\0\0"),
            (Command::Pong { context: b"hi" }, b"\x04\x07\x04PONGhi"),
            (Command::Other(other), b"\x04\x07\x05HELLO!"),
        ];
        for (command, golden) in table {
            assert_eq!(emitted(command), golden, "{command}");
            assert_eq!(Command::parse(body(golden)), Ok(command));
        }
    }

    #[test]
    fn a_subscription_of_any_length_round_trips() {
        for length in [0, 244, 245, 246, 255, 256, 70_000] {
            let prefix = vec![b'p'; length];
            for command in
                [Command::Subscribe { prefix: &prefix }, Command::Cancel { prefix: &prefix }]
            {
                let wire = emitted(command);
                assert_eq!(Command::parse(body(&wire)), Ok(command));
                assert_eq!(wire[0], if wire.len() > 257 { 6 } else { 4 });
            }
        }
    }

    #[test]
    fn malformed_commands_are_refused() {
        let table: [&[u8]; 9] = [
            b"",
            b"\x00",
            b"\x00READY",
            b"\x01",
            b"\x06READY",
            b"\x04PING",
            b"\x04PING\0",
            b"\x05ERROR",
            b"\x05ERROR\x03no",
        ];
        for body in table {
            assert!(
                matches!(Command::parse(body), Err(ProtocolError::MalformedCommand { .. })),
                "{}",
                body.escape_ascii()
            );
        }
    }

    #[test]
    fn what_is_too_long_is_cut() {
        let long = [b'x'; 300];
        let wire = emitted(Command::Error { reason: &long });
        assert_eq!(Command::parse(body(&wire)), Ok(Command::Error { reason: &long[..255] }));
        let wire = emitted(Command::Ping { ttl_ds: 1, context: &long });
        assert_eq!(
            Command::parse(body(&wire)),
            Ok(Command::Ping { ttl_ds: 1, context: &long[..16] })
        );
        let wire = b"\x04PING\0\x0112345678901234567";
        assert_eq!(
            Command::parse(wire),
            Ok(Command::Ping { ttl_ds: 1, context: b"1234567890123456" })
        );
    }

    #[test]
    fn legacy_subscriptions() {
        assert_eq!(legacy_subscription(b"\x01A"), Some((true, &b"A"[..])));
        assert_eq!(legacy_subscription(b"\x00"), Some((false, &b""[..])));
        assert_eq!(legacy_subscription(b""), None);
        assert_eq!(legacy_subscription(b"\x02A"), None);
        let mut out = Vec::new();
        emit_legacy_subscription(true, b"A", &mut out);
        emit_legacy_subscription(false, b"", &mut out);
        assert_eq!(out, b"\x00\x02\x01A\x00\x01\x00");
    }

    #[test]
    fn commands_say_what_they_are() {
        assert_eq!(Command::Subscribe { prefix: b"a\n" }.to_string(), "SUBSCRIBE \"a\\n\"");
        assert_eq!(Command::Ping { ttl_ds: 5, context: b"" }.to_string(), "PING, TTL 5 ds");
    }
}
