//! A rule set goes into the stream.

use bytes::Bytes;
use uuid::Uuid;

use crate::bus::binding::{self, Reading};
use crate::bus::{Bus, Error, Message};
use crate::domain::event::Event;
use crate::domain::loaded::{self, Part};
use crate::domain::rules::RuleSet;
use crate::domain::time::Time;

/// Room for everything in a message beside the texts of its part.
const AROUND: usize = 16 << 10;

/// Fewer bytes of texts make no sense in a message, whatever the broker takes.
const LEAST: usize = 1 << 10;

/// Publishes a set into the stream that is read, part after part; each is in the stream before the next is sent.
///
/// # Errors
/// What the broker says. A part that stands alone does no harm.
pub async fn publish(bus: &Bus, stream: &str, set: &RuleSet) -> Result<(), Error> {
    // An account that may not look at the stream may still publish there.
    let most =
        bus.largest_in(stream).await.ok().flatten().map_or(bus.max_payload(), |most| most.min(bus.max_payload()));
    let size = size_for(most);
    let publisher = bus.publisher();
    for event in loaded::events(set, &Uuid::new_v4().to_string(), Time::from(chrono::Utc::now()), size) {
        let body = Bytes::from(event.to_value().to_string());
        publisher.publish(loaded::TYPE, &event.id, body).await?.await?;
    }
    Ok(())
}

/// Bytes of texts in a message of at most `most` bytes.
fn size_for(most: usize) -> usize {
    (most - AROUND.min(most / 2)).clamp(LEAST, loaded::PART)
}

/// Where this set ends in the stream, if it is the one that the stream was given last.
///
/// # Errors
/// The stream cannot be asked.
pub async fn where_last(bus: &Bus, stream: &str, set: &RuleSet) -> Result<Option<u64>, Error> {
    let last = bus.last_on(stream, loaded::TYPE).await?;
    let ends = |m: &Message| part_of(m).is_some_and(|(_, part)| part.is_last() && part.hash == set.hash());
    Ok(last.filter(ends).map(|m| m.sequence))
}

/// The part of a set that a message is, with its event; none where it does not count.
pub(super) fn part_of(message: &Message) -> Option<(Event, Part)> {
    let reading = binding::read(message, loaded::LARGEST).into_iter().next()?;
    let Reading { form, event: Ok(event), .. } = reading else { return None };
    let part = Part::read(&message.subject, form, &event)?.ok()?;
    Some((event, part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_as_small_as_the_broker_wants_them() {
        let sizes = [8 << 20, 1 << 20, 64 << 10, 16 << 10, 4 << 10, 0].map(size_for);
        assert_eq!(sizes, [512 << 10, 512 << 10, 48 << 10, 8 << 10, 2 << 10, 1 << 10]);
    }
}
