//! A parked message is decided about again, or let go, because an event says so.

use bytes::Bytes;

use super::{Case, Decided, Effect, Judge, recorded};
use crate::domain::decision::Fate;
use crate::domain::event::{Event, Form, Invalid};
use crate::domain::ids::Position;
use crate::domain::lookup::{Lookup, Unreadable};
use crate::domain::messages::{CONTROL, SOURCE};
use crate::domain::parked::{DROPPED, Line};
use crate::domain::row::{Head, Recorded, Retry};

use super::REPLAY;
use super::effect::Written;

impl<L: Lookup, J: Judge> Case<'_, L, J> {
    /// Decides about a parked message as if it came here; the line is that message's, and says who asked for it. None where
    /// there is nothing to decide again, which [`Case::unparked`] tells.
    pub(super) fn retry(&self, event: &Event, head: &Head) -> Result<Option<Decided>, Unreadable> {
        if event.extensions.contains_key(REPLAY) || self.seen_before(&head.origin)? {
            return Ok(None);
        }
        let Some((of, row)) = self.parked(event)? else { return Ok(None) };
        let Some(old) = recorded(&row) else { return Ok(None) };
        let retry = Some(Retry { of, by: head.origin.clone() });
        let subject = old.subject.clone();
        let (mut effect, written, event) = match read_again(self.judge, old) {
            Err(reason) => {
                let payload = old.payload.clone();
                let (event, effect) = self.unreadable(&payload, &reason)?;
                let head = event.as_ref().map(Head::of);
                (effect, Written { form: Form::Unreadable, subject, head, payload, retry }, event)
            }
            Ok((form, event, payload)) => {
                let head = Head::of(&event);
                let effect = if event.source == SOURCE || event.source == CONTROL {
                    Effect::new(Fate::Own, "published by Shipwatch")
                } else {
                    let verdict = self.judge.evaluate(self.judge.current(), &event);
                    self.event(&event, &head, verdict)?
                };
                (effect, Written { form, subject, head: Some(head), payload, retry }, Some(event))
            }
        };
        effect.unparked = Some(of);
        Ok(Some(effect.finish(self.position, self.stream_time, written, event, self.judge, self.settings)))
    }

    /// An event about a parked message that decides about nothing else: it lets it go, or comes too late.
    pub(super) fn unparked(&self, event: &Event, drop: bool) -> Result<Effect, Unreadable> {
        let of = match Line::read(event) {
            Ok(of) => of,
            Err(reason) => return Ok(Effect::new(Fate::Own, format!("names no parked message: {reason}"))),
        };
        let Some((_, row)) = self.parked(event)? else {
            return Ok(Effect::new(Fate::Own, format!("nothing is parked at {of}")));
        };
        if !drop {
            return Ok(Effect::new(Fate::Own, format!("what is parked at {of} cannot be decided again")));
        }
        let why = recorded(&row).map_or("", |parked| &parked.decision.why);
        let mut effect = Effect::new(Fate::Own, format!("{DROPPED} {of}: {why}"));
        effect.unparked = Some(of);
        Ok(effect)
    }

    fn parked(&self, event: &Event) -> Result<Option<(Position, std::sync::Arc<super::Row>)>, Unreadable> {
        let Some(of) = Line::read(event).ok().filter(|of| self.lookup.is_parked(*of)) else { return Ok(None) };
        Ok(self.lookup.row(of)?.map(|row| (of, row)))
    }
}

/// The parked message, read by the rules of now. What was read before is an event still, in the form in which it came.
fn read_again<J: Judge>(judge: &J, parked: &Recorded) -> Result<(Form, Event, Bytes), Invalid> {
    if parked.form == Form::Unreadable {
        return judge.read(&parked.subject, &parked.payload);
    }
    Ok((parked.form, Event::from_json(&parked.payload)?, parked.payload.clone()))
}
