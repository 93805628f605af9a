//! A few sequences of each kind, as examples.

use serde::Serialize;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Sequences per kind.
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
    /// Its rank; none if it is not eligible.
    pub rank: Option<u64>,
    /// Whether it is kept.
    pub kept: bool,
}

/// A few sequences of each kind, up to three.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Examples {
    /// Kept ones with the highest scores, hardest first.
    pub hardest_kept: Vec<Example>,
    /// Those whose scores are nearest to the median of all.
    pub median: Vec<Example>,
    /// Those with the lowest learnable fraction, lowest first.
    pub unlearnable: Vec<Example>,
}

/// Keeps the items with the smallest keys; ties are by a number, such as a `seq_id`.
#[derive(Debug)]
pub(crate) struct Smallest<T> {
    max_items: usize,
    heap: BinaryHeap<Ranked<T>>,
}

impl<T> Smallest<T> {
    /// Keeps up to `max_items` items.
    pub(crate) fn new(max_items: usize) -> Self {
        Smallest {
            max_items,
            heap: BinaryHeap::new(),
        }
    }

    /// Keeps `item`, which is only made if needed, if its key is among the smallest.
    pub(crate) fn offer(&mut self, key: f64, tie: u64, item: impl FnOnce() -> T) {
        let is_full = self.heap.len() >= self.max_items;
        let is_less = |last: &Ranked<T>| place(key, tie, last.key, last.tie).is_lt();
        if is_full && !self.heap.peek().is_some_and(is_less) {
            return;
        }
        let item = item();
        self.heap.push(Ranked { key, tie, item });
        if self.heap.len() > self.max_items {
            self.heap.pop();
        }
    }

    /// The items, smallest key first.
    pub(crate) fn into_items(self) -> Vec<T> {
        let ranked = self.heap.into_sorted_vec();
        ranked.into_iter().map(|ranked| ranked.item).collect()
    }
}

impl Default for Smallest<Example> {
    fn default() -> Self {
        Smallest::new(N_EXAMPLES)
    }
}

#[derive(Debug)]
struct Ranked<T> {
    key: f64,
    tie: u64,
    item: T,
}

fn place(key: f64, tie: u64, other_key: f64, other_tie: u64) -> Ordering {
    key.total_cmp(&other_key).then(tie.cmp(&other_tie))
}

impl<T> PartialEq for Ranked<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl<T> Eq for Ranked<T> {}
impl<T> PartialOrd for Ranked<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl<T> Ord for Ranked<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        place(self.key, self.tie, other.key, other.tie)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_keys_are_kept_and_ties_are_broken_by_sequence() {
        let mut smallest = Smallest::default();
        for (seq_id, key) in [(9, 1.0), (3, 2.0), (1, 1.0), (4, 0.5), (7, 3.0), (2, 1.0)] {
            let example = Example {
                seq_id,
                score: Some(key),
                learnable_fraction: 1.0,
                rank: None,
                kept: false,
            };
            smallest.offer(key, seq_id, || example);
        }
        let ids: Vec<u64> = smallest.into_items().iter().map(|e| e.seq_id).collect();
        assert_eq!(ids, [4, 1, 2]);
    }
}
