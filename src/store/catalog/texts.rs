//! Which issues have a text in their title or description.
//!
//! Per issue a signature of 1024 bits says which three letters in a row its texts hold, by a hash. Those that may hold a
//! text are looked at; what was found is remembered, and kept right by later changes, while the same text is asked for.

use std::sync::Arc;

use parking_lot::Mutex;
use roaring::RoaringBitmap;

use super::order::bits;

/// Bits of a signature.
const COLUMNS: usize = 1024;

/// Issues whose signatures lie together, so that one line of memory answers for all of them.
const BLOCK: usize = 512;
const WORDS: usize = BLOCK / 64;

/// Longer texts have no signature and are always looked at: what a change costs must be bounded.
const LONG: usize = 4096;

/// Searches remembered.
const RECENT: usize = 8;

/// Changes of texts after which a search that nobody asks for again is forgotten.
const IDLE: u32 = 20_000;

/// Signatures by slot.
#[derive(Debug, Default)]
pub struct Texts {
    blocks: Vec<Box<[u64]>>,
    long: RoaringBitmap,
    recent: Mutex<Vec<Recent>>,
    /// Room for a folded text, so that a change allocates nothing.
    room: String,
}

#[derive(Debug)]
struct Recent {
    needle: Needle,
    found: Arc<RoaringBitmap>,
    idle: u32,
}

/// A text to look for, folded to lower case.
#[derive(Clone, Debug)]
pub struct Needle {
    text: String,
    finder: memchr::memmem::Finder<'static>,
}

impl Needle {
    pub fn new(text: &str) -> Needle {
        let mut folded = String::new();
        fold(text, &mut folded);
        Needle { finder: memchr::memmem::Finder::new(&folded).into_owned(), text: folded }
    }

    /// Whether it stands in one of two texts. `room` is scratch space.
    pub fn is_in(&self, title: &str, description: &str, room: &mut String) -> bool {
        [title, description].into_iter().any(|text| {
            fold(text, room);
            self.finder.find(room.as_bytes()).is_some()
        })
    }
}

/// Lower case letter by letter, so that whether a text stands in another does not depend on what is around it.
fn fold(text: &str, into: &mut String) {
    into.clear();
    if text.is_ascii() {
        into.push_str(text);
        into.make_ascii_lowercase();
    } else {
        into.extend(text.chars().flat_map(char::to_lowercase));
    }
}

fn column(three: &[u8]) -> usize {
    let n = u32::from_le_bytes([three[0], three[1], three[2], 0]);
    (n.wrapping_mul(0x9E37_79B1) >> 22) as usize
}

impl Texts {
    /// Replaces the texts of a slot: those before, those now.
    pub fn put(&mut self, slot: u32, before: Option<(&str, &str)>, now: Option<(&str, &str)>) {
        if before == now {
            return;
        }
        let mut room = std::mem::take(&mut self.room);
        if let Some(texts) = before {
            self.mark(slot, texts, &mut room, |word, bit| *word &= !bit);
            self.long.remove(slot);
        }
        if let Some(texts) = now {
            if texts.0.len() + texts.1.len() > LONG {
                self.long.insert(slot);
            } else {
                self.mark(slot, texts, &mut room, |word, bit| *word |= bit);
            }
        }
        let recent = self.recent.get_mut();
        recent.retain_mut(|r| {
            r.idle += 1;
            let fits = now.is_some_and(|(title, description)| r.needle.is_in(title, description, &mut room));
            if fits != r.found.contains(slot) {
                let found = Arc::make_mut(&mut r.found);
                if fits {
                    found.insert(slot)
                } else {
                    found.remove(slot)
                };
            }
            r.idle < IDLE
        });
        self.room = room;
    }

    fn mark(&mut self, slot: u32, texts: (&str, &str), room: &mut String, set: impl Fn(&mut u64, u64)) {
        if texts.0.len() + texts.1.len() > LONG {
            return;
        }
        let (block, within) = (slot as usize / BLOCK, slot as usize % BLOCK);
        while self.blocks.len() <= block {
            self.blocks.push(vec![0; COLUMNS * WORDS].into());
        }
        let (word, bit) = (within / 64, 1 << (within % 64));
        let words = &mut self.blocks[block];
        for text in [texts.0, texts.1] {
            fold(text, room);
            for three in room.as_bytes().windows(3) {
                set(&mut words[column(three) * WORDS + word], bit);
            }
        }
    }

    /// What an earlier search found.
    pub fn remembered(&self, needle: &Needle) -> Option<Arc<RoaringBitmap>> {
        let mut recent = self.recent.lock();
        let found = recent.iter_mut().find(|r| r.needle.text == needle.text)?;
        found.idle = 0;
        Some(found.found.clone())
    }

    /// Remembers what a search found among all issues. Nothing may have changed since it began.
    pub fn remember(&self, needle: Needle, found: Arc<RoaringBitmap>) {
        let mut recent = self.recent.lock();
        if recent.iter().any(|r| r.needle.text == needle.text) {
            return;
        }
        if recent.len() >= RECENT
            && let Some(oldest) = (0..recent.len()).max_by_key(|i| recent[*i].idle)
        {
            recent.remove(oldest);
        }
        recent.push(Recent { needle, found, idle: 0 });
    }

    /// Slots whose texts may hold the needle; all that do are among them. Those of free slots may be, too.
    pub fn candidates(&self, needle: &Needle) -> Option<RoaringBitmap> {
        let mut columns: Vec<usize> = needle.text.as_bytes().windows(3).map(column).collect();
        columns.sort_unstable();
        columns.dedup();
        if columns.is_empty() {
            return None;
        }
        let mut may = vec![u64::MAX; self.blocks.len() * WORDS];
        for (may, words) in may.chunks_mut(WORDS).zip(&self.blocks) {
            for column in &columns {
                let line = &words[column * WORDS..][..WORDS];
                may.iter_mut().zip(line).for_each(|(may, word)| *may &= word);
                if may.iter().all(|word| *word == 0) {
                    break;
                }
            }
        }
        Some(bits(may.into_iter()) | &self.long)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_hold_all_that_have_the_text() {
        let mut texts = Texts::default();
        let long = "x".repeat(LONG) + "Needle";
        let all = ["a Needle in hay", "hay", "NEEDLE", "needl", "İstanbul needLE", &long];
        for (slot, text) in all.iter().enumerate() {
            texts.put(slot as u32 * 300, None, Some((text, "")));
        }
        let needle = Needle::new("neEdle");
        let mut room = String::new();
        let found = texts.candidates(&needle).unwrap();
        let exact: Vec<u32> = found.iter().filter(|s| needle.is_in(all[*s as usize / 300], "", &mut room)).collect();
        assert_eq!(exact, [0, 600, 1200, 1500]);
        texts.put(0, Some((all[0], "")), Some(("hay", "")));
        assert!(!texts.candidates(&needle).unwrap().contains(0));
        assert!(texts.candidates(&Needle::new("ne")).is_none());
        assert!(
            Needle::new("ΣΑΣ").is_in("οδος σας", "", &mut room) || Needle::new("ΟΔΟΣ").is_in("οδοσ", "", &mut room)
        );
    }

    #[test]
    fn a_remembered_search_follows_changes() {
        let mut texts = Texts::default();
        texts.put(1, None, Some(("red", "")));
        let needle = Needle::new("red");
        texts.remember(needle.clone(), Arc::new(RoaringBitmap::from_iter([1])));
        texts.put(1, Some(("red", "")), Some(("blue", "")));
        texts.put(2, None, Some(("", "infraRED")));
        assert_eq!(texts.remembered(&needle).unwrap().iter().collect::<Vec<_>>(), [2]);
        texts.put(2, Some(("", "infraRED")), None);
        assert!(texts.remembered(&needle).unwrap().is_empty());
        for n in 0..RECENT {
            texts.remember(Needle::new(&format!("other {n}")), Arc::default());
        }
        assert_eq!(texts.recent.lock().len(), RECENT);
    }
}
