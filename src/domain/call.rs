//! Calls of webhooks that an event causes, and how what became of them comes back into the stream.
//!
//! The fold decides which webhooks are called ([`Call`]); the call itself is an effect, made after the commit. Its outcome is an
//! event like any other ([`Delivery`]), so that a fresh fold of the stream gives the same answers without calling anybody.
//! Where the receiver finishes the task itself, its answer comes as a [`Callback`].

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::decision::{Answer, ResultWord, Status};
use super::event::Event;
use super::ids::{self, Position};
use super::issue::Origin;
use super::row::OwnKind;
use super::time::Time;

/// Type of the event that says what became of a call. Counts with the source `shipwatch/control` only.
pub const DELIVERY: &str = "dev.shipwatch.delivery.finished";

/// Type of the event that a receiver's answer becomes. Counts with the source of the gateway only.
pub const CALLBACK: &str = "dev.shipwatch.callback.received";

/// A webhook that is called because of a journal line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its subscription, in the rule set that the line was judged by.
    pub subscription: String,
    /// The message of the line that it is about; none where it is about the line's own event.
    pub about: Option<OwnKind>,
    /// What the sequence is told.
    pub replies: Replies,
}

/// What the sequence is told about a call: Keptn's `sendStarted` and `sendFinished`, without the pair that hangs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replies {
    /// Nothing.
    None,
    /// `started`; the receiver sends `finished`, unless the call fails.
    Started,
    /// `started` and `finished`.
    Both,
}

/// What an event reports about an earlier call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The line that caused the call.
    pub of: Position,
    /// Which of its calls.
    pub call: u32,
    /// Who reports.
    pub by: Reporter,
    /// The `finished` that the sequence gets because of it.
    pub answer: Option<Answer>,
}

/// Who reports about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reporter {
    /// Shipwatch, that it has been made.
    Caller,
    /// The receiver, that the task is done.
    Receiver,
}

/// One attempt at one request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Which request of the webhook, from 1.
    pub request: u32,
    /// When it began.
    pub at: Time,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// HTTP status, where there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// `data` of [`DELIVERY`], beside project, stage, service and labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delivery {
    /// The event whose line caused the call.
    pub cause: Origin,
    /// The webhook's subscription.
    pub subscription: String,
    /// The webhook's name, for people.
    pub webhook: String,
    /// Which of the calls that the line caused.
    pub call: u32,
    /// Whether all requests were made and well answered.
    pub status: Status,
    /// In words.
    pub message: String,
    /// `data.<task>` of the `finished`.
    #[serde(default)]
    pub block: Map<String, Value>,
    /// What was tried, in order.
    pub attempts: Vec<Attempt>,
}

/// `data` of [`CALLBACK`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Callback {
    /// `source` of the trigger, since ids are its source's own.
    pub source: String,
    /// The webhook's subscription.
    pub subscription: String,
    /// Whether the tool ran; `succeeded` where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
    /// What it came to; `pass`, or `fail` where the tool did not run, where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<ResultWord>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `data.<task>` of the `finished`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Map<String, Value>>,
}

/// The id of the event that reports a call: the same however often the call is made.
pub fn delivery_id(cause: &Origin, subscription: &str, call: u32) -> Uuid {
    ids::derive("delivery", &[&cause.source, &cause.id, subscription, &call.to_string()])
}

impl Delivery {
    /// The event that carries it. `event` is what caused the call, `time` when it ended.
    pub fn event(&self, event: &Event, id: Uuid, time: Time) -> Value {
        let mut data = Map::new();
        for member in ["project", "stage", "service"] {
            if let Some(text) = event.text(member).filter(|t| !t.is_empty()) {
                data.insert(member.to_owned(), text.into());
            }
        }
        if let Ok(Value::Object(own)) = serde_json::to_value(self) {
            data.extend(own);
        }
        let mut envelope = Map::new();
        let mut put = |name: &str, value: Option<&str>| {
            value.map(|v| envelope.insert(name.to_owned(), v.into()));
        };
        put("specversion", Some("1.0"));
        put("id", Some(&id.to_string()));
        put("source", Some(super::messages::CONTROL));
        put("type", Some(DELIVERY));
        put("time", Some(&time.to_string()));
        put("datacontenttype", Some("application/json"));
        put("shkeptncontext", event.context.as_deref());
        put("triggeredid", Some(&event.id));
        put("traceparent", event.extension("traceparent"));
        envelope.insert("data".to_owned(), data.into());
        Value::Object(envelope)
    }
}

impl Callback {
    /// What the answer comes to.
    pub fn answer(&self, task: &str) -> Answer {
        let status = self.status.unwrap_or(Status::Succeeded);
        let result = self.result.unwrap_or(match status {
            Status::Succeeded => ResultWord::Pass,
            Status::Errored => ResultWord::Fail,
        });
        let message = self.message.clone().unwrap_or_else(|| format!("{task} was finished by its receiver"));
        let block = Value::Object(self.data.clone().unwrap_or_default()).to_string();
        Answer { task: task.to_owned(), status, result, message, block }
    }
}
