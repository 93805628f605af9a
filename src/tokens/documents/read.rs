//! Reads the file in bounded memory and checks every row.

use super::format::{
    DOC_INDEX, DocumentEntry, DocumentsStamp, ID, N_BYTES, N_TOKENS, RECORD, SOURCE,
};
use crate::error::until_error;
use crate::storage::{self, Source, TableReader, open_table, string_column};
use crate::tokens::corpus_json::CorpusJson;
use crate::tokens::decode::undecoded;
use crate::tokens::error::TokensError;
use crate::tokens::format::{CORPUS_JSON, DOCUMENTS};
use arrow_array::types::UInt64Type;
use arrow_array::{Array, RecordBatch};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The documents of a corpus, in order. It ends at the first error.
pub struct DocumentReader {
    path: PathBuf,
    table: TableReader<DocumentEntry>,
    last_source: Arc<str>,
    n_documents: u64,
    n_tokens: u64,
    n_not_spelled: Option<u64>,
    /// Totals of what was read so far.
    n_read: u64,
    n_tokens_read: u64,
    failed: bool,
}

impl DocumentReader {
    /// Opens the file of the corpus in `dir`, which `json` describes, and checks its hash. `None` if the corpus has
    /// none: it is older, or was made from token files.
    ///
    /// # Errors
    /// The file is missing, or not the one that was written.
    pub fn open(dir: &Path, json: &CorpusJson) -> Result<Option<Self>, TokensError> {
        let Some(stamp) = &json.documents else {
            return Ok(None);
        };
        let path = dir.join(DOCUMENTS);
        check_stamp(&path, stamp)?;
        let source = Source::open(&path)?;
        let table = open_table(&source).and_then(|table| TableReader::new(source, table));
        Ok(Some(DocumentReader {
            table: table.map_err(|error| undecoded(&path, error))?,
            path,
            last_source: Arc::from(""),
            n_documents: json.n_documents,
            n_tokens: json.n_tokens,
            n_not_spelled: stamp.n_not_spelled,
            n_read: 0,
            n_tokens_read: 0,
            failed: false,
        }))
    }

    /// Number of documents in the corpus.
    pub fn n_documents(&self) -> u64 {
        self.n_documents
    }

    /// Those whose tokens do not spell their text, if known.
    pub fn n_not_spelled(&self) -> Option<u64> {
        self.n_not_spelled
    }

    fn next_entry(&mut self) -> Result<Option<DocumentEntry>, TokensError> {
        let (path, last_source) = (&self.path, &mut self.last_source);
        let entry = self.table.next_row(
            |error| undecoded(path, error),
            |batch| entries(batch, last_source).map_err(|reason| fault(path, reason)),
        )?;
        let Some(entry) = entry else {
            return self.at_end().map(|()| None);
        };
        self.expect(DOC_INDEX, self.n_read, entry.doc_index)?;
        self.n_read += 1;
        self.n_tokens_read = self.n_tokens_read.saturating_add(entry.n_tokens);
        Ok(Some(entry))
    }

    fn at_end(&self) -> Result<(), TokensError> {
        self.expect("number of documents", self.n_documents, self.n_read)?;
        self.expect("sum of n_tokens", self.n_tokens, self.n_tokens_read)
    }

    fn expect(&self, what: &str, expected: u64, got: u64) -> Result<(), TokensError> {
        if expected == got {
            return Ok(());
        }
        let reason = format!("its {what} is {got}, expected {expected}");
        Err(fault(&self.path, reason))
    }
}

impl Iterator for DocumentReader {
    type Item = Result<DocumentEntry, TokensError>;

    fn next(&mut self) -> Option<Self::Item> {
        until_error(self, |documents| &mut documents.failed, Self::next_entry)
    }
}

fn fault(path: &Path, reason: String) -> TokensError {
    TokensError::Documents {
        path: path.to_path_buf(),
        reason,
    }
}

/// The documents of a batch, or what is wrong with it. `last_source` shares one copy of a repeated path.
fn entries(batch: &RecordBatch, last_source: &mut Arc<str>) -> Result<Vec<DocumentEntry>, String> {
    let numbers = |name| storage::number_column::<UInt64Type>(batch, name, false);
    let doc_indices = numbers(DOC_INDEX)?;
    let ids = string_column(batch, ID)?;
    let sources = string_column(batch, SOURCE)?;
    let records = numbers(RECORD)?;
    let n_tokens = numbers(N_TOKENS)?;
    let n_bytes = numbers(N_BYTES)?;
    if sources.null_count() > 0 {
        return Err(format!("its {SOURCE} has nulls"));
    }
    let mut entries = Vec::with_capacity(batch.num_rows());
    for i in 0..batch.num_rows() {
        if **last_source != *sources.value(i) {
            *last_source = Arc::from(sources.value(i));
        }
        entries.push(DocumentEntry {
            doc_index: doc_indices.value(i),
            id: ids.is_valid(i).then(|| ids.value(i).to_owned()),
            source: Arc::clone(last_source),
            record: records.value(i),
            n_tokens: n_tokens.value(i),
            n_bytes: n_bytes.value(i),
        });
    }
    Ok(entries)
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
