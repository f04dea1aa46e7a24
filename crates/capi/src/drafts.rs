//! Drafts whose socket types are not built (SERVER, CLIENT, RADIO, DISH, PEER): no socket is of
//! such a type, so that these fail as they do in libzmq for one of another type.

use std::ffi::CStr;

use libc::{c_char, c_int, c_void};

use oxmq::Message;

use crate::boundary;
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

#[unsafe(no_mangle)]
pub extern "C" fn zmq_connect_peer(socket: *mut c_void, _endpoint: *const c_char) -> u32 {
    boundary::or(0, || refuse(socket))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_disconnect_peer(socket: *mut c_void, _routing_id: u32) -> c_int {
    boundary::int(|| refuse(socket))
}

/// There is no socket that would send it there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_set_routing_id(msg: *mut Message, routing_id: u32) -> c_int {
    boundary::int(|| {
        // SAFETY: the caller's word (zmq.h).
        unsafe { message(msg) }?;
        Err(if routing_id == 0 { errno::EINVAL } else { errno::ENOTSUP })
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_msg_routing_id(_msg: *mut Message) -> u32 {
    0
}

/// As above.
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
