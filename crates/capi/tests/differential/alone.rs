//! Calls after which a libzmq crashes, aborts, or reads memory that is not its own: here they are
//! errors like others.

use crate::api::{Api, RawItem, RawMessage};
use libc::{c_int, c_void};
use std::ffi::CStr;
use std::ptr;

const PAIR: c_int = 0;
const REQ: c_int = 3;
const REP: c_int = 4;
const ROUTER: c_int = 6;
const EVENTS: c_int = 15;
const CONNECT_ROUTING_ID: c_int = 61;
const DONTWAIT: c_int = 1;

/// Makes all of them.
pub fn check(api: &Api) {
    // SAFETY: what is handed in beside the handles and NULL is memory of the sizes that are said.
    unsafe {
        let context = (api.zmq_ctx_new)();
        closed_sockets(api, context);
        no_memory(api, context);
        closed_messages(api, context);
        endpoints(api, context);
        a_reply_socket_that_disconnects(api, context);
        a_name_in_use(api, context);
        a_peer_that_nobody_can_be_asked_about(api, context);
        assert_eq!((api.zmq_ctx_term)(context), 0);
        closed_others(api, context);
    }
}

/// The call has failed, for this reason.
#[track_caller]
fn fails(api: &Api, code: c_int, error: &str) {
    assert_eq!((code, &api.error()[..]), (-1, error));
}

/// # Safety
/// As in `check`.
unsafe fn closed_sockets(api: &Api, context: *mut c_void) {
    let mut body = [0_u8; 8];
    let at = body.as_mut_ptr().cast::<c_void>();
    let endpoint = c"inproc://nobody".as_ptr();
    let mut len = 4;
    let mut message = RawMessage([0; 64]);
    // SAFETY: as in `check`.
    unsafe {
        let socket = (api.zmq_socket)(context, PAIR);
        assert_eq!((api.zmq_close)(socket), 0);
        // Its memory is used again by others.
        let other = (api.zmq_socket)(context, PAIR);
        (api.zmq_msg_init)(&mut message);
        let mut vector = libc::iovec { iov_base: at, iov_len: 1 };
        let mut count = 1;
        let mut item = RawItem { socket, fd: 0, events: 1, revents: 0 };
        let none = ptr::null_mut();
        for code in [
            (api.zmq_close)(socket),
            (api.zmq_setsockopt)(socket, 17, at, 4),
            (api.zmq_getsockopt)(socket, EVENTS, at, &mut len),
            (api.zmq_bind)(socket, endpoint),
            (api.zmq_connect)(socket, endpoint),
            (api.zmq_unbind)(socket, endpoint),
            (api.zmq_disconnect)(socket, endpoint),
            (api.zmq_send)(socket, at, 1, 0),
            (api.zmq_send_const)(socket, at, 1, 0),
            (api.zmq_recv)(socket, at, 8, 0),
            (api.zmq_msg_send)(&mut message, socket, 0),
            (api.zmq_msg_recv)(&mut message, socket, 0),
            (api.zmq_sendmsg)(socket, &mut message, 0),
            (api.zmq_recvmsg)(socket, &mut message, 0),
            (api.zmq_sendiov)(socket, &mut vector, 1, 0),
            (api.zmq_recviov)(socket, &mut vector, &mut count, 0),
            (api.zmq_socket_monitor)(socket, endpoint, 1),
            (api.zmq_socket_monitor)(socket, ptr::null(), 0),
            (api.zmq_poll)(&mut item, 1, 0),
            (api.zmq_proxy_steerable)(socket, other, none, none),
            (api.zmq_proxy_steerable)(other, socket, none, none),
        ] {
            fails(api, code, "ENOTSOCK");
        }
        // One thing is not another.
        fails(api, (api.zmq_close)(context), "ENOTSOCK");
        fails(api, (api.zmq_ctx_term)(other), "EFAULT");
        assert_eq!((api.zmq_close)(other), 0);
        assert_eq!((api.zmq_msg_close)(&mut message), 0);
    }
}

/// NULL where a libzmq reads or writes.
///
/// # Safety
/// As in `check`.
unsafe fn no_memory(api: &Api, context: *mut c_void) {
    let none = ptr::null_mut();
    let mut value: c_int = 0;
    let mut len = 4;
    // SAFETY: as in `check`.
    unsafe {
        let socket = (api.zmq_socket)(context, PAIR);
        fails(api, (api.zmq_getsockopt)(socket, EVENTS, none, &mut len), "EFAULT");
        let at = (&raw mut value).cast();
        fails(api, (api.zmq_getsockopt)(socket, EVENTS, at, ptr::null_mut()), "EFAULT");
        fails(api, (api.zmq_setsockopt)(socket, 17, none, 4), "EINVAL");
        fails(api, (api.zmq_send)(socket, none, 5, DONTWAIT), "EFAULT");
        fails(api, (api.zmq_recv)(socket, none, 5, DONTWAIT), "EFAULT");
        for code in [
            (api.zmq_bind)(socket, ptr::null()),
            (api.zmq_connect)(socket, ptr::null()),
            (api.zmq_unbind)(socket, ptr::null()),
            (api.zmq_disconnect)(socket, ptr::null()),
            (api.zmq_sendiov)(socket, ptr::null_mut(), 1, 0),
            (api.zmq_recviov)(socket, ptr::null_mut(), ptr::null_mut(), 0),
        ] {
            fails(api, code, "EINVAL");
        }
        for code in [
            (api.zmq_msg_init)(ptr::null_mut()),
            (api.zmq_msg_init_size)(ptr::null_mut(), 1),
            (api.zmq_msg_send)(ptr::null_mut(), socket, 0),
            (api.zmq_msg_recv)(ptr::null_mut(), socket, 0),
            (api.zmq_msg_close)(ptr::null_mut()),
        ] {
            fails(api, code, "EFAULT");
        }
        assert_eq!((api.zmq_has)(ptr::null()), 0);
        assert!((api.zmq_z85_encode)(ptr::null_mut(), ptr::null(), 4).is_null());
        assert!((api.zmq_z85_decode)(ptr::null_mut(), c"HelloWorld".as_ptr()).is_null());
        fails(api, (api.zmq_curve_keypair)(ptr::null_mut(), ptr::null_mut()), "EFAULT");
        let mut timers = (api.zmq_timers_new)();
        assert_eq!((api.zmq_timers_destroy)(&mut timers), 0);
        assert!((api.zmq_threadstart)(None, none).is_null());
        assert_eq!((api.zmq_close)(socket), 0);
    }
}

/// # Safety
/// As in `check`.
unsafe fn closed_messages(api: &Api, context: *mut c_void) {
    let (mut closed, mut message) = (RawMessage([0; 64]), RawMessage([0; 64]));
    // SAFETY: as in `check`.
    unsafe {
        let socket = (api.zmq_socket)(context, PAIR);
        (api.zmq_msg_init_size)(&mut closed, 100);
        assert_eq!((api.zmq_msg_close)(&mut closed), 0);
        (api.zmq_msg_init_size)(&mut message, 10);
        assert_eq!((api.zmq_msg_size)(&closed), 0);
        assert!((api.zmq_msg_data)(&mut closed).is_null());
        for code in [
            (api.zmq_msg_close)(&mut closed),
            (api.zmq_msg_copy)(&mut message, &mut closed),
            (api.zmq_msg_copy)(&mut closed, &mut message),
            (api.zmq_msg_move)(&mut message, &mut closed),
            (api.zmq_msg_move)(&mut closed, &mut message),
            (api.zmq_msg_send)(&mut closed, socket, DONTWAIT),
            (api.zmq_msg_recv)(&mut closed, socket, DONTWAIT),
            (api.zmq_msg_get)(&closed, 1),
        ] {
            fails(api, code, "EFAULT");
        }
        assert_eq!((api.zmq_msg_copy)(&mut message, &raw mut message), 0);
        assert_eq!((api.zmq_msg_size)(&message), 10);
        assert_eq!((api.zmq_msg_close)(&mut message), 0);
        assert_eq!((api.zmq_close)(socket), 0);
    }
}

/// Ports that a libzmq takes for others.
///
/// # Safety
/// As in `check`.
unsafe fn endpoints(api: &Api, context: *mut c_void) {
    // SAFETY: as in `check`.
    unsafe {
        let socket = (api.zmq_socket)(context, PAIR);
        let ports = [c"tcp://127.0.0.1:99999", c"tcp://127.0.0.1:-1", c"tcp://127.0.0.1:5555x"];
        for endpoint in ports {
            fails(api, (api.zmq_bind)(socket, endpoint.as_ptr()), "EINVAL");
            fails(api, (api.zmq_connect)(socket, endpoint.as_ptr()), "EINVAL");
        }
        assert_eq!((api.zmq_close)(socket), 0);
    }
}

/// What POLLIN has said of a request holds, and the next one is asked for as ever.
///
/// # Safety
/// As in `check`.
unsafe fn a_reply_socket_that_disconnects(api: &Api, context: *mut c_void) {
    const ENDPOINT: &CStr = c"inproc://asks";
    let mut body = [0_u8; 8];
    // SAFETY: as in `check`.
    unsafe {
        let (asks, replies) = ((api.zmq_socket)(context, REQ), (api.zmq_socket)(context, REP));
        assert_eq!((api.zmq_bind)(asks, ENDPOINT.as_ptr()), 0);
        assert_eq!((api.zmq_connect)(replies, ENDPOINT.as_ptr()), 0);
        assert_eq!((api.zmq_send)(asks, c"ask".as_ptr().cast(), 3, DONTWAIT), 3);
        let mut item = RawItem { socket: replies, fd: 0, events: 1, revents: 0 };
        assert_eq!((api.zmq_poll)(&mut item, 1, 0), 1);
        assert_eq!((api.zmq_disconnect)(replies, ENDPOINT.as_ptr()), 0);
        assert_eq!((api.zmq_connect)(replies, ENDPOINT.as_ptr()), 0);
        assert_eq!((api.zmq_recv)(replies, body.as_mut_ptr().cast(), 8, DONTWAIT), 3);
        assert_eq!((api.zmq_send)(replies, c"lost".as_ptr().cast(), 4, DONTWAIT), 4);
        fails(api, (api.zmq_recv)(replies, body.as_mut_ptr().cast(), 8, DONTWAIT), "EAGAIN");
        assert_eq!(((api.zmq_close)(asks), (api.zmq_close)(replies)), (0, 0));
    }
}

/// # Safety
/// As in `check`.
unsafe fn a_name_in_use(api: &Api, context: *mut c_void) {
    let name = |socket| {
        let text = c"same";
        // SAFETY: as in `check`.
        let code =
            unsafe { (api.zmq_setsockopt)(socket, CONNECT_ROUTING_ID, text.as_ptr().cast(), 4) };
        assert_eq!(code, 0);
    };
    // SAFETY: as in `check`.
    unsafe {
        let router = (api.zmq_socket)(context, ROUTER);
        name(router);
        assert_eq!((api.zmq_connect)(router, c"inproc://one".as_ptr()), 0);
        name(router);
        assert_eq!((api.zmq_connect)(router, c"inproc://other".as_ptr()), -1);
        assert_eq!((api.zmq_close)(router), 0);
    }
}

/// A server of PLAIN that is to refuse whom it cannot ask about, without a ZAP_DOMAIN; then with a
/// handler of the wrong type.
///
/// # Safety
/// As in `check`.
unsafe fn a_peer_that_nobody_can_be_asked_about(api: &Api, context: *mut c_void) {
    const PULL: c_int = 7;
    const FAILED: c_int = 0x800;
    let set = |socket, option, value: &[u8]| {
        // SAFETY: the socket is open.
        let code =
            unsafe { (api.zmq_setsockopt)(socket, option, value.as_ptr().cast(), value.len()) };
        assert_eq!(code, 0);
    };
    // SAFETY: as in `check`.
    unsafe {
        let handler = (api.zmq_socket)(context, PULL);
        for (events, with_handler) in [(c"inproc://first", false), (c"inproc://second", true)] {
            if with_handler {
                assert_eq!((api.zmq_bind)(handler, c"inproc://zeromq.zap.01".as_ptr()), 0);
            }
            let [server, client, monitor] =
                std::array::from_fn(|_| (api.zmq_socket)(context, PAIR));
            set(monitor, 27, &5000_i32.to_ne_bytes());
            set(server, 44, &1_i32.to_ne_bytes());
            set(server, 93, &1_i32.to_ne_bytes());
            set(client, 45, b"admin");
            assert_eq!((api.zmq_socket_monitor)(server, events.as_ptr(), FAILED), 0);
            assert_eq!((api.zmq_connect)(monitor, events.as_ptr()), 0);
            let mut endpoint = [0_u8; 64];
            let mut len = endpoint.len();
            assert_eq!((api.zmq_bind)(server, c"tcp://127.0.0.1:*".as_ptr()), 0);
            assert_eq!((api.zmq_getsockopt)(server, 32, endpoint.as_mut_ptr().cast(), &mut len), 0);
            assert_eq!((api.zmq_connect)(client, endpoint.as_ptr().cast()), 0);
            let mut event = [0_u8; 6];
            assert_eq!((api.zmq_recv)(monitor, event.as_mut_ptr().cast(), 6, 0), 6);
            assert_eq!(event[..2], (FAILED as u16).to_ne_bytes());
            assert_eq!(event[2..], libc::EFAULT.to_ne_bytes());
            for socket in [server, client, monitor] {
                set(socket, 17, &0_i32.to_ne_bytes());
                assert_eq!((api.zmq_close)(socket), 0);
            }
        }
        assert_eq!((api.zmq_close)(handler), 0);
    }
}

/// Contexts, counters, timers and stopwatches that have been closed.
///
/// # Safety
/// As in `check`; the context is terminated.
unsafe fn closed_others(api: &Api, context: *mut c_void) {
    // SAFETY: as in `check`.
    unsafe {
        fails(api, (api.zmq_ctx_term)(context), "EFAULT");
        fails(api, (api.zmq_ctx_shutdown)(context), "EFAULT");
        fails(api, (api.zmq_ctx_set)(context, 2, 5), "EFAULT");
        fails(api, (api.zmq_ctx_get)(context, 2), "EFAULT");
        assert!((api.zmq_socket)(context, PAIR).is_null());
        assert_eq!(api.error(), "EFAULT");
        let counter = (api.zmq_atomic_counter_new)();
        (api.zmq_atomic_counter_destroy)(&mut counter.clone());
        assert_eq!((api.zmq_atomic_counter_inc)(counter), 0);
        assert_eq!((api.zmq_atomic_counter_value)(counter), 0);
        (api.zmq_atomic_counter_destroy)(&mut counter.clone());
        let timers = (api.zmq_timers_new)();
        assert_eq!((api.zmq_timers_destroy)(&mut timers.clone()), 0);
        fails(api, (api.zmq_timers_execute)(timers), "EFAULT");
        fails(api, (api.zmq_timers_cancel)(timers, 1), "EFAULT");
        fails(api, (api.zmq_timers_destroy)(&mut timers.clone()), "EFAULT");
        let watch = (api.zmq_stopwatch_start)();
        (api.zmq_stopwatch_stop)(watch);
        assert_eq!((api.zmq_stopwatch_stop)(watch), 0);
    }
}
