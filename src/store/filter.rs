//! A Bloom filter over the marks of one index segment: 16 bits a mark, one cache line a look-up.
//!
//! Our own and not a library's, because its bytes are stored: a library that changes how it spreads bits would make old
//! filters deny what they hold, and a duplicate would count twice.

const BITS_PER_MARK: usize = 16;
const WORDS: usize = 8;

/// Says "not here" for sure, or "maybe".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    blocks: Vec<[u64; WORDS]>,
}

/// A mark, prepared for any number of filters.
#[derive(Clone, Copy)]
pub struct Probe {
    mark: u64,
    /// Seven bits of the 512 of a block.
    bits: [u64; WORDS],
}

impl Probe {
    /// Prepares a mark.
    pub fn of(mark: u64) -> Probe {
        let spread = xxhash_rust::xxh3::xxh3_64_with_seed(&mark.to_le_bytes(), 5);
        let mut bits = [0; WORDS];
        for n in 0..7 {
            let bit = (spread >> (9 * n)) as usize & 511;
            bits[bit / 64] |= 1 << (bit % 64);
        }
        Probe { mark, bits }
    }

    /// The mark.
    pub fn mark(&self) -> u64 {
        self.mark
    }
}

impl Filter {
    /// A filter that holds these marks; `count` of them at most.
    pub fn of(count: usize, marks: impl Iterator<Item = u64>) -> Filter {
        let blocks = (count * BITS_PER_MARK).div_ceil(64 * WORDS).max(1);
        let mut filter = Filter { blocks: vec![[0; WORDS]; blocks] };
        for mark in marks {
            let probe = Probe::of(mark);
            let block = filter.block(&probe);
            for (word, bits) in filter.blocks[block].iter_mut().zip(probe.bits) {
                *word |= bits;
            }
        }
        filter
    }

    /// Whether the mark may be here.
    pub fn maybe(&self, probe: &Probe) -> bool {
        let block = &self.blocks[self.block(probe)];
        block.iter().zip(probe.bits).fold(0, |missing, (word, bits)| missing | (bits & !word)) == 0
    }

    fn block(&self, probe: &Probe) -> usize {
        ((u128::from(probe.mark) * self.blocks.len() as u128) >> 64) as usize
    }

    /// The stored form.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.blocks.iter().flatten().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Reads the stored form; none where it is not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Filter> {
        let (blocks, rest) = bytes.as_chunks::<{ 8 * WORDS }>();
        let word = |block: &[u8; 8 * WORDS], n: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&block[8 * n..8 * n + 8]);
            u64::from_le_bytes(word)
        };
        let blocks: Vec<_> = blocks.iter().map(|block| std::array::from_fn(|n| word(block, n))).collect();
        (rest.is_empty() && !blocks.is_empty()).then_some(Filter { blocks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(n: u32) -> u64 {
        xxhash_rust::xxh3::xxh3_64(&n.to_le_bytes())
    }

    #[test]
    fn denies_nothing_it_holds_and_most_of_what_it_does_not() {
        let filter = Filter::of(50_000, (0..50_000).map(mark));
        let filter = Filter::from_bytes(&filter.to_bytes()).unwrap();
        assert!((0..50_000).all(|n| filter.maybe(&Probe::of(mark(n)))));
        let wrong = (50_000..150_000).filter(|n| filter.maybe(&Probe::of(mark(*n)))).count();
        assert!(wrong < 400, "{wrong} of 100000");
        assert!(!Filter::of(0, std::iter::empty()).maybe(&Probe::of(1)));
        assert!(Filter::from_bytes(&[0; 65]).is_none());
        assert!(Filter::from_bytes(&[]).is_none());
    }

    #[test]
    fn the_stored_form_does_not_change() {
        let bytes = Filter::of(100, (0..100).map(mark)).to_bytes();
        assert_eq!(
            xxhash_rust::xxh3::xxh3_64(&bytes),
            0x0509_d415_9af5_ad46,
            "a new form needs a new version of segments"
        );
    }
}
