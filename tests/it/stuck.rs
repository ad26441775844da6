//! Tasks that nobody starts, or that somebody starts and does not finish.

use serde_json::{Value, json};

use crate::support::{Keptn, Shipwatch, Stored, World, eventually, sequence, task_finished, task_triggered};

const SHORT: &str = "deadlines: {started: 1s, finished: 1s}\n";

fn started(task: &str, run: &str) -> Keptn {
    Keptn::new(&format!("sh.keptn.event.{task}.started")).run(run)
}

/// What stands in the stream about the deadlines of a trigger.
async fn passed(world: &World, trigger: &str) -> Vec<Stored> {
    let mut all = world.bus.read("shipwatch").await;
    all.retain(|m| m.subject == "dev.shipwatch.deadline.passed" && m.json["triggeredid"] == trigger);
    all
}

/// Waits until a deadline stands in the stream and is folded; its decision.
async fn decided(world: &World, trigger: &str, deadline: &str) -> Value {
    let event = eventually(&format!("the deadline {deadline} of {trigger} is published"), async || {
        passed(world, trigger).await.into_iter().find(|m| m.json["data"]["deadline"] == deadline)
    })
    .await;
    assert_eq!(event.msg_id.as_deref(), event.json["id"].as_str());
    world.service().folded(event.json["id"].as_str().unwrap()).await
}

#[tokio::test]
async fn a_task_that_nobody_starts_is_stuck_until_it_finishes() {
    let world = World::with_config(SHORT).await;
    let trigger = task_triggered("test").id("t1").context("c1").data("labels", json!({"build": "7"}));
    world.fold(trigger).await;
    let decision = decided(&world, "t1", "started").await;
    assert_eq!((&decision["change"], &decision["rule"]), (&json!("opened"), &json!("stuck-task")), "{decision:#}");
    let event = passed(&world, "t1").await[0].json.clone();
    assert_eq!((&event["source"], &event["shkeptncontext"]), (&json!("shipwatch/control"), &json!("c1")));
    for (member, want) in [
        ("project", json!("shop")),
        ("stage", json!("staging")),
        ("service", json!("carts")),
        ("task", json!("test")),
        ("after", json!("1s")),
        ("labels", json!({"build": "7"})),
    ] {
        assert_eq!(event["data"][member], want, "{member}");
    }
    let issue = world.only_issue("").await;
    assert_eq!(issue["title"], "test is stuck: carts in shop/staging");
    assert_eq!(
        (&issue["check"], &issue["severity"], &issue["issueType"]),
        (&json!("test/stuck"), &json!("major"), &json!("test"))
    );
    assert_eq!((&issue["triggeredId"], &issue["keptnContext"]), (&json!("t1"), &json!("c1")));
    assert!(issue["description"].as_str().unwrap().contains(event["data"]["triggeredAt"].as_str().unwrap()));

    world.fold(task_finished("test").id("f1").run("t1").result("fail").at(1)).await;
    let issue = world.only_issue("check=test/stuck").await;
    assert_eq!((&issue["state"], &issue["resolvedBy"]["id"]), (&json!("RESOLVED"), &json!("f1")));
    assert_eq!(world.only_issue("check=test").await["state"], "ACTIVE", "its outcome is another matter");
}

#[tokio::test]
async fn two_executors_of_which_one_hangs_are_stuck_until_both_have_finished() {
    let world = World::with_config("deadlines: {started: 1h, finished: 1s}\n").await;
    for event in [task_triggered("deployment").id("t1"), started("deployment", "t1"), started("deployment", "t1")] {
        world.bus.publish(event).await;
    }
    world.fold(task_finished("deployment").id("one").run("t1").at(1)).await;
    let decision = decided(&world, "t1", "finished").await;
    assert!(decision["why"].as_str().unwrap().contains("2 started deployment and 1 finished"), "{decision:#}");
    let issue = world.only_issue("").await;
    assert_eq!((&issue["check"], &issue["issueType"]), (&json!("deployment/stuck"), &json!("release")));

    world.fold(task_finished("deployment").id("two").run("t1").status("aborted").at(2)).await;
    assert_eq!(world.only_issue("").await["resolvedBy"]["id"], "two");
}

#[tokio::test]
async fn what_ends_in_time_is_never_spoken_of() {
    let world =
        World::with_config("deadlines: {started: 4s, finished: 4s, tasks: {approval: {started: 0s, finished: 0s}}}\n")
            .await;
    let end = sequence("staging", "delivery", "finished").context("aborted").status("aborted");
    for event in [
        task_triggered("test").id("in-time"),
        started("test", "in-time"),
        task_finished("test").run("in-time"),
        task_triggered("test").id("aborted").context("aborted"),
        end.id("end"),
        task_triggered("approval").id("for-ever"),
        task_triggered("test").id("replayed").attribute("shipwatchreplay", "p"),
        task_triggered("open-issue").id("ours").data("open-issue", json!({"title": "x"})),
        // Behind all of them, so when this one is late the others would have been.
        task_triggered("test").id("late").service("checkout"),
    ] {
        world.bus.publish(event).await;
    }
    decided(&world, "late", "started").await;
    world.rest().await;
    let all = world.bus.read("shipwatch").await;
    let spoken = all.iter().filter(|m| m.subject == "dev.shipwatch.deadline.passed");
    assert_eq!(spoken.map(|m| &m.json["triggeredid"]).collect::<Vec<_>>(), ["late"]);

    // Another watcher may know less; the fold knows that the sequence has ended.
    let late = passed(&world, "late").await[0].json.clone();
    let trigger = all.iter().find(|m| m.json["id"] == "aborted").unwrap().json.clone();
    let trigger = shipwatch::domain::event::Event::from_value(trigger).unwrap();
    let mut said: shipwatch::domain::deadline::Passed = serde_json::from_value(late["data"].clone()).unwrap();
    said.service = "carts".into();
    let event = said.event(&trigger, said.triggered_at).to_value();
    world.bus.publish(event.clone()).await;
    let decision = world.service().folded(event["id"].as_str().unwrap()).await;
    assert_eq!(decision["why"], "the sequence of test has ended with event end", "{decision:#}");
}

#[tokio::test]
async fn a_deadline_that_passes_while_the_service_is_down_is_said_after_the_start() {
    let mut world = World::with_config("deadlines: {started: 1h, finished: 5s}\n").await;
    for id in ["t1", "t2"] {
        world.bus.publish(task_triggered("test").id(id)).await;
        world.bus.publish(started("test", id)).await;
    }
    world.settle().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    // Meanwhile one of them is finished.
    world.bus.publish(task_finished("test").run("t2").at(1)).await;
    world.start_service().await;
    decided(&world, "t1", "finished").await;
    assert!(passed(&world, "t2").await.is_empty(), "the fold is behind the stream's end first");
    assert_eq!(world.only_issue("check=test/stuck").await["triggeredId"], "t1");

    // What was said is not said again, nor by a fold that begins anew.
    world.kill();
    world.start_service().await;
    let second = world.second("second").await;
    world.fold(task_triggered("test").id("t3")).await;
    world.fold(started("test", "t3")).await;
    decided(&world, "t3", "finished").await;
    assert_eq!(passed(&world, "t1").await.len(), 1);
    let want = world.service().dump().await;
    let got = eventually("the second one is as far", async || {
        let dump = second.dump().await;
        (dump.len() >= want.len()).then_some(dump)
    })
    .await;
    assert_eq!(got, want, "and folds the same");
}

async fn a_crash_loses_and_doubles_no_deadline(point: &str) {
    let mut world = World::with_config(SHORT).await;
    world.settle().await;
    assert!(world.service.take().unwrap().terminate().await.success());
    let mut command = world.command("data");
    command.env("SHIPWATCH_FAIL_POINT", point);
    let mut crashing = Shipwatch::start(command);
    world.bus.publish(task_triggered("test").id("t1")).await;
    assert!(!crashing.ended().await.success(), "it crashed {point}");
    drop(crashing);
    world.start_service().await;
    decided(&world, "t1", "started").await;
    world.fold(task_triggered("test").id("t2").service("checkout")).await;
    decided(&world, "t2", "started").await;
    assert_eq!(passed(&world, "t1").await.len(), 1);
    assert_eq!(world.only_issue("service=carts").await["occurrences"], 1);
}

#[tokio::test]
async fn a_crash_before_a_deadline_is_published_loses_nothing() {
    a_crash_loses_and_doubles_no_deadline("before-deadline").await;
}

#[tokio::test]
async fn a_crash_after_a_deadline_is_published_doubles_nothing() {
    a_crash_loses_and_doubles_no_deadline("after-deadline").await;
}

#[tokio::test]
async fn a_broker_that_is_away_gets_the_deadline_when_it_is_back() {
    let mut world = World::with_config("deadlines: {started: 4s}\n").await;
    world.fold(task_triggered("test").id("t1")).await;
    world.nats.kill();
    world.service().logged(&["a deadline was not taken by the stream"]).await;
    world.nats.restart().await;
    decided(&world, "t1", "started").await;
    world.only_issue("check=test/stuck").await;
}
