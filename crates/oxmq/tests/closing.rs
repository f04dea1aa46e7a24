//! Sockets closed and contexts ended while other threads and tasks wait on them, and several
//! waiters on one socket: the documented error each time, and nothing hangs or is left behind.

mod process;

use std::future::Future;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{self, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use oxmq::{
    Context, Events, Pair, PollError, PollItem, Pull, Push, RecvError, SendErrorKind, Socket,
    SocketType, TermError, WaitError, option, poll,
};
use process::{Random, descriptors, pause, settles, threads};

const LONG: Duration = Duration::from_secs(300);
const CALLS: [Call; 5] = [Call::Send, Call::Recv, Call::Poll, Call::Peers, Call::Future];
/// 2,000 of each of five calls: 10,000, half of them closed and half of them terminated.
const TIMES: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    Send,
    Recv,
    Poll,
    Peers,
    Future,
}

/// How a waiting call ended.
#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Closed,
    Terminated,
}

impl Call {
    /// Waits for what never comes.
    fn wait(self, socket: &Socket) -> Ended {
        match self {
            Call::Send => loop {
                match socket.send("full some day").map_err(|error| error.kind()) {
                    Ok(()) => {}
                    Err(SendErrorKind::Closed) => break Ended::Closed,
                    Err(SendErrorKind::Terminated) => break Ended::Terminated,
                    Err(error) => panic!("{self:?}: {error:?}"),
                }
            },
            Call::Recv => recv_ended(socket.recv().map(drop)),
            Call::Future => recv_ended(pollster::block_on(socket.recv_async()).map(drop)),
            Call::Poll => match poll(&mut [PollItem::socket(socket, Events::IN)], None) {
                Err(PollError::Closed) => Ended::Closed,
                Err(PollError::Terminated) => Ended::Terminated,
                other => panic!("{self:?}: {other:?}"),
            },
            Call::Peers => match socket.wait_for_peers(99, None) {
                Err(WaitError::Closed) => Ended::Closed,
                Err(WaitError::Terminated) => Ended::Terminated,
                other => panic!("{self:?}: {other:?}"),
            },
        }
    }
}

fn recv_ended(received: Result<(), RecvError>) -> Ended {
    match received {
        Err(RecvError::Closed) => Ended::Closed,
        Err(RecvError::Terminated) => Ended::Terminated,
        other => panic!("recv: {other:?}"),
    }
}

/// A socket of the type that the call needs, plugged in in one of several ways.
fn socket(context: &Context, call: Call, way: u64) -> (Arc<Socket>, Option<Socket>) {
    let (kind, other) = match call {
        Call::Send => (SocketType::Push, SocketType::Pull),
        _ => (SocketType::Pull, SocketType::Push),
    };
    let socket = Arc::new(context.socket(kind).unwrap());
    socket.set(option::SNDHWM, 5).unwrap();
    socket.set(option::LINGER, 0).unwrap();
    socket.set(option::SPIN, way.is_multiple_of(2)).unwrap();
    if way % 4 < 2 {
        return (socket, None);
    }
    // A connected peer, which neither sends nor receives.
    let peer = context.socket(other).unwrap();
    peer.set(option::RCVHWM, 5).unwrap();
    peer.set(option::LINGER, 0).unwrap();
    let endpoint =
        if way % 8 < 4 { &format!("inproc://closing-{call:?}") } else { "tcp://127.0.0.1:*" };
    peer.connect(&socket.bind(endpoint).unwrap()).unwrap();
    (socket, Some(peer))
}

#[test]
fn waiting_calls_end_when_socket_or_context_ends() {
    let mut random = Random::new("waiting_calls_end_when_socket_or_context_ends");
    // A waiter that stays, so that its own descriptor counts once.
    let (jobs, work) = mpsc::channel::<(Call, Arc<Socket>)>();
    let (ends, ended) = mpsc::channel();
    let begun = Arc::new(AtomicUsize::new(0));
    let waiter = thread::spawn({
        let begun = begun.clone();
        move || {
            for (call, socket) in work {
                begun.fetch_add(1, Ordering::SeqCst);
                ends.send(call.wait(&socket)).unwrap();
            }
        }
    });
    // The main thread's descriptor is made, and those of a first context's end.
    let _ = Context::new().term_timeout(Duration::ZERO);
    let mut before = None;
    let mut rounds = 0;
    for round in 0..=TIMES {
        for call in CALLS {
            // Once in a hundred rounds the context is a new one for `close` too.
            let context = Context::new();
            for terminate in [false, true] {
                let (socket, peer) = socket(&context, call, random.below(1000));
                let begun_before = begun.load(Ordering::SeqCst);
                jobs.send((call, socket.clone())).unwrap();
                while begun.load(Ordering::SeqCst) == begun_before {
                    std::hint::spin_loop();
                }
                pause_within(&mut random);
                let expected = if terminate {
                    context.shutdown();
                    Ended::Terminated
                } else {
                    socket.close();
                    Ended::Closed
                };
                let end = ended.recv_timeout(LONG).expect("the call ends");
                assert_eq!(end, expected, "{call:?} in round {round}");
                // Every later call says the same.
                if call != Call::Send || terminate {
                    assert_eq!(call.wait(&socket), expected, "{call:?} again");
                }
                drop((socket, peer));
                rounds += 1;
            }
            context.term_timeout(LONG).unwrap();
        }
        if round == 0 {
            (before, rounds) = (Some((descriptors(), threads())), 0);
        }
    }
    println!("{rounds} calls ended by close or shutdown");
    assert_eq!(rounds, 2 * TIMES * CALLS.len());
    let (descriptors_before, threads_before) = before.unwrap();
    // Other tests of this program may run beside this one, so this is no test of equality.
    println!(
        "descriptors {descriptors_before} -> {}, threads {threads_before} -> {}",
        descriptors(),
        threads()
    );
    drop(jobs);
    waiter.join().unwrap();
}

/// At once, while the call polls, or long after.
fn pause_within(random: &mut Random) {
    let max = [1, 30, 200][random.below(3) as usize];
    let wait = random.micros(max + 1);
    let start = std::time::Instant::now();
    while start.elapsed() < wait {
        std::hint::spin_loop();
    }
}

/// `term` waits for the last socket, which another thread closes when it sees `Terminated`.
#[test]
fn term_returns_when_the_waiters_have_closed() {
    for round in 0..500 {
        let context = Context::new();
        let calls = [Call::Send, Call::Recv, Call::Poll, Call::Peers];
        let sockets = calls.map(|call| socket(&context, call, round));
        thread::scope(|scope| {
            for (call, (socket, peer)) in calls.into_iter().zip(sockets) {
                scope.spawn(move || {
                    assert_eq!(call.wait(&socket), Ended::Terminated);
                    drop((socket, peer));
                });
            }
            context.term_timeout(LONG).unwrap();
            assert!(context.socket(SocketType::Pair).is_err());
        });
    }
}

/// `bind` and `connect` overtaken by `close`: both end, and `term` after them.
#[test]
fn plugging_in_may_be_overtaken_by_close() {
    let mut random = Random::new("plugging_in_may_be_overtaken_by_close");
    for _ in 0..300 {
        let context = Context::new();
        let endpoints = ["tcp://127.0.0.1:*", "ipc://*", "inproc://overtaken"];
        let sockets = [(); 3].map(|()| Pull::new(&context).unwrap());
        thread::scope(|scope| {
            let threads = sockets.iter().zip(endpoints).map(|(socket, endpoint)| {
                scope.spawn(move || {
                    for _ in 0..20 {
                        let Ok(bound) = socket.bind(endpoint) else { break };
                        if socket.connect(&bound).is_err() {
                            break;
                        }
                        if socket.unbind(&bound).is_err() {
                            break;
                        }
                    }
                })
            });
            let threads: Vec<_> = threads.collect();
            pause_within(&mut random);
            sockets.iter().for_each(Pull::close);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        context.term_timeout(LONG).unwrap();
    }
}

#[test]
fn term_says_what_is_in_the_way() {
    let context = Context::new();
    let socket = Pair::new(&context).unwrap();
    match context.term_timeout(Duration::from_millis(1)) {
        Err(TermError::TimedOut { sockets, .. }) => assert_eq!(sockets.len(), 1),
        other => panic!("{other:?}"),
    }
    assert_eq!(socket.recv(), Err(RecvError::Terminated));
    socket.close();
    context.term_timeout(LONG).unwrap();
}

/// Run as a process of its own: nothing else makes or closes descriptors there.
#[test]
fn nothing_is_left_behind() {
    let mut peer = process::Peer::start("left");
    let answer = peer.line_within(30 * LONG).unwrap();
    println!("{answer:?}");
    assert!(answer.is_some_and(|answer| answer.starts_with("same")));
}

#[test]
#[ignore = "run by another test as a process of its own"]
fn child() {
    match process::role() {
        Some(role) if role[0] == "left" => use_and_leave(),
        Some(_) => come_and_go(),
        None => {}
    }
}

fn use_and_leave() {
    let mut random = Random::new("left");
    let once = |random: &mut Random| {
        let context = Context::new();
        let pull = Arc::new(Pull::new(&context).unwrap());
        let file = std::env::temp_dir().join(format!("oxmq-left-{}", std::process::id()));
        let ipc = format!("ipc://{}", file.display());
        for endpoint in ["tcp://127.0.0.1:*", &ipc, "inproc://left"] {
            let endpoint = pull.bind(endpoint).unwrap();
            let push = Push::new(&context).unwrap();
            push.set(option::LINGER, 0).unwrap();
            push.connect(&endpoint).unwrap();
            push.send(vec![1; 100_000]).unwrap();
        }
        // One that never finds its peer.
        let lonely = Push::new(&context).unwrap();
        lonely.set(option::LINGER, 0).unwrap();
        lonely.connect("ipc:///nonexistent/peer").unwrap();
        lonely.send("nobody").unwrap();
        let waiter = thread::spawn({
            let pull = pull.clone();
            move || while pull.recv().is_ok() {}
        });
        pause_within(random);
        pull.close();
        waiter.join().unwrap();
        drop((pull, lonely, context));
        assert!(!file.exists(), "the file of an ipc endpoint goes with it");
    };
    for _ in 0..20 {
        once(&mut random);
    }
    let (fds, tasks, kib) = (descriptors(), threads(), process::resident_kib());
    for _ in 0..300 {
        once(&mut random);
    }
    let ends = (settles(fds, descriptors), settles(tasks, threads));
    let grown_kib = process::resident_kib().saturating_sub(kib);
    let verdict = if ends == (Ok(()), Ok(())) && grown_kib < process::memory_slack_kib(4096) {
        "same"
    } else {
        "more"
    };
    process::say(&format!(
        "{verdict}: descriptors {fds} -> {}, threads {tasks} -> {}, {grown_kib} KiB more",
        descriptors(),
        threads()
    ));
}

// Futures.

#[test]
fn futures_run_on_pollster() {
    exchange(|sending, receiving| {
        thread::scope(|scope| {
            scope.spawn(|| pollster::block_on(sending));
            pollster::block_on(receiving);
        });
    });
}

#[test]
fn futures_run_on_tokio() {
    let one = tokio::runtime::Builder::new_current_thread().build().unwrap();
    exchange(|sending, receiving| {
        one.block_on(async { tokio::join!(sending, receiving) });
    });
    let many = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    exchange(|sending, receiving| {
        many.block_on(async { tokio::join!(sending, receiving) });
    });
}

type Task<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A stream past small high-water marks, and its counting back.
fn exchange(run: impl for<'a> Fn(Task<'a>, Task<'a>)) {
    const MESSAGES: u32 = 5000;
    for endpoint in ["tcp://127.0.0.1:*", "inproc://exchange"] {
        let context = Context::new();
        let (a, b) = (Pair::new(&context).unwrap(), Pair::new(&context).unwrap());
        for pair in [&a, &b] {
            pair.set(option::SNDHWM, 7).unwrap();
            pair.set(option::RCVHWM, 7).unwrap();
        }
        a.connect(&b.bind(endpoint).unwrap()).unwrap();
        let (a, b) = (&a, &b);
        let sending = async move {
            for number in 0..MESSAGES {
                let parts = [&number.to_le_bytes()[..], b"second part"];
                a.send_async(parts).await.unwrap();
            }
            assert_eq!(a.recv_async().await.unwrap()[..], MESSAGES.to_le_bytes());
        };
        let receiving = async move {
            for number in 0..MESSAGES {
                let parts = b.recv_multipart_async().await.unwrap();
                assert_eq!(parts.len(), 2);
                assert_eq!(parts[0][..], number.to_le_bytes());
            }
            b.send_async([&MESSAGES.to_le_bytes()]).await.unwrap();
        };
        run(Box::pin(sending), Box::pin(receiving));
    }
}

/// Says how often it was woken.
#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn counter() -> (Arc<Count>, Waker) {
    let count = Arc::new(Count::default());
    (count.clone(), count.into())
}

fn poll_once<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut task::Context::from_waker(waker))
}

#[test]
fn a_cancelled_receiver_passes_its_notification_on() {
    let context = Context::new();
    let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
    push.connect(&pull.bind("inproc://cancel").unwrap()).unwrap();
    let ((first_woken, first_waker), (second_woken, second_waker)) = (counter(), counter());
    let (mut first, mut second) = (pull.recv_async(), pull.recv_async());
    assert!(poll_once(&mut first, &first_waker).is_pending());
    assert!(poll_once(&mut second, &second_waker).is_pending());
    push.send("one").unwrap();
    assert_eq!(first_woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(second_woken.0.load(Ordering::SeqCst), 0, "one message wakes one receiver");
    drop(first);
    assert_eq!(second_woken.0.load(Ordering::SeqCst), 1, "the notification is passed on");
    match poll_once(&mut second, &second_waker) {
        Poll::Ready(Ok(message)) => assert_eq!(&message[..], b"one"),
        other => panic!("{other:?}"),
    }
    // A receiver that is cancelled unnotified keeps nobody awake.
    let mut third = pull.recv_async();
    assert!(poll_once(&mut third, &first_waker).is_pending());
    drop(third);
    push.send("two").unwrap();
    assert_eq!(first_woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(&pull.recv().unwrap()[..], b"two");
}

#[test]
fn a_cancelled_sender_passes_its_notification_on_and_sends_nothing() {
    let context = Context::new();
    let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
    push.set(option::SNDHWM, 1).unwrap();
    pull.set(option::RCVHWM, 1).unwrap();
    push.connect(&pull.bind("inproc://cancel-send").unwrap()).unwrap();
    while push.try_send("filler").is_ok() {}
    let ((first_woken, first_waker), (second_woken, second_waker)) = (counter(), counter());
    let (mut first, mut second) = (push.send_async(["first"]), push.send_async(["second"]));
    assert!(poll_once(&mut first, &first_waker).is_pending());
    assert!(poll_once(&mut second, &second_waker).is_pending());
    // Room is said at the latest when all is read.
    while pull.try_recv().is_ok() {}
    assert_eq!(first_woken.0.load(Ordering::SeqCst), 1);
    drop(first);
    assert_eq!(second_woken.0.load(Ordering::SeqCst), 1);
    assert!(matches!(poll_once(&mut second, &second_waker), Poll::Ready(Ok(()))));
    assert_eq!(&pull.recv().unwrap()[..], b"second");
    assert_eq!(pull.try_recv(), Err(RecvError::Again));
}

#[test]
fn futures_end_when_the_socket_is_closed() {
    let context = Context::new();
    let pair = Pair::new(&context).unwrap();
    let ((woken, waker), (woken_too, waker_too)) = (counter(), counter());
    let (mut receiving, mut sending) = (pair.recv_async(), pair.send_async(["nobody"]));
    assert!(poll_once(&mut receiving, &waker).is_pending());
    assert!(poll_once(&mut sending, &waker_too).is_pending());
    pair.close();
    assert_eq!(woken.0.load(Ordering::SeqCst), 1);
    assert_eq!(woken_too.0.load(Ordering::SeqCst), 1);
    assert!(matches!(poll_once(&mut receiving, &waker), Poll::Ready(Err(RecvError::Closed))));
    match poll_once(&mut sending, &waker_too) {
        Poll::Ready(Err(error)) => {
            assert_eq!(error.kind(), SendErrorKind::Closed);
            assert_eq!(&error.into_parts()[0][..], b"nobody");
        }
        other => panic!("{:?}", other.map_err(|error| error.kind())),
    }
}

// Several waiters on one socket.

/// Blocking receivers, polling receivers and tasks on one socket; some come and go. Each message
/// reaches one of them.
#[test]
fn many_receivers_get_every_message_once() {
    const MESSAGES: u64 = 40_000;
    for (endpoint, senders) in
        [("tcp://127.0.0.1:*", 1), ("tcp://127.0.0.1:*", 6), ("inproc://many", 2)]
    {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        let endpoint = pull.bind(endpoint).unwrap();
        let received = AtomicU64::new(0);
        let seen: Vec<_> = (0..MESSAGES).map(|_| AtomicUsize::new(0)).collect();
        let take = |body: &[u8]| {
            let number = u64::from_le_bytes(body.try_into().unwrap());
            seen[number as usize].fetch_add(1, Ordering::SeqCst);
            if received.fetch_add(1, Ordering::SeqCst) + 1 == MESSAGES {
                // The others still wait.
                context.shutdown();
            }
        };
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    loop {
                        match pull.recv() {
                            Ok(message) => take(&message),
                            Err(error) => break assert_eq!(error, RecvError::Terminated),
                        }
                    }
                });
            }
            // One that gives up all the time, and so passes the lead on.
            scope.spawn(|| {
                loop {
                    match pull.recv_timeout(Duration::from_micros(100)) {
                        Ok(message) => take(&message),
                        Err(RecvError::Again) => {}
                        Err(error) => break assert_eq!(error, RecvError::Terminated),
                    }
                }
            });
            scope.spawn(|| {
                loop {
                    match poll(&mut [PollItem::socket(&pull, Events::IN)], None) {
                        Ok(_) => {}
                        Err(error) => break assert!(matches!(error, PollError::Terminated)),
                    }
                    if let Ok(message) = pull.try_recv() {
                        take(&message);
                    }
                }
            });
            scope.spawn(|| {
                pollster::block_on(async {
                    loop {
                        match pull.recv_async().await {
                            Ok(message) => take(&message),
                            Err(error) => break assert_eq!(error, RecvError::Terminated),
                        }
                    }
                });
            });
            // A task that is cancelled all the time.
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                runtime.unwrap().block_on(async {
                    loop {
                        let short = Duration::from_micros(200);
                        match tokio::time::timeout(short, pull.recv_async()).await {
                            Ok(Ok(message)) => take(&message),
                            Ok(Err(error)) => break assert_eq!(error, RecvError::Terminated),
                            Err(_) => {}
                        }
                    }
                });
            });
            for sender in 0..senders {
                let (context, endpoint) = (&context, &endpoint);
                scope.spawn(move || {
                    let push = Push::new(context).unwrap();
                    push.connect(endpoint).unwrap();
                    let mut random = Random::seeded(sender);
                    for number in (sender..MESSAGES).step_by(senders as usize) {
                        push.send(&number.to_le_bytes()).unwrap();
                        // Now and then everybody goes to sleep.
                        if random.below(2000) == 0 {
                            pause(random.micros(2000));
                        }
                    }
                });
            }
        });
        assert!(
            seen.iter().all(|times| times.load(Ordering::SeqCst) == 1),
            "{endpoint}: each message once"
        );
    }
}

/// Several threads send on one socket past its high-water mark.
#[test]
fn many_senders_share_a_socket() {
    const SENDERS: u64 = 4;
    const EACH: u64 = 10_000;
    for endpoint in ["tcp://127.0.0.1:*", "inproc://senders"] {
        let context = Context::new();
        let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
        push.set(option::SNDHWM, 10).unwrap();
        pull.set(option::RCVHWM, 10).unwrap();
        push.connect(&pull.bind(endpoint).unwrap()).unwrap();
        let push = &push;
        thread::scope(|scope| {
            for sender in 0..SENDERS {
                scope.spawn(move || {
                    for number in 0..EACH {
                        let parts = [sender.to_le_bytes(), number.to_le_bytes()];
                        if sender % 2 == 0 {
                            push.send_multipart(&parts).unwrap();
                        } else {
                            pollster::block_on(push.send_async(&parts)).unwrap();
                        }
                    }
                });
            }
            let mut next = [0; SENDERS as usize];
            for _ in 0..SENDERS * EACH {
                let parts = pull.recv_multipart().unwrap();
                let sender = u64::from_le_bytes(parts[0][..].try_into().unwrap()) as usize;
                assert_eq!(parts[1][..], u64::to_le_bytes(next[sender]), "{endpoint}");
                next[sender] += 1;
            }
            assert_eq!(next, [EACH; SENDERS as usize]);
        });
    }
}

/// One poll over sockets of both kinds of transport and over descriptors.
#[test]
fn poll_watches_sockets_and_descriptors() {
    const EACH: usize = 2000;
    let context = Context::new();
    let pulls = [Pull::new(&context).unwrap(), Pull::new(&context).unwrap()];
    let endpoints = ["tcp://127.0.0.1:*", "inproc://polled"];
    let pushes = [Push::new(&context).unwrap(), Push::new(&context).unwrap()];
    for ((pull, push), endpoint) in pulls.iter().zip(&pushes).zip(endpoints) {
        push.connect(&pull.bind(endpoint).unwrap()).unwrap();
    }
    let (mut reader, mut writer) = std::os::unix::net::UnixStream::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut random = Random::seeded(7);
            let mut left = [EACH; 3];
            while left != [0; 3] {
                let which = random.below(3) as usize;
                if left[which] == 0 {
                    continue;
                }
                left[which] -= 1;
                match which {
                    2 => writer.write_all(b"x").unwrap(),
                    which => pushes[which].send("message").unwrap(),
                }
                if random.below(20) == 0 {
                    pause(random.micros(300));
                }
            }
        });
        let mut got = [0; 3];
        while got != [EACH; 3] {
            let mut items = [
                PollItem::socket(&pulls[0], Events::IN),
                PollItem::socket(&pulls[1], Events::IN),
                PollItem::descriptor(reader.as_raw_fd(), Events::IN),
            ];
            let ready = poll(&mut items, Some(LONG)).unwrap();
            assert!(ready > 0, "{got:?} of {EACH} each came");
            let ready = items.map(|item| item.ready());
            for (at, pull) in pulls.iter().enumerate() {
                if ready[at] == Events::IN {
                    pull.try_recv().expect("poll says that there is a message");
                    got[at] += 1;
                }
            }
            if ready[2].intersects(Events::IN) {
                got[2] += reader.read(&mut [0; 8]).unwrap();
            }
        }
    });
    // Nothing is left, and the time-out holds.
    let mut items = [PollItem::socket(&pulls[0], Events::IN)];
    assert_eq!(poll(&mut items, Some(Duration::from_millis(1))).unwrap(), 0);
}

/// What the process has got from the allocator.
fn bytes_in_use() -> usize {
    // SAFETY: it only reads the allocator's accounts.
    let accounts = unsafe { libc::mallinfo2() };
    accounts.uordblks + accounts.hblkhd
}

/// Connections that come and go leave nothing with the side that stays, although their deadlines
/// lie half a minute ahead. In a process of its own: other tests use memory, too.
#[test]
fn connections_that_come_and_go_do_not_gather() {
    let mut peer = process::Peer::start("come and go");
    let answer = peer.line_within(30 * LONG).unwrap();
    println!("{answer:?}");
    assert!(answer.is_some_and(|answer| answer.starts_with("same")));
}

fn come_and_go() {
    const CONNECTIONS: usize = 1000;
    /// Less than the smallest thing that a connection has.
    const BYTES_EACH_MAX: usize = 100;
    const ROUNDS: usize = 4;
    let mut said = Vec::new();
    let mut verdict = "same";
    for endpoint in
        ["tcp://127.0.0.1:*", &format!("ipc://@oxmq-come-and-go-{}", std::process::id())]
    {
        let (context, others) = (Context::new(), Context::new());
        let pull = Pull::new(&context).unwrap();
        let endpoint = pull.bind(endpoint).unwrap();
        let come_and_go = || {
            for _ in 0..CONNECTIONS {
                let push = Push::new(&others).unwrap();
                push.connect(&endpoint).unwrap();
                push.send("hello").unwrap();
                pull.recv_timeout(LONG).unwrap();
            }
        };
        // What is kept for good is there after the first of them.
        come_and_go();
        let first = bytes_in_use();
        (0..ROUNDS).for_each(|_| come_and_go());
        let end = settles(first + CONNECTIONS * BYTES_EACH_MAX, bytes_in_use);
        if end.is_err() {
            verdict = "more";
        }
        said.push(format!("{endpoint}: {first} B -> {} B", bytes_in_use()));
    }
    process::say(&format!("{verdict}: {}", said.join(", ")));
}
