//! URLs of the Hugging Face hub: `hf://[datasets/]OWNER/NAME[@REVISION][/PATH]`, as its own tools write them.

use crate::storage::place::{HUB_SCHEME, split_scheme};
use crate::storage::{StorageError, StoreFault};
use std::path::Path;

/// The branch used where none is named.
const DEFAULT_REVISION: &str = "main";

/// What a repository holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Model,
    Dataset,
}

/// A place in a repository.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::storage) struct HubUrl {
    pub(super) kind: Kind,
    /// `OWNER/NAME`.
    pub(super) repo: String,
    /// A branch, a tag or a commit.
    pub(super) revision: String,
    /// Relative to the root of the repository; empty for the root.
    pub(super) path: String,
}

impl HubUrl {
    /// The URL in `path`; `None` if it is not one of the hub.
    ///
    /// # Errors
    /// A URL without owner and name, of a space, or whose path has an empty component, `.` or `..`.
    pub(in crate::storage) fn parse(path: &Path) -> Result<Option<Self>, StorageError> {
        let Some((scheme, rest)) = path.to_str().and_then(split_scheme) else {
            return Ok(None);
        };
        if !scheme.eq_ignore_ascii_case(HUB_SCHEME) {
            return Ok(None);
        }
        let expected = "hf://OWNER/MODEL or hf://datasets/OWNER/NAME, with @REVISION and /PATH after it as needed (a slash in a revision is %2F)";
        let fault = StoreFault::NotAUrl { expected };
        Self::of_rest(rest)
            .map(Some)
            .ok_or_else(|| StorageError::store("use", path, fault))
    }

    fn of_rest(rest: &str) -> Option<Self> {
        let rest = rest.trim_end_matches('/');
        let (kind, rest) = match rest.split_once('/')? {
            ("datasets", rest) => (Kind::Dataset, rest),
            ("models", rest) => (Kind::Model, rest),
            ("spaces", _) => return None,
            _ => (Kind::Model, rest),
        };
        let mut parts = rest.splitn(3, '/');
        let (owner, name) = (parts.next()?, parts.next()?);
        let path = parts.next().unwrap_or_default();
        let (name, revision) = name.split_once('@').unwrap_or((name, DEFAULT_REVISION));
        let revision = revision.replace("%2F", "/").replace("%2f", "/");
        let are_words = [owner, name].into_iter().all(is_word);
        let is_sound = are_words && is_plain(&revision) && (path.is_empty() || is_plain(path));
        is_sound.then(|| HubUrl {
            kind,
            repo: format!("{owner}/{name}"),
            revision,
            path: path.to_owned(),
        })
    }

    /// The same place at a commit.
    pub(super) fn at(&self, commit: &str) -> Self {
        HubUrl {
            revision: commit.to_owned(),
            ..self.clone()
        }
    }

    /// The repository's folder in the cache.
    pub(super) fn folder(&self) -> String {
        format!("{}s--{}", self.kind_word(), self.repo.replace('/', "--"))
    }

    /// `model` or `dataset`.
    pub(super) fn kind_word(&self) -> &'static str {
        match self.kind {
            Kind::Model => "model",
            Kind::Dataset => "dataset",
        }
    }

    /// The repository as the hub's own URLs spell it.
    pub(super) fn repo_path(&self) -> String {
        match self.kind {
            Kind::Model => self.repo.clone(),
            Kind::Dataset => format!("datasets/{}", self.repo),
        }
    }

    /// Number of components in the root (kind if given, owner and name), which cannot contain a glob.
    pub(in crate::storage) fn n_root_parts(rest: &str) -> usize {
        match rest.starts_with("datasets/") || rest.starts_with("models/") {
            true => 3,
            false => 2,
        }
    }
}

/// A valid name of an owner or repository.
fn is_word(word: &str) -> bool {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !word.is_empty() && !word.starts_with('.') && word.chars().all(is_of_name)
}

/// Whether a name from the hub stays below the directory that it is joined to.
pub(super) fn is_plain(path: &str) -> bool {
    let is_odd = |part: &str| ["", ".", ".."].contains(&part) || part.contains(['\\', '\0']);
    !path.split('/').any(is_odd)
}

impl std::fmt::Display for HubUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let revision = self.revision.replace('/', "%2F");
        write!(f, "hf://{}@{revision}", self.repo_path())?;
        match self.path.is_empty() {
            true => Ok(()),
            false => write!(f, "/{}", self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<String> {
        let url = HubUrl::parse(Path::new(text)).unwrap();
        url.map(|url| url.to_string())
    }

    #[test]
    fn a_url_is_a_repository_a_revision_and_a_path() {
        for (typed, meant) in [
            ("hf://o/m", "hf://o/m@main"),
            ("HF://o/m/", "hf://o/m@main"),
            ("hf://models/o/m@v1.0", "hf://o/m@v1.0"),
            (
                "hf://o/m@refs%2Fpr%2F1/onnx/model.onnx",
                "hf://o/m@refs%2Fpr%2F1/onnx/model.onnx",
            ),
            (
                "hf://datasets/o/d/a/b.jsonl",
                "hf://datasets/o/d@main/a/b.jsonl",
            ),
        ] {
            assert_eq!(parsed(typed).as_deref(), Some(meant));
        }
        assert_eq!(parsed("s3://b/x"), None);
        assert_eq!(parsed("o/m"), None);
    }

    #[test]
    fn what_names_no_repository_is_refused() {
        for typed in [
            "hf://m",
            "hf://datasets/d",
            "hf://spaces/o/s",
            "hf://o/m/../x",
            "hf://o/m//x",
            "hf://../m",
            "hf://o/m@",
            "hf://o/m@..%2Fx",
        ] {
            let message = HubUrl::parse(Path::new(typed)).unwrap_err().to_string();
            assert!(message.contains("hf://OWNER/MODEL"), "{typed}: {message}");
        }
    }
}
