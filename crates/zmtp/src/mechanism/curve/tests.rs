//! What only a peer can send that knows the keys: each step of a handshake, made by hand.

use super::crypto::{BoxKey, Nonce, SecretKey};
use super::traffic::Received;
use super::{CurveClient, CurveClientKeys, CurveServer, curve_public_key};
use crate::ProtocolError;
use crate::mechanism::{Mechanism, Progress};
use crate::wire::command::CommandView;
use crate::wire::frame;

const SERVER: [u8; 32] = [0x51; 32];
const CLIENT: [u8; 32] = [0xC1; 32];
const TRANSIENT: [u8; 32] = [0xC2; 32];
const METADATA: &[u8] = b"\x0BSocket-Type\0\0\0\x04PUSH";

/// Different octets each time, the same in every run.
fn counting() -> impl FnMut(&mut [u8]) {
    let mut next = 0;
    move |bytes: &mut [u8]| {
        next += 1;
        bytes.fill(next);
    }
}

/// What a mechanism answers: the name and the data of the frame.
fn tell(mechanism: &mut dyn Mechanism, name: &[u8], data: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    let mut out = Vec::new();
    mechanism.handle_command(CommandView { name, data }, &mut out)?;
    Ok(body(&out))
}

fn body(frame: &[u8]) -> Vec<u8> {
    let Some(header) = frame::parse_header(frame) else { return Vec::new() };
    assert_eq!(header.frame_bytes(), Some(frame.len()));
    assert!(header.is_command());
    frame[header.header_bytes..].to_vec()
}

/// A client made by hand; each field may be spoilt.
struct Client {
    version: [u8; 2],
    padding: [u8; 72],
    hello_counter: u64,
    hello_text: [u8; 64],
    initiate_counter: u64,
    /// The key that it shows, and the secret that it vouches with.
    shown: [u8; 32],
    vouches_with: [u8; 32],
    /// What it vouches for.
    vouched: [[u8; 32]; 2],
}

impl Client {
    fn new() -> Client {
        Client {
            version: [1, 0],
            padding: [0; 72],
            hello_counter: 1,
            hello_text: [0; 64],
            initiate_counter: 2,
            shown: curve_public_key(&CLIENT),
            vouches_with: CLIENT,
            vouched: [curve_public_key(&TRANSIENT), curve_public_key(&SERVER)],
        }
    }

    fn key(&self) -> BoxKey {
        SecretKey::new(&TRANSIENT).agree(&curve_public_key(&SERVER)).unwrap()
    }

    fn hello(&self) -> Vec<u8> {
        let counter = self.hello_counter.to_be_bytes();
        let signature =
            self.key().seal(&Nonce::short(b"CurveZMQHELLO---", counter), &[&self.hello_text]);
        let transient = curve_public_key(&TRANSIENT);
        [&self.version[..], &self.padding, &transient, &counter, &signature].concat()
    }

    /// The answer to a WELCOME, and the key of its box.
    fn initiate(&self, welcome: &[u8]) -> (Vec<u8>, BoxKey) {
        let (name, rest) = welcome.split_at(8);
        assert_eq!((name, welcome.len()), (&b"\x07WELCOME"[..], 168));
        let (nonce, sealed) = rest.split_first_chunk().unwrap();
        let opened = self.key().open(&Nonce::long(b"WELCOME-", nonce), sealed).unwrap();
        let (server_transient, cookie) = opened.split_first_chunk().unwrap();

        let vouch = SecretKey::new(&self.vouches_with)
            .agree(server_transient)
            .unwrap()
            .seal(&Nonce::long(b"VOUCH---", b"sixteen bytes !!"), &[self.vouched.as_flattened()]);
        let counter = self.initiate_counter.to_be_bytes();
        let shared = SecretKey::new(&TRANSIENT).agree(server_transient).unwrap();
        let sealed = shared.seal(
            &Nonce::short(b"CurveZMQINITIATE", counter),
            &[&self.shown, b"sixteen bytes !!", &vouch, METADATA],
        );
        ([cookie, &counter, &sealed].concat(), shared)
    }

    /// How far it gets.
    fn shake(&self) -> Result<(CurveServer, BoxKey), ProtocolError> {
        let mut server = CurveServer::new(&SERVER, false, &mut counting());
        server.initial_command(b"theirs", &mut Vec::new());
        let welcome = tell(&mut server, b"HELLO", &self.hello())?;
        let (initiate, shared) = self.initiate(&welcome);
        let ready = tell(&mut server, b"INITIATE", &initiate)?;
        let (counter, sealed) = ready[6..].split_first_chunk().unwrap();
        let nonce = Nonce::short(b"CurveZMQREADY---", *counter);
        assert_eq!(*shared.open(&nonce, sealed).unwrap(), b"theirs");
        assert!(server.is_done());
        Ok((server, shared))
    }
}

#[test]
fn a_handshake_made_by_hand_is_accepted() {
    Client::new().shake().unwrap();
    let higher = Client { hello_counter: 1000, initiate_counter: u64::MAX, ..Client::new() };
    higher.shake().unwrap();
}

#[test]
fn a_hello_that_says_something_else_is_malformed() {
    let mut padding = [0; 72];
    padding[71] = 1;
    let mut hello_text = [0; 64];
    hello_text[63] = 1;
    for client in [
        Client { version: [1, 1], ..Client::new() },
        Client { version: [2, 0], ..Client::new() },
        Client { padding, ..Client::new() },
        Client { hello_text, ..Client::new() },
    ] {
        let error = client.shake().unwrap_err();
        assert!(
            matches!(error, ProtocolError::MalformedCommand { command: "HELLO", .. }),
            "{error}"
        );
    }
}

#[test]
fn who_vouches_for_other_keys_is_refused() {
    let [transient, server] = Client::new().vouched;
    let other = curve_public_key(&[9; 32]);
    for vouched in [[other, server], [transient, other], [server, transient]] {
        let client = Client { vouched, ..Client::new() };
        assert_eq!(client.shake().unwrap_err(), ProtocolError::KeyExchange);
    }
}

/// Somebody shows a public key without having its secret.
#[test]
fn who_shows_a_key_of_another_is_refused() {
    for client in [
        Client { shown: curve_public_key(&[9; 32]), ..Client::new() },
        Client { vouches_with: [9; 32], ..Client::new() },
        Client { shown: [0; 32], ..Client::new() },
    ] {
        assert_eq!(client.shake().unwrap_err(), ProtocolError::Unauthentic);
    }
}

#[test]
fn the_counter_of_initiate_is_higher_than_that_of_hello() {
    for (hello_counter, initiate_counter) in [(1, 1), (2, 1), (u64::MAX, 1), (7, 0)] {
        let client = Client { hello_counter, initiate_counter, ..Client::new() };
        let replayed = ProtocolError::Replayed { counter: initiate_counter, last: hello_counter };
        assert_eq!(client.shake().unwrap_err(), replayed);
    }
}

#[test]
fn the_first_message_is_counted_on_from_initiate() {
    let (mut server, shared) = Client { initiate_counter: 40, ..Client::new() }.shake().unwrap();
    let message = |counter: u64, text: &[u8]| {
        let counter = counter.to_be_bytes();
        let sealed = shared.seal(&Nonce::short(b"CurveZMQMESSAGEC", counter), &[text]);
        [b"\x07MESSAGE", &counter[..], &sealed].concat()
    };
    let mut out = Vec::new();
    let replayed = |counter, last| Err(ProtocolError::Replayed { counter, last });
    assert_eq!(server.open(&message(40, b"\0no"), &mut out), replayed(40, 40));
    assert_eq!(server.open(&message(2, b"\0no"), &mut out), replayed(2, 40));
    assert_eq!(server.open(&message(41, b"\0one "), &mut out), Ok(0));
    assert_eq!(server.open(&message(50, b"\x01two "), &mut out), Ok(frame::MORE));
    assert_eq!(server.open(&message(49, b"\0no"), &mut out), replayed(49, 50));
    assert_eq!(server.open(&message(51, b"\x02three"), &mut out), Ok(frame::COMMAND));
    assert_eq!(server.open(&message(52, b"\0"), &mut out), Ok(0));
    assert_eq!(out, b"one two three");
    // A counter that was not authentic is not remembered.
    let mut forged = message(60, b"\0x");
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(server.open(&forged, &mut out), Err(ProtocolError::Unauthentic));
    assert_eq!(server.open(&message(53, b"\0"), &mut out), Ok(0));
    // Flags that nobody knows.
    for flags in [4, 0x80, 0xFF] {
        let mut server = Client::new().shake().unwrap().0;
        let reserved = ProtocolError::ReservedFlags { flags, reserved: 0xFC };
        assert_eq!(server.open(&message(60, &[flags, 1]), &mut out), Err(reserved));
    }
    let mut short = message(61, b"");
    let malformed =
        |error| matches!(error, ProtocolError::MalformedCommand { command: "MESSAGE", .. });
    while short.len() >= 8 {
        assert!(malformed(server.open(&short, &mut out).unwrap_err()), "{}", short.len());
        short.pop();
    }
    assert_eq!(out, b"one two three");
}

/// libzmq 4.0 counts in the byte order of its machine, and does not look at ours.
#[test]
fn counters_of_libzmq_4_0_are_understood() {
    let client = Client {
        hello_counter: 1_u64.swap_bytes(),
        initiate_counter: 2_u64.swap_bytes(),
        ..Client::new()
    };
    let (mut server, shared) = client.shake().unwrap();
    let mut out = Vec::new();
    for counter in (3..600_u64).chain([0xFFFF, 0x10000, 1 << 40]) {
        let counter = counter.to_le_bytes();
        let sealed = shared.seal(&Nonce::short(b"CurveZMQMESSAGEC", counter), &[b"\0"]);
        let message = [b"\x07MESSAGE", &counter[..], &sealed].concat();
        assert_eq!(server.open(&message, &mut out), Ok(0));
        assert!(matches!(server.open(&message, &mut out), Err(ProtocolError::Replayed { .. })));
    }

    let received = Received::first([0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(received.next([0, 0, 0, 0, 0, 0, 1, 0]).is_ok());
    // Only the 1 decides: any other number is in the order that it should be.
    let received = Received::first([2, 0, 0, 0, 0, 0, 0, 0]);
    assert!(received.next([3, 0, 0, 0, 0, 0, 0, 0]).is_ok());
    assert!(received.next([1, 0, 0, 0, 0, 0, 0, 1]).is_err());
}

/// A WELCOME, made by hand with the keys that a client trusts.
#[test]
fn a_server_whose_transient_key_is_nobodys_is_refused() {
    let keys = |server_public| CurveClientKeys {
        server_public,
        public: curve_public_key(&CLIENT),
        secret: CLIENT,
    };
    for (server_transient, good) in [(curve_public_key(&[3; 32]), true), ([0; 32], false)] {
        let mut client =
            CurveClient::new(keys(curve_public_key(&SERVER)), &mut |bytes| bytes.fill(0xC2));
        let mut out = Vec::new();
        client.initial_command(METADATA, &mut out);
        assert_eq!(body(&out)[6..], Client::new().hello());
        let sealed = Client::new()
            .key()
            .seal(&Nonce::long(b"WELCOME-", b"sixteen bytes !!"), &[&server_transient, &[7; 96]]);
        let welcome = [b"sixteen bytes !!", &sealed[..]].concat();
        let answer = tell(&mut client, b"WELCOME", &welcome);
        assert_eq!(answer.is_ok(), good);
        assert!(good || answer == Err(ProtocolError::Unauthentic));
    }

    // A server's long-term key that is nobody's: HELLO leaves, so that there is an answer to refuse.
    let mut client = CurveClient::new(keys([0; 32]), &mut counting());
    let mut out = Vec::new();
    client.initial_command(METADATA, &mut out);
    assert_eq!(body(&out).len(), 200);
    assert_eq!(tell(&mut client, b"WELCOME", &[0; 160]), Err(ProtocolError::Unauthentic));
}

#[test]
fn calls_out_of_order_do_nothing() {
    let keys = CurveClientKeys {
        server_public: curve_public_key(&SERVER),
        public: curve_public_key(&CLIENT),
        secret: CLIENT,
    };
    let mut client = CurveClient::new(keys, &mut counting());
    let mut server = CurveServer::new(&SERVER, true, &mut counting());
    for mechanism in [&mut client as &mut dyn Mechanism, &mut server] {
        let mut out = Vec::new();
        mechanism.admit(&mut out);
        mechanism.seal(0, b"secret", &mut out);
        assert_eq!(mechanism.open(&[0; 40], &mut out), Err(ProtocolError::NotReady));
        assert!(out.is_empty() && !mechanism.is_done());
        assert_eq!(mechanism.credentials(), None);
        assert_eq!((mechanism.overhead_bytes(), mechanism.is_transparent()), (33, false));
    }
    let unexpected = |name: &[u8], expected| {
        Err(ProtocolError::UnexpectedCommand { name: name.to_vec(), expected })
    };
    assert_eq!(tell(&mut client, b"WELCOME", &[0; 160]), unexpected(b"WELCOME", "none"));
    assert_eq!(tell(&mut server, b"INITIATE", &[0; 300]), unexpected(b"INITIATE", "HELLO"));
    // It has failed for good.
    assert_eq!(tell(&mut server, b"HELLO", &Client::new().hello()), unexpected(b"HELLO", "none"));
}

#[test]
fn metadata_of_the_client_is_handed_on() {
    let mut server = CurveServer::new(&SERVER, true, &mut counting());
    let client = Client::new();
    let welcome = tell(&mut server, b"HELLO", &client.hello()).unwrap();
    let (data, _) = client.initiate(&welcome);
    let mut out = Vec::new();
    let progress = server.handle_command(CommandView { name: b"INITIATE", data: &data }, &mut out);
    assert_eq!(progress, Ok(Progress::Metadata(METADATA.to_vec())));
    assert!(out.is_empty() && !server.is_done());
    assert_eq!(server.credentials(), Some(vec![curve_public_key(&CLIENT).to_vec()]));
    server.admit(&mut out);
    assert_eq!((body(&out).len(), server.is_done()), (30, true));
    assert_eq!(server.credentials(), None);
}
