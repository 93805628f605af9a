//! Rows of the sorters, in bounded memory.

use crate::storage::Record;

/// Sorts rows by key.
pub(super) type Sorter = crate::storage::Sorter<Keyed>;
/// Rows sorted by key.
pub(super) type Sorted = crate::storage::Sorted<Keyed>;

/// Rows sorted in memory: 40 bytes each, so 20 MiB.
pub(super) const RUN_ROWS: usize = Sorter::RUN_ROWS;

/// A row to be sorted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Keyed {
    /// The sort key; ties are by `seq_id`.
    pub(super) key: u64,
    pub(super) seq_id: u64,
    /// NaN if there is none.
    pub(super) score: f64,
    /// Another value for the next stage.
    pub(super) extra: u64,
    pub(super) n_targets: u32,
    /// For display only.
    pub(super) learnable_fraction: f32,
}

impl Record for Keyed {
    type Words = [u64; 5];
    type Place = (u64, u64);

    fn place(&self) -> (u64, u64) {
        (self.key, self.seq_id)
    }

    fn to_words(&self) -> [u64; 5] {
        let rest = u64::from(self.learnable_fraction.to_bits()) << 32 | u64::from(self.n_targets);
        let score = self.score.to_bits();
        [self.key, self.seq_id, score, self.extra, rest]
    }

    fn from_words([key, seq_id, score, extra, rest]: [u64; 5]) -> Self {
        Keyed {
            key,
            seq_id,
            score: f64::from_bits(score),
            extra,
            n_targets: rest as u32,
            learnable_fraction: f32::from_bits((rest >> 32) as u32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(rows: &[Keyed], run_rows: usize) -> Vec<Keyed> {
        let dir = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(dir.path(), run_rows);
        rows.iter().for_each(|&row| sorter.push(row).unwrap());
        // The temporary file has no name.
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        sorter.into_sorted().unwrap().map(Result::unwrap).collect()
    }

    proptest! {
        #[test]
        fn spilled_or_not_rows_come_as_a_plain_sort_gives_them(
            keys in prop::collection::vec(0..20u64, 0..3000),
            run_rows in 1..4000usize,
        ) {
            let row = |(seq_id, key): (usize, u64)| Keyed {
                key,
                seq_id: seq_id as u64 ^ 0x2a5,
                score: key as f64 - 0.5,
                extra: u64::MAX - key,
                n_targets: seq_id as u32,
                learnable_fraction: key as f32 / 20.0,
            };
            let rows: Vec<Keyed> = keys.into_iter().enumerate().map(row).collect();
            let mut expected = rows.clone();
            expected.sort_by_key(|row| (row.key, row.seq_id));
            prop_assert_eq!(sorted(&rows, run_rows), expected);
        }
    }
}
