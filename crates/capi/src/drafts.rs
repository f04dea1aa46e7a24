//! Drafts: SERVER and PEER; and those whose socket types are not built (RADIO, DISH): no socket is of
//! such a type, so that these fail as they do in libzmq for one of another type.

use std::ffi::CStr;

use libc::{c_char, c_int, c_void};

use oxmq::{Message, SocketType};

use crate::boundary;
use crate::context::text;
use crate::errno::{self, Errno};
use crate::handle;
use crate::message::message;
use crate::socket::Socket;

/// What to answer for a socket: it is of none of these types.
fn refuse<T>(socket: *mut c_void) -> Result<T, Errno> {
    handle::get::<Socket>(socket)?;
    Err(errno::ENOTSUP)
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_join(socket: *mut c_void, _group: *const c_char) -> c_int {
    boundary::int(|| refuse(socket))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_leave(socket: *mut c_void, _group: *const c_char) -> c_int {
    boundary::int(|| refuse(socket))
}

/// Connects a PEER; the routing id of whoever is there, and 0 if that fails.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_connect_peer(socket: *mut c_void, endpoint: *const c_char) -> u32 {
    boundary::or(0, || {
        let held = handle::get::<Socket>(socket)?;
        if held.socket.kind() != SocketType::Peer {
            return Err(errno::ENOTSUP);
        }
        // SAFETY: the caller's word (zmq.h).
        let endpoint = unsafe { text(endpoint) }?;
        held.socket.connect_peer(endpoint).map_err(|error| Errno(error.errno()))
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_disconnect_peer(socket: *mut c_void, routing_id: u32) -> c_int {
    boundary::int(|| {
        let held = handle::get::<Socket>(socket)?;
        if !matches!(held.socket.kind(), SocketType::Peer | SocketType::Server) {
            return Err(errno::ENOTSUP);
        }
        let found = held.socket.disconnect_peer(routing_id);
        if found { Ok(0) } else { Err(Errno(libc::EHOSTUNREACH)) }
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_set_routing_id(msg: *mut Message, routing_id: u32) -> c_int {
    boundary::int(|| {
        // SAFETY: the caller's word (zmq.h).
        let message = unsafe { message(msg) }?;
        if routing_id == 0 {
            return Err(errno::EINVAL);
        }
        message.set_routing_id(routing_id);
        Ok(0)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_routing_id(msg: *mut Message) -> u32 {
    // SAFETY: the caller's word (zmq.h).
    boundary::or(0, || Ok(unsafe { message(msg) }?.routing_id()))
}

/// There is no socket that would send it to a group.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_set_group(msg: *mut Message, _group: *const c_char) -> c_int {
    boundary::int(|| {
        // SAFETY: the caller's word (zmq.h).
        unsafe { message(msg) }?;
        Err(errno::ENOTSUP)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_msg_group(_msg: *mut Message) -> *const c_char {
    const NONE: &CStr = c"";
    NONE.as_ptr()
}
