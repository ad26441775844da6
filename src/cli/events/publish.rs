//! `shipwatch events publish`

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use bytes::Bytes;
use chrono::Utc;
use serde::Serialize;

use super::input::{self, Outgoing};
use crate::cli::logging;
use crate::cli::output::{self, Format, OutputArgs};
use crate::cli::settings::ConfigArgs;
use crate::cli::wiring::{self, Broker, Receipt};
use crate::cli::words::count;
use crate::config::LogFormat;
use crate::domain::time::Time;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Args {
    /// Files with one JSON event, an array of them, or one a line; `-` or none for standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Give an event that lacks them an id and the present time
    #[arg(long)]
    fill: bool,
    #[command(flatten)]
    config: ConfigArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub(in crate::cli) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::init(LogFormat::Text, "warn")?;
    let config = args.config.load([])?;
    let now = args.fill.then(|| Time::from(Utc::now()).to_string());
    let files = if args.files.is_empty() { vec![PathBuf::from("-")] } else { args.files };
    let events = read_all(&files, now.as_deref())?;
    let broker = wiring::connect(&config.nats).await?;
    let (published, failure) = publish(&broker, &events).await;
    print(args.output.output, &published)?;
    if published.iter().any(|line| line.stream.is_none()) {
        eprintln!("warning: no stream holds some of these subjects; who was not listening has missed them");
    }
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// The events of all files. Nothing is published unless all of them are good.
fn read_all(files: &[PathBuf], now: Option<&str>) -> anyhow::Result<Vec<Outgoing>> {
    let (mut events, mut mistakes) = (Vec::new(), Vec::new());
    for file in files {
        let name = if file.as_os_str() == "-" { "standard input".into() } else { file.display().to_string() };
        let bytes = read_bytes(file).with_context(|| format!("cannot read {name}"))?;
        match std::str::from_utf8(&bytes) {
            Err(e) => mistakes.push(format!("{name}: is not UTF-8 from byte {} on", e.valid_up_to())),
            Ok(text) => match input::read(text, now) {
                Ok(found) => events.extend(found),
                Err(found) => mistakes.extend(found.iter().map(|m| format!("{name}:{}: {}", m.line, m.message))),
            },
        }
    }
    if mistakes.is_empty() {
        return Ok(events);
    }
    let what = count(mistakes.len() as u64, "mistake");
    anyhow::bail!("nothing was published, {what}\n  {}", mistakes.join("\n  "))
}

fn read_bytes(file: &PathBuf) -> std::io::Result<Vec<u8>> {
    if file.as_os_str() != "-" {
        return std::fs::read(file);
    }
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What became of one event.
#[derive(Debug, PartialEq, Serialize)]
struct Published {
    id: String,
    source: String,
    #[serde(rename = "type")]
    ty: String,
    stream: Option<String>,
    sequence: Option<u64>,
    duplicate: bool,
}

/// Publishes in order. Stops at the first failure, and gives what went out before it.
async fn publish(broker: &impl Broker, events: &[Outgoing]) -> (Vec<Published>, Option<anyhow::Error>) {
    let mut published = Vec::with_capacity(events.len());
    for Outgoing { event, body } in events {
        match broker.publish(&event.ty, &message_id(event), Bytes::from(body.clone())).await {
            Ok(receipt) => {
                let (stream, sequence, duplicate) = match receipt {
                    Receipt::Stored { stream, sequence, duplicate } => (Some(stream), Some(sequence), duplicate),
                    Receipt::Sent => (None, None, false),
                };
                let (id, source, ty) = (event.id.clone(), event.source.clone(), event.ty.clone());
                published.push(Published { id, source, ty, stream, sequence, duplicate });
            }
            Err(e) => return (published, Some(e.context(format!("event {:?} of {:?}", event.id, event.source)))),
        }
    }
    let failure = broker.flush().await.err();
    (published, failure)
}

/// The message id that lets the stream recognise a repeat. Ids are unique within a source only, so both count; plain ids,
/// as UUIDs are, stay what Keptn's own tools would send.
fn message_id(event: &crate::domain::event::Event) -> String {
    match uuid::Uuid::parse_str(&event.id) {
        Ok(_) => event.id.clone(),
        Err(_) => crate::domain::ids::derive("message", &[&event.source, &event.id]).to_string(),
    }
}

fn print(format: Format, published: &[Published]) -> anyhow::Result<()> {
    let body = serde_json::to_string(published)?;
    output::print(format, &body, || {
        let mut table = output::table(&["ID", "STREAM", "SEQUENCE", "NOTE", "TYPE"]).right(2);
        for line in published {
            let note = match (&line.stream, line.duplicate) {
                (None, _) => "not stored",
                (Some(_), true) => "duplicate",
                (Some(_), false) => "",
            };
            let sequence = line.sequence.map(|n| n.to_string()).unwrap_or_default();
            let stream = line.stream.clone().unwrap_or_default();
            table.row([line.id.clone(), stream, sequence, note.to_owned(), line.ty.clone()]);
        }
        Ok(if published.is_empty() { String::new() } else { table.text() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::FakeBroker;

    #[tokio::test]
    async fn what_went_out_before_a_failure_is_told() {
        let line = |id: &str, ty: &str| format!(r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"{ty}"}}"#);
        let text = [line("1", "kept.a"), line("2", "lost.b"), line("3", "kept.fails"), line("4", "kept.c")].join("\n");
        let events = input::read(&text, None).unwrap();
        let (published, failure) = publish(&FakeBroker::default(), &events).await;
        assert_eq!(published.iter().map(|p| p.sequence).collect::<Vec<_>>(), [Some(1), None]);
        assert!(format!("{:#}", failure.unwrap()).contains("event \"3\""));
    }

    #[test]
    fn files_with_mistakes_are_all_named() {
        let folder = tempfile::tempdir().unwrap();
        let (good, bad, worse) = (folder.path().join("good"), folder.path().join("bad"), folder.path().join("worse"));
        std::fs::write(&good, r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#).unwrap();
        std::fs::write(&bad, "{}\n{}").unwrap();
        std::fs::write(&worse, b"\xff").unwrap();
        assert_eq!(read_all(std::slice::from_ref(&good), None).unwrap().len(), 1);
        let said = read_all(&[good, bad, worse], None).unwrap_err().to_string();
        assert!(said.starts_with("nothing was published, 3 mistakes"), "{said}");
        assert!(said.contains("bad:2: attribute \"specversion\" is missing") && said.contains("not UTF-8"), "{said}");
    }
}
