//! Questions that commands ask the broker: what is there, and who reads it.

use async_nats::jetstream::consumer::{self, Consumer};
use futures_util::TryStreamExt as _;

use super::{Bus, Error, reader};

impl Bus {
    /// Whether JetStream answers for this account.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn jetstream(&self) -> Result<(), Error> {
        self.js.stream_names().try_next().await.map(|_| ()).map_err(|e| Error::NoJetStream(e.to_string()))
    }

    /// The stream whose subjects hold this one.
    ///
    /// # Errors
    /// Where the broker cannot be asked.
    pub async fn stream_of(&self, subject: &str) -> Result<Option<String>, Error> {
        let mut names = self.js.stream_names();
        let failed =
            |e: &dyn std::fmt::Display| Error::Broker { what: "a question for streams".into(), why: e.to_string() };
        while let Some(name) = names.try_next().await.map_err(|e| failed(&e))? {
            let stream = self.js.get_stream(&name).await.map_err(|e| failed(&e))?;
            let subjects = &stream.cached_info().config.subjects;
            if subjects.iter().any(|s| super::subjects::covers(s, subject)) {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    /// A durable consumer: messages it has not been given yet, and those given and not acknowledged.
    ///
    /// # Errors
    /// Where the broker cannot be asked.
    pub async fn consumer(&self, stream: &str, durable: &str) -> Result<Option<(u64, u64)>, Error> {
        let failed =
            |e: &dyn std::fmt::Display| Error::Broker { what: "a question for a consumer".into(), why: e.to_string() };
        let stream = self.js.get_stream(stream).await.map_err(|e| failed(&e))?;
        let found: Result<Consumer<consumer::pull::Config>, _> = stream.get_consumer(durable).await;
        match found {
            Ok(consumer) => {
                let info = consumer.cached_info();
                Ok(Some((info.num_pending, info.num_ack_pending as u64)))
            }
            Err(e) if e.to_string().contains("not found") => Ok(None),
            Err(e) => Err(failed(&e)),
        }
    }

    /// Sequence of the last message that a stream holds on one of these subjects, none of them with wildcards; 0 where there
    /// is none.
    ///
    /// # Errors
    /// Where the broker cannot be asked, or may not be.
    pub async fn last_of(&self, stream: &str, subjects: &[String]) -> Result<u64, Error> {
        let mut last = 0;
        for subject in subjects {
            last = last.max(reader::fetch_last(self, stream, subject).await?.map_or(0, |message| message.sequence));
        }
        Ok(last)
    }

    /// Whether a durable consumer has given out all there is, all of it is acknowledged, and none of it lies behind
    /// `folded`. A store that lost what was acknowledged is behind, whatever the consumer says.
    ///
    /// # Errors
    /// Where the broker cannot be asked.
    pub async fn nothing_left(&self, stream: &str, durable: &str, folded: u64) -> Result<bool, Error> {
        let failed =
            |e: &dyn std::fmt::Display| Error::Broker { what: "a question for a consumer".into(), why: e.to_string() };
        let stream = self.js.get_stream(stream).await.map_err(|e| failed(&e))?;
        let info = stream.consumer_info(durable).await.map_err(|e| failed(&e))?;
        let floor = info.ack_floor.stream_sequence;
        // A deleted message counts as delivered and is never acknowledged, so the floor stays before it; and a server of 2.9
        // that was killed may go on counting acks that it has. One of the two says it.
        let acknowledged = info.num_ack_pending == 0 || floor == info.delivered.stream_sequence;
        Ok(info.num_pending == 0 && acknowledged && floor <= folded)
    }
}
