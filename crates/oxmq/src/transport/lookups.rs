//! Names that the system looks up, so that a slow name server stalls nobody, and connections to one
//! host come in the order in which they were asked for.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use crate::endpoint::{Port, TcpEndpoint, resolve};
use crate::sys::SignalMask;

/// The addresses of a name, the first to try first; the system's error if it has none.
pub(crate) type Found = Result<Vec<SocketAddr>, Arc<io::Error>>;

/// What an I/O thread has looked up at present. Each name gets a thread of its own, gone afterwards.
/// Whoever asks for a name while it is being looked up gets the same answer, in turn: a program that
/// subscribes to a host and then tells it so, over another socket, counts on that.
#[derive(Default)]
pub(crate) struct Lookups {
    asked: Mutex<HashMap<Question, Vec<Asker>>>,
}

/// The name, and whether IPv6 addresses are wanted.
type Question = (String, bool);

struct Asker {
    port: Port,
    found: Box<dyn FnOnce(Found) + Send>,
}

impl Lookups {
    /// Has `found` called, on another thread, with the addresses of an endpoint's name. False: the
    /// system has no thread for it, and `found` is not called.
    pub(crate) fn ask(
        self: &Arc<Self>,
        endpoint: TcpEndpoint,
        ipv6: bool,
        found: impl FnOnce(Found) + Send + 'static,
    ) -> bool {
        self.ask_of(resolve, endpoint, ipv6, found)
    }

    /// As `ask`, of something that need not be the system.
    fn ask_of(
        self: &Arc<Self>,
        look_up: impl FnOnce(&TcpEndpoint, bool, bool) -> io::Result<Vec<SocketAddr>> + Send + 'static,
        endpoint: TcpEndpoint,
        ipv6: bool,
        found: impl FnOnce(Found) + Send + 'static,
    ) -> bool {
        let question = (endpoint.host.to_string(), ipv6);
        let asker = Asker { port: endpoint.port, found: Box::new(found) };
        {
            let mut asked = self.asked.lock();
            let askers = asked.entry(question.clone()).or_default();
            askers.push(asker);
            if askers.len() > 1 {
                return true;
            }
        }
        let (lookups, key) = (self.clone(), question.clone());
        let resolver = thread::Builder::new().name("oxmq-resolve".into());
        let spawned = resolver.spawn(move || {
            SignalMask::block_all();
            let found = look_up(&endpoint, ipv6, false).map_err(Arc::new);
            lookups.answer(&key, &found);
        });
        let Err(error) = spawned else { return true };
        let error = Arc::new(error);
        let askers = self.asked.lock().remove(&question);
        // The first is the caller's own, who is told otherwise.
        for asker in askers.into_iter().flatten().skip(1) {
            (asker.found)(Err(error.clone()));
        }
        false
    }

    fn answer(&self, question: &Question, found: &Found) {
        loop {
            // Those who ask meanwhile come after these.
            let askers = {
                let mut asked = self.asked.lock();
                let Some(askers) = asked.get_mut(question) else { return };
                if askers.is_empty() {
                    asked.remove(question);
                    return;
                }
                std::mem::take(askers)
            };
            for Asker { port, found: tell } in askers {
                let mut found = found.clone();
                if let (Ok(addresses), Port::Number(port)) = (&mut found, port) {
                    addresses.iter_mut().for_each(|address| address.set_port(port));
                }
                tell(found);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::time::Duration;

    use super::*;
    use crate::Endpoint;

    /// Longer than anything takes.
    const LONG: Duration = Duration::from_secs(20);

    fn endpoint(text: &str) -> TcpEndpoint {
        let Ok(Endpoint::Tcp(tcp)) = text.parse() else { panic!("{text} is not of TCP") };
        tcp
    }

    /// Asks for `tcp://name:port`, of something that answers when told to.
    fn ask(
        lookups: &Arc<Lookups>,
        (name, port): (&str, u16),
        answered: &Sender<(String, Found)>,
    ) -> Sender<io::Result<Vec<SocketAddr>>> {
        let (answers, answer): (_, Receiver<io::Result<_>>) = channel();
        let answered = answered.clone();
        let text = format!("{name}:{port}");
        let tcp = endpoint(&format!("tcp://{text}"));
        let look_up = move |_: &TcpEndpoint, _, _| answer.recv_timeout(LONG).unwrap();
        assert!(lookups.ask_of(look_up, tcp, false, move |found| {
            answered.send((text, found)).unwrap();
        }));
        answers
    }

    #[test]
    fn who_asks_for_the_same_name_is_answered_in_turn_and_delays_nobody_else() {
        let lookups = Arc::new(Lookups::default());
        let (answered, answers) = channel::<(String, Found)>();
        let next = || {
            let (text, found) = answers.recv_timeout(LONG).unwrap();
            (text, found.map_err(|error| error.to_string()))
        };
        let slow = ask(&lookups, ("slow", 1), &answered);
        let others: Vec<_> = (2..50).map(|port| ask(&lookups, ("slow", port), &answered)).collect();
        let quick = ask(&lookups, ("quick", 9), &answered);
        quick.send(Err(io::Error::other("there is no such name"))).unwrap();
        assert_eq!(next(), ("quick:9".into(), Err("there is no such name".into())));
        slow.send(Ok(vec!["127.0.0.1:1".parse().unwrap()])).unwrap();
        for port in 1..50_u16 {
            let address = SocketAddr::from(([127, 0, 0, 1], port));
            assert_eq!(next(), (format!("slow:{port}"), Ok(vec![address])));
        }
        // Nobody looked the name up for them.
        for answer in others {
            assert!(answer.send(Ok(Vec::new())).is_err());
        }
        while !lookups.asked.lock().is_empty() {
            thread::yield_now();
        }
        // And anew.
        let later = ask(&lookups, ("slow", 7), &answered);
        later.send(Ok(vec!["127.0.0.2:7".parse().unwrap()])).unwrap();
        assert_eq!(next().1, Ok(vec!["127.0.0.2:7".parse().unwrap()]));
    }
}
