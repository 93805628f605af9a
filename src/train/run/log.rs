//! The logs of a run.

use super::state::TrainState;
use super::step::StepReport;
use super::validation::ValidationReport;
use crate::train::config::RunConfig;
use crate::train::metrics::{
    METRICS_NAME, MetricsError, MetricsLine, RunLog, StageLine, TrainLine, ValidLine, hparams_of,
    read_metrics,
};
use crate::train::schedule::Stage;
use std::path::Path;

/// The logs of a run, from its first step or from where it resumes.
pub(super) struct Log {
    lines: RunLog,
    validated_at: Option<u64>,
}

impl Log {
    /// Continues after `step` steps. Lines after those are removed: they are from a process that died before its next
    /// checkpoint.
    pub(super) fn open(dir: &Path, config: &RunConfig, step: u64) -> Result<Self, MetricsError> {
        let mut log = Self::open_lines(dir, config.log.tensorboard, step)?;
        log.lines.write_start(&hparams_of(config))?;
        Ok(log)
    }

    fn open_lines(dir: &Path, tensorboard: bool, step: u64) -> Result<Self, MetricsError> {
        let path = dir.join(METRICS_NAME);
        if step == 0 && !path.exists() {
            return Ok(Self {
                lines: RunLog::create(dir, tensorboard)?,
                validated_at: None,
            });
        }
        let lines = RunLog::resume(dir, step, tensorboard)?;
        let mut validations = read_metrics(&path)?
            .into_iter()
            .filter_map(|line| match line {
                MetricsLine::Valid(line) => Some(line.step),
                _ => None,
            });
        Ok(Self {
            lines,
            validated_at: validations.next_back(),
        })
    }

    /// Step of the last logged validation.
    pub(super) fn validated_at(&self) -> Option<u64> {
        self.validated_at
    }

    /// Logs the step that led to `state`.
    pub(super) fn step(
        &mut self,
        state: &TrainState,
        report: &StepReport,
        tokens_per_s: f64,
        mfu: f64,
    ) -> Result<(), MetricsError> {
        let is_labelled = report.plan.stage == Stage::One;
        self.lines.write(&MetricsLine::Train(TrainLine {
            step: state.step,
            tokens: state.n_tokens,
            seconds: state.seconds,
            stage: report.plan.stage,
            loss: report.loss(),
            ce: report.ce(),
            kd: report.kd(),
            omega: report.plan.omega,
            kd_fraction: (report.plan.omega > 0.0).then(|| report.kd_fraction()),
            learnt_fraction: report.has_excess.then(|| report.learnt_fraction()),
            lr: report.lr,
            grad_norm: report.grad_norm,
            tokens_per_s,
            mfu: Some(mfu),
            teacher_nll: report.teacher_nll,
            student_nll: is_labelled.then(|| report.ce()),
            variance: report.variance.map(Box::new),
        }))
    }

    /// Logs a validation after the steps of `state`.
    pub(super) fn validation(
        &mut self,
        state: &TrainState,
        report: &ValidationReport,
    ) -> Result<(), MetricsError> {
        self.validated_at = Some(state.step);
        self.lines.write(&MetricsLine::Valid(ValidLine {
            step: state.step,
            tokens: state.n_tokens,
            seconds: state.seconds,
            val_nll: report.nll,
            val_n_targets: report.n_targets as u64,
        }))
    }

    /// Logs that the step after those of `state` is the first of `stage`.
    pub(super) fn stage(&mut self, state: &TrainState, stage: Stage) -> Result<(), MetricsError> {
        self.lines.write(&MetricsLine::Stage(StageLine {
            step: state.step + 1,
            tokens: state.n_tokens,
            seconds: state.seconds,
            stage,
        }))
    }

    /// Ends the log; nothing is written after this.
    pub(super) fn end(&mut self) -> Result<(), MetricsError> {
        self.lines.write_end()
    }

    /// Syncs everything logged to disk.
    pub(super) fn sync(&mut self) -> Result<(), MetricsError> {
        self.lines.sync()
    }
}
