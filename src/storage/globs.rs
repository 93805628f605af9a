//! Globs over names that need not be text, in directories and in stores; the crate used for matching walks only text
//! names in local directories.

use super::files::{exists, list, metadata_if_exists};
use super::hub::HubUrl;
use super::place::is_url;
use super::{StorageError, plain_place};
use crate::error::{Classified, Kind};
use glob::{MatchOptions, Pattern};
use std::fs;
use std::path::{Component, Path, PathBuf};

const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// Why a glob cannot be expanded.
#[derive(Debug, thiserror::Error)]
pub enum GlobError {
    /// The pattern is not a glob; what is wrong with it.
    #[error("{0}")]
    Pattern(String),
    /// Something could not be listed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Classified for GlobError {
    fn kind(&self) -> Kind {
        match self {
            GlobError::Pattern(_) => Kind::Usage,
            GlobError::Storage(error) => error.kind(),
        }
    }
}

/// Whether `path` has a character with a special meaning in a glob.
pub fn is_glob(path: &Path) -> bool {
    path.to_string_lossy().contains(['*', '?', '['])
}

/// The paths that match a glob (`*`, `?`, `[ab]`, `**`), sorted. `**` is any number of directories. The scheme and the
/// bucket of a URL are taken literally.
///
/// # Errors
/// An invalid pattern; a directory that cannot be listed.
pub fn glob(pattern: &Path) -> Result<Vec<PathBuf>, GlobError> {
    let pattern = plain_place(pattern.to_path_buf());
    let (root, rest) = split_root(&pattern);
    let parts: Vec<Component<'_>> = rest.components().collect();
    let mut found = vec![root];
    for (i, part) in parts.iter().enumerate() {
        let text = part.as_os_str().to_string_lossy();
        found = match part {
            Component::Normal(_) if text == "**" => with_directories_below(found)?,
            Component::Normal(_) if is_glob(part.as_ref()) => in_each(&found, &parse(&text)?)?,
            _ => {
                let is_last = i + 1 == parts.len();
                let joined = found.iter().map(|dir| dir.join(part));
                named(joined.collect(), is_last)?
            }
        };
    }
    found.sort();
    found.dedup();
    found.retain(|path| path != Path::new(""));
    Ok(found)
}

/// Scheme and bucket (or repository) of a URL, which `Path` would take for path components; empty for a local path.
fn split_root(pattern: &Path) -> (PathBuf, &Path) {
    let text = pattern.to_str().filter(|_| is_url(pattern));
    let Some((scheme, rest)) = text.and_then(|text| text.split_once("://")) else {
        return (PathBuf::new(), pattern);
    };
    let n_parts = match HubUrl::parse(pattern) {
        Ok(None) => 1,
        // An invalid URL of the hub is refused when it is listed.
        _ => HubUrl::n_root_parts(rest),
    };
    let ends = rest.match_indices('/').map(|(at, _)| at);
    let end = ends.take(n_parts).nth(n_parts - 1).unwrap_or(rest.len());
    let (root, key) = rest.split_at(end);
    let key = key.strip_prefix('/').unwrap_or(key);
    (PathBuf::from(format!("{scheme}://{root}")), Path::new(key))
}

/// Those of `paths` that exist. In a store only final paths are looked up.
fn named(mut paths: Vec<PathBuf>, is_last: bool) -> Result<Vec<PathBuf>, StorageError> {
    let mut are_there = Vec::with_capacity(paths.len());
    for path in &paths {
        are_there.push(match is_url(path) {
            true => !is_last || exists(path)?,
            // A dangling link counts: its reader gets the error.
            false => fs::symlink_metadata(here(path)).is_ok(),
        });
    }
    let mut are_there = are_there.into_iter();
    paths.retain(|_| are_there.next().unwrap_or_default());
    Ok(paths)
}

fn parse(part: &str) -> Result<Pattern, GlobError> {
    Pattern::new(part).map_err(|error| GlobError::Pattern(error.msg.to_owned()))
}

/// The empty path is the current directory.
fn here(path: &Path) -> &Path {
    match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    }
}

/// Whether `path` may have entries; for a prefix in a store only listing it can tell.
fn may_be_dir(path: &Path) -> Result<bool, StorageError> {
    match is_url(path) {
        true => Ok(true),
        false => Ok(metadata_if_exists(here(path))?.is_some_and(|found| found.is_dir)),
    }
}

fn in_each(dirs: &[PathBuf], part: &Pattern) -> Result<Vec<PathBuf>, StorageError> {
    let mut found = Vec::new();
    for dir in dirs {
        if !may_be_dir(dir)? {
            continue;
        }
        for entry in list(here(dir))? {
            if part.matches_with(&entry.name.to_string_lossy(), MATCHING) {
                found.push(dir.join(entry.name));
            }
        }
    }
    Ok(found)
}

/// The directories themselves and all below them that are not hidden. Links are not followed, as they may form cycles.
fn with_directories_below(dirs: Vec<PathBuf>) -> Result<Vec<PathBuf>, StorageError> {
    let (mut found, mut open) = (Vec::new(), dirs);
    while let Some(dir) = open.pop() {
        if !may_be_dir(&dir)? {
            continue;
        }
        for entry in list(here(&dir))? {
            let path = dir.join(&entry.name);
            let is_hidden = entry.name.to_string_lossy().starts_with('.');
            if entry.is_dir && !is_hidden && !is_link(&path) {
                open.push(path);
            }
        }
        found.push(dir);
    }
    Ok(found)
}

fn is_link(path: &Path) -> bool {
    !is_url(path) && path.is_symlink()
}

#[cfg(feature = "object-stores")]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::replace;
    use crate::storage::testing::memory_store;

    fn found(pattern: &str) -> Vec<String> {
        let paths = glob(Path::new(pattern)).unwrap();
        paths
            .iter()
            .map(|path| path.display().to_string())
            .collect()
    }

    #[test]
    fn a_pattern_in_a_store_stands_for_objects_by_name() {
        memory_store("s3://storage-glob");
        for key in [
            "x/a.txt",
            "x/b.txt",
            "x/.c.txt",
            "x/y/a.txt",
            "x/y/z/d.txt",
            "top.txt",
        ] {
            replace(&Path::new("s3://storage-glob").join(key), b"x").unwrap();
        }
        assert_eq!(
            found("s3://storage-glob/x/*.txt"),
            ["s3://storage-glob/x/a.txt", "s3://storage-glob/x/b.txt"]
        );
        assert_eq!(
            found("s3://storage-glob/*"),
            ["s3://storage-glob/top.txt", "s3://storage-glob/x"]
        );
        assert_eq!(
            found("s3://storage-glob/x/**/[ad].txt"),
            [
                "s3://storage-glob/x/a.txt",
                "s3://storage-glob/x/y/a.txt",
                "s3://storage-glob/x/y/z/d.txt"
            ]
        );
        assert_eq!(
            found("s3://storage-glob/*/y/a.txt"),
            ["s3://storage-glob/x/y/a.txt"]
        );
        assert!(found("s3://storage-glob/x/*.json").is_empty());
        assert!(found("s3://storage-glob/nothing/*").is_empty());
        assert!(glob(Path::new("s3://storage-glob/[x")).is_err());
    }

    #[test]
    fn a_root_is_a_bucket_or_a_repository() {
        for (pattern, root, rest) in [
            ("s3://b/x/*.y", "s3://b", "x/*.y"),
            ("s3://b", "s3://b", ""),
            ("hf://o/m/*.json", "hf://o/m", "*.json"),
            (
                "hf://datasets/o/d@main/a/*",
                "hf://datasets/o/d@main",
                "a/*",
            ),
            ("a/*", "", "a/*"),
            ("/a/*", "", "/a/*"),
        ] {
            assert_eq!(
                split_root(Path::new(pattern)),
                (PathBuf::from(root), Path::new(rest))
            );
        }
    }
}
