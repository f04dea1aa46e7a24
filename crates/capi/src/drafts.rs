//! Drafts whose socket types are not built (SERVER, CLIENT, RADIO, DISH, PEER): no socket is of
//! such a type, so that these fail as they do in libzmq for one of another type.

use std::ffi::CStr;

use libc::{c_char, c_int, c_void};

use crate::boundary;
use crate::errno::{self, Errno};

/// What to answer for a socket that can be of none of these types.
fn refuse<T>(_socket: *mut c_void) -> Result<T, Errno> {
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
pub extern "C" fn zmq_msg_set_routing_id(_msg: *mut c_void, routing_id: u32) -> c_int {
    boundary::int(|| Err(if routing_id == 0 { errno::EINVAL } else { errno::ENOTSUP }))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_msg_routing_id(_msg: *mut c_void) -> u32 {
    0
}

/// There is no socket that would send it there.
#[unsafe(no_mangle)]
pub extern "C" fn zmq_msg_set_group(_msg: *mut c_void, _group: *const c_char) -> c_int {
    boundary::int(|| Err(errno::ENOTSUP))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_msg_group(_msg: *mut c_void) -> *const c_char {
    const NONE: &CStr = c"";
    NONE.as_ptr()
}
