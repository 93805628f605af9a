//! `data.labels`: one path, or a list of them.

use schemars::JsonSchema;
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use serde::{Serialize, Serializer};
use std::fmt;
use std::path::{Path, PathBuf};

/// Label directories of the same sequences, one of each teacher; at least one.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum LabelDirs {
    /// Of a single teacher.
    One(PathBuf),
    /// Of several.
    Several(Vec<PathBuf>),
}

impl LabelDirs {
    /// All of them.
    pub fn all(&self) -> &[PathBuf] {
        match self {
            Self::One(dir) => std::slice::from_ref(dir),
            Self::Several(dirs) => dirs,
        }
    }

    /// The one whose sequences and order the run follows; `None` of an empty list, which is refused.
    pub fn first(&self) -> Option<&Path> {
        self.all().first().map(PathBuf::as_path)
    }
}

impl<P: Into<PathBuf>> From<P> for LabelDirs {
    fn from(dir: P) -> Self {
        Self::One(dir.into())
    }
}

impl fmt::Display for LabelDirs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dirs: Vec<String> = self
            .all()
            .iter()
            .map(|dir| dir.display().to_string())
            .collect();
        f.write_str(&dirs.join(", "))
    }
}

impl Serialize for LabelDirs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::One(dir) => dir.serialize(serializer),
            Self::Several(dirs) => dirs.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for LabelDirs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PathOrPaths)
    }
}

/// Says what was expected, which a derived choice between two types does not.
struct PathOrPaths;

impl<'de> Visitor<'de> for PathOrPaths {
    type Value = LabelDirs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a path, or a list of paths")
    }

    fn visit_str<E>(self, text: &str) -> Result<LabelDirs, E> {
        Ok(LabelDirs::One(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<LabelDirs, A::Error> {
        let mut dirs = Vec::new();
        while let Some(dir) = seq.next_element()? {
            dirs.push(dir);
        }
        Ok(LabelDirs::Several(dirs))
    }
}
