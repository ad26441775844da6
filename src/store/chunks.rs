//! Long values in several records: pages above 128 kB would go to files of their own, which the engine never syncs.
//!
//! The engine keeps up to 17 records in a page, so a record may have 7,000 bytes. The first chunk is under the plain key;
//! chunk `n` under the key with `n` behind it. A chunk that is not full is the last one.

use std::borrow::Cow;

use sled::{Batch, IVec, Tree};

/// Longest value of one record.
pub const CHUNK: usize = 7000;

/// Key of chunk `n`, which is at least 1.
fn key_of(key: &[u8], n: u16) -> Vec<u8> {
    [key, &n.to_be_bytes()].concat()
}

/// Writes `value` under `key` and says in how many chunks.
pub fn write(batch: &mut Batch, key: &[u8], value: &[u8]) -> u16 {
    batch.insert(key, value.get(..CHUNK).unwrap_or(value));
    let mut n = 0;
    let mut rest = value.get(CHUNK..);
    while let Some(value) = rest {
        n += 1;
        batch.insert(key_of(key, n), value.get(..CHUNK).unwrap_or(value));
        rest = value.get(CHUNK..);
    }
    n + 1
}

/// Removes chunks `from..to` of the value under `key`.
pub fn remove(batch: &mut Batch, key: &[u8], from: u16, to: u16) {
    for n in from..to {
        if n == 0 {
            batch.remove(key);
        } else {
            batch.remove(key_of(key, n));
        }
    }
}

/// The whole value, given its first chunk.
pub fn read<'a>(tree: &Tree, key: &[u8], first: &'a IVec) -> sled::Result<Cow<'a, [u8]>> {
    if first.len() < CHUNK {
        return Ok(Cow::Borrowed(first));
    }
    let mut whole = first.to_vec();
    for n in 1.. {
        let Some(next) = tree.get(key_of(key, n))? else { break };
        whole.extend_from_slice(&next);
        if next.len() < CHUNK {
            break;
        }
    }
    Ok(Cow::Owned(whole))
}

/// The number of chunks of a value.
pub fn of(value: &[u8]) -> u16 {
    // A value that fills its last chunk has another one behind it to no harm: removing what is not there does nothing.
    (value.len() / CHUNK) as u16 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_length_come_back_and_go_away() {
        let db = sled::Config::new().temporary(true).open().unwrap();
        for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 1 << 20] {
            let value: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            let mut batch = Batch::default();
            let chunks = write(&mut batch, b"key", &value);
            db.apply_batch(batch).unwrap();
            assert!(db.iter().values().all(|v| v.unwrap().len() <= CHUNK));
            let first = db.get(b"key").unwrap().unwrap();
            assert_eq!(&*read(&db, b"key", &first).unwrap(), &value[..]);
            assert!((chunks..=chunks + 1).contains(&of(&value)), "{len}");
            let mut batch = Batch::default();
            remove(&mut batch, b"key", 0, chunks);
            db.apply_batch(batch).unwrap();
            assert!(db.is_empty());
        }
    }
}
