//! A Hugging Face directory into parameters.

use super::ExportError;
use super::config::{SpecialIds, read_config};
use super::file::check_is_there;
use super::index::{shard_names, weight_map};
use super::names::{CONFIG_JSON, INDEX_JSON, MODEL_SAFETENSORS, TOKENIZER_JSON};
use super::safetensors::{TensorFile, slices_of};
use super::seal::check_sealed;
use crate::train::model::{ModelSpec, ParamLayout, Params};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Older files hold what follows from the configuration.
const COMPUTED: &str = ".rotary_emb.inv_freq";
const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// A model as its directory holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct HfModel {
    /// Dimensions and weights.
    pub params: Params,
    /// Beginning and end of a document.
    pub special: SpecialIds,
    /// The `tokenizer.json` next to the weights, if there is one.
    pub tokenizer: Option<PathBuf>,
}

/// The directory of a model that `path` stands for: itself, or `final` in the directory of a run.
///
/// # Errors
/// Neither holds a `config.json`.
pub fn find_model(path: &Path) -> Result<PathBuf, ExportError> {
    for dir in [path.to_owned(), path.join("final")] {
        let config = dir.join(CONFIG_JSON);
        check_is_there(&config)?;
        if config.is_file() {
            return Ok(dir);
        }
    }
    Err(ExportError::MissingFile {
        path: path.join(CONFIG_JSON),
        expected: "the directory of a Hugging Face model, of a finished run, or of a checkpoint",
        remedy: "name one, such as RUN/final or RUN/checkpoints/step-100",
    })
}

/// Reads a Hugging Face directory: `config.json`, and the weights as f32, f16 or bf16.
///
/// # Errors
/// Whatever the trainer does not have, or would have to guess: see the variants of [`ExportError`].
pub fn read_hf(dir: &Path) -> Result<HfModel, ExportError> {
    let (spec, special) = read_config(dir)?;
    check_sealed(dir)?;
    let weights = Weights::open(dir)?;
    weights.check_dtypes()?;
    weights.check_size(&spec, dir)?;
    let layout = ParamLayout::new(&spec);
    weights.check_names(&layout)?;
    let mut params = Params::blank(&spec);
    for tensor in &mut slices_of(&params.layout, &mut params.values) {
        weights.file_of(tensor.name).read(tensor)?;
    }
    weights.check_tied_head(&params)?;
    check_is_there(&dir.join(TOKENIZER_JSON))?;
    let tokenizer = Some(dir.join(TOKENIZER_JSON)).filter(|path| path.is_file());
    Ok(HfModel {
        params,
        special,
        tokenizer,
    })
}

/// The files of weights of one model.
struct Weights {
    files: Vec<TensorFile>,
    /// Which file holds a tensor.
    places: BTreeMap<String, usize>,
}

impl Weights {
    fn open(dir: &Path) -> Result<Self, ExportError> {
        let (single, index) = (dir.join(MODEL_SAFETENSORS), dir.join(INDEX_JSON));
        check_is_there(&single)?;
        check_is_there(&index)?;
        if single.is_file() {
            return Self::of_files(vec![TensorFile::open(&single)?]);
        }
        if !index.is_file() {
            return Err(ExportError::MissingFile {
                path: single,
                expected: "the weights as model.safetensors, or model.safetensors.index.json with its shards",
                remedy: "save the model with safe_serialization, or download these files too",
            });
        }
        let names = shard_names(&index)?;
        let files = names.iter().map(|name| open_shard(&dir.join(name), &index));
        let weights = Self::of_files(files.collect::<Result<_, _>>()?)?;
        weights.check_index(&index, &names)?;
        Ok(weights)
    }

    fn of_files(files: Vec<TensorFile>) -> Result<Self, ExportError> {
        let mut places = BTreeMap::new();
        for (file_idx, file) in files.iter().enumerate() {
            for name in file.names() {
                if places.insert(name.clone(), file_idx).is_some() {
                    let expected = "one file that contains it".to_owned();
                    let remedy = "remove the shards of another download";
                    return Err(file.refusal(&name, expected, "another copy".to_owned(), remedy));
                }
            }
        }
        Ok(Self { files, places })
    }

    /// Every tensor that the index names is where it says.
    fn check_index(&self, index: &Path, names: &[String]) -> Result<(), ExportError> {
        for (tensor, file) in weight_map(index)? {
            let place = self.places.get(&tensor).map(|&idx| &names[idx]);
            if place != Some(&file) {
                return Err(ExportError::Tensor {
                    path: index.to_owned(),
                    name: tensor,
                    expected: format!("it in {file}"),
                    got: place.map_or("none".to_owned(), |place| format!("it in {place}")),
                    remedy: "download the shards and the index again",
                });
            }
        }
        Ok(())
    }

    fn check_dtypes(&self) -> Result<(), ExportError> {
        self.files.iter().try_for_each(TensorFile::check_dtypes)
    }

    /// Before memory is taken: the files hold about as many values as the configuration says. A tensor
    /// that is missing is told by name, later.
    fn check_size(&self, spec: &ModelSpec, dir: &Path) -> Result<(), ExportError> {
        let n_values: u128 = self.files.iter().map(TensorFile::n_values).sum();
        let n_parameters = least_parameters(spec);
        if n_parameters <= n_values.saturating_mul(2) {
            return Ok(());
        }
        Err(ExportError::Config {
            path: dir.join(CONFIG_JSON),
            key: "dimensions".to_owned(),
            expected: format!(
                "the dimensions of a model of {n_values} parameters, as the weights have"
            ),
            got: format!("dimensions that give {n_parameters}"),
            remedy: "weights and configuration must belong to the same model",
        })
    }

    fn check_names(&self, layout: &ParamLayout) -> Result<(), ExportError> {
        let known: BTreeSet<&str> = layout.tensors.iter().map(|slot| &*slot.name).collect();
        let is_known =
            |name: &str| known.contains(name) || name == HEAD || name.ends_with(COMPUTED);
        match self.places.iter().find(|(name, _)| !is_known(name)) {
            Some((name, &file_idx)) => Err(self.files[file_idx].foreign(name)),
            None => Ok(()),
        }
    }

    /// The file that holds a tensor; the first where none does, which then says that it has none.
    fn file_of(&self, name: &str) -> &TensorFile {
        &self.files[self.places.get(name).copied().unwrap_or(0)]
    }

    /// A tied model may repeat its embedding as the head, as the same values.
    fn check_tied_head(&self, params: &Params) -> Result<(), ExportError> {
        if !params.spec.tie_embeddings || !self.places.contains_key(HEAD) {
            return Ok(());
        }
        let file = self.file_of(HEAD);
        let embedding = &params.values[params.layout.embedding.clone()];
        let shape = [params.spec.vocab_size, params.spec.d_model];
        file.for_each_block(HEAD, &shape, |offset, block| {
            if block == &embedding[offset..offset + block.len()] {
                return Ok(());
            }
            let expected = format!("the values of {EMBEDDING}, since tie_word_embeddings is true");
            let remedy = "set it to false if the output layer is a matrix of its own";
            Err(file.refusal(HEAD, expected, "other values".to_owned(), remedy))
        })
    }
}

/// Parameters of a model of these dimensions, the head not counted.
fn least_parameters(spec: &ModelSpec) -> u128 {
    let of = |n: usize| n as u128;
    let (d, head_dim) = (of(spec.d_model), of(spec.head_dim));
    let attention = 2 * d * head_dim * (of(spec.n_heads) + of(spec.n_kv_heads));
    // 32-bit dimensions: products of three stay far below 2^128.
    let layer = attention + 3 * d * of(spec.d_ff) + 2 * d;
    let embeddings = if spec.tie_embeddings { 1 } else { 2 };
    (of(spec.n_layers).saturating_mul(layer))
        .saturating_add(embeddings * of(spec.vocab_size) * d + d)
}

/// Weights that the index names.
fn open_shard(path: &Path, index: &Path) -> Result<TensorFile, ExportError> {
    check_is_there(path)?;
    match path.exists() {
        true => TensorFile::open(path),
        false => Err(ExportError::MissingShard {
            path: path.to_owned(),
            index: index.to_owned(),
        }),
    }
}
