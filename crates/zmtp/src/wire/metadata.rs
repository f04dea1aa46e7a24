//! Metadata: the properties that peers tell each other at the end of the handshake.
//!
//! ```text
//!   0             1..1+n   1+n..5+n              5+n..5+n+v
//! +-------------+--------+---------------------+-------+
//! | n: 1 to 255 | name   | v, big-endian, < 2^31| value |    once per property
//! +-------------+--------+---------------------+-------+
//! ```

use std::collections::BTreeSet;
use std::fmt;

use crate::ProtocolError;

/// The property that names the sender's socket type.
pub const SOCKET_TYPE: &[u8] = b"Socket-Type";
/// The property that holds the sender's identity.
pub const IDENTITY: &[u8] = b"Identity";

/// The longest name of a property, in octets.
pub const NAME_BYTES_MAX: usize = 255;
/// The longest value of a property, in octets.
pub const VALUE_BYTES_MAX: usize = i32::MAX as usize;

/// One property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Property<'a> {
    /// The name; upper and lower case are the same.
    pub name: &'a [u8],
    /// The value.
    pub value: &'a [u8],
}

impl<'a> Property<'a> {
    /// Reads the property at the start of `bytes`, and says what follows it.
    ///
    /// # Errors
    ///
    /// [`MetadataNameEmpty`](ProtocolError::MetadataNameEmpty) or
    /// [`MetadataTruncated`](ProtocolError::MetadataTruncated); a length from 2^31 on is truncated,
    /// too, since no command is that long.
    pub fn parse(bytes: &'a [u8]) -> Result<(Property<'a>, &'a [u8]), ProtocolError> {
        let (&name_bytes, rest) = bytes.split_first().ok_or(ProtocolError::MetadataTruncated)?;
        if name_bytes == 0 {
            // "The name SHALL be 1 to 255 characters. Zero-sized names are not valid."
            return Err(ProtocolError::MetadataNameEmpty);
        }
        let (name, rest) = rest
            .split_at_checked(usize::from(name_bytes))
            .ok_or(ProtocolError::MetadataTruncated)?;
        let (value_bytes, rest) =
            rest.split_first_chunk().ok_or(ProtocolError::MetadataTruncated)?;
        let (value, rest) = usize::try_from(u32::from_be_bytes(*value_bytes))
            .ok()
            .filter(|&value_bytes| value_bytes <= VALUE_BYTES_MAX)
            .and_then(|value_bytes| rest.split_at_checked(value_bytes))
            .ok_or(ProtocolError::MetadataTruncated)?;
        Ok((Property { name, value }, rest))
    }

    /// Appends the property; `false` and nothing appended if its name or value has no legal length.
    pub fn emit(&self, out: &mut Vec<u8>) -> bool {
        let Ok(name_bytes) = u8::try_from(self.name.len()) else { return false };
        if name_bytes == 0 || self.value.len() > VALUE_BYTES_MAX {
            return false;
        }
        out.push(name_bytes);
        out.extend_from_slice(self.name);
        out.extend_from_slice(&(self.value.len() as u32).to_be_bytes());
        out.extend_from_slice(self.value);
        true
    }
}

impl fmt::Display for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.escape_ascii(), self.value.escape_ascii())
    }
}

/// All properties of a peer: each name once, names not empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata(Vec<(Vec<u8>, Vec<u8>)>);

impl Metadata {
    /// Reads a sequence of properties to its end.
    ///
    /// # Errors
    ///
    /// [`MetadataTooLong`](ProtocolError::MetadataTooLong) above `bytes_max`,
    /// [`MetadataDuplicate`](ProtocolError::MetadataDuplicate) for two properties of one name in any
    /// case, and the errors of [`Property::parse`].
    pub fn parse(mut bytes: &[u8], bytes_max: usize) -> Result<Metadata, ProtocolError> {
        if bytes.len() > bytes_max {
            return Err(ProtocolError::MetadataTooLong {
                length_bytes: bytes.len(),
                limit_bytes: bytes_max,
            });
        }
        let mut properties = Vec::new();
        // A set, because a peer may send ten thousand names and comparing each pair is slow.
        let mut names = BTreeSet::new();
        while !bytes.is_empty() {
            let (property, rest) = Property::parse(bytes)?;
            if !names.insert(property.name.to_ascii_lowercase()) {
                return Err(ProtocolError::MetadataDuplicate { name: property.name.to_vec() });
            }
            properties.push((property.name.to_vec(), property.value.to_vec()));
            bytes = rest;
        }
        Ok(Metadata(properties))
    }

    /// Appends all properties.
    pub fn emit(&self, out: &mut Vec<u8>) {
        for (name, value) in &self.0 {
            Property { name, value }.emit(out);
        }
    }

    /// The value of the property `name`, in any case.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let (_, value) = self.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value)
    }

    /// The properties as names and values, in the order of the wire.
    pub fn into_properties(self) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.0
    }
}

impl fmt::Display for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{}", Property { name, value })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 16;
    const GOLDEN: &[u8] = b"\x0BSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\0\0";

    #[test]
    fn golden_metadata_round_trips() {
        let metadata = Metadata::parse(GOLDEN, LIMIT).unwrap();
        assert_eq!(metadata.get(SOCKET_TYPE), Some(&b"DEALER"[..]));
        assert_eq!(metadata.get(b"identity"), Some(&b""[..]));
        assert_eq!(metadata.get(b"X-Other"), None);
        assert_eq!(metadata.to_string(), "Socket-Type: DEALER, Identity: ");
        let mut out = Vec::new();
        metadata.emit(&mut out);
        assert_eq!(out, GOLDEN);
    }

    #[test]
    fn nothing_is_metadata_too() {
        assert_eq!(Metadata::parse(b"", LIMIT), Ok(Metadata::default()));
    }

    #[test]
    fn every_cut_within_a_property_is_truncated() {
        for cut in 1..GOLDEN.len() {
            let expected = if cut == 22 { Ok(1) } else { Err(ProtocolError::MetadataTruncated) };
            let parsed = Metadata::parse(&GOLDEN[..cut], LIMIT);
            assert_eq!(parsed.map(|metadata| metadata.into_properties().len()), expected, "{cut}");
        }
    }

    #[test]
    fn bad_metadata_is_refused() {
        let table: [(&[u8], ProtocolError); 5] = [
            (b"\0\0\0\0\0", ProtocolError::MetadataNameEmpty),
            (b"\x01A\xFF\xFF\xFF\xFF", ProtocolError::MetadataTruncated),
            (b"\x01A\x80\0\0\0", ProtocolError::MetadataTruncated),
            (b"\x01A\0\0\0\x02x", ProtocolError::MetadataTruncated),
            (
                b"\x01A\0\0\0\0\x01a\0\0\0\0",
                ProtocolError::MetadataDuplicate { name: b"a".to_vec() },
            ),
        ];
        for (bytes, error) in table {
            assert_eq!(Metadata::parse(bytes, LIMIT), Err(error));
        }
        assert_eq!(
            Metadata::parse(GOLDEN, GOLDEN.len() - 1),
            Err(ProtocolError::MetadataTooLong {
                length_bytes: GOLDEN.len(),
                limit_bytes: GOLDEN.len() - 1
            })
        );
        assert!(Metadata::parse(GOLDEN, GOLDEN.len()).is_ok());
    }

    #[test]
    fn a_property_without_a_legal_length_is_not_emitted() {
        let mut out = Vec::new();
        assert!(!Property { name: b"", value: b"x" }.emit(&mut out));
        assert!(!Property { name: &[b'n'; 256], value: b"x" }.emit(&mut out));
        assert!(out.is_empty());
        assert!(Property { name: &[b'n'; 255], value: b"x" }.emit(&mut out));
        assert_eq!(out.len(), 1 + 255 + 4 + 1);
    }
}
