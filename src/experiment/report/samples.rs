//! Text that each arm's model generated from the same prompt: `samples.json`.

use crate::experiment::ExperimentError;
use crate::experiment::json;
use crate::train::TrainError;
use crate::train::export::ModelSeal;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Name of the file, in the directory of an experiment.
const SAMPLES_NAME: &str = "samples.json";
/// The file that identifies a model.
const WEIGHTS: &str = "model.safetensors";

/// Texts of all arms, generated with the same settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    /// The prompt that all of them continue.
    pub prompt: String,
    /// Seed of the sampling.
    pub seed: u64,
    /// Divisor of the logits; 0 takes the most probable id.
    pub temperature: f64,
    /// Maximum tokens after the prompt.
    pub max_tokens: usize,
    /// One per arm.
    pub texts: Vec<ArmSample>,
}

/// The text of one arm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmSample {
    /// The arm.
    pub arm: String,
    /// Seed of its run.
    pub seed: u64,
    /// BLAKE3 of the model's weights; null if the model has no checksums.
    pub model: Option<String>,
    /// The prompt and the generated text.
    pub text: String,
    /// Why it ended.
    pub end: String,
}

impl Samples {
    /// The samples of the experiment in `root`; `None` if there are none.
    ///
    /// # Errors
    /// A file that is damaged or cannot be read.
    pub fn read(root: &Path) -> Result<Option<Self>, ExperimentError> {
        json::read(&root.join(SAMPLES_NAME))
    }

    /// Writes them, replacing earlier ones.
    ///
    /// # Errors
    /// The filesystem's error.
    pub fn write(&self, root: &Path) -> Result<(), ExperimentError> {
        json::write(&root.join(SAMPLES_NAME), self)
    }
}

/// BLAKE3 of the weights of the model in `dir`, from its checksums.
///
/// # Errors
/// Checksums that cannot be read.
pub fn weights_of(dir: &Path) -> Result<Option<String>, TrainError> {
    let seal = ModelSeal::read(dir)?;
    let hash = seal.as_ref().and_then(|seal| seal.files.get(WEIGHTS));
    Ok(hash.map(|hash| hash.blake3.clone()))
}
