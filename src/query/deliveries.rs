//! What became of the webhooks that an event called.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::State;
use super::error::Problem;
use super::events::Reply;
use crate::domain::call::{Attempt, Delivery, Replies, Reporter};
use crate::domain::decide;
use crate::domain::decision::{Answer, Status};
use crate::domain::event::Event;
use crate::domain::messages;
use crate::domain::row::{Entry, Mark, Recorded, Row};
use crate::domain::time::Time;

/// One call of a webhook.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryView {
    /// The webhook's name, or its subscription while it has not been called.
    pub webhook: String,
    /// The webhook's subscription.
    pub subscription: String,
    /// Type of the event it was called about; null where it is this event.
    pub about: Option<String>,
    /// `pending`, `succeeded` or `failed`.
    pub state: String,
    /// How it went, in words.
    pub message: Option<String>,
    /// What the answers came to.
    pub block: Option<Value>,
    /// What was tried, in order.
    #[schema(value_type = Vec<Object>)]
    pub attempts: Vec<Attempt>,
    /// When the stream took the report.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub at: Option<Time>,
    /// The receiver's own answer, where the webhook leaves the `finished` to it: null while it is awaited.
    pub answered: Option<AnswerView>,
    /// Whether a `finished` of the receiver is awaited.
    pub waiting: bool,
}

/// A `finished` that a receiver gave.
#[derive(Debug, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnswerView {
    /// Keptn's `status`.
    pub status: String,
    /// Keptn's `result`.
    pub result: String,
    /// For people.
    pub message: String,
    /// When the stream took it.
    #[schema(value_type = String, format = DateTime)]
    pub at: Time,
}

impl AnswerView {
    fn of(answer: &Answer, at: Time) -> AnswerView {
        let word =
            |value: Result<Value, _>| value.ok().and_then(|v: Value| v.as_str().map(str::to_owned)).unwrap_or_default();
        AnswerView {
            status: word(serde_json::to_value(answer.status)),
            result: word(serde_json::to_value(answer.result)),
            message: answer.message.clone(),
            at,
        }
    }
}

/// The calls of a line, and the replies that their reports caused.
pub fn of(state: &State, row: &Row, recorded: &Recorded) -> Result<(Vec<DeliveryView>, Vec<Reply>), Problem> {
    let (mut views, mut replies) = (Vec::new(), Vec::new());
    if recorded.decision.calls.is_empty() {
        return Ok((views, replies));
    }
    let made = messages::again(row, &state.reader, &state.settings)?;
    for (index, call) in recorded.decision.calls.iter().enumerate() {
        let about = call.about.and_then(|kind| made.iter().find(|message| message.kind == kind));
        views.push(DeliveryView {
            webhook: call.subscription.clone(),
            subscription: call.subscription.clone(),
            about: about.map(|message| message.subject.clone()),
            state: "pending".into(),
            message: None,
            block: None,
            attempts: Vec::new(),
            at: None,
            answered: None,
            // The receiver may have finished on the stream itself.
            waiting: call.replies == Replies::Started && !decide::is_finished(&state.reader, row, index)?,
        });
    }
    let Some(head) = &recorded.head else { return Ok((views, replies)) };
    for line in state.reader.rows(Mark::Run(&head.origin.id).hash())? {
        let Entry::Event(other) = &line.entry else { continue };
        let Some(report) = other.decision.report.as_ref().filter(|report| report.of == row.position) else { continue };
        let Some(view) = views.get_mut(report.call as usize) else { continue };
        replies.extend(super::events::replies(state, &line)?);
        view.waiting &= report.answer.is_none();
        match report.by {
            Reporter::Receiver => {
                let answer = report.answer.as_ref().map(|answer| AnswerView::of(answer, line.stream_time));
                view.answered = view.answered.take().or(answer);
            }
            Reporter::Caller => {
                let Some(delivery) = delivery(other) else { continue };
                let ok = delivery.status == Status::Succeeded;
                view.state = if ok { "succeeded" } else { "failed" }.into();
                view.webhook = delivery.webhook;
                view.message = Some(delivery.message);
                view.block = (!delivery.block.is_empty()).then(|| delivery.block.into());
                view.attempts = delivery.attempts;
                view.at = Some(line.stream_time);
            }
        }
    }
    Ok((views, replies))
}

fn delivery(recorded: &Recorded) -> Option<Delivery> {
    let event = Event::from_json(&recorded.payload).ok()?;
    Delivery::deserialize(event.json()?).ok()
}
