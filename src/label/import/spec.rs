//! The specification.

use super::ImportError;
use crate::label::error::LabelError;
use crate::label::options::{LabelConfig, LabelOptions};
use crate::shards::PlanEngine;
use crate::storage::{self, StorageError};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Possible types of the logits.
const LOGITS_DTYPES: [&str; 3] = ["float32", "float16", "bfloat16"];

/// Which engine made the numbers, with which model, and what to store of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImportSpec {
    /// The engine and its model.
    pub engine: PlanEngine,
    /// Files of the model, whose hashes identify it; may be empty where it has none here.
    pub model_files: Vec<PathBuf>,
    /// V: ids that the logits range over.
    pub vocab_size: u32,
    /// Type of the logits before they became numbers: `float32`, `float16` or `bfloat16`.
    pub logits_dtype: String,
    /// Options of `label`, by their keys in its configuration file. Those of the teacher's run have no effect.
    pub options: LabelOptions,
}

impl ImportSpec {
    /// Reads a specification.
    ///
    /// # Errors
    /// The file does not exist, or is not a specification.
    pub(super) fn read(path: &Path) -> Result<Self, LabelError> {
        let fault = |reason: String| ImportError::Spec {
            path: path.to_path_buf(),
            reason,
        };
        let text = storage::read_typed(path).map_err(|error| match error {
            StorageError::Io { source, .. } => fault(source.to_string()).into(),
            error => LabelError::from(error),
        })?;
        let spec: Self = serde_json::from_str(&text).map_err(|error| fault(error.to_string()))?;
        match LOGITS_DTYPES.contains(&spec.logits_dtype.as_str()) {
            true => Ok(spec),
            false => Err(fault(format!(
                "logits_dtype: expected one of {}, got {:?}",
                LOGITS_DTYPES.join(", "),
                spec.logits_dtype
            ))
            .into()),
        }
    }

    /// The options, checked. The engine takes the place of `label`'s teacher file.
    pub(super) fn resolve(&self) -> Result<LabelConfig, LabelError> {
        let teacher = PathBuf::from(format!("{} {}", self.engine.name, self.engine.version));
        let options = LabelOptions {
            teacher: Some(teacher),
            ..self.options.clone()
        };
        options.resolve()
    }
}
