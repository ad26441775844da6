//! Compression with a dictionary of typical content, which is what makes small records small.

use std::cell::RefCell;
use std::io;
use std::sync::LazyLock;

use zstd::bulk::{Compressor, Decompressor};
use zstd::dict::{DecoderDictionary, EncoderDictionary};

/// Typical content. What is stored was packed with it: a changed text needs a new version of every packed record, and the old
/// text beside it.
const TYPICAL: &[u8] = include_bytes!("typical.txt");
const LEVEL: i32 = 1;

static PACKING: LazyLock<EncoderDictionary<'static>> = LazyLock::new(|| EncoderDictionary::copy(TYPICAL, LEVEL));
static UNPACKING: LazyLock<DecoderDictionary<'static>> = LazyLock::new(|| DecoderDictionary::copy(TYPICAL));

thread_local! {
    static PACKER: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static UNPACKER: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses.
pub fn pack(plain: &[u8]) -> io::Result<Vec<u8>> {
    PACKER.with_borrow_mut(|slot| {
        let packer = match slot {
            Some(packer) => packer,
            None => slot.insert(Compressor::with_prepared_dictionary(&PACKING)?),
        };
        packer.compress(plain)
    })
}

/// Decompresses to `len` bytes.
pub fn unpack(packed: &[u8], len: usize) -> io::Result<Vec<u8>> {
    UNPACKER.with_borrow_mut(|slot| {
        let unpacker = match slot {
            Some(unpacker) => unpacker,
            None => slot.insert(Decompressor::with_prepared_dictionary(&UNPACKING)?),
        };
        let plain = unpacker.decompress(packed, len)?;
        if plain.len() != len {
            return Err(io::Error::other(format!("{} bytes instead of {len}", plain.len())));
        }
        Ok(plain)
    })
}
