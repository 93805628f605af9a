//! The tokenizer goes with the labels: whoever looks at them finds it beside the plan.

use super::error::LabelError;
use super::options::LabelConfig;
use crate::shards::{Plan, TOKENIZER_NAME};
use crate::storage;
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
    let tokenizer = match &config.tokenizer {
        Some(given) => Tokenizer::open(given)?,
        // One that only lies there, and is none or another, is no matter of the labels.
        None => match beside(&config.tokens).map(|path| Tokenizer::open(&path)) {
            Some(Ok(found)) => found,
            Some(Err(_)) | None => return Ok(()),
        },
    };
    if tokenizer.fingerprint() == theirs.fingerprint {
        storage::create_if_absent(&place, tokenizer.json())?;
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
