//! Parquet to rows: the inverse of `encode`, for files that may be damaged.

use super::ShardsError;
use super::columns::{self, Column, ColumnId, FileKind, PieceColumn, ScoreId, Shape};
use super::piece::Piece;
use super::plan::Plan;
use super::properties::{self, METADATA_PREFIX};
use super::row::Row;
use crate::signals::Scores;
use crate::storage::Source;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Highest expansion of a byte in a Zstandard frame: a block of 128 KiB takes at least 4 bytes.
const MAX_EXPANSION: u64 = 1 << 15;

/// One opened file of a shard, with the plan's schema, metadata and row groups.
#[derive(Debug)]
pub(super) struct FileDecoder {
    path: PathBuf,
    source: Source,
    metadata: ArrowReaderMetadata,
    columns: Vec<Column>,
}

impl FileDecoder {
    /// Opens `source` and compares its footer with the plan. `path` is for messages.
    pub(super) fn open(
        path: &Path,
        source: Source,
        plan: &Plan,
        shard: u32,
        file: FileKind,
    ) -> Result<Self, ShardsError> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = source
            .decode(|| ArrowReaderMetadata::load(&source, options))
            .map_err(|error| ShardsError::of_decoder(path, error))?;
        let has_pieces = found_type(metadata.schema(), PieceColumn::DocIndex.name()).is_some();
        let decoder = FileDecoder {
            path: path.to_path_buf(),
            source,
            metadata,
            columns: columns::columns(file, &plan.signals, has_pieces),
        };
        decoder.check_metadata(plan, shard, file)?;
        decoder.check_columns()?;
        decoder.check_row_groups(plan, shard)?;
        Ok(decoder)
    }

    /// Keeps only the columns that `wanted` accepts.
    pub(super) fn keep_columns(&mut self, wanted: impl Fn(&Column) -> bool) {
        self.columns.retain(wanted);
    }

    fn check_metadata(&self, plan: &Plan, shard: u32, file: FileKind) -> Result<(), ShardsError> {
        let have = self.metadata.metadata().file_metadata();
        let have = have.key_value_metadata();
        let find = |key: &str| {
            let entries = have.into_iter().flatten();
            let mut values = entries.filter(|entry| entry.key == key);
            values.next().and_then(|entry| entry.value.clone())
        };
        for (key, expected) in properties::metadata(plan, file, shard) {
            let got = find(&key);
            if got.as_deref() != Some(expected.as_str()) {
                return Err(ShardsError::Metadata {
                    path: self.path.clone(),
                    key: key.trim_start_matches(METADATA_PREFIX).to_owned(),
                    expected,
                    got: got.unwrap_or_else(|| "absent".to_owned()),
                });
            }
        }
        Ok(())
    }

    /// Every column of the plan must be present with its type; other columns are ignored.
    fn check_columns(&self) -> Result<(), ShardsError> {
        for column in &self.columns {
            let got = found_type(self.metadata.schema(), &column.name);
            if got
                .as_ref()
                .is_none_or(|got| !same_type(got, &column.data_type()))
            {
                return Err(ShardsError::Column {
                    path: self.path.clone(),
                    column: column.name.clone(),
                    expected: column.data_type().to_string(),
                    got: got.map_or_else(|| "absent".to_owned(), |got| got.to_string()),
                });
            }
        }
        Ok(())
    }

    /// The counts that the footer claims are compared with the plan before anything is allocated for them.
    fn check_row_groups(&self, plan: &Plan, shard: u32) -> Result<(), ShardsError> {
        let n_rows = plan.n_rows(shard);
        let per_group = plan.layout.rows_per_row_group;
        let groups = self.metadata.metadata().row_groups();
        self.expect(
            "the number of row groups",
            n_rows.div_ceil(per_group),
            groups.len() as u64,
        )?;
        for (i, group) in groups.iter().enumerate() {
            let expected = (n_rows - i as u64 * per_group).min(per_group);
            let got = u64::try_from(group.num_rows()).unwrap_or(0);
            self.expect(&format!("rows of row group {i}"), expected, got)?;
            for chunk in group.columns() {
                let n_values = u64::try_from(chunk.num_values()).unwrap_or(u64::MAX);
                let Some(column) = self.column_of(chunk.column_path().parts()) else {
                    continue;
                };
                let most = expected.saturating_mul(max_values_per_row(plan, column.shape));
                if n_values > most {
                    let what = format!("values of {} in row group {i}", chunk.column_path());
                    self.expect(&what, most, n_values)?;
                }
                self.check_chunk(i, column, chunk)?;
            }
        }
        Ok(())
    }

    /// A column chunk lies inside the file, and its bytes can hold as many values as it claims, since a reader
    /// allocates space for those.
    fn check_chunk(
        &self,
        row_group: usize,
        column: &Column,
        chunk: &ColumnChunkMetaData,
    ) -> Result<(), ShardsError> {
        let n_bytes = u64::try_from(chunk.compressed_size()).unwrap_or(u64::MAX);
        let what = |what| format!("{what} of {} in row group {row_group}", chunk.column_path());
        if n_bytes > self.source.n_bytes() {
            return self.expect(&what("bytes"), self.source.n_bytes(), n_bytes);
        }
        // Nulls take no bytes, and an empty list counts as one value but takes none.
        let is_whole = matches!(
            column.shape,
            Shape::Scalar | Shape::T | Shape::TPlus1 | Shape::TTimesK
        );
        let width = column.item.primitive_width().unwrap_or(1) as u64;
        let most = n_bytes.saturating_mul(MAX_EXPANSION) / width;
        let n_values = u64::try_from(chunk.num_values()).unwrap_or(u64::MAX);
        if is_whole && !column.nullable && n_values > most {
            return self.expect(&what("values"), most, n_values);
        }
        Ok(())
    }

    fn column_of(&self, path: &[String]) -> Option<&Column> {
        self.columns.iter().find(|c| path.first() == Some(&c.name))
    }

    fn expect(&self, what: &str, expected: u64, got: u64) -> Result<(), ShardsError> {
        if expected == got {
            return Ok(());
        }
        Err(ShardsError::Shape {
            path: self.path.clone(),
            what: what.to_owned(),
            expected,
            got,
        })
    }

    /// Decodes row group `i` into `rows`, which has the length given by the plan.
    pub(super) fn read_row_group(&self, i: usize, rows: &mut [Row]) -> Result<(), ShardsError> {
        let batch = self.decode_batch(i, rows.len())?;
        self.expect(
            &format!("decoded rows of row group {i}"),
            rows.len() as u64,
            batch.num_rows() as u64,
        )?;
        for column in &self.columns {
            let array = batch.column_by_name(&column.name);
            let stored = array.and_then(|array| store(column, array, rows));
            if stored.is_none() {
                return Err(self.wrong_column(column, array));
            }
        }
        Ok(())
    }

    /// The kept scalar columns of row group `i` with their ids, as stored.
    pub(super) fn read_scalars(
        &self,
        i: usize,
        n_rows: usize,
    ) -> Result<Vec<(ColumnId, ArrayRef)>, ShardsError> {
        let batch = self.decode_batch(i, n_rows)?;
        self.expect(
            &format!("decoded rows of row group {i}"),
            n_rows as u64,
            batch.num_rows() as u64,
        )?;
        let of_column = |column: &Column| {
            let array = batch.column_by_name(&column.name);
            let is_whole = |array: &&ArrayRef| column.nullable || array.null_count() == 0;
            match array.filter(is_whole) {
                Some(array) => Ok((column.id, array.clone())),
                None => Err(self.wrong_column(column, array)),
            }
        };
        self.columns.iter().map(of_column).collect()
    }

    fn wrong_column(&self, column: &Column, array: Option<&ArrayRef>) -> ShardsError {
        ShardsError::Column {
            path: self.path.clone(),
            column: column.name.clone(),
            expected: format!("{} without nulls", column.data_type()),
            got: array.map_or_else(|| "absent".to_owned(), describe),
        }
    }

    fn decode_batch(&self, i: usize, n_rows: usize) -> Result<RecordBatch, ShardsError> {
        self.source.fetch(&self.ranges_of(i))?;
        let batch = self.source.decode(|| self.read_batch(i, n_rows));
        batch.map_err(|error| ShardsError::of_decoder(&self.path, error))
    }

    /// The byte ranges of the wanted columns of row group `i`, as the footer claims.
    fn ranges_of(&self, i: usize) -> Vec<Range<u64>> {
        let groups = self.metadata.metadata().row_groups();
        let chunks = groups
            .get(i)
            .map(|group| group.columns())
            .unwrap_or_default();
        let of_column = |chunk: &&ColumnChunkMetaData| {
            let root = chunk.column_path().parts().first();
            root.is_some_and(|root| self.column_of(std::slice::from_ref(root)).is_some())
        };
        let ranges = chunks.iter().filter(of_column).map(|chunk| {
            // A footer may claim anything: `fetch` leaves out what is past the end.
            let start = chunk
                .dictionary_page_offset()
                .unwrap_or(chunk.data_page_offset());
            let start = u64::try_from(start.min(chunk.data_page_offset())).unwrap_or(u64::MAX);
            let n_bytes = u64::try_from(chunk.compressed_size()).unwrap_or(u64::MAX);
            start..start.saturating_add(n_bytes)
        });
        ranges.collect()
    }

    fn read_batch(&self, i: usize, n_rows: usize) -> Result<RecordBatch, ParquetError> {
        let mask = {
            let roots = self.metadata.schema().fields().iter().enumerate();
            let ours = roots
                .filter(|(_, field)| self.column_of(std::slice::from_ref(field.name())).is_some());
            ProjectionMask::roots(self.metadata.parquet_schema(), ours.map(|(root, _)| root))
        };
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(
            self.source.clone(),
            self.metadata.clone(),
        );
        let mut reader = builder
            .with_projection(mask)
            .with_row_groups(vec![i])
            .with_batch_size(n_rows.max(1))
            .build()?;
        match reader.next() {
            Some(batch) => Ok(batch?),
            None => Err(ParquetError::EOF(format!("row group {i} holds no rows"))),
        }
    }
}

/// Most values that a column of this shape can have in a row; an empty list counts as one.
fn max_values_per_row(plan: &Plan, shape: Shape) -> u64 {
    let t = u64::from(plan.sequences.seq_len);
    let signals = &plan.signals;
    let most = match shape {
        Shape::Scalar => 1,
        Shape::T => t,
        Shape::TPlus1 | Shape::Documents => t + 1,
        Shape::Pieces => t,
        Shape::TTimesK => t.saturating_mul(u64::from(signals.top_k)),
        Shape::Draws => {
            let n_distinct = signals.max_distinct_draws(plan.teacher.vocab_size);
            t.saturating_mul(u64::from(n_distinct))
        }
    };
    most.max(1)
}

fn found_type(schema: &Schema, name: &str) -> Option<DataType> {
    let field = schema.fields().iter().find(|field| field.name() == name)?;
    Some(field.data_type().clone())
}

/// Whether both are the same scalar, or lists of the same item type whatever the item's name.
fn same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => a.data_type() == b.data_type(),
        _ => a == b,
    }
}

fn describe(array: &ArrayRef) -> String {
    format!("{} with {} nulls", array.data_type(), array.null_count())
}

/// Stores one decoded column in `rows`; `None` if its type or its nulls do not match the column.
fn store(column: &Column, array: &ArrayRef, rows: &mut [Row]) -> Option<()> {
    if column.shape == Shape::Scalar && !column.nullable && array.null_count() > 0 {
        return None;
    }
    match column.id {
        ColumnId::SeqId => scalars::<UInt64Type>(array, rows, |r, x| r.seq_id = x),
        ColumnId::NTargets => scalars::<UInt32Type>(array, rows, |r, x| r.n_targets = x),
        ColumnId::FirstDocIndex => scalars::<UInt64Type>(array, rows, |r, x| r.first_doc_index = x),
        ColumnId::Score(score) => {
            let array = array.as_primitive_opt::<Float64Type>()?;
            for (row, value) in rows.iter_mut().zip(array) {
                set_score(&mut row.scores, score, value);
            }
            Some(())
        }
        ColumnId::Piece(piece) => store_pieces(piece, array, rows),
        ColumnId::InputIds => lists::<UInt32Type, _>(array, rows, |r| &mut r.input_ids),
        ColumnId::DocStarts => lists::<UInt32Type, _>(array, rows, |r| &mut r.doc_starts),
        ColumnId::DocIndices => lists::<UInt64Type, _>(array, rows, |r| &mut r.doc_indices),
        ColumnId::TargetLogprob => {
            lists::<Float32Type, _>(array, rows, |r| &mut r.signals.target_logprob_t)
        }
        ColumnId::TargetRank => {
            lists::<UInt16Type, _>(array, rows, |r| &mut r.signals.target_rank_t)
        }
        ColumnId::Entropy => lists::<Float32Type, _>(array, rows, |r| &mut r.signals.entropy_t),
        ColumnId::Logsumexp => lists::<Float32Type, _>(array, rows, |r| &mut r.signals.logsumexp_t),
        ColumnId::TopkIds => lists::<UInt32Type, _>(array, rows, |r| &mut r.signals.topk_ids_tk),
        ColumnId::TopkLogprobs => {
            lists::<Float32Type, _>(array, rows, |r| &mut r.signals.topk_logprobs_tk)
        }
        ColumnId::TailMass => lists::<Float32Type, _>(array, rows, |r| &mut r.signals.tail_mass_t),
        ColumnId::LogPartition(x) => lists::<Float32Type, _>(array, rows, |r| {
            let lists = &mut r.signals.log_partition_xt;
            lists.resize_with(lists.len().max(x + 1), Vec::new);
            &mut lists[x]
        }),
        ColumnId::SampledIds => lists::<UInt32Type, _>(array, rows, |r| &mut r.signals.sampled_ids),
        ColumnId::SampledCounts => {
            lists::<UInt16Type, _>(array, rows, |r| &mut r.signals.sampled_counts)
        }
        ColumnId::SampleOffsets => {
            lists::<UInt32Type, _>(array, rows, |r| &mut r.signals.sample_offsets)
        }
    }
}

/// Stores one value of the documents in `rows`; `None` also if a row has no documents, or a different number than in
/// the column before.
fn store_pieces(piece: PieceColumn, array: &ArrayRef, rows: &mut [Row]) -> Option<()> {
    match piece {
        PieceColumn::DocIndex => {
            let mut of_rows = vec![Vec::new(); rows.len()];
            lists::<UInt64Type, _>(array, &mut of_rows, |list| list)?;
            for (row, doc_indices) in rows.iter_mut().zip(of_rows) {
                let piece = |doc_index| Piece {
                    doc_index,
                    ..Piece::default()
                };
                row.pieces = doc_indices.into_iter().map(piece).collect();
            }
            rows.iter().all(|row| !row.pieces.is_empty()).then_some(())
        }
        PieceColumn::NTargets => {
            piece_values::<UInt32Type>(array, rows, |p, x| p.sums.n_targets = x.into())
        }
        PieceColumn::NLearnable => {
            piece_values::<UInt32Type>(array, rows, |p, x| p.sums.n_learnable = x.into())
        }
        PieceColumn::Nll => piece_values::<Float64Type>(array, rows, |p, x| p.sums.nll = x),
        PieceColumn::NllLearnable => {
            piece_values::<Float64Type>(array, rows, |p, x| p.sums.nll_learnable = x)
        }
        PieceColumn::Entropy => piece_values::<Float64Type>(array, rows, |p, x| p.sums.entropy = x),
        PieceColumn::TopkMass => {
            piece_values::<Float64Type>(array, rows, |p, x| p.sums.topk_mass = x)
        }
    }
}

fn piece_values<P: ArrowPrimitiveType>(
    array: &ArrayRef,
    rows: &mut [Row],
    set: impl Fn(&mut Piece, P::Native),
) -> Option<()> {
    let mut of_rows = vec![Vec::new(); rows.len()];
    lists::<P, _>(array, &mut of_rows, |list| list)?;
    for (row, values) in rows.iter_mut().zip(of_rows) {
        if values.len() != row.pieces.len() {
            return None;
        }
        let pairs = row.pieces.iter_mut().zip(values);
        pairs.for_each(|(piece, value)| set(piece, value));
    }
    Some(())
}

fn set_score(scores: &mut Scores, score: ScoreId, value: Option<f64>) {
    // Only scores by NLL may be null, which means that it is infinite.
    let number = value.unwrap_or(f64::INFINITY);
    match score {
        ScoreId::Salt => scores.salt = value,
        ScoreId::SaltMasked => scores.salt_masked = number,
        ScoreId::MeanNll => scores.mean_nll = number,
        ScoreId::MedianNll => scores.median_nll = number,
        ScoreId::LearnableFraction => scores.learnable_fraction = number,
        ScoreId::MeanEntropy => scores.mean_entropy = number,
        ScoreId::MeanTopkMass => scores.mean_topk_mass = number,
    }
}

fn scalars<P: ArrowPrimitiveType>(
    array: &ArrayRef,
    rows: &mut [Row],
    mut set: impl FnMut(&mut Row, P::Native),
) -> Option<()> {
    let array = array.as_primitive_opt::<P>()?;
    for (row, &value) in rows.iter_mut().zip(array.values()) {
        set(row, value);
    }
    Some(())
}

fn lists<P: ArrowPrimitiveType, R>(
    array: &ArrayRef,
    rows: &mut [R],
    list: impl Fn(&mut R) -> &mut Vec<P::Native>,
) -> Option<()> {
    let array = array.as_list_opt::<i32>()?;
    let items = array.values().as_primitive_opt::<P>()?;
    if array.null_count() > 0 || items.null_count() > 0 {
        return None;
    }
    for (row, bounds) in rows.iter_mut().zip(array.offsets().windows(2)) {
        let range = usize::try_from(bounds[0]).ok()?..usize::try_from(bounds[1]).ok()?;
        *list(row) = items.values().get(range)?.to_vec();
    }
    Some(())
}
