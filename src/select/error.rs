use crate::error::{Classified, Kind};
use crate::shards::ShardsError;
use crate::storage::StorageError;
use std::path::PathBuf;

/// Errors of selecting sequences or documents.
#[derive(Debug, thiserror::Error)]
pub enum SelectError {
    /// Labels that are damaged, incomplete or missing; a selection that could not be encoded.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// The selection, or a temporary file beside it, could not be written.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// An invalid policy.
    #[error("{what} is {got}, expected {expected}")]
    Policy {
        /// Which setting.
        what: &'static str,
        /// The valid values.
        expected: &'static str,
        /// Its value.
        got: String,
    },
    /// A file that is not a selection, at the selection's path.
    #[error(
        "{} exists and is not a selection: choose another --output, or remove it",
        path.display()
    )]
    NotASelection {
        /// The file or directory.
        path: PathBuf,
    },
    /// The selection that defines the labels it is stored with.
    #[error(
        "{} lists the sequences of the labels next to it, which cannot be read without it: choose another --output",
        path.display()
    )]
    OfLabels {
        /// The file.
        path: PathBuf,
    },
    /// A difference of scores of different sequences.
    #[error(
        "{} and {} do not label the same sequences: {field} is {ours} in the first and {theirs} in the second; label the same corpus, cut in the same way, with both models",
        labels.display(),
        minus.display()
    )]
    OtherSequences {
        /// The labels whose scores are taken.
        labels: PathBuf,
        /// The labels whose scores are subtracted.
        minus: PathBuf,
        /// What differs.
        field: String,
        /// Value of the first, as JSON.
        ours: String,
        /// Value of the second, as JSON.
        theirs: String,
    },
    /// An amount that exceeds the labels.
    #[error(
        "the amount to keep is {wanted} {what}, but the labels have {got}: give less, or --fraction 1 for all"
    )]
    MoreThanThereIs {
        /// The requested amount.
        wanted: u64,
        /// The available amount.
        got: u64,
        /// `documents` or `tokens`.
        what: &'static str,
    },
    /// Documents of which only the numbers are known.
    #[error(
        "the documents of {} are known only by number, without {what}: run `saltworks finalize --tokens` with the labelled corpus, if that lists its documents (`saltworks tokenize` writes documents.parquet), or do without, such as by --score mean_nll",
        labels.display()
    )]
    UnknownDocuments {
        /// The labels.
        labels: PathBuf,
        /// What is needed, and for what.
        what: &'static str,
    },
    /// A difference of scores by token between labels with different tokens.
    #[error(
        "{} and {} use different tokenizers, and {score} is per token: use --score bits_per_byte, which is per byte of the text",
        labels.display(),
        minus.display()
    )]
    ByToken {
        /// The labels whose scores are taken.
        labels: PathBuf,
        /// The labels whose scores are subtracted.
        minus: PathBuf,
        /// The score.
        score: &'static str,
    },
    /// A comparison of texts of which one tokenizer loses a part.
    #[error("the tokens of {} do not spell the text of {n_not_spelled} of {n_documents} documents: the tokenizer changes case, normalizes or loses characters, so its model predicts less of the text than the other's, and their difference is meaningless: compare labels of one tokenizer, or of tokenizers that keep every byte", labels.display())]
    LosesText {
        /// The labels.
        labels: PathBuf,
        /// Documents whose tokens do not spell them.
        n_not_spelled: u64,
        /// Documents of the corpus.
        n_documents: u64,
    },
    /// A document that cannot be found in other labels.
    #[error("{document} of {} {what}, which is needed to find it in the other labels: {remedy}", labels.display())]
    NotJoinable {
        /// The labels.
        labels: PathBuf,
        /// The document.
        document: String,
        /// What it lacks.
        what: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Two documents with the same name.
    #[error("documents {first} and {second} of {} have the same {what}, so they cannot be told apart in other labels: make them unique, or pass another --join", labels.display())]
    RepeatedName {
        /// The labels.
        labels: PathBuf,
        /// One of them.
        first: u64,
        /// The other.
        second: u64,
        /// The name that they share.
        what: &'static str,
    },
    /// Two documents with the same name but different texts.
    #[error("document {ours} of {} has {n_bytes} bytes of text, but the one with the same name in {} (document {theirs}) has {n_bytes_theirs}: tokenize the same files for both", labels.display(), minus.display())]
    OtherText {
        /// The labels whose scores are taken.
        labels: PathBuf,
        /// The labels whose scores are subtracted.
        minus: PathBuf,
        /// The document in the first.
        ours: u64,
        /// The document in the second.
        theirs: u64,
        /// Bytes in the first.
        n_bytes: u64,
        /// Bytes in the second.
        n_bytes_theirs: u64,
    },
    /// A policy that keeps nothing.
    #[error(
        "the policy keeps none of {n_rows} {what}: {n_eligible} are eligible ({n_null} have no {score}{why}, {n_below_floor} are below --min-learnable), and the first of them exceeds the amount to keep; raise the amount or lower --min-learnable"
    )]
    KeepsNothing {
        /// `sequences` or `documents`.
        what: &'static str,
        /// Rows of the labels.
        n_rows: u64,
        /// Eligible rows.
        n_eligible: u64,
        /// Those without a score.
        n_null: u64,
        /// Those with one, but below the minimum of the learnable fraction.
        n_below_floor: u64,
        /// The score.
        score: &'static str,
        /// Why they have none: empty, or another clause.
        why: String,
    },
}

impl Classified for SelectError {
    fn kind(&self) -> Kind {
        match self {
            SelectError::Shards(error) => error.kind(),
            SelectError::Storage(error) => error.kind(),
            SelectError::NotJoinable { .. }
            | SelectError::RepeatedName { .. }
            | SelectError::OtherText { .. } => Kind::BadData,
            SelectError::Policy { .. }
            | SelectError::NotASelection { .. }
            | SelectError::OfLabels { .. }
            | SelectError::OtherSequences { .. }
            | SelectError::MoreThanThereIs { .. }
            | SelectError::UnknownDocuments { .. }
            | SelectError::ByToken { .. }
            | SelectError::LosesText { .. }
            | SelectError::KeepsNothing { .. } => Kind::Usage,
        }
    }
}
