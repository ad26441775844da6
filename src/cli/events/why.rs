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
    let query: Vec<_> = args.source.map(|source| ("source".to_owned(), source)).into_iter().collect();
    let body = Client::new(&args.server)?.api(&["events", &args.id], &query).await?;
    output::print(args.output.output, &body, || Ok(story(&serde_json::from_str(&body)?)))?;
    Ok(ExitCode::SUCCESS)
}

/// What happened, in the order it was found out.
fn story(decision: &Value) -> String {
    let get = |path: &[&str]| one_line(&text(decision, path));
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
    let change = changes(decision.get("change"));
    tell("change", if change.is_empty() { "none: no issue was touched".into() } else { change });
    if !get(&["issueId"]).is_empty() {
        tell("issue", get(&["issueId"]));
    }
    for (name, none) in [("replies", "none"), ("deliveries", "")] {
        let items = decision.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if items.is_empty() && !none.is_empty() {
            tell(name, none.into());
        }
        for (i, item) in items.iter().enumerate() {
            tell(if i == 0 { name } else { "" }, brief(item));
        }
    }
    story
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
            "outcome": "failure", "layer": null, "change": "opened", "issueId": "i1",
            "replies": [{"type": "sh.keptn.event.check.started", "id": "r1"}], "deliveries": [], "ruleSet": "abc",
        });
        insta::assert_snapshot!(story(&decision), @r###"
        event     sh.keptn.event.test.finished
                  e1 of jmeter at 2026-01-02T03:04:05Z
                  in context c1, answers t1
        form      bare: the whole event as JSON, without saying so, as Keptn sends it
        rule      keptn-task, of the rule set abc
        scope     component/cart/shop-dev
        outcome   failure: says that something is broken
        why       result is fail
        change    opened
        issue     i1
        replies   sh.keptn.event.check.started r1
        "###);
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
