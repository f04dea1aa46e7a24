//! Makes a sequence of a seed: one that both libraries survive, and of which the manual says what
//! comes out.

use crate::call::{Body, Call, Handle, Place, Polled, RecvForm, SendForm, Steer};
use crate::{security, traffic};

/// The sequence of a seed.
pub fn sequence(seed: u64) -> Vec<Call> {
    let mut maker = Maker { random: Random(seed), calls: Vec::new(), ..Maker::default() };
    for _ in 0..1 + maker.random.below(3) {
        match maker.random.below(100) {
            0..49 => traffic::make(&mut maker),
            49..51 => traffic::newest(&mut maker),
            51..55 => traffic::brim(&mut maker),
            55..61 => maker.options(),
            61..66 => security::make(&mut maker),
            66..69 => maker.messages(),
            69..74 => maker.utilities(),
            74..78 => maker.contexts(),
            78..82 => maker.endpoints(),
            82..85 => maker.nobody(),
            85..88 => maker.counters(),
            88..91 => maker.timers(),
            91..94 => maker.proxy(),
            94..97 => maker.stream(),
            _ => maker.text(),
        }
    }
    maker.calls
}

/// SplitMix64.
#[derive(Default)]
pub struct Random(u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// True so many times in a hundred.
    pub fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// What is made so far.
#[derive(Default)]
pub struct Maker {
    pub random: Random,
    pub calls: Vec<Call>,
    pub contexts: usize,
    pub sockets: usize,
    pub bound: usize,
    pub monitors: usize,
    pub messages: usize,
    /// Numbers what is sent.
    pub sent: usize,
}

/// What C's options hold.
pub const INTS: [i32; 17] =
    [-2, -1, 0, 1, 2, 3, 7, 99, 100, 255, 256, 1000, 1024, 65_535, 6_553_599, i32::MIN, i32::MAX];

/// Around where the libraries keep bodies in the message itself, and where memory is shared.
pub const SIZES: [usize; 20] =
    [0, 1, 2, 5, 8, 29, 30, 31, 32, 33, 34, 55, 56, 57, 64, 255, 256, 1000, 8192, 70_000];

impl Maker {
    pub fn add(&mut self, call: Call) {
        self.calls.push(call);
    }

    /// A context, now and then the one before.
    pub fn context(&mut self) -> usize {
        if self.contexts > 0 && self.random.chance(50) {
            return self.contexts - 1;
        }
        let context = self.contexts;
        self.contexts += 1;
        let call = match self.random.below(10) {
            0 => Call::Init { context, threads: self.random.of(&[1, 2]) },
            _ => Call::CtxNew { context },
        };
        self.add(call);
        context
    }

    pub fn socket(&mut self, context: usize, kind: i32) -> usize {
        let socket = self.sockets;
        self.sockets += 1;
        self.add(Call::Socket { context: Handle::At(context), socket, kind });
        socket
    }

    pub fn set(&mut self, socket: usize, option: i32, value: i32) {
        let value = Some(value.to_ne_bytes().to_vec());
        self.add(Call::Set { socket: Handle::At(socket), option, value });
    }

    pub fn set_bytes(&mut self, socket: usize, option: i32, value: &[u8]) {
        let value = Some(value.to_vec());
        self.add(Call::Set { socket: Handle::At(socket), option, value });
    }

    pub fn get(&mut self, socket: usize, option: i32) {
        let room = if option == 32 { 256 } else { 4 };
        self.add(Call::Get { socket: Handle::At(socket), option, room });
    }

    /// Any option with any value, on a socket that has nothing to lose.
    fn options(&mut self) {
        let context = self.context();
        let kind = self.random.below(11) as i32;
        let socket = self.socket(context, kind);
        for _ in 0..6 + self.random.below(25) {
            let option = self.option();
            let set = Handle::At(socket);
            if self.random.chance(55) {
                let value = self.value(option);
                self.add(Call::Set { socket: set, option, value });
            }
            if self.random.chance(80) {
                let room = match self.random.below(10) {
                    0..5 => 4,
                    5..7 => 8,
                    7 => 256,
                    _ => self.random.of(&[0, 1, 3, 5, 32, 33, 40, 41]),
                };
                self.add(Call::Get { socket: set, option, room });
            }
        }
        if self.random.chance(30) {
            self.add(Call::Close { socket: Handle::At(socket) });
        }
    }

    fn option(&mut self) -> i32 {
        const SECURITY: [i32; 10] = [43, 44, 45, 46, 47, 48, 49, 50, 55, 93];
        match self.random.below(20) {
            1..6 => self.random.of(&SECURITY),
            0 => self.random.of(&[-1, 0, 1, 2, 3, 10, 20, 26, 30, 127, 1000, i32::MAX]),
            _ => 4 + self.random.below(90) as i32,
        }
    }

    fn value(&mut self, option: i32) -> Option<Vec<u8>> {
        /// These take what they are given for a descriptor.
        const USE_FD: i32 = 89;
        const SERVERS: [i32; 2] = [44, 47];
        const TEXTS: [i32; 3] = [45, 46, 55];
        const KEYS: std::ops::RangeInclusive<i32> = 48..=50;
        /// Keys in Z85, whole and not.
        const KEY_TEXTS: [&str; 6] = [
            "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID",
            "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID\0",
            "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6",
            "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6x",
            "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{L",
            "~TKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6",
        ];
        Some(match self.random.below(20) {
            _ if option == USE_FD => (-1_i32).to_ne_bytes().to_vec(),
            0..6 if KEYS.contains(&option) => self.random.of(&KEY_TEXTS).into(),
            6..10 if KEYS.contains(&option) => (0..32).map(|_| self.random.next() as u8).collect(),
            7..9 if TEXTS.contains(&option) => return None,
            0..5 if TEXTS.contains(&option) => {
                let bytes = self.random.of(&[1, 2, 40, 254, 255, 256]);
                "user".bytes().cycle().take(bytes).collect()
            }
            0..10 if SERVERS.contains(&option) => {
                self.random.of(&[0_i32, 1]).to_ne_bytes().to_vec()
            }
            0..11 => self.random.of(&INTS).to_ne_bytes().to_vec(),
            11 => u64::from(self.random.next() as u32).to_ne_bytes().to_vec(),
            12 => i64::from(self.random.of(&INTS)).to_ne_bytes().to_vec(),
            13 => return None,
            14 => Vec::new(),
            15 => self.random.of(&["a", "user", "lo", "127.0.0.1", "127.0.0.1/8", "x:y"]).into(),
            16 => self.random.of(&KEY_TEXTS).into(),
            17 => b"with a zero\0".to_vec(),
            _ => {
                let bytes = self.random.of(&[1, 2, 3, 5, 8, 16, 31, 32, 33, 40, 41, 254, 255, 256]);
                let first = self.random.of(b"\0\x01az");
                (0..bytes).map(|at| if at == 0 { first } else { b'k' }).collect()
            }
        })
    }

    fn messages(&mut self) {
        const PLACES: usize = 4;
        for _ in 0..8 + self.random.below(20) {
            let message = self.random.below(PLACES);
            let other = (message + 1 + self.random.below(PLACES - 1)) % PLACES;
            let bytes = self.random.of(&SIZES);
            let call = match self.random.below(20) {
                0 => Call::MsgInit { message },
                1..4 => Call::MsgInitSize { message, bytes },
                4..7 => Call::MsgInitData { message, bytes, free: self.random.chance(70) },
                7..10 => Call::MsgLook { message },
                10 => {
                    Call::MsgGet { message, property: self.random.of(&[1, 1, 2, 3, 3, 0, 4, -1]) }
                }
                11 => Call::MsgSet { message, property: self.random.of(&[0, 1, 2, 3, 7]) },
                12 => Call::MsgGets {
                    message,
                    property: self.random.of(&["Socket-Type", "User-Id", "", "X-a"]).into(),
                },
                13..15 => Call::MsgMove { to: other, from: message },
                15..18 => Call::MsgCopy { to: other, from: message },
                18 => Call::MsgFreed,
                _ => Call::MsgClose { message },
            };
            self.add(call);
        }
        self.add(Call::MsgFreed);
    }

    fn utilities(&mut self) {
        for _ in 0..3 + self.random.below(6) {
            let call = match self.random.below(6) {
                0 => Call::Stopwatch,
                1 => Call::Thread,
                2 => Call::CurveKeypair,
                3 => Call::PollInvalid { count: self.random.of(&[-1, 0, 1, 3]) },
                4 => Call::Poll {
                    items: (0..self.random.below(4))
                        .map(|_| {
                            (Polled::Pipe(self.random.chance(50)), self.random.of(&[0, 1, 2, 3]))
                        })
                        .collect(),
                    timeout: self.random.of(&[0, 1]),
                },
                _ => Call::TimersInvalid,
            };
            self.add(call);
        }
    }

    fn text(&mut self) {
        const NAMES: [&str; 14] = [
            "ipc", "pgm", "epgm", "tipc", "norm", "curve", "gssapi", "vmci", "draft", "", "tcp",
            "IPC", "ws", "inproc",
        ];
        const ERRORS: [i32; 14] = [0, 1, 2, 4, 11, 22, 88, 95, 98, 110, 113, 133, 4095, -1];
        for _ in 0..4 + self.random.below(10) {
            let call = match self.random.below(6) {
                0 => Call::Has { what: self.random.of(&NAMES).into() },
                1 => Call::Strerror { number: self.random.of(&ERRORS) },
                2 => Call::Strerror { number: 156_384_712 + self.random.below(60) as i32 },
                3 => {
                    let bytes = self.random.of(&[0, 1, 3, 4, 8, 12, 31, 32, 33, 64]);
                    let data = (0..bytes).map(|_| self.random.next() as u8).collect();
                    Call::Z85Encode { data }
                }
                4 => {
                    let chars = self.random.of(&[0, 1, 4, 5, 9, 10, 15, 40, 41]);
                    let common = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUV.-:+=^!/*?&<>()[]{}@%$#";
                    let wild = self.random.chance(25);
                    let char = |random: &mut Random| match wild && random.chance(20) {
                        true => random.of(b" ~\"'\\`_,;|\x7f\x01"),
                        // What begins a group with a high digit may be more than four bytes hold.
                        false => random.of(common),
                    };
                    let text = (0..chars).map(|_| char(&mut self.random) as char).collect();
                    Call::Z85Decode { text }
                }
                _ => Call::CurvePublic {
                    secret: self
                        .random
                        .of(&[
                            "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6",
                            "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs",
                            "D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%c",
                            "",
                            "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hI ",
                        ])
                        .into(),
                },
            };
            self.add(call);
        }
    }

    fn contexts(&mut self) {
        let context = self.context();
        for _ in 0..3 + self.random.below(8) {
            let at = Handle::At(context);
            let option =
                self.random.of(&[1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 42, 70, 0, -1, 10, 11, 77]);
            // These change threads of the process that nobody else should have.
            let value = match option {
                // 65,536 threads end libzmq.
                1 => self.random.of(&[-1, 0, 1, 2, 3]),
                2 => self.random.of(&[-1, 0, 1, 2, 3, 5, 65_536]),
                3 | 4 | 7 | 8 => -1,
                _ => self.random.of(&INTS),
            };
            match self.random.below(10) {
                0..4 => self.add(Call::CtxSet { context: at, option, value }),
                4..8 => self.add(Call::CtxGet { context: at, option }),
                8 => {
                    let kind = self.random.of(&[-1, 0, 3, 6, 9, 20, 21, 1000]);
                    self.socket(context, kind);
                }
                _ => {
                    let most = 1 + self.random.below(3);
                    self.add(Call::CtxSet { context: at, option: 2, value: most as i32 });
                    for _ in 0..=most {
                        self.socket(context, 0);
                    }
                }
            }
        }
        let end = match self.random.below(4) {
            0 => Call::CtxTerm { context },
            1 => Call::CtxShutdown { context: Handle::At(context) },
            _ => return,
        };
        self.add(end);
        if self.random.chance(60) {
            self.socket(context, 0);
            self.add(Call::CtxSet { context: Handle::At(context), option: 2, value: 5 });
            self.add(Call::CtxGet { context: Handle::At(context), option: 2 });
        }
        // The next block has its own.
        self.contexts += 1;
        self.add(Call::CtxNew { context: self.contexts - 1 });
    }

    /// Endpoints that nobody can bind to or connect with, and some that anybody can.
    fn endpoints(&mut self) {
        const ALL: [&str; 35] = [
            "",
            ":",
            "://",
            "tcp",
            "tcp:",
            "tcp://",
            "tcp://127.0.0.1",
            "tcp://127.0.0.1:",
            "tcp://127.0.0.1:x",
            "tcp://:5555",
            "tcp://[::1",
            "tcp://127.0.0.1:0",
            "tcp://127.0.0.1:*",
            "tcp://lo:*",
            "tcp://*:*",
            "tcp://nosuchif:*",
            "tcp://256.1.1.1:*",
            "tcp://203.0.113.77:*",
            "ipc://",
            "ipc://{dir}/place",
            "ipc://*",
            "ipc://{dir}/none/no",
            "inproc://",
            "inproc://x",
            "inproc",
            "INPROC://x",
            "udp://127.0.0.1:5555",
            "foo://bar",
            "http://x:1",
            "tcp//127.0.0.1:1",
            "127.0.0.1:5555",
            "tcp://127.0.0.1:*x",
            "vmci://1:1",
            "tcp://127.0.0.1;127.0.0.1:5555",
            "inproc://y",
        ];
        let context = self.context();
        for _ in 0..2 {
            let kind = self.random.of(&[0, 1, 2, 3, 6, 7, 8]);
            let socket = self.socket(context, kind);
            for _ in 0..1 + self.random.below(4) {
                let to = Place::Text(self.random.of(&ALL).into());
                let handle = Handle::At(socket);
                match self.random.below(6) {
                    0..3 => {
                        self.bound += 1;
                        let bound = self.bound - 1;
                        self.add(Call::Bind { socket: handle, to: to.clone(), bound });
                        if self.random.chance(60) {
                            let from =
                                if self.random.chance(70) { Place::Bound(bound) } else { to };
                            self.add(Call::Unbind { socket: handle, from: from.clone() });
                            if self.random.chance(40) {
                                self.add(Call::Unbind { socket: handle, from });
                            }
                        }
                    }
                    3 => self.add(Call::Unbind { socket: handle, from: to }),
                    4 => self.add(Call::Disconnect { socket: handle, from: to }),
                    _ => {
                        self.add(Call::Connect { socket: handle, to: to.clone() });
                        if self.random.chance(60) {
                            self.add(Call::Disconnect { socket: handle, from: to });
                        }
                    }
                }
                self.get(socket, 32);
            }
        }
    }

    /// Handles that are none.
    fn nobody(&mut self) {
        for _ in 0..6 {
            let none = self.random.of(&[Handle::Null, Handle::Foreign]);
            let text = Place::Text("inproc://nobody".into());
            let body = Body::Raw(b"x".to_vec());
            let call = match self.random.below(18) {
                0 => Call::CtxSet { context: none, option: 1, value: 1 },
                1 => Call::CtxGet { context: none, option: 1 },
                2 => Call::CtxShutdown { context: none },
                3 => Call::CtxTermInvalid { context: none },
                4 => Call::Socket { context: none, socket: 99, kind: 0 },
                5 => Call::Close { socket: none },
                6 => Call::Bind { socket: none, to: text, bound: 99 },
                7 => Call::Connect { socket: none, to: text },
                8 => Call::Unbind { socket: none, from: text },
                9 => Call::Disconnect { socket: none, from: text },
                10 => Call::Set { socket: none, option: 17, value: Some(vec![0; 4]) },
                11 => Call::Get { socket: none, option: 17, room: 4 },
                12 => Call::Send { socket: none, body, flags: 1, form: self.send_form() },
                13 => {
                    let form = self.recv_form();
                    Call::Recv { socket: none, form, flags: 1 }
                }
                14 => Call::SendIov { socket: none, bodies: vec![body], flags: 1 },
                15 => Call::RecvIov { socket: none, count: 1 },
                16 => Call::Poll { items: vec![(Polled::Socket(Handle::Foreign), 1)], timeout: 0 },
                _ => Call::Monitor { socket: none, monitor: 99, to: text, events: 1 },
            };
            self.add(call);
        }
    }

    pub fn send_form(&mut self) -> SendForm {
        use SendForm::*;
        self.random.of(&[Buffer, Buffer, Const, Message, Message, OldMessage])
    }

    pub fn recv_form(&mut self) -> RecvForm {
        match self.random.below(6) {
            0..2 => RecvForm::Buffer(100_000),
            2 => RecvForm::Buffer(self.random.of(&SIZES)),
            3 => RecvForm::OldMessage,
            _ => RecvForm::Message,
        }
    }

    fn counters(&mut self) {
        self.add(Call::CounterNew);
        for _ in 0..4 + self.random.below(10) {
            let call = match self.random.below(8) {
                0..2 => Call::CounterSet(self.random.of(&INTS)),
                2..4 => Call::CounterInc,
                4..6 => Call::CounterDec,
                _ => Call::CounterValue,
            };
            self.add(call);
        }
        self.add(Call::CounterDestroy);
    }

    fn timers(&mut self) {
        /// Far apart, so that the order does not depend on how long the calls take.
        const INTERVALS: [usize; 5] = [1, 1, 15, 30, 3_600_000];
        self.add(Call::TimersNew);
        let mut last = 0;
        for _ in 0..4 + self.random.below(8) {
            let timer = 1 + self.random.below(last + 2) as i32;
            let interval = self.random.of(&INTERVALS);
            let call = match self.random.below(9) {
                0..4 => {
                    last += 1;
                    Call::TimersAdd { interval }
                }
                4 => Call::TimersCancel { timer },
                5 => Call::TimersSetInterval { timer, interval },
                6 => Call::TimersReset { timer },
                7 => Call::TimersTimeout,
                _ => Call::TimersExecute { after_ms: self.random.of(&[7, 22, 45]) },
            };
            self.add(call);
        }
        self.add(Call::TimersExecute { after_ms: 45 });
        self.add(Call::TimersDestroy);
    }

    fn proxy(&mut self) {
        let count = 1 + self.random.below(5);
        let steps = (0..count)
            .map(|_| match self.random.below(6) {
                0 => Steer::Pause,
                1 => Steer::Resume,
                2 => Steer::Statistics,
                _ => Steer::Pass(self.random.below(4)),
            })
            .collect();
        let capture = self.random.chance(40);
        self.add(Call::Proxy { capture, steps });
    }

    fn stream(&mut self) {
        let steps = (0..self.random.below(4)).map(|_| self.random.of(&[1, 5, 100, 3000])).collect();
        let close = self.random.chance(50);
        self.add(Call::Stream { steps, close });
    }
}
