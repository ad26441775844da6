//! Sending events again, for other consumers: under subjects of their own, and marked so that they cause nothing here.

use std::time::Duration;

use crate::bus::binding::Reading;
use crate::bus::{intersection, publishable};
use crate::domain::decide::REPLAY;
use crate::domain::event::Event;
use crate::domain::time::Time;
use crate::rules::{RulesInForce, reading};

use super::{Filter, Input};

/// How fast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Speed {
    /// As fast as they are taken.
    Max,
    /// As the events came, so many times faster.
    Times(f64),
}

impl Speed {
    /// Reads `max`, `original` or `10x`.
    pub fn parse(text: &str) -> Option<Speed> {
        match text {
            "max" => Some(Speed::Max),
            "original" => Some(Speed::Times(1.0)),
            _ => {
                let times: f64 = text.strip_suffix('x')?.parse().ok()?;
                (times.is_finite() && times > 0.0).then_some(Speed::Times(times))
            }
        }
    }

    /// How long after the first event one of this time is due.
    pub fn due(self, first: Time, time: Time) -> Duration {
        match self {
            Speed::Max => Duration::ZERO,
            Speed::Times(times) => {
                Duration::try_from_secs_f64((time.seconds_since(first) / times).max(0.0)).unwrap_or(Duration::MAX)
            }
        }
    }
}

/// Why events cannot be sent below a prefix; none where they can. `subjects` are those that the service reads.
pub fn refusal(prefix: &str, subjects: &[String]) -> Option<String> {
    if prefix.is_empty() {
        return Some("it is empty, so the events would come back as new ones".into());
    }
    if !publishable(prefix) {
        return Some(format!("{prefix:?} is not a subject to publish below"));
    }
    let below = format!("{prefix}.>");
    let taken = subjects.iter().find(|subject| intersection(&below, subject).is_some())?;
    Some(format!("{below:?} and {taken:?}, which the service reads, are in part the same"))
}

/// An event to send.
#[derive(Clone, Debug, PartialEq)]
pub struct Again {
    /// Where.
    pub subject: String,
    /// The event as structured JSON, with the mark.
    pub body: String,
    /// When it came, as it says itself.
    pub time: Time,
}

/// What of a message is to be sent again, and how many of its events cannot be.
pub fn again(input: &Input, prefix: &str, filter: &Filter, rules: &RulesInForce, size: usize) -> (Vec<Again>, u64) {
    let readings = match &input.reading {
        _ if !input.within => return (Vec::new(), 0),
        Some(known) => vec![known.clone()],
        None => reading::read(&input.message, rules, size),
    };
    let (mut all, mut lost) = (Vec::new(), 0);
    for Reading { event, payload, .. } in readings {
        let Ok(event) = event else {
            lost += u64::from(filter.is_all());
            continue;
        };
        if !filter.takes(&event) {
            continue;
        }
        let subject = format!("{prefix}.{}", event.ty);
        match (publishable(&subject), marked(&event, &payload, input.message.sequence)) {
            (true, Some(body)) => {
                all.push(Again { subject, body, time: event.time.unwrap_or(input.message.stream_time) })
            }
            _ => lost += 1,
        }
    }
    (all, lost)
}

/// The event as it was written, with the mark before everything else.
fn marked(event: &Event, payload: &[u8], sequence: u64) -> Option<String> {
    let json = std::str::from_utf8(payload).ok()?;
    if event.extensions.contains_key(REPLAY) {
        return Some(json.to_owned());
    }
    let rest = json.trim_start().strip_prefix('{')?;
    Some(format!("{{\"{REPLAY}\":\"{sequence}\",{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_words_or_factors() {
        assert_eq!(Speed::parse("max"), Some(Speed::Max));
        assert_eq!(Speed::parse("original"), Some(Speed::Times(1.0)));
        assert_eq!(Speed::parse("2.5x"), Some(Speed::Times(2.5)));
        for wrong in ["", "x", "0x", "-1x", "10", "infx", "NaNx", "fast"] {
            assert_eq!(Speed::parse(wrong), None, "{wrong}");
        }
        let at = |s| Time::from_unix(s, 0).unwrap();
        assert_eq!(Speed::Times(10.0).due(at(100), at(120)), Duration::from_secs(2));
        assert_eq!(Speed::Times(10.0).due(at(100), at(90)), Duration::ZERO);
        assert_eq!(Speed::Max.due(at(100), at(120)), Duration::ZERO);
    }

    #[test]
    fn no_event_comes_back_to_the_service() {
        let subjects = ["sh.keptn.>".to_owned(), "flux.>".to_owned()];
        assert_eq!(refusal("lab", &subjects), None);
        assert_eq!(refusal("lab.one", &subjects), None);
        for wrong in ["", "sh", "sh.keptn", "sh.keptn.event", "flux", "a b", "a.>", "*", "$JS", "lab."] {
            assert!(refusal(wrong, &subjects).is_some(), "{wrong}");
        }
        assert!(refusal("lab", &[">".to_owned()]).is_some());
    }
}
