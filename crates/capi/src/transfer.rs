//! Sending and receiving.

use std::sync::atomic::Ordering;

use libc::{c_int, c_void, iovec, size_t};
use oxmq::{Message, RecvError, SendErrorKind};

use crate::boundary::{bytes, int};
use crate::errno::{EFAULT, EINVAL, ENOMEM, Errno};
use crate::handle::{self, Held};
use crate::message::{copy, message};
use crate::socket::Socket;

const DONTWAIT: c_int = 1;
const SNDMORE: c_int = 2;

impl Socket {
    /// Sends a part, which is empty afterwards.
    #[inline]
    fn send(&self, part: &mut Message, flags: c_int) -> Result<(), Errno> {
        let (more, waits) = (flags & SNDMORE != 0, flags & DONTWAIT == 0);
        let mut sent = self.socket.send_part(part, more, waits);
        if let (Err(SendErrorKind::Again), Some(descriptor)) = (sent, self.descriptor.get()) {
            // Who is told that nothing can be sent waits for FD, which from now on is quiet until
            // something can.
            let _ = descriptor.rearm(&self.socket);
            sent = self.socket.send_part(part, more, false);
        }
        if let Err(SendErrorKind::State) = sent
            && cfg!(oxmq_mutation = "capi_ebusy_for_efsm")
        {
            return Err(Errno(libc::EBUSY));
        }
        sent.map_err(|kind| Errno(kind.errno()))?;
        // What was not taken whole: a body shared by others.
        *part = Message::new();
        Ok(())
    }

    /// Receives a part in place of what `into` holds.
    #[inline]
    fn recv(&self, into: &mut Message, flags: c_int) -> Result<(), Errno> {
        let mut received = self.socket.recv_part(into, flags & DONTWAIT == 0);
        if let (Err(RecvError::Again), Some(descriptor)) = (&received, self.descriptor.get()) {
            // As above.
            let _ = descriptor.rearm(&self.socket);
            received = self.socket.recv_part(into, false);
        }
        if let Err(RecvError::Again) = received
            && cfg!(oxmq_mutation = "capi_einval_for_eagain")
        {
            return Err(EINVAL);
        }
        received.map_err(|error| Errno(error.errno()))?;
        if !cfg!(oxmq_mutation = "capi_rcvmore_forgotten") {
            // Relaxed: for the caller's own next call.
            self.more.store(into.more(), Ordering::Relaxed);
        }
        Ok(())
    }
}

#[inline]
fn socket(socket: *mut c_void) -> Result<Held<Socket>, Errno> {
    handle::get(socket)
}

/// A size as calls return it.
#[inline]
fn size(bytes: usize) -> c_int {
    c_int::try_from(bytes).unwrap_or(c_int::MAX)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_send(
    to: *mut c_void,
    data: *const c_void,
    len: size_t,
    flags: c_int,
) -> c_int {
    int(|| {
        let socket = socket(to)?;
        let mut part = Message::new();
        // SAFETY: the caller's word (zmq.h).
        copy(unsafe { bytes(data, len) }?, &mut part)?;
        socket.send(&mut part, flags)?;
        Ok(if cfg!(oxmq_mutation = "capi_send_says_0") { 0 } else { size(len) })
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_send_const(
    to: *mut c_void,
    data: *const c_void,
    len: size_t,
    flags: c_int,
) -> c_int {
    int(|| {
        let socket = socket(to)?;
        // SAFETY: the caller's word (zmq.h): the bytes stay as long as the process.
        let body: &'static [u8] = unsafe { bytes(data, len) }?;
        socket.send(&mut Message::from_static(body), flags)?;
        Ok(size(len))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_recv(
    from: *mut c_void,
    data: *mut c_void,
    len: size_t,
    flags: c_int,
) -> c_int {
    int(|| {
        let socket = socket(from)?;
        if data.is_null() && len > 0 {
            return Err(EFAULT);
        }
        let mut part = Message::new();
        socket.recv(&mut part, flags)?;
        let copied = part.len().min(len);
        // SAFETY: the caller's word (zmq.h): `len` bytes may be written at `data`.
        unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), data.cast(), copied) };
        Ok(size(if cfg!(oxmq_mutation = "capi_recv_says_what_fits") { copied } else { part.len() }))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_send(part: *mut Message, to: *mut c_void, flags: c_int) -> c_int {
    int(|| {
        let socket = socket(to)?;
        // SAFETY: the caller's word (zmq.h).
        let part = unsafe { message(part) }?;
        let len = part.len();
        socket.send(part, flags)?;
        Ok(size(len))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_msg_recv(
    part: *mut Message,
    from: *mut c_void,
    flags: c_int,
) -> c_int {
    int(|| {
        let socket = socket(from)?;
        // SAFETY: the caller's word (zmq.h).
        let part = unsafe { message(part) }?;
        // What it held goes now: its free function must find no lock held. As with libzmq, it is
        // empty if nothing is received.
        *part = Message::new();
        socket.recv(part, flags)?;
        Ok(size(part.len()))
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_sendmsg(to: *mut c_void, part: *mut Message, flags: c_int) -> c_int {
    // SAFETY: passed on.
    unsafe { zmq_msg_send(part, to, flags) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_recvmsg(from: *mut c_void, part: *mut Message, flags: c_int) -> c_int {
    // SAFETY: passed on.
    unsafe { zmq_msg_recv(part, from, flags) }
}

/// Sends `count` parts, each a copy of a vector's bytes; one message if `flags` say so.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_sendiov(
    to: *mut c_void,
    vectors: *mut iovec,
    count: size_t,
    flags: c_int,
) -> c_int {
    int(|| {
        let socket = socket(to)?;
        if count == 0 || vectors.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: the caller's word (zmq.h).
        let vectors = unsafe { std::slice::from_raw_parts(vectors, count) };
        let mut sent = 0;
        for (at, vector) in vectors.iter().enumerate() {
            let mut part = Message::new();
            // SAFETY: as above.
            copy(unsafe { bytes(vector.iov_base, vector.iov_len) }?, &mut part)?;
            let ends = at + 1 == count && !cfg!(oxmq_mutation = "capi_sendiov_goes_on");
            let flags = if ends { flags & !SNDMORE } else { flags };
            socket.send(&mut part, flags)?;
            sent = size(vector.iov_len);
        }
        Ok(sent)
    })
}

/// Receives the parts of one message, `*count` at most, each into memory of its own, which the
/// caller frees.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn zmq_recviov(
    from: *mut c_void,
    vectors: *mut iovec,
    count: *mut size_t,
    flags: c_int,
) -> c_int {
    int(|| {
        let socket = socket(from)?;
        if count.is_null() || vectors.is_null() {
            return Err(EINVAL);
        }
        // SAFETY: the caller's word (zmq.h).
        let (vectors, count) =
            unsafe { (std::slice::from_raw_parts_mut(vectors, *count), &mut *count) };
        if vectors.is_empty() {
            return Err(EINVAL);
        }
        *count = 0;
        let mut part = Message::new();
        for vector in vectors {
            socket.recv(&mut part, flags)?;
            // SAFETY: has no conditions; what it gives is the caller's to free.
            let copy = unsafe { libc::malloc(part.len().max(1)) };
            if copy.is_null() {
                return Err(ENOMEM);
            }
            // SAFETY: the memory is fresh, and long enough.
            unsafe { std::ptr::copy_nonoverlapping(part.as_ptr(), copy.cast(), part.len()) };
            (vector.iov_base, vector.iov_len) = (copy, part.len());
            *count += 1;
            if !part.more() {
                break;
            }
        }
        Ok(size(if cfg!(oxmq_mutation = "capi_recviov_says_1") { 1 } else { *count }))
    })
}

// What zmq.h promises of a `zmq_msg_t`.
const _: () = assert!(size_of::<Message>() == 64);
const _: () = assert!(align_of::<Message>() == align_of::<*const ()>());
