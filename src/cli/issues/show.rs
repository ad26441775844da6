//! `shipwatch issues show`

use std::fmt::Write as _;
use std::process::ExitCode;

use serde_json::Value;

use crate::cli::client::{Client, ServerArgs};
use crate::cli::listing::text;
use crate::cli::output::{self, OutputArgs};
use crate::cli::table::{lines, one_line};
use crate::cli::words::{age, moment};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Id or number
    issue: String,
    /// As it was then: a time, or a span back from now like `2h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let query: Vec<_> = args.at.map(|at| ("at".to_owned(), at)).into_iter().collect();
    let body = client.api(&["issues", super::named(&args.issue)], &query).await?;
    output::print(args.output.output, &body, || Ok(page(&serde_json::from_str(&body)?)))?;
    Ok(ExitCode::SUCCESS)
}

fn page(issue: &Value) -> String {
    let get = |path: &[&str]| one_line(&text(issue, path));
    let when = |name: &str| match get(&[name]) {
        time if time.is_empty() => time,
        time => format!("{time} ({} ago)", age(&time)),
    };
    let mut page = format!("#{} {}\n", get(&["number"]), get(&["title"]));
    let mut line = |name: &str, value: String| {
        if !value.is_empty() && value != "//" {
            let _ = writeln!(page, "{name:<12}{value}");
        }
    };
    line("state", get(&["state"]));
    line("severity", get(&["severity"]));
    line("type", get(&["issueType"]));
    line("check", get(&["check"]));
    line("namespace", get(&["namespace"]));
    let parts = [&["scope", "resourceType"], &["scope", "resourceName"], &["scope", "resourceNamespace"]];
    line("scope", parts.map(|path| get(path)).join("/"));
    line("keptn", ["project", "stage", "service"].map(|name| get(&[name])).join("/"));
    line("detected", when("detectedAt"));
    line("last seen", when("lastSeenAt"));
    line("resolved", when("resolvedAt"));
    line("seen", format!("{} times in {} episodes", get(&["occurrences"]), get(&["episodes"])));
    line("rule", get(&["rule"]));
    line("context", get(&["keptnContext"]));
    let event = |name| match (get(&[name, "id"]), get(&[name, "source"])) {
        (id, _) if id.is_empty() => id,
        (id, source) => format!("event {id} of {source}"),
    };
    line("opened by", event("openedBy"));
    line("resolved by", event("resolvedBy"));
    let labels = issue.get("labels").and_then(Value::as_object).into_iter().flatten();
    let labels = labels.map(|(name, value)| format!("{name}={}", text(value, &[]))).collect::<Vec<_>>().join(" ");
    line("labels", one_line(&labels));
    line("id", get(&["id"]));
    for link in issue.get("links").and_then(Value::as_array).into_iter().flatten() {
        line("link", one_line(&format!("{} {}", text(link, &["title"]), text(link, &["url"]))));
    }
    for (name, end) in [("relatedFrom", "related"), ("relatedTo", "related")] {
        for related in issue.get(name).and_then(Value::as_array).into_iter().flatten() {
            let get = |name| one_line(&text(related, &["issue", name]));
            line(end, format!("#{} {} {}", get("number"), get("state"), get("title")));
        }
    }
    let description = lines(&text(issue, &["description"]));
    if !description.is_empty() {
        let _ = writeln!(page, "\n{}", description.trim_end());
    }
    page
}
