//! CLIENT, SERVER, PEER, SCATTER, GATHER, CHANNEL: messages of one part.

mod support;

use oxmq::{Context, DropReason, Message, RecvError, SendErrorKind, Socket, SocketType, option};
use support::{LONG, PLACES, Place};

fn met(context: &Context, place: Place, kinds: [SocketType; 2]) -> [Socket; 2] {
    let pair = kinds.map(|kind| context.socket(kind).unwrap());
    let [first, second] = &pair;
    let (binds, connects) = if place.first_binds { (first, second) } else { (second, first) };
    connects.connect(&binds.bind(&place.endpoint()).unwrap()).unwrap();
    first.wait_for_peers(1, Some(LONG)).unwrap();
    second.wait_for_peers(1, Some(LONG)).unwrap();
    pair
}

fn addressed(body: &str, to: u32) -> Message {
    let mut message = Message::from(body);
    message.set_routing_id(to);
    message
}

#[test]
fn a_server_answers_who_asked() {
    for place in PLACES {
        let context = Context::new();
        let [server, client] = met(&context, place, [SocketType::Server, SocketType::Client]);
        let other = context.socket(SocketType::Client).unwrap();
        let at = server.bind(&place.endpoint()).unwrap();
        other.connect(&at).unwrap();
        client.send("from one").unwrap();
        other.send("from another").unwrap();
        let mut ids = Vec::new();
        for _ in 0..2 {
            let question = server.recv_timeout(LONG).unwrap();
            assert_ne!(question.routing_id(), 0);
            ids.push(question.routing_id());
            let answer = format!("answer to one {}", String::from_utf8_lossy(&question));
            server.send(addressed(&answer, question.routing_id())).unwrap();
        }
        assert_ne!(ids[0], ids[1]);
        let answer = client.recv_timeout(LONG).unwrap();
        assert_eq!((&answer[..], answer.routing_id()), (&b"answer to one from one"[..], 0));
        assert_eq!(&other.recv_timeout(LONG).unwrap()[..], b"answer to one from another");
        // Nobody bears these.
        for nobody in [0, ids[0].wrapping_add(77)] {
            let error = server.try_send(addressed("lost", nobody)).unwrap_err();
            assert_eq!(error.kind(), SendErrorKind::HostUnreachable, "{place:?}");
        }
    }
}

#[test]
fn peers_address_each_other() {
    for place in PLACES {
        let context = Context::new();
        let [one, other] = met(&context, place, [SocketType::Peer, SocketType::Peer]);
        let at = one.bind(&place.endpoint()).unwrap();
        let third = context.socket(SocketType::Peer).unwrap();
        let to_one = third.connect_peer(&at).unwrap();
        third.send(addressed("hello", to_one)).unwrap();
        let hello = one.recv_timeout(LONG).unwrap();
        assert_eq!(&hello[..], b"hello");
        one.send(addressed("you too", hello.routing_id())).unwrap();
        let back = third.recv_timeout(LONG).unwrap();
        assert_eq!((&back[..], back.routing_id()), (&b"you too"[..], to_one));
        assert!(third.disconnect_peer(to_one));
        assert!(!third.disconnect_peer(to_one));
        let error = third.send(addressed("gone", to_one)).unwrap_err();
        assert_eq!(error.kind(), SendErrorKind::HostUnreachable);
        drop(other);
    }
}

#[test]
fn pipelines_and_channels_carry_messages_of_one_part() {
    use SocketType::*;
    for place in PLACES {
        for kinds in [[Scatter, Gather], [Channel, Channel], [Client, Server]] {
            let context = Context::new();
            let [sender, receiver] = met(&context, place, kinds);
            for number in 0..1000_u32 {
                sender.send(&number.to_le_bytes()).unwrap();
            }
            for number in 0..1000_u32 {
                assert_eq!(receiver.recv_timeout(LONG).unwrap()[..], number.to_le_bytes());
            }
            let error = sender.send_multipart(["two", "parts"]).unwrap_err();
            assert_eq!(error.kind(), SendErrorKind::Multipart, "{kinds:?}");
            assert_eq!(error.into_parts().len(), 2);
            assert_eq!(receiver.try_recv(), Err(RecvError::Again));
        }
    }
}

#[test]
fn a_peer_that_sends_several_parts_is_not_heard_and_counted() {
    for kind in [SocketType::Gather, SocketType::Channel, SocketType::Server, SocketType::Client] {
        let context = Context::new();
        // Over inproc, where the C library lets any two types meet.
        context.join_any_types();
        let place = PLACES.into_iter().find(|place| place.transport == "inproc").unwrap();
        let [receiver, sender] = met(&context, place, [kind, SocketType::Dealer]);
        sender.send_multipart(["not", "for", "it"]).unwrap();
        sender.send("one part").unwrap();
        assert_eq!(&receiver.recv_timeout(LONG).unwrap()[..], b"one part");
        assert_eq!(receiver.statistics().dropped.of(DropReason::Malformed), 1, "{kind:?}");
    }
}

#[test]
fn a_full_client_is_the_servers_to_know_of() {
    let context = Context::new();
    let [server, client] =
        [SocketType::Server, SocketType::Client].map(|kind| context.socket(kind).unwrap());
    server.set(option::SNDHWM, 2).unwrap();
    client.set(option::RCVHWM, 2).unwrap();
    server.bind("inproc://full").unwrap();
    client.connect("inproc://full").unwrap();
    client.send("here").unwrap();
    let to = server.recv_timeout(LONG).unwrap().routing_id();
    let sent = (0..).find(|_| server.try_send(addressed("x", to)).is_err()).unwrap();
    assert_eq!(sent, 4);
    let error = server.try_send(addressed("kept", to)).unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::Again);
    assert_eq!(error.into_parts()[0].routing_id(), to, "it can be sent again as it is");
    drop(client);
    let error = server.send(addressed("gone", to)).unwrap_err();
    assert_eq!(error.kind(), SendErrorKind::HostUnreachable);
}
