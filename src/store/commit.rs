//! One group, one batch, one flush, one sync; then memory follows.

use sled::Batch;

use super::block::{self, Block};
use super::chunks;
use super::due::{self, Subject};
use super::error::Error;
use super::journal::{self, Line};
use super::keyspace;
use super::ledger::{Entry, Moves};
use super::record;
use super::rulebook;
use super::segment::{self, Sealed};
use super::shared::{Shared, State};
use super::staged::{Staged, StagedRow};
use crate::domain::ids::{KeyId, Position};
use crate::domain::stream::Reached;

/// New lines from which on a second thread pays: starting one costs as much as packing about four.
const PARALLEL: usize = 32;

/// Blocks that a commit may remove beyond those that it fills.
const SWEEP: usize = 16;

/// What a commit did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// Keys whose record was written or removed, in the order of their ids.
    pub keys: Vec<KeyId>,
    /// New journal lines.
    pub rows: usize,
}

/// What the batch does beyond the staged changes themselves, for memory to follow.
#[derive(Default)]
struct Written {
    open: Vec<(Line, u16)>,
    ledger: Moves,
    sealed: Vec<Sealed>,
    dropped: Vec<u32>,
    swept: Option<Position>,
}

/// Writes the group for good.
pub(super) fn commit(shared: &Shared, mut staged: Staged, reached: Reached) -> Result<Committed, Error> {
    shared.check()?;
    let mut batch = Batch::default();
    let mut written = Written::default();
    {
        let state = shared.state.read();
        if staged.base != state.fold.added {
            return Err(Error::Outdated);
        }
        staged.fold.published = staged.published.max(state.fold.published);
        staged.fold.reached = Some(reached);
        let spent = std::mem::take(&mut staged.spent);
        let packed = beside(
            staged.rows.len() >= PARALLEL,
            || {
                drop(spent);
                pack(&staged.rows, &state)
            },
            || {
                records(shared, &staged, &state, &mut batch, &mut written);
                index(shared, &staged, &state, &mut batch, &mut written)
            },
        );
        let (packed, indexed) = packed;
        indexed?;
        lines(packed, &mut staged, &mut batch, &mut written);
        sweep(shared, &staged, &state, &mut batch, &mut written)?;
        rulebook::write(shared, &staged, &mut batch)?;
    }
    batch.insert(keyspace::FOLD, record::encode(&staged.fold));
    shared.write(batch)?;
    Ok(follow(shared, staged, written))
}

/// Does both at the same time, on two threads, where `parallel` says that it pays.
fn beside<A: Send, B>(parallel: bool, there: impl FnOnce() -> A + Send, here: impl FnOnce() -> B) -> (A, B) {
    if !parallel {
        return (there(), here());
    }
    std::thread::scope(|scope| {
        let there = scope.spawn(there);
        let here = here();
        (there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), here)
    })
}

/// The new lines as they go to the disk.
struct Packed {
    blocks: Vec<FullBlock>,
    /// Lines behind the last full block, with the chunks in which they stand alone already; none for a new one.
    open: Vec<(Line, u16)>,
}

/// A block that the group fills.
struct FullBlock {
    /// Its lines, with the chunks in which they stood alone.
    lines: Vec<(Position, u16)>,
    bytes: Vec<u8>,
}

/// Encodes the new lines and packs those that fill a block. No more than memory is touched.
fn pack(rows: &[StagedRow], state: &State) -> Packed {
    let mut packed = Packed { blocks: Vec::with_capacity(rows.len() / block::LINES + 1), open: state.open.clone() };
    for new in rows {
        packed.open.push((journal::encode(&new.row, &new.marks), 0));
        if block::is_full(packed.open.iter().map(|(line, _)| line)) {
            let bytes = block::encode(packed.open.iter().map(|(line, _)| line));
            let lines = packed.open.drain(..).map(|(line, alone)| (line.position, alone)).collect();
            packed.blocks.push(FullBlock { lines, bytes });
        }
    }
    packed
}

/// Writes the new lines: as blocks where they fill them, else each alone.
fn lines(packed: Packed, staged: &mut Staged, batch: &mut Batch, written: &mut Written) {
    let Packed { blocks, mut open } = packed;
    for FullBlock { lines, bytes } in blocks {
        let start = lines[0].0;
        let len = chunks::write(batch, &keyspace::journal(start), &bytes);
        for (position, chunks) in lines {
            let from = if position == start { len } else { 0 };
            chunks::remove(batch, &keyspace::journal(position), from, chunks);
        }
    }
    for (line, chunks) in open.iter_mut().filter(|(_, chunks)| *chunks == 0) {
        *chunks = chunks::write(batch, &keyspace::journal(line.position), &block::encode([&*line]));
    }
    staged.fold.open = open.first().map(|(line, _)| line.position);
    written.open = open;
}

fn records(shared: &Shared, staged: &Staged, state: &State, batch: &mut Batch, written: &mut Written) {
    let scopes = staged.scopes.iter().map(|(id, scope)| Entry::Scope(*id, scope.clone()));
    let mut changed: Vec<Entry> =
        staged.keys.iter().map(|(id, key)| Entry::Key(*id, key.clone())).chain(scopes).collect();
    changed.sort_unstable_by_key(Entry::subject);
    written.ledger = state.ledger.write(batch, &shared.catalog.read(), changed);
    for (position, parked) in &staged.parked {
        let key = keyspace::parked(*position);
        if *parked {
            batch.insert(&key, &[]);
        } else {
            batch.remove(&key);
        }
    }
}

/// Seals what is full, and drops the segments none of whose lines is left.
fn index(
    shared: &Shared,
    staged: &Staged,
    state: &State,
    batch: &mut Batch,
    written: &mut Written,
) -> Result<(), Error> {
    let mut from = None;
    for (last, number) in staged.seals.iter().zip(staged.fold.next_segment - staged.seals.len() as u32..) {
        let new = staged.rows.iter().map(|r| (r.row.position, &r.marks));
        let here = state.index.tail().chain(new).filter(|(p, _)| from < Some(*p) && p <= last);
        written.sealed.push(segment::seal(number, here));
        from = Some(*last);
    }
    written.sealed.retain(|segment| {
        let kept = is_kept(staged, state, segment.span.first, segment.span.last);
        if kept {
            segment.write(batch);
        }
        kept
    });
    for old in state.index.segments() {
        if !is_kept(staged, state, old.span.first, old.span.last) {
            old.remove(&shared.tree, batch).map_err(|e| shared.engine(e))?;
            written.dropped.push(old.number);
        }
    }
    Ok(())
}

/// Whether any line of a span is kept.
fn is_kept(staged: &Staged, state: &State, first: Position, last: Position) -> bool {
    let stored = || state.parked.range(first..=last).any(|p| staged.parked.get(p).copied().unwrap_or(true));
    let new = || staged.parked.range(first..=last).any(|(_, parked)| *parked);
    last >= staged.fold.oldest || stored() || new()
}

/// Removes blocks none of whose lines is kept. Only sealed ones: a start rebuilds the tail of the index from the others, and
/// must find the same lines there as this process.
fn sweep(
    shared: &Shared,
    staged: &Staged,
    state: &State,
    batch: &mut Batch,
    written: &mut Written,
) -> Result<(), Error> {
    let gone = |block: &Block| block.last() < staged.fold.oldest && Some(block.last()) <= state.fold.sealed_to;
    let mut remove = |block: &Block, bytes: &[u8]| {
        if !is_kept(staged, state, block.first(), block.last()) {
            let key = keyspace::journal(block.first());
            chunks::remove(batch, &key, 0, chunks::of(bytes));
        }
    };
    let mut from = state.swept;
    for _ in 0..SWEEP + staged.rows.len() / 4 {
        if from >= staged.fold.oldest {
            break;
        }
        let Some((block, bytes)) = shared.block_from(from)?.filter(|(block, _)| gone(block)) else { break };
        remove(&block, &bytes);
        from = Position::from_u64(block.last().to_u64() + 1);
    }
    written.swept = Some(from);
    // What a parked mark has kept so far.
    for (position, _) in staged.parked.iter().filter(|(p, parked)| !**parked && **p < state.swept) {
        if let Some((block, bytes)) = shared.block_from(*position)?.filter(|(block, _)| gone(block)) {
            remove(&block, &bytes);
        }
    }
    Ok(())
}

/// Memory follows the disk.
fn follow(shared: &Shared, staged: Staged, written: Written) -> Committed {
    let retention = &shared.options.retention;
    let mut done = Committed { rows: staged.rows.len(), ..Committed::default() };
    let mut due = Vec::with_capacity(staged.keys.len());
    // One lock at a time: a reader of the catalog may go on to the journal.
    let mut catalog = shared.catalog.write();
    for (id, scope) in staged.scopes {
        let before = catalog.scope(id).and_then(|s| due::of_scope(s, retention));
        due.push((Subject::Scope(id), before, scope.as_ref().and_then(|s| due::of_scope(s, retention))));
        catalog.put_scope(id, scope);
    }
    for (id, key) in staged.keys {
        let after = key.as_ref().and_then(|k| due::of_key(k, retention));
        let before = catalog.put(id, key).and_then(|k| due::of_key(&k, retention));
        due.push((Subject::Key(id), before, after));
        done.keys.push(id);
    }
    catalog.set_last(staged.fold.last);
    drop(catalog);
    done.keys.sort_unstable();
    let mut state = shared.state.write();
    for (subject, before, after) in due {
        state.redue(subject, before, after);
    }
    for new in staged.rows {
        state.index.push(new.row.position, new.marks);
        state.recent.push(new.row);
    }
    for segment in written.sealed {
        state.index.push_segment(segment.into_memory());
    }
    if let Some(sealed_to) = staged.fold.sealed_to {
        state.index.trim(sealed_to);
    }
    state.index.drop_segments(&written.dropped);
    for (position, parked) in staged.parked {
        if parked {
            state.parked.insert(position);
        } else {
            state.parked.remove(&position);
        }
    }
    state.ledger.follow(written.ledger);
    state.open = written.open;
    state.swept = written.swept.unwrap_or(state.swept);
    state.ahead = staged.ahead;
    state.rules.retain(|from| !staged.rules_gone.contains(from));
    state.rules.extend(staged.rules.iter().map(|r| r.from));
    state.fold = staged.fold;
    let last = state.fold.last;
    drop(state);
    shared.committed.send_replace(last);
    let mut by_mark = staged.by_mark;
    by_mark.clear();
    *shared.scratch.lock() = by_mark;
    done
}
