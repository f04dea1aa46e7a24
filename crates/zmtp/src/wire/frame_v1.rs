//! Frames of ZMTP 1.0: the length comes first, and counts the flags that follow it.
//!
//! ```text
//!   0            1       2             0    1..9          9       10
//! +------------+-------+------+      +----+-------------+-------+------+
//! | length, < FF| flags | body |     | FF | length, b.e.| flags | body |
//! +------------+-------+------+      +----+-------------+-------+------+
//! ```
//!
//! The only flag is [`MORE`]. The long form is accepted for any length, as libzmq does.

use std::fmt;

use super::frame::MORE;
use crate::ProtocolError;

/// The flags that have to be zero.
pub const RESERVED: u8 = !MORE;
/// Octets in the longest header, the flags included.
pub const HEADER_BYTES_MAX: usize = 10;
/// The longest body of a short frame, in octets.
pub const SHORT_BYTES_MAX: usize = 253;

/// A first octet that says that the length takes the eight that follow.
const LONG: u8 = 0xFF;

/// The length at the start of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameLength {
    /// Octets in the length itself: 1 or 9. The flags follow it.
    pub length_bytes: usize,
    /// Octets in the body, as announced: without the flags.
    pub body_bytes: u64,
}

impl FrameLength {
    /// Reads the length at the start of `input`; `None` if it is not complete.
    ///
    /// # Errors
    ///
    /// [`LengthZero`](ProtocolError::LengthZero) when it leaves no place for the flags, and
    /// [`LengthOverflow`](ProtocolError::LengthOverflow) from 2^63 on.
    pub fn parse(input: &[u8]) -> Result<Option<FrameLength>, ProtocolError> {
        let (length_bytes, length) = match input {
            [] => return Ok(None),
            [LONG, rest @ ..] => match rest.first_chunk() {
                Some(length) => (9, u64::from_be_bytes(*length)),
                None => return Ok(None),
            },
            [length, ..] => (1, u64::from(*length)),
        };
        if length > i64::MAX as u64 {
            return Err(ProtocolError::LengthOverflow { length_bytes: length });
        }
        let body_bytes = length.checked_sub(1).ok_or(ProtocolError::LengthZero)?;
        Ok(Some(FrameLength { length_bytes, body_bytes }))
    }

    /// Octets in the length and the flags together.
    pub const fn header_bytes(&self) -> usize {
        self.length_bytes + 1
    }

    /// Octets in the whole frame; `None` beyond what memory can address.
    pub fn frame_bytes(&self) -> Option<usize> {
        usize::try_from(self.body_bytes).ok()?.checked_add(self.header_bytes())
    }
}

impl fmt::Display for FrameLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZMTP 1.0 frame of {} bytes", self.body_bytes)
    }
}

/// Refuses a flags octet that the grammar forbids.
///
/// # Errors
///
/// [`ReservedFlags`](ProtocolError::ReservedFlags). libzmq does not look at them.
pub fn check_flags(flags: u8) -> Result<(), ProtocolError> {
    if flags & RESERVED != 0 {
        return Err(ProtocolError::ReservedFlags { flags, reserved: RESERVED });
    }
    Ok(())
}

/// Writes the header of a part of a message, in the shortest form; the answer is how many octets
/// of `out` it takes.
pub fn write_header(more: bool, body_bytes: usize, out: &mut [u8; HEADER_BYTES_MAX]) -> usize {
    let flags = u8::from(more) * MORE;
    // No overflow: nothing in memory is that long.
    let length = (body_bytes as u64).saturating_add(1);
    if body_bytes <= SHORT_BYTES_MAX {
        let [short, second, ..] = out;
        *short = length as u8;
        *second = flags;
        2
    } else {
        let [long, octets @ .., last] = out;
        *long = LONG;
        *octets = length.to_be_bytes();
        *last = flags;
        HEADER_BYTES_MAX
    }
}

/// Appends the header of a part of a message.
pub fn append_header(more: bool, body_bytes: usize, out: &mut Vec<u8>) {
    let mut header = [0; HEADER_BYTES_MAX];
    let header_bytes = write_header(more, body_bytes, &mut header);
    out.extend(header.iter().take(header_bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_headers() {
        let table: [(bool, usize, &[u8]); 7] = [
            (false, 0, b"\x01\x00"),
            (true, 0, b"\x01\x01"),
            (false, 1, b"\x02\x00"),
            (false, 253, b"\xFE\x00"),
            (false, 254, b"\xFF\0\0\0\0\0\0\0\xFF\x00"),
            (true, 255, b"\xFF\0\0\0\0\0\0\x01\x00\x01"),
            (false, 65536, b"\xFF\0\0\0\0\0\x01\0\x01\x00"),
        ];
        for (more, body_bytes, golden) in table {
            let mut out = Vec::new();
            append_header(more, body_bytes, &mut out);
            assert_eq!(out, golden);
            let length = FrameLength::parse(golden).unwrap().unwrap();
            assert_eq!(length.body_bytes, body_bytes as u64);
            assert_eq!(length.header_bytes(), golden.len());
            assert_eq!(length.frame_bytes(), Some(golden.len() + body_bytes));
            assert_eq!(golden[length.length_bytes], u8::from(more));
            for cut in 0..length.length_bytes {
                assert_eq!(FrameLength::parse(&golden[..cut]), Ok(None));
            }
        }
    }

    #[test]
    fn the_long_form_serves_any_length() {
        let length = FrameLength::parse(b"\xFF\0\0\0\0\0\0\0\x01").unwrap().unwrap();
        assert_eq!(length, FrameLength { length_bytes: 9, body_bytes: 0 });
        assert_eq!(length.to_string(), "ZMTP 1.0 frame of 0 bytes");
    }

    #[test]
    fn lengths_that_cannot_be_are_refused() {
        assert_eq!(FrameLength::parse(b"\0"), Err(ProtocolError::LengthZero));
        assert_eq!(FrameLength::parse(&[0xFF, 0, 0, 0, 0, 0, 0, 0, 0]), {
            Err(ProtocolError::LengthZero)
        });
        for length in [1 << 63, u64::MAX - 37, u64::MAX] {
            let wire = [&[0xFF][..], &length.to_be_bytes()].concat();
            let error = ProtocolError::LengthOverflow { length_bytes: length };
            assert_eq!(FrameLength::parse(&wire), Err(error));
        }
    }

    #[test]
    fn only_more_is_a_flag() {
        for flags in 0..=u8::MAX {
            assert_eq!(check_flags(flags).is_ok(), flags <= 1, "{flags:#x}");
        }
    }
}
