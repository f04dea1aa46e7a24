//! Hello World, the server: a REP socket that answers each "Hello" with "World".
//!
//! `hwserver [endpoint]`

use oxmq::Reply;
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let endpoint: String = argument(1, "tcp://*:5555")?;
    run(|context| {
        let server = Reply::new(context)?;
        println!("Serving at {}", server.bind(&endpoint)?);
        loop {
            let request = server.recv()?;
            println!("Received {}", String::from_utf8_lossy(&request));
            server.send("World")?;
        }
    })
}
