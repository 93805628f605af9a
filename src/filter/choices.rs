//! Which records are documents, and which of these are kept: the corpus's list of documents joined with the selection,
//! both by increasing `doc_index`.

use super::counts::Counts;
use super::error::FilterError;
use super::options::{FilterOptions, Skipped};
use crate::shards::{DocumentScore, DocumentSelection, SelectedDocument};
use crate::tokens::{DocumentEntry, DocumentReader};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

/// The selection's values for a document.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scores {
    pub(super) score: Option<f64>,
    pub(super) rank: Option<u64>,
    /// In the order of [`DocumentScore::ALL`].
    pub(super) values: [Option<f64>; DocumentScore::ALL.len()],
}

/// A document to be written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chosen {
    pub(super) is_kept: bool,
    /// `None` if the selection does not list it.
    pub(super) scores: Option<Scores>,
}

/// What happens to a record.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    Drop,
    /// It is not a document, and is copied unchanged.
    Pass,
    /// It is copied, with what is added to documents.
    Write(Chosen),
}

/// All documents of the corpus, in order.
pub(super) struct Choices {
    documents: Peekable<DocumentReader>,
    selection: Peekable<DocumentSelection>,
    selection_path: PathBuf,
    weighs: bool,
    skipped: Skipped,
}

/// The documents of one input file.
pub(super) struct FileChoices<'a> {
    all: &'a mut Choices,
    source: &'a str,
    path: &'a Path,
    pub(super) counts: Counts,
}

impl Choices {
    pub(super) fn new(
        documents: DocumentReader,
        selection: DocumentSelection,
        selection_path: &Path,
        options: &FilterOptions,
    ) -> Self {
        Self {
            documents: documents.peekable(),
            selection: selection.peekable(),
            selection_path: selection_path.to_path_buf(),
            weighs: options.weights_key.is_some(),
            skipped: options.skipped,
        }
    }

    /// The choices for the next input, called `source` in the corpus; `path` is its present location.
    pub(super) fn of_file<'a>(&'a mut self, source: &'a str, path: &'a Path) -> FileChoices<'a> {
        FileChoices {
            all: self,
            source,
            path,
            counts: Counts::default(),
        }
    }

    /// To be called after the last file.
    pub(super) fn finish(mut self) -> Result<(), FilterError> {
        if let Some(document) = self.documents.next() {
            let document = document?;
            return Err(FilterError::UnknownSource {
                doc_index: document.doc_index,
                origin: document.source.to_string(),
            });
        }
        match self.selection.next() {
            Some(selected) => Err(self.unknown_document(selected?.document.doc_index)),
            None => Ok(()),
        }
    }

    fn unknown_document(&self, doc_index: u64) -> FilterError {
        FilterError::UnknownDocument {
            selection: self.selection_path.clone(),
            doc_index,
        }
    }

    /// The selection's entry for the next document.
    fn selected(&mut self, doc_index: u64) -> Result<Option<SelectedDocument>, FilterError> {
        let is_later = |selected: &SelectedDocument| selected.document.doc_index > doc_index;
        let Some(selected) = next_unless(&mut self.selection, is_later)? else {
            return Ok(None);
        };
        match selected.document.doc_index == doc_index {
            true => Ok(Some(selected)),
            false => Err(self.unknown_document(selected.document.doc_index)),
        }
    }
}

impl FileChoices<'_> {
    /// What happens to record number `record`; records must be passed in order. A blank line does not count as a
    /// record.
    pub(super) fn decide(&mut self, record: u64, is_blank: bool) -> Result<Decision, FilterError> {
        let source = self.source;
        let is_later =
            |document: &DocumentEntry| document.record > record || *document.source != *source;
        let Some(document) = next_unless(&mut self.all.documents, is_later)? else {
            self.counts.n_skipped += u64::from(!is_blank);
            return Ok(match self.all.skipped {
                Skipped::Drop => Decision::Drop,
                Skipped::Keep => Decision::Pass,
            });
        };
        match document.record == record {
            true => self.decide_document(&document),
            false => Err(self.missing(&document)),
        }
    }

    fn decide_document(&mut self, document: &DocumentEntry) -> Result<Decision, FilterError> {
        let selected = self.all.selected(document.doc_index)?;
        let is_kept = selected.as_ref().is_some_and(|selected| selected.kept);
        let is_written = is_kept || self.all.weighs;
        let counts = &mut self.counts;
        counts.n_documents += 1;
        counts.n_text_bytes += document.n_bytes;
        counts.n_kept += u64::from(is_kept);
        counts.n_text_bytes_kept += document.n_bytes * u64::from(is_kept);
        counts.n_written += u64::from(is_written);
        let scores = selected.as_ref().map(Scores::of);
        Ok(match is_written {
            true => Decision::Write(Chosen { is_kept, scores }),
            false => Decision::Drop,
        })
    }

    /// To be called after the last record.
    pub(super) fn finish(mut self) -> Result<Counts, FilterError> {
        match self.next_document()? {
            Some(document) => Err(self.missing(&document)),
            None => Ok(self.counts),
        }
    }

    /// Skips the documents of a finished file.
    pub(super) fn pass_over(mut self) -> Result<(), FilterError> {
        while let Some(document) = self.next_document()? {
            self.all.selected(document.doc_index)?;
        }
        Ok(())
    }

    fn next_document(&mut self) -> Result<Option<DocumentEntry>, FilterError> {
        let source = self.source;
        let is_of_another = |document: &DocumentEntry| *document.source != *source;
        Ok(next_unless(&mut self.all.documents, is_of_another)?)
    }

    fn missing(&self, document: &DocumentEntry) -> FilterError {
        FilterError::MissingRecord {
            path: self.path.to_path_buf(),
            record: document.record,
            doc_index: document.doc_index,
        }
    }
}

/// The next item, which is left in place if `is_later`.
fn next_unless<T, E>(
    items: &mut Peekable<impl Iterator<Item = Result<T, E>>>,
    is_later: impl Fn(&T) -> bool,
) -> Result<Option<T>, E> {
    let is_next = |item: &Result<T, E>| !item.as_ref().is_ok_and(&is_later);
    items.next_if(is_next).transpose()
}

impl Scores {
    fn of(selected: &SelectedDocument) -> Self {
        Self {
            score: selected.score,
            rank: selected.rank,
            values: DocumentScore::ALL.map(|score| selected.document.score(score)),
        }
    }
}
