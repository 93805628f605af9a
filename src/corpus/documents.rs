//! All documents of all input files, in order.

use super::document::{CorpusOptions, Document, Tally};
use super::error::CorpusError;
use super::format::{Contents, format_of};
use super::input_file::{InputFile, PassingHash};
use super::source::Source;
use super::stream::Opening;
use crate::error::until_error;
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
    current: Option<Current>,
    /// Whether the current file has had a document.
    had_document: bool,
    tally: Tally,
    bytes_read: Arc<AtomicU64>,
    bytes_total: u64,
    interrupt: Interrupt,
    keeps_inputs: bool,
    inputs: Vec<InputFile>,
    failed: bool,
}

/// The file being read.
struct Current {
    source: Source,
    path: PathBuf,
    hash: Option<PassingHash>,
}

impl Documents {
    /// Checks that every file exists and is of a known kind; contents are read only as documents are requested.
    ///
    /// # Errors
    /// A file that is missing or, by its name, of an unknown kind.
    pub fn open(paths: Vec<PathBuf>, options: CorpusOptions) -> Result<Self, CorpusError> {
        for path in &paths {
            if let (Contents::Other(extension), _) = format_of(path)
                && options.format.is_none()
            {
                let path = path.clone();
                return Err(CorpusError::UnknownFormat { path, extension });
            }
        }
        // In a store each size is a request, whose time is spent waiting.
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
            keeps_inputs: false,
            inputs: Vec::new(),
            failed: false,
        })
    }

    /// Stops reading when `interrupt` is requested, even in the middle of a document.
    #[must_use]
    pub fn with_interrupt(mut self, interrupt: &Interrupt) -> Self {
        self.interrupt = interrupt.clone();
        self
    }

    /// Hashes every file as it is read, for [`inputs`](Self::inputs).
    #[must_use]
    pub fn with_input_hashes(mut self) -> Self {
        self.keeps_inputs = true;
        self
    }

    /// The files that were read to the end, in order; empty without [`with_input_hashes`](Self::with_input_hashes).
    pub fn inputs(&self) -> &[InputFile] {
        &self.inputs
    }

    /// The interrupt that stops reading.
    pub fn interrupt(&self) -> &Interrupt {
        &self.interrupt
    }

    /// Counts of what was read so far and is not a document.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// Bytes of the (compressed) files read so far.
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read.load(Ordering::Relaxed)
    }

    /// Total bytes of the (compressed) files.
    pub fn bytes_total(&self) -> u64 {
        self.bytes_total
    }

    fn next_document(&mut self) -> Result<Option<Document>, CorpusError> {
        loop {
            if self.interrupt.is_requested() {
                return Err(CorpusError::Interrupted);
            }
            if let Some(current) = &mut self.current
                && let Some(document) = current.source.next_document(&mut self.tally)?
            {
                self.had_document = true;
                return Ok(Some(document));
            }
            self.tally.n_empty_files += u64::from(!self.had_document);
            self.had_document = true;
            self.note_read()?;
            let Some(path) = self.paths.next() else {
                return Ok(None);
            };
            self.current = Some(self.open_file(path)?);
            self.had_document = false;
        }
    }

    /// The current file has been read to its end.
    fn note_read(&mut self) -> Result<(), CorpusError> {
        if let Some(Current { path, hash, .. }) = self.current.take()
            && let Some(hash) = hash
        {
            self.inputs.push(hash.finish(&path)?);
        }
        Ok(())
    }

    fn open_file(&self, path: PathBuf) -> Result<Current, CorpusError> {
        let hash = self.keeps_inputs.then(PassingHash::default);
        let opening = Opening {
            n_bytes: Arc::clone(&self.bytes_read),
            interrupt: self.interrupt.clone(),
            zstd_window_log_max: self.options.zstd_window_log_max,
            hash: hash.clone(),
        };
        Ok(Current {
            source: Source::open(&path, &self.options, &opening)?,
            path,
            hash,
        })
    }
}

impl Iterator for Documents {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        until_error(self, |documents| &mut documents.failed, Self::next_document)
    }
}

#[cfg(test)]
mod tests;
