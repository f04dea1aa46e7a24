//! Envelopes, the subscriber: hears of topic B only.
//!
//! `psenvsub [endpoint]`

use oxmq::Subscriber;
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let endpoint: String = argument(1, "tcp://localhost:5563")?;
    run(|context| {
        let subscriber = Subscriber::new(context)?;
        subscriber.subscribe("B")?;
        println!("Listening to {endpoint}");
        subscriber.connect(&endpoint)?;
        loop {
            let message = subscriber.recv_multipart()?;
            let [topic, text] = &message[..] else { return Err("not two parts".into()) };
            println!("[{}] {}", str::from_utf8(topic)?, str::from_utf8(text)?);
        }
    })
}
