//! A label set on disk: one row of it, or statistics over all finished rows.

use super::ViewError;
use super::columns::{ColumnBytes, add_column_bytes};
use super::stats::{LabelStats, StatsCollector};
use crate::shards::{
    DocumentsIndex, LabelSet, Plan, Row, ShardReader, ShardsError, open_documents,
};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Which row to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChoice {
    /// By the key that joins everything.
    SeqId(u64),
    /// By index: rows of all shards in order, counted from 0.
    Nth(u64),
}

/// Statistics of a set, with its progress and the sizes of its columns.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SetStats {
    /// Shards in the plan.
    pub n_shards: u32,
    /// Finished shards; everything else here is about these only.
    pub n_shards_finished: u32,
    /// Bytes of all columns together, per target.
    pub bytes_per_target: f64,
    /// Size of each column, in the order of the schema.
    pub columns: Vec<ColumnCost>,
    /// Totals over documents, if the set has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub documents: Option<DocumentsIndex>,
    /// Distributions of the values.
    #[serde(flatten)]
    pub labels: LabelStats,
}

/// Bytes of one column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ColumnCost {
    /// Column and bytes.
    #[serde(flatten)]
    pub column: ColumnBytes,
    /// Bytes per predicted position.
    pub bytes_per_target: f64,
}

/// Reads one row of `set`, with the plan that it was made by.
///
/// # Errors
/// A row or sequence that the set does not have; an unfinished or damaged shard.
pub fn read_row(set: &LabelSet, choice: RowChoice) -> Result<(Row, &Plan), ViewError> {
    let (plan, shard, mut row) = locate(set, choice)?;
    if !set.is_finished(shard)? {
        return Err(ViewError::NotFinished {
            dir: set.dir.clone(),
            shard,
        });
    }
    let groups = &plan.signals.groups;
    let mut reader = ShardReader::open_checked(&set.dir, plan, shard, groups)?;
    for (group_idx, seq_ids) in plan.row_groups(shard).iter().enumerate() {
        match row.checked_sub(seq_ids.len() as u64) {
            Some(later) => row = later,
            None => {
                let rows = reader.read_row_group(group_idx)?;
                // In bounds: reading fails unless the row group has as many rows as the plan says.
                return Ok((rows[row as usize].clone(), plan));
            }
        }
    }
    Err(no_such_row(set, choice))
}

/// The plan, the shard, and the row's index in the shard.
fn locate(set: &LabelSet, choice: RowChoice) -> Result<(&Plan, u32, u64), ViewError> {
    let found = match choice {
        RowChoice::SeqId(seq_id) => set.segment_of_sequence(seq_id).and_then(|plan| {
            let slot = plan.slot_of(seq_id)?;
            Some((plan, slot.shard, u64::from(slot.row)))
        }),
        RowChoice::Nth(n) => nth_row(set, n),
    };
    found.ok_or_else(|| no_such_row(set, choice))
}

fn nth_row(set: &LabelSet, n: u64) -> Option<(&Plan, u32, u64)> {
    let mut left = n;
    for plan in &set.segments {
        for shard in plan.shards() {
            match left.checked_sub(plan.n_rows(shard)) {
                Some(later) => left = later,
                None => return Some((plan, shard, left)),
            }
        }
    }
    None
}

fn no_such_row(set: &LabelSet, choice: RowChoice) -> ViewError {
    let dir = set.dir.clone();
    let is_in_range = |plan: &Plan, seq_id: u64| {
        let sequences = &plan.sequences;
        (sequences.start..sequences.end).contains(&seq_id)
    };
    match choice {
        RowChoice::SeqId(seq_id) if set.segments.iter().any(|plan| is_in_range(plan, seq_id)) => {
            ViewError::NotKept { dir, seq_id }
        }
        RowChoice::SeqId(seq_id) => {
            let ranges = set
                .segments
                .iter()
                .map(|plan| plan.sequences.start..plan.sequences.end);
            ViewError::NoSuchSequence {
                dir,
                seq_id,
                ranges: ranges.collect(),
            }
        }
        RowChoice::Nth(row) => {
            let n_rows = set.segments.iter().map(Plan::n_sequences).sum();
            ViewError::NoSuchRow { dir, row, n_rows }
        }
    }
}

/// Reads every finished shard, a row group at a time; histograms have at most `n_bars` bars. `on_row_group` is
/// called with the rows of each.
///
/// # Errors
/// A damaged shard; a set without a finished shard.
pub fn collect_stats(
    set: &LabelSet,
    n_bars: usize,
    mut on_row_group: impl FnMut(&[Row]),
) -> Result<SetStats, ViewError> {
    let mut collector = StatsCollector::default();
    let mut columns = Vec::new();
    let mut n_shards_finished = 0;
    for (plan, shard) in set.finished_shards()? {
        let groups = &plan.signals.groups;
        for rows in ShardReader::open_checked(&set.dir, plan, shard, groups)? {
            let rows = rows?;
            rows.iter().for_each(|row| collector.add(row));
            on_row_group(&rows);
        }
        for file in shard_files(plan) {
            add_column_bytes(&mut columns, file, &part_path(&set.dir, file, shard))?;
        }
        n_shards_finished += 1;
    }
    if n_shards_finished == 0 {
        return Err(ViewError::NothingFinished {
            dir: set.dir.clone(),
        });
    }
    let stats = set_stats(
        set.n_shards(),
        n_shards_finished,
        columns,
        collector.finish(n_bars),
    );
    Ok(SetStats {
        documents: documents_of(set)?,
        ..stats
    })
}

/// The index of a set's documents; `None` if they have not been summed up.
fn documents_of(set: &LabelSet) -> Result<Option<DocumentsIndex>, ViewError> {
    match open_documents(set) {
        Ok((index, _)) => Ok(Some(index)),
        Err(ShardsError::NoDocuments { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn set_stats(
    n_shards: u32,
    n_shards_finished: u32,
    columns: Vec<ColumnBytes>,
    labels: LabelStats,
) -> SetStats {
    let each = |n_bytes: u64| n_bytes as f64 / labels.n_targets.max(1) as f64;
    let n_bytes = columns.iter().map(|column| column.n_bytes).sum();
    let cost = |column: ColumnBytes| ColumnCost {
        bytes_per_target: each(column.n_bytes),
        column,
    };
    SetStats {
        n_shards,
        n_shards_finished,
        bytes_per_target: each(n_bytes),
        columns: columns.into_iter().map(cost).collect(),
        documents: None,
        labels,
    }
}

fn shard_files(plan: &Plan) -> &'static [&'static str] {
    if plan.signals.has_positions() {
        &["scores", "positions"]
    } else {
        &["scores"]
    }
}

fn part_path(dir: &Path, file: &str, shard: u32) -> PathBuf {
    dir.join(file).join(format!("part-{shard:05}.parquet"))
}

#[cfg(test)]
mod tests;
