//! The greeting: 64 octets that each peer sends first.
//!
//! ```text
//!   0      1..9           9     10     11     12..32     32         33..64
//! +------+--------------+------+------+------+----------+----------+-----------+
//! | FF   | padding      | 7F   | major| minor| mechanism| as-server| filler (0)|
//! +------+--------------+------+------+------+----------+----------+-----------+
//! |<------ signature --------->|
//! ```
//!
//! The signature is also the header of a ZMTP 1.0 identity frame whose length is in the padding.
//! So a peer can be told apart by its first eleven octets ([`Era::detect`]), and an end that wants
//! to meet old peers sends its greeting in pieces: ten octets, the eleventh, the rest.

use std::fmt;

/// Octets in a greeting.
pub const GREETING_BYTES: usize = 64;
/// Octets in the signature, the first piece.
pub const SIGNATURE_BYTES: usize = 10;
/// Octets up to and including the major version, which decide how the peer goes on.
pub const REVISION_BYTES: usize = 11;

mod field {
    use std::ops::Range;
    pub const SIGNATURE_FIRST: usize = 0;
    pub const PADDING: Range<usize> = 1..9;
    pub const SIGNATURE_LAST: usize = 9;
    pub const MAJOR: usize = 10;
    pub const MINOR: usize = 11;
    pub const MECHANISM: Range<usize> = 12..32;
    pub const AS_SERVER: usize = 32;
}

const SIGNATURE_FIRST: u8 = 0xFF;
const SIGNATURE_LAST: u8 = 0x7F;

/// A version of ZMTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Before the dot.
    pub major: u8,
    /// After the dot.
    pub minor: u8,
}

impl Version {
    /// The version that this crate announces.
    pub const OURS: Version = Version { major: 3, minor: 1 };

    /// ZMTP 2.0: a socket type and an identity instead of a security handshake.
    pub const V2_0: Version = Version { major: 2, minor: 0 };
    /// ZMTP 1.0, with a framing of its own.
    pub const V1_0: Version = Version { major: 1, minor: 0 };

    /// Whether peers of this version know the commands SUBSCRIBE, CANCEL, PING and PONG.
    pub fn has_traffic_commands(self) -> bool {
        self >= Version { major: 3, minor: 1 }
    }

    /// Whether peers of this version may be sent a PING: those that know commands. ZMTP 3.0 has none
    /// such, but libzmq 4.2 and the first of 4.3, which announce it, answer.
    pub fn takes_pings(self) -> bool {
        self >= Version { major: 3, minor: 0 }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The name of a security mechanism: up to 20 octets, padded with zeros.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct MechanismName([u8; MechanismName::BYTES]);

impl MechanismName {
    /// Octets in the field.
    pub const BYTES: usize = 20;
    /// The mechanism without any security.
    pub const NULL: MechanismName = MechanismName::new(b"NULL");
    /// The mechanism of names and passwords.
    pub const PLAIN: MechanismName = MechanismName::new(b"PLAIN");
    /// The mechanism of public keys.
    pub const CURVE: MechanismName = MechanismName::new(b"CURVE");

    /// The name of a mechanism that is known to the program.
    ///
    /// At most 20 octets of `name` are used.
    pub const fn new(name: &[u8]) -> MechanismName {
        let mut octets = [0; MechanismName::BYTES];
        let (mut from, mut to): (&[u8], &mut [u8]) = (name, &mut octets);
        while let ([octet, from_rest @ ..], [slot, to_rest @ ..]) = (from, to) {
            *slot = *octet;
            from = from_rest;
            to = to_rest;
        }
        MechanismName(octets)
    }

    /// The octets as they stand in the greeting.
    pub const fn as_octets(&self) -> &[u8; MechanismName::BYTES] {
        &self.0
    }
}

impl fmt::Display for MechanismName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut name: &[u8] = &self.0;
        while let [rest @ .., 0] = name {
            name = rest;
        }
        write!(f, "{}", name.escape_ascii())
    }
}

impl fmt::Debug for MechanismName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MechanismName(\"{self}\")")
    }
}

/// What the first octets of a peer say about its age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// More octets are needed.
    Undecided,
    /// A signature is complete, its major version has not arrived yet.
    Versioned,
    /// ZMTP 1.0, which announces no version; the octets are its identity frame.
    Unversioned,
    /// A signature and the major version that followed it.
    Revision(u8),
}

impl Era {
    /// Whether a stream that begins with this octet is [`Unversioned`](Self::Unversioned) already.
    pub(crate) fn decided_by_first(first: Option<u8>) -> bool {
        first.is_some_and(|first| first != SIGNATURE_FIRST)
    }

    /// Looks at the start of a stream.
    ///
    /// RFC 37, "Detecting ZMTP 1.0 and 2.0 Peers": a first octet other than FF, or a tenth octet
    /// whose least significant bit is 0, is the start of a ZMTP 1.0 frame.
    pub fn detect(start: &[u8]) -> Era {
        match start {
            [] => Era::Undecided,
            [first, ..] if *first != SIGNATURE_FIRST => Era::Unversioned,
            [_, _, _, _, _, _, _, _, _, last, ..] if last & 1 == 0 => Era::Unversioned,
            [_, _, _, _, _, _, _, _, _, _, major, ..] => Era::Revision(*major),
            [_, _, _, _, _, _, _, _, _, _] => Era::Versioned,
            _ => Era::Undecided,
        }
    }
}

/// A greeting of ZMTP 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// The padding of the signature. Not significant to a ZMTP 3 peer; a ZMTP 1.0 peer takes it for
    /// the length of an identity frame, so it has to be the identity's length + 1.
    pub padding: u64,
    /// The version.
    pub version: Version,
    /// The security mechanism.
    pub mechanism: MechanismName,
    /// Whether the peer is the server of the security handshake.
    pub as_server: bool,
}

impl Greeting {
    /// Reads a greeting, or says `None` if the octets are not that of ZMTP 3 or later.
    ///
    /// The filler is not looked at, and any as-server octet but zero counts as one.
    pub fn parse(octets: &[u8; GREETING_BYTES]) -> Option<Greeting> {
        match Era::detect(octets) {
            Era::Revision(3..) => {}
            _ => return None,
        }
        let mut padding = [0; 8];
        padding.copy_from_slice(&octets[field::PADDING]);
        let mut mechanism = [0; MechanismName::BYTES];
        mechanism.copy_from_slice(&octets[field::MECHANISM]);
        Some(Greeting {
            padding: u64::from_be_bytes(padding),
            version: Version { major: octets[field::MAJOR], minor: octets[field::MINOR] },
            mechanism: MechanismName(mechanism),
            as_server: octets[field::AS_SERVER] != 0,
        })
    }

    /// The octets of this greeting.
    pub fn emit(&self) -> [u8; GREETING_BYTES] {
        let mut octets = [0; GREETING_BYTES];
        octets[field::SIGNATURE_FIRST] = SIGNATURE_FIRST;
        octets[field::PADDING].copy_from_slice(&self.padding.to_be_bytes());
        octets[field::SIGNATURE_LAST] = SIGNATURE_LAST;
        octets[field::MAJOR] = self.version.major;
        octets[field::MINOR] = self.version.minor;
        octets[field::MECHANISM].copy_from_slice(self.mechanism.as_octets());
        octets[field::AS_SERVER] = u8::from(self.as_server);
        octets
    }
}

impl fmt::Display for Greeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = if self.as_server { ", as server" } else { "" };
        write!(f, "ZMTP {} greeting, mechanism {}{role}", self.version, self.mechanism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden() -> Vec<u8> {
        [&b"\xFF\0\0\0\0\0\0\0\x06\x7F\x03\x01NULL"[..], &[0; 48]].concat()
    }

    fn greeting() -> Greeting {
        Greeting {
            padding: 6,
            version: Version::OURS,
            mechanism: MechanismName::NULL,
            as_server: false,
        }
    }

    #[test]
    fn emits_and_parses_golden_bytes() {
        assert_eq!(greeting().emit().as_slice(), golden());
        let octets = golden().try_into().unwrap();
        assert_eq!(Greeting::parse(&octets), Some(greeting()));
    }

    #[test]
    fn fields_round_trip() {
        for padding in [0, 1, 256, u64::MAX] {
            for (major, minor) in [(3, 0), (3, 1), (3, 255), (4, 0), (255, 255)] {
                for mechanism in [&b""[..], b"CURVE", b"12345678901234567890"] {
                    for as_server in [false, true] {
                        let greeting = Greeting {
                            padding,
                            version: Version { major, minor },
                            mechanism: MechanismName::new(mechanism),
                            as_server,
                        };
                        assert_eq!(Greeting::parse(&greeting.emit()), Some(greeting));
                    }
                }
            }
        }
    }

    #[test]
    fn eras_are_told_apart_by_the_first_eleven_octets() {
        let octets = golden();
        assert_eq!(Era::detect(&[]), Era::Undecided);
        for length in 1..SIGNATURE_BYTES {
            assert_eq!(Era::detect(&octets[..length]), Era::Undecided);
        }
        assert_eq!(Era::detect(&octets[..SIGNATURE_BYTES]), Era::Versioned);
        assert_eq!(Era::detect(&octets[..REVISION_BYTES]), Era::Revision(3));
        assert_eq!(Era::detect(&octets), Era::Revision(3));
        assert_eq!(Era::detect(b"\x01"), Era::Unversioned);
        assert_eq!(Era::detect(b"GET / HTTP/1.1"), Era::Unversioned);
        assert_eq!(Era::detect(b"\xFF\0\0\0\0\0\0\x01\x2C\0"), Era::Unversioned);
    }

    #[test]
    fn older_greetings_are_not_greetings_of_zmtp_3() {
        for major in 0..3 {
            let mut octets = greeting().emit();
            octets[10] = major;
            assert_eq!(Greeting::parse(&octets), None);
        }
    }

    #[test]
    fn names_are_cut_and_escaped() {
        assert_eq!(MechanismName::new(b"NULL").to_string(), "NULL");
        assert_eq!(
            MechanismName::new(b"123456789012345678901").to_string(),
            "12345678901234567890"
        );
        assert_eq!(MechanismName::new(b"\x01\0B").to_string(), "\\x01\\x00B");
        assert_eq!(greeting().to_string(), "ZMTP 3.1 greeting, mechanism NULL");
    }
}
