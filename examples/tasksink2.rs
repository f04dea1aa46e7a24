//! Divide and conquer, a sink that sends the workers home when the batch is done.
//!
//! `tasksink2 [workers [tasks [endpoint [control]]]]`

use std::io::{Write, stdout};
use std::time::Instant;

use oxmq::{Publisher, Pull};
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let workers: usize = argument(1, "1")?;
    let tasks: u32 = argument(2, "100")?;
    let endpoint: String = argument(3, "tcp://*:5558")?;
    let control: String = argument(4, "tcp://*:5559")?;
    run(|context| {
        let results = Pull::new(context)?;
        println!("Results at {}", results.bind(&endpoint)?);
        let controller = Publisher::new(context)?;
        println!("Control at {}", controller.bind(&control)?);
        results.recv()?;
        let start = Instant::now();
        for number in 0..tasks {
            results.recv()?;
            print!("{}", if number % 10 == 0 { ':' } else { '.' });
            stdout().flush()?;
        }
        println!("\nTotal elapsed time: {} ms", start.elapsed().as_millis());
        // A worker that has not subscribed yet would not hear it.
        controller.wait_for_subscribers("", workers, None)?;
        controller.send("KILL")?;
        Ok(())
    })
}
