//! Copies one column of some rows from one Parquet file to another: its levels and values unchanged, of any type,
//! nested or not.

use super::choices::Chosen;
use super::members::weight_of;
use super::schema::Added;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::column::writer::{ColumnWriter, ColumnWriterImpl};
use parquet::data_type::{DataType, DoubleType, Int64Type};
use parquet::errors::{ParquetError, Result};

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1024;
/// Definition levels of a value that is present: in a column, and in a struct that may be null.
const COLUMN_LEVEL: i16 = 1;
const MEMBER_LEVEL: i16 = 2;

/// Copies the rows marked in `is_kept`, which has an entry for each row of the row group.
pub(super) fn copy_column(
    reader: ColumnReader,
    writer: &mut ColumnWriter<'_>,
    levels: Levels,
    is_kept: &[bool],
) -> Result<()> {
    use ColumnReader as R;
    use ColumnWriter as W;
    match (reader, writer) {
        (R::BoolColumnReader(r), W::BoolColumnWriter(w)) => copy(r, w, levels, is_kept),
        (R::Int32ColumnReader(r), W::Int32ColumnWriter(w)) => copy(r, w, levels, is_kept),
        (R::Int64ColumnReader(r), W::Int64ColumnWriter(w)) => copy(r, w, levels, is_kept),
        (R::Int96ColumnReader(r), W::Int96ColumnWriter(w)) => copy(r, w, levels, is_kept),
        (R::FloatColumnReader(r), W::FloatColumnWriter(w)) => copy(r, w, levels, is_kept),
        (R::DoubleColumnReader(r), W::DoubleColumnWriter(w)) => copy(r, w, levels, is_kept),
        (R::ByteArrayColumnReader(r), W::ByteArrayColumnWriter(w)) => copy(r, w, levels, is_kept),
        (R::FixedLenByteArrayColumnReader(r), W::FixedLenByteArrayColumnWriter(w)) => {
            copy(r, w, levels, is_kept)
        }
        _ => Err(ParquetError::General(
            "a column is of another type than the schema says".to_owned(),
        )),
    }
}

/// The maximum levels of a column; 0 if it has none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Levels {
    pub(super) definition: i16,
    pub(super) repetition: i16,
}

fn copy<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    writer: &mut ColumnWriterImpl<'_, T>,
    levels: Levels,
    is_kept: &[bool],
) -> Result<()> {
    let mut batch = Batch::<T>::default();
    for is_kept in is_kept.chunks(BATCH_ROWS) {
        let n_rows = if is_kept.contains(&true) {
            batch.read(&mut reader, levels, is_kept.len())?
        } else {
            reader.skip_records(is_kept.len())?
        };
        if n_rows != is_kept.len() {
            return Err(ParquetError::General(
                "a column has fewer rows than its row group".to_owned(),
            ));
        }
        if is_kept.contains(&true) {
            batch.retain(levels, is_kept);
            batch.write(writer, levels)?;
        }
    }
    Ok(())
}

/// Some rows of a column.
struct Batch<T: DataType> {
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    values: Vec<T::T>,
}

impl<T: DataType> Default for Batch<T> {
    fn default() -> Self {
        Self {
            definitions: Vec::new(),
            repetitions: Vec::new(),
            values: Vec::new(),
        }
    }
}

impl<T: DataType> Batch<T> {
    fn read(
        &mut self,
        reader: &mut ColumnReaderImpl<T>,
        levels: Levels,
        n_rows: usize,
    ) -> Result<usize> {
        self.definitions.clear();
        self.repetitions.clear();
        self.values.clear();
        let definitions = (levels.definition > 0).then_some(&mut self.definitions);
        let repetitions = (levels.repetition > 0).then_some(&mut self.repetitions);
        let (n_rows, ..) =
            reader.read_records(n_rows, definitions, repetitions, &mut self.values)?;
        Ok(n_rows)
    }

    /// Drops the levels and values of rows that are not kept.
    fn retain(&mut self, levels: Levels, is_kept: &[bool]) {
        if !is_kept.contains(&false) {
            return;
        }
        let n_levels = match levels.definition {
            0 => self.values.len(),
            _ => self.definitions.len(),
        };
        let (mut row, mut n_values, mut n_kept_levels, mut n_kept_values) = (0, 0, 0, 0);
        for i in 0..n_levels {
            let begins_row = self.repetitions.get(i).is_none_or(|level| *level == 0);
            row += usize::from(begins_row && i > 0);
            let has_value = levels.definition == 0 || self.definitions[i] == levels.definition;
            if is_kept[row] {
                if levels.definition > 0 {
                    self.definitions[n_kept_levels] = self.definitions[i];
                }
                if levels.repetition > 0 {
                    self.repetitions[n_kept_levels] = self.repetitions[i];
                }
                n_kept_levels += 1;
                if has_value {
                    self.values.swap(n_kept_values, n_values);
                    n_kept_values += 1;
                }
            }
            n_values += usize::from(has_value);
        }
        self.definitions.truncate(n_kept_levels);
        self.repetitions.truncate(n_kept_levels);
        self.values.truncate(n_kept_values);
    }

    fn write(&self, writer: &mut ColumnWriterImpl<'_, T>, levels: Levels) -> Result<()> {
        let definitions = (levels.definition > 0).then_some(self.definitions.as_slice());
        let repetitions = (levels.repetition > 0).then_some(self.repetitions.as_slice());
        writer.write_batch(&self.values, definitions, repetitions)?;
        Ok(())
    }
}

/// Writes an added column; `None` is a row that is not a document.
pub(super) fn write_added(
    writer: &mut ColumnWriter<'_>,
    added: Added,
    rows: &[Option<Chosen>],
) -> Result<()> {
    let chosen = rows.iter().map(Option::as_ref);
    match writer {
        ColumnWriter::DoubleColumnWriter(writer) => {
            let cells = chosen.map(|chosen| double_cell(added, chosen));
            write_cells::<DoubleType>(writer, cells)
        }
        ColumnWriter::Int64ColumnWriter(writer) => {
            let cells = chosen.map(rank_cell);
            write_cells::<Int64Type>(writer, cells)
        }
        _ => Err(ParquetError::General(
            "an added column is of another type than was asked for".to_owned(),
        )),
    }
}

/// A value with its definition level, or only the level if it is null.
type Cell<V> = (i16, Option<V>);

fn double_cell(added: Added, chosen: Option<&Chosen>) -> Cell<f64> {
    let scores = chosen.and_then(|chosen| chosen.scores.as_ref());
    match added {
        Added::Weight => match chosen {
            Some(chosen) => (COLUMN_LEVEL, Some(weight_of(chosen))),
            None => (0, None),
        },
        Added::Score => member(scores, |scores| scores.score),
        Added::Value(i) => member(scores, |scores| scores.values[i]),
        Added::Rank => (0, None),
    }
}

fn rank_cell(chosen: Option<&Chosen>) -> Cell<i64> {
    let scores = chosen.and_then(|chosen| chosen.scores.as_ref());
    member(scores, |scores| {
        scores.rank.and_then(|rank| i64::try_from(rank).ok())
    })
}

/// A value in a struct that is itself null without scores.
fn member<S, V>(scores: Option<S>, value: impl FnOnce(S) -> Option<V>) -> Cell<V> {
    match scores.map(value) {
        None => (0, None),
        Some(None) => (MEMBER_LEVEL - 1, None),
        Some(value) => (MEMBER_LEVEL, value),
    }
}

fn write_cells<T: DataType>(
    writer: &mut ColumnWriterImpl<'_, T>,
    cells: impl Iterator<Item = Cell<T::T>>,
) -> Result<()> {
    let (definitions, values): (Vec<i16>, Vec<Option<T::T>>) = cells.unzip();
    let values: Vec<T::T> = values.into_iter().flatten().collect();
    writer.write_batch(&values, Some(&definitions), None)?;
    Ok(())
}
