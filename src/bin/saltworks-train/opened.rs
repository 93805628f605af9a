//! What `eval`, `export` and `generate` begin with: a model, and its tokenizer.

use crate::common::exit::{Context, Result};
use saltworks::pretrained::PretrainedError;
use saltworks::tokens::Tokenizer;
use saltworks::train::eval::{check_same_tokenizer, check_tokenizer};
use saltworks::train::export::{SpecialIds, find_model, model_place, read_hf};
use saltworks::train::model::{Capacity, MemoryPlan, ModelSpec, Params};
use saltworks::train::run::{MemoryRoom, RunError, Seen, Sources};
use std::path::{Path, PathBuf};

/// Which model, and which tokenizer.
#[derive(clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Model")]
pub(crate) struct ModelArgs {
    /// Directory of a Hugging Face Llama model, of a finished run (its `final` is used), or of a
    /// checkpoint (RUN/checkpoints/step-N).
    #[arg(long, value_name = "DIR|URL")]
    pub(crate) model: PathBuf,

    /// tokenizer.json, if it is not in the model's directory.
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) tokenizer: Option<PathBuf>,
}

/// A model that was read, but for its parameters, which a network takes.
pub(crate) struct OpenedModel {
    /// Its own directory or URL.
    pub(crate) place: PathBuf,
    pub(crate) spec: ModelSpec,
    pub(crate) special: SpecialIds,
    /// The tokenizer as given, else the model's own; with where it came from.
    pub(crate) tokenizer: Option<(Tokenizer, PathBuf)>,
}

impl ModelArgs {
    pub(crate) fn open(&self) -> Result<(OpenedModel, Params)> {
        let place = model_place(&self.model)?;
        let model = read_hf(&find_model(&place)?)?;
        let mut opened = OpenedModel {
            place,
            spec: model.params.spec.clone(),
            special: model.special,
            tokenizer: None,
        };
        if let Some(path) = self.tokenizer.clone().or_else(|| model.tokenizer.clone()) {
            let tokenizer = Tokenizer::open(&path)?;
            check_tokenizer(&opened.spec, &tokenizer, &path)?;
            if let Some(own) = model.tokenizer.filter(|own| *own != path) {
                check_same_tokenizer(&tokenizer, &path, &own)?;
            }
            opened.tokenizer = Some((tokenizer, path));
        }
        Ok((opened, model.params))
    }
}

impl OpenedModel {
    /// How the run that the model is of, where that is known, learnt from the corpus `identity`.
    pub(crate) fn seen(&self, identity: &str) -> Option<Seen> {
        Sources::of_model(&self.place)?.seen(identity)
    }

    /// The tokenizer, for what cannot do without.
    pub(crate) fn require_tokenizer(&self) -> Result<(&Tokenizer, &Path)> {
        let Some((tokenizer, path)) = &self.tokenizer else {
            return Err(PretrainedError::MissingFile {
                path: self.place.join("tokenizer.json"),
                expected: "the tokenizer that the model was trained with",
                remedy: "pass it with --tokenizer",
            }
            .into());
        };
        Ok((tokenizer, path))
    }
}

/// Refuses activations that would not fit beside the parameters, which are read already.
pub(crate) fn check_memory(
    spec: &ModelSpec,
    capacity: &Capacity,
    remedy: &str,
) -> Result<(), RunError> {
    let needed = MemoryPlan::of(spec, capacity).activations;
    let mebibytes = |bytes: u64| format!("{} MiB", bytes.div_ceil(1 << 20));
    match MemoryRoom::of_system(None) {
        Some(room) if needed > room.bytes => Err(RunError::Memory {
            needed: mebibytes(needed),
            parts: "activations, in addition to the parameters".to_owned(),
            room: mebibytes(room.bytes),
            source_of_room: room.source,
            remedy: remedy.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// A pool of as many threads as asked for; 0 stands for one per core.
pub(crate) fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    let builder = rayon::ThreadPoolBuilder::new().num_threads(threads);
    builder
        .build()
        .map_err(std::io::Error::other)
        .context(format!(
            "cannot start {threads} threads; use a smaller --threads"
        ))
}
