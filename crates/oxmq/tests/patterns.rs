//! Every pattern over every transport, both ways round of bind and connect.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use oxmq::{
    Context, Message, Pair, Publisher, Pull, Push, RecvError, Reply, Request, Subscriber, option,
};

const LONG: Option<Duration> = Some(Duration::from_secs(300));

/// An endpoint to bind to, of each transport.
fn endpoints() -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("oxmq-test-{}-{number}", std::process::id());
    vec![
        "tcp://127.0.0.1:*".into(),
        format!("ipc://@{name}"),
        format!("ipc://{}/{name}", std::env::temp_dir().display()),
        format!("inproc://{name}"),
    ]
}

/// Joins two sockets, the first or the second of them binding.
macro_rules! join {
    ($a:expr, $b:expr, $endpoint:expr, $first_binds:expr) => {
        if $first_binds {
            let actual = $a.bind($endpoint).unwrap();
            $b.connect(&actual).unwrap();
        } else {
            let actual = $b.bind($endpoint).unwrap();
            $a.connect(&actual).unwrap();
        }
    };
}

fn everywhere(test: impl Fn(&Context, &str, bool)) {
    for first_binds in [true, false] {
        for endpoint in endpoints() {
            test(&Context::new(), &endpoint, first_binds);
        }
    }
}

/// Bodies around every limit of the wire and of the library.
fn bodies() -> Vec<Vec<u8>> {
    let sizes = [0, 1, 55, 56, 57, 255, 256, 4095, 4096, 8192, 8193, 65536, 300_000, 1 << 20];
    sizes.iter().map(|&size| (0..size).map(|i| (i * 7 + size) as u8).collect()).collect()
}

#[test]
fn push_pull_carries_every_size_in_order() {
    everywhere(|context, endpoint, first_binds| {
        let (push, pull) = (Push::new(context).unwrap(), Pull::new(context).unwrap());
        join!(push, pull, endpoint, first_binds);
        for body in bodies() {
            push.send(&body).unwrap();
        }
        for body in bodies() {
            assert_eq!(pull.recv().unwrap()[..], body[..], "{endpoint}");
        }
    });
}

#[test]
fn many_messages_stay_in_order_past_the_high_water_mark() {
    everywhere(|context, endpoint, first_binds| {
        let (push, pull) = (Push::new(context).unwrap(), Pull::new(context).unwrap());
        join!(push, pull, endpoint, first_binds);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..200_000u64 {
                    push.send(&number.to_le_bytes()).unwrap();
                }
            });
            for number in 0..200_000u64 {
                assert_eq!(pull.recv().unwrap()[..], number.to_le_bytes(), "{endpoint}");
            }
        });
    });
}

#[test]
fn multiparts_arrive_whole() {
    everywhere(|context, endpoint, first_binds| {
        let (a, b) = (Pair::new(context).unwrap(), Pair::new(context).unwrap());
        join!(a, b, endpoint, first_binds);
        let parts: Vec<Vec<u8>> = bodies().into_iter().chain([vec![]]).collect();
        a.send_multipart(&parts).unwrap();
        b.send("back").unwrap();
        let received = b.recv_multipart().unwrap();
        assert_eq!(received.len(), parts.len());
        for (received, sent) in received.iter().zip(&parts) {
            assert_eq!(received[..], sent[..]);
        }
        assert_eq!(&a.recv().unwrap()[..], b"back");
    });
}

#[test]
fn requests_are_answered() {
    everywhere(|context, endpoint, first_binds| {
        let (request, reply) = (Request::new(context).unwrap(), Reply::new(context).unwrap());
        join!(request, reply, endpoint, first_binds);
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let asked = reply.recv().unwrap();
                    reply.send(asked).unwrap();
                }
            });
            for number in 0..1000u32 {
                request.send(&number.to_le_bytes()).unwrap();
                assert_eq!(request.recv().unwrap()[..], number.to_le_bytes());
            }
        });
        assert_eq!(request.recv(), Err(RecvError::State));
        assert!(reply.send("nobody asked").is_err());
    });
}

#[test]
fn publishers_reach_who_subscribed() {
    everywhere(|context, endpoint, first_binds| {
        let (publisher, subscriber) =
            (Publisher::new(context).unwrap(), Subscriber::new(context).unwrap());
        subscriber.subscribe("a").unwrap();
        join!(publisher, subscriber, endpoint, first_binds);
        publisher.wait_for_subscribers("a", 1, LONG).unwrap();
        subscriber.subscribe("bb").unwrap();
        publisher.wait_for_subscribers("bb", 1, LONG).unwrap();
        for topic in ["a1", "b", "bb2", "c", "a3"] {
            publisher.send(topic).unwrap();
        }
        for topic in ["a1", "bb2", "a3"] {
            assert_eq!(&subscriber.recv().unwrap()[..], topic.as_bytes(), "{endpoint}");
        }
        subscriber.unsubscribe("a").unwrap();
        assert_eq!(subscriber.try_recv(), Err(RecvError::Again));
    });
}

#[test]
fn a_peer_with_several_matching_subscriptions_gets_or_misses_a_message_once() {
    let context = Context::new();
    let (publisher, full) = (Publisher::new(&context).unwrap(), Subscriber::new(&context).unwrap());
    publisher.set(option::SNDHWM, 1).unwrap();
    full.set(option::RCVHWM, 1).unwrap();
    publisher.bind("inproc://once").unwrap();
    for prefix in ["", "a", "ab"] {
        full.subscribe(prefix).unwrap();
    }
    full.connect("inproc://once").unwrap();
    publisher.wait_for_subscribers("ab", 1, LONG).unwrap();
    for number in 0..5 {
        publisher.send(&format!("abc{number}")[..]).unwrap();
    }
    assert_eq!(publisher.dropped(), 3);
    for number in 0..2 {
        assert_eq!(full.recv().unwrap()[..], *format!("abc{number}").as_bytes());
    }
    assert!(matches!(full.try_recv(), Err(RecvError::Again)));
}

#[test]
fn connect_comes_before_bind() {
    for endpoint in ["tcp://127.0.0.1:45871", "ipc://@oxmq-before", "inproc://before"] {
        let context = Context::new();
        let (push, pull) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
        push.connect(endpoint).unwrap();
        push.send("early").unwrap();
        pull.bind(endpoint).unwrap();
        assert_eq!(&pull.recv().unwrap()[..], b"early", "{endpoint}");
    }
}

#[test]
fn one_socket_serves_many_peers_fairly() {
    everywhere(|context, endpoint, first_binds| {
        if !first_binds {
            return;
        }
        let pull = Pull::new(context).unwrap();
        let actual = pull.bind(endpoint).unwrap();
        let pushes: Vec<Push> = (0..8).map(|_| Push::new(context).unwrap()).collect();
        for (number, push) in pushes.iter().enumerate() {
            push.connect(&actual).unwrap();
            push.wait_for_peers(1, LONG).unwrap();
            for _ in 0..10 {
                push.send(&[number as u8]).unwrap();
            }
        }
        let mut counts = [0; 8];
        for _ in 0..80 {
            counts[pull.recv().unwrap()[0] as usize] += 1;
        }
        assert_eq!(counts, [10; 8]);
    });
}

#[test]
fn closing_lingers_until_the_peer_has_it_all() {
    for endpoint in endpoints().into_iter().take(3) {
        let context = Context::new();
        let pull = Pull::new(&context).unwrap();
        let actual = pull.bind(&endpoint).unwrap();
        let push = Push::new(&context).unwrap();
        push.connect(&actual).unwrap();
        for number in 0..500u32 {
            push.send(Message::from(&number.to_le_bytes())).unwrap();
        }
        drop(push);
        for number in 0..500u32 {
            assert_eq!(pull.recv().unwrap()[..], number.to_le_bytes());
        }
    }
}
