//! What the messages hold: decided by the seed, the sender and a number, so that whoever receives
//! one knows every byte that it must have.

use oxmq::sim::Rng;

/// The front of a message's first part: who sent it, and which of his messages it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    /// What subscriptions match: the first bytes of the message.
    pub topic: [u8; 2],
    /// The sender.
    pub sender: u16,
    /// Counts the sender's messages, from 0.
    pub number: u32,
}

/// How long a label is, in bytes.
pub const LABEL_BYTES: usize = 8;

/// How large one sender's messages are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The longest part, in bytes; most are far shorter.
    pub part_bytes_max: u64,
    /// The largest number of parts.
    pub parts_max: u64,
}

impl Label {
    /// Reads the front of a first part.
    pub fn read(part: &[u8]) -> Option<Label> {
        let (label, _) = part.split_first_chunk::<LABEL_BYTES>()?;
        Some(Label {
            topic: [label[0], label[1]],
            sender: u16::from_le_bytes([label[2], label[3]]),
            number: u32::from_le_bytes([label[4], label[5], label[6], label[7]]),
        })
    }

    fn write(self) -> Vec<u8> {
        let mut part = self.topic.to_vec();
        part.extend(self.sender.to_le_bytes());
        part.extend(self.number.to_le_bytes());
        part
    }
}

/// The parts of a sender's message with this number.
pub fn parts(seed: u64, sizes: Sizes, sender: u16, number: u32) -> Vec<Vec<u8>> {
    let mut rng = Rng::new(seed ^ (u64::from(sender) << 48) ^ (u64::from(number) << 8));
    let topic = [*rng.pick(b"AB"), *rng.pick(b"abcd")];
    let count = if rng.one_in(3) { rng.between(1, sizes.parts_max) } else { 1 };
    (0..count)
        .map(|index| {
            let bytes = part_bytes(&mut rng, sizes.part_bytes_max) as usize;
            let mut part =
                if index == 0 { Label { topic, sender, number }.write() } else { Vec::new() };
            let mut filler = rng.fork();
            while part.len() < bytes {
                part.extend(filler.next_u64().to_le_bytes());
            }
            part.truncate(bytes.max(if index == 0 { LABEL_BYTES } else { 0 }));
            part
        })
        .collect()
}

/// The answer to a request.
pub fn reply_to(request: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut reply = request.to_vec();
    reply.push(b"reply".to_vec());
    reply
}

/// Sizes crowd where the code changes its ways: nothing, inline bodies, one-byte lengths, copied
/// bodies, bodies by reference.
fn part_bytes(rng: &mut Rng, max: u64) -> u64 {
    let bytes = match rng.below(16) {
        0 => 0,
        1..8 => rng.between(8, 48),
        8..10 => rng.between(54, 66),
        10..12 => rng.between(250, 260),
        12..14 => rng.between(1000, 4200),
        14 => rng.between(8000, 20_000),
        _ => rng.between(60_000, 100_000),
    };
    bytes.min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { part_bytes_max: 100_000, parts_max: 4 };

    #[test]
    fn the_same_numbers_give_the_same_message() {
        assert_eq!(parts(1, SIZES, 2, 3), parts(1, SIZES, 2, 3));
        assert_ne!(parts(1, SIZES, 2, 3), parts(1, SIZES, 2, 4));
        assert_ne!(parts(1, SIZES, 2, 3), parts(1, SIZES, 3, 3));
    }

    #[test]
    fn labels_are_read_back() {
        for number in 0..1000 {
            let parts = parts(1, SIZES, 700, number);
            let label = Label::read(&parts[0]).unwrap();
            assert_eq!((label.sender, label.number), (700, number));
            assert!(parts.len() <= 4 && parts.iter().all(|part| part.len() <= 100_000));
        }
        assert_eq!(Label::read(b"short"), None);
    }
}
