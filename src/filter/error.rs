//! Errors of filtering documents.

use crate::corpus::CorpusError;
use crate::error::{Classified, Kind};
use crate::shards::ShardsError;
use crate::storage::StorageError;
use crate::tokens::TokensError;
use parquet::errors::ParquetError;
use std::path::PathBuf;

/// Why documents could not be filtered.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// An input that cannot be read, or a key that a record already has.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// A file that cannot be read or written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A token corpus that is missing or damaged.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// A selection that cannot be read, or is of another corpus.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// Interrupted.
    #[error("interrupted: run the same command again; finished files are kept")]
    Interrupted,
    /// A directory that is not a token corpus of `saltworks tokenize`.
    #[error(
        "{} has no corpus.json, expected the output directory of `saltworks tokenize`",
        dir.display()
    )]
    NotACorpus {
        /// The directory.
        dir: PathBuf,
    },
    /// A token corpus that does not record where its documents come from.
    #[error(
        "{} does not record where its documents come from, as corpora of earlier versions do not: tokenize the same inputs again",
        dir.display()
    )]
    NoDocuments {
        /// The directory of the corpus.
        dir: PathBuf,
    },
    /// A selection that does not exist.
    #[error(
        "{} does not exist: give a file that `saltworks select --by document` wrote",
        path.display()
    )]
    NoSelection {
        /// The file.
        path: PathBuf,
    },
    /// An empty key.
    #[error("the key to add is empty: give it a name")]
    EmptyKey,
    /// The same key for scores and weights.
    #[error("scores and weights would both be under `{key}`: choose another key for one of them")]
    SameKey {
        /// The key.
        key: String,
    },
    /// An input of the corpus that was not given.
    #[error(
        "the corpus was made from {n_expected} inputs, and {origin} is not among the {n_got} of --input: give all of them, as for `tokenize`"
    )]
    MissingInput {
        /// Its name in the corpus.
        origin: String,
        /// Inputs of the corpus.
        n_expected: usize,
        /// Inputs that were given.
        n_got: usize,
    },
    /// An input that the corpus does not have.
    #[error(
        "the corpus was made from {n_expected} inputs, and {} is not one of them: leave it out of --input",
        path.display()
    )]
    ExtraInput {
        /// The file.
        path: PathBuf,
        /// Inputs of the corpus.
        n_expected: usize,
    },
    /// An input that has changed.
    #[error(
        "{} has changed since it was tokenized: its {what} is {got}, expected {expected}; give the file that was tokenized, or tokenize again",
        path.display()
    )]
    ChangedInput {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// Its recorded value.
        expected: String,
        /// Its present value.
        got: String,
    },
    /// A document that is not where the corpus says it is.
    #[error(
        "{} has no record {record}, which is document {doc_index} of the corpus: if it was tokenized with --format, give the same here",
        path.display()
    )]
    MissingRecord {
        /// The file.
        path: PathBuf,
        /// The record: a line from 1, a row from 0.
        record: u64,
        /// The document.
        doc_index: u64,
    },
    /// A document that belongs to no input of the corpus.
    #[error(
        "document {doc_index} of the corpus comes from {origin}, which is not one of its inputs, or out of their order: documents.parquet is damaged, so tokenize again"
    )]
    UnknownSource {
        /// The document.
        doc_index: u64,
        /// Its recorded origin.
        origin: String,
    },
    /// A document that the corpus does not have.
    #[error(
        "{} lists document {doc_index}, which the corpus does not have: select from its labels again",
        selection.display()
    )]
    UnknownDocument {
        /// The selection.
        selection: PathBuf,
        /// The document.
        doc_index: u64,
    },
    /// A text file, to which nothing can be added.
    #[error(
        "{} is plain text, which has no place for scores or weights: leave out --scores-key and --weights, or write the documents as JSON lines or Parquet",
        path.display()
    )]
    NoPlaceInText {
        /// The file.
        path: PathBuf,
    },
    /// A column to be added that already exists.
    #[error("{} already has a column `{column}`: choose another key", path.display())]
    ColumnTaken {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A compression that Parquet does not support.
    #[error(
        "{} is Parquet, whose columns cannot be compressed with {compression}: choose none, gzip, zstd or lz4, or leave out --compression",
        path.display()
    )]
    NoSuchCompression {
        /// The file.
        path: PathBuf,
        /// The compression.
        compression: &'static str,
    },
    /// Two inputs that would be written to the same file.
    #[error(
        "{} and {} would both be written to {}: leave out --compression",
        first.display(),
        second.display(),
        output.display()
    )]
    SameOutput {
        /// An input.
        first: PathBuf,
        /// Another one.
        second: PathBuf,
        /// The file.
        output: PathBuf,
    },
    /// An unrelated file with the name of an output.
    #[error(
        "{} already exists: choose another --output, or remove it",
        path.display()
    )]
    OutputExists {
        /// The file.
        path: PathBuf,
    },
    /// An output directory that holds labels.
    #[error("{} contains labels (plan.json), whose files would be mixed with the documents: choose another --output", dir.display())]
    OutputOfLabels {
        /// The directory.
        dir: PathBuf,
    },
    /// A finished file that was changed.
    #[error(
        "{} was changed since it was written: it has {got} bytes, expected {expected}; remove it, and run the same command again",
        path.display()
    )]
    ChangedOutput {
        /// The file.
        path: PathBuf,
        /// Its size when written, bytes.
        expected: u64,
        /// Its present size, bytes.
        got: u64,
    },
    /// An output directory of a different filter.
    #[error(
        "{} holds the output of another filter: its {field} is {got}, expected {expected}; choose another --output, or remove it",
        dir.display()
    )]
    OtherFilter {
        /// The directory.
        dir: PathBuf,
        /// What differs.
        field: String,
        /// Its value there, as JSON.
        got: String,
        /// Its value here, as JSON.
        expected: String,
    },
    /// A record of progress that cannot be read.
    #[error(
        "{} is damaged: {reason}; remove the output directory, and run the same command again",
        path.display()
    )]
    DamagedRecord {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An output directory in use by another process.
    #[error("another process is writing {}: wait until it ends, or choose another --output", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },
    /// A Parquet file that cannot be read.
    #[error("{} cannot be read as Parquet: write the file again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: ParquetError,
    },
}

impl Classified for FilterError {
    fn kind(&self) -> Kind {
        match self {
            FilterError::Corpus(error) => error.kind(),
            FilterError::Storage(error) => error.kind(),
            FilterError::Tokens(error) => error.kind(),
            FilterError::Shards(error) => error.kind(),
            FilterError::Interrupted => Kind::Interrupted,
            FilterError::ChangedInput { .. }
            | FilterError::MissingRecord { .. }
            | FilterError::UnknownSource { .. }
            | FilterError::UnknownDocument { .. }
            | FilterError::ChangedOutput { .. }
            | FilterError::DamagedRecord { .. }
            | FilterError::Damaged { .. } => Kind::BadData,
            _ => Kind::Usage,
        }
    }
}
