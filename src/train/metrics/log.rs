//! Both logs of a run.

use super::error::MetricsError;
use super::events::EventsWriter;
use super::hparams::Hparams;
use super::jsonl::{METRICS_NAME, MetricsWriter};
use super::line::MetricsLine;
use std::path::Path;

/// `metrics.jsonl`, and TensorBoard events if enabled.
#[derive(Debug)]
pub struct RunLog {
    metrics: MetricsWriter,
    events: Option<EventsWriter>,
}

impl RunLog {
    /// Begins the logs of a new run in `dir`.
    ///
    /// # Errors
    /// Existing metrics; the filesystem's error.
    pub fn create(dir: &Path, tensorboard: bool) -> Result<Self, MetricsError> {
        let metrics = MetricsWriter::create(&dir.join(METRICS_NAME))?;
        Self::with_events(metrics, dir, tensorboard, None)
    }

    /// Continues the logs in `dir` after `step` steps, as if nothing had been logged since.
    ///
    /// # Errors
    /// An invalid line in the metrics; the filesystem's error.
    pub fn resume(dir: &Path, step: u64, tensorboard: bool) -> Result<Self, MetricsError> {
        let metrics = MetricsWriter::resume(&dir.join(METRICS_NAME), step)?;
        Self::with_events(metrics, dir, tensorboard, Some(step))
    }

    /// Appends one line to both.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn write(&mut self, line: &MetricsLine) -> Result<(), MetricsError> {
        self.metrics.write(line)?;
        match &mut self.events {
            Some(events) => events.write_line(line),
            None => Ok(()),
        }
    }

    /// Records in the events the settings with which training begins or resumes.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn write_start(&mut self, hparams: &Hparams) -> Result<(), MetricsError> {
        self.events
            .as_mut()
            .map_or(Ok(()), |events| events.write_start(hparams))
    }

    /// Records in the events that training has ended.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn write_end(&mut self) -> Result<(), MetricsError> {
        self.events.as_mut().map_or(Ok(()), EventsWriter::write_end)
    }

    /// Makes the lines of `metrics.jsonl` durable; called before a checkpoint is published.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn sync(&self) -> Result<(), MetricsError> {
        self.metrics.sync()
    }

    fn with_events(
        metrics: MetricsWriter,
        dir: &Path,
        tensorboard: bool,
        resumed_at: Option<u64>,
    ) -> Result<Self, MetricsError> {
        let events = tensorboard.then(|| EventsWriter::create(dir, resumed_at));
        Ok(Self {
            metrics,
            events: events.transpose()?,
        })
    }
}
