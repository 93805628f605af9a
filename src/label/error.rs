//! Errors of planning and labelling.

use super::import::ImportError;
use crate::checkpoint_graph::CheckpointGraphError;
use crate::config::ConfigFileError;
use crate::error::{Classified, Kind};
use crate::onnx::OnnxError;
use crate::shards::ShardsError;
use crate::signals::SignalsError;
use crate::storage::StorageError;
use crate::teacher::TeacherError;
use crate::tokens::TokensError;
use std::fmt::Display;
use std::path::PathBuf;

/// A number with its noun.
fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

/// Errors of this room; those of other rooms pass through.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// From `config`: options that are missing.
    #[error(transparent)]
    Config(#[from] ConfigFileError),
    /// Labels that were started with another option.
    #[error(
        "{} has labels that were started with another {option}: {field} is {theirs} there and {ours} here; use the same value, or choose another --output",
        dir.display()
    )]
    ChangedOption {
        /// The directory.
        dir: PathBuf,
        /// The option that determines the field.
        option: &'static str,
        /// Field of the plan.
        field: String,
        /// As requested now.
        ours: String,
        /// As in the directory.
        theirs: String,
    },
    /// An option with an impossible value.
    #[error("{flag} is {got}, expected {expected}")]
    Option {
        /// The flag.
        flag: &'static str,
        /// What would be accepted.
        expected: String,
        /// What was given.
        got: String,
    },
    /// The teacher's vocabulary does not match the tokenizer's.
    #[error("the teacher {} has {teacher} logits per position, but the tokenizer of the tokens ({tokenizer_source}) has {tokenizer} ids: {remedy}", model.display())]
    Vocabulary {
        /// The model.
        model: PathBuf,
        /// V of the logits.
        teacher: u32,
        /// Ids of the tokenizer.
        tokenizer: u32,
        /// Where the tokenizer's number comes from.
        tokenizer_source: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The tokenizer given is not the one that made the tokens.
    #[error("the tokenizer {} has the fingerprint {got}, but the tokens were made with {expected}: give the tokenizer that made them, or tokenize again", path.display())]
    TokenizerMismatch {
        /// The tokenizer given.
        path: PathBuf,
        /// As recorded in corpus.json.
        expected: String,
        /// As found.
        got: String,
    },
    /// The teacher's own tokenizer is not the one that made the tokens.
    #[error("{} was made with the tokenizer {of_tokens}, but the teacher's own, {}, is {own}: tokenize with that one, or pass --ignore-teacher-tokenizer if every id means the same in both", tokens.display(), path.display())]
    NotTheTeachersTokenizer {
        /// The teacher's tokenizer.json.
        path: PathBuf,
        /// Its fingerprint.
        own: String,
        /// The tokens' fingerprint.
        of_tokens: String,
        /// The tokens.
        tokens: PathBuf,
    },
    /// Ids outside the vocabulary of the teacher's own tokenizer.
    #[error("the tokens were not made with the teacher's own tokenizer {}, which has {vocab_size} ids: tokenize with that one, or pass --ignore-teacher-tokenizer if it is not the teacher's", path.display())]
    IdsPastTeachersTokenizer {
        /// The teacher's tokenizer.json.
        path: PathBuf,
        /// Its ids.
        vocab_size: u32,
        /// The first such error found.
        #[source]
        source: Box<TokensError>,
    },
    /// Token files that changed since the plan was made.
    #[error("{} has changed since these labels were planned, although its size is the same: it was edited or damaged, so earlier and later shards would contain different tokens; restore it, or if that is impossible, label again into another directory", path.display())]
    ChangedTokens {
        /// The file.
        path: PathBuf,
    },
    /// The corpus has no sequences to label.
    #[error("{} has {} in {}, too few for a sequence with a target to predict: give a longer corpus", tokens.display(), counted(*n_tokens, "token"), counted(*n_documents, "document"))]
    NoSequences {
        /// The corpus.
        tokens: PathBuf,
        /// Its tokens.
        n_tokens: u64,
        /// Its documents.
        n_documents: u64,
    },
    /// The teacher's output gives no valid signals.
    #[error("sequence {seq_id}, first token at {token_offset} of the corpus")]
    Sequence {
        /// Which sequence.
        seq_id: u64,
        /// Where it starts in the corpus, tokens.
        token_offset: u64,
        /// What is wrong with it.
        #[source]
        source: SignalsError,
    },
    /// The teacher gives probability 0 to a token of the text.
    #[error(
        "sequence {seq_id}, first token at {token_offset} of the corpus: the teacher gives {target} zero probability (its logit is -inf), so the sequence has no NLL; expected a model that can predict every id of the text. Use such a model, or label with --allow-impossible-targets: the NLL scores of such a sequence are then null"
    )]
    ImpossibleTarget {
        /// Which sequence.
        seq_id: u64,
        /// Where it starts in the corpus, tokens.
        token_offset: u64,
        /// Which target, in words.
        target: String,
    },
    /// The process was asked to stop.
    #[error(
        "interrupted: {n_done} of {n_shards} shards are done; the same command resumes from there"
    )]
    Interrupted {
        /// Shards of this task that are done.
        n_done: u64,
        /// Shards of this task.
        n_shards: u64,
    },
    /// A thread or its handler could not be started.
    #[error("cannot start {what}: check the system's limits (ulimit -u)")]
    Spawn {
        /// What for.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The teacher fails on sequences of the plan's length.
    #[error(
        "the teacher cannot run sequences of {seq_len} tokens: its limit is lower; lower --seq-len"
    )]
    LongestSequence {
        /// T.
        seq_len: u32,
        /// The runtime's error.
        #[source]
        source: TeacherError,
    },
    /// The labels and the teacher do not belong together.
    #[error(
        "{field} of the labels is {expected}, but now it is {got}: check with the teacher and tokens that made them"
    )]
    OtherInputs {
        /// Field of the plan.
        field: &'static str,
        /// As planned.
        expected: String,
        /// As given now.
        got: String,
    },
    /// Labels without stored ids, which a reference teacher is compared with.
    #[error(
        "these labels have no top-k ids, so another teacher cannot be compared with them: expected the group topk"
    )]
    NothingToCompare,
    /// Token files other than those of the labels.
    #[error("{} is the corpus {got}, but the labels are of {expected}: give the corpus that was labelled", tokens.display())]
    OtherCorpus {
        /// As given.
        tokens: PathBuf,
        /// Fingerprint in the plan.
        expected: String,
        /// Fingerprint of the given corpus.
        got: String,
    },
    /// From `import`.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// From `onnx`.
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    /// From `teacher`.
    #[error(transparent)]
    Teacher(#[from] TeacherError),
    /// From `tokens`.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// From `shards`.
    #[error(transparent)]
    Shards(#[from] ShardsError),
    /// From `storage`.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The teacher's checkpoint cannot be read, or its graph cannot be made.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointGraphError),
}

impl LabelError {
    /// An option with an impossible value.
    pub(super) fn option(flag: &'static str, expected: impl Display, got: impl Display) -> Self {
        Self::Option {
            flag,
            expected: expected.to_string(),
            got: got.to_string(),
        }
    }
}

impl Classified for LabelError {
    fn kind(&self) -> Kind {
        match self {
            Self::ChangedOption { .. }
            | Self::Option { .. }
            | Self::Vocabulary { .. }
            | Self::TokenizerMismatch { .. }
            | Self::NotTheTeachersTokenizer { .. }
            | Self::IdsPastTeachersTokenizer { .. }
            | Self::OtherInputs { .. }
            | Self::OtherCorpus { .. }
            | Self::LongestSequence { .. }
            | Self::NothingToCompare => Kind::Usage,
            Self::NoSequences { .. }
            | Self::Sequence { .. }
            | Self::ImpossibleTarget { .. }
            | Self::ChangedTokens { .. } => Kind::BadData,
            Self::Interrupted { .. } => Kind::Interrupted,
            Self::Spawn { .. } => Kind::Failed,
            Self::Import(error) => error.kind(),
            Self::Config(error) => error.kind(),
            Self::Onnx(error) => error.kind(),
            Self::Teacher(error) => error.kind(),
            Self::Tokens(error) => error.kind(),
            Self::Shards(error) => error.kind(),
            Self::Storage(error) => error.kind(),
            Self::Checkpoint(error) => error.kind(),
        }
    }
}
