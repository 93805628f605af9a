//! Parquet with a list column `input_ids`: a row is a document. Unpacked once, since rows of a
//! compressed file cannot be reached one by one.

use super::dtype::Dtype;
use super::error::TokensError;
use super::index::{DocumentIndex, TableBuilder};
use super::spool::Spool;
use super::token_file::TokenFile;
use arrow_array::types::{
    ArrowPrimitiveType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, GenericListArray, OffsetSizeTrait, PrimitiveArray, cast::AsArray,
};
use arrow_schema::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::path::Path;

const COLUMN: &str = "input_ids";
/// Ids that a batch of rows should hold.
const BATCH_TOKENS: u64 = 1 << 20;
const MAX_BATCH_ROWS: u64 = 4096;

type Builder = ParquetRecordBatchReaderBuilder<File>;

/// Unpacks the column into unlinked temporary files.
pub(super) fn open_parquet(path: &Path) -> Result<(TokenFile, DocumentIndex), TokensError> {
    let parquet = |source| TokensError::Parquet {
        path: path.to_path_buf(),
        source,
    };
    let file = File::open(path).map_err(TokensError::io("open", path))?;
    // Without the writer's Arrow schema, every kind of list comes as a plain one.
    let as_stored = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let builder = Builder::try_new_with_options(file, as_stored).map_err(parquet)?;
    let Some((column, _)) = builder.schema().fields().find(COLUMN) else {
        return Err(problem(path, "is not there".to_owned()));
    };
    let mask = ProjectionMask::roots(builder.parquet_schema(), [column]);
    let batch_rows = batch_rows(&builder, &mask);
    let batches = builder
        .with_projection(mask)
        .with_batch_size(batch_rows)
        .build()
        .map_err(parquet)?;
    let mut unpacker = Unpacker {
        path,
        tokens: Spool::create()?,
        table: TableBuilder::create()?,
        n_tokens: 0,
        n_rows: 0,
    };
    for batch in batches {
        let batch = batch.map_err(|error| parquet(error.into()))?;
        unpacker.push(batch.column(0))?;
    }
    unpacker.finish()
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
    let ids_a_row = (n_ids / n_rows.max(1)).max(1).unsigned_abs();
    (BATCH_TOKENS / ids_a_row).clamp(1, MAX_BATCH_ROWS) as usize
}

struct Unpacker<'a> {
    path: &'a Path,
    tokens: Spool,
    table: TableBuilder,
    n_tokens: u64,
    n_rows: u64,
}

impl Unpacker<'_> {
    fn push(&mut self, column: &ArrayRef) -> Result<(), TokensError> {
        match column.data_type() {
            DataType::List(_) => self.push_lists(column.as_list::<i32>()),
            DataType::LargeList(_) => self.push_lists(column.as_list::<i64>()),
            other => Err(problem(self.path, format!("is {other}"))),
        }
    }

    fn push_lists<O: OffsetSizeTrait>(
        &mut self,
        lists: &GenericListArray<O>,
    ) -> Result<(), TokensError> {
        for row in 0..lists.len() {
            if lists.is_null(row) {
                return Err(problem(
                    self.path,
                    format!("is null in row {}", self.n_rows),
                ));
            }
            self.table.push_start(self.n_tokens)?;
            self.push_ids(&lists.value(row))?;
            self.n_rows += 1;
        }
        Ok(())
    }

    fn push_ids(&mut self, ids: &ArrayRef) -> Result<(), TokensError> {
        match ids.data_type() {
            DataType::Int8 => self.push_as::<Int8Type>(ids),
            DataType::Int16 => self.push_as::<Int16Type>(ids),
            DataType::Int32 => self.push_as::<Int32Type>(ids),
            DataType::Int64 => self.push_as::<Int64Type>(ids),
            DataType::UInt8 => self.push_as::<UInt8Type>(ids),
            DataType::UInt16 => self.push_as::<UInt16Type>(ids),
            DataType::UInt32 => self.push_as::<UInt32Type>(ids),
            DataType::UInt64 => self.push_as::<UInt64Type>(ids),
            other => Err(problem(self.path, format!("is a list of {other}"))),
        }
    }

    fn push_as<T>(&mut self, ids: &ArrayRef) -> Result<(), TokensError>
    where
        T: ArrowPrimitiveType,
        T::Native: TryInto<u32> + std::fmt::Display,
    {
        let ids: &PrimitiveArray<T> = ids.as_primitive();
        if ids.null_count() > 0 {
            return Err(problem(
                self.path,
                format!("has a null id in row {}", self.n_rows),
            ));
        }
        for &value in ids.values() {
            let Ok(id) = value.try_into() else {
                return Err(problem(
                    self.path,
                    format!("has id {value} in row {}", self.n_rows),
                ));
            };
            self.tokens.write(&u32::to_le_bytes(id))?;
        }
        self.n_tokens += ids.len() as u64;
        Ok(())
    }

    fn finish(self) -> Result<(TokenFile, DocumentIndex), TokensError> {
        let index = self.table.finish(self.n_tokens)?;
        Ok((
            TokenFile::new(self.tokens.into_map()?, 0, Dtype::U32, self.n_tokens),
            index,
        ))
    }
}

fn problem(path: &Path, problem: String) -> TokensError {
    TokensError::ParquetIds {
        path: path.to_path_buf(),
        problem,
    }
}
