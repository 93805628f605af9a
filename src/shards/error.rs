//! Errors of reading and writing labels.

use super::row_fault::RowFault;
use crate::error::{Classified, Kind};
use crate::storage::{self, DecodeError, StorageError};
use parquet::errors::ParquetError;
use std::path::{Path, PathBuf};

/// A failure of this room; its message names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum ShardsError {
    /// A file could not be read, written or published.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A small file that is not what it should be.
    #[error("{} is damaged, or not the kind of file that its name suggests: restore it, or label into another directory", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why parsing stopped.
        #[source]
        source: serde_json::Error,
    },
    /// A directory without a plan.
    #[error("{} {found}: give a directory that `saltworks plan` or `saltworks label` made", dir.display())]
    NoPlan {
        /// The directory.
        dir: PathBuf,
        /// What is there instead of a plan.
        found: String,
    },
    /// A file where a directory of labels is wanted.
    #[error("{} is {found}, expected a directory of labels: {remedy}", path.display())]
    NotADirectory {
        /// The file.
        path: PathBuf,
        /// What kind of file.
        found: &'static str,
        /// The directory to give.
        remedy: String,
    },
    /// Labels of a later format.
    #[error("{} has format version {got}, and this program reads up to {newest}: use a newer saltworks", path.display())]
    UnsupportedVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        got: u32,
        /// The newest that is read.
        newest: u32,
    },
    /// Labels that require a feature this reader lacks.
    #[error("{} requires the feature {feature:?}, which this program does not know: use a newer saltworks", path.display())]
    UnknownFeature {
        /// The file.
        path: PathBuf,
        /// The feature.
        feature: String,
    },
    /// A plan with impossible values.
    #[error("{}: {field} {reason}", path.as_ref().map_or_else(|| "the plan".into(), |p| p.display().to_string()))]
    InvalidPlan {
        /// The file, if it came from one.
        path: Option<PathBuf>,
        /// Dotted path of the field.
        field: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A label directory without a manifest of all its plans.
    #[error("{} {state}: run `saltworks finalize {}` when every shard is done", dir.display(), dir.display())]
    NotFinalized {
        /// The directory.
        dir: PathBuf,
        /// What is missing.
        state: String,
    },
    /// A selection that is not there.
    #[error("{} does not exist: expected a selection, as `saltworks select` writes it; check the path", path.display())]
    NoSelection {
        /// The file.
        path: PathBuf,
    },
    /// A selection that cannot be decoded.
    #[error("{} cannot be read as Parquet: write the selection again", path.display())]
    SelectionParquet {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: ParquetError,
    },
    /// A selection that is invalid, or does not match the labels it is used with.
    #[error("{}: {reason}; write the selection again", path.display())]
    Selection {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Documents of a set that are invalid.
    #[error("{}: {reason}; run `saltworks finalize` again", path.display())]
    Documents {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A set without usable documents.
    #[error("the documents of {} {reason}: run `saltworks finalize` on it", dir.display())]
    NoDocuments {
        /// The directory.
        dir: PathBuf,
        /// Why there are none.
        reason: &'static str,
    },
    /// A selection from other labels, or of other sequences.
    #[error(
        "{} was made for the {what} {got}, but these labels have {expected}: select again from these, or from labels of the same corpus, sequence length and packing",
        path.display()
    )]
    SelectionOfOthers {
        /// The file.
        path: PathBuf,
        /// `labels` or `sequences`.
        what: &'static str,
        /// Fingerprint of those in use.
        expected: String,
        /// The one that the selection names.
        got: String,
    },
    /// A selection of the documents of another corpus.
    #[error(
        "{} selects documents of the corpus {got}, but this one is {expected}: select from labels of this corpus, or give the corpus that was labelled",
        path.display()
    )]
    SelectionOfOtherCorpus {
        /// The file.
        path: PathBuf,
        /// Fingerprint of the corpus in use.
        expected: String,
        /// The one that the selection names.
        got: String,
    },
    /// A file that could not be encoded.
    #[error("cannot encode {}: check the disk and run the same command again", path.display())]
    Encode {
        /// The file.
        path: PathBuf,
        /// What the encoder said.
        #[source]
        source: ParquetError,
    },
    /// A directory of another plan.
    #[error(
        "{} has a different plan: {field} is {theirs} there and {ours} here; label into another directory, or with the same settings",
        dir.display()
    )]
    PlanMismatch {
        /// The directory.
        dir: PathBuf,
        /// The first field that differs.
        field: String,
        /// The value asked for, as JSON.
        ours: String,
        /// The value in the directory, as JSON.
        theirs: String,
    },
    /// A range that overlaps one that is already labelled.
    #[error(
        "{} has sequences {have_start}..{have_end} and {start}..{end} overlaps them: start at {have_end}, or label into another directory",
        dir.display()
    )]
    RangeOverlap {
        /// The directory.
        dir: PathBuf,
        /// The range asked for.
        start: u64,
        /// Its end.
        end: u64,
        /// The range that is there.
        have_start: u64,
        /// Its end.
        have_end: u64,
    },
    /// An extension of a set that is not finished.
    #[error(
        "{} cannot be extended yet: shard {shard} of sequences {start}..{end} is missing; finish that range first by labelling it again",
        dir.display()
    )]
    UnfinishedSegment {
        /// The directory.
        dir: PathBuf,
        /// The first shard without a sidecar.
        shard: u32,
        /// The unfinished range.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// Segments that do not fit together.
    #[error("{} does not continue the segments before it: {field} is {got}, expected {expected}; restore it or remove it", path.display())]
    BrokenSegment {
        /// The plan file.
        path: PathBuf,
        /// Dotted path of the field.
        field: String,
        /// What the earlier segments require.
        expected: String,
        /// What it says.
        got: String,
    },
    /// A shard number outside the plan.
    #[error("shard {shard} is not in the plan, which has {} to {}", first, end.saturating_sub(1))]
    NoSuchShard {
        /// The number.
        shard: u32,
        /// First shard of the plan.
        first: u32,
        /// One past its last.
        end: u32,
    },
    /// Rows that are not the plan's next row group.
    #[error(
        "row group {row_group} of shard {shard} has {expected} rows in the plan, got {got}: pass exactly the plan's row groups"
    )]
    RowGroup {
        /// The shard.
        shard: u32,
        /// The row group.
        row_group: usize,
        /// Rows of the plan.
        expected: usize,
        /// Rows given.
        got: usize,
    },
    /// A row to be written that breaks an invariant.
    #[error(
        "the labels of sequence {seq_id} (shard {shard}, row {row}) are invalid and were not written: check the teacher on that sequence"
    )]
    RefusedRow {
        /// The shard.
        shard: u32,
        /// Row in the shard.
        row: u64,
        /// Its seq_id.
        seq_id: u64,
        /// Which invariant, and how.
        #[source]
        source: RowFault,
    },
    /// A stored row that breaks an invariant.
    #[error("{}: row {row} (seq_id {seq_id}) breaks an invariant; remove the file and label again with the same settings, which rewrites its shard", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Row in the shard.
        row: u64,
        /// Its seq_id.
        seq_id: u64,
        /// Which invariant, and how.
        #[source]
        source: RowFault,
    },
    /// A file whose columns differ from the plan's.
    #[error("{}: column {column} is {got}, expected {expected}; remove the file and label again with the same settings, which rewrites its shard", path.display())]
    Column {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The type of the plan.
        expected: String,
        /// What is there.
        got: String,
    },
    /// A file whose key-value metadata differ from the plan's.
    #[error("{}: metadata {key} is {got}, expected {expected}: the file belongs to another plan or shard; remove it and label again with the same settings, which rewrites its shard", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
        /// The plan's value.
        expected: String,
        /// The file's.
        got: String,
    },
    /// A file whose row groups differ from the plan's.
    #[error("{}: {what} is {got}, expected {expected}; remove it and label again with the same settings, which rewrites its shard", path.display())]
    Shape {
        /// The file.
        path: PathBuf,
        /// What was counted.
        what: String,
        /// The plan's count.
        expected: u64,
        /// The file's.
        got: u64,
    },
    /// A Parquet file that cannot be decoded or encoded.
    #[error("{} cannot be read as Parquet: it is damaged or not a shard; remove it and label again with the same settings, which rewrites its shard", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        #[source]
        source: ParquetError,
    },
    /// A Parquet file so damaged that the decoder panicked.
    #[error("{} cannot be read as Parquet: decoding failed ({what}); remove it and label again with the same settings, which rewrites its shard", path.display())]
    DecoderPanic {
        /// The file.
        path: PathBuf,
        /// The panic's message.
        what: String,
    },
    /// Another process committed different bytes under the same name.
    #[error(
        "{} already exists with different bytes: it was made by another runtime ({theirs}) than this one ({ours}), and their labels differ in the last bits; finish with the runtime that started, or remove that shard's files and its sidecar",
        path.display()
    )]
    DifferentBytes {
        /// The file.
        path: PathBuf,
        /// This process's runtime.
        ours: String,
        /// The other's, as far as it is known.
        theirs: String,
    },
    /// A sidecar of another plan.
    #[error("{} belongs to another plan ({got}, expected {expected}): label into another directory, or remove it", path.display())]
    ForeignSidecar {
        /// The sidecar.
        path: PathBuf,
        /// The plan's fingerprint.
        expected: String,
        /// The sidecar's.
        got: String,
    },
    /// A sidecar that does not match the plan or the files.
    #[error("{}: {what} is {got}, expected {expected}; remove it and label again with the same settings, which rewrites its shard", path.display())]
    Sidecar {
        /// The sidecar, or the file that it is about.
        path: PathBuf,
        /// What differs.
        what: String,
        /// The plan's or the files' value.
        expected: String,
        /// The sidecar's.
        got: String,
    },
    /// A set that is not complete.
    #[error(
        "{n_missing} of {n_shards} shards are missing ({}{}): run `saltworks label` with the same settings and output directory again",
        first.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
        if *n_missing > first.len() as u64 { ", ..." } else { "" }
    )]
    MissingShards {
        /// Shards without a sidecar.
        n_missing: u64,
        /// Shards of the set.
        n_shards: u64,
        /// The first few of them.
        first: Vec<u32>,
    },
    /// Numbers of targets that do not add up to the plan's.
    #[error("{} plans {expected} targets, but its shards contain {got}: the corpus or the way it is cut has changed; label again into another directory", path.display())]
    Targets {
        /// The plan file.
        path: PathBuf,
        /// The plan's.
        expected: u64,
        /// The shards'.
        got: u64,
    },
    /// A manifest that does not match the sidecars and plans.
    #[error("{} does not match the plans and sidecars next to it ({difference}): `saltworks verify` shows which of them changed; if the shards are sound, run `saltworks finalize` again", path.display())]
    ManifestDiffers {
        /// The manifest.
        path: PathBuf,
        /// The first difference.
        difference: String,
    },
    /// Labels that `verify` could not read completely.
    #[error("some files of {} could not be read and were not checked ({n_unread}): run the same command again", dir.display())]
    Unread {
        /// The directory.
        dir: PathBuf,
        /// How many.
        n_unread: u64,
    },
    /// Labels in which `verify` found something.
    #[error("{} has {n_findings} finding{}: label again with the same settings, which rewrites missing and damaged shards, or restore the files named above", dir.display(), if *n_findings == 1 { "" } else { "s" })]
    Unsound {
        /// The directory.
        dir: PathBuf,
        /// How many.
        n_findings: u64,
    },
    /// Shards of more than one runtime.
    #[error("shards were made by {} different runtimes ({}), so their last bits differ: label some of them again with the same runtime, or pass --allow-mixed-runtime", runtimes.len(), runtimes.join("; "))]
    MixedRuntimes {
        /// The runtimes.
        runtimes: Vec<String>,
    },
}

impl ShardsError {
    /// Whether the system refused to read a file that may be sound: nothing is known about it then.
    pub fn is_unread(&self) -> bool {
        matches!(self, ShardsError::Storage(error) if error.is_refusal())
    }

    /// The error of a Parquet file at `path` that could not be decoded.
    pub(super) fn of_decoder(path: &Path, error: DecodeError) -> Self {
        let path = path.to_path_buf();
        match error {
            DecodeError::Read(error) => error.into(),
            DecodeError::Parquet(source) => ShardsError::Parquet { path, source },
            DecodeError::Panic(what) => ShardsError::DecoderPanic { path, what },
        }
    }

    /// The error of a Parquet file at `path` that could not be encoded.
    pub(super) fn of_encoder(path: &Path, error: ParquetError) -> Self {
        storage::encode_error(path, error, |source| ShardsError::Encode {
            path: path.to_path_buf(),
            source,
        })
    }
}

impl ShardsError {
    /// What is wrong with the selection at `path`.
    pub(super) fn selection(path: &Path, reason: String) -> Self {
        ShardsError::Selection {
            path: path.to_path_buf(),
            reason,
        }
    }
}

impl Classified for ShardsError {
    fn kind(&self) -> Kind {
        match self {
            ShardsError::Storage(error) => error.kind(),
            ShardsError::NoPlan { .. }
            | ShardsError::NotADirectory { .. }
            | ShardsError::UnsupportedVersion { .. }
            | ShardsError::UnknownFeature { .. }
            | ShardsError::InvalidPlan { .. }
            | ShardsError::PlanMismatch { .. }
            | ShardsError::RangeOverlap { .. }
            | ShardsError::UnfinishedSegment { .. }
            | ShardsError::NoSuchShard { .. }
            | ShardsError::NotFinalized { .. }
            | ShardsError::NoSelection { .. }
            | ShardsError::SelectionOfOthers { .. }
            | ShardsError::SelectionOfOtherCorpus { .. }
            | ShardsError::NoDocuments { .. }
            | ShardsError::MixedRuntimes { .. } => Kind::Usage,
            ShardsError::MissingShards { .. }
            | ShardsError::Unread { .. }
            | ShardsError::Encode { .. } => Kind::Failed,
            _ => Kind::BadData,
        }
    }
}
