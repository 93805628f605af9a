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
/// What a finished run was trained from. It is in the scores too, but those are made again if they are
/// damaged, and must not then vouch for inputs that the model never saw.
const SOURCES_NAME: &str = "sources.json";
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
    /// What is known of the trained model of `run`; `None` where nothing is yet, or the weights are
    /// others now.
    pub(super) fn read(run: &RunPlan) -> Result<Option<Self>, ExperimentError> {
        let read: Option<Self> = json::read(&path(&run.dir))?;
        let Some(read) = read.filter(|_| run.is_trained()) else {
            return Ok(None);
        };
        let is_same = read.weights == weights(run)?;
        Ok(is_same.then_some(read))
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

/// Keeps what the run in `dir`, which has just ended, was trained from.
pub(super) fn keep_sources(dir: &Path, sources: &Sources) -> Result<(), ExperimentError> {
    json::write(&dir.join(SOURCES_NAME), sources)
}

/// Whether the model of `run` is trained and scored on all of `sets`.
pub(super) fn is_scored(run: &RunPlan, sets: &[OpenedSet]) -> Result<bool, ExperimentError> {
    let known = ModelScores::read(run)?;
    Ok(known.is_some_and(|known| sets.iter().all(|set| known.on(&set.facts).is_some())))
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
        cell: run.dir.display().to_string(),
        source: Box::new(source),
    };
    let known = ModelScores::read(run)?;
    let mut scores = match known {
        Some(known) => known,
        None => {
            let recorded: Option<Sources> = json::read(&run.dir.join(SOURCES_NAME))?;
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
