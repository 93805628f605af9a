//! Where the time of a run goes, stage by stage.

use serde::Serialize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What a thread of the pipeline may be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PipelineStage {
    /// Reader: sequences from the token files.
    Reading,
    /// Labelling thread: waiting for the reader.
    WaitingForTokens,
    /// Labelling thread: the model's forward pass.
    Teacher,
    /// Labelling thread: logits to signals, on all cores.
    Reduction,
    /// Labelling thread: assembling batches and rows.
    Assembly,
    /// Labelling thread: waiting for the slower writer.
    WaitingForWriter,
    /// Writer: checking invariants, encoding, compressing.
    Encoding,
    /// Writer: syncing, checking and publishing files.
    Publishing,
}

impl PipelineStage {
    /// All stages, in the order that data flows.
    pub const ALL: [PipelineStage; 8] = [
        PipelineStage::Reading,
        PipelineStage::WaitingForTokens,
        PipelineStage::Teacher,
        PipelineStage::Reduction,
        PipelineStage::Assembly,
        PipelineStage::WaitingForWriter,
        PipelineStage::Encoding,
        PipelineStage::Publishing,
    ];

    /// Whether it is a stage of the labelling thread: these make up the run's wall-clock time.
    pub fn is_of_labelling(self) -> bool {
        !matches!(
            self,
            PipelineStage::Reading | PipelineStage::Encoding | PipelineStage::Publishing
        )
    }
}

/// Time of each stage, summed over the workers of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Profile {
    /// In the order of [`PipelineStage::ALL`].
    pub stages: Vec<(PipelineStage, Duration)>,
    /// Targets labelled.
    pub n_targets: u64,
    /// Positions that the teacher ran over, padding included.
    pub n_positions: u64,
    /// Teachers that ran in parallel.
    pub n_workers: usize,
    /// Wall-clock time from beginning to end.
    pub wall: Duration,
}

/// The counters behind a profile, shared by all threads of a run.
#[derive(Debug)]
pub(super) struct Clock {
    nanoseconds: [AtomicU64; PipelineStage::ALL.len()],
    n_positions: AtomicU64,
    started: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            nanoseconds: Default::default(),
            n_positions: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// Runs `work`, and adds its time to `stage`.
    pub(super) fn time<R>(&self, stage: PipelineStage, work: impl FnOnce() -> R) -> R {
        let started = Instant::now();
        let result = work();
        self.add(stage, started.elapsed());
        result
    }

    pub(super) fn add(&self, stage: PipelineStage, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds[stage as usize].fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Counts the positions of a batch that the teacher ran over.
    pub(super) fn ran(&self, n_positions: usize) {
        self.n_positions
            .fetch_add(n_positions as u64, Ordering::Relaxed);
    }

    pub(super) fn profile(&self, n_targets: u64, n_workers: usize) -> Profile {
        let time = |stage: PipelineStage| {
            let nanoseconds = &self.nanoseconds[stage as usize];
            (
                stage,
                Duration::from_nanos(nanoseconds.load(Ordering::Relaxed)),
            )
        };
        Profile {
            stages: PipelineStage::ALL.map(time).to_vec(),
            n_targets,
            n_positions: self.n_positions.load(Ordering::Relaxed),
            n_workers,
            wall: self.started.elapsed(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_counted_separately() {
        let clock = Clock::start();
        for (i, stage) in PipelineStage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, i);
            clock.add(stage, Duration::from_secs(i as u64));
        }
        clock.add(PipelineStage::Teacher, Duration::from_secs(10));
        assert_eq!(clock.time(PipelineStage::Assembly, || 7), 7);
        let profile = clock.profile(5, 1);
        assert_eq!(
            profile.stages[2],
            (PipelineStage::Teacher, Duration::from_secs(12))
        );
        assert!(profile.stages[4].1 >= Duration::from_secs(4));
        assert_eq!(
            profile.stages[7],
            (PipelineStage::Publishing, Duration::from_secs(7))
        );
    }
}
