//! From what was typed to the list of files.

use super::error::CorpusError;
use super::format::format_of;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The input files that `patterns` stand for, sorted by path, each once.
///
/// A pattern is a file, a directory (walked; links followed, names that start with a dot left out)
/// or a glob (`*`, `?`, `[ab]`, `**`). A file that is named must be of a known kind; of a directory
/// or a glob only the files of known kinds are taken, at least one.
///
/// # Errors
/// A pattern that matches nothing, a named file of unknown kind, a symbolic link loop, or I/O.
pub fn expand_inputs(patterns: &[String]) -> Result<Vec<PathBuf>, CorpusError> {
    let mut found = BTreeSet::new();
    for pattern in patterns {
        found.extend(expand_one(pattern)?);
    }
    Ok(found.into_iter().collect())
}

fn expand_one(pattern: &str) -> Result<Vec<PathBuf>, CorpusError> {
    let path = Path::new(pattern);
    let files = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            let mut files = Vec::new();
            walk(path, &mut Vec::new(), &mut files)?;
            files
        }
        Ok(_) if format_of(path).is_some() => vec![path.to_path_buf()],
        Ok(_) => {
            return Err(CorpusError::UnknownFormat {
                path: path.to_path_buf(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => expand_glob(pattern)?,
        Err(error) => return Err(fault(path, error)),
    };
    if files.is_empty() {
        return Err(CorpusError::NoMatch {
            pattern: pattern.to_owned(),
        });
    }
    Ok(files)
}

fn expand_glob(pattern: &str) -> Result<Vec<PathBuf>, CorpusError> {
    let options = glob::MatchOptions {
        require_literal_leading_dot: true,
        ..Default::default()
    };
    let paths = glob::glob_with(pattern, options).map_err(|error| CorpusError::BadPattern {
        pattern: pattern.to_owned(),
        reason: error.msg.to_owned(),
    })?;
    let mut files = Vec::new();
    for entry in paths {
        let path = entry.map_err(|error| {
            let path = error.path().to_path_buf();
            fault(&path, error.into())
        })?;
        take(&path, &mut Vec::new(), &mut files)?;
    }
    Ok(files)
}

/// Adds `path`, or what lies under it, to `files`.
fn take(
    path: &Path,
    above: &mut Vec<PathBuf>,
    files: &mut Vec<PathBuf>,
) -> Result<(), CorpusError> {
    let metadata = fs::metadata(path).map_err(|error| fault(path, error))?;
    if metadata.is_dir() {
        walk(path, above, files)?;
    } else if format_of(path).is_some() {
        files.push(path.to_path_buf());
    }
    Ok(())
}

/// `above`: the true paths of the directories that are being walked; meeting one again is a loop.
fn walk(dir: &Path, above: &mut Vec<PathBuf>, files: &mut Vec<PathBuf>) -> Result<(), CorpusError> {
    let true_path = dir.canonicalize().map_err(|error| fault(dir, error))?;
    if above.contains(&true_path) {
        return Err(CorpusError::SymlinkLoop {
            path: dir.to_path_buf(),
        });
    }
    above.push(true_path);
    for entry in fs::read_dir(dir).map_err(|error| fault(dir, error))? {
        let entry = entry.map_err(|error| fault(dir, error))?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            take(&entry.path(), above, files)?;
        }
    }
    above.pop();
    Ok(())
}

/// A link that leads to itself shows as ELOOP.
fn fault(path: &Path, source: io::Error) -> CorpusError {
    let path = path.to_path_buf();
    if source.raw_os_error() == Some(libc::ELOOP) {
        return CorpusError::SymlinkLoop { path };
    }
    CorpusError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn patterns(paths: &[&Path]) -> Vec<String> {
        paths
            .iter()
            .map(|path| path.to_str().unwrap().to_owned())
            .collect()
    }

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        for name in [
            "b.jsonl",
            "a.txt",
            "sub/c.jsonl.gz",
            "README.md",
            ".hidden.txt",
        ] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        dir
    }

    #[test]
    fn files_directories_and_globs_come_sorted_and_once() {
        let dir = tree();
        let root = dir.path();
        let wanted: Vec<_> = ["a.txt", "b.jsonl", "sub/c.jsonl.gz"]
            .map(|n| root.join(n))
            .into();
        let all = expand_inputs(&patterns(&[
            &root.join("b.jsonl"),
            root,
            &root.join("*.txt"),
        ]));
        assert_eq!(all.unwrap(), wanted);
        let glob = expand_inputs(&patterns(&[&root.join("**/*.gz"), &root.join("*.txt")]));
        assert_eq!(glob.unwrap(), [wanted[0].clone(), wanted[2].clone()]);
    }

    #[test]
    fn a_pattern_without_a_match_is_an_error_that_names_it() {
        let dir = tree();
        for name in ["*.parquet", "absent.jsonl", "*.md"] {
            let error = expand_inputs(&patterns(&[&dir.path().join(name)])).unwrap_err();
            assert!(matches!(&error, CorpusError::NoMatch { pattern } if pattern.ends_with(name)));
            assert_eq!(error.kind(), crate::error::Kind::Usage);
        }
        let error = expand_inputs(&patterns(&[&dir.path().join("README.md")])).unwrap_err();
        assert!(matches!(error, CorpusError::UnknownFormat { .. }));
    }

    #[test]
    fn a_symlink_loop_is_an_error() {
        let dir = tree();
        symlink(dir.path(), dir.path().join("sub/up")).unwrap();
        let error = expand_inputs(&patterns(&[dir.path()])).unwrap_err();
        assert!(matches!(&error, CorpusError::SymlinkLoop { path } if path.ends_with("sub/up")));

        let itself = dir.path().join("self.jsonl");
        symlink(&itself, &itself).unwrap();
        let error = expand_inputs(&patterns(&[&itself])).unwrap_err();
        assert!(matches!(error, CorpusError::SymlinkLoop { .. }));
    }

    #[test]
    fn a_linked_directory_without_a_loop_is_walked() {
        let (dir, other) = (tree(), tree());
        symlink(other.path(), dir.path().join("sub/other")).unwrap();
        assert_eq!(expand_inputs(&patterns(&[dir.path()])).unwrap().len(), 6);
    }
}
