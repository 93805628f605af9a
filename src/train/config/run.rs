//! The keys of `run.toml`.

use super::label_dirs::LabelDirs;
use crate::tokens::{Dtype, EodPosition, Packing, TokenFormat};
use crate::train::batch::KdLoss;
use crate::train::loss::{Gate, GateExcess, Teachers, TemperatureMode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A training run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Directory of the run, or a URL (s3://, gs://, az://) that it is kept at. Default on the command line:
    /// `--output`.
    pub output: PathBuf,
    /// Dimensions of a new model; left out if `init` names one, and optional with `branch_from`.
    pub model: Option<ModelConfig>,
    /// A Hugging Face Llama directory to start from.
    pub init: Option<PathBuf>,
    /// A checkpoint of another run (RUN/checkpoints/step-N) to continue as if this run had been that
    /// one up to there: weights, moments, position in the data. Everything that affects training must
    /// be configured as it was there, except `train.steps` and the decay of the learning rate
    /// (`schedule.shape`, `min_lr`, `decay_steps`), which must not have begun. This way several runs
    /// can decay from one. If the warm-up is not given, it follows from `train.steps` here: give
    /// `schedule.warmup_steps` in both.
    pub branch_from: Option<PathBuf>,
    /// What is read.
    pub data: DataConfig,
    /// How long and how much.
    pub train: TrainConfig,
    /// Learning rate.
    #[serde(default)]
    pub schedule: ScheduleConfig,
    /// AdamW.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// What is learnt from labels, and when; without this table, nothing (`baseline`).
    #[serde(default)]
    pub kd: KdConfig,
    /// Validation during training.
    #[serde(default)]
    pub eval: EvalConfig,
    /// What is kept.
    #[serde(default)]
    pub checkpoint: CheckpointConfig,
    /// What is logged.
    #[serde(default)]
    pub log: LogConfig,
}

/// Dimensions of a new model. The vocabulary is the tokenizer's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// D.
    pub d_model: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads. Default: `n_heads`.
    pub n_kv_heads: Option<usize>,
    /// Width of a head. Default: `d_model / n_heads`.
    pub head_dim: Option<usize>,
    /// Width inside the feed-forward block.
    pub d_ff: usize,
    /// Longest sequence. Default: the sequence length of the run.
    #[schemars(extend("unit" = "tokens"))]
    pub max_seq_len: Option<usize>,
    /// Base of the rotary angles. Default: 10000.
    pub rope_theta: Option<f64>,
    /// Epsilon of RMSNorm. Default: 1e-5.
    pub norm_eps: Option<f64>,
    /// Use the embedding as the head. Default: false.
    #[serde(default)]
    pub tie_embeddings: bool,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Token corpus for ordinary training: all steps of `baseline`, the last stage of the other
    /// modes; `rkd` has none.
    pub tokens: Option<PathBuf>,
    /// Format of the token files, if name and contents do not show it.
    pub tokens_format: Option<TokenFormat>,
    /// Type of the ids in token files without a header. Default: u16, unless the bytes look wider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// Id between documents of raw token files.
    pub eod: Option<u32>,
    /// Position of that id: `front` or `back` of each document. Default: inferred from the two ends
    /// of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eod_position: Option<EodPosition>,
    /// Label directory of `saltworks label`. A `baseline` with labels reads the same sequences in the same
    /// order as the other modes, but learns only from their tokens. A list of up to 8 directories has
    /// labels of the same sequences, each by another teacher (`kd.teachers`); the first determines order
    /// and selection.
    pub labels: Option<LabelDirs>,
    /// Selection (Parquet: `seq_id`, `kept`): only kept sequences of the labels are used.
    pub selection: Option<PathBuf>,
    /// Token corpus held out for validation.
    pub validation: Option<PathBuf>,
    /// tokenizer.json; copied into exported models.
    pub tokenizer: Option<PathBuf>,
    /// Sequence length T. Default: the labels'.
    #[schemars(extend("unit" = "tokens"), range(min = 1))]
    pub seq_len: Option<u32>,
    /// How documents become sequences. Default: the labels', else `concat`.
    pub packing: Option<Packing>,
    /// Id in front of every sequence. Default: the labels', else none.
    pub sequence_bos: Option<u32>,
    /// Do not train on targets that are the first token of another document. Default: false.
    #[serde(default)]
    pub mask_document_borders: bool,
    /// How often each labelled sequence may be seen. Default: 1.
    #[schemars(range(min = 1))]
    pub label_epochs: Option<u32>,
    /// How often each sequence of `tokens` may be seen. Default: 1.
    #[schemars(range(min = 1))]
    pub token_epochs: Option<u32>,
    /// Row groups that are shuffled together. Default: 8. It affects the order and so changes the
    /// run.
    #[schemars(range(min = 1))]
    pub shuffle_row_groups: Option<usize>,
    /// Steps to read ahead, from 1 to 1024. Default: 4. Changes only speed and memory.
    #[schemars(range(min = 1, max = 1024))]
    pub prefetch: Option<usize>,
}

/// How long and how much.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Optimizer steps.
    #[schemars(extend("unit" = "steps"), range(min = 1))]
    pub steps: u64,
    /// Sequences per step.
    #[schemars(extend("unit" = "sequences"), range(min = 1))]
    pub batch_size: usize,
    /// Sequences per forward and backward pass; divides `batch_size`. Default: all at once.
    #[schemars(extend("unit" = "sequences"))]
    pub micro_batch_size: Option<usize>,
    /// Seed of the initial parameters and the order. Default: 0.
    #[serde(default)]
    pub seed: u64,
    /// Threads, at most 256. Default: all cores. The same number gives bit-identical results.
    #[schemars(range(min = 1))]
    pub threads: Option<usize>,
    /// Keep only the input of each block and recompute the rest. Default: false.
    #[serde(default)]
    pub recompute: bool,
    /// Maximum memory for model, optimizer and activations, bytes. Default: 90% of what is free.
    #[schemars(extend("unit" = "bytes"), range(min = 1))]
    pub memory_limit: Option<u64>,
}

/// Shape of the learning rate after warm-up.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum LrShape {
    /// Stays constant.
    Constant,
    /// Falls linearly to `min_lr`.
    Linear,
    /// Falls in half a cosine to `min_lr`.
    Cosine,
    /// Warm-up, stable, decay: stays constant, then falls linearly over the last `decay_steps`.
    Wsd,
}

/// Learning rate as a pure function of the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Maximum learning rate.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub lr: f64,
    /// Final learning rate. Default: a tenth of `lr` for `cosine` and `linear`, 0 for `wsd`.
    pub min_lr: Option<f64>,
    /// Shape.
    pub shape: LrShape,
    /// Steps over which it rises linearly from 0. Default: a tenth of all, at most 100.
    #[schemars(extend("unit" = "steps"))]
    pub warmup_steps: Option<u64>,
    /// Steps of the decay of `wsd`, at least 1. Default: a fifth of all.
    #[schemars(extend("unit" = "steps"), range(min = 1))]
    pub decay_steps: Option<u64>,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self {
            lr: 1e-3,
            min_lr: None,
            shape: LrShape::Cosine,
            warmup_steps: None,
            decay_steps: None,
        }
    }
}

/// AdamW with decoupled weight decay, of matrices only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Decay of the first moment.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta1: f32,
    /// Decay of the second moment.
    #[schemars(range(min = 0), extend("exclusiveMaximum" = 1))]
    pub beta2: f32,
    /// Added to the root of the second moment.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub eps: f32,
    /// Decoupled weight decay.
    #[schemars(range(min = 0))]
    pub weight_decay: f32,
    /// Maximum norm of all gradients together; 0 does not clip.
    #[schemars(range(min = 0))]
    pub grad_clip: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.95,
            eps: 1e-8,
            weight_decay: 0.1,
            grad_clip: 1.0,
        }
    }
}

/// How the teacher is used.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Cross-entropy only.
    Baseline,
    /// KD to the end (reverse knowledge distillation: the teacher is the smaller one).
    Rkd,
    /// KD first, then cross-entropy.
    Salt,
    /// KD on selected sequences first, then cross-entropy.
    SaltDs,
    /// Cross-entropy on selected sequences first, then on the rest: the control of `salt-ds`.
    DsCe,
}

/// How stage 1 ends.
#[derive(
    Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum TransitionKind {
    /// Abruptly, after `n_kd` steps.
    #[default]
    Step,
    /// omega falls linearly over `decay_steps` after `n_kd` steps.
    Linear,
    /// When the student's running NLL on labelled positions has fallen to the teacher's, between
    /// `min_kd` and `n_kd` steps.
    Auto,
}

/// What is learnt from labels, and when. Only `mode` is required, since the other keys would be
/// silently ignored under a default of `baseline`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KdConfig {
    /// How the teacher is used.
    pub mode: Mode,
    /// The loss. Default: `sampled` if the labels have samples, else `tail-bucket`.
    pub loss: Option<KdLoss>,
    /// Fraction of KD in the loss, from 0 to 1. Default: 0.5; if the teacher is the better model
    /// throughout, 0.9 was better in every measurement of this project.
    #[serde(default = "default_omega")]
    #[schemars(range(min = 0, max = 1))]
    pub omega: f64,
    /// The learning rate of steps that learn from the teacher, as a multiple of the schedule's. While omega
    /// falls (`linear`), it falls to the schedule's too. Default: 1. Gradients from soft labels are less
    /// noisy and can bear a higher rate; try 2.
    #[serde(default = "default_lr_factor")]
    #[schemars(range(min = 0.01, max = 100))]
    pub lr_factor: f64,
    /// Temperature. With `sampled` it must be that of the samples; with the other losses 1, or a
    /// temperature that the labels have.
    #[serde(default = "default_tau")]
    #[schemars(range(min = 0.01, max = 100))]
    pub tau: f64,
    /// Which distributions the temperature applies to.
    #[serde(default)]
    pub temperature_mode: TemperatureMode,
    /// Which positions learn from the teacher.
    #[serde(default)]
    pub gate: Gate,
    /// k of the gate `learnable`.
    #[serde(default = "default_gate_k")]
    #[schemars(range(min = 1))]
    pub gate_k: u32,
    /// Fraction of labelled positions at which a gate is closed: with `entropy`, those of each step
    /// where the teacher's entropy is lowest; with `excess`, about this fraction, where the student's
    /// NLL exceeds the teacher's least. Default: 0.15; 0.4 for `excess`.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub gate_fraction: Option<f64>,
    /// What the gate `excess` does.
    #[serde(default)]
    pub gate_excess: GateExcess,
    /// How several teachers are combined, if `data.labels` is a list.
    #[serde(default)]
    pub teachers: Teachers,
    /// `mix`: weight of each of `data.labels`; only their ratios matter. Default: equal weights.
    #[schemars(inner(range(min = 0)))]
    pub teacher_weights: Option<Vec<f64>>,
    /// How stage 1 ends.
    #[serde(default)]
    pub transition: TransitionKind,
    /// Steps of stage 1: exactly (`step`), before omega falls (`linear`), or at most (`auto`).
    #[schemars(extend("unit" = "steps"))]
    pub n_kd: Option<u64>,
    /// `auto`: minimum number of steps of stage 1. Default: a tenth of `n_kd`.
    #[schemars(extend("unit" = "steps"), range(min = 1))]
    pub min_kd: Option<u64>,
    /// `linear`: steps over which omega falls. Default: a tenth of `n_kd`.
    #[schemars(extend("unit" = "steps"), range(min = 1))]
    pub decay_steps: Option<u64>,
    /// `auto`: steps over which NLLs are averaged (exponentially). Default: 50.
    #[schemars(extend("unit" = "steps"), range(min = 1))]
    pub running_steps: Option<u64>,
    /// `auto`: stage 1 ends when the student's running NLL is at most the teacher's plus this, nats; it
    /// may be negative. Default: 0. The teacher's NLL is taken from the labels. On text that the
    /// teacher was trained on, it is lower than on held-out text, by the gap that `saltworks stats`
    /// with `--held-out` prints. With that gap as the margin, the student is compared with the
    /// teacher's NLL on text that neither has seen.
    #[schemars(extend("unit" = "nats"))]
    pub auto_margin: Option<f64>,
}

fn default_omega() -> f64 {
    0.5
}

fn default_lr_factor() -> f64 {
    1.0
}

fn default_tau() -> f64 {
    1.0
}

fn default_gate_k() -> u32 {
    10
}

/// Of a run without the table.
impl Default for KdConfig {
    fn default() -> Self {
        Self {
            mode: Mode::Baseline,
            loss: None,
            omega: default_omega(),
            lr_factor: default_lr_factor(),
            tau: default_tau(),
            temperature_mode: TemperatureMode::default(),
            gate: Gate::default(),
            gate_k: default_gate_k(),
            gate_fraction: None,
            gate_excess: GateExcess::default(),
            teachers: Teachers::default(),
            teacher_weights: None,
            transition: TransitionKind::default(),
            n_kd: None,
            min_kd: None,
            decay_steps: None,
            running_steps: None,
            auto_margin: None,
        }
    }
}

/// Validation during training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// Steps between two validations; 0 validates only at the end.
    #[schemars(extend("unit" = "steps"))]
    pub every: u64,
    /// Sequences per validation, evenly spread; 0 uses all.
    #[schemars(extend("unit" = "sequences"))]
    pub sequences: u64,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            every: 200,
            sequences: 256,
        }
    }
}

/// What is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Steps between two checkpoints; 0 saves only at the end and at interruptions.
    #[schemars(extend("unit" = "steps"))]
    pub every: u64,
    /// Number of latest checkpoints to keep.
    #[schemars(extend("unit" = "checkpoints"), range(min = 1))]
    pub keep_last: usize,
    /// Steps between two checkpoints that are saved regardless of `every` and kept permanently; 0
    /// keeps none.
    #[schemars(extend("unit" = "steps"))]
    pub keep_every: u64,
    /// Steps after which a checkpoint is saved regardless of `every` and kept permanently.
    #[schemars(extend("unit" = "steps"))]
    pub keep_steps: Vec<u64>,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            every: 500,
            keep_last: 2,
            keep_every: 0,
            keep_steps: Vec::new(),
        }
    }
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Steps between two lines of `metrics.jsonl`.
    #[schemars(extend("unit" = "steps"), range(min = 1))]
    pub every: u64,
    /// Also write TensorBoard events.
    pub tensorboard: bool,
    /// Boundaries of the buckets for which variances over positions are logged, by the teacher's
    /// NLL of the position, nats: easy positions have at most the first, medium ones at most the
    /// second. Default: 2 and 5, near the terciles of a model of 4M parameters on books.
    #[schemars(extend("unit" = "nats"))]
    pub bucket_borders: Option<[f64; 2]>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            every: 10,
            tensorboard: true,
            bucket_borders: None,
        }
    }
}
