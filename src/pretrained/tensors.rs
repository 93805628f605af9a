//! The files of weights of one model: `model.safetensors`, or an index and its shards.

use super::PretrainedError;
use super::file::check_usable_file;
use super::index::{shard_names, weight_map};
use super::names::{INDEX_JSON, MODEL_SAFETENSORS};
use super::tensor_file::TensorFile;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The tensors of all files of a model.
#[derive(Debug)]
pub struct Tensors {
    files: Vec<TensorFile>,
    /// Index of the file that holds each tensor.
    places: BTreeMap<String, usize>,
    index: Option<PathBuf>,
}

impl Tensors {
    /// Maps the weights of the model in `dir`, and checks that the index and the shards agree.
    ///
    /// # Errors
    /// Files that are missing, incomplete or of several models; an unsupported dtype.
    pub fn open(dir: &Path) -> Result<Self, PretrainedError> {
        let (single, index) = (dir.join(MODEL_SAFETENSORS), dir.join(INDEX_JSON));
        check_usable_file(&single)?;
        check_usable_file(&index)?;
        let tensors = match (single.is_file(), index.is_file()) {
            (true, true) => return Err(two_models(dir)),
            (true, false) => Self::of_files(vec![TensorFile::open(&single)?], None)?,
            (false, true) => Self::of_shards(dir, index)?,
            (false, false) => return Err(no_weights(dir, single)),
        };
        tensors
            .files
            .iter()
            .try_for_each(TensorFile::check_dtypes)?;
        Ok(tensors)
    }

    fn of_shards(dir: &Path, index: PathBuf) -> Result<Self, PretrainedError> {
        let names = shard_names(&index)?;
        let files = names.iter().map(|name| open_shard(&dir.join(name), &index));
        let files = files.collect::<Result<_, _>>()?;
        let tensors = Self::of_files(files, Some(index.clone()))?;
        tensors.check_index(&index, &names)?;
        Ok(tensors)
    }

    fn of_files(files: Vec<TensorFile>, index: Option<PathBuf>) -> Result<Self, PretrainedError> {
        let mut places = BTreeMap::new();
        for (file_idx, file) in files.iter().enumerate() {
            for name in file.names() {
                if places.insert(name.clone(), file_idx).is_some() {
                    let expected = "one file to hold it".to_owned();
                    let remedy = "remove the shards of another download";
                    return Err(file.refusal(&name, expected, "another copy".to_owned(), remedy));
                }
            }
        }
        Ok(Self {
            files,
            places,
            index,
        })
    }

    /// Every tensor is in the file that the index names.
    fn check_index(&self, index: &Path, names: &[String]) -> Result<(), PretrainedError> {
        for (tensor, file) in weight_map(index)? {
            let place = self.places.get(&tensor).map(|&idx| &names[idx]);
            if place != Some(&file) {
                return Err(PretrainedError::Tensor {
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

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Whether there is such a tensor.
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// Values of all tensors.
    pub fn n_values(&self) -> u128 {
        self.files.iter().map(TensorFile::n_values).sum()
    }

    /// The file that holds a tensor. If none does, the first, which then reports it as missing.
    pub fn file_of(&self, name: &str) -> &TensorFile {
        &self.files[self.places.get(name).copied().unwrap_or(0)]
    }

    /// The files that are read, including the index.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let files = self.files.iter().map(TensorFile::path);
        self.index.as_deref().into_iter().chain(files)
    }
}

/// Opens a shard that the index names.
fn open_shard(path: &Path, index: &Path) -> Result<TensorFile, PretrainedError> {
    check_usable_file(path)?;
    match path.exists() {
        true => TensorFile::open(path),
        false => Err(PretrainedError::MissingShard {
            path: path.to_owned(),
            index: index.to_owned(),
        }),
    }
}

fn two_models(dir: &Path) -> PretrainedError {
    PretrainedError::Directory {
        path: dir.to_owned(),
        expected: "one checkpoint",
        found: format!("{MODEL_SAFETENSORS}, and {INDEX_JSON} of another"),
        remedy: "remove the one that you do not want",
    }
}

/// Other formats of weights, and how to convert them.
const FORMATS: [(&str, &str); 6] = [
    (
        "pytorch_model.bin",
        "convert it: in Python, AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT) with transformers",
    ),
    (
        "pytorch_model.bin.index.json",
        "convert it: in Python, AutoModelForCausalLM.from_pretrained(DIR).save_pretrained(OUT) with transformers",
    ),
    (
        "consolidated.safetensors",
        "these are weights by their maker's own names: convert them with the script for the family in transformers, or download model.safetensors",
    ),
    (
        "consolidated.00.pth",
        "these are weights by their maker's own names: convert them with the script for the family in transformers, or download model.safetensors",
    ),
    (
        "adapter_model.safetensors",
        "merge the adapter into its base model (PEFT: merge_and_unload), and save that",
    ),
    (
        "tf_model.h5",
        "convert it: in Python, AutoModelForCausalLM.from_pretrained(DIR, from_tf=True).save_pretrained(OUT) with transformers 4",
    ),
];

fn no_weights(dir: &Path, single: PathBuf) -> PretrainedError {
    const EXPECTED: &str =
        "the weights as model.safetensors, or model.safetensors.index.json with its shards";
    match FORMATS.iter().find(|(name, _)| dir.join(name).exists()) {
        Some((name, remedy)) => PretrainedError::Directory {
            path: dir.to_owned(),
            expected: EXPECTED,
            found: (*name).to_owned(),
            remedy,
        },
        None => PretrainedError::MissingFile {
            path: single,
            expected: EXPECTED,
            remedy: "save the model with safe_serialization, or download these files too",
        },
    }
}
