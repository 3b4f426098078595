//! Counting flips: every bit of a file, one at a time, and what a reader makes of each.

use std::collections::BTreeMap;
use std::fmt::{self, Debug, Display};

/// What a reader makes of a file with one flipped bit.
pub(crate) enum Verdict {
    /// Refused; the name of the refusal.
    Refused(String),
    /// It says the same as before; why.
    Harmless(&'static str),
    /// It says something else, and nothing in the format can tell; what.
    Unseen(&'static str),
}

impl Verdict {
    /// The name of an error: of its variants down to the first with fields of its own.
    pub(crate) fn refused(error: &impl Debug) -> Self {
        let text = format!("{error:?}");
        let path: Vec<&str> =
            text.split('(').map(|part| part.split([' ', '{', ')']).next().unwrap_or_default()).collect();
        let named = path.into_iter().take_while(|part| part.starts_with(|first: char| first.is_ascii_uppercase()));
        let mut names: Vec<&str> = named.collect();
        names.dedup();
        Self::Refused(names.join(" "))
    }
}

/// The verdicts on all bits of one file.
pub(crate) struct Tally {
    name: String,
    refused: BTreeMap<String, usize>,
    harmless: BTreeMap<&'static str, usize>,
    unseen: BTreeMap<&'static str, usize>,
}

impl Tally {
    /// What the lines show.
    pub(crate) const HEAD: &str = "| file | bits | refused | by | without effect | because | beyond the checks |\n\
        |---|---|---|---|---|---|---|";

    /// Flips each bit of `file` in turn; `judge` gets the file and the byte that changed.
    pub(crate) fn of(name: &str, file: &[u8], judge: impl FnMut(&[u8], usize) -> Verdict) -> Self {
        Self::of_bits(name, file, 0..8 * file.len(), judge)
    }

    /// As [`Self::of`], for some of the bits.
    pub(crate) fn of_bits(
        name: &str,
        file: &[u8],
        bits: impl Iterator<Item = usize>,
        mut judge: impl FnMut(&[u8], usize) -> Verdict,
    ) -> Self {
        let mut tally = Self {
            name: name.to_owned(),
            refused: BTreeMap::new(),
            harmless: BTreeMap::new(),
            unseen: BTreeMap::new(),
        };
        let mut flipped = file.to_vec();
        for bit in bits {
            flipped[bit / 8] ^= 1 << (bit % 8);
            match judge(&flipped, bit / 8) {
                Verdict::Refused(name) => *tally.refused.entry(name).or_default() += 1,
                Verdict::Harmless(why) => *tally.harmless.entry(why).or_default() += 1,
                Verdict::Unseen(what) => *tally.unseen.entry(what).or_default() += 1,
            }
            flipped[bit / 8] ^= 1 << (bit % 8);
        }
        tally
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn bits(&self) -> usize {
        self.refused() + self.harmless() + self.unseen()
    }

    pub(crate) fn refused(&self) -> usize {
        self.refused.values().sum()
    }

    pub(crate) fn harmless(&self) -> usize {
        self.harmless.values().sum()
    }

    pub(crate) fn unseen(&self) -> usize {
        self.unseen.values().sum()
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bits, refused, harmless) = (&self.name, self.bits(), self.refused(), self.harmless());
        let (by, because, unseen) = (counts(&self.refused), counts(&self.harmless), counts(&self.unseen));
        write!(f, "| {name} | {bits} | {refused} | {by} | {harmless} | {because} | {unseen} |")
    }
}

/// The most frequent first.
fn counts<K: Display>(counted: &BTreeMap<K, usize>) -> String {
    let mut rows: Vec<_> = counted.iter().collect();
    rows.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    rows.into_iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", ")
}
