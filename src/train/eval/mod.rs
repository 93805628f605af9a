//! What a model makes of text: its negative log-likelihood (NLL), and text of its own.
//!
//! [`evaluate`] walks over sequences of a token corpus, several a micro-batch, and adds up -log q_y
//! of every predicted position, over all and by group of documents. Text is first made a token
//! corpus in a temporary directory ([`TextCorpus`]), so that it is cut as any corpus is. Bits per
//! byte are NLL / ln 2 over the bytes of the predicted text: a number that does not depend on the
//! tokenizer, as NLL a token and perplexity do.
//!
//! [`evaluate_labelled`] does the same over the sequences of a label set, next to the teacher's own
//! NLL and by buckets of it. Both tell how often the model's best id is the target, and how far its
//! confidence in that id is from being right as often ([`Calibration`]).
//!
//! [`probe_copying`] measures what neither shows: how well the model repeats what it has in its context.
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
    evenly_spread,
};
pub use score::{DocumentGroups, EvalReport, GroupScore, NllSums, Score, text_bytes_of_ids};
pub use text::{TextCorpus, TextOptions};
