//! A result that differs, and what is known of it.

use crate::call::{Call, Handle, Polled};

pub const SUB: i32 = 2;
pub const REQ: i32 = 3;
pub const REP: i32 = 4;
pub const ROUTER: i32 = 6;
pub const XPUB: i32 = 9;
pub const XSUB: i32 = 10;
pub const EVENTS: i32 = 15;

/// A result that differs.
pub struct Difference<'a> {
    /// The calls of the sequence, and what ours gave for each.
    pub calls: &'a [&'a Call],
    pub results: &'a [String],
    /// Which of them.
    pub at: usize,
    pub ours: &'a str,
    pub theirs: &'a str,
}

impl Difference<'_> {
    pub fn are(&self, ours: &str, theirs: &str) -> bool {
        (self.ours, self.theirs) == (ours, theirs)
    }

    pub fn call(&self) -> Option<&Call> {
        self.calls.get(self.at).copied()
    }

    pub fn before(&self) -> impl Iterator<Item = &Call> {
        self.calls.iter().take(self.at).copied()
    }

    /// The option of a socket that the call sets or reads.
    pub fn option(&self) -> Option<i32> {
        match self.call()? {
            Call::Set { option, .. } | Call::Get { option, .. } => Some(*option),
            _ => None,
        }
    }

    /// The type of a socket.
    pub fn kind(&self, of: Handle) -> Option<i32> {
        let Handle::At(at) = of else { return None };
        self.before().find_map(|call| match call {
            Call::Socket { socket, kind, .. } if *socket == at => Some(*kind),
            _ => None,
        })
    }

    /// The socket that receives.
    pub fn receiver(&self) -> Option<Handle> {
        receiver(self.call()?)
    }

    /// Whether the socket has ended a connection of its own.
    pub fn has_left(&self, socket: Handle) -> bool {
        let leaves = |call: &Call| match call {
            Call::Disconnect { socket: of, .. } | Call::Unbind { socket: of, .. } => *of == socket,
            _ => false,
        };
        self.before().any(leaves)
    }

    /// Whether the socket is of a type that looks into a message to know whether it is one.
    pub fn looks_ahead(&self, socket: Handle) -> bool {
        self.kind(socket).is_some_and(|kind| [SUB, REQ, REP, ROUTER, XSUB].contains(&kind))
    }

    /// Whether the socket has received a message in part.
    pub fn is_in_message(&self, socket: Handle) -> bool {
        let before = self.before().zip(self.results);
        let last = before.filter(|(call, _)| receiver(call) == Some(socket)).last();
        last.is_some_and(|(_, result)| {
            result.contains("RCVMORE Some(1)") || result.ends_with("more 1")
        })
    }

    /// Whether a send of the socket has said that it cannot be.
    pub fn was_refused(&self, socket: Handle) -> bool {
        self.before().zip(self.results).any(|(call, result)| match call {
            Call::Send { socket: of, .. }
            | Call::SendIov { socket: of, .. }
            | Call::MsgSend { socket: of, .. } => *of == socket && result.starts_with("-1 EAGAIN"),
            _ => false,
        })
    }

    /// Whether the socket has sent a message in part.
    pub fn is_sending(&self, socket: Handle) -> bool {
        let sends = |call: &&Call| match call {
            Call::Send { socket: of, .. }
            | Call::SendIov { socket: of, .. }
            | Call::MsgSend { socket: of, .. } => *of == socket,
            _ => false,
        };
        let last = self.before().filter(sends).last();
        last.is_some_and(|call| matches!(call, Call::Send { flags, .. } if flags & 2 != 0))
    }

    /// Whether all that differs are events of sockets, each in the way that `may` allows.
    pub fn differs_by(&self, may: impl Fn(Handle, i32, i32) -> bool) -> bool {
        match self.call() {
            Some(Call::Poll { items, .. }) => {
                let (ours, theirs) = (numbers(self.ours), numbers(self.theirs));
                if ours.len() != items.len() + 1 || theirs.len() != ours.len() {
                    return false;
                }
                // Both say of how many they say something.
                let counts = |all: &[i32]| {
                    usize::try_from(all[0])
                        == Ok(all[1..].iter().filter(|&&events| events != 0).count())
                };
                if !counts(&ours) || !counts(&theirs) {
                    return false;
                }
                let pairs = ours[1..].iter().zip(&theirs[1..]);
                items.iter().zip(pairs).all(|((polled, _), (&ours, &theirs))| match polled {
                    Polled::Socket(of) => ours == theirs || may(*of, ours, theirs),
                    Polled::Pipe(_) => ours == theirs,
                })
            }
            Some(Call::Get { socket, option: EVENTS, .. }) => {
                // The first byte, as it is shown.
                let shown = |result: &str| {
                    let byte = result.split_once("\\x0")?.1.get(..1)?.parse().ok();
                    byte.filter(|_| result.starts_with("0, size 4: "))
                };
                match (shown(self.ours), shown(self.theirs)) {
                    (Some(ours), Some(theirs)) => may(*socket, ours, theirs),
                    _ => false,
                }
            }
            _ => false,
        }
    }

    /// Whether all that differs is that one side has not received the first message.
    pub fn first_is_missing(&self) -> bool {
        if self.ours == "-1 EAGAIN" || self.theirs == "-1 EAGAIN" {
            return true;
        }
        fn parts(result: &str) -> Option<(usize, &str)> {
            let (count, rest) = result.split_once(" messages [")?;
            Some((count.parse().ok()?, rest.rsplit_once("], then ")?.0))
        }
        match (parts(self.ours), parts(self.theirs)) {
            (Some((ours, mine)), Some((theirs, others))) => {
                ours == theirs + 1 && mine.ends_with(others)
                    || theirs == ours + 1 && others.ends_with(mine)
            }
            // Of calls that say more than that.
            _ => self.ours.starts_with("-1 EAGAIN") || self.theirs.starts_with("-1 EAGAIN"),
        }
    }

    /// Whether some other message has the bytes of this one.
    pub fn is_shared(&self, message: usize) -> bool {
        let (mut bodies, mut fresh) = ([usize::MAX; 8], 0);
        for call in self.before() {
            fresh += 1;
            match *call {
                Call::MsgInit { message }
                | Call::MsgInitSize { message, .. }
                | Call::MsgInitData { message, .. }
                | Call::MsgClose { message }
                | Call::MsgSend { message, .. }
                | Call::MsgRecv { message, .. } => bodies[message] = fresh,
                Call::MsgCopy { to, from } => bodies[to] = bodies[from],
                Call::MsgMove { to, from } => {
                    bodies[to] = bodies[from];
                    bodies[from] = fresh;
                }
                _ => {}
            }
        }
        bodies.iter().filter(|&&body| body == bodies[message]).count() > 1
    }
}

fn receiver(call: &Call) -> Option<Handle> {
    match call {
        Call::Drain { socket, .. }
        | Call::Recv { socket, .. }
        | Call::RecvIov { socket, .. }
        | Call::RecvProperties { socket }
        | Call::MsgRecv { socket, .. } => Some(*socket),
        _ => None,
    }
}

/// The numbers in a result.
pub fn numbers(result: &str) -> Vec<i32> {
    let words = result.split(|char: char| !char.is_ascii_digit() && char != '-');
    words.filter_map(|word| word.parse().ok()).collect()
}
