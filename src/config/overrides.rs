//! `--set KEY=VALUE`.

use super::error::ConfigFileError;
use toml::{Table, Value};

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Override {
    /// As typed.
    pub(super) text: String,
    keys: Vec<String>,
    /// `None` removes the key, so that its default applies again.
    value: Option<Value>,
}

/// An override that sets `key` to `text`, whatever `text` looks like: for flags such as `--output`
/// that are short for a key.
pub fn text_override(key: &str, text: &str) -> String {
    format!("{key}={}", Value::String(text.to_owned()))
}

impl Override {
    pub(super) fn parse(text: &str) -> Result<Self, ConfigFileError> {
        let refuse = |reason: &str| ConfigFileError::Override {
            text: text.to_owned(),
            reason: reason.to_owned(),
        };
        let (key, value) = text.split_once('=').ok_or_else(|| {
            refuse("expected KEY=VALUE with a dotted key, such as train.steps=2000")
        })?;
        let keys: Vec<String> = key.split('.').map(|key| key.trim().to_owned()).collect();
        if keys.iter().any(String::is_empty) {
            return Err(refuse(
                "expected a dotted key before the =, such as train.steps",
            ));
        }
        let value = match value.trim() {
            "" => None,
            value => Some(parse_value(value).ok_or_else(|| {
                refuse("the value begins as a TOML string, list or table, but does not end as one; close it, or quote the whole value")
            })?),
        };
        let text = text.to_owned();
        Ok(Self { text, keys, value })
    }

    /// Whether it removes its key: that only reveals other errors.
    pub(super) fn takes_out(&self) -> bool {
        self.value.is_none()
    }

    pub(super) fn apply(&self, table: &mut Table) -> Result<(), ConfigFileError> {
        let Some((last, parents)) = self.keys.split_last() else {
            return Ok(());
        };
        let mut inner = table;
        for (depth, key) in parents.iter().enumerate() {
            let entry = inner.entry(key).or_insert_with(|| Table::new().into());
            inner = entry
                .as_table_mut()
                .ok_or_else(|| ConfigFileError::Override {
                    text: self.text.clone(),
                    reason: format!(
                        "{} is a value, not a table; see the file's schema for the keys",
                        self.keys[..=depth].join(".")
                    ),
                })?;
        }
        match &self.value {
            Some(value) => inner.insert(last.clone(), value.clone()),
            None => inner.remove(last),
        };
        Ok(())
    }
}

/// A TOML value, or the text itself; `None` for text that only looks like a value.
pub(super) fn parse_value(text: &str) -> Option<Value> {
    match text.parse() {
        Ok(value) => Some(value),
        Err(_) if text.starts_with(['"', '\'', '[', '{']) => None,
        Err(_) => Some(Value::String(text.to_owned())),
    }
}
