//! What a run goes on from, beside weights and moments.

use super::RunError;
use super::inputs::Inputs;
use crate::storage::{StorageError, fingerprint_of, hash_file, sampled_blake3};
use crate::train::TrainError;
use crate::train::checkpoint::Checkpoint;
use crate::train::config::RunConfig;
use crate::train::data::{LoaderPosition, TokenSource};
use crate::train::schedule::AutoTransition;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Where a run stands after a step: `state.json` of a checkpoint. Floating point values are written
/// so that they read back as the same bits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainState {
    /// Steps done.
    pub step: u64,
    /// Predicted positions that were learnt from.
    pub n_tokens: u64,
    /// Seconds that the steps took, over all processes that worked on the run.
    pub seconds: f64,
    /// Sequences given so far.
    pub loader: LoaderPosition,
    /// The transition `auto`, where that is chosen.
    pub auto: Option<AutoTransition>,
    /// The configuration, every default filled in.
    pub config: RunConfig,
    /// What was read.
    pub sources: Sources,
    /// What wrote this.
    pub created_by: String,
}

impl TrainState {
    /// The one before the first step.
    ///
    /// # Errors
    /// Sources that cannot be read.
    pub fn first(inputs: &Inputs) -> Result<Self, TrainError> {
        Ok(Self {
            step: 0,
            n_tokens: 0,
            seconds: 0.0,
            loader: LoaderPosition::default(),
            auto: inputs.stages.auto_transition(),
            config: inputs.config.clone(),
            sources: Sources::of(inputs)?,
            created_by: format!("saltworks-train {}", env!("CARGO_PKG_VERSION")),
        })
    }

    /// That of `checkpoint`, which the run in `run` saved.
    ///
    /// # Errors
    /// A configuration or inputs other than those of that run.
    pub fn resumed(
        inputs: &Inputs,
        checkpoint: &Checkpoint,
        run: &Path,
    ) -> Result<Self, TrainError> {
        let state: Self = checkpoint.state()?;
        inputs.config.check_resumes(&state.config, run)?;
        state.with_inputs(inputs, run)
    }

    /// That of `checkpoint`, which a run saved that `inputs` are to branch off from.
    ///
    /// # Errors
    /// A configuration or inputs by which the run from its beginning on would have been another.
    pub fn branched(inputs: &Inputs, checkpoint: &Checkpoint) -> Result<Self, TrainError> {
        let state: Self = checkpoint.state()?;
        let (config, dir) = (&inputs.config, &checkpoint.dir);
        config.check_branches(&state.config, checkpoint.step, dir)?;
        state.with_inputs(inputs, dir)
    }

    fn with_inputs(self, inputs: &Inputs, run: &Path) -> Result<Self, TrainError> {
        let state = self;
        Sources::of(inputs)?.check_resumes(&state.sources, run)?;
        Ok(Self {
            config: inputs.config.clone(),
            ..state
        })
    }
}

/// What a run reads, by its contents: the paths may lead to something else when it goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sources {
    /// Fingerprint of the labels.
    pub labels: Option<String>,
    /// BLAKE3 of the selection.
    pub selection: Option<String>,
    /// Of sampled blocks of the token files.
    pub tokens: Option<String>,
}

impl Sources {
    /// Those of `inputs`.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn of(inputs: &Inputs) -> Result<Self, StorageError> {
        let selection = inputs.config.data.selection.as_deref();
        let selection = selection.map(hash_file).transpose()?;
        Ok(Self {
            labels: inputs.labels.as_ref().map(|labels| labels.fingerprint()),
            selection: selection.map(|hash| hash.blake3),
            tokens: inputs.tokens.as_ref().map(sampled).transpose()?,
        })
    }

    /// Refuses to go on with a run in `run` that read `recorded`.
    ///
    /// # Errors
    /// [`RunError::OtherSources`], naming the key.
    pub fn check_resumes(&self, recorded: &Self, run: &Path) -> Result<(), TrainError> {
        for (key, expected, got) in [
            ("data.labels", &recorded.labels, &self.labels),
            ("data.selection", &recorded.selection, &self.selection),
            ("data.tokens", &recorded.tokens, &self.tokens),
        ] {
            if expected != got {
                let said = |what: &Option<String>| what.clone().unwrap_or("none".to_owned());
                return Err(RunError::OtherSources {
                    key,
                    expected: said(expected),
                    got: said(got),
                    run: run.to_path_buf(),
                }
                .into());
            }
        }
        Ok(())
    }
}

fn sampled(tokens: &TokenSource) -> Result<String, StorageError> {
    let files = tokens.corpus().files().iter();
    let hashes: Vec<String> = files
        .map(|file| sampled_blake3(file))
        .collect::<Result<_, _>>()?;
    Ok(fingerprint_of(hashes.iter().map(String::as_str)))
}
