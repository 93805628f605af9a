//! The state of a run, apart from weights and moments.

use super::RunError;
use super::identity::{corpus_identity, labelled_identity};
use super::inputs::Inputs;
use crate::storage::{
    self, StorageError, checked_json, from_checked_json, hash_file, read_if_exists, replace,
    resolved_path,
};
use crate::train::TrainError;
use crate::train::checkpoint::{Checkpoint, CheckpointStore};
use crate::train::config::RunConfig;
use crate::train::data::{LabelSource, LoaderPosition, TokenSource};
use crate::train::export::model_identity;
use crate::train::schedule::AutoTransition;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Name of the file with the hashes of a run's inputs.
pub const SOURCES_NAME: &str = "sources.json";

/// The state after a step: `state.json` of a checkpoint. Floating-point values are written so that
/// they read back as the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// Steps done.
    pub step: u64,
    /// Predicted positions that were learnt from.
    pub n_tokens: u64,
    /// Seconds that the steps took, over all processes that worked on the run.
    pub seconds: f64,
    /// Sequences read so far.
    pub loader: LoaderPosition,
    /// The transition `auto`, if it is used.
    pub auto: Option<AutoTransition>,
    /// Threshold of the gate `excess` in the next step, nats; absent before the first step and with
    /// every other gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_excess: Option<f32>,
    /// The configuration, every default filled in and every path absolute.
    pub config: RunConfig,
    /// What was read.
    pub sources: Sources,
    /// The version that wrote this.
    pub created_by: String,
}

impl TrainState {
    /// The state before the first step.
    ///
    /// # Errors
    /// Sources that cannot be read; a path that is not Unicode.
    pub fn first(inputs: &Inputs) -> Result<Self, TrainError> {
        Ok(Self {
            step: 0,
            n_tokens: 0,
            seconds: 0.0,
            loader: LoaderPosition::default(),
            auto: inputs.stages.auto_transition(),
            least_excess: None,
            config: inputs.config.recorded()?,
            sources: Sources::of(inputs)?,
            created_by: format!("saltworks-train {}", env!("CARGO_PKG_VERSION")),
        })
    }

    /// The state of `checkpoint`, which was saved by the run in `run`.
    ///
    /// # Errors
    /// A configuration or inputs other than those of that run.
    pub fn resumed(
        inputs: &Inputs,
        checkpoint: &Checkpoint,
        run: &Path,
    ) -> Result<Self, TrainError> {
        let (state, sources) = Self::of(inputs, checkpoint)?;
        let same = sources.same_keys(&state.sources);
        inputs.config.check_resumes(&state.config, run, &same)?;
        state.with_inputs(inputs, sources, run)
    }

    /// The state of `checkpoint`, which was saved by the run that `inputs` branches from.
    ///
    /// # Errors
    /// A configuration or inputs with which the trunk would have been a different run.
    pub fn branched(inputs: &Inputs, checkpoint: &Checkpoint) -> Result<Self, TrainError> {
        let (state, sources) = Self::of(inputs, checkpoint)?;
        let (config, dir) = (&inputs.config, &checkpoint.dir);
        let same = sources.same_keys(&state.sources);
        config.check_branches(&state.config, checkpoint.step, dir, &same)?;
        state.with_inputs(inputs, sources, dir)
    }

    /// The state in `checkpoint`, and the sources of `inputs` as they are now.
    fn of(inputs: &Inputs, checkpoint: &Checkpoint) -> Result<(Self, Sources), TrainError> {
        Ok((checkpoint.state()?, Sources::of(inputs)?))
    }

    fn with_inputs(
        self,
        inputs: &Inputs,
        sources: Sources,
        run: &Path,
    ) -> Result<Self, TrainError> {
        sources.check_resumes(&self.sources, run)?;
        Ok(Self {
            config: inputs.config.recorded()?,
            sources,
            ..self
        })
    }
}

/// Hashes of a run's inputs, since a path may lead to another file when the run resumes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// Fingerprint of the labels, or of the first teacher's labels if there are several.
    pub labels: Option<String>,
    /// Fingerprints of the labels of further teachers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_labels: Vec<String>,
    /// BLAKE3 of the selection.
    pub selection: Option<String>,
    /// Hash of sampled blocks of the token files.
    pub tokens: Option<String>,
    /// The same for the held-out corpus. This and the following fields are null in files of versions that did not
    /// record them.
    #[serde(default)]
    pub validation: Option<String>,
    /// BLAKE3 of the tokenizer.json.
    #[serde(default)]
    pub tokenizer: Option<String>,
    /// Hash of sampled blocks of the weights to start from.
    #[serde(default)]
    pub init: Option<String>,
    /// Hash of sampled blocks of the token files that the labels were made from.
    #[serde(default)]
    pub labelled_tokens: Option<String>,
}

/// How a run used a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It was `data.tokens`.
    AsTokens,
    /// `data.labels` were made from its sequences.
    AsLabels,
}

impl Seen {
    /// A note that `what`, on which the run's model is evaluated, is not held-out text.
    pub fn note(self, what: &str) -> String {
        match self {
            Seen::AsTokens => format!(
                "{what} is text that the model was trained on (its run's data.tokens): the NLL shows how well it learnt that text, not how it does on new text"
            ),
            Seen::AsLabels => format!(
                "{what} belongs to the corpus of the labels that the model's run read (its data.labels): on labelled sequences the NLL shows how well it learnt them, not how it does on new text"
            ),
        }
    }
}

impl Sources {
    /// The hashes of `inputs`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(inputs: &Inputs) -> Result<Self, TrainError> {
        let selection = inputs.config.data.selection.as_deref();
        let selection = selection.map(hash_file).transpose()?;
        let tokenizer = inputs.tokenizer_json.as_deref().map(blake3::hash);
        let sampled = |source: &Option<TokenSource>| {
            let corpus = source.as_ref().map(TokenSource::corpus);
            corpus.map(corpus_identity).transpose()
        };
        Ok(Self {
            labels: inputs.labels.as_ref().map(|labels| labels.fingerprint()),
            other_labels: inputs.labels.as_ref().map_or(Vec::new(), |labels| {
                let others = labels.teachers().skip(1);
                others.map(LabelSource::fingerprint).collect()
            }),
            selection: selection.map(|hash| hash.blake3),
            tokens: sampled(&inputs.tokens)?,
            validation: sampled(&inputs.validation)?,
            tokenizer: tokenizer.map(|hash| hash.to_hex().to_string()),
            init: inputs.init.as_deref().map(model_identity).transpose()?,
            labelled_tokens: inputs.labels.as_ref().map(labelled_identity),
        })
    }

    /// What the run in `dir` recorded when it started or was last resumed. Earlier versions recorded it only in
    /// checkpoints: then that of the latest one. `None` for a directory without a run.
    ///
    /// # Errors
    /// A record that cannot be read, or is damaged.
    pub fn recorded(dir: &Path) -> Result<Option<Self>, TrainError> {
        let path = dir.join(SOURCES_NAME);
        if let Some(bytes) = read_if_exists(&path)? {
            let read = from_checked_json(&bytes);
            return Ok(Some(
                read.map_err(|fault| RunError::Record { path, fault })?,
            ));
        }
        let checkpoints = CheckpointStore::of_run(dir);
        let latest = checkpoints.steps()?.last().copied();
        Ok(latest.and_then(|step| Self::of_checkpoint(&checkpoints.path(step))))
    }

    /// Fingerprints of the labels of each teacher.
    pub fn label_fingerprints(&self) -> Vec<String> {
        self.labels
            .iter()
            .chain(&self.other_labels)
            .cloned()
            .collect()
    }

    /// All label fingerprints in one text, for comparison and messages.
    fn all_labels(&self) -> Option<String> {
        let all = self.label_fingerprints();
        (!all.is_empty()).then(|| all.join(", "))
    }

    /// The sources in the `state.json` of a checkpoint; `None` if it cannot be read. Resuming from that checkpoint
    /// reports the error.
    pub fn of_checkpoint(dir: &Path) -> Option<Self> {
        #[derive(Deserialize)]
        struct State {
            sources: Sources,
        }
        let bytes = storage::read(&dir.join("state.json")).ok()?;
        let state: State = serde_json::from_slice(&bytes).ok()?;
        Some(state.sources)
    }

    /// The sources of the run that trained the model in `dir`, which is RUN/final or a checkpoint.
    pub fn of_model(dir: &Path) -> Option<Self> {
        let dir = resolved_path(dir);
        let in_run = || {
            let run = dir.parent().filter(|_| dir.ends_with("final"))?;
            Self::recorded(run).ok()?
        };
        Self::of_checkpoint(&dir).or_else(in_run)
    }

    /// How the run used the corpus with this [`corpus_identity`]; `None` if it did not.
    pub fn seen(&self, corpus: &str) -> Option<Seen> {
        let is_it = |known: &Option<String>| known.as_deref() == Some(corpus);
        match (is_it(&self.tokens), is_it(&self.labelled_tokens)) {
            (true, _) => Some(Seen::AsTokens),
            (false, true) => Some(Seen::AsLabels),
            (false, false) => None,
        }
    }

    /// Writes them to the run's directory, atomically.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn write(&self, dir: &Path) -> Result<(), StorageError> {
        let path = dir.join(SOURCES_NAME);
        let json = checked_json(self);
        let json = json.map_err(|error| StorageError::io("write", &path, error.into()))?;
        replace(&path, &json)
    }

    /// The configuration keys whose contents are known on both sides and equal.
    pub fn same_keys(&self, recorded: &Self) -> Vec<&'static str> {
        let (theirs, ours) = (recorded.all_labels(), self.all_labels());
        let keys = [
            ("data.labels", &theirs, &ours),
            ("data.selection", &recorded.selection, &self.selection),
            ("data.tokens", &recorded.tokens, &self.tokens),
            ("data.validation", &recorded.validation, &self.validation),
            ("data.tokenizer", &recorded.tokenizer, &self.tokenizer),
            ("init", &recorded.init, &self.init),
        ];
        let same = keys
            .into_iter()
            .filter(|(_, theirs, ours)| theirs.is_some() && theirs == ours);
        same.map(|(key, ..)| key).collect()
    }

    /// Refuses to resume the run in `run` if it read something other than these sources.
    ///
    /// # Errors
    /// [`RunError::OtherSources`], naming the key.
    pub fn check_resumes(&self, recorded: &Self, run: &Path) -> Result<(), TrainError> {
        let (theirs, ours) = (recorded.all_labels(), self.all_labels());
        for (key, expected, got) in [
            ("data.labels", &theirs, &ours),
            ("data.selection", &recorded.selection, &self.selection),
            ("data.tokens", &recorded.tokens, &self.tokens),
            ("data.validation", &recorded.validation, &self.validation),
        ] {
            // Earlier versions did not record the validation corpus.
            let is_unknown = key == "data.validation" && (expected.is_none() || got.is_none());
            if expected != got && !is_unknown {
                let shown = |what: &Option<String>| what.clone().unwrap_or("none".to_owned());
                return Err(RunError::OtherSources {
                    key,
                    expected: shown(expected),
                    got: shown(got),
                    run: run.to_path_buf(),
                }
                .into());
            }
        }
        Ok(())
    }
}
