//! The binary as a person or a script uses it: exit codes, output forms, plain words.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]

use std::net::SocketAddr;

use assert_cmd::Command;
use axum::Router;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use serde_json::{Value, json};

/// Starts a service that answers as the contract says; gives its URL. It ends with the test's process.
fn service() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, routes()).await.unwrap();
        });
    });
    format!("http://{address}")
}

/// Keys in an order that is not that of the alphabet, to see that it is kept.
const ISSUE: &str = r#"{"number":7,"id":"0b0b","title":"test failed: cart","description":"3 of 40\nfailed","severity":"major","state":"ACTIVE","issueType":"test","check":"test","namespace":"shop-dev","scope":{"resourceType":"component","resourceName":"cart","resourceNamespace":"shop-dev"},"occurrences":3,"episodes":2,"detectedAt":"2026-01-02T03:04:05Z","lastSeenAt":"2026-01-02T03:04:05Z","links":[{"title":"log","url":"http://l/1"}],"labels":{"team":"a"},"relatedFrom":[],"relatedTo":[],"openedBy":{"source":"s","id":"e1"},"resolvedBy":null}"#;

fn routes() -> Router {
    let refuse = |status: StatusCode, error: &str, details: &str| {
        (status, json!({"error": error, "details": details}).to_string())
    };
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(move || async move { refuse(StatusCode::SERVICE_UNAVAILABLE, "not ready", "no broker") }))
        .route("/api/v1/version", get(|| async { json!({"version": env!("CARGO_PKG_VERSION")}).to_string() }))
        .route(
            "/api/v1/issues",
            get(move |Query(asked): Query<Vec<(String, String)>>| async move {
                let ask = |name: &str| asked.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
                if ask("severity") == Some("huge") {
                    return refuse(StatusCode::BAD_REQUEST, "severity: \"huge\" is not a severity", "one of info, minor");
                }
                if ask("search") == Some("everything") {
                    return (StatusCode::OK, json!({"data": [asked], "total": 1, "nextCursor": null}).to_string());
                }
                let next = if ask("cursor").is_some() { "null" } else { "\"c2\"" };
                let limit = ask("limit").unwrap_or("50");
                let body = format!(
                    r#"{{"data":[{ISSUE}],"total":2,"limit":{limit},"offset":0,"nextCursor":{next}}}"#
                );
                (StatusCode::OK, body)
            }),
        )
        .route(
            "/api/v1/issues/{id}",
            get(move |Path(id): Path<String>, headers: HeaderMap| async move {
                match (id.as_str(), headers.get("authorization").and_then(|v| v.to_str().ok())) {
                    ("7", _) => (StatusCode::OK, ISSUE.to_owned()),
                    ("8", Some("Bearer good")) => (StatusCode::OK, ISSUE.to_owned()),
                    ("8", Some(_)) => refuse(StatusCode::FORBIDDEN, "role read is missing", ""),
                    ("8", None) => refuse(StatusCode::UNAUTHORIZED, "a token is needed", ""),
                    ("html", _) => (StatusCode::BAD_GATEWAY, "<html>".to_owned()),
                    _ => refuse(StatusCode::NOT_FOUND, "no such issue", &id),
                }
            }),
        )
        .route(
            "/api/v1/parked",
            get(|| async { json!({"data": [], "total": 0, "limit": 1000, "offset": 0, "nextCursor": null}).to_string() }),
        )
        .route(
            "/api/v1/parked/{id}",
            get(move |Path(id): Path<String>| async move {
                if id != "12" {
                    return refuse(StatusCode::NOT_FOUND, &format!("nothing is parked under {id:?}"), "");
                }
                let item: Value = json!({"id": "12", "sequence": 12, "subject": "sh.keptn.x", "reason": "not a JSON object",
                    "payload": "{oops", "payloadBase64": "e29vcHM=", "at": "2026-01-02T03:04:05Z"});
                (StatusCode::OK, item.to_string())
            }),
        )
}

fn shipwatch() -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("shipwatch"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SHIPWATCH_")) {
        command.env_remove(name);
    }
    command.env_remove("RUST_LOG");
    command
}

/// Runs it; gives exit code, standard output, standard error.
fn run(args: &[&str]) -> (i32, String, String) {
    let output = shipwatch().args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn json_is_exactly_what_the_service_returned_and_yaml_keeps_its_order() {
    let url = service();
    let (code, out, _) = run(&["issues", "show", "#7", "-o", "json", "--server", &url]);
    assert_eq!((code, out.trim_end()), (0, ISSUE));
    let (_, out, _) = run(&["issues", "show", "7", "-o", "yaml", "--server", &url]);
    assert!(out.starts_with("number: 7\nid:"), "{out}");
}

#[test]
fn a_list_is_a_table_on_stdout_and_its_count_on_stderr() {
    let url = service();
    let (code, out, err) = run(&["issues", "list", "--server", &url]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(out.lines().count(), 2);
    assert!(out.contains("component/cart/shop-dev") && out.contains("test failed: cart"), "{out}");
    assert!(!out.contains('\u{1b}'), "colour only on a terminal");
    assert!(err.starts_with("1 of 2 issues; --all shows the rest"), "{err}");

    let (_, out, err) = run(&["issues", "list", "--all", "-o", "json", "--server", &url]);
    let all: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((all["data"].as_array().unwrap().len(), all["limit"].as_u64()), (2, Some(1000)));
    assert_eq!((all["nextCursor"].is_null(), err.as_str()), (true, ""));
    assert!(out.contains(ISSUE), "items are not rewritten");
}

#[test]
fn every_filter_reaches_the_service_under_its_name() {
    let url = service();
    let args = [
        "issues",
        "list",
        "-n",
        "a,b",
        "--unresolved",
        "--severity",
        "major",
        "--type",
        "test",
        "--check",
        "c",
        "--project",
        "p",
        "--stage",
        "s",
        "--service",
        "v",
        "-l",
        "team=x=y",
        "--search",
        "everything",
        "--sort",
        "-number",
        "--limit",
        "5",
        "-o",
        "json",
        "--server",
        &url,
    ];
    let (code, out, err) = run(&args);
    assert_eq!(code, 0, "{err}");
    let asked: Value = serde_json::from_str(&out).unwrap();
    let want = json!([
        ["namespace", "a"],
        ["namespace", "b"],
        ["state", "ACTIVE"],
        ["severity", "major"],
        ["issueType", "test"],
        ["check", "c"],
        ["project", "p"],
        ["stage", "s"],
        ["service", "v"],
        ["label.team", "x=y"],
        ["search", "everything"],
        ["sort", "-number"],
        ["limit", "5"]
    ]);
    assert_eq!(asked["data"][0], want);
}

#[test]
fn people_get_a_page_of_one_issue_and_of_one_parked_message() {
    let url = service();
    let (_, out, err) = run(&["issues", "show", "7", "--server", &url]);
    assert!(out.starts_with("#7 test failed: cart\n") && out.ends_with("\n\n3 of 40\nfailed\n"), "{out}{err}");
    let (_, out, err) = run(&["parked", "show", "12", "--server", &url]);
    assert!(out.contains("reason    not a JSON object") && out.ends_with("{oops\n"), "{out}{err}");
    let (code, _, err) = run(&["parked", "show", "13", "--server", &url]);
    assert_eq!((code, err.as_str()), (1, "shipwatch: nothing is parked under \"13\"\n"));
}

#[test]
fn refusals_are_told_in_plain_words() {
    let url = service();
    for (args, code, said) in [
        (vec!["issues", "show", "99"], 1, "no such issue: 99"),
        (vec!["issues", "show", "8"], 1, "a token is needed; give a token with --token or SHIPWATCH_TOKEN"),
        (vec!["issues", "show", "8", "--token", "bad"], 1, "role read is missing; the token does not allow this"),
        (vec!["issues", "show", "html"], 1, "not as Shipwatch does"),
        (vec!["issues", "list", "--severity", "huge"], 2, "is not a severity: one of info, minor"),
    ] {
        let (was, out, err) = run(&[args.as_slice(), &["--server", &url]].concat());
        assert!(was == code && err.contains(said) && out.is_empty(), "{args:?}: {was} {err}");
    }
    let (code, _, _) = run(&["issues", "show", "8", "--token", "good", "--server", &url]);
    assert_eq!(code, 0);
}

#[test]
fn an_absent_service_is_named_with_the_flag_that_moves_it() {
    let (code, _, err) = run(&["issues", "list", "--server", "http://127.0.0.1:1"]);
    assert_eq!(code, 1);
    assert!(err.contains("http://127.0.0.1:1/") && err.contains("--server or SHIPWATCH_SERVER"), "{err}");
    let (code, _, err) = run(&["issues", "list", "--server", "over there"]);
    assert_eq!(code, 2, "{err}");
}

#[test]
fn health_is_an_exit_code() {
    let url = service();
    shipwatch().args(["health"]).env("SHIPWATCH_SERVER", &url).assert().code(0);
    let (code, _, err) = run(&["health", "--ready", "--server", &url]);
    assert!(code == 1 && err.contains("not ready: no broker"), "{err}");
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    assert_eq!(run(&["frobnicate"]).0, 2);
    assert_eq!(run(&["issues", "list", "-o", "xml"]).0, 2);
    assert_eq!(run(&["serve", "--log-format", "xml"]).0, 2);
    assert_eq!(run(&["--help"]).0, 0);
    assert!(run(&["--version"]).1.contains(env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_mistake_of_the_configuration_is_told_and_the_code_is_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shipwatch.yaml");
    std::fs::write(&file, "nats: {ulrs: []}\nretention: {events: soon}\n").unwrap();
    let output = shipwatch()
        .args(["serve", "--listen", "nowhere", "--config"])
        .arg(&file)
        .env("SHIPWATCH_LIMITS_EVENT_SIZE", "1GB")
        .output()
        .unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    for said in [
        "4 mistakes",
        "shipwatch.yaml:1:8: unknown key \"nats.ulrs\"; did you mean \"urls\"?",
        "shipwatch.yaml:2:21: retention.events: \"soon\"",
        "variable SHIPWATCH_LIMITS_EVENT_SIZE: limits.eventSize",
        "flag --listen: query.listen",
    ] {
        assert!(err.contains(said), "{said}: {err}");
    }
    assert_eq!(run(&["serve", "--config", "/nonexistent.yaml"]).0, 2);
}

#[test]
fn the_dump_shows_the_last_layer_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shipwatch.yaml");
    std::fs::write(&file, "nats: {user: joe, password: hunter2, durable: a}\nquery: {listen: ':1'}\n").unwrap();
    let output = shipwatch()
        .args(["serve", "--dump-config", "--nats-url", "nats://a:1,nats://b:2", "--nats-url", "nats://c:3"])
        .env("SHIPWATCH_CONFIG", &file)
        .env("SHIPWATCH_LISTEN", ":2")
        .env("SHIPWATCH_DURABEL", "b")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(out.contains("nats://c:3") && out.contains("listen: \":2\"") && out.contains("durable: a"), "{out}");
    assert!(!out.contains("hunter2"), "{out}");
    assert!(err.contains("did you mean SHIPWATCH_DURABLE?"), "{err}");
}

#[test]
fn nothing_is_published_of_files_with_mistakes() {
    let output = shipwatch().args(["events", "publish"]).write_stdin("{}\n{\"id\":1}\n").output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(err.contains("nothing was published, 2 mistakes") && err.contains("standard input:2:"), "{err}");
}

#[test]
fn doctor_says_what_is_missing_and_fails() {
    let args = ["doctor", "--server", "http://127.0.0.1:1", "--nats-url", "nats://127.0.0.1:1", "-o", "json"];
    let (code, out, err) = run(&args);
    let checks: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let verdict = |name: &str| {
        checks.as_array().unwrap().iter().find(|c| c["name"] == name).map(|c| c["verdict"].clone()).unwrap_or_default()
    };
    assert_eq!(code, 1);
    assert_eq!(verdict("configuration"), "ok");
    assert_eq!(verdict("broker"), "fail");
    assert_eq!(verdict("service"), "fail");
    assert_eq!(verdict("probe"), "skipped");
    let (code, out, _) = run(&["doctor", "--durable", "a b"]);
    assert!(code == 2 && out.contains("nats.durable"), "{out}");
}

/// A folder with a shipyard in `shipyard/shipyard.yaml`.
fn shipyard(stages: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("shipyard")).unwrap();
    let head = "apiVersion: spec.keptn.sh/0.2.3\nkind: Shipyard\nmetadata: {name: shop}\n";
    std::fs::write(folder.path().join("shipyard/shipyard.yaml"), format!("{head}spec: {{stages: [{stages}]}}\n"))
        .unwrap();
    folder
}

/// Runs `sequence lint` in a folder.
fn sequence_lint(folder: &tempfile::TempDir, args: &[&str]) -> (i32, String, String) {
    let mut command = shipwatch();
    let output = command.current_dir(folder.path()).args(["sequence", "lint"]).args(args).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_shipyard_that_is_fine_or_only_noteworthy_is_0() {
    let folder = shipyard("{name: dev, sequences: [{name: s, tasks: [{name: open-issue}, {name: ours}]}]}");
    let fine = "./shipyard/shipyard.yaml is fine\n";
    assert_eq!(sequence_lint(&folder, &["--executor", "ours"]), (0, fine.into(), String::new()));
    std::fs::write(folder.path().join("shipwatch.yaml"), "tasks: {openIssue: ours, updateIssue: open-issue}\n")
        .unwrap();
    assert_eq!(sequence_lint(&folder, &["--config", "shipwatch.yaml"]).0, 0, "tasks go by their configured names");
    let noted = shipyard("{name: dev, sequences: [{name: s, tasks: [{name: deployment}]}]}");
    let (code, out, err) = sequence_lint(&noted, &["--shipyard-dir", "shipyard"]);
    assert_eq!((code, err.as_str()), (0, "1 note\n"));
    assert!(out.contains("shipyard/shipyard.yaml:4:66  note") && out.contains("needs an executor"), "{out}");
}

#[test]
fn tasks_that_webhooks_beside_a_shipyard_answer_are_answered() {
    let folder = shipyard("{name: dev, sequences: [{name: s, tasks: [{name: open-ticket}, {name: chat}]}]}");
    let head = "apiVersion: webhookconfig.keptn.sh/v1beta1\nkind: WebhookConfig\nspec:\n  webhooks:\n";
    let hook = |task: &str, flags: &str| {
        format!(
            "  - {{type: sh.keptn.event.{task}.triggered{flags}, requests: [{{method: GET, url: 'https://t.example'}}]}}\n"
        )
    };
    let write =
        |text: String| std::fs::write(folder.path().join("shipyard/webhook.yaml"), head.to_owned() + &text).unwrap();
    write(hook("open-ticket", ", sendFinished: true") + &hook("chat", ", sendStarted: false"));
    let (code, out, _) = sequence_lint(&folder, &[]);
    assert!(
        code == 3 && out.contains("\"chat\"") && !out.contains("\"open-ticket\""),
        "a listener is no answer: {out}"
    );
    write(hook("*", ""));
    assert_eq!(sequence_lint(&folder, &[]).0, 0);
    write(hook("open-ticket", ", sendFinshed: true"));
    let (code, out, _) = sequence_lint(&folder, &["shipyard/shipyard.yaml"]);
    assert!(code == 3 && out.contains("shipyard/webhook.yaml:5:") && out.contains("sendFinished"), "{out}");
}

#[test]
fn doubts_about_a_shipyard_are_3_with_their_places_in_every_form() {
    let folder = shipyard(
        "{name: dev, sequences: [{name: s, tasks: [{name: test}, {name: opne-issue}]}, {name: t, tasks: [{name: test}], triggeredOn: [{event: dev.s.finished, selector: {match: {result: failed}}}]}]}",
    );
    let (code, out, err) = sequence_lint(&folder, &[]);
    assert_eq!((code, err.as_str()), (3, "1 error, 1 warning, 1 note\n"));
    for words in
        ["./shipyard/shipyard.yaml:4:66 ", "4:80 ", "4:193 ", "did you mean \"open-issue\"?", "the result is \"fail\""]
    {
        assert!(out.contains(words), "{words} in\n{out}");
    }
    let (code, out, err) = sequence_lint(&folder, &["-o", "json"]);
    assert_eq!((code, err.as_str()), (3, ""));
    let found: Value = serde_json::from_str(&out).unwrap();
    let error = found.as_array().unwrap().iter().find(|f| f["level"] == "error").unwrap();
    assert_eq!(
        *error,
        json!({"file": "./shipyard/shipyard.yaml", "line": 4, "column": 193, "level": "error",
            "message": "\"failed\" never fires: it is compared as it is written", "suggestion": "the result is \"fail\""})
    );
    let (code, out, _) = sequence_lint(&folder, &["-o", "yaml"]);
    assert!(code == 3 && out.contains("level: error"), "{out}");
}

#[test]
fn a_shipyard_with_mistakes_is_3_and_one_that_cannot_be_read_is_2() {
    let folder = shipyard("{name: dev, sequence: []}, {nmae: prod}");
    std::fs::write(folder.path().join("latin1.yaml"), b"# caf\xe9\n").unwrap();
    let (code, out, err) = sequence_lint(&folder, &[]);
    assert_eq!((code, err.as_str()), (3, "3 errors\n"), "{out}");
    assert!(out.contains("4:29 ") && out.contains("did you mean \"sequences\"?"), "{out}");
    let (code, out, err) = sequence_lint(&folder, &["gone.yaml", "shipyard/shipyard.yaml", "latin1.yaml"]);
    assert_eq!(code, 2);
    assert!(out.contains("did you mean \"sequences\"?"), "what could be read is told too: {out}");
    assert!(
        err.contains("gone.yaml: cannot be read: No such file") && err.contains("latin1.yaml:1:6: is not UTF-8"),
        "{err}"
    );
    let (code, _, err) = sequence_lint(&tempfile::tempdir().unwrap(), &[]);
    assert!(code == 2 && err.contains("./shipyard/shipyard.yaml: cannot be read"), "{err}");
}
