//! Reading `documents/`, in bounded memory.

use super::columns::document_rows;
use super::format::DocumentRow;
use super::index::{DocumentsIndex, DocumentsPart};
use crate::shards::ShardsError;
use crate::shards::label_set::LabelSet;
use crate::shards::names::MANIFEST_NAME;
use crate::shards::selection::labels_fingerprint;
use crate::shards::sidecar::check_file;
use crate::storage::{self, Source};
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::errors::ParquetError;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Rows that are decoded at a time.
const BATCH_ROWS: usize = 1 << 13;

/// The documents of a set, by rising `doc_index`. It ends at the first error.
pub struct DocumentRows {
    dir: PathBuf,
    parts: std::vec::IntoIter<DocumentsPart>,
    open: Option<OpenPart>,
    last_doc_index: Option<u64>,
    last_source: Option<Arc<str>>,
    failed: bool,
}

struct OpenPart {
    path: PathBuf,
    source: Source,
    batches: ParquetRecordBatchReader,
    ready: std::vec::IntoIter<DocumentRow>,
    n_left: u64,
}

/// The documents of a finished set: what they are of, and their rows.
///
/// # Errors
/// [`ShardsError::NoDocuments`] where there are none, or they are of other shards than are there now; an
/// index that is damaged.
pub fn open_documents(set: &LabelSet) -> Result<(DocumentsIndex, DocumentRows), ShardsError> {
    let absent = |reason| ShardsError::NoDocuments {
        dir: set.dir.clone(),
        reason,
    };
    let Some(index) = DocumentsIndex::read(&set.dir)? else {
        return Err(absent("are not summed up yet"));
    };
    let manifest = storage::hash_file(&set.dir.join(MANIFEST_NAME))?;
    if index.manifest_blake3 != manifest.blake3
        || index.labels_fingerprint != labels_fingerprint(set)
    {
        return Err(absent("are of other shards than those that are there now"));
    }
    let rows = DocumentRows {
        dir: set.dir.clone(),
        parts: index.parts.clone().into_iter(),
        open: None,
        last_doc_index: None,
        last_source: None,
        failed: false,
    };
    Ok((index, rows))
}

/// Compares every file of `index` with what it says; gives `report` the name and the error of each that
/// differs.
pub(in crate::shards) fn check_document_parts(
    dir: &Path,
    index: &DocumentsIndex,
    mut report: impl FnMut(&str, ShardsError),
) {
    for part in &index.parts {
        if let Err(error) = check_file(dir, &part.file) {
            report(&part.file.name, error);
        }
    }
}

impl DocumentRows {
    fn next_row(&mut self) -> Result<Option<DocumentRow>, ShardsError> {
        loop {
            let Some(open) = &mut self.open else {
                let Some(part) = self.parts.next() else {
                    return Ok(None);
                };
                self.open = Some(OpenPart::open(&self.dir, &part)?);
                continue;
            };
            if let Some(row) = open.next_row(&mut self.last_source)? {
                if self
                    .last_doc_index
                    .is_some_and(|last| row.doc_index <= last)
                {
                    let reason = format!("document {} comes out of order", row.doc_index);
                    return Err(fault(&open.path, reason));
                }
                self.last_doc_index = Some(row.doc_index);
                return Ok(Some(row));
            }
            self.open = None;
        }
    }
}

impl Iterator for DocumentRows {
    type Item = Result<DocumentRow, ShardsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_row();
        self.failed = next.is_err();
        next.transpose()
    }
}

impl OpenPart {
    fn open(dir: &Path, part: &DocumentsPart) -> Result<Self, ShardsError> {
        check_file(dir, &part.file)?;
        let path = dir.join(&part.file.name);
        let source = Source::open(&path)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let batches = source.decode(|| {
            ParquetRecordBatchReaderBuilder::try_new_with_options(source.clone(), options)?
                .with_batch_size(BATCH_ROWS)
                .build()
        });
        Ok(OpenPart {
            batches: batches.map_err(|error| ShardsError::of_decoder(&path, error))?,
            path,
            source,
            ready: Vec::new().into_iter(),
            n_left: part.rows,
        })
    }

    fn next_row(
        &mut self,
        last_source: &mut Option<Arc<str>>,
    ) -> Result<Option<DocumentRow>, ShardsError> {
        while self.ready.len() == 0 {
            let batches = &mut self.batches;
            let next = self
                .source
                .decode(|| batches.next().transpose().map_err(ParquetError::from));
            let next = next.map_err(|error| ShardsError::of_decoder(&self.path, error))?;
            let Some(batch) = next else {
                return match self.n_left {
                    0 => Ok(None),
                    n => Err(fault(&self.path, format!("{n} of its rows are missing"))),
                };
            };
            let rows = document_rows(&batch, last_source);
            let rows = rows.map_err(|reason| fault(&self.path, reason))?;
            self.n_left = match self.n_left.checked_sub(rows.len() as u64) {
                Some(n_left) => n_left,
                None => return Err(fault(&self.path, "it has more rows than it should".into())),
            };
            self.ready = rows.into_iter();
        }
        Ok(self.ready.next())
    }
}

fn fault(path: &Path, reason: String) -> ShardsError {
    ShardsError::Documents {
        path: path.to_path_buf(),
        reason,
    }
}
