use std::sync::atomic::Ordering;

use super::*;
use crate::{Context, Pull, Push, Reply};

const SOCKETS: usize = 2000;
/// Fewer than a context may have.
const PER_CONTEXT: usize = 500;
const LONG: Option<Duration> = Some(Duration::from_secs(300));

/// PULL sockets within the process, and for every five hundred a PUSH that sends to each in turn.
fn pulls() -> (Vec<Pull>, Vec<Push>) {
    let (mut pulls, mut pushes) = (Vec::new(), Vec::new());
    for _ in 0..SOCKETS / PER_CONTEXT {
        let context = Context::new();
        let push = Push::new(&context).unwrap();
        for number in 0..PER_CONTEXT {
            let pull = Pull::new(&context).unwrap();
            let endpoint = format!("inproc://{number}");
            pull.bind(&endpoint).unwrap();
            push.connect(&endpoint).unwrap();
            pulls.push(pull);
        }
        pushes.push(push);
    }
    (pulls, pushes)
}

#[test]
fn only_what_is_ready_is_asked() {
    let (pulls, pushes) = pulls();
    let poller = Poller::new();
    for (token, pull) in pulls.iter().enumerate() {
        poller.add(pull, Events::IN, token).unwrap();
    }
    let mut events = Vec::new();
    assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
    assert_eq!(poller.asked.swap(0, Ordering::Relaxed), SOCKETS);
    assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
    assert_eq!(poller.asked.swap(0, Ordering::Relaxed), 0);
    for token in 0..SOCKETS {
        pushes[token / PER_CONTEXT].send("x").unwrap();
        assert_eq!(poller.wait(&mut events, LONG).unwrap(), 1);
        assert_eq!(events, [PollerEvent { token, ready: Events::IN }]);
        pulls[token].try_recv().unwrap();
    }
    // The one that is ready, and the one that was when last looked at.
    let asked = poller.asked.swap(0, Ordering::Relaxed);
    assert!(asked <= 2 * SOCKETS, "{asked}");
    for push in &pushes {
        (0..PER_CONTEXT).for_each(|_| push.send("all").unwrap());
    }
    assert_eq!(poller.wait(&mut events, LONG).unwrap(), SOCKETS);
}

/// The number of waiters, and of pollers that the socket knows of.
fn known(core: &Core) -> (usize, u32) {
    core.with(|state| (state.waiters.len(), state.pipes.pollers))
}

#[test]
fn removed_and_dropped_pollers_leave_no_waiter() {
    let context = Context::new();
    let (one, other) = (Pull::new(&context).unwrap(), Reply::new(&context).unwrap());
    let cores = [AsRef::<Socket>::as_ref(&one).core(), AsRef::<Socket>::as_ref(&other).core()];
    let poller = Poller::new();
    poller.add(&one, Events::IN, 1).unwrap();
    poller.add(&other, Events::IN, 2).unwrap();
    assert!(matches!(poller.add(&one, Events::IN, 3), Err(PollerError::AlreadyAdded)));
    let mut events = Vec::new();
    assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
    assert_eq!(cores.map(|core| known(core)), [(1, 1), (1, 1)]);
    poller.remove(&one).unwrap();
    assert_eq!(cores.map(|core| known(core)), [(0, 0), (1, 1)]);
    drop(poller);
    assert_eq!(cores.map(|core| known(core)), [(0, 0), (0, 0)]);
}

/// The socket is removed between being taken for a look and being armed by it.
#[test]
fn a_removal_during_a_look_leaves_no_waiter() {
    let context = Context::new();
    let pull = Pull::new(&context).unwrap();
    let core = AsRef::<Socket>::as_ref(&pull).core();
    let poller = Poller::new();
    poller.add(&pull, Events::IN, 1).unwrap();
    let candidates = poller.items.lock().take_candidates(&poller.told);
    assert_eq!(candidates.len(), 1);
    poller.remove(&pull).unwrap();
    let mut events = Vec::new();
    poller.look_at_sockets(&candidates, &mut events).unwrap();
    assert_eq!(known(core), (0, 0));
    assert_eq!(events, []);
}

/// Other events are wanted since the socket was taken for a look.
#[test]
fn a_change_during_a_look_is_looked_at() {
    let context = Context::new();
    let (one, other) = (crate::Pair::new(&context).unwrap(), crate::Pair::new(&context).unwrap());
    one.bind("inproc://change").unwrap();
    other.connect("inproc://change").unwrap();
    let poller = Poller::new();
    poller.add(&one, Events::IN, 1).unwrap();
    for (wanted, expected) in [(Events::OUT, 1), (Events::IN, 0)] {
        let candidates = poller.items.lock().take_candidates(&poller.told);
        poller.modify(&one, wanted).unwrap();
        let mut events = Vec::new();
        poller.look_at_sockets(&candidates, &mut events).unwrap();
        assert_eq!(events, []);
        assert_eq!(poller.wait(&mut events, Some(Duration::ZERO)).unwrap(), expected);
    }
}
