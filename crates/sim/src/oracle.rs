//! What must be true of what was received, given what was sent.
//!
//! - *No invention, atomicity*: every message received is, part by part and byte by byte, one that
//!   its sender sent, and came along a route that exists.
//! - *No duplicates*: one receiver gets a message once; of a sender that distributes, one receiver.
//! - *Order*: over one connection numbers rise. A receiver may read from several connections of
//!   one sender in turn, the old one's rest and the new one, so that what it got must fall apart
//!   into no more rising sequences than there were connections.
//! - *No loss beyond the rules*: what is missing is explained by connections that ended, and is no
//!   more than they could hold; with a single route it forms one run for each. What was sent after
//!   the faults ended arrives, all of it.

use crate::content::{self, Label, Sizes};
use std::collections::{BTreeMap, BTreeSet};

/// What a pattern does with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// One of the receivers gets it.
    One,
    /// Every receiver that subscribed to it gets it, unless it is slow.
    Every,
}

/// A sending socket.
#[derive(Debug)]
pub struct Sender {
    /// For messages to people.
    pub name: String,
    /// What its pattern does.
    pub delivery: Delivery,
    /// How large its messages are.
    pub sizes: Sizes,
    /// So many have been accepted by `send`.
    sent: u32,
    /// What was sent from here on must arrive.
    reliable_from: Option<u32>,
    /// Its process was killed: anything may be lost.
    is_dead: bool,
    /// What receivers call it, if they get to know.
    identity: Vec<u8>,
    /// The subscriptions that it was told of and that stand.
    heard: Option<BTreeSet<Vec<u8>>>,
}

/// A receiving socket.
#[derive(Debug)]
pub struct Receiver {
    /// For messages to people.
    pub name: String,
    /// Every prefix it ever subscribed to. `None`: it takes everything.
    subscribed: Option<Vec<Vec<u8>>>,
    /// Those that it subscribes to now.
    subscribes: Vec<Vec<u8>>,
    /// What it got from each sender, in the order in which it got it.
    got: BTreeMap<u16, Vec<u32>>,
}

/// Where the world counts connections that ended: who connected, and where to.
pub type Place = (u32, String);

/// A way from a sender to a receiver.
#[derive(Debug)]
pub struct Route {
    /// The sender.
    pub sender: u16,
    /// The receiver.
    pub receiver: u16,
    /// The connections from one to the other, none for inproc, two with a device between.
    pub places: Vec<Place>,
    /// Whether messages go over one connection at a time.
    pub is_single: bool,
    /// How many messages one ended connection takes with it, whatever their size.
    pub held_messages_max: u64,
    /// How many bytes of further messages it takes with it.
    pub held_bytes_max: u64,
    /// How many messages died with the receiver.
    pub died_with_messages_max: u64,
    /// How many messages can be sent and not received, where that is certain: within a process.
    pub outstanding_max: Option<u64>,
}

/// Everything that was sent and received.
#[derive(Debug, Default)]
pub struct Oracle {
    seed: u64,
    senders: Vec<Sender>,
    receivers: Vec<Receiver>,
    routes: Vec<Route>,
    errors: Vec<String>,
    missing: u64,
}

impl Oracle {
    /// Messages are those of this seed.
    pub fn new(seed: u64) -> Oracle {
        Oracle { seed, ..Oracle::default() }
    }

    /// Adds a sender.
    pub fn add_sender(&mut self, name: String, delivery: Delivery, sizes: Sizes) -> u16 {
        self.senders.push(Sender {
            name,
            delivery,
            sizes,
            sent: 0,
            reliable_from: None,
            is_dead: false,
            identity: Vec::new(),
            heard: None,
        });
        self.senders.len() as u16 - 1
    }

    /// The sender bears a name.
    pub fn set_identity(&mut self, sender: u16, identity: &[u8]) {
        self.senders[usize::from(sender)].identity = identity.to_vec();
    }

    /// The sender is told of subscriptions: the first to a prefix, and the end of the last.
    pub fn expect_subscriptions(&mut self, sender: u16) {
        self.senders[usize::from(sender)].heard = Some(BTreeSet::new());
    }

    /// The sender was told of a subscription, or of an end.
    pub fn heard(&mut self, sender: u16, message: &[u8]) {
        let Sender { name, heard, .. } = &mut self.senders[usize::from(sender)];
        let is_news = match (message.split_first(), heard) {
            (Some((1, prefix)), Some(heard)) => heard.insert(prefix.to_vec()),
            (Some((0, prefix)), Some(heard)) => heard.remove(prefix),
            _ => false,
        };
        if !is_news {
            let error = format!("{name} was told {message:?}, which is no news");
            self.blame(error);
        }
    }

    /// Everybody has had time to hear of everything.
    pub fn check_heard(&mut self) {
        let mut errors = Vec::new();
        for (id, sender) in (0..).zip(&self.senders) {
            let Some(heard) = sender.heard.as_ref().filter(|_| !sender.is_dead) else { continue };
            let receivers = self.routes_from(id).map(|route| usize::from(route.receiver));
            let held: BTreeSet<Vec<u8>> =
                receivers.flat_map(|it| self.receivers[it].subscribes.iter().cloned()).collect();
            if *heard != held {
                errors.push(format!("{} was told of {heard:?}, not {held:?}", sender.name));
            }
        }
        errors.into_iter().for_each(|error| self.blame(error));
    }

    /// Adds a receiver that takes everything.
    pub fn add_receiver(&mut self, name: String) -> u16 {
        self.receivers.push(Receiver {
            name,
            subscribed: None,
            subscribes: Vec::new(),
            got: BTreeMap::new(),
        });
        self.receivers.len() as u16 - 1
    }

    /// Adds a way from a sender to a receiver.
    pub fn add_route(&mut self, route: Route) {
        self.routes.push(route);
    }

    /// Its process was killed, and what it had not sent yet is gone.
    pub fn sender_died(&mut self, sender: u16) {
        let sender = &mut self.senders[usize::from(sender)];
        (sender.is_dead, sender.reliable_from) = (true, None);
    }

    /// What passed messages on to it was killed, and so many messages with it.
    pub fn device_died(&mut self, receiver: u16, held_messages_max: u64) {
        for route in self.routes.iter_mut().filter(|route| route.receiver == receiver) {
            route.died_with_messages_max += held_messages_max;
        }
    }

    /// Its process was killed, and so many messages with it.
    pub fn receiver_died(&mut self, receiver: u16, held_messages_max: u64) {
        self.device_died(receiver, held_messages_max);
        // Nothing must arrive there any more.
        let receiver = &mut self.receivers[usize::from(receiver)];
        receiver.subscribed.get_or_insert_with(|| vec![Vec::new()]);
        receiver.subscribes.clear();
    }

    /// The receiver takes messages that begin with `prefix`.
    pub fn subscribed(&mut self, receiver: u16, prefix: &[u8]) {
        let receiver = &mut self.receivers[usize::from(receiver)];
        receiver.subscribed.get_or_insert_default().push(prefix.to_vec());
        receiver.subscribes.push(prefix.to_vec());
    }

    /// It no longer does; what was under way may still come.
    pub fn unsubscribed(&mut self, receiver: u16, prefix: &[u8]) {
        let subscribes = &mut self.receivers[usize::from(receiver)].subscribes;
        if let Some(at) = subscribes.iter().position(|held| held == prefix) {
            subscribes.swap_remove(at);
        }
    }

    /// The message that the sender sends next.
    pub fn next_message(&self, sender: u16) -> Vec<Vec<u8>> {
        let Sender { sizes, sent, .. } = self.senders[usize::from(sender)];
        content::parts(self.seed, sizes, sender, sent)
    }

    /// It was accepted.
    pub fn sent(&mut self, id: u16) {
        let sender = &mut self.senders[usize::from(id)];
        sender.sent += 1;
        let (sent, is_every) = (u64::from(sender.sent), sender.delivery == Delivery::Every);
        let mut bounds = self.routes_from(id).map(|route| route.outstanding_max).peekable();
        if is_every || bounds.peek().is_none() {
            return;
        }
        let Some(bound) = bounds.sum::<Option<u64>>() else { return };
        let got = self.receivers.iter().filter_map(|to| to.got.get(&id));
        let got: u64 = got.map(|numbers| numbers.len() as u64).sum();
        if sent - got > bound {
            let name = &self.senders[usize::from(id)].name;
            let error = format!("{name} sent {sent}, {got} arrived: more than {bound} between");
            self.blame(error);
        }
    }

    /// How many were accepted from this sender.
    pub fn sent_count(&self, sender: u16) -> u32 {
        self.senders[usize::from(sender)].sent
    }

    /// What this sender sends from now on must arrive.
    pub fn expect_all(&mut self, sender: u16) {
        let sender = &mut self.senders[usize::from(sender)];
        sender.reliable_from.get_or_insert(sender.sent);
    }

    /// Something else is wrong.
    pub fn blame(&mut self, error: String) {
        // One cause has many consequences; the first ones tell most.
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    /// The ways from a sender.
    pub fn routes_from(&self, sender: u16) -> impl Iterator<Item = &Route> {
        self.routes.iter().filter(move |route| route.sender == sender)
    }

    /// Messages that are missing, explained or not. Known after [`Oracle::finish`].
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// Messages received.
    pub fn received(&self) -> u64 {
        let got = self.receivers.iter().flat_map(|receiver| receiver.got.values());
        got.map(|numbers| numbers.len() as u64).sum()
    }

    /// A receiver got a message from somebody of this name.
    pub fn got_from(&mut self, receiver: u16, identity: &[u8], parts: &[impl AsRef<[u8]>]) {
        let label = parts.first().and_then(|part| Label::read(part.as_ref()));
        let sender = label.and_then(|label| self.senders.get(usize::from(label.sender)));
        if let Some(Sender { name, identity: right, .. }) = sender {
            let is_made_up = identity.len() == 5 && identity[0] == 0;
            if if right.is_empty() { !is_made_up } else { identity != right } {
                let error = format!("{name}'s message came from {identity:?}, not {right:?}");
                self.blame(error);
            }
        }
        self.got(receiver, parts);
    }

    /// A receiver got a message.
    pub fn got(&mut self, receiver: u16, parts: &[impl AsRef<[u8]>]) {
        if let Err(error) = self.check(receiver, parts) {
            let name = &self.receivers[usize::from(receiver)].name;
            self.blame(format!("{name} got {error}"));
        }
    }

    fn check(&mut self, receiver: u16, parts: &[impl AsRef<[u8]>]) -> Result<(), String> {
        let label = parts.first().and_then(|part| Label::read(part.as_ref()));
        let label = label.ok_or("a message without a label")?;
        let Label { sender, number, .. } = label;
        let from = self
            .senders
            .get(usize::from(sender))
            .filter(|from| number < from.sent)
            .ok_or_else(|| format!("{label:?}, which nobody sent"))?;
        let name = &from.name;
        let right = content::parts(self.seed, from.sizes, sender, number);
        if !right.iter().map(|part| &part[..]).eq(parts.iter().map(AsRef::as_ref)) {
            return Err(format!("{name}'s {number} torn or spoilt: {}", lengths(&right, parts)));
        }
        let mut routes = self.routes.iter().filter(|route| route.sender == sender);
        if !routes.any(|route| route.receiver == receiver) {
            return Err(format!("{name}'s {number}, to which no route leads"));
        }
        let distributes = from.delivery == Delivery::One;
        for (other_id, other) in self.receivers.iter().enumerate() {
            let is_possible = distributes || other_id == usize::from(receiver);
            if is_possible && other.got.get(&sender).is_some_and(|got| got.contains(&number)) {
                return Err(format!("{name}'s {number}, which {} had got before", other.name));
            }
        }
        let receiver = &mut self.receivers[usize::from(receiver)];
        if !receiver.may_take(&right[0]) {
            return Err(format!("{name}'s {number}, to which it had not subscribed"));
        }
        receiver.got.entry(sender).or_default().push(number);
        Ok(())
    }

    /// All the ways.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Everything has arrived that will. `ended` says how many connections ended under way.
    pub fn finish(&mut self, ended: impl Fn(&Place) -> u64) {
        for id in 0..self.senders.len() as u16 {
            self.finish_sender(id, &ended);
        }
    }

    /// Whether all that this sender's receivers must get has arrived.
    pub fn is_complete(&self, sender: u16) -> bool {
        self.overdue(sender).next().is_none()
    }

    /// The same for all senders.
    pub fn is_all_complete(&self) -> bool {
        (0..self.senders.len() as u16).all(|id| self.is_complete(id))
    }

    /// What must arrive and has not, with the receiver if it must be that one.
    fn overdue(&self, id: u16) -> impl Iterator<Item = (u32, Option<&Receiver>)> {
        let sender = &self.senders[usize::from(id)];
        let from = sender.reliable_from.unwrap_or(sender.sent);
        let has_got = move |receiver: &Receiver, number| {
            receiver.got.get(&id).is_some_and(|got| got.contains(&number))
        };
        let of_one = (sender.delivery == Delivery::One).then(move || {
            let is_lost = move |number: &u32| !self.receivers.iter().any(|to| has_got(to, *number));
            (from..sender.sent).filter(is_lost).map(|number| (number, None))
        });
        let of_every = (sender.delivery == Delivery::Every).then(move || {
            (from..sender.sent).flat_map(move |number| {
                let right = content::parts(self.seed, sender.sizes, id, number);
                let routes = self.routes.iter().filter(move |route| route.sender == id);
                let receivers = routes.map(|route| &self.receivers[usize::from(route.receiver)]);
                receivers
                    .filter(move |to| to.takes(&right[0]) && !has_got(to, number))
                    .map(move |to| (number, Some(to)))
            })
        });
        of_one.into_iter().flatten().chain(of_every.into_iter().flatten())
    }

    /// What is wrong.
    pub fn take_errors(&mut self) -> Vec<String> {
        std::mem::take(&mut self.errors)
    }

    fn finish_sender(&mut self, id: u16, ended: &impl Fn(&Place) -> u64) {
        let mut errors = Vec::new();
        let all_ended_of = |route: &Route| route.places.iter().map(ended).sum::<u64>();
        let mut missing = 0;
        let sender = &self.senders[usize::from(id)];
        let routes: Vec<&Route> = self.routes.iter().filter(|route| route.sender == id).collect();
        for (index, route) in routes.iter().enumerate() {
            // Two routes to one receiver are looked at together, with the first.
            if routes[..index].iter().any(|before| before.receiver == route.receiver) {
                continue;
            }
            let to = &self.receivers[usize::from(route.receiver)];
            let parallel = routes.iter().filter(|other| other.receiver == route.receiver);
            // Each sequence that a device receives may leave it in several.
            let sequences_of = |route: &&&Route| -> u64 {
                route.places.iter().map(|place| 1 + ended(place)).product()
            };
            let connections: u64 = parallel.map(|route| sequences_of(&route)).sum();
            let empty = Vec::new();
            let got = to.got.get(&id).unwrap_or(&empty);
            let sequences = rising_sequences(got);
            if sequences > connections {
                errors.push(format!(
                    "{} got {}'s messages out of order: {sequences} rising sequences over \
                     {connections} connections: {got:?}",
                    to.name, sender.name
                ));
            }
        }
        if sender.delivery == Delivery::One && !sender.is_dead {
            let mut arrived = vec![false; sender.sent as usize];
            for receiver in &self.receivers {
                for &number in receiver.got.get(&id).into_iter().flatten() {
                    arrived[number as usize] = true;
                }
            }
            let lost: Vec<u32> =
                (0..sender.sent).filter(|&number| !arrived[number as usize]).collect();
            let runs = 1 + lost.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count() as u64;
            let all_ended: u64 = routes.iter().map(|route| all_ended_of(route)).sum();
            let died: u64 = routes.iter().map(|route| route.died_with_messages_max).sum();
            let held: u64 =
                routes.iter().map(|route| all_ended_of(route) * route.held_messages_max).sum();
            let held_messages = died + held;
            let held_bytes: u64 =
                routes.iter().map(|route| all_ended_of(route) * route.held_bytes_max).sum();
            let mut lost_bytes: Vec<u64> = lost
                .iter()
                .map(|&number| {
                    let parts = content::parts(self.seed, sender.sizes, id, number);
                    parts.iter().map(|part| part.len() as u64).sum()
                })
                .collect();
            // The largest count as held whatever their size: that explains most.
            lost_bytes.sort_unstable();
            lost_bytes.truncate(lost.len().saturating_sub(held_messages as usize));
            let is_too_much = lost_bytes.iter().sum::<u64>() > held_bytes;
            let name = &sender.name;
            missing = lost.len() as u64;
            if !lost.is_empty() && all_ended == 0 && died == 0 {
                errors.push(format!("{name}'s {lost:?} are lost, and no connection ended"));
            } else if is_too_much {
                errors.push(format!(
                    "{name}'s {lost:?} are lost, more than the {held_messages} and {held_bytes} \
                     bytes possible"
                ));
            } else if let [route] = routes[..]
                && route.is_single
                && !lost.is_empty()
                && runs > all_ended
            {
                errors.push(format!(
                    "{name}'s {lost:?} are lost, in {runs} runs, but only {all_ended} connections \
                     ended"
                ));
            }
        }
        for (number, receiver) in self.overdue(id) {
            let whose = receiver.map_or("anybody", |receiver| &receiver.name);
            let name = &sender.name;
            errors.push(format!("{name}'s {number}, sent after the faults, never got to {whose}"));
        }
        self.missing += missing;
        errors.into_iter().for_each(|error| self.blame(error));
    }
}

impl Receiver {
    /// Whether it must get a message that is sent now.
    fn takes(&self, first_part: &[u8]) -> bool {
        self.subscribed.is_none() || self.subscribes.iter().any(|it| first_part.starts_with(it))
    }

    /// Whether it may get the message.
    fn may_take(&self, first_part: &[u8]) -> bool {
        self.subscribed.as_ref().is_none_or(|all| all.iter().any(|it| first_part.starts_with(it)))
    }
}

/// The least number of rising sequences that the list falls apart into.
fn rising_sequences(numbers: &[u32]) -> u64 {
    // The last number of each sequence, falling. The next number goes behind the largest that is
    // smaller than itself; that never costs a sequence more than another choice would.
    let mut lasts: Vec<u32> = Vec::new();
    for &number in numbers {
        let place = lasts.partition_point(|&last| last >= number);
        match lasts.get_mut(place) {
            Some(last) => *last = number,
            None => lasts.push(number),
        }
    }
    lasts.len() as u64
}

/// What was right and what came, by the lengths of the parts.
fn lengths(right: &[Vec<u8>], parts: &[impl AsRef<[u8]>]) -> String {
    let right: Vec<usize> = right.iter().map(Vec::len).collect();
    let parts: Vec<usize> = parts.iter().map(|part| part.as_ref().len()).collect();
    format!("parts of {right:?} bytes became {parts:?}")
}

const ERRORS_MAX: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    const SIZES: Sizes = Sizes { part_bytes_max: 5000, parts_max: 3 };

    /// A sender with one route to each of the receivers, and its first `count` messages.
    fn oracle(delivery: Delivery, receivers: u16, count: u32) -> (Oracle, Vec<Vec<Vec<u8>>>) {
        let mut oracle = Oracle::new(9);
        let sender = oracle.add_sender("push".into(), delivery, SIZES);
        for _ in 0..receivers {
            let receiver = oracle.add_receiver("pull".into());
            let places = vec![(0, "tcp://a".into())];
            oracle.add_route(Route {
                sender,
                receiver,
                places,
                is_single: true,
                held_messages_max: 3,
                held_bytes_max: 0,
                died_with_messages_max: 0,
                outstanding_max: None,
            });
        }
        let messages = (0..count)
            .map(|_| {
                let message = oracle.next_message(sender);
                oracle.sent(sender);
                message
            })
            .collect();
        (oracle, messages)
    }

    /// What is said when receiver 0 gets these of ten, and so many connections end.
    fn verdict(numbers: &[usize], ended: u64) -> String {
        let (mut oracle, messages) = oracle(Delivery::One, 1, 10);
        numbers.iter().for_each(|&number| oracle.got(0, &messages[number]));
        oracle.finish(|_| ended);
        oracle.take_errors().join("; ")
    }

    #[test]
    fn all_in_order_is_right() {
        assert_eq!(verdict(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 0), "");
    }

    #[test]
    fn loss_needs_a_reason_and_has_bounds() {
        assert!(verdict(&[0, 1, 2, 3, 4, 5, 6, 7, 8], 0).contains("no connection ended"));
        assert_eq!(verdict(&[0, 1, 2, 3, 4, 5, 6, 9], 1), "");
        assert!(verdict(&[0, 1, 2, 3, 4, 5], 1).contains("more than the 3 "));
        assert!(verdict(&[0, 2, 4, 5, 6, 7, 8, 9], 1).contains("in 2 runs"));
        assert_eq!(verdict(&[0, 2, 4, 5, 6, 7, 8, 9], 2), "");
    }

    #[test]
    fn order_is_kept_within_a_connection() {
        assert!(verdict(&[0, 2, 1, 3, 4, 5, 6, 7, 8, 9], 0).contains("out of order"));
        assert_eq!(verdict(&[0, 2, 1, 3, 4, 5, 6, 7, 8, 9], 1), "");
        assert!(verdict(&[2, 1, 0, 3, 4, 5, 6, 7, 8, 9], 1).contains("3 rising sequences"));
    }

    #[test]
    fn nothing_comes_twice() {
        assert!(verdict(&[0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9], 5).contains("had got before"));
        let (mut oracle, messages) = oracle(Delivery::One, 2, 1);
        oracle.got(0, &messages[0]);
        oracle.got(1, &messages[0]);
        assert_eq!(oracle.take_errors().len(), 1);
    }

    #[test]
    fn fan_out_goes_to_every_subscriber() {
        let (mut oracle, messages) = oracle(Delivery::Every, 2, 1);
        oracle.got(0, &messages[0]);
        oracle.got(1, &messages[0]);
        oracle.subscribed(0, &messages[0][0][..2]);
        oracle.subscribed(1, b"-");
        oracle.expect_all(0);
        let next = oracle.next_message(0);
        oracle.sent(0);
        oracle.got(1, &next);
        assert!(oracle.errors[0].contains("had not subscribed"));
        oracle.subscribed(0, b"");
        oracle.finish(|_| 0);
        let errors = oracle.take_errors();
        assert!(errors[1].contains("push's 1, sent after the faults"), "{errors:?}");
    }

    #[test]
    fn inventions_and_tears_are_seen() {
        let (mut oracle, messages) = oracle(Delivery::One, 1, 50);
        let unsent = oracle.next_message(0);
        let whole = messages.iter().find(|parts| parts.len() > 1).unwrap();
        oracle.got(0, &unsent);
        oracle.got(0, &whole[1..]);
        oracle.got(0, &whole[..1]);
        let mut spoilt = whole.clone();
        spoilt[0].push(0);
        oracle.got(0, &spoilt);
        oracle.got(0, &[messages[0].clone(), messages[1].clone()].concat());
        assert_eq!(oracle.errors.len(), 5);
    }

    #[test]
    fn marks_are_kept() {
        let (mut oracle, messages) = oracle(Delivery::One, 2, 0);
        oracle.routes[0].outstanding_max = Some(1);
        oracle.routes[1].outstanding_max = Some(1);
        let first = oracle.next_message(0);
        oracle.sent(0);
        oracle.sent(0);
        oracle.got(1, &first);
        oracle.sent(0);
        assert!(oracle.errors.is_empty() && messages.is_empty());
        oracle.sent(0);
        assert!(oracle.errors[0].contains("more than 2 between"));
    }

    #[test]
    fn what_is_sent_after_the_faults_arrives() {
        let (mut oracle, _) = oracle(Delivery::One, 1, 1);
        oracle.expect_all(0);
        oracle.sent(0);
        oracle.finish(|_| 9);
        let errors = oracle.take_errors();
        assert!(errors[0].contains("push's 1, sent after the faults"), "{errors:?}");
    }

    #[test]
    fn rising_sequences_are_counted() {
        for (list, count) in
            [(&[][..], 0), (&[1, 2], 1), (&[2, 1], 2), (&[3, 1, 4, 2, 5], 2), (&[3, 2, 1], 3)]
        {
            assert_eq!(rising_sequences(list), count, "{list:?}");
        }
    }
}
