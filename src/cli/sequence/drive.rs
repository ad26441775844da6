//! Brings the control plane and the broker together.

use std::collections::{HashMap, HashSet, VecDeque};

use anyhow::Context as _;
use bytes::Bytes;
use chrono::Utc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::tell::Tell;
use crate::backoff::Backoff;
use crate::cli::wiring::{Broker, Following, passes};
use crate::domain::event::Event;
use crate::domain::keptn::{Phase, Type};
use crate::domain::runner::{Ending, Play, Runner, SOURCE, Turn, simulate};
use crate::domain::time::Time;

/// Which executors are played, by task.
pub(super) type Plays = HashMap<String, Play>;

/// Tries of one message, all with the same id, so that the stream keeps one.
const TRIES: u32 = 6;

/// One run, with everything it needs.
pub(super) struct Drive<B> {
    pub broker: B,
    pub following: Following,
    pub runner: Runner,
    pub plays: Plays,
    pub tell: Tell,
    pub stop: CancellationToken,
}

fn now() -> Time {
    Time::from(Utc::now())
}

fn fresh_id() -> String {
    Uuid::new_v4().to_string()
}

impl<B: Broker> Drive<B> {
    /// Sends the trigger and sees the sequence and everything it starts through. How the sequence asked for ended.
    pub async fn run(&mut self, trigger: Event) -> anyhow::Result<Ending> {
        let mut ours = HashSet::from([trigger.id.clone()]);
        let mut warned = false;
        self.publish(&trigger).await?;
        let first = self.runner.take(&trigger, now(), &mut fresh_id);
        self.carry_out(first, &mut ours).await?;
        while !self.runner.is_idle() {
            let due = self.runner.wake_at(now());
            // What has come already goes before a deadline that has passed meanwhile.
            let turn = tokio::select! {
                biased;
                () = self.stop.cancelled() => self.runner.abort(now(), &mut fresh_id),
                event = self.following.next() => {
                    let event = event?;
                    if event.context != trigger.context {
                        continue;
                    }
                    if event.source == SOURCE && !ours.contains(&event.id) && !std::mem::replace(&mut warned, true) {
                        eprintln!("warning: another control plane answers this sequence too ({} {})", event.ty, event.id);
                    }
                    self.play(&event).await?;
                    self.runner.take(&event, now(), &mut fresh_id)
                }
                () = until(due) => self.runner.wake(now(), &mut fresh_id),
            };
            self.carry_out(turn, &mut ours).await?;
        }
        self.broker.flush().await?;
        self.runner.ending(&trigger.id).cloned().context("the sequence has not ended")
    }

    /// Publishes and tells. Sequences it starts are begun at once; that their triggers come back on the bus changes nothing then.
    async fn carry_out(&mut self, turn: Turn, ours: &mut HashSet<String>) -> anyhow::Result<()> {
        let mut turns = VecDeque::from([turn]);
        while let Some(Turn { publish, steps }) = turns.pop_front() {
            steps.iter().try_for_each(|step| self.tell.step(step))?;
            for event in publish {
                ours.insert(event.id.clone());
                self.publish(&event).await?;
                turns.push_back(self.runner.take(&event, now(), &mut fresh_id));
            }
        }
        Ok(())
    }

    /// Answers for an executor that is not there.
    async fn play(&self, event: &Event) -> anyhow::Result<()> {
        let Some(Type::Task { task, phase: Phase::Triggered }) = Type::parse(&event.ty) else { return Ok(()) };
        let Some(play) = self.plays.get(task) else { return Ok(()) };
        for reply in simulate(event, *play, now(), &mut fresh_id) {
            self.publish(&reply).await?;
        }
        Ok(())
    }

    async fn publish(&self, event: &Event) -> anyhow::Result<()> {
        let body = Bytes::from(serde_json::to_vec(&event.to_value())?);
        let mut waits = Backoff::broker().waits();
        loop {
            match self.broker.publish(&event.ty, &event.id, body.clone()).await {
                Ok(_) => return Ok(()),
                Err(error) if passes(&error) && waits.failures() < TRIES => {
                    tokio::time::sleep(waits.next_delay()).await;
                }
                Err(error) => return Err(error.context(format!("cannot publish {}", event.ty))),
            }
        }
    }
}

/// Waits until a moment; for ever where there is none.
async fn until(due: Option<Time>) {
    match due {
        Some(due) => {
            let seconds = due.seconds_since(now()).clamp(0.0, 86_400.0);
            tokio::time::sleep(std::time::Duration::from_secs_f64(seconds)).await;
        }
        None => std::future::pending().await,
    }
}
