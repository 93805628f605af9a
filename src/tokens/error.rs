//! What can be wrong with tokenizers and token files.

use super::megatron::IdxFault;
use crate::corpus::{CorpusError, Tally};
use crate::error::{Classified, Kind};
use crate::storage::StorageError;
use std::io;
use std::path::{Path, PathBuf};

/// Why tokens could not be made, opened or read.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A file could not be published.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The documents could not be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A file that is not a tokenizer.
    #[error("{} is not a tokenizer that can be used ({reason}): give a Hugging Face tokenizer.json", path.display())]
    NotATokenizer {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Input without a single document.
    #[error("no document with text in the input ({} empty, {} bad lines): check the input files and the name of the field that holds the text", tally.n_empty_documents, tally.n_bad_lines)]
    NoDocuments {
        /// What was left out.
        tally: Tally,
    },
    /// A tokenizer whose output is random.
    #[error("{} has BPE dropout {dropout}, so its tokens would differ from run to run: set `model.dropout` to null", path.display())]
    Dropout {
        /// The tokenizer.
        path: PathBuf,
        /// The probability.
        dropout: f32,
    },
    /// A document that the tokenizer refused.
    #[error(
        "{location}: the tokenizer failed on this document ({reason}): leave the document out, or use a tokenizer that covers its text"
    )]
    Encode {
        /// Where the document is.
        location: String,
        /// What the tokenizer said.
        reason: String,
    },
    /// A document that is too long to be encoded at once and cannot be split anywhere.
    #[error(
        "{location}: the document has {n_bytes} bytes, too long to be tokenized at once, and there is no place to cut it near byte {at}: the tokenizer treats the text there as one word, or needs more context than {limit} bytes; split the document",
        limit = super::pieces::MAX_CONTEXT_BYTES
    )]
    NoPieces {
        /// Where the document is.
        location: String,
        /// Its length.
        n_bytes: usize,
        /// Byte of its text.
        at: usize,
    },
    /// Training a tokenizer failed.
    #[error(
        "the tokenizer could not be trained ({reason}): check the documents and the vocabulary size"
    )]
    Train {
        /// What the trainer said.
        reason: String,
    },
    /// A vocabulary that is too small.
    #[error(
        "a vocabulary of {got} is too small: byte-level BPE with these special tokens needs at least {min}"
    )]
    VocabTooSmall {
        /// 256 bytes and the special tokens.
        min: u32,
        /// What was asked for.
        got: u32,
    },
    /// A vocabulary that is too large.
    #[error("a vocabulary of {got} is too large: give at most {most}")]
    VocabTooLarge {
        /// The largest that can be read.
        most: u32,
        /// What was asked for.
        got: u32,
    },
    /// A token that is not in the vocabulary.
    #[error(
        "the tokenizer has no token `{token}`: give a token of its vocabulary, an id, `auto` or `none`"
    )]
    UnknownToken {
        /// The token asked for; empty if nothing was given.
        token: String,
    },
    /// An id outside the vocabulary, chosen or found while writing.
    #[error(
        "id {id} is outside the vocabulary of {vocab_size}: give an id below that, or the tokenizer it belongs to"
    )]
    IdPastVocab {
        /// The id.
        id: u32,
        /// Ids are below this.
        vocab_size: u32,
    },
    /// A token file with an id outside the vocabulary.
    #[error("{}: {} at token {token_offset} (document {document}) is not below the vocabulary of {vocab_size}: {cause}", path.display(), describe_id(*id))]
    TokenPastVocab {
        /// The token file.
        path: PathBuf,
        /// The id; a negative id in a file appears as 2^31 or more.
        id: u32,
        /// Token offset in the corpus.
        token_offset: u64,
        /// The document.
        document: u64,
        /// Ids are below this.
        vocab_size: u32,
        /// The likely cause, and the remedy.
        cause: String,
    },
    /// A raw file whose ids are wider than the type it was read as.
    #[error("{}: read as {read_as}, every second id is 0 or very small wherever the file was sampled, as if it were written as {fits}: pass --dtype {fits}, or --dtype {read_as} if that is right", path.display())]
    Width {
        /// The token file.
        path: PathBuf,
        /// The type it was read as, since none was given.
        read_as: &'static str,
        /// The type that fits.
        fits: &'static str,
    },
    /// Ids of another type than a header or an index says.
    #[error("{}: it says that its ids are {read_as}, but every second one is 0 or very small wherever the file was sampled, as if they were written as {fits}: write the tokens again with that type", path.display())]
    WidthOfHeader {
        /// The token file.
        path: PathBuf,
        /// The type that it says.
        read_as: &'static str,
        /// The type that fits.
        fits: &'static str,
    },
    /// A file of another kind.
    #[error("{} is {what}, not a token file: {remedy}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// A folder with files that do not belong to one corpus.
    #[error("{} contains {other} as well as Parquet files, so it is not one corpus: move the Parquet files to a folder of their own, or give a glob in quotes such as 'DIR/*.parquet'", path.display())]
    MixedFolder {
        /// The folder, or the glob.
        path: PathBuf,
        /// The first other name.
        other: String,
    },
    /// A folder without a single token file.
    #[error("{} is a folder without a token corpus (it {found}): {remedy}", path.display())]
    FolderWithoutTokens {
        /// The folder.
        path: PathBuf,
        /// What it holds.
        found: String,
        /// What to do.
        remedy: String,
    },
    /// An option that the files themselves determine.
    #[error("{option} is {got}, expected no value: {} itself records where documents begin and the type of its ids", path.display())]
    OptionInFile {
        /// The tokens.
        path: PathBuf,
        /// The flag.
        option: &'static str,
        /// Its value.
        got: String,
    },
    /// A type that differs from the file's header.
    #[error("--dtype is {got}, but the header of {} says {expected}: omit it", path.display())]
    DtypeInHeader {
        /// The file.
        path: PathBuf,
        /// The header's type.
        expected: &'static str,
        /// The type given.
        got: &'static str,
    },
    /// A side was given without the separator id.
    #[error(
        "--eod-position (data.eod_position) was given without the id between documents: add --eod (data.eod)"
    )]
    PositionWithoutEod,
    /// A file that was truncated while it was read.
    #[error("{} was truncated while it was read: it had byte {expected} when it was opened; restore the file, and do not change it while it is read", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// Bytes that it had when it was opened.
        expected: u64,
    },
    /// A token file that is not the one that was tokenized.
    #[error("{} has BLAKE3 {got}, but {} says {expected}: the file is damaged, was changed, or comes from another run of `saltworks tokenize`; restore it, or tokenize again", path.display(), json.display())]
    NotAsTokenized {
        /// The file.
        path: PathBuf,
        /// The `corpus.json`.
        json: PathBuf,
        /// The hash in it.
        expected: String,
        /// The file's hash.
        got: String,
    },
    /// A document with more tokens than the format holds.
    #[error(
        "a document of {n_tokens} tokens is longer than the token file format allows (2^31 - 1): split it"
    )]
    DocumentTooLong {
        /// Its length.
        n_tokens: usize,
    },
    /// A Megatron index that is damaged, or belongs to other tokens.
    #[error("{} cannot be used as a Megatron index: {}", path.display(), source.remedy())]
    Idx {
        /// The `.idx`.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: IdxFault,
    },
    /// Half of a Megatron pair.
    #[error("{} does not exist: a Megatron corpus is a .bin and an .idx with the same name in one folder", path.display())]
    MissingHalf {
        /// The missing file.
        path: PathBuf,
    },
    /// A path, or a pattern, that names nothing.
    #[error("{} {fault}: check its spelling. Tokens are a directory made by `saltworks tokenize`, a Megatron .bin/.idx or the prefix of both, a raw .bin or .npy, or .parquet files with a list column `input_ids`", path.display())]
    Absent {
        /// The path.
        path: PathBuf,
        /// Whether it is a path that does not exist or a pattern that matches nothing.
        fault: &'static str,
    },
    /// A path that holds no token corpus.
    #[error("{} is not recognised as tokens: give a directory made by `saltworks tokenize`, a Megatron .bin/.idx, a raw .bin or .npy, or a .parquet with a list column `input_ids` (a file of ids under another name, such as datatrove's .ds: --tokens-format nanogpt)", path.display())]
    NotACorpus {
        /// The path.
        path: PathBuf,
    },
    /// A raw token file that is not what its kind requires.
    #[error("{} is not a {kind} token file: {reason}", path.display())]
    RawFile {
        /// The file.
        path: PathBuf,
        /// Which kind.
        kind: &'static str,
        /// What is wrong, and the remedy.
        reason: String,
    },
    /// A Parquet file that cannot be read.
    #[error("{} cannot be read as Parquet: write the file again", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// A list of documents that does not match its corpus.
    #[error("{} does not list the documents of its corpus ({reason}): tokenize again, or restore it", path.display())]
    Documents {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A Parquet file without usable ids.
    #[error("{}: column `input_ids` {problem}: write it as a list of integers from 0 to 2^32 - 1 without nulls", path.display())]
    ParquetIds {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A column beside the ids of a Parquet file that does not fit them.
    #[error("{}: column `{column}` {problem}: it marks padding at the start or the end of a row; write it as a list of 0 and 1, one for each id, or leave it out of all files", path.display())]
    ParquetColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// A `corpus.json` that cannot be read.
    #[error("{} is not a corpus description ({reason}): tokenize again", path.display())]
    CorpusJson {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A `corpus.json` that does not belong to the token files beside it.
    #[error("{}: `{field}` is {expected}, but the token files have {got}: the files were changed or mixed up; tokenize again", path.display())]
    Disagrees {
        /// The `corpus.json`.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// The value in it.
        expected: String,
        /// What the files have.
        got: String,
    },
    /// An output directory with something in it.
    #[error("{} already exists: choose another --output, or replace it with --overwrite", path.display())]
    OutputExists {
        /// The file that is in the way.
        path: PathBuf,
    },
    /// An output directory of another kind.
    #[error("{} contains {what} ({name}): tokens need a directory of their own; choose another --output", dir.display())]
    OutputOfOthers {
        /// The directory.
        dir: PathBuf,
        /// What it holds.
        what: &'static str,
        /// The file that tells.
        name: &'static str,
    },
    /// An output directory that another process writes to.
    #[error("another process is writing a corpus to {}: wait until it ends, or choose another --output", dir.display())]
    OutputInUse {
        /// The directory.
        dir: PathBuf,
    },
    /// An output file whose path is a directory.
    #[error("{} is a directory: give the name of a file, such as {}", path.display(), path.join("tokenizer.json").display())]
    OutputIsDirectory {
        /// The path.
        path: PathBuf,
    },
    /// A sequence length of 0.
    #[error("the sequence length (--seq-len) is 0, expected 1 or more")]
    ZeroSeqLen,
    /// No threads could be started.
    #[error("cannot start {n_threads} threads ({reason}): give a smaller --threads")]
    Threads {
        /// How many.
        n_threads: usize,
        /// What the system said.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("interrupted; nothing was published: run the same command again")]
    Interrupted,
}

impl TokensError {
    /// The same error for a text at `place`; for errors that know only the tokenizer.
    #[must_use]
    pub fn at(self, place: &str) -> Self {
        let location = place.to_owned();
        match self {
            TokensError::Encode { reason, .. } => TokensError::Encode { location, reason },
            TokensError::NoPieces { n_bytes, at, .. } => TokensError::NoPieces {
                location,
                n_bytes,
                at,
            },
            other => other,
        }
    }

    /// A failed write to `path`, for `map_err`; a full disk has its own error.
    pub(super) fn write(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| TokensError::Storage(StorageError::io("write", &path, source))
    }

    /// An I/O error on `path`, for `map_err`.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| TokensError::Io {
            action,
            path,
            source,
        }
    }
}

impl Classified for TokensError {
    // An input that is missing, or is not a file, will fail again on the next try.
    fn kind(&self) -> Kind {
        use io::ErrorKind::{IsADirectory, NotADirectory, NotFound};
        match self {
            TokensError::Io { action, source, .. } => match (*action, source.kind()) {
                ("open" | "read", NotFound | NotADirectory | IsADirectory) => Kind::Usage,
                _ => Kind::Failed,
            },
            TokensError::Threads { .. } | TokensError::OutputInUse { .. } => Kind::Failed,
            TokensError::Storage(error) if error.is_not_found() => Kind::Usage,
            TokensError::Storage(error) => error.kind(),
            TokensError::Corpus(error) => error.kind(),
            TokensError::VocabTooSmall { .. }
            | TokensError::UnknownToken { .. }
            | TokensError::IdPastVocab { .. }
            | TokensError::Dropout { .. }
            | TokensError::MissingHalf { .. }
            | TokensError::Width { .. }
            | TokensError::Foreign { .. }
            | TokensError::MixedFolder { .. }
            | TokensError::FolderWithoutTokens { .. }
            | TokensError::OptionInFile { .. }
            | TokensError::DtypeInHeader { .. }
            | TokensError::PositionWithoutEod
            | TokensError::NotACorpus { .. }
            | TokensError::Absent { .. }
            | TokensError::OutputExists { .. }
            | TokensError::OutputOfOthers { .. }
            | TokensError::OutputIsDirectory { .. }
            | TokensError::VocabTooLarge { .. }
            | TokensError::ZeroSeqLen => Kind::Usage,
            TokensError::Interrupted => Kind::Interrupted,
            _ => Kind::BadData,
        }
    }
}

fn describe_id(id: u32) -> String {
    if id >= 1 << 31 {
        format!("an id that is negative or above 2^31 ({id} as u32)")
    } else {
        format!("id {id}")
    }
}
