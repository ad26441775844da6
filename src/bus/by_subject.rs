//! Single messages of a stream by their subject, without a consumer; and what a stream takes.

use serde::Deserialize;
use serde_json::json;

use super::connect::{Asked, Bus};
use super::plan::Seen;
use super::{Error, Message, StreamWish, reader, stream};

impl Bus {
    /// The first message on `subject` at or behind a sequence.
    ///
    /// # Errors
    /// The stream is gone, or the broker cannot be asked.
    pub async fn next_on(&self, stream: &str, subject: &str, from: u64) -> Result<Option<Message>, Error> {
        reader::fetch(self, stream, json!({"seq": from, "next_by_subj": subject})).await
    }

    /// The last message on `subject`.
    ///
    /// # Errors
    /// As [`Bus::next_on`].
    pub async fn last_on(&self, stream: &str, subject: &str) -> Result<Option<Message>, Error> {
        reader::fetch(self, stream, json!({"last_by_subj": subject})).await
    }

    /// Whether messages on `subject` end up in this stream.
    ///
    /// # Errors
    /// The broker cannot be asked.
    pub async fn holds(&self, stream: &str, subject: &str) -> Result<bool, Error> {
        let seen = Seen::of(&stream::still(self, stream).await?);
        // Only what another stream holds needs a look at that one, which not everybody may take.
        if seen.holds(subject, &[]) || seen.sources.iter().all(|s| s.filter.is_some()) {
            return Ok(seen.holds(subject, &[]));
        }
        let all: Vec<Seen> = stream::list(self).await?.iter().map(Seen::of).collect();
        Ok(seen.holds(subject, &all))
    }

    /// Whether there is a stream that messages published on `subject` enter.
    ///
    /// # Errors
    /// The broker cannot be asked.
    pub async fn is_stored(&self, subject: &str) -> Result<bool, Error> {
        #[derive(Deserialize)]
        struct Names {
            #[serde(default)]
            streams: Option<Vec<String>>,
        }
        let what = format!("find the stream of {subject:?}");
        let names: Result<Names, Asked> = self.api(&what, "STREAM.NAMES".into(), &json!({"subject": subject})).await;
        Ok(names?.streams.is_some_and(|streams| !streams.is_empty()))
    }

    /// The largest message that this stream takes, where it has a limit of its own.
    ///
    /// # Errors
    /// The broker cannot be asked.
    pub async fn largest_in(&self, stream: &str) -> Result<Option<usize>, Error> {
        let most = stream::still(self, stream).await?.config.max_message_size;
        Ok(usize::try_from(most).ok().filter(|most| *most > 0))
    }

    /// Sees to it that the stream being read holds the subjects wished for: one of our own is widened, of another one is said
    /// what it lacks.
    ///
    /// # Errors
    /// The broker cannot be asked, or refuses.
    pub async fn widen(&self, name: &str, wish: &StreamWish) -> Result<Vec<String>, Error> {
        stream::widen_to(self, name, wish).await
    }
}
