//! Random draws that depend only on a key and a counter, so that document 7 is the same whether or not
//! documents 0 to 6 were generated.

use crate::splitmix::{GOLDEN, splitmix64};

/// A stream of pseudo-random numbers: splitmix64 over a counter (Steele, Lea, Flood 2014).
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Draws {
    key: u64,
    counter: u64,
}

impl Draws {
    /// The stream number `stream` of `seed`; streams are independent of each other.
    pub(super) fn new(seed: u64, stream: u64) -> Self {
        Draws {
            key: splitmix64(splitmix64(seed) ^ stream),
            counter: 0,
        }
    }

    pub(super) fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        splitmix64(self.key ^ self.counter.wrapping_mul(GOLDEN))
    }

    /// Uniform in `0..n`; `n` must not be 0.
    pub(super) fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "a draw needs something to draw from");
        // The high half of a 128-bit product avoids the modulo's bias towards small numbers.
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// True `percent` times in a hundred.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }

    /// An index in `0..n` with Zipf's frequencies: index i has probability proportional to 1 / (i + 2).
    ///
    /// The weights are integers, so float rounding cannot differ between machines.
    pub(super) fn zipf(&mut self, n: usize) -> usize {
        const SCALE: usize = 1 << 20;
        let total: usize = (0..n).map(|i| SCALE / (i + 2)).sum();
        let mut left = self.below(total);
        for i in 0..n {
            let weight = SCALE / (i + 2);
            if left < weight {
                return i;
            }
            left -= weight;
        }
        n - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let take = |seed, stream| {
            let mut draws = Draws::new(seed, stream);
            [draws.next_u64(), draws.next_u64(), draws.next_u64()]
        };
        assert_eq!(take(1, 2), take(1, 2));
        assert_ne!(take(1, 2), take(1, 3));
        assert_ne!(take(1, 2), take(2, 1));
    }

    #[test]
    fn zipf_prefers_small_indices_and_reaches_all() {
        let mut draws = Draws::new(7, 0);
        let mut counts = [0_u32; 20];
        for _ in 0..20_000 {
            counts[draws.zipf(20)] += 1;
        }
        assert!(counts.iter().all(|&count| count > 0));
        // 1/2 to 1/11 is a ratio of 5.5, within sampling error.
        assert!((4.5..6.5).contains(&(f64::from(counts[0]) / f64::from(counts[9]))));
    }
}
