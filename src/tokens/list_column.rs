//! Parquet with a list column `input_ids`: a row is a document. It is unpacked once, since rows of a compressed file
//! cannot be accessed individually. Several files are concatenated into one corpus.

use super::decode::decode;
use super::dtype::Dtype;
use super::error::TokensError;
use super::foreign;
use super::index::{DocumentIndex, TableBuilder};
use super::padding::{self, LABELS, LENGTHS, MASK, Rule, Runs, SideColumns, Survey};
use super::spool::Spool;
use super::token_file::{RawFile, TokenFile};
use crate::storage::{self, Source};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_schema::{DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const COLUMN: &str = "input_ids";
/// Columns in which trainers tell where the documents packed into a row begin.
const PACKING: [&str; 4] = ["position_ids", "seq_lengths", "seq_lens", "cu_seqlens"];
const MAGIC: &[u8] = b"PAR1";
/// Target number of ids per batch of rows.
const BATCH_TOKENS: u64 = 1 << 20;
const MAX_BATCH_ROWS: u64 = 4096;

type Builder = ParquetRecordBatchReaderBuilder<Source>;

/// Ids of a corpus that were left out as padding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Padding {
    /// The column that marks them.
    pub column: String,
    /// How many.
    pub n_tokens: u64,
}

/// The unpacked ids and where documents start.
pub(super) struct ListColumn {
    pub(super) tokens: TokenFile,
    pub(super) index: DocumentIndex,
    pub(super) padding: Option<Padding>,
    pub(super) notes: Vec<String>,
}

/// Unpacks the column of all files into unlinked temporary files.
pub(super) fn open_parquet(paths: &[PathBuf]) -> Result<ListColumn, TokensError> {
    let columns = columns_of_all(paths)?;
    let (rule, note) = rule(paths, &columns)?;
    let mut unpacker = Unpacker {
        rule,
        tokens: Spool::create()?,
        table: TableBuilder::default(),
        n_tokens: 0,
        n_padding: 0,
        n_ignored: 0,
        runs: Runs::default(),
    };
    for path in paths {
        each_row(path, &columns, |row, ids, side_columns| {
            unpacker.push(path, row, ids, side_columns)
        })?;
    }
    let mut unpacked = unpacker.finish(&paths[0])?;
    unpacked.notes.extend(note);
    unpacked.notes.extend(note_of_packing(&paths[0])?);
    Ok(unpacked)
}

/// Columns that are read besides the ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Columns {
    mask: bool,
    labels: bool,
    length: Option<&'static str>,
}

impl Columns {
    fn of(path: &Path, schema: &Schema) -> Result<Self, TokensError> {
        let mask = schema.fields().find(MASK);
        if let Some((_, field)) = mask.filter(|(_, field)| !is_list(field.data_type())) {
            let problem = format!("is {}", field.data_type());
            return Err(bad_column(path, MASK, problem));
        }
        let mut lengths = LENGTHS.into_iter();
        let length = lengths.find(|name| {
            let field = schema.fields().find(name);
            field.is_some_and(|(_, field)| field.data_type().is_integer())
        });
        let labels = schema.fields().find(LABELS);
        Ok(Self {
            mask: mask.is_some(),
            labels: labels.is_some_and(|(_, field)| is_list(field.data_type())),
            length: length.filter(|_| mask.is_none()),
        })
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        let mask = self.mask.then_some(MASK);
        let labels = self.labels.then_some(LABELS);
        [Some(COLUMN), mask, labels, self.length]
            .into_iter()
            .flatten()
    }
}

/// A list of integers or booleans.
fn is_list(data_type: &DataType) -> bool {
    let item = match data_type {
        DataType::List(item) | DataType::LargeList(item) => item.data_type(),
        _ => return false,
    };
    item.is_integer() || *item == DataType::Boolean
}

/// The columns, which must be the same in all files: padding would be left out of some of them only.
fn columns_of_all(paths: &[PathBuf]) -> Result<Columns, TokensError> {
    let mut first: Option<Columns> = None;
    for path in paths {
        let (_, builder) = open(path)?;
        let schema = builder.schema();
        if schema.fields().find(COLUMN).is_none() {
            let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
            let problem = format!("is missing (the file has: {})", names.join(", "));
            return Err(problem_of(path, problem));
        }
        let is_ids = |field: &&std::sync::Arc<arrow_schema::Field>| field.name() == COLUMN;
        let n = schema.fields().iter().filter(is_ids).count();
        if n > 1 {
            return Err(problem_of(path, format!("is there {n} times")));
        }
        let columns = Columns::of(path, schema)?;
        let Some(first) = &first else {
            first = Some(columns);
            continue;
        };
        if columns != *first {
            let one_sided = |ours: &Columns, theirs: &Columns| {
                let theirs: Vec<_> = theirs.names().collect();
                ours.names().find(|name| !theirs.contains(name))
            };
            let (column, problem) = match (one_sided(first, &columns), one_sided(&columns, first)) {
                (Some(column), _) => (column, "is missing or has another type, unlike in"),
                (None, column) => (column.unwrap_or(COLUMN), "exists, unlike in"),
            };
            let problem = format!("{problem} {}", paths[0].display());
            return Err(bad_column(path, column, problem));
        }
    }
    Ok(first.unwrap_or_default())
}

/// A note where rows may be several documents each.
fn note_of_packing(path: &Path) -> Result<Option<String>, TokensError> {
    let (_, builder) = open(path)?;
    let mut columns = PACKING.into_iter();
    let found = columns.find(|name| builder.schema().fields().find(name).is_some());
    Ok(found.map(|column| {
        format!(
            "{} has the column `{column}`, which is ignored: every row is read as one document; if several documents were packed into a row, the model sees across their borders: write one document a row to keep them apart",
            path.display()
        )
    }))
}

fn rule(paths: &[PathBuf], columns: &Columns) -> Result<(Rule, Option<String>), TokensError> {
    if columns.mask {
        return Ok((Rule::Mask, None));
    }
    if !columns.labels && columns.length.is_none() {
        return Ok((Rule::None, None));
    }
    let mut survey = Survey::default();
    for path in paths {
        each_row(path, columns, |_, ids, side_columns| {
            survey.add(ids, side_columns);
            Ok(())
        })?;
    }
    Ok(survey.rule(columns.labels, columns.length))
}

fn open(path: &Path) -> Result<(Source, Builder), TokensError> {
    let raw = RawFile::open(path)?;
    if raw.read(0, MAGIC.len())? != MAGIC {
        foreign::refuse(&raw, false)?;
    }
    let source = Source::open(&storage::local_copy(path)?)?;
    // Without the writer's Arrow schema, every kind of list is read as a plain one.
    let as_stored = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = decode(path, &source, || {
        Builder::try_new_with_options(source.clone(), as_stored)
    })?;
    Ok((source, builder))
}

/// Calls `visit` with the number, the ids and the other columns of every row of a file.
fn each_row(
    path: &Path,
    columns: &Columns,
    mut visit: impl FnMut(u64, &[i64], &SideColumns) -> Result<(), TokensError>,
) -> Result<(), TokensError> {
    let (source, builder) = open(path)?;
    let roots = columns
        .names()
        .filter_map(|name| builder.schema().fields().find(name));
    let roots: Vec<usize> = roots.map(|(idx, _)| idx).collect();
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let batch_rows = batch_rows(&builder, &mask);
    let builder = builder.with_projection(mask).with_batch_size(batch_rows);
    let mut batches = decode(path, &source, || builder.build())?;
    let mut row = 0;
    while let Some(batch) = decode(path, &source, || {
        batches.next().transpose().map_err(ParquetError::from)
    })? {
        for i in 0..batch.num_rows() {
            let ids = list_at(path, &batch, COLUMN, i, row)?.unwrap_or_default();
            let side_columns = SideColumns {
                mask: list_at(path, &batch, MASK, i, row)?,
                // Unreadable labels tell nothing about padding.
                labels: list_at(path, &batch, LABELS, i, row).unwrap_or_default(),
                length: columns.length.and_then(|name| scalar_at(&batch, name, i)),
            };
            visit(row, &ids, &side_columns)?;
            row += 1;
        }
    }
    Ok(())
}

fn batch_rows(builder: &Builder, mask: &ProjectionMask) -> usize {
    let groups = builder.metadata().row_groups().iter();
    let columns = groups
        .clone()
        .flat_map(|group| group.columns().iter().enumerate());
    let n_ids: i64 = columns
        .filter(|(leaf, _)| mask.leaf_included(*leaf))
        .map(|(_, column)| column.num_values().max(0))
        .fold(0, i64::saturating_add);
    let n_rows = groups
        .map(|group| group.num_rows().max(0))
        .fold(0, i64::saturating_add);
    let ids_per_row = (n_ids / n_rows.max(1)).max(1).unsigned_abs();
    (BATCH_TOKENS / ids_per_row).clamp(1, MAX_BATCH_ROWS) as usize
}

/// The list in a row, as i64; `None` if the batch has no such column.
fn list_at(
    path: &Path,
    batch: &RecordBatch,
    name: &'static str,
    i: usize,
    row: u64,
) -> Result<Option<Vec<i64>>, TokensError> {
    let Some(column) = batch.column_by_name(name) else {
        return Ok(None);
    };
    let fault = |problem: String| match name {
        COLUMN => problem_of(path, problem),
        _ => bad_column(path, name, problem),
    };
    if column.is_null(i) {
        return Err(fault(format!("is null in row {row}")));
    }
    let list = match column.data_type() {
        DataType::List(_) => column.as_list::<i32>().value(i),
        DataType::LargeList(_) => column.as_list::<i64>().value(i),
        other => return Err(fault(format!("is {other}"))),
    };
    if list.null_count() > 0 {
        let what = if name == COLUMN { "id" } else { "value" };
        return Err(fault(format!("has a null {what} in row {row}")));
    }
    integers(&list).map(Some).map_err(fault)
}

fn integers(values: &ArrayRef) -> Result<Vec<i64>, String> {
    fn of<T>(values: &ArrayRef) -> Vec<i64>
    where
        T: ArrowPrimitiveType,
        T::Native: TryInto<i64>,
    {
        let values = values.as_primitive::<T>().values().iter();
        // No id or flag is that large.
        values
            .map(|&value| value.try_into().unwrap_or(i64::MAX))
            .collect()
    }
    Ok(match values.data_type() {
        DataType::Int8 => of::<Int8Type>(values),
        DataType::Int16 => of::<Int16Type>(values),
        DataType::Int32 => of::<Int32Type>(values),
        DataType::Int64 => of::<Int64Type>(values),
        DataType::UInt8 => of::<UInt8Type>(values),
        DataType::UInt16 => of::<UInt16Type>(values),
        DataType::UInt32 => of::<UInt32Type>(values),
        DataType::UInt64 => of::<UInt64Type>(values),
        DataType::Boolean => {
            let values = values.as_boolean();
            (0..values.len())
                .map(|i| i64::from(values.value(i)))
                .collect()
        }
        other => return Err(format!("is a list of {other}")),
    })
}

/// `None` for a null.
fn scalar_at(batch: &RecordBatch, name: &str, i: usize) -> Option<i64> {
    let column = batch.column_by_name(name)?;
    if column.is_null(i) {
        return Some(-1);
    }
    integers(&column.slice(i, 1)).ok()?.first().copied()
}

struct Unpacker {
    rule: Rule,
    tokens: Spool,
    table: TableBuilder,
    n_tokens: u64,
    n_padding: u64,
    /// Ids in the text whose label is excluded from the loss.
    n_ignored: u64,
    /// What may be padding that no column tells.
    runs: Runs,
}

impl Unpacker {
    fn push(
        &mut self,
        path: &Path,
        row: u64,
        ids: &[i64],
        side_columns: &SideColumns,
    ) -> Result<(), TokensError> {
        let column = self.rule.column().unwrap_or(COLUMN);
        let text = self.rule.text_of(ids, side_columns);
        let text =
            text.map_err(|problem| bad_column(path, column, format!("{problem}, row {row}")))?;
        if self.rule == Rule::None {
            self.runs.add(ids);
        }
        self.table.push_start(self.n_tokens)?;
        for &value in &ids[text.clone()] {
            let Ok(id) = u32::try_from(value) else {
                return Err(problem_of(path, format!("has id {value} in row {row}")));
            };
            self.tokens.write(&id.to_le_bytes())?;
        }
        self.n_tokens += text.len() as u64;
        self.n_padding += (ids.len() - text.len()) as u64;
        self.n_ignored += padding::n_ignored(text, side_columns);
        Ok(())
    }

    fn finish(self, path: &Path) -> Result<ListColumn, TokensError> {
        let index = self.table.finish(self.n_tokens)?;
        let column = self.rule.column().filter(|_| self.n_padding > 0);
        let padding = column.map(|column| Padding {
            column: column.to_owned(),
            n_tokens: self.n_padding,
        });
        let mut notes = Vec::new();
        if let Some(padding) = &padding {
            notes.push(format!(
                "{} of {} ids are padding according to the column `{}`, and are left out",
                padding.n_tokens,
                self.n_tokens + self.n_padding,
                padding.column
            ));
        }
        if self.n_ignored > 0 {
            notes.push(format!(
                "{} ids have the label -100 but are not padding (such as masked prompts in fine-tuning data): they are used like the others",
                self.n_ignored
            ));
        }
        notes.extend(self.runs.note());
        let map = self.tokens.into_map()?;
        Ok(ListColumn {
            tokens: TokenFile::unpacked(map, path, Dtype::U32, self.n_tokens),
            index,
            padding,
            notes,
        })
    }
}

fn problem_of(path: &Path, problem: String) -> TokensError {
    TokensError::ParquetIds {
        path: path.to_path_buf(),
        problem,
    }
}

fn bad_column(path: &Path, column: &'static str, problem: String) -> TokensError {
    TokensError::ParquetColumn {
        path: path.to_path_buf(),
        column,
        problem,
    }
}
