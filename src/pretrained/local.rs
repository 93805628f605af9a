//! Models at URLs: the files that are read are copied to this machine.

use super::PretrainedError;
use super::names::CONFIG_JSON;
use crate::storage;
use std::path::{Path, PathBuf};

/// Files other than weights that may be read: dimensions, the tokenizer, the index of shards, the seal of the
/// trainer's own models. An adapter's configuration is copied so that it can be refused.
const BESIDE_WEIGHTS: [&str; 6] = [
    CONFIG_JSON,
    "adapter_config.json",
    "genai_config.json",
    "model.safetensors.index.json",
    "saltworks.json",
    "tokenizer.json",
];

/// A local directory with the checkpoint at `dir`: `dir` itself or, for a URL, a copy in the cache of its
/// configuration, `model*.safetensors` and tokenizer. Other formats of the same weights are not copied.
///
/// # Errors
/// A URL without such files; errors of the store.
pub fn local_checkpoint(dir: &Path) -> Result<PathBuf, PretrainedError> {
    Ok(storage::local_copy_of(dir, |name| {
        is_beside_weights(name) || name.starts_with("model") && is_safetensors(name)
    })?)
}

/// Whether this is a file that may be read besides the weights.
pub fn is_beside_weights(name: &str) -> bool {
    BESIDE_WEIGHTS.contains(&name)
}

fn is_safetensors(name: &str) -> bool {
    name.ends_with(".safetensors") && !name.contains('/')
}

#[cfg(feature = "object-stores")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::{memory_store, put_tree};

    #[test]
    fn what_is_read_of_a_checkpoint_is_copied_and_nothing_else() {
        memory_store("s3://pretrained-local");
        let dir = tempfile::tempdir().unwrap();
        let wanted = [
            "config.json",
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            "model.safetensors.index.json",
            "tokenizer.json",
        ];
        let others = [
            "consolidated.safetensors",
            "optimizer.safetensors",
            "pytorch_model.bin",
            "README.md",
            "original/model.safetensors",
        ];
        for name in wanted.iter().chain(&others) {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        let url = Path::new("s3://pretrained-local/a/model");
        put_tree(dir.path(), url);
        let local = local_checkpoint(url).unwrap();
        let names = storage::list_all(&local).unwrap();
        let names: Vec<String> = names
            .into_iter()
            .map(|entry| entry.name.into_string().unwrap())
            .collect();
        assert_eq!(names, wanted);
        assert_eq!(local_checkpoint(url).unwrap(), local, "copied once");
        // If one file changes, the model counts as another.
        storage::replace(&url.join("config.json"), b"changed").unwrap();
        let changed = local_checkpoint(url).unwrap();
        assert_ne!(changed, local);
        assert_eq!(
            storage::read(&changed.join("config.json")).unwrap(),
            b"changed"
        );
        assert_eq!(local_checkpoint(dir.path()).unwrap(), dir.path());
        let absent = local_checkpoint(&url.join("nothing"))
            .unwrap_err()
            .to_string();
        assert!(
            absent.contains("s3://pretrained-local/a/model/nothing"),
            "{absent}"
        );
    }
}
