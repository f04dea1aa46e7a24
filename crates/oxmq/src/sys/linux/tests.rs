//! The contract of `sys`, tried on loopback.

use super::*;
use crate::sys::Scheduling;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::Instant as StdInstant;

/// With nothing to prepare.
fn listen(addr: &SockAddr, backlog: i32) -> io::Result<(Fd, SockAddr)> {
    super::listen(addr, backlog, |_| Ok(())).map(|listening| (listening.fd, listening.addr))
}

/// Removes the file of an address, whatever it is.
fn unlink(ipc: &IpcAddr) {
    if let IpcAddr::Path(path) = ipc {
        fs::remove_file(OsStr::from_bytes(path)).unwrap();
    }
}

/// As [`listen`], from anywhere.
fn connect(addr: &SockAddr) -> io::Result<(Fd, bool)> {
    super::connect(addr, None, |_| Ok(()))
}

const LONG: Option<Duration> = Some(Duration::from_secs(300));
const NOW: Option<Duration> = Some(Duration::ZERO);

fn tcp(text: &str) -> SockAddr {
    SockAddr::Tcp(text.parse().unwrap())
}

fn ipc(text: &str) -> SockAddr {
    SockAddr::Ipc(IpcAddr::parse(text.as_bytes()).unwrap())
}

/// What `epoll` reports, at once or after a while.
fn ready(epoll: &Epoll, timeout: Option<Duration>) -> Vec<Event> {
    let mut events = Events::new();
    epoll.wait(&mut events, timeout).unwrap();
    events.iter().collect()
}

fn wait_for(fd: RawFd, interest: Interest) {
    let mut fds = [PollFd::new(fd, interest)];
    assert_eq!(poll(&mut fds, LONG, None).unwrap(), 1);
}

fn read_some(fd: &Fd, bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![MaybeUninit::uninit(); bytes_max];
    let count = read(fd, &mut buffer)?;
    // SAFETY: `read` has initialised so many.
    Ok(buffer[..count].iter().map(|byte| unsafe { byte.assume_init() }).collect())
}

/// Both ends of a connection made through a listener on `addr`.
fn pair(addr: &SockAddr) -> (Fd, Fd) {
    let (listener, actual) = listen(addr, 8).unwrap();
    let (client, _) = connect(&actual).unwrap();
    wait_for(listener.raw(), Interest::READ);
    let server = accept(&listener).unwrap();
    wait_for(client.raw(), Interest::WRITE);
    socket_error(&client).unwrap();
    if let SockAddr::Ipc(ipc) = &actual {
        unlink(ipc);
    }
    (client, server)
}

fn each_transport(test: impl Fn(&SockAddr)) {
    for addr in [tcp("127.0.0.1:0"), tcp("[::1]:0"), ipc("*")] {
        test(&addr);
    }
}

#[test]
fn bytes_go_both_ways_and_end() {
    each_transport(|addr| {
        let (client, server) = pair(addr);
        assert_eq!(read_some(&server, 8).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let slices = [IoSlice::new(b"one "), IoSlice::new(b""), IoSlice::new(b"two")];
        assert_eq!(write(&client, &slices).unwrap(), 7);
        wait_for(server.raw(), Interest::READ);
        assert_eq!(read_some(&server, 3).unwrap(), b"one");
        assert_eq!(read_some(&server, 100).unwrap(), b" two");
        assert_eq!(write(&server, &[IoSlice::new(b"back")]).unwrap(), 4);
        shutdown_write(&server);
        wait_for(client.raw(), Interest::READ);
        assert_eq!(read_some(&client, 100).unwrap(), b"back");
        wait_for(client.raw(), Interest::READ);
        assert_eq!(read_some(&client, 100).unwrap(), b"");
        // The other direction is still open.
        assert_eq!(write(&client, &[IoSlice::new(b"!")]).unwrap(), 1);
    });
}

#[test]
fn descriptors_do_not_block_nor_survive_exec() {
    each_transport(|addr| {
        let (client, server) = pair(addr);
        let (listener, actual) = listen(addr, 8).unwrap();
        if let SockAddr::Ipc(ipc) = &actual {
            unlink(ipc);
        }
        let (epoll, event, timer) =
            (Epoll::new().unwrap(), EventFd::new().unwrap(), TimerFd::new().unwrap());
        for fd in [client.raw(), server.raw(), listener.raw(), event.raw(), timer.raw()] {
            // SAFETY: asks for flags of an open descriptor.
            assert_ne!(unsafe { libc::fcntl(fd, libc::F_GETFL) } & libc::O_NONBLOCK, 0);
        }
        for fd in
            [client.raw(), server.raw(), listener.raw(), event.raw(), timer.raw(), epoll.raw()]
        {
            // SAFETY: as above.
            assert_ne!(unsafe { libc::fcntl(fd, libc::F_GETFD) } & libc::FD_CLOEXEC, 0);
        }
    });
}

#[test]
fn a_full_socket_would_block_and_recovers() {
    each_transport(|addr| {
        let (client, server) = pair(addr);
        let block = vec![b'x'; 1 << 16];
        let mut sent = 0;
        let error = loop {
            match write(&client, &[IoSlice::new(&block), IoSlice::new(&block)]) {
                Ok(count) => sent += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        let mut received = 0;
        while received < sent {
            wait_for(server.raw(), Interest::READ);
            received += read_some(&server, 1 << 20).unwrap().len();
        }
        assert_eq!(received, sent);
        wait_for(client.raw(), Interest::WRITE);
    });
}

#[test]
fn buffers_can_be_made_smaller() {
    let sent_until_full = |bytes| {
        let (client, _server) = pair(&ipc("*"));
        set_buffers(&client, bytes, bytes);
        let mut sent = 0;
        while let Ok(count) = write(&client, &[IoSlice::new(&[0; 1000])]) {
            sent += count;
        }
        sent
    };
    assert!(sent_until_full(8192) < sent_until_full(-1));
}

#[test]
fn more_slices_than_the_system_takes() {
    let (client, server) = pair(&ipc("*"));
    let slices = vec![IoSlice::new(b"x"); IOV_MAX + 5];
    assert_eq!(write(&client, &slices).unwrap(), IOV_MAX);
    assert_eq!(read_some(&server, 2 * IOV_MAX).unwrap().len(), IOV_MAX);
}

#[test]
fn writing_to_nobody_is_an_error_not_a_signal() {
    each_transport(|addr| {
        let (client, server) = pair(addr);
        drop(server);
        let error = loop {
            if let Err(error) = write(&client, &[IoSlice::new(b"x")]) {
                break error;
            }
        };
        assert!(matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset));
    });
}

#[test]
fn refused() {
    // A port that was free a moment ago.
    let (listener, actual) = listen(&tcp("127.0.0.1:0"), 1).unwrap();
    drop(listener);
    match connect(&actual) {
        Ok((fd, done)) => {
            assert!(!done);
            wait_for(fd.raw(), Interest::WRITE);
            assert_eq!(socket_error(&fd).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
        Err(error) => assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused),
    }
    let missing = SockAddr::Ipc(new_ipc_path().unwrap());
    assert_eq!(connect(&missing).unwrap_err().kind(), io::ErrorKind::NotFound);
    assert_eq!(connect(&ipc("*")).unwrap_err().kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn a_full_queue_refuses_over_ipc() {
    let (listener, actual) = listen(&ipc("*"), 0).unwrap();
    let waiting: Vec<_> = (0..2).map_while(|_| connect(&actual).ok()).collect();
    assert!(!waiting.is_empty());
    let error = loop {
        if let Err(error) = connect(&actual) {
            break error;
        }
    };
    assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    drop(listener);
    let SockAddr::Ipc(path) = &actual else { panic!() };
    unlink(path);
}

#[test]
fn nothing_to_accept() {
    each_transport(|addr| {
        let (listener, actual) = listen(addr, 8).unwrap();
        assert_eq!(accept(&listener).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        if let SockAddr::Ipc(ipc) = &actual {
            unlink(ipc);
        }
    });
}

#[test]
fn an_address_in_use() {
    each_transport(|addr| {
        let (_listener, actual) = listen(addr, 8).unwrap();
        assert_eq!(listen(&actual, 8).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        if let SockAddr::Ipc(ipc) = &actual {
            unlink(ipc);
        }
    });
    let name = ipc(&format!("@oxmq-{:x}", random_u64()));
    let (_listener, _) = listen(&name, 8).unwrap();
    assert_eq!(listen(&name, 8).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

#[test]
fn a_stale_socket_file_is_taken_over_another_file_is_not() {
    let path = new_ipc_path().unwrap();
    let addr = SockAddr::Ipc(path.clone());
    drop(listen(&addr, 8).unwrap());
    let (_listener, _) = listen(&addr, 8).unwrap();
    unlink(&path);

    fs::write(path.to_string(), "precious").unwrap();
    assert_eq!(listen(&addr, 8).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    assert_eq!(fs::read(path.to_string()).unwrap(), b"precious");
    unlink(&path);
}

#[test]
fn a_listener_removes_no_file_but_its_own() {
    let path = new_ipc_path().unwrap();
    let (addr, at) = (SockAddr::Ipc(path.clone()), path.to_string());
    let aside = format!("{at}-aside");
    let listen = || super::listen(&addr, 8, |_| Ok(())).unwrap();
    let own_file = |listening: &Listening| listening.file.as_ref().unwrap().remove().unwrap();
    // Its own goes, and that it is gone is no error.
    let first = listen();
    own_file(&first);
    assert!(!fs::exists(&at).unwrap());
    own_file(&first);
    // Another's file that lies there now stays; its inode cannot be the listener's own, which is held.
    fs::write(&at, "precious").unwrap();
    own_file(&first);
    assert_eq!(fs::read(&at).unwrap(), b"precious");
    unlink(&path);
    let second = listen();
    own_file(&first);
    // Moved away, it is found no more, nor is what came instead taken for it.
    fs::rename(&at, &aside).unwrap();
    own_file(&second);
    let third = listen();
    own_file(&second);
    assert!(fs::exists(&at).unwrap() && fs::exists(&aside).unwrap());
    own_file(&third);
    assert!(!fs::exists(&at).unwrap());
    // One that was left behind is taken over with a file of the listener's own.
    fs::rename(&aside, &at).unwrap();
    drop(second);
    let taken_over = listen();
    own_file(&taken_over);
    assert!(!fs::exists(&at).unwrap());
    let name = ipc(&format!("@oxmq-{:x}", random_u64()));
    assert!(super::listen(&name, 8, |_| Ok(())).unwrap().file.is_none());
    assert!(super::listen(&tcp("127.0.0.1:0"), 8, |_| Ok(())).unwrap().file.is_none());
}

#[test]
fn ipc_names_up_to_the_last_byte() {
    let dir = std::env::temp_dir().join(format!("oxmq-{:x}", random_u64()));
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let mut path = dir.to_str().unwrap().to_owned() + "/";
    while path.len() < super::super::IPC_BYTES_MAX {
        path.push('x');
    }
    drop(pair(&ipc(&path)));
    fs::remove_dir(&dir).unwrap();

    let mut name = format!("@{:x}-", random_u64());
    while name.len() < super::super::IPC_BYTES_MAX {
        name.push('y');
    }
    drop(pair(&ipc(&name)));
}

#[test]
fn a_self_connection_is_seen() {
    let (client, server) = pair(&tcp("127.0.0.1:0"));
    assert!(!is_self_connected(&client) && !is_self_connected(&server));
    let (client, server) = pair(&ipc("*"));
    assert!(!is_self_connected(&client) && !is_self_connected(&server));

    // What a connect to a free port may do by chance, done on purpose.
    let fd = stream_socket(libc::AF_INET).unwrap();
    bind(&fd, &RawAddr::tcp(&"127.0.0.1:0".parse().unwrap())).unwrap();
    let own = local_addr(&fd).unwrap();
    let _ = connect_raw(&fd, &own);
    wait_for(fd.raw(), Interest::WRITE);
    socket_error(&fd).unwrap();
    assert!(is_self_connected(&fd));
}

#[test]
fn readiness_is_level_triggered() {
    let (client, server) = pair(&tcp("127.0.0.1:0"));
    let epoll = Epoll::new().unwrap();
    epoll.add(server.raw(), 7, Interest::READ).unwrap();
    assert_eq!(ready(&epoll, NOW), []);
    write(&client, &[IoSlice::new(b"x")]).unwrap();
    let readable = Event { key: 7, readable: true, writable: false };
    assert_eq!(ready(&epoll, LONG), [readable]);
    assert_eq!(ready(&epoll, NOW), [readable]);
    epoll.modify(server.raw(), 8, Interest::BOTH).unwrap();
    assert_eq!(ready(&epoll, NOW), [Event { key: 8, readable: true, writable: true }]);
    epoll.modify(server.raw(), 8, Interest::NONE).unwrap();
    assert_eq!(ready(&epoll, NOW), []);
    epoll.modify(server.raw(), 9, Interest::READ).unwrap();
    read_some(&server, 9).unwrap();
    assert_eq!(ready(&epoll, NOW), []);
    epoll.remove(server.raw()).unwrap();
    write(&client, &[IoSlice::new(b"x")]).unwrap();
    wait_for(server.raw(), Interest::READ);
    assert_eq!(ready(&epoll, NOW), []);
}

#[test]
fn failures_are_ready_for_everything() {
    let (client, server) = pair(&ipc("*"));
    let epoll = Epoll::new().unwrap();
    epoll.add(server.raw(), 1, Interest::NONE).unwrap();
    drop(client);
    assert_eq!(ready(&epoll, LONG), [Event { key: 1, readable: true, writable: true }]);
}

#[test]
fn an_epoll_within_an_epoll() {
    let (outer, inner, event) =
        (Epoll::new().unwrap(), Epoll::new().unwrap(), EventFd::new().unwrap());
    outer.add(inner.raw(), 1, Interest::READ).unwrap();
    inner.add(event.raw(), 2, Interest::READ).unwrap();
    assert_eq!(ready(&outer, NOW), []);
    event.signal();
    assert_eq!(ready(&outer, NOW), [Event { key: 1, readable: true, writable: false }]);
    event.drain();
    assert_eq!(ready(&outer, NOW), []);
}

#[test]
fn more_events_than_fit() {
    let epoll = Epoll::new().unwrap();
    let flags: Vec<_> = (0..EVENTS_MAX as u64 + 10)
        .map(|key| {
            let event = EventFd::new().unwrap();
            event.signal();
            epoll.add(event.raw(), key, Interest::READ).unwrap();
            event
        })
        .collect();
    let mut keys = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let found = ready(&epoll, NOW);
        assert_eq!(found.len(), EVENTS_MAX);
        keys.extend(found.iter().map(|event| event.key));
    }
    assert_eq!(keys.len(), flags.len(), "the rest come first the next time");
}

#[test]
fn waits_do_not_end_early() {
    let epoll = Epoll::new().unwrap();
    let event = EventFd::new().unwrap();
    for wait_us in [1, 50, 999, 1000, 1500] {
        let wait = Duration::from_micros(wait_us);
        let start = StdInstant::now();
        assert_eq!(ready(&epoll, Some(wait)), []);
        assert!(start.elapsed() >= wait);
        let start = StdInstant::now();
        let mut fds = [PollFd::new(event.raw(), Interest::READ)];
        assert_eq!(poll(&mut fds, Some(wait), None).unwrap(), 0);
        assert!(start.elapsed() >= wait && !fds[0].is_ready());
    }
}

#[test]
fn flags_and_timers() {
    let event = EventFd::new().unwrap();
    let timer = TimerFd::new().unwrap();
    let found = |timeout| {
        let mut fds =
            [PollFd::new(event.raw(), Interest::READ), PollFd::new(timer.raw(), Interest::READ)];
        poll(&mut fds, timeout, None).unwrap();
        (fds[0].readable, fds[1].readable)
    };
    assert_eq!(found(NOW), (false, false));
    event.signal();
    event.signal();
    assert_eq!(found(NOW), (true, false));
    event.drain();
    event.drain();
    assert_eq!(found(NOW), (false, false));
    timer.arm(Duration::ZERO);
    assert_eq!(found(LONG), (false, true));
    timer.drain();
    assert_eq!(found(NOW), (false, false), "one shot");
    timer.arm(Duration::from_nanos(1));
    assert_eq!(found(LONG), (false, true));
    timer.arm(Duration::MAX);
    assert_eq!(found(NOW), (false, false), "armed again: no longer due");
    timer.arm(Duration::ZERO);
    assert_eq!(found(LONG), (false, true));
    timer.disarm();
    assert_eq!(found(NOW), (false, false));
}

#[test]
fn poll_of_many_and_of_a_closed_descriptor() {
    let event = EventFd::new().unwrap();
    event.signal();
    let mut fds = vec![PollFd::new(event.raw(), Interest::READ); 100];
    fds[50].interest = Interest::WRITE;
    fds[51] = PollFd::new(RawFd::MAX, Interest::READ);
    assert_eq!(poll(&mut fds, NOW, None).unwrap(), 100);
    assert!(fds[0].readable && !fds[0].writable && !fds[0].error);
    assert!(fds[50].writable && !fds[50].readable);
    assert!(fds[51].error && !fds[51].readable);
    assert!(fds[99].readable);
}

#[test]
fn a_blocked_signal_ends_the_poll_that_unblocks_it() {
    static HANDLED: AtomicU32 = AtomicU32::new(0);
    extern "C" fn handler(_: libc::c_int) {
        HANDLED.fetch_add(1, Ordering::SeqCst);
    }
    // SAFETY: all zeros is a valid `sigaction`; the handler does one atomic addition. No other
    // test uses this signal.
    unsafe {
        let mut action: libc::sigaction = mem::zeroed();
        action.sa_sigaction = handler as *const () as usize;
        libc::sigaction(libc::SIGUSR2, &action, ptr::null_mut());
    }
    let old = SignalMask::block_all();
    // SAFETY: a signal that has a handler, to this thread.
    unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
    assert_eq!(HANDLED.load(Ordering::SeqCst), 0);
    let event = EventFd::new().unwrap();
    let mut fds = [PollFd::new(event.raw(), Interest::READ)];
    let error = poll(&mut fds, LONG, Some(&old)).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Interrupted);
    assert_eq!(HANDLED.load(Ordering::SeqCst), 1);
    old.restore();
    let again = SignalMask::block_all();
    again.restore();
    for mask in [old, again] {
        // SAFETY: reads an initialised set.
        assert_eq!(unsafe { libc::sigismember(&mask.0, libc::SIGUSR2) }, 0);
    }
}

#[test]
fn io_threads_take_no_signals() {
    let blocked = Arc::new(AtomicBool::new(false));
    let seen = blocked.clone();
    let thread = spawn_io("io".to_owned(), Scheduling::default(), move || {
        let mask = SignalMask::block_all();
        // SAFETY: reads an initialised set.
        let int = unsafe { libc::sigismember(&mask.0, libc::SIGINT) };
        seen.store(int == 1, Ordering::SeqCst);
        assert_eq!(thread::current().name(), Some("io"));
    })
    .unwrap();
    assert!(!thread.is_current());
    thread.join().unwrap();
    assert!(blocked.load(Ordering::SeqCst));
}

#[test]
fn a_child_is_another_generation() {
    let before = fork_generation();
    // SAFETY: the child makes only async-signal-safe calls (an atomic load among them).
    let child = unsafe { libc::fork() };
    if child == 0 {
        let different = fork_generation() != before;
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(i32::from(different)) };
    }
    let mut status = 0;
    // SAFETY: waits for our own child, and writes its status.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 1);
    assert_eq!(fork_generation(), before);
}

#[test]
fn clock_randomness_processors() {
    let first = now_ns();
    let later = now_ns();
    assert!(later >= first);
    let numbers: std::collections::BTreeSet<_> = (0..100).map(|_| random_u64()).collect();
    assert_eq!(numbers.len(), 100);
    assert!(cpu_count() >= 1);
}
