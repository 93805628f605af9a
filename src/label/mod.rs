//! The pipeline: a token corpus and a teacher in, a directory of labels out.
//!
//! In the order that one run goes:
//!
//! 1. `options`: flags and configuration file become one checked [`LabelConfig`];
//! 2. `inputs`: teacher, tokens and tokenizer are opened and held against each other;
//! 3. `planning`: hashes, range and layout become a plan, which is created or matched;
//! 4. `run`: finished shards are checked and kept, the rest made by `pipeline`, where reading, the
//!    teacher, and writing go side by side over bounded queues; then the manifest.
//!
//! Many processes may run [`label`] on one directory, each with its own `--task i/n`: they share
//! nothing but the plan. `estimate` is `--dry-run`; `relabel` and `divergence` are `verify --teacher`
//! with the labels' own teacher and with another one.

mod batches;
mod changed;
mod divergence;
mod error;
mod estimate;
mod inputs;
mod options;
mod output;
mod pipeline;
mod planning;
mod profile;
mod progress;
mod provenance;
mod record;
mod reduction;
mod relabel;
mod run;
mod runtime_stamp;
mod teacher_path;
mod tokenizer_copy;

pub use crate::interrupt::Interrupt;
pub use divergence::{DivergenceReport, TeacherReport, check_teacher};
pub use error::LabelError;
pub use estimate::{Estimate, estimate};
pub use inputs::LabelInputs;
pub use options::{LabelConfig, LabelOptions, OrderSeed, SequenceRange, Task};
pub use profile::{Profile, ProfileStage};
pub use progress::{Snapshot, WithoutNll};
pub use relabel::RelabelReport;
pub use run::{LabelOutcome, Observer, label, plan};
