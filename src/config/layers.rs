//! A file, `--set` over it, and flags over both.

use super::error::ConfigFileError;
use super::overrides::Override;
use crate::storage::place_elsewhere;
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use toml::Table;

/// What was said, in the order that later layers win.
#[derive(Debug, Clone, Default)]
pub struct Layers {
    /// For messages.
    path: PathBuf,
    /// What holds where the file says nothing.
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
    /// no quotes. `KEY=` with nothing after it takes the key out. Tables that the file does not have
    /// are made.
    ///
    /// # Errors
    /// An unreadable file; an override that is none.
    pub fn read(path: Option<&Path>, overrides: &[String]) -> Result<Self, ConfigFileError> {
        let Some(path) = path else {
            return Self::of_text("", Path::new("(none)"), overrides);
        };
        let text = std::fs::read_to_string(path).map_err(|source| ConfigFileError::Read {
            path: path.into(),
            source,
        })?;
        Self::of_text(&text, path, overrides)
    }

    /// The same of `text`, which is of `path` or of a part of it: that is for messages alone.
    ///
    /// # Errors
    /// An override that is none.
    pub fn of_text(text: &str, path: &Path, overrides: &[String]) -> Result<Self, ConfigFileError> {
        let overrides = overrides.iter().map(|text| Override::parse(text));
        Ok(Self {
            path: path.into(),
            text: text.to_owned(),
            overrides: overrides.collect::<Result<_, _>>()?,
            ..Self::default()
        })
    }

    /// With `base` below the file.
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
    /// Broken TOML, an unknown key or a value of another type, named with its line in the file or with
    /// the override that holds it; a path that is no local one. Ranges are for whoever takes the options.
    pub fn into_options<T: DeserializeOwned>(self) -> Result<T, ConfigFileError> {
        let table: Table = toml::from_str(&self.text).map_err(|source| self.parse_error(source))?;
        let all: Vec<&Override> = self.overrides.iter().collect();
        let merged = self.merged(&table, &all)?;
        if let Some((key, place)) = place_elsewhere(&merged) {
            return Err(ConfigFileError::Place { key, place });
        }
        if merged == table {
            // From the text itself, errors say the line.
            return toml::from_str(&self.text).map_err(|source| self.parse_error(source));
        }
        T::deserialize(merged).map_err(|source| self.blame::<T>(&table, source))
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

    /// Whose fault `source` is: an override's, if without it there is no such error; otherwise the
    /// file's, with the line where the file alone gives the same error.
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
            if !is_same && one.may_cause(source.message()) {
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
