//! What can be checked of a configuration without opening a file.

use super::error::{ConfigError, require};
use super::label_dirs::LabelDirs;
use super::run::{
    CheckpointConfig, DataConfig, KdConfig, LogConfig, LrShape, Mode, ModelConfig, RunConfig,
    ScheduleConfig, TrainConfig, TransitionKind,
};
use crate::config::check_ranges;
use crate::storage::working_dir;
use crate::train::batch::MAX_TEACHERS;
use crate::train::loss::{Gate, GateExcess, Teachers};
use crate::train::model::SpecError;
use std::fmt::Display;
use std::path::Path;

impl RunConfig {
    /// Refuses values out of range and keys that do not go together.
    ///
    /// # Errors
    /// The first such: its key, what was expected, what was found, and what to do.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_ranges(self)?;
        check_output(&self.output)?;
        check_micro_batches(&self.train)?;
        self.check_model()?;
        check_schedule(&self.schedule, self.train.steps)?;
        check_teachers(&self.kd, &self.data)?;
        check_stages(&self.kd, &self.data, self.train.steps, self.may_end_early())?;
        check_checkpoint_policy(&self.checkpoint, &self.log, self.train.steps)
    }

    /// A branch may end within the stage 1 of its trunk, whose `n_kd` it has.
    fn may_end_early(&self) -> bool {
        self.branch_from.is_some()
    }

    fn check_model(&self) -> Result<(), ConfigError> {
        if let Some(checkpoint) = &self.branch_from {
            return self.check_model_of_branch(checkpoint);
        }
        match (&self.model, &self.init) {
            (Some(model), None) => check_dimensions(model, self.data.seq_len),
            (None, Some(_)) => Ok(()),
            (None, None) => Err(ConfigError::Missing {
                key: "model",
                expected: "the dimensions of a fresh model".to_owned(),
                remedy: "give a [model] table, or init with a Hugging Face directory to start from"
                    .to_owned(),
            }),
            (Some(_), Some(init)) => Err(ConfigError::Value {
                key: "init".to_owned(),
                expected: "no [model] with it, since it names the dimensions".to_owned(),
                got: init.display().to_string(),
                remedy: "remove one of the two".to_owned(),
            }),
        }
    }
}

impl RunConfig {
    fn check_model_of_branch(&self, checkpoint: &Path) -> Result<(), ConfigError> {
        require(
            self.init.is_none(),
            "branch_from",
            "no init with it, since a checkpoint has the weights",
            checkpoint.display(),
            "remove one of the two: init starts a new run from weights, branch_from continues another run",
        )?;
        match &self.model {
            Some(model) => check_dimensions(model, self.data.seq_len),
            None => Ok(()),
        }
    }
}

/// The hub has no place to work at.
fn check_output(output: &Path) -> Result<(), ConfigError> {
    require(
        working_dir(output).is_ok(),
        "output",
        "a directory, or a URL of s3://, gs:// or az://",
        output.display(),
        "train into one of those, and copy the model from there",
    )
}

fn check_dimensions(model: &ModelConfig, seq_len: Option<u32>) -> Result<(), ConfigError> {
    let shared = model.head_dim.is_some() || model.d_model.is_multiple_of(model.n_heads.max(1));
    require(
        shared,
        "model.n_heads",
        format_args!("a divisor of d_model, {}", model.d_model),
        model.n_heads,
        "choose one that divides it, or give model.head_dim",
    )?;
    let seq_len = seq_len.unwrap_or(1);
    // The vocabulary is the tokenizer's; any will do for what is checked here.
    let spec = model.spec(1, seq_len as usize);
    spec.validate().map_err(config_error)?;
    require(
        spec.max_seq_len >= seq_len as usize,
        "model.max_seq_len",
        format_args!("at least data.seq_len, {seq_len}"),
        spec.max_seq_len,
        "raise it, or leave it out",
    )
}

/// The same error in this folder's words.
fn config_error(error: SpecError) -> ConfigError {
    ConfigError::Value {
        key: error.what.to_owned(),
        expected: error.expected,
        got: error.got,
        remedy: error.remedy.to_owned(),
    }
}

fn check_micro_batches(train: &TrainConfig) -> Result<(), ConfigError> {
    let size = train.micro_batch_size();
    require(
        size > 0 && train.batch_size.is_multiple_of(size),
        "train.micro_batch_size",
        format_args!("a divisor of train.batch_size, {}", train.batch_size),
        size,
        "choose one that divides it, or leave it out",
    )
}

fn check_schedule(schedule: &ScheduleConfig, steps: u64) -> Result<(), ConfigError> {
    let warmup_steps = schedule.warmup_steps(steps);
    require(
        warmup_steps <= steps,
        "schedule.warmup_steps",
        format_args!("at most train.steps, {steps}"),
        warmup_steps,
        "set it lower, or train longer",
    )?;
    let falls = schedule.shape != LrShape::Constant;
    if let Some(min_lr) = schedule.min_lr {
        belongs(
            falls,
            "schedule.min_lr",
            min_lr,
            "a shape that decays, not constant",
        )?;
        require(
            (0.0..=schedule.lr).contains(&min_lr),
            "schedule.min_lr",
            format_args!("a rate from 0 to schedule.lr, {}", schedule.lr),
            min_lr,
            "set it lower",
        )?;
    }
    if let Some(decay_steps) = schedule.decay_steps {
        let is_wsd = schedule.shape == LrShape::Wsd;
        belongs(is_wsd, "schedule.decay_steps", decay_steps, "the shape wsd")?;
    }
    match schedule.shape {
        LrShape::Wsd => check_decay(schedule, steps - warmup_steps),
        _ => Ok(()),
    }
}

/// The decay of `wsd` comes after the warm-up.
fn check_decay(schedule: &ScheduleConfig, n_after_warmup: u64) -> Result<(), ConfigError> {
    require(
        n_after_warmup > 0,
        "schedule.warmup_steps",
        "fewer than train.steps with the shape wsd, whose decay comes after it",
        schedule.warmup_steps.unwrap_or(0),
        "set it lower, or train longer",
    )?;
    let decay_steps = schedule.decay_steps.unwrap_or(1);
    require(
        decay_steps <= n_after_warmup,
        "schedule.decay_steps",
        format_args!("at most {n_after_warmup}, the steps after warm-up"),
        decay_steps,
        "set it lower, or train longer",
    )
}

/// How many steps read labels, and whether there is something to read in every step.
fn check_stages(
    kd: &KdConfig,
    data: &DataConfig,
    steps: u64,
    may_end_early: bool,
) -> Result<(), ConfigError> {
    check_sources(kd.mode, data)?;
    check_transition_keys(kd)?;
    if kd.gate_excess != GateExcess::default() {
        let owner = "kd.gate = \"excess\"";
        belongs(kd.gate == Gate::Excess, "kd.gate_excess", "weight", owner)?;
    }
    let is_staged = match kd.mode {
        Mode::Salt | Mode::SaltDs | Mode::DsCe => true,
        // A baseline of the same sequences has the same stages.
        Mode::Baseline => data.labels.is_some() && data.tokens.is_some() || kd.n_kd.is_some(),
        Mode::Rkd => false,
    };
    if is_staged {
        check_n_kd(kd, data, steps, may_end_early)
    } else {
        check_one_stage(kd)
    }
}

fn check_sources(mode: Mode, data: &DataConfig) -> Result<(), ConfigError> {
    let mode_name = name_of(mode);
    if mode != Mode::Baseline {
        let expected = format!("the label directory that kd.mode {mode_name} learns from");
        let remedy = "make one by `saltworks label`, or set kd.mode = \"baseline\"";
        present(data.labels.is_some(), "data.labels", expected, remedy)?;
    } else if data.labels.is_none() {
        let expected = "the token corpus to train on".to_owned();
        let remedy = "give a directory of `saltworks tokenize` or another token file";
        present(data.tokens.is_some(), "data.tokens", expected, remedy)?;
    }
    if let (Mode::Rkd, Some(tokens)) = (mode, &data.tokens) {
        require(
            false,
            "data.tokens",
            "no tokens with kd.mode rkd, which reads labels to the end",
            tokens.display(),
            "remove it (--set data.tokens= does), or set kd.mode = \"salt\" and kd.n_kd",
        )?;
    }
    if matches!(mode, Mode::SaltDs | Mode::DsCe) {
        let expected = format!("the selection that kd.mode {mode_name} reads");
        let remedy = "give a Parquet file with seq_id and kept, or set kd.mode = \"salt\"";
        return present(data.selection.is_some(), "data.selection", expected, remedy);
    }
    match &data.selection {
        Some(selection) => require(
            mode == Mode::Rkd,
            "data.selection",
            format_args!("no selection with kd.mode {mode_name}"),
            selection.display(),
            "set kd.mode to salt-ds, ds-ce or rkd, which read one, or remove it",
        ),
        None => Ok(()),
    }
}

/// How many label directories there are, and what is said of each.
fn check_teachers(kd: &KdConfig, data: &DataConfig) -> Result<(), ConfigError> {
    let dirs = data.labels.as_ref().map_or(&[][..], LabelDirs::all);
    if let Some(labels) = &data.labels {
        require(
            (1..=MAX_TEACHERS).contains(&dirs.len()),
            "data.labels",
            format_args!("a path, or a list of 1 to {MAX_TEACHERS} paths"),
            format_args!("{} of them: [{labels}]", dirs.len()),
            "name the labels of each teacher",
        )?;
    }
    let several = "data.labels = [\"...\", \"...\"]";
    let is_several = dirs.len() > 1;
    if kd.teachers == Teachers::LowerNll {
        belongs(is_several, "kd.teachers", "lower-nll", several)?;
    }
    let Some(weights) = &kd.teacher_weights else {
        return Ok(());
    };
    let key = "kd.teacher_weights";
    let got = format!("{weights:?}");
    belongs(is_several, key, &got, several)?;
    belongs(
        kd.teachers == Teachers::Mix,
        key,
        &got,
        "kd.teachers = \"mix\"",
    )?;
    require(
        weights.len() == dirs.len(),
        key,
        format_args!("a weight for each of the {} in data.labels", dirs.len()),
        &got,
        "give one each, in their order",
    )?;
    require(
        weights.iter().sum::<f64>() > 0.0,
        key,
        "weights of which at least one is above 0",
        &got,
        "raise one, or leave them out for equal weights",
    )
}

/// Keys of a transition that was not chosen say something that would not happen.
fn check_transition_keys(kd: &KdConfig) -> Result<(), ConfigError> {
    let is_auto = kd.transition == TransitionKind::Auto;
    let is_linear = kd.transition == TransitionKind::Linear;
    let of_auto = [
        ("kd.min_kd", kd.min_kd),
        ("kd.running_steps", kd.running_steps),
    ];
    for (key, value) in of_auto {
        if let Some(value) = value {
            belongs(is_auto, key, value, "kd.transition = \"auto\"")?;
        }
    }
    if let Some(margin) = kd.auto_margin {
        belongs(
            is_auto,
            "kd.auto_margin",
            margin,
            "kd.transition = \"auto\"",
        )?;
    }
    if let Some(value) = kd.decay_steps {
        belongs(
            is_linear,
            "kd.decay_steps",
            value,
            "kd.transition = \"linear\"",
        )?;
    }
    let is_control = matches!(kd.mode, Mode::Baseline | Mode::DsCe);
    require(
        !(is_auto && is_control),
        "kd.transition",
        format_args!("step or linear with kd.mode {}", name_of(kd.mode)),
        "auto",
        "to compare with a run of auto, set kd.n_kd to the step at which that one switched",
    )?;
    require(
        !is_auto || kd.omega > 0.0,
        "kd.omega",
        "more than 0 with kd.transition auto, which detects when the teacher no longer helps",
        kd.omega,
        "set it higher, or set kd.transition to step or linear",
    )
}

/// Modes that read one source to the end have no end of stage 1.
fn check_one_stage(kd: &KdConfig) -> Result<(), ConfigError> {
    let owner = "a mode that changes from labels to tokens";
    if let Some(n_kd) = kd.n_kd {
        belongs(false, "kd.n_kd", n_kd, owner)?;
    }
    require(
        kd.transition == TransitionKind::Step,
        "kd.transition",
        format_args!("nothing with kd.mode {}", name_of(kd.mode)),
        format_args!("{:?}", kd.transition)
            .to_string()
            .to_lowercase(),
        "remove it, or choose a mode that changes from labels to tokens",
    )
}

fn check_n_kd(
    kd: &KdConfig,
    data: &DataConfig,
    steps: u64,
    may_end_early: bool,
) -> Result<(), ConfigError> {
    let Some(n_kd) = kd.n_kd else {
        return Err(ConfigError::Missing {
            key: "kd.n_kd",
            expected: "the number of steps that read labels".to_owned(),
            remedy: "the paper's is about a sixth of all steps".to_owned(),
        });
    };
    require(
        data.labels.is_some(),
        "kd.n_kd",
        "no such key without data.labels",
        n_kd,
        "remove it, or give data.labels",
    )?;
    require(
        n_kd >= 1 && (n_kd <= steps || may_end_early),
        "kd.n_kd",
        format_args!("from 1 to train.steps, {steps}"),
        n_kd,
        "set it lower, or train longer",
    )?;
    if let Some(min_kd) = kd.min_kd {
        require(
            min_kd <= n_kd,
            "kd.min_kd",
            format_args!("at most kd.n_kd, {n_kd}"),
            min_kd,
            "set it lower, or n_kd higher",
        )?;
    }
    let expected = "the token corpus of the steps after stage 1".to_owned();
    let remedy = "give one, or set kd.n_kd to train.steps with kd.transition = \"step\"";
    let covered = min_labelled_steps(kd, n_kd) >= steps;
    present(
        covered || data.tokens.is_some(),
        "data.tokens",
        expected,
        remedy,
    )
}

/// Steps that read labels whatever happens.
fn min_labelled_steps(kd: &KdConfig, n_kd: u64) -> u64 {
    match kd.transition {
        TransitionKind::Step => n_kd,
        TransitionKind::Linear => n_kd.saturating_add(kd.decay_steps(n_kd)),
        TransitionKind::Auto => kd.min_kd(n_kd),
    }
}

fn check_checkpoint_policy(
    checkpoint: &CheckpointConfig,
    log: &LogConfig,
    steps: u64,
) -> Result<(), ConfigError> {
    let mut kept = checkpoint.keep_steps.iter();
    if let Some(&never) = kept.find(|step| !(1..=steps).contains(*step)) {
        require(
            false,
            "checkpoint.keep_steps",
            format_args!("steps from 1 to train.steps, {steps}"),
            never,
            "remove it, or train longer",
        )?;
    }
    let [easy, medium] = log.bucket_borders();
    require(
        easy.is_finite() && medium.is_finite() && easy <= medium,
        "log.bucket_borders",
        "two increasing numbers of nats",
        format_args!("[{easy}, {medium}]"),
        "[2, 5] is the default",
    )
}

/// The mode as it is written in the file.
fn name_of(mode: Mode) -> &'static str {
    match mode {
        Mode::Baseline => "baseline",
        Mode::Rkd => "rkd",
        Mode::Salt => "salt",
        Mode::SaltDs => "salt-ds",
        Mode::DsCe => "ds-ce",
    }
}

fn present(
    holds: bool,
    key: &'static str,
    expected: String,
    remedy: &str,
) -> Result<(), ConfigError> {
    if holds {
        return Ok(());
    }
    Err(ConfigError::Missing {
        key,
        expected,
        remedy: remedy.to_owned(),
    })
}

/// Refuses a key that was given where its `owner` was not chosen.
fn belongs(holds: bool, key: &str, value: impl Display, owner: &str) -> Result<(), ConfigError> {
    let expected = format!("no such key, which belongs to {owner}");
    require(
        holds,
        key,
        expected,
        value,
        &format!("remove it (--set {key}= does), or choose what it belongs to"),
    )
}
