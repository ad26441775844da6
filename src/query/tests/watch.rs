//! Changes of issues as they happen.

use axum::body::BodyDataStream;
use futures_util::StreamExt as _;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// A client of the stream.
struct Client {
    body: BodyDataStream,
    text: String,
}

/// One event of it.
#[derive(Clone, Debug, PartialEq)]
struct Event {
    id: String,
    change: String,
    issue: Value,
}

impl Event {
    fn brief(&self) -> (&str, u64) {
        (&self.change, self.issue["number"].as_u64().unwrap())
    }
}

async fn open(endpoint: &Endpoint, query: &str, last: Option<&str>) -> Client {
    let mut request = Request::builder().uri(format!("/api/v1/issues/watch{query}"));
    if let Some(id) = last {
        request = request.header("Last-Event-ID", id);
    }
    let response = endpoint.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let mut client = Client { body: response.into_body().into_data_stream(), text: String::new() };
    // The first thing is a comment with an id, before anything has happened.
    let first = client.block().await.unwrap();
    assert!(first.starts_with(": watching\nid: "), "{first}");
    client
}

impl Client {
    /// What stands up to the next empty line; none at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let next = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await;
            let bytes = next.expect("something comes")?.unwrap();
            self.text += std::str::from_utf8(&bytes).unwrap();
        }
    }

    async fn next(&mut self) -> Event {
        let block = self.block().await.expect("the stream goes on");
        let lines: Vec<&str> = block.lines().collect();
        let [id, change, data] = lines[..] else { panic!("{block}") };
        Event {
            id: id.strip_prefix("id: ").unwrap().into(),
            change: change.strip_prefix("event: ").unwrap().into(),
            issue: serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap(),
        }
    }

    async fn take(&mut self, n: usize) -> Vec<Event> {
        let mut events = Vec::new();
        for _ in 0..n {
            events.push(self.next().await);
        }
        events
    }
}

fn test(id: &str, run: &str, result: &str, at: i64) -> String {
    finished(id, "test", run, result, at).to_string()
}

/// An issue without what depends on others.
fn alone(mut issue: Value) -> Value {
    issue["relatedFrom"] = json!([]);
    issue["relatedTo"] = json!([]);
    issue
}

#[tokio::test]
async fn a_watcher_is_told_what_changes_from_now_on() {
    let mut endpoint = Endpoint::with_a_story();
    let mut all = open(&endpoint, "", None).await;
    let mut active = open(&endpoint, "?state=ACTIVE&severity=major&service=carts", None).await;
    let mut minor = open(&endpoint, "?severity=minor", None).await;
    let mut seen = Vec::new();
    for (event, change) in [
        (test("w1", "r1", "fail", 20), "opened"),
        (test("w2", "r2", "fail", 21), "updated"),
        (test("w3", "r3", "warning", 22), "updated"),
        (test("w4", "r4", "pass", 23), "resolved"),
        (test("w5", "r5", "fail", 24), "reopened"),
    ] {
        endpoint.fold(&[event]);
        let told = all.next().await;
        assert_eq!(told.brief(), (change, 4));
        assert_eq!(told.issue, alone(endpoint.get("/api/v1/issues/4").await));
        seen.push(told);
    }
    // Who asked for the active and major ones hears that it is neither any more, and no more of it until it is again.
    assert_eq!(active.take(4).await, [&seen[..3], &seen[4..]].concat());
    assert_eq!(minor.take(2).await, seen[2..4]);
    // Others hear nothing: the next thing they are told is theirs.
    let mut other = open(&endpoint, "?service=nobody", Some(&seen[0].id)).await;
    endpoint.fold(&[finished("o", "test", "o", "fail", 30).to_string().replace("carts", "nobody")]);
    assert_eq!(other.next().await.brief(), ("opened", 5));
}

#[tokio::test]
async fn a_withdrawn_issue_is_told_as_resolved() {
    let mut endpoint = Endpoint::new();
    let mut client = open(&endpoint, "?state=ACTIVE", None).await;
    let mut back = finished("i1", "test", "r1", "pass", 2);
    back["type"] = "sh.keptn.event.test.invalidated".into();
    endpoint.fold(&[test("f1", "r1", "fail", 1), back.to_string()]);
    let told = client.take(2).await;
    assert_eq!((told[0].brief(), told[1].brief()), (("opened", 1), ("resolved", 1)));
    assert_eq!((&told[0].issue["state"], &told[1].issue["state"]), (&json!("ACTIVE"), &json!("RESOLVED")));
}

#[tokio::test]
async fn ids_that_lead_nowhere_are_refused() {
    let endpoint = Endpoint::with_a_story();
    for (query, status, says) in [
        ("?lastEventId=x", 400, "lastEventId"),
        ("?lastEventId=5", 400, "lastEventId"),
        ("?lastEventId=9999-0", 410, "ends before 9999-0"),
        ("?severity=awful", 400, "severity"),
        ("?limit=5", 400, "limit"),
    ] {
        let answer = endpoint.ask("GET", &format!("/api/v1/issues/watch{query}")).await;
        assert_eq!(answer.status.as_u16(), status, "{query}");
        assert!(answer.text().contains(says), "{}", answer.text());
    }
}

#[tokio::test]
async fn what_retention_took_is_not_passed_over_in_silence() {
    let folder = tempfile::tempdir().unwrap();
    let retention = crate::store::Retention { resolved_issues: None, events: Some(Duration::from_secs(120)) };
    let options = Options { retention, keep_rows: 2, ..Options::default() };
    let mut endpoint = Endpoint::on(folder, options);
    let mut early = open(&endpoint, "", None).await;
    let events: Vec<String> = (0..40).map(|n| test(&format!("e{n}"), &format!("r{n}"), "fail", n)).collect();
    endpoint.fold(&events[..1]);
    let first = early.next().await;
    endpoint.fold(&events[1..]);
    // It has not read since, and what it would read next is gone.
    assert_eq!(early.block().await, None);
    let answer = endpoint.ask("GET", &format!("/api/v1/issues/watch?lastEventId={}", first.id)).await;
    assert_eq!(answer.status, StatusCode::GONE);
    assert!(answer.text().contains("not kept any more"), "{}", answer.text());
}

#[tokio::test]
async fn a_stop_ends_all_streams_and_refuses_new_ones() {
    let endpoint = Endpoint::with_a_story();
    let stop = CancellationToken::new();
    let Endpoint { store, state, _folder, .. } = endpoint;
    let endpoint = Endpoint { store, state: state.until(stop.clone()), router: std::sync::OnceLock::new(), _folder };
    let mut client = open(&endpoint, "", None).await;
    stop.cancel();
    assert_eq!(client.block().await, None);
    assert_eq!(endpoint.ask("GET", "/api/v1/issues/watch").await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_place_is_free_again_when_a_client_leaves() {
    let endpoint = Endpoint::new();
    let free = endpoint.state.feed.places.available_permits();
    let all = endpoint.state.feed.places.acquire_many(free as u32 - 1).await.unwrap();
    let client = open(&endpoint, "", None).await;
    assert_eq!(endpoint.ask("GET", "/api/v1/issues/watch").await.status, StatusCode::SERVICE_UNAVAILABLE);
    drop(client);
    open(&endpoint, "", None).await;
    drop(all);
}

/// A few services and runs, so that things repeat, come late, are taken back, and are answered by a success for all.
pub(super) fn story() -> impl Strategy<Value = Vec<String>> {
    let event = (0u8..3, 0u8..4, 0u8..5, 0u8..4, 0i64..30).prop_map(|(service, task, what, run, at)| {
        let task = ["test", "build", "all", "deployment"][task as usize];
        let result = ["fail", "warning", "pass", "fail", "pass"][what as usize];
        let run = format!("{task}-{service}-{run}");
        let mut event = finished("", task, &run, result, at);
        event["data"]["service"] = format!("s{service}").into();
        if what == 4 && at % 3 == 0 {
            event["type"] = format!("sh.keptn.event.{task}.invalidated").into();
        }
        event
    });
    proptest::collection::vec(event, 1..40).prop_map(|events| {
        let named = events.into_iter().enumerate().map(|(n, mut event)| {
            event["id"] = format!("e{n}").into();
            event.to_string()
        });
        let end = finished("end", "test", "end", "fail", 50).to_string().replace("carts", "end");
        named.chain([end]).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_story_is_told_as_it_happened_and_goes_on_behind_any_id(events in story(), group in 1usize..8) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            // Event by event: what each left behind is what the list shows then.
            let mut slow = Endpoint::new();
            let mut want: Vec<(u64, Value)> = Vec::new();
            let mut before: Vec<Value> = Vec::new();
            for event in &events {
                slow.fold(std::slice::from_ref(event));
                let now = slow.get("/api/v1/issues?sort=number&limit=1000").await["data"].as_array().unwrap().clone();
                let changed = now.iter().map(|issue| alone(issue.clone())).filter(|issue| !before.contains(issue));
                want.extend(changed.map(|issue| (issue["number"].as_u64().unwrap(), issue)));
                before = now.into_iter().map(alone).collect();
            }
            // In groups, into a store that is opened again, and read from the beginning.
            let mut endpoint = Endpoint::new();
            endpoint.fold_by(group, &events);
            let Endpoint { store, state, router, _folder } = endpoint;
            drop((store, state, router));
            let endpoint = Endpoint::on(_folder, Options::default());
            let told = told(&endpoint, "0-0").await;
            let mut shown: Vec<(u64, Value)> = Vec::new();
            for event in &told {
                let number = event.issue["number"].as_u64().unwrap();
                // What was withdrawn is in no list.
                let withdrawn = event.change == "resolved" && !want.iter().any(|(_, issue)| *issue == event.issue);
                if !withdrawn {
                    shown.push((number, event.issue.clone()));
                }
            }
            // Several changes of one event have no order that the lists could tell.
            let sort = |mut all: Vec<(u64, Value)>| {
                all.sort_by_key(|(number, issue)| (issue["updatedAt"].to_string(), *number));
                all
            };
            assert_eq!(sort(shown), sort(want));
            for (n, event) in told[..told.len() - 1].iter().enumerate() {
                assert_eq!(self::told(&endpoint, &event.id).await, told[n + 1..]);
            }
        });
    }
}

/// Everything behind an id, up to the failure that ends each story.
async fn told(endpoint: &Endpoint, id: &str) -> Vec<Event> {
    let mut client = open(endpoint, "", Some(id)).await;
    let mut events = vec![client.next().await];
    while events.last().is_some_and(|event| event.issue["service"] != "end") {
        events.push(client.next().await);
    }
    events
}
