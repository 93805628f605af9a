//! The model file that `--teacher` means: a file, or a folder with one model in it.

use super::error::LabelError;
use std::path::{Path, PathBuf};

/// Folders of a folder in which exporters put models.
const SUBFOLDER: &str = "onnx";

/// The `.onnx` file that `named` is, or holds.
///
/// # Errors
/// A folder with no model or several; a hub's id instead of a path.
pub(super) fn model_file(named: &Path) -> Result<PathBuf, LabelError> {
    if named.is_dir() {
        return only_model(named);
    }
    if !named.exists() && is_hub_id(named) {
        let id = named.display();
        return Err(LabelError::option(
            "--teacher",
            "the path of an ONNX file",
            format!(
                "{id}, which does not exist; if it is a model on a hub, fetch its files first: `hf download {id} --local-dir DIR`, and give the .onnx file in DIR (to export a model without one: `optimum-cli export onnx --task text-generation --model {id} DIR`)"
            ),
        ));
    }
    Ok(named.to_owned())
}

fn only_model(folder: &Path) -> Result<PathBuf, LabelError> {
    let mut models = models_in(folder)?;
    let below = folder.join(SUBFOLDER);
    if models.is_empty() && below.is_dir() {
        models = models_in(&below)?;
    }
    match models.as_slice() {
        [only] => Ok(only.clone()),
        several => Err(LabelError::option(
            "--teacher",
            "an ONNX file, or a folder with one in it",
            match several {
                [] => format!(
                    "{}, a folder without an .onnx file (export a Hugging Face checkpoint first)",
                    folder.display()
                ),
                several => format!(
                    "{}, a folder with several: {}",
                    folder.display(),
                    names(several)
                ),
            },
        )),
    }
}

fn models_in(folder: &Path) -> Result<Vec<PathBuf>, LabelError> {
    let failed = |source| crate::storage::StorageError::io("list", folder, source);
    let mut models = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_model = path
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"));
        if is_model && path.is_file() {
            models.push(path);
        }
    }
    models.sort();
    Ok(models)
}

fn names(models: &[PathBuf]) -> String {
    let name = |path: &PathBuf| {
        path.file_name()
            .map(|name| name.to_string_lossy().into_owned())
    };
    models
        .iter()
        .filter_map(name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// `owner/name`, as hubs have it: two words, no extension of a model file.
fn is_hub_id(path: &Path) -> bool {
    let Some(text) = path.to_str() else {
        return false;
    };
    let words: Vec<&str> = text.split('/').collect();
    let is_word = |word: &&str| {
        !word.is_empty()
            && !word.starts_with('.')
            && word
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    words.len() == 2
        && words.iter().all(is_word)
        && !text.ends_with(".onnx")
        && !Path::new(words[0]).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_means_the_one_model_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let refusal = |folder: &Path| model_file(folder).unwrap_err().to_string();
        assert!(refusal(dir.path()).contains("without an .onnx file"));
        let below = dir.path().join("onnx");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("model.onnx"), b"x").unwrap();
        std::fs::write(below.join("model.onnx_data"), b"x").unwrap();
        assert_eq!(model_file(dir.path()).unwrap(), below.join("model.onnx"));
        std::fs::write(below.join("model_fp16.onnx"), b"x").unwrap();
        let message = refusal(dir.path());
        assert!(message.contains("model.onnx, model_fp16.onnx"), "{message}");
        let file = below.join("model.onnx");
        assert_eq!(model_file(&file).unwrap(), file);
    }

    #[test]
    fn a_hub_id_is_told_from_a_path() {
        let message = model_file(Path::new("no-such-owner/SmolLM2-135M")).unwrap_err();
        let message = message.to_string();
        assert!(
            message.contains("hf download no-such-owner/SmolLM2-135M"),
            "{message}"
        );
        for path in [
            "models/a.onnx",
            "./owner/name",
            "/owner/name",
            "a/b/c",
            "src/nothing",
        ] {
            assert_eq!(model_file(Path::new(path)).unwrap(), Path::new(path));
        }
    }
}
