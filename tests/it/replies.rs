//! The tasks that Shipwatch owns, and the events it publishes.

use serde_json::{Value, json};

use crate::support::{World, eventually, task_finished, task_triggered, time_at};

#[tokio::test]
async fn open_issue_answers_with_the_number_of_the_issue() {
    let world = World::start().await;
    let trigger = task_triggered("open-issue")
        .id("t1")
        .context("c1")
        .attribute("gitcommitid", "9fceb02d0ae598e95dc970b74767f19372d61af8")
        .attribute("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        .data("labels", json!({"build": "17"}))
        // Of the task before; says nothing about this one.
        .status("errored")
        .result("fail")
        .data("open-issue", json!({"title": "carts is broken", "severity": "critical", "links": [{"title": "Log", "url": "https://ci.example/1"}]}));
    let finished = world.bus.ask(trigger).await;
    let started = world.bus.replies("t1").await[0].json.clone();
    for reply in [&started, &finished] {
        for (attribute, want) in [
            ("specversion", "1.0"),
            ("source", "shipwatch"),
            ("datacontenttype", "application/json"),
            ("shkeptncontext", "c1"),
            ("triggeredid", "t1"),
            ("gitcommitid", "9fceb02d0ae598e95dc970b74767f19372d61af8"),
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(reply[attribute], want, "{attribute} of {reply:#}");
        }
        assert_eq!(reply["data"]["project"], "shop");
        assert_eq!(reply["data"]["stage"], "staging");
        assert_eq!(reply["data"]["service"], "carts");
        assert_eq!(reply["data"]["labels"], json!({"build": "17"}));
    }
    assert_ne!(started["id"], finished["id"]);
    assert_ne!(started["data"]["result"], "fail", "nothing of the task before");
    assert_eq!(finished["data"]["status"], "succeeded");
    assert_eq!(finished["data"]["result"], "pass");
    assert!(!finished["data"]["message"].as_str().unwrap().is_empty());

    let block = &finished["data"]["open-issue"];
    let issue = world.only_issue("").await;
    assert_eq!(block["change"], "opened");
    assert_eq!(block["id"], issue["id"]);
    assert_eq!(block["number"], 1);
    assert_eq!(block["state"], "ACTIVE");
    assert_eq!(block["scope"]["resourceName"], "carts");
    assert!(block["url"].as_str().unwrap().ends_with(&format!("/api/v1/issues/{}", issue["id"].as_str().unwrap())));
    assert_eq!(issue["title"], "carts is broken");
    assert_eq!(issue["severity"], "critical");
    assert_eq!(issue["links"][0]["url"], "https://ci.example/1");
}

#[tokio::test]
async fn open_issue_again_updates_and_close_issue_takes_what_it_left() {
    let world = World::start().await;
    let open = |title: &str, at| task_triggered("open-issue").data("open-issue", json!({"title": title})).at(at);
    let first = world.bus.ask(open("one", 1)).await["data"]["open-issue"].clone();
    let second = world.bus.ask(open("two", 2)).await["data"]["open-issue"].clone();
    assert_eq!((&second["change"], &second["id"]), (&json!("updated"), &first["id"]));
    assert_eq!(world.only_issue("").await["title"], "two");

    // The whole block of an earlier reply stands in `data`, as Keptn piles it up.
    let close = task_triggered("close-issue").data("open-issue", second.clone()).at(3);
    let closed = world.bus.ask(close).await["data"]["close-issue"].clone();
    assert_eq!(closed, json!({"closed": 1, "numbers": [1]}));
    world.only_issue("state=RESOLVED").await;

    let again = world.bus.ask(open("three", 4)).await["data"]["open-issue"].clone();
    assert_eq!(again["change"], "reopened");
    for (request, at) in [(json!({"number": 1}), 5), (json!({"id": first["id"]}), 7)] {
        let done = world.bus.ask(task_triggered("close-issue").data("close-issue", request).at(at)).await;
        assert_eq!(done["data"]["close-issue"]["closed"], 1, "{done:#}");
        world.bus.ask(open("again", at + 1)).await;
    }
}

#[tokio::test]
async fn update_issue_changes_what_it_names_and_nothing_else() {
    let world = World::start().await;
    world.fold(task_finished("test").result("fail").message("3 of 9").at(1)).await;
    let before = world.only_issue("").await;
    let request = json!({"number": 1, "severity": "critical", "labels": {"owner": "team-carts"}});
    let done = world.bus.ask(task_triggered("update-issue").data("update-issue", request).at(2)).await;
    assert_eq!(done["data"]["result"], "pass", "{done:#}");
    assert_eq!(done["data"]["update-issue"]["number"], 1);
    let after = world.only_issue("").await;
    assert_eq!(after["severity"], "critical");
    assert_eq!(after["labels"]["owner"], "team-carts");
    for same in ["title", "description", "state", "occurrences", "detectedAt", "number"] {
        assert_eq!(after[same], before[same], "{same}");
    }
}

#[tokio::test]
async fn check_issues_is_a_gate() {
    let world = World::start().await;
    let ask =
        |severity: &str, at| task_triggered("check-issues").data("check-issues", json!({"severity": severity})).at(at);
    let open = world.bus.ask(ask("info", 1)).await;
    assert_eq!(open["data"]["result"], "pass", "{open:#}");
    assert_eq!(open["data"]["check-issues"]["active"], 0);

    world.fold(task_finished("test").result("fail").at(2)).await;
    world.fold(task_finished("test").service("checkout").result("fail").at(2)).await;
    let closed = world.bus.ask(ask("major", 3)).await;
    assert_eq!(closed["data"]["status"], "succeeded");
    assert_eq!(closed["data"]["result"], "fail");
    let block = &closed["data"]["check-issues"];
    assert_eq!(block["active"], 1, "only those of its scope: {block:#}");
    assert_eq!(block["worst"], "major");
    assert_eq!(block["issues"][0]["number"], 1);
    let below = world.bus.ask(ask("critical", 4)).await;
    assert_eq!(below["data"]["result"], "pass", "nothing that bad");

    world.fold(task_finished("test").at(5)).await;
    assert_eq!(world.bus.ask(ask("major", 6)).await["data"]["result"], "pass");
}

#[tokio::test]
async fn a_wrong_request_is_answered_errored_and_names_the_field() {
    let world = World::start().await;
    for (task, request, field) in [
        ("open-issue", json!({"title": "x", "severty": "major"}), "severty"),
        ("open-issue", json!({"title": 17}), "title"),
        ("open-issue", json!({"severity": "awful"}), "severity"),
        ("open-issue", json!("please"), "open-issue"),
        ("update-issue", json!({"number": 4711}), "4711"),
        ("close-issue", json!({"number": "many"}), "number"),
        ("check-issues", json!({"severity": "blocker"}), "severity"),
    ] {
        let answer = world.bus.ask(task_triggered(task).data(task, request)).await;
        assert_eq!(answer["data"]["status"], "errored", "{answer:#}");
        assert_eq!(answer["data"]["result"], "fail");
        assert!(answer["data"]["message"].as_str().unwrap().contains(field), "{field} in {answer:#}");
    }
    assert_eq!(world.service().get("/api/v1/issues").await["total"], 0);
}

#[tokio::test]
async fn only_triggers_of_our_own_tasks_are_answered() {
    let world = World::start().await;
    world.fold(task_triggered("test").id("t1")).await;
    world.fold(task_finished("open-issue").id("x").run("t2").source("somebody-else")).await;
    world.settle().await;
    let mine = |m: &crate::support::Stored| m.json["source"] == "shipwatch" && m.subject.starts_with("sh.keptn.");
    assert_eq!(world.bus.read("shipwatch").await.iter().filter(|m| mine(m)).count(), 0);
}

#[tokio::test]
async fn tasks_go_by_the_configured_names() {
    let world = World::with_config("tasks: {openIssue: open-ticket}\n").await;
    let answer = world.bus.ask(task_triggered("open-ticket").data("open-ticket", json!({"title": "x"}))).await;
    assert_eq!(answer["data"]["open-ticket"]["change"], "opened");
    world.fold(task_triggered("open-issue").id("t9")).await;
    world.settle().await;
    assert!(world.bus.replies("t9").await.is_empty());
}

#[tokio::test]
async fn the_life_of_an_issue_is_published() {
    let world = World::start().await;
    world.fold(task_finished("test").id("f1").result("fail").at(1)).await;
    world.fold(task_finished("test").result("fail").at(2)).await;
    world.fold(task_finished("test").at(3)).await;
    world.fold(task_finished("test").result("fail").at(4)).await;
    let published = eventually("three issue events are published", async || {
        let mut all = world.bus.read("shipwatch").await;
        all.retain(|m| m.subject.starts_with("dev.shipwatch.issue."));
        (all.len() >= 3).then_some(all)
    })
    .await;
    let subjects: Vec<_> = published.iter().map(|m| m.subject.rsplit('.').next().unwrap()).collect();
    assert_eq!(subjects, ["opened", "resolved", "reopened"], "updated only where asked for");
    let issue = world.only_issue("").await;
    for message in &published {
        assert_eq!(message.json["source"], "shipwatch");
        assert_eq!(message.json["type"], message.subject.as_str());
        assert_eq!(message.msg_id.as_deref(), message.json["id"].as_str());
        assert_eq!(message.json["data"]["id"], issue["id"]);
    }
    let states: Vec<&Value> = published.iter().map(|m| &m.json["data"]["state"]).collect();
    assert_eq!(states, ["ACTIVE", "RESOLVED", "ACTIVE"]);
    assert_eq!(published[0].json["data"]["openedBy"]["id"], "f1");
}

#[tokio::test]
async fn updates_are_published_where_the_configuration_asks_for_them() {
    let world = World::with_config("issueEvents: [updated]\n").await;
    world.fold(task_finished("test").result("fail").at(1)).await;
    world.fold(task_finished("test").result("fail").at(2)).await;
    let published = eventually("the update is published", async || {
        let mut all = world.bus.read("shipwatch").await;
        all.retain(|m| m.subject.starts_with("dev.shipwatch.issue."));
        (!all.is_empty()).then_some(all)
    })
    .await;
    assert_eq!(published.len(), 1);
    assert_eq!(published[0].subject, "dev.shipwatch.issue.updated");
}

#[tokio::test]
async fn a_gate_sees_what_sources_without_a_project_say_of_its_scope() {
    let world = World::start().await;
    let failure = json!({"specversion": "1.0", "id": "kite-1", "source": "ci",
        "type": "dev.shipwatch.webhook.build.failure", "time": crate::support::from_now(-60),
        "data": {"componentName": "carts", "namespace": "shop-staging", "buildId": "b1", "errorMessage": "boom"}});
    world.bus.publish_json("dev.shipwatch.webhook.build.failure", &failure).await;
    world.service().folded("kite-1").await;
    for block in [json!({}), json!({"scope": {"resourceName": "carts"}})] {
        let gate = world.bus.ask(task_triggered("check-issues").data("check-issues", block)).await;
        assert_eq!(
            (&gate["data"]["result"], &gate["data"]["check-issues"]["active"]),
            (&json!("fail"), &json!(1)),
            "{gate:#}"
        );
    }
    let other = task_triggered("check-issues").data("check-issues", json!({})).stage("production");
    assert_eq!(world.bus.ask(other).await["data"]["result"], "pass");
}

#[tokio::test]
async fn a_quality_gate_gets_its_measures_from_shipwatch_and_from_nobody_else() {
    let world = World::start().await;
    for (result, at) in [("fail", 10), ("pass", 20), ("fail", 30), ("pass", 50)] {
        world.fold(task_finished("test").result(result).at(at)).await;
    }
    world.fold(task_finished("deployment").result("fail").at(40)).await;
    let ask = |provider: &str, end| {
        let indicators = ["active_issues", "reopened", "failure_rate", "mean_time_to_resolve_seconds", "error_rate"];
        let block =
            json!({"sliProvider": provider, "start": time_at(0), "end": time_at(end), "indicators": indicators});
        task_triggered("get-sli").data("get-sli", block).at(60)
    };
    let answer = world.bus.ask(ask("shipwatch", 45)).await;
    assert_eq!((&answer["data"]["status"], &answer["data"]["result"]), (&json!("succeeded"), &json!("pass")));
    let block = &answer["data"]["get-sli"];
    assert_eq!((&block["start"], &block["end"]), (&json!(time_at(0)), &json!(time_at(45))));
    let values: Vec<_> =
        block["indicatorValues"].as_array().unwrap().iter().map(|v| v["value"].as_f64().unwrap()).collect();
    assert_eq!(values, [2.0, 1.0, 0.75, 600.0, 0.0], "{block:#}");
    assert_eq!(block["indicatorValues"][4]["success"], false, "another provider may know it");

    let mut wrong = Value::from(ask("shipwatch", 45));
    wrong["id"] = "wrong".into();
    wrong["data"]["get-sli"]["customFilters"] = json!([{"key": "owner", "value": "me"}]);
    world.bus.publish(wrong).await;
    let answer = world.bus.answer("wrong").await;
    assert_eq!(answer["data"]["status"], "errored");
    assert!(answer["data"]["message"].as_str().unwrap().contains("owner"), "{answer:#}");

    world.fold(ask("prometheus", 45).id("theirs")).await;
    world.rest().await;
    assert!(world.bus.replies("theirs").await.is_empty());
}
