//! Which stream is read, and what is made where none fits.

use async_nats::jetstream::stream::Config;
use shipwatch::bus::{Kind, Patience, Reached, Settings, StreamWish, attach, connect, find};

use crate::broker::Broker;
use crate::{fresh, publish, sequences, take, wish, within};

fn config(name: &str, subjects: &[&str]) -> Config {
    Config { name: name.into(), subjects: subjects.iter().map(|s| (*s).to_owned()).collect(), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_stream_that_has_all_is_used_and_not_touched() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let js = broker.other().await;
    js.create_stream(config("events", &["x.>", "y.>"])).await.unwrap();
    let before = js.get_stream("events").await.unwrap().get_info().await.unwrap().config;
    let attached = fresh(&bus, &["x.a.>", "y.>"]).await;
    assert_eq!(attached.stream.name, "events");
    assert!(attached.notes.is_empty(), "{:?}", attached.notes);
    assert_eq!(js.get_stream("events").await.unwrap().get_info().await.unwrap().config, before);
    assert_eq!(find(&bus, &wish(&["x.>"])).await.unwrap().0, attached.stream);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_stream_holds_is_sourced_and_ours_grows_with_the_rules() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let js = broker.other().await;
    let keptn = js.create_stream(config("keptn", &["sh.keptn.>", "x.9.>"])).await.unwrap().cached_info().config.clone();
    let Err(error) = find(&bus, &wish(&["sh.keptn.>", "x.1"])).await else { panic!("nothing is there yet") };
    assert!(error.to_string().contains("nats stream add shipwatch"), "{error}");

    let mut attached = fresh(&bus, &["sh.keptn.>", "x.1"]).await;
    assert_eq!(attached.stream.name, "shipwatch");
    assert!(attached.notes.is_empty(), "{:?}", attached.notes);
    js.publish("sh.keptn.event.a", "k".into()).await.unwrap().await.unwrap();
    let first = take(&mut attached.inbox, 1).await;
    assert_eq!(first[0].subject, "sh.keptn.event.a");
    publish(&bus, 1..2).await;
    assert_eq!(take(&mut attached.inbox, 1).await[0].subject, "x.1");

    // Rules name more: one subject that nobody has, one that keptn's stream has.
    let grown = ["sh.keptn.>", "x.1", "x.2", "x.9.>"];
    let store = crate::reached(&attached.stream, 2);
    drop(attached);
    let mut attached = attach(&bus, &wish(&grown), &store).await.unwrap();
    assert_eq!(attached.start, shipwatch::bus::Start::Continue);
    publish(&bus, 2..3).await;
    assert_eq!(take(&mut attached.inbox, 1).await[0].subject, "x.2");
    js.publish("x.9.a", "n".into()).await.unwrap().await.unwrap();
    js.publish("sh.keptn.event.b", "k".into()).await.unwrap().await.unwrap();
    let two = take(&mut attached.inbox, 2).await;
    let mut subjects: Vec<_> = two.iter().map(|m| m.subject.as_str()).collect();
    subjects.sort_unstable();
    assert_eq!(subjects, ["sh.keptn.event.b", "x.9.a"]);
    // Nothing came twice by the change of sources.
    let state = js.get_stream("shipwatch").await.unwrap().get_info().await.unwrap().state;
    assert_eq!(state.messages, 5);
    assert_eq!(js.get_stream("keptn").await.unwrap().cached_info().config, keptn);
    // The same wish again changes nothing.
    let before = js.get_stream("shipwatch").await.unwrap().cached_info().config.clone();
    attach(&bus, &wish(&grown), &store).await.unwrap();
    assert_eq!(js.get_stream("shipwatch").await.unwrap().cached_info().config, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_stream_on_keptns_subjects_is_pointed_out() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let attached = fresh(&bus, &["sh.keptn.>"]).await;
    assert!(attached.notes.iter().any(|n| n.contains("--stream keptn")), "{:?}", attached.notes);
    let info = broker.other().await.get_stream("shipwatch").await.unwrap().cached_info().config.clone();
    assert_eq!(info.storage, async_nats::jetstream::stream::StorageType::File);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_named_stream_is_used_as_it_is_and_its_gaps_are_named() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let js = broker.other().await;
    let named = StreamWish { named: Some("mine".into()), ..wish(&["x.>", "y.>"]) };
    let Err(error) = attach(&bus, &named, &Reached::default()).await else { panic!("it does not exist") };
    assert_eq!(error.kind(), Kind::Final);
    assert!(error.to_string().contains("nats stream add mine --subjects \"x.>,y.>\""), "{error}");

    js.create_stream(config("mine", &["x.>"])).await.unwrap();
    let attached = attach(&bus, &named, &Reached::default()).await.unwrap();
    assert_eq!(attached.notes, ["stream \"mine\" does not hold \"y.>\": those events are not seen"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_is_read_a_stream_of_ours_is_widened_and_another_one_is_not() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let js = broker.other().await;
    let subjects = async |name: &str| js.get_stream(name).await.unwrap().cached_info().config.subjects.clone();
    let _attached = fresh(&bus, &["x.>"]).await;
    assert!(!bus.holds("shipwatch", "y.1").await.unwrap());
    assert!(bus.widen("shipwatch", &wish(&["x.>", "y.>"])).await.unwrap().is_empty());
    assert_eq!(subjects("shipwatch").await, ["x.>", "y.>"]);
    assert!(bus.holds("shipwatch", "y.1").await.unwrap());
    // Fewer subjects take nothing away.
    assert!(bus.widen("shipwatch", &wish(&["x.>"])).await.unwrap().is_empty());
    assert_eq!(subjects("shipwatch").await, ["x.>", "y.>"]);

    js.create_stream(config("mine", &["z.>"])).await.unwrap();
    let named = StreamWish { named: Some("mine".into()), ..wish(&["z.>"]) };
    let _attached = attach(&bus, &named, &Reached::default()).await.unwrap();
    let more = StreamWish { subjects: vec!["z.>".into(), "w.>".into()], ..named };
    let notes = bus.widen("mine", &more).await.unwrap();
    assert_eq!(notes, ["stream \"mine\" does not hold \"w.>\": those events are not seen"]);
    assert_eq!(subjects("mine").await, ["z.>"]);
    assert_eq!(bus.widen("gone", &more).await.unwrap_err().kind(), Kind::Attach);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sourced_stream_holds_what_its_sources_hold() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let js = broker.other().await;
    js.create_stream(config("keptn", &["x.>"])).await.unwrap();
    let _attached = fresh(&bus, &["x.>", "y.>"]).await;
    assert!(bus.holds("shipwatch", "x.1").await.unwrap());
    assert!(!bus.holds("shipwatch", "z.1").await.unwrap());
    js.create_stream(async_nats::jetstream::stream::Config {
        name: "whole".into(),
        sources: Some(vec![async_nats::jetstream::stream::Source { name: "keptn".into(), ..Default::default() }]),
        ..Default::default()
    })
    .await
    .unwrap();
    assert!(bus.holds("whole", "x.1").await.unwrap());
    assert!(!bus.holds("whole", "y.1").await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn single_messages_are_found_by_their_subject() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let _attached = fresh(&bus, &["x.>"]).await;
    assert!(bus.next_on("shipwatch", "x.1", 1).await.unwrap().is_none());
    assert!(bus.last_on("shipwatch", "x.1").await.unwrap().is_none());
    let js = broker.other().await;
    for (n, subject) in ["x.0", "x.1", "x.0", "x.1", "x.0"].into_iter().enumerate() {
        js.publish(subject, n.to_string().into()).await.unwrap().await.unwrap();
    }
    let next = async |from: u64| bus.next_on("shipwatch", "x.1", from).await.unwrap().map(|m| (m.sequence, m.payload));
    assert_eq!(next(1).await, Some((2, "1".into())));
    assert_eq!(next(2).await, Some((2, "1".into())));
    assert_eq!(next(3).await, Some((4, "3".into())));
    assert_eq!(next(5).await, None);
    assert_eq!(next(99).await, None);
    assert_eq!(bus.last_on("shipwatch", "x.1").await.unwrap().unwrap().sequence, 4);
    js.get_stream("shipwatch").await.unwrap().delete_message(2).await.unwrap();
    assert_eq!(next(1).await, Some((4, "3".into())));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_still_to_come_is_waited_for() {
    let broker = Broker::start();
    let bus = broker.bus().await;
    let js = broker.other().await;
    let keptn = StreamWish { named: Some("keptn".into()), wait_for: true, ..wish(&["x.>"]) };
    let waiting = tokio::spawn(async move { attach(&bus, &keptn, &Reached::default()).await.map(|a| a.stream.name) });
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert!(!waiting.is_finished());
    js.create_stream(config("keptn", &["x.>"])).await.unwrap();
    assert_eq!(within(20, waiting).await.unwrap().unwrap(), "keptn");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_create_a_stream_the_command_is_printed() {
    let broker = Broker::configured(
        r#"authorization { users: [{user: u, password: p,
             permissions: {publish: {deny: ["$JS.API.STREAM.CREATE.>", "$JS.API.CONSUMER.CREATE.>"]}}},
             {user: admin, password: p}] }"#,
    );
    let settings = Settings { user: Some("u".into()), password: Some("p".into()), ..Settings::url(broker.url()) };
    let bus = connect(&settings, "test", Patience::Wait).await.unwrap();
    let begun = std::time::Instant::now();
    let Err(error) = attach(&bus, &wish(&["x.>"]), &Reached::default()).await else { panic!("not allowed") };
    assert_eq!(error.kind(), Kind::Final);
    assert!(error.to_string().contains("nats stream add shipwatch --subjects \"x.>\""), "{error}");
    let admin = Settings { user: Some("admin".into()), ..settings };
    let admin = connect(&admin, "test", Patience::Wait).await.unwrap();
    let mut attached = fresh(&admin, &["x.>"]).await;
    publish(&admin, 0..3).await;
    assert_eq!(sequences(&take(&mut attached.inbox, 3).await), [1, 2, 3]);
    // Nor to create a consumer.
    let other = StreamWish { durable: "other".into(), ..wish(&["x.>"]) };
    let Err(error) = attach(&bus, &other, &Reached::default()).await else { panic!("not allowed") };
    assert!(error.to_string().contains("nats consumer add shipwatch other"), "{error}");
    assert!(begun.elapsed().as_secs() < 4, "it waited for an answer that never comes");
    // A consumer that is there is enough, even to read again what it delivered before.
    let mut attached = fresh(&bus, &["x.>"]).await;
    assert_eq!(sequences(&take(&mut attached.inbox, 3).await), [1, 2, 3]);
}
