//! `shipwatch demo`: an afternoon of deliveries, on a broker of its own.

mod nats;
mod tools;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;

use nats::Nats;
use tools::Tools;

use super::client::{Client, ServerArgs};
use super::issues::issue_table;
use super::wiring::{self, Broker as _};
use super::{logging, output, sequence};
use crate::config::{LogFormat, Mistakes, RawConfig, Target, check};
use crate::domain::time::Time;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Leave at the end instead of serving on until Ctrl-C
    #[arg(long)]
    pub oneshot: bool,
    /// The `nats-server` to start
    #[arg(long, value_name = "FILE", env = "NATS_SERVER", default_value = "nats-server")]
    pub nats_server: PathBuf,
    /// Where the query endpoint listens; a free port where not given
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub listen: String,
}

/// One act: what happens, and what is broken after it.
#[derive(Deserialize)]
struct Act {
    title: String,
    say: String,
    then: Then,
    #[serde(default)]
    events: Vec<Value>,
    /// Sequences that are run after them.
    #[serde(default)]
    runs: Vec<Run>,
    /// What is posted to the gateway after them.
    #[serde(default)]
    posts: Vec<Post>,
}

#[derive(Deserialize)]
struct Post {
    hook: String,
    key: String,
    body: Value,
}

#[derive(Deserialize)]
struct Run {
    sequence: String,
    project: String,
    service: String,
    simulate: HashMap<String, String>,
}

#[derive(Deserialize)]
struct Then {
    active: u64,
    resolved: u64,
}

const ACTS: &[&str] = &[
    include_str!("../../../events/demo/01-a-delivery-fails-in-test.json"),
    include_str!("../../../events/demo/02-a-sequence-opens-an-issue.json"),
    include_str!("../../../events/demo/03-a-gate-holds.json"),
    include_str!("../../../events/demo/04-another-service-breaks.json"),
    include_str!("../../../events/demo/05-a-problem-comes-and-goes.json"),
    include_str!("../../../events/demo/06-an-aborted-run-says-nothing.json"),
    include_str!("../../../events/demo/07-the-repair-passes.json"),
    include_str!("../../../events/demo/08-the-gate-opens.json"),
    include_str!("../../../events/demo/09-late-and-double-events-change-nothing.json"),
    include_str!("../../../events/demo/10-a-failure-comes-back.json"),
    include_str!("../../../events/demo/11-a-pipeline-without-nats.json"),
    include_str!("../../../events/demo/12-a-delivery-fails-and-a-ticket-comes-and-goes.json"),
    include_str!("../../../events/demo/13-an-approval-and-a-gate-before-production.json"),
];

/// What the runs of the acts consist of.
const SHIPYARD: &str = include_str!("../../../events/demo/shipyard.yaml");

/// Whom they call.
const WEBHOOKS: &str = include_str!("../../../events/demo/webhook.yaml");

/// How long an act may take to be folded.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) async fn run(args: Args) -> anyhow::Result<ExitCode> {
    logging::init(LogFormat::Text, "error")?;
    let dir =
        tempfile::Builder::new().prefix("shipwatch-demo-").tempdir().context("cannot make a folder for the demo")?;
    let nats = Nats::start(&args.nats_server, dir.path())?;
    let tools = Tools::start().await?;
    let mut raw = RawConfig::default();
    let data = dir.path().join("data").display().to_string();
    let gateway = "127.0.0.1:0".to_owned();
    // The files of this folder, if there are any, are not part of the play.
    let shipyard = dir.path().join("shipyard");
    std::fs::create_dir(&shipyard)?;
    std::fs::write(shipyard.join("shipyard.yaml"), SHIPYARD)?;
    std::fs::write(shipyard.join(crate::domain::webhooks::FILE), tools.placed(WEBHOOKS))?;
    raw.flags([
        ("nats.urls", nats.url()),
        ("dataDir", data),
        ("shipyardDir", shipyard.display().to_string()),
        ("query.listen", args.listen.clone()),
        ("gateway.listen", gateway),
    ]);
    let mut config = check(&raw, Mistakes::default())?;
    // The tools of the demo are on this machine.
    config.webhooks.allow = vec![Target::Net { ip: Ipv4Addr::LOCALHOST.into(), bits: 32 }];
    let app = wiring::start(&config, Arc::default()).await?;
    let url = |addr: Option<SocketAddr>| addr.map(|addr| format!("http://{addr}"));
    let server = url(app.query_addr()).context("there is no query endpoint")?;
    let gateway = url(app.gateway_addr()).context("there is no gateway")?;
    let stop = app.stop_token();
    wiring::stop_on_signal(stop.clone());
    output::write(&format!(
        "broker {}, Shipwatch {server}, its gateway {gateway}, all only for this demo\n",
        nats.url()
    ))?;

    let played = tokio::select! {
        played = play(&config, &server, &gateway, &tools) => played.map(Some),
        () = stop.cancelled() => Ok(None),
    };
    let failed = match &played {
        Ok(Some(wrong)) => *wrong > 0,
        Ok(None) => false,
        Err(_) => true,
    };
    if let Ok(Some(_)) = played
        && !args.oneshot
    {
        output::write(&look_around(&server, &gateway))?;
        stop.cancelled().await;
    }
    let ended = app.stop().await;
    drop(nats);
    played?;
    ended?;
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn look_around(server: &str, gateway: &str) -> String {
    format!(
        "Look around:\n  curl -s '{server}/api/v1/issues?state=ACTIVE'\n  curl -s {server}/api/v1/issues/1/history\n  \
         curl -s '{server}/api/v1/events?outcome=stale'\n  curl -s {server}/metrics\n  \
         curl -s {gateway}/api/v1/webhooks/pipeline-failure \\\n    \
         -d '{{\"pipelineName\": \"p\", \"namespace\": \"n\", \"failureReason\": \"boom\"}}'\n  \
         shipwatch issues list --server {server}\n  shipwatch events why demo-09-late-success --server {server}\n  \
         curl -s {server}/api/v1/sequences\n  shipwatch sequence show <context> --server {server}\n\n\
         Serving until Ctrl-C."
    )
}

/// Plays all acts. The number of acts that did not end as they should.
async fn play(config: &crate::config::Config, server: &str, gateway: &str, tools: &Tools) -> anyhow::Result<usize> {
    let client = Client::new(&ServerArgs::of(server))?;
    let gateway = Client::new(&ServerArgs::of(gateway))?;
    eventually("the service to be ready", async || Ok(client.get(&["readyz"], &[]).await.is_ok())).await?;
    let broker = wiring::connect(&config.nats).await?;
    let (mut wrong, mut shown) = (0, 0);
    for (n, text) in ACTS.iter().enumerate() {
        let act: Act = serde_json::from_str(text).with_context(|| format!("act {} of the demo", n + 1))?;
        output::write(&format!("── {}. {} ──\n{}\n", n + 1, act.title, act.say))?;
        let mut last = 0;
        for event in act.events {
            let event = at_its_time(event);
            let (id, ty) = (text_of(&event, "id"), text_of(&event, "type"));
            let body = serde_json::to_vec(&event)?;
            // The stream would drop a second copy by its message id, and the demo shows that the fold does.
            let message = format!("{id}-{n}-{last}");
            let receipt = broker.publish(&ty, &message, body.into()).await?;
            output::write(&format!("  → {ty}  {}", in_short(&event)))?;
            if let wiring::Receipt::Stored { sequence, .. } = receipt {
                last = sequence;
            }
        }
        for Post { hook, key, body } in act.posts {
            let told: Value = serde_json::from_str(&gateway.webhook(&hook, &key, &body).await?)?;
            output::write(&format!("  ⇒ POST /api/v1/webhooks/{hook}  {}", text_of(&body, "pipelineName")))?;
            output::write(&format!("  ⇐ 200 {}", told_in_short(&told)))?;
        }
        for run in act.runs {
            let asked = sequence::Asked {
                shipyard: config.shipyard_dir.join("shipyard.yaml"),
                sequence: run.sequence,
                project: run.project,
                service: run.service,
                simulate: run.simulate.into_iter().collect(),
            };
            let said = tools.teller();
            let ended = sequence::stage(&config.nats, asked, move |step| {
                said().iter().try_for_each(|line| output::write(&format!("  {line}")))?;
                output::write(&format!("  · {}", sequence::words(step)))
            });
            ended.await?;
        }
        eventually("the act to be folded", async || settled(&client, last).await).await?;
        shown = answers(&client, shown).await?;
        tools.teller()().iter().try_for_each(|line| output::write(&format!("  {line}")))?;
        let all = [("sort".to_owned(), "number".to_owned()), ("limit".to_owned(), "100".to_owned())];
        let list: Value = serde_json::from_str(&client.api(&["issues"], &all).await?)?;
        let issues = list["data"].as_array().cloned().unwrap_or_default();
        output::write(&format!("\n{}\n", issue_table(&issues).trim_end()))?;
        let count = |state: &str| issues.iter().filter(|i| i["state"] == state).count() as u64;
        let (active, resolved) = (count("ACTIVE"), count("RESOLVED"));
        if (active, resolved) != (act.then.active, act.then.resolved) {
            wrong += 1;
            let Then { active: a, resolved: r } = act.then;
            eprintln!("this act should have left {a} active and {r} resolved, and there are {active} and {resolved}");
        }
        output::write(&format!("{active} active, {resolved} resolved\n"))?;
    }
    Ok(wrong)
}

/// Folded up to a sequence, and nothing owed.
async fn settled(client: &Client, sequence: u64) -> anyhow::Result<bool> {
    let health: Value = serde_json::from_str(&client.api(&["health"], &[]).await?)?;
    let folded = health.pointer("/components/stream/details/sequence").and_then(Value::as_u64).unwrap_or_default();
    let metrics = client.get(&["metrics"], &[]).await?;
    let idle = |name: &str| metrics.lines().any(|l| l.strip_prefix(name).is_some_and(|rest| rest.trim() == "0"));
    Ok(folded >= sequence && idle("shipwatch_outbox_depth") && idle("shipwatch_lag"))
}

/// Prints what Shipwatch published since the last time.
async fn answers(client: &Client, shown: u64) -> anyhow::Result<u64> {
    let query = [("source".to_owned(), "shipwatch".to_owned()), ("limit".to_owned(), "100".to_owned())];
    let list: Value = serde_json::from_str(&client.api(&["events"], &query).await?)?;
    let mut newest = shown;
    let sequence = |event: &Value| event["sequence"].as_str().and_then(|s| s.parse::<u64>().ok()).unwrap_or_default();
    for event in list["data"].as_array().into_iter().flatten().rev().filter(|e| sequence(e) > shown) {
        newest = newest.max(sequence(event));
        let ty = text_of(event, "type");
        let said = match ty.strip_prefix("dev.shipwatch.issue.") {
            Some(_) => format!("#{} {}", event["data"]["number"], text_of(&event["data"], "title")),
            None => format!("{} {}", text_of(&event["data"], "result"), text_of(&event["data"], "message")),
        };
        output::write(&format!("  ← {ty}  {}", said.trim()))?;
    }
    Ok(newest)
}

fn text_of(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

fn in_short(event: &Value) -> String {
    let data = &event["data"];
    let words = ["service", "stage", "status", "result", "State"].map(|member| text_of(data, member));
    words.into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

fn told_in_short(told: &Value) -> String {
    match &told["issue"] {
        Value::Null => text_of(told, "message"),
        issue => format!("#{} {}, occurrences {}", issue["number"], text_of(issue, "state"), issue["occurrences"]),
    }
}

/// `{{-3600s}}` is an hour ago. Written by offset, so that nothing in the demo is too old.
fn at_its_time(mut event: Value) -> Value {
    let offset = text_of(&event, "time");
    let seconds = offset.strip_prefix("{{").and_then(|t| t.strip_suffix("s}}")).and_then(|t| t.parse::<i64>().ok());
    if let Some(seconds) = seconds {
        let time = Time::from(chrono::Utc::now() + chrono::TimeDelta::seconds(seconds));
        event["time"] = Value::from(time.to_string());
    }
    event
}

async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await? {
        if Instant::now() > deadline {
            bail!("waited in vain for {what}");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
