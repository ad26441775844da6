//! Messages by sequence, each once, from wherever the store is.

use async_nats::jetstream::consumer::{AckPolicy, pull, push};
use async_nats::jetstream::stream::RetentionPolicy;
use shipwatch::bus::{Bound, Gap, GroupLimits, Kind, Patience, Reached, Replay, Settings, Start, attach, connect};
use shipwatch::domain::time::Time;

use crate::broker::Broker;
use crate::{LIMITS, ack_pending, fresh, gather, group, publish, reached, sequences, take, until, wish, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_group_holds_what_is_there_and_is_acknowledged_as_one() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut attached = fresh(&bus, &["x.>"]).await;
    assert_eq!((attached.stream.name.as_str(), &attached.start), ("shipwatch", &Start::Empty));
    publish(&bus, 0..1500).await;
    let mut all = Vec::new();
    let mut groups = 0;
    while all.len() < 1500 {
        let group = group(&mut attached.inbox).await;
        assert_eq!(group.lag, 1500 - all.len() as u64 - group.messages.len() as u64);
        assert!(group.missed.is_empty() && group.messages.len() <= LIMITS.messages);
        all.extend(group.messages);
        attached.inbox.acker().ack(group.token).await.unwrap();
        groups += 1;
    }
    assert_eq!(sequences(&all), (1..=1500).collect::<Vec<_>>());
    assert_eq!((all[7].subject.as_str(), &all[7].payload[..]), ("x.7", b"7".as_slice()));
    assert_eq!(all[7].headers.get("nats-msg-id"), Some("id-7"));
    assert!(groups < 40, "{groups} groups");
    assert_eq!(ack_pending(&broker.other().await, "shipwatch", "shipwatch").await, 0);
    assert!(attached.inbox.status().running());
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_stop_at_their_limits_and_cancelling_loses_nothing() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut inbox = fresh(&bus, &["x.>"]).await.inbox;
    publish(&bus, 0..400).await;
    let small = GroupLimits { messages: 7, bytes: 11 };
    let mut all = Vec::new();
    let mut wait = 0;
    while all.len() < 400 {
        wait = (wait + 37) % 300;
        let limit = std::time::Duration::from_micros(wait);
        let Ok(group) = tokio::time::timeout(limit, inbox.next_group(small)).await else { continue };
        let group = group.unwrap();
        assert!(group.messages.len() <= 7);
        let before_last: usize = group.messages.iter().rev().skip(1).map(|m| m.payload.len()).sum();
        assert!(before_last < 11);
        all.extend(group.messages);
    }
    assert_eq!(sequences(&all), (1..=400).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_acknowledgement_goes_on_at_once_from_the_store() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut attached = fresh(&bus, &["x.>"]).await;
    publish(&bus, 0..300).await;
    // 100 are folded; of these 60 acknowledged, and all 300 were delivered to the life that ends here.
    let acker = attached.inbox.acker();
    for token in gather(&mut attached.inbox, 60).await.1 {
        acker.ack(token).await.unwrap();
    }
    let js = broker.other().await;
    until("all delivered", || async { ack_pending(&js, "shipwatch", "shipwatch").await == 240 }).await;
    drop(attached.inbox);

    let mut attached = attach(&bus, &wish(&["x.>"]), &reached(&attached.stream, 100)).await.unwrap();
    assert_eq!(attached.start, Start::Continue);
    let begun = std::time::Instant::now();
    let rest = take(&mut attached.inbox, 200).await;
    assert_eq!(sequences(&rest), (101..=300).collect::<Vec<_>>());
    assert!(begun.elapsed().as_secs() < 5, "it waited for the redelivery");
    until("none pending", || async { ack_pending(&js, "shipwatch", "shipwatch").await == 0 }).await;
    publish(&bus, 300..301).await;
    assert_eq!(sequences(&take(&mut attached.inbox, 1).await), [301]);
    // Nothing is left of the consumer that read again.
    let consumers = js.get_stream("shipwatch").await.unwrap().get_info().await.unwrap().state.consumer_count;
    assert_eq!(consumers, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_and_a_restored_store_are_rebuilt_from_the_stream() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut attached = fresh(&bus, &["x.>"]).await;
    publish(&bus, 0..50).await;
    take(&mut attached.inbox, 50).await;
    let stream = attached.stream.clone();
    drop(attached);
    let mut restored = attach(&bus, &wish(&["x.>"]), &reached(&stream, 20)).await.unwrap();
    assert_eq!(sequences(&take(&mut restored.inbox, 30).await), (21..=50).collect::<Vec<_>>());
    drop(restored);
    let mut empty = fresh(&bus, &["x.>"]).await;
    assert_eq!(empty.start, Start::Empty);
    assert!(empty.missed.is_empty());
    assert_eq!(sequences(&take(&mut empty.inbox, 50).await), (1..=50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_ahead_of_the_consumer_skips_what_it_has() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let attached = fresh(&bus, &["x.>"]).await;
    publish(&bus, 0..50).await;
    // The consumer has delivered nothing to anybody, the store has 40.
    let mut attached = attach(&bus, &wish(&["x.>"]), &reached(&attached.stream, 40)).await.unwrap();
    assert_eq!(sequences(&take(&mut attached.inbox, 10).await), (41..=50).collect::<Vec<_>>());
    assert_eq!(ack_pending(&broker.other().await, "shipwatch", "shipwatch").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_stream_no_longer_has_is_said() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut attached = fresh(&bus, &["x.>"]).await;
    publish(&bus, 0..20).await;
    take(&mut attached.inbox, 5).await;
    let stream = attached.stream.clone();
    drop(attached);
    let js = broker.other().await;
    let raw = js.get_stream("shipwatch").await.unwrap();
    raw.purge().sequence(11).await.unwrap();
    raw.delete_message(15).await.unwrap();
    let mut attached = attach(&bus, &wish(&["x.>"]), &reached(&stream, 5)).await.unwrap();
    assert_eq!(attached.missed, [Gap { first: 6, last: 10 }]);
    let mut missed = Vec::new();
    let mut all = Vec::new();
    while all.len() < 9 {
        let group = group(&mut attached.inbox).await;
        missed.extend(group.missed);
        all.extend(group.messages);
    }
    assert_eq!(sequences(&all), [11, 12, 13, 14, 16, 17, 18, 19, 20]);
    assert_eq!(missed, [Gap { first: 15, last: 15 }]);
    drop(attached);
    // A first start on a stream whose head has aged out misses nothing it ever had.
    let wish = shipwatch::bus::StreamWish { durable: "second".into(), ..wish(&["x.>"]) };
    let first = attach(&bus, &wish, &Reached::default()).await.unwrap();
    assert!(first.missed.is_empty());
    // And one whose last messages were purged goes on with the next.
    raw.purge().await.unwrap();
    let mut attached = attach(&bus, &wish, &reached(&stream, 18)).await.unwrap();
    assert_eq!(attached.missed, [Gap { first: 19, last: 20 }]);
    publish(&bus, 20..21).await;
    assert_eq!(sequences(&take(&mut attached.inbox, 1).await), [21]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_durable_deleted_while_running_is_made_again() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut inbox = fresh(&bus, &["x.>"]).await.inbox;
    publish(&bus, 0..10).await;
    take(&mut inbox, 10).await;
    let js = broker.other().await;
    let stream = js.get_stream("shipwatch").await.unwrap();
    stream.delete_consumer("shipwatch").await.unwrap();
    publish(&bus, 10..20).await;
    assert_eq!(sequences(&take(&mut inbox, 10).await), (11..=20).collect::<Vec<_>>());
    assert_eq!(ack_pending(&js, "shipwatch", "shipwatch").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_stream_of_the_name_begins_a_new_count() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut attached = fresh(&bus, &["x.>"]).await;
    publish(&bus, 0..5).await;
    take(&mut attached.inbox, 5).await;
    let js = broker.other().await;
    js.delete_stream("shipwatch").await.unwrap();
    let error = within(20, attached.inbox.next_group(LIMITS)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Attach, "{error}");
    let store = reached(&attached.stream, 5);
    let mut again = attach(&bus, &wish(&["x.>"]), &store).await.unwrap();
    assert!(matches!(&again.start, Start::NewCount { why } if why.contains("was made at")), "{:?}", again.start);
    publish(&bus, 5..7).await;
    assert_eq!(sequences(&take(&mut again.inbox, 2).await), [1, 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_lost_its_end_begins_a_new_count() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let mut attached = fresh(&bus, &["x.>"]).await;
    publish(&bus, 0..5).await;
    let messages = take(&mut attached.inbox, 5).await;
    let ahead = reached(&attached.stream, 9);
    let start = attach(&bus, &wish(&["x.>"]), &ahead).await.unwrap().start;
    assert!(matches!(&start, Start::NewCount { why } if why.contains("older copy")), "{start:?}");
    // Sequences were given out again since: the time of the last one tells.
    let same = Reached { time: Some(messages[4].stream_time), ..reached(&attached.stream, 5) };
    assert_eq!(attach(&bus, &wish(&["x.>"]), &same).await.unwrap().start, Start::Continue);
    let other = Reached { time: Time::parse("2026-01-02T03:04:05Z"), ..same };
    let start = attach(&bus, &wish(&["x.>"]), &other).await.unwrap().start;
    assert!(matches!(&start, Start::NewCount { why } if why.contains("sequence 5")), "{start:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_of_somebody_else_is_used_as_it_is_or_refused_in_plain_words() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let attached = fresh(&bus, &["x.>"]).await;
    let js = broker.other().await;
    let stream = js.get_stream("shipwatch").await.unwrap();
    let explicit = pull::Config {
        durable_name: Some("mine".into()),
        ack_policy: AckPolicy::Explicit,
        max_ack_pending: 20,
        ..Default::default()
    };
    stream.create_consumer(explicit).await.unwrap();
    publish(&bus, 0..100).await;
    let mine = shipwatch::bus::StreamWish { durable: "mine".into(), ..wish(&["x.>"]) };
    let mut inbox = attach(&bus, &mine, &Reached::default()).await.unwrap().inbox;
    gather(&mut inbox, 10).await;
    drop(inbox);
    // The ten of the earlier life are acknowledged too, although their addresses are lost.
    let mut inbox = attach(&bus, &mine, &Reached::default()).await.unwrap().inbox;
    assert_eq!(sequences(&take(&mut inbox, 100).await), (1..=100).collect::<Vec<_>>());
    until("none pending", || async { ack_pending(&js, "shipwatch", "mine").await == 0 }).await;

    let pushing = push::Config {
        durable_name: Some("pushing".into()),
        deliver_subject: "inbox.of.someone".into(),
        ..Default::default()
    };
    stream.create_consumer(pushing).await.unwrap();
    let pushing = shipwatch::bus::StreamWish { durable: "pushing".into(), ..wish(&["x.>"]) };
    let Err(error) = attach(&bus, &pushing, &Reached::default()).await else { panic!("a push consumer was taken") };
    assert!(error.to_string().contains("push consumer"), "{error}");
    assert_eq!(error.kind(), Kind::Final);
    drop(attached);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_consumer_hands_out_its_part_in_order() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    drop(fresh(&bus, &["x.>"]).await);
    let js = broker.other().await;
    let stream = js.get_stream("shipwatch").await.unwrap();
    let filtered =
        pull::Config { durable_name: Some("part".into()), filter_subject: "x.y.>".into(), ..Default::default() };
    stream.create_consumer(filtered).await.unwrap();
    for n in 0..60 {
        let subject = if n % 3 == 0 { "x.y.1" } else { "x.z" };
        js.publish(subject, "b".into()).await.unwrap().await.unwrap();
    }
    let part = shipwatch::bus::StreamWish { durable: "part".into(), ..wish(&["x.>"]) };
    let attached = attach(&bus, &part, &Reached::default()).await.unwrap();
    let lacks = "consumer \"part\" on stream \"shipwatch\" has a filter that lacks \"x.>\": those events are not seen";
    assert_eq!(attached.notes, [lacks]);
    let mut inbox = attached.inbox;
    gather(&mut inbox, 7).await;
    drop(inbox);
    let mut inbox = attach(&bus, &part, &Reached::default()).await.unwrap().inbox;
    let wanted: Vec<u64> = (0..60).filter(|n| n % 3 == 0).map(|n| n + 1).collect();
    assert_eq!(sequences(&take(&mut inbox, 20).await), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_work_queue_is_read_too() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let js = broker.other().await;
    js.create_stream(async_nats::jetstream::stream::Config {
        name: "queue".into(),
        subjects: vec!["x.>".into()],
        retention: RetentionPolicy::WorkQueue,
        ..Default::default()
    })
    .await
    .unwrap();
    let mut attached = fresh(&bus, &["x.>"]).await;
    assert!(attached.notes.iter().any(|n| n.contains("cannot be rebuilt")), "{:?}", attached.notes);
    publish(&bus, 0..30).await;
    gather(&mut attached.inbox, 10).await;
    until("delivered", || async { ack_pending(&js, "queue", "shipwatch").await == 30 }).await;
    drop(attached.inbox);
    let mut attached = attach(&bus, &wish(&["x.>"]), &reached(&attached.stream, 10)).await.unwrap();
    assert_eq!(sequences(&take(&mut attached.inbox, 20).await), (11..=30).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_reads_its_range_and_leaves_nothing() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    drop(fresh(&bus, &["x.>"]).await);
    publish(&bus, 0..3000).await;
    let bus = connect(&Settings::url(broker.url()), "replay", Patience::FailFast).await.unwrap();
    let read = async |from, to| {
        let mut replay = Replay::open(&bus, "shipwatch", from, to).await.unwrap();
        let mut all = Vec::new();
        loop {
            let group = within(20, replay.next_group(LIMITS)).await.unwrap();
            if group.is_empty() {
                return all;
            }
            assert!(group.len() <= LIMITS.messages);
            all.extend(group);
        }
    };
    let all = read(Bound::Open, Bound::Open).await;
    assert_eq!(sequences(&all), (1..=3000).collect::<Vec<_>>());
    assert_eq!(sequences(&read(Bound::Sequence(10), Bound::Sequence(12)).await), [10, 11, 12]);
    assert_eq!(sequences(&read(Bound::Sequence(2999), Bound::Sequence(9999)).await), [2999, 3000]);
    assert!(read(Bound::Sequence(3001), Bound::Open).await.is_empty());
    let (from, to) = (all[99].stream_time, all[199].stream_time);
    let by_time = read(Bound::Time(from), Bound::Time(to)).await;
    let wanted: Vec<u64> =
        all.iter().filter(|m| m.stream_time >= from && m.stream_time <= to).map(|m| m.sequence).collect();
    assert_eq!(sequences(&by_time), wanted);
    bus.flush().await;
    let js = broker.other().await;
    until("no consumers but the durable", || async {
        js.get_stream("shipwatch").await.unwrap().get_info().await.unwrap().state.consumer_count == 1
    })
    .await;
    let Err(error) = Replay::open(&bus, "nope", Bound::Open, Bound::Open).await else { panic!("it does not exist") };
    assert!(error.to_string().contains("\"nope\" does not exist"));
}
