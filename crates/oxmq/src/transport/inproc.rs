//! inproc: pipes between two sockets of one context, without any I/O.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::{mem, ptr};

use parking_lot::Mutex;

use crate::connection::{Peer, Route};
use crate::monitor::{EventKind, Reason};
use crate::pattern::Refusal;
use crate::pipe::{NewestReader, SlotReader, newest, slots};
use crate::session::{Failure, Rejection};
use crate::socket::core::{Core, State};
use crate::socket::pipes::{Account, Link, Output, PeerNews, Pipe, PipeId};
use crate::socket::waiters::Events;
use crate::statistics::DropReason;
use crate::{Message, SocketType};

/// What an endpoint begins with.
const PREFIX: &str = "inproc://";

/// The inproc names of one context.
#[derive(Default)]
pub(crate) struct Inproc {
    names: Mutex<Names>,
    /// Sockets of any two types may meet, as libzmq's do.
    any_types: AtomicBool,
}

#[derive(Default)]
struct Names {
    bound: HashMap<String, Weak<Core>>,
    /// Connects to names that nobody has bound yet; of no name there are none.
    unbound: HashMap<String, Unbound>,
}

/// The connects to one name.
#[derive(Default)]
struct Unbound {
    /// Each with its number, by which it comes after those before it.
    waiting: HashMap<Near, (u64, Far)>,
    /// How many there have been.
    count: u64,
}

/// The connecting side of a pipe. The address is no other's as long as the far side has a `Weak`.
type Near = (*const Core, PipeId);

// SAFETY: the addresses are only compared.
unsafe impl Send for Unbound {}

impl Unbound {
    fn add(&mut self, far: Far) {
        self.count += 1;
        self.waiting.insert((far.connector.as_ptr(), far.pipe), (self.count, far));
    }

    /// In the order of the connects.
    fn in_order(self) -> impl Iterator<Item = Far> {
        let mut waiting: Vec<_> = self.waiting.into_values().collect();
        waiting.sort_unstable_by_key(|(number, _)| *number);
        waiting.into_iter().map(|(_, far)| far)
    }
}

/// What the binding side of a pipe gets.
struct Far {
    connector: Weak<Core>,
    kind: SocketType,
    /// The connector's name for the pipe.
    pipe: PipeId,
    output: Output,
    input: SlotReader<Message>,
    newest: Option<NewestReader>,
    /// The connector's high-water marks, to be added to the binder's.
    sndhwm: i32,
    rcvhwm: i32,
    identity: Vec<u8>,
    endpoint: Arc<str>,
}

impl Inproc {
    /// Gives the name to `core`. False: it is another's.
    pub(crate) fn bind(&self, core: &Arc<Core>, name: &str) -> bool {
        let waiting = {
            let mut names = self.names.lock();
            if names.bound.get(name).is_some_and(|held| held.strong_count() > 0) {
                return false;
            }
            names.bound.insert(name.to_owned(), Arc::downgrade(core));
            names.unbound.remove(name).unwrap_or_default()
        };
        for far in waiting.in_order() {
            join(core, far);
        }
        true
    }

    /// Lets sockets of any two types meet.
    pub(crate) fn join_any_types(&self) {
        self.any_types.store(true, Ordering::Relaxed);
    }

    /// Forgets a connect to a name that nobody has bound, and what was sent there.
    pub(crate) fn forget(&self, core: &Core, pipe: PipeId, endpoint: &str) {
        let Some(name) = endpoint.strip_prefix(PREFIX) else { return };
        let forgotten = {
            let mut names = self.names.lock();
            let Some(unbound) = names.unbound.get_mut(name) else { return };
            let forgotten = unbound.waiting.remove(&(ptr::from_ref(core), pipe));
            if unbound.waiting.is_empty() {
                names.unbound.remove(name);
            }
            forgotten
        };
        // Messages, which are freed without the lock.
        drop(forgotten);
    }

    pub(crate) fn unbind(&self, name: &str) {
        self.names.lock().bound.remove(name);
    }

    /// The type of the socket that has the name.
    pub(crate) fn bound(&self, name: &str) -> Option<SocketType> {
        let bound = self.names.lock().bound.get(name).and_then(Weak::upgrade);
        bound.filter(|core| !core.is_closed()).map(|core| core.kind)
    }

    fn joins_any_types(&self) -> bool {
        self.any_types.load(Ordering::Relaxed)
    }

    /// Connects `core` to the name, whether it is bound yet or not.
    pub(crate) fn connect(&self, core: &Arc<Core>, name: &str) -> Result<(), Refusal> {
        let far = core.with(|state| {
            state.check()?;
            let (sndhwm, rcvhwm) = (state.options.sndhwm, state.options.rcvhwm);
            let (output, mut far_input) = slots(sndhwm as u32);
            let (far_output, mut input) = slots(0);
            far_input.spare_writer();
            input.spare_writer();
            let endpoint: Arc<str> = format!("{PREFIX}{name}").into();
            let route = Arc::new(Route::new(&endpoint, false));
            let mut pipe = Pipe::new(Output::Slots(output), input, Link::Unbound, route);
            pipe.rcvhwm = rcvhwm as u32;
            let mut output = Output::Slots(far_output);
            let mut far_newest = None;
            if core.conflates(&state.options) {
                let (far_writer, reader) = newest();
                far_newest = Some(conflate(&mut pipe));
                pipe.conflate(reader);
                output = Output::Newest(far_writer);
            }
            let id = state.pipes.insert(pipe);
            if let Err(refusal) = state.name_pipe(id) {
                state.pipes.remove(id);
                return Err(refusal);
            }
            if state.pattern.attach(&mut state.pipes, id) {
                state.add_inproc_pipe(endpoint.clone(), id);
                state.notify(Events::OUT);
            } else {
                state.pipes.remove(id);
                return Ok(None);
            }
            Ok(Some(Far {
                connector: Arc::downgrade(core),
                kind: core.kind,
                pipe: id,
                output,
                input: far_input,
                newest: far_newest,
                sndhwm,
                rcvhwm,
                identity: state.options.routing_id.clone(),
                endpoint,
            }))
        })?;
        let Some(far) = far else { return Ok(()) };
        // Who is being closed will give the name away, and waits for nobody any more.
        let mut closed: Option<Arc<Core>> = None;
        let mut is_told = false;
        loop {
            let bound = {
                let mut names = self.names.lock();
                let bound = names.bound.get(name).and_then(Weak::upgrade);
                let is_open = |bound: &Arc<Core>| {
                    closed.as_ref().is_none_or(|closed| !Arc::ptr_eq(closed, bound))
                };
                let Some(bound) = bound.filter(is_open) else {
                    if !is_told {
                        // With no lock held, and before anybody can find the connect and join it.
                        drop(names);
                        let route = Route::new(&far.endpoint, false);
                        core.hub.emit(&route, None, || EventKind::ConnectDelayed);
                        is_told = true;
                        continue;
                    }
                    names.unbound.entry(name.to_owned()).or_default().add(far);
                    return Ok(());
                };
                bound
            };
            if !bound.is_closed() {
                join(&bound, far);
                return Ok(());
            }
            closed = Some(bound);
        }
    }
}

/// The bound of a direction: the sum of both ends', and none if one has none.
pub(crate) fn sum(send: i32, receive: i32) -> u32 {
    let more = u32::from(cfg!(oxmq_mutation = "capi_hwm_off_by_one"));
    if send == 0 || receive == 0 { 0 } else { send as u32 + receive as u32 + more }
}

/// Makes the way to the far end hold the newest message alone; returns the far end's input.
fn conflate(near: &mut Pipe) -> NewestReader {
    let (writer, far) = newest();
    near.output = Output::Newest(writer);
    far
}

/// The binding socket conflates, and the connecting one did not know: of what it has sent already,
/// the newest message stays. What the binding socket sends is in the other's queue at once, whose
/// CONFLATE is off.
fn conflate_late(far: &mut Far, connector: &Arc<Core>) {
    connector.with(|state| {
        let Some(pipe) = state.pipes.get(far.pipe) else { return };
        let closed = Output::Closed(0);
        let Output::Slots(mut sent) = mem::replace(&mut pipe.output, closed) else { return };
        far.newest = Some(conflate(pipe));
        let Output::Newest(newest) = &mut pipe.output else { return };
        let (mut garbage, mut staged, mut part) = (Vec::new(), Vec::new(), Message::new());
        let mut replaced = 0;
        while far.input.pop_into(&mut part) {
            let more = part.more();
            newest.push(mem::take(&mut part), !more);
            replaced += newest.publish(&mut garbage).map_or(0, |published| published.replaced);
        }
        // The parts of a message that is being sent.
        sent.rollback(|part| staged.push(part));
        staged.into_iter().for_each(|part| newest.push(part, false));
        state.pipes.after.garbage().append(&mut garbage);
        state.pipes.count_dropped(far.pipe, DropReason::Conflated, replaced);
    });
}

/// Gives the binding socket what a closed one had sent before anybody was there.
fn inherit(binder: &Core, far: Far) {
    if !binder.kind.compatible_with(far.kind) && !binder.context.inproc().joins_any_types() {
        return;
    }
    binder.with(|state| {
        let route = route(&far.endpoint, true, far.kind, &far.identity);
        let mut pipe = Pipe::new(Output::Closed(0), far.input, Link::Unbound, route);
        if let Some(newest) = far.newest {
            pipe.conflate(newest);
        }
        pipe.identity = far.identity.into();
        let id = state.pipes.insert(pipe);
        if state.check().is_err() || !state.pattern.attach(&mut state.pipes, id) {
            state.pipes.discard(id);
            return;
        }
        state.pattern.readable(id);
        state.end_pipe(id, Account { taken: 0, left: 0 });
        state.notify(Events::IN);
    });
}

/// Gives the binding socket its end, and tells the connecting one.
fn join(binder: &Arc<Core>, mut far: Far) {
    let Some(connector) = far.connector.upgrade().filter(|connector| !connector.is_closed()) else {
        return inherit(binder, far);
    };
    let any_types = binder.context.inproc().joins_any_types();
    let compatible = any_types || binder.kind.compatible_with(connector.kind);
    let conflates = binder.with(|state| binder.conflates(&state.options));
    if compatible && conflates && far.newest.is_none() {
        conflate_late(&mut far, &connector);
    }
    let Far {
        pipe: near_pipe, mut output, input, newest, sndhwm, rcvhwm, identity, endpoint, ..
    } = far;
    let routes = [
        route(&endpoint, true, connector.kind, &identity),
        route(&endpoint, false, binder.kind, b""),
    ];
    let joined = compatible.then(|| {
        binder.with(|state| {
            if let Output::Slots(slots) = &mut output {
                slots.set_hwm(sum(state.options.sndhwm, rcvhwm));
            }
            let link = Link::Inproc(far.connector.clone(), near_pipe);
            let mut pipe = Pipe::new(output, input, link, routes[0].clone());
            pipe.rcvhwm = sum(sndhwm, state.options.rcvhwm);
            if let Some(newest) = newest {
                pipe.conflate(newest);
            }
            pipe.connected = true;
            pipe.identity = identity.into();
            // Whatever becomes of it: what was sent already is freed with the lock released.
            let id = state.pipes.insert(pipe);
            if state.check().is_err() {
                state.pipes.discard(id);
                return Err(Rejection::Closed);
            }
            if !state.pattern.attach(&mut state.pipes, id) {
                state.pipes.discard(id);
                return Err(Rejection::NoMorePeers);
            }
            if !state.pattern.identified(&mut state.pipes, id) {
                state.pattern.detach(&mut state.pipes, id);
                state.pipes.discard(id);
                return Err(Rejection::IdentityTaken);
            }
            // What was sent before the bind is here already.
            state.notify(Events::IN | Events::OUT | Events::PEERS);
            say_hello(binder, state, id);
            let farewell = &state.options.disconnect_msg;
            let farewell = (binder.automatic.disconnect && !farewell.is_empty())
                .then(|| Box::new(Message::from(farewell)));
            let hwms = (sum(sndhwm, state.options.rcvhwm), sum(state.options.sndhwm, rcvhwm));
            Ok((id, hwms, state.options.routing_id.clone(), farewell))
        })
    });
    const NOTHING_TAKEN: Account = Account { taken: 0, left: 0 };
    let refused = |ours: SocketType, theirs: SocketType, rejection| match rejection {
        Some(rejection) => Reason::of(&Failure::Refused(rejection)),
        None => Reason::incompatible(ours, theirs),
    };
    let (far_pipe, (hwm, rcvhwm), identity, farewell) = match joined.transpose() {
        Ok(Some(joined)) => joined,
        unwanted => {
            connector.ended(near_pipe, NOTHING_TAKEN);
            let rejection = unwanted.err();
            for (core, peer, route) in
                [(binder, &connector, &routes[0]), (&connector, binder, &routes[1])]
            {
                core.hub.emit(route, None, || {
                    EventKind::HandshakeFailed(refused(core.kind, peer.kind, rejection))
                });
            }
            return;
        }
    };
    let near_route = route(&endpoint, false, binder.kind, &identity);
    let alive = connector.with(|state| {
        let Some(pipe) = state.pipes.get(near_pipe) else { return false };
        pipe.link = Link::Inproc(Arc::downgrade(binder), far_pipe);
        pipe.connected = true;
        pipe.route = near_route.clone();
        if pipe.newest.is_none() {
            pipe.rcvhwm = rcvhwm;
        }
        if !pipe.named {
            pipe.identity = identity.into();
        }
        pipe.farewell = farewell;
        if let Output::Slots(output) = &mut pipe.output {
            output.set_hwm(hwm);
        }
        if !state.pattern.identified(&mut state.pipes, near_pipe) {
            state.pattern.detach(&mut state.pipes, near_pipe);
            state.pipes.discard(near_pipe);
            return false;
        }
        say_hello(&connector, state, near_pipe);
        state.pattern.writable(near_pipe);
        // The pattern may have something to say to the one it now has as a peer.
        let mut prefixes = Vec::new();
        state.pattern.subscriptions(&mut |prefix| prefixes.push(prefix.to_vec()));
        for prefix in prefixes {
            let news = PeerNews::Subscription(true, prefix);
            state.pipes.after.tell(&Arc::downgrade(binder), far_pipe, news);
        }
        // Input may have come before this end knew of it, and output before the other end did.
        state.readable(near_pipe);
        state.pipes.after.tell(&Arc::downgrade(binder), far_pipe, PeerNews::Readable);
        state.notify(Events::OUT | Events::PEERS);
        true
    });
    if !alive {
        binder.ended(far_pipe, NOTHING_TAKEN);
        return;
    }
    binder.hub.emit(&routes[0], None, || EventKind::Accepted);
    connector.hub.emit(&near_route, None, || EventKind::Connected);
    binder.hub.emit(&routes[0], None, || EventKind::HandshakeSucceeded);
    connector.hub.emit(&near_route, None, || EventKind::HandshakeSucceeded);
}

/// HELLO_MSG.
fn say_hello(core: &Core, state: &mut State, pipe: PipeId) {
    if core.automatic.hello && !state.options.hello_msg.is_empty() {
        let mut hello = Message::from(&state.options.hello_msg);
        state.pipes.write_alone(pipe, &mut hello);
    }
}

/// A route to a socket of this process.
fn route(endpoint: &Arc<str>, bound: bool, kind: SocketType, identity: &[u8]) -> Arc<Route> {
    let identity = identity.to_vec();
    let peer = Peer { identity, socket_type: Some(kind), ..Peer::unknown() };
    Arc::new(Route::new(endpoint, bound).with_peer(peer))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crate::{Context, Message, Pull, Push, option};

    /// What is kept for names, and of those that a socket was connected to.
    fn kept(context: &Context) -> (usize, usize) {
        let names = context.inproc().names.lock();
        (
            names.bound.len(),
            names.unbound.values().map(|unbound| unbound.waiting.len().max(1)).sum(),
        )
    }

    #[test]
    fn nothing_is_kept_of_a_connect_that_is_no_more() {
        let context = Context::new();
        for number in 0..100 {
            let name = format!("inproc://job-{number}");
            // With a message or without, closed or disconnected, to one name or to many.
            for (linger, sends, disconnects) in
                [(0, true, false), (0, false, true), (-1, true, true), (-1, false, false)]
            {
                let push = Push::new(&context).unwrap();
                push.set(option::LINGER, linger).unwrap();
                push.connect(&name).unwrap();
                push.connect("inproc://all").unwrap();
                assert_eq!(kept(&context), (0, 2));
                if sends {
                    push.try_send("lost").unwrap();
                    push.try_send("lost").unwrap();
                }
                if disconnects {
                    push.disconnect(&name).unwrap();
                    push.disconnect("inproc://all").unwrap();
                }
                drop(push);
                assert_eq!(kept(&context), (0, 0));
            }
            let pull = Pull::new(&context).unwrap();
            pull.bind(&name).unwrap();
            drop(pull);
            assert_eq!(kept(&context), (0, 0));
        }
        context.term_timeout(Duration::from_secs(20)).unwrap();
    }

    #[test]
    fn who_binds_meets_those_who_wait_in_the_order_of_their_connects() {
        let context = Context::new();
        let pushes: Vec<Push> = (0..100_u8)
            .map(|number| {
                let push = Push::new(&context).unwrap();
                push.connect("inproc://a").unwrap();
                push.send(&[number]).unwrap();
                push
            })
            .collect();
        let pull = Pull::new(&context).unwrap();
        pull.bind("inproc://a").unwrap();
        for number in 0..100_u8 {
            assert_eq!(pull.try_recv().unwrap()[..], [number]);
        }
        drop(pushes);
    }

    #[test]
    fn a_socket_forgets_peers_that_have_gone() {
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        for number in 0..1000 {
            let name = format!("inproc://job-{number}");
            let pull = Pull::new(&context).unwrap();
            pull.bind(&name).unwrap();
            push.connect(&name).unwrap();
            push.send(Message::from("x")).unwrap();
            assert_eq!(pull.recv().unwrap()[..], *b"x");
            drop(pull);
            let endpoints = push.as_ref().core().with(|state| state.endpoints.len());
            assert!(endpoints <= crate::socket::core::ENDPOINTS_MIN, "{endpoints}");
        }
    }
}
