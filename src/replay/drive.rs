//! From a source through one fold or several, read ahead of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Fold, Input, Source};

/// Somebody asked for the end before it was there.
#[derive(Debug, thiserror::Error)]
#[error("stopped before the end, nothing is kept")]
pub struct Stopped;

/// Folds all that a source has into each of these folds. `done` counts messages meanwhile.
///
/// # Errors
/// Where the source cannot be read, a store cannot be written, or `stop` was cancelled.
pub async fn drive(
    mut source: Source,
    folds: Vec<Fold>,
    done: Arc<AtomicU64>,
    stop: CancellationToken,
) -> anyhow::Result<Vec<Fold>> {
    let (to_folds, groups) = mpsc::channel(2);
    let folding = tokio::task::spawn_blocking(move || fold(folds, groups, &done));
    let read = async {
        loop {
            let group = source.next().await?;
            if group.is_empty() {
                return Ok(());
            }
            if to_folds.send(group).await.is_err() {
                // A fold has failed, and says itself why.
                return Ok(());
            }
        }
    };
    let read = tokio::select! {
        read = read => read,
        () = stop.cancelled() => Err(Stopped.into()),
    };
    drop(to_folds);
    let folds = folding.await.context("a fold panicked")?;
    read.and(folds)
}

fn fold(mut folds: Vec<Fold>, mut groups: mpsc::Receiver<Vec<Input>>, done: &AtomicU64) -> anyhow::Result<Vec<Fold>> {
    while let Some(group) = groups.blocking_recv() {
        match folds.as_mut_slice() {
            [one] => one.take(&group)?,
            many => std::thread::scope(|scope| {
                let group = &group;
                let running: Vec<_> = many.iter_mut().map(|fold| scope.spawn(move || fold.take(group))).collect();
                let mut joined = running.into_iter().map(std::thread::ScopedJoinHandle::join);
                joined.try_for_each(|took| took.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })?,
        }
        let within = group.iter().filter(|input| input.within).count();
        done.fetch_add(within as u64, Ordering::Relaxed);
    }
    Ok(folds)
}
