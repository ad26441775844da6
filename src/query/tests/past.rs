//! The issues as they were.

use proptest::prelude::*;
use serde_json::Value;

use super::watch::story;
use super::*;
use crate::store::Retention;

/// All issues of a query, page by page.
async fn all(endpoint: &Endpoint, query: &str) -> Vec<Value> {
    let mut issues = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = endpoint.get(&format!("/api/v1/issues?{query}{cursor}")).await;
        issues.extend(page["data"].as_array().unwrap().iter().cloned());
        let Some(next) = page["nextCursor"].as_str() else {
            assert_eq!(page["total"], issues.len(), "{query}");
            return issues;
        };
        cursor = format!("&cursor={next}");
    }
}

const QUERIES: [&str; 6] = [
    "limit=1000&sort=number",
    "limit=2",
    "limit=3&sort=-severity&state=ACTIVE",
    "limit=2&sort=updatedAt&search=failed&service=s0,s1",
    "limit=1&severity=minor&sort=lastSeenAt",
    "offset=2&limit=1000&sort=-updatedAt",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn at_every_point_the_issues_are_those_of_a_fold_cut_there(events in story(), middle in 0usize..40) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut endpoint = Endpoint::new();
            let mut then = Vec::new();
            for (n, event) in events.iter().enumerate() {
                endpoint.fold(std::slice::from_ref(event));
                let mut lists = Vec::new();
                for query in QUERIES {
                    lists.push(endpoint.get(&format!("/api/v1/issues?{query}")).await["data"].take());
                }
                then.push((minute(n as i64 + 1), all(&endpoint, "limit=1000&sort=number").await, lists));
                // What is asked in between goes on from there.
                for (at, want, _) in then.iter().filter(|_| n == middle) {
                    assert_eq!(all(&endpoint, &format!("limit=3&sort=number&at={at}")).await, *want);
                }
            }
            for (at, want, lists) in &then {
                for (query, list) in QUERIES.iter().zip(lists) {
                    let was = endpoint.get(&format!("/api/v1/issues?{query}&at={at}")).await;
                    assert_eq!(was["data"], *list, "{query} at {at}");
                }
                // Page by page, and one by one.
                assert_eq!(all(&endpoint, &format!("limit=4&sort=number&at={at}")).await, *want);
                for issue in want {
                    for name in [issue["id"].as_str().unwrap().to_owned(), issue["number"].to_string()] {
                        let mut was = endpoint.get(&format!("/api/v1/issues/{name}?at={at}")).await;
                        was.as_object_mut().unwrap().remove("asOf");
                        assert_eq!(was, *issue);
                    }
                }
            }
            assert_eq!(all(&endpoint, &format!("at={}", minute(0))).await, [] as [Value; 0]);
        });
    }
}

#[tokio::test]
async fn a_moment_is_told_and_what_was_not_there_yet_is_not_found() {
    let endpoint = Endpoint::with_a_story();
    let (first, early) = (minute(1), minute(0));
    let list = endpoint.get(&format!("/api/v1/issues?at={}", first.unix_seconds())).await;
    assert_eq!(column(&list, "number"), ["1"]);
    assert_eq!((&list["asOf"]["at"], &list["asOf"]["before"]), (&json!(first), &json!("2")));
    assert_eq!(endpoint.get(&format!("/api/v1/issues/1?at={first}")).await["occurrences"], 1);
    assert_eq!(endpoint.get("/api/v1/issues/1?at=2100-01-01T00:00:00Z").await["occurrences"], 2);
    assert_eq!(endpoint.get("/api/v1/issues?at=2100-01-01T00:00:00Z").await["asOf"]["before"], json!(null));
    assert!(endpoint.get("/api/v1/issues").await.get("asOf").is_none());
    for (path, status, says) in [
        (format!("/api/v1/issues/1?at={early}"), 404, "no issue"),
        (format!("/api/v1/issues/2?at={first}"), 404, "no issue"),
        (format!("/api/v1/issues/1?at={first}&namespace=other"), 403, "namespace"),
        ("/api/v1/issues?at=yesterday".to_owned(), 400, "at"),
    ] {
        let answer = endpoint.ask("GET", &path).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(answer.text().contains(says), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn what_retention_took_is_said_to_be_missing() {
    let folder = tempfile::tempdir().unwrap();
    let minutes = |n: u64| Some(Duration::from_secs(60 * n));
    let retention = Retention { resolved_issues: minutes(5), events: minutes(20) };
    let mut endpoint = Endpoint::on(folder, Options { retention, keep_rows: 2, ..Options::default() });
    let failing = |n: i64, service: &str, result: &str| {
        let id = format!("{service}-{n}");
        finished(&id, "test", &id, result, n).to_string().replace("carts", service)
    };
    let mut events: Vec<String> = (1..=60).map(|n| failing(n, "carts", "fail")).collect();
    events[38] = failing(39, "old", "fail");
    events[39] = failing(40, "gone", "fail");
    events[49] = failing(50, "gone", "pass");
    endpoint.fold(&events);
    assert_eq!(endpoint.get("/api/v1/issues?service=gone").await["total"], 0, "forgotten since");
    let list = endpoint.get(&format!("/api/v1/issues?sort=number&at={}", minute(45))).await;
    // What is forgotten but was active then is there: its end is in the journal.
    assert_eq!(column(&list, "service"), ["carts", "old", "gone"]);
    assert_eq!(list["asOf"]["resolvedSince"], json!(minute(55)));
    let answer = endpoint.ask("GET", &format!("/api/v1/issues?at={}", minute(20))).await;
    assert_eq!(answer.status, StatusCode::GONE);
    assert!(answer.text().contains("not kept any more"), "{}", answer.text());
}
