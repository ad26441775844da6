//! Events of a data folder: what its journal still holds, as it came.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;

use crate::bus::binding::Reading;
use crate::bus::{Headers, Message};
use crate::domain::decide::Settings;
use crate::domain::event::{Event, Form, Invalid};
use crate::domain::ids::Position;
use crate::domain::messages;
use crate::domain::row::{Entry, Row};
use crate::domain::rules::RuleSet;
use crate::domain::stream::{Reached, StreamIdentity};
use crate::domain::time::Time;
use crate::store::{self, Direction, Reader, Store};

use super::{Filter, Input, Opening, Plan, Range};

/// Lines handed out at once.
const GROUP: usize = 1024;

/// A journal being read.
pub struct Journal {
    /// Nothing is written to it by us; the engine tidies its files up when it opens them. Open as long as the lines are.
    _store: Store,
    reader: Reader,
    lines: store::Journal,
    settings: Settings,
    range: Range,
}

impl Journal {
    pub(super) fn open(
        dir: &Path,
        options: store::Options,
        settings: Settings,
        range: Range,
    ) -> anyhow::Result<Journal> {
        // Opening would make one.
        if !dir.join("db").is_file() {
            bail!("{} is not the data folder of a service", dir.display());
        }
        let store = Store::open(dir, options).map_err(|error| match error {
            store::Error::InUse(dir) => anyhow::anyhow!(
                "a service runs on data folder {}: ask it (shipwatch issues list, shipwatch events list), replay the stream \
                 instead, or stop it first",
                dir.display()
            ),
            other => other.into(),
        })?;
        let reader = store.reader();
        let lines = reader.journal(.., Direction::Forward);
        Ok(Journal { _store: store, reader, lines, settings, range })
    }

    fn identity(&self) -> StreamIdentity {
        let stream = self.reader.progress().reached.map(|reached| reached.stream);
        stream.unwrap_or(StreamIdentity { name: String::new(), created: Time::EPOCH })
    }

    pub(super) fn plan(&self, filter: &Filter) -> anyhow::Result<Plan> {
        let (mut matching, mut messages) = (0, 0);
        let mut ends: Option<(u64, u64)> = None;
        for row in self.reader.journal(.., Direction::Forward) {
            let row = row?;
            let sequence = row.position.sequence();
            ends = Some((ends.map_or(sequence, |(first, _)| first), sequence));
            if self.range.place(sequence, row.stream_time) != Ordering::Equal {
                continue;
            }
            messages += 1;
            matching += u64::from(filter.is_all() || self.fits(&row, filter)?);
        }
        let place = match ends {
            Some((first, last)) => format!("a journal that holds sequences {first} to {last}"),
            None => "a journal that is empty".to_owned(),
        };
        Ok(Plan { matching, messages, place })
    }

    fn fits(&self, row: &Row, filter: &Filter) -> anyhow::Result<bool> {
        Ok(match &row.entry {
            Entry::Event(recorded) if recorded.form == Form::Unreadable => false,
            Entry::Event(recorded) => recorded
                .head
                .as_ref()
                .is_some_and(|head| filter.fits(head.context.as_deref(), &head.ty, &head.origin.source)),
            Entry::Own(_) => match self.input(row)? {
                Some(input) => Event::from_json(&input.message.payload).is_ok_and(|event| filter.takes(&event)),
                None => false,
            },
        })
    }

    /// The sets that the service kept, each from where on it held.
    pub(super) fn opening(&self, given: &RuleSet) -> anyhow::Result<Opening> {
        let mut sets = VecDeque::new();
        for texts in self.reader.rules()? {
            let set = RuleSet::compile(&texts.files).map_err(|problems| {
                let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
                anyhow::anyhow!("{}; give others with --rules", problems.join("; "))
            });
            let set =
                set.with_context(|| format!("this version cannot use the rules that held from {} on", texts.from))?;
            sets.push_back((texts.from, set));
        }
        Ok(match sets.pop_front() {
            Some((_, first)) => Opening::Scheduled(first, sets),
            None => Opening::AsTheyCome(given.clone()),
        })
    }

    pub(super) fn from(&self) -> Reached {
        Reached { stream: self.identity(), sequence: 0, time: Time::EPOCH, base: 0 }
    }

    pub(super) fn next(&mut self) -> anyhow::Result<Vec<Input>> {
        let mut group = Vec::new();
        while group.len() < GROUP
            && let Some(row) = self.lines.next()
        {
            let row = row?;
            match self.range.place(row.position.sequence(), row.stream_time) {
                Ordering::Less => {}
                Ordering::Equal => group.extend(self.input(&row)?),
                Ordering::Greater => break,
            }
        }
        Ok(group)
    }

    /// The message of a line; none where the line that caused it is older than lines are kept.
    fn input(&self, row: &Row) -> anyhow::Result<Option<Input>> {
        let (subject, payload, reading) = match &row.entry {
            Entry::Event(recorded) => {
                let payload = recorded.payload.clone();
                let (form, event) = match recorded.form {
                    Form::Unreadable => (Form::Unreadable, Err(Invalid::Other(recorded.decision.why.clone()))),
                    form => (form, Event::from_json(&payload)),
                };
                let element = row.position.element();
                let reading = Reading { form, element, event, payload: payload.clone() };
                (recorded.subject.clone(), payload, Some(reading))
            }
            Entry::Own(own) => {
                let Some(message) = messages::of_own(*own, &self.reader, &self.settings)? else { return Ok(None) };
                let reading = own_reading(row.position, &message.body);
                (message.subject, message.body, reading)
            }
        };
        let sequence = row.position.sequence();
        let message = Message { sequence, subject, stream_time: row.stream_time, headers: Headers::none(), payload };
        Ok(Some(Input { reading, ..Input::of(message) }))
    }
}

/// A message of ours within a batch has its place there; others are read like any message.
fn own_reading(position: Position, body: &Bytes) -> Option<Reading> {
    let element = Some(position.element()).filter(|element| *element > 0)?;
    Some(Reading { form: Form::Batch, element, event: Event::from_json(body), payload: body.clone() })
}
