//! Runs the scenario of a seed: lets whoever is ready do something, in an order that the seed
//! decides, and moves the clock on when nobody is.

use crate::actor::{Actor, Plug, Shared, Stage, configure};
use crate::executor::{Executor, TaskId};
use crate::oracle::{Delivery, Oracle, Route};
use crate::plan::{Habit, Mishap, Pattern, Peer, Plan, Transport};
use oxmq::sim::{self, Faults, Rng, Stats};
use oxmq::{Context, Socket, SocketType};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

/// What became of a seed.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What was wrong.
    pub errors: Vec<String>,
    /// Messages received.
    pub received: u64,
    /// Messages lost, each with a reason.
    pub missing: u64,
    /// What the world did.
    pub stats: Stats,
    /// Two runs of a seed have the same.
    pub trace_hash: u64,
}

/// Runs one seed.
pub fn run(seed: u64, is_verbose: bool) -> Report {
    sim::new_world(seed);
    sim::set_verbose(is_verbose);
    // A panic anywhere below is a finding like any other.
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut runner = Runner::new(seed, is_verbose);
        runner.run();
        runner.end()
    }));
    let (errors, received, missing) = result.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        (vec![format!("panicked: {}", text.unwrap_or_default())], 0, 0)
    });
    let (stats, trace_hash) = (sim::stats(), sim::trace_hash());
    Report { seed, errors, received, missing, stats, trace_hash }
}

struct Runner {
    plan: Plan,
    rng: Rng,
    started_at: u64,
    contexts: Vec<Context>,
    sockets: Vec<(u32, Rc<Socket>)>,
    receivers: Vec<TaskId>,
    senders: usize,
    executor: Executor,
    shared: Rc<Shared>,
    next_mishap: usize,
    steps_left: u64,
}

/// Something that can be done now.
enum Step {
    Turn(u32),
    Poll(TaskId),
}

impl Runner {
    fn new(seed: u64, is_verbose: bool) -> Runner {
        let mut rng = Rng::new(seed);
        let plan = Plan::new(&mut rng.fork());
        if is_verbose {
            eprintln!("{plan:#?}");
        }
        for &(from, to, link) in &plan.links {
            sim::set_link(from, to, link);
        }
        let contexts = plan
            .io_threads
            .iter()
            .zip(0..)
            .map(|(&threads, node)| {
                sim::set_node(node);
                let context = Context::new();
                context.set_io_threads(threads as usize);
                context
            })
            .collect();
        let executor = Executor::default();
        let shared = Shared::new(Oracle::new(seed), executor.timers(), is_verbose);
        let mut runner = Runner {
            rng,
            started_at: sim::now(),
            contexts,
            sockets: Vec::new(),
            receivers: Vec::new(),
            senders: 0,
            executor,
            shared,
            next_mishap: 0,
            steps_left: STEPS_MAX,
            plan,
        };
        for index in 0..runner.plan.groups.len() {
            runner.set_up(index);
        }
        runner
    }

    // -----------------------------------------------------------------------------------------
    // Setting up

    fn set_up(&mut self, index: usize) {
        let group = &self.plan.groups[index];
        let (left_type, right_type) = match group.pattern {
            Pattern::Pair => (SocketType::Pair, SocketType::Pair),
            Pattern::Pipeline => (SocketType::Push, SocketType::Pull),
            Pattern::PubSub => (SocketType::Pub, SocketType::Sub),
            Pattern::ReqRep => (SocketType::Req, SocketType::Rep),
        };
        // Half of the ports can be met by a connection that meets itself.
        let first_port = *self.rng.pick(&[5000, 40_000]) + 10 * index;
        let endpoints: Vec<String> = (0..4)
            .map(|number| match group.transport {
                Transport::Inproc => format!("inproc://{index}-{number}"),
                Transport::Ipc => format!("ipc:///sim/{index}-{number}"),
                Transport::Tcp => format!("tcp://127.0.0.1:{}", first_port + number),
            })
            .collect();
        let bind = |number: usize| vec![Plug::Bind(endpoints[number].clone())];
        let connect = |count: usize| -> Vec<Plug> {
            endpoints[..count].iter().cloned().map(Plug::Connect).collect()
        };
        let (lefts, rights) = (group.left.len(), group.right.len());
        let plugs = |is_left: bool, number: usize| {
            if is_left == group.left_binds {
                bind(number)
            } else {
                connect(if is_left { rights } else { lefts })
            }
        };
        let mut ends = Vec::new();
        for (is_left, peers, kind) in
            [(true, &group.left, left_type), (false, &group.right, right_type)]
        {
            for (number, peer) in peers.iter().enumerate() {
                sim::set_node(peer.node);
                let socket = self.contexts[peer.node as usize].socket(kind).expect("no faults yet");
                configure(&socket, peer);
                ends.push(End {
                    is_left,
                    number,
                    name: format!("{}-{index}-{number}@{}", kind.name(), peer.node),
                    peer: peer.clone(),
                    socket: Rc::new(socket),
                    plugs: plugs(is_left, number),
                });
            }
        }
        let group = GroupEnds {
            pattern: group.pattern,
            transport: group.transport,
            left_binds: group.left_binds,
            sizes: group.sizes,
            endpoints,
            ends,
        };
        self.start(group);
    }

    /// Tells the oracle who there is, and starts the tasks.
    fn start(&mut self, group: GroupEnds) {
        let mut oracle = self.shared.oracle.borrow_mut();
        let delivery = match group.pattern {
            Pattern::PubSub => Delivery::Every,
            _ => Delivery::One,
        };
        let both = group.pattern == Pattern::Pair;
        let mut ids = Vec::new();
        for end in &group.ends {
            let sender = (end.is_left || both)
                .then(|| oracle.add_sender(end.name.clone(), delivery, group.sizes));
            let receiver = (!end.is_left || both).then(|| oracle.add_receiver(end.name.clone()));
            if group.pattern == Pattern::PubSub
                && let Some(receiver) = receiver
            {
                sim::set_node(end.peer.node);
                for prefix in &end.peer.subscriptions {
                    oracle.subscribed(receiver, prefix);
                    end.socket.subscribe(prefix).expect("a SUB subscribes");
                }
            }
            ids.push((sender, receiver));
        }
        for (from, (sender, _)) in group.ends.iter().zip(&ids) {
            for (to, (_, receiver)) in group.ends.iter().zip(&ids) {
                let (&Some(sender), &Some(receiver)) = (sender, receiver) else { continue };
                if from.is_left != to.is_left {
                    oracle.add_route(group.route(&self.plan, from, to, sender, receiver));
                }
            }
        }
        drop(oracle);
        for (end, (sender, receiver)) in group.ends.into_iter().zip(ids) {
            let node = end.peer.node;
            self.sockets.push((node, end.socket.clone()));
            let plugger = self.actor(&end);
            self.executor.spawn(
                node,
                format!("{} plugging in", end.name),
                true,
                plugger.plug_in(end.plugs.clone()),
            );
            match (group.pattern, sender, receiver) {
                (Pattern::ReqRep, Some(sender), _) => {
                    self.senders += 1;
                    let context = self.contexts[node as usize].clone();
                    let asker = self.actor(&end).ask_all(sender, context, end.plugs.clone());
                    self.executor.spawn(node, end.name.clone(), true, asker);
                }
                (Pattern::ReqRep, _, Some(receiver)) => {
                    let answerer = self.actor(&end).answer_all(receiver);
                    let task = self.executor.spawn(node, end.name.clone(), false, answerer);
                    self.receivers.push(task);
                }
                _ => {
                    if let (Pattern::PubSub, Some(receiver)) = (group.pattern, receiver) {
                        let task = self.actor(&end).change_subscriptions(receiver);
                        let name = format!("{} changing subscriptions", end.name);
                        self.executor.spawn(node, name, true, task);
                    }
                    if let Some(sender) = sender {
                        self.senders += 1;
                        let task = self.actor(&end).send_all(sender, !both);
                        self.executor.spawn(node, format!("{} sending", end.name), true, task);
                    }
                    for number in 0..end.peer.receivers {
                        if let Some(receiver) = receiver {
                            let mut actor = self.actor(&end);
                            if number > 0 {
                                (actor.peer.habit, actor.helps) = (Habit::Cancels, true);
                            }
                            let task = actor.receive_all(receiver);
                            let name = format!("{} receiving", end.name);
                            let task = self.executor.spawn(node, name, false, task);
                            self.receivers.push(task);
                        }
                    }
                }
            }
        }
    }

    fn actor(&mut self, end: &End) -> Actor {
        Actor {
            shared: self.shared.clone(),
            socket: end.socket.clone(),
            peer: end.peer.clone(),
            rng: self.rng.fork(),
            name: end.name.clone(),
            helps: false,
        }
    }

    // -----------------------------------------------------------------------------------------
    // Running

    fn run(&mut self) {
        sim::set_faults(self.plan.faults);
        let faults_end_at = self.started_at + self.plan.faults_end_ns;
        self.run_for(faults_end_at.saturating_sub(sim::now()));
        sim::set_faults(Faults::default());
        self.next_mishap = usize::MAX;
        if !self.run_until(|runner| runner.is_idle(), LIVENESS_NS) {
            return self.blame_waiting("after the faults had ended");
        }
        // Connections that are just being made, given up, and made again.
        self.run_for(SETTLE_NS);
        let ended_before = self.ended();
        if self.plan.mishaps.is_empty() && self.plan.faults.is_harmless() {
            for (place, ended) in &ended_before {
                if *ended > 0 {
                    let error = format!("{ended} connections to {place:?} ended without a fault");
                    self.shared.oracle.borrow_mut().blame(error);
                }
            }
        }
        self.shared.enter(Stage::Calm);
        if !self.run_until(|runner| runner.is_idle(), LIVENESS_NS) {
            return self.blame_waiting("in the calm");
        }
        self.run_for(SETTLE_NS);
        let ended = self.ended();
        if ended != ended_before {
            self.shared
                .oracle
                .borrow_mut()
                .blame(format!("connections ended in the calm: {ended_before:?}, {ended:?}"));
        }
        self.shared.enter(Stage::Parting);
        if !self.run_until(|runner| runner.executor.awaited().is_empty(), LIVENESS_NS) {
            return self.blame_waiting("parting");
        }
        self.run_until(|runner| runner.shared.oracle.borrow().is_all_complete(), LIVENESS_NS);
        self.shared.oracle.borrow_mut().finish(|route| {
            route.place.as_ref().map_or(0, |place| ended.get(place).copied().unwrap_or(0))
        });
    }

    /// Ends everything, and looks whether anything is left over.
    fn end(mut self) -> (Vec<String>, u64, u64) {
        self.shared.enter(Stage::End);
        if self.plan.cancels_receivers {
            for id in std::mem::take(&mut self.receivers) {
                if let Some(node) = self.executor.node(id) {
                    sim::set_node(node);
                    self.executor.cancel(id);
                }
            }
        }
        for (node, context) in (0..).zip(&self.contexts) {
            sim::set_node(node);
            context.shutdown();
        }
        let is_over = self
            .run_until(|runner| runner.receivers.iter().all(|&id| runner.is_over(id)), LIVENESS_NS);
        if !is_over {
            self.blame_waiting("although the contexts end");
        }
        for node in 0..self.plan.nodes {
            sim::set_node(node);
            for task in self.executor.of_node(node) {
                self.executor.cancel(task);
            }
            self.sockets.retain(|(at, _)| *at != node);
        }
        if !self.run_until(Runner::are_contexts_over, LIVENESS_NS) {
            let left: Vec<usize> = self.contexts.iter().map(Context::sessions).collect();
            let error = format!("contexts do not end: {left:?} connections left");
            self.shared.oracle.borrow_mut().blame(error);
        }
        // What is left for the I/O threads to do, they do before they stop.
        self.run_for(SECOND);
        for (node, context) in (0..).zip(self.contexts.drain(..)) {
            sim::set_node(node);
            drop(context);
        }
        let mut errors = self.shared.oracle.borrow_mut().take_errors();
        if errors.is_empty() {
            errors.extend(sim::open_descriptors().into_iter().map(|it| format!("left open: {it}")));
            errors.extend(sim::ipc_names().into_iter().map(|it| format!("left behind: {it}")));
        }
        errors.extend(sim::violations());
        let oracle = self.shared.oracle.borrow();
        (errors, oracle.received(), oracle.missing())
    }

    /// Runs until `is_done`, for so long at most. False: it is not done.
    fn run_until(&mut self, is_done: impl Fn(&Runner) -> bool, limit_ns: u64) -> bool {
        let limit = sim::now() + limit_ns;
        while !is_done(self) {
            if sim::now() > limit || self.steps_left == 0 {
                return false;
            }
            self.steps_left -= 1;
            if self.steps_left == 0 {
                self.shared.oracle.borrow_mut().blame("busy without end".into());
                return false;
            }
            if self.step() {
                continue;
            }
            match self.next_time() {
                Some(at) if at <= limit => sim::advance_to(at),
                _ => {
                    sim::advance_to(limit + 1);
                    return is_done(self);
                }
            }
        }
        true
    }

    fn run_for(&mut self, ns: u64) {
        self.run_until(|_| false, ns);
    }

    /// Does one thing of those that can be done now. False: there is none.
    fn step(&mut self) -> bool {
        let now = sim::now();
        self.executor.wake_sleepers(now);
        while let Some(&(at, mishap)) = self.plan.mishaps.get(self.next_mishap)
            && self.started_at + at <= now
        {
            self.next_mishap += 1;
            self.happen(mishap);
        }
        let mut steps: Vec<Step> = self.executor.woken().into_iter().map(Step::Poll).collect();
        for (node, context) in (0..).zip(&self.contexts) {
            let is_due = || context.next_deadline().is_some_and(|at| at <= now);
            if sim::is_ready(node) || is_due() {
                steps.push(Step::Turn(node));
            }
        }
        if steps.is_empty() {
            return false;
        }
        match *self.rng.pick(&steps) {
            Step::Turn(node) => {
                sim::set_node(node);
                self.contexts[node as usize].turn();
            }
            Step::Poll(id) => {
                sim::set_node(self.executor.node(id).unwrap_or(0));
                self.executor.poll(id);
            }
        }
        true
    }

    fn next_time(&self) -> Option<u64> {
        let mishap = self.plan.mishaps.get(self.next_mishap).map(|(at, _)| self.started_at + at);
        let deadlines = self.contexts.iter().filter_map(Context::next_deadline);
        let others = [sim::next_event(), self.executor.next_timer(), mishap];
        deadlines.chain(others.into_iter().flatten()).min()
    }

    fn happen(&mut self, mishap: Mishap) {
        self.shared.say(|| format!("---- {mishap:?}"));
        match mishap {
            Mishap::Reset => {
                let connections = sim::connections();
                if !connections.is_empty() {
                    sim::reset(self.rng.pick(&connections));
                }
            }
            Mishap::Stall(one, other, ns) => sim::stall(one, other, sim::now() + ns),
            Mishap::Jump(ns) => sim::advance_to(sim::now() + ns),
        }
    }

    // -----------------------------------------------------------------------------------------
    // Looking

    /// Every sender is at the gate or over.
    fn is_idle(&self) -> bool {
        self.executor.awaited().len() == self.shared.at_gate.get()
    }

    fn is_over(&self, task: TaskId) -> bool {
        self.executor.node(task).is_none()
    }

    fn are_contexts_over(&self) -> bool {
        self.contexts.iter().all(|context| context.sessions() == 0)
    }

    /// How many connections have ended, by who connected and where to.
    fn ended(&self) -> BTreeMap<(u32, String), u64> {
        let oracle = self.shared.oracle.borrow();
        let places = oracle.routes().iter().filter_map(|route| route.place.clone());
        places
            .map(|(node, endpoint)| {
                let ended = sim::ended(node, &endpoint);
                ((node, endpoint), ended)
            })
            .collect()
    }

    fn blame_waiting(&mut self, when: &str) {
        let names = self.executor.awaited().join(", ");
        let waiting = if self.next_time().is_none() { ", and nothing will happen" } else { "" };
        self.shared.oracle.borrow_mut().blame(format!("{when} these wait: {names}{waiting}"));
    }
}

/// A group whose sockets exist.
struct GroupEnds {
    pattern: Pattern,
    transport: Transport,
    left_binds: bool,
    sizes: crate::content::Sizes,
    endpoints: Vec<String>,
    ends: Vec<End>,
}

struct End {
    is_left: bool,
    /// Its place on its side.
    number: usize,
    name: String,
    peer: Peer,
    socket: Rc<Socket>,
    plugs: Vec<Plug>,
}

impl GroupEnds {
    fn route(&self, plan: &Plan, from: &End, to: &End, sender: u16, receiver: u16) -> Route {
        let (binder, connecter) =
            if from.is_left == self.left_binds { (from, to) } else { (to, from) };
        let place = (self.transport != Transport::Inproc)
            .then(|| (connecter.peer.node, self.endpoints[binder.number].clone()));
        let link = plan
            .links
            .iter()
            .find(|(one, other, _)| (*one, *other) == (from.peer.node, to.peer.node));
        let buffer_bytes = link.map_or(0, |(_, _, link)| link.buffer_bytes as u64);
        // A bound pipe dies with its connection; and one message may have been read in part.
        let is_bound = std::ptr::eq(binder, from);
        Route {
            sender,
            receiver,
            place,
            held_messages_max: 1 + if is_bound { from.peer.sndhwm as u64 } else { 0 },
            // In the simulated network, and once more in the receiver that is at its mark.
            held_bytes_max: 2 * buffer_bytes,
            // What the receiving task holds has arrived.
            outstanding_max: (self.transport == Transport::Inproc)
                .then_some((from.peer.sndhwm + to.peer.rcvhwm) as u64),
        }
    }
}

const SECOND: u64 = 1_000_000_000;
/// Far longer than anything takes that is still alive.
const LIVENESS_NS: u64 = 10_000 * SECOND;
/// Longer than a connection can hang, and be tried again.
const SETTLE_NS: u64 = 20 * SECOND;
/// Some hundred times what a seed needs.
const STEPS_MAX: u64 = 3_000_000;
