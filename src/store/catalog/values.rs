//! Which issues have which value of a field.
//!
//! A value is found by a 128-bit hash with a seed of this process, so that a value that only one issue has, as most
//! contexts are, costs a few dozen bytes and no allocation.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hasher, RandomState};

use roaring::RoaringBitmap;
use xxhash_rust::xxh3::Xxh3;

use crate::domain::ids::ScopeId;
use crate::domain::issue::Scope;

/// What issues are filtered by, besides words of closed lists, labels and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// `namespace`.
    Namespace,
    /// `resourceType` of the scope.
    ResourceType,
    /// `resourceName` of the scope.
    ResourceName,
    /// `resourceNamespace` of the scope.
    ResourceNamespace,
    /// `check`.
    Check,
    /// `project`.
    Project,
    /// `stage`.
    Stage,
    /// `service`.
    Service,
    /// `keptnContext`.
    Context,
}

/// Tags of what is hashed but is no [`Field`].
const LABEL: u64 = 0x100;
const SCOPE_ID: u64 = 0x101;
const SCOPE: u64 = 0x102;

/// Makes hashes of values that nobody outside can foresee.
#[derive(Debug)]
pub struct Seed(u64);

impl Default for Seed {
    fn default() -> Seed {
        Seed(RandomState::new().build_hasher().finish())
    }
}

impl Seed {
    pub fn of(&self, field: Field, value: &str) -> u128 {
        self.words(field as u64, &[value])
    }

    pub fn of_label(&self, name: &str, value: &str) -> u128 {
        self.words(LABEL, &[name, value])
    }

    pub fn of_scope_id(&self, id: ScopeId) -> u128 {
        let mut hash = Xxh3::with_seed(self.0.wrapping_add(SCOPE_ID));
        hash.update(id.0.as_bytes());
        hash.digest128()
    }

    pub fn of_scope(&self, scope: &Scope) -> u128 {
        self.words(SCOPE, &[&scope.resource_type, &scope.resource_name, &scope.resource_namespace])
    }

    fn words(&self, tag: u64, words: &[&str]) -> u128 {
        let seed = self.0.wrapping_add(tag);
        if let [word] = words {
            return xxhash_rust::xxh3::xxh3_128_with_seed(word.as_bytes(), seed);
        }
        let mut hash = Xxh3::with_seed(seed);
        for word in words {
            hash.update(&(word.len() as u64).to_le_bytes());
            hash.update(word.as_bytes());
        }
        hash.digest128()
    }
}

/// Issues by hash of a value.
#[derive(Debug, Default)]
pub struct Values(HashMap<u128, Posting, Hashed>);

/// The issues with one value.
#[derive(Debug)]
pub enum Posting {
    One(u32),
    Many(Box<RoaringBitmap>),
}

impl Posting {
    pub fn bits(&self) -> Cow<'_, RoaringBitmap> {
        match self {
            Posting::One(slot) => Cow::Owned(RoaringBitmap::from_iter([*slot])),
            Posting::Many(bits) => Cow::Borrowed(bits),
        }
    }
}

impl Values {
    pub fn get(&self, value: u128) -> Option<&Posting> {
        self.0.get(&value)
    }

    pub fn set(&mut self, value: u128, slot: u32) {
        let posting = self.0.entry(value).or_insert(Posting::One(slot));
        match posting {
            Posting::One(one) if *one == slot => {}
            Posting::One(one) => *posting = Posting::Many(Box::new(RoaringBitmap::from_iter([*one, slot]))),
            Posting::Many(bits) => _ = bits.insert(slot),
        }
    }

    pub fn clear(&mut self, value: u128, slot: u32) {
        let gone = match self.0.get_mut(&value) {
            Some(Posting::One(one)) => *one == slot,
            Some(Posting::Many(bits)) => {
                bits.remove(slot);
                bits.is_empty()
            }
            None => false,
        };
        if gone {
            self.0.remove(&value);
        }
    }
}

/// For keys that are hashes already: UUIDv5 and what [`Seed`] makes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hashed;

impl std::hash::BuildHasher for Hashed {
    type Hasher = AsItIs;

    fn build_hasher(&self) -> AsItIs {
        AsItIs(0)
    }
}

#[derive(Clone, Copy, Debug)]
pub struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = self.0.rotate_left(29) ^ u64::from_le_bytes(word);
        }
    }

    fn write_usize(&mut self, _: usize) {
        // The length that a slice puts before itself; it is the same for all keys.
    }

    fn write_u128(&mut self, n: u128) {
        self.0 ^= n as u64;
    }
}
