//! All documents of all input files, one after the other.

use super::document::{CorpusOptions, Document, Tally};
use super::error::CorpusError;
use super::format::{Contents, format_of};
use super::source::Source;
use super::stream::Opening;
use crate::interrupt::Interrupt;
use crate::storage;
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// An iterator over the documents of several files, in the files' order. It ends at the first error.
pub struct Documents {
    paths: std::vec::IntoIter<PathBuf>,
    options: CorpusOptions,
    current: Option<Source>,
    /// Whether the current file had a document.
    had_document: bool,
    tally: Tally,
    bytes_read: Arc<AtomicU64>,
    bytes_total: u64,
    interrupt: Interrupt,
    failed: bool,
}

impl Documents {
    /// Checks that every file is there and of a known kind; contents are read as documents are asked for.
    ///
    /// # Errors
    /// A file that is missing, or of a kind that its name does not tell.
    pub fn open(paths: Vec<PathBuf>, options: CorpusOptions) -> Result<Self, CorpusError> {
        for path in &paths {
            if let (Contents::Other(extension), _) = format_of(path)
                && options.format.is_none()
            {
                let path = path.clone();
                return Err(CorpusError::UnknownFormat { path, extension });
            }
        }
        // In a store each of them is a request, and their time is that of waiting.
        let sizes = paths
            .par_iter()
            .map(|path| Ok(storage::metadata(path)?.n_bytes));
        let sizes: Vec<u64> = sizes.collect::<Result<_, CorpusError>>()?;
        Ok(Self {
            paths: paths.into_iter(),
            options,
            current: None,
            had_document: true,
            tally: Tally::default(),
            bytes_read: Arc::default(),
            bytes_total: sizes.iter().sum(),
            interrupt: Interrupt::new(),
            failed: false,
        })
    }

    /// Ends the reading when `interrupt` is requested, also in the middle of a document.
    #[must_use]
    pub fn with_interrupt(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = interrupt.clone();
        self
    }

    /// What ends the reading.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// What was read so far and is not a document.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes of the (compressed) files that were read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Bytes of all the (compressed) files.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    fn next_document(&mut self) -> Result<Option<Document>, CorpusError> {
        loop {
            if self.interrupt.is_requested() {
                return Err(CorpusError::Interrupted);
            }
            if let Some(source) = &mut self.current
                && let Some(document) = source.next_document(&mut self.tally)?
            {
                self.had_document = true;
                return Ok(Some(document));
            }
            self.tally.n_empty_files += u64::from(!self.had_document);
            self.had_document = true;
            let Some(path) = self.paths.next() else {
                self.current = None;
                return Ok(None);
            };
            let opening = Opening {
                n_bytes: Arc::clone(&self.bytes_read),
                interrupt: self.interrupt.clone(),
                zstd_window_log_max: self.options.zstd_window_log_max,
            };
            self.current = Some(Source::open(&path, &self.options, &opening)?);
            self.had_document = false;
        }
    }
}

impl Iterator for Documents {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let next = self.next_document();
        self.failed = next.is_err();
        next.transpose()
    }
}

#[cfg(test)]
mod tests;
