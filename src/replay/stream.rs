//! Events of a stream.

use std::cmp::Ordering;

use crate::bus::{Bound, Bus, GroupLimits, Replay};
use crate::domain::loaded;
use crate::domain::rules::RuleSet;
use crate::domain::stream::{Reached, StreamIdentity};
use crate::domain::time::Time;
use crate::rules::{RulesInForce, opening, reading};

use super::{Filter, Input, Opening, Plan, Range};

/// Most of what one look into the stream gives.
const GROUP: GroupLimits = GroupLimits { messages: 1024, bytes: 8 << 20 };

/// A stream being read. It ends where the stream ended when it was opened.
pub struct Stream {
    bus: Bus,
    replay: Replay,
    range: Range,
    /// Rule sets from before the range.
    early: Vec<Input>,
    /// Messages that the range held when it was opened, where that is known.
    held: Option<u64>,
    handed: u64,
}

impl Stream {
    pub(super) async fn open(bus: &Bus, name: &str, range: Range) -> anyhow::Result<Stream> {
        let replay = Replay::open(bus, name, range.from, range.to).await?;
        // What comes meanwhile is not part of it, however often it is looked at.
        let to = if range.to == Bound::Open { Bound::Sequence(replay.last_sequence) } else { range.to };
        let range = Range { from: range.from, to };
        let (mut early, mut from) = (Vec::new(), 1);
        while range.from != Bound::Open
            && let Some(message) = bus.next_on(name, loaded::TYPE, from).await?
            && range.place(message.sequence, message.stream_time) == Ordering::Less
        {
            from = message.sequence + 1;
            early.push(Input { within: false, ..Input::of(message) });
        }
        let held = replay.count().await?;
        Ok(Stream { bus: bus.clone(), replay, range, early, held, handed: 0 })
    }

    pub(super) fn identity(&self) -> &StreamIdentity {
        &self.replay.stream
    }

    pub(super) fn subjects(&self) -> &[String] {
        &self.replay.subjects
    }

    /// How much there is to fold. Only a filter makes it necessary to look at every message.
    pub(super) async fn plan(&self, filter: &Filter, rules: &RulesInForce, event_size: usize) -> anyhow::Result<Plan> {
        let Replay { stream, first_sequence, last_sequence, .. } = &self.replay;
        let place = match (*last_sequence, first_sequence > last_sequence) {
            (0, _) => format!("stream {:?}, which is empty", stream.name),
            (_, true) => format!("stream {:?}, which holds nothing any more", stream.name),
            (last, false) => format!("stream {:?}, which holds sequences {first_sequence} to {last}", stream.name),
        };
        let span = last_sequence.saturating_sub(first_sequence.saturating_sub(1));
        let messages = self.held.unwrap_or(span);
        if filter.is_all() {
            return Ok(Plan { matching: messages, messages, place });
        }
        let mut matching = 0;
        let mut again = Replay::open(&self.bus, &stream.name, self.range.from, self.range.to).await?;
        loop {
            let group = again.next_group(GROUP).await?;
            if group.is_empty() {
                return Ok(Plan { matching, messages, place });
            }
            let readings = group.iter().flat_map(|message| reading::read(message, rules, event_size));
            matching += readings.filter(|r| r.event.as_ref().is_ok_and(|e| filter.takes(e))).count() as u64;
        }
    }

    /// The stream's first set, or the one given where it has none; and where the fold begins.
    pub(super) async fn opening(&self, given: &RuleSet) -> anyhow::Result<Opening> {
        let first = opening::first(&self.bus, &self.replay.stream.name).await?;
        Ok(Opening::AsTheyCome(first.unwrap_or_else(|| given.clone())))
    }

    pub(super) fn from(&self) -> Reached {
        Reached { stream: self.replay.stream.clone(), sequence: 0, time: Time::EPOCH, base: 0 }
    }

    pub(super) async fn next(&mut self) -> anyhow::Result<Vec<Input>> {
        let early = std::mem::take(&mut self.early);
        if !early.is_empty() {
            return Ok(early);
        }
        let group = self.replay.next_group(GROUP).await?;
        self.handed += group.len() as u64;
        if group.is_empty() {
            // What reading has left on the broker is taken away by messages that may still be on their way.
            self.bus.flush().await;
        }
        match self.held {
            Some(held) if group.is_empty() && self.handed < held => anyhow::bail!(
                "the stream dropped {} of {held} events while they were read (its limits, or somebody deleted them), so the \
                 result would not be that of any range; replay again, from what it still holds",
                held - self.handed
            ),
            _ => Ok(group.into_iter().map(Input::of).collect()),
        }
    }
}
