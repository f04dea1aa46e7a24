//! Frames after the handshake.
mod common;

use common::{Driver, Rng, Seen, message, opening, small, talk};
use oxmq_zmtp::wire::command::{Command, CommandView};
use oxmq_zmtp::{Config, Connection, Decoded, Event, Limits, SocketType};

fn ready(config: Config) -> Connection {
    let mut connection = Connection::new(config);
    connection.handle_handshake(&opening(1, "DEALER")).unwrap();
    connection.poll_transmit(&mut Vec::new());
    connection
}

fn router() -> Connection {
    ready(Config::new(SocketType::Router))
}

#[test]
fn short_frames() {
    let mut connection = router();
    let table: [(&[u8], Decoded<'_>); 8] = [
        (b"", Decoded::Incomplete),
        (b"\x00", Decoded::Incomplete),
        (b"\x01\x02A", Decoded::Incomplete),
        (b"\x02\0\0\0\0\0\0\0", Decoded::Incomplete),
        (b"\x00\x00", Decoded::Message { more: false, body: b"", consumed: 2 }),
        (b"\x01\x01AB", Decoded::Message { more: true, body: b"A", consumed: 3 }),
        // The long form for a short body is wasteful and legal.
        (b"\x02\0\0\0\0\0\0\0\x01AB", Decoded::Message { more: false, body: b"A", consumed: 10 }),
        (b"\x03\0\0\0\0\0\0\0\x00", Decoded::Message { more: true, body: b"", consumed: 9 }),
    ];
    for (input, decoded) in table {
        assert_eq!(connection.decode(input), Ok(decoded), "{}", input.escape_ascii());
    }
}

#[test]
fn bodies_lie_within_the_input() {
    let mut connection = router();
    for length in [0, 1, 255, 256, 8192, 8193, 100_000] {
        let stream = message(false, &vec![7; length]);
        let Ok(Decoded::Message { body, consumed, .. }) = connection.decode(&stream) else {
            panic!("a complete frame is a message")
        };
        assert_eq!(consumed, stream.len());
        assert_eq!(body.as_ptr(), stream[consumed - length..].as_ptr());
    }
}

#[test]
fn a_frame_is_large_when_its_body_is_beyond_the_inline_limit_and_not_here() {
    let limits = Limits { inline_bytes_max: 300, ..Limits::default() };
    let mut connection = ready(Config { limits, ..Config::new(SocketType::Router) });
    let inline = message(true, &[7; 300]);
    assert_eq!(connection.decode(&inline[..308]), Ok(Decoded::Incomplete));
    let large = message(true, &[7; 301]);
    for available in 9..large.len() {
        assert_eq!(
            connection.decode(&large[..available]),
            Ok(Decoded::Large { more: true, header_bytes: 9, body_bytes: 301 })
        );
    }
    assert!(matches!(connection.decode(&large), Ok(Decoded::Message { consumed: 310, .. })));

    let mut command = Vec::new();
    Command::Subscribe { prefix: &[b'p'; 291] }.emit(&mut command);
    assert_eq!(
        connection.decode(&command[..309]),
        Ok(Decoded::LargeCommand { header_bytes: 9, body_bytes: 301 })
    );
    assert_eq!(connection.handle_command(&command[9..]), Ok(Event::Subscribe(vec![b'p'; 291])));
}

#[test]
fn a_huge_length_within_the_grammar_is_only_a_number() {
    let mut connection = router();
    assert_eq!(
        connection.decode(b"\x02\x7F\xFF\xFF\xFF\xFF\xFF\xFF\xFF"),
        Ok(Decoded::Large { more: false, header_bytes: 9, body_bytes: (1 << 63) - 1 })
    );
}

#[test]
fn commands_become_events() {
    let mut connection = router();
    let table: [(Command<'_>, Event); 8] = [
        (Command::Subscribe { prefix: b"A" }, Event::Subscribe(b"A".to_vec())),
        (Command::Cancel { prefix: b"" }, Event::Cancel(Vec::new())),
        (Command::Ping { ttl_ds: 7, context: b"c" }, Event::Ping { ttl_ds: 7 }),
        (Command::Pong { context: b"c" }, Event::Pong(b"c".to_vec())),
        (Command::Error { reason: b"r" }, Event::Error(b"r".to_vec())),
        (Command::Ready { metadata: b"" }, Event::Unknown(b"READY".to_vec())),
        (
            Command::Other(CommandView { name: b"JOIN", data: b"g" }),
            Event::Unknown(b"JOIN".to_vec()),
        ),
        (Command::Other(CommandView { name: &[0; 255], data: b"" }), Event::Unknown(vec![0; 255])),
    ];
    for (command, event) in table {
        let mut wire = Vec::new();
        command.emit(&mut wire);
        let consumed = wire.len();
        wire.push(0);
        assert_eq!(connection.decode(&wire), Ok(Decoded::Command { event, consumed }));
    }
    let mut out = Vec::new();
    assert!(connection.poll_transmit(&mut out));
    assert_eq!(out, b"\x04\x06\x04PONGc");
}

/// A caller that sends them in time answers every PING; one that cannot keeps a bounded number, the
/// oldest.
#[test]
fn pongs_that_wait_are_bounded() {
    let driver = Driver::fed(&Config::new(SocketType::Pull), [opening(1, "PUSH").as_slice()]);
    let mut connection = driver.connection;
    assert!(!connection.has_pending() && !connection.has_pongs_enough());
    let ping = |context: u16| {
        let mut wire = Vec::new();
        Command::Ping { ttl_ds: 0, context: &context.to_be_bytes() }.emit(&mut wire);
        wire
    };
    let pongs = |count: u16| {
        let mut wire = Vec::new();
        for context in 0..count {
            Command::Pong { context: &context.to_be_bytes() }.emit(&mut wire);
        }
        wire
    };
    let mut out = Vec::new();
    for context in 0..1000 {
        connection.decode(&ping(context)).unwrap();
        assert!(connection.has_pending());
    }
    assert!(connection.has_pongs_enough());
    connection.poll_transmit(&mut out);
    assert!((1024..1050).contains(&out.len()), "{}", out.len());
    assert_eq!(out, pongs((out.len() / 9) as u16));
    assert!(!connection.has_pending());
    out.clear();
    for context in 0..1000 {
        connection.decode(&ping(context)).unwrap();
        if connection.has_pongs_enough() {
            connection.poll_transmit(&mut out);
        }
    }
    connection.poll_transmit(&mut out);
    assert_eq!(out, pongs(1000));
}

#[test]
fn a_command_may_stand_between_the_parts_of_a_message() {
    let stream = [&b"\x01\x01A"[..], b"\x04\x07\x04PING\0\0", b"\x00\x01B"].concat();
    let mut driver = Driver::fed(&Config::new(SocketType::Router), [opening(1, "REQ").as_slice()]);
    driver.feed(&stream);
    assert_eq!(
        driver.seen[1..],
        [
            Seen::Message { more: true, body: b"A".to_vec() },
            Seen::Command(Event::Ping { ttl_ds: 0 }),
            Seen::Message { more: false, body: b"B".to_vec() },
        ]
    );
    assert!(driver.sent.ends_with(b"\x04\x05\x04PONG"));
}

#[test]
fn unanswered_pings_are_bounded() {
    let mut connection = router();
    for _ in 0..100_000 {
        connection.decode(b"\x04\x17\x04PING\0\x001234567890123456").unwrap();
    }
    let mut out = Vec::new();
    assert!(connection.poll_transmit(&mut out));
    assert!(out.len() < 1024 + 23, "{}", out.len());
    assert!(!connection.poll_transmit(&mut out));
}

#[test]
fn pings_are_answered_with_their_context() {
    let mut left = Driver::new(Config::new(SocketType::Dealer));
    let mut right = Driver::new(Config::new(SocketType::Router));
    talk(&mut left, &mut right);
    let mut ping = Vec::new();
    assert!(left.connection.ping(300, b"are you there? I wonder", &mut ping));
    let already_sent = right.sent.len();
    right.feed(&ping);
    assert_eq!(right.seen.last(), Some(&Seen::Command(Event::Ping { ttl_ds: 300 })));
    let pong = right.sent[already_sent..].to_vec();
    left.feed(&pong);
    assert_eq!(left.seen.last(), Some(&Seen::Command(Event::Pong(b"are you there? I".to_vec()))));
}

#[test]
fn limits_are_met_exactly() {
    for (length, accepted) in [(1000, true), (1001, false)] {
        let mut connection = ready(small(SocketType::Router));
        assert_eq!(connection.decode(&message(false, &vec![0; length])).is_ok(), accepted);
    }
    for message_bytes_max in [0, 1, 254, 255] {
        for length in [0, 1, 2, 254, 255, 256] {
            let limits = Limits { message_bytes_max: Some(message_bytes_max), ..Limits::default() };
            let mut connection = ready(Config { limits, ..Config::new(SocketType::Router) });
            let accepted = length as u64 <= message_bytes_max;
            let decoded = connection.decode(&message(false, &vec![0; length])).is_ok();
            assert_eq!(decoded, accepted, "{length} of {message_bytes_max}");
        }
    }
}

/// Messages of any shape from one connection to the other arrive as they were sent.
#[test]
fn whatever_is_sent_arrives() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut receiver = Driver::new(Config::new(SocketType::Router));
        let mut sender = Driver::new(Config::new(SocketType::Dealer));
        talk(&mut sender, &mut receiver);
        let mut stream = Vec::new();
        let mut expected = Vec::new();
        for _ in 0..rng.below(30) {
            let length = [rng.below(4), rng.below(260), rng.below(20_000)][rng.below(3)];
            let more = rng.below(2) == 1;
            let body = rng.bytes(length);
            sender.connection.seal(more, &body, &mut stream);
            expected.push(Seen::Message { more, body });
        }
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + rng.below(rest.len().min(9000)));
            receiver.feed(piece);
            rest = after;
        }
        assert_eq!(receiver.seen[1..], expected, "seed {seed}");
    }
}
