//! Watching a socket: statistics, counts of dropped messages, monitors.

use std::sync::Arc;

use super::Socket;
use super::core::Core;
use super::pipes::{Account, Link, Output, Pipe, PipeId, Pipes};
use crate::SocketType;
use crate::connection::Route;
use crate::error::SocketError;
use crate::monitor::{EventKind, Monitor, MonitorError, MonitorVersion, Reason, Wire};
use crate::statistics::{DropReason, Drops, PipeStatistics, Statistics};
use crate::sys::Instant;

impl Socket {
    /// How many messages this socket has dropped, whatever the reason; [`Socket::statistics`] says
    /// why, and for whom.
    pub fn dropped(&self) -> u64 {
        self.core.with(|state| state.pipes.dropped.total())
    }

    /// What the socket has carried, what waits in it, and what it dropped, pipe by pipe. Of a
    /// closed socket the sums are still to be had.
    pub fn statistics(&self) -> Statistics {
        self.core.statistics()
    }

    /// Why the last connection of this socket that failed did so: what the peer did wrong, or what
    /// the system said. A peer that just left is no failure.
    pub fn last_failure(&self) -> Option<String> {
        self.core.last_failure()
    }

    /// Collects what happens to the socket from now on; see [`monitor`](crate::monitor). There may
    /// be any number of monitors.
    pub fn monitor(&self) -> Monitor {
        self.core.monitor()
    }

    /// As libzmq's `zmq_socket_monitor_versioned`: a socket of the type `kind` (PAIR, PUB or PUSH)
    /// sends the events of the mask `events` ([`number`](crate::monitor::number)) at an inproc
    /// endpoint, in place of an earlier one. Connections within the process have no such events,
    /// nor have dropped messages.
    ///
    /// # Errors
    /// [`MonitorError`].
    ///
    /// ```
    /// use oxmq::monitor::{MonitorVersion, number};
    /// use oxmq::{Context, Pair, Pull, SocketType};
    /// let context = Context::new();
    /// let pull = Pull::new(&context)?;
    /// let (at, all) = ("inproc://events", number::ALL_V2);
    /// pull.as_ref().monitor_at(at, all, MonitorVersion::V2, SocketType::Pair)?;
    /// let events = Pair::new(&context)?;
    /// events.connect(at)?;
    /// let endpoint = pull.bind("tcp://127.0.0.1:*")?;
    /// let listening = events.recv_multipart()?;
    /// assert_eq!(listening[0][..], number::LISTENING.to_ne_bytes());
    /// assert_eq!(&listening[3][..], endpoint.as_bytes());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn monitor_at(
        &self,
        endpoint: &str,
        events: u64,
        version: MonitorVersion,
        kind: SocketType,
    ) -> Result<(), MonitorError> {
        self.core.monitor_at(endpoint, events, version, kind)
    }

    /// Ends what [`Socket::monitor_at`] began; the last event says so.
    pub fn stop_monitor_at(&self) {
        self.core.stop_monitor_at();
    }

    /// Tells the monitors what waits in each pipe
    /// ([`PipeStatistics`](crate::monitor::EventKind::PipeStatistics)), and says how many pipes
    /// there are.
    pub fn monitor_pipe_stats(&self) -> usize {
        self.core.tell_pipe_statistics()
    }
}

impl Core {
    pub(crate) fn statistics(&self) -> Statistics {
        let mut peers = Vec::new();
        let mut statistics = self.with(|state| {
            let (sent, received) = state.pipes.carried();
            let pipes = state.pipes.iter_mut().map(|pipe| {
                if let Link::Inproc(peer, peer_pipe) = &pipe.link {
                    peers.push(Some((peer.clone(), *peer_pipe)));
                } else {
                    peers.push(None);
                }
                pipe.statistics()
            });
            let pipes = pipes.collect();
            let dropped = state.pipes.dropped;
            Statistics { socket_type: self.kind, sent, received, dropped, pipes }
        });
        // How much waits between two sockets of the process the one that receives knows exactly.
        for (pipe, peer) in statistics.pipes.iter_mut().zip(peers) {
            if let Some((peer, peer_pipe)) = peer
                && let Some(peer) = peer.upgrade()
                && let Some(waiting) =
                    peer.with(|state| state.pipes.get(peer_pipe).map(Pipe::waiting))
            {
                pipe.waiting_out = waiting;
            }
        }
        statistics
    }

    // What those who monitor the socket are told.

    pub(crate) fn monitor(&self) -> Monitor {
        if self.context.is_inherited() {
            return Monitor::of_another_process();
        }
        // First of all: what is dropped once there is a monitor, it is told.
        self.with(|state| state.pipes.hub = Some(self.hub.clone()));
        self.hub.monitor()
    }

    pub(crate) fn monitor_at(
        &self,
        endpoint: &str,
        events: u64,
        version: MonitorVersion,
        kind: SocketType,
    ) -> Result<(), MonitorError> {
        if self.context.is_inherited() {
            return Err(MonitorError::Socket(SocketError::Forked));
        }
        // No new one is to find the old one's name in use.
        let old = self.hub.wire();
        if old.is_some_and(|old| old.is_at(endpoint)) {
            self.stop_monitor_at();
        }
        let wire = Wire::bind(self, endpoint, events, version, kind)?;
        self.hub.set_wire(Some(wire));
        Ok(())
    }

    pub(crate) fn stop_monitor_at(&self) {
        if !self.context.is_inherited() {
            self.hub.set_wire(None);
        }
    }

    pub(crate) fn tell_pipe_statistics(&self) -> usize {
        let statistics = self.statistics();
        for pipe in &statistics.pipes {
            let (waiting_out, waiting_in) = (pipe.waiting_out, pipe.waiting_in);
            let kind = EventKind::PipeStatistics { waiting_out, waiting_in };
            self.hub.emit_of(pipe.connection.clone(), kind);
        }
        statistics.pipes.len()
    }

    pub(crate) fn last_failure(&self) -> Option<String> {
        if self.context.is_inherited() { None } else { self.hub.last_failure() }
    }

    /// As [`Core::ended`], of a pipe to another socket of the process.
    pub(super) fn far_end_ended(&self, id: PipeId, taken: u64) {
        let route = self.with(|state| {
            let pipe = state.pipes.get(id).filter(|pipe| pipe.connected);
            let route = pipe.map(|pipe| pipe.route.clone());
            state.end_pipe(id, Account { taken, left: 0 });
            state.forget_ended();
            route
        });
        self.sweep_all();
        if let Some(route) = route {
            let kind = || EventKind::Disconnected(Reason::end_of_stream());
            self.hub.emit(&route, None, kind);
        }
    }

    pub(super) fn tell_closed(&self, route: &Route) {
        self.hub.emit(route, None, || EventKind::Disconnected(Reason::closed_here()));
    }
}

impl Pipes {
    /// Messages given to pipes, and messages that pipes have brought, ever.
    pub(crate) fn carried(&self) -> (u64, u64) {
        self.iter().fold(self.gone, |(sent, received), pipe| {
            (sent + pipe.sent(), received + pipe.arrived())
        })
    }

    /// Counts messages that were dropped; `id` may name no pipe.
    #[cold]
    pub(crate) fn count_dropped(&mut self, id: PipeId, reason: DropReason, messages: u64) {
        if messages == 0 {
            return;
        }
        self.dropped.add(reason, messages);
        let hub = self.hub.as_ref().filter(|hub| hub.is_active()).cloned();
        let (drops, route) = match self.get(id) {
            Some(pipe) => (&mut **pipe.dropped.get_or_insert_default(), Some(pipe.route.clone())),
            None => (&mut self.by_none, None),
        };
        drops.count(reason, messages);
        if let Some(hub) = hub
            && let Some(messages) = drops.take_notice(reason, Instant::now())
        {
            let kind = EventKind::Dropped { reason, messages };
            self.after.notices().push((hub, route, kind));
        }
    }
}

impl Pipe {
    pub(crate) fn statistics(&mut self) -> PipeStatistics {
        let (waiting_out, sndhwm) = match &mut self.output {
            Output::Arena(arena) => (arena.outstanding(), arena.hwm()),
            Output::Slots(slots) => (slots.outstanding(), slots.hwm()),
            Output::Newest(newest) => (newest.waiting(), 1),
            Output::Closed(_) => (0, 0),
        };
        PipeStatistics {
            connection: self.route.to_connection(),
            connected: self.connected,
            identity: self.identity.to_vec(),
            sent: self.sent(),
            waiting_out,
            received: self.arrived(),
            waiting_in: self.waiting(),
            sndhwm,
            rcvhwm: self.rcvhwm,
            dropped: self.dropped.as_deref().map(Drops::counts).unwrap_or_default(),
        }
    }

    /// Where it goes, if that is another socket of the process, which is connected.
    pub(crate) fn route_within(&mut self) -> Option<Arc<Route>> {
        let within = self.connected && matches!(self.link, Link::Inproc(..));
        within.then(|| self.route.clone())
    }
}
