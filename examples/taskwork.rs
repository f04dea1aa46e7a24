//! Divide and conquer, a worker: takes tasks from the ventilator, works, tells the sink.
//!
//! `taskwork [ventilator [sink]]`

use std::io::{Write, stdout};
use std::thread::sleep;
use std::time::Duration;

use oxmq::{Pull, Push, option};
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let ventilator: String = argument(1, "tcp://localhost:5557")?;
    let sink: String = argument(2, "tcp://localhost:5558")?;
    run(|context| {
        let tasks = Pull::new(context)?;
        tasks.connect(&ventilator)?;
        let results = Push::new(context)?;
        // A sink that is gone does not hold the end up for longer.
        results.set(option::LINGER, 500)?;
        results.connect(&sink)?;
        println!("Working for {ventilator}");
        loop {
            let task = tasks.recv()?;
            let task_ms = str::from_utf8(&task)?.parse()?;
            print!("{task_ms}.");
            stdout().flush()?;
            sleep(Duration::from_millis(task_ms));
            results.send("")?;
        }
    })
}
