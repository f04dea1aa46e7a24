//! Sockets: making, plugging in, closing.

use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use libc::{c_char, c_int, c_void, size_t};
use oxmq::{SocketType, UnbindError};

use crate::boundary::{bytes, int, pointer};
use crate::context::{Context, text};
use crate::descriptor::Descriptor;
use crate::errno::{EFAULT, EINVAL, ENOCOMPATPROTO, ENOTSOCK, Errno};
use crate::handle::{self, KIND_MIN, Object};
use crate::option::Kept;
use crate::poll::POLLOUT;

/// What is behind a socket's handle.
pub(crate) struct Socket {
    pub(crate) socket: oxmq::Socket,
    /// Whether the part received last has others behind it (RCVMORE).
    pub(crate) more: AtomicBool,
    /// FD, once somebody has asked for it.
    pub(crate) descriptor: OnceLock<Descriptor>,
    pub(crate) kept: Kept,
}

impl Socket {
    pub(crate) fn new(socket: oxmq::Socket) -> Socket {
        Socket {
            socket,
            more: AtomicBool::new(false),
            descriptor: OnceLock::new(),
            kept: Kept::default(),
        }
    }
}

impl Object for Socket {
    const KIND: u32 = KIND_MIN + 2;
    const INVALID: Errno =
        if cfg!(oxmq_mutation = "capi_efault_for_enotsock") { EFAULT } else { ENOTSOCK };
}

/// The socket type that a caller's number (`ZMQ_PAIR` and so on) stands for.
pub(crate) fn kind(number: c_int) -> Result<SocketType, Errno> {
    u8::try_from(number).ok().and_then(SocketType::from_number).ok_or(EINVAL)
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_socket(context: *mut c_void, number: c_int) -> *mut c_void {
    pointer(|| {
        let context = handle::get::<Context>(context)?;
        let socket = context.context.socket(kind(number)?).map_err(|error| Errno(error.errno()))?;
        handle::open(Socket::new(socket))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_close(socket: *mut c_void) -> c_int {
    int(|| {
        // Its other users, blocked ones too, find it closed; the last of them drops it.
        handle::close::<Socket>(socket)?.socket.close();
        Ok(0)
    })
}

/// What to say of an endpoint that is refused with `errno`. UDP is known: no type of socket that is
/// built goes over it.
fn refusal(endpoint: &str, errno: c_int) -> Errno {
    match errno {
        libc::EPROTONOSUPPORT if endpoint.starts_with("udp://") => ENOCOMPATPROTO,
        errno => Errno(errno),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_bind(socket: *mut c_void, endpoint: *const c_char) -> c_int {
    int(|| {
        let held = handle::get::<Socket>(socket)?;
        // SAFETY: the caller's word (zmq.h).
        let endpoint = unsafe { text(endpoint) }?;
        held.socket.bind(endpoint).map_err(|error| refusal(endpoint, error.errno()))?;
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_connect(socket: *mut c_void, endpoint: *const c_char) -> c_int {
    int(|| {
        let held = handle::get::<Socket>(socket)?;
        // SAFETY: the caller's word (zmq.h).
        let endpoint = unsafe { text(endpoint) }?;
        held.socket.connect(endpoint).map_err(|error| refusal(endpoint, error.errno()))?;
        Ok(0)
    })
}

/// Takes back a `bind` or a `connect`, whichever it was: libzmq's calls know no difference.
fn detach(
    socket: *mut c_void,
    endpoint: *const c_char,
    first: impl Fn(&oxmq::Socket, &str) -> Result<(), UnbindError>,
    second: impl Fn(&oxmq::Socket, &str) -> Result<(), UnbindError>,
) -> c_int {
    int(|| {
        let held = handle::get::<Socket>(socket)?;
        // SAFETY: the caller's word (zmq.h).
        let endpoint = unsafe { text(endpoint) }?;
        if cfg!(oxmq_mutation = "capi_unbind_forgotten") {
            return Ok(0);
        }
        let mut detached = first(&held.socket, endpoint);
        if let Err(UnbindError::NotBound { .. }) = detached {
            detached = second(&held.socket, endpoint);
        }
        if detached.is_ok() {
            // Who has connected to it more than once is disconnected from all of them.
            while first(&held.socket, endpoint).is_ok() || second(&held.socket, endpoint).is_ok() {}
        }
        match detached {
            Err(UnbindError::NotBound { .. }) => {
                // An endpoint that nothing could be bound to or connected with is said to be one.
                let parsed: Result<oxmq::Endpoint, _> = endpoint.parse();
                Err(parsed
                    .map_or_else(|error| refusal(endpoint, error.errno()), |_| Errno(libc::ENOENT)))
            }
            done => done.map(|()| 0).map_err(|error| Errno(error.errno())),
        }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_unbind(socket: *mut c_void, endpoint: *const c_char) -> c_int {
    detach(socket, endpoint, oxmq::Socket::unbind, oxmq::Socket::disconnect)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_disconnect(socket: *mut c_void, endpoint: *const c_char) -> c_int {
    detach(socket, endpoint, oxmq::Socket::disconnect, oxmq::Socket::unbind)
}

/// Whether a ROUTER can send to a peer now.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_socket_get_peer_state(
    socket: *mut c_void,
    routing_id: *const c_void,
    routing_id_bytes: size_t,
) -> c_int {
    int(|| {
        let held = handle::get::<Socket>(socket)?;
        // SAFETY: the caller's word (zmq.h).
        let identity = unsafe { bytes(routing_id, routing_id_bytes) }?;
        let has_room = held.socket.has_room_for(identity);
        let has_room = has_room.map_err(|kind| Errno(kind.errno()))?;
        Ok(if has_room { POLLOUT.into() } else { 0 })
    })
}
