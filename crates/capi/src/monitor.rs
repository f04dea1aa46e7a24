//! Monitors.

use libc::{c_char, c_int, c_void};
use oxmq::SocketType;
use oxmq::monitor::MonitorVersion;

use crate::boundary::int;
use crate::context::text;
use crate::errno::{EAGAIN, EINVAL, Errno};
use crate::handle;
use crate::socket::{Socket, kind};

fn monitor(
    socket: *mut c_void,
    endpoint: *const c_char,
    events: u64,
    version: MonitorVersion,
    kind: SocketType,
) -> Result<c_int, Errno> {
    let held = handle::get::<Socket>(socket)?;
    if endpoint.is_null() {
        held.socket.stop_monitor_at();
        return Ok(0);
    }
    // SAFETY: the caller's word (zmq.h).
    let endpoint = unsafe { text(endpoint) }?;
    let monitored = held.socket.monitor_at(endpoint, events, version, kind);
    monitored.map(|()| 0).map_err(|error| Errno(error.errno()))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_socket_monitor(
    socket: *mut c_void,
    endpoint: *const c_char,
    events: c_int,
) -> c_int {
    // Bit 15 and those above came later; all of them are meant by −1.
    let events = match cfg!(oxmq_mutation = "capi_monitor_tells_all") {
        true => oxmq::monitor::number::ALL_V1,
        false => u64::from(events as u32) & oxmq::monitor::number::ALL_V1,
    };
    int(|| monitor(socket, endpoint, events, MonitorVersion::V1, SocketType::Pair))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_socket_monitor_versioned(
    socket: *mut c_void,
    endpoint: *const c_char,
    events: u64,
    version: c_int,
    number: c_int,
) -> c_int {
    int(|| {
        let version = match version {
            1 => MonitorVersion::V1,
            2 => MonitorVersion::V2,
            _ => return Err(EINVAL),
        };
        monitor(socket, endpoint, events, version, kind(number)?)
    })
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_socket_monitor_pipes_stats(socket: *mut c_void) -> c_int {
    int(|| {
        let held = handle::get::<Socket>(socket)?;
        if !held.socket.monitors_pipe_stats() {
            return Err(EINVAL);
        }
        if held.socket.monitor_pipe_stats() > 0 { Ok(0) } else { Err(EAGAIN) }
    })
}
