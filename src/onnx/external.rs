//! Files next to the model that hold its weights: each must exist, be long enough, and be inside the model's
//! folder.

use super::error::OnnxError;
use super::walk::ExternalTensor;
use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

/// Checks every external tensor's range; returns the files, relative to the model, sorted.
pub(super) fn check_external(
    model: &Path,
    tensors: &[ExternalTensor],
) -> Result<Vec<PathBuf>, OnnxError> {
    let mut sizes = BTreeMap::new();
    for tensor in tensors {
        check_tensor(model, tensor, &mut sizes).map_err(|problem| OnnxError::ExternalData {
            path: model.to_owned(),
            tensor: tensor.name.clone(),
            location: tensor.location.clone(),
            problem,
        })?;
    }
    Ok(sizes.into_keys().collect())
}

fn check_tensor(
    model: &Path,
    tensor: &ExternalTensor,
    sizes: &mut BTreeMap<PathBuf, u64>,
) -> Result<(), String> {
    let location = inside(&tensor.location)?;
    let size = match sizes.get(&location) {
        Some(size) => *size,
        None => {
            let size = size_of(&model.with_file_name("").join(&location))?;
            sizes.insert(location, size);
            size
        }
    };
    let offset = number("offset", tensor.offset.as_deref())?.unwrap_or(0);
    let length = number("length", tensor.length.as_deref())?;
    if let (Some(length), Some(expected)) = (length, tensor.expected_bytes)
        && length != expected
    {
        return Err(format!(
            "the model gives it {length} bytes, but its dims and dtype need {expected}; export the model again"
        ));
    }
    let length = length.or(tensor.expected_bytes).unwrap_or(0);
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(format!(
            "expected at least {} bytes, the file has {size}; copy or download it again",
            offset.saturating_add(length)
        )),
    }
}

/// A location must stay in the model's folder, whoever wrote the model.
fn inside(location: &str) -> Result<PathBuf, String> {
    let path = Path::new(location);
    let stays = path
        .components()
        .all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if location.is_empty() || !stays || location.contains('\\') {
        return Err("it is outside the model's folder; put the file next to the model".to_owned());
    }
    Ok(path
        .components()
        .filter(|c| matches!(c, Component::Normal(_)))
        .collect())
}

fn size_of(path: &Path) -> Result<u64, String> {
    match std::fs::metadata(path) {
        Ok(meta) if meta.is_file() => Ok(meta.len()),
        Ok(_) => Err("it is not a file".to_owned()),
        Err(source) if source.kind() == std::io::ErrorKind::NotFound => {
            Err("the file does not exist; put it next to the model under this name".to_owned())
        }
        Err(source) => Err(format!("{source}")),
    }
}

fn number(key: &str, text: Option<&str>) -> Result<Option<u64>, String> {
    text.map(|text| {
        text.parse()
            .map_err(|_| format!("its {key} {text:?} is not a number; export the model again"))
    })
    .transpose()
}
