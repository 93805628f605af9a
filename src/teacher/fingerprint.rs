//! One hash that says whether two teachers are the same model.

use super::error::TeacherError;
use crate::onnx::external_files;
use std::path::Path;

/// A teacher's identity: its weights and graph, whatever its file is called.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct TeacherFingerprint {
    /// `blake3:<hex>` over the model's hash and, by name, those of its external data files.
    pub fingerprint: String,
    /// The model first, then its external data files by name.
    pub files: Vec<TeacherFile>,
}

/// One file of a teacher.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct TeacherFile {
    /// Relative to the model's folder.
    pub name: String,
    /// Size in bytes.
    pub bytes: u64,
    /// blake3 of the contents, 64 hex digits.
    pub blake3: String,
}

/// Hashes a model and its external data files.
pub fn teacher_fingerprint(model: &Path) -> Result<TeacherFingerprint, TeacherError> {
    let own_name = model
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let mut files = vec![hash(model, own_name)?];
    for file in external_files(model)? {
        let name = file.to_string_lossy().into_owned();
        files.push(hash(&model.with_file_name("").join(&file), name)?);
    }
    Ok(TeacherFingerprint {
        fingerprint: combine(&files),
        files,
    })
}

/// The model's own name is left out, so that a renamed copy is the same teacher.
fn combine(files: &[TeacherFile]) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"saltworks teacher v1\n");
    for (idx, file) in files.iter().enumerate() {
        let name = if idx == 0 {
            "model"
        } else {
            file.name.as_str()
        };
        hasher.update(format!("{} {} {name}\n", file.bytes, file.blake3).as_bytes());
    }
    format!("blake3:{}", hasher.finalize().to_hex())
}

fn hash(path: &Path, name: String) -> Result<TeacherFile, TeacherError> {
    let fail = |source| TeacherError::Fingerprint {
        path: path.to_owned(),
        source,
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update_mmap_rayon(path).map_err(fail)?;
    Ok(TeacherFile {
        name,
        bytes: hasher.count(),
        blake3: hasher.finalize().to_hex().to_string(),
    })
}
