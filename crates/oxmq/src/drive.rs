//! The state word of a connection: who drives it, and whether they must look again.

use crate::asymmetric::{self, ThreadToken};
use crate::sync::{AtomicBool, AtomicU64, Ordering, fence, mutate};

/// What there is to do on a connection: bytes to read, records to write, or both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Work(u64);

impl Work {
    pub(crate) const READ: Work = Work(DIRTY_READ);
    pub(crate) const WRITE: Work = Work(DIRTY_WRITE);
    pub(crate) const BOTH: Work = Work(DIRTY);

    #[inline]
    pub(crate) fn reads(self) -> bool {
        self.0 & DIRTY_READ != 0
    }

    #[cfg(all(test, loom))]
    pub(crate) fn writes(self) -> bool {
        self.0 & DIRTY_WRITE != 0
    }
}

impl std::ops::BitOr for Work {
    type Output = Work;

    #[inline]
    fn bitor(self, other: Work) -> Work {
        Work(self.0 | other.0)
    }
}

/// Who drives a connection. The word is taken by trying, never waited for; whoever lets go of it
/// looks again when somebody has marked it dirty meanwhile.
///
/// ```text
///                try_take(w)                     begin_pass: takes the marks out
///    Idle --------------------> Driven+dirty(w) ---------------------------> Driven
///     ^ ^                          ^   ^   |                                 | | |
///     | |                          |   |   +--- begin_pass (look again) -----+ | |
///     | |                          |   +--- request(w), try_take(w): false ----+ |
///     | +--- release(false) -------|---------------------------------------------+
///     |                            |                                             |
///   Parked ------- try_take(w) ----+                                             |
///     ^                                                                          |
///     +------ release(true) -----------------------------------------------------+
/// ```
///
/// - *Idle*: nobody drives. `request` says true: its caller arranges a drive (takes the word
///   itself or tells the I/O thread).
/// - *Driven*: the holder of the word owns the connection. `request` and `try_take` leave a mark.
/// - *Driven+dirty*: as above; `release` says false, and the holder makes another pass.
/// - *Parked*: nobody drives, and what is published for writing waits: the kernel's buffer is
///   full and EPOLLOUT will tell, or there is no connection yet, or the I/O thread has been told
///   already (`promise`: Idle to Parked). `request(WRITE)` says false.
/// - *Parked for T*: thread T gathers (`promise_late`), and will drive before it waits; the I/O thread
///   will look in a while. T need not pass a fence for each of its messages: whoever else takes
///   the word passes a heavy one, once.
///
/// Nothing published is left without a driver. A producer publishes, then passes a fence, then
/// looks at the word; a driver empties the marks, then passes a fence, then looks at the pipes.
/// One of the two sees the other: either the driver's pass finds what was published, or the
/// producer sees a word that was written by `begin_pass` or later, and marks it (which makes
/// `release` fail) or finds it idle.
pub(crate) struct DriveState(AtomicU64);

const DRIVEN: u64 = 1;
const DIRTY_READ: u64 = 2;
const DIRTY_WRITE: u64 = 4;
const PARKED: u64 = 8;
const DIRTY: u64 = DIRTY_READ | DIRTY_WRITE;
/// The streaming thread's token lies above the marks.
const STREAMER_SHIFT: u32 = 32;

fn streamer(word: u64) -> ThreadToken {
    (word >> STREAMER_SHIFT) as ThreadToken
}

fn parked_for(streamer: ThreadToken) -> u64 {
    u64::from(streamer) << STREAMER_SHIFT | PARKED
}

/// Release: pairs with the Acquire of the next `try_take`, which gets the connection as the last
/// driver left it.
const RELEASE: Ordering = mutate!("drive_release_relaxed", Ordering::Relaxed, Ordering::Release);
/// Acquire: pairs with `RELEASE`. Release: a mark left on a driven word pairs with the Acquire of
/// `begin_pass`.
const TAKE: Ordering = mutate!("drive_take_relaxed", Ordering::Relaxed, Ordering::AcqRel);

impl DriveState {
    pub(crate) fn new(parked: bool) -> DriveState {
        DriveState(AtomicU64::new(if parked { PARKED } else { 0 }))
    }

    /// Asks for a drive, after publishing. True: nobody drives, and the caller must arrange it
    /// (`try_take` says who gets it). False: a driver will look after this call, or the
    /// connection is parked and the work is only to write.
    #[inline]
    pub(crate) fn request(&self, work: Work) -> bool {
        self.request_as(asymmetric::my_token(), work)
    }

    /// As `request`; `me` is the calling thread.
    #[inline]
    fn request_as(&self, me: ThreadToken, work: Work) -> bool {
        if me != 0 && work == Work::WRITE {
            if !cfg!(oxmq_mutation = "drive_request_light_fence") {
                // As the full fence below. Pairs with the heavy one in `begin_pass`.
                asymmetric::light();
            }
            // Relaxed: as below.
            if self.0.load(Ordering::Relaxed) == parked_for(me) {
                return false;
            }
        }
        if !cfg!(oxmq_mutation = "drive_request_fence") {
            // What was published comes before the look at the word. Pairs with the fence in
            // `begin_pass`.
            fence(Ordering::SeqCst);
        }
        // Relaxed: nothing is read on the strength of what is seen here.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            if seen & DRIVEN == 0 {
                return seen & PARKED == 0 || work.reads();
            }
            if seen & work.0 == work.0 {
                return false;
            }
            // Release: pairs with the Acquire of `begin_pass`.
            match self.0.compare_exchange_weak(
                seen,
                seen | work.0,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return false,
                Err(now) => seen = now,
            }
        }
    }

    /// The caller has been asked for a drive, and leaves it to the I/O thread: until that takes the
    /// word, producers need not ask again. Call it before telling the I/O thread.
    pub(crate) fn promise(&self) {
        if cfg!(oxmq_mutation = "drive_promise_overwrites") {
            self.0.store(PARKED, Ordering::Relaxed);
            return;
        }
        // Relaxed: whoever sees the mark and does not ask for a drive has published before, and
        // the `try_take` of the I/O thread comes later in the order of the word's values than
        // the mark; the fences in `request` and `begin_pass` do the rest. A word that is no
        // longer idle needs no promise.
        let _ = self.0.compare_exchange(0, PARKED, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// As `promise`, by a thread that gathers: the I/O thread will look in a while.
    pub(crate) fn promise_late(&self) {
        self.promise_late_as(asymmetric::my_token());
    }

    fn promise_late_as(&self, me: ThreadToken) {
        // Relaxed: as in `promise`.
        let late = parked_for(me);
        let _ = self.0.compare_exchange(0, late, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Whether somebody drives at this moment.
    #[cfg(not(loom))]
    pub(crate) fn is_driven(&self) -> bool {
        // Relaxed: a hint.
        self.0.load(Ordering::Relaxed) & DRIVEN != 0
    }

    /// Whether what is to be written was left to somebody who has not taken the word since.
    pub(crate) fn is_promised(&self) -> bool {
        // Relaxed: whoever takes the word looks at the pipes anew.
        self.0.load(Ordering::Relaxed) & PARKED != 0
    }

    /// Takes the word, for `work` (which the first `begin_pass` gives back). False: somebody
    /// drives, and will do `work` before letting go.
    pub(crate) fn try_take(&self, work: Work) -> bool {
        // Relaxed: the exchange below decides.
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let taken = (seen & !PARKED) | DRIVEN | work.0;
            // Even when the marks are already there: only a write to the word is sure to come
            // before the driver's next `begin_pass` or after its `release`.
            match self.0.compare_exchange_weak(seen, taken, TAKE, Ordering::Relaxed) {
                Ok(_) => return seen & DRIVEN == 0,
                Err(now) => seen = now,
            }
        }
    }

    /// The driver takes the marks out and must now do that work.
    pub(crate) fn begin_pass(&self) -> Work {
        self.begin_pass_as(asymmetric::my_token())
    }

    fn begin_pass_as(&self, me: ThreadToken) -> Work {
        // Acquire: pairs with the Release of whoever left a mark.
        let seen = self.0.swap(DRIVEN, Ordering::AcqRel);
        let streamer = streamer(seen);
        if streamer != 0 && streamer != me {
            if !cfg!(oxmq_mutation = "drive_pass_heavy_fence") {
                // As the full fence below. Pairs with the light one in `request`.
                asymmetric::heavy();
            }
        } else if !cfg!(oxmq_mutation = "drive_pass_fence") {
            // The marks go before the look at the pipes. Pairs with the fence in `request`.
            fence(Ordering::SeqCst);
        }
        Work(seen & DIRTY)
    }

    /// Lets go of the word; `parked` when what remains to be written waits for the kernel or for
    /// a connection. False: somebody has left a mark, the caller still drives and must make
    /// another pass.
    pub(crate) fn release(&self, parked: bool) -> bool {
        let idle = if parked { PARKED } else { 0 };
        if cfg!(oxmq_mutation = "drive_release_ignores_dirty") {
            self.0.store(idle, Ordering::Release);
            return true;
        }
        self.0.compare_exchange(DRIVEN, idle, RELEASE, Ordering::Relaxed).is_ok()
    }
}

/// The mark of a connection that is on its I/O thread's list of late writes. Whoever gathers promises
/// first and sets the mark then; the I/O thread takes the mark away and looks for a promise then. So
/// either that finds the promise, or the other finds the mark gone, and puts the connection on the list
/// again.
pub(crate) struct LateMark(AtomicBool);

/// Acquire, and Release of whoever sets the mark: as above.
const CLEAR: Ordering = mutate!("late_clear_relaxed", Ordering::Relaxed, Ordering::AcqRel);

impl LateMark {
    pub(crate) fn new() -> LateMark {
        LateMark(AtomicBool::new(false))
    }

    /// After a promise. True: the connection is to be put on the list.
    pub(crate) fn set(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }

    /// The connection was taken off the list. True: something was promised, and nobody has driven since.
    pub(crate) fn clear(&self, state: &DriveState) -> bool {
        if cfg!(oxmq_mutation = "late_look_before_clear") {
            let promised = state.is_promised();
            self.0.swap(false, Ordering::AcqRel);
            return promised;
        }
        self.0.swap(false, CLEAR);
        state.is_promised()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_transition() {
        let state = DriveState::new(true);
        assert!(!state.request(Work::WRITE), "parked: nobody need write");
        assert!(state.request(Work::READ), "parked: reading goes on");
        assert!(state.try_take(Work::READ));
        assert!(!state.try_take(Work::WRITE), "driven");
        assert_eq!(state.begin_pass(), Work::BOTH);
        assert!(state.release(false));

        assert!(state.request(Work::WRITE), "idle");
        assert!(state.try_take(Work::WRITE));
        assert_eq!(state.begin_pass(), Work::WRITE);
        assert!(!state.request(Work::READ), "driven");
        assert!(!state.request(Work::READ), "driven and dirty");
        assert!(!state.release(true), "dirty");
        assert_eq!(state.begin_pass(), Work::READ);
        assert_eq!(state.begin_pass(), Work(0));
        assert!(state.release(true));
        assert!(!state.request(Work::WRITE), "parked again");

        assert!(state.try_take(Work::WRITE));
        state.promise();
        state.begin_pass();
        assert!(state.release(false));
        assert!(state.request(Work::WRITE), "a promise about a driven word is none");
        state.promise();
        assert!(!state.request(Work::WRITE), "promised");
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use crate::Message;
    use crate::pipe::{ArenaReader, ArenaWriter, IoVecs, arena};
    use crate::sync::{Arc, Mutex, UnsafeCell, model, thread};

    /// A connection, as far as its state word is concerned.
    struct Connection {
        state: DriveState,
        /// The driver's. loom reports two drivers, or one that does not see what the last did.
        pipe: UnsafeCell<(ArenaReader, Vec<u8>)>,
        /// The socket's, under its lock.
        writer: Mutex<ArenaWriter>,
        /// The I/O thread has a job, or is about to get it.
        queued: AtomicBool,
    }

    // SAFETY: `state` says who uses `pipe`; that is what is under test.
    unsafe impl Sync for Connection {}

    impl Connection {
        fn new(parked: bool) -> Arc<Connection> {
            let (writer, reader) = arena(0);
            Arc::new(Connection {
                state: DriveState::new(parked),
                pipe: UnsafeCell::new((reader, Vec::new())),
                writer: Mutex::new(writer),
                queued: AtomicBool::new(false),
            })
        }

        fn publish(&self, body: u8) {
            let mut writer = self.writer.lock();
            writer.write(&mut Message::from(&[body]));
            writer.publish();
        }

        fn send(&self, body: u8) {
            self.send_as(0, body);
        }

        fn send_as(&self, me: ThreadToken, body: u8) {
            self.publish(body);
            if self.state.request_as(me, Work::WRITE) {
                self.drive_as(me, Work::WRITE);
            }
        }

        /// Publishes, and leaves the drive to the I/O thread.
        fn leave(&self, body: u8, io: &thread::Thread) {
            self.publish(body);
            if !self.state.request(Work::WRITE) {
                return;
            }
            self.state.promise();
            if !self.queued.swap(true, Ordering::AcqRel) {
                io.unpark();
            }
        }

        /// The I/O thread has a job.
        fn drive_queued(&self) {
            self.queued.swap(false, Ordering::AcqRel);
            self.drive(Work::WRITE);
        }

        fn drive(&self, work: Work) {
            self.drive_as(0, work);
        }

        fn drive_as(&self, me: ThreadToken, work: Work) {
            if !self.state.try_take(work) {
                return;
            }
            // The connection is the driver's even before the first pass.
            self.pipe.with(|_| ());
            loop {
                if self.state.begin_pass_as(me).writes() {
                    self.pass();
                }
                if self.state.release(false) {
                    return;
                }
            }
        }

        fn pass(&self) {
            self.pipe.with_mut(|pipe| {
                // SAFETY: the caller drives; loom reports a race.
                let (reader, wire) = unsafe { &mut *pipe };
                let mut out = IoVecs::new();
                let bytes = reader.gather(&mut out, usize::MAX);
                wire.extend(out.as_slices().iter().flat_map(|slice| slice.iter()));
                reader.advance(bytes, &mut Vec::new());
            });
        }

        /// How many records the kernel has.
        fn written(&self) -> usize {
            // SAFETY: the caller is the only one who ever drives.
            self.pipe.with(|pipe| unsafe { &*pipe }.1.len() / 3)
        }

        /// After all threads are done: nobody drives, and everything is written.
        fn check(&self, mut bodies: Vec<u8>) {
            assert!(self.state.try_take(Work::READ), "somebody still drives");
            assert!(!self.state.begin_pass().writes(), "a mark was left");
            self.pipe.with_mut(|pipe| {
                // SAFETY: the other threads are gone.
                let (reader, wire) = unsafe { &mut *pipe };
                assert!(!reader.has_pending(), "published, and nobody drives");
                let mut wire: Vec<u8> = wire.chunks(3).map(|record| record[2]).collect();
                wire.sort_unstable();
                bodies.sort_unstable();
                assert_eq!(wire, bodies);
            });
        }
    }

    #[test]
    fn what_is_published_beside_a_drive_is_written() {
        model(|| {
            let connection = Connection::new(false);
            let producer = connection.clone();
            let producer = thread::spawn(move || {
                producer.send(1);
                producer.send(2);
            });
            connection.drive(Work::BOTH);
            producer.join().unwrap();
            connection.check(vec![1, 2]);
        });
    }

    #[test]
    fn two_producers_and_the_io_thread() {
        model(|| {
            let connection = Connection::new(false);
            let producers = [1, 2].map(|body| {
                let producer = connection.clone();
                thread::spawn(move || producer.send(body))
            });
            connection.drive(Work::BOTH);
            for producer in producers {
                producer.join().unwrap();
            }
            connection.check(vec![1, 2]);
        });
    }

    #[test]
    fn a_mark_left_by_taking_shows_what_came_before_it() {
        model(|| {
            let connection = Connection::new(false);
            let producer = connection.clone();
            let producer = thread::spawn(move || {
                producer.publish(1);
                producer.drive(Work::WRITE);
            });
            connection.drive(Work::BOTH);
            producer.join().unwrap();
            connection.check(vec![1]);
        });
    }

    /// Two producers leave everything to the I/O thread.
    #[test]
    fn what_is_promised_is_written() {
        model(|| {
            let connection = Connection::new(false);
            let driven = connection.clone();
            let io = thread::spawn(move || {
                while driven.written() < 2 {
                    thread::park();
                    driven.drive_queued();
                }
            });
            let (other, its_io) = (connection.clone(), io.thread().clone());
            let other = thread::spawn(move || other.leave(1, &its_io));
            connection.leave(2, io.thread());
            other.join().unwrap();
            io.join().unwrap();
            connection.check(vec![1, 2]);
        });
    }

    /// A thread that streams relies on its promise without a fence, and another producer does not;
    /// the I/O thread drives late, the streaming thread sometimes itself.
    #[test]
    fn what_a_streaming_thread_published_is_written() {
        let test = |drives: bool| {
            let connection = Connection::new(false);
            let io = connection.clone();
            connection.publish(1);
            assert!(connection.state.request_as(1, Work::WRITE));
            connection.state.promise_late_as(1);
            let other = connection.clone();
            let io = thread::spawn(move || io.drive(Work::WRITE));
            let other = drives.then(|| thread::spawn(move || other.send_as(2, 3)));
            connection.send_as(1, 2);
            if drives {
                connection.drive_as(1, Work::WRITE);
            }
            io.join().unwrap();
            let mut bodies = vec![1, 2];
            if let Some(other) = other {
                other.join().unwrap();
                bodies.push(3);
            }
            connection.check(bodies);
        };
        for drives in [false, true] {
            asymmetric::with(|| model(move || test(drives)));
        }
    }

    /// The I/O thread looks at a connection on its list, for the timer fired, beside a thread that
    /// gathers for it.
    #[test]
    fn what_is_gathered_is_written_late() {
        let test = || {
            let connection = Connection::new(false);
            let late = Arc::new(LateMark::new());
            assert!(late.set(), "it is on the list of an earlier time");
            let (gathered, mark) = (connection.clone(), late.clone());
            let gathers = thread::spawn(move || {
                gathered.publish(1);
                if gathered.state.request_as(1, Work::WRITE) {
                    gathered.state.promise_late_as(1);
                    return mark.set();
                }
                false
            });
            if late.clear(&connection.state) {
                connection.drive(Work::WRITE);
            }
            if gathers.join().unwrap() && late.clear(&connection.state) {
                connection.drive(Work::WRITE);
            }
            connection.check(vec![1]);
        };
        asymmetric::with(|| model(test));
    }

    #[test]
    fn a_promise_does_not_make_two_drivers() {
        model(|| {
            let connection = Connection::new(false);
            let producer = connection.clone();
            let producer = thread::spawn(move || producer.send(1));
            connection.publish(2);
            if connection.state.request(Work::WRITE) {
                connection.state.promise();
                connection.drive(Work::WRITE);
            }
            producer.join().unwrap();
            connection.check(vec![1, 2]);
        });
    }

    /// EPOLLOUT, or the end of a handshake, comes while a producer relies on the parking.
    #[test]
    fn what_is_published_to_a_parked_connection_is_written_when_it_wakes() {
        model(|| {
            let connection = Connection::new(true);
            let producer = connection.clone();
            let producer = thread::spawn(move || {
                producer.send(1);
                producer.send(2);
            });
            connection.drive(Work::WRITE);
            producer.join().unwrap();
            connection.check(vec![1, 2]);
        });
    }

    /// The driver finds the kernel's buffer full, parks, and is told when it has drained.
    #[test]
    fn parking_again_loses_nothing() {
        model(|| {
            let connection = Connection::new(false);
            let producer = connection.clone();
            let producer = thread::spawn(move || {
                producer.publish(1);
                // If it is idle: the I/O thread has not looked yet, and will.
                producer.state.request(Work::WRITE)
            });
            assert!(connection.state.try_take(Work::READ));
            loop {
                connection.state.begin_pass();
                if connection.state.release(true) {
                    break;
                }
            }
            connection.drive(Work::WRITE);
            if producer.join().unwrap() {
                connection.drive(Work::WRITE);
            }
            connection.check(vec![1]);
        });
    }
}
