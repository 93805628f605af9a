//! Defaults that depend on other keys. What is left open is filled in by these alone, in the
//! resolved configuration and wherever an unresolved one is asked.

use super::run::{
    DataConfig, KdConfig, LogConfig, LrShape, ModelConfig, ScheduleConfig, TrainConfig,
};
use crate::threads::default_threads;
use crate::train::batch::KdLoss;
use crate::train::loss::{Gate, Joining};

/// Base of the rotary angles.
const DEFAULT_ROPE_THETA: f64 = 10_000.0;
/// Epsilon of RMSNorm.
const DEFAULT_NORM_EPS: f64 = 1e-5;
/// Row groups that are shuffled together.
const DEFAULT_SHUFFLE_ROW_GROUPS: usize = 8;
/// Steps read ahead; speed and memory only.
const DEFAULT_PREFETCH: usize = 4;
/// Steps of warm-up where a tenth of all are more.
const MAX_DEFAULT_WARMUP_STEPS: u64 = 100;
/// Fraction of positions that the gate `entropy` closes: as published, where it repairs copying from the
/// context.
const DEFAULT_GATE_FRACTION: f64 = 0.15;
/// Fraction of positions that the gate `excess` cuts: Rho-1 keeps 60% in its smaller model.
const DEFAULT_CUT_FRACTION: f64 = 0.4;
/// Steps over which `auto` averages.
const DEFAULT_RUNNING_STEPS: u64 = 50;
/// Boundaries between easy, medium and hard positions, nats: the same for all labels, so that runs can be
/// laid beside each other. Terciles of a 4M-parameter model with V = 8192 on books are 2.2 and 4.8.
const DEFAULT_BUCKET_BORDERS: [f64; 2] = [2.0, 5.0];

impl ModelConfig {
    /// Key and value heads.
    pub fn n_kv_heads(&self) -> usize {
        self.n_kv_heads.unwrap_or(self.n_heads)
    }

    /// Width of a head; 0 where there are no heads.
    pub fn head_dim(&self) -> usize {
        let share = self.d_model.checked_div(self.n_heads).unwrap_or(0);
        self.head_dim.unwrap_or(share)
    }

    /// Base of the rotary angles.
    pub fn rope_theta(&self) -> f64 {
        self.rope_theta.unwrap_or(DEFAULT_ROPE_THETA)
    }

    /// Epsilon of RMSNorm.
    pub fn norm_eps(&self) -> f64 {
        self.norm_eps.unwrap_or(DEFAULT_NORM_EPS)
    }
}

impl DataConfig {
    /// Times that labelled sequences may be seen.
    pub fn label_epochs(&self) -> u32 {
        self.label_epochs.unwrap_or(1)
    }

    /// Times that sequences of `tokens` may be seen.
    pub fn token_epochs(&self) -> u32 {
        self.token_epochs.unwrap_or(1)
    }

    /// Row groups that are shuffled together.
    pub fn shuffle_row_groups(&self) -> usize {
        self.shuffle_row_groups
            .unwrap_or(DEFAULT_SHUFFLE_ROW_GROUPS)
    }

    /// Steps that are read ahead.
    pub fn prefetch(&self) -> usize {
        self.prefetch.unwrap_or(DEFAULT_PREFETCH)
    }
}

impl TrainConfig {
    /// Sequences a forward and backward pass.
    pub fn micro_batch_size(&self) -> usize {
        self.micro_batch_size.unwrap_or(self.batch_size)
    }

    /// Threads.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or_else(default_threads)
    }
}

impl ScheduleConfig {
    /// Where the learning rate ends; `lr` itself for `constant`.
    pub fn min_lr(&self) -> f64 {
        self.min_lr.unwrap_or(match self.shape {
            LrShape::Constant => self.lr,
            LrShape::Linear | LrShape::Cosine => self.lr / 10.0,
            LrShape::Wsd => 0.0,
        })
    }

    /// Steps in which it rises, in a run of `steps`: a tenth, and no more than 100.
    pub fn warmup_steps(&self, steps: u64) -> u64 {
        self.warmup_steps
            .unwrap_or(MAX_DEFAULT_WARMUP_STEPS.min(steps / 10))
    }

    /// Steps of the fall of `wsd` in a run of `steps`: a fifth, and at least one, but none of the
    /// warm-up's.
    pub fn decay_steps(&self, steps: u64) -> u64 {
        let after_warmup = steps.saturating_sub(self.warmup_steps(steps));
        let fifth = (steps / 5).max(1).min(after_warmup);
        self.decay_steps.unwrap_or(fifth)
    }
}

impl LogConfig {
    /// The teacher's NLL that easy positions have at most, and that medium ones have at most, nats.
    pub fn bucket_borders(&self) -> [f64; 2] {
        self.bucket_borders.unwrap_or(DEFAULT_BUCKET_BORDERS)
    }
}

impl KdConfig {
    /// The loss, of labels that hold draws or do not: unbiased where it can be had.
    pub fn loss(&self, has_samples: bool) -> KdLoss {
        self.loss.unwrap_or(match has_samples {
            true => KdLoss::Sampled,
            false => KdLoss::TailBucket,
        })
    }

    /// Fraction of labelled positions at which the gate is closed.
    pub fn gate_fraction(&self) -> f64 {
        self.gate_fraction.unwrap_or(match self.gate {
            Gate::Excess => DEFAULT_CUT_FRACTION,
            _ => DEFAULT_GATE_FRACTION,
        })
    }

    /// Weights of so many teachers, as given.
    pub fn teacher_weights(&self, n_teachers: usize) -> Vec<f64> {
        let given = self.teacher_weights.clone();
        given.unwrap_or_else(|| vec![1.0; n_teachers])
    }

    /// How so many teachers are joined.
    pub fn joining(&self, n_teachers: usize) -> Joining {
        Joining::new(self.teachers, &self.teacher_weights(n_teachers))
    }

    /// `linear`: steps of the fall after `n_kd` steps.
    pub fn decay_steps(&self, n_kd: u64) -> u64 {
        self.decay_steps.unwrap_or((n_kd / 10).max(1))
    }

    /// `auto`: steps of stage 1 at least.
    pub fn min_kd(&self, n_kd: u64) -> u64 {
        self.min_kd.unwrap_or((n_kd / 10).max(1))
    }

    /// `auto`: what the student's running NLL may be above the teacher's, nats.
    pub fn auto_margin(&self) -> f64 {
        self.auto_margin.unwrap_or(0.0)
    }

    /// `auto`: steps over which NLLs are averaged.
    pub fn running_steps(&self) -> u64 {
        self.running_steps.unwrap_or(DEFAULT_RUNNING_STEPS)
    }
}
