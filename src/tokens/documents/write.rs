//! Writes the file, one row group at a time.

use super::format::{DOC_INDEX, DocumentsStamp, N_BYTES, N_TOKENS, RECORD, SOURCE, schema};
use super::ids::IdCounts;
use crate::corpus::{DocumentId, InputFile, Location};
use crate::storage::{self, RowGroupWriter, table_properties};
use crate::tokens::error::TokensError;
use crate::tokens::format::DOCUMENTS;
use crate::tokens::partial::{Partial, Sealed};
use arrow_array::{ArrayRef, StringArray, UInt64Array};
use parquet::basic::Encoding;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows per row group: what a writer or a reader holds.
const GROUP_ROWS: usize = 1 << 16;
/// Bytes of ids that end a row group earlier.
const GROUP_ID_BYTES: usize = 16 << 20;
const CREATED_BY: &str = "saltworks-corpus-documents version 1.0.0";

/// `documents.parquet` being written: a temporary, removed on drop.
pub(in crate::tokens) struct DocumentWriter {
    path: PathBuf,
    groups: RowGroupWriter<Partial>,
    rows: Rows,
    n_rows: u64,
    ids: IdCounts,
    n_not_spelled: u64,
}

/// Rows not written yet, by column.
#[derive(Default)]
struct Rows {
    ids: Vec<Option<String>>,
    n_id_bytes: usize,
    sources: Vec<Arc<str>>,
    records: Vec<u64>,
    n_tokens: Vec<u64>,
    n_bytes: Vec<u64>,
}

impl DocumentWriter {
    /// Starts the file in the corpus directory `dir`.
    pub(in crate::tokens) fn create(dir: &Path) -> Result<Self, TokensError> {
        let path = dir.join(DOCUMENTS);
        let partial = Partial::create(&path)?;
        let groups = RowGroupWriter::new(partial, schema(), properties());
        Ok(DocumentWriter {
            groups: groups.map_err(|error| encode_error(&path, error))?,
            ids: IdCounts::new(&storage::scratch_beside(&path)),
            path,
            rows: Rows::default(),
            n_rows: 0,
            n_not_spelled: 0,
        })
    }

    /// Counts the document if its tokens do not spell its text.
    pub(in crate::tokens) fn count_spelling(&mut self, is_spelled: bool) {
        self.n_not_spelled += u64::from(!is_spelled);
    }

    /// Adds the next document.
    pub(in crate::tokens) fn push(
        &mut self,
        id: &DocumentId,
        location: &Location,
        n_tokens: u64,
        n_bytes: u64,
    ) -> Result<(), TokensError> {
        let id = self.ids.add(id)?;
        let rows = &mut self.rows;
        rows.n_id_bytes += id.map_or(0, str::len);
        rows.ids.push(id.map(str::to_owned));
        let name = InputFile::name_of(&location.path);
        let source = match rows.sources.last() {
            Some(last) if **last == *name => Arc::clone(last),
            _ => Arc::from(name),
        };
        rows.sources.push(source);
        rows.records.push(location.position.record());
        rows.n_tokens.push(n_tokens);
        rows.n_bytes.push(n_bytes);
        match rows.ids.len() >= GROUP_ROWS || rows.n_id_bytes >= GROUP_ID_BYTES {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), TokensError> {
        let rows = std::mem::take(&mut self.rows);
        let numbers = |values: Vec<u64>| Arc::new(UInt64Array::from(values)) as ArrayRef;
        let n_rows = rows.ids.len() as u64;
        let columns: Vec<ArrayRef> = vec![
            numbers((self.n_rows..self.n_rows + n_rows).collect()),
            Arc::new(StringArray::from(rows.ids)),
            Arc::new(StringArray::from_iter_values(&rows.sources)),
            numbers(rows.records),
            numbers(rows.n_tokens),
            numbers(rows.n_bytes),
        ];
        self.n_rows += n_rows;
        self.groups
            .write(columns)
            .map_err(|error| encode_error(&self.path, error))
    }

    /// Finishes the file: everything is on disk, under a temporary name.
    pub(in crate::tokens) fn seal(mut self) -> Result<(Sealed, DocumentsStamp), TokensError> {
        if !self.rows.ids.is_empty() {
            self.flush()?;
        }
        let sink = self.groups.finish();
        let sealed = sink
            .map_err(|error| encode_error(&self.path, error))?
            .seal()?;
        let stamp = DocumentsStamp {
            bytes: sealed.stamp.bytes,
            blake3: sealed.stamp.blake3.clone(),
            n_without_id: self.ids.n_without,
            n_other_ids: self.ids.n_other,
            n_repeated_ids: self.ids.n_repeated()?,
            n_not_spelled: Some(self.n_not_spelled),
        };
        Ok((sealed, stamp))
    }
}

fn encode_error(path: &Path, error: ParquetError) -> TokensError {
    storage::encode_error(path, error, |source| TokensError::Parquet {
        path: path.to_path_buf(),
        source,
    })
}

fn properties() -> WriterProperties {
    let mut builder =
        table_properties(CREATED_BY).set_column_dictionary_enabled(ColumnPath::from(SOURCE), true);
    for number in [DOC_INDEX, RECORD, N_TOKENS, N_BYTES] {
        let path = ColumnPath::from(number);
        builder = builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    builder.build()
}
