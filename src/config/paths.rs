//! Paths among the values: which keys hold them, and where relative ones begin.

use super::error::ConfigFileError;
use super::write::to_table;
use crate::storage::{
    PlaceError, check_local_place, check_output_place, check_place, is_url, pinned, plain_place,
    resolved_path,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use std::path::{Component, Path, PathBuf};
use toml::{Table, Value};

/// Keys that hold a path or a list of paths, in whichever table they stand; tests/schemas.rs compares them
/// with the declarations.
pub const PATH_KEYS: [&str; 16] = [
    "base",
    "branch_from",
    "held_out",
    "init",
    "labels",
    "ort_lib",
    "output",
    "run",
    "scored",
    "scores",
    "selection",
    "teacher",
    "teacher_cache",
    "tokenizer",
    "tokens",
    "validation",
];

/// Those of them that are files of this machine: what is written and locked, or loaded as a library.
const LOCAL_KEYS: [&str; 5] = ["base", "branch_from", "ort_lib", "run", "teacher_cache"];

/// That of them that is written, and may be at a URL.
const OUTPUT_KEY: &str = "output";

/// Whether the value of a dotted key is a path.
pub fn is_path_key(key: &str) -> bool {
    PATH_KEYS.contains(&last_of(key))
}

fn last_of(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

/// Text for people and models, which may look like anything.
fn is_prose_key(key: &str) -> bool {
    matches!(key.rsplit('.').next(), Some("prompt" | "name" | "title"))
}

/// `options` with every path absolute, and every revision of a hub its commit: as a record of what was done, which is read from any directory.
///
/// # Errors
/// A path that is not Unicode.
pub fn with_absolute_paths<T: Serialize + DeserializeOwned>(
    options: &T,
) -> Result<T, ConfigFileError> {
    let mut table = to_table(options)?;
    begin_at(&working_directory()?, &mut table)?;
    // Of a model on a hub the commit, since a branch moves.
    each_text("", &mut table, &mut |key, text| {
        if is_path_key(key) {
            *text = pinned(Path::new(text)).to_string_lossy().into_owned();
        }
    });
    T::deserialize(table).map_err(|source| ConfigFileError::Parse {
        path: PathBuf::from("(resolved)"),
        source: Box::new(source),
    })
}

/// Puts `dir` before every relative path in `table`.
///
/// # Errors
/// A directory whose path is not Unicode.
pub(super) fn begin_at(dir: &Path, table: &mut Table) -> Result<(), ConfigFileError> {
    if dir.as_os_str().is_empty() {
        return Ok(());
    }
    let dir = dir.to_str().map(Path::new).ok_or_else(not_unicode)?;
    each_path(table, &mut |path| {
        *path = dir.join(&path).components().collect();
    });
    Ok(())
}

/// Calls `change` with every local path; a URL stays as it is, and what is neither is refused as it was written.
pub(super) fn each_path(table: &mut Table, change: &mut impl FnMut(&mut PathBuf)) {
    each_text("", table, &mut |key, text| {
        let mut path = plain_place(PathBuf::from(&*text));
        if is_path_key(key) && check_local_place(&path).is_ok() {
            change(&mut path);
            *text = path.to_string_lossy().into_owned();
        }
    });
}

/// The first text that names a place elsewhere, with its dotted key.
pub(super) fn place_elsewhere(table: &mut Table) -> Option<(String, PlaceError)> {
    let mut found = None;
    each_text("", table, &mut |key, text| {
        if is_prose_key(key) {
            return;
        }
        // A key that an arm sets to "" is removed.
        let may_be_empty = !is_path_key(key) || key.split('.').any(|part| part == "set");
        if found.is_none() && !(text.is_empty() && may_be_empty) {
            let check = match last_of(key) {
                OUTPUT_KEY => check_output_place,
                local if LOCAL_KEYS.contains(&local) => check_local_place,
                _ => check_place,
            };
            let error = check(Path::new(text)).err();
            found = error.map(|error| (key.to_owned(), error));
        }
    });
    found
}

/// `path` as it is named from `dir`, so that a file in `dir` can say it; an absolute one stays so.
pub(super) fn relative_to(dir: &Path, path: &Path) -> PathBuf {
    if path.is_absolute() || is_url(path) {
        return path.to_owned();
    }
    // A link keeps its name; its location decides what .. means.
    let path = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => resolved_path(parent).join(name),
        _ => resolved_path(path),
    };
    let dir = resolved_path(dir);
    let n_shared = dir.components().zip(path.components());
    let n_shared = n_shared.take_while(|(a, b)| a == b).count();
    let up = dir
        .components()
        .skip(n_shared)
        .map(|_| Component::ParentDir);
    let seen: PathBuf = up.chain(path.components().skip(n_shared)).collect();
    match seen.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => seen,
    }
}

/// Calls `act` with every text below `prefix`, and its dotted key.
fn each_text(prefix: &str, table: &mut Table, act: &mut impl FnMut(&str, &mut String)) {
    for (key, value) in table.iter_mut() {
        each_text_of(&format!("{prefix}{key}"), value, act);
    }
}

fn each_text_of(key: &str, value: &mut Value, act: &mut impl FnMut(&str, &mut String)) {
    match value {
        Value::String(text) => act(key, text),
        Value::Table(inner) => each_text(&format!("{key}."), inner, act),
        Value::Array(values) => {
            for value in values {
                each_text_of(key, value, act);
            }
        }
        _ => {}
    }
}

fn working_directory() -> Result<PathBuf, ConfigFileError> {
    let dir = std::env::current_dir();
    dir.map_err(|source| ConfigFileError::Read {
        path: PathBuf::from("."),
        source,
    })
}

fn not_unicode() -> ConfigFileError {
    let source = toml::ser::Error::custom("the path of its directory is not Unicode");
    ConfigFileError::Serialize { source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn relative_paths_begin_at_the_directory_and_nothing_else_does() {
        let text = "name = \"a\"\noutput = \"./out\"\nbase = \"/whole\"\n\
                    [run]\ndata = { tokens = \"../t\", eod = 3 }\n\
                    [arms.a]\nset = { \"data.labels\" = \"l\", data.selection = \"\", kd.mode = \"salt\" }\nscored = [\"s\"]\n\
                    [[sets]]\nlabels = \"~/x\"\n[[sets]]\nlabels = \"s3://b/x\"\n";
        let mut got = table(text);
        begin_at(Path::new("exp"), &mut got).unwrap();
        let expected = text
            .replace("./out", "exp/out")
            .replace("../t", "exp/../t")
            .replace("\"l\"", "\"exp/l\"")
            .replace("[\"s\"]", "[\"exp/s\"]");
        assert_eq!(got, table(&expected));
        begin_at(Path::new(""), &mut got).unwrap();
        assert_eq!(got, table(&expected));
    }

    #[test]
    fn a_remote_path_is_reported_with_its_key() {
        let found = |text: &str| place_elsewhere(&mut table(text)).map(|(key, _)| key);
        let sets = "name = \"\"\n[[data.sets]]\nlabels = \"hdfs://b/l\"";
        assert_eq!(found(sets).as_deref(), Some("data.sets.labels"));
        assert_eq!(
            found("[data]\ntokens = \"s3://b/t\"\noutput = \"gs://b/l\""),
            None
        );
        assert_eq!(
            found("branch_from = \"s3://b/r\"").as_deref(),
            Some("branch_from")
        );
        assert_eq!(found("output = \"hf://a/b\"").as_deref(), Some("output"));
        assert_eq!(
            found("[data]\ntokens = \"\"").as_deref(),
            Some("data.tokens")
        );
        assert_eq!(found("name = \"\"\ntokens = \"t\""), None);
        assert_eq!(found("[arms.a.set]\ndata.labels = \"\""), None);
    }

    #[test]
    fn a_path_made_relative_to_a_directory_resolves_to_itself() {
        for (dir, path, seen) in [
            ("a/b", "a/c", "../c"),
            ("a", "a/b/c", "b/c"),
            ("", "x", "x"),
            ("a", "a", "."),
            ("a/b", ".", "../.."),
            ("a", "/x/y", "/x/y"),
            ("a", "s3://b/x", "s3://b/x"),
        ] {
            assert_eq!(
                relative_to(Path::new(dir), Path::new(path)),
                Path::new(seen)
            );
        }
    }
}
