//! Where events come from.

use std::path::PathBuf;

use crate::bus::Bus;
use crate::domain::rules::RuleSet;
use crate::domain::stream::{Reached, StreamIdentity};
use crate::rules::RulesInForce;

use super::file::{File, Mistake};
use super::journal::Journal;
use super::stream::Stream;
use super::{Input, Opening, Range, Setup};

/// A place to read events from.
#[derive(Clone)]
pub enum Place {
    /// A stream, by its name.
    Stream(Box<Bus>, String),
    /// The data folder of a service that does not run.
    Journal(PathBuf),
    /// A file with an event a line; `-` is standard input.
    File(PathBuf),
}

/// What a replay is going to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Events that match. Of a stream looked at as a whole it is the messages, of which a batch is one.
    pub matching: u64,
    /// Messages that will be looked at.
    pub messages: u64,
    /// What they are taken from, in words.
    pub place: String,
}

/// Events in their order, each once.
pub struct Source(Kind);

enum Kind {
    Stream(Box<Stream>),
    Journal(Box<Journal>),
    File(Box<File>),
}

impl Source {
    /// Opens a place.
    ///
    /// # Errors
    /// Where it does not exist or cannot be read.
    pub async fn open(place: &Place, range: Range, setup: &Setup) -> anyhow::Result<Source> {
        Ok(Source(match place {
            Place::Stream(bus, name) => Kind::Stream(Box::new(Stream::open(bus, name, range).await?)),
            Place::Journal(dir) => {
                Kind::Journal(Box::new(Journal::open(dir, setup.store, setup.settings.clone(), range)?))
            }
            Place::File(path) => Kind::File(Box::new(File::open(path, range, setup.event_size)?)),
        }))
    }

    /// How much there is to fold, and in a file what is wrong with it. `rules` say what raw JSON stands for.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn plan(&mut self, setup: &Setup, rules: &RuleSet) -> anyhow::Result<(Plan, Vec<Mistake>)> {
        let rules = RulesInForce::new(rules.clone());
        match &mut self.0 {
            Kind::Stream(stream) => Ok((stream.plan(&setup.filter, &rules, setup.event_size).await?, Vec::new())),
            Kind::Journal(journal) => Ok((journal.plan(&setup.filter)?, Vec::new())),
            Kind::File(file) => file.plan(&setup.filter, &rules),
        }
    }

    /// The rules as they were; those given where the place does not say.
    ///
    /// # Errors
    /// Where it cannot be read, or this version cannot use them.
    pub async fn opening(&self, given: &RuleSet) -> anyhow::Result<Opening> {
        match &self.0 {
            Kind::Stream(stream) => stream.opening(given).await,
            Kind::Journal(journal) => journal.opening(given),
            Kind::File(_) => Ok(File::opening(given)),
        }
    }

    /// Where a fold of it begins.
    pub fn from(&self) -> Reached {
        match &self.0 {
            Kind::Stream(stream) => stream.from(),
            Kind::Journal(journal) => journal.from(),
            Kind::File(_) => File::from(),
        }
    }

    /// The stream, where it is one.
    pub fn stream(&self) -> Option<&StreamIdentity> {
        match &self.0 {
            Kind::Stream(stream) => Some(stream.identity()),
            Kind::Journal(_) | Kind::File(_) => None,
        }
    }

    /// The subjects of the stream.
    pub fn subjects(&self) -> &[String] {
        match &self.0 {
            Kind::Stream(stream) => stream.subjects(),
            Kind::Journal(_) | Kind::File(_) => &[],
        }
    }

    /// The next messages; empty at the end.
    ///
    /// # Errors
    /// Where it cannot be read any further, or has lost what it held.
    pub async fn next(&mut self) -> anyhow::Result<Vec<Input>> {
        match &mut self.0 {
            Kind::Stream(stream) => stream.next().await,
            Kind::Journal(journal) => journal.next(),
            Kind::File(file) => file.next(),
        }
    }
}
