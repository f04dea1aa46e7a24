//! Divide and conquer, a worker that can be told to stop: it waits for tasks and for the sink's
//! signal at once.
//!
//! `taskwork2 [ventilator [sink [control]]]`

use std::io::{Write, stdout};
use std::thread::sleep;
use std::time::Duration;

use oxmq::{Events, PollItem, Pull, Push, Subscriber, option, poll};
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let ventilator: String = argument(1, "tcp://localhost:5557")?;
    let sink: String = argument(2, "tcp://localhost:5558")?;
    let control: String = argument(3, "tcp://localhost:5559")?;
    run(|context| {
        let tasks = Pull::new(context)?;
        tasks.connect(&ventilator)?;
        let results = Push::new(context)?;
        results.set(option::LINGER, 500)?;
        results.connect(&sink)?;
        let controller = Subscriber::new(context)?;
        controller.subscribe("")?;
        controller.connect(&control)?;
        println!("Working for {ventilator}");
        loop {
            let mut items =
                [PollItem::socket(&tasks, Events::IN), PollItem::socket(&controller, Events::IN)];
            poll(&mut items, None)?;
            let [has_task, has_signal] = items.map(|item| !item.ready().is_empty());
            if has_task {
                let task = tasks.recv()?;
                let task_ms = str::from_utf8(&task)?.parse()?;
                print!("{task_ms}.");
                stdout().flush()?;
                sleep(Duration::from_millis(task_ms));
                results.send("")?;
            }
            // Whatever the controller says, it means the end.
            if has_signal {
                println!("\nTold to stop");
                return Ok(());
            }
        }
    })
}
