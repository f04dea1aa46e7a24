//! A mechanism that is not transparent: everything that CURVE will ask of a connection.
mod common;

use oxmq_zmtp::mechanism::Progress;
use oxmq_zmtp::wire::command::CommandView;
use oxmq_zmtp::{
    Config, Connection, Decoded, Event, Limits, Mechanism, MechanismName, Opened, ProtocolError,
    SocketType, Version,
};

/// "Encrypts" by inverting bits. The client says HELLO with its metadata, the server WELCOME with
/// its own. The first octet of a sealed body holds the flags, the last one is a sum.
#[derive(Debug)]
struct Inverting {
    metadata: Option<Vec<u8>>,
    server: bool,
    done: bool,
}

impl Mechanism for Inverting {
    fn name(&self) -> MechanismName {
        MechanismName::new(b"INVERTING")
    }

    fn has_roles(&self) -> bool {
        true
    }

    fn initial_command(&mut self, metadata: &[u8], out: &mut Vec<u8>) {
        if self.server {
            self.metadata = Some(metadata.to_vec());
        } else {
            CommandView { name: b"HELLO", data: metadata }.emit(out);
        }
    }

    fn handle_command(
        &mut self,
        command: CommandView<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Progress, ProtocolError> {
        match (self.server, command.name) {
            (true, b"HELLO") => {
                let data = self.metadata.take().unwrap();
                CommandView { name: b"WELCOME", data: &data }.emit(out);
            }
            (false, b"WELCOME") => {}
            (_, name) => {
                let expected = "HELLO or WELCOME";
                return Err(ProtocolError::UnexpectedCommand { name: name.to_vec(), expected });
            }
        }
        self.done = true;
        Ok(Progress::Metadata(command.data.to_vec()))
    }

    fn is_done(&self) -> bool {
        self.done
    }

    fn is_transparent(&self) -> bool {
        false
    }

    fn seal(&mut self, flags: u8, body: &[u8], out: &mut Vec<u8>) {
        let mut sealed = vec![flags];
        sealed.extend(body.iter().map(|octet| !octet));
        sealed.push(sum(&sealed));
        out.extend(common::message(false, &sealed));
    }

    fn open(&mut self, sealed: &[u8], out: &mut Vec<u8>) -> Result<u8, ProtocolError> {
        let Some((&given, rest)) = sealed.split_last() else {
            return Err(ProtocolError::Unauthentic);
        };
        match rest {
            [flags, body @ ..] if given == sum(rest) => {
                out.extend(body.iter().map(|octet| !octet));
                Ok(*flags)
            }
            _ => Err(ProtocolError::Unauthentic),
        }
    }
}

fn sum(octets: &[u8]) -> u8 {
    octets.iter().fold(0, |sum, octet| sum.wrapping_add(*octet))
}

fn pair() -> (Connection, Connection) {
    let end = |socket_type, server| {
        let config = Config {
            as_server: server,
            limits: Limits { inline_bytes_max: 300, ..Limits::default() },
            ..Config::new(socket_type)
        };
        let mechanism = Inverting { metadata: None, server, done: false };
        Connection::with_mechanism(config, Box::new(mechanism))
    };
    let (mut client, mut server) = (end(SocketType::XSub, false), end(SocketType::XPub, true));
    for _ in 0..5 {
        let mut bytes = Vec::new();
        client.poll_transmit(&mut bytes);
        assert_eq!(server.handle_handshake(&bytes), Ok(bytes.len()));
        bytes.clear();
        server.poll_transmit(&mut bytes);
        assert_eq!(client.handle_handshake(&bytes), Ok(bytes.len()));
    }
    (client, server)
}

/// Decodes and opens the one frame in `wire`.
fn receive(connection: &mut Connection, wire: &[u8]) -> Result<(Opened, Vec<u8>), ProtocolError> {
    let mut out = b"kept ".to_vec();
    let Decoded::Sealed { body, consumed } = connection.decode(wire)? else {
        panic!("every frame is sealed")
    };
    assert_eq!(consumed, wire.len());
    let opened = connection.open(body, &mut out)?;
    Ok((opened, out))
}

#[test]
fn the_handshake_has_roles_and_both_learn_the_metadata() {
    let (client, server) = pair();
    let (seen_by_client, seen_by_server) = (client.peer().unwrap(), server.peer().unwrap());
    assert_eq!(seen_by_client.socket_type, Some(SocketType::XPub));
    assert_eq!(seen_by_server.socket_type, Some(SocketType::XSub));
    assert!(seen_by_client.as_server && !seen_by_server.as_server);
}

#[test]
fn messages_and_commands_travel_sealed() {
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    server.seal(true, b"hello", &mut wire);
    assert!(!wire.windows(5).any(|window| window == b"hello"));
    let message = (Opened::Message { more: true }, b"kept hello".to_vec());
    assert_eq!(receive(&mut client, &wire), Ok(message));

    let command = |event| Ok((Opened::Command(event), b"kept ".to_vec()));
    wire.clear();
    assert!(client.subscribe(b"A", &mut wire));
    assert_eq!(receive(&mut server, &wire), command(Event::Subscribe(b"A".to_vec())));
    wire.clear();
    assert!(client.ping(3, b"c", &mut wire));
    assert_eq!(receive(&mut server, &wire), command(Event::Ping { ttl_ds: 3 }));
    wire.clear();
    assert!(server.poll_transmit(&mut wire));
    assert_eq!(receive(&mut client, &wire), command(Event::Pong(b"c".to_vec())));
}

#[test]
fn long_frames_are_collected_before_they_are_opened() {
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    server.seal(false, &[7; 1000], &mut wire);
    let large = Decoded::Large { more: false, header_bytes: 9, body_bytes: 1002 };
    assert_eq!(client.decode(&wire[..100]), Ok(large));
    let mut out = Vec::new();
    assert_eq!(client.open(&wire[9..], &mut out), Ok(Opened::Message { more: false }));
    assert_eq!(out, [7; 1000]);
}

#[test]
fn what_is_not_sealed_or_was_changed_is_refused() {
    for wire in [&b"\0\x05hello"[..], b"\0\0", b"\x04\x0A\x09SUBSCRIBE", b"\0\x01\0"] {
        let (mut client, _) = pair();
        assert_eq!(receive(&mut client, wire), Err(ProtocolError::Unauthentic));
        assert_eq!(client.decode(b"\0\0"), Err(ProtocolError::Unauthentic));
    }
    let (mut client, mut server) = pair();
    let mut wire = Vec::new();
    server.seal(false, b"hello", &mut wire);
    wire[4] ^= 1;
    assert_eq!(receive(&mut client, &wire), Err(ProtocolError::Unauthentic));
}

/// CVE-2014-9721: old peers know no security, and do not get past it.
#[test]
fn old_peers_are_refused() {
    let signature = b"\xFF\0\0\0\0\0\0\0\x01\x7F";
    let table: [(&[u8], u8); 5] = [
        (b"\x01\0\x02\0A", 1),
        (b"\xFF\0\0\0\0\0\0\x01\x00\0", 1),
        (&[signature, &b"\0\x08\x01\0"[..]].concat(), 1),
        (&[signature, &b"\x01\x08\0\0"[..]].concat(), 2),
        (&[signature, &b"\x02\x08\0\0"[..]].concat(), 2),
    ];
    for (stream, major) in table {
        for server in [false, true] {
            let mechanism = Box::new(Inverting { metadata: None, server, done: false });
            let config = Config::new(SocketType::Pull);
            let mut connection = Connection::with_mechanism(config, mechanism);
            let error = ProtocolError::UnsupportedVersion { version: Version { major, minor: 0 } };
            assert!(error.to_string().contains("no security"), "{error}");
            assert_eq!(connection.handle_handshake(stream), Err(error));
            assert!(!connection.is_ready());
            // Neither type nor identity was told.
            let mut out = Vec::new();
            connection.poll_transmit(&mut out);
            assert!(out.len() <= 11, "{}", out.escape_ascii());
        }
    }
}
