//! The tokenizer goes with the labels: whoever looks at them finds it beside the plan.

use super::error::LabelError;
use super::options::LabelConfig;
use crate::shards::{Plan, TOKENIZER_NAME};
use crate::storage::{self, StorageError};
use crate::tokens::{TOKENIZER_JSON, Tokenizer};
use std::path::{Path, PathBuf};

/// Copies the `tokenizer.json` of the tokens into the label directory, if one is known by `--tokenizer` or
/// lies beside the tokens, is theirs, and none is there yet.
///
/// # Errors
/// A tokenizer that was given and cannot be read; a copy that cannot be written.
pub(super) fn copy_tokenizer(config: &LabelConfig, plan: &Plan) -> Result<(), LabelError> {
    let place = config.output.join(TOKENIZER_NAME);
    let Some(theirs) = &plan.tokenizer else {
        return Ok(());
    };
    if storage::is_there(&place)? {
        return Ok(());
    }
    let given = config.tokenizer.clone();
    let Some(path) = given.clone().or_else(|| beside(&config.tokens)) else {
        return Ok(());
    };
    let io = |source| StorageError::io("read", &path, source);
    let json = std::fs::read(&path).map_err(io)?;
    let tokenizer = match Tokenizer::from_bytes(&json, &path) {
        Ok(tokenizer) => tokenizer,
        Err(error) if given.is_some() => return Err(error.into()),
        // One that only lies there, and is none or another, is no matter of the labels.
        Err(_) => return Ok(()),
    };
    if tokenizer.fingerprint() == theirs.fingerprint {
        storage::create_if_absent(&place, &json)?;
    }
    Ok(())
}

/// `tokenizer.json` in a corpus directory, or beside token files.
fn beside(tokens: &Path) -> Option<PathBuf> {
    let dirs = [Some(tokens), tokens.parent()];
    let found = dirs
        .into_iter()
        .flatten()
        .map(|dir| dir.join(TOKENIZER_JSON));
    found.into_iter().find(|path| path.is_file())
}
