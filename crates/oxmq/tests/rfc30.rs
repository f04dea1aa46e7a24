//! RFC 30, pipeline, and RFC 31, exclusive pair: what their sentences on PUSH, PULL and PAIR say,
//! each over every transport, on the side that binds and on the one that connects.

mod sentences;
mod support;

use oxmq::{Context, RecvError, SendErrorKind, SocketType};

use SocketType::{Pair, Pull, Push};
use sentences::{
    Sentence, expect, fair_queued, fill, hold, join, narrow, nothing, nothing_is_sent_to_nobody,
    pair, parts, queue_dies_with_an_accepted_peer, queue_lives_with_the_connect,
    queues_are_independent, queues_have_limits, round_robin, socket, star, telling,
    the_full_are_passed_over, what_has_arrived_stays,
};
use support::Place;

#[test]
fn push() {
    hold("PUSH", PUSH);
}

#[test]
fn pull() {
    hold("PULL", PULL);
}

#[test]
fn exclusive_pair() {
    hold("PAIR", PAIR);
}

const PUSH: &[Sentence] = &[
    ("has any number of PULL peers", |place| {
        let (_context, push, pulls) = star(place, Push, Pull, 5);
        (0..5).for_each(|_| push.send("x").unwrap());
        pulls.iter().for_each(|pull| expect(pull, &["x"]));
    }),
    ("SHALL only send", |place| {
        let (_context, push, _pull) = pair(place, Push, Pull);
        assert_eq!(push.recv().err(), Some(RecvError::NotSupported));
        assert_eq!(push.recv_multipart().err(), Some(RecvError::NotSupported));
    }),
    ("SHALL not filter or modify messages", not_modified),
    ("SHALL keep the queue of a connect, connected or not", |place| {
        queue_lives_with_the_connect(place, Push, Pull);
    }),
    ("SHALL destroy the queue of an accepted peer that leaves", |place| {
        queue_dies_with_an_accepted_peer(place, Push, Pull);
    }),
    ("SHOULD limit its queues", |place| queues_have_limits(place, Push, Pull)),
    ("SHALL take only peers whose queues are not full for available", |place| {
        the_full_are_passed_over(place, Push, Pull);
    }),
    ("SHALL route messages round-robin", |place| round_robin(place, Push, Pull)),
    ("SHALL block without peers, SHALL not accept, SHALL NOT discard", |place| {
        nothing_is_sent_to_nobody(place, Push, Pull);
    }),
    ("SHALL NOT discard when its peers are full", |place| nothing_is_lost(place, Push, Pull)),
];

const PULL: &[Sentence] = &[
    ("has any number of PUSH peers", |place| {
        let (_context, pull, pushes) = star(place, Pull, Push, 5);
        pushes.iter().for_each(|push| push.send("x").unwrap());
        (0..5).for_each(|_| expect(&pull, &["x"]));
    }),
    ("SHALL only receive", |place| {
        let (_context, pull, _push) = pair(place, Pull, Push);
        assert_eq!(pull.send("x").unwrap_err().kind(), SendErrorKind::NotSupported);
    }),
    ("SHALL not filter or modify messages", not_modified),
    ("SHALL keep the queue of a connect, connected or not", |place| {
        what_has_arrived_stays(Place { first_binds: true, ..place }, Pull, Push);
    }),
    ("keeps what has arrived from an accepted peer that left", |place| {
        what_has_arrived_stays(Place { first_binds: false, ..place }, Pull, Push);
    }),
    ("SHOULD limit its queues", |place| queues_have_limits(place, Push, Pull)),
    ("SHALL receive messages fair-queued and deliver them", |place| {
        fair_queued(place, Pull, Push, &[]);
    }),
];

const PAIR: &[Sentence] = &[
    ("has at most one peer", |place| {
        let (context, first, second) = pair(place, Pair, Pair);
        // Whichever side it comes from.
        for (this, endpoint) in [(&first, place.endpoint()), (&second, place.endpoint())] {
            let third = socket(&context, Pair);
            third.connect(&this.bind(&endpoint).unwrap()).unwrap();
            let _ = third.try_send("from the third");
            nothing(this);
        }
        first.send("to the second").unwrap();
        expect(&second, &["to the second"]);
        second.send("to the first").unwrap();
        expect(&first, &["to the first"]);
    }),
    ("SHALL not filter or modify messages", |place| {
        let (_context, first, second) = pair(place, Pair, Pair);
        for (from, to) in [(&first, &second), (&second, &first)] {
            from.send_multipart(telling()).unwrap();
            assert_eq!(parts(to), telling());
        }
    }),
    ("SHALL queue each direction independently", |place| {
        queues_are_independent(place, Pair, Pair);
    }),
    ("SHALL keep the queue of a connect, connected or not", |place| {
        queue_lives_with_the_connect(place, Pair, Pair);
    }),
    ("SHALL destroy the queue of an accepted peer that leaves", |place| {
        queue_dies_with_an_accepted_peer(place, Pair, Pair);
    }),
    ("keeps what has arrived from a peer that left", |place| {
        what_has_arrived_stays(place, Pair, Pair);
    }),
    ("SHOULD limit its queues", |place| queues_have_limits(place, Pair, Pair)),
    ("SHALL block without a peer, SHALL not accept, SHALL NOT discard", |place| {
        nothing_is_sent_to_nobody(place, Pair, Pair);
    }),
    (
        "SHALL take its peer for available only while its queue is not full, SHALL NOT discard",
        |place| {
            nothing_is_lost(place, Pair, Pair);
        },
    ),
    ("SHALL receive from its single peer and deliver", |place| {
        let (_context, first, second) = pair(place, Pair, Pair);
        for number in 0..100_u8 {
            first.send(&[number]).unwrap();
        }
        for number in 0..100 {
            assert_eq!(parts(&second), [[number]]);
        }
    }),
];

fn not_modified(place: Place) {
    let (_context, push, pull) = pair(place, Push, Pull);
    push.send_multipart(telling()).unwrap();
    assert_eq!(parts(&pull), telling());
}

fn nothing_is_lost(place: Place, this: SocketType, other: SocketType) {
    let context = Context::new();
    let (first, second) = (narrow(&context, this, "a"), narrow(&context, other, "b"));
    join(place, &first, &second);
    let sent = fill(&first, &[&[0; 16 << 10]]);
    for _ in 0..sent {
        assert_eq!(parts(&second)[0].len(), 16 << 10);
    }
    nothing(&second);
    first.send("on it goes").unwrap();
    expect(&second, &["on it goes"]);
}
