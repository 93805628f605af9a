//! The model file that `--teacher` refers to: a file, or the one model in a folder.

use super::error::LabelError;
use crate::pretrained::CONFIG_JSON;
use crate::storage;
use std::path::{Path, PathBuf};

/// The subfolder in which exporters put models.
pub(super) const SUBFOLDER: &str = "onnx";
/// What may be given.
pub(super) const TEACHER: &str = "a checkpoint's directory (config.json, *.safetensors), an ONNX file, or a folder with one in it";

/// What `--teacher` refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TeacherPath {
    /// A file, or the directory of a checkpoint.
    pub(super) path: PathBuf,
    pub(super) is_checkpoint: bool,
}

/// The `.onnx` file that `named` is or contains, or the checkpoint that it is. If a folder is both, the file is used,
/// unless `prefers_checkpoint`.
///
/// # Errors
/// A folder with neither, or with several models; a hub id instead of a path.
pub(super) fn teacher_path(
    named: &Path,
    prefers_checkpoint: bool,
) -> Result<TeacherPath, LabelError> {
    let found = storage::metadata_if_exists(named)?;
    if found.is_some_and(|found| found.is_dir) {
        return match prefers_checkpoint && is_checkpoint(named)? && has_weights(named)? {
            true => Ok(checkpoint(named)),
            false => in_folder(named),
        };
    }
    if found.is_none() && is_hub_id(named) {
        let id = named.display();
        return Err(LabelError::option(
            "--teacher",
            "the path of a checkpoint's directory, or of an ONNX file",
            format!(
                "{id}, which does not exist; if it is a model on a hub, give hf://{id}, or fetch its files first: `hf download {id} --local-dir DIR`, and give DIR"
            ),
        ));
    }
    Ok(file(named.to_owned()))
}

fn file(path: PathBuf) -> TeacherPath {
    TeacherPath {
        path,
        is_checkpoint: false,
    }
}

fn checkpoint(folder: &Path) -> TeacherPath {
    TeacherPath {
        path: folder.to_owned(),
        is_checkpoint: true,
    }
}

/// A single ONNX file takes precedence over a checkpoint, and a checkpoint over several.
fn in_folder(folder: &Path) -> Result<TeacherPath, LabelError> {
    let mut models = models_in(folder)?;
    let below = folder.join(SUBFOLDER);
    if models.is_empty() && storage::is_dir(&below)? {
        models = models_in(&below)?;
    }
    match models.as_slice() {
        [only] => Ok(file(only.clone())),
        _ if is_checkpoint(folder)? => Ok(checkpoint(folder)),
        several => Err(LabelError::option(
            "--teacher",
            TEACHER,
            match several {
                [] => format!("{}, a folder with neither", folder.display()),
                several => format!(
                    "{}, a folder with several: {}",
                    folder.display(),
                    names(several)
                ),
            },
        )),
    }
}

/// Its weights may be missing or in another format: reading them will tell.
fn is_checkpoint(folder: &Path) -> Result<bool, LabelError> {
    Ok(storage::exists(&folder.join(CONFIG_JSON))?)
}

/// Whether the weights of a checkpoint are there; the configuration alone may accompany an exporter's model.
pub(super) fn has_weights(folder: &Path) -> Result<bool, LabelError> {
    Ok(!files_of(folder, "safetensors")?.is_empty())
}

fn models_in(folder: &Path) -> Result<Vec<PathBuf>, LabelError> {
    files_of(folder, "onnx")
}

fn files_of(folder: &Path, wanted: &str) -> Result<Vec<PathBuf>, LabelError> {
    let is_wanted = |path: &PathBuf| {
        let extension = path.extension();
        extension.is_some_and(|extension| extension.eq_ignore_ascii_case(wanted))
    };
    let files = storage::list(folder)?.into_iter();
    let files = files.filter(|entry| !entry.is_dir);
    let paths = files.map(|entry| folder.join(entry.name));
    Ok(paths.filter(is_wanted).collect())
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

/// `owner/name`, as on hubs: two words, without the extension of a model file.
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
        let refusal = |folder: &Path| teacher_path(folder, false).unwrap_err().to_string();
        let path_of = |named: &Path| teacher_path(named, false).unwrap().path;
        assert!(refusal(dir.path()).contains("a folder with neither"));
        let below = dir.path().join("onnx");
        std::fs::create_dir(&below).unwrap();
        std::fs::write(below.join("model.onnx"), b"x").unwrap();
        std::fs::write(below.join("model.onnx_data"), b"x").unwrap();
        assert_eq!(path_of(dir.path()), below.join("model.onnx"));
        std::fs::write(below.join("model_fp16.onnx"), b"x").unwrap();
        let message = refusal(dir.path());
        assert!(message.contains("model.onnx, model_fp16.onnx"), "{message}");
        let file = below.join("model.onnx");
        assert_eq!(path_of(&file), file);
        std::fs::write(dir.path().join("config.json"), b"{}").unwrap();
        let checkpoint = teacher_path(dir.path(), false).unwrap();
        assert!(checkpoint.is_checkpoint && checkpoint.path == dir.path());
    }

    #[test]
    fn a_folder_that_is_both_means_the_file_unless_a_checkpoint_is_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let model = dir.path().join("model.onnx");
        for name in ["model.onnx", "config.json"] {
            std::fs::write(dir.path().join(name), b"{}").unwrap();
        }
        // An export accompanied by the configuration has no weights to read.
        assert_eq!(teacher_path(dir.path(), true).unwrap().path, model);
        std::fs::write(dir.path().join("model.safetensors"), b"").unwrap();
        assert_eq!(teacher_path(dir.path(), false).unwrap().path, model);
        let checkpoint = teacher_path(dir.path(), true).unwrap();
        assert!(checkpoint.is_checkpoint && checkpoint.path == dir.path());
    }

    #[test]
    fn a_hub_id_is_told_from_a_path() {
        let message = teacher_path(Path::new("no-such-owner/SmolLM2-135M"), false).unwrap_err();
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
            assert_eq!(
                teacher_path(Path::new(path), true).unwrap().path,
                Path::new(path)
            );
        }
    }
}
