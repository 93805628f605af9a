//! `run.toml`: everything that decides a run. Read, overridden by `--set`, validated, resolved, and
//! written beside the output as it was resolved.
//!
//! ```text
//! run.toml + --set KEY=VALUE ─ read ─▶ RunConfig ─ resolve ─▶ RunConfig, complete ─ write ─▶ config.toml
//! ```
//!
//! Relative paths in a file are relative to that file, as in every configuration (see [`crate::config`]). A
//! resolved configuration reads back as itself; what is written has absolute paths.

mod defaults;
mod error;
mod label_dirs;
mod read;
mod resolve;
mod run;
#[cfg(test)]
mod tests;
mod validate;

pub use error::ConfigError;
pub(crate) use error::require;
pub use label_dirs::LabelDirs;
pub use resolve::LabelsView;
pub use run::{
    CheckpointConfig, DataConfig, EvalConfig, KdConfig, LogConfig, LrShape, Mode, ModelConfig,
    OptimizerConfig, RunConfig, ScheduleConfig, TrainConfig, TransitionKind,
};
