//! The options of sockets: one table, from which everything about them follows.
//!
//! ```
//! use oxmq::option::{OptionSpec, OptionValue, SNDHWM};
//! assert_eq!(SNDHWM.spec().id(), 23);
//! assert_eq!(SNDHWM.spec().default(), OptionValue::I32(1000));
//! assert_eq!(OptionSpec::with_name("SNDHWM"), Some(SNDHWM.spec()));
//! for spec in oxmq::option::TABLE {
//!     println!("{} ({}), {}", spec.name(), spec.default(), spec.range());
//! }
//! ```

use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;

use zeroize::Zeroize;

use crate::transport::filter;

mod security;
#[cfg(test)]
mod tests;

pub use security::{CURVE_SERVER, PLAIN_SERVER};
pub(crate) use security::{Mechanism, Secret};

/// An option whose values are of type `T`; one of this module's constants.
pub struct Opt<T> {
    spec: &'static OptionSpec,
    get: fn(&Options) -> T,
}

/// What the table says about one option.
pub struct OptionSpec {
    name: &'static str,
    id: i32,
    doc: &'static str,
    range: Range,
    get: fn(&Options) -> OptionValue,
    /// Stores a value of the right type, and says whether it is one.
    put: fn(&mut Options, OptionValue) -> bool,
}

/// A value of an option, whatever its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OptionValue {
    /// C's `int`.
    I32(i32),
    /// C's `int64_t`.
    I64(i64),
    /// C's `int`, 0 or 1.
    Bool(bool),
    /// Any bytes.
    Bytes(Vec<u8>),
    /// Text.
    Text(String),
}

/// The values that an option takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Range {
    /// These integers.
    Int(RangeInclusive<i64>),
    /// These milliseconds, rounded down to tenths of a second.
    Tenths(RangeInclusive<i64>),
    /// True or false.
    Bool,
    /// Up to 255 bytes, the first of them not zero: such names are ØMQ's own.
    RoutingId,
    /// Any bytes.
    Bytes,
    /// Up to 255 bytes, which are not shown.
    Credential,
    /// A key of CURVE: 32 bytes, which are not shown.
    Key,
    /// Text of up to so many bytes, none of them zero.
    Text(usize),
    /// Networks, as `192.168.0.0/16` or `::1`, separated by commas.
    Networks,
    /// Numbers from 0 to 4294967295, separated by commas.
    Numbers,
    /// Lines of the form `X-name:value`, each name but once, of at most 255 bytes.
    Properties,
    /// None: the option can only be read.
    ReadOnly,
}

/// Why an option was not set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OptionError {
    /// The value is outside the option's range.
    OutOfRange {
        /// The option's name.
        option: &'static str,
        /// The value refused; of a credential or a key as many zeros.
        value: OptionValue,
        /// The values that the option takes.
        expected: &'static Range,
    },
    /// The value is of another type than the option.
    WrongType {
        /// The option's name.
        option: &'static str,
        /// The value refused; nothing of it where a credential or a key is wanted.
        value: OptionValue,
        /// A value of the right type: the option's default.
        default: OptionValue,
    },
    /// The option can only be read.
    ReadOnly {
        /// The option's name.
        option: &'static str,
    },
    /// The context is terminated.
    Terminated,
    /// The socket is closed.
    Closed,
    /// The socket is another process's: this one was forked after it was made.
    Forked,
    /// Sockets of this type have nothing of the kind.
    NotSupported,
}

impl<T> Opt<T> {
    /// What the table says about this option.
    pub const fn spec(&self) -> &'static OptionSpec {
        self.spec
    }
}

impl OptionSpec {
    /// The option with libzmq's number `id`.
    pub fn with_id(id: i32) -> Option<&'static OptionSpec> {
        TABLE.iter().copied().find(|spec| spec.id == id)
    }

    /// The option called `name`, such as `"SNDHWM"`.
    pub fn with_name(name: &str) -> Option<&'static OptionSpec> {
        TABLE.iter().copied().find(|spec| spec.name == name)
    }

    /// libzmq's name, without its `ZMQ_`.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// libzmq's number. Those from [`OWN_ID_MIN`] on are ours.
    pub const fn id(&self) -> i32 {
        self.id
    }

    /// The text of the constant's documentation; each line begins with a space.
    pub const fn doc(&self) -> &'static str {
        self.doc
    }

    /// The values that the option takes.
    pub const fn range(&self) -> &Range {
        &self.range
    }

    /// The value in a new socket.
    pub fn default(&self) -> OptionValue {
        (self.get)(&Options::default())
    }
}

impl Options {
    pub(crate) fn get<T>(&self, option: Opt<T>) -> T {
        (option.get)(self)
    }

    /// As [`get`](Options::get), for an option known only while running.
    pub(crate) fn value(&self, spec: &OptionSpec) -> OptionValue {
        (spec.get)(self)
    }

    pub(crate) fn set<T: Into<OptionValue>>(
        &mut self,
        option: Opt<T>,
        value: T,
    ) -> Result<(), OptionError> {
        self.set_value(option.spec, value.into())
    }

    /// As [`set`](Options::set), for an option known only while running.
    pub(crate) fn set_value(
        &mut self,
        spec: &'static OptionSpec,
        value: OptionValue,
    ) -> Result<(), OptionError> {
        let option = spec.name;
        if spec.range == Range::ReadOnly {
            return Err(OptionError::ReadOnly { option });
        }
        let default = spec.default();
        if std::mem::discriminant(&default) != std::mem::discriminant(&value) {
            let value = spec.range.without_secrets(value);
            return Err(OptionError::WrongType { option, value, default });
        }
        if !spec.range.contains(&value) {
            let value = spec.range.without_secrets(value);
            return Err(OptionError::OutOfRange { option, value, expected: &spec.range });
        }
        let put = (spec.put)(self, spec.range.round(value));
        debug_assert!(put, "{option} has values of its default's type");
        self.settle_mechanism(spec);
        Ok(())
    }
}

impl Range {
    /// Whether the option takes `value`, which is of the right type.
    fn contains(&self, value: &OptionValue) -> bool {
        match (self, value) {
            (Range::Int(range) | Range::Tenths(range), OptionValue::I32(value)) => {
                range.contains(&i64::from(*value))
            }
            (Range::Int(range), OptionValue::I64(value)) => range.contains(value),
            (Range::Bool, OptionValue::Bool(_)) => true,
            (Range::Bytes, OptionValue::Bytes(_)) => true,
            (Range::Credential, OptionValue::Bytes(bytes)) => bytes.len() <= CREDENTIAL_BYTES_MAX,
            (Range::Key, OptionValue::Bytes(key)) => key.len() == KEY_BYTES,
            (Range::Text(bytes_max), OptionValue::Text(text)) => {
                text.len() <= *bytes_max && !text.contains('\0')
            }
            (Range::Networks, OptionValue::Text(text)) => filter::are_networks(text),
            (Range::Properties, OptionValue::Text(text)) => properties(text).is_some(),
            (Range::Numbers, OptionValue::Text(text)) => filter::are_numbers(text),
            (Range::RoutingId, OptionValue::Bytes(id)) => {
                id.len() <= ROUTING_ID_BYTES_MAX && id.first() != Some(&0)
            }
            _ => false,
        }
    }

    /// What an error tells of a value that was refused: of a secret no more than how long it was.
    fn without_secrets(&self, mut value: OptionValue) -> OptionValue {
        if matches!(self, Range::Credential | Range::Key) {
            match &mut value {
                OptionValue::Bytes(secret) => {
                    let bytes = secret.len();
                    secret.zeroize();
                    secret.resize(bytes, 0);
                }
                OptionValue::Text(secret) => secret.zeroize(),
                OptionValue::I32(_) | OptionValue::I64(_) | OptionValue::Bool(_) => {}
            }
        }
        value
    }

    /// The value that is kept of one in range.
    fn round(&self, value: OptionValue) -> OptionValue {
        match (self, value) {
            (Range::Tenths(_), OptionValue::I32(ms)) => OptionValue::I32(ms - ms % 100),
            (_, value) => value,
        }
    }
}

/// As what a value is kept.
macro_rules! held {
    ($type:ty) => {
        $type
    };
    ($type:ty as $held:ty) => {
        $held
    };
}

/// Makes of each row the constant, its line in [`TABLE`], and the field that holds the value.
macro_rules! options {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident = $id:expr, $field:ident: $variant:ident($type:ty $(as $held:ty)?) = $default:expr,
        $range:expr;
    )+) => {
        /// The values of a socket's options.
        #[derive(Clone, Debug)]
        pub(crate) struct Options {
            $($(#[doc = $doc])+ pub(crate) $field: held!($type $(as $held)?),)+
            /// This end is the server of its mechanism.
            pub(crate) as_server: bool,
        }

        impl Default for Options {
            fn default() -> Options {
                Options { $($field: $default,)+ as_server: false }
            }
        }

        $(
            $(#[doc = $doc])+
            pub const $name: Opt<$type> = Opt {
                spec: &OptionSpec {
                    name: stringify!($name),
                    id: $id,
                    doc: concat!($($doc, "\n",)+),
                    range: $range,
                    get: |options| OptionValue::$variant(options.$field.clone().into()),
                    put: |options, value| match value {
                        OptionValue::$variant(value) => {
                            options.$field = value.into();
                            true
                        }
                        _ => false,
                    },
                },
                get: |options| options.$field.clone().into(),
            };
        )+

        /// Every option there is.
        pub const TABLE: &[&OptionSpec] =
            &[$($name.spec,)+ IPV4ONLY.spec, PLAIN_SERVER.spec, CURVE_SERVER.spec];
    };
}

options! {
    /// How many messages may wait to be sent to one peer, in messages; 0 is no limit. A multipart
    /// message counts as one.
    ///
    /// The bound is exact. Over tcp and ipc it counts the messages that the kernel has not taken
    /// whole: while a peer reads nothing, SNDHWM messages are taken beyond those that fill the
    /// kernel's buffers, and one that only receives nothing holds RCVHWM more, beside one read
    /// buffer (72 KiB) and one long message. Over inproc it is the sum of this and the peer's
    /// RCVHWM, and there is no limit if either is 0; until the peer is there, it is SNDHWM. A sender
    /// that waits is woken once half of it is free, or as soon as the kernel takes no more for now.
    ///
    /// Default: 1000. Too low stalls or drops at every burst; too high or none lets one slow peer
    /// take all the memory. Applies to peers that are there, too.
    SNDHWM = 23, sndhwm: I32(i32) = 1000, COUNT;

    /// How many messages received from one peer may wait for the application, in messages; 0 is
    /// no limit. A multipart message counts as one.
    ///
    /// Default: 1000. Too low pauses the peer at every burst; too high or none lets a fast peer
    /// take all the memory. Applies to peers that are there, too.
    RCVHWM = 24, rcvhwm: I32(i32) = 1000, COUNT;

    /// How long the messages of a closed socket are still tried to send, in milliseconds; 0 is
    /// not at all, −1 for ever. Terminating the context waits for it.
    ///
    /// Default: -1, and 0 for SUB and XSUB. Too short loses what was just sent; for ever hangs the
    /// end of a process whose peer does not come back.
    LINGER = 17, linger: I32(i32) =
        if cfg!(oxmq_mutation = "capi_linger_default") { 0 } else { -1 }, COUNT_OR_MINUS_1;

    /// How long a blocking send waits for a peer that can take the message, in milliseconds; 0 is
    /// not at all, −1 for ever.
    ///
    /// Default: -1. Too short fails whenever a peer is briefly slow; for ever hangs the caller when
    /// no peer comes.
    SNDTIMEO = 28, sndtimeo: I32(i32) = -1, COUNT_OR_MINUS_1;

    /// How long a blocking receive waits for a message, in milliseconds; 0 is not at all, −1 for
    /// ever.
    ///
    /// Default: -1. Too short fails when a peer is merely slow; for ever hangs the caller when the
    /// message was lost.
    RCVTIMEO = 27, rcvtimeo: I32(i32) = -1, COUNT_OR_MINUS_1;

    /// How long to wait before connecting again to a peer that refused or went, in milliseconds;
    /// 0 is at once, which is a millisecond; −1 is never: the endpoint is given up at the first failure,
    /// as if it had been disconnected from. Some chance is added, so that many clients do not come all
    /// at once. A name is looked up anew each time, and all its addresses are tried in turn.
    ///
    /// It doubles, up to two seconds (or RECONNECT_IVL_MAX, if that is set), while the peer ends one
    /// connection after the other in the handshake, or within a second after it without having said
    /// anything: so does a ROUTER that knows another peer of this socket's name.
    ///
    /// Default: 100. Too short floods a server that is coming back; too long, or never, keeps the
    /// peer away although it could be had.
    RECONNECT_IVL = 18, reconnect_ivl: I32(i32) = 100, COUNT_OR_MINUS_1;

    /// Up to what RECONNECT_IVL doubles from attempt to attempt, in milliseconds; 0, or anything
    /// less than RECONNECT_IVL, is no doubling.
    ///
    /// Default: 0. Too long leaves a peer that is back unnoticed for as long.
    RECONNECT_IVL_MAX = 21, reconnect_ivl_max: I32(i32) = 0, COUNT;

    /// The name that the socket gives itself to its peers, 0 to 255 bytes, not beginning with a
    /// zero byte; a ROUTER addresses it by this name. Set it before connecting or binding.
    ///
    /// A STREAM gives itself no name; of one that has peers, this reads as the name last made up for
    /// one of them.
    ///
    /// Default: empty, and each ROUTER makes a name up. A name that another peer of the same
    /// ROUTER bears gets the connection refused, for as long as that one's connection stands, however
    /// slow it is, or silent (HEARTBEAT_IVL finds those). When a second one comes, the system of the
    /// first is asked; one that answers nothing for five seconds is taken for cut off, and disconnected.
    /// (Where it has not read for a while, so that nothing more can be sent to it, the system asks more
    /// seldom: after as long again, and twice as long after that, two minutes at most.)
    ROUTING_ID = 5, routing_id: Bytes(Vec<u8>) = Vec::new(), Range::RoutingId;

    /// How many connections may wait to be accepted by one bound endpoint, in connections; the
    /// system may allow fewer (`net.core.somaxconn`).
    ///
    /// Default: 100. Too low refuses or delays clients that come all at once; too high costs a
    /// little kernel memory.
    BACKLOG = 19, backlog: I32(i32) = 100, COUNT;

    /// The longest part accepted from a peer, in bytes; −1 is no limit. A peer that sends a longer
    /// one is disconnected.
    ///
    /// Default: -1. Too low disconnects honest peers, again and again; none lets a peer send what
    /// the memory does not hold.
    MAXMSGSIZE = 22, maxmsgsize: I64(i64) = -1, Range::Int(-1..=i64::MAX);

    /// The most that the parts of one multipart message may add up to, in bytes, 64 for each part beside
    /// its own; −1 is no limit. A peer that sends more is disconnected, and the message counted as torn. Of
    /// a message that has not come whole nothing can be received, so this, beside RCVHWM messages, is what
    /// one peer can have this end keep. Ours; libzmq has nothing of the kind. Applies to endpoints bound or
    /// connected to after it is set.
    ///
    /// Default: 8589934592, 8 GiB. Too low disconnects honest peers, again and again; none lets a peer
    /// send what the memory does not hold. See MAXMSGSIZE, too, without which one part has no limit.
    MAXMULTIPARTSIZE = OWN_ID_MIN + 1, maxmultipartsize: I64(i64) = 8 << 30, Range::Int(-1..=i64::MAX);

    /// How long a new connection may take until both sides have introduced themselves, in
    /// milliseconds; 0 is for ever.
    ///
    /// Default: 30000. Too short refuses peers behind slow links; for ever lets silent strangers
    /// hold descriptors.
    HANDSHAKE_IVL = 66, handshake_ivl: I32(i32) = 30_000, COUNT;

    /// Whether IPv6 is used beside IPv4: for names when connecting, for `*` when binding.
    ///
    /// Default: false. With it on, names that resolve to addresses nobody listens on cost an
    /// attempt each; with it off, IPv6 addresses are refused to bind to.
    IPV6 = 42, ipv6: Bool(bool) = false, Range::Bool;

    /// The kernel's send buffer of each connection (`SO_SNDBUF`), in bytes; −1 leaves the system's
    /// choice.
    ///
    /// Default: -1. Too small limits the throughput over distance; any value at all switches the
    /// system's own tuning off.
    SNDBUF = 11, sndbuf: I32(i32) = -1, COUNT_OR_MINUS_1;

    /// The kernel's receive buffer of each connection (`SO_RCVBUF`), in bytes; −1 leaves the
    /// system's choice.
    ///
    /// Default: -1. Too small limits the throughput over distance; any value at all switches the
    /// system's own tuning off.
    RCVBUF = 12, rcvbuf: I32(i32) = -1, COUNT_OR_MINUS_1;

    /// Whether messages are queued only for peers whose connection stands. Otherwise `connect` is
    /// enough, and what waits there goes out when the peer comes.
    ///
    /// Default: false. With it on, sending blocks while nobody is connected, and what waits for a
    /// peer is lost with its connection; with it off, messages pile up for peers that may not come.
    IMMEDIATE = 39, immediate: Bool(bool) = false, Range::Bool;

    /// The type of the socket, as libzmq numbers them: PAIR 0, PUB 1, SUB 2, REQ 3, REP 4,
    /// DEALER 5, ROUTER 6, PULL 7, PUSH 8, XPUB 9, XSUB 10, STREAM 11. Read only.
    ///
    /// Default: 0; a socket has its own from the start.
    TYPE = 16, socket_type: I32(i32) = 0, Range::ReadOnly;

    /// The endpoint last bound or connected to, with the port or path that took the place of a
    /// `*`. Read only.
    ///
    /// Default: empty.
    LAST_ENDPOINT = 32, last_endpoint: Text(String) = String::new(), Range::ReadOnly;

    /// ROUTER: whether a message for an identity that no peer has is refused with
    /// `HostUnreachable`, and one for a peer that is full waits or is refused with `Again`.
    ///
    /// Default: false, such messages are dropped. With it on, every send may be refused.
    ROUTER_MANDATORY = 33, router_mandatory: Bool(bool) = false, Range::Bool;

    /// ROUTER: whether a new peer takes over an identity that another bears. The other one stays
    /// connected, so that it does not come again and take the identity back, but nothing more is heard
    /// of it, or sent to it; monitors are told ([`HandedOver`](crate::monitor::ReasonKind::HandedOver)).
    ///
    /// Default: false, the new peer is refused. With it on, a peer can take another's place on its
    /// own word.
    ROUTER_HANDOVER = 56, router_handover: Bool(bool) = false, Range::Bool;

    /// ROUTER: whether the application is told who comes (1), who goes (2), or both (3), as a number,
    /// by a message of two parts: the identity, and an empty one. At most RCVHWM of them wait.
    ///
    /// Default: 0, it is not. Who does not expect such messages takes them for the peers' own.
    ROUTER_NOTIFY = 97, router_notify: I32(i32) = 0, Range::Int(0..=3);

    /// ROUTER, STREAM: the name by which the peer of the next `connect` is addressed, whatever it calls
    /// itself; 1 to 255 bytes, not beginning with a zero byte. That one connect uses it up. Messages
    /// may be sent to it at once, and wait until it is there.
    ///
    /// Default: empty, the peer is addressed by the name that it gives itself, once it is there. A
    /// name that another peer bears gets the connect refused.
    CONNECT_ROUTING_ID = 61, connect_routing_id: Bytes(Vec<u8>) = Vec::new(), Range::RoutingId;

    /// DEALER, ROUTER: a message sent to each new peer, on every new connection, before anything else.
    /// Empty is none. Applies to endpoints bound or connected to after it is set.
    ///
    /// Default: empty. A peer that does not expect it takes it for one of the application's.
    HELLO_MSG = 110, hello_msg: Bytes(Vec<u8>) = Vec::new(), Range::Bytes;

    /// ROUTER: a message received from each peer that had connected and whose connection ends, behind
    /// all that it had sent. Empty is none. Applies to endpoints bound after it is set.
    ///
    /// Default: empty. A peer can send the same message itself, and is then taken for gone.
    DISCONNECT_MSG = 111, disconnect_msg: Bytes(Vec<u8>) = Vec::new(), Range::Bytes;

    /// DEALER: a message received when the connection to a peer that was connected to ends; another is
    /// tried. Empty is none. Applies to endpoints connected to after it is set. Over inproc nobody
    /// comes back, and there is none.
    ///
    /// Default: empty. A peer can send the same message itself, and is then taken for gone.
    HICCUP_MSG = 114, hiccup_msg: Bytes(Vec<u8>) = Vec::new(), Range::Bytes;

    /// PUB, XPUB, SUB, XSUB: how many different prefixes are subscribed to, by the peers or by this
    /// socket, as a number. Read only.
    ///
    /// Default: 0.
    TOPICS_COUNT = 116, topics_count: I32(i32) = 0, Range::ReadOnly;

    /// ROUTER: whether its connections carry bytes as they are, without ØMQ's protocol, as those of a
    /// [`Stream`](crate::Stream) do. libzmq calls it deprecated in favour of STREAM.
    ///
    /// Default: false. With it on, peers that speak ZMTP are not understood. Applies to endpoints bound
    /// or connected to after it is set, and to sending at once.
    ROUTER_RAW = 41, router_raw: Bool(bool) = false, Range::Bool;

    /// STREAM, and ROUTER with ROUTER_RAW: whether the application is told of each connection that
    /// comes, and of each that goes, by an empty message from it.
    ///
    /// Default: true. Without it, an application does not learn of connections before they bring
    /// something, nor of their ends. Applies to endpoints bound or connected to after it is set.
    STREAM_NOTIFY = 73, stream_notify: Bool(bool) = true, Range::Bool;

    /// XPUB: whether every subscription is received, not only the first to a prefix.
    ///
    /// Default: false. With it on, many subscribers to one prefix are many messages.
    XPUB_VERBOSE = 40, xpub_verbose: Bool(bool) = false, Range::Bool;

    /// XPUB: whether every subscription and every end of one is received, not only the first and
    /// the last of a prefix.
    ///
    /// Default: false. With it on, many subscribers to one prefix are many messages.
    XPUB_VERBOSER = 78, xpub_verboser: Bool(bool) = false, Range::Bool;

    /// XPUB: whether a message that a peer has no room for waits, or is refused with `Again`, for
    /// all peers together.
    ///
    /// Default: false, the peer misses it. With it on, the slowest peer sets the pace.
    XPUB_NODROP = 69, xpub_nodrop: Bool(bool) = false, Range::Bool;

    /// XPUB: whether subscriptions are only received, and take effect by what the application then
    /// does: `subscribe` and `unsubscribe` are for the peer whose subscription was received last.
    ///
    /// Default: false. With it on, peers get nothing that the application does not see to.
    XPUB_MANUAL = 71, xpub_manual: Bool(bool) = false, Range::Bool;

    /// XPUB: as XPUB_MANUAL, and the next message sent after a subscription was received goes to that
    /// peer alone, so that it gets the last value and the others do not get it twice.
    ///
    /// Default: false. With it on, a message that was meant for all may reach one.
    XPUB_MANUAL_LAST_VALUE = 98, xpub_manual_last_value: Bool(bool) = false, Range::Bool;

    /// XPUB: a message sent to each new peer. Empty is none.
    ///
    /// Default: empty. A subscriber gets it only if it has subscribed to a prefix of it.
    XPUB_WELCOME_MSG = 72, xpub_welcome_msg: Bytes(Vec<u8>) = Vec::new(), Range::Bytes;

    /// XPUB, SUB: whether messages go to the peers, or reach the application, that have subscribed
    /// to no prefix of them. Set it on both sides.
    ///
    /// Default: false. On one side alone, both together leave nothing to receive.
    INVERT_MATCHING = 74, invert_matching: Bool(bool) = false, Range::Bool;

    /// XSUB: whether every end of a subscription is said to the publishers, not only the last of a
    /// prefix.
    ///
    /// Default: false. With it on, publishers hear of ends whose beginnings they never heard of.
    XSUB_VERBOSE_UNSUBSCRIBE = 115, xsub_verbose_unsubscribe: Bool(bool) = false, Range::Bool;

    /// REQ, DEALER, ROUTER: whether each new connection begins with an empty message, by which a
    /// ROUTER at the other end learns who has come.
    ///
    /// Default: false. Other types of peers receive the empty message as one.
    PROBE_ROUTER = 51, probe_router: Bool(bool) = false, Range::Bool;

    /// Whether the pipe to each peer, and from it, holds one message only, the newest: a message that
    /// comes before an older one was taken takes its place. SNDHWM and RCVHWM do not count, and no
    /// send waits for room. Messages of several parts are replaced and delivered whole (libzmq tears
    /// them). PUSH, PULL, PUB, SUB and DEALER; the other types do not take notice.
    ///
    /// Over inproc there is one queue a way, the receiver's: what is sent is there at once. The option
    /// of the socket that connects is for both ways, that of the socket that binds for what it
    /// receives; so a plain SUB that connects to a PUB with CONFLATE gets every message, as it does
    /// over tcp.
    ///
    /// Default: false. With it on, every message but the newest may be lost, unless the receiver is
    /// faster than the sender. Applies to peers that come after it is set.
    CONFLATE = 54, conflate: Bool(bool) = false, Range::Bool;

    /// REQ: whether each request carries a number, in a part before the delimiter, and only a reply
    /// that brings the same number back is received.
    ///
    /// Default: false. Replies of peers that do not keep the whole envelope never arrive.
    REQ_CORRELATE = 52, req_correlate: Bool(bool) = false, Range::Bool;

    /// REQ: whether a new request may be sent although the last one was not answered: that one is
    /// given up, and its reply is dropped. Set REQ_CORRELATE too: without it a late reply from the
    /// peer that is asked again is taken for the new one.
    ///
    /// Default: false. Without it, a reply that was lost leaves nothing but to close the socket; with
    /// it, nobody notices a program that asks twice by mistake.
    REQ_RELAXED = 53, req_relaxed: Bool(bool) = false, Range::Bool;

    /// How often a PING asks the peer for a sign of life, in milliseconds; 0 is never. Peers before
    /// ZMTP 3.0 do not know it, and are not asked.
    ///
    /// Default: 0. Too short costs traffic and wake-ups on idle connections; without it, a peer that
    /// vanished without a word is noticed only when the system gives up on it.
    HEARTBEAT_IVL = 75, heartbeat_ivl: I32(i32) = 0, COUNT;

    /// What the PINGs tell the peer: to take us for dead when it hears nothing for this long, in
    /// milliseconds, rounded down to tenths of a second; 0 is no such hint.
    ///
    /// Default: 0. Less than HEARTBEAT_IVL makes the peer disconnect between two PINGs.
    HEARTBEAT_TTL = 76, heartbeat_ttl: I32(i32) = 0, Range::Tenths(0..=6_553_599);

    /// How long a peer may be silent after a PING before its connection is ended, in milliseconds;
    /// 0 is for ever, −1 is as long as HEARTBEAT_IVL. Whatever it sends is a sign of life. So is, while
    /// the PING is still behind a long message or the connection is full, that the peer takes more of
    /// what was sent; who takes nothing either has up to twice the time from when it last did.
    ///
    /// Default: -1. Too short ends the connections of peers that are merely busy, or that read
    /// nothing because their queues are full.
    HEARTBEAT_TIMEOUT = 77, heartbeat_timeout: I32(i32) = -1, COUNT_OR_MINUS_1;

    /// How long the making of a tcp or ipc connection may take, in milliseconds; 0 leaves it to
    /// HANDSHAKE_IVL and the system.
    ///
    /// Default: 0. Too short never reaches peers behind slow links; too long waits for hosts that
    /// are gone.
    CONNECT_TIMEOUT = 79, connect_timeout: I32(i32) = 0, COUNT;

    /// What ends the attempts to connect, as a number, the sum of: 1, nobody listens there; 2, the
    /// handshake fails, or does not end in time; 4, the socket has disconnected from the endpoint, and
    /// there is no connection over which what waits could go. The endpoint is then given up, and what
    /// waits for it is dropped.
    ///
    /// Default: 0, they go on for ever. With 1, a server that restarts is never found again. Whatever it
    /// is, a peer that refuses the name and password, or the key, that it was shown (ERROR) is given up.
    RECONNECT_STOP = 109, reconnect_stop: I32(i32) = 0, Range::Int(0..=7);

    /// Which I/O threads may serve the connections made from here on, as a number: bit 0 stands for the
    /// first one, and so on; 0 allows all.
    ///
    /// Default: 0. With threads that the context does not have, binding and connecting fail.
    AFFINITY = 4, affinity: I64(i64) = 0, Range::Int(i64::MIN..=i64::MAX);

    /// A descriptor that listens already (socket activation), for the next calls to `bind`, as a number;
    /// −1 is none. A bind works with a copy of it, so that it stays open, and the system goes on
    /// accepting, until its owner closes it. It becomes non-blocking. The endpoint that `bind` is given
    /// only has to be of the right transport; what it returns says where the descriptor listens.
    ///
    /// Default: -1. A bind with a descriptor that does not listen for streams fails.
    USE_FD = 89, use_fd: I32(i32) = -1, COUNT_OR_MINUS_1;

    /// The network device, by name, that connections go through or come from (`SO_BINDTODEVICE`).
    ///
    /// Default: empty, any. Without such a device, or the right to use it, binding fails, and connecting
    /// is tried again and again.
    BINDTODEVICE = 92, bindtodevice: Text(String) = String::new(), Range::Text(15);

    /// Which peers may connect over tcp: those in any of these networks.
    ///
    /// Default: empty, all. Whoever is outside is disconnected without a word. Applies to endpoints
    /// bound after it is set.
    TCP_ACCEPT_FILTER = 38, tcp_accept_filter: Text(String) = String::new(), Range::Networks;

    /// Which users' processes may connect over ipc. With IPC_FILTER_GID and IPC_FILTER_PID: who fits
    /// one of the three may.
    ///
    /// Default: empty; if all three are, everybody may who may write to the path. Others are
    /// disconnected without a word. Applies to endpoints bound after it is set.
    IPC_FILTER_UID = 59, ipc_filter_uid: Text(String) = String::new(), Range::Numbers;

    /// Which groups' processes may connect over ipc. See [`IPC_FILTER_UID`].
    ///
    /// Default: empty. Whoever fits none of the three filters is disconnected without a word.
    IPC_FILTER_GID = 60, ipc_filter_gid: Text(String) = String::new(), Range::Numbers;

    /// Which processes may connect over ipc. See [`IPC_FILTER_UID`].
    ///
    /// Default: empty. Whoever fits none of the three filters is disconnected without a word.
    IPC_FILTER_PID = 58, ipc_filter_pid: Text(String) = String::new(), Range::Numbers;

    /// What the application says about itself to its peers, who find it in the properties of
    /// [`Peer`](crate::Peer): lines of the form `X-name:value`. Nothing is said to peers before ZMTP
    /// 3.0, nor over inproc.
    ///
    /// Default: empty. Some kilobytes are as much as peers take before they refuse the connection.
    METADATA = 95, metadata: Text(String) = String::new(), Range::Properties;

    /// The mechanism by which connections are secured, as libzmq numbers them: NULL 0, PLAIN 1, CURVE 2.
    /// It is that of the option last set of those that are about one. Read only.
    ///
    /// Default: 0. See [`security`](crate::security).
    MECHANISM = 43, mechanism: I32(i32) = 0, Range::ReadOnly;

    /// PLAIN, the client's: the name that it gives, up to 255 bytes. It makes PLAIN the mechanism; an
    /// empty one takes that back.
    ///
    /// Default: empty. It travels as it is: whoever sees the connection's bytes reads it.
    PLAIN_USERNAME = 45, plain_username: Bytes(Vec<u8>) = Vec::new(), Range::Credential;

    /// PLAIN, the client's: the password that it gives, up to 255 bytes. It makes PLAIN the mechanism;
    /// an empty one takes that back.
    ///
    /// Default: empty. It travels as it is: whoever sees the connection's bytes reads it.
    PLAIN_PASSWORD = 46, plain_password: Bytes(Vec<u8> as Secret) = Secret::default(), Range::Credential;

    /// CURVE, the client's: its long-term public key, 32 bytes ([`z85`](crate::z85) has their text). It
    /// makes CURVE the mechanism.
    ///
    /// Default: zeros, no key. One that does not go with CURVE_SECRETKEY gets the connection refused.
    CURVE_PUBLICKEY = 48, curve_publickey: Bytes(Vec<u8>) = vec![0; KEY_BYTES], Range::Key;

    /// CURVE: this end's long-term secret key, 32 bytes. It makes CURVE the mechanism.
    ///
    /// Default: zeros, no key. Who learns it can take this end's place.
    CURVE_SECRETKEY = 49, curve_secretkey: Bytes(Vec<u8> as Secret) =
        Secret::from(vec![0; KEY_BYTES]), Range::Key;

    /// CURVE, the client's: the public key of the server that it wants to reach, 32 bytes. It makes
    /// CURVE the mechanism, and this end a client.
    ///
    /// Default: zeros, no key. With another than the server's no connection comes about.
    CURVE_SERVERKEY = 50, curve_serverkey: Bytes(Vec<u8>) = vec![0; KEY_BYTES], Range::Key;

    /// What the ZAP handler is told this socket's peers want to get into, up to 255 bytes of text. NULL
    /// asks the handler only if this is not empty.
    ///
    /// Default: empty. With it, peers before ZMTP 3.0 are refused.
    ZAP_DOMAIN = 55, zap_domain: Text(String) = String::new(), Range::Text(255);

    /// Whether a peer is refused if there is nobody to ask for it: with a ZAP_DOMAIN and no ZAP handler.
    /// (CURVE without a ZAP_DOMAIN then lets everybody in, and asks nobody.)
    ///
    /// Default: false, NULL and CURVE let it in; PLAIN never does. Off, a handler that has died opens
    /// the door.
    ZAP_ENFORCE_DOMAIN = 93, zap_enforce_domain: Bool(bool) = false, Range::Bool;

    /// The priority of what is sent (`SO_PRIORITY`), as a number; above 6 it takes a capability.
    ///
    /// Default: 0, the system's choice. A value that the system refuses has no effect.
    PRIORITY = 112, priority: I32(i32) = 0, COUNT;

    /// For how many microseconds a read that finds nothing polls the network device
    /// (`SO_BUSY_POLL`), as a number; more than the system's own takes a capability.
    ///
    /// Default: 0, the system's choice. It costs processor time; a value refused has no effect.
    BUSY_POLL = 113, busy_poll: I32(i32) = 0, COUNT;

    /// How long what was sent over tcp may go unacknowledged before the connection is ended
    /// (`TCP_USER_TIMEOUT`), in milliseconds; 0 leaves the system's choice, a quarter of an hour.
    ///
    /// Default: 0. Too short ends connections in a short outage; too long notices late.
    TCP_MAXRT = 80, tcp_maxrt: I32(i32) = 0, COUNT;

    /// The type of service of IPv4 packets, and the traffic class of IPv6 packets, as a number.
    ///
    /// Default: 0, the system's choice. A value that the network reserves gets packets dropped.
    TOS = 57, tos: I32(i32) = 0, COUNT;

    /// Whether the system probes idle tcp connections (`SO_KEEPALIVE`), as a number: 1 is on, 0 is
    /// off, −1 leaves the system's choice.
    ///
    /// Default: -1. Without it, or HEARTBEAT_IVL, a peer that vanished is noticed only by sending.
    TCP_KEEPALIVE = 34, tcp_keepalive: I32(i32) = -1, Range::Int(-1..=1);

    /// How many probes may go unanswered before the connection is ended (`TCP_KEEPCNT`), in probes;
    /// −1 leaves the system's choice. Counts only where TCP_KEEPALIVE is not −1.
    ///
    /// Default: -1. Too few end connections that lost a packet or two.
    TCP_KEEPALIVE_CNT = 35, tcp_keepalive_cnt: I32(i32) = -1, COUNT_OR_MINUS_1;

    /// After how much silence probing begins (`TCP_KEEPIDLE`), in seconds; −1 leaves the system's
    /// choice. Counts only where TCP_KEEPALIVE is not −1.
    ///
    /// Default: -1. Too short costs traffic on idle connections; too long notices late.
    TCP_KEEPALIVE_IDLE = 36, tcp_keepalive_idle: I32(i32) = -1, COUNT_OR_MINUS_1;

    /// How long after one probe the next one follows (`TCP_KEEPINTVL`), in seconds; −1 leaves the
    /// system's choice. Counts only where TCP_KEEPALIVE is not −1.
    ///
    /// Default: -1. Too short ends connections in a short outage; too long notices late.
    TCP_KEEPALIVE_INTVL = 37, tcp_keepalive_intvl: I32(i32) = -1, COUNT_OR_MINUS_1;

    /// Whether a thread blocked in a call may look again for some microseconds before it sleeps.
    /// Ours; libzmq has nothing of the kind.
    ///
    /// Default: true. With it off, a round trip takes several times as long; with it on, waiting
    /// costs some processor time, which a machine with more busy threads than processors misses.
    SPIN = OWN_ID_MIN, spin: Bool(bool) = true, Range::Bool;
}

/// The inverse of [`IPV6`], from before that was there. Setting one sets the other.
///
/// Default: true. Off, names may resolve to addresses nobody listens on.
pub const IPV4ONLY: Opt<bool> = Opt {
    spec: &OptionSpec {
        name: "IPV4ONLY",
        id: 31,
        doc: " The inverse of [`IPV6`], from before that was there. Setting one sets the other.\n\n \
              Default: true. Off, names may resolve to addresses nobody listens on.\n",
        range: Range::Bool,
        get: |options| OptionValue::Bool(!options.ipv6),
        put: |options, value| match value {
            OptionValue::Bool(value) => {
                options.ipv6 = !value;
                true
            }
            _ => false,
        },
    },
    get: |options| !options.ipv6,
};

/// The first number of the options that libzmq does not have; chosen arbitrarily, far beyond its
/// own.
pub const OWN_ID_MIN: i32 = 10_000;

const ROUTING_ID_BYTES_MAX: usize = 255;
const CREDENTIAL_BYTES_MAX: usize = 255;
const KEY_BYTES: usize = 32;

const COUNT: Range = Range::Int(0..=i32::MAX as i64);
const COUNT_OR_MINUS_1: Range = Range::Int(-1..=i32::MAX as i64);

/// The names and values of METADATA; `None` if that is not what the text is.
pub(crate) fn properties(text: &str) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut properties: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for line in text.lines() {
        let (name, value) = line.split_once(':')?;
        let right = name.starts_with("X-") && (3..=PROPERTY_NAME_BYTES_MAX).contains(&name.len());
        // Names that differ in case alone are the same (RFC 37).
        let known = |(held, _): &(Vec<u8>, Vec<u8>)| held.eq_ignore_ascii_case(name.as_bytes());
        if !right || properties.iter().any(known) {
            return None;
        }
        properties.push((name.into(), value.into()));
    }
    Some(properties)
}

const PROPERTY_NAME_BYTES_MAX: usize = 255;

impl<T> Clone for Opt<T> {
    fn clone(&self) -> Opt<T> {
        *self
    }
}

impl<T> Copy for Opt<T> {}

impl<T> fmt::Debug for Opt<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.spec.fmt(f)
    }
}

impl PartialEq for OptionSpec {
    fn eq(&self, other: &OptionSpec) -> bool {
        self.id == other.id
    }
}

impl Eq for OptionSpec {}

impl fmt::Debug for OptionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl fmt::Display for OptionValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionValue::I32(value) => value.fmt(f),
            OptionValue::I64(value) => value.fmt(f),
            OptionValue::Bool(value) => value.fmt(f),
            OptionValue::Bytes(bytes) if bytes.len() > SHOWN_BYTES_MAX => {
                write!(f, "{} bytes", bytes.len())
            }
            OptionValue::Bytes(bytes) => write!(f, "\"{}\"", bytes.escape_ascii()),
            OptionValue::Text(text) => write!(f, "{text:?}"),
        }
    }
}

/// The longest bytes that an error message quotes; chosen arbitrarily.
const SHOWN_BYTES_MAX: usize = 64;

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Range::Int(range) => write!(f, "{} to {}", range.start(), range.end()),
            Range::Tenths(range) => {
                write!(f, "{} to {} (in tenths of a second)", range.start(), range.end())
            }
            Range::Bool => f.write_str("true or false"),
            Range::RoutingId => {
                write!(f, "at most {ROUTING_ID_BYTES_MAX} bytes, the first of them not zero")
            }
            Range::Bytes => f.write_str("any bytes"),
            Range::Credential => write!(f, "at most {CREDENTIAL_BYTES_MAX} bytes"),
            Range::Key => write!(f, "a key of {KEY_BYTES} bytes"),
            Range::Text(bytes_max) => {
                write!(f, "text of at most {bytes_max} bytes, none of them zero")
            }
            Range::Networks => {
                f.write_str("networks such as 192.168.0.0/16 or ::1, separated by commas")
            }
            Range::Numbers => f.write_str("numbers from 0 to 4294967295, separated by commas"),
            Range::Properties => f.write_str("lines of the form X-name:value, each name but once"),
            Range::ReadOnly => f.write_str("read only"),
        }
    }
}

impl fmt::Display for OptionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OptionError::OutOfRange {
                option,
                value: OptionValue::Bytes(secret),
                expected: expected @ (Range::Credential | Range::Key),
            } => {
                let bytes = secret.len();
                write!(f, "option {option}: {bytes} bytes are out of range; expected {expected}")
            }
            OptionError::OutOfRange { option, value, expected } => {
                write!(f, "option {option}: {value} is out of range; expected {expected}")
            }
            OptionError::WrongType { option, value, default } => {
                write!(f, "option {option}: {value} is of the wrong type; expected one like ")?;
                default.fmt(f)
            }
            OptionError::ReadOnly { option } => write!(f, "option {option} can only be read"),
            OptionError::Terminated => f.write_str("the context is terminated"),
            OptionError::Closed => f.write_str("the socket is closed"),
            OptionError::Forked => f.write_str(crate::error::FORKED),
            OptionError::NotSupported => f.write_str("sockets of this type cannot do this"),
        }
    }
}

impl Error for OptionError {}

impl From<i32> for OptionValue {
    fn from(value: i32) -> OptionValue {
        OptionValue::I32(value)
    }
}

impl From<i64> for OptionValue {
    fn from(value: i64) -> OptionValue {
        OptionValue::I64(value)
    }
}

impl From<bool> for OptionValue {
    fn from(value: bool) -> OptionValue {
        OptionValue::Bool(value)
    }
}

impl From<Vec<u8>> for OptionValue {
    fn from(value: Vec<u8>) -> OptionValue {
        OptionValue::Bytes(value)
    }
}

impl From<String> for OptionValue {
    fn from(value: String) -> OptionValue {
        OptionValue::Text(value)
    }
}
