//! The sockets of a plan's groups, in their processes' present or next lives, and the ways between
//! them.

use crate::actor::{self, Actor, Addressee, Plug, Settings, Shared, configure};
use crate::executor::TaskId;
use crate::oracle::{Delivery, Place, Route};
use crate::plan::{Group, Habit, Pattern, Peer, Router, Transport};
use crate::run::Runner;
use oxmq::sim::Rng;
use oxmq::{Context, Socket, SocketType};
use std::rc::Rc;

/// Where a member stands in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Among those that send, or ask.
    Left,
    /// Among those that receive, or answer.
    Right,
    /// Between the two.
    Device,
}

/// A socket of a group, or the two of a device.
#[derive(Clone)]
pub struct Member {
    group: usize,
    side: Side,
    /// Its place on its side.
    number: usize,
    name: String,
    /// The socket, and a device's second one, which is that towards the right.
    kinds: Vec<SocketType>,
    /// What each is bound and connected to.
    plugs: Vec<Vec<Plug>>,
    /// What the plan says of it.
    pub peer: Peer,
    settings: Settings,
    /// How often its process has been started.
    life: u32,
    sockets: Vec<Rc<Socket>>,
    outlets: Vec<Outlet>,
    /// Those of its former lives, of which a device may still hold messages.
    former_outlets: Vec<Outlet>,
    receiver: Option<u16>,
    /// The tasks that end with the context.
    pub receiving: Vec<TaskId>,
}

/// As whom a member sends.
#[derive(Clone, Copy)]
struct Outlet {
    sender: u16,
    /// The member that it is for; `None`: any on the other side.
    to: Option<usize>,
}

impl Member {
    fn is_opposite(&self, other: &Member) -> bool {
        self.group == other.group
            && self.side != other.side
            && ![self.side, other.side].contains(&Side::Device)
    }

    fn sends(&self, group: &Group) -> bool {
        match self.side {
            Side::Left => true,
            Side::Right => group.pattern.goes_both_ways(),
            Side::Device => false,
        }
    }

    /// What becomes of a message that it sends.
    fn delivery(&self) -> Delivery {
        match self.kinds[0] {
            SocketType::Pub | SocketType::XPub => Delivery::Every,
            // It drops what there is no room for.
            SocketType::Router if !self.settings.router.mandatory => Delivery::Every,
            _ => Delivery::One,
        }
    }

    fn actor(&self, socket: &Rc<Socket>, shared: &Rc<Shared>, rng: Rng) -> Actor {
        Actor {
            shared: shared.clone(),
            socket: socket.clone(),
            peer: self.peer.clone(),
            settings: self.settings,
            rng,
            name: self.name.clone(),
            helps: false,
            is_successor: self.life > 1,
        }
    }

    fn receives(&self, group: &Group) -> bool {
        match self.side {
            Side::Left => group.pattern.goes_both_ways(),
            Side::Right => true,
            Side::Device => false,
        }
    }
}

/// The members of the plan's group with this index.
pub fn of_group(group: &Group, index: usize, heartbeats: bool) -> Vec<Member> {
    let at = |number| endpoint(group, index, number);
    let connects = |count: usize| (0..count).map(|it| Plug::Connect(at(it))).collect::<Vec<_>>();
    let mut members = Vec::new();
    let mut add = |side, number, kinds: Vec<SocketType>, plugs, peer: &Peer| {
        let router = match side {
            // A message that cannot be delivered must not stop the others.
            Side::Device => Router { mandatory: false, probed: false, ..group.router },
            Side::Left | Side::Right => group.router,
        };
        members.push(Member {
            group: index,
            side,
            number,
            name: format!("{}-{index}-{number}@{}", kinds[0].name(), peer.node),
            kinds,
            plugs,
            peer: peer.clone(),
            settings: Settings {
                is_left: side == Side::Left,
                router,
                is_routed: group.device.is_some() || group.kinds.1 == SocketType::Router,
                has_device: group.device.is_some(),
                correlates: group.correlates,
                heartbeats,
            },
            life: 0,
            sockets: Vec::new(),
            outlets: Vec::new(),
            former_outlets: Vec::new(),
            receiver: None,
            receiving: Vec::new(),
        });
    };
    for (number, peer) in group.left.iter().enumerate() {
        let plugs = if group.left_binds {
            vec![Plug::Bind(at(number))]
        } else if group.device.is_some() {
            vec![Plug::Connect(at(FRONT))]
        } else {
            connects(group.right.len())
        };
        add(Side::Left, number, vec![group.kinds.0], vec![plugs], peer);
    }
    for (number, peer) in group.right.iter().enumerate() {
        let plugs = if group.device.is_some() {
            vec![Plug::Connect(at(BACK))]
        } else if group.left_binds {
            connects(group.left.len())
        } else {
            vec![Plug::Bind(at(number))]
        };
        add(Side::Right, number, vec![group.kinds.1], vec![plugs], peer);
    }
    if let (Some(peer), Some((front, back))) = (&group.device, group.pattern.device()) {
        let front_plugs =
            if group.left_binds { connects(group.left.len()) } else { vec![Plug::Bind(at(FRONT))] };
        let plugs = vec![front_plugs, vec![Plug::Bind(at(BACK))]];
        add(Side::Device, 0, vec![front, back], plugs, peer);
    }
    members
}

/// Where the member of this number is bound.
fn endpoint(group: &Group, index: usize, number: usize) -> String {
    match group.transport {
        Transport::Inproc => format!("inproc://{index}-{number}"),
        Transport::Ipc => format!("ipc:///sim/{index}-{number}"),
        Transport::Tcp => format!("tcp://127.0.0.1:{}", group.first_port + number as u16),
    }
}

/// The numbers that stand for the two ends of a device.
const FRONT: usize = 8;
const BACK: usize = 9;

impl Runner {
    /// Makes the sockets, tells the oracle, and starts the tasks.
    pub(crate) fn start_member(&mut self, index: usize) {
        let member = &mut self.members[index];
        let context = self.contexts[member.peer.node as usize].clone().expect("is running");
        member.life += 1;
        if member.life > 1 {
            member.name = format!("{}+", member.name);
            member.peer.starts_ns = 0;
        }
        for &kind in &member.kinds {
            let socket = Rc::new(context.socket(kind).expect("needs no descriptor"));
            configure(&socket, &member.peer, member.settings);
            member.sockets.push(socket);
        }
        self.add_outlets(index);
        self.add_inlet(index);
        self.add_routes(index);
        self.spawn_tasks(index, context);
    }

    fn add_outlets(&mut self, index: usize) {
        let member = &self.members[index];
        let group = &self.plan.groups[member.group];
        if !member.sends(group) {
            return;
        }
        let mut oracle = self.shared.oracle.borrow_mut();
        let delivery = member.delivery();
        let mut outlet = |to: Option<usize>| {
            let name = to.map_or(member.name.clone(), |to| {
                format!("{} to {}", member.name, self.members[to].name)
            });
            let sender = oracle.add_sender(name, delivery, group.sizes);
            oracle.set_identity(sender, &member.peer.identity);
            if member.kinds[0] == SocketType::XPub {
                oracle.expect_subscriptions(sender);
            }
            Outlet { sender, to }
        };
        let outlets = if member.kinds[0] == SocketType::Router {
            let others = (0..self.members.len()).filter(|&it| self.members[it].is_opposite(member));
            others.map(|other| outlet(Some(other))).collect()
        } else {
            vec![outlet(None)]
        };
        drop(oracle);
        self.members[index].outlets = outlets;
    }

    fn add_inlet(&mut self, index: usize) {
        let member = &mut self.members[index];
        let group = &self.plan.groups[member.group];
        if !member.receives(group) {
            return;
        }
        let mut oracle = self.shared.oracle.borrow_mut();
        let receiver = oracle.add_receiver(member.name.clone());
        if group.pattern == Pattern::PubSub {
            for prefix in &member.peer.subscriptions {
                oracle.subscribed(receiver, prefix);
                actor::subscribe(&member.sockets[0], true, prefix).expect("it subscribes");
            }
        }
        member.receiver = Some(receiver);
    }

    fn add_routes(&mut self, index: usize) {
        let mut oracle = self.shared.oracle.borrow_mut();
        let member = &self.members[index];
        for (other_index, other) in self.members.iter().enumerate() {
            if !other.is_opposite(member) {
                continue;
            }
            for (from, to_index, to) in [(member, other_index, other), (other, index, member)] {
                let Some(receiver) = to.receiver else { continue };
                for outlet in from.outlets.iter().chain(&from.former_outlets) {
                    if outlet.to.is_none_or(|wanted| wanted == to_index) {
                        oracle.add_route(self.route(from, to, outlet.sender, receiver));
                    }
                }
            }
        }
    }

    fn route(&self, from: &Member, to: &Member, sender: u16, receiver: u16) -> Route {
        let group = &self.plan.groups[from.group];
        let at = |number| endpoint(group, from.group, number);
        let is_bound = (from.side == Side::Left) == group.left_binds;
        let (binder, connecter) = if is_bound { (from, to) } else { (to, from) };
        let (from_node, to_node) = (from.peer.node, to.peer.node);
        let mut places: Vec<Place> = Vec::new();
        let mut hops = vec![(from_node, to_node)];
        // A bound pipe dies with its connection; and one message may have been read in part.
        let mut held_messages_max = 1 + if is_bound { from.peer.sndhwm as u64 } else { 0 };
        if let Some(device) = &group.device {
            hops = vec![(from_node, device.node), (device.node, to_node)];
            held_messages_max = held_messages_max.max(1 + device.sndhwm as u64);
            places.push(if is_bound {
                (device.node, at(from.number))
            } else {
                (from_node, at(FRONT))
            });
            places.push((to_node, at(BACK)));
        } else {
            places.push((connecter.peer.node, at(binder.number)));
        }
        if group.transport == Transport::Inproc {
            places.clear();
        }
        let buffer_bytes = |hop: &(u32, u32)| {
            let link = self.plan.links.iter().find(|(one, other, _)| (*one, *other) == *hop);
            link.map_or(0, |(_, _, link)| link.buffer_bytes as u64)
        };
        let is_certain = group.transport == Transport::Inproc && group.device.is_none();
        // A ROUTER that is asked whether it has input has taken it.
        let looked_at = u64::from(to.kinds[0] == SocketType::Router);
        Route {
            sender,
            receiver,
            // Who binds has two, while it has not yet learnt that the first is gone.
            is_single: places.len() == 1 && !is_bound && !self.plan.heartbeats,
            places,
            held_messages_max,
            // In the simulated network, and once more in the receiver that is at its mark.
            held_bytes_max: 2 * hops.iter().map(buffer_bytes).max().unwrap_or(0),
            died_with_messages_max: 0,
            // What the receiving task holds has arrived.
            outstanding_max: is_certain
                .then_some((from.peer.sndhwm + to.peer.rcvhwm) as u64 + looked_at),
        }
    }

    fn spawn_tasks(&mut self, index: usize, context: Context) {
        let member = self.members[index].clone();
        let Member { name, peer, side, .. } = &member;
        let pattern = self.plan.groups[member.group].pattern;
        let node = peer.node;
        let shared = self.shared.clone();
        let rng = &mut self.rng;
        let mut actor = |socket: &Rc<Socket>| member.actor(socket, &shared, rng.fork());
        let executor = &mut self.executor;
        for (socket, plugs) in member.sockets.iter().zip(&member.plugs) {
            let task = actor(socket).plug_in(plugs.clone());
            executor.spawn(node, format!("{name} plugging in"), true, task);
        }
        let mut receiving = Vec::new();
        if *side == Side::Device {
            let [front, back] = [member.sockets[0].clone(), member.sockets[1].clone()];
            let task = actor::pass(shared.clone(), name.clone(), front, back);
            receiving.push(executor.spawn(node, format!("{name} passing"), false, task));
            self.members[index].receiving = receiving;
            return;
        }
        let socket = &member.sockets[0];
        if let Some(&Outlet { sender, .. }) = member.outlets.first() {
            let task_name = format!("{name} sending");
            let (actor, hearer) = (actor(socket), actor(socket));
            match socket.kind() {
                SocketType::Req | SocketType::Dealer if pattern == Pattern::ReqRep => {
                    let task = actor.ask_all(sender, context, member.plugs[0].clone());
                    executor.spawn(node, task_name, true, task);
                }
                SocketType::Router => {
                    let to = member.outlets.iter().filter_map(|outlet| {
                        let identity = self.members[outlet.to?].peer.identity.clone();
                        Some(Addressee { sender: outlet.sender, identity })
                    });
                    executor.spawn(node, task_name, true, actor.send_to_all(to.collect()));
                }
                kind => {
                    let parts_with_a_word = matches!(kind, SocketType::Push | SocketType::Pub);
                    let task = actor.send_all(sender, parts_with_a_word);
                    executor.spawn(node, task_name, true, task);
                }
            }
            if socket.kind() == SocketType::XPub {
                let task = hearer.hear_all(sender);
                receiving.push(executor.spawn(node, format!("{name} hearing"), false, task));
            }
        }
        if let Some(receiver) = member.receiver {
            let task_name = format!("{name} receiving");
            if pattern == Pattern::ReqRep {
                let task = actor(socket).answer_all(receiver);
                receiving.push(executor.spawn(node, task_name.clone(), false, task));
            } else {
                for number in 0..peer.receivers {
                    let mut actor = actor(socket);
                    if number > 0 {
                        (actor.peer.habit, actor.helps) = (Habit::Cancels, true);
                    }
                    let task = actor.receive_all(receiver);
                    receiving.push(executor.spawn(node, task_name.clone(), false, task));
                }
            }
            if pattern == Pattern::PubSub {
                let task = actor(socket).change_subscriptions(receiver);
                executor.spawn(node, format!("{name}'s subscriptions"), true, task);
            }
        }
        self.members[index].receiving = receiving;
    }

    /// What the oracle has to know of the members on a node that is being killed. Gives what is left
    /// of them.
    pub(crate) fn bury_members(&mut self, node: u32) -> Vec<Rc<Socket>> {
        let mut oracle = self.shared.oracle.borrow_mut();
        let mut sockets = Vec::new();
        let mut devices = Vec::new();
        for member in self.members.iter_mut().filter(|member| member.peer.node == node) {
            sockets.append(&mut member.sockets);
            for outlet in member.outlets.drain(..) {
                oracle.sender_died(outlet.sender);
                if member.settings.has_device {
                    member.former_outlets.push(outlet);
                }
            }
            if let Some(receiver) = member.receiver.take() {
                oracle.receiver_died(receiver, member.peer.rcvhwm as u64);
            }
            if member.side == Side::Device {
                // In its two sockets, and in its hand.
                let held = (member.peer.rcvhwm + member.peer.sndhwm + 1) as u64;
                devices.push((member.group, held));
            }
        }
        for (group, held) in devices {
            let members = self.members.iter().filter(|member| member.group == group);
            for receiver in members.filter_map(|member| member.receiver) {
                oracle.device_died(receiver, held);
            }
        }
        sockets
    }
}
