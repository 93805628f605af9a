//! Everything that is computed in one pass over a label set.

use crate::bounds::{BoundsError, TeacherCollector, TeacherFigures};
use crate::shards::{LabelSet, Row};
use crate::view::error::ViewError;
use crate::view::set::{SetStats, collect_stats};

/// Statistics of `set`, with histograms of at most `n_bars` bars, and figures of its teacher over its `k` top
/// ids, by default all that are stored. `on_targets` is called with the number of positions read so far.
///
/// # Errors
/// A damaged shard; a set without a finished shard or without an NLL; a `k` that is not stored.
pub fn collect_labels(
    set: &LabelSet,
    k: Option<u32>,
    n_bars: usize,
    mut on_targets: impl FnMut(u64),
) -> Result<(SetStats, TeacherFigures), ViewError> {
    let mut collector = TeacherCollector::new(set, k)?;
    let mut n_done = 0;
    let stats = collect_stats(set, n_bars, |rows: &[Row]| {
        for row in rows {
            collector.add(row);
            n_done += u64::from(row.n_targets);
        }
        on_targets(n_done);
    })?;
    let teacher = collector
        .finish()
        .ok_or_else(|| BoundsError::NothingFinished {
            dir: set.dir.clone(),
        })?;
    Ok((stats, teacher))
}
