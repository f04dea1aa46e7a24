//! PLAIN and CURVE: a conversation that somebody between the ends changes.

use std::sync::LazyLock;

use oxmq_zmtp::mechanism::{
    CurveClient, CurveClientKeys, CurveServer, PlainClient, PlainServer, curve_public_key,
};
use oxmq_zmtp::{Config, SocketType};

use crate::common::{Driver, Rng, Seen, small, talk, talk_on};
use crate::in_any_pieces;

const GREETING_BYTES: usize = 64;
const SECRETS: [[u8; 32]; 2] = [[0xC1; 32], [0x51; 32]];

/// Which end is looked at.
#[derive(Clone, Copy)]
struct End {
    curve: bool,
    server: bool,
}

impl End {
    const ALL: [End; 4] = [
        End { curve: true, server: true },
        End { curve: true, server: false },
        End { curve: false, server: true },
        End { curve: false, server: false },
    ];

    /// The same each time: what is drawn at random is not.
    fn start(self) -> Driver {
        let mut rng = Rng::new(1 + u64::from(self.server));
        let mut fill = move |bytes: &mut [u8]| bytes.copy_from_slice(&rng.bytes(bytes.len()));
        let [client, server] = SECRETS;
        let config = match self.server {
            true => Config { as_server: true, ..small(SocketType::Router) },
            false => small(SocketType::Dealer),
        };
        match (self.curve, self.server) {
            (true, true) => Driver::with(config, CurveServer::new(&server, true, &mut fill)),
            (true, false) => {
                let server_public = curve_public_key(&server);
                let public = curve_public_key(&client);
                let keys = CurveClientKeys { server_public, public, secret: client };
                Driver::with(config, CurveClient::new(keys, &mut fill))
            }
            (false, true) => Driver::with(config, PlainServer::new()),
            (false, false) => {
                Driver::with(config, PlainClient::new(b"name".to_vec(), b"password".to_vec()))
            }
        }
    }
}

/// What an end hears, from the greeting to the last message, and sees.
struct Recorded {
    heard: Vec<u8>,
    seen: Vec<Seen>,
}

static RECORDED: LazyLock<[Recorded; 4]> = LazyLock::new(|| {
    End::ALL.map(|end| {
        let mut here = end.start();
        let mut there = End { server: !end.server, ..end }.start();
        talk(&mut here, &mut there);
        let arrived = (here.sent.len(), there.sent.len());
        for (at, length) in [0, 5, 222, 300, 900].into_iter().enumerate() {
            there.connection.seal(at % 2 == 1, &vec![at as u8; length], &mut there.sent);
        }
        there.connection.ping(9, b"context", &mut there.sent);
        talk_on(&mut here, &mut there, arrived);
        assert!(here.failure().is_none() && there.failure().is_none());
        Recorded { heard: there.sent, seen: here.seen }
    })
});

/// PLAIN and CURVE: as [`connection`](crate::connection); and if somebody changes what is said behind
/// the greeting, an end with CURVE sees nothing that was not said.
///
/// The first octet chooses the end, the second the cuts. The others are changes of a recorded
/// conversation, four octets each, or, for one value of the first in five, what the peer says behind
/// its greeting.
pub fn security(data: &[u8]) {
    let [end, seed, rest @ ..] = data else { return };
    let at = usize::from(*end) % End::ALL.len();
    let (end, raw) = (End::ALL[at], usize::from(*end) / End::ALL.len() % 5 == 4);
    let recorded = &RECORDED[at];
    let (greeting, said) = recorded.heard.split_at(GREETING_BYTES);
    let mut said = said.to_vec();
    if raw {
        said = rest.to_vec();
    } else {
        for change in rest.as_chunks::<4>().0.iter().take(32) {
            apply(*change, &mut said);
        }
    }

    let driver = in_any_pieces(|| end.start(), *seed, &[greeting, &said].concat());
    if end.curve {
        let mut recorded = recorded.seen.iter();
        for seen in driver.seen.iter().filter(|seen| !matches!(seen, Seen::Failed(_))) {
            assert!(recorded.any(|recorded| recorded == seen), "forged: {seen:?}");
        }
    }
}

/// One change: what to do, where, and with what.
fn apply([what, high, low, with]: [u8; 4], said: &mut Vec<u8>) {
    let at = usize::from(u16::from_be_bytes([high, low]));
    let at = if said.is_empty() { 0 } else { at % said.len() };
    let end = (at + 1 + usize::from(with)).min(said.len());
    match what % 6 {
        0 => said[at..].iter_mut().take(1).for_each(|octet| *octet ^= with),
        1 => said[at..].iter_mut().take(1).for_each(|octet| *octet = with),
        2 => said.truncate(at),
        3 => said.insert(at, with),
        4 => drop(said.drain(at..end.max(at))),
        // What was said before is said again; or what comes later, too early.
        _ => {
            let again = said[at..end.max(at)].to_vec();
            let to = at * usize::from(with) % (said.len() + 1);
            said.splice(to..to, again);
        }
    }
}
