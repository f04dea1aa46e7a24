//! Messages that the sequence holds.

use super::{DONTWAIT, FREED, NONE, Replay, SNDTIMEO, put, show};
use crate::api::RawMessage;
use crate::call::Call;
use libc::{c_int, c_void};
use std::ffi::CString;
use std::ptr;
use std::sync::atomic::Ordering;

impl Replay<'_> {
    pub(super) fn message(&mut self, call: &Call) -> String {
        let api = self.api;
        let held = |it: &mut Replay<'_>, at: &usize| -> Option<*mut RawMessage> {
            Some(&mut **it.messages.get_mut(*at)?.as_mut()?)
        };
        /// The message at a place, or nothing to do.
        macro_rules! held {
            ($at:expr) => {
                match held(self, $at) {
                    Some(message) => message,
                    None => return NONE.into(),
                }
            };
        }
        // SAFETY: as in `call`.
        unsafe {
            match call {
                Call::MsgInit { message }
                | Call::MsgInitSize { message, .. }
                | Call::MsgInitData { message, .. } => {
                    if let Some(before) = held(self, message) {
                        (api.zmq_msg_close)(before);
                    }
                    let mut raw = Box::new(RawMessage([0; 64]));
                    let code = self.init(&mut raw, call);
                    put(&mut self.messages, *message, Some(raw));
                    self.code(code)
                }
                Call::MsgLook { message } => {
                    let message = held!(message);
                    let body = self.bytes(&mut *message);
                    format!("{}, more {}", show(&body), (api.zmq_msg_more)(message))
                }
                Call::MsgGet { message, property } => {
                    let message = held!(message);
                    let size = (api.zmq_msg_size)(message);
                    let code = (api.zmq_msg_get)(message, *property);
                    format!("{} of {size} bytes", self.code(code))
                }
                Call::MsgSet { message, property } => {
                    let code = (api.zmq_msg_set)(held!(message), *property, 1);
                    self.code(code)
                }
                Call::MsgGets { message, property } => {
                    let property = CString::new(&property[..]).unwrap();
                    let text = (api.zmq_msg_gets)(held!(message), property.as_ptr());
                    api.text(text).unwrap_or_else(|| format!("NULL {}", api.error()))
                }
                Call::MsgMove { to, from } => {
                    let (from, to) = (held!(from), held!(to));
                    let code = (api.zmq_msg_move)(to, from);
                    self.code(code)
                }
                Call::MsgCopy { to, from } => {
                    let (from, to) = (held!(from), held!(to));
                    let code = (api.zmq_msg_copy)(to, from);
                    self.code(code)
                }
                Call::MsgClose { message } => {
                    let at = held!(message);
                    let first = self.code((api.zmq_msg_close)(at));
                    let second = self.code((api.zmq_msg_close)(at));
                    self.messages[*message] = None;
                    format!("{first}, again {second}")
                }
                Call::MsgSend { message, socket, flags } => {
                    let message = held!(message);
                    let Some(socket) = self.socket(*socket) else { return NONE.into() };
                    let flags = self.bounded(socket, *flags, SNDTIMEO);
                    self.touch();
                    let code = (api.zmq_msg_send)(message, socket, flags);
                    let result = self.code(code);
                    self.sent = true;
                    self.touch();
                    format!("{result}, {} left", (api.zmq_msg_size)(message))
                }
                Call::MsgRecv { message, socket } => {
                    let at = held!(message);
                    let kind = self.kind(*socket);
                    let Some(socket) = self.socket(*socket) else { return NONE.into() };
                    self.observe();
                    let code = (api.zmq_msg_recv)(at, socket, DONTWAIT);
                    let result = self.code(code);
                    let body = self.bytes(&mut *at);
                    let shown = self.show(kind, &body);
                    format!("{result}: {shown}, more {}", (api.zmq_msg_more)(at))
                }
                _ => unreachable!("not of messages"),
            }
        }
    }

    pub(super) unsafe fn init(&mut self, raw: &mut RawMessage, call: &Call) -> c_int {
        let api = self.api;
        // SAFETY: as in `call`.
        unsafe {
            match call {
                Call::MsgInitSize { bytes, .. } => {
                    let code = (api.zmq_msg_init_size)(raw, *bytes);
                    let data = (api.zmq_msg_data)(raw).cast::<u8>();
                    (0..*bytes).for_each(|at| data.add(at).write(b'A' + (at % 23) as u8));
                    code
                }
                Call::MsgInitData { bytes, free, .. } => {
                    if *free {
                        let data = libc::malloc((*bytes).max(1)).cast::<u8>();
                        (0..*bytes).for_each(|at| data.add(at).write(b'a' + (at % 23) as u8));
                        let hint = ptr::without_provenance_mut(4711);
                        (api.zmq_msg_init_data)(raw, data.cast(), *bytes, Some(give_back), hint)
                    } else {
                        let mut data = vec![b'x'; *bytes];
                        let at = data.as_mut_ptr().cast();
                        self.constants.push(data);
                        (api.zmq_msg_init_data)(raw, at, *bytes, None, ptr::null_mut())
                    }
                }
                _ => (api.zmq_msg_init)(raw),
            }
        }
    }
}

unsafe extern "C" fn give_back(data: *mut c_void, hint: *mut c_void) {
    if hint.addr() == 4711 {
        FREED.fetch_add(1, Ordering::Relaxed);
    }
    // SAFETY: `init` allocated it.
    unsafe { libc::free(data) };
}
