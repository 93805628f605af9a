//! A Hugging Face directory: a description of the decoder, and its weights under the description's names.

use super::PretrainedError;
use super::cut::{Source, source_of};
use super::describe::{family_of, read};
use super::families::Family;
use super::file::check_usable_file;
use super::names::{CONFIG_JSON, INDEX_JSON, TOKENIZER_JSON};
use super::section::Section;
use super::tensors::Tensors;
use crate::onnx::decoder::{DecoderSpec, Weight, Weights, weights_of};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

const ADAPTER_CONFIG_JSON: &str = "adapter_config.json";

/// A model in a directory. Values are checked to be finite as they are read.
#[derive(Debug)]
pub struct Checkpoint {
    /// The directory.
    pub dir: PathBuf,
    /// The family's common name.
    pub family: &'static str,
    /// All that the logits depend on besides the weights.
    pub spec: DecoderSpec,
    /// The files that are read, `config.json` first.
    pub files: Vec<PathBuf>,
    /// The `tokenizer.json` next to them, if there is one.
    pub tokenizer: Option<PathBuf>,
    /// Notes for the user.
    pub notes: Vec<String>,
    tensors: Tensors,
    /// By the weight's name.
    sources: BTreeMap<String, Source>,
}

impl Checkpoint {
    /// Reads `config.json`, maps the weights, and checks that exactly the expected tensors are there, with
    /// their shapes.
    ///
    /// # Errors
    /// Anything missing, unsupported or ambiguous: see [`PretrainedError`].
    pub fn open(dir: &Path) -> Result<Self, PretrainedError> {
        check_directory(dir)?;
        let config = Section::open(&dir.join(CONFIG_JSON))?;
        let family = family_of(&config)?;
        let spec = read(&config, family)?;
        let tensors = Tensors::open(dir)?;
        check_shards(dir, &tensors)?;
        check_size(&config, &spec, &tensors)?;
        let names = Names::new(family, &spec, &tensors);
        let sources = names.sources();
        names.check_shapes(&sources)?;
        names.check_foreign(&sources)?;
        names.check_tied_head(&sources)?;
        check_usable_file(&dir.join(TOKENIZER_JSON))?;
        let tokenizer = Some(dir.join(TOKENIZER_JSON)).filter(|path| path.is_file());
        let config = std::iter::once(config.path().to_owned());
        Ok(Self {
            files: config.chain(tensors.paths().map(Path::to_owned)).collect(),
            notes: notes(dir, tokenizer.is_some()),
            dir: dir.to_owned(),
            family: family.name,
            spec,
            tokenizer,
            tensors,
            sources,
        })
    }
}

impl Weights for Checkpoint {
    type Error = PretrainedError;

    /// # Panics
    /// If the description has no such weight.
    fn read_rows(
        &self,
        weight: &Weight,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), PretrainedError> {
        let source = self.sources.get(&weight.name);
        let source = source.expect("a weight of the description");
        match source.is_transposed {
            true => self.read_columns(source, rows, values),
            false => self.read_blocks(source, weight.row_len(), rows, values),
        }
    }
}

impl Checkpoint {
    fn read_blocks(
        &self,
        source: &Source,
        row_len: usize,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), PretrainedError> {
        let file = self.tensors.file_of(&source.tensor);
        let mut row = rows.start;
        while row < rows.end {
            let n_rows = source.n_contiguous_rows(row).min(rows.end - row);
            let start = source.row(row) * row_len;
            let range = start..start + n_rows * row_len;
            file.append(&source.tensor, &source.shape, range, values)?;
            row += n_rows;
        }
        Ok(())
    }

    /// For a tensor `[in, out]`, whose columns are the weight's rows.
    fn read_columns(
        &self,
        source: &Source,
        rows: Range<usize>,
        values: &mut Vec<f32>,
    ) -> Result<(), PretrainedError> {
        let file = self.tensors.file_of(&source.tensor);
        let (n_in, n_out) = (source.shape[0], source.shape[1]);
        let first = values.len();
        values.resize(first + rows.len() * n_in, 0.0);
        let mut part = Vec::with_capacity(rows.len());
        for input in 0..n_in {
            let start = input * n_out + source.row(rows.start);
            part.clear();
            let range = start..start + rows.len();
            file.append(&source.tensor, &source.shape, range, &mut part)?;
            for (idx, &value) in part.iter().enumerate() {
                values[first + idx * n_in + input] = value;
            }
        }
        Ok(())
    }
}

/// The names of the tensors of one model.
struct Names<'a> {
    family: &'static Family,
    spec: &'a DecoderSpec,
    tensors: &'a Tensors,
    has_base: bool,
}

impl<'a> Names<'a> {
    fn new(family: &'static Family, spec: &'a DecoderSpec, tensors: &'a Tensors) -> Self {
        Self {
            family,
            spec,
            tensors,
            // A model saved without its head has names without the base.
            has_base: tensors.names().any(|name| name.starts_with(family.base)),
        }
    }

    fn sources(&self) -> BTreeMap<String, Source> {
        let of = |weight: Weight| {
            let mut source = source_of(self.family.layers, self.family.tensors, self.spec, &weight);
            let source = source
                .as_mut()
                .expect("the family's table has every weight");
            source.tensor = self.found(&source.tensor);
            (weight.name, source.clone())
        };
        weights_of(self.spec).into_iter().map(of).collect()
    }

    fn found(&self, name: &str) -> String {
        match name.strip_prefix(self.family.base) {
            Some(rest) if !self.has_base => rest.to_owned(),
            _ => name.to_owned(),
        }
    }

    /// Every tensor is there, with its shape.
    fn check_shapes(&self, sources: &BTreeMap<String, Source>) -> Result<(), PretrainedError> {
        weights_of(self.spec).iter().try_for_each(|weight| {
            let source = &sources[&weight.name];
            let file = self.tensors.file_of(&source.tensor);
            file.check_shape(&source.tensor, &source.shape)
        })
    }

    /// There are no others, except the head of a tied model and tensors that follow from the configuration.
    fn check_foreign(&self, sources: &BTreeMap<String, Source>) -> Result<(), PretrainedError> {
        let known: BTreeSet<&str> = sources.values().map(|source| &*source.tensor).collect();
        let head = self.tied_head();
        let is_known = |name: &str| {
            let mut computed = self.family.computed.iter();
            known.contains(name)
                || head.as_deref() == Some(name)
                || computed.any(|end| name.ends_with(end))
        };
        match self.tensors.names().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(name) => {
                let file = self.tensors.file_of(name);
                Err(file.foreign(name, self.family.architecture))
            }
        }
    }

    /// The name that the head of a tied model would have.
    fn tied_head(&self) -> Option<String> {
        let tables = self.family.tensors.iter().flat_map(|table| table.iter());
        let mut heads = tables.filter(|(name, ..)| *name == "head");
        let head = heads.next().filter(|_| self.spec.head.is_tied);
        head.map(|(_, tensor, _)| format!("{tensor}.weight"))
    }

    /// A tied model may store its embedding again as the head, but with the same values.
    fn check_tied_head(&self, sources: &BTreeMap<String, Source>) -> Result<(), PretrainedError> {
        let Some(head) = self.tied_head().filter(|name| self.tensors.contains(name)) else {
            return Ok(());
        };
        let embedding = &sources["embedding.weight"];
        let (file, other) = (
            self.tensors.file_of(&head),
            self.tensors.file_of(&embedding.tensor),
        );
        let mut theirs = Vec::new();
        file.for_each_block(&head, &embedding.shape, |start, block| {
            theirs.clear();
            let range = start..start + block.len();
            other.append(&embedding.tensor, &embedding.shape, range, &mut theirs)?;
            if theirs == block {
                return Ok(());
            }
            let name = &embedding.tensor;
            let expected = format!("the values of {name}, since tie_word_embeddings is true");
            let remedy = "set it to false if the head is a matrix of its own";
            Err(file.refusal(&head, expected, "other values".to_owned(), remedy))
        })
    }
}

/// Checks that it is a complete model and not, for example, an adapter.
fn check_directory(dir: &Path) -> Result<(), PretrainedError> {
    if dir.is_file() {
        return Err(PretrainedError::NotThatFile {
            path: dir.to_owned(),
            got: "a file".to_owned(),
            remedy: "give the directory of the checkpoint, which holds its config.json",
        });
    }
    check_usable_file(&dir.join(CONFIG_JSON))?;
    if dir.join(ADAPTER_CONFIG_JSON).exists() {
        return Err(PretrainedError::Directory {
            path: dir.to_owned(),
            expected: "the checkpoint of a whole model",
            found: format!("{ADAPTER_CONFIG_JSON}, an adapter to another model"),
            remedy: "merge the adapter into its base model (PEFT: merge_and_unload), and save that",
        });
    }
    match dir.join(CONFIG_JSON).exists() {
        true => Ok(()),
        false => Err(PretrainedError::MissingFile {
            path: dir.join(CONFIG_JSON),
            expected: "the directory of a Hugging Face checkpoint",
            remedy: "name one, with config.json, model.safetensors and tokenizer.json",
        }),
    }
}

/// Names of the files in it, sorted.
fn file_names(dir: &Path) -> Result<BTreeSet<String>, PretrainedError> {
    let io = |source| PretrainedError::io("list", dir, source);
    let entries = std::fs::read_dir(dir).map_err(io)?;
    entries
        .map(|entry| {
            Ok(entry
                .map_err(io)?
                .file_name()
                .to_string_lossy()
                .into_owned())
        })
        .collect()
}

/// A shard that the index does not name is left from another download.
fn check_shards(dir: &Path, tensors: &Tensors) -> Result<(), PretrainedError> {
    let read: BTreeSet<PathBuf> = tensors.paths().map(Path::to_owned).collect();
    let is_shard = |name: &str| name.starts_with("model-") && name.ends_with(".safetensors");
    let names = file_names(dir)?;
    let mut others = names.iter().filter(|name| is_shard(name));
    match others.find(|name| !read.contains(&dir.join(name))) {
        None => Ok(()),
        Some(name) => Err(PretrainedError::Directory {
            path: dir.to_owned(),
            expected: "one checkpoint",
            found: format!("{name}, which no {INDEX_JSON} lists, next to other weights"),
            remedy: "remove the files of the other download",
        }),
    }
}

/// Checks that the files hold at least half as many values as the configuration implies, before memory is
/// allocated for it. A missing tensor is reported by name later.
fn check_size(
    config: &Section,
    spec: &DecoderSpec,
    tensors: &Tensors,
) -> Result<(), PretrainedError> {
    let wide = |n: usize| n as u128;
    let n_values = tensors.n_values();
    let d_model = wide(spec.d_model);
    let of_layers = spec.layers.iter().map(|layer| {
        let attention = &layer.attention;
        let heads = wide(attention.n_heads) + wide(attention.n_kv_heads);
        d_model * (2 * heads * wide(attention.head_dim) + 2 * wide(layer.feed_forward.d_ff))
    });
    let n_parameters = of_layers.sum::<u128>() + wide(spec.vocab_size) * d_model;
    if n_parameters <= n_values.saturating_mul(2) {
        return Ok(());
    }
    Err(PretrainedError::Config {
        path: config.path().to_owned(),
        key: "dimensions".to_owned(),
        expected: format!("those of a model of {n_values} parameters, which the weights hold"),
        got: format!("those of one of {n_parameters}"),
        remedy: "weights and configuration must be of the same model",
    })
}

/// Notes on a directory that can be read.
fn notes(dir: &Path, has_tokenizer: bool) -> Vec<String> {
    let mut notes = Vec::new();
    if !has_tokenizer {
        notes.push(format!(
            "{} has no {TOKENIZER_JSON}: ids in the tokens are assumed to be the model's own",
            dir.display()
        ));
    }
    let names = file_names(dir).unwrap_or_default();
    let mut others = names.iter().filter(|name| name.starts_with("consolidated"));
    if let Some(name) = others.next() {
        notes.push(format!(
            "{}: {name} is ignored; the weights are read from the files with Hugging Face's names",
            dir.display()
        ));
    }
    notes
}
