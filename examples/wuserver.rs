//! Weather updates, the server: a PUB socket at two endpoints, with random weather for random zip
//! codes, as fast as it goes.
//!
//! `wuserver [endpoint [second endpoint]]`

use oxmq::Publisher;
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let endpoints: [String; 2] = [argument(1, "tcp://*:5556")?, argument(2, "ipc://weather.ipc")?];
    run(|context| {
        let publisher = Publisher::new(context)?;
        for endpoint in &endpoints {
            println!("Publishing at {}", publisher.bind(endpoint)?);
        }
        loop {
            let zip_code = fastrand::u32(0..100_000);
            let temperature = fastrand::i32(-80..135);
            let humidity = fastrand::i32(10..60);
            publisher.send(format!("{zip_code:05} {temperature} {humidity}"))?;
        }
    })
}
