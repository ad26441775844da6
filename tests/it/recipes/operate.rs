//! Tickets, incidents, flags, runbooks.

use serde_json::{Value, json};

use super::kitchen::{Recipe, secret};
use crate::support::{Play, Seen};

fn bearer(seen: &Seen) -> &str {
    seen.headers["authorization"].strip_prefix("Bearer ").unwrap()
}

const OPEN: &str = "/rest/api/2/issue";

#[tokio::test]
async fn a_ticket_is_opened_commented_and_closed_by_the_number_that_came_back() {
    let recipe = Recipe::serve("ticket").await;
    recipe.peer.on(OPEN, [Play::Answer(201, r#"{"id":"10041","key":"OPS-41","self":"x"}"#.into())]);
    recipe.peer.on("/rest/api/2/issue/OPS-41/comment", [Play::Answer(201, r#"{"id":"7"}"#.into())]);
    recipe.peer.on("/rest/api/2/issue/OPS-41/transitions", [Play::Answer(204, String::new())]);
    let ran = recipe.run(0, &[]).await;
    assert_eq!(ran.code, Some(1), "the delivery failed: {ran:#?}");
    assert_eq!(ran.ends(), ["staging.delivery succeeded fail", "staging.on-failure succeeded pass"]);

    let seen = recipe.peer.seen("/rest/");
    let calls: Vec<_> = seen.iter().map(|s| (s.method.as_str(), s.path.as_str())).collect();
    let ticket = format!("{OPEN}/OPS-41");
    let (comment, transition) = (format!("{ticket}/comment"), format!("{ticket}/transitions"));
    assert_eq!(calls, [("POST", OPEN), ("POST", comment.as_str()), ("POST", transition.as_str())]);
    assert!(seen.iter().all(|s| bearer(s) == secret("jira", "token")));
    let fields = &seen[0].json()["fields"];
    assert_eq!((&fields["project"]["key"], &fields["issuetype"]["name"]), (&json!("OPS"), &json!("Bug")));
    assert_eq!(fields["summary"], "carts failed in staging");
    assert!(fields["description"].as_str().unwrap().contains(ran.context()));
    assert_eq!(seen[1].json(), json!({"body": "The version before is deployed again."}));
    assert_eq!(seen[2].json(), json!({"transition": {"id": "31"}}));
    let close = recipe.data(&ran, "close-ticket.triggered").await;
    assert_eq!(
        (&close["open-ticket"]["ticketId"], &close["update-ticket"]["commentId"]),
        (&json!("OPS-41"), &json!("7"))
    );

    // What does not help leaves the ticket open.
    let ran = recipe.run(0, &[("evaluation=pass", "evaluation=fail")]).await;
    assert_eq!(ran.ends()[1], "staging.on-failure succeeded fail");
    assert_eq!(recipe.peer.seen(&transition).len(), 1);
    assert!(recipe.peer.seen("/jira-rule").is_empty(), "staging is for the waiting form");
}

#[tokio::test]
async fn a_tracker_that_fails_or_gives_no_number_errors_the_task_and_nothing_follows() {
    let recipe = Recipe::serve("ticket").await;
    let answers = [(503, r#"{"errorMessages":["down"]}"#, "503"), (201, r#"{"self":"x"}"#, "$.key")];
    recipe.peer.on(OPEN, answers.map(|(status, body, _)| Play::Answer(status, body.into())));
    for (_, _, said) in answers {
        let ran = recipe.run(0, &[]).await;
        assert_eq!(ran.ends(), ["staging.delivery succeeded fail", "staging.on-failure errored fail"]);
        assert_eq!(ran.tasks().last().unwrap(), "staging open-ticket");
        let finished = recipe.data(&ran, "open-ticket.finished").await;
        assert!(finished["message"].as_str().unwrap().contains(said), "{finished:#}");
    }
    assert_eq!(recipe.peer.seen("/rest/").len(), 2);
}

#[tokio::test]
async fn a_rule_of_the_tracker_hears_of_one_ticket_from_its_opening_to_its_end() {
    let recipe = Recipe::serve("ticket").await;
    recipe.peer.on("/jira-rule", [Play::Answer(500, "trouble".into()), Play::Answer(200, String::new())]);
    for (test, code) in [("test=fail", 1), ("test=pass", 0), ("test=fail", 1)] {
        assert_eq!(recipe.run(1, &[("test=fail", test)]).await.code, Some(code));
    }
    // The sequence has an issue of its own.
    let about = |seen: &Seen| seen.json()["summary"].as_str().unwrap().starts_with("test");
    let seen: Vec<Value> = recipe.peer.seen("/jira-rule").iter().filter(|s| about(s)).map(Seen::json).collect();
    let events: Vec<_> = seen.iter().map(|s| s["event"].as_str().unwrap().rsplit('.').next().unwrap()).collect();
    assert_eq!(events, ["opened", "resolved", "reopened"], "the failure of a call is nobody's trouble: {seen:#?}");
    assert!(seen.iter().all(|s| s["ref"] == seen[0]["ref"]), "{seen:#?}");
    let states: Vec<_> = seen.iter().map(|s| s["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["ACTIVE", "RESOLVED", "ACTIVE"]);
    assert!(recipe.peer.seen(OPEN).is_empty());
}

const PAGER: &str = "/v2/enqueue";

/// What an incident was told, in order.
fn actions(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|s| s.json()["event_action"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_incident_is_triggered_acknowledged_and_resolved_by_the_key_of_its_scope() {
    let recipe = Recipe::serve("incident").await;
    let key = "shipwatch/shop-production/carts";
    let answer = json!({"status": "success", "message": "Event processed", "dedup_key": key}).to_string();
    recipe.peer.on(PAGER, [Play::Answer(202, answer)]);
    let ran = recipe.run(0, &[]).await;
    assert_eq!(ran.ends(), ["production.delivery succeeded fail", "production.on-failure succeeded pass"]);
    let seen = recipe.peer.seen(PAGER);
    assert_eq!(actions(&seen), ["trigger", "acknowledge", "resolve"], "and issues of production page nobody else");
    for sent in seen.iter().map(Seen::json) {
        let want = json!(secret("pagerduty", "routing-key"));
        assert_eq!((&sent["dedup_key"], &sent["routing_key"]), (&json!(key), &want), "{sent:#}");
    }
    let told = &seen[0].json()["payload"];
    assert_eq!((&told["severity"], &told["summary"]), (&json!("critical"), &json!("carts failed in production")));
    assert_eq!(told["custom_details"]["keptnContext"], ran.context());

    // A pager that is busy is asked again; one that refuses errors the task.
    let again = json!({"dedup_key": key}).to_string();
    recipe
        .peer
        .on(PAGER, [Play::Answer(429, "slow down".into()), Play::Answer(202, again), Play::Answer(400, "no".into())]);
    let before = recipe.peer.seen(PAGER).len();
    let ran = recipe.run(0, &[]).await;
    assert_eq!(ran.ends()[1], "production.on-failure errored fail");
    assert_eq!(ran.tasks().last().unwrap(), "production update-incident");
    assert_eq!(actions(&recipe.peer.seen(PAGER)[before..]), ["trigger", "trigger", "acknowledge"]);
}

#[tokio::test]
async fn issues_page_with_one_key_for_their_scope_and_end_the_page() {
    let recipe = Recipe::serve("incident").await;
    for (test, code) in [("test=fail", 1), ("test=pass", 0), ("test=fail", 1)] {
        assert_eq!(recipe.run(1, &[("test=fail", test)]).await.code, Some(code));
    }
    let all: Vec<Value> = recipe.peer.seen(PAGER).iter().map(Seen::json).collect();
    // The service and its sequence are a scope each.
    for (scope, check) in [("shop-staging/carts", "test"), ("shop-staging/carts/delivery", "delivery")] {
        let seen: Vec<_> = all.iter().filter(|s| s["payload"]["source"] == scope).collect();
        let actions: Vec<_> = seen.iter().map(|s| s["event_action"].as_str().unwrap()).collect();
        assert_eq!(actions, ["trigger", "resolve", "trigger"], "{all:#?}");
        for sent in seen {
            assert_eq!(sent["dedup_key"], format!("shipwatch/{scope}"));
            let details = &sent["payload"]["custom_details"];
            assert!(details["check"] == check && details["number"].is_u64(), "{sent:#}");
            assert_eq!(sent["payload"]["severity"], "error");
        }
    }
    assert_eq!(all.len(), 6);
}

fn flag(name: &str, stage: &str, state: &str) -> String {
    format!("/api/admin/projects/default/features/{name}/environments/{stage}/{state}")
}

#[tokio::test]
async fn a_flag_is_turned_on_and_where_that_was_no_good_off_again() {
    let recipe = Recipe::serve("feature-flag").await;
    let (on, off) = (flag("new-basket", "production", "on"), flag("new-basket", "production", "off"));
    recipe.peer.on(&on, [Play::Answer(200, String::new())]);
    recipe.peer.on(&off, [Play::Answer(200, String::new())]);
    let paths = || recipe.peer.seen("/api/admin/").into_iter().map(|s| s.path).collect::<Vec<_>>();
    let ran = recipe.run(0, &[("evaluation=fail", "evaluation=pass")]).await;
    assert_eq!((ran.code, ran.ends()), (Some(0), vec!["production.rollout succeeded pass".to_owned()]));
    assert_eq!(paths(), [on.as_str()]);
    let ran = recipe.run(0, &[]).await;
    assert_eq!(ran.ends(), ["production.rollout succeeded fail", "production.withdrawal succeeded pass"]);
    assert_eq!(paths(), [on.as_str(), on.as_str(), off.as_str()]);
    let sent = &recipe.peer.seen(&on)[0];
    assert_eq!(
        (sent.method.as_str(), sent.headers["authorization"].as_str()),
        ("POST", secret("unleash", "token").as_str())
    );

    // A flag that nobody knows: errored, and taken back all the same.
    recipe.peer.on(&on, [Play::Answer(404, r#"{"name":"NotFoundError"}"#.into())]);
    let ran = recipe.run(0, &[]).await;
    assert_eq!(ran.ends(), ["production.rollout errored fail", "production.withdrawal succeeded pass"]);
    assert!(recipe.data(&ran, "flag-on.finished").await["message"].as_str().unwrap().contains("404"));
}

#[tokio::test]
async fn a_kill_switch_follows_the_issues_of_its_service() {
    let recipe = Recipe::serve("feature-flag").await;
    recipe.run(1, &[]).await;
    let (on, off) = (flag("carts-next", "staging", "on"), flag("carts-next", "staging", "off"));
    assert!(!recipe.peer.seen(&off).is_empty() && recipe.peer.seen(&on).is_empty());
    recipe.run(1, &[("test=fail", "test=pass")]).await;
    assert_eq!(recipe.peer.seen("/api/admin/").last().unwrap().path, on);
    assert!(recipe.peer.seen("/api/admin/projects/default/features/new-basket").is_empty());
}

const JOBS: &str = "/api/41/project/shop/jobs";

#[tokio::test]
async fn a_problem_is_solved_by_its_runbook_and_closed() {
    let recipe = Recipe::serve("remediation").await;
    recipe.peer.on(JOBS, [Play::Answer(200, r#"[{"id":"a1b2","name":"Response time degradation"}]"#.into())]);
    recipe.peer.on("/api/41/job/a1b2/run", [Play::Answer(200, r#"{"id":7,"status":"running"}"#.into())]);
    let run = recipe.begin(0, &[]);
    let job = recipe.request("/api/41/job/a1b2/run", 1).await;
    let search = recipe.request(JOBS, 1).await;
    assert_eq!(search.path, format!("{JOBS}?jobExactFilter=Response%20time%20degradation"));
    assert_eq!((search.method.as_str(), job.method.as_str()), ("GET", "POST"));
    assert_eq!(job.headers["x-rundeck-auth-token"], secret("rundeck", "token"));
    let options = &job.json()["options"];
    assert_eq!((&options["service"], &options["stage"]), (&json!("carts"), &json!("production")));
    let issue = recipe.world.only_issue("check=problem").await;
    assert_eq!((&issue["state"], &issue["severity"]), (&json!("ACTIVE"), &json!("major")));
    let body = r#"{"result": "pass", "data": {"step": "restarted"}}"#;
    assert_eq!(recipe.call_back(&options["callback"], body).await.status, 200);
    let ran = recipe.end(run).await;
    assert_eq!((ran.code, ran.ends()), (Some(0), vec!["production.remediation succeeded pass".to_owned()]), "{ran:#?}");
    let data = recipe.data(&ran, "evaluation.triggered").await;
    assert_eq!((&data["action"]["step"], &data["get-action"]["jobId"]), (&json!("restarted"), &json!("a1b2")));
    assert_eq!(recipe.world.only_issue("check=problem").await["state"], "RESOLVED");
}

#[tokio::test]
async fn a_problem_without_a_runbook_or_with_one_that_fails_is_escalated() {
    let recipe = Recipe::serve("remediation").await;
    recipe.peer.on(JOBS, [Play::Answer(200, "[]".into()), Play::Answer(200, r#"[{"id":"c3","name":"x"}]"#.into())]);
    let ran = recipe.run(0, &[]).await;
    assert_eq!(ran.ends(), ["production.remediation errored fail", "production.escalation succeeded pass"], "{ran:#?}");
    assert!(!ran.tasks().contains(&"production action".to_owned()));
    let issue = recipe.world.only_issue("check=problem").await;
    assert_eq!((&issue["severity"], &issue["state"]), (&json!("critical"), &json!("ACTIVE")));

    let run = recipe.begin(0, &[]);
    let job = recipe.request("/api/41/job/c3/run", 1).await;
    let body = r#"{"status": "errored", "message": "no such host"}"#;
    assert_eq!(recipe.call_back(&job.json()["options"]["callback"], body).await.status, 200);
    let ran = recipe.end(run).await;
    assert_eq!(ran.ends()[0], "production.remediation errored fail");
    assert_eq!(recipe.data(&ran, "action.finished").await["message"], "no such host");
}

#[tokio::test]
async fn logs_are_collected_once_for_an_issue_and_nobody_waits() {
    let recipe = Recipe::serve("remediation").await;
    let path = format!("/api/41/job/{}/run", secret("rundeck", "logs-job"));
    recipe.peer.on(&path, [Play::Reset]);
    assert_eq!(recipe.run(1, &[]).await.code, Some(1));
    let issues: Vec<Value> = recipe.peer.seen(&path).iter().map(|s| s.json()["options"]["issue"].clone()).collect();
    let before = issues.len();
    assert!(issues.contains(&json!(1)), "{issues:?}");
    for (test, code) in [("test=fail", 1), ("test=pass", 0)] {
        assert_eq!(recipe.run(1, &[("test=fail", test)]).await.code, Some(code));
        assert_eq!(recipe.peer.seen(&path).len(), before, "the issue is open already, or ends");
    }
}
