//! A publisher that begins when all its subscribers are there, and loses nothing.
//!
//! Each subscriber asks over a REQ socket for its place. That its subscription has arrived, over
//! the other connection, is asked of the PUB socket itself.
//!
//! `syncpub [subscribers [updates [endpoint [sync]]]] [--numbered]`

use oxmq::{Message, Publisher, Reply, option};
use oxmq_examples::{Outcome, argument, flag, run};

fn main() -> Outcome {
    let subscribers: usize = argument(1, "10")?;
    let updates: u64 = argument(2, "1000000")?;
    let endpoint: String = argument(3, "tcp://*:5561")?;
    let sync_endpoint: String = argument(4, "tcp://*:5562")?;
    let numbered = flag("--numbered");
    run(|context| {
        let publisher = Publisher::new(context)?;
        // No bound: a PUB drops what is for a slow subscriber beyond it.
        publisher.set(option::SNDHWM, 0)?;
        println!("Publishing at {}", publisher.bind(&endpoint)?);
        let sync = Reply::new(context)?;
        println!("Places at {}", sync.bind(&sync_endpoint)?);
        for _ in 0..subscribers {
            sync.recv()?;
            sync.send("")?;
        }
        publisher.wait_for_subscribers("", subscribers, None)?;

        println!("Publishing {updates} updates");
        for number in 0..updates {
            let update = match numbered {
                true => number.to_string().into(),
                false => Message::from_static(b"Rhubarb"),
            };
            publisher.send(update)?;
        }
        publisher.send(format!("END {updates}"))?;
        Ok(())
    })
}
