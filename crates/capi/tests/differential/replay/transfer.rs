//! Sending and receiving.

use super::{DONTWAIT, MESSAGES_MAX, NONE, RCVMORE, Replay, SNDTIMEO, TYPE, XSUB};
use crate::api::RawMessage;
use crate::call::{Body, Handle, Order, RecvForm, SendForm};
use libc::{c_int, c_void, iovec};
use std::ffi::CString;
use std::ptr;

impl Replay<'_> {
    pub(super) fn send(
        &mut self,
        socket: *mut c_void,
        body: Vec<u8>,
        flags: c_int,
        form: SendForm,
    ) -> String {
        self.touch();
        let api = self.api;
        let (data, len): (*const c_void, usize) = (body.as_ptr().cast(), body.len());
        // SAFETY: as in `call`.
        let result = unsafe {
            match form {
                SendForm::Buffer => {
                    let code = (api.zmq_send)(socket, data, len, flags);
                    self.code(code)
                }
                SendForm::Const => {
                    let code = (api.zmq_send_const)(socket, data, len, flags);
                    let result = self.code(code);
                    self.constants.push(body);
                    result
                }
                SendForm::Message | SendForm::OldMessage => {
                    let mut message = RawMessage([0; 64]);
                    (api.zmq_msg_init_size)(&mut message, len);
                    let at = (api.zmq_msg_data)(&mut message);
                    ptr::copy_nonoverlapping(body.as_ptr(), at.cast(), len);
                    let code = match form {
                        SendForm::Message => (api.zmq_msg_send)(&mut message, socket, flags),
                        _ => (api.zmq_sendmsg)(socket, &mut message, flags),
                    };
                    let result = self.code(code);
                    let left = (api.zmq_msg_size)(&message);
                    let closed = (api.zmq_msg_close)(&mut message);
                    format!("{result}, {left} left, closed {closed}")
                }
            }
        };
        self.sent = true;
        // What an XSUB sends may be for its peer's next message.
        if self.int(socket, TYPE) == Some(XSUB) {
            self.observe()
        } else {
            self.touch()
        }
        result
    }

    pub(super) fn send_iov(&mut self, socket: Handle, bodies: &[Body], flags: c_int) -> String {
        let Some(handle) = self.socket(socket) else { return NONE.into() };
        let flags = self.bounded(handle, flags, SNDTIMEO);
        let Some(mut bytes) = bodies.iter().map(|body| self.body(body)).collect::<Option<Vec<_>>>()
        else {
            return NONE.into();
        };
        let vector =
            |it: &mut Vec<u8>| iovec { iov_base: it.as_mut_ptr().cast(), iov_len: it.len() };
        let mut vectors: Vec<iovec> = bytes.iter_mut().map(vector).collect();
        self.touch();
        // SAFETY: as in `call`.
        let code =
            unsafe { (self.api.zmq_sendiov)(handle, vectors.as_mut_ptr(), vectors.len(), flags) };
        let result = self.code(code);
        self.sent = true;
        self.touch();
        result
    }

    // Receiving.

    pub(super) fn recv(
        &mut self,
        socket: Handle,
        handle: *mut c_void,
        form: RecvForm,
        flags: c_int,
    ) -> String {
        let (api, kind) = (self.api, self.kind(socket));
        // SAFETY: as in `call`.
        let result = unsafe {
            match form {
                RecvForm::Buffer(room) => {
                    let mut buffer = vec![0xaa_u8; room];
                    let code = (api.zmq_recv)(handle, buffer.as_mut_ptr().cast(), room, flags);
                    let result = self.code(code);
                    match usize::try_from(code) {
                        // A name that the library made, cut.
                        Ok(5) if (1..5).contains(&room) && matches!(kind, 6 | 11) => {
                            format!("{result}: ...")
                        }
                        Ok(len) => {
                            format!("{result}: {}", self.show(kind, &buffer[..len.min(room)]))
                        }
                        Err(_) => return result,
                    }
                }
                RecvForm::Message | RecvForm::OldMessage => {
                    let mut message = RawMessage([0; 64]);
                    (api.zmq_msg_init)(&mut message);
                    let code = match form {
                        RecvForm::Message => (api.zmq_msg_recv)(&mut message, handle, flags),
                        _ => (api.zmq_recvmsg)(handle, &mut message, flags),
                    };
                    if code < 0 {
                        let result = self.code(code);
                        (api.zmq_msg_close)(&mut message);
                        return result;
                    }
                    let body = self.bytes(&mut message);
                    let more = (api.zmq_msg_more)(&message);
                    let shown = self.show(kind, &body);
                    (api.zmq_msg_close)(&mut message);
                    format!("{code}: {shown}, more {more}")
                }
            }
        };
        format!("{result}, RCVMORE {:?}", self.int(handle, RCVMORE))
    }

    pub(super) fn bytes(&self, message: &mut RawMessage) -> Vec<u8> {
        // SAFETY: the message is initialised.
        unsafe {
            let len = (self.api.zmq_msg_size)(message);
            let data = (self.api.zmq_msg_data)(message);
            if len == 0 {
                return Vec::new();
            }
            std::slice::from_raw_parts(data.cast::<u8>(), len).to_vec()
        }
    }

    pub(super) fn recv_iov(&mut self, socket: Handle, count: usize) -> String {
        let Some(handle) = self.socket(socket) else { return NONE.into() };
        let kind = self.kind(socket);
        self.observe();
        let mut vectors: Vec<iovec> =
            (0..count.max(1)).map(|_| iovec { iov_base: ptr::null_mut(), iov_len: 0 }).collect();
        let mut received = count;
        // SAFETY: as in `call`.
        let code = unsafe {
            (self.api.zmq_recviov)(handle, vectors.as_mut_ptr(), &mut received, DONTWAIT)
        };
        let mut result = format!("{}, {received}:", self.code(code));
        for vector in &vectors[..received.min(count)] {
            if vector.iov_base.is_null() {
                continue;
            }
            // SAFETY: the library allocated so many bytes.
            let body = unsafe {
                std::slice::from_raw_parts(vector.iov_base.cast::<u8>(), vector.iov_len).to_vec()
            };
            result += &format!(" {}", self.show(kind, &body));
            // SAFETY: as above, with malloc.
            unsafe { libc::free(vector.iov_base) };
        }
        result += &format!(", RCVMORE {:?}", self.int(handle, RCVMORE));
        result
    }

    /// A part, or the error.
    pub(super) fn part(&self, socket: *mut c_void) -> Result<(Vec<u8>, bool), String> {
        let mut message = RawMessage([0; 64]);
        // SAFETY: as in `call`.
        unsafe {
            (self.api.zmq_msg_init)(&mut message);
            let code = (self.api.zmq_msg_recv)(&mut message, socket, DONTWAIT);
            let result = if code < 0 {
                Err(self.code(code))
            } else {
                Ok((self.bytes(&mut message), (self.api.zmq_msg_more)(&message) != 0))
            };
            (self.api.zmq_msg_close)(&mut message);
            result
        }
    }

    /// A message, or the error. After the first part, the others are there.
    pub(super) fn whole(&self, socket: *mut c_void) -> Result<Vec<Vec<u8>>, String> {
        let mut parts = Vec::new();
        loop {
            let (part, more) = self.part(socket).map_err(|error| match parts.len() {
                0 => error,
                count => format!("{count} parts, then {error}"),
            })?;
            parts.push(part);
            if !more {
                return Ok(parts);
            }
        }
    }

    pub(super) fn drain(&mut self, socket: Handle, order: Order) -> String {
        let Some(handle) = self.socket(socket) else { return NONE.into() };
        let kind = self.kind(socket);
        let mut all = Vec::new();
        let mut looked = false;
        let last = loop {
            match self.whole(handle) {
                Ok(message) => all.push(message),
                Err(error) if error == "-1 EAGAIN" && !looked => {
                    self.observe();
                    looked = true;
                }
                Err(error) => break error,
            }
            if all.len() > MESSAGES_MAX {
                break "no end".into();
            }
        };
        match order {
            Order::All => {}
            // The sender is the first byte of the last part that has one.
            Order::OfEach => all.sort_by_key(|message| {
                let body = message.iter().rev().find(|part| !part.is_empty());
                let ends = message.last().is_some_and(|part| part.is_empty());
                (body.map(|body| body[0]), ends.then(|| message.clone()))
            }),
            Order::None => all.sort(),
        }
        let shown: Vec<String> = all
            .iter()
            .map(|message| {
                let parts: Vec<_> = message.iter().map(|part| self.show(kind, part)).collect();
                parts.join(" | ")
            })
            .collect();
        format!("{} messages [{}], then {last}", all.len(), shown.join(", "))
    }

    pub(super) fn recv_properties(&mut self, socket: Handle) -> String {
        let Some(handle) = self.socket(socket) else { return NONE.into() };
        self.observe();
        let api = self.api;
        let mut message = RawMessage([0; 64]);
        let mut result = Vec::new();
        // SAFETY: as in `call`.
        unsafe {
            (api.zmq_msg_init)(&mut message);
            let code = (api.zmq_msg_recv)(&mut message, handle, DONTWAIT);
            result.push(self.code(code));
            for name in ["Socket-Type", "Identity", "Routing-Id", "User-Id", "Peer-Address", "X-no"]
            {
                let property = CString::new(name).unwrap();
                let text = (api.zmq_msg_gets)(&message, property.as_ptr());
                let text = api.text(text).unwrap_or_else(|| api.error());
                // The peer is of this process.
                let text = text.replace(&format!(":{}", std::process::id()), ":<process>");
                result.push(format!("{name} {text:?}"));
            }
            let descriptor = (api.zmq_msg_get)(&message, 2);
            result.push(format!("SRCFD {}", if descriptor > 2 { "some" } else { "none" }));
            (api.zmq_msg_close)(&mut message);
        }
        result.push(format!("RCVMORE {:?}", self.int(handle, RCVMORE)));
        result.join(", ")
    }
}
