//! An arm: its resolved configuration and its inputs.

use super::config::{ArmConfig, ExperimentConfig};
use super::cost::{LabelNeed, Scoring};
use super::error::ExperimentError;
use super::grid::{arm_dir, with_decay};
use super::json;
use crate::config::text_override;
use crate::train::TrainError;
use crate::train::config::{ConfigError, RunConfig, require};
use crate::train::data::LabelSource;
use crate::train::data::TokenizerFacts;
use crate::train::run::{Inputs, Sources, prepare_as_of};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Keys that the experiment sets itself, for every run.
pub(super) const OWN_KEYS: &[&str] = &[
    "output",
    "train.seed",
    "branch_from",
    "checkpoint.keep_steps",
];
/// File of its facts, in its directory.
const FACTS_NAME: &str = "arm.json";

/// An arm whose inputs have all been opened, so that it can be trained.
#[derive(Debug)]
pub(super) struct Arm {
    /// Its name.
    pub(super) name: String,
    /// With all defaults filled in; seed and output are those of the first cell.
    pub(super) config: RunConfig,
    /// Its inputs, identified by contents.
    pub(super) sources: Sources,
    /// The tokenizer of all its inputs.
    pub(super) tokenizer: TokenizerFacts,
    /// Its facts for the results.
    pub(super) facts: ArmFacts,
    /// The labels that it reads.
    pub(super) labels: Option<LabelSource>,
    /// Fingerprints of the labels when the first of its runs began: if labels were extended since, the other
    /// runs must still read the same part.
    pub(super) label_fingerprints: Vec<String>,
    /// Notes on its inputs.
    notes: Vec<String>,
    /// Whether it uses a selection without naming the labels that were scored for it.
    is_unscored: bool,
}

/// Facts about an arm for the results, saved in `runs/ARM/arm.json`, so that results can be written even when
/// its inputs are gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ArmFacts {
    /// `KEY=VALUE`.
    pub(super) settings: Vec<String>,
    /// Steps of a whole run.
    pub(super) n_steps: u64,
    /// Positions per step.
    pub(super) tokens_per_step: u64,
    /// Parameters of the model.
    pub(super) n_params: u64,
    /// Its need of labels.
    pub(super) labels: LabelNeed,
    /// Positions that had to be scored in addition.
    pub(super) n_scored_tokens: u64,
}

impl Arm {
    /// Opens all inputs of the arm, as a run would before its first step.
    pub(super) fn open(
        config: &ExperimentConfig,
        name: &str,
        arm: &ArmConfig,
    ) -> Result<Self, ExperimentError> {
        let run = run_config(config, name, arm)?;
        let in_arm = |source: TrainError| ExperimentError::Arm {
            arm: name.to_owned(),
            source: Box::new(source),
        };
        let label_fingerprints = label_fingerprints(config, name).map_err(in_arm)?;
        let prepared = prepare_as_of(&run, &label_fingerprints).map_err(in_arm)?;
        let overview = prepared.overview();
        let inputs = overview.inputs;
        let resolved = inputs.config.clone();
        let seq_len = inputs.seq_len() as u64;
        let scoring = Scoring::of(name, &arm.scored)?;
        // Labels from which the selection was made come from the same pass as the scores.
        let labels = LabelNeed::of(name, &overview, &scoring)?;
        Ok(Self {
            name: name.to_owned(),
            sources: Sources::of(inputs).map_err(in_arm)?,
            tokenizer: tokenizer_of(inputs).map_err(in_arm)?,
            facts: ArmFacts {
                settings: arm.overrides(),
                n_steps: resolved.train.steps,
                tokens_per_step: resolved.train.batch_size as u64 * seq_len,
                n_params: inputs.spec.n_parameters() as u64,
                labels,
                n_scored_tokens: scoring.n_tokens,
            },
            labels: inputs.labels.clone(),
            label_fingerprints,
            notes: same_text_notes(inputs),
            is_unscored: resolved.data.selection.is_some() && arm.scored.is_empty(),
            config: resolved,
        })
    }
}

impl Arm {
    /// Notes on what is probably unintended.
    pub(super) fn notes(&self) -> Vec<String> {
        let unscored = self.is_unscored.then(|| {
            format!(
                "{} reads a selection, but arms.{}.scored does not name the labels with the scores it was made from: their cost is not counted",
                self.name, self.name
            )
        });
        let own = self
            .notes
            .iter()
            .map(|note| format!("{}: {note}", self.name));
        unscored.into_iter().chain(own).collect()
    }
}

/// The labels' fingerprints recorded by the arm's first run that has begun.
fn label_fingerprints(config: &ExperimentConfig, arm: &str) -> Result<Vec<String>, TrainError> {
    for seed in &config.seeds {
        let dir = arm_dir(&config.output, arm).join(format!("seed-{seed}"));
        if let Some(sources) = Sources::recorded(&dir)? {
            return Ok(sources.label_fingerprints());
        }
    }
    Ok(Vec::new())
}

/// The notes on its inputs that affect the meaning of results.
fn same_text_notes(inputs: &Inputs) -> Vec<String> {
    let labels = inputs.labels.iter().flat_map(LabelSource::teachers);
    let extended = labels.filter_map(LabelSource::note_of_extension);
    inputs.same_text.iter().cloned().chain(extended).collect()
}

impl ArmFacts {
    /// Facts of an arm that was opened before; `None` if it never was.
    pub(super) fn read(output: &Path, arm: &str) -> Result<Option<Self>, ExperimentError> {
        json::read(&path(output, arm))
    }

    /// Saves them for when the inputs are not opened.
    pub(super) fn write(&self, output: &Path, arm: &str) -> Result<(), ExperimentError> {
        json::write(&path(output, arm), self)
    }

    /// Refuses arms that cannot be compared, step by step and model by model.
    pub(super) fn check_comparable(
        &self,
        name: &str,
        other: &Self,
        other_name: &str,
    ) -> Result<(), ExperimentError> {
        for (key, got, expected) in [
            ("train.steps", self.n_steps, other.n_steps),
            (
                "train.batch_size * data.seq_len",
                self.tokens_per_step,
                other.tokens_per_step,
            ),
            ("the model's parameters", self.n_params, other.n_params),
        ] {
            require(
                got == expected,
                &format!("{key} of the arm {name}"),
                format_args!("{expected}, as in {other_name}"),
                got,
                "arms are compared at equal steps: set it for all of them, in base or [run]",
            )?;
        }
        Ok(())
    }
}

fn path(output: &Path, arm: &str) -> PathBuf {
    arm_dir(output, arm).join(FACTS_NAME)
}

/// The shared configuration, overridden by the arm's settings and by what the experiment sets.
pub(super) fn run_config(
    config: &ExperimentConfig,
    name: &str,
    arm: &ArmConfig,
) -> Result<RunConfig, ExperimentError> {
    let mut overrides = arm.overrides();
    for one in &overrides {
        let key = one.split('=').next().unwrap_or_default().trim();
        require(
            !OWN_KEYS.contains(&key),
            &format!("arms.{name}.set"),
            "keys that an arm may set",
            one,
            "the experiment sets it itself: remove it",
        )?;
    }
    let output = arm_dir(&config.output, name);
    overrides.push(text_override("output", &output.display().to_string()));
    overrides.push(format!("train.seed={}", config.seeds[0]));
    let read = shared(config, &overrides).map_err(|error| ExperimentError::Arm {
        arm: name.to_owned(),
        source: Box::new(error.into()),
    })?;
    require(
        read.branch_from.is_none(),
        "branch_from",
        "none: the experiment makes its own branches",
        read.branch_from
            .as_deref()
            .unwrap_or(Path::new(""))
            .display(),
        "remove it from base or [run]",
    )?;
    with_decay(config, read)
}

fn shared(config: &ExperimentConfig, overrides: &[String]) -> Result<RunConfig, ConfigError> {
    match &config.base {
        Some(path) => RunConfig::read(path, overrides),
        None => RunConfig::of_table(config.run.clone().unwrap_or_default(), "[run]", overrides),
    }
}

/// The tokenizer that evaluation sets must have.
fn tokenizer_of(inputs: &Inputs) -> Result<TokenizerFacts, TrainError> {
    if let Some(path) = &inputs.config.data.tokenizer {
        return Ok(TokenizerFacts::of_tokenizer(path)?);
    }
    let of_labels = inputs.labels.as_ref().map(|labels| labels.tokenizer());
    let of_corpus = || TokenizerFacts::of_corpus(inputs.tokens.as_ref()?.corpus());
    let of_model = || TokenizerFacts {
        fingerprint: None,
        vocab_size: inputs.spec.vocab_size as u32,
        source: "the model".to_owned(),
    };
    Ok(of_labels.or_else(of_corpus).unwrap_or_else(of_model))
}
