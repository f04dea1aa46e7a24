//! Writing to a peer of ZMTP 1.0, whose frames are not those of the arena.
//!
//! Records are copied into frames of ZMTP 1.0, as many as one write takes well, and nothing more is
//! taken from the arena before the kernel has them all. The arena is told of a record when its last
//! byte has left, so that it counts, rewinds and returns credit as for any other peer. The body of a
//! long record is not copied: its header alone is, then the body is written from where it lies.

use std::collections::VecDeque;

use oxmq_zmtp::wire::{frame, frame_v1};

use super::WRITE_BYTES;
use crate::Message;
use crate::pipe::{ArenaReader, IoVecs};

/// What is copied at a time; a record that does not fit is not copied. Arbitrary.
const STAGE_BYTES: usize = 32 * 1024;

/// What was taken from the arena's front and is not yet wholly with the kernel.
#[derive(Default)]
pub(super) struct Transcoder {
    /// Frames of ZMTP 1.0, and how many of their bytes are sent.
    staged: Vec<u8>,
    sent: usize,
    records: VecDeque<Staged>,
    /// What is left of the body that follows what is staged.
    body_bytes: usize,
}

/// A record, or the header of one.
struct Staged {
    /// Where its frame ends in `Transcoder::staged`.
    end: usize,
    /// Its bytes on the arena's wire.
    arena_bytes: usize,
}

impl Transcoder {
    /// Whether the next byte for the kernel begins a frame.
    pub(super) fn is_idle(&self) -> bool {
        self.staged.is_empty() && self.body_bytes == 0
    }

    /// Appends to `slices` what is to be written next.
    pub(super) fn gather<'a>(&'a mut self, out: &'a ArenaReader, slices: &mut IoVecs<'a>) {
        if self.is_idle() {
            self.stage(out);
        }
        if self.staged.is_empty() {
            out.gather(slices, self.body_bytes.min(WRITE_BYTES));
        } else {
            slices.push(&self.staged[self.sent..]);
        }
    }

    fn stage(&mut self, out: &ArenaReader) {
        let mut slices = IoVecs::new();
        let bytes_max = out.gather(&mut slices, STAGE_BYTES);
        let mut bytes = Vec::with_capacity(bytes_max);
        for slice in slices.as_slices() {
            bytes.extend_from_slice(slice);
        }
        let mut rest = &bytes[..];
        while let Some(header) = frame::parse_header(rest)
            && let Some(end) = header.frame_bytes()
            && let Some(body) = rest.get(header.header_bytes..end)
        {
            frame_v1::append_header(header.more(), body.len(), &mut self.staged);
            self.staged.extend_from_slice(body);
            self.records.push_back(Staged { end: self.staged.len(), arena_bytes: end });
            rest = &rest[end..];
        }
        if self.records.is_empty()
            && let Some(header) = frame::parse_header(&bytes)
        {
            self.body_bytes = header.body_bytes as usize;
            frame_v1::append_header(header.more(), self.body_bytes, &mut self.staged);
            let arena_bytes = header.header_bytes;
            self.records.push_back(Staged { end: self.staged.len(), arena_bytes });
        }
    }

    /// The kernel has taken `bytes` of what `gather` gave. True: the writer of the pipe waits for
    /// the room this made.
    pub(super) fn advance(
        &mut self,
        bytes: usize,
        out: &mut ArenaReader,
        garbage: &mut Vec<Message>,
    ) -> bool {
        let mut arena_bytes = 0;
        if self.staged.is_empty() {
            self.body_bytes -= bytes;
            arena_bytes = bytes;
        } else {
            self.sent += bytes;
            while let Some(record) = self.records.front()
                && record.end <= self.sent
            {
                arena_bytes += record.arena_bytes;
                self.records.pop_front();
            }
            if self.sent == self.staged.len() {
                // Not cleared: a connection that is done keeps no buffer.
                self.staged = Vec::new();
                self.sent = 0;
            }
        }
        arena_bytes > 0 && out.advance(arena_bytes, garbage).wake_writer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipe::arena;

    /// Frames `body` as a ZMTP 1.0 peer reads it.
    fn framed(more: bool, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        frame_v1::append_header(more, body.len(), &mut frame);
        frame.extend_from_slice(body);
        frame
    }

    fn messages() -> Vec<Vec<Vec<u8>>> {
        let sizes = [0, 1, 253, 254, 255, 256, 4095, 4096, 32_758, 32_759, 32_760, 100_000];
        let body = |size: usize| (0..size).map(|at| (at * 7 + size) as u8).collect();
        let mut messages: Vec<Vec<Vec<u8>>> = sizes.map(|size| vec![body(size)]).into();
        messages.push(sizes.map(body).into());
        messages.extend((0..3000).map(|number| vec![body(number % 300)]));
        messages
    }

    /// Writes in steps of at most `step` bytes. After every `cut` bytes the connection breaks.
    fn write(step: usize, cut: usize) -> (Vec<Vec<u8>>, usize) {
        let (mut writer, mut out) = arena(0);
        let mut garbage = Vec::new();
        for parts in messages() {
            let last = parts.len() - 1;
            for (at, part) in parts.iter().enumerate() {
                let mut part = Message::from(&part[..]);
                part.set_more(at < last);
                writer.write(&mut part);
            }
            writer.publish();
        }
        let mut connections = vec![Vec::new()];
        let mut counted = 0;
        let mut transcoder = Transcoder::default();
        while out.has_pending() {
            let connection = connections.last_mut().unwrap();
            if connection.len() >= cut {
                out.rewind();
                transcoder = Transcoder::default();
                connections.push(Vec::new());
                continue;
            }
            let queued = out.queued();
            let mut slices = IoVecs::new();
            transcoder.gather(&out, &mut slices);
            let mut taken = 0;
            for slice in slices.as_slices() {
                let some = &slice[..slice.len().min(step - taken)];
                connection.extend_from_slice(some);
                taken += some.len();
            }
            assert!(taken > 0);
            transcoder.advance(taken, &mut out, &mut garbage);
            counted += queued - out.queued();
        }
        assert!(transcoder.is_idle());
        (connections, counted as usize)
    }

    fn wire(message: &[Vec<u8>]) -> Vec<u8> {
        let last = message.len() - 1;
        let parts = message.iter().enumerate();
        parts.flat_map(|(at, part)| framed(at < last, part)).collect()
    }

    #[test]
    fn every_message_leaves_once_and_is_counted_once() {
        let all: Vec<u8> = messages().iter().flat_map(|message| wire(message)).collect();
        for step in [7, 1000, 31 * 1024, usize::MAX] {
            let (connections, counted) = write(step, usize::MAX);
            assert_eq!(connections.len(), 1);
            assert!(connections[0] == all, "step {step}");
            assert_eq!(counted, messages().len());
        }
    }

    /// Each connection begins with a whole message, the first that the last one did not get whole.
    #[test]
    fn a_new_connection_begins_where_the_last_one_got_no_whole_message() {
        let messages: Vec<Vec<u8>> = messages().iter().map(|message| wire(message)).collect();
        for (step, cut) in [(7, 250_001), (997, 333_333), (40_000, 300_000)] {
            let (connections, counted) = write(step, cut);
            assert!(connections.len() > 2, "{}", connections.len());
            assert_eq!(counted, messages.len());
            let mut next = messages.iter();
            for connection in &connections {
                let mut rest = &connection[..];
                while let Some(message) = next.as_slice().first()
                    && let Some(after) = rest.strip_prefix(&message[..])
                {
                    rest = after;
                    next.next();
                }
                let torn = next.as_slice().first().is_none_or(|message| message.starts_with(rest));
                assert!(torn, "step {step}, cut {cut}");
            }
            assert_eq!(next.len(), 0, "step {step}, cut {cut}");
        }
    }
}
