//! The resolved configuration, as a file that reads back to the same.

use super::error::ConfigFileError;
use crate::storage;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// Every value that is not a table, in order of keys, with its dotted key.
pub fn leaves(table: Table) -> Vec<(String, Value)> {
    let sorted: BTreeMap<String, Value> = table.into_iter().collect();
    let each = sorted.into_iter().flat_map(|(key, value)| match value {
        Value::Table(inner) => {
            let below = leaves(inner).into_iter();
            below
                .map(|(rest, value)| (format!("{key}.{rest}"), value))
                .collect()
        }
        value => vec![(key, value)],
    });
    each.collect()
}

/// `options` as a table.
///
/// # Errors
/// A path that is not Unicode.
pub fn to_table(options: &impl Serialize) -> Result<Table, ConfigFileError> {
    Table::try_from(options).map_err(|source| ConfigFileError::Serialize { source })
}

/// `options` as TOML below `header`, a comment.
///
/// # Errors
/// A path that is not Unicode.
pub fn to_toml(header: &str, options: &impl Serialize) -> Result<String, ConfigFileError> {
    let toml = toml::to_string(options).map_err(|source| ConfigFileError::Serialize { source })?;
    Ok(format!("{header}\n{toml}"))
}

/// Writes [`to_toml`] to `path`, replacing an existing file.
///
/// # Errors
/// A path that is not Unicode; the filesystem's.
pub fn write(path: &Path, header: &str, options: &impl Serialize) -> Result<(), ConfigFileError> {
    Ok(storage::replace(
        path,
        to_toml(header, options)?.as_bytes(),
    )?)
}
