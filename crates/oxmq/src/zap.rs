//! ZAP, the ZeroMQ Authentication Protocol (RFC 27): asking the handler of the context about a peer.
//!
//! Each handshake that has to ask makes a DEALER of its own for it, which counts as nobody's socket:
//! the connection closes it when it has its answer, or ends. The answer wakes the connection's I/O
//! thread; nobody waits for it.

use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Waker};

use oxmq_zmtp::wire::metadata::Metadata;

use crate::context::ContextCore;
use crate::option::Options;
use crate::pattern::{self, Refusal};
use crate::socket::collect_parts;
use crate::socket::core::Core;
use crate::socket::task::Task;
use crate::socket::waiters::Events;
use crate::{Message, SocketType};

/// Where the handler answers, in every context.
const HANDLER: &str = "zeromq.zap.01";
const VERSION: &[u8] = b"1.0";
/// A socket asks but once, so that any number will do.
const REQUEST_ID: &[u8] = b"1";
/// The most metadata that an answer may bring, in bytes; as much as a peer's.
const METADATA_BYTES_MAX: usize = 64 * 1024;

/// What a handler is asked.
pub(crate) struct Request<'a> {
    pub(crate) domain: &'a str,
    pub(crate) address: &'a str,
    pub(crate) routing_id: &'a [u8],
    pub(crate) mechanism: &'a [u8],
    pub(crate) credentials: Vec<Vec<u8>>,
}

/// What a handler answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: Status,
    pub(crate) user_id: Vec<u8>,
    pub(crate) properties: Vec<(Vec<u8>, Vec<u8>)>,
}

/// The status codes of RFC 27.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Success,
    TemporaryFailure,
    AuthenticationFailure,
    InternalError,
}

impl Status {
    fn parse(code: &[u8]) -> Option<Status> {
        Some(match code {
            b"200" => Status::Success,
            b"400" if cfg!(oxmq_mutation = "capi_400_lets_in") => Status::Success,
            b"300" => Status::TemporaryFailure,
            b"400" => Status::AuthenticationFailure,
            b"500" => Status::InternalError,
            _ => return None,
        })
    }

    /// The code of a refusal: what a peer that is not let in is told, or would be.
    pub(crate) fn of_refusal(reason: &[u8]) -> Option<Status> {
        Status::parse(reason).filter(|status| *status != Status::Success)
    }

    pub(crate) fn code(self) -> u32 {
        match self {
            Status::Success => 200,
            Status::TemporaryFailure => 300,
            Status::AuthenticationFailure => 400,
            Status::InternalError => 500,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meaning = match self {
            Status::Success => "success",
            Status::TemporaryFailure => "temporary failure",
            Status::AuthenticationFailure => "authentication failure",
            Status::InternalError => "internal error",
        };
        write!(f, "{} ({meaning})", self.code())
    }
}

/// What is wrong with a handler, or its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// There is none.
    NoHandler,
    /// It has gone without an answer.
    Gone,
    /// Not six parts behind the delimiter.
    Parts,
    Delimiter,
    Version,
    RequestId,
    Status,
    Metadata,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Fault::NoHandler => "no ZAP handler is bound to inproc://zeromq.zap.01",
            Fault::Gone => "the ZAP handler went without an answer",
            Fault::Parts => "the ZAP handler's reply has not six parts behind its delimiter",
            Fault::Delimiter => "the ZAP handler's reply does not begin with an empty part",
            Fault::Version => "the ZAP handler's reply is not of version 1.0",
            Fault::RequestId => "the ZAP handler's reply is to another request",
            Fault::Status => "the ZAP handler's status is none of 200, 300, 400 and 500",
            Fault::Metadata => "the ZAP handler's metadata is malformed",
        })
    }
}

/// How often a request that nobody answers is made again at once. Arbitrary: handlers do not come and go
/// as fast.
const ASKED_AGAIN_MAX: u32 = 16;

/// A request on its way.
pub(crate) struct Inquiry {
    context: Arc<ContextCore>,
    request: Vec<Message>,
    socket: Arc<Core>,
    task: Task,
}

impl Inquiry {
    /// Asks the handler of the context.
    pub(crate) fn begin(
        context: &Arc<ContextCore>,
        request: Request<'_>,
    ) -> Result<Inquiry, Fault> {
        match context.inproc().bound(HANDLER) {
            Some(SocketType::Rep | SocketType::Router) => {}
            _ => return Err(Fault::NoHandler),
        }
        let Request { domain, address, routing_id, mechanism, credentials } = request;
        let head: [&[u8]; 7] = [
            b"",
            VERSION,
            REQUEST_ID,
            domain.as_bytes(),
            address.as_bytes(),
            routing_id,
            mechanism,
        ];
        let credentials = credentials.iter().map(Vec::as_slice);
        let request = collect_parts(head.into_iter().chain(credentials));
        let socket = ask(context, &request)?;
        Ok(Inquiry { context: context.clone(), request, socket, task: waits() })
    }

    /// What the handler has answered; `None` while it has not. `waker` is woken then. If the handler
    /// goes without an answer, the next one is asked, whenever that comes.
    pub(crate) fn answer(&mut self, waker: &Waker) -> Option<Result<Answer, Fault>> {
        let mut answer = self.receive(waker);
        // The next one asked may be the same, on its way out.
        for _ in 0..ASKED_AGAIN_MAX {
            if !matches!(answer, Some(Err(Fault::Gone))) {
                break;
            }
            if let Ok(socket) = ask(&self.context, &self.request) {
                std::mem::replace(&mut self.socket, socket).close();
                self.task = waits();
                answer = self.receive(waker);
            }
        }
        answer
    }

    fn receive(&mut self, waker: &Waker) -> Option<Result<Answer, Fault>> {
        let received = self.task.poll(&self.socket, waker, |state| match state.recv_multipart() {
            // Nobody is left to answer.
            Err(Refusal::Again) if state.pipes.ids().is_empty() => Ok(Err(Fault::Gone)),
            received => received.map(Ok),
        });
        match received {
            Poll::Pending => None,
            Poll::Ready(Ok(answer)) => Some(answer.and_then(|parts| parse(&parts))),
            Poll::Ready(Err(_)) => Some(Err(Fault::Gone)),
        }
    }
}

/// For the answer, from now on.
fn waits() -> Task {
    Task::new(Events::IN, true)
}

/// Sends a request to whoever has the handler's name, or will have it.
fn ask(context: &Arc<ContextCore>, request: &[Message]) -> Result<Arc<Core>, Fault> {
    let options = Options { sndhwm: 0, rcvhwm: 0, linger: 0, ..Options::default() };
    let kind = SocketType::Dealer;
    let socket = Core::new(context.clone(), kind, pattern::new(kind), options);
    let connected = context.inproc().connect(&socket, HANDLER);
    let mut request = request.to_vec();
    match connected.and_then(|()| socket.try_send(&mut request)) {
        Ok(()) => Ok(socket),
        Err(_) => {
            socket.close();
            Err(Fault::Gone)
        }
    }
}

impl Drop for Inquiry {
    fn drop(&mut self) {
        self.socket.close();
    }
}

fn parse(parts: &[Message]) -> Result<Answer, Fault> {
    let [delimiter, version, request_id, status, _text, user_id, metadata] = parts else {
        return Err(Fault::Parts);
    };
    if !delimiter.is_empty() {
        return Err(Fault::Delimiter);
    }
    if version[..] != *VERSION {
        return Err(Fault::Version);
    }
    if request_id[..] != *REQUEST_ID {
        return Err(Fault::RequestId);
    }
    let status = Status::parse(status).ok_or(Fault::Status)?;
    let metadata = Metadata::parse(metadata, METADATA_BYTES_MAX).map_err(|_| Fault::Metadata)?;
    let properties = metadata.into_properties();
    Ok(Answer { status, user_id: user_id.to_vec(), properties })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(parts: &[&[u8]]) -> Result<Answer, Fault> {
        parse(&parts.iter().map(|part| Message::from(*part)).collect::<Vec<_>>())
    }

    #[test]
    fn a_reply_is_read() {
        let metadata = b"\x05Group\0\0\0\x05staff";
        let answer = reply(&[b"", b"1.0", b"1", b"200", b"OK", b"ann", metadata]).unwrap();
        assert_eq!(answer.status, Status::Success);
        assert_eq!(answer.user_id, b"ann");
        assert_eq!(answer.properties, [(b"Group".to_vec(), b"staff".to_vec())]);
        for (code, status) in [
            (&b"300"[..], Status::TemporaryFailure),
            (b"400", Status::AuthenticationFailure),
            (b"500", Status::InternalError),
        ] {
            let answer = reply(&[b"", b"1.0", b"1", code, b"", b"", b""]).unwrap();
            assert_eq!(answer.status, status);
            assert_eq!(answer.status.code().to_string().as_bytes(), code);
        }
    }

    #[test]
    fn a_wrong_reply_is_refused() {
        type Row<'a> = (&'a [&'a [u8]], Fault);
        let table: [Row<'_>; 9] = [
            (&[], Fault::Parts),
            (&[b"", b"1.0", b"1", b"200", b"OK", b"ann"], Fault::Parts),
            (&[b"", b"1.0", b"1", b"200", b"OK", b"ann", b"", b""], Fault::Parts),
            (&[b"x", b"1.0", b"1", b"200", b"OK", b"ann", b""], Fault::Delimiter),
            (&[b"", b"1.1", b"1", b"200", b"OK", b"ann", b""], Fault::Version),
            (&[b"", b"1.0", b"2", b"200", b"OK", b"ann", b""], Fault::RequestId),
            (&[b"", b"1.0", b"1", b"201", b"OK", b"ann", b""], Fault::Status),
            (&[b"", b"1.0", b"1", b"", b"OK", b"ann", b""], Fault::Status),
            (&[b"", b"1.0", b"1", b"200", b"OK", b"ann", b"x"], Fault::Metadata),
        ];
        for (parts, fault) in table {
            assert_eq!(reply(parts), Err(fault), "{fault}");
        }
    }
}
