//! PLAIN: names and passwords.
mod common;

use common::{Driver, Rng, Seen, frames, opening, talk};
use oxmq_zmtp::mechanism::{PlainClient, PlainServer};
use oxmq_zmtp::{
    Config, Connection, Decoded, Mechanism, MechanismName, ProtocolError, SocketType, Version,
};

fn client() -> Driver {
    let client = PlainClient::new(b"admin".to_vec(), b"secret".to_vec());
    Driver::with(Config::new(SocketType::Req), client)
}

fn server_config() -> Config {
    Config { as_server: true, identity: b"me".to_vec(), ..Config::new(SocketType::Router) }
}

fn server() -> Driver {
    Driver::with(server_config(), PlainServer::new())
}

fn undecided() -> Connection {
    Connection::with_mechanism(server_config(), Box::new(PlainServer::new()))
}

/// What a client says as long as it is welcome: greeting, HELLO, INITIATE.
fn client_stream() -> Vec<u8> {
    let (mut client, mut server) = (client(), server());
    talk(&mut client, &mut server);
    client.sent
}

/// The start of a stream: the greeting of an end that says PLAIN.
fn greeting(as_server: bool) -> Vec<u8> {
    let mut out = opening(1, "REQ");
    out.truncate(64);
    out[12..17].copy_from_slice(b"PLAIN");
    out[32] = u8::from(as_server);
    out
}

fn command(body: &[u8]) -> Vec<u8> {
    [&[4, body.len() as u8], body].concat()
}

#[test]
fn the_server_asks_and_both_become_ready() {
    let (mut client, mut server) = (client(), server());
    talk(&mut client, &mut server);
    assert_eq!(server.seen[0], Seen::Asked(vec![b"admin".to_vec(), b"secret".to_vec()]));
    let [_, Seen::Ready(seen_by_server)] = &server.seen[..] else { panic!("{:?}", server.seen) };
    let [Seen::Ready(seen_by_client)] = &client.seen[..] else { panic!("{:?}", client.seen) };
    assert_eq!(seen_by_server.socket_type, Some(SocketType::Req));
    assert_eq!(seen_by_client.identity, b"me");
    assert!(seen_by_client.as_server && !seen_by_server.as_server);

    let golden: [&[u8]; 2] = [
        b"\x05HELLO\x05admin\x06secret",
        b"\x08INITIATE\x0BSocket-Type\0\0\0\x03REQ\x08Identity\0\0\0\0",
    ];
    assert_eq!(frames(&client.sent), golden.map(|body| (4, body.to_vec())));
    let golden: [&[u8]; 2] =
        [b"\x07WELCOME", b"\x05READY\x0BSocket-Type\0\0\0\x06ROUTER\x08Identity\0\0\0\x02me"];
    assert_eq!(frames(&server.sent), golden.map(|body| (4, body.to_vec())));
}

#[test]
fn traffic_is_as_without_security() {
    let (mut client, mut server) = (client(), server());
    talk(&mut client, &mut server);
    let (connection, mut out) = (&mut client.connection, Vec::new());
    assert!(!connection.seals());
    assert_eq!(connection.mechanism(), None);
    connection.seal(true, b"hello", &mut out);
    assert_eq!(out, b"\x01\x05hello");
    let message = Decoded::Message { more: true, body: b"hello", consumed: 7 };
    assert_eq!(server.connection.decode(&out), Ok(message));
}

#[test]
fn while_the_server_waits_nothing_is_taken() {
    let stream = client_stream();
    let hello_end = 64 + 2 + 19;
    let mut server = undecided();
    assert_eq!(server.handle_handshake(&stream), Ok(hello_end));
    assert_eq!(server.handle_handshake(&stream[hello_end..]), Ok(0));
    let mut out = Vec::new();
    server.poll_transmit(&mut out);
    assert_eq!(out.len(), 64, "no WELCOME yet");
    assert!(server.credentials().is_some() && !server.is_ready());

    assert_eq!(server.admit(), Ok(()));
    assert_eq!(server.credentials(), None);
    server.poll_transmit(&mut out);
    assert_eq!(out[64..], *b"\x04\x08\x07WELCOME");
    // Once is enough.
    assert_eq!(server.admit(), Ok(()));
    assert!(!server.poll_transmit(&mut out));
    let rest = &stream[hello_end..];
    assert_eq!(server.handle_handshake(rest), Ok(rest.len()));
    assert!(server.is_ready());
}

#[test]
fn a_refused_client_learns_why() {
    let stream = client_stream();
    let mut server = undecided();
    server.handle_handshake(&stream).unwrap();
    let mut out = Vec::new();
    assert!(server.error(b"400", &mut out));
    assert_eq!(out[64..], *b"\x04\x0A\x05ERROR\x03400");
    assert_eq!(server.credentials(), None);
    let mut client = client();
    client.feed(&out);
    let refused = ProtocolError::RefusedByPeer { reason: b"400".to_vec() };
    assert_eq!(client.failure(), Some(&refused));
    assert!(client.connection.has_shown_credentials());
}

/// As libzmq 4.3 says it, and as it should.
#[test]
fn a_client_understands_both_spellings_of_error() {
    for body in [&b"\x05ERROR\x03400"[..], b"^RROR\x03400"] {
        let mut refused = client();
        refused.feed(&[greeting(false), command(body)].concat());
        let failure = ProtocolError::RefusedByPeer { reason: b"400".to_vec() };
        assert_eq!(refused.failure(), Some(&failure));
    }
    for body in [&b"^RROR"[..], b"^RROR\x03"] {
        let mut end = client();
        end.feed(&[greeting(false), command(body)].concat());
        let failure = end.failure().unwrap();
        assert!(matches!(failure, ProtocolError::MalformedCommand { .. }), "{failure}");
    }
    // Only with PLAIN.
    let mut end = Driver::new(Config::new(SocketType::Req));
    end.feed(&[&opening(1, "ROUTER")[..64], &command(b"^RROR\x03400")].concat());
    assert!(matches!(end.failure(), Some(ProtocolError::MalformedCommand { .. })));
}

#[test]
fn names_and_passwords_of_any_length_up_to_255() {
    for (name, password) in [(0, 0), (0, 255), (255, 0), (255, 255), (256, 300)] {
        let (name, password) = (vec![b'n'; name], vec![b'p'; password]);
        let mechanism = PlainClient::new(name.clone(), password.clone());
        let mut client = Driver::with(Config::new(SocketType::Req), mechanism);
        let mut server = server();
        talk(&mut client, &mut server);
        let cut = |bytes: &[u8]| bytes[..bytes.len().min(255)].to_vec();
        assert_eq!(server.seen[0], Seen::Asked(vec![cut(&name), cut(&password)]));
        assert!(client.connection.is_ready() && server.connection.is_ready());
    }
}

#[test]
fn any_split() {
    let (mut whole_client, mut whole_server) = (client(), server());
    talk(&mut whole_client, &mut whole_server);
    for size in 1..200 {
        let (mut client, mut server) = (client(), server());
        whole_client.sent.chunks(size).for_each(|piece| server.feed(piece));
        whole_server.sent.chunks(size).for_each(|piece| client.feed(piece));
        assert_eq!((&client.seen, &client.sent), (&whole_client.seen, &whole_client.sent));
        assert_eq!((&server.seen, &server.sent), (&whole_server.seen, &whole_server.sent));
    }
}

#[test]
fn malformed_commands_are_refused() {
    let to_server: [&[u8]; 9] = [
        b"\x05HELLO",
        b"\x05HELLO\x05admi",
        b"\x05HELLO\xFFadmin\x06secret",
        b"\x05HELLO\x05admin",
        b"\x05HELLO\x05admin\x06secre",
        b"\x05HELLO\x05admin\xFFsecret",
        b"\x05HELLO\x05admin\x06secrets",
        b"\x05HELLO\0",
        b"\x05HELLO\0\0\0",
    ];
    for body in to_server {
        let mut server = server();
        server.feed(&[greeting(false), command(body)].concat());
        let failure = server.failure().unwrap();
        assert!(
            matches!(failure, ProtocolError::MalformedCommand { command: "HELLO", .. }),
            "{failure}"
        );
    }
    let mut client = client();
    client.feed(&[greeting(true), command(b"\x07WELCOMEx")].concat());
    let fault = "it carries data";
    let malformed = ProtocolError::MalformedCommand { command: "WELCOME", fault };
    assert_eq!(client.failure(), Some(&malformed));
}

#[test]
fn unexpected_commands_are_refused() {
    // To the server or the client, behind which command.
    let table: [(bool, &[u8], &[u8], &str); 9] = [
        (true, b"", b"INITIATE", "HELLO"),
        (true, b"", b"READY", "HELLO"),
        (true, b"", b"hello", "HELLO"),
        (true, b"\x05HELLO\0\0", b"HELLO", "INITIATE"),
        (true, b"\x05HELLO\0\0", b"READY", "INITIATE"),
        (false, b"", b"HELLO", "WELCOME or ERROR"),
        (false, b"", b"READY", "WELCOME or ERROR"),
        (false, b"\x07WELCOME", b"WELCOME", "READY or ERROR"),
        (false, b"\x07WELCOME", b"MESSAGE", "READY or ERROR"),
    ];
    for (to_server, first, name, expected) in table {
        let mut end = if to_server { server() } else { client() };
        end.feed(&greeting(!to_server));
        if !first.is_empty() {
            end.feed(&command(first));
        }
        end.feed(&command(&[&[name.len() as u8], name].concat()));
        let unexpected = ProtocolError::UnexpectedCommand { name: name.to_vec(), expected };
        assert_eq!(end.failure(), Some(&unexpected));
    }
}

/// libzmq leaves as-server 0 whatever it is, so the octet is not needed; but two that set it would
/// wait for each other.
#[test]
fn two_servers_fail_and_two_clients_too() {
    let (mut left, mut right) = (server(), server());
    talk(&mut left, &mut right);
    assert_eq!(left.failure(), Some(&ProtocolError::BothServers));
    assert_eq!(right.failure(), Some(&ProtocolError::BothServers));

    let (mut left, mut right) = (client(), client());
    talk(&mut left, &mut right);
    for end in [left, right] {
        let Some(ProtocolError::UnexpectedCommand { name, .. }) = end.failure() else {
            panic!("{:?}", end.seen)
        };
        assert_eq!(name, b"HELLO");
    }

    let mut silent = client();
    silent.feed(&[greeting(false), command(b"\x07WELCOME"), command(b"\x05READY")].concat());
    assert!(silent.connection.is_ready());
}

#[test]
fn other_mechanisms_and_old_peers_are_refused() {
    for mut end in [client(), server()] {
        end.feed(&opening(1, "REQ"));
        let mismatch = ProtocolError::MechanismMismatch {
            ours: MechanismName::PLAIN,
            theirs: MechanismName::NULL,
        };
        assert_eq!(end.failure(), Some(&mismatch));
    }
    for mut end in [client(), server()] {
        end.feed(&common::opening_old(1, SocketType::Req, b""));
        let old = ProtocolError::UnsupportedVersion { version: Version::V2_0 };
        assert_eq!(end.failure(), Some(&old));
    }
}

#[test]
fn passwords_are_not_printed() {
    let mut mechanism = PlainClient::new(b"admin".to_vec(), b"pa55".to_vec());
    let mut texts = vec![format!("{mechanism:?}")];
    mechanism.initial_command(b"", &mut Vec::new());
    texts.push(format!("{mechanism:?}"));
    let stream = client_stream();
    let mut server = undecided();
    server.handle_handshake(&stream).unwrap();
    assert!(server.credentials().is_some());
    texts.push(format!("{server:?}"));
    let mechanism = PlainClient::new(b"admin".to_vec(), b"pa55".to_vec());
    let mut client = Connection::with_mechanism(server_config(), Box::new(mechanism));
    client.handle_handshake(&greeting(false)).unwrap();
    texts.push(format!("{client:?}"));
    let mut partly = undecided();
    partly.handle_handshake(&stream[..64 + 20]).unwrap();
    texts.push(format!("{partly:?}"));
    for text in texts {
        let octets = |secret: &[u8]| format!("{:?}", secret).trim_matches(['[', ']']).to_owned();
        for secret in ["pa55".into(), "secr".into(), octets(b"pa55"), octets(b"secr")] {
            assert!(!text.contains(&secret), "{text}");
        }
    }
}

#[test]
fn noise() {
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        let mut stream = client_stream();
        for _ in 0..1 + rng.below(3) {
            let at = 64 + rng.below(stream.len() - 64);
            stream[at] = [0, 1, 4, 0xFF, rng.below(256) as u8][rng.below(5)];
        }
        let mut whole = server();
        whole.feed(&stream);
        let mut split = server();
        stream.chunks(1 + rng.below(40)).for_each(|piece| split.feed(piece));
        assert_eq!((whole.seen, whole.sent), (split.seen, split.sent), "seed {seed}");
    }
}
