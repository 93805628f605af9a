//! The order in which sequences are seen: a pure function of seed and epoch.
//!
//! Labelled sequences are stored in row groups, which are read whole. In each epoch,
//!
//! 1. all (shard, row group) pairs with a kept row are permuted;
//! 2. each run of `shuffle_row_groups` of them forms a window, which is read together;
//! 3. the kept rows of a window are permuted.
//!
//! Sequences of token files are permuted one by one. Every permutation is a [`Permutation`] (a Feistel network,
//! computed without a table), each with its own key derived from the run's seed, so the sequence at any
//! position is known without reading anything.

use crate::shards::Permutation;
use crate::splitmix::splitmix64;

/// Keeps the keys of the different permutations apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    RowGroups = 1,
    Rows = 2,
    Tokens = 3,
}

/// One row group with kept rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Group {
    /// Shard number.
    pub(super) shard: u32,
    /// Row group in the shard.
    pub(super) row_group: u32,
    /// Its kept rows, at least 1.
    pub(super) n_rows: u32,
}

/// Row groups and how they are shuffled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LabelOrder {
    /// By shard, then by row group.
    pub(super) groups: Vec<Group>,
    /// Kept rows of all groups.
    pub(super) n_rows: u64,
    pub(super) seed: u64,
    pub(super) groups_per_window: usize,
}

impl LabelOrder {
    pub(super) fn new(groups: Vec<Group>, seed: u64, groups_per_window: usize) -> Self {
        LabelOrder {
            n_rows: groups.iter().map(|group| u64::from(group.n_rows)).sum(),
            groups,
            seed,
            groups_per_window,
        }
    }

    /// The order of the groups in one epoch.
    pub(super) fn epoch(&self, epoch: u64) -> EpochOrder {
        let n_groups = self.groups.len() as u64;
        let key = key(self.seed, Purpose::RowGroups, epoch, 0);
        let permutation = Permutation::new(n_groups, Some(key));
        let groups: Vec<usize> = (0..n_groups)
            .map(|slot| permutation.index_at(slot) as usize)
            .collect();
        let mut end = 0;
        let window_ends = groups
            .chunks(self.groups_per_window)
            .map(|window| {
                end += self.rows_of(window);
                end
            })
            .collect();
        EpochOrder {
            epoch,
            groups,
            window_ends,
        }
    }

    /// The window that holds row `row` of an epoch, which must be below `n_rows`.
    pub(super) fn window(&self, order: &EpochOrder, row: u64) -> Window {
        let window = order.window_ends.partition_point(|&end| end <= row);
        let first = window * self.groups_per_window;
        let last = order.groups.len().min(first + self.groups_per_window);
        let groups = order.groups[first..last].to_vec();
        let n_rows = self.rows_of(&groups);
        let key = key(self.seed, Purpose::Rows, order.epoch, window as u64);
        Window {
            first_position: order.epoch * self.n_rows + order.window_ends[window] - n_rows,
            n_rows,
            groups,
            permutation: Permutation::new(n_rows, Some(key)),
        }
    }

    fn rows_of(&self, groups: &[usize]) -> u64 {
        let rows = groups.iter().map(|&g| u64::from(self.groups[g].n_rows));
        rows.sum()
    }
}

/// The row groups of one epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EpochOrder {
    pub(super) epoch: u64,
    /// Indices into `LabelOrder::groups`.
    groups: Vec<usize>,
    /// Rows up to the end of each window.
    window_ends: Vec<u64>,
}

/// Row groups that are read together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Window {
    /// Sequences of the stream before it, including earlier epochs.
    pub(super) first_position: u64,
    /// Its kept rows.
    pub(super) n_rows: u64,
    /// Indices into `LabelOrder::groups`, in the order in which they are read.
    pub(super) groups: Vec<usize>,
    permutation: Permutation,
}

impl Window {
    /// One past its last position.
    pub(super) fn end(&self) -> u64 {
        self.first_position + self.n_rows
    }

    /// Index, in reading order, of the kept row at a position of the stream.
    pub(super) fn row_at(&self, position: u64) -> usize {
        self.permutation.index_at(position - self.first_position) as usize
    }
}

/// The permutation of `n` sequences of token files in one epoch.
pub(super) fn token_permutation(n: u64, seed: u64, epoch: u64) -> Permutation {
    Permutation::new(n, Some(key(seed, Purpose::Tokens, epoch, 0)))
}

fn key(seed: u64, purpose: Purpose, epoch: u64, window: u64) -> u64 {
    [purpose as u64, epoch, window]
        .into_iter()
        .fold(splitmix64(seed), |key, part| {
            splitmix64(key ^ splitmix64(part))
        })
}

#[cfg(test)]
mod tests;
