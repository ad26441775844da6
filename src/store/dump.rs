//! The whole store as text, in key order. Two stores that folded the same stream give the same text.

use std::io::{self, Write};

use serde_json::json;

use super::space::{self, KEYS, SCOPES};
use super::{Reader, record};
use crate::domain::issue::{KeyState, ScopeState};
use crate::domain::row::Entry;

/// Writes every keyspace, one JSON line per record. Left out: how far the outbox is and the index segments, which depend
/// on timing or say nothing new.
///
/// # Errors
/// Where the store cannot be read or `out` cannot be written.
pub fn dump(reader: &Reader, out: &mut impl Write) -> io::Result<()> {
    let shared = reader.shared();
    let meta = shared.meta.read().clone();
    let line = |out: &mut dyn Write, space: &str, key: &str, value: serde_json::Value| {
        writeln!(out, "{}", json!({ "space": space, "key": key, "value": value }))
    };
    line(out, "meta", "format", json!(meta.format))?;
    line(out, "meta", "sequence", json!(meta.reached.as_ref().map(|r| r.sequence)))?;
    line(out, "meta", "nextNumber", json!(meta.next_number))?;
    line(out, "meta", "lines", json!(meta.lines))?;
    line(out, "meta", "parked", json!(meta.parked))?;
    let failed = |e: super::Error| io::Error::other(e.to_string());
    for entry in space::scan(&shared.tree, SCOPES) {
        let (key, value) = entry.map_err(failed)?;
        let state: ScopeState = record::decode("scope", &value).map_err(failed)?;
        line(out, "scopes", &super::uuid_of(&key).map_err(failed)?.to_string(), serde_json::to_value(state)?)?;
    }
    for entry in space::scan(&shared.tree, KEYS) {
        let (key, value) = entry.map_err(failed)?;
        let state: KeyState = record::decode("key", &value).map_err(failed)?;
        line(out, "keys", &super::uuid_of(&key).map_err(failed)?.to_string(), serde_json::to_value(state)?)?;
    }
    for row in reader.journal(None, false) {
        let row = row.map_err(failed)?;
        let value = match &row.entry {
            Entry::Own(own) => json!({ "streamTime": row.stream_time, "own": own }),
            Entry::Event(r) => json!({
                "streamTime": row.stream_time, "recorded": r.as_ref(), "payload": String::from_utf8_lossy(&r.payload),
            }),
        };
        line(out, "journal", &row.position.to_string(), value)?;
    }
    for position in reader.parked() {
        line(out, "parked", &position.map_err(failed)?.to_string(), json!(null))?;
    }
    Ok(())
}
