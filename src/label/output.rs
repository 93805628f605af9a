//! Where labels may be written: a directory of their own.

use super::error::LabelError;
use super::options::LabelConfig;
use crate::storage::{self, resolved_path};
use std::path::Path;

/// Files in a label directory that may exist before its plan.
const FILES_BEFORE_PLAN: [&str; 3] = ["selection.parquet", "tokenizer.json", "README.md"];

/// Refuses an output that is a file, an input or inside the tokens, or that contains other files and no labels.
///
/// # Errors
/// [`LabelError::Option`], with what is there.
pub(super) fn check_output(config: &LabelConfig) -> Result<(), LabelError> {
    let output = &config.output;
    check_apart_from_inputs(config)?;
    if storage::is_file(output)? {
        return Err(refused(output, "which is a file"));
    }
    // Checked before the teacher is opened, which takes long.
    storage::check_writable(output)?;
    let others = storage::others_in(output, |name| FILES_BEFORE_PLAN.contains(&name))?;
    match others.first() {
        // Checked after the listing, as a task that began at the same moment may be writing its first files.
        Some(_) if storage::exists(&output.join("plan.json"))? => Ok(()),
        Some(name) => Err(refused(
            output,
            format!("which contains {name:?} and no labels"),
        )),
        None => Ok(()),
    }
}

fn refused(output: &Path, what: impl std::fmt::Display) -> LabelError {
    let expected = "a directory for labels only: new, empty, or with labels in it";
    LabelError::option(
        "--output",
        expected,
        format!("{}, {what}", output.display()),
    )
}

fn check_apart_from_inputs(config: &LabelConfig) -> Result<(), LabelError> {
    let output = resolved_path(&config.output);
    let tokens = resolved_path(&config.tokens);
    if output.starts_with(&tokens) {
        let what = match output == tokens {
            true => "which is --tokens",
            false => "which is inside --tokens, whose files are read as one corpus",
        };
        return Err(refused(&config.output, what));
    }
    let model = resolved_path(&config.teacher);
    let beside = model.parent().filter(|_| !model.is_dir());
    if output == model || beside == Some(&output) {
        return Err(refused(&config.output, "which is where --teacher is"));
    }
    Ok(())
}
