//! Copies the tokenizer beside the tokens, where their readers look for it.

use super::TokensError;
use crate::storage;
use std::path::Path;

/// Name of the tokenizer beside token files.
pub const TOKENIZER_JSON: &str = "tokenizer.json";

/// Copies the file `tokenizer` into the corpus directory `dir`. An existing file is replaced only if the corpus was
/// (`overwrite`): it may be someone's own.
///
/// # Errors
/// I/O.
pub fn copy_tokenizer(dir: &Path, tokenizer: &Path, overwrite: bool) -> Result<(), TokensError> {
    let json = storage::read(tokenizer)?;
    let place = dir.join(TOKENIZER_JSON);
    match storage::read(&place) {
        Ok(existing) if existing == json || !overwrite => Ok(()),
        _ => Ok(storage::replace(&place, &json)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebodys_own_stays_unless_the_corpus_is_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("source.json");
        std::fs::write(&source, "{}").unwrap();
        let place = dir.path().join(TOKENIZER_JSON);
        let existing = || std::fs::read_to_string(&place).unwrap();
        copy_tokenizer(dir.path(), &source, false).unwrap();
        assert_eq!(existing(), "{}");
        copy_tokenizer(dir.path(), &place, true).unwrap();
        std::fs::write(&place, "theirs").unwrap();
        copy_tokenizer(dir.path(), &source, false).unwrap();
        assert_eq!(existing(), "theirs");
        copy_tokenizer(dir.path(), &source, true).unwrap();
        assert_eq!(existing(), "{}");
    }
}
