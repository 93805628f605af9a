//! The pipeline from a token corpus and a teacher to a directory of labels.
//!
//! The steps of a run:
//!
//! 1. `options`: flags and configuration file become one checked [`LabelConfig`];
//! 2. `inputs`: teacher, tokens and tokenizer are opened and compared with each other;
//! 3. `planning`: hashes, range and layout become a plan, which is created or matched;
//! 4. `run`: finished shards are checked and kept; `pipeline` makes the others, with reading, the
//!    teacher and writing in parallel over bounded queues. Then the manifest is written.
//!
//! Many processes may run [`label`] on one directory, each with its own `--task i/n`: they share
//! only the plan. `import` takes the numbers of another engine in place of 2 and of the teacher.
//! `estimate` is `--dry-run`; `relabel` and `divergence` are `verify --teacher`
//! with the labels' own teacher and with another one.

mod batches;
mod changed;
mod checkpoint;
mod divergence;
mod error;
mod estimate;
mod files;
mod import;
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
mod teacher_copy;
mod teacher_path;
mod tokenizer_copy;

pub use crate::interrupt::Interrupt;
pub use divergence::{DivergenceReport, TeacherReport, check_teacher};
pub use error::LabelError;
pub use estimate::{Estimate, estimate};
pub use import::{Import, ImportError, ImportSpec};
pub use inputs::LabelInputs;
pub use options::{LabelConfig, LabelOptions, OrderSeed, SequenceRange, Task};
pub use profile::{PipelineStage, Profile};
pub use progress::{Snapshot, WithoutNll};
pub use relabel::RelabelReport;
pub use run::{LabelOutcome, Observer, label, plan};
