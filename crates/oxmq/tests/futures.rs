//! Futures among others: they give way to the rest of their executor, can be dropped whenever they are
//! pending, and leave nothing behind.

mod support;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread;

use oxmq::{Context, Dealer, Events, Pull, Push, RecvError, SendErrorKind, Socket, option};
use support::fresh_name;

/// More than any executor allows a task between two looks at the others.
const BUDGET: usize = 128;

/// Counts how often it is woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Polls a task that never has to wait until it is done; says how often. Each time that it is pending it
/// must have woken itself.
fn polls(mut task: impl FnMut(&mut TaskContext<'_>) -> Poll<()>) -> usize {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut polls = 0;
    loop {
        let before = woken.times();
        polls += 1;
        if task(&mut TaskContext::from_waker(&waker)).is_ready() {
            return polls;
        }
        assert!(woken.times() > before, "it waits for what is there");
    }
}

/// As a fresh executor's thread: what a task may do is counted by the thread.
fn on_a_thread(run: impl FnOnce() + Send + 'static) {
    thread::spawn(run).join().unwrap();
}

fn pair(context: &Context) -> (Push, Pull) {
    let (push, pull) = (Push::new(context).unwrap(), Pull::new(context).unwrap());
    for socket in [push.as_ref(), pull.as_ref() as &Socket] {
        socket.set(option::SNDHWM, 0).unwrap();
        socket.set(option::RCVHWM, 0).unwrap();
    }
    let endpoint = format!("inproc://{}", fresh_name());
    pull.bind(&endpoint).unwrap();
    push.connect(&endpoint).unwrap();
    (push, pull)
}

const MESSAGES: u32 = 10_000;

/// A pair with so many messages on their way, in order.
fn full_pair(context: &Context) -> (Push, Pull) {
    let (push, pull) = pair(context);
    for number in 0..MESSAGES {
        push.send(number.to_string()).unwrap();
    }
    (push, pull)
}

fn number(part: &[u8]) -> u32 {
    std::str::from_utf8(part).unwrap().parse().unwrap()
}

/// Runs one task for `times` successes, and sees to it that no poll of it has more of them than a budget,
/// and that it does not give way much more often than that.
fn gives_way<F>(what: &'static str, times: u32, mut task: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    let successes = Cell::new(0);
    let mut run = pin!(async {
        for _ in 0..times {
            task().await;
            successes.set(successes.get() + 1);
        }
    });
    let polls = polls(|context| {
        let before = successes.get();
        let polled = run.as_mut().poll(context);
        let done = successes.get() - before;
        assert!(done <= BUDGET, "{what}: {done} successes in one poll");
        polled
    });
    let most = times as usize / BUDGET * 2 + 2;
    assert!(polls <= most, "{what}: {polls} polls for {times} successes");
}

#[test]
fn a_task_that_never_has_to_wait_gives_way() {
    on_a_thread(|| {
        let context = Context::new();
        let (_push, pull) = full_pair(&context);
        let next = Cell::new(0);
        gives_way("recv_async", MESSAGES, || async {
            assert_eq!(number(&pull.recv_async().await.unwrap()), next.get());
            next.set(next.get() + 1);
        });
    });
    on_a_thread(|| {
        let context = Context::new();
        let (_push, pull) = full_pair(&context);
        let next = Cell::new(0);
        gives_way("recv_multipart_async", MESSAGES, || async {
            let parts = pull.recv_multipart_async().await.unwrap();
            assert_eq!(number(&parts[0]), next.get());
            next.set(next.get() + 1);
        });
    });
    on_a_thread(|| {
        let context = Context::new();
        let (push, pull) = pair(&context);
        let next = Cell::new(0);
        gives_way("send_async", MESSAGES, || async {
            push.send_async([next.get().to_string()]).await.unwrap();
            next.set(next.get() + 1);
        });
        for expected in 0..MESSAGES {
            assert_eq!(number(&pull.recv().unwrap()), expected);
        }
        assert_eq!(pull.try_recv().map(drop), Err(RecvError::Again));
    });
    on_a_thread(|| {
        let context = Context::new();
        let (_push, pull) = full_pair(&context);
        let next = Cell::new(0);
        gives_way("ready_async", MESSAGES, || async {
            let socket: &Socket = pull.as_ref();
            assert_eq!(socket.ready_async(Events::IN).await.unwrap(), Events::IN);
            assert_eq!(number(&pull.try_recv().unwrap()), next.get());
            next.set(next.get() + 1);
        });
    });
    on_a_thread(|| {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        let monitor = pull.monitor();
        for _ in 0..oxmq::monitor::EVENTS_MAX {
            pull.bind(&format!("inproc://{}", fresh_name())).unwrap();
        }
        let events = u32::try_from(oxmq::monitor::EVENTS_MAX).unwrap();
        gives_way("Monitor::recv_async", events, || async {
            monitor.recv_async().await.unwrap();
        });
    });
}

#[test]
fn tasks_that_share_a_socket_give_way_each() {
    on_a_thread(|| {
        let context = Context::new();
        let (_push, pull) = full_pair(&context);
        let received = [0, 0].map(Cell::new);
        let mut tasks = [0, 1].map(|task| {
            let (pull, received) = (&pull, &received);
            Box::pin(async move {
                while let Ok(message) = pull.recv_async().await {
                    drop(message);
                    received[task].set(received[task].get() + 1);
                    if received.iter().map(Cell::get).sum::<u32>() == MESSAGES {
                        break;
                    }
                }
            })
        });
        // One after the other, as an executor with one thread does.
        let mut turn = 0;
        polls(|context| {
            turn += 1;
            let before = received.each_ref().map(Cell::get);
            let polled = tasks[turn % 2].as_mut().poll(context);
            let done = received[turn % 2].get() - before[turn % 2];
            assert!(done as usize <= BUDGET, "{done} successes in one poll");
            polled
        });
        let [one, other] = received.each_ref().map(Cell::get);
        assert!(one.abs_diff(other) <= 2 * BUDGET as u32, "{one} and {other}");
    });
}

/// Takes what either of two futures brings, and drops the other: `select!`.
async fn either<T>(
    first: impl Future<Output = T> + Unpin,
    second: impl Future<Output = T> + Unpin,
) -> (usize, T) {
    let (mut first, mut second) = (first, second);
    poll_fn(move |context| {
        if let Poll::Ready(value) = Pin::new(&mut first).poll(context) {
            return Poll::Ready((0, value));
        }
        Pin::new(&mut second).poll(context).map(|value| (1, value))
    })
    .await
}

/// That one of them gives way must not let the other go on. A thread that is put to sleep in between may
/// find its time over; so what is looked at is not each poll, but all of them.
#[test]
fn a_task_that_takes_whichever_of_several_is_ready_gives_way() {
    on_a_thread(|| {
        let context = Context::new();
        let (_one, first) = full_pair(&context);
        let (_other, second) = full_pair(&context);
        let mut next = [0, 0];
        let mut run = pin!(async {
            while next != [MESSAGES; 2] {
                // Turn and turn about, so that both are always ready until the end.
                let swaps = (next[0] + next[1]) % 2 == 1 && next[1] < MESSAGES;
                let (sockets, names) = match swaps {
                    false => ([&first, &second], [0, 1]),
                    true => ([&second, &first], [1, 0]),
                };
                let [one, other] = sockets.map(|socket| socket.recv_async());
                let (which, message) = either(one, other).await;
                let from = names[which];
                assert_eq!(number(&message.unwrap()), next[from]);
                next[from] += 1;
            }
        });
        let polls = polls(|context| run.as_mut().poll(context));
        let least = 2 * MESSAGES as usize / BUDGET / 4;
        assert!(polls >= least, "{polls} polls for {} messages", 2 * MESSAGES);
    });
}

/// One that waits beside, from before and for long, must not make the task believe that it has been away.
#[test]
fn a_future_that_waits_beside_does_not_keep_the_task_from_giving_way() {
    on_a_thread(|| {
        let context = Context::new();
        let (_push, pull) = full_pair(&context);
        let (_quiet, end) = pair(&context);
        let mut run = pin!(async {
            let mut ends = pin!(end.recv_async());
            for expected in 0..MESSAGES {
                let (_, message) = either(ends.as_mut(), pull.recv_async()).await;
                assert_eq!(number(&message.unwrap()), expected);
            }
            // One made anew each time.
            assert!(pull.try_recv().is_err());
        });
        let polls = polls(|context| run.as_mut().poll(context));
        let least = MESSAGES as usize / BUDGET / 4;
        assert!(polls >= least, "{polls} polls for {MESSAGES} messages");
    });
}

/// Whoever polls each future but once finds nothing for a while, and then what is there.
#[test]
fn futures_that_are_polled_once_bring_everything_too() {
    on_a_thread(|| {
        let context = Context::new();
        let (_push, pull) = full_pair(&context);
        let mut next = 0;
        while next < MESSAGES {
            let mut future = pin!(pull.recv_async());
            let context = &mut TaskContext::from_waker(Waker::noop());
            if let Poll::Ready(message) = future.as_mut().poll(context) {
                assert_eq!(number(&message.unwrap()), next);
                next += 1;
            }
        }
    });
}

#[test]
fn a_blocking_call_does_not_count() {
    on_a_thread(|| {
        let context = Context::new();
        let (_push, pull) = full_pair(&context);
        for _ in 0..2 * BUDGET {
            pull.recv().unwrap();
        }
        let mut future = pin!(pull.recv_async());
        let polled = future.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
        assert!(polled.is_ready());
    });
}

#[test]
fn futures_that_are_dropped_leave_no_waker_behind() {
    let context = Context::new();
    let (push, pull) = pair(&context);
    push.set(option::SNDHWM, 1).unwrap();
    let full = Dealer::new(&context).unwrap();
    let monitor = pull.monitor();
    while monitor.try_recv().is_ok() {}
    let woken = Arc::new(Woken::default());
    let other = Arc::new(Woken::default());
    for round in 0..1000 {
        // Each with wakers of its own, as tasks have.
        for wakers in [&woken, &other] {
            let waker = Waker::from(wakers.clone());
            let context = &mut TaskContext::from_waker(&waker);
            let socket: &Socket = pull.as_ref();
            let mut futures: [Pin<Box<dyn Future<Output = ()>>>; 5] = [
                Box::pin(async { drop(pull.recv_async().await) }),
                Box::pin(async { drop(pull.recv_multipart_async().await) }),
                Box::pin(async { drop(full.send_async(["nobody"]).await) }),
                Box::pin(async { assert!(socket.ready_async(Events::IN).await.is_ok()) }),
                Box::pin(async { drop(monitor.recv_async().await) }),
            ];
            for future in &mut futures {
                for _ in 0..round % 3 {
                    assert!(future.as_mut().poll(context).is_pending());
                }
            }
        }
        for wakers in [&woken, &other] {
            assert_eq!(Arc::strong_count(wakers), 1, "round {round}");
        }
    }
}

#[test]
fn a_send_that_is_done_sends_no_more() {
    let context = Context::new();
    let (push, pull) = pair(&context);
    let polling = &mut TaskContext::from_waker(Waker::noop());
    let mut send = pin!(push.send_async(["once"]));
    assert!(matches!(send.as_mut().poll(polling), Poll::Ready(Ok(()))));
    for _ in 0..3 {
        match send.as_mut().poll(polling) {
            Poll::Ready(Err(error)) => assert_eq!(error.kind(), SendErrorKind::Empty),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(&pull.recv().unwrap()[..], b"once");
    assert_eq!(pull.try_recv().map(drop), Err(RecvError::Again));

    // Nor does one that was refused: the error has the message.
    let mut refused = pin!(pull.as_ref().send_async(["never"]));
    match refused.as_mut().poll(polling) {
        Poll::Ready(Err(error)) => {
            assert_eq!(error.kind(), SendErrorKind::NotSupported);
            assert_eq!(&error.into_parts()[0][..], b"never");
        }
        other => panic!("{other:?}"),
    }
    match refused.as_mut().poll(polling) {
        Poll::Ready(Err(error)) => assert_eq!(error.kind(), SendErrorKind::Empty),
        other => panic!("{other:?}"),
    }
}

/// A message is taken by a future that is ready, never by one that is dropped.
#[test]
fn a_future_dropped_at_any_poll_loses_no_message() {
    on_a_thread(|| {
        let context = Context::new();
        let (push, pull) = pair(&context);
        let polling = || TaskContext::from_waker(Waker::noop());
        let (mut sent, mut received) = (0, 0);
        for round in 0..3000_u32 {
            // Polled so often before the message comes, and so often behind it, unless it is ready.
            let (before, behind) = (round % 3, round / 3 % 3);
            let mut future = pin!(pull.recv_async());
            let mut poll = |received: &mut u32| match future.as_mut().poll(&mut polling()) {
                Poll::Ready(message) => {
                    assert_eq!(number(&message.unwrap()), *received);
                    *received += 1;
                    true
                }
                Poll::Pending => false,
            };
            let mut done = (0..before).any(|_| poll(&mut received));
            let mut send = pin!(push.send_async([sent.to_string()]));
            for _ in 0..round / 9 % 3 {
                if send.as_mut().poll(&mut polling()).is_ready() {
                    sent += 1;
                    break;
                }
            }
            for _ in 0..behind {
                done = done || poll(&mut received);
            }
        }
        while received < sent {
            assert_eq!(number(&pull.recv().unwrap()), received);
            received += 1;
        }
        assert_eq!(pull.try_recv().map(drop), Err(RecvError::Again));
        assert!(sent > 1000);
    });
}
