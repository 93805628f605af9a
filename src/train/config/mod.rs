//! `run.toml`: everything that decides a run. Read, overridden by `--set`, resolved, validated, and
//! written beside the output as it was resolved.

mod run;

pub use run::{
    CheckpointConfig, DataConfig, EvalConfig, KdConfig, LogConfig, LrShape, Mode, ModelConfig,
    OptimizerConfig, RunConfig, ScheduleConfig, TrainConfig, TransitionKind,
};
