//! Writing to a peer that does not take the arena's frames: one of ZMTP 1.0, one that takes bytes as
//! they are, or one whose frames are sealed by a security mechanism.
//!
//! Records are copied into frames of ZMTP 1.0, or without any frame, or sealed, as many as one write
//! takes well, and nothing more is taken from the arena before the kernel has them all. The arena is
//! told of a record when its last byte has left, so that it counts, rewinds and returns credit as for
//! any other peer. The body of a long record is not copied, unless it is sealed: its header alone is,
//! then the body is written from where it lies.

use std::collections::VecDeque;
use std::mem;

use oxmq_zmtp::Connection;
use oxmq_zmtp::wire::{frame, frame_v1};

use super::WRITE_BYTES;
use crate::Message;
use crate::pipe::{ArenaReader, IoVecs};

/// What is copied at a time; a record that does not fit is not copied. Arbitrary.
const STAGE_BYTES: usize = 32 * 1024;

/// What was taken from the arena's front and is not yet wholly with the kernel.
#[derive(Default)]
pub(super) struct Transcoder {
    form: Form,
    /// What goes to the kernel next, and how many of their bytes are sent.
    staged: Vec<u8>,
    sent: usize,
    records: VecDeque<Staged>,
    /// What is left of the body that follows what is staged.
    body_bytes: usize,
    /// The writer of the pipe waits for room that was made, and was not told yet.
    wakes_writer: bool,
}

/// What the peer takes.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Form {
    /// Frames of ZMTP 1.0.
    #[default]
    V1,
    /// Bodies without a frame.
    Raw,
    /// Frames that the connection seals.
    Sealed,
}

/// A record, or the header of one.
struct Staged {
    /// Where its frame ends in `Transcoder::staged`.
    end: usize,
    /// Its bytes on the arena's wire.
    arena_bytes: usize,
}

impl Transcoder {
    pub(super) fn raw() -> Transcoder {
        Transcoder { form: Form::Raw, ..Transcoder::default() }
    }

    /// For the peer of a connection that is ready; `None` if it takes the arena's frames.
    pub(super) fn to(zmtp: &Connection) -> Option<Transcoder> {
        let form = match (zmtp.frames_v1(), zmtp.seals()) {
            (true, _) => Form::V1,
            (_, true) => Form::Sealed,
            _ => return None,
        };
        Some(Transcoder { form, ..Transcoder::default() })
    }

    pub(super) fn seals(&self) -> bool {
        self.form == Form::Sealed
    }

    /// Whether the next byte for the kernel begins a frame.
    pub(super) fn is_idle(&self) -> bool {
        self.staged.is_empty() && self.body_bytes == 0
    }

    /// Appends to `slices` what is to be written next.
    pub(super) fn gather<'a>(
        &'a mut self,
        out: &'a mut ArenaReader,
        zmtp: Option<&mut Connection>,
        slices: &mut IoVecs<'a>,
        garbage: &mut Vec<Message>,
    ) {
        if self.is_idle() {
            match zmtp.filter(|_| self.seals()) {
                Some(zmtp) => self.stage_sealed(out, zmtp),
                None => self.stage(out),
            }
            self.pass(out, garbage);
        }
        if self.staged.is_empty() {
            out.gather(slices, self.body_bytes.min(WRITE_BYTES));
        } else {
            slices.push(&self.staged[self.sent..]);
        }
    }

    fn stage(&mut self, out: &ArenaReader) {
        let bytes = copy(out, STAGE_BYTES);
        let mut rest = &bytes[..];
        while let Some(header) = frame::parse_header(rest)
            && let Some(end) = header.frame_bytes()
            && let Some(body) = rest.get(header.header_bytes..end)
        {
            self.append_header(header.more(), body.len());
            self.staged.extend_from_slice(body);
            self.records.push_back(Staged { end: self.staged.len(), arena_bytes: end });
            rest = &rest[end..];
        }
        if self.records.is_empty()
            && let Some(header) = frame::parse_header(&bytes)
        {
            self.body_bytes = header.body_bytes as usize;
            self.append_header(header.more(), self.body_bytes);
            let arena_bytes = header.header_bytes;
            self.records.push_back(Staged { end: self.staged.len(), arena_bytes });
        }
    }

    fn stage_sealed(&mut self, out: &ArenaReader, zmtp: &mut Connection) {
        let mut bytes = copy(out, STAGE_BYTES);
        // A long one is sealed as one, alone.
        if let Some(frame_bytes) = frame::parse_header(&bytes).and_then(|it| it.frame_bytes())
            && frame_bytes > bytes.len()
        {
            bytes = copy(out, frame_bytes);
        }
        let mut rest = &bytes[..];
        while let Some(header) = frame::parse_header(rest)
            && let Some(end) = header.frame_bytes()
            && let Some(body) = rest.get(header.header_bytes..end)
        {
            zmtp.seal(header.more(), body, &mut self.staged);
            self.records.push_back(Staged { end: self.staged.len(), arena_bytes: end });
            rest = &rest[end..];
        }
    }

    fn append_header(&mut self, more: bool, body_bytes: usize) {
        if self.form == Form::V1 {
            frame_v1::append_header(more, body_bytes, &mut self.staged);
        }
    }

    /// Tells the arena of the records whose bytes have left; of some there is none to wait for.
    fn pass(&mut self, out: &mut ArenaReader, garbage: &mut Vec<Message>) {
        let mut arena_bytes = 0;
        while let Some(record) = self.records.front()
            && record.end <= self.sent
        {
            arena_bytes += record.arena_bytes;
            self.records.pop_front();
        }
        if arena_bytes > 0 {
            self.wakes_writer |= out.advance(arena_bytes, garbage).wake_writer;
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
        if self.staged.is_empty() {
            self.body_bytes -= bytes;
            if bytes > 0 {
                self.wakes_writer |= out.advance(bytes, garbage).wake_writer;
            }
        } else {
            self.sent += bytes;
            self.pass(out, garbage);
            if self.sent == self.staged.len() {
                // Not cleared: a connection that is done keeps no buffer.
                self.staged = Vec::new();
                self.sent = 0;
            }
        }
        mem::take(&mut self.wakes_writer)
    }
}

/// The next bytes of the arena, up to `bytes_max`.
fn copy(out: &ArenaReader, bytes_max: usize) -> Vec<u8> {
    let mut slices = IoVecs::new();
    let mut bytes = Vec::with_capacity(out.gather(&mut slices, bytes_max));
    for slice in slices.as_slices() {
        bytes.extend_from_slice(slice);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipe::arena;

    /// A part as its peer reads it, with the frame of ZMTP 1.0 or without any.
    fn framed(raw: bool, more: bool, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        if !raw {
            frame_v1::append_header(more, body.len(), &mut frame);
        }
        frame.extend_from_slice(body);
        frame
    }

    fn transcoder(raw: bool) -> Transcoder {
        if raw { Transcoder::raw() } else { Transcoder::default() }
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
    fn write(raw: bool, step: usize, cut: usize) -> (Vec<Vec<u8>>, usize) {
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
        let mut transcoder = self::transcoder(raw);
        while out.has_pending() {
            let connection = connections.last_mut().unwrap();
            if connection.len() >= cut {
                out.rewind();
                transcoder = self::transcoder(raw);
                connections.push(Vec::new());
                continue;
            }
            let queued = out.queued();
            let mut slices = IoVecs::new();
            transcoder.gather(&mut out, None, &mut slices, &mut garbage);
            let mut taken = 0;
            for slice in slices.as_slices() {
                let some = &slice[..slice.len().min(step - taken)];
                connection.extend_from_slice(some);
                taken += some.len();
            }
            assert!(taken > 0 || (raw && out.queued() < queued));
            transcoder.advance(taken, &mut out, &mut garbage);
            counted += queued - out.queued();
        }
        assert!(transcoder.is_idle());
        (connections, counted as usize)
    }

    fn wire(raw: bool, message: &[Vec<u8>]) -> Vec<u8> {
        let last = message.len() - 1;
        let parts = message.iter().enumerate();
        parts.flat_map(|(at, part)| framed(raw, at < last, part)).collect()
    }

    #[test]
    fn every_message_leaves_once_and_is_counted_once() {
        for raw in [false, true] {
            let all: Vec<u8> = messages().iter().flat_map(|message| wire(raw, message)).collect();
            for step in [7, 1000, 31 * 1024, usize::MAX] {
                let (connections, counted) = write(raw, step, usize::MAX);
                assert_eq!(connections.len(), 1);
                assert!(connections[0] == all, "step {step}");
                assert_eq!(counted, messages().len());
            }
        }
    }

    /// Each connection begins with a whole message, the first that the last one did not get whole.
    #[test]
    fn a_new_connection_begins_where_the_last_one_got_no_whole_message() {
        let messages: Vec<Vec<u8>> =
            messages().iter().map(|message| wire(false, message)).collect();
        for (step, cut) in [(7, 250_001), (997, 333_333), (40_000, 300_000)] {
            let (connections, counted) = write(false, step, cut);
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
