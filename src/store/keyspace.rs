//! The keys of the one tree. The first byte says which keyspace; what follows is ordered as it is read.
//!
//! | byte | keyspace | key | value |
//! |---|---|---|---|
//! | `j` | journal | position of the first line | lines, see [`super::block`] |
//! | `k` | keys and scopes | number in the order of writing | the newest `KeyState` and `ScopeState`, see [`super::ledger`] |
//! | `m` | meta | name | format, state of the fold |
//! | `p` | parked | position | nothing |
//! | `r` | rule sets | position from which on it holds | see [`super::rulebook`] |
//! | `x` | index segments | number, part, first mark, ordinal | see [`super::segment`] |
//!
//! A value that is too long for one record goes on under the same key with a two-byte number behind it ([`super::chunks`]).

use crate::domain::ids::Position;

pub const JOURNAL: u8 = b'j';
pub const LEDGER: u8 = b'k';
pub const PARKED: u8 = b'p';
pub const RULES: u8 = b'r';
pub const SEGMENTS: u8 = b'x';

/// Which version of this layout the folder has. Written once; never moves, so that every version can read it.
pub const FORMAT: &[u8] = b"mformat";
/// The state of the fold, one record, written by every commit.
pub const FOLD: &[u8] = b"mfold";

/// Length of a journal key without a chunk number.
pub const JOURNAL_LEN: usize = 9;

/// Key of a journal line.
pub fn journal(position: Position) -> [u8; JOURNAL_LEN] {
    numbered(JOURNAL, position)
}

/// Key of a rule set.
pub fn rules(from: Position) -> [u8; JOURNAL_LEN] {
    numbered(RULES, from)
}

/// Key of a parked mark.
pub fn parked(position: Position) -> [u8; JOURNAL_LEN] {
    numbered(PARKED, position)
}

fn numbered(space: u8, position: Position) -> [u8; JOURNAL_LEN] {
    let mut key = [space; JOURNAL_LEN];
    key[1..].copy_from_slice(&position.to_u64().to_be_bytes());
    key
}

/// The position in the key of a journal line or a parked mark, chunk number or not.
pub fn position(key: &[u8]) -> Option<Position> {
    let bytes = key.get(1..JOURNAL_LEN)?.try_into().ok()?;
    Some(Position::from_u64(u64::from_be_bytes(bytes)))
}

/// Key of a record of keys and scopes.
pub fn ledger(number: u64) -> [u8; 9] {
    let mut key = [LEDGER; 9];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// What every key of one index segment begins with.
pub fn segment(number: u32) -> [u8; 5] {
    let mut key = [SEGMENTS; 5];
    key[1..].copy_from_slice(&number.to_be_bytes());
    key
}

/// Key of the header of an index segment; longer keys with the same beginning are its other parts.
pub fn segment_head(number: u32) -> [u8; 6] {
    segment_part(number, 0)
}

/// Key of the filter of an index segment.
pub fn segment_filter(number: u32) -> [u8; 6] {
    segment_part(number, 1)
}

fn segment_part(number: u32, part: u8) -> [u8; 6] {
    let mut key = [part; 6];
    key[..5].copy_from_slice(&segment(number));
    key
}

/// Key of the entries of an index segment from `hash` on. `ordinal` tells apart chunks that begin with the same hash.
pub fn segment_entries(number: u32, hash: u64, ordinal: u32) -> [u8; 18] {
    let mut key = [0; 18];
    key[..6].copy_from_slice(&segment_part(number, 2));
    key[6..14].copy_from_slice(&hash.to_be_bytes());
    key[14..].copy_from_slice(&ordinal.to_be_bytes());
    key
}
