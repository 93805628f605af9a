//! Checks that numbers are within the ranges that their options declare, by the JSON schema.

use super::error::ConfigFileError;
use super::missing::{definition, properties};
use super::write::to_table;
use schemars::{JsonSchema, schema_for};
use serde::Serialize;
use serde_json::Value as Schema;
use toml::{Table, Value};

/// Refuses the first number of `options` that is outside its range or not finite.
///
/// # Errors
/// [`ConfigFileError::Range`], with its dotted key; a path that is not Unicode.
pub fn check_ranges<T: JsonSchema + Serialize>(options: &T) -> Result<(), ConfigFileError> {
    let root = schema_for!(T).to_value();
    check_table(&root, &root, "", &to_table(options)?)
}

fn check_table(
    root: &Schema,
    schema: &Schema,
    prefix: &str,
    table: &Table,
) -> Result<(), ConfigFileError> {
    for (name, property) in properties(definition(root, schema)) {
        let key = format!("{prefix}{name}");
        match table.get(name) {
            Some(Value::Table(inner)) => check_table(root, property, &format!("{key}."), inner)?,
            Some(value) => check_value(property, &key, value)?,
            None => {}
        }
    }
    Ok(())
}

fn check_value(property: &Schema, key: &str, value: &Value) -> Result<(), ConfigFileError> {
    if let Value::Array(values) = value {
        let mut items = values.iter();
        return items.try_for_each(|value| check_value(&property["items"], key, value));
    }
    let number = match value {
        Value::Integer(number) => *number as f64,
        Value::Float(number) => *number,
        _ => return Ok(()),
    };
    let bound = |name: &str| property[name].as_f64();
    let is_within = number.is_finite()
        && bound("minimum").is_none_or(|min| number >= min)
        && bound("exclusiveMinimum").is_none_or(|min| number > min)
        && bound("maximum").is_none_or(|max| number <= max)
        && bound("exclusiveMaximum").is_none_or(|max| number < max);
    match is_within {
        true => Ok(()),
        false => Err(ConfigFileError::Range {
            key: key.to_owned(),
            got: number.to_string(),
            expected: described(bound),
        }),
    }
}

/// The range in words.
fn described(bound: impl Fn(&str) -> Option<f64>) -> String {
    if let (Some(min), Some(max)) = (bound("minimum"), bound("maximum")) {
        return format!("from {min} to {max}");
    }
    let words = [
        ("minimum", "at least"),
        ("exclusiveMinimum", "more than"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "less than"),
    ];
    let words = words.map(|(name, words)| Some(format!("{words} {}", bound(name)?)));
    let words: Vec<String> = words.into_iter().flatten().collect();
    match words.is_empty() {
        true => "a finite number".to_owned(),
        false => words.join(" and "),
    }
}
