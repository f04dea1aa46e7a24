//! Requests through a broker, the broker again: `rrbroker`'s loop is the library's proxy.
//!
//! `msgqueue [frontend [backend]]`

use oxmq::{Dealer, Proxy, Router};
use oxmq_examples::{Outcome, argument, run};

fn main() -> Outcome {
    let clients: String = argument(1, "tcp://*:5559")?;
    let services: String = argument(2, "tcp://*:5560")?;
    run(|context| {
        let frontend = Router::new(context)?;
        println!("Clients at {}", frontend.bind(&clients)?);
        let backend = Dealer::new(context)?;
        println!("Services at {}", backend.bind(&services)?);
        Proxy::new(&frontend, &backend).run()?;
        Ok(())
    })
}
