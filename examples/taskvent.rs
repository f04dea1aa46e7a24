//! Divide and conquer, the ventilator: a PUSH socket that deals out a batch of tasks, each a number
//! of milliseconds to work for, to the workers.
//!
//! It waits until so many workers are there: the first would otherwise get most of the batch.
//!
//! `taskvent [workers [tasks [endpoint [sink]]]]`

use oxmq::Push;
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let workers: usize = argument(1, "1")?;
    let tasks: u32 = argument(2, "100")?;
    let endpoint: String = argument(3, "tcp://*:5557")?;
    let sink_endpoint: String = argument(4, "tcp://localhost:5558")?;
    run(|context| {
        let ventilator = Push::new(context)?;
        println!("Tasks at {}", ventilator.bind(&endpoint)?);
        let sink = Push::new(context)?;
        sink.connect(&sink_endpoint)?;
        sink.wait_for_peers(1, None)?;
        ventilator.wait_for_peers(workers, None)?;

        // The sink takes the time from here.
        sink.send("start")?;
        let mut total_ms = 0;
        for _ in 0..tasks {
            let task_ms = fastrand::u32(1..=100);
            total_ms += task_ms;
            ventilator.send(task_ms.to_string())?;
        }
        println!("Expected cost: {total_ms} ms");
        Ok(())
    })
}
