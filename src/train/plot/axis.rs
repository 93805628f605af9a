//! Ticks, their labels, and units.

use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;

/// What the curves are drawn over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum XAxis {
    /// Optimizer steps.
    #[default]
    Step,
    /// Targets trained on.
    Tokens,
    /// Wall-clock time of training.
    Seconds,
}

/// What an axis counts, and how many of the base unit that is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    pub(crate) name: &'static str,
    pub(crate) size: f64,
}

/// A tick: where, and what it says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: String,
}

impl XAxis {
    /// The unit in which values up to `most` read well.
    pub(crate) fn unit(self, most: f64) -> Unit {
        // Each unit serves from twice its size on, so that ticks are not all below 1.
        let units: &[(&'static str, f64)] = match self {
            Self::Step if most >= 1e5 => &[("thousand steps", 1e3)],
            Self::Step => &[("steps", 1.0)],
            Self::Tokens => &[
                ("billion tokens", 1e9),
                ("million tokens", 1e6),
                ("thousand tokens", 1e3),
                ("tokens", 1.0),
            ],
            Self::Seconds => &[("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0)],
        };
        let fits = units.iter().find(|(_, size)| most >= 2.0 * size);
        let (name, size) = *fits.unwrap_or(&units[units.len() - 1]);
        Unit { name, size }
    }
}

impl Unit {
    /// Least distance of two ticks: what is counted one by one has none between.
    pub(crate) fn least_tick(self) -> f64 {
        if self.size == 1.0 { 1.0 } else { 0.0 }
    }
}

/// About `n` ticks at round numbers within `range`, at least `least_step` apart.
pub(crate) fn ticks(range: &RangeInclusive<f64>, n: usize, least_step: f64) -> Vec<Tick> {
    let (low, high) = (*range.start(), *range.end());
    let step = round_step((high - low) / n as f64).max(least_step);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    let most = low.abs().max(high.abs());
    (first..=last)
        .map(|i| Tick {
            at: i as f64 * step,
            label: label(i as f64 * step, step, most),
        })
        .collect()
}

/// The least of 1, 2 and 5 times a power of ten that is no less than `wanted`, or only a little.
fn round_step(wanted: f64) -> f64 {
    let least = 0.8 * wanted;
    let power = 10f64.powf(least.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|times| times * power >= least * (1.0 - 1e-9));
    times.unwrap_or(10.0) * power
}

/// `value`, a multiple of `step`, with the digits that tell it from its neighbours; small numbers
/// such as learning rates by their power of ten.
fn label(value: f64, step: f64, most: f64) -> String {
    if value.abs() < step / 2.0 {
        return "0".to_owned();
    }
    let power_of = |number: f64| (number.abs() * (1.0 + 1e-9)).log10().floor() as i32;
    if most < 0.01 {
        let digits = (power_of(value) - power_of(step)).max(0) as usize;
        let text = format!("{value:.digits$e}");
        return text.replacen(".0e", "e", 1);
    }
    let digits = (-power_of(step)).max(0) as usize;
    format!("{value:.digits$}")
}
