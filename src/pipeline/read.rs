//! Reading ahead of the fold: groups are pulled, decoded and judged while the one before is folded.

use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::bus::{self, Inbox, Message};
use crate::domain::decide::{Incoming, Known, Memory};
use crate::domain::event::Event;
use crate::domain::loaded;
use crate::domain::stream::Reached;
use crate::effects::feedback;
use crate::metrics;
use crate::rules::{RulesInForce, reading};

/// Most messages of a group: most of what grouping gains is there by a few hundred.
pub const GROUP: usize = 1024;

/// One event on its way to the fold.
pub(super) enum Read {
    /// Decoded and judged.
    Event(Box<Incoming>),
    /// A message of ours that came back, recognised without decoding it.
    Own(Known, Message),
}

/// What reading needs to know. The same for all messages.
pub(super) struct Reader {
    pub(super) rules: RulesInForce,
    pub(super) memory: Arc<Memory>,
    pub(super) event_size: usize,
}

/// A group of messages, decoded and judged.
pub(super) struct Decoded {
    pub(super) incoming: Vec<Read>,
    pub(super) reached: Reached,
    /// None where more of the same messages follow.
    pub(super) ack: Option<bus::Token>,
    pub(super) pending: u64,
    pub(super) passed_over: u64,
    /// It ends with what may be other rules, and the reader waits for the fold's word about them.
    pub(super) awaited: bool,
}

/// How to read behind a sequence of the stream: what the fold tells whoever reads ahead, since rules change in between.
pub(super) type Switched = (u64, Arc<Reader>);

/// Pulls, decodes, judges.
pub(super) async fn read(
    mut inbox: Inbox,
    mut switched: watch::Receiver<Switched>,
    mut from: Reached,
    to_fold: mpsc::Sender<Decoded>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut reader = switched.borrow().1.clone();
    let limits = bus::GroupLimits { messages: GROUP, bytes: 8 << 20 };
    loop {
        let group = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            group = inbox.next_group(limits) => group.context("reading the stream")?,
        };
        let Some(last) = group.messages.last() else { continue };
        let (sequence, time, pending) = (last.sequence, last.stream_time, group.lag);
        for gap in &group.missed {
            missed(*gap);
        }
        // Delivered again after a crash or a lost ack: the store has it, only the ack is missing.
        let messages: Vec<Message> = group.messages.into_iter().filter(|m| m.sequence > from.sequence).collect();
        let mut token = Some(group.token);
        let mut parts = reading::cut(messages).into_iter().peekable();
        while let Some(part) = parts.next() {
            let awaited = part.last().filter(|m| m.subject == loaded::TYPE).map(|m| m.sequence);
            let last = parts.peek().is_none();
            let end = part.last().filter(|_| !last).map_or((sequence, time), |m| (m.sequence, m.stream_time));
            from.sequence = from.sequence.max(end.0);
            from.time = from.time.max(end.1);
            let (incoming, passed_over) = decode(part, &reader, from.base).await?;
            let (reached, ack) = (from.clone(), token.take_if(|_| last));
            let decoded = Decoded { incoming, reached, ack, pending, passed_over, awaited: awaited.is_some() };
            if to_fold.send(decoded).await.is_err() {
                return Ok(());
            }
            let Some(awaited) = awaited else { continue };
            let told = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                told = switched.wait_for(|(behind, _)| *behind >= awaited) => told,
            };
            // Where the fold has ended, it says itself why.
            let Ok(told) = told else { return Ok(()) };
            reader = told.1.clone();
        }
    }
}

/// Says that the stream dropped messages before they were folded.
pub fn missed(gap: bus::Gap) {
    let bus::Gap { first, last } = gap;
    tracing::error!(
        first,
        last,
        "the stream no longer holds events that were not folded; the fold goes on behind them"
    );
    metrics::missed(last - first + 1);
}

/// Decodes and judges; large groups on all cores.
async fn decode(messages: Vec<Message>, reader: &Arc<Reader>, base: u64) -> anyhow::Result<(Vec<Read>, u64)> {
    if messages.len() < 16 {
        return Ok(reader.read_all(messages, base));
    }
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let size = messages.len().div_ceil(workers);
    let mut rest = messages;
    let mut tasks = Vec::new();
    while !rest.is_empty() {
        let tail = rest.split_off(size.min(rest.len()));
        let (part, reader) = (std::mem::replace(&mut rest, tail), reader.clone());
        tasks.push(tokio::task::spawn_blocking(move || reader.read_all(part, base)));
    }
    let mut all = (Vec::new(), 0);
    for task in tasks {
        let (incoming, passed_over) = task.await?;
        all.0.extend(incoming);
        all.1 += passed_over;
    }
    Ok(all)
}

impl Reader {
    fn read_all(&self, messages: Vec<Message>, base: u64) -> (Vec<Read>, u64) {
        let mut all = Vec::with_capacity(messages.len());
        let mut passed_over = 0;
        for message in messages {
            match self.memory.find(&message.payload) {
                Some(known) => all.push(Read::Own(known, message)),
                None => passed_over += self.read(&message, base, |incoming| all.push(Read::Event(Box::new(incoming)))),
            }
        }
        (all, passed_over)
    }

    /// Decodes and judges a message, and says how many of its events nobody names.
    pub(super) fn read(&self, message: &Message, base: u64, mut each: impl FnMut(Incoming)) -> u64 {
        let readings = reading::read(message, &self.rules, self.event_size);
        let tell = feedback::wanted(message);
        let named = self.rules.names(&message.subject);
        let judge = |event: &Event| self.rules.evaluate(event);
        reading::judged(message, readings, base, named, &self.rules, judge, |incoming| {
            each(Incoming { tell: tell.clone(), ..incoming });
        })
    }
}
