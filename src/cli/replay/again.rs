//! `shipwatch replay --publish`

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use tokio::time::Instant;
use uuid::Uuid;

use super::matching;
use super::progress::Progress;
use crate::cli::exit::Usage;
use crate::cli::wiring::{self, Broker, Receipt};
use crate::cli::words::count;
use crate::config::Config;
use crate::domain::rules::RuleSet;
use crate::domain::time::Time;
use crate::replay::again::{Speed, again, refusal};
use crate::replay::{Plan, Setup, Source};
use crate::rules::RulesInForce;

/// Sends what a source has below a prefix.
pub(super) async fn run(
    config: &Config,
    prefix: &str,
    speed: Speed,
    mut source: Source,
    setup: &Setup,
    rules: &RuleSet,
    plan: &Plan,
) -> anyhow::Result<ExitCode> {
    if let Some(why) = refusal(prefix, source.subjects()) {
        return Err(Usage(format!("--subject-prefix: {why}")).into());
    }
    let broker = wiring::connect(&config.nats).await?;
    let rules = RulesInForce::new(rules.clone());
    eprintln!("{}", matching(plan));
    let done = Arc::new(AtomicU64::new(0));
    let progress = Progress::start(done.clone(), plan.messages);
    let sending = async {
        let mut sending = Sending { sent: 0, heard_only: 0, lost: 0, first: None, run: Uuid::new_v4() };
        loop {
            let group = source.next().await?;
            if group.is_empty() {
                return anyhow::Ok(sending);
            }
            for input in group {
                let (events, lost) = again(&input, prefix, &setup.filter, &rules, setup.event_size);
                sending.lost += lost;
                for event in events {
                    sending.wait(speed, event.time).await;
                    sending.send(&broker, &event.subject, event.body).await?;
                }
                done.fetch_add(u64::from(input.within), Ordering::Relaxed);
            }
        }
    };
    let Sending { sent, heard_only, lost, .. } = progress.end(sending.await)?;
    broker.flush().await?;
    println!("{} sent below {prefix}", count(sent, "event"));
    if heard_only > 0 {
        eprintln!("no stream holds {heard_only} of them: who was not listening has missed them");
    }
    if lost > 0 {
        eprintln!("{} could not be sent: they are no events, or their type is no subject", count(lost, "message"));
    }
    Ok(ExitCode::SUCCESS)
}

struct Sending {
    sent: u64,
    heard_only: u64,
    lost: u64,
    /// When the first one was sent, and its time.
    first: Option<(Instant, Time)>,
    /// Names this replay: the next one sends the same events and is no repeat of it.
    run: Uuid,
}

impl Sending {
    async fn wait(&mut self, speed: Speed, time: Time) {
        let (begun, first) = *self.first.get_or_insert_with(|| (Instant::now(), time));
        if let Some(due) = begun.checked_add(speed.due(first, time)) {
            tokio::time::sleep_until(due).await;
        }
    }

    async fn send(&mut self, broker: &impl Broker, subject: &str, body: String) -> anyhow::Result<()> {
        let id = format!("{}.{}", self.run, self.sent);
        let sent = broker.publish(subject, &id, Bytes::from(body)).await;
        let sent = sent.with_context(|| format!("{} were sent before", count(self.sent, "event")))?;
        self.sent += 1;
        self.heard_only += u64::from(sent == Receipt::Sent);
        Ok(())
    }
}
