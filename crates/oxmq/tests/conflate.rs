//! CONFLATE: a pipe holds the newest message alone, and whole.

mod support;

use std::thread;

use oxmq::{
    Context, Dealer, Pair, Publisher, Pull, Push, RecvError, Socket, SocketType, Subscriber, option,
};

use support::libzmq::{self, LibContext};
use support::raw::RawListener;
use support::{LONG, body, endpoints, fresh_name};

const CONFLATE: i32 = 54;
const MESSAGES: u32 = 1000;

fn everywhere(test: impl Fn(&Context, &str)) {
    for endpoint in endpoints().into_iter().chain([format!("inproc://{}", fresh_name())]) {
        test(&Context::new(), &endpoint);
    }
}

/// An endpoint of the same transport that can be connected to before it is bound.
fn known(context: &Context, endpoint: &str) -> String {
    Pull::new(context).unwrap().bind(endpoint).unwrap()
}

fn number(message: &[u8]) -> u32 {
    u32::from_le_bytes(message[..4].try_into().unwrap())
}

/// Waits until so many messages were replaced or dropped. Nobody is told of that: it is looked at.
fn wait_until_dropped(socket: &Socket, count: u64) {
    while socket.dropped() < count {
        thread::yield_now();
    }
    assert_eq!(socket.dropped(), count);
}

#[test]
fn what_waits_for_a_peer_is_the_newest_message() {
    everywhere(|context, endpoint| {
        let endpoint = known(context, endpoint);
        let push = Push::new(context).unwrap();
        push.set(option::CONFLATE, true).unwrap();
        push.set(option::SNDHWM, 1).unwrap();
        push.connect(&endpoint).unwrap();
        for number in 0..MESSAGES {
            push.try_send(&number.to_le_bytes()).unwrap();
        }
        wait_until_dropped(push.as_ref(), u64::from(MESSAGES) - 1);
        let pull = Pull::new(context).unwrap();
        while pull.bind(&endpoint).is_err() {}
        assert_eq!(number(&pull.recv().unwrap()), MESSAGES - 1, "{endpoint}");
        // And again, on the connection that stands now.
        push.send(&MESSAGES.to_le_bytes()).unwrap();
        assert_eq!(number(&pull.recv().unwrap()), MESSAGES, "{endpoint}");
        assert_eq!(pull.try_recv(), Err(RecvError::Again));
    });
}

#[test]
fn what_waits_for_the_application_is_the_newest_message() {
    everywhere(|context, endpoint| {
        let (push, pull) = (Push::new(context).unwrap(), Pull::new(context).unwrap());
        pull.set(option::CONFLATE, true).unwrap();
        pull.set(option::RCVHWM, 1).unwrap();
        push.connect(&pull.bind(endpoint).unwrap()).unwrap();
        for number in 0..MESSAGES {
            push.send(&number.to_le_bytes()).unwrap();
        }
        // Over inproc the sender's end is the same pipe's, and the sender counts.
        let counts: &Socket =
            if endpoint.starts_with("inproc") { push.as_ref() } else { pull.as_ref() };
        wait_until_dropped(counts, u64::from(MESSAGES) - 1);
        assert_eq!(number(&pull.recv().unwrap()), MESSAGES - 1, "{endpoint}");
        assert_eq!(pull.try_recv(), Err(RecvError::Again));
        push.send(&MESSAGES.to_le_bytes()).unwrap();
        assert_eq!(number(&pull.recv().unwrap()), MESSAGES, "{endpoint}");
    });
}

/// The complaint about libzmq: parts of different messages came out as one, or parts went missing.
#[test]
fn multiparts_stay_whole() {
    everywhere(|context, endpoint| {
        for (sender_conflates, receiver_conflates) in [(true, false), (false, true), (true, true)] {
            let (sender, receiver) = (Dealer::new(context).unwrap(), Dealer::new(context).unwrap());
            sender.set(option::CONFLATE, sender_conflates).unwrap();
            receiver.set(option::CONFLATE, receiver_conflates).unwrap();
            let endpoint = receiver.bind(endpoint).unwrap();
            sender.connect(&endpoint).unwrap();
            let received = thread::scope(|scope| {
                let sending = scope.spawn(|| {
                    for number in 0..20_000u32 {
                        let parts = 1 + number as usize % 7;
                        let part =
                            [&number.to_le_bytes()[..], &body(number as usize % 100)].concat();
                        sender.send_multipart(vec![part; parts]).unwrap();
                    }
                });
                let mut received = 0;
                let mut last = None;
                while last != Some(19_999) {
                    let parts = receiver.recv_multipart().unwrap();
                    let number = number(&parts[0]);
                    assert!(last.is_none_or(|last| last < number), "{endpoint}");
                    assert_eq!(parts.len(), 1 + number as usize % 7, "{endpoint}: {number}");
                    assert!(parts.iter().all(|part| part[..] == parts[0][..]));
                    last = Some(number);
                    received += 1;
                }
                sending.join().unwrap();
                received
            });
            let lost = sender.as_ref().dropped() + receiver.as_ref().dropped();
            assert_eq!(received + lost, 20_000, "{endpoint}");
            receiver.unbind(&endpoint).unwrap();
        }
    });
}

#[test]
fn either_side_conflates_within_the_process() {
    for (connects_first, sender_conflates) in
        [(true, true), (true, false), (false, true), (false, false)]
    {
        let context = Context::new();
        let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
        push.set(option::CONFLATE, sender_conflates).unwrap();
        pull.set(option::CONFLATE, !sender_conflates).unwrap();
        if connects_first {
            push.connect("inproc://a").unwrap();
            push.send_multipart(["one", "old"]).unwrap();
            push.send_multipart(["two", "parts"]).unwrap();
            pull.bind("inproc://a").unwrap();
        } else {
            pull.bind("inproc://a").unwrap();
            push.connect("inproc://a").unwrap();
            push.send_multipart(["one", "old"]).unwrap();
            push.send_multipart(["two", "parts"]).unwrap();
        }
        assert_eq!(push.as_ref().dropped(), 1);
        assert_eq!(pull.recv_multipart().unwrap().len(), 2);
        assert_eq!(pull.try_recv(), Err(RecvError::Again));
        push.send("three").unwrap();
        assert_eq!(&pull.recv().unwrap()[..], b"three");
        drop(push);
        assert_eq!(pull.try_recv(), Err(RecvError::Again));
    }
}

#[test]
fn subscribers_get_the_newest_message() {
    everywhere(|context, endpoint| {
        let (publisher, subscriber) =
            (Publisher::new(context).unwrap(), Subscriber::new(context).unwrap());
        publisher.set(option::CONFLATE, true).unwrap();
        subscriber.set(option::CONFLATE, true).unwrap();
        subscriber.subscribe("").unwrap();
        subscriber.connect(&publisher.bind(endpoint).unwrap()).unwrap();
        publisher.wait_for_subscribers("", 1, Some(LONG)).unwrap();
        for number in 0..MESSAGES {
            publisher.send(&number.to_le_bytes()).unwrap();
        }
        let mut last = None;
        while last != Some(MESSAGES - 1) {
            let number = number(&subscriber.recv().unwrap());
            assert!(last.is_none_or(|last| last < number), "{endpoint}");
            last = Some(number);
        }
        assert_eq!(subscriber.try_recv(), Err(RecvError::Again));
    });
}

#[test]
fn a_new_connection_begins_with_the_newest_message() {
    for endpoint in endpoints() {
        let (listener, endpoint) = RawListener::bind(&endpoint);
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        push.set(option::CONFLATE, true).unwrap();
        push.set(option::RECONNECT_IVL, 1).unwrap();
        push.connect(&endpoint).unwrap();
        let mut first = listener.accept();
        first.shake_hands("PULL", "PUSH");
        push.wait_for_peers(1, Some(LONG)).unwrap();
        // The first of them fills the kernel's buffers, and is sent in part.
        for number in 0..5u8 {
            push.send(vec![number; 16 << 20]).unwrap();
        }
        drop(first);
        let mut second = listener.accept();
        second.shake_hands("PULL", "PUSH");
        let frame = [&[2][..], &(16u64 << 20).to_be_bytes(), &vec![4; 16 << 20]].concat();
        second.expect(&frame);
        push.send("next").unwrap();
        second.expect(b"\0\x04next");
    }
}

#[test]
fn what_is_newest_lingers() {
    everywhere(|context, endpoint| {
        let endpoint = known(context, endpoint);
        if endpoint.starts_with("inproc") {
            return;
        }
        let push = Push::new(context).unwrap();
        push.set(option::CONFLATE, true).unwrap();
        push.connect(&endpoint).unwrap();
        push.send_multipart(["old", "one"]).unwrap();
        push.send_multipart(["last", "words"]).unwrap();
        drop(push);
        let pull = Pull::new(context).unwrap();
        while pull.bind(&endpoint).is_err() {}
        let parts = pull.recv_multipart().unwrap();
        assert_eq!((&parts[0][..], &parts[1][..]), (&b"last"[..], &b"words"[..]));
    });
}

#[test]
fn other_types_do_not_conflate() {
    everywhere(|context, endpoint| {
        let (a, b) = (Pair::new(context).unwrap(), Pair::new(context).unwrap());
        a.set(option::CONFLATE, true).unwrap();
        b.set(option::CONFLATE, true).unwrap();
        b.connect(&a.bind(endpoint).unwrap()).unwrap();
        for number in 0..100u32 {
            b.send(&number.to_le_bytes()).unwrap();
        }
        for sent in 0..100 {
            assert_eq!(number(&a.recv().unwrap()), sent);
        }
    });
}

#[test]
fn libzmq_gets_and_gives_the_newest_message() {
    for endpoint in endpoints() {
        let (context, theirs) = (Context::new(), LibContext::new());
        let known = known(&context, &endpoint);
        let push = Push::new(&context).unwrap();
        push.set(option::CONFLATE, true).unwrap();
        push.connect(&known).unwrap();
        for number in 0..MESSAGES {
            push.send(&number.to_le_bytes()).unwrap();
        }
        let pull = theirs.socket(libzmq::PULL);
        while pull.bind(&known).is_err() {}
        assert_eq!(number(&pull.recv().unwrap()[0]), MESSAGES - 1, "{endpoint}");

        let push = theirs.socket(libzmq::PUSH);
        push.set(CONFLATE, 1);
        let pull = Pull::new(&context).unwrap();
        pull.set(option::CONFLATE, true).unwrap();
        let endpoint = match endpoint.strip_prefix("ipc://") {
            Some(path) => format!("ipc://{path}-2"),
            None => endpoint,
        };
        push.connect(&pull.bind(&endpoint).unwrap()).unwrap();
        for number in 0..MESSAGES {
            push.send(&[number.to_le_bytes()]).unwrap();
        }
        while number(&pull.recv().unwrap()) != MESSAGES - 1 {}
        assert_eq!(pull.try_recv(), Err(RecvError::Again));
    }
}

/// Within the process what is sent is in the receiver's queue at once. The option of the socket that
/// binds is for what it receives; a plain socket that connects to it gets every message.
#[test]
fn a_bound_socket_conflates_nobody_elses_queue() {
    use SocketType::{Dealer, Pub, Pull, Push, Sub};
    for connects_first in [true, false] {
        // Whether what the bound socket sends, and receives, arrives whole.
        for (bound_kind, connected_kind, conflates_bound, sends, receives) in [
            (Pub, Sub, true, Some(true), None),
            (Push, Pull, true, Some(true), None),
            (Dealer, Dealer, true, Some(true), Some(false)),
            (Sub, Pub, true, None, Some(false)),
            (Pull, Push, true, None, Some(false)),
            (Pub, Sub, false, Some(false), None),
            (Sub, Pub, false, None, Some(false)),
            (Dealer, Dealer, false, Some(false), Some(false)),
        ] {
            let context = Context::new();
            let [bound, connected] =
                [bound_kind, connected_kind].map(|kind| context.socket(kind).unwrap());
            let conflating = if conflates_bound { &bound } else { &connected };
            conflating.set(option::CONFLATE, true).unwrap();
            for (kind, socket) in [(bound_kind, &bound), (connected_kind, &connected)] {
                if kind == Sub {
                    socket.subscribe("").unwrap();
                }
            }
            if connects_first {
                connected.connect("inproc://a").unwrap();
                bound.bind("inproc://a").unwrap();
            } else {
                bound.bind("inproc://a").unwrap();
                connected.connect("inproc://a").unwrap();
            }
            for (from, to, whole) in [(&bound, &connected, sends), (&connected, &bound, receives)] {
                let Some(whole) = whole else { continue };
                for number in 0..10_u8 {
                    from.send(&[number]).unwrap();
                }
                let first = if whole { 0 } else { 9 };
                for number in first..10_u8 {
                    assert_eq!(to.try_recv().unwrap()[..], [number], "{bound_kind:?} binds");
                }
                assert_eq!(to.try_recv(), Err(RecvError::Again), "{bound_kind:?} binds");
            }
        }
    }
}
