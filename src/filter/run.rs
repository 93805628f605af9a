//! From a corpus and a selection to the chosen records, one input after another.

use super::choices::Choices;
use super::counts::Counts;
use super::error::FilterError;
use super::file::{FileJob, check_input};
use super::inputs::{Input, match_inputs};
use super::options::Request;
use super::plan::{Plan, Records, make_dir};
use crate::interrupt::Interrupt;
use crate::shards::DocumentSelection;
use crate::storage;
use crate::tokens::{CORPUS_JSON, CorpusJson, DocumentReader};
use serde::Serialize;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The result of filtering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Inputs.
    pub n_files: u64,
    /// Those finished by an earlier run.
    pub n_files_done_before: u64,
    /// Totals over all inputs.
    #[serde(flatten)]
    pub counts: Counts,
}

/// Work that was checked to be possible.
pub struct Job {
    request: Request,
    inputs: Vec<Input>,
    choices: Choices,
    records: Records,
    interrupt: Interrupt,
    // Declared last: while this is held, nobody else writes into the directory.
    _lock: File,
}

impl Job {
    /// Checks before the long work that everything is there and fits: the corpus, a selection of it, exactly its
    /// inputs, and an output directory that is free or has the beginning of the same work.
    ///
    /// # Errors
    /// Anything that is missing or does not fit.
    pub fn open(request: Request, interrupt: &Interrupt) -> Result<Self, FilterError> {
        request.options.check()?;
        let corpus = read_corpus(&request.corpus)?;
        let selection = open_selection(&request.selection)?;
        selection.check_corpus(&corpus.fingerprint())?;
        let compression = request.options.compression;
        let inputs = match_inputs(&corpus.inputs, &request.inputs, compression)?;
        for input in &inputs {
            check_input(input, &request, interrupt)?;
        }
        let documents = DocumentReader::open(&request.corpus, &corpus)?;
        let documents = documents.ok_or_else(|| no_documents(&request.corpus))?;
        let hash = storage::hash_file(&request.selection)?;
        make_dir(&request.output)?;
        let lock = storage::lock_dir(&request.output)?.ok_or_else(|| FilterError::InUse {
            dir: request.output.clone(),
        })?;
        let plan = Plan::new(corpus.fingerprint(), hash, &request.options, &inputs);
        Ok(Self {
            records: Records::begin(&request.output, &plan)?,
            choices: Choices::new(documents, selection, &request.selection, &request.options),
            request,
            inputs,
            interrupt: interrupt.clone(),
            _lock: lock,
        })
    }

    /// Bytes of all inputs.
    pub fn bytes_total(&self) -> u64 {
        self.inputs.iter().map(|input| input.file.bytes).sum()
    }

    /// Filters one input after another; `on_progress` is called with the number of input bytes processed.
    ///
    /// # Errors
    /// An input that has changed, a key that already exists, a failed write, an interruption: then finished outputs
    /// stay, and the same job resumes after them.
    pub fn run(mut self, mut on_progress: impl FnMut(u64)) -> Result<Summary, FilterError> {
        let mut summary = Summary {
            n_files: self.inputs.len() as u64,
            n_files_done_before: 0,
            counts: Counts::default(),
        };
        let mut bytes_before = 0;
        for (i, input) in std::mem::take(&mut self.inputs).iter().enumerate() {
            summary.counts += match self.records.done(i, input)? {
                Some(done) => {
                    summary.n_files_done_before += 1;
                    let documents = self.choices.of_file(&input.file.path, &input.path);
                    documents.pass_over()?;
                    done.counts
                }
                None => self.filter(i, input, bytes_before, &mut on_progress)?,
            };
            bytes_before += input.file.bytes;
            on_progress(bytes_before);
        }
        self.choices.finish()?;
        Ok(summary)
    }

    /// Writes the output of input number `i`.
    fn filter(
        &mut self,
        i: usize,
        input: &Input,
        bytes_before: u64,
        on_progress: &mut dyn FnMut(u64),
    ) -> Result<Counts, FilterError> {
        if self.interrupt.is_requested() {
            return Err(FilterError::Interrupted);
        }
        let job = FileJob {
            input,
            output: self.request.output.join(&input.output),
            request: &self.request,
            interrupt: &self.interrupt,
            bytes_read: Arc::new(AtomicU64::new(bytes_before)),
        };
        let mut look = || on_progress(job.bytes_read.load(Ordering::Relaxed));
        let done = job.filter(&mut self.choices, &mut look)?;
        self.records.note(i, &done)?;
        Ok(done.counts)
    }
}

fn read_corpus(dir: &Path) -> Result<CorpusJson, FilterError> {
    let corpus = CorpusJson::read(&dir.join(CORPUS_JSON))?;
    let corpus = corpus.ok_or_else(|| FilterError::NotACorpus {
        dir: dir.to_path_buf(),
    })?;
    match corpus.inputs.is_empty() || corpus.documents.is_none() {
        true => Err(no_documents(dir)),
        false => Ok(corpus),
    }
}

fn open_selection(path: &Path) -> Result<DocumentSelection, FilterError> {
    if !storage::exists(path)? {
        return Err(FilterError::NoSelection {
            path: path.to_path_buf(),
        });
    }
    Ok(DocumentSelection::open(path)?)
}

fn no_documents(dir: &Path) -> FilterError {
    FilterError::NoDocuments {
        dir: dir.to_path_buf(),
    }
}
