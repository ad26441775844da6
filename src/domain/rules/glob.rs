//! Globs: `*` stands for any text, `?` for one character. Time grows with the text, never with a power of it.

/// A compiled glob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    source: Box<str>,
    /// The pieces between the stars; the first is anchored at the start, the last at the end.
    pieces: Box<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Plain text.
    Plain(Box<str>),
    /// Text with `?`: for each character the set of positions it fits, searched bit-parallel.
    Marks { length: usize, any: u128, fits: Box<[(char, u128)]> },
}

impl Glob {
    /// Whether `text` holds anything that makes it a glob.
    pub fn is_glob(text: &str) -> bool {
        text.contains(['*', '?'])
    }

    /// Compiles a glob.
    ///
    /// # Errors
    /// Where it is too long to be matched in bounded time.
    pub fn parse(text: &str) -> Result<Glob, String> {
        if text.len() > 4096 {
            return Err(format!("glob of {} bytes is too long", text.len()));
        }
        let pieces = text.split('*').map(Piece::parse).collect::<Result<_, _>>()?;
        Ok(Glob { source: text.into(), pieces })
    }

    /// The glob as written.
    pub fn as_str(&self) -> &str {
        &self.source
    }

    /// The text that everything which fits begins with; may be empty.
    pub fn prefix(&self) -> &str {
        self.source.split(['*', '?']).next().unwrap_or_default()
    }

    /// Whether the whole of `text` fits.
    pub fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = &*self.pieces else {
            return self.pieces.first().is_some_and(|only| only.prefix_of(text) == Some(text.len()));
        };
        let Some(from) = first.prefix_of(text) else { return false };
        let Some(mut rest) = last.suffix_of(&text[from..]) else { return false };
        for piece in middle {
            match piece.end_in(rest) {
                Some(end) => rest = &rest[end..],
                None => return false,
            }
        }
        true
    }
}

impl Piece {
    fn parse(text: &str) -> Result<Piece, String> {
        if !text.contains('?') {
            return Ok(Piece::Plain(text.into()));
        }
        let length = text.chars().count();
        if length > 128 {
            return Err("more than 128 characters between two stars of a glob that has `?`".into());
        }
        let mut any = 0;
        let mut fits: Vec<(char, u128)> = Vec::new();
        for (n, c) in text.chars().enumerate() {
            match (c, fits.iter_mut().find(|f| f.0 == c)) {
                ('?', _) => any |= 1 << n,
                (_, Some(known)) => known.1 |= 1 << n,
                (_, None) => fits.push((c, 1 << n)),
            }
        }
        Ok(Piece::Marks { length, any, fits: fits.into() })
    }

    fn fit(any: u128, fits: &[(char, u128)], c: char) -> u128 {
        any | fits.iter().find(|f| f.0 == c).map_or(0, |f| f.1)
    }

    /// Where this piece ends, if `text` begins with it.
    fn prefix_of(&self, text: &str) -> Option<usize> {
        match self {
            Piece::Plain(plain) => text.starts_with(&**plain).then_some(plain.len()),
            Piece::Marks { length, any, fits } => {
                let mut chars = text.char_indices();
                for n in 0..*length {
                    let (_, c) = chars.next()?;
                    if Piece::fit(*any, fits, c) >> n & 1 == 0 {
                        return None;
                    }
                }
                Some(text.len() - chars.as_str().len())
            }
        }
    }

    /// What stands before this piece, if `text` ends with it.
    fn suffix_of<'t>(&self, text: &'t str) -> Option<&'t str> {
        match self {
            Piece::Plain(plain) => text.strip_suffix(&**plain),
            Piece::Marks { length, .. } => {
                let (from, _) = text.char_indices().rev().nth(length - 1)?;
                self.prefix_of(&text[from..]).map(|_| &text[..from])
            }
        }
    }

    /// Where the first occurrence of this piece in `text` ends.
    fn end_in(&self, text: &str) -> Option<usize> {
        match self {
            Piece::Plain(plain) => text.find(&**plain).map(|at| at + plain.len()),
            Piece::Marks { length, any, fits } => {
                let done = 1u128 << (length - 1);
                let mut state = 0u128;
                for (at, c) in text.char_indices() {
                    state = (state << 1 | 1) & Piece::fit(*any, fits, c);
                    if state & done != 0 {
                        return Some(at + c.len_utf8());
                    }
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, in exponential time.
    fn naive(glob: &[char], text: &[char]) -> bool {
        match glob.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|n| naive(rest, &text[n..])),
            Some(('?', rest)) => !text.is_empty() && naive(rest, &text[1..]),
            Some((c, rest)) => text.first() == Some(c) && naive(rest, &text[1..]),
        }
    }

    #[test]
    fn stars_cross_dots() {
        let fits = |glob: &str, text| Glob::parse(glob).unwrap().matches(text);
        assert!(fits("*.failure", "dev.shipwatch.webhook.build.failure"));
        assert!(!fits("*.failure", "dev.shipwatch.webhook.build.failures"));
        assert!(fits("a*a", "aa") && !fits("a*a", "a"));
        assert!(fits("*", "") && !fits("?", ""));
        assert!(fits("r?lease/*", "rélease/1"));
    }

    #[test]
    fn a_megabyte_against_a_nasty_glob_is_quick() {
        let text = "a".repeat(1 << 20);
        let started = std::time::Instant::now();
        assert!(!Glob::parse(&"*a".repeat(500)).map(|g| g.matches(&format!("{text}b"))).unwrap());
        assert!(!Glob::parse(&format!("*{}b*", "?a".repeat(60))).unwrap().matches(&text));
        assert!(started.elapsed().as_secs() < 2, "{:?}", started.elapsed());
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(glob in "[ab?*é]{0,9}", text in "[abé]{0,9}") {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            let read = Glob::parse(&glob).unwrap();
            prop_assert_eq!(read.matches(&text), naive(&chars(&glob), &chars(&text)));
            prop_assert!(!read.matches(&text) || text.starts_with(read.prefix()));
        }
    }
}
