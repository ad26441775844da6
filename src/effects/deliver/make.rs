//! Making one call: `started` first, then the requests, then the report.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use tokio::task::spawn_blocking;

use super::CallDue;
use super::book::Book;
use crate::backoff::Backoff;
use crate::bus::{Error, Publisher};
use crate::domain::call::{self, Attempt, Call, Delivery, Replies};
use crate::domain::decide::Settings;
use crate::domain::decision::{Fate, Status};
use crate::domain::event::Event;
use crate::domain::ids;
use crate::domain::issue::Origin;
use crate::domain::messages;
use crate::domain::row::{Entry, Own, OwnKind};
use crate::domain::time::Time;
use crate::domain::webhooks::{self, Prepared, SecretRef, Webhook};
use crate::effects::callback::Tokens;
use crate::effects::outbox::Outbox;
use crate::outbound::{Client, Limits, Method, Outcome, Request};
use crate::secrets::{Mask, Secrets};
use crate::store::Reader;
use crate::{crash, metrics};

/// What is not said by a webhook itself.
#[derive(Clone, Copy, Debug)]
pub struct Defaults {
    /// Of one attempt.
    pub timeout: Duration,
    /// After the first attempt.
    pub retries: u32,
    /// Bytes of an answer.
    pub max_response: u64,
}

/// Makes calls.
pub struct Caller {
    /// The journal.
    pub reader: Reader,
    /// What messages are made from.
    pub settings: Settings,
    /// Webhooks by rule set.
    pub book: Book,
    /// What is owed.
    pub outbox: Arc<Outbox>,
    /// Where reports go.
    pub publisher: Publisher,
    /// The way out.
    pub client: Client,
    /// Where secrets are.
    pub secrets: Secrets,
    /// Makes the tokens of callback addresses.
    pub tokens: Tokens,
    /// Base of callback addresses; none where no gateway takes them.
    pub callback_url: Option<String>,
    /// What webhooks leave open.
    pub defaults: Defaults,
    /// Bytes that a report may have: more would not be taken by the broker, or not be read by the fold.
    pub largest: usize,
}

/// A call ready to be made.
struct Ready {
    /// The event of the line.
    cause: Event,
    /// What people call the webhook.
    webhook: Arc<str>,
    subscription: String,
    /// What is sent, or why nothing can be.
    requests: Result<Vec<(Sendable, webhooks::Request)>, String>,
    /// Hides what no text may show.
    mask: Arc<Mask>,
}

/// A rendered request with its limits.
struct Sendable {
    request: Request,
    limits: Limits,
}

impl Caller {
    /// Makes a call and sees to it that the stream has its report. Dropped in between, the call stays owed.
    pub async fn make(self: Arc<Caller>, due: CallDue) {
        let own = Own { of: due.of, kind: OwnKind::Call(due.call) };
        // The receiver may answer at once: the sequence hears of the start first.
        self.outbox.settled(Own { of: due.of, kind: OwnKind::CallStarted(due.call) }).await;
        if !self.outbox.owes(own) {
            return;
        }
        let caller = self.clone();
        let ready = spawn_blocking(move || caller.ready(&due)).await.map_err(anyhow::Error::from).flatten();
        let ready = match ready {
            Ok(Some(ready)) => ready,
            Ok(None) => {
                tracing::error!(event = %due.of, "a webhook's event is older than events are kept; it is not called");
                return self.outbox.settle(own);
            }
            Err(error) => {
                return tracing::error!(%error, event = %due.of, "a webhook is not called before the next start");
            }
        };
        crash::point("before-call");
        let delivery = self.deliver(&ready, due.call).await;
        crash::point("after-call");
        let ok = delivery.status == Status::Succeeded;
        metrics::delivery(ok);
        if !ok {
            tracing::warn!(webhook = %ready.webhook, event.id = %ready.cause.id, error = %delivery.message, "a webhook failed");
        }
        self.report(&ready.cause, delivery, own).await;
    }

    fn ready(&self, due: &CallDue) -> anyhow::Result<Option<Ready>> {
        let Some(row) = self.reader.row(due.of)? else { return Ok(None) };
        let Entry::Event(recorded) = &row.entry else { return Ok(None) };
        let Some(call) = recorded.decision.calls.get(due.call as usize) else { return Ok(None) };
        let Some(cause) = messages::event_of(recorded) else { return Ok(None) };
        let about = match call.about {
            None => Some(cause.clone()),
            Some(kind) => {
                let made = messages::again(&row, &self.reader, &self.settings)?;
                let message = made.into_iter().find(|message| message.kind == kind);
                message.and_then(|message| Event::from_json(&message.body).ok())
            }
        };
        let webhooks = self.book.find(&recorded.decision.rule_set)?;
        let webhook = webhooks.as_ref().zip(about.as_ref());
        let webhook = webhook.and_then(|(webhooks, about)| webhooks.of_subscription(&call.subscription, about));
        let mut hidden = Vec::new();
        let requests = match (&about, webhook) {
            _ if recorded.decision.fate == Fate::Parked => {
                Err(format!("the trigger is parked: {}", recorded.decision.why))
            }
            (Some(about), Some(webhook)) => self.render(webhook, about, call, &mut hidden),
            (None, _) => Err("the event that it is about is not published any more (issueEvents)".into()),
            (_, None) => Err("the webhook file that named this webhook is not kept any more".into()),
        };
        let subscription = call.subscription.clone();
        let webhook = webhook.map_or_else(|| subscription.as_str().into(), |webhook| webhook.name.clone());
        let requests = requests.map(|requests| {
            let rendered = requests.into_iter().zip(0..);
            rendered
                .map(|((prepared, of), index)| {
                    (self.sendable(prepared, &of, &cause, &subscription, [due.call, index]), of)
                })
                .collect()
        });
        Ok(Some(Ready { cause, webhook, subscription, requests, mask: Arc::new(Mask::of(&hidden)) }))
    }

    /// Everything is rendered before anything is sent: a mistake in the last request must not leave half of them done.
    fn render(
        &self,
        webhook: &Webhook,
        about: &Event,
        call: &Call,
        hidden: &mut Vec<String>,
    ) -> Result<Vec<(Prepared, webhooks::Request)>, String> {
        let (mut env, mut secret) = (Map::new(), Map::new());
        for wanted in webhook.secrets() {
            let value = self.secret(&wanted)?;
            hidden.push(value.clone());
            let keys = secret.entry(&*wanted.name).or_insert_with(|| Value::Object(Map::new()));
            if let Some(keys) = keys.as_object_mut() {
                keys.insert(wanted.key.to_string(), value.into());
            }
        }
        for (name, wanted) in &webhook.env {
            env.insert(name.to_string(), self.secret(wanted)?.into());
        }
        let mut callback = Map::new();
        if webhook.uses_callback() {
            if call.replies != Replies::Started {
                return Err(
                    "callback addresses are for triggers that the webhook leaves open (sendFinished: false)".into()
                );
            }
            callback = self.callback(about, &call.subscription, hidden)?;
        }
        let root = webhooks::root(about, env, secret, callback);
        webhook.requests.iter().map(|request| Ok((request.render(&root)?, request.clone()))).collect()
    }

    fn secret(&self, wanted: &SecretRef) -> Result<String, String> {
        let value = self.secrets.read(&wanted.name, &wanted.key).map_err(|e| e.to_string())?;
        String::from_utf8(value).map_err(|_| format!("secret {}/{} is not text", wanted.name, wanted.key))
    }

    fn sendable(
        &self,
        prepared: Prepared,
        of: &webhooks::Request,
        cause: &Event,
        subscription: &str,
        [call, index]: [u32; 2],
    ) -> Sendable {
        let Prepared { method, url, mut headers, body, proxy } = prepared;
        let key = [&cause.source, &cause.id, subscription, &call.to_string(), &index.to_string()];
        let key = ids::derive("idempotency-key", &key).to_string();
        let more = [("Idempotency-Key", Some(key.as_str())), ("traceparent", cause.extension("traceparent"))];
        for (name, value) in more {
            let there = headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name));
            if let Some(value) = value.filter(|_| !there) {
                headers.push((name.to_owned(), value.to_owned()));
            }
        }
        let Defaults { timeout, retries, max_response } = self.defaults;
        let sending = &of.sending;
        let limits = Limits {
            timeout: sending.timeout.unwrap_or(timeout),
            retries: sending.retries.unwrap_or(retries),
            max_response: sending.max_response.unwrap_or(max_response),
            follow_redirects: sending.follow_redirects.unwrap_or(0),
            retry_after_answer: sending.retries.is_some(),
            proxy,
        };
        // Methods of webhooks are among those that HTTP knows.
        let method = Method::from_bytes(method.as_bytes()).unwrap_or(Method::POST);
        Sendable { request: Request { method, url, headers, body: body.unwrap_or_default().into() }, limits }
    }

    fn callback(
        &self,
        cause: &Event,
        subscription: &str,
        hidden: &mut Vec<String>,
    ) -> Result<Map<String, Value>, String> {
        let Some(base) = &self.callback_url else {
            return Err("a callback address needs the gateway: set gateway.listen or gateway.publicUrl".into());
        };
        let trigger = Origin { source: cause.source.clone(), id: cause.id.clone() };
        let token = self.tokens.token(&trigger, subscription);
        hidden.push(token.clone());
        let id = percent_encoding::utf8_percent_encode(&cause.id, percent_encoding::NON_ALPHANUMERIC);
        let url = |result: &str| Value::from(format!("{base}/api/v1/callbacks/{id}{result}?token={token}"));
        let urls = [("url", ""), ("passUrl", "/pass"), ("failUrl", "/fail")];
        Ok(urls.map(|(name, result)| (name.to_owned(), url(result))).into_iter().collect())
    }

    /// Sends the requests one after the other, up to the first that fails.
    async fn deliver(&self, ready: &Ready, call: u32) -> Delivery {
        let mut delivery = Delivery {
            cause: Origin { source: ready.cause.source.clone(), id: ready.cause.id.clone() },
            subscription: ready.subscription.clone(),
            call,
            webhook: ready.webhook.to_string(),
            status: Status::Errored,
            message: String::new(),
            block: Map::new(),
            attempts: Vec::new(),
        };
        let requests = match &ready.requests {
            Ok(requests) => requests,
            Err(why) => {
                delivery.message = ready.mask.text(why);
                return delivery;
            }
        };
        let mut responses = Vec::new();
        for ((sendable, webhook), number) in requests.iter().zip(1..) {
            let Outcome { attempts, result } = self.client.call(&sendable.request, &sendable.limits).await;
            delivery.attempts.extend(attempts.into_iter().map(|attempt| Attempt {
                request: number,
                at: Time::from(attempt.started),
                took_ms: attempt.took.as_millis() as u64,
                status: attempt.status,
                error: attempt.error.map(|error| ready.mask.text(&error)),
            }));
            let which = if requests.len() > 1 { format!("request {number}: ") } else { String::new() };
            let answer = match result {
                // Nobody followed it, so nothing was done.
                Ok(answer) if (300..400).contains(&answer.status) => {
                    delivery.message = format!(
                        "{which}answered with {}, a redirect that is not followed (followRedirects)",
                        answer.status
                    );
                    return delivery;
                }
                Ok(answer) => answer,
                Err(failure) => {
                    delivery.message = ready.mask.text(&format!("{which}{}", failure.message));
                    return delivery;
                }
            };
            // An answer may be large. Whatever shape it has: a list or a number is as much an answer as an object.
            let mask = ready.mask.clone();
            let response = match spawn_blocking(move || mask.answer(&answer.body)).await {
                Ok(response) => response,
                Err(error) => {
                    delivery.message = format!("{which}the answer was not read: {error}");
                    return delivery;
                }
            };
            match webhook.extract(&response) {
                Ok(fields) => delivery.block.extend(fields),
                Err(why) => {
                    delivery.message = format!("{which}{why}");
                    return delivery;
                }
            }
            responses.push(response);
        }
        delivery.status = Status::Succeeded;
        delivery.message = match (responses.len(), delivery.attempts.last().and_then(|a| a.status)) {
            (1, Some(status)) => format!("{} answered with {status}", ready.webhook),
            (n, _) => format!("{n} requests of {} answered", ready.webhook),
        };
        delivery.block.insert("responses".into(), responses.into());
        delivery
    }

    /// Publishes the report until the stream has it.
    async fn report(&self, cause: &Event, mut delivery: Delivery, own: Own) {
        let origin = delivery.cause.clone();
        let id = call::delivery_id(&origin, &delivery.subscription, delivery.call);
        let now = Time::from(chrono::Utc::now());
        let mut body = delivery.event(cause, id, now).to_string();
        if Event::from_json(body.as_bytes()).is_err() {
            // Nested deeper than anybody reads JSON: as text it is an answer like any other.
            for value in delivery.block.values_mut() {
                *value = Value::String(value.to_string());
            }
            body = delivery.event(cause, id, now).to_string();
        }
        if body.len() > self.largest {
            let what = format!("the answers have {} bytes, more than the {} of an event", body.len(), self.largest);
            (delivery.status, delivery.message, delivery.block) = (Status::Errored, what, Map::new());
            delivery.attempts.truncate(16);
            body = delivery.event(cause, id, now).to_string();
        }
        let body = bytes::Bytes::from(body);
        let mut waits = Backoff::broker().waits();
        loop {
            crash::point("before-report");
            let sent = match self.publisher.publish(call::DELIVERY, &id.to_string(), body.clone()).await {
                Ok(receipt) => receipt.await.map(drop),
                Err(error) => Err(error),
            };
            match sent {
                Ok(()) => break,
                Err(Error::TooLarge { .. }) => {
                    tracing::error!(%id, "the report of a call is larger than the broker takes; it is given up");
                    break;
                }
                Err(error @ Error::NoStreamFor(_)) => {
                    return tracing::error!(%id, %error, "the report of a call has no place; the call is made again after the next start");
                }
                Err(error) => {
                    if waits.failures() == 0 {
                        tracing::warn!(%error, "the report of a call was not taken by the stream, sending it again");
                    }
                    tokio::time::sleep(waits.next_delay()).await;
                }
            }
        }
        self.outbox.settle(own);
    }
}
