//! From what was typed to the list of files.

mod globs;
mod left_out;

use self::globs::matches_of;
use self::left_out::FileId;
pub use self::left_out::LeftOut;
use super::error::CorpusError;
use super::format::{Contents, DocumentFormat, format_of};
use super::location::name_of;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What some patterns stand for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputFiles {
    /// The files to read, sorted by path, each once.
    pub paths: Vec<PathBuf>,
    /// What lies there as well and is not read.
    pub left_out: LeftOut,
}

/// The input files that `patterns` stand for.
///
/// A pattern is a file, a directory (walked; links followed) or a glob (`*`, `?`, `[ab]`, `**`). Of
/// a directory or a glob everything is taken or counted as left out: names that start with a dot or
/// an underscore, files that go with a data set (`README`, `LICENSE`, `dataset_info.json`), kinds
/// that are not read. With `format` every kind is read. A file that is there under several names, as
/// in the cache of a hub, is read once.
///
/// # Errors
/// A pattern that matches nothing to read, a named file of unknown kind, a symbolic link loop, I/O.
pub fn expand_inputs<P: AsRef<OsStr>>(
    patterns: &[P],
    format: Option<DocumentFormat>,
) -> Result<InputFiles, CorpusError> {
    let mut finder = Finder {
        format,
        files: BTreeMap::new(),
        n_met: 0,
        left_out: LeftOut::default(),
    };
    for pattern in patterns {
        finder.expand(pattern.as_ref())?;
    }
    Ok(finder.finish())
}

struct Finder {
    format: Option<DocumentFormat>,
    /// The name under which each file is read.
    files: BTreeMap<FileId, PathBuf>,
    /// Files met so far, under whatever name.
    n_met: u64,
    left_out: LeftOut,
}

impl Finder {
    fn finish(mut self) -> InputFiles {
        let files = &self.files;
        self.left_out.forget_unnamed(|id| files.contains_key(id));
        let mut paths: Vec<_> = self.files.into_values().collect();
        paths.sort();
        InputFiles {
            paths,
            left_out: self.left_out,
        }
    }

    fn expand(&mut self, pattern: &OsStr) -> Result<(), CorpusError> {
        let path = Path::new(pattern);
        let n_before = self.n_met;
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => self.walk(path, &mut Vec::new())?,
            Ok(metadata) => return self.take_named(path, &metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.expand_glob(pattern)?,
            Err(error) => return Err(CorpusError::at(path, error)),
        }
        if self.n_met == n_before {
            return Err(CorpusError::NoMatch {
                pattern: shown_pattern(pattern),
                left_out: self.left_out.notes().join("; "),
            });
        }
        Ok(())
    }

    /// A file that was named itself.
    fn take_named(&mut self, path: &Path, metadata: &Metadata) -> Result<(), CorpusError> {
        match format_of(path).0 {
            Contents::Other(extension) if self.format.is_none() => {
                Err(CorpusError::UnknownFormat {
                    path: path.to_path_buf(),
                    extension,
                })
            }
            _ => {
                self.add(path, metadata);
                Ok(())
            }
        }
    }

    fn expand_glob(&mut self, pattern: &OsStr) -> Result<(), CorpusError> {
        // The patterns of that crate are text; what else there is has just been found missing.
        let Some(text) = pattern.to_str() else {
            return Ok(());
        };
        for path in matches_of(text)? {
            self.take(&path, &mut Vec::new())?;
        }
        Ok(())
    }

    /// Takes `path`, or what lies under it, or counts it as left out.
    fn take(&mut self, path: &Path, above: &mut Vec<PathBuf>) -> Result<(), CorpusError> {
        let metadata = fs::metadata(path).map_err(|error| CorpusError::at(path, error))?;
        if is_beside_data(path, metadata.is_dir()) {
            self.left_out.add_beside(path);
        } else if metadata.is_dir() {
            self.walk(path, above)?;
        } else if !metadata.is_file() {
            self.left_out.add_kind("no regular file", path);
        } else {
            match format_of(path).0 {
                Contents::Other(extension) if self.format.is_none() => {
                    self.left_out.add_kind(&extension, path);
                }
                _ => self.add(path, &metadata),
            }
        }
        Ok(())
    }

    /// A file to read. Of several names of one file, the one that says its kind is kept, then the
    /// first.
    fn add(&mut self, path: &Path, metadata: &Metadata) {
        self.n_met += 1;
        let id = (metadata.dev(), metadata.ino());
        let rank = |path: &Path| (format_of(path).0 == Contents::Unsaid, path.to_path_buf());
        let Some(kept) = self.files.get_mut(&id) else {
            self.files.insert(id, path.to_path_buf());
            return;
        };
        if kept == path {
            return;
        }
        if rank(path) < rank(kept) {
            let other = std::mem::replace(kept, path.to_path_buf());
            self.left_out.add_twice(&other);
        } else {
            self.left_out.add_twice(path);
        }
    }

    /// `above`: the true paths of the directories that are being walked; meeting one again is a loop.
    fn walk(&mut self, dir: &Path, above: &mut Vec<PathBuf>) -> Result<(), CorpusError> {
        let true_path = dir
            .canonicalize()
            .map_err(|error| CorpusError::at(dir, error))?;
        if above.contains(&true_path) {
            return Err(CorpusError::SymlinkLoop {
                path: dir.to_path_buf(),
            });
        }
        above.push(true_path);
        let mut entries: Vec<PathBuf> = fs::read_dir(dir)
            .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect())
            .map_err(|error| CorpusError::at(dir, error))?;
        entries.sort();
        if is_hub_cache(dir) {
            let (named, unnamed) = entries
                .into_iter()
                .partition(|path| name_of(path) == "snapshots");
            entries = named;
            self.leave_out_cache(unnamed);
        }
        for path in entries {
            self.take(&path, above)?;
        }
        above.pop();
        Ok(())
    }

    /// What a hub's cache keeps beside its snapshots: the files under their hashes, and names of
    /// revisions. Only what no snapshot names is told.
    fn leave_out_cache(&mut self, entries: Vec<PathBuf>) {
        for path in entries {
            let inside = fs::read_dir(&path).into_iter().flatten().flatten();
            for file in inside {
                if let Ok(metadata) = file.metadata()
                    && name_of(&path) == "blobs"
                {
                    let id = (metadata.dev(), metadata.ino());
                    self.left_out.add_unnamed(id, &file.path());
                }
            }
        }
    }
}

/// What is beside a data set and no part of it.
fn is_beside_data(path: &Path, is_dir: bool) -> bool {
    const NAMES: [&str; 4] = [
        "dataset_info.json",
        "dataset_infos.json",
        "dataset_dict.json",
        "state.json",
    ];
    const STEMS: [&str; 6] = [
        "readme",
        "license",
        "licence",
        "changelog",
        "notice",
        "copying",
    ];
    let name = name_of(path);
    let lower = name.to_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    name.starts_with(['.', '_'])
        || !is_dir
            && (NAMES.contains(&lower.as_str()) || STEMS.contains(&stem) || lower.ends_with(".crc"))
}

/// The folder of one repository in the cache of the Hugging Face hub.
fn is_hub_cache(dir: &Path) -> bool {
    dir.join("snapshots").is_dir() && dir.join("blobs").is_dir()
}

fn shown_pattern(pattern: &OsStr) -> String {
    super::location::shown(Path::new(pattern))
}

#[cfg(test)]
mod tests;
