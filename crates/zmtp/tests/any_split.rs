//! However a stream is cut into pieces, it means the same.
mod common;

use common::{Driver, Rng, Seen, message, message_v1, opening, opening_old, small};
use oxmq_zmtp::wire::command::{Command, CommandView};
use oxmq_zmtp::{Config, SocketType};

/// A stream with every kind of frame, short, long, beyond the inline limit of [`small`].
fn recorded() -> Vec<u8> {
    let mut stream = opening(1, "DEALER");
    stream.extend(message(false, b""));
    stream.extend(message(true, b"sixteen bytes !!"));
    stream.extend(message(false, &[1; 255]));
    stream.extend(message(true, &[2; 256]));
    Command::Ping { ttl_ds: 9, context: b"context" }.emit(&mut stream);
    stream.extend(message(false, &[3; 300]));
    stream.extend(message(false, &[4; 301]));
    stream.extend(b"\x03\0\0\0\0\0\0\0\x03abc");
    Command::Subscribe { prefix: &[5; 500] }.emit(&mut stream);
    Command::Cancel { prefix: b"" }.emit(&mut stream);
    Command::Other(CommandView { name: b"FUTURE", data: &[6; 400] }).emit(&mut stream);
    stream.extend(message(false, &[7; 1000]));
    Command::Pong { context: b"" }.emit(&mut stream);
    stream
}

/// The same for peers before ZMTP 3.0, one stream a version.
fn recorded_old() -> [Vec<u8>; 3] {
    let sizes = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 252, 253, 254, 255, 256, 300, 301, 1000];
    let parts = |frame: fn(bool, &[u8]) -> Vec<u8>| -> Vec<u8> {
        let parts = sizes.iter().enumerate();
        parts.flat_map(|(at, &size)| frame(at % 3 == 1, &vec![at as u8; size])).collect()
    };
    let (v1, v2) = (parts(message_v1), parts(message));
    let identity = [b'i'; 40];
    [
        [message_v1(false, &identity), b"\xFF\0\0\0\0\0\0\0\x02\x01x".to_vec(), v1.clone()]
            .concat(),
        [opening_old(0, SocketType::Dealer, b"me"), b"\x01\0".to_vec(), v1].concat(),
        [opening_old(1, SocketType::Dealer, &identity), b"\x02\0\0\0\0\0\0\0\x01x".to_vec(), v2]
            .concat(),
    ]
}

fn assert_same<'a>(stream: &'a [u8], pieces: impl IntoIterator<Item = &'a [u8]>, what: &str) {
    let config = small(SocketType::Router);
    let whole = Driver::fed(&config, [stream]);
    let split = Driver::fed(&config, pieces);
    assert_eq!(split.seen, whole.seen, "{what}");
    assert_eq!(split.sent, whole.sent, "{what}");
}

#[test]
fn the_recorded_stream_means_what_it_should() {
    let driver = Driver::fed(&small(SocketType::Router), [recorded().as_slice()]);
    assert!(matches!(driver.seen[0], Seen::Ready(_)));
    assert_eq!(driver.seen.len(), 14);
    assert_eq!(driver.failure(), None);
}

#[test]
fn the_recorded_streams_of_old_peers_mean_what_they_should() {
    for (stream, (major, identity)) in recorded_old().iter().zip([(1, 40), (1, 2), (2, 40)]) {
        let driver = Driver::fed(&small(SocketType::Router), [stream.as_slice()]);
        let Seen::Ready(peer) = &driver.seen[0] else { panic!("{:?}", driver.seen) };
        assert_eq!((peer.version.major, peer.identity.len()), (major, identity));
        assert_eq!(driver.seen.len(), 20);
        let Seen::Message { more: false, body } = &driver.seen[19] else {
            panic!("{:?}", driver.seen)
        };
        assert_eq!(*body, [17; 1000]);
        assert_eq!(driver.failure(), None);
    }
}

fn all_recorded() -> Vec<Vec<u8>> {
    recorded_old().into_iter().chain([recorded()]).collect()
}

#[test]
fn cut_in_two_anywhere() {
    for stream in all_recorded() {
        for cut in 0..=stream.len() {
            let (left, right) = stream.split_at(cut);
            assert_same(&stream, [left, right], &format!("cut at {cut}"));
        }
    }
}

#[test]
fn in_pieces_of_one_size() {
    for stream in all_recorded() {
        for size in 1..=stream.len() {
            assert_same(&stream, stream.chunks(size), &format!("pieces of {size}"));
        }
    }
}

#[test]
fn every_prefix_is_a_prefix_of_the_events() {
    for stream in all_recorded() {
        let whole = Driver::fed(&small(SocketType::Router), [stream.as_slice()]);
        for length in 0..stream.len() {
            let driver = Driver::fed(&small(SocketType::Router), [&stream[..length]]);
            assert!(whole.seen.starts_with(&driver.seen), "{length}");
            assert!(driver.seen.len() < whole.seen.len(), "{length}");
        }
    }
}

/// Damaged streams, too: the same events and the same error, wherever the pieces end.
#[test]
fn damaged_and_cut_at_random() {
    let recorded = all_recorded();
    let mut failed = 0;
    for seed in 0..6000 {
        let mut rng = Rng::new(seed);
        let mut stream = recorded[seed as usize % recorded.len()].clone();
        for _ in 0..1 + rng.below(3) {
            // Mostly in the first 150 bytes, where the structure is densest.
            let end = if rng.below(3) == 0 { stream.len() } else { 150 };
            let index = rng.below(end);
            stream[index] = [0, 1, 2, 4, 6, 0xFF, rng.below(256) as u8][rng.below(7)];
        }
        let mut pieces = Vec::new();
        let mut rest = stream.as_slice();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + rng.below(rest.len().min(400)));
            pieces.push(piece);
            rest = after;
        }
        assert_same(&stream, pieces, &format!("seed {seed}"));
        failed +=
            usize::from(Driver::fed(&small(SocketType::Router), [&*stream]).failure().is_some());
    }
    assert!(failed > 1400, "the damage is real: {failed}");
}

/// Noise never makes anything panic, and is refused within the first frame after the handshake.
#[test]
fn noise() {
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        let noise = rng.bytes(200);
        Driver::fed(&Config::new(SocketType::Pull), [noise.as_slice()]);
        let stream = [opening(1, "PUSH"), noise].concat();
        assert_same(&stream, [stream.as_slice()], "noise");
        Driver::fed(&Config::new(SocketType::Pull), stream.chunks(7));
    }
}
