//! cos and sin by position, as f32 tables computed in f64.

use super::spec::{Frequencies, FrequencySet, RotaryTable};

/// Tables of cos and sin, `[n_rows, n_rotated / 2]` each.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CosSin {
    pub(super) n_rows: usize,
    pub(super) cos: Vec<f32>,
    pub(super) sin: Vec<f32>,
}

/// Tables for positions 0 to `max_positions` - 1. If the frequencies depend on the length, rows of the short set
/// come first, up to the longest T that uses it, then those of the long set. `None` for frequencies that are
/// computed when the graph runs.
pub(super) fn cos_sin(table: &RotaryTable, max_positions: usize) -> Option<CosSin> {
    match &table.frequencies {
        Frequencies::Fixed(set) => Some(of_sets(&[(set, max_positions)])),
        Frequencies::ByLength {
            n_short,
            short,
            long,
        } => {
            // No T is longer than `max_positions`, so the long set is not needed.
            if *n_short >= max_positions {
                return Some(of_sets(&[(short, max_positions)]));
            }
            Some(of_sets(&[(short, *n_short), (long, max_positions)]))
        }
        Frequencies::Dynamic { .. } => None,
    }
}

fn of_sets(sets: &[(&FrequencySet, usize)]) -> CosSin {
    CosSin {
        n_rows: sets.iter().map(|(_, n)| n).sum(),
        cos: waves(sets, f64::cos),
        sin: waves(sets, f64::sin),
    }
}

fn waves(sets: &[(&FrequencySet, usize)], wave: fn(f64) -> f64) -> Vec<f32> {
    let mut values = Vec::new();
    for (set, n_rows) in sets {
        for position in 0..*n_rows {
            let value = |freq: &f64| (wave(position as f64 * freq) * set.attention_scaling) as f32;
            values.extend(set.inv_freq.iter().map(value));
        }
    }
    values
}
