//! Lists of issues that were just written, for those who ask again before anything has changed.

use axum::body::Bytes;
use parking_lot::Mutex;

/// Lists kept.
const KEPT: usize = 32;

/// Longer lists are made anew each time.
const LONGEST: usize = 128 << 10;

/// Bodies of lists by the query string that asked for them. A list holds for one version of the catalogue.
#[derive(Debug, Default)]
pub struct Pages {
    kept: Mutex<Vec<Kept>>,
}

#[derive(Debug)]
struct Kept {
    query: String,
    version: u64,
    body: Bytes,
}

impl Pages {
    /// The body made for the same question of the same version.
    pub fn get(&self, query: &str, version: u64) -> Option<Bytes> {
        let kept = self.kept.lock();
        kept.iter().find(|k| k.version == version && k.query == query).map(|k| k.body.clone())
    }

    /// Keeps a body, in place of one that no longer holds or else the one that was made first.
    pub fn keep(&self, query: &str, version: u64, body: &Bytes) {
        if body.len() > LONGEST {
            return;
        }
        let mut kept = self.kept.lock();
        kept.retain(|k| k.query != query && k.version == version);
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push(Kept { query: query.to_owned(), version, body: body.clone() });
    }
}
