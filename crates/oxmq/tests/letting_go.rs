//! Ends of contexts that block no executor: `term_async`, and drops that do not wait for peers.

mod process;
mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use oxmq::{Context, Pull, Push, RecvError, option};
use process::settles;
use support::{LONG, fresh_name};

/// A context whose I/O threads are told from others by their names.
struct Named(String);

impl Named {
    fn context() -> (Context, Named) {
        static LAST: AtomicUsize = AtomicUsize::new(0);
        // The system cuts names off behind 15 bytes.
        let name = format!("end-{}", LAST.fetch_add(1, Ordering::Relaxed));
        let context = Context::new();
        context.set_io_thread_name(&name);
        (context, Named(name + "/"))
    }

    fn threads(&self) -> usize {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap();
        let names = tasks.filter_map(|task| std::fs::read(task.ok()?.path().join("comm")).ok());
        names.filter(|name| name.starts_with(self.0.as_bytes())).count()
    }

    /// Waits until there is an I/O thread that has given itself its name.
    fn begins(&self) {
        let none = || usize::from(self.threads() == 0);
        assert_eq!(settles(0, none), Ok(()), "no I/O thread begins");
    }

    /// Waits for the end of the I/O threads.
    fn ends(&self) {
        assert_eq!(settles(0, || self.threads()), Ok(()), "the I/O thread goes on");
    }
}

/// Runs it on a thread of its own, which must not wait for what comes after it.
fn comes_to_an_end(what: &str, run: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        run();
        let _ = done.send(());
    });
    match ended.recv_timeout(LONG) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} does not come back"),
    }
}

/// Where nobody is, until somebody binds there.
fn nobody() -> String {
    format!("ipc://@{}", fresh_name())
}

/// A socket that has sent what nobody takes, and lingers for ever.
fn sent(context: &Context, endpoint: &str) -> Push {
    let push = Push::new(context).unwrap();
    push.connect(endpoint).unwrap();
    push.send("left behind").unwrap();
    push
}

/// Takes what was sent, and so lets its sender go.
fn take(endpoint: &str) {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    pull.bind(endpoint).unwrap();
    assert_eq!(&pull.recv_timeout(LONG).unwrap()[..], b"left behind");
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

#[test]
fn awaiting_the_end_waits_for_sockets_and_for_what_they_sent() {
    let ((context, io), endpoint) = (Named::context(), nobody());
    let push = sent(&context, &endpoint);
    let waits = Pull::new(&context).unwrap();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let polling = &mut TaskContext::from_waker(&waker);

    let mut end = pin!(context.term_async());
    // It begins when it is polled.
    assert_eq!(waits.try_recv().map(drop), Err(RecvError::Again));
    assert!(end.as_mut().poll(polling).is_pending());
    assert_eq!(waits.recv().map(drop), Err(RecvError::Terminated));
    drop(waits);
    drop(push);
    // Given up, as by a time-out, and begun anew.
    drop(pin!(context.term_async()).as_mut().poll(polling));
    assert!(end.as_mut().poll(polling).is_pending());
    woken.0.store(false, Ordering::Release);
    take(&endpoint);
    let called = || usize::from(!woken.0.load(Ordering::Acquire));
    assert_eq!(settles(0, called), Ok(()), "nobody is woken");
    assert!(matches!(end.as_mut().poll(polling), Poll::Ready(Ok(()))));
    io.ends();
    // Nothing is left to wait for.
    assert!(matches!(pin!(context.term_async()).poll(polling), Poll::Ready(Ok(()))));
    context.term().unwrap();
}

#[test]
fn several_may_await_the_same_end() {
    let context = Context::new();
    let push = Push::new(&context).unwrap();
    push.bind("tcp://127.0.0.1:*").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let ends = [1, 2, 3].map(|_| tokio::spawn(context.term_async()));
        // One that is gone by then.
        let gone = tokio::spawn(context.term_async());
        tokio::task::yield_now().await;
        gone.abort();
        drop(push);
        for end in ends {
            end.await.unwrap().unwrap();
        }
    });
}

#[test]
fn a_drop_that_may_not_wait_sends_on_in_the_background() {
    for timeout in [Duration::ZERO, Duration::from_millis(20)] {
        let ((context, io), endpoint) = (Named::context(), nobody());
        context.set_drop_timeout(Some(timeout));
        let push = sent(&context, &endpoint);
        io.begins();
        // One that waits for the peer, who comes next, never ends.
        comes_to_an_end("the drop", || drop((context, push)));
        take(&endpoint);
        io.ends();
    }
    // What has nothing to send ends at once.
    let (context, io) = Named::context();
    context.set_drop_timeout(Some(Duration::ZERO));
    let pull = Pull::new(&context).unwrap();
    pull.bind("tcp://127.0.0.1:*").unwrap();
    io.begins();
    comes_to_an_end("the drop", || drop((context, pull)));
    io.ends();
}

#[test]
fn linger_bounds_what_goes_on_in_the_background() {
    let (context, io) = Named::context();
    context.set_drop_timeout(Some(Duration::ZERO));
    let push = sent(&context, &nobody());
    push.set(option::LINGER, 50).unwrap();
    io.begins();
    comes_to_an_end("the drop", || drop((context, push)));
    io.ends();
}

/// An early return by `?`, in a task whose peer is another task of the same thread.
#[test]
fn a_task_that_returns_early_does_not_stop_its_executor() {
    comes_to_an_end("the executor", || assert_eq!(return_early(), 200));
}

fn return_early() -> u32 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let receiving = Context::new();
        let pull = Pull::new(&receiving).unwrap();
        pull.set(option::RCVHWM, 10).unwrap();
        let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
        let receiver = tokio::spawn(async move {
            let mut received = 0;
            while received < 200 {
                assert_eq!(pull.recv_async().await.unwrap().len(), 1 << 16);
                received += 1;
            }
            received
        });
        async fn fails(endpoint: &str) -> Result<(), RecvError> {
            let context = Context::new();
            context.set_drop_timeout(Some(Duration::ZERO));
            let push = Push::new(&context).unwrap();
            push.set(option::SNDHWM, 0).unwrap();
            push.connect(endpoint).unwrap();
            for _ in 0..200 {
                push.send_async([vec![7; 1 << 16]]).await.unwrap();
            }
            Err(RecvError::Again)?;
            unreachable!()
        }
        assert_eq!(fails(&endpoint).await, Err(RecvError::Again));
        receiver.await.unwrap()
    })
}

/// The last handle of a context, with a task that the context's own I/O thread wakes, and so ends.
struct Last {
    handles: Mutex<Option<(Context, Push)>>,
    ended: mpsc::Sender<()>,
    times: AtomicUsize,
}

impl Wake for Last {
    fn wake(self: Arc<Self>) {
        drop(self.handles.lock().unwrap().take());
        self.times.fetch_add(1, Ordering::Relaxed);
        let _ = self.ended.send(());
    }
}

#[test]
fn the_last_handle_may_go_on_the_thread_that_would_be_waited_for() {
    let ((context, io), endpoint) = (Named::context(), nobody());
    let push = Push::new(&context).unwrap();
    push.set(option::RECONNECT_IVL, 10).unwrap();
    let monitor = push.monitor();
    push.connect(&endpoint).unwrap();
    push.send("left behind").unwrap();
    let (told, ended) = mpsc::channel();
    let handles = Mutex::new(Some((context, push)));
    let last = Arc::new(Last { handles, ended: told, times: AtomicUsize::new(0) });
    let waker = Waker::from(last.clone());
    loop {
        // That nobody is there is said again and again.
        let mut event = pin!(monitor.recv_async());
        if event.as_mut().poll(&mut TaskContext::from_waker(&waker)).is_pending() {
            ended.recv_timeout(LONG).expect("the I/O thread waits for itself");
            break;
        }
    }
    assert!(last.times.load(Ordering::Relaxed) > 0);
    take(&endpoint);
    io.ends();
}
