//! A few sequences of each kind, for a person to look at.

use serde::Serialize;
use std::collections::BinaryHeap;

/// Sequences of a kind.
const N_EXAMPLES: usize = 3;

/// One sequence of a selection.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Example {
    /// Number of the sequence in the view.
    pub seq_id: u64,
    /// Its score.
    pub score: Option<f64>,
    /// Fraction of its positions that are learnable.
    pub learnable_fraction: f32,
    /// Its rank; none where it may not be taken.
    pub rank: Option<u64>,
    /// Whether it is kept.
    pub kept: bool,
}

/// A few sequences of each kind, up to three.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Examples {
    /// Kept ones of the highest scores, hardest first.
    pub hardest_kept: Vec<Example>,
    /// Those whose scores are nearest to the median of all.
    pub median: Vec<Example>,
    /// Those of which the least is learnable, that first.
    pub unlearnable: Vec<Example>,
}

/// Keeps the examples with the least keys; ties are by `seq_id`.
#[derive(Debug, Default)]
pub(super) struct Least {
    heap: BinaryHeap<Ranked>,
}

impl Least {
    pub(super) fn offer(&mut self, key: f64, example: Example) {
        self.heap.push(Ranked { key, example });
        if self.heap.len() > N_EXAMPLES {
            self.heap.pop();
        }
    }

    /// The least first.
    pub(super) fn into_examples(self) -> Vec<Example> {
        let ranked = self.heap.into_sorted_vec();
        ranked.into_iter().map(|ranked| ranked.example).collect()
    }
}

#[derive(Debug)]
struct Ranked {
    key: f64,
    example: Example,
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Ranked {}
impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let by_key = self.key.total_cmp(&other.key);
        by_key.then(self.example.seq_id.cmp(&other.example.seq_id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_keys_stay_and_ties_go_by_sequence() {
        let mut least = Least::default();
        for (seq_id, key) in [(9, 1.0), (3, 2.0), (1, 1.0), (4, 0.5), (7, 3.0), (2, 1.0)] {
            let example = Example {
                seq_id,
                score: Some(key),
                learnable_fraction: 1.0,
                rank: None,
                kept: false,
            };
            least.offer(key, example);
        }
        let ids: Vec<u64> = least.into_examples().iter().map(|e| e.seq_id).collect();
        assert_eq!(ids, [4, 1, 2]);
    }
}
