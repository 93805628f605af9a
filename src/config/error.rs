//! Errors of configuration files, whatever they configure.

use crate::error::{Classified, Kind};
use crate::storage::{PlaceError, StorageError};
use std::path::PathBuf;

/// An option that has no default and was not given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingOption {
    /// Its dotted key.
    pub key: String,
    /// Its description in one sentence, with the allowed words.
    pub doc: String,
}

/// A configuration that cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file with its overrides is not TOML with the known keys.
    #[error("the configuration {} is invalid", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, key and reason.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A `--set` that is malformed, or whose key or value is unknown.
    #[error("--set {text}: {reason}")]
    Override {
        /// As typed.
        text: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// Options without a default that were not given.
    #[error("{}, which {} no default; give {} {place}:{}", count(missing), if missing.len() == 1 { "has" } else { "have" }, if missing.len() == 1 { "it" } else { "each" }, listed(missing))]
    Missing {
        /// Where they can be given.
        place: String,
        /// All of them.
        missing: Vec<MissingOption>,
    },
    /// A number outside the range that its option declares.
    #[error("{key} is {got}: expected {expected}; choose a value in that range")]
    Range {
        /// The dotted key.
        key: String,
        /// What was given.
        got: String,
        /// The range, in words.
        expected: String,
    },
    /// A path that is not a local one.
    #[error("{key} is {}: expected {}; {}", place.got, place.expected, place.remedy)]
    Place {
        /// The dotted key.
        key: String,
        /// What is wrong with it.
        place: PlaceError,
    },
    /// A value that TOML cannot express: a path that is not Unicode, a number of 2^63 or more.
    #[error(
        "the configuration cannot be written as TOML: give paths that are Unicode, and numbers below 2^63"
    )]
    Serialize {
        /// Why.
        #[source]
        source: toml::ser::Error,
    },
    /// From `storage`.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn count(missing: &[MissingOption]) -> String {
    match missing {
        [one] => format!("{} is missing", one.key),
        several => format!("{} options are missing", several.len()),
    }
}

/// One line each, after a line break.
fn listed(missing: &[MissingOption]) -> String {
    let width = missing.iter().map(|it| it.key.len()).max().unwrap_or(0);
    let line = |it: &MissingOption| format!("\n  {:<width$}  {}", it.key, it.doc);
    missing.iter().map(line).collect()
}

impl Classified for ConfigFileError {
    fn kind(&self) -> Kind {
        match self {
            Self::Storage(error) => error.kind(),
            _ => Kind::Usage,
        }
    }
}
