//! Which stage a step belongs to: where its sequences come from, and omega.

use super::auto::AutoTransition;
use crate::train::config::{Mode, RunConfig, TransitionKind};
use crate::train::loss::Gate;
use serde::{Deserialize, Serialize};

/// Where sequences come from. Serialized as 1 or 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
pub enum Stage {
    /// Labelled sequences, whether or not their labels are used.
    One,
    /// The token corpus.
    Two,
}

impl From<Stage> for u8 {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::One => 1,
            Stage::Two => 2,
        }
    }
}

impl TryFrom<u8> for Stage {
    type Error = String;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        match number {
            1 => Ok(Stage::One),
            2 => Ok(Stage::Two),
            _ => Err(format!("expected stage 1 or 2, got {number}")),
        }
    }
}

/// The plan for a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepPlan {
    /// Where its sequences come from.
    pub stage: Stage,
    /// Fraction of KD in its loss, from 0 to 1.
    pub omega: f64,
    /// Its learning rate as a multiple of the schedule's.
    pub lr_factor: f64,
}

/// The stages of a run.
///
/// | mode | stage 1, labelled sequences | stage 2, token corpus |
/// | --- | --- | --- |
/// | `baseline` | none, or CE on the same sequences as `salt` where labels are given | CE |
/// | `rkd` | KD to the end | none |
/// | `salt`, `salt-ds` | KD | CE |
/// | `ds-ce` | CE | CE |
#[derive(Debug, Clone, PartialEq)]
pub struct StagePlan {
    /// Steps of stage 1 with the full omega; with `auto`, the maximum.
    n_full: u64,
    /// Steps of stage 1 after those, during which omega falls.
    n_falling: u64,
    /// omega of stage 1; 0 if labels are not used.
    omega: f64,
    /// Learning rate at the full omega as a multiple of the schedule's; 1 if labels are not used.
    lr_factor: f64,
    /// Whether labels decide in stage 1 which positions count in the loss: the gate `excess`.
    is_cut: bool,
    /// Steps of the run.
    steps: u64,
    /// The `auto` transition before its first step.
    auto: Option<AutoTransition>,
}

impl StagePlan {
    /// The stages of a valid configuration.
    pub fn of(config: &RunConfig) -> Self {
        let (kd, steps) = (&config.kd, config.train.steps);
        let reads_labels = kd.mode != Mode::Baseline || config.data.labels.is_some();
        let n_full = match (reads_labels, kd.n_kd) {
            (false, _) => 0,
            (true, Some(n_kd)) => n_kd,
            // `rkd`, and a baseline that reads the same sequences.
            (true, None) => steps,
        };
        let has_end = reads_labels && kd.n_kd.is_some();
        let is_linear = has_end && kd.transition == TransitionKind::Linear;
        let is_auto = has_end && kd.transition == TransitionKind::Auto;
        let learns = matches!(kd.mode, Mode::Rkd | Mode::Salt | Mode::SaltDs);
        Self {
            n_full,
            n_falling: if is_linear { kd.decay_steps(n_full) } else { 0 },
            omega: if learns { kd.omega } else { 0.0 },
            lr_factor: if learns && kd.omega > 0.0 {
                kd.lr_factor
            } else {
                1.0
            },
            is_cut: learns && kd.gate == Gate::Excess,
            steps,
            auto: is_auto
                .then(|| AutoTransition::new(kd.min_kd(n_full), n_full, kd.running_steps()))
                .map(|auto| auto.with_margin(kd.auto_margin())),
        }
    }

    /// The plan for `step`, from 0. `auto` is the state from [`StagePlan::auto_transition`] after observing
    /// each step of stage 1 so far; the other transitions ignore it. Without a state, an `auto` run is assumed
    /// to use its maximum of stage 1.
    pub fn at(&self, step: u64, auto: Option<&AutoTransition>) -> StepPlan {
        let has_ended = match (&self.auto, auto) {
            (Some(_), Some(state)) => state.has_ended(step),
            _ => step >= self.n_full + self.n_falling,
        };
        if has_ended {
            return StepPlan {
                stage: Stage::Two,
                omega: 0.0,
                lr_factor: 1.0,
            };
        }
        let share = self.share_of_omega(step);
        StepPlan {
            stage: Stage::One,
            omega: self.omega * share,
            // Exactly 1 if the factor is.
            lr_factor: 1.0 + (self.lr_factor - 1.0) * share,
        }
    }

    /// 1 up to step `n_full - 1`, 0 at step `n_full + n_falling`, linear between.
    fn share_of_omega(&self, step: u64) -> f64 {
        let n_fallen = (step + 1).saturating_sub(self.n_full);
        1.0 - n_fallen as f64 / (self.n_falling + 1) as f64
    }

    /// The initial state of an `auto` run; `None` for the other transitions.
    pub fn auto_transition(&self) -> Option<AutoTransition> {
        self.auto.clone()
    }

    /// Maximum steps that read labelled sequences: how many batches the labels must have.
    pub fn max_labelled_steps(&self) -> u64 {
        (self.n_full + self.n_falling).min(self.steps)
    }

    /// Number of steps whose labelled sequences are excluded from the token corpus: the maximum that read
    /// labels. With `auto`, `n_full`, as in the run that a branch belongs to even if the branch ends during
    /// stage 1, so that both read the same corpus.
    pub fn labelled_steps_reserved(&self) -> u64 {
        match self.auto {
            Some(_) => self.n_full,
            None => self.max_labelled_steps(),
        }
    }

    /// Maximum steps that read the token corpus: all after the shortest stage 1.
    pub fn max_token_steps(&self) -> u64 {
        let min_labelled_steps = match &self.auto {
            Some(auto) => auto.min_steps().min(self.steps),
            None => self.max_labelled_steps(),
        };
        self.steps - min_labelled_steps
    }

    /// Whether any step learns from the teacher, or only from the positions that its labels leave.
    pub fn learns_from_labels(&self) -> bool {
        (self.omega > 0.0 || self.is_cut) && self.n_full > 0
    }

    /// Whether this step does so.
    pub fn uses_labels(&self, plan: StepPlan) -> bool {
        plan.omega > 0.0 || (self.is_cut && plan.stage == Stage::One)
    }

    /// Whether any step has KD.
    pub fn has_kd(&self) -> bool {
        self.omega > 0.0 && self.n_full > 0
    }
}
