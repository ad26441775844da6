//! Answers of receivers: the token that a webhook's receiver is given, and the word to gateways about who may answer.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use uuid::Uuid;

use crate::bus::{Bus, Heard, Publisher};
use crate::domain::call::{Call, Replies};
use crate::domain::decide;
use crate::domain::feedback::SUBJECT;
use crate::domain::issue::Origin;
use crate::domain::keptn::{Phase, Type};
use crate::domain::lookup::Unreadable;
use crate::domain::row::{Entry, Mark, Row};
use crate::domain::waiting::{ASK, Question, Task, Waits};
use crate::secrets::Secrets;
use crate::store::Reader;

/// The file in the data folder that holds the key.
const FILE: &str = "callback.key";

/// The secret that is taken instead where it is given, so that a new data folder honours old links.
const SECRET: (&str, &str) = ("shipwatch", "callback-key");

/// Makes and checks the tokens of callback addresses. A token is bound to one trigger and one webhook.
#[derive(Clone)]
pub struct Tokens {
    key: Arc<[u8]>,
}

impl Tokens {
    /// With the key of the secrets, else that of the data folder, which is made where there is none.
    ///
    /// # Errors
    /// Where the file cannot be read or written.
    pub fn open(data_dir: &Path, secrets: &Secrets) -> io::Result<Tokens> {
        if let Ok(key) = secrets.read(SECRET.0, SECRET.1) {
            return Ok(Tokens { key: key.into() });
        }
        let file = data_dir.join(FILE);
        match fs::read(&file) {
            Ok(key) if key.len() >= 32 => return Ok(Tokens { key: key.into() }),
            Ok(_) => {
                return Err(io::Error::other(format!("{} is not a key; remove it to get a new one", file.display())));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(e),
        }
        let key = [*Uuid::new_v4().as_bytes(), *Uuid::new_v4().as_bytes()].concat();
        // Whole or not at all, also after a power cut.
        let new = data_dir.join(format!("{FILE}.new"));
        let _ = fs::remove_file(&new);
        let mut written = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        written.write_all(&key)?;
        written.sync_all()?;
        fs::rename(&new, &file)?;
        File::open(data_dir)?.sync_all()?;
        Ok(Tokens { key: key.into() })
    }

    fn mac(&self, trigger: &Origin, subscription: &str) -> Option<Hmac<Sha256>> {
        // Every length of a key is taken.
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        for part in ["callback", &trigger.source, &trigger.id, subscription] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part.as_bytes());
        }
        Some(mac)
    }

    /// The token for the receiver of this webhook's call.
    pub fn token(&self, trigger: &Origin, subscription: &str) -> String {
        self.mac(trigger, subscription)
            .map(|mac| URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
            .unwrap_or_default()
    }

    fn is_right(&self, token: &str, trigger: &Origin, subscription: &str) -> bool {
        let (Ok(token), Some(mac)) = (URL_SAFE_NO_PAD.decode(token), self.mac(trigger, subscription)) else {
            return false;
        };
        mac.verify_slice(&token).is_ok()
    }
}

/// Answers the questions of gateways.
pub struct Desk {
    reader: Reader,
    tokens: Tokens,
}

impl Desk {
    /// Over a store.
    pub fn new(reader: Reader, tokens: Tokens) -> Desk {
        Desk { reader, tokens }
    }

    /// Listens from now on.
    ///
    /// # Errors
    /// Where the connection is closed.
    pub async fn listen(bus: &Bus) -> Result<Heard, crate::bus::Error> {
        bus.listen(ASK).await
    }

    /// Answers until the connection ends.
    pub async fn run(self, publisher: Publisher, mut heard: Heard) {
        let desk = Arc::new(self);
        while let Some((_, body)) = heard.next().await {
            let Ok(question) = serde_json::from_slice::<Question>(&body) else { continue };
            // Whoever may ask must not make us publish anywhere else.
            if !is_a_place_to_tell(&question.tell) {
                continue;
            }
            let asked = desk.clone();
            let tell = question.tell.clone();
            let waits = tokio::task::spawn_blocking(move || asked.waits(&question)).await;
            let waits = match waits {
                Ok(Ok(waits)) => waits,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "a question about a callback could not be answered");
                    continue;
                }
                Err(_) => continue,
            };
            let told = serde_json::to_vec(&waits).unwrap_or_default();
            if let Err(error) = publisher.publish_core(&tell, told.into()).await {
                tracing::debug!(%error, "a gateway was not told about a callback");
            }
        }
    }

    fn waits(&self, question: &Question) -> Result<Waits, Unreadable> {
        let mut any = false;
        for row in
            self.reader.rows(Mark::EventId(&question.triggered_id).hash()).map_err(|e| Unreadable(e.to_string()))?
        {
            let Entry::Event(recorded) = &row.entry else { continue };
            let Some(head) = recorded.head.as_ref().filter(|h| h.origin.id == question.triggered_id) else { continue };
            let Some(Type::Task { task, phase: Phase::Triggered }) = Type::parse(&head.ty) else { continue };
            for (index, call) in recorded.decision.calls.iter().enumerate().filter(|(_, call)| is_open(call)) {
                any = true;
                if !self.tokens.is_right(&question.token, &head.origin, &call.subscription) {
                    continue;
                }
                let about = Task {
                    source: head.origin.source.clone(),
                    subscription: call.subscription.clone(),
                    task: task.to_owned(),
                    project: head.project.clone(),
                    stage: head.stage.clone(),
                    service: head.service.clone(),
                    context: head.context.clone().unwrap_or_default(),
                };
                let finished = decide::is_finished(&self.reader, &row as &Row, index)?;
                return Ok(if finished { Waits::Finished(about) } else { Waits::Yes(about) });
            }
        }
        Ok(if any { Waits::WrongToken } else { Waits::Unknown })
    }
}

fn is_open(call: &Call) -> bool {
    call.about.is_none() && call.replies == Replies::Started
}

/// Whether a gateway waits on such a subject.
fn is_a_place_to_tell(subject: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    let below = subject.strip_prefix(SUBJECT).and_then(|rest| rest.strip_prefix('.'));
    below.is_some_and(|below| !below.is_empty() && below.len() <= 128 && below.chars().all(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_one_trigger_of_one_webhook_and_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let tokens = Tokens::open(dir.path(), &Secrets::default()).unwrap();
        let trigger = |source: &str, id: &str| Origin { source: source.into(), id: id.into() };
        let token = tokens.token(&trigger("s", "1"), "hook");
        let again = Tokens::open(dir.path(), &Secrets::default()).unwrap();
        assert!(again.is_right(&token, &trigger("s", "1"), "hook"));
        for (source, id, hook) in [("s", "2", "hook"), ("t", "1", "hook"), ("s", "1", "other"), ("s1", "", "hook")] {
            assert!(!again.is_right(&token, &trigger(source, id), hook));
        }
        for bad in ["", "x", &token[1..], &format!("{token}A"), "ä"] {
            assert!(!again.is_right(bad, &trigger("s", "1"), "hook"), "{bad}");
        }
        let other = tempfile::tempdir().unwrap();
        assert!(!Tokens::open(other.path(), &Secrets::default()).unwrap().is_right(&token, &trigger("s", "1"), "hook"));
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(dir.path().join(FILE), "short").unwrap();
        assert!(Tokens::open(dir.path(), &Secrets::default()).is_err());
    }

    #[test]
    fn gateways_are_told_on_their_own_subjects_only() {
        assert!(is_a_place_to_tell(&format!("{SUBJECT}.0a.1b")));
        for bad in ["", SUBJECT, "$JS.API.STREAM.PURGE.s", "shipwatch.feedback.>", "shipwatch.feedback.a b"] {
            assert!(!is_a_place_to_tell(bad), "{bad}");
        }
    }
}
