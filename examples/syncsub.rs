//! A subscriber that its publisher waits for; it counts the updates.
//!
//! `syncsub [publisher [sync]] [--numbered]`

use oxmq::{Request, Subscriber, option};
use oxmq_examples::{Outcome, argument, flag, run};

fn main() -> Outcome {
    let endpoint: String = argument(1, "tcp://localhost:5561")?;
    let sync_endpoint: String = argument(2, "tcp://localhost:5562")?;
    let numbered = flag("--numbered");
    run(|context| {
        let subscriber = Subscriber::new(context)?;
        subscriber.subscribe("")?;
        subscriber.connect(&endpoint)?;
        let sync = Request::new(context)?;
        sync.set(option::LINGER, 0)?;
        sync.connect(&sync_endpoint)?;
        println!("Asking for a place at {sync_endpoint}");
        sync.send("")?;
        sync.recv()?;

        let mut received: u64 = 0;
        let published: u64 = loop {
            let update = subscriber.recv()?;
            if let Some(published) = update.strip_prefix(b"END ") {
                break str::from_utf8(published)?.parse()?;
            }
            if numbered && str::from_utf8(&update)?.parse() != Ok(received) {
                return Err(format!("update {received} is due, {update:?} came").into());
            }
            received += 1;
        };
        println!("Received {received} updates");
        if received != published {
            return Err(format!("{published} were published").into());
        }
        if numbered {
            println!("All in order");
        }
        Ok(())
    })
}
