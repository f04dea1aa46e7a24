//! DEALER and ROUTER: identities, and what is done with messages that cannot be delivered.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use oxmq::{Context, Dealer, Message, RecvError, Reply, Request, Router, SendErrorKind, option};

const LONG: Option<Duration> = Some(Duration::from_secs(300));
/// How long to wait for what must not come.
const SHORT: Duration = Duration::from_millis(50);

/// An endpoint to bind to, of each transport.
fn endpoints() -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("oxmq-routing-{}-{number}", std::process::id());
    vec!["tcp://127.0.0.1:*".into(), format!("ipc://@{name}"), format!("inproc://{name}")]
}

fn router(context: &Context) -> Router {
    let router = Router::new(context).unwrap();
    router.set(option::SNDTIMEO, 300_000).unwrap();
    router.set(option::RCVTIMEO, 300_000).unwrap();
    router
}

fn dealer(context: &Context, identity: &str) -> Dealer {
    let dealer = Dealer::new(context).unwrap();
    dealer.set(option::ROUTING_ID, identity.as_bytes().to_vec()).unwrap();
    dealer.set(option::SNDTIMEO, 300_000).unwrap();
    dealer.set(option::RCVTIMEO, 300_000).unwrap();
    dealer
}

fn parts(message: &[Message]) -> Vec<&[u8]> {
    message.iter().map(|part| &part[..]).collect()
}

#[test]
fn a_router_answers_whom_it_heard() {
    for endpoint in endpoints() {
        for router_binds in [true, false] {
            let context = Context::new();
            let (router, dealer) = (router(&context), dealer(&context, "anna"));
            if router_binds {
                dealer.connect(&router.bind(&endpoint).unwrap()).unwrap();
            } else {
                router.connect(&dealer.bind(&endpoint).unwrap()).unwrap();
            }
            dealer.send_multipart(["", "how", "", "are you"]).unwrap();
            let heard = router.recv_multipart().unwrap();
            assert_eq!(parts(&heard), [&b"anna"[..], b"", b"how", b"", b"are you"], "{endpoint}");
            router.send_multipart(["anna", "", "well"]).unwrap();
            assert_eq!(parts(&dealer.recv_multipart().unwrap()), [&b""[..], b"well"]);
            // An identity alone is no message.
            router.send("anna").unwrap();
            router.send_multipart(["anna", ""]).unwrap();
            assert_eq!(parts(&dealer.recv_multipart().unwrap()), [b""]);
        }
    }
}

#[test]
fn a_peer_without_a_name_gets_one_that_lasts() {
    for endpoint in endpoints() {
        let context = Context::new();
        let router = router(&context);
        let endpoint = router.bind(&endpoint).unwrap();
        let dealers = [dealer(&context, ""), dealer(&context, "")];
        let names = dealers.each_ref().map(|dealer| {
            dealer.connect(&endpoint).unwrap();
            dealer.send("hello").unwrap();
            let heard = router.recv_multipart().unwrap();
            assert_eq!((heard[0].len(), heard[0][0], &heard[1][..]), (5, 0, &b"hello"[..]));
            heard[0].to_vec()
        });
        assert_ne!(names[0], names[1]);
        for (dealer, name) in dealers.iter().zip(&names) {
            router.send_multipart([&name[..], name]).unwrap();
            assert_eq!(dealer.recv().unwrap()[..], name[..]);
            dealer.send("again").unwrap();
            assert_eq!(router.recv_multipart().unwrap()[0][..], name[..]);
        }
    }
}

#[test]
fn requests_and_replies_pass_through_a_broker_of_router_and_dealer() {
    for endpoint in endpoints() {
        let context = Context::new();
        let (front, back) = (router(&context), dealer(&context, ""));
        let front_at = front.bind(&endpoint).unwrap();
        let back_at = back.bind("inproc://back").unwrap();
        let reply = Reply::new(&context).unwrap();
        reply.connect(&back_at).unwrap();
        let requests = [(); 3].map(|()| Request::new(&context).unwrap());
        for (number, request) in requests.iter().enumerate() {
            request.connect(&front_at).unwrap();
            request.send_multipart([vec![], vec![number as u8]]).unwrap();
        }
        for _ in &requests {
            back.send_multipart(front.recv_multipart().unwrap()).unwrap();
            let asked = reply.recv_multipart().unwrap();
            reply.send_multipart([&asked[1][..], b"answer"]).unwrap();
            front.send_multipart(back.recv_multipart().unwrap()).unwrap();
        }
        for (number, request) in requests.iter().enumerate() {
            let answer = request.recv_multipart().unwrap();
            assert_eq!(parts(&answer), [&[number as u8][..], b"answer"]);
        }
    }
}

#[test]
fn a_second_peer_of_the_same_name_is_refused() {
    for endpoint in endpoints() {
        let context = Context::new();
        let router = router(&context);
        let endpoint = router.bind(&endpoint).unwrap();
        let [first, second] = ["twin", "twin"].map(|name| dealer(&context, name));
        first.connect(&endpoint).unwrap();
        first.send("first").unwrap();
        assert_eq!(parts(&router.recv_multipart().unwrap()), [&b"twin"[..], b"first"]);
        second.connect(&endpoint).unwrap();
        second.set(option::LINGER, 0).unwrap();
        let _ = second.try_send("second");
        assert_eq!(router.try_recv_multipart().unwrap_err(), RecvError::Again);
        router.send_multipart(["twin", "to the first"]).unwrap();
        assert_eq!(first.recv().unwrap()[..], *b"to the first");
        assert!(second.recv_timeout(SHORT).is_err());
        // Once the first has gone, the name is free, and the second comes again by itself.
        first.close();
        if !endpoint.starts_with("inproc") {
            router.set(option::RCVTIMEO, SHORT.as_millis() as i32).unwrap();
            let heard = loop {
                // What went into a connection that was refused is lost with it.
                let _ = second.try_send("second");
                if let Ok(heard) = router.recv_multipart() {
                    break heard;
                }
            };
            assert_eq!(parts(&heard), [&b"twin"[..], b"second"]);
        }
    }
}

#[test]
fn with_handover_the_second_takes_the_name() {
    for endpoint in endpoints() {
        let context = Context::new();
        let router = router(&context);
        router.set(option::ROUTER_HANDOVER, true).unwrap();
        let endpoint = router.bind(&endpoint).unwrap();
        let [first, second] = ["twin", "twin"].map(|name| dealer(&context, name));
        first.set(option::RECONNECT_IVL, -1).unwrap();
        first.connect(&endpoint).unwrap();
        first.send_multipart(["first", "whole"]).unwrap();
        // Wait until it has arrived; it may still be received after the name went over.
        while !router.events().unwrap().intersects(oxmq::Events::IN) {
            std::thread::yield_now();
        }
        second.connect(&endpoint).unwrap();
        second.send("second").unwrap();
        assert_eq!(parts(&router.recv_multipart().unwrap()), [&b"twin"[..], b"first", b"whole"]);
        assert_eq!(parts(&router.recv_multipart().unwrap()), [&b"twin"[..], b"second"]);
        router.send_multipart(["twin", "to the second"]).unwrap();
        assert_eq!(second.recv().unwrap()[..], *b"to the second");
        assert!(first.recv_timeout(SHORT).is_err());
    }
}

#[test]
fn what_cannot_be_delivered_is_dropped_and_counted_unless_mandatory() {
    for endpoint in endpoints() {
        let context = Context::new();
        let router = router(&context);
        router.set(option::SNDHWM, 2).unwrap();
        let dealer = dealer(&context, "slow");
        dealer.set(option::RCVHWM, 1).unwrap();
        dealer.set(option::RCVBUF, 4096).unwrap();
        router.set(option::SNDBUF, 4096).unwrap();
        dealer.connect(&router.bind(&endpoint).unwrap()).unwrap();
        router.wait_for_peers(1, LONG).unwrap();

        router.send_multipart(["nobody", "lost"]).unwrap();
        assert_eq!(router.dropped(), 1);
        router.set(option::ROUTER_MANDATORY, true).unwrap();
        let error = router.try_send_multipart(["nobody", "lost"]).unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::HostUnreachable);
        assert_eq!(parts(&error.into_parts()), [&b"nobody"[..], b"lost"]);

        let body = vec![7; 3000];
        let send = || router.try_send_multipart([b"slow".to_vec(), body.clone()]);
        let mut sent = 0;
        let error = loop {
            match send() {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), SendErrorKind::Again);
        assert!(sent >= 2, "{sent}");
        router.set(option::ROUTER_MANDATORY, false).unwrap();
        while router.dropped() == 1 {
            // The kernel may have taken a little more meanwhile.
            send().unwrap();
            sent += 1;
        }
        router.set(option::ROUTER_MANDATORY, true).unwrap();
        std::thread::scope(|scope| {
            // A mandatory send waits for room.
            scope.spawn(|| router.send_multipart(["slow", "last"]).unwrap());
            let mut received = 0;
            while dealer.recv().unwrap()[..] != *b"last" {
                received += 1;
            }
            assert_eq!(received + router.dropped() - 1, sent);
        });
    }
}

#[test]
fn a_router_is_told_who_comes_and_goes() {
    for endpoint in endpoints() {
        let context = Context::new();
        let router = router(&context);
        router.set(option::ROUTER_NOTIFY, 3).unwrap();
        let endpoint = router.bind(&endpoint).unwrap();
        let dealer = dealer(&context, "guest");
        dealer.connect(&endpoint).unwrap();
        assert_eq!(parts(&router.recv_multipart().unwrap()), [&b"guest"[..], b""]);
        dealer.send_multipart(["a", "b"]).unwrap();
        assert_eq!(parts(&router.recv_multipart().unwrap()), [&b"guest"[..], b"a", b"b"]);
        dealer.close();
        assert_eq!(parts(&router.recv_multipart().unwrap()), [&b"guest"[..], b""]);
    }
}

#[test]
fn a_probe_tells_a_router_who_has_come() {
    for endpoint in endpoints() {
        let context = Context::new();
        let [server, client] = [router(&context), router(&context)];
        server.set(option::ROUTING_ID, b"server".to_vec()).unwrap();
        client.set(option::ROUTING_ID, b"client".to_vec()).unwrap();
        client.set(option::PROBE_ROUTER, true).unwrap();
        client.connect(&server.bind(&endpoint).unwrap()).unwrap();
        assert_eq!(parts(&server.recv_multipart().unwrap()), [&b"client"[..], b""]);
        server.send_multipart(["client", "welcome"]).unwrap();
        assert_eq!(parts(&client.recv_multipart().unwrap()), [&b"server"[..], b"welcome"]);
    }
}

#[test]
fn a_dealer_deals_in_turn_and_waits_when_all_are_full() {
    let context = Context::new();
    let dealer = dealer(&context, "");
    dealer.set(option::SNDHWM, 2).unwrap();
    let routers = [router(&context), router(&context)];
    for (number, router) in routers.iter().enumerate() {
        router.set(option::RCVHWM, 2).unwrap();
        let endpoint = router.bind(&format!("inproc://deal-{number}")).unwrap();
        dealer.connect(&endpoint).unwrap();
    }
    for number in 0..8_u8 {
        dealer.try_send(&[number]).unwrap();
    }
    assert_eq!(dealer.try_send("full").unwrap_err().kind(), SendErrorKind::Again);
    for (which, router) in routers.iter().enumerate() {
        for number in 0..4 {
            let heard = router.recv_multipart().unwrap();
            assert_eq!(heard[1][..], [(2 * number + which) as u8]);
        }
    }
}

/// A service may answer what it was asked through a ROUTER that is no more: the reply must not reach
/// whoever has taken the asker's number at the next.
#[test]
fn names_made_up_by_two_routers_differ() {
    let context = Context::new();
    let [one, other] = [0, 1].map(|_| {
        let (router, dealer) = (Router::new(&context).unwrap(), Dealer::new(&context).unwrap());
        dealer.connect(&router.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        dealer.send("who am I?").unwrap();
        router.recv_multipart().unwrap()[0].to_vec()
    });
    assert_eq!((one[0], one.len()), (0, 5));
    assert_ne!(one, other);
}
