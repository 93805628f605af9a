//! Writing a corpus directory: token files first, `corpus.json` last.
//!
//! The directory is locked while it is written, so that one of two writers is refused. What a killed writer left is
//! replaced by the next: its temporaries, and token files without a `corpus.json`.
//!
//! In an object store there are no locks. The files are written on local scratch and uploaded when all of them are
//! complete; of two writers, the one that finds a name taken is refused.

use super::corpus_json::{CORPUS_FORMAT_VERSION, CorpusJson};
use super::documents::DocumentWriter;
use super::error::TokensError;
use super::format::{CORPUS_JSON, DOCUMENTS, PREFIX};
use super::megatron::MegatronWriter;
use super::partial::{Partial, Sealed};
use super::tokenizer::Tokenizer;
use crate::corpus::{Document, InputFile, Tally};
use crate::storage::{self, remove_file, sweep_abandoned_where};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The files of a corpus directory, in the order in which they are removed.
const OUTPUTS: [&str; 4] = [CORPUS_JSON, DOCUMENTS, "tokens.idx", "tokens.bin"];

/// Files by which directories of other kinds are recognised.
const FOREIGN: [(&str, &str); 2] = [("plan.json", "labels"), ("metrics.jsonl", "a training run")];

/// The ids around every document, and whether an existing corpus may be replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriterSettings {
    /// Ids in front of every document, in order.
    pub bos: Vec<u32>,
    /// Ids after every document, in order.
    pub eod: Vec<u32>,
    /// Replace an existing corpus.
    pub overwrite: bool,
}

/// A corpus directory being written. Dropped before [`finish`](Self::finish), it leaves nothing new.
pub struct CorpusWriter {
    dir: PathBuf,
    writer: MegatronWriter,
    tokenizer_fingerprint: String,
    vocab_size: u32,
    settings: WriterSettings,
    n_text_bytes: u64,
    documents: Option<DocumentWriter>,
    inputs: Vec<InputFile>,
    replaces_unfinished: bool,
    // Declared last: the temporaries are removed while the lock is still held.
    _lock: Option<File>,
}

impl CorpusWriter {
    /// Opens the output: creates `dir` if needed, locks it, removes what a killed writer left, and creates temporaries
    /// in it. Documents are pushed with their surrounding ids; the settings only record those ids.
    ///
    /// # Errors
    /// An existing corpus (unless it may be overwritten), another process that writes one, an id outside the
    /// vocabulary, I/O.
    pub fn create(
        dir: &Path,
        tokenizer: &Tokenizer,
        settings: WriterSettings,
    ) -> Result<Self, TokensError> {
        let vocab_size = tokenizer.vocab_size();
        let mut around = settings.bos.iter().chain(&settings.eod);
        if let Some(&id) = around.find(|&&id| id >= vocab_size) {
            return Err(TokensError::IdPastVocab { id, vocab_size });
        }
        if storage::is_url(dir) {
            // Creates nothing, but refuses a read-only place before requests are made.
            storage::make_dirs(dir)?;
        }
        check_free(dir, settings.overwrite)?;
        let lock = lock(dir)?;
        check_free(dir, settings.overwrite)?;
        sweep_abandoned_where(dir, |name| OUTPUTS.contains(&name))?;
        let replaces_unfinished = is_unfinished(dir)?;
        Ok(Self {
            writer: MegatronWriter::create(&dir.join(PREFIX), vocab_size)?,
            dir: dir.to_path_buf(),
            tokenizer_fingerprint: tokenizer.fingerprint(),
            vocab_size,
            settings,
            n_text_bytes: 0,
            documents: None,
            inputs: Vec::new(),
            replaces_unfinished,
            _lock: lock,
        })
    }

    /// Whether there are token files without a `corpus.json`, left by an unfinished run, which will be replaced.
    pub fn replaces_unfinished(&self) -> bool {
        self.replaces_unfinished
    }

    /// Appends one document, including its surrounding ids, with `n_text_bytes` bytes of text. Its origin is not
    /// recorded.
    ///
    /// # Errors
    /// Those of [`MegatronWriter::push_document`].
    pub fn push_document(&mut self, ids: &[u32], n_text_bytes: u64) -> Result<(), TokensError> {
        self.writer.append(ids)?;
        self.n_text_bytes += n_text_bytes;
        self.writer.end_document();
        Ok(())
    }

    /// Starts recording where documents come from; call it before the first. Every document must then be ended by
    /// [`end_document`](Self::end_document).
    pub(super) fn keep_documents(&mut self) -> Result<(), TokensError> {
        self.documents = Some(DocumentWriter::create(&self.dir)?);
        Ok(())
    }

    /// The input files that were read.
    pub(super) fn set_inputs(&mut self, inputs: Vec<InputFile>) {
        self.inputs = inputs;
    }

    /// Appends ids to the current document.
    ///
    /// # Errors
    /// Those of [`MegatronWriter::push_document`].
    pub fn append(&mut self, ids: &[u32]) -> Result<(), TokensError> {
        self.writer.append(ids)
    }

    /// Ends the current document, which is that of `document`; `is_spelled` says whether its tokens spell the text.
    pub(super) fn end_document(
        &mut self,
        document: &Document,
        is_spelled: bool,
    ) -> Result<(), TokensError> {
        let n_bytes = document.text.len() as u64;
        let n_before = self.writer.n_tokens();
        self.n_text_bytes += n_bytes;
        self.writer.end_document();
        let n_tokens = self.writer.n_tokens() - n_before;
        match &mut self.documents {
            Some(documents) => {
                documents.count_spelling(is_spelled);
                documents.push(&document.id, &document.location, n_tokens, n_bytes)
            }
            None => Ok(()),
        }
    }

    /// Number of documents so far.
    pub fn n_documents(&self) -> u64 {
        self.writer.n_documents()
    }

    /// Number of tokens so far.
    pub fn n_tokens(&self) -> u64 {
        self.writer.n_tokens()
    }

    /// Publishes the token files and then `corpus.json`. All are on disk before an old corpus is removed, its
    /// `corpus.json` before its tokens: a `corpus.json` never describes other files.
    ///
    /// # Errors
    /// A corpus created meanwhile (unless it may be overwritten), I/O.
    pub fn finish(self, tally: Tally) -> Result<CorpusJson, TokensError> {
        let pair = self.writer.seal()?;
        let documents = self.documents.map(DocumentWriter::seal).transpose()?;
        let (documents, stamp) = documents.unzip();
        let (bos, eod) = (&self.settings.bos, &self.settings.eod);
        let several = |ids: &Vec<u32>| {
            if ids.len() > 1 {
                ids.clone()
            } else {
                Vec::new()
            }
        };
        let json = CorpusJson {
            format_version: CORPUS_FORMAT_VERSION,
            required_features: Vec::new(),
            tokenizer_fingerprint: self.tokenizer_fingerprint,
            vocab_size: self.vocab_size,
            bos: bos.first().copied(),
            eod: eod.last().copied(),
            ids_in_front: several(bos),
            ids_after: several(eod),
            dtype: pair.written.dtype,
            n_documents: pair.written.n_documents,
            n_tokens: pair.written.n_tokens,
            n_text_bytes: self.n_text_bytes,
            n_empty_documents: tally.n_empty_documents,
            n_bad_lines: tally.n_bad_lines,
            bin: pair.written.bin.clone(),
            idx: pair.written.idx.clone(),
            blocks: Some(pair.written.blocks.clone()),
            documents: stamp,
            inputs: self.inputs,
        };
        let json_file = sealed_json(&self.dir, &json)?;
        // Without locks in the filesystem, another writer may have finished first.
        check_free(&self.dir, self.settings.overwrite)?;
        for name in outputs_in(&self.dir)? {
            remove_file(&self.dir.join(name))?;
        }
        pair.publish()?;
        if let Some(documents) = documents {
            documents.publish()?;
        }
        json_file.publish()?;
        Ok(json)
    }
}

/// A complete `corpus.json` without its final name yet.
fn sealed_json(dir: &Path, json: &CorpusJson) -> Result<Sealed, TokensError> {
    let path = dir.join(CORPUS_JSON);
    let mut file = Partial::create(&path)?;
    let written = file.write_all(&json.to_bytes());
    written.map_err(TokensError::write(&path))?;
    file.seal()
}

/// Creates the directory if necessary and locks it for this process; in a store, checks that it is writable.
fn lock(dir: &Path) -> Result<Option<File>, TokensError> {
    if storage::is_url(dir) {
        storage::check_writable(dir)?;
        return Ok(None);
    }
    fs::create_dir_all(dir).map_err(TokensError::io("create", dir))?;
    let in_use = || TokensError::OutputInUse {
        dir: dir.to_path_buf(),
    };
    storage::lock_dir(dir)?.ok_or_else(in_use).map(Some)
}

/// The corpus files that exist, in the order of [`OUTPUTS`].
fn outputs_in(dir: &Path) -> Result<Vec<&'static str>, TokensError> {
    let existing = storage::list(dir)?;
    let is_there = |name: &&str| existing.iter().any(|entry| entry.name == **name);
    Ok(OUTPUTS.into_iter().filter(is_there).collect())
}

/// Whether there are token files without a `corpus.json`.
fn is_unfinished(dir: &Path) -> Result<bool, TokensError> {
    let existing = outputs_in(dir)?;
    Ok(!existing.is_empty() && !existing.contains(&CORPUS_JSON))
}

/// Refuses a finished corpus unless it may be overwritten, and a directory of another kind.
fn check_free(dir: &Path, overwrite: bool) -> Result<(), TokensError> {
    for (name, what) in FOREIGN {
        if storage::is_file(&dir.join(name))? {
            let dir = dir.to_path_buf();
            return Err(TokensError::OutputOfOthers { dir, what, name });
        }
    }
    let path = dir.join(CORPUS_JSON);
    if !overwrite && storage::exists(&path)? {
        return Err(TokensError::OutputExists { path });
    }
    Ok(())
}
