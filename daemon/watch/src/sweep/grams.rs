//! Finds any of thousands of byte strings in one pass that looks at few of the bytes. Pure.
//!
//! Every needle is at least `step + W - 1` bytes long, so whatever window of `step` positions one
//! begins in, the `W` bytes at one sampled position of it are among the needle's first `step`
//! grams. Those are looked up in a Bloom filter, which almost all bytes of almost all files do not
//! pass; what passes is compared exactly. An Aho-Corasick automaton of as many needles takes tens
//! of megabytes or several times as long, since it looks at every byte.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// An odd number without a pattern.
const MIX: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;

/// Needles of at least `SHORTEST` bytes, each with what is told when it is found.
#[derive(Debug)]
pub(super) struct Grams<T, const W: usize> {
    step: usize,
    bloom: Vec<u64>,
    /// Sorted.
    spots: Vec<Spot>,
    needles: HashMap<Box<[u8]>, Vec<T>>,
}

/// A gram and how it lies in needles of one length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    gram: u64,
    offset: u16,
    length: u16,
}

impl<T: Copy + Eq + Hash, const W: usize> Grams<T, W> {
    /// Needles have at least `W` bytes, and fewer than 65,536.
    pub(super) fn new(needles: impl Iterator<Item = (Vec<u8>, T)>) -> Option<Self> {
        let mut by_bytes: HashMap<Box<[u8]>, Vec<T>> = HashMap::new();
        for (needle, told) in needles {
            by_bytes.entry(needle.into()).or_default().push(told);
        }
        let shortest = by_bytes.keys().map(|needle| needle.len()).min()?;
        let step = (shortest + 1).checked_sub(W).filter(|step| *step > 0)?;
        let mut spots = BTreeSet::new();
        for needle in by_bytes.keys() {
            let length = u16::try_from(needle.len()).ok()?;
            for (offset, gram) in (0..length).zip(needle.windows(W)).take(step) {
                spots.insert(Spot {
                    gram: number(gram),
                    offset,
                    length,
                });
            }
        }
        // About two grams for each word keep the filter below half a megabyte for 1,000 ids and
        // let one gram in a hundred through.
        let words = (spots.len() / 2).next_power_of_two().clamp(64, 1 << 20);
        let mut bloom = vec![0; words];
        for spot in &spots {
            let (word, bits) = mark(spot.gram, words);
            bloom[word] |= bits;
        }
        Some(Self {
            step,
            bloom,
            spots: spots.into_iter().collect(),
            needles: by_bytes,
        })
    }

    /// Tells every needle that begins at `from` or behind it and before `to`, in no order.
    pub(super) fn search(
        &self,
        bytes: &[u8],
        from: usize,
        to: usize,
        mut found: impl FnMut(usize, T),
    ) {
        let end = bytes.len().min(to.saturating_add(self.step));
        let words = self.bloom.len();
        let mut at = from;
        while at < end {
            let Some(gram) = bytes[at..].first_chunk::<W>() else {
                return;
            };
            let gram = number(gram);
            let (word, bits) = mark(gram, words);
            if self.bloom[word] & bits == bits {
                self.compare(gram, bytes, at, from..to, &mut found);
            }
            at += self.step;
        }
    }

    #[cold]
    fn compare(
        &self,
        gram: u64,
        bytes: &[u8],
        at: usize,
        range: std::ops::Range<usize>,
        found: &mut impl FnMut(usize, T),
    ) {
        let first = self.spots.partition_point(|spot| spot.gram < gram);
        let same = self.spots[first..]
            .iter()
            .take_while(|spot| spot.gram == gram);
        for spot in same {
            let Some(start) = at.checked_sub(usize::from(spot.offset)) else {
                continue;
            };
            let needle = bytes
                .get(start..start + usize::from(spot.length))
                .filter(|_| range.contains(&start))
                .and_then(|bytes| self.needles.get(bytes));
            for told in needle.into_iter().flatten() {
                found(start, *told);
            }
        }
    }
}

/// The bytes as one number. `W` is at most 8.
fn number(gram: &[u8]) -> u64 {
    let mut bytes = [0; 8];
    bytes[..gram.len()].copy_from_slice(gram);
    u64::from_le_bytes(bytes)
}

/// The word of the filter for a gram, and the three bits of it. `words` is a power of two.
#[inline]
fn mark(gram: u64, words: usize) -> (usize, u64) {
    let product = u128::from(gram ^ MIX as u64) * (MIX >> 64);
    let hash = (product >> 64) as u64 ^ product as u64;
    let bits = 1 << (hash & 63) | 1 << (hash >> 6 & 63) | 1 << (hash >> 12 & 63);
    ((hash >> 18) as usize & (words - 1), bits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted<const W: usize>(
        needles: &[Vec<u8>],
        bytes: &[u8],
        from: usize,
        to: usize,
    ) -> Vec<(usize, usize)> {
        let with_numbers = needles
            .iter()
            .cloned()
            .enumerate()
            .map(|(at, needle)| (needle, at));
        let grams = Grams::<_, W>::new(with_numbers).unwrap();
        let mut found = Vec::new();
        grams.search(bytes, from, to, |start, needle| found.push((start, needle)));
        found.sort_unstable();
        found
    }

    proptest! {
        // Few letters, so that needles overlap, hold one another and repeat.
        #[test]
        fn exactly_what_an_automaton_finds_is_found(
            needles in proptest::collection::vec(proptest::collection::vec(0_u8..2, 10..24), 1..12),
            mut bytes in proptest::collection::vec(0_u8..2, 0..400),
            planted in proptest::collection::vec((0_usize..400, 0_usize..12), 0..6),
            from in 0_usize..50, length in 0_usize..400,
        ) {
            for (at, which) in planted {
                let needle = &needles[which % needles.len()];
                if let Some(place) = bytes.get_mut(at..at + needle.len()) {
                    place.copy_from_slice(needle);
                }
            }
            let to = (from + length).min(bytes.len());
            let automaton = aho_corasick::AhoCorasick::new(&needles).unwrap();
            let mut expected: Vec<_> = automaton
                .find_overlapping_iter(&bytes)
                .map(|hit| (hit.start(), hit.pattern().as_usize()))
                .filter(|(start, _)| (from..to).contains(start))
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(sorted::<8>(&needles, &bytes, from, to), expected.clone());
            prop_assert_eq!(sorted::<4>(&needles, &bytes, from, to), expected);
        }
    }

    #[test]
    fn needles_that_are_too_short_are_no_needles() {
        assert!(Grams::<_, 4>::new([(b"abc".to_vec(), ())].into_iter()).is_none());
        assert!(Grams::<(), 4>::new(std::iter::empty()).is_none());
    }
}
