//! Proof that numbered messages arrived once, whole and in order.

use anyhow::{Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// The sum of the SHA-256 digests of numbered messages. The sum does not depend on the order in
/// which they are added; a message that is missing, repeated, changed or renumbered changes it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub messages: u64,
    /// Bytes of bodies, numbers not included.
    pub bytes: u64,
    lanes: [u64; 4],
}

impl Tally {
    pub fn add(&mut self, numbered: Numbered<'_>) {
        self.add_digest(&digest(numbered), numbered.body.len());
    }

    /// Adds a message of which only the digest is at hand.
    pub fn add_digest(&mut self, digest: &[u8; 32], body_bytes: usize) {
        self.messages += 1;
        self.bytes += body_bytes as u64;
        for (lane, bytes) in self.lanes.iter_mut().zip(digest.chunks_exact(8)) {
            *lane = lane.wrapping_add(u64::from_le_bytes(bytes.try_into().expect("eight bytes")));
        }
    }

    pub fn join(&mut self, other: &Tally) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        for (lane, more) in self.lanes.iter_mut().zip(other.lanes) {
            *lane = lane.wrapping_add(more);
        }
    }

    /// Fails unless `received` is what this tally of the sender says was sent.
    pub fn expect(&self, who: &str, received: &Tally) -> Result<()> {
        if received.messages != self.messages {
            bail!("{who} got {} messages of {}", received.messages, self.messages);
        }
        ensure!(self == received, "{who} got digest {received}, but {self} was sent");
        Ok(())
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lanes.iter().try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

/// A body under its number, as it travels: eight bytes, little-endian, then the body.
#[derive(Debug, Clone, Copy)]
pub struct Numbered<'a> {
    pub number: u64,
    pub body: &'a [u8],
}

impl<'a> Numbered<'a> {
    pub fn parse(message: &'a [u8]) -> Result<Self> {
        match message.split_first_chunk() {
            Some((number, body)) => Ok(Numbered { number: u64::from_le_bytes(*number), body }),
            None => bail!("a message of {} bytes cannot carry its number", message.len()),
        }
    }

    pub fn to_bytes(self) -> Vec<u8> {
        [&self.number.to_le_bytes(), self.body].concat()
    }
}

/// SHA-256 over number and body.
pub fn digest(numbered: Numbered<'_>) -> [u8; 32] {
    Sha256::new()
        .chain_update(numbered.number.to_le_bytes())
        .chain_update(numbered.body)
        .finalize()
        .into()
}

/// More numbers than any demo reaches; a larger one is damage, and must not cost memory.
const NUMBERS_MAX: u64 = 1 << 32;

/// Which numbers have arrived, one bit each.
#[derive(Default)]
pub struct Seen {
    words: Vec<u64>,
}

impl Seen {
    /// Fails when `number` was there before, or cannot have been sent.
    pub fn insert(&mut self, number: u64) -> Result<()> {
        ensure!(number < NUMBERS_MAX, "message {number} was never sent");
        let (word, bit) = ((number / 64) as usize, 1 << (number % 64));
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        ensure!(self.words[word] & bit == 0, "message {number} arrived twice");
        self.words[word] |= bit;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(messages: &[(u64, &[u8])]) -> Tally {
        let mut tally = Tally::default();
        for &(number, body) in messages {
            tally.add(Numbered { number, body });
        }
        tally
    }

    #[test]
    fn order_does_not_matter_content_and_number_do() {
        let sent = tally(&[(0, b"a"), (1, b"b"), (2, b"")]);
        assert_eq!(sent, tally(&[(2, b""), (0, b"a"), (1, b"b")]));
        for damaged in [
            tally(&[(0, b"a"), (1, b"b")]),
            tally(&[(0, b"b"), (1, b"a"), (2, b"")]),
            tally(&[(0, b"a"), (1, b"b"), (3, b"")]),
            tally(&[(0, b"a"), (0, b"a"), (2, b"")]),
            tally(&[(0, b"a"), (1, b"bb"), (2, b"")]),
        ] {
            sent.expect("the test", &damaged).unwrap_err();
        }
    }

    #[test]
    fn joined_tallies_are_the_tally_of_all() {
        let mut joined = tally(&[(0, b"a"), (2, b"c")]);
        joined.join(&tally(&[(1, b"b")]));
        assert_eq!(joined, tally(&[(0, b"a"), (1, b"b"), (2, b"c")]));
    }

    #[test]
    fn numbered_messages_come_back() {
        let bytes = Numbered { number: 7, body: b"seven" }.to_bytes();
        let numbered = Numbered::parse(&bytes).unwrap();
        assert_eq!((numbered.number, numbered.body), (7, &b"seven"[..]));
        Numbered::parse(&bytes[..7]).unwrap_err();
    }

    #[test]
    fn a_number_is_seen_once() {
        let mut seen = Seen::default();
        seen.insert(100).unwrap();
        seen.insert(3).unwrap();
        seen.insert(100).unwrap_err();
        seen.insert(NUMBERS_MAX).unwrap_err();
    }
}
