//! The options: as flags and as a configuration file, which have the same list.

mod sampling;

use super::error::LabelError;
use super::reduction::sampling_of;
use super::task::{self, Task};
use super::teacher_copy::local_teacher;
use super::teacher_path::teacher_path;
use crate::config;
use crate::onnx::decoder::{Dialect, WeightFormat};
use crate::shards::{
    DEFAULT_SHARD_BYTES, DEFAULT_ZSTD_LEVEL, Group, LabelSet, PlanCorpus, PlanSamples, PlanSignals,
    SCORE_K,
};
use crate::signals::{Rounding, Sampling};
use crate::teacher::ReduceChoice;
use crate::threads::{MAX_THREADS, default_threads};
use crate::tokens::{Dtype, EodPosition, Packing, TokenFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Valid temperatures of teacher and draws.
const TAU_RANGE: RangeInclusive<f64> = 0.01..=100.0;

/// Largest T, far above that of any teacher; limits the memory that depends on it.
const MAX_SEQ_LEN: u32 = 1 << 24;
/// A tebibyte, far more than a shard should lose to an interruption.
const MAX_SHARD_BYTES: u64 = 1 << 40;

// Headings in the help.
const INPUTS: &str = "Inputs";
const SEQUENCES: &str = "Sequences";
const KEPT: &str = "What is kept of a position";
const FILES: &str = "Output";
/// Options that determine where and how fast labels are made, but not their content; not recorded with them.
pub(super) const MACHINE: &str = "Machine";

/// Options of `plan` and `label`, declared only here. Every one is a flag, and a key of the file that
/// `--config` names (underscores for hyphens); flags override `--set`, which overrides the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, clap::Args)]
#[serde(deny_unknown_fields, default)]
#[schemars(transform = config::require_marked)]
pub struct LabelOptions {
    /// The teacher: the directory of a Hugging Face checkpoint (config.json, *.safetensors), an ONNX file (external
    /// data next to it is found), or a folder that contains one. From a URL, the files that are read are copied.
    #[arg(long, help_heading = INPUTS, value_name = "PATH|URL")]
    #[schemars(required)]
    pub teacher: Option<PathBuf>,

    /// Directory for the graphs of checkpoints, shared by tasks and runs. Default: teacher-cache, next to
    /// the output.
    #[arg(long, help_heading = MACHINE, value_name = "DIR")]
    pub teacher_cache: Option<PathBuf>,

    /// Type in which the matrices of a checkpoint are stored: f32, f16 or bf16 (arithmetic is in f32 in any
    /// case), or int8 (in blocks of 32, with 8-bit arithmetic; faster, CPU only). Default: f32.
    #[arg(long, help_heading = INPUTS, value_name = "TYPE", hide_possible_values = true)]
    pub teacher_weights: Option<WeightFormat>,

    /// Operators of a checkpoint's graph: fused (ONNX Runtime's own, faster) or standard. Default: fused on
    /// the CPU, else standard.
    #[arg(long, help_heading = INPUTS, value_name = "DIALECT", hide_possible_values = true)]
    pub teacher_dialect: Option<Dialect>,

    /// Token corpus: a directory of `saltworks tokenize`, a Megatron .bin/.idx pair, nanoGPT or llm.c .bin, Parquet
    /// with `input_ids` (a file, a folder, or a glob in quotes). From a URL, the files are copied.
    #[arg(long, help_heading = INPUTS, value_name = "PATH|URL")]
    #[schemars(required)]
    pub tokens: Option<PathBuf>,

    /// Directory to write labels to, or a URL (s3://, gs://, az://); labels in progress are resumed.
    #[arg(long, help_heading = FILES, short, value_name = "DIR|URL")]
    #[schemars(required)]
    pub output: Option<PathBuf>,

    /// Format of the tokens, if the file does not show it.
    #[arg(long, help_heading = INPUTS, value_name = "FORMAT")]
    pub tokens_format: Option<TokenFormat>,

    /// Type of the ids in a token file without a header (nanoGPT, a headerless .npy). Default: u16, unless
    /// the bytes look wider.
    #[arg(long, help_heading = INPUTS, value_name = "TYPE")]
    pub dtype: Option<Dtype>,

    /// Id between documents: splits token files that have no document boundaries of their own.
    #[arg(long, help_heading = INPUTS, value_name = "ID")]
    pub eod: Option<u32>,

    /// Position of that id: front or back of each document. Default: front if the file begins with
    /// it and does not end with it (llm.c's own files), else back.
    #[arg(long, help_heading = INPUTS, value_name = "POSITION")]
    pub eod_position: Option<EodPosition>,

    /// The tokenizer.json that made the tokens, to check its vocabulary and record its fingerprint.
    /// Not needed with a directory of `saltworks tokenize`, which records both.
    #[arg(long, help_heading = INPUTS, value_name = "FILE|URL")]
    pub tokenizer: Option<PathBuf>,

    /// Label even if the tokenizer.json next to the teacher is not the one that made the tokens.
    #[arg(long, help_heading = INPUTS, num_args = 0..=1, default_missing_value = "true", default_value = "false", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub ignore_teacher_tokenizer: bool,

    /// Sequence length T: predicted positions per sequence.
    #[arg(long, help_heading = SEQUENCES, value_name = "T")]
    #[schemars(required)]
    #[schemars(extend("unit" = "tokens"))]
    pub seq_len: Option<u32>,

    /// How documents become sequences: concat (one after the other, attention across boundaries) or
    /// document (each cut separately).
    #[arg(long, help_heading = SEQUENCES, value_name = "PACKING", default_value = "concat")]
    pub packing: Packing,

    /// Id put in front of every sequence, for teachers that need one.
    #[arg(long, help_heading = SEQUENCES, value_name = "ID")]
    pub sequence_bos: Option<u32>,

    /// Ids kept per position.
    #[arg(long, help_heading = KEPT, value_name = "K", default_value_t = 64)]
    #[schemars(extend("unit" = "ids"))]
    pub top_k: u32,

    /// Lists to write in addition to the scores: scores,stats,topk,samples. Default: stats,topk, and
    /// samples if --samples is given.
    #[arg(long, help_heading = KEPT, value_name = "GROUPS", value_delimiter = ',')]
    pub groups: Option<Vec<Group>>,

    /// Samples per position from the teacher's distribution, with replacement (group samples), 1 to 65535.
    /// Default: 50.
    #[arg(long, help_heading = KEPT, value_name = "N", allow_negative_numbers = true)]
    #[schemars(extend("unit" = "ids"))]
    pub samples: Option<u32>,

    /// Temperature of the samples; a loss on samples is unbiased only at this temperature. Default: 1.
    #[arg(long, help_heading = KEPT, value_name = "TAU", allow_negative_numbers = true)]
    pub samples_tau: Option<f64>,

    /// Seed of the samples. Default: 0.
    #[arg(long, help_heading = KEPT, value_name = "SEED")]
    pub samples_seed: Option<u64>,

    /// Extra temperatures, comma-separated; each adds one log-partition per position.
    #[arg(
        long, help_heading = KEPT,
        value_name = "TAU",
        value_delimiter = ',',
        allow_negative_numbers = true
    )]
    pub temperatures: Vec<f64>,

    /// Precision that kept log-probabilities are rounded to: f32, f16, bf16, or m6, m5, m4 (so many
    /// mantissa bits). m5 takes about 90 bytes per target at K = 50 and is 2e-4 nats from the
    /// teacher.
    #[arg(long, help_heading = KEPT, value_name = "PRECISION", default_value = "m5")]
    pub round: Rounding,

    /// Part of the corpus: sequences A up to but not including B, as A..B.
    #[arg(long, help_heading = SEQUENCES, value_name = "A..B", conflicts_with = "max_sequences")]
    pub sequences: Option<String>,

    /// Part of the corpus: the first N sequences.
    #[arg(long, help_heading = SEQUENCES, value_name = "N")]
    #[schemars(extend("unit" = "sequences"))]
    pub max_sequences: Option<u64>,

    /// Part of the corpus: the sequences that this selection keeps (see `saltworks select`).
    #[arg(long, help_heading = SEQUENCES, value_name = "FILE|URL")]
    pub selection: Option<PathBuf>,

    /// Leave out logits past the tokenizer's vocabulary (a padded head) before the softmax.
    #[arg(long, help_heading = KEPT, num_args = 0..=1, default_missing_value = "true", default_value = "false", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub mask_vocab_padding: bool,

    /// Where the teacher runs: auto, cpu, cuda, tensorrt, migraphx, rocm, openvino, coreml or
    /// directml; cuda:1 is the second CUDA device; tensorrt, migraphx, rocm and directml take
    /// numbers too. auto is cuda if it works, else cpu. This project has tested cpu, and openvino
    /// by hand on a CPU; no other.
    #[arg(long, help_heading = MACHINE, value_name = "DEVICE", default_value = "auto")]
    pub device: String,

    /// Where logits are reduced: host (on the CPU; every group), graph (in the model's graph, so
    /// that only the kept ids leave the device; --groups topk or scores), cuda (on the CUDA device
    /// that runs the teacher; every group) or auto (host with cpu, cuda with cuda, graph with any
    /// other device).
    #[arg(
        long, help_heading = MACHINE,
        value_name = "PLACE",
        hide_possible_values = true,
        default_value = "auto"
    )]
    pub reduce: ReduceChoice,

    /// Threads for the teacher and the reduction. Default: all cores.
    #[arg(long, help_heading = MACHINE, value_name = "N")]
    pub threads: Option<usize>,

    /// No effect: the shape of a call depends only on the length of its sequences, so that labels do
    /// not depend on this option. Accepted for older command lines and configuration files.
    #[arg(long, help_heading = MACHINE, value_name = "N")]
    pub batch_tokens: Option<u32>,

    /// Target size of a shard, bytes.
    #[arg(long, help_heading = FILES, value_name = "BYTES", default_value_t = DEFAULT_SHARD_BYTES)]
    #[schemars(extend("unit" = "bytes"))]
    pub shard_bytes: u64,

    /// Seed for shuffling sequences over shards, or `none` for the order of the corpus.
    #[arg(long, help_heading = FILES, value_name = "SEED", default_value = "0")]
    pub order_seed: OrderSeed,

    /// zstd level of the shards.
    #[arg(long, help_heading = FILES, value_name = "LEVEL", default_value_t = DEFAULT_ZSTD_LEVEL)]
    pub zstd_level: i32,

    /// Name of the output with the logits, if the model's own names leave it unclear.
    #[arg(long, help_heading = INPUTS, value_name = "NAME")]
    pub logits_output: Option<String>,

    /// The ONNX Runtime library to use (otherwise searched; see `saltworks doctor`).
    #[arg(long, help_heading = MACHINE, value_name = "FILE")]
    pub ort_lib: Option<PathBuf>,

    /// Only every n-th shard, starting at i: this process is task i (from 0) of n, as i/n; or `auto`: the number
    /// that Slurm, Kubernetes, SkyPilot, torchrun or the like gives this process in its environment.
    #[arg(long, help_heading = MACHINE, value_name = "I/N")]
    pub task: Option<String>,

    /// Number of tasks, if the engine of `--task auto` does not give it (Kubernetes), or if part of a Slurm array
    /// runs again.
    #[arg(long, help_heading = MACHINE, value_name = "N")]
    #[schemars(range(min = 1))]
    pub tasks: Option<u32>,

    /// Allow shards made by different ONNX Runtime versions, providers or instruction sets in one
    /// set.
    #[arg(long, help_heading = MACHINE, num_args = 0..=1, default_missing_value = "true", default_value = "false", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub allow_mixed_runtime: bool,

    /// Label with a model that fails the checks of a teacher (it is not causal, not repeatable, or
    /// gives something other than logits). The plan records which checks were overridden.
    #[arg(long, help_heading = KEPT, num_args = 0..=1, default_missing_value = "true", default_value = "false", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub allow_any_teacher: bool,

    /// Also label sequences with a token that the teacher gives zero probability (its logit is
    /// -inf). Their NLL scores are null, so `select` never keeps them by those.
    #[arg(long, help_heading = KEPT, num_args = 0..=1, default_missing_value = "true", default_value = "false", hide_default_value = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    pub allow_impossible_targets: bool,
}

impl Default for LabelOptions {
    fn default() -> Self {
        config::defaults()
    }
}

/// `--order-seed`: a number, or none for the corpus' own order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum OrderSeed {
    /// Permute by this seed.
    Seed(u64),
    /// The word `none`: sequences stay in the corpus' order.
    Word(NoneWord),
}

/// The word `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoneWord {
    /// `none`.
    None,
}

impl OrderSeed {
    fn of(seed: Option<u64>) -> Self {
        seed.map_or(Self::Word(NoneWord::None), Self::Seed)
    }

    /// The seed; `None` for the corpus' own order.
    pub fn seed(self) -> Option<u64> {
        match self {
            Self::Seed(seed) => Some(seed),
            Self::Word(NoneWord::None) => None,
        }
    }
}

impl std::str::FromStr for OrderSeed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Word(NoneWord::None)),
            _ => text
                .parse()
                .map(Self::Seed)
                .map_err(|_| format!("expected a number or none, got `{text}`")),
        }
    }
}

/// The checked options, and what follows from them.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelConfig {
    /// The options as given. Where another field here covers the same, use that field.
    pub options: LabelOptions,
    /// The teacher's ONNX file, or the directory of its checkpoint.
    pub teacher: PathBuf,
    /// Whether it is a checkpoint.
    pub is_checkpoint: bool,
    /// The token corpus.
    pub tokens: PathBuf,
    /// The label directory.
    pub output: PathBuf,
    /// T.
    pub seq_len: u32,
    /// `scores`, and the other groups.
    pub groups: Vec<Group>,
    /// How ids are drawn; only with the group `samples`.
    pub sampling: Option<Sampling>,
    /// Which sequences; the end is limited to the corpus later.
    pub range: SequenceRange,
    /// V of an existing label set; for a new one it is the tokenizer's or, if that is unknown, the teacher's.
    pub vocab_size: Option<u32>,
    /// Threads.
    pub threads: usize,
    /// Which shards belong to this process.
    pub task: Task,
    /// The engine that assigned the task, with its variables, if `--task` was `auto`.
    pub task_source: Option<String>,
}

/// Which sequences of the corpus to label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceRange {
    /// Every one.
    All,
    /// The first N.
    First(u64),
    /// From A up to but not including B.
    Between(u64, u64),
}

impl LabelOptions {
    /// The same for work that is done once, before an engine starts tasks: there `--task auto` has no effect.
    #[must_use]
    pub fn before_tasks(self) -> Self {
        match self.task.as_deref() {
            Some(task::AUTO) => Self {
                task: None,
                tasks: None,
                ..self
            },
            _ => self,
        }
    }

    /// Fills in defaults and checks every value that can be checked on its own.
    ///
    /// # Errors
    /// Missing options, all of them; an impossible value, naming the flag.
    pub fn resolve(self) -> Result<LabelConfig, LabelError> {
        config::check_complete(&self)?;
        let asked = self.requested_groups();
        let sampling = self.sampling(asked.contains(&Group::Samples))?;
        let groups = [Group::Scores, Group::Stats, Group::Topk, Group::Samples];
        let wanted = |group: &Group| *group == Group::Scores || asked.contains(group);
        let named = self.teacher.clone().unwrap_or_default();
        let teacher = teacher_path(&named, self.checkpoint_option().is_some())?;
        let task = task::of_process(self.task.as_deref(), self.tasks)?;
        let teacher = local_teacher(teacher)?;
        let config = LabelConfig {
            teacher: teacher.path,
            is_checkpoint: teacher.is_checkpoint,
            tokens: self.tokens.clone().unwrap_or_default(),
            output: self.output.clone().unwrap_or_default(),
            seq_len: self.seq_len.unwrap_or_default(),
            groups: groups.into_iter().filter(wanted).collect(),
            sampling,
            range: sequence_range(self.sequences.as_deref(), self.max_sequences)?,
            vocab_size: None,
            threads: self.threads.unwrap_or_else(default_threads),
            task: task.task,
            task_source: task.source,
            options: self,
        };
        config.check()
    }
}

impl LabelOptions {
    /// The first given flag that determines how a checkpoint's graph is made.
    fn checkpoint_option(&self) -> Option<&'static str> {
        let flags = [
            ("--teacher-cache", self.teacher_cache.is_some()),
            ("--teacher-weights", self.teacher_weights.is_some()),
            ("--teacher-dialect", self.teacher_dialect.is_some()),
        ];
        let mut given = flags.into_iter().filter(|(_, is_given)| *is_given);
        given.next().map(|(flag, _)| flag)
    }
}

impl LabelConfig {
    /// What would make `set` again from `teacher` and `tokens`, as far as the plan records it.
    ///
    /// # Errors
    /// A teacher path without a usable model.
    pub fn of_set(set: &LabelSet, teacher: &Path, tokens: &Path) -> Result<Self, LabelError> {
        let plan = &set.segments[0];
        let checkpoint = plan.teacher.checkpoint.as_ref();
        let options = LabelOptions {
            teacher_weights: checkpoint.and_then(|known| WeightFormat::of_word(&known.weights)),
            teacher_dialect: checkpoint.and_then(|known| Dialect::of_word(&known.dialect)),
            tokens_format: Some(plan.corpus.format),
            dtype: plan.corpus.dtype,
            eod: plan.corpus.eod,
            eod_position: eod_position_of(&plan.corpus),
            ignore_teacher_tokenizer: plan.teacher.ignored_tokenizer.is_some(),
            packing: plan.sequences.packing,
            sequence_bos: plan.sequences.sequence_bos,
            top_k: plan.signals.top_k,
            temperatures: plan.signals.temperatures.clone(),
            round: plan.signals.rounding,
            mask_vocab_padding: plan.signals.mask_vocab_padding,
            order_seed: OrderSeed::of(plan.layout.order_seed),
            logits_output: Some(plan.teacher.logits_output.clone()),
            allow_any_teacher: !plan.teacher.allowed.is_empty(),
            allow_impossible_targets: plan.signals.impossible_targets,
            // The content of the set is read from it, not planned again: no selection, no range.
            ..LabelOptions::default()
        };
        let teacher = local_teacher(teacher_path(teacher, checkpoint.is_some())?)?;
        Ok(Self {
            teacher: teacher.path,
            is_checkpoint: teacher.is_checkpoint,
            tokens: tokens.into(),
            output: set.dir.clone(),
            seq_len: plan.sequences.seq_len,
            groups: plan.signals.groups.clone(),
            sampling: sampling_of(&plan.signals),
            range: SequenceRange::Between(plan.sequences.start, plan.sequences.end),
            vocab_size: Some(plan.teacher.vocab_size),
            threads: default_threads(),
            task: Task::WHOLE,
            task_source: None,
            options,
        })
    }

    /// The storage type of a checkpoint's matrices.
    pub(super) fn teacher_weights(&self) -> WeightFormat {
        self.options.teacher_weights.unwrap_or(WeightFormat::F32)
    }

    /// What its labels store for a position.
    pub(super) fn plan_signals(&self) -> PlanSignals {
        PlanSignals {
            groups: self.groups.clone(),
            top_k: if self.groups.contains(&Group::Topk) {
                self.options.top_k
            } else {
                0
            },
            temperatures: self.options.temperatures.clone(),
            rounding: self.options.round,
            mask_vocab_padding: self.options.mask_vocab_padding,
            impossible_targets: self.options.allow_impossible_targets,
            score_k: SCORE_K,
            samples: self.sampling.map(|sampling| PlanSamples {
                n_draws: sampling.n_draws,
                tau: sampling.tau,
                seed: sampling.seed,
            }),
        }
    }

    fn check(self) -> Result<Self, LabelError> {
        self.check_checkpoint_options()?;
        at_least_1(self.seq_len.into(), "--seq-len")?;
        at_least_1(self.options.top_k.into(), "--top-k")?;
        at_least_1(self.options.shard_bytes, "--shard-bytes")?;
        at_least_1(self.threads as u64, "--threads")?;
        at_most(self.threads as u64, MAX_THREADS as u64, "--threads")?;
        at_most(self.seq_len.into(), MAX_SEQ_LEN.into(), "--seq-len")?;
        at_most(self.options.shard_bytes, MAX_SHARD_BYTES, "--shard-bytes")?;
        if !(1..=22).contains(&self.options.zstd_level) {
            return Err(LabelError::option(
                "--zstd-level",
                "a level from 1 to 22",
                self.options.zstd_level,
            ));
        }
        for (i, &tau) in self.options.temperatures.iter().enumerate() {
            if !TAU_RANGE.contains(&tau) || tau == 1.0 {
                return Err(LabelError::option(
                    "--temperatures",
                    "temperatures from 0.01 to 100 other than 1",
                    tau,
                ));
            }
            if self.options.temperatures[..i].contains(&tau) {
                return Err(LabelError::option(
                    "--temperatures",
                    "different temperatures",
                    tau,
                ));
            }
        }
        if !self.options.temperatures.is_empty() && !self.groups.contains(&Group::Topk) {
            let got = "groups without topk";
            return Err(LabelError::option(
                "--temperatures",
                "the group topk, which they apply to",
                got,
            ));
        }
        Ok(self)
    }
}

impl LabelConfig {
    /// Options for checkpoints do not apply to an ONNX file.
    fn check_checkpoint_options(&self) -> Result<(), LabelError> {
        match self
            .options
            .checkpoint_option()
            .filter(|_| !self.is_checkpoint)
        {
            Some(flag) => Err(LabelError::option(
                flag,
                format!(
                    "left out, since the teacher is an ONNX file, {}: it applies only to checkpoints",
                    self.teacher.display()
                ),
                "given",
            )),
            None => Ok(()),
        }
    }
}

/// Where the separator was. It is not inferred again, since the file of an older plan might then be split differently.
pub(super) fn eod_position_of(corpus: &PlanCorpus) -> Option<EodPosition> {
    let position = corpus.eod_position.unwrap_or(EodPosition::Back);
    corpus.eod.map(|_| position)
}

fn at_most(value: u64, most: u64, flag: &'static str) -> Result<(), LabelError> {
    if value > most {
        let expected = format!("at most {most}");
        return Err(LabelError::option(flag, expected, value));
    }
    Ok(())
}

fn at_least_1(value: u64, flag: &'static str) -> Result<(), LabelError> {
    if value == 0 {
        Err(LabelError::option(flag, "at least 1", value))
    } else {
        Ok(())
    }
}

fn sequence_range(range: Option<&str>, first: Option<u64>) -> Result<SequenceRange, LabelError> {
    let Some(text) = range else {
        return match first {
            Some(0) => Err(LabelError::option("--max-sequences", "at least 1", 0)),
            Some(n) => Ok(SequenceRange::First(n)),
            None => Ok(SequenceRange::All),
        };
    };
    if first.is_some() {
        return Err(LabelError::option(
            "--sequences",
            "no --max-sequences with it",
            text,
        ));
    }
    let parsed = text
        .split_once("..")
        .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match parsed {
        Some((start, end)) if start < end => Ok(SequenceRange::Between(start, end)),
        _ => Err(LabelError::option(
            "--sequences",
            "A..B with A < B, such as 0..1000",
            text,
        )),
    }
}

#[cfg(test)]
mod tests;
