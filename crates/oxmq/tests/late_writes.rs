//! A busy thread gathers what it sends, and writes it before it waits. Whatever it does instead of
//! waiting, no message waits with it.

mod process;
mod support;

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use oxmq::{Context, Dealer, Message, Poller, Pull, Push, Router, TermError, option, poll};
use process::{Peer, say};
use support::{LONG, fresh_name};

const TRANSPORTS: [&str; 3] = ["tcp", "ipc", "inproc"];
const CONNECTIONS: [usize; 2] = [1, 100];
/// What makes a thread busy: so many messages in turn, without a wait.
const STREAM: usize = 300;

fn endpoint(transport: &str) -> String {
    match transport {
        "tcp" => "tcp://127.0.0.1:*".to_owned(),
        "ipc" => format!("ipc://@{}", fresh_name()),
        other => format!("{other}://{}", fresh_name()),
    }
}

/// The sending sockets, in the hands of a busy thread.
struct Busy {
    pushes: Vec<Push>,
    next: usize,
    start: Instant,
}

impl Busy {
    /// Sends one more message, over the next socket in turn.
    fn send(&mut self) {
        let push = &self.pushes[self.next % self.pushes.len()];
        self.next += 1;
        let sent_at = self.start.elapsed().as_nanos() as u64;
        push.send(Message::from(&sent_at.to_ne_bytes())).unwrap();
    }

    fn stream(&mut self) {
        for _ in 0..STREAM {
            self.send();
        }
    }
}

/// Lets a thread go on once everything that it has sent has arrived.
struct Held(Receiver<()>);

impl Held {
    /// Blocks in something that is not ours.
    fn wait(&self) {
        self.0.recv_timeout(LONG).expect("all that was sent before has arrived");
    }
}

/// Runs `sender` on a thread of its own, and receives what it sends; `sender` says how much that is
/// before it is held, and may keep what its end is to drop.
fn all_arrives(
    what: &str,
    sender: impl Fn(&Context, Busy, &Sender<usize>, &Held) + Send + Sync + Copy + 'static,
) {
    let mut late = Vec::new();
    for transport in TRANSPORTS {
        for connections in CONNECTIONS {
            let context = Context::new();
            let pull = Pull::new(&context).unwrap();
            let at = pull.bind(&endpoint(transport)).unwrap();
            let pushes: Vec<_> = (0..connections).map(|_| Push::new(&context).unwrap()).collect();
            pushes.iter().for_each(|push| push.connect(&at).unwrap());
            pull.wait_for_peers(connections, Some(LONG)).unwrap();
            let start = Instant::now();
            let (count, counts) = mpsc::channel();
            let (go_on, held) = mpsc::channel();
            let thread_context = context.clone();
            let thread = thread::spawn(move || {
                let busy = Busy { pushes, next: 0, start };
                sender(&thread_context, busy, &count, &Held(held));
            });
            let mut received = 0;
            let mut expected = 0;
            // It may be held several times.
            while let Ok(more) = counts.recv() {
                expected += more;
                while received < expected {
                    let message = pull.recv_timeout(LONG).unwrap_or_else(|error| {
                        panic!("{what}, {transport}, {connections}: {received} came, then {error}")
                    });
                    let sent_at = u64::from_ne_bytes(message[..].try_into().unwrap());
                    received += 1;
                    if received + connections > expected {
                        late.push(start.elapsed() - Duration::from_nanos(sent_at));
                    }
                }
                let _ = go_on.send(());
            }
            thread.join().unwrap();
        }
    }
    late.sort_unstable();
    let at = |share: usize| late[(late.len() - 1) * share / 100];
    println!("{what}: median {:?}, p99 {:?}, most {:?}", at(50), at(99), at(100));
}

#[test]
fn a_thread_that_computes() {
    all_arrives("a stream", |_, mut busy, count, held| {
        busy.stream();
        count.send(STREAM).unwrap();
        held.wait();
    });
    all_arrives("two, then nothing", |_, mut busy, count, held| {
        busy.send();
        busy.send();
        count.send(2).unwrap();
        held.wait();
    });
    all_arrives("one to each", |_, mut busy, count, held| {
        for _ in 0..busy.pushes.len() {
            busy.send();
        }
        count.send(busy.pushes.len()).unwrap();
        held.wait();
        // Again, as a thread that has been held.
        busy.send();
        busy.send();
        count.send(2).unwrap();
        held.wait();
    });
}

/// It never waits, and never finds nothing.
#[test]
fn a_thread_that_goes_on_with_others() {
    all_arrives("others", |context, mut busy, count, held| {
        let (one, other) = (Push::new(context).unwrap(), Pull::new(context).unwrap());
        let at = other.bind(&endpoint("inproc")).unwrap();
        one.connect(&at).unwrap();
        busy.send();
        busy.send();
        count.send(2).unwrap();
        let start = Instant::now();
        while held.0.try_recv().is_err() {
            assert!(start.elapsed() < LONG, "all that was sent before has arrived");
            one.send("x").unwrap();
            other.recv().unwrap();
        }
    });
}

#[test]
fn a_thread_that_ends() {
    all_arrives("the thread returns", |_, mut busy, count, _| {
        busy.stream();
        count.send(STREAM).unwrap();
        // The sockets outlive it: closing them would send what is left.
        std::mem::forget(std::mem::take(&mut busy.pushes));
    });

    /// Sends from a destructor of the thread's own, as late as can be.
    struct Last(RefCell<Option<(Busy, Sender<usize>)>>);
    impl Drop for Last {
        fn drop(&mut self) {
            if let Some((mut busy, count)) = self.0.take() {
                busy.stream();
                count.send(STREAM).unwrap();
                std::mem::forget(std::mem::take(&mut busy.pushes));
            }
        }
    }
    thread_local!(static LAST: Last = const { Last(RefCell::new(None)) });
    all_arrives("in a destructor of the thread", |_, mut busy, count, held| {
        // Before the library has any of its own there, so that it is run after those.
        LAST.with(|last| assert!(last.0.borrow().is_none()));
        busy.send();
        count.send(1).unwrap();
        held.wait();
        LAST.with(|last| last.0.replace(Some((busy, count.clone()))));
    });
}

#[test]
fn a_thread_that_hands_its_sockets_over() {
    all_arrives("another thread closes", |_, mut busy, count, held| {
        busy.stream();
        let Busy { pushes, .. } = busy;
        thread::spawn(move || drop(pushes));
        count.send(STREAM).unwrap();
        held.wait();
    });
    all_arrives("another thread disconnects", |_, mut busy, count, held| {
        busy.stream();
        let Busy { pushes, .. } = busy;
        thread::spawn(move || {
            for push in pushes {
                let at = push.last_endpoint();
                // All may have arrived, and the context have ended.
                let _ = push.disconnect(&at);
            }
        });
        count.send(STREAM).unwrap();
        held.wait();
    });
}

#[test]
fn a_thread_that_waits_for_something_else_of_ours() {
    all_arrives("poll without items", |_, mut busy, count, _| {
        busy.stream();
        count.send(STREAM).unwrap();
        assert_eq!(poll(&mut [], Some(Duration::from_millis(1))).unwrap(), 0);
    });
    all_arrives("a poller without sockets", |_, mut busy, count, _| {
        busy.stream();
        count.send(STREAM).unwrap();
        let waited = Poller::new().wait(&mut Vec::new(), Some(Duration::from_millis(1)));
        assert_eq!(waited.unwrap(), 0);
    });
    all_arrives("a send to nobody", |context, mut busy, count, _| {
        let other = Push::new(context).unwrap();
        other.set(option::SNDTIMEO, 1).unwrap();
        busy.stream();
        count.send(STREAM).unwrap();
        other.send("x").unwrap_err();
    });
    all_arrives("a monitor", |_, mut busy, count, _| {
        let monitor = busy.pushes[0].as_ref().monitor();
        busy.stream();
        count.send(STREAM).unwrap();
        let _ = monitor.recv_timeout(Duration::from_millis(1));
    });
    all_arrives("the end of a context", |_, mut busy, count, _| {
        let other = Context::new();
        let open = Push::new(&other).unwrap();
        busy.stream();
        count.send(STREAM).unwrap();
        let ended = other.term_timeout(Duration::from_millis(1));
        assert!(matches!(ended, Err(TermError::TimedOut { .. })));
        drop(open);
    });
}

/// A future that sends is polled on a busy thread, which then waits for something that is not ours.
#[test]
fn a_task() {
    all_arrives("a task", |_, mut busy, count, held| {
        busy.stream();
        let sent_at = busy.start.elapsed().as_nanos() as u64;
        let push = busy.pushes[0].as_ref();
        {
            let mut send = pin!(push.send_async([Message::from(&sent_at.to_ne_bytes())]));
            let mut task = TaskContext::from_waker(Waker::noop());
            assert!(matches!(send.as_mut().poll(&mut task), Poll::Ready(Ok(()))));
        }
        count.send(STREAM + 1).unwrap();
        held.wait();
    });
}

/// Replies leave though their thread has had more to receive, and then computes.
#[test]
fn a_service_that_computes_after_its_last_reply() {
    for transport in TRANSPORTS {
        for connections in CONNECTIONS {
            let context = Context::new();
            let router = Router::new(&context).unwrap();
            let at = router.bind(&endpoint(transport)).unwrap();
            let dealers: Vec<_> =
                (0..connections).map(|_| Dealer::new(&context).unwrap()).collect();
            for dealer in &dealers {
                dealer.connect(&at).unwrap();
                dealer.send("one").unwrap();
                dealer.send("two").unwrap();
            }
            let (go_on, held) = mpsc::channel::<()>();
            let service = thread::spawn(move || {
                for _ in 0..2 * connections {
                    let request = router.recv_multipart().unwrap();
                    router.send_multipart(request).unwrap();
                }
                held.recv_timeout(LONG).expect("the replies have arrived");
                drop(router);
            });
            for dealer in &dealers {
                for body in ["one", "two"] {
                    assert_eq!(&dealer.recv_timeout(LONG).unwrap()[..], body.as_bytes());
                }
            }
            go_on.send(()).unwrap();
            service.join().unwrap();
        }
    }
}

/// Several threads send over one socket in turn, each busy by itself.
#[test]
fn threads_that_share_a_socket() {
    for transport in TRANSPORTS {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        let at = pull.bind(&endpoint(transport)).unwrap();
        let push = Arc::new(Push::new(&context).unwrap());
        push.connect(&at).unwrap();
        let turn = Arc::new(Mutex::new(()));
        let (go_on, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (push, turn, held) = (push.clone(), turn.clone(), held.clone());
                thread::spawn(move || {
                    for _ in 0..STREAM {
                        let _mine = turn.lock().unwrap();
                        push.send("x").unwrap();
                    }
                    held.lock().unwrap().recv_timeout(LONG).expect("all has arrived");
                })
            })
            .collect();
        for _ in 0..4 * STREAM {
            pull.recv_timeout(LONG).unwrap();
        }
        threads.iter().for_each(|_| go_on.send(()).unwrap());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// Processes that end, or fork, with messages gathered: all arrive, and none twice.
#[test]
fn processes() {
    for transport in ["tcp", "ipc"] {
        for end in ["exits", "forks exit", "forks _exit"] {
            let context = Context::new();
            let pull = Pull::new(&context).unwrap();
            let at = pull.bind(&endpoint(transport)).unwrap();
            let mut peer = Peer::start(&format!("{at} {end}"));
            let messages = if end == "exits" { STREAM } else { STREAM + 1 };
            for number in 0..messages as u64 {
                let message = pull.recv_timeout(LONG).unwrap_or_else(|error| {
                    panic!("{transport}, {end}: {number} came, then {error}")
                });
                assert_eq!(message[..], number.to_ne_bytes(), "{transport}, {end}");
            }
            assert!(peer.end_within(LONG).is_some_and(|status| status.success()), "{end}");
            assert!(pull.try_recv().is_err(), "{transport}, {end}: a message came twice");
        }
    }
}

#[test]
#[ignore = "run by another test as a process of its own"]
fn child() {
    let Some(role) = process::role() else { return };
    let context = Context::new();
    let push = Push::new(&context).unwrap();
    push.connect(&role[0]).unwrap();
    push.wait_for_peers(1, Some(LONG)).unwrap();
    for number in 0..STREAM as u64 {
        push.send(Message::from(&number.to_ne_bytes())).unwrap();
    }
    if role[1] == "exits" {
        // The library does not learn of it.
        std::process::exit(0);
    }
    // SAFETY: the child makes no call but those that end it.
    let child = unsafe { libc::fork() };
    if child == 0 {
        match role[2].as_str() {
            "exit" => std::process::exit(0),
            // SAFETY: ends the process.
            _ => unsafe { libc::_exit(0) },
        }
    }
    let mut status = 0;
    // SAFETY: the child is this process' own.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    push.send(Message::from(&(STREAM as u64).to_ne_bytes())).unwrap();
    drop(push);
    context.term().unwrap();
    say("done");
    std::process::exit(0);
}
