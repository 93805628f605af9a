//! TensorBoard events.

use super::error::MetricsError;
use super::hparams::{self, Hparams};
use super::line::{LossVariance, MetricsLine};
use super::proto::{Event, SESSION_START, SessionLog, Summary, SummaryValue, What};
use crate::storage::StorageError;
use prost::Message;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Content of a file's first record: the format version, which allows purging by `SessionLog`.
const FILE_VERSION: &str = "brain.Event:2";

/// Appends to one event file; each event is written to the system before the call returns.
#[derive(Debug)]
pub struct EventsWriter {
    file: File,
    path: PathBuf,
}

impl EventsWriter {
    /// Begins a new event file in `dir`. `resumed_at` is the number of steps done if a run resumes: TensorBoard
    /// then drops later points from earlier files.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn create(dir: &Path, resumed_at: Option<u64>) -> Result<Self, MetricsError> {
        let path = dir.join(file_name(now()));
        let opened = OpenOptions::new().create_new(true).append(true).open(&path);
        let file = opened.map_err(|source| StorageError::io("create", &path, source))?;
        let mut writer = Self { file, path };
        writer.write(0, What::FileVersion(FILE_VERSION.to_owned()))?;
        if let Some(n_done) = resumed_at {
            let status = SESSION_START;
            writer.write(n_done + 1, What::SessionLog(SessionLog { status }))?;
        }
        Ok(writer)
    }

    /// Appends the scalars of a line; null values are omitted.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn write_line(&mut self, line: &MetricsLine) -> Result<(), MetricsError> {
        let value = scalars(line)
            .into_iter()
            .filter_map(|(tag, value)| {
                Some(SummaryValue {
                    tag: tag.to_owned(),
                    simple_value: Some(value? as f32),
                    ..SummaryValue::default()
                })
            })
            .collect();
        self.write(line.step(), What::Summary(Summary { value }))
    }

    /// Records the settings with which a session of training begins.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn write_start(&mut self, hparams: &Hparams) -> Result<(), MetricsError> {
        self.write_value(hparams::start(hparams, now().as_secs_f64()))
    }

    /// Records that training has ended.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn write_end(&mut self) -> Result<(), MetricsError> {
        self.write_value(hparams::end(now().as_secs_f64()))
    }

    fn write_value(&mut self, value: SummaryValue) -> Result<(), MetricsError> {
        self.write(0, What::Summary(Summary { value: vec![value] }))
    }

    fn write(&mut self, step: u64, what: What) -> Result<(), MetricsError> {
        let event = Event {
            wall_time: now().as_secs_f64(),
            step: i64::try_from(step).unwrap_or(i64::MAX),
            what: Some(what),
        };
        let written = self.file.write_all(&framed(&event.encode_to_vec()));
        Ok(written.map_err(|source| StorageError::io("write", &self.path, source))?)
    }
}

/// The tags of a line.
fn scalars(line: &MetricsLine) -> Vec<(&'static str, Option<f64>)> {
    match line {
        MetricsLine::Train(line) => [
            ("train/loss", Some(line.loss)),
            ("train/ce", Some(line.ce)),
            ("train/kd", line.kd),
            ("train/omega", Some(line.omega)),
            ("train/kd_fraction", line.kd_fraction),
            ("train/learnt_fraction", line.learnt_fraction),
            ("train/lr", Some(line.lr)),
            ("train/grad_norm", Some(line.grad_norm)),
            ("perf/tokens_per_s", Some(line.tokens_per_s)),
            ("perf/mfu", line.mfu),
            ("labels/teacher_nll", line.teacher_nll),
            ("labels/student_nll", line.student_nll),
        ]
        .into_iter()
        .chain(line.variance.as_deref().into_iter().flat_map(variances))
        .collect(),
        MetricsLine::Valid(line) => vec![("valid/nll", Some(line.val_nll))],
        MetricsLine::Stage(line) => vec![("train/stage", Some(f64::from(u8::from(line.stage))))],
    }
}

/// Variances over the positions of a step.
fn variances(variance: &LossVariance) -> [(&'static str, Option<f64>); 8] {
    let ce = variance.ce_by_bucket.unwrap_or_default();
    let soft = variance.soft_by_bucket.unwrap_or_default();
    [
        ("variance/ce", Some(variance.ce)),
        ("variance/ce_easy", ce[0]),
        ("variance/ce_medium", ce[1]),
        ("variance/ce_hard", ce[2]),
        ("variance/soft", variance.soft),
        ("variance/soft_easy", soft[0]),
        ("variance/soft_medium", soft[1]),
        ("variance/soft_hard", soft[2]),
    ]
}

/// `bytes` as one TFRecord.
fn framed(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    let mut record = Vec::with_capacity(bytes.len() + 16);
    record.extend_from_slice(&length);
    record.extend_from_slice(&masked_crc(&length).to_le_bytes());
    record.extend_from_slice(bytes);
    record.extend_from_slice(&masked_crc(bytes).to_le_bytes());
    record
}

/// CRC-32C, rotated and offset, since the plain CRC of data that contains CRCs is a poor checksum.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

/// TensorBoard finds files by `tfevents` and reads them in the order of their names, so later files need later
/// names.
fn file_name(time: Duration) -> String {
    let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
    let pid = std::process::id();
    format!("events.out.tfevents.{seconds:010}.{nanos:09}.{pid}")
}

/// Time since 1970; 0 if the clock is earlier.
fn now() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}
