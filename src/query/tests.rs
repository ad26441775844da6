use axum::http::StatusCode;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::*;
use crate::domain::decide::model::{TestRules, finished, minute, settings, trigger};
use crate::domain::decide::{Incoming, Judge as _, Memory, decide};
use crate::domain::event::{Event, Form};
use crate::domain::ids::Position;
use crate::domain::messages;
use crate::domain::row::Head;
use crate::domain::rules::Verdict;
use crate::domain::stream::{Reached, StreamIdentity};
use crate::store::{Direction, Options, Store};

mod page;
mod past;
mod sequences;
mod watch;

/// An endpoint over a store of its own.
struct Endpoint {
    store: Store,
    state: State,
    /// Made once: writing the document takes longer than most answers.
    router: std::sync::OnceLock<Router>,
    _folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl Endpoint {
    fn new() -> Endpoint {
        Endpoint::on(tempfile::tempdir().unwrap(), Options::default())
    }

    fn on(folder: TempDir, options: Options) -> Endpoint {
        let store = Store::open(folder.path(), options).unwrap();
        let readiness = Readiness::new("connecting to the broker");
        let metrics = Metrics::new(PrometheusBuilder::new().build_recorder().handle());
        let state = State::new(store.reader(), settings(), readiness, metrics);
        Endpoint { store, state, router: std::sync::OnceLock::new(), _folder: folder }
    }

    /// Five failures and a success of two services, something unreadable, and a task of ours with its answer.
    fn with_a_story() -> Endpoint {
        let mut endpoint = Endpoint::new();
        let of = |id: &str, service: &str, task: &str, result: &str, at: i64| {
            let mut event = finished(id, task, &format!("run-{id}"), result, at);
            event["data"]["service"] = service.into();
            event["data"]["labels"] = json!({ "owner": format!("team-{service}") });
            event["shkeptncontext"] = format!("context-{service}").into();
            event.to_string()
        };
        endpoint.fold(&[
            of("e1", "cart", "test", "fail", 1),
            of("e2", "cart", "test", "fail", 2),
            of("e3", "cart", "deployment", "fail", 3),
            "{broken".to_owned(),
            of("e4", "order", "test", "warning", 5),
            of("e5", "order", "test", "pass", 6),
            trigger("t1", "check-issues", json!({}), 7).to_string(),
        ]);
        let caused: Vec<String> = {
            let reader = endpoint.store.reader();
            let rows: Vec<_> = reader.journal(.., Direction::Forward).map(|row| row.unwrap()).collect();
            let caused = rows.iter().flat_map(|row| messages::again(row, &reader, &settings()).unwrap());
            caused.map(|message| String::from_utf8(message.body.to_vec()).unwrap()).collect()
        };
        endpoint.fold(&caused);
        endpoint
    }

    fn fold(&mut self, events: &[String]) {
        self.fold_by(3, events);
    }

    fn fold_by(&mut self, group: usize, events: &[String]) {
        let mut sequence = self.store.progress().reached.map_or(0, |r| r.sequence);
        for group in events.chunks(group) {
            let mut staged = self.store.stage();
            for payload in group {
                sequence += 1;
                let payload = bytes::Bytes::from(payload.clone());
                let event = Event::from_json(&payload);
                let verdict = event.as_ref().map_or(Verdict::NoRule, |e| TestRules.evaluate("", e));
                let incoming = Incoming {
                    position: Position::new(sequence, 0),
                    stream_time: minute(sequence as i64),
                    subject: "s".into(),
                    form: Form::Bare,
                    event: event.map(|event| {
                        let head = Head::of(&event);
                        (event, head)
                    }),
                    verdict,
                    payload,
                    tell: None,
                };
                let decided = decide(incoming, &staged, &TestRules, &settings(), &Memory::new(0)).unwrap();
                staged.add(decided).unwrap();
            }
            let stream = StreamIdentity { name: "s".into(), created: minute(0) };
            let reached = Reached { stream, sequence, time: minute(sequence as i64), base: 0 };
            self.store.commit(staged, reached).unwrap();
        }
    }

    fn router(&self) -> Router {
        self.router.get_or_init(|| router(self.state.clone())).clone()
    }

    async fn ask(&self, method: &str, path: &str) -> Answer {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = self.router().oneshot(http::without_slash(request)).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec(),
        }
    }

    async fn get(&self, path: &str) -> serde_json::Value {
        let answer = self.ask("GET", path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        answer.json()
    }
}

fn column(list: &serde_json::Value, name: &str) -> Vec<String> {
    let cell = |item: &serde_json::Value| item[name].as_str().map_or(item[name].to_string(), str::to_owned);
    list["data"].as_array().unwrap().iter().map(cell).collect()
}

#[tokio::test]
async fn empty_lists_are_lists() {
    let endpoint = Endpoint::new();
    let empty = json!({ "data": [], "total": 0, "limit": 50, "offset": 0, "nextCursor": null });
    for path in ["issues", "scopes", "events", "parked", "sequences"] {
        for form in [format!("/api/v1/{path}"), format!("/api/v1/{path}/"), format!("/api/v1/{path}/?limit=50")] {
            assert_eq!(endpoint.get(&form).await, empty, "{form}");
        }
    }
}

#[tokio::test]
async fn issues_are_listed_by_any_filter() {
    let endpoint = Endpoint::with_a_story();
    for (query, numbers) in [
        ("", vec!["3", "2", "1"]),
        ("?sort=number", vec!["1", "2", "3"]),
        ("?sort=-severity", vec!["2", "1", "3"]),
        ("?state=active", vec!["2", "1"]),
        ("?state=ACTIVE,RESOLVED&severity=Minor", vec!["3"]),
        ("?severity=minor&severity=major&check=test", vec!["3", "1"]),
        ("?service=cart&check=deployment&issueType=TEST", vec!["2"]),
        ("?label.owner=team-order,nobody", vec!["3"]),
        ("?keptnContext=context-cart", vec!["2", "1"]),
        ("?resourceName=order&resourceType=component", vec!["3"]),
        ("?search=NOWHERE+TO+BE+FOUND", vec![]),
        ("?namespace=other", vec![]),
        ("?namespace=&severity=&_=1", vec!["3", "2", "1"]),
    ] {
        let list = endpoint.get(&format!("/api/v1/issues{query}")).await;
        assert_eq!(column(&list, "number"), numbers, "{query}");
        assert_eq!(list["total"], numbers.len(), "{query}");
    }
    let all = endpoint.get("/api/v1/issues").await;
    let first = &all["data"][2];
    assert_eq!(first["occurrences"], 2);
    assert_eq!(first["relatedFrom"][0]["issue"]["number"], 2);
    assert_eq!(first["relatedFrom"][0]["sourceId"], first["id"]);
    assert_eq!(all["data"][1]["relatedTo"][0]["targetId"], all["data"][1]["id"]);
    assert_eq!(all["data"][1]["relatedTo"][0]["id"], first["relatedFrom"][0]["id"]);
    let title = first["title"].as_str().unwrap().to_uppercase().replace(' ', "%20");
    let found = endpoint.get(&format!("/api/v1/issues?search={title}")).await;
    assert!(column(&found, "number").contains(&"1".to_owned()));
}

#[tokio::test]
async fn pages_follow_each_other_and_a_list_is_as_new_as_the_fold() {
    let mut endpoint = Endpoint::with_a_story();
    let first = endpoint.get("/api/v1/issues?limit=2").await;
    let cursor = first["nextCursor"].as_str().unwrap().to_owned();
    let later = finished("e9", "build", "run-e9", "fail", 30).to_string();
    endpoint.fold(&[later]);
    let second = endpoint.get(&format!("/api/v1/issues?limit=2&cursor={cursor}")).await;
    assert_eq!([column(&first, "number"), column(&second, "number")].concat(), ["3", "2", "1"]);
    assert_eq!(second["nextCursor"], json!(null));
    assert_eq!(column(&endpoint.get("/api/v1/issues?limit=2").await, "number"), ["4", "3"]);
    assert_eq!(column(&endpoint.get("/api/v1/issues?limit=2&offset=3").await, "number"), ["1"]);
    let other = endpoint.ask("GET", &format!("/api/v1/issues?sort=number&cursor={cursor}")).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    assert!(other.text().contains("sorted by detectedAt"), "{}", other.text());
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let endpoint = Endpoint::with_a_story();
    let id = endpoint.get("/api/v1/issues/1").await["id"].as_str().unwrap().to_owned();
    for (path, status, says) in [
        ("/api/v1/issues?limit=0".to_owned(), 400, "limit"),
        ("/api/v1/issues?limit=1001".to_owned(), 400, "limit"),
        ("/api/v1/issues?limit=ten".to_owned(), 400, "limit"),
        ("/api/v1/issues?offset=-1".to_owned(), 400, "offset"),
        ("/api/v1/issues?cursor=x".to_owned(), 400, "cursor"),
        ("/api/v1/issues?related=maybe".to_owned(), 400, "related"),
        ("/api/v1/issues/runs".to_owned(), 400, "1 to 100"),
        ("/api/v1/issues/runs?id=1".to_owned(), 400, "not the id of an issue"),
        (format!("/api/v1/issues/runs?id={id}&limit=51"), 400, "from 1 to 50"),
        ("/api/v1/issues/trend?days=91".to_owned(), 400, "from 1 to 90"),
        ("/api/v1/issues?cursor=%F0%9F%92%A9".to_owned(), 400, "cursor"),
        ("/api/v1/issues?severity=medium".to_owned(), 400, "info, minor, major, critical"),
        ("/api/v1/issues?state=OPEN".to_owned(), 400, "ACTIVE, RESOLVED"),
        ("/api/v1/issues?issueType=x".to_owned(), 400, "issueType"),
        ("/api/v1/issues?sort=title".to_owned(), 400, "sort"),
        ("/api/v1/issues?detectedSince=yesterday".to_owned(), 400, "detectedSince"),
        ("/api/v1/issues?updatedSince=99999999999999999999".to_owned(), 400, "updatedSince"),
        ("/api/v1/issues?namespcae=x".to_owned(), 400, "did you mean \\\"namespace\\\""),
        ("/api/v1/issues?label.=x".to_owned(), 400, "label."),
        ("/api/v1/issues/summary?limit=5".to_owned(), 400, "limit"),
        ("/api/v1/issues/99".to_owned(), 404, "99"),
        ("/api/v1/issues/18446744073709551616".to_owned(), 404, "Issue not found"),
        ("/api/v1/issues/00000000-0000-0000-0000-000000000000/history".to_owned(), 404, "Issue not found"),
        ("/api/v1/issues/%FF".to_owned(), 400, "bad path"),
        (format!("/api/v1/issues/{id}?namespace=other"), 403, "Access denied to this namespace"),
        (format!("/api/v1/issues/{id}/history?namespace=other"), 403, "Access denied to this namespace"),
        ("/api/v1/events?outcome=great".to_owned(), 400, "stale"),
        ("/api/v1/events?nextPageKey=x".to_owned(), 400, "nextPageKey"),
        ("/api/v1/events?pageSize=0".to_owned(), 400, "pageSize"),
        ("/api/v1/events/nothing".to_owned(), 404, "nothing"),
        ("/api/v1/sequences?state=paused".to_owned(), 400, "waitingForApproval"),
        ("/api/v1/sequences?result=good".to_owned(), 400, "pass, warning, fail"),
        ("/api/v1/sequences?cursor=x".to_owned(), 400, "cursor"),
        ("/api/v1/sequences?fromTime=x".to_owned(), 400, "fromTime"),
        ("/api/v1/sequences?context=x".to_owned(), 400, "keptnContext"),
        ("/api/v1/sequences/context-nobody".to_owned(), 404, "context-nobody"),
        ("/api/v1/sequences/context-cart?limit=1".to_owned(), 400, "limit"),
        ("/api/v1/parked/1".to_owned(), 404, "nothing is parked"),
        ("/api/v1/parked/x".to_owned(), 404, "nothing is parked"),
        ("/api/v2/issues".to_owned(), 404, "no such page"),
        ("//x".to_owned(), 404, "no such page"),
    ] {
        let answer = endpoint.ask("GET", &path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.text());
        assert!(answer.text().contains(says), "{path}: {}", answer.text());
        let body = answer.json();
        assert!(body["error"].is_string() && body["details"].is_string(), "{path}: {body}");
    }
    for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let answer = endpoint.ask(method, "/api/v1/issues").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(answer.headers["allow"], "GET, HEAD");
        assert!(answer.json()["error"].is_string());
    }
}

#[tokio::test]
async fn one_issue_is_found_by_id_and_number_and_has_a_history() {
    let endpoint = Endpoint::with_a_story();
    let issue = endpoint.get("/api/v1/issues/3/").await;
    let id = issue["id"].as_str().unwrap();
    assert_eq!(endpoint.get(&format!("/api/v1/issues/{}", id.to_uppercase())).await, issue);
    let namespace = issue["namespace"].as_str().unwrap();
    assert_eq!(endpoint.get(&format!("/api/v1/issues/{id}?namespace={namespace}")).await, issue);
    assert_eq!(issue["state"], "RESOLVED");
    assert_eq!(issue["resolvedBy"]["id"], "e5");

    let history = endpoint.get("/api/v1/issues/3/history").await;
    assert_eq!(column(&history, "change"), ["opened", "resolved"]);
    assert_eq!(column(&history, "eventId"), ["e4", "e5"]);
    assert_eq!(column(&history, "state"), ["ACTIVE", "RESOLVED"]);
    let history = endpoint.get("/api/v1/issues/1/history?offset=1").await;
    assert_eq!((column(&history, "change"), &history["total"]), (vec!["updated".to_owned()], &json!(2)));
    let first = endpoint.get("/api/v1/issues/1/history?limit=1").await;
    let next = first["nextCursor"].as_str().unwrap();
    let second = endpoint.get(&format!("/api/v1/issues/1/history?limit=1&cursor={next}")).await;
    assert_eq!([column(&first, "eventId"), column(&second, "eventId")].concat(), ["e1", "e2"]);
    assert_eq!(second["nextCursor"], json!(null));
}

#[tokio::test]
async fn summary_and_scopes_count() {
    let endpoint = Endpoint::with_a_story();
    let summary = endpoint.get("/api/v1/issues/summary").await;
    assert_eq!(summary["total"], 3);
    assert_eq!(summary["state"], json!({ "ACTIVE": 2, "RESOLVED": 1 }));
    assert_eq!(summary["severity"], json!({ "info": 0, "minor": 1, "major": 2, "critical": 0 }));
    assert_eq!(summary["issueType"]["test"], 3);
    assert_eq!(summary["namespace"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum::<u64>(), 3);
    assert_eq!(endpoint.get("/api/v1/issues/summary?service=cart").await["state"]["ACTIVE"], 2);

    let scopes = endpoint.get("/api/v1/scopes").await;
    assert_eq!(column(&scopes, "resourceName"), ["cart", "order"]);
    assert_eq!(
        (column(&scopes, "active"), column(&scopes, "resolved")),
        (vec!["2".into(), "0".into()], vec!["0".into(), "1".into()])
    );
    assert_eq!(endpoint.get("/api/v1/scopes?resourceName=order").await["total"], 1);
}

#[tokio::test]
async fn the_journal_is_listed_newest_first_and_says_why() {
    let endpoint = Endpoint::with_a_story();
    let all = endpoint.get("/api/v1/events?limit=1000").await;
    let total = all["total"].as_u64().unwrap();
    assert_eq!(total as usize, all["data"].as_array().unwrap().len());
    assert_eq!(total, endpoint.store.reader().journal_len());
    let sequences: Vec<u64> = column(&all, "sequence").iter().map(|s| s.parse().unwrap()).collect();
    assert!(sequences.iter().rev().is_sorted());

    // As Keptn's clients page.
    let (mut key, mut paged) = ("0".to_owned(), Vec::new());
    loop {
        let page = endpoint.get(&format!("/api/v1/events?pageSize=3&nextPageKey={key}")).await;
        paged.extend(column(&page, "sequence"));
        assert_eq!(page["total"], total);
        let Some(next) = page["nextCursor"].as_str() else { break };
        key = next.to_owned();
    }
    assert_eq!(paged, column(&all, "sequence"));

    let cart = endpoint.get("/api/v1/events?keptnContext=context-cart&type=sh.keptn.event.test.finished").await;
    assert_eq!((column(&cart, "id"), &cart["total"]), (vec!["e2".into(), "e1".into()], &json!(2)));
    assert_eq!(column(&endpoint.get("/api/v1/events?outcome=success").await, "id"), ["e5"]);
    assert_eq!(endpoint.get("/api/v1/events?outcome=parked").await["total"], 1);
    let own = endpoint.get("/api/v1/events?source=shipwatch&limit=1000").await;
    assert!(column(&own, "type").contains(&"dev.shipwatch.issue.opened".to_owned()), "{own}");
    let time = endpoint.get("/api/v1/events/e4").await["event"]["time"].as_str().unwrap().replace('+', "%2B");
    let since = endpoint.get(&format!("/api/v1/events?service=order&fromTime={time}")).await;
    assert!(column(&since, "id").contains(&"e4".to_owned()));
    let before = endpoint.get(&format!("/api/v1/events?service=order&beforeTime={time}")).await;
    assert!(!column(&before, "id").contains(&"e4".to_owned()));
}

#[tokio::test]
async fn an_event_is_shown_with_its_decision() {
    let endpoint = Endpoint::with_a_story();
    let opened = endpoint.get("/api/v1/events/e1").await;
    assert_eq!(opened["event"]["id"], "e1");
    assert_eq!((&opened["outcome"], &opened["change"]), (&json!("failure"), &json!("opened")));
    assert_eq!(opened["issueId"], endpoint.get("/api/v1/issues/1").await["id"]);
    assert_eq!(opened["scope"]["resourceName"], "cart");
    assert_eq!(opened["replies"][0]["type"], "dev.shipwatch.issue.opened");
    assert_eq!(opened["replies"][0]["seen"], true);
    for member in ["form", "rule", "why", "layer", "deliveries", "ruleSet"] {
        assert!(opened.get(member).is_some(), "{member}");
    }
    let answered = endpoint.get("/api/v1/events/t1").await;
    assert_eq!(answered["replies"].as_array().unwrap().len(), 2);
    let reply = answered["replies"][1]["id"].as_str().unwrap();
    let reply = endpoint.get(&format!("/api/v1/events/{reply}?source=shipwatch")).await;
    assert_eq!(reply["event"]["type"], "sh.keptn.event.check-issues.finished");
    assert_eq!(endpoint.ask("GET", "/api/v1/events/e1?source=nobody").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_decision_is_explained_by_what_was_there_before_it() {
    let mut endpoint = Endpoint::with_a_story();
    let of = |id: &str, run: &str, result: &str, at: i64| {
        let mut event = finished(id, "test", run, result, at);
        event["data"]["service"] = "cart".into();
        event.to_string()
    };
    endpoint.fold(&[of("e2", "run-e2", "fail", 2), of("r", "run-e2", "fail", 2), of("old", "run-old", "pass", 0)]);
    let plain = endpoint.get("/api/v1/events/e2").await;
    for member in ["tried", "against", "changes"] {
        assert!(plain.get(member).is_none(), "{member}");
    }
    let first = endpoint.get("/api/v1/events/e1?explain=true").await;
    assert_eq!((&first["against"], &first["changes"][0]["before"]), (&json!(null), &json!(null)));
    assert_eq!(first["changes"][0]["after"]["occurrences"], 1);
    assert!(first["replies"][0]["at"].is_string());
    let second = endpoint.get("/api/v1/events/e2?explain=true").await;
    let change = &second["changes"][0];
    assert_eq!((&change["before"]["occurrences"], &change["after"]["occurrences"]), (&json!(1), &json!(2)));
    assert_eq!((&change["change"], &second["changed"]), (&json!("updated"), &json!(1)));
    let against = &second["against"];
    assert_eq!(
        (&against["sequence"], &against["run"], &against["at"]),
        (&json!("1"), &json!("run-e1"), &json!(minute(1)))
    );
    assert_eq!((&against["outcome"], &against["event"]["id"]), (&json!("failure"), &json!("e1")));
    // A repeat of a run, and what comes too late, are held against the newest run.
    for (id, outcome, event) in [("r", "duplicate", "e2"), ("old", "stale", "r")] {
        let decision = endpoint.get(&format!("/api/v1/events/{id}?explain=true")).await;
        assert_eq!(decision["outcome"], outcome);
        assert_eq!(
            (&decision["against"]["run"], &decision["against"]["event"]["id"]),
            (&json!("run-e2"), &json!(event))
        );
        assert_eq!(decision["changes"], json!([]));
    }
    let rows: Vec<_> =
        endpoint.store.reader().journal(.., Direction::Backward).take(3).map(|row| row.unwrap()).collect();
    let again = explain::trail(&endpoint.state, &rows[2], recorded(&rows[2])).unwrap();
    assert_eq!(serde_json::to_value(&again.against).unwrap()["sequence"], "2", "the same event came there first");
    assert_eq!(serde_json::to_value(&again.tried).unwrap(), json!([]), "no rule was asked");
    let wrong = endpoint.ask("GET", "/api/v1/events/e1?explain=yes").await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}

fn recorded(row: &crate::domain::row::Row) -> &crate::domain::row::Recorded {
    match &row.entry {
        crate::domain::row::Entry::Event(recorded) => recorded,
        crate::domain::row::Entry::Own(_) => panic!("an event of our own"),
    }
}

#[tokio::test]
async fn what_is_parked_is_shown_whole() {
    let endpoint = Endpoint::with_a_story();
    let parked = endpoint.get("/api/v1/parked").await;
    assert_eq!((&parked["total"], &parked["data"][0]["payload"]), (&json!(1), &json!("{broken")));
    let id = parked["data"][0]["id"].as_str().unwrap();
    assert_eq!(endpoint.get(&format!("/api/v1/parked/{id}/")).await, parked["data"][0]);
    assert_eq!(endpoint.get(&format!("/api/v1/parked?cursor={id}")).await["data"], json!([]));
}

#[tokio::test]
async fn probes_see_whether_the_fold_runs() {
    let endpoint = Endpoint::with_a_story();
    let health = endpoint.ask("GET", "/api/v1/health/").await;
    assert_eq!(health.status, StatusCode::SERVICE_UNAVAILABLE);
    let body = health.json();
    assert_eq!((&body["status"], &body["components"]["api"]["status"]), (&json!("DOWN"), &json!("UP")));
    for part in ["api", "database", "response_time"] {
        for member in ["status", "message", "details"] {
            assert!(!body["components"][part][member].is_null(), "{part} {member}");
        }
    }
    let not = endpoint.ask("GET", "/readyz").await;
    assert_eq!(
        (not.status, not.text()),
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: connecting to the broker\n".into())
    );
    assert_eq!(endpoint.ask("GET", "/healthz").await.status, StatusCode::OK);

    endpoint.state.readiness.ready(|| None);
    assert_eq!(endpoint.ask("GET", "/readyz").await.status, StatusCode::OK);
    let health = endpoint.get("/api/v1/health").await;
    assert_eq!((&health["status"], &health["message"]), (&json!("UP"), &json!("All systems operational")));
    endpoint.state.readiness.not("stopping");
    assert!(endpoint.ask("GET", "/readyz").await.text().contains("stopping"));
    assert_eq!(endpoint.get("/api/v1/version/").await["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(endpoint.ask("GET", "/metrics").await.status, StatusCode::OK);
}

#[tokio::test]
async fn any_page_may_read_and_head_has_no_body() {
    let endpoint = Endpoint::with_a_story();
    let answer = endpoint.ask("HEAD", "/api/v1/issues").await;
    assert_eq!((answer.status, answer.body.len()), (StatusCode::OK, 0));
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert!(answer.headers["content-type"].to_str().unwrap().starts_with("application/json"));
}

#[tokio::test]
async fn the_openapi_document_has_every_page() {
    let endpoint = Endpoint::new();
    let document = endpoint.get("/openapi.json").await;
    for path in [
        "/api/v1/issues",
        "/api/v1/issues/{id}",
        "/api/v1/issues/{id}/history",
        "/api/v1/issues/summary",
        "/api/v1/issues/watch",
        "/api/v1/issues/runs",
        "/api/v1/issues/trend",
        "/api/v1/scopes",
        "/api/v1/events",
        "/api/v1/events/{id}",
        "/api/v1/sequences",
        "/api/v1/sequences/{keptnContext}",
        "/api/v1/parked",
        "/api/v1/parked/{id}",
        "/api/v1/health",
        "/api/v1/version",
        "/healthz",
        "/readyz",
        "/metrics",
    ] {
        assert!(document["paths"].get(path).is_some(), "{path}");
    }
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn a_stop_does_not_wait_for_a_client_that_says_nothing() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let endpoint = Endpoint::with_a_story();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let serving = tokio::spawn(serve(listener, endpoint.state.clone(), stop.clone()));
    let mut silent = tokio::net::TcpStream::connect(addr).await.unwrap();
    silent.write_all(b"GET /api").await.unwrap();
    let mut client = tokio::net::TcpStream::connect(addr).await.unwrap();
    client.write_all(b"GET /api/v1/issues/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"total\":3"), "{answer}");
    stop.cancel();
    tokio::time::timeout(Duration::from_secs(20), serving).await.unwrap().unwrap().unwrap();
}
