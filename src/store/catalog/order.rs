//! Issues in the order of a sort key: the ordered set for pages at its ends, the bare keys for everything else.

use std::collections::BTreeMap;
use std::ops::Bound;

use roaring::RoaringBitmap;

use crate::domain::time::Time;

/// Bits of a sort key that hold the number of the issue, which tells equal times apart.
const NUMBER: u32 = 59;

/// The sort key of a time and a number.
pub fn key(time: Time, number: u64) -> u128 {
    // A leap second counts as the last instant before it.
    let nanos = chrono::DateTime::<chrono::Utc>::from(time).timestamp_subsec_nanos().min(999_999_999);
    // Years 0 to 9999 fit into 39 bits of seconds.
    let seconds = (time.unix_seconds() + (1 << 38)) as u128;
    seconds << (NUMBER + 30) | u128::from(nanos) << NUMBER | u128::from(number) & ((1 << NUMBER) - 1)
}

/// All keys from one time to another, both inside.
pub fn keys(since: Option<Time>, until: Option<Time>) -> (u128, u128) {
    let first = since.map_or(0, |t| key(t, 0));
    let last = until.map_or(u128::MAX, |t| key(t, (1 << NUMBER) - 1));
    (first, last)
}

/// Where in an order a page lies.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub descending: bool,
    /// Only what comes behind this key.
    pub after: Option<u128>,
    pub skip: usize,
    pub want: usize,
    /// What fits lies in here, if that is known.
    pub within: (u128, u128),
}

/// Slots in the order of their keys.
#[derive(Debug, Default)]
pub struct Ordered {
    set: BTreeMap<u128, u32>,
    /// Keys by slot; what stands at a free slot means nothing.
    keys: Vec<u128>,
}

impl Ordered {
    pub fn insert(&mut self, key: u128, slot: u32) {
        let at = slot as usize;
        if self.keys.len() <= at {
            self.keys.resize(at + 1, 0);
        }
        self.keys[at] = key;
        self.set.insert(key, slot);
    }

    pub fn remove(&mut self, key: u128) {
        self.set.remove(&key);
    }

    pub fn slot(&self, key: u128) -> Option<u32> {
        self.set.get(&key).copied()
    }

    pub fn key(&self, slot: u32) -> u128 {
        self.keys.get(slot as usize).copied().unwrap_or(0)
    }

    /// The slots of one page.
    ///
    /// Where many fit, the set is walked from its end; where few do, or all of them lie far from that end, the keys of
    /// those that fit are compared instead. The walk gives up when it has cost as much as that would.
    pub fn page(&self, fit: &RoaringBitmap, span: Span) -> Vec<u32> {
        let Span { descending, after, skip, want, within: (first, last) } = span;
        if fit.is_empty() || first > last {
            return Vec::new();
        }
        let mut steps = (fit.len() / 4) as usize;
        let expected = (skip + want) as u64 * self.set.len() as u64 / fit.len().max(1);
        if expected <= steps as u64 {
            let (mut from, mut to) = (Bound::Included(first), Bound::Included(last));
            match after {
                // A cursor may come from anywhere; the set takes no range that is turned round.
                Some(after) if descending && after <= first || !descending && after >= last => return Vec::new(),
                Some(after) if descending && after <= last => to = Bound::Excluded(after),
                Some(after) if !descending && after >= first => from = Bound::Excluded(after),
                _ => {}
            }
            let entries = self.set.range((from, to));
            let found = if descending {
                walk(entries.rev(), fit, skip, want, &mut steps)
            } else {
                walk(entries, fit, skip, want, &mut steps)
            };
            if let Some(found) = found {
                return found;
            }
        }
        self.best(fit, span)
    }

    fn best(&self, fit: &RoaringBitmap, span: Span) -> Vec<u32> {
        let Span { descending, after, skip, want, .. } = span;
        // Turned round for a descending page, so that the least always come first.
        let turn = |key: u128| if descending { !key } else { key };
        let after = after.map(turn);
        let most = skip.saturating_add(want);
        let room = most.saturating_mul(2).min(fit.len() as usize).max(1);
        let mut best: Vec<(u128, u32)> = Vec::with_capacity(room);
        let mut worst = u128::MAX;
        for slot in fit {
            let key = turn(self.key(slot));
            if key > worst || after.is_some_and(|after| key <= after) {
                continue;
            }
            best.push((key, slot));
            if best.len() >= most.saturating_mul(2) && most > 0 {
                let (_, last, _) = best.select_nth_unstable(most - 1);
                worst = last.0;
                best.truncate(most);
            }
        }
        best.sort_unstable();
        best.into_iter().skip(skip).take(want).map(|(_, slot)| slot).collect()
    }

    /// Those of `among` whose keys lie in a range.
    pub fn within(&self, among: &RoaringBitmap, (first, last): (u128, u128)) -> RoaringBitmap {
        if first > last {
            return RoaringBitmap::new();
        }
        // Cheap where few lie inside; else the keys of all are compared.
        let most = (among.len() / 16).max(64) as usize;
        let inside = self.set.range(first..=last).map(|(_, slot)| *slot).take(most + 1);
        let mut inside: Vec<u32> = inside.collect();
        if inside.len() <= most {
            inside.sort_unstable();
            return RoaringBitmap::from_iter(inside) & among;
        }
        let words = self.keys.chunks(64).map(|keys| {
            keys.iter().enumerate().fold(0, |word, (bit, key)| word | u64::from(first <= *key && *key <= last) << bit)
        });
        bits(words) & among
    }
}

/// A bitmap from its words, 64 slots each.
pub fn bits(words: impl Iterator<Item = u64>) -> RoaringBitmap {
    let bytes: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
    RoaringBitmap::from_lsb0_bytes(0, &bytes)
}

fn walk<'a>(
    entries: impl Iterator<Item = (&'a u128, &'a u32)>,
    fit: &RoaringBitmap,
    skip: usize,
    want: usize,
    steps: &mut usize,
) -> Option<Vec<u32>> {
    let (mut found, mut skipped) = (Vec::with_capacity(want), 0);
    for (_, slot) in entries {
        *steps = steps.checked_sub(1)?;
        if !fit.contains(*slot) {
            continue;
        }
        if skipped < skip {
            skipped += 1;
            continue;
        }
        found.push(*slot);
        if found.len() >= want {
            break;
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_order_as_time_and_number_do() {
        let times = [
            "0000-01-01T00:00:00Z",
            "1969-12-31T23:59:59.9Z",
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.1Z",
            "9999-12-31T23:59:59Z",
        ];
        let times: Vec<Time> = times.iter().map(|t| Time::parse(t).unwrap()).collect();
        let all: Vec<u128> = times.iter().flat_map(|t| [key(*t, 1), key(*t, 2), key(*t, 1 << 40)]).collect();
        assert!(all.is_sorted());
        let (first, last) = keys(Some(times[2]), Some(times[2]));
        assert!(first <= key(times[2], 0) && key(times[2], 7) <= last && last < key(times[3], 0));
        assert_eq!(keys(None, None), (0, u128::MAX));
    }
}
