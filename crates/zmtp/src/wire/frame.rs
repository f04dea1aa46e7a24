//! Frames: what follows the greeting, in both directions.
//!
//! ```text
//!   0       1                    0       1..9
//! +-------+--------+------+    +-------+-------------------+------+
//! | flags | length | body |    | flags | length, big-endian| body |
//! +-------+--------+------+    +-------+-------------------+------+
//!  short: LARGE is 0            long: LARGE is 1
//! ```
//!
//! A body of up to 255 octets is sent in the short form. The long form is accepted for any length,
//! as libzmq does.

use std::fmt;

use crate::ProtocolError;

/// Flag: another part of the same message follows.
pub const MORE: u8 = 0b001;
/// Flag: the length takes eight octets.
pub const LARGE: u8 = 0b010;
/// Flag: a command, not a part of a message.
pub const COMMAND: u8 = 0b100;
/// The flags that have to be zero.
pub const RESERVED: u8 = !(MORE | LARGE | COMMAND);

/// Octets in the longest header.
pub const HEADER_BYTES_MAX: usize = 9;
/// Octets in the header of a short frame.
pub const HEADER_BYTES_SHORT: usize = 2;
/// The longest body of a short frame, in octets.
pub const SHORT_BYTES_MAX: usize = 255;

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHeader {
    /// The flags octet, unchecked.
    pub flags: u8,
    /// Octets in the header: 2 or 9.
    pub header_bytes: usize,
    /// Octets in the body, as announced.
    pub body_bytes: u64,
}

impl FrameHeader {
    /// The header of a frame with these `flags`, in the shortest form; `LARGE` is set to fit.
    #[inline]
    pub const fn new(flags: u8, body_bytes: u64) -> FrameHeader {
        if body_bytes <= SHORT_BYTES_MAX as u64 {
            FrameHeader { flags: flags & !LARGE, header_bytes: HEADER_BYTES_SHORT, body_bytes }
        } else {
            FrameHeader { flags: flags | LARGE, header_bytes: HEADER_BYTES_MAX, body_bytes }
        }
    }

    /// Whether another part of the same message follows.
    #[inline]
    pub const fn more(&self) -> bool {
        self.flags & MORE != 0
    }

    /// Whether this is a command.
    #[inline]
    pub const fn is_command(&self) -> bool {
        self.flags & COMMAND != 0
    }

    /// Octets in the header and the body together; `None` beyond what memory can address.
    #[inline]
    pub fn frame_bytes(&self) -> Option<usize> {
        usize::try_from(self.body_bytes).ok()?.checked_add(self.header_bytes)
    }

    /// Refuses what the grammar forbids: reserved flags, MORE on a command, lengths from 2^63 on.
    ///
    /// # Errors
    ///
    /// One of [`ReservedFlags`](ProtocolError::ReservedFlags),
    /// [`MoreOnCommand`](ProtocolError::MoreOnCommand) and
    /// [`LengthOverflow`](ProtocolError::LengthOverflow).
    pub fn check(&self) -> Result<(), ProtocolError> {
        check_flags(self.flags)?;
        // "A long frame has a body of 0 to 2^63-1 octets."
        if self.body_bytes > i64::MAX as u64 {
            return Err(ProtocolError::LengthOverflow { length_bytes: self.body_bytes });
        }
        Ok(())
    }

    /// Writes the header; the answer is how many octets of `out` are part of it.
    ///
    /// The inverse of [`parse_header`]: the form is the one that `flags` says.
    #[inline]
    pub fn emit(&self, out: &mut [u8; HEADER_BYTES_MAX]) -> usize {
        let [flags, length @ ..] = out;
        *flags = self.flags;
        if self.flags & LARGE == 0 {
            // A short header cannot say more than this; `new` never makes one that would have to.
            length[0] = self.body_bytes.min(SHORT_BYTES_MAX as u64) as u8;
            HEADER_BYTES_SHORT
        } else {
            *length = self.body_bytes.to_be_bytes();
            HEADER_BYTES_MAX
        }
    }
}

impl fmt::Display for FrameHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_command() { "command" } else { "message part" };
        let more = if self.more() { ", more to follow" } else { "" };
        write!(f, "{kind} of {} bytes{more}", self.body_bytes)
    }
}

/// Reads the header at the start of `input`; `None` if it is not complete.
///
/// Nothing is checked: see [`FrameHeader::check`].
#[inline]
pub fn parse_header(input: &[u8]) -> Option<FrameHeader> {
    let (&flags, rest) = input.split_first()?;
    if flags & LARGE == 0 {
        let &length = rest.first()?;
        Some(FrameHeader { flags, header_bytes: HEADER_BYTES_SHORT, body_bytes: u64::from(length) })
    } else {
        let length = rest.first_chunk()?;
        Some(FrameHeader {
            flags,
            header_bytes: HEADER_BYTES_MAX,
            body_bytes: u64::from_be_bytes(*length),
        })
    }
}

/// Writes the header of a part of a message; the answer is how many octets of `out` it takes.
#[inline]
pub fn write_header(more: bool, body_bytes: usize, out: &mut [u8; HEADER_BYTES_MAX]) -> usize {
    FrameHeader::new(u8::from(more) * MORE, body_bytes as u64).emit(out)
}

/// Refuses a flags octet that the grammar forbids; it is enough to have seen the first octet.
///
/// # Errors
///
/// [`ReservedFlags`](ProtocolError::ReservedFlags) or
/// [`MoreOnCommand`](ProtocolError::MoreOnCommand). libzmq looks at neither; we take them for the
/// sign of a broken stream, as RFC 37 says MUST and SHALL.
#[inline]
pub fn check_flags(flags: u8) -> Result<(), ProtocolError> {
    if flags & RESERVED != 0 {
        // "Bits 7-3 are reserved for future use and MUST be zero."
        return Err(ProtocolError::ReservedFlags { flags, reserved: RESERVED });
    }
    if flags & (COMMAND | MORE) == COMMAND | MORE {
        // "This bit SHALL be zero on command frames."
        return Err(ProtocolError::MoreOnCommand);
    }
    Ok(())
}

/// Appends a whole frame whose body is `parts`, one after the other.
pub(crate) fn append(flags: u8, parts: &[&[u8]], out: &mut Vec<u8>) {
    let body_bytes: usize = parts.iter().map(|part| part.len()).sum();
    let mut header = [0; HEADER_BYTES_MAX];
    let header_bytes = FrameHeader::new(flags, body_bytes as u64).emit(&mut header);
    out.reserve(header_bytes + body_bytes);
    out.extend(header.iter().take(header_bytes));
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_headers() {
        let table: [(bool, usize, &[u8]); 6] = [
            (false, 0, b"\x00\x00"),
            (true, 0, b"\x01\x00"),
            (false, 255, b"\x00\xFF"),
            (false, 256, b"\x02\0\0\0\0\0\0\x01\x00"),
            (true, 256, b"\x03\0\0\0\0\0\0\x01\x00"),
            (false, 0x0102_0304_0506_0708, b"\x02\x01\x02\x03\x04\x05\x06\x07\x08"),
        ];
        for (more, length, golden) in table {
            let mut out = [0xAA; HEADER_BYTES_MAX];
            let written = write_header(more, length, &mut out);
            assert_eq!(&out[..written], golden);
            let header = parse_header(golden).unwrap();
            assert_eq!(header, FrameHeader::new(u8::from(more), length as u64));
            assert_eq!(header.check(), Ok(()));
        }
    }

    #[test]
    fn every_header_is_emitted_as_it_was_parsed() {
        for flags in 0..=u8::MAX {
            for length in [0u64, 1, 255, 256, 1 << 32, u64::MAX] {
                let mut wire = vec![flags];
                if flags & LARGE == 0 {
                    wire.push(length as u8);
                } else {
                    wire.extend(length.to_be_bytes());
                }
                let header = parse_header(&wire).unwrap();
                let mut out = [0; HEADER_BYTES_MAX];
                let written = header.emit(&mut out);
                assert_eq!(out[..written], wire);
                for cut in 0..wire.len() {
                    assert_eq!(parse_header(&wire[..cut]), None);
                }
            }
        }
    }

    #[test]
    fn forbidden_headers_are_refused() {
        for flags in 0..=u8::MAX {
            let allowed = matches!(flags, 0..=4 | 6);
            assert_eq!(check_flags(flags).is_ok(), allowed, "{flags:#x}");
        }
        let header = FrameHeader::new(0, 1 << 63);
        assert_eq!(header.check(), Err(ProtocolError::LengthOverflow { length_bytes: 1 << 63 }));
        assert_eq!(FrameHeader::new(0, (1 << 63) - 1).check(), Ok(()));
        assert_eq!(FrameHeader::new(0, u64::MAX).frame_bytes(), None);
    }

    #[test]
    fn append_chooses_the_shortest_form() {
        let mut out = Vec::new();
        append(COMMAND, &[b"ab", b"", b"c"], &mut out);
        assert_eq!(out, b"\x04\x03abc");
        out.clear();
        append(COMMAND, &[&[7; 256]], &mut out);
        assert_eq!(out[..9], *b"\x06\0\0\0\0\0\0\x01\0");
        assert_eq!(out.len(), 265);
    }

    #[test]
    fn headers_say_what_they_are() {
        assert_eq!(
            FrameHeader::new(MORE, 3).to_string(),
            "message part of 3 bytes, more to follow"
        );
        assert_eq!(FrameHeader::new(COMMAND, 300).to_string(), "command of 300 bytes");
    }
}
