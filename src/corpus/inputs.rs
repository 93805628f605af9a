//! Turns the inputs as typed into a list of files.

mod left_out;

use self::left_out::FileId;
pub use self::left_out::LeftOut;
use super::error::CorpusError;
use super::format::{Contents, DocumentFormat, format_of};
use super::location::name_of;
use crate::storage::{self, GlobError};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// The files that some patterns match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InputFiles {
    /// The files to read, sorted by path, without duplicates.
    pub paths: Vec<PathBuf>,
    /// What else was found there but is not read.
    pub left_out: LeftOut,
}

/// The input files that match `patterns`.
///
/// A pattern is a file, a directory (walked; links followed) or a glob (`*`, `?`, `[ab]`, `**`). Whatever a directory
/// or a glob contains is either read or counted as left out: names that start with a dot or an underscore, files that
/// accompany a data set (`README`, `LICENSE`, `dataset_info.json`), unsupported kinds. With `format` every kind is
/// read. A file with several names, as in the cache of a hub, is read once.
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
    /// Files found so far, under any name.
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
        match Found::at(path)? {
            Some(found) if found.kind == FoundKind::Directory => {
                self.walk(path, &mut Vec::new())?;
            }
            Some(found) if found.kind == FoundKind::Other => {
                return Err(CorpusError::NotAFile { path: path.into() });
            }
            Some(found) => return self.take_named(path, found),
            None if pattern == "-" => {
                return Err(CorpusError::NotAFile { path: path.into() });
            }
            None => self.expand_glob(pattern)?,
        }
        if self.n_met == n_before {
            return Err(CorpusError::NoMatch {
                pattern: shown_pattern(pattern),
                left_out: self.left_out.notes().join("; "),
            });
        }
        Ok(())
    }

    /// Takes a file that was named explicitly.
    fn take_named(&mut self, path: &Path, found: Found) -> Result<(), CorpusError> {
        match format_of(path).0 {
            Contents::Other(extension) if self.format.is_none() => {
                Err(CorpusError::UnknownFormat {
                    path: path.to_path_buf(),
                    extension,
                })
            }
            _ => {
                self.add(path, found.id);
                Ok(())
            }
        }
    }

    fn expand_glob(&mut self, pattern: &OsStr) -> Result<(), CorpusError> {
        // That crate's patterns are text; a path that is not text has just been found missing.
        let Some(text) = pattern.to_str() else {
            return Ok(());
        };
        let paths = storage::glob(Path::new(text)).map_err(|error| match error {
            GlobError::Storage(error) => error.into(),
            GlobError::Pattern(reason) => CorpusError::BadPattern {
                pattern: text.to_owned(),
                reason,
            },
        })?;
        for path in paths {
            self.take(&path, Found::needed_at(&path)?, &mut Vec::new())?;
        }
        Ok(())
    }

    /// Takes `path`, or the files below it, or counts it as left out.
    fn take(
        &mut self,
        path: &Path,
        found: Found,
        above: &mut Vec<PathBuf>,
    ) -> Result<(), CorpusError> {
        if is_beside_data(path, found.kind == FoundKind::Directory) {
            self.left_out.add_beside(path);
            return Ok(());
        }
        match (found.kind, format_of(path).0) {
            (FoundKind::Directory, _) => self.walk(path, above)?,
            (FoundKind::Other, _) => self.left_out.add_kind("no regular file", path),
            (FoundKind::File, Contents::Other(extension)) if self.format.is_none() => {
                self.left_out.add_kind(&extension, path);
            }
            (FoundKind::File, _) => self.add(path, found.id),
        }
        Ok(())
    }

    /// Adds a file to read. If it has several names, one that tells its kind is preferred, then the first.
    fn add(&mut self, path: &Path, id: FileId) {
        self.n_met += 1;
        let rank = |path: &Path| {
            (
                format_of(path).0 == Contents::Unspecified,
                path.to_path_buf(),
            )
        };
        let Some(kept) = self.files.get_mut(&id) else {
            self.files.insert(id, path.to_path_buf());
            return;
        };
        if kept == path {
            return;
        }
        if rank(path) < rank(kept) {
            let other = std::mem::replace(kept, path.to_path_buf());
            self.left_out.add_duplicate(&other);
        } else {
            self.left_out.add_duplicate(path);
        }
    }

    /// `above`: the real paths of the directories being walked; meeting one again means a loop.
    fn walk(&mut self, dir: &Path, above: &mut Vec<PathBuf>) -> Result<(), CorpusError> {
        let resolved_dir = resolved_dir(dir)?;
        if above.contains(&resolved_dir) {
            return Err(CorpusError::SymlinkLoop {
                path: dir.to_path_buf(),
            });
        }
        above.push(resolved_dir);
        let entries = storage::list(dir)?.into_iter();
        let mut entries: Vec<(PathBuf, bool)> = entries
            .map(|entry| (dir.join(entry.name), entry.is_dir))
            .collect();
        if is_hub_cache(dir) {
            let (named, unnamed) = entries
                .into_iter()
                .partition(|(path, _)| name_of(path) == "snapshots");
            entries = named;
            self.skip_hub_cache(unnamed);
        }
        for (path, is_dir) in entries {
            // What a store lists exists, so no request is needed for each.
            let found = match storage::is_url(&path) {
                true => Found::in_store(&path, is_dir),
                false => Found::needed_at(&path)?,
            };
            self.take(&path, found, above)?;
        }
        above.pop();
        Ok(())
    }

    /// Counts what a hub's cache keeps besides its snapshots: blobs, and names of revisions. Only blobs that no
    /// snapshot refers to are reported.
    fn skip_hub_cache(&mut self, entries: Vec<(PathBuf, bool)>) {
        for (path, _) in entries {
            let inside = fs::read_dir(&path).into_iter().flatten().flatten();
            for file in inside {
                if let Ok(metadata) = file.metadata()
                    && name_of(&path) == "blobs"
                {
                    self.left_out
                        .add_unnamed(FileId::of(&metadata), &file.path());
                }
            }
        }
    }
}

/// What is at a path.
struct Found {
    kind: FoundKind,
    id: FileId,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FoundKind {
    Directory,
    File,
    /// A socket or the like.
    Other,
}

impl Found {
    /// `None` if nothing is there.
    fn at(path: &Path) -> Result<Option<Self>, CorpusError> {
        if storage::is_url(path) {
            let found = storage::metadata_if_exists(path)?;
            return Ok(found.map(|found| Self::in_store(path, found.is_dir)));
        }
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::of(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CorpusError::at(path, error)),
        }
    }

    fn needed_at(path: &Path) -> Result<Self, CorpusError> {
        let absent = || CorpusError::at(path, io::ErrorKind::NotFound.into());
        Self::at(path)?.ok_or_else(absent)
    }

    fn of(metadata: &Metadata) -> Self {
        let kind = match (metadata.is_dir(), metadata.is_file()) {
            (true, _) => FoundKind::Directory,
            (_, true) => FoundKind::File,
            _ => FoundKind::Other,
        };
        let id = FileId::of(metadata);
        Found { kind, id }
    }

    fn in_store(path: &Path, is_dir: bool) -> Self {
        Found {
            kind: match is_dir {
                true => FoundKind::Directory,
                false => FoundKind::File,
            },
            id: FileId::Object(path.to_path_buf()),
        }
    }
}

/// `dir` without links; a store has none.
fn resolved_dir(dir: &Path) -> Result<PathBuf, CorpusError> {
    match storage::is_url(dir) {
        true => Ok(dir.to_path_buf()),
        false => dir
            .canonicalize()
            .map_err(|error| CorpusError::at(dir, error)),
    }
}

/// Whether a file accompanies a data set without being part of it.
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
    !storage::is_url(dir) && dir.join("snapshots").is_dir() && dir.join("blobs").is_dir()
}

fn shown_pattern(pattern: &OsStr) -> String {
    super::location::shown(Path::new(pattern))
}

#[cfg(test)]
mod tests;
