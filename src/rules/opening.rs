//! Which rules hold where a fold begins.
//!
//! Events before the first set in the stream fall under that first one. So a fold that begins anew looks for it, and where
//! there is none puts its own there before it folds a single event.

use std::collections::HashMap;
use std::time::Duration;

use super::RuleBook;
use super::book::refused;
use super::publish::{part_of, publish};
use crate::backoff::{Backoff, Waits};
use crate::bus::{Bus, Error};
use crate::domain::ids::Position;
use crate::domain::loaded::{self, Part};
use crate::domain::rules::RuleSet;
use crate::domain::stream::Reached;
use crate::store::RuleTexts;

/// Failures in a row after which a fold begins without the stream's word.
const TRIES: u32 = 6;

/// How often is looked whether an outage is over.
const OUTAGE: Duration = Duration::from_millis(200);

/// The rules to go on with from `from`, given those that the store has kept and those of this start.
pub async fn opening(bus: &Bus, from: &Reached, kept: Vec<RuleTexts>, given: &RuleSet) -> RuleBook {
    let stream = &from.stream.name;
    let behind = from.position(from.sequence, u16::MAX);
    let mut waits = Backoff::broker().waits();
    let travels = loop {
        match bus.holds(stream, loaded::TYPE).await {
            Ok(holds) => break holds,
            Err(error) if later(bus, &error, &mut waits).await => {}
            Err(error) => {
                tracing::warn!(%error, "cannot see whether the stream holds rules");
                break true;
            }
        }
    };
    if !travels {
        // Nothing tells a fresh fold what held here, so it is said that it will not be told.
        tracing::warn!(
            stream = %stream,
            "the stream does not hold \"{}\": the rules of each start hold from there on, a reload has no effect, and folding \
             the stream again uses the rules of that start throughout",
            loaded::TYPE
        );
    }
    let fresh = from.sequence == 0;
    let newest = kept.last().map(|texts| texts.hash.clone());
    if (travels || newest.as_deref() == Some(given.hash()))
        && !fresh
        && let Some(book) = RuleBook::of_store(kept.clone())
    {
        return book;
    }
    let set = match (travels, fresh || newest.is_none()) {
        (true, true) => first_of(bus, stream, given).await,
        _ => given.clone(),
    };
    RuleBook::begin(set, behind, kept)
}

/// The stream's first set; where it has none, this one is made the first.
async fn first_of(bus: &Bus, stream: &str, given: &RuleSet) -> RuleSet {
    let mut published = false;
    let mut waits = Backoff::broker().waits();
    loop {
        match make_first(bus, stream, given, &mut published).await {
            Ok(set) => return set,
            Err(error) if later(bus, &error, &mut waits).await => {}
            Err(error) => {
                tracing::warn!(%error, "the rules are not in the stream yet; the fold begins with those of this start");
                return given.clone();
            }
        }
    }
}

async fn make_first(bus: &Bus, stream: &str, given: &RuleSet, published: &mut bool) -> Result<RuleSet, Error> {
    if let Some(first) = first(bus, stream).await? {
        return Ok(first);
    }
    if !*published {
        publish(bus, stream, given).await?;
        *published = true;
    }
    // Somebody else may have been earlier; and where the stream sources another one, it takes a moment.
    first(bus, stream).await?.ok_or_else(|| Error::TimedOut { what: "where the published rules are".into() })
}

/// The first set in a stream that this version can use.
///
/// # Errors
/// The stream cannot be asked.
pub async fn first(bus: &Bus, stream: &str) -> Result<Option<RuleSet>, Error> {
    first_of_which(bus, stream, |hash, whole, sequence| {
        loaded::compile(whole).map_err(|problems| refused(hash, Position::new(sequence, 0), &problems)).ok()
    })
    .await
}

/// Whether a stream has a whole set.
///
/// # Errors
/// The stream cannot be asked.
pub(super) async fn has_any(bus: &Bus, stream: &str) -> Result<bool, Error> {
    Ok(first_of_which(bus, stream, |_, _, _| Some(())).await?.is_some())
}

/// What is made of the first whole set in a stream of which something can be made: of its hash, its parts, and where it ends.
async fn first_of_which<T>(
    bus: &Bus,
    stream: &str,
    make: impl Fn(&str, &[Part], u64) -> Option<T>,
) -> Result<Option<T>, Error> {
    let mut parts: HashMap<String, Part> = HashMap::new();
    let mut from = 1;
    while let Some(message) = bus.next_on(stream, loaded::TYPE, from).await? {
        from = message.sequence + 1;
        let Some((event, part)) = part_of(&message).filter(|(e, _)| !parts.contains_key(&e.id)) else { continue };
        parts.insert(event.id, part.clone());
        let find = |id: &str| Ok::<_, std::convert::Infallible>(parts.get(id).cloned());
        let Ok(Some(whole)) = part.gather(find) else { continue };
        if let Some(made) = make(&part.hash, &whole, message.sequence) {
            return Ok(Some(made));
        }
    }
    Ok(None)
}

/// Waits, where the same may work a little later. An outage is waited for as long as it takes.
async fn later(bus: &Bus, error: &Error, waits: &mut Waits) -> bool {
    if !bus.is_connected() {
        tokio::time::sleep(OUTAGE).await;
        return true;
    }
    let again = error.is_passing() && waits.failures() < TRIES;
    if again {
        tokio::time::sleep(waits.next_delay()).await;
    }
    again
}
