//! Stored form of records. Every value begins with its version and decodes through a chain, so that a folder written by
//! an older version opens.

use std::cell::RefCell;
use std::sync::LazyLock;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

use super::Error;
use crate::domain::ids::Position;
use crate::domain::row::{Entry, Own, Recorded, Row};
use crate::domain::time::Time;

/// Version of all records so far.
const V1: u8 = 1;

const EVENT: u8 = 0;
const OWN: u8 = 1;

/// Words that events and decisions are full of. Belongs to version 1 of journal lines: a changed one is a new version.
static WORDS: &[u8] = include_bytes!("journal.dict");
static ENCODER: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(WORDS, LEVEL));
static DECODER: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(WORDS));

/// Fast: what it saves on disk it saves in sled as well.
const LEVEL: i32 = 1;

/// No journal line is larger; guards against a damaged length.
const MOST: usize = 256 << 20;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A journal line without what its key says.
#[derive(Serialize, Deserialize)]
struct OwnLine {
    stream_time: Time,
    own: Own,
    marks: Vec<u64>,
}

/// Stored form of a journal line. `marks` are kept for our own messages only; other lines tell theirs.
pub fn encode_row(row: &Row, marks: &[u64]) -> Result<Vec<u8>, Error> {
    match &row.entry {
        Entry::Own(own) => {
            let line = OwnLine { stream_time: row.stream_time, own: *own, marks: marks.to_vec() };
            Ok(postcard::to_extend(&line, vec![V1, OWN])?)
        }
        Entry::Event(recorded) => {
            let head = postcard::to_extend(&row.stream_time, vec![V1, EVENT])?;
            let mut plain = postcard::to_extend(recorded.as_ref(), Vec::with_capacity(1024 + recorded.payload.len()))?;
            plain.extend_from_slice(&recorded.payload);
            let mut value = postcard::to_extend(&(plain.len() as u64), head)?;
            value.extend_from_slice(&compress(&plain)?);
            Ok(value)
        }
    }
}

/// Reads a journal line, and the marks kept with it.
pub fn decode_row(position: Position, value: &[u8]) -> Result<(Row, Vec<u64>), Error> {
    let (stream_time, rest) = match value {
        [V1, OWN, rest @ ..] => {
            let line: OwnLine = postcard::from_bytes(rest)?;
            let row = Row { position, stream_time: line.stream_time, entry: Entry::Own(line.own) };
            return Ok((row, line.marks));
        }
        [V1, EVENT, rest @ ..] => postcard::take_from_bytes::<Time>(rest)?,
        _ => return Err(unknown("journal line", value)),
    };
    let (length, frame) = postcard::take_from_bytes::<u64>(rest)?;
    let plain = decompress(frame, usize::try_from(length).unwrap_or(usize::MAX))?;
    let (mut recorded, payload) = postcard::take_from_bytes::<Recorded>(&plain)?;
    let start = plain.len() - payload.len();
    recorded.payload = Bytes::from(plain).slice(start..);
    Ok((Row { position, stream_time, entry: Entry::Event(Box::new(recorded)) }, Vec::new()))
}

/// When the stream took a journal line, without reading the rest.
pub fn stream_time(value: &[u8]) -> Result<Time, Error> {
    match value {
        [V1, OWN | EVENT, rest @ ..] => Ok(postcard::take_from_bytes::<Time>(rest)?.0),
        _ => Err(unknown("journal line", value)),
    }
}

/// Stored form of any other record.
pub fn encode<T: Serialize>(record: &T) -> Result<Vec<u8>, Error> {
    Ok(postcard::to_extend(record, vec![V1])?)
}

/// Reads any other record.
pub fn decode<T: DeserializeOwned>(what: &str, value: &[u8]) -> Result<T, Error> {
    match value {
        [V1, rest @ ..] => Ok(postcard::from_bytes(rest)?),
        _ => Err(unknown(what, value)),
    }
}

fn unknown(what: &str, value: &[u8]) -> Error {
    Error::Broken(format!("{what} of unknown version {:?}", value.first()))
}

fn compress(plain: &[u8]) -> Result<Vec<u8>, Error> {
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(compressor) => compressor,
            None => slot.insert(Compressor::with_prepared_dictionary(&ENCODER)?),
        };
        Ok(compressor.compress(plain)?)
    })
}

fn decompress(frame: &[u8], length: usize) -> Result<Vec<u8>, Error> {
    if length > MOST {
        return Err(Error::Broken(format!("a journal line claims {length} bytes")));
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(decompressor) => decompressor,
            None => slot.insert(Decompressor::with_prepared_dictionary(&DECODER)?),
        };
        Ok(decompressor.decompress(frame, length)?)
    })
}
