//! Several sockets, polled: it waits for tasks and for weather at once, and is fair to both.
//!
//! `mspoller [ventilator [weather server]]`

use oxmq::{Events, PollItem, Pull, Subscriber, poll};
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let ventilator: String = argument(1, "tcp://localhost:5557")?;
    let weather: String = argument(2, "tcp://localhost:5556")?;
    run(|context| {
        let tasks = Pull::new(context)?;
        tasks.connect(&ventilator)?;
        let updates = Subscriber::new(context)?;
        updates.subscribe("10001 ")?;
        updates.connect(&weather)?;
        println!("Polling {ventilator} and {weather}");
        loop {
            let mut items =
                [PollItem::socket(&tasks, Events::IN), PollItem::socket(&updates, Events::IN)];
            poll(&mut items, None)?;
            let [has_task, has_update] = items.map(|item| !item.ready().is_empty());
            if has_task {
                println!("Task {}", str::from_utf8(&tasks.recv()?)?);
            }
            if has_update {
                println!("Weather {}", str::from_utf8(&updates.recv()?)?);
            }
        }
    })
}
