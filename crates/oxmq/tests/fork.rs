//! Children forked under traffic, at random moments: whatever a child does with a context or a
//! socket of its parent's ends at once with the error for it, and the parent does not notice.

mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use oxmq::option::{self, OptionError};
use oxmq::{
    BindError, ConnectError, Context, Events, PollError, PollItem, Poller, PollerError, Proxy,
    ProxyError, RecvError, SendErrorKind, Socket, SocketError, SocketType, TermError, UnbindError,
    WaitError, poll,
};
use process::{Peer, Random, descriptors, say, settles, threads};

const FORKS: usize = 1000;
/// A child that takes longer hangs.
const LIFE: Duration = Duration::from_secs(300);
const TRANSPORTS: [&str; 3] = ["tcp://127.0.0.1:*", "ipc://*", "inproc://traffic"];

/// What a child can try: on a socket of its parent's, on its context, or beside them. True: it
/// ended as it should.
type Try = fn(&Context, Socket) -> bool;

const TRIES: [(&str, Try); 30] = [
    ("send", |_, socket| sent(socket.send("x"))),
    ("try_send", |_, socket| sent(socket.try_send("x"))),
    ("send_multipart", |_, socket| sent(socket.send_multipart(["x", "y"]))),
    ("send_async", |_, socket| sent(pollster::block_on(socket.send_async(["x"])))),
    ("recv", |_, socket| socket.recv() == Err(RecvError::Forked)),
    ("try_recv", |_, socket| socket.try_recv() == Err(RecvError::Forked)),
    ("recv_timeout", |_, socket| socket.recv_timeout(LIFE) == Err(RecvError::Forked)),
    ("recv_multipart", |_, socket| socket.recv_multipart() == Err(RecvError::Forked)),
    ("recv_async", |_, socket| pollster::block_on(socket.recv_async()) == Err(RecvError::Forked)),
    ("poll", |_, socket| {
        let polled = poll(&mut [PollItem::socket(&socket, Events::IN)], None);
        matches!(polled, Err(PollError::Forked))
    }),
    ("poller", |_, socket| {
        matches!(Poller::new().add(&socket, Events::IN, 1), Err(PollerError::Forked))
    }),
    ("proxy", |_, socket| matches!(Proxy::new(&socket, &socket).run(), Err(ProxyError::Forked))),
    ("events", |_, socket| socket.events() == Err(WaitError::Forked)),
    ("wait_for_peers", |_, socket| socket.wait_for_peers(9, None) == Err(WaitError::Forked)),
    ("bind", |_, socket| matches!(socket.bind("tcp://127.0.0.1:*"), Err(BindError::Forked))),
    ("bind inproc", |_, socket| matches!(socket.bind("inproc://x"), Err(BindError::Forked))),
    ("connect", |_, socket| matches!(socket.connect("ipc://@x"), Err(ConnectError::Forked))),
    ("connect inproc", |_, socket| {
        matches!(socket.connect("inproc://traffic"), Err(ConnectError::Forked))
    }),
    ("unbind", |_, socket| socket.unbind("inproc://traffic") == Err(UnbindError::Forked)),
    ("set", |_, socket| socket.set(option::LINGER, 0) == Err(OptionError::Forked)),
    ("get", |_, socket| socket.get(option::SNDHWM) == 1000),
    ("subscribe", |_, socket| socket.subscribe("x") == Err(OptionError::Forked)),
    ("close", |_, socket| {
        socket.close();
        socket.recv() == Err(RecvError::Forked)
    }),
    ("drop", |_, socket| {
        drop(socket);
        true
    }),
    ("socket", |context, _| matches!(context.socket(SocketType::Pair), Err(SocketError::Forked))),
    ("term", |context, _| context.term() == Err(TermError::Forked)),
    ("term_timeout", |context, _| context.term_timeout(LIFE) == Err(TermError::Forked)),
    ("shutdown", |context, socket| {
        context.shutdown();
        socket.recv() == Err(RecvError::Forked)
    }),
    ("drop of a context", |context, _| {
        // A copy of it, whose count the child's dropped sockets take to nothing.
        drop(context.clone());
        true
    }),
    ("a context of its own", |_, _| TRANSPORTS.iter().all(|endpoint| own_exchange(endpoint))),
];

fn sent(result: Result<(), oxmq::SendError>) -> bool {
    result.is_err_and(|error| {
        error.kind() == SendErrorKind::Forked
            && error.errno() == libc::ENOTSOCK
            && error.into_parts()[0][..] == *b"x"
    })
}

/// The child's own sockets work, and get nothing that is the parent's.
fn own_exchange(endpoint: &str) -> bool {
    let context = Context::new();
    let [push, pull] =
        [SocketType::Push, SocketType::Pull].map(|kind| context.socket(kind).unwrap());
    push.connect(&pull.bind(endpoint).unwrap()).unwrap();
    let waiter = thread::spawn(move || pull.recv_timeout(LIFE).map(|message| message.to_vec()));
    push.send("the child's").unwrap();
    let received = waiter.join().unwrap();
    drop(push);
    received == Ok(b"the child's".to_vec()) && context.term_timeout(LIFE).is_ok()
}

/// Runs as a process of its own, which has no other threads than it knows of.
#[test]
fn a_child_gets_errors_and_its_parent_no_harm() {
    let mut peer = Peer::start("forks");
    while let Some(line) = peer.line_within(30 * LIFE).expect("it goes on") {
        println!("{line}");
        if line.starts_with("whole") {
            return;
        }
    }
    panic!("the forking process ended too early");
}

#[test]
#[ignore = "run by another test as a process of its own"]
fn child() {
    if process::role().is_none() {
        return;
    }
    let mut random = Random::new("forks");
    let context = Context::new();
    let stop = Arc::new(AtomicBool::new(false));
    let pair = |endpoint: &str| {
        let [push, pull] =
            [SocketType::Push, SocketType::Pull].map(|kind| context.socket(kind).unwrap());
        push.connect(&pull.bind(endpoint).unwrap()).unwrap();
        push.wait_for_peers(1, Some(LIFE)).unwrap();
        (push, pull)
    };
    // Children get sockets that other threads are busy with, or blocked in, and ones that the
    // forking thread itself uses (and whose locks favour it).
    let mut own: Vec<(Socket, Socket)> = TRANSPORTS
        .iter()
        .map(|at| pair(&format!("{at}{}", if at.starts_with("inproc") { "-own" } else { "" })))
        .collect();
    let blocked = [(); 3].map(|()| Arc::new(context.socket(SocketType::Pull).unwrap()));
    let blocked_threads = blocked.clone().map(|socket| thread::spawn(move || socket.recv()));
    let busy: Vec<_> = TRANSPORTS
        .iter()
        .map(|endpoint| {
            let (push, pull) = pair(endpoint);
            let (push, pull, stop) = (Arc::new(push), Arc::new(pull), stop.clone());
            let (sender, receiver) = (push.clone(), pull.clone());
            let sending = thread::spawn(move || {
                let mut number = 0_u64;
                while !stop.load(Ordering::Relaxed) {
                    sender.send(&number.to_le_bytes()).unwrap();
                    number += 1;
                }
                sender.send("end").unwrap();
                number
            });
            let receiving = thread::spawn(move || {
                for number in 0_u64.. {
                    let message = receiver.recv().unwrap();
                    if &message[..] == b"end" {
                        return number;
                    }
                    assert_eq!(message[..], number.to_le_bytes());
                }
                0
            });
            (push, pull, sending, receiving)
        })
        .collect();

    let (before_fds, before_threads) = (descriptors(), threads());
    let mut counts = [0; TRIES.len()];
    let (mut own_number, mut slowest) = (0_u64, Duration::ZERO);
    for fork in 0..FORKS {
        // The forking thread's own sockets, in its own rhythm.
        for _ in 0..random.below(200) {
            for (push, pull) in &own {
                push.send(&own_number.to_le_bytes()).unwrap();
                assert_eq!(pull.recv().unwrap()[..], own_number.to_le_bytes());
            }
            own_number += 1;
        }
        let (which, place) = (fork % TRIES.len(), random.below(4) as usize);
        let side = random.below(2) == 0;
        let (what, attempt) = TRIES[which];
        counts[which] += 1;
        let start = Instant::now();
        // SAFETY: the child uses nothing that another thread of this process may hold, but for what
        // the library sees to, and the allocator, which the system's C library sees to.
        let id = unsafe { libc::fork() };
        assert!(id >= 0, "{}", std::io::Error::last_os_error());
        if id == 0 {
            let shared = match (place, side) {
                (3, _) => blocked[fork % 3].clone(),
                (at, true) => busy[at].0.clone(),
                (at, false) => busy[at].1.clone(),
            };
            let (push, pull) = own.swap_remove(fork % 3);
            let mine = if side { push } else { pull };
            // Another thread's handle is as good as a socket of one's own: its `drop` closes.
            // SAFETY: the count is one too high for it; nobody frees the socket here.
            let theirs = unsafe { std::ptr::read(&*shared) };
            std::mem::forget(shared);
            let fine = attempt(&context, if fork % 2 == 0 { mine } else { theirs });
            // SAFETY: does not return.
            unsafe { libc::_exit(if fine { 0 } else { 1 }) };
        }
        let status = end_of(id, what);
        assert_eq!(status, 0, "fork {fork}, {what}");
        slowest = slowest.max(start.elapsed());
    }
    for (socket, thread) in blocked.iter().zip(blocked_threads) {
        assert!(!thread.is_finished(), "nobody has sent it anything");
        socket.close();
        assert_eq!(thread.join().unwrap(), Err(RecvError::Closed));
    }
    for endpoint in busy.iter().map(|(_, pull, ..)| pull.get(option::LAST_ENDPOINT)) {
        if let Some(path) = endpoint.strip_prefix("ipc://") {
            assert!(std::path::Path::new(path).exists(), "a child has removed it");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let mut messages = own_number * 3;
    for (push, pull, sending, receiving) in busy {
        let sent = sending.join().unwrap();
        assert_eq!(receiving.join().unwrap(), sent);
        messages += sent;
        drop((push, pull));
    }
    let held = (settles(before_fds, descriptors), settles(before_threads, threads));
    assert_eq!(held, (Ok(()), Ok(())));
    drop((own, blocked));
    context.term_timeout(LIFE).unwrap();
    let least = counts.iter().min().unwrap();
    say(&format!(
        "{FORKS} forks, each of {} tries at least {least} times, the slowest took {slowest:?}",
        TRIES.len()
    ));
    say(&format!("whole: {messages} messages of the parent's, each once and in order"));
}

/// How a child ended; it is killed when it hangs.
fn end_of(id: libc::pid_t, what: &str) -> i32 {
    let start = Instant::now();
    loop {
        let mut status = 0;
        // SAFETY: a child of this process that has not been waited for.
        let ended = unsafe { libc::waitpid(id, &mut status, libc::WNOHANG) };
        if ended == id {
            return status;
        }
        if start.elapsed() > LIFE {
            // SAFETY: as above.
            unsafe { libc::kill(id, libc::SIGKILL) };
            panic!("{what} hangs in a child");
        }
        process::pause(Duration::from_micros(100));
    }
}
