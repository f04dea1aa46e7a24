//! The handshake with a peer before ZMTP 3.0, which ends with its identity frame.
//!
//! ```text
//!                peer sends                            we send
//!  ZMTP 2.0      signature, 1, socket type, identity   signature, 3, socket type, identity
//!  revision 0    the same, in frames of ZMTP 1.0       the same, in frames of ZMTP 1.0
//!  ZMTP 1.0      identity                              signature and the identity's body, which
//!                                                      together are an identity frame
//! ```
//!
//! Revision 0 was a pre-release of libzmq 3.

use super::config::Config;
use super::event::Peer;
use crate::wire::frame::{self, LARGE, MORE};
use crate::wire::frame_v1::{self, FrameLength};
use crate::wire::greeting::Version;
use crate::{ProtocolError, SocketType};

/// The longest identity, in bytes.
const IDENTITY_BYTES_MAX: usize = 255;

/// What is known of the peer while its identity frame is awaited.
#[derive(Debug)]
pub(super) struct OldPeer {
    version: Version,
    /// Whether the peer announced its version.
    greeted: bool,
    socket_type: Option<SocketType>,
    /// The start of its identity frame; never longer than a legal one.
    partial: Vec<u8>,
}

impl OldPeer {
    /// A peer that began with `start`, which no greeting begins with. What remains of our identity
    /// frame, of which it has the header, goes to `out`.
    pub fn without_greeting(start: &[u8], config: &Config, out: &mut Vec<u8>) -> OldPeer {
        out.extend_from_slice(identity(config));
        OldPeer {
            version: Version::V1_0,
            greeted: false,
            socket_type: None,
            partial: start.to_vec(),
        }
    }

    /// A peer that has announced its version. The rest of our greeting goes to `out`.
    pub fn with_greeting(version: Version, config: &Config, out: &mut Vec<u8>) -> OldPeer {
        let identity = identity(config);
        out.push(config.socket_type.number());
        if version == Version::V1_0 {
            frame_v1::append_header(false, identity.len(), out);
            out.extend_from_slice(identity);
        } else {
            frame::append(0, &[identity], out);
        }
        OldPeer { version, greeted: true, socket_type: None, partial: Vec::new() }
    }

    /// Takes what it awaits from `input`. The answer is how many bytes that were, and whether the
    /// identity is complete.
    pub fn take(&mut self, input: &[u8], config: &Config) -> Result<(usize, bool), ProtocolError> {
        let mut rest = input;
        if self.greeted && self.socket_type.is_none() {
            let Some((&number, after)) = rest.split_first() else { return Ok((0, false)) };
            self.socket_type = Some(check_socket_type(config.socket_type, number)?);
            rest = after;
        }
        let frame_bytes = loop {
            if let Some((header_bytes, body_bytes)) = self.identity_header()? {
                break header_bytes + body_bytes;
            }
            let Some((&octet, after)) = rest.split_first() else {
                return Ok((input.len(), false));
            };
            self.partial.push(octet);
            rest = after;
        };
        let missing = frame_bytes.saturating_sub(self.partial.len());
        let (body, rest) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
        self.partial.extend_from_slice(body);
        Ok((input.len() - rest.len(), body.len() == missing))
    }

    /// The peer, once its identity is complete.
    pub fn finish(self) -> Result<Peer, ProtocolError> {
        let (header_bytes, _) = self.identity_header()?.unwrap_or_default();
        let identity = self.partial.get(header_bytes..).unwrap_or_default();
        // RFC 13: "Identities SHOULD NOT start with a zero octet [...] Peers MAY reject identities".
        if identity.first() == Some(&0) {
            return Err(ProtocolError::IdentityReserved);
        }
        Ok(Peer {
            version: self.version,
            forwards_subscriptions: self.greeted,
            as_server: false,
            socket_type: self.socket_type,
            identity: identity.to_vec(),
            metadata: Vec::new(),
        })
    }

    /// The lengths of the identity frame's header and body, as soon as the header is complete.
    fn identity_header(&self) -> Result<Option<(usize, usize)>, ProtocolError> {
        let lengths = if self.version == Version::V1_0 {
            self.identity_header_v1()?
        } else {
            self.identity_header_v2()?
        };
        match lengths {
            None => Ok(None),
            Some((header_bytes, flags, body_bytes)) => {
                if flags & MORE != 0 {
                    return Err(ProtocolError::IdentityInParts);
                }
                Ok(Some((header_bytes, body_bytes)))
            }
        }
    }

    fn identity_header_v1(&self) -> Result<Option<(usize, u8, usize)>, ProtocolError> {
        let length = FrameLength::parse(&self.partial).map_err(|error| match error {
            ProtocolError::LengthZero => self.doubt(error),
            error => error,
        })?;
        let Some(length) = length else { return Ok(None) };
        let body_bytes = check_identity_bytes(length.body_bytes)?;
        let Some(&flags) = self.partial.get(length.length_bytes) else { return Ok(None) };
        // RFC 13: "The flags octet of an identity frame SHALL not be validated". But the peers there
        // are set it to zero, and with it other protocols are told apart.
        frame_v1::check_flags(flags).map_err(|error| self.doubt(error))?;
        Ok(Some((length.header_bytes(), flags, body_bytes)))
    }

    fn identity_header_v2(&self) -> Result<Option<(usize, u8, usize)>, ProtocolError> {
        let Some(&flags) = self.partial.first() else { return Ok(None) };
        check_flags_v2(flags)?;
        let Some(header) = frame::parse_header(&self.partial) else { return Ok(None) };
        let body_bytes = check_identity_bytes(header.body_bytes)?;
        Ok(Some((header.header_bytes, flags, body_bytes)))
    }

    /// What is wrong with the very first bytes of a stream shows that it is another protocol's.
    fn doubt(&self, error: ProtocolError) -> ProtocolError {
        if self.greeted { error } else { ProtocolError::NotZmtp { start: self.partial.clone() } }
    }
}

/// The version that a greeting's revision, 0 to 2, stands for.
pub(super) fn version_of(revision: u8) -> Version {
    // libzmq says 0 for its implementation of ZMTP 1.0 and 1 for 2.0; RFC 37: "If this is 1 or 2, we
    // have a ZMTP 2.0 peer."
    if revision == 0 { Version::V1_0 } else { Version::V2_0 }
}

/// Refuses flags that ZMTP 2.0 does not have, COMMAND among them.
pub(super) fn check_flags_v2(flags: u8) -> Result<(), ProtocolError> {
    // RFC 15: "Bits 2-7 are reserved for future use and MUST be zero."
    let reserved = !(MORE | LARGE);
    if flags & reserved != 0 {
        return Err(ProtocolError::ReservedFlags { flags, reserved });
    }
    Ok(())
}

/// libzmq takes any type. RFC 15: "SHOULD enforce".
fn check_socket_type(ours: SocketType, number: u8) -> Result<SocketType, ProtocolError> {
    let theirs = SocketType::from_number(number)
        .ok_or_else(|| ProtocolError::UnknownSocketType { name: number.to_string().into() })?;
    if !ours.compatible_with(theirs) {
        return Err(ProtocolError::IncompatibleSocketType { ours, theirs });
    }
    Ok(theirs)
}

fn check_identity_bytes(body_bytes: u64) -> Result<usize, ProtocolError> {
    match usize::try_from(body_bytes) {
        Ok(body_bytes) if body_bytes <= IDENTITY_BYTES_MAX => Ok(body_bytes),
        length => {
            Err(ProtocolError::IdentityTooLong { length_bytes: length.unwrap_or(usize::MAX) })
        }
    }
}

/// Our identity; what a caller set beyond the limit is cut off.
pub(super) fn identity(config: &Config) -> &[u8] {
    config.identity.get(..IDENTITY_BYTES_MAX).unwrap_or(&config.identity)
}
