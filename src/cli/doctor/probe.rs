//! A question that the service must answer: published, folded, answered.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use super::report::{Check, Report};
use crate::cli::client::Client;
use crate::cli::listing::text;
use crate::cli::wiring::{Broker, Receipt};
use crate::config::Config;
use crate::domain::keptn::{Phase, task_type};
use crate::domain::time::Time;
use crate::units::Span;

/// Not `shipwatch` or below it: what Shipwatch says itself is never answered.
const SOURCE: &str = "shipwatch-doctor";

/// How often the service is asked.
const PAUSE: Duration = Duration::from_millis(100);

/// Asks the gate about a project that nobody has, and waits for the answer.
pub(super) async fn check(broker: &impl Broker, client: &Client, config: &Config, timeout: Span, report: &mut Report) {
    let begun = Instant::now();
    let (id, context) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let task = &config.tasks.check_issues;
    let ty = task_type(task, Phase::Triggered);
    let event = json!({
        "specversion": "1.0", "id": id, "source": SOURCE, "type": ty, "time": Time::from(Utc::now()).to_string(),
        "datacontenttype": "application/json", "shkeptncontext": context,
        "data": {"project": SOURCE, "stage": "probe", "service": "probe"},
    });
    match broker.publish(&ty, &id, Bytes::from(event.to_string())).await {
        Ok(Receipt::Stored { stream, sequence, .. }) => {
            report.add(Check::ok("probe", format!("{ty} is in {stream} as number {sequence}")));
        }
        Ok(Receipt::Sent) => {
            let advice = "without a stream nothing is folded; see the check of streams";
            return report.add(Check::fail("probe", format!("no stream holds {ty}"), advice));
        }
        Err(error) => {
            return report.add(Check::fail("probe", format!("{error:#}"), format!("may this user publish on {ty}?")));
        }
    }
    let end = begun + timeout.get();
    let query = [("source".to_owned(), SOURCE.to_owned())];
    match wait(end, || async { client.api(&["events", &id], &query).await.map(Some) }).await {
        Ok(_) => report.add(Check::ok("folded", since(begun))),
        Err(why) => {
            let advice = "does the service read this stream of this broker? `serve --dump-config` shows its settings";
            return report.add(Check::fail("folded", format!("not within {timeout}{why}"), advice));
        }
    }
    let finished = task_type(task, Phase::Finished);
    let query = [("keptnContext".to_owned(), context), ("type".to_owned(), finished.clone())];
    let answer = wait(end, || async {
        let body = client.api(&["events"], &query).await?;
        let page: Value = serde_json::from_str(&body).unwrap_or_default();
        let items = page.get("data").and_then(Value::as_array).map(Vec::len).unwrap_or_default();
        Ok((items > 0).then_some(body))
    });
    match answer.await {
        Ok(body) => {
            let page: Value = serde_json::from_str(&body).unwrap_or_default();
            let first = page.get("data").and_then(|d| d.get(0)).cloned().unwrap_or_default();
            let event = first.get("event").filter(|e| e.is_object()).unwrap_or(&first);
            let result = text(event, &["data", "result"]);
            let told = if result.is_empty() { String::new() } else { format!(", result {result}") };
            report.add(Check::ok("answered", format!("{}{told}", since(begun))));
        }
        Err(why) => {
            let advice = format!("is {task:?} a task of the service? may it publish on {finished}?");
            report.add(Check::fail("answered", format!("not within {timeout}{why}"), advice));
        }
    }
}

fn since(begun: Instant) -> String {
    format!("after {} ms", begun.elapsed().as_millis())
}

/// Asks until there is an answer; at `end` gives the last thing that stood in the way.
async fn wait<F>(end: Instant, ask: impl Fn() -> F) -> Result<String, String>
where
    F: Future<Output = Result<Option<String>, crate::cli::client::Error>>,
{
    loop {
        let why = match ask().await {
            Ok(Some(body)) => return Ok(body),
            Ok(None) => String::new(),
            Err(error) if error.is_absent() => String::new(),
            Err(error) => format!(": {error}"),
        };
        if Instant::now() + PAUSE > end {
            return Err(why);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{method, path, path_regex};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::cli::client::ServerArgs;
    use crate::cli::tests::FakeBroker;
    use crate::config::{Mistakes, RawConfig};

    async fn probed(service: &MockServer, timeout: Span) -> Vec<String> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new(&ServerArgs::of(&service.uri())).unwrap();
        let config = crate::config::check(&RawConfig::default(), Mistakes::default()).unwrap();
        let mut report = Report::default();
        check(&FakeBroker::default(), &client, &config, timeout, &mut report).await;
        report.lines()
    }

    fn json(status: u16, body: Value) -> ResponseTemplate {
        ResponseTemplate::new(status).set_body_json(body)
    }

    #[tokio::test]
    async fn a_probe_that_is_folded_late_and_answered_passes() {
        let service = MockServer::start().await;
        let folded = || Mock::given(method("GET")).and(path_regex("^/api/v1/events/.+$"));
        folded().respond_with(json(404, json!({"error": "no such event"}))).up_to_n_times(2).mount(&service).await;
        folded().respond_with(json(200, json!({"outcome": "neutral"}))).mount(&service).await;
        let answer = json!({"data": [{"event": {"data": {"result": "pass"}}}], "total": 1, "nextCursor": null});
        Mock::given(path("/api/v1/events")).respond_with(json(200, answer)).mount(&service).await;
        let lines = probed(&service, Span::from_secs(10)).await;
        assert_eq!(lines[0], "probe Ok: sh.keptn.event.check-issues.triggered is in kept as number 1");
        assert!(lines[1].starts_with("folded Ok: after "), "{lines:?}");
        assert!(lines[2].starts_with("answered Ok: after ") && lines[2].ends_with(", result pass"), "{lines:?}");
    }

    #[tokio::test]
    async fn a_probe_that_nobody_folds_fails_in_time_with_the_last_reason() {
        let service = MockServer::start().await;
        let refusal = json(403, json!({"error": "role read is missing"}));
        Mock::given(method("GET")).respond_with(refusal).mount(&service).await;
        let lines = probed(&service, Span::from_millis(300)).await;
        let want = "folded Fail: not within 300ms: role read is missing; the token does not allow this";
        assert_eq!(lines[1..], [want]);
    }
}
