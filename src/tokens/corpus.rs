//! Opens a token corpus of any supported format.

use super::corpus_json::CorpusJson;
use super::dtype::Dtype;
use super::eod::{self, EodPosition};
use super::error::TokensError;
use super::format::{CORPUS_JSON, PREFIX, TokenFormat};
use super::index::DocumentIndex;
use super::list_column::{Padding, open_parquet};
use super::megatron::validate_idx;
use super::paths::{megatron_pair, parquet_files};
use super::raw::{RawTokens, open_llm_c, open_nano_gpt};
use super::token_file::{BinFile, TokenFile, map_file};
use super::width::Sample;
use crate::corpus::mixed_splits;
use crate::storage::{self, FileHash, StorageError};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Ids 0 in a row, at the end of a file, that are remarked on.
const MIN_ZEROS: u64 = 256;

/// How to open a corpus.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// The format; `None`: detected from name and contents.
    pub format: Option<TokenFormat>,
    /// The type of the ids in a file without a header; `None`: u16, unless that turns out to be wrong.
    pub dtype: Option<Dtype>,
    /// The id that separates documents in a raw file (nanoGPT, llm.c), which has no index;
    /// `None`: the file is one document.
    pub eod: Option<u32>,
    /// On which side of a document that id is; `None`: inferred from the first and the last id of the file.
    pub eod_position: Option<EodPosition>,
}

impl OpenOptions {
    /// The first option set, by its flag, that a format with document boundaries determines itself.
    fn first_raw_option(&self) -> Option<(&'static str, String)> {
        let dtype = self.dtype.map(|dtype| ("--dtype", dtype.name().to_owned()));
        let eod = self.eod.map(|eod| ("--eod", eod.to_string()));
        let position = self.eod_position.map(|position| {
            let value = format!("{position:?}").to_lowercase();
            ("--eod-position", value)
        });
        dtype.or(eod).or(position)
    }
}

/// An open corpus: cheap random access from any thread.
pub struct TokenCorpus {
    format: TokenFormat,
    files: Vec<PathBuf>,
    local_files: Vec<PathBuf>,
    tokens: TokenFile,
    index: DocumentIndex,
    json: Option<CorpusJson>,
    explicit_dtype: Option<Dtype>,
    /// Neither the file nor an option states the type of its ids.
    is_dtype_assumed: bool,
    eod_position: Option<EodPosition>,
    padding: Option<Padding>,
    notes: Vec<String>,
}

impl TokenCorpus {
    /// Opens a directory with `tokens.bin` and `tokens.idx` (and `corpus.json`), a Megatron prefix or either of its
    /// files, a raw `.bin` or `.npy`, or `.parquet`: a file, a folder of them, or a glob (unpacked once into an
    /// unlinked temporary file, 4 bytes per token).
    ///
    /// # Errors
    /// I/O, a damaged or foreign file, a `corpus.json` that disagrees with the files, an option that the files
    /// themselves determine.
    pub fn open(path: &Path, options: &OpenOptions) -> Result<Self, TokensError> {
        let format = match options.format {
            Some(format) => format,
            None => TokenFormat::detect(path)?,
        };
        if let Some((option, got)) = options
            .first_raw_option()
            .filter(|_| format.has_document_boundaries())
        {
            return Err(TokensError::OptionInFile {
                path: path.to_path_buf(),
                option,
                got,
            });
        }
        if options.eod_position.is_some() && options.eod.is_none() {
            return Err(TokensError::PositionWithoutEod);
        }
        match format {
            TokenFormat::Megatron => Self::open_megatron(path),
            TokenFormat::NanoGpt => {
                Self::open_raw(path, format, open_nano_gpt(path, options.dtype)?, options)
            }
            TokenFormat::LlmC => Self::open_raw(path, format, open_llm_c(path)?, options),
            TokenFormat::Parquet => Self::open_parquet(path),
        }
    }

    fn new(
        format: TokenFormat,
        files: Vec<PathBuf>,
        tokens: TokenFile,
        index: DocumentIndex,
    ) -> Result<Self, TokensError> {
        let local_files = local_files(&files, &tokens)?;
        // If the store now has another version, that one would be hashed instead of what was opened.
        if tokens.is_modified()? && storage::is_url(&files[0]) {
            return Err(StorageError::changed(&files[0]).into());
        }
        Ok(Self {
            format,
            files,
            local_files,
            tokens,
            index,
            json: None,
            explicit_dtype: None,
            is_dtype_assumed: false,
            eod_position: None,
            padding: None,
            notes: Vec::new(),
        })
    }

    fn open_megatron(path: &Path) -> Result<Self, TokensError> {
        let (bin_path, idx_path) = megatron_pair(path)?;
        for half in [&bin_path, &idx_path] {
            if !storage::exists(half)? {
                return Err(TokensError::MissingHalf { path: half.clone() });
            }
        }
        let json = read_json_beside(&bin_path)?;
        let blocks = json.as_ref().and_then(|json| json.block_hashes());
        let (bin, idx) = (BinFile::open(&bin_path, blocks)?, map_file(&idx_path)?);
        let fault = |source| TokensError::Idx {
            path: idx_path.clone(),
            source,
        };
        let layout = validate_idx(&idx, bin.n_bytes()).map_err(fault)?;
        let index = DocumentIndex::of_megatron(&idx, &layout)?;
        let (bin_bytes, idx_bytes) = (bin.n_bytes(), idx.len() as u64);
        let tokens = bin.into_tokens(layout.dtype, layout.n_tokens);
        let files = vec![bin_path, idx_path.clone()];
        let mut corpus = Self::new(TokenFormat::Megatron, files, tokens, index)?;
        corpus.json = json;
        corpus.notes.extend(layout.has_modes.then(|| {
            format!(
                "{} has modes of its sequences, all 0 (text): they are not used",
                idx_path.display()
            )
        }));
        corpus.check_json(bin_bytes, idx_bytes)?;
        corpus.note_trailing_zeros()?;
        Ok(corpus)
    }

    fn open_raw(
        path: &Path,
        format: TokenFormat,
        raw: RawTokens,
        options: &OpenOptions,
    ) -> Result<Self, TokensError> {
        let RawTokens { tokens, has_header } = raw;
        let conflicting = options.dtype.filter(|dtype| *dtype != tokens.dtype());
        if let Some(dtype) = conflicting {
            return Err(TokensError::DtypeInHeader {
                path: path.to_path_buf(),
                expected: tokens.dtype().name(),
                got: dtype.name(),
            });
        }
        let split = options
            .eod
            .map(|eod| eod::split(&tokens, eod, options.eod_position));
        let (index, eod_position, note) = match split.transpose()? {
            Some(split) => (split.index, Some(split.position), split.note),
            None => {
                let n_tokens = tokens.n_tokens();
                (DocumentIndex::Whole { n_tokens }, None, None)
            }
        };
        let mut corpus = Self::new(format, vec![path.to_path_buf()], tokens, index)?;
        corpus.explicit_dtype = options.dtype.filter(|_| !has_header);
        corpus.is_dtype_assumed = options.dtype.is_none() && !has_header;
        corpus.eod_position = eod_position;
        corpus.notes.extend(note);
        corpus.note_explicit_dtype()?;
        corpus.note_trailing_zeros()?;
        Ok(corpus)
    }

    /// A file that was allocated and not filled ends in zeros. Tokens that were hashed when they were written
    /// cannot be such a file.
    fn note_trailing_zeros(&mut self) -> Result<(), TokensError> {
        let n_zeros = match self.json {
            Some(_) => 0,
            None => self.tokens.n_zeros_at_end()?,
        };
        if n_zeros >= MIN_ZEROS {
            self.notes.push(format!(
                "the last {n_zeros} of {} ids of {} are 0, as in a file that was allocated and not filled: they are used like the others; cut them off if they are not text",
                self.n_tokens(),
                self.files[0].display()
            ));
        }
        Ok(())
    }

    /// The option wins, but a note says if the ids look like another type.
    fn note_explicit_dtype(&mut self) -> Result<(), TokensError> {
        let Some(dtype) = self.explicit_dtype else {
            return Ok(());
        };
        let wider = Sample::of(&self.tokens)?.wider_than(dtype, 1);
        self.notes.extend(wider.map(|wider| {
            format!(
                "every second id of {} is 0 when read with --dtype {}, as if it were written as {}",
                self.files[0].display(),
                dtype.name(),
                wider.name()
            )
        }));
        Ok(())
    }

    fn open_parquet(path: &Path) -> Result<Self, TokensError> {
        let files = parquet_files(path)?;
        let column = open_parquet(&files)?;
        let note = (files.len() > 1).then(|| {
            format!(
                "{} Parquet files are one corpus, in this order: {} ... {}",
                files.len(),
                files[0].display(),
                files[files.len() - 1].display()
            )
        });
        let splits = mixed_splits(&files);
        let mut corpus = Self::new(TokenFormat::Parquet, files, column.tokens, column.index)?;
        corpus.padding = column.padding;
        corpus.notes = note.into_iter().chain(splits).chain(column.notes).collect();
        Ok(corpus)
    }

    /// Checks sizes and counts; for the hashes see [`check_hashes`](Self::check_hashes).
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

    /// Compares the BLAKE3 of each of [`files`](Self::files) with those in `corpus.json`, if there is one.
    ///
    /// # Errors
    /// A file that is not the one that was tokenized.
    pub fn check_hashes<'a>(
        &self,
        hashes: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), TokensError> {
        let Some(json) = &self.json else {
            return Ok(());
        };
        let expected = [&json.bin, &json.idx].map(|stamp| stamp.blake3.as_str());
        let differing = self.files.iter().zip(hashes).zip(expected);
        match differing
            .into_iter()
            .find(|((_, got), expected)| got != expected)
        {
            None => Ok(()),
            Some(((path, got), expected)) => Err(TokensError::NotAsTokenized {
                path: path.clone(),
                json: path.with_file_name(CORPUS_JSON),
                expected: expected.to_owned(),
                got: got.to_owned(),
            }),
        }
    }

    /// Reads the files whole, then as [`check_hashes`](Self::check_hashes). A file that is read in blocks is skipped:
    /// each block is checked when it is read.
    ///
    /// # Errors
    /// The same, or I/O.
    pub fn check_contents(&self) -> Result<(), TokensError> {
        if self.json.is_none() {
            return Ok(());
        }
        let hashes = self.file_hashes()?;
        self.check_hashes(hashes.iter().map(|hash| hash.blake3.as_str()))
    }

    /// [`file_hash`](Self::file_hash) of each of [`files`](Self::files).
    ///
    /// # Errors
    /// I/O.
    pub fn file_hashes(&self) -> Result<Vec<FileHash>, StorageError> {
        (0..self.local_files.len())
            .map(|idx| self.file_hash(idx))
            .collect()
    }

    /// Size and hash of the `idx`-th of [`files`](Self::files). They are taken from `corpus.json` for a `tokens.bin` that
    /// is read in blocks, since each block is checked against a hash that is part of that one. Other files are read whole.
    ///
    /// # Errors
    /// I/O.
    pub fn file_hash(&self, idx: usize) -> Result<FileHash, StorageError> {
        match self.hash_by_blocks(idx) {
            Some(hash) => Ok(hash),
            None => storage::hash_file(&self.local_files[idx]),
        }
    }

    fn hash_by_blocks(&self, idx: usize) -> Option<FileHash> {
        let json = self.json.as_ref()?;
        (idx == 0 && self.tokens.is_by_blocks()).then(|| FileHash {
            bytes: json.bin.bytes,
            blake3: json.bin.blake3.clone(),
        })
    }

    /// Local paths of [`files`](Self::files): for URLs, the cached copies that were opened. A file that is read in
    /// blocks keeps its URL, since not all of it need be here.
    pub fn local_files(&self) -> &[PathBuf] {
        &self.local_files
    }

    /// The file of the ids, if its size or time shows that it was written to since it was opened. (The index, and the
    /// ids of Parquet, were copied.)
    ///
    /// # Errors
    /// I/O.
    pub fn modified_file(&self) -> Result<Option<&Path>, TokensError> {
        let is_modified = self.tokens.is_modified()?;
        Ok(self
            .files
            .first()
            .filter(|_| is_modified)
            .map(PathBuf::as_path))
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

    /// Type of the ids as stored in the file (for Parquet, as unpacked).
    pub fn dtype(&self) -> Dtype {
        self.tokens.dtype()
    }

    /// The type of the ids given by an option, since the file does not state it.
    pub fn explicit_dtype(&self) -> Option<Dtype> {
        self.explicit_dtype
    }

    /// On which side of a document the separator of a raw file is, as given or as inferred from the ends of the file.
    /// `None` if nothing is split.
    pub fn eod_position(&self) -> Option<EodPosition> {
        self.eod_position
    }

    /// What was left out of Parquet rows as padding.
    pub fn padding(&self) -> Option<&Padding> {
        self.padding.as_ref()
    }

    /// Notes for the user on how the files were read.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The files that the tokens come from: for Megatron the `.bin`, then the `.idx`; for Parquet all files, in order.
    pub fn files(&self) -> &[PathBuf] {
        &self.files
    }

    /// The `corpus.json`, if there is one.
    pub fn corpus_json(&self) -> Option<&CorpusJson> {
        self.json.as_ref()
    }

    /// Token offset at which a document starts; for `n_documents()` it is `n_tokens()`.
    ///
    /// # Panics
    /// If `doc` is above `n_documents()`.
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

    /// Copies ids from token `start` on. A negative id, or one that does not fit in u32, becomes 2^31 or more:
    /// [`check_ids`](Self::check_ids) finds such ids.
    ///
    /// # Errors
    /// I/O, or a file that was truncated since it was opened.
    ///
    /// # Panics
    /// Past the last token.
    pub fn copy_tokens(&self, start: u64, out: &mut [u32]) -> Result<(), TokensError> {
        self.tokens.copy(start, out)
    }

    /// The largest id in a range and the offset of its first occurrence (a parallel scan); `(0, range.start)` if the
    /// range is empty.
    ///
    /// # Errors
    /// I/O, or a file that was truncated since it was opened.
    ///
    /// # Panics
    /// Past the last token.
    pub fn max_token_id(&self, range: Range<u64>) -> Result<(u32, u64), TokensError> {
        self.tokens.max_id(range)
    }

    /// Checks that every id in a range is below `vocab_size` (a parallel scan) and, if the type of the ids is only
    /// assumed, that blocks from all over the file look as if they were of that type.
    ///
    /// # Errors
    /// Names the largest id, its offset and its document; also finds negative ids. A wrong type, with the one that
    /// fits. I/O.
    ///
    /// # Panics
    /// Past the last token.
    pub fn check_ids(&self, range: Range<u64>, vocab_size: u32) -> Result<(), TokensError> {
        if range.is_empty() {
            return Ok(());
        }
        let path = || self.files[0].clone();
        self.check_width(vocab_size)?;
        let Some((id, token_offset)) = self.id_past(range, vocab_size)? else {
            return Ok(());
        };
        Err(TokensError::TokenPastVocab {
            path: path(),
            id,
            token_offset,
            document: self.document_at(token_offset),
            vocab_size,
            cause: self.explain_large_ids(vocab_size)?,
        })
    }

    /// Refuses ids of an assumed type, or of one from a header that was not hashed with them, if a wider type fits better.
    fn check_width(&self, vocab_size: u32) -> Result<(), TokensError> {
        let is_known = self.json.is_some() || self.explicit_dtype.is_some();
        if is_known || self.format == TokenFormat::Parquet {
            return Ok(());
        }
        let sample = Sample::of(&self.tokens)?;
        let Some(fits) = sample.wider_than(self.dtype(), vocab_size) else {
            return Ok(());
        };
        let (path, read_as, fits) = (self.files[0].clone(), self.dtype().name(), fits.name());
        Err(match self.is_dtype_assumed {
            true => TokensError::Width {
                path,
                read_as,
                fits,
            },
            false => TokensError::WidthOfHeader {
                path,
                read_as,
                fits,
            },
        })
    }

    /// The largest id in a range, with its offset, if it is `vocab_size` or more. Of a file that is read in blocks,
    /// only those blocks are read whose largest ids, according to `corpus.json`, are that large.
    fn id_past(
        &self,
        range: Range<u64>,
        vocab_size: u32,
    ) -> Result<Option<(u32, u64)>, TokensError> {
        let is_past = |largest: &(u32, u64)| largest.0 >= vocab_size;
        let json = self.json.as_ref().filter(|_| self.tokens.is_by_blocks());
        let Some(blocks) = json.and_then(|json| json.blocks.as_ref()) else {
            return Ok(Some(self.max_token_id(range)?).filter(is_past));
        };
        let block_tokens = blocks.bytes / self.dtype().bytes();
        let of_range = (range.start / block_tokens)..range.end.div_ceil(block_tokens);
        let in_range = of_range.filter_map(|block| {
            let max_id = *blocks.max_ids.get(block as usize)?;
            (max_id >= vocab_size).then_some((max_id, block))
        });
        // If the range cuts a block, its largest id may lie outside: then the next block is tried.
        let mut by_id: Vec<(u32, u64)> = in_range.collect();
        by_id.sort_unstable_by_key(|&(max_id, block)| (std::cmp::Reverse(max_id), block));
        for (_, block) in by_id {
            let start = range.start.max(block * block_tokens);
            let end = range.end.min((block + 1) * block_tokens);
            let found = Some(self.max_token_id(start..end)?).filter(is_past);
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Why ids may be above the vocabulary: another type, if the bytes fit one.
    fn explain_large_ids(&self, vocab_size: u32) -> Result<String, TokensError> {
        let is_without_header = self.is_dtype_assumed || self.explicit_dtype.is_some();
        let fitting = match is_without_header {
            true => Sample::of(&self.tokens)?.fitting(self.dtype(), vocab_size),
            false => None,
        };
        let read_as = self.dtype().name();
        Ok(match fitting {
            None => {
                "the tokens were made with another tokenizer, or the file is damaged".to_owned()
            }
            Some(fits) if fits.starts_with("--") => {
                format!("it was read as {read_as}, but its bytes fit another type: pass {fits}")
            }
            Some(fits) => format!(
                "it was read as {read_as}, but its bytes fit {fits}: write it again as little-endian"
            ),
        })
    }
}

/// The `corpus.json` of the tokens at `path` (any path for [`TokenCorpus::open`]) and its directory. `None` for token
/// files without one.
///
/// # Errors
/// There are no tokens; the `corpus.json` is damaged.
pub fn corpus_json_of(path: &Path) -> Result<Option<(CorpusJson, PathBuf)>, TokensError> {
    if TokenFormat::detect(path)? != TokenFormat::Megatron {
        return Ok(None);
    }
    let (bin, _) = megatron_pair(path)?;
    if !storage::exists(&bin)? {
        return Err(TokensError::MissingHalf { path: bin });
    }
    let dir = bin.parent().unwrap_or(Path::new("")).to_path_buf();
    Ok(read_json_beside(&bin)?.map(|json| (json, dir)))
}

/// Local copies of `files`, except of the one whose ids are read in blocks.
fn local_files(files: &[PathBuf], tokens: &TokenFile) -> Result<Vec<PathBuf>, TokensError> {
    let local = |(idx, path): (usize, &PathBuf)| match idx == 0 && tokens.is_by_blocks() {
        true => Ok(path.clone()),
        false => Ok(storage::local_copy(path)?),
    };
    files.iter().enumerate().map(local).collect()
}

/// A `corpus.json` describes only the `tokens.bin` in its own directory.
fn read_json_beside(bin: &Path) -> Result<Option<CorpusJson>, TokensError> {
    if bin.file_stem().is_none_or(|stem| stem != PREFIX) {
        return Ok(None);
    }
    CorpusJson::read(&bin.with_file_name(CORPUS_JSON))
}

#[cfg(feature = "object-stores")]
#[cfg(test)]
mod stored;
#[cfg(test)]
mod tests;
