//! A selection of documents: one Parquet file with a row for each that has a score.
//!
//! ```text
//! score f64 or null, rank u64 or null (0 = best by the policy), kept bool, and the columns of documents/
//! ```
//!
//! Rows are by rising `doc_index`. A document that is not listed is not kept. The file carries its own
//! checksum (`seal`), and one entry of its metadata ([`HEAD_KEY`]) says as JSON what it was made from.

use super::columns::{SOURCE, document_arrays, document_fields, document_rows};
use super::format::DocumentRow;
use crate::shards::ShardsError;
use crate::shards::encode_error::encode_error;
use crate::shards::seal::{self, Seal, SealingSink, unsealed_entry};
use crate::shards::selection::{FILE_KEY, KEPT, SCORE, VERSION_KEY};
use crate::storage::{FileHash, Partial, RowGroupWriter, Source, StorageError};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt64Type};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Version of the columns and the metadata.
pub const DOCUMENT_SELECTION_VERSION: u32 = 1;
/// Metadata key of a [`DocumentSelectionHead`], as JSON.
const HEAD_KEY: &str = "saltworks.document_selection";
/// What the file is by its key `saltworks.file`.
pub(in crate::shards) const FILE_KIND: &str = "document-selection";

const SEAL: Seal = Seal {
    created_by: "saltworks-document-selection version 1.0.0",
    created_by_before: None,
};
const RANK: &str = "rank";
/// Rows of a row group: what a writer holds.
const GROUP_ROWS: usize = 1 << 16;
/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1 << 13;

/// What a selection of documents says of itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DocumentSelectionHead {
    /// [`DOCUMENT_SELECTION_VERSION`].
    pub version: u32,
    /// The corpus whose documents these are: `blake3:` and 64 hex digits, as plans have it.
    pub corpus_fingerprint: String,
    /// The labels whose scores were read.
    pub labels_fingerprint: String,
    /// The labels whose scores were subtracted, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minus_fingerprint: Option<String>,
    /// The policy.
    pub policy: serde_json::Value,
    /// Documents that are listed.
    pub n_documents: u64,
    /// Those of them that are kept.
    pub n_kept: u64,
    /// Tokens of all that are listed.
    pub n_tokens: u64,
    /// Tokens of those that are kept.
    pub n_tokens_kept: u64,
}

/// One row of a selection of documents.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SelectedDocument {
    /// What it was selected by, in the unit of that score; `None` where it has none.
    pub score: Option<f64>,
    /// Its place in the policy's order, 0 the most wanted; `None` where it may not be taken.
    pub rank: Option<u64>,
    /// Whether it is kept.
    pub kept: bool,
    /// The document and all its scores.
    pub document: DocumentRow,
}

fn schema() -> Arc<Schema> {
    let mut fields = document_fields();
    fields.splice(
        1..1,
        [
            Field::new(SCORE, DataType::Float64, true),
            Field::new(RANK, DataType::UInt64, true),
            Field::new(KEPT, DataType::Boolean, false),
        ],
    );
    Arc::new(Schema::new(fields))
}

/// Writes a selection of documents under a temporary name.
pub(crate) struct DocumentSelectionWriter {
    path: PathBuf,
    groups: RowGroupWriter<SealingSink>,
    rows: Vec<SelectedDocument>,
}

impl DocumentSelectionWriter {
    /// Starts the file that will be `path`, in the temporary `partial`.
    pub(crate) fn create(
        path: &Path,
        partial: Partial,
        head: &DocumentSelectionHead,
    ) -> Result<Self, ShardsError> {
        let groups = RowGroupWriter::new(SealingSink::new(partial), schema(), properties(head));
        Ok(DocumentSelectionWriter {
            path: path.to_path_buf(),
            groups: groups.map_err(|error| encode_error(path, error))?,
            rows: Vec::new(),
        })
    }

    /// Adds the next document.
    pub(crate) fn push(&mut self, row: SelectedDocument) -> Result<(), ShardsError> {
        self.rows.push(row);
        match self.rows.len() < GROUP_ROWS {
            true => Ok(()),
            false => self.flush(),
        }
    }

    fn flush(&mut self) -> Result<(), ShardsError> {
        let rows = std::mem::take(&mut self.rows);
        let of_rows: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from_iter(rows.iter().map(|row| row.score))),
            Arc::new(UInt64Array::from_iter(rows.iter().map(|row| row.rank))),
            Arc::new(BooleanArray::from_iter(
                rows.iter().map(|row| Some(row.kept)),
            )),
        ];
        let documents: Vec<DocumentRow> = rows.into_iter().map(|row| row.document).collect();
        let mut columns = document_arrays(&documents);
        columns.splice(1..1, of_rows);
        self.groups
            .write(columns)
            .map_err(|error| encode_error(&self.path, error))
    }

    /// Ends the file and gives it its name, instead of an earlier one.
    pub(crate) fn publish(mut self) -> Result<FileHash, ShardsError> {
        if !self.rows.is_empty() {
            self.flush()?;
        }
        let DocumentSelectionWriter {
            path, mut groups, ..
        } = self;
        // The footer is held back until its checksum is known.
        groups
            .sink()
            .map(SealingSink::hold_back)
            .map_err(|error| encode_error(&path, error))?;
        let sink = groups
            .finish()
            .map_err(|error| encode_error(&path, error))?;
        let io = |source| StorageError::io("write", &path, source);
        let sealed = sink.finish().map_err(io)?.seal()?;
        let hash = sealed.hash.clone();
        sealed.replace()?;
        Ok(hash)
    }
}

fn properties(head: &DocumentSelectionHead) -> WriterProperties {
    let head = serde_json::to_string(head).expect("plain fields with string keys");
    let entries = [
        (
            VERSION_KEY.to_owned(),
            DOCUMENT_SELECTION_VERSION.to_string(),
        ),
        (FILE_KEY.to_owned(), FILE_KIND.to_owned()),
        (HEAD_KEY.to_owned(), head),
        unsealed_entry(),
    ];
    let entries = entries.map(|(key, value)| KeyValue::new(key, value));
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_created_by(SEAL.created_by.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_column_dictionary_enabled(ColumnPath::from(SOURCE), true)
        .set_max_row_group_row_count(None)
        .set_max_row_group_bytes(None)
        .set_key_value_metadata(Some(entries.to_vec()))
        .build()
}

/// A selection of documents: its rows by rising `doc_index`, in bounded memory. It ends at the first error.
pub struct DocumentSelection {
    /// What it says of itself.
    pub head: DocumentSelectionHead,
    path: PathBuf,
    source: Source,
    batches: ParquetRecordBatchReader,
    ready: std::vec::IntoIter<SelectedDocument>,
    last_doc_index: Option<u64>,
    last_source: Option<Arc<str>>,
    n_read: u64,
    n_kept: u64,
    failed: bool,
}

impl DocumentSelection {
    /// Opens the selection at `path` and compares it with its checksum.
    ///
    /// # Errors
    /// A file that is not there, no Parquet, damaged, of a later format, or another kind of file, such as a
    /// selection of sequences.
    pub fn open(path: &Path) -> Result<Self, ShardsError> {
        let source = Source::open(path)?;
        let undecoded = |error| seal::decode_error(path, error);
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = source.decode(|| {
            ParquetRecordBatchReaderBuilder::try_new_with_options(source.clone(), options)
        });
        let builder = builder.map_err(undecoded)?;
        let entries = builder.metadata().file_metadata().key_value_metadata();
        let entries = entries.into_iter().flatten();
        let metadata: Vec<(String, String)> = entries
            .map(|entry| (entry.key.clone(), entry.value.clone().unwrap_or_default()))
            .collect();
        seal::check(path, &source, &metadata, &SEAL)?;
        let head = read_head(path, &metadata)?;
        let batches = source.decode(|| builder.with_batch_size(BATCH_ROWS).build());
        Ok(DocumentSelection {
            head,
            path: path.to_path_buf(),
            batches: batches.map_err(undecoded)?,
            source,
            ready: Vec::new().into_iter(),
            last_doc_index: None,
            last_source: None,
            n_read: 0,
            n_kept: 0,
            failed: false,
        })
    }

    /// Refuses a selection of other documents than those of the corpus `fingerprint`.
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
        while self.ready.len() == 0 {
            let batches = &mut self.batches;
            let next = self
                .source
                .decode(|| batches.next().transpose().map_err(ParquetError::from));
            let next = next.map_err(|error| seal::decode_error(&self.path, error))?;
            let Some(batch) = next else {
                self.check_counts()?;
                return Ok(None);
            };
            let rows = rows_of(&batch, &mut self.last_source);
            let rows = rows.map_err(|reason| ShardsError::selection(&self.path, reason))?;
            self.ready = rows.into_iter();
        }
        let row = self.ready.next();
        if let Some(row) = &row {
            let doc_index = row.document.doc_index;
            if self.last_doc_index.is_some_and(|last| doc_index <= last) {
                let reason = format!("document {doc_index} comes out of order");
                return Err(ShardsError::selection(&self.path, reason));
            }
            self.last_doc_index = Some(doc_index);
            self.n_read += 1;
            self.n_kept += u64::from(row.kept);
        }
        Ok(row)
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
        if self.failed {
            return None;
        }
        let next = self.next_row();
        self.failed = next.is_err();
        next.transpose()
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
            "it is no selection of documents, which `saltworks select --by document` writes";
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
    let absent = |name: &str, expected: &str| format!("it has no column {name} of {expected}");
    let column = |name: &str| batch.column_by_name(name);
    let scores = column(SCORE).and_then(|array| array.as_primitive_opt::<Float64Type>());
    let scores = scores.ok_or_else(|| absent(SCORE, "float64"))?;
    let ranks = column(RANK).and_then(|array| array.as_primitive_opt::<UInt64Type>());
    let ranks = ranks.ok_or_else(|| absent(RANK, "uint64"))?;
    let kept = column(KEPT).and_then(|array| array.as_boolean_opt());
    let kept = kept
        .filter(|kept| kept.null_count() == 0)
        .ok_or_else(|| absent(KEPT, "booleans without nulls"))?;
    let documents = document_rows(batch, last_source)?.into_iter();
    let row = |(i, document): (usize, DocumentRow)| SelectedDocument {
        score: scores.is_valid(i).then(|| scores.value(i)),
        rank: ranks.is_valid(i).then(|| ranks.value(i)),
        kept: kept.value(i),
        document,
    };
    Ok(documents.enumerate().map(row).collect())
}
