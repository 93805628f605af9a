//! Reads `documents/` in bounded memory.

use super::columns::{check_order, document_rows};
use super::format::DocumentRow;
use super::index::{DocumentsIndex, DocumentsPart};
use crate::error::until_error;
use crate::shards::ShardsError;
use crate::shards::label_set::LabelSet;
use crate::shards::names::MANIFEST_NAME;
use crate::shards::selection::labels_fingerprint;
use crate::shards::sidecar::check_file;
use crate::storage::{self, Source, TableReader, open_table};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The documents of a set, by increasing `doc_index`. It ends at the first error.
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
    table: TableReader<DocumentRow>,
    n_left: u64,
}

/// The documents of a finished set: their index and their rows.
///
/// # Errors
/// [`ShardsError::NoDocuments`] if there are none, or they were made from other shards than the present ones; a damaged
/// index.
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

/// Compares every file of `index` with its recorded size and hash; calls `report` with the name and the error of each
/// that differs.
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
                check_order(row.doc_index, &mut self.last_doc_index)
                    .map_err(|reason| fault(&open.path, reason))?;
                return Ok(Some(row));
            }
            self.open = None;
        }
    }
}

impl Iterator for DocumentRows {
    type Item = Result<DocumentRow, ShardsError>;

    fn next(&mut self) -> Option<Self::Item> {
        until_error(self, |rows| &mut rows.failed, Self::next_row)
    }
}

impl OpenPart {
    fn open(dir: &Path, part: &DocumentsPart) -> Result<Self, ShardsError> {
        check_file(dir, &part.file)?;
        let path = dir.join(&part.file.name);
        let source = Source::open(&path)?;
        let table = open_table(&source).and_then(|table| TableReader::new(source, table));
        Ok(OpenPart {
            table: table.map_err(|error| ShardsError::of_decoder(&path, error))?,
            path,
            n_left: part.rows,
        })
    }

    fn next_row(
        &mut self,
        last_source: &mut Option<Arc<str>>,
    ) -> Result<Option<DocumentRow>, ShardsError> {
        let OpenPart {
            path,
            table,
            n_left,
        } = self;
        let next = table.next_row(
            |error| ShardsError::of_decoder(path, error),
            |batch| {
                let rows = document_rows(batch, last_source);
                let rows = rows.map_err(|reason| fault(path, reason))?;
                *n_left = n_left
                    .checked_sub(rows.len() as u64)
                    .ok_or_else(|| fault(path, "it has more rows than it should".to_owned()))?;
                Ok(rows)
            },
        );
        match (next?, *n_left) {
            (None, 1..) => Err(fault(path, format!("{n_left} of its rows are missing"))),
            (next, _) => Ok(next),
        }
    }
}

fn fault(path: &Path, reason: String) -> ShardsError {
    ShardsError::Documents {
        path: path.to_path_buf(),
        reason,
    }
}
