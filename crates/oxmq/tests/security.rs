//! Who is let in, and what passes then: NULL, PLAIN and CURVE, with a ZAP handler and without, between
//! our sockets and with libzmq's.

mod support;

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use oxmq::monitor::{Event, Monitor, ReasonKind};
use oxmq::option::{
    CURVE_PUBLICKEY, CURVE_SECRETKEY, CURVE_SERVER, CURVE_SERVERKEY, HANDSHAKE_IVL, HEARTBEAT_IVL,
    HEARTBEAT_TIMEOUT, HELLO_MSG, LINGER, MAXMSGSIZE, MECHANISM, METADATA, PLAIN_PASSWORD,
    PLAIN_SERVER, PLAIN_USERNAME, RECONNECT_IVL, ROUTING_ID, ZAP_DOMAIN, ZAP_ENFORCE_DOMAIN,
};
use oxmq::security::KeyPair;
use oxmq::{Context, DropReason, Message, PollItem, Reply, Router, Socket, SocketType, z85};

use support::libzmq::{self, LibContext, LibSocket};
use support::raw::{self, RawListener, RawPeer};
use support::{LONG, body, endpoints};

/// How long something is waited for that must not come.
const SHORT: Duration = Duration::from_millis(100);

/// The parts of a request, without the delimiter.
type Request = Vec<Vec<u8>>;

/// A ZAP handler in a thread of its own; it ends when it is dropped, or its context is terminated.
struct Handler {
    requests: Receiver<Request>,
    stop: Sender<()>,
    thread: Option<JoinHandle<()>>,
}

/// What a handler says to a request: the parts of the reply behind the number.
type Decision = fn(&Request) -> Vec<Vec<u8>>;

fn says(status: &str, user_id: &str, metadata: &[u8]) -> Vec<Vec<u8>> {
    vec![status.into(), "because".into(), user_id.into(), metadata.to_vec()]
}

fn lets_all_in(_: &Request) -> Vec<Vec<u8>> {
    says("200", "ann", b"\x05Group\0\0\0\x05staff")
}

impl Handler {
    fn start(context: &Context, decide: Decision) -> Handler {
        Handler::start_with(context, move |request| {
            let mut reply = vec![b"1.0".to_vec(), request[1].clone()];
            reply.extend(decide(request));
            Some(reply)
        })
    }

    /// `answer` makes the whole reply, if there is to be one.
    fn start_with(
        context: &Context,
        answer: impl Fn(&Request) -> Option<Vec<Vec<u8>>> + Send + 'static,
    ) -> Handler {
        let reply = Reply::new(context).unwrap();
        reply.bind("inproc://zeromq.zap.01").unwrap();
        let ((tell, requests), (stop, stopped)) = (channel(), channel());
        let thread = thread::spawn(move || {
            loop {
                let mut items = [PollItem::socket(&reply, oxmq::Events::IN)];
                oxmq::poll(&mut items, Some(Duration::from_millis(5))).unwrap();
                if stopped.try_recv().is_ok() {
                    return;
                }
                let Ok(request) = reply.try_recv_multipart() else { continue };
                let request = bytes_of(request);
                tell.send(request.clone()).unwrap();
                match answer(&request) {
                    Some(parts) => reply.send_multipart(parts).unwrap(),
                    // A REP that does not answer hears no more.
                    None => return stopped.recv().unwrap(),
                }
            }
        });
        Handler { requests, stop, thread: Some(thread) }
    }

    fn request(&self) -> Request {
        self.requests.recv_timeout(LONG).unwrap()
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let _ = self.stop.send(());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn bytes_of(parts: Vec<Message>) -> Vec<Vec<u8>> {
    parts.iter().map(|part| part.to_vec()).collect()
}

fn socket(context: &Context, kind: SocketType) -> Socket {
    let socket = context.socket(kind).unwrap();
    socket.set(LINGER, 0).unwrap();
    socket.set(RECONNECT_IVL, 10).unwrap();
    socket
}

fn pair(context: &Context) -> (Socket, Socket) {
    (socket(context, SocketType::Push), socket(context, SocketType::Pull))
}

/// The next event of this name.
fn next(monitor: &Monitor, name: &str) -> Event {
    loop {
        let event = monitor.recv_timeout(LONG).unwrap();
        if event.kind.name() == name {
            return event;
        }
    }
}

/// The status by which the next handshake that fails does so, and why.
fn refusal(monitor: &Monitor) -> (Option<u32>, ReasonKind) {
    let event = next(monitor, "HANDSHAKE_FAILED");
    let reason = event.kind.reason().unwrap();
    (reason.zap_status(), reason.kind())
}

fn nothing_arrives(pull: &Socket) {
    let waited = Instant::now();
    while waited.elapsed() < SHORT {
        assert!(pull.try_recv().is_err(), "{:?}", pull.last_failure());
        thread::sleep(Duration::from_millis(1));
    }
}

fn recv(socket: &Socket) -> Vec<Vec<u8>> {
    let mut items = [PollItem::socket(socket, oxmq::Events::IN)];
    assert_eq!(oxmq::poll(&mut items, Some(LONG)).unwrap(), 1, "nothing came");
    bytes_of(socket.recv_multipart().unwrap())
}

/// The keys of tests, always the same.
fn keys(number: u8) -> KeyPair {
    KeyPair::from_secret(&[number; 32])
}

fn be_curve_server(socket: &Socket, own: &KeyPair) {
    socket.set(CURVE_SERVER, true).unwrap();
    socket.set(CURVE_SECRETKEY, own.secret().to_vec()).unwrap();
}

fn be_curve_client(socket: &Socket, server: &KeyPair, own: &KeyPair) {
    socket.set(CURVE_SERVERKEY, server.public().to_vec()).unwrap();
    socket.set(CURVE_PUBLICKEY, own.public().to_vec()).unwrap();
    socket.set(CURVE_SECRETKEY, own.secret().to_vec()).unwrap();
}

/// Waits until the socket has given up what it was connected to.
fn wait_until_given_up(socket: &Socket) {
    while !socket.statistics().pipes.is_empty() {
        thread::yield_now();
    }
}

/// A client that has nothing to be refused for comes again, ever more seldom.
#[test]
fn who_is_refused_without_credentials_is_patient() {
    let context = Context::new();
    let push = socket(&context, SocketType::Push);
    push.set(RECONNECT_IVL, 20).unwrap();
    let (listener, endpoint) = RawListener::bind("tcp://127.0.0.1:*");
    push.connect(&endpoint).unwrap();
    let start = Instant::now();
    for _ in 0..7 {
        let mut stranger = listener.accept();
        stranger.send(&raw::GREETING_3_0);
        stranger.send(&raw::frame(4, b"\x05ERROR\x03500"));
    }
    // 20, 20, 40, 80, 160 and 320 ms, as against 6 * 20.
    assert!(start.elapsed() >= Duration::from_millis(600), "{:?}", start.elapsed());
}

/// Anybody at a server's address can say ERROR. A client stays away for good only if it had shown what
/// can be refused: to whoever answers with PLAIN, to none but the server that it means with CURVE.
#[test]
fn only_refused_credentials_keep_a_client_away() {
    for mechanism in ["NULL", "PLAIN", "CURVE"] {
        for endpoint in endpoints() {
            let context = Context::new();
            let push = socket(&context, SocketType::Push);
            match mechanism {
                "PLAIN" => push.set(PLAIN_USERNAME, b"ann".to_vec()).unwrap(),
                "CURVE" => be_curve_client(&push, &keys(1), &keys(2)),
                _ => {}
            }
            let monitor = push.monitor();
            let (listener, endpoint) = RawListener::bind(&endpoint);
            push.connect(&endpoint).unwrap();
            push.send("for whom it is meant").unwrap();
            let mut greeting = raw::GREETING_3_0;
            greeting[12..32].fill(0);
            greeting[12..12 + mechanism.len()].copy_from_slice(mechanism.as_bytes());
            greeting[32] = u8::from(mechanism != "NULL");
            let attempts = if mechanism == "PLAIN" { 1 } else { 3 };
            for _ in 0..attempts {
                let mut stranger = listener.accept();
                stranger.send(&greeting);
                stranger.send(&raw::frame(4, b"\x05ERROR\x03400"));
                assert_eq!(refusal(&monitor), (Some(400), ReasonKind::RefusedByPeer));
                if attempts > 1 {
                    next(&monitor, "CONNECT_RETRIED");
                }
            }
            let lost = || push.statistics().dropped.of(DropReason::Disconnected);
            match mechanism {
                "NULL" => {
                    let mut peer = listener.accept();
                    peer.shake_hands("PULL", "PUSH");
                    peer.expect(&raw::message(&["for whom it is meant"]));
                }
                "CURVE" => assert_eq!((push.statistics().pipes.len(), lost()), (1, 0)),
                _ => {
                    wait_until_given_up(&push);
                    assert_eq!(lost(), 1);
                }
            }
        }
    }
}

/// As above, of a server that is the one meant, and whose handler decides.
#[test]
fn refused_by_the_server_itself_a_client_stays_away_unless_it_has_shown_nothing() {
    for mechanism in ["NULL", "PLAIN", "CURVE"] {
        let context = Context::new();
        let handler = Handler::start(&context, |_| says("400", "", b""));
        let (push, pull) = pair(&context);
        pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
        match mechanism {
            "PLAIN" => {
                pull.set(PLAIN_SERVER, true).unwrap();
                push.set(PLAIN_USERNAME, b"ann".to_vec()).unwrap();
            }
            "CURVE" => {
                be_curve_server(&pull, &keys(1));
                be_curve_client(&push, &keys(1), &keys(2));
            }
            _ => {}
        }
        push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        handler.request();
        if mechanism == "NULL" {
            handler.request();
        } else {
            wait_until_given_up(&push);
            assert!(handler.requests.try_recv().is_err(), "{mechanism}: asked again");
        }
    }
}

// NULL.

#[test]
fn without_a_domain_null_asks_nobody() {
    let context = Context::new();
    let handler = Handler::start(&context, |_| says("400", "", b""));
    let (push, pull) = pair(&context);
    push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    push.send("hello").unwrap();
    let message = pull.recv().unwrap();
    assert_eq!(message.connection().unwrap().peer.unwrap().user_id, None);
    assert!(handler.requests.try_recv().is_err());
}

#[test]
fn null_with_a_domain_asks_for_the_address() {
    for endpoint in endpoints() {
        let context = Context::new();
        let handler = Handler::start(&context, lets_all_in);
        let (push, pull) = pair(&context);
        pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
        pull.set(ROUTING_ID, b"door".to_vec()).unwrap();
        push.set(METADATA, "X-Name:value".to_owned()).unwrap();
        push.connect(&pull.bind(&endpoint).unwrap()).unwrap();
        push.send("hello").unwrap();
        let message = pull.recv().unwrap();
        assert_eq!(&message[..], b"hello");
        let request = handler.request();
        let request: Vec<&[u8]> = request.iter().map(Vec::as_slice).collect();
        let [version, _, domain, address, routing_id, mechanism] = request[..] else {
            panic!("{request:?}");
        };
        assert_eq!((version, domain, mechanism), (&b"1.0"[..], &b"private"[..], &b"NULL"[..]));
        assert_eq!(routing_id, b"door");
        if endpoint.starts_with("tcp") {
            assert_eq!(address, b"127.0.0.1");
        } else {
            assert!(address.starts_with(b"localhost:"), "{}", address.escape_ascii());
        }
        let peer = message.connection().unwrap().peer.unwrap();
        assert_eq!(peer.user_id.as_deref(), Some(&b"ann"[..]));
        let properties = [("Group", "staff"), ("X-Name", "value")];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.into()));
        assert_eq!(peer.properties, properties);
    }
}

#[test]
fn a_refusal_is_told_to_both_sides() {
    let decisions: [(u32, Decision); 3] = [
        (300, |_| says("300", "", b"")),
        (400, |_| says("400", "", b"")),
        (500, |_| says("500", "", b"")),
    ];
    for endpoint in endpoints() {
        for (status, decide) in decisions {
            let context = Context::new();
            let _handler = Handler::start(&context, decide);
            let (push, pull) = pair(&context);
            pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
            let (ours, theirs) = (pull.monitor(), push.monitor());
            push.connect(&pull.bind(&endpoint).unwrap()).unwrap();
            push.send("hello").unwrap();
            assert_eq!(refusal(&ours), (Some(status), ReasonKind::Denied));
            match (status, refusal(&theirs)) {
                // A peer that is to try again is not told why, just cut off.
                (300, (None, ReasonKind::EndOfStream | ReasonKind::System)) => {}
                (status, told) => {
                    let expected = (Some(status), ReasonKind::RefusedByPeer);
                    assert_eq!(told, expected, "{status} over {endpoint}");
                }
            }
            nothing_arrives(&pull);
        }
    }
}

#[test]
fn a_peer_that_was_refused_is_let_in_when_it_tries_again() {
    let context = Context::new();
    let handler = Handler::start_with(&context, {
        let asked = std::sync::atomic::AtomicU32::new(0);
        move |request| {
            let asked = asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let status = if asked < 3 { "300" } else { "200" };
            let mut reply = vec![b"1.0".to_vec(), request[1].clone()];
            reply.extend(says(status, "", b""));
            Some(reply)
        }
    });
    let (push, pull) = pair(&context);
    pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
    push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    push.send("hello").unwrap();
    assert_eq!(recv(&pull), [b"hello"]);
    assert_eq!(handler.requests.try_iter().count(), 4);
}

#[test]
fn without_a_handler_the_option_decides() {
    for enforced in [false, true] {
        let context = Context::new();
        let (push, pull) = pair(&context);
        pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
        pull.set(ZAP_ENFORCE_DOMAIN, enforced).unwrap();
        let monitor = pull.monitor();
        push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        push.send("hello").unwrap();
        if enforced {
            let event = next(&monitor, "HANDSHAKE_FAILED");
            let reason = event.kind.reason().unwrap();
            assert_eq!((reason.kind(), reason.errno()), (ReasonKind::Denied, libc::EFAULT));
            assert!(reason.to_string().contains("no ZAP handler"), "{reason}");
            // Whoever comes later is asked for them.
            let _handler = Handler::start(&context, lets_all_in);
            assert_eq!(recv(&pull), [b"hello"]);
        } else {
            assert_eq!(recv(&pull), [b"hello"]);
        }
    }
}

#[test]
fn a_handler_may_be_a_router() {
    let context = Context::new();
    let handler = Router::new(&context).unwrap();
    handler.bind("inproc://zeromq.zap.01").unwrap();
    let (push, pull) = pair(&context);
    pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
    push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    push.send("hello").unwrap();
    let request = handler.recv_multipart().unwrap();
    assert_eq!(&request[2][..], b"1.0");
    let mut reply: Vec<_> = request.into_iter().take(4).collect();
    reply.extend(says("200", "ann", b"").into_iter().map(Message::from));
    handler.send_multipart(reply).unwrap();
    assert_eq!(recv(&pull), [b"hello"]);
}

#[test]
fn a_silent_handler_holds_up_nobody_else() {
    let context = Context::new();
    let handler = Handler::start_with(&context, |_| None);
    let (push, pull) = pair(&context);
    pull.set(HANDSHAKE_IVL, 200).unwrap();
    let open = pull.bind("tcp://127.0.0.1:*").unwrap();
    pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
    let guarded = pull.bind("tcp://127.0.0.1:*").unwrap();
    let monitor = pull.monitor();
    push.connect(&guarded).unwrap();
    handler.request();
    let other = socket(&context, SocketType::Push);
    other.connect(&open).unwrap();
    other.send("meanwhile").unwrap();
    assert_eq!(recv(&pull), [b"meanwhile"]);
    assert_eq!(refusal(&monitor), (None, ReasonKind::HandshakeTimeout));
}

#[test]
fn a_handler_that_goes_without_an_answer_leaves_it_to_the_next() {
    let context = Context::new();
    let handler = Handler::start_with(&context, |_| None);
    let (push, pull) = pair(&context);
    pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
    push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    push.send("hello").unwrap();
    let request = handler.request();
    drop(handler);
    let second = Handler::start_with(&context, |_| None);
    assert_eq!(second.request(), request);
    drop(second);
    nothing_arrives(&pull);
    let third = Handler::start(&context, lets_all_in);
    assert_eq!(recv(&pull), [b"hello"]);
    assert_eq!(third.request(), request);
}

#[test]
fn a_wrong_reply_lets_nobody_in() {
    type Wrong = fn(&Request) -> Vec<Vec<u8>>;
    fn reply(parts: [&[u8]; 6]) -> Vec<Vec<u8>> {
        parts.map(<[u8]>::to_vec).into()
    }
    let table: [(u32, Wrong); 6] = [
        (0x2000_0001, |request| vec![b"1.0".to_vec(), request[1].clone()]),
        (0x2000_0001, |request| {
            let mut parts = reply([b"1.0", &request[1], b"200", b"", b"", b""]);
            parts.push(Vec::new());
            parts
        }),
        (0x2000_0002, |_| reply([b"1.0", b"another", b"200", b"", b"", b""])),
        (0x2000_0003, |request| reply([b"2.0", &request[1], b"200", b"", b"", b""])),
        (0x2000_0004, |request| reply([b"1.0", &request[1], b"600", b"", b"", b""])),
        (0x2000_0005, |request| reply([b"1.0", &request[1], b"200", b"", b"", b"\x05Gr"])),
    ];
    for (number, wrong) in table {
        let context = Context::new();
        let _handler = Handler::start_with(&context, move |request| Some(wrong(request)));
        let (push, pull) = pair(&context);
        pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
        let monitor = pull.monitor();
        push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        push.send("hello").unwrap();
        let event = next(&monitor, "HANDSHAKE_FAILED");
        let reason = event.kind.reason().unwrap();
        assert_eq!((reason.kind(), reason.protocol_error()), (ReasonKind::Denied, Some(number)));
        nothing_arrives(&pull);
    }
}

/// CVE-2014-9721: who speaks an old ZMTP cannot be refused, and is not let in.
#[test]
fn old_peers_do_not_get_past_a_domain() {
    let context = Context::new();
    let handler = Handler::start(&context, lets_all_in);
    let pull = socket(&context, SocketType::Pull);
    pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let signature = raw::SIGNATURE;
    let unversioned = raw::message(&["hello"]);
    for opening in [
        [&b"\x01\0"[..], b"\x06\0hello"].concat(),
        [&signature[..], b"\x01\x08\0\0", &unversioned].concat(),
        [&signature[..], b"\x02\x08\0\0", &unversioned].concat(),
    ] {
        let mut peer = RawPeer::connect(&endpoint);
        peer.send(&opening);
        assert!(peer.ends());
    }
    nothing_arrives(&pull);
    assert!(handler.requests.try_recv().is_err());
}

/// What a handler says of a peer, the peer cannot say of itself.
#[test]
fn a_peer_does_not_choose_its_user_id() {
    let context = Context::new();
    let pull = socket(&context, SocketType::Pull);
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let mut peer = RawPeer::connect(&endpoint);
    peer.send(&raw::GREETING_3_0);
    let ready =
        b"\x05READY\x0BSocket-Type\0\0\0\x04PUSH\x07User-Id\0\0\0\x04root\x03X-A\0\0\0\x01b";
    peer.send(&raw::frame(4, ready));
    peer.send(&raw::message(&["hello"]));
    let peer = pull.recv().unwrap().connection().unwrap().peer.unwrap();
    assert_eq!((peer.user_id, &peer.properties[..]), (None, &[("X-A".into(), b"b".to_vec())][..]));
}

#[test]
fn a_socket_closes_while_its_peer_is_being_judged() {
    for _ in 0..20 {
        let context = Context::new();
        let handler = Handler::start_with(&context, |_| None);
        let (push, pull) = pair(&context);
        pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
        push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        handler.request();
        drop((push, pull));
        drop(handler);
        context.term_timeout(LONG).unwrap();
    }
}

#[test]
fn the_handler_is_judged_by_its_context_not_by_max_sockets() {
    let context = Context::new();
    context.set_max_sockets(3);
    let _handler = Handler::start(&context, lets_all_in);
    let (push, pull) = pair(&context);
    pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
    push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    push.send("hello").unwrap();
    assert_eq!(recv(&pull), [b"hello"]);
}

// The options.

#[test]
fn the_option_last_set_chooses_the_mechanism() {
    let context = Context::new();
    let socket = socket(&context, SocketType::Dealer);
    let is = |mechanism, plain, curve| {
        assert_eq!(socket.get(MECHANISM), mechanism);
        assert_eq!((socket.get(PLAIN_SERVER), socket.get(CURVE_SERVER)), (plain, curve));
    };
    is(0, false, false);
    socket.set(PLAIN_SERVER, true).unwrap();
    is(1, true, false);
    socket.set(CURVE_SERVER, true).unwrap();
    is(2, false, true);
    socket.set(CURVE_SECRETKEY, vec![1; 32]).unwrap();
    is(2, false, true);
    socket.set(CURVE_SERVERKEY, vec![1; 32]).unwrap();
    is(2, false, false);
    socket.set(PLAIN_USERNAME, b"ann".to_vec()).unwrap();
    is(1, false, false);
    socket.set(PLAIN_USERNAME, Vec::new()).unwrap();
    is(0, false, false);
    assert!(socket.set(PLAIN_PASSWORD, vec![0; 256]).is_err());
    let error = socket.set(CURVE_SECRETKEY, b"too short to be a key".to_vec()).unwrap_err();
    assert!(!error.to_string().contains("short"), "a key is shown: {error}");
    is(0, false, false);
}

#[test]
fn a_key_pair_has_the_public_key_that_libzmq_derives() {
    // The keys that the manual of libzmq and RFC 26's tests use.
    let secret = z85::decode("D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs").unwrap();
    let pair = KeyPair::from_secret(&secret.try_into().unwrap());
    let public = z85::encode(pair.public()).unwrap();
    assert_eq!(public, "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID");
    assert!(!format!("{pair:?}").contains("secret"));
    let (one, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
    assert_ne!(one.secret(), other.secret());
}

// PLAIN.

fn knows_ann(request: &Request) -> Vec<Vec<u8>> {
    let [_, _, _, _, _, mechanism, name, password] = &request[..] else {
        return says("500", "", b"");
    };
    let right = mechanism == b"PLAIN" && name == b"ann" && password == b"secret";
    if right { says("200", "Ann", b"") } else { says("400", "", b"") }
}

#[test]
fn plain_lets_in_who_knows_the_password() {
    for endpoint in endpoints() {
        let context = Context::new();
        let handler = Handler::start(&context, knows_ann);
        let (push, pull) = pair(&context);
        pull.set(PLAIN_SERVER, true).unwrap();
        let endpoint = pull.bind(&endpoint).unwrap();
        push.set(PLAIN_USERNAME, b"ann".to_vec()).unwrap();
        push.set(PLAIN_PASSWORD, b"secret".to_vec()).unwrap();
        push.connect(&endpoint).unwrap();
        push.send("hello").unwrap();
        let message = pull.recv().unwrap();
        let peer = message.connection().unwrap().peer.unwrap();
        assert_eq!(peer.user_id.as_deref(), Some(&b"Ann"[..]));
        handler.request();

        let (other, monitor) = (socket(&context, SocketType::Push), pull.monitor());
        other.set(PLAIN_USERNAME, b"ann".to_vec()).unwrap();
        other.set(PLAIN_PASSWORD, b"guess".to_vec()).unwrap();
        let theirs = other.monitor();
        other.connect(&endpoint).unwrap();
        // It may have been refused already.
        let _ = other.try_send("hello");
        assert_eq!(refusal(&monitor), (Some(400), ReasonKind::Denied));
        assert_eq!(refusal(&theirs), (Some(400), ReasonKind::RefusedByPeer));
        nothing_arrives(&pull);
    }
}

#[test]
fn plain_without_a_handler_lets_nobody_in() {
    let context = Context::new();
    let (push, pull) = pair(&context);
    pull.set(PLAIN_SERVER, true).unwrap();
    let monitor = pull.monitor();
    push.set(PLAIN_USERNAME, b"ann".to_vec()).unwrap();
    push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    push.send("hello").unwrap();
    assert_eq!(refusal(&monitor), (None, ReasonKind::Denied));
    nothing_arrives(&pull);
}

/// CVE-2014-7202: who greets with another mechanism than the server's gets nowhere.
#[test]
fn mechanisms_do_not_mix() {
    fn null(_: &Socket) {}
    fn plain_client(socket: &Socket) {
        socket.set(PLAIN_USERNAME, b"ann".to_vec()).unwrap();
    }
    fn plain_server(socket: &Socket) {
        socket.set(PLAIN_SERVER, true).unwrap();
    }
    fn curve_client(socket: &Socket) {
        be_curve_client(socket, &keys(1), &keys(2));
    }
    fn curve_server(socket: &Socket) {
        be_curve_server(socket, &keys(1));
    }
    type Be = fn(&Socket);
    let table: [(Be, Be, ReasonKind); 8] = [
        (null, plain_server, ReasonKind::Mechanism),
        (null, curve_server, ReasonKind::Mechanism),
        (plain_client, null, ReasonKind::Mechanism),
        (plain_client, curve_server, ReasonKind::Mechanism),
        (curve_client, null, ReasonKind::Mechanism),
        (curve_client, plain_server, ReasonKind::Mechanism),
        (plain_server, plain_server, ReasonKind::Mechanism),
        (curve_client, curve_client, ReasonKind::Protocol),
    ];
    for (at, (connects, binds, reason)) in table.into_iter().enumerate() {
        let context = Context::new();
        let _handler = Handler::start(&context, lets_all_in);
        let (push, pull) = pair(&context);
        connects(&push);
        binds(&pull);
        let monitor = pull.monitor();
        push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        push.send("hello").unwrap();
        assert_eq!(refusal(&monitor), (None, reason), "row {at}");
        nothing_arrives(&pull);
    }
}

// CURVE.

fn knows_key_two(request: &Request) -> Vec<Vec<u8>> {
    let right = request[5] == b"CURVE" && request[6..] == [keys(2).public().to_vec()];
    if right { says("200", "two", b"") } else { says("400", "", b"") }
}

#[test]
fn curve_lets_in_whose_key_the_handler_knows() {
    for endpoint in endpoints() {
        let context = Context::new();
        let _handler = Handler::start(&context, knows_key_two);
        let (push, pull) = pair(&context);
        be_curve_server(&pull, &keys(1));
        let endpoint = pull.bind(&endpoint).unwrap();
        be_curve_client(&push, &keys(1), &keys(2));
        push.connect(&endpoint).unwrap();
        push.send("hello").unwrap();
        let message = pull.recv().unwrap();
        assert_eq!(&message[..], b"hello");
        let peer = message.connection().unwrap().peer.unwrap();
        assert_eq!(peer.user_id.as_deref(), Some(&b"two"[..]));

        let (other, monitor) = (socket(&context, SocketType::Push), pull.monitor());
        be_curve_client(&other, &keys(1), &keys(3));
        let theirs = other.monitor();
        other.connect(&endpoint).unwrap();
        // It may have been refused already.
        let _ = other.try_send("hello");
        assert_eq!(refusal(&monitor), (Some(400), ReasonKind::Denied));
        assert_eq!(refusal(&theirs), (Some(400), ReasonKind::RefusedByPeer));
        nothing_arrives(&pull);
    }
}

/// "Stonehouse": encrypted, and open to all who know the server's key.
#[test]
fn curve_without_a_handler_lets_in_who_knows_the_servers_key() {
    for (domain, enforced, lets_in) in
        [("", false, true), ("", true, true), ("private", false, true), ("private", true, false)]
    {
        let context = Context::new();
        let (push, pull) = pair(&context);
        be_curve_server(&pull, &keys(1));
        pull.set(ZAP_DOMAIN, domain.to_owned()).unwrap();
        pull.set(ZAP_ENFORCE_DOMAIN, enforced).unwrap();
        let monitor = pull.monitor();
        be_curve_client(&push, &keys(1), &keys(2));
        push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        push.send("hello").unwrap();
        if lets_in {
            assert_eq!(recv(&pull), [b"hello"], "domain {domain:?}, enforced: {enforced}");
        } else {
            assert_eq!(refusal(&monitor), (None, ReasonKind::Denied));
        }
    }
}

#[test]
fn wrong_keys_open_nothing() {
    type Wrong = fn(&Socket);
    let table: [(&str, Wrong); 3] = [
        ("another server's key", |push| be_curve_client(push, &keys(9), &keys(2))),
        ("keys that do not go together", |push| {
            be_curve_client(push, &keys(1), &keys(2));
            push.set(CURVE_SECRETKEY, keys(3).secret().to_vec()).unwrap();
        }),
        ("no keys", |push| push.set(CURVE_SERVERKEY, vec![0; 32]).unwrap()),
    ];
    for (what, wrong) in table {
        let context = Context::new();
        let (push, pull) = pair(&context);
        be_curve_server(&pull, &keys(1));
        let monitor = pull.monitor();
        wrong(&push);
        push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        push.send("hello").unwrap();
        let event = next(&monitor, "HANDSHAKE_FAILED");
        assert_eq!(event.kind.reason().unwrap().kind(), ReasonKind::Protocol, "{what}: {event}");
        nothing_arrives(&pull);
    }
}

/// What every mechanism has to carry whole.
fn payloads() -> Vec<Vec<Vec<u8>>> {
    let sizes = [0, 1, 222, 223, 255, 256, 4095, 4096, 8_160, 8_192, 65_536, 1 << 20];
    let mut payloads: Vec<_> = sizes.map(|bytes| vec![body(bytes)]).into();
    payloads.push(sizes.map(body).into());
    payloads.push(vec![body(0), body(0)]);
    payloads.extend((0..2000).map(|number| vec![body(number % 500)]));
    payloads
}

#[test]
fn curve_carries_all_messages_both_ways_in_order() {
    for endpoint in endpoints() {
        let context = Context::new();
        let (server, client) =
            (socket(&context, SocketType::Dealer), socket(&context, SocketType::Dealer));
        be_curve_server(&server, &keys(1));
        be_curve_client(&client, &keys(1), &keys(2));
        client.connect(&server.bind(&endpoint).unwrap()).unwrap();
        thread::scope(|scope| {
            for (sends, receives) in [(&server, &client), (&client, &server)] {
                scope.spawn(move || {
                    payloads().into_iter().for_each(|parts| sends.send_multipart(parts).unwrap());
                });
                scope.spawn(move || {
                    for parts in payloads() {
                        assert!(recv(receives) == parts, "{} parts", parts.len());
                    }
                });
            }
        });
    }
}

/// Subscriptions, hello messages and heartbeats are sealed among the messages, in order.
#[test]
fn curve_carries_commands_between_messages() {
    let context = Context::new();
    let publisher = socket(&context, SocketType::XPub);
    be_curve_server(&publisher, &keys(1));
    publisher.set(HEARTBEAT_IVL, 1).unwrap();
    publisher.set(HEARTBEAT_TIMEOUT, 20_000).unwrap();
    let endpoint = publisher.bind("tcp://127.0.0.1:*").unwrap();
    let subscriber = socket(&context, SocketType::Sub);
    be_curve_client(&subscriber, &keys(1), &keys(2));
    subscriber.set(HEARTBEAT_IVL, 1).unwrap();
    subscriber.set(HEARTBEAT_TIMEOUT, 20_000).unwrap();
    subscriber.subscribe(b"").unwrap();
    subscriber.connect(&endpoint).unwrap();
    assert_eq!(recv(&publisher), [b"\x01"]);
    for round in 0_u32..200 {
        let topic = round.to_be_bytes();
        subscriber.subscribe(topic).unwrap();
        publisher.send_multipart([&topic[..], &[7; 5000], &[8; 50_000]]).unwrap();
        assert_eq!(recv(&subscriber), [topic.to_vec(), vec![7; 5000], vec![8; 50_000]]);
        assert_eq!(recv(&publisher), [[&[1][..], &topic].concat()]);
        thread::sleep(Duration::from_millis(1));
    }

    let router = socket(&context, SocketType::Router);
    be_curve_server(&router, &keys(1));
    router.set(HELLO_MSG, b"welcome".to_vec()).unwrap();
    let dealer = socket(&context, SocketType::Dealer);
    be_curve_client(&dealer, &keys(1), &keys(2));
    dealer.connect(&router.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    assert_eq!(recv(&dealer), [b"welcome"]);
}

#[test]
fn the_limit_of_messages_is_that_of_their_bodies() {
    let context = Context::new();
    let (push, pull) = pair(&context);
    be_curve_server(&pull, &keys(1));
    pull.set(MAXMSGSIZE, 1000).unwrap();
    let monitor = pull.monitor();
    be_curve_client(&push, &keys(1), &keys(2));
    push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    push.send(vec![1; 1000]).unwrap();
    assert_eq!(recv(&pull), [vec![1; 1000]]);
    push.send(vec![1; 1001]).unwrap();
    let event = next(&monitor, "DISCONNECTED");
    assert_eq!(event.kind.reason().unwrap().kind(), ReasonKind::TooLong, "{event}");
}

#[test]
fn what_waits_goes_to_a_server_that_comes_back() {
    let context = Context::new();
    let (push, pull) = pair(&context);
    be_curve_server(&pull, &keys(1));
    be_curve_client(&push, &keys(1), &keys(2));
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    push.connect(&endpoint).unwrap();
    push.send("first").unwrap();
    assert_eq!(recv(&pull), [b"first"]);
    let monitor = push.monitor();
    drop(pull);
    next(&monitor, "DISCONNECTED");
    push.send("second").unwrap();
    let pull = socket(&context, SocketType::Pull);
    be_curve_server(&pull, &keys(1));
    let deadline = Instant::now() + LONG;
    while pull.bind(&endpoint).is_err() {
        assert!(Instant::now() < deadline);
    }
    assert_eq!(recv(&pull), [b"second"]);
}

/// CVE-2020-15166: strangers that say nothing, or begin and stop, hold up nobody.
#[test]
fn strangers_do_not_keep_peers_out() {
    let context = Context::new();
    let _handler = Handler::start(&context, knows_key_two);
    let (push, pull) = pair(&context);
    be_curve_server(&pull, &keys(1));
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let mut greeting = raw::GREETING_3_0;
    greeting[12..17].copy_from_slice(b"CURVE");
    let _strangers: Vec<_> = [&b""[..], &raw::SIGNATURE, &greeting, b"GET / HTTP/1.0\r\n\r\n"]
        .into_iter()
        .map(|opening| {
            let mut stranger = RawPeer::connect(&endpoint);
            stranger.send(opening);
            stranger
        })
        .collect();
    be_curve_client(&push, &keys(1), &keys(2));
    push.connect(&endpoint).unwrap();
    push.send("hello").unwrap();
    assert_eq!(recv(&pull), [b"hello"]);
}

/// CVE-2019-13132: an INITIATE may be long.
#[test]
fn curve_carries_metadata_of_any_length() {
    let context = Context::new();
    let (push, pull) = pair(&context);
    be_curve_server(&pull, &keys(1));
    be_curve_client(&push, &keys(1), &keys(2));
    let value = "v".repeat(20_000);
    push.set(METADATA, format!("X-Long:{value}")).unwrap();
    push.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    push.send("hello").unwrap();
    let peer = pull.recv().unwrap().connection().unwrap().peer.unwrap();
    assert_eq!(peer.properties, [("X-Long".to_owned(), value.into_bytes())]);
}

/// Nothing of what is sent is to be seen on the way.
#[test]
fn what_curve_carries_cannot_be_read_on_the_way() {
    let context = Context::new();
    let (push, pull) = pair(&context);
    be_curve_server(&pull, &keys(1));
    be_curve_client(&push, &keys(1), &keys(2));
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let (listener, between) = raw::RawListener::bind("tcp://127.0.0.1:*");
    push.connect(&between).unwrap();
    let seen = thread::spawn(move || {
        let mut ends = [listener.accept(), RawPeer::connect(&endpoint)];
        ends.iter().for_each(RawPeer::set_nonblocking);
        let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
        loop {
            for (from, to) in [(0, 1), (1, 0)] {
                match std::io::Read::read(&mut ends[from].stream, &mut buffer) {
                    Ok(0) => return seen,
                    Ok(read) => {
                        seen.extend_from_slice(&buffer[..read]);
                        ends[to].send(&buffer[..read]);
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return seen,
                }
            }
        }
    });
    push.send("attack at dawn").unwrap();
    assert_eq!(recv(&pull), [b"attack at dawn"]);
    drop((push, pull));
    let seen = seen.join().unwrap();
    let shows = |text: &[u8]| seen.windows(text.len()).any(|bytes| bytes == text);
    assert!(shows(b"CURVE") && shows(b"MESSAGE"));
    assert!(!shows(b"attack") && !shows(b"dawn") && !shows(b"PUSH") && !shows(b"PULL"));
}

// With libzmq.

/// A socket of libzmq that secures itself as ours do.
trait Secured {
    fn be_curve_server(&self, own: &KeyPair);
    fn be_curve_client(&self, server: &KeyPair, own: &KeyPair);
}

impl Secured for LibSocket {
    fn be_curve_server(&self, own: &KeyPair) {
        self.set(CURVE_SERVER.spec().id(), 1);
        self.set_bytes(CURVE_SECRETKEY.spec().id(), own.secret());
    }

    fn be_curve_client(&self, server: &KeyPair, own: &KeyPair) {
        self.set_bytes(CURVE_SERVERKEY.spec().id(), server.public());
        self.set_bytes(CURVE_PUBLICKEY.spec().id(), own.public());
        self.set_bytes(CURVE_SECRETKEY.spec().id(), own.secret());
    }
}

/// Who binds, and which end is the server of the mechanism.
const ROLES: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

/// Joins our DEALER with libzmq's by every role, transport and mechanism, and hands them over.
fn join_with_libzmq(
    secure: impl Fn(&Socket, &LibSocket, bool),
    context: &Context,
    theirs: &LibContext,
    mut carry: impl FnMut(&Socket, &LibSocket, &str),
) {
    for transport in 0..endpoints().len() {
        for (ours_binds, ours_serves) in ROLES {
            let endpoint = &endpoints()[transport];
            let our = socket(context, SocketType::Dealer);
            let their = theirs.socket(libzmq::DEALER);
            secure(&our, &their, ours_serves);
            if ours_binds {
                their.connect(&our.bind(endpoint).unwrap()).unwrap();
            } else {
                our.connect(&their.bind(endpoint).unwrap()).unwrap();
            }
            carry(&our, &their, &format!("{endpoint}, binds {ours_binds}, serves {ours_serves}"));
        }
    }
}

fn carry_both_ways(our: &Socket, their: &LibSocket, role: &str) {
    let mut payloads = payloads();
    payloads.truncate(200);
    for parts in &payloads {
        our.send_multipart(parts.clone()).unwrap();
        assert!(their.recv().unwrap() == *parts, "{role}: to libzmq");
        their.send(parts).unwrap();
        assert!(recv(our) == *parts, "{role}: from libzmq");
    }
}

#[test]
fn curve_with_libzmq() {
    let (context, theirs) = (Context::new(), LibContext::new());
    let secure = |our: &Socket, their: &LibSocket, ours_serves: bool| {
        let (server, client) = (keys(1), keys(2));
        if ours_serves {
            be_curve_server(our, &server);
            their.be_curve_client(&server, &client);
        } else {
            their.be_curve_server(&server);
            be_curve_client(our, &server, &client);
        }
    };
    join_with_libzmq(secure, &context, &theirs, carry_both_ways);
}

/// A handler of libzmq's; it ends with its context.
fn their_handler(context: Arc<LibContext>, answers: usize) -> JoinHandle<()> {
    let reply = context.socket(libzmq::REP);
    reply.bind("inproc://zeromq.zap.01").unwrap();
    thread::spawn(move || {
        for _ in 0..answers {
            let request = reply.recv().unwrap();
            let mut answer = vec![b"1.0".to_vec(), request[1].clone()];
            answer.extend(knows_ann(&request));
            reply.send(&answer).unwrap();
        }
    })
}

#[test]
fn plain_with_libzmq() {
    let (context, theirs) = (Context::new(), Arc::new(LibContext::new()));
    let _handler = Handler::start(&context, knows_ann);
    let their_handler = their_handler(theirs.clone(), endpoints().len() * 2);
    let secure = |our: &Socket, their: &LibSocket, ours_serves: bool| {
        if ours_serves {
            our.set(PLAIN_SERVER, true).unwrap();
            their.set_bytes(PLAIN_USERNAME.spec().id(), b"ann");
            their.set_bytes(PLAIN_PASSWORD.spec().id(), b"secret");
        } else {
            their.set(PLAIN_SERVER.spec().id(), 1);
            our.set(PLAIN_USERNAME, b"ann".to_vec()).unwrap();
            our.set(PLAIN_PASSWORD, b"secret".to_vec()).unwrap();
        }
    };
    join_with_libzmq(secure, &context, &theirs, carry_both_ways);
    their_handler.join().unwrap();
}

/// Its refusals are understood, and ours by it.
#[test]
fn refusals_with_libzmq() {
    const FAILED_AUTH: u16 = 0x4000;
    let (context, theirs) = (Context::new(), Arc::new(LibContext::new()));
    let _handler = Handler::start(&context, |_| says("400", "", b""));
    let their = theirs.socket(libzmq::PUSH);
    let pull = socket(&context, SocketType::Pull);
    be_curve_server(&pull, &keys(1));
    their.be_curve_client(&keys(1), &keys(2));
    {
        let (ours, monitor) = (pull.monitor(), their.monitor());
        their.connect(&pull.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
        assert_eq!(monitor.wait(FAILED_AUTH, LONG), Some(FAILED_AUTH));
        assert_eq!(refusal(&ours), (Some(400), ReasonKind::Denied));
    }
    drop(their);

    let their_handler = their_handler(theirs.clone(), 1);
    let their = theirs.socket(libzmq::PULL);
    their.be_curve_server(&keys(1));
    let push = socket(&context, SocketType::Push);
    push.set(RECONNECT_IVL, 60_000).unwrap();
    be_curve_client(&push, &keys(1), &keys(2));
    let monitor = push.monitor();
    push.connect(&their.bind("tcp://127.0.0.1:*").unwrap()).unwrap();
    // It knows nobody by a key.
    assert_eq!(refusal(&monitor), (Some(500), ReasonKind::RefusedByPeer));
    their_handler.join().unwrap();
}

#[test]
fn a_peer_that_leaves_before_it_is_let_in_is_gone() {
    for endpoint in endpoints() {
        for mechanism in ["NULL", "PLAIN"] {
            let context = Context::new();
            let handler = Handler::start_with(&context, |_| None);
            let (push, pull) = pair(&context);
            if mechanism == "NULL" {
                pull.set(ZAP_DOMAIN, "private".to_owned()).unwrap();
            } else {
                pull.set(PLAIN_SERVER, true).unwrap();
                push.set(PLAIN_USERNAME, b"ann".to_vec()).unwrap();
            }
            let monitor = pull.monitor();
            push.connect(&pull.bind(&endpoint).unwrap()).unwrap();
            handler.request();
            drop(push);
            assert_eq!(refusal(&monitor), (None, ReasonKind::EndOfStream), "{mechanism}");
        }
    }
}

/// As many clients as it takes to have a connection stand while another shakes hands.
#[test]
fn many_clients_are_judged_at_once() {
    let context = Context::new();
    let handler = Handler::start(&context, |request| {
        let even = request[6][0] % 2 == 0;
        says(if even { "200" } else { "400" }, "", b"")
    });
    let pull = socket(&context, SocketType::Pull);
    be_curve_server(&pull, &keys(1));
    let endpoint = pull.bind("tcp://127.0.0.1:*").unwrap();
    let mut welcome = 0;
    let pushes: Vec<Socket> = (2..102)
        .map(|number| {
            let push = socket(&context, SocketType::Push);
            push.set(RECONNECT_IVL, -1).unwrap();
            be_curve_client(&push, &keys(1), &keys(number));
            push.connect(&endpoint).unwrap();
            let is_welcome = keys(number).public()[0].is_multiple_of(2);
            welcome += u32::from(is_welcome);
            let _ = push.try_send(&[number, u8::from(is_welcome)][..]);
            push
        })
        .collect();
    for _ in 0..welcome {
        assert_eq!(recv(&pull)[0][1], 1, "a message of somebody who was refused");
    }
    for _ in 0..pushes.len() {
        handler.request();
    }
    nothing_arrives(&pull);
}
