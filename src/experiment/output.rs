//! Where results may be written: a directory of their own.

use super::error::ExperimentError;
use super::sets::is_a_grid;
use crate::storage;
use crate::train::config::require;
use crate::train::run::is_of_its_start;
use std::path::Path;

/// What results may have in their directory.
const OWN: [&str; 9] = [
    "arms",
    "figures",
    "invocations.jsonl",
    "report.html",
    "results.json",
    "results.md",
    "runs",
    "samples.json",
    "sets.json",
];

/// Refuses a directory that holds other files and no grid: they would be mixed.
///
/// # Errors
/// What is there; a directory that cannot be listed.
pub(super) fn check_output(output: &Path) -> Result<(), ExperimentError> {
    let is_own = |name: &str| OWN.contains(&name) || is_of_its_start(name);
    let others = match is_a_grid(output) || !output.is_dir() {
        true => Vec::new(),
        false => storage::others_in(output, is_own)?,
    };
    let first = others.first().map_or("", String::as_str);
    Ok(require(
        others.is_empty(),
        "output",
        "a directory for the results only: new, empty, or with results in it",
        format_args!(
            "{}, which contains {first:?} and no results",
            output.display()
        ),
        "choose another one",
    )?)
}
