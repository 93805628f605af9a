//! A file to start from, generated from the options.

use super::error::ConfigFileError;
use super::flags::Typed;
use super::overrides::parse_value;
use super::paths::{each_path, relative_to};
use clap::{Arg, Args, Command};
use serde::Serialize;
use std::path::Path;
use toml::Table;

/// Columns that comments are wrapped to.
const WIDTH: usize = 100;

/// Every option of `T` as TOML, below its description: options that were typed, or that `favoured`
/// names, with that value; all others as a comment with the default. Paths that were typed are
/// relative to the file at `path`, which the text is for.
///
/// # Errors
/// A path that is not Unicode.
pub fn starter<T: Args + Serialize>(
    typed: &Typed<T>,
    favoured: &Table,
    path: &Path,
) -> Result<String, ConfigFileError> {
    let dir = path.parent().unwrap_or(path);
    let mut values = favoured.clone();
    values.extend(typed.table()?);
    each_path(&mut values, &mut |path| *path = relative_to(dir, path));
    let command = T::augment_args(Command::new("options"));
    let entries: Vec<String> = command
        .get_arguments()
        .map(|argument| entry(argument, &values))
        .collect();
    Ok(entries.join("\n"))
}

fn entry(argument: &Arg, values: &Table) -> String {
    let key = argument.get_id().as_str();
    let help = argument.get_long_help().or(argument.get_help());
    let mut text = commented(&help.map(ToString::to_string).unwrap_or_default());
    text += &match values.get(key) {
        Some(value) => format!("{key} = {value}\n"),
        None => format!("# {key} = {}\n", default_of(argument)),
    };
    text
}

/// The default as TOML, or a placeholder if there is none.
fn default_of(argument: &Arg) -> String {
    let defaults = argument.get_default_values().first();
    let Some(default) = defaults.map(|default| default.to_string_lossy()) else {
        let names = argument.get_value_names().unwrap_or_default();
        return names.first().map(ToString::to_string).unwrap_or_default();
    };
    parse_value(&default).map_or_else(|| default.to_string(), |value| value.to_string())
}

/// `text` as comment lines of at most [`WIDTH`] columns.
fn commented(text: &str) -> String {
    let mut lines = String::new();
    for paragraph in text.lines() {
        let mut line = "#".to_owned();
        for word in paragraph.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                lines += &(std::mem::replace(&mut line, "#".to_owned()) + "\n");
            }
            line += " ";
            line += word;
        }
        lines += &(line + "\n");
    }
    lines
}
