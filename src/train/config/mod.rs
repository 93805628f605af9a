//! `run.toml`: everything that decides a run. Read, overridden by `--set`, validated, resolved, and
//! written beside the output as it was resolved.
//!
//! ```text
//! run.toml + --set KEY=VALUE ─ read ─▶ RunConfig ─ resolve ─▶ RunConfig, complete ─ write ─▶ config.toml
//! ```
//!
//! Relative paths are relative to the directory that the program was started in, as they are for
//! `saltworks label --config`. A resolved configuration reads back as itself.

mod defaults;
mod error;
mod read;
mod resolve;
mod run;
#[cfg(test)]
mod tests;
mod validate;

pub use error::ConfigError;
pub(in crate::train) use error::require;
pub use resolve::LabelsView;
pub use run::{
    CheckpointConfig, DataConfig, EvalConfig, KdConfig, LogConfig, LrShape, Mode, ModelConfig,
    OptimizerConfig, RunConfig, ScheduleConfig, TrainConfig, TransitionKind,
};
