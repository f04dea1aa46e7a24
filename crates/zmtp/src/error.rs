//! What can go wrong on a connection.

use std::fmt;

use crate::SocketType;
use crate::wire::greeting::{MechanismName, Version};

/// Why a connection cannot go on.
///
/// After one of these the connection stays failed: every later call answers with the same error,
/// and all that is left to do is to close the stream. Each value carries what arrived; its
/// `Display` adds what was expected, with a peer's bytes escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProtocolError {
    /// The peer speaks a version of ZMTP before 3.0, which knows no security, and this end insists
    /// on its mechanism.
    UnsupportedVersion {
        /// What the peer speaks; 1.0 also when it announced no version at all.
        version: Version,
    },
    /// The first bytes are neither a greeting nor the identity frame of ZMTP 1.0.
    NotZmtp {
        /// The bytes that show it.
        start: Vec<u8>,
    },
    /// The peer announced another security mechanism than ours.
    MechanismMismatch {
        /// The mechanism of this end.
        ours: MechanismName,
        /// The mechanism that the peer announced.
        theirs: MechanismName,
    },
    /// A frame with one of the reserved flag bits set.
    ReservedFlags {
        /// The flags octet.
        flags: u8,
        /// The bits that the peer's version of ZMTP reserves.
        reserved: u8,
    },
    /// A command frame that announces more parts.
    MoreOnCommand,
    /// A frame length of 2^63 or more.
    LengthOverflow {
        /// The announced length in bytes.
        length_bytes: u64,
    },
    /// A ZMTP 1.0 frame without room for its flags.
    LengthZero,
    /// A message frame longer than [`message_bytes_max`](crate::Limits::message_bytes_max).
    MessageTooLong {
        /// The announced length in bytes.
        length_bytes: u64,
        /// The limit in bytes.
        limit_bytes: u64,
    },
    /// A command longer than [`command_bytes_max`](crate::Limits::command_bytes_max).
    CommandTooLong {
        /// The announced length in bytes.
        length_bytes: u64,
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// A message frame before the handshake was over.
    MessageInHandshake,
    /// A command that has no place at this point of the handshake.
    UnexpectedCommand {
        /// The command's name.
        name: Vec<u8>,
        /// What was expected.
        expected: &'static str,
    },
    /// A command that breaks the grammar of its kind.
    MalformedCommand {
        /// The command, as far as it could be made out.
        command: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// The peer refused us with an ERROR command.
    RefusedByPeer {
        /// The peer's reason.
        reason: Vec<u8>,
    },
    /// Metadata longer than [`metadata_bytes_max`](crate::Limits::metadata_bytes_max).
    MetadataTooLong {
        /// The length in bytes.
        length_bytes: usize,
        /// The limit in bytes.
        limit_bytes: usize,
    },
    /// Metadata that ends within a property.
    MetadataTruncated,
    /// A metadata property with an empty name.
    MetadataNameEmpty,
    /// Two metadata properties of one name.
    MetadataDuplicate {
        /// The name, as the second one spelt it.
        name: Vec<u8>,
    },
    /// A `Socket-Type` that this crate does not know.
    UnknownSocketType {
        /// What the peer announced.
        name: Vec<u8>,
    },
    /// A `Socket-Type` that may not talk to ours.
    IncompatibleSocketType {
        /// The type of this end.
        ours: SocketType,
        /// The type that the peer announced.
        theirs: SocketType,
    },
    /// An identity of more than 255 bytes.
    IdentityTooLong {
        /// Its length in bytes.
        length_bytes: usize,
    },
    /// An identity that starts with a zero byte, which is reserved.
    IdentityReserved,
    /// An identity frame, of ZMTP 2.0 or older, that announces more parts.
    IdentityInParts,
    /// Both ends say that they are the server of the handshake, so that none would begin.
    BothServers,
    /// Something sealed that does not open, in the handshake or behind it: it was made with another
    /// key than the one that is expected of the peer, or changed on its way.
    Unauthentic,
    /// The peer could not vouch for the keys that it uses: it has copied the long-term key that it
    /// shows, or means another server.
    KeyExchange,
    /// A sealed command whose counter is not higher than the one before: it has been sent before.
    Replayed {
        /// The counter.
        counter: u64,
        /// The last one.
        last: u64,
    },
    /// The caller refused the peer with [`Connection::error`](crate::Connection::error).
    RefusedByUs {
        /// The caller's reason.
        reason: Vec<u8>,
    },
    /// The caller asked for traffic before the handshake was over.
    NotReady,
}

/// Who has to change for an error to go away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Culprit {
    /// The peer broke the protocol, or is not compatible.
    Peer,
    /// The program that calls this crate.
    Caller,
}

impl ProtocolError {
    /// Who has to change for this error to go away.
    pub fn culprit(&self) -> Culprit {
        match self {
            ProtocolError::RefusedByUs { .. } | ProtocolError::NotReady => Culprit::Caller,
            _ => Culprit::Peer,
        }
    }
}

impl std::error::Error for ProtocolError {}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use ProtocolError::*;
        match self {
            UnsupportedVersion { version } => {
                write!(
                    f,
                    "peer speaks ZMTP {version}, which has no security, expected 3.0 or later"
                )
            }
            NotZmtp { start } => {
                write!(f, "peer does not speak ZMTP: it began with \"{}\"", start.escape_ascii())
            }
            MechanismMismatch { ours, theirs } => {
                write!(f, "peer announced the security mechanism \"{theirs}\", expected \"{ours}\"")
            }
            ReservedFlags { flags, reserved } => write!(
                f,
                "peer sent a frame with flags {flags:#04x}, expected bits {} to 7 to be zero",
                reserved.trailing_zeros()
            ),
            MoreOnCommand => f.write_str(
                "peer sent a command that announces more parts, expected a single frame",
            ),
            LengthOverflow { length_bytes } => {
                write!(f, "peer announced a frame of {length_bytes} bytes, expected less than 2^63")
            }
            LengthZero => {
                f.write_str("peer sent a ZMTP 1.0 frame of length 0, expected 1 for the flags")
            }
            MessageTooLong { length_bytes, limit_bytes } => write!(
                f,
                "peer announced a message part of {length_bytes} bytes, expected at most {limit_bytes}"
            ),
            CommandTooLong { length_bytes, limit_bytes } => write!(
                f,
                "peer announced a command of {length_bytes} bytes, expected at most {limit_bytes}"
            ),
            MessageInHandshake => {
                f.write_str("peer sent a message during the handshake, expected a command")
            }
            UnexpectedCommand { name, expected } => {
                write!(f, "peer sent the command \"{}\", expected {expected}", name.escape_ascii())
            }
            MalformedCommand { command, fault } => {
                write!(f, "peer sent a malformed {command} command: {fault}")
            }
            RefusedByPeer { reason } => {
                write!(f, "peer refused the connection: \"{}\"", reason.escape_ascii())
            }
            MetadataTooLong { length_bytes, limit_bytes } => {
                write!(
                    f,
                    "peer sent {length_bytes} bytes of metadata, expected at most {limit_bytes}"
                )
            }
            MetadataTruncated => f.write_str("peer sent metadata that ends within a property"),
            MetadataNameEmpty => f.write_str(
                "peer sent a metadata property without a name, expected 1 to 255 characters",
            ),
            MetadataDuplicate { name } => {
                write!(f, "peer sent the metadata property \"{}\" twice", name.escape_ascii())
            }
            UnknownSocketType { name } => {
                write!(f, "peer announced the unknown socket type \"{}\"", name.escape_ascii())
            }
            IncompatibleSocketType { ours, theirs } => {
                write!(f, "peer is a {theirs} socket, which does not talk to a {ours} socket")
            }
            IdentityTooLong { length_bytes } => {
                write!(
                    f,
                    "peer announced an identity of {length_bytes} bytes, expected at most 255"
                )
            }
            IdentityReserved => f.write_str(
                "peer announced an identity that starts with a zero byte, which is reserved",
            ),
            IdentityInParts => f.write_str(
                "peer sent an identity that announces more parts, expected a single frame",
            ),
            BothServers => {
                f.write_str("peer is the server of the security handshake, expected a client")
            }
            Unauthentic => f.write_str(
                "peer sent something that does not open: it was sealed with another key or changed",
            ),
            KeyExchange => f.write_str("peer does not vouch for the keys that it uses"),
            Replayed { counter, last } => write!(
                f,
                "peer sent the counter {counter}, expected more than {last}: something was replayed"
            ),
            RefusedByUs { reason } => {
                write!(f, "the peer was refused: \"{}\"", reason.escape_ascii())
            }
            NotReady => f.write_str("caller asked for traffic before the handshake was over"),
        }
    }
}
