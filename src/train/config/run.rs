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
    /// Dimensions of a fresh model; left out where `init` names one, and optional with `branch_from`.
    pub model: Option<ModelConfig>,
    /// A Hugging Face Llama directory to start from.
    pub init: Option<PathBuf>,
    /// A checkpoint of another run (RUN/checkpoints/step-N) to continue as if this run had been that
    /// one up to there: weights, moments, place in the data. What is learnt must be configured as it
    /// was there, but for `train.steps` and the fall of the learning rate (`schedule.shape`, `min_lr`,
    /// `decay_steps`), which must not have begun: so several runs decay from one. A warm-up that is
    /// not given is that of `train.steps` here: give `schedule.warmup_steps` in both.
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
    /// What is learnt from labels, and when; without this table, nothing: `baseline`.
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

/// Dimensions of a fresh model. The vocabulary is the tokenizer's.
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
    /// Token corpus of ordinary training: all of `baseline`, the last stage of the others; `rkd` has
    /// none.
    pub tokens: Option<PathBuf>,
    /// Format of the token files, where name and contents do not tell.
    pub tokens_format: Option<TokenFormat>,
    /// Type of the ids in token files without a header. Default: u16, unless the bytes are seen to be
    /// wider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dtype: Option<Dtype>,
    /// Id between documents of raw token files.
    pub eod: Option<u32>,
    /// Where that id stands: `front` or `back` of each document. Default: as the file's ends tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eod_position: Option<EodPosition>,
    /// Label directory of `saltworks label`. A `baseline` that names one reads the same sequences
    /// in the same order as the other modes, and learns only from their tokens. A list of directories has
    /// labels of the same sequences, of one teacher each, up to 8 (`kd.teachers`); order and selection are
    /// of the first.
    pub labels: Option<LabelDirs>,
    /// Selection (Parquet: `seq_id`, `kept`): only kept sequences of the labels are used.
    pub selection: Option<PathBuf>,
    /// Token corpus held out for validation.
    pub validation: Option<PathBuf>,
    /// tokenizer.json; copied into what is exported.
    pub tokenizer: Option<PathBuf>,
    /// T. Default: the labels'.
    #[schemars(extend("unit" = "tokens"), range(min = 1))]
    pub seq_len: Option<u32>,
    /// Packing. Default: the labels', else `concat`.
    pub packing: Option<Packing>,
    /// Id in front of every sequence. Default: the labels', else none.
    pub sequence_bos: Option<u32>,
    /// Do not learn targets that are the first token of another document. Default: false.
    #[serde(default)]
    pub mask_document_borders: bool,
    /// Times that labelled sequences may be seen. Default: 1.
    #[schemars(range(min = 1))]
    pub label_epochs: Option<u32>,
    /// Times that sequences of `tokens` may be seen. Default: 1.
    #[schemars(range(min = 1))]
    pub token_epochs: Option<u32>,
    /// Row groups that are shuffled together. Default: 8. Part of the order: it changes the run.
    #[schemars(range(min = 1))]
    pub shuffle_row_groups: Option<usize>,
    /// Steps that are read ahead, from 1 to 1024. Default: 4. Changes only speed and memory.
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
    /// Sequences a step.
    #[schemars(extend("unit" = "sequences"), range(min = 1))]
    pub batch_size: usize,
    /// Sequences a forward and backward pass; divides `batch_size`. Default: all at once.
    #[schemars(extend("unit" = "sequences"))]
    pub micro_batch_size: Option<usize>,
    /// Seed of parameters and order. Default: 0.
    #[serde(default)]
    pub seed: u64,
    /// Threads. Default: all cores. The same number gives the same bits.
    #[schemars(range(min = 1))]
    pub threads: Option<usize>,
    /// Keep only the input of each block and compute the rest again. Default: false.
    #[serde(default)]
    pub recompute: bool,
    /// Most memory that model, optimizer and activations may take, bytes. Default: 90% of what is free.
    #[schemars(extend("unit" = "bytes"), range(min = 1))]
    pub memory_limit: Option<u64>,
}

/// Shape of the learning rate after warm-up.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum LrShape {
    /// Stays.
    Constant,
    /// Falls in a line to `min_lr`.
    Linear,
    /// Falls in half a cosine to `min_lr`.
    Cosine,
    /// Warm-up, stable, decay: stays, then falls in a line over the last `decay_steps`.
    Wsd,
}

/// Learning rate as a pure function of the step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ScheduleConfig {
    /// Maximum learning rate.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub lr: f64,
    /// Where it ends. Default: a tenth of `lr` for `cosine` and `linear`, 0 for `wsd`.
    pub min_lr: Option<f64>,
    /// Shape.
    pub shape: LrShape,
    /// Steps in which it rises in a line from 0. Default: a tenth of all, and 100 at most.
    #[schemars(extend("unit" = "steps"))]
    pub warmup_steps: Option<u64>,
    /// Steps of the fall of `wsd`, at least 1. Default: a fifth of all.
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
    /// At once, after `n_kd` steps.
    #[default]
    Step,
    /// omega falls in a line over `decay_steps` after `n_kd` steps.
    Linear,
    /// When the student's running NLL on labelled positions has fallen to the teacher's, between
    /// `min_kd` and `n_kd` steps.
    Auto,
}

/// What is learnt from labels, and when. Only `mode` must be said, since the other keys would be
/// silently ignored under a default of `baseline`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KdConfig {
    /// How the teacher is used.
    pub mode: Mode,
    /// The loss. Default: `sampled` where the labels hold draws, else `tail-bucket`.
    pub loss: Option<KdLoss>,
    /// Share of KD in the loss, from 0 to 1. Default: 0.5; where the teacher is the better model
    /// throughout, 0.9 was better in every measurement of this project.
    #[serde(default = "default_omega")]
    #[schemars(range(min = 0, max = 1))]
    pub omega: f64,
    /// Temperature. With `sampled` it must be that of the draws; with the others, if not 1, one that
    /// the labels have.
    #[serde(default = "default_tau")]
    #[schemars(range(min = 0.01, max = 100))]
    pub tau: f64,
    /// What is tempered.
    #[serde(default)]
    pub temperature_mode: TemperatureMode,
    /// Which positions learn from the teacher.
    #[serde(default)]
    pub gate: Gate,
    /// k of the gate `learnable`.
    #[serde(default = "default_gate_k")]
    #[schemars(range(min = 1))]
    pub gate_k: u32,
    /// Fraction of labelled positions at which a gate is closed: `entropy`, those of each step where the
    /// teacher's entropy is lowest; `excess`, about so many, those where the student's NLL exceeds the
    /// teacher's least. Default: 0.15; 0.4 for `excess`.
    #[schemars(extend("exclusiveMinimum" = 0, "exclusiveMaximum" = 1))]
    pub gate_fraction: Option<f64>,
    /// What the gate `excess` does.
    #[serde(default)]
    pub gate_excess: GateExcess,
    /// How several teachers are learnt from, where `data.labels` is a list.
    #[serde(default)]
    pub teachers: Teachers,
    /// `mix`: weight of each of `data.labels`; only their ratios matter. Default: all the same.
    #[schemars(inner(range(min = 0)))]
    pub teacher_weights: Option<Vec<f64>>,
    /// How stage 1 ends.
    #[serde(default)]
    pub transition: TransitionKind,
    /// Steps of stage 1: all of them (`step`), before the fall (`linear`), at most (`auto`).
    #[schemars(extend("unit" = "steps"))]
    pub n_kd: Option<u64>,
    /// `auto`: steps of stage 1 at least. Default: a tenth of `n_kd`.
    #[schemars(extend("unit" = "steps"), range(min = 1))]
    pub min_kd: Option<u64>,
    /// `linear`: steps of the fall. Default: a tenth of `n_kd`.
    #[schemars(extend("unit" = "steps"), range(min = 1))]
    pub decay_steps: Option<u64>,
    /// `auto`: steps over which NLLs are averaged (exponentially). Default: 50.
    #[schemars(extend("unit" = "steps"), range(min = 1))]
    pub running_steps: Option<u64>,
    /// `auto`: stage 1 ends when the student's running NLL is at most the teacher's plus this, nats; it
    /// may be negative. Default: 0. The teacher's NLL is that of the labels, and labels of the text
    /// that the teacher was trained on flatter it: there it is lower than on text held out, by what
    /// `saltworks stats` with `--held-out` prints. With that gap as the margin, the student is held
    /// against the teacher as it is on text that neither has seen.
    #[schemars(extend("unit" = "nats"))]
    pub auto_margin: Option<f64>,
}

fn default_omega() -> f64 {
    0.5
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
    /// Steps between two validations; 0 validates at the end only.
    #[schemars(extend("unit" = "steps"))]
    pub every: u64,
    /// Sequences of a validation, evenly spread; 0 takes all.
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
    /// Steps between two checkpoints; 0 saves at the end and at interruptions only.
    #[schemars(extend("unit" = "steps"))]
    pub every: u64,
    /// Latest checkpoints that are kept.
    #[schemars(extend("unit" = "checkpoints"), range(min = 1))]
    pub keep_last: usize,
    /// Steps between two checkpoints that are saved whatever `every` says, and kept for good; 0 keeps
    /// none.
    #[schemars(extend("unit" = "steps"))]
    pub keep_every: u64,
    /// Steps after which a checkpoint is saved whatever `every` says, and kept for good.
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
    /// Write TensorBoard events too.
    pub tensorboard: bool,
    /// Variances over positions are told by the teacher's NLL of the position, nats: easy ones have
    /// at most the first, medium ones at most the second. Default: 2 and 5, near the
    /// terciles of a model of 4M parameters on books.
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
