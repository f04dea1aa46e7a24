//! Where the libraries differ on purpose.

use crate::call::{Call, Place};
use crate::difference::{Difference, REP, REQ, ROUTER, XPUB, numbers};
use crate::security::Client;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A difference that is meant, as narrow as it can be told.
pub struct Departure {
    /// What differs, and the sentence or the defect that decides.
    why: &'static str,
    /// Whether a result is that.
    is: fn(&Difference<'_>) -> bool,
    /// What comes after it cannot be compared.
    pub ends: bool,
}

/// What explains a difference.
pub fn find(difference: &Difference<'_>) -> Option<&'static Departure> {
    let at = DEPARTURES.iter().position(|departure| (departure.is)(difference))?;
    MET[at].fetch_add(1, Ordering::Relaxed);
    Some(&DEPARTURES[at])
}

/// How often each has been met.
pub fn met() -> impl Iterator<Item = (usize, &'static str)> {
    MET.iter().map(|met| met.load(Ordering::Relaxed)).zip(DEPARTURES.iter().map(|it| it.why))
}

static MET: [AtomicUsize; DEPARTURES.len()] = [const { AtomicUsize::new(0) }; DEPARTURES.len()];

/// All of them.
const DEPARTURES: &[Departure] = &[
    Departure {
        why: "RFC 37: who answers with ERROR is not connected to again \"using the same security \
              credentials\", of which NULL has none; libzmq does so only if the ERROR comes before its \
              own READY is made",
        is: |it| {
            let without = |result: &str| result.replace("; tries again", "");
            matches!(it.call(), Some(Call::Secured(scene)) if scene.client == Client::Null)
                && without(it.ours) == without(it.theirs)
        },
        ends: false,
    },
    // What is not built.
    Departure {
        why: "GSSAPI, VMCI and SOCKS are not built: their options fail as in a libzmq without",
        is: |it| it.option().is_some_and(is_not_built) && it.ours.starts_with("-1 EINVAL"),
        ends: false,
    },
    Departure {
        why: "as above: MECHANISM, and whether the socket is a server, once GSSAPI was set",
        is: |it| {
            let sets =
                |call: &Call| matches!(call, Call::Set { option, .. } if GSSAPI.contains(option));
            it.option()
                .is_some_and(|option| [MECHANISM, PLAIN_SERVER, CURVE_SERVER].contains(&option))
                && it.before().any(sets)
        },
        ends: false,
    },
    Departure {
        why: "as above, and PGM, NORM and TIPC: zmq_has",
        is: |it| match it.call() {
            Some(Call::Has { what }) => {
                ["gssapi", "pgm", "epgm", "norm", "tipc"].contains(&&what[..]) && it.are("0", "1")
            }
            _ => false,
        },
        ends: false,
    },
    Departure {
        why: "RADIO, DISH and DGRAM are not built; libzmq makes their sockets without drafts, too",
        is: |it| match it.call() {
            Some(Call::Socket { kind, .. }) => {
                [14, 15, 18].contains(kind) && it.are("NULL EINVAL", "made")
            }
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_msg_gets(3): \"Routing-Id\" is a draft, which Debian's library has not",
        is: |it| match it.call() {
            Some(Call::RecvProperties { .. }) => {
                let known = it.ours.split("Identity ").nth(1).and_then(|it| it.split(',').next());
                known.is_some_and(|known| {
                    let without =
                        it.ours.replace(&format!("Routing-Id {known}"), "Routing-Id \"EINVAL\"");
                    without == it.theirs
                })
            }
            _ => false,
        },
        ends: false,
    },
    Departure {
        why: "zmq_msg_gets(3): every part knows its connection; the first that a ROUTER gives not with \
              libzmq, if it has looked at the message before",
        is: |it| match it.call() {
            Some(Call::RecvProperties { socket }) => {
                it.kind(*socket) == Some(ROUTER)
                    && it.ours.ends_with("RCVMORE Some(1)")
                    && it.theirs.contains("SRCFD none")
                    && it.theirs.matches("EINVAL").count() == 6
            }
            Some(Call::MsgGets { message, .. } | Call::MsgGet { message, property: 2 }) => {
                let receives = |call: &Call| match call {
                    Call::MsgRecv { message: into, socket } => {
                        into == message && it.kind(*socket) == Some(ROUTER)
                    }
                    _ => false,
                };
                it.theirs.contains("EINVAL") && it.before().any(receives)
            }
            _ => false,
        },
        ends: false,
    },
    // Arguments.
    Departure {
        why: "zmq_setsockopt(3), ZMQ_BINDTODEVICE: a character string, of an interface, of up to 15 \
              bytes and a zero; libzmq takes and keeps any 16 bytes",
        is: |it| {
            let is_cut = |call: &Call| match call {
                Call::Set { option: 92, value: Some(value), .. } => {
                    value.contains(&0) || value.len() > 15 || std::str::from_utf8(value).is_err()
                }
                _ => false,
            };
            let sets = |call: &&Call| matches!(call, Call::Set { option: 92, .. });
            it.option() == Some(92)
                && (it.call().is_some_and(is_cut)
                    || it.before().filter(sets).last().is_some_and(is_cut))
        },
        ends: true,
    },
    Departure {
        why: "zmq_setsockopt(3), ZMQ_ZAP_DOMAIN: a character string, up to its zero byte, and not empty; \
              libzmq takes and keeps any bytes",
        is: |it| {
            let is_cut = |call: &Call| match call {
                Call::Set { option: 55, value: Some(value), .. } => {
                    value.contains(&0) || std::str::from_utf8(value).is_err()
                }
                _ => false,
            };
            let sets = |call: &&Call| matches!(call, Call::Set { option: 55, .. });
            it.option() == Some(55)
                && (it.call().is_some_and(is_cut) || it.before().filter(sets).any(is_cut))
        },
        ends: true,
    },
    Departure {
        why: "zmq_setsockopt(3), ZMQ_ROUTING_ID: those that begin with a zero byte \"are reserved for \
              use by the ØMQ infrastructure\"; libzmq takes them",
        is: |it| match it.call() {
            Some(Call::Set { option: 5 | 61, value: Some(value), .. }) => {
                value.first() == Some(&0) && it.are("-1 EINVAL", "0")
            }
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_setsockopt(3), ZMQ_CONNECT_ROUTING_ID \"must be from 1 to 255 bytes long\"; libzmq \
              takes longer ones",
        is: |it| match it.call() {
            Some(Call::Set { option: 61, value: Some(value), .. }) => {
                value.len() > 255 && it.are("-1 EINVAL", "0")
            }
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_setsockopt(3), ZMQ_HEARTBEAT_TTL is not negative; libzmq rounds before it looks",
        is: |it| match it.call() {
            Some(Call::Set { option: 76, value: Some(value), .. }) => {
                let value = value[..].try_into().map_or(0, i32::from_ne_bytes);
                (-99..0).contains(&value) && it.are("-1 EINVAL", "0")
            }
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_setsockopt(3), ZMQ_MAXMSGSIZE: -1 \"means no limit\"; libzmq takes any negative number \
              for that",
        is: |it| match it.call() {
            Some(Call::Set { option: 22, value: Some(value), .. }) => {
                let value = value[..].try_into().map_or(0, i64::from_ne_bytes);
                value < -1 && it.are("-1 EINVAL", "0")
            }
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_setsockopt(3): \"Applicable socket types: ZMQ_ROUTER\", and not REP, which libzmq \
              makes of it",
        is: |it| match it.call() {
            Some(Call::Set { socket, option, .. }) => {
                it.kind(*socket) == Some(REP)
                    && [33, 41, 51, 56, 61].contains(option)
                    && it.are("-1 EINVAL", "0")
            }
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_ctx_set(3), ZMQ_MAX_SOCKETS: \"the maximum number of sockets allowed on the \
              context\"; libzmq ignores what is set after the first socket",
        is: |it| match it.call() {
            Some(Call::Socket { context, .. }) => {
                let mut made = it.before().skip_while(
                    |call| !matches!(call, Call::Socket { context: of, .. } if of == context),
                );
                made.any(|call| matches!(call, Call::CtxSet { option: 2, .. }))
                    && (it.are("NULL EMFILE", "made") || it.are("made", "NULL EMFILE"))
            }
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_ctx_get(3), ZMQ_SOCKET_LIMIT: \"the largest number of sockets the context will \
              accept\"; libzmq takes more as ZMQ_MAX_SOCKETS",
        is: |it| match it.call() {
            Some(Call::CtxSet { option: 2, value: 65_536.., .. }) => it.are("-1 EINVAL", "0"),
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_socket(3): no such type, and too many sockets: both are true",
        is: |it| match it.call() {
            Some(Call::Socket { kind, .. }) => {
                ![0..=13, 16..=17, 19..=20].iter().any(|kinds| kinds.contains(kind))
                    && it.are("NULL EINVAL", "NULL EMFILE")
            }
            _ => false,
        },
        ends: false,
    },
    Departure {
        why: "zmq_timers(3): \"EINVAL: the timer id is invalid\"; libzmq forgets a timer that is \
              cancelled when it looks at it next, and until then can set it",
        is: |it| match it.call() {
            Some(Call::TimersSetInterval { timer, .. } | Call::TimersReset { timer }) => {
                let cancels =
                    |call: &Call| matches!(call, Call::TimersCancel { timer: of } if of == timer);
                it.before().any(cancels) && it.are("-1 EINVAL", "0")
            }
            _ => false,
        },
        ends: false,
    },
    // Endpoints.
    Departure {
        why: "zmq_connect(3), zmq_bind(3): \"EINVAL: The endpoint supplied is invalid\"; libzmq reads \
              it as far as it can, and later",
        is: |it| match it.call() {
            Some(Call::Connect { to: Place::Text(text), .. }) => {
                INVALID.contains(&&text[..]) && it.are("-1 EINVAL", "0")
            }
            Some(Call::Bind { to: Place::Text(text), .. }) => {
                INVALID.contains(&&text[..]) && it.ours == "-1 EINVAL"
            }
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_unbind(3), zmq_disconnect(3): \"EINVAL: The endpoint supplied is invalid\"; libzmq \
              looks at no more of it than the transport",
        is: |it| {
            matches!(it.call(), Some(Call::Unbind { .. } | Call::Disconnect { .. }))
                && it.are("-1 EINVAL", "-1 ENOENT")
        },
        ends: false,
    },
    // Messages.
    Departure {
        why: "zmq_msg_get(3), ZMQ_SHARED: whether \"a message MAY share underlying storage with another \
              message\"; libzmq says so of whatever was shared once, and of what could be; bodies up \
              to 56 bytes are copied here",
        is: |it| match it.call() {
            Some(Call::MsgGet { message, property: 3 }) => {
                let bytes = numbers(it.ours).get(1).copied().unwrap_or_default();
                it.ours.starts_with("0 of")
                    && it.theirs == it.ours.replacen('0', "1", 1)
                    && (bytes <= 56 || !it.is_shared(*message))
            }
            _ => false,
        },
        ends: false,
    },
    Departure {
        why: "zmq_disconnect(3): the socket \"will also stop receiving messages originating from this \
              endpoint\"; not with libzmq, if the peer had closed before",
        is: |it| {
            let closes = |call: &Call| matches!(call, Call::Close { .. });
            let gets = |of| it.has_left(of) && it.before().any(closes);
            let has_none = it.ours.starts_with("0 messages") || it.ours.starts_with("-1 EAGAIN");
            it.receiver().is_some_and(gets) && has_none && !it.theirs.starts_with("-1")
                || it.differs_by(|of, ours, theirs| gets(of) && ours | 1 == theirs)
        },
        ends: true,
    },
    Departure {
        why: "a libzmq REP that disconnects with a request that it has looked at aborts the process \
              when it is connected again",
        is: |it| {
            it.theirs.starts_with("the process ended: signal: 6")
                && it.receiver().is_some_and(|of| it.kind(of) == Some(REP) && it.has_left(of))
        },
        ends: true,
    },
    Departure {
        why: "unbind and close end connections at once; a libzmq that has not received what came by \
              them ends them when it has: who sees whom go is open",
        is: |it| {
            let ends = |call: &Call| matches!(call, Call::Unbind { .. } | Call::Disconnect { .. });
            // The first event that differs is that on one side.
            let (mut ours, mut theirs) = (it.ours.split(", "), it.theirs.split(", "));
            let mut pairs = std::iter::from_fn(|| match (ours.next(), theirs.next()) {
                (None, None) => None,
                pair => Some(pair),
            });
            let goes = |event: Option<&str>| event.is_some_and(|it| it.starts_with("0x200 "));
            matches!(it.call(), Some(Call::MonitorEvents { .. }))
                && it.before().any(ends)
                && pairs
                    .find(|(ours, theirs)| ours != theirs)
                    .is_some_and(|(ours, theirs)| goes(ours) || goes(theirs))
        },
        ends: false,
    },
    Departure {
        why: "zmq_setsockopt(3), ZMQ_ROUTER_MANDATORY: a message that cannot be routed fails with \
              EHOSTUNREACH; libzmq drops those of one part, whoever they are for",
        is: |it| match it.call() {
            Some(
                Call::Send { socket, flags, .. }
                | Call::SendIov { socket, flags, .. }
                | Call::MsgSend { socket, flags, .. },
            ) => {
                it.kind(*socket) == Some(ROUTER)
                    && flags & 2 == 0
                    && it.ours.starts_with("-1 EHOSTUNREACH")
            }
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_msg_send(3): a multipart message is received whole or not at all; libzmq loses the \
              rest of one received in part when the receiver disconnects, and takes the next for it",
        is: |it| {
            let is_torn = it.theirs.contains(" parts, then -1 EAGAIN");
            let may = |of| it.has_left(of) && (is_torn || it.is_in_message(of));
            it.receiver().is_some_and(may)
                || it.differs_by(|of, ours, theirs| may(of) && ours == theirs | 1)
        },
        ends: true,
    },
    Departure {
        why: "zmq_poll(3), ZMQ_POLLIN: \"at least one message may be received from the socket without \
              blocking\": of a type that looks into messages to know that, one that was looked at \
              stays, though the socket disconnects; libzmq may discard it, and keeps an XSUB's",
        is: |it| {
            let may = |of| it.looks_ahead(of) && it.has_left(of);
            it.differs_by(|of, ours, theirs| may(of) && ours ^ theirs == 1)
                || it.receiver().is_some_and(may) && it.first_is_missing()
        },
        ends: true,
    },
    Departure {
        why: "zmq_poll(3), ZMQ_POLLOUT: \"at least one message may be sent to the socket without \
              blocking\"; with ROUTER_MANDATORY libzmq says so of peers that are gone, too, as long as \
              what they sent has not been received",
        is: |it| {
            let leaves = |call: &Call| {
                matches!(call, Call::Disconnect { .. } | Call::Unbind { .. } | Call::Close { .. })
            };
            it.differs_by(|of, ours, theirs| it.kind(of) == Some(ROUTER) && ours | 2 == theirs)
                && it.before().any(leaves)
        },
        ends: false,
    },
    Departure {
        why: "zmq_msg_send(3): a multipart message is sent whole or not at all; of one whose peer goes \
              meanwhile the rest is dropped, where libzmq says EAGAIN, once, if it is not to wait",
        is: |it| match it.call() {
            Some(Call::Send { socket, .. } | Call::SendIov { socket, .. }) => {
                it.is_sending(*socket)
                    && it.theirs.starts_with("-1 EAGAIN")
                    && !it.ours.starts_with("-1")
            }
            Some(Call::MsgSend { socket, .. }) => {
                it.is_sending(*socket) && it.theirs.starts_with("-1 EAGAIN")
            }
            _ => false,
        },
        ends: true,
    },
    Departure {
        why: "zmq_setsockopt(3), ZMQ_REQ_RELAXED: a request that was refused has changed nothing; to \
              libzmq the one before is then forgotten",
        is: |it| {
            let Some(socket) = it.receiver() else { return false };
            let relaxes = |call: &Call| matches!(call, Call::Set { socket: of, option: 53, .. } if *of == socket);
            it.kind(socket) == Some(REQ)
                && it.before().any(relaxes)
                && it.was_refused(socket)
                && (it.ours.replace("-1 EAGAIN", "-1 EFSM") == it.theirs
                    || it.theirs.starts_with("-1 EFSM"))
        },
        ends: true,
    },
    Departure {
        why: "XPUB: what peers subscribe to is known at once, and told before messages that wait; a \
              libzmq XPUB tells both as they came (ARCHITECTURE)",
        is: |it| {
            let is_xpub = it.receiver().and_then(|of| it.kind(of)) == Some(XPUB);
            let sorted = |result: &str| {
                let mut items: Vec<_> = result.split(['[', ']', ',']).map(str::trim).collect();
                items.sort_unstable();
                items.join(" ")
            };
            let is_news = it.ours.contains("\"\\x01") || it.ours.contains("\"\\x00");
            is_xpub
                && match it.call() {
                    Some(Call::Drain { .. }) => sorted(it.ours) == sorted(it.theirs),
                    Some(Call::RecvProperties { .. }) => !it.theirs.contains("-1"),
                    _ => is_news && !it.theirs.contains("EAGAIN"),
                }
        },
        ends: true,
    },
    Departure {
        why: "zmq_disconnect(3): \"ENOENT: The provided endpoint is not connected\": its peer has \
              closed, and what it had sent is received; to libzmq it is there until more was asked for",
        is: |it| match it.call() {
            Some(
                Call::Disconnect { socket, from: Place::Text(from) }
                | Call::Unbind { socket, from: Place::Text(from) },
            ) => {
                let closes =
                    |call: &Call| matches!(call, Call::Close { socket: of } if of != socket);
                from.starts_with("inproc://") && it.before().any(closes) && it.are("-1 ENOENT", "0")
            }
            _ => false,
        },
        ends: false,
    },
    Departure {
        why: "zmq_proxy_steerable(3): the capture socket gets \"all messages, received on both frontend \
              and backend\"; libzmq copies commands to it too",
        is: |it| match (it.call(), it.theirs.split_once(" copies, ")) {
            (Some(Call::Proxy { .. }), Some((before, after))) => {
                let after = after.trim_start_matches(|digit: char| digit.is_ascii_digit());
                it.ours == format!("{before} copies, 0{after}")
            }
            _ => false,
        },
        ends: false,
    },
];

const MECHANISM: i32 = 43;
const PLAIN_SERVER: i32 = 44;
const CURVE_SERVER: i32 = 47;
const GSSAPI: [i32; 6] = [62, 63, 64, 65, 90, 91];

fn is_not_built(option: i32) -> bool {
    GSSAPI.contains(&option) || matches!(option, 68 | 85..=88)
}

/// What is no endpoint by zmq_tcp(7) and zmq_ipc(7); the last can only be bound to.
const INVALID: &[&str] = &[
    "tcp://[::1",
    "tcp://:5555",
    "tcp://256.1.1.1:*",
    "tcp://127.0.0.1:*x",
    "tcp://127.0.0.1;127.0.0.1:5555",
    "ipc://*",
];
