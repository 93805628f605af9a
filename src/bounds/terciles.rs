//! Boundaries between the thirds of a distribution of values in nats, in bounded memory.

use crate::signals::Counts;

/// Largest value that is resolved, nats; the entropy over a vocabulary of a million is at most 13.8.
const MAX_NATS: f32 = 40.0;
/// Bins per nat: boundaries are multiples of 0.01.
const BINS_PER_NAT: f32 = 100.0;
const N_BINS: usize = 4_000;

/// Counts of values in bins of 0.01 nats.
#[derive(Debug, Clone)]
pub(super) struct Terciles(Counts);

impl Terciles {
    pub(super) fn new() -> Self {
        Terciles(Counts::new(N_BINS))
    }

    /// Counts one value, nats; values past the last bin count in it.
    pub(super) fn add(&mut self, nats: f32) {
        // A cast from a float saturates, so infinity and negative values are safe.
        self.0.add((nats.min(MAX_NATS) * BINS_PER_NAT) as usize);
    }

    /// The two boundaries, nats: the smallest multiples of 0.01 below which at least one third and two thirds
    /// of the values lie.
    pub(super) fn boundaries(&self) -> [f64; 2] {
        let terciles = self.0.terciles();
        terciles.map(|(bin, _)| (bin + 1) as f64 / f64::from(BINS_PER_NAT))
    }
}

/// The third that `nats` is in: 0, 1 or 2; a boundary belongs to the third above it.
pub(super) fn tercile_of(nats: f64, boundaries: [f64; 2]) -> usize {
    boundaries
        .iter()
        .filter(|&&boundary| nats >= boundary)
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn even_values_are_split_into_equal_terciles() {
        let mut terciles = Terciles::new();
        (0..3_000).for_each(|i| terciles.add(i as f32 / 500.0));
        assert_eq!(terciles.boundaries(), [2.0, 4.0]);
        assert_eq!(
            [1.99, 2.0, 3.99, 4.0, f64::INFINITY].map(|x| tercile_of(x, [2.0, 4.0])),
            [0, 1, 1, 2, 2]
        );
    }

    proptest! {
        #[test]
        fn each_boundary_is_the_smallest_with_a_third_of_the_values_below_it(values in prop::collection::vec(0.0..20.0_f32, 1..300)) {
            let mut terciles = Terciles::new();
            values.iter().for_each(|&value| terciles.add(value));
            for (tercile, boundary) in terciles.boundaries().into_iter().enumerate() {
                let n_below = |boundary: f64| values.iter().filter(|&&v| ((v * BINS_PER_NAT) as usize) < (boundary * 100.0).round() as usize).count();
                prop_assert!(3 * n_below(boundary) >= (tercile + 1) * values.len());
                prop_assert!(3 * n_below(boundary - 0.01) < (tercile + 1) * values.len());
            }
        }
    }
}
