//! Finds a secret in a text, however it is spelled there, in time that grows with the length of the text alone.
//!
//! A text of `x` and a secret of many `x` and a `y` have the secret begin everywhere. So no beginning is followed by
//! itself: going through the text once, the search keeps for each place the set of all that may have been read of the
//! secret there, as a set of bits that a reading moves by one. Where the secret is complete, the same is done backwards
//! from there to find where it began.

use std::ops::Range;

use super::spelling::{LONGEST, Reading, State, readings};

/// A secret, or the Base64 of one, ready to be looked for.
pub(super) struct Needle {
    length: usize,
    /// Numbers that a set has.
    words: usize,
    last: u8,
    /// For each byte the set of lengths at whose end it may stand.
    places: Vec<Option<Box<[u64]>>>,
    /// Bytes that a spelling of it may begin with.
    opens: [bool; 256],
}

impl Needle {
    /// A needle of bytes, none of them empty. `alike` says whether a byte that was read may be taken for one of the needle.
    pub(super) fn new(bytes: &[u8], alike: fn(u8, u8) -> bool) -> Needle {
        let words = bytes.len() / 64 + 1;
        let set = |read: u8| {
            let mut set = vec![0; words];
            let ends = bytes.iter().zip(1..).filter(|(byte, _)| alike(read, **byte)).map(|(_, length)| length);
            ends.for_each(|length: usize| set[length / 64] |= 1 << (length % 64));
            set.iter().any(|word| *word != 0).then(|| set.into_boxed_slice())
        };
        let places: Vec<_> = (0..=u8::MAX).map(set).collect();
        let first = |byte: u8| places[usize::from(byte)].as_ref().is_some_and(|set| set[0] & 2 != 0);
        let mut opens: [bool; 256] = std::array::from_fn(|byte| first(byte as u8) || b"\\%&".contains(&(byte as u8)));
        opens[usize::from(b'+')] |= first(b' ');
        Needle { length: bytes.len(), words, last: bytes.last().copied().unwrap_or_default(), places, opens }
    }

    /// Where it is in the text, from the left and none in another. Where the text was cut off, the `shortest` or more first
    /// bytes of it count at the end of the text as well.
    pub(super) fn find(&self, text: &[u8], cut: Option<usize>) -> Vec<Range<usize>> {
        let mut ranges = Vec::new();
        let mut read = Window::new(self.words);
        let (mut behind, mut at) = (0, 0);
        while at < text.len() {
            if !self.opens[usize::from(text[at])] && read.is_empty(at) {
                at += 1;
                continue;
            }
            read.insert(at, State::Plain, 0);
            let mut complete = 0;
            readings(text, at, |reading| {
                if read.go_on(self, at, reading) {
                    complete = complete.max(at + reading.length);
                }
            });
            read.clear(at);
            at += 1;
            if complete > 0 {
                let run = text[complete..].iter().take_while(|byte| self.last == b'\\' && **byte == b'\\').count();
                ranges.push(self.start(text, behind..complete, self.length)..complete + run);
                at = complete + run;
                behind = at;
                read = Window::new(self.words);
            }
        }
        let most = [State::Plain, State::Escaping].into_iter().filter_map(|state| read.most(at, state)).max();
        if let Some(most) = most.filter(|most| cut.is_some_and(|shortest| *most >= shortest)) {
            ranges.push(self.start(text, behind..at, most)..at);
        }
        ranges
    }

    /// The first place from which the first `matched` bytes of the needle go on to the end of `within`.
    fn start(&self, text: &[u8], within: Range<usize>, matched: usize) -> usize {
        let mut left = Window::new(self.words);
        left.insert(within.end, State::Plain, matched);
        left.insert(within.end, State::Escaping, matched);
        let mut start = within.end;
        for at in within.rev() {
            left.clear(at);
            readings(text, at, |reading| left.go_back(self, at, reading));
            if left.holds(at, State::Plain, 0) {
                start = at;
            }
            if (at..at + LONGEST).all(|at| left.is_empty(at)) {
                break;
            }
        }
        start
    }
}

/// For some places in a row, what may have been read of a needle there: a set of lengths for each state.
struct Window {
    words: usize,
    bits: Vec<u64>,
    /// Of each set, how many of its numbers may be other than 0.
    used: [usize; LONGEST * 2],
    /// The set at hand.
    hand: Vec<u64>,
}

impl Window {
    fn new(words: usize) -> Window {
        Window { words, bits: vec![0; words * LONGEST * 2], used: [0; LONGEST * 2], hand: vec![0; words] }
    }

    fn is_empty(&self, at: usize) -> bool {
        [State::Plain, State::Escaping].iter().all(|state| self.used[slot(at, *state)] == 0)
    }

    fn insert(&mut self, at: usize, state: State, length: usize) {
        let slot = slot(at, state);
        self.bits[slot * self.words + length / 64] |= 1 << (length % 64);
        self.used[slot] = self.used[slot].max(length / 64 + 1);
    }

    fn holds(&self, at: usize, state: State, length: usize) -> bool {
        self.set(slot(at, state)).get(length / 64).is_some_and(|word| word & (1 << (length % 64)) != 0)
    }

    /// The greatest length of a set.
    fn most(&self, at: usize, state: State) -> Option<usize> {
        let set = self.set(slot(at, state)).iter().enumerate();
        set.rev().find(|(_, word)| **word != 0).map(|(n, word)| n * 64 + word.ilog2() as usize)
    }

    fn clear(&mut self, at: usize) {
        for slot in [slot(at, State::Plain), slot(at, State::Escaping)] {
            let begin = slot * self.words;
            self.bits[begin..begin + self.used[slot]].fill(0);
            self.used[slot] = 0;
        }
    }

    fn set(&self, slot: usize) -> &[u64] {
        &self.bits[slot * self.words..][..self.used[slot]]
    }

    /// Takes what a reading adds to the place that it leads to; whether the needle is complete there.
    fn go_on(&mut self, needle: &Needle, at: usize, reading: Reading<'_>) -> bool {
        let Reading { from, to, length, bytes } = reading;
        let mut used = self.take(slot(at, from));
        if used == 0 {
            return false;
        }
        for byte in bytes {
            let Some(ends) = &needle.places[usize::from(*byte)] else { return false };
            // The greatest length may go over into the next number.
            if let Some(next) = self.hand.get_mut(used) {
                *next = 0;
            }
            let until = (used + 1).min(self.words);
            (used, _) =
                self.hand[..until].iter_mut().zip(ends).zip(1..).fold((0, 0), |(used, carry), ((word, ends), n)| {
                    let over = *word >> 63;
                    *word = (*word << 1 | carry) & ends;
                    (if *word == 0 { used } else { n }, over)
                });
        }
        self.put(slot(at + length, to), used);
        !bytes.is_empty() && self.holds(at + length, to, needle.length)
    }

    /// Takes to a place what a reading from there leads to.
    fn go_back(&mut self, needle: &Needle, at: usize, reading: Reading<'_>) {
        let Reading { from, to, length, bytes } = reading;
        let mut used = self.take(slot(at + length, to));
        for byte in bytes.iter().rev() {
            let Some(ends) = &needle.places[usize::from(*byte)] else { return };
            let most = used;
            used = 0;
            let mut carry = 0;
            for n in (0..most).rev() {
                let word = self.hand[n] & ends[n];
                self.hand[n] = word >> 1 | carry;
                carry = word << 63;
                if self.hand[n] != 0 {
                    used = used.max(n + 1);
                }
            }
        }
        self.put(slot(at, from), used);
    }

    /// Takes a set into the hand; how much of it is used.
    fn take(&mut self, slot: usize) -> usize {
        let used = self.used[slot];
        self.hand[..used].copy_from_slice(&self.bits[slot * self.words..][..used]);
        used
    }

    /// Adds the set in the hand.
    fn put(&mut self, slot: usize, used: usize) {
        let set = &mut self.bits[slot * self.words..][..used];
        set.iter_mut().zip(&self.hand).for_each(|(word, more)| *word |= more);
        self.used[slot] = self.used[slot].max(used);
    }
}

fn slot(at: usize, state: State) -> usize {
    at % LONGEST * 2 + state as usize
}
