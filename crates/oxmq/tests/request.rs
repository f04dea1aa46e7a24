//! REQ beyond its strict turns: REQ_CORRELATE and REQ_RELAXED.

mod support;

use std::thread;
use std::time::Duration;

use oxmq::{Context, Events, Message, RecvError, Reply, Request, Router, SendErrorKind, option};

use support::libzmq::{self, LibContext};
use support::{endpoints, fresh_name};

const REQ_CORRELATE: i32 = 52;
const REQ_RELAXED: i32 = 53;

fn everywhere(test: impl Fn(&Context, &str)) {
    for endpoint in endpoints().into_iter().chain([format!("inproc://{}", fresh_name())]) {
        test(&Context::new(), &endpoint);
    }
}

/// A REQ that may ask again, and the ROUTER it asks.
fn relaxed(context: &Context, endpoint: &str, correlates: bool) -> (Request, Router) {
    let (request, router) = (Request::new(context).unwrap(), Router::new(context).unwrap());
    request.set(option::REQ_RELAXED, true).unwrap();
    request.set(option::REQ_CORRELATE, correlates).unwrap();
    request.connect(&router.bind(endpoint).unwrap()).unwrap();
    (request, router)
}

fn bytes(parts: &[Message]) -> Vec<&[u8]> {
    parts.iter().map(|part| &part[..]).collect()
}

/// Answers a request that the ROUTER received.
fn answer(router: &Router, asked: &[Message], reply: &[&[u8]]) {
    let envelope = &bytes(asked)[..asked.len() - 1];
    router.send_multipart(envelope.iter().chain(reply).copied()).unwrap();
}

#[test]
fn a_request_carries_its_number_and_the_reply_brings_it_back() {
    everywhere(|context, endpoint| {
        let (request, router) = (Request::new(context).unwrap(), Router::new(context).unwrap());
        request.set(option::REQ_CORRELATE, true).unwrap();
        request.connect(&router.bind(endpoint).unwrap()).unwrap();
        let mut numbers = Vec::new();
        for _ in 0..2 {
            request.send("question").unwrap();
            let asked = router.recv_multipart().unwrap();
            let [_, number, b"", b"question"] = bytes(&asked)[..] else {
                panic!("{endpoint}: {asked:?}");
            };
            assert_eq!(number.len(), 4);
            numbers.push(u32::from_ne_bytes(number.try_into().unwrap()));
            // None of these is the reply: no number, another one, no delimiter, nothing but a number.
            let identity = &asked[0][..];
            router.send_multipart([identity, b"", b"no number"]).unwrap();
            let other = numbers[0].wrapping_sub(1).to_ne_bytes();
            router.send_multipart([identity, &other, b"", b"other"]).unwrap();
            router.send_multipart([identity, number, b"no delimiter", b"part"]).unwrap();
            router.send_multipart([identity, number]).unwrap();
            answer(&router, &asked, &[b"answer", b"in parts"]);
            assert_eq!(bytes(&request.recv_multipart().unwrap()), [&b"answer"[..], b"in parts"]);
        }
        assert_eq!(numbers[1], numbers[0].wrapping_add(1));
        // In turns, as ever.
        request.send("question").unwrap();
        assert_eq!(request.send("again").unwrap_err().kind(), SendErrorKind::State);
    });
}

#[test]
fn a_rep_answers_requests_with_numbers() {
    everywhere(|context, endpoint| {
        let (request, reply) = (Request::new(context).unwrap(), Reply::new(context).unwrap());
        request.set(option::REQ_CORRELATE, true).unwrap();
        reply.connect(&request.bind(endpoint).unwrap()).unwrap();
        for number in 0..100u32 {
            request.send_multipart([&number.to_le_bytes()[..], b""]).unwrap();
            assert_eq!(reply.recv_multipart().unwrap().len(), 2);
            reply.send(&number.to_be_bytes()).unwrap();
            assert_eq!(request.recv().unwrap()[..], number.to_be_bytes());
        }
    });
}

#[test]
fn a_request_given_up_is_never_answered() {
    everywhere(|context, endpoint| {
        let (request, router) = relaxed(context, endpoint, true);
        for round in 0..20 {
            request.send("first").unwrap();
            let first = router.recv_multipart().unwrap();
            if round % 2 == 0 {
                // The reply is there before the next request, and perhaps even found.
                answer(&router, &first, &[b"late", b"in", b"parts"]);
            }
            if round % 4 == 0 {
                while !request.events().unwrap().intersects(Events::IN) {}
                assert!(request.events().unwrap().intersects(Events::OUT));
            }
            request.send("second").unwrap();
            let second = router.recv_multipart().unwrap();
            assert_eq!(&second.last().unwrap()[..], b"second");
            if round % 2 == 1 {
                answer(&router, &first, &[b"late"]);
            }
            answer(&router, &second, &[b"in time"]);
            assert_eq!(&request.recv().unwrap()[..], b"in time", "{endpoint}");
            assert_eq!(request.recv(), Err(RecvError::State));
        }
    });
}

#[test]
fn the_rest_of_a_reply_is_dropped_by_the_next_request() {
    everywhere(|context, endpoint| {
        let (request, router) = relaxed(context, endpoint, false);
        request.send("first").unwrap();
        answer(&router, &router.recv_multipart().unwrap(), &[b"one", b"two", b"three"]);
        assert_eq!(&request.recv().unwrap()[..], b"one");
        request.send("second").unwrap();
        answer(&router, &router.recv_multipart().unwrap(), &[b"four"]);
        let part = request.recv().unwrap();
        assert_eq!((&part[..], part.more()), (&b"four"[..], false), "{endpoint}");
    });
}

/// The complaint that the options cure: one reply lost, and the REQ asks nobody ever again.
#[test]
fn a_lost_reply_does_not_stop_a_relaxed_request() {
    let context = Context::new();
    let (request, first) = relaxed(&context, "tcp://127.0.0.1:*", true);
    request.set(option::RECONNECT_IVL, 1).unwrap();
    request.send("lost").unwrap();
    first.recv_multipart().unwrap();
    let endpoint = first.last_endpoint();
    drop(first);
    let second = Router::new(&context).unwrap();
    while second.bind(&endpoint).is_err() {}
    // Each request that comes, for its asker may have given it up meanwhile.
    let server = thread::spawn(move || {
        while let Ok(asked) = second.recv_multipart() {
            answer(&second, &asked, &[b"found"]);
        }
    });
    // As a client does: ask, wait for a while, ask again.
    let found = (0..).find_map(|_| {
        request.send("asked again").unwrap();
        request.recv_timeout(Duration::from_millis(200)).ok()
    });
    assert_eq!(&found.unwrap()[..], b"found");
    context.shutdown();
    server.join().unwrap();
}

#[test]
fn a_request_that_no_peer_takes_leaves_the_last_one_standing() {
    let context = Context::new();
    let (request, router) = relaxed(&context, "inproc://a", true);
    request.send("first").unwrap();
    let asked = router.recv_multipart().unwrap();
    answer(&router, &asked, &[b"answer"]);
    request.disconnect("inproc://a").unwrap();
    assert_eq!(request.try_send("second").unwrap_err().kind(), SendErrorKind::Again);
    // Its turn is still that of the first request.
    assert_eq!(request.try_recv(), Err(RecvError::Again));
}

#[test]
fn libzmq_and_we_number_requests_alike() {
    for endpoint in endpoints() {
        let (context, theirs) = (Context::new(), LibContext::new());

        let (request, reply) = (Request::new(&context).unwrap(), theirs.socket(libzmq::REP));
        request.set(option::REQ_CORRELATE, true).unwrap();
        request.set(option::REQ_RELAXED, true).unwrap();
        request.connect(&reply.bind(&endpoint).unwrap()).unwrap();
        request.send("given up").unwrap();
        request.send("asked").unwrap();
        for _ in 0..2 {
            let asked = reply.recv().unwrap();
            reply.send(&asked).unwrap();
        }
        assert_eq!(&request.recv().unwrap()[..], b"asked");

        let (request, reply) = (theirs.socket(libzmq::REQ), Reply::new(&context).unwrap());
        request.set(REQ_CORRELATE, 1);
        request.set(REQ_RELAXED, 1);
        let endpoint = match endpoint.strip_prefix("ipc://") {
            Some(path) => format!("ipc://{path}-2"),
            None => endpoint,
        };
        request.connect(&reply.bind(&endpoint).unwrap()).unwrap();
        request.send(&["given up"]).unwrap();
        request.send(&["asked"]).unwrap();
        for _ in 0..2 {
            let asked = reply.recv().unwrap();
            reply.send(asked).unwrap();
        }
        assert_eq!(request.recv().unwrap(), [b"asked"]);
    }
}
