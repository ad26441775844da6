//! What of reading messages depends on the rules: where a group is cut, and what raw JSON stands for.

use bytes::Bytes;
use serde_json::Value;

use super::RulesInForce;
use crate::bus::binding::{self, Mode, Reading};
use crate::bus::{Headers, Message};
use crate::domain::decide::Incoming;
use crate::domain::event::{Event, Form, Invalid};
use crate::domain::ids::Position;
use crate::domain::loaded;
use crate::domain::row::Head;
use crate::domain::rules::{RuleSet, Verdict};
use crate::domain::time::Time;

/// Cuts messages behind each that may bring other rules: what follows is read by those. One part at least.
pub fn cut(mut messages: Vec<Message>) -> Vec<Vec<Message>> {
    let mut parts = Vec::new();
    while let Some(at) = messages.iter().position(|m| m.subject == loaded::TYPE)
        && at + 1 < messages.len()
    {
        let rest = messages.split_off(at + 1);
        parts.push(std::mem::replace(&mut messages, rest));
    }
    parts.push(messages);
    parts
}

/// The events of a message. Raw JSON becomes one where a rule says how, and a bare CDEvent always does. `event_size` is the limit
/// in bytes for everything but rule sets, which have their own.
pub fn read(message: &Message, rules: &RulesInForce, event_size: usize) -> Vec<Reading> {
    let limit = if message.subject == loaded::TYPE { loaded::LARGEST } else { event_size };
    let mut readings = binding::read(message, limit);
    if let [one] = readings.as_mut_slice()
        && one.event.is_err()
        && let Some(lifted) = lifted(one, message, rules.set())
    {
        *one = lifted;
    }
    readings
}

/// Reads a message again of which the headers are not kept. Its size was said to be too much once, and is not looked at again.
///
/// # Errors
/// Why it is not an event.
pub fn again(subject: &str, payload: &Bytes, rules: &RulesInForce) -> Result<(Form, Event, Bytes), Invalid> {
    let (headers, stream_time) = (Headers::default(), Time::EPOCH);
    let message = Message { sequence: 0, subject: subject.to_owned(), stream_time, headers, payload: payload.clone() };
    let mut readings = read(&message, rules, usize::MAX);
    match (readings.pop(), readings.is_empty()) {
        (Some(Reading { form, event, payload, .. }), true) => Ok((form, event?, payload)),
        _ => Err(Invalid::Other("it is a batch of several events; publish them again".into())),
    }
}

/// Has the events of a message judged and hands them on to a fold whose positions count from `base`; says how many of them
/// nobody names. `named`: somebody names its subject.
pub fn judged(
    message: &Message,
    readings: Vec<Reading>,
    base: u64,
    named: bool,
    rules: &RulesInForce,
    mut judge: impl FnMut(&Event) -> Verdict,
    mut each: impl FnMut(Incoming),
) -> u64 {
    let mut passed_over = 0;
    for reading in readings {
        // Where subject and type differ the type counts, so a type that somebody names is not passed over.
        if !named && !reading.event.as_ref().is_ok_and(|e| rules.names(&e.ty)) {
            passed_over += 1;
            continue;
        }
        let verdict = reading.event.as_ref().map_or(Verdict::NoRule, &mut judge);
        each(Incoming {
            position: Position::new(base + message.sequence, reading.element),
            stream_time: message.stream_time,
            subject: message.subject.clone(),
            form: if reading.event.is_ok() { reading.form } else { Form::Unreadable },
            event: reading.event.map(|event| {
                let head = Head::of(&event);
                (event, head)
            }),
            verdict,
            payload: reading.payload,
            tell: None,
        });
    }
    passed_over
}

/// What a body stands for that is no event; none where nobody knows what it is.
fn lifted(reading: &Reading, message: &Message, rules: &RuleSet) -> Option<Reading> {
    let raw = Mode::of(&message.headers, &message.payload) == Mode::Plain
        && !matches!(reading.event, Err(Invalid::TooLarge { .. }));
    let body: Value = serde_json::from_slice(&message.payload).ok().filter(|_| raw)?;
    // What says that it is a CloudEvent is a broken one, and nothing else.
    if !body.is_object() || body.get("specversion").is_some() {
        return None;
    }
    Some(match rules.lift(&message.subject, &body)? {
        Ok(event) => {
            let payload = Bytes::from(event.to_value().to_string());
            Reading { form: Form::Adapted, element: 0, event: Ok(event), payload }
        }
        Err(why) => Reading { event: Err(Invalid::Other(why)), ..reading.clone() },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(subject: &str, headers: &[(&str, &str)], body: &str) -> Message {
        Message {
            sequence: 1,
            subject: subject.into(),
            stream_time: Time::EPOCH,
            headers: Headers::from_pairs(headers.iter().copied()),
            payload: Bytes::from(body.to_owned()),
        }
    }

    #[test]
    fn a_group_is_cut_behind_every_message_that_may_bring_rules() {
        let parts = |text: &str| -> Vec<usize> {
            let subject = |c| if c == 'r' { loaded::TYPE } else { "x" };
            cut(text.chars().map(|c| message(subject(c), &[], "")).collect()).iter().map(Vec::len).collect()
        };
        for (text, want) in [("", vec![0]), ("xx", vec![2]), ("r", vec![1]), ("xrx", vec![2, 1]), ("xrr", vec![2, 1])] {
            assert_eq!(parts(text), want, "{text}");
        }
    }

    const FLUX: &str = r#"{"involvedObject":{"kind":"Kustomization","name":"apps","uid":"u"},"severity":"error","reason":"x","timestamp":"2026-01-02T03:04:05Z"}"#;
    const CDEVENT: &str =
        r#"{"context":{"id":"1","source":"ci","type":"dev.cdevents.build.finished.0.2.0"},"subject":{"id":"b"}}"#;

    fn form(subject: &str, headers: &[(&str, &str)], body: &str) -> Form {
        let rules = RulesInForce::new(RuleSet::builtin());
        let readings = read(&message(subject, headers, body), &rules, 500);
        assert_eq!(readings.len(), 1);
        // What is kept of a lifted body reads back as the same event.
        if let Ok(event) = &readings[0].event {
            assert_eq!(Event::from_json(&readings[0].payload).as_ref(), Ok(event));
        }
        readings[0].form
    }

    #[test]
    fn raw_json_is_lifted_where_a_rule_says_how_and_bare_cdevents_anywhere() {
        assert_eq!(form("flux.prod", &[], FLUX), Form::Adapted);
        assert_eq!(form("flux.prod", &[("content-type", "application/json")], FLUX), Form::Adapted);
        assert_eq!(form("other", &[], FLUX), Form::Unreadable);
        assert_eq!(form("other", &[], CDEVENT), Form::Adapted);
        // What claims to be an event, or cannot be looked into, stays as it is.
        assert_eq!(form("flux.prod", &[("content-type", "application/cloudevents+json")], FLUX), Form::Unreadable);
        assert_eq!(form("flux.prod", &[], &FLUX.replacen('{', r#"{"specversion":"1.0","#, 1)), Form::Unreadable);
        assert_eq!(form("flux.prod", &[], r#"{"specversion":"1.0","id":"1","source":"s","type":"t"}"#), Form::Bare);
        assert_eq!(form("flux.prod", &[], &FLUX.replace("apps", &"a".repeat(500))), Form::Unreadable);
    }
}
