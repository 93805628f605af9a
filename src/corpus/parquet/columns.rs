//! The wanted columns of a Parquet file, value by value.

use crate::corpus::document::{CorpusOptions, DocumentId};
use crate::storage::Source;
use ::parquet::column::reader::{ColumnReaderImpl, get_typed_column_reader};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType as Physical, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{FileReader, RowGroupReader, SerializedFileReader};
use arrow_schema::{DataType, Fields};

/// Rows decoded at a time.
const BATCH_ROWS: usize = 1024;

/// The text of a row and its other wanted values; `None` is null.
pub(super) struct Row {
    pub(super) text: Option<ByteArray>,
    pub(super) group: Option<ByteArray>,
    pub(super) id: DocumentId,
}

/// Which leaf holds which value.
#[derive(Clone, Copy)]
pub(super) struct Leaves {
    text: usize,
    group: Option<usize>,
    id: IdLeaf,
}

/// Where ids are.
#[derive(Clone, Copy)]
enum IdLeaf {
    /// There is no such column, or ids are not wanted.
    Nowhere,
    /// A column of strings.
    Text(usize),
    /// A column of integers: its leaf, whether it is 64-bit, and whether it is signed.
    Integer(usize, bool, bool),
    /// A column of another type, so that no document has an id.
    Other,
}

impl Leaves {
    /// `None` where the text has no leaf.
    pub(super) fn of(
        file: &SerializedFileReader<Source>,
        fields: &Fields,
        options: &CorpusOptions,
    ) -> Option<Self> {
        let text_leaf = |field: &str| leaf_of(file, fields, field, &DataType::Utf8);
        let id = match &options.id_field {
            Some(field) => IdLeaf::of(file, fields, field),
            None => IdLeaf::Nowhere,
        };
        Some(Leaves {
            text: text_leaf(&options.text_field)?,
            group: options.group_field.as_deref().and_then(text_leaf),
            id,
        })
    }
}

impl IdLeaf {
    fn of(file: &SerializedFileReader<Source>, fields: &Fields, field: &str) -> Self {
        let Some((_, found)) = fields.find(field) else {
            return IdLeaf::Nowhere;
        };
        let data_type = found.data_type();
        let Some(leaf) = leaf_of(file, fields, field, data_type) else {
            return IdLeaf::Other;
        };
        match data_type {
            DataType::Utf8 => IdLeaf::Text(leaf),
            DataType::Int8 | DataType::Int16 | DataType::Int32 => {
                IdLeaf::Integer(leaf, false, true)
            }
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
                IdLeaf::Integer(leaf, false, false)
            }
            DataType::Int64 => IdLeaf::Integer(leaf, true, true),
            DataType::UInt64 => IdLeaf::Integer(leaf, true, false),
            _ => IdLeaf::Other,
        }
    }
}

/// The wanted columns of one row group.
pub(super) struct Columns {
    texts: Column<ByteArrayType>,
    groups: Option<Column<ByteArrayType>>,
    ids: IdColumn,
}

/// A column of ids.
enum IdColumn {
    Nowhere,
    Text(Column<ByteArrayType>),
    /// With whether it is signed.
    Int32(Column<Int32Type>, bool),
    Int64(Column<Int64Type>, bool),
    Other,
}

impl Columns {
    pub(super) fn open(
        row_group: &dyn RowGroupReader,
        leaves: Leaves,
    ) -> Result<Self, ParquetError> {
        let text = |leaf| Column::open(row_group, leaf);
        let ids = match leaves.id {
            IdLeaf::Nowhere => IdColumn::Nowhere,
            IdLeaf::Other => IdColumn::Other,
            IdLeaf::Text(leaf) => IdColumn::Text(text(leaf)?),
            IdLeaf::Integer(leaf, false, signed) => {
                IdColumn::Int32(Column::open(row_group, leaf)?, signed)
            }
            IdLeaf::Integer(leaf, true, signed) => {
                IdColumn::Int64(Column::open(row_group, leaf)?, signed)
            }
        };
        Ok(Columns {
            texts: text(leaves.text)?,
            groups: leaves.group.map(text).transpose()?,
            ids,
        })
    }

    /// `None` at the end of the row group.
    pub(super) fn next_row(&mut self) -> Result<Option<Row>, ParquetError> {
        let group = self.groups.as_mut().map(Column::next_value).transpose()?;
        let id = self.ids.next_id()?;
        let text = self.texts.next_value()?;
        Ok(text.map(|text| Row {
            text,
            group: group.flatten().flatten(),
            id,
        }))
    }
}

impl IdColumn {
    fn next_id(&mut self) -> Result<DocumentId, ParquetError> {
        let text = match self {
            IdColumn::Nowhere => return Ok(DocumentId::Absent),
            IdColumn::Other => return Ok(DocumentId::Other),
            IdColumn::Text(column) => {
                let value = column.next_value()?.flatten();
                let text = value.map(|value| value.as_utf8().map(str::to_owned));
                // What is not UTF-8 is not a string.
                let Some(Ok(text)) = text else {
                    return Ok(text.map_or(DocumentId::Absent, |_| DocumentId::Other));
                };
                Some(text)
            }
            IdColumn::Int32(column, signed) => {
                let value = column.next_value()?.flatten();
                value.map(|value| match signed {
                    true => value.to_string(),
                    false => (value as u32).to_string(),
                })
            }
            IdColumn::Int64(column, signed) => {
                let value = column.next_value()?.flatten();
                value.map(|value| match signed {
                    true => value.to_string(),
                    false => (value as u64).to_string(),
                })
            }
        };
        Ok(text.map_or(DocumentId::Absent, DocumentId::Known))
    }
}

/// The values of one column of one row group.
struct Column<P: Physical> {
    reader: ColumnReaderImpl<P>,
    /// The definition level of a value that is present; 0 where none can be null.
    max_level: i16,
    levels: Vec<i16>,
    values: Vec<P::T>,
    next_level: usize,
    next_value: usize,
}

impl<P: Physical> Column<P> {
    fn open(row_group: &dyn RowGroupReader, leaf: usize) -> Result<Self, ParquetError> {
        let descriptor = row_group.metadata().column(leaf).column_descr_ptr();
        let reader = row_group.get_column_reader(leaf)?;
        Ok(Column {
            reader: get_typed_column_reader(reader),
            max_level: descriptor.max_def_level(),
            levels: Vec::new(),
            values: Vec::new(),
            next_level: 0,
            next_value: 0,
        })
    }

    /// The next row's value, or null; `None` at the end of the row group.
    fn next_value(&mut self) -> Result<Option<Option<P::T>>, ParquetError> {
        if self.next_level >= self.levels.len() {
            self.fill()?;
        }
        let Some(&level) = self.levels.get(self.next_level) else {
            return Ok(None);
        };
        self.next_level += 1;
        if level < self.max_level {
            return Ok(Some(None));
        }
        let value = self.values.get_mut(self.next_value).map(std::mem::take);
        self.next_value += 1;
        match value {
            Some(value) => Ok(Some(Some(value))),
            None => Err(ParquetError::General(
                "a page has too few values".to_owned(),
            )),
        }
    }

    fn fill(&mut self) -> Result<(), ParquetError> {
        self.levels.clear();
        self.values.clear();
        (self.next_level, self.next_value) = (0, 0);
        let levels = (self.max_level > 0).then_some(&mut self.levels);
        let (reader, values) = (&mut self.reader, &mut self.values);
        let (n_rows, ..) = reader.read_records(BATCH_ROWS, levels, None, values)?;
        if self.max_level == 0 {
            self.levels.resize(n_rows, 0);
        }
        Ok(())
    }
}

/// The leaf of a top-level column of this type, one value per row.
fn leaf_of(
    file: &SerializedFileReader<Source>,
    fields: &Fields,
    field: &str,
    data_type: &DataType,
) -> Option<usize> {
    let (_, found) = fields.find(field)?;
    let columns = file.metadata().file_metadata().schema_descr().columns();
    let leaf = columns.iter().position(|column| {
        column.path().parts() == [field.to_owned()] && column.max_rep_level() == 0
    });
    leaf.filter(|_| found.data_type() == data_type)
}
