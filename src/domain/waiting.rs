//! What a gateway asks the fold about an answer of a receiver, before it publishes anything.
//!
//! A gateway keeps nothing, so it does not know the triggers that wait. It asks over core NATS and is told there.

use serde::{Deserialize, Serialize};

/// The subject of such questions.
pub const ASK: &str = "shipwatch.ask.callback";

/// Does a trigger wait for the answer of a receiver who has this token?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Question {
    /// `id` of the trigger.
    pub triggered_id: String,
    /// What the receiver showed.
    pub token: String,
    /// The subject on which to be told.
    pub tell: String,
}

/// The answer to a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "answer")]
pub enum Waits {
    /// It does.
    Yes(Task),
    /// It did, and the task is finished.
    Finished(Task),
    /// It does, but not for one with this token.
    WrongToken,
    /// No webhook waits for an answer to it.
    Unknown,
}

/// What a receiver answers for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Task {
    /// `source` of the trigger.
    pub source: String,
    /// The subscription of the webhook that waits.
    pub subscription: String,
    /// The task.
    pub task: String,
    /// `data.project` of the trigger.
    pub project: String,
    /// `data.stage` of the trigger.
    pub stage: String,
    /// `data.service` of the trigger.
    pub service: String,
    /// `shkeptncontext` of the trigger.
    pub context: String,
}
