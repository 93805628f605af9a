//! Writes parameters to a Hugging Face directory.

use super::ExportError;
use super::config::{SpecialIds, config_json, eos_value, pretty};
use super::names::{GENERATION_CONFIG_JSON, SEAL_JSON, TOKENIZER_CONFIG_JSON};
use super::safetensors::seal_params;
use super::seal::{ModelSeal, seal_bytes};
use crate::interrupt::Interrupt;
use crate::pretrained::{CONFIG_JSON, MODEL_SAFETENSORS, PretrainedError, TOKENIZER_JSON};
use crate::storage::{Sealed, remove_file, sweep_abandoned_where};
use crate::tokens::Tokenizer;
use crate::train::model::Params;
use serde_json::json;
use std::path::Path;

/// Names of all files that [`write_hf`] writes; those of the tokenizer only if there is one.
pub const HF_FILES: [&str; 6] = [
    CONFIG_JSON,
    MODEL_SAFETENSORS,
    TOKENIZER_JSON,
    TOKENIZER_CONFIG_JSON,
    GENERATION_CONFIG_JSON,
    SEAL_JSON,
];

/// The contents to write.
#[derive(Debug, Clone, Copy)]
pub struct HfContents<'a> {
    /// Dimensions and weights.
    pub params: &'a Params,
    /// Beginning and end of a document.
    pub special: &'a SpecialIds,
    /// The bytes of `tokenizer.json`, if there is one.
    pub tokenizer_json: Option<&'a [u8]>,
}

/// Writes a directory that transformers loads as `LlamaForCausalLM`: `saltworks.json` with size and BLAKE3 of
/// the others, `tokenizer.json` (these bytes, if given), `tokenizer_config.json`, `generation_config.json`,
/// `model.safetensors` in f32 and, last, `config.json`, without which it is not a model. The directory is
/// created if missing; existing files of these names are replaced once all new ones are on disk.
///
/// # Errors
/// I/O errors, weights that are not finite, bytes that are not a tokenizer, a tokenizer with more ids than the
/// model.
pub fn write_hf(
    dir: &Path,
    params: &Params,
    special: &SpecialIds,
    tokenizer_json: Option<&[u8]>,
) -> Result<(), ExportError> {
    let contents = HfContents {
        params,
        special,
        tokenizer_json,
    };
    write_hf_until(dir, &contents, &Interrupt::new())
}

/// As [`write_hf`], but stops on request, in which case earlier files are kept.
///
/// # Errors
/// As [`write_hf`]; [`ExportError::Interrupted`].
pub fn write_hf_until(
    dir: &Path,
    contents: &HfContents<'_>,
    interrupt: &Interrupt,
) -> Result<(), ExportError> {
    let HfContents {
        params,
        special,
        tokenizer_json,
    } = *contents;
    let tokenizer_path = dir.join(TOKENIZER_JSON);
    let tokenizer = tokenizer_json
        .map(|bytes| Tokenizer::from_bytes(bytes, &tokenizer_path))
        .transpose()?;
    if let Some(tokenizer) = &tokenizer {
        check_vocabulary(&tokenizer_path, tokenizer, params)?;
    }
    let _new_dir = NewDir::create(dir)?;
    sweep_abandoned_where(dir, |name| HF_FILES.contains(&name))?;
    let mut sealed = Vec::new();
    let mut add = |name: &str, file: Sealed| sealed.push((name.to_owned(), file));
    if let (Some(bytes), Some(tokenizer)) = (tokenizer_json, &tokenizer) {
        add(TOKENIZER_JSON, seal_bytes(&tokenizer_path, bytes)?);
        let config = tokenizer_config(params, special, tokenizer);
        let path = dir.join(TOKENIZER_CONFIG_JSON);
        add(TOKENIZER_CONFIG_JSON, seal_bytes(&path, config.as_bytes())?);
    }
    let generation = generation_config(special);
    let path = dir.join(GENERATION_CONFIG_JSON);
    add(
        GENERATION_CONFIG_JSON,
        seal_bytes(&path, generation.as_bytes())?,
    );
    let path = dir.join(MODEL_SAFETENSORS);
    add(MODEL_SAFETENSORS, seal_params(&path, params, interrupt)?);
    let config = config_json(&params.spec, special);
    let path = dir.join(CONFIG_JSON);
    add(CONFIG_JSON, seal_bytes(&path, config.as_bytes())?);
    let hashes = sealed
        .iter()
        .map(|(name, file)| (name.clone(), file.hash.clone()));
    let own = ModelSeal::new(hashes).seal(dir)?;
    // While its files are being replaced, the directory does not count as a model.
    remove_file(&dir.join(CONFIG_JSON))?;
    own.replace()?;
    let mut files = sealed.into_iter().map(|(_, file)| file);
    Ok(files.try_for_each(Sealed::replace)?)
}

/// Whether `dir` has the leftovers of a killed [`write_hf`]: a seal, which is renamed into place first, but no
/// `config.json`, which comes last.
pub fn is_half(dir: &Path) -> bool {
    dir.join(SEAL_JSON).is_file() && !dir.join(CONFIG_JSON).exists()
}

/// On drop, removes the directory that it created, if still empty.
struct NewDir<'a>(Option<&'a Path>);

impl<'a> NewDir<'a> {
    fn create(dir: &'a Path) -> Result<Self, ExportError> {
        let is_new = !dir.exists();
        std::fs::create_dir_all(dir).map_err(|source| ExportError::io("create", dir, source))?;
        Ok(Self(is_new.then_some(dir)))
    }
}

impl Drop for NewDir<'_> {
    fn drop(&mut self) {
        // The system refuses this for a directory that is not empty.
        let _ = self.0.map(std::fs::remove_dir);
    }
}

/// A tokenizer may have fewer ids than the model, whose head is then padded, but not more.
fn check_vocabulary(
    path: &Path,
    tokenizer: &Tokenizer,
    params: &Params,
) -> Result<(), ExportError> {
    let n_ids = tokenizer.vocab_size();
    if n_ids as usize <= params.spec.vocab_size {
        return Ok(());
    }
    let config = PretrainedError::Config {
        path: path.to_owned(),
        key: "vocabulary".to_owned(),
        expected: format!("at most the model's {} ids", params.spec.vocab_size),
        got: format!("{n_ids}"),
        remedy: "give the tokenizer that the model was trained with",
    };
    Err(config.into())
}

fn tokenizer_config(params: &Params, special: &SpecialIds, tokenizer: &Tokenizer) -> String {
    let spelt = |id: Option<u32>| id.and_then(|id| spelling(tokenizer, id));
    let mut config = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": false,
        "model_max_length": params.spec.max_seq_len,
    });
    let tokens = [
        ("bos_token", spelt(special.bos)),
        ("eos_token", spelt(special.eos.first().copied())),
    ];
    for (key, token) in tokens {
        if let Some(token) = token {
            config[key] = json!(token);
        }
    }
    pretty(&config)
}

/// A token's spelling, if the tokenizer maps that back to the same id.
fn spelling(tokenizer: &Tokenizer, id: u32) -> Option<String> {
    let token = String::from_utf8(tokenizer.token_bytes(id)?).ok()?;
    (tokenizer.token_id(&token) == Some(id)).then_some(token)
}

fn generation_config(special: &SpecialIds) -> String {
    pretty(&json!({
        "_from_model_config": true,
        "bos_token_id": special.bos,
        "eos_token_id": eos_value(special),
    }))
}
