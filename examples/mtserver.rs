//! Hello World, a server of several threads: a ROUTER socket for the clients (`hwclient` is one), a
//! proxy, and a DEALER socket that deals the requests out to REP sockets, one a thread, over inproc.
//!
//! `mtserver [endpoint [threads]]`

use std::thread;

use oxmq::{Context, Dealer, Proxy, Reply, Router};
use oxmq_examples::{Outcome, argument, run};

const WORKERS: &str = "inproc://workers";

fn main() -> Outcome {
    let endpoint: String = argument(1, "tcp://*:5555")?;
    let threads: usize = argument(2, "5")?;
    run(|context| {
        let clients = Router::new(context)?;
        println!("Serving at {}", clients.bind(&endpoint)?);
        let workers = Dealer::new(context)?;
        workers.bind(WORKERS)?;
        thread::scope(|scope| {
            for number in 0..threads {
                scope.spawn(move || work(context, number));
            }
            // None gets more to do because it was first.
            workers.wait_for_peers(threads, None)?;
            let proxied = Proxy::new(&clients, &workers).run();
            // Whatever ended the proxy ends the workers.
            context.shutdown();
            proxied?;
            Ok(())
        })
    })
}

fn work(context: &Context, number: usize) -> Outcome {
    let service = Reply::new(context)?;
    service.connect(WORKERS)?;
    loop {
        let request = service.recv()?;
        println!("Worker {number} received {}", String::from_utf8_lossy(&request));
        service.send("World")?;
    }
}
