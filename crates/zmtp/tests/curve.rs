//! CURVE: handshakes and traffic, and what must not get through.
mod common;

use std::sync::LazyLock;

use common::{Driver, Rng, Seen, frames, opening, opening_old, small, talk, talk_on};
use oxmq_zmtp::mechanism::{
    CurveClient, CurveClientKeys, CurveServer, Null, PlainServer, curve_public_key,
};
use oxmq_zmtp::{
    Config, Connection, Decoded, Event, Limits, Mechanism, MechanismName, Opened, ProtocolError,
    SocketType, Version,
};

const SERVER: [u8; 32] = [0x51; 32];
const CLIENT: [u8; 32] = [0xC1; 32];

/// Bytes between the header and the body of a MESSAGE.
const OVERHEAD: usize = 33;

fn fill(seed: u64) -> impl FnMut(&mut [u8]) {
    let mut rng = Rng::new(seed);
    move |bytes: &mut [u8]| bytes.copy_from_slice(&rng.bytes(bytes.len()))
}

fn keys() -> CurveClientKeys {
    CurveClientKeys {
        server_public: curve_public_key(&SERVER),
        public: curve_public_key(&CLIENT),
        secret: CLIENT,
    }
}

fn client_config() -> Config {
    Config { identity: b"me".to_vec(), ..small(SocketType::Dealer) }
}

fn server_config() -> Config {
    Config { as_server: true, ..small(SocketType::Router) }
}

/// A seed makes an end the same each time.
fn client(seed: u64) -> Driver {
    Driver::with(client_config(), CurveClient::new(keys(), &mut fill(seed)))
}

fn server(seed: u64) -> Driver {
    Driver::with(server_config(), CurveServer::new(&SERVER, true, &mut fill(seed)))
}

fn pair() -> (Driver, Driver) {
    let (mut client, mut server) = (client(1), server(2));
    talk(&mut client, &mut server);
    (client, server)
}

/// A whole conversation: what the ends of [`pair`] have sent, with traffic of every kind behind the
/// handshake, and what each has seen of the other.
struct Recorded {
    from_client: Vec<u8>,
    from_server: Vec<u8>,
    seen_by_client: Vec<Seen>,
    seen_by_server: Vec<Seen>,
}

static RECORDED: LazyLock<Recorded> = LazyLock::new(|| {
    let (mut client, mut server) = pair();
    let arrived = (client.sent.len(), server.sent.len());
    for end in [&mut client, &mut server] {
        for length in [0, 1, 16, 222, 223, 267, 268, 300, 967] {
            end.connection.seal(length % 2 == 1, &vec![length as u8; length], &mut end.sent);
        }
        end.connection.ping(9, b"context", &mut end.sent);
        end.connection.seal(false, b"last", &mut end.sent);
    }
    talk_on(&mut client, &mut server, arrived);
    Recorded {
        from_client: client.sent,
        from_server: server.sent,
        seen_by_client: client.seen,
        seen_by_server: server.seen,
    }
});

/// Opens the one frame in `wire`.
fn receive(connection: &mut Connection, wire: &[u8]) -> Result<(Opened, Vec<u8>), ProtocolError> {
    let Decoded::Sealed { body, consumed } = connection.decode(wire)? else {
        panic!("every frame is sealed")
    };
    assert_eq!(consumed, wire.len());
    let mut out = b"kept ".to_vec();
    let opened = connection.open(body, &mut out);
    if opened.is_err() {
        assert_eq!(out, b"kept ");
    }
    Ok((opened?, out))
}

fn sealed(connection: &mut Connection, body: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    connection.seal(false, body, &mut wire);
    wire
}

fn contains(stream: &[u8], what: &[u8]) -> bool {
    stream.windows(what.len()).any(|window| window == what)
}

#[test]
fn both_become_ready_and_learn_what_the_other_is() {
    let (client, server) = pair();
    assert_eq!(server.seen[0], Seen::Asked(vec![curve_public_key(&CLIENT).to_vec()]));
    let [_, Seen::Ready(seen_by_server)] = &server.seen[..] else { panic!("{:?}", server.seen) };
    let [Seen::Ready(seen_by_client)] = &client.seen[..] else { panic!("{:?}", client.seen) };
    assert_eq!(seen_by_server.socket_type, Some(SocketType::Dealer));
    assert_eq!(seen_by_server.identity, b"me");
    assert_eq!(seen_by_client.socket_type, Some(SocketType::Router));
    assert!(seen_by_client.as_server && !seen_by_server.as_server);
    assert!(client.connection.seals() && server.connection.seals());
    assert_eq!(client.connection.mechanism(), Some(MechanismName::CURVE));
}

#[test]
fn commands_have_the_lengths_of_the_rfc_and_show_nothing() {
    let (client, server) = pair();
    // "Socket-Type", "DEALER", "Identity", "me" with their lengths; then "ROUTER" and "".
    let (of_client, of_server) = (22 + 15, 22 + 13);
    let lengths = |stream| frames(stream).iter().map(|(_, body)| body.len()).collect::<Vec<_>>();
    assert_eq!(lengths(&client.sent), [200, 257 + of_client]);
    assert_eq!(lengths(&server.sent), [168, 30 + of_server]);
    for stream in [&client.sent, &server.sent] {
        assert!(frames(stream).iter().all(|(flags, _)| *flags == 4));
        let (server, client) = (curve_public_key(&SERVER), curve_public_key(&CLIENT));
        for secret in
            [&b"Socket-Type"[..], b"DEALER", b"ROUTER", &SERVER, &CLIENT, &server, &client]
        {
            assert!(!contains(stream, secret));
        }
    }
}

#[test]
fn in_pieces_of_one_size() {
    let Recorded { from_client, from_server, seen_by_client, seen_by_server } = &*RECORDED;
    assert_eq!((seen_by_client.len(), seen_by_server.len()), (1 + 12, 2 + 12));
    for size in (1..80).chain([250, 300, 333, 1000, 2000]) {
        let (mut client, mut server) = (client(1), server(2));
        from_server.chunks(size).for_each(|piece| client.feed(piece));
        from_client.chunks(size).for_each(|piece| server.feed(piece));
        assert_eq!(&client.seen, seen_by_client, "{size}");
        assert_eq!(&server.seen, seen_by_server, "{size}");
    }
}

#[test]
fn cut_in_two_anywhere() {
    let Recorded { from_client, seen_by_server, .. } = &*RECORDED;
    for cut in (0..700).chain((700..from_client.len()).step_by(7)) {
        let mut server = server(2);
        server.feed(&from_client[..cut]);
        assert!(seen_by_server.starts_with(&server.seen));
        server.feed(&from_client[cut..]);
        assert_eq!(&server.seen, seen_by_server, "{cut}");
    }
}

#[test]
fn messages_and_commands_travel_sealed() {
    let (client, server) = pair();
    let (mut client, mut server) = (client.connection, server.connection);
    let wire = sealed(&mut client, b"attack at dawn");
    assert_eq!(wire.len(), 2 + OVERHEAD + 14);
    assert!(wire.starts_with(b"\0\x2F\x07MESSAGE\0\0\0\0\0\0\0\x03"));
    assert!(!contains(&wire, b"attack") && !contains(&wire, b"dawn"));
    let message = Opened::Message { more: false };
    assert_eq!(receive(&mut server, &wire), Ok((message, b"kept attack at dawn".to_vec())));
    // The same again looks different.
    let again = sealed(&mut client, b"attack at dawn");
    assert!(wire.iter().zip(&again).filter(|(left, right)| left == right).count() < 2 + 18 + 8);

    let mut wire = Vec::new();
    client.seal(true, b"", &mut wire);
    let part = (Opened::Message { more: true }, b"kept ".to_vec());
    assert_eq!(receive(&mut server, &wire), Ok(part));
    // Commands, too, and in the frame of a message; a peer that flags it is understood.
    for flags in [0, 4] {
        wire.clear();
        client.ping(3, b"c", &mut wire);
        assert_eq!(wire[0], 0);
        wire[0] = flags;
        let ping = Opened::Command(Event::Ping { ttl_ds: 3 });
        assert_eq!(receive(&mut server, &wire), Ok((ping, b"kept ".to_vec())));
        wire.clear();
        assert!(server.poll_transmit(&mut wire));
        let pong = Opened::Command(Event::Pong(b"c".to_vec()));
        assert_eq!(receive(&mut client, &wire), Ok((pong, b"kept ".to_vec())));
    }
}

#[test]
fn limits_are_those_of_the_message_inside() {
    let (client, server) = pair();
    let (mut client, mut server) = (client.connection, server.connection);
    let message = Opened::Message { more: false };
    let longest = receive(&mut server, &sealed(&mut client, &[1; 1000])).unwrap();
    assert_eq!((longest.0, longest.1.len()), (message, 1005));
    let wire = sealed(&mut client, &[1; 1001]);
    let too_long = ProtocolError::MessageTooLong { length_bytes: 1001, limit_bytes: 1000 };
    assert_eq!(receive(&mut server, &wire), Err(too_long.clone()));

    // Seen from the header.
    let (mut server, mut client) = (pair().1.connection, pair().0.connection);
    let wire = sealed(&mut client, &[1; 1001]);
    assert_eq!(server.decode(&wire[..9]), Err(too_long));
}

/// Whether it is a command is only seen inside.
#[test]
fn a_command_may_be_longer_than_a_message() {
    let pair = || {
        let end = |socket_type, mechanism| {
            let mut config = small(socket_type);
            config.limits.message_bytes_max = Some(100);
            Connection::with_mechanism(config, mechanism)
        };
        let mut client =
            end(SocketType::XSub, Box::new(CurveClient::new(keys(), &mut fill(1))) as Box<_>);
        let mut server =
            end(SocketType::XPub, Box::new(CurveServer::new(&SERVER, false, &mut fill(2))));
        while !(client.is_ready() && server.is_ready()) {
            let mut bytes = Vec::new();
            client.poll_transmit(&mut bytes);
            server.handle_handshake(&bytes).unwrap();
            bytes.clear();
            server.poll_transmit(&mut bytes);
            client.handle_handshake(&bytes).unwrap();
        }
        (client, server)
    };
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    assert!(client.subscribe(&[b't'; 590], &mut wire));
    let subscribed = Opened::Command(Event::Subscribe(vec![b't'; 590]));
    assert_eq!(receive(&mut server, &wire), Ok((subscribed, b"kept ".to_vec())));
    assert!(receive(&mut server, &sealed(&mut client, &[1; 100])).is_ok());
    let wire = sealed(&mut client, &[1; 101]);
    let too_long = |length_bytes| ProtocolError::MessageTooLong { length_bytes, limit_bytes: 100 };
    assert_eq!(receive(&mut server, &wire), Err(too_long(101)));

    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    assert!(client.subscribe(&[b't'; 591], &mut wire));
    assert_eq!(server.decode(&wire[..9]), Err(too_long(601)));
}

#[test]
fn a_replayed_message_is_refused() {
    for (replayed, last) in [(0, 0), (0, 2), (1, 2)] {
        let (client, server) = pair();
        let (mut client, mut server) = (client.connection, server.connection);
        let wires = [b"a", b"b", b"c"].map(|body| sealed(&mut client, body));
        for wire in &wires[..=last] {
            receive(&mut server, wire).unwrap();
        }
        let error = ProtocolError::Replayed { counter: 3 + replayed as u64, last: 3 + last as u64 };
        assert_eq!(receive(&mut server, &wires[replayed]), Err(error.clone()));
        assert_eq!(server.failure(), Some(&error));
    }
    // In the other direction, and one that comes back to its sender.
    let (mut client, mut server) = pair();
    let wire = sealed(&mut server.connection, b"x");
    receive(&mut client.connection, &wire).unwrap();
    let error = ProtocolError::Replayed { counter: 2, last: 2 };
    assert_eq!(receive(&mut client.connection, &wire), Err(error));
    let (mut client, _) = pair();
    let wire = sealed(&mut client.connection, b"x");
    assert_eq!(receive(&mut client.connection, &wire), Err(ProtocolError::Unauthentic));
}

#[test]
fn traffic_of_another_connection_is_refused() {
    let (_, mut server_here) = pair();
    let (mut client_there, mut server_there) = (client(3), server(4));
    talk(&mut client_there, &mut server_there);
    let wire = sealed(&mut client_there.connection, b"x");
    assert_eq!(receive(&mut server_here.connection, &wire), Err(ProtocolError::Unauthentic));
}

#[test]
fn changed_traffic_is_refused() {
    let (mut client, _) = pair();
    let wire = sealed(&mut client.connection, b"hello");
    for at in 2..wire.len() {
        let (_, mut server) = pair();
        let mut changed = wire.clone();
        changed[at] ^= 0x10;
        let error = receive(&mut server.connection, &changed).unwrap_err();
        let expected = match at {
            2..10 => matches!(error, ProtocolError::UnexpectedCommand { .. }),
            _ => error == ProtocolError::Unauthentic,
        };
        assert!(expected, "{at}: {error}");
    }
    for wire in [&b"\0\x05hello"[..], b"\0\0", b"\0\x08\x07MESSAGE", b"\x04\x0A\x09SUBSCRIBE"] {
        let (_, mut server) = pair();
        assert!(receive(&mut server.connection, wire).is_err());
        assert!(server.connection.failure().is_some());
    }
}

/// Handshake commands have no place in traffic.
#[test]
fn a_second_handshake_is_refused() {
    let Recorded { from_client, .. } = &*RECORDED;
    let (_, mut server) = pair();
    server.feed(&from_client[64..64 + 2 + 200]);
    let unexpected =
        ProtocolError::UnexpectedCommand { name: b"HELLO".to_vec(), expected: "MESSAGE" };
    assert_eq!(server.failure(), Some(&unexpected));
}

#[test]
fn the_server_decides_on_the_key_before_it_says_ready() {
    let Recorded { from_client, .. } = &*RECORDED;
    let connection = |authenticates| {
        let server = CurveServer::new(&SERVER, authenticates, &mut fill(2));
        Connection::with_mechanism(server_config(), Box::new(server))
    };
    let handshake_end = 64 + 2 + 200 + 9 + 257 + 37;

    let mut undecided = connection(true);
    // The traffic behind it is left alone.
    assert_eq!(undecided.handle_handshake(from_client), Ok(handshake_end));
    assert!(!undecided.is_ready());
    assert_eq!(undecided.credentials(), Some(vec![curve_public_key(&CLIENT).to_vec()]));
    let mut out = Vec::new();
    undecided.poll_transmit(&mut out);
    assert_eq!(out.len(), 64 + 2 + 168);
    assert_eq!(undecided.handle_handshake(&from_client[handshake_end..]), Ok(0));
    assert_eq!(undecided.admit(), Ok(()));
    assert!(undecided.is_ready() && undecided.credentials().is_none());
    undecided.poll_transmit(&mut out);
    assert_eq!(frames(&out)[1].1[..6], *b"\x05READY");

    let mut anybody = connection(false);
    assert_eq!(anybody.handle_handshake(from_client), Ok(handshake_end));
    assert!(anybody.is_ready());

    let mut refusing = connection(true);
    refusing.handle_handshake(from_client).unwrap();
    out.clear();
    assert!(refusing.error(b"400", &mut out));
    let mut client = client(1);
    client.feed(&out);
    let refused = ProtocolError::RefusedByPeer { reason: b"400".to_vec() };
    assert_eq!(client.failure(), Some(&refused));
    assert!(client.connection.has_shown_credentials());
}

#[test]
fn who_has_not_proved_to_be_the_server_refuses_no_credentials() {
    let mut client = client(1);
    client.feed(&[&greeting(true)[..], b"\x04\x0A\x05ERROR\x03400"].concat());
    let refused = ProtocolError::RefusedByPeer { reason: b"400".to_vec() };
    assert_eq!(client.failure(), Some(&refused));
    assert!(!client.connection.has_shown_credentials());
}

#[test]
fn a_client_that_means_another_server_is_refused() {
    let keys = CurveClientKeys { server_public: curve_public_key(&[9; 32]), ..keys() };
    let mut client = Driver::with(client_config(), CurveClient::new(keys, &mut fill(1)));
    let mut server = server(2);
    talk(&mut client, &mut server);
    assert_eq!(server.failure(), Some(&ProtocolError::Unauthentic));
    assert!(!client.connection.is_ready());
}

#[test]
fn a_server_that_is_another_one_is_refused() {
    // It answers a HELLO that it cannot have opened with a WELCOME of somebody else's.
    let mut client = client(5);
    client.feed(&RECORDED.from_server);
    assert_eq!(client.failure(), Some(&ProtocolError::Unauthentic));
}

/// An INITIATE, good for another connection between the same two.
#[test]
fn a_cookie_of_another_connection_is_refused() {
    let mut server = server(4);
    server.feed(&RECORDED.from_client);
    assert_eq!(server.failure(), Some(&ProtocolError::Unauthentic));
    assert!(frames(&server.sent).len() == 1);
}

#[test]
fn a_client_that_shows_a_key_of_another_is_refused() {
    let keys = CurveClientKeys { public: curve_public_key(&[9; 32]), ..keys() };
    let mut client = Driver::with(client_config(), CurveClient::new(keys, &mut fill(1)));
    let mut server = server(2);
    talk(&mut client, &mut server);
    assert_eq!(server.failure(), Some(&ProtocolError::Unauthentic));
}

/// The handshake of [`RECORDED`], each frame in turn with another length.
#[test]
fn handshake_commands_of_every_length() {
    let emit = |frames: &[(u8, Vec<u8>)]| {
        let mut stream = greeting(true);
        for (_, body) in frames {
            stream.extend([6, 0, 0, 0, 0, 0, 0]);
            stream.extend((body.len() as u16).to_be_bytes());
            stream.extend(body);
        }
        stream
    };
    let names = [["HELLO", "INITIATE"], ["WELCOME", "READY"]];
    for (to_server, names) in [true, false].into_iter().zip(names) {
        let Recorded { from_client, from_server, .. } = &*RECORDED;
        let recorded = frames(if to_server { from_client } else { from_server });
        for (at, expected) in names.into_iter().enumerate() {
            let exact = recorded[at].1.len();
            let minimum = [[200, 257], [168, 30]][usize::from(!to_server)][at];
            for length in (0..exact + 20).filter(|length| *length != exact) {
                let mut frames = recorded[..=at].to_vec();
                frames[at].1.resize(length, 0);
                let mut end = if to_server { server(2) } else { client(1) };
                // The greeting of a server would not do for a server.
                let mut stream = emit(&frames);
                stream[32] = u8::from(!to_server);
                end.feed(&stream);
                let failure = end.failure().expect("it is refused");
                let known = match failure {
                    ProtocolError::MalformedCommand { command: "nameless", .. } => {
                        length <= expected.len()
                    }
                    ProtocolError::MalformedCommand { command, .. } => {
                        *command == expected && (length < minimum || at == 0)
                    }
                    ProtocolError::Unauthentic => length >= minimum && at == 1,
                    _ => false,
                };
                assert!(known, "{expected} of {length}: {failure}");
                assert!(!end.connection.is_ready());
            }
        }
    }
}

#[test]
fn a_handshake_with_a_changed_byte_is_refused() {
    for to_server in [true, false] {
        let Recorded { from_client, from_server, .. } = &*RECORDED;
        let stream = if to_server { from_client } else { from_server };
        let handshake: usize = 64
            + frames(stream)[..2]
                .iter()
                .map(|(_, body)| body.len() + if body.len() > 255 { 9 } else { 2 })
                .sum::<usize>();
        for at in 64..handshake {
            let mut end = if to_server { server(2) } else { client(1) };
            let mut stream = stream[..handshake].to_vec();
            stream[at] ^= 1 << (at % 8);
            end.feed(&stream);
            assert!(!end.connection.is_ready(), "{at}");
            assert!(!end.seen.iter().any(|seen| matches!(seen, Seen::Asked(_))), "{at}");
        }
    }
}

/// CVE-2019-13132: libzmq overwrote its stack with an INITIATE of more than 513 bytes.
#[test]
fn a_long_initiate_is_read() {
    let metadata = vec![(b"X-Long".to_vec(), vec![7; 60_000])];
    let config = Config { metadata, ..Config::new(SocketType::Push) };
    let mut client = Driver::with(config, CurveClient::new(keys(), &mut fill(1)));
    let server_config = Config { as_server: true, ..Config::new(SocketType::Pull) };
    let mechanism = CurveServer::new(&SERVER, false, &mut fill(2));
    let mut server = Driver::with(server_config.clone(), mechanism);
    talk(&mut client, &mut server);
    let [Seen::Ready(peer)] = &server.seen[..] else { panic!("{:?}", server.failure()) };
    assert_eq!(peer.metadata[1], (b"X-Long".to_vec(), vec![7; 60_000]));

    let limits = Limits { metadata_bytes_max: 60_000, ..Limits::default() };
    let mechanism = CurveServer::new(&SERVER, false, &mut fill(2));
    let mut server = Driver::with(Config { limits, ..server_config }, mechanism);
    server.feed(&client.sent);
    assert!(matches!(server.failure(), Some(ProtocolError::MetadataTooLong { .. })));
}

/// The start of a stream: the greeting of an end that says CURVE.
fn greeting(as_server: bool) -> Vec<u8> {
    let mut out = opening(1, "PUSH");
    out.truncate(64);
    out[12..17].copy_from_slice(b"CURVE");
    out[32] = u8::from(as_server);
    out
}

/// CVE-2014-7202.
#[test]
fn a_peer_with_another_mechanism_is_refused() {
    let mismatch = |theirs| {
        let ours = MechanismName::CURVE;
        ProtocolError::MechanismMismatch { ours, theirs }
    };
    let others: [(Box<dyn Fn() -> Driver>, MechanismName); 2] = [
        (Box::new(|| Driver::with(client_config(), Null::new())), MechanismName::NULL),
        (Box::new(|| Driver::with(client_config(), PlainServer::new())), MechanismName::PLAIN),
    ];
    for (other, name) in others {
        for mut end in [client(1), server(2)] {
            let mut other = other();
            talk(&mut end, &mut other);
            assert_eq!(end.failure(), Some(&mismatch(name)));
            assert!(other.failure().is_some());
        }
    }
}

/// CVE-2014-9721.
#[test]
fn old_peers_are_refused() {
    for (stream, version) in [
        (opening_old(1, SocketType::Dealer, b""), Version::V2_0),
        (opening_old(0, SocketType::Dealer, b""), Version::V1_0),
        (b"\x01\0\x02\0A".to_vec(), Version::V1_0),
    ] {
        for mut end in [client(1), server(2)] {
            end.feed(&stream);
            let failure = ProtocolError::UnsupportedVersion { version };
            assert_eq!(end.failure(), Some(&failure));
            assert!(end.sent.len() <= 11);
        }
    }
}

#[test]
fn two_servers_fail_and_two_clients_too() {
    let (mut left, mut right) = (server(1), server(2));
    talk(&mut left, &mut right);
    for end in [left, right] {
        assert_eq!(end.failure(), Some(&ProtocolError::BothServers));
    }
    let (mut left, mut right) = (client(1), client(2));
    talk(&mut left, &mut right);
    for end in [left, right] {
        let Some(ProtocolError::UnexpectedCommand { name, expected }) = end.failure() else {
            panic!("{:?}", end.failure())
        };
        assert_eq!((&name[..], *expected), (&b"HELLO"[..], "WELCOME or ERROR"));
    }
}

/// libzmq leaves as-server 0 whatever it is.
#[test]
fn a_server_that_does_not_say_so_is_one() {
    let mut client = client(1);
    let mut stream = RECORDED.from_server.clone();
    stream[32] = 0;
    client.feed(&stream);
    assert_eq!(client.failure(), None);
    assert!(client.connection.is_ready());
}

#[test]
fn every_connection_has_keys_of_its_own() {
    let drawn = |seed| {
        let (mut client, mut server) = (client(seed), server(seed + 1));
        talk(&mut client, &mut server);
        (client.sent, server.sent)
    };
    let (left, right) = (drawn(1), drawn(3));
    assert_eq!(drawn(1), left);
    // HELLO: the transient key and the signature; WELCOME: everything.
    let hello = |stream: &[u8]| frames(stream)[0].1.clone();
    assert_ne!(hello(&left.0)[80..112], hello(&right.0)[80..112]);
    assert_ne!(hello(&left.1)[8..], hello(&right.1)[8..]);
}

#[test]
fn random_bytes_are_drawn_when_an_end_is_made() {
    let (mut of_client, mut of_server) = (Vec::new(), Vec::new());
    CurveClient::new(keys(), &mut |bytes| of_client.push(bytes.len()));
    CurveServer::new(&SERVER, true, &mut |bytes| of_server.push(bytes.len()));
    // A transient key and the vouch's nonce; a transient key, the cookie's, two nonces.
    assert_eq!((of_client, of_server), (vec![32, 16], vec![32, 32, 16, 16]));
}

#[test]
fn secrets_are_not_printed() {
    // Each stage of both ends; 0x51 is 81, 0xC1 is 193.
    let mut texts = vec![format!("{:?}", keys())];
    let mut client = CurveClient::new(keys(), &mut |bytes| bytes.fill(0xC1));
    let server = CurveServer::new(&SERVER, true, &mut |bytes| bytes.fill(0x51));
    texts.push(format!("{client:?} {server:?}"));
    client.initial_command(b"", &mut Vec::new());
    texts.push(format!("{client:?}"));
    let (client, server) = pair();
    texts.push(format!("{:?} {:?}", client.connection, server.connection));
    for text in texts {
        for secret in ["81, 81, 81", "193, 193, 193"] {
            // The nonces, which are no secret, are filled alike; a key has 32 octets.
            let longest = text.split(&format!("{}, ", [secret; 6].join(", "))).count() - 1;
            assert_eq!(longest, 0, "{text}");
        }
    }
}

#[test]
fn damaged_streams() {
    let recorded = &*RECORDED;
    let mut ready = 0;
    for seed in 0..400 {
        let mut rng = Rng::new(seed);
        let to_server = seed % 2 == 0;
        let mut stream =
            if to_server { recorded.from_client.clone() } else { recorded.from_server.clone() };
        for _ in 0..1 + rng.below(2) {
            let at = 64 + rng.below(stream.len() - 64);
            stream[at] ^= 1 << rng.below(8);
        }
        let end = || if to_server { server(2) } else { client(1) };
        let (mut whole, mut split) = (end(), end());
        whole.feed(&stream);
        let mut rest = &stream[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(1 + rng.below(rest.len().min(300)));
            split.feed(piece);
            rest = after;
        }
        assert_eq!((&whole.seen, &whole.sent), (&split.seen, &split.sent), "seed {seed}");
        let undamaged = if to_server { &recorded.seen_by_server } else { &recorded.seen_by_client };
        let seen = match whole.failure() {
            Some(_) => &whole.seen[..whole.seen.len() - 1],
            None => &whole.seen[..],
        };
        assert!(undamaged.starts_with(seen), "seed {seed}: nothing forged is seen");
        assert!(seen.len() < undamaged.len());
        ready += usize::from(whole.connection.is_ready());
    }
    assert!(ready < 100, "damage is noticed: {ready}");
}
