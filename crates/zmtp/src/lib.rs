//! ZMTP, the wire protocol of ØMQ, without I/O: bytes in, events out.
//!
//! This crate knows nothing of sockets, threads, clocks or random numbers. A caller owns the
//! stream and hands its bytes to a [`Connection`]; the connection says what they mean and which
//! bytes to send back. It speaks ZMTP 3.1 and 3.0 ([RFC 37], [RFC 23]), and with older peers, which
//! know no security, 2.0 and 1.0 ([RFC 15], [RFC 13]).
//!
//! * [`wire`]: the formats, one module each: greeting, frame, command, metadata.
//! * [`mechanism`]: what happens between the greeting and the first message.
//! * [`connection`]: the state machine that puts both together.
//!
//! No input makes anything in this crate panic, and nothing is allocated on a peer's word: a
//! length that has been announced but not sent costs nothing.
//!
//! Two peers, without a network between them:
//!
//! ```
//! use oxmq_zmtp::{Config, Connection, Decoded, SocketType, wire::frame};
//!
//! let mut push = Connection::new(Config::new(SocketType::Push));
//! let mut pull = Connection::new(Config::new(SocketType::Pull));
//! while !(push.is_ready() && pull.is_ready()) {
//!     let mut bytes = Vec::new();
//!     push.poll_transmit(&mut bytes);
//!     pull.handle_handshake(&bytes)?;
//!     bytes.clear();
//!     pull.poll_transmit(&mut bytes);
//!     push.handle_handshake(&bytes)?;
//! }
//!
//! let mut header = [0; frame::HEADER_BYTES_MAX];
//! let header_bytes = frame::write_header(false, 5, &mut header);
//! let stream = [&header[..header_bytes], b"hello"].concat();
//! assert_eq!(
//!     pull.decode(&stream)?,
//!     Decoded::Message { more: false, body: b"hello", consumed: 7 },
//! );
//! # Ok::<(), oxmq_zmtp::ProtocolError>(())
//! ```
//!
//! [RFC 13]: https://rfc.zeromq.org/spec/13/
//! [RFC 15]: https://rfc.zeromq.org/spec/15/
//! [RFC 23]: https://rfc.zeromq.org/spec/23/
//! [RFC 37]: https://rfc.zeromq.org/spec/37/
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable
    )
)]

pub mod connection;
mod error;
pub mod mechanism;
mod socket_type;
pub mod wire;

pub use connection::{Config, Connection, Decoded, Event, Limits, Opened, Peer};
pub use error::{Culprit, ProtocolError};
pub use mechanism::Mechanism;
pub use socket_type::SocketType;
pub use wire::greeting::{MechanismName, Version};
