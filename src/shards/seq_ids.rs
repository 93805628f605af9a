//! A set of sequence numbers, a bit each.

/// A set of `seq_id`s. Its memory is an eighth of a byte for each number up to the greatest one
/// inside; all sets of the same numbers are equal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeqIdSet {
    /// Up to the last one that has a bit.
    words: Vec<u64>,
    n: u64,
}

impl SeqIdSet {
    /// How many are inside.
    pub fn len(&self) -> u64 {
        self.n
    }

    /// Whether none is inside.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Whether `seq_id` is inside.
    pub fn contains(&self, seq_id: u64) -> bool {
        let word = self.words.get((seq_id / 64) as usize);
        word.is_some_and(|word| word >> (seq_id % 64) & 1 == 1)
    }

    /// Adds one; false if it was there.
    pub fn insert(&mut self, seq_id: u64) -> bool {
        let at = (seq_id / 64) as usize;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        let word = &mut self.words[at];
        let is_new = *word >> (seq_id % 64) & 1 == 0;
        *word |= 1 << (seq_id % 64);
        self.n += u64::from(is_new);
        is_new
    }

    /// All of them, rising.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        let words = self.words.iter().enumerate();
        words.flat_map(|(at, &word)| {
            let bits = std::iter::successors(Some(word), |left| Some(left & left.wrapping_sub(1)));
            bits.take_while(|&left| left != 0)
                .map(move |left| at as u64 * 64 + u64::from(left.trailing_zeros()))
        })
    }

    /// BLAKE3 of the bits, 64 hex digits.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        for word in &self.words {
            hasher.update(&word.to_le_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }
}

impl FromIterator<u64> for SeqIdSet {
    fn from_iter<I: IntoIterator<Item = u64>>(seq_ids: I) -> Self {
        let mut set = SeqIdSet::default();
        for seq_id in seq_ids {
            set.insert(seq_id);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_is_the_set_of_what_was_put_in(ids in prop::collection::vec(0..2000u64, 0..300)) {
            let set: SeqIdSet = ids.iter().copied().collect();
            let expected: BTreeSet<u64> = ids.into_iter().collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.len(), expected.len() as u64);
            prop_assert!((0..2100).all(|id| set.contains(id) == expected.contains(&id)));
        }
    }

    #[test]
    fn the_hash_depends_on_the_numbers_alone() {
        let rising: SeqIdSet = [3, 64, 700].into_iter().collect();
        let falling: SeqIdSet = [700, 64, 3, 3].into_iter().collect();
        assert_eq!((&rising, rising.hash()), (&falling, falling.hash()));
        let other: SeqIdSet = [3, 64].into_iter().collect();
        assert_ne!(rising.hash(), other.hash());
    }
}
