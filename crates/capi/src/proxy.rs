//! Proxies and devices.

use libc::{c_int, c_void};
use oxmq::Proxy;

use crate::boundary::int;
use crate::errno::{EFAULT, Errno};
use crate::handle::{self, Held};
use crate::socket::Socket;

fn optional(socket: *mut c_void) -> Result<Option<Held<Socket>>, Errno> {
    (!socket.is_null()).then(|| handle::get(socket)).transpose()
}

fn run(
    front: *mut c_void,
    back: *mut c_void,
    capture: *mut c_void,
    control: *mut c_void,
) -> Result<c_int, Errno> {
    if front.is_null() || back.is_null() {
        return Err(EFAULT);
    }
    let (front, back) = (handle::get::<Socket>(front)?, handle::get::<Socket>(back)?);
    let (capture, control) = (optional(capture)?, optional(control)?);
    let mut proxy = Proxy::new(&front.socket, &back.socket);
    if let Some(capture) = &capture
        && !cfg!(oxmq_mutation = "capi_proxy_without_capture")
    {
        proxy = proxy.capture(&capture.socket);
    }
    if let Some(control) = &control {
        proxy = proxy.control(&control.socket);
    }
    proxy.run().map(|_| 0).map_err(|error| Errno(error.errno()))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_proxy(front: *mut c_void, back: *mut c_void, capture: *mut c_void) -> c_int {
    int(|| run(front, back, capture, std::ptr::null_mut()))
}

#[unsafe(no_mangle)]
pub extern "C" fn zmq_proxy_steerable(
    front: *mut c_void,
    back: *mut c_void,
    capture: *mut c_void,
    control: *mut c_void,
) -> c_int {
    int(|| run(front, back, capture, control))
}

/// The kind of device never mattered: the sockets' types make it one.
#[unsafe(no_mangle)]
pub extern "C" fn zmq_device(_: c_int, front: *mut c_void, back: *mut c_void) -> c_int {
    int(|| run(front, back, std::ptr::null_mut(), std::ptr::null_mut()))
}
