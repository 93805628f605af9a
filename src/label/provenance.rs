//! Whether the tokens were made with the teacher's own tokenizer, if that is next to the model.

use super::error::LabelError;
use super::options::LabelConfig;
use crate::shards::PlanTokenizer;
use crate::tokens::Tokenizer;
use std::path::{Path, PathBuf};

const TOKENIZER_JSON: &str = "tokenizer.json";
/// Exporters put the models of a checkpoint into a folder of this name, one level below its tokenizer.
const ONNX_FOLDER: &str = "onnx";

/// The result of the comparison.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Provenance {
    /// What could not be compared.
    pub(super) notes: Vec<String>,
    /// The teacher's own tokenizer if it is unknown which one made the tokens, and its number of ids: all token ids
    /// must be below that.
    pub(super) ids_of: Option<(PathBuf, u32)>,
    /// Its fingerprint, if it is a different one and was to be ignored.
    pub(super) ignored_tokenizer: Option<String>,
}

/// The tokenizer.json of a model: next to it, or one level above a folder called `onnx`.
fn tokenizer_of(teacher: &Path) -> Option<PathBuf> {
    let dir = if teacher.is_dir() {
        teacher
    } else {
        teacher.parent()?
    };
    let above = dir.ends_with(ONNX_FOLDER).then(|| dir.parent()).flatten();
    let places = [Some(dir), above].into_iter().flatten();
    places
        .map(|dir| dir.join(TOKENIZER_JSON))
        .find(|path| path.is_file())
}

/// Compares the tokenizer of the tokens, as far as known, with the teacher's own.
///
/// # Errors
/// [`LabelError::NotTheTeachersTokenizer`].
pub(super) fn compare(
    config: &LabelConfig,
    of_tokens: Option<&PlanTokenizer>,
) -> Result<Provenance, LabelError> {
    let Some(path) = tokenizer_of(&config.teacher) else {
        return Ok(Provenance::default());
    };
    let own = match Tokenizer::open(&path) {
        Ok(own) => own,
        Err(error) => {
            return Ok(Provenance {
                notes: vec![format!(
                    "the teacher's own tokenizer was not compared with the tokens: {error}"
                )],
                ..Provenance::default()
            });
        }
    };
    let fingerprint = own.fingerprint();
    let ignored = config.options.ignore_teacher_tokenizer;
    match of_tokens {
        None if ignored => Ok(Provenance::default()),
        None => Ok(Provenance {
            notes: vec![format!(
                "nothing records that the tokens were made with the teacher's own tokenizer {}: only their ids were checked against its {}; pass --tokenizer to check more",
                path.display(),
                own.vocab_size()
            )],
            ids_of: Some((path, own.vocab_size())),
            ..Provenance::default()
        }),
        Some(known) if known.fingerprint == fingerprint => Ok(Provenance::default()),
        Some(_) if ignored => Ok(Provenance {
            notes: vec![format!(
                "the tokens were not made with the teacher's own tokenizer {}, which is ignored as requested",
                path.display()
            )],
            ignored_tokenizer: Some(fingerprint),
            ..Provenance::default()
        }),
        Some(known) => Err(LabelError::NotTheTeachersTokenizer {
            path,
            own: fingerprint,
            of_tokens: known.fingerprint.clone(),
            tokens: config.tokens.clone(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokenizer_is_looked_for_beside_the_model_and_above_a_folder_called_onnx() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::create_dir_all(path("model/onnx")).unwrap();
        std::fs::create_dir_all(path("model/other")).unwrap();
        std::fs::write(path("model/tokenizer.json"), "{}").unwrap();
        let found = Some(path("model/tokenizer.json"));
        for teacher in [
            "model/model.onnx",
            "model/onnx/model.onnx",
            "model",
            "model/onnx",
        ] {
            assert_eq!(tokenizer_of(&path(teacher)), found, "{teacher}");
        }
        assert_eq!(tokenizer_of(&path("model/other/model.onnx")), None);
        std::fs::write(path("model/onnx/tokenizer.json"), "{}").unwrap();
        let nearer = Some(path("model/onnx/tokenizer.json"));
        assert_eq!(tokenizer_of(&path("model/onnx/model.onnx")), nearer);
    }
}
