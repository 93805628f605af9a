//! Globs, over names that need be no text: the crate that they are matched with walks text alone.

use crate::corpus::error::CorpusError;
use crate::corpus::location::name_of;
use glob::{MatchOptions, Pattern};
use std::fs;
use std::path::{Component, Path, PathBuf};

const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// What a glob stands for, sorted. `**` is any number of directories.
pub(super) fn matches_of(pattern: &str) -> Result<Vec<PathBuf>, CorpusError> {
    let parts: Vec<Component<'_>> = Path::new(pattern).components().collect();
    let mut found = vec![PathBuf::new()];
    for part in parts {
        let text = part.as_os_str().to_string_lossy();
        found = match part {
            Component::Normal(_) if text == "**" => with_directories_below(found)?,
            Component::Normal(_) if text.contains(['*', '?', '[']) => {
                let part = parse(&text, pattern)?;
                in_each(&found, &part)?
            }
            _ => found.iter().map(|dir| dir.join(part)).collect(),
        };
        found.retain(|path| fs::symlink_metadata(here(path)).is_ok());
    }
    found.sort();
    found.dedup();
    found.retain(|path| path != Path::new(""));
    Ok(found)
}

fn parse(part: &str, pattern: &str) -> Result<Pattern, CorpusError> {
    Pattern::new(part).map_err(|error| CorpusError::BadPattern {
        pattern: pattern.to_owned(),
        reason: error.msg.to_owned(),
    })
}

/// The empty path is the current directory.
fn here(path: &Path) -> &Path {
    match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    }
}

fn in_each(dirs: &[PathBuf], part: &Pattern) -> Result<Vec<PathBuf>, CorpusError> {
    let mut found = Vec::new();
    for dir in dirs.iter().filter(|dir| here(dir).is_dir()) {
        let entries = fs::read_dir(here(dir)).map_err(|error| CorpusError::at(dir, error))?;
        for entry in entries {
            let name = entry
                .map_err(|error| CorpusError::at(dir, error))?
                .file_name();
            if part.matches_with(&name.to_string_lossy(), MATCHING) {
                found.push(dir.join(name));
            }
        }
    }
    Ok(found)
}

/// The directories themselves and all below them that are not hidden; links are not followed, as
/// they may lead back.
fn with_directories_below(dirs: Vec<PathBuf>) -> Result<Vec<PathBuf>, CorpusError> {
    let (mut found, mut open) = (Vec::new(), dirs);
    while let Some(dir) = open.pop() {
        if !here(&dir).is_dir() {
            continue;
        }
        let entries = fs::read_dir(here(&dir)).map_err(|error| CorpusError::at(&dir, error))?;
        for entry in entries {
            let entry = entry.map_err(|error| CorpusError::at(&dir, error))?;
            let path = dir.join(entry.file_name());
            let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_dir && !name_of(&path).starts_with('.') {
                open.push(path);
            }
        }
        found.push(dir);
    }
    Ok(found)
}
