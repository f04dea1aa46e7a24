//! Requests through a broker, a service: connects to the broker, so that others may join it at any
//! time.
//!
//! `rrserver [broker]`

use oxmq::{Reply, option};
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let broker: String = argument(1, "tcp://localhost:5560")?;
    run(|context| {
        let service = Reply::new(context)?;
        // A broker that is gone does not hold the end up for longer.
        service.set(option::LINGER, 500)?;
        service.connect(&broker)?;
        println!("Answering for {broker}");
        loop {
            println!("Received request [{}]", String::from_utf8_lossy(&service.recv()?));
            service.send("World")?;
        }
    })
}
