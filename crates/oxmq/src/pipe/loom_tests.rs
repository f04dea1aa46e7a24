//! loom on the modules that ship: every interleaving (up to a bound on preemptions), and every
//! stale value that the orderings allow. Chunks are tiny here, and loom watches every byte and
//! slot in them. A lost wake-up is a deadlock, which loom reports. (A thread that may be unparked
//! joins nobody: loom's `unpark` ends every kind of wait. The model waits for all threads anyway.)
//!
//! `loom-mutations.txt` lists defects that can be planted (`--cfg oxmq_mutation="NAME"`); each must
//! make a test fail. A lost wake-up aborts the process, for loom cannot unwind from a deadlock.
//!
//! | mutation | what it breaks | found by, among others |
//! |---|---|---|
//! | `arena_publish_relaxed` | records and chunks are not visible with their position | `arena_carries_whole_messages_through_recycled_chunks` |
//! | `arena_spare_relaxed` | a chunk is overwritten while it is read | the same |
//! | `slots_publish_relaxed` | items are not visible with their index | `slots_recycle_chunks` |
//! | `slots_spare_relaxed` | a slot is overwritten while it is read | `slots_recycle_chunks` |
//! | `slots_publish_fence` | the writer misses the mark of a reader that misses the item | `slots_never_leave_both_sides_waiting` |
//! | `slots_asleep_fence` | the same, from the reader's side | the same |
//! | `slots_asleep_recheck` | an item that came before the mark | the same |
//! | `slots_publish_light_fence` | as `slots_publish_fence`, with a busy reader | `slots_wake_a_busy_reader_that_fell_asleep` |
//! | `slots_asleep_heavy_fence` | the same, from the reader's side | the same |
//! | `credit_return_relaxed` | room, but not what the reader did before | `returned_credit_shows_what_the_reader_did_before` |
//! | `credit_return_fence` | the reader misses the mark of a writer that misses the credit | `arena_wakes_a_writer_that_waits_for_room` |
//! | `credit_waiting_fence` | the same, from the writer's side | the same |
//! | `credit_waiting_recheck` | credit that came before the mark | the same |
//! | `park_notify_relaxed` | a notification without what it tells of | `no_notification_is_lost` |
//! | `park_reset_relaxed` | the same, from the waiter's side | the same |
//! | `park_prepare_overwrites` | a notification before the sleep | the same |
//! | `drive_release_relaxed` | a connection not as the last driver left it | `what_is_published_beside_a_drive_is_written` |
//! | `drive_take_relaxed` | the same, and marks without what was published | `a_mark_left_by_taking_shows_what_came_before_it` |
//! | `drive_request_fence` | the producer sees an old mark, the driver an old pipe | `what_is_published_beside_a_drive_is_written` |
//! | `drive_pass_fence` | the same, from the driver's side | the same |
//! | `drive_release_ignores_dirty` | a mark left during the last pass | the same |
//! | `late_clear_relaxed` | the I/O thread takes a connection off its list, and misses what was promised | `what_is_gathered_is_written_late` |
//! | `late_look_before_clear` | the same | the same |
//! | `drive_promise_overwrites` | a promise about a word that is driven | `a_promise_does_not_make_two_drivers` |

use super::arena::Advanced;
use super::*;
use crate::Message;
use crate::asymmetric;
use crate::sync::{Arc, UnsafeCell, model, thread};

fn part(body: &[u8], more: bool) -> Message {
    let mut part = Message::from(body);
    part.set_more(more);
    part
}

fn send(writer: &mut ArenaWriter, bodies: &[&[u8]]) {
    for (i, body) in bodies.iter().enumerate() {
        writer.write(&mut part(body, i + 1 < bodies.len()));
    }
    writer.publish();
}

/// Takes all there is.
fn drain(reader: &mut ArenaReader, wire: &mut Vec<u8>) -> Advanced {
    let mut out = IoVecs::new();
    let bytes = reader.gather(&mut out, usize::MAX);
    wire.extend(out.as_slices().iter().flat_map(|slice| slice.iter()));
    reader.advance(bytes, &mut Vec::new())
}

#[test]
fn arena_carries_whole_messages_through_recycled_chunks() {
    model(|| {
        let (mut writer, mut reader) = arena(0);
        let thread = thread::spawn(move || {
            send(&mut writer, &[b"abcd"]);
            send(&mut writer, &[b"efgh", b"ijkl"]);
            send(&mut writer, &[b"mnop"]);
        });
        let mut wire = Vec::new();
        for _ in 0..2 {
            drain(&mut reader, &mut wire);
            let whole: [&[u8]; 4] = [
                b"",
                b"\0\x04abcd",
                b"\0\x04abcd\x01\x04efgh\0\x04ijkl",
                b"\0\x04abcd\x01\x04efgh\0\x04ijkl\0\x04mnop",
            ];
            assert!(whole.contains(&&wire[..]), "{wire:?}");
        }
        thread.join().unwrap();
        while reader.has_pending() {
            drain(&mut reader, &mut wire);
        }
        assert_eq!(wire, b"\0\x04abcd\x01\x04efgh\0\x04ijkl\0\x04mnop");
    });
}

#[test]
fn arena_carries_long_bodies_by_reference() {
    model(|| {
        let (mut writer, mut reader) = arena(0);
        let long = [7; 64];
        let thread = thread::spawn(move || {
            send(&mut writer, &[b"a"]);
            send(&mut writer, &[&long]);
        });
        let mut wire = Vec::new();
        drain(&mut reader, &mut wire);
        thread.join().unwrap();
        while reader.has_pending() {
            drain(&mut reader, &mut wire);
        }
        assert_eq!(wire[..3], *b"\0\x01a");
        assert_eq!(wire[3..12], [2, 0, 0, 0, 0, 0, 0, 0, 64]);
        assert_eq!(wire[12..], long);
    });
}

#[test]
fn arena_survives_rollback_and_rewind_beside_the_other_end() {
    model(|| {
        let (mut writer, mut reader) = arena(0);
        send(&mut writer, &[b"ab"]);
        let thread = thread::spawn(move || {
            // Seals the chunk, and opens it again.
            writer.write(&mut part(b"lost!", true));
            writer.rollback(&mut Vec::new());
            send(&mut writer, &[b"cd"]);
            writer
        });
        let mut out = IoVecs::new();
        reader.gather(&mut out, 3);
        reader.advance(3, &mut Vec::new());
        assert!(!reader.at_boundary());
        reader.rewind();
        let mut wire = Vec::new();
        drain(&mut reader, &mut wire);
        let mut writer = thread.join().unwrap();
        drain(&mut reader, &mut wire);
        assert_eq!(wire, b"\0\x02ab\0\x02cd");
        assert!(reader.trim(&mut writer));
    });
}

#[test]
fn arena_ends_free_what_is_left_whichever_goes_first() {
    model(|| {
        let (mut writer, mut reader) = arena(0);
        let thread = thread::spawn(move || {
            send(&mut writer, &[b"abcd"]);
            send(&mut writer, &[&[7; 64]]);
            writer.write(&mut part(&[8; 64], true));
        });
        drain(&mut reader, &mut Vec::new());
        drop(reader);
        thread.join().unwrap();
    });
}

#[test]
fn arena_wakes_a_writer_that_waits_for_room() {
    model(|| {
        let (mut writer, mut reader) = arena(1);
        send(&mut writer, &[b"a"]);
        let thread = thread::spawn(move || {
            while !writer.has_room() {
                thread::park();
            }
            send(&mut writer, &[b"b"]);
        });
        let mut wire = Vec::new();
        if drain(&mut reader, &mut wire).wake_writer {
            thread.thread().unpark();
        }
        thread.join().unwrap();
        drain(&mut reader, &mut wire);
        assert_eq!(wire, b"\0\x01a\0\x01b");
    });
}

/// A part, and whether it ends its message.
type Part = (u8, bool);

#[test]
fn slots_wake_a_reader_that_fell_asleep() {
    model(|| {
        let (mut writer, mut reader) = slots::<Part>(0);
        let main = thread::current();
        thread::spawn(move || {
            for message in [&[(1, true)][..], &[(2, false), (3, true)], &[(4, true)]] {
                message.iter().for_each(|&part| writer.push(part, part.1));
                if writer.publish() {
                    main.unpark();
                }
            }
        });
        for number in 1..=4 {
            let part = loop {
                match reader.pop() {
                    Some(part) => break part,
                    None => thread::park(),
                }
            };
            assert_eq!(part.0, number);
        }
        assert!(reader.is_empty());
    });
}

/// A busy reader spares the writer its fences, and still is woken.
#[test]
fn slots_wake_a_busy_reader_that_fell_asleep() {
    let test = || {
        let (mut writer, mut reader) = slots::<Part>(0);
        reader.spare_writer();
        writer.push((1, true), true);
        writer.push((2, true), true);
        writer.publish();
        assert_eq!([reader.pop(), reader.pop()], [Some((1, true)), Some((2, true))]);
        let main = thread::current();
        thread::spawn(move || {
            for number in 3..=4 {
                writer.push((number, true), true);
                if writer.publish() {
                    main.unpark();
                }
            }
        });
        for number in 3..=4 {
            let part = loop {
                match reader.pop() {
                    Some(part) => break part,
                    None => thread::park(),
                }
            };
            assert_eq!(part.0, number);
        }
        assert!(reader.is_empty());
    };
    asymmetric::with(|| model(test));
}

#[test]
fn slots_show_only_whole_messages() {
    model(|| {
        let (mut writer, mut reader) = slots::<Part>(0);
        let thread = thread::spawn(move || {
            writer.push((0, false), false);
            writer.rollback(drop);
            for part in [(1, false), (2, false), (3, true), (4, false)] {
                writer.push(part, part.1);
            }
            writer.publish();
        });
        if reader.peek().is_some() {
            let parts = [reader.pop(), reader.pop(), reader.pop(), reader.pop()];
            assert_eq!(parts, [Some((1, false)), Some((2, false)), Some((3, true)), None]);
        }
        drop(reader);
        thread.join().unwrap();
    });
}

#[test]
fn slots_recycle_chunks() {
    model(|| {
        let (mut writer, mut reader) = slots::<Part>(0);
        writer.push((1, true), true);
        writer.push((2, true), true);
        writer.publish();
        let thread = thread::spawn(move || {
            for number in 3..=5 {
                writer.push((number, true), true);
            }
            writer.publish();
        });
        for number in 1..=2 {
            assert_eq!(reader.pop(), Some((number, true)));
            reader.count_message();
        }
        thread.join().unwrap();
        for number in 3..=5 {
            assert_eq!(reader.pop(), Some((number, true)));
        }
    });
}

#[test]
fn slots_never_leave_both_sides_waiting() {
    model(|| {
        let (mut writer, mut reader) = slots::<Part>(1);
        let main = thread::current();
        let thread = thread::spawn(move || {
            for number in 1..=3 {
                while !writer.has_room() {
                    thread::park();
                }
                writer.push((number, true), true);
                if writer.publish() {
                    main.unpark();
                }
            }
        });
        for number in 1..=3 {
            let part = loop {
                match reader.pop() {
                    Some(part) => break part,
                    None => thread::park(),
                }
            };
            assert_eq!(part.0, number);
            reader.count_message();
            if reader.take_wake() {
                thread.thread().unpark();
            }
        }
    });
}

#[test]
fn returned_credit_shows_what_the_reader_did_before() {
    model(|| {
        let (mut writer, mut reader) = slots::<Part>(1);
        writer.push((1, true), true);
        writer.publish();
        let answer = Arc::new(UnsafeCell::new(0));
        let answers = answer.clone();
        let thread = thread::spawn(move || {
            reader.pop();
            // SAFETY: loom's cell reports a race.
            answers.with_mut(|answer| unsafe { *answer = 1 });
            reader.count_message();
        });
        if writer.room() == 1 {
            // SAFETY: as above.
            assert_eq!(answer.with(|answer| unsafe { *answer }), 1);
        }
        thread.join().unwrap();
    });
}
