//! Futures over the same operations as the blocking calls: no runtime inside, none required.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::core::{Core, State};
use super::{recv_refusal, send_refusal, wait_refusal};
use crate::Message;
use crate::error::{RecvError, SendError, WaitError};
use crate::pattern::Refusal;
use crate::socket::waiters::Events;

/// The place of a future in the waiting list of its socket; given up when it is dropped.
struct Registered<'a> {
    core: &'a Core,
    events: Events,
    /// As in `Waiter`.
    takes: bool,
    id: u64,
}

impl<'a> Registered<'a> {
    fn new(core: &'a Core, events: Events, takes: bool) -> Registered<'a> {
        Registered { core, events, takes, id: 0 }
    }
}

impl Registered<'_> {
    /// Runs `attempt`; registers the task if it says "again".
    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        mut attempt: impl FnMut(&mut State) -> Result<T, Refusal>,
    ) -> Poll<Result<T, Refusal>> {
        let (core, events, takes) = (self.core, self.events, self.takes);
        let tried = core.retry_after_resume(|state| {
            let tried = attempt(state);
            if let Err(Refusal::Again) = tried {
                if self.id == 0 {
                    self.id = state.waiters.new_id();
                }
                state.waiters.register_task(self.id, events, takes, context.waker());
            }
            tried
        });
        match tried {
            Err(Refusal::Again) => Poll::Pending,
            done => {
                self.leave();
                Poll::Ready(done)
            }
        }
    }

    fn leave(&mut self) {
        if self.id != 0 {
            let (id, events) = (std::mem::take(&mut self.id), self.events);
            self.core.with(|state| state.end_wait(id, events));
        }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}

/// The future of [`Socket::send_async`](super::Socket::send_async).
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a> {
    waiting: Registered<'a>,
    parts: Vec<Message>,
}

impl<'a> Send<'a> {
    pub(super) fn new(core: &'a Core, parts: Vec<Message>) -> Send<'a> {
        Send { waiting: Registered::new(core, Events::OUT, true), parts }
    }
}

impl Future for Send<'_> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Send { waiting, parts } = self.get_mut();
        waiting.poll(context, |state| state.send(parts)).map(|sent| {
            sent.map_err(|refusal| SendError::new(send_refusal(refusal), std::mem::take(parts)))
        })
    }
}

/// The future of [`Socket::recv_async`](super::Socket::recv_async).
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a>(Registered<'a>);

impl<'a> Recv<'a> {
    pub(super) fn new(core: &'a Core) -> Recv<'a> {
        Recv(Registered::new(core, Events::IN, true))
    }
}

impl Future for Recv<'_> {
    type Output = Result<Message, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut part = Message::new();
        let received = self.get_mut().0.poll(context, |state| state.recv(&mut part));
        received.map(|received| received.map(|()| part)).map_err(recv_refusal)
    }
}

/// The future of [`Socket::recv_multipart_async`](super::Socket::recv_multipart_async).
#[must_use = "futures do nothing unless awaited"]
pub struct RecvMultipart<'a>(Registered<'a>);

impl<'a> RecvMultipart<'a> {
    pub(super) fn new(core: &'a Core) -> RecvMultipart<'a> {
        RecvMultipart(Registered::new(core, Events::IN, true))
    }
}

impl Future for RecvMultipart<'_> {
    type Output = Result<Vec<Message>, RecvError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.get_mut().0.poll(context, State::recv_multipart).map_err(recv_refusal)
    }
}

/// The future of [`Socket::ready_async`](super::Socket::ready_async).
#[must_use = "futures do nothing unless awaited"]
pub struct Ready<'a>(Registered<'a>);

impl<'a> Ready<'a> {
    pub(super) fn new(core: &'a Core, wanted: Events) -> Ready<'a> {
        Ready(Registered::new(core, wanted, false))
    }
}

impl Future for Ready<'_> {
    type Output = Result<Events, WaitError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waiting = &mut self.get_mut().0;
        let wanted = waiting.events;
        let found = waiting.poll(context, |state| {
            state.check()?;
            let events = state.pattern.events(&mut state.pipes).and(wanted);
            if events.is_empty() { Err(Refusal::Again) } else { Ok(events) }
        });
        found.map_err(wait_refusal)
    }
}
