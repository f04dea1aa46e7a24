//! Hello World, a server of several threads: a ROUTER socket for the clients (`hwclient` is one), a
//! proxy, and a DEALER socket that deals the requests out to REP sockets, one a thread, over inproc.
//!
//! `mtserver [endpoint [threads]]`

use std::thread;

use oxmq::{Context, Dealer, Events, PollItem, Reply, Router, poll};
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
            let threads: Vec<_> =
                (0..threads).map(|number| scope.spawn(move || work(context, number))).collect();
            let proxied = exchange(&clients, &workers);
            context.shutdown();
            for thread in threads {
                thread.join().expect("a worker does not panic")?;
            }
            proxied
        })
    })
}

fn exchange(clients: &Router, workers: &Dealer) -> Outcome {
    loop {
        let mut items =
            [PollItem::socket(clients, Events::IN), PollItem::socket(workers, Events::IN)];
        poll(&mut items, None)?;
        let [has_request, has_reply] = items.map(|item| !item.ready().is_empty());
        if has_request {
            workers.send_multipart(clients.recv_multipart()?)?;
        }
        if has_reply {
            clients.send_multipart(workers.recv_multipart()?)?;
        }
    }
}

fn work(context: &Context, number: usize) -> Outcome {
    let service = Reply::new(context)?;
    service.connect(WORKERS)?;
    loop {
        let request = service.recv()?;
        println!("Worker {number} received {}", str::from_utf8(&request)?);
        service.send("World")?;
    }
}
