//! A replay beside what a running service shows.

use serde::Deserialize;

use crate::cli::client::{Client, ServerArgs};
use crate::cli::listing::{Listing, PageArgs};
use crate::domain::ids::KeyId;
use crate::domain::issue::{ChangeKind, Origin, View};
use crate::replay::diff::{Became, Cause, Diff, cause_at, find};
use crate::replay::{Change, changes};
use crate::store::Reader;

/// What the service says of a change.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    event_id: String,
    event_source: String,
    change: ChangeKind,
}

/// What the service says of an event.
#[derive(Deserialize)]
struct Decided {
    event: Event,
    outcome: String,
    rule: Option<String>,
    why: String,
    sequence: String,
}

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    ty: String,
}

/// The difference between the issues of the service and those of a fold.
pub(super) async fn diff(server: &ServerArgs, reader: &Reader) -> anyhow::Result<Diff> {
    let client = Client::new(server)?;
    let shown: Vec<View> = all(&client, &["issues"]).await?;
    let mut diff = Diff::of(shown, crate::replay::issues(reader));
    for alone in &mut diff.appear {
        alone.event = cause(&client, reader, KeyId(alone.issue.id), &[]).await?;
    }
    for alone in &mut diff.vanish {
        let id = alone.issue.id.to_string();
        let steps: Vec<Step> = all(&client, &["issues", &id, "history"]).await?;
        alone.event = cause(&client, reader, KeyId(alone.issue.id), &steps).await?;
    }
    for differing in &mut diff.differ {
        let id = differing.issue.id.to_string();
        let steps: Vec<Step> = all(&client, &["issues", &id, "history"]).await?;
        let cause = cause(&client, reader, KeyId(differing.issue.id), &steps).await?;
        differing.fields.iter_mut().for_each(|field| field.event.clone_from(&cause));
    }
    Ok(diff)
}

async fn all<T: for<'a> Deserialize<'a>>(client: &Client, path: &[&str]) -> anyhow::Result<Vec<T>> {
    let listing = Listing::get(client, path, &[], &PageArgs::everything()).await?;
    Ok(listing.items()?.into_iter().map(|raw| serde_json::from_str(raw.get())).collect::<Result<_, _>>()?)
}

/// The first event that one side took for a change of the issue and the other did not; where the steps are the same, the last.
async fn cause(client: &Client, reader: &Reader, id: KeyId, steps: &[Step]) -> anyhow::Result<Option<Cause>> {
    let ours = changes(reader, id)?;
    let same = ours.iter().zip(steps).take_while(|(a, b)| is_same(a, b)).count();
    // The same steps all along: the last one has left something else behind.
    let at = if same == ours.len() && same == steps.len() { same.saturating_sub(1) } else { same };
    let (mine, theirs) = (ours.get(at), steps.get(at));
    let their_place = match theirs {
        Some(step) => find(reader, &origin(step))?,
        None => None,
    };
    // Of two events the earlier one; one that the replay has not met comes from before it or from behind it.
    let position = match (mine.map(|change| change.position), their_place) {
        (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
        (Some(mine), None) if theirs.is_none() => Some(mine),
        (None, theirs) => theirs,
        (Some(_), None) => None,
    };
    let mut cause = match position {
        Some(position) => cause_at(reader, position)?,
        None => None,
    };
    let event = cause.as_ref().map(|c| Origin { source: c.source.clone(), id: c.id.clone() });
    let Some(event) = event.or_else(|| theirs.map(origin)) else { return Ok(None) };
    let ours = cause.take().map(|c| (c.ty, c.sequence, c.before));
    let said = said(client, &event).await?;
    let (ty, sequence) = match (&ours, &said) {
        (Some((ty, sequence, _)), _) => (ty.clone(), sequence.clone()),
        (None, Some(said)) => (said.event.ty.clone(), said.sequence.clone()),
        (None, None) => return Ok(None),
    };
    let before = said.map(|Decided { outcome, rule, why, .. }| Became { outcome, rule, why });
    let Origin { source, id } = event;
    Ok(Some(Cause { id, source, ty, sequence, before, after: ours.and_then(|(_, _, became)| became) }))
}

/// What the service made of an event; none where it has not met it, or does not keep it any more.
async fn said(client: &Client, event: &Origin) -> anyhow::Result<Option<Decided>> {
    let query = [("source".to_owned(), event.source.clone())];
    match client.api(&["events", &event.id], &query).await {
        Ok(body) => Ok(Some(serde_json::from_str(&body)?)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn origin(step: &Step) -> Origin {
    Origin { source: step.event_source.clone(), id: step.event_id.clone() }
}

fn is_same(ours: &Change, theirs: &Step) -> bool {
    ours.event == origin(theirs) && ours.kind == theirs.change
}
