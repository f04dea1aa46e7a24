//! Two sockets that secure what they say, or fail to.

use super::{DONTWAIT, EVENTS, LINGER, Replay, SNDMORE, show};
use crate::api::{Api, RawMessage};
use crate::security::{
    Answer, Client, DEALER, Handler, KEYS, KNOWN_KEY, KeyForm, Mechanism, OPEN, PASSWORD, Scene,
    Transport, USER,
};
use libc::{c_int, c_void};
use std::ffi::{CStr, CString};
use std::ptr;
use std::time::{Duration, Instant};

const ROUTING_ID: c_int = 5;
const SUBSCRIBE: c_int = 6;
const PLAIN_SERVER: c_int = 44;
const PLAIN_USERNAME: c_int = 45;
const PLAIN_PASSWORD: c_int = 46;
const CURVE_SERVER: c_int = 47;
const CURVE_PUBLICKEY: c_int = 48;
const CURVE_SECRETKEY: c_int = 49;
const CURVE_SERVERKEY: c_int = 50;
const ZAP_DOMAIN: c_int = 55;
const ZAP_ENFORCE_DOMAIN: c_int = 93;

const SUB: c_int = 2;
const REQ: c_int = 3;
const REP: c_int = 4;
const ROUTER: c_int = 6;
const PULL: c_int = 7;
const PUSH: c_int = 8;
const XPUB: c_int = 9;

/// CONNECT_RETRIED.
const RETRIED: i32 = 0x4;
const FAILED: i32 = 0x800;
const SUCCEEDED: i32 = 0x1000;
const FAILED_PROTOCOL: i32 = 0x2000;
const FAILED_AUTH: i32 = 0x4000;
const MISMATCH: i32 = 0x1100_0002;

/// One of the two, and what its monitor has told of handshakes, and of new attempts.
struct Side {
    socket: *mut c_void,
    monitor: *mut c_void,
    told: Vec<(i32, i32)>,
}

impl Side {
    fn new(api: &Api, context: *mut c_void, kind: c_int, events: &CStr) -> Side {
        // SAFETY: handles of the library's.
        unsafe {
            let socket = (api.zmq_socket)(context, kind);
            let monitor = (api.zmq_socket)(context, super::PAIR);
            let all = RETRIED | FAILED | SUCCEEDED | FAILED_PROTOCOL | FAILED_AUTH;
            (api.zmq_socket_monitor)(socket, events.as_ptr(), all);
            (api.zmq_connect)(monitor, events.as_ptr());
            Side { socket, monitor, told: Vec::new() }
        }
    }

    /// How its first handshake ended.
    fn end(&self) -> Option<(i32, i32)> {
        self.told.iter().find(|(event, _)| *event != RETRIED).copied()
    }

    fn shown(&self) -> String {
        match self.end() {
            Some((event, value)) => format!("{event:#x} {value:#x}"),
            None => "nothing".into(),
        }
    }
}

impl Replay<'_> {
    /// What comes of a handshake and, if it succeeds, of messages.
    pub(super) fn secured(&mut self, scene: &Scene) -> String {
        let api = self.api;
        // SAFETY: handles of the library's.
        unsafe {
            let context = (api.zmq_ctx_new)();
            let mut server = Side::new(api, context, scene.kinds.0, c"inproc://server-events");
            let mut client = Side::new(api, context, scene.kinds.1, c"inproc://client-events");
            let handler = scene.handler.as_ref().map(|handler| {
                let socket = (api.zmq_socket)(context, handler.kind);
                (api.zmq_bind)(socket, c"inproc://zeromq.zap.01".as_ptr());
                socket
            });
            self.prepare(scene, &server, &client);
            let (binds, connects) = match scene.server_connects {
                true => (client.socket, server.socket),
                false => (server.socket, client.socket),
            };
            let place = match scene.transport {
                Transport::Tcp => "tcp://127.0.0.1:*".to_owned(),
                Transport::Ipc => format!("ipc://{}/secured", self.dir.display()),
            };
            let place = CString::new(place).unwrap();
            let code = (api.zmq_bind)(binds, place.as_ptr());
            let mut said = vec![self.code(code)];
            let place = CString::new(self.last_endpoint(binds)).unwrap();
            let code = (api.zmq_connect)(connects, place.as_ptr());
            said.push(self.code(code));
            let asked = self.shake_hands(scene, &mut server, &mut client, handler);
            said.push(
                asked.map_or_else(|| "nobody is asked".into(), |asked| format!("asked {asked}")),
            );
            said.push(outcome(scene, &server, &client));
            let has_met = [&server, &client].iter().all(|it| it.end() == Some((SUCCEEDED, 0)));
            if has_met {
                self.exchange(scene, server.socket, client.socket, &mut said);
            } else {
                self.nothing_comes(scene, &server, &mut client, &mut said);
            }
            for socket in [server.socket, client.socket] {
                // libzmq waits for monitors in the thread that ends sockets.
                (api.zmq_socket_monitor)(socket, ptr::null(), 0);
                self.close_at_once(socket);
            }
            for socket in [server.monitor, client.monitor].into_iter().chain(handler) {
                self.close_at_once(socket);
            }
            (api.zmq_ctx_term)(context);
            said.join("; ")
        }
    }

    fn put_bytes(&self, socket: *mut c_void, option: c_int, value: &[u8]) {
        // SAFETY: the socket is open.
        unsafe { (self.api.zmq_setsockopt)(socket, option, value.as_ptr().cast(), value.len()) };
    }

    fn put_key(&self, socket: *mut c_void, option: c_int, key: &str, form: KeyForm) {
        let text = CString::new(key).unwrap();
        let mut bytes = [0; 32];
        // SAFETY: 40 characters become 32 bytes.
        unsafe { (self.api.zmq_z85_decode)(bytes.as_mut_ptr(), text.as_ptr()) };
        self.put_bytes(
            socket,
            option,
            match form {
                KeyForm::Bytes => &bytes,
                KeyForm::Text => text.to_bytes(),
                KeyForm::TextWithZero => text.to_bytes_with_nul(),
            },
        );
    }

    /// Sets what each of the two has to show and asks for.
    fn prepare(&self, scene: &Scene, server: &Side, client: &Side) {
        let number = |value: c_int| value.to_ne_bytes();
        let asks = &scene.server;
        self.put_bytes(server.socket, ROUTING_ID, b"the server");
        match asks.mechanism {
            Mechanism::Null => {}
            Mechanism::Plain => self.put_bytes(server.socket, PLAIN_SERVER, &number(1)),
            Mechanism::Curve => {
                self.put_bytes(server.socket, CURVE_SERVER, &number(1));
                self.put_key(server.socket, CURVE_SECRETKEY, KEYS[0].1, asks.form);
            }
        }
        if let Some(domain) = asks.domain {
            self.put_bytes(server.socket, ZAP_DOMAIN, domain.as_bytes());
        }
        if asks.enforces_domain {
            self.put_bytes(server.socket, ZAP_ENFORCE_DOMAIN, &number(1));
        }
        match scene.client {
            Client::Null => {}
            Client::Plain { name, password } => {
                for (option, value) in [(PLAIN_USERNAME, name), (PLAIN_PASSWORD, password)] {
                    if let Some(value) = value {
                        self.put_bytes(client.socket, option, value.as_bytes());
                    }
                }
            }
            Client::Curve { server, public, secret, form } => {
                self.put_key(client.socket, CURVE_SERVERKEY, KEYS[server].0, form);
                self.put_key(client.socket, CURVE_PUBLICKEY, KEYS[public].0, form);
                self.put_key(client.socket, CURVE_SECRETKEY, KEYS[secret].1, form);
            }
        }
        for side in [server, client] {
            self.put_bytes(side.socket, LINGER, &number(0));
            self.put_bytes(side.socket, SUBSCRIBE, b"");
        }
    }

    /// Has both told how their handshake ended, and says what the handler was asked first.
    fn shake_hands(
        &self,
        scene: &Scene,
        server: &mut Side,
        client: &mut Side,
        handler: Option<*mut c_void>,
    ) -> Option<String> {
        let start = Instant::now();
        let mut asked = None;
        while start.elapsed() < Duration::from_millis(500 << self.patience)
            && !has_ended(scene, server, client)
        {
            for side in [&mut *server, client] {
                self.listen(side);
            }
            if let (Some(socket), Some(handler)) = (handler, &scene.handler)
                && let Ok(request) = self.whole(socket)
            {
                std::thread::sleep(Duration::from_millis(handler.late_ms));
                let envelope = if handler.kind == ROUTER { 2 } else { 0 };
                let shown = request.iter().skip(envelope).map(|part| show(part));
                let shown = shown.collect::<Vec<_>>().join(" ");
                let process = format!(":{}", std::process::id());
                asked.get_or_insert(shown.replace(&process, ":<process>"));
                self.send_parts(socket, &reply(handler, &request, envelope));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        asked
    }

    /// What its monitor has told by now.
    fn listen(&self, side: &mut Side) {
        while let Ok(parts) = self.whole(side.monitor) {
            if let Ok(event) = <[u8; 6]>::try_from(&parts[0][..]) {
                let number = i32::from(u16::from_ne_bytes([event[0], event[1]]));
                let value = i32::from_ne_bytes([event[2], event[3], event[4], event[5]]);
                side.told.push((number, value));
            }
        }
    }

    /// Sends what can be sent at once.
    fn send_parts(&self, socket: *mut c_void, parts: &[Vec<u8>]) -> String {
        let mut last = 0;
        for (at, part) in parts.iter().enumerate() {
            let more = if at + 1 < parts.len() { SNDMORE } else { 0 };
            // SAFETY: the socket is open, the part as long as is said.
            last = unsafe {
                (self.api.zmq_send)(socket, part.as_ptr().cast(), part.len(), more | DONTWAIT)
            };
        }
        self.code(last)
    }

    /// Messages in each direction that the types have.
    fn exchange(
        &self,
        scene: &Scene,
        server: *mut c_void,
        client: *mut c_void,
        said: &mut Vec<String>,
    ) {
        let (server, client) = ((scene.kinds.0, server), (scene.kinds.1, client));
        // Who asks is the first to speak.
        let (first, second) =
            if server.0 == REQ || client.0 == REP { (server, client) } else { (client, server) };
        for ((kind, socket), (_, peer)) in [(first, second), (second, first)] {
            if kind == XPUB {
                // A libzmq SUB sends its subscriptions when it is looked at.
                self.int(peer, EVENTS);
                let news = self.await_message(socket);
                said.push(news.map_or_else(|| "no subscription".into(), |it| show(&it[0])));
            }
        }
        let mut name = None;
        for (number, sizes) in scene.messages.iter().enumerate() {
            for (from, to) in [(first, second), (second, first)] {
                if [PULL, SUB].contains(&from.0) || [PUSH, XPUB].contains(&to.0) {
                    continue;
                }
                let mut parts: Vec<Vec<u8>> = sizes
                    .iter()
                    .map(|&size| (0..size).map(|at| (at * 13 + number) as u8).collect())
                    .collect();
                if from.0 == ROUTER {
                    let Some(name) = name.clone() else { continue };
                    parts.insert(0, name);
                }
                if (from.0, to.0) == (DEALER, REP) {
                    parts.insert(0, Vec::new());
                }
                let sent = self.send_parts(from.1, &parts);
                let (mut parts, properties) = self.await_known(to.1);
                if to.0 == ROUTER && !parts.is_empty() {
                    name = Some(parts.remove(0));
                }
                let shown: Vec<_> = parts.iter().map(|part| show(part)).collect();
                said.push(format!("{sent} {} {properties}", shown.join("|")));
            }
        }
    }

    /// The next message, and what is known of its user.
    fn await_known(&self, socket: *mut c_void) -> (Vec<Vec<u8>>, String) {
        let start = Instant::now();
        let mut parts = Vec::new();
        let mut properties = String::new();
        let mut message = RawMessage([0; 64]);
        // SAFETY: the socket is open, the message initialised.
        unsafe {
            (self.api.zmq_msg_init)(&mut message);
            while start.elapsed() < Duration::from_millis(500 << self.patience) {
                if (self.api.zmq_msg_recv)(&mut message, socket, DONTWAIT) < 0 {
                    std::thread::sleep(Duration::from_micros(100));
                    continue;
                }
                parts.push(self.bytes(&mut message));
                if (self.api.zmq_msg_more)(&message) == 0 {
                    let get = |name: &CStr| {
                        let text = (self.api.zmq_msg_gets)(&message, name.as_ptr());
                        self.api.text(text).unwrap_or_else(|| self.api.error())
                    };
                    let names = [c"User-Id", c"Group", c"X-a", c"Socket-Type"];
                    properties = names.map(get).join(",");
                    break;
                }
            }
            (self.api.zmq_msg_close)(&mut message);
        }
        (parts, properties)
    }

    /// Who is not let in is not heard.
    fn nothing_comes(
        &self,
        scene: &Scene,
        server: &Side,
        client: &mut Side,
        said: &mut Vec<String>,
    ) {
        for side in [&*client, server] {
            self.send_parts(side.socket, &[b"lost".to_vec()]);
        }
        std::thread::sleep(Duration::from_millis(2 << (2 * self.patience)));
        self.listen(client);
        let is_retried = client.told.iter().any(|(event, _)| *event == RETRIED);
        // Of another end it may not have heard yet.
        if let (Some((FAILED_AUTH, 400 | 500)), true) = (server.end(), is_retried) {
            said.push("tries again".into());
        }
        for (side, kind) in [(server, scene.kinds.0), (&*client, scene.kinds.1)] {
            said.push(match self.whole(side.socket) {
                Ok(parts) => format!("{} parts", parts.len()),
                // Whether it is waiting for a reply depends on whether its pipe had gone already.
                Err(_) if kind == REQ => "no reply".into(),
                Err(error) => error,
            });
        }
    }
}

/// Whether nothing more is to be waited for.
fn has_ended(scene: &Scene, server: &Side, client: &Side) -> bool {
    if scene.server.mechanism != scene.client.mechanism() {
        return is_mismatch(server) || is_mismatch(client);
    }
    match server.end() {
        None => false,
        Some((SUCCEEDED, _)) => client.end().is_some(),
        // The peer is told.
        Some((FAILED_AUTH, 400 | 500)) => client.end().is_some(),
        Some(_) => true,
    }
}

fn is_mismatch(side: &Side) -> bool {
    side.told.contains(&(FAILED_PROTOCOL, MISMATCH))
}

/// How the handshake ended, as far as that is no matter of time.
fn outcome(scene: &Scene, server: &Side, client: &Side) -> String {
    if scene.server.mechanism != scene.client.mechanism() {
        // Whoever sees it first leaves; the other may not have seen it then.
        return format!("mismatch: {}", is_mismatch(server) || is_mismatch(client));
    }
    let has_more = matches!(server.end(), Some((SUCCEEDED, _) | (FAILED_AUTH, 400 | 500)));
    let told = match client.end() {
        _ if has_more => client.shown(),
        Some((SUCCEEDED, _)) => "success".into(),
        // The server has left.
        _ => "no success".into(),
    };
    format!("server {}, client {told}", server.shown())
}

/// What the handler says to a request.
fn reply(handler: &Handler, request: &[Vec<u8>], envelope: usize) -> Vec<Vec<u8>> {
    let part = |at: usize| request.get(envelope + at).map(Vec::as_slice).unwrap_or_default();
    let (mut version, mut request_id) = (part(0), part(1));
    let (mut status, mut user, mut metadata) = ("200", String::new(), &b""[..]);
    match handler.answer {
        Answer::Status(always) => status = always,
        Answer::User(name, known) => (user, metadata) = (name.to_owned(), known),
        Answer::Version(wrong) => version = wrong.as_bytes(),
        Answer::RequestId(wrong) => request_id = wrong.as_bytes(),
        Answer::TooFewParts | Answer::TooManyParts => {}
        Answer::Decides => {
            let may = match part(5) {
                b"NULL" => part(2) == OPEN.as_bytes(),
                b"PLAIN" => (part(6), part(7)) == (USER.as_bytes(), PASSWORD.as_bytes()),
                _ => oxmq::z85::encode(part(6)).as_deref() == Some(KEYS[KNOWN_KEY].0),
            };
            if may {
                (user, metadata) = ("ann".to_owned(), b"\x05Group\0\0\0\x05staff");
            } else {
                status = "400";
            }
        }
    }
    let mut reply: Vec<Vec<u8>> = request.iter().take(envelope).cloned().collect();
    let parts = [version, request_id, status.as_bytes(), b"", user.as_bytes(), metadata];
    reply.extend(parts.map(<[u8]>::to_vec));
    match handler.answer {
        Answer::TooFewParts => _ = reply.pop(),
        Answer::TooManyParts => reply.push(Vec::new()),
        _ => {}
    }
    reply
}
