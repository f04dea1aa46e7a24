//! The properties that the fuzz targets assert, one function per target; each panics when its
//! property does not hold. How to run them: `README.md`.

#[allow(missing_docs, reason = "it documents itself where it belongs, with the crate's tests")]
#[path = "../../crates/zmtp/tests/common/mod.rs"]
mod common;
mod secured;

pub use secured::security;

use common::{Driver, Rng, message_v1, opening, opening_old, small};
use oxmq_zmtp::wire::command::{Command, CommandView, legacy_subscription};
use oxmq_zmtp::wire::frame::{self, HEADER_BYTES_MAX};
use oxmq_zmtp::wire::frame_v1::{self, FrameLength};
use oxmq_zmtp::wire::greeting::{Era, GREETING_BYTES, Greeting};
use oxmq_zmtp::wire::metadata::{Metadata, Property};
use oxmq_zmtp::{Config, SocketType};

/// Endpoints: what was parsed is written so that it is parsed as the same again, and what was
/// refused says so.
pub fn endpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match text.parse::<oxmq::Endpoint>() {
        Ok(endpoint) => {
            let written = endpoint.to_string();
            assert_eq!(written.parse(), Ok(endpoint), "{text:?} was written {written:?}");
        }
        Err(error) => {
            assert_eq!(error.endpoint(), text);
            assert!(!error.to_string().is_empty());
        }
    }
}

/// Greetings: what was parsed is emitted again, and an era once decided stays decided.
pub fn greeting(data: &[u8]) {
    let mut decided = None;
    for length in 0..=data.len().min(GREETING_BYTES) {
        let era = Era::detect(&data[..length]);
        match decided {
            Some(decided) => assert_eq!(era, decided),
            None if matches!(era, Era::Unversioned | Era::Revision(_)) => decided = Some(era),
            None => {}
        }
    }

    let Some(octets) = data.first_chunk() else { return };
    let Some(greeting) = Greeting::parse(octets) else {
        assert!(!matches!(decided, Some(Era::Revision(3..))));
        return;
    };
    let emitted = greeting.emit();
    assert_eq!(Greeting::parse(&emitted), Some(greeting));
    let _ = greeting.to_string();

    // Only these octets are allowed to be read more generously than they are written.
    let mut expected = *octets;
    expected[9] = 0x7F;
    expected[32] = u8::from(octets[32] != 0);
    expected[33..].fill(0);
    assert_eq!(emitted, expected);
}

/// Frame headers: what was parsed is emitted again, and no prefix of a header is one.
pub fn frames(data: &[u8]) {
    frames_v2(data);
    frames_v1(data);
}

fn frames_v1(mut data: &[u8]) {
    while let Ok(Some(length)) = FrameLength::parse(data) {
        assert!(length.length_bytes <= data.len());
        assert_eq!(FrameLength::parse(&data[..length.length_bytes - 1]), Ok(None));
        let _ = length.to_string();
        if let Ok(body_bytes) = usize::try_from(length.body_bytes) {
            let mut out = [0; frame_v1::HEADER_BYTES_MAX];
            let written = frame_v1::write_header(true, body_bytes, &mut out);
            let shortest = FrameLength::parse(&out[..written]);
            let shortest = shortest.expect("what was written is legal").expect("and complete");
            assert_eq!(shortest.body_bytes, length.body_bytes);
            assert_eq!((shortest.header_bytes(), out[written - 1]), (written, frame::MORE));
            assert!(shortest.length_bytes <= length.length_bytes);
        }
        match length.frame_bytes().and_then(|frame_bytes| data.get(frame_bytes..)) {
            Some(rest) => data = rest,
            None => break,
        }
    }
}

fn frames_v2(mut data: &[u8]) {
    while let Some(header) = frame::parse_header(data) {
        assert!(header.header_bytes <= data.len());
        let mut out = [0; HEADER_BYTES_MAX];
        assert_eq!(header.emit(&mut out), header.header_bytes);
        assert_eq!(out[..header.header_bytes], data[..header.header_bytes]);
        assert_eq!(frame::parse_header(&data[..header.header_bytes - 1]), None);
        let _ = header.to_string();

        if header.check().is_ok() {
            assert!(!(header.is_command() && header.more()));
            if let (false, Ok(body_bytes)) =
                (header.is_command(), usize::try_from(header.body_bytes))
            {
                let written = frame::write_header(header.more(), body_bytes, &mut out);
                let shortest = frame::parse_header(&out[..written]);
                let shortest = shortest.expect("what was written is complete");
                assert_eq!(shortest.body_bytes, header.body_bytes);
                assert_eq!(shortest.more(), header.more());
                assert!(shortest.header_bytes <= header.header_bytes);
            }
        }
        match header.frame_bytes().and_then(|frame_bytes| data.get(frame_bytes..)) {
            Some(rest) => data = rest,
            None => break,
        }
    }
}

/// Bodies of commands and metadata: what was parsed is emitted, and parsed to the same again.
pub fn commands(data: &[u8]) {
    if let Ok(view) = CommandView::parse(data) {
        assert_eq!(1 + view.name.len() + view.data.len(), data.len());
        assert_eq!(emitted_body(|out| view.emit(out)), data);
    }
    if let Ok(command) = Command::parse(data) {
        let body = emitted_body(|out| command.emit(out));
        let again = Command::parse(&body).expect("what was emitted is well-formed");
        match (command, again) {
            // A PONG is read with a context of any length and sent with 16 octets.
            (Command::Pong { context }, Command::Pong { context: cut }) => {
                assert_eq!(cut, &context[..context.len().min(16)]);
            }
            _ => assert_eq!(again, command),
        }
        let _ = command.to_string();
        if let Command::Ready { metadata: bytes } = command {
            metadata(bytes);
        }
    }
    metadata(data);

    if let Some((subscribe, prefix)) = legacy_subscription(data) {
        assert_eq!([&[u8::from(subscribe)], prefix].concat(), data);
    }
}

/// A connection: however its input is cut into pieces, a caller sees the same and sends the same.
///
/// The first three octets choose the socket and the cuts, the others are what the peer sends.
pub fn connection(data: &[u8]) {
    let [socket_type, choices, seed, stream @ ..] = data else { return };
    let socket_type = SocketType::ALL[usize::from(*socket_type) % SocketType::ALL.len()];
    let config = if choices & 1 == 0 { small(socket_type) } else { Config::new(socket_type) };
    let minor = choices >> 1 & 1;
    let peer = SocketType::ALL.into_iter().find(|peer| socket_type.compatible_with(*peer));
    let stream = match peer {
        // Most streams should get past the handshake.
        Some(peer) if choices & 4 == 0 => {
            let opening = match choices >> 3 & 3 {
                0 => opening(minor, peer.name()),
                1 => message_v1(false, b"identity"),
                2 => opening_old(0, peer, b"identity"),
                _ => opening_old(1, peer, b""),
            };
            [&opening[..], stream].concat()
        }
        _ => stream.to_vec(),
    };

    in_any_pieces(|| Driver::new(config.clone()), *seed, &stream);
}

/// What an end sees and sends is the same however its input is cut into pieces; the answer is that
/// end.
fn in_any_pieces(end: impl Fn() -> Driver, seed: u8, stream: &[u8]) -> Driver {
    let mut whole = end();
    whole.feed(stream);
    let mut rng = Rng::new(u64::from(seed));
    let longest = [1, 7, 64, 700][rng.below(4)];
    let mut split = end();
    let mut rest = stream;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + rng.below(longest)).min(rest.len()));
        split.feed(piece);
        rest = after;
    }
    assert_eq!(split.seen, whole.seen);
    assert_eq!(split.sent, whole.sent);
    if let Some(error) = whole.failure() {
        let _ = error.to_string();
    }
    whole
}

fn metadata(bytes: &[u8]) {
    if let Ok((property, rest)) = Property::parse(bytes) {
        let mut out = Vec::new();
        assert!(property.emit(&mut out));
        assert_eq!([&out[..], rest].concat(), bytes);
    }
    if let Ok(metadata) = Metadata::parse(bytes, bytes.len()) {
        let mut out = Vec::new();
        metadata.emit(&mut out);
        assert_eq!(out, bytes);
        let _ = metadata.to_string();
        for (name, value) in metadata.clone().into_properties() {
            assert_eq!(metadata.get(&name.to_ascii_uppercase()), Some(value.as_slice()));
        }
    }
}

fn emitted_body(emit: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut wire = Vec::new();
    emit(&mut wire);
    let header = frame::parse_header(&wire).expect("what was emitted is complete");
    assert!(header.check().is_ok() && header.is_command());
    assert_eq!(header.frame_bytes(), Some(wire.len()));
    wire.split_off(header.header_bytes)
}
