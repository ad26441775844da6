//! The gateway: Kite's webhooks and CloudEvents over HTTP.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::support::{Answer, Bus, Gateway, Nats, Shipwatch, World, eventually, exit_of, serve_command};

const ON: &str = "gateway: {listen: '127.0.0.1:0'}\n";

async fn world() -> (World, Gateway) {
    let world = World::with_config(ON).await;
    let gateway = world.service().gateway().await;
    (world, gateway)
}

/// The issue of a failure that was taken.
fn issue(answer: &Answer) -> &Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json["status"], "success", "{answer:?}");
    let issue = &answer.json["issue"];
    assert!(issue.is_object(), "{answer:?}");
    issue
}

fn assert_resolved(answer: &Answer, message: &str) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json, json!({"status": "success", "message": message}));
}

fn assert_refused(answer: &Answer, status: u16, error: &str, details: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.json["error"], error, "{answer:?}");
    assert!(answer.json["details"].as_str().unwrap().contains(details), "{details:?} in {answer:?}");
}

struct Hook {
    name: &'static str,
    body: Value,
    title: &'static str,
    description: &'static str,
    severity: &'static str,
    issue_type: &'static str,
    scope: [&'static str; 3],
    links: &'static [[&'static str; 2]],
}

/// What Kite makes of its own webhooks.
fn kites_failures() -> Vec<Hook> {
    vec![
        Hook {
            name: "pipeline-failure",
            body: json!({"pipelineName": "frontend-build", "namespace": "team-alpha", "failureReason": "Docker build failed",
                "runId": "run-123"}),
            title: "Pipeline run failed: frontend-build",
            description: "The pipeline run frontend-build failed with reason: Docker build failed",
            severity: "major",
            issue_type: "pipeline",
            scope: ["pipelinerun", "frontend-build", "team-alpha"],
            links: &[["Pipeline Run Logs", "https://konflux.dev/logs/pipelineruns/run-123"]],
        },
        Hook {
            name: "pipeline-failure",
            body: json!({"pipelineName": "backend-build", "namespace": "team-alpha", "failureReason": "Tests failed",
                "severity": "critical", "runId": "run-9", "logsUrl": "https://ci.example/logs/9"}),
            title: "Pipeline run failed: backend-build",
            description: "The pipeline run backend-build failed with reason: Tests failed",
            severity: "critical",
            issue_type: "pipeline",
            scope: ["pipelinerun", "backend-build", "team-alpha"],
            links: &[["Pipeline Run Logs", "https://ci.example/logs/9"]],
        },
        Hook {
            name: "release-failure",
            body: json!({"application": "shop", "namespace": "team-beta", "failurePhase": "managed pipeline", "release": "r-7",
                "pipelineRunUrl": "https://ci.example/runs/7"}),
            title: "Release r-7 failed for application shop",
            description: "The release failed in phase: managed pipeline. Link to logs: https://ci.example/runs/7",
            severity: "major",
            issue_type: "release",
            scope: ["application", "shop", "team-beta"],
            links: &[],
        },
        Hook {
            name: "mintmaker-custom",
            body: json!({"pipelineId": "host/repo@main", "namespace": "team-beta", "type": "warning", "logs": ["one", "two"]}),
            title: "Mintmaker warning(2 logs): host/repo@main",
            description: "one\n--------------------------------\ntwo",
            severity: "minor",
            issue_type: "dependency",
            scope: ["mintmaker-warning", "host/repo@main", "team-beta"],
            links: &[
                ["MintMaker documentation", "https://konflux-ci.dev/docs/mintmaker/user/"],
                ["Renovate configuration options", "https://docs.renovatebot.com/configuration-options/"],
            ],
        },
    ]
}

#[tokio::test]
async fn kites_five_webhooks_make_and_resolve_the_issues_that_kite_makes() {
    let (world, gateway) = world().await;
    for hook in kites_failures() {
        let answer = gateway.hook(hook.name, &hook.body).await;
        let issue = issue(&answer);
        for (member, value) in [
            ("title", hook.title),
            ("description", hook.description),
            ("severity", hook.severity),
            ("issueType", hook.issue_type),
            ("state", "ACTIVE"),
            ("namespace", hook.scope[2]),
        ] {
            assert_eq!(issue[member], value, "{member} of {}", hook.name);
        }
        let scope = &issue["scope"];
        let parts = ["resourceType", "resourceName", "resourceNamespace"].map(|part| scope[part].as_str().unwrap());
        assert_eq!(parts, hook.scope, "{}", hook.name);
        let links: Vec<_> = issue["links"].as_array().unwrap().iter().map(|l| [&l["title"], &l["url"]]).collect();
        assert_eq!(links, hook.links, "{}", hook.name);
        // The query endpoint shows the same.
        let shown = world.service().get(&format!("/api/v1/issues/{}", issue["id"].as_str().unwrap())).await;
        assert_eq!((&shown["title"], &shown["links"]), (&issue["title"], &issue["links"]));
    }
    let pipeline = json!({"pipelineName": "frontend-build", "namespace": "team-alpha"});
    let passed = gateway.hook("pipeline-success", &pipeline).await;
    assert_resolved(&passed, "Resolved 1 issue(s) for pipeline frontend-build");
    let passed = gateway.hook("pipeline-success", &pipeline).await;
    assert_resolved(&passed, "Resolved 0 issue(s) for pipeline frontend-build");
    let passed = gateway.hook("release-success", &json!({"application": "shop", "namespace": "team-beta"})).await;
    assert_resolved(&passed, "Resolved 1 issue(s) for application shop");
    let none = json!({"pipelineId": "p", "namespace": "n", "type": "error", "logs": []});
    let answer = gateway.hook("mintmaker-custom", &none).await;
    assert_eq!((answer.status, answer.json), (200, json!({"info": "No logs provided, no issue created"})));
    let states = world.service().get("/api/v1/issues/summary").await;
    assert_eq!((&states["state"]["ACTIVE"], &states["state"]["RESOLVED"]), (&json!(2), &json!(2)), "{states}");
}

#[tokio::test]
async fn the_webhooks_of_kites_documentation_are_taken_as_well() {
    let (_world, gateway) = world().await;
    let table = [
        (
            "build",
            json!({"componentName": "user-service", "namespace": "n", "buildId": "b-4", "errorMessage": "boom",
                "buildLogsUrl": "https://ci.example/4"}),
            "Build failed: user-service",
            "component user-service",
        ),
        (
            "deployment",
            json!({"applicationName": "shop", "namespace": "n", "deploymentId": "d-7", "failureReason": "quota"}),
            "Deployment failed: shop",
            "application shop",
        ),
        (
            "security-scan",
            json!({"componentName": "api", "namespace": "n", "scanId": "s-3", "vulnerabilities": ["CVE-1", "CVE-2"]}),
            "Security scan failed: api",
            "component api",
        ),
    ];
    for (name, body, title, thing) in table {
        let failed = gateway.hook(&format!("{name}-failure"), &body).await;
        assert_eq!(issue(&failed)["title"], title);
        let (_, called) = thing.split_once(' ').unwrap();
        let success = json!({"componentName": called, "applicationName": called, "namespace": "n"});
        let passed = gateway.hook(&format!("{name}-success"), &success).await;
        assert_resolved(&passed, &format!("Resolved 1 issue(s) for {thing}"));
    }
}

#[tokio::test]
async fn forty_failures_of_a_fresh_pipeline_at_once_are_one_issue() {
    let (world, gateway) = world().await;
    for round in 0..20 {
        let body = json!({"pipelineName": format!("p-{round}"), "namespace": "n", "failureReason": "boom"});
        let answers = join_all((0..40).map(|_| gateway.hook("pipeline-failure", &body))).await;
        let mut seen: Vec<_> = answers.iter().map(|a| issue(a)["occurrences"].as_u64().unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (1..=40).collect::<Vec<_>>(), "each answer is about its own event");
        assert!(answers.iter().all(|a| issue(a)["number"] == round + 1), "one issue, one number");
        let found = world.service().only_issue(&format!("resourceName=p-{round}")).await;
        assert_eq!((&found["occurrences"], &found["episodes"]), (&json!(40), &json!(1)));
    }
}

#[tokio::test]
async fn a_retry_with_the_same_key_changes_nothing_and_hears_the_same() {
    let (world, gateway) = world().await;
    let body = json!({"pipelineName": "p", "namespace": "n", "failureReason": "boom"});
    let first = gateway.hook_once("pipeline-failure", "key-1", &body).await;
    // Something happens in between; the retry hears of its own request all the same.
    issue(&gateway.hook("pipeline-failure", &body).await);
    let again = gateway.hook_once("pipeline-failure", "key-1", &body).await;
    assert_eq!((issue(&again), &again.event), (issue(&first), &first.event));
    assert_eq!(issue(&first)["occurrences"], 1);
    assert_eq!(world.only_issue("").await["occurrences"], 2);

    let other = json!({"pipelineName": "p", "namespace": "n", "failureReason": "something else"});
    let conflict = gateway.hook_once("pipeline-failure", "key-1", &other).await;
    assert_refused(&conflict, 409, "Idempotency-Key was used before", "another body");
    let found = world.only_issue("").await;
    assert_eq!((&found["occurrences"], found["description"].as_str().unwrap().contains("boom")), (&json!(2), true));

    // A key holds per path and namespace.
    let success = json!({"pipelineName": "p", "namespace": "n"});
    let passed = gateway.hook_once("pipeline-success", "key-1", &success).await;
    assert_resolved(&passed, "Resolved 1 issue(s) for pipeline p");
    let passed = gateway.hook_once("pipeline-success", "key-1", &success).await;
    assert_resolved(&passed, "Resolved 1 issue(s) for pipeline p");
    let elsewhere = json!({"pipelineName": "p", "namespace": "other", "failureReason": "boom"});
    assert_eq!(issue(&gateway.hook_once("pipeline-failure", "key-1", &elsewhere).await)["number"], 2);

    // Many at once are one event.
    let body = json!({"pipelineName": "q", "namespace": "n", "failureReason": "boom"});
    let answers = join_all((0..20).map(|_| gateway.hook_once("pipeline-failure", "key-2", &body))).await;
    assert!(answers.iter().all(|a| issue(a)["occurrences"] == 1));
    assert_eq!(world.only_issue("resourceName=q").await["occurrences"], 1);

    let endless = "k".repeat(300);
    let refused = gateway.hook_once("pipeline-failure", &endless, &body).await;
    assert_refused(&refused, 400, "Bad header Idempotency-Key", "300");
}

#[tokio::test]
async fn the_clients_of_kites_documentation_work_as_printed() {
    let (_world, gateway) = world().await;
    // curl in a Tekton task: a bearer, and white space around every member.
    let body = "{\n  \"pipelineName\": \"release\",\n  \"namespace\": \"team\",\n  \"failureReason\": \"boom\"\n}";
    let curl = [
        ("content-type", "application/json"),
        ("authorization", "Bearer <access-token>"),
        ("user-agent", "curl/8.5.0"),
    ];
    let answer = gateway.send("POST", "/api/v1/webhooks/pipeline-failure", &curl, body).await;
    assert_eq!(issue(&answer)["namespace"], "team");
    let form = [("content-type", "application/x-www-form-urlencoded")];
    let body = "{\"pipelineName\": \"release\", \"namespace\": \"team\"}";
    let answer = gateway.send("POST", "/api/v1/webhooks/pipeline-success/", &form, body).await;
    assert_resolved(&answer, "Resolved 1 issue(s) for pipeline release");

    // requests.post(json=…) takes 200 and nothing else.
    let body = json!({"componentName": "api", "namespace": "team", "buildId": "7", "errorMessage": "boom",
        "buildLogsUrl": "https://builds.com/logs/7"});
    assert_eq!(gateway.hook("build-failure", &body).await.status, 200);
    let success = json!({"componentName": "api", "namespace": "team"});
    assert_eq!(gateway.hook("build-success", &success).await.status, 200);

    // The Go client says the namespace in the URL as well, and reads status, message and issue.
    let json = [("content-type", "application/json"), ("user-agent", "Go-http-client/1.1")];
    let path = "/api/v1/webhooks/build-failure?namespace=team";
    let answer = gateway.send("POST", path, &json, body.to_string().replace("\"7\"", "\"8\"")).await;
    assert_eq!(issue(&answer)["links"][0]["url"], "https://builds.com/logs/7");
    let path = "/api/v1/webhooks/build-success?namespace=team";
    let answer = gateway.send("POST", path, &json, success.to_string()).await;
    assert_resolved(&answer, "Resolved 1 issue(s) for component api");
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said_and_nothing_is_stored() {
    let (world, gateway) = world().await;
    let post = async |path: &str, body: &str| gateway.send("POST", path, &[], body.to_owned()).await;
    let hook = "/api/v1/webhooks/pipeline-failure";
    let good = r#"{"pipelineName":"p","namespace":"n","failureReason":"r"}"#;

    let answer = post(hook, r#"{"pipelineName":"p","failureReason":""}"#).await;
    assert_refused(&answer, 400, "Missing required fields", "namespace, failureReason");
    for nothing in ["", "nope", "{", "[1]", "null", "7", &format!("{good}x"), &"[".repeat(5000)] {
        let answer = post(hook, nothing).await;
        assert_refused(&answer, 400, "Invalid request body", "JSON");
    }
    let answer = post(hook, r#"{"pipelineName":"p","namespace":{"a":1},"failureReason":"r"}"#).await;
    assert_refused(&answer, 400, "Invalid request body", "namespace is an object, not a string");
    for wrong in [
        r#"{"pipelineName":{"a":1},"namespace":"n","failureReason":"r"}"#,
        r#"{"pipelineName":["a"],"namespace":"n","failureReason":"r"}"#,
        r#"{"pipelineName":"p","namespace":"n","failureReason":"r","severity":"awful"}"#,
        r#"{"pipelineName":"p","namespace":"n","failureReason":"r","severity":7}"#,
    ] {
        let answer = post(hook, wrong).await;
        assert_eq!(
            (answer.status, &answer.json["error"]),
            (400, &json!("Invalid request body")),
            "{wrong}: {answer:?}"
        );
    }
    for (name, body, details) in [
        ("pipeline-failure", json!({"pipelineName": 5}), "pipelineName is a number, not a string"),
        ("pipeline-failure", json!({"failureReason": {"a": 1}}), "failureReason is an object, not a string"),
        ("pipeline-failure", json!({"failureReason": false}), "failureReason is a boolean, not a string"),
        ("pipeline-failure", json!({"runId": {"a": 1}}), "runId is an object, not a string"),
        ("pipeline-failure", json!({"logsUrl": ["a"]}), "logsUrl is an array, not a string"),
        ("pipeline-success", json!({"pipelineName": ["a"]}), "pipelineName is an array, not a string"),
        ("release-failure", json!({"pipelineRunUrl": {"a": 1}}), "pipelineRunUrl is an object, not a string"),
        ("mintmaker-custom", json!({"logs": "one line"}), "logs is a string, not a list of strings"),
        ("mintmaker-custom", json!({"logs": {"a": 1}}), "logs is an object, not a list of strings"),
        ("mintmaker-custom", json!({"logs": ["a", 7]}), "logs[1] is a number, not a string"),
        ("mintmaker-custom", json!({"type": {"a": 1}}), "type is an object, not a string"),
        ("pipeline-failure", json!({"namespace": " n"}), "namespace \" n\" begins or ends with white space"),
        ("build-failure", json!({"errorMessage": ["a"]}), "errorMessage is an array, not a string"),
    ] {
        let mut full = json!({"pipelineName": "p", "namespace": "n", "failureReason": "r", "application": "a",
            "failurePhase": "f", "release": "r", "pipelineId": "p", "type": "error", "componentName": "c",
            "buildId": 7, "errorMessage": "e"});
        full.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let answer = gateway.hook(name, &full).await;
        assert_refused(&answer, 400, "Invalid request body", "");
        assert_eq!(answer.json["details"], details, "{name}: {answer:?}");
    }
    let mintmaker = r#"{"pipelineId":"p","namespace":"n"}"#;
    let answer = post("/api/v1/webhooks/mintmaker-custom-success", mintmaker).await;
    assert_refused(&answer, 400, "Missing required fields", "type");
    let answer = post(&format!("{hook}?namespace=other"), good).await;
    assert_refused(&answer, 400, "Namespaces differ", "other");
    let answer = post("/api/v1/webhooks/lunch-failure", good).await;
    assert_refused(&answer, 404, "no such webhook", "pipeline, release");
    for path in ["/api/v1/webhooks/pipeline", "/api/v1/webhooks/%ff-failure", "/api/v1/webhooks", "/nowhere"] {
        let answer = post(path, good).await;
        assert!(matches!(answer.status, 400 | 404) && answer.json["error"].is_string(), "{path}: {answer:?}");
    }
    let answer = gateway.send("GET", hook, &[], "").await;
    assert_refused(&answer, 405, "method not allowed", "POST");
    assert_eq!(gateway.send("GET", "/healthz", &[], "").await.status, 200);
    assert_eq!(gateway.send("GET", "/readyz/", &[], "").await.status, 200);

    let huge = json!({"pipelineName": "p", "namespace": "n", "failureReason": "r".repeat(2 << 20)}).to_string();
    let answer = post(hook, &huge).await;
    assert_refused(&answer, 413, "Request body too large", "1048576");
    // Within the body's limit, but the event around it is not.
    let full = json!({"pipelineName": "p", "namespace": "n", "failureReason": "r".repeat((1 << 20) - 100)}).to_string();
    let answer = post(hook, &full).await;
    assert_refused(&answer, 413, "Request body too large", "1048576");
    let heavy = "h".repeat(100_000);
    assert_eq!(gateway.send("POST", hook, &[("x-heavy", &heavy)], good).await.status, 431);

    assert_eq!(world.service().get("/api/v1/events?source=shipwatch/gateway").await["total"], 0);
    assert_eq!(world.service().get("/api/v1/parked").await["total"], 0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let (_world, gateway) = world().await;
    let addr = gateway.addr().to_owned();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(addr).unwrap();
        let head = "POST /api/v1/webhooks/pipeline-failure HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"pipe";
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; 1024];
        let read = stream.read(&mut answer).unwrap();
        String::from_utf8_lossy(&answer[..read]).into_owned()
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("Request body too slow"), "{answer}");
}

#[tokio::test]
async fn a_success_that_could_not_be_stored_is_a_503() {
    let (mut world, gateway) = world().await;
    let body = json!({"pipelineName": "p", "namespace": "n", "failureReason": "boom"});
    issue(&gateway.hook("pipeline-failure", &body).await);
    world.nats.kill();
    let answer = gateway.hook("pipeline-success", &body).await;
    assert_refused(&answer, 503, "The event could not be stored", "");
    assert!(answer.retry_after.is_some());
    eventually("the gateway is not ready", async || {
        (gateway.send("GET", "/readyz", &[], "").await.status == 503).then_some(())
    })
    .await;
    let event = r#"{"specversion":"1.0","id":"1","source":"s","type":"sh.keptn.log.error"}"#;
    assert_eq!(gateway.events(&[], event).await.status, 503);
    world.nats.restart().await;
    let answer = eventually("the gateway stores again", async || {
        let answer = gateway.hook_once("pipeline-success", "after", &body).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_resolved(&answer, "Resolved 1 issue(s) for pipeline p");
}

/// A service that is nothing but a gateway.
async fn alone(nats: &Nats, config: &str) -> (Shipwatch, Gateway, tempfile::TempDir) {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("gateway.yaml");
    std::fs::write(&file, config).unwrap();
    let data = dir.path().join("data");
    let mut command = serve_command(&nats.url(), &data);
    command.arg("--no-fold").arg("--config").arg(file);
    let service = Shipwatch::start(command);
    let gateway = service.gateway().await;
    eventually("the gateway is ready", async || {
        (gateway.send("GET", "/readyz", &[], "").await.status == 200).then_some(())
    })
    .await;
    assert!(!data.exists(), "there is no store");
    (service, gateway, dir)
}

#[tokio::test]
async fn a_gateway_alone_answers_with_what_a_fold_elsewhere_decides() {
    let world = World::start().await;
    let (service, gateway, _dir) = alone(&world.nats, ON).await;
    let body = json!({"pipelineName": "p", "namespace": "n", "failureReason": "boom"});
    let failed = gateway.hook("pipeline-failure", &body).await;
    assert_eq!(issue(&failed)["id"], world.only_issue("").await["id"]);
    assert_resolved(&gateway.hook("pipeline-success", &body).await, "Resolved 1 issue(s) for pipeline p");
    assert!(service.terminate().await.success());
}

#[tokio::test]
async fn without_a_fold_the_answer_is_202_and_waiting_is_bounded() {
    let nats = Nats::start().await;
    let config = "gateway: {listen: '127.0.0.1:0', wait: 2s, maxWaiting: 3}\n";
    let (_service, gateway, _dir) = alone(&nats, config).await;
    let body = json!({"pipelineName": "p", "namespace": "n", "failureReason": "boom"});
    // There is no stream either.
    assert_refused(&gateway.hook("pipeline-failure", &body).await, 503, "The event could not be stored", "no stream");

    let bus = Bus::connect(&nats.url()).await;
    bus.create_stream("ci", &["dev.shipwatch.webhook.>"]).await;
    let answers = join_all((0..6).map(|_| gateway.hook_once("pipeline-failure", "once", &body))).await;
    let (busy, taken): (Vec<_>, Vec<_>) = answers.into_iter().partition(|a| a.status == 503);
    assert_eq!((busy.len(), taken.len()), (3, 3));
    assert!(busy.iter().all(|a| a.retry_after.as_deref() == Some("1")));
    assert!(taken.iter().all(|a| a.status == 202 && a.json["status"] == "accepted"), "{taken:?}");

    // What was accepted is folded once a fold comes, and the retries are one event.
    let world = World::on(nats, None).await;
    let id = taken[0].event.clone().unwrap();
    world.service().folded(&id).await;
    assert_eq!(world.only_issue("").await["occurrences"], 1);
}

#[tokio::test]
async fn a_stop_lets_go_of_those_who_wait() {
    let nats = Nats::start().await;
    let bus = Bus::connect(&nats.url()).await;
    bus.create_stream("ci", &["dev.shipwatch.webhook.>"]).await;
    let (service, gateway, _dir) = alone(&nats, "gateway: {listen: '127.0.0.1:0', wait: 1h}\n").await;
    let waits =
        tokio::spawn(
            async move { gateway.hook("pipeline-success", &json!({"pipelineName": "p", "namespace": "n"})).await },
        );
    eventually("the stream has the event", async || (bus.read("ci").await.len() == 1).then_some(())).await;
    assert!(service.terminate().await.success());
    assert_eq!(waits.await.unwrap().status, 202);
}

#[tokio::test]
async fn nothing_but_a_gateway_needs_a_gateway() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut command = serve_command("nats://127.0.0.1:1", &dir.path().join("data"));
    command.arg("--no-fold");
    let (status, _, said) = exit_of(command).await;
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("--gateway-listen"), "{said}");
}

#[tokio::test]
async fn cloudevents_are_taken_structured_binary_and_in_batches() {
    let (world, gateway) = world().await;
    let event = |id: &str| {
        json!({"specversion": "1.0", "id": id, "source": "ci", "type": "sh.keptn.event.test.finished",
            "shkeptncontext": "c", "triggeredid": id,
            "data": {"project": "shop", "stage": "dev", "service": id, "status": "succeeded", "result": "fail"}})
    };
    // As it came, white space and all.
    let structured = format!("{:#}", event("structured"));
    let kind = [("content-type", "application/cloudevents+json; charset=utf-8")];
    let answer = gateway.events(&kind, structured).await;
    assert_eq!((answer.status, &answer.json["events"][0]["id"]), (202, &json!("structured")), "{answer:?}");
    // Keptn's API takes an event as plain JSON.
    assert_eq!(gateway.events(&[("content-type", "application/json")], event("plain").to_string()).await.status, 202);

    let binary = [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", "bin%C3%A4r"),
        ("ce-source", "ci"),
        ("ce-type", "sh.keptn.event.test.finished"),
        ("ce-shkeptncontext", "c"),
        ("ce-triggeredid", "t"),
    ];
    let answer = gateway.events(&binary, event("binary")["data"].to_string()).await;
    assert_eq!((answer.status, &answer.json["events"][0]["id"]), (202, &json!("binär")), "{answer:?}");

    let batch = json!([event("one"), event("two")]).to_string();
    let answer = gateway.events(&[("content-type", "application/cloudevents-batch+json")], batch.clone()).await;
    assert_eq!((answer.status, answer.json["events"].as_array().map(Vec::len)), (202, Some(2)), "{answer:?}");
    // A retry is no harm: the ids are the caller's.
    assert_eq!(gateway.events(&[], batch).await.status, 202);

    for id in ["structured", "plain", "bin%C3%A4r", "one", "two"] {
        let decision = world.service().folded(id).await;
        assert_eq!(decision["outcome"], "failure", "{decision}");
    }
    world.settle().await;
    let issues = world.service().get("/api/v1/issues").await;
    assert_eq!(issues["total"], 5, "{issues:#}");
    assert!(issues["data"].as_array().unwrap().iter().all(|i| i["occurrences"] == 1));
}

#[tokio::test]
async fn what_is_no_cloudevent_or_shipwatchs_own_is_refused() {
    let (world, gateway) = world().await;
    let good = json!({"specversion": "1.0", "id": "1", "source": "ci", "type": "sh.keptn.log.error"});
    let with = |name: &str, value: &str| {
        let mut event = good.clone();
        event[name] = value.into();
        event.to_string()
    };
    let mut lacking = good.clone();
    lacking.as_object_mut().unwrap().remove("source");
    for (body, details) in [
        (lacking.to_string(), "\"source\""),
        (with("specversion", "0.3"), "\"specversion\""),
        (with("time", "yesterday"), "\"time\""),
        ("nope".into(), "not a JSON object"),
        ("[]".into(), "empty batch"),
        (json!([good, lacking]).to_string(), "event 1 of the batch: attribute \"source\""),
    ] {
        assert_refused(&gateway.events(&[], body).await, 400, "Not a CloudEvent", details);
    }
    assert_eq!(gateway.events(&[], with("type", "sh.keptn.*")).await.status, 400, "no subject to publish on");
    let binary = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "ci")];
    assert_refused(&gateway.events(&binary, "{}").await, 400, "Not a CloudEvent", "type");
    let xml = [("content-type", "application/cloudevents+xml")];
    assert_eq!(gateway.events(&xml, "<event/>").await.status, 415);
    for own in [
        with("type", "dev.shipwatch.webhook.pipeline.failure"),
        with("type", "dev.shipwatch.rules.loaded"),
        with("source", "shipwatch"),
        with("source", "shipwatch/control"),
        json!([good, {"specversion": "1.0", "id": "2", "source": "shipwatch/gateway", "type": "x"}]).to_string(),
    ] {
        assert_refused(&gateway.events(&[], own).await, 403, "This event may not be published here", "shipwatch");
    }
    let nobody = gateway.events(&[], with("type", "com.example.lunch")).await;
    assert_refused(&nobody, 422, "Nobody takes this event", "com.example.lunch");
    let huge = with("subject", &"s".repeat(2 << 20));
    assert_eq!(gateway.events(&[], huge).await.status, 413);
    assert_eq!(world.service().get("/api/v1/events?source=ci,shipwatch/gateway").await["total"], 0);
}

#[tokio::test]
async fn an_event_reaches_nothing_but_a_stream() {
    let (world, gateway) = world().await;
    let bus = Bus::connect(&world.nats.url()).await;
    let mut orders = bus.hear("orders.>").await;
    let mut feedback = bus.hear("shipwatch.>").await;
    let event = |ty: &str| json!({"specversion": "1.0", "id": "1", "source": "ci", "type": ty});
    let good = event("sh.keptn.event.test.finished");
    let before = bus.read("shipwatch").await.len();
    for ty in [
        "$JS.API.STREAM.PURGE.shipwatch",
        "$JS.API.STREAM.DELETE.shipwatch",
        "$SYS.REQ.SERVER.PING",
        "_INBOX.a.b",
        "_R_.a",
        "shipwatch.feedback.a.b",
    ] {
        for body in [event(ty), json!([good, event(ty)])] {
            let answer = gateway.events(&[], body.to_string()).await;
            assert_refused(&answer, 403, "This event may not be published here", ty);
        }
        let binary = [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "ci"), ("ce-type", ty)];
        assert_eq!(gateway.events(&binary, "{}").await.status, 403, "{ty}");
    }
    for (ty, status) in [("orders.delete", 422), ("dev.shipwatch", 422), ("sh.keptn.*", 400), ("sh..keptn", 400)] {
        let answer = gateway.events(&[], json!([good, event(ty)]).to_string()).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.json["details"].as_str().unwrap().contains(ty), "{answer:?}");
    }
    assert_eq!(bus.read("shipwatch").await.len(), before, "nothing of a refused batch is stored");
    // What was published comes before this, in the order of the connection to the broker.
    bus.publish_core("orders.none", "").await;
    bus.publish_core("shipwatch.none", "").await;
    assert_eq!(orders.next().await.unwrap().subject.as_str(), "orders.none");
    assert_eq!(feedback.next().await.unwrap().subject.as_str(), "shipwatch.none");

    // A stream that somebody else made for it.
    bus.create_stream("orders", &["orders.>"]).await;
    let answer = gateway.events(&[], event("orders.delete").to_string()).await;
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(bus.read("orders").await.len(), 1);
}

#[tokio::test]
async fn a_large_batch_enters_the_stream_in_its_order() {
    let (world, gateway) = world().await;
    let event = |n: usize, result: &str| {
        json!({"specversion": "1.0", "id": format!("e-{n}"), "source": "ci", "type": "sh.keptn.event.test.finished",
            "shkeptncontext": "c", "triggeredid": format!("t-{n}"),
            "data": {"project": "shop", "stage": "dev", "service": "cart", "status": "succeeded", "result": result}})
    };
    for size in [300, 1300] {
        let batch: Vec<_> =
            (0..size).map(|n| event(size * 10 + n, if n + 1 == size { "pass" } else { "fail" })).collect();
        let answer = gateway.events(&[], Value::from(batch).to_string()).await;
        assert_eq!(answer.status, 202, "{answer:?}");
        let stored = answer.json["events"].as_array().unwrap();
        let sequences: Vec<_> = stored.iter().map(|e| e["sequence"].as_u64().unwrap()).collect();
        assert_eq!(sequences.len(), size);
        assert!(sequences.is_sorted(), "{sequences:?}");
        world.service().folded(&format!("e-{}", size * 10 + size - 1)).await;
        assert_eq!(world.only_issue("").await["state"], "RESOLVED");
    }
}

#[tokio::test]
async fn a_gateway_that_may_not_ask_for_streams_takes_what_rules_name() {
    let deny = r#"permissions: {publish: {deny: "$JS.API.STREAM.NAMES"}}"#;
    let users = format!("no_auth_user: gw\nauthorization {{users: [{{user: gw, password: s3cret, {deny}}}]}}\n");
    let world = World::on(Nats::with_config(&users).await, Some(ON)).await;
    let gateway = world.service().gateway().await;
    let event = |ty: &str| json!({"specversion": "1.0", "id": "1", "source": "ci", "type": ty}).to_string();
    assert_eq!(gateway.events(&[], event("sh.keptn.log.error")).await.status, 202);
    let answer = gateway.events(&[], event("orders.delete")).await;
    assert_refused(&answer, 422, "Nobody takes this event", "its stream is not known");
}
