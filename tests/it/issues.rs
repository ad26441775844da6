//! The life of an issue: opened, updated, resolved, reopened, and what is too late to count.

use serde_json::json;

use crate::support::{World, problem, sequence, task_finished, time_at};

#[tokio::test]
async fn first_failure_opens_an_issue() {
    let world = World::start().await;
    let failure = task_finished("test").id("f1").run("r1").context("c1").result("fail").message("3 of 9 checks failed");
    let decision = world.fold(failure.data("labels", json!({"build": "17"})).at(1)).await;
    assert_eq!(decision["outcome"], "failure", "{decision:#}");
    assert_eq!(decision["rule"], "keptn-task");
    assert_eq!(decision["change"], "opened");

    let issue = world.only_issue("").await;
    assert_eq!(decision["issueId"], issue["id"]);
    for (field, want) in [
        ("state", json!("ACTIVE")),
        ("severity", json!("major")),
        ("issueType", json!("test")),
        ("namespace", json!("shop-staging")),
        ("check", json!("test")),
        ("number", json!(1)),
        ("occurrences", json!(1)),
        ("episodes", json!(1)),
        ("detectedAt", json!(time_at(1))),
        ("lastSeenAt", json!(time_at(1))),
        ("resolvedAt", json!(null)),
        ("resolvedBy", json!(null)),
        ("openedBy", json!({"source": "jmeter-service", "id": "f1"})),
        ("lastRunId", json!("r1")),
        ("triggeredId", json!("r1")),
        ("keptnContext", json!("c1")),
        ("project", json!("shop")),
        ("stage", json!("staging")),
        ("service", json!("carts")),
        ("labels", json!({"build": "17"})),
        ("links", json!([])),
        ("relatedFrom", json!([])),
        ("relatedTo", json!([])),
    ] {
        assert_eq!(issue[field], want, "{field} of {issue:#}");
    }
    assert_eq!(issue["scope"]["resourceType"], "component");
    assert_eq!(issue["scope"]["resourceName"], "carts");
    assert_eq!(issue["scope"]["resourceNamespace"], "shop-staging");
    assert_eq!(issue["scope"]["id"], issue["scopeId"]);
    assert!(issue["description"].as_str().unwrap().contains("3 of 9 checks failed"), "{issue:#}");

    let by_id = world.service().get(&format!("/api/v1/issues/{}", issue["id"].as_str().unwrap())).await;
    assert_eq!(by_id, issue);
    assert_eq!(world.service().get("/api/v1/issues/1").await, issue);
}

#[tokio::test]
async fn second_failure_updates_the_open_issue() {
    let world = World::start().await;
    world.fold(task_finished("test").result("fail").message("3 of 9").at(1)).await;
    let before = world.only_issue("").await;
    let decision = world.fold(task_finished("test").run("r2").result("fail").message("4 of 9").at(2)).await;
    assert_eq!(decision["change"], "updated");

    let issue = world.only_issue("state=ACTIVE").await;
    assert_eq!(issue["id"], before["id"]);
    assert_eq!(issue["occurrences"], 2);
    assert_eq!(issue["episodes"], 1);
    assert_eq!(issue["detectedAt"], time_at(1));
    assert_eq!(issue["lastSeenAt"], time_at(2));
    assert_eq!(issue["lastRunId"], "r2");
    assert!(issue["description"].as_str().unwrap().contains("4 of 9"));
    assert_eq!(issue["createdAt"], before["createdAt"]);
}

#[tokio::test]
async fn success_resolves_and_the_next_failure_reopens() {
    let world = World::start().await;
    world.fold(task_finished("test").id("f1").result("fail").at(1)).await;
    // Another check, another service and another stage are other things.
    world.fold(task_finished("evaluation").at(2)).await;
    world.fold(task_finished("test").service("checkout").at(2)).await;
    world.fold(task_finished("test").stage("dev").at(2)).await;
    world.only_issue("state=ACTIVE").await;

    let decision = world.fold(task_finished("test").id("s1").at(3)).await;
    assert_eq!(decision["outcome"], "success");
    assert_eq!(decision["change"], "resolved");
    let issue = world.only_issue("state=RESOLVED").await;
    assert_eq!(issue["resolvedAt"], time_at(3));
    assert_eq!(issue["resolvedBy"], json!({"source": "jmeter-service", "id": "s1"}));
    assert_eq!(issue["openedBy"]["id"], "f1");

    let decision = world.fold(task_finished("test").id("f2").result("fail").at(4)).await;
    assert_eq!(decision["change"], "reopened");
    let again = world.only_issue("").await;
    assert_eq!(again["id"], issue["id"]);
    assert_eq!(again["number"], issue["number"]);
    assert_eq!(again["createdAt"], issue["createdAt"]);
    assert_eq!(again["state"], "ACTIVE");
    assert_eq!(again["episodes"], 2);
    assert_eq!(again["occurrences"], 2);
    assert_eq!(again["detectedAt"], time_at(4));
    assert_eq!(again["resolvedAt"], json!(null));
    assert_eq!(again["resolvedBy"], json!(null));
    assert_eq!(again["openedBy"]["id"], "f2");

    let history = world.service().all("/api/v1/issues/1/history").await;
    let changes: Vec<_> =
        history.iter().map(|c| (c["change"].as_str().unwrap(), c["eventId"].as_str().unwrap())).collect();
    let mut oldest_first = changes.clone();
    if changes.first().is_some_and(|c| c.1 == "f2") {
        oldest_first.reverse();
    }
    assert_eq!(oldest_first, [("opened", "f1"), ("resolved", "s1"), ("reopened", "f2")]);
}

#[tokio::test]
async fn late_events_lose() {
    let world = World::start().await;
    world.fold(task_finished("test").at(10)).await;
    let late = world.fold(task_finished("test").result("fail").at(5)).await;
    assert_eq!(late["outcome"], "stale", "an older failure cannot open: {late:#}");
    assert_eq!(world.service().get("/api/v1/issues").await["total"], 0);

    world.fold(task_finished("test").result("fail").message("newest").at(20)).await;
    let before = world.only_issue("").await;
    for late in [task_finished("test").at(15), task_finished("test").result("fail").message("older").at(16)] {
        assert_eq!(world.fold(late).await["outcome"], "stale");
    }
    assert_eq!(world.only_issue("").await, before, "neither resolved nor counted");

    world.fold(task_finished("test").at(30)).await;
    assert_eq!(world.fold(task_finished("test").result("fail").at(25)).await["outcome"], "stale");
    world.only_issue("state=RESOLVED").await;
}

#[tokio::test]
async fn of_two_events_at_the_same_time_the_later_in_the_stream_wins() {
    let world = World::start().await;
    world.fold(task_finished("test").result("fail").at(5)).await;
    world.fold(task_finished("test").at(5)).await;
    world.only_issue("state=RESOLVED").await;
    world.fold(task_finished("test").result("fail").at(5)).await;
    world.only_issue("state=ACTIVE").await;
}

#[tokio::test]
async fn warnings_are_minor_and_errors_are_failures() {
    let world = World::start().await;
    let warning = world.fold(task_finished("evaluation").result("warning").at(1)).await;
    assert_eq!(warning["outcome"], "warning");
    assert_eq!(world.only_issue("check=evaluation").await["severity"], "minor");
    assert_eq!(world.only_issue("check=evaluation").await["issueType"], "test");

    world.fold(task_finished("deployment").status("errored").at(1)).await;
    let issue = world.only_issue("check=deployment").await;
    assert_eq!((&issue["severity"], &issue["issueType"]), (&json!("major"), &json!("release")));

    world.fold(task_finished("approval").status("unknown").result("fail").at(1)).await;
    assert_eq!(world.only_issue("check=approval").await["issueType"], "pipeline");
}

#[tokio::test]
async fn what_decides_nothing_changes_nothing() {
    let world = World::start().await;
    world.fold(task_finished("test").result("fail").at(1)).await;
    let before = world.only_issue("").await;
    let test = |phase: &str| crate::support::Keptn::new(&format!("sh.keptn.event.test.{phase}")).run("r9").at(9);
    for neutral in [
        task_finished("test").status("aborted").at(2),
        task_finished("test").status("aborted").result("fail").at(3),
        task_finished("test").status("unknown").at(4),
        task_finished("test").status("done").result("green").at(5),
        // Triggered and started carry the outcome of the task before.
        test("triggered").status("succeeded").result("pass"),
        test("started").status("succeeded").result("pass"),
        test("status.changed").status("succeeded").result("pass"),
    ] {
        let decision = world.fold(neutral).await;
        assert_eq!(decision["outcome"], "neutral", "{decision:#}");
    }
    assert_eq!(world.only_issue("").await, before);

    world.fold(sequence("staging", "delivery", "finished").status("aborted").at(5)).await;
    assert_eq!(world.only_issue("").await, before);
}

#[tokio::test]
async fn sequences_and_problems_have_issues_of_their_own() {
    let world = World::start().await;
    world.fold(sequence("staging", "delivery", "finished").result("fail").at(1)).await;
    let issue = world.only_issue("resourceType=sequence").await;
    assert_eq!(issue["scope"]["resourceName"], "carts/delivery");
    assert_eq!(issue["check"], "delivery");
    assert_eq!(issue["issueType"], "pipeline");
    world.fold(sequence("staging", "delivery", "finished").at(2)).await;
    assert_eq!(world.only_issue("resourceType=sequence").await["state"], "RESOLVED");

    world.fold(problem("P-1", "OPEN").at(1)).await;
    world.fold(problem("P-2", "OPEN").at(2)).await;
    world.fold(problem("P-1", "RESOLVED").at(3)).await;
    assert_eq!(world.only_issue("check=problem/P-1").await["state"], "RESOLVED");
    assert_eq!(world.only_issue("check=problem/P-2").await["state"], "ACTIVE");
    world.fold(problem("P-2", "CLOSED").at(4)).await;
    assert_eq!(world.service().get("/api/v1/issues?state=ACTIVE").await["total"], 0);
}

#[tokio::test]
async fn names_that_run_together_are_different_things() {
    let world = World::start().await;
    world.fold(task_finished("test").data("project", "a-b").stage("c").result("fail").at(1)).await;
    world.fold(task_finished("test").data("project", "a").stage("b-c").result("fail").at(2)).await;
    assert_eq!(world.service().get("/api/v1/issues?namespace=a-b-c").await["total"], 2);
    world.fold(task_finished("test").data("project", "a").stage("b-c").at(3)).await;
    assert_eq!(world.only_issue("state=ACTIVE").await["project"], "a-b");
}

#[tokio::test]
async fn issues_of_one_scope_or_one_context_are_related() {
    let world = World::start().await;
    world.fold(task_finished("test").context("c1").result("fail").at(1)).await;
    world.fold(task_finished("evaluation").context("c2").result("fail").at(2)).await;
    world.fold(task_finished("test").service("checkout").context("c1").result("fail").at(3)).await;
    let related = |issue: &serde_json::Value, side: &str| -> Vec<u64> {
        let mut numbers: Vec<_> =
            issue[side].as_array().unwrap().iter().map(|r| r["issue"]["number"].as_u64().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    };
    let issue = async |n: u32| world.service().get(&format!("/api/v1/issues/{n}")).await;
    let first = issue(1).await;
    // The first is the older end of both relations.
    assert_eq!(related(&first, "relatedFrom"), [2, 3], "{first:#}");
    assert_eq!(related(&first, "relatedTo"), [] as [u64; 0]);
    assert_eq!(related(&issue(2).await, "relatedTo"), [1]);
    assert_eq!(related(&issue(3).await, "relatedTo"), [1]);
    assert_eq!(first["relatedFrom"][0]["sourceId"], first["id"]);
}

#[tokio::test]
async fn the_endpoint_answers_as_clients_of_kite_expect() {
    let world = World::start().await;
    let empty = world.service().get("/api/v1/issues/?namespace=nobody").await;
    assert_eq!(empty, json!({"data": [], "total": 0, "limit": 50, "offset": 0, "nextCursor": null}));
    for n in 0..5 {
        world.fold(task_finished("test").service(&format!("service-{n}")).result("fail").at(n)).await;
    }
    let newest = world.service().get("/api/v1/issues?limit=2").await;
    assert_eq!(newest["total"], 5);
    let services: Vec<_> = newest["data"].as_array().unwrap().iter().map(|i| i["service"].clone()).collect();
    assert_eq!(services, ["service-4", "service-3"], "newest first");
    assert_eq!(world.service().all("/api/v1/issues?limit=2").await.len(), 5);
    for bad in
        ["limit=0", "limit=1001", "limit=many", "state=BROKEN", "severity=awful", "sort=colour", "detectedSince=soon"]
    {
        let (status, body) = world.service().get_status(&format!("/api/v1/issues?{bad}")).await;
        let name = bad.split('=').next().unwrap();
        assert_eq!(status, 400, "{bad}");
        assert!(body.to_string().contains(name), "{body} names {name}");
    }
    let (status, body) = world.service().get_status("/api/v1/issues/4711").await;
    assert_eq!(status, 404);
    assert!(body["error"].is_string());
    for (method, want) in [("HEAD", 200), ("POST", 405), ("PUT", 405), ("DELETE", 405), ("PATCH", 405)] {
        assert_eq!(world.service().status_of(method, "/api/v1/issues").await, want, "{method}");
    }
    let summary = world.service().get("/api/v1/issues/summary").await;
    assert_eq!(summary["total"], 5);
    assert_eq!(summary["state"]["ACTIVE"], 5);
    let metrics = world.service().text("/metrics").await;
    for name in ["shipwatch_events_total", "shipwatch_issues", "shipwatch_commit_seconds", "shipwatch_build_info"] {
        assert!(metrics.contains(name), "{name} in\n{metrics}");
    }
}
