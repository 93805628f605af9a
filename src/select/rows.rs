//! Scores of all sequences, from one label set or as the difference of two.

use super::SelectError;
use super::sort::{Keyed, Sorted, Sorter};
use crate::shards::{LabelSet, ScoreId, ScoreReader, ViewIdentity};
use crate::storage::StorageError;

/// One sequence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scored {
    pub(super) seq_id: u64,
    pub(super) n_targets: u32,
    pub(super) score: Option<f64>,
    /// From the first labels, if there are two.
    pub(super) learnable_fraction: f64,
}

/// The source of the scores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) labels: &'a LabelSet,
    /// Labels whose scores are subtracted.
    pub(super) minus: Option<&'a LabelSet>,
    pub(super) score: ScoreId,
}

impl Source<'_> {
    /// Checks that both label sets are finished and cover the same sequences.
    pub(super) fn check(&self) -> Result<(), SelectError> {
        self.labels.finished_manifest()?;
        let Some(minus) = self.minus else {
            return Ok(());
        };
        minus.finished_manifest()?;
        let view = |set: &LabelSet| ViewIdentity::of(&set.segments[0]);
        match view(self.labels).difference(&view(minus)) {
            None => Ok(()),
            Some(difference) => Err(SelectError::OtherSequences {
                labels: self.labels.dir.clone(),
                minus: minus.dir.clone(),
                field: difference.field,
                ours: difference.ours,
                theirs: difference.theirs,
            }),
        }
    }

    /// Calls `visit` for every sequence once: in row order, or by `seq_id` if two label sets are
    /// joined. A sequence that the second one lacks has no score.
    pub(super) fn each(
        &self,
        spill: &dyn Fn() -> Sorter,
        on_row_group: &mut dyn FnMut(u64),
        visit: &mut dyn FnMut(Scored) -> Result<(), SelectError>,
    ) -> Result<(), SelectError> {
        let Some(minus) = self.minus else {
            return each_of(self.labels, self.score, on_row_group, visit);
        };
        let ours = by_seq_id(self.labels, self.score, spill(), on_row_group)?;
        let theirs = by_seq_id(minus, self.score, spill(), on_row_group)?;
        join(ours, theirs, visit)
    }
}

fn each_of(
    set: &LabelSet,
    score: ScoreId,
    on_row_group: &mut dyn FnMut(u64),
    visit: &mut dyn FnMut(Scored) -> Result<(), SelectError>,
) -> Result<(), SelectError> {
    let wanted = [score, ScoreId::LearnableFraction];
    for plan in &set.segments {
        for shard in plan.shards() {
            for columns in ScoreReader::open(&set.dir, plan, shard, &wanted)? {
                let columns = columns?;
                for (r, &seq_id) in columns.seq_ids.iter().enumerate() {
                    visit(Scored {
                        seq_id,
                        n_targets: columns.n_targets[r],
                        score: columns.scores[0][r],
                        // Never null, and checked to be a fraction.
                        learnable_fraction: columns.scores[1][r].unwrap_or(0.0),
                    })?;
                }
                on_row_group(columns.seq_ids.len() as u64);
            }
        }
    }
    Ok(())
}

/// The rows of a set by increasing `seq_id`; their `extra` has the learnable fraction's bits.
fn by_seq_id(
    set: &LabelSet,
    score: ScoreId,
    mut sorter: Sorter,
    on_row_group: &mut dyn FnMut(u64),
) -> Result<Sorted, SelectError> {
    each_of(set, score, on_row_group, &mut |row| {
        Ok(sorter.push(Keyed {
            key: row.seq_id,
            seq_id: row.seq_id,
            score: row.score.unwrap_or(f64::NAN),
            extra: row.learnable_fraction.to_bits(),
            n_targets: row.n_targets,
            learnable_fraction: row.learnable_fraction as f32,
        })?)
    })?;
    Ok(sorter.into_sorted()?)
}

/// Every row of `ours`, minus the score of the same sequence in `theirs`.
fn join(
    ours: Sorted,
    theirs: impl Iterator<Item = Result<Keyed, StorageError>>,
    visit: &mut dyn FnMut(Scored) -> Result<(), SelectError>,
) -> Result<(), SelectError> {
    let mut theirs = theirs.peekable();
    for row in ours {
        let row = row?;
        let is_before =
            |other: &Result<Keyed, _>| matches!(other, Ok(other) if other.seq_id < row.seq_id);
        while theirs.next_if(is_before).is_some() {}
        let is_same =
            |other: &Result<Keyed, _>| !matches!(other, Ok(other) if other.seq_id != row.seq_id);
        let other = theirs.next_if(is_same).transpose()?;
        let difference = other.map(|other| row.score - other.score);
        visit(Scored {
            seq_id: row.seq_id,
            n_targets: row.n_targets,
            score: difference.filter(|score| !score.is_nan()),
            learnable_fraction: f64::from_bits(row.extra),
        })?;
    }
    Ok(())
}
