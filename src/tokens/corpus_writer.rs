//! Writing a corpus directory: token files first, `corpus.json` last.

use super::corpus::{CORPUS_JSON, PREFIX};
use super::corpus_json::{CORPUS_FORMAT_VERSION, CorpusJson};
use super::error::TokensError;
use super::megatron::MegatronWriter;
use super::tokenizer::Tokenizer;
use crate::corpus::Tally;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// A corpus directory in the making. Dropped before [`finish`](Self::finish), it leaves nothing new.
pub struct CorpusWriter {
    dir: PathBuf,
    writer: MegatronWriter,
    tokenizer_fingerprint: String,
    vocab_size: u32,
    bos: Option<u32>,
    eod: Option<u32>,
    n_text_bytes: u64,
}

impl CorpusWriter {
    /// Opens the output: creates `dir` if needed, and temporaries in it. Documents are to be pushed
    /// with `bos` in front and `eod` behind; here they are only recorded.
    ///
    /// # Errors
    /// A corpus that is there already (unless it may be overwritten), a `bos` or `eod` past the
    /// vocabulary, I/O.
    pub fn create(
        dir: &Path,
        tokenizer: &Tokenizer,
        bos: Option<u32>,
        eod: Option<u32>,
        overwrite: bool,
    ) -> Result<Self, TokensError> {
        let vocab_size = tokenizer.vocab_size();
        if let Some(id) = [bos, eod]
            .into_iter()
            .flatten()
            .find(|&id| id >= vocab_size)
        {
            return Err(TokensError::IdPastVocab { id, vocab_size });
        }
        if let Some(path) = outputs(dir)
            .into_iter()
            .find(|path| path.exists() && !overwrite)
        {
            return Err(TokensError::OutputExists { path });
        }
        fs::create_dir_all(dir).map_err(TokensError::io("create", dir))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            writer: MegatronWriter::create(&dir.join(PREFIX), vocab_size)?,
            tokenizer_fingerprint: tokenizer.fingerprint(),
            vocab_size,
            bos,
            eod,
            n_text_bytes: 0,
        })
    }

    /// Appends one document, with its ids in front and behind, of so many bytes of text.
    ///
    /// # Errors
    /// As [`MegatronWriter::push_document`].
    pub fn push_document(&mut self, ids: &[u32], n_text_bytes: u64) -> Result<(), TokensError> {
        self.n_text_bytes += n_text_bytes;
        self.writer.push_document(ids)
    }

    /// Number of documents so far.
    pub fn n_documents(&self) -> u64 {
        self.writer.n_documents()
    }

    /// Number of tokens so far.
    pub fn n_tokens(&self) -> u64 {
        self.writer.n_tokens()
    }

    /// Publishes the token files and then `corpus.json`. An old corpus goes first, its
    /// `corpus.json` before its tokens: at no time does one describe other files.
    ///
    /// # Errors
    /// I/O.
    pub fn finish(self, tally: Tally) -> Result<CorpusJson, TokensError> {
        for path in outputs(&self.dir) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(TokensError::io("replace", &path)(error));
                }
                _ => {}
            }
        }
        let written = self.writer.finish()?;
        let json = CorpusJson {
            format_version: CORPUS_FORMAT_VERSION,
            required_features: Vec::new(),
            tokenizer_fingerprint: self.tokenizer_fingerprint,
            vocab_size: self.vocab_size,
            bos: self.bos,
            eod: self.eod,
            dtype: written.dtype,
            n_documents: written.n_documents,
            n_tokens: written.n_tokens,
            n_text_bytes: self.n_text_bytes,
            n_empty_documents: tally.n_empty_documents,
            n_bad_lines: tally.n_bad_lines,
            bin: written.bin,
            idx: written.idx,
        };
        json.write(&self.dir.join(CORPUS_JSON))?;
        Ok(json)
    }
}

/// What a corpus directory holds, in the order in which it is taken away.
fn outputs(dir: &Path) -> [PathBuf; 3] {
    [CORPUS_JSON, "tokens.idx", "tokens.bin"].map(|name| dir.join(name))
}
