//! `experiment.toml`: the arms, the seeds, and what their models are compared on.

use crate::config::{Layers, leaves, text_override};
use crate::storage::{self, is_url};
use crate::tokens::{Dtype, EodPosition, TokenFormat};
use crate::train::config::{ConfigError, require};
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// A grid of runs: every arm with every seed.
///
/// Relative paths, those of `[run]` and of an arm's settings too, are relative to this file; those of `base` to
/// that one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExperimentConfig {
    /// Title of the report. Default: the name of the directory `output`.
    pub name: Option<String>,
    /// Directory of the experiment.
    pub output: PathBuf,
    /// Configuration that all arms share: a `run.toml`. Its `output` is not used.
    pub base: Option<PathBuf>,
    /// The shared configuration written here instead of in `base`: the keys of `run.toml`, without
    /// `output`.
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub run: Option<Table>,
    /// Seeds of the initial parameters and the order; every arm is trained once with each.
    pub seeds: Vec<u64>,
    /// Name of the arm that the others are compared with.
    pub baseline: String,
    /// At which fractions of the steps models are evaluated.
    #[serde(default)]
    pub branches: BranchesConfig,
    /// The ways to train, by name; results keep their order.
    #[schemars(with = "BTreeMap<String, ArmConfig>")]
    pub arms: Arms,
    /// Held-out text that every model is evaluated on. The first set is in-domain; "reaches the
    /// baseline" refers to it.
    pub sets: Vec<SetConfig>,
    /// The model that made the labels, for the costs; without it they are unknown.
    pub teacher: Option<TeacherConfig>,
    /// What the report shows in addition to the results.
    #[serde(default)]
    pub report: ReportConfig,
    /// Keep the checkpoints of finished runs, which take 12 bytes per parameter each, and the ONNX
    /// files of branches. Default: false; weights and metrics stay in any case.
    #[serde(default)]
    pub keep_checkpoints: bool,
}

/// Decayed models before the end of a run. A run keeps its learning rate until its decay (`wsd`); a
/// branch decays earlier, from a checkpoint of the run, and shows what a shorter run would have
/// reached.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BranchesConfig {
    /// Fractions of `train.steps`, increasing, the last of them 1: the run itself. With only 1
    /// there are no branches, and any schedule is allowed; a `wsd` schedule without `decay_steps`
    /// uses `decay`.
    pub shares: Vec<f64>,
    /// Steps of the decay, of the run and of every branch, as a fraction of `train.steps`.
    pub decay: f64,
}

impl Default for BranchesConfig {
    fn default() -> Self {
        Self {
            shares: vec![0.5, 0.6, 0.7, 0.8, 0.9, 1.0],
            decay: 0.1,
        }
    }
}

/// One way to train.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArmConfig {
    /// Dotted keys that override the shared configuration, such as `"kd.mode" = "salt"`; a key set
    /// to "" is removed, as by `run --set KEY=`.
    #[serde(default)]
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub set: Table,
    /// Label directories of which this arm needed only the scores, such as those that its selection
    /// was made from: they count as a cost.
    #[serde(default)]
    pub scored: Vec<PathBuf>,
    /// The model that made this arm's labels. Default: the experiment's `teacher`.
    pub teacher: Option<TeacherConfig>,
}

/// Arms in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Arms(pub Vec<(String, ArmConfig)>);

impl<'de> Deserialize<'de> for Arms {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let arms = Table::deserialize(deserializer)?.into_iter();
        let arms = arms.map(|(name, arm)| Ok((name, arm.try_into()?)));
        let arms: Result<_, toml::de::Error> = arms.collect();
        Ok(Self(
            arms.map_err(|error| D::Error::custom(error.message()))?,
        ))
    }
}

/// Held-out text: a token corpus, or labels of one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetConfig {
    /// Its name.
    pub name: String,
    /// Token corpus; cut into sequences as the runs cut theirs.
    pub tokens: Option<PathBuf>,
    /// Format of the token files, if name and contents do not show it.
    pub tokens_format: Option<TokenFormat>,
    /// Type of the ids in token files without a header. Default: u16, unless the bytes look wider.
    pub dtype: Option<Dtype>,
    /// Id between documents of raw token files.
    pub eod: Option<u32>,
    /// Position of that id: `front` or `back` of each document. Default: inferred from the two ends
    /// of the file.
    pub eod_position: Option<EodPosition>,
    /// Label directory with the group `stats`, whose sequences are used instead of a corpus: this adds
    /// results by bucket of the teacher's NLL.
    pub labels: Option<PathBuf>,
}

/// What the report shows in addition to the results; each is optional.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema, clap::Args)]
#[serde(deny_unknown_fields)]
#[group(skip)]
#[command(next_help_heading = "What is shown")]
pub struct ReportConfig {
    /// A label set: what it says about its teacher, and its text if it has positions.
    #[arg(long, value_name = "DIR")]
    pub labels: Option<PathBuf>,
    /// The label set whose scores the selection was made from. Default: `labels`.
    #[arg(long, value_name = "DIR")]
    pub scores: Option<PathBuf>,
    /// A selection, shaded in the histogram of the scores.
    #[arg(long, value_name = "FILE")]
    pub selection: Option<PathBuf>,
    /// The tokenizer.json of the labels. Default: the one next to their plan.json; without one, tokens are
    /// shown as ids.
    #[arg(long, value_name = "FILE", requires = "labels")]
    pub tokenizer: Option<PathBuf>,
    /// Labels by the same teacher of text that it was not trained on, for bounds on its divergence from
    /// the data.
    #[arg(long, value_name = "DIR", requires = "labels")]
    pub held_out: Option<PathBuf>,
    /// Text that the model of every arm continues, with the same seed, when all runs are done.
    // The command has it among what says how it is continued.
    #[arg(skip)]
    pub prompt: Option<String>,
}

/// The model that made the labels.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Directory of its training run: parameters, tokens and seconds are read from there.
    pub run: PathBuf,
    /// Positions per second that it labelled, as `saltworks label` printed at the end. Without it
    /// the time of labelling is not known.
    pub label_tokens_per_s: Option<f64>,
}

impl ExperimentConfig {
    /// Reads `path` and checks what can be checked without opening another file.
    ///
    /// # Errors
    /// An unreadable file, broken TOML, an unknown key; names that are taken twice or are no names
    /// of directories; shares that are none; a baseline that is no arm.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        Self::of(Layers::read(Some(path), &[])?)
    }

    /// The same of a file with something set over it.
    ///
    /// # Errors
    /// Those of [`ExperimentConfig::read`].
    pub fn of(layers: Layers) -> Result<Self, ConfigError> {
        let config: Self = layers.into_options()?;
        config.validate()?;
        Ok(config)
    }

    /// What it is called.
    pub fn name(&self) -> String {
        let of_output = || self.output.file_name().map(|name| name.to_string_lossy());
        self.name
            .clone()
            .or_else(|| of_output().map(String::from))
            .unwrap_or_else(|| "experiment".to_owned())
    }

    fn validate(&self) -> Result<(), ConfigError> {
        require(
            self.base.is_some() != self.run.is_some(),
            "base",
            "either base or [run]",
            if self.base.is_some() {
                "both"
            } else {
                "neither"
            },
            "give the shared configuration once: as a path, or as a table",
        )?;
        require(
            !is_url(&self.output),
            "output",
            "a directory of this machine",
            self.output.display(),
            "run the experiment in a local or mounted directory",
        )?;
        self.check_seeds()?;
        self.branches.validate()?;
        self.check_arms()?;
        self.check_sets()?;
        self.teachers().try_for_each(|(key, teacher)| {
            let speed = teacher.label_tokens_per_s;
            require(
                speed.is_none_or(|speed| speed.is_finite() && speed > 0.0),
                &format!("{key}.label_tokens_per_s"),
                "a positive number",
                speed.unwrap_or(0.0),
                "use the speed that `saltworks label` printed at the end, or leave it out",
            )
        })
    }

    /// The model that made the labels of `arm`.
    pub(super) fn teacher_of(&self, arm: &str) -> Option<&TeacherConfig> {
        let arm = self.arms.0.iter().find(|(name, _)| name == arm);
        let own = arm.and_then(|(_, arm)| arm.teacher.as_ref());
        own.or(self.teacher.as_ref())
    }

    /// Every model that made labels, with its key.
    pub(super) fn teachers(&self) -> impl Iterator<Item = (String, &TeacherConfig)> {
        let common = self
            .teacher
            .iter()
            .map(|teacher| ("teacher".to_owned(), teacher));
        common.chain(self.arms.0.iter().filter_map(|(name, arm)| {
            let teacher = arm.teacher.as_ref()?;
            Some((format!("arms.{name}.teacher"), teacher))
        }))
    }

    fn check_seeds(&self) -> Result<(), ConfigError> {
        let n_distinct = self.seeds.iter().collect::<BTreeSet<_>>().len();
        require(
            n_distinct > 0 && n_distinct == self.seeds.len(),
            "seeds",
            "one or more, each once",
            format_args!("{:?}", self.seeds),
            "three show a spread",
        )
    }

    fn check_arms(&self) -> Result<(), ConfigError> {
        let names: Vec<&str> = self.arms.0.iter().map(|(name, _)| name.as_str()).collect();
        require(
            names.contains(&self.baseline.as_str()),
            "baseline",
            format_args!("the name of an arm: {}", names.join(", ")),
            &self.baseline,
            "name one of [arms]",
        )?;
        names.iter().try_for_each(|name| {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            require(
                !name.is_empty() && !name.starts_with('.') && name.chars().all(is_plain),
                "arms",
                "names of letters, digits, -, _ and ., since directories have these names",
                format_args!("{name:?}"),
                "choose another name",
            )
        })
    }

    fn check_sets(&self) -> Result<(), ConfigError> {
        require(
            !self.sets.is_empty(),
            "sets",
            "one [[sets]] or more to evaluate on",
            "none",
            "give held-out text, with in-domain text first",
        )?;
        let names: BTreeSet<&String> = self.sets.iter().map(|set| &set.name).collect();
        require(
            names.len() == self.sets.len(),
            "sets.name",
            "a different name for each",
            "a name that occurs twice",
            "rename it",
        )?;
        self.sets.iter().try_for_each(SetConfig::validate)
    }
}

impl BranchesConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let shares = &self.shares;
        let rises = shares.windows(2).all(|pair| pair[0] < pair[1]);
        require(
            rises && shares.last() == Some(&1.0) && shares.iter().all(|&share| share > 0.0),
            "branches.shares",
            "increasing fractions of the steps, the last of them 1",
            format_args!("{shares:?}"),
            "such as [0.5, 0.75, 1.0]",
        )?;
        require(
            shares.len() == 1 || (self.decay > 0.0 && self.decay < shares[0]),
            "branches.decay",
            format_args!(
                "more than 0 and less than the first of branches.shares, {}",
                shares[0]
            ),
            self.decay,
            "0.1 is usual",
        )
    }
}

impl ReportConfig {
    /// Whether its inputs are there: the report is only drawn when all runs are done.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let inputs = [
            ("report.labels", &self.labels),
            ("report.scores", &self.scores),
            ("report.selection", &self.selection),
            ("report.tokenizer", &self.tokenizer),
            ("report.held_out", &self.held_out),
        ];
        let given = inputs
            .into_iter()
            .filter_map(|(key, path)| Some((key, path.as_ref()?)));
        for (key, path) in given {
            require(
                storage::exists(path).unwrap_or(false),
                key,
                "a path that exists",
                path.display(),
                "create it first, or leave it out of [report]",
            )?;
        }
        Ok(())
    }
}

impl SetConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        let is_raw = self.tokens_format.is_some()
            || self.eod.is_some()
            || self.eod_position.is_some()
            || self.dtype.is_some();
        let got = match (&self.tokens, &self.labels) {
            (Some(_), Some(_)) => "both",
            (None, None) => "neither",
            (None, Some(_)) if is_raw => "labels, with tokens_format, dtype or eod",
            _ => return Ok(()),
        };
        require(
            false,
            &format!("sets.{}", self.name),
            "either tokens or labels",
            got,
            "if there are labels, give only those: they contain the tokens and their documents",
        )
    }
}

impl ArmConfig {
    /// Its settings as `KEY=VALUE`, as `run --set` takes them, by key.
    pub fn overrides(&self) -> Vec<String> {
        let setting = |(key, value): (String, Value)| match value {
            Value::String(text) if text.is_empty() => format!("{key}="),
            Value::String(text) => text_override(&key, &text),
            value => format!("{key}={value}"),
        };
        leaves(self.set.clone()).into_iter().map(setting).collect()
    }
}

#[cfg(test)]
mod tests;
