//! The pipe of a socket with CONFLATE: it holds one message, the newest, whole.
//!
//! A lock rather than a queue: who conflates wants little, and late. What a newer message replaces
//! is gone whole, however many parts it has, and the parts of one that is being read are the
//! reader's: no reader ever sees parts of two messages.

use std::mem;
use std::vec;

use parking_lot::Mutex;

use crate::Message;
use crate::memory;
use crate::sync::Arc;

/// A pipe for the newest message.
pub(crate) fn newest() -> (NewestWriter, NewestReader) {
    let cell = Arc::new(Mutex::new(Cell::default()));
    let writer = NewestWriter {
        cell: cell.clone(),
        staged: Vec::new(),
        complete: None,
        unpublished: 0,
        sent: 0,
    };
    (writer, NewestReader { cell, rest: Vec::new().into_iter() })
}

/// The end that messages are put in at.
pub(crate) struct NewestWriter {
    cell: Arc<Mutex<Cell>>,
    /// The parts of a message that has not ended.
    staged: Vec<Message>,
    /// The newest message that has, not yet visible.
    complete: Option<Vec<Message>>,
    /// Messages complete since the last `publish`.
    unpublished: u64,
    sent: u64,
}

/// The end that messages are taken from.
pub(crate) struct NewestReader {
    cell: Arc<Mutex<Cell>>,
    /// What is left of the message being read.
    rest: vec::IntoIter<Message>,
}

#[derive(Default)]
struct Cell {
    message: Option<Vec<Message>>,
    /// The reader does not have to be activated.
    awake: bool,
    /// Messages published and replaced, ever.
    arrived: u64,
}

/// What [`NewestWriter::publish`] brought about.
pub(crate) struct Published {
    /// The reader had found nothing and must be activated.
    pub(crate) activates: bool,
    /// Messages that newer ones have replaced since the last time.
    pub(crate) replaced: u64,
}

impl NewestWriter {
    /// Makes a place for the next part, which a peer sends. False: there is no memory for it.
    pub(crate) fn reserve(&mut self) -> bool {
        let parts = self.staged.len();
        parts < self.staged.capacity() || memory::grow(&mut self.staged, parts.max(4))
    }

    /// Stages a part, the last of its message or not.
    pub(crate) fn push(&mut self, part: Message, ends_message: bool) {
        self.staged.push(part);
        if ends_message {
            self.sent += 1;
            self.unpublished += 1;
            self.complete = Some(mem::take(&mut self.staged));
        }
    }

    /// Makes the newest complete message visible, in the place of an older one. `None`: there is no
    /// new one.
    pub(crate) fn publish(&mut self, garbage: &mut Vec<Message>) -> Option<Published> {
        let message = self.complete.take()?;
        let messages = mem::take(&mut self.unpublished);
        let mut cell = self.cell.lock();
        cell.arrived += messages;
        let older = cell.message.replace(message);
        let replaced = messages - 1 + u64::from(older.is_some());
        discard(older.unwrap_or_default(), garbage);
        Some(Published { activates: !mem::replace(&mut cell.awake, true), replaced })
    }

    /// Forgets the message that has not ended.
    pub(crate) fn rollback(&mut self, garbage: &mut Vec<Message>) {
        discard(mem::take(&mut self.staged), garbage);
    }

    /// Messages pushed, ever.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Messages that wait to be taken: one at the most.
    pub(crate) fn waiting(&self) -> u64 {
        u64::from(self.cell.lock().message.is_some())
    }
}

/// Adds to `garbage`, without a list of its own where there is none yet: a message may have any number
/// of parts.
fn discard(mut parts: Vec<Message>, garbage: &mut Vec<Message>) {
    if garbage.is_empty() {
        *garbage = parts;
    } else {
        garbage.append(&mut parts);
    }
}

impl NewestReader {
    /// Takes the next part. False: there is none, and the next `publish` says that the reader must
    /// be activated.
    pub(crate) fn pop_into(&mut self, into: &mut Message) -> bool {
        if self.rest.as_slice().is_empty() {
            let mut cell = self.cell.lock();
            match cell.message.take() {
                Some(message) => self.rest = message.into_iter(),
                None => cell.awake = false,
            }
        }
        match self.rest.next() {
            Some(part) => {
                *into = part;
                true
            }
            None => false,
        }
    }

    /// Whether there is a part to take; as `pop_into` when there is not.
    pub(crate) fn has_input(&mut self) -> bool {
        if !self.rest.as_slice().is_empty() {
            return true;
        }
        let mut cell = self.cell.lock();
        cell.awake = cell.message.is_some();
        cell.awake
    }

    /// Whether there is nothing to take. Changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.as_slice().is_empty() && self.waiting() == 0
    }

    /// Takes what is there, and says how many messages that is.
    pub(crate) fn discard(&mut self, garbage: &mut Vec<Message>) -> u64 {
        garbage.extend(&mut self.rest);
        let message = self.cell.lock().message.take();
        let messages = u64::from(message.is_some());
        garbage.extend(message.into_iter().flatten());
        messages
    }

    /// Messages that have come, replaced ones included, ever.
    pub(crate) fn arrived(&self) -> u64 {
        self.cell.lock().arrived
    }

    /// Messages that wait to be taken: one at the most. One begun does not wait.
    pub(crate) fn waiting(&self) -> u64 {
        u64::from(self.cell.lock().message.is_some())
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn put(writer: &mut NewestWriter, parts: &[&str]) -> bool {
        for (at, part) in parts.iter().enumerate() {
            let more = at + 1 < parts.len();
            let mut part = Message::from(*part);
            part.set_more(more);
            writer.push(part, !more);
        }
        writer.publish(&mut Vec::new()).unwrap().activates
    }

    fn take(reader: &mut NewestReader) -> Option<Vec<u8>> {
        let mut part = Message::new();
        reader.pop_into(&mut part).then(|| part.to_vec())
    }

    #[test]
    fn a_newer_message_replaces_the_older_one_whole() {
        let (mut writer, mut reader) = newest();
        assert!(put(&mut writer, &["a", "b", "c"]));
        assert!(!put(&mut writer, &["d", "e"]));
        assert_eq!(take(&mut reader).unwrap(), b"d");
        // One that is being read is not torn.
        put(&mut writer, &["f"]);
        assert_eq!(take(&mut reader).unwrap(), b"e");
        assert_eq!(take(&mut reader).unwrap(), b"f");
        assert_eq!(take(&mut reader), None);
        assert_eq!((writer.sent(), reader.arrived()), (3, 3));
    }

    #[test]
    fn what_was_replaced_is_counted() {
        let (mut writer, mut reader) = newest();
        for body in ["a", "b", "c"] {
            writer.push(Message::from(body), true);
        }
        assert_eq!(writer.publish(&mut Vec::new()).unwrap().replaced, 2);
        assert!(writer.publish(&mut Vec::new()).is_none());
        writer.push(Message::from("d"), true);
        assert_eq!(writer.publish(&mut Vec::new()).unwrap().replaced, 1);
        assert_eq!((reader.waiting(), reader.discard(&mut Vec::new())), (1, 1));
        assert_eq!((reader.waiting(), take(&mut reader)), (0, None));
    }

    #[test]
    fn a_message_that_never_ended_is_never_seen() {
        let (mut writer, mut reader) = newest();
        let mut part = Message::from("torn");
        part.set_more(true);
        writer.push(part, false);
        assert!(writer.publish(&mut Vec::new()).is_none());
        writer.rollback(&mut Vec::new());
        put(&mut writer, &["whole"]);
        assert_eq!(take(&mut reader).unwrap(), b"whole");
    }

    #[test]
    fn a_reader_that_found_nothing_is_activated_once() {
        let (mut writer, mut reader) = newest();
        assert!(!reader.has_input());
        assert!(put(&mut writer, &["a"]));
        assert!(reader.has_input() && !reader.is_empty());
        assert!(!put(&mut writer, &["b"]));
        assert!(take(&mut reader).is_some() && reader.is_empty());
        // It has not looked in vain yet.
        assert!(!put(&mut writer, &["c"]));
        assert!(take(&mut reader).is_some() && take(&mut reader).is_none());
        assert!(put(&mut writer, &["d"]));
    }
}
