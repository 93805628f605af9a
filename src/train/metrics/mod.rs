//! What a run says of itself: `metrics.jsonl`, and TensorBoard events beside it.
//!
//! `metrics.jsonl` has one JSON object per line, distinguished by `kind`: `train` (a step that is
//! logged), `valid` (a validation) and `stage` (the change from labels to tokens). Every line has
//! `step`, the number of steps done when it was written, the first being 1. Lines are appended
//! whole; a process that dies may tear the last one, which readers leave out. A resumed run
//! from a checkpoint cuts the lines after the checkpoint's step, so each step is there once.
//!
//! An event file is a sequence of TFRecords, each a protobuf `Event`:
//!
//! ```text
//! u64 length | u32 masked crc32c of the length | bytes | u32 masked crc32c of the bytes
//! ```
//!
//! Those are never cut: a resumed run begins another file with a `SessionLog` START at its first
//! step, at which TensorBoard forgets the later points of the earlier files. The settings of a run are in each file
//! for its HPARAMS tab.

mod error;
mod events;
mod hparams;
mod jsonl;
mod line;
mod log;
mod proto;
#[cfg(test)]
mod tests;

pub use error::MetricsError;
pub use events::EventsWriter;
pub use hparams::{Hparam, Hparams, hparams_of};
pub use jsonl::{METRICS_NAME, MetricsWriter, read_metrics};
pub use line::{LossVariance, MetricsLine, StageLine, TrainLine, ValidLine};
pub use log::RunLog;
