//! The logs of a run: `metrics.jsonl`, and TensorBoard events.
//!
//! `metrics.jsonl` has one JSON object per line, distinguished by `kind`: `train` (a logged step), `valid` (a
//! validation) and `stage` (the change from labels to tokens). Every line has `step`, the number of steps done
//! when it was written, the first being 1. Each line is appended by one write; a process that dies may leave
//! the last one incomplete, and readers skip it. A run resumed from a checkpoint cuts the lines after the
//! checkpoint's step, so each step occurs once.
//!
//! An event file is a sequence of TFRecords, each a protobuf `Event`:
//!
//! ```text
//! u64 length | u32 masked crc32c of the length | bytes | u32 masked crc32c of the bytes
//! ```
//!
//! These are never cut: a resumed run begins a new file with a `SessionLog` START at its first step, which makes
//! TensorBoard drop later points from earlier files. Each file has the run's settings for the HPARAMS tab.

mod crossing;
mod error;
mod events;
mod hparams;
mod jsonl;
mod line;
mod log;
mod proto;
#[cfg(test)]
mod tests;

pub(crate) use crossing::first_at_most;
pub use error::MetricsError;
pub use events::EventsWriter;
pub use hparams::{Hparam, Hparams, hparams_of};
pub use jsonl::{METRICS_NAME, MetricsWriter, read_metrics};
pub use line::{LossVariance, MetricsLine, StageLine, TrainLine, ValidLine};
pub use log::RunLog;
