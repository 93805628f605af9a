//! What an experiment found: `results.json`, plain numbers that a report is drawn from.

use serde::{Deserialize, Deserializer, Serialize};
use std::path::PathBuf;

/// Version of the format of [`Results`].
pub const RESULTS_VERSION: u32 = 1;

/// All cells of a grid of arms and seeds, those that are finished.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Results {
    /// [`RESULTS_VERSION`].
    pub format_version: u32,
    /// What it is called.
    pub name: String,
    /// Program and version that wrote this.
    pub created_by: String,
    /// Optimizer steps of a whole run.
    pub n_steps: u64,
    /// Positions a step.
    pub tokens_per_step: u64,
    /// Parameters of the trained model.
    pub n_params: u64,
    /// Name of the arm that the others are compared with.
    pub baseline: String,
    /// Seeds of the grid, whether all are done or not.
    pub seeds: Vec<u64>,
    /// What models are evaluated on; the first is in-domain, and what "reaches the baseline" is about.
    pub sets: Vec<EvalSet>,
    /// The arms, in the order of the configuration.
    pub arms: Vec<ArmResults>,
    /// What the teacher cost before any label: its own training.
    pub teacher: Option<TeacherCost>,
}

/// Text held out, with the teacher's labels.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalSet {
    /// Its name.
    pub name: String,
    /// Positions.
    pub n_targets: u64,
    /// The teacher's mean NLL over them, nats; null if there are no labels of it.
    pub teacher_nll: Option<f64>,
    /// Borders of the buckets: the teacher's NLL of a position, nats, between easy and medium and
    /// between medium and hard. Empty without labels.
    pub bucket_borders: Vec<f64>,
}

/// One way to train, over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ArmResults {
    /// Its name.
    pub name: String,
    /// What it sets, `key=value`.
    pub settings: Vec<String>,
    /// Positions that had to be labelled with `topk` or `samples` for it, and that had to be scored.
    pub n_labelled_tokens: u64,
    /// Bytes of labels a token, on disk: the compressed columns of the group that its loss reads, `topk`
    /// or `samples`; null where it learns from none.
    pub label_bytes_per_token: Option<f64>,
    /// Floating point operations that scoring and labelling cost the teacher: 2 a parameter and token;
    /// NaN, in JSON null, where the teacher is not known.
    #[serde(deserialize_with = "nan_if_null")]
    pub label_flops: f64,
    /// Seconds that labelling took: at `teacher.label_tokens_per_s`, or where that is not given at the
    /// pace of the teacher's own training; null where neither is known.
    pub label_seconds: Option<f64>,
    /// What the teacher of its labels cost before any label; null where that is the results' `teacher`.
    #[serde(default)]
    pub teacher: Option<TeacherCost>,
    /// One a seed that is done, or under way.
    pub runs: Vec<RunResults>,
}

/// One run with its decay branches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResults {
    /// Its seed.
    pub seed: u64,
    /// Directory of the whole run, relative to the experiment's; its `metrics.jsonl` has the curves.
    pub dir: PathBuf,
    /// First step of stage 2, counted from 1; null where there is none.
    pub stage_2_step: Option<u64>,
    /// Decayed models, by rising share; the last is that of the whole run.
    pub branches: Vec<BranchResults>,
    /// Models as they were validated on the way, which have not decayed, by rising share; only of runs that no grid
    /// made, whose one set is their validation text.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validations: Vec<BranchResults>,
}

/// A model after its learning rate has decayed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BranchResults {
    /// Fraction of the steps of a whole run, from 0 to 1.
    pub share: f64,
    /// Steps, those of the decay included.
    pub n_steps: u64,
    /// Positions learnt from.
    pub n_tokens: u64,
    /// Seconds of all its steps, those before the branch included.
    pub seconds: f64,
    /// Floating point operations of training, 6 a parameter and token: those before the branch included.
    pub flops: f64,
    /// Positions that had to be scored for it, and those of the labels that its steps read; null in
    /// results of versions that did not count them.
    #[serde(default)]
    pub n_labelled_tokens: Option<u64>,
    /// One a set, in the order of [`Results::sets`].
    pub scores: Vec<SetScore>,
}

/// A model on one set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SetScore {
    /// Mean NLL, nats per token.
    pub nll: f64,
    /// Fraction of positions whose target is the model's best id; NaN, in JSON null, where it was not measured.
    #[serde(deserialize_with = "nan_if_null")]
    pub accuracy: f64,
    /// Expected calibration error of the best id's probability: 15 bins of equal width; NaN likewise.
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
    /// Mean NLL of the model, nats; NaN, in JSON null, without positions.
    #[serde(deserialize_with = "nan_if_null")]
    pub nll: f64,
    /// Mean NLL of the teacher, nats; NaN without positions, and where it gave a target no probability
    /// at all.
    #[serde(deserialize_with = "nan_if_null")]
    pub teacher_nll: f64,
}

/// What the teacher's own training cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TeacherCost {
    /// Parameters.
    pub n_params: u64,
    /// Positions that it was trained on.
    pub n_tokens: u64,
    /// Floating point operations of it.
    pub flops: f64,
    /// Seconds of it; null where not known.
    pub seconds: Option<f64>,
}

fn nan_if_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or(f64::NAN))
}
