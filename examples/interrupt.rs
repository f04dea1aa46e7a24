//! An orderly end on Ctrl-C, done by hand (the other programs leave it to `run`): the handler
//! writes to a pipe, which is polled together with the socket.
//!
//! A call that the signal meets ends with `Interrupted`; one that comes before the call begins to
//! wait is found in the pipe.
//!
//! `interrupt [endpoint]`

use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use oxmq::{Context, Events, PollError, PollItem, Reply, poll};
use oxmq_examples::{Outcome, argument};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

fn main() -> Outcome {
    let endpoint: String = argument(1, "tcp://*:5555")?;
    let (signals, handler) = UnixStream::pair()?;
    pipe::register(SIGINT, handler.try_clone()?)?;
    pipe::register(SIGTERM, handler)?;

    let context = Context::new();
    let server = Reply::new(&context)?;
    println!("Serving at {}", server.bind(&endpoint)?);
    loop {
        let mut items = [
            PollItem::socket(&server, Events::IN),
            PollItem::descriptor(signals.as_raw_fd(), Events::IN),
        ];
        match poll(&mut items, None) {
            // If the signal was one of ours, the pipe says so.
            Err(PollError::Interrupted) => continue,
            polled => polled?,
        };
        let [has_request, is_signalled] = items.map(|item| !item.ready().is_empty());
        if is_signalled {
            println!("Interrupted, ending");
            break;
        }
        if has_request {
            server.recv()?;
            server.send("World")?;
        }
    }
    drop(server);
    context.term()?;
    println!("The context is terminated");
    Ok(())
}
