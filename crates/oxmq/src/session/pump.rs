//! What every driver does: read, decode, and hand messages on; gather, and write.

use std::io;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use oxmq_zmtp::wire::command::legacy_subscription;
use oxmq_zmtp::wire::frame::HEADER_BYTES_SHORT;
use oxmq_zmtp::{Decoded, Event, Opened};

use super::lifecycle::Handshake;
use super::receive_buffer::INLINE_BYTES_MAX;
use super::{Conflation, Failure, Inner, LargeBody, Origin, Phase, Session, WRITE_BYTES, order};
use crate::Message;
use crate::drive::Work;
use crate::memory;
use crate::pipe::{IoVecs, SlotWriter};
use crate::statistics::DropReason;
use crate::sys::{self, Interest};

/// Writes of one drive before other connections have their turn.
const WRITES_MAX: usize = 8;
/// Reads of one drive before other connections have their turn.
const READS_MAX: usize = 4;
/// A long body gets a buffer of at most this before any of it has arrived, and grows with what
/// does: nothing is allocated on a peer's word.
const BODY_BYTES_FIRST: usize = 256 * 1024;
/// One read where the last body was long: a header, and a little of the body.
const READ_BYTES_BEFORE_LARGE: usize = 1024;
/// What a part counts for beside its bytes.
const PART_BYTES_EACH: u64 = 64;
/// How much of the subscriptions waits in the session's own buffer: what is in there is sent as it is,
/// whatever the application does about it by then. Arbitrary.
const SUBSCRIPTION_BYTES_MAX: usize = 64 * 1024;
/// How much is read of a peer that is not let in yet. One of NULL has sent its READY by then, others
/// have nothing to send. Arbitrary.
const UNDECIDED_BYTES_MAX: usize = 8 * 1024;

/// What the decoding of the bytes at hand came to.
#[derive(PartialEq, Eq)]
pub(super) enum Decoding {
    /// More bytes are needed.
    Hungry,
    /// RCVHWM is reached; the reader of the pipe will say when to go on.
    Full,
    /// Nothing of a peer is looked at before it is let in.
    Undecided,
    /// What is written next answers what has been read; then it goes on.
    Answering,
}

impl Session {
    /// One pass over the connection. True: the I/O thread must attend to it.
    pub(super) fn pump(
        self: &Arc<Self>,
        inner: &mut Inner,
        work: Work,
        garbage: &mut Vec<Message>,
    ) -> bool {
        let pumped = match inner.phase {
            // It has no pipe before its I/O thread has begun with it.
            Phase::Handshake(_) if inner.raw => return false,
            Phase::Handshake(_) | Phase::Traffic(_) => self.pump_stream(inner, work, garbage),
            Phase::Connecting(_) => self.pump_connecting(inner, work, garbage),
            Phase::Draining(_) => Self::drain(inner),
            Phase::Broken(_) => return true,
            Phase::Offline | Phase::Resolving | Phase::Ended => return false,
        };
        inner.received.settle();
        if let Err(failure) = pumped {
            self.say_what_this_is(inner, &failure);
            inner.break_off(self, failure);
            return true;
        }
        inner.wants_attention || (inner.closing && inner.is_flushed())
    }

    /// A peer that does not go with this socket is to learn why: the rest of this end's greeting and
    /// its READY, if they have not left yet, say so. "A peer that reads a full greeting MUST also
    /// send a full greeting."
    fn say_what_this_is(&self, inner: &mut Inner, failure: &Failure) {
        let (Phase::Handshake(_), Failure::Protocol(_) | Failure::Denied(_)) =
            (&inner.phase, failure)
        else {
            return;
        };
        self.gather_control(inner);
        // What cannot be written at once is not.
        let _ = inner.write_some(&mut Vec::new());
        if let Failure::Denied(_) = failure {
            // What it has sent would turn the close into a reset, which destroys what it is told.
            let _ = Self::drain(inner);
        }
    }

    /// The connection stands as soon as a first byte of the greeting can be written.
    fn pump_connecting(
        self: &Arc<Self>,
        inner: &mut Inner,
        work: Work,
        garbage: &mut Vec<Message>,
    ) -> Result<(), Failure> {
        let Some(fd) = inner.phase.fd() else { return Ok(()) };
        sys::socket_error(fd)?;
        if inner.raw {
            let connected = self.connected_raw(inner)?;
            return if connected { self.pump_stream(inner, work, garbage) } else { Ok(()) };
        }
        self.gather_control(inner);
        match inner.write_some(garbage) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
            Err(error) => return Err(Failure::System(error)),
        }
        inner.become_connected(self)?;
        self.pump_stream(inner, work, garbage)
    }

    fn pump_stream(
        self: &Arc<Self>,
        inner: &mut Inner,
        work: Work,
        garbage: &mut Vec<Message>,
    ) -> Result<(), Failure> {
        if work.reads() {
            let mut reads = READS_MAX;
            while self.read(inner, &mut reads)? == Decoding::Answering {
                self.write_or_hear(inner, garbage)?;
            }
        }
        self.write_or_hear(inner, garbage)
    }

    #[inline]
    fn write_or_hear(
        self: &Arc<Self>,
        inner: &mut Inner,
        garbage: &mut Vec<Message>,
    ) -> Result<(), Failure> {
        let written = self.write(inner, garbage);
        if let Err(Failure::System(_)) = written {
            self.hear_last_words(inner)?;
        }
        written
    }

    /// The peer takes nothing any more. What it had sent before that is still to be read: why it has
    /// refused this end, or messages.
    #[cold]
    fn hear_last_words(self: &Arc<Self>, inner: &mut Inner) -> Result<(), Failure> {
        let mut reads = READS_MAX;
        loop {
            match self.read(inner, &mut reads) {
                Err(failure @ Failure::Protocol(_)) => return Err(failure),
                // There is nobody to answer.
                Ok(Decoding::Answering) => {}
                _ => return Ok(()),
            }
        }
    }

    // In.

    /// Reads and decodes, with so many `reads` left; `Answering`: is to be called again, after a write.
    fn read(self: &Arc<Self>, inner: &mut Inner, reads: &mut usize) -> Result<Decoding, Failure> {
        loop {
            match self.decode_on(inner)? {
                Decoding::Hungry => {}
                Decoding::Answering => return Ok(Decoding::Answering),
                full => {
                    // Nothing more is read, and the epoll must not keep saying that there is something.
                    self.watch(inner, Interest { read: false, write: inner.interest.write });
                    return Ok(full);
                }
            }
            // The last read emptied the kernel's buffer if it was short.
            if *reads == 0 {
                break;
            }
            *reads -= 1;
            match inner.read_some() {
                Ok(0) => return Err(Failure::EndOfStream),
                Ok(read) => {
                    inner.heard = inner.heard.wrapping_add(1);
                    if read < inner.last_room_bytes {
                        *reads = 0;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.watch(inner, Interest { read: true, write: inner.interest.write });
        Ok(Decoding::Hungry)
    }

    /// Decodes what has been read; `Hungry`: more is to be read.
    #[inline]
    fn decode_on(self: &Arc<Self>, inner: &mut Inner) -> Result<Decoding, Failure> {
        Ok(match self.decode(inner)? {
            // Reading tells whether the peer is still there.
            Decoding::Undecided if inner.received.bytes().len() <= UNDECIDED_BYTES_MAX => {
                Decoding::Hungry
            }
            decoding => decoding,
        })
    }

    /// Decodes what has been read, as far as the pipe has room, and publishes it at once.
    fn decode(self: &Arc<Self>, inner: &mut Inner) -> Result<Decoding, Failure> {
        if let Phase::Handshake(_) = inner.phase {
            match self.handshake(inner)? {
                Handshake::Done => {}
                Handshake::Hungry => return Ok(Decoding::Hungry),
                Handshake::Undecided => return Ok(Decoding::Undecided),
            }
        }
        // Acquire: pairs with the Release of `close`, of which the I/O thread may not know yet.
        if self.orders.load(Ordering::Acquire) & order::CLOSE != 0 {
            inner.take_no_more();
        }
        let decoded = if inner.raw { inner.decode_raw() } else { self.decode_frames(inner) };
        if inner.unwanted > 0 {
            self.count_unwanted(inner);
        }
        if let Some(input) = &mut inner.input
            && input.publish()
            && let Some(core) = self.core.upgrade()
        {
            core.readable(self.pipe());
        }
        if let Some(conflation) = &mut inner.conflation {
            self.publish_newest(conflation);
        }
        decoded
    }

    #[cold]
    pub(super) fn publish_newest(&self, conflation: &mut Conflation) {
        let mut garbage = Vec::new();
        let Some(published) = conflation.sink.publish(&mut garbage) else { return };
        let Some(core) = self.core.upgrade() else { return };
        if published.activates {
            core.readable(self.pipe());
        }
        if published.replaced > 0 {
            core.count_dropped(self.pipe(), DropReason::Conflated, published.replaced);
        }
    }

    fn decode_frames(self: &Arc<Self>, inner: &mut Inner) -> Result<Decoding, Failure> {
        let mut opened = Vec::new();
        loop {
            if let Some(large) = &mut inner.large {
                let bytes = inner.received.bytes();
                let taken = bytes.len().min(large.missing());
                large.reserve(large.missing().min(BODY_BYTES_FIRST.max(taken)))?;
                large.body.extend_from_slice(&bytes[..taken]);
                inner.received.consume(taken);
                if large.missing() > 0 {
                    return Ok(Decoding::Hungry);
                }
                if !inner.in_multipart && !inner.has_room() {
                    return Ok(Decoding::Full);
                }
                if !inner.make_room() {
                    return Err(Failure::NoMemory);
                }
                let Some(large) = inner.large.take() else { continue };
                self.take_large(inner, *large)?;
                if mem::take(&mut inner.answers) {
                    return Ok(Decoding::Answering);
                }
                continue;
            }
            inner.decode_short()?;
            if !inner.in_multipart && !inner.has_room() {
                return Ok(Decoding::Full);
            }
            let Some(zmtp) = &mut inner.zmtp else { return Ok(Decoding::Hungry) };
            match zmtp.decode(inner.received.bytes()).map_err(Failure::Protocol)? {
                Decoded::Incomplete => return Ok(Decoding::Hungry),
                Decoded::Message { more, body, consumed } => {
                    inner.reads_large = body.len() > INLINE_BYTES_MAX;
                    if !make_room(&mut inner.input, &mut inner.conflation) {
                        return Err(Failure::NoMemory);
                    }
                    let body = Message::received(body).ok_or(Failure::NoMemory)?;
                    inner.received.consume(consumed);
                    self.take_message(inner, body, more)?;
                }
                Decoded::Large { more, header_bytes, body_bytes } => {
                    inner.received.consume(header_bytes);
                    inner.reads_large = true;
                    inner.large = Some(Box::new(LargeBody {
                        body: Vec::new(),
                        body_bytes,
                        more,
                        command: false,
                    }));
                }
                Decoded::LargeCommand { header_bytes, body_bytes } => {
                    inner.received.consume(header_bytes);
                    let body_bytes = body_bytes as u64;
                    inner.large = Some(Box::new(LargeBody {
                        body: Vec::new(),
                        body_bytes,
                        more: false,
                        command: true,
                    }));
                }
                Decoded::Command { event, consumed } => {
                    inner.received.consume(consumed);
                    self.take_event(inner, event)?;
                    if mem::take(&mut inner.answers) {
                        return Ok(Decoding::Answering);
                    }
                }
                Decoded::Sealed { .. } => {
                    self.open_next(inner, &mut opened)?;
                    if mem::take(&mut inner.answers) {
                        return Ok(Decoding::Answering);
                    }
                }
            }
        }
    }

    /// Takes the sealed frame at the start of the buffer. `opened` is room that is used again.
    #[cold]
    fn open_next(self: &Arc<Self>, inner: &mut Inner, opened: &mut Vec<u8>) -> Result<(), Failure> {
        let Some(zmtp) = &mut inner.zmtp else { return Ok(()) };
        let decoded = zmtp.decode(inner.received.bytes()).map_err(Failure::Protocol)?;
        let Decoded::Sealed { body, consumed } = decoded else { return Ok(()) };
        opened.clear();
        let place = make_room(&mut inner.input, &mut inner.conflation);
        if !place || !memory::grow(opened, body.len()) {
            return Err(Failure::NoMemory);
        }
        let found = zmtp.open(body, opened).map_err(Failure::Protocol)?;
        inner.reads_large = body.len() > INLINE_BYTES_MAX;
        inner.received.consume(consumed);
        match found {
            Opened::Message { more } => match Message::received(opened) {
                Some(body) => self.take_message(inner, body, more),
                None => Err(inner.lose()),
            },
            Opened::Command(event) => self.take_event(inner, event),
        }
    }

    fn take_large(self: &Arc<Self>, inner: &mut Inner, large: LargeBody) -> Result<(), Failure> {
        if let Some(zmtp) = inner.zmtp.as_mut().filter(|zmtp| zmtp.seals()) {
            let mut opened = Vec::new();
            if !memory::grow(&mut opened, large.body.len()) {
                return Err(inner.lose());
            }
            return match zmtp.open(&large.body, &mut opened).map_err(Failure::Protocol)? {
                Opened::Message { more } => self.take_message(inner, Message::from(opened), more),
                Opened::Command(event) => self.take_event(inner, event),
            };
        }
        if large.command {
            let Some(zmtp) = &mut inner.zmtp else { return Ok(()) };
            let event = zmtp.handle_command(&large.body).map_err(Failure::Protocol)?;
            return self.take_event(inner, event);
        }
        self.take_message(inner, Message::from(large.body), large.more)
    }

    #[inline]
    fn take_message(
        &self,
        inner: &mut Inner,
        mut body: Message,
        more: bool,
    ) -> Result<(), Failure> {
        if inner.takes_subscriptions && !more && !inner.in_multipart {
            // In ZMTP 3.0, and from libzmq's XSUB always, subscriptions come as messages.
            if let Some((add, prefix)) = legacy_subscription(&body) {
                return self.take_subscription(add, prefix);
            }
        }
        if inner.discards_input {
            inner.in_multipart = more;
            inner.unwanted += u64::from(!more);
            return Ok(());
        }
        if more || inner.in_multipart {
            inner.multipart_bytes += body.len() as u64 + PART_BYTES_EACH;
            // Whether it ends here or not, it is lost if it is too long.
            inner.in_multipart = true;
            if inner.multipart_bytes > inner.multipart_bytes_max {
                return Err(Failure::TooMuch("a longer multipart message than MAXMULTIPARTSIZE"));
            }
            inner.in_multipart = more;
            if !more {
                inner.multipart_bytes = 0;
            }
        }
        body.set_connection(inner.route.number());
        if let Some(input) = &mut inner.input {
            body.set_more(more);
            input.push(body, !more);
        } else if let Some(conflation) = &mut inner.conflation {
            body.set_more(more);
            conflation.sink.push(body, !more);
        }
        Ok(())
    }

    fn take_event(self: &Arc<Self>, inner: &mut Inner, event: Event) -> Result<(), Failure> {
        match event {
            Event::Subscribe(prefix) => self.take_subscription(true, &prefix),
            Event::Cancel(prefix) => self.take_subscription(false, &prefix),
            // The PONG is among what `write` sends.
            Event::Ping { ttl_ds } => {
                inner.take_ping(ttl_ds);
                // A peer that reads gets them all; one that takes nothing for now, as many as may wait.
                inner.answers = !inner.interest.write
                    && inner.zmtp.as_ref().is_some_and(|zmtp| zmtp.has_pongs_enough());
                Ok(())
            }
            Event::Pong(_) | Event::Error(_) | Event::Unknown(_) => Ok(()),
        }
    }

    fn take_subscription(&self, add: bool, prefix: &[u8]) -> Result<(), Failure> {
        match self.core.upgrade().filter(|core| core.takes_subscriptions) {
            Some(core) => Ok(core.peer_subscription(self.pipe(), add, prefix)?),
            None => Ok(()),
        }
    }

    // Out.

    fn write(
        self: &Arc<Self>,
        inner: &mut Inner,
        garbage: &mut Vec<Message>,
    ) -> Result<(), Failure> {
        self.gather_control(inner);
        for _ in 0..WRITES_MAX {
            if inner.seals() || inner.has_answers() || inner.subscriptions_wait {
                self.gather_control(inner);
            }
            if inner.is_flushed() {
                break;
            }
            if inner.conflation.is_some() {
                inner.take_newest(garbage);
            }
            match inner.write_some(garbage) {
                Ok(wake_writer) => {
                    if wake_writer && let Some(core) = self.core.upgrade() {
                        core.writable(self.pipe());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    // The mark is exact against a peer that has stalled.
                    if inner.out.as_mut().is_some_and(|out| out.settle())
                        && let Some(core) = self.core.upgrade()
                    {
                        core.writable(self.pipe());
                    }
                    self.watch(inner, Interest { read: inner.interest.read, write: true });
                    return Ok(());
                }
                Err(error) => return Err(Failure::System(error)),
            }
        }
        // With work left, the epoll says at once that there is room: others have their turn first.
        let write = !inner.is_flushed();
        self.watch(inner, Interest { read: inner.interest.read, write });
        Ok(())
    }

    /// Collects what is sent outside the arena. PONGs stay with the protocol, which makes only so many,
    /// until what was collected before them has left: else a peer that never reads could ask for any
    /// number.
    fn gather_control(&self, inner: &mut Inner) {
        let Some(zmtp) = &mut inner.zmtp else { return };
        if inner.control_sent == inner.control.len() || !matches!(inner.phase, Phase::Traffic(_)) {
            zmtp.poll_transmit(&mut inner.control);
        }
        // To some peers subscriptions are messages, which go between others, not within one; and what
        // is sealed goes at once.
        let may = || {
            !inner.transcoder.as_ref().is_some_and(|transcoder| transcoder.seals())
                || inner.out.as_ref().is_none_or(|out| out.at_boundary())
        };
        if matches!(inner.phase, Phase::Traffic(_)) && may() {
            let room_bytes =
                SUBSCRIPTION_BYTES_MAX.saturating_sub(inner.control.len() - inner.control_sent);
            let subscriptions = {
                let mut asides = self.asides.lock();
                inner.subscriptions_wait = false;
                let Some(left) = asides.as_deref_mut().map(|asides| &mut asides.subscriptions)
                else {
                    return;
                };
                let subscriptions = left.take(room_bytes);
                inner.subscriptions_wait = !left.is_empty();
                if left.is_empty() {
                    // In this phase no name is being looked up.
                    *asides = None;
                }
                subscriptions
            };
            for (add, prefix) in subscriptions {
                if add {
                    zmtp.subscribe(&prefix, &mut inner.control);
                } else {
                    zmtp.cancel(&prefix, &mut inner.control);
                }
            }
        }
    }

    /// Tells the epoll what to watch the descriptor for, if that changed.
    pub(super) fn watch(&self, inner: &mut Inner, interest: Interest) {
        if inner.interest == interest {
            return;
        }
        self.blocked.store(interest.write, Ordering::Relaxed);
        if let Some(fd) = inner.phase.fd() {
            self.group.watch(fd, self.key, interest);
            inner.interest = interest;
        }
    }

    // The end.

    /// Reads and forgets until the peer ends the stream, as much at a time as of any other.
    fn drain(inner: &mut Inner) -> Result<(), Failure> {
        for _ in 0..READS_MAX {
            inner.received.clear();
            match inner.read_some() {
                Ok(0) => return Err(Failure::EndOfStream),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Failure::System(error)),
            }
        }
        Ok(())
    }
}

impl Inner {
    /// The hot path of `decode_frames`: messages of one part that lie wholly in the buffer.
    #[inline]
    fn decode_short(&mut self) -> Result<(), Failure> {
        let (Some(zmtp), Some(input)) = (&self.zmtp, &mut self.input) else { return Ok(()) };
        if self.in_multipart || self.discards_input || self.takes_subscriptions {
            return Ok(());
        }
        let mut decoded = Ok(());
        let bytes = self.received.bytes();
        let connection = self.route.number();
        let mut at = 0;
        while input.has_room()
            && let Some(body) = zmtp.short_message(&bytes[at..])
        {
            // SAFETY: `try_write_to` makes a whole message, or an empty one, which owns nothing.
            let pushed = unsafe {
                input.try_push_with(true, |place| Message::try_write_to(place, body, connection))
            };
            if !pushed {
                decoded = Err(Failure::NoMemory);
                break;
            }
            at += HEADER_BYTES_SHORT + body.len();
        }
        if at > 0 {
            self.reads_large = false;
            self.received.consume(at);
        }
        decoded
    }

    /// Makes a place for a part that the peer sends. False: there is no memory for it.
    pub(super) fn make_room(&mut self) -> bool {
        make_room(&mut self.input, &mut self.conflation)
    }

    /// There is no memory for the body of a frame that was already taken off the buffer: the message is
    /// lost.
    #[cold]
    fn lose(&mut self) -> Failure {
        self.in_multipart = true;
        Failure::NoMemory
    }

    /// Whether something waits that the protocol has to say.
    #[inline]
    fn has_answers(&self) -> bool {
        self.zmtp.as_ref().is_some_and(|zmtp| zmtp.has_pending())
    }

    fn seals(&self) -> bool {
        self.transcoder.as_ref().is_some_and(|transcoder| transcoder.seals())
    }

    #[inline]
    pub(super) fn has_room(&mut self) -> bool {
        self.input.as_mut().is_none_or(|input| input.has_room()) || self.unheard
    }

    /// The socket closes the connection: nothing more comes in from it.
    #[cold]
    pub(super) fn take_no_more(&mut self) {
        self.discards_input = true;
        self.close_raw();
    }

    /// Whether everything that was to be sent is.
    pub(super) fn is_flushed(&self) -> bool {
        self.control_sent == self.control.len()
            && !self.has_answers()
            && (!matches!(self.phase, Phase::Traffic(_))
                || !(self.subscriptions_wait || self.has_unsent()))
    }

    /// Whether the pipe holds anything that the kernel has not yet taken.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        self.out.as_ref().is_some_and(|out| out.has_pending())
            || self.conflation.as_ref().is_some_and(|conflation| !conflation.source.is_empty())
    }

    /// CONFLATE: once the kernel has all of the last message, the newest follows.
    #[cold]
    fn take_newest(&mut self, garbage: &mut Vec<Message>) {
        let (Some(conflation), Some(out)) = (&mut self.conflation, &self.out) else { return };
        if out.has_pending() || !matches!(self.phase, Phase::Traffic(_)) {
            return;
        }
        let mut part = Message::new();
        while conflation.source.pop_into(&mut part) {
            let more = part.more();
            conflation.arena.write(&mut part);
            garbage.push(part.take());
            if !more {
                conflation.arena.publish();
                break;
            }
        }
    }

    /// CONFLATE: of the message that the connection took with it and a newer one, the newer one is
    /// sent to the next peer. What was received of an unfinished message is forgotten. Says how many
    /// messages were so replaced.
    pub(super) fn rewind_conflation(&mut self, garbage: &mut Vec<Message>) -> u64 {
        let Some(conflation) = &mut self.conflation else { return 0 };
        conflation.sink.rollback(garbage);
        match &mut self.out {
            Some(out) if !conflation.source.is_empty() => out.discard(garbage).messages,
            _ => 0,
        }
    }

    /// One read, into a long body that is being collected, or into the buffer.
    fn read_some(&mut self) -> io::Result<usize> {
        let Some(fd) = self.phase.fd() else { return Ok(0) };
        if let Some(large) = &mut self.large
            && self.received.is_empty()
        {
            let missing = large.missing();
            large.reserve(missing.min(BODY_BYTES_FIRST.max(large.body.len())))?;
            let room = large.body.spare_capacity_mut();
            let room_bytes = room.len().min(missing);
            let read = sys::read(fd, &mut room[..room_bytes])?;
            // SAFETY: `read` bytes behind the old end were just filled.
            unsafe { large.body.set_len(large.body.len() + read) };
            self.last_room_bytes = room_bytes;
            return Ok(read);
        }
        let mut room = self.received.room().ok_or(io::ErrorKind::OutOfMemory)?;
        // Where bodies are long, little is read at their start: the rest goes where it belongs
        // without a copy.
        if self.reads_large && room.len() > READ_BYTES_BEFORE_LARGE {
            room = &mut room[..READ_BYTES_BEFORE_LARGE];
        }
        self.last_room_bytes = room.len();
        let read = sys::read(fd, room)?;
        self.received.filled(read);
        Ok(read)
    }

    /// One write. True: the writer of the pipe waits for the room this made.
    fn write_some(&mut self, garbage: &mut Vec<Message>) -> io::Result<bool> {
        if self.transcoder.is_some() {
            return self.write_transcoded(garbage);
        }
        let (Some(fd), Some(zmtp)) = (self.phase.fd(), &self.zmtp) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let traffic = matches!(self.phase, Phase::Traffic(_)) && zmtp.is_ready();
        let control_bytes = self.control.len() - self.control_sent;
        let mut slices = IoVecs::new();
        let at_boundary = self.out.as_ref().is_none_or(|out| out.at_boundary());
        if control_bytes > 0 && at_boundary {
            slices.push(&self.control[self.control_sent..]);
        }
        if traffic && let Some(out) = &self.out {
            out.gather(&mut slices, WRITE_BYTES);
        }
        let written = sys::write(fd, slices.as_slices())?;
        self.written = self.written.wrapping_add(written as i64);

        let control = if at_boundary { written.min(control_bytes) } else { 0 };
        self.control_sent += control;
        if self.control_sent == self.control.len() && !self.control.is_empty() {
            self.control = Vec::new();
            self.control_sent = 0;
        }
        let Some(out) = self.out.as_mut().filter(|_| written > control) else { return Ok(false) };
        Ok(out.advance(written - control, garbage).wake_writer)
    }

    /// As `write_some`, to a peer of ZMTP 1.0, or none of ZMTP at all, or one that gets everything
    /// sealed: what goes outside the arena, or a part of what lies in it.
    #[cold]
    #[inline(never)]
    fn write_transcoded(&mut self, garbage: &mut Vec<Message>) -> io::Result<bool> {
        let (Some(fd), Some(transcoder)) = (self.phase.fd(), &mut self.transcoder) else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let mut slices = IoVecs::new();
        // What was sealed first goes first.
        let may = transcoder.seals() || self.out.as_ref().is_none_or(|out| out.at_boundary());
        if self.control_sent < self.control.len() && may && transcoder.is_idle() {
            slices.push(&self.control[self.control_sent..]);
            let written = sys::write(fd, slices.as_slices())?;
            self.written = self.written.wrapping_add(written as i64);
            self.control_sent += written;
            if self.control_sent == self.control.len() {
                self.control = Vec::new();
                self.control_sent = 0;
            }
            return Ok(false);
        }
        let Some(out) = &mut self.out else { return Ok(false) };
        transcoder.gather(out, self.zmtp.as_deref_mut(), &mut slices, garbage);
        let written = sys::write(fd, slices.as_slices())?;
        self.written = self.written.wrapping_add(written as i64);
        Ok(transcoder.advance(written, out, garbage))
    }

    /// The connection is of no more use. The descriptor is watched no longer, so that nobody is
    /// told of it again; the I/O thread does the rest.
    pub(super) fn break_off(&mut self, session: &Session, failure: Failure) {
        self.count_cut_short(&failure);
        match (&self.origin, &self.phase) {
            (Origin::Connect { .. }, Phase::Connecting(_)) => {
                self.heed_reconnect_stop(&failure, false);
            }
            (Origin::Connect { .. }, Phase::Handshake(_)) => {
                self.heed_reconnect_stop(&failure, true);
            }
            // As libzmq: who does not speak ZMTP has never shaken hands.
            (Origin::Connect { .. }, Phase::Traffic(_)) if self.raw => {
                self.heed_reconnect_stop(&failure, true);
            }
            _ => {}
        }
        session.tell_failure(self, &failure);
        let phase = mem::replace(&mut self.phase, Phase::Ended);
        self.phase = match phase.into_fd() {
            Some(fd) => {
                session.group.forget(&fd);
                Phase::Broken(fd)
            }
            None => Phase::Ended,
        };
        self.interest = Interest::NONE;
    }
}

impl LargeBody {
    pub(super) fn missing(&self) -> usize {
        // More than memory can address ends when memory does.
        usize::try_from(self.body_bytes - self.body.len() as u64).unwrap_or(usize::MAX)
    }

    /// Makes room for `bytes` more, or says that memory is short.
    fn reserve(&mut self, bytes: usize) -> io::Result<()> {
        let room = self.body.capacity() - self.body.len();
        if room >= bytes {
            return Ok(());
        }
        // The last buffer is exact: no doubling beyond the body's end.
        if memory::grow(&mut self.body, bytes) {
            Ok(())
        } else {
            Err(io::ErrorKind::OutOfMemory.into())
        }
    }
}

/// Makes a place for a part that the peer sends. False: there is no memory for it.
#[inline]
fn make_room(
    input: &mut Option<SlotWriter<Message>>,
    conflation: &mut Option<Box<Conflation>>,
) -> bool {
    match (input, conflation) {
        (Some(input), _) => input.reserve(),
        (None, Some(conflation)) => conflation.sink.reserve(),
        (None, None) => true,
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::OutOfMemory => Failure::NoMemory,
            _ => Failure::System(error),
        }
    }
}

impl Phase {
    pub(super) fn fd(&self) -> Option<&sys::Fd> {
        match self {
            Phase::Connecting(fd)
            | Phase::Handshake(fd)
            | Phase::Traffic(fd)
            | Phase::Draining(fd)
            | Phase::Broken(fd) => Some(fd),
            Phase::Offline | Phase::Resolving | Phase::Ended => None,
        }
    }

    fn into_fd(self) -> Option<sys::Fd> {
        match self {
            Phase::Connecting(fd)
            | Phase::Handshake(fd)
            | Phase::Traffic(fd)
            | Phase::Draining(fd)
            | Phase::Broken(fd) => Some(fd),
            Phase::Offline | Phase::Resolving | Phase::Ended => None,
        }
    }
}
