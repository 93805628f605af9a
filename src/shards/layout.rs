//! How many rows a shard and a row group have, and which sequence is in which row.

use super::permutation::Permutation;
use super::plan::{Group, Layout, Plan, PlanSamples, PlanSignals};
use super::seq_ids::SeqIdOrder;
use crate::signals::Rounding;
use std::ops::Range;
use std::sync::Arc;

/// Default target size of a shard, in encoded bytes.
pub const DEFAULT_SHARD_BYTES: u64 = 128 << 20;
/// zstd level of every column chunk. At K = 50 level 9 takes 2% less space and 1.7 microseconds of processor time per
/// target more; levels above it save 1% for five times the time.
pub const DEFAULT_ZSTD_LEVEL: i32 = 3;
/// Target size of a row group in raw (decoded) bytes: what writer and reader hold in memory.
const ROW_GROUP_RAW_BYTES: f64 = (16u64 << 20) as f64;
/// Most targets per shard: otherwise, in sets with few bytes per target, one interruption would lose hours of
/// labelling.
const MAX_TARGETS_PER_SHARD: f64 = (4u64 << 20) as f64;
/// Distinct ids among 50 draws at 3 nats of entropy, typical of a language model, and the power of N by which they grow
/// there, computed for ids whose probability is a power of their rank, V = 32000: 5.9 of 10, 17.7 of 50, 80 of 500.
const DISTINCT_OF_50: f64 = 18.0;
const DISTINCT_EXPONENT: f64 = 0.66;
/// Encoded bytes of a distinct id with its count, and of a position's offset. Measured with N = 50: an id
/// and its count take 1.3 (V = 2000), 1.55 (V = 8192) and 1.6 bytes (V = 50000).
const SAMPLED_ID_BYTES: f64 = 1.6;
const SAMPLE_OFFSET_BYTES: f64 = 1.2;
/// Bytes of a row besides its positions: ids, scores, list lengths.
const ROW_BYTES: f64 = 100.0;

impl Layout {
    /// Rows per shard and per row group, as a pure function of the row content: row groups of about 16 MiB decoded,
    /// shards of whole row groups and about `shard_bytes` encoded (estimated), or fewer if that would exceed 4 Mi
    /// targets; a `shard_bytes` below one row group shrinks the row group with the shard, to at least one row.
    /// `mean_targets` is that of the WHOLE view, not of the labelled range, so that an extension gets the same layout.
    ///
    /// The order is unshuffled, zstd has its default level, and there are no shards yet (see
    /// [`Layout::for_sequences`]).
    pub fn choose(mean_targets: f64, signals: &PlanSignals, shard_bytes: u64) -> Layout {
        let mean_targets = if mean_targets >= 1.0 {
            mean_targets
        } else {
            1.0
        };
        let row_raw = ROW_BYTES + mean_targets * raw_bytes_per_target(signals);
        let row_encoded = ROW_BYTES + mean_targets * encoded_bytes_per_target(signals);
        let by_bytes = shard_bytes as f64 / row_encoded;
        let by_targets = MAX_TARGETS_PER_SHARD / mean_targets;
        // `as` saturates and turns NaN into 0, so every positive input gives a layout.
        let shard_rows = (by_bytes.min(by_targets) as u64).max(1);
        let group_rows = ((ROW_GROUP_RAW_BYTES / row_raw) as u64).clamp(1, shard_rows);
        Layout {
            first_shard: 0,
            n_shards: 0,
            rows_per_shard: shard_rows - shard_rows % group_rows,
            rows_per_row_group: group_rows,
            order_seed: None,
            zstd_level: DEFAULT_ZSTD_LEVEL,
        }
    }

    /// The same layout with the number of shards that `n_sequences` need (saturating).
    pub fn for_sequences(self, n_sequences: u64) -> Layout {
        let n_shards = n_sequences.div_ceil(self.rows_per_shard.max(1));
        Layout {
            n_shards: u32::try_from(n_shards).unwrap_or(u32::MAX),
            ..self
        }
    }
}

/// Decoded bytes of one predicted position.
fn raw_bytes_per_target(signals: &PlanSignals) -> f64 {
    let k = f64::from(signals.top_k);
    let x = signals.temperatures.len() as f64;
    let ids = if signals.has_positions() { 4.0 } else { 0.0 };
    let stats = if signals.has(Group::Stats) { 14.0 } else { 0.0 };
    let topk = if signals.has(Group::Topk) {
        8.0 * k + 4.0 + 4.0 * x
    } else {
        0.0
    };
    let of_draws = |samples| 6.0 * distinct_draws(samples) + 4.0;
    let samples = signals.samples.as_ref().map_or(0.0, of_draws);
    ids + stats + topk + samples
}

/// Estimated distinct ids drawn at one position.
fn distinct_draws(samples: &PlanSamples) -> f64 {
    let n_draws = f64::from(samples.n_draws);
    n_draws.min(DISTINCT_OF_50 * (n_draws / 50.0).powf(DISTINCT_EXPONENT))
}

/// Estimate of the encoded bytes of one predicted position (BYTE_STREAM_SPLIT, zstd).
pub fn encoded_bytes_per_target(signals: &PlanSignals) -> f64 {
    let k = f64::from(signals.top_k);
    let x = signals.temperatures.len() as f64;
    let entry = encoded_bytes_per_entry(signals.rounding);
    let ids = if signals.has_positions() { 2.0 } else { 0.0 };
    let stats = if signals.has(Group::Stats) { 11.5 } else { 0.0 };
    let topk = if signals.has(Group::Topk) {
        entry * k + 3.4 * (1.0 + x)
    } else {
        0.0
    };
    let of_draws = |samples| SAMPLED_ID_BYTES * distinct_draws(samples) + SAMPLE_OFFSET_BYTES;
    let samples = signals.samples.as_ref().map_or(0.0, of_draws);
    ids + stats + topk + samples
}

/// Encoded bytes of one kept id with its log-probability. Ids of real teachers take 1.3 to 1.5 and their
/// log-probabilities 2.7 unrounded, 1.1 as f16, 0.7 as bf16. The values here are higher and must not change: the rows
/// of a shard follow from them, and a set in progress must keep its layout.
fn encoded_bytes_per_entry(rounding: Rounding) -> f64 {
    match rounding {
        Rounding::F32 => 5.2,
        Rounding::F16 => 3.0,
        Rounding::Bf16 => 2.6,
        Rounding::M6 => 2.0,
        Rounding::M5 => 1.9,
        Rounding::M4 => 1.8,
    }
}

/// The place of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot {
    /// Shard number.
    pub shard: u32,
    /// Row group in the shard.
    pub row_group: u32,
    /// Row in the shard (not in the row group).
    pub row: u32,
}

/// The sequences of a plan, numbered by increasing `seq_id`.
struct Numbers {
    range: Range<u64>,
    /// The kept sequences if there is a selection; one that was not read keeps none.
    selection: Option<Option<Arc<SeqIdOrder>>>,
}

impl Numbers {
    fn nth(&self, index: u64) -> Option<u64> {
        let seq_id = match &self.selection {
            None => self.range.start.checked_add(index),
            Some(kept) => kept
                .as_ref()
                .and_then(|kept| kept.nth(kept.n_below(self.range.start) + index)),
        };
        seq_id.filter(|seq_id| self.range.contains(seq_id))
    }

    fn index_of(&self, seq_id: u64) -> Option<u64> {
        if !self.range.contains(&seq_id) {
            return None;
        }
        let Some(selection) = &self.selection else {
            return Some(seq_id - self.range.start);
        };
        let kept = selection
            .as_ref()
            .filter(|kept| kept.set().contains(seq_id))?;
        Some(kept.n_below(seq_id) - kept.n_below(self.range.start))
    }
}

impl Plan {
    /// Shards of this plan.
    pub fn n_shards(&self) -> u32 {
        self.layout.n_shards
    }

    /// Numbers of this plan's shards.
    pub fn shards(&self) -> std::ops::Range<u32> {
        self.layout.first_shard..self.layout.first_shard.saturating_add(self.layout.n_shards)
    }

    /// Rows of `shard`; 0 if it is not in this plan.
    pub fn n_rows(&self, shard: u32) -> u64 {
        if !self.shards().contains(&shard) {
            return 0;
        }
        let first = u64::from(shard - self.layout.first_shard) * self.layout.rows_per_shard;
        let left = self.n_sequences().saturating_sub(first);
        left.min(self.layout.rows_per_shard)
    }

    /// Estimated targets of `n_rows` of this plan's rows, in proportion. Exact for all of them and nearly so otherwise:
    /// only the last rows of the text or of documents are shorter.
    pub fn targets_of_rows(&self, n_rows: u64) -> u64 {
        let all = u128::from(self.n_sequences().max(1));
        (u128::from(self.sequences.n_targets) * u128::from(n_rows) / all) as u64
    }

    /// seq_ids of `shard`, in row order; none if it is not in this plan.
    pub fn shard_seq_ids(&self, shard: u32) -> impl Iterator<Item = u64> + use<> {
        let n_rows = self.n_rows(shard);
        let first = match n_rows {
            0 => 0,
            _ => u64::from(shard - self.layout.first_shard) * self.layout.rows_per_shard,
        };
        let permutation = self.permutation();
        let numbers = self.numbers();
        (first..first + n_rows).filter_map(move |slot| numbers.nth(permutation.index_at(slot)))
    }

    /// seq_ids of `shard`, row group by row group.
    pub fn row_groups(&self, shard: u32) -> Vec<Vec<u64>> {
        let mut left = self.n_rows(shard);
        let mut seq_ids = self.shard_seq_ids(shard);
        let mut groups = Vec::new();
        while left > 0 {
            let n_rows = left.min(self.layout.rows_per_row_group);
            groups.push(seq_ids.by_ref().take(n_rows as usize).collect());
            left -= n_rows;
        }
        groups
    }

    /// Where the row of `seq_id` is; `None` outside this plan's range.
    pub fn slot_of(&self, seq_id: u64) -> Option<Slot> {
        let index = self.numbers().index_of(seq_id)?;
        let slot = self.permutation().slot_of(index);
        let shard = u32::try_from(slot / self.layout.rows_per_shard).ok()?;
        let row = slot % self.layout.rows_per_shard;
        Some(Slot {
            shard: self.layout.first_shard.checked_add(shard)?,
            row_group: u32::try_from(row / self.layout.rows_per_row_group).ok()?,
            row: u32::try_from(row).ok()?,
        })
    }

    /// Whether this plan labels `seq_id`.
    pub fn has_sequence(&self, seq_id: u64) -> bool {
        self.numbers().index_of(seq_id).is_some()
    }

    /// The `index`-th of this plan's sequences by increasing `seq_id`, from 0; `None` past the last.
    pub fn nth_sequence(&self, index: u64) -> Option<u64> {
        self.numbers().nth(index)
    }

    /// All of this plan's sequences by increasing `seq_id`.
    pub fn seq_ids(&self) -> impl Iterator<Item = u64> + use<> {
        let numbers = self.numbers();
        (0..self.n_sequences()).filter_map(move |index| numbers.nth(index))
    }

    fn numbers(&self) -> Numbers {
        let sequences = &self.sequences;
        Numbers {
            range: sequences.start..sequences.end,
            selection: sequences.selection.as_ref().map(|s| s.kept.clone()),
        }
    }

    fn permutation(&self) -> Permutation {
        Permutation::new(self.n_sequences(), self.layout.order_seed)
    }
}
