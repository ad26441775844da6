//! Raw JSON becomes an event where a rule says how, and a bare CDEvent always does.

use bytes::Bytes;
use serde_json::Value;

use crate::bus::Message;
use crate::bus::binding::{Mode, Reading};
use crate::domain::event::{Form, Invalid};
use crate::domain::rules::RuleSet;

/// The same reading, or what the body stands for where it is no event and somebody knows what it is.
pub fn lifted(reading: Reading, message: &Message, rules: &RuleSet) -> Reading {
    let raw = match &reading.event {
        Ok(_) | Err(Invalid::TooLarge { .. }) => false,
        Err(_) => Mode::of(&message.headers, &message.payload) == Mode::Plain,
    };
    if !raw {
        return reading;
    }
    // What says that it is a CloudEvent is a broken one, and nothing else.
    let body = match serde_json::from_slice::<Value>(&message.payload) {
        Ok(body) if body.is_object() && body.get("specversion").is_none() => body,
        _ => return reading,
    };
    match rules.lift(&message.subject, &body) {
        None => reading,
        Some(Ok(event)) => {
            let payload = Bytes::from(event.to_value().to_string());
            Reading { form: Form::Adapted, event: Ok(event), payload, ..reading }
        }
        Some(Err(why)) => Reading { event: Err(Invalid::Other(why)), ..reading },
    }
}
