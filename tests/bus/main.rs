//! The bus against a real nats-server. `NATS_SERVER` names another binary than the one on `PATH`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod broker;
mod chaos;
mod connecting;
mod faults;
mod folding;
mod publishing;
mod rate;
mod streams;

use std::time::Duration;

use shipwatch::bus::{
    Attached, Bus, Group, GroupLimits, Inbox, Message, Reached, StreamIdentity, StreamWish, Token, attach,
};

pub(crate) const LIMITS: GroupLimits = GroupLimits { messages: 1024, bytes: 4 << 20 };

pub(crate) fn wish(subjects: &[&str]) -> StreamWish {
    StreamWish { subjects: subjects.iter().map(|s| (*s).to_owned()).collect(), ..StreamWish::default() }
}

/// Attaches as a service with an empty store would.
pub(crate) async fn fresh(bus: &Bus, subjects: &[&str]) -> Attached {
    attach(bus, &wish(subjects), &Reached::default()).await.unwrap()
}

/// What a store says that folded up to `sequence`.
pub(crate) fn reached(stream: &StreamIdentity, sequence: u64) -> Reached {
    Reached { stream: Some(stream.clone()), sequence, time: None }
}

/// Publishes `x.<n>` with the number as body, and waits until the stream has them, through outages too.
pub(crate) async fn publish(bus: &Bus, numbers: std::ops::Range<u32>) {
    let publisher = bus.publisher();
    let send = async |n: u32| publisher.publish(&format!("x.{n}"), &format!("id-{n}"), n.to_string().into()).await;
    let mut receipts = Vec::new();
    for n in numbers {
        receipts.push((n, send(n).await));
    }
    for (n, mut receipt) in receipts {
        loop {
            match receipt {
                Ok(on_its_way) => match on_its_way.await {
                    Ok(_) => break,
                    Err(error) => assert!(error.is_passing(), "{error}"),
                },
                Err(error) => assert!(error.is_passing(), "{error}"),
            }
            receipt = send(n).await;
        }
    }
}

pub(crate) async fn group(inbox: &mut Inbox) -> Group {
    within(20, inbox.next_group(LIMITS)).await.unwrap()
}

/// The next `count` messages, each group acknowledged.
pub(crate) async fn take(inbox: &mut Inbox, count: usize) -> Vec<Message> {
    let mut all = Vec::new();
    let acker = inbox.acker();
    while all.len() < count {
        let group = group(inbox).await;
        all.extend(group.messages);
        acker.ack(group.token).await.ok();
    }
    all
}

/// The next `count` messages without an acknowledgement; their tokens beside them.
pub(crate) async fn gather(inbox: &mut Inbox, count: usize) -> (Vec<Message>, Vec<Token>) {
    let (mut all, mut tokens) = (Vec::new(), Vec::new());
    while all.len() < count {
        let limits = GroupLimits { messages: count - all.len(), ..LIMITS };
        let group = within(20, inbox.next_group(limits)).await.unwrap();
        all.extend(group.messages);
        tokens.push(group.token);
    }
    (all, tokens)
}

pub(crate) fn sequences(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|m| m.sequence).collect()
}

pub(crate) async fn within<T>(seconds: u64, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(seconds), future).await.expect("in time")
}

/// Waits for a condition.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let begun = std::time::Instant::now();
    while !holds().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "still not: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Deliveries that wait for an acknowledgement.
pub(crate) async fn ack_pending(js: &async_nats::jetstream::Context, stream: &str, durable: &str) -> usize {
    let stream = js.get_stream(stream).await.unwrap();
    stream.consumer_info(durable).await.unwrap().num_ack_pending
}

/// Up to where everything is acknowledged.
pub(crate) async fn ack_floor(js: &async_nats::jetstream::Context, stream: &str, durable: &str) -> u64 {
    let stream = js.get_stream(stream).await.unwrap();
    stream.consumer_info(durable).await.unwrap().ack_floor.stream_sequence
}
