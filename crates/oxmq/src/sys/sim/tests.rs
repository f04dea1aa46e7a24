//! The simulated face keeps the same contract; and the world does what the driver asks.

use super::super::Instant;
use super::*;

/// With nothing to prepare.
fn listen(addr: &SockAddr, backlog: i32) -> io::Result<(Fd, SockAddr)> {
    super::listen(addr, backlog, |_| Ok(())).map(|listening| (listening.fd, listening.addr))
}

/// As [`listen`], from anywhere.
fn connect(addr: &SockAddr) -> io::Result<(Fd, bool)> {
    super::connect(addr, None, |_| Ok(()))
}

const QUIET: Link = Link { delay_ns: 1_000_000, jitter_ns: 0, buffer_bytes: 1000, pieces_max: 1 };

fn tcp(text: &str) -> SockAddr {
    SockAddr::Tcp(text.parse().unwrap())
}

fn ipc(text: &str) -> SockAddr {
    SockAddr::Ipc(IpcAddr::parse(text.as_bytes()).unwrap())
}

fn on<T>(node: u32, act: impl FnOnce() -> T) -> T {
    set_node(node);
    act()
}

fn later(ms: u64) {
    advance_to(now() + ms * 1_000_000);
}

fn put(fd: &Fd, bytes: &[u8]) -> io::Result<usize> {
    write(fd, &[IoSlice::new(bytes)])
}

fn get(fd: &Fd) -> io::Result<Vec<u8>> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let count = read(fd, &mut buffer)?;
    // SAFETY: `read` has initialised so many.
    Ok(buffer[..count].iter().map(|byte| unsafe { byte.assume_init() }).collect())
}

fn would_block<T: std::fmt::Debug>(result: io::Result<T>) -> bool {
    result.unwrap_err().kind() == io::ErrorKind::WouldBlock
}

/// A world whose nodes 0 and 1 are a millisecond apart, and a connection from 0 to 1.
fn connected(seed: u64, addr: &SockAddr) -> (Fd, Fd) {
    let (client, server, _) = connected_to(seed, addr);
    (client, server)
}

fn connected_to(seed: u64, addr: &SockAddr) -> (Fd, Fd, SockAddr) {
    new_world(seed);
    set_link(0, 1, QUIET);
    set_link(1, 0, QUIET);
    let (listener, actual) = on(1, || listen(addr, 8).unwrap());
    let (client, _) = on(0, || connect(&actual).unwrap());
    later(5);
    let server = on(1, || accept(&listener).unwrap());
    on(1, || drop(listener));
    on(0, || socket_error(&client).unwrap());
    (client, server, actual)
}

fn each_transport(test: impl Fn(&SockAddr)) {
    for addr in [tcp("0.0.0.0:0"), tcp("[::1]:7"), ipc("*"), ipc("/a"), ipc("@b")] {
        test(&addr);
        assert_eq!(violations(), [""; 0]);
        assert_eq!(open_descriptors(), [""; 0]);
    }
}

#[test]
fn bytes_take_their_time_and_end() {
    each_transport(|addr| {
        let (client, server) = connected(1, addr);
        on(0, || {
            assert_eq!(write(&client, &[IoSlice::new(b"one "), IoSlice::new(b"two")]).unwrap(), 7);
            shutdown_write(&client);
            assert_eq!(put(&client, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        });
        on(1, || assert!(would_block(get(&server))));
        later(2);
        on(1, || {
            assert_eq!(get(&server).unwrap(), b"one two");
            assert_eq!(get(&server).unwrap(), b"");
            assert_eq!(put(&server, b"back").unwrap(), 4);
        });
        later(2);
        on(0, || assert_eq!(get(&client).unwrap(), b"back"));
        on(0, || drop(client));
        on(1, || drop(server));
    });
}

#[test]
fn buffers_are_bounded() {
    let (client, server) = connected(1, &ipc("/a"));
    assert_eq!(on(0, || put(&client, &[1; 4000])).unwrap(), 1000);
    assert!(would_block(on(0, || put(&client, b"x"))));
    let epoll = on(0, || Epoll::new().unwrap());
    on(0, || epoll.add(client.raw(), 1, Interest::WRITE).unwrap());
    assert!(!is_ready(0));
    later(2);
    on(1, || assert_eq!(get(&server).unwrap().len(), 1000));
    assert!(is_ready(0) && !is_ready(1));
    on(0, || epoll.remove(client.raw()).unwrap());
    on(0, || drop((epoll, client)));
    on(1, || drop(server));
}

#[test]
fn refused_and_in_use() {
    new_world(1);
    let missing = |addr: &str| connect(&ipc(addr)).unwrap_err().kind();
    assert_eq!(missing("/nothing"), io::ErrorKind::NotFound);
    assert_eq!(missing("@nothing"), io::ErrorKind::ConnectionRefused);
    let (listener, addr) = listen(&ipc("/a"), 1).unwrap();
    assert_eq!(listen(&addr, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let waiting = connect(&addr).unwrap();
    assert_eq!(missing("/a"), io::ErrorKind::ConnectionRefused, "the queue is full");
    drop(listener);
    assert_eq!(missing("/a"), io::ErrorKind::ConnectionRefused, "the file is stale");
    assert_eq!(ipc_names(), ["/a"]);
    later(1);
    assert_eq!(get(&waiting.0).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let first = super::listen(&addr, 1, |_| Ok(())).unwrap();
    let file = first.file.unwrap();
    drop(first.fd);
    let second = super::listen(&addr, 1, |_| Ok(())).unwrap();
    file.remove().unwrap();
    assert_eq!(ipc_names(), ["/a"], "it is another's by now");
    second.file.unwrap().remove().unwrap();
    assert_eq!(ipc_names(), [""; 0]);

    let (_all, actual) = listen(&tcp("0.0.0.0:80"), 1).unwrap();
    assert_eq!(actual, tcp("0.0.0.0:80"));
    assert_eq!(listen(&tcp("127.0.0.1:80"), 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let result = connect(&tcp("127.0.0.1:81")).and_then(|(fd, done)| {
        assert!(!done);
        later(1);
        socket_error(&fd)
    });
    assert_eq!(result.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[test]
fn closing_with_bytes_unread_resets() {
    each_transport(|addr| {
        let (client, server, actual) = connected_to(1, addr);
        on(0, || put(&client, b"unread").unwrap());
        later(2);
        on(1, || drop(server));
        later(2);
        on(0, || {
            assert_eq!(get(&client).unwrap_err().kind(), io::ErrorKind::ConnectionReset);
            assert_eq!(get(&client).unwrap(), b"", "the error is told once");
            assert_eq!(put(&client, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            drop(client);
        });
        assert_eq!((ended(0, &actual.to_string()), stats().resets), (1, 1));
    });
}

#[test]
fn bytes_that_arrive_at_a_closed_end_reset() {
    let (client, server) = connected(1, &tcp("127.0.0.1:0"));
    on(1, || {
        put(&server, b"farewell").unwrap();
        drop(server);
    });
    on(0, || put(&client, b"too late").unwrap());
    later(10);
    on(0, || {
        let error = loop {
            match get(&client) {
                Ok(bytes) => assert!(bytes.is_empty() || bytes == b"farewell"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        drop(client);
    });
}

#[test]
fn a_reset_loses_only_what_was_on_its_way() {
    let mut fates = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let (client, server) = connected(seed, &tcp("127.0.0.1:0"));
        on(0, || put(&client, b"a").unwrap());
        on(0, || put(&client, b"b").unwrap());
        reset(&connections()[0]);
        later(50);
        let mut got = Vec::new();
        on(1, || {
            while let Ok(bytes) = get(&server) {
                if bytes.is_empty() {
                    break;
                }
                got.extend(bytes);
            }
            drop(server);
        });
        assert!(b"ab".starts_with(&got[..]));
        fates.insert(got);
        assert!(on(0, || get(&client)).is_err());
        on(0, || drop(client));
    }
    assert_eq!(fates.len(), 3, "nothing, a part, everything");
}

#[test]
fn a_stalled_link_delivers_later() {
    let (client, server) = connected(1, &tcp("127.0.0.1:0"));
    on(0, || put(&client, b"a").unwrap());
    stall(1, 0, now() + 60_000_000);
    on(0, || put(&client, b"b").unwrap());
    later(50);
    on(1, || assert!(would_block(get(&server))));
    assert!(next_event().unwrap() <= now() + 10_000_000);
    later(12);
    on(1, || assert_eq!(get(&server).unwrap(), b"ab"));
    on(1, || drop(server));
    on(0, || drop(client));
}

#[test]
fn epolls_nest_and_timers_fire() {
    new_world(1);
    let (outer, inner) = (Epoll::new().unwrap(), Epoll::new().unwrap());
    let (flag, timer) = (EventFd::new().unwrap(), TimerFd::new().unwrap());
    outer.add(inner.raw(), 1, Interest::READ).unwrap();
    inner.add(flag.raw(), 2, Interest::READ).unwrap();
    inner.add(timer.raw(), 3, Interest::READ).unwrap();
    assert_eq!(inner.add(outer.raw(), 4, Interest::READ).unwrap_err().raw_os_error(), Some(40));
    let mut events = Events::new();
    let mut keys = |epoll: &Epoll| {
        epoll.wait(&mut events, None).unwrap();
        events.iter().map(|event| event.key).collect::<Vec<_>>()
    };
    assert!(keys(&outer).is_empty() && !is_ready(0));
    flag.signal();
    assert!(is_ready(0) && !is_ready(1));
    assert_eq!((keys(&outer), keys(&inner)), (vec![1], vec![2]));
    flag.drain();
    assert!(keys(&outer).is_empty());
    timer.arm(Duration::from_millis(3));
    let due = next_event().unwrap();
    assert!(due > now() + 2_000_000 && !is_ready(0));
    advance_to(due);
    assert_eq!((keys(&outer), keys(&inner)), (vec![1], vec![3]));
    timer.drain();
    assert!(keys(&outer).is_empty() && next_event().is_none());
    let mut fds = [PollFd::new(flag.raw(), Interest::BOTH), PollFd::new(3, Interest::READ)];
    assert_eq!(poll(&mut fds, None, None).unwrap(), 2);
    assert!(fds[0].writable && !fds[0].readable && fds[1].error);
    inner.remove(flag.raw()).unwrap();
    inner.remove(timer.raw()).unwrap();
    outer.remove(inner.raw()).unwrap();
}

#[test]
fn breaches_are_seen() {
    new_world(1);
    let (epoll, flag) = (Epoll::new().unwrap(), EventFd::new().unwrap());
    epoll.add(flag.raw(), 1, Interest::READ).unwrap();
    let raw = flag.raw();
    drop(flag);
    assert_eq!(violations(), [format!("descriptor {raw} is closed while in an epoll")]);
    on(1, || drop(epoll));
    assert_eq!(violations().len(), 2);
}

#[test]
fn a_killed_node_leaves_nothing_open() {
    let (client, server) = connected(1, &tcp("127.0.0.1:0"));
    kill_node(1);
    bury(|| drop((server, EventFd::new())));
    later(5);
    on(0, || assert_eq!(get(&client).unwrap(), b""));
    on(0, || drop(client));
    assert_eq!(open_descriptors(), [""; 0]);
}

#[test]
fn every_fault_happens() {
    new_world(3);
    set_faults(Faults {
        short: 4,
        again: 4,
        spurious: 4,
        interrupted: 4,
        reset: 4,
        refused: 4,
        hang: 4,
        meets_itself: 4,
        out_of_descriptors: 4,
    });
    let mut seen = std::collections::BTreeSet::new();
    let epoll = loop {
        if let Ok(epoll) = Epoll::new() {
            break epoll;
        }
    };
    for _ in 0..200 {
        for port in [80, 60_000] {
            let _listener = listen(&tcp("127.0.0.1:80"), 8);
            match connect(&tcp(&format!("127.0.0.1:{port}"))) {
                Err(error) => drop(seen.insert(error.kind())),
                Ok((fd, _)) => {
                    later(6000);
                    match socket_error(&fd) {
                        Err(error) => drop(seen.insert(error.kind())),
                        Ok(()) => drop(put(&fd, b"abc")),
                    }
                    seen.extend(is_self_connected(&fd).then_some(io::ErrorKind::Other));
                }
            }
        }
        if let Err(error) = epoll.wait(&mut Events::new(), None) {
            seen.insert(error.kind());
        }
    }
    let stats = stats();
    for count in [
        stats.refused,
        stats.hung,
        stats.met_itself,
        stats.short,
        stats.interrupted,
        stats.out_of_descriptors,
    ] {
        assert!(count > 0, "{stats:?} {seen:?}");
    }
}

#[test]
fn one_seed_is_one_execution() {
    let run = |seed| {
        let (client, server) = connected(seed, &tcp("127.0.0.1:0"));
        set_faults(Faults { short: 3, again: 3, ..Faults::default() });
        set_link(0, 1, Link { jitter_ns: 500_000, pieces_max: 4, ..QUIET });
        for _ in 0..50 {
            let _ = on(0, || put(&client, &random_u64().to_ne_bytes()));
            let _ = on(1, || get(&server));
            later(1);
        }
        on(0, || drop(client));
        on(1, || drop(server));
        (trace_hash(), now(), Instant::now())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}
