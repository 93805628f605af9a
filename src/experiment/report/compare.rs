//! Arms beside the baseline, seed by seed.

use super::error::ReportError;
use super::numbers::Spread;
use crate::experiment::results::{ArmResults, BranchResults, Results, RunResults, SetScore};

/// All arms, in the order of the results.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Comparison<'a> {
    pub(super) results: &'a Results,
    pub(super) arms: Vec<Arm<'a>>,
}

/// One arm over its seeds.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Arm<'a> {
    pub(super) data: &'a ArmResults,
    /// Its colour and mark: 0 is the baseline.
    pub(super) slot: usize,
    /// By set.
    pub(super) sets: Vec<OnSet>,
    /// By seed, the whole runs that both it and the baseline have.
    pub(super) reach: Vec<(u64, Reach)>,
}

/// Final models of one arm on one set.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct OnSet {
    /// Seed and NLL.
    pub(super) finals: Vec<(u64, f64)>,
    /// NLL, nats a token.
    pub(super) nll: Option<Spread>,
    /// NLL less that of the baseline of the same seed.
    pub(super) gap: Option<Spread>,
    /// The same by bucket.
    pub(super) bucket_gaps: Vec<Option<Spread>>,
    /// Calibration error.
    pub(super) ece: Option<Spread>,
    /// Share of right best ids.
    pub(super) accuracy: Option<Spread>,
}

/// When decayed models of a run get as good as the baseline's last one of the same seed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Reach {
    /// At this share of the steps, between two branches.
    At(f64),
    /// The first branch is as good already, so at this share or before.
    Before(f64),
    /// Not within the run.
    Never,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(results: &'a Results) -> Result<Self, ReportError> {
        let name = results.name.clone();
        if results.arms.iter().all(|arm| arm.runs.is_empty()) {
            return Err(ReportError::Empty { name });
        }
        let baseline = results.arms.iter().find(|arm| arm.name == results.baseline);
        let baseline = baseline.ok_or_else(|| ReportError::NoBaseline {
            baseline: results.baseline.clone(),
            arms: results.arms.iter().map(|arm| arm.name.clone()).collect(),
        })?;
        let mut next_slot = 1;
        let arms = results.arms.iter().map(|data| {
            let slot = if data.name == results.baseline {
                0
            } else {
                next_slot
            };
            next_slot += usize::from(slot > 0);
            arm_of(results, data, baseline, slot)
        });
        let arms = arms.collect();
        Ok(Self { results, arms })
    }

    /// The arm that the others are held against.
    pub(super) fn baseline(&self) -> Option<&Arm<'a>> {
        self.arms.iter().find(|arm| arm.slot == 0)
    }

    /// The arms that are held against it.
    pub(super) fn others(&self) -> impl Iterator<Item = &Arm<'a>> {
        self.arms.iter().filter(|arm| arm.slot > 0)
    }

    /// Names of the in-domain set, or of none.
    pub(super) fn first_set(&self) -> &str {
        self.results
            .sets
            .first()
            .map_or("the held-out text", |set| &set.name)
    }

    /// Whether a spread over seeds can be told.
    pub(super) fn has_spread(&self) -> bool {
        self.results.arms.iter().any(|arm| arm.runs.len() > 1)
    }
}

impl Arm<'_> {
    pub(super) fn name(&self) -> &str {
        &self.data.name
    }

    /// NLL of final models on the first set.
    pub(super) fn nll(&self) -> Option<&Spread> {
        self.sets.first()?.nll.as_ref()
    }

    /// The same, less the baseline's.
    pub(super) fn gap(&self) -> Option<&Spread> {
        self.sets.first()?.gap.as_ref()
    }
}

fn arm_of<'a>(
    results: &Results,
    data: &'a ArmResults,
    baseline: &ArmResults,
    slot: usize,
) -> Arm<'a> {
    let sets = (0..results.sets.len())
        .map(|set_idx| on_set(data, baseline, set_idx))
        .collect();
    let reach = data.runs.iter().filter_map(|run| {
        let target = final_of(run_of(baseline, run.seed)?)?.scores.first()?.nll;
        final_of(run)?;
        Some((run.seed, reach(run, target)))
    });
    Arm {
        data,
        slot,
        sets,
        reach: reach.collect(),
    }
}

fn on_set(data: &ArmResults, baseline: &ArmResults, set_idx: usize) -> OnSet {
    let score = |run: &'_ RunResults| final_of(run).and_then(|b| b.scores.get(set_idx).cloned());
    let scores: Vec<(u64, SetScore)> = data
        .runs
        .iter()
        .filter_map(|run| Some((run.seed, score(run)?)))
        .collect();
    let pairs: Vec<(&SetScore, SetScore)> = scores
        .iter()
        .filter_map(|(seed, own)| Some((own, score(run_of(baseline, *seed)?)?)))
        .collect();
    let n_buckets = scores.first().map_or(0, |(_, score)| score.buckets.len());
    let bucket_gap = |i: usize| {
        Spread::of(
            pairs
                .iter()
                .filter_map(|(own, base)| Some(own.buckets.get(i)?.nll - base.buckets.get(i)?.nll)),
        )
    };
    OnSet {
        finals: scores
            .iter()
            .map(|(seed, score)| (*seed, score.nll))
            .collect(),
        nll: Spread::of(scores.iter().map(|(_, score)| score.nll)),
        gap: Spread::of(pairs.iter().map(|(own, base)| own.nll - base.nll)),
        bucket_gaps: (0..n_buckets).map(bucket_gap).collect(),
        ece: Spread::of(scores.iter().map(|(_, score)| score.ece)),
        accuracy: Spread::of(scores.iter().map(|(_, score)| score.accuracy)),
    }
}

fn run_of(arm: &ArmResults, seed: u64) -> Option<&RunResults> {
    arm.runs.iter().find(|run| run.seed == seed)
}

/// The model of the whole run; `None` while the run is under way.
pub(super) fn final_of(run: &RunResults) -> Option<&BranchResults> {
    run.branches.last().filter(|branch| branch.share > 0.999)
}

/// Between branches the NLL is taken as a straight line over the share.
fn reach(run: &RunResults, target: f64) -> Reach {
    let points: Vec<(f64, f64)> = run
        .branches
        .iter()
        .filter_map(|branch| Some((branch.share, branch.scores.first()?.nll)))
        .collect();
    let Some(i) = points.iter().position(|&(_, nll)| nll <= target) else {
        return Reach::Never;
    };
    let (share, nll) = points[i];
    match i.checked_sub(1).map(|before| points[before]) {
        None => Reach::Before(share),
        Some((before, above)) => {
            Reach::At(before + (share - before) * (above - target) / (above - nll))
        }
    }
}
