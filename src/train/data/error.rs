//! What can be wrong with a run's labels and tokens.

use crate::error::{Classified, Kind};
use crate::shards::ShardsError;
use crate::storage::StorageError;
use crate::tokens::TokensError;
use std::path::{Path, PathBuf};

/// A failure of reading labels or tokens; its message names the file and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// Labels that are damaged or incomplete.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// Token files that are damaged or foreign.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// A file that could not be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Labels without data for single positions.
    #[error(
        "{} contains only scores, no tokens to train on: label again with --groups scores,stats,topk",
        dir.display()
    )]
    ScoresOnly {
        /// The label directory.
        dir: PathBuf,
    },
    /// Labels made with a kind of context that the model does not support.
    #[error(
        "{}: the teacher saw {what}, which the trainer does not support: label again with packing `concat` or `document`, and positions that do not restart",
        dir.display()
    )]
    Context {
        /// The label directory.
        dir: PathBuf,
        /// Which setting of the plan.
        what: &'static str,
    },
    /// Labels or tokens of another vocabulary.
    #[error(
        "{} has a vocabulary of {got} ids, but {source_of} has {expected}: use labels and tokens of the same tokenizer",
        path.display()
    )]
    Vocabulary {
        /// The label directory or token corpus.
        path: PathBuf,
        /// V of the run.
        expected: u32,
        /// V of `path`.
        got: u32,
        /// Source of the run's V.
        source_of: String,
    },
    /// Labels or tokens of another tokenizer.
    #[error(
        "{} was made with the tokenizer {got}, but {source_of} is {expected}: use labels and tokens of the same tokenizer",
        path.display()
    )]
    Tokenizer {
        /// The label directory or token corpus.
        path: PathBuf,
        /// Fingerprint of the run's tokenizer.
        expected: String,
        /// Fingerprint of the tokenizer of `path`.
        got: String,
        /// Source of the run's tokenizer.
        source_of: String,
    },
    /// A set of labels that is named twice.
    #[error(
        "data.labels names the same labels twice, {} and {}: name each once, with the weight of both in kd.teacher_weights",
        first.display(),
        dir.display()
    )]
    SameTeacher {
        /// The label directory.
        dir: PathBuf,
        /// The earlier one.
        first: PathBuf,
    },
    /// Labels of other sequences than those of the first teacher.
    #[error(
        "{} cannot be joined with {}: {what} is {got}, expected {expected} as there; label the same sequences of the same tokens with each teacher, with the same --seq-len, --packing, --sequences and --order-seed",
        dir.display(),
        first.display()
    )]
    OtherTeacher {
        /// The label directory.
        dir: PathBuf,
        /// The label directory of the first teacher.
        first: PathBuf,
        /// What differs.
        what: String,
        /// Value in the first.
        expected: String,
        /// Value here.
        got: String,
    },
    /// A loss, gate, temperature or transition that needs data the labels do not have.
    #[error("{what} needs {needed}, but the labels in {} have {found}: {remedy}", dir.display())]
    Needs {
        /// The setting, by its key.
        what: &'static str,
        /// What it needs.
        needed: String,
        /// What the labels have.
        found: String,
        /// What to do.
        remedy: &'static str,
        /// The label directory.
        dir: PathBuf,
    },
    /// An invalid setting.
    #[error("{key} is {got}, expected {expected}")]
    Setting {
        /// The key in the configuration.
        key: &'static str,
        /// What it may be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// The labels' own token files, but split into documents differently.
    #[error(
        "{} is the labels' own corpus, but {what} is {got} here and {expected} in their plan, so its sequences would have other numbers: use the labels' value",
        path.display()
    )]
    OtherCut {
        /// The token corpus.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// The labels' value.
        expected: String,
        /// The value of the run.
        got: String,
    },
    /// Token files that do not match the `corpus.json` next to them.
    #[error("{} has changed since it was tokenized: its blocks do not match corpus.json and the labels; restore it, or tokenize and label again", path.display())]
    ChangedCorpus {
        /// The file.
        path: PathBuf,
    },
    /// Token files that were overwritten while the run read them.
    #[error("{} changed while it was read, so it is unknown what the run has learnt from since then; restore the file, and resume from a checkpoint before the change", path.display())]
    ChangedWhileRead {
        /// The file.
        path: PathBuf,
    },
    /// A corpus without a single sequence.
    #[error("{} has {n_tokens} tokens in {n_documents} documents, too few for one predicted position: give a longer corpus", path.display())]
    NoSequences {
        /// The token corpus.
        path: PathBuf,
        /// Its tokens.
        n_tokens: u64,
        /// Its documents.
        n_documents: u64,
    },
    /// A run that needs more sequences than are available.
    #[error(
        "{n_steps} steps of {batch_size} {kind} sequences need {}, but only {available} are available{left_out}, each read up to {epochs} times ({key} = {epochs}): {remedy}, or set {key} = {}",
        n_needed(*n_steps, *batch_size),
        n_needed(*n_steps, *batch_size).div_ceil(*available)
    )]
    Budget {
        /// `labelled` or `token`.
        kind: &'static str,
        /// Steps that read such sequences.
        n_steps: u64,
        /// Sequences per step.
        batch_size: usize,
        /// Sequences that may be used, at least 1.
        available: u64,
        /// Describes what was excluded, if anything.
        left_out: String,
        /// How often each may be read.
        epochs: u32,
        /// The key of that setting.
        key: &'static str,
        /// What else to do.
        remedy: &'static str,
    },
    /// The loader has no source for the requested sequences.
    #[error("{kind} sequences are needed, but the run has none: {remedy}")]
    NoSource {
        /// `labelled` or `token`.
        kind: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// More steps than were announced.
    #[error("step {step} of {kind} sequences was requested, but {announced} were announced")]
    PastBudget {
        /// `labelled` or `token`.
        kind: &'static str,
        /// The step, from 1 on.
        step: u64,
        /// Steps of the budget.
        announced: u64,
    },
    /// A position past the end of this run.
    #[error(
        "the checkpoint is after {got} {kind} sequences, but this run reads at most {most}: resume with the configuration that the checkpoint was made with"
    )]
    Position {
        /// `labelled` or `token`.
        kind: &'static str,
        /// The position.
        got: u64,
        /// The end of the stream.
        most: u64,
    },
    /// A reading thread could not be started, or panicked.
    #[error("the thread that reads {kind} sequences {what}")]
    Thread {
        /// `labelled` or `token`.
        kind: &'static str,
        /// What happened to it.
        what: String,
    },
}

impl DataError {
    /// The missing file of labels or tokens, if that is the error.
    pub(in crate::train) fn missing_file(&self) -> Option<&Path> {
        match self {
            DataError::Storage(error) | DataError::Shards(ShardsError::Storage(error)) => {
                match error {
                    StorageError::Io { path, .. } if error.is_not_found() => Some(path),
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

impl Classified for DataError {
    fn kind(&self) -> Kind {
        match self {
            DataError::Shards(error) => error.kind(),
            DataError::Tokens(error) => error.kind(),
            DataError::Storage(error) => error.kind(),
            DataError::ChangedCorpus { .. } | DataError::ChangedWhileRead { .. } => Kind::BadData,
            DataError::Thread { .. } => Kind::Failed,
            _ => Kind::Usage,
        }
    }
}

/// Sequences of this many steps; saturates, since no corpus has 2^64.
pub(super) fn n_needed(n_steps: u64, batch_size: usize) -> u64 {
    n_steps.saturating_mul(batch_size as u64)
}
