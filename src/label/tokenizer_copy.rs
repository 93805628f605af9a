//! Copies the tokenizer next to the labels' plan, where their readers look for it.

use super::error::LabelError;
use super::options::LabelConfig;
use crate::shards::{Plan, TOKENIZER_NAME};
use crate::storage;
use crate::tokens::{TOKENIZER_JSON, Tokenizer};
use std::path::{Path, PathBuf};

/// Copies the `tokenizer.json` of the tokens into the label directory, if it is given by `--tokenizer` or is next to
/// the tokens, matches them, and none is there yet.
///
/// # Errors
/// A given tokenizer that cannot be read; a copy that cannot be written.
pub(super) fn copy_tokenizer(config: &LabelConfig, plan: &Plan) -> Result<(), LabelError> {
    let place = config.output.join(TOKENIZER_NAME);
    let Some(theirs) = &plan.tokenizer else {
        return Ok(());
    };
    if storage::exists(&place)? {
        return Ok(());
    }
    let given = config.options.tokenizer.clone();
    let Some(path) = given.clone().or_else(|| beside(&config.tokens)) else {
        return Ok(());
    };
    let json = storage::read(&path)?;
    let tokenizer = match Tokenizer::from_bytes(&json, &path) {
        Ok(tokenizer) => tokenizer,
        Err(error) if given.is_some() => return Err(error.into()),
        // A file that is merely there, and is invalid or another tokenizer, does not concern the labels.
        Err(_) => return Ok(()),
    };
    if tokenizer.fingerprint() == theirs.fingerprint {
        storage::create_if_absent(&place, &json)?;
    }
    Ok(())
}

/// `tokenizer.json` in a corpus directory, or next to token files.
fn beside(tokens: &Path) -> Option<PathBuf> {
    let dirs = [Some(tokens), tokens.parent()];
    let found = dirs
        .into_iter()
        .flatten()
        .map(|dir| dir.join(TOKENIZER_JSON));
    let is_there = |path: &PathBuf| storage::is_file(path).unwrap_or_default();
    found.into_iter().find(is_there)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shards::LabelSet;
    use crate::shards::testing::{plan, with_targets, write_set};

    /// A tokenizer with two words.
    fn tokenizer(words: [&str; 2]) -> String {
        let [a, b] = words;
        format!(
            r#"{{"version": "1.0", "added_tokens": [],
                "model": {{"type": "WordLevel", "vocab": {{"{a}": 0, "{b}": 1}}, "unk_token": "{a}"}}}}"#
        )
    }

    #[test]
    fn the_tokenizer_of_the_tokens_is_copied_once_and_another_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let (labels, tokens) = (dir.path().join("labels"), dir.path().join("tokens"));
        std::fs::create_dir(&tokens).unwrap();
        let beside = tokens.join("tokenizer.json");
        let ours = tokenizer(["a", "b"]);
        std::fs::write(&beside, &ours).unwrap();
        let mut plan = plan();
        plan.tokenizer.as_mut().unwrap().fingerprint =
            Tokenizer::open(&beside).unwrap().fingerprint();
        let plan = write_set(&labels, &with_targets(plan));
        let set = LabelSet::open(&labels).unwrap();
        let config = LabelConfig {
            output: labels.clone(),
            ..LabelConfig::of_set(&set, Path::new("teacher.onnx"), &tokens).unwrap()
        };
        let copied = || std::fs::read_to_string(labels.join("tokenizer.json")).ok();
        for other in [tokenizer(["a", "c"]), "no tokenizer".to_owned()] {
            std::fs::write(&beside, other).unwrap();
            copy_tokenizer(&config, &plan).unwrap();
            assert_eq!((copied(), set.tokenizer_path().unwrap()), (None, None));
        }
        std::fs::write(&beside, &ours).unwrap();
        copy_tokenizer(&config, &plan).unwrap();
        assert_eq!(copied(), Some(ours.clone()));
        // Also for token files, given by name; an existing file is kept.
        std::fs::write(labels.join("tokenizer.json"), "kept").unwrap();
        copy_tokenizer(&config, &plan).unwrap();
        assert_eq!(copied().unwrap(), "kept");
        std::fs::remove_file(labels.join("tokenizer.json")).unwrap();
        let config = LabelConfig {
            tokens: tokens.join("tokens.bin"),
            ..config
        };
        copy_tokenizer(&config, &plan).unwrap();
        assert_eq!(copied(), Some(ours));
    }
}
