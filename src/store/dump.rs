//! The whole store as text, in key order: what snapshots hold, and by which two stores are compared.
//!
//! One JSON object a line. Left out is what depends on timing and not on the stream: how far publishing is. The creation time
//! of the stream has a line of its own, to be cut off where two streams with the same content are compared.

use std::io::{self, Write};

use base64::Engine as _;
use serde_json::{Value, json};

use super::error::Error;
use super::keyspace;
use super::reader::{Direction, Reader};
use super::record::Fold;
use super::segment::Segment;
use crate::domain::row::{Entry, Row};

impl Reader {
    /// Writes the whole store as text.
    ///
    /// # Errors
    /// When the store cannot be read, or `out` cannot be written.
    pub fn dump(&self, out: &mut impl Write) -> Result<(), Error> {
        let failed = |e| Error::folder(self.dir(), "write its dump", e);
        for row in self.journal(.., Direction::Forward) {
            let row = row?;
            line(out, "row", row.position.to_string(), line_of(&row)).map_err(failed)?;
        }
        let catalog = self.catalog();
        let mut keys: Vec<_> = catalog.keys().collect();
        keys.sort_unstable();
        for (id, state) in keys.into_iter().filter_map(|id| Some((id, catalog.get(id)?))) {
            line(out, "key", id.to_string(), json!(*state)).map_err(failed)?;
        }
        self.dump_fold(out).map_err(failed)?;
        for position in self.parked() {
            line(out, "parked", position.to_string(), Value::Null).map_err(failed)?;
        }
        for rules in self.rules()? {
            let names: Vec<&str> = rules.files.iter().map(|(name, _)| name.as_str()).collect();
            line(out, "rules", rules.from.to_string(), json!({"hash": rules.hash, "files": names})).map_err(failed)?;
        }
        let mut scopes: Vec<_> = catalog.scopes().collect();
        scopes.sort_unstable_by_key(|(id, _)| *id);
        for (id, state) in scopes {
            line(out, "scope", id.to_string(), json!(**state)).map_err(failed)?;
        }
        for segment in self.segments() {
            line(out, "segment", segment.number.to_string(), self.segment(&segment)?).map_err(failed)?;
        }
        Ok(())
    }

    fn dump_fold(&self, out: &mut impl Write) -> io::Result<()> {
        // Taken apart, so that a new field cannot be left out.
        let Fold {
            next_number,
            added,
            kept,
            oldest,
            open,
            sealed,
            sealed_to,
            next_segment,
            last,
            reached,
            published: _,
        } = self.progress();
        let position = |p: Option<crate::domain::ids::Position>| p.map(|p| p.to_string());
        let created = reached.as_ref().map(|r| r.stream.created);
        let reached = reached.map(
            |r| json!({"stream": r.stream.name, "sequence": r.sequence, "base": r.base, "newest": r.time.to_string()}),
        );
        let fold = json!({
            "nextNumber": next_number, "added": added, "kept": kept, "oldest": oldest.to_string(),
            "open": position(open), "sealed": sealed, "sealedTo": position(sealed_to),
            "nextSegment": next_segment, "last": position(last), "reached": reached,
        });
        line(out, "fold", String::new(), fold)?;
        match created {
            Some(created) => line(out, "created", String::new(), json!(created)),
            None => Ok(()),
        }
    }

    /// What a segment holds, and a hash over all its bytes.
    fn segment(&self, segment: &Segment) -> Result<Value, Error> {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for entry in self.scan(&keyspace::segment(segment.number)) {
            let (key, value) = entry?;
            hash.update(&key);
            hash.update(&value);
        }
        let span = segment.span;
        let (first, last) = (span.first.to_string(), span.last.to_string());
        Ok(json!({"first": first, "last": last, "entries": span.entries, "hash": format!("{:016x}", hash.digest())}))
    }
}

fn line(out: &mut impl Write, space: &str, id: String, value: Value) -> io::Result<()> {
    let value = match value {
        Value::Null => json!({space: id}),
        value if id.is_empty() => json!({space: value}),
        value => json!({space: id, "value": value}),
    };
    writeln!(out, "{value}")
}

fn line_of(row: &Row) -> Value {
    let mut value = match &row.entry {
        Entry::Own(own) => json!({"own": own}),
        Entry::Event(recorded) => {
            let payload = match serde_json::from_slice(&recorded.payload) {
                Ok(Value::Object(json)) => Value::Object(json),
                _ => match std::str::from_utf8(&recorded.payload) {
                    Ok(text) => Value::from(text),
                    Err(_) => {
                        json!({"base64": base64::engine::general_purpose::STANDARD.encode(&recorded.payload)})
                    }
                },
            };
            json!({"event": **recorded, "payload": payload})
        }
    };
    value["streamTime"] = json!(row.stream_time);
    value
}
