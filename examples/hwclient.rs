//! Hello World, the client: a REQ socket that says "Hello" ten times and waits for each answer.
//!
//! `hwclient [endpoint [requests]]`

use oxmq::{Request, option};
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let endpoint: String = argument(1, "tcp://localhost:5555")?;
    let requests: u32 = argument(2, "10")?;
    run(|context| {
        let client = Request::new(context)?;
        // A request that nobody has taken when the program ends is not worth waiting for.
        client.set(option::LINGER, 0)?;
        println!("Asking at {endpoint}");
        client.connect(&endpoint)?;
        for number in 0..requests {
            println!("Sending Hello {number}");
            client.send("Hello")?;
            let reply = client.recv()?;
            println!("Received {} {number}", str::from_utf8(&reply)?);
        }
        Ok(())
    })
}
