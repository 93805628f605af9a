//! Which sequence is in which slot: a bijection computed arithmetically, without a table.
//!
//! A balanced Feistel network of six rounds permutes the numbers of the smallest even bit width
//! that holds n; a result that is not below n is fed back (cycle walking) until it is, which takes
//! under four passes on average. This is part of the shard format: golden numbers in the tests
//! freeze it.

use crate::splitmix::{GOLDEN, finalise};

/// Rounds of the network. Four make a Feistel network of random functions indistinguishable from a
/// random permutation; two more allow for functions that are not quite random.
const ROUNDS: usize = 6;

/// A permutation of `0..n`, keyed by a seed; the identity without a seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permutation {
    n: u64,
    /// Bits of each half; 0 is the identity.
    half_bits: u32,
    /// Key of round r: splitmix64(seed + (r + 1) * GOLDEN).
    keys: [u64; ROUNDS],
}

impl Permutation {
    /// The permutation of `0..n` keyed by `seed`.
    pub fn new(n: u64, seed: Option<u64>) -> Self {
        let Some(seed) = seed.filter(|_| n > 1) else {
            return Permutation {
                n,
                half_bits: 0,
                keys: [0; ROUNDS],
            };
        };
        let bits = u64::BITS - (n - 1).leading_zeros();
        let mut keys = [0; ROUNDS];
        for (r, key) in keys.iter_mut().enumerate() {
            *key = finalise(seed.wrapping_add(GOLDEN.wrapping_mul(r as u64 + 1)));
        }
        Permutation {
            n,
            half_bits: bits.div_ceil(2),
            keys,
        }
    }

    /// The slot of index `i`, which must be below n.
    pub fn slot_of(&self, i: u64) -> u64 {
        self.walk(i, Self::forward)
    }

    /// The index in `slot`: the inverse of [`Permutation::slot_of`].
    pub fn index_at(&self, slot: u64) -> u64 {
        self.walk(slot, Self::backward)
    }

    /// Applies `step` until the result is below n. The start is below n, on a cycle of the larger
    /// permutation, so the result is below n at the latest when the cycle closes.
    fn walk(&self, start: u64, step: fn(&Self, u64) -> u64) -> u64 {
        assert!(start < self.n, "{start} is outside 0..{}", self.n);
        if self.half_bits == 0 {
            return start;
        }
        let mut x = step(self, start);
        while x >= self.n {
            x = step(self, x);
        }
        x
    }

    fn forward(&self, x: u64) -> u64 {
        let (mut left, mut right) = self.split(x);
        for &key in &self.keys {
            (left, right) = (right, left ^ self.round(right, key));
        }
        self.join(left, right)
    }

    fn backward(&self, x: u64) -> u64 {
        let (mut left, mut right) = self.split(x);
        for &key in self.keys.iter().rev() {
            (left, right) = (right ^ self.round(left, key), left);
        }
        self.join(left, right)
    }

    fn split(&self, x: u64) -> (u64, u64) {
        (x >> self.half_bits, x & self.mask())
    }

    fn join(&self, left: u64, right: u64) -> u64 {
        left << self.half_bits | right
    }

    /// The round function: the low bits of splitmix64's finalizer over half XOR key.
    fn round(&self, half: u64, key: u64) -> u64 {
        finalise(half ^ key) & self.mask()
    }

    fn mask(&self) -> u64 {
        (1 << self.half_bits) - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_small_permutation_is_a_bijection_with_its_inverse() {
        for n in 0..=300u64 {
            for seed in [None, Some(0), Some(1), Some(u64::MAX)] {
                let permutation = Permutation::new(n, seed);
                let mut seen = vec![false; n as usize];
                for i in 0..n {
                    let slot = permutation.slot_of(i);
                    assert!(!std::mem::replace(&mut seen[slot as usize], true));
                    assert_eq!(permutation.index_at(slot), i);
                }
            }
        }
    }

    #[test]
    fn without_a_seed_the_order_stays() {
        let permutation = Permutation::new(1000, None);
        assert!((0..1000).all(|i| permutation.slot_of(i) == i));
    }

    /// Frozen: computed by this code at format version 1, and independently by the few lines of
    /// Python in `fixtures/shard-v1/permutation.py`.
    #[test]
    fn golden_numbers_of_format_version_1() {
        let slots = |n, seed| -> Vec<u64> {
            let permutation = Permutation::new(n, Some(seed));
            (0..8.min(n)).map(|i| permutation.slot_of(i)).collect()
        };
        assert_eq!(slots(5, 0), GOLDEN_5_0);
        assert_eq!(slots(1000, 42), GOLDEN_1000_42);
        assert_eq!(slots(1 << 40, 7), GOLDEN_2_40_7);
        assert_eq!(slots(u64::MAX, 1), GOLDEN_MAX_1);
    }

    const GOLDEN_5_0: [u64; 5] = [0, 3, 1, 2, 4];
    const GOLDEN_1000_42: [u64; 8] = [899, 754, 631, 534, 148, 897, 634, 156];
    const GOLDEN_2_40_7: [u64; 8] = [
        328_764_610_306,
        1_037_417_164_558,
        482_111_555_392,
        324_050_315_268,
        745_023_233_719,
        329_509_262_493,
        905_926_169_392,
        312_239_493_638,
    ];
    const GOLDEN_MAX_1: [u64; 8] = [
        16_410_341_931_726_420_323,
        12_782_168_727_246_319_592,
        6_127_976_220_868_188_613,
        6_640_664_518_794_736_870,
        3_032_961_982_420_182_430,
        6_074_995_700_056_996_444,
        11_061_425_568_196_191_555,
        12_619_305_513_239_120_016,
    ];

    proptest! {
        #[test]
        fn a_slot_leads_back_to_its_index(n in 1u64.., seed: Option<u64>, i: u64) {
            let i = i % n;
            let permutation = Permutation::new(n, seed);
            let slot = permutation.slot_of(i);
            prop_assert!(slot < n);
            prop_assert_eq!(permutation.index_at(slot), i);
            prop_assert_eq!(permutation.slot_of(permutation.index_at(i)), i);
        }
    }
}
