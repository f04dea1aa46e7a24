//! Weather updates, the client: a SUB socket that hears of one zip code only, and says how warm it
//! was there on average.
//!
//! `wuclient [endpoint [zip code [updates]]]`

use oxmq::Subscriber;
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let endpoint: String = argument(1, "tcp://localhost:5556")?;
    let zip_code: String = argument(2, "10001")?;
    let updates: u32 = argument(3, "100")?;
    run(|context| {
        let subscriber = Subscriber::new(context)?;
        // With the space, so that no longer number begins like it.
        let prefix = format!("{zip_code} ");
        subscriber.subscribe(&prefix)?;
        println!("Listening to {endpoint}");
        subscriber.connect(&endpoint)?;
        let mut sum = 0;
        for _ in 0..updates {
            let update = subscriber.recv()?;
            let update = str::from_utf8(&update)?;
            let fields = update.strip_prefix(&prefix).ok_or("an update from elsewhere")?;
            let temperature = fields.split(' ').next().ok_or("an update without a temperature")?;
            sum += temperature.parse::<i64>()?;
        }
        let average = sum / i64::from(updates.max(1));
        println!("The average temperature at {zip_code} in {updates} updates was {average}F");
        Ok(())
    })
}
