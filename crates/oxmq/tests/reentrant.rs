//! What a program hands in – wakers, and the owners of messages' memory – may call the library back
//! whenever it is called itself, be it copied, woken or dropped: no lock is held then.

mod support;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{self, Poll, RawWaker, RawWakerVTable, Waker};
use std::thread;

use oxmq::{Context, Events, Message, Monitor, Pull, Push, Socket, SocketType, option};
use support::{LONG, fresh_name};

type Task = Pin<Box<dyn Future<Output = ()>>>;

/// Runs it on a thread of its own: a lock that is held while its holder's code is called would have that
/// thread wait for itself.
fn comes_to_an_end(what: &str, run: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = thread::spawn(move || {
        run();
        let _ = done.send(());
    });
    match ended.recv_timeout(LONG) {
        Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => thread.join().unwrap(),
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what}: called back under a lock"),
    }
}

// Wakers.

/// A waker that calls the library at whatever is done to it.
struct Meddler {
    meddle: Box<dyn Fn() + Send + Sync>,
    copied: AtomicUsize,
    woken: AtomicUsize,
    dropped: AtomicUsize,
}

impl Meddler {
    fn new(meddle: impl Fn() + Send + Sync + 'static) -> Arc<Meddler> {
        Arc::new(Meddler {
            meddle: Box::new(meddle),
            copied: AtomicUsize::new(0),
            woken: AtomicUsize::new(0),
            dropped: AtomicUsize::new(0),
        })
    }

    fn waker(self: &Arc<Meddler>) -> Waker {
        // SAFETY: the functions of the table do what `RawWakerVTable` asks for, with an `Arc` of it.
        unsafe { Waker::from_raw(Meddler::raw(self.clone())) }
    }

    fn raw(meddler: Arc<Meddler>) -> RawWaker {
        const TABLE: RawWakerVTable = RawWakerVTable::new(
            |data| {
                let meddler = Meddler::borrow(data);
                meddler.called(&meddler.copied);
                Meddler::raw(meddler)
            },
            |data| {
                let meddler = Meddler::borrow(data);
                meddler.called(&meddler.woken);
                // SAFETY: of `raw`, and used no more.
                drop(unsafe { Arc::from_raw(data.cast::<Meddler>()) });
            },
            |data| {
                let meddler = Meddler::borrow(data);
                meddler.called(&meddler.woken);
            },
            |data| {
                let meddler = Meddler::borrow(data);
                meddler.called(&meddler.dropped);
                // SAFETY: of `raw`, and used no more.
                drop(unsafe { Arc::from_raw(data.cast::<Meddler>()) });
            },
        );
        RawWaker::new(Arc::into_raw(meddler).cast(), &TABLE)
    }

    fn borrow(data: *const ()) -> Arc<Meddler> {
        let data = data.cast::<Meddler>();
        // SAFETY: of `raw`, whose reference stays.
        unsafe {
            Arc::increment_strong_count(data);
            Arc::from_raw(data)
        }
    }

    fn called(&self, count: &AtomicUsize) {
        count.fetch_add(1, Ordering::Relaxed);
        (self.meddle)();
    }
}

/// Two sockets that are joined, one that is watched, and what their futures wait for.
#[derive(Clone)]
struct Scene {
    context: Context,
    /// It has room for one message.
    push: Arc<Push>,
    pull: Arc<Pull>,
    monitor: Arc<Monitor>,
}

impl Scene {
    fn new() -> Scene {
        let context = Context::new();
        let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
        for socket in [push.as_ref(), pull.as_ref() as &Socket] {
            socket.set(option::SNDHWM, 1).unwrap();
            socket.set(option::RCVHWM, 1).unwrap();
            socket.set(option::LINGER, 0).unwrap();
        }
        let endpoint = pull.bind(&format!("inproc://{}", fresh_name())).unwrap();
        push.connect(&endpoint).unwrap();
        let monitor = pull.monitor();
        let (push, pull, monitor) = (Arc::new(push), Arc::new(pull), Arc::new(monitor));
        Scene { context, push, pull, monitor }
    }

    /// Takes every lock that a waiting list may lie under; and, if it `carries` messages, makes ready
    /// what may be waited for.
    fn touch_everything(&self, carries: bool) {
        for socket in [self.push.as_ref().as_ref(), self.pull.as_ref().as_ref() as &Socket] {
            let _ = socket.events();
            socket.statistics();
        }
        self.context.set_ipv6(false);
        if carries {
            let _ = self.push.try_send("meddling");
            let _ = self.pull.try_recv();
        }
        // If there is an event, it is not the one that is waited for.
        let _ = self.monitor.try_recv();
    }

    fn fill(&self) {
        while self.push.try_send("full").is_ok() {}
    }

    fn drain(&self) {
        while self.pull.try_recv().is_ok() {}
        while self.monitor.try_recv().is_ok() {}
    }
}

/// A future, and what makes it ready.
type Case = (&'static str, fn(&Scene) -> Task, fn(&Scene));

const CASES: [Case; 6] = [
    (
        "recv_async",
        |scene| {
            scene.drain();
            let pull = scene.pull.clone();
            Box::pin(async move { drop(pull.recv_async().await) })
        },
        |scene| drop(scene.push.try_send("come")),
    ),
    (
        "recv_multipart_async",
        |scene| {
            scene.drain();
            let pull = scene.pull.clone();
            Box::pin(async move { drop(pull.recv_multipart_async().await) })
        },
        |scene| drop(scene.push.try_send_multipart(["come", "along"])),
    ),
    (
        "send_async",
        |scene| {
            scene.fill();
            let push = scene.push.clone();
            Box::pin(async move { drop(push.send_async(["go"]).await) })
        },
        Scene::drain,
    ),
    (
        "ready_async",
        |scene| {
            scene.drain();
            let pull = scene.pull.clone();
            Box::pin(async move {
                let socket: &Socket = (*pull).as_ref();
                let _ = socket.ready_async(Events::IN).await;
            })
        },
        |scene| drop(scene.push.try_send("come")),
    ),
    (
        "Monitor::recv_async",
        |scene| {
            scene.drain();
            let monitor = scene.monitor.clone();
            Box::pin(async move { drop(monitor.recv_async().await) })
        },
        |scene| drop(scene.pull.bind(&format!("inproc://{}", fresh_name()))),
    ),
    (
        "term_async",
        |scene| {
            let context = scene.context.clone();
            Box::pin(async move { drop(context.term_async().await) })
        },
        |scene| {
            scene.push.close();
            scene.pull.close();
        },
    ),
];

#[test]
fn a_waker_may_do_anything_whenever_it_is_copied_woken_or_dropped() {
    for (name, begin, happen) in CASES {
        // Dropped after so many polls; what it waits for comes after so many.
        for way in 0..40 {
            let (polls, comes, carries) = (way / 2 % 4, way / 8, way % 2 == 1);
            comes_to_an_end(&format!("{name}, {polls} polls"), move || {
                let scene = Scene::new();
                let meddlers = [1, 2].map(|_| {
                    let scene = scene.clone();
                    Meddler::new(move || scene.touch_everything(carries))
                });
                let mut task = begin(&scene);
                for poll in 0..polls {
                    if poll == comes {
                        happen(&scene);
                    }
                    // Twice with the first, and then with another, whose place it takes.
                    let waker = meddlers[poll / 2].waker();
                    if task.as_mut().poll(&mut task::Context::from_waker(&waker)).is_ready() {
                        break;
                    }
                }
                if comes == 4 {
                    happen(&scene);
                }
                drop(task);
                for meddler in &meddlers {
                    let kept = Arc::strong_count(meddler) - 1;
                    assert_eq!(kept, 0, "{name}: a waker is kept after {polls} polls");
                }
                if polls > 0 {
                    assert!(meddlers[0].dropped.load(Ordering::Relaxed) > 0);
                }
                // A context that is shut down is let go of.
                scene.push.close();
                scene.pull.close();
            });
        }
    }
}

#[test]
fn a_waker_may_hold_the_socket_that_it_waits_for() {
    comes_to_an_end("the last reference", || {
        let context = Context::new();
        let pull = Arc::new(Pull::new(&context).unwrap());
        pull.bind(&format!("inproc://{}", fresh_name())).unwrap();
        let held = pull.clone();
        let meddler = Meddler::new(move || drop(held.try_recv()));
        let waker = meddler.waker();
        drop(meddler);
        let mut future = Box::pin(async { pull.recv_async().await });
        let polled = future.as_mut().poll(&mut task::Context::from_waker(&waker));
        assert!(polled.is_pending());
        // From here on the socket alone has it.
        drop(waker);
        drop(future);
    });
}

/// Between the names of a context, too, nobody's code is called.
#[test]
fn who_is_told_of_a_connect_that_waits_may_bind_the_name() {
    comes_to_an_end("a connect to a name that nobody has", || {
        let context = Context::new();
        let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
        let endpoint = format!("inproc://{}", fresh_name());
        let monitor = push.monitor();
        let connects = Arc::new(AtomicBool::new(false));
        let pull = Arc::new(pull);
        let (binder, name, when) = (pull.clone(), endpoint.clone(), connects.clone());
        let meddler = Meddler::new(move || {
            if when.swap(false, Ordering::Relaxed) {
                binder.bind(&name).unwrap();
            }
        });
        let mut event = Box::pin(monitor.recv_async());
        let waker = meddler.waker();
        assert!(event.as_mut().poll(&mut task::Context::from_waker(&waker)).is_pending());
        connects.store(true, Ordering::Relaxed);
        push.connect(&endpoint).unwrap();
        assert!(meddler.woken.load(Ordering::Relaxed) > 0);
        push.send("found").unwrap();
        assert_eq!(&pull.recv().unwrap()[..], b"found");
    });
}

// Messages.

/// The owner of a message's bytes, which calls the library when it goes.
struct Owner {
    bytes: [u8; 3],
    goes: Box<dyn Fn() + Send + Sync>,
}

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        (self.goes)();
    }
}

/// Messages whose owners call all of these sockets, and how many have done so.
fn messages(sockets: &[&Arc<Socket>]) -> (impl Fn() -> Message + use<>, Arc<AtomicUsize>) {
    let sockets: Vec<Arc<Socket>> = sockets.iter().map(|socket| Arc::clone(socket)).collect();
    let gone = Arc::new(AtomicUsize::new(0));
    let count = gone.clone();
    let make = move || {
        let (sockets, gone) = (sockets.clone(), gone.clone());
        let goes = move || {
            for socket in &sockets {
                let _ = socket.events();
            }
            gone.fetch_add(1, Ordering::Relaxed);
        };
        Message::from_owner(Owner { bytes: *b"abc", goes: Box::new(goes) })
    };
    (make, count)
}

fn socket(context: &Context, kind: SocketType) -> Arc<Socket> {
    let socket = context.socket(kind).unwrap();
    socket.set(option::LINGER, 0).unwrap();
    Arc::new(socket)
}

#[test]
fn what_a_closed_socket_has_not_received_is_freed_with_no_lock_held() {
    for closes in [0, 1] {
        comes_to_an_end("a socket that goes, or its peer", move || {
            let context = Context::new();
            let push = socket(&context, SocketType::Push);
            let pull = socket(&context, SocketType::Pull);
            let endpoint = pull.bind(&format!("inproc://{}", fresh_name())).unwrap();
            push.connect(&endpoint).unwrap();
            let (message, gone) = messages(&[&push, &pull]);
            for _ in 0..5 {
                push.send(message()).unwrap();
            }
            [&pull, &push][closes].close();
            [&push, &pull][closes].close();
            drop(message);
            assert_eq!(gone.load(Ordering::Relaxed), 5);
        });
    }
}

#[test]
fn what_was_sent_to_a_socket_that_refuses_is_freed_with_no_lock_held() {
    comes_to_an_end("a PAIR that has a peer", || {
        let context = Context::new();
        let endpoint = format!("inproc://{}", fresh_name());
        let [bound, first, second] = [1, 2, 3].map(|_| socket(&context, SocketType::Pair));
        let (message, gone) = messages(&[&bound, &first, &second]);
        first.connect(&endpoint).unwrap();
        second.connect(&endpoint).unwrap();
        for _ in 0..5 {
            second.send(message()).unwrap();
        }
        // The first has it to itself.
        bound.bind(&endpoint).unwrap();
        second.close();
        assert_eq!(gone.load(Ordering::Relaxed), 5);
    });
    comes_to_an_end("a PAIR that has a peer, and one that has gone", || {
        let context = Context::new();
        let endpoint = format!("inproc://{}", fresh_name());
        let [bound, first, second] = [1, 2, 3].map(|_| socket(&context, SocketType::Pair));
        let (message, gone) = messages(&[&bound, &first]);
        first.connect(&endpoint).unwrap();
        second.set(option::LINGER, -1).unwrap();
        second.connect(&endpoint).unwrap();
        for _ in 0..5 {
            second.send(message()).unwrap();
        }
        second.close();
        bound.bind(&endpoint).unwrap();
        assert_eq!(gone.load(Ordering::Relaxed), 5);
    });
    comes_to_an_end("a type that does not go with the other", || {
        let context = Context::new();
        let endpoint = format!("inproc://{}", fresh_name());
        let [bound, other] =
            [SocketType::Pair, SocketType::Push].map(|kind| socket(&context, kind));
        let (message, gone) = messages(&[&bound, &other]);
        other.connect(&endpoint).unwrap();
        for _ in 0..5 {
            other.send(message()).unwrap();
        }
        bound.bind(&endpoint).unwrap();
        other.close();
        assert_eq!(gone.load(Ordering::Relaxed), 5);
    });
    comes_to_an_end("a name that another bears", || {
        let context = Context::new();
        let endpoint = format!("inproc://{}", fresh_name());
        let router = socket(&context, SocketType::Router);
        let [first, second] = [1, 2].map(|_| socket(&context, SocketType::Dealer));
        let (message, gone) = messages(&[&router, &first, &second]);
        for dealer in [&first, &second] {
            dealer.set(option::ROUTING_ID, b"same".to_vec()).unwrap();
            dealer.connect(&endpoint).unwrap();
        }
        for _ in 0..5 {
            second.send(message()).unwrap();
        }
        router.bind(&endpoint).unwrap();
        second.close();
        assert_eq!(gone.load(Ordering::Relaxed), 5);
    });
}

#[test]
fn what_is_left_of_a_message_cancelled_is_freed_with_no_lock_held() {
    comes_to_an_end("a send that is dropped", || {
        let context = Context::new();
        let push = socket(&context, SocketType::Push);
        let (message, gone) = messages(&[&push]);
        let mut send = Box::pin(push.send_async([message(), message()]));
        let polled = send.as_mut().poll(&mut task::Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending));
        drop(send);
        assert_eq!(gone.load(Ordering::Relaxed), 2);
    });
}
