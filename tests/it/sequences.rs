//! Sequences: what happened in a delivery, by the endpoint and in the terminal.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Keptn, World, exit_of, sequence, task_finished, task_triggered, time_at};

/// `<task>.started` of an executor.
fn started(task: &str, trigger: &str, source: &str) -> Keptn {
    Keptn::new(&format!("sh.keptn.event.{task}.started")).run(trigger).source(source)
}

fn finished(task: &str, trigger: &str, source: &str) -> Keptn {
    task_finished(task).run(trigger).source(source)
}

async fn publish(world: &World, context: &str, events: Vec<Keptn>) {
    for event in events {
        world.bus.publish(event.context(context)).await;
    }
}

async fn timeline(world: &World, context: &str) -> Value {
    world.service().get(&format!("/api/v1/sequences/{context}")).await
}

/// A column of a list in a timeline.
fn column<'a>(list: &'a Value, name: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|item| item[name].as_str().unwrap_or("-")).collect()
}

async fn contexts(world: &World, query: &str) -> Vec<String> {
    let list = world.service().all(&format!("/api/v1/sequences{query}")).await;
    list.iter().map(|item| item["keptnContext"].as_str().unwrap().to_owned()).collect()
}

/// `shipwatch sequence show`; its output.
async fn show(world: &World, args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
    let server = format!("http://{}", world.service().addr());
    command.args(["sequence", "show", "--server", &server]).args(args).env("LC_ALL", "C.UTF-8");
    let (status, out, err) = exit_of(command).await;
    assert!(status.success(), "{err}");
    out
}

#[tokio::test]
async fn a_delivery_through_two_stages_is_told_with_its_executors_and_issues() {
    let mut world = World::start().await;
    publish(
        &world,
        "c1",
        vec![
            sequence("dev", "delivery", "triggered").id("d").source("ci").at(0),
            task_triggered("deployment").id("d1").stage("dev").at(1),
            started("deployment", "d1", "helm-service").stage("dev").at(1),
            Keptn::new("sh.keptn.event.deployment.status.changed")
                .run("d1")
                .source("helm-service")
                .stage("dev")
                .message("2 of 3 pods")
                .at(2),
            finished("deployment", "d1", "helm-service").stage("dev").at(3),
            sequence("dev", "delivery", "finished").run("d").at(3),
            sequence("staging", "delivery", "triggered").id("s").source("shipyard-controller").at(4),
            task_triggered("test").id("t1").at(4),
            started("test", "t1", "jmeter-service").at(5),
            started("test", "t1", "k6-service").at(5),
            finished("test", "t1", "k6-service").at(7),
            Keptn::new("sh.keptn.log.error").run("t1").message("slow network").at(8),
            finished("test", "t1", "jmeter-service").result("fail").message("3 of 9").at(9),
            task_triggered("check-issues").id("g1").at(9),
        ],
    )
    .await;
    world.bus.answer("g1").await;
    world.rest().await;
    let open = timeline(&world, "c1").await;
    assert_eq!((&open["state"], &open["finishedAt"]), (&json!("started"), &json!(null)), "{open:#}");
    assert_eq!(contexts(&world, "?state=started").await, ["c1"]);

    let end = sequence("staging", "delivery", "finished").id("end").run("s").result("fail").message("3 of 9").at(10);
    publish(&world, "c1", vec![end]).await;
    world.settle().await;

    let told = timeline(&world, "c1").await;
    assert_eq!((&told["state"], &told["result"]), (&json!("finished"), &json!("fail")), "{told:#}");
    assert_eq!((&told["triggeredAt"], &told["finishedAt"]), (&json!(time_at(0)), &json!(time_at(10))));
    assert_eq!((&told["durationSeconds"], &told["truncated"]), (&json!(600.0), &json!(false)));
    assert_eq!(column(&told["stages"], "name"), ["dev", "staging"]);
    let dev = &told["stages"][0]["sequences"][0];
    assert_eq!((&dev["result"], &dev["triggeredBy"]), (&json!("pass"), &json!("ci")));
    assert_eq!(dev["tasks"][0]["executors"][0]["progress"][0]["message"], "2 of 3 pods");
    let staging = &told["stages"][1]["sequences"][0];
    assert_eq!(column(&staging["tasks"], "name"), ["test", "check-issues"]);
    assert_eq!(column(&staging["tasks"], "result"), ["fail", "fail"]);
    assert_eq!(staging["issues"][0]["number"], 2, "the delivery is a broken thing of its own");
    let (test, gate) = (&staging["tasks"][0], &staging["tasks"][1]);
    assert_eq!(column(&test["executors"], "source"), ["jmeter-service", "k6-service"]);
    assert_eq!(column(&test["executors"], "result"), ["fail", "pass"]);
    assert_eq!((&test["complete"], &test["logs"][0]["message"]), (&json!(true), &json!("slow network")));
    assert_eq!((&test["issues"][0]["number"], &test["issues"][0]["change"]), (&json!(1), &json!("opened")));
    assert_eq!(column(&gate["executors"], "source"), ["shipwatch"]);
    assert_eq!((&gate["executors"][0]["byShipwatch"], &gate["complete"]), (&json!(true), &json!(true)));

    let list = world.service().get("/api/v1/sequences?project=shop&stage=staging&result=fail").await;
    assert_eq!((&list["total"], &list["data"][0]["keptnContext"]), (&json!(1), &json!("c1")));
    assert_eq!(list["data"][0]["stages"][1]["latestEvent"]["type"], "sh.keptn.event.staging.delivery.finished");

    let picture = show(&world, &["c1"]).await;
    for line in ["delivery of shop/carts: ✗ fail", "deployment", "k6-service", "#1 opened: ", "✓ pass", "10m"] {
        assert!(picture.contains(line), "{line} in\n{picture}");
    }
    assert!(picture.contains('█') && !picture.contains('\u{1b}'), "{picture}");
    let printed: Value = serde_json::from_str(&show(&world, &["c1", "-o", "json"]).await).unwrap();
    assert_eq!(printed, told);

    // What is found of it follows from the stream, and outlives a restart.
    let second = world.second("second").await;
    second.folded("end").await;
    assert_eq!(second.get("/api/v1/sequences/c1").await, told);
    assert_eq!(second.get("/api/v1/sequences?stage=staging").await["data"], list["data"]);
    world.kill();
    world.start_service().await;
    assert_eq!(timeline(&world, "c1").await, told);
    assert_eq!(contexts(&world, "").await, ["c1"]);
}

#[tokio::test]
async fn what_comes_after_an_abort_is_late() {
    let world = World::start().await;
    publish(
        &world,
        "c1",
        vec![
            sequence("staging", "delivery", "triggered").id("s").at(0),
            task_triggered("test").id("t1").at(1),
            started("test", "t1", "jmeter-service").at(1),
            sequence("staging", "delivery", "finished").run("s").status("aborted").at(2),
            finished("test", "t1", "jmeter-service").result("fail").at(3),
        ],
    )
    .await;
    world.settle().await;
    let told = timeline(&world, "c1").await;
    let task = &told["stages"][0]["sequences"][0]["tasks"][0];
    assert_eq!((&told["state"], &told["result"]), (&json!("aborted"), &json!(null)), "{told:#}");
    assert_eq!((&task["state"], &task["complete"], &task["result"]), (&json!("aborted"), &json!(false), &json!(null)));
    assert_eq!((&task["executors"][0]["late"], &task["executors"][0]["result"]), (&json!(true), &json!("fail")));
    assert_eq!(contexts(&world, "?state=aborted").await, ["c1"]);
    assert!(show(&world, &["c1"]).await.contains("jmeter-service, late"));
}

#[tokio::test]
async fn the_order_is_that_of_the_stream_whatever_the_clocks_say() {
    let world = World::start().await;
    publish(
        &world,
        "c1",
        vec![
            // An executor whose clock goes before, and whose end is delivered before its beginning.
            sequence("staging", "delivery", "triggered").id("s").at(10),
            task_triggered("test").id("t1").at(10),
            finished("test", "t1", "jmeter-service").result("warning").at(2),
            started("test", "t1", "jmeter-service").at(1),
            task_triggered("approval").id("a1").at(5),
        ],
    )
    .await;
    publish(&world, "c2", vec![sequence("staging", "delivery", "triggered").at(0)]).await;
    world.settle().await;
    let told = timeline(&world, "c1").await;
    let tasks = &told["stages"][0]["sequences"][0]["tasks"];
    assert_eq!(column(tasks, "name"), ["test", "approval"]);
    assert_eq!((&tasks[0]["complete"], &tasks[0]["result"]), (&json!(true), &json!("warning")));
    assert_eq!(tasks[0]["durationSeconds"], json!(null), "it ended before it was asked for");
    assert_eq!(told["state"], "waitingForApproval");
    assert_eq!(contexts(&world, "").await, ["c2", "c1"]);

    // The same event again changes nothing; a second delivery of the context leaves it where it is.
    let before = timeline(&world, "c1").await;
    world.fold_again(task_triggered("approval").id("a1").context("c1").at(5)).await;
    assert_eq!(timeline(&world, "c1").await, before);
    publish(&world, "c1", vec![sequence("production", "delivery", "triggered").at(20)]).await;
    world.settle().await;
    assert_eq!(contexts(&world, "").await, ["c2", "c1"]);
    assert_eq!(contexts(&world, "?stage=production").await, ["c1"]);
}

#[tokio::test]
async fn a_context_without_a_sequence_has_a_timeline_and_an_unknown_one_has_none() {
    let world = World::start().await;
    publish(&world, "plain", vec![finished("test", "r1", "jmeter-service").result("fail").message("3 of 9")]).await;
    world.settle().await;
    let told = timeline(&world, "plain").await;
    assert_eq!((&told["name"], &told["state"]), (&json!(null), &json!(null)));
    let task = &told["stages"][0]["tasks"][0];
    assert_eq!((&task["name"], &task["issues"][0]["number"]), (&json!("test"), &json!(1)), "{told:#}");
    assert_eq!((&task["complete"], &task["result"]), (&json!(false), &json!("fail")), "nobody said that it began");
    assert!(contexts(&world, "").await.is_empty());
    assert!(show(&world, &["plain"]).await.contains("3 of 9"));

    let (status, refusal) = world.service().get_status("/api/v1/sequences/nobody").await;
    assert_eq!((status, &refusal["error"]), (404, &json!("Sequence not found")));
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipwatch"));
    command.args(["sequence", "show", "nobody", "--server", &format!("http://{}", world.service().addr())]);
    let (status, out, err) = exit_of(command).await;
    assert_eq!((status.code(), out.as_str()), (Some(1), ""));
    assert!(err.contains("\"nobody\" is kept"), "{err}");
}
