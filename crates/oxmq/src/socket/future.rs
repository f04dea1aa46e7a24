//! Futures over the same operations as the blocking calls: no runtime inside, none required.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::core::{Core, State};
use super::task::Task;
use super::turn::Turn;
use super::{recv_refusal, send_refusal, wait_refusal};
use crate::Message;
use crate::error::{RecvError, SendError, WaitError};
use crate::pattern::Refusal;
use crate::socket::waiters::Events;

/// A future's stay in the waiting list of its socket; given up when it is dropped.
struct Waiting<'a> {
    core: &'a Core,
    task: Task,
    turn: Turn,
}

impl<'a> Waiting<'a> {
    fn new(core: &'a Core, events: Events, takes: bool) -> Waiting<'a> {
        Waiting { core, task: Task::new(events, takes), turn: Turn::default() }
    }
}

impl Waiting<'_> {
    /// Runs `attempt`; registers the task if it says "again".
    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        attempt: impl FnMut(&mut State) -> Result<T, Refusal>,
    ) -> Poll<Result<T, Refusal>> {
        if !self.turn.begin(context.waker()) {
            return Poll::Pending;
        }
        let polled = self.task.poll(self.core, context.waker(), attempt);
        if polled.is_ready() {
            self.turn.succeed();
        }
        polled
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.task.leave(self.core);
    }
}

/// The future of [`Socket::send_async`](super::Socket::send_async). Polled again once it is done, it
/// says [`Empty`](crate::SendErrorKind::Empty), for it has no message any more.
#[must_use = "futures do nothing unless awaited"]
pub struct Send<'a> {
    waiting: Waiting<'a>,
    parts: Vec<Message>,
}

impl<'a> Send<'a> {
    pub(super) fn new(core: &'a Core, parts: Vec<Message>) -> Send<'a> {
        Send { waiting: Waiting::new(core, Events::OUT, true), parts }
    }
}

impl Future for Send<'_> {
    type Output = Result<(), SendError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Send { waiting, parts } = self.get_mut();
        waiting.poll(context, |state| state.send(parts)).map(|sent| {
            // Whoever polls it again sends no message: there is none.
            let parts = std::mem::take(parts);
            sent.map_err(|refusal| SendError::new(send_refusal(refusal), parts))
        })
    }
}

/// The future of [`Socket::recv_async`](super::Socket::recv_async). Polled again once it is done, it
/// receives the next part.
#[must_use = "futures do nothing unless awaited"]
pub struct Recv<'a>(Waiting<'a>);

impl<'a> Recv<'a> {
    pub(super) fn new(core: &'a Core) -> Recv<'a> {
        Recv(Waiting::new(core, Events::IN, true))
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

/// The future of [`Socket::recv_multipart_async`](super::Socket::recv_multipart_async). Polled again once
/// it is done, it receives the next message.
#[must_use = "futures do nothing unless awaited"]
pub struct RecvMultipart<'a>(Waiting<'a>);

impl<'a> RecvMultipart<'a> {
    pub(super) fn new(core: &'a Core) -> RecvMultipart<'a> {
        RecvMultipart(Waiting::new(core, Events::IN, true))
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
pub struct Ready<'a>(Waiting<'a>);

impl<'a> Ready<'a> {
    pub(super) fn new(core: &'a Core, wanted: Events) -> Ready<'a> {
        Ready(Waiting::new(core, wanted, false))
    }
}

impl Future for Ready<'_> {
    type Output = Result<Events, WaitError>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let waiting = &mut self.get_mut().0;
        let wanted = waiting.task.events();
        let found = waiting.poll(context, |state| {
            state.check()?;
            let events = state.pattern.events(&mut state.pipes).and(wanted);
            if events.is_empty() { Err(Refusal::Again) } else { Ok(events) }
        });
        found.map_err(wait_refusal)
    }
}
