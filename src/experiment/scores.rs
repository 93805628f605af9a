//! Scores of one trained model: `scores.json` in its run's directory.

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

/// Name of the file.
const SCORES_NAME: &str = "scores.json";
/// The file of a model that its scores depend on.
const WEIGHTS_NAME: &str = "model.safetensors";

/// Scores and facts of a trained model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ModelScores {
    /// BLAKE3 of sampled blocks of the weights.
    pub(super) weights: String,
    /// Positions that it was trained on, including those before a branch.
    pub(super) n_tokens: u64,
    /// Seconds of all its steps, including those before a branch.
    pub(super) seconds: f64,
    /// Its training inputs, identified by contents.
    pub(super) sources: Sources,
    /// Scores on the sets so far.
    pub(super) sets: Vec<CachedScore>,
}

/// A score, valid as long as weights and set are the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct CachedScore {
    /// Name of the set.
    pub(super) name: String,
    /// Fingerprint of the set.
    pub(super) fingerprint: String,
    /// The score.
    pub(super) score: SetScore,
}

impl ModelScores {
    /// The scores of the trained model of `run`; `None` if there are none yet.
    ///
    /// # Errors
    /// [`ExperimentError::OtherModel`] if the weights are not those that were scored, since their scores would
    /// replace good ones.
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

    /// For the trained model of `run`, before any evaluation.
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

    /// The score on a set, if it is known for the set's current contents.
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

/// Whether the model of `run` is trained, with recorded inputs, and scored on all of `sets`.
pub(super) fn is_scored(run: &RunPlan, sets: &[OpenedSet]) -> Result<bool, ExperimentError> {
    let Some(known) = ModelScores::read(run)? else {
        return Ok(false);
    };
    let is_whole = sets.iter().all(|set| known.on(&set.facts).is_some());
    Ok(is_whole && run.has_sources())
}

/// Scores the trained model of `run` on those of `sets` that it has no score for, and saves each score at once.
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
