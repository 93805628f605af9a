//! Compares arms with the baseline, seed by seed.

use super::error::ReportError;
use crate::experiment::results::{ArmResults, BranchResults, Results, RunResults};
use crate::experiment::summary::{Budget, OverSeeds, Reach};
use crate::page::percent;

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
    pub(super) sets: Vec<SetModels>,
    /// By seed: when decayed models become as good as the baseline's final model of the same seed, as a
    /// fraction of its steps.
    pub(super) reach: Vec<(u64, Reach)>,
}

/// Final models of one arm on one set.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct SetModels {
    /// NLL, nats per token.
    pub(super) nll: Option<OverSeeds>,
    /// NLL minus that of the baseline of the same seed.
    pub(super) gap: Option<OverSeeds>,
    /// The same by bucket.
    pub(super) bucket_gaps: Vec<Option<OverSeeds>>,
    /// Calibration error.
    pub(super) ece: Option<OverSeeds>,
    /// Accuracy of top ids.
    pub(super) accuracy: Option<OverSeeds>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(results: &'a Results) -> Result<Self, ReportError> {
        let name = results.name.clone();
        if results.arms.iter().all(|arm| arm.runs.is_empty()) {
            return Err(ReportError::Empty { name });
        }
        if results.arm(&results.baseline).is_none() {
            return Err(ReportError::NoBaseline {
                baseline: results.baseline.clone(),
                arms: results.arms.iter().map(|arm| arm.name.clone()).collect(),
            });
        }
        let mut next_slot = 1;
        let arms = results.arms.iter().map(|data| {
            let is_baseline = data.name == results.baseline;
            let slot = if is_baseline { 0 } else { next_slot };
            next_slot += usize::from(!is_baseline);
            arm_of(results, data, slot)
        });
        let arms = arms.collect();
        Ok(Self { results, arms })
    }

    /// The arm that the others are compared with.
    pub(super) fn baseline(&self) -> Option<&Arm<'a>> {
        self.arms.iter().find(|arm| arm.slot == 0)
    }

    /// The arms that are compared with it.
    pub(super) fn others(&self) -> impl Iterator<Item = &Arm<'a>> {
        self.arms.iter().filter(|arm| arm.slot > 0)
    }

    /// Name of the in-domain set.
    pub(super) fn first_set(&self) -> &str {
        let first = self.results.sets.first();
        first.map_or("the held-out text", |set| &set.name)
    }

    /// Whether a spread over seeds can be given.
    pub(super) fn has_spread(&self) -> bool {
        let n_final = |arm: &ArmResults| arm.runs.iter().filter_map(final_of).count();
        self.results.arms.iter().any(|arm| n_final(arm) > 1)
    }

    /// NLL on the first set of the baseline's final model of `seed`.
    pub(super) fn target(&self, seed: u64) -> Option<f64> {
        let mut runs = self.baseline()?.data.runs.iter();
        let run = runs.find(|run| run.seed == seed)?;
        Some(final_of(run)?.scores.first()?.nll)
    }

    /// Whether there are models before the final ones, decayed or validated during training.
    pub(super) fn has_branches(&self) -> bool {
        let mut runs = self.results.arms.iter().flat_map(|arm| &arm.runs);
        runs.any(|run| run.branches.len() > 1 || run.validations.len() > 1)
    }
}

impl Arm<'_> {
    pub(super) fn name(&self) -> &str {
        &self.data.name
    }

    /// Fractions of the steps, over the seeds that become as good as the baseline.
    pub(super) fn shares(&self) -> Option<OverSeeds> {
        shares_of(&self.reach)
    }

    /// NLL of final models on the first set.
    pub(super) fn nll(&self) -> Option<&OverSeeds> {
        self.sets.first()?.nll.as_ref()
    }

    /// The same, minus the baseline's.
    pub(super) fn gap(&self) -> Option<&OverSeeds> {
        self.sets.first()?.gap.as_ref()
    }
}

fn arm_of<'a>(results: &Results, data: &'a ArmResults, slot: usize) -> Arm<'a> {
    let reach = results.reach(data, Budget::Steps);
    Arm {
        data,
        slot,
        sets: (0..results.sets.len())
            .map(|set| on_set(results, data, set))
            .collect(),
        reach: reach.map_or(Vec::new(), |reach| reach.by_seed),
    }
}

fn on_set(results: &Results, data: &ArmResults, set: usize) -> SetModels {
    let scores = data
        .runs
        .iter()
        .filter_map(final_of)
        .filter_map(|branch| branch.scores.get(set));
    let n_buckets = scores.map(|score| score.buckets.len()).max().unwrap_or(0);
    let bucket_gap = |bucket: usize| results.bucket_difference(data, set, bucket);
    SetModels {
        nll: results.nll(data, set, 1.0),
        gap: results.nll_difference(data, set, 1.0),
        bucket_gaps: (0..n_buckets).map(bucket_gap).collect(),
        ece: results.ece(data, set),
        accuracy: results.accuracy(data, set),
    }
}

/// The model of the whole run; `None` while the run is in progress.
pub(super) fn final_of(run: &RunResults) -> Option<&BranchResults> {
    run.at(1.0)
}

/// As text: the mean over the seeds that reach it, with their number if some do not.
pub(super) fn reach_text(by_seed: &[(u64, Reach)]) -> String {
    let Some(found) = shares_of(by_seed) else {
        return "never".to_owned();
    };
    let mut reaches = by_seed.iter().map(|(_, reach)| reach);
    let is_bound = reaches.any(|reach| matches!(reach, Reach::AtMost(_)));
    let sign = if is_bound { "\u{2264}\u{202f}" } else { "" };
    let mean = percent(found.mean);
    match found.values.len() {
        n if n < by_seed.len() => format!("{sign}{mean} ({n} of {})", by_seed.len()),
        _ => format!("{sign}{mean}"),
    }
}

/// The fractions, or upper bounds of them, of the seeds that reach it.
fn shares_of(by_seed: &[(u64, Reach)]) -> Option<OverSeeds> {
    let share = |&(seed, reach): &(u64, Reach)| Some((seed, reach.share()?));
    OverSeeds::of(by_seed.iter().filter_map(share).collect())
}
