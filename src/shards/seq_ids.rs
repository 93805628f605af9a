//! A set of sequence numbers, one bit each.

/// A set of `seq_id`s. It takes one bit of memory for each number up to the largest member; sets with the same members
/// are equal.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeqIdSet {
    /// Up to the last nonzero word.
    words: Vec<u64>,
    n: u64,
}

impl SeqIdSet {
    /// Number of members.
    pub fn len(&self) -> u64 {
        self.n
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Whether `seq_id` is a member.
    pub fn contains(&self, seq_id: u64) -> bool {
        let word = self.words.get((seq_id / 64) as usize);
        word.is_some_and(|word| word >> (seq_id % 64) & 1 == 1)
    }

    /// Adds a number; false if it was already a member.
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

    /// All members, in increasing order.
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

/// Words whose bits are counted together.
const BLOCK_WORDS: usize = 8;

/// A set with rank and select: the i-th member, and the index of each, for an eighth more memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeqIdOrder {
    set: SeqIdSet,
    /// Members before each block of words.
    before: Vec<u64>,
}

impl SeqIdOrder {
    /// Counts the numbers of `set`.
    pub fn new(set: SeqIdSet) -> Self {
        let mut n = 0;
        let mut count = |words: &[u64]| {
            let before = n;
            n += words.iter().map(|w| u64::from(w.count_ones())).sum::<u64>();
            before
        };
        let before = set.words.chunks(BLOCK_WORDS).map(&mut count).collect();
        SeqIdOrder { set, before }
    }

    /// The set.
    pub fn set(&self) -> &SeqIdSet {
        &self.set
    }

    /// Number of members below `seq_id`.
    pub fn n_below(&self, seq_id: u64) -> u64 {
        let word = usize::try_from(seq_id / 64).unwrap_or(usize::MAX);
        if word >= self.set.words.len() {
            return self.set.n;
        }
        let block = word / BLOCK_WORDS;
        let whole = &self.set.words[block * BLOCK_WORDS..word];
        let whole: u64 = whole.iter().map(|w| u64::from(w.count_ones())).sum();
        let below = self.set.words[word] & ((1 << (seq_id % 64)) - 1);
        self.before[block] + whole + u64::from(below.count_ones())
    }

    /// The `i`-th member, from 0; `None` past the last.
    pub fn nth(&self, i: u64) -> Option<u64> {
        if i >= self.set.n {
            return None;
        }
        // The last block with at most i members before it.
        let block = self.before.partition_point(|&before| before <= i) - 1;
        let mut left = i - self.before[block];
        let mut at = block * BLOCK_WORDS;
        while left >= u64::from(self.set.words[at].count_ones()) {
            left -= u64::from(self.set.words[at].count_ones());
            at += 1;
        }
        let mut word = self.set.words[at];
        (0..left).for_each(|_| word &= word - 1);
        Some(at as u64 * 64 + u64::from(word.trailing_zeros()))
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
        fn a_set_contains_exactly_what_was_inserted(ids in prop::collection::vec(0..2000u64, 0..300)) {
            let set: SeqIdSet = ids.iter().copied().collect();
            let expected: BTreeSet<u64> = ids.into_iter().collect();
            prop_assert_eq!(set.iter().collect::<Vec<_>>(), expected.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.len(), expected.len() as u64);
            prop_assert!((0..2100).all(|id| set.contains(id) == expected.contains(&id)));
        }

        #[test]
        fn the_order_is_that_of_a_sorted_list(ids in prop::collection::btree_set(0..3000u64, 0..400)) {
            let order = SeqIdOrder::new(ids.iter().copied().collect());
            let sorted: Vec<u64> = ids.into_iter().collect();
            for i in 0..sorted.len() as u64 + 2 {
                prop_assert_eq!(order.nth(i), sorted.get(i as usize).copied());
            }
            for id in (0..3100).chain([u64::MAX]) {
                prop_assert_eq!(order.n_below(id), sorted.partition_point(|&x| x < id) as u64);
            }
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
