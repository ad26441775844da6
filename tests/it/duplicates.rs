//! The same thing twice counts once, and one run has one outcome.

use crate::support::{Keptn, World, task_finished, task_triggered};

#[tokio::test]
async fn a_republished_event_changes_nothing() {
    let world = World::start().await;
    let failure = task_finished("test").id("f1").run("r1").result("fail").at(1);
    let trigger =
        task_triggered("open-issue").id("t1").data("open-issue", serde_json::json!({"title": "broken"})).at(2);
    world.fold(failure.clone()).await;
    world.bus.ask(trigger.clone()).await;
    let before = world.service().all("/api/v1/issues?sort=number").await;
    for _ in 0..3 {
        world.fold_again(failure.clone()).await;
        world.fold_again(trigger.clone()).await;
    }
    assert_eq!(world.service().all("/api/v1/issues?sort=number").await, before);
    world.bus.answer("t1").await;

    // The same id from another source is another event.
    world.fold_again(failure.source("smoke-tests").run("r2").at(3)).await;
    assert_eq!(world.only_issue("check=test").await["occurrences"], 2);
}

#[tokio::test]
async fn the_same_outcome_of_one_run_counts_once() {
    let world = World::start().await;
    world.fold(task_finished("test").run("r1").result("fail").at(1)).await;
    let again = world.fold(task_finished("test").run("r1").result("fail").at(2)).await;
    assert_eq!(again["outcome"], "duplicate", "{again:#}");
    assert_eq!(again["layer"], "run");
    assert_eq!(world.only_issue("").await["occurrences"], 1);
}

#[tokio::test]
async fn a_pass_never_outweighs_a_failure_of_the_same_run() {
    let world = World::start().await;
    let (fail, pass) = (
        |run: &str, at| task_finished("test").source("jmeter-service").run(run).result("fail").at(at),
        |run: &str, at| task_finished("test").source("smoke-tests").run(run).at(at),
    );
    world.fold(fail("r1", 1)).await;
    world.fold(pass("r1", 2)).await;
    assert_eq!(world.only_issue("").await["state"], "ACTIVE", "failure first");

    world.fold(pass("r2", 3)).await;
    assert_eq!(world.only_issue("").await["state"], "RESOLVED", "the next run passes");
    // The second executor of that run speaks last, whatever its clock says.
    world.fold(fail("r2", 2)).await;
    let issue = world.only_issue("").await;
    assert_eq!(issue["state"], "ACTIVE", "success first: {issue:#}");
    world.fold(pass("r3", 5)).await;
    assert_eq!(world.only_issue("").await["state"], "RESOLVED");
}

#[tokio::test]
async fn an_invalidated_outcome_is_as_if_it_had_never_been() {
    let world = World::start().await;
    let invalidated = |run: &str, at| Keptn::new("sh.keptn.event.evaluation.invalidated").run(run).at(at);
    world.fold(task_finished("evaluation").run("r1").result("fail").at(1)).await;
    world.only_issue("state=ACTIVE").await;
    world.fold(invalidated("r1", 2)).await;
    assert_eq!(world.service().get("/api/v1/issues?state=ACTIVE").await["total"], 0);

    // In the other order too.
    world.fold(invalidated("r2", 3)).await;
    let decision = world.fold(task_finished("evaluation").run("r2").result("fail").at(4)).await;
    assert_eq!(decision["outcome"], "withdrawn", "{decision:#}");
    assert_eq!(world.service().get("/api/v1/issues?state=ACTIVE").await["total"], 0);

    // A success taken back leaves the issue open that it had resolved.
    world.fold(task_finished("evaluation").run("r3").result("fail").at(5)).await;
    world.fold(task_finished("evaluation").run("r4").at(6)).await;
    world.only_issue("state=RESOLVED").await;
    world.fold(invalidated("r4", 7)).await;
    world.only_issue("state=ACTIVE").await;
}

#[tokio::test]
async fn events_of_shipwatch_itself_cause_nothing() {
    let world = World::start().await;
    world.fold(task_finished("test").source("shipwatch").result("fail").at(1)).await;
    world.fold(task_triggered("open-issue").id("t1").source("shipwatch").at(2)).await;
    world.settle().await;
    assert_eq!(world.service().get("/api/v1/issues").await["total"], 0);
    assert!(world.bus.replies("t1").await.is_empty());
}
