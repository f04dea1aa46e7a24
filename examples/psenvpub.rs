//! Envelopes, the publisher: the topic is a part of its own, so that subscriptions match the topic
//! and never the text.
//!
//! `psenvpub [endpoint]`

use std::thread::sleep;
use std::time::Duration;

use oxmq::Publisher;
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let endpoint: String = argument(1, "tcp://*:5563")?;
    run(|context| {
        let publisher = Publisher::new(context)?;
        println!("Publishing at {}", publisher.bind(&endpoint)?);
        loop {
            publisher.send_multipart(["A", "Nobody here asked for this"])?;
            publisher.send_multipart(["B", "This is what was asked for"])?;
            sleep(Duration::from_millis(100));
        }
    })
}
