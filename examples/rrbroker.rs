//! Requests through a broker, the broker: a ROUTER socket for the clients, a DEALER socket for the
//! services, and a loop that carries whole messages, envelopes included, both ways.
//!
//! `rrbroker [frontend [backend]]`

use oxmq::{Dealer, Events, PollItem, Router, poll};
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let clients: String = argument(1, "tcp://*:5559")?;
    let services: String = argument(2, "tcp://*:5560")?;
    run(|context| {
        let frontend = Router::new(context)?;
        println!("Clients at {}", frontend.bind(&clients)?);
        let backend = Dealer::new(context)?;
        println!("Services at {}", backend.bind(&services)?);
        loop {
            let mut items =
                [PollItem::socket(&frontend, Events::IN), PollItem::socket(&backend, Events::IN)];
            poll(&mut items, None)?;
            let [has_request, has_reply] = items.map(|item| !item.ready().is_empty());
            if has_request {
                backend.send_multipart(frontend.recv_multipart()?)?;
            }
            if has_reply {
                frontend.send_multipart(backend.recv_multipart()?)?;
            }
        }
    })
}
