//! The results of an experiment, `results.json`: plain numbers from which a report is made.

use serde::{Deserialize, Deserializer, Serialize};
use std::path::PathBuf;

/// Version of the format of [`Results`].
pub const RESULTS_VERSION: u32 = 1;

/// The finished cells of a grid of arms and seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`RESULTS_VERSION`].
    pub format_version: u32,
    /// Name of the experiment.
    pub name: String,
    /// Program and version that wrote this.
    pub created_by: String,
    /// Optimizer steps of a whole run.
    pub n_steps: u64,
    /// Positions per step.
    pub tokens_per_step: u64,
    /// Parameters of the trained model.
    pub n_params: u64,
    /// Name of the arm that the others are compared with.
    pub baseline: String,
    /// Seeds of the grid, whether all are done or not.
    pub seeds: Vec<u64>,
    /// Evaluation sets; the first is in-domain, and is used for "reaches the baseline".
    pub sets: Vec<EvalSet>,
    /// The arms, in the order of the configuration.
    pub arms: Vec<ArmResults>,
    /// Cost of the teacher's own training.
    pub teacher: Option<TeacherCost>,
}

/// Held-out text, perhaps with the teacher's labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalSet {
    /// Its name.
    pub name: String,
    /// Positions.
    pub n_targets: u64,
    /// The teacher's mean NLL over them, nats; null without labels.
    pub teacher_nll: Option<f64>,
    /// Boundaries of the buckets, in the teacher's NLL, nats: between easy and medium, and between medium and
    /// hard. Empty without labels.
    pub bucket_borders: Vec<f64>,
}

/// One way to train, over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmResults {
    /// Its name.
    pub name: String,
    /// Its settings, `key=value`.
    pub settings: Vec<String>,
    /// Positions that had to be labelled with `topk` or `samples`, plus those that had to be scored.
    pub n_labelled_tokens: u64,
    /// Bytes of labels on disk per token: the compressed columns of the group that its loss reads, `topk` or
    /// `samples`; null if it learns from none.
    pub label_bytes_per_token: Option<f64>,
    /// Floating point operations of the teacher for scoring and labelling: 2 per parameter and token; NaN, null
    /// in JSON, if the teacher is unknown.
    #[serde(deserialize_with = "nan_if_null")]
    pub label_flops: f64,
    /// Seconds of labelling: at `teacher.label_tokens_per_s` or, without that, at the pace of the teacher's own
    /// training; null if neither is known.
    pub label_seconds: Option<f64>,
    /// Training cost of the teacher of its labels; null if that is the results' `teacher`.
    #[serde(default)]
    pub teacher: Option<TeacherCost>,
    /// One per seed that is done or in progress.
    pub runs: Vec<RunResults>,
}

/// One run with its decay branches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResults {
    /// Its seed.
    pub seed: u64,
    /// Directory of the whole run, relative to the experiment's; its `metrics.jsonl` has the curves.
    pub dir: PathBuf,
    /// First step of stage 2, counted from 1; null if there is none.
    pub stage_2_step: Option<u64>,
    /// Decayed models, by increasing share; the last is that of the whole run.
    pub branches: Vec<BranchResults>,
    /// Models as validated during training, without decay, by increasing share; only for runs outside a grid, whose
    /// only set is their validation text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<BranchResults>,
}

/// A model after its learning rate has decayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchResults {
    /// Fraction of the steps of a whole run, from 0 to 1.
    pub share: f64,
    /// Steps, including the decay.
    pub n_steps: u64,
    /// Positions trained on.
    pub n_tokens: u64,
    /// Seconds of all its steps, including those before the branch.
    pub seconds: f64,
    /// Floating point operations of training, 6 per parameter and token, including steps before the branch.
    pub flops: f64,
    /// Positions that had to be scored for it, plus those whose labels its steps read; null in results of
    /// versions that did not count them.
    #[serde(default)]
    pub n_labelled_tokens: Option<u64>,
    /// One per set, in the order of [`Results::sets`].
    pub scores: Vec<SetScore>,
}

/// A model on one set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetScore {
    /// Mean NLL, nats per token.
    pub nll: f64,
    /// Fraction of positions whose target is the model's top id; NaN, null in JSON, if not measured.
    #[serde(deserialize_with = "nan_if_null")]
    pub accuracy: f64,
    /// Expected calibration error of the top id's probability, over 15 bins of equal width; NaN likewise.
    #[serde(deserialize_with = "nan_if_null")]
    pub ece: f64,
    /// By the teacher's NLL of the position: easy, medium, hard. Empty without labels.
    pub buckets: Vec<BucketScore>,
}

/// A model on the positions of one bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BucketScore {
    /// Positions.
    pub n_targets: u64,
    /// Mean NLL of the model, nats; NaN, null in JSON, without positions.
    #[serde(deserialize_with = "nan_if_null")]
    pub nll: f64,
    /// Mean NLL of the teacher, nats; NaN without positions, or if it gave a target probability 0.
    #[serde(deserialize_with = "nan_if_null")]
    pub teacher_nll: f64,
}

/// Cost of the teacher's own training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherCost {
    /// Parameters.
    pub n_params: u64,
    /// Positions that it was trained on.
    pub n_tokens: u64,
    /// Floating point operations.
    pub flops: f64,
    /// Seconds; null if unknown.
    pub seconds: Option<f64>,
}

fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
