//! Which stream is read, and by which consumer (contract sections 2 and 11).

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{Config, Source, StorageType, Stream};
use futures_util::TryStreamExt as _;

use super::Error;
use super::connect::Bus;
use super::inbox::Inbox;
use crate::backoff::Backoff;
use crate::domain::rules::Subject;
use crate::domain::stream::StreamIdentity;

/// The stream that is made where none fits.
const OURS: &str = "shipwatch";

/// What the service wants to read.
#[derive(Clone, Debug)]
pub struct StreamWish {
    /// The stream to use, as it is. It is waited for where it does not exist.
    pub named: Option<String>,
    /// Subjects that packs, rules and adapters name.
    pub subjects: Vec<Subject>,
    /// Name of the durable consumer.
    pub durable: String,
}

/// A stream with its consumer.
pub struct Attached {
    /// The stream.
    pub stream: StreamIdentity,
    /// First sequence it holds.
    pub first: u64,
    /// Last sequence it held when asked.
    pub last: u64,
    /// Where messages come from.
    pub inbox: Inbox,
    /// What an operator should know.
    pub notes: Vec<String>,
}

impl Bus {
    /// Finds or makes the stream. Nothing is read yet.
    ///
    /// # Errors
    /// In plain words, naming the stream and what to do.
    pub async fn find_stream(&self, wish: &StreamWish) -> Result<(Found, Vec<String>), Error> {
        match &wish.named {
            Some(name) => self.named(name, wish).await,
            None => self.fitting(wish).await,
        }
    }

    /// Whether JetStream answers, and how many streams there are.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn streams(&self) -> Result<Vec<(String, Vec<String>)>, Error> {
        Ok(self.configs().await?.into_iter().map(|c| (c.name, c.subjects)).collect())
    }

    async fn named(&self, name: &str, wish: &StreamWish) -> Result<(Found, Vec<String>), Error> {
        let mut backoff = Backoff::default();
        let mut told = false;
        loop {
            match self.jetstream.get_stream(name).await {
                Ok(stream) => {
                    if told {
                        tracing::info!(stream = name, "the stream is there");
                    }
                    let subjects = parse(&stream.cached_info().config.subjects);
                    let notes = missing(name, &wish.subjects, &subjects);
                    return Ok((Found(stream), notes));
                }
                Err(error) => {
                    let text = error.to_string();
                    if text.contains("10039") || text.contains("not enabled") {
                        return Err(Error::JetStream(text));
                    }
                    if !std::mem::replace(&mut told, true) {
                        tracing::warn!(stream = name, %error, "the stream does not exist yet, waiting for it; make it, or leave --stream out");
                    }
                }
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    async fn fitting(&self, wish: &StreamWish) -> Result<(Found, Vec<String>), Error> {
        let all = self.configs().await?;
        for config in all.iter().filter(|c| c.name != OURS) {
            let subjects = parse(&config.subjects);
            if wish.subjects.iter().all(|w| subjects.iter().any(|s| s.covers(w))) {
                return Ok((Found(self.get(&config.name).await?), Vec::new()));
            }
        }
        let foreign: Vec<&Config> = all.iter().filter(|c| c.name != OURS).collect();
        let ours = all.iter().find(|c| c.name == OURS);
        let (wanted, mut notes) = plan(&wish.subjects, &foreign, ours);
        if wanted.subjects.iter().any(|s| s == "sh.keptn.>") {
            notes.push(
                "the stream shipwatch takes sh.keptn.>, so a Keptn that starts later cannot make its own stream \
                 \"keptn\"; where Keptn runs, start it first or set nats.stream: keptn"
                    .into(),
            );
        }
        let result = match ours {
            Some(have) if same(have, &wanted) => return Ok((Found(self.get(OURS).await?), notes)),
            Some(_) => self.jetstream.update_stream(wanted.clone()).await.map(|_| ()).map_err(|e| e.to_string()),
            None => self.jetstream.create_stream(wanted.clone()).await.map(|_| ()).map_err(|e| e.to_string()),
        };
        result.map_err(|problem| {
            Error::Stream(format!(
                "cannot make the stream {OURS} ({problem}); make it by hand with the subjects {}, or name one with --stream",
                wanted.subjects.join(", ")
            ))
        })?;
        tracing::info!(stream = OURS, subjects = %wanted.subjects.join(" "), "made or widened the stream");
        Ok((Found(self.get(OURS).await?), notes))
    }

    async fn get(&self, name: &str) -> Result<Stream, Error> {
        self.jetstream.get_stream(name).await.map_err(|e| Error::Stream(format!("stream {name}: {e}")))
    }

    async fn configs(&self) -> Result<Vec<Config>, Error> {
        let infos: Vec<_> =
            self.jetstream.streams().try_collect().await.map_err(|e| Error::JetStream(e.to_string()))?;
        Ok(infos.into_iter().map(|info| info.config).collect())
    }

    /// Binds to the durable consumer, making it where there is none. Reading begins behind `folded`.
    ///
    /// # Errors
    /// In plain words, where the consumer cannot be used.
    pub async fn attach(&self, found: Found, wish: &StreamWish, folded: u64) -> Result<Attached, Error> {
        let stream = found.0;
        let info = stream.get_info().await.map_err(|e| Error::Stream(e.to_string()))?;
        let identity = found_identity(&info);
        let mut notes = Vec::new();
        consumer(&stream, &wish.durable, folded, &mut notes).await?;
        let inbox = Inbox::new(stream, identity.clone(), wish.durable.clone(), folded);
        Ok(Attached {
            stream: identity,
            first: info.state.first_sequence,
            last: info.state.last_sequence,
            inbox,
            notes,
        })
    }
}

/// A stream that can be used.
#[derive(Debug)]
pub struct Found(Stream);

impl Found {
    /// Which stream it is.
    pub fn identity(&self) -> StreamIdentity {
        found_identity(self.0.cached_info())
    }

    /// Its subjects.
    pub fn subjects(&self) -> Vec<String> {
        self.0.cached_info().config.subjects.clone()
    }
}

fn found_identity(info: &async_nats::jetstream::stream::Info) -> StreamIdentity {
    StreamIdentity { name: info.config.name.clone(), created: info.created.into() }
}

fn parse(subjects: &[String]) -> Vec<Subject> {
    subjects.iter().filter_map(|s| Subject::any(s)).collect()
}

fn missing(name: &str, wanted: &[Subject], has: &[Subject]) -> Vec<String> {
    let lacks: Vec<&str> = wanted.iter().filter(|w| !has.iter().any(|h| h.covers(w))).map(Subject::as_str).collect();
    if lacks.is_empty() {
        return Vec::new();
    }
    vec![format!("the stream {name} lacks subjects that rules name, events on them are not seen: {}", lacks.join(", "))]
}

/// The stream to make: subjects that nobody has, and the streams that have the others as sources.
fn plan(wanted: &[Subject], foreign: &[&Config], ours: Option<&Config>) -> (Config, Vec<String>) {
    let mut notes = Vec::new();
    let mut config = ours.cloned().unwrap_or_else(|| Config {
        name: OURS.into(),
        description: Some("events that Shipwatch folds".into()),
        storage: StorageType::File,
        ..Config::default()
    });
    let mut subjects: Vec<Subject> = parse(&config.subjects);
    let mut sources = config.sources.clone().unwrap_or_default();
    for want in wanted {
        if subjects.iter().any(|s| s.covers(want)) {
            continue;
        }
        let mut free = true;
        for other in foreign {
            for has in parse(&other.subjects).iter().filter(|has| has.overlaps(want)) {
                free = false;
                if !has.covers(want) {
                    notes.push(format!(
                        "of {}, only what the stream {} has ({}) is seen",
                        want.as_str(),
                        other.name,
                        has.as_str()
                    ));
                }
                let filter = if has.covers(want) { want } else { has };
                add_source(&mut sources, &other.name, filter.as_str());
            }
        }
        if free {
            subjects.retain(|s| !want.covers(s));
            subjects.push(want.clone());
        }
    }
    config.subjects = subjects.iter().map(|s| s.as_str().to_owned()).collect();
    config.sources = (!sources.is_empty()).then_some(sources);
    (config, notes)
}

/// One source per stream: servers before 2.10 know one filter for each, so two filters become none.
fn add_source(sources: &mut Vec<Source>, name: &str, filter: &str) {
    match sources.iter_mut().find(|s| s.name == name) {
        Some(source) if source.filter_subject.as_deref() == Some(filter) => {}
        Some(source) => source.filter_subject = None,
        None => {
            sources.push(Source {
                name: name.to_owned(),
                filter_subject: Some(filter.to_owned()),
                ..Source::default()
            });
        }
    }
}

fn same(have: &Config, want: &Config) -> bool {
    let names = |c: &Config| {
        let sources = c.sources.iter().flatten().map(|s| (s.name.clone(), s.filter_subject.clone()));
        sources.collect::<Vec<_>>()
    };
    have.subjects == want.subjects && names(have) == names(want)
}

/// Messages on their way to us that are not acknowledged yet, at most.
const IN_FLIGHT: i64 = 64 * 1024;

/// How long the broker waits for an ack before it sends a message again.
const ACK_WAIT: Duration = Duration::from_secs(60);

/// Makes the durable, or checks the one that is there.
pub(super) async fn consumer(
    stream: &Stream,
    durable: &str,
    folded: u64,
    notes: &mut Vec<String>,
) -> Result<pull::Config, Error> {
    let failed = |problem: String| Error::Consumer { name: durable.to_owned(), problem };
    let existing = match stream.consumer_info(durable).await {
        Ok(info) => Some(info.config),
        Err(e) if e.to_string().contains("10014") || e.to_string().contains("not found") => None,
        Err(e) => return Err(failed(e.to_string())),
    };
    let config = match existing {
        Some(config) => config,
        None => {
            let wanted = pull::Config {
                durable_name: Some(durable.to_owned()),
                description: Some("Shipwatch".into()),
                deliver_policy: if folded == 0 {
                    DeliverPolicy::All
                } else {
                    DeliverPolicy::ByStartSequence { start_sequence: folded + 1 }
                },
                ack_policy: AckPolicy::All,
                ack_wait: ACK_WAIT,
                max_ack_pending: IN_FLIGHT,
                ..pull::Config::default()
            };
            stream.create_consumer(wanted.clone()).await.map_err(|e| failed(format!("cannot be made: {e}")))?;
            let made = stream.consumer_info(durable).await.map_err(|e| failed(e.to_string()))?.config;
            let dropped = [
                ("ack_policy", made.ack_policy != wanted.ack_policy),
                ("deliver_policy", made.deliver_policy != wanted.deliver_policy),
                ("max_ack_pending", made.max_ack_pending != wanted.max_ack_pending),
                ("durable_name", made.durable_name != wanted.durable_name),
            ];
            if let Some((field, _)) = dropped.iter().find(|(_, differs)| *differs) {
                return Err(failed(format!("this server did not take {field} as asked; use nats-server 2.9 or newer")));
            }
            made
        }
    };
    if config.deliver_subject.is_some() {
        return Err(failed("is a push consumer; delete it, or give another name with --durable".into()));
    }
    if config.ack_policy == AckPolicy::None {
        return Err(failed(
            "has no acks, so nothing would be delivered again; delete it, or name another with --durable".into(),
        ));
    }
    if !config.filter_subject.is_empty() {
        notes.push(format!("the consumer {durable} sees only {}", config.filter_subject));
    }
    Ok(pull::Config {
        durable_name: config.durable_name,
        ack_policy: config.ack_policy,
        filter_subject: config.filter_subject,
        ..pull::Config::default()
    })
}

impl Bus {
    /// Where a consumer is: the last stream sequence acknowledged, and messages not delivered yet.
    ///
    /// # Errors
    /// Where there is no such consumer.
    pub async fn consumer_state(&self, found: &Found, durable: &str) -> Result<(u64, u64), Error> {
        let info = found.0.consumer_info(durable).await;
        let info = info.map_err(|e| Error::Consumer { name: durable.to_owned(), problem: e.to_string() })?;
        Ok((info.ack_floor.stream_sequence, info.num_pending))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subjects(all: &[&str]) -> Vec<Subject> {
        all.iter().map(|s| Subject::any(s).unwrap()).collect()
    }

    fn stream(name: &str, subjects: &[&str]) -> Config {
        let subjects = subjects.iter().map(|s| (*s).to_owned()).collect();
        Config { name: name.into(), subjects, ..Config::default() }
    }

    #[test]
    fn a_stream_of_ours_takes_what_nobody_has_and_sources_the_rest() {
        let keptn = stream("keptn", &["sh.keptn.>"]);
        let (config, notes) = plan(&subjects(&["sh.keptn.>", "dev.tekton.>", "flux.>"]), &[&keptn], None);
        assert_eq!(config.subjects, ["dev.tekton.>", "flux.>"]);
        let sources = config.sources.unwrap();
        assert_eq!((sources[0].name.as_str(), sources[0].filter_subject.as_deref()), ("keptn", Some("sh.keptn.>")));
        assert!(notes.is_empty());
    }

    #[test]
    fn a_stream_of_ours_is_widened_and_never_narrowed() {
        let ours = stream("shipwatch", &["old.>", "dev.a.x"]);
        let (config, _) = plan(&subjects(&["dev.a.>"]), &[], Some(&ours));
        assert_eq!(config.subjects, ["old.>", "dev.a.>"]);
    }

    #[test]
    fn a_partial_overlap_is_said() {
        let other = stream("other", &["sh.keptn.event.>"]);
        let (config, notes) = plan(&subjects(&["sh.keptn.>"]), &[&other], None);
        assert!(config.subjects.is_empty());
        assert_eq!(notes.len(), 1);
    }
}
