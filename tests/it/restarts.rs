//! Restarts of service and broker at every moment: nothing is lost, nothing is doubled, the store comes out the same.

use serde_json::json;

use std::time::Duration;

use async_nats::jetstream::stream;
use tempfile::TempDir;

use crate::support::{
    Bus, Nats, Shipwatch, World, deaf_after, eventually, sequence, serve_command, task_finished, task_triggered,
};

/// A little of everything, with fixed ids.
async fn publish_a_bit_of_everything(bus: &Bus) {
    let open = json!({"title": "broken", "severity": "critical"});
    for event in [
        task_finished("test").id("e1").run("r1").result("fail").at(1),
        task_finished("test").id("e2").run("r2").service("checkout").result("fail").at(2),
        task_triggered("open-issue").id("t1").data("open-issue", open).at(3),
        task_finished("test").id("e1").run("r1").result("fail").at(1),
        task_finished("test").id("e3").run("r3").at(4),
        task_triggered("check-issues").id("t2").data("check-issues", json!({})).at(5),
        sequence("staging", "delivery", "finished").id("e4").run("r4").result("warning").at(6),
        task_triggered("open-issue").id("t3").data("open-issue", json!({"title": 1})).at(7),
        task_finished("test").id("e5").run("r5").result("fail").at(3),
        task_triggered("close-issue").id("t4").data("close-issue", json!({})).at(8),
    ] {
        bus.publish(event).await;
    }
    bus.publish_raw("sh.keptn.event.test.finished", &[], "not an event").await;
}

/// What `publish_a_bit_of_everything` must have led to, whatever happened in between.
async fn assert_a_bit_of_everything(world: &World) {
    for trigger in ["t1", "t2", "t3", "t4"] {
        world.bus.answer(trigger).await;
    }
    let issue = world.only_issue("check=test&service=carts").await;
    assert_eq!((&issue["state"], &issue["occurrences"]), (&json!("RESOLVED"), &json!(1)));
    assert_eq!(world.only_issue("service=checkout").await["state"], "ACTIVE");
    assert_eq!(world.only_issue("resourceType=sequence").await["severity"], "minor");
    assert_eq!(world.service().all("/api/v1/parked").await.len(), 1);
}

/// A service with an empty folder and a consumer of its own folds the same stream to the same store, and says nothing.
async fn assert_a_fresh_fold_is_equal(world: &World) {
    world.settle().await;
    let published =
        async || world.bus.read("shipwatch").await.iter().filter(|m| m.json["source"] == "shipwatch").count();
    let before = eventually("everything owed is published", async || {
        let count = published().await;
        let again = published().await;
        (count == again).then_some(count)
    })
    .await;
    let second = world.second("second").await;
    let want = world.service().dump().await;
    let last = eventually("the second one is as far", async || {
        let dump = second.dump().await;
        (dump.len() >= want.len()).then_some(dump)
    })
    .await;
    pretty_equal(&last, &want);
    world.settle().await;
    assert_eq!(published().await, before, "replies that stand in the stream are not sent again");
}

/// Says where two long texts part.
fn pretty_equal(got: &str, want: &str) {
    if got != want {
        let at = got.lines().zip(want.lines()).position(|(a, b)| a != b).unwrap_or(0);
        let part = |text: &str| text.lines().skip(at.saturating_sub(5)).take(12).collect::<Vec<_>>().join("\n");
        panic!("differ at line {at}\n--- got\n{}\n--- want\n{}", part(got), part(want));
    }
}

#[tokio::test]
async fn published_while_down_is_folded_after_the_start() {
    let mut world = World::start().await;
    world.settle().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    publish_a_bit_of_everything(&world.bus).await;
    world.start_service().await;
    world.settle().await;
    assert_a_bit_of_everything(&world).await;
}

#[tokio::test]
async fn a_fresh_fold_of_the_same_stream_gives_the_same_store() {
    let world = World::start().await;
    publish_a_bit_of_everything(&world.bus).await;
    world.settle().await;
    assert_a_bit_of_everything(&world).await;
    assert_a_fresh_fold_is_equal(&world).await;
}

#[tokio::test]
async fn a_lost_data_folder_is_folded_again_without_answering_twice() {
    let mut world = World::start().await;
    publish_a_bit_of_everything(&world.bus).await;
    world.rest().await;
    assert_a_bit_of_everything(&world).await;
    let before = world.service().dump().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    std::fs::remove_dir_all(world.folder("data")).unwrap();
    world.start_service().await;
    let after = eventually("the store is rebuilt", async || {
        let dump = world.service().dump().await;
        (dump.len() >= before.len()).then_some(dump)
    })
    .await;
    pretty_equal(&after, &before);
    world.settle().await;
    assert_a_bit_of_everything(&world).await;
}

#[tokio::test]
async fn the_broker_may_come_and_go() {
    let mut world = World::start().await;
    world.fold(task_finished("test").result("fail").at(1)).await;
    for round in 0..2 {
        world.nats.restart().await;
        let id = format!("after-{round}");
        world.bus.publish(task_finished("test").id(&id).result("fail").at(2 + round)).await;
        world.service().folded(&id).await;
        let trigger = task_triggered("open-issue").data("open-issue", json!({"title": "x"})).at(10 + round);
        assert_eq!(world.bus.ask(trigger).await["data"]["status"], "succeeded");
    }
    assert_eq!(world.only_issue("check=test").await["occurrences"], 3);
}

#[tokio::test]
async fn a_broker_that_comes_late_is_waited_for() {
    let mut nats = Nats::later("");
    let dir = tempfile::TempDir::new().unwrap();
    let mut service = Shipwatch::listening(crate::support::serve_command(&nats.url(), &dir.path().join("data"))).await;
    assert_eq!(service.get_status("/healthz").await.0, 200, "alive");
    assert!(!service.is_ready().await, "and not ready");
    nats.restart().await;
    service.wait_ready().await;
    let bus = Bus::connect(&nats.url()).await;
    let id = bus.publish(task_finished("test").result("fail")).await;
    service.folded(&id).await;
}

#[tokio::test]
async fn stop_finishes_what_is_begun() {
    let mut world = World::start().await;
    let mut sent = Vec::new();
    for n in 0..300 {
        sent.push(world.bus.publish(task_finished("test").run(&format!("r{n}")).result("fail").at(1)).await);
    }
    let status = world.service.take().unwrap().terminate().await;
    assert!(status.success(), "{status}");
    world.start_service().await;
    world.settle().await;
    assert_eq!(world.only_issue("").await["occurrences"], 300);
}

#[tokio::test]
async fn an_existing_stream_is_used_and_left_as_it_is() {
    let nats = Nats::start().await;
    let bus = Bus::connect(&nats.url()).await;
    bus.create_stream("keptn", &["sh.keptn.>"]).await;
    let before = bus.jetstream.get_stream("keptn").await.unwrap().cached_info().config.clone();
    let earlier = bus.publish(task_finished("test").result("fail").at(1)).await;
    let world = World::on(nats, None).await;
    world.service().folded(&earlier).await;
    let trigger = bus.publish(task_triggered("open-issue").data("open-issue", json!({"title": "x"})).at(2)).await;
    world.service().folded(&trigger).await;
    let replies = eventually("the reply stands in Keptn's stream", async || {
        let mut all = bus.read("keptn").await;
        all.retain(|m| m.json["triggeredid"] == trigger.as_str());
        (all.len() >= 2).then_some(all)
    })
    .await;
    assert_eq!(replies.len(), 2);
    assert_eq!(bus.jetstream.get_stream("keptn").await.unwrap().cached_info().config, before);
}

/// The process ends itself when it comes to the point named by `SHIPWATCH_FAIL_POINT` (built without optimisation only).
async fn a_crash_changes_nothing(point: &str) {
    let mut world = World::start().await;
    world.settle().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    publish_a_bit_of_everything(&world.bus).await;
    let mut command = world.command("data");
    command.env("SHIPWATCH_FAIL_POINT", point);
    let mut crashing = Shipwatch::start(command);
    let status = crashing.ended().await;
    assert!(!status.success(), "it crashed {point}: {status}");
    drop(crashing);
    world.start_service().await;
    world.settle().await;
    assert_a_bit_of_everything(&world).await;
    assert_a_fresh_fold_is_equal(&world).await;
}

#[tokio::test]
async fn a_crash_before_the_commit_changes_nothing() {
    a_crash_changes_nothing("before-commit").await;
}

#[tokio::test]
async fn a_crash_after_the_commit_changes_nothing() {
    a_crash_changes_nothing("after-commit").await;
}

#[tokio::test]
async fn a_crash_before_the_publish_changes_nothing() {
    a_crash_changes_nothing("before-publish").await;
}

#[tokio::test]
async fn a_crash_after_the_publish_changes_nothing() {
    a_crash_changes_nothing("after-publish").await;
}

#[tokio::test]
async fn a_crash_before_the_ack_changes_nothing() {
    a_crash_changes_nothing("before-ack").await;
}

#[tokio::test]
async fn a_crash_after_the_ack_changes_nothing() {
    a_crash_changes_nothing("after-ack").await;
}

#[tokio::test]
async fn an_answer_does_not_wait_for_a_message_that_was_deleted() {
    let mut world = World::start().await;
    world.settle().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    let trigger = world.bus.publish(task_triggered("open-issue").data("open-issue", json!({"title": "x"}))).await;
    let last = task_finished("test").result("pass");
    let last = world.bus.publish_json("sh.keptn.event.test.finished", last.json()).await;
    assert!(world.bus.jetstream.get_stream("shipwatch").await.unwrap().delete_message(last).await.unwrap());
    world.start_service().await;
    world.bus.answer(&trigger).await;
}

#[tokio::test]
async fn a_service_without_its_broker_is_alive_and_not_ready() {
    let mut world = World::start().await;
    world.settle().await;
    world.nats.kill();
    eventually("it is not ready", async || (!world.service().is_ready().await).then_some(())).await;
    assert_eq!(world.service().get_status("/healthz").await.0, 200);
    assert_eq!(world.service().get_status("/api/v1/health").await.1["status"], "DOWN");
    world.nats.restart().await;
    eventually("it is ready again", async || world.service().is_ready().await.then_some(())).await;
}

/// The stream takes `started`, says so, and is not heard; when the connection is back the stream has forgotten the id.
#[tokio::test]
async fn an_answer_that_the_stream_took_before_a_long_outage_is_not_given_again() {
    let nats = Nats::start().await;
    let bus = Bus::connect(&nats.url()).await;
    let window = Duration::from_millis(200);
    let config = stream::Config {
        name: "shipwatch".into(),
        subjects: ["sh.keptn.>", "dev.>", "com.>", "io.>", "flux.>"].map(String::from).to_vec(),
        duplicate_window: window,
        ..Default::default()
    };
    bus.jetstream.create_stream(config).await.unwrap();
    let proxy = deaf_after(nats.port(), "HPUB sh.keptn.event.open-issue.started", 10 * window).await;
    let dir = TempDir::new().unwrap();
    let mut command = serve_command(&proxy, &dir.path().join("data"));
    command.args(["--stream", "shipwatch"]);
    let service = Shipwatch::ready(command).await;

    bus.publish(task_triggered("open-issue").id("t1").data("open-issue", json!({"title": "broken"}))).await;
    eventually("started is in the stream", async || (!bus.replies("t1").await.is_empty()).then_some(())).await;
    bus.answer("t1").await;
    // Whatever was sent again is there before this is answered.
    bus.ask(task_triggered("check-issues").id("t2").data("check-issues", json!({}))).await;
    bus.answer("t1").await;
    drop(service);
}
