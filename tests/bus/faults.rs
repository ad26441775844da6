//! Outages and poison: nothing is lost, nothing comes twice, nothing stops the rest.

use std::io::Write;
use std::time::Duration;

use shipwatch::bus::binding;
use shipwatch::domain::event::Form;

use crate::broker::Broker;
use crate::{LIMITS, ack_floor, ack_pending, fresh, publish, sequences, take, until, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_and_restarted_broker_loses_and_repeats_nothing() {
    let mut broker = Broker::start();
    let bus = broker.bus().await;
    let mut inbox = fresh(&bus, &["x.>"]).await.inbox;
    publish(&bus, 0..2000).await;
    let mut seen = Vec::new();
    for round in 0..4 {
        let some = within(20, inbox.next_group(shipwatch::bus::GroupLimits { messages: 100, bytes: 1 << 20 })).await;
        seen.extend(sequences(&some.unwrap().messages));
        broker.kill();
        // What the client had buffered is still handed out, the rest comes from the next life of the broker.
        broker.again();
        if round % 2 == 1 {
            publish(&bus, 2000 + round * 10..2010 + round * 10).await;
        }
    }
    while seen.len() < 2020 {
        let group = within(30, inbox.next_group(LIMITS)).await.unwrap();
        assert!(group.missed.is_empty());
        seen.extend(sequences(&group.messages));
        inbox.acker().ack(group.token).await.ok();
    }
    assert_eq!(seen, (1..=2020).collect::<Vec<_>>());
    let js = broker.other().await;
    publish(&bus, 9000..9001).await;
    assert_eq!(take(&mut inbox, 1).await[0].sequence, 2021);
    // Not that none is pending: a 2.9 server killed like this may count some for ever that lie below its own floor.
    until("all acknowledged", || async { ack_floor(&js, "shipwatch", "shipwatch").await == 2021 }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_ends_the_status_and_waiting_ends_the_outage() {
    let mut broker = Broker::start();
    let bus = broker.bus().await;
    let mut inbox = fresh(&bus, &["x.>"]).await.inbox;
    let status = inbox.status();
    assert!(status.running());
    broker.kill();
    let taking = tokio::spawn(async move { take(&mut inbox, 1).await });
    until("not running", || async { !status.running() }).await;
    broker.again();
    publish(&bus, 0..1).await;
    assert_eq!(sequences(&within(40, taking).await.unwrap()), [1]);
    assert!(status.running());
}

/// Publishes bytes that no client library would send.
fn raw(port: u16, subject: &[u8], header: &[u8], body: &[u8]) {
    let mut socket = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    let mut bytes = b"CONNECT {\"verbose\":false,\"headers\":true}\r\nHPUB ".to_vec();
    bytes.extend_from_slice(subject);
    bytes.extend_from_slice(format!(" {} {}\r\n", header.len(), header.len() + body.len()).as_bytes());
    bytes.extend_from_slice(header);
    bytes.extend_from_slice(body);
    bytes.extend_from_slice(b"\r\nPING\r\n");
    socket.write_all(&bytes).unwrap();
    // The answer to the ping says that the broker has it.
    let mut answer = String::new();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut chunk = [0; 4096];
    while let Ok(n @ 1..) = std::io::Read::read(&mut socket, &mut chunk) {
        answer.push_str(&String::from_utf8_lossy(&chunk[..n]));
        if answer.contains("PONG") {
            break;
        }
    }
    assert!(answer.contains("PONG") && !answer.contains("-ERR"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_breaks_the_client_is_handed_out_and_the_next_one_too() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut inbox = fresh(&bus, &["x.>"]).await.inbox;
    publish(&bus, 0..3).await;
    // Not UTF-8, not a header line, and a status that only a broker may send.
    raw(broker.port(), b"x.bad", b"NATS/1.0\r\nx: \xff\xfe\r\n\r\n", b"one");
    raw(broker.port(), b"x.bad", b"NATS/1.0\r\nno colon\r\n\r\n", b"two");
    raw(broker.port(), b"x.bad", b"NATS/1.0 409 Consumer Deleted\r\n\r\n", b"three");
    raw(broker.port(), b"x.bad", b"NATS/1.0 503\r\n\r\n", b"four");
    publish(&bus, 3..6).await;
    let all = within(60, take(&mut inbox, 10)).await;
    assert_eq!(sequences(&all), (1..=10).collect::<Vec<_>>());
    let bodies: Vec<_> = all[3..7].iter().map(|m| m.payload.clone()).collect();
    assert_eq!(bodies, ["one", "two", "three", "four"]);
    assert_eq!(binding::read(&all[3], 1 << 20)[0].form, Form::Unreadable);
    // And where it is the last one.
    raw(broker.port(), b"x.bad", b"NATS/1.0\r\nx: \xff\r\n\r\n", b"five");
    let last = within(60, take(&mut inbox, 1)).await;
    assert_eq!((last[0].sequence, &last[0].payload[..]), (11, b"five".as_slice()));
    let js = broker.other().await;
    until("none pending", || async { ack_pending(&js, "shipwatch", "shipwatch").await == 0 }).await;
    publish(&bus, 6..7).await;
    assert_eq!(sequences(&take(&mut inbox, 1).await), [12]);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_flow_past_the_limits_of_a_pull() {
    let broker = Broker::configured("max_payload: 8MB");
    let bus = broker.bus().await;
    let mut inbox = fresh(&bus, &["x.>"]).await.inbox;
    let publisher = bus.publisher();
    for n in 0..12 {
        let body = vec![b'x'; if n % 3 == 0 { 7_900_000 } else { 900_000 }];
        publisher.publish("x.a", &n.to_string(), body.into()).await.unwrap().await.unwrap();
    }
    assert_eq!(sequences(&within(60, take(&mut inbox, 12)).await), (1..=12).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_services_on_one_durable_both_see_everything() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut one = fresh(&bus, &["x.>"]).await.inbox;
    let mut two = fresh(&bus, &["x.>"]).await.inbox;
    let reading = tokio::spawn(async move { sequences(&take(&mut two, 500).await) });
    publish(&bus, 0..500).await;
    // Whatever the broker gave to only one of them, the other fetches a little later.
    let all: Vec<u64> = (1..=500).collect();
    assert_eq!(sequences(&take(&mut one, 500).await), all);
    assert_eq!(within(40, reading).await.unwrap(), all);
}
