//! Scores of one trained model: `scores.json` in the directory of its run.

use super::cost::last_step;
use super::error::ExperimentError;
use super::grid::RunPlan;
use super::sets::{OpenedSet, SetFacts};
use super::{SetScore, json};
use crate::interrupt::Interrupt;
use crate::storage::sampled_blake3;
use crate::train::TrainError;
use crate::train::export::read_hf;
use crate::train::run::Sources;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file.
const SCORES_NAME: &str = "scores.json";
/// Of a model's directory, what its scores depend on.
const WEIGHTS_NAME: &str = "model.safetensors";

/// What is known of a trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ModelScores {
    /// BLAKE3 of sampled blocks of the weights.
    pub(super) weights: String,
    /// Positions that it learnt from, those before a branch included.
    pub(super) n_tokens: u64,
    /// Seconds of all its steps, those before a branch included.
    pub(super) seconds: f64,
    /// What it was trained from, by contents.
    pub(super) sources: Sources,
    /// On every set so far.
    pub(super) sets: Vec<CachedScore>,
}

/// A score, good for as long as weights and set are the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CachedScore {
    /// Name of the set.
    pub(super) name: String,
    /// Of the set.
    pub(super) fingerprint: String,
    /// What was found.
    pub(super) score: SetScore,
}

impl ModelScores {
    /// What is known of the trained model of `run`; `None` where nothing is yet.
    ///
    /// # Errors
    /// [`ExperimentError::OtherModel`] where the weights are not those that were scored: scores of
    /// them would take the place of good ones.
    pub(super) fn read(run: &RunPlan) -> Result<Option<Self>, ExperimentError> {
        let read: Option<Self> = json::read(&path(&run.dir))?;
        let Some(read) = read.filter(|_| run.is_trained()) else {
            return Ok(None);
        };
        let got = weights(run)?;
        if read.weights == got {
            return Ok(Some(read));
        }
        Err(ExperimentError::OtherModel {
            cell: run.full_name(),
            path: run.model_dir().join(WEIGHTS_NAME),
            expected: read.weights,
            got,
            run: run.dir.clone(),
        })
    }

    /// The model of `run`, which is trained, before any evaluation.
    fn new(run: &RunPlan, sources: &Sources) -> Result<Self, TrainError> {
        let last = last_step(&run.dir)?;
        Ok(Self {
            weights: weights(run)?,
            n_tokens: last.map_or(0, |last| last.n_tokens),
            seconds: last.map_or(0.0, |last| last.seconds),
            sources: sources.clone(),
            sets: Vec::new(),
        })
    }

    /// The score on a set, if it is known of the set as it is now.
    pub(super) fn on(&self, set: &SetFacts) -> Option<&SetScore> {
        let mut cached = self.sets.iter();
        let found = cached.find(|cached| cached.fingerprint == set.fingerprint);
        found.map(|cached| &cached.score)
    }

    fn put(&mut self, set: &SetFacts, score: SetScore) {
        self.sets.retain(|cached| cached.name != set.set.name);
        self.sets.push(CachedScore {
            name: set.set.name.clone(),
            fingerprint: set.fingerprint.clone(),
            score,
        });
    }
}

/// Whether the model of `run` is trained, from what is recorded, and scored on all of `sets`.
pub(super) fn is_scored(run: &RunPlan, sets: &[OpenedSet]) -> Result<bool, ExperimentError> {
    let Some(known) = ModelScores::read(run)? else {
        return Ok(false);
    };
    let is_whole = sets.iter().all(|set| known.on(&set.facts).is_some());
    Ok(is_whole && run.has_sources())
}

/// Scores the model of `run`, which is trained, on those of `sets` that it was not scored on, and
/// keeps each score as soon as it is there.
pub(super) fn score_missing(
    run: &RunPlan,
    sources: &Sources,
    sets: &[OpenedSet],
    pool: &rayon::ThreadPool,
    interrupt: &Interrupt,
) -> Result<(), ExperimentError> {
    let in_run = |source: TrainError| ExperimentError::Cell {
        cell: run.full_name(),
        source: Box::new(source),
    };
    let known = ModelScores::read(run)?;
    let mut scores = match known {
        Some(known) => known,
        None => {
            let recorded = Sources::recorded(&run.dir).map_err(in_run)?;
            let same = recorded.map_or(Ok(()), |it| sources.check_resumes(&it, &run.dir));
            same.map_err(in_run)?;
            ModelScores::new(run, sources).map_err(in_run)?
        }
    };
    let missing = sets.iter().filter(|set| scores.on(&set.facts).is_none());
    let missing: Vec<&OpenedSet> = missing.collect();
    if missing.is_empty() {
        return Ok(());
    }
    let model = read_hf(&run.model_dir()).map_err(|error| in_run(error.into()))?;
    let mut params = model.params;
    for set in missing {
        let threads = pool.current_num_threads();
        let (score, given_back) = pool.install(|| set.score(params, threads, interrupt))?;
        params = given_back;
        scores.put(&set.facts, score);
        json::write(&path(&run.dir), &scores)?;
    }
    Ok(())
}

fn weights(run: &RunPlan) -> Result<String, crate::storage::StorageError> {
    sampled_blake3(&run.model_dir().join(WEIGHTS_NAME))
}

fn path(run: &Path) -> PathBuf {
    run.join(SCORES_NAME)
}
