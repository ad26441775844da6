//! `shipwatch issues watch`: changes of issues as they happen, over reconnects.

use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::filters::FilterArgs;
use crate::backoff::{Backoff, Waits};
use crate::cli::client::{Client, Error, ServerArgs};
use crate::cli::listing::text;
use crate::cli::output::{self, Format, OutputArgs};
use crate::cli::sse::{Reader, Sent};
use crate::cli::table::{Tone, one_line, paint};

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    #[command(flatten)]
    filters: FilterArgs,
    /// Go on behind this change: the `id` that `-o json` shows; else from now on
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    server: ServerArgs,
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    tokio::select! {
        ended = watch(args) => ended,
        // The usual way to end it.
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::SUCCESS),
    }
}

/// Waits between attempts to come back.
const BACKOFF: Option<Backoff> = Backoff::new(Duration::from_millis(250), Duration::from_secs(15));

async fn watch(args: Args) -> anyhow::Result<ExitCode> {
    let client = Client::new(&args.server)?;
    let mut watching = Watching {
        reader: Reader::behind(args.after),
        format: args.output.output,
        styled: output::is_styled(),
        query: args.filters.query(),
        reached: false,
    };
    let mut waits: Waits = BACKOFF.unwrap_or(Backoff::broker()).waits();
    if watching.format == Format::Table {
        output::write(HEAD)?;
    }
    loop {
        let (lost, heard) = watching.once(&client).await?;
        if heard {
            waits = BACKOFF.unwrap_or(Backoff::broker()).waits();
        }
        let wait = waits.next_delay();
        if waits.failures() == 1 {
            eprintln!("{lost}; watching goes on when the service is back");
        }
        tokio::time::sleep(wait).await;
    }
}

struct Watching {
    reader: Reader,
    format: Format,
    styled: bool,
    query: Vec<(String, String)>,
    /// The service has answered once: from then on it is waited for.
    reached: bool,
}

impl Watching {
    /// Watches until the connection is lost; why, and whether there was one.
    async fn once(&mut self, client: &Client) -> anyhow::Result<(Error, bool)> {
        let id = self.reader.last_id().map(str::to_owned);
        let mut stream = match client.stream(&["issues", "watch"], &self.query, id.as_deref()).await {
            Ok(stream) => stream,
            Err(error) if error.is_gone() && self.reached => {
                eprintln!("{error}; changes may have been missed, watching from now on");
                self.reader = Reader::default();
                return Ok((error, false));
            }
            Err(error) if error.may_pass() && self.reached => return Ok((error, false)),
            Err(error) => return Err(error.into()),
        };
        self.reached = true;
        // Half of an event may have come before.
        self.reader = Reader::behind(id);
        loop {
            match stream.next().await {
                Ok(piece) => {
                    for sent in self.reader.feed(&piece) {
                        output::write(&self.line(&sent)?)?;
                    }
                }
                Err(error) => return Ok((error, true)),
            }
        }
    }

    fn line(&self, sent: &Sent) -> anyhow::Result<String> {
        let told = Told {
            change: &sent.event,
            id: self.reader.last_id().unwrap_or_default(),
            issue: serde_json::from_str(&sent.data)?,
        };
        Ok(match self.format {
            Format::Json => serde_json::to_string(&told)?,
            Format::Yaml => {
                let json = serde_json::to_string(&told)?;
                format!("---\n{}", serde_saphyr::to_string(&serde_json::from_str::<crate::cli::json::Json>(&json)?)?)
            }
            Format::Table => row(&sent.event, &serde_json::from_str(&sent.data)?, self.styled),
        })
    }
}

/// What is printed of a change.
#[derive(Serialize)]
struct Told<'a> {
    change: &'a str,
    id: &'a str,
    issue: &'a RawValue,
}

const HEAD: &str =
    "TIME                  CHANGE      NO  SEVERITY  CHECK         SCOPE                          TITLE\n";

/// A line of a table whose other lines are not known yet.
fn row(change: &str, issue: &Value, styled: bool) -> String {
    let get = |path: &[&str]| one_line(&text(issue, path));
    let cell = |text: String, width: usize| {
        let padded = format!("{text:<width$}");
        if styled { paint(&padded, Tone::of(&text)) } else { padded }
    };
    let scope = [&["scope", "resourceType"], &["scope", "resourceName"], &["scope", "resourceNamespace"]];
    // To the second: all of them as wide.
    let time = get(&["updatedAt"]);
    let time = time.get(..19).map_or(time.clone(), |seconds| format!("{seconds}Z"));
    let line = format!(
        "{time:<20}  {}  {:>4}  {}  {:<12}  {:<29}  {}",
        cell(change.to_owned(), 8),
        get(&["number"]),
        cell(get(&["severity"]), 8),
        get(&["check"]),
        scope.map(|path| get(path)).join("/"),
        get(&["title"])
    );
    line.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lines_stand_below_the_head() {
        let issue = json!({"updatedAt": "2026-01-02T03:04:05.123456789Z", "number": 7, "severity": "major", "check": "test",
            "scope": {"resourceType": "component", "resourceName": "cart", "resourceNamespace": "shop-dev"},
            "title": "test failed\u{1b}[31m"});
        let table = format!("{HEAD}{}\n", row("opened", &issue, false));
        insta::assert_snapshot!(table, @r"
        TIME                  CHANGE      NO  SEVERITY  CHECK         SCOPE                          TITLE
        2026-01-02T03:04:05Z  opened       7  major     test          component/cart/shop-dev        test failed [31m
        ");
        assert!(row("resolved", &issue, true).contains("\u{1b}[32mresolved\u{1b}[0m"));
    }
}
