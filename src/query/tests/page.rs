//! The page, and what only the page asks for.

use chrono::{DateTime, Utc};

use super::super::trend::Counts;
use super::*;

async fn ask_as(endpoint: &Endpoint, path: &str, name: &str, value: &str) -> Answer {
    let request = Request::builder().uri(path).header(name, value).body(Body::empty()).unwrap();
    let response = router(endpoint.state.clone()).oneshot(http::without_slash(request)).await.unwrap();
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap().to_vec();
    Answer { status: head.status, headers: head.headers, body }
}

#[tokio::test]
async fn the_page_is_served_with_its_policy_and_not_sent_twice() {
    let endpoint = Endpoint::new();
    let page = endpoint.ask("GET", "/").await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.text().starts_with("<!doctype html>"), "{}", page.text());
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.headers["cache-control"], "no-cache");
    let tag = page.headers["etag"].to_str().unwrap();
    for known in [tag.to_owned(), format!("W/{tag}"), format!("\"x\", {tag}"), "*".into()] {
        let again = ask_as(&endpoint, "/", "if-none-match", &known).await;
        assert_eq!((again.status, again.body.len()), (StatusCode::NOT_MODIFIED, 0), "{known}");
        assert_eq!(again.headers["etag"], tag);
    }
    assert_eq!(ask_as(&endpoint, "/", "if-none-match", "\"other\"").await.status, StatusCode::OK);
    assert_eq!(endpoint.ask("POST", "/").await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(endpoint.ask("GET", "/api/v1/issues").await.headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_browser_that_is_lost_gets_a_page_and_a_client_a_problem() {
    let endpoint = Endpoint::new();
    let page = ask_as(&endpoint, "/no/such", "accept", "text/html,*/*").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    assert!(page.text().contains("nothing at this address"));
    assert!(page.headers.contains_key("content-security-policy"));
    let problem = ask_as(&endpoint, "/no/such", "accept", "*/*").await;
    assert_eq!((problem.status, problem.json()["error"].clone()), (StatusCode::NOT_FOUND, json!("no such page")));
}

#[tokio::test]
async fn the_last_runs_of_a_check_merge_what_was_said_of_each() {
    let mut endpoint = Endpoint::with_a_story();
    let of = |id: &str, run: &str, result: &str, at: i64| {
        let mut event = finished(id, "test", run, result, at);
        event["data"]["service"] = "cart".into();
        event.to_string()
    };
    endpoint.fold(&[
        of("r1", "run-r", "pass", 20),
        of("r2", "run-r", "fail", 21),
        of("late", "run-late", "fail", 10),
        of("r2", "run-r", "fail", 21),
        of("r3", "run-s", "pass", 30),
    ]);
    let issue = endpoint.get("/api/v1/issues/1").await;
    let id = issue["id"].as_str().unwrap();
    let other = endpoint.get("/api/v1/issues/3").await["id"].as_str().unwrap().to_owned();
    let nobody = uuid::Uuid::nil();
    let asked = endpoint.get(&format!("/api/v1/issues/runs?id={id},{nobody}&id={other}")).await;
    assert_eq!(column(&asked, "id"), [id, &other]);
    let said = |of: &serde_json::Value| -> Vec<(String, bool)> {
        let runs = of["runs"].as_array().unwrap().iter();
        runs.map(|run| (run["outcome"].as_str().unwrap().to_owned(), run["late"].as_bool().unwrap())).collect()
    };
    let word = |outcome: &str, late: bool| (outcome.to_owned(), late);
    let all = [
        word("failure", false),
        word("failure", false),
        word("failure", true),
        word("failure", false),
        word("success", false),
    ];
    assert_eq!(said(&asked["data"][0]), all);
    assert_eq!(said(&asked["data"][1]), [word("warning", false), word("success", false)]);
    let newest = endpoint.get(&format!("/api/v1/issues/runs?id={id}&limit=1")).await;
    assert_eq!(newest["data"][0]["runs"][0]["eventId"], "r3");
    assert_eq!(newest["data"][0]["runs"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn relations_may_be_left_out_of_a_list() {
    let endpoint = Endpoint::with_a_story();
    let mut whole = endpoint.get("/api/v1/issues").await;
    let alone = endpoint.get("/api/v1/issues?related=false").await;
    assert_ne!(whole, alone);
    for issue in whole["data"].as_array_mut().unwrap() {
        (issue["relatedFrom"], issue["relatedTo"]) = (json!([]), json!([]));
    }
    assert_eq!(whole, alone);
}

#[tokio::test]
async fn the_trend_counts_each_change_once_however_often_it_is_asked_for() {
    let mut endpoint = Endpoint::with_a_story();
    let day = DateTime::<Utc>::from(minute(0)).date_naive();
    let mut counts = Counts::default();
    counts.catch_up(&endpoint.state, day).unwrap();
    let first = counts.trend(day, 2, &[]);
    assert_eq!(first.data.len(), 2);
    let today = &first.data[1];
    assert_eq!((today.day, today.opened, today.reopened, today.resolved), (day, 3, 0, 1));
    assert_eq!((today.median_seconds, first.median_seconds, today.longest_seconds), (Some(60), Some(60), Some(60)));
    assert_eq!((first.data[0].opened, first.data[0].median_seconds), (0, None));

    // Cart's test is mended after ten minutes, breaks again, and is mended after three.
    let of = |id: &str, result: &str, at: i64| {
        let mut event = finished(id, "test", &format!("run-{id}"), result, at);
        event["data"]["service"] = "cart".into();
        event.to_string()
    };
    endpoint.fold(&[of("n1", "pass", 11), of("n2", "fail", 12), of("n2", "fail", 12), of("n3", "pass", 15)]);
    for _ in 0..2 {
        counts.catch_up(&endpoint.state, day).unwrap();
        let trend = counts.trend(day, 1, &[]);
        let today = &trend.data[0];
        assert_eq!((today.opened, today.reopened, today.resolved), (3, 1, 3));
        assert_eq!((today.median_seconds, today.longest_seconds), (Some(180), Some(600)));
        assert_eq!(trend.since, None);
    }
    let mut anew = Counts::default();
    anew.catch_up(&endpoint.state, day).unwrap();
    let (old, new) = (counts.trend(day, 90, &[]), anew.trend(day, 90, &[]));
    assert_eq!(json!(old), json!(new));
    let namespace = endpoint.get("/api/v1/issues/1").await["namespace"].as_str().unwrap().to_owned();
    assert_eq!(json!(anew.trend(day, 90, &[namespace])), json!(new));
    assert_eq!(anew.trend(day, 1, &["other".into()]).data[0].opened, 0);
}
