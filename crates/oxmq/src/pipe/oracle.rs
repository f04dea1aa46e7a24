//! Pipes against models that cannot be wrong, under random operations.

use super::arena::Advanced;
use super::*;
use crate::Message;
use std::collections::VecDeque;
use std::sync::Arc;

/// Splitmix64: a seed decides everything.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// A long body that tells how many of its kind are alive.
struct Counted(Vec<u8>, #[expect(dead_code, reason = "held for its count")] Arc<()>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn body_bytes(random: &mut Random) -> usize {
    match random.below(12) {
        0 => 0,
        1 => random.below(4),
        2..=5 => random.below(70),
        6 => 250 + random.below(10),
        7 => random.below(4000),
        8 => 4090 + random.below(10),
        9 => 4096,
        10 => random.below(100_000),
        _ => random.below(20),
    }
}

fn part(random: &mut Random, more: bool, alive: &Arc<()>) -> Message {
    let seed = random.next() as u8;
    let body: Vec<u8> = (0..body_bytes(random)).map(|i| seed.wrapping_add(i as u8)).collect();
    let mut part = Message::from_owner(Counted(body, alive.clone()));
    part.set_more(more);
    part
}

/// A part as it must look on the wire (RFC 37, section "Framing").
fn encode(part: &Message, wire: &mut Vec<u8>) {
    let more = u8::from(part.more());
    if part.len() <= 255 {
        wire.extend([more, part.len() as u8]);
    } else {
        wire.push(more | 2);
        wire.extend((part.len() as u64).to_be_bytes());
    }
    wire.extend_from_slice(part);
}

/// The high-water mark as documented.
#[derive(Default)]
struct CreditModel {
    hwm: u64,
    spent: u64,
    done: u64,
    returned: u64,
    waiting: bool,
}

impl CreditModel {
    fn has_room(&mut self) -> bool {
        let room = self.hwm == 0 || self.spent - self.returned < self.hwm;
        self.waiting |= !room;
        room
    }

    /// Whether the writer must be woken.
    fn done(&mut self, messages: u64, empty: bool) -> bool {
        self.done += messages;
        let batch = if self.hwm == 0 { 1024 } else { self.hwm.div_ceil(2) };
        if self.done - self.returned < batch && !(empty && self.done != self.returned) {
            return false;
        }
        self.returned = self.done;
        std::mem::take(&mut self.waiting)
    }
}

struct ArenaModel {
    /// The published messages that are not wholly written, encoded.
    queue: VecDeque<Vec<u8>>,
    /// Bytes written of them.
    written: usize,
    credit: CreditModel,
}

impl ArenaModel {
    fn pending(&self) -> usize {
        self.queue.iter().map(Vec::len).sum::<usize>() - self.written
    }

    fn next_bytes(&self, bytes: usize) -> Vec<u8> {
        let mut all = Vec::new();
        for message in &self.queue {
            all.extend_from_slice(message);
            if all.len() >= self.written + bytes {
                break;
            }
        }
        all[self.written..][..bytes].to_vec()
    }

    fn advance(&mut self, bytes: usize) -> Advanced {
        self.written += bytes;
        let mut messages = 0;
        while self.queue.front().is_some_and(|front| front.len() <= self.written) {
            self.written -= self.queue.pop_front().unwrap().len();
            messages += 1;
        }
        let empty = self.queue.is_empty();
        Advanced { messages, wake_writer: self.credit.done(messages, empty) }
    }

    fn discard(&mut self) -> Advanced {
        let messages = self.queue.len() as u64;
        self.queue.clear();
        self.written = 0;
        Advanced { messages, wake_writer: self.credit.done(messages, true) }
    }
}

fn arena_run(seed: u64) {
    let mut random = Random(seed);
    let hwm = [0, 1, 2, 3, 10, 1000][random.below(6)];
    let eager = 1 + random.below(20);
    let small = random.one_in(2);
    let alive = Arc::new(());
    let mut garbage = Vec::new();
    let (mut writer, mut reader) = arena(hwm);
    let mut model = ArenaModel {
        queue: VecDeque::new(),
        written: 0,
        credit: CreditModel { hwm: u64::from(hwm), ..CreditModel::default() },
    };
    for _ in 0..2000 {
        match random.below(eager + 6) {
            0 | 1 => {
                let bytes_max = match random.below(4) {
                    0 => 1 + random.below(12),
                    1 => random.below(5000),
                    _ => 1 << 18,
                };
                let mut out = IoVecs::new();
                let bytes = reader.gather(&mut out, bytes_max);
                assert_eq!(bytes, out.bytes());
                assert!(out.is_full() || bytes == bytes_max.min(model.pending()));
                assert_eq!(out.as_slices().concat_bytes(), model.next_bytes(bytes));
                let taken = if random.one_in(2) { bytes } else { random.below(bytes + 1) };
                let advanced = reader.advance(taken, &mut garbage);
                assert_eq!(advanced, model.advance(taken));
            }
            2 if random.one_in(5) => {
                reader.rewind();
                model.written = 0;
            }
            3 if random.one_in(30) => {
                assert_eq!(reader.discard(&mut garbage), model.discard());
            }
            4 if random.one_in(5) => {
                let idle = model.pending() == 0;
                assert_eq!(reader.trim(&mut writer), idle);
                assert!(!idle || reader.idle_bytes() == 0);
            }
            5 if random.one_in(5) => {
                for _ in 0..1 + random.below(5) {
                    writer.write(&mut part(&mut random, true, &alive));
                }
                writer.rollback(&mut garbage);
            }
            _ => {
                let room = writer.has_room();
                assert_eq!(room, model.credit.has_room());
                if !room {
                    continue;
                }
                let mut wire = Vec::new();
                let parts = if random.one_in(3) { 1 + random.below(5) } else { 1 };
                for i in 0..parts {
                    let mut part = part(&mut random, i + 1 < parts, &alive);
                    if small && part.len() > 100 {
                        part = Message::from(&part[..random.below(100)]);
                        part.set_more(i + 1 < parts);
                    }
                    encode(&part, &mut wire);
                    if random.one_in(2) {
                        writer.write(&mut part);
                    } else {
                        writer.write_copy(&part);
                    }
                }
                writer.publish();
                model.queue.push_back(wire);
                model.credit.spent += 1;
            }
        }
        assert_eq!(reader.has_pending(), !model.queue.is_empty());
        assert_eq!(reader.queued(), model.queue.len() as u64);
        assert_eq!(reader.at_boundary(), model.written == 0);
        assert_eq!(writer.outstanding(), model.credit.spent - model.credit.returned);
        if random.one_in(4) {
            garbage.clear();
        }
    }
    if random.one_in(2) {
        writer.write(&mut part(&mut random, true, &alive));
    }
    if random.one_in(2) {
        drop(writer);
        drop(reader);
    } else {
        drop(reader);
        drop(writer);
    }
    drop(garbage);
    assert_eq!(Arc::strong_count(&alive), 1, "a body leaked");
}

trait ConcatBytes {
    fn concat_bytes(&self) -> Vec<u8>;
}

impl ConcatBytes for [std::io::IoSlice<'_>] {
    fn concat_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|slice| slice.iter().copied()).collect()
    }
}

#[test]
fn arena_behaves_as_its_model() {
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| arena_run(seed));
        assert!(run.is_ok(), "seed {seed}");
    }
}

const SEEDS: u64 = if cfg!(debug_assertions) { 60 } else { 600 };

#[test]
fn arena_advances_by_every_number_of_bytes() {
    let alive = Arc::new(());
    for step in 1..40 {
        let (mut writer, mut reader) = arena(0);
        let mut garbage = Vec::new();
        let mut expected = Vec::new();
        for (bytes, more) in [(0, false), (1, true), (300, true), (5000, false), (3, false)] {
            let body = vec![bytes as u8; bytes];
            let mut part = Message::from_owner(Counted(body, alive.clone()));
            part.set_more(more);
            encode(&part, &mut expected);
            writer.write_copy(&part);
            if !more {
                writer.publish();
            }
        }
        let mut seen = Vec::new();
        let mut messages = 0;
        while reader.has_pending() {
            let mut out = IoVecs::new();
            let bytes = reader.gather(&mut out, step);
            seen.extend(out.as_slices().concat_bytes());
            assert!(bytes > 0);
            messages += reader.advance(bytes, &mut garbage).messages;
        }
        assert_eq!(seen, expected);
        assert_eq!(messages, 3);
        assert_eq!(garbage.len(), 1, "the long body");
    }
}

#[test]
fn an_idle_arena_gives_its_memory_back() {
    let (mut writer, mut reader) = arena(0);
    assert_eq!(reader.idle_bytes(), 0);
    let mut part = Message::from(&[1; 50]);
    for _ in 0..100_000 {
        writer.write(&mut part);
        writer.publish();
    }
    assert_eq!(reader.queued(), 100_000);
    reader.discard(&mut Vec::new());
    assert_eq!(reader.idle_bytes(), 64 << 10, "a burst grows the chunks");
    assert!(reader.trim(&mut writer));
    for _ in 0..10_000 {
        writer.write(&mut part);
        writer.publish();
        reader.discard(&mut Vec::new());
    }
    assert_eq!(reader.idle_bytes(), 4 << 10, "a reader that keeps up needs the smallest");
    let (mut other, _) = arena(0);
    assert!(!reader.trim(&mut other));
}

fn slots_run(seed: u64) {
    let mut random = Random(seed);
    let hwm = [0, 1, 2, 3, 10, 1000][random.below(6)];
    let eager = 1 + random.below(12);
    let alive = Arc::new(());
    let (mut writer, mut reader) = slots::<(u64, bool, Arc<()>)>(hwm);
    let mut credit = CreditModel { hwm: u64::from(hwm), ..CreditModel::default() };
    let mut visible = VecDeque::new();
    let mut staged = VecDeque::new();
    let mut asleep = true;
    let mut woken = false;
    let mut number = 0;
    for _ in 0..3000 {
        match random.below(eager + 8) {
            0..=3 => match reader.pop() {
                Some((number, ends, _)) => {
                    assert_eq!(visible.pop_front(), Some((number, ends)));
                    if ends {
                        reader.count_message();
                        woken |= credit.done(1, visible.is_empty());
                    }
                }
                None => {
                    assert!(visible.is_empty());
                    woken |= credit.done(0, true);
                    asleep = true;
                }
            },
            4 => assert_eq!(reader.is_empty(), visible.is_empty()),
            5 => {
                let peeked = reader.peek().map(|item| (item.0, item.1));
                assert_eq!(peeked.as_ref(), visible.front());
                if peeked.is_none() {
                    woken |= credit.done(0, true);
                    asleep = true;
                }
            }
            6 => {
                let activate = asleep && !staged.is_empty();
                asleep &= staged.is_empty();
                visible.append(&mut staged);
                assert_eq!(writer.publish(), activate);
            }
            7 => {
                let idle = visible.is_empty() && staged.is_empty();
                assert_eq!(reader.trim(&mut writer), idle);
                assert!(!idle || reader.idle_bytes() == 0);
            }
            _ => {
                let room = writer.has_room();
                assert_eq!(room, credit.has_room());
                let bound = (credit.spent - credit.returned).max(u64::from(hwm));
                let free = bound - (credit.spent - credit.returned);
                assert_eq!(writer.room(), if hwm == 0 { u64::MAX } else { free });
                if !room {
                    continue;
                }
                let parts = 1 + if random.one_in(3) { random.below(200) } else { 0 };
                if random.one_in(8) {
                    (0..parts).for_each(|_| writer.push((0, false, alive.clone()), false));
                    let mut garbage = Vec::new();
                    writer.rollback(|part| garbage.push(part));
                    assert_eq!(garbage.len(), parts);
                    continue;
                }
                for i in 0..parts {
                    let ends = i + 1 == parts;
                    writer.push((number, ends, alive.clone()), ends);
                    staged.push_back((number, ends));
                    number += 1;
                }
                credit.spent += 1;
            }
        }
        assert_eq!(writer.outstanding(), credit.spent - credit.returned);
        assert_eq!(reader.take_wake(), std::mem::take(&mut woken));
    }
    if random.one_in(2) {
        drop(writer);
        drop(reader);
    } else {
        drop(reader);
        drop(writer);
    }
    assert_eq!(Arc::strong_count(&alive), 1, "an item leaked");
}

#[test]
fn slots_behave_as_their_model() {
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| slots_run(seed));
        assert!(run.is_ok(), "seed {seed}");
    }
}

/// Two threads, sequence numbers, every kind of body: nothing lost, repeated or torn.
#[test]
fn two_threads_through_both_pipes() {
    const MESSAGES: u64 = 30_000;
    let (mut arena_in, mut arena_out) = arena(100);
    let (mut slots_in, mut slots_out) = slots::<Message>(100);
    let producer = std::thread::spawn(move || {
        for number in 0..MESSAGES {
            while !arena_in.has_room() || !slots_in.has_room() {
                std::thread::yield_now();
            }
            let mut body = vec![number as u8; [8, 100, 300, 6000][number as usize % 4]];
            body[..8].copy_from_slice(&number.to_le_bytes());
            let mut part = Message::from(body);
            slots_in.push(part.clone(), true);
            slots_in.publish();
            arena_in.write(&mut part);
            arena_in.publish();
        }
    });
    let mut wire = Vec::new();
    let mut garbage = Vec::new();
    for number in 0..MESSAGES {
        let message = loop {
            match slots_out.pop() {
                Some(message) => break message,
                None => std::thread::yield_now(),
            }
        };
        slots_out.count_message();
        assert_eq!(message[..8], number.to_le_bytes());
        let mut expected = Vec::new();
        encode(&message, &mut expected);
        while wire.len() < expected.len() {
            let mut out = IoVecs::new();
            let bytes = arena_out.gather(&mut out, 20_000);
            wire.extend(out.as_slices().concat_bytes());
            arena_out.advance(bytes, &mut garbage);
            garbage.clear();
        }
        assert_eq!(wire[..expected.len()], expected);
        wire.drain(..expected.len());
    }
    producer.join().unwrap();
}
