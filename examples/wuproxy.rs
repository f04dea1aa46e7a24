//! A bridge between networks: an XSUB socket towards the weather server, an XPUB socket towards the
//! clients; updates go one way, subscriptions the other, whole messages both.
//!
//! `wuproxy [weather server [endpoint]]`

use oxmq::{Events, PollItem, XPublisher, XSubscriber, poll};
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let server: String = argument(1, "tcp://localhost:5556")?;
    let endpoint: String = argument(2, "tcp://*:8100")?;
    run(|context| {
        let frontend = XSubscriber::new(context)?;
        frontend.connect(&server)?;
        let backend = XPublisher::new(context)?;
        println!("Publishing at {}", backend.bind(&endpoint)?);
        loop {
            let mut items =
                [PollItem::socket(&frontend, Events::IN), PollItem::socket(&backend, Events::IN)];
            poll(&mut items, None)?;
            let [has_update, has_subscription] = items.map(|item| !item.ready().is_empty());
            if has_update {
                backend.send_multipart(frontend.recv_multipart()?)?;
            }
            if has_subscription {
                frontend.send_multipart(backend.recv_multipart()?)?;
            }
        }
    })
}
