//! A file, overridden by `--set`, and both by flags.

use super::error::ConfigFileError;
use super::missing::{NO_FILE, lacks};
use super::overrides::Override;
use super::paths::{begin_at, place_elsewhere};
use crate::storage::{self, StorageError};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use toml::Table;

/// First line of files recorded next to runs when relative paths in a file were still relative to the
/// working directory: they are read that way.
const RECORDED_WITH_RELATIVE_PATHS: &str =
    "# What this run does, every default filled in; it can be given as --config again.";

/// The layers, of which later ones win.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// For messages.
    path: PathBuf,
    /// Where relative paths in the file begin; empty for the working directory.
    dir: PathBuf,
    /// What applies if the file does not set a key.
    base: Table,
    /// Of the file; empty without one.
    text: String,
    overrides: Vec<Override>,
    /// Keys of flags that were typed, and those that they exclude.
    typed: Table,
    excluded: Vec<String>,
}

impl Layers {
    /// Those of a file, with each of `overrides` over it, in order.
    ///
    /// An override is `KEY=VALUE`, such as `train.steps=2000`: a dotted key and a TOML value. A bare
    /// word that is no TOML value is a string, so that `kd.mode=salt` and `data.labels=a/path` need
    /// no quotes. `KEY=` with nothing after it removes the key. Missing tables are created.
    ///
    /// Relative paths in the file are relative to it (those of a URL, or of a pipe, which is nowhere, to the
    /// working directory); those in overrides are relative to the working directory.
    ///
    /// # Errors
    /// An unreadable file; a malformed override.
    pub fn read(path: Option<&Path>, overrides: &[String]) -> Result<Self, ConfigFileError> {
        let Some(path) = path else {
            return Self::of_text("", Path::new(NO_FILE), overrides);
        };
        let text = storage::read_typed(path).map_err(|error| match error {
            StorageError::Io { path, source, .. } => ConfigFileError::Read { path, source },
            error => error.into(),
        })?;
        let is_beside =
            path.is_file() && !text.trim_start().starts_with(RECORDED_WITH_RELATIVE_PATHS);
        let dir = path.parent().filter(|_| is_beside);
        Ok(Self {
            dir: dir.map(Path::to_path_buf).unwrap_or_default(),
            ..Self::of_text(&text, path, overrides)?
        })
    }

    /// The same of `text`, which `path` stands for in messages; its relative paths stay as they are.
    ///
    /// # Errors
    /// A malformed override.
    pub fn of_text(text: &str, path: &Path, overrides: &[String]) -> Result<Self, ConfigFileError> {
        let overrides = overrides.iter().map(|text| Override::parse(text));
        Ok(Self {
            path: path.into(),
            text: text.to_owned(),
            overrides: overrides.collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    /// With `base` below the file; its relative paths stay as they are.
    #[must_use]
    pub fn over(self, base: Table) -> Self {
        Self { base, ..self }
    }

    /// With `typed` over what is there, and without the keys in `excluded` below it.
    pub(super) fn with_typed(mut self, typed: Table, excluded: Vec<String>) -> Self {
        self.typed = typed;
        self.excluded = excluded;
        self
    }

    /// What they say together.
    ///
    /// # Errors
    /// Broken TOML, an unknown key or a value of another type, named with its line in the file or
    /// with the override that holds it; a path that is not local; missing keys, all of them. Ranges are
    /// checked by the caller.
    pub fn into_options<T: DeserializeOwned + JsonSchema>(self) -> Result<T, ConfigFileError> {
        let table = toml::from_str(&self.text);
        let mut table: Table = table.map_err(|source| self.parse_error(source))?;
        begin_at(&self.dir, &mut table)?;
        let all: Vec<&Override> = self.overrides.iter().collect();
        let mut merged = self.merged(&table, &all)?;
        if let Some((key, place)) = place_elsewhere(&mut merged) {
            return Err(ConfigFileError::Place { key, place });
        }
        T::deserialize(merged.clone()).map_err(|source| {
            let is_absent = source.message().starts_with("missing field");
            let missing = is_absent.then(|| lacks::<T>(&self.path, &merged)).flatten();
            missing.unwrap_or_else(|| self.blame::<T>(&table, source))
        })
    }

    /// `table` with these overrides and the flags.
    fn merged(&self, table: &Table, overrides: &[&Override]) -> Result<Table, ConfigFileError> {
        let mut merged = self.base.clone();
        merged.extend(table.clone());
        for one in overrides {
            one.apply(&mut merged)?;
        }
        for key in &self.excluded {
            merged.remove(key);
        }
        merged.extend(self.typed.clone());
        Ok(merged)
    }

    /// The cause of `source`: an override, if without it there is no such error; otherwise the
    /// file, with the line where the file alone gives the same error.
    fn blame<T: DeserializeOwned>(
        &self,
        table: &Table,
        source: toml::de::Error,
    ) -> ConfigFileError {
        for (i, one) in self.overrides.iter().enumerate() {
            let others = self.overrides.iter().enumerate().filter(|(j, _)| *j != i);
            let others: Vec<&Override> = others.map(|(_, other)| other).collect();
            let without = match self.merged(table, &others) {
                Ok(table) => T::deserialize(table).err(),
                Err(_) => None,
            };
            let is_same = without.is_some_and(|error| error.message() == source.message());
            if !is_same && !one.takes_out() {
                return ConfigFileError::Override {
                    text: one.text.clone(),
                    reason: source.message().to_owned(),
                };
            }
        }
        match toml::from_str::<T>(&self.text) {
            Err(located) if located.message() == source.message() => self.parse_error(located),
            _ => self.parse_error(source),
        }
    }

    fn parse_error(&self, source: toml::de::Error) -> ConfigFileError {
        ConfigFileError::Parse {
            path: self.path.clone(),
            source: Box::new(source),
        }
    }
}

#[cfg(feature = "object-stores")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::testing::memory_store;
    use serde::Deserialize;
    use std::io::ErrorKind;

    #[derive(Debug, PartialEq, Deserialize, JsonSchema)]
    struct Options {
        steps: u32,
        labels: PathBuf,
    }

    #[test]
    fn a_file_in_a_store_is_read_and_its_relative_paths_stay_as_they_are() {
        memory_store("s3://config-layers");
        let path = Path::new("s3://config-layers/run/config.toml");
        storage::replace(path, b"steps = 7\nlabels = \"labels\"\n").unwrap();
        let layers = Layers::read(Some(path), &["steps=8".to_owned()]).unwrap();
        let expected = Options {
            steps: 8,
            labels: PathBuf::from("labels"),
        };
        assert_eq!(layers.into_options::<Options>().unwrap(), expected);
        let error = Layers::read(Some(&path.with_file_name("none.toml")), &[]).unwrap_err();
        assert!(
            matches!(error, ConfigFileError::Read { source, .. } if source.kind() == ErrorKind::NotFound)
        );
    }
}
