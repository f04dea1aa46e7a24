//! Pollers: over every transport, with many threads, and at the ends of what they wait for.

mod process;
mod support;

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use oxmq::{
    Context, Dealer, Events, Pair, PollItem, Poller, PollerError, PollerEvent, Publisher, Pull,
    Push, RecvError, Reply, Request, Router, Subscriber, option, poll,
};
use support::{LONG, endpoints, fresh_name};

const NOW: Option<Duration> = Some(Duration::ZERO);
const SOON: Option<Duration> = Some(Duration::from_millis(30));

/// An endpoint to bind to, of each transport.
fn all_endpoints() -> Vec<String> {
    endpoints().into_iter().chain([format!("inproc://{}", fresh_name())]).collect()
}

/// What one wait finds: the tokens and what is ready.
fn wait(poller: &Poller, timeout: Option<Duration>) -> Vec<(usize, Events)> {
    let mut events = Vec::new();
    let count = poller.wait(&mut events, timeout).unwrap();
    assert_eq!(count, events.len());
    events.into_iter().map(|PollerEvent { token, ready }| (token, ready)).collect()
}

#[test]
fn what_is_ready_is_reported_until_it_is_so_no_more() {
    for endpoint in all_endpoints() {
        let context = Context::new();
        let (pull, push) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
        push.connect(&pull.bind(&endpoint).unwrap()).unwrap();
        let poller = Poller::new();
        poller.add(&pull, Events::IN, 7).unwrap();
        assert_eq!(wait(&poller, SOON), []);
        for _ in 0..100 {
            push.send("one").unwrap();
            for _ in 0..3 {
                assert_eq!(wait(&poller, Some(LONG)), [(7, Events::IN)]);
            }
            pull.try_recv().unwrap();
            assert_eq!(wait(&poller, NOW), []);
        }
        assert_eq!(wait(&poller, SOON), []);
    }
}

/// Of four sockets the waiting thread drives the connections, of five the I/O thread.
#[test]
fn few_or_many_sockets_wake_the_thread() {
    for count in [1, 4, 5, 40] {
        for endpoint in endpoints() {
            let context = Context::new();
            let poller = Poller::new();
            let pulls: Vec<Pull> = (0..count).map(|_| Pull::new(&context).unwrap()).collect();
            let pushes: Vec<Push> = pulls
                .iter()
                .enumerate()
                .map(|(number, pull)| {
                    let unique = if endpoint.starts_with("tcp") {
                        endpoint.clone()
                    } else {
                        format!("{endpoint}-{number}")
                    };
                    let push = Push::new(&context).unwrap();
                    push.connect(&pull.bind(&unique).unwrap()).unwrap();
                    poller.add(pull, Events::IN, number).unwrap();
                    push
                })
                .collect();
            let (go, gone) = channel::<usize>();
            thread::scope(|scope| {
                scope.spawn(move || {
                    for number in gone {
                        pushes[number].send_multipart(["to", "whom"]).unwrap();
                    }
                });
                for round in 0..200 {
                    let number = round * 7 % count;
                    go.send(number).unwrap();
                    assert_eq!(wait(&poller, Some(LONG)), [(number, Events::IN)]);
                    assert_eq!(pulls[number].try_recv_multipart().unwrap().len(), 2);
                }
                drop(go);
            });
        }
    }
}

#[test]
fn a_full_socket_is_ready_when_there_is_room() {
    for endpoint in all_endpoints() {
        let context = Context::new();
        let (pull, push) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
        pull.set(option::RCVHWM, 2).unwrap();
        push.set(option::SNDHWM, 2).unwrap();
        let poller = Poller::new();
        poller.add(&push, Events::OUT, 1).unwrap();
        assert_eq!(wait(&poller, SOON), [], "nobody is connected");
        push.connect(&pull.bind(&endpoint).unwrap()).unwrap();
        assert_eq!(wait(&poller, Some(LONG)), [(1, Events::OUT)]);
        push.wait_for_peers(1, Some(LONG)).unwrap_or(());
        let body = vec![0; 100_000];
        let mut sent = 0;
        while !wait(&poller, SOON).is_empty() {
            push.try_send(body.clone()).unwrap();
            sent += 1;
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..sent {
                    assert_eq!(pull.recv().unwrap().len(), body.len());
                }
            });
            assert_eq!(wait(&poller, Some(LONG)), [(1, Events::OUT)]);
        });
    }
}

/// The turns of REQ and REP are taken by the application's own calls; the poller hears of them.
#[test]
fn turns_are_seen() {
    for endpoint in all_endpoints() {
        let context = Context::new();
        let (req, rep) = (Request::new(&context).unwrap(), Reply::new(&context).unwrap());
        req.connect(&rep.bind(&endpoint).unwrap()).unwrap();
        let poller = Poller::new();
        let both = Events::IN | Events::OUT;
        poller.add(&req, both, 1).unwrap();
        poller.add(&rep, both, 2).unwrap();
        let (asks, answers) = (Poller::new(), Poller::new());
        asks.add(&req, Events::OUT, 1).unwrap();
        answers.add(&rep, Events::OUT, 2).unwrap();
        let replies = Poller::new();
        replies.add(&req, Events::IN, 1).unwrap();
        for _ in 0..50 {
            assert_eq!(wait(&poller, Some(LONG)), [(1, Events::OUT)]);
            assert_eq!(wait(&asks, NOW), [(1, Events::OUT)]);
            assert_eq!(wait(&replies, NOW), []);
            req.send("?").unwrap();
            assert_eq!(wait(&asks, NOW), []);
            assert_eq!(wait(&answers, NOW), []);
            assert_eq!(wait(&poller, Some(LONG)), [(2, Events::IN)]);
            rep.try_recv().unwrap();
            assert_eq!(wait(&answers, NOW), [(2, Events::OUT)]);
            assert_eq!(wait(&poller, Some(LONG)), [(2, Events::OUT)]);
            rep.send("!").unwrap();
            assert_eq!(wait(&answers, NOW), []);
            assert_eq!(wait(&replies, Some(LONG)), [(1, Events::IN)]);
            assert_eq!(wait(&poller, Some(LONG)), [(1, Events::IN)]);
            req.try_recv().unwrap();
            assert_eq!(wait(&asks, NOW), [(1, Events::OUT)]);
        }
        // Two requests at once: the second waits for the answer to the first.
        let other = Dealer::new(&context).unwrap();
        other.connect(&rep.last_endpoint()).unwrap();
        let waits = Poller::new();
        waits.add(&rep, Events::IN, 3).unwrap();
        other.send_multipart(["", "a"]).unwrap();
        assert_eq!(wait(&waits, Some(LONG)), [(3, Events::IN)]);
        rep.recv().unwrap();
        other.send_multipart(["", "b"]).unwrap();
        assert_eq!(wait(&waits, SOON), []);
        rep.send("answer").unwrap();
        assert_eq!(wait(&waits, Some(LONG)), [(3, Events::IN)]);
    }
}

#[test]
fn other_events_are_waited_for_when_told_so() {
    let context = Context::new();
    let (one, other) = (Pair::new(&context).unwrap(), Pair::new(&context).unwrap());
    one.bind("inproc://pair").unwrap();
    other.connect("inproc://pair").unwrap();
    let poller = Poller::new();
    assert!(matches!(poller.modify(&one, Events::IN), Err(PollerError::NotRegistered)));
    assert!(matches!(poller.remove(&one), Err(PollerError::NotRegistered)));
    poller.add(&one, Events::NONE, 1).unwrap();
    assert!(matches!(poller.add(&one, Events::IN, 2), Err(PollerError::AlreadyAdded)));
    assert_eq!(poller.len(), 1);
    other.send("x").unwrap();
    assert_eq!(wait(&poller, SOON), []);
    poller.modify(&one, Events::IN).unwrap();
    assert_eq!(wait(&poller, NOW), [(1, Events::IN)]);
    poller.modify(&one, Events::IN | Events::OUT).unwrap();
    assert_eq!(wait(&poller, NOW), [(1, Events::IN | Events::OUT)]);
    poller.modify(&one, Events::NONE).unwrap();
    assert_eq!(wait(&poller, NOW), []);
    // From another thread, while one waits.
    thread::scope(|scope| {
        scope.spawn(|| poller.modify(&one, Events::OUT).unwrap());
        assert_eq!(wait(&poller, Some(LONG)), [(1, Events::OUT)]);
    });
    poller.remove(&one).unwrap();
    assert!(poller.is_empty());
    assert_eq!(wait(&poller, NOW), []);
    thread::scope(|scope| {
        scope.spawn(|| poller.add(&one, Events::IN, 5).unwrap());
        assert_eq!(wait(&poller, Some(LONG)), [(5, Events::IN)]);
    });
}

#[test]
fn a_closed_socket_is_reported_once() {
    for count in [1, 20] {
        let context = Context::new();
        let poller = Poller::new();
        let mut pulls: Vec<Pull> = (0..count).map(|_| Pull::new(&context).unwrap()).collect();
        for (token, pull) in pulls.iter().enumerate() {
            pull.bind("tcp://127.0.0.1:*").unwrap();
            poller.add(pull, Events::IN, token).unwrap();
        }
        assert_eq!(wait(&poller, NOW), []);
        let last = pulls.pop().unwrap();
        thread::scope(|scope| {
            scope.spawn(move || drop(last));
            let error = poller.wait(&mut Vec::new(), Some(LONG)).unwrap_err();
            assert!(matches!(error, PollerError::Closed { token } if token == count - 1));
        });
        assert_eq!(poller.len(), count - 1);
        assert_eq!(wait(&poller, NOW), []);
        let closed = Pull::new(&context).unwrap();
        AsRef::<oxmq::Socket>::as_ref(&closed).close();
        let refused = poller.add(&closed, Events::IN, 99);
        assert!(matches!(refused, Err(PollerError::Closed { token: 99 })));
    }
}

#[test]
fn the_end_of_the_context_ends_every_wait() {
    for count in [1, 20] {
        let context = Context::new();
        let poller = Poller::new();
        let pulls: Vec<Pull> = (0..count).map(|_| Pull::new(&context).unwrap()).collect();
        for (token, pull) in pulls.iter().enumerate() {
            pull.bind("tcp://127.0.0.1:*").unwrap();
            poller.add(pull, Events::IN, token).unwrap();
        }
        thread::scope(|scope| {
            scope.spawn(|| context.shutdown());
            let error = poller.wait(&mut Vec::new(), Some(LONG)).unwrap_err();
            assert!(matches!(error, PollerError::Terminated), "{error}");
        });
        let error = poller.wait(&mut Vec::new(), Some(LONG)).unwrap_err();
        assert!(matches!(error, PollerError::Terminated), "{error}");
    }
}

#[test]
fn one_thread_waits_at_a_time() {
    let poller = Poller::new();
    let context = Context::new();
    let (pull, push) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
    push.connect(&pull.bind("inproc://busy").unwrap()).unwrap();
    poller.add(&pull, Events::IN, 1).unwrap();
    // One of the two finds the other there, and helps it out.
    let either = || match poller.wait(&mut Vec::new(), Some(LONG)) {
        Err(PollerError::Busy) => {
            push.send("x").unwrap();
            1
        }
        Ok(1) => 2,
        other => panic!("{other:?}"),
    };
    thread::scope(|scope| {
        let other = scope.spawn(either);
        assert_eq!(either() + other.join().unwrap(), 3);
    });
}

#[test]
fn descriptors_are_waited_for_beside_sockets() {
    let context = Context::new();
    let (pull, push) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
    push.connect(&pull.bind("inproc://beside").unwrap()).unwrap();
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    let poller = Poller::new();
    poller.add(&pull, Events::IN, 1).unwrap();
    poller.add_fd(ours.as_raw_fd(), Events::IN, 2).unwrap();
    let again = poller.add_fd(ours.as_raw_fd(), Events::OUT, 3);
    assert!(matches!(again, Err(PollerError::AlreadyAdded)));
    assert_eq!(poller.len(), 2);
    assert_eq!(wait(&poller, SOON), []);
    thread::scope(|scope| {
        scope.spawn(|| theirs.write_all(b"!").unwrap());
        assert_eq!(wait(&poller, Some(LONG)), [(2, Events::IN)]);
    });
    push.send("x").unwrap();
    let mut found = wait(&poller, NOW);
    found.sort_by_key(|(token, _)| *token);
    assert_eq!(found, [(1, Events::IN), (2, Events::IN)]);
    pull.recv().unwrap();
    ours.read_exact(&mut [0]).unwrap();
    assert_eq!(wait(&poller, NOW), []);
    poller.modify_fd(ours.as_raw_fd(), Events::OUT).unwrap();
    assert_eq!(wait(&poller, NOW), [(2, Events::OUT)]);
    poller.modify_fd(ours.as_raw_fd(), Events::IN).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| drop(theirs));
        let found = wait(&poller, Some(LONG));
        assert_eq!(found, [(2, Events::IN | Events::ERROR)]);
    });
    poller.remove_fd(ours.as_raw_fd()).unwrap();
    assert!(matches!(poller.remove_fd(ours.as_raw_fd()), Err(PollerError::NotRegistered)));
    let gone = poller.modify_fd(ours.as_raw_fd(), Events::IN);
    assert!(matches!(gone, Err(PollerError::NotRegistered)));
    assert_eq!(wait(&poller, NOW), []);
    assert!(matches!(poller.add_fd(-1, Events::IN, 0), Err(PollerError::System(_))));
    // What epoll does not know, poll(2) calls ready.
    let file = std::fs::File::open("/proc/self/exe").unwrap();
    poller.add_fd(file.as_raw_fd(), Events::IN, 4).unwrap();
    assert_eq!(wait(&poller, None), [(4, Events::IN)]);
    poller.modify_fd(file.as_raw_fd(), Events::NONE).unwrap();
    assert_eq!(wait(&poller, NOW), []);
    poller.remove_fd(file.as_raw_fd()).unwrap();
}

/// An error alone ends `poll`, too, and does not make it turn in circles.
#[test]
fn an_error_of_a_descriptor_ends_a_poll() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut items = [PollItem::descriptor(writer.as_raw_fd(), Events::IN)];
    assert_eq!(poll(&mut items, None).unwrap(), 1);
    assert_eq!(items[0].ready(), Events::ERROR);
}

#[test]
fn subscriptions_and_identities_arrive_at_a_poller() {
    for endpoint in all_endpoints() {
        let context = Context::new();
        let (publisher, subscriber) =
            (Publisher::new(&context).unwrap(), Subscriber::new(&context).unwrap());
        subscriber.subscribe("news").unwrap();
        subscriber.connect(&publisher.bind(&endpoint).unwrap()).unwrap();
        publisher.wait_for_subscribers("news", 1, Some(LONG)).unwrap();
        let poller = Poller::new();
        poller.add(&subscriber, Events::IN, 1).unwrap();
        publisher.send("weather").unwrap();
        assert_eq!(wait(&poller, SOON), [], "not subscribed to");
        publisher.send("news").unwrap();
        assert_eq!(wait(&poller, Some(LONG)), [(1, Events::IN)]);

        let (router, dealer) = (Router::new(&context).unwrap(), Dealer::new(&context).unwrap());
        poller.remove(&subscriber).unwrap();
        poller.add(&router, Events::IN, 2).unwrap();
        poller.add(&dealer, Events::IN, 3).unwrap();
        dealer.connect(&router.bind(&format!("inproc://{}", fresh_name())).unwrap()).unwrap();
        dealer.send("question").unwrap();
        assert_eq!(wait(&poller, Some(LONG)), [(2, Events::IN)]);
        router.send_multipart(router.recv_multipart().unwrap()).unwrap();
        assert_eq!(wait(&poller, Some(LONG)), [(3, Events::IN)]);
    }
}

/// Senders, a thread that waits, one that steals messages, one that registers and removes: every
/// message comes once, and no wait misses one.
#[test]
fn many_threads_use_what_a_poller_waits_for() {
    const SENDERS: usize = 4;
    const MESSAGES: u64 = 4000;
    for (count, transport) in [(3, "tcp"), (3, "inproc"), (24, "tcp"), (24, "inproc")] {
        let context = Context::new();
        let poller = Poller::new();
        let pulls: Vec<Pull> = (0..count).map(|_| Pull::new(&context).unwrap()).collect();
        let endpoints: Vec<String> = pulls
            .iter()
            .map(|pull| match transport {
                "tcp" => pull.bind("tcp://127.0.0.1:*").unwrap(),
                _ => pull.bind(&format!("inproc://{}", fresh_name())).unwrap(),
            })
            .collect();
        for (token, pull) in pulls.iter().enumerate() {
            poller.add(pull, Events::IN, token).unwrap();
        }
        let received = AtomicU64::new(0);
        let all = SENDERS as u64 * MESSAGES;
        let done = AtomicBool::new(false);
        let mut by_sender: BTreeMap<u64, u64> = BTreeMap::new();
        let mut stolen: BTreeMap<u64, u64> = BTreeMap::new();
        let count_in = |counts: &mut BTreeMap<u64, u64>, body: &[u8]| {
            *counts.entry(u64::from_le_bytes(body.try_into().unwrap())).or_default() += 1;
            received.fetch_add(1, Ordering::SeqCst);
        };
        thread::scope(|scope| {
            for sender in 0..SENDERS as u64 {
                let push = Push::new(&context).unwrap();
                endpoints.iter().for_each(|endpoint| push.connect(endpoint).unwrap());
                scope.spawn(move || {
                    (0..MESSAGES).for_each(|_| push.send(&sender.to_le_bytes()).unwrap());
                });
            }
            let thief = scope.spawn(|| {
                let mut stolen = BTreeMap::new();
                while !done.load(Ordering::SeqCst) {
                    match pulls[0].try_recv() {
                        Ok(body) => count_in(&mut stolen, &body),
                        Err(RecvError::Again) => thread::yield_now(),
                        Err(error) => panic!("{error}"),
                    }
                }
                stolen
            });
            scope.spawn(|| {
                while !done.load(Ordering::SeqCst) {
                    poller.remove(&pulls[1]).unwrap();
                    poller.add(&pulls[1], Events::IN, 1).unwrap();
                    poller.modify(&pulls[2], Events::NONE).unwrap();
                    poller.modify(&pulls[2], Events::IN).unwrap();
                    thread::yield_now();
                }
            });
            let done = Done(&done);
            let mut events = Vec::new();
            while received.load(Ordering::SeqCst) < all {
                // The thief may take the last one.
                let found = poller.wait(&mut events, Some(LONG / 4)).unwrap();
                assert!(found > 0 || received.load(Ordering::SeqCst) == all, "a lost wake-up");
                for event in &events {
                    // Not all: what is left must be reported again.
                    for _ in 0..3 {
                        match pulls[event.token].try_recv() {
                            Ok(body) => count_in(&mut by_sender, &body),
                            Err(error) => assert_eq!(error, RecvError::Again),
                        }
                    }
                }
            }
            drop(done);
            stolen = thief.join().unwrap();
        });
        for sender in 0..SENDERS as u64 {
            let sum = by_sender.get(&sender).unwrap_or(&0) + stolen.get(&sender).unwrap_or(&0);
            assert_eq!(sum, MESSAGES, "of sender {sender} over {transport}");
        }
    }
}

extern "C" fn note(_: i32) {
    SIGNALS.fetch_add(1, Ordering::SeqCst);
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

// The poller's descriptor.

fn rings(poller: &Poller, timeout: Option<Duration>) -> bool {
    poll(&mut [PollItem::descriptor(poller.fd().unwrap(), Events::IN)], timeout).unwrap() == 1
}

/// A wait that finds nothing ends it, but for news that is on its way.
fn assert_quiet(poller: &Poller) {
    for _ in 0..1000 {
        assert_eq!(wait(poller, NOW), []);
        if !rings(poller, NOW) {
            return;
        }
    }
    panic!("readable for nothing, again and again");
}

#[test]
fn the_descriptor_is_readable_while_a_wait_would_report_something() {
    for endpoint in all_endpoints() {
        let context = Context::new();
        let (pull, push) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
        push.connect(&pull.bind(&endpoint).unwrap()).unwrap();
        let poller = Poller::new();
        assert_eq!(poller.fd().unwrap(), poller.fd().unwrap());
        poller.add(&pull, Events::IN, 7).unwrap();
        for _ in 0..100 {
            assert_quiet(&poller);
            push.send("one").unwrap();
            while wait(&poller, NOW) != [(7, Events::IN)] {
                assert!(rings(&poller, Some(LONG)), "{endpoint}");
            }
            for _ in 0..3 {
                assert!(rings(&poller, NOW), "{endpoint}");
                assert_eq!(wait(&poller, NOW), [(7, Events::IN)]);
            }
            pull.try_recv().unwrap();
        }
        assert_quiet(&poller);
        // Other events, and others that are ready.
        poller.add(&push, Events::OUT, 8).unwrap();
        assert!(rings(&poller, Some(LONG)));
        assert_eq!(wait(&poller, NOW), [(8, Events::OUT)]);
        poller.modify(&push, Events::NONE).unwrap();
        assert_quiet(&poller);
        poller.modify(&push, Events::OUT).unwrap();
        assert!(rings(&poller, Some(LONG)));
        poller.remove(&push).unwrap();
        assert_quiet(&poller);
        // Its end, too.
        pull.close();
        assert!(rings(&poller, Some(LONG)));
        assert!(matches!(poller.wait(&mut Vec::new(), NOW), Err(PollerError::Closed { token: 7 })));
        assert_quiet(&poller);
    }
}

#[test]
fn the_descriptor_is_readable_for_the_descriptors_in_it() {
    let poller = Poller::new();
    let (mut near, far) = UnixStream::pair().unwrap();
    let file = std::fs::File::open("Cargo.toml").unwrap();
    for asks_first in [true, false] {
        if asks_first {
            poller.fd().unwrap();
        }
        poller.add_fd(far.as_raw_fd(), Events::IN, 1).unwrap();
        assert_eq!(wait(&poller, NOW), []);
        assert!(!rings(&poller, NOW));
        near.write_all(b"x").unwrap();
        assert!(rings(&poller, Some(LONG)));
        assert_eq!(wait(&poller, NOW), [(1, Events::IN)]);
        assert!(rings(&poller, NOW));
        (&far).read_exact(&mut [0]).unwrap();
        assert_eq!(wait(&poller, NOW), []);
        assert!(!rings(&poller, NOW));
        // A file of the disk is always ready.
        poller.add_fd(file.as_raw_fd(), Events::IN, 2).unwrap();
        for _ in 0..3 {
            assert!(rings(&poller, NOW));
            assert_eq!(wait(&poller, NOW), [(2, Events::IN)]);
        }
        poller.remove_fd(file.as_raw_fd()).unwrap();
        poller.remove_fd(far.as_raw_fd()).unwrap();
        assert_eq!(wait(&poller, NOW), []);
        assert!(!rings(&poller, NOW));
    }
}

/// A loop that waits by the descriptor alone: no message waits for the next one.
#[test]
fn nothing_is_overlooked_by_who_waits_by_the_descriptor() {
    const EACH: u64 = 30_000;
    for endpoint in all_endpoints() {
        let context = Context::new();
        let pulls: Vec<Pull> = (0..3).map(|_| Pull::new(&context).unwrap()).collect();
        let poller = Poller::new();
        let mut at = Vec::new();
        for (token, pull) in pulls.iter().enumerate() {
            let unique = if endpoint.starts_with("tcp") {
                endpoint.clone()
            } else {
                format!("{endpoint}-{token}")
            };
            at.push(pull.bind(&unique).unwrap());
            poller.add(pull, Events::IN, token).unwrap();
        }
        thread::scope(|scope| {
            for sender in 0..6 {
                let (context, at) = (&context, &at[sender % at.len()]);
                scope.spawn(move || {
                    let push = Push::new(context).unwrap();
                    push.connect(at).unwrap();
                    for number in 0..EACH {
                        push.send("x").unwrap();
                        if number % 97 == 0 {
                            thread::yield_now();
                        }
                    }
                });
            }
            let mut received = 0;
            while received < 6 * EACH {
                assert!(rings(&poller, Some(LONG)), "{endpoint}: {received}");
                for (token, _) in wait(&poller, NOW) {
                    // Some of what is there, as a fair loop does.
                    for _ in 0..1 + received % 50 {
                        if pulls[token].try_recv().is_err() {
                            break;
                        }
                        received += 1;
                    }
                }
            }
        });
    }
}

#[test]
fn a_signal_ends_a_wait() {
    process::handle_signal(libc::SIGUSR1, note);
    let context = Context::new();
    let poller = Poller::new();
    let pulls: Vec<Pull> = (0..8).map(|_| Pull::new(&context).unwrap()).collect();
    for (token, pull) in pulls.iter().enumerate() {
        // From few to many.
        pull.bind("tcp://127.0.0.1:*").unwrap();
        poller.add(pull, Events::IN, token).unwrap();
        // SAFETY: a thread names itself.
        let waiting = unsafe { libc::pthread_self() };
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::SeqCst) {
                    // SAFETY: the thread lives as long as the scope.
                    unsafe { libc::pthread_kill(waiting, libc::SIGUSR1) };
                    process::pause(Duration::from_millis(1));
                }
            });
            let _ended = Done(&ended);
            let error = poller.wait(&mut Vec::new(), None).unwrap_err();
            assert!(matches!(error, PollerError::Interrupted), "{error}");
        });
    }
}

/// A poller is the process's that made it, in whatever state its locks were at a fork.
#[test]
fn a_forked_child_cannot_use_its_parents_poller() {
    let context = Context::new();
    let pulls: Vec<Pull> = (0..8).map(|_| Pull::new(&context).unwrap()).collect();
    let poller = Poller::new();
    poller.add(&pulls[0], Events::IN, 0).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                assert_eq!(wait(&poller, Some(Duration::from_micros(50))), []);
            }
        });
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                poller.add(&pulls[1], Events::IN, 1).unwrap();
                poller.remove(&pulls[1]).unwrap();
            }
        });
        // However this ends, the threads end.
        let _done = Done(&done);
        for _ in 0..100 {
            // SAFETY: the child uses nothing that another thread may hold, but for what the
            // library sees to, and the allocator, which the system's C library sees to.
            let id = unsafe { libc::fork() };
            if id == 0 {
                // SAFETY: the parent's other threads do not exist here; nobody else drops it.
                let inherited = unsafe { std::ptr::read(&poller) };
                let refused =
                    |done: Result<(), PollerError>| matches!(done, Err(PollerError::Forked));
                let fine = refused(inherited.wait(&mut Vec::new(), None).map(|_| ()))
                    && refused(inherited.add(&pulls[2], Events::IN, 2))
                    && refused(inherited.add_fd(0, Events::IN, 3))
                    && refused(inherited.remove(&pulls[0]))
                    && refused(inherited.modify(&pulls[0], Events::OUT));
                drop(inherited);
                // SAFETY: does not return.
                unsafe { libc::_exit(i32::from(!fine)) };
            }
            assert!(id > 0);
            let mut status = 0;
            // SAFETY: the child is this thread's own, and `status` is there to be filled in.
            assert_eq!(unsafe { libc::waitpid(id, &mut status, 0) }, id);
            assert_eq!(status, 0);
        }
    });
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
