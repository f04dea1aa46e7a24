//! RFC 28, request-reply: what its sentences on REQ, REP, DEALER and ROUTER say, each over every
//! transport, on the side that binds and on the one that connects.

mod sentences;
mod support;

use std::collections::HashSet;
use std::time::Duration;

use oxmq::option::{ROUTER_MANDATORY, SNDTIMEO};
use oxmq::{Context, Message, RecvError, SendErrorKind, SocketType};

use SocketType::{Dealer, Rep, Req, Router};
use sentences::{
    Sentence, expect, fair_queued, fill, hold, join, narrow, nothing, nothing_is_sent_to_nobody,
    pair, parts, queue_dies_with_an_accepted_peer, queue_lives_with_the_connect,
    queues_are_independent, queues_have_limits, round_robin, socket, star, telling,
    the_full_are_passed_over, wait_until, what_has_arrived_stays,
};

use support::LONG;

#[test]
fn req() {
    hold("REQ", REQ);
}

#[test]
fn rep() {
    hold("REP", REP);
}

#[test]
fn dealer() {
    hold("DEALER", DEALER);
}

#[test]
fn router() {
    hold("ROUTER", ROUTER);
}

const REQ: &[Sentence] = &[
    ("has any number of REP or ROUTER peers", |place| {
        let (context, req, reps) = star(place, Req, Rep, 2);
        let router = socket(&context, Router);
        join(place, &router, &req);
        req.wait_for_peers(3, Some(LONG)).unwrap();
        for _ in 0..3 {
            req.send("question").unwrap();
            wait_until(|| {
                for rep in &reps {
                    if rep.try_recv().is_ok() {
                        rep.send("answer").unwrap();
                        return true;
                    }
                }
                let Ok(mut asked) = router.try_recv_multipart() else { return false };
                asked[2] = Message::from("answer");
                router.send_multipart(asked).unwrap();
                true
            });
            expect(&req, &["answer"]);
        }
    }),
    ("SHALL send and then receive exactly one message at a time", |place| {
        let (_context, req, rep) = pair(place, Req, Rep);
        for _ in 0..3 {
            assert_eq!(req.try_recv().err(), Some(RecvError::State));
            req.send_multipart(["one", "question"]).unwrap();
            assert_eq!(req.try_send("two").unwrap_err().kind(), SendErrorKind::State);
            assert_eq!(req.try_recv().err(), Some(RecvError::Again));
            expect(&rep, &["one", "question"]);
            rep.send("answer").unwrap();
            expect(&req, &["answer"]);
        }
    }),
    ("SHALL have a delimiter and data frames on the wire, and SHALL prefix it", |place| {
        let (_context, req, router) = pair(place, Req, Router);
        for body in [vec!["a"], vec!["a", "", "b"], vec![""]] {
            req.send_multipart(body.clone()).unwrap();
            let expected: Vec<&str> = ["first", ""].into_iter().chain(body).collect();
            expect(&router, &expected);
            // One or more data frames, the delimiter taken off.
            router.send_multipart(["first", "", "x", "", "y"]).unwrap();
            expect(&req, &["x", "", "y"]);
        }
    }),
    ("SHALL route requests round-robin", |place| round_robin(place, Req, Rep)),
    ("SHALL block, or return an error, without peers; SHALL NOT discard", |place| {
        nothing_is_sent_to_nobody(place, Req, Router);
    }),
    ("keeps a request for a peer that is to come", |place| {
        if place.first_binds {
            return;
        }
        let context = Context::new();
        let (req, rep) = (socket(&context, Req), socket(&context, Rep));
        let endpoint = rep.bind(&place.endpoint()).unwrap();
        rep.unbind(&endpoint).unwrap();
        req.connect(&endpoint).unwrap();
        req.send("early").unwrap();
        wait_until(|| rep.bind(&endpoint).is_ok());
        expect(&rep, &["early"]);
        rep.send("answer").unwrap();
        expect(&req, &["answer"]);
    }),
    ("SHALL accept a message only from the peer last asked, SHALL discard others'", |place| {
        let (_context, req, routers) = star(place, Req, Router, 2);
        for round in 0..4 {
            let (asked, other) = (&routers[round % 2], &routers[1 - round % 2]);
            req.send("question").unwrap();
            expect(asked, &["hub", "", "question"]);
            other.send_multipart(["hub", "", "unasked"]).unwrap();
            nothing(&req);
            // From the right peer, but no reply.
            asked.send_multipart(["hub", "no delimiter"]).unwrap();
            asked.send_multipart(["hub", "", "answer"]).unwrap();
            expect(&req, &["answer"]);
        }
    }),
];

const REP: &[Sentence] = &[
    ("has any number of REQ or DEALER peers", |place| {
        let (context, rep, reqs) = star(place, Rep, Req, 2);
        let dealer = socket(&context, Dealer);
        join(place, &dealer, &rep);
        rep.wait_for_peers(3, Some(LONG)).unwrap();
        dealer.send_multipart(["", "from a dealer"]).unwrap();
        reqs.iter().for_each(|req| req.send("from a req").unwrap());
        for _ in 0..3 {
            let request = rep.recv().unwrap();
            rep.send(request).unwrap();
        }
        expect(&dealer, &["", "from a dealer"]);
        reqs.iter().for_each(|req| expect(req, &["from a req"]));
    }),
    ("SHALL not filter or modify messages", |place| {
        let (_context, rep, req) = pair(place, Rep, Req);
        req.send_multipart(telling()).unwrap();
        assert_eq!(parts(&rep), telling());
        rep.send_multipart(telling()).unwrap();
        assert_eq!(parts(&req), telling());
    }),
    ("SHALL receive and then send exactly one message at a time", |place| {
        let (_context, rep, dealer) = pair(place, Rep, Dealer);
        for number in ["1", "2"] {
            dealer.send_multipart(["", number]).unwrap();
        }
        for number in ["1", "2"] {
            assert_eq!(rep.try_send("too early").unwrap_err().kind(), SendErrorKind::State);
            expect(&rep, &[number]);
            assert_eq!(rep.try_recv().err(), Some(RecvError::State));
            rep.send(number).unwrap();
            expect(&dealer, &["", number]);
        }
    }),
    ("SHALL receive requests fair-queued", |place| fair_queued(place, Rep, Dealer, &[""])),
    ("SHALL remove, store and prepend the envelope of zero or more frames", |place| {
        let (_context, rep, dealer) = pair(place, Rep, Dealer);
        for envelope in [vec![""], vec!["a", ""], vec!["a", "b", "c", ""]] {
            let whole = |body: &'static [&'static str]| [&envelope[..], body].concat();
            dealer.send_multipart(whole(&["question", "", "more"])).unwrap();
            expect(&rep, &["question", "", "more"]);
            rep.send_multipart(["an", "", "answer"]).unwrap();
            expect(&dealer, &whole(&["an", "", "answer"]));
        }
    }),
    ("SHALL discard what has no delimiter, or nothing behind it", |place| {
        let (_context, rep, dealer) = pair(place, Rep, Dealer);
        for broken in [vec!["body"], vec!["a", "b"], vec![""], vec!["a", ""]] {
            dealer.send_multipart(broken).unwrap();
        }
        dealer.send_multipart(["", "whole"]).unwrap();
        expect(&rep, &["whole"]);
        rep.send("answer").unwrap();
        expect(&dealer, &["", "answer"]);
    }),
    ("SHALL deliver the reply to the originating peer", |place| {
        let (_context, rep, reqs) = star(place, Rep, Req, 3);
        for (number, req) in reqs.iter().enumerate() {
            req.send(&number.to_le_bytes()).unwrap();
        }
        for _ in &reqs {
            let request = rep.recv().unwrap();
            rep.send(request).unwrap();
        }
        for (number, req) in reqs.iter().enumerate() {
            assert_eq!(req.recv().unwrap()[..], number.to_le_bytes());
        }
    }),
    ("SHALL discard the reply of a peer that is gone, and SHALL not block", |place| {
        let (context, rep, req) = pair(place, Rep, Req);
        rep.set(SNDTIMEO, -1).unwrap();
        req.send("question").unwrap();
        expect(&rep, &["question"]);
        req.close();
        wait_until(|| rep.wait_for_peers(1, Some(Duration::ZERO)).is_err());
        rep.send("to nobody").unwrap();
        // And it goes on with another, which does not get it.
        let next = socket(&context, Req);
        next.connect(&rep.bind(&place.endpoint()).unwrap()).unwrap();
        next.send("next").unwrap();
        expect(&rep, &["next"]);
        rep.send("answer").unwrap();
        expect(&next, &["answer"]);
    }),
    ("keeps what a peer asked that has left", |place| {
        let (_context, rep, dealer) = pair(place, Rep, Dealer);
        dealer.send_multipart(["", "question"]).unwrap();
        wait_until(|| rep.events().unwrap().intersects(oxmq::Events::IN));
        dealer.close();
        wait_until(|| rep.wait_for_peers(1, Some(Duration::ZERO)).is_err());
        expect(&rep, &["question"]);
        rep.send("to nobody").unwrap();
    }),
];

const DEALER: &[Sentence] = &[
    ("has any number of REP or ROUTER peers", |place| {
        let (context, dealer, reps) = star(place, Dealer, Rep, 1);
        let router = socket(&context, Router);
        join(place, &router, &dealer);
        dealer.wait_for_peers(2, Some(LONG)).unwrap();
        for _ in 0..2 {
            dealer.send_multipart(["", "question"]).unwrap();
        }
        expect(&reps[0], &["question"]);
        reps[0].send("answer").unwrap();
        let asked = parts(&router);
        router.send_multipart([&asked[0][..], b"", b"answer"]).unwrap();
        for _ in 0..2 {
            expect(&dealer, &["", "answer"]);
        }
    }),
    ("SHALL not filter or modify messages", |place| {
        let (_context, dealer, other) = pair(place, Dealer, Dealer);
        for (from, to) in [(&dealer, &other), (&other, &dealer)] {
            from.send_multipart(telling()).unwrap();
            assert_eq!(parts(to), telling());
        }
    }),
    ("SHALL queue each direction independently", |place| {
        queues_are_independent(place, Dealer, Router);
    }),
    ("SHALL keep the queue of a connect, connected or not", |place| {
        queue_lives_with_the_connect(place, Dealer, Dealer);
    }),
    ("SHALL destroy the queue of an accepted peer that leaves", |place| {
        queue_dies_with_an_accepted_peer(place, Dealer, Router);
    }),
    ("keeps what has arrived from a peer that left", |place| {
        what_has_arrived_stays(place, Dealer, Dealer);
    }),
    ("SHOULD limit its queues", |place| queues_have_limits(place, Dealer, Dealer)),
    ("SHALL take only peers whose queues are not full for available", |place| {
        the_full_are_passed_over(place, Dealer, Dealer);
    }),
    ("SHALL route messages round-robin", |place| round_robin(place, Dealer, Dealer)),
    ("SHALL block without peers, SHALL not accept, SHALL NOT discard", |place| {
        nothing_is_sent_to_nobody(place, Dealer, Router);
    }),
    ("SHALL NOT discard when its peers are full", |place| {
        let context = Context::new();
        let (dealer, other) = (narrow(&context, Dealer, "a"), narrow(&context, Dealer, "b"));
        join(place, &dealer, &other);
        let sent = fill(&dealer, &[&[0; 16 << 10]]);
        for _ in 0..sent {
            assert_eq!(parts(&other)[0].len(), 16 << 10);
        }
        nothing(&other);
    }),
    ("SHALL receive messages fair-queued", |place| fair_queued(place, Dealer, Dealer, &[])),
];

const ROUTER: &[Sentence] = &[
    ("has any number of REQ, DEALER or ROUTER peers", |place| {
        let context = Context::new();
        let hub = sentences::named(&context, Router, "hub");
        let mut peers = Vec::new();
        for (kind, body) in [(Req, &["", "x"][..]), (Dealer, &["x"]), (Router, &["x"])] {
            let peer = sentences::named(&context, kind, kind.name());
            join(place, &hub, &peer);
            hub.wait_for_peers(peers.len() + 1, Some(LONG)).unwrap();
            let sent: &[&str] = if kind == Router { &["hub", "x"] } else { &["x"] };
            peer.send_multipart(sent.iter().copied()).unwrap();
            let whole: Vec<&str> = [kind.name()].into_iter().chain(body.iter().copied()).collect();
            expect(&hub, &whole);
            hub.send_multipart(whole).unwrap();
            let received = parts(&peer);
            assert_eq!(received.last().unwrap(), b"x");
            peers.push(peer);
        }
    }),
    ("SHALL queue each direction independently", |place| {
        queues_are_independent(place, Router, Dealer);
    }),
    ("SHALL destroy the queue of an accepted peer that leaves", |place| {
        queue_dies_with_an_accepted_peer(place, Router, Dealer);
    }),
    ("keeps what has arrived from a peer that left", |place| {
        what_has_arrived_stays(place, Router, Dealer);
    }),
    ("SHALL identify each queue by a unique identity", |place| {
        let context = Context::new();
        let router = socket(&context, Router);
        let mut names = HashSet::new();
        let mut peers = Vec::new();
        for _ in 0..5 {
            let dealer = socket(&context, Dealer);
            join(place, &router, &dealer);
            router.wait_for_peers(peers.len() + 1, Some(LONG)).unwrap();
            dealer.send("x").unwrap();
            let received = parts(&router);
            assert!(!received[0].is_empty() && received[0].len() < 256);
            assert!(names.insert(received[0].clone()), "a name twice");
            peers.push((received[0].clone(), dealer));
        }
        for (name, dealer) in &peers {
            router.send_multipart([name, name]).unwrap();
            assert_eq!(dealer.recv().unwrap()[..], name[..]);
        }
    }),
    ("SHOULD let the peer say its identity", |place| {
        let (_context, router, _dealer) = pair(place, Router, Dealer);
        router.set(ROUTER_MANDATORY, true).unwrap();
        router.send_multipart(["second", "x"]).unwrap();
    }),
    ("SHOULD limit its queues", |place| queues_have_limits(place, Router, Dealer)),
    ("SHALL receive messages fair-queued", |place| fair_queued(place, Router, Dealer, &[])),
    ("SHALL prefix a message with its sender's identity and deliver it", |place| {
        let (_context, router, dealer) = pair(place, Router, Dealer);
        dealer.send_multipart(telling()).unwrap();
        let received = parts(&router);
        assert_eq!(received[0], b"second");
        assert_eq!(received[1..], telling());
    }),
    ("SHALL take the first frame off and route by it", |place| {
        let (_context, router, dealers) = star(place, Router, Dealer, 3);
        for number in [2, 0, 1, 1] {
            let name = number.to_string();
            let whole: Vec<Vec<u8>> = [name.into_bytes()].into_iter().chain(telling()).collect();
            router.send_multipart(whole).unwrap();
            assert_eq!(parts(&dealers[number]), telling());
        }
        dealers.iter().for_each(nothing);
    }),
    ("SHALL drop, or return an error, when there is no such queue", |place| {
        let (_context, router, dealer) = pair(place, Router, Dealer);
        router.send_multipart(["nobody", "x"]).unwrap();
        router.set(ROUTER_MANDATORY, true).unwrap();
        let error = router.send_multipart(["nobody", "x"]).unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::HostUnreachable);
        dealer.close();
        wait_until(|| router.wait_for_peers(1, Some(Duration::ZERO)).is_err());
        // One that was connected to has its queue yet.
        if place.first_binds || place.transport == "inproc" {
            let error = router.send_multipart(["second", "x"]).unwrap_err();
            assert_eq!(error.kind(), SendErrorKind::HostUnreachable);
        }
    }),
    ("SHALL keep the queue of a connect, connected or not", |place| {
        if place.first_binds || place.transport == "inproc" {
            return;
        }
        let context = Context::new();
        let router = socket(&context, Router);
        let dealer = || sentences::named(&context, Dealer, "second");
        let first = dealer();
        let endpoint = join(place, &router, &first);
        first.close();
        wait_until(|| router.wait_for_peers(1, Some(Duration::ZERO)).is_err());
        router.send_multipart(["second", "while away"]).unwrap();
        let second = dealer();
        wait_until(|| second.bind(&endpoint).is_ok());
        expect(&second, &["while away"]);
    }),
    // "SHALL NOT block on sending" and "if the queue is full" are tests/mute_state.rs's: with
    // ROUTER_MANDATORY a send waits, as the manual has it.
    ("SHALL NOT block on sending", |place| {
        let context = Context::new();
        let (router, dealer) = (narrow(&context, Router, "r"), narrow(&context, Dealer, "d"));
        join(place, &router, &dealer);
        router.set(SNDTIMEO, -1).unwrap();
        for _ in 0..100 {
            router.send_multipart([&b"d"[..], &[0; 16 << 10]]).unwrap();
        }
        assert!(router.dropped() > 0);
    }),
];
