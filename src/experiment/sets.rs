//! Text held out, and models on it.

use super::arm::Arm;
use super::config::SetConfig;
use super::error::ExperimentError;
use super::{EvalSet, SetScore, json};
use crate::interrupt::Interrupt;
use crate::storage::{fingerprint_of, sampled_blake3};
use crate::tokens::ViewOptions;
use crate::train::TrainError;
use crate::train::data::{TokenOptions, TokenSource};
use crate::train::eval::{
    DEFAULT_BATCH_POSITIONS, EvalError, EvalOptions, evaluate, evaluation_capacity,
};
use crate::train::model::{Network, Params};
use serde::{Deserialize, Serialize};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Raised whenever a score means something else than before, so that old ones are not taken for it.
const SCORE_VERSION: &str = "1";
/// The sets as they were last opened.
const SETS_NAME: &str = "sets.json";

/// A set that was opened.
pub(super) struct OpenedSet {
    /// What the results say of it.
    pub(super) facts: SetFacts,
    source: TokenSource,
}

/// What the results say of a set, kept in `sets.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SetFacts {
    /// For the results.
    #[serde(flatten)]
    pub(super) set: EvalSet,
    /// Changes with its contents, how it is cut, and what a score is.
    pub(super) fingerprint: String,
}

impl OpenedSet {
    /// Opens the set for models that were trained as `arm` is: cut in the same way, of the same
    /// tokenizer.
    pub(super) fn open(config: &SetConfig, arm: &Arm) -> Result<Self, ExperimentError> {
        let opened = open_tokens(config, arm);
        let (source, parts) = opened.map_err(|error| in_set(&config.name, error))?;
        let parts = [SCORE_VERSION.to_owned()].into_iter().chain(parts);
        let parts: Vec<String> = parts.collect();
        Ok(Self {
            facts: SetFacts {
                set: EvalSet {
                    name: config.name.clone(),
                    n_targets: source.view().n_targets(),
                    teacher_nll: None,
                    bucket_borders: Vec::new(),
                },
                fingerprint: fingerprint_of(parts.iter().map(String::as_str)),
            },
            source,
        })
    }

    /// The score of a model, which is given back for the next set.
    pub(super) fn score(
        &self,
        params: Params,
        threads: usize,
        interrupt: &Interrupt,
    ) -> Result<(SetScore, Params), ExperimentError> {
        let scored = score_tokens(&self.source, params, threads, interrupt);
        scored.map_err(|error| in_set(&self.facts.set.name, error))
    }
}

fn in_set(set: &str, error: TrainError) -> ExperimentError {
    ExperimentError::Set {
        set: set.to_owned(),
        source: Box::new(error),
    }
}

fn open_tokens(config: &SetConfig, arm: &Arm) -> Result<(TokenSource, Vec<String>), TrainError> {
    let view = view_of(arm);
    let parts = vec![format!("{view:?}")];
    let options = TokenOptions {
        path: config.tokens.clone(),
        format: config.tokens_format,
        eod: config.eod,
        view,
        seed: 0,
    };
    let (source, _) = TokenSource::open(&options, &arm.tokenizer)?;
    let files = source.corpus().files().iter();
    let hashes: Result<Vec<String>, _> = files.map(|file| sampled_blake3(file)).collect();
    let parts = parts.into_iter().chain(hashes?).collect();
    Ok((source, parts))
}

fn view_of(arm: &Arm) -> ViewOptions {
    let data = &arm.config.data;
    ViewOptions {
        packing: data.packing.unwrap_or(crate::tokens::Packing::Concat),
        seq_len: data.seq_len.unwrap_or(0),
        sequence_bos: data.sequence_bos,
    }
}

fn score_tokens(
    source: &TokenSource,
    params: Params,
    threads: usize,
    interrupt: &Interrupt,
) -> Result<(SetScore, Params), TrainError> {
    let view = source.view();
    let capacity = evaluation_capacity(&params.spec, &view, DEFAULT_BATCH_POSITIONS, threads)?;
    let mut network = Network::new(params, capacity);
    let seq_ids = 0..view.len();
    let flow = |_: &_| match interrupt.is_requested() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let report = evaluate(&mut network, &view, seq_ids, &EvalOptions::default(), flow)?;
    let nll = report
        .score
        .mean_nll_nats
        .ok_or(EvalError::NothingToPredict)?;
    let score = SetScore {
        nll,
        accuracy: f64::NAN,
        ece: f64::NAN,
        buckets: Vec::new(),
    };
    Ok((score, network.into_params()))
}

/// The sets as they were last opened; none where they never were.
pub(super) fn read_sets(output: &Path) -> Result<Vec<SetFacts>, ExperimentError> {
    Ok(json::read(&path(output))?.unwrap_or_default())
}

/// Keeps them for when they are not opened.
pub(super) fn write_sets(output: &Path, sets: &[OpenedSet]) -> Result<(), ExperimentError> {
    let facts: Vec<&SetFacts> = sets.iter().map(|set| &set.facts).collect();
    json::write(&path(output), &facts)
}

fn path(output: &Path) -> PathBuf {
    output.join(SETS_NAME)
}
