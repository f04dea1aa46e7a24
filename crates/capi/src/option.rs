//! The options of sockets.
//!
//! What an option is and does stands in oxmq's table; here is what C adds: the sizes of values, which
//! of them can be read or set on which types of socket, keys of CURVE as text, and those that only C
//! has. What belongs to something that is not built is refused, as by a libzmq without it.

use std::sync::atomic::{AtomicI32, Ordering};

use libc::{c_int, c_void, size_t};
use oxmq::option::{OptionError, OptionSpec, OptionValue, Range};
use oxmq::{Events, SocketType};
use zeroize::Zeroizing;

use crate::boundary::{bytes, int, place};
use crate::descriptor::Descriptor;
use crate::errno::{EAGAIN, EFAULT, EINVAL, Errno};
use crate::handle;
use crate::socket::Socket;
use crate::z85;

mod name {
    use libc::c_int;

    pub(super) const ROUTING_ID: c_int = 5;
    pub(super) const SUBSCRIBE: c_int = 6;
    pub(super) const UNSUBSCRIBE: c_int = 7;
    pub(super) const RATE: c_int = 8;
    pub(super) const RECOVERY_IVL: c_int = 9;
    pub(super) const RCVMORE: c_int = 13;
    pub(super) const FD: c_int = 14;
    pub(super) const EVENTS: c_int = 15;
    pub(super) const MULTICAST_HOPS: c_int = 25;
    pub(super) const IPV4ONLY: c_int = 31;
    pub(super) const LAST_ENDPOINT: c_int = 32;
    pub(super) const ROUTER_MANDATORY: c_int = 33;
    pub(super) const TCP_ACCEPT_FILTER: c_int = 38;
    pub(super) const IMMEDIATE: c_int = 39;
    pub(super) const XPUB_VERBOSE: c_int = 40;
    pub(super) const ROUTER_RAW: c_int = 41;
    pub(super) const IPV6: c_int = 42;
    pub(super) const PLAIN_SERVER: c_int = 44;
    pub(super) const PLAIN_USERNAME: c_int = 45;
    pub(super) const PLAIN_PASSWORD: c_int = 46;
    pub(super) const CURVE_SERVER: c_int = 47;
    pub(super) const PROBE_ROUTER: c_int = 51;
    pub(super) const REQ_CORRELATE: c_int = 52;
    pub(super) const REQ_RELAXED: c_int = 53;
    pub(super) const CONFLATE: c_int = 54;
    pub(super) const ZAP_DOMAIN: c_int = 55;
    pub(super) const ROUTER_HANDOVER: c_int = 56;
    pub(super) const IPC_FILTER_PID: c_int = 58;
    pub(super) const IPC_FILTER_UID: c_int = 59;
    pub(super) const IPC_FILTER_GID: c_int = 60;
    pub(super) const CONNECT_ROUTING_ID: c_int = 61;
    pub(super) const XPUB_NODROP: c_int = 69;
    pub(super) const XPUB_MANUAL: c_int = 71;
    pub(super) const XPUB_WELCOME_MSG: c_int = 72;
    pub(super) const STREAM_NOTIFY: c_int = 73;
    pub(super) const INVERT_MATCHING: c_int = 74;
    pub(super) const HEARTBEAT_TIMEOUT: c_int = 77;
    pub(super) const XPUB_VERBOSER: c_int = 78;
    pub(super) const THREAD_SAFE: c_int = 81;
    pub(super) const MULTICAST_MAXTPDU: c_int = 84;
    pub(super) const BINDTODEVICE: c_int = 92;
    pub(super) const ZAP_ENFORCE_DOMAIN: c_int = 93;
    pub(super) const LOOPBACK_FASTPATH: c_int = 94;
    pub(super) const METADATA: c_int = 95;
    pub(super) const MULTICAST_LOOP: c_int = 96;
    pub(super) const ROUTER_NOTIFY: c_int = 97;
    pub(super) const XPUB_MANUAL_LAST_VALUE: c_int = 98;
    pub(super) const ONLY_FIRST_SUBSCRIBE: c_int = 108;
    pub(super) const HELLO_MSG: c_int = 110;
    pub(super) const DISCONNECT_MSG: c_int = 111;
    pub(super) const HICCUP_MSG: c_int = 114;
    pub(super) const XSUB_VERBOSE_UNSUBSCRIBE: c_int = 115;
    pub(super) const TOPICS_COUNT: c_int = 116;
}

/// The types of socket that an option is for; `None` is all of them.
fn types(option: c_int) -> Option<&'static [SocketType]> {
    use SocketType::*;
    Some(match option {
        name::ROUTER_MANDATORY | name::ROUTER_HANDOVER | name::ROUTER_RAW | name::ROUTER_NOTIFY => {
            &[Router]
        }
        name::CONNECT_ROUTING_ID => &[Router, Stream],
        name::PROBE_ROUTER => &[Router, Dealer, Req],
        name::REQ_CORRELATE | name::REQ_RELAXED => &[Req],
        name::STREAM_NOTIFY => &[Stream],
        name::XPUB_VERBOSE
        | name::XPUB_VERBOSER
        | name::XPUB_NODROP
        | name::XPUB_MANUAL
        | name::XPUB_MANUAL_LAST_VALUE
        | name::XPUB_WELCOME_MSG => &[XPub, Pub],
        name::XSUB_VERBOSE_UNSUBSCRIBE => &[XSub, Sub],
        name::ONLY_FIRST_SUBSCRIBE => &[XPub, Pub, XSub, Sub],
        name::TOPICS_COUNT => &[XPub, Pub, XSub, Sub],
        _ => return None,
    })
}

/// Options that libzmq sets and does not tell.
const UNREADABLE: &[c_int] = &[
    name::ROUTER_MANDATORY,
    name::ROUTER_HANDOVER,
    name::ROUTER_RAW,
    name::CONNECT_ROUTING_ID,
    name::PROBE_ROUTER,
    name::REQ_CORRELATE,
    name::REQ_RELAXED,
    name::STREAM_NOTIFY,
    name::XPUB_VERBOSE,
    name::XPUB_VERBOSER,
    name::XPUB_NODROP,
    name::XPUB_MANUAL,
    name::XPUB_MANUAL_LAST_VALUE,
    name::XPUB_WELCOME_MSG,
    name::XSUB_VERBOSE_UNSUBSCRIBE,
    name::TCP_ACCEPT_FILTER,
    name::IPC_FILTER_PID,
    name::IPC_FILTER_UID,
    name::IPC_FILTER_GID,
    name::METADATA,
    name::HELLO_MSG,
    name::DISCONNECT_MSG,
    name::HICCUP_MSG,
];

/// What a number stands for that is to be true or false.
enum Truth {
    /// 0 and 1, nothing else.
    Strict,
    /// 0, and anything above.
    Natural,
    /// 0, and anything else.
    Any,
}

fn truth(option: c_int) -> Truth {
    match option {
        name::IPV4ONLY
        | name::IPV6
        | name::IMMEDIATE
        | name::PLAIN_SERVER
        | name::CURVE_SERVER
        | name::CONFLATE
        | name::STREAM_NOTIFY => Truth::Strict,
        name::INVERT_MATCHING
        | name::MULTICAST_LOOP
        | name::LOOPBACK_FASTPATH
        | name::ZAP_ENFORCE_DOMAIN => Truth::Any,
        _ => Truth::Natural,
    }
}

impl Truth {
    fn of(&self, value: c_int) -> Result<bool, Errno> {
        let is_one = match self {
            Truth::Strict => {
                (0..=1).contains(&value) || cfg!(oxmq_mutation = "capi_any_int_is_a_bool")
            }
            Truth::Natural => value >= 0,
            Truth::Any => true,
        };
        if is_one { Ok(value != 0) } else { Err(EINVAL) }
    }
}

/// Options of transports that only some libzmq are built with; it keeps them in any case, and without
/// the transport nothing depends on them.
pub(crate) struct Kept {
    values: [AtomicI32; KEPT.len()],
}

/// Number, default, least value.
const KEPT: [(c_int, c_int, c_int); 6] = [
    (name::RATE, 100, 1),
    (name::RECOVERY_IVL, 10_000, 0),
    (name::MULTICAST_HOPS, 1, 1),
    (name::MULTICAST_MAXTPDU, 1500, 1),
    (name::MULTICAST_LOOP, 1, c_int::MIN),
    (name::LOOPBACK_FASTPATH, 0, c_int::MIN),
];

impl Default for Kept {
    fn default() -> Kept {
        Kept { values: KEPT.map(|(_, default, _)| AtomicI32::new(default)) }
    }
}

impl Kept {
    fn find(&self, option: c_int) -> Option<(&AtomicI32, c_int)> {
        let at = KEPT.iter().position(|(number, ..)| *number == option)?;
        Some((&self.values[at], KEPT[at].2))
    }
}

fn int_of(value: &[u8]) -> Result<c_int, Errno> {
    value.try_into().map(c_int::from_ne_bytes).map_err(|_| EINVAL)
}

impl Socket {
    fn is_one_of(&self, types: Option<&[SocketType]>) -> bool {
        types.is_none_or(|types| types.contains(&self.socket.kind()))
    }

    /// Whether libzmq promises that any thread may use it. (Of ours any thread may use all.)
    fn is_thread_safe(&self) -> bool {
        self.socket.kind().is_single_part()
    }

    fn set(&self, option: c_int, value: Option<&[u8]>) -> Result<(), Errno> {
        let bytes = value.unwrap_or_default();
        match option {
            name::SUBSCRIBE | name::UNSUBSCRIBE => return self.subscribe(option, bytes),
            // Ours takes no other parts for subscriptions, and has no way to.
            name::ONLY_FIRST_SUBSCRIBE => {
                let applies = self.is_one_of(types(option)) && int_of(bytes)? == 1;
                return if applies { Ok(()) } else { Err(EINVAL) };
            }
            name::METADATA => return self.add_property(bytes),
            name::TCP_ACCEPT_FILTER
            | name::IPC_FILTER_PID
            | name::IPC_FILTER_UID
            | name::IPC_FILTER_GID => return self.add_filter(option, value),
            name::ROUTING_ID | name::CONNECT_ROUTING_ID if bytes.is_empty() => return Err(EINVAL),
            // None is NULL.
            name::BINDTODEVICE if value.is_some() && bytes.is_empty() => return Err(EINVAL),
            name::PLAIN_USERNAME | name::PLAIN_PASSWORD if bytes.is_empty() => {
                return match value {
                    Some(_) => Err(EINVAL),
                    None if cfg!(oxmq_mutation = "capi_null_resets_nothing") => Ok(()),
                    None => self.socket.reset_mechanism().map_err(|error| Errno(error.errno())),
                };
            }
            // One that is set can be replaced, not taken back.
            name::ZAP_DOMAIN if text(bytes)?.is_empty() => return Err(EINVAL),
            _ => {}
        }
        if let Some((kept, least)) = self.kept.find(option) {
            let value = int_of(bytes)?;
            if value < least {
                return Err(EINVAL);
            }
            let is_bool = matches!(truth(option), Truth::Any);
            kept.store(if is_bool { (value != 0).into() } else { value }, Ordering::Relaxed);
            return Ok(());
        }
        let spec = self.spec(option)?;
        let value = match spec.default() {
            // −1, the default, is to be left alone.
            OptionValue::I32(_) if option == name::HEARTBEAT_TIMEOUT && int_of(bytes)? < 0 => {
                return Err(EINVAL);
            }
            OptionValue::I32(_) => OptionValue::I32(int_of(bytes)?),
            OptionValue::Bool(_) => OptionValue::Bool(truth(option).of(int_of(bytes)?)?),
            OptionValue::I64(_) => {
                OptionValue::I64(bytes.try_into().map(i64::from_ne_bytes).map_err(|_| EINVAL)?)
            }
            OptionValue::Bytes(_) if *spec.range() == Range::Key => OptionValue::Bytes(key(bytes)?),
            OptionValue::Bytes(_) => OptionValue::Bytes(bytes.to_vec()),
            OptionValue::Text(_) => OptionValue::Text(text(bytes)?),
        };
        self.socket.set_value(spec, value).map_err(|error| Errno(error.errno()))
    }

    /// The table's row for an option, if it is for this type of socket.
    fn spec(&self, option: c_int) -> Result<&'static OptionSpec, Errno> {
        let is_libzmqs = option < oxmq::option::OWN_ID_MIN;
        if !is_libzmqs || !self.is_one_of(types(option)) {
            return Err(EINVAL);
        }
        OptionSpec::with_id(option).ok_or(EINVAL)
    }

    fn subscribe(&self, option: c_int, prefix: &[u8]) -> Result<(), Errno> {
        // In C an XSUB subscribes by what it sends.
        if self.socket.kind() == SocketType::XSub {
            return Err(EINVAL);
        }
        let subscribed =
            if option == name::SUBSCRIBE || cfg!(oxmq_mutation = "capi_unsubscribe_subscribes") {
                self.socket.subscribe(prefix)
            } else {
                self.socket.unsubscribe(prefix)
            };
        match subscribed {
            // Who decides for a peer (XPUB_MANUAL) while there is none decides nothing.
            Err(OptionError::NotSupported) if self.socket.get(oxmq::option::XPUB_MANUAL) => Ok(()),
            subscribed => subscribed.map_err(|error| Errno(error.errno())),
        }
    }

    /// libzmq's filters add up; an empty one takes all of them back.
    fn add_filter(&self, option: c_int, value: Option<&[u8]>) -> Result<(), Errno> {
        let spec = self.spec(option)?;
        let bytes = value.unwrap_or_default();
        let added = match option {
            // The list is emptied by no value at all.
            _ if value.is_none() => String::new(),
            name::TCP_ACCEPT_FILTER => match text(bytes)? {
                none if none.is_empty() => return Err(EINVAL),
                network => network,
            },
            _ => u32::from_ne_bytes(bytes.try_into().map_err(|_| EINVAL)?).to_string(),
        };
        self.append(spec, added, ",")
    }

    fn add_property(&self, bytes: &[u8]) -> Result<(), Errno> {
        let spec = self.spec(name::METADATA)?;
        let line = std::str::from_utf8(bytes).map_err(|_| EINVAL)?;
        // A value of four bytes is taken for a number, which this is not.
        let is_one = bytes.len() != size_of::<c_int>() && !line.ends_with(':');
        if !is_one || line.contains('\n') {
            return Err(EINVAL);
        }
        let (key, _) = line.split_once(':').ok_or(EINVAL)?;
        if let Ok(OptionValue::Text(held)) = self.socket.value(spec)
            && held.lines().any(|held| held.split_once(':').is_some_and(|(name, _)| name == key))
        {
            // The first value stays.
            return Ok(());
        }
        self.append(spec, line.to_owned(), "\n")
    }

    /// Adds to a list; an empty addition empties it.
    fn append(
        &self,
        spec: &'static OptionSpec,
        added: String,
        separator: &str,
    ) -> Result<(), Errno> {
        let list = match self.socket.value(spec).map_err(|error| Errno(error.errno()))? {
            OptionValue::Text(held) if !added.is_empty() && !held.is_empty() => {
                held + separator + &added
            }
            _ => added,
        };
        let set = self.socket.set_value(spec, OptionValue::Text(list));
        set.map_err(|error| Errno(error.errno()))
    }

    fn get(&self, option: c_int) -> Result<Value, Errno> {
        // What every socket can be asked while its context lasts.
        match option {
            name::RCVMORE => {
                self.check()?;
                return Ok(Value::int_in_more(self.more.load(Ordering::Relaxed).into()));
            }
            name::THREAD_SAFE => {
                self.check()?;
                return Ok(Value::int_in_more(self.is_thread_safe().into()));
            }
            // As libzmq: such a socket has none, a poller (`zmq_poller_fd`) does.
            name::FD if self.is_thread_safe() => return Err(EINVAL),
            name::FD => return Ok(Value::int_in_more(self.descriptor()?.fd())),
            name::EVENTS => return self.events().map(Value::int_in_more),
            _ => {}
        }
        if let Some((kept, _)) = self.kept.find(option) {
            self.check()?;
            return Ok(Value::int(kept.load(Ordering::Relaxed)));
        }
        if UNREADABLE.contains(&option) {
            return Err(EINVAL);
        }
        let spec = match option {
            // All sockets keep it, for ROUTERs to heed.
            name::ROUTER_NOTIFY => OptionSpec::with_id(option).ok_or(EINVAL)?,
            option => self.spec(option)?,
        };
        Ok(match self.socket.value(spec).map_err(|error| Errno(error.errno()))? {
            OptionValue::I32(value) => Value::int(value),
            OptionValue::Bool(value) => Value::int(value.into()),
            OptionValue::I64(value) => Value::Fixed(value.to_ne_bytes().to_vec()),
            OptionValue::Bytes(key) if *spec.range() == Range::Key => Value::Key(key.into()),
            OptionValue::Bytes(credential) if *spec.range() == Range::Credential => {
                Value::text(credential)
            }
            OptionValue::Bytes(bytes) => Value::Bytes(bytes.into()),
            OptionValue::Text(mut text) => {
                if option == name::LAST_ENDPOINT
                    && cfg!(oxmq_mutation = "capi_endpoint_without_port")
                {
                    text.truncate(text.rfind(':').unwrap_or_default());
                }
                Value::text(text.into_bytes())
            }
        })
    }

    /// Refuses what a terminated context refuses.
    fn check(&self) -> Result<(), Errno> {
        self.socket.events().map(drop).map_err(|error| Errno(error.errno()))
    }

    fn events(&self) -> Result<c_int, Errno> {
        let events = match self.descriptor.get() {
            Some(descriptor) => descriptor.rearm(&self.socket),
            None => self.socket.events(),
        };
        Ok(poll_events(events.map_err(|error| Errno(error.errno()))?))
    }

    fn descriptor(&self) -> Result<&Descriptor, Errno> {
        if self.descriptor.get().is_none() {
            let made = Descriptor::new(&self.socket)?;
            // Another thread may have been first.
            let _ = self.descriptor.set(made);
        }
        self.descriptor.get().ok_or(EAGAIN)
    }
}

/// `ZMQ_POLLIN` and `ZMQ_POLLOUT`.
fn poll_events(events: Events) -> c_int {
    c_int::from(events.intersects(Events::IN)) | c_int::from(events.intersects(Events::OUT)) << 1
}

/// Text that may end with a zero byte.
fn text(bytes: &[u8]) -> Result<String, Errno> {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    std::str::from_utf8(text).map(str::to_owned).map_err(|_| EINVAL)
}

/// A key of CURVE: its bytes, or their text in Z85, which may end with a zero byte.
fn key(value: &[u8]) -> Result<Vec<u8>, Errno> {
    let text = match value.len() {
        KEY_BYTES => return Ok(value.to_vec()),
        KEY_TEXT_BYTES if cfg!(oxmq_mutation = "capi_key_with_any_end") => {
            &value[..value.len() - 1]
        }
        KEY_TEXT_BYTES => value.strip_suffix(&[0]).ok_or(EINVAL)?,
        _ => value,
    };
    let key = Zeroizing::new(z85::decode::<{ KEY_BYTES / 4 }>(text).ok_or(EINVAL)?);
    Ok(key.as_flattened().to_vec())
}

const KEY_BYTES: usize = 32;
/// Those of a key's text, with the zero byte behind it.
const KEY_TEXT_BYTES: usize = 41;

/// A value on its way to C; what may be a secret is wiped behind it.
enum Value {
    /// Of one size, which the caller's room must have.
    Fixed(Vec<u8>),
    /// For which the caller's room must be enough.
    Bytes(Zeroizing<Vec<u8>>),
    /// A key of CURVE: the caller's room says whether it is the bytes or their text.
    Key(Zeroizing<Vec<u8>>),
}

impl Value {
    fn int(value: c_int) -> Value {
        Value::Fixed(value.to_ne_bytes().to_vec())
    }

    /// For which more room than it takes is right too.
    fn int_in_more(value: c_int) -> Value {
        Value::Bytes(value.to_ne_bytes().to_vec().into())
    }

    /// With a zero byte behind it.
    fn text(bytes: Vec<u8>) -> Value {
        let bytes = Zeroizing::new(bytes);
        // At once: growing would leave a copy behind.
        let mut text = Zeroizing::new(Vec::with_capacity(bytes.len() + 1));
        text.extend_from_slice(&bytes);
        text.push(0);
        Value::Bytes(text)
    }

    /// What goes into so much room, if anything does.
    fn fit(self, room: usize) -> Option<Zeroizing<Vec<u8>>> {
        match self {
            Value::Fixed(found) => (room == found.len()).then_some(found.into()),
            Value::Bytes(found) => (room >= found.len()).then_some(found),
            Value::Key(key) if room == KEY_TEXT_BYTES => {
                Value::text(oxmq::z85::encode(&key)?.into_bytes()).fit(room)
            }
            Value::Key(key) => (room == key.len()).then_some(key),
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_setsockopt(
    socket: *mut c_void,
    option: c_int,
    value: *const c_void,
    value_bytes: size_t,
) -> c_int {
    int(|| {
        let held = handle::get::<Socket>(socket)?;
        // SAFETY: the caller's word (zmq.h).
        let bytes = unsafe { bytes(value, value_bytes) }.map_err(|_| EINVAL)?;
        held.set(option, (!value.is_null()).then_some(bytes))?;
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_getsockopt(
    socket: *mut c_void,
    option: c_int,
    value: *mut c_void,
    value_bytes: *mut size_t,
) -> c_int {
    int(|| {
        let held = handle::get::<Socket>(socket)?;
        // SAFETY: the caller's word (zmq.h).
        let room = unsafe { place(value_bytes) }?;
        let found = held.get(option)?.fit(*room).ok_or(EINVAL)?;
        if value.is_null() && *room > 0 {
            return Err(EFAULT);
        }
        let value = value.cast::<u8>();
        // SAFETY: the caller's word: `*value_bytes` bytes may be written there.
        unsafe {
            std::ptr::copy_nonoverlapping(found.as_ptr(), value, found.len());
            // As libzmq does.
            std::ptr::write_bytes(value.wrapping_add(found.len()), 0, *room - found.len());
        }
        if !cfg!(oxmq_mutation = "capi_size_not_written") {
            *room = found.len();
        }
        Ok(0)
    })
}
