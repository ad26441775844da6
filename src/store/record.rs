//! Stored records: a version byte, then a form that this version alone defines. Decoding goes through a chain, newest first.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::Error;
use crate::domain::ids::Position;
use crate::domain::stream::Reached;

/// A record that is stored under one key of its own.
pub trait Record: Serialize + DeserializeOwned {
    /// The version written.
    const VERSION: u8;

    /// Reads what `version` wrote; none for a version that never was.
    ///
    /// When the form changes, the old struct stays beside the new one and gets an arm here that converts it.
    fn read(version: u8, body: &[u8]) -> Option<postcard::Result<Self>> {
        (version == Self::VERSION).then(|| postcard::from_bytes(body))
    }
}

impl Record for Fold {
    const VERSION: u8 = 1;
}

/// Encodes a record with its version byte.
pub fn encode<T: Record>(record: &T) -> Vec<u8> {
    let start = vec![T::VERSION];
    // Writing to memory fails for no type without a length-less sequence, and no record has one.
    postcard::to_extend(record, start).unwrap_or_default()
}

/// Decodes a record; `what` names it in the error.
pub fn decode<T: Record>(bytes: &[u8], what: impl FnOnce() -> String) -> Result<T, Error> {
    let problem = match bytes.split_first() {
        None => "it is empty".to_owned(),
        Some((version, body)) => match T::read(*version, body) {
            None => return Err(Error::version(what(), *version, T::VERSION)),
            Some(Ok(record)) => return Ok(record),
            Some(Err(e)) => e.to_string(),
        },
    };
    Err(Error::Corrupt { what: what(), problem })
}

/// How far the fold is: everything that is one value for the whole store.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Fold {
    /// The number of the next new issue.
    pub next_number: u64,
    /// Lines ever written.
    pub added: u64,
    /// Lines in the journal now.
    pub kept: u64,
    /// Retention has taken all lines before this one that are not parked.
    pub oldest: Position,
    /// The first of the lines whose block is not full; none where there are no such lines.
    pub open: Option<Position>,
    /// Lines ever written whose marks are in a segment of the index, removed segments included.
    pub sealed: u64,
    /// The last of them.
    pub sealed_to: Option<Position>,
    /// The number of the next segment.
    pub next_segment: u32,
    /// The last line.
    pub last: Option<Position>,
    /// How far the stream has been folded.
    pub reached: Option<Reached>,
    /// All effects of the lines up to this one are done.
    pub published: Option<Position>,
}

impl Default for Fold {
    fn default() -> Fold {
        Fold {
            next_number: 1,
            added: 0,
            kept: 0,
            oldest: Position::from_u64(0),
            open: None,
            sealed: 0,
            sealed_to: None,
            next_segment: 0,
            last: None,
            reached: None,
            published: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_say_which_version_they_are() {
        let fold = Fold { next_number: 7, last: Some(Position::new(3, 1)), ..Fold::default() };
        let mut bytes = encode(&fold);
        assert_eq!(bytes[0], 1);
        assert_eq!(decode::<Fold>(&bytes, String::new).unwrap(), fold);
        bytes[0] = 9;
        let error = decode::<Fold>(&bytes, || "the state of the fold".into()).unwrap_err().to_string();
        assert_eq!(error, "the state of the fold has version 9, this Shipwatch reads up to 1");
        bytes[0] = 0;
        let error = decode::<Fold>(&bytes, || "the state of the fold".into()).unwrap_err().to_string();
        assert_eq!(error, "the state of the fold cannot be read: version 0 is unknown");
        assert!(decode::<Fold>(&[], String::new).is_err());
    }
}
