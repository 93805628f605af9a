//! Rows to Parquet, to any sink, one row group at a time.

use super::columns::{self, Column, ColumnId, FileKind, PieceColumn, ScoreId};
use super::piece::Piece;
use super::plan::Plan;
use super::properties;
use super::row::Row;
use crate::signals::Scores;
use crate::storage::RowGroupWriter;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, Float64Array, ListArray, PrimitiveArray, UInt32Array, UInt64Array};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use parquet::basic::ZstdLevel;
use parquet::errors::{ParquetError, Result};
use std::io::Write;
use std::sync::Arc;

/// Writes one file of a shard.
pub(super) struct FileEncoder<W: Write + Send> {
    groups: RowGroupWriter<W>,
    columns: Vec<Column>,
}

impl<W: Write + Send> FileEncoder<W> {
    pub(super) fn new(
        sink: W,
        plan: &Plan,
        shard: u32,
        file: FileKind,
        has_pieces: bool,
    ) -> Result<Self> {
        let columns = columns::columns(file, &plan.signals, has_pieces);
        let schema = columns::arrow_schema(&columns);
        let zstd = ZstdLevel::try_new(plan.layout.zstd_level)?;
        let metadata = properties::metadata(plan, file, shard);
        let properties = properties::writer_properties(&columns, metadata, zstd);
        Ok(FileEncoder {
            groups: RowGroupWriter::new(sink, schema, properties)?,
            columns,
        })
    }

    /// Writes `rows` as one row group.
    pub(super) fn write_row_group(&mut self, rows: &[Row]) -> Result<()> {
        let arrays: Result<Vec<ArrayRef>> = self
            .columns
            .iter()
            .map(|column| array(column, rows))
            .collect();
        self.groups.write(arrays?)
    }

    /// Writes the footer and returns the sink.
    pub(super) fn finish(self) -> Result<W> {
        self.groups.finish()
    }
}

/// One column of `rows`.
fn array(column: &Column, rows: &[Row]) -> Result<ArrayRef> {
    match column.id {
        ColumnId::SeqId => Ok(Arc::new(UInt64Array::from_iter_values(
            rows.iter().map(|r| r.seq_id),
        ))),
        ColumnId::NTargets => Ok(Arc::new(UInt32Array::from_iter_values(
            rows.iter().map(|r| r.n_targets),
        ))),
        ColumnId::FirstDocIndex => Ok(Arc::new(UInt64Array::from_iter_values(
            rows.iter().map(|r| r.first_doc_index),
        ))),
        ColumnId::Score(score) if column.nullable => Ok(Arc::new(Float64Array::from_iter(
            rows.iter().map(|r| stored_score(&r.scores, score)),
        ))),
        ColumnId::Score(score) => Ok(Arc::new(Float64Array::from_iter_values(
            rows.iter()
                .map(|r| score_of(&r.scores, score).unwrap_or(f64::NAN)),
        ))),
        ColumnId::Piece(piece) => piece_lists(column, piece, rows),
        ColumnId::InputIds => lists::<UInt32Type, _>(column, rows, |r| &r.input_ids),
        ColumnId::DocStarts => lists::<UInt32Type, _>(column, rows, |r| &r.doc_starts),
        ColumnId::DocIndices => lists::<UInt64Type, _>(column, rows, |r| &r.doc_indices),
        ColumnId::TargetLogprob => {
            lists::<Float32Type, _>(column, rows, |r| &r.signals.target_logprob_t)
        }
        ColumnId::TargetRank => lists::<UInt16Type, _>(column, rows, |r| &r.signals.target_rank_t),
        ColumnId::Entropy => lists::<Float32Type, _>(column, rows, |r| &r.signals.entropy_t),
        ColumnId::Logsumexp => lists::<Float32Type, _>(column, rows, |r| &r.signals.logsumexp_t),
        ColumnId::TopkIds => lists::<UInt32Type, _>(column, rows, |r| &r.signals.topk_ids_tk),
        ColumnId::TopkLogprobs => {
            lists::<Float32Type, _>(column, rows, |r| &r.signals.topk_logprobs_tk)
        }
        ColumnId::TailMass => lists::<Float32Type, _>(column, rows, |r| &r.signals.tail_mass_t),
        ColumnId::LogPartition(x) => {
            lists::<Float32Type, _>(column, rows, |r| &r.signals.log_partition_xt[x])
        }
        ColumnId::SampledIds => lists::<UInt32Type, _>(column, rows, |r| &r.signals.sampled_ids),
        ColumnId::SampledCounts => {
            lists::<UInt16Type, _>(column, rows, |r| &r.signals.sampled_counts)
        }
        ColumnId::SampleOffsets => {
            lists::<UInt32Type, _>(column, rows, |r| &r.signals.sample_offsets)
        }
    }
}

/// A null stands for a score that is infinite because its NLL is.
fn stored_score(scores: &Scores, score: ScoreId) -> Option<f64> {
    score_of(scores, score).filter(|&value| value != f64::INFINITY)
}

fn score_of(scores: &Scores, score: ScoreId) -> Option<f64> {
    match score {
        ScoreId::Salt => scores.salt,
        ScoreId::SaltMasked => Some(scores.salt_masked),
        ScoreId::MeanNll => Some(scores.mean_nll),
        ScoreId::MedianNll => Some(scores.median_nll),
        ScoreId::LearnableFraction => Some(scores.learnable_fraction),
        ScoreId::MeanEntropy => Some(scores.mean_entropy),
        ScoreId::MeanTopkMass => Some(scores.mean_topk_mass),
    }
}

/// One value of every document of every row.
fn piece_lists(column: &Column, piece: PieceColumn, rows: &[Row]) -> Result<ArrayRef> {
    // A sequence has fewer than 2^32 targets.
    let count = |n: u64| n as u32;
    match piece {
        PieceColumn::DocIndex => lists_of::<UInt64Type>(column, rows, |p| p.doc_index),
        PieceColumn::NTargets => lists_of::<UInt32Type>(column, rows, |p| count(p.sums.n_targets)),
        PieceColumn::NLearnable => {
            lists_of::<UInt32Type>(column, rows, |p| count(p.sums.n_learnable))
        }
        PieceColumn::Nll => lists_of::<Float64Type>(column, rows, |p| p.sums.nll),
        PieceColumn::NllLearnable => {
            lists_of::<Float64Type>(column, rows, |p| p.sums.nll_learnable)
        }
        PieceColumn::Entropy => lists_of::<Float64Type>(column, rows, |p| p.sums.entropy),
        PieceColumn::TopkMass => lists_of::<Float64Type>(column, rows, |p| p.sums.topk_mass),
    }
}

fn lists_of<P: ArrowPrimitiveType>(
    column: &Column,
    rows: &[Row],
    value: impl Fn(&Piece) -> P::Native,
) -> Result<ArrayRef> {
    let values = |row: &Row| row.pieces.iter().map(&value).collect::<Vec<_>>();
    let of_rows: Vec<Vec<P::Native>> = rows.iter().map(values).collect();
    lists::<P, _>(column, &of_rows, |values| values)
}

/// One list per row, with its items flat.
fn lists<P: ArrowPrimitiveType, R>(
    column: &Column,
    rows: &[R],
    list: impl Fn(&R) -> &Vec<P::Native>,
) -> Result<ArrayRef> {
    let n_items: usize = rows.iter().map(|row| list(row).len()).sum();
    let mut items = Vec::with_capacity(n_items);
    let mut offsets = Vec::with_capacity(rows.len() + 1);
    offsets.push(0i32);
    for row in rows {
        items.extend_from_slice(list(row));
        offsets.push(i32::try_from(items.len()).map_err(|_| {
            ParquetError::General(format!("{} passes 2^31 values in a row group", column.name))
        })?);
    }
    let items = Arc::new(PrimitiveArray::<P>::new(ScalarBuffer::from(items), None));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    let array = ListArray::try_new(column.item_field(), offsets, items, None)?;
    Ok(Arc::new(array))
}
