//! Signals at random moments into processes and threads that wait: each call ends with
//! `Interrupted`, or with what it waited for, and no message suffers.

mod process;
mod support;

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use oxmq::{
    Context, Events, Message, PollError, PollItem, Pull, Push, RecvError, SendErrorKind, TermError,
    option, poll,
};
use process::{Peer, Random, handle_signal, mask_signal, pause, say};
use support::raw::{self, RawPeer};

/// How long a call may go on after a signal, on a loaded machine.
const ANSWER: Duration = Duration::from_secs(5);
const CALLS: [&str; 4] = ["send", "recv", "poll", "term"];
/// Four calls, with and without spinning: 1,000 signals.
const PROCESSES: usize = 25;
const SIGNALS_EACH: usize = 5;

/// Of 1,000 signals, as many may meet the moment before a call waits; mostly it is none.
const EARLY_MAX: usize = 20;

static SEEN: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32) {
    SEEN.fetch_add(1, Ordering::SeqCst);
}

/// One SIGINT after another into processes blocked in each call; after the last a process exits.
#[test]
fn processes_end_on_sigint() {
    let mut random = Random::new("processes_end_on_sigint");
    let mut sent = 0;
    let mut slowest = Duration::ZERO;
    let (mut interrupted, mut completed, mut early) = (0, 0, 0);
    for call in CALLS {
        for spin in ["spin", "sleep"] {
            for _ in 0..PROCESSES {
                let mut peer = Peer::start(&format!("{call} {spin}"));
                assert_eq!(peer.line().as_deref(), Some("ready"), "{call} {spin}");
                for number in 1..=SIGNALS_EACH {
                    // At once, while it polls, between its sleeps, or long asleep.
                    let delay_max = [50, 200, 2_000][random.below(3) as usize];
                    pause(random.micros(delay_max));
                    let start = Instant::now();
                    peer.signal(libc::SIGINT);
                    sent += 1;
                    let answer = peer.line_within(ANSWER).or_else(|()| {
                        // The program handled it after the last look at its own flag and before
                        // the call began to wait (the scheduler can make that long): as with any
                        // system call, only another signal helps.
                        early += 1;
                        peer.signal(libc::SIGINT);
                        peer.line_within(ANSWER)
                    });
                    match answer {
                        Ok(Some(answer)) if answer == "interrupted" => interrupted += 1,
                        Ok(Some(answer)) if answer == "completed" => completed += 1,
                        other => panic!("{call} {spin}, signal {number}: {other:?}"),
                    }
                    slowest = slowest.max(start.elapsed());
                }
                let status = peer.end_within(60 * ANSWER).expect("the process ends");
                assert!(status.success(), "{call} {spin}: {status}");
            }
        }
    }
    println!(
        "{sent} SIGINTs into processes: {interrupted} calls interrupted, {completed} completed, \
         {early} came between the program's last look and the call, slowest answer {slowest:?}"
    );
    assert_eq!(sent, 1000);
    assert!(early <= EARLY_MAX, "{early} signals went unseen");
}

#[test]
#[ignore = "run by the other tests as a process of its own"]
fn child() {
    let Some(role) = process::role() else { return };
    if role == ["stands-still"] {
        return stands_still();
    }
    handle_signal(libc::SIGINT, count);
    let context = Context::new();
    let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
    let spin = role[1] == "spin";
    push.set(option::SPIN, spin).unwrap();
    pull.set(option::SPIN, spin).unwrap();
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    push.connect(&endpoint).unwrap();
    push.wait_for_peers(1, None).unwrap();
    pull.wait_for_peers(1, None).unwrap();
    let mut call: Box<dyn FnMut() -> bool> = match role[0].as_str() {
        // Until the pipe is full, then blocked in it.
        "send" => Box::new(|| match push.send(vec![0; 1 << 16]) {
            Ok(()) => false,
            Err(error) => {
                assert_eq!(error.kind(), SendErrorKind::Interrupted);
                assert_eq!(error.into_parts()[0].len(), 1 << 16);
                true
            }
        }),
        "recv" => Box::new(|| {
            assert_eq!(pull.recv(), Err(RecvError::Interrupted));
            true
        }),
        "poll" => Box::new(|| {
            let (stdin, mut items);
            stdin = std::io::stdin();
            items = [
                PollItem::socket(&pull, Events::IN),
                PollItem::descriptor(stdin.as_raw_fd(), Events::IN),
            ];
            let polled = poll(&mut items, None);
            assert!(matches!(polled, Err(PollError::Interrupted)), "{polled:?}");
            true
        }),
        "term" => Box::new(|| {
            // Both sockets are open.
            assert!(matches!(context.term(), Err(TermError::Interrupted)));
            true
        }),
        other => panic!("no role {other}"),
    };
    mask_signal(libc::SIG_UNBLOCK, libc::SIGINT);
    say("ready");
    let (mut handled, mut answers) = (0, 0);
    while answers < SIGNALS_EACH {
        // A signal that is handled before the call begins is the program's to see.
        let interrupted = SEEN.load(Ordering::SeqCst) == handled && call();
        let seen = SEEN.load(Ordering::SeqCst);
        assert!(!interrupted || seen > handled, "interrupted, but by no signal");
        if seen > handled {
            handled = seen;
            answers += 1;
            say(if interrupted { "interrupted" } else { "completed" });
        }
    }
    // The process ends here, whatever waits in the sockets; without exit handlers, since those of
    // sanitizers take their time.
    // SAFETY: does not return.
    unsafe { libc::_exit(0) };
}

/// How long a peer may take to shake hands with [`stands_still`].
const HANDSHAKE: Duration = Duration::from_secs(2);

/// A process that was stopped (SIGSTOP, a debugger, a laptop's lid) comes late to what peers have sent
/// it in time: it must not drop them for that.
#[test]
fn who_shook_hands_in_time_stays_though_the_process_stood_still() {
    let mut process = Peer::start("stands-still");
    let endpoint = process.line().unwrap();
    let mut raw = RawPeer::connect(&endpoint);
    // Accepted: its time runs.
    raw.expect(&raw::SIGNATURE);
    process.signal(libc::SIGSTOP);
    raw.send(
        &[&raw::GREETING_3_0[..], &raw::ready("PUSH", None), &raw::message(&["hello"])].concat(),
    );
    pause(2 * HANDSHAKE);
    process.signal(libc::SIGCONT);
    assert_eq!(process.line().as_deref(), Some("hello"));
    process.kill();
}

fn stands_still() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    pull.set(option::HANDSHAKE_IVL, HANDSHAKE.as_millis() as i32).unwrap();
    say(&pull.bind("tcp://127.0.0.1:*").unwrap());
    let message = pull.recv().unwrap();
    say(std::str::from_utf8(&message).unwrap());
}

/// A signal for each of many calls, at its entry, while it polls, or asleep: none goes unseen.
#[test]
fn no_moment_of_a_call_loses_a_signal() {
    const SIGNALS: u64 = 4000;
    handle_signal(libc::SIGUSR1, count_usr1);
    let mut random = Random::new("no_moment_of_a_call_loses_a_signal");
    for spin in [true, false] {
        let context = Context::new();
        let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
        pull.set(option::SPIN, spin).unwrap();
        push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        pull.wait_for_peers(1, None).unwrap();
        let (entered, entries) = mpsc::channel();
        let (ids, id) = mpsc::channel();
        let lost: Vec<u64> = thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                ids.send(this_thread()).unwrap();
                let (entered, mut lost) = (entered, Vec::new());
                for number in 0..SIGNALS {
                    entered.send(()).unwrap();
                    let seen = SEEN_USR1.load(Ordering::SeqCst);
                    if seen > number {
                        continue;
                    }
                    match pull.recv_timeout(Duration::from_millis(500)) {
                        Err(RecvError::Interrupted) => {}
                        other => {
                            assert_eq!(other, Err(RecvError::Again));
                            if SEEN_USR1.load(Ordering::SeqCst) > number {
                                lost.push(number);
                            }
                            // It may be late itself.
                            while SEEN_USR1.load(Ordering::SeqCst) == number {
                                thread::yield_now();
                            }
                        }
                    }
                    assert_eq!(SEEN_USR1.load(Ordering::SeqCst), number + 1);
                }
                lost
            });
            let thread = id.recv().unwrap();
            for () in entries {
                let delay_max_ns = [2_000, 20_000, 200_000][random.below(3) as usize];
                let delay_ns = random.below(delay_max_ns);
                let start = Instant::now();
                while start.elapsed() < Duration::from_nanos(delay_ns) {
                    std::hint::spin_loop();
                }
                // SAFETY: the thread is waited for only after its last signal.
                assert_eq!(unsafe { libc::pthread_kill(thread, libc::SIGUSR1) }, 0);
            }
            waiter.join().unwrap()
        });
        let lost = lost.len();
        println!("spin {spin}: {SIGNALS} signals, {lost} before their call began to wait");
        assert!(lost <= EARLY_MAX, "{lost} signals went unseen");
        SEEN_USR1.store(0, Ordering::SeqCst);
    }
}

static SEEN_USR1: AtomicU64 = AtomicU64::new(0);

extern "C" fn count_usr1(_: i32) {
    SEEN_USR1.fetch_add(1, Ordering::SeqCst);
}

fn this_thread() -> libc::pthread_t {
    // SAFETY: has no conditions.
    unsafe { libc::pthread_self() }
}

/// Messages under a storm of signals at both ends: each once, in order, whole.
#[test]
fn interrupted_calls_neither_lose_nor_repeat_messages() {
    const MESSAGES: u64 = 100_000;
    handle_signal(libc::SIGUSR2, nothing);
    let mut random = Random::new("interrupted_calls_neither_lose_nor_repeat_messages");
    for endpoint in ["tcp://127.0.0.1:*", "inproc://storm"] {
        let context = Context::new();
        let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
        push.set(option::SNDHWM, 10).unwrap();
        pull.set(option::RCVHWM, 10).unwrap();
        push.connect(&pull.bind(endpoint).unwrap()).unwrap();
        let (ids, id) = mpsc::channel();
        let done = AtomicUsize::new(0);
        let (mut signals, mut interrupted) = (0, [0; 2]);
        thread::scope(|scope| {
            let sender = scope.spawn(|| {
                ids.send(this_thread()).unwrap();
                let mut interrupted = 0;
                for number in 0..MESSAGES {
                    let mut message = Message::from(&number.to_le_bytes());
                    while let Err(error) = push.send(message) {
                        assert_eq!(error.kind(), SendErrorKind::Interrupted);
                        message = error.into_parts().remove(0);
                        interrupted += 1;
                    }
                }
                done.fetch_add(1, Ordering::SeqCst);
                interrupted
            });
            let threads = [id.recv().unwrap()];
            let receiver = scope.spawn(|| {
                ids.send(this_thread()).unwrap();
                let mut interrupted = 0;
                for number in 0..MESSAGES {
                    let message = loop {
                        match pull.recv() {
                            Ok(message) => break message,
                            Err(error) => assert_eq!(error, RecvError::Interrupted),
                        }
                        interrupted += 1;
                    };
                    assert_eq!(message[..], number.to_le_bytes());
                }
                done.fetch_add(1, Ordering::SeqCst);
                interrupted
            });
            let threads = [threads[0], id.recv().unwrap()];
            while done.load(Ordering::SeqCst) < 2 {
                pause(random.micros(200));
                // SAFETY: both threads are joined below.
                unsafe { libc::pthread_kill(threads[random.below(2) as usize], libc::SIGUSR2) };
                signals += 1;
            }
            interrupted = [sender.join().unwrap(), receiver.join().unwrap()];
        });
        println!(
            "{endpoint}: {MESSAGES} messages under {signals} signals; {} sends and {} receives \
             interrupted",
            interrupted[0], interrupted[1]
        );
    }
}

extern "C" fn nothing(_: i32) {}
