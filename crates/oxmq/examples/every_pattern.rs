//! Every pattern over every transport: a short tour, and the program that memory checkers run.
//!
//! ```sh
//! cargo build --example every_pattern
//! valgrind --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=definite,indirect,possible \
//!     --error-exitcode=1 target/debug/examples/every_pattern
//! ```

use std::error::Error;
use std::thread;

use oxmq::{
    Context, Events, Pair, PollItem, Publisher, Pull, Push, Reply, Request, Subscriber, poll,
};

fn main() -> Result<(), Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!("oxmq-every-pattern-{}", std::process::id()));
    for endpoint in ["tcp://127.0.0.1:*", &format!("ipc://{}", file.display()), "inproc://tour"] {
        let context = Context::new();
        pipeline(&context, endpoint)?;
        publish(&context, endpoint)?;
        ask(&context, endpoint)?;
        pair(&context, endpoint)?;
        leave_unread(&context, endpoint)?;
        context.term()?;
        println!("{endpoint}: done");
    }
    Ok(())
}

/// Work for whoever is free: bodies in place, shared, and long.
fn pipeline(context: &Context, endpoint: &str) -> Result<(), Box<dyn Error>> {
    let (push, pull) = (Push::new(context)?, Pull::new(context)?);
    push.connect(&pull.bind(endpoint)?)?;
    let sender = thread::spawn(move || {
        for bytes in [0, 1, 50, 1_000, 20_000, 300_000] {
            for _ in 0..20 {
                push.send(vec![7; bytes]).expect("the pull socket is there");
            }
        }
    });
    let mut bytes = 0;
    for _ in 0..120 {
        bytes += pull.recv()?.len();
    }
    assert_eq!(bytes, 20 * 321_051);
    sender.join().expect("the sender does not panic");
    Ok(())
}

/// News for those who want them.
fn publish(context: &Context, endpoint: &str) -> Result<(), Box<dyn Error>> {
    let publisher = Publisher::new(context)?;
    let endpoint = publisher.bind(endpoint)?;
    let subscribers = [Subscriber::new(context)?, Subscriber::new(context)?];
    for (subscriber, topic) in subscribers.iter().zip(["a", "b"]) {
        subscriber.subscribe(topic)?;
        subscriber.connect(&endpoint)?;
        publisher.wait_for_subscribers(topic, 1, None)?;
    }
    for number in 0..50 {
        publisher.send_multipart(["a", &number.to_string()])?;
        publisher.send_multipart([b"b", &[0; 5_000][..]])?;
    }
    for _ in 0..50 {
        assert_eq!(subscribers[0].recv_multipart()?.len(), 2);
        assert_eq!(subscribers[1].recv_multipart()?.len(), 2);
    }
    Ok(())
}

/// Questions and answers.
fn ask(context: &Context, endpoint: &str) -> Result<(), Box<dyn Error>> {
    let (request, reply) = (Request::new(context)?, Reply::new(context)?);
    request.connect(&reply.bind(endpoint)?)?;
    let answers = thread::spawn(move || {
        for _ in 0..50 {
            let question = reply.recv_multipart().expect("the request socket is there");
            reply.send_multipart(question).expect("the request socket is there");
        }
    });
    for number in 0..50 {
        request.send(number.to_string())?;
        assert_eq!(request.recv()?[..], *number.to_string().as_bytes());
    }
    answers.join().expect("the answering thread does not panic");
    Ok(())
}

/// Two equals, one of which polls.
fn pair(context: &Context, endpoint: &str) -> Result<(), Box<dyn Error>> {
    let (left, right) = (Pair::new(context)?, Pair::new(context)?);
    left.connect(&right.bind(endpoint)?)?;
    for _ in 0..20 {
        left.send("there")?;
        let mut items = [PollItem::socket(&right, Events::IN)];
        assert_eq!(poll(&mut items, None)?, 1);
        right.send_multipart([right.recv()?, "and back".into()])?;
        assert_eq!(left.recv_multipart()?.len(), 2);
    }
    Ok(())
}

/// Messages in every queue when the sockets are dropped.
fn leave_unread(context: &Context, endpoint: &str) -> Result<(), Box<dyn Error>> {
    let (push, pull) = (Push::new(context)?, Pull::new(context)?);
    push.set(oxmq::option::LINGER, 0)?;
    pull.set(oxmq::option::RCVHWM, 3)?;
    push.connect(&pull.bind(endpoint)?)?;
    for bytes in [10, 1_000, 100_000, 10, 1_000, 100_000, 10] {
        push.send_multipart([vec![1; bytes], vec![2; bytes]])?;
    }
    pull.recv()?;
    Ok(())
}
