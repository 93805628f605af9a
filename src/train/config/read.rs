//! A file and the `--set` options over it.

use super::error::ConfigError;
use super::run::RunConfig;
use serde::Deserialize;
use std::path::Path;
use toml::{Table, Value};

/// `--set KEY=VALUE`.
struct Override<'a> {
    text: &'a str,
    keys: Vec<&'a str>,
    /// `None` takes the key out, so that its default holds again.
    value: Option<Value>,
}

impl RunConfig {
    /// Reads a configuration file, and then each of `overrides` over it, in order.
    ///
    /// An override is `KEY=VALUE`, such as `train.steps=2000`: a dotted key and a TOML value. A bare
    /// word that is no TOML value is a string, so that `kd.mode=salt` and `data.labels=a/path` need
    /// no quotes. `KEY=` with nothing after it takes the key out. Tables that the file does not have
    /// are made.
    ///
    /// # Errors
    /// An unreadable file, broken TOML, an unknown key or a value of another type, named with its
    /// line in the file or with the override that holds it. Ranges are for [`RunConfig::validate`].
    pub fn read(path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.into(),
            source,
        })?;
        Self::parse(&text, path, overrides)
    }

    /// The same of `text`, which is of `path` or of a part of it: that is for messages alone.
    ///
    /// # Errors
    /// Those of [`RunConfig::read`], but for an unreadable file.
    pub fn parse(text: &str, path: &Path, overrides: &[String]) -> Result<Self, ConfigError> {
        let overrides: Vec<_> = overrides
            .iter()
            .map(|text| Override::parse(text))
            .collect::<Result<_, _>>()?;
        if overrides.is_empty() {
            return toml::from_str(text).map_err(|source| parse_error(path, source));
        }
        let table: Table = toml::from_str(text).map_err(|source| parse_error(path, source))?;
        match merged(&table, overrides.iter())? {
            Ok(config) => Ok(config),
            Err(source) => Err(blame(path, text, &table, &overrides, source)),
        }
    }
}

/// An override that sets `key` to `text`, whatever `text` looks like: for flags such as `--output`
/// that are short for a key.
pub fn text_override(key: &str, text: &str) -> String {
    format!("{key}={}", Value::String(text.to_owned()))
}

impl<'a> Override<'a> {
    fn parse(text: &'a str) -> Result<Self, ConfigError> {
        let refuse = |reason: &str| ConfigError::Override {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let (key, value) = text.split_once('=').ok_or_else(|| {
            refuse("expected KEY=VALUE with a dotted key, such as train.steps=2000")
        })?;
        let keys: Vec<&str> = key.split('.').map(str::trim).collect();
        if keys.iter().any(|key| key.is_empty()) {
            return Err(refuse(
                "expected a dotted key before the =, such as train.steps",
            ));
        }
        let value = match value.trim() {
            "" => None,
            value => Some(parse_value(value).ok_or_else(|| {
                refuse("the value begins as a TOML string, list or table, and does not end as one; close it, or quote the whole")
            })?),
        };
        Ok(Self { text, keys, value })
    }

    /// Taking a key out is wrong only where that key must be there; otherwise it only brings to
    /// light what else is wrong.
    fn may_cause(&self, message: &str) -> bool {
        let taken_out = self.keys.last().filter(|_| self.value.is_none());
        taken_out.is_none_or(|key| message.contains(&format!("`{key}`")))
    }

    fn apply(&self, table: &mut Table) -> Result<(), ConfigError> {
        let Some((last, parents)) = self.keys.split_last() else {
            return Ok(());
        };
        let mut inner = table;
        for (depth, key) in parents.iter().enumerate() {
            let entry = inner.entry(*key).or_insert_with(|| Table::new().into());
            inner = entry.as_table_mut().ok_or_else(|| ConfigError::Override {
                text: self.text.to_owned(),
                reason: format!(
                    "{} is a value, not a table; see the schema of run.toml for the keys",
                    self.keys[..=depth].join(".")
                ),
            })?;
        }
        match &self.value {
            Some(value) => inner.insert((*last).to_owned(), value.clone()),
            None => inner.remove(*last),
        };
        Ok(())
    }
}

/// A TOML value, or the text itself; `None` for text that only looks like a value.
fn parse_value(text: &str) -> Option<Value> {
    match text.parse() {
        Ok(value) => Some(value),
        Err(_) if text.starts_with(['"', '\'', '[', '{']) => None,
        Err(_) => Some(Value::String(text.to_owned())),
    }
}

/// The outer error is an override that cannot be applied, the inner one what serde says.
fn merged<'a>(
    table: &Table,
    overrides: impl Iterator<Item = &'a Override<'a>>,
) -> Result<Result<RunConfig, toml::de::Error>, ConfigError> {
    let mut table = table.clone();
    for one in overrides {
        one.apply(&mut table)?;
    }
    Ok(RunConfig::deserialize(table))
}

/// What [`ConfigError::Missing`] says better than serde: a `[kd]` without `mode`, which no other
/// table has.
fn missing_mode(source: &toml::de::Error) -> Option<ConfigError> {
    (source.message() == "missing field `mode`").then(|| ConfigError::Missing {
        key: "kd.mode",
        expected: "how the teacher is used: baseline, rkd, salt, salt-ds or ds-ce".to_owned(),
        remedy: "say it wherever another key of [kd] is given (--set kd.mode=salt), or take the table out to train without a teacher".to_owned(),
    })
}

/// Whose fault `source` is: an override's, if without it there is no such error; otherwise the
/// file's, with the line where the file alone gives the same error.
fn blame(
    path: &Path,
    text: &str,
    table: &Table,
    overrides: &[Override<'_>],
    source: toml::de::Error,
) -> ConfigError {
    if let Some(error) = missing_mode(&source) {
        return error;
    }
    for (i, one) in overrides.iter().enumerate() {
        let others = overrides.iter().enumerate().filter(|(j, _)| *j != i);
        let without = merged(table, others.map(|(_, other)| other));
        let is_same = matches!(&without, Ok(Err(error)) if error.message() == source.message());
        if !is_same && one.may_cause(source.message()) {
            return ConfigError::Override {
                text: one.text.to_owned(),
                reason: source.message().to_owned(),
            };
        }
    }
    match toml::from_str::<RunConfig>(text) {
        Err(located) if located.message() == source.message() => parse_error(path, located),
        _ => parse_error(path, source),
    }
}

fn parse_error(path: &Path, source: toml::de::Error) -> ConfigError {
    if let Some(error) = missing_mode(&source) {
        return error;
    }
    ConfigError::Parse {
        path: path.into(),
        source: Box::new(source),
    }
}
