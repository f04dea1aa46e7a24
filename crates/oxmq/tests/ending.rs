//! Threads that use sockets while they end, when what the library kept for them has gone.

mod support;

use std::cell::RefCell;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Duration;

use oxmq::{Context, Dealer, Events, PollItem, Poller, RecvError, Socket, poll};

use support::{LONG, PLACES, Place, body};

/// Says what became of `work`, which is done when the thread that has it as a thread-local ends.
struct AtTheEnd {
    work: Option<Box<dyn FnOnce()>>,
    tells: Sender<()>,
}

impl Drop for AtTheEnd {
    fn drop(&mut self) {
        self.work.take().unwrap()();
        self.tells.send(()).unwrap();
    }
}

thread_local!(static KEPT: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) });

/// Runs `first` in a thread, and `last` in the destructor of a thread-local made before the library
/// made its own, so that it goes after them. (In a destructor a panic ends the process.)
fn live_and_end(first: impl FnOnce() + Send + 'static, last: impl FnOnce() + Send + 'static) {
    let (tells, told) = channel();
    let thread = thread::spawn(move || {
        KEPT.set(Some(AtTheEnd { work: Some(Box::new(last)), tells }));
        first();
    });
    told.recv_timeout(3 * LONG).expect("the destructor has run");
    thread.join().unwrap();
}

fn pair(context: &Context, place: Place) -> [Dealer; 2] {
    let dealers = [(); 2].map(|()| Dealer::new(context).unwrap());
    place.join(dealers[0].as_ref(), dealers[1].as_ref());
    dealers
}

/// All ways to wait, in vain and not; short and long messages.
fn exchange([one, other]: &[Dealer; 2]) {
    let soon = Duration::from_millis(1);
    let readable = |socket: &Socket, timeout| {
        let polled = poll(&mut [PollItem::socket(socket, Events::IN)], Some(timeout)).unwrap();
        let poller = Poller::new();
        poller.add(socket, Events::IN, 1).unwrap();
        let waited = poller.wait(&mut Vec::new(), Some(timeout));
        assert_eq!(waited.is_ok_and(|ready| ready == 1), polled == 1);
        polled == 1
    };
    assert_eq!(other.recv_timeout(soon), Err(RecvError::Again));
    assert!(!readable(other.as_ref(), soon));
    for bytes in [1, 100, 5000, 100_000] {
        one.send(body(bytes)).unwrap();
        assert!(readable(other.as_ref(), LONG));
        assert_eq!(other.recv_timeout(LONG).unwrap()[..], body(bytes));
        other.send(body(bytes)).unwrap();
        assert_eq!(one.recv_timeout(LONG).unwrap()[..], body(bytes));
    }
    pollster::block_on(one.send_async(["async"])).unwrap();
    assert_eq!(&pollster::block_on(other.recv_async()).unwrap()[..], b"async");
}

fn whole_life(place: Place) {
    let context = Context::new();
    let sockets = pair(&context, place);
    exchange(&sockets);
    drop(sockets);
    context.term_timeout(LONG).unwrap();
}

#[test]
fn sockets_work_in_the_destructors_of_thread_locals() {
    for place in PLACES {
        let context = Context::new();
        let sockets = pair(&context, place);
        let (first, second) = (context.clone(), context.clone());
        let shared = std::sync::Arc::new(sockets);
        let last = shared.clone();
        live_and_end(
            move || {
                exchange(&shared);
                drop((shared, first));
                whole_life(place);
            },
            move || {
                exchange(&last);
                // Those of another context, and all that is made anew.
                whole_life(place);
                drop(last);
                second.term_timeout(LONG).unwrap();
            },
        );
        drop(context);
    }
}

/// The last handle of a context waits until what was sent is with the peers.
#[test]
fn a_context_that_ends_with_a_thread_delivers_what_was_sent() {
    const MESSAGES: usize = 10_000;
    for place in PLACES.into_iter().filter(|place| place.transport != "inproc") {
        let receives = Context::new();
        let receiver = oxmq::Pull::new(&receives).unwrap();
        let endpoint = receiver.bind(&place.endpoint()).unwrap();
        let context = Context::new();
        let push = oxmq::Push::new(&context).unwrap();
        push.set(oxmq::option::SNDHWM, 0).unwrap();
        push.connect(&endpoint).unwrap();
        let counting = thread::spawn(move || {
            (0..MESSAGES).take_while(|_| receiver.recv_timeout(LONG).is_ok()).count()
        });
        live_and_end(
            || whole_life(PLACES[0]),
            move || {
                for _ in 0..MESSAGES {
                    push.send("message").unwrap();
                }
                drop(push);
                drop(context);
            },
        );
        assert_eq!(counting.join().unwrap(), MESSAGES);
    }
}
