//! Proxies: whole messages, both ways, held back and steered.

use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use oxmq::{
    Context, Dealer, Message, Pair, Proxy, Publisher, Pull, Push, RecvError, Reply, Request,
    Router, Subscriber, XPublisher, XSubscriber, option,
};

const LONG: Option<Duration> = Some(Duration::from_secs(300));

/// An endpoint to bind to, of each transport.
fn endpoints() -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("oxmq-proxy-{}-{number}", std::process::id());
    vec!["tcp://127.0.0.1:*".into(), format!("ipc://@{name}"), format!("inproc://{name}")]
}

/// Multiparts of one to a thousand parts, of lengths around the limits.
fn multiparts() -> Vec<Vec<Vec<u8>>> {
    let part = |number: usize| vec![number as u8; [0, 1, 56, 57, 255, 256, 5000][number % 7]];
    let parts = |count: usize| (0..count).map(|number| part(number + count)).collect();
    [1, 2, 3, 10, 100, 1000].map(parts).into()
}

fn assert_parts(received: &[Message], sent: &[Vec<u8>]) {
    assert!(received.iter().map(|part| &part[..]).eq(sent.iter().map(|part| &part[..])));
}

#[test]
fn a_streamer_passes_multiparts_whole() {
    for endpoint in endpoints() {
        let context = Context::new();
        let (front, back) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
        let (source, sink) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
        source.connect(&front.bind(&endpoint).unwrap()).unwrap();
        sink.connect(&back.bind("inproc://back").unwrap()).unwrap();
        let streamer = thread::spawn(move || Proxy::new(&front, &back).run());
        for _ in 0..20 {
            for sent in multiparts() {
                source.send_multipart(&sent).unwrap();
            }
            for sent in multiparts() {
                assert_parts(&sink.recv_multipart().unwrap(), &sent);
            }
        }
        context.shutdown();
        assert!(streamer.join().unwrap().unwrap_err().is_terminated());
    }
}

#[test]
fn a_queue_serves_many_clients_with_many_workers() {
    for endpoint in endpoints() {
        let context = Context::new();
        let (front, back) = (Router::new(&context).unwrap(), Dealer::new(&context).unwrap());
        let front_at = front.bind(&endpoint).unwrap();
        let back_at = back.bind("inproc://workers").unwrap();
        thread::scope(|scope| {
            scope.spawn(move || Proxy::new(&front, &back).run());
            for _ in 0..3 {
                let worker = Reply::new(&context).unwrap();
                worker.connect(&back_at).unwrap();
                scope.spawn(move || {
                    while let Ok(request) = worker.recv_multipart() {
                        worker.send_multipart(request).unwrap();
                    }
                });
            }
            let clients: Vec<_> = (0..5)
                .map(|_| {
                    let client = Request::new(&context).unwrap();
                    client.connect(&front_at).unwrap();
                    scope.spawn(move || {
                        for sent in multiparts() {
                            client.send_multipart(&sent).unwrap();
                            assert_parts(&client.recv_multipart().unwrap(), &sent);
                        }
                    })
                })
                .collect();
            clients.into_iter().for_each(|client| client.join().unwrap());
            context.shutdown();
        });
    }
}

#[test]
fn a_forwarder_passes_subscriptions_one_way_and_messages_the_other() {
    for endpoint in endpoints() {
        let context = Context::new();
        let (front, back) =
            (XSubscriber::new(&context).unwrap(), XPublisher::new(&context).unwrap());
        let publisher = Publisher::new(&context).unwrap();
        publisher.connect(&front.bind(&endpoint).unwrap()).unwrap();
        let subscriber = Subscriber::new(&context).unwrap();
        subscriber.subscribe("news").unwrap();
        subscriber.connect(&back.bind("inproc://back").unwrap()).unwrap();
        let forwarder = thread::spawn(move || Proxy::new(&front, &back).run());
        publisher.wait_for_subscribers("news", 1, LONG).unwrap();
        publisher.send_multipart(["weather", "rain"]).unwrap();
        publisher.send_multipart(["news", "all's well"]).unwrap();
        assert_parts(
            &subscriber.recv_multipart().unwrap(),
            &[b"news".to_vec(), b"all's well".to_vec()],
        );
        context.shutdown();
        assert!(forwarder.join().unwrap().unwrap_err().is_terminated());
    }
}

/// Messages that nobody takes stay in the sockets; nothing is lost when somebody does.
#[test]
fn a_full_back_holds_the_front() {
    let context = Context::new();
    let (front, back) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
    let source = Push::new(&context).unwrap();
    front.set(option::RCVHWM, 2).unwrap();
    source.set(option::SNDHWM, 2).unwrap();
    back.set(option::SNDHWM, 2).unwrap();
    source.connect(&front.bind("inproc://front").unwrap()).unwrap();
    let back_at = back.bind("inproc://back").unwrap();
    let streamer = thread::spawn(move || Proxy::new(&front, &back).run());
    // Nobody is behind it: one is in the proxy's hands, the others wait before it.
    source.set(option::SNDTIMEO, 50).unwrap();
    let held = (0_u32..).take_while(|number| source.send(&number.to_le_bytes()).is_ok()).count();
    assert!((3..=5).contains(&held), "{held}");
    let sink = Pull::new(&context).unwrap();
    sink.set(option::RCVTIMEO, 300_000).unwrap();
    sink.connect(&back_at).unwrap();
    source.set(option::SNDTIMEO, 300_000).unwrap();
    for number in 0..100 {
        source.send(&(held as u32 + number).to_le_bytes()).unwrap();
        assert_eq!(sink.recv().unwrap()[..], number.to_le_bytes());
    }
    context.shutdown();
    assert!(streamer.join().unwrap().is_err());
}

#[test]
fn a_proxy_is_steered_captured_and_counted() {
    let context = Context::new();
    let (front, back) = (Pull::new(&context).unwrap(), Push::new(&context).unwrap());
    let (source, sink) = (Push::new(&context).unwrap(), Pull::new(&context).unwrap());
    source.connect(&front.bind("inproc://front").unwrap()).unwrap();
    sink.connect(&back.bind("inproc://back").unwrap()).unwrap();
    let (control, steers) = (Reply::new(&context).unwrap(), Request::new(&context).unwrap());
    steers.connect(&control.bind("inproc://control").unwrap()).unwrap();
    let (capture, copies) = (Pair::new(&context).unwrap(), Pair::new(&context).unwrap());
    copies.connect(&capture.bind("inproc://capture").unwrap()).unwrap();
    let proxy =
        thread::spawn(move || Proxy::new(&front, &back).capture(&capture).control(&control).run());
    let order = |order: &str| {
        steers.send(order).unwrap();
        steers.recv_multipart().unwrap()
    };
    for sent in multiparts() {
        source.send_multipart(&sent).unwrap();
        assert_parts(&sink.recv_multipart().unwrap(), &sent);
        assert_parts(&copies.recv_multipart().unwrap(), &sent);
    }
    assert_parts(&order("PAUSE"), &[vec![]]);
    source.send("while paused").unwrap();
    assert_eq!(sink.recv_timeout(Duration::from_millis(30)).unwrap_err(), RecvError::Again);
    assert_parts(&order("no order at all"), &[vec![]]);
    order("RESUME");
    assert_eq!(sink.recv().unwrap()[..], *b"while paused");
    copies.recv().unwrap();

    let figures: Vec<u64> = order("STATISTICS")
        .iter()
        .map(|part| u64::from_ne_bytes(part[..].try_into().unwrap()))
        .collect();
    let messages = multiparts().len() as u64 + 1;
    let bytes = multiparts().concat().concat().len() as u64 + 12;
    assert_eq!(figures, [messages, bytes, 0, 0, 0, 0, messages, bytes]);
    assert_parts(&order("TERMINATE"), &[vec![]]);
    let statistics = proxy.join().unwrap().unwrap();
    assert_eq!(statistics.forward.messages_out, messages);
    assert_eq!(statistics.backward, oxmq::Passed::default());
}
