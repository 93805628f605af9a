//! A selection of documents: one Parquet file with a row for each document that has a score.
//!
//! ```text
//! score f64 or null, rank u64 or null (0 = best by the policy), kept bool, and the columns of documents/
//! ```
//!
//! Rows are by increasing `doc_index`. A document that is not listed is not kept. The file contains its own checksum
//! (`seal`), and one metadata entry ([`HEAD_KEY`]) describes as JSON what it was made from.

use super::columns::{SOURCE, check_order, document_arrays, document_fields, document_rows};
use super::format::DocumentRow;
use crate::error::until_error;
use crate::shards::ShardsError;
use crate::shards::place::open_selection;
use crate::shards::properties::key_values;
use crate::shards::seal::{self, Seal, SealingSink, unsealed_entry};
use crate::shards::selection::{FILE_KEY, KEPT, SCORE, VERSION_KEY};
use crate::shards::table::TableWriter;
use crate::storage::{
    FileHash, Partial, TableReader, number_column, open_table, table_metadata, table_properties,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of the columns and the metadata.
pub const DOCUMENT_SELECTION_VERSION: u32 = 1;
/// Metadata key of a [`DocumentSelectionHead`], as JSON.
const HEAD_KEY: &str = "saltworks.document_selection";
/// The value of the key `saltworks.file` in this file.
pub(in crate::shards) const FILE_KIND: &str = "document-selection";

const SEAL: Seal = Seal {
    created_by: "saltworks-document-selection version 1.0.0",
    created_by_before: None,
};
const RANK: &str = "rank";

/// The header of a selection of documents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentSelectionHead {
    /// [`DOCUMENT_SELECTION_VERSION`].
    pub version: u32,
    /// The corpus of these documents: `blake3:` and 64 hex digits, as in plans.
    pub corpus_fingerprint: String,
    /// The labels whose scores were read.
    pub labels_fingerprint: String,
    /// The labels whose scores were subtracted, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minus_fingerprint: Option<String>,
    /// The policy.
    pub policy: serde_json::Value,
    /// Documents listed.
    pub n_documents: u64,
    /// Listed documents that are kept.
    pub n_kept: u64,
    /// Tokens of all listed documents.
    pub n_tokens: u64,
    /// Tokens of the kept documents.
    pub n_tokens_kept: u64,
}

/// One row of a selection of documents.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SelectedDocument {
    /// The value it was selected by, in the unit of that score; `None` if it has none.
    pub score: Option<f64>,
    /// Its place in the policy's order, 0 the best; `None` if it is not eligible.
    pub rank: Option<u64>,
    /// Whether it is kept.
    pub kept: bool,
    /// The document and all its scores.
    pub document: DocumentRow,
}

/// Writes a selection of documents under a temporary name.
pub(crate) struct DocumentSelectionWriter(TableWriter<SelectedDocument, SealingSink>);

impl DocumentSelectionWriter {
    /// Starts the file for `path`, in the temporary `partial`.
    pub(crate) fn create(
        path: &Path,
        partial: Partial,
        head: &DocumentSelectionHead,
    ) -> Result<Self, ShardsError> {
        let sink = SealingSink::new(partial);
        let table = TableWriter::create(path, sink, fields(), properties(head), columns_of)?;
        Ok(DocumentSelectionWriter(table))
    }

    /// Adds the next document.
    pub(crate) fn push(&mut self, row: SelectedDocument) -> Result<(), ShardsError> {
        self.0.push(row)
    }

    /// Finishes the file and gives it its final name, replacing an earlier one.
    pub(crate) fn publish(self) -> Result<FileHash, ShardsError> {
        let (path, groups) = self.0.finish()?;
        seal::publish(&path, groups)
    }
}

fn fields() -> Vec<Field> {
    let mut fields = document_fields();
    let of_selection = [
        Field::new(SCORE, DataType::Float64, true),
        Field::new(RANK, DataType::UInt64, true),
        Field::new(KEPT, DataType::Boolean, false),
    ];
    fields.splice(1..1, of_selection);
    fields
}

fn columns_of(rows: &[SelectedDocument]) -> Vec<ArrayRef> {
    let of_selection: [ArrayRef; 3] = [
        Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.score))),
        Arc::new(UInt64Array::from_iter(rows.iter().map(|row| row.rank))),
        Arc::new(BooleanArray::from_iter(
            rows.iter().map(|row| Some(row.kept)),
        )),
    ];
    let mut columns = document_arrays(rows.iter().map(|row| &row.document));
    columns.splice(1..1, of_selection);
    columns
}

fn properties(head: &DocumentSelectionHead) -> WriterProperties {
    let head = serde_json::to_string(head).expect("plain fields with string keys");
    let version = DOCUMENT_SELECTION_VERSION.to_string();
    let entries = [
        (VERSION_KEY.to_owned(), version),
        (FILE_KEY.to_owned(), FILE_KIND.to_owned()),
        (HEAD_KEY.to_owned(), head),
        unsealed_entry(),
    ];
    table_properties(SEAL.created_by)
        .set_column_dictionary_enabled(ColumnPath::from(SOURCE), true)
        .set_key_value_metadata(Some(key_values(entries)))
        .build()
}

/// A selection of documents: its rows by increasing `doc_index`, in bounded memory. It ends at the first error.
pub struct DocumentSelection {
    /// Its header.
    pub head: DocumentSelectionHead,
    path: PathBuf,
    table: TableReader<SelectedDocument>,
    last_doc_index: Option<u64>,
    last_source: Option<Arc<str>>,
    n_read: u64,
    n_kept: u64,
    failed: bool,
}

impl DocumentSelection {
    /// Opens the selection at `path` and checks its checksum.
    ///
    /// # Errors
    /// The file is missing, not Parquet, damaged, of a later format, or of another kind, such as a selection of
    /// sequences.
    pub fn open(path: &Path) -> Result<Self, ShardsError> {
        let source = open_selection(path)?;
        let undecoded = |error| seal::decode_error(path, error);
        let table = open_table(&source).map_err(undecoded)?;
        let metadata = table_metadata(&table);
        seal::check(path, &source, &metadata, &SEAL)?;
        let head = read_head(path, &metadata)?;
        Ok(DocumentSelection {
            head,
            path: path.to_path_buf(),
            table: TableReader::new(source, table).map_err(undecoded)?,
            last_doc_index: None,
            last_source: None,
            n_read: 0,
            n_kept: 0,
            failed: false,
        })
    }

    /// Refuses a selection of documents from another corpus than `fingerprint`.
    ///
    /// # Errors
    /// [`ShardsError::SelectionOfOtherCorpus`].
    pub fn check_corpus(&self, fingerprint: &str) -> Result<(), ShardsError> {
        match self.head.corpus_fingerprint == fingerprint {
            true => Ok(()),
            false => Err(ShardsError::SelectionOfOtherCorpus {
                path: self.path.clone(),
                expected: fingerprint.to_owned(),
                got: self.head.corpus_fingerprint.clone(),
            }),
        }
    }

    fn next_row(&mut self) -> Result<Option<SelectedDocument>, ShardsError> {
        let (path, last_source) = (&self.path, &mut self.last_source);
        let fault = |reason| ShardsError::selection(path, reason);
        let row = self.table.next_row(
            |error| seal::decode_error(path, error),
            |batch| rows_of(batch, last_source).map_err(fault),
        )?;
        let Some(row) = row else {
            return self.check_counts().map(|()| None);
        };
        check_order(row.document.doc_index, &mut self.last_doc_index).map_err(fault)?;
        self.n_read += 1;
        self.n_kept += u64::from(row.kept);
        Ok(Some(row))
    }

    fn check_counts(&self) -> Result<(), ShardsError> {
        let head = &self.head;
        for (what, expected, got) in [
            ("lists", head.n_documents, self.n_read),
            ("keeps", head.n_kept, self.n_kept),
        ] {
            if expected != got {
                let reason = format!("it {what} {got} documents, but says {expected}");
                return Err(ShardsError::selection(&self.path, reason));
            }
        }
        Ok(())
    }
}

impl Iterator for DocumentSelection {
    type Item = Result<SelectedDocument, ShardsError>;

    fn next(&mut self) -> Option<Self::Item> {
        until_error(self, |rows| &mut rows.failed, Self::next_row)
    }
}

fn read_head(
    path: &Path,
    metadata: &[(String, String)],
) -> Result<DocumentSelectionHead, ShardsError> {
    let get = |key: &str| {
        let found = metadata.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value.as_str())
    };
    let fault = |reason: String| Err(ShardsError::selection(path, reason));
    if get(FILE_KEY) != Some(FILE_KIND) {
        let reason =
            "it is not a selection of documents, as `saltworks select --by document` writes it";
        return fault(reason.to_owned());
    }
    let version = get(VERSION_KEY).unwrap_or_default();
    if version != DOCUMENT_SELECTION_VERSION.to_string() {
        return fault(format!(
            "its format version {version} is unknown to this program"
        ));
    }
    match serde_json::from_str(get(HEAD_KEY).unwrap_or_default()) {
        Ok(head) => Ok(head),
        Err(error) => fault(format!("its {HEAD_KEY} is invalid ({error})")),
    }
}

fn rows_of(
    batch: &RecordBatch,
    last_source: &mut Option<Arc<str>>,
) -> Result<Vec<SelectedDocument>, String> {
    let scores = number_column::<Float64Type>(batch, SCORE, true)?;
    let ranks = number_column::<UInt64Type>(batch, RANK, true)?;
    let kept = batch
        .column_by_name(KEPT)
        .and_then(|array| array.as_boolean_opt())
        .filter(|kept| kept.null_count() == 0)
        .ok_or_else(|| format!("it has no column {KEPT} of booleans without nulls"))?;
    let documents = document_rows(batch, last_source)?.into_iter();
    let row = |(i, document): (usize, DocumentRow)| SelectedDocument {
        score: scores.is_valid(i).then(|| scores.value(i)),
        rank: ranks.is_valid(i).then(|| ranks.value(i)),
        kept: kept.value(i),
        document,
    };
    Ok(documents.enumerate().map(row).collect())
}
