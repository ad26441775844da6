//! A foreign client of the broker: publishes in any form, and reads what the stream holds.

use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::{self, stream};
use async_nats::{HeaderMap, connect};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde_json::Value;

use super::{Keptn, eventually};

/// The connection.
#[derive(Clone)]
pub struct Bus {
    /// Core NATS.
    pub client: async_nats::Client,
    /// JetStream on it.
    pub jetstream: jetstream::Context,
}

/// One message as the stream holds it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Subject.
    pub subject: String,
    /// Value of the header `Nats-Msg-Id`.
    pub msg_id: Option<String>,
    /// The body as JSON; null where it is none.
    pub json: Value,
}

impl Bus {
    /// Connects to a server that runs.
    pub async fn connect(url: &str) -> Bus {
        let client = connect(url).await.unwrap();
        Bus { jetstream: jetstream::new(client.clone()), client }
    }

    /// The same as a user of the broker.
    pub async fn connect_as(url: &str, user: &str, password: &str) -> Bus {
        let who = async_nats::ConnectOptions::with_user_and_password(user.into(), password.into());
        let client = who.connect(url).await.unwrap();
        Bus { jetstream: jetstream::new(client.clone()), client }
    }

    /// Publishes an event on the subject of its type, as Keptn does (no headers), and waits until the stream has it.
    /// Returns its id.
    pub async fn publish(&self, event: impl Into<Value>) -> String {
        let event = event.into();
        let subject = event["type"].as_str().unwrap().to_owned();
        self.publish_json(&subject, &event).await;
        event["id"].as_str().unwrap_or_default().to_owned()
    }

    /// Publishes JSON on any subject; returns the stream sequence.
    pub async fn publish_json(&self, subject: &str, body: &Value) -> u64 {
        self.publish_raw(subject, &[], body.to_string()).await
    }

    /// Publishes bytes with headers; returns the stream sequence.
    pub async fn publish_raw(&self, subject: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> u64 {
        let body = body.into();
        // While a restarted broker recovers its stream there is nobody to take a message; a publisher tries again.
        eventually(&format!("a stream takes {subject}"), async || {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, *value);
            }
            let sent = self.jetstream.publish_with_headers(subject.to_owned(), map, body.clone()).await.ok()?;
            Some(sent.await.ok()?.sequence)
        })
        .await
    }

    /// Publishes without a stream.
    pub async fn publish_core(&self, subject: &'static str, body: &'static str) {
        self.client.publish(subject, body.into()).await.unwrap();
        self.client.flush().await.unwrap();
    }

    /// Hears everything on a subject, whether a stream has it or not.
    pub async fn hear(&self, subject: &'static str) -> async_nats::Subscriber {
        let heard = self.client.subscribe(subject).await.unwrap();
        self.client.flush().await.unwrap();
        heard
    }

    /// Creates a stream as Keptn or an operator would have before Shipwatch comes.
    pub async fn create_stream(&self, name: &str, subjects: &[&str]) {
        let subjects = subjects.iter().map(|s| (*s).to_owned()).collect();
        let config = stream::Config { name: name.into(), subjects, ..Default::default() };
        self.jetstream.create_stream(config).await.unwrap();
    }

    /// Everything a stream holds, in order.
    pub async fn read(&self, stream: &str) -> Vec<Stored> {
        let stream = self.jetstream.get_stream(stream).await.unwrap();
        let config = pull::Config { ack_policy: AckPolicy::None, ..Default::default() };
        let consumer = stream.create_consumer(config).await.unwrap();
        let total = consumer.cached_info().num_pending as usize;
        let mut all = Vec::with_capacity(total);
        while all.len() < total {
            let mut some = consumer.fetch().max_messages((total - all.len()).min(500)).messages().await.unwrap();
            while let Some(message) = some.next().await {
                let message = message.unwrap();
                all.push(Stored {
                    subject: message.subject.to_string(),
                    msg_id: message.headers.as_ref().and_then(|h| h.get("Nats-Msg-Id")).map(ToString::to_string),
                    json: serde_json::from_slice(&message.payload).unwrap_or_default(),
                });
            }
        }
        all
    }

    /// What Shipwatch answered to a trigger so far, in stream order.
    pub async fn replies(&self, trigger: &str) -> Vec<Stored> {
        let mut all = self.read("shipwatch").await;
        all.retain(|m| m.json["source"] == "shipwatch" && m.json["triggeredid"] == trigger);
        all.retain(|m| m.subject.starts_with("sh.keptn.event."));
        all
    }

    /// Waits for the `finished` of a trigger, checks that there is one `started` before it and nothing else, and returns its JSON.
    pub async fn answer(&self, trigger: &str) -> Value {
        let finished = |m: &Stored| m.subject.ends_with(".finished");
        let replies = eventually(&format!("{trigger} is answered"), async || {
            let replies = self.replies(trigger).await;
            replies.iter().any(finished).then_some(replies)
        })
        .await;
        assert_pair(trigger, &replies);
        replies[1].json.clone()
    }

    /// Publishes a trigger of ours and returns the `finished` it got.
    pub async fn ask(&self, trigger: Keptn) -> Value {
        let id = self.publish(trigger).await;
        self.answer(&id).await
    }
}

/// Exactly one `started`, then exactly one `finished`, and well-formed.
pub fn assert_pair(trigger: &str, replies: &[Stored]) {
    let kinds: Vec<_> = replies.iter().map(|m| m.subject.rsplit('.').next().unwrap()).collect();
    assert_eq!(kinds, ["started", "finished"], "replies to {trigger}");
    for reply in replies {
        assert_eq!(reply.json["type"], reply.subject.as_str(), "subject is the type");
        assert_eq!(reply.msg_id.as_deref(), reply.json["id"].as_str(), "Nats-Msg-Id is the id");
    }
}
