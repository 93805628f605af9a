use crate::bounds::BoundsError;
use crate::error::{Classified, Kind};
use crate::page::PageError;
use crate::shards::ShardsError;
use crate::storage::StorageError;
use crate::tokens::TokensError;
use std::ops::Range;
use std::path::PathBuf;

/// What can go wrong while a label set is shown.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// A file could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A shard file has no readable Parquet footer.
    #[error(
        "{path} has no readable Parquet footer; `saltworks verify` tells which shards are damaged"
    )]
    Footer {
        /// The file.
        path: PathBuf,
        /// The reader's error.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The set could not be read.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// From `bounds`.
    #[error(transparent)]
    Bounds(#[from] BoundsError),
    /// From `tokens`.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// From `page`.
    #[error(transparent)]
    Page(#[from] PageError),
    /// A sequence outside the labelled ranges.
    #[error("{dir} has no sequence {seq_id}; it holds {}", listed(ranges))]
    NoSuchSequence {
        /// The set.
        dir: PathBuf,
        /// The one requested.
        seq_id: u64,
        /// Labelled ranges.
        ranges: Vec<Range<u64>>,
    },
    /// A sequence within the labelled ranges that the set's selection does not keep.
    #[error("{dir} has no sequence {seq_id}; it holds only what its selection.parquet keeps")]
    NotKept {
        /// The set.
        dir: PathBuf,
        /// The one requested.
        seq_id: u64,
    },
    /// A row past the end.
    #[error("{dir} has no row {row}; it has {n_rows} rows, counted from 0")]
    NoSuchRow {
        /// The set.
        dir: PathBuf,
        /// The one requested.
        row: u64,
        /// Number of rows.
        n_rows: u64,
    },
    /// A row whose shard has no sidecar.
    #[error(
        "shard {shard} of {dir} is not finished; run the same `saltworks label` again to resume"
    )]
    NotFinished {
        /// The set.
        dir: PathBuf,
        /// The shard.
        shard: u32,
    },
    /// The wrong tokenizer, which would decode to plausible but wrong text.
    #[error(
        "{path} is not the tokenizer of these labels: they were made with {expected}, it is {got}; \
         give the tokenizer.json that the tokens were made with"
    )]
    ForeignTokenizer {
        /// The tokenizer that was given.
        path: PathBuf,
        /// Fingerprint in the plan.
        expected: String,
        /// Fingerprint of the one given.
        got: String,
    },
    /// Text was requested of labels without tokens.
    #[error("{dir} contains only scores, no tokens to show; give the token corpus with --tokens")]
    NoTokens {
        /// The set.
        dir: PathBuf,
    },
    /// Token files other than those that were labelled.
    #[error("{path} is not the corpus of these labels; give the token corpus that was labelled")]
    OtherCorpus {
        /// The corpus that was given.
        path: PathBuf,
    },
    /// No shard has a sidecar.
    #[error("no shard of {dir} is finished; run the same `saltworks label` again to resume")]
    NothingFinished {
        /// The set.
        dir: PathBuf,
    },
}

fn listed(ranges: &[Range<u64>]) -> String {
    let ranges: Vec<String> = ranges
        .iter()
        .map(|range| format!("{}..{}", range.start, range.end))
        .collect();
    ranges.join(", ")
}

impl Classified for ViewError {
    fn kind(&self) -> Kind {
        match self {
            ViewError::Storage(source) => source.kind(),
            ViewError::Footer { .. } => Kind::BadData,
            ViewError::Shards(source) => source.kind(),
            ViewError::Bounds(source) => source.kind(),
            ViewError::Tokens(source) => source.kind(),
            ViewError::Page(source) => source.kind(),
            ViewError::NoSuchSequence { .. }
            | ViewError::NotKept { .. }
            | ViewError::NoSuchRow { .. }
            | ViewError::NotFinished { .. }
            | ViewError::ForeignTokenizer { .. }
            | ViewError::NoTokens { .. }
            | ViewError::OtherCorpus { .. }
            | ViewError::NothingFinished { .. } => Kind::Usage,
        }
    }
}
