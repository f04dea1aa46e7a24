//! Two sockets that secure what they say, or do not agree on how; and the handler of ZAP that lets
//! one of them in.

use crate::call::Call;
use crate::generate::{Maker, SIZES};

/// Who is who, and what they say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Scene {
    pub transport: Transport,
    /// The server of the mechanism connects, and the client binds.
    pub server_connects: bool,
    /// Their types, the server's first.
    pub kinds: (i32, i32),
    pub server: Server,
    pub client: Client,
    pub handler: Option<Handler>,
    /// The sizes of the parts of each message, which goes in each direction that there is.
    pub messages: Vec<Vec<usize>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Transport {
    Tcp,
    Ipc,
}

/// What the server asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    pub mechanism: Mechanism,
    pub domain: Option<&'static str>,
    pub enforces_domain: bool,
    /// How its secret key is set.
    pub form: KeyForm,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    Null,
    Plain,
    Curve,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyForm {
    Bytes,
    Text,
    TextWithZero,
}

/// What the client has to show.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Client {
    Null,
    Plain {
        name: Option<&'static str>,
        password: Option<&'static str>,
    },
    /// Keys by their numbers in [`KEYS`]; the server's is the first.
    Curve {
        server: usize,
        public: usize,
        secret: usize,
        form: KeyForm,
    },
}

impl Client {
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Client::Null => Mechanism::Null,
            Client::Plain { .. } => Mechanism::Plain,
            Client::Curve { .. } => Mechanism::Curve,
        }
    }
}

/// The handler of ZAP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Handler {
    /// REP or ROUTER.
    pub kind: i32,
    pub answer: Answer,
    /// It says nothing for a while.
    pub late_ms: u64,
}

/// What the handler makes of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It knows a user by name and password, one by the key, and a domain that is open to all.
    Decides,
    /// The same to everybody.
    Status(&'static str),
    /// Success, and these as the user and the metadata.
    User(&'static str, &'static [u8]),
    /// One part of the reply is another than it should be.
    Version(&'static str),
    RequestId(&'static str),
    TooFewParts,
    TooManyParts,
}

/// Key pairs, each as the public and the secret key.
pub const KEYS: [(&str, &str); 3] = [
    ("*n?s5?8Hr0O-1vN6@kNBPVI[:Z42$)Gk]Ib^AY%B", "er&MVH+5%:)/yElk&wMI![r?AbI7>}J<Zfp8:4?d"),
    ("/O4Ad>F{qBhpyd>>wYphzGu=}LI10jyRls$bK[0q", "0FCfn8hxAOLw4Z7)gD[/.wh:Gnx3Z:}[mjofF!c!"),
    ("=%7q[ba@oobHR{Z-2k9>]1Pdjq^(1-oF2l1ux%Ls", "705K^P8o##Wc-cz?s]s{D4yra/75h9}/ps45]EdK"),
];

/// Whom the handler knows.
pub const USER: &str = "admin";
pub const PASSWORD: &str = "secret";
pub const KNOWN_KEY: usize = 1;
/// The domain that is open to all.
pub const OPEN: &str = "open";

const PAIR: i32 = 0;
const SUB: i32 = 2;
const REQ: i32 = 3;
const REP: i32 = 4;
pub const DEALER: i32 = 5;
const ROUTER: i32 = 6;
const PULL: i32 = 7;
const PUSH: i32 = 8;
const XPUB: i32 = 9;

/// A scene in which anything may be right or wrong, more often right.
pub fn make(maker: &mut Maker) {
    let random = &mut maker.random;
    let forms = [KeyForm::Bytes, KeyForm::Text, KeyForm::TextWithZero];
    let mechanisms = [Mechanism::Null, Mechanism::Plain, Mechanism::Curve, Mechanism::Curve];
    let mechanism = random.of(&mechanisms);
    let domain = match random.below(10) {
        0..4 => None,
        4..9 => Some(OPEN),
        _ => Some("closed"),
    };
    // libzmq's PLAIN ends the process otherwise.
    let may_enforce = mechanism != Mechanism::Plain || domain.is_some();
    let enforces_domain = may_enforce && random.chance(25);
    let server = Server { mechanism, domain, enforces_domain, form: random.of(&forms) };
    let shows = if random.chance(90) { mechanism } else { random.of(&mechanisms) };
    let client = match shows {
        Mechanism::Null => Client::Null,
        Mechanism::Plain => Client::Plain {
            name: random.of(&[Some(USER), Some(USER), Some(USER), Some("nobody"), None]),
            password: random.of(&[Some(PASSWORD), Some(PASSWORD), Some(PASSWORD), Some("guess")]),
        },
        Mechanism::Curve => {
            let secret = random.of(&[KNOWN_KEY, KNOWN_KEY, KNOWN_KEY, 2]);
            Client::Curve {
                server: random.of(&[0, 0, 0, 0, 0, 2]),
                public: if random.chance(90) { secret } else { 0 },
                secret,
                form: random.of(&forms),
            }
        }
    };
    let handler = random.chance(70).then(|| Handler {
        kind: random.of(&[REP, ROUTER]),
        answer: match random.below(16) {
            0..9 => Answer::Decides,
            9 => Answer::Status(random.of(&["300", "400", "500"])),
            10 => Answer::Status(random.of(&["201", "100", "600", "", "2000", "ok!"])),
            11 => Answer::User(random.of(&["", "ann"]), random.of(&METADATA)),
            12 => Answer::Version(random.of(&["", "1.1", "1.00"])),
            13 => Answer::RequestId(random.of(&["", "2", "11"])),
            14 => Answer::TooFewParts,
            _ => Answer::TooManyParts,
        },
        late_ms: random.of(&[0, 0, 0, 2]),
    });
    let kinds = [
        (PAIR, PAIR),
        (DEALER, DEALER),
        (REP, REQ),
        (ROUTER, DEALER),
        (DEALER, REP),
        (PULL, PUSH),
        (PUSH, PULL),
        (XPUB, SUB),
        (SUB, XPUB),
    ];
    let scene = Scene {
        transport: random.of(&[Transport::Tcp, Transport::Tcp, Transport::Ipc]),
        server_connects: random.chance(20),
        kinds: random.of(&kinds),
        server,
        client,
        handler,
        messages: (0..random.below(4))
            .map(|_| (0..1 + random.below(3)).map(|_| random.of(&SIZES)).collect())
            .collect(),
    };
    maker.add(Call::Secured(Box::new(scene)));
}

/// Good and bad.
const METADATA: [&[u8]; 6] = [
    b"",
    b"\x05Group\0\0\0\x05staff",
    b"\x05Group\0\0\0\x05staff\x03X-a\0\0\0\0",
    b"\x07User-Id\0\0\0\x02me",
    b"\x05Group\0\0\0\x06staff",
    b"x",
];
