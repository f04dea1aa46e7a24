//! Measurements, printed: `cargo test --release -p oxmq --lib measure -- --ignored --nocapture
//! --test-threads 1`.

use super::*;
use crate::Message;
use crate::drive::{DriveState, Work};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 9;
const BATCH: u32 = 1000;
const BATCHES: u32 = 2000;

/// The fastest of several rounds: what others do on the machine only ever adds to it.
fn ns(mut batch: impl FnMut() -> Duration) -> f64 {
    let fastest = (0..ROUNDS)
        .map(|_| (0..BATCHES).map(|_| batch()).sum::<Duration>())
        .min()
        .expect("several rounds");
    fastest.as_nanos() as f64 / f64::from(BATCH * BATCHES)
}

fn timed(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

#[test]
#[ignore = "a measurement"]
fn arena_on_one_thread() {
    println!("arena, ns a message          write+publish   gather   advance");
    for bytes in [1, 16, 40, 64, 256, 1024, 4000, 4096, 16_384] {
        let (mut writer, mut reader) = arena(0);
        let body = vec![7; bytes];
        let part = Message::from(&body);
        let mut garbage = Vec::new();
        let (mut gather, mut advance) = (Duration::ZERO, Duration::ZERO);
        let write = ns(|| {
            let write = timed(|| {
                for _ in 0..BATCH {
                    assert!(writer.has_room());
                    writer.write_copy(black_box(&part));
                    writer.publish();
                }
            });
            while reader.has_pending() {
                let mut taken = 0;
                gather += timed(|| {
                    let mut out = IoVecs::new();
                    taken = reader.gather(&mut out, 1 << 18);
                    black_box(out.as_slices());
                });
                advance += timed(|| {
                    black_box(reader.advance(taken, &mut garbage));
                });
                garbage.clear();
            }
            write
        });
        let messages = f64::from(BATCH * BATCHES * ROUNDS);
        let [gather, advance] = [gather, advance].map(|time| time.as_nanos() as f64 / messages);
        println!("{bytes:>6} B {write:>32.1} {gather:>8.1} {advance:>9.1}");
    }
}

#[test]
#[ignore = "a measurement"]
fn slots_on_one_thread() {
    println!(
        "slots, ns a message          push+publish   pop+count   one at a time   (of it clone+drop)"
    );
    for bytes in [16, 40, 256] {
        let (mut writer, mut reader) = slots::<Message>(0);
        let part = Message::from(&vec![7; bytes]);
        let mut pop = Duration::ZERO;
        let push = ns(|| {
            let push = timed(|| {
                for _ in 0..BATCH {
                    assert!(writer.has_room());
                    writer.push(black_box(&part).clone(), true);
                    writer.publish();
                }
            });
            pop += timed(|| {
                for _ in 0..BATCH {
                    black_box(reader.pop());
                    reader.count_message();
                }
            });
            push
        });
        let single = ns(|| {
            timed(|| {
                for _ in 0..BATCH {
                    assert!(writer.has_room());
                    writer.push(black_box(&part).clone(), true);
                    writer.publish();
                    black_box(reader.pop());
                    reader.count_message();
                }
            })
        });
        let clone = ns(|| {
            timed(|| {
                for _ in 0..BATCH {
                    black_box(black_box(&part).clone());
                }
            })
        });
        let pop = pop.as_nanos() as f64 / f64::from(BATCH * BATCHES * ROUNDS);
        println!("{bytes:>6} B {push:>31.1} {pop:>11.1} {single:>15.1} {clone:>15.1}");
    }
}

#[test]
#[ignore = "a measurement"]
fn drive_on_one_thread() {
    let state = DriveState::new(true);
    let request = ns(|| {
        timed(|| {
            for _ in 0..BATCH {
                black_box(black_box(&state).request(Work::WRITE));
            }
        })
    });
    let state = DriveState::new(false);
    let drive = ns(|| {
        timed(|| {
            for _ in 0..BATCH {
                black_box(&state).try_take(Work::WRITE);
                state.begin_pass();
                state.release(false);
            }
        })
    });
    println!("drive, ns: request {request:.1}, take+pass+release {drive:.1}");
}

/// A message is `part.clone()` for slots, a copy for arenas; spinning instead of waiting.
#[test]
#[ignore = "a measurement"]
fn on_two_threads() {
    const MESSAGES: u32 = 20_000_000;
    println!("two threads, 16 B, M msg/s at high-water mark 1000 and 100,000");
    for hwm in [1000, 100_000] {
        let (mut writer, mut reader) = arena(hwm);
        let start = Instant::now();
        let thread = std::thread::spawn(move || {
            let part = Message::from(&[7; 16]);
            for _ in 0..MESSAGES {
                while !writer.has_room() {
                    std::thread::yield_now();
                }
                writer.write_copy(&part);
                writer.publish();
            }
        });
        let (mut messages, mut garbage) = (0, Vec::new());
        while messages < u64::from(MESSAGES) {
            let mut out = IoVecs::new();
            let bytes = reader.gather(&mut out, 1 << 18);
            if bytes == 0 {
                std::thread::yield_now();
            }
            messages += reader.advance(bytes, &mut garbage).messages;
        }
        thread.join().expect("the writer");
        let arena = rate(MESSAGES, start);

        let mut rates = [0.0; 2];
        for (rate_at, batch) in rates.iter_mut().zip([1, 100]) {
            let (mut writer, mut reader) = slots::<Message>(hwm);
            let start = Instant::now();
            let thread = std::thread::spawn(move || {
                let part = Message::from(&[7; 16]);
                for sent in 0..MESSAGES {
                    while !writer.has_room() {
                        writer.publish();
                        std::thread::yield_now();
                    }
                    writer.push(part.clone(), true);
                    if sent % batch == 0 {
                        writer.publish();
                    }
                }
            });
            let mut messages = 0;
            // The writer's end publishes the last batch.
            while messages < MESSAGES {
                match reader.pop() {
                    Some(part) => {
                        black_box(part);
                        reader.count_message();
                        messages += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
            thread.join().expect("the writer");
            *rate_at = rate(MESSAGES, start);
        }
        let [single, batched] = rates;
        println!(
            "{hwm:>8}: arena {arena:.0}, slots {single:.0}, slots published by 100 {batched:.0}"
        );
    }
}

fn rate(messages: u32, start: Instant) -> f64 {
    f64::from(messages) / start.elapsed().as_secs_f64() / 1e6
}
