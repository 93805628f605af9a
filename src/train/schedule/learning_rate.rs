//! The learning rate.

use crate::train::config::{LrShape, ScheduleConfig};
use std::f64::consts::PI;

/// Learning rate of `step`, from 0, in a run of `steps`.
///
/// It rises linearly over `warmup_steps`, the last of which has `lr`, and then falls according to the shape: it
/// is `lr` at the first step of the fall and would be `min_lr` at step `steps`, one past the last, so that no
/// step is wasted on a rate of 0.
pub fn learning_rate(schedule: &ScheduleConfig, steps: u64, step: u64) -> f64 {
    let warmup_steps = schedule.warmup_steps(steps);
    if step < warmup_steps {
        return schedule.lr * ((step + 1) as f64 / warmup_steps as f64);
    }
    let share_left = match schedule.shape {
        LrShape::Constant => 1.0,
        LrShape::Linear => 1.0 - progress(warmup_steps, steps, step),
        LrShape::Cosine => 0.5 * (1.0 + (PI * progress(warmup_steps, steps, step)).cos()),
        LrShape::Wsd => {
            let fall_start = steps.saturating_sub(schedule.decay_steps(steps));
            1.0 - progress(fall_start, steps, step)
        }
    };
    if share_left >= 1.0 {
        return schedule.lr; // exactly, whatever the sum below rounds to
    }
    let min_lr = schedule.min_lr();
    (min_lr + (schedule.lr - min_lr) * share_left).min(schedule.lr)
}

/// Fraction of the way from step `start` to step `end` at `step`, from 0 to 1.
fn progress(start: u64, end: u64, step: u64) -> f64 {
    if step >= end {
        return 1.0;
    }
    if step <= start {
        return 0.0;
    }
    (step - start) as f64 / (end - start) as f64
}
