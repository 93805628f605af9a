//! Axes: units, and ticks at round numbers.

use super::svg::{LABEL_SIZE, width_of};
use std::ops::RangeInclusive;

/// An axis of a panel.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(crate) range: RangeInclusive<f64>,
    pub(crate) unit: Unit,
    /// Whether lines cross the panel at its ticks.
    pub(crate) has_grid: bool,
    /// Replaces the numbers: position, name and arm of each place.
    pub(crate) names: Vec<(f64, String, Option<usize>)>,
}

/// Unit of an axis, and its size in base units.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Unit {
    /// Shown beneath the axis; may be empty.
    pub(crate) name: &'static str,
    /// Shown after each number.
    pub(crate) suffix: &'static str,
    pub(crate) size: f64,
    /// Smallest distance between two ticks: 1 for counts, which have no values between.
    pub(crate) min_tick: f64,
}

/// A tick: position and label.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    pub(crate) at: f64,
    pub(crate) label: String,
}

impl Unit {
    /// Plain numbers.
    pub(crate) fn plain(name: &'static str) -> Self {
        Self {
            name,
            suffix: "",
            size: 1.0,
            min_tick: 0.0,
        }
    }

    /// Counts, in units of `size`.
    pub(crate) fn counted(name: &'static str, size: f64) -> Self {
        let min_tick = if size == 1.0 { 1.0 } else { 0.0 };
        Self {
            size,
            min_tick,
            ..Self::plain(name)
        }
    }
}

impl Axis {
    /// Numbers in a unit.
    pub(crate) fn of(range: RangeInclusive<f64>, unit: Unit) -> Self {
        Self {
            range,
            unit,
            has_grid: false,
            names: Vec::new(),
        }
    }

    /// Plain numbers over a grid, without a name.
    pub(crate) fn values(range: RangeInclusive<f64>) -> Self {
        Self::of(range, Unit::plain("")).with_grid()
    }

    /// Names, each in the middle of a place of width 1, starting at 0.
    pub(crate) fn names(names: impl Iterator<Item = (String, Option<usize>)>) -> Self {
        let places = (0..).map(|i| f64::from(i) + 0.5);
        let names = places.zip(names).map(|(at, (name, arm))| (at, name, arm));
        let names: Vec<_> = names.collect();
        let end = names.len().max(1) as f64;
        Self {
            names,
            ..Self::of(0.0..=end, Unit::plain(""))
        }
    }

    pub(crate) fn with_grid(self) -> Self {
        Self {
            has_grid: true,
            ..self
        }
    }

    /// Where `value` is: 0 at the start of the axis, 1 at its end.
    pub(super) fn place(&self, value: f64) -> f64 {
        (value - self.range.start()) / (self.range.end() - self.range.start())
    }

    /// About `n` ticks, in values of the axis.
    pub(super) fn ticks(&self, n: usize) -> Vec<Tick> {
        let Unit { size, suffix, .. } = self.unit;
        let in_units = self.range.start() / size..=self.range.end() / size;
        let found = ticks(&in_units, n, self.unit.min_tick).into_iter();
        let found = found.map(|tick| Tick {
            at: tick.at * size,
            label: tick.label.replace('-', "\u{2212}") + suffix,
        });
        found.collect()
    }

    /// Room for the labels at the left of a panel of `width` points.
    pub(super) fn label_room(&self, width: f64) -> f64 {
        let widths = self
            .names
            .iter()
            .map(|(_, name, _)| width_of(name, LABEL_SIZE));
        match self.names.is_empty() {
            true => 52.0,
            false => widths.fold(0.0, f64::max).min(0.4 * width) + 18.0,
        }
    }
}

/// About `n` ticks at round numbers within `range`, at least `min_step` apart.
pub(super) fn ticks(range: &RangeInclusive<f64>, n: usize, min_step: f64) -> Vec<Tick> {
    let (low, high) = (*range.start(), *range.end());
    let step = round_step((high - low) / n as f64).max(min_step);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    let largest = low.abs().max(high.abs());
    (first..=last)
        .map(|i| Tick {
            at: i as f64 * step,
            label: label(i as f64 * step, step, largest),
        })
        .collect()
}

/// The smallest of 1, 2 and 5 times a power of ten that is at least `wanted`, or only a little less.
fn round_step(wanted: f64) -> f64 {
    let lowest = 0.8 * wanted;
    let power = 10f64.powf(lowest.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .find(|times| times * power >= lowest * (1.0 - 1e-9));
    times.unwrap_or(10.0) * power
}

/// `value`, a multiple of `step`, with enough digits to tell it from its neighbours; small numbers, such as
/// learning rates, and large ones are in scientific notation.
fn label(value: f64, step: f64, largest: f64) -> String {
    if value.abs() < step / 2.0 {
        return "0".to_owned();
    }
    let power_of = |number: f64| (number.abs() * (1.0 + 1e-9)).log10().floor() as i32;
    if !(0.01..1e6).contains(&largest) {
        let digits = (power_of(value) - power_of(step)).max(0) as usize;
        let text = format!("{value:.digits$e}");
        return text.replacen(".0e", "e", 1);
    }
    let digits = (-power_of(step)).max(0) as usize;
    format!("{value:.digits$}")
}
