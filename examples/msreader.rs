//! Several sockets, read without waiting: all tasks that are there, all weather that is there, a
//! short sleep. It works, but tasks go before weather, and the first message after a pause waits
//! for the end of the sleep; `mspoller` does better.
//!
//! `msreader [ventilator [weather server]]`

use std::thread::sleep;
use std::time::Duration;

use oxmq::{Pull, RecvError, Subscriber};
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
        println!("Reading from {ventilator} and {weather}");
        loop {
            loop {
                match tasks.try_recv() {
                    Ok(task) => println!("Task {}", str::from_utf8(&task)?),
                    Err(RecvError::Again) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            loop {
                match updates.try_recv() {
                    Ok(update) => println!("Weather {}", str::from_utf8(&update)?),
                    Err(RecvError::Again) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            sleep(Duration::from_millis(1));
        }
    })
}
