//! Finds all missing options at once, by the JSON schema of the options.

use super::error::{ConfigFileError, MissingOption};
use super::write::to_table;
use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;
use toml::Table;

/// Stands for a file in messages if there is none.
pub(super) const NO_FILE: &str = "(none)";

/// Refuses `options`, each of which has a flag, that lack some without a default.
///
/// # Errors
/// [`ConfigFileError::Missing`], with all of them.
pub fn check_complete<T: JsonSchema + Serialize>(options: &T) -> Result<(), ConfigFileError> {
    // Flags may have values that TOML cannot express: then the caller finds what is missing.
    let Ok(table) = to_table(options) else {
        return Ok(());
    };
    let mut missing = missing::<T>(&table);
    for one in &mut missing {
        one.key += &format!(" (--{})", one.key.replace('_', "-"));
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(ConfigFileError::Missing {
            place: "as a flag, or as a key of the --config file".to_owned(),
            missing,
        }),
    }
}

/// A transform of a schema: an option that may be absent while its type says that it may not is required.
/// So a struct of options whose fields all have defaults can mark those that really have none, by
/// `#[schemars(required)]`.
pub fn require_marked(schema: &mut Schema) {
    let mut required = Vec::new();
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (key, property) in properties.into_iter().flatten() {
        let Some(property) = property.as_object_mut() else {
            continue;
        };
        let is_absent = property.get("default") == Some(&Value::Null);
        if is_absent && property.get("type").is_some_and(Value::is_string) {
            property.remove("default");
            required.push(Value::from(key.as_str()));
        }
    }
    schema.insert("required".to_owned(), required.into());
}

/// What `table` lacks of `T`.
pub(super) fn missing<T: JsonSchema>(table: &Table) -> Vec<MissingOption> {
    let root = schema_for!(T).to_value();
    let mut found = Vec::new();
    collect(&root, &root, "", table, &mut found);
    found
}

/// What a file at `path` lacks.
pub(super) fn lacks<T: JsonSchema>(path: &Path, table: &Table) -> Option<ConfigFileError> {
    let missing = missing::<T>(table);
    (!missing.is_empty()).then(|| ConfigFileError::Missing {
        place: match path.to_str() {
            Some(NO_FILE) => "in a file of --config, or by --set KEY=VALUE".to_owned(),
            _ => format!("in {}, or by --set KEY=VALUE", path.display()),
        },
        missing,
    })
}

/// Goes through the keys that `schema` has below `prefix`. A missing table lacks its required keys.
fn collect(
    root: &Value,
    schema: &Value,
    prefix: &str,
    table: &Table,
    found: &mut Vec<MissingOption>,
) {
    let schema = definition(root, schema);
    let is_required = |key: &str| {
        let required = schema["required"].as_array();
        required.is_some_and(|keys| keys.iter().any(|it| it == key))
    };
    for (name, property) in properties(schema) {
        let key = format!("{prefix}{name}");
        let below = format!("{key}.");
        match table.get(name) {
            Some(toml::Value::Table(inner)) => collect(root, property, &below, inner, found),
            Some(toml::Value::Array(items)) => {
                for item in items.iter().filter_map(toml::Value::as_table) {
                    collect(root, &property["items"], &below, item, found);
                }
            }
            None if is_required(name) => {
                let n_before = found.len();
                collect(root, property, &below, &Table::new(), found);
                if found.len() == n_before {
                    let doc = describe(root, property);
                    found.push(MissingOption { key, doc });
                }
            }
            _ => {}
        }
    }
}

/// Keys of a table with their schemas, in their order.
pub(super) fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(Map::iter)
}

/// The schema behind a reference or an optional.
pub(super) fn definition<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let choices = schema.get("anyOf").and_then(Value::as_array);
    let choice = choices.and_then(|choices| choices.iter().find(|it| it.get("$ref").is_some()));
    let schema = choice.unwrap_or(schema);
    let name = schema.get("$ref").and_then(Value::as_str);
    let place = name.and_then(|name| name.strip_prefix('#'));
    place
        .and_then(|place| root.pointer(place))
        .unwrap_or(schema)
}

/// The first sentence of its description, and its allowed words.
fn describe(root: &Value, property: &Value) -> String {
    let doc = property["description"].as_str().unwrap_or_default();
    let doc = doc.replace('\n', " ");
    let sentence = doc
        .split_once(". ")
        .map_or(doc.as_str(), |(first, _)| first);
    let sentence = sentence.trim_end_matches('.');
    let words = definition(root, property)["oneOf"].as_array();
    let words = words.into_iter().flatten();
    let words: Vec<&str> = words.filter_map(|word| word["const"].as_str()).collect();
    match words.is_empty() {
        true => sentence.to_owned(),
        false => format!("{sentence}: {}", words.join(", ")),
    }
}
