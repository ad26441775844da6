//! `shipwatch events why`: a decision as a story.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::client::{Client, ServerArgs};
use crate::cli::listing::text;
use crate::cli::output::{self, OutputArgs};
use crate::cli::table::one_line;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Id of the event
    id: String,
    /// Its source, where two sources share an id
    #[arg(long)]
    source: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let mut query = vec![("explain".to_owned(), "true".to_owned())];
    query.extend(args.source.map(|source| ("source".to_owned(), source)));
    let body = Client::new(&args.server)?.api(&["events", &args.id], &query).await?;
    output::print(args.output.output, &body, || Ok(story(&serde_json::from_str(&body)?)))?;
    Ok(ExitCode::SUCCESS)
}

/// What happened, in the order it was found out.
fn story(decision: &Value) -> String {
    let get = |path: &[&str]| one_line(&text(decision, path));
    let items = |name| decision.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut story = String::new();
    let mut tell = |head: &str, what: String| {
        let _ = writeln!(story, "{head:<10}{what}");
    };
    let event = |name| get(&["event", name]);
    let kind = if event("type").is_empty() { "a message that is no event".to_owned() } else { event("type") };
    tell("event", kind);
    if !event("id").is_empty() {
        tell("", format!("{} of {}{}", event("id"), event("source"), before(" at ", event("time"))));
    }
    if !event("shkeptncontext").is_empty() {
        let answers = before(", answers ", event("triggeredid"));
        tell("", format!("in context {}{answers}", event("shkeptncontext")));
    }
    tell(
        "form",
        match get(&["form"]).as_str() {
            "structured" => "structured: the whole event as JSON, and the content type says so".into(),
            "bare" => "bare: the whole event as JSON, without saying so, as Keptn sends it".into(),
            "binary" => "binary: attributes in headers, data in the body".into(),
            "batch" => "batch: one element of a JSON array of events".into(),
            "adapted" => "adapted: made an event by a rule pack".into(),
            "unreadable" => "unreadable: kept whole, see `shipwatch parked list`".into(),
            other => other.to_owned(),
        },
    );
    let rule = get(&["rule"]);
    let set = before(", of the rule set ", get(&["ruleSet"]));
    tell("rule", if rule.is_empty() { format!("none{set}") } else { format!("{rule}{set}") });
    for (i, line) in items("tried").iter().flat_map(tried).enumerate() {
        tell(if i == 0 { "tried" } else { "" }, line);
    }
    if !get(&["scope"]).is_empty() {
        tell("scope", scope(decision.get("scope").unwrap_or(&Value::Null)));
    }
    let outcome = get(&["outcome"]);
    let means = match outcome.as_str() {
        "failure" | "warning" => ": says that something is broken",
        "success" => ": says that something is whole",
        "neutral" => ": says neither that something is broken nor that it is whole",
        "stale" => ": a newer event had spoken already, or it is too old",
        "duplicate" => ": had been counted already",
        "parked" => ": could not be handled",
        "ignored" => ": a rule says to ignore it",
        "withdrawn" => ": taken back by an invalidation",
        _ => "",
    };
    tell("outcome", format!("{outcome}{means}"));
    match get(&["layer"]).as_str() {
        "" => {}
        "id" => tell("", "recognised by its source and id".into()),
        "run" => tell("", "recognised by its run: the same key, run and outcome".into()),
        "sequence" => tell("", "recognised by its place in the stream".into()),
        other => tell("", format!("recognised by {other}")),
    }
    if !get(&["why"]).is_empty() {
        tell("why", get(&["why"]));
    }
    if let Some(earlier) = decision.get("against").filter(|earlier| earlier.is_object()) {
        tell("against", against(earlier));
    }
    if let Some(retry) = decision.get("retry").filter(|retry| retry.is_object()) {
        let get = |path: &[&str]| one_line(&text(retry, path));
        tell("retried", format!("it was parked at {}, event {} had it decided here", get(&["of"]), get(&["by", "id"])));
    }
    let change = changes(decision.get("change"));
    tell("change", if change.is_empty() { "none: no issue was touched".into() } else { change });
    for line in items("changes").iter().flat_map(changed) {
        tell("", line);
    }
    let more = decision.get("changed").and_then(Value::as_u64).unwrap_or_default() as usize;
    if more > items("changes").len() {
        tell("", format!("and {} more", more - items("changes").len()));
    }
    if !get(&["issueId"]).is_empty() {
        tell("issue", get(&["issueId"]));
    }
    if items("replies").is_empty() {
        tell("replies", "none".into());
    }
    for (i, item) in items("replies").iter().enumerate() {
        let waits = if item.get("seen") == Some(&Value::Bool(false)) { ", not in the stream yet" } else { "" };
        tell(if i == 0 { "replies" } else { "" }, brief(item) + waits);
    }
    for (i, line) in items("deliveries").iter().flat_map(delivery).enumerate() {
        tell(if i == 0 { "calls" } else { "" }, line);
    }
    story
}

/// A rule that was tried: each of its conditions with what it saw, and the outcome that holds.
fn tried(rule: &Value) -> Vec<String> {
    let get = |name| one_line(&text(rule, &[name]));
    let fits = if rule.get("fits") == Some(&Value::Bool(true)) { "fits" } else { "does not fit" };
    let mut lines = vec![format!("{} ({}:{}) {fits}", get("rule"), get("file"), get("line"))];
    let list = |value: &Value, name| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    lines.extend(list(rule, "conditions").iter().map(|condition| check(condition, "  ")));
    for outcome in list(rule, "outcomes") {
        let holds = outcome.get("holds") == Some(&Value::Bool(true));
        lines.push(format!("  {} {}", text(&outcome, &["outcome"]), if holds { "holds" } else { "does not hold" }));
        lines.extend(list(&outcome, "conditions").iter().map(|condition| check(condition, "    ")));
        // The first that holds decides; the others were not asked.
        if holds {
            break;
        }
    }
    lines
}

fn check(condition: &Value, indent: &str) -> String {
    let get = |name| one_line(&text(condition, &[name]));
    let mark = if condition.get("holds") == Some(&Value::Bool(true)) { "yes" } else { "no " };
    let seen = if get("seen").is_empty() { "absent".into() } else { get("seen") };
    format!("{indent}{mark} {} is {seen}, wanted: {}", get("path"), get("wants"))
}

/// The earlier word that an event was held against.
fn against(earlier: &Value) -> String {
    let get = |path: &[&str]| one_line(&text(earlier, path));
    let event = match get(&["event", "id"]) {
        id if id.is_empty() => String::new(),
        id => format!(", event {id} of {}", get(&["event", "source"])),
    };
    let (at, sequence) = (get(&["at"]), get(&["sequence"]));
    match get(&["run"]) {
        run if run.is_empty() => format!("the same event, which came at {sequence} on {at}"),
        run => format!("run {run} of {at}, which had said {} at {sequence}{event}", get(&["outcome"])),
    }
}

/// What became of an issue, by the members in which it differs.
fn changed(change: &Value) -> Vec<String> {
    const TELLING: [&str; 8] =
        ["state", "severity", "title", "occurrences", "episodes", "detectedAt", "lastSeenAt", "resolvedAt"];
    let side = |side: &str, name: &str| one_line(&text(change, &[side, name]));
    let there = |side: &str| change.get(side).is_some_and(Value::is_object);
    let number = if there("after") { side("after", "number") } else { side("before", "number") };
    let mut lines = vec![format!("{} #{number}", text(change, &["change"]))];
    for name in TELLING.into_iter().filter(|_| there("after")) {
        let (before, after) = (side("before", name), side("after", name));
        if before != after {
            let none = |text: String| if text.is_empty() { "none".into() } else { text };
            lines.push(match there("before") {
                true => format!("  {name} {} -> {}", none(before), none(after)),
                false => format!("  {name} {after}"),
            });
        }
    }
    lines
}

/// A call of a webhook: how it went, each attempt, and what its receiver said.
fn delivery(item: &Value) -> Vec<String> {
    let get = |path: &[&str]| one_line(&text(item, path));
    let about = before(" about ", get(&["about"]));
    let (webhook, message) = (get(&["webhook"]), get(&["message"]));
    // What went well says its name itself.
    let message = message.strip_prefix(&format!("{webhook} ")).unwrap_or(&message).to_owned();
    let mut lines = vec![format!("webhook {webhook}{about}: {}{}", get(&["state"]), before(", ", message))];
    for attempt in item.get("attempts").and_then(Value::as_array).into_iter().flatten() {
        let get = |name| one_line(&text(attempt, &[name]));
        let came = if get("status").is_empty() { get("error") } else { format!("HTTP {}", get("status")) };
        lines.push(format!("  request {} at {}: {came} after {} ms", get("request"), get("at"), get("tookMs")));
    }
    if let Some(answer) = item.get("answered").filter(|answer| answer.is_object()) {
        let get = |name| one_line(&text(answer, &[name]));
        lines.push(format!("  its receiver answered {} at {}: {}", get("result"), get("at"), get("message")));
    } else if item.get("waiting") == Some(&Value::Bool(true)) {
        lines.push("  its receiver is to answer".into());
    }
    lines
}

fn before(what: &str, text: String) -> String {
    if text.is_empty() { text } else { format!("{what}{text}") }
}

fn scope(value: &Value) -> String {
    match value {
        Value::Object(_) => {
            ["resourceType", "resourceName", "resourceNamespace"].map(|name| one_line(&text(value, &[name]))).join("/")
        }
        other => one_line(&text(other, &[])),
    }
}

fn changes(value: Option<&Value>) -> String {
    match value {
        Some(Value::Array(items)) => items.iter().map(brief).collect::<Vec<_>>().join(", "),
        Some(item) => brief(item),
        None => String::new(),
    }
}

/// The telling members of an object, or a word as it is.
fn brief(value: &Value) -> String {
    let told = ["change", "kind", "type", "status", "result", "message", "id", "state", "at"];
    match value {
        Value::Null => String::new(),
        Value::Object(members) => {
            let known: Vec<_> = told.iter().filter(|name| members.contains_key(**name)).collect();
            if known.is_empty() {
                return one_line(&value.to_string());
            }
            let words = known.into_iter().map(|name| one_line(&text(value, &[name])));
            words.filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
        }
        other => one_line(&text(other, &[])),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_failure_reads_as_a_story() {
        let decision = json!({
            "event": {"id": "e1", "source": "jmeter", "type": "sh.keptn.event.test.finished", "time": "2026-01-02T03:04:05Z",
                "shkeptncontext": "c1", "triggeredid": "t1"},
            "form": "bare", "rule": "keptn-task", "why": "result is fail", "scope":
            {"resourceType": "component", "resourceName": "cart", "resourceNamespace": "shop-dev"},
            "outcome": "failure", "layer": null, "change": "reopened", "issueId": "i1",
            "tried": [{"rule": "team", "file": "team.yaml", "line": 3, "fits": false, "outcomes": [], "conditions":
                [{"path": "data.stage", "wants": "prod", "seen": "dev", "holds": false}]},
                {"rule": "keptn-task", "file": "keptn.yaml", "line": 7, "fits": true, "conditions": [], "outcomes": [
                    {"outcome": "failure", "holds": true, "conditions": [{"path": "data.result", "wants": "fail", "seen": "fail", "holds": true}]},
                    {"outcome": "success", "holds": false, "conditions": []}]}],
            "against": {"sequence": "4", "at": "2026-01-02T03:00:00Z", "run": "t0", "outcome": "success", "event": {"id": "e0", "source": "jmeter"}},
            "changes": [{"issueId": "i1", "change": "reopened",
                "before": {"number": 4, "state": "RESOLVED", "occurrences": 1, "resolvedAt": "2026-01-02T03:00:00Z"},
                "after": {"number": 4, "state": "ACTIVE", "occurrences": 2, "resolvedAt": null}}], "changed": 3,
            "replies": [{"type": "sh.keptn.event.check.started", "id": "r1", "seen": true, "at": "2026-01-02T03:04:06Z"}],
            "deliveries": [], "ruleSet": "abc",
        });
        insta::assert_snapshot!(story(&decision), @r###"
        event     sh.keptn.event.test.finished
                  e1 of jmeter at 2026-01-02T03:04:05Z
                  in context c1, answers t1
        form      bare: the whole event as JSON, without saying so, as Keptn sends it
        rule      keptn-task, of the rule set abc
        tried     team (team.yaml:3) does not fit
                    no  data.stage is dev, wanted: prod
                  keptn-task (keptn.yaml:7) fits
                    failure holds
                      yes data.result is fail, wanted: fail
        scope     component/cart/shop-dev
        outcome   failure: says that something is broken
        why       result is fail
        against   run t0 of 2026-01-02T03:00:00Z, which had said success at 4, event e0 of jmeter
        change    reopened
                  reopened #4
                    state RESOLVED -> ACTIVE
                    occurrences 1 -> 2
                    resolvedAt 2026-01-02T03:00:00Z -> none
                  and 2 more
        issue     i1
        replies   sh.keptn.event.check.started r1 2026-01-02T03:04:06Z
        "###);
    }

    #[test]
    fn calls_of_webhooks_are_told_attempt_by_attempt() {
        let call = json!({"webhook": "tracker", "about": null, "state": "succeeded", "message": "tracker answered with 201",
            "attempts": [{"request": 1, "at": "2026-01-02T03:04:05Z", "tookMs": 9, "error": "nobody listens"},
                {"request": 1, "at": "2026-01-02T03:04:06Z", "tookMs": 7, "status": 201}],
            "waiting": true, "answered": null});
        insta::assert_snapshot!(delivery(&call).join("\n"), @r###"
        webhook tracker: succeeded, answered with 201
          request 1 at 2026-01-02T03:04:05Z: nobody listens after 9 ms
          request 1 at 2026-01-02T03:04:06Z: HTTP 201 after 7 ms
          its receiver is to answer
        "###);
        let pending =
            json!({"webhook": "chat", "about": "dev.shipwatch.issue.opened", "state": "pending", "message": null});
        assert_eq!(delivery(&pending), ["webhook chat about dev.shipwatch.issue.opened: pending"]);
    }

    #[test]
    fn what_cannot_be_read_has_a_story_too() {
        let decision = json!({"event": null, "form": "unreadable", "rule": null, "why": "not a JSON object", "scope": null,
            "outcome": "parked", "layer": null, "change": null, "issueId": null, "replies": []});
        insta::assert_snapshot!(story(&decision), @r###"
        event     a message that is no event
        form      unreadable: kept whole, see `shipwatch parked list`
        rule      none
        outcome   parked: could not be handled
        why       not a JSON object
        change    none: no issue was touched
        replies   none
        "###);
    }
}
