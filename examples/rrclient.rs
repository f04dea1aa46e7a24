//! Requests through a broker, the client: as `hwclient`, but it knows only the broker.
//!
//! `rrclient [broker [requests]]`

use oxmq::{Request, option};
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let broker: String = argument(1, "tcp://localhost:5559")?;
    let requests: u32 = argument(2, "10")?;
    run(|context| {
        let client = Request::new(context)?;
        client.set(option::LINGER, 0)?;
        println!("Asking at {broker}");
        client.connect(&broker)?;
        for number in 0..requests {
            client.send("Hello")?;
            println!("Received reply {number} [{}]", str::from_utf8(&client.recv()?)?);
        }
        Ok(())
    })
}
