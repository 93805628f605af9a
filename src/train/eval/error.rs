//! What can go wrong in evaluation and generation.

use crate::corpus::CorpusError;
use crate::error::{Classified, Kind};
use crate::tokens::TokensError;
use crate::train::data::DataError;
use std::path::PathBuf;

/// Why a model cannot be evaluated, or cannot generate text.
#[derive(Debug, thiserror::Error)]
pub enum EvalError {
    /// Documents that cannot be read.
    #[error(transparent)]
    Corpus(#[from] CorpusError),
    /// Tokens that cannot be read, or text that cannot be encoded.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// Labels that cannot be read.
    #[error(transparent)]
    Data(Box<DataError>),
    /// A temporary directory for the tokens of text.
    #[error("cannot create a temporary directory; choose another place with TMPDIR")]
    TempDir {
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Sequences longer than the model supports.
    #[error("--seq-len {seq_len} exceeds the model's maximum of {max_seq_len} positions; lower it")]
    SeqLen {
        /// As requested.
        seq_len: usize,
        /// The model's maximum.
        max_seq_len: usize,
    },
    /// Labels of sequences longer than the model supports.
    #[error(
        "{} has sequences of {seq_len} positions, longer than the model's maximum of {max_seq_len}; label the text again with a smaller --seq-len",
        dir.display()
    )]
    LabelSeqLen {
        /// The label directory.
        dir: PathBuf,
        /// T of the labels.
        seq_len: usize,
        /// The model's maximum.
        max_seq_len: usize,
    },
    /// Ids that the model has no row for.
    #[error("{}: {what} has {n_ids} ids, but the model has {vocab_size}: give the tokenizer, or the tokens, that the model was trained with", path.display())]
    Vocabulary {
        /// The file.
        path: PathBuf,
        /// `the tokenizer`, `the corpus' tokenizer`.
        what: &'static str,
        /// Its ids.
        n_ids: usize,
        /// V.
        vocab_size: usize,
    },
    /// An id to put before sequences that the model has no row for.
    #[error(
        "id {id} is not one of the model's {vocab_size}; pass another, or none, with --bos or --sequence-bos"
    )]
    IdPastVocab {
        /// The id.
        id: u32,
        /// V.
        vocab_size: usize,
    },
    /// A corpus made by another tokenizer than the model's.
    #[error("{} was made by the tokenizer {corpus}, but {} is {model}: tokenize the text again with the latter, or evaluate the text itself with --text", path.display(), tokenizer.display())]
    OtherTokenizer {
        /// The corpus.
        path: PathBuf,
        /// Fingerprint in its `corpus.json`.
        corpus: String,
        /// The model's `tokenizer.json`.
        tokenizer: PathBuf,
        /// Fingerprint of that.
        model: String,
    },
    /// A given tokenizer that is not the model's own.
    #[error("{} is the tokenizer {named}, but the model's own, {}, is {own}: omit --tokenizer", path.display(), own_path.display())]
    NotTheModels {
        /// The given tokenizer.
        path: PathBuf,
        /// Its fingerprint.
        named: String,
        /// The model's `tokenizer.json`.
        own_path: PathBuf,
        /// Its fingerprint.
        own: String,
    },
    /// Nothing to predict.
    #[error(
        "there is nothing to predict: no sequence has a second token; give more text, or an id in front of it"
    )]
    NothingToPredict,
    /// A segment of the copy probe that is too short, or does not fit twice into the model.
    #[error(
        "a segment of {distance} ids cannot be probed: expected --distances from {min} to {max}, so that two copies fit into the model's {max_seq_len} positions"
    )]
    CopyDistance {
        /// As requested.
        distance: usize,
        /// The shortest.
        min: usize,
        /// The longest.
        max: usize,
        /// The model's longest sequence.
        max_seq_len: usize,
    },
    /// A vocabulary too small to draw random segments from.
    #[error(
        "the copy probe samples from the ids that stand for text, of which there are {n_ids}; it needs at least two ids: give another --tokenizer"
    )]
    NothingToCopy {
        /// Ids that stand for text.
        n_ids: usize,
    },
    /// A selection of sequences, none of which the labels have.
    #[error(
        "none of the requested sequences is labelled here; choose others with --sequences or --selection (`saltworks stats` shows how many there are, `saltworks inspect` one of them)"
    )]
    NothingChosen,
    /// A field that no document has.
    #[error(
        "no document has a string or number in the field `{field}` (--by); name one that groups them, such as an id"
    )]
    NoGroups {
        /// The field.
        field: String,
    },
    /// An empty separator, which would split everywhere.
    #[error("--split-on is empty; give the text between two documents, such as <|endoftext|>")]
    EmptySeparator,
    /// A model whose results are not finite.
    #[error(
        "the model gives {value} at sequence {seq_id}, position {position}: its weights are unusable; use an earlier checkpoint"
    )]
    NotFinite {
        /// The value.
        value: f32,
        /// The sequence; 0 in generation.
        seq_id: u64,
        /// Position in it.
        position: usize,
    },
    /// A prompt that leaves no room.
    #[error(
        "the prompt has {n_tokens} tokens, but prompt and text together have at most {max_seq_len} positions; give a shorter prompt"
    )]
    PromptTooLong {
        /// Its tokens.
        n_tokens: usize,
        /// The model's limit.
        max_seq_len: usize,
    },
    /// A prompt without a token.
    #[error(
        "the prompt has no tokens, but the model needs one to continue from; give some text, or an id with --bos"
    )]
    EmptyPrompt,
    /// An invalid sampling setting.
    #[error("{flag} {got}: expected {expected}")]
    Sampling {
        /// The flag.
        flag: &'static str,
        /// What it may be.
        expected: &'static str,
        /// What it is.
        got: String,
    },
    /// Stopped on request.
    #[error("interrupted: nothing was kept; the same command starts over")]
    Interrupted,
}

impl From<DataError> for EvalError {
    fn from(error: DataError) -> Self {
        Self::Data(Box::new(error))
    }
}

impl Classified for EvalError {
    fn kind(&self) -> Kind {
        match self {
            EvalError::Corpus(error) => error.kind(),
            EvalError::Tokens(error) => error.kind(),
            EvalError::Data(error) => error.kind(),
            EvalError::TempDir { .. } => Kind::Failed,
            EvalError::NotFinite { .. } => Kind::BadData,
            EvalError::Interrupted => Kind::Interrupted,
            EvalError::SeqLen { .. }
            | EvalError::LabelSeqLen { .. }
            | EvalError::Vocabulary { .. }
            | EvalError::IdPastVocab { .. }
            | EvalError::OtherTokenizer { .. }
            | EvalError::NotTheModels { .. }
            | EvalError::NothingToPredict
            | EvalError::NothingChosen
            | EvalError::CopyDistance { .. }
            | EvalError::NothingToCopy { .. }
            | EvalError::NoGroups { .. }
            | EvalError::EmptySeparator
            | EvalError::PromptTooLong { .. }
            | EvalError::EmptyPrompt
            | EvalError::Sampling { .. } => Kind::Usage,
        }
    }
}
