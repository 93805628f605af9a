//! What the model of each arm writes after the same words: `samples.json`.

use crate::experiment::ExperimentError;
use crate::experiment::json;
use crate::train::TrainError;
use crate::train::export::ModelSeal;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Name of the file, in the directory of an experiment.
const SAMPLES_NAME: &str = "samples.json";
/// The file of a model that tells it from any other.
const WEIGHTS: &str = "model.safetensors";

/// Texts of all arms, written in the same way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// What all of them continue.
    pub prompt: String,
    /// Seed of the sampling.
    pub seed: u64,
    /// What the logits were divided by; at 0 the likeliest id was taken.
    pub temperature: f64,
    /// Tokens after the prompt, at most.
    pub max_tokens: usize,
    /// One an arm.
    pub texts: Vec<ArmSample>,
}

/// The text of one arm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmSample {
    /// The arm.
    pub arm: String,
    /// Seed of its run.
    pub seed: u64,
    /// BLAKE3 of the model's weights; null where the model has no checksums.
    pub model: Option<String>,
    /// The prompt, and what the model wrote after it.
    pub text: String,
    /// Why it ends there.
    pub end: String,
}

impl Samples {
    /// Those of the experiment in `root`; `None` where there are none.
    ///
    /// # Errors
    /// A file that is damaged or cannot be read.
    pub fn read(root: &Path) -> Result<Option<Self>, ExperimentError> {
        json::read(&root.join(SAMPLES_NAME))
    }

    /// Puts them in place of earlier ones.
    ///
    /// # Errors
    /// The filesystem's.
    pub fn write(&self, root: &Path) -> Result<(), ExperimentError> {
        json::write(&root.join(SAMPLES_NAME), self)
    }
}

/// BLAKE3 of the weights of the model in `dir`, as its checksums have it.
///
/// # Errors
/// Checksums that cannot be read.
pub fn weights_of(dir: &Path) -> Result<Option<String>, TrainError> {
    let seal = ModelSeal::read(dir)?;
    let hash = seal.as_ref().and_then(|seal| seal.files.get(WEIGHTS));
    Ok(hash.map(|hash| hash.blake3.clone()))
}
