//! The pipes of one socket, and what is left to do once its lock is released.

use std::num::NonZeroU64;
use std::sync::{Arc, Weak};

use crate::Message;
use crate::connection::Route;
use crate::gather;
use crate::monitor::{EventKind, Hub, Reason};
use crate::pipe::{ArenaWriter, NewestReader, NewestWriter, SlotReader, SlotWriter};
use crate::session::Session;
use crate::socket::after::After;
use crate::socket::core::Core;
use crate::statistics::{DropReason, Dropped, Drops};
use crate::subscription::{Change, ChangeKind, Subscriptions};

/// Names a pipe of one socket; never reused for another pipe.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct PipeId {
    index: u32,
    generation: u32,
}

impl PipeId {
    /// No pipe at all.
    pub(crate) const NOWHERE: PipeId = PipeId { index: u32::MAX, generation: u32::MAX };

    /// Its place among the socket's pipes, which others have had before it.
    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.index
    }

    /// As one number, for an atomic.
    pub(crate) const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    pub(crate) const fn from_bits(bits: u64) -> PipeId {
        PipeId { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// The socket's end of a pipe.
pub(crate) struct Pipe {
    pub(crate) output: Output,
    pub(crate) input: SlotReader<Message>,
    /// CONFLATE: what comes in instead of `input`.
    pub(crate) newest: Option<Box<NewestReader>>,
    pub(crate) link: Link,
    /// A peer stands at the other end, its handshake done.
    pub(crate) connected: bool,
    /// The other end is gone for good: what is in `input` may still be read, then the pipe ends.
    pub(crate) input_ended: bool,
    /// The peer's identity (routing id), empty when it gave none.
    pub(crate) identity: Box<[u8]>,
    /// The identity is CONNECT_ROUTING_ID's, whatever the peer says.
    pub(crate) named: bool,
    /// The peer's name is another's now (ROUTER_HANDOVER), and nothing more is heard of it.
    pub(crate) unheard: bool,
    /// DISCONNECT_MSG of a socket of this process, sent when this end goes.
    pub(crate) farewell: Option<Box<Message>>,
    /// Where it goes.
    pub(crate) route: Arc<Route>,
    /// The high-water mark of `input`, which its writer knows.
    pub(crate) rcvhwm: u32,
    /// What was dropped that was for it, or came through it.
    pub(crate) dropped: Option<Box<Drops>>,
    /// What was published since the connection was last asked to write.
    pub(crate) unwritten: Unwritten,
    /// The message of a fan-out that it was last chosen for; `u64::MAX` while it is passed over.
    pub(crate) chosen_for: u64,
}

/// How much a streaming sender has published and not yet written: past a bound it writes itself.
#[derive(Default)]
pub(crate) struct Unwritten {
    messages: u32,
    bytes: usize,
    /// The bound in messages; 0 is none.
    pub(crate) messages_max: u32,
}

impl Unwritten {
    #[inline]
    fn add_bytes(&mut self, bytes: usize) {
        self.bytes += bytes;
    }

    /// Counts a message. True: the bound is reached, and the counting begins anew.
    #[inline]
    fn count(&mut self) -> bool {
        self.messages += 1;
        let reached = self.messages == self.messages_max || self.bytes >= gather::BYTES_MAX;
        if reached {
            self.clear();
        }
        reached
    }

    #[inline]
    fn clear(&mut self) {
        self.messages = 0;
        self.bytes = 0;
    }
}

/// Where a pipe's outgoing messages go.
pub(crate) enum Output {
    /// To a connection, as bytes.
    Arena(ArenaWriter),
    /// To another socket of this process, as messages.
    Slots(SlotWriter<Message>),
    /// CONFLATE: to either, the newest message alone.
    Newest(NewestWriter),
    /// Nowhere: the other end is gone. So many messages had gone there.
    Closed(u64),
}

/// Who stands at the other end of a pipe.
pub(crate) enum Link {
    Session(Arc<Session>),
    /// Another socket of this process, and its name for the pipe.
    Inproc(Weak<Core>, PipeId),
    /// An inproc endpoint that nobody has bound yet.
    Unbound,
}

/// What another socket of this process has to be told.
pub(crate) enum PeerNews {
    /// Its pipe has input again.
    Readable,
    /// Its pipe has room again.
    Writable,
    /// A subscription came (`true`) or went.
    Subscription(bool, Vec<u8>),
    /// The other end is gone, and had taken so many messages.
    Ended(u64),
    /// The other end's high-water marks, and whether it asks for this one's.
    Hwms { sndhwm: i32, rcvhwm: i32, asks: bool },
}

/// What the other end of a pipe had done when it went.
#[derive(Clone, Copy)]
pub(crate) struct Account {
    /// Messages that it had taken and passed on.
    pub(crate) taken: u64,
    /// Messages that it then found in the pipe.
    pub(crate) left: u64,
}

impl Account {
    /// Of an end that leaves everything to be read.
    pub(crate) const ALL_TAKEN: u64 = u64::MAX;
}

impl Pipe {
    pub(crate) fn new(
        output: Output,
        input: SlotReader<Message>,
        link: Link,
        route: Arc<Route>,
    ) -> Pipe {
        Pipe {
            output,
            input,
            newest: None,
            link,
            connected: false,
            input_ended: false,
            identity: Box::default(),
            named: false,
            unheard: false,
            farewell: None,
            route,
            rcvhwm: 0,
            dropped: None,
            unwritten: Unwritten::default(),
            chosen_for: 0,
        }
    }

    /// Messages given to it, ever.
    pub(crate) fn sent(&self) -> u64 {
        match &self.output {
            Output::Arena(arena) => arena.sent(),
            Output::Slots(slots) => slots.sent(),
            Output::Newest(newest) => newest.sent(),
            Output::Closed(sent) => *sent,
        }
    }

    /// Messages that it brought, ever.
    pub(super) fn arrived(&self) -> u64 {
        self.input.arrived() + self.newest.as_ref().map_or(0, |newest| newest.arrived())
    }

    /// Messages that it brought and that are not yet taken.
    pub(crate) fn waiting(&mut self) -> u64 {
        let newest = self.newest.as_ref().map_or(0, |newest| newest.waiting());
        self.input.arrived() - self.input.taken() + newest
    }

    /// CONFLATE: makes it a pipe that brings the newest message alone.
    pub(crate) fn conflate(&mut self, newest: NewestReader) {
        self.newest = Some(Box::new(newest));
        self.rcvhwm = 1;
    }

    /// Of the messages given to it, those that the other end, which had `taken` so many, will
    /// never take.
    pub(crate) fn lost(&self, account: Account) -> u64 {
        match &self.output {
            Output::Arena(_) | Output::Slots(_) => self.sent().saturating_sub(account.taken),
            // What newer ones have replaced has been counted as that.
            Output::Newest(newest) => account.left + newest.waiting(),
            Output::Closed(_) => account.left,
        }
    }

    /// What was written is a whole message: it becomes visible to the other end.
    #[inline(always)]
    fn publish(&mut self, after: &mut After) {
        match &mut self.output {
            Output::Arena(arena) => {
                arena.publish();
                let Link::Session(session) = &self.link else { return };
                if session.request_write() {
                    self.unwritten.clear();
                    after.kick(session, self.unwritten.count());
                } else if self.unwritten.count() {
                    after.write(session);
                }
            }
            Output::Slots(slots) => {
                if slots.publish()
                    && let Link::Inproc(peer, peer_pipe) = &self.link
                {
                    after.tell(peer, *peer_pipe, PeerNews::Readable);
                }
            }
            // Published as they are written.
            Output::Newest(_) | Output::Closed(_) => {}
        }
    }
}

/// Whether a caller that is refused looks again at once, so that a busy other side, in this
/// process, need not be asked to wake it.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Lingering {
    /// It may go to sleep.
    #[default]
    No,
    /// It looks again if told to.
    May,
    /// It is told to: nobody was asked to wake it.
    Must,
}

/// All pipes of one socket. Patterns work on pipes through this alone.
#[derive(Default)]
pub(crate) struct Pipes {
    slots: Vec<Slot>,
    free: Vec<u32>,
    pub(crate) after: After,
    /// Set anew for each attempt of a call.
    pub(crate) lingering: Lingering,
    /// What was dropped, by any pipe and by none.
    pub(crate) dropped: Dropped,
    /// Of that, what was dropped by none.
    pub(super) by_none: Drops,
    /// Set once somebody has monitored the socket.
    pub(crate) hub: Option<Arc<Hub>>,
    /// Messages given to, and brought by, pipes that are gone.
    pub(super) gone: (u64, u64),
    /// How many pollers the socket is registered with.
    pub(crate) pollers: u32,
}

struct Slot {
    generation: u32,
    pipe: Option<Pipe>,
}

impl Pipes {
    pub(crate) fn insert(&mut self, pipe: Pipe) -> PipeId {
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.slots.push(Slot { generation: 0, pipe: None });
                (self.slots.len() - 1) as u32
            }
        };
        let slot = &mut self.slots[index as usize];
        slot.pipe = Some(pipe);
        PipeId { index, generation: slot.generation }
    }

    pub(crate) fn remove(&mut self, id: PipeId) -> Option<Pipe> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let pipe = slot.pipe.take()?;
        self.gone.0 += pipe.sent();
        self.gone.1 += pipe.arrived();
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(pipe)
    }

    /// Removes a pipe that may hold messages, which are freed with the lock released.
    pub(crate) fn discard(&mut self, id: PipeId) {
        let pipe = self.remove(id);
        self.after.pipes().extend(pipe);
    }

    #[inline]
    pub(crate) fn get(&mut self, id: PipeId) -> Option<&mut Pipe> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.pipe.as_mut() } else { None }
    }

    /// Removes the pipe of a socket that closes or disconnects: what it holds will not be read. Says
    /// how many messages it has brought.
    pub(crate) fn abandon(&mut self, id: PipeId) -> Option<(Pipe, u64)> {
        let unsent = match &self.get(id)?.output {
            Output::Newest(newest) => newest.waiting(),
            _ => self.get(id)?.sent(),
        };
        self.close_output(id);
        let mut pipe = self.remove(id)?;
        let arrived = pipe.arrived();
        self.count_dropped(PipeId::NOWHERE, DropReason::Unread, pipe.waiting());
        if let Some(newest) = &mut pipe.newest {
            newest.discard(self.after.garbage());
        }
        if let Link::Unbound = pipe.link {
            self.count_dropped(PipeId::NOWHERE, DropReason::Lingered, unsent);
        }
        Some((pipe, arrived))
    }

    /// What can be done has changed by a call of the application, other than that input or room
    /// was used up: a type that takes turns has it happen. Pollers, which nobody else tells, look
    /// again.
    #[inline]
    pub(crate) fn turned(&mut self) {
        if self.pollers > 0 {
            self.after.turn();
        }
    }

    pub(crate) fn ids(&self) -> Vec<PipeId> {
        let ids = self.slots.iter().enumerate().filter(|(_, slot)| slot.pipe.is_some());
        ids.map(|(index, slot)| PipeId { index: index as u32, generation: slot.generation })
            .collect()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Pipe> {
        self.slots.iter_mut().filter_map(|slot| slot.pipe.as_mut())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Pipe> {
        self.slots.iter().filter_map(|slot| slot.pipe.as_ref())
    }

    /// Whether one more message fits into the pipe. When not, [`PeerNews::Writable`] or the
    /// connection's driver will say when it does.
    #[inline]
    pub(crate) fn has_room(&mut self, id: PipeId) -> bool {
        match self.get(id).map(|pipe| &mut pipe.output) {
            Some(Output::Arena(arena)) => arena.has_room(),
            Some(Output::Slots(slots)) => slots.has_room(),
            Some(Output::Newest(_)) => true,
            Some(Output::Closed(_)) | None => false,
        }
    }

    /// As [`Pipes::has_room`], once for each message of a fan-out: `None` when the pipe has been
    /// chosen for this one, or can send no more.
    #[inline]
    pub(crate) fn choose(&mut self, id: PipeId, message: NonZeroU64) -> Option<bool> {
        let pipe = self.get(id)?;
        if pipe.chosen_for >= message.get() {
            return None;
        }
        pipe.chosen_for = message.get();
        match &mut pipe.output {
            Output::Arena(arena) => Some(arena.has_room()),
            Output::Slots(slots) => Some(slots.has_room()),
            Output::Newest(_) => Some(true),
            Output::Closed(_) => None,
        }
    }

    /// Keeps the pipe out of every fan-out, or no longer does.
    pub(crate) fn pass_over(&mut self, id: PipeId, passes: bool) {
        if let Some(pipe) = self.get(id) {
            pipe.chosen_for = if passes { u64::MAX } else { 0 };
        }
    }

    /// Whether the peer is another socket of this process.
    pub(crate) fn is_within(&mut self, id: PipeId) -> bool {
        self.get(id).is_some_and(|pipe| matches!(pipe.link, Link::Inproc(..)))
    }

    /// Writes one part; the last part of a message makes the whole of it visible.
    #[inline]
    pub(crate) fn write(&mut self, id: PipeId, part: &mut Message) {
        let more = part.more();
        let Some(pipe) = self.get(id) else { return };
        match &mut pipe.output {
            Output::Arena(arena) => {
                pipe.unwritten.add_bytes(part.len());
                arena.write(part);
            }
            Output::Slots(slots) => slots.push(part.take_along(), !more),
            Output::Newest(newest) => {
                newest.push(part.take_along(), !more);
                return self.publish_newest(id);
            }
            Output::Closed(_) => return,
        }
        if !more {
            self.publish(id);
        }
    }

    /// As [`Pipes::write`], leaving the part to be written to other pipes too.
    #[inline]
    pub(crate) fn write_copy(&mut self, id: PipeId, part: &Message) {
        let more = part.more();
        let Some(pipe) = self.get(id) else { return };
        match &mut pipe.output {
            Output::Arena(arena) => {
                pipe.unwritten.add_bytes(part.len());
                arena.write_copy(part);
            }
            Output::Slots(slots) => slots.push(part.clone().take_along(), !more),
            Output::Newest(newest) => {
                newest.push(part.clone().take_along(), !more);
                return self.publish_newest(id);
            }
            Output::Closed(_) => return,
        }
        if !more {
            self.publish(id);
        }
    }

    /// The common case of [`Pipes::write`]: a message of one part. False: there is no room, and
    /// nothing was written.
    #[inline]
    pub(crate) fn write_whole(&mut self, id: PipeId, part: &mut Message) -> bool {
        let slot = match self.slots.get_mut(id.index as usize) {
            Some(slot) if slot.generation == id.generation => slot,
            _ => return false,
        };
        let Some(pipe) = slot.pipe.as_mut() else { return false };
        match &mut pipe.output {
            Output::Arena(arena) => {
                if !arena.has_room() {
                    return false;
                }
                pipe.unwritten.add_bytes(part.len());
                arena.write(part);
            }
            Output::Slots(slots) => {
                if self.lingering == Lingering::May && slots.is_full_for_a_moment() {
                    self.lingering = Lingering::Must;
                    return false;
                }
                if !slots.has_room() {
                    return false;
                }
                slots.push(part.take_along(), true);
            }
            Output::Newest(newest) => {
                newest.push(part.take_along(), true);
                self.publish_newest(id);
                return true;
            }
            Output::Closed(_) => return false,
        }
        pipe.publish(&mut self.after);
        true
    }

    fn publish(&mut self, id: PipeId) {
        if let Some(pipe) = self.slots[id.index as usize].pipe.as_mut() {
            pipe.publish(&mut self.after);
        }
    }

    /// CONFLATE: if what was written is a whole message, it takes the place of an older one.
    #[cold]
    fn publish_newest(&mut self, id: PipeId) {
        let Some(pipe) = self.slots[id.index as usize].pipe.as_mut() else { return };
        let Output::Newest(newest) = &mut pipe.output else { return };
        let Some(published) = newest.publish(self.after.garbage()) else { return };
        match &pipe.link {
            Link::Session(session) => {
                if session.request_write() {
                    self.after.kick(session, false);
                }
            }
            Link::Inproc(peer, peer_pipe) if published.activates => {
                self.after.tell(peer, *peer_pipe, PeerNews::Readable);
            }
            Link::Inproc(..) | Link::Unbound => {}
        }
        self.count_dropped(id, DropReason::Conflated, published.replaced);
    }

    /// The next part from the pipe. False: it is empty, and the next message to arrive will be
    /// said to the pattern (`readable`).
    #[inline(always)]
    pub(crate) fn read(&mut self, id: PipeId, into: &mut Message) -> bool {
        let lingers = self.lingering == Lingering::May;
        let Some(pipe) = self.get(id) else { return false };
        if lingers && pipe.input.is_empty_for_a_moment() {
            self.lingering = Lingering::Must;
            return false;
        }
        let read = pipe.input.pop_into(into);
        if read && into.more() {
            return true;
        }
        if read {
            pipe.input.count_message();
        } else if let Some(newest) = &mut pipe.newest {
            return newest.pop_into(into);
        }
        if pipe.input.take_wake() {
            self.wake_writer(id);
        }
        read
    }

    /// Reads what another socket of this process has sent to one that does not receive.
    pub(crate) fn discard_input(&mut self, id: PipeId) {
        let mut part = Message::new();
        while self.read(id, &mut part) {
            self.after.free(part.take());
        }
    }

    /// Whether the pipe holds a message; as [`Pipes::read`] when it does not.
    pub(crate) fn has_input(&mut self, id: PipeId) -> bool {
        let Some(pipe) = self.get(id) else { return false };
        let has_input = pipe.input.peek().is_some()
            || pipe.newest.as_mut().is_some_and(|newest| newest.has_input());
        if pipe.input.take_wake() {
            self.wake_writer(id);
        }
        has_input
    }

    /// Credit went back to a writer that waits for it.
    #[cold]
    fn wake_writer(&mut self, id: PipeId) {
        let Some(pipe) = self.slots[id.index as usize].pipe.as_mut() else { return };
        match &pipe.link {
            Link::Session(session) => self.after.resume(session),
            Link::Inproc(peer, peer_pipe) => {
                self.after.tell(peer, *peer_pipe, PeerNews::Writable);
            }
            Link::Unbound => {}
        }
    }

    /// Tells the peer that a subscription came or went. Never counts against HWM. `was_held`: the
    /// prefix was subscribed to before.
    pub(crate) fn tell_subscription(
        &mut self,
        id: PipeId,
        kind: ChangeKind,
        prefix: &[u8],
        was_held: bool,
    ) {
        let slot = &mut self.slots[id.index as usize];
        let Some(pipe) = slot.pipe.as_mut() else { return };
        match &pipe.link {
            // Before the handshake is done nothing is said: at its end everything is.
            Link::Session(session) if pipe.connected => {
                let change = Change { prefix: prefix.into(), kind, was_held };
                if session.queue_subscription(change) {
                    self.after.kick(session, false);
                }
            }
            Link::Inproc(peer, peer_pipe) => {
                let add = kind == ChangeKind::Subscribe;
                let news = PeerNews::Subscription(add, prefix.to_vec());
                self.after.tell(peer, *peer_pipe, news);
            }
            Link::Session(_) | Link::Unbound => {}
        }
    }

    /// Tells a new peer what is subscribed to. A connection tells its peer once its handshake is
    /// done; a socket of this process is told now.
    pub(crate) fn tell_new_peer(&mut self, id: PipeId, subscriptions: &Subscriptions<()>) {
        let Some(Link::Inproc(peer, peer_pipe)) = self.get(id).map(|pipe| &pipe.link) else {
            return;
        };
        let (peer, peer_pipe) = (peer.clone(), *peer_pipe);
        subscriptions.for_each(|prefix, _, _| {
            self.after.tell(&peer, peer_pipe, PeerNews::Subscription(true, prefix.to_vec()));
        });
    }

    /// The pipe can send no more: what it had staged is forgotten.
    pub(crate) fn close_output(&mut self, id: PipeId) {
        let Some(pipe) = self.get(id) else { return };
        if let Some(mut farewell) = pipe.farewell.take()
            && !pipe.input_ended
        {
            self.write_alone(id, &mut farewell);
        }
        let Some(pipe) = self.get(id) else { return };
        pipe.connected = false;
        let closed = Output::Closed(pipe.sent());
        let mut output = std::mem::replace(&mut pipe.output, closed);
        match &mut output {
            Output::Arena(arena) => arena.rollback(self.after.garbage()),
            Output::Slots(slots) => slots.rollback(|part| self.after.garbage().push(part)),
            Output::Newest(newest) => newest.rollback(self.after.garbage()),
            Output::Closed(_) => return,
        }
        // If the other end has gone, all that it had not taken goes with this one.
        self.after.outputs().push(output);
    }

    /// The socket's high-water marks are other ones now.
    pub(crate) fn set_hwms(&mut self, id: PipeId, sndhwm: u32, rcvhwm: u32) {
        let Some(pipe) = self.slots[id.index as usize].pipe.as_mut() else { return };
        match &pipe.link {
            Link::Session(session) => {
                if let Output::Arena(arena) = &mut pipe.output {
                    arena.set_hwm(sndhwm);
                    pipe.unwritten.messages_max = sndhwm.div_ceil(2);
                }
                if pipe.newest.is_none() {
                    pipe.rcvhwm = rcvhwm;
                    self.after.retune(session);
                }
            }
            Link::Inproc(peer, peer_pipe) => {
                let [sndhwm, rcvhwm] = [sndhwm as i32, rcvhwm as i32];
                let news = PeerNews::Hwms { sndhwm, rcvhwm, asks: true };
                self.after.tell(peer, *peer_pipe, news);
            }
            Link::Unbound => {
                if let Output::Slots(slots) = &mut pipe.output {
                    slots.set_hwm(sndhwm);
                }
                pipe.rcvhwm = rcvhwm;
            }
        }
    }

    /// Makes sure that the peer at the other end is alive, or ends the connection.
    pub(crate) fn doubt(&mut self, id: PipeId) {
        let Some(Link::Session(session)) = self.get(id).map(|pipe| &pipe.link) else { return };
        let session = session.clone();
        self.after.doubt(&session);
    }

    /// The peer at the other end has lost its name: what it has sent may still be read, and nothing more
    /// is heard of it. Its connection stands, so that it does not come again and take the name back.
    pub(crate) fn unhear(&mut self, id: PipeId) {
        let Some(pipe) = self.slots[id.index as usize].pipe.as_mut() else { return };
        let Link::Session(session) = &pipe.link else { return self.end_told(id) };
        pipe.connected = false;
        pipe.unheard = true;
        match &mut pipe.output {
            Output::Arena(arena) => arena.rollback(self.after.garbage()),
            Output::Newest(newest) => newest.rollback(self.after.garbage()),
            Output::Slots(_) | Output::Closed(_) => {}
        }
        self.after.unhear(session);
    }

    /// As [`Pipes::end`], within the process, where no session tells the monitors.
    fn end_told(&mut self, id: PipeId) {
        let route = self.get(id).map(|pipe| pipe.route.clone());
        if let Some(hub) = self.hub.clone() {
            let kind = EventKind::Disconnected(Reason::handed_over());
            self.after.notices().push((hub, route, kind));
        }
        self.end(id);
    }

    /// Ends the pipe from this side; what it has received may still be read.
    pub(crate) fn end(&mut self, id: PipeId) {
        self.close_output(id);
        let Some(pipe) = self.slots[id.index as usize].pipe.as_mut() else { return };
        pipe.input_ended = true;
        match &pipe.link {
            Link::Session(session) => self.after.close(session),
            Link::Inproc(peer, peer_pipe) => {
                // What it has sent may still be read.
                self.after.tell(peer, *peer_pipe, PeerNews::Ended(Account::ALL_TAKEN));
            }
            Link::Unbound => {}
        }
        if self.is_spent(id) {
            self.discard(id);
        }
    }

    /// Ends the pipe from this side: what was sent still goes out, what was received is for nobody.
    pub(crate) fn hang_up(&mut self, id: PipeId) {
        let Some(waiting) = self.get(id).map(Pipe::waiting) else { return };
        self.count_dropped(id, DropReason::Unread, waiting);
        self.discard_input(id);
        match self.abandon(id).map(|(pipe, arrived)| (pipe.link, arrived)) {
            Some((Link::Session(session), _)) => self.after.hang_up(&session),
            Some((Link::Inproc(peer, peer_pipe), arrived)) => {
                self.after.tell(&peer, peer_pipe, PeerNews::Ended(arrived));
            }
            Some((Link::Unbound, _)) | None => {}
        }
    }

    /// Sends a message that an option made, if there is room for it.
    pub(crate) fn write_alone(&mut self, id: PipeId, message: &mut Message) {
        self.lingering = Lingering::No;
        self.write_whole(id, message);
    }

    /// Whether the pipe's other end is gone and all its input read: time to remove it.
    pub(crate) fn is_spent(&mut self, id: PipeId) -> bool {
        self.get(id).is_none_or(|pipe| {
            pipe.input_ended
                && pipe.input.is_empty()
                && pipe.newest.as_ref().is_none_or(|newest| newest.is_empty())
        })
    }
}
