//! Divide and conquer, the sink: takes the results of all workers, and the time.
//!
//! `tasksink [tasks [endpoint]]`

use std::io::{Write, stdout};
use std::time::Instant;

use oxmq::Pull;
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let tasks: u32 = argument(1, "100")?;
    let endpoint: String = argument(2, "tcp://*:5558")?;
    run(|context| {
        let results = Pull::new(context)?;
        println!("Results at {}", results.bind(&endpoint)?);
        // The ventilator says when the batch begins.
        results.recv()?;
        let start = Instant::now();
        for number in 0..tasks {
            results.recv()?;
            print!("{}", if number % 10 == 0 { ':' } else { '.' });
            stdout().flush()?;
        }
        println!("\nTotal elapsed time: {} ms", start.elapsed().as_millis());
        Ok(())
    })
}
