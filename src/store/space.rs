//! One sled tree, keys by prefix, large values in pieces.
//!
//! sled writes pages over about 128 kB to files that it never syncs, so no value is larger than [`PIECE`].

use sled::{Batch, IVec, Tree};

use super::Error;

/// Keyspaces. The order is the order of a dump.
pub const META: u8 = b'A';
pub const SCOPES: u8 = b'B';
pub const KEYS: u8 = b'C';
pub const JOURNAL: u8 = b'D';
pub const PARKED: u8 = b'E';
pub const POSTINGS: u8 = b'F';
pub const SEGMENTS: u8 = b'G';
const PIECES: u8 = b'Z';

/// Bytes of the largest value.
const PIECE: usize = 7000;

const WHOLE: u8 = 0;
const PARTED: u8 = 1;

/// A key in a keyspace.
pub fn key(space: u8, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(1 + rest.len());
    key.push(space);
    key.extend_from_slice(rest);
    key
}

fn piece_key(of: &[u8], index: u16) -> Vec<u8> {
    let mut key = key(PIECES, of);
    key.extend_from_slice(&index.to_be_bytes());
    key
}

/// Adds a value to the batch, in pieces where it is large. `replaces` is what stood there, whose pieces go.
pub fn put(batch: &mut Batch, key: &[u8], value: &[u8], replaces: Option<&IVec>) {
    let old = replaces.map_or(0, pieces);
    if value.len() < PIECE {
        let mut whole = Vec::with_capacity(1 + value.len());
        whole.push(WHOLE);
        whole.extend_from_slice(value);
        batch.insert(key, whole);
        drop_pieces(batch, key, 0, old);
        return;
    }
    let count = value.len().div_ceil(PIECE) as u16;
    for (index, piece) in value.chunks(PIECE).enumerate() {
        batch.insert(piece_key(key, index as u16), piece);
    }
    let mut head = vec![PARTED];
    head.extend_from_slice(&count.to_be_bytes());
    batch.insert(key, head);
    drop_pieces(batch, key, count, old);
}

/// Removes a value and its pieces.
pub fn remove(batch: &mut Batch, key: &[u8], stored: &IVec) {
    batch.remove(key);
    drop_pieces(batch, key, 0, pieces(stored));
}

fn drop_pieces(batch: &mut Batch, key: &[u8], from: u16, to: u16) {
    for index in from..to {
        batch.remove(piece_key(key, index));
    }
}

/// Pieces of a stored value; 0 where it is whole.
fn pieces(stored: &IVec) -> u16 {
    match stored.as_ref() {
        [PARTED, high, low] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}

/// The value behind what is stored under `key`.
pub fn whole(tree: &Tree, key: &[u8], stored: IVec) -> Result<IVec, Error> {
    match stored.first() {
        Some(&WHOLE) => Ok(stored.subslice(1, stored.len() - 1)),
        Some(&PARTED) => {
            let mut value = Vec::new();
            for index in 0..pieces(&stored) {
                let piece = tree.get(piece_key(key, index))?;
                value.extend_from_slice(
                    &piece.ok_or_else(|| Error::Broken("a piece of a large value is missing".into()))?,
                );
            }
            Ok(value.into())
        }
        _ => Err(Error::Broken("a value has no form".into())),
    }
}

/// Reads a value.
pub fn get(tree: &Tree, key: &[u8]) -> Result<Option<IVec>, Error> {
    tree.get(key)?.map(|stored| whole(tree, key, stored)).transpose()
}

/// All keys and values of a keyspace, in order, large values put together.
pub fn scan(tree: &Tree, space: u8) -> impl DoubleEndedIterator<Item = Result<(IVec, IVec), Error>> + '_ {
    tree.scan_prefix([space]).map(move |entry| {
        let (key, stored) = entry?;
        let value = whole(tree, &key, stored)?;
        Ok((key, value))
    })
}
