//! Opening a token corpus of any format that is read.

use super::corpus_json::CorpusJson;
use super::dtype::Dtype;
use super::error::TokensError;
use super::index::{DocumentIndex, split_at_eod};
use super::list_column::open_parquet;
use super::megatron::{validate_idx, with_suffix};
use super::raw::{is_llm_c, open_llm_c, open_nano_gpt};
use super::token_file::{TokenFile, map_file};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Names in a corpus directory.
pub(super) const PREFIX: &str = "tokens";
pub(super) const CORPUS_JSON: &str = "corpus.json";

/// A kind of token file.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
#[value(rename_all = "lower")]
pub enum TokenFormat {
    /// `.bin` and `.idx`, with or without a `corpus.json`.
    Megatron,
    /// u16 ids without a header, or a NumPy array.
    NanoGpt,
    /// llm.c's header, then u16 or u32 ids.
    LlmC,
    /// A list column `input_ids`.
    Parquet,
}

impl TokenFormat {
    /// The format that name and contents of `path` tell.
    ///
    /// # Errors
    /// I/O; a path that is no corpus of a format that can be told.
    pub fn detect(path: &Path) -> Result<Self, TokensError> {
        let (bin, idx) = megatron_pair(path);
        if path.is_dir() {
            let is_corpus = bin.exists() || idx.exists();
            return if is_corpus {
                Ok(TokenFormat::Megatron)
            } else {
                Err(not_a_corpus(path))
            };
        }
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        match extension {
            "parquet" => Ok(TokenFormat::Parquet),
            "npy" => Ok(TokenFormat::NanoGpt),
            "idx" => Ok(TokenFormat::Megatron),
            _ if idx.exists() => Ok(TokenFormat::Megatron),
            _ if !path.exists() => Err(not_a_corpus(path)),
            _ if is_llm_c(path)? => Ok(TokenFormat::LlmC),
            "bin" => Ok(TokenFormat::NanoGpt),
            _ => Err(not_a_corpus(path)),
        }
    }

    /// Whether its files say where documents begin; a raw file is split at an id, or is one
    /// document.
    pub fn has_borders(self) -> bool {
        match self {
            TokenFormat::Megatron | TokenFormat::Parquet => true,
            TokenFormat::NanoGpt | TokenFormat::LlmC => false,
        }
    }
}

/// How to open a corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The format; `None`: told by name and contents.
    pub format: Option<TokenFormat>,
    /// The id that ends a document in a raw file (nanoGPT, llm.c), which has no index;
    /// `None`: the file is one document.
    pub eod: Option<u32>,
}

/// A mapped corpus: cheap random access from any thread.
pub struct TokenCorpus {
    format: TokenFormat,
    files: Vec<PathBuf>,
    tokens: TokenFile,
    index: DocumentIndex,
    json: Option<CorpusJson>,
}

impl TokenCorpus {
    /// Opens a directory with `tokens.bin` and `tokens.idx` (and `corpus.json`), a Megatron prefix
    /// or either of its files, a raw `.bin` or `.npy`, or a `.parquet` (unpacked once into an
    /// unlinked temporary file, 4 bytes a token).
    ///
    /// # Errors
    /// I/O, a damaged or foreign file, a `corpus.json` that disagrees with the files.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, TokensError> {
        match options
            .format
            .map_or_else(|| TokenFormat::detect(path), Ok)?
        {
            TokenFormat::Megatron => Self::open_megatron(path),
            TokenFormat::NanoGpt => {
                Self::open_raw(path, TokenFormat::NanoGpt, open_nano_gpt(path)?, options)
            }
            TokenFormat::LlmC => {
                Self::open_raw(path, TokenFormat::LlmC, open_llm_c(path)?, options)
            }
            TokenFormat::Parquet => {
                let (tokens, index) = open_parquet(path)?;
                let files = vec![path.to_path_buf()];
                Ok(Self {
                    format: TokenFormat::Parquet,
                    files,
                    tokens,
                    index,
                    json: None,
                })
            }
        }
    }

    fn open_megatron(path: &Path) -> Result<Self, TokensError> {
        let (bin_path, idx_path) = megatron_pair(path);
        for half in [&bin_path, &idx_path] {
            if !half.exists() {
                return Err(TokensError::MissingHalf { path: half.clone() });
            }
        }
        let (bin, idx) = (map_file(&bin_path)?, map_file(&idx_path)?);
        let layout = validate_idx(&idx, bin.len() as u64).map_err(|source| TokensError::Idx {
            path: idx_path.clone(),
            source,
        })?;
        let (bin_bytes, idx_bytes) = (bin.len() as u64, idx.len() as u64);
        let corpus = Self {
            format: TokenFormat::Megatron,
            json: read_json_beside(&bin_path)?,
            files: vec![bin_path, idx_path],
            tokens: TokenFile::new(bin, 0, layout.dtype, layout.n_tokens),
            index: DocumentIndex::Megatron { idx, layout },
        };
        corpus.check_json(bin_bytes, idx_bytes)?;
        Ok(corpus)
    }

    fn open_raw(
        path: &Path,
        format: TokenFormat,
        tokens: TokenFile,
        options: &OpenOptions,
    ) -> Result<Self, TokensError> {
        let index = match options.eod {
            Some(eod) => split_at_eod(&tokens, eod)?,
            None => DocumentIndex::Whole {
                n_tokens: tokens.n_tokens(),
            },
        };
        Ok(Self {
            format,
            files: vec![path.to_path_buf()],
            tokens,
            index,
            json: None,
        })
    }

    /// Sizes and counts; the hashes are for whoever wants to read everything.
    fn check_json(&self, bin_bytes: u64, idx_bytes: u64) -> Result<(), TokensError> {
        let Some(json) = &self.json else {
            return Ok(());
        };
        let checks = [
            ("bin.bytes", json.bin.bytes, bin_bytes),
            ("idx.bytes", json.idx.bytes, idx_bytes),
            ("n_tokens", json.n_tokens, self.n_tokens()),
            ("n_documents", json.n_documents, self.n_documents()),
        ];
        for (field, expected, got) in checks {
            self.agree(field, expected, got)?;
        }
        self.agree("dtype", json.dtype, self.dtype())
    }

    fn agree<V: PartialEq + std::fmt::Debug>(
        &self,
        field: &'static str,
        expected: V,
        got: V,
    ) -> Result<(), TokensError> {
        if expected == got {
            return Ok(());
        }
        Err(TokensError::Disagrees {
            path: self.files[0].with_file_name(CORPUS_JSON),
            field,
            expected: format!("{expected:?}"),
            got: format!("{got:?}"),
        })
    }

    /// Number of tokens.
    pub fn n_tokens(&self) -> u64 {
        self.tokens.n_tokens()
    }

    /// Number of documents, empty ones included.
    pub fn n_documents(&self) -> u64 {
        self.index.n_documents()
    }

    /// The kind of token file.
    pub fn format(&self) -> TokenFormat {
        self.format
    }

    /// Type of the ids as they lie in the file (as they were unpacked, for Parquet).
    pub fn dtype(&self) -> Dtype {
        self.tokens.dtype()
    }

    /// The files that the tokens come from: for Megatron the `.bin`, then the `.idx`.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The `corpus.json`, if there is one.
    pub fn corpus_json(&self) -> Option<&CorpusJson> {
        self.json.as_ref()
    }

    /// Token offset at which a document starts; that of `n_documents()` is `n_tokens()`.
    ///
    /// # Panics
    /// Past `n_documents()`.
    pub fn document_start(&self, doc: u64) -> u64 {
        self.index.start(doc)
    }

    /// The document that holds a token; never an empty one.
    ///
    /// # Panics
    /// Past the last token.
    pub fn document_at(&self, token_offset: u64) -> u64 {
        assert!(
            token_offset < self.n_tokens(),
            "token {token_offset} of {}",
            self.n_tokens()
        );
        self.index.document_at(token_offset)
    }

    /// Copies ids from token `start` on. An id of the file that is negative or no u32 comes as one
    /// of 2^31 or more: [`check_ids`](Self::check_ids) finds such.
    ///
    /// # Panics
    /// Past the last token.
    pub fn copy_tokens(&self, start: u64, out: &mut [u32]) {
        self.tokens.copy(start, out);
    }

    /// The largest id of a range, and the first offset at which it stands (a parallel scan);
    /// `(0, range.start)` if the range is empty.
    ///
    /// # Panics
    /// Past the last token.
    pub fn max_token_id(&self, range: Range<u64>) -> (u32, u64) {
        self.tokens.max_id(range)
    }

    /// Checks that every id of a range is below `vocab_size` (a parallel scan).
    ///
    /// # Errors
    /// Names the largest id, its offset and its document; finds negative ids as well.
    ///
    /// # Panics
    /// Past the last token.
    pub fn check_ids(&self, range: Range<u64>, vocab_size: u32) -> Result<(), TokensError> {
        if range.is_empty() {
            return Ok(());
        }
        let (id, token_offset) = self.max_token_id(range);
        if id < vocab_size {
            return Ok(());
        }
        let document = self.document_at(token_offset);
        let path = self.files[0].clone();
        Err(TokensError::TokenPastVocab {
            path,
            id,
            token_offset,
            document,
            vocab_size,
        })
    }
}

fn not_a_corpus(path: &Path) -> TokensError {
    TokensError::NotACorpus {
        path: path.to_path_buf(),
    }
}

/// The `.bin` and `.idx` that a directory, a prefix or either file stands for.
fn megatron_pair(path: &Path) -> (PathBuf, PathBuf) {
    let mut prefix = if path.is_dir() {
        path.join(PREFIX)
    } else {
        path.to_path_buf()
    };
    if prefix
        .extension()
        .is_some_and(|extension| extension == "bin" || extension == "idx")
    {
        prefix.set_extension("");
    }
    (with_suffix(&prefix, ".bin"), with_suffix(&prefix, ".idx"))
}

/// A `corpus.json` speaks of the `tokens.bin` in its own directory and of nothing else.
fn read_json_beside(bin: &Path) -> Result<Option<CorpusJson>, TokensError> {
    if bin.file_stem().is_none_or(|stem| stem != PREFIX) {
        return Ok(None);
    }
    CorpusJson::read(&bin.with_file_name(CORPUS_JSON))
}

#[cfg(test)]
mod tests;
