//! Reading the file, in bounded memory, every row checked.

use super::format::{
    DOC_INDEX, DocumentEntry, DocumentsStamp, ID, N_BYTES, N_TOKENS, RECORD, SOURCE,
};
use crate::storage::{self, Source};
use crate::tokens::corpus_json::CorpusJson;
use crate::tokens::decode::decode;
use crate::tokens::error::TokensError;
use crate::tokens::format::{CORPUS_JSON, DOCUMENTS};
use arrow_array::cast::AsArray;
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch, StringArray, UInt64Array};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1 << 13;

/// The documents of a corpus, in its order. It ends at the first error.
pub struct DocumentReader {
    path: PathBuf,
    source: Source,
    batches: ParquetRecordBatchReader,
    ready: std::vec::IntoIter<DocumentEntry>,
    last_source: Arc<str>,
    n_documents: u64,
    n_tokens: u64,
    n_not_spelled: Option<u64>,
    /// Of what was read.
    n_read: u64,
    n_tokens_read: u64,
    failed: bool,
}

impl DocumentReader {
    /// Opens the file of the corpus in `dir`, which `json` describes, and compares it with its hash.
    /// `None` if the corpus has none: it is older, or was made of token files.
    ///
    /// # Errors
    /// A file that is not there, or not the one that was written.
    pub fn open(dir: &Path, json: &CorpusJson) -> Result<Option<Self>, TokensError> {
        let Some(stamp) = &json.documents else {
            return Ok(None);
        };
        let path = dir.join(DOCUMENTS);
        check_stamp(&path, stamp)?;
        let source = Source::open(&path)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let batches = decode(&path, &source, || {
            let input = source.clone();
            ParquetRecordBatchReaderBuilder::try_new_with_options(input, options)?
                .with_batch_size(BATCH_ROWS)
                .build()
        })?;
        Ok(Some(DocumentReader {
            path,
            source,
            batches,
            ready: Vec::new().into_iter(),
            last_source: Arc::from(""),
            n_documents: json.n_documents,
            n_tokens: json.n_tokens,
            n_not_spelled: stamp.n_not_spelled,
            n_read: 0,
            n_tokens_read: 0,
            failed: false,
        }))
    }

    /// Documents of the corpus.
    pub fn n_documents(&self) -> u64 {
        self.n_documents
    }

    /// Those whose tokens do not spell their text, where that is known.
    pub fn n_not_spelled(&self) -> Option<u64> {
        self.n_not_spelled
    }

    fn next_entry(&mut self) -> Result<Option<DocumentEntry>, TokensError> {
        while self.ready.len() == 0 {
            let next = decode(&self.path, &self.source, || {
                self.batches.next().transpose().map_err(ParquetError::from)
            })?;
            let Some(batch) = next else {
                return self.at_end().map(|()| None);
            };
            self.ready = self.entries(&batch)?.into_iter();
        }
        let entry = self.ready.next();
        if let Some(entry) = &entry {
            self.expect(DOC_INDEX, self.n_read, entry.doc_index)?;
            self.n_read += 1;
            self.n_tokens_read = self.n_tokens_read.saturating_add(entry.n_tokens);
        }
        Ok(entry)
    }

    fn at_end(&self) -> Result<(), TokensError> {
        self.expect("number of documents", self.n_documents, self.n_read)?;
        self.expect("sum of n_tokens", self.n_tokens, self.n_tokens_read)
    }

    fn expect(&self, what: &str, expected: u64, got: u64) -> Result<(), TokensError> {
        if expected == got {
            return Ok(());
        }
        Err(self.fault(format!("its {what} is {got}, expected {expected}")))
    }

    fn fault(&self, reason: String) -> TokensError {
        TokensError::Documents {
            path: self.path.clone(),
            reason,
        }
    }

    fn entries(&mut self, batch: &RecordBatch) -> Result<Vec<DocumentEntry>, TokensError> {
        let doc_indices = self.numbers(batch, DOC_INDEX)?;
        let ids = self.strings(batch, ID)?;
        let sources = self.strings(batch, SOURCE)?;
        let records = self.numbers(batch, RECORD)?;
        let n_tokens = self.numbers(batch, N_TOKENS)?;
        let n_bytes = self.numbers(batch, N_BYTES)?;
        if sources.null_count() > 0 {
            return Err(self.fault(format!("its {SOURCE} has nulls")));
        }
        let mut entries = Vec::with_capacity(batch.num_rows());
        for i in 0..batch.num_rows() {
            if *self.last_source != *sources.value(i) {
                self.last_source = Arc::from(sources.value(i));
            }
            entries.push(DocumentEntry {
                doc_index: doc_indices.value(i),
                id: ids.is_valid(i).then(|| ids.value(i).to_owned()),
                source: Arc::clone(&self.last_source),
                record: records.value(i),
                n_tokens: n_tokens.value(i),
                n_bytes: n_bytes.value(i),
            });
        }
        Ok(entries)
    }

    fn numbers<'a>(
        &self,
        batch: &'a RecordBatch,
        name: &str,
    ) -> Result<&'a UInt64Array, TokensError> {
        let column = batch.column_by_name(name);
        let numbers = column.and_then(|column| column.as_primitive_opt::<UInt64Type>());
        numbers
            .filter(|numbers| numbers.null_count() == 0)
            .ok_or_else(|| self.fault(format!("it has no column {name} of uint64 without nulls")))
    }

    fn strings<'a>(
        &self,
        batch: &'a RecordBatch,
        name: &str,
    ) -> Result<&'a StringArray, TokensError> {
        let column = batch.column_by_name(name);
        column
            .and_then(|column| column.as_string_opt::<i32>())
            .ok_or_else(|| self.fault(format!("it has no column {name} of strings")))
    }
}

impl Iterator for DocumentReader {
    type Item = Result<DocumentEntry, TokensError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_entry();
        self.failed = next.is_err();
        next.transpose()
    }
}

fn check_stamp(path: &Path, stamp: &DocumentsStamp) -> Result<(), TokensError> {
    let got = storage::hash_file(path)?;
    if (got.bytes, &got.blake3) == (stamp.bytes, &stamp.blake3) {
        return Ok(());
    }
    Err(TokensError::NotAsTokenized {
        path: path.to_path_buf(),
        json: path.with_file_name(CORPUS_JSON),
        expected: stamp.blake3.clone(),
        got: got.blake3,
    })
}
