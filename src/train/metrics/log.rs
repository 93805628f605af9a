//! Both logs of a run as one.

use super::error::MetricsError;
use super::events::EventsWriter;
use super::hparams::Hparams;
use super::jsonl::{METRICS_NAME, MetricsWriter};
use super::line::MetricsLine;
use std::path::Path;

/// `metrics.jsonl`, and TensorBoard events where they are wanted.
#[derive(Debug)]
pub struct RunLog {
    metrics: MetricsWriter,
    events: Option<EventsWriter>,
}

impl RunLog {
    /// Begins the logs of a fresh run in `dir`.
    ///
    /// # Errors
    /// Metrics that are there already; the filesystem's.
    pub fn create(dir: &Path, tensorboard: bool) -> Result<Self, MetricsError> {
        let metrics = MetricsWriter::create(&dir.join(METRICS_NAME))?;
        Self::with_events(metrics, dir, tensorboard, None)
    }

    /// Goes on with the logs in `dir` after `step` steps, as if nothing had been logged since.
    ///
    /// # Errors
    /// A line of the metrics that is none; the filesystem's.
    pub fn resume(dir: &Path, step: u64, tensorboard: bool) -> Result<Self, MetricsError> {
        let metrics = MetricsWriter::resume(&dir.join(METRICS_NAME), step)?;
        Self::with_events(metrics, dir, tensorboard, Some(step))
    }

    /// Appends one line to both.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn write(&mut self, line: &MetricsLine) -> Result<(), MetricsError> {
        self.metrics.write(line)?;
        match &mut self.events {
            Some(events) => events.write_line(line),
            None => Ok(()),
        }
    }

    /// Says in the events with which settings training begins, or goes on.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn write_start(&mut self, hparams: &Hparams) -> Result<(), MetricsError> {
        self.events
            .as_mut()
            .map_or(Ok(()), |events| events.write_start(hparams))
    }

    /// Says in the events that training has come to its end.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn write_end(&mut self) -> Result<(), MetricsError> {
        self.events.as_mut().map_or(Ok(()), EventsWriter::write_end)
    }

    /// Makes the lines of `metrics.jsonl` durable; to be called before a checkpoint is published.
    ///
    /// # Errors
    /// The filesystem's.
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
