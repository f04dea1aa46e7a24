//! Runs the scenario of a seed: lets whoever is ready do something, in an order that the seed
//! decides, and moves the clock on when nobody is.

use crate::actor::{HEARTBEAT_TIMEOUT_MS, Shared, Stage};
use crate::executor::{Executor, TaskId};
use crate::member::{self, Member};
use crate::oracle::{Oracle, Place};
use crate::plan::{Mishap, Plan};
use oxmq::Context;
use oxmq::sim::{self, Faults, Rng, Stats};
use std::collections::{BTreeMap, BTreeSet};
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

/// One run under way.
pub(crate) struct Runner {
    pub(crate) plan: Plan,
    pub(crate) rng: Rng,
    started_at: u64,
    /// `None` for a process that is not running.
    pub(crate) contexts: Vec<Option<Context>>,
    pub(crate) members: Vec<Member>,
    pub(crate) executor: Executor,
    pub(crate) shared: Rc<Shared>,
    next_mishap: usize,
    /// Processes that will be started again.
    restarts: BTreeSet<(u64, u32)>,
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
        let executor = Executor::default();
        let shared = Shared::new(Oracle::new(seed), executor.timers(), is_verbose);
        let mut runner = Runner {
            rng,
            started_at: sim::now(),
            contexts: vec![None; plan.nodes as usize],
            members: Vec::new(),
            executor,
            shared,
            next_mishap: 0,
            restarts: BTreeSet::new(),
            steps_left: STEPS_MAX,
            plan,
        };
        for (index, group) in runner.plan.groups.iter().enumerate() {
            runner.members.extend(member::of_group(group, index, runner.plan.heartbeats));
        }
        for node in 0..runner.plan.nodes {
            runner.start_node(node);
        }
        runner
    }

    // -----------------------------------------------------------------------------------------
    // Starting and killing

    fn start_node(&mut self, node: u32) {
        sim::set_node(node);
        let context = Context::new();
        context.set_io_threads(self.plan.io_threads[node as usize] as usize);
        self.contexts[node as usize] = Some(context);
        for index in 0..self.members.len() {
            if self.members[index].peer.node == node {
                self.start_member(index);
            }
        }
    }

    /// What SIGKILL does.
    fn kill_node(&mut self, node: u32) {
        let Some(context) = self.contexts[node as usize].take() else { return };
        sim::set_node(node);
        sim::kill_node(node);
        let sockets = self.bury_members(node);
        sim::bury(|| {
            for task in self.executor.of_node(node) {
                self.executor.cancel(task);
            }
            drop((sockets, context));
        });
    }

    // -----------------------------------------------------------------------------------------
    // Running

    fn run(&mut self) {
        sim::set_faults(self.plan.faults);
        let faults_end_at = self.started_at + self.plan.faults_end_ns;
        self.run_for(faults_end_at.saturating_sub(sim::now()));
        sim::set_faults(Faults::default());
        self.next_mishap = usize::MAX;
        for (_, node) in std::mem::take(&mut self.restarts) {
            self.start_node(node);
        }
        if !self.run_until(|runner| runner.is_idle(), LIVENESS_NS) {
            return self.blame_waiting("after the faults had ended");
        }
        // Connections that are just being made, given up, and made again.
        let settle_ns = SETTLE_NS
            + if self.plan.heartbeats { 2_000_000 * HEARTBEAT_TIMEOUT_MS as u64 } else { 0 };
        self.run_for(settle_ns);
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
        self.run_for(settle_ns);
        self.shared.oracle.borrow_mut().check_heard();
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
        let ended_at = |place: &Place| ended.get(place).copied().unwrap_or(0);
        self.shared.oracle.borrow_mut().finish(ended_at);
    }

    /// Ends everything, and looks whether anything is left over.
    fn end(mut self) -> (Vec<String>, u64, u64) {
        self.shared.enter(Stage::End);
        let receiving: Vec<TaskId> =
            self.members.iter().flat_map(|member| member.receiving.clone()).collect();
        if self.plan.cancels_receivers {
            for &id in &receiving {
                if let Some(node) = self.executor.node(id) {
                    sim::set_node(node);
                    self.executor.cancel(id);
                }
            }
        }
        for (node, context) in (0..).zip(self.contexts.iter().flatten()) {
            sim::set_node(node);
            context.shutdown();
        }
        let is_over =
            |runner: &Runner| receiving.iter().all(|&id| runner.executor.node(id).is_none());
        if !self.run_until(is_over, LIVENESS_NS) {
            self.blame_waiting("although the contexts end");
        }
        for node in 0..self.plan.nodes {
            sim::set_node(node);
            for task in self.executor.of_node(node) {
                self.executor.cancel(task);
            }
            self.members.retain(|member| member.peer.node != node);
        }
        if !self.run_until(Runner::are_contexts_over, LIVENESS_NS) {
            let contexts = self.contexts.iter().flatten();
            let left: Vec<usize> = contexts.map(Context::sessions).collect();
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
        while let Some(&(at, node)) = self.restarts.first()
            && at <= now
        {
            self.restarts.pop_first();
            self.start_node(node);
        }
        let mut steps: Vec<Step> = self.executor.woken().into_iter().map(Step::Poll).collect();
        for (node, context) in (0..).zip(&self.contexts) {
            let Some(context) = context else { continue };
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
                if let Some(context) = &self.contexts[node as usize] {
                    context.turn();
                }
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
        let deadlines = self.contexts.iter().flatten().filter_map(Context::next_deadline);
        let restart = self.restarts.first().map(|(at, _)| *at);
        let others = [sim::next_event(), self.executor.next_timer(), mishap, restart];
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
            Mishap::Silence => {
                let connections = sim::connections();
                if !connections.is_empty() {
                    sim::silence(self.rng.pick(&connections));
                }
            }
            Mishap::Stall(one, other, ns) => sim::stall(one, other, sim::now() + ns),
            Mishap::Jump(ns) => sim::advance_to(sim::now() + ns),
            Mishap::Kill(node, ns) => {
                if self.contexts[node as usize].is_some() {
                    self.kill_node(node);
                    self.restarts.insert((sim::now() + ns, node));
                }
            }
        }
    }

    // -----------------------------------------------------------------------------------------
    // Looking

    /// Every sender is at the gate or over.
    fn is_idle(&self) -> bool {
        self.executor.awaited().len() == self.shared.at_gate.get()
    }

    fn are_contexts_over(&self) -> bool {
        self.contexts.iter().flatten().all(|context| context.sessions() == 0)
    }

    /// How many connections have ended, by who connected and where to.
    fn ended(&self) -> BTreeMap<Place, u64> {
        let oracle = self.shared.oracle.borrow();
        let places = oracle.routes().iter().flat_map(|route| route.places.clone());
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

const SECOND: u64 = 1_000_000_000;
/// Far longer than anything takes that is still alive.
const LIVENESS_NS: u64 = 10_000 * SECOND;
/// Longer than a connection can hang, and be tried again.
const SETTLE_NS: u64 = 20 * SECOND;
/// Some hundred times what a seed needs.
const STEPS_MAX: u64 = 3_000_000;
