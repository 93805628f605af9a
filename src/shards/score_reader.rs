//! Reads only scores, column by column, for selection.

use super::ShardsError;
use super::check::Checker;
use super::columns::{ColumnId, FileKind, ScoreId};
use super::decode::FileDecoder;
use super::names::file_name;
use super::plan::Plan;
use super::reader::check_shard;
use super::sidecar::open_checked;
use arrow_array::ArrayRef;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
use std::path::{Path, PathBuf};

/// One row group of a scores file: seq_ids, lengths, and the requested scores.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScoreColumns {
    /// seq_ids, in row order.
    pub seq_ids: Vec<u64>,
    /// Predicted positions of each.
    pub n_targets: Vec<u32>,
    /// One list per score, in the requested order; `None` is a null.
    pub scores: Vec<Vec<Option<f64>>>,
}

/// Reads some scores of one shard, row group by row group, without decoding other columns. The file is first compared
/// with its sidecar, and the values are checked as in `ShardReader`.
#[derive(Debug)]
pub struct ScoreReader {
    decoder: FileDecoder,
    checker: Checker,
    path: PathBuf,
    scores: Vec<ScoreId>,
    /// seq_ids of every row group.
    groups: std::iter::Enumerate<std::vec::IntoIter<Vec<u64>>>,
    n_rows_read: u64,
}

impl ScoreReader {
    /// Opens the scores file of `shard` in the directory `dir`.
    ///
    /// # Errors
    /// [`ShardsError::NoSuchShard`], I/O failures, a shard that is not done, a file that does not match its sidecar or
    /// whose footer does not match the plan.
    pub fn open(
        dir: &Path,
        plan: &Plan,
        shard: u32,
        scores: &[ScoreId],
    ) -> Result<Self, ShardsError> {
        check_shard(plan, shard)?;
        let path = dir.join(file_name(FileKind::Scores, shard));
        let source = open_checked(dir, plan, shard, FileKind::Scores)?;
        let mut decoder = FileDecoder::open(&path, source, plan, shard, FileKind::Scores)?;
        decoder.keep_columns(|column| match column.id {
            ColumnId::SeqId | ColumnId::NTargets => true,
            ColumnId::Score(score) => scores.contains(&score),
            _ => false,
        });
        Ok(ScoreReader {
            decoder,
            checker: Checker::new(plan),
            path,
            scores: scores.to_vec(),
            groups: plan.row_groups(shard).into_iter().enumerate(),
            n_rows_read: 0,
        })
    }

    fn read(&mut self, row_group: usize, seq_ids: &[u64]) -> Result<ScoreColumns, ShardsError> {
        let arrays = self.decoder.read_scalars(row_group, seq_ids.len())?;
        let columns = ScoreColumns {
            seq_ids: of_id(&arrays, ColumnId::SeqId, |array| {
                Some(array.as_primitive_opt::<UInt64Type>()?.values().to_vec())
            }),
            n_targets: of_id(&arrays, ColumnId::NTargets, |array| {
                Some(array.as_primitive_opt::<UInt32Type>()?.values().to_vec())
            }),
            scores: self
                .scores
                .iter()
                .map(|&score| {
                    of_id(&arrays, ColumnId::Score(score), |array| {
                        Some(array.as_primitive_opt::<Float64Type>()?.iter().collect())
                    })
                })
                .collect(),
        };
        self.check(&columns, seq_ids)?;
        self.n_rows_read += seq_ids.len() as u64;
        Ok(columns)
    }

    fn check(&self, columns: &ScoreColumns, seq_ids: &[u64]) -> Result<(), ShardsError> {
        for (r, &expected) in seq_ids.iter().enumerate() {
            let scores = self.scores.iter().zip(&columns.scores);
            let scores = scores.map(|(&score, values)| (score, values[r]));
            let seq_id = columns.seq_ids[r];
            self.checker
                .check_scored((seq_id, expected), columns.n_targets[r], scores)
                .map_err(|source| ShardsError::Row {
                    path: self.path.clone(),
                    row: self.n_rows_read + r as u64,
                    seq_id,
                    source,
                })?;
        }
        Ok(())
    }
}

impl Iterator for ScoreReader {
    type Item = Result<ScoreColumns, ShardsError>;

    /// The next row group. After an error there is nothing more.
    fn next(&mut self) -> Option<Self::Item> {
        let (row_group, seq_ids) = self.groups.next()?;
        let read = self.read(row_group, &seq_ids);
        if read.is_err() {
            self.groups = Vec::new().into_iter().enumerate();
        }
        Some(read)
    }
}

/// The values of one column, whose presence and type were checked against the schema when the file was opened.
fn of_id<V>(
    arrays: &[(ColumnId, ArrayRef)],
    id: ColumnId,
    values: impl Fn(&ArrayRef) -> Option<Vec<V>>,
) -> Vec<V> {
    let array = arrays.iter().find(|(got, _)| *got == id);
    array
        .and_then(|(_, array)| values(array))
        .expect("a column of the plan has the plan's type")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::ShardReader;
    use crate::shards::testing::{plan, with_targets, write_set};
    use clap::ValueEnum;

    #[test]
    fn the_columns_hold_what_the_rows_hold() {
        let dir = tempfile::tempdir().unwrap();
        let plan = write_set(dir.path(), &with_targets(plan()));
        for shard in plan.shards() {
            let rows = ShardReader::open_scores_checked(dir.path(), &plan, shard).unwrap();
            let rows: Vec<_> = rows.flat_map(Result::unwrap).collect();
            let asked = [ScoreId::LearnableFraction, ScoreId::Salt];
            let reader = ScoreReader::open(dir.path(), &plan, shard, &asked).unwrap();
            let mut at = 0;
            for columns in reader.map(Result::unwrap) {
                for (r, &seq_id) in columns.seq_ids.iter().enumerate() {
                    let row = &rows[at];
                    assert_eq!((seq_id, columns.n_targets[r]), (row.seq_id, row.n_targets));
                    let learnable = Some(row.scores.learnable_fraction);
                    assert_eq!(columns.scores[0][r], learnable);
                    assert_eq!(columns.scores[1][r], row.scores.salt);
                    at += 1;
                }
            }
            assert_eq!(at, rows.len());
        }
    }

    #[test]
    fn every_score_is_called_what_its_column_is_called() {
        for score in ScoreId::ALL {
            let value = score.to_possible_value().unwrap();
            assert_eq!(value.get_name(), score.name());
            let json = serde_json::to_value(score).unwrap();
            assert_eq!(json, score.name());
        }
    }
}
