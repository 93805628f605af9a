//! Teachers at URLs: copied to this machine, since weights are mapped and ONNX Runtime reads files.

use super::error::LabelError;
use super::teacher_path::{SUBFOLDER, TeacherPath};
use crate::checkpoint_graph::CheckpointGraphError;
use crate::onnx;
use crate::pretrained::{is_beside_weights, local_checkpoint};
use crate::storage;
use std::path::{Path, PathBuf};

/// `teacher` on this machine: itself or, for a URL, a copy in the cache, with the files next to it that are
/// read.
///
/// # Errors
/// The store's error; a file that is not a model.
pub(super) fn local_teacher(teacher: TeacherPath) -> Result<TeacherPath, LabelError> {
    let path = match teacher.is_checkpoint {
        _ if !storage::is_url(&teacher.path) => return Ok(teacher),
        true => local_checkpoint(&teacher.path).map_err(CheckpointGraphError::from)?,
        false => local_model(&teacher.path)?,
    };
    Ok(TeacherPath { path, ..teacher })
}

/// An ONNX file with its external data. The tokenizer and the configuration are next to it, or above a folder
/// called `onnx`.
fn local_model(url: &Path) -> Result<PathBuf, LabelError> {
    let dir = url.parent().unwrap_or(url);
    let (root, below) = match dir.parent() {
        // A bucket or repository with that name has no folder above it.
        Some(above) if dir.ends_with(SUBFOLDER) && is_folder(above) => {
            (above, format!("{SUBFOLDER}/"))
        }
        _ => (dir, String::new()),
    };
    let name = url.file_name().unwrap_or_default().to_string_lossy();
    let locations = onnx::external_locations(&storage::local_copy(url)?)?;
    let is_of_model = |beside: &str| {
        let location = beside.trim_start_matches("./");
        beside == name
            || is_beside_weights(beside)
            || locations
                .iter()
                .any(|known| known.trim_start_matches("./") == location)
    };
    let copy = storage::local_copy_of(root, |beside| {
        is_beside_weights(beside) || beside.strip_prefix(&below).is_some_and(is_of_model)
    })?;
    Ok(copy.join(below).join(name.as_ref()))
}

fn is_folder(above: &Path) -> bool {
    storage::is_url(above) && storage::is_dir(above).unwrap_or_default()
}

#[cfg(feature = "object-stores")]
#[cfg(test)]
mod tests {
    use super::super::teacher_path::teacher_path;
    use super::*;
    use crate::models::{DecoderSpec, decoder};
    use crate::storage::testing::{memory_store, put_tree};

    fn local(url: &str) -> Result<PathBuf, LabelError> {
        Ok(local_teacher(teacher_path(Path::new(url), false)?)?.path)
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = storage::list_all(dir).unwrap().into_iter();
        entries
            .map(|entry| entry.name.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_model_comes_with_its_external_data_and_tokenizer_and_without_its_other_variants() {
        memory_store("s3://label-teacher");
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str| std::fs::write(dir.path().join(name), "{}").unwrap();
        std::fs::create_dir(dir.path().join("onnx")).unwrap();
        let spec = DecoderSpec {
            vocab_size: 32,
            width: 16,
            n_layers: 1,
            n_heads: 2,
            max_seq_len: 8,
            seed: 3,
            external_data: true,
        };
        decoder(&spec, &dir.path().join("onnx/model.onnx")).unwrap();
        for name in [
            "tokenizer.json",
            "README.md",
            "other.safetensors",
            "onnx/notes.txt",
        ] {
            write(name);
        }
        put_tree(dir.path(), Path::new("s3://label-teacher/m"));
        let copy = local("s3://label-teacher/m/onnx/model.onnx").unwrap();
        let root = copy.parent().unwrap().parent().unwrap();
        let expected = ["onnx/model.onnx", "onnx/model.onnx.data", "tokenizer.json"];
        assert_eq!(names(root), expected);
        let signature = onnx::read_signature(&copy, None).unwrap();
        assert_eq!(signature.external_files, [PathBuf::from("model.onnx.data")]);
        // The folder, and the one above it, refer to the same model.
        assert_eq!(local("s3://label-teacher/m").unwrap(), copy);
        let beside = local("s3://label-teacher/m/onnx").unwrap();
        assert_eq!(names(beside.parent().unwrap().parent().unwrap()), expected);
    }

    #[test]
    fn a_checkpoint_and_nothing_at_all_are_told_apart() {
        memory_store("s3://label-checkpoint");
        let put = |name: &str| {
            storage::replace(&Path::new("s3://label-checkpoint/c").join(name), b"{}").unwrap();
        };
        put("config.json");
        put("model.safetensors");
        put("pytorch_model.bin");
        let copy = local("s3://label-checkpoint/c").unwrap();
        assert_eq!(names(&copy), ["config.json", "model.safetensors"]);
        let absent = local("s3://label-checkpoint/nothing")
            .unwrap_err()
            .to_string();
        assert!(absent.contains("s3://label-checkpoint/nothing"), "{absent}");
        assert_eq!(local("a/b.onnx").unwrap(), Path::new("a/b.onnx"));
    }
}
