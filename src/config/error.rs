//! What can be wrong with a configuration file, whatever it configures.

use crate::error::{Classified, Kind};
use crate::storage::{PlaceError, StorageError};
use std::path::PathBuf;

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
    /// The file, with what lies over it, is not TOML of the known keys.
    #[error("the configuration {} is wrong", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, key and reason.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A `--set` that is none, or whose key or value is not known.
    #[error("--set {text}: {reason}")]
    Override {
        /// As typed.
        text: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A path that is not a local one.
    #[error("{key} is {}: expected {}; {}", place.got, place.expected, place.remedy)]
    Place {
        /// The dotted key.
        key: String,
        /// What is wrong with it.
        place: PlaceError,
    },
    /// A value that TOML has no words for: a path that is not Unicode, a number of 2^63 or more.
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

impl Classified for ConfigFileError {
    fn kind(&self) -> Kind {
        match self {
            Self::Storage(error) => error.kind(),
            _ => Kind::Usage,
        }
    }
}
