//! From what was said to what will be done.

use super::error::{ConfigError, require};
use super::run::{KdConfig, LrShape, ModelConfig, RunConfig, ScheduleConfig, TransitionKind};
use crate::config::{self, with_absolute_paths};
use crate::tokens::{Packing, ViewOptions};
use crate::train::loss::Teachers;
use crate::train::model::ModelSpec;
use std::path::Path;

/// First line of a written configuration.
const HEADER: &str = "# The configuration of this run, with every default filled in and every path absolute. It can be passed as --config again.\n";

/// What defaults take from labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelsView {
    /// How their sequences are cut.
    pub sequences: ViewOptions,
    /// Whether they hold draws: the group `samples`.
    pub has_samples: bool,
}

impl RunConfig {
    /// Validates, and fills in every default. `of_labels` is `None` in a run without labels. Resolving
    /// twice changes nothing.
    ///
    /// `train.memory_limit` stays open: it belongs to the machine, and decides nothing that is learnt.
    ///
    /// # Errors
    /// Those of [`RunConfig::validate`]; no sequence length; sequences cut otherwise than the labels'.
    pub fn resolve(mut self, of_labels: Option<&LabelsView>) -> Result<Self, ConfigError> {
        if let Some(labels) = of_labels {
            self.take_view(&labels.sequences)?;
        }
        self.validate()?;
        let seq_len = self.data.seq_len.ok_or_else(|| ConfigError::Missing {
            key: "data.seq_len",
            expected: "the sequence length T, tokens".to_owned(),
            remedy: "give it, or data.labels, whose length is then used".to_owned(),
        })?;
        self.model = self.model.map(|model| resolve_model(model, seq_len));
        self.resolve_data();
        self.train.micro_batch_size = Some(self.train.micro_batch_size());
        self.train.threads = Some(self.train.threads());
        self.schedule = resolve_schedule(self.schedule, self.train.steps);
        let loss = self.kd.loss(of_labels.is_some_and(|l| l.has_samples));
        let n_teachers = self.data.labels.as_ref().map_or(0, |dirs| dirs.all().len());
        self.kd = resolve_kd(self.kd, n_teachers);
        self.log.bucket_borders = Some(self.log.bucket_borders());
        self.kd.loss = Some(loss);
        self.validate()?;
        Ok(self)
    }

    /// Takes over how the labels' sequences are cut, which the student must see as the teacher did.
    fn take_view(&mut self, view: &ViewOptions) -> Result<(), ConfigError> {
        let remedy =
            "leave it out to use the labels' own, or give labels that were made with this one";
        let seq_len = *self.data.seq_len.get_or_insert(view.seq_len);
        require(
            seq_len == view.seq_len,
            "data.seq_len",
            format_args!("the labels' {}", view.seq_len),
            seq_len,
            remedy,
        )?;
        let packing = *self.data.packing.get_or_insert(view.packing);
        require(
            packing == view.packing,
            "data.packing",
            format_args!("the labels' {:?}", view.packing),
            format_args!("{packing:?}"),
            remedy,
        )?;
        let shown = |bos: Option<u32>| bos.map_or("none".to_owned(), |id| id.to_string());
        let bos = self.data.sequence_bos.or(view.sequence_bos);
        require(
            bos == view.sequence_bos,
            "data.sequence_bos",
            format_args!("the labels' {}", shown(view.sequence_bos)),
            shown(bos),
            remedy,
        )?;
        self.data.sequence_bos = bos;
        Ok(())
    }

    fn resolve_data(&mut self) {
        let data = &mut self.data;
        data.packing.get_or_insert(Packing::Concat);
        data.label_epochs = Some(data.label_epochs());
        data.token_epochs = Some(data.token_epochs());
        data.shuffle_row_groups = Some(data.shuffle_row_groups());
        data.prefetch = Some(data.prefetch());
    }

    /// As TOML, with a line above that says what it is. Reads back as this value.
    ///
    /// # Errors
    /// A path that is no Unicode.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        Ok(config::to_toml(HEADER, self)?)
    }

    /// With every path absolute, as it is recorded: so a run resumes from any directory.
    ///
    /// # Errors
    /// A path that is not Unicode.
    pub fn recorded(&self) -> Result<Self, ConfigError> {
        Ok(with_absolute_paths(self)?)
    }

    /// Writes [`RunConfig::recorded`] to `path`, in place of what is there.
    ///
    /// # Errors
    /// A path that is not Unicode; the filesystem's.
    pub fn write(&self, path: &Path) -> Result<(), ConfigError> {
        Ok(config::write(path, HEADER, &self.recorded()?)?)
    }
}

impl ModelConfig {
    /// The dimensions for a tokenizer of `vocab_size` ids and sequences of `seq_len` tokens.
    pub fn spec(&self, vocab_size: usize, seq_len: usize) -> ModelSpec {
        ModelSpec {
            vocab_size,
            d_model: self.d_model,
            n_layers: self.n_layers,
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads(),
            head_dim: self.head_dim(),
            d_ff: self.d_ff,
            max_seq_len: self.max_seq_len.unwrap_or(seq_len),
            rope_theta: self.rope_theta(),
            rope_scaling: None,
            norm_eps: self.norm_eps(),
            tie_embeddings: self.tie_embeddings,
        }
    }
}

fn resolve_model(model: ModelConfig, seq_len: u32) -> ModelConfig {
    ModelConfig {
        n_kv_heads: Some(model.n_kv_heads()),
        head_dim: Some(model.head_dim()),
        max_seq_len: Some(model.max_seq_len.unwrap_or(seq_len as usize)),
        rope_theta: Some(model.rope_theta()),
        norm_eps: Some(model.norm_eps()),
        ..model
    }
}

/// Only what the shape has: the other keys stay absent.
fn resolve_schedule(schedule: ScheduleConfig, steps: u64) -> ScheduleConfig {
    let falls = schedule.shape != LrShape::Constant;
    let has_decay = schedule.shape == LrShape::Wsd;
    ScheduleConfig {
        warmup_steps: Some(schedule.warmup_steps(steps)),
        min_lr: falls.then(|| schedule.min_lr()),
        decay_steps: has_decay.then(|| schedule.decay_steps(steps)),
        ..schedule
    }
}

/// Only what the transition has, and weights of teachers that are mixed.
fn resolve_kd(kd: KdConfig, n_teachers: usize) -> KdConfig {
    let is_mixed = n_teachers > 1 && kd.teachers == Teachers::Mix;
    let kd = KdConfig {
        gate_fraction: Some(kd.gate_fraction()),
        teacher_weights: is_mixed.then(|| kd.teacher_weights(n_teachers)),
        ..kd
    };
    let Some(n_kd) = kd.n_kd else {
        return kd;
    };
    let is_auto = kd.transition == TransitionKind::Auto;
    let is_linear = kd.transition == TransitionKind::Linear;
    KdConfig {
        min_kd: is_auto.then(|| kd.min_kd(n_kd)),
        running_steps: is_auto.then(|| kd.running_steps()),
        auto_margin: is_auto.then(|| kd.auto_margin()),
        decay_steps: is_linear.then(|| kd.decay_steps(n_kd)),
        ..kd
    }
}
