//! Reads results from a directory.

use super::error::ReportError;
use crate::experiment::RESULTS_NAME;
use crate::experiment::results::{RESULTS_VERSION, Results};
use crate::storage::{self, from_checked_json};
use std::path::Path;

/// Reads `results.json` of the experiment in `dir`.
///
/// # Errors
/// A directory without results; results that are damaged or of another version; the filesystem's error.
pub fn read_results(dir: &Path) -> Result<Results, ReportError> {
    let path = dir.join(RESULTS_NAME);
    let bytes = storage::read_if_exists(&path)?;
    let bytes = bytes.ok_or_else(|| ReportError::NoResults { dir: dir.into() })?;
    let damaged = |fault| ReportError::Results {
        path: path.clone(),
        fault,
    };
    // The version is checked first, since another version may not parse.
    let any: serde_json::Value = from_checked_json(&bytes).map_err(damaged)?;
    match any
        .get("format_version")
        .and_then(serde_json::Value::as_u64)
    {
        Some(got) if got != u64::from(RESULTS_VERSION) => Err(ReportError::Version {
            path: path.clone(),
            expected: RESULTS_VERSION,
            got,
        }),
        _ => serde_json::from_value(any).map_err(|error| damaged(error.into())),
    }
}
