//! Evaluates models by their negative log-likelihood (NLL) of text, and generates text.
//!
//! [`evaluate`] goes through sequences of a token corpus, several per micro-batch, and sums -log q_y over all
//! predicted positions and by group of documents. Text is first converted to a token corpus in a temporary
//! directory ([`TextCorpus`]), so that it is cut like any corpus. Bits per byte are NLL / ln 2 divided by the
//! bytes of the predicted text; unlike NLL per token and perplexity, they do not depend on the tokenizer.
//!
//! [`evaluate_labelled`] does the same over the sequences of a label set, next to the teacher's own NLL and by
//! buckets of it. Both report how often the model's top id is the target, and how far its confidence is from
//! that accuracy ([`Calibration`]).
//!
//! [`probe_copying`] measures something neither shows: how well the model repeats what is in its context.
//!
//! [`generate`](generate()) continues a prompt, greedily or by seeded draws.

mod calibration;
mod check;
mod copying;
mod error;
mod generate;
mod labelled;
mod run;
mod score;
mod terciles;
mod text;

pub use calibration::{Calibration, N_CALIBRATION_BINS};
pub use check::{check_same_tokenizer, check_tokenizer, check_tokens};
pub use copying::{CopyOptions, CopyScore, copy_capacity, copy_distances, probe_copying};
pub use error::EvalError;
pub use generate::{Generated, SampleOptions, Stop, generate, pick};
pub(in crate::train) use labelled::bucket_of;
pub use labelled::{
    BUCKET_NAMES, BucketReport, LabelledOptions, LabelledReport, evaluate_labelled,
    labelled_capacity, open_labelled, teacher_terciles,
};
pub use run::{
    DEFAULT_BATCH_POSITIONS, EvalOptions, EvalProgress, evaluate, evaluation_capacity,
    evenly_spaced,
};
pub use score::{DocumentGroups, EvalReport, GroupScore, NllSums, Score, text_bytes_of_ids};
pub use text::{TextCorpus, TextOptions};
