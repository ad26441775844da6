//! From the disk into memory, at start.

use sled::Batch;

use super::catalog::Catalog;
use super::chunks;
use super::due;
use super::error::Error;
use super::keyspace;
use super::ledger::{self, Entry, Loading};
use super::record::{self, Fold};
use super::rulebook;
use super::segment::Segment;
use super::shared::{Shared, State};
use crate::domain::ids::Position;

/// The layout of the folder. A change of a single record's form is that record's own version; this one counts changes of keys.
pub const FORMAT: u32 = 1;

/// Checks the format of the folder, then loads what is kept in memory.
pub fn load(shared: &Shared) -> Result<(), Error> {
    check_format(shared)?;
    let mut state = State { fold: fold(shared)?, ..State::default() };
    let mut catalog = Catalog::default();
    keys_and_scopes(shared, &mut state, &mut catalog)?;
    for key in shared.tree.scan_prefix([keyspace::PARKED]).keys() {
        state.parked.extend(keyspace::position(&key.map_err(|e| shared.engine(e))?));
    }
    state.rules = rulebook::read(shared)?.iter().map(|r| r.from).collect();
    segments(shared, &mut state)?;
    newest_lines(shared, &mut state)?;
    catalog.set_last(state.fold.last);
    shared.committed.send_replace(state.fold.last);
    *shared.state.write() = state;
    *shared.catalog.write() = catalog;
    Ok(())
}

fn check_format(shared: &Shared) -> Result<(), Error> {
    let get = shared.tree.get(keyspace::FORMAT).map_err(|e| shared.engine(e))?;
    match get.map(|bytes| <[u8; 4]>::try_from(&*bytes)) {
        Some(Ok(bytes)) => match u32::from_be_bytes(bytes) {
            FORMAT => Ok(()),
            0 => Err(Error::Foreign(shared.dir.clone())),
            found => Err(Error::Newer { dir: shared.dir.clone(), found, reads: FORMAT }),
        },
        None if shared.tree.is_empty() => {
            let mut batch = Batch::default();
            batch.insert(keyspace::FORMAT, &FORMAT.to_be_bytes());
            batch.insert(keyspace::FOLD, record::encode(&Fold::default()));
            shared.write(batch)
        }
        Some(Err(_)) | None => Err(Error::Foreign(shared.dir.clone())),
    }
}

fn fold(shared: &Shared) -> Result<Fold, Error> {
    let what = || "the state of the fold".to_owned();
    let bytes = shared.tree.get(keyspace::FOLD).map_err(|e| shared.engine(e))?;
    record::decode(&bytes.unwrap_or_default(), what)
}

fn keys_and_scopes(shared: &Shared, state: &mut State, catalog: &mut Catalog) -> Result<(), Error> {
    let retention = &shared.options.retention;
    let mut loading = Loading::default();
    for entry in shared.tree.scan_prefix([keyspace::LEDGER]).rev() {
        let (key, first) = entry.map_err(|e| shared.engine(e))?;
        let Some(number) = ledger::number(&key) else { continue };
        let bytes = chunks::read(&shared.tree, &key, &first).map_err(|e| shared.engine(e))?;
        let_go(shared, &key)?;
        loading.record(number, &bytes, |entry| {
            let subject = entry.subject();
            let due = match entry {
                Entry::Key(id, key) => {
                    let due = key.as_ref().and_then(|key| due::of_key(key, retention));
                    catalog.put(id, key);
                    due
                }
                Entry::Scope(id, scope) => {
                    let due = scope.as_ref().and_then(|scope| due::of_scope(scope, retention));
                    catalog.put_scope(id, scope);
                    due
                }
            };
            state.redue(subject, None, due);
        })?;
    }
    state.ledger = loading.finish();
    Ok(())
}

/// Looks at a record that was just read until the engine lets go of pages that are beyond its cache. It does so only when one
/// of 256 parts of the cache has counted 64 looks; a scan is one look a page, and all it reads would stay for days.
fn let_go(shared: &Shared, key: &[u8]) -> Result<(), Error> {
    for _ in 0..4 {
        shared.tree.contains_key(key).map_err(|e| shared.engine(e))?;
    }
    Ok(())
}

fn segments(shared: &Shared, state: &mut State) -> Result<(), Error> {
    // Not a scan: it would read all entries for the sake of the heads.
    for number in 0..state.fold.next_segment {
        let head = shared.tree.get(keyspace::segment_head(number)).map_err(|e| shared.engine(e))?;
        if let Some(head) = head {
            state.index.push_segment(Segment::load(&shared.tree, number, &head)?);
        }
    }
    Ok(())
}

/// Rebuilds the tail of the index from the lines behind the sealed ones, and the block that is not full.
fn newest_lines(shared: &Shared, state: &mut State) -> Result<(), Error> {
    let mut from = state.fold.sealed_to.map_or(Some(0), |p| p.to_u64().checked_add(1)).map(Position::from_u64);
    let sealed_to = state.fold.sealed_to;
    while let Some(here) = from {
        let Some((block, bytes)) = shared.block_from(here)? else { break };
        for (row, marks) in block.rows(&bytes, |p| Some(p) > sealed_to)? {
            state.index.push(row.position, marks);
            state.recent.push(row);
        }
        from = block.last().to_u64().checked_add(1).map(Position::from_u64);
    }
    let mut from = state.fold.open;
    while let Some(here) = from {
        let Some((block, bytes)) = shared.block_from(here)? else { break };
        let chunks = chunks::of(&bytes);
        state.open.extend(block.unpacked(&bytes)?.into_iter().map(|line| (line, chunks)));
        from = block.last().to_u64().checked_add(1).map(Position::from_u64);
    }
    Ok(())
}
