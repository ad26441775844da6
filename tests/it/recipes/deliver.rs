//! Pipelines, tests, experiments, gates, approvals.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::kitchen::{Recipe, secret};
use crate::support::{Keptn, Play, Ran, eventually};

/// Whether a callback is taken.
async fn answered(recipe: &Recipe, url: &Value, body: &str) {
    let answer = recipe.call_back(url, body).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

const SUBMIT: &str = "/api/v1/workflows/chaos/submit";

/// A parameter of a workflow.
fn parameter(sent: &Value, name: &str) -> Option<Value> {
    let all = sent["submitOptions"]["parameters"].as_array().unwrap().iter();
    all.filter_map(|p| p.as_str()?.split_once('=')).find(|(n, _)| *n == name).map(|(_, value)| value.into())
}

#[tokio::test]
async fn an_experiment_is_waited_for_in_staging_and_not_in_dev() {
    let recipe = Recipe::serve("chaos-test").await;
    for (body, end) in [
        (r#"{"result": "pass", "data": {"probeSuccess": "100"}}"#, "staging.delivery succeeded pass"),
        (r#"{"result": "fail", "message": "it did not come back"}"#, "staging.delivery succeeded fail"),
    ] {
        let before = recipe.peer.seen(SUBMIT).len();
        let run = recipe.begin(0, &[]);
        let sent: Vec<Value> =
            recipe.peer.requests(SUBMIT, before + 2).await[before..].iter().map(|s| s.json()).collect();
        let template = |name: &str| sent.iter().find(|s| s["resourceName"] == name).unwrap();
        let (silent, waiting) = (template("pod-cpu-hog"), template("pod-delete"));
        assert_eq!(parameter(silent, "namespace").unwrap(), "shop-dev");
        assert_eq!(parameter(silent, "callback"), None);
        assert_eq!(parameter(waiting, "duration").unwrap(), "60s");
        answered(&recipe, &parameter(waiting, "callback").unwrap(), body).await;
        let ran = recipe.end(run).await;
        assert_eq!(ran.ends()[1], end, "{ran:#?}");
        let label = format!("shipwatch/context={}", ran.context());
        assert_eq!(waiting["submitOptions"]["labels"], label);
    }
    let sent = &recipe.peer.seen(SUBMIT)[0];
    assert_eq!(sent.headers["authorization"], format!("Bearer {}", secret("argo", "token")));
    assert_eq!(recipe.peer.seen(SUBMIT).len(), 4);
}

#[tokio::test]
async fn an_experiment_that_cannot_be_started_errors_its_task_alone() {
    let recipe = Recipe::serve("chaos-test").await;
    recipe.peer.on(SUBMIT, [Play::Answer(403, r#"{"code":7,"message":"forbidden"}"#.into())]);
    let ran = recipe.run(0, &[]).await;
    assert_eq!(ran.ends(), ["dev.delivery succeeded pass", "staging.delivery errored fail"]);
    assert_eq!(ran.tasks().last().unwrap(), "staging chaos-test");
    assert!(recipe.data(&ran, "chaos-test.finished").await["message"].as_str().unwrap().contains("forbidden"));
}

const PIPELINE: &str = "/api/v4/projects/42/trigger/pipeline";
const STATUS: &str = "/api/v4/projects/42/statuses/4b825dc642cb";

#[tokio::test]
async fn a_pipeline_builds_what_is_deployed_and_the_commit_hears_of_the_end() {
    let recipe = Recipe::serve("ci-cd").await;
    recipe.peer.on(PIPELINE, [Play::Answer(201, r#"{"id":8,"status":"created"}"#.into())]);
    recipe.peer.on("/job/smoke/buildWithParameters", [Play::Answer(201, String::new())]);
    let form = |text: &str| form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<(String, String)>>();
    for (n, body, end, state) in [
        (1, r#"{"data": {"image": "carts:2"}}"#, "succeeded pass", "success"),
        (2, r#"{"result": "fail", "message": "it does not compile"}"#, "succeeded fail", "failed"),
    ] {
        let run = recipe.begin(0, &[]);
        let sent = recipe.request(PIPELINE, n).await;
        assert_eq!(sent.headers["content-type"], "application/x-www-form-urlencoded");
        let fields = form(&sent.body);
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).unwrap();
        assert_eq!((field("token"), field("ref")), (secret("gitlab", "trigger").as_str(), "main"));
        assert_eq!(field("variables[SERVICE]"), "carts");
        answered(&recipe, &field("variables[CALLBACK_URL]").into(), body).await;
        let ran = recipe.end(run).await;
        assert_eq!(ran.ends(), [format!("staging.delivery {end}")]);
        let status = recipe.request(STATUS, n).await;
        assert_eq!(status.headers["private-token"], secret("gitlab", "token"));
        assert_eq!((&status.json()["state"], &status.json()["name"]), (&json!(state), &json!("delivery/staging")));
        if n == 1 {
            assert_eq!(recipe.data(&ran, "deployment.triggered").await["build"]["image"], "carts:2");
        } else {
            assert_eq!(status.json()["description"], "it does not compile");
        }
    }
    let smoke = recipe.peer.seen("/job/smoke/buildWithParameters");
    assert_eq!(smoke.len(), 1, "nothing was deployed the second time");
    assert_eq!(form(&smoke[0].body), form("SERVICE=carts&STAGE=staging"));
    let basic = BASE64.encode(format!("shipwatch:{}", secret("jenkins", "token")));
    assert_eq!(smoke[0].headers["authorization"], format!("Basic {basic}"));
}

#[tokio::test]
async fn a_study_is_created_started_and_its_configuration_deployed() {
    let recipe = Recipe::serve("optimisation").await;
    recipe.peer.on("/api/v1/studies", [Play::Answer(201, r#"{"id":"study-7"}"#.into())]);
    let start = "/api/v1/studies/study-7/start";
    for (n, body, end, tasks) in [
        (1, r#"{"result": "pass", "data": {"configuration": {"replicas": "3"}}}"#, "succeeded pass", 3),
        (2, r#"{"result": "fail", "message": "nothing better was found"}"#, "succeeded fail", 2),
    ] {
        let run = recipe.begin(0, &[]);
        answered(&recipe, &recipe.request(start, n).await.json()["webhook"], body).await;
        let ran = recipe.end(run).await;
        assert_eq!((ran.ends(), ran.tasks().len()), (vec![format!("staging.tuning {end}")], tasks));
        if n == 1 {
            let data = recipe.data(&ran, "deployment.triggered").await;
            assert_eq!(data["optimise"]["configuration"]["replicas"], "3");
        }
    }
    let created = recipe.request("/api/v1/studies", 1).await.json();
    assert_eq!(
        created,
        json!({"name": "shop-staging-carts", "goal": {"minimise": "response_time_p95"}, "maxTrials": 20})
    );

    recipe.peer.on("/api/v1/studies", [Play::Answer(500, "no".into())]);
    let ran = recipe.run(1, &[]).await;
    assert_eq!((ran.code, ran.ends()), (Some(0), vec!["dev.delivery succeeded warning".to_owned()]));
    let suggested = recipe.request("/api/v1/studies", 3).await.json();
    assert_eq!((&suggested["autostart"], &suggested["name"]), (&json!(true), &json!("shop-dev-carts-suggestion")));
    let ran = recipe.run(0, &[]).await;
    assert_eq!(ran.ends(), ["staging.tuning errored fail"], "without a study nothing is started");
    assert_eq!(recipe.peer.seen(start).len(), 2);
}

#[tokio::test]
async fn load_is_waited_for_in_staging_and_runs_beside_the_test_in_dev() {
    let recipe = Recipe::serve("load-test").await;
    let (load, smoke) = ("/v1/tests/carts-load/executions", "/v1/tests/carts-smoke/executions");
    let body = r#"{"result": "warning", "message": "p95 610 ms", "data": {"start": "2026-11-16T09:00:00Z"}}"#;
    let run = recipe.begin(0, &[]);
    let sent = recipe.request(load, 1).await;
    let variables = &sent.json()["variables"];
    assert_eq!(variables["USERS"], json!({"name": "USERS", "value": "50", "type": "basic"}));
    assert_eq!(sent.headers["authorization"], format!("Bearer {}", secret("testkube", "token")));
    answered(&recipe, &variables["CALLBACK_URL"]["value"], body).await;
    let ran = recipe.end(run).await;
    assert_eq!((ran.code, ran.tasks().len()), (Some(0), 3), "a warning goes on: {ran:#?}");
    let data = recipe.data(&ran, "evaluation.triggered").await;
    assert_eq!((&data["test"]["start"], &data["result"]), (&json!("2026-11-16T09:00:00Z"), &json!("warning")));

    recipe.peer.on(smoke, [Play::Answer(500, "no".into())]);
    let ran = recipe.run(1, &[]).await;
    assert_eq!((ran.code, ran.ends()), (Some(0), vec!["dev.delivery succeeded pass".to_owned()]));
    let sent = recipe.request(smoke, 1).await.json();
    assert_eq!(sent["variables"]["USERS"]["value"], "5");
    assert!(sent["variables"]["CALLBACK_URL"].is_null());
    let finished = recipe.data(&ran, "test.finished").await;
    assert_eq!(finished["message"], "simulated", "who only listens says nothing");

    recipe.peer.on(load, [Play::Answer(500, "no".into())]);
    assert_eq!(recipe.run(0, &[]).await.ends(), ["staging.delivery errored fail"]);
}

#[tokio::test]
async fn a_release_waits_for_the_button_that_a_person_confirms() {
    let recipe = Recipe::serve("approval").await;
    for (n, button, end, tasks, told) in [
        (0, 0, "production.delivery succeeded pass", 4, "Approved: carts to production (looks good)"),
        (1, 1, "production.delivery succeeded fail", 3, "Rejected: carts to production (looks good)"),
    ] {
        let run = recipe.begin(0, &[]);
        let asked = recipe.peer.requests("/chat", 2 * n + 1).await[2 * n].json();
        assert_eq!(asked["text"], "Release carts to production?");
        assert!(asked["blocks"][0]["text"]["text"].as_str().unwrap().contains("*warning*"), "{asked:#}");
        let buttons = &asked["blocks"][1]["elements"];
        let words: Vec<_> = buttons.as_array().unwrap().iter().map(|b| b["text"]["text"].as_str().unwrap()).collect();
        assert_eq!(words, ["Approve", "Reject"]);
        let (gateway, path) = recipe.behind(&buttons[button]["url"]).await;
        assert_eq!(gateway.send("GET", &path, &[], "").await.status, 200);
        assert_eq!(recipe.peer.seen("/chat").len(), 2 * n + 1, "a page that is opened decides nothing");
        let form = [("content-type", "application/x-www-form-urlencoded")];
        assert_eq!(gateway.send("POST", &path, &form, "message=looks+good").await.status, 200);
        let ran = recipe.end(run).await;
        assert_eq!((ran.ends()[1].as_str(), ran.tasks().len()), (end, tasks), "{ran:#?}");
        assert_eq!(recipe.peer.requests("/chat", 2 * n + 2).await[2 * n + 1].json(), json!({"text": told}));
    }
    // Nobody can be asked: the sequence does not wait for ever.
    recipe.peer.on("/chat", [Play::Answer(404, "no_service".into())]);
    let ran = recipe.run(0, &[]).await;
    assert_eq!(ran.ends(), ["staging.delivery succeeded warning", "production.delivery errored fail"]);
}

/// The executor of the evaluation, which has more to say than a played one.
async fn evaluate(recipe: &Recipe) {
    let subject = "sh.keptn.event.evaluation.triggered";
    let bus = &recipe.world.bus;
    let trigger = eventually("the evaluation is triggered", async || {
        bus.read("shipwatch").await.into_iter().rfind(|m| m.subject == subject)
    })
    .await
    .json;
    let reply = |phase: &str| {
        let (id, context) = (trigger["id"].as_str().unwrap(), trigger["shkeptncontext"].as_str().unwrap());
        Keptn::new(&format!("sh.keptn.event.evaluation.{phase}")).source("lighthouse").run(id).context(context)
    };
    let indicator = json!({"value": {"metric": "response_time_p95", "value": 610.5}, "status": "warning"});
    let block = json!({"score": 75, "result": "warning", "indicatorResults": [indicator]});
    bus.publish(reply("started")).await;
    bus.publish(reply("finished").status("succeeded").result("warning").data("evaluation", block)).await;
}

#[tokio::test]
async fn an_evaluation_is_measured_told_and_its_report_stored() {
    let recipe = Recipe::serve("slo-report").await;
    let values = json!([{"metric": "response_time_p95", "value": 610.5, "success": true}]);
    recipe.peer.on("/api/v1/measure", [Play::Answer(200, json!({"indicatorValues": values}).to_string())]);
    recipe.peer.on("/api/annotations", [Play::Answer(200, r#"{"message":"Annotation added","id":12}"#.into())]);
    let ran: Ran = recipe.run(0, &[]).await;
    assert_eq!((ran.code, ran.ends()), (Some(0), vec!["staging.delivery succeeded pass".to_owned()]), "{ran:#?}");
    assert_eq!(recipe.request("/chat", 1).await.json(), json!({"text": "carts in staging: pass"}));
    let measure = recipe.request("/api/v1/measure", 1).await;
    assert_eq!(measure.json()["scope"], "shop/staging/carts");
    assert_eq!(measure.json()["ask"], json!({"indicators": ["response_time_p95", "error_rate"]}));
    let data = recipe.data(&ran, "evaluation.triggered").await;
    assert_eq!(data["get-sli"]["indicatorValues"], values);
    let stored = recipe.request("/api/annotations", 1).await;
    assert_eq!(stored.headers["authorization"], format!("Bearer {}", secret("grafana", "token")));
    assert_eq!(stored.json()["text"], "evaluation of carts: pass, score none");
    assert_eq!(recipe.data(&ran, "store-report.finished").await["store-report"]["annotationId"], 12);
}

#[tokio::test]
async fn a_chat_is_told_score_and_indicators_and_a_report_that_is_not_stored_errors_its_task() {
    let recipe = Recipe::serve("slo-report").await;
    recipe.peer.on("/api/v1/measure", [Play::Answer(200, r#"{"indicatorValues":[]}"#.into())]);
    recipe.peer.on("/api/annotations", [Play::Answer(401, r#"{"message":"Unauthorized"}"#.into())]);
    recipe.peer.on("/chat", [Play::Answer(500, "no".into())]);
    // Nobody plays the evaluation.
    let run = recipe.begin(0, &[("evaluation=pass", "test=pass")]);
    evaluate(&recipe).await;
    let ran = recipe.end(run).await;
    assert_eq!(ran.ends(), ["staging.delivery errored fail"], "the chat is nobody's trouble, the report is: {ran:#?}");
    assert_eq!(ran.tasks().last().unwrap(), "staging store-report");
    let told = recipe.request("/chat", 1).await.json();
    assert_eq!(told["text"], "carts in staging: warning, score 75; response_time_p95 610.5 warning");
    let stored = recipe.request("/api/annotations", 1).await.json();
    assert_eq!(stored["text"], "evaluation of carts: warning, score 75");
    assert_eq!(stored["tags"], json!(["shop", "staging", "carts", "warning"]));

    recipe.peer.on("/api/v1/measure", [Play::Answer(200, "{}".into())]);
    let ran = recipe.run(0, &[]).await;
    assert_eq!(ran.tasks().last().unwrap(), "staging get-sli");
    assert!(recipe.data(&ran, "get-sli.finished").await["message"].as_str().unwrap().contains("indicatorValues"));
}
