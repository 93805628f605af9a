//! The progress of a set, from the names, sizes and times in its directory: no shard is opened, so that it is quick for
//! any number of shards and disturbs no task. Whether they are sound is left to `verify`.

use super::ShardsError;
use super::columns::FileKind;
use super::label_set::LabelSet;
use super::manifest::Manifest;
use super::names::{shard_of, shard_of_part};
use super::place::{Entry, entries_in};
use super::plan::Plan;
use super::sidecar::file_kinds;
use schemars::JsonSchema;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

/// Time spans for measuring speed: the first in which enough shards were finished, else the last.
const SPANS: [Duration; 2] = [Duration::from_secs(600), Duration::from_secs(3600)];
/// Shards in a span that are enough for a meaningful speed.
const MIN_SHARDS_FOR_SPEED: usize = 8;

/// Progress of a label set. Targets and bytes are those of finished shards.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SetStatus {
    /// Shards of the plans.
    pub n_shards: u64,
    /// Shards with a sidecar.
    pub n_shards_done: u64,
    /// The others, in ascending order.
    pub missing: Vec<ShardRange>,
    /// Predicted positions of the plans.
    pub n_targets: u64,
    /// Those of the shards that are done: estimated by their rows, and exact at the end.
    pub n_targets_done: u64,
    /// Bytes of their Parquet files.
    pub n_bytes: u64,
    /// Whether the manifest is there and is of these plans.
    pub is_finalized: bool,
    /// The speed of the last minutes, of all tasks together; none if fewer than two shards were finished in the
    /// last hour.
    pub pace: Option<Pace>,
    /// Seconds left at that speed; 0 at the end.
    pub eta_s: Option<f64>,
}

/// Shards from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ShardRange {
    /// The first.
    pub first: u32,
    /// The last.
    pub last: u32,
}

/// A speed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Pace {
    /// Predicted positions per second.
    pub tokens_per_s: f64,
    /// Shards that were finished in the time it was measured over.
    pub n_shards: u64,
    /// That time.
    pub seconds: f64,
}

impl SetStatus {
    /// Whether every shard is done.
    pub fn is_complete(&self) -> bool {
        self.n_shards_done == self.n_shards
    }
}

/// A finished shard.
struct Done {
    ended: Option<SystemTime>,
    n_targets: u64,
}

impl LabelSet {
    /// The progress of this set.
    ///
    /// # Errors
    /// A directory that cannot be listed; a manifest that is damaged.
    pub fn status(&self) -> Result<SetStatus, ShardsError> {
        let done = done_shards(self)?;
        let n_shards = u64::from(self.n_shards());
        let n_shards_done = done.len() as u64;
        let n_targets = self.segments.iter().map(|plan| plan.sequences.n_targets);
        let n_targets = n_targets.fold(0, u64::saturating_add);
        let n_targets_done = self.segments.iter().map(|plan| targets_done(plan, &done));
        let n_targets_done = n_targets_done.fold(0, u64::saturating_add);
        let pace = pace(done.values(), SystemTime::now());
        let n_left = n_targets.saturating_sub(n_targets_done) as f64;
        let eta_s = match n_shards_done == n_shards {
            true => Some(0.0),
            false => pace.map(|pace| n_left / pace.tokens_per_s),
        };
        Ok(SetStatus {
            n_shards,
            n_shards_done,
            missing: gaps(done.keys().copied(), self.n_shards()),
            n_targets,
            n_targets_done,
            n_bytes: bytes_of(self, &done)?,
            is_finalized: n_shards_done == n_shards && has_manifest(self)?,
            pace,
            eta_s,
        })
    }

    /// Shards of all segments that have a sidecar.
    ///
    /// # Errors
    /// A directory that cannot be listed.
    pub fn n_finished(&self) -> Result<u64, ShardsError> {
        let existing = super::label_set::existing_sidecars(&self.dir)?;
        Ok(existing.range(..self.n_shards()).count() as u64)
    }
}

fn done_shards(set: &LabelSet) -> Result<BTreeMap<u32, Done>, ShardsError> {
    let done = |entry: Entry| {
        let shard = shard_of(&entry.name)?;
        let plan = set.segment_of_shard(shard)?;
        let n_targets = plan.targets_of_rows(plan.n_rows(shard));
        let ended = entry.modified;
        Some((shard, Done { ended, n_targets }))
    };
    Ok(entries_in(&set.dir)?.into_iter().filter_map(done).collect())
}

fn targets_done(plan: &Plan, done: &BTreeMap<u32, Done>) -> u64 {
    let shards = done.range(plan.shards());
    plan.targets_of_rows(shards.map(|(&shard, _)| plan.n_rows(shard)).sum())
}

/// Numbers below `n` that are not in `done`, which is increasing.
fn gaps(done: impl Iterator<Item = u32>, n: u32) -> Vec<ShardRange> {
    let mut next = 0;
    let mut gaps = Vec::new();
    for shard in done.chain([n]) {
        if next < shard {
            gaps.push(ShardRange {
                first: next,
                last: shard - 1,
            });
        }
        next = shard.saturating_add(1);
    }
    gaps
}

/// Tokens per second up to `now`. If no shard was finished before the span, the first one in it marks the start: its
/// own tokens were labelled before.
fn pace<'a>(done: impl Iterator<Item = &'a Done>, now: SystemTime) -> Option<Pace> {
    let ended = done.filter_map(|done| Some((done.ended?, done.n_targets)));
    let mut ended: Vec<(SystemTime, u64)> = ended.collect();
    ended.sort_unstable();
    // The clock of a file server may be ahead.
    let now = now.max(ended.last()?.0);
    let since = |span: &Duration| {
        let begin = now.checked_sub(*span).unwrap_or(SystemTime::UNIX_EPOCH);
        ended.partition_point(|(at, _)| *at <= begin)
    };
    let is_enough = |span: &&Duration| ended.len() - since(span) >= MIN_SHARDS_FOR_SPEED;
    let span = SPANS.iter().find(is_enough).unwrap_or(&SPANS[1]);
    let (seconds, counted) = match since(span) {
        0 => (now.duration_since(ended[0].0).ok()?, &ended[1..]),
        first => (*span, &ended[first..]),
    };
    let n_targets: u64 = counted.iter().map(|(_, n_targets)| n_targets).sum();
    let seconds = seconds.as_secs_f64();
    (n_targets > 0 && seconds > 0.0).then(|| Pace {
        tokens_per_s: n_targets as f64 / seconds,
        n_shards: counted.len() as u64,
        seconds,
    })
}

/// Bytes of the Parquet files of finished shards; those of unfinished ones do not belong to the set yet.
fn bytes_of(set: &LabelSet, done: &BTreeMap<u32, Done>) -> Result<u64, ShardsError> {
    let has = |kind: FileKind| {
        let mut kinds = set.segments.iter().flat_map(file_kinds);
        kinds.any(|known| known == kind)
    };
    let mut n_bytes = 0u64;
    for kind in FileKind::ALL.into_iter().filter(|&kind| has(kind)) {
        let entries = entries_in(&set.dir.join(kind.dir()))?;
        let of_done = entries.into_iter().filter(|entry| {
            shard_of_part(&entry.name).is_some_and(|shard| done.contains_key(&shard))
        });
        n_bytes = of_done.fold(n_bytes, |sum, entry| sum.saturating_add(entry.n_bytes));
    }
    Ok(n_bytes)
}

/// Whether there is a manifest of exactly these plans: a set that was extended has an older one.
fn has_manifest(set: &LabelSet) -> Result<bool, ShardsError> {
    let fingerprints = set.segments.iter().map(Plan::fingerprint);
    let known = Manifest::read_fingerprints(&set.dir)?;
    Ok(known.is_some_and(|known| known.into_iter().eq(fingerprints)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    /// The pace of shards of 100 targets finished at these seconds.
    fn pace_of(ended: &[u64], now: u64) -> Option<Pace> {
        let done = |&seconds: &u64| Done {
            ended: Some(at(seconds)),
            n_targets: 100,
        };
        let done: Vec<Done> = ended.iter().map(done).collect();
        pace(done.iter(), at(now))
    }

    #[test]
    fn gaps_are_the_unfinished_shards() {
        let gaps_of = |done: &[u32], n| {
            let gaps = gaps(done.iter().copied(), n);
            gaps.iter()
                .map(|gap| (gap.first, gap.last))
                .collect::<Vec<_>>()
        };
        assert_eq!(gaps_of(&[], 3), [(0, 2)]);
        assert_eq!(gaps_of(&[0, 1, 2], 3), []);
        assert_eq!(gaps_of(&[1, 2, 5], 8), [(0, 0), (3, 4), (6, 7)]);
        assert_eq!(gaps_of(&[], u32::MAX), [(0, u32::MAX - 1)]);
        assert_eq!(gaps_of(&[], 0), []);
    }

    #[test]
    fn a_speed_is_that_of_the_last_minutes_and_falls_while_nothing_ends() {
        assert_eq!(pace_of(&[], 1000), None);
        assert_eq!(pace_of(&[1000], 1000), None);
        // The first began earlier: only the later ones were made within the span.
        let pace = pace_of(&[1000, 1100, 1200], 1200).unwrap();
        assert_eq!((pace.tokens_per_s, pace.n_shards), (1.0, 2));
        let later = pace_of(&[1000, 1100, 1200], 1400).unwrap();
        assert_eq!(later.tokens_per_s, 0.5);
        // Eight in ten minutes are enough, and earlier ones do not count.
        let steady: Vec<u64> = (1..=40).map(|i| i * 60).collect();
        let pace = pace_of(&steady, 2400).unwrap();
        assert_eq!((pace.n_shards, pace.seconds), (10, 600.0));
        // Few in ten minutes: those of the last hour count, but not those of the day before.
        let slow: Vec<u64> = [0, 10]
            .into_iter()
            .chain((1..=9).map(|i| 86_400 + i * 300))
            .collect();
        let pace = pace_of(&slow, 86_400 + 2700).unwrap();
        assert_eq!((pace.n_shards, pace.seconds), (9, 3600.0));
        assert_eq!(pace_of(&[0, 10], 86_400), None);
    }

    #[test]
    fn a_clock_that_is_behind_gives_no_speed_from_the_future() {
        let pace = pace_of(&[1000, 1100], 900).unwrap();
        assert_eq!((pace.tokens_per_s, pace.seconds), (1.0, 100.0));
    }
}
