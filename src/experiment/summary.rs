//! Comparisons, as pure functions of [`Results`].
//!
//! Runs are paired by seed: a run of an arm is compared with the baseline's run of the same seed, which began
//! with the same parameters and, if the arm allows it, read the same sequences.

use super::{ArmResults, BranchResults, Results, RunResults, TeacherCost};
use crate::train::metrics::first_at_most;

/// A quantity over seeds.
#[derive(Debug, Clone, PartialEq)]
pub struct OverSeeds {
    /// By seed, in the order of the seeds.
    pub values: Vec<(u64, f64)>,
    /// Mean of the values.
    pub mean: f64,
    /// Sample standard deviation, with n - 1; `None` for a single value.
    pub sd: Option<f64>,
    /// Minimum.
    pub min: f64,
    /// Maximum.
    pub max: f64,
}

impl OverSeeds {
    /// From values by seed; `None` without values.
    pub fn of(values: Vec<(u64, f64)>) -> Option<Self> {
        let n = values.len() as f64;
        let numbers = || values.iter().map(|&(_, value)| value);
        if values.is_empty() {
            return None;
        }
        let mean = numbers().sum::<f64>() / n;
        let squares: f64 = numbers().map(|value| (value - mean).powi(2)).sum();
        Some(Self {
            mean,
            sd: (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt()),
            min: numbers().fold(f64::INFINITY, f64::min),
            max: numbers().fold(f64::NEG_INFINITY, f64::max),
            values,
        })
    }
}

/// Where a curve of decayed models falls to a value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reach {
    /// The first model has already reached it: at this point or earlier.
    AtMost(f64),
    /// At this point, on the line between two models.
    At(f64),
    /// Not even the last model has reached it.
    Never,
}

impl Reach {
    /// The point, or its upper bound.
    pub fn share(self) -> Option<f64> {
        match self {
            Self::AtMost(share) | Self::At(share) => Some(share),
            Self::Never => None,
        }
    }
}

/// Where the curve through `points` (x, NLL), by increasing x, first falls to `target`, with NLL interpolated
/// linearly. A convex curve, as in training, lies below these lines and so falls to `target` a little earlier;
/// the closer the points, the smaller the error. `Never` without points.
pub fn reach(points: &[(f64, f64)], target: f64) -> Reach {
    match points.first() {
        Some(&(x, nll)) if nll <= target => return Reach::AtMost(x),
        _ => {}
    }
    first_at_most(points, target).map_or(Reach::Never, Reach::At)
}

/// The cost that a curve is drawn over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Budget {
    /// Optimizer steps.
    Steps,
    /// Floating point operations of training.
    Flops,
    /// The same, with the teacher's training and labelling.
    FlopsWithTeacher,
    /// Seconds of training.
    Seconds,
    /// The same, with the teacher's training and labelling.
    SecondsWithTeacher,
}

impl Budget {
    /// All, in the order of the tables.
    pub const ALL: [Self; 5] = [
        Self::Steps,
        Self::Flops,
        Self::FlopsWithTeacher,
        Self::Seconds,
        Self::SecondsWithTeacher,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Flops => "training FLOPs",
            Self::FlopsWithTeacher => "FLOPs with teacher and labels",
            Self::Seconds => "seconds",
            Self::SecondsWithTeacher => "seconds with teacher and labels",
        }
    }

    /// The cost of a model of `arm`; `None` if unknown. It includes the labels that its own steps read, and the
    /// full cost of scores and of the teacher's training.
    fn of(
        self,
        branch: &BranchResults,
        arm: &ArmResults,
        teacher: Option<&TeacherCost>,
    ) -> Option<f64> {
        let needs_teacher = arm.n_labelled_tokens > 0;
        let n_read = branch.n_labelled_tokens.unwrap_or(arm.n_labelled_tokens);
        let share_read = n_read as f64 / arm.n_labelled_tokens.max(1) as f64;
        let extra = |cost: fn(&TeacherCost) -> Option<f64>, labels: Option<f64>| match needs_teacher
        {
            true => Some(teacher.and_then(cost)? + share_read * labels?),
            false => Some(0.0),
        };
        let taken = match self {
            Self::Steps => branch.n_steps as f64,
            Self::Flops => branch.flops,
            Self::FlopsWithTeacher => {
                branch.flops + extra(|teacher| Some(teacher.flops), Some(arm.label_flops))?
            }
            Self::Seconds => branch.seconds,
            Self::SecondsWithTeacher => {
                branch.seconds + extra(|teacher| teacher.seconds, arm.label_seconds)?
            }
        };
        Some(taken).filter(|taken| taken.is_finite())
    }
}

/// One arm's [`Reach`] of the baseline's final NLL, one per seed, as fractions of the cost of the baseline's
/// whole run of that seed.
#[derive(Debug, Clone, PartialEq)]
pub struct ArmReach {
    /// By seed; only seeds for which both runs are finished.
    pub by_seed: Vec<(u64, Reach)>,
}

impl ArmReach {
    /// Mean and spread over seeds, if all of them reach it. A seed that reaches it already at the first branch
    /// counts with that branch, so the mean is then an upper bound ([`ArmReach::is_bound`]).
    pub fn spread(&self) -> Option<OverSeeds> {
        let share = |&(seed, reach): &(u64, Reach)| Some((seed, reach.share()?));
        OverSeeds::of(self.by_seed.iter().map(share).collect::<Option<_>>()?)
    }

    /// Whether one of the fractions is only an upper bound.
    pub fn is_bound(&self) -> bool {
        let mut reaches = self.by_seed.iter().map(|&(_, reach)| reach);
        reaches.any(|reach| matches!(reach, Reach::AtMost(_)))
    }
}

impl Results {
    /// Training cost of the teacher of an arm's labels.
    pub fn teacher_of<'a>(&'a self, arm: &'a ArmResults) -> Option<&'a TeacherCost> {
        arm.teacher.as_ref().or(self.teacher.as_ref())
    }

    /// Floating point operations of whole runs, including labels and scores, and the teacher's training if they
    /// needed labels. `None` if unknown.
    pub fn all_flops(&self, arm: &ArmResults) -> Option<OverSeeds> {
        let teacher = self.teacher_of(arm);
        self.over_seeds(arm, 1.0, |_, branch| {
            Budget::FlopsWithTeacher.of(branch, arm, teacher)
        })
    }

    /// Seconds per step of an arm's whole runs, by seed, which reveal other load on the machine. `None` if none
    /// is finished.
    pub fn seconds_per_step(&self, arm: &ArmResults) -> Option<OverSeeds> {
        let whole = arm
            .runs
            .iter()
            .filter_map(|run| Some((run.seed, run.at(1.0)?)));
        let values = whole
            .map(|(seed, branch)| (seed, branch.seconds / branch.n_steps as f64))
            .filter(|(_, seconds)| seconds.is_finite());
        OverSeeds::of(values.collect())
    }
}

impl Results {
    /// The arm of that name.
    pub fn arm(&self, name: &str) -> Option<&ArmResults> {
        self.arms.iter().find(|arm| arm.name == name)
    }

    /// The baseline's run of `seed`, if it is finished.
    fn baseline_run(&self, seed: u64) -> Option<&RunResults> {
        let runs = &self.arm(&self.baseline)?.runs;
        runs.iter().find(|run| run.seed == seed)
    }

    /// `value` of the models of `arm` at `share`, over the seeds in which it was measured.
    fn over_seeds(
        &self,
        arm: &ArmResults,
        share: f64,
        value: impl Fn(&RunResults, &BranchResults) -> Option<f64>,
    ) -> Option<OverSeeds> {
        let of_run = |run: &RunResults| {
            let branch = run.at(share)?;
            let value = value(run, branch).filter(|value| value.is_finite())?;
            Some((run.seed, value))
        };
        OverSeeds::of(arm.runs.iter().filter_map(of_run).collect())
    }

    /// NLL on set `set`, nats per token.
    pub fn nll(&self, arm: &ArmResults, set: usize, share: f64) -> Option<OverSeeds> {
        self.over_seeds(arm, share, |_, branch| Some(branch.scores.get(set)?.nll))
    }

    /// NLL minus that of the baseline's model of the same seed and share, nats per token.
    pub fn nll_difference(&self, arm: &ArmResults, set: usize, share: f64) -> Option<OverSeeds> {
        self.over_seeds(arm, share, |run, branch| {
            let baseline = self.baseline_run(run.seed)?.at(share)?;
            Some(branch.scores.get(set)?.nll - baseline.scores.get(set)?.nll)
        })
    }

    /// Fraction of positions whose top id is the target, for whole runs.
    pub fn accuracy(&self, arm: &ArmResults, set: usize) -> Option<OverSeeds> {
        self.over_seeds(arm, 1.0, |_, branch| Some(branch.scores.get(set)?.accuracy))
    }

    /// Expected calibration error, for whole runs.
    pub fn ece(&self, arm: &ArmResults, set: usize) -> Option<OverSeeds> {
        self.over_seeds(arm, 1.0, |_, branch| Some(branch.scores.get(set)?.ece))
    }

    /// NLL in bucket `bucket` of whole runs.
    pub fn bucket_nll(&self, arm: &ArmResults, set: usize, bucket: usize) -> Option<OverSeeds> {
        self.over_seeds(arm, 1.0, |_, branch| {
            Some(branch.scores.get(set)?.buckets.get(bucket)?.nll)
        })
    }

    /// NLL in bucket `bucket` of whole runs, minus that of the baseline's run of the same seed.
    pub fn bucket_difference(
        &self,
        arm: &ArmResults,
        set: usize,
        bucket: usize,
    ) -> Option<OverSeeds> {
        let of = |branch: &BranchResults| Some(branch.scores.get(set)?.buckets.get(bucket)?.nll);
        self.over_seeds(arm, 1.0, |run, branch| {
            let baseline = self.baseline_run(run.seed)?.at(1.0)?;
            Some(of(branch)? - of(baseline)?)
        })
    }

    /// Fraction of the baseline's `budget` at which `arm` reaches the final NLL of the baseline's run of the
    /// same seed on the first set. `None` without a seed for which both are finished, or if a cost is unknown.
    pub fn reach(&self, arm: &ArmResults, budget: Budget) -> Option<ArmReach> {
        let of_run = |run: &RunResults| {
            let baseline = self.arm(&self.baseline)?;
            let whole = self.baseline_run(run.seed)?.at(1.0)?;
            run.at(1.0)?;
            let unit = budget.of(whole, baseline, self.teacher_of(baseline))?;
            let point = |branch: &BranchResults| {
                let taken = budget.of(branch, arm, self.teacher_of(arm))?;
                Some((taken / unit, branch.scores.first()?.nll))
            };
            let models = match self.is_by_validation() {
                true => &run.validations,
                false => &run.branches,
            };
            let points: Vec<_> = models.iter().map(point).collect::<Option<_>>()?;
            Some((run.seed, reach(&points, whole.scores.first()?.nll)))
        };
        let by_seed: Vec<_> = arm.runs.iter().filter_map(of_run).collect();
        (!by_seed.is_empty()).then_some(ArmReach { by_seed })
    }

    /// Whether models were validated during training instead of decayed, as in results of runs outside a grid.
    pub fn is_by_validation(&self) -> bool {
        let mut runs = self.arms.iter().flat_map(|arm| &arm.runs);
        runs.any(|run| !run.validations.is_empty())
    }

    /// Shares with a model, in increasing order.
    pub fn shares(&self) -> Vec<f64> {
        let runs = self.arms.iter().flat_map(|arm| &arm.runs);
        let mut shares: Vec<f64> = runs
            .flat_map(|run| run.branches.iter().map(|branch| branch.share))
            .collect();
        shares.sort_by(f64::total_cmp);
        shares.dedup();
        shares
    }
}

impl RunResults {
    /// Its model after `share` of the steps.
    pub fn at(&self, share: f64) -> Option<&BranchResults> {
        self.branches.iter().find(|branch| branch.share == share)
    }
}

#[cfg(test)]
mod tests;
